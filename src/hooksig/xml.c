/* SPDX-License-Identifier: Apache-2.0 */
/* One element of an XML document, for platforms that send SOAP. A small part of XML alone is taken: elements, attributes
 * and text. What could make a reader fetch, expand or overlook anything (document types, entities of one's own, CDATA,
 * comments, processing instructions after the declaration) is refused. */
#include "base/cursor.h"
#include "hooksig/hooksig_priv.h"

#define DEPTH_MAX 32

struct xml {
	struct ks_cursor c;
	struct ks_str open[DEPTH_MAX];
	size_t depth;
	struct ks_str wanted, value;
	unsigned found;
};

static bool in_name(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
	       c == '.' || c == ':' || c >= 0x80;
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool in_text(unsigned char c)
{
	return c != '<';
}

static bool in_declaration(unsigned char c)
{
	return c != '?' && c != '<' && c != '>';
}

static bool not_quote(unsigned char c)
{
	return c != '"' && c != '<';
}

static bool not_apostrophe(unsigned char c)
{
	return c != '\'' && c != '<';
}

static void skip_blanks(struct xml *x)
{
	(void)ks_cursor_run(&x->c, is_blank, 0, SIZE_MAX);
}

/* Without the prefix of its name space. */
static struct ks_str local_name(struct ks_str name)
{
	size_t colon = ks_str_find(name, ':');

	return colon == SIZE_MAX ? name : ks_str_sub(name, colon + 1, SIZE_MAX);
}

static void take_attributes(struct xml *x)
{
	for (;;) {
		int quote;

		skip_blanks(x);
		if (ks_cursor_peek(&x->c) == '/' || ks_cursor_peek(&x->c) == '>' || ks_cursor_peek(&x->c) < 0)
			return;
		(void)ks_cursor_run(&x->c, in_name, 1, SIZE_MAX);
		skip_blanks(x);
		ks_cursor_literal(&x->c, KS_STR("="));
		skip_blanks(x);
		quote = ks_cursor_byte(&x->c);
		if (quote != '"' && quote != '\'')
			x->c.failed = true;
		(void)ks_cursor_run(&x->c, quote == '"' ? not_quote : not_apostrophe, 0, SIZE_MAX);
		(void)ks_cursor_byte(&x->c);
	}
}

static void take_closing(struct xml *x)
{
	struct ks_str name = ks_cursor_run(&x->c, in_name, 1, SIZE_MAX);

	skip_blanks(x);
	ks_cursor_literal(&x->c, KS_STR(">"));
	if (x->depth == 0 || !ks_str_eq(x->open[x->depth - 1], name))
		x->c.failed = true;
	else
		x->depth--;
}

/* The text of the element that was just opened, up to its end, which must come next. */
static void take_value(struct xml *x)
{
	x->value = ks_cursor_run(&x->c, in_text, 0, SIZE_MAX);
	if (ks_str_find(x->value, '&') != SIZE_MAX)
		x->c.failed = true;
	x->found++;
	ks_cursor_literal(&x->c, KS_STR("</"));
	take_closing(x);
}

static void take_opening(struct xml *x)
{
	struct ks_str name = ks_cursor_run(&x->c, in_name, 1, SIZE_MAX);

	take_attributes(x);
	if (ks_cursor_peek(&x->c) == '/') {
		ks_cursor_literal(&x->c, KS_STR("/>"));
		return;
	}
	ks_cursor_literal(&x->c, KS_STR(">"));
	if (x->depth == DEPTH_MAX) {
		x->c.failed = true;
		return;
	}
	x->open[x->depth++] = name;
	if (ks_str_eq(local_name(name), x->wanted))
		take_value(x);
}

static void take_declaration(struct xml *x)
{
	if (!ks_str_starts(ks_str_of(x->c.p, ks_cursor_left(&x->c)), KS_STR("<?xml ")))
		return;
	ks_cursor_literal(&x->c, KS_STR("<?"));
	(void)ks_cursor_run(&x->c, in_declaration, 0, 128);
	ks_cursor_literal(&x->c, KS_STR("?>"));
}

enum ks_hooksig_code hs_xml_find(struct ks_str text, struct ks_str name, struct ks_str *ret_value)
{
	struct xml x = {.c = ks_cursor_of(text), .wanted = name};

	take_declaration(&x);
	do {
		(void)ks_cursor_run(&x.c, x.depth > 0 ? in_text : is_blank, 0, SIZE_MAX);
		ks_cursor_literal(&x.c, KS_STR("<"));
		if (ks_cursor_peek(&x.c) == '/') {
			(void)ks_cursor_byte(&x.c);
			take_closing(&x);
		} else {
			take_opening(&x);
		}
	} while (!x.c.failed && x.depth > 0);
	skip_blanks(&x);
	if (!ks_cursor_done(&x.c) || !ks_str_is_utf8(text) || x.found > 1)
		return KS_HOOKSIG_MALFORMED;
	if (x.found == 0)
		return KS_HOOKSIG_HEADER_MISSING;
	*ret_value = x.value;
	return KS_HOOKSIG_OK;
}
