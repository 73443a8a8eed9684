/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that were fetched: certificates and key sets. Any of them may be thrown out for another. */
#include <stdlib.h>

#include "base/secret.h"
#include "inbound/inbound_priv.h"

#define TRY_EVERY_MS 10000

static void clear(struct inbound_doc *doc)
{
	free(doc->url);
	free(doc->body);
	*doc = (struct inbound_doc){0};
}

void inbound_docs_free(struct ks_inbound *inbound)
{
	for (size_t i = 0; i < KS_INBOUND_DOCS; i++)
		clear(&inbound->docs[i]);
}

/* The document's place, or the one that was not used for longest; with docs_lock. NULL: out of memory. */
static struct inbound_doc *place(struct ks_inbound *inbound, const char *url)
{
	struct inbound_doc *oldest = &inbound->docs[0];

	for (size_t i = 0; i < KS_INBOUND_DOCS; i++) {
		struct inbound_doc *doc = &inbound->docs[i];

		if (doc->url && ks_str_eq(ks_str_c(doc->url), ks_str_c(url))) {
			doc->used = ++inbound->docs_used;
			return doc;
		}
		if (doc->used < oldest->used)
			oldest = doc;
	}
	clear(oldest);
	oldest->url = strdup(url);
	oldest->used = ++inbound->docs_used;
	return oldest->url ? oldest : NULL;
}

/* What is there; true in *ret_try: it is old, and may be fetched now. */
static char *look(struct ks_inbound *inbound, const char *url, int64_t fresh_ms, int64_t now_ms, bool *ret_try)
{
	struct inbound_doc *doc;
	char *copy = NULL;

	*ret_try = false;
	pthread_mutex_lock(&inbound->docs_lock);
	doc = place(inbound, url);
	if (doc && doc->body)
		copy = strndup(doc->body, doc->body_n);
	if (doc && (!doc->body || now_ms - doc->fetched_ms >= fresh_ms)
	    && (doc->tried_ms == 0 || now_ms - doc->tried_ms >= TRY_EVERY_MS || now_ms < doc->tried_ms)) {
		doc->tried_ms = now_ms;
		*ret_try = true;
	}
	pthread_mutex_unlock(&inbound->docs_lock);
	return copy;
}

static void put(struct ks_inbound *inbound, const char *url, const struct ks_fetch_response *response, int64_t now_ms)
{
	struct inbound_doc *doc;
	char *body = strndup(response->body, response->body_n);

	pthread_mutex_lock(&inbound->docs_lock);
	doc = body ? place(inbound, url) : NULL;
	if (doc) {
		free(doc->body);
		doc->body = body;
		doc->body_n = strlen(body);
		doc->fetched_ms = doc->tried_ms = now_ms;
	} else {
		free(body);
	}
	pthread_mutex_unlock(&inbound->docs_lock);
}

static enum ks_fetch_result get(struct ks_inbound *inbound, struct ks_str url, struct ks_fetch_response *ret_response)
{
	struct ks_fetch_request request = {
		.method = "GET",
		.url = url,
		.headers = {{KS_STR("User-Agent"), KS_STR("keystile")}},
		.header_count = 1,
		.body_max = KS_INBOUND_DOC_MAX,
		.timeout_ms = inbound->options.fetch_ms,
	};

	return ks_fetch_do(inbound->fetch, &request, ret_response);
}

bool inbound_doc(struct ks_inbound *inbound, const char *url, int64_t fresh_ms, int64_t now_ms, char **ret_body)
{
	struct ks_fetch_response response;
	bool try;
	char *body = look(inbound, url, fresh_ms, now_ms, &try);

	if (try && get(inbound, ks_str_c(url), &response) == KS_FETCH_OK) {
		if (response.status == 200) {
			put(inbound, url, &response, now_ms);
			free(body);
			body = strndup(response.body, response.body_n);
		}
		ks_fetch_response_free(&response);
	}
	if (!body)
		return false;
	*ret_body = body;
	return true;
}

const char *ks_inbound_confirm(struct ks_inbound *inbound, struct ks_str url)
{
	struct ks_fetch_response response;
	enum ks_fetch_result result = get(inbound, url, &response);
	bool good = result == KS_FETCH_OK && response.status / 100 == 2;

	if (result != KS_FETCH_OK)
		return ks_fetch_code(result);
	ks_fetch_response_free(&response);
	return good ? "ok" : "refused";
}
