/* SPDX-License-Identifier: Apache-2.0 */
/* The path reader: what it takes is unambiguous by rules written here a second time, the obvious way. */
#include <stdlib.h>

#include "urlpath/urlpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void check_segment(struct ks_str s, bool last)
{
	CHECK(s.n > 0 || last);
	CHECK(!ks_str_eq(s, KS_STR(".")) && !ks_str_eq(s, KS_STR("..")));
	CHECK(ks_str_is_utf8(s) && !ks_str_has_control(s));
	for (size_t i = 0; i < s.n; i++) {
		CHECK(s.p[i] != '/' && s.p[i] != '\\' && s.p[i] != ';');
		CHECK(s.p[i] != '%' || i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]));
	}
}

/* Writes the segments with everything encoded that may be, and reads that again: the same segments. */
static void check_round_trip(const struct ks_path *path)
{
	static struct ks_path again;
	static char text[3 * KS_PATH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < path->count; i++) {
		struct ks_str s = path->segments[i];

		text[n++] = '/';
		for (size_t j = 0; j < s.n; j++) {
			unsigned char c = (unsigned char)s.p[j];

			if (c == '.') {
				text[n++] = '.';
				continue;
			}
			text[n++] = '%';
			text[n++] = "0123456789abcdef"[c >> 4];
			text[n++] = "0123456789ABCDEF"[c & 15];
		}
	}
	if (n > KS_PATH_MAX)
		return;
	CHECK(ks_path_read(ks_str_of(text, n), &again) == KS_PATH_OK);
	CHECK(again.count == path->count);
	for (size_t i = 0; i < path->count; i++)
		CHECK(ks_str_eq(again.segments[i], path->segments[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ks_path path, without_query;
	struct ks_str raw = ks_str_of((const char *)data, size);
	struct ks_str before, query;
	enum ks_path_problem problem = ks_path_read(raw, &path);

	CHECK((unsigned)problem < KS_PATH_PROBLEM_COUNT && ks_path_problem_text(problem)[0]);
	if (!ks_str_split(raw, '?', &before, &query))
		before = raw;
	CHECK(ks_path_read(before, &without_query) == problem);
	(void)ks_method_ok(raw);
	if (problem != KS_PATH_OK)
		return 0;
	CHECK(path.count >= 1 && path.count <= KS_PATH_SEGMENTS_MAX);
	for (size_t i = 0; i < path.count; i++)
		check_segment(path.segments[i], i + 1 == path.count);
	check_round_trip(&path);
	return 0;
}
