/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions files: text to sentences, and their targets under a policy. What is taken is within its limits, what is
 * not says where. */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/analysis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static const char policy_text[] =
	"version: 1\n"
	"scopes: {r: {about: x}, w: {about: x}}\n"
	"families:\n"
	"  books: {routes: [/books, '/books/**'], kinds: [tenant], scopes: {GET: r, HEAD: r, '*': w}}\n"
	"  loans: {routes: ['/books/{id}/loans'], kinds: [tenant, partner], scopes: {GET: r, POST: w}}\n";

static const struct ks_policy *policy(void)
{
	static struct ks_policy *parsed;
	struct ks_policy_problem problem;

	if (!parsed)
		CHECK(ks_policy_parse(KS_STR(policy_text), KS_STR(""), &parsed, &problem) == KS_OK);
	return parsed;
}

static void check_problem(const struct ks_policy_problem *problem)
{
	struct ks_str words = ks_str_c(problem->text);

	CHECK(problem->line > 0 && problem->column > 0 && words.n > 0);
}

static void check_assertion(const struct ks_expectation *assertion)
{
	static struct ks_scope_table scopes;
	struct ks_policy_problem problem = {0};
	struct ks_goal goal;
	enum ks_err err;

	CHECK(assertion->target_count > 0 && assertion->target_count <= KS_EXPECTATION_TARGETS_MAX);
	CHECK(assertion->condition_count <= KS_EXPECTATION_CONDITIONS_MAX);
	err = ks_goal_take(policy(), assertion, &scopes, &goal, &problem);
	CHECK(err == KS_OK || err == KS_MALFORMED || err == KS_FULL);
	if (err == KS_MALFORMED)
		check_problem(&problem);
	if (err == KS_OK)
		ks_goal_free(&goal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_policy_problem problem = {0};
	struct ks_expectations *assertions = NULL;
	enum ks_err err = ks_expectations_parse(ks_str_of((const char *)data, size), &assertions, &problem);

	CHECK(err == KS_OK || err == KS_MALFORMED);
	if (err == KS_MALFORMED) {
		CHECK(!assertions);
		check_problem(&problem);
		return 0;
	}
	for (size_t i = 0; i < assertions->count; i++)
		check_assertion(&assertions->items[i]);
	ks_expectations_free(&assertions);
	return 0;
}
