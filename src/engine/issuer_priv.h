/* SPDX-License-Identifier: Apache-2.0 */
/** Between the files of our own issuer. */
#pragma once

#include "engine/engine_priv.h"
#include "engine/issuer.h"
#include "jose/signer.h"

/** Bytes of a P-256 or Ed25519 key: as a JWK, and, mask and PKCS #8 together, as it is sealed. */
#define KS_ISSUER_PUBLIC_MAX 1024
#define KS_ISSUER_PRIVATE_MAX 512

/** Of a key: its id, text, mask and, where it could be opened, what signs. */
struct ks_issuer_key {
	uint64_t id;
	char kid[KS_STORE_KID_MAX + 1];
	char algorithm[KS_STORE_ALGORITHM_MAX + 1];
	char jwk[KS_ISSUER_PUBLIC_MAX];
	enum ks_issuer_key_state state;
	int64_t created_at, signs_from, retired_at;
	uint8_t mask[KS_RING_ISSUER_MASK_SIZE];
	struct ks_jose_signer *signer;  /* NULL: it cannot be opened any more */
};

/** The keys that are published. Immutable; counted. */
struct ks_issuer_set {
	_Atomic unsigned refs;
	size_t count;
	struct ks_issuer_key keys[KS_RING_ISSUER_KEYS_MAX];
};

/** The set in force, counted (give back with ks_issuer_release); NULL before it was read. */
struct ks_issuer_set *ks_issuer_set(struct ks_engine *engine);
void ks_issuer_release(struct ks_issuer_set *set);

/** The key that is in this state, of next and current; NULL. */
const struct ks_issuer_key *ks_issuer_in_state(const struct ks_issuer_set *set, enum ks_issuer_key_state state);

/** When a next key starts to sign, and until when a retired one is published. */
int64_t ks_issuer_signs_from(const struct ks_engine *engine, const struct ks_issuer_key *key);
int64_t ks_issuer_published_until(const struct ks_issuer_key *key);

/** Reads the keys from `store`, opens them. */
KS_MUST_USE enum ks_err ks_issuer_read(const struct ks_engine *engine, struct ks_store *store,
				       struct ks_issuer_set **ret_set);

/** What the clock asks for at tx->now_ms: a first key, a next one, its turn to sign, the end of a retired one. */
KS_MUST_USE enum ks_err ks_issuer_do_due(struct ks_tx *tx);
