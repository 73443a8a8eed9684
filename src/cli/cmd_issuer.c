/* SPDX-License-Identifier: Apache-2.0 */
/* issuer: the keys that our own JWTs are signed with. */
#include "cli/cli.h"
#include "cli/cmd_tables.h"

static const char *text_of(const json_t *key, const char *name)
{
	const char *text = json_string_value(json_object_get(key, name));

	return text ? text : "-";
}

static void show_issuer(struct ks_cli *cli, const json_t *answer)
{
	const json_t *audience, *key;
	size_t i;

	(void)cli;
	(void)printf("issuer     %s\naudiences ", text_of(answer, "issuer"));
	json_array_foreach(json_object_get(answer, "audiences"), i, audience)
		(void)printf(" %s", json_string_value(audience));
	(void)printf("\n\n%-43s  %-9s  %-7s  %-24s  %s\n", "KID", "ALGORITHM", "STATE", "SIGNS FROM", "PUBLISHED UNTIL");
	json_array_foreach(json_object_get(answer, "keys"), i, key)
		(void)printf("%-43s  %-9s  %-7s  %-24s  %s\n", text_of(key, "kid"), text_of(key, "algorithm"), text_of(key, "state"),
			     text_of(key, "signs_from"), text_of(key, "published_until"));
}

int ks_cmd_issuer_show(struct ks_cli *cli)
{
	return ks_client_do(cli, "GET", "/v1/issuer", NULL, show_issuer);
}

int ks_cmd_issuer_rotate(struct ks_cli *cli)
{
	struct ks_json body;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_bool(&body, "now", ks_cli_option(cli, "now") != NULL);
	ks_json_put_bool(&body, "withdraw", ks_cli_option(cli, "withdraw") != NULL);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/issuer/rotate", &body, show_issuer);
}
