/* SPDX-License-Identifier: Apache-2.0 */
/* tenants …: the tree. */
#include "cli/cmd_tables.h"

#define TARGET_MAX 2048

static const char *target_of(struct ks_cli *cli, char text[TARGET_MAX], const char *base, const char *between)
{
	struct ks_buf b = ks_buf_of(text, TARGET_MAX);

	ks_buf_put_c(&b, base);
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, between);
	if (cli->word_count > 1 && between[0] && between[strlen(between) - 1] == '/')
		ks_cli_put_encoded(&b, cli->words[1]);
	return ks_buf_z(&b);
}

int ks_cmd_tenants_create(struct ks_cli *cli)
{
	struct ks_json body;

	if (!ks_cli_option(cli, "kind") || !ks_cli_option(cli, "name"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--kind and --name are needed");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "kind", "kind");
	ks_put_member(cli, &body, "parent", "parent");
	ks_put_member(cli, &body, "name", "name");
	ks_put_member(cli, &body, "slug", "slug");
	if (ks_cli_option(cli, "administrator")) {
		ks_json_name(&body, "administrator");
		ks_json_open(&body, '{');
		ks_put_member(cli, &body, "administrator", "email");
		ks_json_close(&body, '}');
	}
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/tenants", &body, ks_show_record);
}

static void show_tenants(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "kind", "name", "slug", "parent", "status", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_tenants_list(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/tenants");
	ks_put_query(cli, &b, "parent", "parent");
	ks_put_query(cli, &b, "kind", "kind");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_tenants);
}

int ks_cmd_tenants_show(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "GET", target_of(cli, target, "/v1/tenants/", ""), NULL, ks_show_record);
}

int ks_cmd_tenants_rename(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_json body;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_c(&body, "name", cli->words[1]);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "PATCH", target_of(cli, target, "/v1/tenants/", ""), &body, ks_show_record);
}

int ks_cmd_tenants_suspend(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "POST", target_of(cli, target, "/v1/tenants/", "/suspend"), NULL, ks_show_record);
}

int ks_cmd_tenants_resume(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "POST", target_of(cli, target, "/v1/tenants/", "/resume"), NULL, ks_show_record);
}

int ks_cmd_tenants_delete(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "DELETE", target_of(cli, target, "/v1/tenants/", ""), NULL, ks_show_record);
}
