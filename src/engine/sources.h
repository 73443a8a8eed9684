/* SPDX-License-Identifier: Apache-2.0 */
/** Sources: where webhooks of others come from, and what each is verified with (BRIEF, "Webhooks: In"). What verifies
 * is above (inbound/); here are the rows, who may change them, and what is written of a request that was genuine.
 * Functions with a transaction run in a job and write rows, audit entries and events together. */
#pragma once

#include "base/secret.h"
#include "engine/actor.h"
#include "engine/engine.h"
#include "engine/vault.h"
#include "store/sources.h"

#define KS_SOURCE_OVERLAP_MAX_S 2592000
#define KS_SOURCE_VERSIONS_MAX 8   /* of parameters that hold at one time */
/** Bytes of the secret parameters of a source together, as JSON. */
#define KS_SOURCE_SECRET_MAX KS_VAULT_VALUE_MAX

/** Where a source that is being made will belong. */
struct ks_source_home {
	uint64_t id;
	uint64_t tenant;
	uint64_t organization;
};

/** An id for a new source of `tenant` (0: the actor's effective one) with `provider` (0: none), and whose it is.
 * Waits; any thread but the writer's. Refusals: invalid (no organization; a provider of another tenant),
 * tenant_forbidden. */
KS_MUST_USE enum ks_err ks_source_reserve(struct ks_engine *engine, const struct ks_actor *actor, uint64_t tenant,
					  uint64_t provider, struct ks_source_home *ret_home, struct ks_refusal *ret_refusal);

/** Seals secret parameters (a JSON object) for `home` and the revision that they will have. Waits; any thread but the
 * writer's; ks_vault_prepared_free gives it back. Errors of ks_vault_prepare. */
KS_MUST_USE enum ks_err ks_source_seal(struct ks_engine *engine, const struct ks_source_home *home, uint64_t revision,
				       struct ks_str secrets, struct ks_vault_prepared **ret_sealed,
				       struct ks_refusal *ret_refusal);

/** Opens them: a text in *ret_secrets, to be given back with ks_secret_free. `row` is one of the source's.
 * KS_CORRUPT: it is not what was sealed, or the organization's key was erased. Waits; any thread but the writer's. */
KS_MUST_USE enum ks_err ks_source_open(struct ks_engine *engine, struct ks_store *store,
				       const struct ks_source_home *home,
				       const struct ks_source_parameters_row *row, struct ks_secret *ret_secrets);

/** Writes that the provider's fields are opened to verify what comes to the source. Waits; any thread but the
 * writer's. */
KS_MUST_USE enum ks_err ks_source_opens(struct ks_engine *engine, const struct ks_source_home *home, uint64_t provider,
					uint64_t set);

/** What a new source is. Borrowed. */
struct ks_source_input {
	struct ks_source_home home;
	uint64_t provider;
	struct ks_str platform, scheme, form, name;
	struct ks_str plain;                    /* JSON object */
	const struct ks_vault_prepared *sealed; /* NULL: nothing is secret */
	int64_t confirm_ms;                     /* challenges that nothing vouches for are answered so long */
};

/** Refusals: invalid, tenant_forbidden (gone since). */
KS_MUST_USE enum ks_err ks_sources_create(struct ks_tx *tx, const struct ks_actor *actor,
					  const struct ks_source_input *input, struct ks_refusal *ret_refusal);

/** Refusals of all that follow: not_found, for what the actor does not see too. What is so already stays so: KS_OK. */
KS_MUST_USE enum ks_err ks_sources_pause(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, bool paused,
					 struct ks_refusal *ret_refusal);
/** Its secrets are erased; what was received stays until its time is over. */
KS_MUST_USE enum ks_err ks_sources_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					  struct ks_refusal *ret_refusal);

/** Other parameters in the place of those of revision `based_on`. Borrowed. */
struct ks_source_rotation {
	uint64_t id;
	uint64_t based_on;
	struct ks_str plain;
	const struct ks_vault_prepared *sealed; /* for based_on + 1; NULL: nothing is secret */
	int64_t overlap_ms;                     /* those before hold so long */
};
/** conflict: the source was changed since, or too many overlap. */
KS_MUST_USE enum ks_err ks_sources_rotate(struct ks_tx *tx, const struct ks_actor *actor,
					  const struct ks_source_rotation *rotation, struct ks_refusal *ret_refusal);
/** A confirmation: challenges that nothing vouches for are answered for `window_ms`, and what the platform asked to be
 * fetched was (`outcome`: a code; NULL: there was nothing to fetch). */
KS_MUST_USE enum ks_err ks_sources_confirm(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					   int64_t window_ms, const char *outcome, struct ks_refusal *ret_refusal);

/** The sources of a tenant that is being deleted go with it. */
KS_MUST_USE enum ks_err ks_sources_tenant_deleted(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant);
/** Erases all secrets of an organization's sources, which stay. */
KS_MUST_USE enum ks_err ks_sources_organization_erased(struct ks_tx *tx, uint64_t organization);

/* ---- what was received ---- */

/** A request that was genuine. Borrowed. */
struct ks_inbound_message {
	uint64_t source, tenant, organization;
	uint64_t revision;             /* of the source as it was verified with */
	struct ks_str name, platform, scheme;
	const struct ks_digest *replay; /* of what identifies it; NULL: nothing does */
	int64_t replay_ms;             /* so long a second one is known */
	int64_t received_at;
	struct ks_str method, target, peer, headers, body; /* as of struct ks_inbound_row */
	struct ks_str confirm_url;     /* the platform asks to have this fetched; empty: it does not */
};

/** What became of it. */
struct ks_inbound_outcome {
	uint64_t id;    /* 0: nothing was written */
	bool duplicate; /* it had been received before */
};

/** Writes it with its event inbound.received; refuses before it writes. Refusals: not_found (the source is gone),
 * conflict (it was changed or paused since). */
KS_MUST_USE enum ks_err ks_inbound_receive(struct ks_tx *tx, const struct ks_inbound_message *message,
					   struct ks_inbound_outcome *ret_outcome, struct ks_refusal *ret_refusal);

/** Adds the request itself to the event's data, as endpoints get it (payload.h): {"request": {"target", "headers",
 * "body_base64"}}. KS_NOT_FOUND: it was forgotten; KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_inbound_payload(struct ks_store *store, const struct ks_event_row *row, struct ks_buf *data);

/** Forgets what is old, a little at a time; true in *ret_more: call again. */
KS_MUST_USE enum ks_err ks_inbound_tend(struct ks_tx *tx, bool *ret_more);
