/* SPDX-License-Identifier: Apache-2.0 */
/* What the catalogue holds after a good file, and the limits from both sides. Bad files: test_broken.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

#define RESERVED KS_STR("keystile:")

/* A text that grows. */
struct text {
	char *p;
	size_t n;
	size_t cap;
};

static void add(struct text *text, const char *fmt, ...) KS_PRINTF(2, 3);
static void add(struct text *text, const char *fmt, ...)
{
	va_list args;

	if (text->cap - text->n < 4096) {
		text->cap = text->cap * 2 + 8192;
		text->p = realloc(text->p, text->cap);
		assert_non_null(text->p);
	}
	va_start(args, fmt);
	int n = vsnprintf(&text->p[text->n], text->cap - text->n, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < text->cap - text->n);
	text->n += (size_t)n;
}

/* Parses and frees the text; the policy, or NULL with the problem filled. */
static struct ks_policy *parse(struct text *text, struct ks_policy_problem *problem)
{
	struct ks_policy *policy = NULL;
	enum ks_err err = ks_policy_parse(ks_str_of(text->p, text->n), RESERVED, &policy, problem);

	free(text->p);
	*text = (struct text){0};
	assert_true(err == KS_OK || err == KS_MALFORMED);
	assert_int_equal(err == KS_OK, policy != NULL);
	return policy;
}

static struct ks_policy *parse_good(const char *yaml)
{
	struct ks_policy_problem problem = {0};
	struct ks_policy *policy = NULL;

	if (ks_policy_parse(ks_str_c(yaml), RESERVED, &policy, &problem) != KS_OK)
		fail_msg("%u:%u: %s", problem.line, problem.column, problem.text);
	assert_int_equal(problem.line, 0);
	return policy;
}

static void assert_refused(struct text *text, const char *words)
{
	struct ks_policy_problem problem = {0};

	assert_null(parse(text, &problem));
	assert_true(problem.line > 0 && problem.column > 0);
	if (!strstr(problem.text, words))
		fail_msg("said: %s", problem.text);
}

static void assert_taken(struct text *text)
{
	struct ks_policy_problem problem = {0};
	struct ks_policy *policy = parse(text, &problem);

	if (!policy)
		fail_msg("%u:%u: %s", problem.line, problem.column, problem.text);
	ks_policy_free(&policy);
}

/* Limits: one more is refused, as many as that are taken. */

static void scopes_are_limited(void **state)
{
	struct text text = {0};

	(void)state;
	for (unsigned count = KS_SCOPES_MAX + 1; count >= KS_SCOPES_MAX; count--) {
		add(&text, "version: 1\nscopes:\n");
		for (unsigned i = 0; i < count; i++)
			add(&text, "  s%u: {}\n", i);
		if (count > KS_SCOPES_MAX)
			assert_refused(&text, "more than 512 scopes");
		else
			assert_taken(&text);
	}
}

static void roles_are_limited(void **state)
{
	struct text text = {0};

	(void)state;
	for (unsigned count = KS_POLICY_ROLES_MAX + 1; count >= KS_POLICY_ROLES_MAX; count--) {
		add(&text, "version: 1\nscopes: {s: {}}\nroles:\n");
		for (unsigned i = 0; i < count; i++)
			add(&text, "  r%u: {scopes: [s]}\n", i);
		if (count > KS_POLICY_ROLES_MAX)
			assert_refused(&text, "more than 256 roles");
		else
			assert_taken(&text);
	}
}

static void families_are_limited(void **state)
{
	struct text text = {0};

	(void)state;
	for (unsigned count = KS_POLICY_FAMILIES_MAX + 1; count >= KS_POLICY_FAMILIES_MAX; count--) {
		add(&text, "version: 1\nscopes: {s: {}}\nfamilies:\n");
		for (unsigned i = 0; i < count; i++)
			add(&text, "  f%u: {routes: [/a/b%u], kinds: [tenant], scopes: {GET: s}}\n", i, i);
		if (count > KS_POLICY_FAMILIES_MAX)
			assert_refused(&text, "more than 4096 families");
		else
			assert_taken(&text);
	}
}

static void routes_of_a_family_are_limited(void **state)
{
	struct text text = {0};

	(void)state;
	for (unsigned count = KS_POLICY_ROUTES_MAX + 1; count >= KS_POLICY_ROUTES_MAX; count--) {
		add(&text,
		    "version: 1\nscopes: {s: {}}\nfamilies:\n  f: {kinds: [tenant], scopes: {GET: s}, routes: [");
		for (unsigned i = 0; i < count; i++)
			add(&text, "/a/b%u,", i);
		add(&text, "]}\n");
		if (count > KS_POLICY_ROUTES_MAX)
			assert_refused(&text, "more than 256 routes in one family");
		else
			assert_taken(&text);
	}
}

static void methods_are_limited(void **state)
{
	struct text text = {0};

	(void)state;
	for (unsigned count = KS_POLICY_METHODS_MAX + 1; count >= KS_POLICY_METHODS_MAX; count--) {
		add(&text, "version: 1\nscopes: {s: {}}\nfamilies:\n  f:\n    routes: [/a]\n    kinds: [tenant]\n    "
			   "scopes:\n");
		add(&text, "      \"*\": s\n");
		for (unsigned i = 0; i < count; i++)
			add(&text, "      M%u: s\n", i);
		if (count > KS_POLICY_METHODS_MAX)
			assert_refused(&text, "more than 63 different methods in the file");
		else
			assert_taken(&text);
	}
}

static void the_file_is_limited(void **state)
{
	struct text text = {0};

	(void)state;
	add(&text, "version: 1\n");
	while (text.n <= KS_POLICY_TEXT_MAX)
		add(&text, "# a comment that only takes room\n");
	assert_refused(&text, "the file is larger than 4 MiB");
	add(&text, "version: 1\nroles: {a: {scopes: [\n");
	while (text.n <= KS_POLICY_TEXT_MAX - 3000)
		add(&text, "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
			   "a,a,a,a,a,\n");
	add(&text, "]}}\n");
	assert_refused(&text, "more than 524288 values in the file");
}

/* Routes of one length, each with another place literal: a path may match any subset of them, so the states are as many
 * as subsets. */
static void combinations_are_limited(void **state)
{
	struct text text = {0};

	(void)state;
	for (unsigned count = 24; count > 0; count = count > 8 ? 8 : 0) {
		add(&text, "version: 1\nscopes: {s: {}}\nfamilies:\n");
		for (unsigned i = 0; i < count; i++) {
			add(&text, "  f%u:\n    kinds: [tenant]\n    scopes: {M%u: s}\n    routes: [\"", i, i);
			for (unsigned k = 0; k < count; k++)
				add(&text, k == i ? "/x" : "/{p}");
			add(&text, "\"]\n");
		}
		if (count > 8)
			assert_refused(&text, "the routes combine into too many cases");
		else
			assert_taken(&text);
	}
}

static void nothing_is_touched_on_failure(void **state)
{
	struct ks_policy *policy = (struct ks_policy *)(uintptr_t)8;
	struct ks_policy_problem problem = {.line = 77};

	(void)state;
	assert_int_equal(ks_policy_parse(KS_STR("version: 2\n"), RESERVED, &policy, &problem), KS_MALFORMED);
	assert_ptr_equal(policy, (void *)(uintptr_t)8);
	assert_int_equal(problem.line, 1);
	problem.line = 77;
	assert_int_equal(ks_policy_parse(KS_STR("version: 1\n"), RESERVED, &policy, &problem), KS_OK);
	assert_int_equal(problem.line, 77);
	ks_policy_free(&policy);
	assert_null(policy);
	ks_policy_free(&policy);
}

/* The example of the contract, letter by letter; the comma after "Create" is YAML's end of the text, and taken as the
 * author meant it. */
static const char contract_example[] =
	"version: 1\n"
	"scopes:\n"
	"  contacts:read:            {about: Read contacts, default: true}\n"
	"  contacts:write:           {about: Create, change and delete contacts}\n"
	"  billing:partner:allocate: {about: Allocate credit to tenants, opt_in: true, kinds: [partner]}\n"
	"  voice_sessions:read:      {}\n"
	"roles:\n"
	"  call_operator: {about: Watch calls, scopes: [voice_sessions:read]}\n"
	"families:\n"
	"  contacts:\n"
	"    routes: [\"/api/v1/contacts\", \"/api/v1/contacts/**\"]\n"
	"    kinds: [session, tenant, partner]\n"
	"    scopes: {GET: contacts:read, HEAD: contacts:read, \"*\": contacts:write}\n"
	"    tenant_header: required_for_partner   # optional (default), required_for_partner, required, refused\n"
	"    environments: [live, sandbox]         # default: both\n"
	"    inherited: false                      # true: reads (GET, HEAD) walk up\n";

static void the_catalogue_holds_what_the_file_says(void **state)
{
	struct ks_policy *policy = parse_good(contract_example);

	(void)state;
	assert_int_equal(policy->scope_count, 4);
	const struct ks_policy_scope *read = ks_policy_scope(policy, KS_STR("contacts:read"));
	assert_string_equal(read->about, "Read contacts");
	assert_true(read->is_default && !read->opt_in && read->kinds == KS_KINDS_ANY);
	assert_string_equal(policy->scopes[1].about, "Create, change and delete contacts");
	assert_false(policy->scopes[1].is_default);
	const struct ks_policy_scope *allocate = ks_policy_scope(policy, KS_STR("billing:partner:allocate"));
	assert_true(allocate->opt_in && !allocate->is_default);
	assert_int_equal(allocate->kinds, KS_KIND_BIT(KS_KIND_PARTNER));
	assert_null(ks_policy_scope(policy, KS_STR("contacts")));

	assert_int_equal(policy->role_count, 1);
	const struct ks_policy_role *role = ks_policy_role(policy, KS_STR("call_operator"));
	assert_string_equal(role->about, "Watch calls");
	assert_int_equal(role->scope_count, 1);
	assert_int_equal(role->scopes[0], 3);
	assert_null(ks_policy_role(policy, KS_STR("")));

	assert_int_equal(policy->family_count, 1);
	const struct ks_policy_family *family = ks_policy_family(policy, KS_STR("contacts"));
	assert_int_equal(family->line, 10);
	assert_int_equal(family->route_count, 2);
	assert_string_equal(family->routes[0], "/api/v1/contacts");
	assert_string_equal(family->routes[1], "/api/v1/contacts/**");
	assert_int_equal(family->kinds, 7);
	assert_int_equal(family->environments, 3);
	assert_int_equal(family->tenant_header, KS_TENANT_HEADER_REQUIRED_FOR_PARTNER);
	assert_false(family->inherited);
	assert_int_equal(family->method_count, 3);
	assert_string_equal(family->methods[2].name, "*");
	assert_int_equal(family->methods[2].scope_count, 1);
	assert_int_equal(family->methods[2].scopes[0], 1);
	assert_null(ks_policy_family(policy, KS_STR("contact")));
	ks_policy_free(&policy);
}

static void what_is_left_out_has_its_default(void **state)
{
	struct ks_policy *policy = parse_good("version: 1\n"
					      "families:\n"
					      "  f:\n"
					      "    routes: [/]\n"
					      "    kinds: [runtime]\n"
					      "    scopes: {GET: [b, a]}\n"
					      "scopes: {a: {}, b: {}}\n");
	const struct ks_policy_family *family = &policy->families[0];

	(void)state;
	assert_string_equal(family->about, "");
	assert_int_equal(family->environments, 3);
	assert_int_equal(family->tenant_header, KS_TENANT_HEADER_OPTIONAL);
	assert_false(family->inherited);
	/* In the file's order. */
	assert_int_equal(family->methods[0].scope_count, 2);
	assert_int_equal(family->methods[0].scopes[0], 1);
	assert_int_equal(family->methods[0].scopes[1], 0);
	assert_int_equal(policy->scopes[0].kinds, KS_KINDS_ANY);
	ks_policy_free(&policy);
}

/* Forms of the same that YAML allows. */
static void forms_that_are_taken(void **state)
{
	static const char *const good[] = {
		"version: 1\n",
		"\xef\xbb\xbfversion: 1\r\nscopes: {a: {}}\r\n",
		"version: 1\r\nscopes:\r\n  a: {about: x}\r\n",
		"---\nversion: 1\n...\n",
		"# nothing but a version\nversion: 1",
		"{\"version\": 1, \"scopes\": {\"a\": {\"about\": \"x\", \"default\": true}}, \"roles\": {}, "
		"\"families\": {}}",
		"version: 1\nscopes:\n  a:\n    about: >\n      two lines\n      folded\n",
		"version: 1\nscopes: {a: {about: \"\"}}\n",
		"version: 1\nscopes: {a: {opt_in: true, default: false}}\n",
		"version: 1\nscopes: {a: {about: Start, stop and pause it, and more of it, default: true}}\n",
		"version: 1\nscopes: {a: {}}\nfamilies: {f: {routes: [\"/caf\xc3\xa9/my file/{x_1}/**\"], kinds: "
		"[tenant], "
		"scopes: {get: a, GET: a, M-SEARCH: a}}}\n",
		"version: 1\nscopes: {a: {}}\nfamilies: {f: {routes: [/**, /, /..., /a/], kinds: [tenant], scopes: "
		"{GET: a}}}\n",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++) {
		struct ks_policy *policy = parse_good(good[i]);

		ks_policy_free(&policy);
	}
}

static void sixty_four_segments_are_taken(void **state)
{
	struct text text = {0};

	(void)state;
	add(&text,
	    "version: 1\nscopes: {a: {}}\nfamilies:\n  f:\n    kinds: [tenant]\n    scopes: {GET: a}\n    routes: [\"");
	for (unsigned i = 0; i < KS_PATH_SEGMENTS_MAX; i++)
		add(&text, "/a");
	add(&text, "\", \"");
	for (unsigned i = 0; i < KS_PATH_SEGMENTS_MAX; i++)
		add(&text, "/{b}");
	add(&text, "/**\", \"/%02047d\"]\n", 0);
	assert_taken(&text);
}

/* What the service itself reads, with the words it is read with. */
static struct ks_policy *parse_file(const char *name, struct ks_str reserved, struct ks_policy_problem *problem)
{
	const char *source = getenv("KEYSTILE_SOURCE");
	static char bytes[64 << 10];
	struct ks_policy *policy = NULL;
	char path[2048];

	snprintf(path, sizeof(path), "%s/%s", source ? source : ".", name);
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	return ks_policy_parse(ks_str_of(bytes, n), reserved, &policy, problem) == KS_OK ? policy : NULL;
}

static void the_files_of_the_project_are_good(void **state)
{
	struct ks_policy_problem problem = {0};
	struct ks_policy *demo = parse_file("policies/demo.yaml", RESERVED, &problem);
	struct ks_policy *self = parse_file("src/api/self.yaml", KS_STR(""), &problem);

	(void)state;
	if (!demo || !self)
		fail_msg("%u:%u: %s", problem.line, problem.column, problem.text);
	assert_true(ks_policy_scope(demo, KS_STR("billing:partner:allocate"))->opt_in);
	assert_true(ks_policy_scope(demo, KS_STR("call_traces:admin_read"))->opt_in);
	assert_true(ks_policy_family(demo, KS_STR("caller_trust"))->inherited);
	assert_non_null(ks_policy_role(self, KS_STR("account_reader")));
	assert_int_equal(ks_policy_scope(self, KS_STR("keystile:secrets:reveal"))->kinds, KS_KIND_BIT(KS_KIND_RUNTIME));
	for (size_t i = 0; i < self->scope_count; i++)
		assert_true(ks_str_starts(ks_str_c(self->scopes[i].name), RESERVED));
	/* Only the service may name its own scopes. */
	assert_null(parse_file("src/api/self.yaml", RESERVED, &problem));
	assert_non_null(strstr(problem.text, "is reserved"));
	ks_policy_free(&demo);
	ks_policy_free(&self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scopes_are_limited),
		cmocka_unit_test(roles_are_limited),
		cmocka_unit_test(families_are_limited),
		cmocka_unit_test(routes_of_a_family_are_limited),
		cmocka_unit_test(methods_are_limited),
		cmocka_unit_test(the_file_is_limited),
		cmocka_unit_test(combinations_are_limited),
		cmocka_unit_test(nothing_is_touched_on_failure),
		cmocka_unit_test(the_catalogue_holds_what_the_file_says),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(forms_that_are_taken),
		cmocka_unit_test(sixty_four_segments_are_taken),
		cmocka_unit_test(the_files_of_the_project_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
