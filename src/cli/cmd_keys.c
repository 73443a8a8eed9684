/* SPDX-License-Identifier: Apache-2.0 */
/* keys …: the life of keys. */
#include <errno.h>

#include "cli/cmd_tables.h"

#define TARGET_MAX 2048

/* "/v1/keys/<word 0><rest>" */
static const char *key_target(struct ks_cli *cli, char text[TARGET_MAX], const char *rest)
{
	struct ks_buf b = ks_buf_of(text, TARGET_MAX);

	ks_buf_put_c(&b, "/v1/keys/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, rest);
	return ks_buf_z(&b);
}

static void put_list(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name)
{
	if (!ks_cli_option(cli, option))
		return;
	ks_json_name(body, name);
	ks_json_open(body, '[');
	for (size_t i = 0; ks_cli_option_n(cli, option, i); i++)
		ks_json_c(body, ks_cli_option_n(cli, option, i));
	ks_json_close(body, ']');
}

/* "600/60" */
static bool put_rate(struct ks_json *body, const char *text)
{
	struct ks_str requests, window;
	uint64_t n, s;

	if (!ks_str_split(ks_str_c(text), '/', &requests, &window) || !ks_str_to_u64(requests, UINT32_MAX, &n)
	    || !ks_str_to_u64(window, UINT32_MAX, &s))
		return false;
	ks_json_name(body, "rate_limit");
	ks_json_open(body, '{');
	ks_json_put_u64(body, "requests", n);
	ks_json_put_u64(body, "window_s", s);
	ks_json_close(body, '}');
	return true;
}

static bool put_labels(struct ks_cli *cli, struct ks_json *body)
{
	struct ks_str name, value;
	char text[128];
	const char *label;

	if (!ks_cli_option(cli, "label"))
		return true;
	ks_json_name(body, "labels");
	ks_json_open(body, '{');
	for (size_t i = 0; (label = ks_cli_option_n(cli, "label", i)) != NULL; i++) {
		if (!ks_str_split(ks_str_c(label), '=', &name, &value) || name.n >= sizeof(text) || ks_str_find(name, '"') != SIZE_MAX
		    || ks_str_find(name, '\\') != SIZE_MAX || ks_str_has_control(name))
			return false;
		(void)snprintf(text, sizeof(text), "%.*s", KS_STR_ARG(name));
		ks_json_name(body, text);
		ks_json_str(body, value);
	}
	ks_json_close(body, '}');
	return true;
}

int ks_cmd_keys_create(struct ks_cli *cli)
{
	const char *expires = ks_cli_option(cli, "expires");
	const char *rate = ks_cli_option(cli, "rate");
	struct ks_json body;

	if (!ks_cli_option(cli, "name"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--name is needed");
	if (ks_cli_option(cli, "scope") && ks_cli_option(cli, "default-scopes"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--scope and --default-scopes exclude each other");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "name", "name");
	ks_put_member(cli, &body, "kind", "kind");
	ks_put_member(cli, &body, "tenant", "tenant");
	ks_put_member(cli, &body, "user", "user");
	ks_put_member(cli, &body, "environment", "environment");
	put_list(cli, &body, "scope", "scopes");
	if (ks_cli_option(cli, "default-scopes"))
		ks_json_put_c(&body, "scopes", "default");
	put_list(cli, &body, "role", "roles");
	put_list(cli, &body, "address", "addresses");
	ks_json_name(&body, "expires_at");
	if (!ks_put_expiry(&body, expires ? expires : "never")) {
		ks_json_free(&body);
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--expires must be an RFC 3339 time, days such as 90d, or never");
	}
	if ((rate && !put_rate(&body, rate)) || !put_labels(cli, &body)) {
		ks_json_free(&body);
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--rate must be requests/seconds, --label name=value");
	}
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", "/v1/keys", &body, ks_show_token);
}

static void show_keys(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "name", "kind", "tenant", "last_four", "environment", "status", "scopes",
					      "last_used_at", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

/* A page of the service ends when it has looked at enough keys, full or not: here pages are asked for until the list is as long as wanted. The
 * items of `answer` go to `all`; its cursor to `cursor`, empty at the end. */
static void take_page(json_t *all, const struct ks_answer *answer, char cursor[64])
{
	const char *next = json_string_value(json_object_get(answer->json, "next"));
	struct ks_buf b = ks_buf_of(cursor, 64);

	(void)json_array_extend(all, json_object_get(answer->json, "items"));
	ks_buf_put_c(&b, next ? next : "");
	(void)ks_buf_z(&b);
}

static int list_keys(struct ks_cli *cli, const char *target)
{
	const char *given = ks_cli_option(cli, "limit");
	json_t *all = json_array(), *list;
	uint64_t limit = 50;
	char cursor[64] = "";
	int code;

	/* A bad one is the service's to refuse. */
	if (given)
		(void)!ks_str_to_u64(ks_str_c(given), 500, &limit);
	do {
		char page[TARGET_MAX + 128];
		struct ks_buf b = KS_BUF(page);
		struct ks_answer answer;

		ks_buf_put_c(&b, target);
		if (!cursor[0]) {
			ks_put_query(cli, &b, "limit", "limit");
			ks_put_query(cli, &b, "cursor", "cursor");
		} else {
			ks_buf_printf(&b, "%slimit=%llu&cursor=%s", ks_str_find(ks_str_c(target), '?') == SIZE_MAX ? "?" : "&",
				      (unsigned long long)(limit - json_array_size(all)), cursor);
		}
		code = ks_client_call(cli, "GET", ks_buf_z(&b), KS_STR(""), &answer);
		if (code == KS_EXIT_DONE && answer.status != 200)
			code = ks_client_problem(cli, &answer);
		if (code == KS_EXIT_DONE)
			take_page(all, &answer, cursor);
		ks_answer_free(&answer);
	} while (code == KS_EXIT_DONE && cursor[0] && json_array_size(all) < limit);
	list = json_pack("{s:o,s:s?}", "items", all, "next", cursor[0] ? cursor : NULL);
	if (code == KS_EXIT_DONE && cli->json) {
		(void)json_dumpf(list, stdout, JSON_COMPACT);
		(void)printf("\n");
	} else if (code == KS_EXIT_DONE) {
		show_keys(cli, list);
	}
	json_decref(list);
	return code;
}

int ks_cmd_keys_list(struct ks_cli *cli)
{
	static const char *const options[][2] = {{"tenant", "tenant"}, {"status", "status"}, {"kind", "kind"},
						 {"environment", "environment"}, {"unused-since", "unused_since"},
						 {"query", "q"}};
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/keys");
	for (size_t i = 0; i < KS_ARRAY_LEN(options); i++)
		ks_put_query(cli, &b, options[i][0], options[i][1]);
	if (ks_cli_option(cli, "below")) {
		if (!ks_cli_option(cli, "tenant"))
			return ks_cli_fail(cli, KS_EXIT_USAGE, "--below goes with --tenant");
		ks_buf_put_c(&b, "&below=true");
	}
	return list_keys(cli, ks_buf_z(&b));
}

int ks_cmd_keys_show(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "GET", key_target(cli, target, ""), NULL, ks_show_record);
}

int ks_cmd_keys_rename(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_json body;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_c(&body, "name", cli->words[1]);
	ks_json_close(&body, '}');
	return ks_client_do(cli, "PATCH", key_target(cli, target, ""), &body, ks_show_record);
}

int ks_cmd_keys_delete(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "DELETE", key_target(cli, target, ""), NULL, ks_show_record);
}

int ks_cmd_keys_rotate(struct ks_cli *cli)
{
	const char *overlap = ks_cli_option(cli, "overlap");
	const char *expires = ks_cli_option(cli, "expires");
	char target[TARGET_MAX];
	struct ks_json body;
	uint64_t seconds = 0;

	if (overlap && !ks_str_to_u64(ks_str_c(overlap), UINT32_MAX, &seconds))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--overlap must be a number of seconds");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_u64(&body, "overlap_s", seconds);
	if (expires) {
		ks_json_name(&body, "expires_at");
		if (!ks_put_expiry(&body, expires)) {
			ks_json_free(&body);
			return ks_cli_fail(cli, KS_EXIT_USAGE, "--expires must be an RFC 3339 time, days such as 90d, or never");
		}
	}
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", key_target(cli, target, "/rotate"), &body, ks_show_token);
}

static void show_usage(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"start", "allowed", "denied", "by_outcome", "by_scope", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_keys_usage(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/keys/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "/usage");
	ks_put_query(cli, &b, "from", "from");
	ks_put_query(cli, &b, "to", "to");
	ks_put_query(cli, &b, "step", "step");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_usage);
}

/* ---- import ---- */

static uint64_t number_of(const json_t *answer, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(answer, name));
}

static int show_import(struct ks_cli *cli, const struct ks_answer *answer)
{
	const json_t *errors = json_object_get(answer->json, "errors");
	uint64_t refused = number_of(answer->json, "refused");
	const json_t *error;
	size_t i;

	if (cli->json) {
		(void)printf("%s\n", answer->text);
		return refused > 0 ? KS_EXIT_FAILED : KS_EXIT_DONE;
	}
	json_array_foreach(errors, i, error)
		(void)fprintf(stderr, "line %llu: %s %s\n", (unsigned long long)number_of(error, "line"),
			      json_string_value(json_object_get(error, "pointer")), json_string_value(json_object_get(error, "detail")));
	if (refused > json_array_size(errors))
		(void)fprintf(stderr, "and %llu more lines\n", (unsigned long long)(refused - json_array_size(errors)));
	(void)printf("%llu lines: %llu imported, %llu refused\n", (unsigned long long)number_of(answer->json, "lines"),
		     (unsigned long long)number_of(answer->json, "imported"), (unsigned long long)refused);
	return refused > 0 ? KS_EXIT_FAILED : KS_EXIT_DONE;
}

int ks_cmd_keys_import(struct ks_cli *cli)
{
	bool standard = ks_str_eq(ks_str_c(cli->words[0]), KS_STR("-"));
	FILE *in = standard ? stdin : fopen(cli->words[0], "re");
	struct ks_answer answer;
	int code;

	if (!in)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", cli->words[0], strerror(errno));
	code = ks_client_upload(cli, "/v1/keys/import", in, &answer);
	if (code == KS_EXIT_DONE)
		code = answer.status == 200 ? show_import(cli, &answer) : ks_client_problem(cli, &answer);
	if (ferror(in))
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "%s cannot be read to its end", cli->words[0]);
	if (!standard)
		(void)fclose(in);
	ks_answer_free(&answer);
	return code;
}
