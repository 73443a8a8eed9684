/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/claims.h"

#define SECONDS_MAX UINT64_C(253402300799)
#define DECIMALS_MAX 9

/* ---- the registered ones ---- */

enum claim_kind { CLAIM_TEXT, CLAIM_TIME, CLAIM_TIME_UP, CLAIM_AUDIENCE };

static const struct claim {
	const char *name;
	enum claim_kind kind;
	size_t at; /* of struct ks_claims */
} registered[] = {
	{"iss", CLAIM_TEXT, offsetof(struct ks_claims, iss)},
	{"sub", CLAIM_TEXT, offsetof(struct ks_claims, sub)},
	{"jti", CLAIM_TEXT, offsetof(struct ks_claims, jti)},
	{"aud", CLAIM_AUDIENCE, offsetof(struct ks_claims, aud)},
	{"exp", CLAIM_TIME, offsetof(struct ks_claims, exp_ms)},
	{"nbf", CLAIM_TIME_UP, offsetof(struct ks_claims, nbf_ms)},
	{"iat", CLAIM_TIME, offsetof(struct ks_claims, iat_ms)},
};

/* Decimals as milliseconds; `up`: what is beyond them counts as one more. */
static bool read_decimals(struct ks_str digits, bool up, int64_t *ret_ms)
{
	int64_t ms = 0;
	uint64_t more = 0;

	if (digits.n > DECIMALS_MAX)
		return false;
	for (size_t i = 0; i < 3; i++)
		ms = 10 * ms + (i < digits.n ? digits.p[i] - '0' : 0);
	if (digits.n > 3 && !ks_str_to_u64(ks_str_sub(digits, 3, SIZE_MAX), UINT64_MAX, &more))
		return false;
	*ret_ms = ms + (up && more > 0);
	return true;
}

/* A NumericDate: seconds since 1970 with or without decimals (RFC 7519, 2). */
static bool read_time(struct ks_str value, bool up, int64_t *ret_ms)
{
	struct ks_str whole = value, decimals = KS_STR("");
	uint64_t seconds, checked;
	int64_t ms;

	if (ks_json_kind(value) != '0')
		return false;
	if (ks_str_split(value, '.', &whole, &decimals) && !ks_str_to_u64(decimals, UINT64_MAX, &checked))
		return false;
	if (!ks_str_to_u64(whole, SECONDS_MAX, &seconds) || !read_decimals(decimals, up, &ms))
		return false;
	ms += (int64_t)seconds * 1000;
	*ret_ms = KS_MIN(ms, KS_TIME_MAX);
	return true;
}

static bool read_text(struct ks_str value, struct ks_buf *to, struct ks_str *ret_text)
{
	struct ks_str text;

	if (!ks_json_string(value, to, &text) || text.n == 0 || text.n > KS_CLAIMS_TEXT_MAX || ks_str_has_control(text))
		return false;
	*ret_text = text;
	return true;
}

/* A string or an array of strings. Kept as JSON: an audience is compared, not used. */
static bool read_audience(struct ks_str value, struct ks_str *ret_value)
{
	struct ks_claims_strings at = {0};
	struct ks_str text;
	bool malformed = false;
	size_t n = 0;

	for (;; n++) {
		char room[KS_CLAIMS_TEXT_MAX];
		struct ks_buf to = KS_BUF(room);

		if (!ks_claims_next(&at, value, false, &to, &text, &malformed))
			break;
		if (n == KS_CLAIMS_AUDIENCES_MAX || text.n == 0 || text.n > KS_CLAIMS_TEXT_MAX || ks_str_has_control(text))
			return false;
	}
	*ret_value = value;
	return !malformed;
}

static bool read_claim(const struct claim *claim, struct ks_str value, struct ks_buf *to, struct ks_claims *claims)
{
	void *at = (char *)claims + claim->at;

	switch (claim->kind) {
	case CLAIM_TEXT:
		return read_text(value, to, at);
	case CLAIM_AUDIENCE:
		return read_audience(value, at);
	default:
		return read_time(value, claim->kind == CLAIM_TIME_UP, at);
	}
}

static const struct claim *find_registered(struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(registered); i++)
		if (ks_str_eq(name, ks_str_c(registered[i].name)))
			return &registered[i];
	return NULL;
}

enum ks_jose_problem ks_claims_parse(struct ks_str payload, struct ks_claims *ret_claims)
{
	struct ks_json_read r = ks_json_read_of(payload);
	struct ks_buf to = KS_BUF(ret_claims->room);
	bool first = true;

	ret_claims->iss = ret_claims->sub = ret_claims->jti = ret_claims->aud = KS_STR("");
	ret_claims->exp_ms = ret_claims->nbf_ms = ret_claims->iat_ms = KS_TIME_NONE;
	if (!ks_json_check(payload))
		return KS_JOSE_CLAIMS_JSON;
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		char room[KS_JSON_ESCAPED_MAX];
		struct ks_buf name_room = KS_BUF(room);
		const struct claim *claim = find_registered(ks_json_text_decode(ks_json_read_name(&r), &name_room));
		struct ks_str value = ks_json_read_raw(&r);

		if (claim && !read_claim(claim, value, &to, ret_claims))
			return KS_JOSE_CLAIMS_MEMBER;
	}
	if (!ks_json_read_done(&r))
		return KS_JOSE_CLAIMS_JSON;
	ret_claims->text = ks_str_trim(payload);
	return KS_JOSE_OK;
}

/* ---- checks ---- */

enum ks_jose_problem ks_claims_check_time(const struct ks_claims *claims, int64_t now_ms, int64_t leeway_ms)
{
	int64_t leeway = KS_MAX(INT64_C(0), KS_MIN(leeway_ms, KS_CLAIMS_LEEWAY_MAX_MS));
	int64_t latest = now_ms + leeway;

	if (claims->exp_ms == KS_TIME_NONE)
		return KS_JOSE_NO_EXPIRY;
	if (now_ms >= claims->exp_ms + leeway)
		return KS_JOSE_EXPIRED;
	if (claims->nbf_ms != KS_TIME_NONE && claims->nbf_ms > latest)
		return KS_JOSE_NOT_YET;
	return claims->iat_ms != KS_TIME_NONE && claims->iat_ms > latest ? KS_JOSE_FROM_THE_FUTURE : KS_JOSE_OK;
}

enum ks_jose_problem ks_claims_check_audience(const struct ks_claims *claims, struct ks_str audience)
{
	struct ks_claims_strings at = {0};
	bool malformed = false;

	if (claims->aud.n == 0 || audience.n == 0)
		return KS_JOSE_AUDIENCE;
	for (;;) {
		char room[KS_CLAIMS_TEXT_MAX];
		struct ks_buf to = KS_BUF(room);
		struct ks_str text;

		if (!ks_claims_next(&at, claims->aud, false, &to, &text, &malformed))
			return KS_JOSE_AUDIENCE;
		if (ks_str_eq(text, audience))
			return KS_JOSE_OK;
	}
}

enum ks_jose_problem ks_claims_check_issuer(const struct ks_claims *claims, struct ks_str issuer)
{
	return claims->iss.n > 0 && ks_str_eq(claims->iss, issuer) ? KS_JOSE_OK : KS_JOSE_ISSUER;
}

size_t ks_claims_audiences(const struct ks_claims *claims)
{
	struct ks_claims_strings at = {0};
	bool malformed = false;

	if (claims->aud.n == 0)
		return 0;
	for (size_t n = 0;; n++) {
		char room[KS_CLAIMS_TEXT_MAX];
		struct ks_buf to = KS_BUF(room);
		struct ks_str text;

		if (!ks_claims_next(&at, claims->aud, false, &to, &text, &malformed))
			return n;
	}
}

/* ---- any other ---- */

/* The longest name that `path` begins with and `object` has. */
static bool find_step(struct ks_str object, struct ks_str path, size_t *ret_n, struct ks_str *ret_value)
{
	for (size_t n = path.n; n > 0; n--) {
		if ((n == path.n || path.p[n] == '.') && ks_json_member(object, ks_str_sub(path, 0, n), ret_value)) {
			*ret_n = n;
			return true;
		}
	}
	return false;
}

bool ks_claims_find(const struct ks_claims *claims, struct ks_str path, struct ks_str *ret_value)
{
	struct ks_str value = claims->text, rest = path;
	size_t n;

	if (path.n > KS_CLAIMS_PATH_MAX)
		return false;
	while (find_step(value, rest, &n, &value)) {
		if (n == rest.n) {
			*ret_value = value;
			return true;
		}
		rest = ks_str_sub(rest, n + 1, SIZE_MAX);
	}
	return false;
}

/* The next of words that stand between spaces. */
static bool next_word(struct ks_claims_strings *at, struct ks_str *ret_text)
{
	struct ks_str word, rest;

	while (at->words.n > 0) {
		if (!ks_str_split(at->words, ' ', &word, &rest)) {
			word = at->words;
			rest = KS_STR("");
		}
		at->words = rest;
		if (word.n > 0) {
			*ret_text = word;
			return true;
		}
	}
	return false;
}

/* The next element of an array. */
static bool next_element(struct ks_claims_strings *at, struct ks_buf *to, struct ks_str *ret_text, bool *ret_malformed)
{
	if (!ks_json_read_more(&at->read, &at->first, ']'))
		return false;
	if (ks_json_string(ks_json_read_raw(&at->read), to, ret_text))
		return true;
	*ret_malformed = true;
	return false;
}

bool ks_claims_next(struct ks_claims_strings *at, struct ks_str value, bool spaced, struct ks_buf *to,
		    struct ks_str *ret_text, bool *ret_malformed)
{
	if (at->begun)
		return at->is_array ? next_element(at, to, ret_text, ret_malformed) : next_word(at, ret_text);
	at->begun = true;
	at->is_array = ks_json_kind(value) == '[';
	if (at->is_array) {
		at->read = ks_json_read_of(value);
		at->first = true;
		ks_json_read_open(&at->read, '[');
		return next_element(at, to, ret_text, ret_malformed);
	}
	if (!ks_json_string(value, to, &at->words)) {
		*ret_malformed = true;
		return false;
	}
	if (spaced)
		return next_word(at, ret_text);
	*ret_text = at->words;
	at->words = KS_STR("");
	return true;
}
