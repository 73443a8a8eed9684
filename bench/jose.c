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
 *	decide  the whole decision by a JWT exchanged for a key: issuer and key of it found in the ring, signature, claims, the
 *	        slot that it refers to unmasked and found among 10,000, its scopes, the route, the tenant, the use counted
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

#include "assertion/verifier.h"
#include "base/ctenc.h"
#include "decision/decision.h"
#include "jose/signer.h"

#define TOKENS 64
#define TOKEN_ROOM 1024
#define NOW_MS INT64_C(1790000000000)
#define ROUNDS_MAX 10000
#define AUDIENCE "https://api.example"
#define ISSUER "https://issuer.example/realms/main"
#define KEYS 10000

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
	struct ks_ring ring;
	struct ks_usage usage;
	struct ks_verifier verifier;
};

static const uint8_t mask[KS_RING_ISSUER_MASK_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};

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

static struct ks_digest digest_of(unsigned number)
{
	struct ks_digest digest;

	if (ks_sha256(ks_str_of((const char *)&number, sizeof(number)), &digest))
		die("no digest");
	return digest;
}

static void put_payload(struct ks_buf *out, unsigned number)
{
	char jti[64], ref[KS_JWT_REF_LEN];
	struct ks_buf id = KS_BUF(jti);
	struct ks_digest digest = digest_of(number), masked;

	ks_buf_printf(&id, "d7a5c1f0-6f3e-4d4c-9c3e-%012u", number);
	if (ks_jwt_mask(mask, ks_buf_str(&id), &digest, &masked)
	    || ks_base64url_encode(masked.bytes, sizeof(masked.bytes), ref, sizeof(ref)) != sizeof(ref))
		die("no reference");
	ks_buf_printf(out, "{\"ks_ref\":\"%.*s\",", (int)sizeof(ref), ref);
	ks_buf_printf(out,
		      "\"iss\":\"" ISSUER "\",\"sub\":\"248289761001-%u\","
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

/* ---- the ring ---- */

static void must(enum ks_err err)
{
	if (err != KS_OK)
		die(ks_err_text(err));
}

static void put_policy(struct ks_ring *ring)
{
	static const char yaml[] = "version: 1\nscopes:\n  contacts:read: {about: Read}\n  contacts:write: {about: Write}\n  calls:read: "
				   "{about: Read}\nfamilies:\n  contacts:\n    routes: [\"/api/v1/contacts\", \"/api/v1/contacts/**\"]\n"
				   "    kinds: [session, tenant]\n    scopes: {GET: contacts:read, \"*\": contacts:write}\n";
	static const uint64_t hash_key[2] = {3, 5};
	struct ks_policy_problem problem;
	struct ks_policy_table *table;
	struct ks_policy *policy;

	must(ks_policy_parse(ks_str_c(yaml), KS_STR("keystile:"), &policy, &problem));
	must(ks_policy_compile(policy, ring->scopes, hash_key, &table));
	must(ks_ring_put_policy(ring, KS_RING_POLICY_PLATFORM, table));
	free(table);
	ks_policy_free(&policy);
}

static void put_keys(struct ks_ring *ring)
{
	struct ks_ring_grant_record grant = {.id = 1, .scopes = {{0x7}}};
	uint32_t index;

	must(ks_ring_put_tenant(ring, &(struct ks_ring_tenant_record){.id = 1, .kind = KS_TENANT_KIND_OPERATOR}));
	must(ks_ring_put_tenant(ring, &(struct ks_ring_tenant_record){.id = 2, .parent = 1, .kind = KS_TENANT_KIND_ORGANIZATION}));
	must(ks_ring_put_grant(ring, &grant, &index));
	for (unsigned i = 0; i < KEYS; i++)
		must(ks_ring_put_key(ring, &(struct ks_ring_key_record){.digest = digest_of(i), .id = i + 1, .tenant = 2, .grant = 1,
									.kind = KS_KIND_TENANT,
									.binding = KS_BINDING_ORGANIZATION,
									.ends_ms = INT64_MAX}));
}

static void put_issuer(struct ks_ring *ring, const struct ks_jose_signer *signer)
{
	static const struct ks_str audiences[] = {KS_STR("https://auth.example"), KS_STR(AUDIENCE)};
	struct ks_ring_issuer_key_record key = {.kid = ks_jose_key_kid(ks_jose_signer_key(signer)), .mask = mask};
	char text[1024];
	struct ks_buf jwk = KS_BUF(text);

	ks_jose_key_write(ks_jose_signer_key(signer), &jwk);
	key.jwk = ks_buf_str(&jwk);
	must(ks_ring_put_issuer_keys(ring, &(struct ks_ring_issuer_keys_record){
		.name = KS_STR(ISSUER), .audiences = audiences, .audience_count = 2, .keys = &key, .key_count = 1}));
}

static void make_ring(struct world *world, const struct ks_jose_signer *signer)
{
	struct ks_ring_geometry geometry = ks_ring_plan(KEYS, 16, 16, 16, 16, 1u << 16);
	struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {11, 13}, .domain = KS_STR("")};
	uint64_t size = ks_ring_size(&geometry), usage_size = ks_usage_size(&geometry);
	void *memory = aligned_alloc(4096, size), *usage = aligned_alloc(4096, usage_size);

	if (!memory || !usage)
		die("no memory");
	memset(memory, 0, size);
	memset(usage, 0, usage_size);
	must(ks_ring_format(memory, size, &geometry, &stamp, &world->ring));
	must(ks_usage_format(usage, usage_size, &geometry, 1));
	must(ks_usage_attach(usage, usage_size, world->ring.header, &world->usage));
	world->ring.usage = &world->usage;
	put_policy(&world->ring);
	put_keys(&world->ring);
	put_issuer(&world->ring, signer);
	ks_ring_set_lease(&world->ring, INT64_MAX);
	atomic_store(&world->ring.header->complete, 1);
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
	make_ring(world, signer);
	for (unsigned i = 0; i < TOKENS; i++)
		make_token(&world->tokens[i], signer, i);
	ks_jose_signer_free(signer);
}

/* ---- what is measured ---- */

static bool check_bare(struct world *world, const struct token *token)
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

static bool check_token(struct world *world, const struct token *token)
{
	const struct ks_jose_key *key;
	struct ks_claims claims;
	struct ks_jws jws;
	struct ks_str tenant;

	return ks_jws_parse(ks_str_of(token->text, token->n), &jws) == KS_JOSE_OK &&
	       ks_jwk_set_find(world->set, &jws, &key) == KS_JOSE_OK && ks_jose_verify(key, &jws) == KS_JOSE_OK &&
	       ks_claims_parse(jws.payload, &claims) == KS_JOSE_OK &&
	       ks_claims_check_issuer(&claims, KS_STR(ISSUER)) == KS_JOSE_OK &&
	       ks_claims_check_time(&claims, NOW_MS, 0) == KS_JOSE_OK &&
	       ks_claims_check_audience(&claims, KS_STR(AUDIENCE)) == KS_JOSE_OK &&
	       ks_claims_find(&claims, KS_STR("https://example.com/tenant"), &tenant) && tenant.n > 4;
}

static bool check_decision(struct world *world, const struct token *token)
{
	static struct ks_credential credential;
	static struct ks_decision decision;
	static struct ks_path path;
	struct ks_assertion assertion;
	struct ks_request request = {.credential = &credential, .assertion = &assertion, .method = KS_STR("GET"),
				     .path = KS_STR("/api/v1/contacts/con_4k2j9x?expand=tags"), .now_ms = NOW_MS};

	ks_credential_init(&credential);
	ks_credential_header(&credential, ks_str_of(token->text, token->n), KS_KINDS_ANY);
	ks_assert(&world->ring, &world->verifier, credential.token, KS_JWT_AUDIENCE_ANY, NOW_MS, &assertion);
	ks_decide(&world->ring, KS_RING_POLICY_PLATFORM, &request, &path, &decision);
	return decision.reason == KS_REASON_OK;
}

/* Nanoseconds a token, over all of them. */
static double measure(struct world *world, bool (*check)(struct world *, const struct token *))
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
	static double bare[ROUNDS_MAX], token[ROUNDS_MAX], decide[ROUNDS_MAX], ratios[ROUNDS_MAX], whole[ROUNDS_MAX];
	static struct world world;
	double ratio, whole_ratio;

	make_world(&world, alg);
	(void)measure(&world, check_bare);
	(void)measure(&world, check_token);
	(void)measure(&world, check_decision);
	for (unsigned i = 0; i < rounds; i++) {
		bare[i] = measure(&world, check_bare);
		token[i] = measure(&world, check_token);
		decide[i] = measure(&world, check_decision);
		ratios[i] = token[i] / bare[i];
		whole[i] = decide[i] / bare[i];
	}
	ratio = median(ratios, rounds);
	whole_ratio = median(whole, rounds);
	printf("%s: bare %.1f us, token %.1f us, decide %.1f us (%zu bytes)\n", ks_sign_alg_name(alg).p, median(bare, rounds) / 1000,
	       median(token, rounds) / 1000, median(decide, rounds) / 1000, world.tokens[0].n);
	printf("RESULT %s-decision ratio=%.2f target=1.30 %s\n", ks_sign_alg_name(alg).p, whole_ratio, whole_ratio <= 1.3 ? "pass" : "short");
	printf("RESULT %s ratio=%.2f target=1.30 %s\n", ks_sign_alg_name(alg).p, ratio, ratio <= 1.3 ? "pass" : "short");
	EVP_PKEY_CTX_free(world.context);
	EVP_PKEY_free(world.pkey);
	ks_jwk_set_free(world.set);
	ks_verifier_free(&world.verifier);
	free(world.ring.header);
	world = (struct world){0};
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
