/* SPDX-License-Identifier: Apache-2.0 */
/** The words of the model, one table each: kinds of credentials, what a key is bound to, environments, kinds of tenants,
 * reasons of the decision. Everything that prints or parses one of them comes from here. Pure. */
#pragma once

#include "base/id.h"
#include "base/str.h"

/** KS_KINDS: kinds of credentials. */
#define KS_KINDS(X)       \
	X(SESSION, "session") \
	X(TENANT, "tenant")   \
	X(PARTNER, "partner") \
	X(RUNTIME, "runtime")

enum ks_kind {
#define X(name, text) KS_KIND_##name,
	KS_KINDS(X)
#undef X
	KS_KIND_COUNT
};

/** Sets of kinds are bits. */
#define KS_KIND_BIT(kind) ((uint8_t)(1u << (kind)))
#define KS_KINDS_ANY ((uint8_t)0xff)

/** What a key is bound to. X(name, text, kind of its keys; the operator also has runtime keys). */
#define KS_BINDINGS(X)                           \
	X(OPERATOR, "operator", TENANT)          \
	X(PARTNER, "partner", PARTNER)           \
	X(ORGANIZATION, "organization", TENANT)  \
	X(SUB_ENTITY, "sub_entity", TENANT)      \
	X(PROJECT, "project", TENANT)            \
	X(USER, "user", TENANT)

enum ks_binding {
#define X(name, text, kind) KS_BINDING_##name,
	KS_BINDINGS(X)
#undef X
	KS_BINDING_COUNT
};

/** Roles that are there without a policy file, with their numbers in every ring (ring/ring.h). */
#define KS_ROLES(X)                           \
	X(ADMINISTRATOR, 1, "administrator")  \
	X(MEMBER, 2, "member")                \
	X(ACCOUNT_READER, 3, "account_reader")

enum ks_role {
	KS_ROLE_NONE,
#define X(name, number, text) KS_ROLE_##name = (number),
	KS_ROLES(X)
#undef X
	KS_ROLE_BUILT_IN_END
};

#define KS_ENVIRONMENTS(X) \
	X(LIVE, "live")    \
	X(SANDBOX, "sandbox")

enum ks_environment {
#define X(name, text) KS_ENVIRONMENT_##name,
	KS_ENVIRONMENTS(X)
#undef X
	KS_ENVIRONMENT_COUNT
};

#define KS_ENVIRONMENT_BIT(env) ((uint8_t)(1u << (env)))

/** Kinds of tenants; the type of id has the same name. */
#define KS_TENANT_KINDS(X)              \
	X(OPERATOR, "operator")         \
	X(PARTNER, "partner")           \
	X(ORGANIZATION, "organization") \
	X(SUB_ENTITY, "sub_entity")     \
	X(PROJECT, "project")           \
	X(PERSONAL, "personal")

enum ks_tenant_kind {
#define X(name, text) KS_TENANT_KIND_##name = KS_ID_##name,
	KS_TENANT_KINDS(X)
#undef X
	KS_TENANT_KIND_COUNT
};

/** Sub-entities nest at most this deep below an organization. */
#define KS_SUB_ENTITY_DEPTH_MAX 8
/** operator, partner, organization, 8 sub-entities, a leaf. */
#define KS_TENANT_DEPTH_MAX 12

/** A family's rule for X-Tenant-Id. */
#define KS_TENANT_HEADERS(X)                              \
	X(OPTIONAL, "optional")                           \
	X(REQUIRED_FOR_PARTNER, "required_for_partner")   \
	X(REQUIRED, "required")                           \
	X(REFUSED, "refused")

enum ks_tenant_header {
#define X(name, text) KS_TENANT_HEADER_##name,
	KS_TENANT_HEADERS(X)
#undef X
	KS_TENANT_HEADER_COUNT
};

/** Steps of the decision, in order; X(name, title). */
#define KS_STEPS(X)                              \
	X(LEASE, "the node's lease")             \
	X(PARSE, "parse the credential")         \
	X(LOOKUP, "look up the key")             \
	X(PATH, "read the path")                 \
	X(FAMILY, "find the route family")       \
	X(KIND, "kind of the credential")        \
	X(ENVIRONMENT, "environment and address")\
	X(SCOPE, "scopes")                       \
	X(TENANT, "tenant")                      \
	X(RATE, "rate limit")

enum ks_step {
#define X(name, title) KS_STEP_##name,
	KS_STEPS(X)
#undef X
	KS_STEP_COUNT
};

/** Reasons: X(name, code, HTTP status, step that gives it, what the outside reads). The codes are fixed by the contract. */
#define KS_REASONS(X)                                                                                             \
	X(OK, "ok", 200, RATE, "allowed")                                                                         \
	X(CREDENTIAL_MISSING, "credential_missing", 401, PARSE, "No credential was presented.")                   \
	X(CREDENTIAL_MALFORMED, "credential_malformed", 401, PARSE,                                               \
	  "More than one credential was presented, or one of no known form.")                                     \
	X(CREDENTIAL_INVALID, "credential_invalid", 401, LOOKUP, "The credential is not accepted.")               \
	X(CREDENTIAL_EXPIRED, "credential_expired", 401, LOOKUP, "The credential has expired.")                   \
	X(PATH_AMBIGUOUS, "path_ambiguous", 400, PATH, "The path can be read in more than one way.")              \
	X(ROUTE_UNKNOWN, "route_unknown", 403, FAMILY, "No route family takes this method and path.")             \
	X(KIND_NOT_ALLOWED, "kind_not_allowed", 403, KIND, "This kind of credential is not taken here.")          \
	X(ENVIRONMENT_MISMATCH, "environment_mismatch", 403, ENVIRONMENT,                                         \
	  "The credential belongs to another environment.")                                                      \
	X(ADDRESS_NOT_ALLOWED, "address_not_allowed", 403, ENVIRONMENT,                                           \
	  "The credential is not accepted from this address.")                                                   \
	X(SCOPE_MISSING, "scope_missing", 403, SCOPE, "The credential lacks a scope.")                            \
	X(TENANT_REQUIRED, "tenant_required", 400, TENANT, "X-Tenant-Id must name a tenant here.")                \
	X(TENANT_FORBIDDEN, "tenant_forbidden", 403, TENANT, "The tenant is not accessible.")                     \
	X(RATE_LIMITED, "rate_limited", 429, RATE, "The credential has used up its rate.")                        \
	X(STALE, "stale", 503, LEASE, "This node cannot vouch for its knowledge at the moment.")

enum ks_reason {
#define X(name, code, status, step, text) KS_REASON_##name,
	KS_REASONS(X)
#undef X
	KS_REASON_COUNT
};

struct ks_reason_info {
	const char *code;
	int status;
	enum ks_step step;
	const char *text;
};

/** The row of the table; never NULL. */
const struct ks_reason_info *ks_reason_info(enum ks_reason reason);

const char *ks_kind_text(enum ks_kind kind);
const char *ks_binding_text(enum ks_binding binding);
const char *ks_environment_text(enum ks_environment environment);
const char *ks_tenant_kind_text(enum ks_tenant_kind kind);
const char *ks_tenant_header_text(enum ks_tenant_header rule);
const char *ks_step_title(enum ks_step step);
/** The name of a built-in role; "" for any other number. */
const char *ks_role_text(enum ks_role role);

/** Each: the word's value; false (untouched) if `text` is no such word. */
KS_MUST_USE bool ks_kind_parse(struct ks_str text, enum ks_kind *ret_kind);
KS_MUST_USE bool ks_binding_parse(struct ks_str text, enum ks_binding *ret_binding);
KS_MUST_USE bool ks_environment_parse(struct ks_str text, enum ks_environment *ret_environment);
KS_MUST_USE bool ks_tenant_kind_parse(struct ks_str text, enum ks_tenant_kind *ret_kind);
KS_MUST_USE bool ks_tenant_header_parse(struct ks_str text, enum ks_tenant_header *ret_rule);
KS_MUST_USE bool ks_role_parse(struct ks_str text, enum ks_role *ret_role);
