/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support.h"

static void refuses_without_a_store(void **state)
{
	struct world w;

	(void)state;
	world_prepare(&w);
	w.options.create = false;
	assert_int_equal(world_open(&w), KS_NOT_FOUND);
	assert_non_null(strstr(w.problem.text, "no store"));
	assert_null(w.engine);
	world_free(&w);
}

static void refuses_a_directory_that_others_write_to(void **state)
{
	struct world w;

	(void)state;
	world_prepare(&w);
	assert_int_equal(chmod(w.data, 0770), 0);
	assert_int_equal(world_open(&w), KS_FORBIDDEN);
	assert_int_equal(chmod(w.data, 0700), 0);
	world_free(&w);
}

static void refuses_bad_options(void **state)
{
	struct world w;

	(void)state;
	world_prepare(&w);
	w.options.prefix_live = "Not A Prefix";
	assert_int_equal(world_open(&w), KS_MALFORMED);
	w.options.prefix_live = "ks";
	w.options.data_directory = "";
	assert_int_equal(world_open(&w), KS_MALFORMED);
	w.options.data_directory = w.policy_path;
	assert_int_equal(world_open(&w), KS_MALFORMED);
	assert_non_null(strstr(w.problem.text, "not a directory"));
	w.options.data_directory = w.data;
	w.options.store_uri = "mysql://x";
	assert_int_equal(world_open(&w), KS_MALFORMED);
	world_free(&w);
}

static void names_the_place_of_a_bad_policy(void **state)
{
	struct world w;
	struct stat st;
	char store[200];

	(void)state;
	world_prepare(&w);
	world_write_policy(&w, "version: 1\nscopes:\n  \"keystile:x\": {about: No}\n");
	assert_int_equal(world_open(&w), KS_MALFORMED);
	assert_non_null(strstr(w.problem.text, "policy.yaml:3:"));
	/* Nothing was made before the policy was read. */
	(void)snprintf(store, sizeof(store), "%s/keystile.db", w.data);
	assert_int_equal(stat(store, &st), -1);
	w.options.policy_path = "/nowhere/policy.yaml";
	assert_int_equal(world_open(&w), KS_NOT_FOUND);
	world_free(&w);
}

static void refuses_a_policy_that_is_too_large(void **state)
{
	struct world w;
	FILE *f;

	(void)state;
	world_prepare(&w);
	f = fopen(w.policy_path, "w");
	assert_non_null(f);
	for (unsigned i = 0; i <= KS_POLICY_TEXT_MAX / 64; i++)
		assert_true(fprintf(f, "%63s\n", "#") == 64);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(world_open(&w), KS_MALFORMED);
	assert_non_null(strstr(w.problem.text, "larger than"));
	world_free(&w);
}

static void a_second_engine_is_told_that_it_is_busy(void **state)
{
	struct world w;
	struct ks_engine *second = NULL;
	struct ks_engine_problem problem;
	char pid[32];

	(void)state;
	world_new(&w);
	assert_int_equal(ks_engine_open(&w.options, &second, &problem), KS_BUSY);
	assert_null(second);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(problem.text, pid));
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	world_free(&w);
}

static void a_new_store_has_the_operator_and_no_key(void **state)
{
	struct world w;
	struct ks_key_made made, again;
	struct ks_engine_stats stats;
	struct key_seen seen;

	(void)state;
	world_new(&w);
	assert_true(ks_engine_is_fresh(w.engine));
	assert_int_equal(ks_engine_first_key(w.engine, &made), KS_OK);
	assert_false(ks_engine_is_fresh(w.engine));
	assert_true(see_key(&w, made.id, &seen));
	assert_string_equal(seen.name, "first key");
	assert_string_equal(seen.created_by, "local");
	assert_int_equal(seen.row.binding, KS_BINDING_OPERATOR);
	assert_int_equal(seen.row.kind, KS_KIND_TENANT);
	assert_true(seen.row.expires_at == KS_TIME_NONE);
	assert_string_equal(seen.grant, "{\"addresses\":[],\"rate_limit\":null,\"roles\":[],"
					"\"scopes\":[\"keystile:keys:read\",\"keystile:keys:write\"]}");
	assert_int_equal(ks_engine_first_key(w.engine, &again), KS_CONFLICT);
	ks_engine_stats(w.engine, &stats);
	assert_int_equal(stats.tenants, 1);
	assert_int_equal(stats.keys, 1);
	assert_true(stats.ready);
	assert_in_step(&w);
	world_free(&w);
}

static void the_first_key_is_still_due_after_a_start_that_was_cut_short(void **state)
{
	struct world w;
	struct ks_key_made made;

	(void)state;
	world_new(&w);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_true(ks_engine_is_fresh(w.engine));
	assert_int_equal(ks_engine_first_key(w.engine, &made), KS_OK);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_false(ks_engine_is_fresh(w.engine));
	world_free(&w);
}

static void the_data_directory_is_for_its_owner_alone(void **state)
{
	struct world w;
	char data[160], store[200];
	struct stat st;

	(void)state;
	world_prepare(&w);
	(void)snprintf(data, sizeof(data), "%s/a/b", w.data);
	w.options.data_directory = data;
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(stat(data, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)snprintf(store, sizeof(store), "%s/keystile.db", data);
	assert_int_equal(stat(store, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	world_free(&w);
}

static void ring_links_to_the_directory_in_use(void **state)
{
	struct world w;
	char link[200], target[300];
	ssize_t n;

	(void)state;
	world_new(&w);
	(void)snprintf(link, sizeof(link), "%s/ring", w.data);
	n = readlink(link, target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = '\0';
	assert_string_equal(target, w.ring);
	assert_string_equal(ks_engine_ring_directory(w.engine), w.ring);
	world_close(&w);
	/* Left to choose, it takes memory, or its own directory; in either case the link follows. */
	w.options.ring_directory = NULL;
	assert_int_equal(world_open(&w), KS_OK);
	n = readlink(link, target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = '\0';
	assert_string_equal(target, ks_engine_ring_directory(w.engine));
	assert_true(strncmp(target, "/dev/shm/keystile-", 18) == 0 || strstr(target, "/ring-files") != NULL);
	world_close(&w);
	if (strncmp(target, "/dev/shm/keystile-", 18) == 0) {
		char command[400];

		(void)snprintf(command, sizeof(command), "rm -rf '%s'", target);
		assert_int_equal(system(command), 0);
	}
	world_free(&w);
}

/* Who has a ring by its own name must not go on with it when the service has moved to another. */
static void a_ring_that_was_moved_accepts_nobody(void **state)
{
	struct world w;
	struct ks_key_made made;
	struct ks_ringmap_reader *stays, *follows;
	char old[200], link[200];

	(void)state;
	world_new(&w);
	made = make_key(&w, 0, "contacts:read");
	(void)snprintf(old, sizeof(old), "%s", w.ring);
	(void)snprintf(link, sizeof(link), "%s/ring", w.data);
	assert_int_equal(ks_ringmap_reader_open(old, &stays), KS_OK);
	assert_int_equal(ks_ringmap_reader_open(link, &follows), KS_OK);
	assert_non_null(ks_ringmap_reader_ring(stays));
	world_close(&w);
	/* Between two runs of the service decisions go on. */
	assert_non_null(ks_ringmap_reader_ring(stays));
	(void)snprintf(w.ring, sizeof(w.ring), "%s/elsewhere", w.data);
	assert_int_equal(world_open(&w), KS_OK);
	assert_null(ks_ringmap_reader_ring(stays));
	assert_int_equal(ask(&w, made.token), KS_REASON_OK);
	ks_ringmap_reader_close(&stays);
	ks_ringmap_reader_close(&follows);
	assert_int_equal(ks_ringmap_reader_open(old, &stays), KS_NOT_FOUND);
	assert_int_equal(ks_ringmap_reader_open(link, &follows), KS_OK);
	ks_ringmap_reader_close(&follows);
	world_free(&w);
}

static void a_reload_takes_a_good_policy_and_leaves_a_bad_one(void **state)
{
	struct world w;
	struct ks_key_made made;
	struct ks_engine_policy before, after;
	uint64_t org;

	(void)state;
	world_new(&w);
	org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	made = make_key(&w, org, "contacts:read");
	assert_int_equal(decide(&w, made.token, "GET", "/v2/contacts", ""), KS_REASON_ROUTE_UNKNOWN);
	before = ks_engine_policy(w.engine);
	world_write_policy(&w, "version: 1\nscopes: [\n");
	assert_int_equal(ks_engine_reload_policy(w.engine, &w.problem), KS_MALFORMED);
	assert_int_equal(ask(&w, made.token), KS_REASON_OK);
	assert_int_equal(unlink(w.policy_path), 0);
	assert_int_equal(ks_engine_reload_policy(w.engine, &w.problem), KS_MALFORMED);
	world_write_policy(
		&w,
		"version: 1\nscopes:\n  contacts:read: {about: Read}\nfamilies:\n  c:\n    routes: [\"/v2/contacts\"]\n"
		"    kinds: [tenant]\n    scopes: {GET: contacts:read}\n");
	assert_int_equal(ks_engine_reload_policy(w.engine, &w.problem), KS_OK);
	after = ks_engine_policy(w.engine);
	assert_true(after.epoch > before.epoch);
	/* Who holds the old catalogue can go on reading it. */
	assert_non_null(ks_policy_scope(before.platform, KS_STR("calls:read")));
	assert_null(ks_policy_scope(after.platform, KS_STR("calls:read")));
	ks_engine_policy_release(&before);
	ks_engine_policy_release(&after);
	assert_int_equal(ask(&w, made.token), KS_REASON_ROUTE_UNKNOWN);
	assert_int_equal(decide(&w, made.token, "GET", "/v2/contacts", ""), KS_REASON_OK);
	world_free(&w);
}

static void without_a_policy_every_route_is_unknown(void **state)
{
	struct world w;
	struct ks_key_made made;
	uint64_t org;

	(void)state;
	world_new(&w);
	org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	made = make_key(&w, org, "contacts:read");
	world_close(&w);
	/* The ring is taken over, the policy that stood in it is not. */
	w.options.policy_path = NULL;
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(ask(&w, made.token), KS_REASON_ROUTE_UNKNOWN);
	world_free(&w);
}

static void a_restored_backup_makes_the_ring_anew(void **state)
{
	struct world w;
	struct ks_key_made kept, later;
	char backup[200];
	uint64_t org;

	(void)state;
	world_new(&w);
	org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	kept = make_key(&w, org, "contacts:read");
	(void)snprintf(backup, sizeof(backup), "%s/backup.db", w.data);
	assert_int_equal(ks_engine_backup(w.engine, backup), KS_OK);
	assert_int_equal(ks_engine_backup(w.engine, backup), KS_CONFLICT);
	later = make_key(&w, org, "contacts:read");
	assert_int_equal(ks_engine_restore(&w.options, backup, &w.problem), KS_BUSY);
	world_close(&w);
	assert_int_equal(ks_engine_restore(&w.options, w.policy_path, &w.problem), KS_CORRUPT);
	assert_int_equal(ks_engine_restore(&w.options, backup, &w.problem), KS_OK);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(ask(&w, kept.token), KS_REASON_OK);
	assert_int_equal(ask(&w, later.token), KS_REASON_CREDENTIAL_INVALID);
	assert_in_step(&w);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_without_a_store),
		cmocka_unit_test(refuses_a_directory_that_others_write_to),
		cmocka_unit_test(refuses_bad_options),
		cmocka_unit_test(names_the_place_of_a_bad_policy),
		cmocka_unit_test(refuses_a_policy_that_is_too_large),
		cmocka_unit_test(a_second_engine_is_told_that_it_is_busy),
		cmocka_unit_test(a_new_store_has_the_operator_and_no_key),
		cmocka_unit_test(the_first_key_is_still_due_after_a_start_that_was_cut_short),
		cmocka_unit_test(the_data_directory_is_for_its_owner_alone),
		cmocka_unit_test(ring_links_to_the_directory_in_use),
		cmocka_unit_test(a_ring_that_was_moved_accepts_nobody),
		cmocka_unit_test(a_reload_takes_a_good_policy_and_leaves_a_bad_one),
		cmocka_unit_test(without_a_policy_every_route_is_unknown),
		cmocka_unit_test(a_restored_backup_makes_the_ring_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
