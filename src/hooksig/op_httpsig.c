/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP Message Signatures (RFC 9421) with digests of the body (RFC 9530). What must be covered, and by which key and
 * algorithm, comes from the settings; of the message alone nothing is believed. */
#include "base/ctenc.h"
#include "base/secret.h"
#include "hooksig/fields.h"
#include "hooksig/hooksig_priv.h"

#define COMPONENTS_MAX 32

enum alg_kind { ALG_PUBLIC, ALG_HMAC };

static const struct alg {
	const char *name;
	enum alg_kind kind;
	enum ks_sign_alg alg;
} algs[] = {
	{"ed25519", ALG_PUBLIC, KS_SIGN_ALG_EDDSA},
	{"ecdsa-p256-sha256", ALG_PUBLIC, KS_SIGN_ALG_ES256},
	{"ecdsa-p384-sha384", ALG_PUBLIC, KS_SIGN_ALG_ES384},
	{"rsa-pss-sha512", ALG_PUBLIC, KS_SIGN_ALG_PS512},
	{"rsa-v1_5-sha256", ALG_PUBLIC, KS_SIGN_ALG_RS256},
	{"hmac-sha256", ALG_HMAC, KS_SIGN_ALG_COUNT},
};

struct key {
	struct ks_str keyid;
	const struct alg *alg;
	struct ks_str pem, secret;
	struct ks_public_key *public_key;
};

struct httpsig {
	struct key keys[HS_KEYS_MAX];
	size_t key_n;
	struct hs_list components, parameters;
	struct ks_str label;         /* empty: the only one */
	int64_t max_age_ms, skew_ms;
	unsigned min_nonce;
	struct ks_str keyid_header;
	bool digest;                 /* the body's digest must be there, covered and right */
};

/* ---- compiling ---- */

static bool read_alg(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	for (size_t i = 0; i < KS_ARRAY_LEN(algs); i++)
		if (ks_str_eq(text, ks_str_c(algs[i].name))) {
			*(const struct alg **)to = &algs[i];
			return true;
		}
	return hs_refuse(c, "no such algorithm: %.*s", (int)KS_MIN(text.n, 40), text.p);
}

static bool add_key(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("keyid", hs_read_text, struct key, keyid),
		HS_NEEDED("alg", read_alg, struct key, alg),
		HS_MEMBER("public_key_pem", hs_read_text, struct key, pem),
		HS_MEMBER("secret_base64", hs_read_text, struct key, secret),
	};
	struct httpsig *h = to;
	struct key *key = &h->keys[h->key_n];
	struct hs_list secret = {&key->secret, 1};

	if (h->key_n == HS_KEYS_MAX)
		return hs_refuse(c, "more than %d keys", HS_KEYS_MAX);
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), key))
		return false;
	if ((key->alg->kind == ALG_HMAC) != (key->secret.n > 0) || (key->pem.n > 0) == (key->secret.n > 0))
		return hs_refuse_key(c, "public_key_pem belongs to a public key, secret_base64 to hmac-sha256");
	h->key_n++;
	return key->alg->kind == ALG_HMAC ? hs_secrets_decode(c, &secret, HS_KEY_BASE64)
					  : hs_public_key(c, key->pem, key->alg->alg, &key->public_key);
}

static bool read_keys(struct hs_compile *c, struct ks_str value, void *to)
{
	struct httpsig *h = to;

	if (!hs_each_element(c, value, add_key, h))
		return false;
	return c->checking || h->key_n > 0 || hs_refuse_key(c, "there is no key: nothing can be vouched for");
}

static bool read_httpsig(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("keys", read_keys, struct httpsig, keys),
		HS_NEEDED("required_components", hs_read_texts, struct httpsig, components),
		HS_NEEDED("required_params", hs_read_texts, struct httpsig, parameters),
		HS_MEMBER("label", hs_read_text, struct httpsig, label),
		HS_NEEDED("max_age", hs_read_seconds, struct httpsig, max_age_ms),
		HS_MEMBER("clock_skew", hs_read_seconds, struct httpsig, skew_ms),
		HS_MEMBER("min_nonce_length", hs_read_count, struct httpsig, min_nonce),
		HS_MEMBER("keyid_equals_header", hs_read_text, struct httpsig, keyid_header),
		HS_MEMBER("require_content_digest", hs_read_flag, struct httpsig, digest),
	};
	struct httpsig *h = to;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), h))
		return false;
	hs_cover_add(c, (struct hs_cover){.signs = true, .body = h->digest, .time = true});
	return true;
}

/* ---- fields of the message ---- */

/* All lines of a field, each without blanks around it, with ", " between (RFC 9421, 2.1), in room. With `wrapped` each as
 * a byte sequence. False: there is none, or no room. */
static bool field_value(struct hs_run *run, struct ks_str name, bool wrapped, struct ks_str *ret_value)
{
	const struct ks_hooksig_request *request = run->request;
	size_t from = run->room->n;
	bool found = false;

	for (size_t i = 0; i < request->header_count; i++) {
		struct ks_str line = ks_str_trim(request->headers[i].value);

		if (!ks_str_eq_nocase(request->headers[i].name, name))
			continue;
		if (found)
			ks_buf_put(run->room, KS_STR(", "));
		found = true;
		if (!wrapped) {
			ks_buf_put(run->room, line);
			continue;
		}
		ks_buf_put_byte(run->room, ':');
		hs_encode(HS_BASE64, line, run->room);
		ks_buf_put_byte(run->room, ':');
	}
	*ret_value = ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX);
	return found && ks_buf_ok(run->room);
}

/* ---- components (RFC 9421, 2) ---- */

struct component {
	struct ks_str text;          /* as it stands in the list, with its parameters */
	struct ks_str name;
	struct ks_str key, query_name; /* of ;key= and ;name= */
	bool has_key, has_name, wrapped;
};

static void put_lower(struct ks_buf *to, struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		ks_buf_put_byte(to, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
	}
}

typedef bool put_fn(struct hs_run *run, const struct component *component, struct ks_buf *to);

static bool put_method(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	(void)component;
	ks_buf_put(to, run->request->method);
	return true;
}

static bool put_target_uri(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	(void)component;
	ks_buf_put(to, run->url.whole);
	return true;
}

static bool put_scheme(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	(void)component;
	put_lower(to, run->url.scheme);
	return true;
}

static bool put_authority(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	bool tls = ks_str_eq_nocase(run->url.scheme, KS_STR("https")) || ks_str_eq_nocase(run->url.scheme, KS_STR("wss"));

	(void)component;
	put_lower(to, run->url.host);
	if (run->url.port.n > 0 && !ks_str_eq(run->url.port, tls ? KS_STR("443") : KS_STR("80"))) {
		ks_buf_put_byte(to, ':');
		ks_buf_put(to, run->url.port);
	}
	return true;
}

static bool put_path(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	(void)component;
	ks_buf_put(to, run->url.path.n > 0 ? run->url.path : KS_STR("/"));
	return true;
}

static bool put_query(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	(void)component;
	ks_buf_put_byte(to, '?');
	ks_buf_put(to, run->url.query);
	return true;
}

static bool put_request_target(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	(void)put_path(run, component, to);
	return !run->url.has_query || put_query(run, component, to);
}

/* As a form would write it, but a blank as %20 (RFC 9421, 2.2.8). */
static bool put_query_param(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	struct ks_str name, value;

	if (!component->has_name || !hs_unescape(component->query_name, false, run->room, &name) ||
	    hs_query(run, name, &value))
		return false;
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '*' || c == '-' ||
		    c == '.' || c == '_')
			ks_buf_put_byte(to, (char)c);
		else
			ks_buf_printf(to, "%%%02X", c);
	}
	return true;
}

static bool put_field(struct hs_run *run, const struct component *component, struct ks_buf *to)
{
	struct hs_member_text member;
	struct ks_str value;

	if (!field_value(run, component->name, component->wrapped, &value))
		return false;
	if (component->has_key) {
		if (!hs_dictionary_find(value, component->key, &member))
			return false;
		if (member.bare)
			ks_buf_put(to, KS_STR("?1"));
		value = member.value;
	}
	ks_buf_put(to, value);
	return true;
}

static const struct {
	const char *name;
	put_fn *put;
} derived[] = {
	{"@method", put_method},       {"@target-uri", put_target_uri}, {"@authority", put_authority},
	{"@scheme", put_scheme},       {"@path", put_path},             {"@query", put_query},
	{"@query-param", put_query_param}, {"@request-target", put_request_target},
};

static put_fn *find_put(struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(derived); i++)
		if (ks_str_eq(name, ks_str_c(derived[i].name)))
			return derived[i].put;
	return ks_str_starts(name, KS_STR("@")) ? NULL : put_field;
}

/* ---- Signature-Input ---- */

struct input {
	struct ks_str text;          /* the list and its parameters: the last line of what is signed */
	struct component components[COMPONENTS_MAX];
	size_t component_n;
	struct hs_parameter parameters[8];
	size_t parameter_n;
};

/* "text" as a string of a structured field, without its quotes. */
static bool unquote(struct ks_str value, struct ks_str *ret_text)
{
	struct ks_cursor c = ks_cursor_of(value);

	hs_string_take(&c, ret_text);
	return ks_cursor_done(&c);
}

/* Parameters of a component that change what it means and are not known here are refused. */
static bool take_component_parameters(struct ks_cursor *c, struct component *component)
{
	struct hs_parameter parameter;

	while (hs_parameter_next(c, &parameter)) {
		bool ok = false;

		if (ks_str_eq(parameter.key, KS_STR("bs"))) {
			ok = parameter.bare && !component->wrapped;
			component->wrapped = true;
		} else if (ks_str_eq(parameter.key, KS_STR("key"))) {
			ok = !component->has_key && unquote(parameter.value, &component->key);
			component->has_key = true;
		} else if (ks_str_eq(parameter.key, KS_STR("name"))) {
			ok = !component->has_name && unquote(parameter.value, &component->query_name);
			component->has_name = true;
		}
		if (!ok)
			return false;
	}
	return !c->failed && !(component->wrapped && component->has_key);
}

static bool is_twice(const struct input *input)
{
	for (size_t i = 0; i + 1 < input->component_n; i++)
		if (ks_str_eq(input->components[i].text, input->components[input->component_n - 1].text))
			return true;
	return false;
}

static bool take_component(struct ks_cursor *c, struct input *input)
{
	struct component *component = &input->components[input->component_n];
	const char *from = c->p;

	if (input->component_n == COMPONENTS_MAX)
		return false;
	*component = (struct component){0};
	hs_string_take(c, &component->name);
	if (!take_component_parameters(c, component))
		return false;
	component->text = ks_str_of(from, (size_t)(c->p - from));
	input->component_n++;
	for (size_t i = 0; i < component->name.n; i++)
		if (component->name.p[i] >= 'A' && component->name.p[i] <= 'Z')
			return false;
	return !is_twice(input) && (component->has_name == ks_str_eq(component->name, KS_STR("@query-param")));
}

static bool take_parameters(struct ks_cursor *c, struct input *input)
{
	struct hs_parameter parameter;

	while (hs_parameter_next(c, &parameter)) {
		for (size_t i = 0; i < input->parameter_n; i++)
			if (ks_str_eq(input->parameters[i].key, parameter.key))
				return false;
		if (input->parameter_n == KS_ARRAY_LEN(input->parameters))
			return false;
		input->parameters[input->parameter_n++] = parameter;
	}
	return ks_cursor_done(c);
}

static bool parse_input(struct ks_str text, struct input *input)
{
	struct ks_cursor c = ks_cursor_of(text);

	input->text = text;
	input->component_n = input->parameter_n = 0;
	ks_cursor_literal(&c, KS_STR("("));
	while (!c.failed && ks_cursor_peek(&c) != ')') {
		if (input->component_n > 0)
			ks_cursor_literal(&c, KS_STR(" "));
		if (!take_component(&c, input))
			return false;
	}
	ks_cursor_literal(&c, KS_STR(")"));
	return take_parameters(&c, input);
}

static const struct hs_parameter *find_parameter(const struct input *input, struct ks_str key)
{
	for (size_t i = 0; i < input->parameter_n; i++)
		if (ks_str_eq(input->parameters[i].key, key))
			return &input->parameters[i];
	return NULL;
}

static bool has_component(const struct input *input, struct ks_str name)
{
	for (size_t i = 0; i < input->component_n; i++)
		if (ks_str_eq(input->components[i].name, name) && !input->components[i].has_key)
			return true;
	return false;
}

/* ---- the rules of the settings ---- */

static bool covers_enough(const struct httpsig *h, const struct input *input)
{
	for (size_t i = 0; i < h->components.n; i++)
		if (!has_component(input, h->components.v[i]))
			return false;
	for (size_t i = 0; i < h->parameters.n; i++)
		if (!find_parameter(input, h->parameters.v[i]))
			return false;
	return !h->digest || has_component(input, KS_STR("content-digest"));
}

/* The time that a parameter holds, or KS_TIME_NONE's like: false where it is malformed. */
static bool time_of(const struct input *input, struct ks_str key, bool *ret_there, int64_t *ret_ms)
{
	const struct hs_parameter *parameter = find_parameter(input, key);
	uint64_t seconds;

	*ret_there = parameter != NULL;
	if (!parameter)
		return true;
	if (!ks_str_to_u64(parameter->value, UINT64_C(253402300799), &seconds))
		return false;
	*ret_ms = (int64_t)seconds * 1000;
	return true;
}

static enum ks_hooksig_code check_time(const struct hs_run *run, const struct httpsig *h, const struct input *input)
{
	int64_t created = 0, expires = 0;
	bool has_created, has_expires;

	if (!time_of(input, KS_STR("created"), &has_created, &created) ||
	    !time_of(input, KS_STR("expires"), &has_expires, &expires))
		return KS_HOOKSIG_MALFORMED;
	if (has_created && (run->now_ms - created > h->max_age_ms + h->skew_ms || created - run->now_ms > h->skew_ms))
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	if (has_expires && run->now_ms > expires + h->skew_ms)
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	return has_created || has_expires ? KS_HOOKSIG_OK : KS_HOOKSIG_MALFORMED;
}

static bool nonce_is_long(const struct httpsig *h, const struct input *input)
{
	const struct hs_parameter *nonce = find_parameter(input, KS_STR("nonce"));
	struct ks_str text;

	return h->min_nonce == 0 || (nonce && unquote(nonce->value, &text) && text.n >= h->min_nonce);
}

/* The key that is meant, if its algorithm is the one that is named (where one is). */
static const struct key *find_key(const struct hs_run *run, const struct httpsig *h, const struct input *input)
{
	const struct hs_parameter *keyid = find_parameter(input, KS_STR("keyid"));
	const struct hs_parameter *alg = find_parameter(input, KS_STR("alg"));
	struct ks_str id = KS_STR(""), text, header;
	const struct key *found = h->key_n == 1 ? &h->keys[0] : NULL;

	if (keyid && !unquote(keyid->value, &id))
		return NULL;
	if (keyid)
		found = NULL;
	for (size_t i = 0; keyid && i < h->key_n; i++)
		if (ks_str_eq(h->keys[i].keyid, id))
			found = &h->keys[i];
	if (h->keyid_header.n > 0 && (hs_header(run->request, h->keyid_header, &header) || !ks_str_eq(header, id)))
		return NULL;
	if (found && alg && (!unquote(alg->value, &text) || !ks_str_eq(text, ks_str_c(found->alg->name))))
		return NULL;
	return found;
}

/* ---- Content-Digest (RFC 9530) ---- */

static bool digest_fits(struct ks_str body, enum ks_hasher_alg alg, struct ks_str value)
{
	unsigned char digest[KS_HASHER_MAX], given[KS_HASHER_MAX];
	struct ks_hasher hasher;
	struct ks_str base64;
	size_t n;

	ks_hasher_begin(&hasher, alg);
	ks_hasher_put(&hasher, body);
	return hs_bytes_of(value, &base64) && hs_decode(HS_BASE64, base64, given, sizeof(given), &n) &&
	       n == ks_hasher_size(alg) && ks_hasher_end(&hasher, digest) == KS_OK && ks_ct_equal(digest, given, n);
}

/* Every digest of a kind that is known must fit, and there must be one. */
static bool body_fits(struct hs_run *run)
{
	struct ks_str text;
	struct ks_cursor c;
	struct hs_member_text member;
	bool first = true, found = false;

	if (!field_value(run, KS_STR("content-digest"), false, &text))
		return false;
	c = ks_cursor_of(text);
	while (hs_dictionary_next(&c, &first, &member)) {
		bool is_256 = ks_str_eq(member.key, KS_STR("sha-256")), is_512 = ks_str_eq(member.key, KS_STR("sha-512"));

		if ((is_256 || is_512) &&
		    !digest_fits(run->request->body, is_256 ? KS_HASHER_SHA256 : KS_HASHER_SHA512, member.value))
			return false;
		found |= is_256 || is_512;
	}
	return found && ks_cursor_done(&c);
}

/* ---- the signature ---- */

static bool put_base(struct hs_run *run, const struct input *input, struct ks_buf *to)
{
	for (size_t i = 0; i < input->component_n; i++) {
		const struct component *component = &input->components[i];
		put_fn *put = find_put(component->name);

		ks_buf_put(to, component->text);
		ks_buf_put(to, KS_STR(": "));
		if (!put || !put(run, component, to))
			return false;
		ks_buf_put_byte(to, '\n');
	}
	ks_buf_put(to, KS_STR("\"@signature-params\": "));
	ks_buf_put(to, input->text);
	return ks_buf_ok(to);
}

static bool check_signature(const struct key *key, struct ks_str base, struct ks_str signature)
{
	unsigned char mac[KS_HASHER_MAX];
	struct ks_hmac_key hmac;
	struct ks_hasher hasher;
	bool ok;

	if (key->alg->kind == ALG_PUBLIC)
		return ks_public_key_check(key->public_key, key->alg->alg, base, signature) == KS_OK;
	ks_hmac_key_make(&hmac, KS_HASHER_SHA256, key->secret);
	ks_hmac_begin(&hmac, &hasher);
	ks_hasher_put(&hasher, base);
	ok = ks_hmac_end(&hmac, &hasher, mac) == KS_OK && signature.n == 32 && ks_ct_equal(mac, signature.p, 32);
	ks_wipe(&hmac, sizeof(hmac));
	ks_wipe(mac, sizeof(mac));
	return ok;
}

/* Signature-Input holds lists, Signature holds byte sequences, and neither anything else. */
static bool are_all(struct ks_str dictionary, char kind)
{
	struct ks_cursor c = ks_cursor_of(dictionary);
	struct hs_member_text member;
	bool first = true;

	while (hs_dictionary_next(&c, &first, &member))
		if (member.bare || member.value.p[0] != kind)
			return false;
	return ks_cursor_done(&c);
}

/* The member of the label that is meant, in both fields. */
static enum ks_hooksig_code find_both(struct hs_run *run, const struct httpsig *h, struct ks_str *ret_input,
				      struct ks_str *ret_signature)
{
	struct ks_str inputs, signatures, label = h->label;
	struct hs_member_text input, signature;
	struct ks_cursor c;
	bool first = true;

	if (!field_value(run, KS_STR("signature-input"), false, &inputs) ||
	    !field_value(run, KS_STR("signature"), false, &signatures))
		return KS_HOOKSIG_HEADER_MISSING;
	if (!are_all(inputs, '(') || !are_all(signatures, ':'))
		return KS_HOOKSIG_MALFORMED;
	c = ks_cursor_of(inputs);
	if (label.n == 0) {
		if (!hs_dictionary_next(&c, &first, &input) || !ks_cursor_done(&c))
			return KS_HOOKSIG_MALFORMED;
		label = input.key;
	}
	if (!hs_dictionary_find(inputs, label, &input) || !hs_dictionary_find(signatures, label, &signature))
		return KS_HOOKSIG_MALFORMED;
	*ret_input = input.value;
	*ret_signature = signature.value;
	return KS_HOOKSIG_OK;
}

#define BASE_MAX ((size_t)24 << 10)

static enum ks_hooksig_code check_base(struct hs_run *run, const struct key *key, const struct input *input,
				       struct ks_str signature)
{
	struct ks_buf base;

	if (run->room->cap - run->room->n < BASE_MAX)
		return KS_HOOKSIG_MALFORMED;
	base = ks_buf_of(&run->room->p[run->room->n], BASE_MAX);
	run->room->n += BASE_MAX;
	if (!put_base(run, input, &base))
		return KS_HOOKSIG_HEADER_MISSING;
	return check_signature(key, ks_buf_str(&base), signature) ? KS_HOOKSIG_OK : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

static enum ks_hooksig_code run_httpsig(struct hs_run *run, const void *op)
{
	const struct httpsig *h = op;
	unsigned char bytes[KS_SIGNATURE_MAX];
	struct ks_str text, signature, base64;
	struct input input;
	const struct key *key;
	enum ks_hooksig_code code = find_both(run, h, &text, &signature);
	size_t n;

	if (code)
		return code;
	if (!parse_input(text, &input) || !hs_bytes_of(signature, &base64) ||
	    !hs_decode(HS_BASE64, base64, bytes, sizeof(bytes), &n) || !covers_enough(h, &input) ||
	    !nonce_is_long(h, &input))
		return KS_HOOKSIG_MALFORMED;
	code = check_time(run, h, &input);
	key = find_key(run, h, &input);
	if (code == KS_HOOKSIG_OK && !key)
		code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	if (code == KS_HOOKSIG_OK)
		code = check_base(run, key, &input, ks_str_of((const char *)bytes, n));
	if (code == KS_HOOKSIG_OK && has_component(&input, KS_STR("content-digest")) && !body_fits(run))
		code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	return code;
}

const struct hs_op_type hs_op_httpsig = {"httpsig", sizeof(struct httpsig), read_httpsig, run_httpsig, NULL, true};
