/* SPDX-License-Identifier: Apache-2.0 */
/* Help, completion and the man page, all from the table. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/cli.h"

static void put_name(FILE *out, const struct ks_command *c)
{
	(void)fprintf(out, "%s%s%s", c->group ? c->group : "", c->group ? " " : "", c->verb);
}

static void put_options(FILE *out, const struct ks_option *o)
{
	for (; o->name; o++) {
		char left[64];

		(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
		(void)fprintf(out, "  %-26s %s\n", left, o->about);
	}
}

static void help_one(FILE *out, const struct ks_command *c)
{
	(void)fputs("usage: keystile ", out);
	put_name(out, c);
	(void)fprintf(out, "%s%s [options]\n\n%s\n\noptions:\n", c->words[0] ? " " : "", c->words, c->about);
	put_options(out, c->options);
	(void)fputs("  --data DIR                 data directory (default keystile-data)\n"
		    "  --config FILE              settings file (default $KEYSTILE_CONFIG)\n"
		    "  --json                     print JSON\n"
		    "  --help                     print this help\n"
		    "\nexit codes: 0 done, 1 refused or failed, 2 bad usage, 3 denied (verify, explain)\n",
		    out);
}

static void put_command(FILE *out, const struct ks_command *c)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "%s%s%s%s%s", c->group ? c->group : "", c->group ? " " : "", c->verb, c->words[0] ? " " : "",
		       c->words);
	(void)fprintf(out, "  %-30s %s\n", left, c->about);
}

static bool in_group(const struct ks_command *c, const char *group)
{
	return c->group && ks_str_eq(ks_str_c(c->group), ks_str_c(group));
}

void ks_cli_help(FILE *out, const struct ks_command *command)
{
	if (command) {
		help_one(out, command);
		return;
	}
	(void)fputs("usage: keystile COMMAND [options]\n\nA turnstile for API keys. Commands act through the running service of the data "
		    "directory,\nor on its store where none runs.\n\n",
		    out);
	for (size_t i = 0; i < ks_command_count; i++)
		put_command(out, &ks_commands[i]);
	(void)fputs("\n`keystile COMMAND --help` lists a command's options.\n", out);
}

bool ks_cli_help_group(FILE *out, const char *group)
{
	bool found = false;

	for (size_t i = 0; i < ks_command_count; i++) {
		if (!in_group(&ks_commands[i], group))
			continue;
		if (!found)
			(void)fprintf(out, "usage: keystile %s COMMAND [options]\n\n", group);
		put_command(out, &ks_commands[i]);
		found = true;
	}
	return found;
}

/* ---- completion ---- */

/* Each first word once, in the table's order. */
static bool is_first_of_group(size_t at)
{
	const struct ks_command *c = &ks_commands[at];

	for (size_t i = 0; c->group && i < at; i++) {
		if (in_group(&ks_commands[i], c->group))
			return false;
	}
	return true;
}

static void put_first_words(FILE *out)
{
	for (size_t i = 0; i < ks_command_count; i++) {
		if (is_first_of_group(i))
			(void)fprintf(out, "%s%s", i ? " " : "", ks_commands[i].group ? ks_commands[i].group : ks_commands[i].verb);
	}
}

static void put_verbs(FILE *out, const char *group)
{
	for (size_t i = 0; i < ks_command_count; i++) {
		if (in_group(&ks_commands[i], group))
			(void)fprintf(out, "%s ", ks_commands[i].verb);
	}
}

static void put_option_words(FILE *out, const struct ks_option *o)
{
	for (; o->name; o++)
		(void)fprintf(out, "--%s ", o->name);
	(void)fputs("--data --config --json --help", out);
}

static void put_shell_cases(FILE *out)
{
	for (size_t i = 0; i < ks_command_count; i++) {
		const struct ks_command *c = &ks_commands[i];

		if (c->group && is_first_of_group(i)) {
			(void)fprintf(out, "    '%s') words='", c->group);
			put_verbs(out, c->group);
			(void)fputs("' ;;\n", out);
		}
		(void)fprintf(out, "    '%s%s%s'*) words='", c->group ? c->group : "", c->group ? " " : "", c->verb);
		put_option_words(out, c->options);
		(void)fputs("' ;;\n", out);
	}
}

void ks_cli_completion_bash(FILE *out)
{
	(void)fputs("# bash completion for keystile\n_keystile() {\n  local current=\"${COMP_WORDS[COMP_CWORD]}\" words=''\n"
		    "  local line=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\"\n  case \"$line\" in\n    '') words='",
		    out);
	put_first_words(out);
	(void)fputs("' ;;\n", out);
	put_shell_cases(out);
	(void)fputs("  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
		    "  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$current\"))\n}\ncomplete -F _keystile keystile\n",
		    out);
}

void ks_cli_completion_zsh(FILE *out)
{
	(void)fputs("#compdef keystile\n_keystile() {\n  local words_now=\"${words[2,CURRENT-1]}\" words=''\n  case \"$words_now\" in\n    '') words='",
		    out);
	put_first_words(out);
	(void)fputs("' ;;\n", out);
	put_shell_cases(out);
	(void)fputs("  esac\n  compadd -- ${(z)words}\n  _files\n}\n_keystile \"$@\"\n", out);
}

/* Within fish's single quotes. */
static void put_fish_quoted(FILE *out, const char *text)
{
	(void)fputc('\'', out);
	for (; *text; text++)
		(void)fprintf(out, "%s%c", *text == '\'' || *text == '\\' ? "\\" : "", *text);
	(void)fputc('\'', out);
}

/* Where a command's options are offered: after its words. */
static void put_fish_condition(FILE *out, const struct ks_command *c)
{
	if (c->group)
		(void)fprintf(out, "complete -c keystile -n '__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s'", c->group, c->verb);
	else
		(void)fprintf(out, "complete -c keystile -n '__fish_seen_subcommand_from %s'", c->verb);
}

void ks_cli_completion_fish(FILE *out)
{
	for (size_t i = 0; i < ks_command_count; i++) {
		const struct ks_command *c = &ks_commands[i];

		if (c->group && is_first_of_group(i))
			(void)fprintf(out, "complete -c keystile -n __fish_use_subcommand -f -a %s\n", c->group);
		if (c->group)
			(void)fprintf(out, "complete -c keystile -n '__fish_seen_subcommand_from %s' -f -a %s -d ", c->group, c->verb);
		else
			(void)fprintf(out, "complete -c keystile -n __fish_use_subcommand -f -a %s -d ", c->verb);
		put_fish_quoted(out, c->about);
		(void)fputc('\n', out);
		for (const struct ks_option *o = c->options; o->name; o++) {
			put_fish_condition(out, c);
			(void)fprintf(out, " -l %s%s -d ", o->name, o->value ? " -r" : "");
			put_fish_quoted(out, o->about);
			(void)fputc('\n', out);
		}
	}
	(void)fputs("complete -c keystile -l data -r -d 'data directory'\ncomplete -c keystile -l config -r -d 'settings file'\n"
		    "complete -c keystile -l json -d 'print JSON'\ncomplete -c keystile -l help -d 'print help'\n",
		    out);
}

/* ---- man page (mdoc) ---- */

void ks_cli_man(FILE *out)
{
	(void)fputs(".Dd $Mdocdate$\n.Dt KEYSTILE 1\n.Os\n.Sh NAME\n.Nm keystile\n.Nd credentials service of voice and communications "
		    "platforms\n.Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar options\n.Sh DESCRIPTION\n.Nm\nissues, decides on, rotates and revokes "
		    "API keys for a tree of tenants.\nEvery command takes\n.Fl \\-data Ar DIR\nand acts through the running service of that data "
		    "directory, or on its store where none runs.\n.Sh COMMANDS\n.Bl -tag -width Ds\n",
		    out);
	for (size_t i = 0; i < ks_command_count; i++) {
		const struct ks_command *c = &ks_commands[i];

		(void)fprintf(out, ".It Cm %s%s%s%s%s\n%s.\n", c->group ? c->group : "", c->group ? " " : "", c->verb,
			      c->words[0] ? " " : "", c->words, c->about);
		if (!c->options->name)
			continue;
		(void)fputs(".Bl -tag -width Ds -compact\n", out);
		for (const struct ks_option *o = c->options; o->name; o++)
			(void)fprintf(out, ".It Fl \\-%s%s%s\n%s\n", o->name, o->value ? " Ar " : "", o->value ? o->value : "", o->about);
		(void)fputs(".El\n", out);
	}
	(void)fputs(".El\n.Pp\nOptions of every command:\n.Bl -tag -width Ds -compact\n.It Fl \\-data Ar DIR\ndata directory\n"
		    ".It Fl \\-config Ar FILE\nsettings file\n.It Fl \\-json\nprint JSON\n.It Fl \\-help\nprint the command's help\n.El\n"
		    ".Sh ENVIRONMENT\nEvery setting has a variable:\n.Ev KEYSTILE_\nand its name in upper case, dots as underscores.\n"
		    ".Ev KEYSTILE_CONFIG\nnames the settings file and\n.Ev KEYSTILE_TOKEN\nthe credential that\n.Cm verify\nand\n.Cm explain\n"
		    "ask about.\n.Sh EXIT STATUS\n0 done, 1 refused or failed, 2 bad usage, 3 denied.\n"
		    ".Sh SEE ALSO\n.Xr keystile.yaml 5\n",
		    out);
}
