/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "ringmap/ringmap_priv.h"

/* A generation whose files are gone means that the writer has moved on; it does not do so often. */
#define MAP_ATTEMPTS 16
/* The clock is looked at once in so many calls, the directory once a second by it. */
#define CALLS_PER_CLOCK 16

struct ks_ringmap_reader {
	/* What the fast way reads. */
	const struct ks_control *control;      /* NULL: the directory has to be opened */
	struct ks_generation *generation;      /* NULL: none */
	uint64_t number;                       /* of the generation; 0: none */
	uint32_t calls;

	bool prefault;
	time_t checked_s;
	int directory;
	uid_t owner;
	dev_t device;                          /* of the control file */
	ino_t inode;
	uint8_t boot_id[16];
	char *path;
};

static time_t seconds_now(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

static void close_generation(struct ks_ringmap_reader *r)
{
	ks_generation_close(&r->generation);
	r->number = 0;
}

static void close_directory(struct ks_ringmap_reader *r)
{
	if (r->control)
		ks_control_close(r->control);
	r->control = NULL;
	if (r->directory >= 0)
		close(r->directory);
	r->directory = -1;
}

/* Numbers of another directory's generations mean nothing here. */
static void leave(struct ks_ringmap_reader *r)
{
	close_directory(r);
	close_generation(r);
}

static enum ks_err open_directory(struct ks_ringmap_reader *r)
{
	struct stat st;

	close_directory(r);
	r->directory = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->directory < 0)
		return errno == ENOENT ? KS_NOT_FOUND : errno == EACCES ? KS_FORBIDDEN : KS_SYSTEM;
	/* Only its owner can have put files there. */
	if (fstat(r->directory, &st) || (st.st_mode & 022))
		return KS_FORBIDDEN;
	r->owner = st.st_uid;
	return ks_control_open_reader(r->directory, r->owner, r->boot_id, &r->device, &r->inode, &r->control);
}

/* Maps generation `number` in place of the one before. */
static enum ks_err map_generation(struct ks_ringmap_reader *r, uint64_t number)
{
	struct ks_generation *g;

	KS_TRY(ks_generation_open(r->directory, number, r->owner, false, &g));
	if (!ks_ct_equal(g->ring.header->boot_id, r->boot_id, 16)
	    || !atomic_load_explicit(&g->ring.header->complete, memory_order_acquire)) {
		ks_generation_close(&g);
		return KS_NOT_FOUND;
	}
	if (r->prefault)
		ks_generation_populate(g, false);
	close_generation(r);
	r->generation = g;
	r->number = number;
	return KS_OK;
}

/* Brings the reader to the generation that `control` names. */
static enum ks_err follow(struct ks_ringmap_reader *r)
{
	enum ks_err err = KS_NOT_FOUND;

	for (int i = 0; i < MAP_ATTEMPTS; i++) {
		uint64_t current;

		if (!r->control)
			KS_TRY(open_directory(r));
		current = atomic_load_explicit(&r->control->current, memory_order_seq_cst);
		if (current == KS_CONTROL_DEAD) {
			leave(r);
			continue;
		}
		if (current == 0)
			return KS_NOT_FOUND;
		if (current == r->number)
			return KS_OK;
		err = map_generation(r, current);
		if (err != KS_OK && err != KS_NOT_FOUND)
			return err;
		/* Once more, for the writer may have moved on meanwhile. */
	}
	return err;
}

/* False where the path leads to another control file than the one that is mapped. A file that is merely gone is no
 * reason to leave: its writer may live on. */
static bool is_still_there(struct ks_ringmap_reader *r)
{
	int directory = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int failed;

	if (directory < 0)
		return true;
	failed = fstatat(directory, "control", &st, AT_SYMLINK_NOFOLLOW);
	close(directory);
	return failed || (st.st_dev == r->device && st.st_ino == r->inode);
}

static __attribute__((noinline)) const struct ks_ring *slow_ring(struct ks_ringmap_reader *r)
{
	time_t now = seconds_now();

	if (r->control && now != r->checked_s) {
		r->checked_s = now;
		if (!is_still_there(r))
			leave(r);
	}
	if (follow(r) != KS_OK) {
		close_generation(r);
		return NULL;
	}
	return &r->generation->ring;
}

const struct ks_ring *ks_ringmap_reader_ring(struct ks_ringmap_reader *reader)
{
	if (KS_LIKELY(reader->control && reader->number != 0 && ++reader->calls % CALLS_PER_CLOCK != 0
		      && atomic_load_explicit(&reader->control->current, memory_order_seq_cst) == reader->number))
		return &reader->generation->ring;
	return slow_ring(reader);
}

void ks_ringmap_reader_prefault(struct ks_ringmap_reader *reader)
{
	reader->prefault = true;
	if (reader->generation)
		ks_generation_populate(reader->generation, false);
}

enum ks_err ks_ringmap_reader_open(const char *directory, struct ks_ringmap_reader **ret_reader)
{
	struct ks_ringmap_reader *r = calloc(1, sizeof(*r));
	enum ks_err err = KS_MEMORY;

	if (!r)
		return KS_MEMORY;
	r->directory = -1;
	r->checked_s = seconds_now();
	r->path = strdup(directory);
	if (r->path)
		err = ks_ringmap_boot_id(r->boot_id);
	if (err == KS_OK)
		err = follow(r);
	if (err != KS_OK) {
		ks_ringmap_reader_close(&r);
		return err;
	}
	*ret_reader = r;
	return KS_OK;
}

void ks_ringmap_reader_close(struct ks_ringmap_reader **reader)
{
	struct ks_ringmap_reader *r = *reader;

	*reader = NULL;
	if (!r)
		return;
	close_generation(r);
	close_directory(r);
	free(r->path);
	free(r);
}
