/* SPDX-License-Identifier: Apache-2.0 */
/* webhooks listen: a receiver of our events at a terminal. It verifies each, prints it, and answers as a receiver does. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "base/time.h"
#include "cli/cmd_tables.h"
#include "cli/webhook_keys.h"
#include "http/server.h"

#define PORT_DEFAULT 5398
#define BODY_MAX ((size_t)8 << 20)
#define COUNT_MAX 1000000000
#define SEEN_MAX 1024 /* ids that are remembered */
#define SEEN_ID_MAX 128
#define DRAIN_MS 5000

/* The server has one thread: what changes here is its own, until it has ended. */
struct listener {
	const struct ks_cli *cli;
	struct ks_webhook_keys keys;
	int answer;     /* what genuine events are answered with */
	uint64_t left;  /* genuine events until the end; 0: there is none */
	bool ended;
	bool failed;    /* something could not be printed */
	size_t seen_count;
	char seen[SEEN_MAX][SEEN_ID_MAX + 1];
};

/* ---- which were here before ---- */

static bool seen_before(struct listener *l, struct ks_str id)
{
	struct ks_buf slot = ks_buf_of(l->seen[l->seen_count % SEEN_MAX], SEEN_ID_MAX + 1);

	id = ks_str_sub(id, 0, SEEN_ID_MAX);
	for (size_t i = 0; i < KS_MIN(l->seen_count, (size_t)SEEN_MAX); i++)
		if (ks_str_eq(ks_str_c(l->seen[i]), id))
			return true;
	ks_buf_put(&slot, id);
	(void)ks_buf_z(&slot);
	l->seen_count++;
	return false;
}

/* ---- printing ---- */

struct event {
	char at[KS_TIME_TEXT_SIZE];
	char address[KS_ADDR_TEXT_SIZE];
	enum ks_hooksig_code code;
	struct ks_str id;
	bool again;
	struct ks_str bytes;
	json_t *body; /* NULL: the body is no JSON, or nobody vouches for it */
};

static void put_body(struct ks_json *out, const struct event *event)
{
	char *text = event->body ? json_dumps(event->body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t size = event->bytes.n / 3 * 4 + 8;
	char *encoded = text ? NULL : malloc(size);

	ks_json_put_raw(out, "body", ks_str_c(text ? text : ""));
	if (encoded)
		ks_json_put_str(out, "body_base64", ks_str_of(encoded, ks_base64_encode((const unsigned char *)event->bytes.p, event->bytes.n,
											encoded, size)));
	free(encoded);
	free(text);
}

static void print_json(const struct event *event)
{
	bool verified = event->code == KS_HOOKSIG_OK;
	struct ks_json out;

	ks_json_init(&out);
	ks_json_open(&out, '{');
	ks_json_put_c(&out, "at", event->at);
	ks_json_put_bool(&out, "verified", verified);
	ks_json_put_c(&out, "code", ks_hooksig_code_name(event->code));
	ks_json_put_c(&out, "address", event->address);
	if (verified) {
		ks_json_put_str(&out, "id", event->id);
		ks_json_put_bool(&out, "again", event->again);
		put_body(&out, event);
	}
	ks_json_close(&out, '}');
	if (!out.failed)
		(void)printf("%.*s\n", (int)out.n, out.p);
	ks_json_free(&out);
}

static void print_text(const struct event *event)
{
	const char *type = json_string_value(json_object_get(event->body, "type"));
	char *text = event->body ? json_dumps(event->body, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;

	if (event->code != KS_HOOKSIG_OK)
		(void)printf("%s refused, from %s: %s (%s)\n", event->at, event->address, ks_hooksig_code_name(event->code),
			     ks_hooksig_code_text(event->code));
	else
		(void)printf("%s verified %.*s %s%s\n", event->at, KS_STR_ARG(event->id), type ? type : "-", event->again ? " (again)" : "");
	if (text)
		(void)printf("%s\n", text);
	else if (event->code == KS_HOOKSIG_OK)
		(void)printf("%zu bytes that are no JSON\n", event->bytes.n);
	free(text);
}

static void end(struct listener *l)
{
	l->ended = true;
	(void)kill(getpid(), SIGTERM);
}

/* False: it could not be printed, and this is the end. */
static bool print(struct listener *l, const struct event *event)
{
	if (l->cli->json)
		print_json(event);
	else
		print_text(event);
	if (fflush(stdout) == 0)
		return true;
	l->failed = true;
	end(l);
	return false;
}

/* ---- exchanges ---- */

static void begin(void *ctx, struct ks_exchange *exchange)
{
	(void)ctx;
	exchange->body_max = BODY_MAX;
}

static void closed(void *ctx, struct ks_exchange *exchange)
{
	(void)ctx;
	(void)exchange;
}

static enum ks_hooksig_code verify(const struct listener *l, const struct ks_exchange *exchange)
{
	struct ks_hooksig_header headers[KS_HEADERS_MAX];
	struct ks_hooksig_request request = {
		.method = exchange->method, .url = KS_STR(KS_WEBHOOK_URL_ANY), .headers = headers, .header_count = exchange->header_count,
		.body = exchange->body,
	};
	struct ks_hooksig_answer answer = {.code = KS_HOOKSIG_MALFORMED};
	size_t size = ks_hooksig_room(exchange->body.n);
	struct ks_buf room = ks_buf_of(malloc(size), size);

	for (size_t i = 0; i < exchange->header_count; i++)
		headers[i] = (struct ks_hooksig_header){exchange->headers[i].name, exchange->headers[i].value};
	for (size_t i = 0; room.p && i < l->keys.count; i++) {
		ks_hooksig_verify(l->keys.schemes[i], &request, exchange->now_ms, &room, &answer);
		if (answer.code == KS_HOOKSIG_OK)
			break;
	}
	free(room.p);
	return answer.code;
}

static void answer_refusal(struct ks_exchange *exchange, enum ks_hooksig_code code)
{
	exchange->status = 401;
	ks_buf_printf(&exchange->text, "{\"title\":\"Not genuine\",\"status\":401,\"code\":\"%s\"}\n", ks_hooksig_code_name(code));
	exchange->answer_body = ks_buf_str(&exchange->text);
	ks_exchange_answer_header(exchange, KS_STR("Content-Type"), KS_STR("application/problem+json"));
}

static enum ks_finish finish(void *ctx, struct ks_exchange *exchange)
{
	struct listener *l = ctx;
	struct event event = {.bytes = exchange->body};

	exchange->status = 503;
	if (l->ended)
		return KS_FINISH_DONE;
	ks_time_format(exchange->now_ms, event.at);
	ks_addr_format(&exchange->peer, event.address);
	event.code = verify(l, exchange);
	if (event.code == KS_HOOKSIG_OK) {
		event.id = ks_exchange_header(exchange, KS_STR("webhook-id"), NULL);
		event.again = seen_before(l, event.id);
		event.body = json_loadb(event.bytes.p, event.bytes.n, JSON_REJECT_DUPLICATES, NULL);
	}
	if (print(l, &event) && event.code == KS_HOOKSIG_OK) {
		exchange->status = l->answer;
		if (l->left > 0 && --l->left == 0)
			end(l);
	} else if (!l->failed) {
		answer_refusal(exchange, event.code);
	}
	json_decref(event.body);
	return KS_FINISH_DONE;
}

/* ---- the command ---- */

static bool read_number(const struct ks_cli *cli, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *text = ks_cli_option(cli, name);

	if (!text || (ks_str_to_u64(ks_str_c(text), max, ret) && *ret >= min))
		return true;
	(void)ks_cli_fail(cli, KS_EXIT_USAGE, "--%s takes a number, %llu to %llu", name, (unsigned long long)min, (unsigned long long)max);
	return false;
}

static void say_listening(const struct ks_cli *cli, const char *host, unsigned port)
{
	(void)fprintf(stderr, cli->json ? "{\"listening\": \"http://%s:%u/\"}\n" : "listening on http://%s:%u/ until interrupted\n", host, port);
}

static int serve(struct listener *l, const char *host, unsigned port)
{
	char listen[128];
	struct ks_buf b = KS_BUF(listen);
	struct ks_http_options options = {
		.threads = 1, .connections_max = 256, .idle_timeout_ms = 60000, .request_timeout_ms = 30000, .body_total_max = BODY_MAX * 8,
	};
	struct ks_handler handler = {.ctx = l, .begin = begin, .finish = finish, .closed = closed};
	struct ks_http_server *server = NULL;
	const char *problem = "";
	sigset_t signals;
	int number;

	ks_buf_printf(&b, "%s:%u", host, port);
	options.listen = ks_buf_z(&b);
	/* Blocked before any thread is made, so that sigwait gets them. */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (ks_http_start(&options, &handler, &server, &problem) != KS_OK)
		return ks_cli_fail(l->cli, KS_EXIT_FAILED, "%s: %s", options.listen, problem);
	say_listening(l->cli, host, ks_http_port(server));
	(void)sigwait(&signals, &number);
	ks_http_stop(&server, DRAIN_MS);
	return l->failed ? ks_cli_fail(l->cli, KS_EXIT_FAILED, "standard output cannot be written") : KS_EXIT_DONE;
}

int ks_cmd_webhooks_listen(struct ks_cli *cli)
{
	const char *address = ks_cli_option(cli, "address");
	uint64_t port = PORT_DEFAULT, count = 0, answer = 204;
	struct listener *l;
	char host[KS_ADDR_TEXT_SIZE + 2];
	struct ks_buf b = KS_BUF(host);
	struct ks_str text = ks_str_c(address ? address : "127.0.0.1");
	struct ks_addr parsed;
	int code;

	if (!read_number(cli, "port", 0, 65535, &port) || !read_number(cli, "count", 1, COUNT_MAX, &count) ||
	    !read_number(cli, "answer", 200, 599, &answer))
		return KS_EXIT_USAGE;
	if (!ks_addr_parse(text, &parsed))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--address takes an address of this machine, such as 127.0.0.1");
	ks_buf_printf(&b, ks_str_find(text, ':') == SIZE_MAX ? "%.*s" : "[%.*s]", KS_STR_ARG(text));
	l = calloc(1, sizeof(*l));
	if (!l)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	l->cli = cli;
	l->left = count;
	l->answer = (int)answer;
	code = ks_webhook_keys_read(cli, false, &l->keys);
	if (code == KS_EXIT_DONE)
		code = serve(l, ks_buf_z(&b), (unsigned)port);
	ks_webhook_keys_free(&l->keys);
	free(l);
	return code;
}
