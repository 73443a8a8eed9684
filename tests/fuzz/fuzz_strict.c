/* SPDX-License-Identifier: Apache-2.0 */
/* The strict layer on raw heads. They are split here as leniently as libmicrohttpd 0.9 splits them: bare LF ends a
 * line, NUL a value, a line that begins with NUL is empty, and a folded line completes the name before it. What then
 * passes both the rules and the seams must be exactly what a second, plain reading of RFC 9112 takes, which looks at
 * the raw bytes; but for a NUL in the very place of a CR or LF, which looks the same in the library's buffer
 * (docs/threat-model.md). */
#include <stdlib.h>

#include "http/strict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAW_MAX 40000
#define SPLIT_HEADERS_MAX 128

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

/* ---- the lenient reading ---- */

struct lenient {
	char *raw; /* cut in place */
	size_t size;
	size_t at;
	struct ks_http_head head;
	struct ks_header headers[SPLIT_HEADERS_MAX];
	size_t head_size;
	char folded[SPLIT_HEADERS_MAX][64]; /* names that a fold has moved */
};

/* The next line, terminated in place; NULL without an end. */
static char *next_line(struct lenient *l, size_t *ret_n)
{
	char *line = &l->raw[l->at];

	for (size_t i = l->at; i < l->size; i++) {
		if (l->raw[i] == '\r' && i + 1 < l->size && l->raw[i + 1] == '\n') {
			l->raw[i] = l->raw[i + 1] = '\0';
			*ret_n = i - l->at;
			l->at = i + 2;
			return line;
		}
		if (l->raw[i] == '\n') {
			l->raw[i] = '\0';
			*ret_n = i - l->at;
			l->at = i + 1;
			return line;
		}
	}
	return NULL;
}

static bool split_line(struct lenient *l)
{
	size_t n;
	char *line, *target, *version;

	do {
		line = next_line(l, &n);
	} while (line && !line[0]);
	if (!line)
		return false;
	target = memchr(line, ' ', n);
	if (!target)
		return false;
	*target++ = '\0';
	while (target < &line[n] && *target == ' ')
		target++;
	version = &line[n - 1];
	while (version > target && *version != ' ')
		version--;
	if (version <= target || &line[n] - version != 9)
		return false;
	*version++ = '\0';
	l->head.method = ks_str_c(line);
	l->head.target = ks_str_c(target);
	l->head.version = ks_str_c(version);
	return true;
}

/* A continuation goes to the name, as the library's terminated texts have it. */
static bool fold(struct lenient *l, const char *line)
{
	struct ks_header *last;
	char *moved;
	size_t n;

	if (l->head.header_count == 0)
		return false;
	last = &l->headers[l->head.header_count - 1];
	moved = l->folded[l->head.header_count - 1];
	while (*line == ' ' || *line == '\t')
		line++;
	n = strlen(line);
	if (last->name.n + n >= sizeof(l->folded[0]))
		return false;
	memmove(moved, last->name.p, last->name.n);
	memcpy(&moved[last->name.n], line, n);
	last->name = ks_str_of(moved, last->name.n + n);
	return true;
}

static bool split_header(struct lenient *l, char *line)
{
	char *colon = strchr(line, ':'), *value;

	if (!colon || l->head.header_count == SPLIT_HEADERS_MAX)
		return false;
	*colon = '\0';
	value = colon + 1;
	while (*value == ' ' || *value == '\t')
		value++;
	l->headers[l->head.header_count++] = (struct ks_header){ks_str_c(line), ks_str_c(value)};
	return true;
}

/* False: the library refuses by itself, or waits for more. */
static bool split(struct lenient *l)
{
	l->head = (struct ks_http_head){.headers = l->headers};
	if (!split_line(l))
		return false;
	for (;;) {
		size_t n;
		char *line = next_line(l, &n);

		if (!line)
			return false;
		if (!line[0])
			break;
		if (line[0] == ' ' || line[0] == '\t') {
			if (!fold(l, line))
				return false;
		} else if (!split_header(l, line)) {
			return false;
		}
	}
	l->head_size = (size_t)(&l->raw[l->at] - l->head.method.p);
	return true;
}

/* ---- the plain reading ---- */

struct plain {
	const char *p, *end;
};

static bool is_tchar(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_vchar(char c)
{
	return c >= 0x21 && c <= 0x7e;
}

static bool is_field(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static struct ks_str run(struct plain *r, bool (*is)(char c))
{
	const char *from = r->p;

	while (r->p < r->end && is(*r->p))
		r->p++;
	return ks_str_of(from, (size_t)(r->p - from));
}

static bool literal(struct plain *r, const char *text)
{
	for (; *text; text++, r->p++)
		if (r->p == r->end || *r->p != *text)
			return false;
	return true;
}

/* CR LF after a header, or NUL LF, which cannot be told from it. */
static bool line_end(struct plain *r)
{
	if (r->end - r->p < 2 || (r->p[0] != '\r' && r->p[0] != '\0') || r->p[1] != '\n')
		return false;
	r->p += 2;
	return true;
}

/* The last line's end and the empty line, in four bytes; CR LF CR LF, or what cannot be told from it, which has a NUL
 * somewhere. */
static bool head_end(struct plain *r)
{
	static const char ends[][5] = {"\r\n\r\n", "\r\n0\n", "0\n\r\n", "0\n0\n",
				       "\n00\n",     "\n0\r\n", "00\n\n",   "0\r\n\n"};
	const char *at = r->p;

	r->p += 4;
	for (size_t i = 0; i < KS_ARRAY_LEN(ends); i++) {
		size_t same = 0;

		while (same < 4 && at[same] == (ends[i][same] == '0' ? '\0' : ends[i][same]))
			same++;
		if (same == 4)
			return true;
	}
	return false;
}

static bool at_head_end(const struct plain *r)
{
	return r->end - r->p == 4;
}

struct rules {
	unsigned hosts, authorizations, lengths, codings;
	struct ks_str length, coding;
	size_t count, bytes;
};

static bool plain_header(struct plain *r, struct rules *rules)
{
	struct ks_str name = run(r, is_tchar), value;

	if (name.n == 0 || !literal(r, ":"))
		return false;
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
	value = run(r, is_field);
	rules->count++;
	rules->bytes += name.n + value.n;
	if (ks_str_eq_nocase(name, KS_STR("host")))
		rules->hosts++;
	if (ks_str_eq_nocase(name, KS_STR("authorization")))
		rules->authorizations++;
	if (ks_str_eq_nocase(name, KS_STR("content-length")) && rules->lengths++ == 0)
		rules->length = value;
	if (ks_str_eq_nocase(name, KS_STR("transfer-encoding")) && rules->codings++ == 0)
		rules->coding = value;
	return at_head_end(r) ? head_end(r) : line_end(r);
}

static bool plain_rules(const struct rules *rules, bool one_one)
{
	uint64_t length;

	return rules->count <= KS_HEADERS_MAX && rules->bytes <= KS_HEAD_BYTES_MAX && rules->hosts <= 1 &&
	       (rules->hosts || !one_one) && rules->authorizations <= 1 && rules->lengths + rules->codings <= 1 &&
	       (!rules->lengths || ks_str_to_u64(rules->length, INT64_MAX, &length)) &&
	       (!rules->codings || (one_one && ks_str_eq_nocase(rules->coding, KS_STR("chunked"))));
}

static bool plainly_fine(const char *raw, size_t size)
{
	struct plain r = {raw, raw + size};
	struct rules rules = {.hosts = 0};
	struct ks_str target;
	bool one_one;

	if (run(&r, is_tchar).n == 0 || !literal(&r, " "))
		return false;
	target = run(&r, is_vchar);
	rules.bytes = target.n;
	if (target.n == 0 || target.p[0] != '/' || target.n > KS_TARGET_MAX || !literal(&r, " HTTP/1."))
		return false;
	one_one = r.p < r.end && *r.p == '1';
	if (!literal(&r, one_one ? "1" : "0"))
		return false;
	/* In the request line a NUL would have made the version too long. */
	if (at_head_end(&r))
		return *r.p != '\0' && head_end(&r) && plain_rules(&rules, one_one);
	if (!literal(&r, "\r\n"))
		return false;
	while (r.p < r.end)
		if (!plain_header(&r, &rules))
			return false;
	return plain_rules(&rules, one_one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char raw[RAW_MAX + 1], untouched[RAW_MAX];
	static struct lenient l;
	struct ks_http_facts facts;
	bool fine;

	if (size > RAW_MAX)
		return 0;
	memcpy(raw, data, size);
	memcpy(untouched, data, size);
	raw[size] = '\0';
	l.raw = raw;
	l.size = size;
	l.at = 0;
	if (!split(&l))
		return 0;
	fine = ks_http_strict(&l.head, &facts) == KS_HTTP_REFUSED_NOT &&
	       ks_http_seams(&l.head, l.head.method.p, l.head_size) == KS_HTTP_REFUSED_NOT;
	CHECK(fine == plainly_fine(&untouched[l.head.method.p - raw], l.head_size));
	(void)ks_http_request_id_ok(l.head.target);
	(void)ks_http_traceparent_ok(l.head.target);
	return 0;
}
