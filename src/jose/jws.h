/* SPDX-License-Identifier: Apache-2.0 */
/** Signed tokens: JSON Web Signature (RFC 7515) in the compact serialization alone, read strictly. The reader allocates
 * nothing and follows nothing: a key comes from who configured the issuer, never from the token. Pure. */
#pragma once

#include "base/secret.h"
#include "base/str.h"
#include "crypto/hmac.h"
#include "crypto/sign.h"

enum ks_jose_problem {
#define KS_JOSE_PROBLEM(name, logged, text) KS_JOSE_##name,
#include "jose/problem.def"
#undef KS_JOSE_PROBLEM
	KS_JOSE_PROBLEM_COUNT
};

/** The name of `problem`, as logged ("alg_none"), and its text; never NULL, static. */
const char *ks_jose_problem_name(enum ks_jose_problem problem);
const char *ks_jose_problem_text(enum ks_jose_problem problem);

#define KS_JWS_TOKEN_MAX 8192
#define KS_JWS_HEADER_MAX 1024   /* decoded */
#define KS_JWS_PAYLOAD_MAX 6144  /* decoded */
#define KS_JWS_TYPE_MAX 64       /* of typ and cty */
#define KS_JOSE_KID_MAX 128

/** A token that was taken apart and not yet checked. Texts borrow from the token or from `room`, so that the struct may
 * not be copied. Needs no initialising: some 9 KiB, of which only what is used is touched. */
struct ks_jws {
	enum ks_sign_alg alg;
	struct ks_str kid;      /* empty: none given */
	struct ks_str typ;      /* empty: none given */
	struct ks_str input;    /* what is signed: header and payload as they stand in the token */
	struct ks_str header;   /* decoded: one JSON object, checked as by ks_json_check */
	struct ks_str payload;  /* decoded; any bytes */
	struct ks_str signature;
	char room[KS_JWS_HEADER_MAX + KS_JWS_PAYLOAD_MAX + KS_SIGNATURE_MAX + KS_JOSE_KID_MAX + 2 * KS_JWS_TYPE_MAX];
};

/** Takes `token` apart: three parts of strict base64url; a header that is one JSON object with each member once, whose
 * `alg` is one of crypto/sign.def, whose `kid` (1 to 128 bytes) and `typ` (1 to 64) are without control characters.
 * Refused, each with a code of its own, whatever their values: crit, jwk, jku, x5u, x5c, b64, zip, a cty that says JWT;
 * `none` and the symmetric algorithms; encrypted tokens. Other members are left alone, as RFC 7515, 4 wants it.
 * KS_JOSE_OK, or why not (the struct is then worthless). Nothing is known to be true before ks_jose_verify. Any thread.
 */
KS_MUST_USE enum ks_jose_problem ks_jws_parse(struct ks_str token, struct ks_jws *ret_jws);

/** As ks_jws_parse, for a token without its payload, which is signed as it is (RFC 7797; RFC 7515, appendix F): the
 * header must hold "b64":false and "crit":["b64"] and nothing else that is critical, and the part between the dots be
 * empty (else NOT_COMPACT). `input` is the header as it stands with its dot; what is signed is that and then the payload. */
KS_MUST_USE enum ks_jose_problem ks_jws_parse_detached(struct ks_str token, struct ks_jws *ret_jws);

/** Wipes what was decoded, where a token is a credential: from its parts it could be put together again. After any
 * result of ks_jws_parse; the struct is worthless then. Costs what was used of it. */
void ks_jws_wipe(struct ks_jws *jws);

/** True if `typ` is the media type `type` ("JWT", "at+jwt"), ASCII case and a leading "application/" disregarded
 * (RFC 7515, 4.1.9). */
bool ks_jws_typ_is(const struct ks_jws *jws, struct ks_str type);
