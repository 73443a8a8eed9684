/* SPDX-License-Identifier: Apache-2.0 */
#include "multipart/multipart.h"

#include "base/cursor.h"

/* "\r\n--" and a boundary. */
#define DELIMITER_MAX (4 + KS_MULTIPART_BOUNDARY_MAX)

static bool is_boundary_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
	       || (c != 0 && ks_str_find(KS_STR("'()+_,-./:=?"), (char)c) != SIZE_MAX);
}

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
	       || (c != 0 && ks_str_find(KS_STR("!#$%&'*+-.^_`|~"), (char)c) != SIZE_MAX);
}

static bool is_quoted_char(unsigned char c)
{
	return c != '"' && c >= 0x20 && c != 0x7f;
}

/* ---- parameters: *(";" name "=" value) ---- */

/* Takes the next parameter. False: there is none, or (c->failed) it is not of the form. */
static bool next_parameter(struct ks_cursor *c, struct ks_str *ret_name, struct ks_str *ret_value)
{
	ks_cursor_skip_blanks(c);
	if (c->failed || ks_cursor_left(c) == 0)
		return false;
	ks_cursor_literal(c, KS_STR(";"));
	ks_cursor_skip_blanks(c);
	*ret_name = ks_cursor_run(c, is_token_char, 1, 64);
	ks_cursor_literal(c, KS_STR("="));
	if (ks_cursor_peek(c) == '"') {
		(void)ks_cursor_byte(c);
		*ret_value = ks_cursor_run(c, is_quoted_char, 0, KS_MULTIPART_HEAD_MAX);
		ks_cursor_literal(c, KS_STR("\""));
	} else {
		*ret_value = ks_cursor_run(c, is_token_char, 1, KS_MULTIPART_HEAD_MAX);
	}
	return !c->failed;
}

static bool boundary_ok(struct ks_str boundary)
{
	if (boundary.n == 0 || boundary.n > KS_MULTIPART_BOUNDARY_MAX)
		return false;
	for (size_t i = 0; i < boundary.n; i++) {
		if (!is_boundary_char((unsigned char)boundary.p[i]))
			return false;
	}
	return true;
}

bool ks_multipart_boundary(struct ks_str content_type, struct ks_str *ret_boundary)
{
	struct ks_str type = KS_STR("multipart/form-data"), name, value, boundary = KS_STR("");
	struct ks_cursor c = ks_cursor_of(content_type);

	if (!ks_str_eq_nocase(ks_cursor_take(&c, KS_MIN(type.n, content_type.n)), type))
		return false;
	while (next_parameter(&c, &name, &value)) {
		if (!ks_str_eq_nocase(name, KS_STR("boundary")))
			continue;
		if (!ks_str_empty(boundary))
			return false;
		boundary = value;
	}
	if (!ks_cursor_done(&c) || !boundary_ok(boundary))
		return false;
	*ret_boundary = boundary;
	return true;
}

/* ---- one part ---- */

/* form-data; name="…"[; filename="…"][; filename*=…] */
static bool read_disposition(struct ks_str text, struct ks_multipart_part *part)
{
	struct ks_str type = KS_STR("form-data"), name, value;
	struct ks_cursor c = ks_cursor_of(text);
	bool named = false, filed = false, filed_wide = false;

	if (!ks_str_eq_nocase(ks_cursor_take(&c, KS_MIN(type.n, text.n)), type))
		return false;
	while (next_parameter(&c, &name, &value)) {
		bool *seen;

		if (ks_str_eq_nocase(name, KS_STR("name"))) {
			seen = &named;
			part->name = value;
		} else if (ks_str_eq_nocase(name, KS_STR("filename"))) {
			seen = &filed;
		} else if (ks_str_eq_nocase(name, KS_STR("filename*"))) {
			seen = &filed_wide;
		} else {
			return false;
		}
		if (*seen)
			return false;
		*seen = true;
	}
	part->is_file = filed || filed_wide;
	return ks_cursor_done(&c) && named && part->name.n > 0 && part->name.n <= KS_MULTIPART_NAME_MAX;
}

/* RFC 7578 section 4.7: not used any more, and what means nothing is let through. */
static bool encoding_ok(struct ks_str value)
{
	return ks_str_eq_nocase(value, KS_STR("binary")) || ks_str_eq_nocase(value, KS_STR("8bit"))
	       || ks_str_eq_nocase(value, KS_STR("7bit"));
}

static bool read_header(struct ks_str line, struct ks_multipart_part *part, bool *disposed)
{
	struct ks_str name, value;
	struct ks_cursor c;

	if (!ks_str_split(line, ':', &name, &value))
		return false;
	c = ks_cursor_of(name);
	(void)ks_cursor_run(&c, is_token_char, 1, 64);
	if (!ks_cursor_done(&c))
		return false;
	value = ks_str_trim(value);
	if (ks_str_eq_nocase(name, KS_STR("Content-Transfer-Encoding")))
		return encoding_ok(value);
	if (!ks_str_eq_nocase(name, KS_STR("Content-Disposition")))
		return true;
	if (*disposed)
		return false;
	*disposed = true;
	return read_disposition(value, part);
}

/* Takes "…\r\n" off the text. False: no line of the limit ends, or a CR or LF stands alone in it. */
static bool take_line(struct ks_str *rest, struct ks_str *ret_line)
{
	size_t end = ks_str_find(ks_str_sub(*rest, 0, KS_MULTIPART_HEAD_MAX), '\r');
	struct ks_str line;

	if (end == SIZE_MAX || !ks_str_starts(ks_str_sub(*rest, end, SIZE_MAX), KS_STR("\r\n")))
		return false;
	line = ks_str_sub(*rest, 0, end);
	if (ks_str_find(line, '\n') != SIZE_MAX || ks_str_find(line, '\0') != SIZE_MAX)
		return false;
	*ret_line = line;
	*rest = ks_str_sub(*rest, end + 2, SIZE_MAX);
	return true;
}

/* Headers up to the empty line. */
static bool read_head(struct ks_str *rest, struct ks_multipart_part *part)
{
	struct ks_str line;
	size_t before = rest->n;
	bool disposed = false;

	for (;;) {
		if (!take_line(rest, &line) || before - rest->n > KS_MULTIPART_HEAD_MAX)
			return false;
		if (line.n == 0)
			return disposed;
		if (!read_header(line, part, &disposed))
			return false;
	}
}

/* ---- the body ---- */

struct delimiter {
	char bytes[DELIMITER_MAX];
	size_t n;
};

static struct ks_str delimiter_of(struct ks_str boundary, struct delimiter *ret_delimiter)
{
	memcpy(ret_delimiter->bytes, "\r\n--", 4);
	memcpy(&ret_delimiter->bytes[4], boundary.p, boundary.n);
	ret_delimiter->n = 4 + boundary.n;
	return ks_str_of(ret_delimiter->bytes, ret_delimiter->n);
}

/* Takes what stands before the delimiter, and the delimiter. */
static bool take_until(struct ks_str *rest, struct ks_str delimiter, struct ks_str *ret_value)
{
	size_t at = 0;

	for (;;) {
		size_t step = ks_str_find(ks_str_sub(*rest, at, SIZE_MAX), '\r');

		if (step == SIZE_MAX)
			return false;
		at += step;
		if (ks_str_starts(ks_str_sub(*rest, at, SIZE_MAX), delimiter))
			break;
		at++;
	}
	*ret_value = ks_str_sub(*rest, 0, at);
	*rest = ks_str_sub(*rest, at + delimiter.n, SIZE_MAX);
	return true;
}

bool ks_multipart_read(struct ks_str body, struct ks_str boundary,
		       struct ks_multipart_part ret_parts[KS_MULTIPART_PARTS_MAX], size_t *ret_count)
{
	struct delimiter room;
	struct ks_str delimiter, first, rest = body;
	size_t count = 0;

	if (!boundary_ok(boundary))
		return false;
	delimiter = delimiter_of(boundary, &room);
	/* Before the first delimiter there is no line that it could end. */
	first = ks_str_sub(delimiter, 2, SIZE_MAX);
	if (!ks_str_starts(rest, first))
		return false;
	rest = ks_str_sub(rest, first.n, SIZE_MAX);
	while (ks_str_starts(rest, KS_STR("\r\n"))) {
		struct ks_multipart_part part = {0};

		rest = ks_str_sub(rest, 2, SIZE_MAX);
		if (count == KS_MULTIPART_PARTS_MAX || !read_head(&rest, &part) || !take_until(&rest, delimiter, &part.value))
			return false;
		ret_parts[count++] = part;
	}
	if (!ks_str_eq(rest, KS_STR("--")) && !ks_str_eq(rest, KS_STR("--\r\n")))
		return false;
	*ret_count = count;
	return true;
}

bool ks_multipart_find(const struct ks_multipart_part *parts, size_t count, struct ks_str name,
		       const struct ks_multipart_part **ret_part)
{
	const struct ks_multipart_part *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!ks_str_eq(parts[i].name, name))
			continue;
		if (found)
			return false;
		found = &parts[i];
	}
	*ret_part = found;
	return true;
}
