/* SPDX-License-Identifier: Apache-2.0 */
/** The part of the truth about others who vouch for callers: issuers of JWTs and identity providers. Rules and errors
 * are those of store/store.h. */
#pragma once

#include "store/store.h"

#define KS_STORE_URL_MAX 2048
#define KS_STORE_ISSUER_MAX 512 /* bytes of an issuer's name (`iss`) */
#define KS_STORE_AUDIENCE_MAX 512
#define KS_STORE_RULES_MAX 16384 /* bytes of the JSON that maps claims */
#define KS_STORE_JWKS_MAX 262144
#define KS_STORE_FAILURE_MAX 64
#define KS_STORE_CLIENT_ID_MAX 256
#define KS_STORE_CLIENT_SECRET_MAX 2048 /* sealed */
#define KS_STORE_SCOPES_TEXT_MAX 1024
#define KS_STORE_DOMAINS_MAX 4096
#define KS_STORE_SUBJECT_MAX 512

/* ---- issuers of JWTs ---- */
struct ks_foreign_issuer_row {
	uint64_t id;
	uint64_t organization;
	bool enabled;
	struct ks_str name;     /* for people */
	struct ks_str issuer;   /* `iss` of its tokens */
	struct ks_str audience; /* `aud` that they must have */
	struct ks_str jwks_url; /* empty: by the issuer's discovery document */
	struct ks_str rules;    /* JSON, see assertion/verifier.h */
	struct ks_str jwks;     /* the last good copy: usable public keys alone; empty: none yet */
	int64_t created_at;
	struct ks_str created_by;
	int64_t deleted_at;    /* KS_TIME_NONE */
	int64_t next_at;       /* when its keys are to be fetched again */
	int64_t tried_at;      /* KS_TIME_NONE */
	int64_t fetched_at;    /* KS_TIME_NONE: never yet */
	uint64_t failures;     /* since it last went well */
	struct ks_str failure; /* code of the last try; empty: it went well */
};
typedef enum ks_err ks_foreign_issuer_each(void *ctx, const struct ks_foreign_issuer_row *row);

/** KS_CONFLICT: there is one for this issuer and audience (of any organization), or the id is taken. KS_NOT_FOUND: the
 * organization. */
KS_MUST_USE enum ks_err ks_store_foreign_issuer_insert(struct ks_store *store, const struct ks_foreign_issuer_row *row);
/** Deleted ones too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_foreign_issuer_get(struct ks_store *store, uint64_t id, ks_foreign_issuer_each *each,
						    void *ctx);
/** Of an organization or any (KS_STORE_ANY), newest first, ids below `before` (0: from the newest). Without deleted
 * ones. */
KS_MUST_USE enum ks_err ks_store_foreign_issuers(struct ks_store *store, uint64_t organization, uint64_t before,
						 size_t limit, ks_foreign_issuer_each *each, void *ctx);
/** All, deleted ones too, ascending: for a rebuild. */
KS_MUST_USE enum ks_err ks_store_foreign_issuers_all(struct ks_store *store, ks_foreign_issuer_each *each, void *ctx);
/** Enabled ones whose next_at is not after `now_ms`, the longest due first. */
KS_MUST_USE enum ks_err ks_store_foreign_issuers_due(struct ks_store *store, int64_t now_ms, size_t limit,
						     ks_foreign_issuer_each *each, void *ctx);
/** The smallest next_at of an enabled one; KS_NOT_FOUND: there is none. */
KS_MUST_USE enum ks_err ks_store_foreign_issuers_next(struct ks_store *store, int64_t *ret_next_at);
/** All by id; KS_NOT_FOUND where it is not there or deleted. */
KS_MUST_USE enum ks_err ks_store_foreign_issuer_set_enabled(struct ks_store *store, uint64_t id, bool enabled,
							    int64_t next_at);
KS_MUST_USE enum ks_err ks_store_foreign_issuer_delete(struct ks_store *store, uint64_t id, int64_t at);
/** Its keys were fetched at `at`. */
KS_MUST_USE enum ks_err ks_store_foreign_issuer_fetched(struct ks_store *store, uint64_t id, struct ks_str jwks,
							int64_t at, int64_t next_at);
/** They could not be; the last good copy stays. */
KS_MUST_USE enum ks_err ks_store_foreign_issuer_failed(struct ks_store *store, uint64_t id, struct ks_str failure,
						       int64_t at, int64_t next_at);

/* ---- identity providers ---- */
struct ks_identity_provider_row {
	uint64_t id;
	uint64_t organization; /* 0: of the operator's people */
	bool enabled;
	bool auto_create;        /* who is new becomes a user */
	uint64_t default_tenant; /* on which a new user gets `default_role`; 0: none */
	struct ks_str default_role;
	struct ks_str name; /* for people */
	struct ks_str issuer;
	struct ks_str client_id;
	struct ks_str secret;  /* sealed; empty: a public client */
	struct ks_str scopes;  /* words divided by spaces */
	struct ks_str domains; /* of e-mail addresses that it speaks for, divided by spaces */
	int64_t created_at;
	struct ks_str created_by;
	int64_t deleted_at; /* KS_TIME_NONE */
};
typedef enum ks_err ks_identity_provider_each(void *ctx, const struct ks_identity_provider_row *row);

/** KS_CONFLICT: the id is taken. KS_NOT_FOUND: the organization or tenant. */
KS_MUST_USE enum ks_err ks_store_identity_provider_insert(struct ks_store *store,
							  const struct ks_identity_provider_row *row);
/** Deleted ones too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_identity_provider_get(struct ks_store *store, uint64_t id,
						       ks_identity_provider_each *each, void *ctx);
/** Of an organization, of the operator (0) or any (KS_STORE_ANY), newest first. Without deleted ones. */
KS_MUST_USE enum ks_err ks_store_identity_providers(struct ks_store *store, uint64_t organization, uint64_t before,
						    size_t limit, ks_identity_provider_each *each, void *ctx);
/** Both: KS_NOT_FOUND where it is not there or deleted. */
KS_MUST_USE enum ks_err ks_store_identity_provider_set_enabled(struct ks_store *store, uint64_t id, bool enabled);
/** Forgets the sealed secret too. */
KS_MUST_USE enum ks_err ks_store_identity_provider_delete(struct ks_store *store, uint64_t id, int64_t at);

/* ---- who users are to them ---- */
struct ks_identity_row {
	uint64_t organization; /* 0: the operator */
	struct ks_str issuer;
	struct ks_str subject; /* `sub` */
	uint64_t user;
	int64_t created_at;
};
typedef enum ks_err ks_identity_each(void *ctx, const struct ks_identity_row *row);

/** KS_CONFLICT: the identity is somebody's. KS_NOT_FOUND: the user. */
KS_MUST_USE enum ks_err ks_store_identity_insert(struct ks_store *store, const struct ks_identity_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_identity_get(struct ks_store *store, uint64_t organization, struct ks_str issuer,
					      struct ks_str subject, ks_identity_each *each, void *ctx);

/* ---- logins ---- */
/** Remembers that the login with this state led to a session, and forgets those before `forget_before`. KS_CONFLICT: it
 * did so already. */
KS_MUST_USE enum ks_err ks_store_login_use(struct ks_store *store, const struct ks_digest *state, int64_t at,
					   int64_t forget_before);
/** True in *ret_used if it did. */
KS_MUST_USE enum ks_err ks_store_login_used(struct ks_store *store, const struct ks_digest *state, bool *ret_used);
