/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and the issuers of foreign ones: slots of kind session, without a grant. */
#include "ring/ring_priv.h"

#include "base/buf.h"

#define TRAITS(binding) KS_KEY_TRAITS(KS_KIND_SESSION, KS_BINDING_##binding, KS_ENVIRONMENT_LIVE)

enum ks_err ks_ring_issuer_digest(uint64_t issuer, struct ks_digest *ret_digest)
{
	char id[KS_ID_TEXT_SIZE], text[64];
	struct ks_buf b = KS_BUF(text);

	/* No token holds a colon. */
	ks_id_format(KS_ID_ISSUER, issuer, id);
	ks_buf_put_c(&b, "issuer:");
	ks_buf_put_c(&b, id);
	return ks_sha256(ks_buf_str(&b), ret_digest);
}

/* One that has ended and is not there needs no place. */
static bool is_known(const struct ks_ring *ring, const struct ks_digest *digest)
{
	uint64_t slot;

	return ks_ring_key(ring, digest, ks_ring_home(ring, digest), &slot) != NULL;
}

enum ks_err ks_ring_put_session(struct ks_ring *ring, const struct ks_ring_session_record *record)
{
	struct ks_ring_key key = {.digest = record->digest, .id = record->id};

	if (record->id == 0)
		return KS_MALFORMED;
	key.grant = ks_ring_user(ring, record->user);
	if (key.grant == KS_RING_NONE)
		return KS_NOT_FOUND;
	key.tenant = atomic_load_explicit(&ring->users[key.grant].personal, memory_order_relaxed);
	if (key.tenant == KS_RING_NONE)
		return KS_NOT_FOUND;
	if (record->ended && !is_known(ring, &record->digest))
		return KS_OK;
	atomic_store_explicit(&key.ends_ms, record->ends_ms, memory_order_relaxed);
	return ks_ring_put_slot(ring, &key, TRAITS(USER) | (record->ended ? KS_KEY_REVOKED : 0));
}

enum ks_err ks_ring_put_issuer(struct ks_ring *ring, const struct ks_ring_issuer_record *record)
{
	struct ks_ring_key key = {.id = record->id};

	if (record->id == 0)
		return KS_MALFORMED;
	key.tenant = ks_ring_tenant(ring, record->organization);
	if (key.tenant == KS_RING_NONE)
		return KS_NOT_FOUND;
	if (ring->tenants[key.tenant].kind != KS_TENANT_KIND_ORGANIZATION)
		return KS_MALFORMED;
	KS_TRY(ks_ring_issuer_digest(record->id, &key.digest));
	if (record->removed && !is_known(ring, &key.digest))
		return KS_OK;
	atomic_store_explicit(&key.ends_ms, INT64_MAX, memory_order_relaxed);
	return ks_ring_put_slot(ring, &key, TRAITS(ORGANIZATION) | (record->removed ? KS_KEY_REVOKED : 0));
}
