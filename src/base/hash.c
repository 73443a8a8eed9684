/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

static uint64_t load64(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

static uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t ks_siphash(const uint64_t key[2], const void *bytes, size_t n)
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	const unsigned char *p = bytes;
	uint64_t last = (uint64_t)n << 56;
	size_t whole = n & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8)
		sip_word(v, load64(&p[i]));
	for (size_t i = whole; i < n; i++)
		last |= (uint64_t)p[i] << (8 * (i - whole));
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The 128-bit product, folded. */
static uint64_t fold_multiply(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t ks_mix64(uint64_t word, const uint64_t key[2])
{
	/* Digits of the golden ratio and of e: they only keep an all-zero key from losing everything. */
	uint64_t once = fold_multiply(word ^ key[0], key[1] ^ UINT64_C(0x9e3779b97f4a7c15));

	return fold_multiply(once ^ key[1], key[0] ^ UINT64_C(0xadf85458a2bb4a9b));
}

uint64_t ks_mix256(const void *bytes, const uint64_t key[2])
{
	const unsigned char *p = bytes;
	uint64_t mixed = fold_multiply(load64(p) ^ key[0], load64(&p[8]) ^ key[1] ^ UINT64_C(0x9e3779b97f4a7c15));

	/* One product goes into the next: of two that were only added up, chosen halves could cancel each other. */
	mixed = fold_multiply(load64(&p[16]) ^ mixed, load64(&p[24]) ^ key[0] ^ UINT64_C(0xc2b2ae3d27d4eb4f));
	return fold_multiply(mixed ^ key[1], key[0] ^ UINT64_C(0xadf85458a2bb4a9b));
}

/* CRC-32 is linear over bits: the entry of table k for a byte is the sum of what each of its bits leaves after k more
 * bytes. Those 64 words are the successive states of the shift register of the polynomial. */
#define BIT(i, b, word) (((i) >> (b)&1) * UINT32_C(word))
#define ENTRY(i, b7, b6, b5, b4, b3, b2, b1, b0)                                                        \
	(BIT(i, 7, b7) ^ BIT(i, 6, b6) ^ BIT(i, 5, b5) ^ BIT(i, 4, b4) ^ BIT(i, 3, b3) ^ BIT(i, 2, b2) ^ \
	 BIT(i, 1, b1) ^ BIT(i, 0, b0))
#define ENTRIES_4(i, ...) \
	ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__), ENTRY((i) + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                               \
	ENTRIES_4(i, __VA_ARGS__), ENTRIES_4((i) + 4, __VA_ARGS__), ENTRIES_4((i) + 8, __VA_ARGS__), \
		ENTRIES_4((i) + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                                   \
	ENTRIES_16(i, __VA_ARGS__), ENTRIES_16((i) + 16, __VA_ARGS__), ENTRIES_16((i) + 32, __VA_ARGS__), \
		ENTRIES_16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                               \
	{                                                                                                        \
		ENTRIES_64(0u, __VA_ARGS__), ENTRIES_64(64u, __VA_ARGS__), ENTRIES_64(128u, __VA_ARGS__), \
			ENTRIES_64(192u, __VA_ARGS__)                                                            \
	}

/* Row k is for a byte that k others follow in a step of eight. */
static const uint32_t crc_table[8][256] = {
	TABLE(0xedb88320, 0x76dc4190, 0x3b6e20c8, 0x1db71064, 0x0edb8832, 0x076dc419, 0xee0e612c, 0x77073096),
	TABLE(0x3b83984b, 0xf0794f05, 0x958424a2, 0x4ac21251, 0xc8d98a08, 0x646cc504, 0x32366282, 0x191b3141),
	TABLE(0xe1351b80, 0x709a8dc0, 0x384d46e0, 0x1c26a370, 0x0e1351b8, 0x0709a8dc, 0x0384d46e, 0x01c26a37),
	TABLE(0xed59b63b, 0x9b14583d, 0xa032af3e, 0x5019579f, 0xc5b428ef, 0x8f629757, 0xaa09c88b, 0xb8bc6765),
	TABLE(0xb1e6b092, 0x58f35849, 0xc1c12f04, 0x60e09782, 0x30704bc1, 0xf580a6c0, 0x7ac05360, 0x3d6029b0),
	TABLE(0x1eb014d8, 0x0f580a6c, 0x07ac0536, 0x03d6029b, 0xec53826d, 0x9b914216, 0x4dc8a10b, 0xcb5cd3a5),
	TABLE(0x8816eaf2, 0x440b7579, 0xcfbd399c, 0x67de9cce, 0x33ef4e67, 0xf44f2413, 0x979f1129, 0xa6770bb4),
	TABLE(0x533b85da, 0x299dc2ed, 0xf9766256, 0x7cbb312b, 0xd3e51bb5, 0x844a0efa, 0x4225077d, 0xccaa009e),
};

uint32_t ks_crc32(uint32_t crc, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t i = 0;

	crc = ~crc;
	for (; n - i >= 8; i += 8) {
		uint64_t word = load64(&p[i]) ^ crc;

		crc = crc_table[7][word & 0xff] ^ crc_table[6][word >> 8 & 0xff] ^ crc_table[5][word >> 16 & 0xff] ^
		      crc_table[4][word >> 24 & 0xff] ^ crc_table[3][word >> 32 & 0xff] ^
		      crc_table[2][word >> 40 & 0xff] ^ crc_table[1][word >> 48 & 0xff] ^ crc_table[0][word >> 56];
	}
	for (; i < n; i++)
		crc = crc_table[0][(crc ^ p[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}
