/* SPDX-License-Identifier: Apache-2.0 */
/** Tokens with any header, signed or not. */
#pragma once

#include "base/buf.h"
#include "base/ctenc.h"
#include "crypto/sign.h"

#define TOKEN_ROOM 65536

static inline void put_part(struct ks_buf *out, struct ks_str bytes)
{
	size_t n = ks_base64url_encode((const unsigned char *)bytes.p, bytes.n, &out->p[out->n], out->cap - out->n);

	assert_true(n > 0 || bytes.n == 0);
	out->n += n;
}

/* header.payload.signature, the first two in base64url; the third made by `key` where there is one, else as given. */
static inline struct ks_str make_token(char room[TOKEN_ROOM], struct ks_str header, struct ks_str payload,
				       const struct ks_private_key *key, enum ks_sign_alg alg, const char *signature)
{
	struct ks_buf out = ks_buf_of(room, TOKEN_ROOM);
	unsigned char bytes[KS_SIGNATURE_MAX];
	size_t n;

	put_part(&out, header);
	ks_buf_put_byte(&out, '.');
	put_part(&out, payload);
	if (key)
		assert_int_equal(ks_private_key_sign(key, alg, ks_buf_str(&out), bytes, &n), KS_OK);
	ks_buf_put_byte(&out, '.');
	if (key)
		put_part(&out, ks_str_of((const char *)bytes, n));
	else
		ks_buf_put_c(&out, signature);
	assert_true(ks_buf_ok(&out));
	return ks_buf_str(&out);
}
