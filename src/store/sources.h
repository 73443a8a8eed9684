/* SPDX-License-Identifier: Apache-2.0 */
/** The part of the truth about webhooks that others send: their sources, what each is verified with, and what was
 * received. Secrets are sealed before they come here. Rules and errors are those of store/store.h. */
#pragma once

#include "store/store.h"
#include "store/vault.h"

#define KS_STORE_SCHEME_MAX 63
#define KS_STORE_FORM_MAX ((size_t)64 << 10)      /* bytes of a scheme of a tenant's own, as JSON */
#define KS_STORE_PARAMETERS_MAX ((size_t)512 << 10)
#define KS_STORE_URL_MAX 2048
#define KS_STORE_TARGET_MAX 8192
#define KS_STORE_METHOD_MAX 32
#define KS_STORE_HEADERS_MAX ((size_t)128 << 10)  /* bytes of a request's headers as JSON */
#define KS_STORE_WEBHOOK_MAX ((size_t)16 << 20)   /* bytes of a request's body */

/* ---- sources ---- */
struct ks_source_row {
	uint64_t id;
	uint64_t organization; /* of the tenant */
	uint64_t tenant;
	uint64_t provider;     /* whose fields hold secrets; 0: none */
	uint64_t revision;     /* rises with each change of what it is verified with */
	int64_t created_at;
	int64_t paused_at;     /* KS_TIME_NONE */
	int64_t deleted_at;    /* KS_TIME_NONE */
	int64_t confirm_until; /* challenges that nothing vouches for are answered until then */
	struct ks_str platform;
	struct ks_str scheme;  /* name of the platform's; empty: `form` */
	struct ks_str name;
	struct ks_str form;    /* JSON; empty: the platform's */
	struct ks_str confirm_url; /* what the platform asked to be fetched last, as a confirmation; may be empty */
	struct ks_str created_by;
};
typedef enum ks_err ks_source_each(void *ctx, const struct ks_source_row *row);

/** KS_CONFLICT: the id is taken. KS_NOT_FOUND: tenant, organization or provider is not there. */
KS_MUST_USE enum ks_err ks_store_source_insert(struct ks_store *store, const struct ks_source_row *row);
/** Deleted ones too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_source_get(struct ks_store *store, uint64_t id, ks_source_each *each, void *ctx);
/** Newest first, without deleted ones; by the index of the organization (0: any) or the tenant (0: any). */
struct ks_source_filter {
	uint64_t organization;
	uint64_t tenant;
	uint64_t before;
	size_t limit;
};
KS_MUST_USE enum ks_err ks_store_sources(struct ks_store *store, const struct ks_source_filter *filter,
					 ks_source_each *each, void *ctx);
/** Those of a provider that are not deleted, newest first. */
KS_MUST_USE enum ks_err ks_store_sources_of_provider(struct ks_store *store, uint64_t provider, uint64_t before,
						     size_t limit, ks_source_each *each, void *ctx);
/** Each KS_NOT_FOUND where it is not there or deleted. Pausing: KS_TIME_NONE goes on. */
KS_MUST_USE enum ks_err ks_store_source_pause(struct ks_store *store, uint64_t id, int64_t paused_at);
KS_MUST_USE enum ks_err ks_store_source_delete(struct ks_store *store, uint64_t id, int64_t at);
KS_MUST_USE enum ks_err ks_store_source_revise(struct ks_store *store, uint64_t id, uint64_t revision);
KS_MUST_USE enum ks_err ks_store_source_confirm(struct ks_store *store, uint64_t id, int64_t until,
						struct ks_str confirm_url);

/** What every request asks about its source. */
struct ks_source_look {
	uint64_t organization, tenant, provider, revision;
	int64_t paused_at, confirm_until;
	uint64_t current_set, first_set; /* of the provider; 0: none */
	bool provider_gone;              /* it was deleted */
};
/** KS_NOT_FOUND: there is none, or it is deleted. */
KS_MUST_USE enum ks_err ks_store_source_look(struct ks_store *store, uint64_t id, struct ks_source_look *ret_look);

/* ---- what they are verified with ---- */
struct ks_source_parameters_row {
	uint64_t source;
	uint64_t revision;   /* of the source when it was written */
	int64_t until;       /* KS_TIME_NONE: these hold */
	uint64_t key_number; /* of the organization's key that sealed it; 0: nothing is sealed */
	struct ks_str plain; /* JSON object of what is no secret */
	struct ks_str sealed; /* JSON object of what is; may be empty */
};
typedef enum ks_err ks_source_parameters_each(void *ctx, const struct ks_source_parameters_row *row);

/** KS_CONFLICT: there are such. KS_NOT_FOUND: the source is not there. */
KS_MUST_USE enum ks_err ks_store_source_parameters_insert(struct ks_store *store,
							  const struct ks_source_parameters_row *row);
/** Newest first, those whose end has passed too. */
KS_MUST_USE enum ks_err ks_store_source_parameters(struct ks_store *store, uint64_t source,
						   ks_source_parameters_each *each, void *ctx);
/** Ends those that hold at `until`. */
KS_MUST_USE enum ks_err ks_store_source_parameters_end(struct ks_store *store, uint64_t source, int64_t until);
/** Forgets all of a source; those whose end is before `before`, at most `limit`. */
KS_MUST_USE enum ks_err ks_store_source_parameters_erase(struct ks_store *store, uint64_t source);
KS_MUST_USE enum ks_err ks_store_source_parameters_trim(struct ks_store *store, int64_t before, size_t limit,
							uint64_t *ret_trimmed);

/* ---- what was received ---- */
struct ks_inbound_row {
	uint64_t id;
	uint64_t source;
	int64_t received_at;
	struct ks_str method;
	struct ks_str target;  /* path and query, secrets masked */
	struct ks_str peer;    /* the sender's address; may be empty */
	struct ks_str headers; /* JSON: [["Name","value"],…], secrets masked */
	struct ks_str body;    /* any bytes */
};
typedef enum ks_err ks_inbound_each(void *ctx, const struct ks_inbound_row *row);

/** Whether the source exists is not asked. KS_CONFLICT: the id is taken. */
KS_MUST_USE enum ks_err ks_store_inbound_insert(struct ks_store *store, const struct ks_inbound_row *row);
/** KS_NOT_FOUND: there is none, or it was forgotten. */
KS_MUST_USE enum ks_err ks_store_inbound_get(struct ks_store *store, uint64_t id, ks_inbound_each *each, void *ctx);

/** One of a list: without headers and body. */
struct ks_inbound_line {
	uint64_t id;
	uint64_t source;
	int64_t received_at;
	struct ks_str method, target, peer;
	uint64_t size;         /* bytes of the body */
};
typedef enum ks_err ks_inbound_line_each(void *ctx, const struct ks_inbound_line *line);
/** Of a source, newest first, ids below `before` (0: from the newest). */
KS_MUST_USE enum ks_err ks_store_inbound_of_source(struct ks_store *store, uint64_t source, uint64_t before,
						   size_t limit, ks_inbound_line_each *each, void *ctx);
/** Forgets at most `limit` of those whose id is of before `before`, the oldest first. */
KS_MUST_USE enum ks_err ks_store_inbound_trim(struct ks_store *store, int64_t before, size_t limit,
					      uint64_t *ret_trimmed);

/** Remembers until `until` that the source has had this. False in *ret_new: it had, and its time (as of `now_ms`) is
 * not over. */
KS_MUST_USE enum ks_err ks_store_inbound_seen(struct ks_store *store, uint64_t source, const struct ks_digest *digest,
					      int64_t now_ms, int64_t until, bool *ret_new);
/** Forgets at most `limit` of those whose time was over before `before`. */
KS_MUST_USE enum ks_err ks_store_inbound_seen_trim(struct ks_store *store, int64_t before, size_t limit,
						   uint64_t *ret_trimmed);
