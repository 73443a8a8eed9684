/* SPDX-License-Identifier: Apache-2.0 */
/** The audit as a provable log, as the API shows it: which log a call is about, and entries with all that their leaves
 * are made of. */
#pragma once

#include "api/api_priv.h"
#include "engine/audit_log.h"

/** One log: whose, and what of it is asked for. */
struct ks_audit_log {
	uint64_t tree;           /* number of the tree */
	uint64_t tenant;         /* within an organization: its entries alone; 0: all that the caller sees */
};

/** Reads the query's `tenant`: an organization, a partner or the operator is its whole log, what is below an organization
 * its own entries in that one's. Without it, the log of the tenant that the caller acts for. False: answered. */
KS_MUST_USE bool ks_audit_log_read(struct ks_call *call, struct ks_audit_log *ret_log);

/** Who looks at entries, and what was found out of the last actor. */
struct ks_audit_eyes {
	const struct ks_actor *actor;
	const struct ks_ring *ring;
	struct ks_viewer viewer;
	char last[KS_STORE_ACTOR_MAX + 1];
	bool sees_last;
};
void ks_audit_eyes_open(struct ks_audit_eyes *eyes, const struct ks_actor *actor, struct ks_store *store,
			const struct ks_ring *ring);

/** Longest entry that these write. */
#define KS_AUDIT_RECORD_MAX 16384u

/** One JSON object of an entry (docs/audit.md): the members of the list, and index, leaf, place, and salt or commitment. */
void ks_audit_put_entry(struct ks_buf *out, struct ks_audit_eyes *eyes, const struct ks_audit_row *row);
/** The same as a record of CSV (RFC 4180), without its line end. */
void ks_audit_put_csv(struct ks_buf *out, struct ks_audit_eyes *eyes, const struct ks_audit_row *row);
/** The heading of CSV. */
void ks_audit_put_csv_heading(struct ks_buf *out);

/** A hash in base64. */
void ks_audit_put_hash(struct ks_buf *out, const void *bytes, size_t n);
/** The code of what failed. */
enum ks_problem ks_audit_problem(enum ks_err err);
