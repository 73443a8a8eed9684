/* SPDX-License-Identifier: Apache-2.0 */
/** Identities: who the service is to the tenants' stores. A file of the operator's, JSON of name to identity, whose secrets
 * lie in files of their own; none of it is a tenant's to say. docs/vault.md, "References", has the whole of it.
 *
 * Every identity says which organizations may name it, and may say for which resources: what a tenant writes in a reference
 * leads the service's own credential nowhere that the operator did not mean. Members: secretstore/identity.def. */
#pragma once

#include "base/secret.h"
#include "crypto/sign.h"
#include "secretstore/secretstore.h"

#define KS_IDENTITIES_FILE_MAX 65536   /* bytes of JSON */
#define KS_IDENTITY_SECRET_MAX 16384   /* bytes of a file with a secret */
#define KS_IDENTITY_LIST_MAX 64        /* organizations or resources of one */

/** How an identity shows itself: X(name, store, name in the file). */
#define KS_IDENTITY_AUTHS(X)                          \
	X(AWS_KEYS, AWS, "keys")                      \
	X(GCP_ACCOUNT, GCP, "service_account")        \
	X(GCP_FEDERATION, GCP, "federation")          \
	X(VAULT_TOKEN, VAULT, "token")                \
	X(VAULT_APPROLE, VAULT, "approle")            \
	X(VAULT_JWT, VAULT, "jwt")                    \
	X(VAULT_KUBERNETES, VAULT, "kubernetes")      \
	X(AZURE_SECRET, AZURE, "client_secret")       \
	X(AZURE_CERTIFICATE, AZURE, "certificate")    \
	X(AZURE_FEDERATED, AZURE, "federated")

enum ks_identity_auth {
#define X(name, store, text) KS_IDENTITY_##name,
	KS_IDENTITY_AUTHS(X)
#undef X
	KS_IDENTITY_AUTH_COUNT
};

/** Texts borrow from the set, or from `room`; empty: not there. */
struct ks_identity {
	struct ks_str name;
	enum ks_secretstore_kind kind;
	enum ks_identity_auth auth;
	struct ks_str organizations[KS_IDENTITY_LIST_MAX], resources[KS_IDENTITY_LIST_MAX];
	size_t organization_count, resource_count;
	bool for_organizations;        /* `organizations` is there, be it empty: then for what the operator holds alone */
	bool direct;                   /* aws: may read without a role; gcp: without impersonation */
	struct ks_str access_key_id, endpoint, sts_endpoint, iam_endpoint;
	struct ks_str audience;        /* gcp: of the pool's provider */
	struct ks_str address, mount, role_id, role, space;
	struct ks_str client_id, directory, authority;
	struct ks_str token_file, token_audience;
	struct ks_str secret_file, session_token_file, key_file, certificate_file;
	struct ks_secret secret;       /* secret access key, token, secret_id, client_secret */
	struct ks_secret session_token;
	struct ks_private_key *key;    /* of a service account, of a certificate */
	char email[256];               /* gcp: of the service account */
	char kid[128];                 /* gcp: id of its key; azure: x5t#S256 */
	char room[1024];
};

struct ks_identities;

/** Reads the file and all that it names; NULL: an empty set. Files with secrets may be readable by their owner alone (0600
 * or less), and the file of identities writable by its owner alone. KS_OK; KS_NOT_FOUND, KS_FORBIDDEN, KS_MALFORMED,
 * KS_TOO_LARGE: *ret_problem says which and why, without anything secret; KS_MEMORY, KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_identities_load(const char *path, const char *credentials, struct ks_identities **ret_set,
					   struct ks_secretstore_problem *ret_problem);
void ks_identities_free(struct ks_identities **set);

/** The identity of that name; NULL: none. */
const struct ks_identity *ks_identities_find(const struct ks_identities *set, struct ks_str name);
/** True if the organization may name it for this resource (what that is: docs/vault.md). Patterns are texts, or end in *. */
bool ks_identity_is_for(const struct ks_identity *identity, struct ks_str organization, struct ks_str resource);

/** Reads a file of `path` into a secret, without the newline at its end; "credential:NAME" is a file of `credentials`. As
 * ks_identities_load. */
KS_MUST_USE enum ks_err ks_identity_read_file(struct ks_str path, const char *credentials, struct ks_secret *ret_secret);
