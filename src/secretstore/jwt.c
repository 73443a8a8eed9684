/* SPDX-License-Identifier: Apache-2.0 */
/* What shows to others who the service is: assertions signed with a key of an identity, and tokens of others. */
#include "base/ctenc.h"
#include "secretstore/secretstore_priv.h"

static void put_base64url(struct ks_buf *out, const void *bytes, size_t n)
{
	size_t room = out->cap - out->n;
	size_t written = ks_base64url_encode(bytes, n, &out->p[out->n], room);

	if (written || !n)
		out->n += written;
	else
		out->overflow = true;
}

enum ks_err ks_secretstore_sign(const struct ks_identity *identity, enum ks_sign_alg alg, struct ks_str header, struct ks_str claims,
				struct ks_buf *out)
{
	unsigned char signature[KS_SIGNATURE_MAX];
	char head[512];
	struct ks_buf h = KS_BUF(head);
	size_t from = out->n, n;

	ks_buf_put_c(&h, "{\"alg\":\"");
	ks_buf_put(&h, ks_sign_alg_name(alg));
	ks_buf_put_c(&h, "\",\"typ\":\"JWT\"");
	ks_buf_put(&h, header);
	ks_buf_put_c(&h, "}");
	if (!ks_buf_ok(&h))
		return KS_TOO_LARGE;
	put_base64url(out, h.p, h.n);
	ks_buf_put_byte(out, '.');
	put_base64url(out, claims.p, claims.n);
	if (!ks_buf_ok(out))
		return KS_TOO_LARGE;
	KS_TRY(ks_private_key_sign(identity->key, alg, ks_str_sub(ks_buf_str(out), from, out->n - from), signature, &n));
	ks_buf_put_byte(out, '.');
	put_base64url(out, signature, n);
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err mint(struct ks_secretstore_fetch *f, struct ks_secret *token)
{
	const struct ks_secretstore_options *o = &f->store->options;
	struct ks_buf b = ks_buf_of((char *)token->bytes, token->cap);

	if (!o->mint)
		return KS_NOT_FOUND;
	KS_TRY(o->mint(o->mint_ctx, f->organization, f->identity->token_audience, &b));
	token->n = b.n;
	return ks_buf_ok(&b) && b.n ? KS_OK : KS_TOO_LARGE;
}

/* A header or a form of ours carries it: no blank, no control character. */
static bool is_token(const struct ks_secret *token)
{
	for (size_t i = 0; i < token->n; i++) {
		if (token->bytes[i] <= ' ' || token->bytes[i] >= 0x7f)
			return false;
	}
	return token->n > 0 && token->n <= KS_SECRETSTORE_TOKEN_MAX;
}

enum ks_secretstore_code ks_secretstore_subject_token(struct ks_secretstore_fetch *f, struct ks_secret *ret_token)
{
	struct ks_secret token = {0};
	enum ks_err err;

	if (f->identity->token_file.n) {
		err = ks_identity_read_file(f->identity->token_file, f->store->credentials, &token);
	} else {
		err = ks_secret_new(&token, KS_SECRETSTORE_TOKEN_MAX);
		if (err == KS_OK)
			err = mint(f, &token);
	}
	if (err == KS_OK && is_token(&token)) {
		*ret_token = token;
		return KS_SECRETSTORE_OK;
	}
	ks_secret_free(&token);
	return err == KS_MEMORY ? KS_SECRETSTORE_INTERNAL : KS_SECRETSTORE_IDENTITY_UNREADABLE;
}
