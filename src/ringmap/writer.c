/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "crypto/random.h"
#include "ringmap/ringmap_priv.h"

/* Counts brought over at a time. */
#define CARRY_ITEMS 256

struct ks_ringmap_writer {
	int directory;
	int lock;
	struct ks_access access;
	uint8_t boot_id[16];
	uint8_t store_id[16];
	bool prefault;
	size_t domain_n;
	char domain[KS_RING_DOMAIN_MAX];
	struct ks_control *control;
	bool published;                      /* readers have `current` */
	struct ks_generation *current;
	struct ks_generation *rebuild;       /* NULL: none */
	struct ks_generation *previous;      /* files gone; NULL: none */
};

/* ---- the directory ---- */

static enum ks_err open_directory(struct ks_ringmap_writer *w, const char *path)
{
	mode_t mode = ks_ringmap_file_mode_directory(w->access.group);
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return errno == EACCES || errno == EPERM ? KS_FORBIDDEN : errno == ENOSPC ? KS_DISK_FULL : KS_SYSTEM;
	w->directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->directory < 0)
		return errno == ELOOP || errno == ENOTDIR || errno == EACCES ? KS_FORBIDDEN : KS_SYSTEM;
	if (fstat(w->directory, &st) || st.st_uid != w->access.owner || (st.st_mode & 022))
		return KS_FORBIDDEN;
	return ks_ringmap_file_settle(w->directory, mode, w->access.group);
}

/* Held until the file is closed, by whatever end the process comes to. */
static enum ks_err take_lock(struct ks_ringmap_writer *w)
{
	static const char name[] = "lock";
	struct stat held, named;

	w->lock = openat(w->directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->lock < 0)
		return errno == ENOSPC ? KS_DISK_FULL : KS_SYSTEM;
	if (flock(w->lock, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? KS_BUSY : KS_SYSTEM;
	/* A lock on a file that was removed meanwhile keeps nobody out. */
	if (fstat(w->lock, &held) || fstatat(w->directory, name, &named, AT_SYMLINK_NOFOLLOW)
	    || held.st_ino != named.st_ino || held.st_dev != named.st_dev)
		return KS_BUSY;
	return KS_OK;
}

/* Removes what a killed writer left: the files of every generation but that of readers. */
static enum ks_err remove_strays(struct ks_ringmap_writer *w)
{
	uint64_t keep = atomic_load_explicit(&w->control->current, memory_order_relaxed);
	int fd = openat(w->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	uint64_t number;
	DIR *directory;

	if (fd < 0)
		return KS_SYSTEM;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return KS_MEMORY;
	}
	while ((entry = readdir(directory))) {
		if (ks_generation_name_parse(ks_str_c(entry->d_name), &number) && number != keep)
			(void)unlinkat(w->directory, entry->d_name, 0);
	}
	closedir(directory);
	return KS_OK;
}

/* ---- generations ---- */

static enum ks_err make_generation(struct ks_ringmap_writer *w, const struct ks_ring_geometry *geometry,
				   const uint64_t seed[2], struct ks_generation **ret_generation)
{
	uint64_t last = atomic_load_explicit(&w->control->last, memory_order_relaxed);
	uint64_t current = atomic_load_explicit(&w->control->current, memory_order_relaxed);
	struct ks_ring_stamp stamp = {
		.generation = KS_MAX(last, current) + 1,
		.domain = {w->domain, w->domain_n},
	};

	memcpy(stamp.boot_id, w->boot_id, sizeof(stamp.boot_id));
	memcpy(stamp.store_id, w->store_id, sizeof(stamp.store_id));
	if (seed)
		memcpy(stamp.slot_seed, seed, sizeof(stamp.slot_seed));
	else
		KS_TRY(ks_random(stamp.slot_seed, sizeof(stamp.slot_seed)));
	/* Before the files: a number is never given twice, whatever becomes of them. */
	atomic_store_explicit(&w->control->last, stamp.generation, memory_order_release);
	KS_TRY(ks_generation_make(w->directory, geometry, &stamp, w->access.group, ret_generation));
	if (w->prefault)
		ks_generation_populate(*ret_generation, true);
	return KS_OK;
}

/* A copy of `from` with another geometry. Same seed: the keys keep their order. */
static enum ks_err copy_generation(struct ks_ringmap_writer *w, const struct ks_generation *from,
				   const struct ks_ring_geometry *geometry, int64_t now_ms,
				   struct ks_generation **ret_generation)
{
	struct ks_generation *to;
	enum ks_err err;

	KS_TRY(make_generation(w, geometry, from->ring.header->slot_seed, &to));
	err = ks_ring_copy(&from->ring, &to->ring, now_ms);
	if (err != KS_OK) {
		ks_generation_unlink(w->directory, to->number);
		ks_generation_close(&to);
		return err;
	}
	*ret_generation = to;
	return KS_OK;
}

static void discard(struct ks_ringmap_writer *w, struct ks_generation **generation)
{
	if (*generation)
		ks_generation_unlink(w->directory, (*generation)->number);
	ks_generation_close(generation);
}

/* Counts what `from` still holds under the keys of `to`. */
static void carry_counts(struct ks_generation *from, struct ks_generation *to)
{
	struct ks_usage_item items[CARRY_ITEMS];
	uint64_t cursor = 0, slot;

	do {
		size_t n = ks_usage_drain(&from->usage, &cursor, items, CARRY_ITEMS);

		for (size_t i = 0; i < n; i++) {
			const struct ks_digest *digest = &from->ring.keys[items[i].slot].digest;

			if (ks_ring_key(&to->ring, digest, ks_ring_home(&to->ring, digest), &slot))
				ks_usage_add(&to->usage, slot, &items[i]);
		}
	} while (cursor != 0);
}

static void retire_previous(struct ks_ringmap_writer *w)
{
	if (!w->previous)
		return;
	carry_counts(w->previous, w->current);
	ks_generation_close(&w->previous);
}

/* Makes `next` what readers have; what they had becomes the previous one. */
static void switch_to(struct ks_ringmap_writer *w, struct ks_generation *next)
{
	struct ks_generation *old = w->current;
	uint64_t shown = atomic_load_explicit(&w->control->current, memory_order_relaxed);

	retire_previous(w);
	atomic_store_explicit(&next->ring.header->complete, 1, memory_order_release);
	if (old != next)
		ks_usage_move_limiters(&old->usage, &next->usage);
	/* From here on no decision begins with the old generation. */
	atomic_store_explicit(&w->control->current, next->number, memory_order_seq_cst);
	w->current = next;
	if (shown != 0 && shown != next->number)
		ks_generation_unlink(w->directory, shown);
	if (old == next) {
		w->published = true;
		return;
	}
	ks_usage_move_limiters(&old->usage, &next->usage);
	if (w->published)
		w->previous = old;
	else
		discard(w, &old);
	w->published = true;
}

/* ---- opening ---- */

static bool is_of_this(const struct ks_ringmap_writer *w, const struct ks_ring_header *h)
{
	return ks_ct_equal(h->boot_id, w->boot_id, 16) && ks_ct_equal(h->store_id, w->store_id, 16);
}

/* Modes and groups as the options say, whatever they were. */
static enum ks_err settle_files(const struct ks_ringmap_writer *w, uint64_t number)
{
	char ring[KS_GENERATION_NAME_SIZE], usage[KS_GENERATION_NAME_SIZE];
	const struct {
		const char *name;
		mode_t mode;
	} files[] = {
		{"control", ks_ringmap_file_mode_ring(w->access.group)},
		{ring, ks_ringmap_file_mode_ring(w->access.group)},
		{usage, ks_ringmap_file_mode_usage(w->access.group)},
	};

	ks_generation_name(number, KS_FILE_RING, ring);
	ks_generation_name(number, KS_FILE_USAGE, usage);
	for (size_t i = 0; i < KS_ARRAY_LEN(files); i++) {
		enum ks_err err;
		uint64_t size;
		int fd;

		KS_TRY(ks_ringmap_file_open(w->directory, files[i].name, O_RDWR, w->access.owner, &fd, &size));
		err = ks_ringmap_file_settle(fd, files[i].mode, w->access.group);
		close(fd);
		KS_TRY(err);
	}
	return KS_OK;
}

/* Goes on with what readers have, if that is whole and ours. */
static bool take_over(struct ks_ringmap_writer *w, bool force_fresh)
{
	uint64_t number = atomic_load_explicit(&w->control->current, memory_order_relaxed);
	const struct ks_ring_header *h;
	struct ks_generation *g;
	struct ks_str domain = {w->domain, w->domain_n};

	if (number == 0)
		return false;
	if (ks_generation_open(w->directory, number, w->access.owner, true, &g) != KS_OK)
		return false;
	h = g->ring.header;
	if (!is_of_this(w, h)) {
		/* Readers must not decide by the keys of another store. */
		atomic_store_explicit(&w->control->current, 0, memory_order_seq_cst);
		ks_generation_close(&g);
		return false;
	}
	if (w->prefault)
		ks_generation_populate(g, true);
	if (force_fresh || !atomic_load_explicit(&h->complete, memory_order_acquire)
	    || !ks_str_eq_nocase(ks_str_c(h->domain), domain) || ks_ring_verify(&g->ring) != KS_OK
	    || settle_files(w, number) != KS_OK) {
		ks_generation_close(&g);
		return false;
	}
	ks_usage_mark_all(&g->usage);
	w->current = g;
	w->published = true;
	return true;
}

static enum ks_err open_writer(struct ks_ringmap_writer *w, const struct ks_ringmap_options *options,
			       const struct ks_ring_geometry *geometry, bool force_fresh, bool *ret_fresh)
{
	bool fresh;

	KS_TRY(ks_ringmap_boot_id(w->boot_id));
	KS_TRY(open_directory(w, options->directory));
	KS_TRY(take_lock(w));
	KS_TRY(ks_control_open_writer(w->directory, &w->access, w->boot_id, &w->control));
	fresh = !take_over(w, force_fresh);
	KS_TRY(remove_strays(w));
	if (fresh)
		KS_TRY(make_generation(w, geometry, NULL, &w->current));
	*ret_fresh = fresh;
	return KS_OK;
}

enum ks_err ks_ringmap_writer_open(const struct ks_ringmap_options *options, const struct ks_ring_geometry *geometry,
				   bool force_fresh, struct ks_ringmap_writer **ret_writer, bool *ret_fresh)
{
	struct ks_ringmap_writer *w;
	enum ks_err err;

	if (options->domain.n > KS_RING_DOMAIN_MAX)
		return KS_MALFORMED;
	w = calloc(1, sizeof(*w));
	if (!w)
		return KS_MEMORY;
	w->directory = -1;
	w->lock = -1;
	w->access = (struct ks_access){.owner = geteuid(), .group = options->group};
	w->prefault = options->prefault;
	memcpy(w->store_id, options->store_id, sizeof(w->store_id));
	w->domain_n = options->domain.n;
	if (options->domain.n > 0)
		memcpy(w->domain, options->domain.p, options->domain.n);
	err = open_writer(w, options, geometry, force_fresh, ret_fresh);
	if (err != KS_OK) {
		ks_ringmap_writer_close(&w);
		return err;
	}
	*ret_writer = w;
	return KS_OK;
}

/* ---- the rest ---- */

struct ks_ring *ks_ringmap_writer_ring(struct ks_ringmap_writer *writer)
{
	return &writer->current->ring;
}

enum ks_err ks_ringmap_writer_grow(struct ks_ringmap_writer *writer, const struct ks_ring_geometry *geometry,
				   int64_t now_ms)
{
	struct ks_generation *next;

	KS_TRY(copy_generation(writer, writer->current, geometry, now_ms, &next));
	if (writer->published) {
		switch_to(writer, next);
		return KS_OK;
	}
	discard(writer, &writer->current);
	writer->current = next;
	return KS_OK;
}

enum ks_err ks_ringmap_writer_begin_rebuild(struct ks_ringmap_writer *writer, const struct ks_ring_geometry *geometry,
					    struct ks_ring **ret_ring)
{
	struct ks_generation *next;

	/* First, for its space may be needed. */
	discard(writer, &writer->rebuild);
	KS_TRY(make_generation(writer, geometry, NULL, &next));
	writer->rebuild = next;
	*ret_ring = &next->ring;
	return KS_OK;
}

enum ks_err ks_ringmap_writer_publish(struct ks_ringmap_writer *writer)
{
	struct ks_generation *next = writer->rebuild ? writer->rebuild : writer->current;

	if (next == writer->current && writer->published)
		return KS_NOT_FOUND;
	writer->rebuild = NULL;
	switch_to(writer, next);
	return KS_OK;
}

struct ks_ring *ks_ringmap_writer_previous(struct ks_ringmap_writer *writer)
{
	return writer->previous ? &writer->previous->ring : NULL;
}

void ks_ringmap_writer_drop_previous(struct ks_ringmap_writer *writer)
{
	ks_generation_close(&writer->previous);
}

void ks_ringmap_writer_close(struct ks_ringmap_writer **writer)
{
	struct ks_ringmap_writer *w = *writer;

	*writer = NULL;
	if (!w)
		return;
	retire_previous(w);
	discard(w, &w->rebuild);
	if (!w->published)
		discard(w, &w->current);
	ks_generation_close(&w->current);
	if (w->control)
		ks_control_close(w->control);
	if (w->directory >= 0)
		close(w->directory);
	if (w->lock >= 0)
		close(w->lock);
	free(w);
}
