/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_priv.h"

/* The effective tenant where it is not the actor's own: for whom somebody acted. */
static struct ks_str on_behalf(const struct ks_tx *tx, const struct ks_actor *actor, char text[KS_ID_TEXT_SIZE])
{
	uint32_t index;

	if (!actor || actor->effective == 0 || actor->own == 0 || actor->effective == actor->own)
		return KS_STR("");
	index = ks_ring_tenant(tx->ring, actor->effective);
	if (index == KS_RING_NONE)
		return KS_STR("");
	ks_id_format((enum ks_id_type)tx->ring->tenants[index].kind, actor->effective, text);
	return ks_str_c(text);
}

/* What is told of the actor to those who may not know its id (viewer.c of the API does so): the kind of the tenant that
 * it belongs to, which of a user is the organization. */
static struct ks_str place_of(const struct ks_tx *tx, const struct ks_actor *actor)
{
	uint32_t index;

	if (!actor)
		return KS_STR("system");
	if (actor->local)
		return KS_STR("local");
	index = tx->ring && actor->own ? ks_ring_tenant(tx->ring, actor->own) : KS_RING_NONE;
	if (index != KS_RING_NONE && tx->ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL)
		index = tx->ring->tenants[index].organization;
	return ks_str_c(ks_tenant_kind_text(index == KS_RING_NONE ? KS_TENANT_KIND_OPERATOR
								  : (enum ks_tenant_kind)tx->ring->tenants[index].kind));
}

/* A partner's log is its own, also the entry that made it. */
static uint64_t tree_of(const struct ks_tx *tx, const struct ks_audit_note *note)
{
	uint32_t index;

	if (note->organization)
		return note->organization;
	if (note->object_type == KS_ID_PARTNER && note->object && note->object == note->tenant)
		return note->tenant;
	index = tx->ring && note->tenant ? ks_ring_tenant(tx->ring, note->tenant) : KS_RING_NONE;
	return index != KS_RING_NONE && tx->ring->tenants[index].kind == KS_TENANT_KIND_PARTNER ? note->tenant : 0;
}

static void put_name(struct ks_buf *detail, const char *name)
{
	ks_buf_put_byte(detail, detail->n == 0 ? '{' : ',');
	ks_buf_put_json(detail, ks_str_c(name));
	ks_buf_put_byte(detail, ':');
}

void ks_audit_put(struct ks_buf *detail, const char *name, struct ks_str value)
{
	put_name(detail, name);
	ks_buf_put_json(detail, value);
}

void ks_audit_put_some(struct ks_buf *detail, const char *name, struct ks_str value)
{
	put_name(detail, name);
	if (ks_str_empty(value))
		ks_buf_put_c(detail, "null");
	else
		ks_buf_put_json(detail, value);
}

void ks_audit_put_u64(struct ks_buf *detail, const char *name, uint64_t value)
{
	put_name(detail, name);
	ks_buf_put_u64(detail, value);
}

void ks_audit_put_time(struct ks_buf *detail, const char *name, int64_t ms)
{
	char text[KS_TIME_TEXT_SIZE];

	put_name(detail, name);
	if (ms == KS_TIME_NONE) {
		ks_buf_put_c(detail, "null");
		return;
	}
	ks_time_format(ms, text);
	ks_buf_put_json(detail, ks_str_c(text));
}

void ks_audit_put_id(struct ks_buf *detail, const char *name, enum ks_id_type type, uint64_t id)
{
	char text[KS_ID_TEXT_SIZE];

	put_name(detail, name);
	if (id == 0) {
		ks_buf_put_c(detail, "null");
		return;
	}
	ks_id_format(type, id, text);
	ks_buf_put_json(detail, ks_str_c(text));
}

struct ks_str ks_audit_end(struct ks_buf *detail)
{
	if (detail->n > 0)
		ks_buf_put_byte(detail, '}');
	return ks_buf_ok(detail) ? ks_buf_str(detail) : KS_STR("");
}

enum ks_err ks_tx_audit(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_audit_note *note)
{
	char behalf[KS_ID_TEXT_SIZE], object[KS_ID_TEXT_SIZE] = "";

	if (note->object)
		ks_id_format(note->object_type, note->object, object);
	return ks_store_audit_append(tx->store, &(struct ks_audit_row){
		.id = ks_tx_id(tx),
		.at = tx->now_ms,
		.organization = note->organization,
		.tenant = note->tenant,
		.actor = actor ? ks_str_c(actor->id) : KS_STR("system"),
		.on_behalf = on_behalf(tx, actor, behalf),
		.action = ks_str_c(note->action),
		.object = ks_str_c(object),
		.outcome = note->outcome ? ks_str_c(note->outcome) : KS_STR("ok"),
		.address = actor ? ks_str_c(actor->address) : KS_STR(""),
		.request_id = actor ? ks_str_c(actor->request_id) : KS_STR(""),
		.detail = note->detail,
		.place = place_of(tx, actor),
		.tree = tree_of(tx, note),
	});
}
