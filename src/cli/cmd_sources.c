/* SPDX-License-Identifier: Apache-2.0 */
/* sources …: where webhooks of others come from, and what came. Secrets are read from files, never from the command
 * line. */
#include <stdlib.h>

#include "base/secret.h"
#include "cli/cmd_tables.h"
#include "cli/webhook_keys.h"

#define TARGET_MAX 1024

static const char *target_of(struct ks_cli *cli, char text[TARGET_MAX], const char *verb)
{
	struct ks_buf b = ks_buf_of(text, TARGET_MAX);

	ks_buf_put_c(&b, "/v1/sources/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, verb);
	if (cli->word_count > 1)
		ks_cli_put_encoded(&b, cli->words[1]);
	return ks_buf_z(&b);
}

static int act(struct ks_cli *cli, const char *method, const char *verb)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, method, target_of(cli, target, verb), NULL, ks_show_record);
}

/* The JSON object in the file that the option names, as member `name`. */
static int put_file(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name)
{
	const char *path = ks_cli_option(cli, option);
	json_error_t error;
	json_t *value;
	size_t n;
	char *text;

	if (!path)
		return KS_EXIT_DONE;
	text = ks_webhook_file_read(cli, path, &n);
	if (!text)
		return KS_EXIT_FAILED;
	value = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(value))
		ks_json_put_raw(body, name, ks_str_of(text, n));
	ks_wipe(text, n);
	free(text);
	if (!json_is_object(value)) {
		json_decref(value);
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: not an object of JSON", path);
	}
	json_decref(value);
	return KS_EXIT_DONE;
}

int ks_cmd_sources_create(struct ks_cli *cli)
{
	struct ks_json body;
	int code;

	if (!ks_cli_option(cli, "name") || !ks_cli_option(cli, "tenant")
	    || (!ks_cli_option(cli, "platform") && !ks_cli_option(cli, "form")))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--tenant, --name and one of --platform and --form are needed");
	if (ks_cli_option(cli, "scheme") && ks_cli_option(cli, "form"))
		return ks_cli_fail(cli, KS_EXIT_USAGE,
				   "--scheme is a name of the platform's, --form a scheme of one's own: one of them");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "tenant", "tenant");
	ks_put_member(cli, &body, "platform", "platform");
	ks_put_member(cli, &body, "name", "name");
	ks_put_member(cli, &body, "provider", "provider");
	ks_put_member(cli, &body, "scheme", "scheme");
	code = put_file(cli, &body, "form", "scheme");
	if (code == KS_EXIT_DONE)
		code = put_file(cli, &body, "parameters", "parameters");
	ks_json_close(&body, '}');
	if (code != KS_EXIT_DONE) {
		ks_json_free(&body);
		return code;
	}
	return ks_client_do(cli, "POST", "/v1/sources", &body, ks_show_record);
}

int ks_cmd_sources_rotate(struct ks_cli *cli)
{
	const char *overlap = ks_cli_option(cli, "overlap");
	char target[TARGET_MAX];
	struct ks_json body;
	uint64_t seconds = 0;
	int code;

	if (!ks_cli_option(cli, "parameters"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--parameters is needed");
	if (overlap && !ks_str_to_u64(ks_str_c(overlap), UINT32_MAX, &seconds))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--overlap must be a number of seconds");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	code = put_file(cli, &body, "parameters", "parameters");
	ks_json_put_u64(&body, "overlap_s", seconds);
	ks_json_close(&body, '}');
	if (code != KS_EXIT_DONE) {
		ks_json_free(&body);
		return code;
	}
	return ks_client_do(cli, "POST", target_of(cli, target, "/rotate"), &body, ks_show_record);
}

static void show_sources(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "name", "platform", "status", "url", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_sources_list(struct ks_cli *cli)
{
	static const char *const options[] = {"tenant", "provider", "limit", "cursor"};
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/sources");
	for (size_t i = 0; i < KS_ARRAY_LEN(options); i++)
		ks_put_query(cli, &b, options[i], options[i]);
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_sources);
}

int ks_cmd_sources_show(struct ks_cli *cli)
{
	return act(cli, "GET", "");
}

int ks_cmd_sources_pause(struct ks_cli *cli)
{
	return act(cli, "POST", "/pause");
}

int ks_cmd_sources_resume(struct ks_cli *cli)
{
	return act(cli, "POST", "/resume");
}

int ks_cmd_sources_confirm(struct ks_cli *cli)
{
	return act(cli, "POST", "/confirm");
}

int ks_cmd_sources_delete(struct ks_cli *cli)
{
	return act(cli, "DELETE", "");
}

static void show_messages(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "received_at", "method", "size", "address", "target", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_sources_messages(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/sources/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "/messages");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_messages);
}

int ks_cmd_sources_message(struct ks_cli *cli)
{
	return act(cli, "GET", "/messages/");
}
