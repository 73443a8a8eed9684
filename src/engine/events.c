/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/events.h"

#include "engine/engine_priv.h"

static const struct {
	const char *name;
	const char *about;
} types[] = {
#define KS_EVENT(event, name, about) {name, about},
#include "engine/events.def"
};

static const struct ks_event_field fields[] = {
#define KS_EVENT_FIELD(event, name, type, about) {KS_EVENT_##event, name, KS_EVENT_FIELD_##type, about},
#include "engine/events.def"
};

static const char *const schemas[] = {
#define X(name, schema) schema,
	KS_EVENT_FIELD_TYPES(X)
#undef X
};

const char *ks_event_name(enum ks_event_type type)
{
	return types[type].name;
}

const char *ks_event_about(enum ks_event_type type)
{
	return types[type].about;
}

bool ks_event_parse(struct ks_str name, enum ks_event_type *ret_type)
{
	for (enum ks_event_type type = 0; type < KS_EVENT_COUNT; type++) {
		if (ks_str_eq(name, ks_str_c(types[type].name))) {
			*ret_type = type;
			return true;
		}
	}
	return false;
}

const struct ks_event_field *ks_event_fields(size_t *ret_count)
{
	*ret_count = KS_ARRAY_LEN(fields);
	return fields;
}

const char *ks_event_field_schema(enum ks_event_field_type type)
{
	return schemas[type];
}

enum ks_err ks_event_add(struct ks_tx *tx, const struct ks_event_note *note)
{
	char object[KS_ID_TEXT_SIZE] = "";
	uint64_t id = ks_tx_id(tx);

	/* What did not fit its buffer comes as empty. */
	if (ks_str_empty(note->data))
		return KS_MALFORMED;
	if (note->object)
		ks_id_format(note->object_type, note->object, object);
	KS_TRY(ks_store_event_append(tx->store, &(struct ks_event_row){
		.id = id,
		.at = tx->now_ms,
		.type = ks_str_c(types[note->type].name),
		.organization = note->organization,
		.tenant = note->tenant,
		.object = ks_str_c(object),
		.data = note->data,
	}));
	tx->engine->log.event_count++;
	tx->engine->log.last_event = id;
	return KS_OK;
}

void ks_event_put_key(struct ks_buf *data, const struct ks_key_row *row)
{
	ks_audit_put(data, "name", row->name);
	ks_audit_put(data, "kind", ks_str_c(ks_kind_text(row->kind)));
	ks_audit_put(data, "binding", ks_str_c(ks_binding_text(row->binding)));
	ks_audit_put(data, "environment", ks_str_c(ks_environment_text(row->environment)));
	ks_audit_put(data, "last_four", row->last_four);
	ks_audit_put_time(data, "expires_at", row->expires_at);
}

enum ks_err ks_event_add_key(struct ks_tx *tx, enum ks_event_type type, const struct ks_key_row *row,
			     struct ks_buf *data)
{
	return ks_event_add(tx, &(struct ks_event_note){
		.type = type,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_KEY,
		.object = row->id,
		.data = ks_audit_end(data),
	});
}
