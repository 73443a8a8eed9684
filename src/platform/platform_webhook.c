/* SPDX-License-Identifier: Apache-2.0 */
/* The part `webhook:` of a file: schemes by name, each compiled once to see that it is whole. */
#include "hooksig/hooksig.h"
#include "platform/platform_priv.h"

/* What a pointer's token names in `node`, or NULL. Names of members have neither / nor ~ in them. */
static const struct ks_yaml_node *child(const struct ks_yaml_node *node, struct ks_str token)
{
	const struct ks_yaml_node *at = node->first;
	uint64_t index;

	if (node->type == KS_YAML_MAP) {
		while (at && at->next && !ks_str_eq(at->text, token))
			at = at->next->next;
		return at ? at->next : NULL;
	}
	if (node->type != KS_YAML_LIST || !ks_str_to_u64(token, node->count, &index))
		return NULL;
	while (at && index-- > 0)
		at = at->next;
	return at;
}

/* What a JSON pointer names, or the nearest above it that there is. */
static const struct ks_yaml_node *node_at(const struct ks_yaml_node *root, struct ks_str pointer)
{
	const struct ks_yaml_node *node = root, *below;
	struct ks_str rest = ks_str_sub(pointer, 1, pointer.n), token;
	bool more = pointer.n > 0;

	while (more) {
		token = rest;
		more = ks_str_split(rest, '/', &token, &rest);
		below = child(node, token);
		if (!below)
			break;
		node = below;
	}
	return node;
}

static bool name_ok(struct ks_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i > 0 && (c == '-' || c == '.'))))
			return false;
	}
	return name.n > 0 && name.n <= KS_PLATFORM_NAME_MAX;
}

static void check_scheme(struct platform_reading *r, const struct ks_yaml_pair *pair)
{
	char *bytes = ks_yaml_arena_take(r->scratch, KS_PLATFORM_WEBHOOK_MAX);
	struct ks_buf b = ks_buf_of(bytes, KS_PLATFORM_WEBHOOK_MAX);
	struct ks_hooksig_problem problem = {0};
	struct ks_hooksig_scheme *scheme = NULL;
	enum ks_err err;

	if (!bytes) {
		r->log->memory = true;
		return;
	}
	ks_platform_json(pair->value, r->scratch, r->log, &b);
	if (!ks_buf_ok(&b))
		return; /* the whole is too large as well */
	err = ks_hooksig_compile(ks_buf_str(&b), KS_STR(""), &problem, &scheme);
	ks_hooksig_free(scheme);
	if (err == KS_MEMORY)
		r->log->memory = true;
	else if (err != KS_OK)
		PLATFORM_REPORT(r, node_at(pair->value, ks_str_c(problem.pointer)), "webhook: %s", problem.text);
}

/* Fields that a scheme takes its settings from are fields of this file. */
static void check_fields(struct platform_reading *r, const struct ks_yaml_node *scheme)
{
	const struct ks_yaml_node *settings = child(scheme, KS_STR("settings")), *list;

	for (const struct ks_yaml_node *key = settings && settings->type == KS_YAML_MAP ? settings->first : NULL; key && key->next;
	     key = key->next->next) {
		list = child(key->next, KS_STR("fields"));
		for (const struct ks_yaml_node *name = list && list->type == KS_YAML_LIST ? list->first : NULL; name; name = name->next) {
			if (!ks_platform_field(r->platform, name->text))
				PLATFORM_REPORT(r, name, "webhook: %s is no field of this file", KS_YAML_QUOTE(name->text));
		}
	}
}

void ks_platform_check_webhook(struct platform_reading *r, const struct ks_yaml_node *node)
{
	struct ks_yaml_pair *pairs = NULL;
	size_t count = ks_yaml_pairs(node, r->scratch, r->log, &pairs);

	for (size_t i = 0; i < count && !r->log->memory; i++) {
		if (!name_ok(pairs[i].key->text))
			PLATFORM_REPORT(r, pairs[i].key, "%s is no name of a scheme: a-z, 0-9, - and ., neither - nor . first", KS_YAML_QUOTE(pairs[i].key->text));
		else if (pairs[i].value->type != KS_YAML_MAP)
			PLATFORM_REPORT(r, pairs[i].value, "a scheme is a map of members");
		else
			check_scheme(r, &pairs[i]);
		check_fields(r, pairs[i].value);
	}
}
