/* SPDX-License-Identifier: Apache-2.0 */
#include "urlpath/urlpath.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define METHOD_MAX 32
#define WINDOW ((size_t)16)

/* What a raw byte means to the reader. PLAIN is zero, so that runs of it are skipped with one test a byte. */
enum byte_class {
	PLAIN,
	END_OF_SEGMENT, /* "/" */
	END_OF_PATH,    /* "?" */
	ESCAPE,         /* "%" */
	HIGH,           /* of a UTF-8 sequence */
	BAD_HASH,
	BAD_BACKSLASH,
	BAD_SEMICOLON,
	BAD_CONTROL
};

static const uint8_t classes[256] = {
	[0x00 ... 0x20] = BAD_CONTROL, [0x7f] = BAD_CONTROL, ['#'] = BAD_HASH,       ['%'] = ESCAPE,
	['/'] = END_OF_SEGMENT,        [';'] = BAD_SEMICOLON, ['?'] = END_OF_PATH,   ['\\'] = BAD_BACKSLASH,
	[0x80 ... 0xff] = HIGH,
};

/* The problem of a class that is one. */
static const uint8_t class_problems[] = {
	[BAD_HASH] = KS_PATH_FRAGMENT,
	[BAD_BACKSLASH] = KS_PATH_BACKSLASH,
	[BAD_SEMICOLON] = KS_PATH_PARAMETER,
	[BAD_CONTROL] = KS_PATH_CONTROL,
};

/* The problem of a byte that may not stand there encoded; a byte without a row is decoded. */
static const uint8_t escape_problems[256] = {
	[0x00 ... 0x1f] = KS_PATH_CONTROL, [0x7f] = KS_PATH_CONTROL,      ['.'] = KS_PATH_DOT_SEGMENT,
	['/'] = KS_PATH_ENCODED_SLASH,     ['\\'] = KS_PATH_BACKSLASH,    [';'] = KS_PATH_PARAMETER,
};

static const char *const texts[KS_PATH_PROBLEM_COUNT] = {
#define X(name, text) text,
	KS_PATH_PROBLEMS(X)
#undef X
};

/* Where reading is. `raw` ends where the path does at the latest. */
struct reader {
	struct ks_str raw;
	size_t at;
	size_t segment_at;   /* where the segment began in `raw` */
	size_t window;       /* what of `raw` is looked at: WINDOW bytes */
	uint32_t bits;       /* of those: which are not plain, and not taken yet */
	size_t decoded_n;    /* used of path->decoded */
	size_t decoded_at;   /* where the segment began there, if it was copied */
	bool copied;         /* the segment had an escape: it is built in path->decoded */
	bool high;           /* the segment has bytes beyond ASCII */
	bool percent;        /* the segment has a decoded "%" */
	struct ks_path *path;
};

/* The value of a hexadecimal digit, or -1. */
/* The byte that two hexadecimal digits at `at` say, or -1. */
static int hex_byte(struct ks_str raw, size_t at)
{
	int high, low;

	if (raw.n < 2 || at > raw.n - 2)
		return -1;
	high = ks_hex_digit(raw.p[at]);
	low = ks_hex_digit(raw.p[at + 1]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static void copy_byte(struct reader *r, char c)
{
	/* Decoded text is never longer than the raw one, which fits. */
	r->path->decoded[r->decoded_n++] = c;
}

/* Reads "%xx" at r->at. */
static enum ks_path_problem read_escape(struct reader *r)
{
	int byte = hex_byte(r->raw, r->at + 1);

	if (byte < 0)
		return KS_PATH_BAD_ESCAPE;
	if (escape_problems[byte])
		return (enum ks_path_problem)escape_problems[byte];
	if (!r->copied) {
		r->copied = true;
		r->decoded_at = r->decoded_n;
		for (size_t i = r->segment_at; i < r->at; i++)
			copy_byte(r, r->raw.p[i]);
	}
	r->high |= byte >= 0x80;
	r->percent |= byte == '%';
	copy_byte(r, (char)byte);
	r->at += 3;
	return KS_PATH_OK;
}

static bool is_dots(struct ks_str s)
{
	return s.n > 0 && s.n <= 2 && s.p[0] == '.' && s.p[s.n - 1] == '.';
}

/* Whether a decoded "%" leads two hexadecimal digits, however written: who decodes twice reads something else. */
static bool is_encoded_twice(struct ks_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '%' && hex_byte(s, i + 1) >= 0)
			return true;
	return false;
}

/* Ends the segment before r->at. */
static inline enum ks_path_problem end_segment(struct reader *r, bool last)
{
	struct ks_path *path = r->path;
	struct ks_str segment = ks_str_of(&r->raw.p[r->segment_at], r->at - r->segment_at);

	if (KS_UNLIKELY(r->copied))
		segment = ks_str_of(&path->decoded[r->decoded_at], r->decoded_n - r->decoded_at);
	if (KS_UNLIKELY(segment.n <= 2)) {
		if (segment.n == 0 && !last)
			return KS_PATH_EMPTY_SEGMENT;
		if (is_dots(segment))
			return KS_PATH_DOT_SEGMENT;
	}
	if (KS_UNLIKELY(r->percent) && is_encoded_twice(segment))
		return KS_PATH_DOUBLE_ENCODING;
	if (KS_UNLIKELY(r->high) && !ks_str_is_utf8(segment))
		return KS_PATH_BAD_UTF8;
	path->segments[path->count++] = segment;
	if (!last && path->count == KS_PATH_SEGMENTS_MAX)
		return KS_PATH_TOO_LONG;
	r->copied = false;
	r->high = false;
	r->percent = false;
	r->segment_at = r->at + 1;
	return KS_PATH_OK;
}

/* Takes the byte at r->at, which is not plain and does not end the path. */
static enum ks_path_problem read_special(struct reader *r, enum byte_class class)
{
	enum ks_path_problem problem;

	switch (class) {
	case END_OF_SEGMENT:
		problem = end_segment(r, false);
		break;
	case ESCAPE:
		return read_escape(r);
	case HIGH:
		r->high = true;
		if (r->copied)
			copy_byte(r, r->raw.p[r->at]);
		problem = KS_PATH_OK;
		break;
	default:
		return (enum ks_path_problem)class_problems[class];
	}
	r->at++;
	return problem;
}

#ifdef __SSE2__
static inline __m128i any_of(__m128i found, __m128i bytes, char c)
{
	return _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

/* Of the 16 bytes at `p`, a bit for each that is not plain. */
static inline uint32_t not_plain(const char *p)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
	/* As signed numbers bytes beyond ASCII are below the blank, too. */
	__m128i found = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21));

	found = any_of(any_of(any_of(found, bytes, '#'), bytes, '%'), bytes, '/');
	found = any_of(any_of(any_of(any_of(found, bytes, ';'), bytes, '?'), bytes, '\\'), bytes, 0x7f);
	return (uint32_t)_mm_movemask_epi8(found);
}
#endif

/* Of the WINDOW bytes at `at`, or as many as there are, a bit for each that is not plain. All at once, because
 * guessing byte by byte where segments end is most of what a path costs. */
static inline uint32_t window_bits(struct ks_str raw, size_t at)
{
	uint32_t bits = 0;

#ifdef __SSE2__
	if (KS_LIKELY(raw.n - at >= WINDOW))
		return not_plain(&raw.p[at]);
	/* The last 16 bytes of the path, those before `at` shifted out. */
	if (KS_LIKELY(raw.n >= WINDOW))
		return not_plain(&raw.p[raw.n - WINDOW]) >> (WINDOW - (raw.n - at));
#endif
	for (size_t i = 0; i < WINDOW && i < raw.n - at; i++)
		bits |= (uint32_t)(classes[(unsigned char)raw.p[at + i]] != PLAIN) << i;
	return bits;
}

/* Takes the run of plain bytes at r->at. */
static inline void skip_plain(struct reader *r)
{
	size_t from = r->at;

	while (r->bits == 0 && r->raw.n - r->window > WINDOW) {
		r->window += WINDOW;
		r->bits = window_bits(r->raw, r->window);
	}
	r->at = r->bits ? r->window + (unsigned)__builtin_ctz(r->bits) : r->raw.n;
	/* What is not plain is taken one by one, but for the digits of an escape, which are plain. */
	r->bits &= r->bits - 1;
	if (KS_UNLIKELY(r->copied))
		for (size_t i = from; i < r->at; i++)
			copy_byte(r, r->raw.p[i]);
}

enum ks_path_problem ks_path_read(struct ks_str raw, struct ks_path *ret_path)
{
	struct reader r = {.raw = raw, .at = 1, .segment_at = 1, .path = ret_path};

	if (raw.n == 0 || raw.p[0] != '/')
		return KS_PATH_NOT_ABSOLUTE;
	if (KS_UNLIKELY(raw.n > KS_PATH_MAX)) {
		/* The length is asked first, so that no escape is cut by it. */
		r.raw = ks_str_sub(raw, 0, KS_PATH_MAX);
		if (raw.p[KS_PATH_MAX] != '?' && ks_str_find(r.raw, '?') == SIZE_MAX)
			return KS_PATH_TOO_LONG;
	}
	ret_path->count = 0;
	/* The slash at the beginning is taken. */
	r.bits = window_bits(r.raw, 0) & ~UINT32_C(1);
	while (r.at < r.raw.n) {
		enum byte_class class;
		enum ks_path_problem problem;

		skip_plain(&r);
		if (r.at == r.raw.n)
			break;
		class = (enum byte_class)classes[(unsigned char)r.raw.p[r.at]];
		if (class == END_OF_PATH)
			break;
		problem = read_special(&r, class);
		if (KS_UNLIKELY(problem != KS_PATH_OK))
			return problem;
	}
	return end_segment(&r, true);
}

const char *ks_path_problem_text(enum ks_path_problem problem)
{
	return (unsigned)problem < KS_PATH_PROBLEM_COUNT ? texts[problem] : "unknown problem";
}

/* RFC 9110, 5.6.2: tchar. */
static const bool token_bytes[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true, ['#'] = true, ['$'] = true,
	['%'] = true,         ['&'] = true,         ['\''] = true,        ['*'] = true, ['+'] = true, ['-'] = true,
	['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true, ['|'] = true, ['~'] = true,
};

bool ks_method_ok(struct ks_str method)
{
	if (method.n == 0 || method.n > METHOD_MAX)
		return false;
	for (size_t i = 0; i < method.n; i++)
		if (!token_bytes[(unsigned char)method.p[i]])
			return false;
	return true;
}
