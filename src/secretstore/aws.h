/* SPDX-License-Identifier: Apache-2.0 */
/* Signed requests to AWS, for references and for held values alike. Within the module. */
#pragma once

#include "secretstore/secretstore_priv.h"

struct ks_aws_call {
	const char *service;          /* "sts", "secretsmanager" */
	struct ks_str region;
	struct ks_str endpoint;       /* empty: the service's own of the region */
	struct ks_str target;         /* X-Amz-Target; empty: none */
	struct ks_str content_type;
	struct ks_str body;
	struct ks_str access_key, secret_key, session_token;
};

/* The domain of the region's partition. */
struct ks_str ks_secretstore_aws_suffix(struct ks_str region);
/* A call to Secrets Manager with the identity's own keys. */
void ks_secretstore_aws_call(const struct ks_identity *identity, struct ks_str region, struct ks_aws_call *ret_call);
/* Signs and sends. OK: an answer of whatever status, the caller's to free, as on failure. */
enum ks_secretstore_code ks_secretstore_aws_send(struct ks_secretstore_fetch *f, const struct ks_aws_call *call,
						 struct ks_fetch_response *ret_response);
/* GetSecretValue of the fetch's reference. */
enum ks_secretstore_code ks_secretstore_aws_get(struct ks_secretstore_fetch *f, struct ks_aws_call *call);
bool ks_secretstore_aws_error(struct ks_str body, struct ks_secretstore_error *ret_error);
