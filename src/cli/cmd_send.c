/* SPDX-License-Identifier: Apache-2.0 */
/* webhooks send: one signed event to a receiver, as the service would send it, for those who write receivers. */
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "cli/cmd_tables.h"
#include "cli/webhook_keys.h"
#include "crypto/random.h"
#include "fetch/fetch.h"

#define ANSWER_MAX ((size_t)1 << 20)
#define TIMEOUT_MS 30000
#define SIGNATURES_MAX 4096
#define ID_RANDOM 12
#define TYPE_DEFAULT "endpoint.test"

struct message {
	char id[80];
	char *body; /* heap */
	size_t body_n;
	int64_t now_ms;
	char stamp[24];
	char signatures[SIGNATURES_MAX];
};

/* ---- the event ---- */

static bool make_id(const struct ks_cli *cli, struct message *m)
{
	const char *given = ks_cli_option(cli, "id");
	struct ks_buf id = KS_BUF(m->id);
	unsigned char random[ID_RANDOM];

	if (given) {
		ks_buf_put_c(&id, given);
	} else {
		if (ks_random(random, sizeof(random)) != KS_OK)
			return false;
		ks_buf_put_c(&id, "msg_");
		ks_buf_put_hex(&id, random, sizeof(random));
	}
	(void)ks_buf_z(&id);
	return ks_buf_ok(&id) && id.n > 0 && !ks_str_has_control(ks_str_c(m->id));
}

/* The body in the file, or an event that says nothing. */
static bool make_body(const struct ks_cli *cli, struct message *m)
{
	const char *path = ks_cli_option(cli, "body"), *type = ks_cli_option(cli, "type");
	struct ks_json json;

	if (path) {
		m->body = ks_webhook_file_read(cli, path, &m->body_n);
		return m->body != NULL;
	}
	ks_json_init(&json);
	ks_json_open(&json, '{');
	ks_json_put_c(&json, "id", m->id);
	ks_json_put_c(&json, "type", type ? type : TYPE_DEFAULT);
	ks_json_put_time(&json, "timestamp", m->now_ms);
	ks_json_put_null(&json, "tenant");
	ks_json_put_null(&json, "organization");
	ks_json_put_null(&json, "object");
	ks_json_name(&json, "data");
	ks_json_open(&json, '{');
	ks_json_close(&json, '}');
	ks_json_close(&json, '}');
	m->body = json.failed ? NULL : strndup(json.p, json.n);
	m->body_n = json.n;
	ks_json_free(&json);
	if (!m->body)
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	return m->body != NULL;
}

/* ---- signing ---- */

static struct ks_str value_of(const struct ks_hooksig_header *headers, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (ks_str_eq_nocase(headers[i].name, ks_str_c(name)))
			return headers[i].value;
	return KS_STR("");
}

/* Signatures by all keys, in one list. */
static enum ks_err sign(const struct ks_webhook_keys *keys, struct message *m)
{
	struct ks_hooksig_request request = {.method = KS_STR("POST"), .url = KS_STR(KS_WEBHOOK_URL_ANY), .body = ks_str_of(m->body, m->body_n)};
	size_t size = ks_hooksig_room(m->body_n), n;
	struct ks_buf room = ks_buf_of(malloc(size), size), list = KS_BUF(m->signatures), stamp = KS_BUF(m->stamp);
	struct ks_hooksig_header headers[KS_HOOKSIG_RESPONSE_HEADERS_MAX];
	enum ks_err err = room.p ? KS_OK : KS_MEMORY;

	for (size_t i = 0; err == KS_OK && i < keys->count; i++) {
		err = ks_hooksig_sign(keys->schemes[i], &request, ks_str_c(m->id), m->now_ms, &room, headers, &n);
		if (err != KS_OK)
			break;
		stamp.n = 0;
		ks_buf_put(&stamp, value_of(headers, n, "webhook-timestamp"));
		if (list.n > 0)
			ks_buf_put_c(&list, " ");
		ks_buf_put(&list, value_of(headers, n, "webhook-signature"));
	}
	(void)ks_buf_z(&stamp);
	(void)ks_buf_z(&list);
	free(room.p);
	return err == KS_OK && !(ks_buf_ok(&list) && ks_buf_ok(&stamp)) ? KS_TOO_LARGE : err;
}

/* ---- sending ---- */

/* Whoever is at the terminal reaches what the terminal reaches. */
static enum ks_fetch_result post(const struct message *m, const char *url, struct ks_fetch_response *ret_response)
{
	struct ks_fetch_request request = {
		.method = "POST", .url = ks_str_c(url), .body = ks_str_of(m->body, m->body_n), .body_max = ANSWER_MAX, .timeout_ms = TIMEOUT_MS,
		.headers = {{KS_STR("Content-Type"), KS_STR("application/json")}, {KS_STR("webhook-id"), ks_str_c(m->id)},
			    {KS_STR("webhook-timestamp"), ks_str_c(m->stamp)}, {KS_STR("webhook-signature"), ks_str_c(m->signatures)}},
		.header_count = 4,
	};
	struct ks_fetch_options options = {.allow_count = 2};
	enum ks_fetch_result result = KS_FETCH_MEMORY;
	struct ks_fetch *fetch = NULL;

	if (ks_cidr_parse(KS_STR("0.0.0.0/0"), &options.allow[0]) && ks_cidr_parse(KS_STR("::/0"), &options.allow[1]) &&
	    ks_fetch_new(&options, &fetch) == KS_OK)
		result = ks_fetch_do(fetch, &request, ret_response);
	ks_fetch_free(&fetch);
	return result;
}

static int show(const struct ks_cli *cli, const struct message *m, const struct ks_fetch_response *response)
{
	struct ks_json out;

	ks_json_init(&out);
	ks_json_open(&out, '{');
	ks_json_put_c(&out, "id", m->id);
	ks_json_put_u64(&out, "status", (uint64_t)response->status);
	ks_json_put_u64(&out, "elapsed_ms", response->elapsed_ms);
	ks_json_close(&out, '}');
	if (cli->json)
		(void)printf("%.*s\n", (int)out.n, out.p);
	else
		(void)printf("%s was answered %d in %u ms\n", m->id, response->status, response->elapsed_ms);
	ks_json_free(&out);
	return response->status >= 200 && response->status < 300 ? KS_EXIT_DONE : KS_EXIT_FAILED;
}

static int send_message(const struct ks_cli *cli, const struct ks_webhook_keys *keys, struct message *m)
{
	struct ks_fetch_response response;
	enum ks_fetch_result result;
	struct timespec now;
	enum ks_err err;
	int code;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	m->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (!make_id(cli, m))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--id takes up to %zu characters without controls", sizeof(m->id) - 1);
	if (!make_body(cli, m))
		return KS_EXIT_FAILED;
	err = sign(keys, m);
	if (err != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "the event cannot be signed: %s", ks_err_text(err));
	result = post(m, cli->words[0], &response);
	if (result != KS_FETCH_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", cli->words[0], ks_fetch_text(result));
	code = show(cli, m, &response);
	ks_fetch_response_free(&response);
	return code;
}

int ks_cmd_webhooks_send(struct ks_cli *cli)
{
	struct ks_webhook_keys keys = {0};
	struct message *m = calloc(1, sizeof(*m));
	int code = KS_EXIT_FAILED;

	if (!m)
		return ks_cli_fail(cli, code, "out of memory");
	if (ks_cli_option(cli, "body") && ks_cli_option(cli, "type"))
		code = ks_cli_fail(cli, KS_EXIT_USAGE, "--type is of the event that is made where there is no --body");
	else
		code = ks_webhook_keys_read(cli, true, &keys);
	if (code == KS_EXIT_DONE)
		code = send_message(cli, &keys, m);
	ks_webhook_keys_free(&keys);
	free(m->body);
	free(m);
	return code;
}
