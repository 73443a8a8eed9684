/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/held.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/id.h"
#include "config/log.h"

#define LOOK_MS 500
#define WORST_MS 60000 /* between two tries where it does not follow */
#define UNAVAILABLE "held_store_unavailable"

static struct {
	struct ks_secretstore *store;
	struct ks_engine *engine;
	struct ks_str identity, region, prefix;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
} held = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t wall_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- places: region, a blank, name ---- */

static bool take_place(struct ks_str text, struct ks_held_place *ret_place)
{
	*ret_place = (struct ks_held_place){.identity = held.identity};
	return ks_str_split(text, ' ', &ret_place->region, &ret_place->name);
}

/* Another key of the organization is another secret: what was erased is never written again. */
static enum ks_err place_of(void *ctx, uint64_t organization, uint64_t provider, struct ks_str field, uint64_t key_number,
			    char ret_place[KS_VAULT_PLACE_SIZE])
{
	char organization_text[KS_ID_TEXT_SIZE], provider_text[KS_ID_TEXT_SIZE];
	struct ks_buf b = ks_buf_of(ret_place, KS_VAULT_PLACE_SIZE);

	(void)ctx;
	ks_id_format(KS_ID_ORGANIZATION, organization, organization_text);
	ks_id_format(KS_ID_PROVIDER, provider, provider_text);
	ks_buf_put(&b, held.region);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put(&b, held.prefix);
	ks_buf_printf(&b, "%s/%s/", organization_text, provider_text);
	ks_buf_put(&b, field);
	if (key_number > 1)
		ks_buf_printf(&b, "-%llu", (unsigned long long)key_number);
	(void)ks_buf_z(&b);
	return ks_buf_ok(&b) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err name_version(const struct ks_held_place *place, uint64_t number, char ret_version[KS_HELD_VERSION_SIZE])
{
	return ks_held_version(place->name, number, ret_version);
}

/* ---- what the engine asks ---- */

static enum ks_err give_code(const struct ks_held_place *place, const char *event, enum ks_secretstore_code code, const char **ret_code)
{
	char name[KS_HELD_NAME_MAX + 1];
	struct ks_buf b = KS_BUF(name);

	if (code == KS_SECRETSTORE_OK)
		return KS_OK;
	ks_buf_put(&b, place->name);
	ks_log(KS_LOG_WARNING, event, "secret", ks_buf_z(&b), "code", ks_secretstore_code_name(code), NULL);
	/* What is not there any more does not come back by trying again. */
	*ret_code = code == KS_SECRETSTORE_SECRET_GONE || code == KS_SECRETSTORE_VERSION_GONE ? "value_unreadable" : UNAVAILABLE;
	return KS_KMS;
}

static enum ks_err put(void *ctx, struct ks_str where, uint64_t number, struct ks_str bytes, const char **ret_code)
{
	char version[KS_HELD_VERSION_SIZE];
	struct ks_held_place place;
	enum ks_secretstore_code code;

	(void)ctx;
	*ret_code = UNAVAILABLE;
	if (!take_place(where, &place))
		return KS_CORRUPT;
	KS_TRY(name_version(&place, number, version));
	code = ks_held_put(held.store, &place, version, bytes);
	if (give_code(&place, "held_value_not_written", code, ret_code) != KS_OK)
		*ret_code = UNAVAILABLE;
	return code == KS_SECRETSTORE_OK ? KS_OK : KS_KMS;
}

static enum ks_err get(void *ctx, struct ks_str where, uint64_t number, int64_t deadline_ms, struct ks_secret *ret_bytes,
		       const char **ret_code)
{
	char version[KS_HELD_VERSION_SIZE];
	struct ks_held_place place;
	int64_t left = deadline_ms - wall_ms();

	(void)ctx;
	*ret_code = UNAVAILABLE;
	if (!take_place(where, &place))
		return KS_CORRUPT;
	if (left <= 0)
		return KS_KMS;
	place.timeout_ms = (unsigned)KS_MIN(left, (int64_t)UINT32_MAX);
	KS_TRY(name_version(&place, number, version));
	return give_code(&place, "held_value_not_read", ks_held_get(held.store, &place, version, ret_bytes), ret_code);
}

/* ---- following ---- */

static enum ks_secretstore_code settle(const struct ks_held_place *place, const struct ks_vault_held_work *w)
{
	const uint64_t numbers[KS_HELD_STAGE_COUNT] = {
		[KS_HELD_PENDING] = w->pending, [KS_HELD_CURRENT] = w->current, [KS_HELD_PREVIOUS] = w->previous};
	char versions[KS_HELD_STAGE_COUNT][KS_HELD_VERSION_SIZE];
	const char *wanted[KS_HELD_STAGE_COUNT] = {NULL};

	for (size_t i = 0; i < KS_HELD_STAGE_COUNT; i++) {
		if (!numbers[i])
			continue;
		if (name_version(place, numbers[i], versions[i]) != KS_OK)
			return KS_SECRETSTORE_INTERNAL;
		wanted[i] = versions[i];
	}
	return ks_held_settle(held.store, place, wanted);
}

static bool follow(const struct ks_vault_held_work *w)
{
	struct ks_held_place place;
	enum ks_secretstore_code code;
	const char *ignored;

	if (!take_place(ks_str_c(w->place), &place))
		return false;
	code = w->gone ? ks_held_erase(held.store, &place) : settle(&place, w);
	/* A version was asked for whose bytes never came: there is nothing to follow. */
	if (code == KS_SECRETSTORE_SECRET_GONE && !w->pending && !w->current && !w->previous)
		code = KS_SECRETSTORE_OK;
	return give_code(&place, "held_stages_late", code, &ignored) == KS_OK && ks_vault_held_done(held.engine, w) == KS_OK;
}

static bool is_stopping(void)
{
	bool stopping;

	(void)pthread_mutex_lock(&held.lock);
	stopping = held.stopping;
	(void)pthread_mutex_unlock(&held.lock);
	return stopping;
}

/* One that does not follow stands in the way of no other. */
static bool follow_all(struct ks_engine_reader *reader)
{
	struct ks_vault_held_work work = {.asked = 0}, next;
	bool all = true;

	while (!is_stopping() && ks_vault_held_next(reader->store, &work, &next) == KS_OK) {
		all = follow(&next) && all;
		work = next;
	}
	return all;
}

static bool rest(int64_t ms)
{
	struct timespec until;
	bool stopping;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&held.lock);
	while (!held.stopping && pthread_cond_timedwait(&held.wake, &held.lock, &until) == 0)
		continue;
	stopping = held.stopping;
	(void)pthread_mutex_unlock(&held.lock);
	return !stopping;
}

static void *run(void *ctx)
{
	struct ks_engine_reader reader;
	int64_t pause_ms = LOOK_MS;

	(void)ctx;
	while (rest(pause_ms)) {
		bool all = false;

		if (ks_engine_reader_open(held.engine, &reader) == KS_OK) {
			all = follow_all(&reader);
			ks_engine_reader_close(&reader);
		}
		pause_ms = all ? LOOK_MS : KS_MIN(2 * pause_ms, (int64_t)WORST_MS);
	}
	return NULL;
}

/* ---- from the settings ---- */

static enum ks_err complain(struct ks_config_problem *problem, const char *setting, const char *what)
{
	(void)snprintf(problem->text, sizeof(problem->text), "%s: %s", setting, what);
	return KS_MALFORMED;
}

enum ks_err ks_serve_held(const struct ks_config *config, struct ks_secretstore *store, struct ks_vault_openers *openers,
			  struct ks_config_problem *ret_problem)
{
	bool aws = ks_str_eq(ks_str_c(config->vault_held_store.text), KS_STR("aws"));
	char text[KS_VAULT_PLACE_SIZE];
	struct ks_held_place place;
	enum ks_secretstore_code code;

	held.store = store;
	held.identity = ks_str_c(config->vault_held_identity.text);
	held.region = ks_str_c(config->vault_held_region.text);
	held.prefix = ks_str_c(config->vault_held_prefix.text);
	if (!aws && !ks_str_eq(ks_str_c(config->vault_held_store.text), KS_STR("store")))
		return complain(ret_problem, "vault.held_store", "must be store or aws");
	if (!held.identity.n && !aws)
		return KS_OK;
	if (place_of(NULL, 1, 1, KS_STR("password"), 1, text) != KS_OK || !take_place(ks_str_c(text), &place))
		return complain(ret_problem, "vault.held_prefix", "is too long");
	code = ks_held_check(store, &place);
	if (code == KS_SECRETSTORE_IDENTITY_UNKNOWN)
		return complain(ret_problem, "vault.held_identity",
				"must name an identity of references.identities with store aws and \"direct\": true");
	if (code != KS_SECRETSTORE_OK)
		return complain(ret_problem, "vault.held_store", "aws needs a vault.held_region and a vault.held_prefix that AWS takes");
	openers->held_get = get;
	openers->held_put = put;
	openers->held_place = aws ? place_of : NULL;
	return KS_OK;
}

enum ks_err ks_serve_held_start(struct ks_engine *engine)
{
	pthread_condattr_t attributes;

	if (!held.identity.n)
		return KS_OK;
	held.engine = engine;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&held.wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (pthread_create(&held.thread, NULL, run, NULL) != 0)
		return KS_SYSTEM;
	held.running = true;
	return KS_OK;
}

void ks_serve_held_stop(void)
{
	if (!held.running)
		return;
	(void)pthread_mutex_lock(&held.lock);
	held.stopping = true;
	(void)pthread_cond_signal(&held.wake);
	(void)pthread_mutex_unlock(&held.lock);
	(void)pthread_join(held.thread, NULL);
	held.running = false;
}
