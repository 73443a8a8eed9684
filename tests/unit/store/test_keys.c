/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>

#include "fixture.h"
#include "store/store_priv.h"

static enum ks_err insert(struct ks_store *store, struct ks_key_row row)
{
	return ks_store_key_insert(store, &row);
}

/* ---- refusals ---- */

static void what_refers_to_nothing_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ks_key_row row = key_row(FIRST_KEY, 99, ORG_A, 1);

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row = key_row(FIRST_KEY, ORG_A, ORG_A, 99);
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row = key_row(FIRST_KEY, ORG_A, ORG_A, 0);
	assert_int_equal(insert(f->store, row), KS_MALFORMED);
	row = key_row(FIRST_KEY, ORG_A, ORG_A, 1);
	row.user = 99;
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row.user = USER_A;
	row.rotated_from = FIRST_KEY + 1;
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row.rotated_from = 0;
	assert_ok(insert(f->store, row));
	assert_int_equal(insert(f->store, row), KS_CONFLICT);
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(key_count(f->store), 1);
}

static void what_is_not_there_cannot_be_changed(void **state)
{
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_key_rename(f->store, FIRST_KEY, KS_STR("x")), KS_NOT_FOUND);
	assert_int_equal(ks_store_key_revoke(f->store, FIRST_KEY, NOW, KS_STR("local")), KS_NOT_FOUND);
	assert_int_equal(ks_store_key_rotated(f->store, FIRST_KEY, NOW, FIRST_KEY + 1), KS_NOT_FOUND);
	assert_int_equal(ks_store_key_get(f->store, FIRST_KEY, take_no_key, NULL), KS_NOT_FOUND);
	put_key(f->store, FIRST_KEY);
	assert_int_equal(ks_store_key_rotated(f->store, FIRST_KEY, NOW, FIRST_KEY + 1), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

/* ---- one key ---- */

static enum ks_err compare(void *ctx, const struct ks_key_row *row)
{
	const struct ks_key_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_memory_equal(row->digest.bytes, expected->digest.bytes, KS_SHA256_SIZE);
	assert_int_equal(row->tenant, expected->tenant);
	assert_int_equal(row->organization, expected->organization);
	assert_int_equal(row->user, expected->user);
	assert_int_equal(row->grant, expected->grant);
	assert_int_equal(row->kind, expected->kind);
	assert_int_equal(row->binding, expected->binding);
	assert_int_equal(row->environment, expected->environment);
	assert_int_equal(row->imported, expected->imported);
	assert_true(ks_str_eq(row->name, expected->name));
	assert_true(ks_str_eq(row->prefix, expected->prefix));
	assert_true(ks_str_eq(row->last_four, expected->last_four));
	assert_true(ks_str_eq(row->labels, expected->labels));
	assert_int_equal(row->created_at, expected->created_at);
	assert_true(ks_str_eq(row->created_by, expected->created_by));
	assert_int_equal(row->expires_at, expected->expires_at);
	assert_int_equal(row->retires_at, expected->retires_at);
	assert_int_equal(row->revoked_at, expected->revoked_at);
	assert_true(ks_str_eq(row->revoked_by, expected->revoked_by));
	assert_int_equal(row->rotated_from, expected->rotated_from);
	assert_int_equal(row->rotated_to, expected->rotated_to);
	assert_int_equal(row->uses, expected->uses);
	assert_int_equal(row->last_used_at, expected->last_used_at);
	assert_true(ks_str_eq(row->last_used_address, expected->last_used_address));
	return KS_OK;
}

static struct ks_key_row full_row(void)
{
	struct ks_key_row row = key_row(FIRST_KEY + 1, PERSONAL_A, ORG_A, 2);

	for (size_t i = 0; i < KS_SHA256_SIZE; i++)
		row.digest.bytes[i] = (uint8_t)(i == 3 ? 0 : 255 - i);
	row.user = USER_A;
	row.kind = KS_KIND_RUNTIME;
	row.binding = KS_BINDING_USER;
	row.environment = KS_ENVIRONMENT_SANDBOX;
	row.imported = true;
	row.name = KS_STR("\xe2\x82\xac sync");
	row.labels = KS_STR("{\"team\":\"ops\"}");
	row.expires_at = NOW + 1000;
	row.rotated_from = FIRST_KEY;
	row.last_used_at = KS_TIME_NONE;
	return row;
}

static void every_member_comes_back(void **state)
{
	struct fixture *f = *state;
	struct ks_key_row row = full_row();

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	put_key(f->store, FIRST_KEY + 2);
	assert_ok(insert(f->store, row));
	assert_ok(ks_store_key_get(f->store, row.id, compare, &row));
	assert_ok(ks_store_key_rename(f->store, row.id, KS_STR("other")));
	row.name = KS_STR("other");
	assert_ok(ks_store_key_rotated(f->store, row.id, NOW + 7, FIRST_KEY + 2));
	row.retires_at = NOW + 7;
	row.rotated_to = FIRST_KEY + 2;
	assert_ok(ks_store_key_revoke(f->store, row.id, NOW + 8, KS_STR("usr_0123456789abc")));
	row.revoked_at = NOW + 8;
	row.revoked_by = KS_STR("usr_0123456789abc");
	struct ks_usage_row usage = {.key = row.id, .minute = NOW, .reason = KS_REASON_OK, .count = 3};
	assert_ok(ks_store_usage_add(f->store, &usage, NOW + 9, KS_STR("2001:db8::1")));
	row.uses = 3;
	row.last_used_at = NOW + 9;
	row.last_used_address = KS_STR("2001:db8::1");
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_key_get(f->store, row.id, compare, &row));
}

static void the_first_revocation_stays(void **state)
{
	struct fixture *f = *state;
	struct ks_key_row row = key_row(FIRST_KEY, ORG_A, ORG_A, 1);

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	put_key(f->store, FIRST_KEY + 1);
	assert_ok(ks_store_key_revoke(f->store, FIRST_KEY, NOW + 1, KS_STR("local")));
	assert_ok(ks_store_key_revoke(f->store, FIRST_KEY, NOW + 2, KS_STR("system")));
	assert_int_equal(ks_store_key_rotated(f->store, FIRST_KEY, NOW, FIRST_KEY + 1), KS_CONFLICT);
	row.revoked_at = NOW + 1;
	row.revoked_by = KS_STR("local");
	row.last_used_at = KS_TIME_NONE;
	assert_ok(ks_store_key_get(f->store, FIRST_KEY, compare, &row));
	assert_ok(ks_store_commit(f->store));
}

static void a_key_is_rotated_once(void **state)
{
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	for (uint64_t i = 0; i < 3; i++)
		put_key(f->store, FIRST_KEY + i);
	assert_ok(ks_store_key_rotated(f->store, FIRST_KEY, NOW, FIRST_KEY + 1));
	assert_int_equal(ks_store_key_rotated(f->store, FIRST_KEY, NOW, FIRST_KEY + 2), KS_CONFLICT);
	assert_ok(ks_store_commit(f->store));
}

static void the_schema_itself_keeps_keys(void **state)
{
	static const char *const attempts[] = {
		"DELETE FROM keys",
		"UPDATE keys SET digest = zeroblob(32)",
		"UPDATE keys SET tenant = 11",
		"UPDATE keys SET expires_at = NULL",
		"UPDATE keys SET grant_id = 2, name = 'x'",
		"UPDATE keys SET environment = 1",
		"INSERT INTO keys SELECT id + 1, x'00', tenant, grant_id, kind, binding, environment, imported,"
		" expires_at, retires_at, revoked_at, organization, user_id, created_at, rotated_from, rotated_to, name,"
		" prefix, last_four, created_by, revoked_by, labels, segment FROM keys",
		"UPDATE keys SET segment = 1",
	};
	struct fixture *f = *state;
	sqlite3 *db;

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(attempts); i++)
		assert_int_equal(sqlite3_exec(db, attempts[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- many at once ---- */

static void many_are_as_one_by_one(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 20000 }; /* more than two statements' worth */
	struct ks_key_row *rows = calloc(COUNT, sizeof(*rows));
	struct ks_store_counts counts;

	assert_non_null(rows);
	for (size_t i = 0; i < COUNT; i++) {
		rows[i] = full_row();
		rows[i].id = FIRST_KEY + 1 + i;
		rows[i].digest.bytes[0] = (uint8_t)i;
		rows[i].digest.bytes[1] = (uint8_t)(i >> 8);
		rows[i].grant = 1 + i % 2;
		rows[i].expires_at = i % 3 ? NOW + (int64_t)i : KS_TIME_NONE;
	}
	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	assert_ok(ks_store_keys_insert(f->store, rows, 0));
	assert_ok(ks_store_keys_insert(f->store, rows, COUNT));
	assert_ok(ks_store_commit(f->store));
	for (size_t i = 0; i < COUNT; i += 97)
		assert_ok(ks_store_key_get(f->store, rows[i].id, compare, &rows[i]));
	assert_ok(ks_store_counts(f->store, &counts));
	assert_int_equal(counts.keys, COUNT + 1);
	assert_int_equal(counts.keys_limited, COUNT / 2);
	free(rows);
}

/* What rows have in common is said once for all of them; one that differs in a single column keeps what is its own. */
static void rows_that_are_alike_but_for_one(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 5, COLUMNS = 7 };
	struct ks_key_row rows[COUNT];
	uint64_t id = FIRST_KEY + 1;

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	for (size_t column = 0; column <= COLUMNS; column++, id += COUNT) {
		struct ks_key_row *other = &rows[column % COUNT];

		for (size_t i = 0; i < COUNT; i++) {
			rows[i] = full_row();
			rows[i].id = id + i;
			rows[i].user = 0;
		}
		other->prefix = column == 0 ? KS_STR("other") : other->prefix;
		other->labels = column == 1 ? KS_STR("{\"a\":\"b\"}") : other->labels;
		other->user = column == 2 ? full_row().user : 0;
		other->kind = (enum ks_kind)((other->kind + (column == 3)) % KS_KIND_COUNT);
		other->binding = (enum ks_binding)((other->binding + (column == 4)) % KS_BINDING_COUNT);
		other->environment = (enum ks_environment)((other->environment + (column == 5)) % KS_ENVIRONMENT_COUNT);
		other->expires_at += column == 6;
		assert_ok(ks_store_keys_insert(f->store, rows, COUNT));
		for (size_t i = 0; i < COUNT; i++)
			assert_ok(ks_store_key_get(f->store, rows[i].id, compare, &rows[i]));
	}
	assert_ok(ks_store_commit(f->store));
}

/* A batch of which one row is bad cannot be kept, nor a part of it. */
static void a_bad_row_spoils_its_batch(void **state)
{
	static const enum ks_err expected[] = {KS_CONFLICT, KS_NOT_FOUND, KS_TOO_LARGE, KS_NOT_FOUND};
	struct fixture *f = *state;
	enum { COUNT = 9000 };
	struct ks_key_row *rows = calloc(COUNT, sizeof(*rows));
	char name[KS_STORE_NAME_MAX + 1];
	uint64_t seq;

	assert_non_null(rows);
	memset(name, 'n', sizeof(name));
	for (size_t bad = 0; bad < KS_ARRAY_LEN(expected); bad++) {
		for (size_t i = 0; i < COUNT; i++)
			rows[i] = key_row(FIRST_KEY + 1 + i, ORG_A, ORG_A, 1);
		struct ks_key_row *row = &rows[COUNT - 5];
		row->id = bad == 0 ? FIRST_KEY + 1 : row->id;
		row->tenant = bad == 1 ? 99 : row->tenant;
		row->name = bad == 2 ? ks_str_of(name, sizeof(name)) : row->name;
		row->grant = bad == 3 ? 99 : row->grant;
		assert_ok(ks_store_begin(f->store));
		put_key(f->store, FIRST_KEY + 50000 + bad);
		assert_ok(ks_store_savepoint(f->store));
		assert_int_equal(ks_store_keys_insert(f->store, rows, COUNT), expected[bad]);
		if (bad < 3)
			assert_int_equal(ks_store_release(f->store), expected[bad]);
		ks_store_rollback_to(f->store);
		assert_ok(ks_store_change_append(f->store, KS_CHANGE_KEY, 1, 0, &seq));
		assert_ok(ks_store_commit(f->store));
		assert_int_equal(key_count(f->store), bad + 1);
		if (bad == 3)
			break; /* refused before anything was inserted */
		assert_ok(ks_store_begin(f->store));
		assert_int_equal(ks_store_keys_insert(f->store, rows, COUNT), expected[bad]);
		assert_int_equal(ks_store_savepoint(f->store), KS_STORE);
		assert_int_equal(ks_store_commit(f->store), expected[bad]);
		assert_false(has_key(f->store, FIRST_KEY + 1));
		assert_int_equal(key_count(f->store), bad + 1);
	}
	free(rows);
}

/* ---- cores ---- */

#define CORES 60

static struct ks_key_row core_rows[CORES];

struct core_walk {
	size_t at;
	size_t seen;
	enum ks_err result;
};

static enum ks_err compare_core(void *ctx, const struct ks_key_core *core)
{
	struct core_walk *walk = ctx;
	const struct ks_key_row *row = &core_rows[walk->at++];
	int64_t expires = row->expires_at == KS_TIME_NONE ? INT64_MAX : row->expires_at;
	int64_t retires = row->retires_at == KS_TIME_NONE ? INT64_MAX : row->retires_at;

	assert_int_equal(core->id, row->id);
	assert_memory_equal(core->digest.bytes, row->digest.bytes, KS_SHA256_SIZE);
	assert_int_equal(core->tenant, row->tenant);
	assert_int_equal(core->grant, row->grant);
	assert_int_equal(core->kind, row->kind);
	assert_int_equal(core->binding, row->binding);
	assert_int_equal(core->environment, row->environment);
	assert_int_equal(core->imported, row->imported);
	assert_int_equal(core->revoked, row->revoked_at != KS_TIME_NONE);
	assert_int_equal(core->ends_ms, KS_MIN(expires, retires));
	assert_int_equal(core->rotated_out, row->retires_at != KS_TIME_NONE && retires <= expires);
	walk->seen++;
	return walk->result;
}

static void cores_are_what_the_rows_say(void **state)
{
	static const uint64_t tenants[] = {OPERATOR, ORG_A, SUB_A, PROJECT_A};
	struct fixture *f = *state;

	seed_random();
	for (size_t i = 0; i < CORES; i++) {
		struct ks_key_row row = key_row(FIRST_KEY + 2 * i, tenants[random64() % 4], ORG_A, 1 + random64() % 2);
		for (size_t b = 0; b < KS_SHA256_SIZE; b++)
			row.digest.bytes[b] = (uint8_t)random64();
		row.kind = (enum ks_kind)(random64() % KS_KIND_COUNT);
		row.binding = (enum ks_binding)(random64() % KS_BINDING_COUNT);
		row.environment = (enum ks_environment)(random64() % KS_ENVIRONMENT_COUNT);
		row.imported = random64() % 2;
		row.expires_at = random64() % 3 ? NOW + (int64_t)(random64() % 3) : KS_TIME_NONE;
		row.retires_at = random64() % 3 ? NOW + (int64_t)(random64() % 3) : KS_TIME_NONE;
		row.revoked_at = random64() % 3 ? KS_TIME_NONE : NOW;
		core_rows[i] = row;
	}
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_keys_insert(f->store, core_rows, CORES));
	assert_ok(ks_store_commit(f->store));
	struct core_walk walk = {.result = KS_OK};
	assert_ok(ks_store_key_cores(f->store, 0, UINT64_MAX, compare_core, &walk));
	assert_int_equal(walk.seen, CORES);
	walk = (struct core_walk){.at = 5};
	assert_ok(ks_store_key_cores(f->store, core_rows[5].id, core_rows[9].id, compare_core, &walk));
	assert_int_equal(walk.seen, 5);
	walk = (struct core_walk){.at = 6};
	assert_ok(ks_store_key_cores(f->store, core_rows[5].id + 1, core_rows[6].id, compare_core, &walk));
	assert_int_equal(walk.seen, 1);
	walk = (struct core_walk){.result = KS_STOPPING};
	assert_int_equal(ks_store_key_cores(f->store, 0, UINT64_MAX, compare_core, &walk), KS_STOPPING);
	assert_int_equal(walk.seen, 1);
	assert_ok(ks_store_key_cores(f->store, 50, 40, compare_core, &walk));
	assert_int_equal(walk.seen, 1);
}

/* ---- names ---- */

static size_t count_names(struct ks_store *store, const char *part)
{
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .q = ks_str_c(part),
				       .limit = SIZE_MAX};
	size_t n = 0;

	assert_ok(ks_store_keys(store, &filter, take_no_key, &n));
	return n;
}

static void parts_of_names_are_found_whatever_their_case(void **state)
{
	static const char *const names[] = {"CRM sync",       "100% crm",      "back\\slash",
					    "under_score",    "M\xc3\x9cLLER", "\xd0\x96\xd1\x83\xd0\xba",
					    "\xc4\xb0stanbul"};
	static const struct {
		const char *part;
		size_t found;
	} cases[] = {
		{"", 7},
		{"crm", 2},
		{"CRM", 2},
		{"0% C", 1},
		{"%", 1},
		{"_", 1},
		{"\\", 1},
		{"m\xc3\xbcller", 1},
		{"\xd0\xb6\xd1\x83", 1},
		{"\xd0\x96\xd0\xa3\xd0\x9a", 1},
		{"r_s", 1},
		{"c_m", 0},
		{"crm sync and more", 0},
		{"back\\S", 1},
		{"tanbul", 1},
	};
	struct fixture *f = *state;
	char longest[KS_STORE_NAME_MAX + 2];

	assert_ok(ks_store_begin(f->store));
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		struct ks_key_row row = key_row(FIRST_KEY + i, ORG_A, ORG_A, 1);
		row.name = ks_str_c(names[i]);
		assert_ok(insert(f->store, row));
	}
	assert_ok(ks_store_commit(f->store));
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		size_t found = count_names(f->store, cases[i].part);
		if (found != cases[i].found)
			print_message("part %s\n", cases[i].part);
		assert_int_equal(found, cases[i].found);
	}
	memset(longest, '%', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(count_names(f->store, longest), 0);
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(count_names(f->store, longest), 0);
}

/* ---- lists against a naive model ---- */

#define MANY 10000
#define TENANTS 60
#define FIRST_TENANT 100

static struct ks_key_row model[MANY];
static int64_t last_used[MANY];
static char names[MANY][16];

static int64_t near_now(void)
{
	return random64() % 2 ? KS_TIME_NONE : NOW - 50 + (int64_t)(random64() % 100);
}

static void fill(struct ks_store *store)
{
	assert_ok(ks_store_begin(store));
	for (uint64_t i = 0; i < TENANTS; i++)
		put_tenant(store, FIRST_TENANT + i, ORG_A, i % 3 ? ORG_A : ORG_B, KS_TENANT_KIND_PROJECT);
	for (size_t i = 0; i < MANY; i++) {
		/* A few tenants have most of the keys. */
		uint64_t tenant = random64() % 2 ? random64() % 3 : random64() % TENANTS;
		struct ks_key_row row = key_row(FIRST_KEY + i * 3 + random64() % 3, FIRST_TENANT + tenant,
						tenant % 3 ? ORG_A : ORG_B, 1);
		row.user = random64() % 10 ? 0 : USER_A;
		row.kind = (enum ks_kind)(random64() % KS_KIND_COUNT);
		row.environment = (enum ks_environment)(random64() % KS_ENVIRONMENT_COUNT);
		row.expires_at = near_now();
		/* Rows that differ in these cannot be inserted together. */
		if (i % 600 < 300) {
			row.retires_at = near_now();
			row.revoked_at = random64() % 4 ? KS_TIME_NONE : NOW;
		}
		if (random64() % 8 == 0)
			row.tenant = row.organization;
		snprintf(names[i], sizeof(names[i]), "Key %x", (unsigned)(random64() % 4096));
		row.name = ks_str_c(names[i]);
		model[i] = row;
	}
	for (size_t i = 0; i < MANY;) {
		size_t n = random64() % 3 ? random64() % 900 : 1;
		n = KS_MIN(n, MANY - i);
		if (random64() % 4 == 0)
			assert_ok(ks_store_keys_apart(store, model[i].id));
		assert_ok(ks_store_keys_insert(store, &model[i], n));
		i += n;
	}
	for (size_t i = 0; i < MANY; i++) {
		struct ks_usage_row usage = {.key = model[i].id, .minute = NOW, .reason = KS_REASON_OK, .count = 1};
		last_used[i] = near_now();
		if (last_used[i] != KS_TIME_NONE)
			assert_ok(ks_store_usage_add(store, &usage, last_used[i], KS_STR("192.0.2.1")));
	}
	assert_ok(ks_store_commit(store));
}

static enum ks_key_status status_of(const struct ks_key_row *row)
{
	bool expired = row->expires_at != KS_TIME_NONE && row->expires_at <= NOW;
	bool retired = row->retires_at != KS_TIME_NONE && row->retires_at <= NOW;

	if (row->revoked_at != KS_TIME_NONE)
		return KS_KEY_STATUS_REVOKED;
	if (retired && (row->expires_at == KS_TIME_NONE || row->retires_at <= row->expires_at))
		return KS_KEY_STATUS_REVOKED;
	return expired ? KS_KEY_STATUS_EXPIRED : KS_KEY_STATUS_ACTIVE;
}

static bool tenant_passes(const struct ks_key_filter *filter, uint64_t tenant)
{
	bool found = !filter->tenants;

	for (size_t i = 0; i < filter->tenant_count; i++)
		found |= filter->tenants[i] == tenant;
	return found;
}

static bool passes(const struct ks_key_filter *filter, size_t i)
{
	const struct ks_key_row *row = &model[i];

	return (filter->before == 0 || row->id < filter->before) &&
	       (filter->organization == 0 || row->organization == filter->organization) &&
	       (filter->user == 0 || row->user == filter->user) && tenant_passes(filter, row->tenant) &&
	       (filter->kind == KS_KIND_COUNT || row->kind == filter->kind) &&
	       (filter->environment == KS_ENVIRONMENT_COUNT || row->environment == filter->environment) &&
	       (filter->status == KS_KEY_STATUS_ANY || status_of(row) == filter->status) &&
	       (filter->unused_since == KS_TIME_NONE || last_used[i] == KS_TIME_NONE ||
		last_used[i] < filter->unused_since) &&
	       (filter->q.n == 0 || strcasestr(names[i], filter->q.p));
}

struct expectation {
	const struct ks_key_filter *filter;
	size_t at;
	size_t rows;
};

static enum ks_err expect(void *ctx, const struct ks_key_row *row)
{
	struct expectation *expectation = ctx;

	do
		assert_true(expectation->at-- > 0);
	while (!passes(expectation->filter, expectation->at));
	assert_int_equal(row->id, model[expectation->at].id);
	assert_true(ks_str_eq(row->name, model[expectation->at].name));
	expectation->rows++;
	return KS_OK;
}

/* All pages, or, where they are small, so many that each way to go on was taken. */
static size_t read_pages(struct ks_store *store, struct ks_key_filter filter)
{
	struct expectation expectation = {&filter, MANY, 0};
	size_t before, pages = 0;

	do {
		before = expectation.rows;
		assert_ok(ks_store_keys(store, &filter, expect, &expectation));
		assert_true(expectation.rows - before <= filter.limit);
		if (expectation.rows > before)
			filter.before = model[expectation.at].id;
	} while (expectation.rows - before == filter.limit && ++pages < 30);
	if (expectation.rows - before == filter.limit)
		return expectation.rows;
	while (expectation.at-- > 0)
		assert_false(passes(&filter, expectation.at));
	return expectation.rows;
}

static struct ks_key_filter random_filter(uint64_t *tenants)
{
	static const char *const parts[] = {"", "", "", "a", "KEY", "f0", "nothing"};
	struct ks_key_filter filter = {
		.status = (enum ks_key_status)(random64() % 4),
		.kind = random64() % 3 ? KS_KIND_COUNT : (enum ks_kind)(random64() % KS_KIND_COUNT),
		.environment = random64() % 3 ? KS_ENVIRONMENT_COUNT : (enum ks_environment)(random64() % 2),
		.unused_since = random64() % 3 ? KS_TIME_NONE : NOW,
		.q = ks_str_c(parts[random64() % KS_ARRAY_LEN(parts)]),
		.now_ms = NOW,
		.limit = 1 + random64() % 600};

	if (random64() % 2)
		filter.organization = random64() % 2 ? ORG_A : ORG_B;
	if (random64() % 5 == 0)
		filter.user = USER_A;
	if (random64() % 2) {
		filter.tenants = tenants;
		filter.tenant_count = random64() % 8 ? random64() % 8 : 200;
		for (size_t i = 0; i < filter.tenant_count; i++)
			tenants[i] = FIRST_TENANT - 3 + random64() % (TENANTS + 6);
	}
	if (random64() % 3 == 0)
		filter.before = FIRST_KEY + random64() % (3 * MANY);
	return filter;
}

static void lists_are_those_of_a_naive_model(void **state)
{
	struct fixture *f = *state;
	uint64_t tenants[200];
	uint64_t segment;
	size_t rows = 0;

	seed_random();
	f->store->segment_keys = 700;
	fill(f->store);
	assert_ok(ks_store_segment_below(f->store, 0, &segment));
	assert_true(segment >= 5);
	for (int round = 0; round < 40 || rows <= MANY; round++) {
		assert_true(round < 400);
		rows += read_pages(f->store, random_filter(tenants));
	}
}

struct order {
	uint64_t ids[1000];
	size_t n;
};

static enum ks_err note_id(void *ctx, const struct ks_key_row *row)
{
	struct order *order = ctx;

	assert_true(order->n < KS_ARRAY_LEN(order->ids));
	order->ids[order->n++] = row->id;
	return KS_OK;
}

/* Lists `expected` keys in strictly falling order, by organization and by tenant, from any place. */
static void assert_order(struct ks_store *store, uint64_t before, size_t expected)
{
	static const uint64_t tenants[] = {ORG_A};
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .before = before,
				       .limit = SIZE_MAX};

	for (int by_tenant = 0; by_tenant < 2; by_tenant++) {
		struct order order = {.n = 0};
		filter.organization = by_tenant ? 0 : ORG_A;
		filter.tenants = by_tenant ? tenants : NULL;
		filter.tenant_count = 1;
		assert_ok(ks_store_keys(store, &filter, note_id, &order));
		assert_int_equal(order.n, expected);
		for (size_t i = 1; i < order.n; i++)
			assert_true(order.ids[i] < order.ids[i - 1]);
	}
}

/* Ids need not rise: each key is found where its id belongs, whatever segments there are. */
static void keys_in_any_order_are_listed_in_order(void **state)
{
	enum { COUNT = 600 };
	struct fixture *f = *state;
	uint64_t ids[COUNT];
	uint64_t segment;

	seed_random();
	f->store->segment_keys = 20;
	for (size_t i = 0; i < COUNT; i++) {
		size_t j = random64() % (i + 1);
		ids[i] = ids[j];
		ids[j] = FIRST_KEY + 2 * i;
	}
	for (size_t i = 0; i < COUNT;) {
		struct ks_key_row rows[8];
		size_t n = random64() % (KS_ARRAY_LEN(rows) + 1);
		n = KS_MIN(n, COUNT - i);
		assert_ok(ks_store_begin(f->store));
		for (size_t k = 0; k < n; k++)
			rows[k] = key_row(ids[i + k], ORG_A, ORG_A, 1);
		assert_ok(ks_store_keys_insert(f->store, rows, n));
		if (random64() % 4 == 0) {
			ks_store_rollback(f->store);
			continue;
		}
		assert_ok(ks_store_commit(f->store));
		i += n;
	}
	/* And rising ones, each of which may begin a segment that is undone. */
	for (uint64_t id = FIRST_KEY + 2 * COUNT; id < FIRST_KEY + 2 * COUNT + 100; id++) {
		assert_ok(ks_store_begin(f->store));
		assert_ok(ks_store_savepoint(f->store));
		put_key(f->store, id + 50);
		ks_store_rollback_to(f->store);
		put_key(f->store, id);
		assert_ok(ks_store_commit(f->store));
	}
	assert_ok(ks_store_segment_below(f->store, 0, &segment));
	assert_true(segment > 3);
	assert_order(f->store, 0, COUNT + 100);
	assert_order(f->store, FIRST_KEY + 2 * 100, 100);
	ks_store_close(&f->store);
	open_writer(f);
	assert_order(f->store, 0, COUNT + 100);
}

/* What the caller has proven is not looked for; and the next transaction looks again. */
static void references_are_checked_unless_proven(void **state)
{
	struct fixture *f = *state;
	struct ks_key_row row = key_row(FIRST_KEY, 99, ORG_A, 1);

	assert_ok(ks_store_begin_proven(f->store));
	assert_ok(ks_store_keys_insert(f->store, &row, 1));
	assert_int_equal(ks_store_begin_proven(f->store), KS_STORE);
	ks_store_rollback(f->store);
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_NOT_FOUND);
	ks_store_rollback(f->store);
}

static void a_segment_begins_with_new_keys_alone(void **state)
{
	struct fixture *f = *state;
	uint64_t segment;

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY + 10);
	assert_ok(ks_store_keys_apart(f->store, FIRST_KEY + 10));
	assert_ok(ks_store_keys_apart(f->store, FIRST_KEY));
	assert_ok(ks_store_segment_below(f->store, 0, &segment));
	assert_int_equal(segment, 0);
	assert_ok(ks_store_keys_apart(f->store, FIRST_KEY + 11));
	assert_ok(ks_store_keys_apart(f->store, FIRST_KEY + 11));
	put_key(f->store, FIRST_KEY + 11);
	put_key(f->store, FIRST_KEY);
	assert_ok(ks_store_segment_below(f->store, 0, &segment));
	assert_int_equal(segment, 1);
	assert_ok(ks_store_commit(f->store));
	assert_order(f->store, 0, 3);
}

static void a_list_of_none_is_empty(void **state)
{
	struct fixture *f = *state;
	uint64_t tenant = ORG_A;
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .tenants = &tenant,
				       .limit = SIZE_MAX};
	size_t n = 0;

	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_keys(f->store, &filter, take_no_key, &n));
	assert_int_equal(n, 0);
	filter.tenant_count = 1;
	filter.limit = 0;
	assert_ok(ks_store_keys(f->store, &filter, take_no_key, &n));
	filter.tenants = NULL;
	assert_ok(ks_store_keys(f->store, &filter, take_no_key, &n));
	assert_int_equal(n, 0);
	filter.limit = 1;
	assert_ok(ks_store_keys(f->store, &filter, take_no_key, &n));
	assert_int_equal(n, 1);
}

static enum ks_err count_key(void *ctx, const struct ks_key_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

static bool is_org_b(void *ctx, uint64_t tenant)
{
	(void)ctx;
	return tenant == ORG_B;
}

/* Nothing of what is asked for is there: each page looks at so many keys and says where to go on. */
static void check_pages(struct ks_store *store, struct ks_key_filter filter, size_t all)
{
	size_t pages = 0, found = 0;
	uint64_t before = 0;

	filter.limit = 10;
	do {
		uint64_t next;

		filter.before = before;
		assert_ok(ks_store_keys_page(store, &filter, count_key, &found, &next));
		assert_true(next == 0 || before == 0 || next < before);
		before = next;
		pages++;
	} while (before != 0);
	assert_int_equal(found, 0);
	assert_in_range(pages, all / (KS_STORE_EXAMINED + 2) + 1, all / KS_STORE_EXAMINED + 2);
}

static void pages_look_at_a_bounded_number_of_keys(void **state)
{
	const size_t all = 3 * KS_STORE_EXAMINED;
	const uint64_t tenants[] = {ORG_A};
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .now_ms = NOW,
				       .q = KS_STR("nowhere")};
	struct fixture *f = *state;
	size_t found = 0;
	uint64_t next;

	assert_ok(ks_store_begin(f->store));
	for (size_t i = 0; i < all; i++)
		put_key(f->store, 1000 + i);
	assert_ok(ks_store_commit(f->store));
	check_pages(f->store, filter, all);
	filter.organization = ORG_A;
	check_pages(f->store, filter, all);
	filter.organization = 0;
	filter.tenants = tenants;
	filter.tenant_count = 1;
	check_pages(f->store, filter, all);
	filter.tenants = NULL;
	filter.q = KS_STR("");
	filter.seen = is_org_b;
	check_pages(f->store, filter, all);
	/* Without a filter a page is full. */
	filter.seen = NULL;
	filter.limit = all - 1;
	assert_ok(ks_store_keys_page(f->store, &filter, count_key, &found, &next));
	assert_int_equal(found, all - 1);
	assert_int_equal(next, 0);
}

/* One of many tenants has nearly all keys. */
static void a_busy_tenant_among_many_is_gone_through_as_fast(void **state)
{
	const size_t all = 3 * KS_STORE_EXAMINED;
	uint64_t tenants[TENANTS];
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .now_ms = NOW,
				       .tenants = tenants,
				       .tenant_count = TENANTS,
				       .q = KS_STR("nowhere")};
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	for (size_t i = 0; i < TENANTS; i++) {
		struct ks_key_row row = key_row(1000 + all + i, FIRST_TENANT + i, ORG_A, 1);

		tenants[i] = FIRST_TENANT + i;
		put_tenant(f->store, tenants[i], ORG_A, ORG_A, KS_TENANT_KIND_PROJECT);
		assert_ok(ks_store_key_insert(f->store, &row));
	}
	for (size_t i = 0; i < all; i++) {
		struct ks_key_row row = key_row(1000 + i, tenants[7], ORG_A, 1);

		assert_ok(ks_store_key_insert(f->store, &row));
	}
	assert_ok(ks_store_commit(f->store));
	check_pages(f->store, filter, all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_refers_to_nothing_is_refused),
		TEST(what_is_not_there_cannot_be_changed),
		TEST(every_member_comes_back),
		TEST(the_first_revocation_stays),
		TEST(a_key_is_rotated_once),
		TEST(the_schema_itself_keeps_keys),
		TEST(many_are_as_one_by_one),
		TEST(rows_that_are_alike_but_for_one),
		TEST(a_bad_row_spoils_its_batch),
		TEST(cores_are_what_the_rows_say),
		TEST(parts_of_names_are_found_whatever_their_case),
		TEST(references_are_checked_unless_proven),
		TEST(a_segment_begins_with_new_keys_alone),
		TEST(a_list_of_none_is_empty),
		TEST(keys_in_any_order_are_listed_in_order),
		TEST(lists_are_those_of_a_naive_model),
		TEST(pages_look_at_a_bounded_number_of_keys),
		TEST(a_busy_tenant_among_many_is_gone_through_as_fast),
	};

	return cmocka_run_group_tests_name("store/keys", tests, NULL, NULL);
}
