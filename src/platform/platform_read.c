/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a platform file, and its fields. */
#include <stdlib.h>

#include "platform/platform_priv.h"

/* ---- members ---- */

struct member {
	enum platform_map_id map;
	const char *name;
	bool needed;
};

static const struct member members[] = {
#define KS_PLATFORM_MEMBER(map, name, needed, form, about) {PLATFORM_MAP_##map, name, needed},
#include "platform/members.def"
#undef KS_PLATFORM_MEMBER
};

/* What a map is called in messages. */
static const char *const things[] = {
	[PLATFORM_MAP_PLATFORM] = "a platform file", [PLATFORM_MAP_FIELD] = "a field", [PLATFORM_MAP_PROBE] = "the probe",
	[PLATFORM_MAP_BASIC] = "basic",              [PLATFORM_MAP_AWS] = "aws",       [PLATFORM_MAP_JWT] = "jwt",
	[PLATFORM_MAP_ANSWER] = "an answer",
};

static bool is_member(enum platform_map_id id, struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		if (members[i].map == id && ks_str_eq(name, ks_str_c(members[i].name)))
			return true;
	}
	return false;
}

static void report_unknown(struct platform_reading *r, enum platform_map_id id, const struct ks_yaml_node *key)
{
	char list[200];
	struct ks_buf b = ks_buf_of(list, sizeof(list) - 4);

	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		size_t before = b.n;

		if (members[i].map != id)
			continue;
		ks_buf_put_c(&b, b.n ? ", " : "");
		ks_buf_put_c(&b, members[i].name);
		if (!ks_buf_ok(&b)) {
			b = ks_buf_of(list, sizeof(list));
			b.n = before;
			ks_buf_put_c(&b, " …");
			break;
		}
	}
	PLATFORM_REPORT(r, key, "%s is no member of %s: it has %s", KS_YAML_QUOTE(key->text), things[id], ks_buf_z(&b));
}

bool ks_platform_map(struct platform_reading *r, enum platform_map_id id, const struct ks_yaml_node *at,
		     const struct ks_yaml_node *node, struct platform_map *ret_map)
{
	struct platform_map map = {.id = id, .at = at};

	if (node->type != KS_YAML_MAP) {
		PLATFORM_REPORT(r, node, "%s is a map of members", things[id]);
		return false;
	}
	map.count = ks_yaml_pairs(node, r->scratch, r->log, &map.pairs);
	for (size_t i = 0; i < map.count; i++) {
		if (!is_member(id, map.pairs[i].key->text))
			report_unknown(r, id, map.pairs[i].key);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(members) && !r->log->memory; i++) {
		if (members[i].map == id && members[i].needed && !ks_platform_member(&map, members[i].name))
			PLATFORM_REPORT(r, at, "%s has no %s", things[id], members[i].name);
	}
	*ret_map = map;
	return true;
}

const struct ks_yaml_node *ks_platform_member(const struct platform_map *map, const char *name)
{
	for (size_t i = 0; i < map->count; i++) {
		if (ks_str_eq(map->pairs[i].key->text, ks_str_c(name)))
			return map->pairs[i].value;
	}
	return NULL;
}

void *ks_platform_take(struct platform_reading *r, size_t n, size_t size)
{
	void *p = ks_yaml_arena_take(r->arena, n * size);

	if (!p)
		r->log->memory = true;
	return p;
}

/* ---- values of members ---- */

bool ks_platform_text(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing)
{
	if (node->type == KS_YAML_TEXT && !ks_yaml_is_null(node))
		return true;
	PLATFORM_REPORT(r, node, "%s is %s: it must be text", thing, ks_yaml_is_null(node) ? "empty" : "no text");
	return false;
}

bool ks_platform_line(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, size_t max,
		      const char **ret_text)
{
	struct ks_str text = node->text;
	const char *copy;

	if (!ks_platform_text(r, node, thing))
		return false;
	/* A folded text of YAML ends with a line break. */
	while (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	if (text.n == 0 || ks_str_trim(text).n != text.n) {
		PLATFORM_REPORT(r, node, "%s is empty, or begins or ends with a blank", thing);
		return false;
	}
	if (text.n > max || ks_str_has_control(text)) {
		PLATFORM_REPORT(r, node, "%s must be one line of at most %zu bytes", thing, max);
		return false;
	}
	copy = ks_yaml_arena_copy(r->arena, text);
	if (!copy) {
		r->log->memory = true;
		return false;
	}
	*ret_text = copy;
	return true;
}

bool ks_platform_number(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, uint64_t min,
			uint64_t max, uint64_t *ret_number)
{
	uint64_t value;

	if (node->type == KS_YAML_TEXT && node->plain && ks_str_to_u64(node->text, max, &value) && value >= min) {
		*ret_number = value;
		return true;
	}
	PLATFORM_REPORT(r, node, "%s is a number from %llu to %llu", thing, (unsigned long long)min, (unsigned long long)max);
	return false;
}

bool ks_platform_bool(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, bool *ret_value)
{
	bool yes = node->type == KS_YAML_TEXT && node->plain && ks_str_eq(node->text, KS_STR("true"));

	if (!yes && !(node->type == KS_YAML_TEXT && node->plain && ks_str_eq(node->text, KS_STR("false")))) {
		PLATFORM_REPORT(r, node, "%s is true or false", thing);
		return false;
	}
	*ret_value = yes;
	return true;
}

/* ---- names ---- */

static bool name_ok(struct ks_str name, char joint)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter = c >= 'a' && c <= 'z';

		if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == joint)))
			return false;
	}
	return name.n > 0 && name.n <= KS_PLATFORM_NAME_MAX;
}

bool ks_platform_name_ok(struct ks_str name)
{
	return name_ok(name, '-');
}

/* ---- fields ---- */

static const char type_list[] =
#define KS_PLATFORM_TYPE(name, text, secret, max, check, about) text ", "
#include "platform/types.def"
#undef KS_PLATFORM_TYPE
	"and no other";

static void field_type(struct platform_reading *r, const struct ks_yaml_node *node, struct ks_platform_field *f)
{
	if (!ks_platform_text(r, node, "type"))
		return;
	for (enum ks_platform_type i = 0; i < KS_PLATFORM_TYPE_COUNT; i++) {
		if (ks_str_eq(node->text, ks_str_c(ks_platform_type_text(i)))) {
			f->type = i;
			return;
		}
	}
	PLATFORM_REPORT(r, node, "%s is no type: one of %s", KS_YAML_QUOTE(node->text), type_list);
}

static void field_secret(struct platform_reading *r, const struct ks_yaml_node *node, struct ks_platform_field *f)
{
	f->secret = ks_platform_type_secret(f->type);
	if (!node || !ks_platform_bool(r, node, "secret", &f->secret))
		return;
	if (f->type == KS_PLATFORM_SECRET && !f->secret)
		PLATFORM_REPORT(r, node, "a field of type secret is secret: use type text");
	if (f->type == KS_PLATFORM_CHOICE && f->secret)
		PLATFORM_REPORT(r, node, "a choice cannot be secret: everybody sees what there is to choose from");
}

static bool is_text_type(enum ks_platform_type type)
{
	return type == KS_PLATFORM_TEXT || type == KS_PLATFORM_SECRET || type == KS_PLATFORM_MULTI_LINE || type == KS_PLATFORM_FILE;
}

static bool is_number_type(enum ks_platform_type type)
{
	return type == KS_PLATFORM_NUMBER || type == KS_PLATFORM_PORT;
}

static void named_format(struct platform_reading *r, const struct ks_yaml_node *node, struct ks_platform_field *f)
{
	bool lines = f->type == KS_PLATFORM_MULTI_LINE || f->type == KS_PLATFORM_FILE;

	if (!ks_platform_text(r, node, "format"))
		return;
	f->format = ks_platform_format_named(node->text, r->arena, &r->log->memory);
	if (!f->format)
		PLATFORM_REPORT(r, node, "%s is no named format: see docs/platforms.md, or write a pattern", KS_YAML_QUOTE(node->text));
	else if (!is_text_type(f->type) || lines != !ks_platform_format_pattern(f->format))
		PLATFORM_REPORT(r, node, "a field of type %s cannot have the format %s", ks_platform_type_text(f->type),
				KS_YAML_QUOTE(node->text));
}

static void own_pattern(struct platform_reading *r, const struct ks_yaml_node *node, const struct ks_yaml_node *message,
			struct ks_platform_field *f)
{
	struct ks_platform_format *format = ks_platform_take(r, 1, sizeof(*format));
	const char *problem;

	if (!format || !ks_platform_line(r, node, "pattern", PLATFORM_PATTERN_MAX, &format->text))
		return;
	if (f->type != KS_PLATFORM_TEXT && f->type != KS_PLATFORM_SECRET)
		PLATFORM_REPORT(r, node, "a field of type %s cannot have a pattern", ks_platform_type_text(f->type));
	problem = ks_platform_pattern_compile(ks_str_c(format->text), r->arena, &format->pattern, &r->log->memory);
	if (problem)
		PLATFORM_REPORT(r, node, "the pattern %s", problem);
	if (!message)
		PLATFORM_REPORT(r, node, "a pattern needs a message: say what a value is, in words that follow the label");
	else if (ks_platform_line(r, message, "message", KS_PLATFORM_LINE_MAX, &format->message))
		f->format = format;
}

static void field_format(struct platform_reading *r, const struct platform_map *map, struct ks_platform_field *f)
{
	const struct ks_yaml_node *format = ks_platform_member(map, "format");
	const struct ks_yaml_node *pattern = ks_platform_member(map, "pattern");
	const struct ks_yaml_node *message = ks_platform_member(map, "message");

	if (format && pattern)
		PLATFORM_REPORT(r, pattern, "a field has a format or a pattern, not both");
	else if (format)
		named_format(r, format, f);
	else if (pattern)
		own_pattern(r, pattern, message, f);
	if (message && !pattern)
		PLATFORM_REPORT(r, message, "a message belongs to a pattern: named formats have their own");
}

static void field_lengths(struct platform_reading *r, const struct platform_map *map, struct ks_platform_field *f)
{
	const struct ks_yaml_node *min = ks_platform_member(map, "min_length"), *max = ks_platform_member(map, "max_length");
	uint64_t least = 1, most = ks_platform_type_max(f->type);

	if (max && !is_text_type(f->type))
		PLATFORM_REPORT(r, max, "a field of type %s cannot have max_length", ks_platform_type_text(f->type));
	if (min && !is_text_type(f->type))
		PLATFORM_REPORT(r, min, "a field of type %s cannot have min_length", ks_platform_type_text(f->type));
	if (max)
		(void)ks_platform_number(r, max, "max_length", 1, KS_PLATFORM_VALUE_MAX, &most);
	if (min && ks_platform_number(r, min, "min_length", 1, KS_PLATFORM_VALUE_MAX, &least) && least > most)
		PLATFORM_REPORT(r, min, "min_length is greater than max_length (%llu)", (unsigned long long)most);
	f->length_min = (size_t)least;
	f->length_max = (size_t)most;
}

static void field_range(struct platform_reading *r, const struct platform_map *map, struct ks_platform_field *f)
{
	const struct ks_yaml_node *min = ks_platform_member(map, "min"), *max = ks_platform_member(map, "max");
	uint64_t top = f->type == KS_PLATFORM_PORT ? 65535 : INT64_MAX;

	f->number_min = f->type == KS_PLATFORM_PORT ? 1 : 0;
	f->number_max = top;
	if (max && !is_number_type(f->type))
		PLATFORM_REPORT(r, max, "a field of type %s cannot have max", ks_platform_type_text(f->type));
	else if (max)
		(void)ks_platform_number(r, max, "max", f->number_min, top, &f->number_max);
	if (min && !is_number_type(f->type))
		PLATFORM_REPORT(r, min, "a field of type %s cannot have min", ks_platform_type_text(f->type));
	else if (min && ks_platform_number(r, min, "min", f->number_min, top, &f->number_min) && f->number_min > f->number_max)
		PLATFORM_REPORT(r, min, "min is greater than max");
}

static void add_choice(struct platform_reading *r, const struct ks_yaml_node *value, const struct ks_yaml_node *label,
		       struct ks_platform_choice *choices, struct ks_platform_field *f)
{
	struct ks_platform_choice choice = {NULL, NULL};

	if (f->choice_count == KS_PLATFORM_CHOICES_MAX) {
		PLATFORM_REPORT(r, value, "more than %d choices", KS_PLATFORM_CHOICES_MAX);
		return;
	}
	if (!ks_platform_line(r, value, "a choice", KS_PLATFORM_LINE_MAX, &choice.value))
		return;
	choice.label = choice.value;
	if (label && !ks_platform_line(r, label, "the label of a choice", KS_PLATFORM_LINE_MAX, &choice.label))
		return;
	for (size_t i = 0; i < f->choice_count; i++) {
		if (ks_str_eq(ks_str_c(choices[i].value), ks_str_c(choice.value)))
			PLATFORM_REPORT(r, value, "%s stands twice in the list", KS_YAML_QUOTE(value->text));
	}
	choices[f->choice_count++] = choice;
}

static void field_choices(struct platform_reading *r, const struct ks_yaml_node *at, const struct ks_yaml_node *node,
			  struct ks_platform_field *f)
{
	struct ks_platform_choice *choices;

	if (!node) {
		if (f->type == KS_PLATFORM_CHOICE)
			PLATFORM_REPORT(r, at, "a field of type choice has no choices: a list of values");
		return;
	}
	if (f->type != KS_PLATFORM_CHOICE)
		PLATFORM_REPORT(r, node, "only a field of type choice has choices");
	if ((node->type != KS_YAML_LIST && node->type != KS_YAML_MAP) || node->count == 0) {
		PLATFORM_REPORT(r, node, "choices is a list of values, or a map of value to label");
		return;
	}
	choices = ks_platform_take(r, KS_PLATFORM_CHOICES_MAX, sizeof(*choices));
	f->choices = choices;
	if (choices && node->type == KS_YAML_LIST) {
		for (const struct ks_yaml_node *i = node->first; i; i = i->next)
			add_choice(r, i, NULL, choices, f);
	} else if (choices) {
		for (const struct ks_yaml_node *key = node->first; key && key->next; key = key->next->next)
			add_choice(r, key, key->next, choices, f);
	}
}

/* A value in the file is one that would be taken. */
static void field_value(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing,
			const struct ks_platform_field *f, const char **ret_text)
{
	struct ks_platform_detail detail;
	const char *text;

	if (!ks_platform_text(r, node, thing))
		return;
	text = ks_yaml_arena_copy(r->arena, node->text);
	if (!text) {
		r->log->memory = true;
		return;
	}
	if (f->label && !r->log->any && !ks_platform_check_value(f, node->text, &detail))
		PLATFORM_REPORT(r, node, "the %s is not one that would be taken: %s", thing, detail.text);
	*ret_text = text;
}

static void field_values(struct platform_reading *r, const struct platform_map *map, struct ks_platform_field *f)
{
	const struct ks_yaml_node *example = ks_platform_member(map, "example"), *fallback = ks_platform_member(map, "default");
	const struct ks_yaml_node *required = ks_platform_member(map, "required");

	f->required = !fallback;
	if (required)
		(void)ks_platform_bool(r, required, "required", &f->required);
	if (fallback && f->required)
		PLATFORM_REPORT(r, required, "a field with a default is not required");
	if (fallback && f->secret)
		PLATFORM_REPORT(r, fallback, "a secret has no default");
	if (example)
		field_value(r, example, "example", f, &f->example);
	if (fallback)
		field_value(r, fallback, "default", f, &f->fallback);
}

static void read_field(struct platform_reading *r, const struct ks_yaml_pair *pair, struct ks_platform_field *f)
{
	const struct ks_yaml_node *key = pair->key, *node;
	struct platform_map map;

	f->help = f->example = "";
	if (!name_ok(key->text, '_'))
		PLATFORM_REPORT(r, key, "%s is no name of a field: 1 to 63 of a-z, 0-9 and _, a letter first", KS_YAML_QUOTE(key->text));
	f->name = ks_yaml_arena_copy(r->arena, key->text);
	r->log->memory |= !f->name;
	if (!ks_platform_map(r, PLATFORM_MAP_FIELD, key, pair->value, &map))
		return;
	node = ks_platform_member(&map, "label");
	if (node)
		(void)ks_platform_line(r, node, "label", KS_PLATFORM_LINE_MAX, &f->label);
	node = ks_platform_member(&map, "help");
	if (node)
		(void)ks_platform_line(r, node, "help", 2 * KS_PLATFORM_LINE_MAX, &f->help);
	node = ks_platform_member(&map, "type");
	if (node)
		field_type(r, node, f);
	field_secret(r, ks_platform_member(&map, "secret"), f);
	field_lengths(r, &map, f);
	field_range(r, &map, f);
	field_choices(r, key, ks_platform_member(&map, "choices"), f);
	field_format(r, &map, f);
	field_values(r, &map, f);
}

static void read_fields(struct platform_reading *r, const struct ks_yaml_node *node)
{
	struct ks_yaml_pair *pairs = NULL;
	size_t count;

	if (node->type != KS_YAML_MAP || node->count == 0) {
		PLATFORM_REPORT(r, node, "fields is a map of fields, at least one");
		return;
	}
	count = ks_yaml_pairs(node, r->scratch, r->log, &pairs);
	if (count > KS_PLATFORM_FIELDS_MAX) {
		PLATFORM_REPORT(r, pairs[KS_PLATFORM_FIELDS_MAX].key, "more than %d fields", KS_PLATFORM_FIELDS_MAX);
		count = KS_PLATFORM_FIELDS_MAX;
	}
	r->fields = ks_platform_take(r, count, sizeof(*r->fields));
	r->platform->fields = r->fields;
	for (size_t i = 0; r->fields && i < count && !r->log->memory; i++)
		read_field(r, &pairs[i], &r->fields[r->platform->field_count++]);
}

const struct ks_platform_field *ks_platform_field(const struct ks_platform *platform, struct ks_str name)
{
	for (size_t i = 0; i < platform->field_count; i++) {
		if (ks_str_eq(name, ks_str_c(platform->fields[i].name)))
			return &platform->fields[i];
	}
	return NULL;
}

/* ---- the file ---- */

static void read_documentation(struct platform_reading *r, const struct ks_yaml_node *node)
{
	const struct ks_platform_field url = {.label = "documentation", .type = KS_PLATFORM_URL, .example = "", .length_max = 2048};
	struct ks_platform_detail detail;
	const char *text;

	if (!ks_platform_line(r, node, "documentation", KS_PLATFORM_LINE_MAX, &text))
		return;
	if (!ks_str_starts(ks_str_c(text), KS_STR("https://")) || !ks_platform_check_value(&url, ks_str_c(text), &detail))
		PLATFORM_REPORT(r, node, "documentation is a URL that begins with https://");
	r->platform->documentation = text;
}

static void read_webhook(struct platform_reading *r, const struct ks_yaml_node *node)
{
	char *bytes;
	struct ks_buf b;

	if (node->type != KS_YAML_MAP || node->count == 0) {
		PLATFORM_REPORT(r, node, "webhook is a map of members");
		return;
	}
	bytes = ks_yaml_arena_take(r->scratch, KS_PLATFORM_WEBHOOK_MAX);
	if (!bytes) {
		r->log->memory = true;
		return;
	}
	b = ks_buf_of(bytes, KS_PLATFORM_WEBHOOK_MAX);
	ks_platform_json(node, r->scratch, r->log, &b);
	if (!ks_buf_ok(&b)) {
		PLATFORM_REPORT(r, node, "webhook is larger than %zu bytes", KS_PLATFORM_WEBHOOK_MAX);
		return;
	}
	ks_platform_check_webhook(r, node);
	r->platform->webhook = ks_str_of(ks_yaml_arena_copy(r->arena, ks_buf_str(&b)), b.n);
	r->log->memory |= !r->platform->webhook.p;
}

static void read_head(struct platform_reading *r, const struct platform_map *map)
{
	const struct ks_yaml_node *version = ks_platform_member(map, "version"), *name = ks_platform_member(map, "name");
	const struct ks_yaml_node *label = ks_platform_member(map, "label"), *about = ks_platform_member(map, "about");
	const struct ks_yaml_node *documentation = ks_platform_member(map, "documentation");

	if (version && (version->type != KS_YAML_TEXT || !version->plain || !ks_str_eq(version->text, KS_STR("1"))))
		PLATFORM_REPORT(r, version, "this version of the platform file is not known: write version: 1");
	if (name && ks_platform_line(r, name, "name", KS_PLATFORM_LINE_MAX, &r->platform->name) &&
	    !ks_platform_name_ok(ks_str_c(r->platform->name)))
		PLATFORM_REPORT(r, name, "%s is no name of a platform: 1 to 63 of a-z, 0-9 and -, a letter first", KS_YAML_QUOTE(name->text));
	if (label)
		(void)ks_platform_line(r, label, "label", KS_PLATFORM_LINE_MAX, &r->platform->label);
	if (about)
		(void)ks_platform_line(r, about, "about", 2 * KS_PLATFORM_LINE_MAX, &r->platform->about);
	if (documentation)
		read_documentation(r, documentation);
}

void ks_platform_read(struct platform_reading *r, const struct ks_yaml_node *root)
{
	const struct ks_yaml_node *node;
	struct platform_map map;

	r->platform->documentation = "";
	if (!ks_platform_map(r, PLATFORM_MAP_PLATFORM, root, root, &map))
		return;
	read_head(r, &map);
	node = ks_platform_member(&map, "fields");
	if (node)
		read_fields(r, node);
	node = ks_platform_member(&map, "probe");
	if (node && !r->log->memory)
		ks_platform_read_probe(r, node);
	node = ks_platform_member(&map, "webhook");
	if (node && !r->log->memory)
		read_webhook(r, node);
}
