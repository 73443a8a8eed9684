/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keeper/sip_digest.h"

static struct ks_sip_credentials mufasa(void)
{
	return (struct ks_sip_credentials){
		.user = KS_STR("Mufasa"), .password = KS_STR("Circle of Life"), .method = KS_STR("GET"),
		.uri = KS_STR("/dir/index.html"), .client_nonce = KS_STR("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
		.count = 1,
	};
}

static struct ks_sip_credentials bob(void)
{
	return (struct ks_sip_credentials){
		.user = KS_STR("bob"), .password = KS_STR("zanzibar"), .method = KS_STR("INVITE"),
		.uri = KS_STR("sip:bob@example.com"), .body = KS_STR("v=0\r\n"), .client_nonce = KS_STR("xyz"), .count = 2,
	};
}

static void assert_answer(const char *challenge, const struct ks_sip_credentials *c, const char *const *parts)
{
	struct ks_sip_asked asked;
	char text[KS_SIP_ANSWER_MAX];
	struct ks_buf out = KS_BUF(text);

	assert_int_equal(ks_sip_challenge_parse(ks_str_c(challenge), &asked), KS_OK);
	assert_int_equal(ks_sip_answer(&asked, c, &out), KS_OK);
	(void)ks_buf_z(&out);
	for (; *parts; parts++) {
		if (!strstr(text, *parts))
			fail_msg("%s is not in %s", *parts, text);
	}
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* RFC 7616, 3.9.1; RFC 2617, 3.5; the same in RFC 2069's form. */
static void the_examples_of_the_rfcs(void **state)
{
	struct ks_sip_credentials c = mufasa();
#define RFC7616 "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", " \
		"opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", algorithm="
#define RFC2617 "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""

	(void)state;
	assert_answer(RFC7616 "MD5", &c, PARTS("response=\"8ca523f5e9506fed4657c9700eebdbec\"", "algorithm=MD5,", "qop=auth, nc=00000001",
			"opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"", "Digest username=\"Mufasa\"",
			"cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\"", "uri=\"/dir/index.html\""));
	assert_answer(RFC7616 "SHA-256", &c,
		      PARTS("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"", "algorithm=SHA-256,"));
	c.password = KS_STR("Circle Of Life");
	c.client_nonce = KS_STR("0a4f113b");
	assert_answer(RFC2617 ", qop=\"auth,auth-int\"", &c, PARTS("response=\"6629fae49393a05397450978507c4ef1\""));
	assert_answer(RFC2617, &c, PARTS("response=\"670fd8c2df070c60b045671b8b24ff02\""));
}

/* RFC 7616, 3.9.2; the RFC prints numbers of SHA-512 cut short, these are of SHA-512/256 by another implementation. */
static void the_name_is_hashed(void **state)
{
	struct ks_sip_credentials c = {
		.user = KS_STR("J\xc3\xa4s\xc3\xb8n Doe"), .password = KS_STR("Secret, or not?"), .method = KS_STR("GET"),
		.uri = KS_STR("/doe.json"), .client_nonce = KS_STR("NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm"), .count = 1,
	};

	(void)state;
	assert_answer("Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\","
		      " opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDssOS\", charset=UTF-8, userhash=true", &c,
		      PARTS("username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\"",
			    "response=\"7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c\"", "userhash=true"));
}

/* Against numbers that another implementation of the formulas made. */
static void every_form(void **state)
{
	static const struct {
		const char *algorithm, *session_auth, *integrity, *session_plain;
	} forms[] = {
		{"MD5", "c5940521829a2ef83d024c633cd7b30f",
		 "3b593fa0351473ba8176855e2258d363",
		 "0bb68ff4eea1737f84d4c9600a01a467"},
		{"SHA-256", "9a986f5f8e41091a640b03eb87eea0bc1faae159c079bbaa4d231ff11c798d63",
		 "07961ef2163e3ffd9b53f563d426fb9ae74cc28d9699246cd24a0642c59590e5",
		 "9dd7486c0d19e9ac90fb3ba11b6fd026556ab65d0e0c2344687d0ec9375a0251"},
		{"SHA-512-256", "d039c55bde19a773d78ff0420718bf1e6e8221163f39b56208559daf7bf4c6d7",
		 "65f05b606f657b52298e43f544ad58c451028fbe2c89ee236f5b3c5dee9564a7",
		 "358346a329ff8a719958cfbad472595e8c5642137aeb3672fcabc4b0418343de"},
	};
	struct ks_sip_credentials c = bob();

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(forms); i++) {
		char text[256];
		struct ks_buf b = KS_BUF(text);

		ks_buf_printf(&b, "Digest realm=\"example.com\",nonce=\"abc\",algorithm=%s-sess,qop=\"auth\"", forms[i].algorithm);
		assert_answer(ks_buf_z(&b), &c, PARTS(forms[i].session_auth, "-sess", "cnonce=\"xyz\"", "nc=00000002"));
		b.n = 0;
		ks_buf_printf(&b, "Digest realm=\"example.com\",nonce=\"abc\",algorithm=%s,qop=auth-int", forms[i].algorithm);
		assert_answer(ks_buf_z(&b), &c, PARTS(forms[i].integrity, "qop=auth-int"));
		b.n = 0;
		ks_buf_printf(&b, "Digest realm=\"example.com\",nonce=\"abc\",algorithm=%s-SESS", forms[i].algorithm);
		assert_answer(ks_buf_z(&b), &c, PARTS(forms[i].session_plain, "cnonce=\"xyz\""));
	}
}

static void odd_challenges_are_read(void **state)
{
	struct ks_sip_asked a;

	(void)state;
	assert_int_equal(ks_sip_challenge_parse(KS_STR("DIGEST  realm = \"a \\\"b\\\\ c\" ,\tnonce=\"\\n\",stale=TRUE, foo=bar, realm2=\"x\""), &a), KS_OK);
	assert_true(ks_str_eq(a.realm, KS_STR("a \"b\\ c")));
	assert_true(ks_str_eq(a.nonce, KS_STR("n")));
	assert_true(a.stale && !a.algorithm_named && !a.qop_auth && a.algorithm == KS_HTTP_DIGEST_MD5);
	assert_int_equal(ks_sip_challenge_parse(KS_STR("Digest realm=\"\", nonce=bm9uY2U=, qop=\"foo, AUTH\", algorithm=md5"), &a), KS_OK);
	assert_true(a.qop_auth && !a.qop_auth_int && ks_str_eq(a.nonce, KS_STR("bm9uY2U=")));
}

static void what_is_no_challenge_is_refused(void **state)
{
	static const char *const malformed[] = {
		"", "Digest", "Digest ", "Basic realm=\"a\"", "Digest realm=\"a\"", "Digest nonce=\"a\"", "Digest realm=\"a\", nonce=\"\"",
		"Digest realm=\"a\", nonce=\"b", "Digest realm=\"a\" nonce=\"b\"", "Digest realm=\"a\", nonce=\"b\",", "Digest realm=\"a\", realm=\"a\", nonce=\"b\"",
		"Digest realm=\"a\r\nX: y\", nonce=\"b\"", "Digest realm=\"a\", nonce=\"b\\", "Digest =\"a\", nonce=\"b\"", "Digest realm=a, nonce=",
		"Digestrealm=\"a\", nonce=\"b\"", "Digest realm=\"a\", nonce=\"b\", Digest realm=\"c\", nonce=\"d\"", "Digest realm=\"a\x01\", nonce=\"b\"",
	};
	static char large[KS_SIP_CHALLENGE_MAX + 1];
	struct ks_sip_asked a;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(malformed); i++) {
		if (ks_sip_challenge_parse(ks_str_c(malformed[i]), &a) != KS_MALFORMED)
			fail_msg("taken: %s", malformed[i]);
	}
	assert_int_equal(ks_sip_challenge_parse(KS_STR("Digest realm=\"a\", nonce=\"b\", algorithm=AKAv1-MD5"), &a), KS_VERSION);
	assert_int_equal(ks_sip_challenge_parse(KS_STR("Digest realm=\"a\", nonce=\"b\", algorithm=-sess"), &a), KS_VERSION);
	assert_int_equal(ks_sip_challenge_parse(KS_STR("Digest realm=\"a\", nonce=\"b\", qop=\"token\""), &a), KS_VERSION);
	assert_int_equal(ks_sip_challenge_parse(ks_str_of(large, sizeof(large)), &a), KS_TOO_LARGE);
}

static void nothing_begins_another_header(void **state)
{
	struct ks_sip_credentials c[6] = {bob(), bob(), bob(), bob(), bob(), bob()};
	struct ks_sip_asked a;
	char text[KS_SIP_ANSWER_MAX];

	(void)state;
	assert_int_equal(ks_sip_challenge_parse(KS_STR("Digest realm=\"a\", nonce=\"b\", qop=\"auth\""), &a), KS_OK);
	c[0].user = KS_STR("a\r\nX: y");
	c[1].uri = KS_STR("sip:a\" b");
	c[2].method = KS_STR("IN VITE");
	c[3].client_nonce = KS_STR("a\"");
	c[4].count = 0;
	c[5].uri = KS_STR("");
	for (size_t i = 0; i < KS_ARRAY_LEN(c); i++) {
		struct ks_buf out = KS_BUF(text);

		assert_int_equal(ks_sip_answer(&a, &c[i], &out), KS_MALFORMED);
	}
	c[0] = bob();
	c[0].user = KS_STR("a\"b\\c");
	assert_answer("Digest realm=\"a\", nonce=\"b\", qop=\"auth\"", &c[0], PARTS("username=\"a\\\"b\\\\c\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples_of_the_rfcs),
		cmocka_unit_test(the_name_is_hashed),
		cmocka_unit_test(every_form),
		cmocka_unit_test(odd_challenges_are_read),
		cmocka_unit_test(what_is_no_challenge_is_refused),
		cmocka_unit_test(nothing_begins_another_header),
	};

	return cmocka_run_group_tests_name("sip_digest", tests, NULL, NULL);
}
