/* SPDX-License-Identifier: Apache-2.0 */
/* issuers …, identity-providers …: whose word about callers is taken. */
#include <string.h>

#include "base/secret.h"
#include "cli/cmd_tables.h"

#define TARGET_MAX 512
#define SECRET_MAX 1024

static const char *target_of(struct ks_cli *cli, char text[TARGET_MAX], const char *base, const char *verb)
{
	struct ks_buf b = ks_buf_of(text, TARGET_MAX);

	ks_buf_put_c(&b, base);
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, verb);
	return ks_buf_z(&b);
}

static void put_texts(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name)
{
	const char *value;

	if (!ks_cli_option(cli, option))
		return;
	ks_json_name(body, name);
	ks_json_open(body, '[');
	for (size_t i = 0; (value = ks_cli_option_n(cli, option, i)) != NULL; i++)
		ks_json_str(body, ks_str_c(value));
	ks_json_close(body, ']');
}

/* VALUE=MEANING, as an object. A value may hold the sign itself: the last one divides. False: said what is wrong. */
static bool put_mappings(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name)
{
	char room[SECRET_MAX];
	const char *text;

	if (!ks_cli_option(cli, option))
		return true;
	ks_json_name(body, name);
	ks_json_open(body, '{');
	for (size_t i = 0; (text = ks_cli_option_n(cli, option, i)) != NULL; i++) {
		const char *sign = strrchr(text, '=');
		struct ks_buf b = KS_BUF(room);

		if (!sign || sign == text) {
			(void)ks_cli_fail(cli, KS_EXIT_USAGE, "--%s must be VALUE=MEANING", option);
			return false;
		}
		ks_buf_put_json(&b, ks_str_of(text, (size_t)(sign - text)));
		/* Names of members are written without escaping: this one is escaped already. */
		ks_buf_put_byte(&b, ':');
		ks_buf_put_json(&b, ks_str_c(sign + 1));
		ks_json_raw(body, ks_buf_str(&b));
	}
	ks_json_close(body, '}');
	return true;
}

/* ---- issuers ---- */

int ks_cmd_issuers_create(struct ks_cli *cli)
{
	struct ks_json body;

	if (!ks_cli_option(cli, "organization") || !ks_cli_option(cli, "name") || !ks_cli_option(cli, "issuer")
	    || !ks_cli_option(cli, "audience"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--organization, --name, --issuer and --audience are needed");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "organization", "organization");
	ks_put_member(cli, &body, "name", "name");
	ks_put_member(cli, &body, "issuer", "issuer");
	ks_put_member(cli, &body, "audience", "audience");
	ks_put_member(cli, &body, "jwks-url", "jwks_url");
	ks_put_member(cli, &body, "tenant-claim", "tenant_claim");
	ks_put_member(cli, &body, "default-tenant", "default_tenant");
	ks_put_member(cli, &body, "role-claim", "role_claim");
	put_texts(cli, &body, "default-role", "default_roles");
	if (!put_mappings(cli, &body, "tenant-value", "tenants") || !put_mappings(cli, &body, "role-value", "roles")) {
		ks_json_free(&body);
		return KS_EXIT_USAGE;
	}
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/issuers", &body, ks_show_record);
}

static int list(struct ks_cli *cli, const char *path, void (*show)(struct ks_cli *cli, const json_t *answer))
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, path);
	ks_put_query(cli, &b, "organization", "organization");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show);
}

static void show_issuers(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id",     "name",       "organization", "issuer", "audience",
					      "status", "fetched_at", "failure",      NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_issuers_list(struct ks_cli *cli)
{
	return list(cli, "/v1/issuers", show_issuers);
}

static int act(struct ks_cli *cli, const char *method, const char *base, const char *verb)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, method, target_of(cli, target, base, verb), NULL, ks_show_record);
}

int ks_cmd_issuers_show(struct ks_cli *cli)
{
	return act(cli, "GET", "/v1/issuers/", "");
}

int ks_cmd_issuers_refresh(struct ks_cli *cli)
{
	return act(cli, "POST", "/v1/issuers/", "/refresh");
}

int ks_cmd_issuers_disable(struct ks_cli *cli)
{
	return act(cli, "POST", "/v1/issuers/", "/disable");
}

int ks_cmd_issuers_enable(struct ks_cli *cli)
{
	return act(cli, "POST", "/v1/issuers/", "/enable");
}

int ks_cmd_issuers_delete(struct ks_cli *cli)
{
	return act(cli, "DELETE", "/v1/issuers/", "");
}

/* ---- identity providers ---- */

/* From a file, not from the command line, which everybody on the machine can read. False: said what is wrong. */
static bool put_secret(struct ks_cli *cli, struct ks_json *body)
{
	const char *path = ks_cli_option(cli, "client-secret-file");
	char text[SECRET_MAX + 2];
	size_t n;
	FILE *in;

	if (!path)
		return true;
	in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!in) {
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "%s cannot be read", path);
		return false;
	}
	n = fread(text, 1, sizeof(text), in);
	if (in != stdin)
		(void)fclose(in);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	ks_json_put_str(body, "client_secret", ks_str_of(text, n));
	ks_wipe(text, sizeof(text));
	return true;
}

int ks_cmd_identity_providers_create(struct ks_cli *cli)
{
	struct ks_json body;

	if (!ks_cli_option(cli, "organization") || !ks_cli_option(cli, "name") || !ks_cli_option(cli, "issuer")
	    || !ks_cli_option(cli, "client-id"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--organization, --name, --issuer and --client-id are needed");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "organization", "organization");
	ks_put_member(cli, &body, "name", "name");
	ks_put_member(cli, &body, "issuer", "issuer");
	ks_put_member(cli, &body, "client-id", "client_id");
	ks_put_member(cli, &body, "scopes", "scopes");
	put_texts(cli, &body, "domain", "domains");
	if (ks_cli_option(cli, "auto-create"))
		ks_json_put_bool(&body, "auto_create", true);
	ks_put_member(cli, &body, "default-tenant", "default_tenant");
	ks_put_member(cli, &body, "default-role", "default_role");
	if (!put_secret(cli, &body)) {
		ks_json_free(&body);
		return KS_EXIT_FAILED;
	}
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/identity-providers", &body, ks_show_record);
}

static void show_providers(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "name", "organization", "issuer", "client_id", "status", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_identity_providers_list(struct ks_cli *cli)
{
	return list(cli, "/v1/identity-providers", show_providers);
}

int ks_cmd_identity_providers_show(struct ks_cli *cli)
{
	return act(cli, "GET", "/v1/identity-providers/", "");
}

int ks_cmd_identity_providers_disable(struct ks_cli *cli)
{
	return act(cli, "POST", "/v1/identity-providers/", "/disable");
}

int ks_cmd_identity_providers_enable(struct ks_cli *cli)
{
	return act(cli, "POST", "/v1/identity-providers/", "/enable");
}

int ks_cmd_identity_providers_delete(struct ks_cli *cli)
{
	return act(cli, "DELETE", "/v1/identity-providers/", "");
}
