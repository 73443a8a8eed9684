/* SPDX-License-Identifier: Apache-2.0 */
/* The vault where no call over HTTP reaches: what fails in the middle, with openers that do as they are told. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/vault.h"
#include "keeper/keeper.h"
#include "support.h"

#define DEADLINE INT64_C(4102444800000)
#define AT_ONCE 8
#define SECRETS_MAX 16

/* ---- openers that do as they are told ---- */

struct secret {
	char place[KS_VAULT_PLACE_SIZE];
	uint64_t version;
	char bytes[1024];
	size_t n;
};

static struct {
	bool probed;                 /* the platform */
	size_t forgotten;
	enum ks_err open_err;        /* of the next opening, all of it */
	bool elsewhere;              /* values are held outside of the store */
	enum ks_err put_err, get_err;
	struct secret secrets[SECRETS_MAX];
	size_t secret_count;
	/* references */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t fetching, together;   /* now; that wait for each other */
	size_t fetched, deadlines;
	const char *fetch_code;      /* NULL: they can be read */
	bool worked;                 /* what the last one was told */
} told;

static bool platform_of(void *ctx, struct ks_str name, struct ks_vault_platform *ret_platform)
{
	(void)ctx;
	*ret_platform = (struct ks_vault_platform){.probed = told.probed, .count = 2};
	snprintf(ret_platform->fields[0].name, sizeof(ret_platform->fields[0].name), "user");
	snprintf(ret_platform->fields[1].name, sizeof(ret_platform->fields[1].name), "password");
	ret_platform->fields[0].required = ret_platform->fields[1].required = ret_platform->fields[1].secret = true;
	if (ks_str_eq(name, KS_STR("wide"))) {
		ret_platform->count = 10;
		for (int i = 0; i < 10; i++)
			snprintf(ret_platform->fields[i].name, sizeof(ret_platform->fields[i].name), "field_%d", i);
	}
	return !ks_str_eq(name, KS_STR("none"));
}

static bool check_reference(void *ctx, struct ks_str json, char *ret_detail, size_t cap)
{
	(void)ctx;
	snprintf(ret_detail, cap, "no reference");
	return ks_str_starts(json, KS_STR("{"));
}

static enum ks_err org_create(void *ctx, uint64_t organization, uint64_t number, uint8_t *ret_wrapped, size_t cap, size_t *ret_n)
{
	(void)ctx;
	*ret_n = (size_t)snprintf((char *)ret_wrapped, cap, "key %llu of %llx", (unsigned long long)number, (unsigned long long)organization);
	return KS_OK;
}

/* Head, what it is bound to, a bar, and the value. */
static size_t bind_value(const struct ks_vault_org *org, const struct ks_vault_value *v, char *text, size_t cap)
{
	return (size_t)snprintf(text, cap, "%*s%.*s %llx %llx %.*s %llu|", KS_KEEPER_VALUE_HEAD, "", KS_STR_ARG(org->wrapped),
				(unsigned long long)v->tenant, (unsigned long long)v->provider, KS_STR_ARG(v->field),
				(unsigned long long)v->version);
}

static enum ks_err seal(void *ctx, const struct ks_vault_org *org, struct ks_vault_value *v)
{
	char text[1024];
	size_t n = bind_value(org, v, text, sizeof(text));

	(void)ctx;
	memcpy(v->ret_out, text, n);
	memcpy(&v->ret_out[n], v->in.p, v->in.n);
	v->ret_n = n + v->in.n;
	v->err = KS_OK;
	return KS_OK;
}

static enum ks_err open_values(void *ctx, struct ks_vault_opening *opening)
{
	(void)ctx;
	if (told.open_err != KS_OK)
		return told.open_err;
	for (size_t i = 0; i < opening->count; i++) {
		struct ks_vault_value *v = &opening->values[i];
		char text[1024];
		size_t n = bind_value(&opening->org, v, text, sizeof(text));

		v->err = ks_str_starts(v->in, ks_str_of(text, n)) ? KS_OK : KS_CORRUPT;
		if (v->err == KS_OK) {
			v->ret_n = v->in.n - n;
			memcpy(v->ret_out, &v->in.p[n], v->ret_n);
		}
	}
	opening->err = KS_OK;
	opening->done(opening);
	return KS_OK;
}

static void org_forget(void *ctx, uint64_t organization, uint64_t number)
{
	(void)ctx;
	(void)organization;
	(void)number;
	told.forgotten++;
}

static enum ks_err held_place(void *ctx, uint64_t organization, uint64_t provider, struct ks_str field, uint64_t key_number,
			      char ret_place[KS_VAULT_PLACE_SIZE])
{
	(void)ctx;
	(void)organization;
	snprintf(ret_place, KS_VAULT_PLACE_SIZE, "here %llx/%.*s/%llu", (unsigned long long)provider, KS_STR_ARG(field),
		 (unsigned long long)key_number);
	return KS_OK;
}

static enum ks_err held_put(void *ctx, struct ks_str place, uint64_t version, struct ks_str bytes, const char **ret_code)
{
	struct secret *s = &told.secrets[told.secret_count];

	(void)ctx;
	*ret_code = "held_store_unavailable";
	if (told.put_err != KS_OK)
		return told.put_err;
	assert_true(told.secret_count < SECRETS_MAX && bytes.n <= sizeof(s->bytes));
	snprintf(s->place, sizeof(s->place), "%.*s", KS_STR_ARG(place));
	s->version = version;
	memcpy(s->bytes, bytes.p, bytes.n);
	s->n = bytes.n;
	told.secret_count++;
	return KS_OK;
}

static enum ks_err held_get(void *ctx, struct ks_str place, uint64_t version, int64_t deadline_ms, struct ks_secret *ret_bytes,
			    const char **ret_code)
{
	(void)ctx;
	(void)deadline_ms;
	*ret_code = "held_store_unavailable";
	for (size_t i = 0; i < told.secret_count && told.get_err == KS_OK; i++) {
		const struct secret *s = &told.secrets[i];

		if (!ks_str_eq(ks_str_c(s->place), place) || s->version != version)
			continue;
		assert_int_equal(ks_secret_new(ret_bytes, s->n), KS_OK);
		return ks_secret_set(ret_bytes, s->bytes, s->n);
	}
	return KS_KMS;
}

/* Where so many are to come together, none goes on before they are. */
static enum ks_err fetch(void *ctx, const struct ks_vault_reference *reference, int64_t deadline_ms, struct ks_secret *ret_value,
			 const char **ret_code)
{
	(void)ctx;
	pthread_mutex_lock(&told.lock);
	told.fetched++;
	told.deadlines += deadline_ms == DEADLINE;
	told.worked = reference->worked;
	told.fetching++;
	pthread_cond_broadcast(&told.changed);
	while (told.fetching < told.together)
		pthread_cond_wait(&told.changed, &told.lock);
	told.together = 0;
	pthread_mutex_unlock(&told.lock);
	if (told.fetch_code) {
		*ret_code = told.fetch_code;
		return KS_STORE;
	}
	KS_TRY(ks_secret_new(ret_value, reference->json.n));
	return ks_secret_set(ret_value, reference->json.p, reference->json.n);
}

static struct ks_vault_openers openers = {
	.platform = platform_of,
	.check_reference = check_reference,
	.org_create = org_create,
	.seal = seal,
	.open = open_values,
	.org_forget = org_forget,
	.fetch = fetch,
};

/* ---- the world ---- */

struct vault {
	struct world w;
	struct ks_engine_reader reader;
	uint64_t organization, provider;
};

static int set_up(void **state)
{
	static struct vault v;

	memset(&told, 0, sizeof(told));
	pthread_mutex_init(&told.lock, NULL);
	pthread_cond_init(&told.changed, NULL);
	world_prepare(&v.w);
	v.w.options.vault.openers = &openers;
	v.w.options.vault.direct_write = true;
	assert_int_equal(world_open(&v.w), KS_OK);
	assert_int_equal(ks_engine_reader_open(v.w.engine, &v.reader), KS_OK);
	v.organization = make_tenant(&v.w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	*state = &v;
	return 0;
}

static int tear_down(void **state)
{
	struct vault *v = *state;

	ks_engine_reader_close(&v->reader);
	world_free(&v->w);
	return 0;
}

/* Values lie elsewhere from now on. */
static void go_elsewhere(struct vault *v)
{
	ks_engine_reader_close(&v->reader);
	world_close(&v->w);
	openers.held_place = held_place;
	openers.held_put = held_put;
	openers.held_get = held_get;
	assert_int_equal(world_open(&v->w), KS_OK);
	assert_int_equal(ks_engine_reader_open(v->w.engine, &v->reader), KS_OK);
	openers.held_place = NULL;
	openers.held_put = NULL;
	openers.held_get = NULL;
}

struct making {
	struct vault *v;
	const char *platform;
};

static enum ks_err run_make(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct making *m = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_vault_provider_create(tx, &actor, &(struct ks_provider_input){m->v->organization, ks_str_c(m->platform), KS_STR("p")},
					&m->v->provider, refusal);
}

static enum ks_err make_provider(struct vault *v, const char *platform)
{
	return world_change(&v->w, run_make, &(struct making){v, platform});
}

struct putting {
	const struct ks_vault_prepared *prepared;
};

static enum ks_err run_put(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const struct putting *p = ctx;

	return ks_vault_put_version(tx, NULL, p->prepared, "api", refusal);
}

static void local_actor(struct vault *v, struct ks_actor *actor)
{
	const struct ks_ring *ring = ks_ringmap_reader_ring(v->reader.ring);

	ks_actor_local(ring, actor);
}

static enum ks_err prepare(struct vault *v, const char *field, enum ks_field_kind kind, const char *text,
			   struct ks_vault_prepared **ret_prepared)
{
	struct ks_actor actor;

	local_actor(v, &actor);
	return ks_vault_prepare(v->w.engine, &actor, &(struct ks_vault_writing){v->provider, ks_str_c(field), kind, ks_str_c(text), true},
				ret_prepared, &v->w.refusal);
}

static enum ks_err put_kind(struct vault *v, const char *field, enum ks_field_kind kind, const char *text)
{
	struct ks_vault_prepared *prepared;
	enum ks_err err = prepare(v, field, kind, text, &prepared);

	if (err != KS_OK)
		return err;
	err = world_change(&v->w, run_put, &(struct putting){prepared});
	ks_vault_prepared_free(&prepared);
	return err;
}

static void put(struct vault *v, const char *field, const char *value)
{
	assert_int_equal(put_kind(v, field, KS_FIELD_KIND_HELD, value), KS_OK);
}

/* A provider whose two fields are current. */
static void make_pair(struct vault *v)
{
	assert_int_equal(make_provider(v, "pair"), KS_OK);
	put(v, "user", "alice");
	put(v, "password", "first");
}

/* The value of a field as calls get it, or its code, or the error of all. */
static const char *value_of(struct vault *v, const char *field)
{
	static char text[1024];
	struct ks_vault_fields *fields;
	struct ks_vault_opened opened;
	enum ks_err err = ks_vault_read(v->w.engine, v->reader.store, v->provider, KS_STR(""), 0, &fields);

	if (err != KS_OK)
		return ks_err_text(err);
	err = ks_vault_open_fields(v->w.engine, fields, DEADLINE, &opened);
	snprintf(text, sizeof(text), "%s", ks_err_text(err));
	for (size_t i = 0; i < fields->count && err == KS_OK; i++) {
		if (ks_str_eq(ks_str_c(fields->items[i].field), ks_str_c(field)))
			snprintf(text, sizeof(text), "%.*s", opened.items[i].err == KS_OK ? (int)opened.items[i].value.n : 64,
				 opened.items[i].err == KS_OK ? opened.items[i].value.p : opened.items[i].code);
	}
	ks_vault_opened_free(&opened);
	ks_vault_fields_free(&fields);
	return text;
}

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

struct using {
	const struct ks_vault_fields *fields;
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
				    .action = "secret.reveal", .fields = u->fields, .call = KS_STR("c")},
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

static struct ks_vault_fields *read_for_use(struct vault *v, bool anew)
{
	struct ks_vault_fields *fields;

	assert_int_equal(ks_vault_read_for_use(v->w.engine, v->reader.store, v->provider, KS_STR("c"), 0, anew, &fields),
			 KS_OK);
	return fields;
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

static enum ks_err run_delete(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_vault_provider_delete(tx, &actor, *(uint64_t *)ctx, refusal);
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
