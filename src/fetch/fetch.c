/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/secret.h"
#include "fetch/fetch_priv.h"
#include "fetch/guard.h"

struct word {
	const char *code, *text;
};

static const struct word words[] = {
#define X(name, code, text) {code, text},
	KS_FETCH_RESULTS(X)
#undef X
};

const char *ks_fetch_code(enum ks_fetch_result result)
{
	return words[result].code;
}

const char *ks_fetch_text(enum ks_fetch_result result)
{
	return words[result].text;
}

int64_t ks_fetch_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the client ---- */

enum ks_err ks_fetch_new(const struct ks_fetch_options *options, struct ks_fetch **ret_fetch)
{
	struct ks_fetch *fetch = calloc(1, sizeof(*fetch));
	const curl_version_info_data *library = NULL;

	if (!fetch)
		return KS_MEMORY;
	fetch->options = *options;
	fetch->options.ca_file = NULL;
	fetch->options.idle_max = KS_MIN(options->idle_max ? options->idle_max : KS_TRANSFERS_IDLE, KS_FETCH_IDLE_MAX);
	(void)pthread_mutex_init(&fetch->lock, NULL);
	if (options->ca_file) {
		fetch->ca_file = strdup(options->ca_file);
		if (!fetch->ca_file) {
			ks_fetch_free(&fetch);
			return KS_MEMORY;
		}
	}
	/* It copies requests, which hold credentials. */
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, ks_wiped_free, ks_wiped_realloc, strdup, calloc) == CURLE_OK)
		library = curl_version_info(CURLVERSION_NOW);
	if (!library || !(library->features & CURL_VERSION_SSL)) {
		ks_fetch_free(&fetch);
		return KS_CRYPTO;
	}
	*ret_fetch = fetch;
	return KS_OK;
}

void ks_fetch_wait_begins(const struct ks_fetch *fetch)
{
	if (fetch->options.on_wait)
		fetch->options.on_wait(fetch->options.on_wait_ctx, true);
}

void ks_fetch_wait_ends(const struct ks_fetch *fetch)
{
	if (fetch->options.on_wait)
		fetch->options.on_wait(fetch->options.on_wait_ctx, false);
}

void ks_fetch_stop(struct ks_fetch *fetch)
{
	atomic_store(&fetch->stopping, true);
	(void)pthread_mutex_lock(&fetch->lock);
	for (struct ks_transfer *t = fetch->running; t; t = t->next)
		(void)curl_multi_wakeup(t->multi);
	(void)pthread_mutex_unlock(&fetch->lock);
}

void ks_fetch_free(struct ks_fetch **fetch)
{
	struct ks_fetch *f = *fetch;

	if (!f)
		return;
	while (f->idle) {
		struct ks_transfer *t = f->idle;

		f->idle = t->next;
		ks_transfer_free(t);
	}
	(void)pthread_mutex_destroy(&f->lock);
	free(f->ca_file);
	free(f);
	*fetch = NULL;
}

void ks_transfer_enter(struct ks_transfer *t)
{
	struct ks_fetch *fetch = t->fetch;

	(void)pthread_mutex_lock(&fetch->lock);
	t->prev = NULL;
	t->next = fetch->running;
	if (t->next)
		t->next->prev = t;
	fetch->running = t;
	(void)pthread_mutex_unlock(&fetch->lock);
}

/* With the lock held. */
static void take_out(struct ks_transfer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->fetch->running = t->next;
	if (t->next)
		t->next->prev = t->prev;
}

void ks_transfer_leave(struct ks_transfer *t)
{
	(void)pthread_mutex_lock(&t->fetch->lock);
	take_out(t);
	(void)pthread_mutex_unlock(&t->fetch->lock);
}

/* Scheme, host and port as they stand, mixed. For choosing a connection, not for judging one. */
static uint64_t origin_mix(struct ks_str url)
{
	static const uint64_t key[2] = {0, 0};
	size_t slashes = 0, n = 0;

	while (n < url.n && slashes < 3) {
		slashes += url.p[n] == '/';
		n++;
	}
	return ks_siphash(key, url.p, n);
}

/* The one at rest that was sent there last, else the one that rests longest. Under the lock; NULL: none rests. */
static struct ks_transfer *take_idle(struct ks_fetch *fetch, uint64_t origin)
{
	struct ks_transfer **chosen = NULL, *t;

	for (struct ks_transfer **at = &fetch->idle; *at; at = &(*at)->next) {
		chosen = at;
		if ((*at)->origin == origin)
			break;
	}
	if (!chosen)
		return NULL;
	/* Rather a new one than one with connections to elsewhere, as long as there is room for more. */
	if ((*chosen)->origin != origin && fetch->idle_count < fetch->options.idle_max)
		return NULL;
	t = *chosen;
	*chosen = t->next;
	fetch->idle_count--;
	return t;
}

static struct ks_transfer *take(struct ks_fetch *fetch, uint64_t origin)
{
	struct ks_transfer *t;

	(void)pthread_mutex_lock(&fetch->lock);
	t = take_idle(fetch, origin);
	(void)pthread_mutex_unlock(&fetch->lock);
	if (!t)
		t = ks_transfer_new(fetch);
	if (!t)
		return NULL;
	t->origin = origin;
	ks_transfer_enter(t);
	return t;
}

static void give_back(struct ks_fetch *fetch, struct ks_transfer *t)
{
	bool keep;

	(void)pthread_mutex_lock(&fetch->lock);
	take_out(t);
	keep = fetch->idle_count < fetch->options.idle_max;
	if (keep) {
		t->next = fetch->idle;
		fetch->idle = t;
		fetch->idle_count++;
	}
	(void)pthread_mutex_unlock(&fetch->lock);
	if (!keep)
		ks_transfer_free(t);
}

/* ---- URLs ---- */

/* The parts of a URL that tell where it leads. */
struct origin {
	char *scheme, *host, *port;
};

static void origin_free(struct origin *o)
{
	curl_free(o->scheme);
	curl_free(o->host);
	curl_free(o->port);
	*o = (struct origin){0};
}

static bool absent(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	bool is_absent = curl_url_get(url, part, &text, 0) != CURLUE_OK;

	curl_free(text);
	return is_absent;
}

/* False: not a URL that is fetched. The port is there also where the URL leaves it to the scheme. */
static bool origin_of(const char *text, struct origin *ret_origin)
{
	CURLU *url = curl_url();
	struct origin o = {0};
	/* libcurl mends a third slash; nobody else has to. */
	bool ok = url && !strstr(text, ":///")
		  && curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK
		  && absent(url, CURLUPART_USER) && absent(url, CURLUPART_PASSWORD) && absent(url, CURLUPART_FRAGMENT)
		  && curl_url_get(url, CURLUPART_SCHEME, &o.scheme, 0) == CURLUE_OK
		  && (ks_str_eq(ks_str_c(o.scheme), KS_STR("https")) || ks_str_eq(ks_str_c(o.scheme), KS_STR("http")))
		  && curl_url_get(url, CURLUPART_HOST, &o.host, 0) == CURLUE_OK && o.host[0]
		  && curl_url_get(url, CURLUPART_PORT, &o.port, CURLU_DEFAULT_PORT) == CURLUE_OK;

	curl_url_cleanup(url);
	if (ok)
		*ret_origin = o;
	else
		origin_free(&o);
	return ok;
}

static bool same_origin(const char *a, const char *b)
{
	struct origin first, second;
	bool same;

	if (!origin_of(a, &first))
		return false;
	if (!origin_of(b, &second)) {
		origin_free(&first);
		return false;
	}
	same = ks_str_eq(ks_str_c(first.scheme), ks_str_c(second.scheme))
	       && ks_str_eq_nocase(ks_str_c(first.host), ks_str_c(second.host))
	       && ks_str_eq(ks_str_c(first.port), ks_str_c(second.port));
	origin_free(&first);
	origin_free(&second);
	return same;
}

/* A name is judged once it is an address; a literal at once. */
static enum ks_fetch_result judge_host(const struct ks_fetch *fetch, const struct origin *o)
{
	const struct ks_fetch_options *options = &fetch->options;
	struct ks_str host = ks_str_c(o->host);
	struct ks_addr addr;
	bool plain = ks_str_eq(ks_str_c(o->scheme), KS_STR("http"));

	if (plain && options->allow_count == 0)
		return KS_FETCH_URL;
	if (host.n > 2 && host.p[0] == '[')
		host = ks_str_sub(host, 1, host.n - 2);
	if (!ks_addr_parse(host, &addr))
		return ks_str_find(host, ':') == SIZE_MAX ? KS_FETCH_OK : KS_FETCH_URL;
	if (ks_guard_listed(options->allow, options->allow_count, &addr))
		return KS_FETCH_OK;
	return plain || ks_guard_reason(&addr) ? KS_FETCH_ADDRESS : KS_FETCH_OK;
}

enum ks_fetch_result ks_fetch_url_check(const struct ks_fetch *fetch, struct ks_str url)
{
	char text[KS_FETCH_URL_MAX + 1];
	struct ks_buf b = KS_BUF(text);
	struct origin o;
	enum ks_fetch_result result;

	for (size_t i = 0; i < url.n; i++) {
		/* RFC 3986 has no others; what is not in it is read differently by different readers. */
		if (url.p[i] <= 0x20 || url.p[i] >= 0x7f || url.p[i] == '\\')
			return KS_FETCH_URL;
	}
	if (url.n > KS_FETCH_URL_MAX)
		return KS_FETCH_URL;
	ks_buf_put(&b, url);
	if (!origin_of(ks_buf_z(&b), &o))
		return KS_FETCH_URL;
	result = judge_host(fetch, &o);
	origin_free(&o);
	return result;
}

/* ---- one request ---- */

static bool is_token(struct ks_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", s.p[i]))
			return false;
	}
	return s.n > 0;
}

/* What is sent is ours; a value that would begin another line is refused all the same. */
bool ks_fetch_request_ok(const struct ks_fetch_request *r)
{
	if (!r->method || !is_token(ks_str_c(r->method)) || r->header_count > KS_FETCH_HEADERS_MAX)
		return false;
	for (size_t i = 0; i < r->header_count; i++) {
		if (!is_token(r->headers[i].name) || ks_str_has_control(r->headers[i].value)
		    || r->headers[i].name.n + r->headers[i].value.n > KS_FETCH_HEADER_MAX)
			return false;
	}
	return true;
}

static void start_over(struct ks_fetch_response *response)
{
	char address[KS_ADDR_TEXT_SIZE];

	memcpy(address, response->address, sizeof(address));
	ks_fetch_response_free(response);
	memcpy(response->address, address, sizeof(address));
}

/* The URL, and each that an answer points to, as often as the request says. */
static enum ks_fetch_result follow(struct ks_fetch *fetch, struct ks_transfer *t,
				   const struct ks_fetch_request *request, int64_t deadline_ms,
				   struct ks_fetch_response *response)
{
	unsigned left = KS_MIN(request->redirects_max, (unsigned)KS_FETCH_REDIRECTS_MAX);
	char first[KS_FETCH_URL_MAX + 1];
	struct ks_buf b = KS_BUF(first);
	char *url = NULL, *next = NULL;
	bool at_home = true;
	enum ks_fetch_result result;

	ks_buf_put(&b, request->url);
	(void)ks_buf_z(&b);
	for (;;) {
		result = ks_fetch_url_check(fetch, ks_str_c(url ? url : first));
		if (result != KS_FETCH_OK)
			break;
		result = ks_transfer_run(t, request, url ? url : first, at_home, deadline_ms, response, &next);
		if (result != KS_FETCH_OK || !next || left == 0 || request->body.n)
			break;
		left--;
		start_over(response);
		at_home = at_home && same_origin(first, next);
		free(url);
		url = next;
		next = NULL;
	}
	free(url);
	free(next);
	return result;
}

enum ks_fetch_result ks_fetch_do(struct ks_fetch *fetch, const struct ks_fetch_request *request,
				 struct ks_fetch_response *ret_response)
{
	int64_t began = ks_fetch_now_ms();
	unsigned timeout_ms = KS_MIN(request->timeout_ms, KS_FETCH_TIMEOUT_MAX_MS);
	struct ks_transfer *t;
	enum ks_fetch_result result;

	*ret_response = (struct ks_fetch_response){0};
	if (!ks_fetch_request_ok(request) || request->url.n > KS_FETCH_URL_MAX)
		return KS_FETCH_URL;
	if (atomic_load(&fetch->stopping))
		return KS_FETCH_STOPPED;
	t = take(fetch, origin_mix(request->url));
	if (!t)
		return KS_FETCH_MEMORY;
	result = follow(fetch, t, request, began + timeout_ms, ret_response);
	give_back(fetch, t);
	if (result != KS_FETCH_OK)
		start_over(ret_response);
	ret_response->elapsed_ms = (unsigned)(ks_fetch_now_ms() - began);
	return result;
}

void ks_fetch_response_free(struct ks_fetch_response *response)
{
	if (response->body)
		ks_wipe(response->body, response->body_n);
	free(response->body);
	*response = (struct ks_fetch_response){0};
}
