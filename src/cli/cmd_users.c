/* SPDX-License-Identifier: Apache-2.0 */
/* users …, members …: people, their access, and what they are members of. */
#include "base/secret.h"
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

static int do_user(struct ks_cli *cli, const char *method, const char *below,
		   void (*show)(struct ks_cli *cli, const json_t *answer))
{
	char target[TARGET_MAX];

	return ks_client_do(cli, method, target_of(cli, target, "/v1/users/", below), NULL, show);
}

/* ---- users ---- */

int ks_cmd_users_create(struct ks_cli *cli)
{
	struct ks_json body;

	if (!ks_cli_option(cli, "organization") || !ks_cli_option(cli, "email"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--organization and --email are needed");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "organization", "organization");
	ks_put_member(cli, &body, "email", "email");
	ks_put_member(cli, &body, "name", "name");
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/users", &body, ks_show_record);
}

static void show_users(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "email", "name", "organization", "status", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_users_list(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/users");
	ks_put_query(cli, &b, "organization", "organization");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_users);
}

int ks_cmd_users_show(struct ks_cli *cli)
{
	return do_user(cli, "GET", "", ks_show_record);
}

int ks_cmd_users_disable(struct ks_cli *cli)
{
	return do_user(cli, "POST", "/disable", ks_show_record);
}

int ks_cmd_users_enable(struct ks_cli *cli)
{
	return do_user(cli, "POST", "/enable", ks_show_record);
}

int ks_cmd_users_uninvite(struct ks_cli *cli)
{
	return do_user(cli, "DELETE", "/invitation", ks_show_record);
}

/* The token alone, as with keys. */
static void show_invitation(struct ks_cli *cli, const json_t *answer)
{
	const json_t *invitation = json_object_get(answer, "invitation");
	const char *token = json_string_value(json_object_get(invitation, "token"));

	(void)cli;
	(void)fprintf(stderr, "%s: the invitation below is shown this once, and good until %s\n",
		      json_string_value(json_object_get(answer, "email")),
		      json_string_value(json_object_get(invitation, "expires_at")));
	(void)printf("%s\n", token ? token : "");
}

int ks_cmd_users_invite(struct ks_cli *cli)
{
	return do_user(cli, "POST", "/invitation", show_invitation);
}

/* ---- a password, by way of an invitation ---- */

static int call(struct ks_cli *cli, const char *target, struct ks_json *body, struct ks_answer *ret_answer)
{
	int code = ks_client_call(cli, "POST", target, body ? ks_str_of(body->p, body->n) : KS_STR(""), ret_answer);

	if (code == KS_EXIT_DONE && (ret_answer->status < 200 || ret_answer->status > 299))
		code = ks_client_problem(cli, ret_answer);
	return code;
}

static int accept(struct ks_cli *cli, const json_t *invitation, struct ks_str password)
{
	const char *token = json_string_value(json_object_get(invitation, "token"));
	struct ks_json body;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_c(&body, "token", token);
	ks_json_put_str(&body, "password", password);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/invitations/accept", &body, ks_show_done);
}

int ks_cmd_users_password(struct ks_cli *cli)
{
	char target[TARGET_MAX], text[KS_CLI_PASSWORD_MAX + 1];
	struct ks_buf password = KS_BUF(text);
	struct ks_answer answer = {0};
	int code = ks_cli_password(cli, &password);

	if (code == KS_EXIT_DONE)
		code = call(cli, target_of(cli, target, "/v1/users/", "/invitation"), NULL, &answer);
	if (code == KS_EXIT_DONE)
		code = accept(cli, json_object_get(answer.json, "invitation"), ks_buf_str(&password));
	ks_answer_free(&answer);
	ks_wipe(text, sizeof(text));
	return code;
}

/* ---- sessions and the second factor ---- */

static void show_sessions(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "method", "created_at", "last_used_at", "last_used_address", "expires_at",
					      "user_agent", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_users_sessions(struct ks_cli *cli)
{
	return do_user(cli, "GET", "/sessions", show_sessions);
}

int ks_cmd_users_end_sessions(struct ks_cli *cli)
{
	return do_user(cli, "DELETE", "/sessions", ks_show_record);
}

int ks_cmd_users_remove_totp(struct ks_cli *cli)
{
	return do_user(cli, "DELETE", "/totp", ks_show_record);
}

/* ---- members ---- */

static void show_members(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"user", "email", "name", "role", "created_at", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_members_list(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/tenants/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "/members");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_members);
}

int ks_cmd_members_put(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_json body;

	if (!ks_cli_option(cli, "role"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--role is needed");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "role", "role");
	ks_json_close(&body, '}');
	return ks_client_do(cli, "PUT", target_of(cli, target, "/v1/tenants/", "/members/"), &body, ks_show_record);
}

int ks_cmd_members_remove(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "DELETE", target_of(cli, target, "/v1/tenants/", "/members/"), NULL, ks_show_done);
}
