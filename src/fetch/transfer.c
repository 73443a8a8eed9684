/* SPDX-License-Identifier: Apache-2.0 */
/* One request by libcurl: what it may connect to, how much it may read, how long it may take. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/secret.h"
#include "fetch/fetch_priv.h"
#include "fetch/guard.h"

#define CONNECTIONS_KEPT 4L
#define POLL_MS 1000
#define FIRST_BODY_CAP 4096u
/* libcurl takes these anew for each request, and they are wiped whole: no larger than requests and answers mostly are. */
#define RECEIVED_AT_ONCE 4096L
#define SENT_AT_ONCE 16384L /* the least that it takes */

/* ---- the guard ---- */

bool ks_transfer_address_of(const struct sockaddr *socket_address, struct ks_addr *ret_addr)
{
	struct ks_addr addr = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};

	if (socket_address->sa_family == AF_INET)
		memcpy(&addr.bytes[12], &((const struct sockaddr_in *)(const void *)socket_address)->sin_addr, 4);
	else if (socket_address->sa_family == AF_INET6)
		memcpy(addr.bytes, &((const struct sockaddr_in6 *)(const void *)socket_address)->sin6_addr, 16);
	else
		return false;
	*ret_addr = addr;
	return true;
}

/* Allowed ranges are reached however; others with TLS, where the guard has nothing against them. */
static bool may_reach(struct ks_transfer *t, const struct ks_addr *addr)
{
	const struct ks_fetch_options *o = &t->fetch->options;

	if (ks_guard_listed(o->allow, o->allow_count, addr))
		return true;
	if (!t->plain && !ks_guard_reason(addr))
		return true;
	t->refused = true;
	return false;
}

/* Runs for every address that a connection is tried to: there is no second look-up between this and connect(2). */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct ks_addr addr;

	(void)purpose;
	if (!ks_transfer_address_of(&address->addr, &addr) || !may_reach(ctx, &addr))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Runs before a request is sent, also on a connection that was kept. */
static int on_ready(void *ctx, char *peer, char *own, int peer_port, int own_port)
{
	struct ks_transfer *t = ctx;
	struct ks_addr addr;

	(void)own;
	(void)peer_port;
	(void)own_port;
	if (!ks_addr_parse(ks_str_c(peer), &addr) || !may_reach(t, &addr)) {
		t->refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	ks_addr_format(&addr, t->response->address);
	return CURL_PREREQFUNC_OK;
}

/* ---- what comes back ---- */

static bool grow(struct ks_transfer *t, size_t need)
{
	size_t cap = t->body_cap ? t->body_cap : FIRST_BODY_CAP;
	char *p;

	while (cap < need)
		cap *= 2;
	if (cap == t->body_cap)
		return true;
	/* Not realloc: what it leaves behind is not wiped. */
	p = malloc(cap);
	if (!p)
		return false;
	if (t->response->body) {
		memcpy(p, t->response->body, t->response->body_n);
		ks_wipe(t->response->body, t->body_cap);
		free(t->response->body);
	}
	t->response->body = p;
	t->body_cap = cap;
	return true;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct ks_transfer *t = ctx;
	size_t max = KS_MIN(t->request->body_max, (size_t)KS_FETCH_BODY_MAX);

	n *= size;
	if (n > max - t->response->body_n) {
		t->cut = t->request->cut;
		t->too_large = !t->cut;
		n = t->cut ? max - t->response->body_n : 0;
	}
	if (t->too_large)
		return 0;
	if (!grow(t, t->response->body_n + n + 1)) {
		t->no_memory = true;
		return 0;
	}
	memcpy(t->response->body + t->response->body_n, p, n);
	t->response->body_n += n;
	return t->cut ? 0 : n;
}

static void keep_header(struct ks_transfer *t, struct ks_str line)
{
	struct ks_str name, value;

	if (!ks_str_split(line, ':', &name, &value))
		return;
	value = ks_str_trim(value);
	for (size_t i = 0; i < KS_FETCH_WANT_MAX && t->request->want[i]; i++) {
		char *kept = t->response->values[i];

		if (!ks_str_eq_nocase(name, ks_str_c(t->request->want[i])) || kept[0]
		    || value.n >= KS_FETCH_WANT_VALUE_MAX)
			continue;
		memcpy(kept, value.p, value.n);
		kept[value.n] = '\0';
	}
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct ks_transfer *t = ctx;
	struct ks_str line = {p, size * n};

	t->head_bytes += line.n;
	if (line.n > KS_FETCH_LINE_MAX || t->head_bytes > KS_FETCH_HEAD_MAX) {
		t->too_large = true;
		return 0;
	}
	/* A status line begins another head: what an interim answer (1xx) said is not the answer's. */
	if (ks_str_starts(line, KS_STR("HTTP/")))
		memset(t->response->values, 0, sizeof(t->response->values));
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	keep_header(t, line);
	return size * n;
}

/* ---- one request ---- */

static struct curl_slist *append(struct curl_slist *list, const char *line, bool *ok)
{
	struct curl_slist *longer = *ok ? curl_slist_append(list, line) : NULL;

	*ok = *ok && longer != NULL;
	return longer ? longer : list;
}

static struct curl_slist *headers_of(const struct ks_fetch_request *request, bool with_headers, bool *ok)
{
	char line[KS_FETCH_HEADER_MAX + 4];
	struct curl_slist *list = append(NULL, "Expect:", ok);
	size_t used = 0;

	for (size_t i = 0; with_headers && i < request->header_count; i++) {
		struct ks_buf b = KS_BUF(line);

		ks_buf_put(&b, request->headers[i].name);
		/* libcurl sends a header without a value only where a semicolon ends its name. */
		ks_buf_put_c(&b, request->headers[i].value.n ? ": " : ";");
		ks_buf_put(&b, request->headers[i].value);
		*ok = *ok && ks_buf_ok(&b);
		list = append(list, ks_buf_z(&b), ok);
		used = KS_MAX(used, ks_buf_ok(&b) ? b.n : sizeof(line));
	}
	ks_wipe(line, used);
	return list;
}

static void wipe_headers(struct curl_slist *list)
{
	for (struct curl_slist *i = list; i; i = i->next)
		ks_wipe(i->data, strlen(i->data));
	curl_slist_free_all(list);
}

#define SET(option, value) (void)curl_easy_setopt(t->easy, (option), (value))

static void set_limits(struct ks_transfer *t, int64_t left_ms)
{
	const struct ks_fetch_options *o = &t->fetch->options;
	long connect_ms = o->connect_ms ? (long)KS_MIN((int64_t)o->connect_ms, left_ms) : (long)left_ms;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_BUFFERSIZE, RECEIVED_AT_ONCE);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, SENT_AT_ONCE);
	/* A name server that does not answer holds a thread of libcurl's own: it is left alone, not waited for. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TIMEOUT_MS, (long)left_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	SET(CURLOPT_PROTOCOLS_STR, t->plain ? "http" : "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (t->fetch->ca_file) {
		SET(CURLOPT_CAINFO, t->fetch->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_PREREQFUNCTION, on_ready);
	SET(CURLOPT_PREREQDATA, t);
}

static void set_request(struct ks_transfer *t, const char *url, const struct curl_slist *headers)
{
	const struct ks_fetch_request *r = t->request;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_CUSTOMREQUEST, r->method);
	if (ks_str_eq(ks_str_c(r->method), KS_STR("HEAD")))
		SET(CURLOPT_NOBODY, 1L);
	if (r->body.n) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
		SET(CURLOPT_POSTFIELDS, r->body.p);
	}
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
}

static CURLMcode wait_for_more(struct ks_transfer *t)
{
	CURLMcode code;

	ks_fetch_wait_begins(t->fetch);
	code = curl_multi_poll(t->multi, NULL, 0, POLL_MS, NULL);
	ks_fetch_wait_ends(t->fetch);
	return code;
}

/* Until the transfer ends or a stop comes; its handle stays among the others. */
static CURLcode drive(struct ks_transfer *t)
{
	CURLcode result = CURLE_FAILED_INIT;
	int running = 1, left;

	if (curl_multi_add_handle(t->multi, t->easy) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	while (running && !atomic_load(&t->fetch->stopping)) {
		if (curl_multi_perform(t->multi, &running) != CURLM_OK)
			break;
		if (running && wait_for_more(t) != CURLM_OK)
			break;
	}
	for (CURLMsg *m = curl_multi_info_read(t->multi, &left); m; m = curl_multi_info_read(t->multi, &left)) {
		if (m->msg == CURLMSG_DONE)
			result = m->data.result;
	}
	return result;
}

static CURLcode perform(struct ks_transfer *t)
{
	CURLcode result = drive(t);

	(void)curl_multi_remove_handle(t->multi, t->easy);
	return result;
}

struct meaning {
	CURLcode code;
	enum ks_fetch_result result;
};

static const struct meaning meanings[] = {
	{CURLE_OK, KS_FETCH_OK},
	{CURLE_URL_MALFORMAT, KS_FETCH_URL},
	{CURLE_COULDNT_RESOLVE_HOST, KS_FETCH_NAME},
	{CURLE_COULDNT_CONNECT, KS_FETCH_CONNECT},
	{CURLE_OPERATION_TIMEDOUT, KS_FETCH_TIMEOUT},
	{CURLE_OUT_OF_MEMORY, KS_FETCH_MEMORY},
	{CURLE_SSL_CONNECT_ERROR, KS_FETCH_TLS},
	{CURLE_PEER_FAILED_VERIFICATION, KS_FETCH_TLS},
	{CURLE_SSL_CERTPROBLEM, KS_FETCH_TLS},
	{CURLE_SSL_CIPHER, KS_FETCH_TLS},
	{CURLE_SSL_CACERT_BADFILE, KS_FETCH_TLS},
	{CURLE_SSL_ISSUER_ERROR, KS_FETCH_TLS},
	{CURLE_SSL_ENGINE_INITFAILED, KS_FETCH_TLS},
};

static enum ks_fetch_result result_of(const struct ks_transfer *t, CURLcode code)
{
	if (t->no_memory)
		return KS_FETCH_MEMORY;
	if (t->too_large)
		return KS_FETCH_TOO_LARGE;
	if (t->cut)
		return KS_FETCH_OK;
	if (code != CURLE_OK && atomic_load(&t->fetch->stopping))
		return KS_FETCH_STOPPED;
	/* One refused address does not hinder another of the same name from answering. */
	if (code != CURLE_OK && t->refused)
		return KS_FETCH_ADDRESS;
	for (size_t i = 0; i < KS_ARRAY_LEN(meanings); i++) {
		if (meanings[i].code == code)
			return meanings[i].result;
	}
	return KS_FETCH_BROKEN;
}

static enum ks_fetch_result conclude(struct ks_transfer *t, CURLcode code, char **ret_redirect)
{
	enum ks_fetch_result result = result_of(t, code);
	char *redirect = NULL;
	long status = 0;

	if (result != KS_FETCH_OK)
		return result;
	if (!grow(t, t->response->body_n + 1))
		return KS_FETCH_MEMORY;
	t->response->body[t->response->body_n] = '\0';
	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	t->response->status = (int)status;
	(void)curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &redirect);
	*ret_redirect = redirect ? strdup(redirect) : NULL;
	return KS_FETCH_OK;
}

static void begin(struct ks_transfer *t, const struct ks_fetch_request *request, const char *url,
		  struct ks_fetch_response *response)
{
	t->request = request;
	t->response = response;
	t->body_cap = t->head_bytes = 0;
	t->plain = ks_str_starts(ks_str_c(url), KS_STR("http:"));
	t->refused = t->too_large = t->no_memory = t->cut = false;
}

bool ks_transfer_begin(struct ks_transfer *t, const struct ks_fetch_request *request, const char *url, bool with_headers,
		       int64_t left_ms, struct ks_fetch_response *response)
{
	bool ok = true;

	begin(t, request, url, response);
	t->headers = headers_of(request, with_headers, &ok);
	set_limits(t, left_ms);
	set_request(t, url, t->headers);
	return ok;
}

void ks_transfer_clear(struct ks_transfer *t)
{
	curl_easy_reset(t->easy);
	wipe_headers(t->headers);
	t->headers = NULL;
}

enum ks_fetch_result ks_transfer_end(struct ks_transfer *t, CURLcode code, char **ret_redirect)
{
	enum ks_fetch_result result = conclude(t, code, ret_redirect);

	ks_transfer_clear(t);
	return result;
}

enum ks_fetch_result ks_transfer_run(struct ks_transfer *t, const struct ks_fetch_request *request,
				     const char *url, bool with_headers, int64_t deadline_ms,
				     struct ks_fetch_response *response, char **ret_redirect)
{
	int64_t left_ms = deadline_ms - ks_fetch_now_ms();

	*ret_redirect = NULL;
	if (left_ms <= 0)
		return KS_FETCH_TIMEOUT;
	if (ks_transfer_begin(t, request, url, with_headers, left_ms, response))
		return ks_transfer_end(t, perform(t), ret_redirect);
	ks_transfer_clear(t);
	return KS_FETCH_MEMORY;
}

/* ---- a connection alone ---- */

enum ks_fetch_result ks_transfer_connect(struct ks_transfer *t, const char *url, int left_ms,
					 curl_opensocket_callback judge, void *ctx)
{
	struct ks_fetch_response unused = {0};
	struct ks_fetch_request none = {.method = "GET"};
	enum ks_fetch_result result;

	if (left_ms <= 0)
		return KS_FETCH_TIMEOUT;
	begin(t, &none, url, &unused);
	set_limits(t, left_ms);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_URL, url);
	SET(CURLOPT_CONNECT_ONLY, 1L);
	SET(CURLOPT_SSL_ENABLE_ALPN, 0L);
	SET(CURLOPT_PREREQFUNCTION, NULL);
	SET(CURLOPT_OPENSOCKETFUNCTION, judge);
	SET(CURLOPT_OPENSOCKETDATA, ctx);
	ks_transfer_enter(t);
	result = result_of(t, drive(t));
	ks_transfer_leave(t);
	t->request = NULL;
	t->response = NULL;
	return result;
}

void ks_transfer_disconnect(struct ks_transfer *t)
{
	(void)curl_multi_remove_handle(t->multi, t->easy);
}

struct ks_transfer *ks_transfer_new_within(struct ks_fetch *fetch)
{
	struct ks_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fetch = fetch;
	t->easy = curl_easy_init();
	if (t->easy)
		return t;
	ks_transfer_free(t);
	return NULL;
}

struct ks_transfer *ks_transfer_new(struct ks_fetch *fetch)
{
	struct ks_transfer *t = ks_transfer_new_within(fetch);

	if (!t)
		return NULL;
	t->multi = curl_multi_init();
	if (t->multi)
		return t;
	ks_transfer_free(t);
	return NULL;
}

void ks_transfer_free(struct ks_transfer *t)
{
	curl_easy_cleanup(t->easy);
	if (t->multi)
		(void)curl_multi_cleanup(t->multi);
	free(t);
}
