/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no handle: tokens, and checks of paths and policies. */
#include <stdlib.h>

#include "base/secret.h"
#include "crypto/random.h"
#include "lib/lib_priv.h"

_Static_assert(KEYSTILE_TOKEN_SIZE == KS_TOKEN_TEXT_SIZE, "the public size is the module's");
_Static_assert(KEYSTILE_DIGEST_SIZE == KS_SHA256_SIZE, "the public size is the module's");
_Static_assert((int)KEYSTILE_FORM_NONE == (int)KS_TOKEN_NONE, "the public forms are the module's");
_Static_assert((int)KEYSTILE_FORM_OWN == (int)KS_TOKEN_OWN, "the public forms are the module's");
_Static_assert((int)KEYSTILE_FORM_JWT == (int)KS_TOKEN_JWT, "the public forms are the module's");
_Static_assert((int)KEYSTILE_FORM_FOREIGN == (int)KS_TOKEN_FOREIGN, "the public forms are the module's");
_Static_assert(KEYSTILE_HEADERS_SIZE >= KS_DECISION_VISIBLE_TEXT_MAX + KS_DECISION_SCOPES_TEXT_MAX
						+ KS_DECISION_INHERITED_TEXT_MAX + 1024,
	       "all identity headers fit");

KS_PUBLIC int keystile_token_make(struct keystile_text prefix, bool checksum, char ret_token[KEYSTILE_TOKEN_SIZE])
{
	uint8_t random[KS_TOKEN_RANDOM_BYTES];
	enum ks_err err;

	if (!ret_token)
		return KEYSTILE_BAD_ARGUMENT;
	if (!ks_token_prefix_ok(str_of(prefix)))
		return KEYSTILE_MALFORMED;
	err = ks_random(random, sizeof(random));
	if (err == KS_OK)
		err = ks_token_make(str_of(prefix), random, checksum, ret_token);
	ks_wipe(random, sizeof(random));
	return ks_lib_status(err);
}

KS_PUBLIC enum keystile_form keystile_token_form(struct keystile_text token)
{
	return (enum keystile_form)ks_token_form(str_of(token));
}

KS_PUBLIC int keystile_token_digest(struct keystile_text token, unsigned char ret_digest[KEYSTILE_DIGEST_SIZE])
{
	struct ks_digest digest;
	enum ks_err err;

	if (!ret_digest || (!token.p && token.n > 0))
		return KEYSTILE_BAD_ARGUMENT;
	err = ks_sha256(str_of(token), &digest);
	if (err != KS_OK)
		return ks_lib_status(err);
	memcpy(ret_digest, digest.bytes, sizeof(digest.bytes));
	return KEYSTILE_OK;
}

KS_PUBLIC void keystile_wipe(void *p, size_t n)
{
	if (p)
		ks_wipe(p, n);
}

KS_PUBLIC const char *keystile_path_problem(struct keystile_text path)
{
	struct ks_path scratch;
	enum ks_path_problem problem = ks_path_read(str_of(path), &scratch);

	return problem == KS_PATH_OK ? NULL : ks_path_problem_text(problem);
}

/* Compiles too: a policy can be well-formed and still have too many scopes or routes for its table. */
static enum ks_err check_policy(struct ks_str yaml, struct ks_policy_problem *problem)
{
	static const uint64_t any_key[2] = {1, 2};
	struct ks_policy_table *table = NULL;
	KS_AUTO(ks_policy_free) struct ks_policy *policy = NULL;
	struct ks_scope_table *scopes;
	enum ks_err err;

	KS_TRY(ks_policy_parse(yaml, KS_STR("keystile:"), &policy, problem));
	scopes = calloc(1, sizeof(*scopes));
	if (!scopes)
		return KS_MEMORY;
	err = ks_policy_compile(policy, scopes, any_key, &table);
	free(table);
	free(scopes);
	return err;
}

KS_PUBLIC int keystile_policy_check(struct keystile_text yaml, struct keystile_policy_problem *ret_problem)
{
	struct ks_policy_problem problem = {0};
	enum ks_err err;

	_Static_assert(sizeof(ret_problem->text) == sizeof(problem.text), "a problem's text fits");
	if (!yaml.p && yaml.n > 0)
		return KEYSTILE_BAD_ARGUMENT;
	if (yaml.n > KS_POLICY_TEXT_MAX)
		return KEYSTILE_TOO_LARGE;
	err = check_policy(str_of(yaml), &problem);
	if (err == KS_MALFORMED && ret_problem) {
		ret_problem->line = problem.line;
		ret_problem->column = problem.column;
		memcpy(ret_problem->text, problem.text, sizeof(ret_problem->text));
	}
	return ks_lib_status(err);
}
