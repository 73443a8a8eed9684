/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ctenc.h"
#include "engine/issuer_priv.h"
#include "support.h"

#define NAME "https://auth.example"
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static void issuer_world(struct world *w)
{
	world_prepare(w);
	w->options.issuer = (struct ks_engine_issuer){
		.name = NAME,
		.audiences = {"https://api.example"},
		.audience_count = 1,
		.rotate_ms = 90 * DAY,
		.publish_ms = HOUR,
		.make_keys = true,
	};
	if (world_open(w) != KS_OK)
		fail_msg("%s", w->problem.text);
}

/* ---- what is published ---- */

struct seen {
	size_t count;
	struct {
		char kid[KS_STORE_KID_MAX + 1];
		char algorithm[KS_STORE_ALGORITHM_MAX + 1];
		enum ks_issuer_key_state state;
		int64_t signs_from, published_until;
	} keys[KS_RING_ISSUER_KEYS_MAX];
};

static void take(void *ctx, const struct ks_issuer_key_view *key)
{
	struct seen *s = ctx;

	(void)snprintf(s->keys[s->count].kid, sizeof(s->keys[0].kid), "%.*s", KS_STR_ARG(key->kid));
	(void)snprintf(s->keys[s->count].algorithm, sizeof(s->keys[0].algorithm), "%.*s", KS_STR_ARG(key->algorithm));
	s->keys[s->count].state = key->state;
	s->keys[s->count].signs_from = key->signs_from;
	s->keys[s->count].published_until = key->published_until;
	s->count++;
}

/* What is shown is what the ring has. */
static struct seen see(struct world *w)
{
	struct ks_engine_reader reader;
	const struct ks_ring_issuer *issuer;
	struct seen s = {0};

	ks_issuer_keys(w->engine, take, &s);
	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	issuer = ks_ring_issuer_by_id(ks_ringmap_reader_ring(reader.ring), KS_RING_ISSUER_OWN);
	assert_non_null(issuer);
	assert_int_equal(issuer->key_count, s.count);
	for (size_t i = 0; i < s.count; i++)
		assert_non_null(ks_ring_issuer_key(issuer, ks_str_c(s.keys[i].kid)));
	ks_engine_reader_close(&reader);
	return s;
}

/* ---- steps ---- */

static enum ks_err rotate(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_issuer_rotate(tx, &actor, *(enum ks_issuer_rotation *)ctx, refusal);
}

static void must_rotate(struct world *w, enum ks_issuer_rotation how)
{
	assert_int_equal(world_change(w, rotate, &how), KS_OK);
}

static enum ks_err pass(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_tx then = *tx;

	(void)refusal;
	then.now_ms += *(int64_t *)ctx;
	return ks_issuer_do_due(&then);
}

/* The clock stands `ms` further. */
static void let_pass(struct world *w, int64_t ms)
{
	assert_int_equal(world_change(w, pass, &ms), KS_OK);
}

static const struct ks_digest slot = {{1, 2, 3, 4}};

static enum ks_err mint(struct world *w, int64_t life_ms, struct ks_buf *out)
{
	int64_t now_ms = ks_engine_now_ms();

	return ks_issuer_mint_session(w->engine, &slot, 77, now_ms, now_ms + life_ms, out);
}

/* The kid of a token that is good by the ring; fails the test where it is not. */
static void check_token(struct world *w, struct ks_str token, char ret_kid[KS_STORE_KID_MAX + 1])
{
	KS_AUTO(ks_jose_key_free_at) struct ks_jose_key *key = NULL;
	const struct ks_ring_issuer_key *published;
	const struct ks_ring_issuer *issuer;
	struct ks_engine_reader reader;
	struct ks_digest masked, ref;
	struct ks_buf none = {0};
	struct ks_claims claims;
	struct ks_jws jws;
	struct ks_str value, text;
	size_t n;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	issuer = ks_ring_issuer(ks_ringmap_reader_ring(reader.ring), KS_STR(NAME), KS_STR("https://api.example"));
	assert_non_null(issuer);
	assert_int_equal(ks_jws_parse(token, &jws), KS_JOSE_OK);
	assert_true(ks_jws_typ_is(&jws, KS_STR(KS_JWT_TYPE_SESSION)));
	published = ks_ring_issuer_key(issuer, jws.kid);
	assert_non_null(published);
	assert_int_equal(ks_jwk_parse(ks_ring_issuer_text(issuer, published->jwk), &key), KS_JOSE_OK);
	assert_int_equal(ks_jose_verify(key, &jws), KS_JOSE_OK);
	assert_true(ks_json_check(jws.payload));
	assert_int_equal(ks_claims_parse(jws.payload, &claims), KS_JOSE_OK);
	assert_int_equal(claims.jti.n, KS_JWT_ID_LEN);
	assert_int_equal(ks_claims_audiences(&claims), 2);
	assert_true(ks_json_member(jws.payload, KS_STR("ks_ref"), &value) && ks_json_string(value, &none, &text));
	assert_int_equal(text.n, KS_JWT_REF_LEN);
	assert_true(ks_base64url_decode(text, masked.bytes, sizeof(masked.bytes), &n));
	assert_false(ks_ct_equal(masked.bytes, slot.bytes, sizeof(slot.bytes)));
	assert_int_equal(ks_jwt_mask(published->mask, claims.jti, &masked, &ref), KS_OK);
	assert_memory_equal(ref.bytes, slot.bytes, sizeof(slot.bytes));
	(void)snprintf(ret_kid, KS_STORE_KID_MAX + 1, "%.*s", KS_STR_ARG(jws.kid));
	ks_engine_reader_close(&reader);
}

static void signs_with(struct world *w, const char *kid)
{
	char token[KS_ISSUER_JWT_MAX], used[KS_STORE_KID_MAX + 1];
	struct ks_buf b = KS_BUF(token);

	assert_int_equal(mint(w, HOUR, &b), KS_OK);
	check_token(w, ks_buf_str(&b), used);
	assert_string_equal(used, kid);
}

/* ---- tests ---- */

static void a_first_key_is_made_and_signs(void **state)
{
	struct world w;
	struct seen s;

	(void)state;
	issuer_world(&w);
	s = see(&w);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.keys[0].state, KS_ISSUER_KEY_CURRENT);
	assert_string_equal(s.keys[0].algorithm, "ES256");
	signs_with(&w, s.keys[0].kid);
	assert_int_equal(audit_count(&w, "issuer.sign"), 1);
	assert_in_step(&w);
	world_free(&w);
}

static void keys_outlive_restarts_and_rebuilds(void **state)
{
	struct world w;
	struct seen before, after;

	(void)state;
	issuer_world(&w);
	must_rotate(&w, KS_ISSUER_ROTATE);
	before = see(&w);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	after = see(&w);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(ks_engine_rebuild(w.engine), KS_OK);
	after = see(&w);
	assert_memory_equal(&before, &after, sizeof(before));
	world_close(&w);
	w.options.rebuild_ring = true;
	assert_int_equal(world_open(&w), KS_OK);
	signs_with(&w, see(&w).keys[0].kid);
	world_free(&w);
}

static void a_next_key_is_published_before_it_signs(void **state)
{
	struct world w;
	struct seen s;

	(void)state;
	issuer_world(&w);
	must_rotate(&w, KS_ISSUER_ROTATE);
	s = see(&w);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.keys[1].state, KS_ISSUER_KEY_NEXT);
	signs_with(&w, s.keys[0].kid);
	must_rotate(&w, KS_ISSUER_ROTATE);
	assert_int_equal(see(&w).count, 2);
	let_pass(&w, HOUR - 60000);
	signs_with(&w, s.keys[0].kid);
	let_pass(&w, HOUR + 1);
	signs_with(&w, s.keys[1].kid);
	assert_int_equal(see(&w).keys[0].state, KS_ISSUER_KEY_RETIRED);
	world_free(&w);
}

static void a_retired_key_stays_until_its_tokens_have_ended(void **state)
{
	char token[KS_ISSUER_JWT_MAX], kid[KS_STORE_KID_MAX + 1];
	struct ks_buf b = KS_BUF(token);
	struct world w;

	(void)state;
	issuer_world(&w);
	assert_int_equal(mint(&w, KS_ISSUER_LIFETIME_MAX_MS, &b), KS_OK);
	must_rotate(&w, KS_ISSUER_ROTATE_NOW);
	assert_int_equal(see(&w).count, 2);
	check_token(&w, ks_buf_str(&b), kid);
	let_pass(&w, KS_ISSUER_LIFETIME_MAX_MS);
	check_token(&w, ks_buf_str(&b), kid);
	let_pass(&w, KS_ISSUER_LIFETIME_MAX_MS + HOUR);
	assert_int_equal(see(&w).count, 1);
	assert_int_equal(audit_count(&w, "issuer.withdraw"), 1);
	world_free(&w);
}

static void the_clock_rotates(void **state)
{
	struct world w;
	struct seen first, s;

	(void)state;
	issuer_world(&w);
	first = see(&w);
	let_pass(&w, 90 * DAY - HOUR - 60000);
	assert_int_equal(see(&w).count, 1);
	let_pass(&w, 90 * DAY - HOUR + 1);
	s = see(&w);
	assert_int_equal(s.count, 2);
	signs_with(&w, first.keys[0].kid);
	let_pass(&w, 90 * DAY + 1);
	signs_with(&w, s.keys[1].kid);
	world_free(&w);
}

static void withdrawing_ends_what_the_others_signed(void **state)
{
	struct world w;
	struct seen before, after;

	(void)state;
	issuer_world(&w);
	must_rotate(&w, KS_ISSUER_ROTATE_NOW);
	must_rotate(&w, KS_ISSUER_ROTATE);
	before = see(&w);
	assert_int_equal(before.count, 3);
	must_rotate(&w, KS_ISSUER_ROTATE_WITHDRAW);
	after = see(&w);
	assert_int_equal(after.count, 1);
	for (size_t i = 0; i < before.count; i++)
		assert_string_not_equal(before.keys[i].kid, after.keys[0].kid);
	signs_with(&w, after.keys[0].kid);
	assert_in_step(&w);
	world_free(&w);
}

static enum ks_err lose_issuer(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)ctx;
	(void)refusal;
	ks_ring_drop_issuer_keys(ks_ringmap_writer_ring(tx->engine->ringmap), KS_RING_ISSUER_OWN);
	return KS_OK;
}

static void a_ring_without_the_issuer_is_found_out(void **state)
{
	struct ks_engine_report report;
	struct world w;

	(void)state;
	issuer_world(&w);
	assert_int_equal(world_change(&w, lose_issuer, NULL), KS_OK);
	assert_int_equal(ks_engine_check(w.engine, &report), KS_OK);
	assert_true(report.differences > 0);
	assert_int_equal(ks_engine_rebuild(w.engine), KS_OK);
	assert_in_step(&w);
	world_free(&w);
}

static void another_algorithm_comes_with_the_next_key(void **state)
{
	struct world w;
	struct seen s;

	(void)state;
	issuer_world(&w);
	world_close(&w);
	w.options.issuer.algorithm = "EdDSA";
	assert_int_equal(world_open(&w), KS_OK);
	s = see(&w);
	assert_int_equal(s.count, 2);
	assert_string_equal(s.keys[1].algorithm, "EdDSA");
	signs_with(&w, s.keys[0].kid);
	let_pass(&w, HOUR + 1);
	signs_with(&w, s.keys[1].kid);
	world_free(&w);
}

static enum ks_err spoil_row(void *ctx, const struct ks_issuer_key_row *row)
{
	struct ks_issuer_key_row spoilt = *row;

	spoilt.sealed = KS_STR("not what was sealed");
	return ks_store_issuer_key_update(ctx, &spoilt);
}

static enum ks_err spoil(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)ctx;
	(void)refusal;
	return ks_store_issuer_keys(tx->store, spoil_row, tx->store);
}

static void a_key_that_cannot_be_opened_is_replaced(void **state)
{
	struct world w;
	struct seen before, after;

	(void)state;
	issuer_world(&w);
	before = see(&w);
	assert_int_equal(world_change(&w, spoil, NULL), KS_OK);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	after = see(&w);
	assert_int_equal(after.count, 1);
	assert_string_not_equal(before.keys[0].kid, after.keys[0].kid);
	signs_with(&w, after.keys[0].kid);
	world_free(&w);
}

static void bad_claims_are_refused(void **state)
{
	char token[KS_ISSUER_JWT_MAX], large[KS_JWS_PAYLOAD_MAX + 1];
	struct ks_issuer_claims good = {.subject = KS_STR("key_1"), .now_ms = 1000000, .expires_ms = 1300000}, c;
	struct ks_str audiences[KS_ISSUER_AUDIENCES_MAX + 1] = {{0}};
	struct ks_buf b = KS_BUF(token);
	struct world w;

	(void)state;
	memset(large, 'x', sizeof(large));
	issuer_world(&w);
#define REFUSED(change, err)                                        \
	c = good;                                                   \
	change;                                                     \
	assert_int_equal(ks_issuer_mint(w.engine, &c, &b), (err))
	REFUSED((void)0, KS_OK);
	REFUSED(c.subject = KS_STR(""), KS_MALFORMED);
	REFUSED(c.expires_ms = c.now_ms, KS_MALFORMED);
	REFUSED(c.expires_ms = c.now_ms + KS_ISSUER_LIFETIME_MAX_MS + 1, KS_TOO_LARGE);
	REFUSED((c.audiences = audiences, c.audience_count = KS_ISSUER_AUDIENCES_MAX + 1), KS_MALFORMED);
	REFUSED(c.call_id = ks_str_of(large, sizeof(large)), KS_TOO_LARGE);
#undef REFUSED
	world_free(&w);
}

static void without_an_issuer_nothing_is_signed(void **state)
{
	enum ks_issuer_rotation how = KS_ISSUER_ROTATE;
	char token[KS_ISSUER_JWT_MAX];
	struct ks_buf b = KS_BUF(token);
	struct world w;

	(void)state;
	world_new(&w);
	assert_int_equal(mint(&w, HOUR, &b), KS_NOT_FOUND);
	assert_int_equal(world_change(&w, rotate, &how), KS_NOT_FOUND);
	assert_false(ks_issuer_has_audience(w.engine, KS_STR("")));
	world_free(&w);
}

static void more_keys_than_are_published_are_refused(void **state)
{
	enum ks_issuer_rotation how = KS_ISSUER_ROTATE_NOW;
	struct world w;
	enum ks_err err = KS_OK;
	unsigned count = 0;

	(void)state;
	issuer_world(&w);
	for (; err == KS_OK && count < 2 * KS_RING_ISSUER_KEYS_MAX; count++)
		err = world_change(&w, rotate, &how);
	assert_int_equal(err, KS_CONFLICT);
	assert_int_equal(count, KS_RING_ISSUER_KEYS_MAX);
	assert_int_equal(see(&w).count, KS_RING_ISSUER_KEYS_MAX);
	must_rotate(&w, KS_ISSUER_ROTATE_WITHDRAW);
	assert_int_equal(see(&w).count, 1);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_key_is_made_and_signs),
		cmocka_unit_test(keys_outlive_restarts_and_rebuilds),
		cmocka_unit_test(a_next_key_is_published_before_it_signs),
		cmocka_unit_test(a_retired_key_stays_until_its_tokens_have_ended),
		cmocka_unit_test(the_clock_rotates),
		cmocka_unit_test(withdrawing_ends_what_the_others_signed),
		cmocka_unit_test(a_ring_without_the_issuer_is_found_out),
		cmocka_unit_test(another_algorithm_comes_with_the_next_key),
		cmocka_unit_test(a_key_that_cannot_be_opened_is_replaced),
		cmocka_unit_test(bad_claims_are_refused),
		cmocka_unit_test(without_an_issuer_nothing_is_signed),
		cmocka_unit_test(more_keys_than_are_published_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
