/* SPDX-License-Identifier: Apache-2.0 */
/* webhooks verify, webhooks sign: a request and a scheme, at a terminal. */
#include <stdlib.h>
#include <time.h>

#include "base/ctenc.h"
#include "base/secret.h"
#include "cli/cmd_tables.h"
#include "cli/webhook_keys.h"
#include "hooksig/hooksig.h"

static json_t *read_json(const struct ks_cli *cli, const char *path)
{
	size_t n;
	char *text = ks_webhook_file_read(cli, path, &n);
	json_error_t error;
	json_t *value = text ? json_loadb(text, n, JSON_REJECT_DUPLICATES, &error) : NULL;

	if (text && !value)
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "%s:%d:%d: %s", path, error.line, error.column, error.text);
	if (text)
		ks_wipe(text, n);
	free(text);
	return value;
}

/* ---- the question, from a file or from options ---- */

/* A secret a line. */
static bool add_secrets(const struct ks_cli *cli, json_t *params, const char *path)
{
	json_t *secrets = json_array();
	size_t n;
	char *text = ks_webhook_file_read(cli, path, &n);
	struct ks_str rest = ks_str_of(text, text ? n : 0), line;
	bool more = rest.n > 0;

	while (more) {
		line = rest;
		more = ks_str_split(rest, '\n', &line, &rest);
		if (line.n > 0)
			(void)json_array_append_new(secrets, json_stringn(line.p, line.n));
	}
	(void)json_object_set_new(params, "secrets", secrets);
	if (text)
		ks_wipe(text, n);
	free(text);
	return text != NULL;
}

static bool add_body(const struct ks_cli *cli, json_t *request, const char *path)
{
	size_t n, size;
	char *body = ks_webhook_file_read(cli, path, &n), *text;

	if (!body)
		return false;
	size = n / 3 * 4 + 8;
	text = malloc(size);
	if (text)
		(void)json_object_set_new(request, "body_base64",
					  json_stringn(text, ks_base64_encode((unsigned char *)body, n, text, size)));
	free(text);
	free(body);
	return text != NULL;
}

/* "Name: value" */
static bool add_header(const struct ks_cli *cli, json_t *headers, const char *line)
{
	struct ks_str name, value;

	if (!ks_str_split(ks_str_c(line), ':', &name, &value)) {
		(void)ks_cli_fail(cli, KS_EXIT_USAGE, "a header is written as \"Name: value\"");
		return false;
	}
	value = ks_str_trim(value);
	(void)json_array_append_new(headers, json_pack("[s%, s%]", name.p, name.n, value.p, value.n));
	return true;
}

static json_t *member(json_t *object, const char *name, json_t *(*make)(void))
{
	json_t *value = json_object_get(object, name);

	if (!value) {
		(void)json_object_set_new(object, name, make());
		value = json_object_get(object, name);
	}
	return value;
}

static void set_text(const struct ks_cli *cli, json_t *object, const char *name, const char *option)
{
	const char *value = ks_cli_option(cli, option);

	if (value)
		(void)json_object_set_new(object, name, json_string(value));
}

static bool add_options(const struct ks_cli *cli, json_t *question)
{
	json_t *params, *request = member(question, "request", json_object), *headers = member(request, "headers", json_array);
	const char *path = ks_cli_option(cli, "params"), *now = ks_cli_option(cli, "now"), *line;
	uint64_t seconds;

	if (path) {
		params = read_json(cli, path);
		if (!params)
			return false;
		(void)json_object_set_new(question, "params", params);
	}
	params = member(question, "params", json_object);
	set_text(cli, question, "scheme", "scheme");
	set_text(cli, request, "url", "url");
	set_text(cli, request, "method", "method");
	if (!json_object_get(request, "method"))
		(void)json_object_set_new(request, "method", json_string("POST"));
	for (size_t i = 0; (line = ks_cli_option_n(cli, "header", i)); i++)
		if (!add_header(cli, headers, line))
			return false;
	if (now && !ks_str_to_u64(ks_str_c(now), UINT64_C(253402300799), &seconds)) {
		(void)ks_cli_fail(cli, KS_EXIT_USAGE, "--now takes seconds since 1970");
		return false;
	}
	if (now)
		(void)json_object_set_new(question, "now", json_integer((json_int_t)seconds));
	return (!ks_cli_option(cli, "secret-file") || add_secrets(cli, params, ks_cli_option(cli, "secret-file"))) &&
	       (!ks_cli_option(cli, "body") || add_body(cli, request, ks_cli_option(cli, "body")));
}

/* NULL after saying what is wrong. */
static json_t *read_question(const struct ks_cli *cli)
{
	json_t *question = cli->word_count > 0 ? read_json(cli, cli->words[0]) : json_object();

	if (question && (!json_is_object(question) || !add_options(cli, question))) {
		json_decref(question);
		return NULL;
	}
	return question;
}

/* ---- verify ---- */

int ks_cmd_webhooks_verify(struct ks_cli *cli)
{
	json_t *question = read_question(cli);
	char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;
	struct ks_answer answer;
	int code = KS_EXIT_FAILED;

	json_decref(question);
	if (!text)
		return code;
	code = ks_client_call(cli, "POST", "/v1/webhooks/verify", ks_str_c(text), &answer);
	ks_wipe(text, strlen(text));
	free(text);
	if (code != KS_EXIT_DONE)
		return code;
	if (answer.status != 200) {
		code = ks_client_problem(cli, &answer);
	} else {
		code = json_is_true(json_object_get(answer.json, "valid")) ? KS_EXIT_DONE : KS_EXIT_DENIED;
		if (cli->json)
			(void)printf("%s\n", answer.text);
		else
			(void)printf("%s\n", json_string_value(json_object_get(answer.json, "code")));
	}
	ks_answer_free(&answer);
	return code;
}

/* ---- sign ---- */

/* The form of the scheme that the service has under this name. NULL after saying what is wrong. */
static char *find_form(struct ks_cli *cli, const char *name)
{
	struct ks_answer answer;
	const json_t *platform, *form = NULL;
	char *text = NULL;
	size_t i;

	if (ks_client_call(cli, "GET", "/v1/platforms?limit=500", KS_STR(""), &answer) != KS_EXIT_DONE)
		return NULL;
	json_array_foreach(json_object_get(answer.json, "items"), i, platform)
		if (!form)
			form = json_object_get(json_object_get(platform, "webhook"), name);
	if (form)
		text = json_dumps(form, JSON_COMPACT);
	else
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "no platform has a scheme of this name: %s", name);
	ks_answer_free(&answer);
	return text;
}

struct request {
	struct ks_hooksig_request request;
	struct ks_hooksig_header headers[KS_HOOKSIG_HEADERS_MAX];
	unsigned char *body;
};

static struct ks_str text_of(const json_t *value)
{
	return ks_str_of(json_string_value(value), json_string_length(value));
}

static bool read_request(const json_t *question, struct request *r)
{
	const json_t *request = json_object_get(question, "request"), *headers = json_object_get(request, "headers");
	struct ks_str body = text_of(json_object_get(request, "body_base64"));
	size_t n = 0;

	r->body = malloc(body.n + 1);
	if (!r->body || (body.n > 0 && !ks_base64_decode(body, r->body, body.n, &n)) ||
	    json_array_size(headers) > KS_HOOKSIG_HEADERS_MAX)
		return false;
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const json_t *pair = json_array_get(headers, i);

		r->headers[i] = (struct ks_hooksig_header){text_of(json_array_get(pair, 0)), text_of(json_array_get(pair, 1))};
	}
	r->request = (struct ks_hooksig_request){
		.method = text_of(json_object_get(request, "method")), .url = text_of(json_object_get(request, "url")),
		.headers = r->headers, .header_count = json_array_size(headers), .body = ks_str_of((char *)r->body, n),
	};
	return true;
}

static void show_headers(const struct ks_cli *cli, const struct ks_hooksig_header *headers, size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++) {
		if (!cli->json)
			(void)printf("%.*s: %.*s\n", KS_STR_ARG(headers[i].name), KS_STR_ARG(headers[i].value));
		(void)json_array_append_new(all, json_pack("[s%, s%]", headers[i].name.p, headers[i].name.n, headers[i].value.p,
							   headers[i].value.n));
	}
	if (cli->json)
		(void)json_dumpf(all, stdout, JSON_COMPACT);
	if (cli->json)
		(void)printf("\n");
	json_decref(all);
}

static int sign_with(const struct ks_cli *cli, const json_t *question, const struct ks_hooksig_scheme *scheme)
{
	struct ks_hooksig_header headers[KS_HOOKSIG_RESPONSE_HEADERS_MAX];
	const json_t *now = json_object_get(question, "now");
	const char *id = ks_cli_option(cli, "id");
	int64_t now_ms = (now ? (int64_t)json_integer_value(now) : (int64_t)time(NULL)) * 1000;
	static struct request r;
	struct ks_buf room = {0};
	size_t n;
	int code = KS_EXIT_DONE;
	enum ks_err err = KS_MALFORMED;

	if (read_request(question, &r)) {
		room = ks_buf_of(malloc(ks_hooksig_room(r.request.body.n)), ks_hooksig_room(r.request.body.n));
		err = room.p ? ks_hooksig_sign(scheme, &r.request, ks_str_c(id ? id : "msg_1"), now_ms, &room, headers, &n) : KS_MEMORY;
	}
	if (err == KS_OK)
		show_headers(cli, headers, n);
	else if (err == KS_FORBIDDEN)
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "this scheme cannot be signed with what is given");
	else
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "the request cannot be signed: %s", ks_err_text(err));
	free(room.p);
	free(r.body);
	return code;
}

int ks_cmd_webhooks_sign(struct ks_cli *cli)
{
	json_t *question = read_question(cli);
	const char *name = json_string_value(json_object_get(question, "scheme"));
	char *form = name ? find_form(cli, name) : NULL, *params = NULL;
	struct ks_hooksig_scheme *scheme = NULL;
	struct ks_hooksig_problem problem = {.text = "out of memory"};
	int code = KS_EXIT_FAILED;

	if (question && !name)
		code = ks_cli_fail(cli, KS_EXIT_USAGE, "--scheme is missing");
	if (form)
		params = json_dumps(json_object_get(question, "params"), JSON_COMPACT);
	if (params && ks_hooksig_compile(ks_str_c(form), ks_str_c(params), &problem, &scheme))
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "%s%s: %s", problem.where == KS_HOOKSIG_IN_FORM ? "the scheme" : "the settings",
				   problem.pointer, problem.text);
	if (scheme)
		code = sign_with(cli, question, scheme);
	if (params)
		ks_wipe(params, strlen(params));
	free(params);
	free(form);
	ks_hooksig_free(scheme);
	json_decref(question);
	return code;
}
