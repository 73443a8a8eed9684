/* SPDX-License-Identifier: Apache-2.0 */
/* The ring as it was brought along change by change, and the ring made at once from the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../seed.h"
#include "engine/engine_priv.h"
#include "support.h"

#define TENANTS 60
#define KEYS 400
#define PATHS 4

struct fixture {
	struct world w;
	unsigned seed;
	uint64_t tenants[TENANTS];
	enum ks_tenant_kind kinds[TENANTS];
	size_t tenant_count;
	uint64_t users[20];
	size_t user_count;
	struct ks_key_made keys[KEYS];
	size_t key_count;
	uint8_t verdicts[KEYS][PATHS][TENANTS + 1];
};

static unsigned draw(struct fixture *f, unsigned n)
{
	f->seed = f->seed * 1103515245u + 12345u;
	return (f->seed >> 8) % n;
}

static uint64_t some_tenant(struct fixture *f)
{
	return f->tenants[draw(f, (unsigned)f->tenant_count)];
}

/* One change, such as may come; refusals are fine. */
static void grow_tree(struct fixture *f)
{
	static const enum ks_tenant_kind below[KS_TENANT_KIND_COUNT][3] = {
		[KS_TENANT_KIND_OPERATOR] = {KS_TENANT_KIND_PARTNER, KS_TENANT_KIND_ORGANIZATION,
					     KS_TENANT_KIND_ORGANIZATION},
		[KS_TENANT_KIND_PARTNER] = {KS_TENANT_KIND_ORGANIZATION, KS_TENANT_KIND_ORGANIZATION,
					    KS_TENANT_KIND_ORGANIZATION},
		[KS_TENANT_KIND_ORGANIZATION] = {KS_TENANT_KIND_SUB_ENTITY, KS_TENANT_KIND_PROJECT,
						 KS_TENANT_KIND_SUB_ENTITY},
		[KS_TENANT_KIND_SUB_ENTITY] = {KS_TENANT_KIND_PROJECT, KS_TENANT_KIND_SUB_ENTITY,
					       KS_TENANT_KIND_PROJECT},
	};
	size_t parent = draw(f, (unsigned)f->tenant_count);
	enum ks_tenant_kind kind = below[f->kinds[parent]][draw(f, 3)];

	if (f->tenant_count == TENANTS || f->kinds[parent] == KS_TENANT_KIND_PROJECT)
		return;
	if (f->kinds[parent] == KS_TENANT_KIND_SUB_ENTITY)
		kind = KS_TENANT_KIND_PROJECT;
	f->tenants[f->tenant_count] = make_tenant(&f->w, kind, f->tenants[parent], "A tenant");
	f->kinds[f->tenant_count++] = kind;
}

static void add_user(struct fixture *f)
{
	size_t org = draw(f, (unsigned)f->tenant_count);
	char email[64];

	if (f->user_count == KS_ARRAY_LEN(f->users) || f->kinds[org] != KS_TENANT_KIND_ORGANIZATION)
		return;
	(void)snprintf(email, sizeof(email), "user%zu@example.org", f->user_count);
	f->users[f->user_count++] = make_user(&f->w, f->tenants[org], email);
}

static void add_key(struct fixture *f)
{
	static const char *const scopes[] = {"contacts:read", "contacts:read contacts:write", "calls:read", ""};
	struct ks_key_input input = key_input("k", some_tenant(f), scopes[draw(f, 4)]);

	if (f->key_count == KEYS)
		return;
	if (f->user_count > 0 && draw(f, 4) == 0) {
		input.tenant = 0;
		input.user = f->users[draw(f, (unsigned)f->user_count)];
	}
	if (draw(f, 5) == 0)
		input.environment = KS_ENVIRONMENT_SANDBOX;
	if (draw(f, 8) == 0) {
		input.address_count = 1;
		assert_true(ks_cidr_parse(KS_STR("10.0.0.0/8"), &input.addresses[0]));
	}
	if (draw(f, 6) == 0) {
		input.rate_requests = 1000000;
		input.rate_window_s = 1;
	}
	if (create_key(&f->w, NULL, &input, &f->keys[f->key_count]) == KS_OK)
		f->key_count++;
}

static void change_members(struct fixture *f)
{
	size_t at = draw(f, (unsigned)f->tenant_count);

	if (f->user_count > 0)
		put_member(&f->w, f->tenants[at], f->users[draw(f, (unsigned)f->user_count)],
			   draw(f, 2) ? "administrator" : "member");
}

static void live(struct fixture *f, unsigned changes)
{
	for (unsigned i = 0; i < changes; i++) {
		switch (draw(f, 12)) {
		case 0:
		case 1:
			grow_tree(f);
			break;
		case 2:
			add_user(f);
			break;
		case 3:
			change_members(f);
			break;
		case 4:
			(void)suspend_tenant(&f->w, NULL, some_tenant(f), draw(f, 2) == 0);
			break;
		case 5:
			if (f->key_count > 0)
				(void)revoke_key(&f->w, NULL, f->keys[draw(f, (unsigned)f->key_count)].id);
			break;
		default:
			add_key(f);
			break;
		}
	}
}

/* Every key on every path for every tenant. */
static void decide_all(struct fixture *f, uint8_t verdicts[KEYS][PATHS][TENANTS + 1])
{
	static const struct {
		const char *method, *path;
	} paths[PATHS] = {{"GET", "/v1/contacts"}, {"POST", "/v1/contacts"}, {"GET", "/v1/calls"}, {"GET", "/v9"}};
	static struct ks_path scratch;
	struct ks_engine_reader reader;
	const struct ks_ring *ring;

	assert_int_equal(ks_engine_reader_open(f->w.engine, &reader), KS_OK);
	ring = ks_ringmap_reader_ring(reader.ring);
	for (size_t k = 0; k < f->key_count; k++) {
		for (size_t p = 0; p < PATHS; p++) {
			for (size_t t = 0; t <= f->tenant_count; t++) {
				struct ks_credential credential;
				struct ks_decision decision;
				char header[100], tenant[KS_ID_TEXT_SIZE] = "";
				struct ks_request request = {
					.credential = &credential,
					.method = ks_str_c(paths[p].method),
					.path = ks_str_c(paths[p].path),
					.now_ms = INT64_C(1800000000000),
				};

				if (t < f->tenant_count)
					ks_id_format((enum ks_id_type)f->kinds[t], f->tenants[t], tenant);
				request.tenant = ks_str_c(tenant);
				(void)snprintf(header, sizeof(header), "Bearer %s", f->keys[k].token);
				ks_credential_init(&credential);
				ks_credential_authorization(&credential, ks_str_c(header));
				ks_decide(ring, KS_RING_POLICY_PLATFORM, &request, &scratch, &decision);
				verdicts[k][p][t] = (uint8_t)decision.reason;
			}
		}
	}
	ks_engine_reader_close(&reader);
}

static void assert_same_verdicts(struct fixture *f)
{
	static uint8_t now[KEYS][PATHS][TENANTS + 1];

	decide_all(f, now);
	assert_memory_equal(now, f->verdicts, sizeof(now));
}

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.seed = (unsigned)test_seed();
	world_new(&f.w);
	f.tenants[f.tenant_count] = operator_of(&f.w);
	f.kinds[f.tenant_count++] = KS_TENANT_KIND_OPERATOR;
	live(&f, 250);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	world_free(&f->w);
	return 0;
}

static void a_rebuild_decides_as_the_live_ring(void **state)
{
	struct fixture *f = *state;
	struct ks_engine_stats before, after;
	unsigned allowed = 0;

	assert_in_step(&f->w);
	decide_all(f, f->verdicts);
	for (size_t k = 0; k < f->key_count; k++)
		allowed += f->verdicts[k][0][f->tenant_count] == KS_REASON_OK;
	assert_true(allowed > 0);
	ks_engine_stats(f->w.engine, &before);
	assert_int_equal(ks_engine_rebuild(f->w.engine), KS_OK);
	ks_engine_stats(f->w.engine, &after);
	assert_int_equal(after.rebuilds, before.rebuilds + 1);
	assert_true(after.generation > before.generation);
	assert_int_equal(after.position, before.position);
	assert_int_equal(after.keys, before.keys);
	assert_int_equal(after.keys_revoked, before.keys_revoked);
	assert_in_step(&f->w);
	assert_same_verdicts(f);
	/* And it is a ring like any other: what comes now is applied to it. */
	live(f, 100);
	assert_in_step(&f->w);
}

static void a_fresh_ring_at_opening_decides_the_same(void **state)
{
	struct fixture *f = *state;

	decide_all(f, f->verdicts);
	world_close(&f->w);
	f->w.options.rebuild_ring = true;
	assert_int_equal(world_open(&f->w), KS_OK);
	assert_in_step(&f->w);
	assert_same_verdicts(f);
}

/* Puts the closed world's ring back to (or forward to) another position. */
static void set_position(struct fixture *f, int64_t by)
{
	struct ks_ringmap_options options = {
		.directory = f->w.ring, .domain = ks_str_c(f->w.options.domain), .group = -1};
	struct ks_ring_geometry geometry = ks_ring_plan(1, 1, 1, 1, 1, 1);
	struct ks_ringmap_writer *writer;
	struct ks_store *store;
	struct ks_ring *ring;
	char uri[200];
	bool fresh;

	(void)snprintf(uri, sizeof(uri), "sqlite:%s/keystile.db", f->w.data);
	assert_int_equal(ks_store_open(uri, KS_STORE_READER, &store), KS_OK);
	assert_int_equal(ks_store_identity(store, options.store_id), KS_OK);
	ks_store_close(&store);
	assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, &fresh), KS_OK);
	assert_false(fresh);
	ring = ks_ringmap_writer_ring(writer);
	ks_ring_set_position(ring, (uint64_t)((int64_t)atomic_load(&ring->header->position) + by));
	ks_ringmap_writer_close(&writer);
}

static void replaying_what_was_applied_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct ks_engine_stats stats;
	const int64_t steps[] = {-1, -30, -100};

	decide_all(f, f->verdicts);
	for (size_t i = 0; i < KS_ARRAY_LEN(steps); i++) {
		world_close(&f->w);
		set_position(f, steps[i]);
		assert_int_equal(world_open(&f->w), KS_OK);
		ks_engine_stats(f->w.engine, &stats);
		assert_int_equal(stats.rebuilds, 0);
		assert_in_step(&f->w);
		assert_same_verdicts(f);
	}
}

static void a_ring_that_is_ahead_of_the_truth_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct ks_engine_stats stats;

	decide_all(f, f->verdicts);
	world_close(&f->w);
	set_position(f, 10);
	assert_int_equal(world_open(&f->w), KS_OK);
	ks_engine_stats(f->w.engine, &stats);
	assert_int_equal(stats.rebuilds, 1);
	assert_in_step(&f->w);
	assert_same_verdicts(f);
}

static enum ks_err step_many(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct fixture *f = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	for (int i = 0; i < 5000; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "name %d", i);
		KS_TRY(ks_keys_rename(tx, &local, f->keys[0].id, ks_str_c(name), refusal));
	}
	return KS_OK;
}

static void a_ring_that_the_log_does_not_reach_back_to_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct ks_engine_stats stats;

	assert_true(f->key_count > 0);
	decide_all(f, f->verdicts);
	assert_int_equal(world_change(&f->w, step_many, f), KS_OK);
	/* The next transaction forgets what the ring has applied. */
	(void)make_tenant(&f->w, KS_TENANT_KIND_ORGANIZATION, operator_of(&f->w), "Late");
	world_close(&f->w);
	set_position(f, -4000);
	assert_int_equal(world_open(&f->w), KS_OK);
	ks_engine_stats(f->w.engine, &stats);
	assert_int_equal(stats.rebuilds, 1);
	assert_in_step(&f->w);
}

static void a_removed_ring_is_made_anew(void **state)
{
	struct fixture *f = *state;
	char command[300];

	decide_all(f, f->verdicts);
	world_close(&f->w);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", f->w.ring);
	assert_int_equal(system(command), 0);
	assert_int_equal(world_open(&f->w), KS_OK);
	assert_in_step(&f->w);
	assert_same_verdicts(f);
}

static enum ks_err step_keys(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_key_input input = key_input("k", 0, "contacts:read");
	struct ks_key_made made;
	struct ks_actor local;

	(void)ctx;
	ks_actor_local(tx->ring, &local);
	for (int i = 0; i < 1500; i++)
		KS_TRY(ks_keys_create(tx, &local, &input, &made, refusal));
	return KS_OK;
}

static void keys_of_uneven_ids_are_all_read(void **state)
{
	struct fixture *f = *state;
	struct ks_engine_stats stats;

	/* Many keys within a few milliseconds, few over the time before. */
	for (int round = 0; round < 4; round++) {
		assert_int_equal(world_change(&f->w, step_keys, NULL), KS_OK);
		assert_int_equal(ks_engine_rebuild(f->w.engine), KS_OK);
		assert_in_step(&f->w);
	}
	ks_engine_stats(f->w.engine, &stats);
	assert_true(stats.keys >= 6000);
}

struct told {
	struct world *w;
	unsigned calls;
};

/* What the callback is told the statistics say too, until the end. */
static void compare_progress(void *ctx, const char *what, uint64_t done, uint64_t all)
{
	struct told *told = ctx;
	struct ks_engine_stats stats;

	told->calls++;
	if (!told->w->engine)
		return; /* while it opens */
	ks_engine_stats(told->w->engine, &stats);
	if (done >= all) {
		assert_null(stats.work);
		return;
	}
	assert_string_equal(stats.work, what);
	assert_int_equal(stats.work_done, done);
	assert_int_equal(stats.work_all, all);
}

static void work_is_told_until_its_end(void **state)
{
	struct told told = {0};
	struct ks_engine_stats stats;
	struct world w;

	(void)state;
	world_prepare(&w);
	told.w = &w;
	w.options.progress = compare_progress;
	w.options.progress_ctx = &told;
	assert_int_equal(world_open(&w), KS_OK);
	(void)make_key(&w, 0, "contacts:read");
	told.calls = 0;
	assert_int_equal(ks_engine_rebuild(w.engine), KS_OK);
	assert_true(told.calls > 0);
	ks_engine_progress(w.engine, "backup", 1, 3);
	ks_engine_progress(w.engine, "backup", 2, 3);
	ks_engine_progress(w.engine, "backup", 3, 3);
	/* What fails on its way is not told for ever. */
	ks_engine_progress(w.engine, "backup", 1, 3);
	ks_engine_work_end(w.engine);
	ks_engine_stats(w.engine, &stats);
	assert_null(stats.work);
	world_free(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ring_that_is_ahead_of_the_truth_is_made_anew),
		TEST(a_ring_that_the_log_does_not_reach_back_to_is_made_anew),
		TEST(a_removed_ring_is_made_anew),
		TEST(replaying_what_was_applied_changes_nothing),
		TEST(a_fresh_ring_at_opening_decides_the_same),
		TEST(a_rebuild_decides_as_the_live_ring),
		TEST(keys_of_uneven_ids_are_all_read),
		cmocka_unit_test(work_is_told_until_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
