/* SPDX-License-Identifier: Apache-2.0 */
/** The HTTP API over the engine: routes of routes.def, guarded by the service's own decision. Independent of what carries the exchanges. */
#pragma once

#include "crypto/password.h"
#include "engine/engine.h"
#include "fetch/fetch.h"
#include "http/exchange.h"

struct ks_api;
struct ks_federation;

/** A header of the platform's own that carries a credential of one kind. */
struct ks_api_credential_header {
	struct ks_str name;
	uint8_t kinds;
};

#define KS_API_CREDENTIAL_HEADERS_MAX 8
#define KS_API_PROXIES_MAX 32

/** Borrowed by ks_api_new for the life of the api. */
struct ks_health;
struct ks_inbound;
struct ks_delivery;

struct ks_api_options {
	struct ks_api_credential_header credential_headers[KS_API_CREDENTIAL_HEADERS_MAX];
	size_t credential_header_count;
	/** Peers whose X-Forwarded-For is believed: the client is the rightmost entry that is none of these. None here, but hops: whoever it is. */
	struct ks_cidr trusted_proxies[KS_API_PROXIES_MAX];
	size_t trusted_proxy_count;
	/** At most so many proxies, the peer being the first; 0: any number. */
	size_t proxy_hops;
	const char *realm;               /* of WWW-Authenticate */
	/** Of an exchanged JWT, in seconds: where no other is asked for, and at most. 0: 300 and 3600. */
	uint64_t token_lifetime_s, token_lifetime_max_s;
	bool secure;                     /* clients come by HTTPS also where a proxy ends it: cookies are for it alone */
	enum ks_password_cost password_cost;
	uint32_t leaks_per_minute;       /* reports of leaked tokens that one address may make */
	const char *github_keys_url;     /* where GitHub publishes what it signs such reports with; NULL or empty: not fetched */
	struct ks_fetch_options fetch;   /* of that */
	/** More lines for /metrics, from whoever carries the exchanges; may be NULL. */
	void (*metrics)(void *ctx, struct ks_buf *out);
	void *metrics_ctx;
	struct ks_federation *federation; /* must be there */
	struct ks_inbound *inbound;      /* webhooks of others; NULL: none are taken */
	const char *hook_origin;         /* https://host that platforms send to; NULL or empty: the issuer's name */
	const char *hook_certificate_header; /* in which trusted proxies pass a client's certificate; NULL or empty: none do */
	size_t hook_body_max;            /* bytes; 0: 1 MiB */
	uint32_t hook_challenges;        /* challenges that one address may ask in a minute */
	int64_t hook_confirm_ms;         /* challenges that nothing vouches for are answered so long */
	struct ks_health *health;        /* who probes providers; NULL: nobody */
	struct ks_delivery *delivery;    /* who sends webhooks; NULL: nobody */
	ks_engine_log *log;
	void *log_ctx;
};

KS_MUST_USE enum ks_err ks_api_new(struct ks_engine *engine, const struct ks_api_options *options, struct ks_api **ret_api);
void ks_api_free(struct ks_api **api);

/** Takes GitHub's public keys from the document that it publishes them in; without them and without a URL its route is not there.
 * KS_MALFORMED: it is none, and what was known stays. Any thread. */
KS_MUST_USE enum ks_err ks_api_set_github_keys(struct ks_api *api, struct ks_str json);

/** What a carrier calls. Exchanges on different threads are independent. */
struct ks_handler ks_api_handler(struct ks_api *api);

/** Gives back what the calling thread keeps for reading; a carrier's thread may call it before it ends. Otherwise it happens at the thread's end. */
void ks_api_thread_done(struct ks_api *api);

/** How many credentials that nobody has were tried since the process began. For ks_notice_options; `ctx` is not looked at. */
uint64_t ks_api_unknown_credentials(void *ctx);

/** The self policy's text (api/self.yaml, embedded). */
struct ks_str ks_api_self_policy(void);

/** The OpenAPI description (api/openapi.yaml, embedded). */
struct ks_str ks_api_openapi(void);
