/* SPDX-License-Identifier: Apache-2.0 */
/* Forms with files: what browsers write is read, and what could be read two ways is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "multipart/multipart.h"

#define DISPOSITION "Content-Disposition: form-data; name=\"value\""

static struct ks_multipart_part parts[KS_MULTIPART_PARTS_MAX];
static size_t count;

static bool reads(struct ks_str body)
{
	count = SIZE_MAX;
	return ks_multipart_read(body, KS_STR("b"), parts, &count);
}

static void boundaries(void **state)
{
	static const struct {
		const char *type;
		const char *boundary; /* NULL: refused */
	} rows[] = {
		{"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", "----WebKitFormBoundary7MA4YWxkTrZu0gW"},
		{"multipart/form-data; boundary=\"a:b=c\"", "a:b=c"},
		{"Multipart/Form-Data ; charset=utf-8; Boundary=x", "x"},
		{"multipart/form-data", NULL},
		{"multipart/form-data;", NULL},
		{"multipart/form-data; boundary=", NULL},
		{"multipart/form-data; boundary=\"\"", NULL},
		{"multipart/form-data; boundary=a; boundary=b", NULL},
		{"multipart/form-data; boundary=a; boundary=a", NULL},
		{"multipart/form-data; boundary=\"a b\"", NULL},
		{"multipart/form-data; boundary=\"a", NULL},
		{"multipart/form-data; boundary=a b", NULL},
		{"multipart/form-data; boundary", NULL},
		{"multipart/form-datax; boundary=a", NULL},
		{"multipart/mixed; boundary=a", NULL},
		{"application/x-www-form-urlencoded", NULL},
		{"", NULL},
		{"multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567890123456789",
		 "0123456789012345678901234567890123456789012345678901234567890123456789"},
		{"multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890", NULL},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(rows); i++) {
		struct ks_str boundary = KS_STR("untouched");
		bool ok = ks_multipart_boundary(ks_str_c(rows[i].type), &boundary);

		if (ok != (rows[i].boundary != NULL))
			fail_msg("%s", rows[i].type);
		assert_true(ks_str_eq(boundary, ks_str_c(ok ? rows[i].boundary : "untouched")));
	}
}

static void what_browsers_write(void **state)
{
	const struct ks_multipart_part *part;

	(void)state;
	assert_true(reads(KS_STR("--b\r\n" DISPOSITION "\r\n\r\ns3cret\r\n"
				 "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n"
				 "Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n")));
	assert_int_equal(count, 2);
	assert_true(ks_multipart_find(parts, count, KS_STR("value"), &part));
	assert_true(ks_str_eq(part->value, KS_STR("s3cret")));
	assert_false(part->is_file);
	assert_true(ks_multipart_find(parts, count, KS_STR("file"), &part));
	assert_true(part->is_file && part->value.n == 0);
	assert_true(ks_multipart_find(parts, count, KS_STR("other"), &part));
	assert_null(part);
	/* A form without any field, and an end without a line's. */
	assert_true(reads(KS_STR("--b--\r\n")) && count == 0);
	assert_true(reads(KS_STR("--b--")) && count == 0);
	/* As some clients write names of files that are not ASCII. */
	assert_true(reads(KS_STR("--b\r\ncontent-disposition:form-data;name=file;filename*=utf-8''%C3%A4.pem\r\n\r\nx\r\n--b--")));
	assert_true(parts[0].is_file && ks_str_eq(parts[0].name, KS_STR("file")));
}

static void values_are_the_bytes_that_were_sent(void **state)
{
	static const struct ks_str values[] = {
		{"", 0}, {"\r\n", 2}, {"\r\n--", 4}, {"--b", 3}, {"\n--b--", 6}, {"\r\r\n-", 4}, {"\0\xff\x80", 3},
		{"-----BEGIN PRIVATE KEY-----\r\nMIIB\r\n-----END PRIVATE KEY-----\r\n", 57},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(values); i++) {
		static const char head[] = "--b\r\n" DISPOSITION "\r\n\r\n", tail[] = "\r\n--b--\r\n";
		char body[256];
		size_t n = 0;

		memcpy(body, head, sizeof(head) - 1);
		n += sizeof(head) - 1;
		memcpy(&body[n], values[i].p, values[i].n);
		n += values[i].n;
		memcpy(&body[n], tail, sizeof(tail) - 1);
		n += sizeof(tail) - 1;
		assert_true(reads(ks_str_of(body, n)));
		assert_int_equal(count, 1);
		assert_true(ks_str_eq(parts[0].value, values[i]));
		/* Every beginning of it is refused, but for the line's end of the last delimiter. */
		for (size_t cut = 0; cut < n; cut++) {
			if (cut != n - 2)
				assert_false(reads(ks_str_of(body, cut)));
		}
	}
}

static void what_could_be_read_two_ways_is_refused(void **state)
{
	static const char *const bodies[] = {
		"",
		"--",
		"--b",
		"--b\r\n",
		"--c--\r\n",
		"text before\r\n--b\r\n" DISPOSITION "\r\n\r\nx\r\n--b--\r\n",
		"\r\n--b\r\n" DISPOSITION "\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\r\n\r\nx\r\n--b--\r\ntext behind",
		"--b\r\n" DISPOSITION "\r\n\r\nx\r\n--bb--\r\n",
		"--b\r\n" DISPOSITION "\r\n\r\nx\r\n--b \r\n--b--\r\n",
		"--b\n" DISPOSITION "\n\nx\n--b--\n",
		"--b\r\n" DISPOSITION "\r\n\r\nx",
		"--b\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Disposition: attachment; name=\"value\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "; name=\"value\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "; filename=\"a\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "; size=1\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION " trailing\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\r\n" DISPOSITION "\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\r\n continued\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\r\nNo colon\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\r\nX : y\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\nX: y\r\n\r\nx\r\n--b--\r\n",
		"--b\r\n" DISPOSITION "\rX: y\r\n\r\nx\r\n--b--\r\n",
	};
	const struct ks_multipart_part *part = &parts[0];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bodies); i++) {
		if (reads(ks_str_c(bodies[i])))
			fail_msg("%s", bodies[i]);
		assert_true(count == SIZE_MAX);
	}
	assert_false(ks_multipart_read(KS_STR("----\r\n"), KS_STR(""), parts, &count));
	/* Twice the same name is two parts, and no one part of that name. */
	assert_true(reads(KS_STR("--b\r\n" DISPOSITION "\r\n\r\nx\r\n--b\r\n" DISPOSITION "\r\n\r\ny\r\n--b--\r\n")));
	assert_int_equal(count, 2);
	assert_false(ks_multipart_find(parts, count, KS_STR("value"), &part));
	assert_ptr_equal(part, &parts[0]);
}

static void limits(void **state)
{
	static const char part[] = "--b\r\n" DISPOSITION "\r\n\r\nx\r\n";
	char body[8192];
	size_t n;

	(void)state;
	for (size_t wanted = KS_MULTIPART_PARTS_MAX; wanted <= KS_MULTIPART_PARTS_MAX + 1; wanted++) {
		n = 0;
		for (size_t i = 0; i < wanted; i++) {
			memcpy(&body[n], part, sizeof(part) - 1);
			n += sizeof(part) - 1;
		}
		memcpy(&body[n], "--b--", 5);
		assert_int_equal(reads(ks_str_of(body, n + 5)), wanted == KS_MULTIPART_PARTS_MAX);
	}
	n = (size_t)snprintf(body, sizeof(body), "--b\r\n%s\r\nX: %02048d\r\n\r\nx\r\n--b--", DISPOSITION, 0);
	assert_false(reads(ks_str_of(body, n)));
	n = (size_t)snprintf(body, sizeof(body), "--b\r\nContent-Disposition: form-data; name=\"%0128d\"\r\n\r\nx\r\n--b--", 0);
	assert_true(reads(ks_str_of(body, n)));
	n = (size_t)snprintf(body, sizeof(body), "--b\r\nContent-Disposition: form-data; name=\"%0129d\"\r\n\r\nx\r\n--b--", 0);
	assert_false(reads(ks_str_of(body, n)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boundaries),
		cmocka_unit_test(what_browsers_write),
		cmocka_unit_test(values_are_the_bytes_that_were_sent),
		cmocka_unit_test(what_could_be_read_two_ways_is_refused),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
