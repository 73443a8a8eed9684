/* SPDX-License-Identifier: Apache-2.0 */
/** The members of a key as callers give them: of POST /v1/keys, and of `first_key` of POST /v1/tenants. */
#pragma once

#include "api/call.h"

/** What was read. `input` borrows from the JSON and from `labels`. */
struct ks_key_in {
	struct ks_key_input input;
	char labels[KS_STORE_LABELS_MAX + 1];
};

/** Reads everything but `tenant` and `user`, for form alone; `extra` (NULL-terminated, may be NULL) are further
 * members that the caller reads itself. Problems go to `in`. */
void ks_key_in_read(struct ks_in *in, const json_t *object, const char *base, const char *const *extra,
		    struct ks_key_in *ret_key);

/** A name: required, 1 to KS_STORE_NAME_MAX bytes without control characters. */
struct ks_str ks_name_in(struct ks_in *in, const json_t *object, const char *base);

/** True if `name` is a member of a key's record or of what makes one. */
bool ks_key_has_member(const char *name);

/** The members of a change that may only rename: `name` is read, members for which `is_member` holds are refused as
 * immutable, others as unknown. True: *ret_name is good. False: answered. */
bool ks_call_rename_in(struct ks_call *call, bool (*is_member)(const char *name), struct ks_str *ret_name);

/** Optional bodies that have no members. False: answered. */
bool ks_call_no_members(struct ks_call *call);
