/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/entry.h"

enum {
	VERSION, ID, AT, COMMITMENT,
#define X(name) FIELD_##name,
	KS_AUDIT_LEAF_TEXTS(X)
#undef X
	FIELDS
};

enum ks_err ks_audit_commit(const uint8_t salt[KS_AUDIT_SALT_SIZE], struct ks_str actor,
			    struct ks_digest *ret_commitment)
{
	static const char word[] = "keystile-audit-actor-v1";
	const struct ks_str parts[] = {{word, sizeof(word)}, {(const char *)salt, KS_AUDIT_SALT_SIZE}, actor};

	return ks_sha256_parts(parts, KS_ARRAY_LEN(parts), ret_commitment);
}

static void put_length(char *at, size_t n)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (char)(n >> (24 - 8 * i));
}

enum ks_err ks_audit_leaf_hash(const struct ks_audit_leaf *leaf, const struct ks_digest *commitment,
			       struct ks_digest *ret_hash)
{
	const struct ks_str fields[FIELDS] = {
		[VERSION] = KS_STR("keystile-audit-v1"),
		[ID] = leaf->id,
		[AT] = leaf->at,
		[COMMITMENT] = {(const char *)commitment->bytes, sizeof(commitment->bytes)},
#define X(name) [FIELD_##name] = leaf->name,
		KS_AUDIT_LEAF_TEXTS(X)
#undef X
	};
	struct ks_str parts[1 + 2 * FIELDS] = {{"\x00", 1}};
	char lengths[FIELDS][4];

	for (size_t i = 0; i < FIELDS; i++) {
		if (fields[i].n > UINT32_MAX)
			return KS_TOO_LARGE;
		put_length(lengths[i], fields[i].n);
		parts[1 + 2 * i] = ks_str_of(lengths[i], sizeof(lengths[i]));
		parts[2 + 2 * i] = fields[i];
	}
	return ks_sha256_parts(parts, KS_ARRAY_LEN(parts), ret_hash);
}
