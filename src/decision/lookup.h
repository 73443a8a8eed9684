/* SPDX-License-Identifier: Apache-2.0 */
/** Why a credential was not found good: step 2 of docs/internals/decision.md, in words. */
#pragma once

#include <stdbool.h>

/** For explain and the audit. Outside all are credential_invalid, but for those that say `expired`, which are
 * credential_expired. X(name, expired, text) */
#define KS_LOOKUP_DETAILS(X)                                                                                   \
	X(NONE, false, "")                                                                                     \
	X(UNKNOWN, false, "no key has this digest")                                                            \
	X(REVOKED, false, "the key is revoked")                                                                \
	X(EXPIRED, true, "the key has expired")                                                                \
	X(ROTATED_OUT, false, "the key's overlap after rotation is over")                                      \
	X(TENANT_INACTIVE, false, "the tenant, or one above it, is suspended or deleted")                      \
	X(USER_DISABLED, false, "the user is disabled")                                                        \
	X(CARRIER, false, "the header is for another kind of credential")                                      \
	X(NOT_PROJECT, false, "Basic is for project keys alone")                                               \
	X(PROJECT, false, "the Project ID is not the key's")                                                   \
	X(SPACE, false, "the host is not the organization's space URL")                                        \
	X(SESSION_ENDED, false, "the session was ended")                                                       \
	X(SESSION_EXPIRED, true, "the session has expired")                                                    \
	X(SESSION_CARRIER, false, "a session's token is taken as the console's cookie alone")                  \
	X(ISSUER, false, "no known issuer signed this JWT")                                                    \
	X(ISSUER_REMOVED, false, "the JWT's issuer was removed")                                               \
	X(JWT_MALFORMED, false, "the JWT is not well formed, too large or nested")                             \
	X(JWT_ALGORITHM, false, "the JWT's algorithm is not the issuer's")                                     \
	X(JWT_KEY, false, "the issuer has no key with the JWT's kid")                                          \
	X(JWT_SIGNATURE, false, "the JWT's signature does not fit")                                            \
	X(JWT_AUDIENCE, false, "the JWT is for another audience")                                              \
	X(JWT_TYPE, false, "the JWT is of a type that is no access token")                                     \
	X(JWT_NOT_YET, false, "the JWT is not valid yet")                                                      \
	X(JWT_EXPIRED, true, "the JWT has expired")                                                            \
	X(JWT_CLAIMS, false, "the JWT lacks a claim, or has one of the wrong form")                            \
	X(JWT_ORIGIN, false, "what the JWT was made for is not known")                                         \
	X(JWT_TENANT, false, "the JWT's tenant is not seen by what the JWT was made for")

enum ks_lookup_detail {
#define X(name, expired, text) KS_LOOKUP_##name,
	KS_LOOKUP_DETAILS(X)
#undef X
	KS_LOOKUP_DETAIL_COUNT
};

/** True for those that are credential_expired. */
bool ks_lookup_detail_is_expired(enum ks_lookup_detail detail);

/** The text of the table; never NULL, static. */
const char *ks_lookup_detail_text(enum ks_lookup_detail detail);
