/* SPDX-License-Identifier: Apache-2.0 */
/** What the OAuth endpoints have in common: their errors, and how a client says who it is. */
#pragma once

#include "api/api_priv.h"

enum ks_oauth_error {
	KS_OAUTH_NONE,
#define KS_OAUTH(name, error, status) KS_OAUTH_##name,
#include "api/oauth.def"
#undef KS_OAUTH
	KS_OAUTH_COUNT
};

/** Answers {"error", "error_description"}; `why` is static, one sentence. 401 names Basic as what may be tried. */
enum ks_finish ks_oauth_refuse(struct ks_call *call, enum ks_oauth_error error, const char *why);

/** A parameter of the form, decoded into `storage`. False: it is there twice or not well encoded or too long; where it is
 * missing or empty *ret_value is empty (RFC 6749, 3.1). */
KS_MUST_USE bool ks_oauth_parameter(const struct ks_call *call, const char *name, char *storage, size_t cap,
				    struct ks_str *ret_value);

#define KS_OAUTH_SECRET_MAX 1024

/** A client as it presents itself: client_id and client_secret by Basic or in the form, not both (RFC 6749, 2.3). */
struct ks_oauth_client {
	struct ks_str id, secret;     /* in `text`; both empty: it does not */
	char text[2 * KS_OAUTH_SECRET_MAX];
};
/** KS_OAUTH_NONE, or what is wrong with how it is presented. The caller wipes the client. */
KS_MUST_USE enum ks_oauth_error ks_oauth_client(const struct ks_call *call, struct ks_oauth_client *ret_client);
