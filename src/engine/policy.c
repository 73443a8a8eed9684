/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: read from their files, kept as counted catalogues, put into the ring. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/random.h"
#include "engine/engine_priv.h"

/* ---- catalogues ---- */

static void catalogue_free(struct ks_engine_policy_ref *ref)
{
	ks_policy_free(&ref->platform);
	ks_policy_free(&ref->self);
	free(ref);
}

void ks_catalogue_release(struct ks_engine_policy_ref *ref)
{
	if (ref && atomic_fetch_sub_explicit(&ref->refs, 1, memory_order_acq_rel) == 1)
		catalogue_free(ref);
}

struct ks_engine_policy ks_engine_policy(struct ks_engine *engine)
{
	struct ks_engine_policy_ref *ref;

	pthread_mutex_lock(&engine->policy_lock);
	ref = engine->policy;
	atomic_fetch_add_explicit(&ref->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&engine->policy_lock);
	return (struct ks_engine_policy){.platform = ref->platform, .self = ref->self, .epoch = ref->epoch, .ref = ref};
}

void ks_engine_policy_release(struct ks_engine_policy *policy)
{
	ks_catalogue_release(policy->ref);
	*policy = (struct ks_engine_policy){0};
}

const struct ks_policy_scope *ks_catalogue_scope(const struct ks_engine_policy *policy, struct ks_str name)
{
	const struct ks_policy_scope *scope = policy->platform ? ks_policy_scope(policy->platform, name) : NULL;

	return !scope && policy->self ? ks_policy_scope(policy->self, name) : scope;
}

/* ---- reading files ---- */

static enum ks_err read_all(int fd, char *text, size_t cap, size_t *ret_n)
{
	size_t n = 0;

	while (n < cap) {
		ssize_t got = read(fd, text + n, cap - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return KS_SYSTEM;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret_n = n;
	return KS_OK;
}

enum ks_err ks_engine_read_file(const char *path, size_t most, char **ret_text, size_t *ret_n,
				struct ks_engine_problem *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = malloc(most + 1);
	size_t n = 0;
	enum ks_err err = KS_OK;

	if (fd < 0)
		err = ks_engine_problem(problem, errno == ENOENT ? KS_NOT_FOUND : KS_SYSTEM, "%s: %s", path,
					strerror(errno));
	else if (!text)
		err = KS_MEMORY;
	else if (read_all(fd, text, most + 1, &n) != KS_OK)
		err = ks_engine_problem(problem, KS_SYSTEM, "%s: %s", path, strerror(errno));
	else if (n > most)
		err = ks_engine_problem(problem, KS_MALFORMED, "%s: larger than %zu bytes", path, most);
	if (fd >= 0)
		close(fd);
	if (err != KS_OK) {
		free(text);
		return err;
	}
	*ret_text = text;
	*ret_n = n;
	return KS_OK;
}

static enum ks_err parse(const char *name, struct ks_str text, struct ks_str reserved, struct ks_policy **ret_policy,
			 struct ks_engine_problem *problem)
{
	struct ks_policy_problem where = {0};
	enum ks_err err = ks_policy_parse(text, reserved, ret_policy, &where);

	if (err == KS_MALFORMED)
		return ks_engine_problem(problem, err, "%s:%u:%u: %s", name, where.line, where.column, where.text);
	if (err != KS_OK)
		return ks_engine_problem(problem, err, "%s: %s", name, ks_err_text(err));
	return KS_OK;
}

static enum ks_err load_platform(const char *path, struct ks_policy **ret_policy, struct ks_engine_problem *problem)
{
	char *text;
	size_t n;
	enum ks_err err;

	KS_TRY(ks_engine_read_file(path, KS_POLICY_TEXT_MAX, &text, &n, problem));
	err = parse(path, ks_str_of(text, n), KS_STR("keystile:"), ret_policy, problem);
	free(text);
	return err;
}

enum ks_err ks_catalogue_load(const struct ks_engine_options *options, uint64_t epoch,
			      struct ks_engine_policy_ref **ret_ref, struct ks_engine_problem *ret_problem)
{
	struct ks_engine_policy_ref *ref = calloc(1, sizeof(*ref));
	enum ks_err err = KS_OK;

	if (!ref)
		return KS_MEMORY;
	atomic_init(&ref->refs, 1);
	ref->epoch = epoch;
	if (!ks_str_empty(options->self_policy))
		err = parse("self policy", options->self_policy, KS_STR(""), &ref->self, ret_problem);
	if (err == KS_OK && options->policy_path)
		err = load_platform(options->policy_path, &ref->platform, ret_problem);
	if (err != KS_OK) {
		catalogue_free(ref);
		return err;
	}
	*ret_ref = ref;
	return KS_OK;
}

/* ---- into the ring ---- */

/* The key of the table that is in force, so that an unchanged policy compiles to the same bytes and takes no room
 * again. */
static enum ks_err hash_key(const struct ks_ring *ring, enum ks_ring_policy which, uint64_t ret_key[2])
{
	const struct ks_policy_table *table = ks_ring_policy_table(ring, which);

	if (!table)
		return ks_random(ret_key, 2 * sizeof(ret_key[0]));
	ret_key[0] = table->hash_key[0];
	ret_key[1] = table->hash_key[1];
	return KS_OK;
}

/* No policy: every route of it is unknown. */
static void withdraw(struct ks_ring *ring, enum ks_ring_policy which)
{
	if (atomic_exchange_explicit(&ring->header->policy_at[which], 0, memory_order_acq_rel) != 0)
		atomic_fetch_add_explicit(&ring->header->policy_epoch, 1, memory_order_acq_rel);
}

static enum ks_err publish(const struct ks_policy *policy, enum ks_ring_policy which, struct ks_ring *ring)
{
	struct ks_policy_table *table;
	uint64_t key[2];
	enum ks_err err;

	if (!policy) {
		withdraw(ring, which);
		return KS_OK;
	}
	KS_TRY(hash_key(ring, which, key));
	err = ks_policy_compile(policy, ring->scopes, key, &table);
	/* More scopes than there are numbers: no larger ring would help. */
	if (err != KS_OK)
		return err == KS_FULL ? KS_TOO_LARGE : err;
	err = ks_ring_put_policy(ring, which, table);
	free(table);
	return err;
}

enum ks_err ks_catalogue_publish(const struct ks_engine_policy_ref *ref, struct ks_ring *ring)
{
	const struct ks_policy *const both[] = {ref->self, ref->platform};

	KS_TRY(publish(ref->self, KS_RING_POLICY_SELF, ring));
	KS_TRY(publish(ref->platform, KS_RING_POLICY_PLATFORM, ring));
	return ks_ring_put_roles(ring, both, KS_ARRAY_LEN(both));
}

enum ks_err ks_catalogue_publish_current(struct ks_engine *engine, const struct ks_engine_policy_ref *ref)
{
	enum ks_err err = ks_catalogue_publish(ref, ks_ringmap_writer_ring(engine->ringmap));
	uint64_t room = 4 << 20;

	/* A compiled policy is at most 64 MiB. */
	for (int tries = 0; err == KS_FULL && tries < 6; tries++, room *= 2) {
		KS_TRY(ks_project_grow(engine, 0, room));
		err = ks_catalogue_publish(ref, ks_ringmap_writer_ring(engine->ringmap));
	}
	return err;
}

/* ---- reload ---- */

struct reload {
	struct ks_job job;
	struct ks_engine *engine;
	struct ks_engine_policy_ref *ref;
};

/* On the writer thread: the ring first, so that nobody is told of a policy that is not yet in force. */
static enum ks_err put_in_force(struct ks_job *job, struct ks_tx *tx)
{
	struct reload *reload = job->ctx;
	struct ks_engine *engine = tx->engine;
	struct ks_engine_policy_ref *old;

	KS_TRY(ks_catalogue_publish_current(engine, reload->ref));
	pthread_mutex_lock(&engine->policy_lock);
	old = engine->policy;
	reload->ref->epoch = old->epoch + 1;
	engine->policy = reload->ref;
	reload->ref = NULL; /* transferred */
	pthread_mutex_unlock(&engine->policy_lock);
	ks_catalogue_release(old);
	return KS_OK;
}

enum ks_err ks_engine_reload_policy(struct ks_engine *engine, struct ks_engine_problem *ret_problem)
{
	struct reload reload = {.engine = engine};
	enum ks_err err = ks_catalogue_load(&engine->options, 0, &reload.ref, ret_problem);

	/* A file that is gone is as bad as one that cannot be read: the old policy stays. */
	if (err == KS_NOT_FOUND || err == KS_SYSTEM)
		err = KS_MALFORMED;
	if (err != KS_OK)
		return err;
	reload.job = (struct ks_job){.run = put_in_force, .ctx = &reload, .apart = true};
	err = ks_engine_run(engine, &reload.job);
	ks_catalogue_release(reload.ref);
	if (err != KS_OK)
		return ks_engine_problem(ret_problem, err, "the policy cannot be put in force: %s", ks_err_text(err));
	ks_engine_say(engine, 1, "policy_loaded", "%s",
		      engine->options.policy_path ? engine->options.policy_path : "none");
	return KS_OK;
}
