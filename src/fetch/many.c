/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/many.h"

#include <stdlib.h>

#include "base/buf.h"
#include "fetch/fetch_priv.h"

#define RESTING_MAX 256 /* transfers kept for the next request */

struct flight {
	struct ks_transfer *transfer;
	struct ks_fetch_request request;   /* its body and `want` are borrowed */
	struct ks_fetch_response response;
	void *tag;
	int64_t began;
	struct flight *next, *prev;        /* those under way, or (next alone) those that rest */
};

struct ks_fetch_many {
	struct ks_fetch *fetch;
	CURLM *multi;
	ks_fetch_ended *ended;
	void *ctx;
	struct flight *flying;
	struct flight *resting;
	size_t resting_count;
};

static void free_flight(struct flight *f)
{
	if (f->transfer)
		ks_transfer_free(f->transfer);
	free(f);
}

static struct flight *take_flight(struct ks_fetch_many *many)
{
	struct flight *f = many->resting;

	if (f) {
		many->resting = f->next;
		many->resting_count--;
		return f;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->transfer = ks_transfer_new_within(many->fetch);
	if (f->transfer)
		return f;
	free(f);
	return NULL;
}

static void rest(struct ks_fetch_many *many, struct flight *f)
{
	if (many->resting_count == RESTING_MAX) {
		free_flight(f);
		return;
	}
	f->next = many->resting;
	many->resting = f;
	many->resting_count++;
}

static void enter(struct ks_fetch_many *many, struct flight *f)
{
	f->prev = NULL;
	f->next = many->flying;
	if (f->next)
		f->next->prev = f;
	many->flying = f;
}

static void leave(struct ks_fetch_many *many, struct flight *f)
{
	if (f->prev)
		f->prev->next = f->next;
	else
		many->flying = f->next;
	if (f->next)
		f->next->prev = f->prev;
}

enum ks_err ks_fetch_many_new(struct ks_fetch *fetch, unsigned kept, ks_fetch_ended *ended, void *ctx,
			      struct ks_fetch_many **ret_many)
{
	struct ks_fetch_many *many = calloc(1, sizeof(*many));

	if (!many)
		return KS_MEMORY;
	*many = (struct ks_fetch_many){.fetch = fetch, .multi = curl_multi_init(), .ended = ended, .ctx = ctx};
	if (!many->multi) {
		free(many);
		return KS_MEMORY;
	}
	(void)curl_multi_setopt(many->multi, CURLMOPT_MAXCONNECTS, (long)kept);
	(void)curl_multi_setopt(many->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	*ret_many = many;
	return KS_OK;
}

void ks_fetch_many_free(struct ks_fetch_many **many)
{
	struct ks_fetch_many *m = *many;

	if (!m)
		return;
	while (m->flying) {
		struct flight *f = m->flying;

		leave(m, f);
		(void)curl_multi_remove_handle(m->multi, f->transfer->easy);
		ks_transfer_clear(f->transfer);
		ks_fetch_response_free(&f->response);
		m->ended(m->ctx, f->tag, KS_FETCH_STOPPED, &f->response);
		free_flight(f);
	}
	while (m->resting) {
		struct flight *f = m->resting;

		m->resting = f->next;
		free_flight(f);
	}
	(void)curl_multi_cleanup(m->multi);
	free(m);
	*many = NULL;
}

static bool launch(struct ks_fetch_many *many, struct flight *f, const char *url)
{
	int64_t left_ms = KS_MIN(f->request.timeout_ms, KS_FETCH_TIMEOUT_MAX_MS);

	return ks_transfer_begin(f->transfer, &f->request, url, true, left_ms, &f->response)
	       && curl_easy_setopt(f->transfer->easy, CURLOPT_PRIVATE, f) == CURLE_OK
	       && curl_multi_add_handle(many->multi, f->transfer->easy) == CURLM_OK;
}

enum ks_fetch_result ks_fetch_many_begin(struct ks_fetch_many *many, const struct ks_fetch_request *request, void *tag)
{
	char url[KS_FETCH_URL_MAX + 1];
	struct ks_buf b = KS_BUF(url);
	enum ks_fetch_result result = ks_fetch_request_ok(request) ? ks_fetch_url_check(many->fetch, request->url) : KS_FETCH_URL;
	struct flight *f;

	if (result != KS_FETCH_OK)
		return result;
	f = take_flight(many);
	if (!f)
		return KS_FETCH_MEMORY;
	ks_buf_put(&b, request->url);
	f->request = *request;
	f->response = (struct ks_fetch_response){0};
	f->tag = tag;
	f->began = ks_fetch_now_ms();
	if (!launch(many, f, ks_buf_z(&b))) {
		ks_transfer_clear(f->transfer);
		rest(many, f);
		return KS_FETCH_MEMORY;
	}
	enter(many, f);
	return KS_FETCH_OK;
}

static void conclude(struct ks_fetch_many *many, struct flight *f, CURLcode code)
{
	char *redirect = NULL;
	enum ks_fetch_result result;

	(void)curl_multi_remove_handle(many->multi, f->transfer->easy);
	leave(many, f);
	result = ks_transfer_end(f->transfer, code, &redirect);
	free(redirect);
	if (result != KS_FETCH_OK)
		ks_fetch_response_free(&f->response);
	f->response.elapsed_ms = (unsigned)(ks_fetch_now_ms() - f->began);
	many->ended(many->ctx, f->tag, result, &f->response);
	ks_fetch_response_free(&f->response);
	rest(many, f);
}

void ks_fetch_many_go(struct ks_fetch_many *many, unsigned wait_ms)
{
	int running = 0, left;

	(void)curl_multi_perform(many->multi, &running);
	for (CURLMsg *m = curl_multi_info_read(many->multi, &left); m; m = curl_multi_info_read(many->multi, &left)) {
		CURLcode code = m->data.result;
		struct flight *f = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
		conclude(many, f, code);
		wait_ms = 0; /* whoever was told may have more to do */
	}
	(void)curl_multi_poll(many->multi, NULL, 0, (int)wait_ms, NULL);
}

void ks_fetch_many_wake(struct ks_fetch_many *many)
{
	(void)curl_multi_wakeup(many->multi);
}
