/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/hash.h"

/* The first and last of the vectors of the reference implementation (key 00 01 ... 0f, message 00 01 ...). */
static void test_siphash_vectors(void **state)
{
	const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
	unsigned char message[64];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	assert_true(ks_siphash(key, message, 0) == UINT64_C(0x726fdb47dd0e0e31));
	assert_true(ks_siphash(key, message, 1) == UINT64_C(0x74f839c593dc67fd));
	assert_true(ks_siphash(key, message, 7) == UINT64_C(0xab0200f58b01d137));
	assert_true(ks_siphash(key, message, 8) == UINT64_C(0x93f5f5799a932462));
	assert_true(ks_siphash(key, message, 15) == UINT64_C(0xa129ca6149be45e5));
	assert_true(ks_siphash(key, message, 63) == UINT64_C(0x958a324ceb064572));
}

static void test_siphash_key_matters(void **state)
{
	const uint64_t a[2] = {1, 2}, b[2] = {2, 2}, c[2] = {1, 3};

	(void)state;
	assert_true(ks_siphash(a, "x", 1) != ks_siphash(b, "x", 1));
	assert_true(ks_siphash(a, "x", 1) != ks_siphash(c, "x", 1));
}

static uint64_t mix64_of(const uint64_t *input)
{
	return ks_mix64(input[0], &input[1]);
}

static uint64_t mix256_of(const uint64_t *input)
{
	return ks_mix256(input, &input[4]);
}

/* A changed bit of the input or of the key changes each bit of the result about half of the time. */
static void check_avalanche(uint64_t (*mix)(const uint64_t *input), unsigned which)
{
	enum { WORDS = 256, INPUT = 6 };
	unsigned changed[64][64] = {{0}};
	uint64_t seed[2] = {UINT64_C(0x1234567), UINT64_C(0x89abcdef)};

	for (unsigned w = 0; w < WORDS; w++) {
		uint64_t input[INPUT];

		for (unsigned i = 0; i < INPUT; i++)
			input[i] = ks_siphash(seed, &(unsigned[2]){w, i}, sizeof(unsigned[2]));
		for (unsigned bit = 0; bit < 64; bit++) {
			uint64_t before = mix(input), difference;

			input[which] ^= UINT64_C(1) << bit;
			difference = before ^ mix(input);
			input[which] ^= UINT64_C(1) << bit;
			for (unsigned out = 0; out < 64; out++)
				changed[bit][out] += (unsigned)(difference >> out & 1);
		}
	}
	/* 128 of 256 expected, standard deviation 8: the inputs are fixed, so that this is no matter of luck. */
	for (unsigned bit = 0; bit < 64; bit++)
		for (unsigned out = 0; out < 64; out++)
			assert_in_range(changed[bit][out], 128 - 48, 128 + 48);
}

static void test_mix64_avalanche(void **state)
{
	(void)state;
	for (unsigned which = 0; which < 3; which++)
		check_avalanche(mix64_of, which);
}

static void test_mix256_avalanche(void **state)
{
	(void)state;
	for (unsigned which = 0; which < 6; which++)
		check_avalanche(mix256_of, which);
}

/* Values that differ in one of their words alone, whichever it is, or have their halves swapped, are spread as
 * evenly as random ones. */
static void test_mix256_spreads_chosen_values(void **state)
{
	static uint8_t low[65536], high[65536];
	const uint64_t key[2] = {UINT64_C(0xfeedface), UINT64_C(0x1234)};

	(void)state;
	for (unsigned word = 0; word < 5; word++) {
		size_t empty_low = 0, empty_high = 0;

		memset(low, 0, sizeof(low));
		memset(high, 0, sizeof(high));
		for (uint64_t i = 0; i < 65536; i++) {
			uint64_t value[4] = {1, 2, 3, 4}, mixed;

			if (word < 4)
				value[word] = i;
			else
				value[0] = value[3] = ~(value[1] = value[2] = i);
			mixed = ks_mix256(value, key);
			low[mixed & 0xffff] = 1;
			high[mixed >> 48] = 1;
		}
		for (size_t i = 0; i < 65536; i++) {
			empty_low += !low[i];
			empty_high += !high[i];
		}
		assert_in_range(empty_low, 24109 - 600, 24109 + 600);
		assert_in_range(empty_high, 24109 - 600, 24109 + 600);
	}
}

/* Words in order fill the low and the high bits of a table as evenly as random ones would. */
static void test_mix64_spreads_neighbours(void **state)
{
	static uint8_t low[65536], high[65536];
	const uint64_t key[2] = {0, 0};
	size_t empty_low = 0, empty_high = 0;

	(void)state;
	for (uint64_t word = 0; word < 65536; word++) {
		uint64_t mixed = ks_mix64(word, key);

		low[mixed & 0xffff] = 1;
		high[mixed >> 48] = 1;
	}
	for (size_t i = 0; i < 65536; i++) {
		empty_low += !low[i];
		empty_high += !high[i];
	}
	/* 65536 / e = 24109 expected, standard deviation below 100. */
	assert_in_range(empty_low, 24109 - 600, 24109 + 600);
	assert_in_range(empty_high, 24109 - 600, 24109 + 600);
}

/* One bit at a time, straight from the polynomial. */
static uint32_t slow_crc32(uint32_t crc, const unsigned char *bytes, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ UINT32_C(0xedb88320) : crc >> 1;
	}
	return ~crc;
}

static void test_crc32(void **state)
{
	unsigned char bytes[300];

	(void)state;
	assert_true(ks_crc32(0, "123456789", 9) == UINT32_C(0xcbf43926));
	assert_true(ks_crc32(0, "", 0) == 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * i * 31 + i);
	for (size_t n = 0; n <= sizeof(bytes); n++)
		assert_true(ks_crc32(0, bytes, n) == slow_crc32(0, bytes, n));
	for (unsigned byte = 0; byte < 256; byte++) {
		for (size_t place = 0; place < 8; place++) {
			unsigned char step[8] = {0};

			step[place] = (unsigned char)byte;
			assert_true(ks_crc32(0, step, 8) == slow_crc32(0, step, 8));
		}
	}
	/* In parts as at once. */
	for (size_t n = 0; n <= sizeof(bytes); n++)
		assert_true(ks_crc32(ks_crc32(0, bytes, n), &bytes[n], sizeof(bytes) - n) ==
			    slow_crc32(0, bytes, sizeof(bytes)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_vectors),
		cmocka_unit_test(test_siphash_key_matters),
		cmocka_unit_test(test_mix64_avalanche),
		cmocka_unit_test(test_mix64_spreads_neighbours),
		cmocka_unit_test(test_mix256_avalanche),
		cmocka_unit_test(test_mix256_spreads_chosen_values),
		cmocka_unit_test(test_crc32),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
