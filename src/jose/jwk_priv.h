/* SPDX-License-Identifier: Apache-2.0 */
/** What the readers of keys, of sets and the signers share. */
#pragma once

#include "jose/jwk.h"

struct ks_jose_key {
	struct ks_public_key *public_key;
	uint32_t algs;     /* bits of enum ks_sign_alg: what the key is for */
	size_t kid_n;
	char kid[KS_JOSE_KID_MAX];
	char thumbprint[KS_JOSE_THUMBPRINT_LEN];
};

/** As ks_jwk_parse, for a value of a document that was checked by ks_json_check. */
KS_MUST_USE enum ks_jose_problem ks_jwk_read(struct ks_str value, struct ks_jose_key **ret_key);
