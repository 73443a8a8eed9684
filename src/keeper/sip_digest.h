/* SPDX-License-Identifier: Apache-2.0 */
/** Challenges of HTTP and SIP that ask for a digest, and the header that answers one (RFC 7616, RFC 8760, RFC 3261, 22).
 * Pure; any thread. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "crypto/http_digest.h"

#define KS_SIP_CHALLENGE_MAX 4096  /* bytes of one */
#define KS_SIP_ANSWER_MAX 8192     /* bytes of the header's value */

/** A challenge taken apart. The texts point into `room`. */
struct ks_sip_asked {
	struct ks_str realm, nonce, opaque;
	bool has_opaque;
	enum ks_http_digest_algorithm algorithm;
	bool algorithm_named;      /* it is repeated in the answer */
	bool session;              /* "-sess" */
	bool qop_auth, qop_auth_int; /* neither: RFC 2069's form */
	bool stale, userhash;
	char room[KS_SIP_CHALLENGE_MAX];
};

/** Reads the value of one WWW-Authenticate or Proxy-Authenticate header: `Digest realm="…", nonce="…"` and so on. What is not
 * known is passed over. KS_MALFORMED: not of that form, a parameter twice, control characters, no realm or nonce.
 * KS_VERSION: an algorithm or only kinds of qop that are not known: try the next challenge (RFC 8760, 2.4). KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_sip_challenge_parse(struct ks_str text, struct ks_sip_asked *ret_challenge);

/** What is to be answered for. */
struct ks_sip_credentials {
	struct ks_str user, password;
	struct ks_str method, uri;     /* of the request that will carry the answer */
	struct ks_str body;            /* where the challenge offers "auth-int" alone it is hashed */
	struct ks_str client_nonce;    /* visible characters, no quotes */
	uint32_t count;                /* of requests under this nonce, from 1 */
};

/** Appends the value of the Authorization or Proxy-Authorization header. "auth" is preferred to "auth-int". KS_MALFORMED: a
 * text that cannot be in a header; KS_TOO_LARGE: `out` is full; KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_sip_answer(const struct ks_sip_asked *challenge, const struct ks_sip_credentials *request,
				      struct ks_buf *out);
