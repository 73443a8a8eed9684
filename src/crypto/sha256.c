/* SPDX-License-Identifier: Apache-2.0 */
/* EVP allocates and frees a context of its own in every EVP_DigestInit (OpenSSL 3.0), which costs as much as the
 * digest of a token does. A decision may not allocate, so that the older interface is used, deprecated as it is: the
 * same code without that. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sha256.h"

#include <openssl/sha.h>

enum ks_err ks_sha256_parts(const struct ks_str *parts, size_t count, struct ks_digest *ret_digest)
{
	SHA256_CTX context;
	bool ok = SHA256_Init(&context) == 1;

	for (size_t i = 0; ok && i < count; i++)
		ok = SHA256_Update(&context, parts[i].p, parts[i].n) == 1;
	/* Final wipes what it was given; what it leaves is the digest. */
	if (ok && SHA256_Final(ret_digest->bytes, &context) == 1)
		return KS_OK;
	*ret_digest = (struct ks_digest){0};
	return KS_CRYPTO;
}

enum ks_err ks_sha256(struct ks_str text, struct ks_digest *ret_digest)
{
	return ks_sha256_parts(&text, 1, ret_digest);
}
