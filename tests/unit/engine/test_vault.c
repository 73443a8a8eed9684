/* SPDX-License-Identifier: Apache-2.0 */
/* The vault where no call over HTTP reaches: what fails in the middle, with openers that do as they are told. */
#include "vault_world.h"

/* ---- erasing ---- */

struct erasing {
	uint64_t organization;
	enum ks_err after;           /* what the job ends with */
};

static enum ks_err run_erase(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const struct erasing *e = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	KS_TRY(ks_vault_organization_erase(tx, &actor, e->organization, refusal));
	/* The keeper is told nothing while it may still be undone. */
	assert_int_equal(told.forgotten, 0);
	return e->after;
}

static void a_key_is_forgotten_when_its_erasure_is_durable(void **state)
{
	struct vault *v = *state;

	make_pair(v);
	assert_int_equal(world_change(&v->w, run_erase, &(struct erasing){v->organization, KS_CONFLICT}), KS_CONFLICT);
	assert_int_equal(told.forgotten, 0);
	assert_string_equal(value_of(v, "password"), "first");
	assert_int_equal(world_change(&v->w, run_erase, &(struct erasing){v->organization, KS_OK}), KS_OK);
	assert_int_equal(told.forgotten, 1);
	assert_string_equal(value_of(v, "password"), ks_err_text(KS_CONFLICT));
}

static void what_was_sealed_before_an_erasure_is_not_written_after_it(void **state)
{
	struct vault *v = *state;
	struct ks_vault_prepared *prepared;

	make_pair(v);
	assert_int_equal(prepare(v, "password", KS_FIELD_KIND_HELD, "late", &prepared), KS_OK);
	assert_int_equal(world_change(&v->w, run_erase, &(struct erasing){v->organization, KS_OK}), KS_OK);
	assert_int_equal(world_change(&v->w, run_put, &(struct putting){prepared}), KS_CONFLICT);
	ks_vault_prepared_free(&prepared);
	assert_string_equal(value_of(v, "password"), ks_err_text(KS_CONFLICT));
	/* A new key, and all begins anew. */
	put(v, "user", "alice");
	put(v, "password", "second");
	assert_string_equal(value_of(v, "password"), "second");
}

static enum ks_err run_delete(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_vault_provider_delete(tx, &actor, *(uint64_t *)ctx, refusal);
}

struct using {
	struct ks_vault_fields *fields;
	const char *call;            /* NULL: "c" */
	uint64_t erases;             /* erases this organization first, in the same transaction */
	struct ks_vault_lease lease;
};

static enum ks_err run_use(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct using *u = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	if (u->erases)
		KS_TRY(ks_vault_organization_erase(tx, &actor, u->erases, refusal));
	return ks_vault_use(tx, &actor,
			    &(struct ks_vault_use){
				    .action = "secret.reveal", .fields = u->fields, .call = ks_str_c(u->call ? u->call : "c")},
			    &u->lease, refusal);
}

static void what_was_read_before_an_erasure_does_not_leave_after_it(void **state)
{
	struct vault *v = *state;
	struct ks_vault_fields *fields;
	uint64_t before = ks_vault_epoch(v->w.engine), other;
	struct using u = {0};

	make_pair(v);
	assert_int_equal(ks_vault_read(v->w.engine, v->reader.store, v->provider, KS_STR("c"), 0, &fields), KS_OK);
	u.fields = fields;
	/* Another organization's key is none of ours. */
	other = make_tenant(&v->w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	assert_int_equal(world_change(&v->w, run_erase, &(struct erasing){other, KS_OK}), KS_OK);
	assert_int_equal(world_change(&v->w, run_use, &u), KS_OK);
	assert_false(u.lease.stale);
	u.erases = v->organization;
	assert_int_equal(world_change(&v->w, run_use, &u), KS_OK);
	assert_true(u.lease.stale);
	u.erases = 0;
	assert_int_not_equal(ks_vault_epoch(v->w.engine), before);
	assert_int_equal(world_change(&v->w, run_use, &u), KS_OK);
	assert_true(u.lease.stale);
	assert_int_equal(audit_count(&v->w, "secret.reveal"), 1);
	ks_vault_fields_free(&fields);
}

static void what_is_kept_in_memory_is_confirmed_or_read_anew(void **state)
{
	struct vault *v = *state;
	struct ks_vault_fields *first, *kept, *anew;
	struct using u = {0};
	uint64_t set;

	make_pair(v);
	first = read_for_use(v, false);
	set = first->set;
	ks_vault_fields_free(&first);
	put(v, "password", "second");
	kept = read_for_use(v, false);
	assert_int_equal(kept->set, set);
	assert_int_equal(kept->count, 2);
	u.fields = kept;
	assert_int_equal(world_change(&v->w, run_use, &u), KS_OK);
	assert_true(u.lease.stale);
	assert_int_equal(audit_count(&v->w, "secret.reveal"), 0);
	anew = read_for_use(v, true);
	assert_int_not_equal(anew->set, set);
	u.fields = anew;
	assert_int_equal(world_change(&v->w, run_use, &u), KS_OK);
	assert_false(u.lease.stale);
	ks_vault_fields_free(&kept);
	ks_vault_fields_free(&anew);
	/* The one that was stale is not handed out again. */
	kept = read_for_use(v, false);
	assert_int_not_equal(kept->set, set);
	ks_vault_fields_free(&kept);
}

static bool is_stale(struct vault *v, struct using *u)
{
	assert_int_equal(world_change(&v->w, run_use, u), KS_OK);
	return u->lease.stale;
}

static enum ks_err keep_set(void *ctx, const struct ks_provider_set_row *row)
{
	*(struct ks_provider_set_row *)ctx = *row;
	return KS_OK;
}

struct forgetting {
	int64_t before;
	size_t limit;
	uint64_t after;
};

static enum ks_err run_forget(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct forgetting *f = ctx;

	(void)refusal;
	return ks_store_leases_forget(tx->store, f->before, f->limit, &f->after);
}

static enum ks_err run_end(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_vault_release(tx, &actor, *(uint64_t *)ctx, refusal);
}

static void count_leases(struct vault *v, uint64_t *ret_all, uint64_t *ret_counted)
{
	uint64_t open;
	struct ks_provider_set_row set;

	assert_int_equal(ks_store_leases_count(v->reader.store, v->provider, 1, 0, ret_all, &open), KS_OK);
	assert_int_equal(ks_store_set_get(v->reader.store, v->provider, 1, keep_set, &set), KS_OK);
	*ret_counted = set.calls;
}

/* Ten calls; every other one is over. They are gone through three at a time. */
static void leases_that_ended_are_forgotten_and_counted(void **state)
{
	struct vault *v = *state;
	struct using u = {0};
	struct forgetting f = {.limit = 3};
	uint64_t all, counted;
	char call[8];

	make_pair(v);
	u.fields = read_for_use(v, false);
	for (int i = 0; i < 10; i++) {
		snprintf(call, sizeof(call), "c%d", i);
		u.call = call;
		assert_false(is_stale(v, &u));
		if (i % 2 == 0)
			assert_int_equal(world_change(&v->w, run_end, &u.lease.id), KS_OK);
	}
	ks_vault_fields_free(&u.fields);
	/* Those that began later than that did not end before it, and are not looked at. */
	f.before = ((int64_t)time(NULL) - 3600) * 1000;
	assert_int_equal(world_change(&v->w, run_forget, &f), KS_OK);
	assert_int_equal(f.after, 0);
	count_leases(v, &all, &counted);
	assert_int_equal(all, 10);
	f.before = ((int64_t)time(NULL) + 2) * 1000;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(world_change(&v->w, run_forget, &f), KS_OK);
		assert_int_not_equal(f.after, 0);
	}
	assert_int_equal(world_change(&v->w, run_forget, &f), KS_OK);
	assert_int_equal(f.after, 0);
	count_leases(v, &all, &counted);
	assert_int_equal(all, 5);
	assert_int_equal(counted, 5);
}

static enum ks_err run_put_and_fail(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	KS_TRY(run_put(tx, ctx, refusal));
	return KS_MALFORMED;
}

static void a_set_that_was_replaced_takes_no_more_calls(void **state)
{
	struct vault *v = *state;
	struct ks_vault_prepared *prepared;
	struct using u = {0};

	make_pair(v);
	u.fields = read_for_use(v, false);
	u.call = "first";
	assert_false(is_stale(v, &u));
	/* One that became current in a transaction that was undone never was. */
	assert_int_equal(prepare(v, "password", KS_FIELD_KIND_HELD, "second", &prepared), KS_OK);
	assert_int_equal(world_change(&v->w, run_put_and_fail, &(struct putting){prepared}), KS_MALFORMED);
	u.call = "second";
	assert_false(is_stale(v, &u));
	assert_int_equal(world_change(&v->w, run_put, &(struct putting){prepared}), KS_OK);
	ks_vault_prepared_free(&prepared);
	u.call = "third";
	assert_true(is_stale(v, &u));
	ks_vault_fields_free(&u.fields);
	u.fields = read_for_use(v, true);
	assert_false(is_stale(v, &u));
	assert_int_equal(world_change(&v->w, run_delete, &v->provider), KS_OK);
	u.call = "fourth";
	assert_true(is_stale(v, &u));
	ks_vault_fields_free(&u.fields);
}

static void what_is_kept_in_memory_is_wiped_with_the_key(void **state)
{
	struct vault *v = *state;
	struct ks_vault_fields *fields;

	make_pair(v);
	fields = read_for_use(v, false);
	assert_true(fields->wrapped.n > 0);
	ks_vault_fields_free(&fields);
	assert_int_equal(world_change(&v->w, run_erase, &(struct erasing){v->organization, KS_OK}), KS_OK);
	assert_int_equal(ks_vault_read_for_use(v->w.engine, v->reader.store, v->provider, KS_STR("c"), 0, false, &fields),
			 KS_CONFLICT);
}

/* ---- probes ---- */

struct probing {
	uint64_t provider, version;
	enum ks_vault_probe outcome;
};

static enum ks_err run_probed(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const struct probing *p = ctx;

	(void)refusal;
	return ks_vault_probed(tx, p->provider, &(struct ks_vault_version){KS_STR("password"), p->version, true}, 1, p->outcome,
			       "credential_refused");
}

static enum ks_err probed(struct vault *v, uint64_t version, enum ks_vault_probe outcome)
{
	return world_change(&v->w, run_probed, &(struct probing){v->provider, version, outcome});
}

static bool has_candidate(struct vault *v)
{
	struct ks_vault_fields *fields;
	enum ks_err err = ks_vault_candidate(v->w.engine, v->reader.store, v->provider, &fields);

	if (err == KS_OK)
		ks_vault_fields_free(&fields);
	else
		assert_int_equal(err, KS_CONFLICT);
	return err == KS_OK;
}

static void a_probe_decides_of_what_it_tried_alone(void **state)
{
	struct vault *v = *state;

	make_pair(v);
	assert_false(has_candidate(v));
	told.probed = true;
	put(v, "password", "second");
	assert_true(has_candidate(v));
	assert_string_equal(value_of(v, "password"), "first");
	/* Nothing is known: it goes on waiting. */
	assert_int_equal(probed(v, 2, KS_VAULT_PROBE_UNCLEAR), KS_OK);
	assert_true(has_candidate(v));
	assert_string_equal(value_of(v, "password"), "first");
	/* A newer one came while the probe ran: what it found is of no use. */
	put(v, "password", "third");
	assert_int_equal(probed(v, 2, KS_VAULT_PROBE_GOOD), KS_CONFLICT);
	assert_string_equal(value_of(v, "password"), "first");
	assert_int_equal(probed(v, 3, KS_VAULT_PROBE_BAD), KS_OK);
	assert_false(has_candidate(v));
	assert_int_equal(probed(v, 3, KS_VAULT_PROBE_GOOD), KS_CONFLICT);
	assert_string_equal(value_of(v, "password"), "first");
	put(v, "password", "fourth");
	assert_int_equal(probed(v, 4, KS_VAULT_PROBE_GOOD), KS_OK);
	assert_string_equal(value_of(v, "password"), "fourth");
	assert_int_equal(audit_count(&v->w, "secret.probe_failed"), 1);
}

struct failing {
	uint64_t provider, set;
	int64_t later_ms;
	bool back;
};

static enum ks_err run_failing(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct failing *f = ctx;
	struct ks_tx then = *tx;

	(void)refusal;
	then.now_ms += f->later_ms;
	return ks_vault_failing(&then, f->provider, f->set, "credential_refused", &f->back);
}

static bool goes_back(struct vault *v, uint64_t set, int64_t later_ms)
{
	struct failing f = {.provider = v->provider, .set = set, .later_ms = later_ms};

	assert_int_equal(world_change(&v->w, run_failing, &f), KS_OK);
	return f.back;
}

static void a_set_is_undone_within_its_time_once(void **state)
{
	struct vault *v = *state;

	make_pair(v);
	assert_false(goes_back(v, 1, 0));                  /* there is nothing before the first */
	put(v, "password", "second");
	assert_false(goes_back(v, 1, 0));                  /* another one is current by now */
	assert_false(goes_back(v, 2, INT64_C(1) << 40));   /* its time is over */
	assert_true(goes_back(v, 2, 0));
	assert_string_equal(value_of(v, "password"), "first");
	assert_false(goes_back(v, 3, 0));                  /* what was gone back to is not undone */
	assert_string_equal(value_of(v, "password"), "first");
}

/* ---- opening ---- */

static void what_the_keeper_does_not_open_is_no_value(void **state)
{
	struct vault *v = *state;
	static const enum ks_err errors[] = {KS_KEEPER, KS_KMS, KS_FULL, KS_MEMORY};

	make_pair(v);
	for (size_t i = 0; i < KS_ARRAY_LEN(errors); i++) {
		told.open_err = errors[i];
		assert_string_equal(value_of(v, "password"), ks_err_text(errors[i]));
	}
	told.open_err = KS_OK;
	assert_string_equal(value_of(v, "password"), "first");
}

static void input_that_is_wrong_gets_no_number(void **state)
{
	struct vault *v = *state;
	struct ks_vault_prepared *prepared;
	char long_name[KS_STORE_FIELD_NAME_MAX + 8];

	assert_int_equal(make_provider(v, "none"), KS_MALFORMED);
	make_pair(v);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(put_kind(v, "", KS_FIELD_KIND_HELD, "x"), KS_NOT_FOUND);
	assert_int_equal(put_kind(v, "other", KS_FIELD_KIND_HELD, "x"), KS_NOT_FOUND);
	assert_int_equal(put_kind(v, long_name, KS_FIELD_KIND_HELD, "x"), KS_NOT_FOUND);
	assert_int_equal(put_kind(v, "password", KS_FIELD_KIND_HELD, ""), KS_MALFORMED);
	assert_int_equal(put_kind(v, "password", KS_FIELD_KIND_HELD, "\xff"), KS_MALFORMED);
	assert_int_equal(put_kind(v, "password", KS_FIELD_KIND_REFERENCE, "none"), KS_MALFORMED);
	assert_string_equal(v->w.refusal.pointer, "/reference");
	assert_int_equal(prepare(v, "password", KS_FIELD_KIND_HELD, "second", &prepared), KS_OK);
	assert_int_equal(ks_vault_prepared_version(prepared), 2);
	ks_vault_prepared_free(&prepared);
	/* One that was prepared and never written leaves its number unused. */
	assert_int_equal(prepare(v, "password", KS_FIELD_KIND_HELD, "third", &prepared), KS_OK);
	assert_int_equal(ks_vault_prepared_version(prepared), 3);
	ks_vault_prepared_free(&prepared);
	assert_string_equal(value_of(v, "password"), "first");
}

/* ---- references ---- */

static void references_are_read_together_until_one_deadline(void **state)
{
	struct vault *v = *state;
	char name[16];

	assert_int_equal(make_provider(v, "wide"), KS_OK);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "field_%d", i);
		assert_int_equal(put_kind(v, name, KS_FIELD_KIND_REFERENCE, "{}"), KS_OK);
	}
	told.together = AT_ONCE;
	assert_string_equal(value_of(v, "field_9"), "{}");
	assert_int_equal(told.fetched, 10);
	assert_int_equal(told.deadlines, 10);
	assert_false(told.worked);
	told.fetch_code = "secret_gone";
	assert_string_equal(value_of(v, "field_0"), "secret_gone");
}

/* ---- values elsewhere ---- */

static bool next_work(struct vault *v, struct ks_vault_held_work *ret_work)
{
	struct ks_vault_held_work first = {.asked = 0};
	enum ks_err err = ks_vault_held_next(v->reader.store, &first, ret_work);

	if (err != KS_OK)
		assert_int_equal(err, KS_NOT_FOUND);
	return err == KS_OK;
}

static void follow_all(struct vault *v)
{
	struct ks_vault_held_work work;

	while (next_work(v, &work))
		assert_int_equal(ks_vault_held_done(v->w.engine, &work), KS_OK);
}

static void what_is_written_elsewhere_is_read_from_there(void **state)
{
	struct vault *v = *state;

	go_elsewhere(v);
	make_pair(v);
	assert_int_equal(told.secret_count, 2);
	assert_string_equal(value_of(v, "password"), "first");
	told.get_err = KS_KMS;
	assert_string_equal(value_of(v, "password"), "held_store_unavailable");
	told.get_err = KS_OK;
	/* Not taken there, not written here; its number is never given again. */
	told.put_err = KS_KMS;
	assert_int_equal(put_kind(v, "password", KS_FIELD_KIND_HELD, "lost"), KS_KMS);
	assert_string_equal(v->w.refusal.code, "held_store_unavailable");
	assert_string_equal(value_of(v, "password"), "first");
	told.put_err = KS_OK;
	put(v, "password", "third");
	assert_int_equal(told.secrets[2].version, 3);
	assert_string_equal(value_of(v, "password"), "third");
	/* Bytes of another version, and bytes that are no more than nothing. */
	memcpy(told.secrets[2].bytes, told.secrets[1].bytes, told.secrets[1].n);
	told.secrets[2].n = told.secrets[1].n;
	assert_string_equal(value_of(v, "password"), "value_unreadable");
	told.secrets[2].n = 1;
	assert_string_equal(value_of(v, "password"), "value_unreadable");
	/* References stay in the store. */
	assert_int_equal(put_kind(v, "user", KS_FIELD_KIND_REFERENCE, "{}"), KS_OK);
	assert_int_equal(told.secret_count, 3);
}

static void stages_elsewhere_follow_each_change(void **state)
{
	struct vault *v = *state;
	struct ks_vault_held_work work;

	go_elsewhere(v);
	make_pair(v);
	follow_all(v);
	assert_false(next_work(v, &work));
	told.probed = true;
	put(v, "password", "second");
	assert_true(next_work(v, &work));
	assert_string_equal(work.field, "password");
	assert_int_equal(work.current, 1);
	assert_int_equal(work.pending, 2);
	assert_int_equal(work.previous, 0);
	/* What changes while it follows is followed, too. */
	assert_int_equal(probed(v, 2, KS_VAULT_PROBE_GOOD), KS_OK);
	assert_int_equal(ks_vault_held_done(v->w.engine, &work), KS_OK);
	assert_true(next_work(v, &work));
	assert_int_equal(work.current, 2);
	assert_int_equal(work.pending, 0);
	assert_int_equal(work.previous, 1);
	follow_all(v);
	assert_true(goes_back(v, 2, 0));
	assert_true(next_work(v, &work));
	assert_int_equal(work.current, 1);
	assert_int_equal(work.previous, 2);
	assert_false(work.gone);
	follow_all(v);
	assert_int_equal(world_change(&v->w, run_delete, &v->provider), KS_OK);
	for (size_t i = 0; i < 2; i++) {
		assert_true(next_work(v, &work));
		assert_true(work.gone);
		assert_int_equal(ks_vault_held_done(v->w.engine, &work), KS_OK);
		/* Again is the same. */
		assert_int_equal(ks_vault_held_done(v->w.engine, &work), KS_OK);
	}
	assert_false(next_work(v, &work));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_is_forgotten_when_its_erasure_is_durable),
		TEST(what_was_sealed_before_an_erasure_is_not_written_after_it),
		TEST(what_was_read_before_an_erasure_does_not_leave_after_it),
		TEST(what_is_kept_in_memory_is_confirmed_or_read_anew),
		TEST(a_set_that_was_replaced_takes_no_more_calls),
		TEST(leases_that_ended_are_forgotten_and_counted),
		TEST(what_is_kept_in_memory_is_wiped_with_the_key),
		TEST(a_probe_decides_of_what_it_tried_alone),
		TEST(a_set_is_undone_within_its_time_once),
		TEST(what_the_keeper_does_not_open_is_no_value),
		TEST(input_that_is_wrong_gets_no_number),
		TEST(references_are_read_together_until_one_deadline),
		TEST(what_is_written_elsewhere_is_read_from_there),
		TEST(stages_elsewhere_follow_each_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
