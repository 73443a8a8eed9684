/* SPDX-License-Identifier: Apache-2.0 */
/* HMACs, and plain digests of a text that a secret stands in (or that another operation covers). */
#include "base/ctenc.h"
#include "base/secret.h"
#include "hooksig/hooksig_priv.h"

struct mac {
	enum ks_hasher_alg digest;
	enum hs_key_form key_form;
	enum hs_encoding encoding;
	struct hs_list secrets;
	struct ks_hmac_key *keys;    /* of an HMAC; NULL: a plain digest */
	struct hs_template content;
	size_t signature;
};

static const struct hs_member members[] = {
	HS_NEEDED("digest", hs_read_hasher, struct mac, digest),
	HS_NEEDED("content", hs_read_template, struct mac, content),
	HS_NEEDED("encoding", hs_read_encoding, struct mac, encoding),
	HS_NEEDED("signature", hs_read_var_name, struct mac, signature),
	HS_MEMBER("secrets", hs_read_secrets, struct mac, secrets),
	HS_MEMBER("key_form", hs_read_key_form, struct mac, key_form),
};

static bool make_keys(struct hs_compile *c, struct mac *mac)
{
	mac->keys = hs_arena_take(c->arena, KS_MAX(mac->secrets.n, 1) * sizeof(*mac->keys));
	if (!mac->keys)
		return hs_no_memory(c);
	for (size_t i = 0; i < mac->secrets.n; i++)
		ks_hmac_key_make(&mac->keys[i], mac->digest, mac->secrets.v[i]);
	return true;
}

static bool read_mac(struct hs_compile *c, struct ks_str value, struct mac *mac)
{
	bool weak;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), mac) ||
	    !hs_secrets_decode(c, &mac->secrets, mac->key_form))
		return false;
	if (c->checking)
		mac->secrets.n = 0;
	weak = mac->digest == KS_HASHER_MD5 || mac->digest == KS_HASHER_SHA1;
	hs_cover_add(c, (struct hs_cover){.signs = true, .body = mac->content.covers_body, .digest = weak});
	return true;
}

static bool read_hmac(struct hs_compile *c, struct ks_str value, void *to)
{
	struct mac *mac = to;

	if (!read_mac(c, value, mac))
		return false;
	if (!mac->secrets.v)
		return hs_refuse(c, "secrets is missing");
	if (mac->content.uses_secret)
		return hs_refuse(c, "the secret is the key: it does not stand in the content");
	return make_keys(c, mac);
}

static bool read_hash(struct hs_compile *c, struct ks_str value, void *to)
{
	struct mac *mac = to;

	if (!read_mac(c, value, mac))
		return false;
	if (!c->checking && mac->content.uses_secret != (mac->secrets.v != NULL))
		return hs_refuse(c, "{secret} in the content and secrets belong together");
	c->plan->vouched |= mac->secrets.v != NULL;
	return true;
}

/* The signatures of the request, decoded; MALFORMED where none can be. */
struct given {
	unsigned char bytes[HS_VALUES_MAX][KS_HASHER_MAX];
	size_t n;
};

static enum ks_hooksig_code read_given(struct hs_run *run, const struct mac *mac, struct given *ret_given)
{
	const struct hs_values *values;
	enum ks_hooksig_code code = hs_var_read(run, mac->signature, &values);
	size_t size = ks_hasher_size(mac->digest), n;

	ret_given->n = 0;
	if (code)
		return code;
	if (values->n > 1 && !run->plan->vars[mac->signature].many)
		return KS_HOOKSIG_MALFORMED;
	for (size_t i = 0; i < values->n; i++)
		if (hs_decode(mac->encoding, values->v[i], ret_given->bytes[ret_given->n], KS_HASHER_MAX, &n) && n == size)
			ret_given->n++;
	return ret_given->n > 0 ? KS_HOOKSIG_OK : KS_HOOKSIG_MALFORMED;
}

/* What the signature must be, under key `index` where there are keys. */
static enum ks_hooksig_code compute(struct hs_run *run, const struct mac *mac, size_t index,
				    unsigned char ret_bytes[KS_HASHER_MAX])
{
	struct ks_hasher hasher;
	struct hs_sink sink = {.hasher = &hasher};
	enum ks_hooksig_code code;
	enum ks_err err;

	run->secret = index < mac->secrets.n ? mac->secrets.v[index] : KS_STR("");
	if (mac->keys)
		ks_hmac_begin(&mac->keys[index], &hasher);
	else
		ks_hasher_begin(&hasher, mac->digest);
	code = hs_template_put(run, &mac->content, &sink);
	err = mac->keys ? ks_hmac_end(&mac->keys[index], &hasher, ret_bytes) : ks_hasher_end(&hasher, ret_bytes);
	run->secret = KS_STR("");
	return code || !err ? code : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

static bool is_given(const struct given *given, const unsigned char *bytes, size_t size)
{
	bool found = false;

	for (size_t i = 0; i < given->n; i++)
		found |= ks_ct_equal(given->bytes[i], bytes, size);
	return found;
}

/* Whether the URL can be written this way. */
static bool has_variant(const struct hs_run *run, const struct mac *mac, unsigned variant)
{
	unsigned wanted = mac->content.uses_url ? run->scheme->url_variants : 1u << HS_URL_AS_IS;
	bool has_port = run->url.port.n > 0;

	return wanted >> variant & 1 && (variant != HS_URL_NO_PORT || has_port) &&
	       (variant != HS_URL_DEFAULT_PORT || !has_port);
}

static enum ks_hooksig_code try_key(struct hs_run *run, const struct mac *mac, const struct given *given, size_t index)
{
	unsigned char bytes[KS_HASHER_MAX];
	enum ks_hooksig_code code = KS_HOOKSIG_SIGNATURE_MISMATCH;

	for (unsigned variant = 0; variant < HS_VARIANT_COUNT && code == KS_HOOKSIG_SIGNATURE_MISMATCH; variant++) {
		if (!has_variant(run, mac, variant))
			continue;
		run->variant = (enum hs_variant)variant;
		code = compute(run, mac, index, bytes);
		if (code == KS_HOOKSIG_OK && !is_given(given, bytes, ks_hasher_size(mac->digest)))
			code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	}
	run->variant = HS_URL_AS_IS;
	ks_wipe(bytes, sizeof(bytes));
	return code;
}

static enum ks_hooksig_code run_mac(struct hs_run *run, const void *op)
{
	const struct mac *mac = op;
	bool keyed = mac->secrets.v != NULL;
	struct given given;
	enum ks_hooksig_code code = read_given(run, mac, &given);

	if (code)
		return code;
	code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	for (size_t i = 0; i < (keyed ? mac->secrets.n : 1) && code == KS_HOOKSIG_SIGNATURE_MISMATCH; i++) {
		code = try_key(run, mac, &given, i);
		if (code == KS_HOOKSIG_OK && mac->keys)
			run->matched = &mac->keys[i];
	}
	return code;
}

static enum ks_err sign_mac(struct hs_run *run, const void *op, struct ks_str ret_signatures[HS_KEYS_MAX], size_t *ret_n,
			    size_t *ret_var)
{
	const struct mac *mac = op;

	*ret_var = mac->signature;
	*ret_n = mac->secrets.n;
	if (mac->secrets.n == 0)
		return KS_FORBIDDEN;
	for (size_t i = 0; i < mac->secrets.n; i++) {
		unsigned char bytes[KS_HASHER_MAX];
		size_t from;

		if (compute(run, mac, i, bytes))
			return KS_MALFORMED;
		from = run->room->n;
		hs_encode(mac->encoding, ks_str_of((const char *)bytes, ks_hasher_size(mac->digest)), run->room);
		ret_signatures[i] = ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX);
	}
	return KS_OK;
}

const struct hs_op_type hs_op_hmac = {"hmac", sizeof(struct mac), read_hmac, run_mac, sign_mac, true};
const struct hs_op_type hs_op_hash = {"hash", sizeof(struct mac), read_hash, run_mac, sign_mac, false};
