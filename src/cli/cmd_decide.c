/* SPDX-License-Identifier: Apache-2.0 */
/* policy …, verify, explain: asking what is allowed. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/cmd_tables.h"
#include "policy/policy.h"

#define CREDENTIAL_MAX 4096

/* ---- policy ---- */

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

static int say_policy_problem(struct ks_cli *cli, const struct ks_policy_problem *problem)
{
	char line[1024];
	struct ks_buf b = KS_BUF(line);

	if (!cli->json) {
		(void)fprintf(stderr, "%s:%u:%u: %s\n", cli->words[0], problem->line, problem->column, problem->text);
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
	return err == KS_OK ? KS_EXIT_DONE : say_policy_problem(cli, &problem);
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

/* ---- verify and explain ---- */

/* The credential: the argument, else KEYSTILE_TOKEN, else the first line of standard input. Other users of the machine can see arguments. */
static bool read_credential(struct ks_cli *cli, char text[CREDENTIAL_MAX])
{
	const char *given = cli->word_count > 0 ? cli->words[0] : getenv("KEYSTILE_TOKEN");
	struct ks_buf b = ks_buf_of(text, CREDENTIAL_MAX);

	if (given) {
		ks_buf_put_c(&b, given);
		(void)ks_buf_z(&b);
		return ks_buf_ok(&b);
	}
	if (isatty(STDIN_FILENO))
		(void)fprintf(stderr, "credential: ");
	if (!fgets(text, CREDENTIAL_MAX, stdin))
		return false;
	/* A line that does not fit is no credential, and its beginning is another one. */
	if (!strchr(text, '\n') && strlen(text) == CREDENTIAL_MAX - 1)
		return false;
	text[strcspn(text, "\r\n")] = '\0';
	return true;
}

static void question_of(struct ks_cli *cli, const char *credential, struct ks_json *body)
{
	static const char *const members[] = {"method", "path", "tenant", "host", "address"};

	ks_json_init(body);
	ks_json_open(body, '{');
	ks_json_put_c(body, ks_cli_option(cli, "authorization") ? "authorization" : "credential", credential);
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++)
		ks_put_member(cli, body, members[i], members[i]);
	ks_json_close(body, '}');
}

static void show_decision(const json_t *answer)
{
	const json_t *step;
	size_t i;

	(void)printf("%s\n", json_string_value(json_object_get(answer, "code")));
	json_array_foreach(json_object_get(answer, "steps"), i, step)
		(void)printf("  %zu %-26s %-12s %s\n", i, json_string_value(json_object_get(step, "step")),
			     json_string_value(json_object_get(step, "verdict")), json_string_value(json_object_get(step, "detail")));
}

static int ask(struct ks_cli *cli, const char *target)
{
	char credential[CREDENTIAL_MAX];
	struct ks_answer answer;
	struct ks_json body;
	int code;

	if (!read_credential(cli, credential))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "give a credential (at most %d bytes) as the argument, in KEYSTILE_TOKEN, or on standard input", CREDENTIAL_MAX - 2);
	question_of(cli, credential, &body);
	ks_wipe(credential, sizeof(credential));
	code = ks_client_call(cli, "POST", target, ks_str_of(body.p, body.n), &answer);
	ks_json_free(&body);
	if (code != KS_EXIT_DONE)
		return code;
	if (answer.status != 200) {
		code = ks_client_problem(cli, &answer);
	} else {
		if (cli->json)
			(void)printf("%s\n", answer.text);
		else
			show_decision(answer.json);
		code = json_is_true(json_object_get(answer.json, "allow")) ? KS_EXIT_DONE : KS_EXIT_DENIED;
	}
	ks_answer_free(&answer);
	return code;
}

int ks_cmd_verify(struct ks_cli *cli)
{
	return ask(cli, "/v1/verify");
}

int ks_cmd_explain(struct ks_cli *cli)
{
	if (!ks_cli_option(cli, "method") || !ks_cli_option(cli, "path"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--method and --path are needed");
	return ask(cli, "/v1/explain");
}
