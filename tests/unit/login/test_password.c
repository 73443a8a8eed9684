/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "login/password.h"

static const char *fault_of(struct ks_str password)
{
	return ks_password_fault(password, KS_STR("ada@example.com"));
}

static void weak_ones_are_refused(void **state)
{
	static const struct {
		struct ks_str password;
		const char *about;
	} cases[] = {
		{{"", 0}, "12 bytes"},
		{{"elevenbytes", 11}, "12 bytes"},
		{{"ada@example.com", 15}, "e-mail"},
		{{"ADA@EXAMPLE.COM", 15}, "e-mail"},
		{{"password1234", 12}, "first"},
		{{"PassWord1234", 12}, "first"},
		{{"qwertyuiop123", 13}, "first"},
		{{"aaaaaaaaaaaaaaaa", 16}, "first"},
		{{"abcabcabcabcabc", 15}, "first"},
		{{"twelve bytes\xff", 13}, "UTF-8"},
		{{"twelve\0bytes!", 13}, "NUL"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		const char *fault = fault_of(cases[i].password);

		assert_non_null(fault);
		assert_non_null(strstr(fault, cases[i].about));
	}
}

static void the_longest_is_taken(void **state)
{
	static char text[KS_PASSWORD_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	assert_null(fault_of(ks_str_of(text, KS_PASSWORD_MAX)));
	assert_non_null(fault_of(ks_str_of(text, KS_PASSWORD_MAX + 1)));
}

static void others_are_taken(void **state)
{
	(void)state;
	assert_null(fault_of(KS_STR("xkcd staple fence")));
	assert_null(fault_of(KS_STR("all lower case with blanks")));
	assert_null(fault_of(KS_STR("p\xc3\xa4ssw\xc3\xb6rt lang")));
	assert_null(fault_of(KS_STR("my password1234")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weak_ones_are_refused),
		cmocka_unit_test(the_longest_is_taken),
		cmocka_unit_test(others_are_taken),
	};

	return cmocka_run_group_tests_name("password", tests, NULL, NULL);
}
