/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "engine/events.h"
#include "engine/leaks.h"
#include "support.h"

#define DAY INT64_C(86400000)
#define OVERLAP (2 * DAY)

static int set_up(void **state)
{
	static struct world w;

	world_prepare(&w);
	w.options.leak_overlap_ms = OVERLAP;
	assert_int_equal(world_open(&w), KS_OK);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

static void act_by(struct world *w, enum ks_leak_action action)
{
	world_close(w);
	w->options.leak_action = action;
	assert_int_equal(world_open(w), KS_OK);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct reporting {
	const char *token;
	int64_t now_ms;
	enum ks_leak_found found;
};

static enum ks_err run_report(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct reporting *r = ctx;
	struct ks_leak leak = {.source = KS_LEAK_SOURCE_GITHUB,
			       .url = KS_STR("https://git.example/a?b=\"c\""),
			       .note = KS_STR("seen \xc3\xa4")};
	struct ks_tx then = *tx;

	(void)refusal;
	then.now_ms = r->now_ms;
	KS_TRY(ks_sha256(ks_str_c(r->token), &leak.digest));
	return ks_leak_report(&then, &leak, &r->found);
}

static enum ks_leak_found report_at(struct world *w, const char *token, int64_t at)
{
	struct reporting r = {.token = token, .now_ms = at, .found = KS_LEAK_UNKNOWN};

	assert_int_equal(world_change(w, run_report, &r), KS_OK);
	assert_in_step(w);
	return r.found;
}

static enum ks_leak_found report(struct world *w, const char *token)
{
	return report_at(w, token, now_ms());
}

struct told {
	size_t count;
	char data[KS_STORE_DETAIL_MAX + 1];
};

static enum ks_err take_event(void *ctx, const struct ks_event_row *row)
{
	struct told *told = ctx;

	if (told->count++ == 0)
		(void)snprintf(told->data, sizeof(told->data), "%.*s", (int)row->data.n, row->data.p);
	return KS_OK;
}

static struct told told_of(struct world *w, enum ks_event_type type)
{
	struct told told = {0};
	struct ks_event_filter filter = {
		.type = ks_str_c(ks_event_name(type)), .from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 1000};
	struct ks_engine_reader reader;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_events(reader.store, &filter, take_event, &told), KS_OK);
	ks_engine_reader_close(&reader);
	return told;
}

static void a_token_of_nobody_does_nothing(void **state)
{
	struct world *w = *state;

	act_by(w, KS_LEAK_REVOKE);
	assert_int_equal(report(w, "ks_00000000000000000000000000000000"), KS_LEAK_UNKNOWN);
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 0);
	assert_int_equal(audit_count(w, "key.leak"), 0);
}

static void a_key_that_has_ended_is_left_as_it_is(void **state)
{
	struct world *w = *state;
	struct ks_key_made revoked = make_key(w, 0, "contacts:read");
	struct ks_key_input input = key_input("ends", 0, "contacts:read");
	struct ks_key_made expired;

	act_by(w, KS_LEAK_REVOKE);
	input.expires_at = now_ms() + 3600000;
	assert_int_equal(create_key(w, NULL, &input, &expired), KS_OK);
	assert_int_equal(revoke_key(w, NULL, revoked.id), KS_OK);
	assert_int_equal(report(w, revoked.token), KS_LEAK_ENDED);
	assert_int_equal(report_at(w, expired.token, now_ms() + 7200000), KS_LEAK_ENDED);
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 0);
}

static void alert_tells_and_leaves_the_key(void **state)
{
	struct world *w = *state;
	struct ks_key_made key = make_key(w, 0, "contacts:read");
	struct audit_seen seen;
	struct told told;

	assert_int_equal(report(w, key.token), KS_LEAK_ACTIVE);
	assert_int_equal(ask(w, key.token), KS_REASON_OK);
	told = told_of(w, KS_EVENT_KEY_LEAKED);
	assert_int_equal(told.count, 1);
	assert_non_null(strstr(told.data, "\"source\":\"github\",\"action\":\"alert\",\"url\":\"https://git.example/a?b=\\\"c\\\"\","
					  "\"note\":\"seen \xc3\xa4\",\"ends_at\":null}"));
	assert_null(strstr(told.data, key.token));
	see_audit(w, "key.leak", &seen);
	assert_string_equal(seen.actor, "system");
	/* Again within a day: told already. After it: told again. */
	assert_int_equal(report(w, key.token), KS_LEAK_ACTIVE);
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 1);
	assert_int_equal(report_at(w, key.token, now_ms() + DAY + 1000), KS_LEAK_ACTIVE);
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 2);
	assert_int_equal(audit_count(w, "key.leak"), 2);
}

static void revoke_stops_it_at_once(void **state)
{
	struct world *w = *state;
	struct ks_key_made key = make_key(w, 0, "contacts:read");
	struct key_seen seen;

	assert_int_equal(report(w, key.token), KS_LEAK_ACTIVE);
	/* Told of already, but not yet acted upon in this way. */
	act_by(w, KS_LEAK_REVOKE);
	assert_int_equal(report(w, key.token), KS_LEAK_ACTIVE);
	assert_int_equal(ask(w, key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_true(see_key(w, key.id, &seen));
	assert_string_equal(seen.revoked_by, "system");
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 2);
	assert_int_equal(told_of(w, KS_EVENT_KEY_REVOKED).count, 1);
	assert_int_equal(audit_count(w, "key.revoke"), 1);
	assert_int_equal(report(w, key.token), KS_LEAK_ENDED);
}

struct rotation {
	uint64_t key;
	enum ks_err err;
	struct ks_key_made made;
};

static enum ks_err rotate(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct rotation *r = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_keys_rotate(tx, &local, r->key, KS_ROTATE_OVERLAP_MAX, false, 0, &r->made, refusal);
}

static void rotate_gives_its_holders_time(void **state)
{
	struct world *w = *state;
	struct ks_key_made key = make_key(w, 0, "contacts:read");
	struct rotation rotation = {.key = key.id};
	int64_t now = now_ms();
	struct key_seen seen;

	act_by(w, KS_LEAK_ROTATE);
	assert_int_equal(report_at(w, key.token, now), KS_LEAK_ACTIVE);
	assert_int_equal(ask(w, key.token), KS_REASON_OK);
	assert_true(see_key(w, key.id, &seen));
	assert_int_equal(seen.row.retires_at, now + OVERLAP);
	/* A report puts no end off, and the second tells nothing new. */
	assert_int_equal(report_at(w, key.token, now + 1000), KS_LEAK_ACTIVE);
	assert_true(see_key(w, key.id, &seen));
	assert_int_equal(seen.row.retires_at, now + OVERLAP);
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 1);
	/* Nor does a rotation, whose successor goes on. */
	assert_int_equal(world_change(w, rotate, &rotation), KS_OK);
	assert_true(see_key(w, key.id, &seen));
	assert_int_equal(seen.row.retires_at, now + OVERLAP);
	assert_true(see_key(w, rotation.made.id, &seen));
	assert_int_equal(seen.row.retires_at, KS_TIME_NONE);
	assert_int_equal(ask(w, rotation.made.token), KS_REASON_OK);
	assert_in_step(w);
}

static void the_end_comes_by_the_clock(void **state)
{
	struct world *w = *state;
	struct ks_key_made key = make_key(w, 0, "contacts:read");
	struct rotation rotation = {.key = key.id};

	act_by(w, KS_LEAK_ROTATE);
	assert_int_equal(report_at(w, key.token, now_ms() - OVERLAP), KS_LEAK_ACTIVE);
	assert_int_equal(ask(w, key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(report(w, key.token), KS_LEAK_ENDED);
	assert_int_equal(world_change(w, rotate, &rotation), KS_CONFLICT);
}

static void runtime_keys_are_never_ended(void **state)
{
	struct world *w = *state;
	struct ks_key_input input = key_input("runtime", 0, "contacts:read");
	struct ks_key_made key;

	input.kind_given = true;
	input.kind = KS_KIND_RUNTIME;
	assert_int_equal(create_key(w, NULL, &input, &key), KS_OK);
	for (enum ks_leak_action action = KS_LEAK_ROTATE; action <= KS_LEAK_REVOKE; action++) {
		act_by(w, action);
		assert_int_equal(report(w, key.token), KS_LEAK_ACTIVE);
		assert_int_equal(ask(w, key.token), KS_REASON_OK);
	}
	assert_int_equal(told_of(w, KS_EVENT_KEY_LEAKED).count, 1);
	assert_non_null(strstr(told_of(w, KS_EVENT_KEY_LEAKED).data, "\"action\":\"alert\""));
}

static void actions_are_read_exactly(void **state)
{
	enum ks_leak_action action = KS_LEAK_ALERT;

	(void)state;
	assert_true(ks_leak_action_parse(KS_STR("revoke"), &action));
	assert_int_equal(action, KS_LEAK_REVOKE);
	assert_false(ks_leak_action_parse(KS_STR("Revoke"), &action));
	assert_false(ks_leak_action_parse(KS_STR(""), &action));
	assert_int_equal(action, KS_LEAK_REVOKE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_of_nobody_does_nothing),
		TEST(a_key_that_has_ended_is_left_as_it_is),
		TEST(alert_tells_and_leaves_the_key),
		TEST(revoke_stops_it_at_once),
		TEST(rotate_gives_its_holders_time),
		TEST(the_end_comes_by_the_clock),
		TEST(runtime_keys_are_never_ended),
		cmocka_unit_test(actions_are_read_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
