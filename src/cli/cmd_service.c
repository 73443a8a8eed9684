/* SPDX-License-Identifier: Apache-2.0 */
/* init, serve, version, config, completion, backup, restore, ring. */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/cli.h"
#include "daemon/serve.h"
#include "engine/keys.h"

static int engine_options(struct ks_cli *cli, struct ks_engine_options *ret_options)
{
	struct ks_config_problem problem = {""};

	if (ks_serve_recall(cli->config, &problem) != KS_OK || ks_serve_engine_options(cli->config, ret_options, &problem) != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s", problem.text);
	ret_options->progress = ks_progress;
	ret_options->log = NULL;
	return KS_EXIT_DONE;
}

static int open_engine(struct ks_cli *cli, const struct ks_engine_options *options, struct ks_engine **ret_engine)
{
	struct ks_engine_problem why = {""};
	enum ks_err err = ks_engine_open(options, ret_engine, &why);

	if (err == KS_OK)
		return KS_EXIT_DONE;
	return ks_cli_fail(cli, KS_EXIT_FAILED, "%s", why.text[0] ? why.text : ks_err_text(err));
}

int ks_cmd_init(struct ks_cli *cli)
{
	struct ks_engine_options options;
	struct ks_engine *engine = NULL;
	struct ks_key_made made;
	int code = engine_options(cli, &options);

	options.create = true;
	if (code == KS_EXIT_DONE)
		code = open_engine(cli, &options, &engine);
	if (code != KS_EXIT_DONE)
		return code;
	if (!ks_engine_is_fresh(engine)) {
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "%s holds a store already", options.data_directory);
	} else if (ks_engine_first_key(engine, &made) != KS_OK) {
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "the operator's first key cannot be made");
	} else if (cli->json) {
		char id[KS_ID_TEXT_SIZE];

		ks_id_format(KS_ID_KEY, made.id, id);
		(void)printf("{\"id\":\"%s\",\"token\":\"%s\"}\n", id, made.token);
	} else {
		(void)printf("%s\n", made.token);
	}
	ks_wipe(&made, sizeof(made));
	ks_engine_close(&engine);
	return code;
}

int ks_cmd_serve(struct ks_cli *cli)
{
	return ks_serve(cli->config);
}

int ks_cmd_version(struct ks_cli *cli)
{
	if (cli->json)
		(void)printf("{\"version\":\"%s\"}\n", KEYSTILE_VERSION_TEXT);
	else
		(void)printf("keystile %s\n", KEYSTILE_VERSION_TEXT);
	return KS_EXIT_DONE;
}

int ks_cmd_config_show(struct ks_cli *cli)
{
	if (cli->json)
		ks_config_print_json(cli->config, stdout);
	else
		ks_config_print(cli->config, stdout);
	return KS_EXIT_DONE;
}

static int completion_as_json(struct ks_cli *cli, const char *shell, void (*print)(FILE *out))
{
	char *text = NULL;
	size_t n = 0;
	FILE *memory = open_memstream(&text, &n);

	if (memory)
		print(memory);
	if (!memory || fclose(memory) != 0) {
		free(text);
		return ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	}
	ks_cli_print_text("shell", shell, text);
	free(text);
	return KS_EXIT_DONE;
}

int ks_cmd_completion(struct ks_cli *cli)
{
	static const struct {
		const char *shell;
		void (*print)(FILE *out);
	} shells[] = {{"bash", ks_cli_completion_bash}, {"zsh", ks_cli_completion_zsh}, {"fish", ks_cli_completion_fish}};

	for (size_t i = 0; i < KS_ARRAY_LEN(shells); i++) {
		if (!ks_str_eq(ks_str_c(shells[i].shell), ks_str_c(cli->words[0])))
			continue;
		if (cli->json)
			return completion_as_json(cli, shells[i].shell, shells[i].print);
		shells[i].print(stdout);
		return KS_EXIT_DONE;
	}
	return ks_cli_fail(cli, KS_EXIT_USAGE, "the shell must be bash, zsh or fish");
}

/* ---- backup and restore ---- */

/* The daemon may have another working directory. */
static bool absolute(const char *path, char ret_path[PATH_MAX])
{
	struct ks_buf b = ks_buf_of(ret_path, PATH_MAX);
	char here[PATH_MAX];

	if (path[0] != '/') {
		if (!getcwd(here, sizeof(here)))
			return false;
		ks_buf_put_c(&b, here);
		ks_buf_put_byte(&b, '/');
	}
	ks_buf_put_c(&b, path);
	return ks_buf_z(&b)[0] != '\0';
}

static void show_backup(struct ks_cli *cli, const json_t *answer)
{
	(void)answer;
	(void)printf("backup written to %s\n", cli->words[0]);
}

int ks_cmd_backup(struct ks_cli *cli)
{
	char path[PATH_MAX];
	struct ks_json body;

	if (!absolute(cli->words[0], path))
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: the path is too long", cli->words[0]);
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_c(&body, "path", path);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/backup", &body, show_backup);
}

int ks_cmd_restore(struct ks_cli *cli)
{
	struct ks_engine_options options;
	struct ks_engine_problem why = {""};
	struct ks_engine *engine = NULL;
	struct ks_engine_stats stats;
	enum ks_err err;
	int code = engine_options(cli, &options);

	if (code != KS_EXIT_DONE)
		return code;
	if (ks_client_daemon_runs(cli))
		return ks_cli_fail(cli, KS_EXIT_FAILED, "a service runs on %s: stop it first", options.data_directory);
	err = ks_engine_restore(&options, cli->words[0], &why);
	if (err != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s; the store is as it was", why.text[0] ? why.text : ks_err_text(err));
	/* Opening it proves it, and makes the ring anew. */
	options.rebuild_ring = true;
	code = open_engine(cli, &options, &engine);
	if (code != KS_EXIT_DONE)
		return code;
	ks_engine_stats(engine, &stats);
	if (cli->json)
		(void)printf("{\"keys\":%llu,\"tenants\":%llu}\n", (unsigned long long)stats.keys, (unsigned long long)stats.tenants);
	else
		(void)printf("restored: %llu keys, %llu tenants\n", (unsigned long long)stats.keys, (unsigned long long)stats.tenants);
	ks_engine_close(&engine);
	return KS_EXIT_DONE;
}

/* ---- ring ---- */

static void show_members(struct ks_cli *cli, const json_t *answer)
{
	const char *name;
	json_t *value;

	(void)cli;
	json_object_foreach((json_t *)(uintptr_t)answer, name, value) {
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

		(void)printf("%-20s %s\n", name, json_is_string(value) ? json_string_value(value) : text ? text : "");
		free(text);
	}
}

int ks_cmd_ring_stat(struct ks_cli *cli)
{
	return ks_client_do(cli, "GET", "/v1/ring", NULL, show_members);
}

int ks_cmd_ring_rebuild(struct ks_cli *cli)
{
	return ks_client_do(cli, "POST", "/v1/ring/rebuild", NULL, show_members);
}

int ks_cmd_ring_check(struct ks_cli *cli)
{
	struct ks_answer answer;
	int code = ks_client_call(cli, "POST", "/v1/ring/check", KS_STR(""), &answer);

	if (code == KS_EXIT_DONE && answer.status != 200) {
		code = ks_client_problem(cli, &answer);
	} else if (code == KS_EXIT_DONE) {
		if (cli->json)
			(void)printf("%s\n", answer.text);
		else
			show_members(cli, answer.json);
		if (!json_is_true(json_object_get(answer.json, "equal")))
			code = KS_EXIT_FAILED;
	}
	ks_answer_free(&answer);
	return code;
}
