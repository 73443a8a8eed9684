/* SPDX-License-Identifier: Apache-2.0 */
/** What the two halves of crypto/sign.h share. */
#pragma once

#include <openssl/evp.h>

#include "crypto/sign.h"

struct key_form {
	const char *group; /* the library's name of the curve, or of the key where it has no curves */
	size_t size;
};
extern const struct key_form ks_key_forms[KS_KEY_FORM_COUNT];

struct sign_alg {
	struct ks_str name;
	enum ks_key_form form;
	const EVP_MD *(*digest)(void);
	size_t size;
	bool pss;
};
extern const struct sign_alg ks_sign_algs[KS_SIGN_ALG_COUNT];

/** The public half of `pkey`, of any form; sizes are checked as in the constructors. */
KS_MUST_USE enum ks_err ks_public_key_of(const EVP_PKEY *pkey, struct ks_public_key **ret_key);
