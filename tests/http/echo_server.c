/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server for the tests: src/http with a handler that tells what it saw. Options are name=value on the command
 * line; lines on standard input are orders. It prints "port N library VERSION" once it serves, and a last line of
 * figures when it has stopped. */
#include <inttypes.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/server.h"

#define HELD_MAX 4096
#define REFUSALS_MAX 32

static struct ks_http_server *_Atomic server;
static atomic_ulong begun, finished, closed_count;
static unsigned long work_ns;

/* ---- what was refused ---- */

static const char *const refusal_names[] = {
#define X(name) #name,
	KS_HTTP_REFUSALS(X)
#undef X
};
static atomic_ulong refused[REFUSALS_MAX];

static void on_refused(void *ctx, const char *reason, const struct ks_addr *peer)
{
	(void)ctx;
	(void)peer;
	for (size_t i = 0; i < KS_ARRAY_LEN(refusal_names); i++)
		if (!strcmp(refusal_names[i], reason))
			(void)atomic_fetch_add(&refused[i], 1);
}

/* ---- pending exchanges ---- */

static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t held_some = PTHREAD_COND_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static unsigned long releases;
static struct ks_exchange *held[HELD_MAX];
static size_t held_count;
static struct ks_exchange *queued[HELD_MAX];
static size_t queued_count;

static void answer_text(struct ks_exchange *x, int status, const char *text)
{
	x->status = status;
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("text/plain"));
	x->answer_body = ks_str_c(text);
}

/* Completes on a thread of its own what was queued. */
static void *completer(void *arg)
{
	(void)arg;
	for (;;) {
		struct ks_exchange *x;

		(void)pthread_mutex_lock(&held_lock);
		while (!queued_count)
			(void)pthread_cond_wait(&held_some, &held_lock);
		x = queued[--queued_count];
		(void)pthread_mutex_unlock(&held_lock);
		answer_text(x, 200, "completed");
		ks_exchange_complete(x);
	}
	return NULL;
}

static enum ks_finish hold(struct ks_exchange *x, struct ks_exchange **list, size_t *count)
{
	enum ks_finish result = KS_FINISH_PENDING;

	(void)pthread_mutex_lock(&held_lock);
	if (*count < HELD_MAX) {
		list[(*count)++] = x;
	} else {
		answer_text(x, 503, "full");
		result = KS_FINISH_DONE;
	}
	(void)pthread_cond_signal(&held_some);
	(void)pthread_mutex_unlock(&held_lock);
	return result;
}

/* Keeps its thread until what is held is let go: whatever else that thread serves has to wait. */
static enum ks_finish block(struct ks_exchange *x)
{
	unsigned long before;

	(void)pthread_mutex_lock(&held_lock);
	before = releases;
	while (releases == before)
		(void)pthread_cond_wait(&released, &held_lock);
	(void)pthread_mutex_unlock(&held_lock);
	answer_text(x, 200, "released");
	return KS_FINISH_DONE;
}

static void release_held(void)
{
	struct ks_exchange *list[HELD_MAX];
	size_t count;

	(void)pthread_mutex_lock(&held_lock);
	releases++;
	(void)pthread_cond_broadcast(&released);
	count = held_count;
	memcpy(list, held, count * sizeof(list[0]));
	held_count = 0;
	(void)pthread_mutex_unlock(&held_lock);
	for (size_t i = 0; i < count; i++) {
		answer_text(list[i], 200, "released");
		ks_exchange_complete(list[i]);
	}
}

/* ---- answers ---- */

static void put_pair(struct ks_buf *b, const char *name, struct ks_str value)
{
	ks_buf_put_json(b, ks_str_c(name));
	ks_buf_put_c(b, ":");
	ks_buf_put_json(b, value);
	ks_buf_put_c(b, ",");
}

/* Everything of the request, as JSON; bodies up to 32 KiB. */
static enum ks_finish echo(struct ks_exchange *x)
{
	size_t cap = 262144;
	char *text = malloc(cap), peer[KS_ADDR_TEXT_SIZE];
	struct ks_buf b = ks_buf_of(text, cap);

	if (!text)
		abort();
	ks_addr_format(&x->peer, peer);
	ks_buf_put_c(&b, "{");
	put_pair(&b, "method", x->method);
	put_pair(&b, "target", x->target);
	put_pair(&b, "path", ks_exchange_path(x));
	put_pair(&b, "query", ks_exchange_query(x));
	put_pair(&b, "request_id", ks_str_c(x->request_id));
	put_pair(&b, "peer", ks_str_c(x->peer_known ? peer : ""));
	put_pair(&b, "body", ks_str_sub(x->body, 0, 32768));
	ks_buf_printf(&b, "\"body_size\":%zu,\"local\":%s,\"tls\":%s,\"now_ms\":%" PRId64 ",\"headers\":[", x->body.n,
		      x->local ? "true" : "false", x->tls ? "true" : "false", x->now_ms);
	for (size_t i = 0; i < x->header_count; i++) {
		ks_buf_put_c(&b, i ? ",[" : "[");
		ks_buf_put_json(&b, x->headers[i].name);
		ks_buf_put_c(&b, ",");
		ks_buf_put_json(&b, x->headers[i].value);
		ks_buf_put_c(&b, "]");
	}
	ks_buf_put_c(&b, "]}");
	x->status = ks_buf_ok(&b) ? 200 : 500;
	x->heap = text;
	x->answer_body = ks_buf_str(&b);
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("application/json"));
	return KS_FINISH_DONE;
}

/* As large a body as the query says. */
static enum ks_finish big(struct ks_exchange *x)
{
	uint64_t n;

	if (!ks_str_to_u64(ks_exchange_query(x), 64u << 20, &n))
		return KS_FINISH_DONE;
	x->heap = malloc(n + 1);
	if (!x->heap)
		abort();
	memset(x->heap, 'b', n);
	x->answer_body = ks_str_of(x->heap, n);
	x->wipe = true;
	x->status = 200;
	return KS_FINISH_DONE;
}

static enum ks_finish figures(struct ks_exchange *x)
{
	struct ks_http_stats s;
	size_t holding;

	(void)pthread_mutex_lock(&held_lock);
	holding = held_count;
	(void)pthread_mutex_unlock(&held_lock);
	ks_http_stats(server, &s);
	ks_buf_printf(&x->text,
		      "{\"begun\":%lu,\"finished\":%lu,\"closed\":%lu,\"open\":%" PRIu64 ",\"connections\":%" PRIu64
		      ",\"requests\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"held\":%zu",
		      atomic_load(&begun), atomic_load(&finished), atomic_load(&closed_count), s.connections_open,
		      s.connections_total, s.requests_total, s.refused_total, holding);
	for (size_t i = 0; i < KS_ARRAY_LEN(refusal_names); i++)
		ks_buf_printf(&x->text, ",\"%s\":%lu", refusal_names[i], atomic_load(&refused[i]));
	ks_buf_put_c(&x->text, "}");
	x->answer_body = ks_buf_str(&x->text);
	x->status = 200;
	return KS_FINISH_DONE;
}

static enum ks_finish counted(struct ks_exchange *x)
{
	ks_buf_printf(&x->text, "%zu", (size_t)(uintptr_t)x->state);
	x->answer_body = ks_buf_str(&x->text);
	x->status = 200;
	x->state = NULL;
	return KS_FINISH_DONE;
}

static enum ks_finish complete_elsewhere(struct ks_exchange *x)
{
	return hold(x, queued, &queued_count);
}

static enum ks_finish hold_back(struct ks_exchange *x)
{
	return hold(x, held, &held_count);
}

static enum ks_finish release(struct ks_exchange *x)
{
	release_held();
	answer_text(x, 200, "done");
	return KS_FINISH_DONE;
}

static enum ks_finish reload(struct ks_exchange *x)
{
	enum ks_err err = ks_http_reload_tls(server);

	answer_text(x, err == KS_OK ? 200 : 500, ks_err_name(err));
	return KS_FINISH_DONE;
}

static enum ks_finish answer_nothing(struct ks_exchange *x)
{
	(void)x;
	return KS_FINISH_DONE;
}

static enum ks_finish split(struct ks_exchange *x)
{
	answer_text(x, 200, "split");
	ks_exchange_answer_header(x, KS_STR("X-Split"), KS_STR("a\r\nX-Injected: b"));
	return KS_FINISH_DONE;
}

static enum ks_finish cacheable(struct ks_exchange *x)
{
	answer_text(x, 200, "cacheable");
	ks_exchange_answer_header(x, KS_STR("cache-control"), KS_STR("max-age=60"));
	ks_exchange_answer_header(x, KS_STR("X-Empty"), KS_STR(""));
	return KS_FINISH_DONE;
}

static enum ks_finish closing(struct ks_exchange *x)
{
	answer_text(x, 200, "closing");
	x->close = true;
	return KS_FINISH_DONE;
}

static enum ks_finish no_content(struct ks_exchange *x)
{
	x->status = 204;
	return KS_FINISH_DONE;
}

static enum ks_finish many_headers(struct ks_exchange *x)
{
	static char value[300];

	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < KS_ANSWER_HEADERS_MAX + 3; i++)
		ks_exchange_answer_header(x, KS_STR("X-Many"), ks_str_of(value, sizeof(value)));
	answer_text(x, 200, "many");
	return KS_FINISH_DONE;
}

/* ---- begin ---- */

static enum ks_err count_bytes(void *ctx, struct ks_str piece)
{
	struct ks_exchange *x = ctx;
	size_t seen = (size_t)(uintptr_t)x->state + piece.n;
	uint64_t limit;

	x->state = (void *)(uintptr_t)seen;
	return ks_str_to_u64(ks_exchange_query(x), UINT64_MAX, &limit) && seen > limit ? KS_FULL : KS_OK;
}

static void begin_sink(struct ks_exchange *x)
{
	x->sink = count_bytes;
	x->sink_ctx = x;
	x->body_max = SIZE_MAX;
}

static void begin_small(struct ks_exchange *x)
{
	x->body_max = 16;
}

static void begin_deny(struct ks_exchange *x)
{
	answer_text(x, 401, "denied");
}

static void spin(unsigned long ns)
{
	struct timespec from, now;

	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((unsigned long)((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec) < ns);
}

/* The headers of an allowed request, as a gateway gets them. */
static void begin_authorize(struct ks_exchange *x)
{
	static const struct ks_header headers[] = {
#define H(name, value) {{name, sizeof(name) - 1}, {value, sizeof(value) - 1}}
		H("X-Keystile-Principal", "key_0123456789abc"),
		H("X-Keystile-Kind", "tenant"),
		H("X-Keystile-Tenant", "sub_0123456789abc"),
		H("X-Keystile-Organization", "org_0123456789abc"),
		H("X-Keystile-Visible", "sub_0123456789abc"),
		H("X-Keystile-Inherited", ""),
		H("X-Keystile-Scopes", "contacts:read contacts:write"),
		H("X-Keystile-Environment", "live"),
		H("X-Keystile-Family", "contacts"),
		H("RateLimit-Policy", "\"key\";q=600;w=60"),
		H("RateLimit", "\"key\";r=599;t=60"),
#undef H
	};

	if (work_ns)
		spin(work_ns);
	for (size_t i = 0; i < KS_ARRAY_LEN(headers); i++)
		ks_exchange_answer_header(x, headers[i].name, headers[i].value);
	x->status = 200;
}

static const struct {
	const char *path;
	void (*begin)(struct ks_exchange *x);
	enum ks_finish (*finish)(struct ks_exchange *x);
} routes[] = {
	{"/v1/authorize", begin_authorize, NULL},
	{"/big", NULL, big},
	{"/block", NULL, block},
	{"/cacheable", NULL, cacheable},
	{"/close", NULL, closing},
	{"/deny", begin_deny, NULL},
	{"/figures", NULL, figures},
	{"/held", NULL, hold_back},
	{"/held-sink", begin_sink, hold_back},
	{"/many-headers", NULL, many_headers},
	{"/no-content", NULL, no_content},
	{"/nothing", NULL, answer_nothing},
	{"/pending", NULL, complete_elsewhere},
	{"/pending-sink", begin_sink, complete_elsewhere},
	{"/release", NULL, release},
	{"/reload", NULL, reload},
	{"/sink", begin_sink, counted},
	{"/small", begin_small, echo},
	{"/split", NULL, split},
};

static size_t find_route(const struct ks_exchange *x)
{
	size_t i = 0;

	while (i < KS_ARRAY_LEN(routes) && !ks_str_eq(ks_exchange_path(x), ks_str_c(routes[i].path)))
		i++;
	return i;
}

static void handler_begin(void *ctx, struct ks_exchange *x)
{
	size_t i = find_route(x);

	(void)ctx;
	(void)atomic_fetch_add(&begun, 1);
	if (i < KS_ARRAY_LEN(routes) && routes[i].begin)
		routes[i].begin(x);
}

static enum ks_finish handler_finish(void *ctx, struct ks_exchange *x)
{
	size_t i = find_route(x);

	(void)ctx;
	(void)atomic_fetch_add(&finished, 1);
	return i < KS_ARRAY_LEN(routes) && routes[i].finish ? routes[i].finish(x) : echo(x);
}

static void handler_closed(void *ctx, struct ks_exchange *x)
{
	(void)ctx;
	x->state = NULL;
	(void)atomic_fetch_add(&closed_count, 1);
}

/* ---- options and orders ---- */

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

static void set_option(struct ks_http_options *o, const char *name, const char *value)
{
	const struct {
		const char *name;
		const char **text;
		unsigned *number;
	} options[] = {
		{"listen", &o->listen, NULL},
		{"socket", &o->socket_path, NULL},
		{"cert", &o->tls_certificate, NULL},
		{"key", &o->tls_key, NULL},
		{"ca", &o->tls_client_ca, NULL},
		{"threads", NULL, &o->threads},
		{"connections", NULL, &o->connections_max},
		{"per-address", NULL, &o->connections_per_address_max},
		{"idle", NULL, &o->idle_timeout_ms},
		{"request", NULL, &o->request_timeout_ms},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(options); i++) {
		if (strcmp(options[i].name, name) != 0)
			continue;
		if (options[i].text)
			*options[i].text = value;
		else
			*options[i].number = number(value);
		return;
	}
	if (!strcmp(name, "bodies"))
		o->body_total_max = number(value);
	else if (!strcmp(name, "work-ns"))
		work_ns = number(value);
	else
		exit(2);
}

static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_asked = PTHREAD_COND_INITIALIZER;
static bool stopping;
static unsigned drain_ms;

static void ask_stop(unsigned ms)
{
	(void)pthread_mutex_lock(&stop_lock);
	stopping = true;
	drain_ms = ms;
	(void)pthread_cond_signal(&stop_asked);
	(void)pthread_mutex_unlock(&stop_lock);
}

/* "release", "reload", "stop MS". The end of the input lets everything go and stops at once. */
static void *obey_orders(void *arg)
{
	char line[64];

	(void)arg;
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "release", 7))
			release_held();
		else if (!strncmp(line, "reload", 6))
			printf("reload %s\n", ks_err_name(ks_http_reload_tls(server)));
		else if (!strncmp(line, "stop ", 5))
			ask_stop(number(&line[5]));
	}
	release_held();
	ask_stop(0);
	return NULL;
}

int main(int argc, char **argv)
{
	struct ks_http_options o = {
		.threads = 1,
		.connections_max = 1024,
		.idle_timeout_ms = 60000,
		.request_timeout_ms = 10000,
		.body_total_max = 64u << 20,
		.on_refused = on_refused,
	};
	const struct ks_handler handler = {.begin = handler_begin, .finish = handler_finish, .closed = handler_closed};
	const char *problem = "";
	struct ks_http_server *started;
	pthread_t threads[2];
	enum ks_err err;
	unsigned ms;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return 2;
		*value = '\0';
		set_option(&o, argv[i], value + 1);
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	err = ks_http_start(&o, &handler, &started, &problem);
	if (err != KS_OK) {
		printf("failed %s: %s\n", ks_err_name(err), problem);
		return 1;
	}
	atomic_store(&server, started);
	printf("port %u library %s\n", ks_http_port(started), MHD_get_version());
	if (pthread_create(&threads[0], NULL, completer, NULL) || pthread_create(&threads[1], NULL, obey_orders, NULL))
		abort();
	(void)pthread_mutex_lock(&stop_lock);
	while (!stopping)
		(void)pthread_cond_wait(&stop_asked, &stop_lock);
	ms = drain_ms;
	(void)pthread_mutex_unlock(&stop_lock);
	ks_http_stop(&started, ms);
	printf("stopped begun=%lu finished=%lu closed=%lu\n", atomic_load(&begun), atomic_load(&finished),
	       atomic_load(&closed_count));
	return 0;
}
