/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the command, reads its options, loads the settings, runs it. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "config/config.h"

/* Options of every command. */
static const struct ks_option common[] = {
	{"data", "DIR", "data directory (default keystile-data)", false},
	{"config", "FILE", "settings file", false},
	{"json", NULL, "print JSON", false},
	{"help", NULL, "print this help", false},
	{NULL, NULL, NULL, false}};

static bool same(const char *a, const char *b)
{
	return a && b && ks_str_eq(ks_str_c(a), ks_str_c(b));
}

const char *ks_cli_option_n(const struct ks_cli *cli, const char *name, size_t n)
{
	for (size_t i = 0; i < cli->given_count; i++) {
		if (same(cli->given[i].option->name, name) && n-- == 0)
			return cli->given[i].value;
	}
	return NULL;
}

const char *ks_cli_option(const struct ks_cli *cli, const char *name)
{
	return ks_cli_option_n(cli, name, 0);
}

int ks_cli_fail(const struct ks_cli *cli, int code, const char *fmt, ...)
{
	char text[1024], line[4096];
	struct ks_buf b = KS_BUF(line);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (cli->json) {
		ks_buf_put_json(&b, ks_str_c(text));
		(void)fprintf(stderr, "{\"error\": %s}\n", ks_buf_z(&b));
	} else {
		(void)fprintf(stderr, "keystile: %s\n", text);
	}
	return code;
}

void ks_cli_print_text(const char *name, const char *which, const char *text)
{
	struct ks_json json;

	ks_json_init(&json);
	ks_json_open(&json, '{');
	ks_json_put_c(&json, name, which);
	ks_json_put_c(&json, "text", text);
	ks_json_close(&json, '}');
	(void)printf("%.*s\n", (int)json.n, json.p);
	ks_json_free(&json);
}

static const struct ks_option *find_option(const struct ks_option *list, struct ks_str name)
{
	for (; list->name; list++) {
		if (ks_str_eq(ks_str_c(list->name), name))
			return list;
	}
	return NULL;
}

/* How many arguments name the command: 0 (none such), 1 or 2. */
static size_t find_command(int argc, char **argv, const struct ks_command **ret_command)
{
	for (size_t i = 0; i < ks_command_count; i++) {
		const struct ks_command *c = &ks_commands[i];

		if (!c->group && argc > 1 && same(argv[1], c->verb)) {
			*ret_command = c;
			return 1;
		}
		if (c->group && argc > 2 && same(argv[1], c->group) && same(argv[2], c->verb)) {
			*ret_command = c;
			return 2;
		}
	}
	return 0;
}

/* "--name value" and "--name=value". Returns how many arguments were taken; 0 after saying what is wrong. */
static size_t read_option(struct ks_cli *cli, int left, char **argv)
{
	struct ks_str name = ks_str_c(argv[0] + 2);
	struct ks_str value = KS_STR("");
	bool joined = ks_str_split(name, '=', &name, &value);
	const struct ks_option *option = find_option(cli->command->options, name);

	if (!option)
		option = find_option(common, name);
	if (!option || cli->given_count == KS_CLI_GIVEN_MAX) {
		(void)ks_cli_fail(cli, KS_EXIT_USAGE, "there is no option --%.*s here; see --help", KS_STR_ARG(name));
		return 0;
	}
	if (!option->repeated && ks_cli_option(cli, option->name)) {
		(void)ks_cli_fail(cli, KS_EXIT_USAGE, "--%s is given more than once", option->name);
		return 0;
	}
	if (joined ? !option->value : (option->value && left < 2)) {
		(void)ks_cli_fail(cli, KS_EXIT_USAGE, option->value ? "--%s takes a value" : "--%s takes no value", option->name);
		return 0;
	}
	cli->given[cli->given_count].option = option;
	cli->given[cli->given_count++].value = !option->value ? "" : joined ? value.p : argv[1];
	if (same(option->name, "json"))
		cli->json = true;
	return option->value && !joined ? 2 : 1;
}

static bool read_arguments(struct ks_cli *cli, int argc, char **argv)
{
	bool options = true;

	for (int i = 0; i < argc;) {
		if (options && same(argv[i], "--")) {
			options = false;
			i++;
		} else if (options && argv[i][0] == '-' && argv[i][1] == '-') {
			size_t taken = read_option(cli, argc - i, argv + i);

			if (taken == 0)
				return false;
			i += (int)taken;
		} else {
			if (cli->word_count >= cli->command->words_max) {
				(void)ks_cli_fail(cli, KS_EXIT_USAGE, "there is one argument too many: see --help");
				return false;
			}
			cli->words[cli->word_count++] = argv[i++];
		}
	}
	return true;
}

static const char *environment(const char *name)
{
	return getenv(name);
}

/* The options that are settings, and the settings file. */
static int load_config(struct ks_cli *cli)
{
	static const char *const settings[] = {"data", "listen", "policy"};
	struct ks_config_problem problem = {""};
	const char *file = ks_cli_option(cli, "config");
	enum ks_err err = ks_config_load(file ? file : getenv("KEYSTILE_CONFIG"), environment, &cli->config, &problem);

	for (size_t i = 0; err == KS_OK && i < KS_ARRAY_LEN(settings); i++) {
		const char *value = ks_cli_option(cli, settings[i]);

		if (value)
			err = ks_config_set(cli->config, settings[i], value, &problem);
	}
	if (err != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s", problem.text[0] ? problem.text : ks_err_text(err));
	return KS_EXIT_DONE;
}

static int run(struct ks_cli *cli, int argc, char **argv)
{
	int code;

	if (!read_arguments(cli, argc, argv))
		return KS_EXIT_USAGE;
	if (ks_cli_option(cli, "help")) {
		ks_cli_help(stdout, cli->command);
		return KS_EXIT_DONE;
	}
	if (cli->word_count < cli->command->words_min)
		return ks_cli_fail(cli, KS_EXIT_USAGE, "%s %s needs %s: see --help", cli->command->group ? cli->command->group : "",
				   cli->command->verb, cli->command->words);
	code = load_config(cli);
	if (code != KS_EXIT_DONE)
		return code;
	code = cli->command->run(cli);
	ks_client_close(cli);
	ks_config_free(&cli->config);
	/* An answer that did not reach its reader (a full disk, a closed pipe) is no success. */
	if (fflush(stdout) != 0 && code == KS_EXIT_DONE)
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "standard output cannot be written");
	return code;
}

int main(int argc, char **argv)
{
	static struct ks_cli cli;
	size_t taken = find_command(argc, argv, &cli.command);

	/* A file that reaches a limit is a write that fails, not the end of the process. */
	(void)signal(SIGXFSZ, SIG_IGN);
	if (taken > 0)
		return run(&cli, argc - 1 - (int)taken, argv + 1 + taken);
	if (argc == 2 && same(argv[1], "--version"))
		return ks_cmd_version(&cli);
	if (argc == 2 && same(argv[1], "--man")) {
		ks_cli_man(stdout);
		return KS_EXIT_DONE;
	}
	if (argc == 2 && same(argv[1], "--man-settings")) {
		ks_config_man(stdout);
		return KS_EXIT_DONE;
	}
	if (argc == 2 && (same(argv[1], "--help") || same(argv[1], "help"))) {
		ks_cli_help(stdout, NULL);
		return KS_EXIT_DONE;
	}
	if (argc == 3 && same(argv[2], "--help") && ks_cli_help_group(stdout, argv[1]))
		return KS_EXIT_DONE;
	if (argc < 2 || !ks_cli_help_group(stderr, argv[1]))
		ks_cli_help(stderr, NULL);
	return KS_EXIT_USAGE;
}
