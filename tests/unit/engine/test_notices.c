/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "engine/events.h"
#include "engine/notices.h"
#include "store/store_priv.h"
#include "support.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define DAY (INT64_C(86400) * SECOND)

struct fixture {
	struct world w;
	int64_t start;               /* days are counted from here */
};

static struct fixture fixture;

/* The usage thread sleeps: what is noticed is noticed when a test says so, at the time that it says. */
static int set_up(void **state)
{
	struct timespec t;

	fixture = (struct fixture){0};
	world_prepare(&fixture.w);
	fixture.w.options.usage_flush_ms = 3600000;
	fixture.w.options.notice = (struct ks_notice_options){
		.leads_ms = {30 * DAY, 7 * DAY, DAY},
		.lead_count = 3,
		.unused_ms = 90 * DAY,
		.networks = true,
		.denials = 100,
		.denials_ms = 5 * MINUTE,
		.unknown = 1000,
	};
	assert_int_equal(world_open(&fixture.w), KS_OK);
	clock_gettime(CLOCK_REALTIME, &t);
	fixture.start = (int64_t)t.tv_sec * 1000;
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	world_free(&f->w);
	return 0;
}

static void reopen(struct fixture *f)
{
	world_close(&f->w);
	assert_int_equal(world_open(&f->w), KS_OK);
}

/* ---- what was told ---- */

struct told {
	size_t count;
	char object[KS_ID_TEXT_SIZE];  /* of the newest */
	char data[KS_STORE_DETAIL_MAX + 1];
	uint64_t key;                  /* 0: of any */
};

static enum ks_err take_event(void *ctx, const struct ks_event_row *row)
{
	struct told *told = ctx;
	uint64_t id;

	if (told->key && (!ks_id_parse(row->object, KS_ID_KEY, &id) || id != told->key))
		return KS_OK;
	if (told->count++ == 0) {
		(void)snprintf(told->object, sizeof(told->object), "%.*s", (int)row->object.n, row->object.p);
		(void)snprintf(told->data, sizeof(told->data), "%.*s", (int)row->data.n, row->data.p);
	}
	return KS_OK;
}

static struct told told_of(struct fixture *f, enum ks_event_type type, uint64_t key)
{
	static struct told told;
	struct ks_event_filter filter = {
		.type = ks_str_c(ks_event_name(type)), .from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 100000};
	struct ks_engine_reader reader;

	told = (struct told){.key = key};
	assert_int_equal(ks_engine_reader_open(f->w.engine, &reader), KS_OK);
	assert_int_equal(ks_store_events(reader.store, &filter, take_event, &told), KS_OK);
	ks_engine_reader_close(&reader);
	return told;
}

static size_t count_of(struct fixture *f, enum ks_event_type type, uint64_t key)
{
	return told_of(f, type, key).count;
}

/* ---- keys ---- */

static struct ks_key_made key_that_ends(struct fixture *f, int64_t expires_at, bool imported)
{
	struct ks_key_input input = key_input("a key", 0, "contacts:read");
	static uint8_t next_digest;
	struct ks_key_made made;

	input.expires_at = expires_at;
	input.imported = imported;
	if (imported)
		input.digest.bytes[0] = ++next_digest;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	return made;
}

struct rotation {
	uint64_t key;
	struct ks_key_made made;
};

static enum ks_err rotate(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct rotation *r = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_keys_rotate(tx, &local, r->key, 2592000, false, 0, &r->made, refusal);
}

/* ---- ends ---- */

struct pass {
	int64_t now_ms;
	bool more;
};

static enum ks_err run_ends(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct pass *pass = ctx;
	struct ks_tx then = *tx;

	(void)refusal;
	then.now_ms = pass->now_ms;
	return ks_notice_ends(&then, &pass->more);
}

static void notice_ends(struct fixture *f, int64_t now_ms)
{
	struct pass pass = {.now_ms = now_ms, .more = true};

	while (pass.more)
		assert_int_equal(world_change(&f->w, run_ends, &pass), KS_OK);
}

static void reminders_come_once_each_over_restarts(void **state)
{
	struct fixture *f = *state;
	int64_t end = f->start + 40 * DAY + 5 * MINUTE;
	uint64_t key = key_that_ends(f, end, false).id;
	uint64_t imported = key_that_ends(f, end, true).id;
	size_t before[] = {0, 0};
	static const struct {
		int day;
		const char *lead;
	} due[] = {{11, "\"before_s\":2592000,"}, {34, "\"before_s\":604800,"}, {40, "\"before_s\":86400,"}};
	size_t at = 0;

	for (int day = 0; day < 45; day++) {
		struct told told;

		notice_ends(f, f->start + day * DAY);
		notice_ends(f, f->start + day * DAY + MINUTE);
		if (day % 7 == 4)
			reopen(f);
		notice_ends(f, f->start + day * DAY + 2 * MINUTE);
		told = told_of(f, KS_EVENT_KEY_EXPIRING, key);
		assert_int_equal(told.count - before[0], at < KS_ARRAY_LEN(due) && due[at].day == day);
		if (told.count > before[0])
			assert_non_null(strstr(told.data, due[at++].lead));
		before[0] = told.count;
	}
	assert_int_equal(at, 3);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, imported), 3);
}

static void keys_that_need_no_reminder_get_none(void **state)
{
	struct fixture *f = *state;
	int64_t end = f->start + 40 * DAY;
	uint64_t org = make_tenant(&f->w, KS_TENANT_KIND_ORGANIZATION, 0, "gone");
	struct ks_key_input input = key_input("of a tenant", org, "contacts:read");
	struct rotation rotation = {.key = key_that_ends(f, end, false).id};
	uint64_t revoked = key_that_ends(f, end, false).id;
	uint64_t never = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t brief = key_that_ends(f, f->start + 5 * DAY, false).id;
	uint64_t very_brief = key_that_ends(f, f->start + DAY / 2, false).id;
	struct ks_key_made of_tenant;

	input.expires_at = end;
	assert_int_equal(create_key(&f->w, NULL, &input, &of_tenant), KS_OK);
	assert_int_equal(world_change(&f->w, rotate, &rotation), KS_OK);
	assert_int_equal(revoke_key(&f->w, NULL, revoked), KS_OK);
	assert_int_equal(delete_tenant(&f->w, NULL, org), KS_OK);
	for (int day = 0; day < 45; day++)
		notice_ends(f, f->start + day * DAY);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, rotation.key), 0);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, revoked), 0);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, never), 0);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, of_tenant.id), 0);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, very_brief), 0);
	/* The lead of a day is all that its life is longer than. */
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, brief), 1);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, rotation.made.id), 3);
}

static void after_a_long_stop_the_nearest_reminder_is_enough(void **state)
{
	struct fixture *f = *state;
	uint64_t key = key_that_ends(f, f->start + 40 * DAY, false).id;
	uint64_t ended = key_that_ends(f, f->start + 35 * DAY, false).id;

	notice_ends(f, f->start);
	notice_ends(f, f->start + 39 * DAY + DAY / 2);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, key), 1);
	assert_non_null(strstr(told_of(f, KS_EVENT_KEY_EXPIRING, key).data, "\"before_s\":86400,"));
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, ended), 0);
	notice_ends(f, f->start + 39 * DAY + DAY / 2 + MINUTE);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, key), 1);
}

static void a_clock_that_goes_back_repeats_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t key = key_that_ends(f, f->start + 40 * DAY, false).id;

	notice_ends(f, f->start + 12 * DAY);
	notice_ends(f, f->start);
	notice_ends(f, f->start + 12 * DAY);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, key), 1);
}

static void a_new_lead_speaks_of_what_no_shorter_one_does(void **state)
{
	struct fixture *f = *state;
	uint64_t near = key_that_ends(f, f->start + 10 * DAY, false).id;
	uint64_t far = key_that_ends(f, f->start + 20 * DAY, false).id;

	f->w.options.notice.lead_count = 1;
	f->w.options.notice.leads_ms[0] = 7 * DAY;
	reopen(f);
	notice_ends(f, f->start);
	f->w.options.notice.leads_ms[0] = 15 * DAY;
	f->w.options.notice.leads_ms[1] = 7 * DAY;
	f->w.options.notice.lead_count = 2;
	reopen(f);
	notice_ends(f, f->start + 6 * DAY);
	/* Four and fourteen days are left. */
	assert_non_null(strstr(told_of(f, KS_EVENT_KEY_EXPIRING, near).data, "\"before_s\":604800,"));
	assert_int_equal(told_of(f, KS_EVENT_KEY_EXPIRING, near).count, 1);
	assert_non_null(strstr(told_of(f, KS_EVENT_KEY_EXPIRING, far).data, "\"before_s\":1296000,"));
}

#define MANY 2500

static struct ks_key_made many[MANY];

static enum ks_err make_many(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_key_input input = key_input("one of many", 0, "contacts:read");
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	input.expires_at = *(const int64_t *)ctx;
	for (size_t i = 0; i < MANY; i++)
		KS_TRY(ks_keys_create(tx, &local, &input, &many[i], refusal));
	return KS_OK;
}

static enum ks_err small_segments(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)ctx;
	(void)refusal;
	ks_store_forget_memos(tx->store);
	tx->store->segment_keys = 700;
	return KS_OK;
}

/* More than one job may tell of, ending at one instant, in segments of which some are new. */
static void each_of_many_is_told_of_once(void **state)
{
	struct fixture *f = *state;
	int64_t end = f->start + 10 * DAY;

	assert_int_equal(world_change(&f->w, small_segments, NULL), KS_OK);
	(void)key_that_ends(f, end, false);
	notice_ends(f, f->start);
	assert_int_equal(world_change(&f->w, make_many, &end), KS_OK);
	for (int64_t hour = 0; hour < 11 * 24; hour += 5)
		notice_ends(f, f->start + hour * 60 * MINUTE);
	assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, 0), 2 * (MANY + 1));
	for (size_t i = 0; i < MANY; i += 311)
		assert_int_equal(count_of(f, KS_EVENT_KEY_EXPIRING, many[i].id), 2);
}

/* ---- disuse ---- */

static enum ks_err run_walk(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_tx then = *tx;

	(void)refusal;
	then.now_ms = *(const int64_t *)ctx;
	return ks_notice_walk(&then);
}

/* Once over all keys and back to the beginning. */
static void walk(struct fixture *f, int64_t now_ms)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(world_change(&f->w, run_walk, &now_ms), KS_OK);
}

struct using {
	struct ks_notice_use use;
	enum ks_reason reason;
	uint64_t count;
};

/* As the flush does. */
static enum ks_err run_use(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const struct using *u = ctx;
	struct ks_tx then = *tx;
	struct ks_usage_row row = {.key = u->use.key,
				   .minute = u->use.at - u->use.at % MINUTE,
				   .reason = u->reason,
				   .scope = KS_STR(""),
				   .count = u->count};

	(void)refusal;
	then.now_ms = u->use.at;
	if (u->reason == KS_REASON_OK)
		KS_TRY(ks_notice_use(&then, &u->use));
	KS_TRY(ks_store_usage_add(tx->store, &row, u->reason == KS_REASON_OK ? u->use.at : KS_TIME_NONE, KS_STR("")));
	return ks_notice_denials(&then, u->use.key);
}

static void use_from(struct fixture *f, uint64_t key, int64_t at, const char *address)
{
	struct using u = {.use = {.key = key, .at = at}, .reason = KS_REASON_OK, .count = 1};

	if (address)
		assert_true(ks_addr_parse(ks_str_c(address), &u.use.address));
	assert_int_equal(world_change(&f->w, run_use, &u), KS_OK);
}

static void disuse_is_told_of_once_each_time(void **state)
{
	struct fixture *f = *state;
	uint64_t unused = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t used = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t revoked = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t ends = key_that_ends(f, f->start + 50 * DAY, false).id;

	assert_int_equal(revoke_key(&f->w, NULL, revoked), KS_OK);
	walk(f, f->start + 89 * DAY);
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, 0), 0);
	use_from(f, used, f->start + 89 * DAY, NULL);
	walk(f, f->start + 91 * DAY);
	walk(f, f->start + 92 * DAY);
	reopen(f);
	walk(f, f->start + 93 * DAY);
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, unused), 1);
	assert_non_null(strstr(told_of(f, KS_EVENT_KEY_UNUSED, unused).data, "\"last_used_at\":null"));
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, used), 0);
	walk(f, f->start + 182 * DAY);
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, unused), 2);
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, used), 1);
	assert_null(strstr(told_of(f, KS_EVENT_KEY_UNUSED, used).data, "\"last_used_at\":null"));
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, revoked), 0);
	assert_int_equal(count_of(f, KS_EVENT_KEY_UNUSED, ends), 0);
}

static void use_after_disuse_is_told_of(void **state)
{
	struct fixture *f = *state;
	uint64_t first = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t second = key_that_ends(f, KS_TIME_NONE, false).id;

	use_from(f, first, f->start + DAY, NULL);
	use_from(f, first, f->start + 90 * DAY, NULL);
	assert_int_equal(count_of(f, KS_EVENT_KEY_USED_AGAIN, 0), 0);
	use_from(f, first, f->start + 180 * DAY + MINUTE, NULL);
	use_from(f, first, f->start + 180 * DAY + 2 * MINUTE, NULL);
	assert_int_equal(count_of(f, KS_EVENT_KEY_USED_AGAIN, first), 1);
	/* The first use of all, long after the key was made. */
	use_from(f, second, f->start + 200 * DAY, NULL);
	assert_int_equal(count_of(f, KS_EVENT_KEY_USED_AGAIN, second), 1);
	assert_non_null(strstr(told_of(f, KS_EVENT_KEY_USED_AGAIN, second).data, "\"last_used_at\":null"));
}

/* ---- networks ---- */

static enum ks_err count_network(void *ctx, const struct ks_network_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

static size_t networks_of(struct fixture *f, uint64_t key)
{
	struct ks_engine_reader reader;
	size_t count = 0;

	assert_int_equal(ks_engine_reader_open(f->w.engine, &reader), KS_OK);
	assert_int_equal(ks_store_networks(reader.store, key, count_network, &count), KS_OK);
	ks_engine_reader_close(&reader);
	return count;
}

static void a_new_network_is_told_of_once(void **state)
{
	static const struct {
		const char *address;
		const char *network; /* NULL: nothing is told */
	} uses[] = {
		{"203.0.113.7", NULL},          {"203.0.113.200", NULL},  {"203.0.114.7", "203.0.114.0/24"},
		{"203.0.114.9", NULL},          {"203.0.113.9", NULL},    {"2001:db8:1::5", "2001:db8:1::/48"},
		{"2001:db8:1:ffff::9", NULL},   {"2001:db8:2::", "2001:db8:2::/48"},
		{"::ffff:203.0.113.99", NULL},  {NULL, NULL},
	};
	struct fixture *f = *state;
	uint64_t key = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t other = key_that_ends(f, KS_TIME_NONE, false).id;
	size_t told = 0;

	for (size_t i = 0; i < KS_ARRAY_LEN(uses); i++) {
		struct told now;

		use_from(f, key, f->start + (int64_t)i * MINUTE, uses[i].address);
		now = told_of(f, KS_EVENT_KEY_NEW_NETWORK, key);
		assert_int_equal(now.count - told, uses[i].network != NULL);
		if (uses[i].network)
			assert_non_null(strstr(now.data, uses[i].network));
		told = now.count;
	}
	reopen(f);
	use_from(f, key, f->start + DAY, "203.0.114.77");
	use_from(f, other, f->start + DAY, "203.0.114.77");
	assert_int_equal(count_of(f, KS_EVENT_KEY_NEW_NETWORK, 0), told);
}

static void a_key_remembers_a_bounded_number_of_networks(void **state)
{
	struct fixture *f = *state;
	uint64_t key = key_that_ends(f, KS_TIME_NONE, false).id;
	char address[64];
	size_t told;

	for (int i = 0; i < KS_NOTICE_NETWORKS_MAX + 8; i++) {
		(void)snprintf(address, sizeof(address), "198.51.%d.1", i);
		use_from(f, key, f->start + i * DAY, address);
		/* The first one stays in use. */
		use_from(f, key, f->start + i * DAY + MINUTE, "198.51.0.1");
	}
	assert_int_equal(networks_of(f, key), KS_NOTICE_NETWORKS_MAX);
	told = count_of(f, KS_EVENT_KEY_NEW_NETWORK, key);
	assert_int_equal(told, KS_NOTICE_NETWORKS_MAX + 7);
	use_from(f, key, f->start + 100 * DAY, "198.51.0.77");
	assert_int_equal(count_of(f, KS_EVENT_KEY_NEW_NETWORK, key), told);
	/* Long not used, so forgotten, so new again. */
	use_from(f, key, f->start + 100 * DAY, "198.51.1.77");
	assert_int_equal(count_of(f, KS_EVENT_KEY_NEW_NETWORK, key), told + 1);
}

/* ---- refusals ---- */

static void deny(struct fixture *f, uint64_t key, int64_t at, enum ks_reason reason, uint64_t count)
{
	struct using u = {.use = {.key = key, .at = at}, .reason = reason, .count = count};

	assert_int_equal(world_change(&f->w, run_use, &u), KS_OK);
}

static void a_burst_of_refusals_is_told_of_once(void **state)
{
	struct fixture *f = *state;
	uint64_t key = key_that_ends(f, KS_TIME_NONE, false).id;
	uint64_t other = key_that_ends(f, KS_TIME_NONE, false).id;
	int64_t at = f->start;

	deny(f, key, at, KS_REASON_SCOPE_MISSING, 60);
	deny(f, other, at, KS_REASON_SCOPE_MISSING, 99);
	deny(f, other, at, KS_REASON_RATE_LIMITED, 1000);
	use_from(f, other, at, NULL);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, 0), 0);
	deny(f, key, at + 2 * MINUTE, KS_REASON_CREDENTIAL_INVALID, 40);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, key), 1);
	assert_non_null(strstr(told_of(f, KS_EVENT_KEY_DENIALS, key).data, "\"denied\":100,\"window_s\":300"));
	deny(f, key, at + 3 * MINUTE, KS_REASON_SCOPE_MISSING, 500);
	reopen(f);
	deny(f, key, at + 6 * MINUTE, KS_REASON_SCOPE_MISSING, 500);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, key), 1);
	deny(f, key, at + 8 * MINUTE, KS_REASON_SCOPE_MISSING, 1);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, key), 2);
	/* What lies further back does not count. */
	deny(f, other, at + 20 * MINUTE, KS_REASON_SCOPE_MISSING, 99);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, other), 0);
}

static void many_unknown_credentials_are_told_of_once(void **state)
{
	struct ks_notice_unknown u = {0};
	uint64_t count = 0, total = 0;

	(void)state;
	/* 50 a minute, for hours, are no burst. */
	for (int minute = 0; minute < 300; minute++)
		assert_false(ks_notice_take_unknown(&u, total += 50, minute * MINUTE, 1000, 5 * MINUTE, &count));
	assert_true(ks_notice_take_unknown(&u, total += 900, 300 * MINUTE, 1000, 5 * MINUTE, &count));
	assert_true(count >= 1000 && count <= 1250);
	assert_false(ks_notice_take_unknown(&u, total += 9000, 301 * MINUTE, 1000, 5 * MINUTE, &count));
	assert_true(ks_notice_take_unknown(&u, total += 1, 305 * MINUTE, 1000, 5 * MINUTE, &count));
	/* It ends. */
	for (int minute = 306; minute < 330; minute++)
		assert_false(ks_notice_take_unknown(&u, total, minute * MINUTE, 1000, 5 * MINUTE, &count)
			     && minute > 310);
	/* A clock that goes back begins anew. */
	assert_false(ks_notice_take_unknown(&u, total + 999999, MINUTE, 1000, 5 * MINUTE, &count));
	assert_false(ks_notice_take_unknown(&u, total + 999999, 2 * MINUTE, 0, 5 * MINUTE, &count));
}

static void what_is_counted_often_is_sampled_seldom(void **state)
{
	struct ks_notice_unknown u = {0};
	uint64_t count = 0, told = 0, total = 0;

	(void)state;
	/* Four a second are 1,200 in five minutes: told of once in each of them. */
	for (int64_t second = 0; second < 3600; second++)
		told += ks_notice_take_unknown(&u, total += 4, second * SECOND, 1000, 5 * MINUTE, &count);
	assert_in_range(told, 10, 13);
}

/* ---- all of it, by the flush ---- */

static void decide_from(struct fixture *f, const char *token, const char *address, unsigned times)
{
	static struct ks_path scratch;
	struct ks_credential credential;
	struct ks_engine_reader reader;
	struct timespec t;
	char header[100];

	assert_int_equal(ks_engine_reader_open(f->w.engine, &reader), KS_OK);
	(void)snprintf(header, sizeof(header), "Bearer %s", token);
	for (unsigned i = 0; i < times; i++) {
		struct ks_request request = {
			.credential = &credential,
			.method = i % 2 ? KS_STR("DELETE") : KS_STR("GET"),
			.path = KS_STR("/v1/contacts"),
			.address_known = true,
		};
		struct ks_decision decision;

		clock_gettime(CLOCK_REALTIME, &t);
		request.now_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
		assert_true(ks_addr_parse(ks_str_c(address), &request.address));
		ks_credential_init(&credential);
		ks_credential_authorization(&credential, ks_str_c(header));
		ks_decide(ks_ringmap_reader_ring(reader.ring), KS_RING_POLICY_PLATFORM, &request, &scratch, &decision);
	}
	ks_engine_reader_close(&reader);
	assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
}

static void the_flush_notices(void **state)
{
	struct fixture *f = *state;
	struct ks_key_made key = make_key(&f->w, 0, "contacts:read");

	decide_from(f, key.token, "203.0.113.1", 2);
	decide_from(f, key.token, "203.0.113.2", 2);
	assert_int_equal(count_of(f, KS_EVENT_KEY_NEW_NETWORK, key.id), 0);
	for (int i = 0; i < 3; i++) {
		decide_from(f, key.token, "198.51.100.1", 2);
		decide_from(f, key.token, "203.0.113.3", 2);
	}
	assert_int_equal(count_of(f, KS_EVENT_KEY_NEW_NETWORK, key.id), 1);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, key.id), 0);
	decide_from(f, key.token, "203.0.113.3", 200);
	decide_from(f, key.token, "203.0.113.3", 200);
	assert_int_equal(count_of(f, KS_EVENT_KEY_DENIALS, key.id), 1);
}

static void what_is_off_is_not_told(void **state)
{
	struct fixture *f = *state;
	uint64_t key;

	f->w.options.notice = (struct ks_notice_options){0};
	reopen(f);
	key = key_that_ends(f, f->start + 40 * DAY, false).id;
	for (int day = 0; day < 41; day += 10)
		notice_ends(f, f->start + day * DAY);
	walk(f, f->start + 400 * DAY);
	use_from(f, key, f->start + DAY, "203.0.113.1");
	use_from(f, key, f->start + 400 * DAY, "203.0.114.1");
	deny(f, key, f->start + 400 * DAY, KS_REASON_SCOPE_MISSING, 100000);
	for (enum ks_event_type type = KS_EVENT_KEY_EXPIRING; type <= KS_EVENT_CREDENTIALS_UNKNOWN; type++)
		assert_int_equal(count_of(f, type, 0), 0);
	assert_int_equal(networks_of(f, key), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reminders_come_once_each_over_restarts),
		TEST(keys_that_need_no_reminder_get_none),
		TEST(after_a_long_stop_the_nearest_reminder_is_enough),
		TEST(a_clock_that_goes_back_repeats_nothing),
		TEST(a_new_lead_speaks_of_what_no_shorter_one_does),
		TEST(each_of_many_is_told_of_once),
		TEST(disuse_is_told_of_once_each_time),
		TEST(use_after_disuse_is_told_of),
		TEST(a_new_network_is_told_of_once),
		TEST(a_key_remembers_a_bounded_number_of_networks),
		TEST(a_burst_of_refusals_is_told_of_once),
		cmocka_unit_test(many_unknown_credentials_are_told_of_once),
		cmocka_unit_test(what_is_counted_often_is_sampled_seldom),
		TEST(the_flush_notices),
		TEST(what_is_off_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
