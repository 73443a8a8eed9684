/* SPDX-License-Identifier: Apache-2.0 */
/* From rows of the truth to records of the ring. A change-log entry says only what has changed; what it is now is read
 * from the rows, so that an entry may be applied twice, or late, and the same code serves the change just made, the
 * replay after a kill and the rebuild. */
#include "engine/federation.h"
#include "engine/grants.h"

#define CORES_AT_ONCE 256
#define PREFETCH_AHEAD 12
#define REPLAY_AT_ONCE 1024
#define GROW_TRIES 6
#define GROW_PAUSE_MS 1000

/* ---- rows to records ---- */

enum ks_err ks_project_tenant(struct ks_ring *ring, const struct ks_tenant_row *row)
{
	return ks_ring_put_tenant(ring, &(struct ks_ring_tenant_record){
		.id = row->id,
		.parent = row->parent,
		.kind = row->kind,
		.suspended = row->suspended_at != KS_TIME_NONE,
		.deleted = row->deleted_at != KS_TIME_NONE,
		.slug = row->slug,
		.user = row->user,
	});
}

bool ks_role_reaches_below(struct ks_str role)
{
	return ks_str_eq(role, KS_STR("administrator"));
}

struct membership_list {
	struct ks_ring_membership_record *items;
	struct ks_ring *ring;
	size_t count;
};

/* A tenant that the ring does not know yet has its own entry further on in the log, and the user another one behind it.
 */
static enum ks_err take_membership(void *ctx, const struct ks_membership_row *row)
{
	struct membership_list *list = ctx;

	if (ks_ring_tenant(list->ring, row->tenant) == KS_RING_NONE)
		return KS_OK;
	if (list->count == KS_RING_MEMBERSHIPS_MAX)
		return KS_TOO_LARGE;
	list->items[list->count++] = (struct ks_ring_membership_record){
		.tenant = row->tenant,
		.role = ks_ring_name_role(list->ring, row->role),
		.below = ks_role_reaches_below(row->role),
	};
	return KS_OK;
}

enum ks_err ks_project_user(struct ks_engine *engine, struct ks_store *store, struct ks_ring *ring, uint64_t id,
			    bool disabled, bool with_memberships)
{
	struct membership_list list = {.items = engine->memberships, .ring = ring};

	if (with_memberships)
		KS_TRY(ks_store_memberships_of_user(store, id, take_membership, &list));
	return ks_ring_put_user(ring, id, disabled, list.items, list.count);
}

enum ks_err ks_project_grant(struct ks_engine *engine, struct ks_ring *ring, const struct ks_grant_row *row)
{
	struct ks_ring_grant_record record;
	struct ks_cidr cidrs[KS_RING_CIDRS_MAX];
	size_t left_out;
	uint32_t index;

	/* What is there never changes. */
	if (ks_ring_grant(ring, row->id) != KS_RING_NONE)
		return KS_OK;
	KS_TRY(ks_grant_read(row, ring->scopes, cidrs, &record, &left_out));
	if (left_out > 0)
		ks_engine_say(engine, 2, "scopes_left_out",
			      "grant %llu: %zu scopes beyond the ring's %d numbers; no policy names them",
			      (unsigned long long)row->id, left_out, KS_SCOPES_MAX);
	return ks_ring_put_grant(ring, &record, &index);
}

enum ks_err ks_project_session(struct ks_ring *ring, const struct ks_session_row *row)
{
	return ks_ring_put_session(ring, &(struct ks_ring_session_record){
		.digest = row->digest,
		.id = row->id,
		.user = row->user,
		.ends_ms = row->expires_at,
		.ended = row->ended_at != KS_TIME_NONE,
	});
}

static enum ks_err put_core(struct ks_ring *ring, const struct ks_key_core *core)
{
	if (core->imported
	    && !(atomic_load_explicit(&ring->header->flags, memory_order_relaxed) & KS_RING_FLAG_FOREIGN))
		ks_ring_set_foreign(ring);
	return ks_ring_put_key(ring, &(struct ks_ring_key_record){
		.digest = core->digest,
		.id = core->id,
		.tenant = core->tenant,
		.grant = core->grant,
		.kind = core->kind,
		.binding = core->binding,
		.environment = core->environment,
		.ends_ms = core->ends_ms,
		.revoked = core->revoked,
		.rotated_out = core->rotated_out,
	});
}

enum ks_err ks_project_cores(struct ks_ring *ring, const struct ks_key_core *cores, size_t count)
{
	for (size_t i = 0; i < KS_MIN(count, PREFETCH_AHEAD); i++)
		(void)ks_ring_prefetch_key(ring, &cores[i].digest);
	for (size_t i = 0; i < count; i++) {
		if (i + PREFETCH_AHEAD < count)
			(void)ks_ring_prefetch_key(ring, &cores[i + PREFETCH_AHEAD].digest);
		KS_TRY(put_core(ring, &cores[i]));
	}
	return KS_OK;
}

/* ---- one change ---- */

struct applying {
	struct ks_engine *engine;
	struct ks_ring *ring;
	const struct ks_key_core *core; /* the changed key; NULL, or id 0: the store tells */
	struct ks_key_core cores[CORES_AT_ONCE];
	size_t core_count;
};

static enum ks_err apply_tenant_row(void *ctx, const struct ks_tenant_row *row)
{
	struct applying *a = ctx;

	return ks_project_tenant(a->ring, row);
}

struct user_state {
	bool disabled;
};

static enum ks_err take_user(void *ctx, const struct ks_user_row *row)
{
	struct user_state *state = ctx;

	state->disabled = row->disabled_at != KS_TIME_NONE;
	return KS_OK;
}

static enum ks_err apply_grant_row(void *ctx, const struct ks_grant_row *row)
{
	struct applying *a = ctx;

	return ks_project_grant(a->engine, a->ring, row);
}

static enum ks_err flush_cores(struct applying *a)
{
	size_t count = a->core_count;

	a->core_count = 0;
	return ks_project_cores(a->ring, a->cores, count);
}

static enum ks_err take_core(void *ctx, const struct ks_key_core *core)
{
	struct applying *a = ctx;

	a->cores[a->core_count++] = *core;
	return a->core_count == CORES_AT_ONCE ? flush_cores(a) : KS_OK;
}

static enum ks_err apply_tenant(struct applying *a, const struct ks_change *change)
{
	return ks_store_tenant_get(a->engine->store, change->object, apply_tenant_row, a);
}

static enum ks_err apply_user(struct applying *a, const struct ks_change *change)
{
	struct user_state state;

	KS_TRY(ks_store_user_get(a->engine->store, change->object, take_user, &state));
	return ks_project_user(a->engine, a->engine->store, a->ring, change->object, state.disabled, true);
}

static enum ks_err apply_grant(struct applying *a, const struct ks_change *change)
{
	return ks_store_grant_get(a->engine->store, change->object, apply_grant_row, a);
}

static enum ks_err apply_keys(struct applying *a, uint64_t first, uint64_t last)
{
	a->core_count = 0;
	KS_TRY(ks_store_key_cores(a->engine->store, first, last, take_core, a));
	return flush_cores(a);
}

static enum ks_err apply_key(struct applying *a, const struct ks_change *change)
{
	if (a->core && a->core->id == change->object)
		return ks_project_cores(a->ring, a->core, 1);
	return apply_keys(a, change->object, change->object);
}

static enum ks_err apply_key_range(struct applying *a, const struct ks_change *change)
{
	const struct ks_tx_log *log = &a->engine->log;

	if (log->range && log->range[0].id == change->object)
		return ks_project_cores(a->ring, log->range, log->range_count);
	return apply_keys(a, change->object, change->object_end);
}

static enum ks_err apply_issuer_keys(struct applying *a, const struct ks_change *change)
{
	(void)change;
	return ks_issuer_reload(a->engine, a->ring);
}

static enum ks_err apply_foreign_issuer_row(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct applying *a = ctx;

	return ks_project_foreign_issuer(a->ring, row);
}

static enum ks_err apply_foreign_issuer(struct applying *a, const struct ks_change *change)
{
	return ks_store_foreign_issuer_get(a->engine->store, change->object, apply_foreign_issuer_row, a);
}

static enum ks_err apply_session_row(void *ctx, const struct ks_session_row *row)
{
	struct applying *a = ctx;

	return ks_project_session(a->ring, row);
}

/* One that is forgotten was over long before. */
static enum ks_err apply_session(struct applying *a, const struct ks_change *change)
{
	enum ks_err err = ks_store_session_get(a->engine->store, change->object, apply_session_row, a);

	return err == KS_NOT_FOUND ? KS_OK : err;
}

static enum ks_err (*const appliers[KS_CHANGE_KIND_COUNT])(struct applying *a, const struct ks_change *change) = {
	[KS_CHANGE_TENANT] = apply_tenant,
	[KS_CHANGE_USER] = apply_user,
	[KS_CHANGE_GRANT] = apply_grant,
	[KS_CHANGE_KEY] = apply_key,
	[KS_CHANGE_KEY_RANGE] = apply_key_range,
	[KS_CHANGE_ISSUER_KEYS] = apply_issuer_keys,
	[KS_CHANGE_FOREIGN_ISSUER] = apply_foreign_issuer,
	[KS_CHANGE_SESSION] = apply_session,
};

/* More room than the change can need, so that one growth is enough. */
static uint64_t room_for(const struct ks_change *change)
{
	return change->kind == KS_CHANGE_KEY_RANGE ? change->object_end - change->object + 1 : 1;
}

enum ks_err ks_project(struct ks_engine *engine, const struct ks_change *change, const struct ks_key_core *core)
{
	struct applying a;
	enum ks_err err;

	if ((unsigned)change->kind >= KS_CHANGE_KIND_COUNT)
		return KS_CORRUPT;
	a.engine = engine;
	a.core = core;
	for (int tries = 0;; tries++) {
		a.ring = ks_ringmap_writer_ring(engine->ringmap);
		err = appliers[change->kind](&a, change);
		if (err != KS_FULL || tries == GROW_TRIES)
			return err;
		KS_TRY(ks_project_grow(engine, KS_MIN(room_for(change), UINT64_C(1) << 20), 0));
	}
}

/* ---- growth ---- */

enum ks_err ks_project_grow(struct ks_engine *engine, uint64_t keys, uint64_t arena_bytes)
{
	struct ks_ring *ring = ks_ringmap_writer_ring(engine->ringmap);
	struct ks_ring_geometry geometry = ks_ring_plan_growth(ring, keys, arena_bytes, ks_engine_now_ms());
	enum ks_err err;

	pthread_mutex_lock(&engine->ring_lock);
	err = ks_ringmap_writer_grow(engine->ringmap, &geometry, ks_engine_now_ms());
	if (err == KS_OK)
		engine->previous_since_ms = ks_engine_now_ms();
	pthread_mutex_unlock(&engine->ring_lock);
	if (err != KS_OK) {
		engine->grow_again_ms = ks_engine_now_ms() + GROW_PAUSE_MS;
		ks_engine_say(engine, 3, "ring_not_grown", "%s", ks_err_text(err));
		return err;
	}
	engine->grow_again_ms = 0;
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.growths++;
	pthread_mutex_unlock(&engine->stats_lock);
	ks_engine_say(engine, 1, "ring_grown", "%llu key slots, %u tenants, %u users, %u grants",
		      (unsigned long long)geometry.key_slots, geometry.tenants, geometry.users, geometry.grants);
	return KS_OK;
}

/* ---- replay ---- */

struct replay {
	struct ks_change *changes;
	size_t count;
};

/* The callback collects only: applying reads through the same connection. */
static enum ks_err take_change(void *ctx, const struct ks_change *change)
{
	struct replay *r = ctx;

	r->changes[r->count++] = *change;
	return KS_OK;
}

static enum ks_err replay_some(struct ks_engine *engine, uint64_t position, uint64_t last, struct replay *r)
{
	enum ks_err err;

	r->count = 0;
	err = ks_store_changes_after(engine->store, position, REPLAY_AT_ONCE, take_change, r);
	/* Entries that were forgotten were so because some ring had them; this one has not. */
	if (err == KS_NOT_FOUND || (err == KS_OK && r->count == 0))
		return KS_CONFLICT;
	KS_TRY(err);
	for (size_t i = 0; i < r->count; i++) {
		KS_TRY(ks_project(engine, &r->changes[i], NULL));
		ks_ring_set_position(ks_ringmap_writer_ring(engine->ringmap), r->changes[i].seq);
	}
	ks_engine_progress(engine, "replay", r->changes[r->count - 1].seq, last);
	return KS_OK;
}

static uint64_t position_of(const struct ks_engine *engine)
{
	const struct ks_ring *ring = ks_ringmap_writer_ring(engine->ringmap);

	return atomic_load_explicit(&ring->header->position, memory_order_relaxed);
}

enum ks_err ks_project_rest(struct ks_engine *engine)
{
	struct ks_change changes[REPLAY_AT_ONCE];
	struct replay r = {.changes = changes};
	uint64_t last, position;

	KS_TRY(ks_store_change_last(engine->store, &last));
	if (position_of(engine) > last)
		return KS_CONFLICT;
	while ((position = position_of(engine)) < last)
		KS_TRY(replay_some(engine, position, last, &r));
	engine->last_change = last;
	return KS_OK;
}
