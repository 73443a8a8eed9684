/* SPDX-License-Identifier: Apache-2.0 */
/* EVP allocates and frees a context of its own in every EVP_DigestInit (OpenSSL 3.0), which costs as much as the
 * digest of a token does. A decision may not allocate, so that the older interface is used, deprecated as it is: the
 * same code without that. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sha256.h"

#include <openssl/sha.h>

enum ks_err ks_sha256(struct ks_str text, struct ks_digest *ret_digest)
{
	SHA256_CTX context;

	/* Final wipes what it was given; what it leaves is the digest. */
	if (SHA256_Init(&context) == 1 && SHA256_Update(&context, text.p, text.n) == 1 &&
	    SHA256_Final(ret_digest->bytes, &context) == 1)
		return KS_OK;
	*ret_digest = (struct ks_digest){0};
	return KS_CRYPTO;
}
