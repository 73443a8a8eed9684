/* SPDX-License-Identifier: Apache-2.0 */
/** Audit entries: who did what to what, in the transaction that did it. */
#pragma once

#include "base/buf.h"
#include "engine/actor.h"
#include "engine/engine.h"

/** One thing that was done. Borrowed for the call. */
struct ks_audit_note {
	const char *action;          /* "key.create" */
	uint64_t organization;       /* whose log; 0: the operator's */
	uint64_t tenant;
	enum ks_id_type object_type;
	uint64_t object;             /* 0: none */
	const char *outcome;         /* a code; NULL: "ok" */
	struct ks_str detail;        /* JSON object of at most KS_STORE_DETAIL_MAX bytes, or empty; never a secret */
};

/** Adds a member to a detail under construction (an empty buffer at first); ks_audit_end closes it and returns the
 * text, empty where it did not fit. */
void ks_audit_put(struct ks_buf *detail, const char *name, struct ks_str value);
struct ks_str ks_audit_end(struct ks_buf *detail);
/** The same; null where the value is empty. */
void ks_audit_put_some(struct ks_buf *detail, const char *name, struct ks_str value);
/** The same for a number; a time (null for KS_TIME_NONE); an id (null for 0). */
void ks_audit_put_u64(struct ks_buf *detail, const char *name, uint64_t value);
void ks_audit_put_time(struct ks_buf *detail, const char *name, int64_t ms);
void ks_audit_put_id(struct ks_buf *detail, const char *name, enum ks_id_type type, uint64_t id);

/** Appends the entry. `actor` NULL: the service itself ("system"). on_behalf is the actor's effective tenant where that
 * is not its own. */
KS_MUST_USE enum ks_err ks_tx_audit(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_audit_note *note);
