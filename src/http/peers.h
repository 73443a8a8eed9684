/* SPDX-License-Identifier: Apache-2.0 */
/** How many connections each address has. An IPv6 address counts as its /64, which one customer commonly has whole.
 * Not locked. */
#pragma once

#include "base/addr.h"
#include "base/err.h"

struct ks_peer {
	uint8_t network[16];
	uint32_t count; /* 0: free */
};

/** Open addressing; at most half full. */
struct ks_peers {
	struct ks_peer *slots;
	size_t mask;
	uint64_t key[2]; /* so that nobody can aim at one slot */
};

/** Room for `peers_max` different addresses. KS_MEMORY, KS_SYSTEM (no random numbers). Free with ks_peers_free. */
KS_MUST_USE enum ks_err ks_peers_init(struct ks_peers *ret_peers, size_t peers_max);

/** Safe on a zero struct. */
void ks_peers_free(struct ks_peers *peers);

/** Counts one more, unless the address has `limit` already (0: no limit): then false. At most peers_max may be counted
 * at once. */
KS_MUST_USE bool ks_peers_add(struct ks_peers *peers, const struct ks_addr *addr, unsigned limit);

/** Takes back what ks_peers_add counted. */
void ks_peers_remove(struct ks_peers *peers, const struct ks_addr *addr);
