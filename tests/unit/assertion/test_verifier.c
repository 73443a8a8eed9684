/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../ring/fixture.h"
#include "assertion/verifier.h"
#include "jose/signer.h"

#define OWN "https://auth.example"
#define API "https://api.example"
#define NOW INT64_C(1800000000000)
#define FOREIGN 4711

/* A ring with our own issuer of two keys (ES256 and EdDSA) and one of an organization. */
struct bed {
	struct world world;
	struct ks_verifier verifier;
	struct ks_jose_signer *es256, *eddsa, *foreign, *stranger;
	struct ks_assertion a;
};

static const uint8_t mask[KS_RING_ISSUER_MASK_SIZE] = {9, 8, 7, 6, 5};
static const struct ks_digest slot = {{0xaa, 0xbb, 0xcc}};

static const char rules[] = "{\"tenant_claim\":\"org\",\"tenants\":{\"a\":\"org_000000000000a\"},\"role_claim\":"
			    "\"realm.roles\",\"roles\":{\"boss\":\"administrator\",\"worker\":\"member\"},"
			    "\"default_roles\":[\"account_reader\"]}";

static struct ks_ring_issuer_key_record key_of(const struct ks_jose_signer *signer, char *text, size_t cap)
{
	struct ks_buf b = ks_buf_of(text, cap);

	ks_jose_key_write(ks_jose_signer_key(signer), &b);
	assert_true(ks_buf_ok(&b));
	return (struct ks_ring_issuer_key_record){
		.kid = ks_jose_key_kid(ks_jose_signer_key(signer)), .jwk = ks_buf_str(&b), .mask = mask};
}

static void put_own(struct bed *bed, bool with_es256)
{
	static const struct ks_str audiences[] = {KS_STR(OWN), KS_STR(API)};
	struct ks_ring_issuer_key_record keys[2];
	char texts[2][1024];

	keys[0] = key_of(bed->eddsa, texts[0], sizeof(texts[0]));
	keys[1] = key_of(bed->es256, texts[1], sizeof(texts[1]));
	assert_int_equal(ks_ring_put_issuer_keys(&bed->world.ring, &(struct ks_ring_issuer_keys_record){
		.name = KS_STR(OWN), .audiences = audiences, .audience_count = 2, .keys = keys,
		.key_count = with_es256 ? 2 : 1}), KS_OK);
}

static void put_foreign(struct bed *bed)
{
	static const struct ks_str audiences[] = {KS_STR("platform")};
	struct ks_ring_issuer_key_record key;
	char text[1024];

	key = key_of(bed->foreign, text, sizeof(text));
	assert_int_equal(ks_ring_put_issuer_keys(&bed->world.ring, &(struct ks_ring_issuer_keys_record){
		.id = FOREIGN, .tenant = ORG_A, .name = KS_STR("https://idp.example"), .rules = ks_str_c(rules),
		.audiences = audiences, .audience_count = 1, .keys = &key, .key_count = 1}), KS_OK);
}

static int set_up(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	uint16_t number;

	assert_non_null(bed);
	world_open_small(&bed->world);
	assert_int_equal(ks_scope_add(bed->world.ring.scopes, KS_STR("contacts:read"), &number), KS_OK);
	assert_int_equal(ks_scope_add(bed->world.ring.scopes, KS_STR("contacts:write"), &number), KS_OK);
	assert_int_equal(ks_jose_signer_new(KS_SIGN_ALG_ES256, &bed->es256), KS_JOSE_OK);
	assert_int_equal(ks_jose_signer_new(KS_SIGN_ALG_EDDSA, &bed->eddsa), KS_JOSE_OK);
	assert_int_equal(ks_jose_signer_new(KS_SIGN_ALG_ES256, &bed->foreign), KS_JOSE_OK);
	assert_int_equal(ks_jose_signer_new(KS_SIGN_ALG_ES256, &bed->stranger), KS_JOSE_OK);
	put_own(bed, true);
	put_foreign(bed);
	*state = bed;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *bed = *state;

	ks_verifier_free(&bed->verifier);
	ks_jose_signer_free(bed->es256);
	ks_jose_signer_free(bed->eddsa);
	ks_jose_signer_free(bed->foreign);
	ks_jose_signer_free(bed->stranger);
	world_close(&bed->world);
	free(bed);
	return 0;
}

/* ---- tokens ---- */

/* What stands in the place of '%' in `payload` is the reference to the slot, masked with the jti "j". */
static struct ks_str token_of(const struct ks_jose_signer *signer, const char *typ, const char *payload)
{
	static char token[KS_JWS_TOKEN_MAX + 1];
	static char text[KS_JWS_PAYLOAD_MAX + 1];
	struct ks_buf b = KS_BUF(text), out = KS_BUF(token);
	struct ks_digest masked;
	char ref[KS_JWT_REF_LEN];

	assert_int_equal(ks_jwt_mask(mask, KS_STR("j"), &slot, &masked), KS_OK);
	assert_int_equal(ks_base64url_encode(masked.bytes, sizeof(masked.bytes), ref, sizeof(ref)), sizeof(ref));
	for (; *payload; payload++) {
		if (*payload == '%')
			ks_buf_put(&b, ks_str_of(ref, sizeof(ref)));
		else
			ks_buf_put_byte(&b, *payload);
	}
	assert_int_equal(ks_jose_sign(signer, ks_str_c(typ), ks_buf_str(&b), &out), KS_JOSE_OK);
	return ks_buf_str(&out);
}

static enum ks_lookup_detail check_for(struct bed *bed, struct ks_str token, enum ks_jwt_audience audience)
{
	ks_assert(&bed->world.ring, &bed->verifier, token, audience, NOW, &bed->a);
	assert_int_equal(bed->a.result, bed->a.detail == KS_LOOKUP_NONE ? KS_ASSERTION_OK : KS_ASSERTION_INVALID);
	return bed->a.detail;
}

static enum ks_lookup_detail check(struct bed *bed, struct ks_str token)
{
	return check_for(bed, token, KS_JWT_AUDIENCE_ANY);
}

#define CLAIMS(more) "{\"iss\":\"" OWN "\",\"aud\":[\"" API "\"],\"exp\":1800000300,\"iat\":1800000000,\"jti\":\"j\",\"ks_ref\":\"%\"" more "}"
#define SCOPE ",\"scope\":\"contacts:read gone:read\""

static void an_exchanged_token_says_what_it_is(void **state)
{
	struct bed *bed = *state;
	const struct ks_jose_signer *signers[] = {bed->es256, bed->eddsa};

	for (size_t i = 0; i < KS_ARRAY_LEN(signers); i++) {
		struct ks_str token = token_of(signers[i], "at+jwt",
					       CLAIMS(SCOPE ",\"tenant\":\"org_000000000000a\",\"family\":\"contacts\""));

		assert_int_equal(check(bed, token), KS_LOOKUP_NONE);
		assert_int_equal(bed->a.kind, KS_ASSERTION_EXCHANGED);
		assert_memory_equal(bed->a.ref.bytes, slot.bytes, sizeof(slot.bytes));
		assert_true(bed->a.expires_ms == NOW + 300000);
		assert_true(bed->a.has_scopes);
		assert_true(ks_scopes_has(&bed->a.scopes, 0));
		assert_false(ks_scopes_has(&bed->a.scopes, 1));
		assert_int_equal(bed->a.tenant, 10);
		assert_string_equal(bed->a.family, "contacts");
	}
}

static void a_session_token_says_what_it_is(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(check(bed, token_of(bed->es256, "ks-session+jwt", CLAIMS(""))), KS_LOOKUP_NONE);
	assert_int_equal(bed->a.kind, KS_ASSERTION_SESSION);
	assert_false(bed->a.has_scopes);
	assert_int_equal(bed->a.tenant, 0);
	assert_string_equal(bed->a.family, "");
}

/* The end is the decision's to look at: it comes after what the slot says. */
static void a_token_that_has_ended_is_told_apart_by_the_decision(void **state)
{
	struct bed *bed = *state;
	const char *payload = "{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1,\"jti\":\"j\",\"ks_ref\":\"%\"}";

	assert_int_equal(check(bed, token_of(bed->es256, "ks-session+jwt", payload)), KS_LOOKUP_NONE);
	assert_true(bed->a.expires_ms == 1000);
}

static void no_type_is_taken_for_another(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(check(bed, token_of(bed->es256, "JWT", CLAIMS(SCOPE))), KS_LOOKUP_JWT_TYPE);
	assert_int_equal(check(bed, token_of(bed->es256, "", CLAIMS(SCOPE))), KS_LOOKUP_JWT_TYPE);
	assert_int_equal(check(bed, token_of(bed->es256, "ks-session", CLAIMS(SCOPE))), KS_LOOKUP_JWT_TYPE);
	/* An exchanged one is always narrowed. */
	assert_int_equal(check(bed, token_of(bed->es256, "at+jwt", CLAIMS(""))), KS_LOOKUP_JWT_CLAIMS);
}

static void an_audience_must_be_ours(void **state)
{
	struct bed *bed = *state;
	struct ks_str token = token_of(bed->es256, "ks-session+jwt", CLAIMS(""));

	assert_int_equal(check_for(bed, token, KS_JWT_AUDIENCE_SERVICE), KS_LOOKUP_JWT_AUDIENCE);
	token = token_of(bed->es256, "ks-session+jwt",
			 "{\"iss\":\"" OWN "\",\"aud\":[\"x\",\"" OWN "\"],\"exp\":1900000000,\"jti\":\"j\",\"ks_ref\":\"%\"}");
	assert_int_equal(check_for(bed, token, KS_JWT_AUDIENCE_SERVICE), KS_LOOKUP_NONE);
	token = token_of(bed->es256, "ks-session+jwt",
			 "{\"iss\":\"" OWN "\",\"aud\":[\"x\",\"y\"],\"exp\":1900000000,\"jti\":\"j\",\"ks_ref\":\"%\"}");
	assert_int_equal(check(bed, token), KS_LOOKUP_JWT_AUDIENCE);
	token = token_of(bed->es256, "ks-session+jwt",
			 "{\"iss\":\"" OWN "\",\"exp\":1900000000,\"jti\":\"j\",\"ks_ref\":\"%\"}");
	assert_int_equal(check(bed, token), KS_LOOKUP_JWT_AUDIENCE);
}

static void strangers_are_refused(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(check(bed, token_of(bed->es256, "at+jwt",
					     "{\"iss\":\"https://other.example\",\"aud\":\"" API "\",\"exp\":1900000000}")),
			 KS_LOOKUP_ISSUER);
	assert_int_equal(check(bed, token_of(bed->es256, "at+jwt", "{\"aud\":\"" API "\",\"exp\":1900000000}")),
			 KS_LOOKUP_ISSUER);
	assert_int_equal(check(bed, token_of(bed->stranger, "at+jwt", CLAIMS(SCOPE))), KS_LOOKUP_JWT_KEY);
	/* The key of another issuer is none of ours. */
	assert_int_equal(check(bed, token_of(bed->foreign, "at+jwt", CLAIMS(SCOPE))), KS_LOOKUP_JWT_KEY);
}

/* Every character of a good token, changed: refused each time. */
static void a_token_that_was_touched_is_refused(void **state)
{
	struct bed *bed = *state;
	struct ks_str good = token_of(bed->es256, "at+jwt", CLAIMS(SCOPE));
	char token[KS_JWS_TOKEN_MAX];

	memcpy(token, good.p, good.n);
	for (size_t i = 0; i < good.n; i++) {
		token[i] ^= 1;
		assert_int_not_equal(check(bed, ks_str_of(token, good.n)), KS_LOOKUP_NONE);
		token[i] ^= 1;
	}
	assert_int_equal(check(bed, ks_str_of(token, good.n)), KS_LOOKUP_NONE);
	for (size_t n = 0; n < good.n; n++)
		assert_int_not_equal(check(bed, ks_str_of(token, n)), KS_LOOKUP_NONE);
}

static void claims_must_have_their_form(void **state)
{
	static const struct {
		const char *payload;
		enum ks_lookup_detail detail;
	} cases[] = {
		{CLAIMS(",\"nbf\":1800000061"), KS_LOOKUP_JWT_NOT_YET},
		{CLAIMS(",\"nbf\":1800000059"), KS_LOOKUP_NONE},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1900000000,\"iat\":1800000061,\"jti\":\"j\",\"ks_ref\":\"%\"}",
		 KS_LOOKUP_JWT_NOT_YET},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"jti\":\"j\",\"ks_ref\":\"%\"}", KS_LOOKUP_JWT_CLAIMS},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":\"1900000000\",\"jti\":\"j\",\"ks_ref\":\"%\"}",
		 KS_LOOKUP_JWT_CLAIMS},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1900000000,\"ks_ref\":\"%\"}", KS_LOOKUP_JWT_CLAIMS},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1900000000,\"jti\":\"j\"}", KS_LOOKUP_JWT_CLAIMS},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1900000000,\"jti\":\"j\",\"ks_ref\":\"AA\"}",
		 KS_LOOKUP_JWT_CLAIMS},
		{"{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1900000000,\"jti\":\"j\",\"ks_ref\":7}",
		 KS_LOOKUP_JWT_CLAIMS},
		{CLAIMS(",\"tenant\":\"nobody\""), KS_LOOKUP_JWT_CLAIMS},
		{CLAIMS(",\"tenant\":7"), KS_LOOKUP_JWT_CLAIMS},
		{CLAIMS(",\"family\":7"), KS_LOOKUP_JWT_CLAIMS},
		{CLAIMS(",\"scope\":7"), KS_LOOKUP_JWT_CLAIMS},
		{"[]", KS_LOOKUP_JWT_CLAIMS},
		{"{\"iss\":\"" OWN "\",\"iss\":\"" OWN "\"}", KS_LOOKUP_JWT_MALFORMED},
		{"nothing", KS_LOOKUP_JWT_MALFORMED},
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		enum ks_lookup_detail detail = check(bed, token_of(bed->es256, "ks-session+jwt", cases[i].payload));

		if (detail != cases[i].detail)
			fail_msg("%s: %s", cases[i].payload, ks_lookup_detail_text(detail));
	}
}

static void another_jti_is_another_slot(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(check(bed, token_of(bed->es256, "ks-session+jwt",
					     "{\"iss\":\"" OWN "\",\"aud\":\"" API "\",\"exp\":1900000000,\"jti\":\"k\","
					     "\"ks_ref\":\"%\"}")),
			 KS_LOOKUP_NONE);
	assert_false(ks_ct_equal(bed->a.ref.bytes, slot.bytes, sizeof(slot.bytes)));
}

/* A ready key is of no use once the ring has another under its id, or none. */
static void a_key_that_was_taken_out_is_taken_by_nobody(void **state)
{
	struct bed *bed = *state;
	struct ks_str token = token_of(bed->es256, "at+jwt", CLAIMS(SCOPE));

	assert_int_equal(check(bed, token), KS_LOOKUP_NONE);
	put_own(bed, false);
	assert_int_equal(check(bed, token), KS_LOOKUP_JWT_KEY);
	put_own(bed, true);
	assert_int_equal(check(bed, token), KS_LOOKUP_NONE);
	ks_ring_drop_issuer_keys(&bed->world.ring, KS_RING_ISSUER_OWN);
	assert_int_equal(check(bed, token), KS_LOOKUP_ISSUER);
}

/* ---- another's ---- */

#define IDP(more) "{\"iss\":\"https://idp.example\",\"aud\":\"platform\",\"exp\":1800000300" more "}"

static void an_organizations_issuer_is_read_by_its_rules(void **state)
{
	struct bed *bed = *state;
	struct ks_digest ref;

	assert_int_equal(check(bed, token_of(bed->foreign, "JWT", IDP(",\"org\":\"a\",\"realm\":{\"roles\":[\"worker\","
								      "\"boss\",\"else\"]}"))),
			 KS_LOOKUP_NONE);
	assert_int_equal(bed->a.kind, KS_ASSERTION_FEDERATED);
	assert_int_equal(ks_ring_issuer_digest(FOREIGN, &ref), KS_OK);
	assert_memory_equal(bed->a.ref.bytes, ref.bytes, sizeof(ref.bytes));
	assert_int_equal(bed->a.tenant, 10);
	assert_int_equal(bed->a.role_count, 2);
	assert_int_equal(bed->a.roles[0], KS_ROLE_MEMBER);
	assert_int_equal(bed->a.roles[1], KS_ROLE_ADMINISTRATOR);
	assert_false(bed->a.has_scopes);
	/* Nothing is said of roles: those of who has none. */
	assert_int_equal(check(bed, token_of(bed->foreign, "", IDP(",\"org\":\"a\""))), KS_LOOKUP_NONE);
	assert_int_equal(bed->a.role_count, 1);
	assert_int_equal(bed->a.roles[0], KS_ROLE_ACCOUNT_READER);
}

static void an_organizations_issuer_says_no_more_than_its_rules(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(check(bed, token_of(bed->foreign, "JWT", IDP(",\"org\":\"b\""))), KS_LOOKUP_JWT_TENANT);
	assert_int_equal(check(bed, token_of(bed->foreign, "JWT", IDP(",\"org\":7"))), KS_LOOKUP_JWT_CLAIMS);
	/* Where a claim says the tenant, silence is not the whole organization. */
	assert_int_equal(check(bed, token_of(bed->foreign, "JWT", IDP(""))), KS_LOOKUP_JWT_TENANT);
	assert_int_equal(check(bed, token_of(bed->foreign, "JWT", IDP(",\"org\":\"a\",\"realm\":{\"roles\":7}"))),
			 KS_LOOKUP_JWT_CLAIMS);
	assert_int_equal(check(bed, token_of(bed->foreign, "ks-session+jwt", IDP(""))), KS_LOOKUP_JWT_TYPE);
	assert_int_equal(check(bed, token_of(bed->foreign, "logout+jwt", IDP(""))), KS_LOOKUP_JWT_TYPE);
	assert_int_equal(check(bed, token_of(bed->es256, "JWT", IDP(""))), KS_LOOKUP_JWT_KEY);
	/* It cannot speak for us. */
	assert_int_equal(check(bed, token_of(bed->foreign, "ks-session+jwt", CLAIMS(""))), KS_LOOKUP_JWT_KEY);
}

static void rules_have_their_form(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{rules, true},
		{"{}", true},
		{"{\"default_tenant\":\"sub_000000000000b\"}", true},
		{"", false},
		{"[]", false},
		{"{\"other\":1}", false},
		{"{\"tenant_claim\":\"\"}", false},
		{"{\"tenant_claim\":7}", false},
		{"{\"tenants\":{\"a\":\"b\"}}", false},
		{"{\"tenants\":[]}", false},
		{"{\"default_tenant\":\"b\"}", false},
		{"{\"roles\":{\"a\":\"\"}}", false},
		{"{\"default_roles\":{}}", false},
		{"{\"default_roles\":[7]}", false},
		{"{\"default_roles\":[]} ,", false},
		{"{\"tenant_claim\":\"a\",\"tenant_claim\":\"b\"}", false},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		if (ks_jwt_rules_ok(ks_str_c(cases[i].text)) != cases[i].ok)
			fail_msg("%s", cases[i].text);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_exchanged_token_says_what_it_is),
		TEST(a_session_token_says_what_it_is),
		TEST(a_token_that_has_ended_is_told_apart_by_the_decision),
		TEST(no_type_is_taken_for_another),
		TEST(an_audience_must_be_ours),
		TEST(strangers_are_refused),
		TEST(a_token_that_was_touched_is_refused),
		TEST(claims_must_have_their_form),
		TEST(another_jti_is_another_slot),
		TEST(a_key_that_was_taken_out_is_taken_by_nobody),
		TEST(an_organizations_issuer_is_read_by_its_rules),
		TEST(an_organizations_issuer_says_no_more_than_its_rules),
		cmocka_unit_test(rules_have_their_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
