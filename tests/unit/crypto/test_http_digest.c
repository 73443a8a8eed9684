/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 7616, 3.9.1, and RFC 2069's form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/http_digest.h"

static void vectors(void **state)
{
	struct ks_http_digest_input in = {
		.algorithm = KS_HTTP_DIGEST_MD5,
		.user = KS_STR("Mufasa"),
		.realm = KS_STR("http-auth@example.org"),
		.password = KS_STR("Circle of Life"),
		.method = KS_STR("GET"),
		.uri = KS_STR("/dir/index.html"),
		.nonce = KS_STR("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
		.client_nonce = KS_STR("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
		.count = 1,
	};
	char hex[KS_HTTP_DIGEST_HEX_SIZE];

	(void)state;
	assert_int_equal(ks_http_digest(&in, hex), KS_OK);
	assert_string_equal(hex, "8ca523f5e9506fed4657c9700eebdbec");
	in.algorithm = KS_HTTP_DIGEST_SHA256;
	assert_int_equal(ks_http_digest(&in, hex), KS_OK);
	assert_string_equal(hex, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
	in = (struct ks_http_digest_input){
		.algorithm = KS_HTTP_DIGEST_MD5, .user = KS_STR("Mufasa"), .realm = KS_STR("testrealm@host.com"),
		.password = KS_STR("CircleOfLife"), .method = KS_STR("GET"), .uri = KS_STR("/dir/index.html"),
		.nonce = KS_STR("dcd98b7102dd2f0e8b11d0f600bfb0c093"),
	};
	assert_int_equal(ks_http_digest(&in, hex), KS_OK);
	assert_string_equal(hex, "1949323746fe6a43ef61f9606e7febea"); /* RFC 2069's example, its erratum 749 */
}

static void names(void **state)
{
	enum ks_http_digest_algorithm a = KS_HTTP_DIGEST_COUNT;

	(void)state;
	assert_true(ks_http_digest_parse(KS_STR(""), &a));
	assert_int_equal(a, KS_HTTP_DIGEST_MD5);
	assert_true(ks_http_digest_parse(KS_STR("sha-512-256"), &a));
	assert_int_equal(a, KS_HTTP_DIGEST_SHA512_256);
	assert_string_equal(ks_http_digest_name(a), "SHA-512-256");
	assert_false(ks_http_digest_parse(KS_STR("MD5-sess"), &a));
	assert_false(ks_http_digest_parse(KS_STR("SHA-2"), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(vectors), cmocka_unit_test(names)};

	return cmocka_run_group_tests_name("http digest", tests, NULL, NULL);
}
