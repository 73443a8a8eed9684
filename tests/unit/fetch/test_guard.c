/* SPDX-License-Identifier: Apache-2.0 */
/* Every form of an address that leads somewhere it should not, by what is said of it; NULL: public. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "fetch/guard.h"

struct row {
	const char *text;
	const char *why;
};

static const struct row rows[] = {
	{"8.8.8.8", NULL},
	{"1.1.1.1", NULL},
	{"9.255.255.255", NULL},
	{"11.0.0.0", NULL},
	{"100.63.255.255", NULL},
	{"100.128.0.0", NULL},
	{"126.255.255.255", NULL},
	{"128.0.0.0", NULL},
	{"169.253.255.255", NULL},
	{"169.255.0.0", NULL},
	{"172.15.255.255", NULL},
	{"172.32.0.0", NULL},
	{"192.167.255.255", NULL},
	{"192.169.0.0", NULL},
	{"198.17.255.255", NULL},
	{"198.20.0.0", NULL},
	{"223.255.255.255", NULL},
	{"2001:4860:4860::8888", NULL},
	{"2606:4700:4700::1111", NULL},
	{"2a00::1", NULL},
	{"64:ff9b::808:808", NULL},
	{"2002:808:808::1", NULL},
	{"::ffff:8.8.8.8", NULL},

	{"0.0.0.0", "unspecified"},
	{"0.1.2.3", "unspecified"},
	{"10.0.0.0", "private"},
	{"10.255.255.255", "private"},
	{"100.64.0.0", "shared"},
	{"100.127.255.255", "shared"},
	{"100.100.100.200", "metadata"},
	{"127.0.0.1", "loopback"},
	{"127.255.255.255", "loopback"},
	{"168.63.129.16", "metadata"},
	{"169.254.0.1", "link-local"},
	{"169.254.169.254", "metadata"},
	{"169.254.170.2", "link-local"},
	{"172.16.0.0", "private"},
	{"172.31.255.255", "private"},
	{"192.0.0.192", "special"},
	{"192.0.2.1", "documentation"},
	{"192.88.99.1", "special"},
	{"192.168.0.0", "private"},
	{"192.168.255.255", "private"},
	{"198.18.0.0", "benchmarking"},
	{"198.19.255.255", "benchmarking"},
	{"198.51.100.7", "documentation"},
	{"203.0.113.7", "documentation"},
	{"224.0.0.1", "multicast"},
	{"239.255.255.255", "multicast"},
	{"240.0.0.1", "reserved"},
	{"255.255.255.255", "reserved"},

	{"::", "unspecified"},
	{"::1", "loopback"},
	{"::2", "special"},
	{"::127.0.0.1", "special"},
	{"::ffff:0.0.0.0", "unspecified"},
	{"::ffff:127.0.0.1", "loopback"},
	{"::ffff:7f00:1", "loopback"},
	{"::ffff:10.1.2.3", "private"},
	{"::ffff:169.254.169.254", "metadata"},
	{"::ffff:0:127.0.0.1", "special"},
	{"64:ff9b::127.0.0.1", "loopback"},
	{"64:ff9b::a9fe:a9fe", "metadata"},
	{"64:ff9b::10.0.0.1", "private"},
	{"64:ff9b:1::808:808", "special"},
	{"64:ff9b:1:ffff::10.0.0.1", "special"},
	{"2002:7f00:1::", "loopback"},
	{"2002:a9fe:a9fe::1", "metadata"},
	{"2002:c0a8:1::1", "private"},
	{"2002:a00:1::5efe:808:808", "private"},
	{"100::1", "discard"},
	{"100:0:0:1::1", "special"},
	{"2001::1", "special"},
	{"2001:0:7f00:1::", "special"},
	{"2001:1ff:ffff::", "special"},
	{"2001:200::1", NULL},
	{"2001:db8::1", "documentation"},
	{"3fff::1", "documentation"},
	{"5f00::1", "special"},
	{"fc00::1", "unique-local"},
	{"fd12:3456::1", "unique-local"},
	{"fd00:ec2::254", "metadata"},
	{"fd20:ce::254", "metadata"},
	{"fe80::1", "link-local"},
	{"febf::1", "link-local"},
	{"fec0::1", "site-local"},
	{"ff02::1", "multicast"},
	{"4000::1", "reserved"},
	{"e000::1", "reserved"},
	{"1::1", "reserved"},
};

static void every_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(rows); i++) {
		struct ks_addr addr;
		const char *why;

		if (!ks_addr_parse(ks_str_c(rows[i].text), &addr))
			fail_msg("%s is no address", rows[i].text);
		why = ks_guard_reason(&addr);
		if (!ks_str_eq(ks_str_c(why), ks_str_c(rows[i].why)))
			fail_msg("%s: %s instead of %s", rows[i].text, why ? why : "public",
				 rows[i].why ? rows[i].why : "public");
	}
}

static void listed_ranges(void **state)
{
	struct ks_cidr ranges[2];
	struct ks_addr addr;

	(void)state;
	assert_true(ks_cidr_parse(KS_STR("10.1.0.0/16"), &ranges[0]));
	assert_true(ks_cidr_parse(KS_STR("fd00::/8"), &ranges[1]));
	assert_true(ks_addr_parse(KS_STR("10.1.2.3"), &addr));
	assert_true(ks_guard_listed(ranges, 2, &addr));
	assert_false(ks_guard_listed(ranges, 0, &addr));
	assert_true(ks_addr_parse(KS_STR("::ffff:10.1.2.3"), &addr));
	assert_true(ks_guard_listed(ranges, 2, &addr));
	assert_true(ks_addr_parse(KS_STR("10.2.2.3"), &addr));
	assert_false(ks_guard_listed(ranges, 2, &addr));
	/* A way around through another form is another address: it is listed itself, or not at all. */
	assert_true(ks_addr_parse(KS_STR("64:ff9b::10.1.2.3"), &addr));
	assert_false(ks_guard_listed(ranges, 2, &addr));
	assert_true(ks_addr_parse(KS_STR("fd12::1"), &addr));
	assert_true(ks_guard_listed(ranges, 2, &addr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),
		cmocka_unit_test(listed_ranges),
	};

	return cmocka_run_group_tests_name("fetch/guard", tests, NULL, NULL);
}
