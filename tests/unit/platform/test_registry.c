/* SPDX-License-Identifier: Apache-2.0 */
/* All platforms by name: what is refused, whose file counts, who holds the registry. */
#include "fixture.h"

#define FILE_OF(name, label) "version: 1\nname: " name "\nlabel: " label "\nabout: An account.\nfields:\n  key: {label: Key, type: secret}\n"

static void one_bad_file_refuses_all(void **state)
{
	const struct ks_platform_source sources[] = {
		{"/a/good.yaml", KS_STR(FILE_OF("good", "Good")), false},
		{"/a/bad.yaml", KS_STR("version: 1\nname: bad\n"), false},
		{"/a/worse.yaml", KS_STR("[]"), false},
	};
	struct ks_platform_registry *registry = NULL;
	struct ks_platform_problem problem = {0};

	(void)state;
	assert_int_equal(ks_platform_registry_new(sources, 3, &registry, &problem), KS_MALFORMED);
	assert_null(registry);
	assert_string_equal(problem.file, "/a/bad.yaml");
	assert_int_equal(problem.line, 1);
	assert_non_null(strstr(problem.text, "label"));
}

static void a_file_is_called_as_its_platform(void **state)
{
	const struct ks_platform_source source = {"/etc/x/other.yaml", KS_STR(FILE_OF("acme", "Acme")), true};
	struct ks_platform_registry *registry = NULL;
	struct ks_platform_problem problem = {0};

	(void)state;
	assert_int_equal(ks_platform_registry_new(&source, 1, &registry, &problem), KS_MALFORMED);
	assert_non_null(strstr(problem.text, "the file must be called acme.yaml"));
}

static void ones_own_takes_the_place_of_ours(void **state)
{
	const struct ks_platform_source sources[] = {
		{"/a/zoom.yaml", KS_STR(FILE_OF("zoom", "Ours")), false},
		{"/a/acme.yaml", KS_STR(FILE_OF("acme", "Ours")), false},
		{"/b/acme.yaml", KS_STR(FILE_OF("acme", "Own")), true},
		{"/b/beta.yaml", KS_STR(FILE_OF("beta", "Own")), true},
	};
	struct ks_platform_registry *registry, *other;
	struct ks_platform_problem problem = {0};

	(void)state;
	assert_int_equal(ks_platform_registry_new(sources, 4, &registry, &problem), KS_OK);
	assert_int_equal(ks_platform_count(registry), 3);
	assert_string_equal(ks_platform_at(registry, 0)->name, "acme");
	assert_string_equal(ks_platform_at(registry, 1)->name, "beta");
	assert_string_equal(ks_platform_at(registry, 2)->name, "zoom");
	assert_string_equal(ks_platform_find(registry, KS_STR("acme"))->label, "Own");
	assert_true(ks_platform_find(registry, KS_STR("acme"))->own);
	assert_false(ks_platform_find(registry, KS_STR("zoom"))->own);
	assert_null(ks_platform_find(registry, KS_STR("acm")));
	assert_null(ks_platform_find(registry, KS_STR("")));
	assert_null(ks_platform_find(NULL, KS_STR("acme")));

	other = ks_platform_registry_hold(registry);
	ks_platform_registry_release(&registry);
	assert_null(registry);
	assert_string_equal(ks_platform_find(other, KS_STR("beta"))->label, "Own");
	ks_platform_registry_release(&other);
	ks_platform_registry_release(&other);
}

static void there_may_be_none(void **state)
{
	struct ks_platform_registry *registry;
	struct ks_platform_problem problem = {0};

	(void)state;
	assert_int_equal(ks_platform_registry_new(NULL, 0, &registry, &problem), KS_OK);
	assert_int_equal(ks_platform_count(registry), 0);
	assert_null(ks_platform_find(registry, KS_STR("acme")));
	ks_platform_registry_release(&registry);
}

static void their_number_is_limited(void **state)
{
	static char texts[KS_PLATFORMS_MAX + 1][160], names[KS_PLATFORMS_MAX + 1][32];
	static struct ks_platform_source sources[KS_PLATFORMS_MAX + 1];
	struct ks_platform_registry *registry = NULL;
	struct ks_platform_problem problem = {0};

	(void)state;
	for (size_t i = 0; i <= KS_PLATFORMS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu.yaml", i);
		snprintf(texts[i], sizeof(texts[i]), "version: 1\nname: p%zu\nlabel: P\nabout: An account.\nfields: {k: {label: K, type: text}}\n", i);
		sources[i] = (struct ks_platform_source){names[i], ks_str_c(texts[i]), false};
	}
	assert_int_equal(ks_platform_registry_new(sources, KS_PLATFORMS_MAX, &registry, &problem), KS_OK);
	assert_int_equal(ks_platform_count(registry), KS_PLATFORMS_MAX);
	for (size_t i = 0; i < KS_PLATFORMS_MAX; i += 37) {
		char name[32];

		snprintf(name, sizeof(name), "p%zu", i);
		assert_string_equal(ks_platform_find(registry, ks_str_c(name))->name, name);
	}
	ks_platform_registry_release(&registry);
	assert_int_equal(ks_platform_registry_new(sources, KS_PLATFORMS_MAX + 1, &registry, &problem), KS_FULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_bad_file_refuses_all),
		cmocka_unit_test(a_file_is_called_as_its_platform),
		cmocka_unit_test(ones_own_takes_the_place_of_ours),
		cmocka_unit_test(there_may_be_none),
		cmocka_unit_test(their_number_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
