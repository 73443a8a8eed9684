/* SPDX-License-Identifier: Apache-2.0 */
/* policy …: the files, the matrix, and questions over all keys. */
#include <errno.h>
#include <stdlib.h>

#include "cli/cmd_tables.h"
#include "policy/expectations.h"
#include "policy/policy.h"

#define TARGET_MAX 16384
#define PAGE_ALL "100000"

/* ---- files ---- */

static char *read_file(const char *path, size_t *ret_n)
{
	FILE *in = fopen(path, "re");
	char *text = in ? malloc(KS_POLICY_TEXT_MAX + 1) : NULL;

	if (text) {
		*ret_n = fread(text, 1, KS_POLICY_TEXT_MAX + 1, in);
		if (ferror(in)) {
			free(text);
			text = NULL;
		}
	}
	if (in)
		(void)fclose(in);
	return text;
}

static int say_policy_problem(struct ks_cli *cli, const char *file, const struct ks_policy_problem *problem)
{
	char line[1024];
	struct ks_buf b = KS_BUF(line);

	if (!cli->json) {
		(void)fprintf(stderr, "%s:%u:%u: %s\n", file, problem->line, problem->column, problem->text);
		return KS_EXIT_FAILED;
	}
	ks_buf_printf(&b, "{\"line\":%u,\"column\":%u,\"text\":", problem->line, problem->column);
	ks_buf_put_json(&b, ks_str_c(problem->text));
	(void)fprintf(stderr, "%s}\n", ks_buf_z(&b));
	return KS_EXIT_FAILED;
}

/* Parses, and compiles as a service would. */
static enum ks_err check_policy(struct ks_str text, struct ks_policy_problem *problem)
{
	static const uint64_t hash_key[2] = {1, 2};
	struct ks_scope_table *scopes;
	struct ks_policy_table *table = NULL;
	struct ks_policy *policy = NULL;
	enum ks_err err = ks_policy_parse(text, KS_STR("keystile:"), &policy, problem);

	if (err != KS_OK)
		return err;
	scopes = calloc(1, sizeof(*scopes));
	err = scopes ? ks_policy_compile(policy, scopes, hash_key, &table) : KS_MEMORY;
	if (err != KS_OK)
		*problem = (struct ks_policy_problem){1, 1, "the policy is too large to be compiled"};
	free(table);
	free(scopes);
	ks_policy_free(&policy);
	return err;
}

int ks_cmd_policy_check(struct ks_cli *cli)
{
	struct ks_policy_problem problem = {1, 1, "the file cannot be parsed"};
	size_t n = 0;
	char *text = read_file(cli->words[0], &n);
	enum ks_err err;

	if (!text)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", cli->words[0], strerror(errno));
	err = check_policy(ks_str_of(text, n), &problem);
	free(text);
	return err == KS_OK ? KS_EXIT_DONE : say_policy_problem(cli, cli->words[0], &problem);
}

static void show_families(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"name", "kinds", "environments", "tenant_header", "inherited", "routes", NULL};
	json_t *list = json_pack("{s:O?}", "items", json_object_get(answer, "families"));

	(void)cli;
	ks_show_list(list, columns);
	json_decref(list);
}

int ks_cmd_policy_show(struct ks_cli *cli)
{
	return ks_client_do(cli, "GET", "/v1/policy", NULL, show_families);
}

static void put_scopes(const json_t *scopes)
{
	const json_t *scope;
	size_t i;

	json_array_foreach(scopes, i, scope)
		(void)printf("%s%s", i ? " + " : "", json_string_value(scope));
}

static void show_matrix(struct ks_cli *cli, const json_t *answer)
{
	const json_t *family;
	const char *method;
	json_t *scopes;
	size_t i;

	(void)cli;
	(void)printf("%-28s %-8s %s\n", "family", "method", "scopes");
	json_array_foreach(json_object_get(answer, "families"), i, family) {
		json_object_foreach(json_object_get(family, "scopes"), method, scopes) {
			(void)printf("%-28s %-8s ", json_string_value(json_object_get(family, "name")), method);
			put_scopes(scopes);
			(void)printf("\n");
		}
	}
}

int ks_cmd_policy_matrix(struct ks_cli *cli)
{
	return ks_client_do(cli, "GET", "/v1/policy", NULL, show_matrix);
}

/* ---- who can, what can ---- */

static long long number(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void show_keys(const json_t *answer)
{
	static const char *const columns[] = {"key", "name", "kind", "binding", "tenant", "environment", "acts_in", NULL};

	ks_show_list(answer, columns);
}

static void show_users(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"user", "email", "acts_in", "as", NULL};
	const json_t *user, *membership;
	size_t i, k;

	(void)cli;
	(void)printf("%lld people, with a session\n", number(answer, "total"));
	json_array_foreach(json_object_get(answer, "items"), i, user) {
		json_t *as = json_array();

		json_array_foreach(json_object_get(user, "memberships"), k, membership)
			(void)json_array_append_new(as, json_sprintf("%s of %s", text(membership, "role") ? text(membership, "role") : "-",
								     text(membership, "tenant")));
		(void)json_object_set_new((json_t *)(uintptr_t)user, "as", as);
	}
	if (number(answer, "total") > 0)
		ks_show_list(answer, columns);
}

static void show_who(struct ks_cli *cli, const json_t *answer)
{
	const char *family = text(answer, "family");

	(void)cli;
	if (!family) {
		(void)printf("no family takes this method and path: nobody can\n");
		return;
	}
	(void)printf("%lld of the living keys, through the family %s\n", number(answer, "total"),
		     family);
	if (json_array_size(json_object_get(answer, "items")) > 0)
		show_keys(answer);
}

/* Items of a page, one a line, as JSON or as a line of the table without its heading. */
static void print_items(const struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"key", "kind", "binding", "tenant", "environment", "acts_in", "name"};
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(answer, "items"), i, item) {
		if (cli->json) {
			(void)json_dumpf(item, stdout, JSON_COMPACT);
			(void)printf("\n");
			continue;
		}
		for (size_t c = 0; c < KS_ARRAY_LEN(columns); c++) {
			const char *value = text(item, columns[c]);

			(void)printf("%s%s", c ? "\t" : "", value ? value : "-");
		}
		(void)printf("\n");
	}
}

/* Every page, one after the other. */
static int print_all(struct ks_cli *cli, const char *target)
{
	uint64_t done = 0, total;
	char cursor[64] = "";
	struct ks_answer answer;
	int code;

	do {
		char page[TARGET_MAX + 128];
		struct ks_buf b = KS_BUF(page);
		const char *next;

		ks_buf_printf(&b, "%s&limit=" PAGE_ALL "%s%s", target, cursor[0] ? "&cursor=" : "", cursor);
		code = ks_client_call(cli, "GET", ks_buf_z(&b), KS_STR(""), &answer);
		if (code == KS_EXIT_DONE && answer.status != 200)
			code = ks_client_problem(cli, &answer);
		if (code != KS_EXIT_DONE) {
			ks_answer_free(&answer);
			return code;
		}
		print_items(cli, answer.json);
		done += json_array_size(json_object_get(answer.json, "items"));
		total = (uint64_t)json_integer_value(json_object_get(answer.json, "total"));
		next = text(answer.json, "next");
		b = KS_BUF(cursor);
		ks_buf_put_c(&b, next ? next : "");
		(void)ks_buf_z(&b);
		/* Keys come and go between two pages. */
		ks_progress(NULL, "keys", cursor[0] ? KS_MIN(done, total) : total, total);
		ks_answer_free(&answer);
	} while (cursor[0]);
	return KS_EXIT_DONE;
}

static int list(struct ks_cli *cli, struct ks_buf *target, void (*show)(struct ks_cli *cli, const json_t *answer))
{
	ks_put_query(cli, target, "limit", "limit");
	ks_put_query(cli, target, "cursor", "cursor");
	if (!ks_buf_ok(target))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "this is too long");
	return ks_client_do(cli, "GET", ks_buf_z(target), NULL, show);
}

int ks_cmd_policy_who_can(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, ks_cli_option(cli, "users") ? "/v1/policy/who-can/users?method=" : "/v1/policy/who-can?method=");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "&path=");
	ks_cli_put_encoded(&b, cli->words[1]);
	ks_put_query(cli, &b, "tenant", "tenant");
	if (ks_cli_option(cli, "own"))
		ks_buf_put_c(&b, "&policy=own");
	if (ks_cli_option(cli, "users"))
		return list(cli, &b, show_users);
	if (!ks_cli_option(cli, "all"))
		return list(cli, &b, show_who);
	if (!ks_buf_ok(&b))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "this is too long");
	return print_all(cli, ks_buf_z(&b));
}

static void show_what(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"family", "route", "methods", "acts_in", NULL};
	static const char *const with_denied[] = {"family", "route", "methods", "code", "required_scope", "acts_in", NULL};

	if (!json_is_true(json_object_get(answer, "accepted")))
		(void)printf("this key is not accepted at all: it is revoked or has ended, or its tenant or user is stopped\n");
	else if (json_array_size(json_object_get(answer, "items")) == 0)
		(void)printf("nothing\n");
	else
		ks_show_list(answer, ks_cli_option(cli, "denied") ? with_denied : columns);
}

int ks_cmd_policy_what_can(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/policy/what-can?key=");
	ks_cli_put_encoded(&b, cli->words[0]);
	if (ks_cli_option(cli, "own"))
		ks_buf_put_c(&b, "&policy=own");
	if (ks_cli_option(cli, "denied"))
		ks_buf_put_c(&b, "&denied=true");
	return list(cli, &b, show_what);
}

/* ---- audit ---- */

static void show_audit(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"finding", "keys", "about", NULL};
	json_t *table = json_pack("{s:O?}", "items", json_object_get(answer, "findings"));

	(void)cli;
	(void)printf("%lld living keys\n", number(answer, "keys"));
	ks_show_list(table, columns);
	json_decref(table);
}

static void show_finding(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"key", "name", "kind", "binding", "tenant", "environment", "scopes", NULL};

	(void)cli;
	(void)printf("%lld keys\n", number(answer, "total"));
	ks_show_list(answer, columns);
}

int ks_cmd_policy_audit(struct ks_cli *cli)
{
	const char *finding = ks_cli_option(cli, "finding");
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/policy/audit");
	if (finding) {
		ks_buf_put_c(&b, "/");
		ks_cli_put_encoded(&b, finding);
	}
	ks_put_query(cli, &b, "days", "days");
	ks_put_query(cli, &b, "tenant", "tenant");
	return finding ? list(cli, &b, show_finding) : ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_audit);
}

/* ---- diff ---- */

/* A file as a member of the body, if it is a sound policy. An exit code. */
static int put_policy(struct ks_cli *cli, struct ks_json *body, const char *name, const char *path)
{
	struct ks_policy_problem problem = {1, 1, "the file cannot be parsed"};
	size_t n = 0;
	char *yaml = read_file(path, &n);
	enum ks_err err;

	if (!yaml)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", path, strerror(errno));
	err = check_policy(ks_str_of(yaml, n), &problem);
	if (err == KS_OK)
		ks_json_put_str(body, name, ks_str_of(yaml, n));
	free(yaml);
	return err == KS_OK ? KS_EXIT_DONE : say_policy_problem(cli, path, &problem);
}

static json_t *place_of(const json_t *side)
{
	const char *family = text(side, "family");

	return family ? json_sprintf("%s %s", family, text(side, "route")) : json_string("-");
}

static void show_table(const json_t *answer, const char *member, const char *const *columns)
{
	const json_t *items = json_object_get(answer, member);
	json_t *table = json_pack("{s:O?}", "items", items);

	if (json_array_size(items) > 0) {
		(void)printf("\n%s\n", member);
		ks_show_list(table, columns);
	}
	json_decref(table);
}

static void show_changes(const struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"effect", "keys", "methods", "old", "new", "path", NULL};
	json_t *rows = json_array(), *table;
	const json_t *change, *key;
	size_t i, k;

	json_array_foreach(json_object_get(answer, "changes"), i, change)
		(void)json_array_append_new(rows, json_pack("{s:O,s:O,s:O,s:o,s:o,s:O}", "effect", json_object_get(change, "effect"),
							    "keys", json_object_get(change, "keys"), "methods",
							    json_object_get(change, "methods"), "old",
							    place_of(json_object_get(change, "old")), "new",
							    place_of(json_object_get(change, "new")), "path",
							    json_object_get(change, "path")));
	table = json_pack("{s:o}", "changes", rows);
	show_table(table, "changes", columns);
	json_decref(table);
	if (!ks_cli_option(cli, "examples") && !ks_cli_option(cli, "all"))
		return;
	json_array_foreach(json_object_get(answer, "changes"), i, change) {
		(void)printf("\n%s %s\n", text(change, "effect"),
			     text(change, "path"));
		json_array_foreach(json_object_get(change, "examples"), k, key)
			(void)printf("  %s\n", json_string_value(key));
	}
}

static void show_diff(struct ks_cli *cli, const json_t *answer)
{
	static const char *const scopes[] = {"scope", "change", "keys", NULL};
	static const char *const roles[] = {"role", "change", "gains", "loses", NULL};

	(void)printf("%lld living keys, of which %lld gain or lose something\n",
		     number(answer, "keys"),
		     number(answer, "keys_affected"));
	show_table(answer, "scopes", scopes);
	show_table(answer, "roles", roles);
	show_changes(cli, answer);
}

int ks_cmd_policy_diff(struct ks_cli *cli)
{
	const char *examples = ks_cli_option(cli, "examples");
	struct ks_json body;
	uint64_t most = 0;
	int code = KS_EXIT_DONE;

	if (examples && !ks_str_to_u64(ks_str_c(examples), 1000, &most))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--examples is a whole number up to 1000");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	if (cli->word_count == 2)
		code = put_policy(cli, &body, "old", cli->words[0]);
	if (code == KS_EXIT_DONE)
		code = put_policy(cli, &body, "new", cli->words[cli->word_count - 1]);
	if (examples)
		ks_json_put_u64(&body, "examples", most);
	if (ks_cli_option(cli, "all"))
		ks_json_put_bool(&body, "all", true);
	ks_json_close(&body, '}');
	if (code == KS_EXIT_DONE)
		return ks_client_do(cli, "POST", "/v1/policy/diff", &body, show_diff);
	ks_json_free(&body);
	return code;
}

/* ---- test ---- */

static int put_assertions(struct ks_cli *cli, struct ks_json *body)
{
	struct ks_policy_problem problem = {1, 1, "the file cannot be parsed"};
	struct ks_expectations *assertions = NULL;
	size_t n = 0;
	char *yaml = read_file(cli->words[0], &n);
	enum ks_err err;

	if (!yaml)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", cli->words[0], strerror(errno));
	err = ks_expectations_parse(ks_str_of(yaml, n), &assertions, &problem);
	ks_expectations_free(&assertions);
	if (err == KS_OK)
		ks_json_put_str(body, "assertions", ks_str_of(yaml, n));
	free(yaml);
	return err == KS_OK ? KS_EXIT_DONE : say_policy_problem(cli, cli->words[0], &problem);
}

static void show_assertion(const json_t *assertion)
{
	bool holds = json_is_true(json_object_get(assertion, "holds"));
	const json_t *examples = json_object_get(assertion, "examples"), *key;
	long long failing = number(assertion, "keys_failing");
	size_t i;

	(void)printf("%-7s line %-4lld %s: %s", holds ? "ok" : "FAILED", number(assertion, "line"),
		     text(assertion, "verb"), text(assertion, "sentence"));
	if (holds)
		(void)printf(" (%lld keys selected)\n", number(assertion, "keys_selected"));
	else
		(void)printf(" (not so for %lld keys)\n", failing);
	json_array_foreach(examples, i, key)
		(void)printf("          %s  %s, %s key of %s\n", text(key, "key"),
			     text(key, "name"), text(key, "binding"),
			     text(key, "tenant"));
	if (failing > (long long)json_array_size(examples))
		(void)printf("          and %lld more\n", failing - (long long)json_array_size(examples));
}

/* A target that the policy does not have is a mistake of the file, and told as one: "line:column: what". */
static bool say_mistake(struct ks_cli *cli, const struct ks_answer *answer)
{
	const json_t *error = json_array_get(json_object_get(answer->json, "errors"), 0);
	const char *pointer = text(error, "pointer");

	if (cli->json || !pointer || !ks_str_eq(ks_str_c(pointer), KS_STR("/assertions")))
		return false;
	(void)fprintf(stderr, "%s:%s\n", cli->words[0], text(error, "detail"));
	return true;
}

static int ask_assertions(struct ks_cli *cli, const struct ks_json *body)
{
	struct ks_answer answer;
	const json_t *assertion;
	size_t i;
	int code = ks_client_call(cli, "POST", "/v1/policy/test", ks_str_of(body->p, body->n), &answer);

	if (code == KS_EXIT_DONE && answer.status != 200) {
		code = say_mistake(cli, &answer) ? KS_EXIT_FAILED : ks_client_problem(cli, &answer);
	} else if (code == KS_EXIT_DONE) {
		if (cli->json)
			(void)printf("%s\n", answer.text);
		else
			json_array_foreach(json_object_get(answer.json, "assertions"), i, assertion)
				show_assertion(assertion);
		code = json_is_true(json_object_get(answer.json, "holds")) ? KS_EXIT_DONE : KS_EXIT_FAILED;
	}
	ks_answer_free(&answer);
	return code;
}

int ks_cmd_policy_test(struct ks_cli *cli)
{
	const char *policy = ks_cli_option(cli, "under");
	struct ks_json body;
	int code;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	code = put_assertions(cli, &body);
	if (code == KS_EXIT_DONE && policy)
		code = put_policy(cli, &body, "policy", policy);
	ks_json_close(&body, '}');
	if (code == KS_EXIT_DONE)
		code = ask_assertions(cli, &body);
	ks_json_free(&body);
	return code;
}
