/* SPDX-License-Identifier: Apache-2.0 */
/* The statements as such: in SQL that more than one database reads, and every list driven by an index. */
#include <ctype.h>
#include <sqlite3.h>

#include "fixture.h"
#include "store/sql.h"

static void statements_use_what_every_database_has(void **state)
{
	static const char *const foreign[] = {"?",        "PRAGMA", "INSERT OR", "REPLACE",  "IFNULL", "instr(",
					      "GLOB",     "ROWID",  "rowid",     "AUTOINC",  "::",     "ILIKE",
					      "strftime", "random", "json",      "LIMIT -1", "\"",     "`"};

	(void)state;
	for (int id = 0; id < KS_SQL_COUNT; id++) {
		const char *text = ks_sql_text((enum ks_sql_id)id);
		for (size_t i = 0; i < KS_ARRAY_LEN(foreign); i++) {
			if (strstr(text, foreign[i]))
				print_error("%s has %s\n", ks_sql_name((enum ks_sql_id)id), foreign[i]);
			assert_null(strstr(text, foreign[i]));
		}
	}
}

/* $1 to $n, all of them used: a database that types its parameters knows each. */
static void parameters_have_no_gaps(void **state)
{
	(void)state;
	for (int id = 0; id < KS_SQL_COUNT; id++) {
		bool used[KS_SQL_VALUES_MAX + 1] = {false};
		size_t last = 0;
		for (const char *p = ks_sql_text((enum ks_sql_id)id); *p; p++) {
			if (*p != '$')
				continue;
			assert_true(isdigit((unsigned char)p[1]));
			size_t number = strtoul(p + 1, NULL, 10);
			assert_in_range(number, 1, KS_SQL_VALUES_MAX);
			used[number] = true;
			last = KS_MAX(last, number);
		}
		for (size_t i = 1; i <= last; i++)
			assert_true(used[i]);
	}
}

struct plan {
	char steps[16][256];
	size_t n;
};

static int note_step(void *ctx, int count, char **values, char **names)
{
	struct plan *plan = ctx;

	(void)names;
	assert_int_equal(count, 4);
	assert_true(plan->n < KS_ARRAY_LEN(plan->steps));
	snprintf(plan->steps[plan->n++], sizeof(plan->steps[0]), "%s", values[3]);
	return 0;
}

static struct plan plan_of(sqlite3 *db, enum ks_sql_id id)
{
	struct plan plan = {.n = 0};
	char sql[4096];

	snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", ks_sql_text(id));
	int rc = sqlite3_exec(db, sql, note_step, &plan, NULL);
	if (rc != SQLITE_OK)
		print_error("%s: %s\n", ks_sql_name(id), sqlite3_errmsg(db));
	assert_int_equal(rc, SQLITE_OK);
	return plan;
}

static bool plan_has(const struct plan *plan, const char *part)
{
	bool found = false;

	for (size_t i = 0; i < plan->n; i++)
		found |= strstr(plan->steps[i], part) != NULL;
	return found;
}

/* These read all there is, in the order of the primary key. */
static const enum ks_sql_id whole[] = {KS_SQL_MIGRATIONS, KS_SQL_TENANTS_ALL, KS_SQL_USERS_ALL, KS_SQL_GRANTS_ALL,
					 KS_SQL_ISSUER_KEYS, KS_SQL_FOREIGN_ISSUERS_ALL, KS_SQL_USAGE_SCOPES};

static bool reads_all(enum ks_sql_id id)
{
	bool found = false;

	for (size_t i = 0; i < KS_ARRAY_LEN(whole); i++)
		found |= whole[i] == id;
	return found;
}

static void nothing_scans_a_table(void **state)
{
	struct fixture *f = *state;
	size_t checked = 0;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	for (int i = 0; i < KS_SQL_COUNT; i++) {
		enum ks_sql_id id = (enum ks_sql_id)i;
		struct plan plan = plan_of(db, id);
		for (size_t s = 0; s < plan.n; s++) {
			bool sorts = strstr(plan.steps[s], "TEMP B-TREE") != NULL;
			bool scans = strncmp(plan.steps[s], "SCAN ", 5) == 0 &&
				     !strstr(plan.steps[s], "CONSTANT ROW") &&
				     strcmp(plan.steps[s], "SCAN newest") != 0 &&
				     /* What a limit has cut short. */
				     strcmp(plan.steps[s], "SCAN behind") != 0;
			/* Sums are grouped: over the rows of one key. */
			if ((scans && !reads_all(id)) || (sorts && id != KS_SQL_USAGE))
				print_error("%s: %s\n", ks_sql_name(id), plan.steps[s]);
			assert_true(!scans || reads_all(id));
			assert_true(!sorts || id == KS_SQL_USAGE);
		}
		checked += plan.n;
	}
	assert_true(checked > 50);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Of two lower bounds the database may begin at the first and pass over all that lies before the second. */
static void lists_begin_where_they_are_asked_to(void **state)
{
	(void)state;
	for (int id = 0; id < KS_SQL_COUNT; id++) {
		const char *text = ks_sql_text((enum ks_sql_id)id);

		assert_false(strstr(text, "id > 0") && strstr(text, "id >= $"));
	}
}

static void lists_use_their_index(void **state)
{
	static const struct {
		enum ks_sql_id id;
		const char *step;
	} cases[] = {
		{KS_SQL_TENANTS, "SEARCH tenants USING INTEGER PRIMARY KEY (rowid<?)"},
		{KS_SQL_TENANTS_OF_PARENT, "tenants_parent (parent=? AND rowid<?)"},
		{KS_SQL_TENANTS_OF_ORGANIZATION, "tenants_organization (organization=? AND rowid<?)"},
		{KS_SQL_TENANTS_OF_KIND, "tenants_kind (kind=? AND rowid<?)"},
		{KS_SQL_KEYS_EXPIRING, "keys_expires (segment=? AND expires_at>? AND expires_at<?)"},
		{KS_SQL_KEYS_EXPIRING_WITH, "keys_expires (segment=? AND expires_at=? AND id>?)"},
		{KS_SQL_KEYS_UNUSED, "SEARCH k USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{KS_SQL_EVENTS, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{KS_SQL_EVENTS_AFTER, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{KS_SQL_EVENTS_OF_TYPE, "events_type (type=? AND rowid>? AND rowid<?)"},
		{KS_SQL_EVENTS_OF_TENANT, "events_tenant (tenant=? AND rowid>? AND rowid<?)"},
		{KS_SQL_EVENTS_AFTER_OF_ORGANIZATION, "events_organization (organization=? AND rowid>? AND rowid<?)"},
		{KS_SQL_USERS_OF_ORGANIZATION, "users_organization (organization=? AND rowid<?)"},
		{KS_SQL_USERS_OF_OPERATOR, "users_organization (organization=? AND rowid<?)"},
		{KS_SQL_MEMBERSHIPS_OF_TENANT, "memberships_tenant (tenant=? AND user_id<?)"},
		{KS_SQL_KEYS, "SEARCH k USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_OF_KIND, "keys_kind (kind=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_STOPPED, "keys_stopped (stopped=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_SANDBOX, "keys_sandbox (environment=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_BEHIND, "SEARCH keys USING INTEGER PRIMARY KEY (rowid<?)"},
		{KS_SQL_KEYS_OF_KIND_BEHIND, "COVERING INDEX keys_kind (kind=? AND rowid<?)"},
		{KS_SQL_KEYS_STOPPED_BEHIND, "keys_stopped (stopped=? AND rowid<?)"},
		{KS_SQL_KEYS_SANDBOX_BEHIND, "COVERING INDEX keys_sandbox (environment=? AND rowid<?)"},
		{KS_SQL_KEYS_OF_TENANT_BEHIND, "COVERING INDEX keys_tenant (segment=? AND tenant=? AND rowid<?)"},
		{KS_SQL_KEYS_BELOW_ORGANIZATION_BEHIND, "keys_organization (segment=? AND organization=? AND rowid<?)"},
		{KS_SQL_AUDIT_OF_ACTION, "audit_action (action=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_OF_ORGANIZATION, "keys_tenant (segment=? AND tenant=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_OF_ORGANIZATION, "keys_organization (segment=? AND organization=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_OF_USER, "keys_user (user_id=? AND rowid<?)"},
		{KS_SQL_KEYS_OF_TENANT, "keys_tenant (segment=? AND tenant=? AND rowid>? AND rowid<?)"},
		{KS_SQL_KEYS_OF_TENANT, "SEARCH u USING INTEGER PRIMARY KEY (rowid=?)"},
		{KS_SQL_KEY_CORES, "SEARCH keys USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{KS_SQL_USAGE, "SEARCH c USING PRIMARY KEY (key_id=? AND step=? AND start>? AND start<?)"},
		{KS_SQL_USAGE_OLD, "usage_counts_step (step=? AND start<?)"},
		{KS_SQL_AUDIT_OF_TREE, "audit_tree (tree=? AND rowid>? AND rowid<?)"},
		{KS_SQL_AUDIT_OF_TREE_AFTER, "audit_tree (tree=? AND rowid>? AND rowid<?)"},
		{KS_SQL_AUDIT_OF_ADDRESS, "audit_address (address=? AND rowid>? AND rowid<?)"},
		{KS_SQL_AUDIT_OF_OUTCOME, "audit_outcome (outcome=? AND rowid>? AND rowid<?)"},
		{KS_SQL_AUDIT_OF_ADDRESS_AFTER, "audit_address (address=? AND rowid>? AND rowid<?)"},
		{KS_SQL_AUDIT_UNBUILT, "audit_unbuilt"},
		{KS_SQL_AUDIT_LAST_POSITION, "audit_tree (tree=?)"},
		{KS_SQL_AUDIT_LAST_LEAVES, "audit_tree (tree=?)"},
		{KS_SQL_AUDIT_NEXT_TREE, "COVERING INDEX audit_tree (tree>?)"},
		{KS_SQL_AUDIT_OF_TENANT, "audit_tenant (tenant=? AND rowid>? AND rowid<?)"},
		{KS_SQL_AUDIT_OF_ACTOR, "audit_actor (actor=? AND rowid>? AND rowid<?)"},
		{KS_SQL_IDEMPOTENCY_TRIM, "idempotency_created"},
		{KS_SQL_PROVIDERS_OF_ORGANIZATION, "providers_organization (organization=? AND rowid<?)"},
		{KS_SQL_PROVIDERS_OF_TENANT, "providers_tenant (tenant=? AND rowid<?)"},
		{KS_SQL_PROVIDERS_WAITING, "providers_waiting (id>?)"},
		{KS_SQL_FIELD_VERSIONS_OPEN, "SEARCH field_versions USING PRIMARY KEY (provider=?)"},
		{KS_SQL_SETS_DRAINING, "provider_sets_draining (ended_at>? AND ended_at<?)"},
		{KS_SQL_LEASES_ANY, "leases_call (provider=? AND set_number=?)"},
		{KS_SQL_LEASES_FROM, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
	};
	struct fixture *f = *state;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct plan plan = plan_of(db, cases[i].id);
		if (!plan_has(&plan, cases[i].step)) {
			for (size_t s = 0; s < plan.n; s++)
				print_error("%s: %s\n", ks_sql_name(cases[i].id), plan.steps[s]);
		}
		assert_true(plan_has(&plan, cases[i].step));
	}
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_use_what_every_database_has),
		cmocka_unit_test(parameters_have_no_gaps),
		TEST(nothing_scans_a_table),
		cmocka_unit_test(lists_begin_where_they_are_asked_to),
		TEST(lists_use_their_index),
	};

	return cmocka_run_group_tests_name("store/sql", tests, NULL, NULL);
}
