/* SPDX-License-Identifier: Apache-2.0 */
/** Memory for secrets. Wiping that the compiler cannot remove, and pages that are locked, left out of core dumps
 * and unreadable past their ends. There is deliberately no way to print or copy a secret implicitly. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/** Overwrites `n` bytes; never optimised away. */
void ks_wipe(void *p, size_t n);

/** For libraries that copy secrets and take an allocator: as free() and realloc() of the C library, on its memory, but what is
 * given back is wiped first. Any thread. */
void ks_wiped_free(void *p);
void *ks_wiped_realloc(void *p, size_t n);

/** A secret on pages of its own. Zero-initialise it. */
struct ks_secret {
	unsigned char *bytes;
	size_t n;
	size_t cap;
};

/** Allocates room for `cap` bytes (1 to 1 MiB, else KS_TOO_LARGE): locked, MADV_DONTDUMP, guard pages around. The room
 * ends where the guard page begins, so it is not aligned. KS_MEMORY where memory or the limit of locked memory is
 * exhausted. */
KS_MUST_USE enum ks_err ks_secret_new(struct ks_secret *ret_secret, size_t cap);

/** Replaces the content; what was there is wiped first. KS_TOO_LARGE beyond `cap`. `bytes` may not overlap. */
KS_MUST_USE enum ks_err ks_secret_set(struct ks_secret *secret, const void *bytes, size_t n);

/** Wipes and frees; the struct is zero afterwards. The pages of a small one may be kept, wiped and locked, for the next.
 * Safe on a zero struct. Fits KS_AUTO. Any thread. */
void ks_secret_free(struct ks_secret *secret);

/** The same of a large one of which at most the first `used` bytes were ever written: the others are not wiped. */
void ks_secret_free_used(struct ks_secret *secret, size_t used);
