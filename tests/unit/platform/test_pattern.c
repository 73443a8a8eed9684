/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns: what is refused, what they match, and that they match what a matcher that tries everything matches. */
#include "fixture.h"

#include "platform/platform_priv.h"

static const char *problem_of(const char *text)
{
	struct ks_yaml_arena arena = {0};
	struct platform_pattern pattern;
	bool memory = false;
	const char *problem = ks_platform_pattern_compile(ks_str_c(text), &arena, &pattern, &memory);

	ks_yaml_arena_free(&arena);
	assert_false(memory);
	return problem;
}

static bool matches(const char *text, struct ks_str value)
{
	struct ks_yaml_arena arena = {0};
	struct platform_pattern pattern;
	bool memory = false, yes;

	assert_null(ks_platform_pattern_compile(ks_str_c(text), &arena, &pattern, &memory));
	yes = ks_platform_pattern_match(&pattern, value);
	ks_yaml_arena_free(&arena);
	return yes;
}

static void what_is_no_pattern_is_refused(void **state)
{
	static const struct {
		const char *pattern, *words;
	} cases[] = {
		{"", "nothing"}, {"a|", "nothing"}, {"|a", "nothing"}, {"a||b", "nothing"}, {"()", "nothing"},
		{"(a", "without )"}, {"a)", "without ("}, {"[a", "without ]"}, {"[]", "empty class"}, {"[^]", "empty class"},
		{"[z-a]", "backwards"}, {"*a", "repeats nothing"}, {"+", "repeats nothing"}, {"a**", "repeated already"},
		{"a{", "numbers"}, {"a{x}", "numbers"}, {"a{1", "numbers"}, {"a{1,x}", "numbers"}, {"a{2,1}", "at least"},
		{"a{0}", "never"}, {"a{513}", "512"}, {"a{99999999999}", "512"}, {"^a", "whole value"}, {"a$", "whole value"},
		{"a\\", "ends in a backslash"}, {"\\d", "letter or digit"}, {"[\\w]", "letter or digit"}, {"\xc3\xa4", "ASCII"},
		{"((((((((a))))))))", "too deep"}, {"(a{400}){400}", "too large"}, {"(((a{9}){9}){9}){9}", "too large"},
		{"a{,3}", "numbers"}, {"{3}", "repeats nothing"}, {"[a-", "without ]"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		const char *problem = problem_of(cases[i].pattern);

		if (!problem || !strstr(problem, cases[i].words))
			fail_msg("%s: %s", cases[i].pattern, problem ? problem : "taken");
	}
}

static void patterns_have_bounds(void **state)
{
	char text[PLATFORM_PATTERN_MAX + 2];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[PLATFORM_PATTERN_MAX] = '\0';
	assert_null(problem_of(text));
	text[PLATFORM_PATTERN_MAX] = 'a';
	text[PLATFORM_PATTERN_MAX + 1] = '\0';
	assert_non_null(problem_of(text));
	assert_null(problem_of("(a{500}){2}"));
	assert_null(problem_of("((((((a))))))"));
}

static void patterns_match_what_they_say(void **state)
{
	static const struct {
		const char *pattern, *value;
		bool yes;
	} cases[] = {
		{"AC[0-9a-f]{4}", "AC01af", true}, {"AC[0-9a-f]{4}", "AC01a", false}, {"AC[0-9a-f]{4}", "AC01af0", false},
		{"AC[0-9a-f]{4}", "xAC01af", false}, {"a|bc|d", "bc", true}, {"a|bc|d", "d", true}, {"a|bc|d", "ad", false},
		{"a|bc|d", "a", true}, {"(a|b)*c", "ababc", true}, {"(a|b)*c", "c", true}, {"(a|b)*c", "abac0", false},
		{"(ab)+", "abab", true}, {"(ab)+", "", false}, {"(ab)+", "aba", false}, {"a?b", "b", true}, {"a?b", "aab", false},
		{"a{2,3}", "a", false}, {"a{2,3}", "aa", true}, {"a{2,3}", "aaa", true}, {"a{2,3}", "aaaa", false},
		{"a{2,}", "aaaaaaa", true}, {"a{2,}", "a", false}, {"a{0,2}", "", true}, {"[^a-c]+", "xyz", true},
		{"[^a-c]+", "xb", false}, {"[]a]", "a", false}, {"[a\\]]", "]", true}, {"[a-]", "-", true}, {"[-a]", "-", true},
		{"\\.\\*", ".*", true}, {"\\.\\*", "ab", false}, {".", "\n", false}, {".", "x", true}, {"(a?)*", "aaa", true},
		{"((a|b){2}c?){2}", "abcba", true}, {"((a|b){2}c?){2}", "abc", false}, {"x(-[a-z]+)+-[0-9]", "x-a-bc-1", true},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		if (strcmp(cases[i].pattern, "[]a]") == 0) {
			assert_non_null(problem_of(cases[i].pattern));
			continue;
		}
		if (matches(cases[i].pattern, ks_str_c(cases[i].value)) != cases[i].yes)
			fail_msg("%s against %s", cases[i].pattern, cases[i].value);
	}
	assert_false(matches("a.b", ks_str_of("a\0b", 3)));
	assert_false(matches(".+", ks_str_of("", 0)));
}

/* Tries everything: what an atom is, how often, and what is left. Patterns of the letters a, b, classes [ab], ? * + and
 * {m,n} on single letters, and | at the top. */
static bool slow_here(const char *p, const char *v);

static bool slow_repeat(const char *set, size_t set_n, unsigned min, unsigned max, const char *rest, const char *v)
{
	for (unsigned n = 0; n <= max; n++) {
		if (n >= min && slow_here(rest, v))
			return true;
		if (!*v || !memchr(set, *v, set_n))
			return false;
		v++;
	}
	return false;
}

static bool slow_here(const char *p, const char *v)
{
	unsigned min = 1, max = 1;
	const char *set = p, *rest;
	size_t n = 1;

	if (*p == '\0' || *p == '|')
		return *v == '\0';
	if (*p == '[') {
		set = &p[1];
		n = (size_t)(strchr(p, ']') - set);
	}
	rest = *p == '[' ? &set[n + 1] : &p[1];
	if (*rest == '?' || *rest == '*' || *rest == '+') {
		min = *rest == '+';
		max = *rest == '?' ? 1 : 100;
		rest++;
	} else if (*rest == '{') {
		min = (unsigned)(rest[1] - '0');
		max = (unsigned)(rest[3] - '0');
		rest += 5;
	}
	return slow_repeat(set, n, min, max, rest, v);
}

static bool slow(const char *pattern, const char *value)
{
	for (const char *p = pattern; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
		if (slow_here(p, value))
			return true;
	}
	return false;
}

static uint32_t dice(uint32_t *seed, uint32_t sides)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % sides;
}

static void made_up_pattern(uint32_t *seed, char *to)
{
	static const char *const atoms[] = {"a", "b", "[ab]", "c"}, *const counts[] = {"", "", "?", "*", "+", "{0,2}", "{1,3}", "{2,2}"};
	unsigned n = 1 + dice(seed, 5);

	to[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		strncat(to, atoms[dice(seed, 4)], 8);
		strncat(to, counts[dice(seed, 8)], 8);
		if (i + 1 < n && dice(seed, 6) == 0)
			strncat(to, "|", 2);
	}
}

static void a_matcher_that_tries_everything_agrees(void **state)
{
	uint32_t seed = 4711;
	unsigned yes = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		char pattern[128];

		made_up_pattern(&seed, pattern);
		for (unsigned k = 0; k < 12; k++) {
			char value[10];
			unsigned n = dice(&seed, 9);

			for (unsigned c = 0; c < n; c++)
				value[c] = "abc"[dice(&seed, 3)];
			value[n] = '\0';
			if (matches(pattern, ks_str_c(value)) != slow(pattern, value))
				fail_msg("%s against %s", pattern, value);
			yes += slow(pattern, value);
		}
	}
	assert_true(yes > 1000);
}

/* Those that make matchers which go back take forever. */
static void bad_patterns_take_no_longer(void **state)
{
	static const char *const bad[] = {"(a*)*b", "(a|a)*b", "(a+)+b", "(a?){200}a{200}b", "((a*)*)*b"};
	static char value[4096];

	(void)state;
	memset(value, 'a', sizeof(value));
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(matches(bad[i], ks_str_of(value, sizeof(value))));
	value[sizeof(value) - 1] = 'b';
	assert_true(matches("(a*)*b", ks_str_of(value, sizeof(value))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_pattern_is_refused),
		cmocka_unit_test(patterns_have_bounds),
		cmocka_unit_test(patterns_match_what_they_say),
		cmocka_unit_test(a_matcher_that_tries_everything_agrees),
		cmocka_unit_test(bad_patterns_take_no_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
