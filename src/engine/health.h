/* SPDX-License-Identifier: Apache-2.0 */
/** What probes found, into the truth: how each provider is, since when, how it was, and who is told (seed 000; CONTRACT,
 * `GET /v1/providers/{id}/health`). Who probes is module health.
 *
 * Flapping. Trouble that may pass by itself (no answer, no connection, an error of the platform's) makes a provider degraded;
 * it is failing once that happened `failures` times in a row. A refusal makes it failing at once, one good probe healthy
 * again. A change is told as an event (`provider.health_changed`), except the first passing trouble, which is told when it
 * happens a second time in a row; if it does not, nothing is ever told of it. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"
#include "store/health.h"

#define KS_HEALTH_CODE_SIZE 64
#define KS_HEALTH_DETAIL_SIZE 160
#define KS_HEALTH_NAME_SIZE 64
#define KS_HEALTH_FIELDS_MAX 32

struct ks_health_field {
	char name[KS_HEALTH_NAME_SIZE];
	enum ks_health_status status;
	char code[KS_HEALTH_CODE_SIZE];
};

/** What one probe found. */
struct ks_health_found {
	uint64_t provider;
	uint64_t set;                /* that was probed; 0: none, nothing was opened */
	int64_t at;
	int64_t due_at;              /* of the next probe; KS_TIME_NONE: none */
	enum ks_health_status status;
	bool passing;                /* the trouble may pass by itself */
	bool postponed;              /* not probed, where too many wait: nothing but `due_at` counts */
	char code[KS_HEALTH_CODE_SIZE];
	char detail[KS_HEALTH_DETAIL_SIZE];
	bool opened;                 /* values were opened for it: audited */
	size_t field_count;
	struct ks_health_field fields[KS_HEALTH_FIELDS_MAX];
};

/** X of a status that was kept, and what follows. Pure. */
struct ks_health_step {
	enum ks_health_status status;
	uint64_t failures;
	bool tell;                   /* the change, as an event */
};
/** `failures` of the options: so many in a row make it failing (1: the first does). */
struct ks_health_step ks_health_next(enum ks_health_status status, enum ks_health_status told, uint64_t failures_before,
				     const struct ks_health_found *found, uint64_t failures);

/** Writes what was found: the row, an entry of the history where status or code changed, the event where it is told, and
 * the audit entry of the opening: one for each set that is opened, and one a day while it goes on being opened, with how
 * often it was (action `secret.probe`). A provider that is gone is forgotten. Writer's thread. */
KS_MUST_USE enum ks_err ks_health_record(struct ks_tx *tx, const struct ks_health_found *found, uint64_t failures);

/** A first row for a provider that has none, due at `due_at`. Writer's thread. */
KS_MUST_USE enum ks_err ks_health_adopt(struct ks_tx *tx, uint64_t provider, int64_t due_at);

/** Audits that a person asked for a probe (action `provider.probe`). KS_NOT_FOUND, refusal "not_found": the actor does not
 * see the provider. Writer's thread. */
KS_MUST_USE enum ks_err ks_health_asked(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider,
					struct ks_refusal *ret_refusal);

/** Reads the lines that a row keeps about fields, with since when each is so: false at the end. */
KS_MUST_USE bool ks_health_next_field(struct ks_str *lines, struct ks_str *ret_name, struct ks_str *ret_status,
				      struct ks_str *ret_code, int64_t *ret_since);
