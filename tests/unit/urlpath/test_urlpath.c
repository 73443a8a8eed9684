/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of the path, by the common table tests/vectors/urlpath.tsv, and what a table cannot say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "urlpath/urlpath.h"

#define LINE_MAX_BYTES 16384
#define ROWS_AT_LEAST 150

static const char *const problem_names[] = {
#define X(name, text) #name,
	KS_PATH_PROBLEMS(X)
#undef X
};

static FILE *open_table(void)
{
	const char *source = getenv("KEYSTILE_SOURCE");
	char path[4096];

	snprintf(path, sizeof(path), "%s/tests/vectors/urlpath.tsv", source ? source : ".");
	return fopen(path, "r");
}

static unsigned hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = strchr(digits, c);

	assert_true(c && at);
	return (unsigned)(at - digits);
}

/* Undoes the table's escapes in place; returns the length. */
static size_t unescape(char *text, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '\\') {
			assert_true(i + 1 < n);
			c = text[++i];
			if (c == 'x') {
				assert_true(i + 2 < n);
				c = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
				i += 2;
			} else if (c != '\\') {
				assert_true(c == 't' || c == 'n' || c == 'r');
				c = c == 't' ? '\t' : c == 'n' ? '\n' : '\r';
			}
		}
		text[to++] = c;
	}
	return to;
}

/* A copy that ends exactly where its memory does, so that a read too far is found out. */
static char *exact_copy(const char *text, size_t n)
{
	char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, text, n);
	return copy;
}

static bool name_is(const char *upper, struct ks_str lower)
{
	return ks_str_eq_nocase(ks_str_c(upper), lower);
}

static void check_segments(const struct ks_path *path, char *segments)
{
	struct ks_str rest = ks_str_c(segments), segment;
	size_t count = 0;

	for (bool more = true; more; count++) {
		char expected[LINE_MAX_BYTES];
		size_t n;

		more = ks_str_split(rest, '|', &segment, &rest);
		if (!more)
			segment = rest;
		memcpy(expected, segment.p, segment.n);
		n = unescape(expected, segment.n);
		assert_true(count < path->count);
		assert_int_equal(path->segments[count].n, n);
		assert_memory_equal(path->segments[count].p, expected, n);
	}
	assert_int_equal(path->count, count);
}

static void check_row(char *line)
{
	static struct ks_path path;
	char *verdict = strchr(line, '\t');
	char *segments = verdict ? strchr(verdict + 1, '\t') : NULL;
	enum ks_path_problem problem;
	char *raw;
	size_t n;

	assert_non_null(segments);
	*verdict++ = '\0';
	*segments++ = '\0';
	n = unescape(line, strlen(line));
	raw = exact_copy(line, n);
	memset(&path, 0xa5, sizeof(path));
	problem = ks_path_read(ks_str_of(raw, n), &path);
	assert_in_range(problem, 0, KS_PATH_PROBLEM_COUNT - 1);
	if (!name_is(problem_names[problem], ks_str_c(verdict)))
		fail_msg("\"%s\" is %s, not %s", line, problem_names[problem], verdict);
	if (problem == KS_PATH_OK)
		check_segments(&path, segments);
	else
		assert_string_equal(segments, "");
	free(raw);
}

static void test_table(void **state)
{
	static char line[LINE_MAX_BYTES];
	FILE *file = open_table();
	bool seen[KS_PATH_PROBLEM_COUNT] = {false};
	size_t rows = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		size_t n = strlen(line);

		assert_true(n > 0 && line[n - 1] == '\n');
		line[n - 1] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		for (size_t i = 0; i < KS_PATH_PROBLEM_COUNT; i++) {
			const char *verdict = strchr(line, '\t');

			assert_non_null(verdict);
			seen[i] |= name_is(problem_names[i], ks_str_of(verdict + 1, strcspn(verdict + 1, "\t")));
		}
		check_row(line);
		rows++;
	}
	fclose(file);
	assert_true(rows >= ROWS_AT_LEAST);
	for (size_t i = 0; i < KS_PATH_PROBLEM_COUNT; i++)
		assert_true(seen[i]);
}

/* The slow and obvious verdict over one byte in the middle of a segment. */
static enum ks_path_problem expected_raw(unsigned c)
{
	if (c <= 0x20 || c == 0x7f)
		return KS_PATH_CONTROL;
	if (c >= 0x80)
		return KS_PATH_BAD_UTF8;
	switch (c) {
	case '#':
		return KS_PATH_FRAGMENT;
	case '%':
		return KS_PATH_BAD_ESCAPE;
	case ';':
		return KS_PATH_PARAMETER;
	case '\\':
		return KS_PATH_BACKSLASH;
	default:
		return KS_PATH_OK;
	}
}

static enum ks_path_problem expected_encoded(unsigned c)
{
	if (c < 0x20 || c == 0x7f)
		return KS_PATH_CONTROL;
	if (c >= 0x80)
		return KS_PATH_BAD_UTF8;
	switch (c) {
	case '.':
		return KS_PATH_DOT_SEGMENT;
	case '/':
		return KS_PATH_ENCODED_SLASH;
	case ';':
		return KS_PATH_PARAMETER;
	case '\\':
		return KS_PATH_BACKSLASH;
	default:
		return KS_PATH_OK;
	}
}

static void test_every_raw_byte(void **state)
{
	static struct ks_path path;

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		char raw[] = {'/', 'a', (char)c, 'x', 'y'};

		assert_int_equal(ks_path_read(ks_str_of(raw, sizeof(raw)), &path), expected_raw(c));
	}
}

static void test_every_encoded_byte(void **state)
{
	static struct ks_path path;
	char raw[16];

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		for (unsigned upper = 0; upper < 2; upper++) {
			int n = snprintf(raw, sizeof(raw), upper ? "/a%%%02XxY" : "/a%%%02xxY", c);
			enum ks_path_problem expected = expected_encoded(c);
			char decoded[] = {'a', (char)c, 'x', 'Y'};

			assert_int_equal(ks_path_read(ks_str_of(raw, (size_t)n), &path), expected);
			if (expected != KS_PATH_OK)
				continue;
			assert_int_equal(path.count, 1);
			assert_int_equal(path.segments[0].n, sizeof(decoded));
			assert_memory_equal(path.segments[0].p, decoded, sizeof(decoded));
		}
	}
}

static void test_plain_segments_are_borrowed(void **state)
{
	static struct ks_path path;
	struct ks_str raw = KS_STR("/plain/esc%41ped/plain");

	(void)state;
	assert_int_equal(ks_path_read(raw, &path), KS_PATH_OK);
	assert_ptr_equal(path.segments[0].p, &raw.p[1]);
	assert_ptr_equal(path.segments[1].p, path.decoded);
	assert_ptr_equal(path.segments[2].p, &raw.p[raw.n - 5]);
}

static void test_decoded_room_is_enough(void **state)
{
	static struct ks_path path;
	static char raw[KS_PATH_MAX];
	size_t n = 0;

	(void)state;
	/* 63 segments with one escape each, and a last one that fills what is left. */
	for (int i = 0; i < 63; i++) {
		memcpy(&raw[n], "/%41", 4);
		n += 4;
	}
	raw[n++] = '/';
	memset(&raw[n], 'b', sizeof(raw) - n - 3);
	memcpy(&raw[sizeof(raw) - 3], "%43", 3);
	assert_int_equal(ks_path_read(ks_str_of(raw, sizeof(raw)), &path), KS_PATH_OK);
	assert_int_equal(path.count, 64);
	assert_int_equal(path.segments[63].n, sizeof(raw) - n - 3 + 1);
	assert_int_equal(path.segments[63].p[path.segments[63].n - 1], 'C');
}

static void test_problem_texts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KS_PATH_PROBLEM_COUNT; i++)
		assert_true(strlen(ks_path_problem_text((enum ks_path_problem)i)) > 0);
	assert_string_equal(ks_path_problem_text(KS_PATH_EMPTY_SEGMENT), "has doubled slashes");
	assert_non_null(ks_path_problem_text(KS_PATH_PROBLEM_COUNT));
}

static void test_methods(void **state)
{
	const char *others = "!#$%&'*+-.^_`|~";

	(void)state;
	assert_false(ks_method_ok(KS_STR("")));
	assert_false(ks_method_ok(KS_STR("GET ")));
	assert_false(ks_method_ok(KS_STR("G\0T")));
	assert_false(ks_method_ok(KS_STR("012345678901234567890123456789012")));
	assert_true(ks_method_ok(KS_STR("01234567890123456789012345678901")));
	assert_true(ks_method_ok(KS_STR("GET")));
	assert_true(ks_method_ok(KS_STR("get")));
	assert_true(ks_method_ok(KS_STR("M-SEARCH")));
	for (unsigned c = 0; c < 256; c++) {
		char byte = (char)c;
		bool token = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			     (c && c < 128 && strchr(others, (int)c));

		assert_int_equal(ks_method_ok(ks_str_of(&byte, 1)), token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_every_raw_byte),
		cmocka_unit_test(test_every_encoded_byte),
		cmocka_unit_test(test_plain_segments_are_borrowed),
		cmocka_unit_test(test_decoded_room_is_enough),
		cmocka_unit_test(test_problem_texts),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests_name("urlpath", tests, NULL, NULL);
}
