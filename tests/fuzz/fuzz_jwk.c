/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and sets of keys, public and shared. */
#include <stdlib.h>

#include "jose/jwk.h"
#include "jose/symmetric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

/* A key is for something, says who it is, and written and read again it is the same. */
static void check_key(const struct ks_jose_key *key)
{
	char text[8192];
	struct ks_buf out = KS_BUF(text);
	struct ks_jose_key *again = NULL;
	bool useful = false;

	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
		useful = useful || ks_jose_key_is_for(key, (enum ks_sign_alg)alg);
	CHECK(useful);
	CHECK(ks_jose_key_kid(key).n <= KS_JOSE_KID_MAX);
	ks_jose_key_write(key, &out);
	CHECK(ks_buf_ok(&out) && ks_jwk_parse(ks_buf_str(&out), &again) == KS_JOSE_OK);
	CHECK(ks_str_eq(ks_jose_key_thumbprint(key), ks_jose_key_thumbprint(again)));
	CHECK(ks_str_eq(ks_jose_key_kid(key), ks_jose_key_kid(again)));
	ks_jose_key_free(again);
}

static void check_set(struct ks_str json)
{
	struct ks_jwk_set *set = NULL;
	enum ks_jose_problem why;

	if (ks_jwk_set_parse(json, &set) != KS_JOSE_OK) {
		CHECK(!set);
		return;
	}
	CHECK(ks_jwk_set_count(set) + ks_jwk_set_passed_over(set, &why) <= KS_JWK_SET_KEYS_MAX);
	for (size_t i = 0; i < ks_jwk_set_count(set); i++) {
		const struct ks_jose_key *key = ks_jwk_set_at(set, i), *found;
		struct ks_jws jws = {.kid = ks_jose_key_kid(key)};

		check_key(key);
		while (!ks_jose_key_is_for(key, jws.alg))
			jws.alg++;
		/* One with a kid is found by it; one without may be one of several. */
		if (jws.kid.n > 0)
			CHECK(ks_jwk_set_find(set, &jws, &found) == KS_JOSE_OK && found == key);
		else
			CHECK(ks_jwk_set_find(set, &jws, &found) != KS_JOSE_KEY_UNKNOWN);
	}
	ks_jwk_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str json = ks_str_of((const char *)data, size);
	struct ks_jose_key *key = NULL;
	struct ks_secret secret = {0};

	if (ks_jwk_parse(json, &key) == KS_JOSE_OK)
		check_key(key);
	ks_jose_key_free(key);
	check_set(json);
	if (ks_jwk_symmetric_parse(json, &secret) == KS_JOSE_OK)
		CHECK(!key && secret.n > 0 && secret.n <= KS_JOSE_SECRET_MAX);
	ks_secret_free(&secret);
	return 0;
}
