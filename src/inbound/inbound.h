/* SPDX-License-Identifier: Apache-2.0 */
/** Webhooks of others as they arrive: what each source is verified with, compiled and kept at hand as long as it holds;
 * the certificates and key sets that schemes need and that are fetched; and what is kept of a request, without secrets.
 * Whoever carries the requests asks ks_inbound_find, then ks_inbound_verify. */
#pragma once

#include "engine/sources.h"
#include "fetch/fetch.h"
#include "hooksig/hooksig.h"

struct ks_inbound;

struct ks_inbound_options {
	struct ks_fetch_options fetch;
	unsigned fetch_ms;           /* a certificate, a key set or a confirmation must be there within this */
	ks_engine_log *log;
	void *log_ctx;
};

/** KS_MEMORY, KS_CRYPTO. The engine must outlive it. */
KS_MUST_USE enum ks_err ks_inbound_new(struct ks_engine *engine, const struct ks_inbound_options *options,
				       struct ks_inbound **ret_inbound);
/** Ends what is being fetched. Any thread. */
void ks_inbound_stop(struct ks_inbound *inbound);
/** Takes NULL. No thread may be within a call, and all sources must have been released. */
void ks_inbound_free(struct ks_inbound **inbound);

/* ---- sources ---- */

/** A source as it is verified with, counted; immutable. Texts are terminated. */
struct ks_inbound_source {
	uint64_t id, tenant, organization, revision;
	char name[KS_STORE_NAME_MAX + 1];
	char platform[KS_STORE_PLATFORM_MAX + 1];
	char scheme[KS_STORE_SCHEME_MAX + 1]; /* empty: one of its own */
	bool learns;                 /* something that it is verified with is fetched */
};

/** The source, if what is at hand of it is what holds now, and how it stands. KS_NOT_FOUND: there is none. KS_BUSY:
 * it is to be loaded. Any thread with a reader; does not wait. */
KS_MUST_USE enum ks_err ks_inbound_find(struct ks_inbound *inbound, struct ks_store *store, uint64_t id, int64_t now_ms,
					struct ks_source_look *ret_look, struct ks_inbound_source **ret_source);
/** The same; reads, opens and compiles what is needed. Waits for the keeper, for customers' stores, for others' key
 * sets. A source that nothing can be verified with is one all the same: it refuses everything. KS_KEEPER and errors
 * of the store. */
KS_MUST_USE enum ks_err ks_inbound_load(struct ks_inbound *inbound, struct ks_store *store, uint64_t id, int64_t now_ms,
					struct ks_source_look *ret_look, struct ks_inbound_source **ret_source);
/** Keeps nothing of the source at hand any more: it was deleted. Any thread. */
void ks_inbound_forget(struct ks_inbound *inbound, uint64_t id);
/** Takes NULL. Any thread. */
void ks_inbound_release(struct ks_inbound_source **source);

/** Decides, with each of the parameters that hold at `now_ms`, the newest first: the first that accepts, else what the
 * newest says. As ks_hooksig_verify. */
void ks_inbound_verify(const struct ks_inbound_source *source, const struct ks_hooksig_request *request, int64_t now_ms,
		       struct ks_buf *room, struct ks_hooksig_answer *ret_answer);
/** A request was refused: whether something that can be fetched may make it genuine (a certificate that it names, a
 * newer key set), and may be fetched now; each source has a bounded number of such tries. Any thread; does not wait. */
KS_MUST_USE bool ks_inbound_may_learn(struct ks_inbound *inbound, struct ks_inbound_source *source,
				      const struct ks_hooksig_request *request, int64_t now_ms, struct ks_buf *room);
/** Fetches it, and loads the source anew. Waits. Errors of ks_inbound_load. */
KS_MUST_USE enum ks_err ks_inbound_learn(struct ks_inbound *inbound, struct ks_store *store,
					 struct ks_inbound_source *source, const struct ks_hooksig_request *request,
					 int64_t now_ms, struct ks_buf *room, struct ks_inbound_source **ret_source);

/** Of how many versions of parameters the source consists, and what is weak about the newest (ks_hooksig_warnings). */
size_t ks_inbound_versions(const struct ks_inbound_source *source);
unsigned ks_inbound_warnings(const struct ks_inbound_source *source);
/** Why the newest parameters cannot be used, with where (a pointer); "" where they can. */
const char *ks_inbound_problem(const struct ks_inbound_source *source);

/* ---- parameters ---- */

/** What a new source, or a rotation, was given. Borrowed. */
struct ks_inbound_given {
	struct ks_str platform;
	struct ks_str scheme;    /* a name; empty: the platform's first, or `form` */
	struct ks_str form;      /* of the tenant's own; empty: the platform's */
	struct ks_str parameters; /* JSON object: what is given; null takes away */
	struct ks_str plain;     /* JSON object: what there was, {} at first */
	struct ks_str secret;
	uint64_t provider;       /* whose fields hold the rest; 0: none */
};
/** Divided into what is secret and what is not. JSON objects on the heap. */
struct ks_inbound_parameters {
	char scheme[KS_STORE_SCHEME_MAX + 1];
	char *plain;
	char *secret;            /* NULL: nothing is */
};
/** Checks all of it: that there is such a scheme, that its parameters are of their types, and, where no provider has
 * to give the rest, that requests can be verified with them. Waits for the provider's fields. KS_MALFORMED: the
 * refusal says where ("/scheme/verify/0/hmac", "/parameters/secrets"). Others as ks_inbound_load. */
KS_MUST_USE enum ks_err ks_inbound_check(struct ks_inbound *inbound, struct ks_store *store, int64_t now_ms,
					 const struct ks_inbound_given *given, struct ks_inbound_parameters *ret_parameters,
					 struct ks_refusal *ret_refusal);
void ks_inbound_parameters_free(struct ks_inbound_parameters *parameters);

/** Fetches `url`, for a confirmation that a platform asked for: "ok", or why not (static). Waits. */
const char *ks_inbound_confirm(struct ks_inbound *inbound, struct ks_str url);

/* ---- what is kept of a request ---- */

/** The headers as JSON, [["Name","value"],…], with the values of those that carry a secret masked: Authorization and
 * its like, cookies, and what the scheme sends its secret in. */
void ks_inbound_put_headers(const struct ks_inbound_source *source, const struct ks_hooksig_request *request,
			    struct ks_buf *out);
/** Path and query of the request, with the values of parameters that are secrets masked. */
void ks_inbound_put_target(const struct ks_inbound_source *source, struct ks_str target, struct ks_buf *out);

/* ---- a client's certificate that a proxy passes on ---- */

/** Reads the header that a trusted proxy passes the certificate in, as PEM into `room`: RFC 9440's Client-Cert (a byte
 * sequence), or PEM with %-escapes (nginx's $ssl_client_escaped_cert). `chain`: Client-Cert-Chain, a list of byte
 * sequences; may be empty. Returns how many there are, at most `cap`; 0: none, or it cannot be read. */
size_t ks_inbound_proxied_certs(struct ks_str cert, struct ks_str chain, struct ks_buf *room, struct ks_str *ret_certs,
				size_t cap);
/** Appends a certificate in DER as PEM. */
void ks_inbound_put_pem(struct ks_str der, struct ks_buf *out);
