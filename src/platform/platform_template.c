/* SPDX-License-Identifier: Apache-2.0 */
/* Texts with fields in them: ${name} stands for the field's value, $$ for a dollar sign. */
#include "platform/platform_priv.h"

#define PARTS_MAX 32
#define TEMPLATE_MAX 4096

struct parts {
	size_t count;
	struct ks_platform_part list[PARTS_MAX];
};

static bool add_part(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, struct parts *parts,
		     struct ks_platform_part part)
{
	if (parts->count == PARTS_MAX) {
		PLATFORM_REPORT(r, node, "%s has more than %d parts", thing, PARTS_MAX);
		return false;
	}
	parts->list[parts->count++] = part;
	return true;
}

static bool add_literal(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, struct parts *parts,
			struct ks_str text)
{
	const char *copy;

	if (text.n == 0)
		return true;
	copy = ks_yaml_arena_copy(r->arena, text);
	r->log->memory |= !copy;
	return copy && add_part(r, node, thing, parts, (struct ks_platform_part){NULL, ks_str_of(copy, text.n)});
}

/* The name behind "${"; moves *at behind its "}". */
static bool add_field(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, struct parts *parts,
		      size_t *at, uint32_t *uses)
{
	struct ks_str name, rest;
	const struct ks_platform_field *field;

	if (!ks_str_split(ks_str_sub(node->text, *at, node->text.n), '}', &name, &rest)) {
		PLATFORM_REPORT(r, node, "%s has a ${ without }", thing);
		return false;
	}
	field = ks_platform_field(r->platform, name);
	if (!field) {
		PLATFORM_REPORT(r, node, "%s names %s, which is no field of this file", thing, KS_YAML_QUOTE(name));
		return false;
	}
	*uses |= (uint32_t)1 << ks_platform_field_at(r->platform, field);
	*at += name.n + 1;
	return add_part(r, node, thing, parts, (struct ks_platform_part){field, {NULL, 0}});
}

static bool read_parts(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, struct parts *parts,
		       uint32_t *uses)
{
	struct ks_str text = node->text;
	size_t from = 0, at = 0;

	while (at < text.n) {
		char next = at + 1 < text.n ? text.p[at + 1] : 0;

		if (text.p[at] != '$') {
			at++;
			continue;
		}
		if (next != '{' && next != '$') {
			PLATFORM_REPORT(r, node, "%s has a $ that is no ${field}: a dollar sign itself is $$", thing);
			return false;
		}
		if (!add_literal(r, node, thing, parts, ks_str_sub(text, from, at - from + (next == '$'))))
			return false;
		at += 2;
		if (next == '{' && !add_field(r, node, thing, parts, &at, uses))
			return false;
		from = at;
	}
	return add_literal(r, node, thing, parts, ks_str_sub(text, from, text.n));
}

/* A URL begins with its scheme and the beginning of a host, or with a field that is a URL; secrets stand in none. */
static bool check_url(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, const struct parts *parts)
{
	const struct ks_platform_part *first = &parts->list[0];

	if (first->field ? first->field->type != KS_PLATFORM_URL : !ks_str_starts(first->text, KS_STR("https://"))) {
		PLATFORM_REPORT(r, node, "%s begins with https://, or with a field of type url", thing);
		return false;
	}
	for (size_t i = 0; i < parts->count; i++) {
		const struct ks_platform_field *field = parts->list[i].field;

		if (field && field->secret) {
			PLATFORM_REPORT(r, node, "%s has the secret %s in it: URLs are logged on their way; use a header, basic or body",
					thing, field->name);
			return false;
		}
		if (field && field->type == KS_PLATFORM_URL && i > 0) {
			PLATFORM_REPORT(r, node, "%s has a field of type url inside: such a field stands at the beginning", thing);
			return false;
		}
	}
	return true;
}

bool ks_platform_template(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing,
			  enum ks_platform_escape escape, struct ks_platform_template *ret_template, uint32_t *uses)
{
	struct parts parts = {0};
	struct ks_platform_part *list;

	if (!ks_platform_text(r, node, thing))
		return false;
	if (node->text.n > TEMPLATE_MAX || node->text.n == 0) {
		PLATFORM_REPORT(r, node, "%s has 1 to %d bytes", thing, TEMPLATE_MAX);
		return false;
	}
	if (!read_parts(r, node, thing, &parts, uses))
		return false;
	if (escape == KS_PLATFORM_IN_URL && !check_url(r, node, thing, &parts))
		return false;
	list = ks_platform_take(r, parts.count, sizeof(*list));
	if (!list)
		return false;
	memcpy(list, parts.list, parts.count * sizeof(*list));
	*ret_template = (struct ks_platform_template){escape, parts.count, list};
	return true;
}

/* ---- rendering ---- */

static bool is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

static void put_percent(struct ks_buf *to, struct ks_str value)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (is_unreserved(c)) {
			ks_buf_put_byte(to, (char)c);
			continue;
		}
		ks_buf_put_byte(to, '%');
		ks_buf_put_byte(to, digits[c >> 4]);
		ks_buf_put_byte(to, digits[c & 15]);
	}
}

/* As ks_buf_put_json, without its quotes: they are taken away again. */
static void put_json(struct ks_buf *to, struct ks_str value)
{
	struct ks_buf part;

	if (!ks_buf_ok(to))
		return;
	part = ks_buf_of(&to->p[to->n], to->cap - to->n);
	ks_buf_put_json(&part, value);
	if (!ks_buf_ok(&part)) {
		to->overflow = true;
		return;
	}
	memmove(part.p, &part.p[1], part.n - 2);
	to->n += part.n - 2;
}

/* A field of type url, at the beginning: its path goes on with what follows. */
static void put_url(struct ks_buf *to, struct ks_str value)
{
	while (value.n > 0 && value.p[value.n - 1] == '/')
		value.n--;
	ks_buf_put(to, value);
}

static bool put_value(const struct ks_platform_template *text, const struct ks_platform_field *field, struct ks_str value,
		      struct ks_buf *to)
{
	switch (text->escape) {
	case KS_PLATFORM_IN_URL:
		if (field->type == KS_PLATFORM_URL)
			put_url(to, value);
		else
			put_percent(to, value);
		return true;
	case KS_PLATFORM_IN_FORM:
		put_percent(to, value);
		return true;
	case KS_PLATFORM_IN_JSON:
		put_json(to, value);
		return true;
	case KS_PLATFORM_AS_IS:
		break;
	}
	ks_buf_put(to, value);
	return !ks_str_has_control(value);
}

enum ks_err ks_platform_render(const struct ks_platform_template *text, ks_platform_lookup *lookup, void *context,
			       struct ks_buf *to, const struct ks_platform_field **ret_missing)
{
	for (size_t i = 0; i < text->part_count; i++) {
		const struct ks_platform_part *part = &text->parts[i];
		struct ks_str value = part->text;

		if (!part->field) {
			ks_buf_put(to, value);
			continue;
		}
		if (!lookup(context, part->field, &value)) {
			if (part->field->required) {
				*ret_missing = part->field;
				return KS_NOT_FOUND;
			}
			value = ks_str_c(part->field->fallback);
		}
		if (!put_value(text, part->field, value, to))
			return KS_MALFORMED;
	}
	return ks_buf_ok(to) ? KS_OK : KS_TOO_LARGE;
}
