/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures by public keys, and by keys that a certificate names. */
#include "base/ctenc.h"
#include "base/secret.h"
#include "crypto/sign.h"
#include "crypto/x509.h"
#include "hooksig/hooksig_priv.h"

#define KEY_MAX 4096

/* ---- public keys ---- */

static const struct alg {
	const char *name;
	enum ks_sign_alg alg;
	bool der;
	bool whole;                  /* takes the message, not its digest */
	enum ks_hasher_alg digest;
} algs[] = {
	{"ed25519", KS_SIGN_ALG_EDDSA, false, true, KS_HASHER_SHA512},
	{"ecdsa-p256-sha256-der", KS_SIGN_ALG_ES256, true, false, KS_HASHER_SHA256},
	{"ecdsa-p256-sha256", KS_SIGN_ALG_ES256, false, false, KS_HASHER_SHA256},
	{"ecdsa-p384-sha384-der", KS_SIGN_ALG_ES384, true, false, KS_HASHER_SHA384},
	{"ecdsa-p384-sha384", KS_SIGN_ALG_ES384, false, false, KS_HASHER_SHA384},
	{"rsa-v1_5-sha256", KS_SIGN_ALG_RS256, false, false, KS_HASHER_SHA256},
	{"rsa-v1_5-sha512", KS_SIGN_ALG_RS512, false, false, KS_HASHER_SHA512},
	{"rsa-pss-sha256", KS_SIGN_ALG_PS256, false, false, KS_HASHER_SHA256},
	{"rsa-pss-sha512", KS_SIGN_ALG_PS512, false, false, KS_HASHER_SHA512},
};

struct signature {
	const struct alg *alg;
	enum hs_encoding encoding;
	struct ks_public_key *keys[HS_KEYS_MAX];
	size_t key_n;
	struct ks_private_key *signing_key;
	struct hs_template content;
	size_t signature;
};

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

static void free_public(void *key)
{
	ks_public_key_free(key);
}

static void free_private(void *key)
{
	ks_private_key_free(key);
}

/* PEM, "whpk_" and base64 of 32 bytes, base64 of 32 bytes, or base64 of SubjectPublicKeyInfo. */
static enum ks_err parse_public(struct ks_str text, struct ks_public_key **ret_key)
{
	unsigned char bytes[KEY_MAX];
	struct ks_str whpk = KS_STR("whpk_");
	size_t n;

	if (ks_str_starts(text, KS_STR("-----"))) {
		if (!ks_pem_take(text, KS_STR("PUBLIC KEY"), bytes, sizeof(bytes), &n))
			return KS_MALFORMED;
		return ks_public_key_spki(ks_str_of((const char *)bytes, n), ret_key);
	}
	if (ks_str_starts(text, whpk))
		text = ks_str_sub(text, whpk.n, SIZE_MAX);
	if (!ks_base64_decode(text, bytes, sizeof(bytes), &n))
		return KS_MALFORMED;
	return n == 32 ? ks_public_key_ed25519(ks_str_of((const char *)bytes, n), ret_key)
		       : ks_public_key_spki(ks_str_of((const char *)bytes, n), ret_key);
}

bool hs_public_key(struct hs_compile *c, struct ks_str text, enum ks_sign_alg alg, struct ks_public_key **ret_key)
{
	struct ks_public_key *key;
	enum ks_err err = parse_public(text, &key);

	if (err == KS_MEMORY)
		return hs_no_memory(c);
	if (err)
		return hs_refuse_key(c, "cannot be read as a public key");
	if (!hs_arena_own(c->arena, key, free_public))
		return hs_no_memory(c);
	*ret_key = key;
	return ks_public_key_form(key) == ks_sign_alg_form(alg) || hs_refuse_key(c, "a public key for another algorithm");
}

static bool read_public_keys(struct hs_compile *c, struct ks_str value, void *to)
{
	struct signature *s = (struct signature *)(void *)((char *)to - offsetof(struct signature, keys));
	struct hs_list texts;

	if (!hs_read_texts(c, value, &texts))
		return false;
	if (c->checking)
		return true;
	if (texts.n == 0 || texts.n > HS_KEYS_MAX)
		return hs_refuse_key(c, "1 to %d public keys are wanted", HS_KEYS_MAX);
	for (; s->key_n < texts.n; s->key_n++)
		if (!hs_public_key(c, texts.v[s->key_n], s->alg->alg, &s->keys[s->key_n]))
			return false;
	return true;
}

/* "whsk_" and base64 of seed and public key: PKCS #8 of the seed (RFC 8410, 7). */
static bool read_signing_key(struct hs_compile *c, struct ks_str value, void *to)
{
	static const unsigned char header[16] = {0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20};
	struct ks_str text, prefix = KS_STR("whsk_");
	unsigned char bytes[64], der[sizeof(header) + 32];
	struct ks_private_key *key;
	size_t n;
	bool ok;

	if (!hs_read_text(c, value, &text))
		return false;
	if (c->checking)
		return true;
	ok = ks_str_starts(text, prefix) &&
	     ks_base64_decode(ks_str_sub(text, prefix.n, SIZE_MAX), bytes, sizeof(bytes), &n) && n == 64;
	memcpy(der, header, sizeof(header));
	if (ok)
		memcpy(&der[sizeof(header)], bytes, 32);
	ok = ok && ks_private_key_load(ks_str_of((const char *)der, sizeof(der)), &key) == KS_OK;
	ks_wipe(bytes, sizeof(bytes));
	ks_wipe(der, sizeof(der));
	if (!ok)
		return hs_refuse_key(c, "cannot be read as a signing key (whsk_ and base64 of 64 bytes)");
	if (!hs_arena_own(c->arena, key, free_private))
		return hs_no_memory(c);
	*(struct ks_private_key **)to = key;
	return true;
}

static bool read_signature(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("algorithm", read_alg, struct signature, alg),
		HS_NEEDED("public_keys", read_public_keys, struct signature, keys),
		HS_NEEDED("content", hs_read_template, struct signature, content),
		HS_NEEDED("encoding", hs_read_encoding, struct signature, encoding),
		HS_NEEDED("signature", hs_read_var_name, struct signature, signature),
		HS_MEMBER("signing_key", read_signing_key, struct signature, signing_key),
	};
	struct signature *s = to;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), s))
		return false;
	hs_cover_add(c, (struct hs_cover){.signs = true, .body = s->content.covers_body});
	return true;
}

static bool check_all(const struct signature *s, struct ks_str message, struct ks_str signature)
{
	for (size_t i = 0; i < s->key_n; i++) {
		enum ks_err err = s->alg->whole
			? ks_public_key_check(s->keys[i], s->alg->alg, message, signature)
			: ks_public_key_check_digest(s->keys[i], s->alg->alg, s->alg->der, message, signature);

		if (err == KS_OK)
			return true;
	}
	return false;
}

/* What is signed: the message itself, in room, or its digest. */
static enum ks_hooksig_code message_of(struct hs_run *run, const struct signature *s, unsigned char digest[KS_HASHER_MAX],
				       struct ks_str *ret_message)
{
	struct ks_hasher hasher;
	struct hs_sink sink = {.hasher = &hasher};
	enum ks_hooksig_code code;

	if (s->alg->whole)
		return hs_template_text(run, &s->content, ret_message);
	ks_hasher_begin(&hasher, s->alg->digest);
	code = hs_template_put(run, &s->content, &sink);
	if (ks_hasher_end(&hasher, digest))
		return KS_HOOKSIG_SIGNATURE_MISMATCH;
	*ret_message = ks_str_of((const char *)digest, ks_hasher_size(s->alg->digest));
	return code;
}

static enum ks_hooksig_code run_signature(struct hs_run *run, const void *op)
{
	const struct signature *s = op;
	const struct hs_values *values;
	unsigned char digest[KS_HASHER_MAX];
	struct ks_str message;
	enum ks_hooksig_code code = hs_var_read(run, s->signature, &values);
	bool decoded = false;

	if (code == KS_HOOKSIG_OK && values->n > 1 && !run->plan->vars[s->signature].many)
		code = KS_HOOKSIG_MALFORMED;
	if (code == KS_HOOKSIG_OK)
		code = message_of(run, s, digest, &message);
	if (code)
		return code;
	for (size_t i = 0; i < values->n; i++) {
		unsigned char bytes[KS_SIGNATURE_MAX];
		size_t n;

		if (!hs_decode(s->encoding, values->v[i], bytes, sizeof(bytes), &n))
			continue;
		decoded = true;
		if (check_all(s, message, ks_str_of((const char *)bytes, n)))
			return KS_HOOKSIG_OK;
	}
	return decoded ? KS_HOOKSIG_SIGNATURE_MISMATCH : KS_HOOKSIG_MALFORMED;
}

static enum ks_err sign_signature(struct hs_run *run, const void *op, struct ks_str ret_signatures[HS_KEYS_MAX],
				  size_t *ret_n, size_t *ret_var)
{
	const struct signature *s = op;
	unsigned char digest[KS_HASHER_MAX], bytes[KS_SIGNATURE_MAX];
	struct ks_str message;
	size_t n, from;

	if (!s->signing_key || !s->alg->whole)
		return KS_FORBIDDEN;
	if (message_of(run, s, digest, &message))
		return KS_MALFORMED;
	KS_TRY(ks_private_key_sign(s->signing_key, s->alg->alg, message, bytes, &n));
	from = run->room->n;
	hs_encode(s->encoding, ks_str_of((const char *)bytes, n), run->room);
	ret_signatures[0] = ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX);
	*ret_n = 1;
	*ret_var = s->signature;
	return KS_OK;
}

const struct hs_op_type hs_op_signature = {"signature", sizeof(struct signature), read_signature, run_signature,
					   sign_signature, true};

/* ---- certificates ---- */

static void free_cert(void *cert)
{
	ks_x509_free(cert);
}

static void free_trust(void *trust)
{
	ks_x509_trust_free(trust);
}

bool hs_certificate(struct hs_compile *c, struct ks_str pem, struct ks_x509 **ret_cert)
{
	enum ks_err err = ks_x509_read(pem, ret_cert);

	if (err == KS_MEMORY)
		return hs_no_memory(c);
	if (err)
		return hs_refuse_key(c, "cannot be read as a certificate");
	return hs_arena_own(c->arena, *ret_cert, free_cert) || hs_no_memory(c);
}

bool hs_read_trust(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_x509_trust *trust;
	struct hs_list pems;

	if (!hs_read_texts(c, value, &pems))
		return false;
	if (c->checking)
		return true;
	if (pems.n == 0)
		return hs_refuse_key(c, "no certificate is trusted: nothing can be vouched for");
	if (ks_x509_trust_new(&trust) || !hs_arena_own(c->arena, trust, free_trust))
		return hs_no_memory(c);
	for (size_t i = 0; i < pems.n; i++) {
		struct ks_x509 *cert;

		if (!hs_certificate(c, pems.v[i], &cert))
			return false;
		if (ks_x509_trust_add(trust, cert))
			return hs_no_memory(c);
	}
	*(struct ks_x509_trust **)to = trust;
	return true;
}

struct x509 {
	size_t signature, version, url;
	struct hs_template content;
	struct hs_list hosts;        /* "sns.{region}.amazonaws.com" */
	struct ks_str urls[HS_KEYS_MAX];
	struct ks_x509 *certs[HS_KEYS_MAX];
	size_t cert_n;
	struct ks_x509_trust *trust;
	struct ks_str versions[4];
	enum ks_hasher_alg digests[4];
	size_t version_n;
};

static bool add_cert(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct x509 *x = to;
	struct ks_str pem;

	if (x->cert_n == HS_KEYS_MAX)
		return hs_refuse(c, "more than %d certificates", HS_KEYS_MAX);
	if (!hs_read_text(c, value, &pem) || !hs_certificate(c, pem, &x->certs[x->cert_n]))
		return false;
	return hs_arena_copy(c->arena, name, &x->urls[x->cert_n++]) || hs_no_memory(c);
}

static bool read_certs(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_cert, (char *)to - offsetof(struct x509, certs));
}

static bool add_version(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct x509 *x = to;

	if (x->version_n == KS_ARRAY_LEN(x->versions))
		return hs_refuse(c, "at most %zu versions", KS_ARRAY_LEN(x->versions));
	if (!hs_arena_copy(c->arena, name, &x->versions[x->version_n]))
		return hs_no_memory(c);
	return hs_read_hasher(c, value, &x->digests[x->version_n++]);
}

static bool read_versions(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_version, (char *)to - offsetof(struct x509, versions));
}

static bool read_x509(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("signature", hs_read_var_name, struct x509, signature),
		HS_NEEDED("version", hs_read_var_name, struct x509, version),
		HS_NEEDED("versions", read_versions, struct x509, versions),
		HS_NEEDED("certificate_url", hs_read_var_name, struct x509, url),
		HS_NEEDED("certificate_hosts", hs_read_texts, struct x509, hosts),
		HS_NEEDED("certificates", read_certs, struct x509, certs),
		HS_NEEDED("trust", hs_read_trust, struct x509, trust),
		HS_NEEDED("content", hs_read_template, struct x509, content),
	};
	struct x509 *x = to;
	bool weak = false;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), x))
		return false;
	for (size_t i = 0; i < x->version_n; i++)
		weak |= x->digests[i] == KS_HASHER_MD5 || x->digests[i] == KS_HASHER_SHA1;
	hs_cover_add(c, (struct hs_cover){.signs = true, .body = x->content.covers_body, .digest = weak});
	return true;
}

/* Length of the name of a region, such as "us-gov-west-1", that `text` begins with; 0: none. */
static size_t region_len(struct ks_str text)
{
	size_t n = 0, words = 0;

	while (n < text.n && text.p[n] >= 'a' && text.p[n] <= 'z')
		n++;
	if (n != 2)
		return 0;
	while (n + 1 < text.n && text.p[n] == '-' && text.p[n + 1] >= 'a' && text.p[n + 1] <= 'z') {
		n++;
		while (n < text.n && text.p[n] >= 'a' && text.p[n] <= 'z')
			n++;
		words++;
	}
	if (words == 0 || n + 1 >= text.n || text.p[n] != '-' || text.p[n + 1] < '0' || text.p[n + 1] > '9')
		return 0;
	for (n++; n < text.n && text.p[n] >= '0' && text.p[n] <= '9';)
		n++;
	return n;
}

static bool host_fits(struct ks_str pattern, struct ks_str host)
{
	struct ks_str before, after;
	size_t n;

	if (!ks_str_split(pattern, '{', &before, &after) || !ks_str_split(after, '}', &after, &after))
		return ks_str_eq(pattern, host);
	if (!ks_str_starts(host, before))
		return false;
	host = ks_str_sub(host, before.n, SIZE_MAX);
	n = region_len(host);
	return n > 0 && ks_str_eq(ks_str_sub(host, n, SIZE_MAX), after);
}

bool hs_url_at(struct ks_str text, const struct hs_list *hosts, struct hs_url *ret_url)
{
	bool fits = false;

	if (!hs_url_parse(text, ret_url) || !ks_str_eq(ret_url->scheme, KS_STR("https")) || ret_url->userinfo.p ||
	    ret_url->port.n > 0)
		return false;
	for (size_t i = 0; i < hosts->n; i++)
		fits |= host_fits(hosts->v[i], ret_url->host);
	return fits;
}

static bool names_cert(const struct x509 *x, struct ks_str text)
{
	struct hs_url url;

	return hs_url_at(text, &x->hosts, &url) && !url.has_query && url.path.n >= 5 &&
	       ks_str_eq(ks_str_sub(url.path, url.path.n - 4, 4), KS_STR(".pem"));
}

/* The certificate of that address, which must be of one of the hosts, and known. */
static const struct ks_x509 *find_cert(const struct x509 *x, struct ks_str text)
{
	if (!names_cert(x, text))
		return NULL;
	for (size_t i = 0; i < x->cert_n; i++)
		if (ks_str_eq(x->urls[i], text))
			return x->certs[i];
	return NULL;
}

static bool find_digest(const struct x509 *x, struct ks_str version, enum ks_hasher_alg *ret_digest)
{
	for (size_t i = 0; i < x->version_n; i++)
		if (ks_str_eq(x->versions[i], version)) {
			*ret_digest = x->digests[i];
			return true;
		}
	return false;
}

static bool is_signed(struct hs_run *run, const struct x509 *x, const struct ks_x509 *cert, enum ks_hasher_alg alg,
		      struct ks_str signature, enum ks_hooksig_code *ret_code)
{
	struct ks_x509 *chain[1];
	struct ks_hasher hasher;
	struct hs_sink sink = {.hasher = &hasher};
	unsigned char digest[KS_HASHER_MAX];

	memcpy(chain, &cert, sizeof(cert));
	ks_hasher_begin(&hasher, alg);
	*ret_code = hs_template_put(run, &x->content, &sink);
	return ks_hasher_end(&hasher, digest) == KS_OK && *ret_code == KS_HOOKSIG_OK && x->trust &&
	       ks_x509_chains(x->trust, chain, 1, false, run->now_ms / 1000) &&
	       ks_x509_signed(cert, alg, ks_str_of((const char *)digest, ks_hasher_size(alg)), signature);
}

static enum ks_hooksig_code run_x509(struct hs_run *run, const void *op)
{
	const struct x509 *x = op;
	unsigned char bytes[KS_SIGNATURE_MAX];
	struct ks_str signature, version, url;
	enum ks_hooksig_code code = hs_var_one(run, x->signature, &signature);
	const struct ks_x509 *cert;
	enum ks_hasher_alg alg;
	size_t n;

	if (code == KS_HOOKSIG_OK)
		code = hs_var_one(run, x->version, &version);
	if (code == KS_HOOKSIG_OK)
		code = hs_var_one(run, x->url, &url);
	if (code)
		return code;
	if (!find_digest(x, version, &alg) || !hs_decode(HS_BASE64, signature, bytes, sizeof(bytes), &n))
		return KS_HOOKSIG_MALFORMED;
	cert = find_cert(x, url);
	if (cert && is_signed(run, x, cert, alg, ks_str_of((const char *)bytes, n), &code))
		return KS_HOOKSIG_OK;
	return code ? code : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

bool hs_x509_wants(struct hs_run *run, const void *op, struct ks_str *ret_url)
{
	const struct x509 *x = op;

	return hs_var_one(run, x->url, ret_url) == KS_HOOKSIG_OK && names_cert(x, *ret_url) && !find_cert(x, *ret_url);
}

const struct hs_op_type hs_op_x509 = {"x509", sizeof(struct x509), read_x509, run_x509, NULL, true};
