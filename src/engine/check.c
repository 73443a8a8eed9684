/* SPDX-License-Identifier: Apache-2.0 */
/* Does the ring say what the truth says? Everything of the truth is looked up in the ring; that the numbers agree, too,
 * shows that there is nothing beside it. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/grants.h"
#include "ring/issuers.h"

#define TELL_EVERY 65536 /* keys */

struct comparing {
	struct ks_engine *engine;
	struct ks_store *store;
	struct ks_store *second;     /* to read memberships while users are being listed */
	const struct ks_ring *ring;
	struct ks_engine_report report;
	int64_t now_ms;
	size_t memberships;          /* of the user at hand */
	uint32_t user;
	uint32_t issuer_keys;        /* of our own issuer */
	uint64_t all;                /* keys, as far as is known */
};

static enum ks_err differs(struct comparing *c, const char *fmt, ...) KS_PRINTF(2, 3);

/* Counts the difference and goes on. */
static enum ks_err differs(struct comparing *c, const char *fmt, ...)
{
	va_list args;

	if (c->report.differences++ == 0) {
		va_start(args, fmt);
		(void)vsnprintf(c->report.first, sizeof(c->report.first), fmt, args);
		va_end(args);
	}
	return KS_OK;
}

/* ---- tenants ---- */

static const char *tenant_text(const struct ks_tenant_row *row, char text[KS_ID_TEXT_SIZE])
{
	ks_id_format((enum ks_id_type)row->kind, row->id, text);
	return text;
}

static uint32_t flags_at(const struct ks_ring *ring, uint32_t index)
{
	return atomic_load_explicit(&ring->tenants[index].flags, memory_order_acquire);
}

static uint32_t flags_wanted(const struct ks_ring *ring, const struct ks_ring_tenant *t,
			     const struct ks_tenant_row *row)
{
	uint32_t flags = (row->suspended_at != KS_TIME_NONE ? KS_TENANT_SUSPENDED : 0)
			 | (row->deleted_at != KS_TIME_NONE ? KS_TENANT_DELETED : 0);

	/* Parents were compared before. */
	if (t->depth > 0 && (flags_at(ring, t->path[t->depth - 1]) & KS_TENANT_INACTIVE))
		flags |= KS_TENANT_UNDER_SUSPENDED;
	return flags;
}

static uint64_t id_at(const struct ks_ring *ring, uint32_t index)
{
	return index == KS_RING_NONE ? 0 : ring->tenants[index].id;
}

static enum ks_err compare_tenant(void *ctx, const struct ks_tenant_row *row)
{
	struct comparing *c = ctx;
	uint32_t index = ks_ring_tenant(c->ring, row->id);
	const struct ks_ring_tenant *t = &c->ring->tenants[index == KS_RING_NONE ? 0 : index];
	char text[KS_ID_TEXT_SIZE];

	c->report.tenants++;
	if (index == KS_RING_NONE)
		return differs(c, "%s is missing", tenant_text(row, text));
	if (t->kind != row->kind || (t->depth == 0) != (row->parent == 0)
	    || (t->depth > 0 && id_at(c->ring, t->path[t->depth - 1]) != row->parent))
		return differs(c, "%s stands at another place of the tree", tenant_text(row, text));
	if (flags_at(c->ring, index) != flags_wanted(c->ring, t, row))
		return differs(c, "%s has flags %u, not %u", tenant_text(row, text), flags_at(c->ring, index),
			       flags_wanted(c->ring, t, row));
	if (id_at(c->ring, t->organization) != row->organization
	    || !ks_str_eq_nocase(ks_ring_slug(c->ring, index), row->slug))
		return differs(c, "%s has another organization or slug", tenant_text(row, text));
	if ((t->user == KS_RING_NONE ? 0 : c->ring->users[t->user].id) != row->user)
		return differs(c, "%s is of another user", tenant_text(row, text));
	return KS_OK;
}

/* ---- users ---- */

static enum ks_err compare_membership(void *ctx, const struct ks_membership_row *row)
{
	struct comparing *c = ctx;
	const struct ks_ring_memberships *list = ks_ring_memberships_of(c->ring, c->user);
	char text[KS_ID_TEXT_SIZE];

	c->memberships++;
	c->report.memberships++;
	for (uint32_t i = 0; list && i < list->count; i++) {
		if (id_at(c->ring, list->items[i].tenant) == row->tenant
		    && (list->items[i].below != 0) == ks_role_reaches_below(row->role)
		    && ks_str_eq(ks_ring_role_name(c->ring, list->items[i].role), row->role))
			return KS_OK;
	}
	ks_id_format(KS_ID_USER, row->user, text);
	return differs(c, "%s lacks a membership, or has it otherwise", text);
}

static enum ks_err compare_user(void *ctx, const struct ks_user_row *row)
{
	struct comparing *c = ctx;
	const struct ks_ring_memberships *list;
	const struct ks_ring_user *user;
	char text[KS_ID_TEXT_SIZE];

	ks_id_format(KS_ID_USER, row->id, text);
	c->report.users++;
	c->user = ks_ring_user(c->ring, row->id);
	if (c->user == KS_RING_NONE)
		return differs(c, "%s is missing", text);
	user = &c->ring->users[c->user];
	if (((atomic_load_explicit(&user->flags, memory_order_acquire) & KS_USER_DISABLED) != 0)
	    != (row->disabled_at != KS_TIME_NONE))
		return differs(c, "%s is disabled in one and not in the other", text);
	if (id_at(c->ring, atomic_load_explicit(&user->personal, memory_order_acquire)) != row->personal)
		return differs(c, "%s has another personal tenant", text);
	c->memberships = 0;
	KS_TRY(ks_store_memberships_of_user(c->second, row->id, compare_membership, c));
	list = ks_ring_memberships_of(c->ring, c->user);
	if ((list ? list->count : 0) != c->memberships)
		return differs(c, "%s has %u memberships, not %zu", text, list ? list->count : 0, c->memberships);
	return KS_OK;
}

/* ---- grants ---- */

static bool same_cidrs(const struct ks_ring *ring, const struct ks_ring_grant *grant,
		       const struct ks_ring_grant_record *record)
{
	const struct ks_cidr *cidrs = ks_ring_cidrs(ring, grant);

	if (grant->cidr_count != record->cidr_count)
		return false;
	for (uint32_t i = 0; i < grant->cidr_count; i++) {
		if (cidrs[i].bits != record->cidrs[i].bits
		    || !ks_str_eq(ks_str_of((const char *)cidrs[i].base.bytes, sizeof(cidrs[i].base.bytes)),
				  ks_str_of((const char *)record->cidrs[i].base.bytes, sizeof(cidrs[i].base.bytes))))
			return false;
	}
	return true;
}

static enum ks_err compare_grant(void *ctx, const struct ks_grant_row *row)
{
	struct comparing *c = ctx;
	uint32_t index = ks_ring_grant(c->ring, row->id);
	const struct ks_ring_grant *grant = &c->ring->grants[index == KS_RING_NONE ? 0 : index];
	struct ks_cidr cidrs[KS_RING_CIDRS_MAX];
	struct ks_ring_grant_record record;
	size_t left_out;
	enum ks_err err;

	c->report.grants++;
	if (index == KS_RING_NONE)
		return differs(c, "grant %llu is missing", (unsigned long long)row->id);
	/* The table has every name already, so that nothing is added to it here. */
	err = ks_grant_read(row, c->ring->scopes, cidrs, &record, &left_out);
	if (err == KS_CORRUPT)
		return differs(c, "grant %llu of the truth cannot be read", (unsigned long long)row->id);
	KS_TRY(err);
	if (!ks_scopes_within(&record.scopes, &grant->scopes) || !ks_scopes_within(&grant->scopes, &record.scopes)
	    || grant->rate_requests != record.rate_requests || grant->rate_window_s != record.rate_window_s
	    || !same_cidrs(c->ring, grant, &record))
		return differs(c, "grant %llu says something else", (unsigned long long)row->id);
	return KS_OK;
}

/* ---- keys ---- */

static bool same_state(const struct ks_ring_key *key, const struct ks_key_core *core)
{
	uint32_t state = atomic_load_explicit(&key->state, memory_order_acquire);

	return ((state & KS_KEY_REVOKED) != 0) == core->revoked
	       && ((state & KS_KEY_ROTATED_OUT) != 0) == core->rotated_out && KS_KEY_KIND(state) == core->kind
	       && KS_KEY_BINDING(state) == core->binding && KS_KEY_ENVIRONMENT(state) == core->environment
	       && atomic_load_explicit(&key->ends_ms, memory_order_acquire) == core->ends_ms;
}

static enum ks_err compare_key(void *ctx, const struct ks_key_core *core)
{
	struct comparing *c = ctx;
	const struct ks_ring_key *key;
	char text[KS_ID_TEXT_SIZE];
	uint64_t slot;

	if (++c->report.keys % TELL_EVERY == 0)
		ks_engine_progress(c->engine, "check", c->report.keys, KS_MAX(c->all, c->report.keys + 1));
	key = ks_ring_key(c->ring, &core->digest, ks_ring_home(c->ring, &core->digest), &slot);
	if (key && key->id == core->id && id_at(c->ring, key->tenant) == core->tenant
	    && c->ring->grants[key->grant].id == core->grant && same_state(key, core))
		return KS_OK;
	ks_id_format(KS_ID_KEY, core->id, text);
	return differs(c, "%s is %s", text, key ? "otherwise" : "missing");
}

/* ---- sessions ---- */

static bool is_live_session(const struct ks_ring_key *key, int64_t now_ms)
{
	uint32_t state = atomic_load_explicit(&key->state, memory_order_acquire);

	return (state & KS_KEY_LIVE) && !(state & KS_KEY_REVOKED) && KS_KEY_KIND(state) == KS_KIND_SESSION
	       && KS_KEY_BINDING(state) == KS_BINDING_USER
	       && atomic_load_explicit(&key->ends_ms, memory_order_acquire) > now_ms;
}

static enum ks_err compare_session(void *ctx, const struct ks_session_row *row)
{
	struct comparing *c = ctx;
	const struct ks_ring_key *key;
	char text[KS_ID_TEXT_SIZE];
	uint64_t slot;

	c->report.sessions++;
	key = ks_ring_key(c->ring, &row->digest, ks_ring_home(c->ring, &row->digest), &slot);
	if (key && key->id == row->id && is_live_session(key, c->now_ms)
	    && atomic_load_explicit(&key->ends_ms, memory_order_acquire) == row->expires_at
	    && c->ring->tenants[key->tenant].user != KS_RING_NONE
	    && c->ring->users[c->ring->tenants[key->tenant].user].id == row->user)
		return KS_OK;
	ks_id_format(KS_ID_SESSION, row->id, text);
	return differs(c, "%s is %s", text, key ? "otherwise" : "missing");
}

/* One too many would let somebody in who has logged out: all slots are looked at. */
static uint64_t count_live_sessions(const struct comparing *c)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < c->ring->header->geometry.key_slots; i++)
		count += is_live_session(&c->ring->keys[i], c->now_ms);
	return count;
}

/* ---- our own issuer ---- */

static enum ks_err compare_issuer_key(void *ctx, const struct ks_issuer_key_row *row)
{
	struct comparing *c = ctx;
	const struct ks_ring_issuer *issuer = ks_ring_issuer_by_id(c->ring, KS_RING_ISSUER_OWN);
	const struct ks_ring_issuer_key *key = issuer ? ks_ring_issuer_key(issuer, row->kid) : NULL;

	c->issuer_keys++;
	if (!key || !ks_str_eq(ks_ring_issuer_text(issuer, key->jwk), row->public_jwk))
		return differs(c, "the issuer's key %.*s is not there, or another", KS_STR_ARG(row->kid));
	return KS_OK;
}

static enum ks_err compare_issuer(struct comparing *c)
{
	const struct ks_ring_issuer *issuer;

	if (!c->engine->options.issuer.name[0])
		return KS_OK;
	KS_TRY(ks_store_issuer_keys(c->store, compare_issuer_key, c));
	issuer = ks_ring_issuer_by_id(c->ring, KS_RING_ISSUER_OWN);
	if (!issuer || issuer->key_count != c->issuer_keys
	    || !ks_str_eq(ks_ring_issuer_text(issuer, issuer->name), ks_str_c(c->engine->options.issuer.name)))
		return differs(c, "the issuer is another, or has not %u keys", c->issuer_keys);
	return KS_OK;
}

/* ---- the whole ---- */

static enum ks_err compare_counts(struct comparing *c)
{
	const struct ks_ring_header *h = c->ring->header;
	const struct ks_engine_report *r = &c->report;
	const struct {
		const char *what;
		uint64_t truth, ring;
	} counts[] = {
		{"keys", r->keys,
		 atomic_load_explicit(&h->key_count, memory_order_acquire)
			 - atomic_load_explicit(&h->session_count, memory_order_acquire)},
		{"live sessions", r->sessions, count_live_sessions(c)},
		{"tenants", r->tenants, atomic_load_explicit(&h->tenant_count, memory_order_acquire)},
		{"users", r->users, atomic_load_explicit(&h->user_count, memory_order_acquire)},
		{"grants", r->grants, atomic_load_explicit(&h->grant_count, memory_order_acquire)},
	};
	uint64_t last;

	for (size_t i = 0; i < KS_ARRAY_LEN(counts); i++) {
		if (counts[i].truth != counts[i].ring)
			(void)differs(c, "%llu %s, not %llu", (unsigned long long)counts[i].ring, counts[i].what,
				      (unsigned long long)counts[i].truth);
	}
	KS_TRY(ks_store_change_last(c->store, &last));
	if (atomic_load_explicit(&h->position, memory_order_acquire) != last)
		(void)differs(c, "at change %llu, not %llu",
			      (unsigned long long)atomic_load_explicit(&h->position, memory_order_acquire),
			      (unsigned long long)last);
	return KS_OK;
}

static enum ks_err compare_all(struct comparing *c)
{
	KS_TRY(ks_store_tenants_all(c->store, compare_tenant, c));
	KS_TRY(ks_store_users_all(c->store, compare_user, c));
	KS_TRY(ks_store_grants_all(c->store, compare_grant, c));
	KS_TRY(ks_store_key_cores(c->store, 1, INT64_MAX, compare_key, c));
	KS_TRY(ks_store_sessions_live(c->store, c->now_ms, compare_session, c));
	KS_TRY(compare_issuer(c));
	return compare_counts(c);
}

static enum ks_err run_check(struct ks_job *job, struct ks_tx *tx)
{
	struct comparing *c = job->ctx;
	enum ks_err err;

	c->engine = tx->engine;
	c->store = tx->store;
	c->ring = tx->ring;
	c->now_ms = tx->now_ms;
	c->all = atomic_load(&tx->engine->keys_known);
	KS_TRY(ks_store_open(tx->engine->store_uri, KS_STORE_READER, &c->second));
	err = compare_all(c);
	ks_engine_progress(tx->engine, "check", c->report.keys, c->report.keys);
	ks_store_close(&c->second);
	return err;
}

enum ks_err ks_engine_check(struct ks_engine *engine, struct ks_engine_report *ret_report)
{
	struct comparing c = {0};
	struct ks_job job = {.run = run_check, .ctx = &c, .apart = true};

	KS_TRY(ks_engine_run(engine, &job));
	*ret_report = c.report;
	return KS_OK;
}
