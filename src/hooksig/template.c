/* SPDX-License-Identifier: Apache-2.0 */
/* What is signed, written as a text with names in braces. */
#include "base/ctenc.h"
#include "base/secret.h"
#include "hooksig/hooksig_priv.h"

void hs_put(struct hs_sink *sink, struct ks_str bytes)
{
	if (sink->hasher)
		ks_hasher_put(sink->hasher, bytes);
	else
		ks_buf_put(sink->buf, bytes);
}

/* ---- what the names mean ---- */

typedef enum ks_hooksig_code put_fn(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink);

static enum ks_hooksig_code put_literal(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)run;
	hs_put(sink, segment->text);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_body(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	hs_put(sink, run->request->body);
	return KS_HOOKSIG_OK;
}

static void put_authority(const struct hs_run *run, struct hs_sink *sink)
{
	const struct hs_url *url = &run->url;
	bool tls = ks_str_eq_nocase(url->scheme, KS_STR("https")) || ks_str_eq_nocase(url->scheme, KS_STR("wss"));

	hs_put(sink, url->host);
	if (run->variant == HS_URL_DEFAULT_PORT) {
		hs_put(sink, tls ? KS_STR(":443") : KS_STR(":80"));
	} else if (run->variant == HS_URL_AS_IS && url->port.n > 0) {
		hs_put(sink, KS_STR(":"));
		hs_put(sink, url->port);
	}
}

static enum ks_hooksig_code put_url_base(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	hs_put(sink, run->url.scheme);
	hs_put(sink, KS_STR("://"));
	if (run->url.userinfo.n > 0) {
		hs_put(sink, run->url.userinfo);
		hs_put(sink, KS_STR("@"));
	}
	put_authority(run, sink);
	hs_put(sink, run->url.path);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_url(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)put_url_base(run, segment, sink);
	if (run->url.has_query) {
		hs_put(sink, KS_STR("?"));
		hs_put(sink, run->url.query);
	}
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_path(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	hs_put(sink, run->url.path.n > 0 ? run->url.path : KS_STR("/"));
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_query(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	hs_put(sink, run->url.query);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_host(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	put_authority(run, sink);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_method(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	hs_put(sink, run->request->method);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_secret(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	(void)segment;
	hs_put(sink, run->secret);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_header(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	struct ks_str value;
	enum ks_hooksig_code code = hs_header(run->request, segment->text, &value);

	if (code == KS_HOOKSIG_OK)
		hs_put(sink, value);
	return code;
}

static enum ks_hooksig_code put_var(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	struct ks_str value;
	enum ks_hooksig_code code = hs_var_one(run, segment->index[0], &value);

	if (code == KS_HOOKSIG_OK)
		hs_put(sink, value);
	return code;
}

static enum ks_hooksig_code put_params(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	return hs_params_put(run, &run->plan->params[segment->index[0]], sink);
}

/* {?a+b:text}: where either has anything; {?a*b:text}: where both have. */
static enum ks_hooksig_code put_if(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	bool a = false, b = false;
	enum ks_hooksig_code code = hs_params_any(run, &run->plan->params[segment->index[0]], &a);

	if (code == KS_HOOKSIG_OK)
		code = hs_params_any(run, &run->plan->params[segment->index[1]], &b);
	if (code == KS_HOOKSIG_OK && (segment->kind == HS_SEG_IF_BOTH ? a && b : a || b))
		hs_put(sink, segment->text);
	return code;
}

static const struct {
	const char *name; /* NULL: found otherwise */
	put_fn *put;
	bool body, url, secret;
} kinds[HS_SEG_COUNT] = {
	[HS_SEG_LITERAL] = {NULL, put_literal, false, false, false},
	[HS_SEG_BODY] = {"body", put_body, true, false, false},
	[HS_SEG_URL] = {"url", put_url, false, true, false},
	[HS_SEG_URL_BASE] = {"url.base", put_url_base, false, true, false},
	[HS_SEG_PATH] = {"path", put_path, false, false, false},
	[HS_SEG_QUERY] = {"query", put_query, false, false, false},
	[HS_SEG_HOST] = {"host", put_host, false, true, false},
	[HS_SEG_METHOD] = {"method", put_method, false, false, false},
	[HS_SEG_SECRET] = {"secret", put_secret, false, false, true},
	[HS_SEG_HEADER] = {NULL, put_header, false, false, false},
	[HS_SEG_VAR] = {NULL, put_var, false, false, false},
	[HS_SEG_PARAMS] = {NULL, put_params, false, false, false},
	[HS_SEG_IF_ANY] = {NULL, put_if, false, false, false},
	[HS_SEG_IF_BOTH] = {NULL, put_if, false, false, false},
};

/* ---- filters ---- */

/* A digest of what the segment says, or a code under the key that vouched for the request. */
static enum ks_hooksig_code digest(struct hs_run *run, const struct hs_segment *segment, const struct hs_filter *filter,
				   unsigned char bytes[KS_HASHER_MAX])
{
	struct ks_hasher hasher;
	struct hs_sink to = {.hasher = &hasher};
	enum ks_hooksig_code code;
	enum ks_err err;

	if (filter->kind == HS_FILTER_HMAC && !run->matched)
		return KS_HOOKSIG_SIGNATURE_MISMATCH;
	if (filter->kind == HS_FILTER_HMAC)
		ks_hmac_begin(run->matched, &hasher);
	else
		ks_hasher_begin(&hasher, filter->alg);
	code = kinds[segment->kind].put(run, segment, &to);
	err = filter->kind == HS_FILTER_HMAC ? ks_hmac_end(run->matched, &hasher, bytes) : ks_hasher_end(&hasher, bytes);
	return err ? KS_HOOKSIG_MALFORMED : code;
}

/* Undoes the escapes of the characters of `set` alone. */
static void put_unescaped(struct hs_sink *sink, struct ks_str text, struct ks_str set)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char byte;

		if (text.p[i] == '%' && ks_hex_decode(ks_str_sub(text, i + 1, 2), true, &byte, 1) &&
		    ks_str_find(set, (char)byte) != SIZE_MAX) {
			hs_put(sink, ks_str_of((const char *)&byte, 1));
			i += 2;
		} else {
			hs_put(sink, ks_str_sub(text, i, 1));
		}
	}
}

static enum ks_hooksig_code put_unescape(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	struct ks_buf room = *run->room;
	struct hs_sink to = {.buf = &room};
	enum ks_hooksig_code code = kinds[segment->kind].put(run, segment, &to);

	if (code || !ks_buf_ok(&room))
		return code ? code : KS_HOOKSIG_MALFORMED;
	put_unescaped(sink, ks_str_sub(ks_buf_str(&room), run->room->n, SIZE_MAX), segment->filters[0].set);
	return KS_HOOKSIG_OK;
}

static enum ks_hooksig_code put_filtered(struct hs_run *run, const struct hs_segment *segment, struct hs_sink *sink)
{
	const struct hs_filter *filter = segment->filters, *end = &segment->filters[segment->filter_n];
	unsigned char bytes[KS_HASHER_MAX];
	char room[2 * KS_HASHER_MAX + 8];
	struct ks_buf text = KS_BUF(room);
	struct ks_str value;
	enum ks_hooksig_code code;

	if (filter->kind == HS_FILTER_UNESCAPE)
		return put_unescape(run, segment, sink);
	if (filter->kind == HS_FILTER_IF_ANY) {
		if (run->request->body.n == 0)
			return KS_HOOKSIG_OK;
		filter++;
	}
	code = digest(run, segment, filter, bytes);
	if (code)
		return code;
	value = ks_str_of((const char *)bytes, filter->kind == HS_FILTER_HMAC ? ks_hasher_size(run->matched->inner.alg)
									      : ks_hasher_size(filter->alg));
	if (++filter < end) {
		hs_encode(filter->kind == HS_FILTER_HEX ? HS_HEX : filter->kind == HS_FILTER_BASE64 ? HS_BASE64
												    : HS_BASE64URL,
			  value, &text);
		value = ks_buf_str(&text);
	}
	hs_put(sink, value);
	return KS_HOOKSIG_OK;
}

enum ks_hooksig_code hs_template_put(struct hs_run *run, const struct hs_template *t, struct hs_sink *sink)
{
	enum ks_hooksig_code code = KS_HOOKSIG_OK;

	for (size_t i = 0; i < t->n && code == KS_HOOKSIG_OK; i++) {
		const struct hs_segment *segment = &t->segments[i];

		code = segment->filter_n > 0 ? put_filtered(run, segment, sink) : kinds[segment->kind].put(run, segment, sink);
	}
	return code;
}

enum ks_hooksig_code hs_template_text(struct hs_run *run, const struct hs_template *t, struct ks_str *ret_text)
{
	/* What a variable decodes while it is read goes to `room`, before what the template says. */
	size_t reserve = run->room->n;
	struct ks_buf own;
	struct hs_sink sink = {.buf = &own};
	enum ks_hooksig_code code;

	for (size_t i = 0; i < t->n; i++) {
		const struct hs_values *values;

		if (t->segments[i].kind == HS_SEG_VAR)
			(void)hs_var_read(run, t->segments[i].index[0], &values);
		if (t->segments[i].kind == HS_SEG_PARAMS)
			(void)hs_pairs_read(run, run->plan->params[t->segments[i].index[0]].from);
	}
	reserve = run->room->n;
	own = *run->room;
	code = hs_template_put(run, t, &sink);
	run->room->n = own.n;
	if (!ks_buf_ok(&own))
		return KS_HOOKSIG_MALFORMED;
	*ret_text = ks_str_sub(ks_buf_str(&own), reserve, SIZE_MAX);
	return code;
}

/* ---- compiling ---- */

static bool add_filter(struct hs_compile *c, struct hs_segment *segment, struct ks_str name)
{
	static const struct {
		const char *name;
		enum hs_filter_kind kind;
	} plain[] = {{"hex", HS_FILTER_HEX}, {"base64", HS_FILTER_BASE64}, {"base64url", HS_FILTER_BASE64URL},
		     {"if-any", HS_FILTER_IF_ANY}, {"hmac", HS_FILTER_HMAC}};
	struct hs_filter *filter = &segment->filters[segment->filter_n];
	struct ks_str prefix = KS_STR("unescape=");

	if (segment->filter_n == HS_FILTERS_MAX)
		return hs_refuse(c, "more than %d filters", HS_FILTERS_MAX);
	segment->filter_n++;
	if (ks_str_starts(name, prefix)) {
		*filter = (struct hs_filter){.kind = HS_FILTER_UNESCAPE, .set = ks_str_sub(name, prefix.n, SIZE_MAX)};
		return true;
	}
	if (ks_hasher_parse(name, &filter->alg)) {
		filter->kind = HS_FILTER_HASH;
		return true;
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(plain); i++)
		if (ks_str_eq(name, ks_str_c(plain[i].name))) {
			filter->kind = plain[i].kind;
			return true;
		}
	return hs_refuse(c, "no such filter: %.*s", (int)KS_MIN(name.n, 40), name.p);
}

static bool is_digest(const struct hs_segment *segment, size_t at)
{
	return at < segment->filter_n &&
	       (segment->filters[at].kind == HS_FILTER_HASH || segment->filters[at].kind == HS_FILTER_HMAC);
}

/* unescape alone; or if-any (of the body), a digest, an encoding, the first and the last of which may be missing. */
static bool check_filters(struct hs_compile *c, const struct hs_segment *segment)
{
	size_t at = 0;

	if (segment->filter_n == 0 || (segment->filter_n == 1 && segment->filters[0].kind == HS_FILTER_UNESCAPE))
		return true;
	at += segment->filters[0].kind == HS_FILTER_IF_ANY && segment->kind == HS_SEG_BODY;
	if (!is_digest(segment, at))
		return hs_refuse(c, "a filter cannot stand there");
	/* Nobody may have anything signed by us that is not an answer to what the holder of the key asked. */
	if (segment->filters[at].kind == HS_FILTER_HMAC && !c->for_challenge)
		return hs_refuse(c, "hmac is for the answers to challenges that are vouched for");
	at++;
	if (at < segment->filter_n && (is_digest(segment, at) || segment->filters[at].kind == HS_FILTER_UNESCAPE ||
				       segment->filters[at].kind == HS_FILTER_IF_ANY))
		return hs_refuse(c, "a filter cannot stand there");
	return at + 1 >= segment->filter_n || hs_refuse(c, "a filter cannot stand there");
}

static bool params_index(const struct hs_compile *c, struct ks_str name, size_t *ret_index)
{
	for (size_t i = 0; i < c->plan->params_n; i++)
		if (ks_str_eq(c->plan->params[i].name, name)) {
			*ret_index = i;
			return true;
		}
	return false;
}

/* "?a+b:text" */
static bool read_condition(struct hs_compile *c, struct ks_str text, struct hs_segment *segment)
{
	struct ks_str names, a, b;

	if (!ks_str_split(ks_str_sub(text, 1, SIZE_MAX), ':', &names, &segment->text))
		return hs_refuse(c, "{?a+b:text} or {?a*b:text} is wanted here");
	segment->kind = ks_str_split(names, '+', &a, &b) ? HS_SEG_IF_ANY : HS_SEG_IF_BOTH;
	if (segment->kind == HS_SEG_IF_BOTH && !ks_str_split(names, '*', &a, &b))
		return hs_refuse(c, "{?a+b:text} or {?a*b:text} is wanted here");
	return (params_index(c, a, &segment->index[0]) && params_index(c, b, &segment->index[1])) ||
	       hs_refuse(c, "the names in a condition are of texts of parameters");
}

/* "body_sha256_hex" is "body|sha256|hex". */
static bool read_body_digest(struct ks_str name, struct hs_segment *segment)
{
	struct ks_str alg, encoding, prefix = KS_STR("body_");

	if (!ks_str_starts(name, prefix) || !ks_str_split(ks_str_sub(name, prefix.n, SIZE_MAX), '_', &alg, &encoding) ||
	    !ks_hasher_parse(alg, &segment->filters[0].alg))
		return false;
	segment->kind = HS_SEG_BODY;
	segment->filters[0].kind = HS_FILTER_HASH;
	segment->filters[1].kind = ks_str_eq(encoding, KS_STR("hex")) ? HS_FILTER_HEX : HS_FILTER_BASE64;
	segment->filter_n = 2;
	return segment->filters[1].kind == HS_FILTER_HEX || ks_str_eq(encoding, KS_STR("base64"));
}

static bool read_name(struct hs_compile *c, struct ks_str name, struct hs_segment *segment)
{
	struct ks_str header = KS_STR("header:");

	for (unsigned i = 0; i < HS_SEG_COUNT; i++)
		if (kinds[i].name && ks_str_eq(name, ks_str_c(kinds[i].name))) {
			segment->kind = (enum hs_segment_kind)i;
			return true;
		}
	if (ks_str_starts(name, header)) {
		segment->kind = HS_SEG_HEADER;
		segment->text = ks_str_sub(name, header.n, SIZE_MAX);
		return true;
	}
	if (params_index(c, name, &segment->index[0])) {
		segment->kind = HS_SEG_PARAMS;
		return true;
	}
	if (read_body_digest(name, segment))
		return true;
	segment->kind = HS_SEG_VAR;
	return hs_var_index(c, name, &segment->index[0]);
}

static bool read_braces(struct hs_compile *c, struct ks_str text, struct hs_segment *segment)
{
	struct ks_str name = text, filter, rest = KS_STR("");
	bool more;

	if (ks_str_starts(text, KS_STR("?")))
		return read_condition(c, text, segment);
	more = ks_str_split(text, '|', &name, &rest);
	if (!read_name(c, name, segment))
		return false;
	while (more) {
		filter = rest;
		more = ks_str_split(rest, '|', &filter, &rest);
		if (!add_filter(c, segment, filter))
			return false;
	}
	return check_filters(c, segment);
}

static void add_uses(struct hs_compile *c, struct hs_template *t, const struct hs_segment *segment)
{
	unsigned in_body = 1u << HS_FROM_FORM | 1u << HS_FROM_JSON;

	t->covers_body |= kinds[segment->kind].body ||
			  (segment->kind == HS_SEG_PARAMS && c->plan->params[segment->index[0]].from & in_body);
	t->uses_url |= kinds[segment->kind].url;
	t->uses_secret |= kinds[segment->kind].secret;
}

bool hs_read_template(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_template *t = to;
	struct ks_str rest;

	t->n = 0;
	t->segments = hs_arena_take(c->arena, HS_SEGMENTS_MAX * sizeof(*t->segments));
	if (!t->segments)
		return hs_no_memory(c);
	if (!hs_read_text(c, value, &rest))
		return false;
	while (rest.n > 0) {
		struct hs_segment *segment = &t->segments[t->n];
		size_t open = KS_MIN(ks_str_find(rest, '{'), rest.n);
		struct ks_str inner;

		if (t->n == HS_SEGMENTS_MAX)
			return hs_refuse(c, "more than %d parts", HS_SEGMENTS_MAX);
		t->n++;
		if (open > 0) {
			*segment = (struct hs_segment){.kind = HS_SEG_LITERAL, .text = ks_str_sub(rest, 0, open)};
			rest = ks_str_sub(rest, open, SIZE_MAX);
			continue;
		}
		*segment = (struct hs_segment){0};
		if (!ks_str_split(ks_str_sub(rest, 1, SIZE_MAX), '}', &inner, &rest))
			return hs_refuse(c, "a brace is not closed");
		if (!read_braces(c, inner, segment))
			return false;
		add_uses(c, t, segment);
	}
	return true;
}
