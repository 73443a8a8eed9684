/* SPDX-License-Identifier: Apache-2.0 */
/* What a signed token costs, against the bare signature check of the crypto library.
 *
 *	jose [--rounds N]
 *
 * For ES256 and EdDSA, over 64 tokens as an issuer makes them (a header with typ and kid, ten claims, some 600 bytes):
 *
 *	bare    the cheapest check that the crypto library offers: for ES256 the digest and EVP_PKEY_verify with a context
 *	        made once and a signature already in DER, for EdDSA EVP_DigestVerify
 *	token   taken apart, its key found in a set of four by its kid, verified, claims read, time and audience checked, one
 *	        claim looked up by its path
 *
 * Both over the same bytes with the same key, in turns; the times are the thread's processor time. Medians over the
 * rounds are printed, and the ratio as the median of the rounds' ratios. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "jose/claims.h"
#include "jose/signer.h"

#define TOKENS 64
#define TOKEN_ROOM 1024
#define NOW_MS INT64_C(1790000000000)
#define ROUNDS_MAX 10000
#define AUDIENCE "https://api.example"

struct token {
	char text[TOKEN_ROOM];
	size_t n;
	unsigned char der[80]; /* its signature, as the library wants it */
	size_t der_n;
	struct ks_str input;
};

struct world {
	struct ks_jwk_set *set;
	struct token tokens[TOKENS];
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *context; /* ES256 alone */
	enum ks_sign_alg alg;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "jose: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what is checked ---- */

static void put_payload(struct ks_buf *out, unsigned number)
{
	ks_buf_printf(out,
		      "{\"iss\":\"https://issuer.example/realms/main\",\"sub\":\"248289761001-%u\","
		      "\"aud\":[\"https://other.example\",\"" AUDIENCE "\"],"
		      "\"exp\":%d,\"nbf\":%d,\"iat\":%d,\"jti\":\"d7a5c1f0-6f3e-4d4c-9c3e-%012u\","
		      "\"scope\":\"contacts:read contacts:write calls:read\",\"https://example.com/tenant\":\"org_%u\","
		      "\"realm_access\":{\"roles\":[\"administrator\",\"member\"]}}",
		      number, (int)(NOW_MS / 1000) + 300, (int)(NOW_MS / 1000), (int)(NOW_MS / 1000), number, number);
}

static void make_key(struct world *world, const struct ks_jose_signer *signer)
{
	struct ks_secret der = {0};
	const unsigned char *at;
	PKCS8_PRIV_KEY_INFO *info;

	if (ks_jose_signer_save(signer, &der))
		die("no private key");
	at = der.bytes;
	info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.n);
	world->pkey = info ? EVP_PKCS82PKEY(info) : NULL;
	PKCS8_PRIV_KEY_INFO_free(info);
	ks_secret_free(&der);
	if (!world->pkey)
		die("no key of the library's");
	if (world->alg == KS_SIGN_ALG_EDDSA)
		return;
	world->context = EVP_PKEY_CTX_new(world->pkey, NULL);
	if (!world->context || EVP_PKEY_verify_init(world->context) != 1)
		die("no context");
}

static void make_token(struct token *token, const struct ks_jose_signer *signer, unsigned number)
{
	char payload[TOKEN_ROOM];
	struct ks_buf out = KS_BUF(token->text), claims = KS_BUF(payload);
	struct ks_jws jws;
	ECDSA_SIG *signature;
	unsigned char *at = token->der;

	put_payload(&claims, number);
	if (!ks_buf_ok(&claims) || ks_jose_sign(signer, KS_STR("at+jwt"), ks_buf_str(&claims), &out) ||
	    ks_jws_parse(ks_buf_str(&out), &jws))
		die("no token");
	token->n = out.n;
	token->input = jws.input;
	memcpy(token->der, jws.signature.p, jws.signature.n);
	token->der_n = jws.signature.n;
	if (ks_jose_signer_alg(signer) == KS_SIGN_ALG_EDDSA)
		return;
	signature = ECDSA_SIG_new();
	if (!signature || !ECDSA_SIG_set0(signature, BN_bin2bn((const unsigned char *)jws.signature.p, 32, NULL),
					  BN_bin2bn((const unsigned char *)&jws.signature.p[32], 32, NULL)))
		die("no signature");
	token->der_n = (size_t)i2d_ECDSA_SIG(signature, &at);
	ECDSA_SIG_free(signature);
}

/* A set as during a rotation: the signer's own key is the third of four. */
static void make_set(struct world *world, const struct ks_jose_signer *signer)
{
	char text[8192];
	struct ks_buf out = KS_BUF(text);

	ks_buf_put_c(&out, "{\"keys\":[");
	for (int i = 0; i < 4; i++) {
		struct ks_jose_signer *other;

		if (ks_jose_signer_new(world->alg, &other))
			die("no signer");
		if (i > 0)
			ks_buf_put_byte(&out, ',');
		ks_jose_key_write(ks_jose_signer_key(i == 2 ? signer : other), &out);
		ks_jose_signer_free(other);
	}
	ks_buf_put_c(&out, "]}");
	if (!ks_buf_ok(&out) || ks_jwk_set_parse(ks_buf_str(&out), &world->set) || ks_jwk_set_count(world->set) != 4)
		die("no set");
}

static void make_world(struct world *world, enum ks_sign_alg alg)
{
	struct ks_jose_signer *signer;

	world->alg = alg;
	world->context = NULL;
	if (ks_jose_signer_new(alg, &signer))
		die("no signer");
	make_key(world, signer);
	make_set(world, signer);
	for (unsigned i = 0; i < TOKENS; i++)
		make_token(&world->tokens[i], signer, i);
	ks_jose_signer_free(signer);
}

/* ---- what is measured ---- */

static bool check_bare(const struct world *world, const struct token *token)
{
	const unsigned char *input = (const unsigned char *)token->input.p;
	unsigned char digest[SHA256_DIGEST_LENGTH];
	EVP_MD_CTX *context;
	bool good;

	if (world->context) {
		SHA256(input, token->input.n, digest);
		return EVP_PKEY_verify(world->context, token->der, token->der_n, digest, sizeof(digest)) == 1;
	}
	context = EVP_MD_CTX_new();
	good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, world->pkey) == 1 &&
	       EVP_DigestVerify(context, token->der, token->der_n, input, token->input.n) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

static bool check_token(const struct world *world, const struct token *token)
{
	const struct ks_jose_key *key;
	struct ks_claims claims;
	struct ks_jws jws;
	struct ks_str tenant;

	return ks_jws_parse(ks_str_of(token->text, token->n), &jws) == KS_JOSE_OK &&
	       ks_jwk_set_find(world->set, &jws, &key) == KS_JOSE_OK && ks_jose_verify(key, &jws) == KS_JOSE_OK &&
	       ks_claims_parse(jws.payload, &claims) == KS_JOSE_OK &&
	       ks_claims_check_issuer(&claims, KS_STR("https://issuer.example/realms/main")) == KS_JOSE_OK &&
	       ks_claims_check_time(&claims, NOW_MS, 0) == KS_JOSE_OK &&
	       ks_claims_check_audience(&claims, KS_STR(AUDIENCE)) == KS_JOSE_OK &&
	       ks_claims_find(&claims, KS_STR("https://example.com/tenant"), &tenant) && tenant.n > 4;
}

/* Nanoseconds a token, over all of them. */
static double measure(const struct world *world, bool (*check)(const struct world *, const struct token *))
{
	uint64_t start = now_ns();

	for (unsigned i = 0; i < TOKENS; i++)
		if (!check(world, &world->tokens[i]))
			die("a good token was refused");
	return (double)(now_ns() - start) / TOKENS;
}

static int by_value(const void *a, const void *b)
{
	double first = *(const double *)a, second = *(const double *)b;

	return (first > second) - (first < second);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(values[0]), by_value);
	return values[n / 2];
}

static void run(enum ks_sign_alg alg, unsigned rounds)
{
	static double bare[ROUNDS_MAX], token[ROUNDS_MAX], ratios[ROUNDS_MAX];
	static struct world world;
	double ratio;

	make_world(&world, alg);
	(void)measure(&world, check_bare);
	(void)measure(&world, check_token);
	for (unsigned i = 0; i < rounds; i++) {
		bare[i] = measure(&world, check_bare);
		token[i] = measure(&world, check_token);
		ratios[i] = token[i] / bare[i];
	}
	ratio = median(ratios, rounds);
	printf("%s: bare %.1f us, token %.1f us (%zu bytes)\n", ks_sign_alg_name(alg).p, median(bare, rounds) / 1000,
	       median(token, rounds) / 1000, world.tokens[0].n);
	printf("RESULT %s ratio=%.2f target=1.30 %s\n", ks_sign_alg_name(alg).p, ratio, ratio <= 1.3 ? "pass" : "short");
	EVP_PKEY_CTX_free(world.context);
	EVP_PKEY_free(world.pkey);
	ks_jwk_set_free(world.set);
}

int main(int argc, char **argv)
{
	uint64_t rounds = 200;

	if (argc == 3 && strcmp(argv[1], "--rounds") == 0 && !ks_str_to_u64(ks_str_c(argv[2]), ROUNDS_MAX, &rounds))
		die("--rounds takes a number up to 10000");
	if ((argc != 1 && argc != 3) || rounds == 0)
		die("usage: jose [--rounds N]");
	run(KS_SIGN_ALG_ES256, (unsigned)rounds);
	run(KS_SIGN_ALG_EDDSA, (unsigned)rounds);
	return 0;
}
