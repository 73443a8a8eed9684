/* SPDX-License-Identifier: Apache-2.0 */
/** Reading references: the value of a secret that lies in the tenant's own secret manager, fetched anew for each call.
 *
 * Nothing is cached, neither a value nor a session: each read shows the service's own credential (an identity of the
 * operator's, secretstore/identity.h), gets the right to read, and reads. A trust that the tenant revokes fails the very
 * next read. What is kept between reads: connections, and for each store that a tenant uses how often it failed lately.
 *
 * Shared fetches: of reads of one reference for one tenant, those that wait for a free place at the same moment share one
 * fetch. A read that comes after a fetch began never joins it: what it gets was fetched after it asked.
 *
 * Bounds: so many reads at once per tenant and store; four times as many wait, in the order they came; more are refused
 * at once (BUSY). After so many failures in a row of a kind that is the store's own (codes.def, third column) the circuit
 * of that tenant and store opens: reads fail at once (CIRCUIT_OPEN) for a while, then one is let through to see. No tenant's
 * store takes a place of another's. There is no second try (but for a kept connection that turns out to
 * be closed): a call waits for the answer, and the caller knows best.
 *
 * Threads: any number; each waits in its own call, so that whoever serves HTTP reads on threads of its own. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "fetch/fetch.h"
#include "secretstore/reference.h"

#define KS_SECRETSTORE_VALUE_MAX 32768  /* bytes of a value */
#define KS_SECRETSTORE_VERSION_SIZE 128 /* of the store's name of a version, terminated */
#define KS_SECRETSTORE_SAID_SIZE 64     /* of the store's name of an error, terminated */
#define KS_SECRETSTORE_TOKEN_MAX 8192   /* bytes of a token that shows who the service is */

struct ks_secretstore;

/** Makes a JWT of the service's own issuer that says `organization` as its subject and `audience` as the only audience;
 * appends it to `out`, a secret. Any thread. */
typedef enum ks_err (*ks_secretstore_mint_fn)(void *ctx, struct ks_str organization, struct ks_str audience, struct ks_buf *out);

struct ks_secretstore_options {
	struct ks_fetch_options fetch;
	const char *identities;      /* file of the operator's identities; NULL: none */
	const char *credentials;     /* directory of systemd's credentials, which "credential:NAME" means; NULL: none */
	unsigned timeout_ms;         /* for one read where it says no less */
	unsigned concurrency;        /* reads at once of one tenant and store; at least 1 */
	unsigned circuit_failures;   /* that open it; 0: never */
	unsigned circuit_open_ms;
	ks_secretstore_mint_fn mint; /* NULL: identities with `token_audience` cannot be used */
	void *mint_ctx;
};

struct ks_secretstore_problem {
	char text[256];
};

/** KS_OK; KS_MALFORMED, KS_NOT_FOUND, KS_FORBIDDEN: the identities cannot be used, *ret_problem says why; KS_MEMORY,
 * KS_CRYPTO. Options are copied; what they point to must live as long, but for the texts. */
KS_MUST_USE enum ks_err ks_secretstore_new(const struct ks_secretstore_options *options, struct ks_secretstore **ret_store,
					   struct ks_secretstore_problem *ret_problem);
/** Reads the identities anew; reads that began go on with what they have. What is in force stays where this fails; results
 * as of ks_secretstore_new. Any thread. */
KS_MUST_USE enum ks_err ks_secretstore_reload(struct ks_secretstore *store, struct ks_secretstore_problem *ret_problem);
/** Ends reads under way and all later ones with STOPPING; does not wait. Any thread. */
void ks_secretstore_stop(struct ks_secretstore *store);
/** Takes a pointer to NULL. No read may be under way. */
void ks_secretstore_free(struct ks_secretstore **store);

/** Borrowed for the call. */
struct ks_secretstore_ask {
	struct ks_str organization;  /* id, as text: whose identities, and the session's name at the store */
	struct ks_str tenant;        /* id, as text: whose circuit and places */
	struct ks_str reference;     /* JSON */
	unsigned timeout_ms;         /* for all of it, waiting included; 0 or more than the setting: the setting */
	bool worked_before;          /* it was read once: a role that refuses now was revoked, its external_id is not wrong */
};

struct ks_secretstore_answer {
	struct ks_secret value;      /* empty but for OK; the caller frees it */
	char version[KS_SECRETSTORE_VERSION_SIZE]; /* the store's name of the version that was read; "" where unknown */
	char said[KS_SECRETSTORE_SAID_SIZE]; /* the store's name of its error, for the operator's log; "" where none */
	int status;                  /* of the last answer; 0: none */
	unsigned elapsed_ms;
	unsigned requests;           /* that this read made: 0 where it shared another's fetch */
	bool shared;                 /* others waited at the same moment and got the same */
};

/** Reads. Everything but OK leaves *ret_answer without value. */
KS_MUST_USE enum ks_secretstore_code ks_secretstore_read(struct ks_secretstore *store, const struct ks_secretstore_ask *ask,
							  struct ks_secretstore_answer *ret_answer);
/** Wipes and frees the value. */
void ks_secretstore_answer_free(struct ks_secretstore_answer *answer);

/* ---- what the metrics tell ---- */

/** Upper ends of the buckets of latency, in milliseconds; one more bucket is for what is slower. */
#define KS_SECRETSTORE_BUCKETS(X) X(10) X(25) X(50) X(100) X(250) X(500) X(1000) X(2500) X(5000) X(10000)
enum {
#define X(ms) KS_SECRETSTORE_BUCKET_##ms,
	KS_SECRETSTORE_BUCKETS(X)
#undef X
	KS_SECRETSTORE_BUCKET_LAST,
	KS_SECRETSTORE_BUCKET_COUNT
};

struct ks_secretstore_stats {
	uint64_t reads[KS_SECRETSTORE_KIND_COUNT][KS_SECRETSTORE_CODE_COUNT];
	uint64_t buckets[KS_SECRETSTORE_KIND_COUNT][KS_SECRETSTORE_BUCKET_COUNT]; /* of fetches, not summed up */
	uint64_t elapsed_ms[KS_SECRETSTORE_KIND_COUNT];                          /* of fetches, in sum */
	uint64_t shared;         /* reads that got another's fetch */
	uint64_t circuits_opened;
	unsigned circuits_open;  /* now, of tenants and stores */
	unsigned running, waiting; /* now */
};

void ks_secretstore_stats(struct ks_secretstore *store, struct ks_secretstore_stats *ret_stats);
/** The same as text for GET /metrics (OpenMetrics); as much as `out` holds. */
void ks_secretstore_put_metrics(struct ks_secretstore *store, struct ks_buf *out);
