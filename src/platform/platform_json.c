/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/platform_priv.h"

static size_t digits_from(struct ks_str text, size_t at)
{
	while (at < text.n && text.p[at] >= '0' && text.p[at] <= '9')
		at++;
	return at;
}

/* RFC 8259, 6, without exponent. */
static bool is_number(struct ks_str text)
{
	size_t from = text.n > 0 && text.p[0] == '-' ? 1 : 0;
	size_t at = digits_from(text, from);

	if (at == from || (at > from + 1 && text.p[from] == '0') || at > 18)
		return false;
	if (at < text.n && text.p[at] == '.') {
		size_t fraction = at + 1;

		at = digits_from(text, fraction);
		if (at == fraction)
			return false;
	}
	return at == text.n;
}

static bool is_literal(const struct ks_yaml_node *node)
{
	return node->plain && (ks_str_eq(node->text, KS_STR("true")) || ks_str_eq(node->text, KS_STR("false")) ||
			       ks_str_eq(node->text, KS_STR("null")) || is_number(node->text));
}

static void put_map(const struct ks_yaml_node *node, struct ks_yaml_arena *scratch, struct ks_yaml_log *log, struct ks_buf *to)
{
	struct ks_yaml_pair *pairs = NULL;
	size_t count = ks_yaml_pairs(node, scratch, log, &pairs);

	ks_buf_put_byte(to, '{');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			ks_buf_put_byte(to, ',');
		ks_buf_put_json(to, pairs[i].key->text);
		ks_buf_put_byte(to, ':');
		ks_platform_json(pairs[i].value, scratch, log, to);
	}
	ks_buf_put_byte(to, '}');
}

/* Goes as deep as the reader of YAML does. */
void ks_platform_json(const struct ks_yaml_node *node, struct ks_yaml_arena *scratch, struct ks_yaml_log *log, struct ks_buf *to)
{
	switch (node->type) {
	case KS_YAML_MAP:
		put_map(node, scratch, log, to);
		break;
	case KS_YAML_LIST:
		ks_buf_put_byte(to, '[');
		for (const struct ks_yaml_node *i = node->first; i; i = i->next) {
			if (i != node->first)
				ks_buf_put_byte(to, ',');
			ks_platform_json(i, scratch, log, to);
		}
		ks_buf_put_byte(to, ']');
		break;
	case KS_YAML_TEXT:
	case KS_YAML_UNKNOWN:
		if (ks_yaml_is_null(node))
			ks_buf_put_c(to, "null");
		else if (is_literal(node))
			ks_buf_put(to, node->text);
		else
			ks_buf_put_json(to, node->text);
		break;
	}
}
