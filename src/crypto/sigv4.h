/* SPDX-License-Identifier: Apache-2.0 */
/** Signature Version 4 of AWS: a request is signed for one region, service and moment. Pure: the time is an argument.
 * Source: "AWS Signature Version 4 for API requests", IAM User Guide. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_SIGV4_HEADERS_MAX 16       /* of the caller's */
#define KS_SIGV4_PARAMETERS_MAX 32    /* of the query */
#define KS_SIGV4_CANONICAL_MAX 16384  /* bytes of everything that is signed but the body */
#define KS_SIGV4_DATE_SIZE 17         /* "20150830T123600Z", terminated */
#define KS_SIGV4_SHA256_SIZE 65       /* lower-case hexadecimal, terminated */
#define KS_SIGV4_AUTHORIZATION_SIZE 1024

struct ks_sigv4_header {
	struct ks_str name;  /* in any case; no two equal */
	struct ks_str value; /* no control characters but tabs */
};

/** Borrowed for the call. */
struct ks_sigv4_request {
	struct ks_str method; /* "POST" */
	struct ks_str host;   /* as the Host header says it, with the port where that has one */
	struct ks_str path;   /* as sent, percent-encoded, begins with '/'; no "//", "." or ".." in it; empty: "/" */
	struct ks_str query;  /* as sent, percent-encoded, without '?'; empty: none */
	struct ks_str body;
	/** Further headers that are sent and signed; not Host, X-Amz-Date or X-Amz-Security-Token, which are signed from what
	 * is given here. */
	struct ks_sigv4_header headers[KS_SIGV4_HEADERS_MAX];
	size_t header_count;
	struct ks_str region;
	struct ks_str service;
	struct ks_str access_key;
	struct ks_str secret_key;    /* secret */
	struct ks_str session_token; /* sent as X-Amz-Security-Token; secret; empty: none */
	int64_t now_s;               /* seconds since 1970 */
};

/** What is sent with the request: X-Amz-Date, Authorization, and where the service wants it X-Amz-Content-Sha256 (give that
 * among the headers too, so that it is signed; ks_sigv4_sha256 tells it). */
struct ks_sigv4_signed {
	char date[KS_SIGV4_DATE_SIZE];
	char sha256[KS_SIGV4_SHA256_SIZE]; /* of the body */
	char authorization[KS_SIGV4_AUTHORIZATION_SIZE];
};

/** Signs. KS_MALFORMED: a member cannot be sent as it is (empty names, control characters, a path that would be
 * normalized, a header twice or one of ours); KS_TOO_LARGE: beyond a limit above; KS_CRYPTO. *ret_signed is untouched
 * then. The secret key and what is derived from it are wiped. Any thread; nothing is allocated. */
KS_MUST_USE enum ks_err ks_sigv4_sign(const struct ks_sigv4_request *request, struct ks_sigv4_signed *ret_signed);

/** SHA-256 of `body` as such a signature writes it. KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_sigv4_sha256(struct ks_str body, char ret_text[KS_SIGV4_SHA256_SIZE]);
