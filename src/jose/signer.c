/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/signer.h"

#include <stdlib.h>

#include "base/ctenc.h"
#include "jose/jwk_priv.h"
#include "jose/jws_priv.h"

struct ks_jose_signer {
	struct ks_private_key *private_key;
	struct ks_jose_key *key;
	enum ks_sign_alg alg;
};

void ks_jose_signer_free(struct ks_jose_signer *signer)
{
	if (!signer)
		return;
	ks_private_key_free(signer->private_key);
	ks_jose_key_free(signer->key);
	free(signer);
}

enum ks_sign_alg ks_jose_signer_alg(const struct ks_jose_signer *signer)
{
	return signer->alg;
}

const struct ks_jose_key *ks_jose_signer_key(const struct ks_jose_signer *signer)
{
	return signer->key;
}

/* The public half, named by its thumbprint. */
static enum ks_jose_problem make_key(const struct ks_private_key *private_key, struct ks_jose_key **ret_key)
{
	struct ks_public_key *public_key;
	struct ks_jose_key *key;
	enum ks_jose_problem problem;

	problem = ks_jose_problem_of(ks_private_key_public(private_key, &public_key), KS_JOSE_LIBRARY);
	if (problem)
		return problem;
	problem = ks_jose_key_of(public_key, &key);
	if (problem) {
		ks_public_key_free(public_key);
		return problem;
	}
	memcpy(key->kid, key->thumbprint, sizeof(key->thumbprint));
	key->kid_n = sizeof(key->thumbprint);
	*ret_key = key;
	return KS_JOSE_OK;
}

/* Takes over `private_key`, also on failure. */
static enum ks_jose_problem make_signer(struct ks_private_key *private_key, struct ks_jose_signer **ret_signer)
{
	struct ks_jose_signer *signer = calloc(1, sizeof(*signer));
	enum ks_jose_problem problem = KS_JOSE_MEMORY;

	if (signer) {
		signer->private_key = private_key;
		problem = make_key(private_key, &signer->key);
	} else {
		ks_private_key_free(private_key);
	}
	if (problem) {
		ks_jose_signer_free(signer);
		return problem;
	}
	signer->alg = ks_jose_key_is_for(signer->key, KS_SIGN_ALG_EDDSA) ? KS_SIGN_ALG_EDDSA : KS_SIGN_ALG_ES256;
	*ret_signer = signer;
	return KS_JOSE_OK;
}

enum ks_jose_problem ks_jose_signer_new(enum ks_sign_alg alg, struct ks_jose_signer **ret_signer)
{
	struct ks_private_key *private_key;
	enum ks_jose_problem problem;

	if (alg != KS_SIGN_ALG_ES256 && alg != KS_SIGN_ALG_EDDSA)
		return KS_JOSE_KEY_TYPE;
	problem = ks_jose_problem_of(ks_private_key_new(ks_sign_alg_form(alg), &private_key), KS_JOSE_LIBRARY);
	return problem ? problem : make_signer(private_key, ret_signer);
}

enum ks_jose_problem ks_jose_signer_load(struct ks_str der, struct ks_jose_signer **ret_signer)
{
	struct ks_private_key *private_key;
	enum ks_jose_problem problem = ks_jose_problem_of(ks_private_key_load(der, &private_key), KS_JOSE_KEY_VALUE);

	return problem ? problem : make_signer(private_key, ret_signer);
}

enum ks_jose_problem ks_jose_signer_save(const struct ks_jose_signer *signer, struct ks_secret *ret_der)
{
	return ks_jose_problem_of(ks_private_key_save(signer->private_key, ret_der), KS_JOSE_LIBRARY);
}

/* ---- signing ---- */

static void put_base64url(struct ks_buf *out, struct ks_str bytes)
{
	size_t n;

	if (bytes.n == 0 || out->overflow)
		return;
	n = ks_base64url_encode((const unsigned char *)bytes.p, bytes.n, &out->p[out->n], out->cap - out->n);
	out->n += n;
	out->overflow = n == 0;
}

static void put_header(const struct ks_jose_signer *signer, struct ks_str typ, struct ks_buf *out)
{
	char text[KS_JWS_HEADER_MAX];
	struct ks_buf header = KS_BUF(text);

	ks_buf_put(&header, KS_STR("{\"alg\":"));
	ks_buf_put_json(&header, ks_sign_alg_name(signer->alg));
	if (typ.n > 0) {
		ks_buf_put(&header, KS_STR(",\"typ\":"));
		ks_buf_put_json(&header, typ);
	}
	ks_buf_put(&header, KS_STR(",\"kid\":"));
	ks_buf_put_json(&header, ks_jose_key_kid(signer->key));
	ks_buf_put_byte(&header, '}');
	out->overflow = out->overflow || !ks_buf_ok(&header);
	put_base64url(out, ks_buf_str(&header));
}

enum ks_jose_problem ks_jose_sign(const struct ks_jose_signer *signer, struct ks_str typ, struct ks_str payload,
				  struct ks_buf *out)
{
	unsigned char signature[KS_SIGNATURE_MAX];
	size_t from = out->n, n;
	enum ks_jose_problem problem;

	if (payload.n > KS_JWS_PAYLOAD_MAX)
		return KS_JOSE_PAYLOAD_TOO_LARGE;
	put_header(signer, typ, out);
	ks_buf_put_byte(out, '.');
	put_base64url(out, payload);
	if (!ks_buf_ok(out))
		return KS_JOSE_TOKEN_TOO_LARGE;
	problem = ks_jose_problem_of(ks_private_key_sign(signer->private_key, signer->alg,
							 ks_str_sub(ks_buf_str(out), from, SIZE_MAX), signature, &n),
				     KS_JOSE_LIBRARY);
	if (problem)
		return problem;
	ks_buf_put_byte(out, '.');
	put_base64url(out, ks_str_of((const char *)signature, n));
	return ks_buf_ok(out) && out->n - from <= KS_JWS_TOKEN_MAX ? KS_JOSE_OK : KS_JOSE_TOKEN_TOO_LARGE;
}
