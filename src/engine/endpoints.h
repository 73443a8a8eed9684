/* SPDX-License-Identifier: Apache-2.0 */
/** Endpoints: where our webhooks go. Each function that changes something runs in a job's transaction and writes rows, audit
 * entry and event together. A secret is shown by the call that makes it and never again; the store has it sealed for its
 * row (engine/seal.h). Neither audit nor events hold more of a URL than scheme, host and port: paths may be secrets.
 *
 * An endpoint hears of what GET /v1/events shows to a key of its tenant: an organization's, sub-entity's or project's of
 * the tenant and all below it but personal tenants; a partner's of the partner and its organizations; the operator's of
 * everything; a personal tenant's of itself. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"
#include "store/endpoints.h"

#define KS_ENDPOINT_SECRET_SIZE 96         /* of a secret or public key as text, terminated */
#define KS_ENDPOINT_SECRETS_MAX 4          /* at a time: the current one and those that it follows */
#define KS_ENDPOINTS_MAX 200               /* of a tenant, that are not deleted */
#define KS_ENDPOINT_OVERLAP_MAX_MS INT64_C(604800000)
#define KS_ENDPOINT_CONCURRENCY_MAX 64
#define KS_ENDPOINT_RATE_MAX 100000
#define KS_ENDPOINT_HOST_SIZE 320

/** The members of POST /v1/webhook-endpoints. Borrowed. */
struct ks_endpoint_input {
	uint64_t tenant;             /* 0: the actor's effective one */
	struct ks_str url;
	struct ks_str description;   /* may be empty */
	const struct ks_str *events; /* types, or "*" alone */
	size_t event_count;
	enum ks_endpoint_signature signature;
	uint64_t concurrency;        /* requests at a time; 0: as the service has it */
	uint64_t rate_limit;         /* requests in a second; 0: none */
};

/** What a receiver verifies with. The caller wipes it. */
struct ks_endpoint_secret {
	char text[KS_ENDPOINT_SECRET_SIZE];       /* v1: "whsec_…"; v1a: empty */
	char public_key[KS_ENDPOINT_SECRET_SIZE]; /* v1a: "whpk_…"; v1: empty */
};

/** Refusals: tenant_forbidden, conflict (the tenant has too many), invalid (/url, /events/N, /description, /concurrency, /rate_limit). The URL is judged by its
 * form alone: what it leads to is judged at each request (fetch/fetch.h), and by the caller who has a ks_fetch_url_check. */
KS_MUST_USE enum ks_err ks_endpoints_create(struct ks_tx *tx, const struct ks_actor *actor,
					    const struct ks_endpoint_input *input, uint64_t *ret_id,
					    struct ks_endpoint_secret *ret_secret, struct ks_refusal *ret_refusal);

struct ks_endpoint_patch {
	bool set_url, set_description, set_events, set_concurrency, set_rate_limit;
	struct ks_endpoint_input to; /* those that are set */
};
/** Refusals: not_found, invalid. What changes nothing is KS_OK and leaves no trace. */
KS_MUST_USE enum ks_err ks_endpoints_update(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					    const struct ks_endpoint_patch *patch, struct ks_refusal *ret_refusal);

/** What happens from now on waits until it is resumed; what is under way ends. Refusals: not_found, conflict (it is
 * disabled). */
KS_MUST_USE enum ks_err ks_endpoints_pause(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					   struct ks_refusal *ret_refusal);
/** Also one that is disabled; what it was not sent while it was that is for ks_deliveries_replay_range. Refusals:
 * not_found. */
KS_MUST_USE enum ks_err ks_endpoints_resume(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					    struct ks_refusal *ret_refusal);
/** Nothing is sent any more. Its secrets are forgotten. Refusals: not_found. */
KS_MUST_USE enum ks_err ks_endpoints_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					    struct ks_refusal *ret_refusal);

struct ks_endpoint_rotation {
	enum ks_endpoint_signature signature; /* of the new secret */
	int64_t overlap_ms;                   /* how long the old ones sign too; at most KS_ENDPOINT_OVERLAP_MAX_MS */
};
/** Refusals: not_found, invalid (/overlap_s), conflict (too many still sign). */
KS_MUST_USE enum ks_err ks_endpoints_rotate(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					    const struct ks_endpoint_rotation *rotation,
					    struct ks_endpoint_secret *ret_secret, struct ks_refusal *ret_refusal);

/** An event endpoint.test, for this endpoint alone. Refusals: not_found, conflict (it is not active). */
KS_MUST_USE enum ks_err ks_endpoints_test(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, uint64_t *ret_delivery,
					  struct ks_refusal *ret_refusal);

/* ---- for whoever delivers ---- */

/** What an endpoint's requests are signed with: an HMAC's key, or PKCS #8 of an Ed25519 key. */
#define KS_ENDPOINT_KEY_MAX 64
/** Opens a secret of the store; the caller wipes. Errors of ks_engine_open_sealed. Any thread; waits for the keeper. */
KS_MUST_USE enum ks_err ks_endpoint_secret_open(const struct ks_engine *engine, const struct ks_endpoint_secret_row *row,
						uint8_t ret_key[KS_ENDPOINT_KEY_MAX], size_t *ret_n);

/** True if an endpoint of tenant `own` hears of what happens to `tenant` (0: the operator's). Any thread with a ring. */
bool ks_endpoint_hears(const struct ks_ring *ring, uint64_t own, uint64_t tenant);

/** Disables an active endpoint for `reason`, "gone" or "failing"; another is left as it is. Writer's thread. */
KS_MUST_USE enum ks_err ks_endpoints_disable(struct ks_tx *tx, uint64_t id, const char *reason);

/** "https://host:port" of a URL that was checked. */
void ks_endpoint_host(struct ks_str url, char ret_host[KS_ENDPOINT_HOST_SIZE]);
