/* SPDX-License-Identifier: Apache-2.0 */
/* keystile vault root, keystile vault rewrap. */
#include <stdio.h>

#include "cli/cli.h"

static const char *yes_no(const json_t *answer, const char *name)
{
	return json_is_true(json_object_get(answer, name)) ? "yes" : "no";
}

static long long number_of(const json_t *answer, const char *name)
{
	return (long long)json_integer_value(json_object_get(answer, name));
}

static void show_root(struct ks_cli *cli, const json_t *answer)
{
	(void)cli;
	(void)printf("root        %s\nready       %s\nlandlock    %s\nrotating    %s\nrewrapping  %s\nrewrapped   %lld\nrestarts    %lld\n",
		     json_string_value(json_object_get(answer, "root")), yes_no(answer, "ready"), yes_no(answer, "landlock"),
		     yes_no(answer, "rotating"), yes_no(answer, "rewrapping"), number_of(answer, "rewrapped"),
		     number_of(answer, "restarts"));
}

int ks_cmd_vault_root(struct ks_cli *cli)
{
	return ks_client_do(cli, "GET", "/v1/vault/root", NULL, show_root);
}

static void show_rewrapped(struct ks_cli *cli, const json_t *answer)
{
	(void)cli;
	(void)printf("%lld of %lld keys wrapped anew by %s%s\n", number_of(answer, "rewrapped"), number_of(answer, "keys"),
		     json_string_value(json_object_get(answer, "root")),
		     json_is_true(json_object_get(answer, "rotated")) ? "; the old key file is gone" : "");
}

int ks_cmd_vault_rewrap(struct ks_cli *cli)
{
	struct ks_json body;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_bool(&body, "rotate", ks_cli_option(cli, "rotate") != NULL);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/vault/rewrap", &body, show_rewrapped);
}
