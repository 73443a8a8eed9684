/* SPDX-License-Identifier: Apache-2.0 */
/* verify, explain: asking what is allowed. */
#include <stdlib.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/cmd_tables.h"

#define CREDENTIAL_MAX 4096

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
