/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "http/conn.h"

static void assert_date(int64_t ms, const char *want)
{
	struct ks_str date = ks_stamp_date(ms);

	assert_int_equal(date.n, strlen(want));
	assert_memory_equal(date.p, want, date.n);
}

static void dates(void **state)
{
	(void)state;
	assert_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_date(784111777000, "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_date(784111777999, "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_date(784111778000, "Sun, 06 Nov 1994 08:49:38 GMT");
	assert_date(951782400000, "Tue, 29 Feb 2000 00:00:00 GMT");
	assert_date(1798761599000, "Thu, 31 Dec 2026 23:59:59 GMT");
	assert_date(784111777000, "Sun, 06 Nov 1994 08:49:37 GMT");
}

#define IDS 1000

static void *make_ids(void *arg)
{
	char(*ids)[KS_REQUEST_ID_MAX + 1] = arg;

	for (size_t i = 0; i < IDS; i++)
		ks_stamp_request_id(ids[i]);
	return NULL;
}

static int order_of(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Also those of two threads. */
static void ids_differ(void **state)
{
	static char ids[2 * IDS][KS_REQUEST_ID_MAX + 1];
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, make_ids, &ids[IDS]), 0);
	make_ids(ids);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (size_t i = 0; i < 2 * IDS; i++) {
		assert_int_equal(strlen(ids[i]), 32);
		assert_int_equal(strspn(ids[i], "0123456789abcdef"), 32);
	}
	qsort(ids, 2 * IDS, sizeof(ids[0]), order_of);
	for (size_t i = 1; i < 2 * IDS; i++)
		assert_string_not_equal(ids[i - 1], ids[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates),
		cmocka_unit_test(ids_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
