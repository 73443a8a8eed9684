/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "policy/policy_priv.h"

#define FAMILY_METHODS_MAX (KS_POLICY_METHODS_MAX + 1)
#define ENVIRONMENTS_ALL ((uint8_t)(KS_ENVIRONMENT_BIT(KS_ENVIRONMENT_COUNT) - 1))

/* One member of a map: how it is read into `into`, and what to say where it is missing (NULL: it may be). */
struct member {
	const char *name;
	void (*read)(struct policy_reading *reading, const struct ks_yaml_node *value, void *into);
	const char *missing;
};

/* A map whose members are fixed. */
struct shape {
	const char *thing;   /* "a scope" */
	const char *example; /* "{about: ...}" */
	const char *member_names;
	const struct member *members;
	size_t count;
};

/* A closed set of words that become bits. */
struct word_set {
	const char *thing;
	const char *form;
	bool (*parse)(struct ks_str text, uint8_t *ret_bit);
};

struct family_reading {
	struct ks_policy_family *family;
	struct policy_family_marks *marks;
};

static void *take_from(struct policy_reading *reading, struct ks_yaml_arena *arena, size_t count, size_t size)
{
	void *p = ks_yaml_arena_take(arena, count * size);

	if (!p)
		reading->log->memory = true;
	return p;
}

static void *take(struct policy_reading *reading, size_t count, size_t size)
{
	return take_from(reading, reading->arena, count, size);
}

static void *take_scratch(struct policy_reading *reading, size_t count, size_t size)
{
	return take_from(reading, reading->scratch, count, size);
}

#define REPORT(reading, node, ...) KS_YAML_REPORT((reading)->log, node, __VA_ARGS__)

static bool want_type(struct policy_reading *reading, const struct ks_yaml_node *node, enum ks_yaml_node_type type,
		      const char *thing, const char *form)
{
	bool null = ks_yaml_is_null(node);

	if (node->type == type && !null)
		return true;
	REPORT(reading, node, "%s %s: %s", thing, null ? "is empty" : "has the wrong form", form);
	return false;
}

static bool want_filled_list(struct policy_reading *reading, const struct ks_yaml_node *node, const char *thing,
			     const char *form)
{
	if (!want_type(reading, node, KS_YAML_LIST, thing, form))
		return false;
	if (node->count == 0)
		REPORT(reading, node, "%s is an empty list: %s", thing, form);
	return node->count != 0;
}

static bool want_name(struct policy_reading *reading, const struct ks_yaml_node *node, const char *thing)
{
	if (ks_scope_name_ok(node->text))
		return true;
	REPORT(reading, node,
	       "%s is no name for %s: 1 to 63 of a-z, 0-9, _ and -, a letter first, single colons between words",
	       KS_YAML_QUOTE(node->text), thing);
	return false;
}

static const struct member *find_member(const struct shape *shape, struct ks_str name)
{
	for (size_t i = 0; i < shape->count; i++)
		if (ks_str_eq(name, ks_str_c(shape->members[i].name)))
			return &shape->members[i];
	return NULL;
}

static const struct ks_yaml_node *find_value(const struct ks_yaml_pair *pairs, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (ks_str_eq(pairs[i].key->text, ks_str_c(name)))
			return pairs[i].value;
	return NULL;
}

static bool is_nothing(const struct ks_yaml_node *node)
{
	return node->type == KS_YAML_TEXT && node->plain && node->text.n == 0;
}

/* True if `key` is more than one word and none of them, joined, is the name of a member. */
static bool is_prose(const struct shape *shape, const struct ks_yaml_node *key)
{
	char joined[32];
	struct ks_buf buf = KS_BUF(joined);

	if (!key->plain || ks_str_find(key->text, ' ') == SIZE_MAX)
		return false;
	for (size_t i = 0; i < key->text.n && ks_buf_ok(&buf); i++)
		ks_buf_put_byte(&buf, key->text.p[i] == ' ' ? '_' : key->text.p[i]);
	return !ks_buf_ok(&buf) || !find_member(shape, ks_buf_str(&buf));
}

/* In braces YAML ends a text without quotes at a comma: {about: Create, change and delete contacts} has a second key,
 * without a value. What follows `about` in this way is given back to it. Returns how many pairs are left. */
static size_t join_about(struct policy_reading *reading, const struct shape *shape, const struct ks_yaml_node *map,
			 struct ks_yaml_pair *pairs, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct ks_yaml_pair *before = kept > 0 ? &pairs[kept - 1] : NULL;

		if (!before || !map->flow || !is_nothing(pairs[i].value) || !is_prose(shape, pairs[i].key) ||
		    !ks_str_eq(before->key->text, KS_STR("about")) || before->value->type != KS_YAML_TEXT ||
		    !before->value->plain) {
			pairs[kept++] = pairs[i];
			continue;
		}
		struct ks_str head = before->value->text, tail = pairs[i].key->text;
		char *bytes = take_scratch(reading, head.n + tail.n + 2, 1);
		struct ks_yaml_node *joined = take_scratch(reading, 1, sizeof(*joined));
		if (!bytes || !joined)
			return 0;
		struct ks_buf text = ks_buf_of(bytes, head.n + tail.n + 2);
		ks_buf_put(&text, head);
		ks_buf_put_c(&text, ", ");
		ks_buf_put(&text, tail);
		*joined = *before->value;
		joined->text = ks_buf_str(&text);
		before->value = joined;
	}
	return kept;
}

/* Reads a map of fixed members, in the order of the table; `at` is where to say that one is missing. */
static void read_shape(struct policy_reading *reading, const struct shape *shape, const struct ks_yaml_node *at,
		       const struct ks_yaml_node *map, void *into)
{
	struct ks_yaml_pair *pairs = NULL;

	if (!want_type(reading, map, KS_YAML_MAP, shape->thing, shape->example))
		return;
	size_t count = ks_yaml_pairs(map, reading->scratch, reading->log, &pairs);
	count = join_about(reading, shape, map, pairs, count);
	for (size_t i = 0; i < count; i++)
		if (!find_member(shape, pairs[i].key->text))
			REPORT(reading, pairs[i].key, "%s is no member of %s: it has %s%s", KS_YAML_QUOTE(pairs[i].key->text),
			       shape->thing, shape->member_names,
			       map->flow && is_nothing(pairs[i].value) ? " (a text with a comma needs quotes)" : "");
	for (size_t i = 0; i < shape->count && !reading->log->memory; i++) {
		const struct member *member = &shape->members[i];
		const struct ks_yaml_node *value = find_value(pairs, count, member->name);

		if (value)
			member->read(reading, value, into);
		else if (member->missing)
			REPORT(reading, at, "%s", member->missing);
	}
}

static void read_bool(struct policy_reading *reading, const struct ks_yaml_node *node, const char *thing,
		      bool *ret_value)
{
	bool yes = node->type == KS_YAML_TEXT && node->plain && ks_str_eq(node->text, KS_STR("true"));

	if (yes || (node->type == KS_YAML_TEXT && node->plain && ks_str_eq(node->text, KS_STR("false"))))
		*ret_value = yes;
	else
		REPORT(reading, node, "%s is true or false", thing);
}

static void read_about(struct policy_reading *reading, const struct ks_yaml_node *node,
		       char ret_about[KS_POLICY_ABOUT_MAX + 1])
{
	if (!want_type(reading, node, KS_YAML_TEXT, "about", "one line of text"))
		return;
	struct ks_str text = node->text;
	/* A folded text of YAML ends with a line break. */
	while (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	if (text.n > KS_POLICY_ABOUT_MAX)
		REPORT(reading, node, "about is longer than %d bytes", KS_POLICY_ABOUT_MAX);
	else if (ks_str_has_control(text))
		REPORT(reading, node, "about has a line break or another control character: one line of text");
	else if (text.n > 0)
		memcpy(ret_about, text.p, text.n);
}

static bool kind_bit(struct ks_str text, uint8_t *ret_bit)
{
	enum ks_kind kind;

	if (!ks_kind_parse(text, &kind))
		return false;
	*ret_bit = KS_KIND_BIT(kind);
	return true;
}

static bool environment_bit(struct ks_str text, uint8_t *ret_bit)
{
	enum ks_environment environment;

	if (!ks_environment_parse(text, &environment))
		return false;
	*ret_bit = KS_ENVIRONMENT_BIT(environment);
	return true;
}

#define X(name, text) text ", "
static const struct word_set kind_words = {"kinds", "a list of " KS_KINDS(X) "each at most once", kind_bit};
static const struct word_set environment_words = {"environments", "a list of " KS_ENVIRONMENTS(X) "each at most once",
						  environment_bit};
#undef X

/* Reads a list of different words into bits. Bits that were wrong are left out; none right leaves *ret_bits as it is.
 */
static void read_words(struct policy_reading *reading, const struct ks_yaml_node *node, const struct word_set *words,
		       uint8_t *ret_bits)
{
	uint8_t bits = 0;

	if (!want_filled_list(reading, node, words->thing, words->form))
		return;
	for (const struct ks_yaml_node *item = node->first; item; item = item->next) {
		uint8_t bit;

		if (!words->parse(item->text, &bit))
			REPORT(reading, item, "%s is none of the %s: %s", KS_YAML_QUOTE(item->text), words->thing, words->form);
		else if (bits & bit)
			REPORT(reading, item, "%s stands twice in the list", KS_YAML_QUOTE(item->text));
		else
			bits |= bit;
	}
	if (bits)
		*ret_bits = bits;
}

/* Scopes. */

static void scope_about(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_about(reading, value, ((struct ks_policy_scope *)into)->about);
}

static void scope_opt_in(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_bool(reading, value, "opt_in", &((struct ks_policy_scope *)into)->opt_in);
}

static void scope_default(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	struct ks_policy_scope *scope = into;

	read_bool(reading, value, "default", &scope->is_default);
	if (scope->is_default && scope->opt_in)
		REPORT(reading, value, "the scope %s is opt_in, so it cannot be default: take one of the two away",
		       KS_YAML_QUOTE(ks_str_c(scope->name)));
}

static void scope_kinds(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_words(reading, value, &kind_words, &((struct ks_policy_scope *)into)->kinds);
}

/* opt_in before default, which looks at it. */
static const struct member scope_members[] = {
	{"about", scope_about, NULL},
	{"opt_in", scope_opt_in, NULL},
	{"default", scope_default, NULL},
	{"kinds", scope_kinds, NULL},
};

static const struct shape scope_shape = {
	"a scope",
	"a map such as {about: Read contacts}",
	"about, default, opt_in, kinds",
	scope_members,
	KS_ARRAY_LEN(scope_members),
};

static void read_scope(struct policy_reading *reading, const struct ks_yaml_pair *pair)
{
	struct ks_policy *policy = reading->policy;
	struct ks_policy_scope *scope = &policy->scopes[policy->scope_count];

	if (!want_name(reading, pair->key, "a scope"))
		return;
	if (!ks_str_empty(reading->reserved) && ks_str_starts(pair->key->text, reading->reserved))
		REPORT(reading, pair->key, "%s is reserved: names that begin with %s belong to the service itself",
		       KS_YAML_QUOTE(pair->key->text), KS_YAML_QUOTE(reading->reserved));
	if (policy->scope_count == KS_SCOPES_MAX) {
		REPORT(reading, pair->key, "more than %d scopes", KS_SCOPES_MAX);
		return;
	}
	memcpy(scope->name, pair->key->text.p, pair->key->text.n);
	scope->kinds = KS_KINDS_ANY;
	policy->scope_count++;
	read_shape(reading, &scope_shape, pair->key, pair->value, scope);
}

static int by_name(const void *a, const void *b)
{
	return ks_str_order(((const struct policy_scope_entry *)a)->name, ((const struct policy_scope_entry *)b)->name);
}

static void read_scopes(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	struct ks_policy *policy = into;
	struct ks_yaml_pair *pairs = NULL;

	if (!want_type(reading, value, KS_YAML_MAP, "scopes", "a map such as {contacts:read: {about: Read contacts}}"))
		return;
	size_t count = ks_yaml_pairs(value, reading->scratch, reading->log, &pairs);
	size_t room = KS_MIN(count, (size_t)KS_SCOPES_MAX) + 1;
	policy->scopes = take(reading, room, sizeof(*policy->scopes));
	reading->scope_order = take_scratch(reading, room, sizeof(*reading->scope_order));
	for (size_t i = 0; i < count && !reading->log->memory; i++)
		read_scope(reading, &pairs[i]);
	if (reading->log->memory)
		return;
	for (size_t i = 0; i < policy->scope_count; i++)
		reading->scope_order[i] = (struct policy_scope_entry){ks_str_c(policy->scopes[i].name), (uint16_t)i};
	qsort(reading->scope_order, policy->scope_count, sizeof(*reading->scope_order), by_name);
}

/* Reads the name of a scope that the file describes. */
static bool read_scope_use(struct policy_reading *reading, const struct ks_yaml_node *node, uint16_t *ret_position)
{
	const struct policy_scope_entry wanted = {.name = node->text};

	if (!want_type(reading, node, KS_YAML_TEXT, "a scope", "its name"))
		return false;
	const struct policy_scope_entry *found = reading->scope_order ? bsearch(&wanted, reading->scope_order,
										reading->policy->scope_count,
										sizeof(*reading->scope_order), by_name)
								      : NULL;
	if (!found) {
		REPORT(reading, node, "%s is no scope of this file: describe it under scopes, or correct the name",
		       KS_YAML_QUOTE(node->text));
		return false;
	}
	*ret_position = found->position;
	return true;
}

/* Reads a list of different scopes, `max` at most; returns how many were right. */
static size_t read_scope_list(struct policy_reading *reading, const struct ks_yaml_node *list, size_t max,
			      uint16_t *ret_positions)
{
	struct ks_scopes seen = {{0}};
	size_t n = 0;

	for (const struct ks_yaml_node *item = list->first; item; item = item->next) {
		uint16_t position;

		if (!read_scope_use(reading, item, &position))
			continue;
		if (ks_scopes_has(&seen, position)) {
			REPORT(reading, item, "%s stands twice in the list", KS_YAML_QUOTE(item->text));
			continue;
		}
		if (n == max) {
			REPORT(reading, item, "more than %zu scopes in the list", max);
			return n;
		}
		ks_scopes_set(&seen, position);
		ret_positions[n++] = position;
	}
	return n;
}

/* Roles. */

static void role_about(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_about(reading, value, ((struct ks_policy_role *)into)->about);
}

static void role_scopes(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	struct ks_policy_role *role = into;

	if (!want_filled_list(reading, value, "scopes", "a list of names of scopes"))
		return;
	role->scopes = take(reading, KS_MIN(value->count, (size_t)KS_SCOPES_MAX), sizeof(*role->scopes));
	if (role->scopes)
		role->scope_count = read_scope_list(reading, value, KS_SCOPES_MAX, role->scopes);
}

static const struct member role_members[] = {
	{"about", role_about, NULL},
	{"scopes", role_scopes, "the role has no scopes: name those that it gives"},
};

static const struct shape role_shape = {
	"a role",
	"a map such as {about: Watch calls, scopes: [calls:read]}",
	"about, scopes",
	role_members,
	KS_ARRAY_LEN(role_members),
};

static void read_role(struct policy_reading *reading, const struct ks_yaml_pair *pair)
{
	struct ks_policy *policy = reading->policy;
	struct ks_policy_role *role = &policy->roles[policy->role_count];

	if (!want_name(reading, pair->key, "a role"))
		return;
	if (policy->role_count == KS_POLICY_ROLES_MAX) {
		REPORT(reading, pair->key, "more than %d roles", KS_POLICY_ROLES_MAX);
		return;
	}
	memcpy(role->name, pair->key->text.p, pair->key->text.n);
	policy->role_count++;
	read_shape(reading, &role_shape, pair->key, pair->value, role);
}

static void read_roles(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	struct ks_policy *policy = into;
	struct ks_yaml_pair *pairs = NULL;

	if (!want_type(reading, value, KS_YAML_MAP, "roles", "a map such as {call_operator: {scopes: [calls:read]}}"))
		return;
	size_t count = ks_yaml_pairs(value, reading->scratch, reading->log, &pairs);
	policy->roles = take(reading, KS_MIN(count, (size_t)KS_POLICY_ROLES_MAX) + 1, sizeof(*policy->roles));
	for (size_t i = 0; i < count && !reading->log->memory; i++)
		read_role(reading, &pairs[i]);
}

/* Families. */

static void family_about(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_about(reading, value, ((struct family_reading *)into)->family->about);
}

static void family_kinds(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_words(reading, value, &kind_words, &((struct family_reading *)into)->family->kinds);
}

static void family_environments(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_words(reading, value, &environment_words, &((struct family_reading *)into)->family->environments);
}

static void family_inherited(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	read_bool(reading, value, "inherited", &((struct family_reading *)into)->family->inherited);
}

static void family_tenant_header(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
#define X(name, text) text ", "
	static const char form[] = "one of " KS_TENANT_HEADERS(X) "and optional unless said";
#undef X
	struct ks_policy_family *family = ((struct family_reading *)into)->family;

	if (want_type(reading, value, KS_YAML_TEXT, "tenant_header", form) &&
	    !ks_tenant_header_parse(value->text, &family->tenant_header))
		REPORT(reading, value, "%s is no tenant_header: %s", KS_YAML_QUOTE(value->text), form);
}

static void read_route(struct policy_reading *reading, const struct ks_yaml_node *node, struct family_reading *into)
{
	struct policy_route route;
	struct ks_str culprit;

	if (!want_type(reading, node, KS_YAML_TEXT, "a route", "text such as /api/v1/contacts/{id}"))
		return;
	const char *why = ks_policy_route_read(node->text, &route, &culprit);
	if (why) {
		REPORT(reading, node, "%s %s", KS_YAML_QUOTE(culprit), why);
		return;
	}
	char *copy = ks_yaml_arena_copy(reading->arena, node->text);
	if (!copy) {
		reading->log->memory = true;
		return;
	}
	into->marks->routes[into->family->route_count] = node->mark;
	into->family->routes[into->family->route_count++] = copy;
}

static void family_routes(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	struct family_reading *family = into;
	size_t seen = 0;

	if (!want_filled_list(reading, value, "routes", "a list of routes such as /api/v1/contacts/{id}"))
		return;
	size_t room = KS_MIN(value->count, (size_t)KS_POLICY_ROUTES_MAX);
	family->family->routes = take(reading, room, sizeof(*family->family->routes));
	family->marks->routes = take_scratch(reading, room, sizeof(*family->marks->routes));
	for (const struct ks_yaml_node *item = value->first; item && !reading->log->memory; item = item->next) {
		if (seen++ == KS_POLICY_ROUTES_MAX) {
			REPORT(reading, item, "more than %d routes in one family", KS_POLICY_ROUTES_MAX);
			return;
		}
		read_route(reading, item, family);
	}
}

/* Reports scopes that no kind of the family may hold, alone or together: such an entry refuses everyone. */
static void check_holders(struct policy_reading *reading, const struct ks_policy_family *family,
			  const struct ks_policy_method *method, const struct ks_yaml_node *value)
{
	const struct ks_yaml_node *node = value->type == KS_YAML_LIST ? value->first : value;
	uint8_t together = family->kinds;

	if (family->kinds == 0)
		return; /* reported as such */
	for (size_t i = 0; i < method->scope_count; i++) {
		const struct ks_policy_scope *scope = &reading->policy->scopes[method->scopes[i]];

		while (node && !ks_str_eq(node->text, ks_str_c(scope->name)))
			node = node->next;
		if (node && (scope->kinds & family->kinds) == 0) {
			REPORT(reading, node, "none of the kinds of this family may hold %s: nothing could ever pass",
			       KS_YAML_QUOTE(node->text));
			return;
		}
		together &= scope->kinds;
	}
	if (together == 0)
		REPORT(reading, value, "no kind of this family may hold all of these scopes: nothing could ever pass");
}

static void read_method(struct policy_reading *reading, const struct ks_yaml_pair *pair, struct ks_policy_family *family)
{
	struct ks_policy_method *method = &family->methods[family->method_count];
	const struct ks_yaml_node *value = pair->value;
	uint32_t number;

	if (!ks_method_ok(pair->key->text)) {
		REPORT(reading, pair->key, "%s is no method: 1 to 32 characters such as GET, or \"*\" for every other",
		       KS_YAML_QUOTE(pair->key->text));
		return;
	}
	if (!ks_policy_methods_number(&reading->methods, pair->key->text, &number)) {
		REPORT(reading, pair->key, "more than %d different methods in the file", KS_POLICY_METHODS_MAX);
		return;
	}
	memcpy(method->name, pair->key->text.p, pair->key->text.n);
	family->method_count++;
	if (value->type == KS_YAML_TEXT && !ks_yaml_is_null(value))
		method->scope_count = read_scope_use(reading, value, &method->scopes[0]) ? 1 : 0;
	else if (want_filled_list(reading, value, "what the method needs", "one scope, or a list of 1 to 8"))
		method->scope_count = read_scope_list(reading, value, KS_POLICY_RULE_SCOPES_MAX, method->scopes);
	check_holders(reading, family, method, value);
}

static void family_scopes(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	static const char form[] = "a map of methods such as {GET: contacts:read, \"*\": contacts:write}";
	struct ks_policy_family *family = ((struct family_reading *)into)->family;
	struct ks_yaml_pair *pairs = NULL;

	if (!want_type(reading, value, KS_YAML_MAP, "scopes", form))
		return;
	if (value->count == 0)
		REPORT(reading, value, "scopes is empty, so no request could match: %s", form);
	size_t count = KS_MIN(ks_yaml_pairs(value, reading->scratch, reading->log, &pairs), (size_t)FAMILY_METHODS_MAX + 1);
	family->methods = take(reading, count, sizeof(*family->methods));
	for (size_t i = 0; i < count && !reading->log->memory; i++)
		read_method(reading, &pairs[i], family);
}

/* kinds before scopes, which look at them. */
static const struct member family_members[] = {
	{"about", family_about, NULL},
	{"routes", family_routes, "the family has no routes: a list such as [/api/v1/contacts]"},
	{"kinds", family_kinds,
	 "the family has no kinds: name those that it takes, of session, tenant, partner, runtime"},
	{"scopes", family_scopes, "the family has no scopes: say what each method needs, such as {GET: contacts:read}"},
	{"tenant_header", family_tenant_header, NULL},
	{"environments", family_environments, NULL},
	{"inherited", family_inherited, NULL},
};

static const struct shape family_shape = {
	"a family",
	"a map with routes, kinds and scopes",
	"about, routes, kinds, scopes, tenant_header, environments, inherited",
	family_members,
	KS_ARRAY_LEN(family_members),
};

static void read_family(struct policy_reading *reading, const struct ks_yaml_pair *pair)
{
	struct ks_policy *policy = reading->policy;
	struct family_reading into = {&policy->families[policy->family_count],
				      &reading->families[policy->family_count]};

	if (!want_name(reading, pair->key, "a family"))
		return;
	memcpy(into.family->name, pair->key->text.p, pair->key->text.n);
	into.family->line = pair->key->mark.line;
	into.family->environments = ENVIRONMENTS_ALL;
	into.marks->name = pair->key->mark;
	policy->family_count++;
	read_shape(reading, &family_shape, pair->key, pair->value, &into);
}

static void read_families(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	struct ks_policy *policy = into;
	struct ks_yaml_pair *pairs = NULL;

	if (!want_type(reading, value, KS_YAML_MAP, "families", "a map of route families"))
		return;
	size_t count = ks_yaml_pairs(value, reading->scratch, reading->log, &pairs);
	if (count > KS_POLICY_FAMILIES_MAX) {
		REPORT(reading, pairs[KS_POLICY_FAMILIES_MAX].key, "more than %d families", KS_POLICY_FAMILIES_MAX);
		count = KS_POLICY_FAMILIES_MAX;
	}
	policy->families = take(reading, count, sizeof(*policy->families));
	reading->families = take_scratch(reading, count, sizeof(*reading->families));
	for (size_t i = 0; i < count && !reading->log->memory; i++)
		read_family(reading, &pairs[i]);
}

static void read_version(struct policy_reading *reading, const struct ks_yaml_node *value, void *into)
{
	(void)into;
	if (value->type != KS_YAML_TEXT || !value->plain || !ks_str_eq(value->text, KS_STR("1")))
		REPORT(reading, value, "this version of the policy file is not known: write version: 1");
}

/* scopes before what names them. */
static const struct member policy_members[] = {
	{"version", read_version, "the file has no version: write version: 1"},
	{"scopes", read_scopes, NULL},
	{"roles", read_roles, NULL},
	{"families", read_families, NULL},
};

static const struct shape policy_shape = {
	"a policy",
	"a map with version, scopes, roles and families",
	"version, scopes, roles, families",
	policy_members,
	KS_ARRAY_LEN(policy_members),
};

void ks_policy_read(struct policy_reading *reading, const struct ks_yaml_node *root)
{
	ks_policy_methods_init(&reading->methods);
	read_shape(reading, &policy_shape, root, root, reading->policy);
}
