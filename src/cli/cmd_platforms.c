/* SPDX-License-Identifier: Apache-2.0 */
/* platforms …: the catalogue, and files before they are put in force. */
#include <errno.h>
#include <stdlib.h>

#include "api/platforms.h"
#include "cli/cmd_tables.h"
#include "engine/platforms.h"

static void show_list(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"name", "label", "about", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_platforms_list(struct ks_cli *cli)
{
	char target[512];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/platforms");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	if (!ks_buf_ok(&b))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "this is too long");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_list);
}

/* ---- one platform ---- */

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? value : "";
}

static bool is(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static void show_field(const json_t *field)
{
	const json_t *choice;
	size_t i;

	(void)printf("\n%s  %s\n", text(field, "name"), text(field, "label"));
	(void)printf("  %s, %s%s\n", text(field, "type"), is(field, "required") ? "required" : "not required", is(field, "secret") ? ", secret" : "");
	if (text(field, "message")[0])
		(void)printf("  %s\n", text(field, "message"));
	json_array_foreach(json_object_get(field, "choices"), i, choice)
		(void)printf("  %s: %s\n", text(choice, "value"), text(choice, "label"));
	if (text(field, "default")[0])
		(void)printf("  default: %s\n", text(field, "default"));
	if (text(field, "example")[0])
		(void)printf("  example: %s\n", text(field, "example"));
	if (text(field, "help")[0])
		(void)printf("  %s\n", text(field, "help"));
}

static void show_platform(struct ks_cli *cli, const json_t *answer)
{
	const json_t *field;
	size_t i;

	(void)cli;
	(void)printf("%s (%s%s)\n%s\n", text(answer, "label"), text(answer, "name"), is(answer, "own") ? ", of your own" : "", text(answer, "about"));
	if (text(answer, "documentation")[0])
		(void)printf("%s\n", text(answer, "documentation"));
	(void)printf("probe: %s\n", json_is_object(json_object_get(answer, "probe")) ? text(json_object_get(answer, "probe"), "kind") : "none");
	(void)printf("webhooks: %s\n", json_is_object(json_object_get(answer, "webhook")) ? "verified" : "none");
	json_array_foreach(json_object_get(answer, "fields"), i, field)
		show_field(field);
}

/* ---- files ---- */

static int say_problem(const struct ks_cli *cli, const struct ks_platform_problem *problem)
{
	char line[1024];
	struct ks_buf b = KS_BUF(line);

	if (!cli->json) {
		(void)fprintf(stderr, "%s:%u:%u: %s\n", problem->file, problem->line, problem->column, problem->text);
		return KS_EXIT_FAILED;
	}
	ks_buf_put_c(&b, "{\"file\":");
	ks_buf_put_json(&b, ks_str_c(problem->file));
	ks_buf_printf(&b, ",\"line\":%u,\"column\":%u,\"text\":", problem->line, problem->column);
	ks_buf_put_json(&b, ks_str_c(problem->text));
	(void)fprintf(stderr, "%s}\n", ks_buf_z(&b));
	return KS_EXIT_FAILED;
}

/* The platform that the file describes, as a registry of one. An exit code. */
static int load(const struct ks_cli *cli, const char *path, struct ks_platform_registry **ret_registry)
{
	FILE *in = fopen(path, "re");
	char *bytes = malloc(KS_PLATFORM_FILE_MAX + 1);
	struct ks_platform_problem problem = {.line = 1, .column = 1, .text = "the file cannot be parsed"};
	struct ks_platform_source source = {.name = path, .own = true};
	int code = KS_EXIT_DONE;

	if (in && bytes)
		source.text = ks_str_of(bytes, fread(bytes, 1, KS_PLATFORM_FILE_MAX + 1, in));
	if (!in || !bytes || ferror(in))
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", path, strerror(errno));
	else if (ks_platform_registry_new(&source, 1, ret_registry, &problem) != KS_OK ||
		 ks_platforms_check_webhooks(*ret_registry, &problem) != KS_OK)
		code = say_problem(cli, &problem);
	if (in)
		(void)fclose(in);
	free(bytes);
	return code;
}

int ks_cmd_platforms_check(struct ks_cli *cli)
{
	int code = KS_EXIT_DONE;

	for (size_t i = 0; i < cli->word_count; i++) {
		struct ks_platform_registry *registry = NULL;

		if (load(cli, cli->words[i], &registry) != KS_EXIT_DONE)
			code = KS_EXIT_FAILED;
		ks_platform_registry_release(&registry);
	}
	return code;
}

static int show_file(struct ks_cli *cli, const char *path)
{
	struct ks_platform_registry *registry = NULL;
	struct ks_json out;
	json_t *shown;
	int code = load(cli, path, &registry);

	if (code != KS_EXIT_DONE)
		return code;
	ks_json_init(&out);
	ks_record_platform(&out, ks_platform_at(registry, 0));
	ks_platform_registry_release(&registry);
	if (cli->json) {
		(void)printf("%.*s\n", (int)out.n, out.p);
	} else {
		shown = json_loadb(out.p, out.n, 0, NULL);
		if (shown)
			show_platform(cli, shown);
		json_decref(shown);
	}
	ks_json_free(&out);
	return KS_EXIT_DONE;
}

int ks_cmd_platforms_show(struct ks_cli *cli)
{
	char target[512];
	struct ks_buf b = KS_BUF(target);

	if (ks_cli_option(cli, "file"))
		return show_file(cli, cli->words[0]);
	ks_buf_put_c(&b, "/v1/platforms/");
	ks_cli_put_encoded(&b, cli->words[0]);
	if (!ks_buf_ok(&b))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "this is too long");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_platform);
}
