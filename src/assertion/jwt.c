/* SPDX-License-Identifier: Apache-2.0 */
#include "assertion/jwt.h"

#include "base/secret.h"

enum ks_err ks_jwt_mask(const uint8_t mask[KS_RING_ISSUER_MASK_SIZE], struct ks_str jti, const struct ks_digest *digest,
			struct ks_digest *ret_digest)
{
	char text[KS_RING_ISSUER_MASK_SIZE + KS_CLAIMS_TEXT_MAX];
	struct ks_digest pad;
	enum ks_err err;

	if (jti.n > KS_CLAIMS_TEXT_MAX)
		return KS_TOO_LARGE;
	memcpy(text, mask, KS_RING_ISSUER_MASK_SIZE);
	memcpy(text + KS_RING_ISSUER_MASK_SIZE, jti.p, jti.n);
	err = ks_sha256(ks_str_of(text, KS_RING_ISSUER_MASK_SIZE + jti.n), &pad);
	for (size_t i = 0; err == KS_OK && i < sizeof(pad.bytes); i++)
		ret_digest->bytes[i] = digest->bytes[i] ^ pad.bytes[i];
	ks_wipe(text, KS_RING_ISSUER_MASK_SIZE);
	ks_wipe(&pad, sizeof(pad));
	return err;
}
