/* SPDX-License-Identifier: Apache-2.0 */
#include "http/strict.h"

#define MALFORMED "request_malformed"

static const struct ks_http_refusal_info refusals[KS_HTTP_REFUSED_COUNT] = {
#define ROW(name, status, code, detail) [KS_HTTP_REFUSED_##name] = {#name, status, code, detail}
	ROW(content_length_conflict, 400, MALFORMED, "Content-Length is given more than once."),
	ROW(content_length_malformed, 400, MALFORMED, "Content-Length is not a decimal number."),
	ROW(length_and_coding, 400, MALFORMED, "Content-Length and Transfer-Encoding exclude each other."),
	ROW(transfer_coding_unknown, 400, MALFORMED, "The one transfer coding taken is chunked, once, in HTTP/1.1."),
	ROW(host_repeated, 400, MALFORMED, "Host is given more than once."),
	ROW(host_missing, 400, MALFORMED, "HTTP/1.1 requires Host."),
	ROW(authorization_repeated, 400, MALFORMED, "Authorization is given more than once."),
	ROW(header_name_malformed, 400, MALFORMED, "The name of a header is not a token."),
	ROW(header_value_control, 400, MALFORMED,
	    "The value of a header holds a control character, or its line is folded or not ended by CRLF."),
	ROW(target_malformed, 400, MALFORMED, "The target must begin with a slash and be printable ASCII alone."),
	ROW(method_malformed, 400, MALFORMED, "The method is not a token."),
	ROW(version_unsupported, 505, MALFORMED, "The versions spoken here are HTTP/1.1 and HTTP/1.0."),
	ROW(too_many_headers, 431, "headers_too_large", "There are more headers than taken here."),
	ROW(headers_too_large, 431, "headers_too_large", "The headers are larger than their limit."),
	ROW(target_too_large, 414, "target_too_long", "The target is longer than its limit."),
	ROW(body_too_large, 413, "too_large", "The body is larger than its limit."),
	ROW(bodies_full, 503, "overloaded", "Too many bodies are being received."),
	ROW(request_malformed, 400, MALFORMED, "The request is not well-formed HTTP."),
	ROW(deadline, 0, MALFORMED, "The request took too long."),
	ROW(connection_limit, 0, "overloaded", "There are too many connections."),
	ROW(local_peer, 0, MALFORMED, "The local socket is its owner's alone."),
#undef ROW
};

const struct ks_http_refusal_info *ks_http_refusal_info(enum ks_http_refusal refusal)
{
	return &refusals[refusal];
}

/* ---- sets of bytes ---- */

#define C_TOKEN 1  /* RFC 9110 section 5.6.2: tchar */
#define C_TARGET 2 /* printable ASCII without the blank */
#define C_ID 4     /* request ids */

#define VISIBLE C_TARGET
#define TOKEN (C_TOKEN | C_TARGET)
#define WORD (C_TOKEN | C_TARGET | C_ID)
static const uint8_t classes[256] = {
	['0' ... '9'] = WORD, ['A' ... 'Z'] = WORD, ['a' ... 'z'] = WORD, ['-'] = WORD, ['.'] = WORD, ['_'] = WORD,
	['!'] = TOKEN, ['#' ... '\''] = TOKEN, ['*'] = TOKEN, ['+'] = TOKEN, ['^'] = TOKEN, ['`'] = TOKEN, ['|'] = TOKEN,
	['~'] = TOKEN,
	['"'] = VISIBLE, ['('] = VISIBLE, [')'] = VISIBLE, [','] = VISIBLE, ['/'] = VISIBLE, [':' ... '@'] = VISIBLE,
	['[' ... ']'] = VISIBLE, ['{'] = VISIBLE, ['}'] = VISIBLE,
};
#undef VISIBLE
#undef TOKEN
#undef WORD

/* True if every byte is of the set; the empty text is of every set. */
static bool all_of(struct ks_str s, uint8_t set)
{
	uint8_t all = set;

	for (size_t i = 0; i < s.n; i++)
		all &= classes[(unsigned char)s.p[i]];
	return all == set;
}

static bool is_token(struct ks_str s)
{
	return s.n > 0 && all_of(s, C_TOKEN);
}

static bool value_byte_ok(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Whether one of eight bytes is no byte of a value; a tab counts as none here. */
static bool word_has_control(const char *at)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
	uint64_t word, low, deleted;

	memcpy(&word, at, sizeof(word));
	low = (word - ones * 0x20) & ~word;
	deleted = word ^ (ones * 0x7f);
	deleted = (deleted - ones) & ~deleted;
	return (low | deleted) & tops;
}

/* Eight bytes at a time, as every value of every request and answer passes here. The last eight overlap those before. */
bool ks_http_value_ok(struct ks_str value)
{
	const size_t size = sizeof(uint64_t);
	bool suspect = value.n < size;

	for (size_t i = 0; !suspect && i + size < value.n; i += size)
		suspect = word_has_control(&value.p[i]);
	if (!suspect && !word_has_control(&value.p[value.n - size]))
		return true;
	for (size_t i = 0; i < value.n; i++)
		if (!value_byte_ok((unsigned char)value.p[i]))
			return false;
	return true;
}

bool ks_http_request_id_ok(struct ks_str text)
{
	return text.n > 0 && text.n <= KS_REQUEST_ID_MAX && all_of(text, C_ID);
}

/* `n` lower-case hexadecimal digits, not all of them zero. */
static bool is_trace_id(struct ks_str s, bool zero_ok)
{
	bool zero = true;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		zero &= c == '0';
	}
	return zero_ok || !zero;
}

bool ks_http_traceparent_ok(struct ks_str text)
{
	return text.n == 55 && ks_str_starts(text, KS_STR("00-")) && text.p[35] == '-' && text.p[52] == '-' &&
	       is_trace_id(ks_str_sub(text, 3, 32), false) && is_trace_id(ks_str_sub(text, 36, 16), false) &&
	       is_trace_id(ks_str_sub(text, 53, 2), true);
}

/* ---- the rules ---- */

static enum ks_http_refusal check_line(const struct ks_http_head *head)
{
	if (head->version.n != 8 || !ks_str_starts(head->version, KS_STR("HTTP/1.")) ||
	    (head->version.p[7] != '0' && head->version.p[7] != '1'))
		return KS_HTTP_REFUSED_version_unsupported;
	if (!is_token(head->method))
		return KS_HTTP_REFUSED_method_malformed;
	if (head->target.n > KS_TARGET_MAX)
		return KS_HTTP_REFUSED_target_too_large;
	if (head->target.n == 0 || head->target.p[0] != '/' || !all_of(head->target, C_TARGET))
		return KS_HTTP_REFUSED_target_malformed;
	return KS_HTTP_REFUSED_NOT;
}

static enum ks_http_refusal check_headers(const struct ks_http_head *head)
{
	size_t bytes = head->target.n;

	if (head->header_count > KS_HEADERS_MAX)
		return KS_HTTP_REFUSED_too_many_headers;
	for (size_t i = 0; i < head->header_count; i++) {
		const struct ks_header *h = &head->headers[i];

		bytes += h->name.n + h->value.n;
		if (bytes > KS_HEAD_BYTES_MAX)
			return KS_HTTP_REFUSED_headers_too_large;
		if (!is_token(h->name))
			return KS_HTTP_REFUSED_header_name_malformed;
		if (!ks_http_value_ok(h->value))
			return KS_HTTP_REFUSED_header_value_control;
	}
	return KS_HTTP_REFUSED_NOT;
}

/* The headers that rules are about. */
enum known { HOST, AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING, REQUEST_ID, TRACEPARENT, KNOWN_COUNT };

static const struct ks_str known_names[KNOWN_COUNT] = {
	[HOST] = {"host", 4},
	[AUTHORIZATION] = {"authorization", 13},
	[CONTENT_LENGTH] = {"content-length", 14},
	[TRANSFER_ENCODING] = {"transfer-encoding", 17},
	[REQUEST_ID] = {"x-request-id", 12},
	[TRACEPARENT] = {"traceparent", 11},
};

/* By length, as the names' lengths differ; KNOWN_COUNT: none. */
static unsigned known_of_length(size_t n)
{
	static const uint8_t by_length[] = {[4] = HOST + 1, [11] = TRACEPARENT + 1, [12] = REQUEST_ID + 1,
					    [13] = AUTHORIZATION + 1, [14] = CONTENT_LENGTH + 1, [17] = TRANSFER_ENCODING + 1};

	return n < sizeof(by_length) && by_length[n] ? by_length[n] - 1u : KNOWN_COUNT;
}

struct found {
	const struct ks_header *first;
	unsigned count;
};

static void find_known(const struct ks_http_head *head, struct found ret_found[KNOWN_COUNT])
{
	for (size_t i = 0; i < head->header_count; i++) {
		const struct ks_header *h = &head->headers[i];
		unsigned k = known_of_length(h->name.n);

		if (k == KNOWN_COUNT || !ks_str_eq_nocase(h->name, known_names[k]))
			continue;
		if (ret_found[k].count++ == 0)
			ret_found[k].first = h;
	}
}

static enum ks_http_refusal check_framing(const struct ks_http_head *head, const struct found found[KNOWN_COUNT],
					  struct ks_http_facts *facts)
{
	const struct found *length = &found[CONTENT_LENGTH], *coding = &found[TRANSFER_ENCODING];

	if (length->count && coding->count)
		return KS_HTTP_REFUSED_length_and_coding;
	if (length->count > 1)
		return KS_HTTP_REFUSED_content_length_conflict;
	if (length->count && !ks_str_to_u64(length->first->value, INT64_MAX, &facts->length))
		return KS_HTTP_REFUSED_content_length_malformed;
	if (coding->count) {
		/* Blanks after the word count: libmicrohttpd 0.9 would not recognise it, and never find the body's
		 * end. */
		if (coding->count > 1 || head->version.p[7] == '0' ||
		    !ks_str_eq_nocase(coding->first->value, KS_STR("chunked")))
			return KS_HTTP_REFUSED_transfer_coding_unknown;
		facts->chunked = true;
	}
	return KS_HTTP_REFUSED_NOT;
}

enum ks_http_refusal ks_http_strict(const struct ks_http_head *head, struct ks_http_facts *ret_facts)
{
	struct found found[KNOWN_COUNT] = {{NULL, 0}};
	struct ks_http_facts facts = {.chunked = false};
	enum ks_http_refusal refusal;

	refusal = check_line(head);
	if (refusal == KS_HTTP_REFUSED_NOT)
		refusal = check_headers(head);
	if (refusal != KS_HTTP_REFUSED_NOT)
		return refusal;
	find_known(head, found);
	if (found[HOST].count > 1)
		return KS_HTTP_REFUSED_host_repeated;
	if (found[HOST].count == 0 && head->version.p[7] == '1')
		return KS_HTTP_REFUSED_host_missing;
	if (found[AUTHORIZATION].count > 1)
		return KS_HTTP_REFUSED_authorization_repeated;
	refusal = check_framing(head, found, &facts);
	if (refusal != KS_HTTP_REFUSED_NOT)
		return refusal;
	facts.request_id = found[REQUEST_ID].count == 1 ? found[REQUEST_ID].first : NULL;
	facts.traceparent = found[TRACEPARENT].count == 1 ? found[TRACEPARENT].first : NULL;
	*ret_facts = facts;
	return KS_HTTP_REFUSED_NOT;
}

/* ---- the seams ---- */

/* A position in the raw bytes. */
struct seam {
	struct ks_str raw;
	size_t at;
};

/* Takes `part` and `gap` bytes of zero after it; false unless the part begins right here and both fit. */
static bool take(struct seam *s, struct ks_str part, size_t gap)
{
	/* As numbers, because the part may lead elsewhere. */
	if ((uintptr_t)part.p != (uintptr_t)s->raw.p + s->at || part.n > s->raw.n - s->at ||
	    gap > s->raw.n - s->at - part.n)
		return false;
	for (s->at += part.n; gap > 0; gap--, s->at++)
		if (s->raw.p[s->at])
			return false;
	return true;
}

/* Takes blanks up to where `value` begins; false if that is not where they end. */
static bool take_blanks(struct seam *s, const char *value)
{
	while (s->at < s->raw.n && (s->raw.p[s->at] == ' ' || s->raw.p[s->at] == '\t'))
		s->at++;
	return (uintptr_t)value == (uintptr_t)s->raw.p + s->at;
}

enum ks_http_refusal ks_http_seams(const struct ks_http_head *head, const char *raw_at, size_t raw_size)
{
	struct seam s = {ks_str_of(raw_at, raw_size), 0};

	if (!take(&s, head->method, 1))
		return KS_HTTP_REFUSED_method_malformed;
	if (!take(&s, head->target, 1))
		return KS_HTTP_REFUSED_target_malformed;
	if (!take(&s, head->version, 2))
		return KS_HTTP_REFUSED_request_malformed;
	for (size_t i = 0; i < head->header_count; i++) {
		const struct ks_header *h = &head->headers[i];

		if (!take(&s, h->name, 1) || !take_blanks(&s, h->value.p) || !take(&s, h->value, 2))
			return KS_HTTP_REFUSED_header_value_control;
	}
	if (!take(&s, ks_str_of(&raw_at[s.at], 0), 2) || s.at < raw_size)
		return KS_HTTP_REFUSED_header_value_control;
	return KS_HTTP_REFUSED_NOT;
}
