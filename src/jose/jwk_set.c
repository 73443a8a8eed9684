/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/json.h"
#include "jose/jwk_priv.h"

struct ks_jwk_set {
	size_t n, passed_over;
	enum ks_jose_problem why;
	struct ks_jose_key *keys[KS_JWK_SET_KEYS_MAX];
};

void ks_jwk_set_free(struct ks_jwk_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++)
		ks_jose_key_free(set->keys[i]);
	free(set);
}

size_t ks_jwk_set_count(const struct ks_jwk_set *set)
{
	return set->n;
}

const struct ks_jose_key *ks_jwk_set_at(const struct ks_jwk_set *set, size_t index)
{
	return index < set->n ? set->keys[index] : NULL;
}

size_t ks_jwk_set_passed_over(const struct ks_jwk_set *set, enum ks_jose_problem *ret_why)
{
	*ret_why = set->why;
	return set->passed_over;
}

/* True where an entry refuses the whole set. */
static bool is_fatal(enum ks_jose_problem problem)
{
	return problem == KS_JOSE_KEY_PRIVATE || problem == KS_JOSE_KEY_JSON || problem == KS_JOSE_MEMORY ||
	       problem == KS_JOSE_LIBRARY;
}

static void pass_over(struct ks_jwk_set *set, enum ks_jose_problem why)
{
	if (set->passed_over++ == 0)
		set->why = why;
}

/* Takes over `key`. */
static enum ks_jose_problem add_key(struct ks_jwk_set *set, struct ks_jose_key *key)
{
	enum ks_jose_problem problem = KS_JOSE_OK;

	for (size_t i = 0; i < set->n && problem == KS_JOSE_OK; i++) {
		const struct ks_jose_key *other = set->keys[i];

		if (!(other->algs & key->algs) || !ks_str_eq(ks_jose_key_kid(other), ks_jose_key_kid(key)))
			continue;
		if (ks_str_eq(ks_jose_key_thumbprint(other), ks_jose_key_thumbprint(key))) {
			pass_over(set, KS_JOSE_KEY_TWICE);
			ks_jose_key_free(key);
			return KS_JOSE_OK;
		}
		/* Two without a kid are no contradiction: a token that could mean either is refused as ambiguous. */
		if (key->kid_n > 0)
			problem = KS_JOSE_KEY_TWICE;
	}
	if (problem)
		ks_jose_key_free(key);
	else
		set->keys[set->n++] = key;
	return problem;
}

static enum ks_jose_problem read_keys(struct ks_str list, struct ks_jwk_set *set)
{
	struct ks_json_read r = ks_json_read_of(list);
	bool first = true;

	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']')) {
		struct ks_str value = ks_json_read_raw(&r);
		struct ks_jose_key *key;
		enum ks_jose_problem problem;

		if (set->n + set->passed_over == KS_JWK_SET_KEYS_MAX)
			return KS_JOSE_KEY_COUNT;
		problem = value.n > KS_JWK_MAX ? KS_JOSE_KEY_TOO_LARGE : ks_jwk_read(value, &key);
		if (problem == KS_JOSE_OK)
			problem = add_key(set, key);
		else if (!is_fatal(problem)) {
			pass_over(set, problem);
			problem = KS_JOSE_OK;
		}
		if (problem)
			return problem;
	}
	return ks_json_read_done(&r) ? KS_JOSE_OK : KS_JOSE_KEY_MEMBER;
}

enum ks_jose_problem ks_jwk_set_parse(struct ks_str json, struct ks_jwk_set **ret_set)
{
	struct ks_jwk_set *set;
	struct ks_str list;
	enum ks_jose_problem problem;

	if (json.n > KS_JWK_SET_MAX)
		return KS_JOSE_KEY_TOO_LARGE;
	if (!ks_json_check(json) || ks_json_kind(json) != '{')
		return KS_JOSE_KEY_JSON;
	if (!ks_json_member(json, KS_STR("keys"), &list) || ks_json_kind(list) != '[')
		return KS_JOSE_KEY_MEMBER;
	set = calloc(1, sizeof(*set));
	if (!set)
		return KS_JOSE_MEMORY;
	problem = read_keys(list, set);
	if (problem)
		ks_jwk_set_free(set);
	else
		*ret_set = set;
	return problem;
}

enum ks_jose_problem ks_jwk_set_find(const struct ks_jwk_set *set, const struct ks_jws *jws,
				     const struct ks_jose_key **ret_key)
{
	const struct ks_jose_key *found = NULL;

	for (size_t i = 0; i < set->n; i++) {
		const struct ks_jose_key *key = set->keys[i];

		if (!ks_jose_key_is_for(key, jws->alg))
			continue;
		if (jws->kid.n > 0 && !ks_str_eq(jws->kid, ks_jose_key_kid(key)))
			continue;
		if (found)
			return KS_JOSE_KEY_AMBIGUOUS;
		found = key;
	}
	if (!found)
		return KS_JOSE_KEY_UNKNOWN;
	*ret_key = found;
	return KS_JOSE_OK;
}
