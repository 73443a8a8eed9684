/* SPDX-License-Identifier: Apache-2.0 */
/** Between the files of this module. */
#pragma once

#include "assertion/verifier.h"

/** What the claims of a token of ours say. KS_LOOKUP_NONE, or why not; `key` is the one that signed it. */
KS_MUST_USE enum ks_lookup_detail ks_own_claims(const struct ks_ring *ring, struct ks_verifier *verifier,
						const struct ks_ring_issuer_key *key, struct ks_assertion *ret_assertion);

/** What the claims of another issuer's token say under its rules. */
KS_MUST_USE enum ks_lookup_detail ks_foreign_claims(const struct ks_ring *ring, struct ks_verifier *verifier,
						    const struct ks_ring_issuer *issuer,
						    struct ks_assertion *ret_assertion);
