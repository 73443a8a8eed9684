/* SPDX-License-Identifier: Apache-2.0 */
/** Scopes by number. A table gives each name a number that it keeps as long as the table lives (it stands in the ring), and sets
 * of scopes are bits. Pure. */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/str.h"

#define KS_SCOPES_MAX 512
#define KS_SCOPE_NAME_MAX 63

struct ks_scopes {
	uint64_t bits[KS_SCOPES_MAX / 64];
};

/** One writer appends; readers in other processes see names below `count`. */
struct ks_scope_table {
	_Atomic uint32_t count;
	uint32_t reserved[15];
	char names[KS_SCOPES_MAX][KS_SCOPE_NAME_MAX + 1]; /* terminated */
};

/** 1 to 63 bytes: words of [a-z0-9_-] joined by single colons, a letter first. */
bool ks_scope_name_ok(struct ks_str name);

/** The number of `name`; false if it has none. */
KS_MUST_USE bool ks_scope_find(const struct ks_scope_table *table, struct ks_str name, uint16_t *ret_number);

/** The number of `name`, given now if it had none. KS_MALFORMED for a bad name, KS_FULL beyond 512. Writer only. */
KS_MUST_USE enum ks_err ks_scope_add(struct ks_scope_table *table, struct ks_str name, uint16_t *ret_number);

/** The name, borrowed from the table; empty if `number` is not given. */
struct ks_str ks_scope_name(const struct ks_scope_table *table, uint16_t number);

static inline bool ks_scopes_has(const struct ks_scopes *set, uint16_t number)
{
	return number < KS_SCOPES_MAX && (set->bits[number / 64] >> (number % 64) & 1) != 0;
}

static inline void ks_scopes_set(struct ks_scopes *set, uint16_t number)
{
	if (number < KS_SCOPES_MAX)
		set->bits[number / 64] |= UINT64_C(1) << (number % 64);
}

static inline void ks_scopes_clear(struct ks_scopes *set, uint16_t number)
{
	if (number < KS_SCOPES_MAX)
		set->bits[number / 64] &= ~(UINT64_C(1) << (number % 64));
}

/** Adds to `set` what is in `more`. */
static inline void ks_scopes_add(struct ks_scopes *set, const struct ks_scopes *more)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(set->bits); i++)
		set->bits[i] |= more->bits[i];
}

/** Leaves in `set` only what is in `most` too. */
static inline void ks_scopes_keep(struct ks_scopes *set, const struct ks_scopes *most)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(set->bits); i++)
		set->bits[i] &= most->bits[i];
}

bool ks_scopes_empty(const struct ks_scopes *set);

/** True if every scope of `part` is in `whole`. */
bool ks_scopes_within(const struct ks_scopes *part, const struct ks_scopes *whole);
