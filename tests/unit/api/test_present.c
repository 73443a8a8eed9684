/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "api/api_priv.h"

static struct ks_api api;
static struct ks_exchange exchange;

/* Who is believed: ranges (NULL-terminated) and a number of proxies. */
static void trust(size_t hops, const char *const *ranges)
{
	api.options = (struct ks_api_options){.proxy_hops = hops};
	for (; *ranges; ranges++)
		assert_true(ks_cidr_parse(ks_str_c(*ranges), &api.options.trusted_proxies[api.options.trusted_proxy_count++]));
}
#define TRUST(hops, ...) trust(hops, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Who the client is, for a request of `peer` with these X-Forwarded-For (NULL-terminated); NULL: unknown. */
static void client(const char *want, const char *peer, const char *const *fields)
{
	char text[KS_ADDR_TEXT_SIZE];
	struct ks_addr found;

	exchange = (struct ks_exchange){.peer_known = peer != NULL};
	if (peer)
		assert_true(ks_addr_parse(ks_str_c(peer), &exchange.peer));
	for (; *fields; fields++) {
		exchange.headers[exchange.header_count++] = (struct ks_header){KS_STR("X-Other"), KS_STR("192.0.2.99")};
		exchange.headers[exchange.header_count++] = (struct ks_header){KS_STR("x-forwarded-FOR"), ks_str_c(*fields)};
	}
	assert_int_equal(ks_client_address(&api, &exchange, &found), want != NULL);
	if (!want)
		return;
	ks_addr_format(&found, text);
	assert_string_equal(text, want);
}
#define CLIENT(want, peer, ...) client(want, peer, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_nobody_is_believed(void **state)
{
	(void)state;
	TRUST(0);
	CLIENT("10.0.0.1", "10.0.0.1");
	CLIENT("10.0.0.1", "10.0.0.1", "203.0.113.9");
	CLIENT(NULL, NULL, "203.0.113.9");
}

static void test_ranges(void **state)
{
	(void)state;
	TRUST(0, "10.0.0.0/8", "2001:db8::/32");
	CLIENT("203.0.113.9", "203.0.113.9", "198.51.100.1");
	CLIENT("10.0.0.1", "10.0.0.1");
	CLIENT("203.0.113.9", "10.0.0.1", "203.0.113.9");
	CLIENT("203.0.113.9", "10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2 ,10.0.0.3");
	CLIENT("203.0.113.9", "10.0.0.1", "198.51.100.1", "203.0.113.9", "10.0.0.2");
	CLIENT("203.0.113.9", "2001:db8::1", "203.0.113.9:4711, [2001:db8::2]:80");
	CLIENT("2001:db9::1", "10.0.0.1", "[2001:db9::1]");
	CLIENT("10.0.0.3", "10.0.0.1", "10.0.0.3, 10.0.0.2");
}

/* The first so many from the right, whoever they are; what a client writes stands further left. */
static void test_count(void **state)
{
	(void)state;
	TRUST(1);
	CLIENT("192.0.2.1", "192.0.2.1");
	CLIENT("203.0.113.9", "192.0.2.1", "203.0.113.9");
	CLIENT("203.0.113.9", "192.0.2.1", "198.51.100.1, 203.0.113.9");
	CLIENT("203.0.113.9", "192.0.2.1", "198.51.100.1", "203.0.113.9");
	CLIENT("2001:db8::9", "2001:db8::1", "198.51.100.1, 2001:db8::9");
	TRUST(2);
	CLIENT("203.0.113.9", "192.0.2.1", "198.51.100.1, 203.0.113.9, 192.0.2.2");
	CLIENT("203.0.113.9", "192.0.2.1", "198.51.100.1, 203.0.113.9", "192.0.2.2");
	/* Who came by the second proxy alone. */
	CLIENT("203.0.113.9", "192.0.2.1", "203.0.113.9");
	CLIENT("192.0.2.1", "192.0.2.1");
	TRUST(32);
	CLIENT("198.51.100.1", "192.0.2.1", "198.51.100.1, 203.0.113.9, 192.0.2.2");
}

/* At most so many, and only those within the ranges: clients inside the proxies' network stay clients. */
static void test_count_and_ranges(void **state)
{
	(void)state;
	TRUST(1, "10.0.0.0/8");
	CLIENT("10.0.0.3", "10.0.0.1", "203.0.113.9, 10.0.0.3");
	CLIENT("203.0.113.9", "203.0.113.9", "198.51.100.1");
	TRUST(2, "10.0.0.0/8");
	CLIENT("203.0.113.9", "10.0.0.1", "203.0.113.9, 10.0.0.3");
	CLIENT("192.0.2.2", "10.0.0.1", "203.0.113.9, 192.0.2.2");
}

/* What a proxy wrote and cannot be read is no address, and the client is unknown rather than somebody else. */
static void test_entries_that_cannot_be_read(void **state)
{
	static const char *const bad[] = {"unknown", "_hidden", "203.0.113.9,", "203.0.113.9, ", "203.0.113.009", "203.0.113.9/32",
					  "[2001:db8::1", "1.2.3", ",", "203.0.113.9 10.0.0.2"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		TRUST(0, "10.0.0.0/8");
		CLIENT(NULL, "10.0.0.1", bad[i]);
		CLIENT("10.1.1.1", "10.1.1.1");
		TRUST(1);
		CLIENT(NULL, "10.0.0.1", bad[i]);
		/* A client's own entry is not looked at. */
		CLIENT("203.0.113.9", "10.0.0.1", bad[i], "203.0.113.9");
	}
	/* An empty field is a list of nobody. */
	CLIENT("203.0.113.9", "10.0.0.1", "203.0.113.9", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_is_believed),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_count_and_ranges),
		cmocka_unit_test(test_entries_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
