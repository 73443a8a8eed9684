/* SPDX-License-Identifier: Apache-2.0 */
/** Identity providers that people log in with (OpenID Connect), and who a user is to them. Each function runs in a
 * job's transaction and writes row, change and audit entries together. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"
#include "store/federation.h"

#define KS_CLIENT_SECRET_MAX 1024
#define KS_PROVIDER_DOMAINS_MAX 32

/** The members of POST /v1/identity-providers, checked for form alone. Borrowed. */
struct ks_identity_provider_input {
	uint64_t organization; /* 0: the actor's effective tenant */
	struct ks_str name;
	struct ks_str issuer;
	struct ks_str client_id;
	struct ks_str client_secret; /* empty: a public client */
	struct ks_str scopes;        /* words; "openid" is among them */
	struct ks_str domains[KS_PROVIDER_DOMAINS_MAX];
	size_t domain_count;
	bool auto_create;
	uint64_t default_tenant;    /* 0: the organization, where there is a role */
	struct ks_str default_role; /* empty: none */
};

/** Refusals: invalid; tenant_forbidden; not_grantable (the role gives what the actor has not). */
KS_MUST_USE enum ks_err ks_identity_providers_create(struct ks_tx *tx, const struct ks_actor *actor,
						     const struct ks_identity_provider_input *input, uint64_t *ret_id,
						     struct ks_refusal *ret_refusal);
/** Both: KS_NOT_FOUND also for what the actor does not see. Sessions that began with it go on. */
KS_MUST_USE enum ks_err ks_identity_providers_set_enabled(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
							  bool enabled, struct ks_refusal *ret_refusal);
KS_MUST_USE enum ks_err ks_identity_providers_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						     struct ks_refusal *ret_refusal);

/** Opens the client secret of a row; wiped by the caller. KS_CORRUPT, KS_TOO_LARGE. Any thread. */
KS_MUST_USE enum ks_err ks_identity_provider_secret(const struct ks_engine *engine,
						    const struct ks_identity_provider_row *row, char *ret_secret,
						    size_t cap, size_t *ret_n);

/** What an identity provider has said of somebody, in an ID token that was found good. Borrowed. */
struct ks_identity_claim {
	uint64_t provider;
	struct ks_str issuer;
	struct ks_str subject;
	struct ks_str email; /* empty: none was given */
	bool email_verified;
	struct ks_str name;     /* empty: none */
	struct ks_digest state; /* of the login; taken once */
	struct ks_str address;  /* of the client, for the audit */
	struct ks_str request_id;
};

/** The user whom that is: the one to whom issuer and subject belong; else, by an address that the provider has verified
 * and speaks for, a user of the provider's organization, or (auto_create) a new one, who is linked from then on. A user
 * who is a member of anything outside of the organization is not logged in by a provider of it. Refusals: login_failed.
 */
KS_MUST_USE enum ks_err ks_identities_find_user(struct ks_tx *tx, const struct ks_identity_claim *claim,
						uint64_t *ret_user, struct ks_refusal *ret_refusal);
