/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <sys/mman.h>
#include <unistd.h>

#define SECRET_MAX ((size_t)1 << 20)

void ks_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t n)
{
	size_t page = page_size();

	return (n + page - 1) / page * page;
}

enum ks_err ks_secret_new(struct ks_secret *ret_secret, size_t cap)
{
	size_t guard = page_size();
	size_t room = whole_pages(cap);
	unsigned char *pages;
	unsigned char *middle;

	if (cap == 0 || cap > SECRET_MAX)
		return KS_TOO_LARGE;
	pages = mmap(NULL, guard + room + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return KS_MEMORY;
	middle = &pages[guard];
	if (mprotect(middle, room, PROT_READ | PROT_WRITE) || mlock(middle, room) ||
	    madvise(middle, room, MADV_DONTDUMP)) {
		munmap(pages, guard + room + guard);
		return KS_MEMORY;
	}
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

void ks_secret_free(struct ks_secret *secret)
{
	if (secret->bytes) {
		size_t guard = page_size();
		size_t room = whole_pages(secret->cap);
		unsigned char *pages = secret->bytes + secret->cap - room - guard;

		ks_wipe(secret->bytes, secret->cap);
		munmap(pages, guard + room + guard);
	}
	*secret = (struct ks_secret){0};
}
