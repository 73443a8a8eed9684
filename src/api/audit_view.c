/* SPDX-License-Identifier: Apache-2.0 */
/* Entries with all that their leaves are made of, for the eyes of the caller. */
#include "api/audit_view.h"

#include "base/ctenc.h"
#include "merkle/entry.h"

/* ---- which log ---- */

static uint64_t tree_of(const struct ks_ring *ring, uint32_t index)
{
	const struct ks_ring_tenant *tenant = &ring->tenants[index];

	if (tenant->organization != KS_RING_NONE)
		return ring->tenants[tenant->organization].id;
	return tenant->kind == KS_TENANT_KIND_PARTNER ? tenant->id : 0;
}

bool ks_audit_log_read(struct ks_call *call, struct ks_audit_log *ret_log)
{
	const struct ks_ring *ring = ks_call_ring(call);
	uint64_t id = call->actor.effective;
	struct ks_audit_log log = {0};
	enum ks_id_type type = KS_ID_TYPE_COUNT;
	char storage[64];
	struct ks_str text;
	bool named = ks_call_query(call, "tenant", storage, sizeof(storage), &text);
	uint32_t index;

	if (!ring) {
		(void)ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
		return false;
	}
	if (named && !ks_id_parse_any(text, &type, &id)) {
		ks_call_query_problem(call, "tenant", "This is not the id of a tenant.");
		*ret_log = log;
		return true;
	}
	index = id ? ks_ring_tenant(ring, id) : KS_RING_NONE;
	if (named && (index == KS_RING_NONE || ring->tenants[index].kind != (uint8_t)type
		      || !ks_history_sees(&call->actor, ring, id))) {
		(void)ks_call_tenant_forbidden(call);
		return false;
	}
	if (index != KS_RING_NONE) {
		log.tree = tree_of(ring, index);
		if (named && log.tree != 0 && log.tree != id)
			log.tenant = id;
	}
	*ret_log = log;
	return true;
}

enum ks_problem ks_audit_problem(enum ks_err err)
{
	return err == KS_CRYPTO ? KS_PROBLEM_STORE_UNAVAILABLE : ks_problem_of_err(err);
}

/* ---- who looks ---- */

void ks_audit_eyes_open(struct ks_audit_eyes *eyes, const struct ks_actor *actor, struct ks_store *store,
			const struct ks_ring *ring)
{
	*eyes = (struct ks_audit_eyes){
		.actor = actor, .ring = ring, .viewer = {.actor = actor, .store = store, .ring = ring}};
}

/* Exports name the same actor again and again. */
static bool sees(struct ks_audit_eyes *eyes, struct ks_str actor)
{
	if (!ks_str_eq(actor, ks_str_c(eyes->last))) {
		struct ks_buf last = KS_BUF(eyes->last);

		eyes->sees_last = ks_viewer_sees(&eyes->viewer, actor);
		ks_buf_put(&last, actor);
		(void)ks_buf_z(&last);
	}
	return eyes->sees_last;
}

/* ---- what is shown ---- */

/* The members of an entry as texts; empty is null. */
struct shown {
#define X(name) struct ks_str name;
	KS_AUDIT_COLUMNS(X)
#undef X
	char bytes[512];
	struct ks_buf text;
};

void ks_audit_put_hash(struct ks_buf *out, const void *bytes, size_t n)
{
	char text[64];

	ks_buf_put(out, ks_str_of(text, ks_base64_encode(bytes, n, text, sizeof(text))));
}

/* What was written since `at`. */
static struct ks_str since(const struct ks_buf *b, size_t at)
{
	return ks_str_of(&b->p[at], b->n - at);
}

static struct ks_str put_id(struct shown *s, enum ks_id_type type, uint64_t id)
{
	size_t at = s->text.n;
	char text[KS_ID_TEXT_SIZE];

	if (id == 0)
		return KS_STR("");
	ks_id_format(type, id, text);
	ks_buf_put(&s->text, ks_str_of(text, KS_ID_TEXT_LEN));
	return since(&s->text, at);
}

static struct ks_str put_hash(struct shown *s, struct ks_str bytes)
{
	size_t at = s->text.n;

	if (ks_str_empty(bytes))
		return KS_STR("");
	ks_audit_put_hash(&s->text, bytes.p, bytes.n);
	return since(&s->text, at);
}

static enum ks_id_type type_of_tenant(const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = tenant ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;

	return index == KS_RING_NONE ? KS_ID_OPERATOR : (enum ks_id_type)ring->tenants[index].kind;
}

/* The id with what proves it, or where the actor came from with the commitment to the id. */
static void show_actor(struct shown *s, struct ks_audit_eyes *eyes, const struct ks_audit_row *row)
{
	struct ks_digest commitment;

	s->place = row->place;
	if (sees(eyes, row->actor)) {
		s->actor = row->actor;
		s->salt = put_hash(s, row->salt);
		return;
	}
	s->actor = row->place;
	if (row->salt.n == KS_AUDIT_SALT_SIZE
	    && ks_audit_commit((const uint8_t *)row->salt.p, row->actor, &commitment) == KS_OK)
		s->commitment = put_hash(s, ks_str_of((const char *)commitment.bytes, sizeof(commitment.bytes)));
}

static void show(struct shown *s, struct ks_audit_eyes *eyes, const struct ks_audit_row *row)
{
	char at[KS_TIME_TEXT_SIZE];

	s->text = KS_BUF(s->bytes);
	s->salt = s->commitment = KS_STR("");
	ks_buf_put_u64(&s->text, row->position);
	s->index = since(&s->text, 0);
	ks_time_format(row->at, at);
	ks_buf_put_c(&s->text, at);
	s->at = since(&s->text, s->index.n);
	s->leaf = put_hash(s, row->leaf);
	s->id = put_id(s, KS_ID_AUDIT, row->id);
	show_actor(s, eyes, row);
	s->on_behalf = row->on_behalf;
	s->action = row->action;
	s->object = row->object;
	s->tenant = put_id(s, type_of_tenant(eyes->ring, row->tenant), row->tenant);
	s->organization = put_id(s, KS_ID_ORGANIZATION, row->organization);
	s->outcome = row->outcome;
	s->address = row->address;
	s->request_id = row->request_id;
	s->detail = ks_str_empty(row->detail) ? KS_STR("{}") : row->detail;
}

static void put_member(struct ks_buf *out, const char *name, struct ks_str value)
{
	ks_buf_put_c(out, ",\"");
	ks_buf_put_c(out, name);
	ks_buf_put_c(out, "\":");
	if (ks_str_empty(value))
		ks_buf_put_c(out, "null");
	else
		ks_buf_put_json(out, value);
}

void ks_audit_put_entry(struct ks_buf *out, struct ks_audit_eyes *eyes, const struct ks_audit_row *row)
{
	struct shown s;

	show(&s, eyes, row);
	ks_buf_put_c(out, "{\"index\":");
	ks_buf_put(out, s.index);
#define X(name) put_member(out, #name, s.name);
	KS_AUDIT_COLUMN_WORDS(X)
#undef X
	ks_buf_put_c(out, ",\"detail\":");
	ks_buf_put(out, s.detail);
	ks_buf_put_byte(out, '}');
}

/* ---- CSV ---- */

static bool needs_quotes(struct ks_str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == ',' || value.p[i] == '\n' || value.p[i] == '\r')
			return true;
	}
	return false;
}

static void put_cell(struct ks_buf *out, struct ks_str value)
{
	ks_buf_put_byte(out, ',');
	if (!needs_quotes(value)) {
		ks_buf_put(out, value);
		return;
	}
	ks_buf_put_byte(out, '"');
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"')
			ks_buf_put_byte(out, '"');
		ks_buf_put_byte(out, value.p[i]);
	}
	ks_buf_put_byte(out, '"');
}

void ks_audit_put_csv(struct ks_buf *out, struct ks_audit_eyes *eyes, const struct ks_audit_row *row)
{
	struct shown s;

	show(&s, eyes, row);
	ks_buf_put_c(out, "entry");
#define X(name) put_cell(out, s.name);
	KS_AUDIT_COLUMNS(X)
#undef X
}

void ks_audit_put_csv_heading(struct ks_buf *out)
{
	ks_buf_put_c(out, "record");
#define X(name) ks_buf_put_c(out, "," #name);
	KS_AUDIT_COLUMNS(X)
#undef X
}
