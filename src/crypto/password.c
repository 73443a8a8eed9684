/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/password.h"

#include <sodium.h>

#include "base/buf.h"

_Static_assert(crypto_pwhash_STRBYTES <= KS_PASSWORD_HASH_SIZE, "a hash fits");

static const struct {
	const char *text;
	unsigned long long ops;
	size_t bytes;
	const char *nobody; /* of no password that anybody knows */
} costs[] = {
	[KS_PASSWORD_COST_INTERACTIVE] = {
		"interactive", crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE,
		"$argon2id$v=19$m=65536,t=2,p=1$bm9ib2R5J3Mgc2FsdCAuLg$kPp9yYw2bRjRzE7m0o8Lq1Yt3bQe5uXn6dJv4hZc2sA"},
	[KS_PASSWORD_COST_MODERATE] = {
		"moderate", crypto_pwhash_OPSLIMIT_MODERATE, crypto_pwhash_MEMLIMIT_MODERATE,
		"$argon2id$v=19$m=262144,t=3,p=1$bm9ib2R5J3Mgc2FsdCAuLg$kPp9yYw2bRjRzE7m0o8Lq1Yt3bQe5uXn6dJv4hZc2sA"},
};

bool ks_password_cost_parse(struct ks_str text, enum ks_password_cost *ret_cost)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(costs); i++) {
		if (ks_str_eq(text, ks_str_c(costs[i].text))) {
			*ret_cost = (enum ks_password_cost)i;
			return true;
		}
	}
	return false;
}

enum ks_err ks_password_hash(struct ks_str password, enum ks_password_cost cost, char ret_hash[KS_PASSWORD_HASH_SIZE])
{
	if (sodium_init() < 0)
		return KS_CRYPTO;
	if (crypto_pwhash_str_alg(ret_hash, password.p, password.n, costs[cost].ops, costs[cost].bytes,
				  crypto_pwhash_ALG_ARGON2ID13) != 0)
		return KS_MEMORY;
	return KS_OK;
}

enum ks_err ks_password_verify(struct ks_str hash, struct ks_str password, enum ks_password_cost cost)
{
	char text[KS_PASSWORD_HASH_SIZE];
	struct ks_buf b = KS_BUF(text);
	bool known = !ks_str_empty(hash);
	int wrong;

	if (sodium_init() < 0)
		return KS_CRYPTO;
	ks_buf_put(&b, known ? hash : ks_str_c(costs[cost].nobody));
	wrong = crypto_pwhash_str_verify(ks_buf_z(&b), password.p, password.n);
	return known && wrong == 0 ? KS_OK : KS_FORBIDDEN;
}

bool ks_password_nobody_is_a_hash(enum ks_password_cost cost)
{
	char text[KS_PASSWORD_HASH_SIZE] = "";
	struct ks_buf b = KS_BUF(text);

	ks_buf_put_c(&b, costs[cost].nobody);
	return sodium_init() >= 0
	       && crypto_pwhash_str_needs_rehash(ks_buf_z(&b), costs[cost].ops, costs[cost].bytes) == 0;
}

_Static_assert(crypto_pwhash_SALTBYTES == KS_PASSWORD_SALT_SIZE, "a salt fits");

enum ks_err ks_password_key(struct ks_str passphrase, const uint8_t salt[KS_PASSWORD_SALT_SIZE], uint8_t *ret_key,
			    size_t n)
{
	if (sodium_init() < 0)
		return KS_CRYPTO;
	return crypto_pwhash(ret_key, n, passphrase.p, passphrase.n, salt, crypto_pwhash_OPSLIMIT_MODERATE,
			     crypto_pwhash_MEMLIMIT_MODERATE, crypto_pwhash_ALG_ARGON2ID13) == 0
		       ? KS_OK
		       : KS_MEMORY;
}
