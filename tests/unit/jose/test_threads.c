/* SPDX-License-Identifier: Apache-2.0 */
/* One key, one set and one signer, used by many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "jose/signer.h"

#define THREADS 4
#define ROUNDS 200
#define PAYLOAD "{\"sub\":\"a\"}"

struct shared {
	const struct ks_jose_signer *signer;
	const struct ks_jwk_set *set;
};

struct worker {
	pthread_t thread;
	const struct shared *shared;
	unsigned signed_well, taken, refused;
};

/* Signs, checks, and checks again with one bit of the signature changed. */
static void work_once(struct worker *worker, unsigned round)
{
	char text[512];
	struct ks_buf out = KS_BUF(text);
	const struct ks_jose_key *key;
	struct ks_jws jws;
	size_t at;

	if (ks_jose_sign(worker->shared->signer, KS_STR("JWT"), KS_STR(PAYLOAD), &out))
		return;
	worker->signed_well++;
	if (ks_jws_parse(ks_buf_str(&out), &jws) || ks_jwk_set_find(worker->shared->set, &jws, &key))
		return;
	worker->taken += ks_jose_verify(key, &jws) == KS_JOSE_OK;
	at = (size_t)(jws.signature.p - jws.room) + round % jws.signature.n;
	jws.room[at] ^= 1;
	worker->refused += ks_jose_verify(key, &jws) == KS_JOSE_SIGNATURE;
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (unsigned round = 0; round < ROUNDS; round++)
		work_once(worker, round);
	return NULL;
}

static void run(enum ks_sign_alg alg)
{
	struct ks_jose_signer *signer = NULL;
	struct ks_jwk_set *set = NULL;
	struct worker workers[THREADS] = {0};
	struct shared shared;
	char text[1024];
	struct ks_buf jwks = KS_BUF(text);

	assert_int_equal(ks_jose_signer_new(alg, &signer), KS_JOSE_OK);
	ks_buf_put_c(&jwks, "{\"keys\":[");
	ks_jose_key_write(ks_jose_signer_key(signer), &jwks);
	ks_buf_put_c(&jwks, "]}");
	assert_int_equal(ks_jwk_set_parse(ks_buf_str(&jwks), &set), KS_JOSE_OK);
	shared = (struct shared){signer, set};
	for (size_t i = 0; i < THREADS; i++) {
		workers[i].shared = &shared;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].signed_well, ROUNDS);
		assert_int_equal(workers[i].taken, ROUNDS);
		assert_int_equal(workers[i].refused, ROUNDS);
	}
	ks_jwk_set_free(set);
	ks_jose_signer_free(signer);
}

static void test_threads(void **state)
{
	(void)state;
	run(KS_SIGN_ALG_ES256);
	run(KS_SIGN_ALG_EDDSA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
