/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/ctenc.h"
#include "crypto/sha256.h"

#define THREADS 8
#define ROUNDS 200

static void assert_digest(struct ks_str text, const char *hex)
{
	struct ks_digest digest, expected;

	assert_true(ks_hex_decode(ks_str_c(hex), false, expected.bytes, KS_SHA256_SIZE));
	assert_int_equal(ks_sha256(text, &digest), KS_OK);
	assert_memory_equal(digest.bytes, expected.bytes, KS_SHA256_SIZE);
}

/* FIPS 180-2, appendix B, and the empty text; each twice, so that no call leaves anything to the next. */
static void test_vectors(void **state)
{
	static char million[1000000];

	(void)state;
	memset(million, 'a', sizeof(million));
	for (int round = 0; round < 2; round++) {
		assert_digest(KS_STR(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
		assert_digest((struct ks_str){NULL, 0},
			      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
		assert_digest(KS_STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
		assert_digest(KS_STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
			      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
		assert_digest(ks_str_of(million, sizeof(million)),
			      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	}
}

static void *digest_in_thread(void *argument)
{
	char text[64];
	struct ks_digest first, again;

	memset(text, 'a' + *(int *)argument, sizeof(text));
	if (ks_sha256(ks_str_of(text, sizeof(text)), &first))
		return NULL;
	for (int i = 0; i < ROUNDS; i++)
		if (ks_sha256(ks_str_of(text, sizeof(text)), &again) ||
		    !ks_ct_equal(first.bytes, again.bytes, KS_SHA256_SIZE))
			return NULL;
	return argument;
}

/* Threads come and go; the leak checker sees to it that their contexts go with them. */
static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, digest_in_thread, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &numbers[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
