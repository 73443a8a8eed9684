/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for ring files. Included after <cmocka.h>. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ring/fixture.h"
#include "ringmap/ringmap_priv.h"

#define PATH_SIZE 256

/* Makes an empty directory of the test's own below `base` and names the ring's directory in it, which is not made. */
static inline void place_make(const char *base, char ret_top[PATH_SIZE], char ret_ring[PATH_SIZE])
{
	assert_true(snprintf(ret_top, PATH_SIZE, "%s/keystile-test-XXXXXX", base) < PATH_SIZE);
	assert_non_null(mkdtemp(ret_top));
	assert_true(snprintf(ret_ring, PATH_SIZE, "%s/ring", ret_top) < PATH_SIZE);
}

/* Where the files are in memory, as in service. */
static inline const char *memory_base(void)
{
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void place_remove(const char *top)
{
	(void)nftw(top, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static inline struct ks_ringmap_options options_of(const char *directory)
{
	return (struct ks_ringmap_options){
		.directory = directory, .store_id = {9, 9, 9}, .domain = KS_STR("example.com"), .group = -1};
}

/* Opens as `fresh` expects, fills and publishes what is fresh. */
static inline struct ks_ringmap_writer *writer_open(const char *directory, bool expect_fresh, uint64_t keys)
{
	struct ks_ringmap_options options = options_of(directory);
	struct ks_ring_geometry geometry = small_geometry();
	struct ks_ringmap_writer *writer;
	bool fresh = !expect_fresh;

	assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, &fresh), KS_OK);
	assert_int_equal(fresh, expect_fresh);
	if (fresh) {
		world_fill(ks_ringmap_writer_ring(writer), keys);
		assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	}
	return writer;
}

static inline struct ks_ringmap_reader *reader_open(const char *directory)
{
	struct ks_ringmap_reader *reader;

	assert_int_equal(ks_ringmap_reader_open(directory, &reader), KS_OK);
	return reader;
}

/* What the reader says of key `n`: its state, 0 where it is unknown. */
static inline uint32_t reader_state(struct ks_ringmap_reader *reader, uint64_t n)
{
	const struct ks_ring *ring = ks_ringmap_reader_ring(reader);

	assert_non_null(ring);
	return state_of(ring, n);
}

/* Files in the directory that match a generation. */
static inline unsigned generation_files(const char *directory, uint64_t number)
{
	char name[KS_GENERATION_NAME_SIZE], path[PATH_SIZE + sizeof(name)];
	unsigned n = 0;

	for (int part = KS_FILE_RING; part <= KS_FILE_USAGE; part++) {
		ks_generation_name(number, (enum ks_ringmap_file_part)part, name);
		(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
		n += access(path, F_OK) == 0;
	}
	return n;
}

static inline void ring_path(const char *directory, const char *name, char ret_path[PATH_SIZE + 64])
{
	assert_true(snprintf(ret_path, PATH_SIZE + 64, "%s/%s", directory, name) < PATH_SIZE + 64);
}

static inline void patch_file(const char *directory, const char *name, off_t at, const void *bytes, size_t n)
{
	char path[PATH_SIZE + 64];
	int fd;

	ring_path(directory, name, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}
