/* SPDX-License-Identifier: Apache-2.0 */
/** Issuers of JWTs in the ring: their public keys, so that every reader verifies signatures in its own process. Our own
 * issuer has the id KS_RING_ISSUER_OWN; the others are those that organizations configured. An issuer's record lies in
 * the arena and never changes once it is published; a change publishes another record by one atomic store. It is found
 * by its name (`iss`) and one of its audiences (`aud`), at the same cost however many there are. FORMAT.md describes
 * the bytes. */
#pragma once

#include "ring/ring.h"

#define KS_RING_ISSUER_OWN 0u
#define KS_RING_ISSUER_NAME_MAX 512    /* bytes of a name, an audience, a key's id */
#define KS_RING_ISSUER_AUDIENCES_MAX 32
#define KS_RING_ISSUER_KEYS_MAX 32
#define KS_RING_ISSUER_JWK_MAX 4096    /* bytes of a public JWK */
#define KS_RING_ISSUER_RULES_MAX 16384 /* bytes of what maps claims */
#define KS_RING_ISSUER_MASK_SIZE 32
/** Records are found over a table of this many chains. */
#define KS_RING_ISSUER_BUCKETS 512u

/** Text of a record: `n` bytes from its first byte + `at`. */
struct ks_ring_text {
	uint32_t at;
	uint32_t n;
};

struct ks_ring_issuer_key {
	struct ks_ring_text kid;
	struct ks_ring_text jwk;               /* the public key, RFC 7517 */
	uint8_t mask[KS_RING_ISSUER_MASK_SIZE]; /* our own keys: hides the references in the tokens it signed; else 0 */
};

/** Followed by its keys, its audiences (struct ks_ring_text) and the bytes of its texts. */
struct ks_ring_issuer {
	uint64_t id;
	uint64_t tenant;              /* id of the organization that configured it; 0: our own */
	uint32_t size;                /* of all */
	uint32_t check;               /* CRC-32 of all but this */
	uint32_t key_count;
	uint32_t audience_count;
	struct ks_ring_text name;     /* `iss` */
	struct ks_ring_text rules;    /* how claims become a principal; the engine's and the reader's business */
};

/** One way to a record: by its id, or by its name and an audience. */
struct ks_ring_issuer_node {
	uint64_t hash;
	_Atomic uint32_t issuer;      /* offset in the arena in units of 8 bytes; 0: no longer there */
	uint32_t next;                /* likewise, of the next node of the chain: an older one, before it in the arena */
};

struct ks_ring_issuers {
	uint32_t bucket_count;        /* a power of two */
	_Atomic uint32_t node_count;
	_Atomic uint32_t buckets[];   /* first node of each chain, in units of 8 bytes; 0: none */
};

/* ---- reading: any process, any thread. Texts and records are borrowed from the ring. ---- */

/** The issuer of this name that takes tokens for this audience; our own before others, else the smallest id. NULL. */
const struct ks_ring_issuer *ks_ring_issuer(const struct ks_ring *ring, struct ks_str name, struct ks_str audience);

/** The issuer with this id; NULL. */
const struct ks_ring_issuer *ks_ring_issuer_by_id(const struct ks_ring *ring, uint64_t id);

/** A text of the record. */
static inline struct ks_str ks_ring_issuer_text(const struct ks_ring_issuer *issuer, struct ks_ring_text text)
{
	return ks_str_of((const char *)issuer + text.at, text.n);
}

/** The keys, `key_count` of them. */
static inline const struct ks_ring_issuer_key *ks_ring_issuer_keys(const struct ks_ring_issuer *issuer)
{
	return (const struct ks_ring_issuer_key *)(const void *)(issuer + 1);
}

/** Audience number `i`, below `audience_count`. The first one of our own issuer is this service's own API. */
struct ks_str ks_ring_issuer_audience(const struct ks_ring_issuer *issuer, uint32_t i);

/** The key with this id; NULL. */
const struct ks_ring_issuer_key *ks_ring_issuer_key(const struct ks_ring_issuer *issuer, struct ks_str kid);

/* ---- writing: the ring's one writer ---- */

struct ks_ring_issuer_key_record {
	struct ks_str kid;
	struct ks_str jwk;
	const uint8_t *mask;          /* KS_RING_ISSUER_MASK_SIZE bytes; NULL: zeros */
};

struct ks_ring_issuer_keys_record {
	uint64_t id;
	uint64_t tenant;
	struct ks_str name;
	struct ks_str rules;
	const struct ks_str *audiences;
	size_t audience_count;
	const struct ks_ring_issuer_key_record *keys;
	size_t key_count;
};

/** Adds the issuer, or puts this in the place of what is there under the id; does nothing where it says the same. After
 * it returned, no reader on the machine takes a key that is no longer in it. KS_MALFORMED: an empty name, no audience,
 * a key without id or text, two of the same id, an audience twice; KS_TOO_LARGE: beyond a limit above; KS_FULL. */
KS_MUST_USE enum ks_err ks_ring_put_issuer_keys(struct ks_ring *ring, const struct ks_ring_issuer_keys_record *record);

/** Takes the issuer away; nothing to do where it is not there. */
void ks_ring_drop_issuer_keys(struct ks_ring *ring, uint64_t id);
