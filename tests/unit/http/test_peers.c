/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "http/peers.h"

static struct ks_addr address(const char *text)
{
	struct ks_addr addr;

	assert_true(ks_addr_parse(ks_str_c(text), &addr));
	return addr;
}

static struct ks_addr numbered(unsigned i)
{
	struct ks_addr addr = address("10.0.0.0");

	addr.bytes[13] = (uint8_t)(i >> 16);
	addr.bytes[14] = (uint8_t)(i >> 8);
	addr.bytes[15] = (uint8_t)i;
	return addr;
}

static void a_limit_holds(void **state)
{
	struct ks_addr a = address("192.0.2.1"), b = address("192.0.2.2");
	struct ks_peers peers;

	(void)state;
	assert_int_equal(ks_peers_init(&peers, 10), KS_OK);
	assert_true(ks_peers_add(&peers, &a, 2));
	assert_true(ks_peers_add(&peers, &a, 2));
	assert_false(ks_peers_add(&peers, &a, 2));
	assert_true(ks_peers_add(&peers, &b, 2));
	ks_peers_remove(&peers, &a);
	assert_true(ks_peers_add(&peers, &a, 2));
	assert_false(ks_peers_add(&peers, &a, 2));
	ks_peers_free(&peers);
}

static void no_limit(void **state)
{
	struct ks_addr a = address("192.0.2.1");
	struct ks_peers peers;

	(void)state;
	assert_int_equal(ks_peers_init(&peers, 10), KS_OK);
	for (int i = 0; i < 1000; i++)
		assert_true(ks_peers_add(&peers, &a, 0));
	ks_peers_free(&peers);
}

/* IPv4 addresses count one by one, though they all lie in one /64 as mapped. */
static void networks(void **state)
{
	struct ks_addr a = address("2001:db8::1"), b = address("2001:db8::ffff:1"), c = address("2001:db8:0:1::1");
	struct ks_addr d = address("192.0.2.1"), e = address("192.0.2.2");
	struct ks_peers peers;

	(void)state;
	assert_int_equal(ks_peers_init(&peers, 10), KS_OK);
	assert_true(ks_peers_add(&peers, &a, 1));
	assert_false(ks_peers_add(&peers, &b, 1));
	assert_true(ks_peers_add(&peers, &c, 1));
	assert_true(ks_peers_add(&peers, &d, 1));
	assert_true(ks_peers_add(&peers, &e, 1));
	ks_peers_free(&peers);
}

static void removing_what_is_not_there(void **state)
{
	struct ks_addr a = address("192.0.2.1");
	struct ks_peers peers;

	(void)state;
	assert_int_equal(ks_peers_init(&peers, 1), KS_OK);
	ks_peers_remove(&peers, &a);
	assert_true(ks_peers_add(&peers, &a, 1));
	ks_peers_remove(&peers, &a);
	ks_peers_remove(&peers, &a);
	assert_true(ks_peers_add(&peers, &a, 1));
	assert_false(ks_peers_add(&peers, &a, 1));
	ks_peers_free(&peers);
	ks_peers_free(&peers);
}

/* As full as it may get, in and out in a wild order, against counts kept the obvious way. */
static void counts_stay_right(void **state)
{
	enum { ADDRESSES = 300, STEPS = 200000 };
	unsigned counts[ADDRESSES] = {0}, total = 0, seed = 1;
	struct ks_peers peers;

	(void)state;
	assert_int_equal(ks_peers_init(&peers, ADDRESSES), KS_OK);
	for (int step = 0; step < STEPS; step++) {
		unsigned i;
		struct ks_addr addr;

		seed = seed * 1103515245 + 12345;
		i = (seed >> 8) % ADDRESSES;
		addr = numbered(i);
		if (counts[i] && (seed >> 28) % 2) {
			ks_peers_remove(&peers, &addr);
			counts[i]--;
			total--;
			continue;
		}
		assert_int_equal(ks_peers_add(&peers, &addr, 3), counts[i] < 3);
		if (counts[i] < 3) {
			counts[i]++;
			total++;
		}
	}
	assert_true(total > 0);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		struct ks_addr addr = numbered(i);

		while (counts[i]++ < 3)
			assert_true(ks_peers_add(&peers, &addr, 3));
		assert_false(ks_peers_add(&peers, &addr, 3));
	}
	ks_peers_free(&peers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_holds),
		cmocka_unit_test(removing_what_is_not_there),
		cmocka_unit_test(no_limit),
		cmocka_unit_test(networks),
		cmocka_unit_test(counts_stay_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
