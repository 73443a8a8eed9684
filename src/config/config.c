/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "base/buf.h"

/* The longest value as it is printed: names and items in quotes, a byte that is not UTF-8 as three. */
#define PRINTED_MAX (KS_CONFIG_ITEMS_MAX * (3 * (64 + 256) + 16))

struct setting {
	const char *name;
	const char *initial;
	const char *about;
	uint64_t min, max;
	size_t offset;
	enum ks_setting_type type;
	bool secret;
};

/* The type's name, and for numbers the bounds that follow it. */
#define TYPE_TEXT KS_SETTING_TEXT, 0, 0
#define TYPE_PATH KS_SETTING_PATH, 0, 0
#define TYPE_BOOL KS_SETTING_BOOL, 0, 0
#define TYPE_LIST KS_SETTING_LIST, 0, 0
#define TYPE_MAP KS_SETTING_MAP, 0, 0
#define TYPE_NUMBER(min, max) KS_SETTING_NUMBER, min, max
#define ROW(member, name, secret, initial, about, type, min, max) \
	{name, initial, about, min, max, offsetof(struct ks_config, member), type, secret},
#define ROW_OF(...) ROW(__VA_ARGS__)

static const struct setting settings[] = {
#define KS_SETTING(member, name, type, initial, secret, about) ROW_OF(member, name, secret, initial, about, TYPE_##type)
#include "config/settings.def"
#undef KS_SETTING
};

static struct ks_config_value *value_of(struct ks_config *config, const struct setting *s)
{
	return (struct ks_config_value *)(void *)((char *)config + s->offset);
}

static const struct ks_config_value *value_peek(const struct ks_config *config, const struct setting *s)
{
	return (const struct ks_config_value *)(const void *)((const char *)config + s->offset);
}

static const struct setting *find(struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(settings); i++) {
		if (ks_str_eq(ks_str_c(settings[i].name), name))
			return &settings[i];
	}
	return NULL;
}

static enum ks_err complain(struct ks_config_problem *problem, const char *fmt, ...) KS_PRINTF(2, 3);
static enum ks_err complain(struct ks_config_problem *problem, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(problem->text, sizeof(problem->text), fmt, args);
	va_end(args);
	return KS_MALFORMED;
}

/* Copies `s` terminated; false if it does not fit or holds a NUL. */
static bool copy(char *to, size_t cap, struct ks_str s)
{
	if (s.n >= cap || ks_str_find(s, '\0') != SIZE_MAX)
		return false;
	if (s.n)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

/* ---- one value ---- */

static enum ks_err add_item(const struct setting *s, struct ks_config_value *v, struct ks_str name, struct ks_str item,
			    struct ks_config_problem *problem)
{
	if (v->count >= KS_CONFIG_ITEMS_MAX)
		return complain(problem, "%s: more than %d items", s->name, KS_CONFIG_ITEMS_MAX);
	for (size_t i = 0; s->type == KS_SETTING_MAP && i < v->count; i++) {
		if (ks_str_eq(ks_str_c(v->names[i]), name))
			return complain(problem, "%s: %s is given twice", s->name, v->names[i]);
	}
	if (item.n == 0 || ks_str_has_control(item) || ks_str_has_control(name) || !copy(v->items[v->count], sizeof(v->items[0]), item)
	    || !copy(v->names[v->count], sizeof(v->names[0]), name))
		return complain(problem, "%s: an item is empty, too long, or with control characters", s->name);
	v->count++;
	return KS_OK;
}

/* "a, b" or "name=a, name2=b", as in the environment. */
static enum ks_err parse_items(const struct setting *s, struct ks_config_value *v, struct ks_str text, struct ks_config_problem *problem)
{
	struct ks_str item, name, rest = ks_str_trim(text);

	while (rest.n > 0) {
		if (!ks_str_split(rest, ',', &item, &rest)) {
			item = rest;
			rest = KS_STR("");
		}
		name = KS_STR("");
		if (s->type == KS_SETTING_MAP && !ks_str_split(item, '=', &name, &item))
			return complain(problem, "%s: must be name=value, separated by commas", s->name);
		KS_TRY(add_item(s, v, ks_str_trim(name), ks_str_trim(item), problem));
	}
	return KS_OK;
}

static enum ks_err set(struct ks_config *config, const struct setting *s, struct ks_str text, const char *source,
		       struct ks_config_problem *problem)
{
	struct ks_config_value *v = value_of(config, s);

	*v = (struct ks_config_value){.source = source};
	if (s->type == KS_SETTING_LIST || s->type == KS_SETTING_MAP)
		return parse_items(s, v, text, problem);
	if (!copy(v->text, sizeof(v->text), text) || ks_str_has_control(text))
		return complain(problem, "%s: too long, or with control characters", s->name);
	if (s->type == KS_SETTING_NUMBER && (!ks_str_to_u64(text, s->max, &v->number) || v->number < s->min))
		return complain(problem, "%s: must be a whole number from %llu to %llu, not \"%s\"", s->name,
				(unsigned long long)s->min, (unsigned long long)s->max, v->text);
	if (s->type == KS_SETTING_BOOL) {
		v->number = ks_str_eq(text, KS_STR("true"));
		if (!v->number && !ks_str_eq(text, KS_STR("false")))
			return complain(problem, "%s: must be true or false, not \"%s\"", s->name, v->text);
	}
	return KS_OK;
}

enum ks_err ks_config_set(struct ks_config *config, const char *name, const char *value, struct ks_config_problem *ret_problem)
{
	const struct setting *s = find(ks_str_c(name));

	if (!s)
		return complain(ret_problem, "%s: no such setting", name);
	return set(config, s, ks_str_c(value), "command line", ret_problem);
}

/* ---- the file ---- */

struct file {
	yaml_document_t document;
	const char *path;
	struct ks_config *config;
	struct ks_config_problem *problem;
	bool seen[KS_ARRAY_LEN(settings)];
};

/* What YAML calls null is an empty text. */
static struct ks_str scalar(const yaml_node_t *node)
{
	static const char *const nulls[] = {"~", "null", "Null", "NULL"};

	for (size_t i = 0; node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && i < KS_ARRAY_LEN(nulls); i++) {
		if (ks_str_eq(ks_str_c(nulls[i]), ks_str_of((const char *)node->data.scalar.value, node->data.scalar.length)))
			return KS_STR("");
	}
	return ks_str_of((const char *)node->data.scalar.value, node->data.scalar.length);
}

static enum ks_err at(struct file *f, const yaml_node_t *node, const char *name, const char *what)
{
	return complain(f->problem, "%s:%zu:%zu: %s%s%s", f->path, node->start_mark.line + 1, node->start_mark.column + 1, name,
			name[0] ? ": " : "", what);
}

/* Puts the place before what a check said that does not know of files. */
static enum ks_err placed(struct file *f, const yaml_node_t *node, enum ks_err err)
{
	char text[sizeof(f->problem->text)];

	if (err == KS_OK)
		return KS_OK;
	(void)snprintf(text, sizeof(text), "%.400s", f->problem->text);
	return complain(f->problem, "%s:%zu:%zu: %s", f->path, node->start_mark.line + 1, node->start_mark.column + 1, text);
}

static enum ks_err file_items(struct file *f, const struct setting *s, yaml_node_t *node)
{
	struct ks_config_value *v = value_of(f->config, s);

	*v = (struct ks_config_value){.source = "file"};
	if (s->type == KS_SETTING_MAP && node->type == YAML_MAPPING_NODE) {
		for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
			yaml_node_t *name = yaml_document_get_node(&f->document, p->key);
			yaml_node_t *item = yaml_document_get_node(&f->document, p->value);

			if (name->type != YAML_SCALAR_NODE || item->type != YAML_SCALAR_NODE)
				return at(f, name, s->name, "names and values must be texts");
			KS_TRY(placed(f, name, add_item(s, v, scalar(name), scalar(item), f->problem)));
		}
		return KS_OK;
	}
	if (s->type == KS_SETTING_LIST && node->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
			yaml_node_t *item = yaml_document_get_node(&f->document, *i);

			if (item->type != YAML_SCALAR_NODE)
				return at(f, item, s->name, "items must be texts");
			KS_TRY(placed(f, item, add_item(s, v, KS_STR(""), scalar(item), f->problem)));
		}
		return KS_OK;
	}
	return at(f, node, s->name, s->type == KS_SETTING_MAP ? "must be a mapping" : "must be a sequence");
}

/* A relative path of the file is meant from the file's folder. */
static enum ks_err file_path(struct file *f, const struct setting *s, const yaml_node_t *node)
{
	struct ks_str text = scalar(node);
	const char *slash = strrchr(f->path, '/');
	char joined[KS_CONFIG_TEXT_MAX];
	struct ks_buf b = KS_BUF(joined);

	if (text.n > 0 && text.p[0] != '/' && slash) {
		ks_buf_put(&b, ks_str_of(f->path, (size_t)(slash - f->path) + 1));
		ks_buf_put(&b, text);
		text = ks_buf_str(&b);
	}
	if (!ks_buf_ok(&b))
		return at(f, node, s->name, "too long");
	return placed(f, node, set(f->config, s, text, "file", f->problem));
}

static enum ks_err file_value(struct file *f, const struct setting *s, yaml_node_t *node)
{
	size_t number = (size_t)(s - settings);

	if (f->seen[number])
		return at(f, node, s->name, "given twice");
	f->seen[number] = true;
	if (s->type == KS_SETTING_LIST || s->type == KS_SETTING_MAP)
		return file_items(f, s, node);
	if (node->type != YAML_SCALAR_NODE)
		return at(f, node, s->name, "must be one value");
	if (s->type == KS_SETTING_PATH)
		return file_path(f, s, node);
	return placed(f, node, set(f->config, s, scalar(node), "file", f->problem));
}

/* Nested mappings are the dots of the names. */
static enum ks_err file_mapping(struct file *f, yaml_node_t *node, const char *prefix, int depth)
{
	if (node->type != YAML_MAPPING_NODE || depth > 4)
		return at(f, node, prefix, "must be a mapping of settings");
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(&f->document, p->key);
		yaml_node_t *value = yaml_document_get_node(&f->document, p->value);
		char name[128];
		struct ks_buf b = KS_BUF(name);
		const struct setting *s;

		if (key->type != YAML_SCALAR_NODE)
			return at(f, key, prefix, "a name must be a text");
		ks_buf_put_c(&b, prefix);
		ks_buf_put_c(&b, prefix[0] ? "." : "");
		ks_buf_put(&b, scalar(key));
		if (!ks_buf_z(&b)[0] || ks_str_has_control(ks_buf_str(&b)))
			return at(f, key, prefix, "a name is empty, too long, or with control characters");
		s = find(ks_buf_str(&b));
		if (s)
			KS_TRY(file_value(f, s, value));
		else if (value->type == YAML_MAPPING_NODE)
			KS_TRY(file_mapping(f, value, name, depth + 1));
		else
			return at(f, key, name, "no such setting");
	}
	return KS_OK;
}

static enum ks_err not_yaml(const struct file *f, const yaml_parser_t *parser)
{
	return complain(f->problem, "%s:%zu:%zu: %s", f->path, parser->problem_mark.line + 1, parser->problem_mark.column + 1,
			parser->problem ? parser->problem : "not YAML");
}

/* A second document would be settings that nobody reads. */
static enum ks_err expect_end(const struct file *f, yaml_parser_t *parser)
{
	yaml_document_t more;
	const yaml_node_t *root;
	enum ks_err err = KS_OK;

	if (!yaml_parser_load(parser, &more))
		return not_yaml(f, parser);
	root = yaml_document_get_root_node(&more);
	if (root)
		err = complain(f->problem, "%s:%zu:%zu: a second document", f->path, root->start_mark.line + 1, root->start_mark.column + 1);
	yaml_document_delete(&more);
	return err;
}

static enum ks_err load_document(struct file *f, yaml_parser_t *parser)
{
	yaml_node_t *root;
	enum ks_err err = KS_OK;

	if (!yaml_parser_load(parser, &f->document))
		return not_yaml(f, parser);
	root = yaml_document_get_root_node(&f->document);
	if (root && !(root->type == YAML_SCALAR_NODE && scalar(root).n == 0))
		err = file_mapping(f, root, "", 0);
	if (root && err == KS_OK)
		err = expect_end(f, parser);
	yaml_document_delete(&f->document);
	return err;
}

static enum ks_err load_file(struct ks_config *config, const char *path, struct ks_config_problem *problem)
{
	struct file f = {.path = path, .config = config, .problem = problem};
	FILE *in = fopen(path, "re");
	yaml_parser_t parser;
	enum ks_err err;

	if (!in) {
		(void)complain(problem, "%s: cannot be read", path);
		return KS_NOT_FOUND;
	}
	if (!yaml_parser_initialize(&parser)) {
		(void)fclose(in);
		return KS_MEMORY;
	}
	yaml_parser_set_input_file(&parser, in);
	err = load_document(&f, &parser);
	yaml_parser_delete(&parser);
	(void)fclose(in);
	return err;
}

/* ---- all ---- */

static void variable_of(const struct setting *s, char ret_name[128])
{
	(void)snprintf(ret_name, 128, "KEYSTILE_%s", s->name);
	for (char *c = ret_name; *c; c++)
		*c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

static enum ks_err load_all(struct ks_config *config, const char *file, const char *(*getter)(const char *name),
			    struct ks_config_problem *problem)
{
	char variable[128];

	for (size_t i = 0; i < KS_ARRAY_LEN(settings); i++)
		KS_TRY(set(config, &settings[i], ks_str_c(settings[i].initial), "default", problem));
	if (file)
		KS_TRY(load_file(config, file, problem));
	for (size_t i = 0; i < KS_ARRAY_LEN(settings); i++) {
		const char *value;

		variable_of(&settings[i], variable);
		value = getter(variable);
		if (value)
			KS_TRY(set(config, &settings[i], ks_str_c(value), "environment", problem));
	}
	return KS_OK;
}

enum ks_err ks_config_load(const char *file, const char *(*getter)(const char *name), struct ks_config **ret_config,
			   struct ks_config_problem *ret_problem)
{
	struct ks_config *config = calloc(1, sizeof(*config));
	enum ks_err err;

	if (!config)
		return KS_MEMORY;
	err = load_all(config, file, getter, ret_problem);
	if (err != KS_OK)
		ks_config_free(&config);
	else
		*ret_config = config;
	return err;
}

/* ---- what the last service used ---- */

/* The settings by which the store is written and the ring is made. */
static const char *const kept[] = {"policy", "platforms.own", "domain", "tokens.prefix_live", "tokens.prefix_sandbox", "tokens.checksum",
				   "ring.directory", "ring.group", "listen", "tls.certificate", "issuer.url", "issuer.audiences", "issuer.algorithm",
				   "issuer.rotate_s", "issuer.publish_s"};

static void put_value(struct ks_buf *b, const struct setting *s, const struct ks_config_value *v);

/* Whoever reads it may have another working directory. */
static enum ks_err put_kept(struct ks_buf *b, const struct setting *s, const struct ks_config_value *v)
{
	struct ks_config_value whole = *v;
	char path[PATH_MAX];

	if (s->type == KS_SETTING_PATH && v->text[0]) {
		if (!realpath(v->text, path))
			return KS_NOT_FOUND;
		if (!copy(whole.text, sizeof(whole.text), ks_str_c(path)))
			return KS_TOO_LARGE;
	}
	ks_buf_put_c(b, s->name);
	ks_buf_put_c(b, ": ");
	put_value(b, s, &whole);
	ks_buf_put_c(b, "\n");
	return ks_buf_ok(b) ? KS_OK : KS_TOO_LARGE;
}

static bool write_whole(const char *path, struct ks_str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;

	if (fd >= 0 && close(fd) != 0)
		ok = false;
	return ok;
}

enum ks_err ks_config_keep(const struct ks_config *config, const char *path)
{
	char text[PRINTED_MAX], fresh[PATH_MAX];
	struct ks_buf b = KS_BUF(text), name = KS_BUF(fresh);

	for (size_t i = 0; i < KS_ARRAY_LEN(kept); i++) {
		const struct setting *s = find(ks_str_c(kept[i]));

		KS_TRY(put_kept(&b, s, value_peek(config, s)));
	}
	ks_buf_put_c(&name, path);
	ks_buf_put_c(&name, ".new");
	if (!ks_buf_z(&name)[0])
		return KS_TOO_LARGE;
	return write_whole(fresh, ks_buf_str(&b)) && rename(fresh, path) == 0 ? KS_OK : KS_SYSTEM;
}

enum ks_err ks_config_recall(struct ks_config *config, const char *path, struct ks_config_problem *ret_problem)
{
	struct ks_config *last;
	enum ks_err err;

	if (access(path, F_OK) != 0)
		return KS_OK;
	last = calloc(1, sizeof(*last));
	if (!last)
		return KS_MEMORY;
	err = load_file(last, path, ret_problem);
	for (size_t i = 0; err == KS_OK && i < KS_ARRAY_LEN(kept); i++) {
		const struct setting *s = find(ks_str_c(kept[i]));
		struct ks_config_value *now = value_of(config, s);

		if (ks_str_eq(ks_str_c(now->source), KS_STR("default")) && value_of(last, s)->source) {
			*now = *value_of(last, s);
			now->source = "last service";
		}
	}
	free(last);
	return err;
}

void ks_config_free(struct ks_config **config)
{
	free(*config);
	*config = NULL;
}

static void put_value(struct ks_buf *b, const struct setting *s, const struct ks_config_value *v)
{
	bool map = s->type == KS_SETTING_MAP;

	if (s->secret && v->text[0]) {
		ks_buf_put_c(b, "\"***\"");
	} else if (s->type == KS_SETTING_NUMBER || s->type == KS_SETTING_BOOL) {
		ks_buf_put_c(b, v->text);
	} else if (s->type == KS_SETTING_LIST || map) {
		ks_buf_put_c(b, map ? "{" : "[");
		for (size_t i = 0; i < v->count; i++) {
			ks_buf_put_c(b, i ? ", " : "");
			if (map) {
				ks_buf_put_json(b, ks_str_c(v->names[i]));
				ks_buf_put_c(b, ": ");
			}
			ks_buf_put_json(b, ks_str_c(v->items[i]));
		}
		ks_buf_put_c(b, map ? "}" : "]");
	} else {
		ks_buf_put_json(b, ks_str_c(v->text));
	}
}

void ks_config_print(const struct ks_config *config, FILE *out)
{
	char text[PRINTED_MAX];

	for (size_t i = 0; i < KS_ARRAY_LEN(settings); i++) {
		const struct ks_config_value *v = value_peek(config, &settings[i]);
		struct ks_buf b = KS_BUF(text);

		put_value(&b, &settings[i], v);
		(void)fprintf(out, "# %s (%s)\n%s: %s\n", settings[i].about, v->source, settings[i].name, ks_buf_z(&b));
	}
}

void ks_config_print_json(const struct ks_config *config, FILE *out)
{
	char text[PRINTED_MAX];

	(void)fputs("{", out);
	for (size_t i = 0; i < KS_ARRAY_LEN(settings); i++) {
		struct ks_buf b = KS_BUF(text);

		put_value(&b, &settings[i], value_peek(config, &settings[i]));
		(void)fprintf(out, "%s\"%s\": %s", i ? ", " : "", settings[i].name, ks_buf_z(&b));
	}
	(void)fputs("}\n", out);
}

void ks_config_man(FILE *out)
{
	char variable[128];

	(void)fputs(".Dd $Mdocdate$\n.Dt KEYSTILE.YAML 5\n.Os\n.Sh NAME\n.Nm keystile.yaml\n.Nd settings of keystile\n.Sh DESCRIPTION\n"
		    "A YAML mapping; dots of a name may be written as nested mappings.\nEvery setting can also be given by the environment "
		    "variable named with it, which wins over the file.\nRelative paths are meant from the file's directory.\n"
		    ".Sh SETTINGS\n.Bl -tag -width Ds\n",
		    out);
	for (size_t i = 0; i < KS_ARRAY_LEN(settings); i++) {
		variable_of(&settings[i], variable);
		(void)fprintf(out, ".It Ic %s\n%s.\nDefault:\n.Ql %s .\nVariable:\n.Ev %s .\n", settings[i].name, settings[i].about,
			      settings[i].initial[0] ? settings[i].initial : "(none)", variable);
	}
	(void)fputs(".El\n.Sh SEE ALSO\n.Xr keystile 1\n", out);
}
