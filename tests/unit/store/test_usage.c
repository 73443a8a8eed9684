/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#define MINUTE INT64_C(60000)
#define HOUR INT64_C(3600000)
#define DAY INT64_C(86400000)
/* The start of a day. */
#define DAY_0 (NOW - NOW % DAY)

static enum ks_err add(struct ks_store *store, uint64_t key, int64_t minute, enum ks_reason reason, const char *scope,
		       uint64_t count)
{
	struct ks_usage_row row = {
		.key = key, .minute = minute, .reason = reason, .scope = ks_str_c(scope), .count = count};

	return ks_store_usage_add(store, &row, KS_TIME_NONE, KS_STR(""));
}

struct sums {
	struct {
		uint64_t key;
		int64_t minute;
		enum ks_reason reason;
		char scope[KS_STORE_SCOPE_MAX + 1];
		uint64_t count;
	} rows[4096];
	size_t n;
	uint64_t total;
};

static enum ks_err note(void *ctx, const struct ks_usage_row *row)
{
	struct sums *sums = ctx;

	assert_true(sums->n < KS_ARRAY_LEN(sums->rows));
	sums->rows[sums->n].key = row->key;
	sums->rows[sums->n].minute = row->minute;
	sums->rows[sums->n].reason = row->reason;
	sums->rows[sums->n].count = row->count;
	snprintf(sums->rows[sums->n].scope, sizeof(sums->rows[0].scope), "%.*s", KS_STR_ARG(row->scope));
	sums->n++;
	sums->total += row->count;
	return KS_OK;
}

static struct sums *read_sums(struct ks_store *store, uint64_t key, int64_t from, int64_t to, int64_t step)
{
	static struct sums sums;

	sums.n = 0;
	sums.total = 0;
	assert_ok(ks_store_usage(store, key, from, to, step, note, &sums));
	return &sums;
}

static void counts_out_of_range_are_refused(void **state)
{
	struct fixture *f = *state;
	char scope[KS_STORE_SCOPE_MAX + 2];

	assert_int_equal(add(f->store, 1, NOW, KS_REASON_OK, "", 1), KS_STORE);
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(add(f->store, 0, NOW, KS_REASON_OK, "", 1), KS_MALFORMED);
	assert_int_equal(add(f->store, UINT64_MAX, NOW, KS_REASON_OK, "", 1), KS_MALFORMED);
	assert_int_equal(add(f->store, 1, -1, KS_REASON_OK, "", 1), KS_MALFORMED);
	assert_int_equal(add(f->store, 1, KS_TIME_NONE, KS_REASON_OK, "", 1), KS_MALFORMED);
	assert_int_equal(add(f->store, 1, NOW, KS_REASON_COUNT, "", 1), KS_MALFORMED);
	assert_int_equal(add(f->store, 1, NOW, KS_REASON_OK, "", UINT64_C(1) << 32), KS_MALFORMED);
	memset(scope, 's', sizeof(scope));
	scope[sizeof(scope) - 1] = '\0';
	assert_int_equal(add(f->store, 1, NOW, KS_REASON_OK, scope, 1), KS_TOO_LARGE);
	assert_ok(ks_store_commit(f->store));
	struct sums sums = {.n = 0};
	assert_int_equal(ks_store_usage(f->store, 1, 0, NOW, 1000, note, &sums), KS_MALFORMED);
	assert_int_equal(read_sums(f->store, 1, 0, INT64_MAX, DAY)->n, 0);
}

static void counts_add_up_by_minute_reason_and_scope(void **state)
{
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	assert_ok(add(f->store, 7, DAY_0 + 59999, KS_REASON_OK, "contacts:read", 2));
	assert_ok(add(f->store, 7, DAY_0, KS_REASON_OK, "contacts:read", 3));
	assert_ok(add(f->store, 7, DAY_0, KS_REASON_OK, "", 1));
	assert_ok(add(f->store, 7, DAY_0, KS_REASON_SCOPE_MISSING, "", 4));
	assert_ok(add(f->store, 7, DAY_0 + MINUTE, KS_REASON_OK, "contacts:read", 5));
	assert_ok(add(f->store, 8, DAY_0, KS_REASON_OK, "contacts:read", 100));
	assert_ok(ks_store_commit(f->store));
	struct sums *sums = read_sums(f->store, 7, DAY_0, DAY_0 + 2 * MINUTE, MINUTE);
	assert_int_equal(sums->n, 4);
	assert_int_equal(sums->rows[0].key, 7);
	assert_string_equal(sums->rows[0].scope, "");
	assert_int_equal(sums->rows[0].count, 1);
	assert_string_equal(sums->rows[1].scope, "contacts:read");
	assert_int_equal(sums->rows[1].count, 5);
	assert_int_equal(sums->rows[2].reason, KS_REASON_SCOPE_MISSING);
	assert_int_equal(sums->rows[3].minute, DAY_0 + MINUTE);
	sums = read_sums(f->store, 7, DAY_0, DAY_0 + DAY, HOUR);
	assert_int_equal(sums->n, 3);
	assert_int_equal(sums->rows[1].count, 10);
	assert_int_equal(read_sums(f->store, 7, DAY_0 + 1, DAY_0 + DAY, MINUTE)->n, 1);
	assert_int_equal(read_sums(f->store, 7, DAY_0, DAY_0 + MINUTE, DAY)->total, 10);
	assert_int_equal(read_sums(f->store, 9, DAY_0, DAY_0 + DAY, DAY)->n, 0);
}

static enum ks_err note_key(void *ctx, const struct ks_key_row *row)
{
	char *text = ctx;

	snprintf(text, 96, "%llu %lld %.*s", (unsigned long long)row->uses, (long long)row->last_used_at,
		 KS_STR_ARG(row->last_used_address));
	return KS_OK;
}

static void the_last_use_is_the_latest(void **state)
{
	static const struct {
		int64_t at;
		const char *address;
		const char *expected;
	} cases[] = {
		{5, "192.0.2.5", "1 5 192.0.2.5"},   {4, "192.0.2.4", "2 5 192.0.2.5"}, {6, "", "3 6 "},
		{KS_TIME_NONE, "192.0.2.9", "3 6 "}, {6, "192.0.2.6", "4 6 192.0.2.6"},
	};
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_usage_row row = {.key = FIRST_KEY, .minute = NOW, .reason = KS_REASON_OK, .count = 1};
		char text[96];
		assert_ok(ks_store_usage_add(f->store, &row, cases[i].at, ks_str_c(cases[i].address)));
		assert_ok(ks_store_key_get(f->store, FIRST_KEY, note_key, text));
		assert_string_equal(text, cases[i].expected);
	}
	assert_ok(ks_store_commit(f->store));
}

/* ---- folding against a naive model: nothing is lost, at any step ---- */

static size_t fold_all(struct ks_store *store, int64_t minutes_before, int64_t hours_before, size_t limit)
{
	size_t folded, all = 0;

	do {
		assert_ok(ks_store_begin(store));
		assert_ok(ks_store_usage_fold(store, minutes_before, hours_before, limit, &folded));
		assert_ok(ks_store_commit(store));
		assert_true(folded <= limit);
		all += folded;
	} while (folded > 0);
	return all;
}

static void folding_keeps_the_sums(void **state)
{
	static const char *const scopes[] = {"", "a:read", "a:write"};
	struct fixture *f = *state;
	uint64_t by_day[3] = {0}, total = 0;

	seed_random();
	assert_ok(ks_store_begin(f->store));
	for (int i = 0; i < 3000; i++) {
		int64_t at = DAY_0 + (int64_t)(random64() % (3 * DAY));
		uint64_t count = 1 + random64() % 5;
		assert_ok(add(f->store, 7, at, (enum ks_reason)(random64() % 2), scopes[random64() % 3], count));
		assert_ok(add(f->store, 8, at, KS_REASON_OK, "", 1));
		by_day[(at - DAY_0) / DAY] += count;
		total += count;
	}
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(fold_all(f->store, KS_TIME_NONE, KS_TIME_NONE, 100), 0);
	assert_int_equal(fold_all(f->store, DAY_0, DAY_0, 100), 0);
	/* Minutes of two days become hours; the half hour at the end stays. */
	assert_true(fold_all(f->store, DAY_0 + 2 * DAY + HOUR / 2, DAY_0, 700) > 0);
	assert_int_equal(read_sums(f->store, 7, DAY_0, DAY_0 + 3 * DAY, HOUR)->total, total);
	struct sums *sums = read_sums(f->store, 7, DAY_0, DAY_0 + 2 * DAY, MINUTE);
	for (size_t i = 0; i < sums->n; i++)
		assert_int_equal(sums->rows[i].minute % HOUR, 0);
	assert_int_equal(sums->total, by_day[0] + by_day[1]);
	sums = read_sums(f->store, 7, DAY_0 + 2 * DAY, DAY_0 + 2 * DAY + HOUR, MINUTE);
	size_t within = 0;
	for (size_t i = 0; i < sums->n; i++)
		within += sums->rows[i].minute % HOUR != 0;
	assert_true(within > 0);
	/* Hours of the first day become the day; late counts join what was folded. */
	assert_true(fold_all(f->store, DAY_0 + 2 * DAY, DAY_0 + DAY + HOUR, 13) > 0);
	assert_ok(ks_store_begin(f->store));
	assert_ok(add(f->store, 7, DAY_0 + 5 * HOUR, KS_REASON_OK, "", 1000));
	assert_ok(ks_store_commit(f->store));
	assert_true(fold_all(f->store, DAY_0 + 2 * DAY, DAY_0 + DAY, 13) > 0);
	sums = read_sums(f->store, 7, DAY_0, DAY_0 + DAY, MINUTE);
	assert_int_equal(sums->total, by_day[0] + 1000);
	for (size_t i = 0; i < sums->n; i++)
		assert_int_equal(sums->rows[i].minute, DAY_0);
	assert_int_equal(read_sums(f->store, 7, DAY_0 + DAY, DAY_0 + 2 * DAY, DAY)->total, by_day[1]);
	assert_int_equal(read_sums(f->store, 7, DAY_0 + 2 * DAY, DAY_0 + 3 * DAY, DAY)->total, by_day[2]);
	assert_int_equal(read_sums(f->store, 8, DAY_0, DAY_0 + 3 * DAY, DAY)->total, 3000);
}

static void a_fold_outside_of_a_transaction_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t folded = 77;

	assert_ok(ks_store_begin(f->store));
	assert_ok(add(f->store, 7, DAY_0, KS_REASON_OK, "", 1));
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(ks_store_usage_fold(f->store, DAY_0 + DAY, DAY_0 + DAY, 10, &folded), KS_STORE);
	assert_int_equal(folded, 77);
}

struct facts {
	struct ks_key_facts rows[8];
	size_t n;
};

static enum ks_err note_facts(void *ctx, const struct ks_key_facts *facts)
{
	struct facts *all = ctx;

	assert_true(all->n < KS_ARRAY_LEN(all->rows));
	all->rows[all->n++] = *facts;
	return KS_OK;
}

static void facts_of_keys_are_in_order(void **state)
{
	struct fixture *f = *state;
	struct ks_usage_row used = {.key = 102, .minute = NOW, .scope = KS_STR("a"), .count = 1};
	struct facts facts = {.n = 0};

	assert_ok(ks_store_begin(f->store));
	for (uint64_t id = 101; id < 105; id++)
		put_key(f->store, id);
	assert_ok(ks_store_usage_add(f->store, &used, NOW + 5, KS_STR("")));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_key_facts(f->store, 102, 103, note_facts, &facts));
	assert_int_equal(facts.n, 2);
	assert_int_equal(facts.rows[0].id, 102);
	assert_int_equal(facts.rows[0].last_used_at, NOW + 5);
	assert_int_equal(facts.rows[1].id, 103);
	assert_int_equal(facts.rows[1].last_used_at, KS_TIME_NONE);
	assert_false(facts.rows[1].imported);
	facts.n = 0;
	assert_ok(ks_store_key_facts(f->store, 200, 300, note_facts, &facts));
	assert_int_equal(facts.n, 0);
}

struct names {
	char text[256];
};

static enum ks_err note_name(void *ctx, uint64_t number, struct ks_str name)
{
	struct names *names = ctx;
	size_t n = strlen(names->text);

	snprintf(&names->text[n], sizeof(names->text) - n, "%llu=%.*s ", (unsigned long long)number, KS_STR_ARG(name));
	return KS_OK;
}

static enum ks_err note_pair(void *ctx, uint64_t key, uint64_t number)
{
	struct names *names = ctx;
	size_t n = strlen(names->text);

	snprintf(&names->text[n], sizeof(names->text) - n, "%llu:%llu ", (unsigned long long)key,
		 (unsigned long long)number);
	return KS_OK;
}

static void scopes_used_since_are_told(void **state)
{
	struct fixture *f = *state;
	struct names names = {""};

	assert_ok(ks_store_begin(f->store));
	assert_ok(add(f->store, 1, DAY_0 - DAY, KS_REASON_OK, "a", 1));
	assert_ok(add(f->store, 1, DAY_0, KS_REASON_OK, "b", 1));
	assert_ok(add(f->store, 1, DAY_0, KS_REASON_SCOPE_MISSING, "c", 1));
	assert_ok(add(f->store, 2, DAY_0 + HOUR, KS_REASON_OK, "a", 1));
	assert_ok(add(f->store, 2, DAY_0 + HOUR, KS_REASON_OK, "", 1));
	assert_ok(add(f->store, 3, DAY_0, KS_REASON_OK, "c", 1));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_usage_scopes(f->store, note_name, &names));
	assert_string_equal(names.text, "1=a 2=b 3=c ");
	names.text[0] = '\0';
	assert_ok(ks_store_usage_scopes_used(f->store, 1, 2, DAY_0, note_pair, &names));
	assert_true(strcmp(names.text, "1:2 2:0 2:1 ") == 0 || strcmp(names.text, "1:2 2:1 2:0 ") == 0);
	names.text[0] = '\0';
	assert_ok(ks_store_usage_scopes_used(f->store, 1, 3, DAY_0 - DAY, note_pair, &names));
	assert_non_null(strstr(names.text, "1:1 "));
	assert_non_null(strstr(names.text, "3:3 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_out_of_range_are_refused),
		TEST(counts_add_up_by_minute_reason_and_scope),
		TEST(the_last_use_is_the_latest),
		TEST(folding_keeps_the_sums),
		TEST(a_fold_outside_of_a_transaction_is_refused),
		TEST(facts_of_keys_are_in_order),
		TEST(scopes_used_since_are_told),
	};

	return cmocka_run_group_tests_name("store/usage", tests, NULL, NULL);
}
