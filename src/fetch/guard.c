/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/guard.h"

#include <string.h>

#define V4_AT 12 /* where an IPv4 address lies in its mapped form */

/* A range, and what it is for. The first that fits says why. */
struct guarded {
	const char *range;
	const char *why;
};

static const struct guarded table[] = {
	/* RFC 6890 and the IANA IPv4 special-purpose address registry */
	{"0.0.0.0/8", "unspecified"},
	{"10.0.0.0/8", "private"},
	{"100.100.100.200/32", "metadata"},
	{"100.64.0.0/10", "shared"},
	{"127.0.0.0/8", "loopback"},
	{"168.63.129.16/32", "metadata"},
	{"169.254.169.254/32", "metadata"},
	{"169.254.0.0/16", "link-local"},
	{"172.16.0.0/12", "private"},
	{"192.0.0.0/24", "special"},
	{"192.0.2.0/24", "documentation"},
	{"192.88.99.0/24", "special"},
	{"192.168.0.0/16", "private"},
	{"198.18.0.0/15", "benchmarking"},
	{"198.51.100.0/24", "documentation"},
	{"203.0.113.0/24", "documentation"},
	{"224.0.0.0/4", "multicast"},
	{"240.0.0.0/4", "reserved"},
	/* and of IPv6 */
	{"::/128", "unspecified"},
	{"::1/128", "loopback"},
	{"::/96", "special"},           /* IPv4-compatible, given up by RFC 4291, 2.5.5.1 */
	{"::ffff:0:0:0/96", "special"}, /* IPv4-translated, RFC 2765 */
	{"64:ff9b:1::/48", "special"},  /* NAT64 of a network's own, RFC 8215: leads wherever that network says */
	{"100::/64", "discard"},
	{"100:0:0:1::/64", "special"},
	{"2001::/23", "special"}, /* Teredo, ORCHID, benchmarking and others */
	{"2001:db8::/32", "documentation"},
	{"3fff::/20", "documentation"},
	{"5f00::/16", "special"}, /* segment routing */
	{"fd00:ec2::254/128", "metadata"},
	{"fd20:ce::254/128", "metadata"},
	{"fc00::/7", "unique-local"},
	{"fe80::/10", "link-local"},
	{"fec0::/10", "site-local"},
	{"ff00::/8", "multicast"},
};

/* Prefixes that carry an IPv4 address, and at which byte. */
struct carrier {
	const char *range;
	size_t at;
};

static const struct carrier carriers[] = {
	{"2002::/16", 2},     /* 6to4, RFC 3056 */
	{"64:ff9b::/96", 12}, /* NAT64, RFC 6052 */
};

static bool lies_in(const char *range, const struct ks_addr *addr)
{
	struct ks_cidr cidr;

	return ks_cidr_parse(ks_str_c(range), &cidr) && ks_cidr_has(&cidr, addr);
}

static struct ks_addr carried(const struct ks_addr *addr, size_t at)
{
	struct ks_addr v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};

	memcpy(&v4.bytes[V4_AT], &addr->bytes[at], 4);
	return v4;
}

const char *ks_guard_reason(const struct ks_addr *addr)
{
	struct ks_addr subject = *addr;

	for (size_t i = 0; i < KS_ARRAY_LEN(carriers); i++) {
		if (lies_in(carriers[i].range, addr))
			subject = carried(addr, carriers[i].at);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(table); i++) {
		if (lies_in(table[i].range, &subject))
			return table[i].why;
	}
	/* Of IPv6 only 2000::/3 is given out at all, RFC 4291, 2.4; the rest is nobody's yet. */
	return lies_in("0.0.0.0/0", &subject) || lies_in("2000::/3", &subject) ? NULL : "reserved";
}

bool ks_guard_listed(const struct ks_cidr *ranges, size_t count, const struct ks_addr *addr)
{
	for (size_t i = 0; i < count; i++) {
		if (ks_cidr_has(&ranges[i], addr))
			return true;
	}
	return false;
}
