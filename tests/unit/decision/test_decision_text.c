/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static struct fixture f;
static char lab[KS_TOKEN_TEXT_SIZE], anna[KS_TOKEN_TEXT_SIZE], partner[KS_TOKEN_TEXT_SIZE];

static int open_world(void **state)
{
	(void)state;
	fixture_open(&f);
	fixture_key_put(&f,
			&(struct fixture_key){KEY_OF(LAB, PROJECT),
					      .environment = KS_ENVIRONMENT_SANDBOX, .requests = 5, .window_s = 10,
					      .scopes = "contacts:read trust:read"},
			lab);
	fixture_key_put(&f,
			&(struct fixture_key){KEY_OF(ANNA_PERSONAL, USER),
					      .scopes = "contacts:read"},
			anna);
	fixture_key_put(&f,
			&(struct fixture_key){.tenant = PARTNER_P, .kind = KS_KIND_PARTNER,
					      .binding = KS_BINDING_PARTNER, .scopes = "contacts:read"},
			partner);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static void assert_header(const struct ks_decision *d, enum ks_identity_header header, const char *expected)
{
	char text[1024];
	struct ks_buf out = KS_BUF(text);

	ks_identity_put(&f.ring, d, header, &out);
	assert_string_equal(ks_buf_z(&out), expected);
}

static void a_decision_without_a_key_has_no_texts(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = "ks_ffffffffffffffffffffffffffffffff"});

	(void)state;
	for (unsigned i = 0; i < KS_IDENTITY_COUNT; i++)
		assert_header(&d, (enum ks_identity_header)i, "");
}

static void numbers_that_are_none(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = lab});

	(void)state;
	assert_header(&d, KS_IDENTITY_COUNT, "");
	assert_string_equal(ks_identity_name(KS_IDENTITY_COUNT), "");
	assert_string_equal(ks_lookup_detail_text(KS_LOOKUP_DETAIL_COUNT), "");
}

static void an_overflow_is_told(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = lab});
	char text[16];
	struct ks_buf out = KS_BUF(text);

	(void)state;
	ks_decision_put_scopes(&f.ring, &d, &out);
	assert_false(ks_buf_ok(&out));
	out = KS_BUF(text);
	ks_decision_put_principal(&f.ring, &d, &out);
	assert_false(ks_buf_ok(&out));
}

static void every_header(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = lab, .path = "/trust"});
	char expected[256];
	struct ks_buf out = KS_BUF(expected);

	(void)state;
	assert_int_equal(d.reason, KS_REASON_OK);
	assert_header(&d, KS_IDENTITY_PRINCIPAL, fixture_id(KS_ID_KEY, FIRST_KEY));
	assert_header(&d, KS_IDENTITY_KIND, "tenant");
	assert_header(&d, KS_IDENTITY_TENANT, fixture_id(KS_ID_PROJECT, LAB));
	assert_header(&d, KS_IDENTITY_ORGANIZATION, fixture_id(KS_ID_ORGANIZATION, ACME));
	assert_header(&d, KS_IDENTITY_VISIBLE, fixture_id(KS_ID_PROJECT, LAB));
	ks_buf_printf(&out, "%s,%s,%s", fixture_id(KS_ID_SUB_ENTITY, NORTH), fixture_id(KS_ID_SUB_ENTITY, SALES),
		      fixture_id(KS_ID_ORGANIZATION, ACME));
	assert_header(&d, KS_IDENTITY_INHERITED, ks_buf_z(&out));
	assert_header(&d, KS_IDENTITY_SCOPES, "contacts:read trust:read");
	assert_header(&d, KS_IDENTITY_ENVIRONMENT, "sandbox");
	assert_header(&d, KS_IDENTITY_FAMILY, "trust");
	assert_header(&d, KS_IDENTITY_RATE_LIMIT, "\"key\";r=4;t=2");
	assert_header(&d, KS_IDENTITY_RATE_LIMIT_POLICY, "\"key\";q=5;w=10");
}

static void empty_where_there_is_nothing(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = partner});

	(void)state;
	assert_int_equal(d.reason, KS_REASON_OK);
	assert_header(&d, KS_IDENTITY_ORGANIZATION, "");
	assert_header(&d, KS_IDENTITY_INHERITED, "");
	assert_header(&d, KS_IDENTITY_RATE_LIMIT, "");
	assert_header(&d, KS_IDENTITY_RATE_LIMIT_POLICY, "");
	d = ask(&f, &(struct question){.token = partner, .alone = true});
	assert_header(&d, KS_IDENTITY_FAMILY, "");
	assert_header(&d, KS_IDENTITY_VISIBLE, fixture_id(KS_ID_PARTNER, PARTNER_P));
}

static void visible_of_a_user(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = anna});
	char expected[256];
	struct ks_buf out = KS_BUF(expected);

	(void)state;
	/* The personal tenant first, then memberships by id, the suspended one left out. */
	ks_buf_printf(&out, "%s,%s,%s", fixture_id(KS_ID_PERSONAL, ANNA_PERSONAL), fixture_id(KS_ID_SUB_ENTITY, SALES),
		      fixture_id(KS_ID_ORGANIZATION, EAST));
	assert_header(&d, KS_IDENTITY_VISIBLE, ks_buf_z(&out));
}

static void names_are_fields_of_http(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KS_IDENTITY_COUNT; i++)
		assert_true(ks_method_ok(ks_str_c(ks_identity_name((enum ks_identity_header)i))));
	assert_string_equal(ks_identity_name(KS_IDENTITY_PRINCIPAL), "X-Keystile-Principal");
	assert_string_equal(ks_identity_name(KS_IDENTITY_RATE_LIMIT_POLICY), "RateLimit-Policy");
}

static void challenges(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KS_REASON_COUNT; i++) {
		enum ks_reason reason = (enum ks_reason)i;
		bool challenged = ks_reason_info(reason)->status == 401;

		assert_int_equal(ks_decision_challenge(reason, false)[0] != '\0', challenged);
		assert_int_equal(ks_decision_challenge(reason, true)[0] != '\0', challenged);
	}
	assert_string_equal(ks_decision_challenge(KS_REASON_CREDENTIAL_MISSING, false), "Bearer realm=\"keystile\"");
	assert_string_equal(ks_decision_challenge(KS_REASON_CREDENTIAL_EXPIRED, false),
			    "Bearer realm=\"keystile\", error=\"invalid_token\"");
	assert_string_equal(ks_decision_challenge(KS_REASON_CREDENTIAL_INVALID, true),
			    "Basic realm=\"keystile\", charset=\"UTF-8\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_decision_without_a_key_has_no_texts),
		TEST(numbers_that_are_none),
		TEST(an_overflow_is_told),
		TEST(every_header),
		TEST(empty_where_there_is_nothing),
		TEST(visible_of_a_user),
		TEST(names_are_fields_of_http),
		TEST(challenges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
