/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "config/log.h"

static char path[] = "/tmp/keystile-log-XXXXXX";
static int kept = -1;

/* Standard error goes into the file until taken(). */
static void catch(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	kept = dup(STDERR_FILENO);
	assert_true(kept >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	(void)close(fd);
}

static char *taken(size_t *ret_n)
{
	FILE *in = fopen(path, "re");
	char *text = calloc(1, 4 << 20);

	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	(void)close(kept);
	assert_non_null(in);
	assert_non_null(text);
	*ret_n = fread(text, 1, (4 << 20) - 1, in);
	(void)fclose(in);
	return text;
}

/* The one line that was written, parsed. */
static json_t *line(void)
{
	size_t n;
	char *text = taken(&n);
	json_t *json;

	assert_true(n > 1 && text[n - 1] == '\n');
	assert_int_equal(strcspn(text, "\n"), n - 1);
	json = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	free(text);
	return json;
}

static const char *member(const json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

static void test_levels_parse(void **state)
{
	static const char *const wrong[] = {"", "warn", "INFO", "info ", "errors", "debug\n"};
	enum ks_log_level level = KS_LOG_ERROR;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(wrong); i++)
		assert_false(ks_log_level_parse(ks_str_c(wrong[i]), &level));
	assert_int_equal(level, KS_LOG_ERROR);
	assert_true(ks_log_level_parse(KS_STR("debug"), &level));
	assert_int_equal(level, KS_LOG_DEBUG);
	assert_true(ks_log_level_parse(KS_STR("warning"), &level));
	assert_int_equal(level, KS_LOG_WARNING);
}

static void test_below_the_level_is_dropped(void **state)
{
	size_t n;

	(void)state;
	ks_log_set_level(KS_LOG_WARNING);
	catch();
	ks_log(KS_LOG_DEBUG, "a", NULL);
	ks_log(KS_LOG_INFO, "b", NULL);
	free(taken(&n));
	assert_int_equal(n, 0);
	catch();
	ks_log(KS_LOG_WARNING, "c", NULL);
	json_t *json = line();
	assert_string_equal(member(json, "event"), "c");
	json_decref(json);
	ks_log_set_level(KS_LOG_DEBUG);
}

static void test_line(void **state)
{
	json_t *json;

	(void)state;
	catch();
	ks_log(KS_LOG_INFO, "listening", "address", "127.0.0.1:1", "nothing", NULL, "empty", "", NULL);
	json = line();
	assert_string_equal(member(json, "level"), "info");
	assert_string_equal(member(json, "event"), "listening");
	assert_string_equal(member(json, "address"), "127.0.0.1:1");
	assert_true(json_is_null(json_object_get(json, "nothing")));
	assert_string_equal(member(json, "empty"), "");
	/* RFC 3339 with milliseconds */
	assert_int_equal(strlen(member(json, "time")), 24);
	assert_int_equal(member(json, "time")[23], 'Z');
	assert_int_equal(json_object_size(json), 6);
	json_decref(json);
}

/* Whatever is in a value, the line stays one line and one object: nobody writes a line of one's own into the log. */
static void test_values_are_escaped(void **state)
{
	static const char nasty[] = "a\"}\n{\"event\":\"forged\",\\ \x01\x1b[31m \xff\xfe \xc3\xa9";
	json_t *json;

	(void)state;
	catch();
	ks_log(KS_LOG_INFO, "e", "detail", nasty, NULL);
	json = line();
	assert_string_equal(member(json, "event"), "e");
	assert_string_equal(member(json, "detail"),
			    "a\"}\n{\"event\":\"forged\",\\ \x01\x1b[31m \xef\xbf\xbd\xef\xbf\xbd \xc3\xa9");
	json_decref(json);
}

/* A line has a bound: pairs that do not fit are left out whole. */
static void test_too_long(void **state)
{
	char text[8192];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t n = 3900; n < sizeof(text); n += n < 4200 ? 1 : 997) {
		char end = text[n];
		json_t *json;

		text[n] = '\0';
		catch();
		ks_log(KS_LOG_ERROR, "e", "first", "1", "long", text, "last", "2", NULL);
		json = line();
		assert_string_equal(member(json, "first"), "1");
		if (json_object_get(json, "long"))
			assert_int_equal(strlen(member(json, "long")), n);
		else
			assert_null(json_object_get(json, "last"));
		json_decref(json);
		text[n] = end;
	}
}

static void test_engine_log(void **state)
{
	json_t *json;

	(void)state;
	catch();
	ks_log_engine(NULL, 2, "ring_elsewhere", "why");
	json = line();
	assert_string_equal(member(json, "level"), "warning");
	assert_string_equal(member(json, "detail"), "why");
	json_decref(json);
}

#define LINES 500

static void *write_lines(void *ctx)
{
	for (int i = 0; i < LINES; i++)
		ks_log(KS_LOG_INFO, "e", "who", ctx, "text", "a text of some length, so that lines could mix if they were written in pieces", NULL);
	return NULL;
}

static void test_threads_do_not_mix(void **state)
{
	char names[4][2] = {"0", "1", "2", "3"};
	int count[4] = {0};
	pthread_t threads[4];
	char *text, *at, *save;
	size_t n;

	(void)state;
	catch();
	for (size_t i = 0; i < KS_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (size_t i = 0; i < KS_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	text = taken(&n);
	for (at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		json_t *json = json_loads(at, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(json);
		count[member(json, "who")[0] - '0']++;
		json_decref(json);
	}
	free(text);
	for (size_t i = 0; i < KS_ARRAY_LEN(count); i++)
		assert_int_equal(count[i], LINES);
}

/* A closed standard error is nobody's error. */
static void test_log_that_cannot_be_written(void **state)
{
	size_t n;

	(void)state;
	catch();
	(void)close(STDERR_FILENO);
	ks_log(KS_LOG_ERROR, "e", NULL);
	free(taken(&n));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_parse),
		cmocka_unit_test(test_below_the_level_is_dropped),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_values_are_escaped),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_engine_log),
		cmocka_unit_test(test_threads_do_not_mix),
		cmocka_unit_test(test_log_that_cannot_be_written),
	};
	int fd = mkstemp(path);
	int failures;

	if (fd < 0)
		return 1;
	(void)close(fd);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(path);
	return failures;
}
