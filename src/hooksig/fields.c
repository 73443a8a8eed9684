/* SPDX-License-Identifier: Apache-2.0 */
#include "hooksig/fields.h"

static bool in_key(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '*';
}

static bool in_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c > 0 && c < 0x80 && strchr("!#$%&'*+-.^_`|~:/", c));
}

static bool in_number(unsigned char c)
{
	return (c >= '0' && c <= '9') || c == '.' || c == '-';
}

static bool in_base64(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=';
}

static bool in_string(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static bool is_space(unsigned char c)
{
	return c == ' ';
}

static struct ks_str take_key(struct ks_cursor *c)
{
	int first = ks_cursor_peek(c);

	if ((first < 'a' || first > 'z') && first != '*')
		c->failed = true;
	return ks_cursor_run(c, in_key, 1, SIZE_MAX);
}

void hs_string_take(struct ks_cursor *c, struct ks_str *ret_text)
{
	ks_cursor_literal(c, KS_STR("\""));
	*ret_text = ks_cursor_run(c, in_string, 0, SIZE_MAX);
	ks_cursor_literal(c, KS_STR("\""));
}

static void skip_string(struct ks_cursor *c)
{
	ks_cursor_literal(c, KS_STR("\""));
	for (;;) {
		int next;

		(void)ks_cursor_run(c, in_string, 0, SIZE_MAX);
		next = ks_cursor_byte(c);
		if (next != '\\') {
			c->failed |= next != '"';
			return;
		}
		next = ks_cursor_byte(c);
		c->failed |= next != '"' && next != '\\';
	}
}

static void skip_bare_item(struct ks_cursor *c)
{
	int first = ks_cursor_peek(c);

	if (first == '"') {
		skip_string(c);
	} else if (first == ':') {
		ks_cursor_literal(c, KS_STR(":"));
		(void)ks_cursor_run(c, in_base64, 0, SIZE_MAX);
		ks_cursor_literal(c, KS_STR(":"));
	} else if (first == '?') {
		ks_cursor_literal(c, KS_STR("?"));
		first = ks_cursor_byte(c);
		c->failed |= first != '0' && first != '1';
	} else if ((first >= '0' && first <= '9') || first == '-') {
		(void)ks_cursor_run(c, in_number, 1, 16);
	} else {
		c->failed |= !((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '*');
		(void)ks_cursor_run(c, in_token, 1, SIZE_MAX);
	}
}

/* What was taken since `from`. */
static struct ks_str since(const struct ks_cursor *c, const char *from)
{
	return ks_str_of(from, (size_t)(c->p - from));
}

bool hs_parameter_next(struct ks_cursor *c, struct hs_parameter *ret_parameter)
{
	const char *from;

	if (c->failed || ks_cursor_peek(c) != ';')
		return false;
	ks_cursor_literal(c, KS_STR(";"));
	(void)ks_cursor_run(c, is_space, 0, SIZE_MAX);
	ret_parameter->key = take_key(c);
	ret_parameter->bare = ks_cursor_peek(c) != '=';
	ret_parameter->value = KS_STR("");
	if (!ret_parameter->bare) {
		ks_cursor_literal(c, KS_STR("="));
		from = c->p;
		skip_bare_item(c);
		ret_parameter->value = since(c, from);
	}
	return !c->failed;
}

static void skip_parameters(struct ks_cursor *c)
{
	struct hs_parameter parameter;

	while (hs_parameter_next(c, &parameter))
		;
}

static void skip_inner_list(struct ks_cursor *c)
{
	ks_cursor_literal(c, KS_STR("("));
	for (;;) {
		(void)ks_cursor_run(c, is_space, 0, SIZE_MAX);
		if (c->failed || ks_cursor_peek(c) == ')')
			break;
		skip_bare_item(c);
		skip_parameters(c);
		c->failed |= ks_cursor_peek(c) != ' ' && ks_cursor_peek(c) != ')';
	}
	ks_cursor_literal(c, KS_STR(")"));
}

bool hs_dictionary_next(struct ks_cursor *c, bool *first, struct hs_member_text *ret_member)
{
	const char *from;

	ks_cursor_skip_blanks(c);
	if (c->failed || (*first && ks_cursor_left(c) == 0))
		return false;
	if (!*first) {
		if (ks_cursor_left(c) == 0)
			return false;
		ks_cursor_literal(c, KS_STR(","));
		ks_cursor_skip_blanks(c);
	}
	*first = false;
	ret_member->key = take_key(c);
	ret_member->bare = ks_cursor_peek(c) != '=';
	if (!ret_member->bare)
		ks_cursor_literal(c, KS_STR("="));
	from = c->p;
	if (!ret_member->bare && ks_cursor_peek(c) == '(')
		skip_inner_list(c);
	else if (!ret_member->bare)
		skip_bare_item(c);
	skip_parameters(c);
	ret_member->value = since(c, from);
	return !c->failed;
}

bool hs_dictionary_find(struct ks_str text, struct ks_str key, struct hs_member_text *ret_member)
{
	struct ks_cursor c = ks_cursor_of(text);
	struct hs_member_text member;
	bool first = true, found = false;

	while (hs_dictionary_next(&c, &first, &member)) {
		if (!ks_str_eq(member.key, key))
			continue;
		if (found)
			return false;
		*ret_member = member;
		found = true;
	}
	return found && ks_cursor_done(&c);
}

bool hs_bytes_of(struct ks_str value, struct ks_str *ret_base64)
{
	if (value.n < 2 || value.p[0] != ':' || value.p[value.n - 1] != ':')
		return false;
	*ret_base64 = ks_str_sub(value, 1, value.n - 2);
	return true;
}
