/* SPDX-License-Identifier: Apache-2.0 */
/* One way to the service: the daemon's local socket, or, where none runs, the same API on the store itself, in this process. */
#include <curl/curl.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "daemon/inbound.h"
#include "daemon/serve.h"

#define BUSY_WAIT_MS 5000
#define BUSY_PAUSE_MS 20

struct ks_client {
	bool through_daemon;
	char socket_path[256];
	struct ks_engine *engine;
	struct ks_federation *federation;
	struct ks_inbound *inbound;
	struct ks_api_options api_options;
	struct ks_api *api;
};

void ks_answer_free(struct ks_answer *answer)
{
	if (answer->json)
		json_decref(answer->json);
	if (answer->text)
		ks_wipe(answer->text, answer->n);
	free(answer->text);
	*answer = (struct ks_answer){0};
}

/* ---- which way ---- */

static bool socket_answers(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ks_buf b = KS_BUF(address.sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answers;

	ks_buf_put_c(&b, path);
	(void)ks_buf_z(&b);
	if (fd < 0)
		return false;
	answers = ks_buf_ok(&b) && connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0;
	(void)close(fd);
	return answers;
}

bool ks_client_daemon_runs(struct ks_cli *cli)
{
	char path[256];

	return ks_serve_socket_path(cli->config->data.text, path, sizeof(path)) && socket_answers(path);
}

/* Another command, or a service that is starting, holds the directory for moments: until it is free or a service answers. */
static enum ks_err open_or_find(struct ks_client *client, const struct ks_engine_options *options, struct ks_engine_problem *why)
{
	const struct timespec pause = {0, BUSY_PAUSE_MS * 1000000};
	enum ks_err err = ks_engine_open(options, &client->engine, why);

	for (int waited = 0; err == KS_BUSY && waited < BUSY_WAIT_MS; waited += BUSY_PAUSE_MS) {
		(void)nanosleep(&pause, NULL);
		client->through_daemon = socket_answers(client->socket_path);
		if (client->through_daemon)
			return KS_OK;
		err = ks_engine_open(options, &client->engine, why);
	}
	return err;
}

static int open_store(struct ks_cli *cli, struct ks_client *client)
{
	struct ks_engine_options options;
	struct ks_federation_options federation;
	struct ks_inbound_options inbound;
	struct ks_config_problem problem = {""};
	struct ks_engine_problem why = {""};
	enum ks_err err;

	if (ks_serve_recall(cli->config, &problem) != KS_OK || ks_serve_engine_options(cli->config, &options, &problem) != KS_OK
	    || ks_serve_federation_options(cli->config, &federation, &problem) != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s", problem.text);
	options.progress = ks_progress;
	options.log = federation.log = NULL;
	err = open_or_find(client, &options, &why);
	if (err == KS_OK && client->through_daemon)
		return KS_EXIT_DONE;
	if (err == KS_NOT_FOUND)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "there is no store in %s: `keystile init` makes one", options.data_directory);
	if (err != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s", why.text[0] ? why.text : ks_err_text(err));
	client->api_options.realm = cli->config->realm.text;
	err = ks_federation_new(client->engine, &federation, &client->federation);
	client->api_options.federation = client->federation;
	ks_serve_inbound(cli->config, &federation.fetch, &inbound);
	inbound.log = NULL;
	if (err == KS_OK)
		err = ks_inbound_new(client->engine, &inbound, &client->inbound);
	client->api_options.inbound = client->inbound;
	ks_serve_hooks(cli->config, &client->api_options);
	if (err == KS_OK)
		err = ks_api_new(client->engine, &client->api_options, &client->api);
	return err == KS_OK ? KS_EXIT_DONE : ks_cli_fail(cli, KS_EXIT_FAILED, "%s", ks_err_text(err));
}

static int open_client(struct ks_cli *cli)
{
	if (cli->client)
		return KS_EXIT_DONE;
	cli->client = calloc(1, sizeof(*cli->client));
	if (!cli->client)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	if (!ks_serve_socket_path(cli->config->data.text, cli->client->socket_path, sizeof(cli->client->socket_path)))
		return ks_cli_fail(cli, KS_EXIT_FAILED, "the path of the data directory is too long for a local socket");
	cli->client->through_daemon = socket_answers(cli->client->socket_path);
	return cli->client->through_daemon ? KS_EXIT_DONE : open_store(cli, cli->client);
}

void ks_client_close(struct ks_cli *cli)
{
	if (!cli->client)
		return;
	ks_federation_stop(cli->client->federation);
	ks_api_free(&cli->client->api);
	ks_inbound_free(&cli->client->inbound);
	ks_federation_free(&cli->client->federation);
	ks_engine_close(&cli->client->engine);
	free(cli->client);
	cli->client = NULL;
}

/* ---- what is uploaded ---- */

struct upload {
	FILE *in;
	uint64_t done, all;   /* bytes; all 0: not known */
};

static struct upload upload_of(FILE *in)
{
	struct upload upload = {.in = in};
	struct stat st;

	if (fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		upload.all = (uint64_t)st.st_size;
	return upload;
}

/* 0 at the end, and where the file cannot be read on (ferror). */
static size_t next_piece(struct upload *upload, char *p, size_t n)
{
	size_t got = fread(p, 1, n, upload->in);

	upload->done += got;
	if (upload->all > 0 && got > 0)
		ks_progress(NULL, "import", KS_MIN(upload->done, upload->all), upload->all);
	return got;
}

/* ---- through the daemon ---- */

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct ks_json *text = ctx;

	text->comma = false;
	if (size * n > 0)
		ks_json_raw(text, ks_str_of(p, size * n));
	return text->failed ? 0 : size * n;
}

static size_t read_upload(char *p, size_t size, size_t n, void *ctx)
{
	struct upload *upload = ctx;
	size_t got = next_piece(upload, p, size * n);

	/* Half a file must not look like a whole one. */
	return got == 0 && ferror(upload->in) ? CURL_READFUNC_ABORT : got;
}

static int take_answer(struct ks_answer *answer, int status, struct ks_json *text)
{
	answer->status = status;
	answer->n = text->n;
	answer->text = malloc(text->n + 1);
	if (!answer->text || text->failed) {
		ks_json_free(text);
		return KS_EXIT_FAILED;
	}
	if (text->n)
		memcpy(answer->text, text->p, text->n);
	answer->text[text->n] = '\0';
	ks_json_free(text);
	answer->json = json_loadb(answer->text, answer->n, 0, NULL);
	return KS_EXIT_DONE;
}

static struct curl_slist *headers_for(struct ks_str body, const struct upload *upload)
{
	if (upload)
		return curl_slist_append(curl_slist_append(NULL, "Content-Type: application/x-ndjson"), "Expect:");
	return body.n ? curl_slist_append(NULL, "Content-Type: application/json") : NULL;
}

/* What is downloaded: the bytes of a 200 go on, those of any other answer are kept. */
struct download {
	bool (*take)(void *ctx, struct ks_str piece);
	void *ctx;
	CURL *curl;
	struct ks_json *text;
};

static size_t on_download(char *p, size_t size, size_t n, void *ctx)
{
	struct download *download = ctx;
	long status = 0;

	(void)curl_easy_getinfo(download->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return on_data(p, size, n, download->text);
	return download->take(download->ctx, ks_str_of(p, size * n)) ? size * n : 0;
}

static void set_download(CURL *curl, struct download *download, struct ks_json *text)
{
	download->curl = curl;
	download->text = text;
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_download);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, download);
	(void)curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 1L << 18);
}

/* ---- a bar for work of the daemon ---- */

#define WATCH_PAUSE_MS 250 /* what is quicker is not watched */

/* Asks how far the work has come, on a connection of its own; true: `work` names it, and a bar was drawn. */
static bool draw_work(const struct ks_client *client, char *work, size_t cap)
{
	CURL *curl = curl_easy_init();
	struct ks_json text;
	json_t *answer = NULL;
	bool drawn = false;

	if (!curl)
		return false;
	ks_json_init(&text);
	(void)curl_easy_setopt(curl, CURLOPT_URL, "http://local/v1/progress");
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket_path);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 4L * WATCH_PAUSE_MS);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
	if (curl_easy_perform(curl) == CURLE_OK && text.n > 0)
		answer = json_loadb(text.p, text.n, 0, NULL);
	if (json_is_string(json_object_get(answer, "work"))) {
		struct ks_buf b = ks_buf_of(work, cap);

		ks_buf_put_c(&b, json_string_value(json_object_get(answer, "work")));
		ks_progress(NULL, ks_buf_z(&b), (uint64_t)json_integer_value(json_object_get(answer, "done")),
			    (uint64_t)json_integer_value(json_object_get(answer, "all")));
		drawn = true;
	}
	json_decref(answer);
	ks_json_free(&text);
	curl_easy_cleanup(curl);
	return drawn;
}

/* As curl_easy_perform; whoever waits at a terminal sees how far the service is. */
static CURLcode perform(const struct ks_client *client, CURL *curl, bool watched)
{
	CURLM *multi = watched && isatty(STDERR_FILENO) ? curl_multi_init() : NULL;
	CURLcode result = CURLE_FAILED_INIT;
	char work[32] = "";
	bool drawn = false;
	int running = 1, left, events;
	CURLMsg *message;

	if (!multi)
		return curl_easy_perform(curl);
	if (curl_multi_add_handle(multi, curl) == CURLM_OK) {
		while (curl_multi_perform(multi, &running) == CURLM_OK && running > 0) {
			if (curl_multi_poll(multi, NULL, 0, WATCH_PAUSE_MS, &events) == CURLM_OK && events == 0)
				drawn |= draw_work(client, work, sizeof(work));
		}
		message = curl_multi_info_read(multi, &left);
		if (message && message->msg == CURLMSG_DONE)
			result = message->data.result;
		(void)curl_multi_remove_handle(multi, curl);
	}
	(void)curl_multi_cleanup(multi);
	if (drawn)
		ks_progress(NULL, work, 1, 1);
	return result;
}

static int call_daemon(struct ks_cli *cli, const char *method, const char *target, struct ks_str body, struct upload *upload,
		       struct download *download, struct ks_answer *ret_answer)
{
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = headers_for(body, upload);
	char url[KS_TARGET_MAX + 32];
	struct ks_buf b = KS_BUF(url);
	struct ks_json text;
	long status = 0;
	CURLcode result;

	if (!curl)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	ks_json_init(&text);
	ks_buf_put_c(&b, "http://local");
	ks_buf_put_c(&b, target);
	(void)curl_easy_setopt(curl, CURLOPT_URL, ks_buf_z(&b));
	(void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->client->socket_path);
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
	if (download)
		set_download(curl, download, &text);
	if (upload) {
		(void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, read_upload);
		(void)curl_easy_setopt(curl, CURLOPT_READDATA, upload);
		(void)curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
	} else if (body.n) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.p);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.n);
	}
	result = perform(cli->client, curl, !upload && !download);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	if (result != CURLE_OK) {
		ks_json_free(&text);
		return ks_cli_fail(cli, KS_EXIT_FAILED, "the service did not answer: %s", curl_easy_strerror(result));
	}
	return take_answer(ret_answer, (int)status, &text);
}

/* ---- in this process ---- */

static void on_complete(struct ks_exchange *exchange)
{
	(void)sem_post(exchange->carrier);
}

/* A sink that wants no more leaves the answer to finish. */
static void feed(struct ks_exchange *x, struct upload *upload)
{
	static char piece[KS_PIECE_MAX];
	enum ks_err err = KS_OK;
	size_t n;

	while (err == KS_OK && (n = next_piece(upload, piece, sizeof(piece))) > 0)
		err = x->sink(x->sink_ctx, ks_str_of(piece, n));
}

static void set_request(struct ks_exchange *x, const char *method, const char *target, struct ks_str body, const struct upload *upload)
{
	struct timespec now;

	ks_exchange_init(x);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	x->method = ks_str_c(method);
	x->target = ks_str_c(target);
	x->body = body;
	x->local = true;
	x->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	memcpy(x->request_id, "local", sizeof("local"));
	if (body.n || upload) {
		x->headers[x->header_count++] = (struct ks_header){KS_STR("Transfer-Encoding"), KS_STR("chunked")};
		x->headers[x->header_count++] =
			(struct ks_header){KS_STR("Content-Type"), upload ? KS_STR("application/x-ndjson") : KS_STR("application/json")};
	}
}

/* False: it broke off. */
static bool pour_out(struct ks_exchange *x, struct download *download)
{
	static char piece[KS_PIECE_MAX];
	enum ks_err err = KS_OK;
	size_t n = 0;

	while ((err = x->source(x->source_ctx, piece, sizeof(piece), &n)) == KS_OK) {
		if (!download->take(download->ctx, ks_str_of(piece, n)))
			return false;
	}
	return err == KS_NOT_FOUND;
}

static int call_here(struct ks_cli *cli, const char *method, const char *target, struct ks_str body, struct upload *upload,
		     struct download *download, struct ks_answer *ret_answer)
{
	struct ks_handler handler = ks_api_handler(cli->client->api);
	struct ks_exchange *x = calloc(1, sizeof(*x));
	struct ks_json text;
	sem_t answered;
	int code;

	if (!x)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	(void)sem_init(&answered, 0, 0);
	set_request(x, method, target, body, upload);
	x->complete = on_complete;
	x->carrier = &answered;
	handler.begin(handler.ctx, x);
	if (x->status == 0 && upload && x->sink)
		feed(x, upload);
	if (x->status == 0 && handler.finish(handler.ctx, x) == KS_FINISH_PENDING) {
		while (sem_wait(&answered) != 0 && errno == EINTR)
			;
	}
	ks_json_init(&text);
	(void)on_data((char *)(uintptr_t)x->answer_body.p, 1, x->answer_body.n, &text);
	code = take_answer(ret_answer, x->status, &text);
	if (x->source && download && !pour_out(x, download))
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "the answer broke off");
	handler.closed(handler.ctx, x);
	if (x->heap && x->wipe)
		ks_wipe(x->heap, x->answer_body.n);
	free(x->heap);
	free(x);
	(void)sem_destroy(&answered);
	return code;
}

int ks_client_call(struct ks_cli *cli, const char *method, const char *target, struct ks_str body, struct ks_answer *ret_answer)
{
	int code = open_client(cli);

	*ret_answer = (struct ks_answer){0};
	if (code != KS_EXIT_DONE)
		return code;
	return cli->client->through_daemon ? call_daemon(cli, method, target, body, NULL, NULL, ret_answer)
					   : call_here(cli, method, target, body, NULL, NULL, ret_answer);
}

int ks_client_upload(struct ks_cli *cli, const char *target, FILE *in, struct ks_answer *ret_answer)
{
	struct upload upload = upload_of(in);
	int code = open_client(cli);

	*ret_answer = (struct ks_answer){0};
	if (code != KS_EXIT_DONE)
		return code;
	return cli->client->through_daemon ? call_daemon(cli, "POST", target, KS_STR(""), &upload, NULL, ret_answer)
					   : call_here(cli, "POST", target, KS_STR(""), &upload, NULL, ret_answer);
}

int ks_client_download(struct ks_cli *cli, const char *target, bool (*take)(void *ctx, struct ks_str piece), void *ctx,
		       struct ks_answer *ret_answer)
{
	struct download download = {.take = take, .ctx = ctx};
	int code = open_client(cli);

	*ret_answer = (struct ks_answer){0};
	if (code != KS_EXIT_DONE)
		return code;
	return cli->client->through_daemon ? call_daemon(cli, "GET", target, KS_STR(""), NULL, &download, ret_answer)
					   : call_here(cli, "GET", target, KS_STR(""), NULL, &download, ret_answer);
}

/* ---- what comes back ---- */

int ks_client_problem(struct ks_cli *cli, const struct ks_answer *answer)
{
	const char *detail = json_string_value(json_object_get(answer->json, "detail"));
	const char *code = json_string_value(json_object_get(answer->json, "code"));
	const json_t *errors = json_object_get(answer->json, "errors");
	const json_t *error;
	size_t i;

	if (cli->json) {
		(void)fprintf(stderr, "%s\n", answer->text);
		return KS_EXIT_FAILED;
	}
	(void)fprintf(stderr, "keystile: %s (%s)\n", detail ? detail : "the service refused", code ? code : "no code");
	json_array_foreach(errors, i, error)
		(void)fprintf(stderr, "  %s: %s\n", json_string_value(json_object_get(error, "pointer")),
			      json_string_value(json_object_get(error, "detail")));
	return KS_EXIT_FAILED;
}

int ks_client_do(struct ks_cli *cli, const char *method, const char *target, struct ks_json *body,
		 void (*show)(struct ks_cli *cli, const json_t *answer))
{
	struct ks_answer answer;
	int code = ks_client_call(cli, method, target, body ? ks_str_of(body->p, body->n) : KS_STR(""), &answer);

	if (body)
		ks_json_free(body);
	if (code == KS_EXIT_DONE && (answer.status < 200 || answer.status > 299))
		code = ks_client_problem(cli, &answer);
	else if (code == KS_EXIT_DONE && cli->json)
		(void)printf("%s\n", answer.text);
	else if (code == KS_EXIT_DONE)
		show(cli, answer.json);
	ks_answer_free(&answer);
	return code;
}

/* ---- small things ---- */

void ks_progress(void *ctx, const char *what, uint64_t done, uint64_t all)
{
	unsigned percent = all ? (unsigned)(done * 100 / all) : 100;
	char bar[41];

	(void)ctx;
	if (!isatty(STDERR_FILENO))
		return;
	for (unsigned i = 0; i < 40; i++)
		bar[i] = i * 100 < percent * 40 ? '#' : '.';
	bar[40] = '\0';
	(void)fprintf(stderr, "\r%-20s [%s] %3u%%%s", what, bar, percent, done >= all ? "\n" : "");
}

void ks_cli_put_encoded(struct ks_buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')
			ks_buf_put_byte(out, (char)c);
		else
			ks_buf_printf(out, "%%%02X", c);
	}
}
