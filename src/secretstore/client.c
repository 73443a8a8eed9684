/* SPDX-License-Identifier: Apache-2.0 */
/* Who may read when: places, waiting, shared fetches, circuits. What is read and how is the readers' (aws.c, …). */
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "crypto/random.h"
#include "secretstore/member_check.h"
#include "secretstore/secretstore_priv.h"

#define WAITING_PER_PLACE 4
#define OWN_EXTERNAL_ID "keystile:"
/* A timeout of less says more of who asked than of the store. */
#define TIMEOUT_COUNTS_MS 1000

/* A read that waits, on its thread's stack. */
struct ks_secretstore_waiter {
	struct ks_secretstore_waiter *next;
	pthread_cond_t wake;
	int64_t deadline_ms;
	bool run;                  /* it is to fetch for its group */
	bool done;
	enum ks_secretstore_code code;
	struct ks_secretstore_answer *answer;
};

/* Reads of one reference that wait at the same moment. */
struct ks_secretstore_group {
	struct ks_secretstore_group *next; /* of the site, while it waits */
	struct ks_secretstore_set *set;
	struct ks_secretstore_waiter *waiters;
	unsigned count;
	size_t organization_n, reference_n;
	char text[];               /* organization, reference */
};

static const bool counts[] = {
#define KS_SECRETSTORE_CODE(name, code, who, circuit, text) circuit,
#include "secretstore/codes.def"
#undef KS_SECRETSTORE_CODE
};

static const ks_secretstore_reader readers[] = {
	[KS_SECRETSTORE_AWS] = ks_secretstore_aws,
	[KS_SECRETSTORE_GCP] = ks_secretstore_gcp,
	[KS_SECRETSTORE_VAULT] = ks_secretstore_vault,
	[KS_SECRETSTORE_AZURE] = ks_secretstore_azure,
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the client ---- */

static bool copy_text(const char *text, char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return !text || *ret_copy;
}

static enum ks_err load_set(struct ks_secretstore *store, struct ks_secretstore_set **ret_set,
			    struct ks_secretstore_problem *problem)
{
	struct ks_secretstore_set *set = calloc(1, sizeof(*set));
	enum ks_err err;

	if (!set)
		return KS_MEMORY;
	err = ks_identities_load(store->identities_path, store->credentials, &set->identities, problem);
	if (err == KS_OK)
		*ret_set = set;
	else
		free(set);
	return err;
}

static void free_set(struct ks_secretstore_set *set)
{
	ks_identities_free(&set->identities);
	free(set);
}

/* Under the lock. */
static void drop_set(struct ks_secretstore *store, struct ks_secretstore_set *set)
{
	set->users--;
	if (!set->users && set != store->set)
		free_set(set);
}

struct ks_secretstore_set *ks_secretstore_set_take(struct ks_secretstore *store)
{
	struct ks_secretstore_set *set;

	(void)pthread_mutex_lock(&store->lock);
	set = store->set;
	set->users++;
	(void)pthread_mutex_unlock(&store->lock);
	return set;
}

void ks_secretstore_set_drop(struct ks_secretstore *store, struct ks_secretstore_set *set)
{
	(void)pthread_mutex_lock(&store->lock);
	drop_set(store, set);
	(void)pthread_mutex_unlock(&store->lock);
}

int64_t ks_secretstore_deadline(const struct ks_secretstore *store, unsigned timeout_ms)
{
	unsigned most = store->options.timeout_ms;

	return now_ms() + (timeout_ms && timeout_ms < most ? timeout_ms : most);
}

enum ks_err ks_secretstore_new(const struct ks_secretstore_options *options, struct ks_secretstore **ret_store,
			       struct ks_secretstore_problem *ret_problem)
{
	struct ks_secretstore *store = calloc(1, sizeof(*store));
	struct ks_fetch_options fetch = options->fetch;
	enum ks_err err;

	*ret_problem = (struct ks_secretstore_problem){""};
	if (!store)
		return KS_MEMORY;
	(void)pthread_mutex_init(&store->lock, NULL);
	store->options = *options;
	store->options.concurrency = KS_MAX(options->concurrency, 1u);
	err = copy_text(options->identities, &store->identities_path) && copy_text(options->credentials, &store->credentials)
		      ? KS_OK
		      : KS_MEMORY;
	if (err == KS_OK)
		err = ks_random(store->key, sizeof(store->key));
	if (err == KS_OK)
		err = load_set(store, &store->set, ret_problem);
	fetch.idle_max = KS_FETCH_IDLE_MAX;
	if (err == KS_OK)
		err = ks_fetch_new(&fetch, &store->fetch);
	if (err == KS_OK)
		*ret_store = store;
	else
		ks_secretstore_free(&store);
	return err;
}

enum ks_err ks_secretstore_reload(struct ks_secretstore *store, struct ks_secretstore_problem *ret_problem)
{
	struct ks_secretstore_set *set, *old;

	*ret_problem = (struct ks_secretstore_problem){""};
	KS_TRY(load_set(store, &set, ret_problem));
	(void)pthread_mutex_lock(&store->lock);
	old = store->set;
	store->set = set;
	if (!old->users)
		free_set(old);
	(void)pthread_mutex_unlock(&store->lock);
	return KS_OK;
}

void ks_secretstore_free(struct ks_secretstore **store)
{
	struct ks_secretstore *s = *store;

	if (!s)
		return;
	for (size_t i = 0; i < KS_SECRETSTORE_SITE_LISTS; i++) {
		while (s->sites[i]) {
			struct ks_secretstore_site *site = s->sites[i];

			s->sites[i] = site->next;
			free(site);
		}
	}
	if (s->set)
		free_set(s->set);
	ks_fetch_free(&s->fetch);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->identities_path);
	free(s->credentials);
	free(s);
	*store = NULL;
}

void ks_secretstore_answer_free(struct ks_secretstore_answer *answer)
{
	ks_secret_free(&answer->value);
}

/* ---- sites ---- */

/* Whom nobody uses, and of which nothing needs to be remembered. */
static bool is_idle(const struct ks_secretstore_site *site, int64_t now)
{
	return !site->running && !site->first && site->open_until_ms <= now;
}

static void close_circuit(struct ks_secretstore *store, struct ks_secretstore_site *site)
{
	if (site->open_until_ms)
		store->stats.circuits_open--;
	site->open_until_ms = 0;
	site->failures = 0;
}

static void forget_one(struct ks_secretstore *store, int64_t now)
{
	struct ks_secretstore_site **oldest = NULL, *site;

	for (size_t i = 0; i < KS_SECRETSTORE_SITE_LISTS; i++) {
		for (struct ks_secretstore_site **at = &store->sites[i]; *at; at = &(*at)->next) {
			if (is_idle(*at, now) && (!oldest || (*at)->used < (*oldest)->used))
				oldest = at;
		}
	}
	if (!oldest)
		return;
	site = *oldest;
	*oldest = site->next;
	close_circuit(store, site);
	free(site);
	store->site_count--;
}

/* NULL: no room, or no memory. */
static struct ks_secretstore_site *find_site(struct ks_secretstore *store, struct ks_str key, int64_t now)
{
	struct ks_secretstore_site **list =
		&store->sites[ks_siphash(store->key, key.p, key.n) % KS_SECRETSTORE_SITE_LISTS];
	struct ks_secretstore_site *site;

	for (site = *list; site; site = site->next) {
		if (ks_str_eq(ks_str_c(site->key), key)) {
			site->used = ++store->tick;
			return site;
		}
	}
	if (store->site_count == KS_SECRETSTORE_SITES_MAX)
		forget_one(store, now);
	site = store->site_count < KS_SECRETSTORE_SITES_MAX ? calloc(1, sizeof(*site)) : NULL;
	if (!site)
		return NULL;
	memcpy(site->key, key.p, KS_MIN(key.n, sizeof(site->key) - 1));
	site->used = ++store->tick;
	site->next = *list;
	*list = site;
	store->site_count++;
	return site;
}

static bool key_of(const struct ks_secretstore_ask *ask, const struct ks_secretstore_reference *r, const struct ks_identity *identity,
		   struct ks_buf *out)
{
	ks_buf_put(out, ask->tenant);
	ks_buf_put_byte(out, ' ');
	ks_buf_put_c(out, ks_secretstore_kind_name(r->kind));
	ks_buf_put_byte(out, ' ');
	ks_buf_put(out, r->endpoint.n ? r->endpoint : identity->endpoint.n ? identity->endpoint : identity->address);
	ks_buf_put_byte(out, ' ');
	ks_buf_put(out, r->region.n ? r->region : r->vault);
	/* A secret of one place of Google's is behind an address of its own. */
	if (r->kind == KS_SECRETSTORE_GCP && ks_str_eq(ks_secretstore_part(r->secret, '/', 2), KS_STR("locations")))
		ks_buf_put(out, ks_secretstore_part(r->secret, '/', 3));
	return ks_buf_ok(out) && out->n < sizeof(((struct ks_secretstore_site *)0)->key);
}

/* ---- circuits ---- */

static bool is_open(const struct ks_secretstore_site *site, int64_t now)
{
	return site->open_until_ms && (now < site->open_until_ms || site->trying);
}

static void open_circuit(struct ks_secretstore *store, struct ks_secretstore_site *site, int64_t now)
{
	if (!site->open_until_ms)
		store->stats.circuits_open++;
	store->stats.circuits_opened++;
	site->open_until_ms = now + store->options.circuit_open_ms;
}

static void account(struct ks_secretstore *store, struct ks_secretstore_site *site, const struct ks_secretstore_fetch *f,
		    enum ks_secretstore_code code, int64_t began, int64_t now)
{
	bool trial = site->trying;
	bool failed = counts[code];

	site->trying = false;
	if (code == KS_SECRETSTORE_TIMEOUT && f->deadline_ms - began < (int64_t)KS_MIN(store->options.timeout_ms, TIMEOUT_COUNTS_MS))
		failed = false;
	if (failed) {
		site->failures++;
		if (store->options.circuit_failures && (trial || site->failures >= store->options.circuit_failures))
			open_circuit(store, site, now);
	} else if (f->status) {
		/* It answered, whatever it said. */
		close_circuit(store, site);
	}
}

/* ---- places, and who waits for one ---- */

static void begin(struct ks_secretstore *store, struct ks_secretstore_site *site)
{
	site->trying = site->open_until_ms != 0;
	site->running++;
	store->stats.running++;
}

static void end_waiter(struct ks_secretstore_waiter *w, enum ks_secretstore_code code)
{
	w->code = code;
	w->done = true;
	(void)pthread_cond_signal(&w->wake);
}

/* The first group of those that wait, taken off. */
static struct ks_secretstore_group *take_group(struct ks_secretstore *store, struct ks_secretstore_site *site)
{
	struct ks_secretstore_group *group = site->first;

	site->first = group->next;
	if (!site->first)
		site->last = NULL;
	site->waiting -= group->count;
	store->stats.waiting -= group->count;
	return group;
}

static void fail_waiting(struct ks_secretstore *store, struct ks_secretstore_site *site, enum ks_secretstore_code code)
{
	while (site->first) {
		struct ks_secretstore_group *group = take_group(store, site);

		while (group->waiters) {
			struct ks_secretstore_waiter *w = group->waiters;

			group->waiters = w->next;
			end_waiter(w, code);
		}
		free(group);
	}
}

/* The one that has the most time left fetches for all. */
static void start_group(struct ks_secretstore_group *group)
{
	struct ks_secretstore_waiter *runner = group->waiters;

	for (struct ks_secretstore_waiter *w = group->waiters; w; w = w->next) {
		if (w->deadline_ms > runner->deadline_ms)
			runner = w;
	}
	runner->run = true;
	(void)pthread_cond_signal(&runner->wake);
}

static void give_places(struct ks_secretstore *store, struct ks_secretstore_site *site, int64_t now)
{
	if (is_open(site, now))
		fail_waiting(store, site, KS_SECRETSTORE_CIRCUIT_OPEN);
	while (site->first && site->running < store->options.concurrency && !is_open(site, now)) {
		struct ks_secretstore_group *group = take_group(store, site);

		begin(store, site);
		start_group(group);
	}
}

static bool same_text(const struct ks_secretstore_group *group, const struct ks_secretstore_ask *ask)
{
	return ks_str_eq(ks_str_of(group->text, group->organization_n), ask->organization)
	       && ks_str_eq(ks_str_of(&group->text[group->organization_n], group->reference_n), ask->reference);
}

/* The group that waits for the same, or a new one at the end. NULL: no memory. */
static struct ks_secretstore_group *join(struct ks_secretstore_site *site, struct ks_secretstore_set *set,
					 const struct ks_secretstore_ask *ask)
{
	struct ks_secretstore_group *group;

	for (group = site->first; group; group = group->next) {
		if (group->set == set && same_text(group, ask))
			return group;
	}
	group = calloc(1, sizeof(*group) + ask->organization.n + ask->reference.n);
	if (!group)
		return NULL;
	group->set = set;
	group->organization_n = ask->organization.n;
	group->reference_n = ask->reference.n;
	memcpy(group->text, ask->organization.p, ask->organization.n);
	memcpy(&group->text[ask->organization.n], ask->reference.p, ask->reference.n);
	if (site->last)
		site->last->next = group;
	else
		site->first = group;
	site->last = group;
	return group;
}

static void unlink_waiter(struct ks_secretstore_group *group, struct ks_secretstore_waiter *w)
{
	for (struct ks_secretstore_waiter **at = &group->waiters; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			group->count--;
			return;
		}
	}
}

/* False: the group had begun. */
static bool leave_waiting(struct ks_secretstore *store, struct ks_secretstore_site *site, struct ks_secretstore_group *group)
{
	struct ks_secretstore_group *before = NULL;

	for (struct ks_secretstore_group *at = site->first; at; before = at, at = at->next) {
		if (at != group)
			continue;
		site->waiting--;
		store->stats.waiting--;
		if (group->count)
			return true;
		if (before)
			before->next = group->next;
		else
			site->first = group->next;
		if (site->last == group)
			site->last = before;
		free(group);
		return true;
	}
	return false;
}

/* Under the lock, which is let go meanwhile. Returns what ended it, or OK: it is the one to fetch. */
static enum ks_secretstore_code wait_for_place(struct ks_secretstore *store, struct ks_secretstore_site *site,
					       struct ks_secretstore_group *group, struct ks_secretstore_waiter *w)
{
	struct timespec until = {w->deadline_ms / 1000, w->deadline_ms % 1000 * 1000000};

	w->next = group->waiters;
	group->waiters = w;
	group->count++;
	site->waiting++;
	store->stats.waiting++;
	while (!w->run && !w->done) {
		if (pthread_cond_timedwait(&w->wake, &store->lock, &until) != 0 && !w->run && !w->done) {
			unlink_waiter(group, w);
			return leave_waiting(store, site, group) ? KS_SECRETSTORE_BUSY : KS_SECRETSTORE_TIMEOUT;
		}
	}
	return w->done ? w->code : KS_SECRETSTORE_OK;
}

void ks_secretstore_stop(struct ks_secretstore *store)
{
	(void)pthread_mutex_lock(&store->lock);
	store->stopping = true;
	for (size_t i = 0; i < KS_SECRETSTORE_SITE_LISTS; i++) {
		for (struct ks_secretstore_site *site = store->sites[i]; site; site = site->next)
			fail_waiting(store, site, KS_SECRETSTORE_STOPPING);
	}
	(void)pthread_mutex_unlock(&store->lock);
	ks_fetch_stop(store->fetch);
}

/* ---- one fetch ---- */

static uint64_t trust_mix(const struct ks_secretstore *store, const struct ks_secretstore_reference *r)
{
	char text[2048];
	struct ks_buf b = KS_BUF(text);

	ks_buf_put(&b, r->identity);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put(&b, r->role);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put(&b, r->external_id);
	return ks_siphash(store->key, b.p, b.n) | 1;
}

static bool is_trusted(const struct ks_secretstore_site *site, uint64_t mix)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(site->trusted); i++) {
		if (site->trusted[i] == mix)
			return true;
	}
	return false;
}

static void remember_trust(struct ks_secretstore_site *site, uint64_t mix)
{
	if (!is_trusted(site, mix))
		site->trusted[site->trusted_at++ % KS_ARRAY_LEN(site->trusted)] = mix;
}

/* Of what the store gave to what is asked for. */
static enum ks_secretstore_code select_value(struct ks_secretstore_fetch *f)
{
	struct ks_secret chosen = {0};
	struct ks_buf b;
	enum ks_secretstore_code code = ks_secretstore_of_err(ks_secret_new(&chosen, KS_SECRETSTORE_VALUE_MAX));

	if (code == KS_SECRETSTORE_OK) {
		b = ks_buf_of((char *)chosen.bytes, chosen.cap);
		code = ks_secretstore_select(ks_str_of((const char *)f->value.bytes, f->value.n), f->reference->member, &b);
		chosen.n = b.n;
	}
	ks_secret_free(&f->value);
	if (code == KS_SECRETSTORE_OK)
		f->value = chosen;
	else
		ks_secret_free(&chosen);
	return code;
}

static void count_fetch(struct ks_secretstore *store, enum ks_secretstore_kind kind, int64_t took)
{
	static const int64_t ends[] = {
#define X(ms) ms,
		KS_SECRETSTORE_BUCKETS(X)
#undef X
	};
	size_t i = 0;

	while (i < KS_ARRAY_LEN(ends) && took > ends[i])
		i++;
	store->stats.buckets[kind][i]++;
	store->stats.elapsed_ms[kind] += (uint64_t)took;
}

static void fill(struct ks_secretstore_answer *answer, const struct ks_secretstore_fetch *f)
{
	memcpy(answer->version, f->version, sizeof(f->version));
	memcpy(answer->said, f->said, sizeof(f->said));
	answer->status = f->status;
}

/* Under the lock: what one fetched, to all that wait with it. */
static void share(struct ks_secretstore *store, struct ks_secretstore_group *group, const struct ks_secretstore_waiter *runner,
		  const struct ks_secretstore_fetch *f, enum ks_secretstore_code code)
{
	while (group->waiters) {
		struct ks_secretstore_waiter *w = group->waiters;

		group->waiters = w->next;
		if (w == runner)
			continue;
		fill(w->answer, f);
		w->answer->shared = runner->answer->shared = true;
		store->stats.shared++;
		if (code == KS_SECRETSTORE_OK
		    && (ks_secret_new(&w->answer->value, KS_MAX(f->value.n, 1u)) != KS_OK
			|| ks_secret_set(&w->answer->value, f->value.bytes, f->value.n) != KS_OK)) {
			ks_secret_free(&w->answer->value);
			end_waiter(w, KS_SECRETSTORE_INTERNAL);
		} else {
			end_waiter(w, code);
		}
	}
	free(group);
}

/* With a place of the site; `group` NULL: for itself alone. Under the lock before and after, not meanwhile. */
static enum ks_secretstore_code fetch_value(struct ks_secretstore *store, struct ks_secretstore_site *site,
					    struct ks_secretstore_group *group, struct ks_secretstore_waiter *w,
					    struct ks_secretstore_fetch *f)
{
	uint64_t mix = trust_mix(store, f->reference);
	int64_t began = now_ms(), ended;
	enum ks_secretstore_code code;

	f->trusted_before = f->trusted_before || is_trusted(site, mix);
	(void)pthread_mutex_unlock(&store->lock);
	code = readers[f->reference->kind](f);
	if (code == KS_SECRETSTORE_OK)
		code = select_value(f);
	if (code != KS_SECRETSTORE_OK)
		ks_secret_free(&f->value);
	ended = now_ms();
	(void)pthread_mutex_lock(&store->lock);
	if (f->logged_in)
		remember_trust(site, mix);
	count_fetch(store, f->reference->kind, ended - began);
	account(store, site, f, code, began, ended);
	site->running--;
	store->stats.running--;
	fill(w->answer, f);
	w->answer->requests = f->requests;
	if (group)
		share(store, group, w, f, code);
	w->answer->value = f->value;
	give_places(store, site, ended);
	return code;
}

/* ---- a read ---- */

static struct ks_str resource_of(const struct ks_secretstore_reference *r, struct ks_buf *room)
{
	if (r->kind == KS_SECRETSTORE_AWS)
		return r->role.n ? r->role : r->secret;
	if (r->kind == KS_SECRETSTORE_GCP)
		return r->impersonate.n ? r->impersonate : r->secret;
	if (r->kind == KS_SECRETSTORE_AZURE) {
		ks_buf_put(room, r->vault);
		ks_buf_put_c(room, "/secrets/");
		ks_buf_put(room, r->secret);
		return ks_buf_str(room);
	}
	if (r->space.n) {
		ks_buf_put(room, r->space);
		ks_buf_put_byte(room, '/');
	}
	ks_buf_put(room, r->mount);
	ks_buf_put_byte(room, '/');
	ks_buf_put(room, r->path);
	return ks_buf_str(room);
}

/* What the operator lets a tenant's reference do with an identity. */
static enum ks_secretstore_code allowed(const struct ks_secretstore_ask *ask, const struct ks_secretstore_reference *r,
					const struct ks_identity *identity)
{
	struct ks_str own = KS_STR(OWN_EXTERNAL_ID);
	char text[2048];
	struct ks_buf room = KS_BUF(text);
	bool as_itself = (r->kind == KS_SECRETSTORE_AWS && !r->role.n)
			 || (identity && identity->auth == KS_IDENTITY_GCP_ACCOUNT && !r->impersonate.n);

	if (!identity || identity->kind != r->kind)
		return KS_SECRETSTORE_IDENTITY_UNKNOWN;
	if (!ks_identity_is_for(identity, ask->organization, resource_of(r, &room)) || !ks_buf_ok(&room))
		return KS_SECRETSTORE_IDENTITY_FORBIDDEN;
	if (as_itself && !identity->direct)
		return KS_SECRETSTORE_IDENTITY_FORBIDDEN;
	if (r->address.n && !ks_str_eq(r->address, identity->address))
		return KS_SECRETSTORE_IDENTITY_FORBIDDEN;
	/* An external_id in our name is the organization's own: no other tenant gets by with it. */
	if (ks_str_starts(r->external_id, own) && !ks_str_eq(ks_str_sub(r->external_id, own.n, r->external_id.n), ask->organization))
		return KS_SECRETSTORE_EXTERNAL_ID_WRONG;
	return KS_SECRETSTORE_OK;
}

/* Under the lock. */
static enum ks_secretstore_code read_at(struct ks_secretstore *store, struct ks_secretstore_site *site,
					struct ks_secretstore_set *set, const struct ks_secretstore_ask *ask,
					struct ks_secretstore_waiter *w, struct ks_secretstore_fetch *f)
{
	struct ks_secretstore_group *group = NULL;
	enum ks_secretstore_code code;

	if (is_open(site, now_ms()))
		return KS_SECRETSTORE_CIRCUIT_OPEN;
	if (site->running < store->options.concurrency && !site->first) {
		begin(store, site);
		return fetch_value(store, site, NULL, w, f);
	}
	if (site->waiting >= store->options.concurrency * WAITING_PER_PLACE)
		return KS_SECRETSTORE_BUSY;
	group = join(site, set, ask);
	if (!group)
		return KS_SECRETSTORE_INTERNAL;
	code = wait_for_place(store, site, group, w);
	if (!w->run)
		return code;
	return fetch_value(store, site, group, w, f);
}

static enum ks_secretstore_code read_locked(struct ks_secretstore *store, const struct ks_secretstore_ask *ask,
					    const struct ks_secretstore_reference *reference, struct ks_secretstore_waiter *w)
{
	struct ks_secretstore_set *set = store->set;
	const struct ks_identity *identity = ks_identities_find(set->identities, reference->identity);
	struct ks_secretstore_fetch f = {
		.store = store,
		.reference = reference,
		.identity = identity,
		.organization = ask->organization,
		.deadline_ms = w->deadline_ms,
		.trusted_before = ask->worked_before,
	};
	enum ks_secretstore_code code = allowed(ask, reference, identity);
	struct ks_secretstore_site *site;
	char key[1024];
	struct ks_buf b = KS_BUF(key);

	if (store->stopping)
		return KS_SECRETSTORE_STOPPING;
	if (code != KS_SECRETSTORE_OK)
		return code;
	if (!key_of(ask, reference, identity, &b))
		return KS_SECRETSTORE_REFERENCE_MALFORMED;
	site = find_site(store, ks_buf_str(&b), now_ms());
	if (!site)
		return KS_SECRETSTORE_BUSY;
	set->users++;
	code = read_at(store, site, set, ask, w, &f);
	drop_set(store, set);
	return code;
}

static void init_waiter(struct ks_secretstore_waiter *w, struct ks_secretstore_answer *answer, int64_t deadline_ms)
{
	pthread_condattr_t attr;

	*w = (struct ks_secretstore_waiter){.deadline_ms = deadline_ms, .answer = answer};
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

enum ks_secretstore_code ks_secretstore_read(struct ks_secretstore *store, const struct ks_secretstore_ask *ask,
					     struct ks_secretstore_answer *ret_answer)
{
	struct ks_secretstore_reference reference;
	struct ks_secretstore_detail detail;
	struct ks_secretstore_waiter w;
	int64_t began = now_ms();
	enum ks_secretstore_code code;

	*ret_answer = (struct ks_secretstore_answer){0};
	if (ks_secretstore_parse(ask->reference, &reference, &detail) != KS_OK)
		return KS_SECRETSTORE_REFERENCE_MALFORMED;
	init_waiter(&w, ret_answer, ks_secretstore_deadline(store, ask->timeout_ms));
	(void)pthread_mutex_lock(&store->lock);
	code = read_locked(store, ask, &reference, &w);
	store->stats.reads[reference.kind][code]++;
	(void)pthread_mutex_unlock(&store->lock);
	(void)pthread_cond_destroy(&w.wake);
	ret_answer->elapsed_ms = (unsigned)(now_ms() - began);
	return code;
}

void ks_secretstore_stats(struct ks_secretstore *store, struct ks_secretstore_stats *ret_stats)
{
	(void)pthread_mutex_lock(&store->lock);
	*ret_stats = store->stats;
	(void)pthread_mutex_unlock(&store->lock);
}
