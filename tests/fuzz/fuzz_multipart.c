/* SPDX-License-Identifier: Apache-2.0 */
/* Forms with files. The first line of the input is the Content-Type, the rest the body. What was read is written in the plainest
 * form and read again: the same parts. */
#include <stdlib.h>

#include "multipart/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

#define TEXT_MAX ((size_t)1 << 20)

static char text[TEXT_MAX];
static size_t length;

static void put(struct ks_str s)
{
	CHECK(s.n <= TEXT_MAX - length);
	if (s.n)
		memcpy(&text[length], s.p, s.n);
	length += s.n;
}

static void write_part(struct ks_str boundary, const struct ks_multipart_part *part)
{
	put(KS_STR("--"));
	put(boundary);
	put(KS_STR("\r\nContent-Disposition: form-data; name=\""));
	put(part->name);
	put(part->is_file ? KS_STR("\"; filename=\"\"\r\n\r\n") : KS_STR("\"\r\n\r\n"));
	put(part->value);
	put(KS_STR("\r\n"));
}

static void check_inside(struct ks_str body, struct ks_str s)
{
	CHECK(s.p >= body.p && s.n <= body.n && (size_t)(s.p - body.p) <= body.n - s.n);
}

static void check(struct ks_str body, struct ks_str boundary)
{
	struct ks_multipart_part parts[KS_MULTIPART_PARTS_MAX], again[KS_MULTIPART_PARTS_MAX];
	size_t count = 0, count_again = 0;

	if (!ks_multipart_read(body, boundary, parts, &count))
		return;
	length = 0;
	for (size_t i = 0; i < count; i++) {
		const struct ks_multipart_part *found = NULL;

		check_inside(body, parts[i].name);
		check_inside(body, parts[i].value);
		CHECK(parts[i].name.n > 0 && !ks_str_has_control(parts[i].name));
		CHECK(!ks_multipart_find(parts, count, parts[i].name, &found) || found == &parts[i]);
		write_part(boundary, &parts[i]);
	}
	put(KS_STR("--"));
	put(boundary);
	put(KS_STR("--"));
	CHECK(ks_multipart_read(ks_str_of(text, length), boundary, again, &count_again) && count_again == count);
	for (size_t i = 0; i < count; i++)
		CHECK(ks_str_eq(again[i].name, parts[i].name) && ks_str_eq(again[i].value, parts[i].value)
		      && again[i].is_file == parts[i].is_file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str type, body, boundary;

	if (size > TEXT_MAX / 2 || !ks_str_split(ks_str_of((const char *)data, size), '\n', &type, &body))
		return 0;
	if (ks_multipart_boundary(type, &boundary)) {
		check_inside(type, boundary);
		check(body, boundary);
	}
	check(body, KS_STR("b"));
	return 0;
}
