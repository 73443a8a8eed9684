/* SPDX-License-Identifier: Apache-2.0 */
/* What is signed by a known issuer, whatever it says. The first byte of the input says what the rest is:
 *
 *   0  a token as somebody presents it: never good, its keys are not ours
 *   1  the claims of a token of our own that is made of a key; 2: of a session
 *   3  the rules of a foreign issuer; 4: the claims of its token, under fixed rules
 *
 * What is good says nothing beyond its bounds, and only what the ring knows. */
#include <stdlib.h>

#include "assertion/verifier.h"
#include "jose/signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

#define NOW INT64_C(1800000000000)

static const struct ks_ring_geometry geometry = {64, 8, 4, 4, 64, 1 << 16};
static const char rules[] = "{\"tenant_claim\":\"org\",\"tenants\":{\"a\":\"org_000000000000a\"},\"role_claim\":\"realm.roles\","
			    "\"roles\":{\"boss\":\"administrator\"},\"default_roles\":[\"member\"]}";

static struct {
	struct ks_ring ring;
	struct ks_jose_signer *signer;
	struct ks_verifier verifier;
} bed;

static void put_issuer(uint64_t id, const char *name)
{
	static const uint8_t mask[KS_RING_ISSUER_MASK_SIZE] = {1};
	static const struct ks_str audience = KS_STR("api");
	struct ks_ring_issuer_key_record key = {.kid = ks_jose_key_kid(ks_jose_signer_key(bed.signer)), .mask = mask};
	char text[1024];
	struct ks_buf jwk = KS_BUF(text);

	ks_jose_key_write(ks_jose_signer_key(bed.signer), &jwk);
	key.jwk = ks_buf_str(&jwk);
	CHECK(ks_ring_put_issuer_keys(&bed.ring, &(struct ks_ring_issuer_keys_record){
		.id = id, .name = ks_str_c(name), .rules = id ? KS_STR(rules) : KS_STR(""), .audiences = &audience,
		.audience_count = 1, .keys = &key, .key_count = 1}) == KS_OK);
}

static void set_up(void)
{
	const struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {1, 2}, .domain = KS_STR("")};
	void *memory = NULL;
	uint16_t number;

	if (bed.signer)
		return;
	CHECK(posix_memalign(&memory, 4096, ks_ring_size(&geometry)) == 0);
	memset(memory, 0, ks_ring_size(&geometry));
	CHECK(ks_ring_format(memory, ks_ring_size(&geometry), &geometry, &stamp, &bed.ring) == KS_OK);
	CHECK(ks_scope_add(bed.ring.scopes, KS_STR("contacts:read"), &number) == KS_OK);
	CHECK(ks_jose_signer_new(KS_SIGN_ALG_EDDSA, &bed.signer) == KS_JOSE_OK);
	put_issuer(KS_RING_ISSUER_OWN, "own");
	put_issuer(7, "idp");
}

static void check_good(const struct ks_assertion *a)
{
	struct ks_scopes known = {{1}};

	CHECK(a->detail == KS_LOOKUP_NONE && a->kind <= KS_ASSERTION_FEDERATED);
	CHECK(ks_scopes_within(&a->scopes, &known) && a->role_count <= KS_ASSERTION_ROLES_MAX);
	CHECK(memchr(a->family, 0, sizeof(a->family)) != NULL);
	CHECK(a->kind != KS_ASSERTION_EXCHANGED || a->has_scopes);
	CHECK(a->kind == KS_ASSERTION_FEDERATED || a->role_count == 0);
	for (uint8_t i = 0; i < a->role_count; i++)
		CHECK(a->roles[i] == KS_ROLE_ADMINISTRATOR || a->roles[i] == KS_ROLE_MEMBER);
}

static void check_token(struct ks_str token, bool ours)
{
	struct ks_assertion a;

	ks_assert(&bed.ring, &bed.verifier, token, KS_JWT_AUDIENCE_ANY, NOW, &a);
	if (a.result == KS_ASSERTION_OK)
		check_good(&a);
	else
		CHECK(a.result == KS_ASSERTION_INVALID && a.detail != KS_LOOKUP_NONE);
	CHECK(ours || a.result != KS_ASSERTION_OK);
}

static void check_signed(const char *typ, struct ks_str payload)
{
	char token[KS_JWS_TOKEN_MAX];
	struct ks_buf b = KS_BUF(token);

	if (ks_jose_sign(bed.signer, ks_str_c(typ), payload, &b) == KS_JOSE_OK)
		check_token(ks_buf_str(&b), true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str rest;

	if (size == 0)
		return 0;
	set_up();
	rest = ks_str_of((const char *)data + 1, size - 1);
	switch (data[0] % 5) {
	case 0:
		check_token(rest, false);
		break;
	case 1:
		check_signed(KS_JWT_TYPE_ACCESS, rest);
		break;
	case 2:
		check_signed(KS_JWT_TYPE_SESSION, rest);
		break;
	case 3:
		CHECK(!ks_jwt_rules_ok(rest) || rest.n <= KS_RING_ISSUER_RULES_MAX);
		break;
	default:
		check_signed("JWT", rest);
	}
	return 0;
}
