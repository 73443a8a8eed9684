/* SPDX-License-Identifier: Apache-2.0 */
/* Sources at hand: found by id, thrown out when they are not what holds any more, or to make room. */
#include <stdlib.h>

#include "base/hash.h"
#include "engine/platforms.h"
#include "inbound/inbound_priv.h"

#define LEARN_EVERY_MS 10000

enum ks_err ks_inbound_new(struct ks_engine *engine, const struct ks_inbound_options *options,
			   struct ks_inbound **ret_inbound)
{
	struct ks_inbound *inbound = calloc(1, sizeof(*inbound));
	enum ks_err err;

	if (!inbound)
		return KS_MEMORY;
	inbound->engine = engine;
	inbound->options = *options;
	pthread_mutex_init(&inbound->lock, NULL);
	pthread_mutex_init(&inbound->docs_lock, NULL);
	err = ks_fetch_new(&options->fetch, &inbound->fetch);
	if (err != KS_OK) {
		ks_inbound_free(&inbound);
		return err;
	}
	*ret_inbound = inbound;
	return KS_OK;
}

void ks_inbound_stop(struct ks_inbound *inbound)
{
	if (inbound)
		ks_fetch_stop(inbound->fetch);
}

static void free_source(struct inbound_source *source)
{
	for (size_t i = 0; i < source->version_n; i++)
		ks_hooksig_free(source->versions[i].scheme);
	ks_platform_registry_release(&source->registry);
	free(source);
}

static void drop(struct inbound_source *source)
{
	if (source && atomic_fetch_sub_explicit(&source->holders, 1, memory_order_acq_rel) == 1)
		free_source(source);
}

void ks_inbound_release(struct ks_inbound_source **source)
{
	if (*source)
		drop(inbound_of(*source));
	*source = NULL;
}

void ks_inbound_free(struct ks_inbound **inbound)
{
	struct ks_inbound *in = *inbound;

	if (!in)
		return;
	for (size_t i = 0; i < KS_INBOUND_SETS; i++)
		for (size_t k = 0; k < KS_INBOUND_WAYS; k++)
			drop(in->sources[i][k]);
	inbound_docs_free(in);
	ks_fetch_free(&in->fetch);
	pthread_mutex_destroy(&in->lock);
	pthread_mutex_destroy(&in->docs_lock);
	free(in);
	*inbound = NULL;
}

/* ---- finding ---- */

static size_t set_number(uint64_t id)
{
	static const uint64_t seed[2] = {0, 0};

	return ks_mix64(id, seed) % KS_INBOUND_SETS;
}

static struct inbound_source **set_of(struct ks_inbound *inbound, uint64_t id)
{
	return inbound->sources[set_number(id)];
}

static struct inbound_source *take(struct ks_inbound *inbound, uint64_t id)
{
	struct inbound_source **set = set_of(inbound, id), *found = NULL;

	pthread_mutex_lock(&inbound->lock);
	for (size_t i = 0; i < KS_INBOUND_WAYS && !found; i++)
		if (set[i] && set[i]->head.id == id)
			found = set[i];
	if (found)
		(void)atomic_fetch_add_explicit(&found->holders, 1, memory_order_relaxed);
	pthread_mutex_unlock(&inbound->lock);
	return found;
}

static void keep(struct ks_inbound *inbound, struct inbound_source *source)
{
	struct inbound_source **set = set_of(inbound, source->head.id), *old;
	size_t at;

	(void)atomic_fetch_add_explicit(&source->holders, 1, memory_order_relaxed);
	pthread_mutex_lock(&inbound->lock);
	at = inbound->turn++ % KS_INBOUND_WAYS;
	for (size_t i = 0; i < KS_INBOUND_WAYS; i++)
		if (!set[i])
			at = i;
	for (size_t i = 0; i < KS_INBOUND_WAYS; i++)
		if (set[i] && set[i]->head.id == source->head.id)
			at = i;
	old = set[at];
	set[at] = source;
	pthread_mutex_unlock(&inbound->lock);
	drop(old);
}

void ks_inbound_forget(struct ks_inbound *inbound, uint64_t id)
{
	struct inbound_source **set = set_of(inbound, id), *found = NULL;

	pthread_mutex_lock(&inbound->lock);
	for (size_t i = 0; i < KS_INBOUND_WAYS && !found; i++) {
		if (set[i] && set[i]->head.id == id) {
			found = set[i];
			set[i] = NULL;
		}
	}
	pthread_mutex_unlock(&inbound->lock);
	drop(found);
}

/* What was compiled is what would be compiled now. */
static bool holds(const struct inbound_source *source, struct ks_engine *engine, const struct ks_source_look *look,
		  int64_t now_ms)
{
	struct ks_platform_registry *registry = ks_engine_platforms(engine);
	bool same = registry == source->registry;

	ks_platform_registry_release(&registry);
	return same && !source->unkept && source->head.revision == look->revision
	       && source->current_set == (look->provider_gone ? 0 : look->current_set)
	       && source->first_set == (look->provider_gone ? 0 : look->first_set)
	       && (source->good_until_ms == KS_TIME_NONE || now_ms < source->good_until_ms);
}

enum ks_err ks_inbound_find(struct ks_inbound *inbound, struct ks_store *store, uint64_t id, int64_t now_ms,
			    struct ks_source_look *ret_look, struct ks_inbound_source **ret_source)
{
	struct inbound_source *source;
	enum ks_err err = ks_store_source_look(store, id, ret_look);

	if (err == KS_NOT_FOUND)
		ks_inbound_forget(inbound, id);
	KS_TRY(err);
	source = take(inbound, id);
	if (source && holds(source, inbound->engine, ret_look, now_ms)) {
		*ret_source = &source->head;
		return KS_OK;
	}
	drop(source);
	return KS_BUSY;
}

/* ---- loading ---- */

struct loading {
	struct inbound_making making;
	struct inbound_source *source;
	struct ks_source_home home;
	struct ks_store *store;
	uint64_t provider;
	struct ks_str form;
	char *own;                   /* the tenant's own form */
	enum ks_err err;
};

static struct ks_str keep_text(char *to, size_t cap, struct ks_str from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	return ks_str_c(ks_buf_z(&b));
}

static enum ks_err take_row(void *ctx, const struct ks_source_row *row)
{
	struct loading *l = ctx;
	struct ks_inbound_source *head = &l->source->head;

	if (row->deleted_at != KS_TIME_NONE)
		return KS_NOT_FOUND;
	head->id = row->id;
	head->tenant = row->tenant;
	head->organization = row->organization;
	head->revision = row->revision;
	l->home = (struct ks_source_home){row->id, row->tenant, row->organization};
	l->provider = row->provider;
	(void)keep_text(head->name, sizeof(head->name), row->name);
	(void)keep_text(head->platform, sizeof(head->platform), row->platform);
	(void)keep_text(head->scheme, sizeof(head->scheme), row->scheme);
	if (ks_str_empty(row->form))
		return KS_OK;
	l->own = strndup(row->form.p, row->form.n);
	return l->own ? KS_OK : KS_MEMORY;
}

/* The first problem, of the newest, is the one that is told. */
static void note_problem(struct inbound_source *source, const char *where, const char *text)
{
	struct ks_buf b = KS_BUF(source->problem);

	if (source->problem[0] || source->version_n > 0)
		return;
	ks_buf_printf(&b, "%s%s%s", where, where[0] ? ": " : "", text);
	(void)ks_buf_z(&b);
}

static enum ks_err compile(struct loading *l, const json_t *plain, const json_t *secret, int64_t until)
{
	struct inbound_source *source = l->source;
	struct ks_hooksig_problem problem = {.pointer = "", .text = ""};
	char *settings = inbound_settings(&l->making, l->form, plain, secret);
	struct ks_hooksig_scheme *scheme;
	enum ks_err err;

	if (!settings)
		return KS_MEMORY;
	err = ks_hooksig_compile(l->form, ks_str_c(settings), &problem, &scheme);
	inbound_wipe_text(settings);
	if (err == KS_OK)
		source->versions[source->version_n++] = (struct inbound_version){scheme, until};
	else if (err == KS_MALFORMED)
		note_problem(source, problem.pointer, problem.text);
	return err == KS_MALFORMED ? KS_OK : err;
}

static enum ks_err open_secrets(struct loading *l, const struct ks_source_parameters_row *row, json_t **ret_secret)
{
	struct ks_secret text = {0};
	enum ks_err err;

	if (row->key_number == 0)
		return KS_OK;
	err = ks_source_open(l->making.inbound->engine, l->store, &l->home, row, &text);
	if (err == KS_OK) {
		*ret_secret = json_loadb((const char *)text.bytes, text.n, JSON_REJECT_DUPLICATES, NULL);
		ks_secret_free(&text);
	}
	return err;
}

struct version_row {
	struct ks_source_parameters_row row;
	char *plain, *sealed;
};

struct version_rows {
	struct version_row rows[KS_SOURCE_VERSIONS_MAX + 1];
	size_t count;
	int64_t now_ms;
};

/* Copied: what opens them reads the store too. */
static enum ks_err take_version(void *ctx, const struct ks_source_parameters_row *row)
{
	struct version_rows *rows = ctx;
	struct version_row *kept = &rows->rows[rows->count];

	if (rows->count == KS_ARRAY_LEN(rows->rows) || (row->until != KS_TIME_NONE && row->until <= rows->now_ms))
		return KS_OK;
	kept->row = *row;
	kept->plain = malloc(row->plain.n + row->sealed.n + 1);
	if (!kept->plain)
		return KS_MEMORY;
	memcpy(kept->plain, row->plain.p, row->plain.n);
	memcpy(&kept->plain[row->plain.n], row->sealed.p, row->sealed.n);
	kept->row.plain = ks_str_of(kept->plain, row->plain.n);
	kept->row.sealed = ks_str_of(&kept->plain[row->plain.n], row->sealed.n);
	rows->count++;
	return KS_OK;
}

static enum ks_err load_version(struct loading *l, const struct ks_source_parameters_row *row)
{
	json_t *plain = json_loadb(row->plain.p, row->plain.n, JSON_REJECT_DUPLICATES, NULL), *secret = NULL;
	enum ks_err err = open_secrets(l, row, &secret);

	/* What cannot be opened any more vouches for nothing. */
	if (err == KS_CORRUPT)
		note_problem(l->source, "", "the secret parameters cannot be opened any more");
	else if (err == KS_OK)
		err = compile(l, plain, secret, row->until);
	json_decref(plain);
	json_decref(secret);
	return err == KS_CORRUPT ? KS_OK : err;
}

static enum ks_err load_versions(struct loading *l)
{
	struct version_rows *rows = calloc(1, sizeof(*rows));
	enum ks_err err;

	if (!rows)
		return KS_MEMORY;
	rows->now_ms = l->making.now_ms;
	err = ks_store_source_parameters(l->store, l->home.id, take_version, rows);
	for (size_t i = 0; i < rows->count && err == KS_OK; i++)
		err = load_version(l, &rows->rows[i].row);
	for (size_t i = 0; i < rows->count; i++)
		free(rows->rows[i].plain);
	free(rows);
	if (err == KS_OK && l->source->version_n == 0)
		note_problem(l->source, "", "there are no parameters");
	return err;
}

/* How long what was fetched and opened may be used. */
#define KEYS_FRESH_MS INT64_C(3600000)
#define AGAIN_MS INT64_C(10000)

#define OPENED_EVERY_MS INT64_C(86400000)

/* Once a day for each set of values; durable before they are opened. */
static enum ks_err audit_opening(struct loading *l, uint64_t set)
{
	struct ks_inbound *inbound = l->making.inbound;
	struct inbound_opened *last = &inbound->opened[set_number(l->home.id)];
	int64_t now_ms = l->making.now_ms;
	bool told;

	pthread_mutex_lock(&inbound->lock);
	told = last->source == l->home.id && last->set == set && now_ms - last->at_ms < OPENED_EVERY_MS;
	if (!told)
		*last = (struct inbound_opened){l->home.id, set, now_ms};
	pthread_mutex_unlock(&inbound->lock);
	return told ? KS_OK : ks_source_opens(inbound->engine, &l->home, l->provider, set);
}

static enum ks_err fill(struct loading *l, const struct ks_source_look *look)
{
	struct inbound_source *source = l->source;
	struct inbound_fields fields = {0};
	enum ks_err err = KS_OK;

	source->registry = ks_engine_platforms(l->making.inbound->engine);
	if (!inbound_form(source->registry, ks_str_c(source->head.platform), ks_str_c(source->head.scheme), ks_str_c(l->own),
			  &l->form)) {
		note_problem(source, "", "the platform has no such scheme any more");
		return KS_OK;
	}
	if (l->provider && !look->provider_gone)
		err = audit_opening(l, look->current_set);
	if (err == KS_OK && l->provider && !look->provider_gone)
		err = inbound_fields_open(l->making.inbound, l->store, l->provider, l->making.now_ms, &fields);
	if (err == KS_NOT_FOUND)
		err = KS_OK;
	l->making.fields = &fields;
	if (err == KS_OK)
		err = load_versions(l);
	source->unkept = fields.sealed && fields.sealed->has_references;
	inbound_fields_free(&fields);
	source->fetches_keys = l->making.fetches_keys;
	source->head.learns = l->making.fetches_keys || l->making.fetches_certs;
	if (source->version_n == 0)
		source->good_until_ms = l->making.now_ms + AGAIN_MS;
	else if (source->fetches_keys)
		source->good_until_ms = l->making.now_ms + KEYS_FRESH_MS;
	return err;
}

static enum ks_err load(struct ks_inbound *inbound, struct ks_store *store, uint64_t id, int64_t now_ms,
			const struct ks_source_look *look, const struct inbound_certs *certs, struct inbound_source **ret_source)
{
	struct inbound_source *source = calloc(1, sizeof(*source));
	struct loading l = {.making = {.inbound = inbound, .now_ms = now_ms}, .source = source, .store = store};
	enum ks_err err;

	if (!source)
		return KS_MEMORY;
	atomic_init(&source->holders, 1);
	if (certs)
		source->certs = *certs;
	l.making.certs = &source->certs;
	source->loaded_ms = now_ms;
	source->good_until_ms = KS_TIME_NONE;
	source->current_set = look->provider_gone ? 0 : look->current_set;
	source->first_set = look->provider_gone ? 0 : look->first_set;
	err = ks_store_source_get(store, id, take_row, &l);
	if (err == KS_OK)
		err = fill(&l, look);
	free(l.own);
	if (err != KS_OK) {
		drop(source);
		return err;
	}
	if (!source->unkept)
		keep(inbound, source);
	*ret_source = source;
	return KS_OK;
}

enum ks_err ks_inbound_load(struct ks_inbound *inbound, struct ks_store *store, uint64_t id, int64_t now_ms,
			    struct ks_source_look *ret_look, struct ks_inbound_source **ret_source)
{
	struct inbound_source *old, *source = NULL;
	enum ks_err err = ks_inbound_find(inbound, store, id, now_ms, ret_look, ret_source);

	if (err != KS_BUSY)
		return err;
	old = take(inbound, id);
	err = load(inbound, store, id, now_ms, ret_look, old ? &old->certs : NULL, &source);
	drop(old);
	if (err == KS_OK)
		*ret_source = &source->head;
	return err;
}

/* ---- deciding ---- */

void ks_inbound_verify(const struct ks_inbound_source *head, const struct ks_hooksig_request *request, int64_t now_ms,
		       struct ks_buf *room, struct ks_hooksig_answer *ret_answer)
{
	const struct inbound_source *source = (const struct inbound_source *)(const void *)head;
	size_t newest = source->version_n, last = 0;

	for (size_t i = 0; i < source->version_n; i++) {
		const struct inbound_version *v = &source->versions[i];

		if (v->until != KS_TIME_NONE && v->until <= now_ms)
			continue;
		ks_hooksig_verify(v->scheme, request, now_ms, room, ret_answer);
		if (ret_answer->code == KS_HOOKSIG_OK)
			return;
		newest = KS_MIN(newest, i);
		last = i;
	}
	if (newest == source->version_n)
		*ret_answer = (struct ks_hooksig_answer){.code = KS_HOOKSIG_SIGNATURE_MISMATCH, .response = {.status = 401}};
	else if (last != newest)
		ks_hooksig_verify(source->versions[newest].scheme, request, now_ms, room, ret_answer);
}

static bool may_try(struct inbound_source *source, int64_t now_ms)
{
	int64_t next = atomic_load_explicit(&source->learn_ms, memory_order_relaxed);

	return now_ms >= next
	       && atomic_compare_exchange_strong_explicit(&source->learn_ms, &next, now_ms + LEARN_EVERY_MS,
							  memory_order_relaxed, memory_order_relaxed);
}

static bool wanted(const struct inbound_source *source, const struct ks_hooksig_request *request, int64_t now_ms,
		   struct ks_buf *room, struct ks_str *ret_url)
{
	return source->version_n > 0 && ks_hooksig_wants(source->versions[0].scheme, request, now_ms, room, ret_url);
}

bool ks_inbound_may_learn(struct ks_inbound *inbound, struct ks_inbound_source *head,
			  const struct ks_hooksig_request *request, int64_t now_ms, struct ks_buf *room)
{
	struct inbound_source *source = inbound_of(head);
	struct ks_str url;

	(void)inbound;
	if (!wanted(source, request, now_ms, room, &url)
	    && !(source->fetches_keys && now_ms - source->loaded_ms > LEARN_EVERY_MS))
		return false;
	return may_try(source, now_ms);
}

/* The certificate is fetched here once; whether it can be used shows when the source is compiled with it. */
static void learn_certificate(struct ks_inbound *inbound, struct inbound_certs *certs, struct ks_str url,
			      int64_t now_ms)
{
	char *body = NULL, *to = certs->urls[certs->next % KS_INBOUND_CERTS];

	(void)keep_text(to, sizeof(certs->urls[0]), url);
	if (to[0] && inbound_doc(inbound, to, KEYS_FRESH_MS, now_ms, &body))
		certs->next++;
	else
		to[0] = '\0';
	free(body);
}

enum ks_err ks_inbound_learn(struct ks_inbound *inbound, struct ks_store *store, struct ks_inbound_source *head,
			     const struct ks_hooksig_request *request, int64_t now_ms, struct ks_buf *room,
			     struct ks_inbound_source **ret_source)
{
	struct inbound_source *source = inbound_of(head), *fresh = NULL;
	struct inbound_certs *certs = malloc(sizeof(*certs));
	struct ks_source_look look;
	struct ks_str url;
	enum ks_err err;

	if (!certs)
		return KS_MEMORY;
	*certs = source->certs;
	if (wanted(source, request, now_ms, room, &url))
		learn_certificate(inbound, certs, url, now_ms);
	err = ks_store_source_look(store, source->head.id, &look);
	if (err == KS_OK)
		err = load(inbound, store, source->head.id, now_ms, &look, certs, &fresh);
	free(certs);
	if (err != KS_OK)
		return err;
	atomic_store_explicit(&fresh->learn_ms, now_ms + LEARN_EVERY_MS, memory_order_relaxed);
	*ret_source = &fresh->head;
	return KS_OK;
}

size_t ks_inbound_versions(const struct ks_inbound_source *head)
{
	return ((const struct inbound_source *)(const void *)head)->version_n;
}

unsigned ks_inbound_warnings(const struct ks_inbound_source *head)
{
	const struct inbound_source *source = (const struct inbound_source *)(const void *)head;

	return source->version_n > 0 ? ks_hooksig_warnings(source->versions[0].scheme) : 0;
}

const char *ks_inbound_problem(const struct ks_inbound_source *head)
{
	return ((const struct inbound_source *)(const void *)head)->problem;
}
