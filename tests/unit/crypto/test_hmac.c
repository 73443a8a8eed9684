/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "crypto/hmac.h"

static void assert_mac(enum ks_hmac digest, struct ks_str key, struct ks_str message, const char *wanted)
{
	unsigned char mac[KS_HMAC_MAX];
	char text[2 * KS_HMAC_MAX + 1];
	struct ks_buf out = KS_BUF(text);
	size_t n;

	assert_int_equal(ks_hmac(digest, key, message, mac, &n), KS_OK);
	ks_buf_put_hex(&out, mac, n);
	assert_string_equal(ks_buf_z(&out), wanted);
}

/* RFC 4231, test cases 2 and 6. */
static void test_vectors(void **state)
{
	static char key[131];
	struct ks_str jefe = KS_STR("Jefe"), what = KS_STR("what do ya want for nothing?");
	struct ks_str larger = KS_STR("Test Using Larger Than Block-Size Key - Hash Key First");

	(void)state;
	assert_mac(KS_HMAC_SHA256, jefe, what, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_mac(KS_HMAC_SHA384, jefe, what,
		   "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649");
	assert_mac(KS_HMAC_SHA512, jefe, what,
		   "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b"
		   "636e070a38bce737");
	memset(key, 0xaa, sizeof(key));
	assert_mac(KS_HMAC_SHA256, ks_str_of(key, sizeof(key)), larger,
		   "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* HMAC of nothing under no key. */
static void test_empty(void **state)
{
	(void)state;
	assert_mac(KS_HMAC_SHA256, (struct ks_str){NULL, 0}, KS_STR(""),
		   "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_empty)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
