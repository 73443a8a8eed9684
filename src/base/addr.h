/* SPDX-License-Identifier: Apache-2.0 */
/** Network addresses and ranges, IPv4 held as IPv4-mapped IPv6. */
#pragma once

#include "base/str.h"

struct ks_addr {
	uint8_t bytes[16];
};

struct ks_cidr {
	struct ks_addr base;
	uint8_t bits; /* 0 to 128, over the mapped form */
};

/** "[2001:db8:ffff:...:255.255.255.255]/128" and a terminator fit. */
#define KS_ADDR_TEXT_SIZE 56

/** Parses IPv4 or IPv6 text (strict decimal octets; no port, zone or brackets). */
KS_MUST_USE bool ks_addr_parse(struct ks_str text, struct ks_addr *ret_addr);

/** Parses `address` or `address/bits`; bits beyond the prefix must be zero. */
KS_MUST_USE bool ks_cidr_parse(struct ks_str text, struct ks_cidr *ret_cidr);

/** True if `addr` lies in `cidr`. IPv4 addresses lie in IPv4 ranges alone, not in IPv6 ranges such as ::/0. */
KS_MUST_USE bool ks_cidr_has(const struct ks_cidr *cidr, const struct ks_addr *addr);

bool ks_addr_is_zero(const struct ks_addr *addr);

/** Canonical text (RFC 5952; mapped addresses as IPv4), terminated. */
void ks_addr_format(const struct ks_addr *addr, char ret_text[KS_ADDR_TEXT_SIZE]);
void ks_cidr_format(const struct ks_cidr *cidr, char ret_text[KS_ADDR_TEXT_SIZE]);
