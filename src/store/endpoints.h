/* SPDX-License-Identifier: Apache-2.0 */
/** The part of the truth about endpoints, what they are signed with, and what was sent to them. Rules and errors are those
 * of store/store.h. */
#pragma once

#include "store/store.h"

#define KS_STORE_URL_MAX 2048
#define KS_STORE_ENDPOINT_EVENTS_MAX 2048  /* bytes of the types that it listens to */
#define KS_STORE_DESCRIPTION_MAX 500
#define KS_STORE_PUBLIC_MAX 128
#define KS_STORE_ENDPOINT_SECRET_MAX 256   /* bytes, sealed */
#define KS_STORE_EXCERPT_MAX 512

/** X(name, text) */
#define KS_ENDPOINT_STATES(X)    \
	X(ACTIVE, "active")      \
	X(PAUSED, "paused")      \
	X(DISABLED, "disabled")

enum ks_endpoint_state {
#define X(name, text) KS_ENDPOINT_##name,
	KS_ENDPOINT_STATES(X)
#undef X
	KS_ENDPOINT_STATE_COUNT
};
/** Static. */
const char *ks_endpoint_state_text(enum ks_endpoint_state state);
KS_MUST_USE bool ks_endpoint_state_parse(struct ks_str text, enum ks_endpoint_state *ret_state);

/** Of the Standard Webhooks scheme: X(name, text) */
#define KS_ENDPOINT_SIGNATURES(X) \
	X(V1, "v1")   /* HMAC-SHA256 */ \
	X(V1A, "v1a") /* Ed25519 */

enum ks_endpoint_signature {
#define X(name, text) KS_ENDPOINT_##name,
	KS_ENDPOINT_SIGNATURES(X)
#undef X
	KS_ENDPOINT_SIGNATURE_COUNT
};
const char *ks_endpoint_signature_text(enum ks_endpoint_signature signature);
KS_MUST_USE bool ks_endpoint_signature_parse(struct ks_str text, enum ks_endpoint_signature *ret_signature);

/** X(name, text) */
#define KS_DELIVERY_STATES(X)      \
	X(PENDING, "pending")      \
	X(DELIVERED, "delivered")  \
	X(FAILED, "failed")

enum ks_delivery_state {
#define X(name, text) KS_DELIVERY_##name,
	KS_DELIVERY_STATES(X)
#undef X
	KS_DELIVERY_STATE_COUNT
};
const char *ks_delivery_state_text(enum ks_delivery_state state);
KS_MUST_USE bool ks_delivery_state_parse(struct ks_str text, enum ks_delivery_state *ret_state);

/* ---- endpoints ---- */

struct ks_endpoint_row {
	uint64_t id;
	uint64_t version;      /* an id, greater with every change of any endpoint */
	uint64_t organization; /* of the tenant; 0: none */
	uint64_t tenant;
	enum ks_endpoint_state state;
	enum ks_endpoint_signature signature; /* of the current secret */
	uint64_t concurrency;  /* requests at a time; 0: as the service has it */
	uint64_t rate_limit;   /* requests in a second; 0: none */
	int64_t created_at;
	int64_t failing_since; /* since when no attempt went well; KS_TIME_NONE */
	int64_t disabled_at;   /* KS_TIME_NONE */
	int64_t deleted_at;    /* KS_TIME_NONE */
	struct ks_str url;
	struct ks_str events;  /* "*", or types with a blank between */
	struct ks_str description;
	struct ks_str reason;  /* why it is disabled: "gone", "failing"; else empty */
	struct ks_str created_by;
};
typedef enum ks_err ks_endpoint_each(void *ctx, const struct ks_endpoint_row *row);

/** KS_CONFLICT: the id is taken. KS_NOT_FOUND: the tenant is not there. */
KS_MUST_USE enum ks_err ks_store_endpoint_insert(struct ks_store *store, const struct ks_endpoint_row *row);
/** Updates all but id, organization, tenant, created_at and created_by. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_endpoint_update(struct ks_store *store, const struct ks_endpoint_row *row);
/** Sets failing_since alone, without a new version. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_endpoint_failing(struct ks_store *store, uint64_t id, int64_t since);
/** Deleted ones too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_endpoint_get(struct ks_store *store, uint64_t id, ks_endpoint_each *each, void *ctx);
/** Newest first, without those that are deleted. By index in any case. */
struct ks_endpoint_filter {
	uint64_t organization; /* 0: any */
	uint64_t tenant;       /* 0: any */
	uint64_t before;       /* 0: from the newest */
	size_t limit;
};
KS_MUST_USE enum ks_err ks_store_endpoints(struct ks_store *store, const struct ks_endpoint_filter *filter,
					   ks_endpoint_each *each, void *ctx);
/** Those whose version is above `version`, deleted ones too, in the order of versions. */
KS_MUST_USE enum ks_err ks_store_endpoints_changed(struct ks_store *store, uint64_t version, size_t limit,
						   ks_endpoint_each *each, void *ctx);

struct ks_endpoint_secret_row {
	uint64_t id;
	uint64_t endpoint;
	enum ks_endpoint_signature signature;
	int64_t created_at;
	int64_t ends_at;          /* KS_TIME_NONE: it is the current one */
	struct ks_str public_key; /* "whpk_…"; empty for an HMAC */
	struct ks_str sealed;
};
typedef enum ks_err ks_endpoint_secret_each(void *ctx, const struct ks_endpoint_secret_row *row);

KS_MUST_USE enum ks_err ks_store_endpoint_secret_insert(struct ks_store *store, const struct ks_endpoint_secret_row *row);
/** Every one of the endpoint's that has no end ends at `at`; one that ends later, then too. */
KS_MUST_USE enum ks_err ks_store_endpoint_secrets_end(struct ks_store *store, uint64_t endpoint, int64_t at);
/** Forgets those of the endpoint that ended at `at` or before. */
KS_MUST_USE enum ks_err ks_store_endpoint_secrets_forget(struct ks_store *store, uint64_t endpoint, int64_t at);
/** Newest first. */
KS_MUST_USE enum ks_err ks_store_endpoint_secrets(struct ks_store *store, uint64_t endpoint, ks_endpoint_secret_each *each,
						  void *ctx);

/* ---- deliveries ---- */

struct ks_delivery_row {
	uint64_t id;
	uint64_t endpoint;
	uint64_t event;
	uint64_t organization; /* of the endpoint; 0: none */
	uint64_t tenant;
	enum ks_delivery_state state;
	uint64_t attempts;     /* made in all */
	uint64_t tries;        /* made in this round */
	int64_t due_at;        /* of the next; KS_TIME_NONE: it is over */
	int64_t first_at;      /* first try of the round; KS_TIME_NONE */
	int64_t ended_at;      /* KS_TIME_NONE */
	uint64_t status;       /* of the last answer; 0: there was none */
	uint64_t elapsed_ms;   /* that the last attempt took */
	struct ks_str type;    /* of the event */
	struct ks_str code;    /* of the last attempt; empty before the first */
};
typedef enum ks_err ks_delivery_each(void *ctx, const struct ks_delivery_row *row);

/** KS_CONFLICT: the id is taken, or the endpoint has this event already. */
KS_MUST_USE enum ks_err ks_store_delivery_insert(struct ks_store *store, const struct ks_delivery_row *row);
/** Updates state and all that an attempt or a replay changes. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_delivery_update(struct ks_store *store, const struct ks_delivery_row *row);
KS_MUST_USE enum ks_err ks_store_delivery_get(struct ks_store *store, uint64_t id, ks_delivery_each *each, void *ctx);

/** Newest first; of an endpoint, newest event first. By the index of the endpoint, the tenant or the organization, the
 * narrowest that is given; of an endpoint those that failed by an index of their own. */
struct ks_delivery_filter {
	uint64_t organization; /* 0: any */
	uint64_t tenant;       /* 0: any */
	uint64_t endpoint;     /* 0: any */
	enum ks_delivery_state state; /* COUNT: any */
	int64_t from, to;      /* [from, to) of the time in the event's id; KS_TIME_NONE: open */
	uint64_t before;       /* what comes after the delivery with this id; 0: from the newest */
	size_t limit;
};
KS_MUST_USE enum ks_err ks_store_deliveries(struct ks_store *store, const struct ks_delivery_filter *filter,
					    ks_delivery_each *each, void *ctx);
/** The endpoint's dead letters of events [first, end), oldest event first. */
KS_MUST_USE enum ks_err ks_store_deliveries_failed(struct ks_store *store, uint64_t endpoint, uint64_t first, uint64_t end,
						   size_t limit, ks_delivery_each *each, void *ctx);
/** The endpoint's delivery of the event. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_delivery_of(struct ks_store *store, uint64_t endpoint, uint64_t event, ks_delivery_each *each,
					     void *ctx);
/** Pending ones of an endpoint, the first that is due first (not due yet: too). */
KS_MUST_USE enum ks_err ks_store_deliveries_due(struct ks_store *store, uint64_t endpoint, size_t limit,
						ks_delivery_each *each, void *ctx);
/** The same from the other end: due at `now_ms` at the latest, the last that became due first. */
KS_MUST_USE enum ks_err ks_store_deliveries_newest(struct ks_store *store, uint64_t endpoint, int64_t now_ms, size_t limit,
						   ks_delivery_each *each, void *ctx);

struct ks_attempt_row {
	uint64_t delivery;
	uint64_t number;       /* 1, 2, … */
	int64_t at;            /* when it began */
	uint64_t status;       /* 0: no answer */
	uint64_t elapsed_ms;
	struct ks_str code;
	struct ks_str excerpt; /* of the answer's body: printable */
};
typedef enum ks_err ks_attempt_each(void *ctx, const struct ks_attempt_row *row);
KS_MUST_USE enum ks_err ks_store_attempt_insert(struct ks_store *store, const struct ks_attempt_row *row);
/** Oldest first. */
KS_MUST_USE enum ks_err ks_store_attempts(struct ks_store *store, uint64_t delivery, ks_attempt_each *each, void *ctx);

/** Forgets, with their attempts, at most `limit` whose id is of before `before`, the oldest first. */
KS_MUST_USE enum ks_err ks_store_deliveries_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed);

/* ---- the cursor ---- */
/** The last event that was handed out. */
KS_MUST_USE enum ks_err ks_store_cursor_get(struct ks_store *store, uint64_t *ret_event);
KS_MUST_USE enum ks_err ks_store_cursor_set(struct ks_store *store, uint64_t event);
