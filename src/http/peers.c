/* SPDX-License-Identifier: Apache-2.0 */
#include "http/peers.h"

#include <stdlib.h>

#include "base/hash.h"
#include "crypto/random.h"

#define MAPPED_PREFIX_BYTES 12
#define NETWORK_BYTES 8

enum ks_err ks_peers_init(struct ks_peers *ret_peers, size_t peers_max)
{
	struct ks_peers p = {.mask = 15};

	while (p.mask + 1 < 2 * peers_max)
		p.mask = 2 * p.mask + 1;
	KS_TRY(ks_random(p.key, sizeof(p.key)));
	p.slots = calloc(p.mask + 1, sizeof(*p.slots));
	if (!p.slots)
		return KS_MEMORY;
	*ret_peers = p;
	return KS_OK;
}

void ks_peers_free(struct ks_peers *peers)
{
	free(peers->slots);
	*peers = (struct ks_peers){.slots = NULL};
}

static bool is_mapped(const struct ks_addr *addr)
{
	static const char prefix[MAPPED_PREFIX_BYTES] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";

	return ks_str_eq(ks_str_of((const char *)addr->bytes, sizeof(prefix)), ks_str_of(prefix, sizeof(prefix)));
}

static struct ks_addr network_of(const struct ks_addr *addr)
{
	struct ks_addr network = *addr;

	if (!is_mapped(addr))
		memset(&network.bytes[NETWORK_BYTES], 0, sizeof(network.bytes) - NETWORK_BYTES);
	return network;
}

static size_t home_of(const struct ks_peers *peers, const uint8_t network[16])
{
	return (size_t)ks_siphash(peers->key, network, 16) & peers->mask;
}

static bool is_network(const struct ks_peer *slot, const struct ks_addr *network)
{
	return ks_str_eq(ks_str_of((const char *)slot->network, 16), ks_str_of((const char *)network->bytes, 16));
}

/* The slot of the network, or the free one where it would stand. */
static size_t find(const struct ks_peers *peers, const struct ks_addr *network)
{
	size_t at = home_of(peers, network->bytes);

	while (peers->slots[at].count && !is_network(&peers->slots[at], network))
		at = (at + 1) & peers->mask;
	return at;
}

bool ks_peers_add(struct ks_peers *peers, const struct ks_addr *addr, unsigned limit)
{
	struct ks_addr network = network_of(addr);
	struct ks_peer *slot = &peers->slots[find(peers, &network)];

	if (limit && slot->count >= limit)
		return false;
	if (slot->count++ == 0)
		memcpy(slot->network, network.bytes, sizeof(slot->network));
	return true;
}

/* Frees the slot and moves back those that were pushed past it, so that no search stops early at the hole. */
static void close_gap(struct ks_peers *peers, size_t hole)
{
	size_t at = hole;

	for (;;) {
		size_t home;

		at = (at + 1) & peers->mask;
		if (peers->slots[at].count == 0)
			break;
		home = home_of(peers, peers->slots[at].network);
		if (((at - home) & peers->mask) < ((at - hole) & peers->mask))
			continue;
		peers->slots[hole] = peers->slots[at];
		hole = at;
	}
	peers->slots[hole].count = 0;
}

void ks_peers_remove(struct ks_peers *peers, const struct ks_addr *addr)
{
	struct ks_addr network = network_of(addr);
	size_t at = find(peers, &network);

	if (peers->slots[at].count == 0)
		return;
	if (--peers->slots[at].count == 0)
		close_gap(peers, at);
}
