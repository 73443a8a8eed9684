/* SPDX-License-Identifier: Apache-2.0 */
/* What a token of our own says. It was written by engine/issuer.c; a signature of ours over anything else is a fault. */
#include "assertion/assertion_priv.h"
#include "base/ctenc.h"
#include "base/id.h"

/* A claim that is a string. False: it is there and is none. *ret_text stays empty where there is no claim. */
static bool text_claim(const struct ks_claims *claims, struct ks_str name, struct ks_buf *room, struct ks_str *ret_text)
{
	struct ks_str value;

	*ret_text = KS_STR("");
	if (!ks_json_member(claims->text, name, &value))
		return true;
	return ks_json_string(value, room, ret_text);
}

static bool read_ref(const struct ks_verifier *verifier, const struct ks_ring_issuer_key *key, struct ks_digest *ret_ref)
{
	const struct ks_claims *claims = &verifier->claims;
	struct ks_buf none = {0};
	struct ks_digest masked;
	struct ks_str text;
	size_t n;

	return !ks_str_empty(claims->jti) && text_claim(claims, KS_STR("ks_ref"), &none, &text)
	       && ks_base64url_decode(text, masked.bytes, sizeof(masked.bytes), &n) && n == sizeof(masked.bytes)
	       && ks_jwt_mask(key->mask, claims->jti, &masked, ret_ref) == KS_OK;
}

/* Scopes that the ring does not know are on no key either. */
static bool read_scopes(const struct ks_ring *ring, const struct ks_claims *claims, struct ks_assertion *a)
{
	struct ks_claims_strings at = {0};
	struct ks_buf none = {0};
	bool malformed = false;
	struct ks_str value, name;
	uint16_t number;

	if (!ks_json_member(claims->text, KS_STR("scope"), &value))
		return true;
	a->has_scopes = true;
	while (ks_claims_next(&at, value, true, &none, &name, &malformed)) {
		if (ks_scope_find(ring->scopes, name, &number))
			ks_scopes_set(&a->scopes, number);
	}
	return !malformed;
}

static bool read_tenant(struct ks_verifier *verifier, struct ks_assertion *a)
{
	struct ks_buf room = KS_BUF(verifier->room);
	enum ks_id_type type;
	struct ks_str text;

	if (!text_claim(&verifier->claims, KS_STR("tenant"), &room, &text))
		return false;
	return ks_str_empty(text) || ks_id_parse_any(text, &type, &a->tenant);
}

static bool read_family(struct ks_verifier *verifier, struct ks_assertion *a)
{
	struct ks_buf room = KS_BUF(verifier->room);
	struct ks_str text;

	if (!text_claim(&verifier->claims, KS_STR("family"), &room, &text) || text.n >= sizeof(a->family))
		return false;
	if (text.n > 0)
		memcpy(a->family, text.p, text.n);
	return true;
}

enum ks_lookup_detail ks_own_claims(const struct ks_ring *ring, struct ks_verifier *verifier,
				    const struct ks_ring_issuer_key *key, struct ks_assertion *ret_assertion)
{
	bool session = ks_jws_typ_is(&verifier->jws, KS_STR(KS_JWT_TYPE_SESSION));

	if (!session && !ks_jws_typ_is(&verifier->jws, KS_STR(KS_JWT_TYPE_ACCESS)))
		return KS_LOOKUP_JWT_TYPE;
	ret_assertion->kind = session ? KS_ASSERTION_SESSION : KS_ASSERTION_EXCHANGED;
	if (!read_ref(verifier, key, &ret_assertion->ref) || !read_scopes(ring, &verifier->claims, ret_assertion)
	    || !read_tenant(verifier, ret_assertion) || !read_family(verifier, ret_assertion))
		return KS_LOOKUP_JWT_CLAIMS;
	/* What a key is exchanged for is always narrowed to scopes. */
	if (!session && !ret_assertion->has_scopes)
		return KS_LOOKUP_JWT_CLAIMS;
	return KS_LOOKUP_NONE;
}
