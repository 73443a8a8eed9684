/* SPDX-License-Identifier: Apache-2.0 */
/* A vault whose openers do as they are told. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	size_t opened;
	bool corrupt;                /* no value is */
	bool later;                  /* an opening waits until it is told to go on (open_now) */
	enum ks_err later_err;
	struct ks_vault_opening *waiting;
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

static inline bool platform_of(void *ctx, struct ks_str name, struct ks_vault_platform *ret_platform)
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

static inline bool check_reference(void *ctx, struct ks_str json, char *ret_detail, size_t cap)
{
	(void)ctx;
	snprintf(ret_detail, cap, "no reference");
	return ks_str_starts(json, KS_STR("{"));
}

static inline enum ks_err org_create(void *ctx, uint64_t organization, uint64_t number, uint8_t *ret_wrapped, size_t cap, size_t *ret_n)
{
	(void)ctx;
	*ret_n = (size_t)snprintf((char *)ret_wrapped, cap, "key %llu of %llx", (unsigned long long)number, (unsigned long long)organization);
	return KS_OK;
}

/* Head, what it is bound to, a bar, and the value. */
static inline size_t bind_value(const struct ks_vault_org *org, const struct ks_vault_value *v, char *text, size_t cap)
{
	return (size_t)snprintf(text, cap, "%*s%.*s %llx %llx %.*s %llu|", KS_KEEPER_VALUE_HEAD, "", KS_STR_ARG(org->wrapped),
				(unsigned long long)v->tenant, (unsigned long long)v->provider, KS_STR_ARG(v->field),
				(unsigned long long)v->version);
}

static inline enum ks_err seal(void *ctx, const struct ks_vault_org *org, struct ks_vault_value *v)
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

static inline void open_now(struct ks_vault_opening *opening)
{
	for (size_t i = 0; i < opening->count; i++) {
		struct ks_vault_value *v = &opening->values[i];
		char text[1024];
		size_t n = bind_value(&opening->org, v, text, sizeof(text));

		v->err = !told.corrupt && ks_str_starts(v->in, ks_str_of(text, n)) ? KS_OK : KS_CORRUPT;
		if (v->err == KS_OK) {
			v->ret_n = v->in.n - n;
			memcpy(v->ret_out, &v->in.p[n], v->ret_n);
		}
	}
	opening->err = told.later_err;
	opening->done(opening);
}

static inline enum ks_err open_values(void *ctx, struct ks_vault_opening *opening)
{
	(void)ctx;
	if (told.open_err != KS_OK)
		return told.open_err;
	told.opened++;
	if (told.later)
		told.waiting = opening;
	else
		open_now(opening);
	return KS_OK;
}

static inline void org_forget(void *ctx, uint64_t organization, uint64_t number)
{
	(void)ctx;
	(void)organization;
	(void)number;
	told.forgotten++;
}

static inline enum ks_err held_place(void *ctx, uint64_t organization, uint64_t provider, struct ks_str field, uint64_t key_number,
			      char ret_place[KS_VAULT_PLACE_SIZE])
{
	(void)ctx;
	(void)organization;
	snprintf(ret_place, KS_VAULT_PLACE_SIZE, "here %llx/%.*s/%llu", (unsigned long long)provider, KS_STR_ARG(field),
		 (unsigned long long)key_number);
	return KS_OK;
}

static inline enum ks_err held_put(void *ctx, struct ks_str place, uint64_t version, struct ks_str bytes, const char **ret_code)
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

static inline enum ks_err held_get(void *ctx, struct ks_str place, uint64_t version, int64_t deadline_ms, struct ks_secret *ret_bytes,
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
static inline enum ks_err fetch(void *ctx, const struct ks_vault_reference *reference, int64_t deadline_ms, struct ks_secret *ret_value,
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
{
	struct vault *v = *state;

	ks_engine_reader_close(&v->reader);
	world_free(&v->w);
	return 0;
}

/* Values lie elsewhere from now on. */
static inline void go_elsewhere(struct vault *v)
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

static inline enum ks_err run_make(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct making *m = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_vault_provider_create(tx, &actor, &(struct ks_provider_input){m->v->organization, ks_str_c(m->platform), KS_STR("p")},
					&m->v->provider, refusal);
}

static inline enum ks_err make_provider(struct vault *v, const char *platform)
{
	return world_change(&v->w, run_make, &(struct making){v, platform});
}

struct putting {
	const struct ks_vault_prepared *prepared;
};

static inline enum ks_err run_put(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const struct putting *p = ctx;

	return ks_vault_put_version(tx, NULL, p->prepared, "api", refusal);
}

static inline void local_actor(struct vault *v, struct ks_actor *actor)
{
	const struct ks_ring *ring = ks_ringmap_reader_ring(v->reader.ring);

	ks_actor_local(ring, actor);
}

static inline enum ks_err prepare(struct vault *v, const char *field, enum ks_field_kind kind, const char *text,
			   struct ks_vault_prepared **ret_prepared)
{
	struct ks_actor actor;

	local_actor(v, &actor);
	return ks_vault_prepare(v->w.engine, &actor, &(struct ks_vault_writing){v->provider, ks_str_c(field), kind, ks_str_c(text), true},
				ret_prepared, &v->w.refusal);
}

static inline enum ks_err put_kind(struct vault *v, const char *field, enum ks_field_kind kind, const char *text)
{
	struct ks_vault_prepared *prepared;
	enum ks_err err = prepare(v, field, kind, text, &prepared);

	if (err != KS_OK)
		return err;
	err = world_change(&v->w, run_put, &(struct putting){prepared});
	ks_vault_prepared_free(&prepared);
	return err;
}

static inline void put(struct vault *v, const char *field, const char *value)
{
	assert_int_equal(put_kind(v, field, KS_FIELD_KIND_HELD, value), KS_OK);
}

/* A provider whose two fields are current. */
static inline void make_pair(struct vault *v)
{
	assert_int_equal(make_provider(v, "pair"), KS_OK);
	put(v, "user", "alice");
	put(v, "password", "first");
}

/* The value of a field as calls get it, or its code, or the error of all. */
static inline const char *value_of(struct vault *v, const char *field)
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

static inline struct ks_vault_fields *read_for_use(struct vault *v, bool anew)
{
	struct ks_vault_fields *fields;

	assert_int_equal(ks_vault_read_for_use(v->w.engine, v->reader.store, v->provider, KS_STR("c"), 0, anew, &fields),
			 KS_OK);
	return fields;
}
