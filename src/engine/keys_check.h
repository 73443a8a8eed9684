/* SPDX-License-Identifier: Apache-2.0 */
/** What must hold of a key before it is made: shared by creation, rotation and import; and the row of one that is there. */
#pragma once

#include "engine/grants.h"

#define KS_LABEL_NAME_MAX 64
#define KS_LABEL_VALUE_MAX 256
#define KS_LAST_FOUR_MAX 4

/** What a key is bound to. */
struct ks_key_home {
	uint64_t tenant;
	uint64_t organization;       /* 0: none */
	uint64_t user;               /* user keys; else 0 */
	enum ks_binding binding;
	uint64_t granting;           /* the tenant on which the creator's scopes count, where that is not `tenant`; else 0 */
};

/** 1 to KS_STORE_NAME_MAX bytes of UTF-8 without control characters, not only blanks. Of keys, tenants and users. */
KS_MUST_USE enum ks_err ks_check_name(struct ks_str name, const char *pointer, struct ks_refusal *refusal);

/** Given, and in the future, and before the year 10000; or never (KS_TIME_NONE). */
KS_MUST_USE enum ks_err ks_check_expiry(bool given, int64_t expires_at, int64_t now_ms, struct ks_refusal *refusal);

/** An object of at most KS_KEY_LABELS_MAX members, strings of 1 to 64 bytes to strings of up to 256; or empty. */
KS_MUST_USE enum ks_err ks_check_labels(struct ks_str labels, struct ks_refusal *refusal);

/** One label by itself. `name` and `value` are unescaped. */
KS_MUST_USE enum ks_err ks_check_label(struct ks_str name, struct ks_str value, struct ks_refusal *refusal);

/** Prefix (at most KS_TOKEN_PREFIX_MAX bytes) and last four characters (at most 4) of an imported token: of the
 * alphabet of tokens; may be empty. */
KS_MUST_USE enum ks_err ks_check_hints(struct ks_str prefix, struct ks_str last_four, struct ks_refusal *refusal);

/** Where a key for this tenant (0: the actor's effective one) and user (0: none) belongs. Refusals: tenant_forbidden,
 * invalid. */
KS_MUST_USE enum ks_err ks_key_find_home(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant,
					 uint64_t user, struct ks_key_home *ret_home, struct ks_refusal *refusal);

/** The kind of a key of this home. Refusals: invalid, not_grantable. */
KS_MUST_USE enum ks_err ks_key_find_kind(enum ks_binding binding, const struct ks_actor *actor, bool given,
					 enum ks_kind kind, enum ks_kind *ret_kind, struct ks_refusal *refusal);

/** Sandbox and live are apart: what acts in the sandbox makes sandbox keys alone. Refusal: not_grantable at
 * `pointer`. */
KS_MUST_USE enum ks_err ks_key_check_environment(const struct ks_actor *actor, enum ks_environment environment,
						 const char *pointer, struct ks_refusal *refusal);

/** ks_keys_create for a home that is known already (a tenant made in this transaction). */
KS_MUST_USE enum ks_err ks_key_create_at(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_home *home,
					 const struct ks_key_input *input, struct ks_key_made *ret_made,
					 struct ks_refusal *ret_refusal);

/** A row kept beyond its callback: its name, last four and labels; the other texts are empty. */
struct ks_key_kept {
	struct ks_key_row row;
	char name[KS_STORE_NAME_MAX];
	char last_four[KS_STORE_LAST_FOUR_MAX];
	char labels[KS_STORE_LABELS_MAX];
};

/** A ks_store_key_each: `ctx` is a struct ks_key_kept. */
KS_MUST_USE enum ks_err ks_key_keep(void *ctx, const struct ks_key_row *row);
