/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET_MAX ((size_t)1 << 20)

/* Rooms of 1, 2, 4, … pages that were wiped and wait for the next secret, still locked between their guards: mapping and
 * locking costs five system calls. Each place is taken and given back in one step, so that threads need no lock. Locks
 * are not inherited: a child of the process that left them does not take them. */
#define SIZES 6
#define SPARE_MAX 64       /* of one page */
#define SPARE_LARGE_MAX 8  /* of each other size */
static unsigned char *_Atomic spare[SIZES][SPARE_MAX];
static _Atomic pid_t spare_owner;

void ks_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

void ks_wiped_free(void *p)
{
	if (p)
		ks_wipe(p, malloc_usable_size(p));
	free(p);
}

void *ks_wiped_realloc(void *p, size_t n)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *grown;

	if (p && n <= had)
		return p;
	grown = malloc(n);
	if (!grown)
		return NULL;
	if (p)
		memcpy(grown, p, had);
	ks_wiped_free(p);
	return grown;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Bytes of the room for `n`: a power of two of pages, which *ret_size counts; whole pages and SIZES for what is larger. */
static size_t room_for(size_t n, unsigned *ret_size)
{
	size_t page = page_size(), room = page;

	for (*ret_size = 0; *ret_size < SIZES; ++*ret_size, room *= 2)
		if (n <= room)
			return room;
	return (n + page - 1) / page * page;
}

static size_t places_of(unsigned size)
{
	return size >= SIZES ? 0 : size == 0 ? SPARE_MAX : SPARE_LARGE_MAX;
}

/* Wiped, locked, between guards; NULL. */
static unsigned char *map_room(size_t room)
{
	size_t guard = page_size();
	unsigned char *pages = mmap(NULL, guard + room + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *middle;

	if (pages == MAP_FAILED)
		return NULL;
	middle = &pages[guard];
	if (mprotect(middle, room, PROT_READ | PROT_WRITE) || mlock(middle, room) || madvise(middle, room, MADV_DONTDUMP)) {
		munmap(pages, guard + room + guard);
		return NULL;
	}
	return middle;
}

static unsigned char *take_spare(unsigned size)
{
	unsigned char *middle = NULL;

	if (atomic_load_explicit(&spare_owner, memory_order_relaxed) != getpid())
		return NULL;
	for (size_t i = 0; i < places_of(size) && !middle; i++)
		if (atomic_load_explicit(&spare[size][i], memory_order_relaxed))
			middle = atomic_exchange_explicit(&spare[size][i], NULL, memory_order_acquire);
	return middle;
}

static bool give_spare(unsigned char *middle, unsigned size)
{
	pid_t nobody = 0, own = getpid();

	if (!atomic_compare_exchange_strong_explicit(&spare_owner, &nobody, own, memory_order_relaxed,
						     memory_order_relaxed)
	    && nobody != own)
		return false;
	for (size_t i = 0; i < places_of(size); i++) {
		unsigned char *none = NULL;

		if (!atomic_load_explicit(&spare[size][i], memory_order_relaxed)
		    && atomic_compare_exchange_strong_explicit(&spare[size][i], &none, middle, memory_order_release,
							       memory_order_relaxed))
			return true;
	}
	return false;
}

enum ks_err ks_secret_new(struct ks_secret *ret_secret, size_t cap)
{
	unsigned char *middle;
	unsigned size;
	size_t room;

	if (cap == 0 || cap > SECRET_MAX)
		return KS_TOO_LARGE;
	room = room_for(cap, &size);
	middle = take_spare(size);
	if (!middle)
		middle = map_room(room);
	if (!middle)
		return KS_MEMORY;
	/* The secret ends where the guard page begins, so that one byte too many is found out at once. */
	*ret_secret = (struct ks_secret){&middle[room - cap], 0, cap};
	return KS_OK;
}

enum ks_err ks_secret_set(struct ks_secret *secret, const void *bytes, size_t n)
{
	if (n > secret->cap)
		return KS_TOO_LARGE;
	ks_wipe(secret->bytes, secret->n);
	if (n)
		memcpy(secret->bytes, bytes, n);
	secret->n = n;
	return KS_OK;
}

void ks_secret_free_used(struct ks_secret *secret, size_t used)
{
	if (secret->bytes) {
		size_t guard = page_size();
		unsigned size;
		size_t room = room_for(secret->cap, &size);
		unsigned char *middle = secret->bytes + secret->cap - room;

		ks_wipe(secret->bytes, KS_MIN(used, secret->cap));
		if (!give_spare(middle, size))
			munmap(middle - guard, guard + room + guard);
	}
	*secret = (struct ks_secret){0};
}

void ks_secret_free(struct ks_secret *secret)
{
	ks_secret_free_used(secret, secret->cap);
}
