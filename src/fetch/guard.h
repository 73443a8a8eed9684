/* SPDX-License-Identifier: Apache-2.0 */
/** Which addresses of the network the service may reach for somebody else's sake: what a tenant names (an issuer, an
 * endpoint) must not make the service speak to the machine itself, its neighbours, or the cloud's metadata. Pure. */
#pragma once

#include "base/addr.h"

/** What speaks against `addr`: a static word such as "loopback" or "private" (the special-purpose registries of IANA,
 * RFC 6890, and the metadata addresses of clouds); NULL: a public address. IPv4 inside of IPv6 (mapped, 6to4, NAT64's
 * well-known prefix) counts as the IPv4 address that it leads to. */
const char *ks_guard_reason(const struct ks_addr *addr);

/** True if `addr` lies in one of the ranges. */
bool ks_guard_listed(const struct ks_cidr *ranges, size_t count, const struct ks_addr *addr);
