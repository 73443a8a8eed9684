/* SPDX-License-Identifier: Apache-2.0 */
#include "http/exchange.h"

void ks_exchange_init(struct ks_exchange *exchange)
{
	const struct ks_str nothing = KS_STR("");

	exchange->method = nothing;
	exchange->target = nothing;
	exchange->header_count = 0;
	exchange->body = nothing;
	exchange->peer = (struct ks_addr){{0}};
	exchange->peer_known = false;
	exchange->local = false;
	exchange->tls = false;
	exchange->client_cert_count = 0;
	exchange->now_ms = 0;
	exchange->request_id[0] = '\0';
	exchange->body_max = KS_BODY_MAX;
	exchange->sink = NULL;
	exchange->sink_ctx = NULL;
	exchange->status = 0;
	exchange->answer_header_count = 0;
	exchange->answer_body = nothing;
	exchange->heap = NULL;
	exchange->wipe = false;
	exchange->close = false;
	exchange->text = KS_BUF(exchange->text_bytes);
	exchange->state = NULL;
	exchange->complete = NULL;
	exchange->resume = NULL;
	exchange->source = NULL;
	exchange->carrier = NULL;
}

struct ks_str ks_exchange_header(const struct ks_exchange *exchange, struct ks_str name, size_t *ret_count)
{
	struct ks_str first = KS_STR("");
	size_t count = 0;

	for (size_t i = 0; i < exchange->header_count; i++) {
		const struct ks_header *h = &exchange->headers[i];

		if (!ks_str_eq_nocase(h->name, name))
			continue;
		if (count++ == 0)
			first = h->value;
	}
	if (ret_count)
		*ret_count = count;
	return first;
}

struct ks_str ks_exchange_path(const struct ks_exchange *exchange)
{
	return ks_str_sub(exchange->target, 0, ks_str_find(exchange->target, '?'));
}

struct ks_str ks_exchange_query(const struct ks_exchange *exchange)
{
	size_t at = ks_str_find(exchange->target, '?');

	return at == SIZE_MAX ? KS_STR("") : ks_str_sub(exchange->target, at + 1, SIZE_MAX);
}

void ks_exchange_answer_header(struct ks_exchange *exchange, struct ks_str name, struct ks_str value)
{
	if (exchange->answer_header_count < KS_ANSWER_HEADERS_MAX)
		exchange->answer_headers[exchange->answer_header_count++] = (struct ks_header){name, value};
}

void ks_exchange_complete(struct ks_exchange *exchange)
{
	exchange->complete(exchange);
}

void ks_exchange_resume(struct ks_exchange *exchange)
{
	if (exchange->resume)
		exchange->resume(exchange);
}
