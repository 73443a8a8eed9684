/* SPDX-License-Identifier: Apache-2.0 */
/* From the exchange's answer to the wire. The library copies each header of an answer in three allocations, which for
 * a dozen headers costs more than all else here. So it is given one header, whose value is as long as the lines of
 * all of them together, and the lines are then written over the library's copy. It looks at no value again, and
 * checks none: what could split a line is refused here. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/secret.h"
#include "http/conn.h"

/* Values of the handler's, and the names and what is always there. */
#define BLOCK_MAX ((size_t)16384)
#define STATUS_LINE_MAX 512
#define SOURCE_BLOCK ((size_t)65536)

#define X16 "xxxxxxxxxxxxxxxx"
#define X256 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16
#define X4096 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256
/* The value as the library is given it: a tail of this, of the right length. */
static const char filler[] = X4096 X4096 X4096 X4096;
_Static_assert(sizeof(filler) == BLOCK_MAX + 1, "the filler is as long as the longest block");

#define FIRST_NAME "X-Request-Id"

/* ---- the block: "value of X-Request-Id" CRLF name ": " value CRLF ... name ": " value ---- */

struct block {
	struct ks_header lines[KS_ANSWER_HEADERS_MAX + 4];
	size_t count;
	struct ks_str request_id;
	size_t n; /* bytes */
};

static void add_line(struct block *b, struct ks_str name, struct ks_str value)
{
	b->lines[b->count++] = (struct ks_header){name, value};
	b->n += 4 + name.n + value.n;
}

/* The library adds these by itself. */
static bool is_framing(struct ks_str name)
{
	switch (name.n) {
	case 10:
		return ks_str_eq_nocase(name, KS_STR("Connection"));
	case 14:
		return ks_str_eq_nocase(name, KS_STR("Content-Length"));
	case 17:
		return ks_str_eq_nocase(name, KS_STR("Transfer-Encoding"));
	default:
		return false;
	}
}

/* False where the answer holds a header that would break it, or is too long. */
static bool lay_out(const struct ks_conn *c, struct block *ret_block)
{
	const struct ks_exchange *x = &c->exchange;
	struct block *b = ret_block;
	bool cacheable = false;

	b->count = 0;
	b->request_id = ks_str_c(x->request_id);
	b->n = b->request_id.n;
	if (x->text.overflow)
		return false;
	for (size_t i = 0; i < x->answer_header_count; i++) {
		const struct ks_header *h = &x->answer_headers[i];

		if (!ks_http_value_ok(h->value) || is_framing(h->name))
			return false;
		cacheable |= h->name.n == 13 && ks_str_eq_nocase(h->name, KS_STR("Cache-Control"));
		add_line(b, h->name, h->value);
	}
	if (!cacheable)
		add_line(b, KS_STR("Cache-Control"), KS_STR("no-store"));
	if (c->traceparent.n)
		add_line(b, KS_STR("traceparent"), c->traceparent);
	add_line(b, KS_STR("Date"), ks_stamp_date(x->now_ms));
	return b->n <= BLOCK_MAX;
}

static void write_block(struct ks_buf *out, const struct block *b)
{
	ks_buf_put(out, b->request_id);
	for (size_t i = 0; i < b->count; i++) {
		ks_buf_put(out, KS_STR("\r\n"));
		ks_buf_put(out, b->lines[i].name);
		ks_buf_put(out, KS_STR(": "));
		ks_buf_put(out, b->lines[i].value);
	}
}

/* ---- through the library ---- */

static bool add_block(struct MHD_Response *response, const struct block *b)
{
	struct ks_buf out;
	const char *copy;

	if (MHD_add_response_header(response, FIRST_NAME, &filler[BLOCK_MAX - b->n]) != MHD_YES)
		return false;
	copy = MHD_get_response_header(response, FIRST_NAME);
	if (!copy)
		return false;
	/* The library's own allocation, const in its interface only. */
	out = ks_buf_of((char *)(uintptr_t)copy, b->n);
	write_block(&out, b);
	return ks_buf_ok(&out) && out.n == b->n;
}

static bool prepare(struct ks_conn *c, struct block *ret_block)
{
	struct ks_exchange *x = &c->exchange;

	if (x->status < 200 || x->status > 599 || !lay_out(c, ret_block)) {
		ks_conn_answer_internal(c);
		if (!lay_out(c, ret_block))
			return false;
	}
	if (atomic_load_explicit(&c->server->stopping, memory_order_relaxed) != KS_HTTP_RUNS)
		x->close = true;
	atomic_store_explicit(&c->answer_bytes, ret_block->n + x->answer_body.n, memory_order_relaxed);
	return true;
}

/* More of an answer whose length is not known. What it has given counts for how long it may take; the time in which it
 * had nothing to give is not the client's. */
static ssize_t give_more(void *ctx, uint64_t position, char *bytes, size_t cap)
{
	struct ks_conn *c = ctx;
	struct ks_exchange *x = &c->exchange;
	enum ks_err err;
	size_t n = 0;

	(void)position;
	do {
		ks_conn_expect(c);
		err = x->source(x->source_ctx, bytes, cap, &n);
	} while (err == KS_BUSY && ks_conn_await(c));
	if (err == KS_BUSY) {
		ks_conn_set_phase(c, KS_HTTP_WORK);
		return 0;
	}
	ks_conn_set_phase(c, KS_HTTP_SEND);
	if (err != KS_OK)
		return err == KS_NOT_FOUND ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
	(void)atomic_fetch_add_explicit(&c->answer_bytes, n, memory_order_relaxed);
	return (ssize_t)n;
}

static struct MHD_Response *make_response(struct ks_conn *c)
{
	struct ks_exchange *x = &c->exchange;

	if (x->source)
		return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SOURCE_BLOCK, give_more, c, NULL);
	/* Persistent: the body stays in the exchange until the library has said that the request is done. */
	return MHD_create_response_from_buffer(x->answer_body.n, (void *)(uintptr_t)x->answer_body.p,
					       MHD_RESPMEM_PERSISTENT);
}

bool ks_conn_answer(struct ks_conn *c)
{
	struct ks_exchange *x = &c->exchange;
	struct MHD_Response *response;
	struct block block;
	bool queued;

	c->stage = KS_HTTP_STAGE_ANSWERED;
	if (!prepare(c, &block))
		return false;
	response = make_response(c);
	if (!response)
		return false;
	queued = add_block(response, &block) &&
		 (!x->close || MHD_add_response_header(response, "Connection", "close") == MHD_YES);
	ks_conn_set_phase(c, KS_HTTP_SEND);
	queued = queued && MHD_queue_response(c->mhd, (unsigned)x->status, response) == MHD_YES;
	/* Its headers may hold a secret (a cookie), in memory of the library's, which is not cleared. */
	if (queued && x->wipe)
		c->response = response;
	else
		MHD_destroy_response(response);
	return queued;
}

void ks_conn_answer_free(struct ks_conn *c)
{
	const char *block;

	if (!c->response)
		return;
	block = MHD_get_response_header(c->response, FIRST_NAME);
	if (block)
		ks_wipe((char *)(uintptr_t)block, strlen(block));
	MHD_destroy_response(c->response);
	c->response = NULL;
}

/* ---- past the library ---- */

/* All of it, or as much as the other end's window takes: an answer in mid-body is a farewell, and nobody waits for
 * its reader. */
static bool send_all(const struct ks_conn *c, struct ks_str bytes)
{
	const union MHD_ConnectionInfo *info = NULL;

	if (c->tls)
		info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	while (bytes.n) {
		ssize_t n = info ? gnutls_record_send(info->tls_session, bytes.p, bytes.n)
				 : send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return false;
		bytes = ks_str_sub(bytes, (size_t)n, SIZE_MAX);
	}
	return true;
}

void ks_conn_answer_past(struct ks_conn *c)
{
	struct ks_exchange *x = &c->exchange;
	struct block block;
	char bytes[BLOCK_MAX + STATUS_LINE_MAX];
	struct ks_buf out = KS_BUF(bytes);

	c->stage = KS_HTTP_STAGE_ANSWERED;
	c->early = true;
	if (!prepare(c, &block))
		return;
	ks_conn_set_phase(c, KS_HTTP_SEND);
	ks_buf_put_c(&out, "HTTP/1.1 ");
	ks_buf_put_u64(&out, (uint64_t)x->status);
	ks_buf_put_c(&out, " ");
	ks_buf_put_c(&out, MHD_get_reason_phrase_for((unsigned)x->status));
	ks_buf_put_c(&out, "\r\n" FIRST_NAME ": ");
	write_block(&out, &block);
	ks_buf_put_c(&out, "\r\nConnection: close\r\nContent-Length: ");
	ks_buf_put_u64(&out, x->answer_body.n);
	ks_buf_put_c(&out, "\r\n\r\n");
	if (ks_buf_ok(&out) && send_all(c, ks_buf_str(&out)))
		(void)send_all(c, x->answer_body);
	(void)shutdown(c->fd, SHUT_WR);
}

/* ---- problems of the carrier's own ---- */

/* In the text of the exchange, whatever was there. */
static void answer_problem(struct ks_conn *c, int status, const char *code, const char *title, const char *detail)
{
	struct ks_exchange *x = &c->exchange;
	struct ks_buf *text = &x->text;

	if (x->heap && x->wipe)
		ks_wipe(x->heap, x->answer_body.n);
	free(x->heap);
	x->heap = NULL;
	x->source = NULL;
	*text = KS_BUF(x->text_bytes);
	ks_buf_put_c(text, "{\"type\":\"urn:keystile:problem:");
	ks_buf_put_c(text, code);
	ks_buf_put_c(text, "\",\"title\":");
	ks_buf_put_json(text, ks_str_c(title));
	ks_buf_put_c(text, ",\"status\":");
	ks_buf_put_u64(text, (uint64_t)status);
	ks_buf_put_c(text, ",\"detail\":");
	ks_buf_put_json(text, ks_str_c(detail));
	ks_buf_put_c(text, ",\"code\":");
	ks_buf_put_json(text, ks_str_c(code));
	ks_buf_put_c(text, ",\"request_id\":");
	ks_buf_put_json(text, ks_str_c(x->request_id));
	ks_buf_put_c(text, "}");
	x->status = status;
	x->wipe = false;
	x->answer_header_count = 0;
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("application/problem+json"));
	x->answer_body = ks_buf_str(text);
}

void ks_conn_answer_problem(struct ks_conn *c, enum ks_http_refusal refusal)
{
	const struct ks_http_refusal_info *info = ks_http_refusal_info(refusal);

	answer_problem(c, info->status, info->code, MHD_get_reason_phrase_for((unsigned)info->status), info->detail);
	c->exchange.close = true;
}

void ks_conn_answer_internal(struct ks_conn *c)
{
	answer_problem(c, 500, "internal", "Internal Server Error", "The service failed.");
}
