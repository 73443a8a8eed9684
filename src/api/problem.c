/* SPDX-License-Identifier: Apache-2.0 */
#include "api/call.h"

static const struct ks_problem_info table[KS_PROBLEM_COUNT] = {
#define KS_PROBLEM(name, code, status, title) [KS_PROBLEM_##name] = {code, status, title},
#include "api/problem.def"
#undef KS_PROBLEM
};

/* What the engine's errors are outside; the rest is internal. */
static const enum ks_problem of_err[KS_ERR_COUNT] = {
	[KS_TOO_LARGE] = KS_PROBLEM_TOO_LARGE,
	[KS_MALFORMED] = KS_PROBLEM_INVALID,
	[KS_NOT_FOUND] = KS_PROBLEM_NOT_FOUND,
	[KS_CONFLICT] = KS_PROBLEM_CONFLICT,
	[KS_FULL] = KS_PROBLEM_OVERLOADED,
	[KS_FORBIDDEN] = KS_PROBLEM_NOT_GRANTABLE,
	[KS_IMMUTABLE] = KS_PROBLEM_IMMUTABLE,
	[KS_BUSY] = KS_PROBLEM_STORE_UNAVAILABLE,
	[KS_STORE] = KS_PROBLEM_STORE_UNAVAILABLE,
	[KS_DISK_FULL] = KS_PROBLEM_DISK_FULL,
	[KS_STOPPING] = KS_PROBLEM_STOPPING,
	[KS_OK] = KS_PROBLEM_INTERNAL,
	[KS_MEMORY] = KS_PROBLEM_INTERNAL,
	[KS_SYSTEM] = KS_PROBLEM_INTERNAL,
	[KS_CORRUPT] = KS_PROBLEM_INTERNAL,
	[KS_VERSION] = KS_PROBLEM_INTERNAL,
	[KS_CRYPTO] = KS_PROBLEM_INTERNAL,
	[KS_KEEPER] = KS_PROBLEM_KEEPER_UNAVAILABLE,
	[KS_KMS] = KS_PROBLEM_KMS_UNAVAILABLE,
};

const struct ks_problem_info *ks_problem_info(enum ks_problem problem)
{
	return &table[problem < KS_PROBLEM_COUNT ? problem : KS_PROBLEM_INTERNAL];
}

enum ks_problem ks_problem_by_code(const char *code)
{
	for (enum ks_problem i = 0; i < KS_PROBLEM_COUNT; i++) {
		if (ks_str_eq(ks_str_c(table[i].code), ks_str_c(code)))
			return i;
	}
	return KS_PROBLEM_INTERNAL;
}

enum ks_problem ks_problem_of_err(enum ks_err err)
{
	return err < KS_ERR_COUNT ? of_err[err] : KS_PROBLEM_INTERNAL;
}
