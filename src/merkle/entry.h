/* SPDX-License-Identifier: Apache-2.0 */
/** The leaf of an audit entry: exactly which bytes are hashed (docs/audit.md). All of it is text as the tenant is shown
 * it, but for who acted: in the place of the actor's id stands a commitment to it, so that one who may not know the id
 * can compute the same leaf. The salt makes the id (and the whole leaf, for one who sees only its hash) impossible to
 * guess. */
#pragma once

#include "merkle/merkle.h"

#define KS_AUDIT_SALT_SIZE 16

/** Members of an entry that stand in its leaf as they stand in an export, in the order in which they are hashed: X(name).
 * Tenant and organization are hashed as the 13 characters behind the prefix of their ids; what is null is empty. */
#define KS_AUDIT_LEAF_WORDS(X) \
	X(place)               \
	X(on_behalf)           \
	X(action)              \
	X(object)              \
	X(tenant)              \
	X(organization)        \
	X(outcome)             \
	X(address)             \
	X(request_id)
#define KS_AUDIT_LEAF_TEXTS(X) KS_AUDIT_LEAF_WORDS(X) X(detail) /* of which the last is JSON */

/** Members of an entry in an export, in the order of CSV: the words among them, and all of them. */
#define KS_AUDIT_COLUMN_WORDS(X) X(leaf) X(id) X(at) X(actor) X(salt) X(commitment) KS_AUDIT_LEAF_WORDS(X)
#define KS_AUDIT_COLUMNS(X) X(index) KS_AUDIT_COLUMN_WORDS(X) X(detail)

struct ks_audit_leaf {
	struct ks_str id;
	struct ks_str at;
#define X(name) struct ks_str name;
	KS_AUDIT_LEAF_TEXTS(X)
#undef X
};

/** Commitment to the actor's id: SHA-256("keystile-audit-actor-v1" || 0x00 || salt || actor). */
KS_MUST_USE enum ks_err ks_audit_commit(const uint8_t salt[KS_AUDIT_SALT_SIZE], struct ks_str actor,
					struct ks_digest *ret_commitment);

/** The leaf's hash over: "keystile-audit-v1", id, at, the commitment, and the texts above, each with its length before
 * it in four bytes, the greatest first. KS_TOO_LARGE: a text of 4 GiB. Any thread; nothing is allocated. */
KS_MUST_USE enum ks_err ks_audit_leaf_hash(const struct ks_audit_leaf *leaf, const struct ks_digest *commitment,
					   struct ks_digest *ret_hash);
