/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the JSON of a form by tables: each object has its members, each member its reader. */
#include <stdarg.h>
#include <stdio.h>

#include "hooksig/hooksig_priv.h"

#define SECONDS_MAX ((uint64_t)315360000)

KS_PRINTF(3, 0) static bool tell(struct hs_compile *c, enum ks_hooksig_where where, const char *fmt, va_list args)
{
	struct ks_hooksig_problem *problem = c->problem;
	char text[sizeof(problem->text)];

	if (c->failed)
		return false;
	c->failed = true;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	memcpy(problem->text, text, sizeof(text));
	problem->where = where;
	memcpy(problem->pointer, c->pointer.p, c->pointer.n);
	problem->pointer[c->pointer.n] = '\0';
	return false;
}

bool hs_refuse(struct hs_compile *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)tell(c, c->in_settings ? KS_HOOKSIG_IN_SETTINGS : KS_HOOKSIG_IN_FORM, fmt, args);
	va_end(args);
	return false;
}

bool hs_refuse_key(struct hs_compile *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)tell(c, KS_HOOKSIG_IN_KEYS, fmt, args);
	va_end(args);
	return false;
}

bool hs_no_memory(struct hs_compile *c)
{
	(void)hs_refuse(c, "out of memory");
	c->problem->where = KS_HOOKSIG_OURSELVES;
	return false;
}

/* ---- where we are ---- */

/* Adds a step to the pointer, cut where it becomes too long; returns what to give to leave(). */
static size_t enter(struct hs_compile *c, struct ks_str step)
{
	size_t before = c->pointer.n;

	if (before + 1 + step.n < c->pointer.cap) {
		ks_buf_put_byte(&c->pointer, '/');
		ks_buf_put(&c->pointer, step);
	}
	return before;
}

static void leave(struct hs_compile *c, size_t before)
{
	c->pointer.n = before;
}

/* ---- objects and arrays ---- */

bool hs_in_setting_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* "$name" whole stands for a setting. */
static bool is_setting(struct ks_str value, struct ks_str *ret_name)
{
	if (value.n < 4 || !ks_str_starts(value, KS_STR("\"$")))
		return false;
	*ret_name = ks_str_sub(value, 2, value.n - 3);
	for (size_t i = 0; i < ret_name->n; i++)
		if (!hs_in_setting_name(ret_name->p[i]))
			return false;
	return true;
}

/* Reads `value`, or what the setting is that it names. *ret_left_out: that has no value. */
static bool read_value(struct hs_compile *c, struct ks_str value, hs_reader *read, void *to, bool *ret_left_out)
{
	struct ks_buf pointer = c->pointer;
	struct ks_str name;
	char room[sizeof(c->pointer_room)];
	bool ok;

	*ret_left_out = false;
	if (!is_setting(value, &name))
		return read(c, value, to);
	memcpy(room, c->pointer_room, sizeof(room));
	c->pointer.n = 0;
	(void)enter(c, name);
	c->in_settings = true;
	ok = hs_setting(c, name, &value);
	*ret_left_out = ok && value.n == 0;
	if (ok && !*ret_left_out)
		ok = read(c, value, to);
	c->in_settings = false;
	memcpy(c->pointer_room, room, sizeof(room));
	c->pointer = pointer;
	return ok;
}

static const struct hs_member *find_member(const struct hs_member *members, size_t n, struct ks_str name)
{
	for (size_t i = 0; i < n; i++)
		if (ks_str_eq(name, ks_str_c(members[i].name)))
			return &members[i];
	return NULL;
}

bool hs_each_member(struct hs_compile *c, struct ks_str object,
		    bool (*each)(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to), void *to)
{
	struct ks_json_read r = ks_json_read_of(object);
	bool first = true;

	if (ks_json_kind(object) != '{')
		return hs_refuse(c, "an object is wanted here");
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		struct ks_json_text name = ks_json_read_name(&r);
		struct ks_str value = ks_json_read_raw(&r);
		size_t before = enter(c, name.raw);
		bool ok = !ks_json_read_failed(&r) && each(c, name.raw, value, to);

		leave(c, before);
		if (!ok)
			return hs_refuse(c, "cannot be read");
	}
	return true;
}

bool hs_each_element(struct hs_compile *c, struct ks_str array, hs_reader *each, void *to)
{
	struct ks_json_read r = ks_json_read_of(array);
	bool first = true;

	if (ks_json_kind(array) != '[')
		return hs_refuse(c, "an array is wanted here");
	ks_json_read_open(&r, '[');
	for (unsigned i = 0; ks_json_read_more(&r, &first, ']'); i++) {
		char digits[8];
		struct ks_buf step = KS_BUF(digits);
		struct ks_str value = ks_json_read_raw(&r);
		size_t before;
		bool ok;

		ks_buf_put_u64(&step, i);
		before = enter(c, ks_buf_str(&step));
		if (i == HS_LIST_MAX)
			return hs_refuse(c, "more than %d entries", HS_LIST_MAX);
		ok = !ks_json_read_failed(&r) && each(c, value, to);
		leave(c, before);
		if (!ok)
			return hs_refuse(c, "cannot be read");
	}
	return true;
}

struct object {
	const struct hs_member *members;
	size_t n;
};

static bool check_name(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	const struct object *object = to;

	(void)value;
	return find_member(object->members, object->n, name) ||
	       hs_refuse(c, "no such member here: %.*s", (int)KS_MIN(name.n, 40), name.p);
}

/* In the order of the table, in which later members may look at what earlier ones became. */
bool hs_read_object(struct hs_compile *c, struct ks_str value, const struct hs_member *members, size_t n, void *to)
{
	struct object object = {members, n};

	if (!hs_each_member(c, value, check_name, &object))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct ks_str name = ks_str_c(members[i].name), member;
		bool left_out = !ks_json_member(value, name, &member);

		if (!left_out) {
			size_t before = enter(c, name);

			if (!read_value(c, member, members[i].read, (char *)to + members[i].at, &left_out))
				return false;
			leave(c, before);
		}
		if (left_out && members[i].needed)
			return hs_refuse(c, "%s is missing", members[i].name);
	}
	return true;
}

/* ---- plain values ---- */

/* The name of the setting that "$name" or "${name}" at `at` means; returns where the text goes on. "$$": none. */
static size_t setting_at(struct ks_str text, size_t at, struct ks_str *ret_name)
{
	bool braces = at + 1 < text.n && text.p[at + 1] == '{';
	size_t from = at + 1 + braces, end = from;

	*ret_name = KS_STR("");
	if (from < text.n && text.p[from] == '$')
		return from + 1;
	while (end < text.n && hs_in_setting_name(text.p[end]))
		end++;
	*ret_name = ks_str_sub(text, from, end - from);
	return end + (braces && end < text.n && text.p[end] == '}');
}

static bool put_setting(struct hs_compile *c, struct ks_str name, struct ks_buf *to, bool *ret_void)
{
	char room[4096];
	struct ks_buf decoded = KS_BUF(room);
	struct ks_str value, text;

	if (!hs_setting(c, name, &value))
		return false;
	if (value.n == 0) {
		*ret_void = true;
		return true;
	}
	if (!ks_json_string(value, &decoded, &text))
		return hs_refuse(c, "only a setting that is a text can stand within another");
	ks_buf_put(to, text);
	return true;
}

/* Writes `text` with the settings in it put in; *ret_void: one of them has no value. */
static bool interpolate(struct hs_compile *c, struct ks_str text, struct ks_buf *to, bool *ret_void)
{
	*ret_void = false;
	for (size_t i = 0; i < text.n;) {
		struct ks_str name;

		if (text.p[i] != '$') {
			ks_buf_put_byte(to, text.p[i++]);
			continue;
		}
		i = setting_at(text, i, &name);
		if (name.n == 0)
			ks_buf_put_byte(to, '$');
		else if (!put_setting(c, name, to, ret_void))
			return false;
	}
	return true;
}

bool hs_read_text(struct hs_compile *c, struct ks_str value, void *to)
{
	char decoded_room[4096], room[4096];
	struct ks_buf decoded = KS_BUF(decoded_room), whole = KS_BUF(room);
	struct ks_str text;
	bool voided = false;

	if (!ks_json_string(value, &decoded, &text))
		return hs_refuse(c, "a text is wanted here");
	/* What a tenant sets is taken as it is. */
	if (c->in_settings)
		ks_buf_put(&whole, text);
	else if (!interpolate(c, text, &whole, &voided))
		return false;
	if (!ks_buf_ok(&whole))
		return hs_refuse(c, "longer than 4096 bytes");
	if (!hs_arena_copy(c->arena, voided ? KS_STR("") : ks_buf_str(&whole), to))
		return hs_no_memory(c);
	return true;
}

static bool add_text(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_list *list = to;

	if (!hs_read_text(c, value, &list->v[list->n]))
		return false;
	list->n++;
	return true;
}

bool hs_read_texts(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_list *list = to;

	list->n = 0;
	list->v = hs_arena_take(c->arena, HS_LIST_MAX * sizeof(*list->v));
	if (!list->v)
		return hs_no_memory(c);
	return ks_json_kind(value) == '"' ? add_text(c, value, list) : hs_each_element(c, value, add_text, list);
}

bool hs_read_raw(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_arena_copy(c->arena, value, to) || hs_no_memory(c);
}

bool hs_read_flag(struct hs_compile *c, struct ks_str value, void *to)
{
	if (!ks_str_eq(value, KS_STR("true")) && !ks_str_eq(value, KS_STR("false")))
		return hs_refuse(c, "true or false is wanted here");
	*(bool *)to = value.p[0] == 't';
	return true;
}

bool hs_read_char(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	if (text.n != 1)
		return hs_refuse(c, "one character is wanted here");
	*(char *)to = text.p[0];
	return true;
}

bool hs_read_count(struct hs_compile *c, struct ks_str value, void *to)
{
	uint64_t n;

	if (!ks_str_to_u64(value, 1000, &n))
		return hs_refuse(c, "a number from 0 to 1000 is wanted here");
	*(unsigned *)to = (unsigned)n;
	return true;
}

bool hs_read_seconds(struct hs_compile *c, struct ks_str value, void *to)
{
	uint64_t n;

	if (!ks_str_to_u64(value, SECONDS_MAX, &n))
		return hs_refuse(c, "whole seconds are wanted here, at most ten years");
	*(int64_t *)to = (int64_t)n * 1000;
	return true;
}

bool hs_read_hasher(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	if (!ks_hasher_parse(text, to))
		return hs_refuse(c, "md5, sha1, sha256, sha384 or sha512 is wanted here");
	return true;
}
