/* SPDX-License-Identifier: Apache-2.0 */
/** Events: what happened, written in the transaction that caused it, for lists and for deliveries. An event is as durable
 * as its cause, and there is none without it. Ids rise in the order of commits: whoever delivers goes through the table
 * by id and keeps the last one that is done. */
#pragma once

#include "base/buf.h"
#include "engine/engine.h"

enum ks_event_type {
#define KS_EVENT(event, name, about) KS_EVENT_##event,
#include "engine/events.def"
	KS_EVENT_COUNT
};

/** Types of the members of data: X(name, JSON Schema). */
#define KS_EVENT_FIELD_TYPES(X)                                                                     \
	X(TEXT, "{\"type\":\"string\"}")                                                            \
	X(TEXT_OR_NULL, "{\"type\":[\"string\",\"null\"]}")                                         \
	X(TIME, "{\"type\":\"string\",\"format\":\"date-time\"}")                                   \
	X(TIME_OR_NULL, "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}")                \
	X(COUNT, "{\"type\":\"integer\",\"minimum\":0}")                                            \
	X(KEY, "{\"type\":\"string\",\"pattern\":\"^key_[0-9a-hjkmnp-tv-z]{13}$\"}")                \
	X(KEY_OR_NULL, "{\"type\":[\"string\",\"null\"],\"pattern\":\"^key_[0-9a-hjkmnp-tv-z]{13}$\"}") \
	X(PROVIDER, "{\"type\":\"string\",\"pattern\":\"^prv_[0-9a-hjkmnp-tv-z]{13}$\"}") \
	X(PROVIDER_OR_NULL, "{\"type\":[\"string\",\"null\"],\"pattern\":\"^prv_[0-9a-hjkmnp-tv-z]{13}$\"}") \
	X(SOURCE, "{\"type\":\"string\",\"pattern\":\"^src_[0-9a-hjkmnp-tv-z]{13}$\"}")

enum ks_event_field_type {
#define X(name, schema) KS_EVENT_FIELD_##name,
	KS_EVENT_FIELD_TYPES(X)
#undef X
	KS_EVENT_FIELD_TYPE_COUNT
};

/** A member of the data of a type. Static. */
struct ks_event_field {
	enum ks_event_type event;
	const char *name;
	enum ks_event_field_type type;
	const char *about;
};

/** "key.created", and what it means. Static. */
const char *ks_event_name(enum ks_event_type type);
const char *ks_event_about(enum ks_event_type type);
/** False: there is no such type. */
KS_MUST_USE bool ks_event_parse(struct ks_str name, enum ks_event_type *ret_type);
/** The members of all types, in the order of the types. */
const struct ks_event_field *ks_event_fields(size_t *ret_count);
/** JSON Schema of a member. Static. */
const char *ks_event_field_schema(enum ks_event_field_type type);

/** One event. Borrowed for the call. */
struct ks_event_note {
	enum ks_event_type type;
	uint64_t organization;       /* of the tenant; 0: none */
	uint64_t tenant;             /* whose event it is; 0: the operator's */
	enum ks_id_type object_type;
	uint64_t object;             /* 0: none */
	struct ks_str data;          /* JSON object of at most KS_STORE_DETAIL_MAX bytes with the type's members */
};

/** Writes the event into the transaction. KS_MALFORMED: no data. Writer's thread. */
KS_MUST_USE enum ks_err ks_event_add(struct ks_tx *tx, const struct ks_event_note *note);

/** Room for the data of an event. */
#define KS_EVENT_DATA_SIZE KS_STORE_DETAIL_MAX

/** The members that all events of a key begin with (KS_EVENT_OF_KEY of events.def), into an empty buffer. */
void ks_event_put_key(struct ks_buf *data, const struct ks_key_row *row);
/** Ends `data` and adds an event of the key, which belongs to its tenant. */
KS_MUST_USE enum ks_err ks_event_add_key(struct ks_tx *tx, enum ks_event_type type, const struct ks_key_row *row,
					 struct ks_buf *data);
