/* SPDX-License-Identifier: Apache-2.0 */
/* The assertions file: nodes of YAML, then sentences word by word. */
#include <stdlib.h>

#include "policy/expectations.h"
#include "policy/policy_priv.h"
#include "policy/regions.h"

#define WORDS_MAX 256

/* What ks_expectations_parse hands out is the first member of this. */
struct whole {
	struct ks_expectations assertions;
	struct ks_yaml_arena arena;
};

struct word {
	struct ks_str text;
	struct ks_yaml_mark mark;
};

struct reading {
	struct whole *whole;
	struct ks_yaml_arena scratch;
	struct ks_yaml_log log;
};

/* A sentence being read. */
struct sentence {
	struct ks_yaml_log *log;
	struct ks_expectation *into;
	struct ks_yaml_mark end;    /* for what is missing */
	size_t count, at;
	struct word words[WORDS_MAX];
};

static const char *const verb_texts[KS_EXPECTATION_VERB_COUNT] = {
#define X(name, text) [KS_EXPECTATION_##name] = text,
	KS_EXPECTATION_VERBS(X)
#undef X
};

const char *ks_expectation_verb_text(enum ks_expectation_verb verb)
{
	return verb_texts[verb];
}

#define QUOTE(text) ks_yaml_quote((text), (char[KS_YAML_QUOTE_SIZE]){0})

static bool is(struct ks_str text, const char *word)
{
	return ks_str_eq(text, ks_str_c(word));
}

/* ---- words ---- */

static struct ks_expectation_mark mark_of(struct ks_yaml_mark mark)
{
	return (struct ks_expectation_mark){mark.line, mark.column};
}

/* Divides at blanks; a comma is a word of its own. Where the text stands in the file as it is, words have columns. */
static void take_words(struct sentence *s, const struct ks_yaml_node *node)
{
	struct ks_str text = node->text;
	size_t i = 0;

	while (i < text.n) {
		size_t from = i;

		if (text.p[i] == ' ' || text.p[i] == '\n' || text.p[i] == '\t') {
			i++;
			continue;
		}
		if (text.p[i] == ',')
			i++;
		else
			while (i < text.n && text.p[i] != ' ' && text.p[i] != '\n' && text.p[i] != '\t' && text.p[i] != ',')
				i++;
		if (s->count == WORDS_MAX) {
			ks_yaml_report(s->log, node->mark, "more than %d words in one sentence", WORDS_MAX);
			return;
		}
		struct ks_yaml_mark mark = node->mark;
		if (node->plain)
			mark.column += (unsigned)from;
		s->words[s->count++] = (struct word){ks_str_sub(text, from, i - from), mark};
	}
	s->end = node->mark;
	if (node->plain)
		s->end.column += (unsigned)text.n;
}

/* The next word, not taken; empty at the end. */
static struct word peek(const struct sentence *s)
{
	return s->at < s->count ? s->words[s->at] : (struct word){KS_STR(""), s->end};
}

static struct word next(struct sentence *s)
{
	struct word word = peek(s);

	s->at += s->at < s->count;
	return word;
}

static bool take(struct sentence *s, const char *text)
{
	if (!is(peek(s).text, text))
		return false;
	s->at++;
	return true;
}

/* False, and reported: another word, or none, stands there. */
static bool want(struct sentence *s, struct word word, bool good, const char *what)
{
	if (good)
		return true;
	if (word.text.n == 0)
		ks_yaml_report(s->log, word.mark, "the sentence ends where it should go on with %s", what);
	else
		ks_yaml_report(s->log, word.mark, "%s is not %s", QUOTE(word.text), what);
	return false;
}

/* ---- the subject ---- */

static struct ks_condition *add_condition(struct sentence *s, struct word word, enum ks_condition_type type)
{
	struct ks_condition *condition;

	if (s->into->condition_count == KS_EXPECTATION_CONDITIONS_MAX) {
		ks_yaml_report(s->log, word.mark, "more than %d conditions in one sentence", KS_EXPECTATION_CONDITIONS_MAX);
		return NULL;
	}
	condition = &s->into->conditions[s->into->condition_count++];
	*condition = (struct ks_condition){.type = type, .mark = mark_of(word.mark)};
	return condition;
}

/* "partner" names a kind and a binding, whose keys are the same. */
static bool read_word(struct sentence *s, struct word word)
{
	enum ks_kind kind = KS_KIND_SESSION;
	enum ks_binding binding;
	enum ks_environment environment;
	enum ks_condition_type type;
	struct ks_condition *condition;
	unsigned value;

	if (ks_kind_parse(word.text, &kind) && kind != KS_KIND_SESSION) {
		type = KS_CONDITION_KIND;
		value = kind;
	} else if (ks_binding_parse(word.text, &binding)) {
		type = KS_CONDITION_BINDING;
		value = binding;
	} else if (ks_environment_parse(word.text, &environment)) {
		type = KS_CONDITION_ENVIRONMENT;
		value = environment;
	} else {
		return want(s, word, is(word.text, "all"),
			    "a kind, a binding or an environment of keys, or 'keys' itself");
	}
	condition = add_condition(s, word, type);
	if (condition)
		condition->value = value;
	return condition != NULL;
}

static bool read_tenant(struct sentence *s, enum ks_condition_type type)
{
	struct word word = next(s);
	enum ks_id_type id_type = KS_ID_TYPE_COUNT;
	uint64_t id = 0;
	struct ks_condition *condition;

	if (!want(s, word, ks_id_parse_any(word.text, &id_type, &id), "the id of a tenant"))
		return false;
	condition = add_condition(s, word, type);
	if (!condition)
		return false;
	condition->id = id;
	condition->id_type = id_type;
	return true;
}

static bool read_property(struct sentence *s, bool without)
{
	struct word what = next(s), word;
	struct ks_condition *condition;
	bool scope = is(what.text, "scope"), role = is(what.text, "role");

	if (!want(s, what, scope || role || is(what.text, "label"), "'scope', 'role' or 'label'"))
		return false;
	word = next(s);
	condition = add_condition(s, word, scope ? KS_CONDITION_SCOPE : role ? KS_CONDITION_ROLE : KS_CONDITION_LABEL);
	if (!condition)
		return false;
	condition->without = without;
	condition->text = word.text;
	if (scope || role)
		return want(s, word, ks_scope_name_ok(word.text), scope ? "the name of a scope" : "the name of a role");
	return want(s, word, ks_str_split(word.text, '=', &condition->text, &condition->label_value), "a label: name=value");
}

static bool read_conditions(struct sentence *s)
{
	bool without = false, any = false;

	for (;;) {
		if (take(s, "of")) {
			if (!read_tenant(s, KS_CONDITION_OF))
				return false;
			continue;
		}
		if (take(s, "below")) {
			if (!read_tenant(s, KS_CONDITION_BELOW))
				return false;
			continue;
		}
		if (take(s, "with"))
			without = false;
		else if (take(s, "without"))
			without = true;
		else if (!any || !take(s, "and"))
			return true;
		any = true;
		if (!read_property(s, without))
			return false;
	}
}

static bool read_subject(struct sentence *s)
{
	if (take(s, "key")) {
		struct word word = next(s);
		uint64_t id = 0;
		struct ks_condition *condition;

		if (!want(s, word, ks_id_parse(word.text, KS_ID_KEY, &id), "the id of a key"))
			return false;
		condition = add_condition(s, word, KS_CONDITION_KEY);
		if (condition)
			condition->id = id;
		return condition != NULL;
	}
	while (!take(s, "keys"))
		if (!read_word(s, next(s)))
			return false;
	return read_conditions(s);
}

/* ---- targets ---- */

static bool read_methods(struct sentence *s, struct ks_expectation_target *target)
{
	struct word word = next(s);
	struct ks_str rest = word.text, method;

	for (bool last = false; !last;) {
		last = !ks_str_split(rest, '|', &method, &rest);
		if (last)
			method = rest;
		if (!want(s, word, ks_method_ok(method), "a method, or methods such as GET|HEAD"))
			return false;
		if (target->method_count == KS_EXPECTATION_METHODS_MAX) {
			ks_yaml_report(s->log, word.mark, "more than %d methods", KS_EXPECTATION_METHODS_MAX);
			return false;
		}
		target->methods[target->method_count++] = method;
	}
	return true;
}

static bool is_lower(struct ks_str text)
{
	return text.n > 0 && text.p[0] >= 'a' && text.p[0] <= 'z';
}

static bool read_target(struct sentence *s)
{
	struct ks_expectation_target *target;
	struct word word = peek(s);
	const char *why;

	if (s->into->target_count == KS_EXPECTATION_TARGETS_MAX) {
		ks_yaml_report(s->log, word.mark, "more than %d targets in one sentence", KS_EXPECTATION_TARGETS_MAX);
		return false;
	}
	target = &s->into->targets[s->into->target_count++];
	if (word.text.n > 0 && word.text.p[0] != '/' && !is_lower(word.text) && !read_methods(s, target))
		return false;
	word = next(s);
	target->mark = mark_of(word.mark);
	if (is(word.text, "anything"))
		return true;
	if (word.text.n > 0 && word.text.p[0] == '/') {
		target->route = word.text;
		if (ks_policy_route_ok(word.text, &why))
			return true;
		ks_yaml_report(s->log, word.mark, "%s %s", QUOTE(word.text), why);
		return false;
	}
	target->family = word.text;
	return want(s, word, ks_scope_name_ok(word.text), "a family, a route, or 'anything'");
}

static void read_sentence(struct sentence *s)
{
	struct word word;

	if (!read_subject(s))
		return;
	word = next(s);
	if (!want(s, word, is(word.text, "reach") || is(word.text, "reaches"),
		  "'reach' (before it: with, without, and, of, below)"))
		return;
	do {
		if (!read_target(s))
			return;
	} while (take(s, ","));
	if (take(s, "for")) {
		word = next(s);
		s->into->for_mark = mark_of(word.mark);
		if (!want(s, word, ks_id_parse_any(word.text, &s->into->for_type, &s->into->for_tenant),
			  "the id of a tenant"))
			return;
	}
	word = next(s);
	if (word.text.n > 0)
		ks_yaml_report(s->log, word.mark, "%s comes after the end of the sentence", QUOTE(word.text));
}

/* ---- the file ---- */

static void report(struct reading *r, const struct ks_yaml_node *node, const char *what)
{
	if (node->type != KS_YAML_UNKNOWN)
		ks_yaml_report(&r->log, node->mark, "%s", what);
}

/* The text outlives the nodes. */
static bool keep(struct reading *r, struct ks_yaml_node *node)
{
	char *copy = ks_yaml_arena_copy(&r->whole->arena, node->text);

	r->log.memory |= !copy;
	if (copy)
		node->text.p = copy;
	return copy != NULL;
}

static void read_assertion_verb(struct reading *r, struct ks_yaml_node *value, struct ks_expectation *into,
				enum ks_expectation_verb verb)
{
	struct sentence *s = ks_yaml_arena_take(&r->scratch, sizeof(*s));

	r->log.memory |= !s;
	if (!s || !keep(r, value))
		return;
	into->verb = verb;
	into->sentence = value->text;
	into->mark = mark_of(value->mark);
	s->log = &r->log;
	s->into = into;
	take_words(s, value);
	read_sentence(s);
}

static void read_assertion(struct reading *r, struct ks_yaml_node *node, struct ks_expectation *into)
{
	static const char form[] = "an assertion is a map with never, always or only, and perhaps about";
	struct ks_yaml_node *value;
	bool any = false, about = false;

	if (node->type != KS_YAML_MAP) {
		report(r, node, form);
		return;
	}
	for (struct ks_yaml_node *name = node->first; name && !r->log.memory; name = value->next) {
		size_t verb = 0;

		value = name->next;
		while (verb < KS_EXPECTATION_VERB_COUNT && !is(name->text, verb_texts[verb]))
			verb++;
		if (value->type != KS_YAML_TEXT) {
			report(r, value, "this must be text");
			any |= verb < KS_EXPECTATION_VERB_COUNT;
		} else if (verb < KS_EXPECTATION_VERB_COUNT && !any) {
			any = true;
			read_assertion_verb(r, value, into, (enum ks_expectation_verb)verb);
		} else if (is(name->text, "about") && !about && keep(r, value)) {
			about = true;
			into->about = value->text;
		} else {
			ks_yaml_report(&r->log, name->mark, "%s does not belong here: %s", QUOTE(name->text), form);
		}
	}
	if (!any)
		report(r, node, form);
}

static void read_list(struct reading *r, struct ks_yaml_node *list)
{
	struct ks_expectations *out = &r->whole->assertions;

	if (list->type != KS_YAML_LIST || list->count == 0) {
		report(r, list, "assertions must be a list with at least one of them");
		return;
	}
	if (list->count > KS_EXPECTATIONS_MAX) {
		report(r, list, "more than 1000 assertions");
		return;
	}
	out->items = ks_yaml_arena_take(&r->whole->arena, list->count * sizeof(*out->items));
	r->log.memory |= !out->items;
	for (struct ks_yaml_node *item = list->first; item && !r->log.memory; item = item->next)
		read_assertion(r, item, &out->items[out->count++]);
}

static void read_file(struct reading *r, struct ks_yaml_node *root)
{
	struct ks_yaml_node *version = NULL, *list = NULL, *value;

	if (root->type != KS_YAML_MAP) {
		report(r, root, "an assertions file is a map with version and assertions");
		return;
	}
	for (struct ks_yaml_node *name = root->first; name; name = value->next) {
		value = name->next;
		if (is(name->text, "version") && !version)
			version = value;
		else if (is(name->text, "assertions") && !list)
			list = value;
		else
			ks_yaml_report(&r->log, name->mark, "%s does not belong here: version and assertions do, each once",
					 QUOTE(name->text));
	}
	if (!version)
		report(r, root, "the file has no version: write version: 1");
	else if (version->type != KS_YAML_TEXT || !version->plain || !is(version->text, "1"))
		report(r, version, "this version of the file is not known: write version: 1");
	if (list)
		read_list(r, list);
	else
		report(r, root, "the file has no assertions");
}

enum ks_err ks_expectations_parse(struct ks_str yaml, struct ks_expectations **ret_assertions,
				struct ks_policy_problem *ret_problem)
{
	struct reading r = {.whole = calloc(1, sizeof(*r.whole))};
	struct ks_yaml_node *root;

	if (!r.whole)
		return KS_MEMORY;
	root = ks_yaml_read(yaml, &ks_policy_yaml_limits, &r.scratch, &r.log);
	if (root && !r.log.memory)
		read_file(&r, root);
	ks_yaml_arena_free(&r.scratch);
	if (!r.log.memory && !r.log.any) {
		*ret_assertions = &r.whole->assertions;
		return KS_OK;
	}
	struct ks_expectations *assertions = &r.whole->assertions;
	ks_expectations_free(&assertions);
	if (r.log.memory)
		return KS_MEMORY;
	*ret_problem = ks_policy_problem_of(&r.log);
	return KS_MALFORMED;
}

void ks_expectations_free(struct ks_expectations **assertions)
{
	if (!*assertions)
		return;
	struct whole *whole = (struct whole *)*assertions;
	ks_yaml_arena_free(&whole->arena);
	free(whole);
	*assertions = NULL;
}
