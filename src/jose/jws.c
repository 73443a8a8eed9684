/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/jws_priv.h"

#include "base/ctenc.h"
#include "base/json.h"

/* Where the parts stand in `room`. */
#define PAYLOAD_AT KS_JWS_HEADER_MAX
#define SIGNATURE_AT (PAYLOAD_AT + KS_JWS_PAYLOAD_MAX)
#define TEXTS_AT (SIGNATURE_AT + KS_SIGNATURE_MAX)

/* The members of a header that mean something to us, as JSON; empty: not there. */
struct header {
	struct ks_str alg, typ, cty, kid, crit, b64;
};

static const struct {
	const char *name, *text;
} problems[KS_JOSE_PROBLEM_COUNT] = {
#define KS_JOSE_PROBLEM(name, logged, text) {logged, text},
#include "jose/problem.def"
#undef KS_JOSE_PROBLEM
};

const char *ks_jose_problem_name(enum ks_jose_problem problem)
{
	return (unsigned)problem < KS_JOSE_PROBLEM_COUNT ? problems[problem].name : "unknown";
}

const char *ks_jose_problem_text(enum ks_jose_problem problem)
{
	return (unsigned)problem < KS_JOSE_PROBLEM_COUNT ? problems[problem].text : "";
}

enum ks_jose_problem ks_jose_problem_of(enum ks_err err, enum ks_jose_problem refused)
{
	if (err == KS_OK)
		return KS_JOSE_OK;
	if (err == KS_MEMORY)
		return KS_JOSE_MEMORY;
	return err == KS_CRYPTO ? KS_JOSE_LIBRARY : refused;
}

/* ---- the three parts ---- */

static enum ks_jose_problem divide(struct ks_str token, struct ks_str ret_parts[3])
{
	struct ks_str parts[5], rest = token;
	size_t n = 1;

	if (token.n > KS_JWS_TOKEN_MAX)
		return KS_JOSE_TOKEN_TOO_LARGE;
	/* The serializations as JSON hold dots of their own. */
	if (ks_str_starts(token, KS_STR("{")))
		return KS_JOSE_NOT_COMPACT;
	while (n < KS_ARRAY_LEN(parts) && ks_str_split(rest, '.', &parts[n - 1], &rest))
		n++;
	if (n == KS_ARRAY_LEN(parts) && ks_str_find(rest, '.') == SIZE_MAX)
		return KS_JOSE_ENCRYPTED;
	if (n != 3)
		return KS_JOSE_NOT_COMPACT;
	ret_parts[0] = parts[0];
	ret_parts[1] = parts[1];
	ret_parts[2] = rest;
	return KS_JOSE_OK;
}

/* Decodes one part to `at`, of `max` bytes at most, beyond which it is `too_large`. */
static enum ks_jose_problem decode(struct ks_str part, char *at, size_t max, enum ks_jose_problem too_large,
				   struct ks_str *ret_bytes)
{
	size_t n = 0;

	if (part.n * 3 / 4 > max)
		return too_large;
	if (part.n > 0 && !ks_base64url_decode(part, (unsigned char *)at, max, &n))
		return KS_JOSE_BASE64;
	*ret_bytes = ks_str_of(at, n);
	return KS_JOSE_OK;
}

/* ---- the header ---- */

static const struct member {
	const char *name;
	enum ks_jose_problem refused; /* OK: kept at `at` of struct header */
	size_t at;
} members[] = {
	{"alg", KS_JOSE_OK, offsetof(struct header, alg)},
	{"kid", KS_JOSE_OK, offsetof(struct header, kid)},
	{"typ", KS_JOSE_OK, offsetof(struct header, typ)},
	{"cty", KS_JOSE_OK, offsetof(struct header, cty)},
	{"crit", KS_JOSE_OK, offsetof(struct header, crit)},
	{"jwk", KS_JOSE_EMBEDDED_KEY, 0},
	{"jku", KS_JOSE_KEY_ADDRESS, 0},
	{"x5c", KS_JOSE_CERTIFICATE, 0},
	{"x5u", KS_JOSE_CERTIFICATE_ADDRESS, 0},
	{"b64", KS_JOSE_OK, offsetof(struct header, b64)},
	{"zip", KS_JOSE_COMPRESSED, 0},
};

static const struct member *find_member(struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++)
		if (ks_str_eq(name, ks_str_c(members[i].name)))
			return &members[i];
	return NULL;
}

static enum ks_jose_problem read_header(struct ks_str text, struct header *ret_header)
{
	struct ks_json_read r = ks_json_read_of(text);
	struct header header = {0};
	bool first = true;

	if (!ks_json_check(text))
		return KS_JOSE_HEADER_JSON;
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		char room[KS_JSON_ESCAPED_MAX];
		struct ks_buf to = KS_BUF(room);
		const struct member *member = find_member(ks_json_text_decode(ks_json_read_name(&r), &to));
		struct ks_str value = ks_json_read_raw(&r);

		if (!member)
			continue;
		if (member->refused)
			return member->refused;
		memcpy((char *)&header + member->at, &value, sizeof(value));
	}
	if (!ks_json_read_done(&r))
		return KS_JOSE_HEADER_JSON;
	*ret_header = header;
	return KS_JOSE_OK;
}

/* Whether the payload is encoded, as it must be in a token that holds it (RFC 7797). */
static enum ks_jose_problem check_encoding(const struct header *header, bool detached)
{
	struct ks_json_read r = ks_json_read_of(header->crit);
	bool first = true;

	/* Of the two the first is told. */
	if (!detached && header->b64.n > 0 && (header->crit.n == 0 || header->b64.p < header->crit.p))
		return KS_JOSE_UNENCODED;
	if (!detached)
		return header->crit.n > 0 ? KS_JOSE_CRITICAL : KS_JOSE_OK;
	if (!ks_str_eq(header->b64, KS_STR("false")))
		return KS_JOSE_UNENCODED;
	ks_json_read_open(&r, '[');
	if (!ks_json_read_more(&r, &first, ']') || !ks_str_eq(ks_json_read_string(&r).raw, KS_STR("b64")) ||
	    ks_json_read_more(&r, &first, ']') || !ks_json_read_done(&r))
		return KS_JOSE_CRITICAL;
	return KS_JOSE_OK;
}

/* The string that `value` is, of 1 to `max` bytes without control characters; the empty text where there is none. */
static enum ks_jose_problem read_text(struct ks_str value, size_t max, struct ks_buf *to, struct ks_str *ret_text)
{
	struct ks_str text = KS_STR("");

	if (value.n > 0 && (!ks_json_string(value, to, &text) || text.n == 0 || text.n > max || ks_str_has_control(text)))
		return KS_JOSE_HEADER_MEMBER;
	*ret_text = text;
	return KS_JOSE_OK;
}

/* `text` without the "application/" that media types may be written without. */
static struct ks_str short_type(struct ks_str text)
{
	struct ks_str prefix = KS_STR("application/");
	struct ks_str rest = ks_str_sub(text, prefix.n, SIZE_MAX);

	if (ks_str_eq_nocase(ks_str_sub(text, 0, prefix.n), prefix) && ks_str_find(rest, '/') == SIZE_MAX)
		return rest;
	return text;
}

static enum ks_jose_problem take_header(const struct header *header, struct ks_jws *jws, struct ks_str *ret_alg)
{
	struct ks_buf texts = ks_buf_of(&jws->room[TEXTS_AT], sizeof(jws->room) - TEXTS_AT);
	struct ks_str cty = KS_STR(""), alg;
	enum ks_jose_problem problem;

	if (header->alg.n == 0)
		return KS_JOSE_ALG_MISSING;
	problem = read_text(header->alg, KS_JWS_TYPE_MAX, &texts, &alg);
	if (problem == KS_JOSE_OK)
		problem = read_text(header->kid, KS_JOSE_KID_MAX, &texts, &jws->kid);
	if (problem == KS_JOSE_OK)
		problem = read_text(header->typ, KS_JWS_TYPE_MAX, &texts, &jws->typ);
	if (problem == KS_JOSE_OK)
		problem = read_text(header->cty, KS_JWS_TYPE_MAX, &texts, &cty);
	if (problem)
		return problem;
	if (ks_str_eq_nocase(short_type(cty), KS_STR("JWT")))
		return KS_JOSE_NESTED;
	*ret_alg = alg;
	return KS_JOSE_OK;
}

static void forget(struct ks_jws *jws)
{
	jws->kid = jws->typ = jws->input = jws->header = jws->payload = jws->signature = KS_STR("");
}

void ks_jws_wipe(struct ks_jws *jws)
{
	ks_wipe(jws->room, jws->header.n);
	ks_wipe(&jws->room[PAYLOAD_AT], jws->payload.n);
	ks_wipe(&jws->room[SIGNATURE_AT], jws->signature.n);
	forget(jws);
}

static enum ks_jose_problem take_apart(struct ks_str token, bool detached, struct ks_jws *ret_jws,
				       struct ks_str *ret_alg)
{
	struct header header;
	struct ks_str parts[3];
	enum ks_jose_problem problem = divide(token, parts);

	forget(ret_jws);
	if (problem == KS_JOSE_OK)
		problem = decode(parts[0], ret_jws->room, KS_JWS_HEADER_MAX, KS_JOSE_HEADER_TOO_LARGE, &ret_jws->header);
	if (problem == KS_JOSE_OK)
		problem = read_header(ret_jws->header, &header);
	if (problem == KS_JOSE_OK)
		problem = check_encoding(&header, detached);
	if (problem == KS_JOSE_OK && detached && parts[1].n > 0)
		problem = KS_JOSE_NOT_COMPACT;
	if (problem == KS_JOSE_OK)
		problem = take_header(&header, ret_jws, ret_alg);
	if (problem == KS_JOSE_OK)
		problem = decode(parts[1], &ret_jws->room[PAYLOAD_AT], KS_JWS_PAYLOAD_MAX, KS_JOSE_PAYLOAD_TOO_LARGE,
				 &ret_jws->payload);
	if (problem == KS_JOSE_OK)
		problem = decode(parts[2], &ret_jws->room[SIGNATURE_AT], KS_SIGNATURE_MAX, KS_JOSE_SIGNATURE,
				 &ret_jws->signature);
	if (problem == KS_JOSE_OK)
		ret_jws->input = ks_str_sub(token, 0, parts[0].n + 1 + parts[1].n);
	return problem;
}

enum ks_jose_problem ks_jws_take_apart(struct ks_str token, struct ks_jws *ret_jws, struct ks_str *ret_alg)
{
	return take_apart(token, false, ret_jws, ret_alg);
}

enum ks_jose_problem ks_jws_alg_problem(struct ks_str alg)
{
	static const char *const symmetric[] = {"HS256", "HS384", "HS512"};

	if (ks_str_eq_nocase(alg, KS_STR("none")))
		return KS_JOSE_ALG_NONE;
	for (size_t i = 0; i < KS_ARRAY_LEN(symmetric); i++)
		if (ks_str_eq_nocase(alg, ks_str_c(symmetric[i])))
			return KS_JOSE_ALG_SYMMETRIC;
	return KS_JOSE_ALG_UNKNOWN;
}

static enum ks_jose_problem parse(struct ks_str token, bool detached, struct ks_jws *ret_jws)
{
	struct ks_str alg;
	enum ks_jose_problem problem = take_apart(token, detached, ret_jws, &alg);

	if (problem == KS_JOSE_OK && !ks_sign_alg_parse(alg, &ret_jws->alg))
		return ks_jws_alg_problem(alg);
	return problem;
}

enum ks_jose_problem ks_jws_parse(struct ks_str token, struct ks_jws *ret_jws)
{
	return parse(token, false, ret_jws);
}

enum ks_jose_problem ks_jws_parse_detached(struct ks_str token, struct ks_jws *ret_jws)
{
	return parse(token, true, ret_jws);
}

bool ks_jws_typ_is(const struct ks_jws *jws, struct ks_str type)
{
	return jws->typ.n > 0 && ks_str_eq_nocase(short_type(jws->typ), type);
}
