/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing, and what is asked of the engine as a whole. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "engine/endpoint_set.h"
#include "engine/vault_cache.h"

#define DEFAULT_FLUSH_MS 1000
#define DEFAULT_EVENTS_DAYS 30
#define DEFAULT_SESSION_IDLE_MS (INT64_C(30) * 60000)
#define DEFAULT_SESSION_LIFETIME_MS (INT64_C(12) * 3600000)
#define DEFAULT_INVITATION_MS (INT64_C(7) * 86400000)
#define DEFAULT_LINK_ATTEMPTS 10
#define OPERATOR_NAME "Operator"

int64_t ks_engine_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t ks_engine_tick_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- telling ---- */

void ks_engine_say(const struct ks_engine *engine, int level, const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!engine->options.log)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	engine->options.log(engine->options.log_ctx, level, event, text);
}

void ks_engine_progress(struct ks_engine *engine, const char *what, uint64_t done, uint64_t all)
{
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.work = done < all ? what : NULL;
	engine->stats.work_done = done;
	engine->stats.work_all = all;
	pthread_mutex_unlock(&engine->stats_lock);
	if (engine->options.progress)
		engine->options.progress(engine->options.progress_ctx, what, done, all);
}

void ks_engine_work_end(struct ks_engine *engine)
{
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.work = NULL;
	pthread_mutex_unlock(&engine->stats_lock);
}

enum ks_err ks_engine_problem(struct ks_engine_problem *problem, enum ks_err err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(problem->text, sizeof(problem->text), fmt, args);
	va_end(args);
	return err;
}

enum ks_err ks_refuse(struct ks_refusal *refusal, enum ks_err err, const char *code, const char *pointer,
		      const char *fmt, ...)
{
	va_list args;

	refusal->code = code;
	(void)snprintf(refusal->pointer, sizeof(refusal->pointer), "%s", pointer);
	va_start(args, fmt);
	(void)vsnprintf(refusal->detail, sizeof(refusal->detail), fmt, args);
	va_end(args);
	return err;
}

enum ks_err ks_refuse_tenant(struct ks_refusal *refusal, const char *pointer)
{
	return ks_refuse(refusal, KS_FORBIDDEN, "tenant_forbidden", pointer, "the tenant is not accessible");
}

/* ---- options ---- */

/* Where the texts of the options are, and what stands for one that is left out. X(member, default) */
#define OPTION_TEXTS(X)           \
	X(data_directory, NULL)   \
	X(store_uri, NULL)        \
	X(ring_directory, NULL)   \
	X(domain, "")             \
	X(policy_path, NULL)      \
	X(platforms_path, NULL)   \
	X(platforms_own_path, NULL) \
	X(prefix_live, "ks")      \
	X(prefix_sandbox, "ks_test") \
	X(issuer.algorithm, NULL) \
	X(keeper.program, NULL)   \
	X(keeper.passphrase_file, NULL) \
	X(keeper.pkcs11_module, NULL) \
	X(keeper.pkcs11_token, NULL) \
	X(keeper.pkcs11_key, NULL) \
	X(keeper.pkcs11_files, NULL) \
	X(keeper.pin_file, NULL) \
	X(keeper.kms_url, NULL) \
	X(keeper.kms_key, NULL) \
	X(keeper.kms_region, NULL) \
	X(keeper.kms_credentials_file, NULL) \
	X(keeper.kms_ca_file, NULL)

static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

static void free_options(struct ks_engine *engine)
{
#define X(member, otherwise) free_text(engine->options.member);
	OPTION_TEXTS(X)
#undef X
	free_text(engine->options.self_policy.p);
	for (size_t i = 0; i < engine->options.issuer.audience_count; i++)
		free_text(engine->options.issuer.audiences[i]);
}

static bool copy_text(const char *text, const char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return !text || *ret_copy;
}

/* All are copied, also after one failed: what is in the options is ours to free. */
static bool copy_audiences(struct ks_engine_issuer *issuer)
{
	bool ok = true;

	for (size_t i = 0; i < issuer->audience_count; i++)
		ok &= copy_text(issuer->audiences[i], &issuer->audiences[i]);
	return ok;
}

static enum ks_err copy_options(struct ks_engine *engine, const struct ks_engine_options *given)
{
	struct ks_engine_options *o = &engine->options;
	bool ok = true;

	*o = *given;
#define X(member, otherwise) ok &= copy_text(given->member ? given->member : (otherwise), &o->member);
	OPTION_TEXTS(X)
#undef X
	ok &= copy_audiences(&o->issuer);
	o->self_policy.p = given->self_policy.n > 0 ? strndup(given->self_policy.p, given->self_policy.n) : NULL;
	if (!o->self_policy.p) {
		ok &= given->self_policy.n == 0;
		o->self_policy.n = 0;
	}
	if (o->link_attempts == 0)
		o->link_attempts = DEFAULT_LINK_ATTEMPTS;
	if (o->usage_flush_ms == 0)
		o->usage_flush_ms = DEFAULT_FLUSH_MS;
	if (o->events_keep_days == 0)
		o->events_keep_days = DEFAULT_EVENTS_DAYS;
	if (o->inbound_keep_days == 0)
		o->inbound_keep_days = DEFAULT_EVENTS_DAYS;
	if (o->session_idle_ms == 0)
		o->session_idle_ms = DEFAULT_SESSION_IDLE_MS;
	if (o->session_lifetime_ms == 0)
		o->session_lifetime_ms = DEFAULT_SESSION_LIFETIME_MS;
	ks_vault_defaults(&o->vault);
	if (o->vault.openers)
		engine->openers = *o->vault.openers;
	if (o->invitation_ms == 0)
		o->invitation_ms = DEFAULT_INVITATION_MS;
	return ok ? KS_OK : KS_MEMORY;
}

static enum ks_err check_options(const struct ks_engine_options *o, struct ks_engine_problem *problem)
{
	if (!o->data_directory || o->data_directory[0] == '\0')
		return ks_engine_problem(problem, KS_MALFORMED, "no data directory is given");
	if (!ks_token_prefix_ok(ks_str_c(o->prefix_live)))
		return ks_engine_problem(problem, KS_MALFORMED, "\"%s\" cannot be the prefix of a token",
					 o->prefix_live);
	if (!ks_token_prefix_ok(ks_str_c(o->prefix_sandbox)))
		return ks_engine_problem(problem, KS_MALFORMED, "\"%s\" cannot be the prefix of a token",
					 o->prefix_sandbox);
	return KS_OK;
}

/* ---- the truth ---- */

/* A writer would make what is not there. */
static bool store_is_missing(const struct ks_engine *engine)
{
	struct ks_str uri = ks_str_c(engine->store_uri);
	struct ks_str scheme = KS_STR(KS_SQLITE_SCHEME);

	return ks_str_starts(uri, scheme) && access(uri.p + scheme.n, F_OK) != 0 && errno == ENOENT;
}

static enum ks_err open_store(struct ks_engine *engine, struct ks_engine_problem *problem)
{
	enum ks_err err;

	KS_TRY(ks_place_store(engine));
	if (!engine->options.create && store_is_missing(engine))
		return ks_engine_problem(problem, KS_NOT_FOUND, "there is no store at %s", engine->store_uri);
	err = ks_store_open(engine->store_uri, KS_STORE_WRITER, &engine->store);
	if (err != KS_OK)
		return ks_engine_problem(problem, err, "the store %s cannot be opened: %s (%s)", engine->store_uri,
					 ks_err_text(err), ks_store_error(NULL));
	err = ks_store_identity(engine->store, engine->store_id);
	if (err == KS_OK)
		err = ks_store_last_id(engine->store, &engine->ids.last);
	if (err != KS_OK)
		return ks_engine_problem(problem, err, "the store %s cannot be read: %s", engine->store_uri,
					 ks_store_error(engine->store));
	return KS_OK;
}

static enum ks_err note_any(void *ctx, const struct ks_tenant_row *row)
{
	bool *any = ctx;

	(void)row;
	*any = true;
	return KS_OK;
}

static enum ks_err insert_operator(struct ks_tx *tx)
{
	uint64_t id = ks_tx_id(tx);

	KS_TRY(ks_store_tenant_insert(tx->store, &(struct ks_tenant_row){
		.id = id,
		.kind = KS_TENANT_KIND_OPERATOR,
		.name = KS_STR(OPERATOR_NAME),
		.created_at = tx->now_ms,
		.created_by = KS_STR("system"),
		.suspended_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
	}));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_TENANT, id, 0));
	return ks_tx_audit(tx, NULL, &(struct ks_audit_note){
		.action = "tenant.create",
		.tenant = id,
		.object_type = KS_ID_OPERATOR,
		.object = id,
		.detail = KS_STR("{\"kind\":\"operator\",\"name\":\"" OPERATOR_NAME "\"}"),
	});
}

/* The root of the tree is there from the first moment on. */
static enum ks_err make_operator(struct ks_engine *engine, struct ks_engine_problem *problem)
{
	struct ks_tenant_filter filter = {.kind = KS_TENANT_KIND_OPERATOR, .limit = 1};
	struct ks_tx tx = {.engine = engine, .store = engine->store, .now_ms = ks_engine_now_ms()};
	bool any = false;
	enum ks_err err = ks_store_tenants(engine->store, &filter, note_any, &any);

	if (err == KS_OK && !any) {
		err = ks_store_begin(engine->store);
		if (err == KS_OK)
			err = insert_operator(&tx);
		if (err == KS_OK)
			err = ks_store_commit(engine->store);
		else
			ks_store_rollback(engine->store);
		engine->log.change_count = 0;
	}
	if (err != KS_OK)
		return ks_engine_problem(problem, err, "the store cannot be set up: %s", ks_store_error(engine->store));
	return KS_OK;
}

/* ---- the ring ---- */

static enum ks_err open_ringmap(struct ks_engine *engine, const struct ks_ring_geometry *geometry, bool *ret_fresh)
{
	struct ks_ringmap_options options = {
		.directory = engine->ring_directory,
		.domain = ks_str_c(engine->options.domain),
		.group = engine->options.ring_group,
		.prefault = engine->options.prefault,
	};

	memcpy(options.store_id, engine->store_id, sizeof(options.store_id));
	return ks_ringmap_writer_open(&options, geometry, engine->options.rebuild_ring, &engine->ringmap, ret_fresh);
}

/* Readers that have a ring elsewhere by its own name would go on deciding by it, and never hear of a revocation. A
 * writer of another store ends it for them: they refuse, or follow <data>/ring to the new one. What cannot be opened
 * has no readers either, or is not ours. */
static void end_ring(const struct ks_engine *engine, const char *directory)
{
	struct ks_ringmap_options options = {
		.directory = directory, .domain = KS_STR(""), .group = engine->options.ring_group};
	struct ks_ring_geometry geometry = ks_ring_plan(1, 1, 1, 1, 1, 1);
	struct ks_ringmap_writer *writer = NULL;
	bool fresh;
	enum ks_err err;

	if (directory[0] == '\0' || access(directory, F_OK) != 0)
		return;
	err = ks_ringmap_writer_open(&options, &geometry, true, &writer, &fresh);
	ks_ringmap_writer_close(&writer);
	ks_engine_say(engine, 2, "ring_ended", "%s is given up%s%s", directory, err == KS_OK ? "" : ": ",
		      err == KS_OK ? "" : ks_err_text(err));
}

static enum ks_err open_ring_somewhere(struct ks_engine *engine, bool *ret_fresh)
{
	struct ks_ring_geometry geometry;
	char *fallback;
	enum ks_err err;

	KS_TRY(ks_rebuild_plan(engine, 1, &geometry));
	KS_TRY(ks_place_ring(engine, ks_ring_size(&geometry) + ks_usage_size(&geometry), &engine->ring_directory));
	err = open_ringmap(engine, &geometry, ret_fresh);
	/* Our own choice of a place need not hold: somebody may have taken the name, or the memory. */
	if (err == KS_OK || err == KS_BUSY || err == KS_MALFORMED || engine->options.ring_directory)
		return err;
	KS_TRY(ks_place_ring_fallback(engine, &fallback));
	ks_engine_say(engine, 2, "ring_elsewhere", "%s cannot be used (%s): the ring is in %s", engine->ring_directory,
		      ks_err_text(err), fallback);
	end_ring(engine, engine->ring_directory);
	free(engine->ring_directory);
	engine->ring_directory = fallback;
	return open_ringmap(engine, &geometry, ret_fresh);
}

static enum ks_err bring_up(struct ks_engine *engine, bool fresh)
{
	enum ks_err err;

	if (fresh)
		return ks_rebuild_fresh(engine);
	err = ks_project_rest(engine);
	if (err == KS_OK) {
		/* The lease of the process before does not bind this one: the truth is on this machine. */
		ks_ring_set_lease(ks_ringmap_writer_ring(engine->ringmap), INT64_MAX);
		KS_TRY(ks_catalogue_publish_current(engine, engine->policy));
		return ks_issuer_publish_current(engine);
	}
	if (err != KS_CONFLICT)
		ks_engine_say(engine, 2, "replay_failed", "%s: rebuilding the ring", ks_err_text(err));
	return ks_rebuild_ring(engine);
}

static enum ks_err open_ring(struct ks_engine *engine, struct ks_engine_problem *problem)
{
	bool fresh = false;
	char before[PATH_MAX];
	enum ks_err err = open_ring_somewhere(engine, &fresh);

	if (err == KS_OK)
		err = bring_up(engine, fresh);
	if (err == KS_OK) {
		ks_place_linked(engine, before);
		if (!ks_str_eq(ks_str_c(before), ks_str_c(engine->ring_directory)))
			end_ring(engine, before);
		err = ks_place_link(engine);
	}
	if (err != KS_OK)
		return ks_engine_problem(problem, err, "the ring in %s cannot be brought up: %s",
					 engine->ring_directory ? engine->ring_directory : "?", ks_err_text(err));
	engine->ring_fresh = fresh;
	ks_engine_say(engine, 1, "ring_open", "%s, %s", engine->ring_directory, fresh ? "built" : "taken over");
	return KS_OK;
}

/* ---- opening and closing ---- */

static struct ks_engine *new_engine(void)
{
	struct ks_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->lock_fd = -1;
	engine->queue_tail = &engine->queue_head;
	engine->memberships = calloc(KS_RING_MEMBERSHIPS_MAX, sizeof(*engine->memberships));
	engine->grant_body = malloc(KS_GRANT_BODY_MAX);
	pthread_mutex_init(&engine->policy_lock, NULL);
	pthread_mutex_init(&engine->queue_lock, NULL);
	pthread_cond_init(&engine->queue_wake, NULL);
	pthread_mutex_init(&engine->ring_lock, NULL);
	pthread_mutex_init(&engine->stats_lock, NULL);
	pthread_mutex_init(&engine->issuer.lock, NULL);
	return engine;
}

static enum ks_err bring_all_up(struct ks_engine *engine, struct ks_engine_problem *problem)
{
	KS_TRY(check_options(&engine->options, problem));
	KS_TRY(ks_place_claim(engine, problem));
	/* A bad policy is found before anything is made. */
	KS_TRY(ks_catalogue_load(&engine->options, 1, &engine->policy, problem));
	KS_TRY(ks_platforms_load(&engine->options, &engine->platforms, problem));
	KS_TRY(open_store(engine, problem));
	KS_TRY(ks_vault_cache_new(&engine->vault_cache));
	KS_TRY(ks_engine_keeper_open(engine, problem));
	KS_TRY(ks_audit_build(engine, problem));
	KS_TRY(make_operator(engine, problem));
	KS_TRY(ks_audit_open(engine));
	KS_TRY(ks_issuer_open(engine));
	KS_TRY(open_ring(engine, problem));
	ks_writer_note_ring(engine);
	KS_TRY(ks_writer_start(engine));
	return ks_usage_start(engine);
}

enum ks_err ks_engine_open(const struct ks_engine_options *options, struct ks_engine **ret_engine,
			   struct ks_engine_problem *ret_problem)
{
	struct ks_engine *engine = new_engine();
	enum ks_err err;

	ret_problem->text[0] = '\0';
	if (!engine)
		return ks_engine_problem(ret_problem, KS_MEMORY, "%s", ks_err_text(KS_MEMORY));
	err = copy_options(engine, options);
	if (err == KS_OK && (!engine->memberships || !engine->grant_body))
		err = KS_MEMORY;
	if (err == KS_OK)
		err = bring_all_up(engine, ret_problem);
	if (err != KS_OK) {
		if (ret_problem->text[0] == '\0')
			(void)ks_engine_problem(ret_problem, err, "%s", ks_err_text(err));
		ks_engine_close(&engine);
		return err;
	}
	*ret_engine = engine;
	return KS_OK;
}

void ks_engine_close(struct ks_engine **engine)
{
	struct ks_engine *e = *engine;

	if (!e)
		return;
	ks_usage_stop(e);
	ks_writer_stop(e);
	ks_ringmap_writer_close(&e->ringmap);
	ks_store_close(&e->store);
	ks_place_release(e);
	ks_catalogue_release(e->policy);
	ks_platform_registry_release(&e->platforms);
	pthread_mutex_destroy(&e->policy_lock);
	pthread_mutex_destroy(&e->queue_lock);
	pthread_cond_destroy(&e->queue_wake);
	pthread_mutex_destroy(&e->ring_lock);
	pthread_mutex_destroy(&e->stats_lock);
	free(e->log.changes);
	free(e->log.gone);
	free(e->log.forgotten);
	free(e->log.cores);
	free(e->memberships);
	free(e->grant_body);
	ks_endpoint_set_clear(&e->endpoints);
	ks_issuer_close(e);
	ks_audit_close(e);
	ks_engine_keeper_close(e);
	ks_vault_cache_free(e->vault_cache);
	free(e->data_directory);
	free(e->store_uri);
	free(e->ring_directory);
	free_options(e);
	free(e);
	*engine = NULL;
}

/* ---- asking ---- */

bool ks_engine_is_fresh(const struct ks_engine *engine)
{
	return atomic_load_explicit(&engine->keys_known, memory_order_relaxed) == 0;
}

const struct ks_engine_options *ks_engine_options(const struct ks_engine *engine)
{
	return &engine->options;
}

const char *ks_engine_ring_directory(const struct ks_engine *engine)
{
	return engine->ring_directory;
}

enum ks_err ks_engine_reader_open(struct ks_engine *engine, struct ks_engine_reader *ret_reader)
{
	struct ks_engine_reader reader = {0};
	enum ks_err err = ks_ringmap_reader_open(engine->ring_directory, &reader.ring);

	if (err == KS_OK)
		err = ks_store_open(engine->store_uri, KS_STORE_READER, &reader.store);
	if (err != KS_OK) {
		ks_engine_reader_close(&reader);
		return err;
	}
	*ret_reader = reader;
	return KS_OK;
}

void ks_engine_reader_close(struct ks_engine_reader *reader)
{
	ks_ringmap_reader_close(&reader->ring);
	ks_store_close(&reader->store);
}

static enum ks_err run_rebuild(struct ks_job *job, struct ks_tx *tx)
{
	(void)job;
	return ks_rebuild_ring(tx->engine);
}

enum ks_err ks_engine_rebuild(struct ks_engine *engine)
{
	struct ks_job job = {.run = run_rebuild, .apart = true};

	return ks_engine_run(engine, &job);
}

static void tell_backup(void *ctx, uint64_t done, uint64_t all)
{
	ks_engine_progress(ctx, "backup", done, all);
}

enum ks_err ks_engine_backup(struct ks_engine *engine, const char *path)
{
	struct ks_store *store;
	enum ks_err err;

	KS_TRY(ks_store_open(engine->store_uri, KS_STORE_READER, &store));
	err = ks_store_backup(store, path, tell_backup, engine);
	ks_engine_work_end(engine);
	if (err != KS_OK)
		ks_engine_say(engine, 3, "backup_failed", "%s: %s", ks_err_text(err), ks_store_error(store));
	ks_store_close(&store);
	return err;
}
