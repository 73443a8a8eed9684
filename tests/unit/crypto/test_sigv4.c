/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "crypto/sigv4.h"

#define MOMENT INT64_C(1440938160) /* 2015-08-30T12:36:00Z, as the published test suite */

static struct ks_sigv4_request plain(void)
{
	return (struct ks_sigv4_request){
		.method = KS_STR("GET"),
		.host = KS_STR("example.amazonaws.com"),
		.path = KS_STR("/"),
		.query = KS_STR(""),
		.body = KS_STR(""),
		.region = KS_STR("us-east-1"),
		.service = KS_STR("service"),
		.access_key = KS_STR("AKIDEXAMPLE"),
		.secret_key = KS_STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
		.session_token = KS_STR(""),
		.now_s = MOMENT,
	};
}

static void assert_signature(const struct ks_sigv4_request *r, const char *names, const char *signature)
{
	struct ks_sigv4_signed out;
	char text[1024];
	struct ks_buf wanted = KS_BUF(text);

	assert_int_equal(ks_sigv4_sign(r, &out), KS_OK);
	assert_string_equal(out.date, "20150830T123600Z");
	ks_buf_printf(&wanted, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
			       "SignedHeaders=%s, Signature=%s", names, signature);
	assert_string_equal(out.authorization, ks_buf_z(&wanted));
}

/* The test suite that AWS publishes: get-vanilla, get-vanilla-query-order-key-case, post-vanilla. */
static void the_published_suite(void **state)
{
	struct ks_sigv4_request r = plain();

	(void)state;
	assert_signature(&r, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	r.query = KS_STR("Param2=value2&Param1=value1");
	assert_signature(&r, "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
	r.query = KS_STR("");
	r.method = KS_STR("POST");
	assert_signature(&r, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
	r.path = KS_STR("");
	assert_signature(&r, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

/* get-header-value-trim, post-header-key-sort. */
static void headers_are_sorted_and_trimmed(void **state)
{
	struct ks_sigv4_request r = plain();

	(void)state;
	r.headers[0] = (struct ks_sigv4_header){KS_STR("My-Header1"), KS_STR(" value1")};
	r.headers[1] = (struct ks_sigv4_header){KS_STR("My-Header2"), KS_STR(" \"a   b   c\"")};
	r.header_count = 2;
	assert_signature(&r, "host;my-header1;my-header2;x-amz-date",
			 "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
	r = plain();
	r.method = KS_STR("POST");
	r.headers[0] = (struct ks_sigv4_header){KS_STR("My-Header1"), KS_STR("value1")};
	r.header_count = 1;
	assert_signature(&r, "host;my-header1;x-amz-date",
			 "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c");
}

static void the_body_is_signed(void **state)
{
	struct ks_sigv4_request r = plain();
	struct ks_sigv4_signed a, b;

	(void)state;
	assert_int_equal(ks_sigv4_sign(&r, &a), KS_OK);
	assert_string_equal(a.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	r.body = KS_STR("{}");
	assert_int_equal(ks_sigv4_sign(&r, &b), KS_OK);
	assert_string_not_equal(a.authorization, b.authorization);
	r = plain();
	r.session_token = KS_STR("token");
	assert_int_equal(ks_sigv4_sign(&r, &b), KS_OK);
	assert_string_not_equal(a.authorization, b.authorization);
}

static void assert_refused(const struct ks_sigv4_request *r, enum ks_err wanted)
{
	struct ks_sigv4_signed out = {.date = "untouched"};

	assert_int_equal(ks_sigv4_sign(r, &out), wanted);
	assert_string_equal(out.date, "untouched");
}

static void what_cannot_be_sent_is_refused(void **state)
{
	static const char *const paths[] = {"x", "/a//b", "/.", "/..", "/a/../b", "/a b", "/a\n", "/a?b"};
	static const char *const names[] = {"", "Host", "x-amz-date", "X-Amz-Security-Token", "a b", "a:", "a\r\nb"};
	struct ks_sigv4_request r;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(paths); i++) {
		r = plain();
		r.path = ks_str_c(paths[i]);
		assert_refused(&r, KS_MALFORMED);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		r = plain();
		r.headers[0] = (struct ks_sigv4_header){ks_str_c(names[i]), KS_STR("v")};
		r.header_count = 1;
		assert_refused(&r, KS_MALFORMED);
	}
	r = plain();
	r.headers[0] = r.headers[1] = (struct ks_sigv4_header){KS_STR("twice"), KS_STR("v")};
	r.header_count = 2;
	assert_refused(&r, KS_MALFORMED);
	r = plain();
	r.headers[0] = (struct ks_sigv4_header){KS_STR("name"), KS_STR("a\r\nb: c")};
	r.header_count = 1;
	assert_refused(&r, KS_MALFORMED);
	r = plain();
	r.query = KS_STR("a=b c");
	assert_refused(&r, KS_MALFORMED);
	r = plain();
	r.now_s = -1;
	assert_refused(&r, KS_MALFORMED);
	r = plain();
	r.region = KS_STR("us/east");
	assert_refused(&r, KS_MALFORMED);
	r = plain();
	r.secret_key = KS_STR("");
	assert_refused(&r, KS_MALFORMED);
}

static void what_is_too_large_is_refused(void **state)
{
	static char large[KS_SIGV4_CANONICAL_MAX + 1];
	struct ks_sigv4_request r = plain();

	(void)state;
	memset(large, '/' + 50, sizeof(large));
	large[0] = '/';
	r.path = ks_str_of(large, sizeof(large));
	assert_refused(&r, KS_TOO_LARGE);
	r = plain();
	r.secret_key = ks_str_of(large, sizeof(large));
	assert_refused(&r, KS_TOO_LARGE);
	r = plain();
	r.header_count = KS_SIGV4_HEADERS_MAX + 1;
	assert_refused(&r, KS_TOO_LARGE);
	memset(large, '&', 64);
	r = plain();
	r.query = ks_str_of(large, 64);
	assert_refused(&r, KS_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_suite),
		cmocka_unit_test(headers_are_sorted_and_trimmed),
		cmocka_unit_test(the_body_is_signed),
		cmocka_unit_test(what_cannot_be_sent_is_refused),
		cmocka_unit_test(what_is_too_large_is_refused),
	};

	return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
