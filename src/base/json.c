/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

/* The names of the members that were seen of each object that is open, the outermost first. */
struct names {
	struct ks_str name[KS_JSON_MEMBERS_MAX];
	size_t n;
	struct ks_buf escaped;
};

/* Where an object that is open begins in `names`. */
struct open {
	char closing;
	bool first;
	size_t names;
	size_t escaped;
};

/* Adds the name of a member to those of the object that begins at `from`; false: it is there, or there is no room. */
static bool add_name(struct names *names, size_t from, struct ks_json_text text)
{
	struct ks_str name = ks_json_text_decode(text, &names->escaped);

	if (!ks_buf_ok(&names->escaped) || names->n == KS_JSON_MEMBERS_MAX)
		return false;
	for (size_t i = from; i < names->n; i++)
		if (ks_str_eq(names->name[i], name))
			return false;
	names->name[names->n++] = name;
	return true;
}

/* Takes one value whole. */
static bool take_value(struct ks_json_read *r, struct names *names)
{
	struct open open[KS_JSON_DEPTH_MAX];
	unsigned depth = 0;

	do {
		struct open *top = depth > 0 ? &open[depth - 1] : NULL;
		char c;

		if (top && !ks_json_read_more(r, &top->first, top->closing)) {
			names->n = top->names;
			names->escaped.n = top->escaped;
			depth--;
			continue;
		}
		if (top && top->closing == '}' && !add_name(names, top->names, ks_json_read_name(r)))
			return false;
		c = ks_json_read_peek(r);
		if (c != '{' && c != '[') {
			(void)ks_json_read_raw(r);
			continue;
		}
		if (depth == KS_JSON_DEPTH_MAX)
			return false;
		ks_json_read_open(r, c);
		open[depth++] = (struct open){c == '{' ? '}' : ']', true, names->n, names->escaped.n};
	} while (depth > 0 && !ks_json_read_failed(r));
	return !ks_json_read_failed(r);
}

bool ks_json_check(struct ks_str text)
{
	struct ks_json_read r = ks_json_read_of(text);
	char escaped[KS_JSON_ESCAPED_MAX];
	struct names names;

	names.n = 0;
	names.escaped = KS_BUF(escaped);
	return ks_str_is_utf8(text) && take_value(&r, &names) && ks_json_read_done(&r);
}

char ks_json_kind(struct ks_str value)
{
	char c = value.n > 0 ? value.p[0] : '\0';

	return c == '-' || (c >= '0' && c <= '9') ? '0' : c;
}

static bool name_is(struct ks_json_text text, struct ks_str name)
{
	char escaped[KS_JSON_ESCAPED_MAX];
	struct ks_buf to = KS_BUF(escaped);

	if (!text.escaped)
		return ks_str_eq(text.raw, name);
	return ks_str_eq(ks_json_text_decode(text, &to), name) && ks_buf_ok(&to);
}

bool ks_json_member(struct ks_str object, struct ks_str name, struct ks_str *ret_value)
{
	struct ks_json_read r = ks_json_read_of(object);
	bool first = true;

	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		bool found = name_is(ks_json_read_name(&r), name);
		struct ks_str value = ks_json_read_raw(&r);

		if (found && !ks_json_read_failed(&r)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

bool ks_json_string(struct ks_str value, struct ks_buf *to, struct ks_str *ret_text)
{
	struct ks_json_read r = ks_json_read_of(value);
	struct ks_json_text text = ks_json_read_string(&r);
	struct ks_str decoded;

	if (!ks_json_read_done(&r))
		return false;
	decoded = ks_json_text_decode(text, to);
	if (text.escaped && !ks_buf_ok(to))
		return false;
	*ret_text = decoded;
	return true;
}

bool ks_json_string_is(struct ks_str value, struct ks_str text)
{
	struct ks_json_read r = ks_json_read_of(value);
	struct ks_json_text found = ks_json_read_string(&r);

	return ks_json_read_done(&r) && name_is(found, text);
}
