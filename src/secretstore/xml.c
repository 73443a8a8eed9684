/* SPDX-License-Identifier: Apache-2.0 */
#include "secretstore/xml.h"

enum piece { PIECE_OPEN, PIECE_CLOSE, PIECE_EMPTY, PIECE_TEXT, PIECE_END, PIECE_BAD };

struct reader {
	struct ks_str text;
	size_t at;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static char peek(const struct reader *r)
{
	return r->at < r->text.n ? r->text.p[r->at] : '\0';
}

static void skip_blanks(struct reader *r)
{
	while (is_blank(peek(r)))
		r->at++;
}

/* A name without its prefix; empty: none. */
static struct ks_str take_name(struct reader *r)
{
	size_t from = r->at;

	while (is_name_byte(peek(r)) || peek(r) == ':') {
		if (peek(r) == ':')
			from = r->at + 1;
		r->at++;
	}
	return ks_str_sub(r->text, from, r->at - from);
}

/* What stands between the name and the end of a tag: attributes, which are passed over. */
static bool skip_attributes(struct reader *r)
{
	for (;;) {
		char quote;

		skip_blanks(r);
		if (peek(r) == '>' || peek(r) == '/')
			return true;
		if (!take_name(r).n)
			return false;
		skip_blanks(r);
		if (peek(r) != '=')
			return false;
		r->at++;
		skip_blanks(r);
		quote = peek(r);
		if (quote != '"' && quote != '\'')
			return false;
		r->at++;
		while (r->at < r->text.n && peek(r) != quote && peek(r) != '<')
			r->at++;
		if (peek(r) != quote)
			return false;
		r->at++;
	}
}

/* The tag at '<'. */
static enum piece take_tag(struct reader *r, struct ks_str *ret_name)
{
	bool closing;

	r->at++;
	closing = peek(r) == '/';
	if (closing)
		r->at++;
	*ret_name = take_name(r);
	if (!ret_name->n)
		return PIECE_BAD;
	if (closing)
		skip_blanks(r);
	else if (!skip_attributes(r))
		return PIECE_BAD;
	if (!closing && peek(r) == '/') {
		r->at++;
		if (peek(r) != '>')
			return PIECE_BAD;
		r->at++;
		return PIECE_EMPTY;
	}
	if (peek(r) != '>')
		return PIECE_BAD;
	r->at++;
	return closing ? PIECE_CLOSE : PIECE_OPEN;
}

static enum piece next(struct reader *r, struct ks_str *ret_text)
{
	size_t from = r->at;

	if (r->at >= r->text.n)
		return PIECE_END;
	if (peek(r) == '<')
		return take_tag(r, ret_text);
	while (r->at < r->text.n && peek(r) != '<')
		r->at++;
	*ret_text = ks_str_sub(r->text, from, r->at - from);
	return PIECE_TEXT;
}

static void skip_declaration(struct reader *r)
{
	struct ks_str rest;

	skip_blanks(r);
	rest = ks_str_sub(r->text, r->at, r->text.n);
	if (!ks_str_starts(rest, KS_STR("<?xml ")))
		return;
	while (r->at < r->text.n && peek(r) != '>')
		r->at++;
	if (peek(r) == '>')
		r->at++;
	skip_blanks(r);
}

/* ---- text ---- */

static const struct entity {
	const char *name;
	char value;
} entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

/* &#…; and &#x…; of ASCII, which is all that such answers write so. */
static bool numeric(struct ks_str name, char *ret_value)
{
	unsigned base = 10, value = 0;
	size_t i = 1;

	if (name.n > 1 && name.p[1] == 'x') {
		base = 16;
		i = 2;
	}
	if (i >= name.n || name.n > 6)
		return false;
	for (; i < name.n; i++) {
		char c = name.p[i];
		unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
				 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
							: 99;

		if (digit >= base)
			return false;
		value = value * base + digit;
	}
	*ret_value = (char)value;
	return value > 0 && value < 0x80;
}

static bool entity(struct ks_str name, char *ret_value)
{
	if (name.n > 1 && name.p[0] == '#')
		return numeric(name, ret_value);
	for (size_t i = 0; i < KS_ARRAY_LEN(entities); i++) {
		if (ks_str_eq(name, ks_str_c(entities[i].name))) {
			*ret_value = entities[i].value;
			return true;
		}
	}
	return false;
}

/* `to` NULL: only whether it is well formed. */
static bool put_text(struct ks_str text, struct ks_buf *to)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '&') {
			size_t end = ks_str_find(ks_str_sub(text, i, 10), ';');

			if (end == SIZE_MAX || !entity(ks_str_sub(text, i + 1, end - 1), &c))
				return false;
			i += end;
		}
		if (to)
			ks_buf_put_byte(to, c);
	}
	return !to || ks_buf_ok(to);
}

static bool only_blanks(struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!is_blank(text.p[i]))
			return false;
	}
	return true;
}

bool ks_xml_check(struct ks_str text)
{
	struct reader r = {text, 0};
	struct ks_str open[KS_XML_DEPTH], piece = {0};
	size_t depth = 0;
	bool begun = false;

	if (!ks_str_is_utf8(text))
		return false;
	skip_declaration(&r);
	for (;;) {
		enum piece kind = next(&r, &piece);

		if (kind == PIECE_END)
			return begun && depth == 0;
		if (kind == PIECE_BAD)
			return false;
		if (kind == PIECE_TEXT) {
			if (depth == 0 ? !only_blanks(piece) : !put_text(piece, NULL))
				return false;
			continue;
		}
		if (kind == PIECE_CLOSE) {
			if (depth == 0 || !ks_str_eq(open[--depth], piece))
				return false;
			continue;
		}
		if ((depth == 0 && begun) || depth == KS_XML_DEPTH)
			return false;
		begun = true;
		if (kind == PIECE_OPEN)
			open[depth++] = piece;
	}
}

/* ---- one element ---- */

static bool is_named(struct ks_str name, const char *wanted)
{
	return wanted && (ks_str_eq(ks_str_c(wanted), KS_STR("*")) || ks_str_eq(name, ks_str_c(wanted)));
}

/* What stands from here to the end of the element: text alone. */
static bool take_content(struct reader *r, struct ks_buf *to)
{
	struct ks_str piece = {0};
	size_t before = to->n;
	enum piece kind = next(r, &piece);

	if (kind == PIECE_CLOSE)
		return true;
	if (kind == PIECE_TEXT && put_text(piece, to) && next(r, &piece) == PIECE_CLOSE)
		return true;
	to->n = before;
	return false;
}

bool ks_xml_text(struct ks_str text, const char *const path[], struct ks_buf *to)
{
	struct reader r = {text, 0};
	struct ks_str piece = {0};
	size_t depth = 0, matched = 0; /* open elements; how many of them, from the first on, are the path's */

	skip_declaration(&r);
	for (;;) {
		enum piece kind = next(&r, &piece);

		if (kind == PIECE_END || kind == PIECE_BAD)
			return false;
		if (kind == PIECE_CLOSE) {
			depth--;
			matched = KS_MIN(matched, depth);
		}
		if (kind == PIECE_OPEN) {
			if (matched == depth && matched < KS_XML_PATH_MAX && is_named(piece, path[matched])) {
				matched++;
				if (matched == KS_XML_PATH_MAX || !path[matched])
					return take_content(&r, to);
			}
			depth++;
		}
	}
}
