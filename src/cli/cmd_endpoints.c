/* SPDX-License-Identifier: Apache-2.0 */
/* endpoints …, deliveries …: where events are sent, and how that went. */
#include <stdlib.h>

#include "cli/cmd_tables.h"

#define TARGET_MAX 1024
#define CURSOR_MAX 64

static const char *path_of(struct ks_cli *cli, char target[TARGET_MAX], const char *list, const char *call)
{
	struct ks_buf b = ks_buf_of(target, TARGET_MAX);

	ks_buf_put_c(&b, list);
	if (cli->word_count > 0) {
		ks_buf_put_c(&b, "/");
		ks_cli_put_encoded(&b, cli->words[0]);
	}
	ks_buf_put_c(&b, call);
	return ks_buf_z(&b);
}

static int do_endpoint(struct ks_cli *cli, const char *method, const char *call, struct ks_json *body,
		       void (*show)(struct ks_cli *cli, const json_t *answer))
{
	char target[TARGET_MAX];

	return ks_client_do(cli, method, path_of(cli, target, "/v1/webhook-endpoints", call), body, show);
}

/* ---- create, change, rotate ---- */

/* What a receiver verifies with, alone on standard output, so that scripts can take it: the secret, or the public key. */
static void show_made(struct ks_cli *cli, const json_t *answer)
{
	const char *id = json_string_value(json_object_get(answer, "id")), *secret = json_string_value(json_object_get(answer, "secret"));
	const json_t *newest = json_array_get(json_object_get(answer, "secrets"), 0);
	const char *key = json_string_value(json_object_get(newest, "public_key"));

	(void)cli;
	(void)fprintf(stderr, secret ? "%s: the secret below is shown this once\n" : "%s: its receiver verifies with the public key below\n", id);
	(void)printf("%s\n", secret ? secret : key ? key : "");
}

/* A number, or "none". False after saying what is wrong. */
static bool put_limit(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name)
{
	const char *text = ks_cli_option(cli, option);
	uint64_t value;

	if (!text)
		return true;
	if (ks_str_eq(ks_str_c(text), KS_STR("none"))) {
		ks_json_put_null(body, name);
		return true;
	}
	if (!ks_str_to_u64(ks_str_c(text), UINT32_MAX, &value)) {
		(void)ks_cli_fail(cli, KS_EXIT_USAGE, "--%s takes a number, or none", option);
		return false;
	}
	ks_json_put_u64(body, name, value);
	return true;
}

static bool put_members(struct ks_cli *cli, struct ks_json *body, const char *events)
{
	const char *event = ks_cli_option(cli, "event");

	ks_put_member(cli, body, "tenant", "tenant");
	ks_put_member(cli, body, "url", "url");
	if (event || events) {
		ks_json_name(body, "events");
		ks_json_open(body, '[');
		for (size_t i = 0; (event = ks_cli_option_n(cli, "event", i)); i++)
			ks_json_c(body, event);
		if (!ks_cli_option(cli, "event"))
			ks_json_c(body, events);
		ks_json_close(body, ']');
	}
	ks_put_member(cli, body, "description", "description");
	ks_put_member(cli, body, "signature", "signature");
	return put_limit(cli, body, "concurrency", "concurrency") && put_limit(cli, body, "rate", "rate_limit");
}

/* `events`: what it listens to where nothing is said; NULL: nothing is sent of it. */
static int write_endpoint(struct ks_cli *cli, const char *method, const char *events,
			  void (*show)(struct ks_cli *cli, const json_t *answer))
{
	struct ks_json body;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	if (!put_members(cli, &body, events)) {
		ks_json_free(&body);
		return KS_EXIT_USAGE;
	}
	ks_json_close(&body, '}');
	return do_endpoint(cli, method, "", &body, show);
}

int ks_cmd_endpoints_create(struct ks_cli *cli)
{
	if (!ks_cli_option(cli, "url"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--url is missing");
	return write_endpoint(cli, "POST", "*", show_made);
}

int ks_cmd_endpoints_change(struct ks_cli *cli)
{
	return write_endpoint(cli, "PATCH", NULL, ks_show_record);
}

int ks_cmd_endpoints_rotate(struct ks_cli *cli)
{
	const char *overlap = ks_cli_option(cli, "overlap");
	struct ks_json body;
	uint64_t seconds = 0;

	if (overlap && !ks_str_to_u64(ks_str_c(overlap), UINT32_MAX, &seconds))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--overlap takes a number of seconds");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_json_put_u64(&body, "overlap_s", seconds);
	ks_put_member(cli, &body, "signature", "signature");
	ks_json_close(&body, '}');
	return do_endpoint(cli, "POST", "/rotate", &body, show_made);
}

/* ---- list, show, switch ---- */

static void show_endpoints(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "tenant", "state", "reason", "events", "url", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_endpoints_list(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/webhook-endpoints");
	ks_put_query(cli, &b, "tenant", "tenant");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_endpoints);
}

int ks_cmd_endpoints_show(struct ks_cli *cli)
{
	return do_endpoint(cli, "GET", "", NULL, ks_show_record);
}

int ks_cmd_endpoints_pause(struct ks_cli *cli)
{
	return do_endpoint(cli, "POST", "/pause", NULL, ks_show_record);
}

int ks_cmd_endpoints_resume(struct ks_cli *cli)
{
	return do_endpoint(cli, "POST", "/resume", NULL, ks_show_record);
}

int ks_cmd_endpoints_test(struct ks_cli *cli)
{
	return do_endpoint(cli, "POST", "/test", NULL, ks_show_record);
}

int ks_cmd_endpoints_delete(struct ks_cli *cli)
{
	return do_endpoint(cli, "DELETE", "", NULL, ks_show_record);
}

/* ---- replay, to its end ---- */

/* One step. *cursor is where it goes on, empty at the end; *count rises. An exit code. */
static int replay_step(struct ks_cli *cli, char cursor[CURSOR_MAX], uint64_t *count)
{
	struct ks_buf next = ks_buf_of(cursor, CURSOR_MAX);
	char target[TARGET_MAX];
	struct ks_answer answer;
	struct ks_json body;
	const char *text;
	int code;

	ks_json_init(&body);
	ks_json_open(&body, '{');
	ks_put_member(cli, &body, "from", "from");
	ks_put_member(cli, &body, "to", "to");
	ks_json_put_bool(&body, "failed_only", !ks_cli_option(cli, "all"));
	if (cursor[0])
		ks_json_put_c(&body, "cursor", cursor);
	ks_json_close(&body, '}');
	code = ks_client_call(cli, "POST", path_of(cli, target, "/v1/webhook-endpoints", "/replay"), ks_str_of(body.p, body.n), &answer);
	ks_json_free(&body);
	if (code != KS_EXIT_DONE)
		return code;
	if (answer.status != 200)
		code = ks_client_problem(cli, &answer);
	*count += (uint64_t)json_integer_value(json_object_get(answer.json, "replayed"));
	text = json_string_value(json_object_get(answer.json, "next"));
	ks_buf_put_c(&next, text ? text : "");
	(void)ks_buf_z(&next);
	ks_answer_free(&answer);
	return code;
}

int ks_cmd_endpoints_replay(struct ks_cli *cli)
{
	char cursor[CURSOR_MAX] = "";
	uint64_t count = 0;
	int code;

	if (!ks_cli_option(cli, "from"))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--from is missing");
	do
		code = replay_step(cli, cursor, &count);
	while (code == KS_EXIT_DONE && cursor[0]);
	if (code == KS_EXIT_DONE)
		(void)printf(cli->json ? "{\"replayed\":%llu}\n" : "%llu deliveries are due again\n", (unsigned long long)count);
	return code;
}

/* ---- deliveries ---- */

static void show_deliveries(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "endpoint", "event", "type", "state", "attempts", "code", "status", "next_at", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_deliveries_list(struct ks_cli *cli)
{
	static const char *const names[] = {"tenant", "endpoint", "event", "state", "from", "to", "limit", "cursor"};
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/deliveries");
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++)
		ks_put_query(cli, &b, names[i], names[i]);
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_deliveries);
}

/* The record, then a line for each attempt. */
static void show_delivery(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"number", "at", "code", "status", "elapsed_ms", "excerpt", NULL};
	json_t *record = json_copy((json_t *)(uintptr_t)answer);
	json_t *list = json_pack("{s:O}", "items", json_object_get(answer, "attempt_list"));

	(void)json_object_del(record, "attempt_list");
	ks_show_record(cli, record);
	if (json_array_size(json_object_get(list, "items")) > 0) {
		(void)printf("\n");
		ks_show_list(list, columns);
	}
	json_decref(list);
	json_decref(record);
}

int ks_cmd_deliveries_show(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "GET", path_of(cli, target, "/v1/deliveries", ""), NULL, show_delivery);
}

int ks_cmd_deliveries_replay(struct ks_cli *cli)
{
	char target[TARGET_MAX];

	return ks_client_do(cli, "POST", path_of(cli, target, "/v1/deliveries", "/replay"), NULL, ks_show_record);
}
