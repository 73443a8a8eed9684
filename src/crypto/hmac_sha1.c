/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hmac_sha1.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum ks_err ks_hmac_sha1(struct ks_str key, struct ks_str text, uint8_t ret_mac[KS_SHA1_SIZE])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (key.n > INT_MAX
	    || !HMAC(EVP_sha1(), key.p, (int)key.n, (const unsigned char *)text.p, text.n, mac, &n)
	    || n != KS_SHA1_SIZE)
		return KS_CRYPTO;
	memcpy(ret_mac, mac, KS_SHA1_SIZE);
	return KS_OK;
}
