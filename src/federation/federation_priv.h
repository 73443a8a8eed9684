/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of this directory share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "crypto/seal.h"
#include "federation/federation.h"
#include "jose/claims.h"
#include "jose/jwk.h"
#include "store/federation.h"

/** Why something of others was not good: a code, such as "timeout", "status_404", "issuer_mismatch". */
struct ks_failure {
	char code[KS_STORE_FAILURE_MAX];
};
/** Fills *failure; false, so that `return ks_fail(…)` says it. */
bool ks_fail(struct ks_failure *failure, const char *fmt, ...) KS_PRINTF(2, 3);

/** The document by which a provider describes itself (OpenID Connect Discovery 1.0). Terminated texts; empty: not
 * given. */
struct ks_metadata {
	char authorization_endpoint[KS_STORE_URL_MAX + 1];
	char token_endpoint[KS_STORE_URL_MAX + 1];
	char userinfo_endpoint[KS_STORE_URL_MAX + 1];
	char jwks_uri[KS_STORE_URL_MAX + 1];
	bool names_itself;   /* its answers carry `iss` (RFC 9207) */
	bool secret_in_body; /* takes the client's secret in the body alone */
};

/** Fetches and reads it. */
KS_MUST_USE bool ks_discover(struct ks_federation *federation, struct ks_str issuer, struct ks_metadata *ret_metadata,
			     struct ks_failure *ret_failure);
/** Fetches a set of keys and writes the usable ones as a set, at most KS_STORE_JWKS_MAX bytes; heap. False also where
 * there is none. */
KS_MUST_USE bool ks_fetch_keys(struct ks_federation *federation, struct ks_str url, char **ret_jwks,
			       struct ks_failure *ret_failure);
/** GET, or POST where the request has a body: true if the answer is 200 and strict JSON, with an object at its top. The
 * response is the caller's to free then. */
KS_MUST_USE bool ks_fetch_json(struct ks_federation *federation, const struct ks_fetch_request *request,
			       struct ks_fetch_response *ret_response, struct ks_failure *ret_failure);
/** The member `name`, a string without control characters, copied; false: not there, not such, or too long. */
bool ks_json_copy(struct ks_str object, const char *name, char *to, size_t cap);

/** What is known of a provider, for some minutes. */
struct ks_known_provider {
	uint64_t id; /* 0: free */
	int64_t metadata_ms, keys_ms, kid_ms, failed_ms;
	struct ks_metadata metadata;
	char *jwks; /* heap; NULL: not fetched */
};
#define KS_KNOWN_PROVIDERS 64

struct ks_federation_work {
	void (*work)(void *ctx, struct ks_engine_reader *reader);
	void *ctx;
};

struct ks_asked {
	uint64_t issuer;
	int64_t at_ms;
	bool waits;
};
#define KS_ASKED_MAX 256

struct ks_federation {
	struct ks_engine *engine;
	struct ks_federation_options options;
	struct ks_fetch *fetch;
	struct ks_secret cookie_key;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t wake;
	bool started, stopping;
	pthread_t threads[KS_FEDERATION_WORKERS];
	size_t thread_count, idle_count;
	struct ks_federation_work queue[KS_FEDERATION_QUEUE_MAX];
	size_t queue_at, queue_count;
	uint64_t busy[KS_FEDERATION_WORKERS]; /* issuers that are being fetched */
	struct ks_asked asked[KS_ASKED_MAX];
	struct ks_known_provider known[KS_KNOWN_PROVIDERS];
};

int64_t ks_federation_now_ms(void);
void ks_federation_say(const struct ks_federation *federation, int level, const char *event, const char *fmt, ...)
	KS_PRINTF(4, 5);
/** `ms`, a tenth more or less: what many do at the same interval they should not do at the same time. */
int64_t ks_jittered(int64_t ms);

/** Looks for an issuer whose keys are due, and fetches them. False: none is; *ret_wait_ms: how long that is so. The
 * lock is held, and let go of meanwhile. */
bool ks_keeper_step(struct ks_federation *federation, size_t worker, struct ks_engine_reader *reader,
		    int64_t *ret_wait_ms);

/** What an ID token must be. */
struct ks_id_token_wants {
	struct ks_str issuer, client_id, nonce;
	struct ks_str access_token; /* for at_hash */
	int64_t now_ms;
};
struct ks_id_token {
	struct ks_jws jws;
	struct ks_claims claims;
};
/** Checks a token with the keys of `jwks` (OpenID Connect Core, 3.1.3.7). False: *ret_problem says why, KEY_UNKNOWN
 * where other keys may help; *ret_failure in a word. */
KS_MUST_USE bool ks_id_token_check(struct ks_str token, struct ks_str jwks, const struct ks_id_token_wants *wants,
				   struct ks_id_token *ret_token, enum ks_jose_problem *ret_problem,
				   struct ks_failure *ret_failure);
