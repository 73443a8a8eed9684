/* SPDX-License-Identifier: Apache-2.0 */
/** Signatures of what is sent, by the Standard Webhooks scheme, and the opened secrets that make them: on one locked piece
 * of memory, as many as fit, the others opened anew. One thread's. */
#pragma once

#include "base/buf.h"
#include "engine/endpoints.h"

#define KS_SIGNATURES_SIZE 512

/** A secret of an endpoint. */
struct ks_signing_key {
	uint64_t id;
	enum ks_endpoint_signature signature;
	int64_t ends_at;   /* KS_TIME_NONE: none */
};

struct ks_signer;

/** KS_MEMORY: none, or no more memory may be locked. */
KS_MUST_USE enum ks_err ks_signer_new(const struct ks_engine *engine, struct ks_signer **ret_signer);
/** Wipes. Takes NULL. */
void ks_signer_free(struct ks_signer **signer);

/** The value of webhook-signature for `id`, `timestamp` (seconds) and `body`: one by each of the endpoint's keys that has not
 * ended at `now_ms`, separated by blanks. Reads and opens what is not in memory. KS_CORRUPT: a secret cannot be opened; KS_KEEPER,
 * KS_KMS: not now; KS_NOT_FOUND: no key signs; KS_CRYPTO, KS_MEMORY; errors of the store. */
KS_MUST_USE enum ks_err ks_signer_sign(struct ks_signer *signer, struct ks_store *store, uint64_t endpoint,
				       const struct ks_signing_key *keys, size_t count, struct ks_str id, int64_t now_ms,
				       struct ks_str body, struct ks_buf *out);

/** One signature with an opened secret, as "v1,…" or "v1a,…". Pure but for the crypto library. */
KS_MUST_USE enum ks_err ks_signature_write(enum ks_endpoint_signature signature, struct ks_str key, struct ks_str id,
					   struct ks_str timestamp, struct ks_str body, struct ks_buf *out);
