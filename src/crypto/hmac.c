/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hmac.h"

#include "base/secret.h"
#include "crypto/hasher.h"

_Static_assert(KS_HMAC_MAX == KS_HASHER_MAX, "a code is as long as its digest");

enum ks_err ks_hmac(enum ks_hmac digest, struct ks_str key, struct ks_str message, unsigned char ret_mac[KS_HMAC_MAX],
		    size_t *ret_n)
{
	static const enum ks_hasher_alg algs[KS_HMAC_COUNT] = {KS_HASHER_SHA256, KS_HASHER_SHA384, KS_HASHER_SHA512};
	struct ks_hmac_key pads;
	struct ks_hasher hasher;
	enum ks_err err;

	ks_hmac_key_make(&pads, algs[digest], key);
	ks_hmac_begin(&pads, &hasher);
	ks_hasher_put(&hasher, message);
	err = ks_hmac_end(&pads, &hasher, ret_mac);
	ks_wipe(&pads, sizeof(pads));
	if (err == KS_OK)
		*ret_n = ks_hasher_size(algs[digest]);
	return err;
}
