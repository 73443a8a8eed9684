/* SPDX-License-Identifier: Apache-2.0 */
/** The compiled table's layout: what ks_policy_compile writes and ks_policy_match reads. Position-independent: places
 * are offsets from the beginning of the table, or positions in one of its arrays. In the byte order of the machine that
 * made it. */
#pragma once

#include "policy/policy.h"

#define POLICY_TABLE_MAGIC UINT64_C(0x3130796369706b73) /* "kspicy01" as bytes */
#define POLICY_TABLE_VERSION 1

/* Nodes with up to this many edges are searched from the first to the last; others by hash. */
#define POLICY_EDGES_SCANNED 4
/* Slots of a bucket. A hashed edge stands in one of two buckets, so four slots are looked at. */
#define POLICY_BUCKET 2

/** One state. Node 0 is the dead one: no answer, settled. */
struct policy_node_row {
	uint32_t edges_at;   /* first slot */
	uint32_t edge_slots; /* up to POLICY_EDGES_SCANNED, or a power of two */
	uint32_t longest;    /* bytes of the longest literal among the edges */
	uint32_t other;      /* node for a non-empty segment without an edge */
	uint32_t empty;      /* row of answers where the empty last segment follows */
	uint32_t answer;     /* row of answers */
	uint32_t settled;    /* 1: no further segment changes the answer */
	uint32_t reserved;
};

/** A literal segment and where it leads; also a method and its number. A free slot has length 0. */
struct policy_edge_row {
	uint64_t head; /* the packed text, see policy_pack */
	uint64_t tail;
	uint32_t length;
	uint32_t text_at; /* in the names */
	uint32_t target;
	uint32_t reserved;
};

/** A text in two words. Together with its length they are the whole of a text of up to 16 bytes; of a longer one they
 * are its first and last 8. */
struct policy_packed {
	uint64_t head;
	uint64_t tail;
};

static inline uint64_t policy_load64(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint64_t policy_load32(const char *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/** Packs a text that is not empty. */
static inline struct policy_packed policy_pack(struct ks_str text)
{
	if (text.n >= 8)
		return (struct policy_packed){policy_load64(text.p), policy_load64(&text.p[text.n - 8])};
	if (text.n >= 4)
		return (struct policy_packed){policy_load32(text.p) | policy_load32(&text.p[text.n - 4]) << 32, 0};
	/* One to three bytes: first, middle, last. */
	return (struct policy_packed){(uint64_t)(unsigned char)text.p[0] |
					      (uint64_t)(unsigned char)text.p[text.n / 2] << 8 |
					      (uint64_t)(unsigned char)text.p[text.n - 1] << 16,
				      0};
}

__extension__ typedef unsigned __int128 policy_wide;

/** Both halves of the product, folded. */
static inline uint64_t policy_fold(uint64_t a, uint64_t b)
{
	policy_wide product = (policy_wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/** A keyed hash of a text, for tables whose literals a policy's author chose: that no two of them collide badly is seen
 * to when the table is made, so requests cannot make a lookup slower. The odd numbers keep a key of zeros from being a
 * weak one. */
static inline uint64_t policy_hash(const uint64_t key[2], struct ks_str text, struct policy_packed packed)
{
	const uint64_t one = key[0] ^ UINT64_C(0xa0761d6478bd642f), two = key[1] ^ UINT64_C(0xe7037ed1a0b428db);
	uint64_t hash = text.n;

	if (KS_UNLIKELY(text.n > 16)) {
		for (size_t at = 0; at < text.n - 16; at += 16)
			hash = policy_fold(policy_load64(&text.p[at]) ^ one ^ hash,
					   policy_load64(&text.p[at + 8]) ^ two);
		/* The last 16 bytes, whatever of them the loop took. */
		packed.head = policy_load64(&text.p[text.n - 16]);
	}
	return policy_fold(packed.head ^ one ^ hash, packed.tail ^ two);
}

/** First slots of the two buckets of a hash among `slots` (a power of two). */
static inline uint32_t policy_bucket(uint64_t hash, uint32_t slots, unsigned which)
{
	return (uint32_t)(which ? hash >> 32 : hash) & (slots - 1) & ~(uint32_t)(POLICY_BUCKET - 1);
}

/** The checksum that the table should have. Its size must be right. */
uint32_t ks_policy_table_crc(const struct ks_policy_table *table);
