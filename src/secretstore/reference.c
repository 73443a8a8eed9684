/* SPDX-License-Identifier: Apache-2.0 */
#include "secretstore/reference.h"

#include "base/json.h"
#include "secretstore/member_check.h"

/* ---- names ---- */

struct code_row {
	const char *code, *who, *text;
};

static const struct code_row codes[] = {
#define KS_SECRETSTORE_CODE(name, code, who, circuit, text) {code, who, text},
#include "secretstore/codes.def"
#undef KS_SECRETSTORE_CODE
};

static const char *const kinds[] = {
#define X(name, text) text,
	KS_SECRETSTORES(X)
#undef X
};

const char *ks_secretstore_kind_name(enum ks_secretstore_kind kind)
{
	return kinds[kind];
}

const char *ks_secretstore_code_name(enum ks_secretstore_code code)
{
	return codes[code].code;
}

const char *ks_secretstore_code_who(enum ks_secretstore_code code)
{
	return codes[code].who;
}

const char *ks_secretstore_code_text(enum ks_secretstore_code code)
{
	return codes[code].text;
}

/* A document's value without what stands around it. */
static struct ks_str value_of(struct ks_str json)
{
	struct ks_json_read read = ks_json_read_of(json);

	return ks_json_read_raw(&read);
}

/* ---- one reference ---- */

#define KS_SECRETSTORE_ANY KS_SECRETSTORE_KIND_COUNT

struct member {
	enum ks_secretstore_kind kind;  /* KS_SECRETSTORE_ANY: of all */
	struct ks_str name;
	size_t offset;                  /* in the struct */
	bool needed;
	bool (*check)(struct ks_str value);
	const char *text;
};

static const struct member members[] = {
#define KS_SECRETSTORE_MEMBER(kind, name, field, needed, check, text)                                        \
	{KS_SECRETSTORE_##kind, {name, sizeof(name) - 1}, offsetof(struct ks_secretstore_reference, field),  \
	 needed, ks_secretstore_##check, text},
#include "secretstore/members.def"
#undef KS_SECRETSTORE_MEMBER
};

static struct ks_str *field_of(struct ks_secretstore_reference *r, const struct member *member)
{
	return (struct ks_str *)(void *)&((char *)r)[member->offset];
}

static const struct member *find_member(enum ks_secretstore_kind kind, struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		if ((members[i].kind == KS_SECRETSTORE_ANY || members[i].kind == kind) && ks_str_eq(members[i].name, name))
			return &members[i];
	}
	return NULL;
}

/* The name of a member that we do not know may be anything: only a plain one is told. */
static enum ks_err wrong(struct ks_secretstore_detail *detail, struct ks_str name, const char *text)
{
	struct ks_buf pointer = KS_BUF(detail->pointer), why = KS_BUF(detail->text);
	bool plain = name.n > 0 && name.n < sizeof(detail->pointer) - 2 && ks_secretstore_is_name(name);

	if (plain) {
		ks_buf_put_byte(&pointer, '/');
		ks_buf_put(&pointer, name);
	}
	(void)ks_buf_z(&pointer);
	ks_buf_put_c(&why, text);
	(void)ks_buf_z(&why);
	return KS_MALFORMED;
}

/* Text, or for `version` a whole number, as it stands. */
static bool text_of(struct ks_str name, struct ks_str value, struct ks_buf *room, struct ks_str *ret_text)
{
	if (ks_json_kind(value) == '0' && ks_str_eq(name, KS_STR("version"))) {
		*ret_text = value;
		return true;
	}
	return ks_json_string(value, room, ret_text);
}

static enum ks_err kind_of(struct ks_str json, enum ks_secretstore_kind *ret_kind, struct ks_secretstore_detail *detail)
{
	struct ks_str value;

	if (!ks_json_member(json, KS_STR("store"), &value))
		return wrong(detail, KS_STR("store"), "is needed: aws, gcp, vault or azure");
	for (size_t i = 0; i < KS_ARRAY_LEN(kinds); i++) {
		if (ks_json_string_is(value, ks_str_c(kinds[i]))) {
			*ret_kind = (enum ks_secretstore_kind)i;
			return KS_OK;
		}
	}
	return wrong(detail, KS_STR("store"), "must be aws, gcp, vault or azure");
}

static enum ks_err take_member(struct ks_secretstore_reference *r, struct ks_str name, struct ks_str value, struct ks_buf *room,
			       struct ks_secretstore_detail *detail)
{
	const struct member *member = find_member(r->kind, name);
	struct ks_str text;

	if (ks_str_eq(name, KS_STR("store")))
		return KS_OK;
	if (!member)
		return wrong(detail, name, "is no member of a reference to this store");
	if (!text_of(name, value, room, &text) || !member->check(text))
		return wrong(detail, name, member->text);
	*field_of(r, member) = text;
	return KS_OK;
}

static enum ks_err take_members(struct ks_secretstore_reference *r, struct ks_str json, struct ks_secretstore_detail *detail)
{
	struct ks_json_read read = ks_json_read_of(json);
	struct ks_buf room = KS_BUF(r->room);
	bool first = true;

	ks_json_read_open(&read, '{');
	while (ks_json_read_more(&read, &first, '}')) {
		struct ks_str name = ks_json_text_decode(ks_json_read_name(&read), &room);
		struct ks_str value = ks_json_read_raw(&read);

		KS_TRY(take_member(r, name, value, &room, detail));
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		const struct member *m = &members[i];

		if (m->needed && m->kind == r->kind && !field_of(r, m)->n)
			return wrong(detail, m->name, "is needed");
	}
	return KS_OK;
}

/* What holds between members. */
static enum ks_err together(struct ks_secretstore_reference *r, struct ks_secretstore_detail *detail)
{
	struct ks_str told = ks_str_starts(r->secret, KS_STR("arn:")) ? ks_secretstore_part(r->secret, ':', 3) : KS_STR("");

	if (r->kind != KS_SECRETSTORE_AWS)
		return KS_OK;
	if (r->region.n && told.n && !ks_str_eq(r->region, told))
		return wrong(detail, KS_STR("region"), "is another than the ARN's");
	if (!r->region.n)
		r->region = told;
	if (!r->region.n)
		return wrong(detail, KS_STR("region"), "is needed where `secret` is a name");
	if (r->external_id.n && !r->role.n)
		return wrong(detail, KS_STR("external_id"), "goes with a role");
	if (r->version.n && r->stage.n)
		return wrong(detail, KS_STR("stage"), "may not stand beside `version`");
	return KS_OK;
}

static void set_defaults(struct ks_secretstore_reference *r)
{
	if (!r->identity.n)
		r->identity = ks_str_c(kinds[r->kind]);
	if (r->kind == KS_SECRETSTORE_GCP && !r->version.n)
		r->version = KS_STR("latest");
	if (r->kind == KS_SECRETSTORE_VAULT && !r->mount.n)
		r->mount = KS_STR("secret");
}

static void clear(struct ks_secretstore_reference *r)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++)
		*field_of(r, &members[i]) = KS_STR("");
}

enum ks_err ks_secretstore_parse(struct ks_str json, struct ks_secretstore_reference *ret_reference,
				 struct ks_secretstore_detail *ret_detail)
{
	struct ks_secretstore_reference *r = ret_reference;

	*ret_detail = (struct ks_secretstore_detail){"", ""};
	if (json.n > KS_SECRETSTORE_REFERENCE_MAX) {
		(void)wrong(ret_detail, KS_STR(""), "is longer than 4096 bytes");
		return KS_TOO_LARGE;
	}
	if (!ks_json_check(json) || ks_json_kind(value_of(json)) != '{')
		return wrong(ret_detail, KS_STR(""), "must be one JSON object without doubled members");
	clear(r);
	KS_TRY(kind_of(json, &r->kind, ret_detail));
	KS_TRY(take_members(r, json, ret_detail));
	KS_TRY(together(r, ret_detail));
	set_defaults(r);
	return KS_OK;
}

enum ks_err ks_secretstore_check(struct ks_str json, struct ks_secretstore_detail *ret_detail)
{
	struct ks_secretstore_reference reference;

	return ks_secretstore_parse(json, &reference, ret_detail);
}

/* ---- what of a value is meant ---- */

/* One part of a JSON pointer, with ~1 and ~0 undone (RFC 6901, 4). False: another ~. */
static bool unescape(struct ks_str part, struct ks_buf *to)
{
	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i];

		if (c == '~') {
			i++;
			if (i == part.n || (part.p[i] != '0' && part.p[i] != '1'))
				return false;
			c = part.p[i] == '0' ? '~' : '/';
		}
		ks_buf_put_byte(to, c);
	}
	return ks_buf_ok(to);
}

/* Element number `name` of an array: digits without leading zero. */
static bool element(struct ks_str array, struct ks_str name, struct ks_str *ret_value)
{
	struct ks_json_read read = ks_json_read_of(array);
	bool first = true;
	uint64_t index;

	if (!ks_str_to_u64(name, 100000, &index) || (name.n > 1 && name.p[0] == '0'))
		return false;
	ks_json_read_open(&read, '[');
	while (ks_json_read_more(&read, &first, ']')) {
		struct ks_str value = ks_json_read_raw(&read);

		if (index-- == 0 && !ks_json_read_failed(&read)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static bool step(struct ks_str name, struct ks_str *value)
{
	struct ks_str next = {0};
	bool found = ks_json_kind(*value) == '[' ? element(*value, name, &next) : ks_json_member(*value, name, &next);

	if (found)
		*value = next;
	return found;
}

static bool walk(struct ks_str pointer, struct ks_str *value)
{
	struct ks_str rest = pointer, head, part;
	bool more = ks_str_split(rest, '/', &head, &rest);

	while (more) {
		char text[256];
		struct ks_buf name = KS_BUF(text);

		part = rest;
		more = ks_str_split(part, '/', &part, &rest);
		if (!unescape(part, &name) || !step(ks_buf_str(&name), value))
			return false;
	}
	return true;
}

static enum ks_secretstore_code put_text(struct ks_str value, struct ks_buf *to)
{
	char kind = ks_json_kind(value);
	struct ks_str text = value;
	size_t before = to->n;

	if (kind == '{' || kind == '[' || kind == 'n')
		return KS_SECRETSTORE_MEMBER_NOT_TEXT;
	if (kind == '"' && !ks_json_string(value, to, &text))
		return KS_SECRETSTORE_TOO_LARGE;
	if (to->n == before) /* else it had escapes and is there already */
		ks_buf_put(to, text);
	if (!ks_buf_ok(to))
		return KS_SECRETSTORE_TOO_LARGE;
	return to->n > before ? KS_SECRETSTORE_OK : KS_SECRETSTORE_VALUE_EMPTY;
}

enum ks_secretstore_code ks_secretstore_select(struct ks_str value, struct ks_str member, struct ks_buf *to)
{
	struct ks_str at;

	if (!value.n)
		return KS_SECRETSTORE_VALUE_EMPTY;
	if (!member.n) {
		ks_buf_put(to, value);
		return ks_buf_ok(to) ? KS_SECRETSTORE_OK : KS_SECRETSTORE_TOO_LARGE;
	}
	if (!ks_json_check(value))
		return KS_SECRETSTORE_VALUE_NOT_JSON;
	at = value_of(value);
	if (ks_json_kind(at) != '{' && ks_json_kind(at) != '[')
		return KS_SECRETSTORE_VALUE_NOT_JSON;
	if (member.p[0] == '/' ? !walk(member, &at) : ks_json_kind(at) != '{' || !ks_json_member(at, member, &at))
		return KS_SECRETSTORE_MEMBER_MISSING;
	return put_text(at, to);
}
