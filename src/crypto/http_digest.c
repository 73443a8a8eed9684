/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/http_digest.h"

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/secret.h"

#define PARTS_MAX 6

struct algorithm {
	const char *name;
	const EVP_MD *(*md)(void);
};

static const struct algorithm algorithms[] = {
	[KS_HTTP_DIGEST_MD5] = {"MD5", EVP_md5},
	[KS_HTTP_DIGEST_SHA256] = {"SHA-256", EVP_sha256},
	[KS_HTTP_DIGEST_SHA512_256] = {"SHA-512-256", EVP_sha512_256},
};

bool ks_http_digest_parse(struct ks_str text, enum ks_http_digest_algorithm *ret_algorithm)
{
	if (ks_str_empty(text)) {
		*ret_algorithm = KS_HTTP_DIGEST_MD5;
		return true;
	}
	for (int i = 0; i < KS_HTTP_DIGEST_COUNT; i++) {
		if (ks_str_eq_nocase(text, ks_str_c(algorithms[i].name))) {
			*ret_algorithm = (enum ks_http_digest_algorithm)i;
			return true;
		}
	}
	return false;
}

const char *ks_http_digest_name(enum ks_http_digest_algorithm algorithm)
{
	return algorithms[algorithm].name;
}

/* Hexadecimal of the hash of the parts, joined by colons. */
static bool hash(const struct algorithm *a, const struct ks_str *parts, size_t count, char ret_hex[KS_HTTP_DIGEST_HEX_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct ks_buf hex = ks_buf_of(ret_hex, KS_HTTP_DIGEST_HEX_SIZE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, a->md(), NULL) == 1;

	for (size_t i = 0; ok && i < count; i++)
		ok = (i == 0 || EVP_DigestUpdate(ctx, ":", 1) == 1) && EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, digest, &n) == 1;
	EVP_MD_CTX_free(ctx);
	if (ok)
		ks_buf_put_hex(&hex, digest, n);
	(void)ks_buf_z(&hex);
	ks_wipe(digest, sizeof(digest));
	return ok && ks_buf_ok(&hex);
}

/* RFC 7616, 3.4.2 and 3.4.3. */
static bool hash_secret(const struct algorithm *a, const struct ks_http_digest_input *in, char ret_hex[KS_HTTP_DIGEST_HEX_SIZE])
{
	char first[KS_HTTP_DIGEST_HEX_SIZE];
	bool ok;

	if (!in->session)
		return hash(a, (struct ks_str[]){in->user, in->realm, in->password}, 3, ret_hex);
	ok = hash(a, (struct ks_str[]){in->user, in->realm, in->password}, 3, first)
	     && hash(a, (struct ks_str[]){ks_str_c(first), in->nonce, in->client_nonce}, 3, ret_hex);
	ks_wipe(first, sizeof(first));
	return ok;
}

static bool hash_request(const struct algorithm *a, const struct ks_http_digest_input *in, char ret_hex[KS_HTTP_DIGEST_HEX_SIZE])
{
	char body[KS_HTTP_DIGEST_HEX_SIZE];

	if (!in->integrity)
		return hash(a, (struct ks_str[]){in->method, in->uri}, 2, ret_hex);
	return hash(a, &in->body, 1, body) && hash(a, (struct ks_str[]){in->method, in->uri, ks_str_c(body)}, 3, ret_hex);
}

enum ks_err ks_http_digest(const struct ks_http_digest_input *in, char ret_hex[KS_HTTP_DIGEST_HEX_SIZE])
{
	const struct algorithm *a = &algorithms[in->algorithm];
	char secret[KS_HTTP_DIGEST_HEX_SIZE], request[KS_HTTP_DIGEST_HEX_SIZE], response[KS_HTTP_DIGEST_HEX_SIZE];
	struct ks_str qop = in->integrity ? KS_STR("auth-int") : KS_STR("auth");
	char count_text[9];
	struct ks_buf count = KS_BUF(count_text);
	bool ok;

	ks_buf_printf(&count, "%08x", in->count);
	ok = hash_secret(a, in, secret) && hash_request(a, in, request);
	if (ok && in->client_nonce.n && !in->plain_form)
		ok = hash(a, (struct ks_str[]){ks_str_c(secret), in->nonce, ks_buf_str(&count), in->client_nonce, qop,
					       ks_str_c(request)},
			  PARTS_MAX, response);
	else if (ok)
		ok = hash(a, (struct ks_str[]){ks_str_c(secret), in->nonce, ks_str_c(request)}, 3, response);
	if (ok)
		memcpy(ret_hex, response, sizeof(response));
	ks_wipe(secret, sizeof(secret));
	return ok ? KS_OK : KS_CRYPTO;
}

enum ks_err ks_http_digest_user(enum ks_http_digest_algorithm algorithm, struct ks_str user, struct ks_str realm,
				char ret_hex[KS_HTTP_DIGEST_HEX_SIZE])
{
	return hash(&algorithms[algorithm], (struct ks_str[]){user, realm}, 2, ret_hex) ? KS_OK : KS_CRYPTO;
}
