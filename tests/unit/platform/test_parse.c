/* SPDX-License-Identifier: Apache-2.0 */
/* What a good file becomes, its bounds, and the files of the project. */
#include "fixture.h"

#include <dirent.h>

#include "platform/platform_priv.h"

#define SHIPPED_AT_LEAST 18
#define SCHEME                                                                                          \
	"  acme.hmac:\n"                                                                                \
	"    warnings: [no_timestamp]\n"                                                                \
	"    settings: {secrets: {type: secrets, fields: [sid]}}\n"                                     \
	"    vars: {sig: {from: 'header:X-Acme'}}\n"                                                    \
	"    verify:\n"                                                                                 \
	"      - hmac: {digest: sha256, secrets: $secrets, content: '{body}', encoding: hex, signature: sig}\n"

static void what_is_left_out_has_its_default(void **state)
{
	struct ks_platform_registry *registry;
	const struct ks_platform *p = platform_of(HEAD "fields:\n  token: {label: Token, type: secret}\n  port: {label: Port, type: port, default: 5060}\n",
						  &registry);
	const struct ks_platform_field *token = ks_platform_field(p, KS_STR("token")), *port = ks_platform_field(p, KS_STR("port"));

	(void)state;
	assert_string_equal(p->documentation, "");
	assert_null(p->probe);
	assert_int_equal(p->webhook.n, 0);
	assert_false(p->own);
	assert_true(token->secret && token->required);
	assert_null(token->format);
	assert_null(token->fallback);
	assert_string_equal(token->help, "");
	assert_string_equal(token->example, "");
	assert_int_equal(token->length_min, 1);
	assert_int_equal(token->length_max, 4096);
	assert_false(port->secret || port->required);
	assert_string_equal(port->fallback, "5060");
	assert_int_equal(port->number_min, 1);
	assert_int_equal(port->number_max, 65535);
	assert_null(ks_platform_field(p, KS_STR("other")));
	ks_platform_registry_release(&registry);
}

static void the_platform_holds_what_the_file_says(void **state)
{
	static const char yaml[] = HEAD
		"documentation: https://example.com/docs\n"
		"fields:\n"
		"  sid: {label: SID, type: text, secret: true, required: false, pattern: 'S[0-9]', message: has S, example: S1, help: 'there'}\n"
		"  way: {label: Way, type: choice, choices: {udp: UDP, tls: Secure}, default: tls}\n"
		"  list: {label: List, type: choice, choices: [b, a]}\n"
		"  id: {label: ID, type: text, format: uuid}\n"
		"webhook:\n" SCHEME;
	struct ks_platform_registry *registry;
	const struct ks_platform *p = platform_of(yaml, &registry);
	const struct ks_platform_field *sid = &p->fields[0], *way = &p->fields[1];

	(void)state;
	assert_string_equal(p->name, "acme");
	assert_string_equal(p->label, "Acme");
	assert_string_equal(p->about, "An account of Acme.");
	assert_string_equal(p->documentation, "https://example.com/docs");
	assert_int_equal(p->field_count, 4);
	assert_string_equal(sid->name, "sid");
	assert_true(sid->secret && !sid->required);
	assert_string_equal(ks_platform_format_pattern(sid->format), "S[0-9]");
	assert_null(ks_platform_format_name(sid->format));
	assert_string_equal(ks_platform_format_message(sid->format), "has S");
	assert_string_equal(sid->example, "S1");
	assert_string_equal(sid->help, "there");
	assert_int_equal(way->choice_count, 2);
	assert_string_equal(way->choices[1].value, "tls");
	assert_string_equal(way->choices[1].label, "Secure");
	assert_string_equal(way->fallback, "tls");
	assert_string_equal(p->fields[2].choices[0].label, "b");
	assert_string_equal(ks_platform_format_name(p->fields[3].format), "uuid");
	assert_int_equal(ks_platform_field_at(p, way), 1);
	assert_string_equal(p->webhook.p,
			    "{\"acme.hmac\":{\"warnings\":[\"no_timestamp\"],\"settings\":{\"secrets\":{\"type\":\"secrets\",\"fields\":[\"sid\"]}},"
			    "\"vars\":{\"sig\":{\"from\":\"header:X-Acme\"}},\"verify\":[{\"hmac\":{\"digest\":\"sha256\","
			    "\"secrets\":\"$secrets\",\"content\":\"{body}\",\"encoding\":\"hex\",\"signature\":\"sig\"}}]}}");
	ks_platform_registry_release(&registry);
}

static void nodes_become_json(void **state)
{
	static const struct ks_yaml_limits limits = {"test", 1000, 1, "bytes", 100, 8};
	static const char yaml[] = "{on: true, \"off\": \"true\", n: [1, 01, -2.5, 1e3, -, 1., ~, \"\"], deep: {a: {b: \"c\\\"\\n\"}}}";
	struct ks_yaml_arena arena = {0};
	struct ks_yaml_log log = {0};
	const struct ks_yaml_node *root = ks_yaml_read(KS_STR(yaml), &limits, &arena, &log);
	char text[256];
	struct ks_buf b = KS_BUF(text), small = ks_buf_of(text, 20);

	(void)state;
	assert_non_null(root);
	ks_platform_json(root, &arena, &log, &small);
	assert_false(ks_buf_ok(&small));
	ks_platform_json(root, &arena, &log, &b);
	assert_string_equal(ks_buf_z(&b), "{\"on\":true,\"off\":\"true\",\"n\":[1,\"01\",-2.5,\"1e3\",\"-\",\"1.\",null,\"\"],"
					  "\"deep\":{\"a\":{\"b\":\"c\\\"\\n\"}}}");
	assert_false(log.any);
	ks_yaml_arena_free(&arena);
}

static enum ks_err parse(struct ks_str yaml, struct ks_platform_problem *problem)
{
	const struct ks_platform_source source = {"acme.yaml", yaml, false};
	struct ks_platform_registry *registry = NULL;
	enum ks_err err = ks_platform_registry_new(&source, 1, &registry, problem);

	ks_platform_registry_release(&registry);
	return err;
}

static void files_are_limited(void **state)
{
	static char text[KS_PLATFORM_FILE_MAX + 64];
	struct ks_platform_problem problem = {0};
	struct ks_buf b = ks_buf_of(text, sizeof(text));

	(void)state;
	ks_buf_put_c(&b, HEAD "fields:\n  a: {label: A, type: text}\n#");
	while (b.n < KS_PLATFORM_FILE_MAX)
		ks_buf_put_byte(&b, 'x');
	assert_int_equal(parse(ks_buf_str(&b), &problem), KS_OK);
	ks_buf_put_byte(&b, 'x');
	assert_int_equal(parse(ks_buf_str(&b), &problem), KS_MALFORMED);
	assert_non_null(strstr(problem.text, "larger than 256 KiB"));
}

/* Too large as JSON is told before what else may be wrong with it. */
static void webhooks_are_limited(void **state)
{
	static char text[2 * KS_PLATFORM_WEBHOOK_MAX];
	struct ks_platform_problem problem = {0};
	struct ks_buf b = ks_buf_of(text, sizeof(text));

	(void)state;
	ks_buf_put_c(&b, HEAD "fields:\n  a: {label: A, type: text}\nwebhook:\n  a: \"");
	for (size_t i = 0; i < KS_PLATFORM_WEBHOOK_MAX; i++)
		ks_buf_put_byte(&b, 'x');
	ks_buf_put_c(&b, "\"\n");
	assert_int_equal(parse(ks_buf_str(&b), &problem), KS_MALFORMED);
	assert_non_null(strstr(problem.text, "webhook is larger than 65536 bytes"));
}

static void nesting_is_limited(void **state)
{
	char text[512] = HEAD "fields:\n  a: {label: A, type: text}\nwebhook: ";
	struct ks_platform_problem problem = {0};
	size_t n = strlen(text);

	(void)state;
	memset(&text[n], '{', 40);
	assert_int_equal(parse(ks_str_of(text, n + 40), &problem), KS_MALFORMED);
}

static void the_files_of_the_project_are_good(void **state)
{
	const char *root = getenv("KEYSTILE_SOURCE");
	static char text[KS_PLATFORM_FILE_MAX];
	char folder[2048], path[4096];
	unsigned count = 0;

	(void)state;
	snprintf(folder, sizeof(folder), "%s/platforms", root ? root : ".");
	DIR *files = opendir(folder);
	assert_non_null(files);
	for (const struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
		struct ks_platform_source source = {path, {text, 0}, false};
		struct ks_platform_registry *registry = NULL;
		struct ks_platform_problem problem = {0};

		if (!strstr(entry->d_name, ".yaml"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		FILE *file = fopen(path, "rb");
		assert_non_null(file);
		source.text.n = fread(text, 1, sizeof(text), file);
		fclose(file);
		if (ks_platform_registry_new(&source, 1, &registry, &problem) != KS_OK)
			fail_msg("%s:%u:%u: %s", problem.file, problem.line, problem.column, problem.text);
		const struct ks_platform *p = ks_platform_at(registry, 0);
		for (size_t i = 0; i < p->field_count; i++)
			assert_true(p->fields[i].secret || p->fields[i].example[0] || p->fields[i].fallback);
		ks_platform_registry_release(&registry);
		count++;
	}
	closedir(files);
	assert_true(count >= SHIPPED_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(the_platform_holds_what_the_file_says),
		cmocka_unit_test(nodes_become_json),
		cmocka_unit_test(files_are_limited),
		cmocka_unit_test(webhooks_are_limited),
		cmocka_unit_test(nesting_is_limited),
		cmocka_unit_test(the_files_of_the_project_are_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
