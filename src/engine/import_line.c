/* SPDX-License-Identifier: Apache-2.0 */
/* One line of an import: the members of POST /v1/keys, and the digest. */
#include <stdlib.h>

#include "base/ctenc.h"
#include "base/hash.h"
#include "engine/import_priv.h"

#define POINTER_NAME_MAX 64
#define NOT_JSON "is not one JSON object"

/* A line being read. */
struct reading {
	struct ks_import *import;
	struct ks_import_row *row;
	struct ks_buf *text;           /* of the batch */
	struct ks_refusal *refusal;
	struct ks_str scopes, roles, addresses, rate; /* raw JSON; empty: not given */
	struct ks_str prefix, last_four;
	bool kind_given, expires_given, digest_given;
};

/* ---- members ---- */

static enum ks_err wrong(const struct reading *l, const char *pointer, const char *what)
{
	return ks_refuse_invalid(l->refusal, pointer, "%s", what);
}

/* A string, decoded; for values that are looked at now and not kept. */
static enum ks_err read_text(struct reading *l, struct ks_json_read *r, const char *pointer, struct ks_str *ret_text)
{
	struct ks_buf b = ks_buf_of(l->import->scratch, KS_IMPORT_LINE_TEXT_MAX);

	if (ks_json_read_peek(r) != '"')
		return wrong(l, pointer, "must be a string");
	*ret_text = ks_json_text_decode(ks_json_read_string(r), &b);
	return KS_OK;
}

static struct ks_str keep(struct reading *l, struct ks_str text)
{
	size_t from = l->text->n;

	ks_buf_put(l->text, text);
	return ks_str_sub(ks_buf_str(l->text), from, text.n);
}

static enum ks_err read_kept(struct reading *l, struct ks_json_read *r, const char *pointer, struct ks_str *ret_text)
{
	struct ks_str text;

	KS_TRY(read_text(l, r, pointer, &text));
	*ret_text = keep(l, text);
	return KS_OK;
}

static enum ks_err read_name(struct reading *l, struct ks_json_read *r)
{
	KS_TRY(read_kept(l, r, "/name", &l->row->name));
	return ks_check_name(l->row->name, "/name", l->refusal);
}

static enum ks_err read_kind(struct reading *l, struct ks_json_read *r)
{
	struct ks_str text;
	enum ks_kind kind;

	KS_TRY(read_text(l, r, "/kind", &text));
	if (!ks_kind_parse(text, &kind) || kind == KS_KIND_SESSION)
		return wrong(l, "/kind", "must be tenant, partner or runtime");
	l->row->kind = (uint8_t)kind;
	l->kind_given = true;
	return KS_OK;
}

static enum ks_err read_tenant(struct reading *l, struct ks_json_read *r)
{
	enum ks_id_type type;
	struct ks_str text;

	if (ks_json_read_null(r))
		return KS_OK;
	KS_TRY(read_text(l, r, "/tenant", &text));
	if (!ks_id_parse_any(text, &type, &l->row->tenant) || (unsigned)type >= KS_TENANT_KIND_COUNT)
		return wrong(l, "/tenant", "must be the id of a tenant");
	l->row->tenant_kind = (uint8_t)type;
	return KS_OK;
}

static enum ks_err read_user(struct reading *l, struct ks_json_read *r)
{
	struct ks_str text;

	if (ks_json_read_null(r))
		return KS_OK;
	KS_TRY(read_text(l, r, "/user", &text));
	return ks_id_parse(text, KS_ID_USER, &l->row->user) ? KS_OK : wrong(l, "/user", "must be the id of a user");
}

/* These four are understood only if their texts have not come before. */
static enum ks_err read_scopes(struct reading *l, struct ks_json_read *r)
{
	l->scopes = ks_json_read_raw(r);
	return KS_OK;
}

static enum ks_err read_roles(struct reading *l, struct ks_json_read *r)
{
	l->roles = ks_json_read_raw(r);
	return KS_OK;
}

static enum ks_err read_addresses(struct reading *l, struct ks_json_read *r)
{
	l->addresses = ks_json_read_raw(r);
	return KS_OK;
}

static enum ks_err read_rate_limit(struct reading *l, struct ks_json_read *r)
{
	l->rate = ks_json_read_raw(r);
	return KS_OK;
}

static enum ks_err read_expires_at(struct reading *l, struct ks_json_read *r)
{
	struct ks_str text;

	l->expires_given = true;
	if (ks_json_read_null(r))
		return KS_OK;
	KS_TRY(read_text(l, r, "/expires_at", &text));
	if (!ks_time_parse(text, &l->row->expires_at))
		return wrong(l, "/expires_at", "must be a time (RFC 3339), or null for never");
	return KS_OK;
}

static enum ks_err read_environment(struct reading *l, struct ks_json_read *r)
{
	enum ks_environment environment;
	struct ks_str text;

	KS_TRY(read_text(l, r, "/environment", &text));
	if (!ks_environment_parse(text, &environment))
		return wrong(l, "/environment", "must be live or sandbox");
	l->row->environment = (uint8_t)environment;
	return KS_OK;
}

static bool is_label_repeated(const struct ks_str *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ks_str_eq(names[i], names[count]))
			return true;
	}
	return false;
}

static enum ks_err read_label(struct reading *l, struct ks_json_read *r, struct ks_buf *scratch, struct ks_str *names,
			      size_t count)
{
	struct ks_str value;

	names[count] = ks_json_text_decode(ks_json_read_name(r), scratch);
	if (ks_json_read_peek(r) != '"')
		return wrong(l, "/labels", "must be an object of strings");
	value = ks_json_text_decode(ks_json_read_string(r), scratch);
	if (ks_json_read_failed(r))
		return KS_OK;
	KS_TRY(ks_check_label(names[count], value, l->refusal));
	if (is_label_repeated(names, count))
		return wrong(l, "/labels", "has a member twice");
	ks_buf_put_byte(l->text, count == 0 ? '{' : ',');
	ks_buf_put_json(l->text, names[count]);
	ks_buf_put_byte(l->text, ':');
	ks_buf_put_json(l->text, value);
	return KS_OK;
}

/* Written anew without blanks and needless escapes. */
static enum ks_err read_labels(struct reading *l, struct ks_json_read *r)
{
	struct ks_buf scratch = ks_buf_of(l->import->scratch, KS_IMPORT_LINE_TEXT_MAX);
	struct ks_str names[KS_KEY_LABELS_MAX + 1];
	size_t from = l->text->n, count = 0;
	bool first = true;

	if (ks_json_read_null(r))
		return KS_OK;
	if (ks_json_read_peek(r) != '{')
		return wrong(l, "/labels", "must be an object of strings");
	ks_json_read_open(r, '{');
	while (ks_json_read_more(r, &first, '}')) {
		if (count == KS_KEY_LABELS_MAX)
			return wrong(l, "/labels", "has too many members");
		KS_TRY(read_label(l, r, &scratch, names, count++));
	}
	if (count > 0)
		ks_buf_put_byte(l->text, '}');
	l->row->labels = ks_str_sub(ks_buf_str(l->text), from, l->text->n - from);
	return l->row->labels.n > KS_STORE_LABELS_MAX ? wrong(l, "/labels", "is too long") : KS_OK;
}

/* 64 hexadecimal digits, or base64 of either alphabet, with or without its padding. */
static bool parse_digest(struct ks_str text, struct ks_digest *ret_digest)
{
	struct ks_digest digest;
	size_t n = 0;
	bool ok;

	if (text.n == 2 * KS_SHA256_SIZE)
		ok = ks_json_hex(text, digest.bytes, (n = KS_SHA256_SIZE));
	else
		ok = ks_base64_decode(text, digest.bytes, sizeof(digest.bytes), &n)
		     || ks_base64url_decode(text, digest.bytes, sizeof(digest.bytes), &n);
	if (!ok || n != KS_SHA256_SIZE)
		return false;
	*ret_digest = digest;
	return true;
}

static enum ks_err read_sha256(struct reading *l, struct ks_json_read *r)
{
	struct ks_str text;

	KS_TRY(read_text(l, r, "/sha256", &text));
	l->digest_given = true;
	return parse_digest(text, &l->row->digest) ? KS_OK : wrong(l, "/sha256", "must be 32 bytes in hex or base64");
}

static enum ks_err read_prefix(struct reading *l, struct ks_json_read *r)
{
	return ks_json_read_null(r) ? KS_OK : read_kept(l, r, "/prefix", &l->row->prefix);
}

static enum ks_err read_last_four(struct reading *l, struct ks_json_read *r)
{
	return ks_json_read_null(r) ? KS_OK : read_kept(l, r, "/last_four", &l->row->last_four);
}

/* The members of a line. X(name) */
#define MEMBERS(X)   \
	X(name)        \
	X(kind)        \
	X(tenant)      \
	X(user)        \
	X(scopes)      \
	X(roles)       \
	X(expires_at)  \
	X(environment) \
	X(addresses)   \
	X(rate_limit)  \
	X(labels)      \
	X(sha256)      \
	X(prefix)      \
	X(last_four)

static const struct {
	struct ks_str name;
	enum ks_err (*read)(struct reading *l, struct ks_json_read *r);
} members[] = {
#define X(member) {{#member, sizeof(#member) - 1}, read_##member},
	MEMBERS(X)
#undef X
};

/* "/name" as a JSON pointer (RFC 6901), cut where it is long. */
static void put_pointer(struct ks_str name, struct ks_buf *to)
{
	ks_buf_put_byte(to, '/');
	for (size_t i = 0; i < KS_MIN(name.n, (size_t)POINTER_NAME_MAX); i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == '~' || c == '/')
			ks_buf_put_c(to, c == '~' ? "~0" : "~1");
		else
			ks_buf_put_byte(to, c < 0x20 || c >= 0x7f ? '?' : (char)c);
	}
}

/* The member of this name; KS_ARRAY_LEN(members): none. Lines of a file name theirs in one order, mostly ours: the
 * search begins behind the one before. */
static size_t find_member(struct ks_str name, size_t before)
{
	for (size_t i = 1; i <= KS_ARRAY_LEN(members); i++) {
		size_t at = (before + i) % KS_ARRAY_LEN(members);

		if (name.n == members[at].name.n && ks_str_eq(name, members[at].name))
			return at;
	}
	return KS_ARRAY_LEN(members);
}

static enum ks_err read_member(struct reading *l, struct ks_json_read *r, unsigned *seen, size_t *last)
{
	struct ks_buf scratch = ks_buf_of(l->import->scratch, KS_IMPORT_LINE_TEXT_MAX);
	struct ks_str name = ks_json_text_decode(ks_json_read_name(r), &scratch);
	char pointer[2 * POINTER_NAME_MAX + 2];
	struct ks_buf b = KS_BUF(pointer);
	size_t at;

	if (ks_json_read_failed(r))
		return KS_OK;
	at = find_member(name, *last);
	if (at < KS_ARRAY_LEN(members) && !(*seen & 1u << at)) {
		*seen |= 1u << at;
		*last = at;
		return members[at].read(l, r);
	}
	put_pointer(name, &b);
	return wrong(l, ks_buf_z(&b), at < KS_ARRAY_LEN(members) ? "stands there twice" : "there is no such member");
}

/* ---- grants ---- */

/* Lists of a grant that has not been seen before. */
struct lists {
	struct ks_str scopes[KS_KEY_SCOPES_MAX];
	struct ks_str roles[KS_KEY_ROLES_MAX];
	struct ks_cidr addresses[KS_RING_CIDRS_MAX];
};

static enum ks_err read_strings(const struct reading *l, struct ks_str raw, const char *pointer, struct ks_buf *scratch,
				struct ks_str *items, size_t cap, size_t *ret_count)
{
	struct ks_json_read r = ks_json_read_of(raw);
	bool first = true;
	size_t count = 0;

	if (ks_json_read_peek(&r) != '[')
		return wrong(l, pointer, "must be an array of strings");
	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']')) {
		if (ks_json_read_peek(&r) != '"')
			return wrong(l, pointer, "must be an array of strings");
		if (count == cap)
			return wrong(l, pointer, "has too many items");
		items[count++] = ks_json_text_decode(ks_json_read_string(&r), scratch);
	}
	*ret_count = count;
	return KS_OK;
}

static enum ks_err ask_scopes(const struct reading *l, struct ks_buf *scratch, struct lists *lists,
			      struct ks_grant_ask *ask)
{
	if (ks_str_empty(l->scopes))
		return KS_OK;
	ask->scopes_default = ks_str_eq(l->scopes, KS_STR("\"default\""));
	if (ask->scopes_default)
		return KS_OK;
	ask->scopes = lists->scopes;
	return read_strings(l, l->scopes, "/scopes", scratch, lists->scopes, KS_KEY_SCOPES_MAX, &ask->scope_count);
}

static enum ks_err ask_addresses(const struct reading *l, struct ks_buf *scratch, struct lists *lists,
				 struct ks_grant_ask *ask)
{
	struct ks_str items[KS_RING_CIDRS_MAX];

	if (ks_str_empty(l->addresses) || ks_str_eq(l->addresses, KS_STR("null")))
		return KS_OK;
	KS_TRY(read_strings(l, l->addresses, "/addresses", scratch, items, KS_RING_CIDRS_MAX, &ask->address_count));
	for (size_t i = 0; i < ask->address_count; i++) {
		if (!ks_cidr_parse(items[i], &lists->addresses[i]))
			return wrong(l, "/addresses", "must be addresses or ranges (address/bits)");
	}
	ask->addresses = lists->addresses;
	return KS_OK;
}

static enum ks_err ask_rate(const struct reading *l, struct ks_grant_ask *ask)
{
	struct ks_json_read r = ks_json_read_of(l->rate);
	bool first = true;
	unsigned seen = 0;

	if (ks_str_empty(l->rate) || ks_str_eq(l->rate, KS_STR("null")))
		return KS_OK;
	if (ks_json_read_peek(&r) != '{')
		return wrong(l, "/rate_limit", "must be an object, or null");
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		struct ks_str name = ks_json_read_name(&r).raw;
		bool window = ks_str_eq(name, KS_STR("window_s"));
		uint64_t value;

		if (!window && !ks_str_eq(name, KS_STR("requests")))
			return wrong(l, "/rate_limit", "has the members requests and window_s");
		if (seen & 1u << window)
			return wrong(l, "/rate_limit", "has a member twice");
		seen |= 1u << window;
		if (!ks_json_read_u64(&r, UINT32_MAX, &value) || value == 0)
			return wrong(l, window ? "/rate_limit/window_s" : "/rate_limit/requests",
				     "must be a positive whole number");
		*(window ? &ask->rate_window_s : &ask->rate_requests) = (uint32_t)value;
	}
	return seen == 3 ? KS_OK : wrong(l, "/rate_limit", "has the members requests and window_s");
}

static enum ks_err resolve(const struct reading *l, struct ks_buf *body)
{
	struct ks_import *import = l->import;
	struct ks_buf scratch = ks_buf_of(import->scratch, KS_IMPORT_LINE_TEXT_MAX);
	struct ks_grant_ask ask = {.kind = (enum ks_kind)l->row->kind};
	struct lists lists;

	KS_TRY(ask_scopes(l, &scratch, &lists, &ask));
	if (!ks_str_empty(l->roles)) {
		ask.roles = lists.roles;
		KS_TRY(read_strings(l, l->roles, "/roles", &scratch, lists.roles, KS_KEY_ROLES_MAX, &ask.role_count));
	}
	KS_TRY(ask_addresses(l, &scratch, &lists, &ask));
	KS_TRY(ask_rate(l, &ask));
	/* Whoever may import may grant every scope. */
	return ks_grant_resolve(&ask, &import->policy, &(struct ks_granting){.all = true}, body, l->refusal);
}

/* All that a grant depends on, in one text that no two different questions share. */
static struct ks_str question(const struct reading *l, struct ks_buf *to)
{
	const struct ks_str parts[] = {l->scopes, l->roles, l->addresses, l->rate};

	ks_buf_put_byte(to, (char)('0' + l->row->kind));
	for (size_t i = 0; i < KS_ARRAY_LEN(parts); i++) {
		ks_buf_put(to, parts[i]);
		/* No JSON text that was taken whole holds it. */
		ks_buf_put_byte(to, '\0');
	}
	return ks_buf_str(to);
}

static void free_grant(struct ks_import_grant *grant)
{
	if (!grant)
		return;
	free((void *)(uintptr_t)grant->raw.p);
	free(grant->body);
	free(grant);
}

void ks_import_forget_grants(struct ks_import *import)
{
	for (size_t i = 0; i < KS_IMPORT_GRANT_PLACES; i++) {
		free_grant(import->grants[i]);
		import->grants[i] = NULL;
	}
	import->grant_count = 0;
}

static char *copy_text(struct ks_str text)
{
	char *copy = malloc(text.n + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return copy;
}

/* Finds out, and keeps the answer whether it is a body or a refusal. */
static enum ks_err answer(const struct reading *l, struct ks_import_grant *grant)
{
	struct ks_buf body = ks_buf_of(l->import->grant_body, KS_GRANT_BODY_MAX);
	enum ks_err err = resolve(l, &body);

	if (err == KS_MEMORY || (err != KS_OK && !l->refusal->code))
		return err;
	grant->refusal = *l->refusal;
	*l->refusal = (struct ks_refusal){0};
	if (err != KS_OK)
		return KS_OK;
	grant->body = copy_text(ks_buf_str(&body));
	grant->body_n = body.n;
	return grant->body ? KS_OK : KS_MEMORY;
}

static enum ks_err add_grant(const struct reading *l, uint64_t hash, struct ks_str raw, size_t at,
			     struct ks_import_grant **ret_grant)
{
	struct ks_import_grant *grant = calloc(1, sizeof(*grant));
	enum ks_err err;

	if (!grant)
		return KS_MEMORY;
	grant->hash = hash;
	/* Before the scratch that `raw` stands in is used for something else. */
	grant->raw = ks_str_of(copy_text(raw), raw.n);
	err = grant->raw.p ? answer(l, grant) : KS_MEMORY;
	if (err != KS_OK) {
		free_grant(grant);
		return err;
	}
	l->import->grants[at] = grant;
	l->import->grant_count++;
	*ret_grant = grant;
	return KS_OK;
}

static enum ks_err find_grant(const struct reading *l, struct ks_import_grant **ret_grant)
{
	struct ks_import *import = l->import;
	struct ks_buf b = ks_buf_of(import->scratch, KS_IMPORT_LINE_TEXT_MAX);
	struct ks_str raw = question(l, &b);
	uint64_t hash = ks_siphash(import->hash_key, raw.p, raw.n);
	size_t at = hash % KS_IMPORT_GRANT_PLACES;

	while (import->grants[at]) {
		if (import->grants[at]->hash == hash && ks_str_eq(import->grants[at]->raw, raw)) {
			*ret_grant = import->grants[at];
			return KS_OK;
		}
		at = (at + 1) % KS_IMPORT_GRANT_PLACES;
	}
	return add_grant(l, hash, raw, at, ret_grant);
}

/* ---- the line ---- */

static enum ks_err check_line(struct reading *l)
{
	struct ks_import_row *row = l->row;

	if (!row->name.p)
		return wrong(l, "/name", "must be given");
	if (!l->digest_given)
		return wrong(l, "/sha256", "must be given");
	KS_TRY(ks_check_expiry(l->expires_given, row->expires_at, l->import->now_ms, l->refusal));
	KS_TRY(ks_check_hints(row->prefix, row->last_four, l->refusal));
	if (!l->kind_given)
		row->kind =
			row->tenant && row->tenant_kind == KS_TENANT_KIND_PARTNER ? KS_KIND_PARTNER : KS_KIND_TENANT;
	KS_TRY(find_grant(l, &row->grant));
	if (!row->grant->body) {
		*l->refusal = row->grant->refusal;
		return KS_MALFORMED;
	}
	return KS_OK;
}

static enum ks_err read_object(struct reading *l, struct ks_json_read *r)
{
	size_t last = KS_ARRAY_LEN(members) - 1;
	unsigned seen = 0;
	bool first = true;

	if (ks_json_read_peek(r) != '{')
		return wrong(l, "", "must be a JSON object");
	ks_json_read_open(r, '{');
	while (ks_json_read_more(r, &first, '}')) {
		enum ks_err err = read_member(l, r, &seen, &last);

		/* Where the JSON is broken, or ends too soon, a member looks wrong because of that. */
		if (ks_json_read_failed(r) || ks_json_read_peek(r) == '\0')
			return wrong(l, "", NOT_JSON);
		KS_TRY(err);
	}
	return KS_OK;
}

enum ks_err ks_import_read_line(struct ks_import *import, struct ks_import_batch *batch, struct ks_str line,
				struct ks_import_row *ret_row, struct ks_refusal *ret_refusal)
{
	struct ks_json_read r = ks_json_read_of(line);
	struct reading l = {.import = import, .row = ret_row, .text = &batch->text, .refusal = ret_refusal};
	enum ks_err err;

	*ret_row = (struct ks_import_row){.expires_at = KS_TIME_NONE};
	if (!ks_str_is_utf8(line))
		return wrong(&l, "", "is not UTF-8");
	err = read_object(&l, &r);
	KS_TRY(err);
	/* What is malformed further back is found only where nothing is wrong before it. */
	if (!ks_json_read_done(&r)) {
		*ret_refusal = (struct ks_refusal){0};
		return wrong(&l, "", NOT_JSON);
	}
	return check_line(&l);
}
