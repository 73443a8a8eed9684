/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ringmap/ringmap_priv.h"

void ks_generation_unlink(int directory, uint64_t number)
{
	char name[KS_GENERATION_NAME_SIZE];

	ks_generation_name(number, KS_FILE_RING, name);
	(void)unlinkat(directory, name, 0);
	ks_generation_name(number, KS_FILE_USAGE, name);
	(void)unlinkat(directory, name, 0);
}

void ks_generation_close(struct ks_generation **generation)
{
	struct ks_generation *g = *generation;

	*generation = NULL;
	if (!g)
		return;
	if (g->ring_memory)
		(void)munmap(g->ring_memory, g->ring_size);
	if (g->usage_memory)
		(void)munmap(g->usage_memory, g->usage_size);
	free(g);
}

void ks_generation_populate(struct ks_generation *generation, bool writer)
{
	ks_memory_populate(generation->ring_memory, generation->ring_size, writer);
	ks_memory_populate(generation->usage_memory, generation->usage_size, true);
}

/* ---- one that is there ---- */

static enum ks_err map_part(int directory, uint64_t number, enum ks_ringmap_file_part part, uid_t owner,
			    bool writable, void **ret_memory, uint64_t *ret_size)
{
	char name[KS_GENERATION_NAME_SIZE];
	enum ks_err err;
	uint64_t size;
	int fd;

	ks_generation_name(number, part, name);
	KS_TRY(ks_ringmap_file_open(directory, name, writable ? O_RDWR : O_RDONLY, owner, &fd, &size));
	err = ks_ringmap_file_map(fd, size, writable, ret_memory);
	close(fd);
	if (err == KS_OK)
		*ret_size = size;
	return err;
}

static enum ks_err open_parts(int directory, uid_t owner, bool writer, struct ks_generation *g)
{
	KS_TRY(map_part(directory, g->number, KS_FILE_RING, owner, writer, &g->ring_memory, &g->ring_size));
	KS_TRY(ks_ring_attach(g->ring_memory, g->ring_size, &g->ring));
	if (g->ring.header->generation != g->number)
		return KS_CORRUPT;
	KS_TRY(map_part(directory, g->number, KS_FILE_USAGE, owner, true, &g->usage_memory, &g->usage_size));
	KS_TRY(ks_usage_attach(g->usage_memory, g->usage_size, g->ring.header, &g->usage));
	g->ring.usage = &g->usage;
	return KS_OK;
}

enum ks_err ks_generation_open(int directory, uint64_t number, uid_t owner, bool writer,
			       struct ks_generation **ret_generation)
{
	struct ks_generation *g = calloc(1, sizeof(*g));
	enum ks_err err;

	if (!g)
		return KS_MEMORY;
	g->number = number;
	err = open_parts(directory, owner, writer, g);
	if (err != KS_OK) {
		ks_generation_close(&g);
		return err;
	}
	*ret_generation = g;
	return KS_OK;
}

/* ---- a new one ---- */

static enum ks_err make_part(int directory, uint64_t number, enum ks_ringmap_file_part part, mode_t mode,
			     int64_t group, uint64_t size, void **ret_memory)
{
	char name[KS_GENERATION_NAME_SIZE];
	enum ks_err err;
	int fd;

	ks_generation_name(number, part, name);
	KS_TRY(ks_ringmap_file_make(directory, name, mode, group, size, &fd));
	err = ks_ringmap_file_map(fd, size, true, ret_memory);
	close(fd);
	return err;
}

static enum ks_err make_parts(int directory, const struct ks_ring_geometry *geometry, const struct ks_ring_stamp *stamp,
			      int64_t group, struct ks_generation *g)
{
	uint64_t ring_size = ks_ring_size(geometry), usage_size = ks_usage_size(geometry);

	if (ring_size == 0 || usage_size == 0)
		return KS_TOO_LARGE;
	KS_TRY(make_part(directory, g->number, KS_FILE_RING, ks_ringmap_file_mode_ring(group), group, ring_size,
			 &g->ring_memory));
	g->ring_size = ring_size;
	KS_TRY(make_part(directory, g->number, KS_FILE_USAGE, ks_ringmap_file_mode_usage(group), group, usage_size,
			 &g->usage_memory));
	g->usage_size = usage_size;
	KS_TRY(ks_ring_format(g->ring_memory, g->ring_size, geometry, stamp, &g->ring));
	KS_TRY(ks_usage_format(g->usage_memory, g->usage_size, geometry, g->number));
	KS_TRY(ks_usage_attach(g->usage_memory, g->usage_size, g->ring.header, &g->usage));
	g->ring.usage = &g->usage;
	return KS_OK;
}

enum ks_err ks_generation_make(int directory, const struct ks_ring_geometry *geometry,
			       const struct ks_ring_stamp *stamp, int64_t group,
			       struct ks_generation **ret_generation)
{
	struct ks_generation *g = calloc(1, sizeof(*g));
	enum ks_err err;

	if (!g)
		return KS_MEMORY;
	g->number = stamp->generation;
	err = make_parts(directory, geometry, stamp, group, g);
	if (err != KS_OK) {
		ks_generation_close(&g);
		/* KS_CONFLICT: what is there under this number is somebody else's. */
		if (err != KS_CONFLICT)
			ks_generation_unlink(directory, stamp->generation);
		return err;
	}
	*ret_generation = g;
	return KS_OK;
}
