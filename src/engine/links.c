/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/links.h"

#include <stdlib.h>

#include "base/ctenc.h"
#include "crypto/random.h"
#include "engine/engine_priv.h"
#include "engine/events.h"
#include "engine/platforms.h"
#include "engine/vault_priv.h"

#define DETAIL_SIZE 1024
#define SWEEP_AT_ONCE 100
#define VIA "link"

/* ---- tokens ---- */

bool ks_link_digest(struct ks_str token, struct ks_digest *ret_digest)
{
	unsigned char bytes[KS_LINK_RANDOM];
	bool ok = ks_hex_decode(token, false, bytes, sizeof(bytes)) && ks_sha256(token, ret_digest) == KS_OK;

	ks_wipe(bytes, sizeof(bytes));
	return ok;
}

static enum ks_err make_token(struct ks_link_made *made, struct ks_digest *ret_digest)
{
	unsigned char random[KS_LINK_RANDOM];
	struct ks_buf b = KS_BUF(made->token);
	enum ks_err err = ks_random(random, sizeof(random));

	ks_buf_put_hex(&b, random, sizeof(random));
	if (err == KS_OK)
		err = ks_sha256(ks_str_c(ks_buf_z(&b)), ret_digest);
	ks_wipe(random, sizeof(random));
	return err;
}

/* ---- what is kept of a row beyond its callback ---- */

struct kept {
	struct ks_link_row row;
	char field[KS_STORE_FIELD_NAME_MAX + 1];
	char recipient[KS_STORE_RECIPIENT_MAX + 1];
};

static struct ks_str keep_text(char *to, size_t cap, struct ks_str from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	return ks_str_c(ks_buf_z(&b));
}

static enum ks_err keep_row(void *ctx, const struct ks_link_row *row)
{
	struct kept *kept = ctx;

	kept->row = *row;
	kept->row.field = keep_text(kept->field, sizeof(kept->field), row->field);
	kept->row.recipient = keep_text(kept->recipient, sizeof(kept->recipient), row->recipient);
	kept->row.created_by = KS_STR("");
	return KS_OK;
}

/* ---- what is told of a link ---- */

/* Local: what it may reach was looked at when the link was made. */
void ks_link_actor(uint64_t link, const struct ks_link_submission *submission, struct ks_actor *ret_actor)
{
	struct ks_actor actor = {.local = true, .binding = KS_BINDING_OPERATOR, .environment = KS_ENVIRONMENT_LIVE};
	struct ks_buf a = KS_BUF(actor.address), r = KS_BUF(actor.request_id);

	ks_id_format(KS_ID_LINK, link, actor.id);
	ks_buf_put(&a, submission->address);
	(void)ks_buf_z(&a);
	ks_buf_put(&r, submission->request_id);
	(void)ks_buf_z(&r);
	*ret_actor = actor;
}

/* What every audit entry and event of a link begins with. */
static void put_link(struct ks_buf *b, const struct ks_link_row *row)
{
	ks_audit_put_id(b, "provider", KS_ID_PROVIDER, row->provider);
	ks_audit_put(b, "field", row->field);
	ks_audit_put_some(b, "for", row->recipient);
	ks_audit_put_time(b, "expires_at", row->expires_at);
}

static enum ks_err audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			 const struct ks_link_row *row, struct ks_buf *detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_LINK,
		.object = row->id,
		.detail = ks_audit_end(detail),
	});
}

static const enum ks_vault_tally tallies[KS_EVENT_COUNT] = {
	[KS_EVENT_LINK_CREATED] = KS_VAULT_TALLY_LINK_CREATED,
	[KS_EVENT_LINK_USED] = KS_VAULT_TALLY_LINK_USED,
	[KS_EVENT_LINK_CANCELLED] = KS_VAULT_TALLY_LINK_CANCELLED,
	[KS_EVENT_LINK_EXPIRED] = KS_VAULT_TALLY_LINK_EXPIRED,
	[KS_EVENT_LINK_CLOSED] = KS_VAULT_TALLY_LINK_CLOSED,
};

static enum ks_err tell(struct ks_tx *tx, enum ks_event_type type, const struct ks_link_row *row, struct ks_buf *data)
{
	ks_tx_tally(tx, tallies[type]);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = type,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_LINK,
		.object = row->id,
		.data = ks_audit_end(data),
	});
}

/* Both, with the same members. */
static enum ks_err record(struct ks_tx *tx, const struct ks_actor *actor, const char *action, enum ks_event_type type,
			  const struct ks_link_row *row)
{
	char texts[2][DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);

	put_link(&detail, row);
	put_link(&data, row);
	KS_TRY(audit(tx, actor, action, row, &detail));
	return tell(tx, type, row, &data);
}

/* ---- by whoever manages providers ---- */

static enum ks_err refuse_unknown(struct ks_refusal *refusal, const char *detail)
{
	return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "%s", detail);
}

static bool has_field(struct ks_engine *engine, struct ks_str platform, struct ks_str field)
{
	struct ks_platform_registry *registry = ks_engine_platforms(engine);
	const struct ks_platform *known = ks_platform_find(registry, platform);
	bool has = known && ks_platform_field(known, field);

	ks_platform_registry_release(&registry);
	return has;
}

enum ks_err ks_links_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_link_input *input,
			    struct ks_link_made *ret_made, struct ks_refusal *ret_refusal)
{
	struct ks_link_made made = {.id = 0};
	struct ks_link_row row = {
		.provider = input->provider,
		.state = KS_LINK_OPEN,
		.created_at = tx->now_ms,
		.expires_at = tx->now_ms + input->lifetime_ms,
		.ended_at = KS_TIME_NONE,
		.field = input->field,
		.recipient = input->recipient,
		.created_by = ks_str_c(actor->id),
	};
	struct ks_provider_kept provider;
	enum ks_err err;

	KS_TRY(ks_vault_find(tx, actor, input->provider, &provider, ret_refusal));
	if (!has_field(tx->engine, ks_str_c(provider.platform), input->field))
		return refuse_unknown(ret_refusal, "the platform has no such field");
	row.organization = provider.row.organization;
	row.tenant = provider.row.tenant;
	row.id = made.id = ks_tx_id(tx);
	err = make_token(&made, &row.digest);
	if (err == KS_OK)
		err = ks_store_link_insert(tx->store, &row);
	if (err == KS_OK)
		err = record(tx, actor, "link.create", KS_EVENT_LINK_CREATED, &row);
	if (err == KS_OK)
		*ret_made = made;
	ks_wipe(&made, sizeof(made));
	return err;
}

enum ks_err ks_links_cancel(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *ret_refusal)
{
	struct kept kept;
	enum ks_err err = ks_store_link_get(tx->store, id, keep_row, &kept);

	if (err == KS_NOT_FOUND || (err == KS_OK && !ks_actor_sees(actor, tx->ring, kept.row.tenant)))
		return refuse_unknown(ret_refusal, "there is no such link");
	KS_TRY(err);
	if (kept.row.state != KS_LINK_OPEN || kept.row.expires_at <= tx->now_ms)
		return KS_OK;
	KS_TRY(ks_store_link_end(tx->store, id, KS_LINK_CANCELLED, 0, tx->now_ms));
	return record(tx, actor, "link.cancel", KS_EVENT_LINK_CANCELLED, &kept.row);
}

/* ---- by whoever has the token ---- */

static bool tenant_serves(const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(ring, tenant);

	return index != KS_RING_NONE
	       && !(atomic_load_explicit(&ring->tenants[index].flags, memory_order_acquire)
		    & (KS_TENANT_SUSPENDED | KS_TENANT_DELETED | KS_TENANT_UNDER_SUSPENDED));
}

static enum ks_err keep_tenant(void *ctx, const struct ks_tenant_row *row)
{
	struct ks_link_seen *seen = ctx;

	(void)keep_text(seen->tenant_name, sizeof(seen->tenant_name), row->name);
	return KS_OK;
}

enum ks_err ks_link_look(struct ks_store *store, const struct ks_ring *ring, const struct ks_digest *digest,
			 int64_t now_ms, struct ks_link_seen *ret_seen)
{
	struct ks_link_seen seen;
	struct kept kept;
	struct ks_provider_kept provider;

	KS_TRY(ks_store_link_by_digest(store, digest, keep_row, &kept));
	KS_TRY(ks_store_provider_get(store, kept.row.provider, ks_provider_keep, &provider));
	seen = (struct ks_link_seen){
		.id = kept.row.id,
		.organization = kept.row.organization,
		.tenant = kept.row.tenant,
		.provider = kept.row.provider,
		.expires_at = kept.row.expires_at,
		.attempts = kept.row.attempts,
	};
	KS_TRY(ks_store_tenant_get(store, kept.row.tenant, keep_tenant, &seen));
	if (kept.row.state != KS_LINK_OPEN || kept.row.expires_at <= now_ms || provider.row.deleted_at != KS_TIME_NONE
	    || !tenant_serves(ring, kept.row.tenant))
		return KS_NOT_FOUND;
	(void)keep_text(seen.field, sizeof(seen.field), kept.row.field);
	(void)keep_text(seen.recipient, sizeof(seen.recipient), kept.row.recipient);
	(void)keep_text(seen.platform, sizeof(seen.platform), ks_str_c(provider.platform));
	(void)keep_text(seen.provider_name, sizeof(seen.provider_name), ks_str_c(provider.name));
	*ret_seen = seen;
	return KS_OK;
}

/* The open link, and who acts by it. */
static enum ks_err find_open(struct ks_tx *tx, const struct ks_link_submission *submission, struct kept *kept,
			     struct ks_actor *actor, struct ks_refusal *refusal)
{
	struct ks_link_seen seen;
	enum ks_err err = ks_link_look(tx->store, tx->ring, submission->digest, tx->now_ms, &seen);

	if (err == KS_NOT_FOUND)
		return refuse_unknown(refusal, "the link is not open");
	KS_TRY(err);
	KS_TRY(ks_store_link_get(tx->store, seen.id, keep_row, kept));
	ks_link_actor(kept->row.id, submission, actor);
	return KS_OK;
}

enum ks_err ks_links_use(struct ks_tx *tx, const struct ks_link_submission *submission,
			 const struct ks_vault_prepared *prepared, struct ks_refusal *ret_refusal)
{
	char texts[2][DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);
	struct kept kept;
	struct ks_actor actor;
	uint64_t version = ks_vault_prepared_version(prepared);

	KS_TRY(find_open(tx, submission, &kept, &actor, ret_refusal));
	KS_TRY(ks_vault_put_version(tx, &actor, prepared, VIA, ret_refusal));
	KS_TRY(ks_store_link_end(tx->store, kept.row.id, KS_LINK_USED, version, tx->now_ms));
	put_link(&detail, &kept.row);
	ks_audit_put_u64(&detail, "version", version);
	put_link(&data, &kept.row);
	ks_audit_put_u64(&data, "version", version);
	KS_TRY(audit(tx, &actor, "link.use", &kept.row, &detail));
	return tell(tx, KS_EVENT_LINK_USED, &kept.row, &data);
}

enum ks_err ks_links_attempt(struct ks_tx *tx, const struct ks_link_submission *submission, uint64_t *ret_left,
			     struct ks_refusal *ret_refusal)
{
	uint64_t most = tx->engine->options.link_attempts;
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	struct kept kept;
	struct ks_actor actor;

	KS_TRY(find_open(tx, submission, &kept, &actor, ret_refusal));
	KS_TRY(ks_store_link_attempt(tx->store, kept.row.id));
	kept.row.attempts++;
	put_link(&detail, &kept.row);
	ks_audit_put_u64(&detail, "attempts", kept.row.attempts);
	KS_TRY(audit(tx, &actor, "link.attempt", &kept.row, &detail));
	*ret_left = kept.row.attempts < most ? most - kept.row.attempts : 0;
	if (*ret_left > 0)
		return KS_OK;
	KS_TRY(ks_store_link_end(tx->store, kept.row.id, KS_LINK_CLOSED, 0, tx->now_ms));
	return record(tx, &actor, "link.close", KS_EVENT_LINK_CLOSED, &kept.row);
}

/* ---- by time ---- */

struct sweep {
	struct kept links[SWEEP_AT_ONCE];
	size_t count;
};

static enum ks_err add_over(void *ctx, const struct ks_link_row *row)
{
	struct sweep *sweep = ctx;

	return keep_row(&sweep->links[sweep->count++], row);
}

static enum ks_err run_sweep(struct ks_job *job, struct ks_tx *tx)
{
	struct sweep *sweep = job->ctx;

	sweep->count = 0;
	KS_TRY(ks_store_links_over(tx->store, tx->now_ms, SWEEP_AT_ONCE, add_over, sweep));
	for (size_t i = 0; i < sweep->count; i++) {
		const struct ks_link_row *row = &sweep->links[i].row;

		KS_TRY(ks_store_link_end(tx->store, row->id, KS_LINK_EXPIRED, 0, row->expires_at));
		KS_TRY(record(tx, NULL, "link.expire", KS_EVENT_LINK_EXPIRED, row));
	}
	return KS_OK;
}

void ks_links_sweep(struct ks_engine *engine)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));
	struct ks_job job = {.run = run_sweep, .ctx = sweep};
	enum ks_err err = sweep ? KS_OK : KS_MEMORY;

	while (err == KS_OK) {
		err = ks_engine_run(engine, &job);
		if (sweep->count < SWEEP_AT_ONCE)
			break;
	}
	if (err != KS_OK && err != KS_STOPPING)
		ks_engine_say(engine, 2, "links_not_swept", "%s", ks_err_text(err));
	free(sweep);
}
