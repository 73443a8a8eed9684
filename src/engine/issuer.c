/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer's keys as this process holds them, their way into the ring, and minting. */
#include <stdlib.h>

#include "base/ctenc.h"
#include "base/id.h"
#include "crypto/random.h"
#include "engine/issuer_priv.h"
#include "engine/seal.h"

#define SEAL_PURPOSE "issuer_key"
#define PAYLOAD_MAX KS_JWS_PAYLOAD_MAX

/* ---- the set in force ---- */

static void set_free(struct ks_issuer_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		ks_jose_signer_free(set->keys[i].signer);
	ks_wipe(set, sizeof(*set));
	free(set);
}

void ks_issuer_release(struct ks_issuer_set *set)
{
	if (set && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1)
		set_free(set);
}

struct ks_issuer_set *ks_issuer_set(struct ks_engine *engine)
{
	struct ks_issuer_set *set;

	pthread_mutex_lock(&engine->issuer.lock);
	set = engine->issuer.set;
	if (set)
		atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&engine->issuer.lock);
	return set;
}

static void put_in_force(struct ks_engine *engine, struct ks_issuer_set *set)
{
	struct ks_issuer_set *old;

	pthread_mutex_lock(&engine->issuer.lock);
	old = engine->issuer.set;
	engine->issuer.set = set;
	pthread_mutex_unlock(&engine->issuer.lock);
	ks_issuer_release(old);
}

const struct ks_issuer_key *ks_issuer_in_state(const struct ks_issuer_set *set, enum ks_issuer_key_state state)
{
	for (size_t i = 0; set && i < set->count; i++) {
		if (set->keys[i].state == state)
			return &set->keys[i];
	}
	return NULL;
}

/* ---- from the truth ---- */

struct reading {
	const struct ks_engine *engine;
	struct ks_issuer_set *set;
};

static bool keep_text(char *to, size_t cap, struct ks_str text)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, text);
	return ks_buf_z(&b)[0] != '\0';
}

/* A key that cannot be opened still stands in the set, so that it is known to be of no use. */
static void open_key(const struct ks_engine *engine, const struct ks_issuer_key_row *row, struct ks_issuer_key *key)
{
	uint8_t plain[KS_ISSUER_PRIVATE_MAX];
	size_t n;

	if (ks_engine_open_sealed(engine, SEAL_PURPOSE, row->id, row->sealed, plain, sizeof(plain), &n) != KS_OK) {
		ks_engine_say(engine, 3, "issuer_key_unreadable", "%.*s", KS_STR_ARG(row->kid));
		return;
	}
	if (n > sizeof(key->mask)
	    && ks_jose_signer_load(ks_str_of((const char *)&plain[sizeof(key->mask)], n - sizeof(key->mask)), &key->signer)
		       == KS_JOSE_OK)
		memcpy(key->mask, plain, sizeof(key->mask));
	ks_wipe(plain, sizeof(plain));
}

static enum ks_err take_key(void *ctx, const struct ks_issuer_key_row *row)
{
	struct reading *r = ctx;
	struct ks_issuer_key *key = &r->set->keys[r->set->count];

	if (r->set->count == KS_RING_ISSUER_KEYS_MAX)
		return KS_TOO_LARGE;
	if (!keep_text(key->kid, sizeof(key->kid), row->kid) || !keep_text(key->jwk, sizeof(key->jwk), row->public_jwk)
	    || !keep_text(key->algorithm, sizeof(key->algorithm), row->algorithm))
		return KS_CORRUPT;
	key->id = row->id;
	key->state = row->state;
	key->created_at = row->created_at;
	key->signs_from = row->signs_from;
	key->retired_at = row->retired_at;
	open_key(r->engine, row, key);
	r->set->count++;
	return KS_OK;
}

enum ks_err ks_issuer_read(const struct ks_engine *engine, struct ks_store *store, struct ks_issuer_set **ret_set)
{
	struct reading r = {.engine = engine, .set = calloc(1, sizeof(*r.set))};
	enum ks_err err;

	if (!r.set)
		return KS_MEMORY;
	atomic_init(&r.set->refs, 1);
	err = ks_store_issuer_keys(store, take_key, &r);
	if (err != KS_OK) {
		set_free(r.set);
		return err;
	}
	*ret_set = r.set;
	return KS_OK;
}

/* ---- into the ring ---- */

enum ks_err ks_issuer_publish(struct ks_engine *engine, struct ks_ring *ring)
{
	const struct ks_engine_issuer *options = &engine->options.issuer;
	struct ks_ring_issuer_key_record keys[KS_RING_ISSUER_KEYS_MAX];
	struct ks_str audiences[KS_ENGINE_AUDIENCES_MAX + 1];
	struct ks_issuer_set *set = ks_issuer_set(engine);
	size_t count = 0;
	enum ks_err err;

	if (!set)
		return KS_OK;
	for (size_t i = 0; i < set->count; i++) {
		if (set->keys[i].signer)
			keys[count++] = (struct ks_ring_issuer_key_record){.kid = ks_str_c(set->keys[i].kid),
									   .jwk = ks_str_c(set->keys[i].jwk),
									   .mask = set->keys[i].mask};
	}
	audiences[0] = ks_str_c(options->name);
	for (size_t i = 0; i < options->audience_count; i++)
		audiences[i + 1] = ks_str_c(options->audiences[i]);
	err = ks_ring_put_issuer_keys(ring, &(struct ks_ring_issuer_keys_record){
		.id = KS_RING_ISSUER_OWN,
		.name = ks_str_c(options->name),
		.audiences = audiences,
		.audience_count = options->audience_count + 1,
		.keys = keys,
		.key_count = count,
	});
	ks_issuer_release(set);
	return err;
}

enum ks_err ks_issuer_publish_current(struct ks_engine *engine)
{
	enum ks_err err = ks_issuer_publish(engine, ks_ringmap_writer_ring(engine->ringmap));

	if (err != KS_FULL)
		return err;
	KS_TRY(ks_project_grow(engine, 0, sizeof(struct ks_issuer_set)));
	return ks_issuer_publish(engine, ks_ringmap_writer_ring(engine->ringmap));
}

enum ks_err ks_issuer_reload(struct ks_engine *engine, struct ks_ring *ring)
{
	struct ks_issuer_set *set;

	if (!engine->options.issuer.name[0])
		return KS_OK;
	KS_TRY(ks_issuer_read(engine, engine->store, &set));
	put_in_force(engine, set);
	return ring ? ks_issuer_publish(engine, ring) : KS_OK;
}

/* ---- minting ---- */

static void put_text(struct ks_buf *b, const char *name, struct ks_str value)
{
	if (ks_str_empty(value))
		return;
	ks_buf_put_c(b, ",\"");
	ks_buf_put_c(b, name);
	ks_buf_put_c(b, "\":");
	ks_buf_put_json(b, value);
}

static void put_number(struct ks_buf *b, const char *name, int64_t value)
{
	ks_buf_put_c(b, ",\"");
	ks_buf_put_c(b, name);
	ks_buf_put_c(b, "\":");
	ks_buf_put_i64(b, value);
}

static void put_audience(struct ks_buf *b, bool *first, struct ks_str audience)
{
	if (!*first)
		ks_buf_put_byte(b, ',');
	*first = false;
	ks_buf_put_json(b, audience);
}

static void put_audiences(struct ks_buf *b, const struct ks_engine_issuer *issuer, const struct ks_issuer_claims *claims)
{
	bool first = true;

	ks_buf_put_c(b, ",\"aud\":[");
	for (size_t i = 0; i < claims->audience_count; i++)
		put_audience(b, &first, claims->audiences[i]);
	if (!claims->audiences) {
		put_audience(b, &first, ks_str_c(issuer->name));
		for (size_t i = 0; i < issuer->audience_count; i++)
			put_audience(b, &first, ks_str_c(issuer->audiences[i]));
	}
	ks_buf_put_byte(b, ']');
}

/* jti, and the reference masked with it. */
static enum ks_err put_reference(struct ks_buf *b, const struct ks_issuer_key *key, const struct ks_digest *ref)
{
	char id[KS_JWT_ID_LEN], text[KS_JWT_REF_LEN];
	uint8_t random[16];
	struct ks_digest masked;

	KS_TRY(ks_random(random, sizeof(random)));
	if (ks_base64url_encode(random, sizeof(random), id, sizeof(id)) != sizeof(id))
		return KS_CRYPTO;
	KS_TRY(ks_jwt_mask(key->mask, ks_str_of(id, sizeof(id)), ref, &masked));
	if (ks_base64url_encode(masked.bytes, sizeof(masked.bytes), text, sizeof(text)) != sizeof(text))
		return KS_CRYPTO;
	put_text(b, "jti", ks_str_of(id, sizeof(id)));
	put_text(b, "ks_ref", ks_str_of(text, sizeof(text)));
	return KS_OK;
}

static enum ks_err put_claims(struct ks_buf *b, const struct ks_engine *engine, const struct ks_issuer_key *key,
			      const struct ks_issuer_claims *claims)
{
	ks_buf_put_c(b, "{\"iss\":");
	ks_buf_put_json(b, ks_str_c(engine->options.issuer.name));
	put_text(b, "sub", claims->subject);
	put_audiences(b, &engine->options.issuer, claims);
	put_number(b, "exp", claims->expires_ms / 1000);
	put_number(b, "iat", claims->now_ms / 1000);
	KS_TRY(put_reference(b, key, &claims->ref));
	put_text(b, "client_id", claims->client);
	if (claims->has_scope) {
		ks_buf_put_c(b, ",\"scope\":");
		ks_buf_put_json(b, claims->scope);
	}
	put_text(b, "tenant", claims->tenant);
	put_text(b, "family", claims->family);
	put_text(b, "call_id", claims->call_id);
	if (!ks_str_empty(claims->actor)) {
		ks_buf_put_c(b, ",\"act\":{\"sub\":");
		ks_buf_put_json(b, claims->actor);
		ks_buf_put_byte(b, '}');
	}
	ks_buf_put_byte(b, '}');
	return ks_buf_ok(b) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err check_claims(const struct ks_issuer_claims *claims)
{
	if (ks_str_empty(claims->subject) || claims->expires_ms / 1000 <= claims->now_ms / 1000
	    || claims->audience_count > KS_ISSUER_AUDIENCES_MAX || (claims->audiences && claims->audience_count == 0))
		return KS_MALFORMED;
	return claims->expires_ms - claims->now_ms > KS_ISSUER_LIFETIME_MAX_MS ? KS_TOO_LARGE : KS_OK;
}

static enum ks_err sign(const struct ks_engine *engine, const struct ks_issuer_key *key,
			const struct ks_issuer_claims *claims, struct ks_buf *out)
{
	const char *type = claims->session ? KS_JWT_TYPE_SESSION : KS_JWT_TYPE_ACCESS;
	char payload[PAYLOAD_MAX];
	struct ks_buf b = KS_BUF(payload);

	KS_TRY(put_claims(&b, engine, key, claims));
	switch (ks_jose_sign(key->signer, ks_str_c(type), ks_buf_str(&b), out)) {
	case KS_JOSE_OK:
		return KS_OK;
	case KS_JOSE_PAYLOAD_TOO_LARGE:
	case KS_JOSE_TOKEN_TOO_LARGE:
		return KS_TOO_LARGE;
	case KS_JOSE_MEMORY:
		return KS_MEMORY;
	default:
		return KS_CRYPTO;
	}
}

enum ks_err ks_issuer_mint(struct ks_engine *engine, const struct ks_issuer_claims *claims, struct ks_buf *out)
{
	struct ks_issuer_set *set = ks_issuer_set(engine);
	const struct ks_issuer_key *key = ks_issuer_in_state(set, KS_ISSUER_KEY_CURRENT);
	enum ks_err err = check_claims(claims);

	if (err == KS_OK)
		err = key && key->signer ? sign(engine, key, claims, out) : KS_NOT_FOUND;
	atomic_fetch_add_explicit(err == KS_OK ? &engine->issuer.minted : &engine->issuer.failed, 1, memory_order_relaxed);
	ks_issuer_release(set);
	return err;
}

enum ks_err ks_issuer_mint_session(struct ks_engine *engine, const struct ks_digest *session, uint64_t user,
				   int64_t now_ms, int64_t expires_ms, struct ks_buf *out)
{
	char subject[KS_ID_TEXT_SIZE];

	ks_id_format(KS_ID_USER, user, subject);
	return ks_issuer_mint(engine, &(struct ks_issuer_claims){
		.session = true,
		.ref = *session,
		.subject = ks_str_c(subject),
		.now_ms = now_ms,
		.expires_ms = expires_ms,
	}, out);
}

/* ---- asking ---- */

struct ks_str ks_issuer_name(const struct ks_engine *engine)
{
	return ks_str_c(engine->options.issuer.name);
}

bool ks_issuer_has_audience(const struct ks_engine *engine, struct ks_str audience)
{
	const struct ks_engine_issuer *options = &engine->options.issuer;

	if (ks_str_empty(audience))
		return false;
	for (size_t i = 0; i < options->audience_count; i++) {
		if (ks_str_eq(ks_str_c(options->audiences[i]), audience))
			return true;
	}
	return ks_str_eq(ks_str_c(options->name), audience);
}

const char *ks_issuer_key_state_text(enum ks_issuer_key_state state)
{
	static const char *const texts[KS_ISSUER_KEY_STATE_COUNT] = {"next", "current", "retired", "withdrawn"};

	return texts[state];
}

void ks_issuer_keys(struct ks_engine *engine, void (*each)(void *ctx, const struct ks_issuer_key_view *key), void *ctx)
{
	struct ks_issuer_set *set = ks_issuer_set(engine);

	for (size_t i = 0; set && i < set->count; i++) {
		const struct ks_issuer_key *key = &set->keys[i];

		if (!key->signer)
			continue;
		each(ctx, &(struct ks_issuer_key_view){
			.kid = ks_str_c(key->kid),
			.algorithm = ks_str_c(key->algorithm),
			.public_jwk = ks_str_c(key->jwk),
			.state = key->state,
			.created_at = key->created_at,
			.signs_from = ks_issuer_signs_from(engine, key),
			.retired_at = key->retired_at,
			.published_until = ks_issuer_published_until(key),
		});
	}
	ks_issuer_release(set);
}

void ks_issuer_view(const struct ks_engine *engine, const struct ks_issuer_key_row *row,
		    struct ks_issuer_key_view *ret_view)
{
	const struct ks_issuer_key key = {
		.state = row->state,
		.created_at = row->created_at,
		.signs_from = row->signs_from,
		.retired_at = row->retired_at,
	};

	*ret_view = (struct ks_issuer_key_view){
		.kid = row->kid,
		.algorithm = row->algorithm,
		.public_jwk = row->public_jwk,
		.state = row->state,
		.created_at = row->created_at,
		.signs_from = ks_issuer_signs_from(engine, &key),
		.retired_at = row->retired_at,
		.published_until = ks_issuer_published_until(&key),
	};
}

void ks_issuer_counts(const struct ks_engine *engine, uint64_t *ret_minted, uint64_t *ret_failed)
{
	*ret_minted = atomic_load_explicit(&engine->issuer.minted, memory_order_relaxed);
	*ret_failed = atomic_load_explicit(&engine->issuer.failed, memory_order_relaxed);
}

void ks_issuer_close(struct ks_engine *engine)
{
	put_in_force(engine, NULL);
	pthread_mutex_destroy(&engine->issuer.lock);
}
