/* SPDX-License-Identifier: Apache-2.0 */
/** Digest access authentication as HTTP and SIP use it (RFC 7616, RFC 8760; MD5 without qop as in RFC 2069): what a client
 * answers to a challenge. MD5 is here because trunks still ask for nothing else; it hashes a challenge, nothing more. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/** X(name, text): strongest last. */
#define KS_HTTP_DIGESTS(X)               \
	X(MD5, "MD5")                    \
	X(SHA256, "SHA-256")             \
	X(SHA512_256, "SHA-512-256")

enum ks_http_digest_algorithm {
#define X(name, text) KS_HTTP_DIGEST_##name,
	KS_HTTP_DIGESTS(X)
#undef X
	KS_HTTP_DIGEST_COUNT
};

/** Hexadecimal of the longest, and a terminator. */
#define KS_HTTP_DIGEST_HEX_SIZE 65

/** All borrowed; quoted strings without their quotes and escapes. */
struct ks_http_digest_input {
	enum ks_http_digest_algorithm algorithm;
	struct ks_str user, realm, password;
	struct ks_str method, uri;
	struct ks_str nonce;
	/** Where the challenge offers qop "auth": the client's own nonce and the count of its requests under `nonce`
	 * (written as eight hexadecimal digits). Without qop: an empty text, and nothing of these is hashed. */
	struct ks_str client_nonce;
	uint32_t count;
	bool session;              /* the algorithm's "-sess" form; needs a client nonce */
	bool integrity;            /* qop "auth-int": `body` is hashed too; needs a client nonce */
	struct ks_str body;
	bool plain_form;           /* there is no qop though there is a client nonce (which "-sess" needs) */
};

/** The name in a challenge, without regard to case; the empty text is MD5 (RFC 7616, 3.3). */
KS_MUST_USE bool ks_http_digest_parse(struct ks_str text, enum ks_http_digest_algorithm *ret_algorithm);
const char *ks_http_digest_name(enum ks_http_digest_algorithm algorithm);

/** The `response` of RFC 7616, 3.4.1, in lower-case hexadecimal. Any thread. KS_CRYPTO: the library failed, or has no such
 * algorithm (MD5 under a policy that forbids it). What was derived from the password is wiped. */
KS_MUST_USE enum ks_err ks_http_digest(const struct ks_http_digest_input *input, char ret_hex[KS_HTTP_DIGEST_HEX_SIZE]);

/** What stands for the user's name in an answer where the challenge says userhash=true (RFC 7616, 3.4.4), in hexadecimal.
 * KS_CRYPTO. Any thread. */
KS_MUST_USE enum ks_err ks_http_digest_user(enum ks_http_digest_algorithm algorithm, struct ks_str user, struct ks_str realm,
					    char ret_hex[KS_HTTP_DIGEST_HEX_SIZE]);
