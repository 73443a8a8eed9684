/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/jwk_priv.h"

#include <stdlib.h>

#include "base/ctenc.h"
#include "base/json.h"
#include "crypto/sha256.h"
#include "jose/jws_priv.h"

/* One row a form: how a JWK says it (RFC 7518, 6; RFC 8037, 2). crv NULL and second NULL: none. */
static const struct kind {
	const char *kty, *crv, *first, *second;
} kinds[KS_KEY_FORM_COUNT] = {
	[KS_KEY_FORM_P256] = {"EC", "P-256", "x", "y"},
	[KS_KEY_FORM_P384] = {"EC", "P-384", "x", "y"},
	[KS_KEY_FORM_P521] = {"EC", "P-521", "x", "y"},
	[KS_KEY_FORM_ED25519] = {"OKP", "Ed25519", "x", NULL},
	[KS_KEY_FORM_RSA] = {"RSA", NULL, "n", "e"},
};

void ks_jose_key_free(struct ks_jose_key *key)
{
	if (!key)
		return;
	ks_public_key_free(key->public_key);
	free(key);
}

struct ks_str ks_jose_key_kid(const struct ks_jose_key *key)
{
	return ks_str_of(key->kid, key->kid_n);
}

struct ks_str ks_jose_key_thumbprint(const struct ks_jose_key *key)
{
	return ks_str_of(key->thumbprint, sizeof(key->thumbprint));
}

bool ks_jose_key_is_for(const struct ks_jose_key *key, enum ks_sign_alg alg)
{
	return (unsigned)alg < KS_SIGN_ALG_COUNT && (key->algs >> alg & 1);
}

const struct ks_public_key *ks_jose_key_public(const struct ks_jose_key *key)
{
	return key->public_key;
}

/* ---- writing ---- */

static void put_member(struct ks_buf *out, bool first, const char *name, struct ks_str value)
{
	ks_buf_put_byte(out, first ? '{' : ',');
	ks_buf_put_json(out, ks_str_c(name));
	ks_buf_put_byte(out, ':');
	ks_buf_put_json(out, value);
}

static void put_number(struct ks_buf *out, bool first, const char *name, struct ks_str number)
{
	char text[4 * ((KS_SIGNATURE_MAX + 2) / 3)];
	size_t n = ks_base64url_encode((const unsigned char *)number.p, number.n, text, sizeof(text));

	put_member(out, first, name, ks_str_of(text, n));
}

/* The members that make the key, in the order of their names and without the closing bracket: RFC 7638, 3.2. */
static void put_numbers(const struct ks_public_key *key, struct ks_buf *out)
{
	const struct kind *kind = &kinds[ks_public_key_form(key)];
	struct ks_str first, second;

	ks_public_key_numbers(key, &first, &second);
	if (!kind->crv) {
		put_number(out, true, kind->second, second);
		put_member(out, false, "kty", ks_str_c(kind->kty));
		put_number(out, false, kind->first, first);
		return;
	}
	put_member(out, true, "crv", ks_str_c(kind->crv));
	put_member(out, false, "kty", ks_str_c(kind->kty));
	put_number(out, false, kind->first, first);
	if (kind->second)
		put_number(out, false, kind->second, second);
}

static bool make_thumbprint(struct ks_jose_key *key)
{
	char text[2048];
	struct ks_buf out = KS_BUF(text);
	struct ks_digest digest;

	put_numbers(key->public_key, &out);
	ks_buf_put_byte(&out, '}');
	return ks_buf_ok(&out) && ks_sha256(ks_buf_str(&out), &digest) == KS_OK &&
	       ks_base64url_encode(digest.bytes, sizeof(digest.bytes), key->thumbprint, sizeof(key->thumbprint)) ==
		       sizeof(key->thumbprint);
}

void ks_jose_key_write(const struct ks_jose_key *key, struct ks_buf *out)
{
	put_numbers(key->public_key, out);
	if (key->kid_n > 0)
		put_member(out, false, "kid", ks_jose_key_kid(key));
	put_member(out, false, "use", KS_STR("sig"));
	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
		if (key->algs == (uint32_t)1 << alg)
			put_member(out, false, "alg", ks_sign_alg_name((enum ks_sign_alg)alg));
	ks_buf_put_byte(out, '}');
}

/* ---- reading ---- */

enum ks_jose_problem ks_jose_key_of(struct ks_public_key *public_key, struct ks_jose_key **ret_key)
{
	struct ks_jose_key *key = malloc(sizeof(*key));

	if (!key)
		return KS_JOSE_MEMORY;
	key->public_key = public_key;
	key->kid_n = 0;
	key->algs = 0;
	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
		if (ks_sign_alg_form((enum ks_sign_alg)alg) == ks_public_key_form(public_key))
			key->algs |= (uint32_t)1 << alg;
	if (!make_thumbprint(key)) {
		free(key);
		return KS_JOSE_LIBRARY;
	}
	*ret_key = key;
	return KS_JOSE_OK;
}

static bool has_secret(struct ks_str value)
{
	static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"};
	struct ks_str member;

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++)
		if (ks_json_member(value, ks_str_c(names[i]), &member))
			return true;
	return false;
}

/* The string of the member `name` is `text`; also where `text` is NULL and there is no such member. */
static bool member_is(struct ks_str value, const char *name, const char *text)
{
	struct ks_str member;

	if (!text)
		return true;
	return ks_json_member(value, ks_str_c(name), &member) && ks_json_string_is(member, ks_str_c(text));
}

static enum ks_jose_problem read_form(struct ks_str value, enum ks_key_form *ret_form)
{
	struct ks_str kty;

	if (!ks_json_member(value, KS_STR("kty"), &kty) || ks_json_kind(kty) != '"')
		return KS_JOSE_KEY_MEMBER;
	for (unsigned form = 0; form < KS_KEY_FORM_COUNT; form++)
		if (ks_json_string_is(kty, ks_str_c(kinds[form].kty)) && member_is(value, "crv", kinds[form].crv)) {
			*ret_form = (enum ks_key_form)form;
			return KS_JOSE_OK;
		}
	return KS_JOSE_KEY_TYPE;
}

/* True if `list` is an array of strings with "verify" among them. */
static bool allows_verify(struct ks_str list)
{
	struct ks_json_read r = ks_json_read_of(list);
	bool first = true, found = false;

	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']')) {
		struct ks_str operation = ks_json_read_raw(&r);

		if (ks_json_kind(operation) != '"')
			return false;
		found = found || ks_json_string_is(operation, KS_STR("verify"));
	}
	return ks_json_read_done(&r) && found;
}

static enum ks_jose_problem check_use(struct ks_str value)
{
	struct ks_str member;

	if (ks_json_member(value, KS_STR("use"), &member) && !ks_json_string_is(member, KS_STR("sig")))
		return KS_JOSE_KEY_USE;
	if (ks_json_member(value, KS_STR("key_ops"), &member) && !allows_verify(member))
		return KS_JOSE_KEY_USE;
	return KS_JOSE_OK;
}

/* The number that a member holds in base64url, decoded to `bytes`; false: missing, malformed, or too long. */
static bool read_number(struct ks_str value, const char *name, unsigned char *bytes, size_t cap,
			struct ks_str *ret_number)
{
	char room[2 * KS_SIGNATURE_MAX];
	struct ks_buf to = KS_BUF(room);
	struct ks_str member, text;
	size_t n;

	if (!ks_json_member(value, ks_str_c(name), &member) || !ks_json_string(member, &to, &text) || text.n == 0 ||
	    !ks_base64url_decode(text, bytes, cap, &n))
		return false;
	*ret_number = ks_str_of((const char *)bytes, n);
	return true;
}

static enum ks_jose_problem read_public(struct ks_str value, enum ks_key_form form, struct ks_public_key **ret_key)
{
	/* One byte more than the largest, so that what is too large is told from what is malformed. */
	unsigned char bytes[2][KS_SIGNATURE_MAX + 1];
	const struct kind *kind = &kinds[form];
	struct ks_str first, second = KS_STR("");
	enum ks_err err;

	if (!read_number(value, kind->first, bytes[0], sizeof(bytes[0]), &first) ||
	    (kind->second && !read_number(value, kind->second, bytes[1], sizeof(bytes[1]), &second)))
		return KS_JOSE_KEY_MEMBER;
	if (form == KS_KEY_FORM_RSA)
		err = ks_public_key_rsa(first, second, ret_key);
	else if (form == KS_KEY_FORM_ED25519)
		err = ks_public_key_ed25519(first, ret_key);
	else
		err = ks_public_key_ec(form, first, second, ret_key);
	return ks_jose_problem_of(err, KS_JOSE_KEY_VALUE);
}

/* Adds what the JWK says beyond the numbers: kid, and the one algorithm that it is for. */
static enum ks_jose_problem read_rest(struct ks_str value, struct ks_jose_key *key)
{
	char room[KS_JOSE_KID_MAX];
	struct ks_buf to = KS_BUF(room);
	struct ks_str member, text;
	uint32_t one = 0;

	if (ks_json_member(value, KS_STR("kid"), &member)) {
		if (!ks_json_string(member, &to, &text) || text.n == 0 || text.n > KS_JOSE_KID_MAX || ks_str_has_control(text))
			return KS_JOSE_KEY_MEMBER;
		memcpy(key->kid, text.p, text.n);
		key->kid_n = text.n;
	}
	if (!ks_json_member(value, KS_STR("alg"), &member))
		return KS_JOSE_OK;
	if (ks_json_kind(member) != '"')
		return KS_JOSE_KEY_MEMBER;
	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
		if (ks_json_string_is(member, ks_sign_alg_name((enum ks_sign_alg)alg)))
			one = (uint32_t)1 << alg;
	key->algs &= one;
	return key->algs ? KS_JOSE_OK : KS_JOSE_KEY_TYPE;
}

enum ks_jose_problem ks_jwk_read(struct ks_str value, struct ks_jose_key **ret_key)
{
	struct ks_public_key *public_key = NULL;
	struct ks_jose_key *key = NULL;
	enum ks_key_form form;
	enum ks_jose_problem problem;

	if (ks_json_kind(value) != '{')
		return KS_JOSE_KEY_JSON;
	if (has_secret(value))
		return KS_JOSE_KEY_PRIVATE;
	problem = read_form(value, &form);
	if (problem == KS_JOSE_OK)
		problem = check_use(value);
	if (problem == KS_JOSE_OK)
		problem = read_public(value, form, &public_key);
	if (problem)
		return problem;
	problem = ks_jose_key_of(public_key, &key);
	if (problem) {
		ks_public_key_free(public_key);
		return problem;
	}
	problem = read_rest(value, key);
	if (problem)
		ks_jose_key_free(key);
	else
		*ret_key = key;
	return problem;
}

enum ks_jose_problem ks_jwk_parse(struct ks_str json, struct ks_jose_key **ret_key)
{
	if (json.n > KS_JWK_MAX)
		return KS_JOSE_KEY_TOO_LARGE;
	if (!ks_json_check(json))
		return KS_JOSE_KEY_JSON;
	return ks_jwk_read(json, ret_key);
}

/* ---- checking ---- */

enum ks_jose_problem ks_jose_verify(const struct ks_jose_key *key, const struct ks_jws *jws)
{
	if (!ks_jose_key_is_for(key, jws->alg))
		return KS_JOSE_ALG_OTHER;
	return ks_jose_problem_of(ks_public_key_check(key->public_key, jws->alg, jws->input, jws->signature),
				  KS_JOSE_SIGNATURE);
}
