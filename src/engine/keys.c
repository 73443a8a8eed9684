/* SPDX-License-Identifier: Apache-2.0 */
/* Keys one at a time: create, rename, revoke, rotate. */
#include "engine/keys.h"

#include "base/secret.h"
#include "crypto/random.h"
#include "engine/events.h"
#include "engine/keys_check.h"

#define DETAIL_SIZE 2048

/* ---- the new token ---- */

struct minted {
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_digest digest;
	struct ks_str prefix;       /* of the options */
};

static enum ks_err mint(const struct ks_engine *engine, enum ks_environment environment, struct minted *ret_minted)
{
	const struct ks_engine_options *o = &engine->options;
	uint8_t random[KS_TOKEN_RANDOM_BYTES];
	enum ks_err err = ks_random(random, sizeof(random));
	struct ks_str text;

	ret_minted->prefix = ks_str_c(environment == KS_ENVIRONMENT_SANDBOX ? o->prefix_sandbox : o->prefix_live);
	if (err == KS_OK)
		err = ks_token_make(ret_minted->prefix, random, o->checksum, ret_minted->token);
	ks_wipe(random, sizeof(random));
	KS_TRY(err);
	text = ks_str_c(ret_minted->token);
	return ks_sha256(text, &ret_minted->digest);
}

static struct ks_str last_four_of(const char *token)
{
	struct ks_str text = ks_str_c(token);

	return ks_str_sub(text, text.n - 4, text.n);
}

static void wipe_minted(struct minted *minted)
{
	ks_wipe(minted, sizeof(*minted));
}

static void give(const struct minted *minted, uint64_t id, struct ks_key_made *ret_made)
{
	ret_made->id = id;
	memcpy(ret_made->token, minted->token, sizeof(ret_made->token));
}

/* ---- what is written ---- */

static enum ks_err audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			 const struct ks_key_row *row, struct ks_buf *detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_KEY,
		.object = row->id,
		.detail = ks_audit_end(detail),
	});
}

/* Row, change, audit entry and event of a new key. */
static enum ks_err insert(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_row *row)
{
	char text[DETAIL_SIZE], event[KS_EVENT_DATA_SIZE];
	struct ks_buf detail = KS_BUF(text), data = KS_BUF(event);

	KS_TRY(ks_store_key_insert(tx->store, row));
	KS_TRY(ks_tx_change_key(tx, row));
	ks_audit_put(&detail, "name", row->name);
	ks_audit_put(&detail, "kind", ks_str_c(ks_kind_text(row->kind)));
	ks_audit_put(&detail, "binding", ks_str_c(ks_binding_text(row->binding)));
	ks_audit_put(&detail, "environment", ks_str_c(ks_environment_text(row->environment)));
	if (row->rotated_from)
		ks_audit_put_id(&detail, "rotated_from", KS_ID_KEY, row->rotated_from);
	KS_TRY(audit(tx, actor, "key.create", row, &detail));
	ks_event_put_key(&data, row);
	ks_audit_put_id(&data, "rotated_from", KS_ID_KEY, row->rotated_from);
	return ks_event_add_key(tx, KS_EVENT_KEY_CREATED, row, &data);
}

/* ---- create ---- */

/* The grant's text, in the engine's room for it. */
static enum ks_err resolve(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_input *input,
			   uint64_t home, enum ks_kind kind, struct ks_str *ret_body, struct ks_refusal *refusal)
{
	struct ks_granting granting = ks_granting_of(actor, tx->ring, home);
	const struct ks_engine_policy_ref *ref = tx->engine->policy;
	struct ks_engine_policy policy = {.platform = ref->platform, .self = ref->self};
	struct ks_buf body = ks_buf_of(tx->engine->grant_body, KS_GRANT_BODY_MAX);
	struct ks_grant_ask ask = {
		.kind = kind,
		.scopes_default = input->scopes_default,
		.scopes = input->scopes,
		.scope_count = input->scope_count,
		.roles = input->roles,
		.role_count = input->role_count,
		.addresses = input->addresses,
		.address_count = input->address_count,
		.rate_requests = input->rate_requests,
		.rate_window_s = input->rate_window_s,
	};

	KS_TRY(ks_grant_resolve(&ask, &policy, &granting, &body, refusal));
	*ret_body = ks_buf_str(&body);
	return KS_OK;
}

struct digest_search {
	const struct ks_digest *digest;
	bool found;
};

static enum ks_err compare_digest(void *ctx, const struct ks_key_core *core)
{
	struct digest_search *search = ctx;

	search->found |= ks_ring_digest_equal(&core->digest, search->digest);
	return KS_OK;
}

/* Every key ever made is in the ring, but for those that this transaction has made. */
static enum ks_err check_digest(struct ks_tx *tx, const struct ks_digest *digest, struct ks_refusal *refusal)
{
	const struct ks_tx_log *log = &tx->engine->log;
	struct digest_search search = {digest, false};
	uint64_t slot;

	search.found = ks_ring_key(tx->ring, digest, ks_ring_home(tx->ring, digest), &slot) != NULL;
	for (size_t i = 0; i < log->change_count; i++) {
		if (log->changes[i].kind == KS_CHANGE_KEY)
			KS_TRY(ks_store_key_cores(tx->store, log->changes[i].object, log->changes[i].object,
						  compare_digest, &search));
	}
	if (search.found)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "/sha256",
				 "there is a key with this digest already");
	return KS_OK;
}

static enum ks_err check_input(const struct ks_tx *tx, const struct ks_key_input *input, struct ks_refusal *refusal)
{
	KS_TRY(ks_check_name(input->name, "/name", refusal));
	KS_TRY(ks_check_expiry(input->expires_given, input->expires_at, tx->now_ms, refusal));
	KS_TRY(ks_check_labels(input->labels, refusal));
	if ((unsigned)input->environment >= KS_ENVIRONMENT_COUNT)
		return ks_refuse_invalid(refusal, "/environment", "must be live or sandbox");
	return input->imported ? ks_check_hints(input->prefix, input->last_four, refusal) : KS_OK;
}

enum ks_err ks_key_create_at(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_home *home,
			     const struct ks_key_input *input, struct ks_key_made *ret_made,
			     struct ks_refusal *ret_refusal)
{
	KS_AUTO(wipe_minted) struct minted minted = {.digest = input->digest, .prefix = input->prefix};
	struct ks_str grant_body;
	struct ks_key_row row;
	enum ks_kind kind;
	uint64_t grant;

	KS_TRY(check_input(tx, input, ret_refusal));
	KS_TRY(ks_key_find_kind(home->binding, actor, input->kind_given, input->kind, &kind, ret_refusal));
	KS_TRY(ks_key_check_environment(actor, input->environment, "/environment", ret_refusal));
	KS_TRY(ks_tx_room(tx, 1));
	KS_TRY(resolve(tx, actor, input, home->granting ? home->granting : home->tenant, kind, &grant_body, ret_refusal));
	if (input->imported)
		KS_TRY(check_digest(tx, &input->digest, ret_refusal));
	else
		KS_TRY(mint(tx->engine, input->environment, &minted));
	/* Nothing is refused from here on. */
	KS_TRY(ks_grant_intern(tx, grant_body, &grant));
	row = (struct ks_key_row){
		.id = ks_tx_id(tx),
		.digest = minted.digest,
		.tenant = home->tenant,
		.organization = home->organization,
		.user = home->user,
		.grant = grant,
		.kind = kind,
		.binding = home->binding,
		.environment = input->environment,
		.imported = input->imported,
		.name = input->name,
		.prefix = minted.prefix,
		.last_four = input->imported ? input->last_four : last_four_of(minted.token),
		.labels = input->labels,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
		.expires_at = input->expires_at,
		.retires_at = KS_TIME_NONE,
		.revoked_at = KS_TIME_NONE,
		.last_used_at = KS_TIME_NONE,
	};
	KS_TRY(insert(tx, actor, &row));
	give(&minted, row.id, ret_made);
	if (!row.imported)
		row.last_four = last_four_of(ret_made->token);
	ret_made->row = row;
	ret_made->grant_body = grant_body;
	return KS_OK;
}

enum ks_err ks_keys_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_input *input,
			   struct ks_key_made *ret_made, struct ks_refusal *ret_refusal)
{
	struct ks_key_home home;

	KS_TRY(check_input(tx, input, ret_refusal));
	KS_TRY(ks_key_find_home(tx, actor, input->tenant, input->user, &home, ret_refusal));
	return ks_key_create_at(tx, actor, &home, input, ret_made, ret_refusal);
}

/* ---- a key that is there ---- */

/* What is not seen does not exist. */
static enum ks_err find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_key_kept *kept,
			struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_key_get(tx->store, id, ks_key_keep, kept);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_NOT_FOUND || !ks_actor_sees(actor, tx->ring, kept->row.tenant))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such key");
	return KS_OK;
}

enum ks_err ks_keys_rename(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_str name,
			   struct ks_refusal *ret_refusal)
{
	struct ks_key_kept kept;
	char text[DETAIL_SIZE], event[KS_EVENT_DATA_SIZE];
	struct ks_buf detail = KS_BUF(text), data = KS_BUF(event);
	struct ks_key_row row;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(ks_check_name(name, "/name", ret_refusal));
	if (ks_str_eq(name, kept.row.name))
		return KS_OK;
	KS_TRY(ks_store_key_rename(tx->store, id, name));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_KEY, id, 0));
	ks_audit_put(&detail, "name", name);
	ks_audit_put(&detail, "was", kept.row.name);
	KS_TRY(audit(tx, actor, "key.rename", &kept.row, &detail));
	row = kept.row;
	row.name = name;
	ks_event_put_key(&data, &row);
	ks_audit_put(&data, "was", kept.row.name);
	return ks_event_add_key(tx, KS_EVENT_KEY_RENAMED, &row, &data);
}

enum ks_err ks_keys_revoke(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *ret_refusal)
{
	struct ks_key_kept kept;
	char text[DETAIL_SIZE], event[KS_EVENT_DATA_SIZE];
	struct ks_buf detail = KS_BUF(text), data = KS_BUF(event);

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	if (kept.row.revoked_at != KS_TIME_NONE)
		return KS_OK;
	KS_TRY(ks_store_key_revoke(tx->store, id, tx->now_ms, ks_str_c(actor->id)));
	kept.row.revoked_at = tx->now_ms;
	KS_TRY(ks_tx_change_key(tx, &kept.row));
	ks_audit_put(&detail, "name", kept.row.name);
	KS_TRY(audit(tx, actor, "key.revoke", &kept.row, &detail));
	ks_event_put_key(&data, &kept.row);
	return ks_event_add_key(tx, KS_EVENT_KEY_REVOKED, &kept.row, &data);
}

/* ---- rotate ---- */

struct body_check {
	struct ks_granting granting;
	struct ks_refusal *refusal;
};

static enum ks_err check_body(void *ctx, const struct ks_grant_row *row)
{
	struct body_check *check = ctx;

	return ks_grant_check(row->body, &check->granting, check->refusal);
}

static enum ks_err check_rotation(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_row *old,
				  uint32_t overlap_s, struct ks_refusal *refusal)
{
	struct body_check check = {ks_granting_of(actor, tx->ring, old->tenant), refusal};

	if (overlap_s > KS_ROTATE_OVERLAP_MAX)
		return ks_refuse_invalid(refusal, "/overlap_s", "must be at most %u", KS_ROTATE_OVERLAP_MAX);
	if (old->revoked_at != KS_TIME_NONE)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "the key is revoked");
	if (old->retires_at != KS_TIME_NONE && old->retires_at <= tx->now_ms && !old->rotated_to)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "the key has been ended");
	if (old->rotated_to)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "the key was rotated already");
	if (old->kind == KS_KIND_RUNTIME && !actor->local)
		return ks_refuse(refusal, KS_FORBIDDEN, "not_grantable", "",
				 "runtime keys are made by the operator's command line only");
	KS_TRY(ks_key_check_environment(actor, old->environment, "", refusal));
	return ks_store_grant_get(tx->store, old->grant, check_body, &check);
}

/* The end that the successor gets. */
static enum ks_err find_end(const struct ks_tx *tx, const struct ks_key_row *old, bool given, int64_t *expires_at,
			    struct ks_refusal *refusal)
{
	if (given)
		return ks_check_expiry(true, *expires_at, tx->now_ms, refusal);
	if (old->expires_at != KS_TIME_NONE && old->expires_at <= tx->now_ms)
		return ks_refuse_invalid(refusal, "/expires_at", "the key has expired: say when its successor ends");
	*expires_at = old->expires_at;
	return KS_OK;
}

/* The old key ends. With no overlap it is revoked as well: an end by the clock would come back if the clock did. */
static enum ks_err retire(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_row *old,
			  uint32_t overlap_s, uint64_t successor)
{
	char text[DETAIL_SIZE], event[KS_EVENT_DATA_SIZE];
	struct ks_buf detail = KS_BUF(text), data = KS_BUF(event);
	int64_t ends_at = tx->now_ms + (int64_t)overlap_s * 1000;

	/* A key that was reported as leaked may have an end already, which is not put off. */
	if (old->retires_at != KS_TIME_NONE)
		ends_at = KS_MIN(ends_at, old->retires_at);
	KS_TRY(ks_store_key_rotated(tx->store, old->id, ends_at, successor));
	if (overlap_s == 0)
		KS_TRY(ks_store_key_revoke(tx->store, old->id, tx->now_ms, ks_str_c(actor->id)));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_KEY, old->id, 0));
	ks_audit_put(&detail, "name", old->name);
	ks_audit_put_id(&detail, "rotated_to", KS_ID_KEY, successor);
	ks_audit_put_u64(&detail, "overlap_s", overlap_s);
	KS_TRY(audit(tx, actor, "key.rotate", old, &detail));
	ks_event_put_key(&data, old);
	ks_audit_put_id(&data, "rotated_to", KS_ID_KEY, successor);
	ks_audit_put_time(&data, "ends_at", ends_at);
	return ks_event_add_key(tx, KS_EVENT_KEY_ROTATED, old, &data);
}

enum ks_err ks_keys_rotate(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, uint32_t overlap_s,
			   bool expires_given, int64_t expires_at, struct ks_key_made *ret_made,
			   struct ks_refusal *ret_refusal)
{
	struct ks_key_kept old;
	struct ks_key_row row;
	KS_AUTO(wipe_minted) struct minted minted = {.prefix = KS_STR("")};

	KS_TRY(find(tx, actor, id, &old, ret_refusal));
	KS_TRY(check_rotation(tx, actor, &old.row, overlap_s, ret_refusal));
	KS_TRY(find_end(tx, &old.row, expires_given, &expires_at, ret_refusal));
	KS_TRY(ks_tx_room(tx, 1));
	KS_TRY(mint(tx->engine, old.row.environment, &minted));
	row = old.row;
	row.id = ks_tx_id(tx);
	row.digest = minted.digest;
	row.imported = false;
	row.prefix = minted.prefix;
	row.last_four = last_four_of(minted.token);
	row.created_at = tx->now_ms;
	row.created_by = ks_str_c(actor->id);
	row.expires_at = expires_at;
	row.retires_at = KS_TIME_NONE;
	row.rotated_from = id;
	KS_TRY(insert(tx, actor, &row));
	KS_TRY(retire(tx, actor, &old.row, overlap_s, row.id));
	give(&minted, row.id, ret_made);
	return KS_OK;
}

/* ---- the first key ---- */

struct first_key {
	struct ks_job job;
	struct ks_key_input input;
	struct ks_key_made *made;
};

static enum ks_err make_first(struct ks_job *job, struct ks_tx *tx)
{
	struct first_key *first = job->ctx;
	const struct ks_policy *self = tx->engine->policy->self;
	struct ks_key_input *input = &first->input;
	struct ks_actor actor;

	if (atomic_load_explicit(&tx->ring->header->key_count, memory_order_relaxed) > 0)
		return ks_refuse(&job->refusal, KS_CONFLICT, "conflict", "", "there are keys already");
	for (size_t i = 0; self && i < self->scope_count; i++) {
		if (!(self->scopes[i].kinds & KS_KIND_BIT(KS_KIND_TENANT)))
			continue;
		if (input->scope_count == KS_KEY_SCOPES_MAX)
			return KS_TOO_LARGE;
		input->scopes[input->scope_count++] = ks_str_c(self->scopes[i].name);
	}
	ks_actor_local(tx->ring, &actor);
	return ks_keys_create(tx, &actor, input, first->made, &job->refusal);
}

enum ks_err ks_engine_first_key(struct ks_engine *engine, struct ks_key_made *ret_made)
{
	struct first_key first = {
		.input = {.name = KS_STR("first key"), .expires_given = true, .expires_at = KS_TIME_NONE},
		.made = ret_made,
	};

	/* No other first key can be made in the same transaction: the ring would not show it yet. */
	first.job = (struct ks_job){.run = make_first, .ctx = &first, .bulk = true};
	return ks_engine_run(engine, &first.job);
}
