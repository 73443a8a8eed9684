/* SPDX-License-Identifier: Apache-2.0 */
/* Where the parts of a request are found that a scheme looks at. */
#include "base/json.h"
#include "hooksig/hooksig_priv.h"

/* ---- headers and parameters ---- */

enum ks_hooksig_code hs_header(const struct ks_hooksig_request *request, struct ks_str name, struct ks_str *ret_value)
{
	const struct ks_hooksig_header *found = NULL;

	for (size_t i = 0; i < request->header_count; i++) {
		if (!ks_str_eq_nocase(request->headers[i].name, name))
			continue;
		if (found)
			return KS_HOOKSIG_MALFORMED;
		found = &request->headers[i];
	}
	if (!found)
		return KS_HOOKSIG_HEADER_MISSING;
	*ret_value = found->value;
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code from_header(struct hs_run *run, const struct hs_source *source, bool string,
					struct hs_values *to)
{
	(void)string;
	to->n = 1;
	return hs_header(run->request, source->name, &to->v[0]);
}

/* The one pair of that name among those of `from`. */
static enum ks_hooksig_code find_pair(struct hs_run *run, unsigned from, struct ks_str name, struct ks_str *ret_value)
{
	enum ks_hooksig_code code = hs_pairs_read(run, from);
	const struct hs_pair *found = NULL;

	if (code)
		return code;
	for (size_t i = 0; i < run->pair_n; i++) {
		if (!(from >> run->pairs[i].from & 1) || !ks_str_eq(run->pairs[i].name, name))
			continue;
		if (found)
			return KS_HOOKSIG_MALFORMED;
		found = &run->pairs[i];
	}
	if (!found || found->null)
		return KS_HOOKSIG_HEADER_MISSING;
	*ret_value = found->value;
	return KS_HOOKSIG_OK;
}

enum ks_hooksig_code hs_query(struct hs_run *run, struct ks_str name, struct ks_str *ret_value)
{
	return find_pair(run, 1u << HS_FROM_QUERY, name, ret_value);
}

static enum ks_hooksig_code from_query(struct hs_run *run, const struct hs_source *source, bool string,
				       struct hs_values *to)
{
	(void)string;
	to->n = 1;
	return find_pair(run, 1u << HS_FROM_QUERY, source->name, &to->v[0]);
}

static enum ks_hooksig_code from_param(struct hs_run *run, const struct hs_source *source, bool string,
				       struct hs_values *to)
{
	(void)string;
	to->n = 1;
	return find_pair(run, (1u << HS_FROM_COUNT) - 1, source->name, &to->v[0]);
}

static enum ks_hooksig_code from_body(struct hs_run *run, const struct hs_source *source, bool string,
				      struct hs_values *to)
{
	(void)source;
	(void)string;
	to->v[0] = run->request->body;
	to->n = 1;
	return KS_HOOKSIG_OK;
}

/* ---- JSON ---- */

/* The member `name` of the object that `value` is, there once. */
static enum ks_hooksig_code json_member(struct ks_str value, struct ks_str name, struct ks_str *ret_value)
{
	struct ks_json_read r = ks_json_read_of(value);
	bool first = true, found = false;

	if (ks_json_kind(value) != '{')
		return KS_HOOKSIG_HEADER_MISSING;
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		char room[256];
		struct ks_buf to = KS_BUF(room);
		bool same = ks_str_eq(ks_json_text_decode(ks_json_read_name(&r), &to), name) && ks_buf_ok(&to);
		struct ks_str member = ks_json_read_raw(&r);

		if (same && found)
			return KS_HOOKSIG_MALFORMED;
		if (same)
			*ret_value = member;
		found |= same;
	}
	return found ? KS_HOOKSIG_OK : KS_HOOKSIG_HEADER_MISSING;
}

static enum ks_hooksig_code json_leaf(struct hs_run *run, struct ks_str value, bool string, struct hs_values *to)
{
	char kind = ks_json_kind(value);

	if (kind == 'n')
		return KS_HOOKSIG_HEADER_MISSING;
	if (to->n == HS_VALUES_MAX || (kind != '"' && (string || kind != '0')))
		return KS_HOOKSIG_MALFORMED;
	if (kind == '0')
		to->v[to->n] = value;
	else if (!ks_json_string(value, run->room, &to->v[to->n]) || !ks_buf_ok(run->room))
		return KS_HOOKSIG_MALFORMED;
	to->n++;
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code json_walk(struct hs_run *run, struct ks_str value, const struct ks_str *path, size_t path_n,
				      bool string, struct hs_values *to);

/* Each element, or the one whose number `step` is. */
static enum ks_hooksig_code json_elements(struct hs_run *run, struct ks_str value, const struct ks_str *path,
					  size_t path_n, bool string, struct hs_values *to)
{
	struct ks_json_read r = ks_json_read_of(value);
	enum ks_hooksig_code code = KS_HOOKSIG_HEADER_MISSING;
	uint64_t wanted = UINT64_MAX;
	bool all = ks_str_eq(path[0], KS_STR("*")), first = true;

	if (!all && !ks_str_to_u64(path[0], 1000, &wanted))
		return KS_HOOKSIG_HEADER_MISSING;
	ks_json_read_open(&r, '[');
	for (uint64_t i = 0; ks_json_read_more(&r, &first, ']'); i++) {
		struct ks_str element = ks_json_read_raw(&r);

		if (!all && i != wanted)
			continue;
		code = json_walk(run, element, &path[1], path_n - 1, string, to);
		if (code || !all)
			return code;
	}
	return code;
}

static enum ks_hooksig_code json_walk(struct hs_run *run, struct ks_str value, const struct ks_str *path, size_t path_n,
				      bool string, struct hs_values *to)
{
	enum ks_hooksig_code code;

	if (path_n == 0)
		return json_leaf(run, value, string, to);
	if (ks_json_kind(value) == '[')
		return json_elements(run, value, path, path_n, string, to);
	code = json_member(value, path[0], &value);
	return code ? code : json_walk(run, value, &path[1], path_n - 1, string, to);
}

enum ks_hooksig_code hs_json_find(struct hs_run *run, const struct ks_str *path, size_t path_n, bool string,
				  struct hs_values *to)
{
	struct ks_json_read r = ks_json_read_of(run->request->body);
	struct ks_str value = ks_json_read_raw(&r);

	to->n = 0;
	if (!ks_json_read_done(&r) || !ks_str_is_utf8(run->request->body))
		return KS_HOOKSIG_MALFORMED;
	return json_walk(run, value, path, path_n, string, to);
}

static enum ks_hooksig_code from_json(struct hs_run *run, const struct hs_source *source, bool string,
				      struct hs_values *to)
{
	return hs_json_find(run, source->path, source->path_n, string, to);
}

static enum ks_hooksig_code from_xml(struct hs_run *run, const struct hs_source *source, bool string,
				     struct hs_values *to)
{
	(void)string;
	to->n = 1;
	return hs_xml_find(run->request->body, source->name, &to->v[0]);
}

/* ---- taking a value apart ---- */

/* What `format` says the part is: each {name} reaches to the text that follows it in the format. */
static bool match_format(struct ks_str format, struct ks_str text, struct ks_str part, struct ks_str *ret_value)
{
	bool found = false;

	while (format.n > 0) {
		struct ks_str name, rest, literal;
		size_t open = KS_MIN(ks_str_find(format, '{'), format.n), at = 0;

		literal = ks_str_sub(format, 0, open);
		if (!ks_str_starts(text, literal))
			return false;
		text = ks_str_sub(text, literal.n, SIZE_MAX);
		format = ks_str_sub(format, open, SIZE_MAX);
		if (format.n == 0)
			break;
		if (!ks_str_split(ks_str_sub(format, 1, SIZE_MAX), '}', &name, &rest))
			return false;
		format = rest;
		literal = ks_str_sub(format, 0, KS_MIN(ks_str_find(format, '{'), format.n));
		while (at < text.n && (literal.n == 0 || !ks_str_starts(ks_str_sub(text, at, SIZE_MAX), literal)))
			at++;
		if (ks_str_eq(name, part)) {
			*ret_value = ks_str_sub(text, 0, at);
			found = true;
		}
		text = ks_str_sub(text, at, SIZE_MAX);
	}
	return found && text.n == 0;
}

static enum ks_hooksig_code add_value(struct hs_values *to, struct ks_str value)
{
	if (to->n == HS_VALUES_MAX)
		return KS_HOOKSIG_MALFORMED;
	to->v[to->n++] = value;
	return KS_HOOKSIG_OK;
}

/* "t=1,v1=a,v1=b" */
static enum ks_hooksig_code pick(const struct hs_var *var, struct ks_str text, struct hs_values *to)
{
	bool more = true;

	to->n = 0;
	while (more) {
		struct ks_str item = text, name, value;

		more = ks_str_split(text, ',', &item, &text);
		if (!ks_str_split(item, '=', &name, &value))
			return KS_HOOKSIG_MALFORMED;
		if (ks_str_eq(name, var->pick) && add_value(to, value))
			return KS_HOOKSIG_MALFORMED;
	}
	return to->n > 0 ? KS_HOOKSIG_OK : KS_HOOKSIG_HEADER_MISSING;
}

/* "v1,a v1,b" */
static enum ks_hooksig_code list(const struct hs_var *var, struct ks_str text, struct hs_values *to)
{
	bool more = true;

	to->n = 0;
	while (more) {
		struct ks_str item = text;

		more = ks_str_split(text, var->list, &item, &text);
		if (ks_str_starts(item, var->item_prefix) &&
		    add_value(to, ks_str_sub(item, var->item_prefix.n, SIZE_MAX)))
			return KS_HOOKSIG_MALFORMED;
	}
	return to->n > 0 ? KS_HOOKSIG_OK : KS_HOOKSIG_MALFORMED;
}

/* Part `index` of exactly `count`. */
static bool split(const struct hs_var *var, struct ks_str text, struct ks_str *ret_part)
{
	struct ks_str part;

	for (unsigned i = 0; i < var->count; i++) {
		bool last = i + 1 == var->count;

		if (ks_str_split(text, var->split, &part, &text) == last)
			return false;
		if (last)
			part = text;
		if (i == var->index)
			*ret_part = part;
	}
	return true;
}

/* The word and the blank that an Authorization header begins with (RFC 9110, 11.4). */
static bool strip_scheme(struct ks_str scheme, struct ks_str *text)
{
	if (!ks_str_eq_nocase(ks_str_sub(*text, 0, scheme.n), scheme) || text->n <= scheme.n || text->p[scheme.n] != ' ')
		return false;
	*text = ks_str_sub(*text, scheme.n + 1, SIZE_MAX);
	return true;
}

static enum ks_hooksig_code take_apart(const struct hs_var *var, struct hs_values *values)
{
	struct ks_str text = values->v[0];

	if ((var->scheme.n > 0 && !strip_scheme(var->scheme, &text)) || !ks_str_starts(text, var->prefix))
		return KS_HOOKSIG_MALFORMED;
	text = ks_str_sub(text, var->prefix.n, SIZE_MAX);
	if (var->split && !split(var, text, &text))
		return KS_HOOKSIG_MALFORMED;
	if (var->format.n > 0 && !match_format(var->format, text, var->part, &text))
		return KS_HOOKSIG_MALFORMED;
	values->v[0] = text;
	if (var->pick.n > 0)
		return pick(var, text, values);
	return var->list ? list(var, text, values) : KS_HOOKSIG_OK;
}

static const struct {
	struct ks_str prefix;
	enum ks_hooksig_code (*read)(struct hs_run *run, const struct hs_source *source, bool string, struct hs_values *to);
} sources[HS_SOURCE_COUNT] = {
	[HS_HEADER] = {{"header:", 7}, from_header}, [HS_QUERY] = {{"query:", 6}, from_query},
	[HS_PARAM] = {{"param:", 6}, from_param},    [HS_JSON] = {{"json:", 5}, from_json},
	[HS_XML] = {{"xml:", 4}, from_xml},          [HS_BODY] = {{"body", 4}, from_body},
};

static enum ks_hooksig_code read_var(struct hs_run *run, const struct hs_var *var, struct hs_values *values)
{
	enum ks_hooksig_code code = KS_HOOKSIG_HEADER_MISSING;

	values->n = 0;
	for (size_t i = 0; i < var->from_n && code == KS_HOOKSIG_HEADER_MISSING; i++)
		code = sources[var->from[i].kind].read(run, &var->from[i], var->string, values);
	if (code == KS_HOOKSIG_OK && values->n == 1)
		code = take_apart(var, values);
	for (size_t i = 0; code == KS_HOOKSIG_OK && i < values->n; i++)
		if (values->v[i].n == 0)
			code = KS_HOOKSIG_MALFORMED;
	return code;
}

enum ks_hooksig_code hs_var_read(struct hs_run *run, size_t index, const struct hs_values **ret_values)
{
	struct hs_values *values = &run->values[index];

	if (!values->read) {
		values->code = read_var(run, &run->plan->vars[index], values);
		values->read = true;
	}
	*ret_values = values;
	return values->code;
}

enum ks_hooksig_code hs_var_one(struct hs_run *run, size_t index, struct ks_str *ret_value)
{
	const struct hs_values *values;
	enum ks_hooksig_code code = hs_var_read(run, index, &values);

	if (code)
		return code;
	if (values->n != 1)
		return KS_HOOKSIG_MALFORMED;
	*ret_value = values->v[0];
	return KS_HOOKSIG_OK;
}

/* ---- compiling ---- */

bool hs_read_path(struct hs_compile *c, struct ks_str text, struct ks_str path[HS_PATH_MAX], size_t *ret_n)
{
	struct ks_str whole, step;
	size_t n = 0;
	bool more = true;

	if (!hs_arena_copy(c->arena, text, &whole))
		return hs_no_memory(c);
	while (more) {
		step = whole;
		more = ks_str_split(whole, '/', &step, &whole);
		if (n == HS_PATH_MAX || step.n == 0)
			return hs_refuse(c, "a path has 1 to %d steps, divided by /", HS_PATH_MAX);
		path[n++] = step;
	}
	*ret_n = n;
	return true;
}

static bool read_source(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_var *var = to;
	struct hs_source *source = &var->from[var->from_n];
	struct ks_str text;

	if (var->from_n == HS_SOURCES_MAX)
		return hs_refuse(c, "at most %d sources", HS_SOURCES_MAX);
	if (!hs_read_text(c, value, &text))
		return false;
	if (text.n == 0)
		return true; /* of a setting that has no value */
	for (unsigned i = 0; i < HS_SOURCE_COUNT; i++) {
		if (!ks_str_starts(text, sources[i].prefix))
			continue;
		source->kind = (enum hs_source_kind)i;
		source->name = ks_str_sub(text, sources[i].prefix.n, SIZE_MAX);
		if ((source->name.n == 0) != (i == HS_BODY))
			break;
		var->from_n++;
		return i != HS_JSON || hs_read_path(c, source->name, source->path, &source->path_n);
	}
	return hs_refuse(c, "header:NAME, query:NAME, param:NAME, json:PATH, xml:NAME or body is wanted here");
}

static bool read_from(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_var *var = (struct hs_var *)(void *)((char *)to - offsetof(struct hs_var, from));

	return ks_json_kind(value) == '[' ? hs_each_element(c, value, read_source, var) : read_source(c, value, var);
}

static bool read_type(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	*(bool *)to = ks_str_eq(text, KS_STR("string"));
	return *(bool *)to || hs_refuse(c, "string is the one type there is");
}

/* Whether "{part}" is in the format. */
static bool has_part(struct ks_str format, struct ks_str part)
{
	struct ks_str head, name;

	while (ks_str_split(format, '{', &head, &format) && ks_str_split(format, '}', &name, &format))
		if (ks_str_eq(name, part))
			return true;
	return false;
}

static bool read_one_var(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("from", read_from, struct hs_var, from),
		HS_MEMBER("scheme", hs_read_text, struct hs_var, scheme),
		HS_MEMBER("prefix", hs_read_text, struct hs_var, prefix),
		HS_MEMBER("pick", hs_read_text, struct hs_var, pick),
		HS_MEMBER("many", hs_read_flag, struct hs_var, many),
		HS_MEMBER("list", hs_read_char, struct hs_var, list),
		HS_MEMBER("item_prefix", hs_read_text, struct hs_var, item_prefix),
		HS_MEMBER("split", hs_read_char, struct hs_var, split),
		HS_MEMBER("count", hs_read_count, struct hs_var, count),
		HS_MEMBER("index", hs_read_count, struct hs_var, index),
		HS_MEMBER("format", hs_read_text, struct hs_var, format),
		HS_MEMBER("part", hs_read_text, struct hs_var, part),
		HS_MEMBER("type", read_type, struct hs_var, string),
	};
	struct hs_var *var = to, read = {.name = var->name};

	/* Of several ways to come to a variable the first counts whose settings have values. */
	if (var->from_n > 0)
		return true;
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), &read))
		return false;
	if (read.split && read.index >= read.count)
		return hs_refuse(c, "index is beyond count");
	if (read.format.n > 0 && !has_part(read.format, read.part))
		read.from_n = 0;
	*var = read;
	return true;
}

static struct hs_var *find_var(struct hs_plan *plan, struct ks_str name)
{
	for (size_t i = 0; i < plan->var_n; i++)
		if (ks_str_eq(plan->vars[i].name, name))
			return &plan->vars[i];
	return NULL;
}

static bool add_var(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct hs_plan *plan = to;
	struct hs_var *var = find_var(plan, name);

	if (!var && plan->var_n == HS_VARS_MAX)
		return hs_refuse(c, "more than %d variables", HS_VARS_MAX);
	if (!var)
		var = &plan->vars[plan->var_n++];
	*var = (struct hs_var){0};
	if (!hs_arena_copy(c->arena, name, &var->name))
		return hs_no_memory(c);
	return ks_json_kind(value) == '[' ? hs_each_element(c, value, read_one_var, var) : read_one_var(c, value, var);
}

bool hs_read_vars(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_var, (char *)to - offsetof(struct hs_plan, vars));
}

bool hs_var_index(struct hs_compile *c, struct ks_str name, size_t *ret_index)
{
	const struct hs_var *var = find_var(c->plan, name);

	if (!var || var->from_n == 0)
		return hs_refuse(c, "there is no such variable: %.*s", (int)KS_MIN(name.n, 40), name.p);
	*ret_index = (size_t)(var - c->plan->vars);
	return true;
}

bool hs_read_var_name(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str name;

	return hs_read_text(c, value, &name) && hs_var_index(c, name, to);
}
