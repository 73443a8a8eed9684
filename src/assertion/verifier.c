/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "assertion/assertion_priv.h"
#include "base/hash.h"
#include "base/secret.h"

/* ---- ready keys ---- */

static void forget(struct ks_verifier_key *entry)
{
	ks_jose_key_free(entry->key);
	free(entry->jwk);
	*entry = (struct ks_verifier_key){0};
}

void ks_verifier_free(struct ks_verifier *verifier)
{
	for (size_t i = 0; i < KS_VERIFIER_SETS; i++) {
		for (size_t k = 0; k < KS_VERIFIER_WAYS; k++)
			forget(&verifier->keys[i][k]);
	}
}

static bool is_of(const struct ks_verifier_key *entry, struct ks_str jwk)
{
	return entry->key && ks_str_eq(ks_str_of(entry->jwk, entry->n), jwk);
}

/* In the front place; what stood there moves back, and what stood there is forgotten. */
static const struct ks_jose_key *remember(struct ks_verifier_key set[KS_VERIFIER_WAYS], struct ks_str jwk)
{
	struct ks_verifier_key fresh = {.jwk = malloc(jwk.n), .n = jwk.n};

	if (!fresh.jwk)
		return NULL;
	memcpy(fresh.jwk, jwk.p, jwk.n);
	if (ks_jwk_parse(jwk, &fresh.key) != KS_JOSE_OK) {
		free(fresh.jwk);
		return NULL;
	}
	forget(&set[KS_VERIFIER_WAYS - 1]);
	for (size_t i = KS_VERIFIER_WAYS - 1; i > 0; i--)
		set[i] = set[i - 1];
	set[0] = fresh;
	return fresh.key;
}

/* A ready key is taken for the text that it was made of and for no other, so that it never outlives a change of the
 * issuer's keys, in whatever generation of the ring. */
static const struct ks_jose_key *ready_key(const struct ks_ring *ring, struct ks_verifier *verifier,
					   const struct ks_ring_issuer *issuer, const struct ks_ring_issuer_key *key)
{
	struct ks_str kid = ks_ring_issuer_text(issuer, key->kid), jwk = ks_ring_issuer_text(issuer, key->jwk);
	uint64_t hash = ks_siphash(ring->header->slot_seed, kid.p, kid.n) ^ issuer->id;
	struct ks_verifier_key *set = verifier->keys[hash % KS_VERIFIER_SETS];

	for (size_t i = 0; i < KS_VERIFIER_WAYS; i++) {
		if (is_of(&set[i], jwk))
			return set[i].key;
	}
	return remember(set, jwk);
}

/* ---- whose it is ---- */

/* The issuer of the claims' `iss` that takes one of their audiences. */
static const struct ks_ring_issuer *find_issuer(const struct ks_ring *ring, struct ks_verifier *verifier,
						enum ks_lookup_detail *ret_detail)
{
	const struct ks_claims *claims = &verifier->claims;
	const struct ks_ring_issuer *own = ks_ring_issuer_by_id(ring, KS_RING_ISSUER_OWN), *issuer;
	struct ks_claims_strings at = {0};
	bool malformed = false, is_own;
	struct ks_str audience;

	is_own = own && ks_str_eq(ks_ring_issuer_text(own, own->name), claims->iss);
	*ret_detail = is_own ? KS_LOOKUP_JWT_AUDIENCE : KS_LOOKUP_ISSUER;
	if (ks_str_empty(claims->iss) || ks_str_empty(claims->aud))
		return NULL;
	for (;;) {
		struct ks_buf room = KS_BUF(verifier->room);

		if (!ks_claims_next(&at, claims->aud, false, &room, &audience, &malformed))
			return NULL;
		issuer = ks_ring_issuer(ring, claims->iss, audience);
		if (issuer)
			return issuer;
	}
}

static bool is_for_service(const struct ks_ring_issuer *issuer, const struct ks_claims *claims)
{
	return ks_claims_check_audience(claims, ks_ring_issuer_audience(issuer, 0)) == KS_JOSE_OK;
}

/* The only key for the token's algorithm, where the token names none. */
static const struct ks_ring_issuer_key *only_key(const struct ks_ring *ring, struct ks_verifier *verifier,
						 const struct ks_ring_issuer *issuer)
{
	const struct ks_ring_issuer_key *keys = ks_ring_issuer_keys(issuer), *only = NULL;

	for (uint32_t i = 0; i < issuer->key_count; i++) {
		const struct ks_jose_key *key = ready_key(ring, verifier, issuer, &keys[i]);

		if (!key || !ks_jose_key_is_for(key, verifier->jws.alg))
			continue;
		if (only)
			return NULL;
		only = &keys[i];
	}
	return only;
}

static enum ks_lookup_detail check_signature(const struct ks_ring *ring, struct ks_verifier *verifier,
					     const struct ks_ring_issuer *issuer,
					     const struct ks_ring_issuer_key **ret_key)
{
	struct ks_str kid = verifier->jws.kid;
	const struct ks_ring_issuer_key *key;
	const struct ks_jose_key *ready;
	enum ks_jose_problem problem;

	/* Ours always name theirs. */
	if (ks_str_empty(kid))
		key = issuer->id == KS_RING_ISSUER_OWN ? NULL : only_key(ring, verifier, issuer);
	else
		key = ks_ring_issuer_key(issuer, kid);
	if (!key && !ks_str_empty(kid) && issuer->id != KS_RING_ISSUER_OWN)
		verifier->lacks_key = issuer->id;
	ready = key ? ready_key(ring, verifier, issuer, key) : NULL;
	if (!ready)
		return KS_LOOKUP_JWT_KEY;
	problem = ks_jose_verify(ready, &verifier->jws);
	/* What is left of the token is of no use to whoever reads this memory. */
	ks_wipe(verifier->jws.room + (verifier->jws.signature.p - verifier->jws.room), verifier->jws.signature.n);
	if (problem == KS_JOSE_OK) {
		*ret_key = key;
		return KS_LOOKUP_NONE;
	}
	return problem == KS_JOSE_ALG_OTHER ? KS_LOOKUP_JWT_ALGORITHM : KS_LOOKUP_JWT_SIGNATURE;
}

/* ---- the whole ---- */

static enum ks_lookup_detail detail_of_form(enum ks_jose_problem problem)
{
	switch (problem) {
	case KS_JOSE_OK:
		return KS_LOOKUP_NONE;
	case KS_JOSE_ALG_MISSING:
	case KS_JOSE_ALG_NONE:
	case KS_JOSE_ALG_SYMMETRIC:
	case KS_JOSE_ALG_UNKNOWN:
		return KS_LOOKUP_JWT_ALGORITHM;
	default:
		return KS_LOOKUP_JWT_MALFORMED;
	}
}

/* A clock a little ahead of ours does no harm; a token that is for later does. */
static enum ks_lookup_detail check_times(const struct ks_claims *claims, int64_t now_ms)
{
	if (claims->exp_ms == KS_TIME_NONE)
		return KS_LOOKUP_JWT_CLAIMS;
	if (claims->nbf_ms != KS_TIME_NONE && claims->nbf_ms > now_ms + KS_JWT_LEEWAY_MS)
		return KS_LOOKUP_JWT_NOT_YET;
	if (claims->iat_ms != KS_TIME_NONE && claims->iat_ms > now_ms + KS_JWT_LEEWAY_MS)
		return KS_LOOKUP_JWT_NOT_YET;
	return KS_LOOKUP_NONE;
}

static enum ks_lookup_detail read_claims(struct ks_verifier *verifier)
{
	if (!ks_json_check(verifier->jws.payload))
		return KS_LOOKUP_JWT_MALFORMED;
	return ks_claims_parse(verifier->jws.payload, &verifier->claims) == KS_JOSE_OK ? KS_LOOKUP_NONE
										       : KS_LOOKUP_JWT_CLAIMS;
}

#define KS_TRY_DETAIL(expression)                               \
	do {                                                    \
		enum ks_lookup_detail detail_ = (expression);   \
		if (detail_ != KS_LOOKUP_NONE)                  \
			return detail_;                         \
	} while (0)

static enum ks_lookup_detail check(const struct ks_ring *ring, struct ks_verifier *verifier, struct ks_str token,
				   enum ks_jwt_audience audience, int64_t now_ms, struct ks_assertion *a)
{
	const struct ks_ring_issuer *issuer;
	const struct ks_ring_issuer_key *key = NULL;
	enum ks_lookup_detail detail;

	KS_TRY_DETAIL(detail_of_form(ks_jws_parse(token, &verifier->jws)));
	KS_TRY_DETAIL(read_claims(verifier));
	issuer = find_issuer(ring, verifier, &detail);
	if (!issuer)
		return detail;
	KS_TRY_DETAIL(check_signature(ring, verifier, issuer, &key));
	if (issuer->id == KS_RING_ISSUER_OWN && audience == KS_JWT_AUDIENCE_SERVICE
	    && !is_for_service(issuer, &verifier->claims))
		return KS_LOOKUP_JWT_AUDIENCE;
	KS_TRY_DETAIL(check_times(&verifier->claims, now_ms));
	a->expires_ms = verifier->claims.exp_ms;
	if (issuer->id == KS_RING_ISSUER_OWN)
		return ks_own_claims(ring, verifier, key, a);
	return ks_foreign_claims(ring, verifier, issuer, a);
}

void ks_assert(const struct ks_ring *ring, struct ks_verifier *verifier, struct ks_str token, enum ks_jwt_audience audience,
	       int64_t now_ms, struct ks_assertion *ret_assertion)
{
	enum ks_lookup_detail detail;

	*ret_assertion = (struct ks_assertion){0};
	verifier->lacks_key = 0;
	detail = check(ring, verifier, token, audience, now_ms, ret_assertion);
	ret_assertion->result = detail == KS_LOOKUP_NONE ? KS_ASSERTION_OK : KS_ASSERTION_INVALID;
	ret_assertion->detail = detail;
	/* Of a good one the claims may be read on; what made it a credential is gone already (check_signature). */
	if (detail != KS_LOOKUP_NONE)
		ks_jws_wipe(&verifier->jws);
}
