/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of the query, a form or a JSON object, and the one text that platforms make of them to be signed. */
#include "base/json_read.h"
#include "hooksig/hooksig_priv.h"

/* ---- reading ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hs_unescape(struct ks_str text, bool plus, struct ks_buf *room, struct ks_str *ret_text)
{
	size_t from = room->n;

	if (ks_str_find(text, '%') == SIZE_MAX && (!plus || ks_str_find(text, '+') == SIZE_MAX)) {
		*ret_text = text;
		return true;
	}
	for (size_t i = 0; i < text.n; i++) {
		int high, low;

		if (text.p[i] != '%') {
			ks_buf_put_byte(room, plus && text.p[i] == '+' ? ' ' : text.p[i]);
			continue;
		}
		high = i + 1 < text.n ? hex_digit(text.p[i + 1]) : -1;
		low = i + 2 < text.n ? hex_digit(text.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		ks_buf_put_byte(room, (char)(high << 4 | low));
		i += 2;
	}
	*ret_text = ks_str_sub(ks_buf_str(room), from, room->n - from);
	return ks_buf_ok(room);
}

static struct hs_pair *new_pair(struct hs_run *run, enum hs_params_from from)
{
	struct hs_pair *pair;

	if (run->pair_n == HS_PAIRS_MAX)
		return NULL;
	pair = &run->pairs[run->pair_n++];
	*pair = (struct hs_pair){.from = from};
	return pair;
}

/* "a=1&b=2" */
static enum ks_hooksig_code read_urlencoded(struct hs_run *run, struct ks_str text, enum hs_params_from from)
{
	bool more = text.n > 0;

	while (more) {
		struct ks_str item = text, name, value;
		struct hs_pair *pair;

		more = ks_str_split(text, '&', &item, &text);
		if (item.n == 0)
			continue;
		if (!ks_str_split(item, '=', &name, &value)) {
			/* No platform writes its forms so: the body may have been cut there. */
			if (from == HS_FROM_FORM)
				return KS_HOOKSIG_MALFORMED;
			name = item;
			value = KS_STR("");
		}
		pair = new_pair(run, from);
		if (!pair || !hs_unescape(name, true, run->room, &pair->name) ||
		    !hs_unescape(value, true, run->room, &pair->value))
			return KS_HOOKSIG_MALFORMED;
	}
	return KS_HOOKSIG_OK;
}

static bool take_json_pair(struct hs_run *run, struct ks_json_read *r)
{
	struct hs_pair *pair = new_pair(run, HS_FROM_JSON);
	struct ks_json_text name = ks_json_read_name(r);
	struct ks_str value = ks_json_read_raw(r);
	char kind = ks_json_kind(value);

	if (!pair || ks_json_read_failed(r))
		return false;
	pair->name = ks_json_text_decode(name, run->room);
	pair->value = value;
	pair->null = kind == 'n';
	if (kind == '"')
		return ks_json_string(value, run->room, &pair->value);
	return kind != '{' && kind != '[';
}

/* The members of one object, each there once, that are no objects or arrays. */
static enum ks_hooksig_code read_json(struct hs_run *run, struct ks_str text)
{
	struct ks_json_read r = ks_json_read_of(text);
	size_t from = run->pair_n;
	bool first = true;

	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		if (!take_json_pair(run, &r))
			return KS_HOOKSIG_MALFORMED;
		for (size_t i = from; i + 1 < run->pair_n; i++)
			if (ks_str_eq(run->pairs[i].name, run->pairs[run->pair_n - 1].name))
				return KS_HOOKSIG_MALFORMED;
	}
	return ks_json_read_done(&r) && ks_buf_ok(run->room) && ks_str_is_utf8(text) ? KS_HOOKSIG_OK : KS_HOOKSIG_MALFORMED;
}

/* Whether `type` is the media type `name`, parameters disregarded. */
static bool type_is(struct ks_str type, struct ks_str name)
{
	size_t end = ks_str_find(type, ';');

	return ks_str_eq_nocase(ks_str_trim(ks_str_sub(type, 0, end)), name);
}

static bool is_post(const struct ks_hooksig_request *request)
{
	return ks_str_eq(request->method, KS_STR("POST")) || ks_str_eq(request->method, KS_STR("PUT"));
}

/* The body, where it is a form or (if both are wanted) JSON. A body of another type would be signed by nothing. */
static enum ks_hooksig_code read_body(struct hs_run *run, unsigned from)
{
	const struct ks_hooksig_request *request = run->request;
	struct ks_str type = KS_STR("");
	enum ks_hooksig_code code = hs_header(request, KS_STR("Content-Type"), &type);
	bool as_form = from >> HS_FROM_FORM & 1, as_json = from >> HS_FROM_JSON & 1;

	if (code == KS_HOOKSIG_MALFORMED)
		return code;
	if (request->body.n == 0 && !is_post(request))
		return KS_HOOKSIG_OK;
	if (as_form && (type.n == 0 || type_is(type, KS_STR("application/x-www-form-urlencoded"))))
		return read_urlencoded(run, request->body, HS_FROM_FORM);
	/* Where nothing else is wanted, the type does not matter: SNS sends JSON as text/plain. */
	if (as_json && (!as_form || type_is(type, KS_STR("application/json"))))
		return read_json(run, request->body);
	return KS_HOOKSIG_MALFORMED;
}

enum ks_hooksig_code hs_pairs_read(struct hs_run *run, unsigned from)
{
	unsigned body = from & ~(1u << HS_FROM_QUERY), missing = from & ~run->pairs_from;

	if (run->pairs_code || !missing)
		return run->pairs_code;
	if (missing >> HS_FROM_QUERY & 1)
		run->pairs_code = read_urlencoded(run, run->url.query, HS_FROM_QUERY);
	if (!run->pairs_code && body & missing)
		run->pairs_code = read_body(run, body & missing);
	run->pairs_from |= from;
	return run->pairs_code;
}

/* ---- order ---- */

/* Texts of UTF-8 by their UTF-16 units, as JavaScript sorts: what lies beyond the first plane comes before U+E000. */
static int utf16_order(struct ks_str a, struct ks_str b)
{
	size_t i = 0;
	unsigned char x, y;

	while (i < a.n && i < b.n && a.p[i] == b.p[i])
		i++;
	if (i == a.n || i == b.n)
		return (i < a.n) - (i < b.n);
	x = (unsigned char)a.p[i];
	y = (unsigned char)b.p[i];
	if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
		return x >= 0xf0 ? -1 : 1;
	return x < y ? -1 : 1;
}

struct order {
	const struct hs_pair *pairs;
	uint16_t index[HS_PAIRS_MAX];
	size_t n;
	bool by_value;
};

static bool comes_before(const struct order *o, uint16_t a, uint16_t b)
{
	int order = utf16_order(o->pairs[a].name, o->pairs[b].name);

	if (order == 0 && o->by_value)
		order = utf16_order(o->pairs[a].value, o->pairs[b].value);
	return order != 0 ? order < 0 : a < b;
}

static void sift_down(struct order *o, size_t at, size_t n)
{
	for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
		uint16_t index = o->index[at];

		if (child + 1 < n && comes_before(o, o->index[child], o->index[child + 1]))
			child++;
		if (!comes_before(o, index, o->index[child]))
			return;
		o->index[at] = o->index[child];
		o->index[child] = index;
		at = child;
	}
}

/* Heapsort: strangers choose the names, so that nothing is bought with a better mean. */
static void sort(struct order *o)
{
	for (size_t i = o->n / 2; i-- > 0;)
		sift_down(o, i, o->n);
	for (size_t end = o->n; end-- > 1;) {
		uint16_t last = o->index[end];

		o->index[end] = o->index[0];
		o->index[0] = last;
		sift_down(o, 0, end);
	}
}

/* ---- writing ---- */

static void put_encoded(struct hs_sink *sink, struct ks_str text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		char escape[3] = {'%', digits[c >> 4], digits[c & 15]};

		/* As JavaScript's encodeURIComponent does. */
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c > 0 && c < 0x80 && strchr("-_.!~*'()", c)))
			hs_put(sink, ks_str_sub(text, i, 1));
		else
			hs_put(sink, ks_str_of(escape, 3));
	}
}

static void put_replaced(struct hs_sink *sink, const struct hs_params *params, struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		bool replaced = ks_str_find(params->replace, text.p[i]) != SIZE_MAX;

		hs_put(sink, replaced ? ks_str_of(&params->with, 1) : ks_str_sub(text, i, 1));
	}
}

/* What stands between the quotes of a JSON string, as JSON.stringify writes it. */
static void put_json(struct hs_sink *sink, struct ks_str text)
{
	static const char *const escapes[256] = {
		['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t",
	};

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		char room[8];
		struct ks_buf unit = KS_BUF(room);

		ks_buf_printf(&unit, "\\u%04x", c);
		if (escapes[c])
			hs_put(sink, ks_str_c(escapes[c]));
		else
			hs_put(sink, c < 0x20 ? ks_buf_str(&unit) : ks_str_sub(text, i, 1));
	}
}

static void put_value(struct hs_sink *sink, const struct hs_params *params, struct ks_str text)
{
	if (params->encode)
		put_encoded(sink, text);
	else if (params->json)
		put_json(sink, text);
	else if (params->replace.n > 0)
		put_replaced(sink, params, text);
	else
		hs_put(sink, text);
}

static void put_name(struct hs_sink *sink, const struct hs_params *params, struct ks_str text)
{
	struct hs_params plain = *params;

	plain.replace = KS_STR("");
	put_value(sink, &plain, text);
}

static void put_pair(struct hs_sink *sink, const struct hs_params *params, const struct hs_pair *pair)
{
	struct ks_str rest = params->pair;

	while (rest.n > 0) {
		bool is_name = ks_str_starts(rest, KS_STR("{k}")), is_value = ks_str_starts(rest, KS_STR("{v}"));

		if (is_name)
			put_name(sink, params, pair->name);
		else if (is_value)
			put_value(sink, params, pair->value);
		else
			hs_put(sink, ks_str_sub(rest, 0, 1));
		rest = ks_str_sub(rest, is_name || is_value ? 3 : 1, SIZE_MAX);
	}
}

static bool is_in(const struct hs_list *list, struct ks_str text)
{
	for (size_t i = 0; i < list->n; i++)
		if (ks_str_eq(list->v[i], text))
			return true;
	return false;
}

static const struct hs_pair *find(const struct hs_run *run, const struct hs_params *params, struct ks_str name)
{
	for (size_t i = 0; i < run->pair_n; i++)
		if (params->from >> run->pairs[i].from & 1 && !run->pairs[i].null && ks_str_eq(run->pairs[i].name, name))
			return &run->pairs[i];
	return NULL;
}

/* The parameters that are named for this kind of message, in the order in which they are. */
static enum ks_hooksig_code choose_keys(struct hs_run *run, const struct hs_params *params, struct order *o)
{
	const struct hs_pair *by = find(run, params, params->keys_by);

	for (size_t k = 0; by && k < params->keys_n; k++) {
		if (!ks_str_eq(by->value, params->keys_of[k]))
			continue;
		for (size_t i = 0; i < params->keys[k].n; i++) {
			const struct hs_pair *pair = find(run, params, params->keys[k].v[i]);

			if (pair && o->n < HS_PAIRS_MAX)
				o->index[o->n++] = (uint16_t)(pair - run->pairs);
		}
		return KS_HOOKSIG_OK;
	}
	return KS_HOOKSIG_MALFORMED;
}

static enum ks_hooksig_code choose(struct hs_run *run, const struct hs_params *params, struct order *o)
{
	enum ks_hooksig_code code = hs_pairs_read(run, params->from);

	o->pairs = run->pairs;
	o->n = 0;
	o->by_value = params->values != HS_VALUES_ARRIVAL;
	if (code)
		return code;
	if (params->keys_by.n > 0)
		return choose_keys(run, params, o);
	for (size_t i = 0; i < run->pair_n; i++) {
		const struct hs_pair *pair = &run->pairs[i];

		if (!(params->from >> pair->from & 1) || is_in(&params->exclude, pair->name))
			continue;
		if (pair->null)
			return KS_HOOKSIG_MALFORMED;
		o->index[o->n++] = (uint16_t)i;
	}
	return KS_HOOKSIG_OK;
}

enum ks_hooksig_code hs_params_any(struct hs_run *run, const struct hs_params *params, bool *ret_any)
{
	struct order o;
	enum ks_hooksig_code code = choose(run, params, &o);

	if (code == KS_HOOKSIG_OK)
		*ret_any = o.n > 0;
	return code;
}

static bool same_pair(const struct hs_pair *a, const struct hs_pair *b)
{
	return ks_str_eq(a->name, b->name) && ks_str_eq(a->value, b->value);
}

enum ks_hooksig_code hs_params_put(struct hs_run *run, const struct hs_params *params, struct hs_sink *sink)
{
	struct order o;
	enum ks_hooksig_code code = choose(run, params, &o);
	const struct hs_pair *last = NULL;

	if (code)
		return code;
	if (params->sorted)
		sort(&o);
	hs_put(sink, params->open);
	for (size_t i = 0; i < o.n; i++) {
		const struct hs_pair *pair = &run->pairs[o.index[i]];

		if (last && params->values == HS_VALUES_DEDUPE && same_pair(last, pair))
			continue;
		if (last)
			hs_put(sink, params->join);
		put_pair(sink, params, pair);
		last = pair;
	}
	hs_put(sink, params->close);
	return KS_HOOKSIG_OK;
}

/* ---- compiling ---- */

static bool add_from(struct hs_compile *c, struct ks_str value, void *to)
{
	static const char *const names[HS_FROM_COUNT] = {"query", "form", "json"};
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	for (unsigned i = 0; i < HS_FROM_COUNT; i++)
		if (ks_str_eq(text, ks_str_c(names[i]))) {
			*(unsigned *)to |= 1u << i;
			return true;
		}
	return hs_refuse(c, "query, form or json is wanted here");
}

static bool read_from(struct hs_compile *c, struct ks_str value, void *to)
{
	return ks_json_kind(value) == '[' ? hs_each_element(c, value, add_from, to) : add_from(c, value, to);
}

static bool read_values(struct hs_compile *c, struct ks_str value, void *to)
{
	static const char *const names[] = {"arrival", "sort", "sort-dedupe"};
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	for (unsigned i = 0; i < KS_ARRAY_LEN(names); i++)
		if (ks_str_eq(text, ks_str_c(names[i]))) {
			*(enum hs_params_values *)to = (enum hs_params_values)i;
			return true;
		}
	return hs_refuse(c, "arrival, sort or sort-dedupe is wanted here");
}

static bool add_keys(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct hs_params *params = to;

	if (params->keys_n == KS_ARRAY_LEN(params->keys))
		return hs_refuse(c, "at most %zu kinds of message", KS_ARRAY_LEN(params->keys));
	if (!hs_arena_copy(c->arena, name, &params->keys_of[params->keys_n]))
		return hs_no_memory(c);
	return hs_read_texts(c, value, &params->keys[params->keys_n++]);
}

static bool read_keys(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_keys, (char *)to - offsetof(struct hs_params, keys));
}

static bool add_params(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("from", read_from, struct hs_params, from),
		HS_NEEDED("pair", hs_read_text, struct hs_params, pair),
		HS_MEMBER("exclude", hs_read_texts, struct hs_params, exclude),
		HS_MEMBER("keys_by", hs_read_text, struct hs_params, keys_by),
		HS_MEMBER("keys", read_keys, struct hs_params, keys),
		HS_MEMBER("sorted", hs_read_flag, struct hs_params, sorted),
		HS_MEMBER("values", read_values, struct hs_params, values),
		HS_MEMBER("encode", hs_read_flag, struct hs_params, encode),
		HS_MEMBER("json", hs_read_flag, struct hs_params, json),
		HS_MEMBER("replace", hs_read_text, struct hs_params, replace),
		HS_MEMBER("with", hs_read_char, struct hs_params, with),
		HS_MEMBER("join", hs_read_text, struct hs_params, join),
		HS_MEMBER("open", hs_read_text, struct hs_params, open),
		HS_MEMBER("close", hs_read_text, struct hs_params, close),
	};
	struct hs_plan *plan = to;
	struct hs_params *params = &plan->params[plan->params_n];

	if (plan->params_n == HS_PARAMS_MAX)
		return hs_refuse(c, "at most %d texts of parameters", HS_PARAMS_MAX);
	*params = (struct hs_params){0};
	if (!hs_arena_copy(c->arena, name, &params->name))
		return hs_no_memory(c);
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), params))
		return false;
	if (params->replace.n > 0 && !params->with)
		return hs_refuse(c, "replace needs with");
	plan->params_n++;
	return true;
}

bool hs_read_params(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_params, (char *)to - offsetof(struct hs_plan, params));
}
