/* SPDX-License-Identifier: Apache-2.0 */
/** The ring in files: a directory with `control` (which generation is current), `<n>.ring` and `<n>.usage`. Readers
 * map the ring read-only and the usage file read-write. docs/internals/ring.md. */
#pragma once

#include "ring/ring.h"
#include "ring/usage.h"

struct ks_ringmap_writer;
struct ks_ringmap_reader;

struct ks_ringmap_options {
	const char *directory;     /* made if missing (mode 0700, with a group 0750); ours and no link */
	uint8_t store_id[16];
	struct ks_str domain;
	int64_t group;             /* gid that may read and count, or -1: the owner alone */
	bool prefault;             /* map every page at once, so that no page fault falls on a later call */
};

/* ---- the writer: one thread of one process ---- */

/** Becomes the directory's one writer (flock; KS_BUSY if another lives). An existing ring that is whole, complete,
 * of this boot, store, domain and version is taken over with its counters (*ret_fresh false). Otherwise, or with
 * `force_fresh`, an empty generation of `geometry` is made (*ret_fresh true) that no reader sees until
 * ks_ringmap_writer_publish. Readers of an older generation of the same store and boot decide on with it until
 * then; where it is another store's or boot's they have nothing from now on. Space is allocated up front, so that
 * a full disk is KS_DISK_FULL here and never a signal later. KS_FORBIDDEN: the directory is not ours, others may
 * write to it, or it is a link; KS_TOO_LARGE: the geometry; KS_MALFORMED: the domain; KS_MEMORY; KS_SYSTEM. Ignore
 * SIGXFSZ if a limit on file sizes may be set. */
KS_MUST_USE enum ks_err ks_ringmap_writer_open(const struct ks_ringmap_options *options,
					       const struct ks_ring_geometry *geometry, bool force_fresh,
					       struct ks_ringmap_writer **ret_writer, bool *ret_fresh);

/** The current generation, for reading and writing; after a fresh open the one that is to be filled and published.
 * Valid until the next grow, publish or close. */
struct ks_ring *ks_ringmap_writer_ring(struct ks_ringmap_writer *writer);

/** Makes a next generation with `geometry`, copies (ks_ring_copy at `now_ms`), switches readers over, and keeps the old one's counters for
 * draining. On failure (KS_DISK_FULL, KS_FULL: `geometry` does not hold what is there, KS_CORRUPT, KS_MEMORY,
 * KS_SYSTEM) the old generation stays current. Before the first publish nothing is switched. */
KS_MUST_USE enum ks_err ks_ringmap_writer_grow(struct ks_ringmap_writer *writer,
					       const struct ks_ring_geometry *geometry, int64_t now_ms);

/** Makes an empty next generation that readers do not see yet (*ret_ring), for a rebuild from the truth; publish
 * makes it current. Changes meanwhile are the caller's to put into both. Begun again, or never published, it is
 * discarded. Failures as for grow. */
KS_MUST_USE enum ks_err ks_ringmap_writer_begin_rebuild(struct ks_ringmap_writer *writer,
							const struct ks_ring_geometry *geometry,
							struct ks_ring **ret_ring);

/** Marks the rebuild (or the generation of a fresh open) as complete and switches readers to it. KS_NOT_FOUND:
 * neither is pending. */
KS_MUST_USE enum ks_err ks_ringmap_writer_publish(struct ks_ringmap_writer *writer);

/** The generation before, with counters that may still hold something; NULL if none. A reader that was deciding at
 * the moment of the switch still counts there once. Dropped with ks_ringmap_writer_drop_previous; where another
 * grow, publish or close comes first, what it still holds is counted on in the generation after it. */
struct ks_ring *ks_ringmap_writer_previous(struct ks_ringmap_writer *writer);
void ks_ringmap_writer_drop_previous(struct ks_ringmap_writer *writer);

/** Unmaps, leaves the files (but not an unpublished generation's). Clears *writer; takes NULL. */
void ks_ringmap_writer_close(struct ks_ringmap_writer **writer);

/* ---- readers ---- */

/** Opens for reading. One reader a thread; it is not thread-safe. KS_NOT_FOUND: no complete ring of this boot there
 * (yet); KS_CORRUPT, KS_VERSION; KS_FORBIDDEN: no permission, or files that are not the directory owner's;
 * KS_MEMORY; KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_ringmap_reader_open(const char *directory, struct ks_ringmap_reader **ret_reader);

/** Maps every page of the ring at once, now and after each switch to another generation (a system call that may
 * take tens of milliseconds at 10 million keys), so that no decision waits for a page fault. */
void ks_ringmap_reader_prefault(struct ks_ringmap_reader *reader);

/** The current generation; to be asked anew for every decision. Usually one load; maps anew (system calls) after
 * the writer has moved on, and looks about once a second whether the directory was replaced. Valid until the next
 * call. NULL where there is none or that fails: refuse then (`stale`), and ask again. */
const struct ks_ring *ks_ringmap_reader_ring(struct ks_ringmap_reader *reader);

/** Clears *reader; takes NULL. */
void ks_ringmap_reader_close(struct ks_ringmap_reader **reader);

/** The id of this boot of the machine. KS_SYSTEM where /proc does not tell. */
KS_MUST_USE enum ks_err ks_ringmap_boot_id(uint8_t ret_id[16]);
