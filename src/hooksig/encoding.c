/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures and secrets as text. */
#include "base/ctenc.h"
#include "base/secret.h"
#include "hooksig/hooksig_priv.h"

static bool decode_hex(struct ks_str text, bool upper_ok, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	if (text.n % 2 || text.n / 2 > cap || !ks_hex_decode(text, upper_ok, ret_bytes, text.n / 2))
		return false;
	*ret_n = text.n / 2;
	return true;
}

static bool decode_lower(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	return decode_hex(text, false, ret_bytes, cap, ret_n);
}

static bool decode_any(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	return decode_hex(text, true, ret_bytes, cap, ret_n);
}

/* Upper case alone. */
static bool decode_upper(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 'a')
			return false;
	return decode_hex(text, true, ret_bytes, cap, ret_n);
}

static void encode_lower(struct ks_str bytes, struct ks_buf *to)
{
	ks_buf_put_hex(to, bytes.p, bytes.n);
}

static void encode_upper(struct ks_str bytes, struct ks_buf *to)
{
	size_t from = to->n;

	ks_buf_put_hex(to, bytes.p, bytes.n);
	for (size_t i = from; i < to->n; i++)
		if (to->p[i] >= 'a')
			to->p[i] = (char)(to->p[i] - 'a' + 'A');
}

static void encode_with(size_t (*encode)(const unsigned char *, size_t, char *, size_t), struct ks_str bytes,
			struct ks_buf *to)
{
	size_t n = encode((const unsigned char *)bytes.p, bytes.n, &to->p[to->n], to->cap - to->n);

	if (n == 0 && bytes.n > 0)
		to->overflow = true;
	to->n += n;
}

static void encode_base64(struct ks_str bytes, struct ks_buf *to)
{
	encode_with(ks_base64_encode, bytes, to);
}

static void encode_base64url(struct ks_str bytes, struct ks_buf *to)
{
	encode_with(ks_base64url_encode, bytes, to);
}

static const struct {
	const char *name;
	bool (*decode)(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n);
	void (*encode)(struct ks_str bytes, struct ks_buf *to);
} encodings[HS_ENCODING_COUNT] = {
	[HS_HEX] = {"hex", decode_lower, encode_lower},
	[HS_HEX_UPPER] = {"HEX", decode_upper, encode_upper},
	[HS_HEX_ANY] = {"hex-any", decode_any, encode_lower},
	[HS_BASE64] = {"base64", ks_base64_decode, encode_base64},
	[HS_BASE64URL] = {"base64url", ks_base64url_decode, encode_base64url},
};

bool hs_decode(enum hs_encoding encoding, struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	return text.n > 0 && encodings[encoding].decode(text, ret_bytes, cap, ret_n);
}

void hs_encode(enum hs_encoding encoding, struct ks_str bytes, struct ks_buf *to)
{
	encodings[encoding].encode(bytes, to);
}

bool hs_read_encoding(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	for (unsigned i = 0; i < HS_ENCODING_COUNT; i++)
		if (ks_str_eq(text, ks_str_c(encodings[i].name))) {
			*(enum hs_encoding *)to = (enum hs_encoding)i;
			return true;
		}
	return hs_refuse(c, "hex, HEX, hex-any, base64 or base64url is wanted here");
}

/* ---- secrets ---- */

static const char *const key_forms[HS_KEY_FORM_COUNT] = {
	[HS_KEY_UTF8] = "utf8", [HS_KEY_HEX] = "hex", [HS_KEY_BASE64] = "base64", [HS_KEY_WHSEC] = "whsec",
};

bool hs_read_key_form(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	/* A flag that says whether the secret is base64 will do. */
	if (ks_json_kind(value) != '"') {
		*(enum hs_key_form *)to = value.p[0] == 't' ? HS_KEY_BASE64 : HS_KEY_UTF8;
		return true;
	}
	if (!hs_read_text(c, value, &text))
		return false;
	for (unsigned i = 0; i < HS_KEY_FORM_COUNT; i++)
		if (ks_str_eq(text, ks_str_c(key_forms[i]))) {
			*(enum hs_key_form *)to = (enum hs_key_form)i;
			return true;
		}
	return hs_refuse(c, "utf8, hex, base64 or whsec is wanted here");
}

bool hs_read_secrets(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_list *list = to;

	if (!hs_read_texts(c, value, list))
		return false;
	if (c->checking)
		return true;
	if (list->n == 0)
		return hs_refuse_key(c, "there is no secret: nothing can be vouched for");
	if (list->n > HS_KEYS_MAX)
		return hs_refuse(c, "more than %d secrets", HS_KEYS_MAX);
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].n == 0)
			return hs_refuse_key(c, "an empty secret vouches for nothing");
	return true;
}

static bool decode_secret(enum hs_key_form form, struct ks_str text, unsigned char *bytes, size_t cap, size_t *ret_n)
{
	struct ks_str prefix = KS_STR("whsec_");

	if (form == HS_KEY_HEX)
		return hs_decode(HS_HEX_ANY, text, bytes, cap, ret_n);
	if (form == HS_KEY_WHSEC && ks_str_starts(text, prefix))
		text = ks_str_sub(text, prefix.n, SIZE_MAX);
	return hs_decode(HS_BASE64, text, bytes, cap, ret_n);
}

bool hs_secrets_decode(struct hs_compile *c, struct hs_list *texts, enum hs_key_form form)
{
	for (size_t i = 0; i < texts->n && form != HS_KEY_UTF8 && !c->checking; i++) {
		unsigned char bytes[4096];
		size_t n;
		bool ok = decode_secret(form, texts->v[i], bytes, sizeof(bytes), &n);

		if (ok && n > 0 && !hs_arena_copy(c->arena, ks_str_of((const char *)bytes, n), &texts->v[i]))
			return hs_no_memory(c);
		ks_wipe(bytes, sizeof(bytes));
		if (!ok || n == 0)
			return hs_refuse_key(c, "a secret is not %s", key_forms[form]);
	}
	return true;
}
