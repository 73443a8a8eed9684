/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_read.h"

struct ks_json_read ks_json_read_of(struct ks_str text)
{
	return (struct ks_json_read){.text = text};
}

static void fail(struct ks_json_read *r)
{
	r->failed = true;
}

/* What is left, for looking ahead. */
static struct ks_str rest(const struct ks_json_read *r)
{
	return r->failed ? KS_STR("") : ks_str_of(&r->text.p[r->at], r->text.n - r->at);
}

/* `n` of the bytes that are left. */
static struct ks_str pass(struct ks_json_read *r, size_t n)
{
	struct ks_str passed = ks_str_of(&r->text.p[r->at], n);

	r->at += n;
	return passed;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct ks_json_read *r)
{
	while (r->at < r->text.n && is_blank(r->text.p[r->at]))
		r->at++;
}

char ks_json_read_peek(struct ks_json_read *r)
{
	skip_blanks(r);
	return r->failed || r->at == r->text.n ? '\0' : r->text.p[r->at];
}

static void take(struct ks_json_read *r, char c)
{
	if (ks_json_read_peek(r) != c)
		fail(r);
	else
		r->at++;
}

void ks_json_read_open(struct ks_json_read *r, char bracket)
{
	take(r, bracket);
}

bool ks_json_read_more(struct ks_json_read *r, bool *first, char closing)
{
	char next = ks_json_read_peek(r);

	if (next == closing) {
		r->at++;
		return false;
	}
	if (next == '\0')
		fail(r);
	else if (*first)
		*first = false;
	else
		take(r, ',');
	return !r->failed;
}

/* ---- strings ---- */

/* Four hexadecimal digits at `at`; -1 where there are none. */
static int32_t unit_at(struct ks_str s, size_t at)
{
	int32_t unit = 0;

	if (s.n < 4 || at > s.n - 4)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		int value = ks_hex_digit(s.p[i]);

		if (value < 0)
			return -1;
		unit = unit << 4 | value;
	}
	return unit;
}

/* The character of a \u escape whose digits begin at `at`, and how many bytes it takes from there; 0: malformed. */
static size_t character_at(struct ks_str s, size_t at, uint32_t *ret_character)
{
	int32_t high = unit_at(s, at), low;

	if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
		return 0;
	if (high < 0xd800 || high > 0xdbff) {
		*ret_character = (uint32_t)high;
		return 4;
	}
	if (s.n < at + 10 || s.p[at + 4] != '\\' || s.p[at + 5] != 'u')
		return 0;
	low = unit_at(s, at + 6);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*ret_character = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
	return 10;
}

static const char simple_escapes[256] = {
	['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t',
};

/* Bytes of the escape whose backslash stands at `at`; 0: malformed. */
static size_t escape_len(struct ks_str s, size_t at)
{
	uint32_t character;
	size_t n;

	if (at + 1 >= s.n)
		return 0;
	if (s.p[at + 1] != 'u')
		return simple_escapes[(unsigned char)s.p[at + 1]] ? 2 : 0;
	n = character_at(s, at + 2, &character);
	return n > 0 ? n + 2 : 0;
}

/* Bytes that end a run of plain ones within a string. */
static const bool is_special[256] = {[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true};

/* Length of the string up to its closing quote; SIZE_MAX: malformed. */
static size_t string_len(struct ks_str s, bool *escaped)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		while (i < s.n && !is_special[(unsigned char)s.p[i]])
			i++;
		if (i < s.n && s.p[i] == '"')
			return i;
		n = i < s.n && s.p[i] == '\\' ? escape_len(s, i) : 0;
		if (n == 0)
			return SIZE_MAX;
		*escaped = true;
	}
	return SIZE_MAX;
}

struct ks_json_text ks_json_read_string(struct ks_json_read *r)
{
	struct ks_json_text text = {KS_STR(""), false};
	size_t n;

	take(r, '"');
	n = string_len(rest(r), &text.escaped);
	if (r->failed || n == SIZE_MAX) {
		fail(r);
		return (struct ks_json_text){KS_STR(""), false};
	}
	text.raw = pass(r, n);
	r->at++; /* the quote */
	return text;
}

static void put_utf8(struct ks_buf *to, uint32_t c)
{
	if (c < 0x80) {
		ks_buf_put_byte(to, (char)c);
		return;
	}
	if (c < 0x800) {
		ks_buf_put_byte(to, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			ks_buf_put_byte(to, (char)(0xe0 | c >> 12));
		} else {
			ks_buf_put_byte(to, (char)(0xf0 | c >> 18));
			ks_buf_put_byte(to, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		ks_buf_put_byte(to, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	ks_buf_put_byte(to, (char)(0x80 | (c & 0x3f)));
}

struct ks_str ks_json_text_decode(struct ks_json_text text, struct ks_buf *to)
{
	size_t from = to->n;
	struct ks_str s = text.raw;

	if (!text.escaped)
		return s;
	for (size_t i = 0; i < s.n;) {
		uint32_t character;

		if (s.p[i] != '\\') {
			ks_buf_put_byte(to, s.p[i++]);
		} else if (s.p[i + 1] != 'u') {
			ks_buf_put_byte(to, simple_escapes[(unsigned char)s.p[i + 1]]);
			i += 2;
		} else {
			i += 2 + character_at(s, i + 2, &character);
			put_utf8(to, character);
		}
	}
	return ks_str_sub(ks_buf_str(to), from, to->n - from);
}

bool ks_json_hex(struct ks_str text, unsigned char *ret_bytes, size_t n)
{
	int bad = 0;

	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = ks_hex_digit(text.p[2 * i]), low = ks_hex_digit(text.p[2 * i + 1]);

		bad |= high | low;
		ret_bytes[i] = (unsigned char)((unsigned)high << 4 | (unsigned)low);
	}
	return bad >= 0;
}

struct ks_json_text ks_json_read_name(struct ks_json_read *r)
{
	struct ks_json_text name = ks_json_read_string(r);

	take(r, ':');
	return name;
}

/* ---- numbers and words ---- */

static size_t digits_at(struct ks_str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9')
		n++;
	return n;
}

/* Length of the number that `s` begins with (RFC 8259 section 6); 0: none. */
static size_t number_len(struct ks_str s)
{
	size_t i = s.n > 0 && s.p[0] == '-';
	size_t n = digits_at(s, i);

	if (n == 0 || (n > 1 && s.p[i] == '0'))
		return 0;
	i += n;
	if (i < s.n && s.p[i] == '.') {
		n = digits_at(s, i + 1);
		if (n == 0)
			return 0;
		i += 1 + n;
	}
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
			i++;
		n = digits_at(s, i);
		if (n == 0)
			return 0;
		i += n;
	}
	return i;
}

bool ks_json_read_u64(struct ks_json_read *r, uint64_t max, uint64_t *ret_value)
{
	struct ks_str raw = ks_json_read_raw(r);

	return !r->failed && ks_str_to_u64(raw, max, ret_value);
}

static bool take_word(struct ks_json_read *r, struct ks_str word)
{
	if (!ks_str_starts(rest(r), word))
		return false;
	(void)pass(r, word.n);
	return true;
}

bool ks_json_read_null(struct ks_json_read *r)
{
	return ks_json_read_peek(r) == 'n' && take_word(r, KS_STR("null"));
}

/* ---- any value ---- */

static void take_scalar(struct ks_json_read *r, char first)
{
	size_t n;

	if (first == '"') {
		(void)ks_json_read_string(r);
		return;
	}
	n = number_len(rest(r));
	if (n > 0)
		(void)pass(r, n);
	else if (!take_word(r, KS_STR("null")) && !take_word(r, KS_STR("true")) && !take_word(r, KS_STR("false")))
		fail(r);
}

/* Brackets are kept on a stack of ours, so that depth costs no stack of the thread's. */
static void take_value(struct ks_json_read *r)
{
	char closing[KS_JSON_READ_DEPTH];
	bool first[KS_JSON_READ_DEPTH];
	unsigned depth = 0;

	do {
		char c;

		if (depth > 0 && !ks_json_read_more(r, &first[depth - 1], closing[depth - 1])) {
			depth--;
			continue;
		}
		if (depth > 0 && closing[depth - 1] == '}')
			(void)ks_json_read_name(r);
		c = ks_json_read_peek(r);
		if (c != '{' && c != '[') {
			take_scalar(r, c);
			continue;
		}
		if (depth == KS_JSON_READ_DEPTH) {
			fail(r);
			return;
		}
		take(r, c);
		closing[depth] = c == '{' ? '}' : ']';
		first[depth++] = true;
	} while (depth > 0 && !r->failed);
}

struct ks_str ks_json_read_raw(struct ks_json_read *r)
{
	size_t from;

	skip_blanks(r);
	from = r->at;
	take_value(r);
	return r->failed ? KS_STR("") : ks_str_of(&r->text.p[from], r->at - from);
}

bool ks_json_read_done(struct ks_json_read *r)
{
	skip_blanks(r);
	return !r->failed && r->at == r->text.n;
}
