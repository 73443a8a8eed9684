/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

static char path[] = "/tmp/keystile-settings-XXXXXX";
static struct ks_config *config;
static struct ks_config_problem problem;

/* ---- the environment of a test ---- */

static const char *variables[8][2];

static const char *getter(const char *name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(variables) && variables[i][0]; i++) {
		if (ks_str_eq(ks_str_c(variables[i][0]), ks_str_c(name)))
			return variables[i][1];
	}
	return NULL;
}

static void variable(const char *name, const char *value)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(variables); i++) {
		if (!variables[i][0]) {
			variables[i][0] = name;
			variables[i][1] = value;
			return;
		}
	}
	fail();
}

static int set_up(void **state)
{
	(void)state;
	memset(variables, 0, sizeof(variables));
	problem.text[0] = '\0';
	config = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ks_config_free(&config);
	return 0;
}

static void write_bytes(const char *bytes, size_t n)
{
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
}

static void load(const char *text)
{
	write_bytes(text, strlen(text));
	problem.text[0] = '\0';
	ks_config_free(&config);
	if (ks_config_load(path, getter, &config, &problem) != KS_OK)
		fail_msg("%s", problem.text);
}

/* `where` follows the file's name; every word of `what` must be in the message. */
static void refused(const char *text, const char *where, const char *what)
{
	char start[96];

	write_bytes(text, strlen(text));
	problem.text[0] = '\0';
	if (ks_config_load(path, getter, &config, &problem) != KS_MALFORMED)
		fail_msg("taken: %s", text);
	assert_null(config);
	(void)snprintf(start, sizeof(start), "%s%s", path, where);
	if (!ks_str_starts(ks_str_c(problem.text), ks_str_c(start)) || !strstr(problem.text, what))
		fail_msg("%s\nis refused with: %s", text, problem.text);
}

static void refused_variable(const char *name, const char *value, const char *what)
{
	memset(variables, 0, sizeof(variables));
	variable(name, value);
	problem.text[0] = '\0';
	assert_int_equal(ks_config_load(NULL, getter, &config, &problem), KS_MALFORMED);
	assert_null(config);
	if (!strstr(problem.text, what))
		fail_msg("%s=%s is refused with: %s", name, value, problem.text);
}

/* ---- what is refused ---- */

static void test_file_is_missing(void **state)
{
	(void)state;
	assert_int_equal(ks_config_load("/nonexistent/keystile.yaml", getter, &config, &problem), KS_NOT_FOUND);
	assert_null(config);
	assert_string_equal(problem.text, "/nonexistent/keystile.yaml: cannot be read");
}

static void test_not_yaml(void **state)
{
	static const char nul[] = "data: \"a\\0b\"\n";
	static const char latin[] = "domain: caf\xe9\n";

	(void)state;
	refused("listen: [", ":", "");
	refused("\tlisten: x\n", ":1:", "");
	refused("a: b: c\n", ":1:", "");
	refused("- listen\n", ":1:1: ", "must be a mapping");
	refused("just a text\n", ":1:1: ", "must be a mapping");
	refused("domain: a\n---\ndomain: b\n", ":3:1: ", "a second document");
	refused("domain: a\n---\n", ":", "a second document");
	refused(nul, ":1:7: data", "control characters");
	refused(latin, ":", "");
}

static void test_unknown(void **state)
{
	(void)state;
	refused("lisen: x\n", ":1:1: lisen: ", "no such setting");
	refused("domain: x\nhttp:\n  thread: 3\n", ":3:3: http.thread: ", "no such setting");
	refused("http: 3\n", ":1:1: http: ", "no such setting");
	refused("http: {data: x}\n", ":1:8: http.data: ", "no such setting");
	refused("{[a]: b}\n", ":1:2: ", "a name must be a text");
	refused("'': b\n", ":1:1: ", "a name is empty");
	refused("\"data\\0\": b\n", ":1:1: ", "a name is empty, too long, or with control characters");
	refused("a: {b: {c: {d: {e: {f: {g: 1}}}}}}\n", ":1:", "must be a mapping of settings");
	assert_int_equal(ks_config_load(NULL, getter, &config, &problem), KS_OK);
	assert_int_equal(ks_config_set(config, "nothing", "x", &problem), KS_MALFORMED);
	assert_string_equal(problem.text, "nothing: no such setting");
}

static void test_long_name(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(&text[200], ": 1\n", 5);
	refused(text, ":1:1: ", "too long");
	/* In two halves that are both short enough. */
	memcpy(&text[100], ": {", 3);
	memcpy(&text[200], ": 1}\n", 6);
	refused(text, ":1:", "too long");
}

static void test_given_twice(void **state)
{
	(void)state;
	refused("domain: a\ndomain: b\n", ":2:9: domain: ", "given twice");
	refused("http: {threads: 1}\nhttp.threads: 2\n", ":2:15: http.threads: ", "given twice");
	refused("http: {threads: 1}\nhttp: {threads: 1}\n", ":2:17: http.threads: ", "given twice");
	refused("credentials.headers: {tenant: A, tenant: B}\n", ":", "tenant is given twice");
	refused_variable("KEYSTILE_CREDENTIALS_HEADERS", "tenant=A,tenant=B", "tenant is given twice");
}

static void test_wrong_types(void **state)
{
	(void)state;
	refused("domain: [a]\n", ":1:9: domain: ", "must be one value");
	refused("domain: {a: b}\n", ":1:9: domain: ", "must be one value");
	refused("proxies: {trusted: 127.0.0.1}\n", ":1:20: proxies.trusted: ", "must be a sequence");
	refused("proxies.trusted: [[127.0.0.1]]\n", ":1:19: proxies.trusted: ", "items must be texts");
	refused("proxies.trusted: ['']\n", ":", "empty");
	refused("credentials.headers: [a]\n", ":1:22: credentials.headers: ", "must be a mapping");
	refused("credentials.headers: {a: [b]}\n", ":1:23: credentials.headers: ", "must be texts");
	refused("tokens.checksum: yes\n", ":1:18: tokens.checksum: ", "must be true or false, not \"yes\"");
	refused_variable("KEYSTILE_TOKENS_CHECKSUM", "1", "tokens.checksum: must be true or false");
	refused_variable("KEYSTILE_CREDENTIALS_HEADERS", "X-Key", "must be name=value");
}

static void test_numbers(void **state)
{
	static const char *const wrong[] = {"0", "65", "-1", "1.0", "0x10", "1e1", "", " 2", "2 ", "+2", "18446744073709551616"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(wrong); i++)
		refused_variable("KEYSTILE_HTTP_THREADS", wrong[i], "http.threads: must be a whole number from 1 to 64");
	refused("http.threads: ~\n", ":1:15: http.threads: ", "not \"\"");
	memset(variables, 0, sizeof(variables));
	load("http: {threads: 1}\n");
	assert_int_equal(config->http_threads.number, 1);
	load("http: {threads: 64}\n");
	assert_int_equal(config->http_threads.number, 64);
}

static void test_texts_have_bounds(void **state)
{
	char text[KS_CONFIG_TEXT_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[KS_CONFIG_TEXT_MAX] = '\0';
	refused_variable("KEYSTILE_DOMAIN", text, "domain: too long");
	text[KS_CONFIG_TEXT_MAX - 1] = '\0';
	memset(variables, 0, sizeof(variables));
	variable("KEYSTILE_DOMAIN", text);
	assert_int_equal(ks_config_load(NULL, getter, &config, &problem), KS_OK);
	assert_string_equal(config->domain.text, text);
	ks_config_free(&config);
	refused_variable("KEYSTILE_DOMAIN", "a\nb", "control characters");
	refused_variable("KEYSTILE_PROXIES_TRUSTED", "10.0.0.0/8,,10.1.0.0/16", "proxies.trusted: an item is empty");
	refused_variable("KEYSTILE_PROXIES_TRUSTED", "a\x01" "b", "control characters");
	text[256] = '\0';
	refused_variable("KEYSTILE_PROXIES_TRUSTED", text, "too long");
}

static void test_lists_have_bounds(void **state)
{
	char text[2 * (KS_CONFIG_ITEMS_MAX + 1)];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? ',' : 'a';
	text[sizeof(text) - 1] = '\0';
	refused_variable("KEYSTILE_PROXIES_TRUSTED", text, "proxies.trusted: more than 32 items");
	text[sizeof(text) - 3] = '\0';
	memset(variables, 0, sizeof(variables));
	variable("KEYSTILE_PROXIES_TRUSTED", text);
	assert_int_equal(ks_config_load(NULL, getter, &config, &problem), KS_OK);
	assert_int_equal(config->proxies_trusted.count, KS_CONFIG_ITEMS_MAX);
}

/* A relative path of the file that becomes too long with the file's folder. */
static void test_long_path(void **state)
{
	char text[KS_CONFIG_TEXT_MAX + 16] = "data: ";

	(void)state;
	memset(&text[6], 'a', KS_CONFIG_TEXT_MAX - 2);
	refused(text, ":1:7: data: ", "too long");
}

/* ---- what is taken ---- */

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(ks_config_load(NULL, getter, &config, &problem), KS_OK);
	assert_string_equal(config->data.text, "keystile-data");
	assert_string_equal(config->listen.text, "127.0.0.1:5397");
	assert_string_equal(config->store.text, "sqlite");
	assert_string_equal(config->policy.text, "");
	assert_string_equal(config->listen.source, "default");
	assert_int_equal(config->proxies_trusted.count, 0);
	assert_int_equal(config->tokens_checksum.number, 0);
}

static void test_empty_files(void **state)
{
	static const char *const empty[] = {"", "\n", "# nothing\n", "---\n", "---\n...\n", "{}\n", "~\n"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(empty); i++) {
		load(empty[i]);
		assert_string_equal(config->listen.source, "default");
	}
}

static void test_precedence(void **state)
{
	(void)state;
	variable("KEYSTILE_LISTEN", "127.0.0.1:2");
	variable("KEYSTILE_DOMAIN", "");
	load("listen: 127.0.0.1:1\ndomain: example.org\nrealm: doors\n");
	assert_string_equal(config->listen.text, "127.0.0.1:2");
	assert_string_equal(config->listen.source, "environment");
	/* An empty variable is a value too. */
	assert_string_equal(config->domain.text, "");
	assert_string_equal(config->domain.source, "environment");
	assert_string_equal(config->realm.text, "doors");
	assert_string_equal(config->realm.source, "file");
	assert_int_equal(ks_config_set(config, "listen", "127.0.0.1:3", &problem), KS_OK);
	assert_string_equal(config->listen.text, "127.0.0.1:3");
	assert_string_equal(config->listen.source, "command line");
}

/* The environment's list takes the place of the file's, and is not added to it. */
static void test_lists_are_replaced(void **state)
{
	(void)state;
	variable("KEYSTILE_PROXIES_TRUSTED", " 10.0.0.1 , 10.0.0.2 ");
	variable("KEYSTILE_CREDENTIALS_HEADERS", "tenant = X-Tenant-Key, partner=X-Partner-Key");
	load("proxies: {trusted: [1.1.1.1, 2.2.2.2, 3.3.3.3]}\ncredentials: {headers: {runtime: X-Runtime}}\n");
	assert_int_equal(config->proxies_trusted.count, 2);
	assert_string_equal(config->proxies_trusted.items[0], "10.0.0.1");
	assert_string_equal(config->proxies_trusted.items[1], "10.0.0.2");
	assert_int_equal(config->credentials_headers.count, 2);
	assert_string_equal(config->credentials_headers.names[0], "tenant");
	assert_string_equal(config->credentials_headers.items[0], "X-Tenant-Key");
	assert_string_equal(config->credentials_headers.items[1], "X-Partner-Key");
}

static void test_nested_and_dotted(void **state)
{
	(void)state;
	load("http:\n  threads: 3\n  idle_ms: 200\ntokens.prefix_live: a\ntokens: {prefix_sandbox: b, checksum: true}\n");
	assert_int_equal(config->http_threads.number, 3);
	assert_int_equal(config->http_idle_ms.number, 200);
	assert_string_equal(config->tokens_prefix_live.text, "a");
	assert_string_equal(config->tokens_prefix_sandbox.text, "b");
	assert_int_equal(config->tokens_checksum.number, 1);
}

static void test_null_is_empty(void **state)
{
	(void)state;
	load("policy: ~\ndomain: null\nlisten:\nrealm: 'null'\n");
	assert_string_equal(config->policy.text, "");
	assert_string_equal(config->domain.text, "");
	assert_string_equal(config->listen.text, "");
	assert_string_equal(config->realm.text, "null");
}

/* Relative paths of the file are meant from its folder; those of the environment from where the program runs. */
static void test_paths(void **state)
{
	(void)state;
	load("policy: rules/main.yaml\ntls: {key: /etc/key.pem}\ndomain: rules/main.yaml\n");
	assert_string_equal(config->policy.text, "/tmp/rules/main.yaml");
	assert_string_equal(config->tls_key.text, "/etc/key.pem");
	assert_string_equal(config->domain.text, "rules/main.yaml");
	variable("KEYSTILE_POLICY", "rules/main.yaml");
	load("policy: x\n");
	assert_string_equal(config->policy.text, "rules/main.yaml");
}

/* ---- what the last service used ---- */

static char last[] = "/tmp/keystile-kept-XXXXXX";

static void recall(void)
{
	problem.text[0] = '\0';
	if (ks_config_recall(config, last, &problem) != KS_OK)
		fail_msg("%s", problem.text);
}

static void test_recall_of_nothing(void **state)
{
	(void)state;
	load("domain: mine.example\n");
	assert_int_equal(ks_config_recall(config, "/nonexistent/settings.yaml", &problem), KS_OK);
	assert_string_equal(config->domain.text, "mine.example");
}

static void test_recall_fills_what_is_open(void **state)
{
	(void)state;
	load("domain: theirs.example\ntokens: {prefix_live: theirs, checksum: true}\nring: {directory: /tmp}\nrealm: theirs\n"
	     "http: {threads: 9}\npolicy: /etc/hostname\n");
	assert_int_equal(ks_config_keep(config, last), KS_OK);
	variable("KEYSTILE_DOMAIN", "");
	load("tokens: {prefix_live: ours}\n");
	recall();
	/* Said here, if only that there is none. */
	assert_string_equal(config->domain.text, "");
	assert_string_equal(config->tokens_prefix_live.text, "ours");
	/* Left open here. */
	assert_int_equal(config->tokens_checksum.number, 1);
	assert_string_equal(config->tokens_checksum.source, "last service");
	assert_string_equal(config->ring_directory.text, "/tmp");
	assert_string_equal(config->policy.text, "/etc/hostname");
	/* No business of the store. */
	assert_string_equal(config->realm.text, "keystile");
	assert_string_equal(config->http_threads.source, "default");
}

/* A relative path means something else in another working directory. */
static void test_kept_paths_are_whole(void **state)
{
	(void)state;
	assert_int_equal(chdir("/etc"), 0);
	variable("KEYSTILE_POLICY", "hostname");
	load("");
	assert_int_equal(ks_config_keep(config, last), KS_OK);
	assert_int_equal(chdir("/"), 0);
	memset(variables, 0, sizeof(variables));
	load("");
	recall();
	assert_string_equal(config->policy.text, "/etc/hostname");
}

static void test_keep_fails_whole(void **state)
{
	(void)state;
	load("domain: first.example\n");
	assert_int_equal(ks_config_keep(config, last), KS_OK);
	load("domain: second.example\npolicy: /nonexistent/policy.yaml\n");
	assert_int_equal(ks_config_keep(config, last), KS_NOT_FOUND);
	load("");
	assert_int_equal(ks_config_keep(config, "/nonexistent/settings.yaml"), KS_SYSTEM);
	recall();
	assert_string_equal(config->domain.text, "first.example");
}

static void test_recall_of_rubbish(void **state)
{
	(void)state;
	load("");
	write_bytes("domain: [\n", 10);
	assert_int_equal(ks_config_recall(config, path, &problem), KS_MALFORMED);
	assert_non_null(strstr(problem.text, path));
	assert_string_equal(config->domain.source, "default");
}

/* ---- printing ---- */

static char *printed(void (*print)(const struct ks_config *config, FILE *out))
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	print(config, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* What is printed, loaded again, prints the same values. */
static void test_print_is_a_settings_file(void **state)
{
	char *first, *again, *json;

	(void)state;
	load("data: /var/lib/keystile\ndomain: \"a \\\"b\\\" \\\\ \xc3\xa9\"\nproxies: {trusted: [10.0.0.0/8, '::1']}\n"
	     "credentials: {headers: {tenant: X-Tenant-Key}}\nhttp: {threads: 7}\ntokens: {checksum: true}\nlisten: ''\n");
	first = printed(ks_config_print_json);
	json = printed(ks_config_print);
	load(json);
	again = printed(ks_config_print_json);
	assert_string_equal(first, again);
	assert_non_null(strstr(first, "\"domain\": \"a \\\"b\\\" \\\\ \xc3\xa9\""));
	assert_non_null(strstr(first, "\"proxies.trusted\": [\"10.0.0.0/8\", \"::1\"]"));
	assert_non_null(strstr(first, "\"credentials.headers\": {\"tenant\": \"X-Tenant-Key\"}"));
	assert_non_null(strstr(first, "\"http.threads\": 7"));
	assert_non_null(strstr(first, "\"tokens.checksum\": true"));
	assert_non_null(strstr(first, "\"listen\": \"\""));
	free(first);
	free(again);
	free(json);
}

static void test_print_says_where_from(void **state)
{
	char *text;

	(void)state;
	variable("KEYSTILE_REALM", "doors");
	load("domain: example.org\n");
	assert_int_equal(ks_config_set(config, "listen", "127.0.0.1:3", &problem), KS_OK);
	text = printed(ks_config_print);
	assert_non_null(strstr(text, "(file)\ndomain: \"example.org\"\n"));
	assert_non_null(strstr(text, "(environment)\nrealm: \"doors\"\n"));
	assert_non_null(strstr(text, "(command line)\nlisten: \"127.0.0.1:3\"\n"));
	assert_non_null(strstr(text, "(default)\nstore: \"sqlite\"\n"));
	free(text);
}

/* The longest items there can be, of bytes that print as three each. */
static void test_print_has_room(void **state)
{
	char item[256], name[64];
	char *text;

	(void)state;
	load("");
	memset(item, 0xff, sizeof(item) - 1);
	item[sizeof(item) - 1] = '\0';
	memset(name, 0xff, sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < KS_CONFIG_ITEMS_MAX; i++) {
		memcpy(config->credentials_headers.items[i], item, sizeof(item));
		memcpy(config->credentials_headers.names[i], name, sizeof(name));
	}
	config->credentials_headers.count = KS_CONFIG_ITEMS_MAX;
	text = printed(ks_config_print_json);
	assert_non_null(strstr(text, "\xef\xbf\xbd\"}, \"proxies.trusted\": []"));
	free(text);
}

static void test_manual_names_every_setting(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	ks_config_man(out);
	assert_int_equal(fclose(out), 0);
#define NUMBER(min, max) 0
#define KS_SETTING(member, name, type, initial, secret, about) assert_non_null(strstr(text, ".It Ic " name "\n"));
#include "config/settings.def"
#undef KS_SETTING
#undef NUMBER
	assert_non_null(strstr(text, ".Ev KEYSTILE_HTTP_CONNECTIONS_PER_ADDRESS"));
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_file_is_missing),
		TEST(test_not_yaml),
		TEST(test_unknown),
		TEST(test_long_name),
		TEST(test_given_twice),
		TEST(test_wrong_types),
		TEST(test_numbers),
		TEST(test_texts_have_bounds),
		TEST(test_lists_have_bounds),
		TEST(test_long_path),
		TEST(test_defaults),
		TEST(test_empty_files),
		TEST(test_precedence),
		TEST(test_lists_are_replaced),
		TEST(test_nested_and_dotted),
		TEST(test_null_is_empty),
		TEST(test_paths),
		TEST(test_recall_of_nothing),
		TEST(test_recall_fills_what_is_open),
		TEST(test_kept_paths_are_whole),
		TEST(test_keep_fails_whole),
		TEST(test_recall_of_rubbish),
		TEST(test_print_is_a_settings_file),
		TEST(test_print_says_where_from),
		TEST(test_print_has_room),
		TEST(test_manual_names_every_setting),
	};
	int fd = mkstemp(path);
	int kept = mkstemp(last);
	int failures;

	if (fd < 0 || kept < 0)
		return 1;
	(void)close(fd);
	(void)close(kept);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(path);
	(void)unlink(last);
	return failures;
}
