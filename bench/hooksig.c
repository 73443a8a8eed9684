/* SPDX-License-Identifier: Apache-2.0 */
/* What a verified webhook costs, against the bare check of the crypto library.
 *
 *	hooksig [--rounds N]
 *
 * A request with ten headers and a body of 1 KiB, of four schemes: an HMAC-SHA256 in hexadecimal with a time, Ed25519 and
 * RS256 over time and body, and a JWT of RS256 with five claims.
 *
 *	bare    HMAC() over time and body; EVP_DigestVerify of them; for RS256 the digest and EVP_PKEY_verify, with a context made
 *	        once, of them and of the token
 *	whole   ks_hooksig_verify
 *
 * In turns, over the same bytes; the times are the thread's processor time. Medians over the rounds are printed, and the
 * ratio as the median of the rounds' ratios. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/ctenc.h"
#include "hooksig/hooksig.h"

#define NOW_S "1760000000"
#define NOW_MS INT64_C(1760000000000)
#define BODY_SIZE 1024
#define CALLS 64
#define ROUNDS_MAX 10000
#define SECRET "0123456789abcdef0123456789abcdef"

struct scheme {
	const char *name;
	struct ks_hooksig_scheme *compiled;
	struct ks_hooksig_header headers[12];
	size_t header_count;
	char value[4096], message[2048];
	size_t message_n;
	unsigned char signature[512];
	size_t signature_n;
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *context;
	void (*bare)(struct scheme *s);
};

static char body[BODY_SIZE], *room_bytes;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "hooksig: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- bare checks ---- */

static void bare_hmac(struct scheme *s)
{
	unsigned char mac[32];
	unsigned n;

	if (!HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (unsigned char *)s->message, s->message_n, mac, &n) ||
	    !ks_ct_equal(mac, s->signature, n))
		die("the bare HMAC differs");
}

static void bare_ed25519(struct scheme *s)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (EVP_DigestVerifyInit(context, NULL, NULL, NULL, s->pkey) != 1 ||
	    EVP_DigestVerify(context, s->signature, s->signature_n, (unsigned char *)s->message, s->message_n) != 1)
		die("the bare signature differs");
	EVP_MD_CTX_free(context);
}

static void bare_rs256(struct scheme *s)
{
	unsigned char digest[32];

	SHA256((unsigned char *)s->message, s->message_n, digest);
	if (EVP_PKEY_verify(s->context, s->signature, s->signature_n, digest, sizeof(digest)) != 1)
		die("the bare signature differs");
}

/* ---- requests ---- */

static void add_header(struct scheme *s, const char *name, const char *value)
{
	s->headers[s->header_count++] = (struct ks_hooksig_header){ks_str_c(name), ks_str_c(value)};
}

static void compile(struct scheme *s, const char *form, const char *settings)
{
	static const char *const others[][2] = {
		{"Host", "hooks.example.com"}, {"User-Agent", "bench/1"}, {"Accept", "*/*"}, {"Accept-Encoding", "gzip"},
		{"Content-Type", "application/json"}, {"Content-Length", "1024"}, {"X-Request-Id", "0f2b7a4e"}, {"Connection", "close"},
	};
	struct ks_hooksig_problem problem;

	if (ks_hooksig_compile(ks_str_c(form), ks_str_c(settings), &problem, &s->compiled)) {
		fprintf(stderr, "%s: %s\n", problem.pointer, problem.text);
		die("the scheme does not compile");
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(others); i++)
		add_header(s, others[i][0], others[i][1]);
}

static void put_message(struct scheme *s, const char *between)
{
	struct ks_buf b = KS_BUF(s->message);

	ks_buf_put_c(&b, NOW_S);
	ks_buf_put_c(&b, between);
	ks_buf_put(&b, ks_str_of(body, sizeof(body)));
	s->message_n = b.n;
}

static void make_hmac(struct scheme *s)
{
	struct ks_buf value = KS_BUF(s->value);
	unsigned n;

	compile(s, "{\"settings\":{\"secrets\":{\"type\":\"secrets\"}},\"vars\":{\"ts\":{\"from\":\"header:X-Sig\",\"pick\":\"t\"},"
		"\"sig\":{\"from\":\"header:X-Sig\",\"pick\":\"v1\",\"many\":true}},\"time\":{\"value\":\"ts\",\"unit\":\"s\",\"max_age\":300},"
		"\"verify\":[{\"hmac\":{\"digest\":\"sha256\",\"secrets\":\"$secrets\",\"content\":\"{ts}.{body}\",\"encoding\":\"hex\",\"signature\":\"sig\"}}]}",
		"{\"secrets\":[\"" SECRET "\"]}");
	put_message(s, ".");
	HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (unsigned char *)s->message, s->message_n, s->signature, &n);
	ks_buf_put_c(&value, "t=" NOW_S ",v1=");
	ks_buf_put_hex(&value, s->signature, n);
	add_header(s, "X-Sig", ks_buf_z(&value));
}

static void make_ed25519(struct scheme *s)
{
	unsigned char raw[32];
	size_t n = sizeof(raw);
	char key[64] = {0}, settings[128];
	struct ks_buf b = KS_BUF(settings);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	s->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY_get_raw_public_key(s->pkey, raw, &n);
	(void)ks_base64_encode(raw, n, key, sizeof(key));
	ks_buf_printf(&b, "{\"keys\":[\"%s\"]}", key);
	compile(s, "{\"settings\":{\"keys\":{\"type\":\"public_keys\"}},\"vars\":{\"ts\":{\"from\":\"header:X-Time\"},\"sig\":{\"from\":\"header:X-Sig\"}},"
		"\"time\":{\"value\":\"ts\",\"unit\":\"s\",\"max_age\":300},\"verify\":[{\"signature\":{\"algorithm\":\"ed25519\",\"public_keys\":\"$keys\","
		"\"content\":\"{ts}|{body}\",\"encoding\":\"base64\",\"signature\":\"sig\"}}]}", ks_buf_z(&b));
	put_message(s, "|");
	s->signature_n = sizeof(s->signature);
	EVP_DigestSignInit(context, NULL, NULL, NULL, s->pkey);
	EVP_DigestSign(context, s->signature, &s->signature_n, (unsigned char *)s->message, s->message_n);
	EVP_MD_CTX_free(context);
	(void)ks_base64_encode(s->signature, s->signature_n, s->value, sizeof(s->value));
	add_header(s, "X-Time", NOW_S);
	add_header(s, "X-Sig", s->value);
}

static void sign_rs256(struct scheme *s)
{
	unsigned char digest[32];

	SHA256((unsigned char *)s->message, s->message_n, digest);
	s->context = EVP_PKEY_CTX_new(s->pkey, NULL);
	s->signature_n = sizeof(s->signature);
	if (EVP_PKEY_sign_init(s->context) != 1 || EVP_PKEY_CTX_set_signature_md(s->context, EVP_sha256()) != 1 ||
	    EVP_PKEY_sign(s->context, s->signature, &s->signature_n, digest, sizeof(digest)) != 1 ||
	    EVP_PKEY_verify_init(s->context) != 1 || EVP_PKEY_CTX_set_signature_md(s->context, EVP_sha256()) != 1)
		die("cannot sign");
}

static void make_rs256(struct scheme *s)
{
	unsigned char *der = NULL;
	char key[1024] = {0}, settings[1200];
	struct ks_buf b = KS_BUF(settings);
	int n;

	s->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	n = i2d_PUBKEY(s->pkey, &der);
	(void)ks_base64_encode(der, (size_t)n, key, sizeof(key));
	OPENSSL_free(der);
	ks_buf_printf(&b, "{\"keys\":[\"%s\"]}", key);
	compile(s, "{\"settings\":{\"keys\":{\"type\":\"public_keys\"}},\"vars\":{\"ts\":{\"from\":\"header:X-Time\"},\"sig\":{\"from\":\"header:X-Sig\"}},"
		"\"time\":{\"value\":\"ts\",\"unit\":\"s\",\"max_age\":300},\"verify\":[{\"signature\":{\"algorithm\":\"rsa-v1_5-sha256\",\"public_keys\":\"$keys\","
		"\"content\":\"{ts}.{body}\",\"encoding\":\"base64\",\"signature\":\"sig\"}}]}", ks_buf_z(&b));
	put_message(s, ".");
	sign_rs256(s);
	(void)ks_base64_encode(s->signature, s->signature_n, s->value, sizeof(s->value));
	add_header(s, "X-Time", NOW_S);
	add_header(s, "X-Sig", s->value);
}

static void put_part(struct ks_buf *to, const void *bytes, size_t n)
{
	to->n += ks_base64url_encode(bytes, n, &to->p[to->n], to->cap - to->n);
}

static void make_jwt(struct scheme *s)
{
	static const char header[] = "{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":\"JWT\"}";
	static const char claims[] = "{\"iss\":\"https://issuer.example\",\"aud\":\"https://hooks.example.com\",\"sub\":\"1\",\"iat\":1759999990,\"exp\":1760003590}";
	unsigned char modulus[256];
	char settings[1024];
	struct ks_buf message = KS_BUF(s->message), value = KS_BUF(s->value), b = KS_BUF(settings);
	BIGNUM *n = NULL;

	s->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	EVP_PKEY_get_bn_param(s->pkey, "n", &n);
	ks_buf_put_c(&b, "{\"jwks\":{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\",\"n\":\"");
	put_part(&b, modulus, (size_t)BN_bn2bin(n, modulus));
	ks_buf_put_c(&b, "\"}]}}");
	BN_free(n);
	compile(s, "{\"warnings\":[\"body_not_covered\"],\"settings\":{\"jwks\":{\"type\":\"jwks\"}},\"vars\":{\"t\":{\"from\":\"header:Authorization\",\"scheme\":\"Bearer\"}},"
		"\"verify\":[{\"jws\":{\"token\":\"t\",\"algorithms\":[\"RS256\"],\"keys\":\"$jwks\",\"require\":[\"exp\"],"
		"\"claims\":{\"iss\":\"https://issuer.example\",\"aud\":\"https://hooks.example.com\"}}}]}", ks_buf_z(&b));
	put_part(&message, header, sizeof(header) - 1);
	ks_buf_put_c(&message, ".");
	put_part(&message, claims, sizeof(claims) - 1);
	s->message_n = message.n;
	sign_rs256(s);
	ks_buf_put_c(&value, "Bearer ");
	ks_buf_put(&value, ks_buf_str(&message));
	ks_buf_put_c(&value, ".");
	put_part(&value, s->signature, s->signature_n);
	add_header(s, "Authorization", ks_buf_z(&value));
}

/* ---- measuring ---- */

static void whole(struct scheme *s)
{
	struct ks_hooksig_request request = {.method = KS_STR("POST"), .url = KS_STR("https://hooks.example.com/in"), .headers = s->headers,
					     .header_count = s->header_count, .body = ks_str_of(body, sizeof(body))};
	struct ks_buf room = ks_buf_of(room_bytes, ks_hooksig_room(sizeof(body)));
	struct ks_hooksig_answer answer;

	ks_hooksig_verify(s->compiled, &request, NOW_MS, &room, &answer);
	if (answer.code != KS_HOOKSIG_OK)
		die(ks_hooksig_code_name(answer.code));
}

static double time_of(void (*call)(struct scheme *s), struct scheme *s)
{
	uint64_t from = now_ns();

	for (unsigned i = 0; i < CALLS; i++)
		call(s);
	return (double)(now_ns() - from) / CALLS;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

static void measure(struct scheme *s, size_t rounds)
{
	static double bare[ROUNDS_MAX], all[ROUNDS_MAX], ratio[ROUNDS_MAX];

	for (size_t i = 0; i < rounds; i++) {
		bare[i] = time_of(s->bare, s);
		all[i] = time_of(whole, s);
		ratio[i] = all[i] / bare[i];
	}
	printf("{\"scheme\":\"%s\",\"bare_ns\":%.0f,\"whole_ns\":%.0f,\"ratio\":%.3f}\n", s->name, median(bare, rounds), median(all, rounds),
	       median(ratio, rounds));
}

int main(int argc, char **argv)
{
	static struct scheme hmac = {.name = "HMAC-SHA256", .bare = bare_hmac}, ed25519 = {.name = "Ed25519", .bare = bare_ed25519},
			     rs256 = {.name = "RS256", .bare = bare_rs256}, jwt = {.name = "JWT of RS256", .bare = bare_rs256};
	uint64_t rounds = 301;

	if (argc == 3 && !ks_str_to_u64(ks_str_c(argv[2]), ROUNDS_MAX, &rounds))
		die("--rounds takes a number");
	room_bytes = malloc(ks_hooksig_room(sizeof(body)));
	if (!room_bytes)
		die("no memory");
	memset(body, 'b', sizeof(body));
	make_hmac(&hmac);
	make_ed25519(&ed25519);
	make_rs256(&rs256);
	make_jwt(&jwt);
	measure(&hmac, rounds);
	measure(&ed25519, rounds);
	measure(&rs256, rounds);
	measure(&jwt, rounds);
	ks_hooksig_free(hmac.compiled);
	ks_hooksig_free(ed25519.compiled);
	ks_hooksig_free(rs256.compiled);
	ks_hooksig_free(jwt.compiled);
	free(room_bytes);
	return 0;
}
