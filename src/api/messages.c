/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/sources/{id}/messages: webhooks that were received. */
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/sources.h"
#include "base/ctenc.h"
#include "store/sources.h"

struct list {
	struct ks_json *json;
	struct ks_page page;
};

static void put_members(struct ks_json *json, uint64_t id, uint64_t source, int64_t received_at, struct ks_str method,
			struct ks_str target, struct ks_str peer, uint64_t size)
{
	ks_json_put_id(json, "id", KS_ID_MESSAGE, id);
	ks_json_put_id(json, "source", KS_ID_SOURCE, source);
	ks_json_put_time(json, "received_at", received_at);
	ks_json_put_str(json, "method", method);
	ks_json_put_str(json, "target", target);
	ks_json_put_some(json, "address", peer);
	ks_json_put_u64(json, "size", size);
}

static enum ks_err list_line(void *ctx, const struct ks_inbound_line *line)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, line->id))
		return KS_OK;
	ks_json_open(list->json, '{');
	put_members(list->json, line->id, line->source, line->received_at, line->method, line->target, line->peer, line->size);
	ks_json_close(list->json, '}');
	return KS_OK;
}

static enum ks_finish list_messages(struct ks_call *call)
{
	static const char *const known[] = {"limit", "cursor", NULL};
	struct list list = {.json = &call->out};
	enum ks_finish answered;
	uint64_t source;
	enum ks_err err;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_source(call, &source))
		return KS_FINISH_DONE;
	ks_call_page_open(call);
	err = ks_store_inbound_of_source(call->reader->store, source, list.page.before, list.page.limit + 1, list_line, &list);
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_messages_list(struct ks_call *call)
{
	return ks_call_later(call, list_messages);
}

struct reading {
	struct ks_call *call;
	uint64_t source;
};

static enum ks_err put_message(void *ctx, const struct ks_inbound_row *row)
{
	struct reading *r = ctx;
	struct ks_json *json = &r->call->out;
	size_t size = row->body.n / 3 * 4 + 8, n;
	char *text;

	if (row->source != r->source)
		return KS_NOT_FOUND;
	text = malloc(size);
	if (!text)
		return KS_MEMORY;
	n = ks_base64_encode((const unsigned char *)row->body.p, row->body.n, text, size);
	ks_json_open(json, '{');
	put_members(json, row->id, row->source, row->received_at, row->method, row->target, row->peer, row->body.n);
	ks_json_put_raw(json, "headers", row->headers);
	ks_json_put_str(json, "body_base64", ks_str_of(text, n));
	ks_json_close(json, '}');
	free(text);
	return KS_OK;
}

static enum ks_finish read_message(struct ks_call *call)
{
	struct reading r = {.call = call};
	uint64_t id;

	if (!ks_call_source(call, &r.source) || !ks_call_id(call, 1, KS_ID_MESSAGE, &id))
		return KS_FINISH_DONE;
	return ks_call_answer_read(call, ks_store_inbound_get(call->reader->store, id, put_message, &r));
}

enum ks_finish ks_api_messages_read(struct ks_call *call)
{
	return ks_call_no_query(call) ? ks_call_later(call, read_message) : KS_FINISH_DONE;
}
