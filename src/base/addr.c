/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>

#include "base/buf.h"

#define V4_AT 12 /* where the IPv4 address lies in its mapped form */
#define V4_BITS_BEFORE (8 * V4_AT)
#define GROUPS 8

static const uint8_t mapped_prefix[V4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const struct ks_addr *addr)
{
	return memcmp(addr->bytes, mapped_prefix, V4_AT) == 0;
}

/* Parses either family; *ret_v4 tells in which the text was written. */
static bool parse(struct ks_str text, struct ks_addr *ret_addr, bool *ret_v4)
{
	char z[INET6_ADDRSTRLEN];
	struct ks_addr addr;
	bool v4 = ks_str_find(text, ':') == SIZE_MAX;

	if (text.n == 0 || text.n >= sizeof(z) || ks_str_find(text, '\0') != SIZE_MAX)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	if (v4) {
		memcpy(addr.bytes, mapped_prefix, V4_AT);
		if (inet_pton(AF_INET, z, &addr.bytes[V4_AT]) != 1)
			return false;
	} else if (inet_pton(AF_INET6, z, addr.bytes) != 1) {
		return false;
	}
	*ret_addr = addr;
	*ret_v4 = v4;
	return true;
}

bool ks_addr_parse(struct ks_str text, struct ks_addr *ret_addr)
{
	bool v4;

	return parse(text, ret_addr, &v4);
}

struct halves {
	uint64_t high, low;
};

static struct halves halves_of(const struct ks_addr *addr)
{
	uint64_t words[2];

	memcpy(words, addr->bytes, sizeof(words));
	return (struct halves){__builtin_bswap64(words[0]), __builtin_bswap64(words[1])};
}

/* A mask of the first `bits` of 64. */
static uint64_t mask64(unsigned bits)
{
	return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : ~(UINT64_MAX >> bits);
}

static struct halves mask_of(unsigned bits)
{
	return (struct halves){mask64(bits), bits > 64 ? mask64(bits - 64) : 0};
}

bool ks_cidr_parse(struct ks_str text, struct ks_cidr *ret_cidr)
{
	struct ks_str address = text, suffix;
	struct halves base, mask;
	struct ks_cidr cidr;
	uint64_t bits = 0;
	bool v4, whole;

	whole = !ks_str_split(text, '/', &address, &suffix);
	if (!parse(address, &cidr.base, &v4))
		return false;
	if (whole) {
		bits = v4 ? 32 : 128;
	} else if (suffix.n == 0 || suffix.n > 3 || (suffix.n > 1 && suffix.p[0] == '0') ||
		   !ks_str_to_u64(suffix, v4 ? 32 : 128, &bits)) {
		return false;
	}
	cidr.bits = (uint8_t)(bits + (v4 ? V4_BITS_BEFORE : 0));
	base = halves_of(&cidr.base);
	mask = mask_of(cidr.bits);
	if ((base.high & ~mask.high) | (base.low & ~mask.low))
		return false;
	*ret_cidr = cidr;
	return true;
}

bool ks_cidr_has(const struct ks_cidr *cidr, const struct ks_addr *addr)
{
	struct halves base = halves_of(&cidr->base), a = halves_of(addr), mask = mask_of(cidr->bits);

	/* An IPv6 range that reaches over the mapped addresses does not mean them. */
	if (cidr->bits < V4_BITS_BEFORE && is_mapped(addr))
		return false;
	return (((base.high ^ a.high) & mask.high) | ((base.low ^ a.low) & mask.low)) == 0;
}

bool ks_addr_is_zero(const struct ks_addr *addr)
{
	struct halves a = halves_of(addr);

	return (a.high | a.low) == 0;
}

/* The first of the longest runs of zero groups, if of two or more (RFC 5952, 4.2). */
static void longest_zeros(const struct ks_addr *addr, size_t *ret_from, size_t *ret_n)
{
	size_t n = 0;

	*ret_from = GROUPS;
	*ret_n = 1;
	for (size_t i = 0; i < GROUPS; i++) {
		n = (addr->bytes[2 * i] | addr->bytes[2 * i + 1]) ? 0 : n + 1;
		if (n > *ret_n) {
			*ret_n = n;
			*ret_from = i + 1 - n;
		}
	}
}

static void put_v4(struct ks_buf *b, const struct ks_addr *addr)
{
	for (size_t i = V4_AT; i < sizeof(addr->bytes); i++) {
		if (i > V4_AT)
			ks_buf_put_byte(b, '.');
		ks_buf_put_u64(b, addr->bytes[i]);
	}
}

static void put_v6(struct ks_buf *b, const struct ks_addr *addr)
{
	size_t from, n;

	longest_zeros(addr, &from, &n);
	for (size_t i = 0; i < GROUPS; i++) {
		if (i == from) {
			ks_buf_put(b, KS_STR("::"));
			i += n - 1;
			continue;
		}
		if (i > 0 && i != from + n)
			ks_buf_put_byte(b, ':');
		ks_buf_printf(b, "%x", (unsigned)(addr->bytes[2 * i] << 8 | addr->bytes[2 * i + 1]));
	}
}

static void put_addr(struct ks_buf *b, const struct ks_addr *addr)
{
	if (is_mapped(addr))
		put_v4(b, addr);
	else
		put_v6(b, addr);
}

void ks_addr_format(const struct ks_addr *addr, char ret_text[KS_ADDR_TEXT_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_text, KS_ADDR_TEXT_SIZE);

	put_addr(&b, addr);
	(void)ks_buf_z(&b);
}

void ks_cidr_format(const struct ks_cidr *cidr, char ret_text[KS_ADDR_TEXT_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_text, KS_ADDR_TEXT_SIZE);
	unsigned bits = cidr->bits;

	put_addr(&b, &cidr->base);
	if (is_mapped(&cidr->base) && bits >= V4_BITS_BEFORE)
		bits -= V4_BITS_BEFORE;
	ks_buf_put_byte(&b, '/');
	ks_buf_put_u64(&b, bits);
	(void)ks_buf_z(&b);
}
