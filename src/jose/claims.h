/* SPDX-License-Identifier: Apache-2.0 */
/** What a token says (RFC 7519). Read the claims of a token whose signature was checked; before that only `iss`, to
 * choose whose keys to check it with. Pure. */
#pragma once

#include "base/json.h"
#include "base/time.h"
#include "jose/jws.h"

#define KS_CLAIMS_TEXT_MAX 512       /* bytes of iss, sub, jti, client_id or one audience */
#define KS_CLAIMS_AUDIENCES_MAX 32
#define KS_CLAIMS_LEEWAY_MAX_MS INT64_C(3600000)
#define KS_CLAIMS_PATH_MAX 256

/** Texts borrow from the payload or from `room`: the struct may not be copied. Needs no initialising. */
struct ks_claims {
	struct ks_str text;       /* the whole object */
	struct ks_str iss, sub, jti;  /* empty: not there */
	struct ks_str aud;        /* a string or an array of strings as JSON; empty: not there */
	int64_t exp_ms, nbf_ms, iat_ms; /* KS_TIME_NONE: not there. Fractions: exp and iat cut, nbf rounded up */
	char room[3 * KS_CLAIMS_TEXT_MAX];
};

/** Reads the registered claims of `payload`, which must be one JSON object checked as by ks_json_check, and stay where
 * it is as long as the claims are used. CLAIMS_JSON, or CLAIMS_MEMBER: iss, sub or jti not a string of 1 to 512 bytes
 * without control characters; aud not such a string or an array of 0 to 32 of them; exp, nbf or iat not a number from 0
 * to 253402300799 with at most 9 decimals and no exponent. */
KS_MUST_USE enum ks_jose_problem ks_claims_parse(struct ks_str payload, struct ks_claims *ret_claims);

/** NO_EXPIRY where exp is missing; EXPIRED from exp + leeway on; NOT_YET before nbf - leeway; FROM_THE_FUTURE where iat
 * is later than now + leeway. The leeway is for clocks that differ; it is cut to 0 ... KS_CLAIMS_LEEWAY_MAX_MS. */
KS_MUST_USE enum ks_jose_problem ks_claims_check_time(const struct ks_claims *claims, int64_t now_ms,
						      int64_t leeway_ms);

/** KS_JOSE_OK if one of the audiences is exactly `audience`; else AUDIENCE, also where there are none. */
KS_MUST_USE enum ks_jose_problem ks_claims_check_audience(const struct ks_claims *claims, struct ks_str audience);

/** KS_JOSE_OK if `iss` is exactly `issuer`; else ISSUER, also where it is missing. */
KS_MUST_USE enum ks_jose_problem ks_claims_check_issuer(const struct ks_claims *claims, struct ks_str issuer);

/** Number of audiences. */
size_t ks_claims_audiences(const struct ks_claims *claims);

/** Finds any claim. `path` is the name of a member ("https://example.com/tenant"), or names divided by dots that lead
 * into nested objects ("realm_access.roles"); 1 to KS_CLAIMS_PATH_MAX bytes. At each step the longest name that is
 * there is taken, and there is no way back from it: a member "a.b" hides the member b of "a". False (untouched):
 * nothing there. *ret_value is JSON, for ks_json_kind, ks_json_string and ks_claims_each. */
KS_MUST_USE bool ks_claims_find(const struct ks_claims *claims, struct ks_str path, struct ks_str *ret_value);

/** Strings of a claim that is a string, an array of strings, or (if `spaced`) one string of words divided by spaces, as
 * `scope` is (RFC 8693, 4.2). Start with zero. */
struct ks_claims_strings {
	struct ks_json_read read;
	struct ks_str words;      /* what is left of a string of words */
	bool begun, first, is_array;
};
/** The next string, borrowed or written to `to`. False at the end and where the value is of another form or has escapes
 * that `to` has no room for; those set *ret_malformed, which is else untouched. Words stay where `to` put them: its
 * storage may be used again for each element of an array, but not between two words. */
KS_MUST_USE bool ks_claims_next(struct ks_claims_strings *at, struct ks_str value, bool spaced, struct ks_buf *to,
				struct ks_str *ret_text, bool *ret_malformed);
