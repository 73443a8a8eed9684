/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of ringmap/ share, and its tests use. */
#pragma once

#include <sys/types.h>

#include "ringmap/ringmap.h"

#define KS_CONTROL_MAGIC UINT64_C(0x316c74635f74736b) /* "kst_ctl1" in memory */
#define KS_CONTROL_VERSION 1
#define KS_CONTROL_SIZE 4096u
/** Stands in `current` of a control file that was replaced: readers open the directory anew. */
#define KS_CONTROL_DEAD UINT64_MAX

/** The file `control`. Readers map it read-only. */
struct ks_control {
	uint64_t magic;
	uint32_t version;
	uint32_t size;
	uint8_t boot_id[16];
	uint8_t reserved[32];

	_Alignas(64) _Atomic uint64_t current; /* generation that readers use; 0: none */
	_Atomic uint64_t last;                 /* greatest number given to a generation */
};
_Static_assert(sizeof(struct ks_control) <= KS_CONTROL_SIZE, "control is one page");

/** One mapped generation. On the heap, for ring.usage points into it. */
struct ks_generation {
	uint64_t number;
	struct ks_ring ring;
	struct ks_usage usage;
	void *ring_memory, *usage_memory;
	uint64_t ring_size, usage_size;
};

enum ks_ringmap_file_part { KS_FILE_RING, KS_FILE_USAGE };

/** "18446744073709551615.usage" and a terminator. */
#define KS_GENERATION_NAME_SIZE 27

void ks_generation_name(uint64_t number, enum ks_ringmap_file_part part, char ret_name[KS_GENERATION_NAME_SIZE]);

/** Reads a name made by ks_generation_name. */
KS_MUST_USE bool ks_generation_name_parse(struct ks_str name, uint64_t *ret_number);

/** Who may do what with the files. */
struct ks_access {
	uid_t owner;
	int64_t group;  /* -1: the owner alone */
};

/** Opens a file of the directory with `flags`: no link, a regular file, of that owner. KS_NOT_FOUND, KS_FORBIDDEN,
 * KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_ringmap_file_open(int directory, const char *name, int flags, uid_t owner, int *ret_fd,
					     uint64_t *ret_size);

/** Makes a file of `size` bytes whose space is allocated. It must not exist (KS_CONFLICT). KS_DISK_FULL, KS_SYSTEM;
 * nothing is left behind then. */
KS_MUST_USE enum ks_err ks_ringmap_file_make(int directory, const char *name, mode_t mode, int64_t group,
					     uint64_t size, int *ret_fd);

/** Sets mode and group. */
KS_MUST_USE enum ks_err ks_ringmap_file_settle(int fd, mode_t mode, int64_t group);

/** The mode of each file, with and without a group. */
mode_t ks_ringmap_file_mode_ring(int64_t group);
mode_t ks_ringmap_file_mode_usage(int64_t group);
mode_t ks_ringmap_file_mode_directory(int64_t group);

/** Maps a file shared, left out of core dumps. KS_MEMORY, KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_ringmap_file_map(int fd, uint64_t size, bool writable, void **ret_memory);

/** Maps every page now; a kernel that cannot leaves it to the faults. */
void ks_memory_populate(void *memory, uint64_t size, bool writable);

/** Maps generation `number`, the ring writable if `writer`. The ring's header must say the same number. Nothing
 * else is verified. KS_NOT_FOUND, KS_CORRUPT, KS_VERSION, KS_FORBIDDEN, KS_MEMORY, KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_generation_open(int directory, uint64_t number, uid_t owner, bool writer,
					   struct ks_generation **ret_generation);

/** Makes the files of a generation and an empty ring in them. As ks_ringmap_file_make, KS_TOO_LARGE, KS_MALFORMED. */
KS_MUST_USE enum ks_err ks_generation_make(int directory, const struct ks_ring_geometry *geometry,
					   const struct ks_ring_stamp *stamp, int64_t group,
					   struct ks_generation **ret_generation);

void ks_generation_populate(struct ks_generation *generation, bool writer);

/** Removes the files; mappings stand. */
void ks_generation_unlink(int directory, uint64_t number);

/** Unmaps and frees; clears *generation; takes NULL. */
void ks_generation_close(struct ks_generation **generation);

/** The writer's `control`: what is there if it is sane and of this boot; otherwise a new one, and readers of the
 * old one are told. */
KS_MUST_USE enum ks_err ks_control_open_writer(int directory, const struct ks_access *access, const uint8_t boot_id[16],
					       struct ks_control **ret_control);

/** A reader's. KS_NOT_FOUND: none of this boot. */
KS_MUST_USE enum ks_err ks_control_open_reader(int directory, uid_t owner, const uint8_t boot_id[16], dev_t *ret_device,
					       ino_t *ret_inode, const struct ks_control **ret_control);

void ks_control_close(const struct ks_control *control);
