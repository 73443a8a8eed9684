/* SPDX-License-Identifier: Apache-2.0 */
/** What is kept in the truth but may not be read there: secrets that must be had again (a TOTP secret, a signing key),
 * sealed by the keeper (keeper/keeper.h) under the service's own key, which is in the truth wrapped by the keeper's root.
 * A sealed text is bound to a purpose and a row, so that no row can be read as another's. */
#pragma once

#include "crypto/seal.h"
#include "engine/engine.h"

#define KS_SEAL_PURPOSE_MAX 64

/** The keeper of this engine; lives as long as it. */
struct ks_keeper *ks_engine_keeper(const struct ks_engine *engine);

/** Puts the service's own key, wrapped anew, into the place of what it was. Within a transaction. KS_NOT_FOUND: there is
 * none. */
KS_MUST_USE enum ks_err ks_engine_seal_set(struct ks_tx *tx, struct ks_str wrapped);

/** What anything that is sealed needs first: writes the service's own key where there is none yet, so that from then on the
 * service does not start without the root that sealed. To be called before ks_keeper_org_create, within the transaction that
 * stores what that makes: a rewrap relies on it. */
KS_MUST_USE enum ks_err ks_engine_seal_ready(struct ks_tx *tx);

/** Seals `plain` (at most KS_SEAL_PLAIN_MAX bytes) for `purpose`, a static word ("totp", "signing_key"), and the id of the row
 * that will hold it. Writes plain.n + KS_SEAL_OVERHEAD bytes; KS_TOO_LARGE beyond `cap`. KS_SYSTEM: no random numbers;
 * KS_CRYPTO; KS_KEEPER, KS_KMS; errors of the store. Within a transaction: writer thread, or while opening. */
KS_MUST_USE enum ks_err ks_engine_seal(struct ks_tx *tx, const char *purpose, uint64_t row, struct ks_str plain,
				       uint8_t *ret_sealed, size_t cap, size_t *ret_n);

/** Opens what was sealed for the same purpose and row: sealed.n - KS_SEAL_OVERHEAD bytes, which the caller wipes.
 * KS_CORRUPT: it was not, or was altered; KS_TOO_LARGE: beyond `cap`; KS_CRYPTO; KS_KEEPER, KS_KMS. Any thread; waits for
 * the keeper. */
KS_MUST_USE enum ks_err ks_engine_open_sealed(const struct ks_engine *engine, const char *purpose, uint64_t row,
					      struct ks_str sealed, uint8_t *ret_plain, size_t cap, size_t *ret_n);
