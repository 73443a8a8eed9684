/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hmac.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum ks_err ks_hmac(enum ks_hmac digest, struct ks_str key, struct ks_str message, unsigned char ret_mac[KS_HMAC_MAX],
		    size_t *ret_n)
{
	static const EVP_MD *(*const digests[KS_HMAC_COUNT])(void) = {EVP_sha256, EVP_sha384, EVP_sha512};
	unsigned n = 0;

	/* The library takes the null pointer for a key of before. */
	if (key.n > INT_MAX || !HMAC(digests[digest](), key.n > 0 ? key.p : "", (int)key.n,
				     (const unsigned char *)message.p, message.n, ret_mac, &n))
		return KS_CRYPTO;
	*ret_n = n;
	return KS_OK;
}
