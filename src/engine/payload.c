/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/payload.h"

#include "engine/audit.h"
#include "engine/events.h"
#include "engine/sources.h"

struct more {
	enum ks_event_type type; /* KS_EVENT_COUNT: the end of the table */
	ks_payload_more *add;
};

/* Types whose data is more than what the event keeps. */
static const struct more table[] = {
	{KS_EVENT_INBOUND_RECEIVED, ks_inbound_payload},
	{KS_EVENT_COUNT, NULL},
};

static ks_payload_more *more_of(struct ks_str name)
{
	enum ks_event_type type;

	if (!ks_event_parse(name, &type))
		return NULL;
	for (size_t i = 0; table[i].type != KS_EVENT_COUNT; i++) {
		if (table[i].type == type)
			return table[i].add;
	}
	return NULL;
}

static void put_tenant(struct ks_buf *out, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = tenant ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;
	bool known = index != KS_RING_NONE;

	ks_audit_put_id(out, "tenant", known ? (enum ks_id_type)ring->tenants[index].kind : KS_ID_OPERATOR, known ? tenant : 0);
}

static enum ks_err put_data(struct ks_store *store, const struct ks_event_row *row, struct ks_buf *out)
{
	ks_payload_more *add = more_of(row->type);
	struct ks_buf data = ks_buf_of(&out->p[out->n], out->cap - out->n);

	if (!add) {
		ks_buf_put(out, row->data);
		return KS_OK;
	}
	ks_buf_put(&data, ks_str_sub(row->data, 0, row->data.n - 1));
	KS_TRY(add(store, row, &data));
	ks_buf_put_byte(&data, '}');
	out->n += data.n;
	out->overflow = out->overflow || !ks_buf_ok(&data);
	return KS_OK;
}

enum ks_err ks_payload_write(struct ks_store *store, const struct ks_ring *ring, const struct ks_event_row *row,
			     struct ks_buf *out)
{
	ks_audit_put_id(out, "id", KS_ID_EVENT, row->id);
	ks_audit_put(out, "type", row->type);
	ks_audit_put_time(out, "timestamp", row->at);
	put_tenant(out, ring, row->tenant);
	ks_audit_put_id(out, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_audit_put_some(out, "object", row->object);
	ks_buf_put_c(out, ",\"data\":");
	if (!ks_buf_ok(out))
		return KS_TOO_LARGE;
	KS_TRY(put_data(store, row, out));
	ks_buf_put_byte(out, '}');
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}
