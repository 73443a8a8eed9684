/* SPDX-License-Identifier: Apache-2.0 */
/* What endpoints' requests are signed with: made, sealed, opened (Standard Webhooks 1.0.0, "Signature scheme"). */
#include "base/ctenc.h"
#include "crypto/random.h"
#include "crypto/sign.h"
#include "engine/endpoints_priv.h"
#include "engine/seal.h"

#define PURPOSE "endpoint_secret"
#define HMAC_BYTES 32

/* What is sealed, and what is shown. */
struct made {
	uint8_t key[KS_ENDPOINT_KEY_MAX];
	size_t n;
	struct ks_endpoint_secret shown;
};

static void put_base64(char to[KS_ENDPOINT_SECRET_SIZE], const char *prefix, const uint8_t *bytes, size_t n)
{
	struct ks_buf b = ks_buf_of(to, KS_ENDPOINT_SECRET_SIZE);

	ks_buf_put_c(&b, prefix);
	b.n += ks_base64_encode(bytes, n, &to[b.n], KS_ENDPOINT_SECRET_SIZE - b.n);
	(void)ks_buf_z(&b);
}

static enum ks_err make_hmac(struct made *made)
{
	KS_TRY(ks_random(made->key, HMAC_BYTES));
	made->n = HMAC_BYTES;
	put_base64(made->shown.text, "whsec_", made->key, HMAC_BYTES);
	return KS_OK;
}

static enum ks_err show_public(const struct ks_private_key *key, struct made *made)
{
	KS_AUTO(ks_public_key_free_at) struct ks_public_key *public_key = NULL;
	struct ks_str bytes, none;

	KS_TRY(ks_private_key_public(key, &public_key));
	ks_public_key_numbers(public_key, &bytes, &none);
	put_base64(made->shown.public_key, "whpk_", (const uint8_t *)bytes.p, bytes.n);
	return KS_OK;
}

static enum ks_err make_ed25519(struct made *made)
{
	KS_AUTO(ks_private_key_free_at) struct ks_private_key *key = NULL;
	KS_AUTO(ks_secret_free) struct ks_secret der = {0};

	KS_TRY(ks_private_key_new(KS_KEY_FORM_ED25519, &key));
	KS_TRY(ks_private_key_save(key, &der));
	if (der.n > sizeof(made->key))
		return KS_TOO_LARGE;
	memcpy(made->key, der.bytes, der.n);
	made->n = der.n;
	return show_public(key, made);
}

static enum ks_err insert(struct ks_tx *tx, uint64_t endpoint, enum ks_endpoint_signature signature, const struct made *made)
{
	uint8_t sealed[KS_STORE_ENDPOINT_SECRET_MAX];
	struct ks_endpoint_secret_row row = {
		.id = ks_tx_id(tx),
		.endpoint = endpoint,
		.signature = signature,
		.created_at = tx->now_ms,
		.ends_at = KS_TIME_NONE,
		.public_key = ks_str_c(made->shown.public_key),
	};
	size_t n;

	KS_TRY(ks_engine_seal(tx, PURPOSE, row.id, ks_str_of((const char *)made->key, made->n), sealed, sizeof(sealed), &n));
	row.sealed = ks_str_of((const char *)sealed, n);
	return ks_store_endpoint_secret_insert(tx->store, &row);
}

enum ks_err ks_endpoint_secret_add(struct ks_tx *tx, uint64_t endpoint, enum ks_endpoint_signature signature,
				   struct ks_endpoint_secret *ret_secret)
{
	struct made made = {.n = 0};
	enum ks_err err = signature == KS_ENDPOINT_V1A ? make_ed25519(&made) : make_hmac(&made);

	if (err == KS_OK)
		err = insert(tx, endpoint, signature, &made);
	if (err == KS_OK)
		*ret_secret = made.shown;
	ks_wipe(&made, sizeof(made));
	return err;
}

enum ks_err ks_endpoint_secret_open(const struct ks_engine *engine, const struct ks_endpoint_secret_row *row,
				    uint8_t ret_key[KS_ENDPOINT_KEY_MAX], size_t *ret_n)
{
	return ks_engine_open_sealed(engine, PURPOSE, row->id, row->sealed, ret_key, KS_ENDPOINT_KEY_MAX, ret_n);
}
