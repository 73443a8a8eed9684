/* SPDX-License-Identifier: Apache-2.0 */
/** The service towards those who vouch for its callers: keeps the public keys of configured issuers up to date, and
 * takes part in OpenID Connect logins as a relying party. All of its network is here, on threads of its own: no
 * decision ever waits for anybody outside. */
#pragma once

#include "engine/engine.h"
#include "engine/identity_providers.h"
#include "fetch/fetch.h"

#define KS_FEDERATION_WORKERS 4 /* threads: so many requests to others at one time */
#define KS_FEDERATION_QUEUE_MAX 256
#define KS_FEDERATION_KID_MS INT64_C(60000) /* an unknown kid leads to a fetch this often at most */

struct ks_federation;

struct ks_federation_options {
	struct ks_fetch_options fetch;
	unsigned timeout_ms; /* of one request to others */
	int64_t refresh_ms;  /* keys of issuers are fetched again after this, a tenth more or less */
	ks_engine_log *log;
	void *log_ctx;
};

/** KS_MEMORY, KS_CRYPTO, KS_SYSTEM (no random numbers). Strings are copied. */
KS_MUST_USE enum ks_err ks_federation_new(struct ks_engine *engine, const struct ks_federation_options *options,
					  struct ks_federation **ret_federation);
/** From now on keys are fetched when they are due. */
KS_MUST_USE enum ks_err ks_federation_start(struct ks_federation *federation);
/** Ends requests that are under way, and every later one. Any thread; does not wait. */
void ks_federation_hurry(struct ks_federation *federation);
/** The same, finishes what was queued (it fails fast) and ends the threads. What calls it from then on does nothing. */
void ks_federation_stop(struct ks_federation *federation);
/** Stops and frees. Takes NULL. */
void ks_federation_free(struct ks_federation **federation);

/** Runs `work` on one of the threads, which may wait for the network. `reader` is the thread's own. KS_FULL: too many
 * are waiting; KS_STOPPING; KS_SYSTEM: no thread. */
KS_MUST_USE enum ks_err ks_federation_run(struct ks_federation *federation,
					  void (*work)(void *ctx, struct ks_engine_reader *reader), void *ctx);

/** What can be said of a URL before it is fetched. */
enum ks_fetch_result ks_federation_url_check(const struct ks_federation *federation, struct ks_str url);

/* ---- issuers ---- */

/** Something became due: look again. */
void ks_federation_poke(struct ks_federation *federation);
/** A token names a key that the issuer is not known to have: fetch its keys, unless that was done for the same reason
 * less than KS_FEDERATION_KID_MS ago. Any thread; does not wait. */
void ks_federation_unknown_kid(struct ks_federation *federation, uint64_t issuer);
/** Fetches now and writes what came of it: `actor` NULL is the service itself. KS_NOT_FOUND: deleted; errors of the
 * engine. Within ks_federation_run. */
KS_MUST_USE enum ks_err ks_federation_refresh(struct ks_federation *federation, struct ks_engine_reader *reader,
					      uint64_t issuer, const struct ks_actor *actor);

/* ---- logins ---- */

#define KS_OIDC_LIFETIME_MS INT64_C(600000)
#define KS_OIDC_RETURN_MAX 512
#define KS_OIDC_URL_MAX 6144
#define KS_OIDC_COOKIE_MAX 1400 /* characters of base64url */
#define KS_OIDC_CODE_MAX 2048
#define KS_OIDC_STATE_LEN 43

/** How a step of a login ended. X(name, code): for the log and the audit. */
#define KS_OIDC_RESULTS(X)                                                                                \
	X(OK, "ok")                                                                                       \
	X(UNKNOWN, "provider_unknown")         /* there is no such identity provider, or it is off */     \
	X(UNAVAILABLE, "provider_unavailable") /* it could not be reached, or answered no sense */        \
	X(STATE, "state_invalid")              /* not the browser that began, too late, or used before */ \
	X(DENIED, "denied")                    /* the provider said no */                                 \
	X(ISSUER, "issuer_mismatch")           /* the answer is of another provider than the one asked */ \
	X(CODE, "code_refused")                /* the provider does not take the code */                  \
	X(TOKEN, "id_token_invalid")           /* the ID token is not good */                             \
	X(INTERNAL, "internal")

enum ks_oidc_result {
#define X(name, code) KS_OIDC_##name,
	KS_OIDC_RESULTS(X)
#undef X
		KS_OIDC_RESULT_COUNT
};
const char *ks_oidc_code(enum ks_oidc_result result);

struct ks_oidc_begun {
	char url[KS_OIDC_URL_MAX];       /* where the browser goes */
	char cookie[KS_OIDC_COOKIE_MAX]; /* what it must bring back; sealed */
};

/** Begins a login with an identity provider. `return_to` is where the browser is in the end: a path of ours. UNKNOWN,
 * UNAVAILABLE, INTERNAL. Within ks_federation_run. */
enum ks_oidc_result ks_oidc_begin(struct ks_federation *federation, struct ks_engine_reader *reader, uint64_t provider,
				  struct ks_str return_to, int64_t now_ms, struct ks_oidc_begun *ret_begun);

/** What the browser came back with. Borrowed. */
struct ks_oidc_answer {
	struct ks_str cookie;
	struct ks_str state, code, error, iss; /* parameters of the query; empty: not there */
};

/** Who logged in, as the provider says. The claim's texts lie in `room`: do not copy the struct. */
struct ks_oidc_finished {
	struct ks_identity_claim claim;
	char return_to[KS_OIDC_RETURN_MAX + 1];
	char detail[96]; /* why not, for the log: never a secret */
	char room[4096];
};

/** Ends it: checks state and issuer, exchanges the code, checks the ID token. What it says is for
 * ks_identities_find_user, which takes the state once. Within ks_federation_run. OpenID Connect Core 3.1, RFC 6749,
 * 7636, 9207. */
enum ks_oidc_result ks_oidc_finish(struct ks_federation *federation, struct ks_engine_reader *reader,
				   const struct ks_oidc_answer *answer, int64_t now_ms,
				   struct ks_oidc_finished *ret_finished);
