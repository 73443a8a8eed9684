/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/addr.h"

static void test_addresses_refused(void **state)
{
	static const char *const bad[] = {
		"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4",
		"0x1.2.3.4", "1.2.3.4:80", "1.2.3.4/32", "a.b.c.d", ":", ":::", "1::2::3", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "12345::", "g::", "[::1]", "::1%lo", "::1%1", "fe80::1%eth0", "::1/128",
		"::1.2.3", "::1.2.3.256", "1.2.3.4::", "::ffff:1.2.3.4:5", 
		"0000:0000:0000:0000:0000:ffff:192.168.100.1000",
		"\xd9\xa1.2.3.4",
	};
	struct ks_addr addr = {{77}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		if (ks_addr_parse(ks_str_c(bad[i]), &addr))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_false(ks_addr_parse(KS_STR("1.2.3.4\0"), &addr));
	assert_false(ks_addr_parse(KS_STR("::1\0::"), &addr));
	assert_false(ks_addr_parse((struct ks_str){NULL, 0}, &addr));
	assert_int_equal(addr.bytes[0], 77);
}

static void assert_canonical(const char *text, const char *expected)
{
	char out[KS_ADDR_TEXT_SIZE];
	struct ks_addr addr;

	assert_true(ks_addr_parse(ks_str_c(text), &addr));
	ks_addr_format(&addr, out);
	assert_string_equal(out, expected);
}

/* RFC 5952, section 4. */
static void test_canonical_text(void **state)
{
	(void)state;
	assert_canonical("203.0.113.7", "203.0.113.7");
	assert_canonical("0.0.0.0", "0.0.0.0");
	assert_canonical("255.255.255.255", "255.255.255.255");
	assert_canonical("::ffff:203.0.113.7", "203.0.113.7");
	assert_canonical("::FFFF:cb00:7107", "203.0.113.7");
	assert_canonical("::", "::");
	assert_canonical("::1", "::1");
	assert_canonical("1::", "1::");
	assert_canonical("2001:0DB8:0:0:0:0:0:0001", "2001:db8::1");
	assert_canonical("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
	assert_canonical("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
	assert_canonical("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
	assert_canonical("0:0:1:0:0:0:0:0", "0:0:1::");
	assert_canonical("::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7");
	assert_canonical("::1.2.3.4", "::102:304");
	assert_canonical("64:ff9b::1.2.3.4", "64:ff9b::102:304");
	assert_canonical("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_ranges_refused(void **state)
{
	static const char *const bad[] = {
		"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ",
		"10.0.0.0/8/8", "10.0.0.1/8", "10.0.0.1/31", "0.0.0.1/0", "::1/127", "::/129", "::/0128", "::/999",
		"2001:db8::1/64", "8000::/0", "::ffff:1.2.3.0/24", "::ffff:0:0/95", "10.0.0.0/255.0.0.0", "10/8",
		"::/00",
	};
	struct ks_cidr cidr = {.bits = 77};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		if (ks_cidr_parse(ks_str_c(bad[i]), &cidr))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_int_equal(cidr.bits, 77);
}

static void assert_range(const char *text, unsigned bits, const char *expected)
{
	char out[KS_ADDR_TEXT_SIZE];
	struct ks_cidr cidr;

	assert_true(ks_cidr_parse(ks_str_c(text), &cidr));
	assert_int_equal(cidr.bits, bits);
	ks_cidr_format(&cidr, out);
	assert_string_equal(out, expected);
}

static void test_ranges(void **state)
{
	(void)state;
	assert_range("10.0.0.0/8", 104, "10.0.0.0/8");
	assert_range("0.0.0.0/0", 96, "0.0.0.0/0");
	assert_range("203.0.113.7", 128, "203.0.113.7/32");
	assert_range("::ffff:203.0.113.7", 128, "203.0.113.7/32");
	assert_range("::ffff:203.0.113.0/120", 120, "203.0.113.0/24");
	assert_range("::/0", 0, "::/0");
	assert_range("::1", 128, "::1/128");
	assert_range("2001:db8::/64", 64, "2001:db8::/64");
	assert_range("2001:db8::8000:0:0:0/65", 65, "2001:db8:0:0:8000::/65");
	assert_range("fe80::/10", 10, "fe80::/10");
}

static bool lies_in(const char *range, const char *address)
{
	struct ks_cidr cidr;
	struct ks_addr addr;

	assert_true(ks_cidr_parse(ks_str_c(range), &cidr));
	assert_true(ks_addr_parse(ks_str_c(address), &addr));
	return ks_cidr_has(&cidr, &addr);
}

static void test_membership(void **state)
{
	(void)state;
	assert_false(lies_in("10.0.0.0/8", "11.0.0.0"));
	assert_false(lies_in("10.0.0.0/8", "9.255.255.255"));
	assert_false(lies_in("0.0.0.0/0", "::1"));
	assert_false(lies_in("0.0.0.0/0", "::10.0.0.1"));
	assert_false(lies_in("203.0.113.7", "203.0.113.6"));
	assert_false(lies_in("2001:db8::/64", "2001:db8:0:1::"));
	assert_false(lies_in("2001:db8::8000:0:0:0/65", "2001:db8::7fff:ffff:ffff:ffff"));
	assert_false(lies_in("::/127", "::2"));
	assert_false(lies_in("::/0", "10.1.2.3"));
	assert_false(lies_in("::/64", "::ffff:10.1.2.3"));
	assert_false(lies_in("::/95", "10.1.2.3"));
	assert_true(lies_in("10.0.0.0/8", "10.255.255.255"));
	assert_true(lies_in("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_true(lies_in("::ffff:10.0.0.0/104", "10.1.2.3"));
	assert_true(lies_in("0.0.0.0/0", "255.255.255.255"));
	assert_true(lies_in("::/0", "ffff::"));
	assert_true(lies_in("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff"));
	assert_true(lies_in("::/127", "::1"));
	assert_true(lies_in("::1", "::1"));
}

/* For each length of prefix: the bit before its end matters, the bit after it does not. */
static void test_every_length(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits <= 128; bits++) {
		struct ks_cidr cidr = {.bits = (uint8_t)bits};
		struct ks_addr addr = {{0}};

		if (bits > 0) {
			addr.bytes[(bits - 1) / 8] = (uint8_t)(0x80u >> (bits - 1) % 8);
			assert_false(ks_cidr_has(&cidr, &addr));
			addr.bytes[(bits - 1) / 8] = 0;
		}
		assert_true(ks_cidr_has(&cidr, &addr));
		if (bits < 128) {
			addr.bytes[bits / 8] = (uint8_t)(0x80u >> bits % 8);
			assert_true(ks_cidr_has(&cidr, &addr));
		}
	}
}

static void test_zero(void **state)
{
	struct ks_addr addr = {{0}};

	(void)state;
	assert_true(ks_addr_is_zero(&addr));
	for (size_t i = 0; i < sizeof(addr.bytes); i++) {
		addr.bytes[i] = 1;
		assert_false(ks_addr_is_zero(&addr));
		addr.bytes[i] = 0;
	}
	assert_true(ks_addr_parse(KS_STR("0.0.0.0"), &addr));
	assert_false(ks_addr_is_zero(&addr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_refused),
		cmocka_unit_test(test_canonical_text),
		cmocka_unit_test(test_ranges_refused),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_membership),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_zero),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
