/* SPDX-License-Identifier: Apache-2.0 */
/* providers …: connections to platforms, and the versions of their fields. Values are revealed to the runtime alone. */
#include <stdio.h>

#include "base/secret.h"
#include "cli/cmd_tables.h"

#define TARGET_MAX 1024
#define VALUE_MAX 32768

static const char *target_of(struct ks_cli *cli, char text[TARGET_MAX], const char *verb)
{
	struct ks_buf b = ks_buf_of(text, TARGET_MAX);

	ks_buf_put_c(&b, "/v1/providers/");
	ks_cli_put_encoded(&b, cli->words[0]);
	if (cli->word_count > 1) {
		ks_buf_put_c(&b, "/fields/");
		ks_cli_put_encoded(&b, cli->words[1]);
	}
	ks_buf_put_c(&b, verb);
	return ks_buf_z(&b);
}

static int act(struct ks_cli *cli, const char *method, const char *verb, void (*show)(struct ks_cli *, const json_t *))
{
	char target[TARGET_MAX];

	return ks_client_do(cli, method, target_of(cli, target, verb), NULL, show);
}

int ks_cmd_providers_create(struct ks_cli *cli)
{
	struct ks_json body;

	if (!ks_cli_option(cli, "platform") || !ks_cli_option(cli, "name") || !ks_cli_option(cli, "tenant"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--tenant, --platform and --name are needed");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "tenant", "tenant");
	ks_put_member(cli, &body, "platform", "platform");
	ks_put_member(cli, &body, "name", "name");
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/providers", &body, ks_show_record);
}

static void show_providers(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "name", "platform", "tenant", "status", "version", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_providers_list(struct ks_cli *cli)
{
	static const char *const options[] = {"tenant", "platform", "status", "limit", "cursor"};
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/providers");
	for (size_t i = 0; i < KS_ARRAY_LEN(options); i++)
		ks_put_query(cli, &b, options[i], options[i]);
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_providers);
}

int ks_cmd_providers_show(struct ks_cli *cli)
{
	return act(cli, "GET", "", ks_show_record);
}

int ks_cmd_providers_rename(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);
	struct ks_json body;

	ks_buf_put_c(&b, "/v1/providers/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_c(&body, "name", cli->words[1]);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "PATCH", ks_buf_z(&b), &body, ks_show_record);
}

int ks_cmd_providers_delete(struct ks_cli *cli)
{
	return act(cli, "DELETE", "", ks_show_record);
}

static void show_fields(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"name", "secret", "required", "current", "pending", "next", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_providers_fields(struct ks_cli *cli)
{
	return act(cli, "GET", "/fields", show_fields);
}

static void show_versions(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"version", "stage",       "kind",     "via", "created_at",
					      "created_by", "promoted_at", "ended_at", "code", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_providers_versions(struct ks_cli *cli)
{
	return act(cli, "GET", "", show_versions);
}

static void show_sets(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"version", "reason", "made_at", "ended_at", "drained_at",
					      "calls",   "ok",     "failed",  "open",     NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_providers_report(struct ks_cli *cli)
{
	return act(cli, "GET", "/report", show_sets);
}

int ks_cmd_providers_promote(struct ks_cli *cli)
{
	return act(cli, "POST", "/promote", ks_show_done);
}

int ks_cmd_providers_rollback(struct ks_cli *cli)
{
	return act(cli, "POST", "/rollback", ks_show_done);
}

/* A file's bytes, - being standard input; a line end at its end belongs to the file, not to the value. */
static bool read_file(struct ks_cli *cli, const char *path, char *room, size_t cap, struct ks_str *ret_text)
{
	bool standard = ks_str_eq(ks_str_c(path), KS_STR("-"));
	FILE *file = standard ? stdin : fopen(path, "re");
	size_t n = 0;
	bool ok;

	if (!file) {
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "%s: cannot be read", path);
		return false;
	}
	(void)setvbuf(file, NULL, _IONBF, 0);
	n = fread(room, 1, cap, file);
	ok = !ferror(file) && n < cap;
	if (!standard)
		(void)fclose(file);
	if (!ok) {
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "%s: cannot be read, or has more than %d bytes", path, VALUE_MAX);
		return false;
	}
	if (n > 0 && room[n - 1] == '\n')
		n--;
	*ret_text = ks_str_of(room, n);
	return true;
}

int ks_cmd_providers_put(struct ks_cli *cli)
{
	static char room[VALUE_MAX + 2];
	const char *value = ks_cli_option(cli, "value-file"), *reference = ks_cli_option(cli, "reference-file");
	struct ks_str text;
	struct ks_json body;
	char target[TARGET_MAX];
	int code;

	if (!value == !reference)
		return ks_cli_fail(cli, KS_EXIT_USAGE, "either --value-file or --reference-file is needed");
	if (!read_file(cli, value ? value : reference, room, sizeof(room), &text))
		return KS_EXIT_FAILED;
	ks_json_init(&body);
	ks_json_open(&body, '{');
	if (value)
		ks_json_put_str(&body, "value", text);
	else
		ks_json_put_raw(&body, "reference", text);
	ks_json_close(&body, '}');
	code = ks_client_do(cli, "PUT", target_of(cli, target, ""), &body, ks_show_done);
	ks_wipe(room, sizeof(room));
	return code;
}

int ks_cmd_tenants_erase_secrets(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/tenants/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "/erase-secrets");
	return ks_client_do(cli, "POST", ks_buf_z(&b), NULL, ks_show_record);
}

/* ---- health ---- */

static void show_healths(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"provider", "status", "since", "code", "checked_at", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

static void show_health(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"name", "status", "code", "since", "checked_at", NULL};
	json_t *rest = json_copy((json_t *)(uintptr_t)answer);

	(void)json_object_del(rest, "fields");
	ks_show_record(cli, rest);
	json_decref(rest);
	(void)printf("\n");
	ks_show_rows(json_object_get(answer, "fields"), columns);
}

int ks_cmd_providers_health(struct ks_cli *cli)
{
	static const char *const options[] = {"tenant", "status", "limit", "cursor"};
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	if (cli->word_count > 0)
		return act(cli, "GET", "/health", show_health);
	ks_buf_put_c(&b, "/v1/health/providers");
	for (size_t i = 0; i < KS_ARRAY_LEN(options); i++)
		ks_put_query(cli, &b, options[i], options[i]);
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_healths);
}

static void show_changes(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"at", "was", "status", "code", "detail", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_providers_history(struct ks_cli *cli)
{
	return act(cli, "GET", "/health/history", show_changes);
}

int ks_cmd_providers_probe(struct ks_cli *cli)
{
	return act(cli, "POST", "/probe", ks_show_record);
}
