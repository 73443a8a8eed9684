/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/sign.h"

#include <stdlib.h>
#include <string.h>

#include "base/ctenc.h"
#include "base/secret.h"
#include "crypto/hasher.h"
#include "crypto/sign.h"

#define WAYS 4u
#define SLOTS_MOST 4096u     /* 256 KiB */
#define SLOTS_LEAST 64u

/* An opened secret, in the order of the slab. */
struct slot {
	uint64_t secret;         /* 0: nothing */
	uint8_t n;
};

struct ks_signer {
	const struct ks_engine *engine;
	struct ks_secret slab;   /* KS_ENDPOINT_KEY_MAX bytes a slot */
	struct slot *slots;
	size_t count;            /* a power of two */
	unsigned turn;           /* which of the ways is given up next */
};

/* ---- one signature ---- */

static void put_base64(struct ks_buf *out, const unsigned char *bytes, size_t n)
{
	char text[128];

	ks_buf_put(out, ks_str_of(text, ks_base64_encode(bytes, n, text, sizeof(text))));
}

static enum ks_err sign_hmac(struct ks_str key, struct ks_str id, struct ks_str timestamp, struct ks_str body, struct ks_buf *out)
{
	struct ks_hmac_key hmac;
	struct ks_hasher h;
	unsigned char mac[KS_HASHER_MAX];
	enum ks_err err;

	ks_hmac_key_make(&hmac, KS_HASHER_SHA256, key);
	ks_hmac_begin(&hmac, &h);
	ks_hasher_put(&h, id);
	ks_hasher_put(&h, KS_STR("."));
	ks_hasher_put(&h, timestamp);
	ks_hasher_put(&h, KS_STR("."));
	ks_hasher_put(&h, body);
	err = ks_hmac_end(&hmac, &h, mac);
	ks_wipe(&hmac, sizeof(hmac));
	if (err != KS_OK)
		return err;
	ks_buf_put_c(out, "v1,");
	put_base64(out, mac, ks_hasher_size(KS_HASHER_SHA256));
	return KS_OK;
}

/* Ed25519 reads the message twice: it must be in one piece. */
static enum ks_err sign_ed25519(struct ks_str der, struct ks_str id, struct ks_str timestamp, struct ks_str body,
				struct ks_buf *out)
{
	KS_AUTO(ks_private_key_free_at) struct ks_private_key *key = NULL;
	unsigned char signature[KS_SIGNATURE_MAX];
	size_t cap = id.n + timestamp.n + body.n + 2, n;
	struct ks_buf message = ks_buf_of(malloc(cap), cap);
	enum ks_err err;

	if (!message.p)
		return KS_MEMORY;
	ks_buf_put(&message, id);
	ks_buf_put_byte(&message, '.');
	ks_buf_put(&message, timestamp);
	ks_buf_put_byte(&message, '.');
	ks_buf_put(&message, body);
	err = ks_private_key_load(der, &key);
	if (err == KS_OK)
		err = ks_private_key_sign(key, KS_SIGN_ALG_EDDSA, ks_buf_str(&message), signature, &n);
	free(message.p);
	if (err != KS_OK)
		return err;
	ks_buf_put_c(out, "v1a,");
	put_base64(out, signature, n);
	return KS_OK;
}

enum ks_err ks_signature_write(enum ks_endpoint_signature signature, struct ks_str key, struct ks_str id,
			       struct ks_str timestamp, struct ks_str body, struct ks_buf *out)
{
	return signature == KS_ENDPOINT_V1A ? sign_ed25519(key, id, timestamp, body, out)
					    : sign_hmac(key, id, timestamp, body, out);
}

/* ---- opened secrets ---- */

enum ks_err ks_signer_new(const struct ks_engine *engine, struct ks_signer **ret_signer)
{
	struct ks_signer *s = calloc(1, sizeof(*s));
	enum ks_err err = KS_MEMORY;

	if (!s)
		return KS_MEMORY;
	s->engine = engine;
	/* As many as may be locked. */
	for (s->count = SLOTS_MOST; s->count >= SLOTS_LEAST && err != KS_OK; s->count /= 2)
		err = ks_secret_new(&s->slab, s->count * KS_ENDPOINT_KEY_MAX);
	s->count *= 2;
	s->slots = err == KS_OK ? calloc(s->count, sizeof(*s->slots)) : NULL;
	if (!s->slots) {
		ks_signer_free(&s);
		return KS_MEMORY;
	}
	*ret_signer = s;
	return KS_OK;
}

void ks_signer_free(struct ks_signer **signer)
{
	if (!*signer)
		return;
	ks_secret_free(&(*signer)->slab);
	free((*signer)->slots);
	free(*signer);
	*signer = NULL;
}

static size_t first_way(const struct ks_signer *s, uint64_t secret)
{
	return (size_t)(secret * UINT64_C(0x9e3779b97f4a7c15) >> 32) % (s->count / WAYS) * WAYS;
}

static struct ks_str bytes_of(const struct ks_signer *s, size_t slot)
{
	return ks_str_of((const char *)&s->slab.bytes[slot * KS_ENDPOINT_KEY_MAX], s->slots[slot].n);
}

static bool find(const struct ks_signer *s, uint64_t secret, struct ks_str *ret_key)
{
	size_t first = first_way(s, secret);

	for (size_t i = first; i < first + WAYS; i++) {
		if (s->slots[i].secret == secret) {
			*ret_key = bytes_of(s, i);
			return true;
		}
	}
	return false;
}

struct opening {
	struct ks_signer *signer;
	uint64_t wanted;
	struct ks_str key;
	enum ks_err err;
};

static enum ks_err open_row(void *ctx, const struct ks_endpoint_secret_row *row)
{
	struct opening *o = ctx;
	struct ks_signer *s = o->signer;
	size_t slot = first_way(s, row->id) + s->turn++ % WAYS, n;
	uint8_t *to = &s->slab.bytes[slot * KS_ENDPOINT_KEY_MAX];

	if (row->id != o->wanted)
		return KS_OK;
	s->slots[slot].secret = 0;
	ks_wipe(to, KS_ENDPOINT_KEY_MAX);
	o->err = ks_endpoint_secret_open(s->engine, row, to, &n);
	if (o->err != KS_OK)
		return KS_OK;
	s->slots[slot] = (struct slot){row->id, (uint8_t)n};
	o->key = bytes_of(s, slot);
	return KS_OK;
}

static enum ks_err key_of(struct ks_signer *s, struct ks_store *store, uint64_t endpoint, uint64_t secret, struct ks_str *ret_key)
{
	struct opening o = {.signer = s, .wanted = secret, .err = KS_NOT_FOUND};
	enum ks_err err;

	if (find(s, secret, ret_key))
		return KS_OK;
	err = ks_store_endpoint_secrets(store, endpoint, open_row, &o);
	if (err != KS_OK || o.err != KS_OK)
		return err != KS_OK ? err : o.err;
	*ret_key = o.key;
	return KS_OK;
}

enum ks_err ks_signer_sign(struct ks_signer *s, struct ks_store *store, uint64_t endpoint, const struct ks_signing_key *keys,
			   size_t count, struct ks_str id, int64_t now_ms, struct ks_str body, struct ks_buf *out)
{
	char text[24];
	struct ks_buf timestamp = KS_BUF(text);
	bool any = false;

	ks_buf_put_i64(&timestamp, now_ms / 1000);
	for (size_t i = 0; i < count; i++) {
		struct ks_str key;
		enum ks_err err;

		if (keys[i].ends_at != KS_TIME_NONE && keys[i].ends_at <= now_ms)
			continue;
		err = key_of(s, store, endpoint, keys[i].id, &key);
		if (err == KS_NOT_FOUND)
			continue;
		if (err != KS_OK)
			return err;
		if (any)
			ks_buf_put_byte(out, ' ');
		err = ks_signature_write(keys[i].signature, key, id, ks_buf_str(&timestamp), body, out);
		if (err != KS_OK)
			return err;
		any = true;
	}
	if (!any)
		return KS_NOT_FOUND;
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}
