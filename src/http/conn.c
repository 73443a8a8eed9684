/* SPDX-License-Identifier: Apache-2.0 */
/* One connection's requests, from the library's callbacks to the handler and back.
 *
 * Three things go beyond the library's interface, each a byte or two in its own buffer:
 * - The query is hidden from it: it would make a record of every "&", and refuse the request when its memory is full
 *   of them (or hang, before version 1.0; Debian 12 has 0.9.75).
 * - Before 1.0 it is shown an empty Cookie header first: it would make records of every cookie, and answer twice when
 *   its memory is full.
 * - Before 1.0 a malformed Content-Length, which it also answers twice, is answered here when it says so in its log.
 * Which version runs is asked at start. */
#include "http/conn.h"

#include <stdlib.h>

#include "base/secret.h"

static struct ks_conn *conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

void ks_conn_set_phase(struct ks_conn *c, enum ks_http_phase phase)
{
	uint64_t request = atomic_load_explicit(&c->phase, memory_order_relaxed) >> KS_HTTP_PHASE_BITS;

	atomic_store_explicit(&c->phase, request << KS_HTTP_PHASE_BITS | phase, memory_order_release);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	/* Its one writer is this thread. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

void ks_conn_refused(struct ks_conn *c, enum ks_http_refusal refusal)
{
	struct ks_http_server *server = c->server;

	(void)atomic_fetch_add_explicit(&server->refused_total, 1, memory_order_relaxed);
	if (server->options.on_refused)
		server->options.on_refused(server->options.on_refused_ctx, ks_http_refusal_info(refusal)->name,
					   c->local ? NULL : &c->peer);
}

/* ---- the request line ---- */

static const char hidden_cookie[] = "Cookie";

void *ks_conn_uri(void *ctx, const char *uri, struct MHD_Connection *mhd)
{
	struct ks_http_server *server = ctx;
	struct ks_conn *c = conn_of(mhd);
	struct ks_str target = ks_str_c(uri);
	size_t query = ks_str_find(target, '?');
	uint64_t request = (atomic_load_explicit(&c->phase, memory_order_relaxed) >> KS_HTTP_PHASE_BITS) + 1;

	atomic_store_explicit(&c->phase, request << KS_HTTP_PHASE_BITS | KS_HTTP_HEAD, memory_order_release);
	c->stage = KS_HTTP_STAGE_BEGIN;
	c->early = false;
	c->linger = true;
	c->target_at = uri;
	c->target_n = target.n;
	c->target_cut = target.n > sizeof(c->target);
	/* The library writes into its own before the handler sees it. */
	memcpy(c->target, target.p, KS_MIN(target.n, sizeof(c->target)));
	if (query != SIZE_MAX && query + 1 < target.n)
		((char *)(uintptr_t)uri)[query + 1] = '\0';
	if (server->old_library)
		(void)MHD_set_connection_value_n(mhd, MHD_HEADER_KIND, hidden_cookie, sizeof(hidden_cookie) - 1, "", 0);
	return c;
}

/* ---- the head ---- */

static enum MHD_Result add_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value,
				  size_t value_n)
{
	struct ks_exchange *x = ctx;

	(void)kind;
	if (name == hidden_cookie)
		return MHD_YES;
	/* One more than there is room for is counted, so that the strict layer sees it. */
	if (x->header_count++ >= KS_HEADERS_MAX)
		return MHD_NO;
	x->headers[x->header_count - 1] =
		(struct ks_header){ks_str_of(name, name_n), ks_str_of(value ? value : "", value ? value_n : 0)};
	return MHD_YES;
}

static enum ks_http_refusal read_head(struct ks_conn *c, const char *method, const char *version,
				      struct ks_http_facts *ret_facts)
{
	struct ks_exchange *x = &c->exchange;
	const union MHD_ConnectionInfo *size = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	struct ks_http_head head = {
		.method = ks_str_c(method),
		.target = ks_str_of(c->target, c->target_n),
		.version = ks_str_c(version),
		.headers = x->headers,
	};
	enum ks_http_refusal refusal;

	c->head_at = method;
	c->head_n = size ? size->header_size : 0;
	count(&c->consumed, c->head_n);
	(void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, add_header, x);
	head.header_count = x->header_count;
	x->header_count = KS_MIN(x->header_count, (size_t)KS_HEADERS_MAX);
	if (c->target_cut)
		return KS_HTTP_REFUSED_target_too_large;
	refusal = ks_http_strict(&head, ret_facts);
	if (refusal != KS_HTTP_REFUSED_NOT)
		return refusal;
	if (c->server->old_library) {
		head.target.p = c->target_at;
		refusal = ks_http_seams(&head, c->head_at, c->head_n);
		head.target.p = c->target;
	}
	x->method = head.method;
	x->target = head.target;
	return refusal;
}

/* They live as long as the session. */
static void read_client_certs(struct ks_conn *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	unsigned count = 0;
	const gnutls_datum_t *certs = info ? gnutls_certificate_get_peers(info->tls_session, &count) : NULL;
	struct ks_exchange *x = &c->exchange;

	for (unsigned i = 0; certs && i < count && i < KS_CLIENT_CERTS_MAX; i++)
		x->client_certs[x->client_cert_count++] = ks_str_of((const char *)certs[i].data, certs[i].size);
}

static void fill_exchange(struct ks_conn *c)
{
	struct ks_exchange *x = &c->exchange;

	x->peer = c->peer;
	x->peer_known = !c->local;
	x->local = c->local;
	x->tls = c->tls;
	if (c->tls && (c->server->options.tls_client_optional || c->server->options.tls_client_ca))
		read_client_certs(c);
	x->now_ms = ks_stamp_now();
	x->carrier = c;
	for (size_t i = 0; i < x->header_count; i++)
		x->headers[i].value = ks_str_trim(x->headers[i].value);
}

static void take_facts(struct ks_conn *c, const struct ks_http_facts *facts)
{
	struct ks_exchange *x = &c->exchange;
	struct ks_buf id = KS_BUF(x->request_id);

	if (facts->request_id && ks_http_request_id_ok(facts->request_id->value)) {
		ks_buf_put(&id, facts->request_id->value);
		(void)ks_buf_z(&id);
	} else {
		ks_stamp_request_id(x->request_id);
	}
	if (facts->traceparent && ks_http_traceparent_ok(facts->traceparent->value))
		c->traceparent = facts->traceparent->value;
	c->body_coming = facts->chunked || facts->length > 0;
	if (facts->chunked)
		atomic_store_explicit(&c->inexact, true, memory_order_relaxed);
}

/* Answers at once: the library then reads nothing more of this connection. */
static enum MHD_Result refuse(struct ks_conn *c, enum ks_http_refusal refusal)
{
	ks_conn_refused(c, refusal);
	ks_conn_answer_problem(c, refusal);
	c->early = true;
	return ks_conn_answer(c) ? MHD_YES : MHD_NO;
}

static bool expects_continue(const struct ks_exchange *x)
{
	return !ks_str_empty(ks_exchange_header(x, KS_STR("Expect"), NULL));
}

static enum MHD_Result begin(struct ks_conn *c, const char *method, const char *version)
{
	struct ks_exchange *x = &c->exchange;
	struct ks_http_facts facts = {.chunked = false};
	enum ks_http_refusal refusal;

	ks_exchange_init(x);
	c->traceparent = KS_STR("");
	c->body_coming = false;
	refusal = read_head(c, method, version, &facts);
	fill_exchange(c);
	take_facts(c, &facts);
	if (refusal != KS_HTTP_REFUSED_NOT)
		return refuse(c, refusal);
	ks_conn_set_phase(c, c->body_coming ? KS_HTTP_BODY : KS_HTTP_WORK);
	c->begun = true;
	c->server->handler.begin(c->server->handler.ctx, x);
	if (x->status) {
		if (facts.length > KS_HTTP_SWALLOW_MAX || (c->body_coming && expects_continue(x))) {
			c->early = true;
			return ks_conn_answer(c) ? MHD_YES : MHD_NO;
		}
		c->stage = KS_HTTP_STAGE_SWALLOW;
		return MHD_YES;
	}
	if (facts.length > x->body_max)
		return refuse(c, KS_HTTP_REFUSED_body_too_large);
	c->body_most = facts.chunked ? x->body_max : (size_t)facts.length;
	atomic_store_explicit(&c->unhurried, x->sink != NULL, memory_order_relaxed);
	c->stage = KS_HTTP_STAGE_COLLECT;
	return MHD_YES;
}

/* ---- pending exchanges ---- */

/* For what the connection waits for: an answer, or a sink that takes more. */
static void wake(struct ks_exchange *x)
{
	struct ks_conn *c = x->carrier;
	struct ks_http_server *server = c->server;
	enum ks_http_pending before;

	(void)pthread_mutex_lock(&server->pending_lock);
	before = c->pending;
	c->pending = KS_HTTP_PENDING_COMPLETED;
	if (before == KS_HTTP_PENDING_SUSPENDED) {
		MHD_resume_connection(c->mhd);
		server->pending--;
	}
	/* Whoever waits may free the server as soon as the lock is free: nothing is touched after it. */
	(void)pthread_cond_broadcast(&server->pending_done);
	(void)pthread_mutex_unlock(&server->pending_lock);
}

void ks_conn_expect(struct ks_conn *c)
{
	c->pending = KS_HTTP_PENDING_NOT;
}

bool ks_conn_await(struct ks_conn *c)
{
	struct ks_http_server *server = c->server;
	bool completed;

	(void)pthread_mutex_lock(&server->pending_lock);
	while (server->no_more_pending && c->pending != KS_HTTP_PENDING_COMPLETED)
		(void)pthread_cond_wait(&server->pending_done, &server->pending_lock);
	completed = c->pending == KS_HTTP_PENDING_COMPLETED;
	if (!completed) {
		MHD_suspend_connection(c->mhd);
		c->pending = KS_HTTP_PENDING_SUSPENDED;
		server->pending++;
	}
	(void)pthread_mutex_unlock(&server->pending_lock);
	return completed;
}

/* Calls the handler's finish. True: the answer is there. False: the connection is suspended, and comes back here when
 * it is. */
static bool finish(struct ks_conn *c)
{
	struct ks_http_server *server = c->server;

	c->exchange.body = ks_str_of(c->body ? c->body : "", c->body_n);
	c->exchange.complete = wake;
	c->exchange.resume = wake;
	c->pending = KS_HTTP_PENDING_NOT;
	return server->handler.finish(server->handler.ctx, &c->exchange) == KS_FINISH_DONE || ks_conn_await(c);
}

/* ---- the body ---- */

/* Ends the connection with an answer while the body still comes. */
static enum MHD_Result abort_body(struct ks_conn *c, enum ks_http_refusal refusal)
{
	if (refusal != KS_HTTP_REFUSED_NOT) {
		ks_conn_refused(c, refusal);
		ks_conn_answer_problem(c, refusal);
	}
	ks_conn_answer_past(c);
	return MHD_NO;
}

/* Gives a piece to the sink. KS_BUSY: not taken, and the connection is suspended until the sink takes more. */
static enum ks_err pour(struct ks_conn *c, struct ks_str piece)
{
	struct ks_exchange *x = &c->exchange;
	enum ks_err err;

	x->resume = wake;
	ks_conn_set_phase(c, KS_HTTP_BODY);
	do {
		c->pending = KS_HTTP_PENDING_NOT;
		err = x->sink(x->sink_ctx, piece);
	} while (err == KS_BUSY && ks_conn_await(c));
	if (err == KS_BUSY)
		ks_conn_set_phase(c, KS_HTTP_WORK);
	return err;
}

/* True: go on reading. False: *ret_result is what the library is told. */
static bool take_piece(struct ks_conn *c, struct ks_str piece, enum MHD_Result *ret_result)
{
	struct ks_exchange *x = &c->exchange;
	enum ks_http_refusal refusal = KS_HTTP_REFUSED_NOT;
	uint64_t seen = atomic_load_explicit(&c->body_seen, memory_order_relaxed);

	if (c->stage == KS_HTTP_STAGE_SWALLOW) {
		if (seen <= KS_HTTP_SWALLOW_MAX)
			return true;
		*ret_result = abort_body(c, KS_HTTP_REFUSED_NOT);
		return false;
	}
	if (!x->sink)
		refusal = ks_conn_body_add(c, piece);
	else if (seen > x->body_max)
		refusal = KS_HTTP_REFUSED_body_too_large;
	else {
		enum ks_err err = pour(c, piece);

		if (err == KS_BUSY) {
			/* The same bytes will come again. */
			count(&c->consumed, (uint64_t)0 - piece.n);
			count(&c->body_seen, (uint64_t)0 - piece.n);
			*ret_result = MHD_YES;
			return false;
		}
		if (err != KS_OK) {
			c->stage = KS_HTTP_STAGE_ABORTED;
			ks_conn_set_phase(c, KS_HTTP_WORK);
			*ret_result = finish(c) ? abort_body(c, KS_HTTP_REFUSED_NOT) : MHD_YES;
			return false;
		}
	}
	if (refusal == KS_HTTP_REFUSED_NOT)
		return true;
	*ret_result = abort_body(c, refusal);
	return false;
}

static enum MHD_Result body(struct ks_conn *c, const char *data, size_t *data_size)
{
	struct ks_str piece = ks_str_of(data, *data_size);
	enum MHD_Result result;

	if (c->stage == KS_HTTP_STAGE_ABORTED)
		return abort_body(c, KS_HTTP_REFUSED_NOT);
	count(&c->consumed, piece.n);
	count(&c->body_seen, piece.n);
	/* Where finish is pending, or the sink is busy, nothing is taken, so that the library comes back with the
	 * same piece. */
	if (!take_piece(c, piece, &result))
		return result;
	/* Its buffer is not cleared before its memory is given back, and a body may hold a secret. */
	ks_wipe((char *)(uintptr_t)data, piece.n);
	*data_size = 0;
	return MHD_YES;
}

/* ---- the library's callbacks ---- */

enum MHD_Result ks_conn_handle(void *ctx, struct MHD_Connection *mhd, const char *url, const char *method,
			       const char *version, const char *data, size_t *data_size, void **request_ctx)
{
	struct ks_conn *c = *request_ctx;

	(void)ctx;
	(void)mhd;
	(void)url;
	if (c->stage == KS_HTTP_STAGE_BEGIN)
		return begin(c, method, version);
	if (*data_size)
		return body(c, data, data_size);
	if (c->stage == KS_HTTP_STAGE_COLLECT) {
		ks_conn_set_phase(c, KS_HTTP_WORK);
		c->stage = KS_HTTP_STAGE_ANSWER;
		if (!finish(c))
			return MHD_YES;
	}
	return ks_conn_answer(c) ? MHD_YES : MHD_NO;
}

/* What the library has refused by itself, as near as can be told. */
static enum ks_http_refusal refusal_of_status(struct ks_conn *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);

	switch (info ? info->http_status : 0) {
	case 0:
		return KS_HTTP_REFUSED_NOT; /* the client left */
	case 413:
		return KS_HTTP_REFUSED_body_too_large;
	case 414:
		return KS_HTTP_REFUSED_target_too_large;
	case 431:
		return KS_HTTP_REFUSED_headers_too_large;
	default:
		return KS_HTTP_REFUSED_request_malformed;
	}
}

void ks_conn_request_done(void *ctx, struct MHD_Connection *mhd, void **request_ctx,
			  enum MHD_RequestTerminationCode how)
{
	struct ks_conn *c = *request_ctx;
	struct ks_exchange *x = &c->exchange;

	(void)ctx;
	(void)mhd;
	if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK && c->stage != KS_HTTP_STAGE_ANSWERED) {
		enum ks_http_refusal refusal = refusal_of_status(c);

		if (refusal != KS_HTTP_REFUSED_NOT)
			ks_conn_refused(c, refusal);
	}
	/* The library ends a connection as soon as nothing more is to be read of it, also while an answer is awaited. */
	if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK && c->stage == KS_HTTP_STAGE_ANSWER && c->pending == KS_HTTP_PENDING_COMPLETED)
		ks_conn_answer_past(c);
	if (c->begun)
		c->server->handler.closed(c->server->handler.ctx, x);
	c->begun = false;
	c->linger = c->early || how != MHD_REQUEST_TERMINATED_COMPLETED_OK;
	ks_conn_answer_free(c);
	if (x->wipe) {
		ks_wipe(x->text_bytes, x->text.n);
		if (x->heap)
			ks_wipe(x->heap, x->answer_body.n);
	}
	free(x->heap);
	x->heap = NULL;
	x->wipe = false;
	ks_conn_body_free(c);
	if (c->head_n)
		ks_wipe((char *)(uintptr_t)c->head_at, c->head_n);
	c->head_n = 0;
	ks_wipe(c->target, KS_MIN(c->target_n, sizeof(c->target)));
	c->stage = KS_HTTP_STAGE_NONE;
	atomic_store_explicit(&c->body_seen, 0, memory_order_relaxed);
	ks_conn_set_phase(c, KS_HTTP_IDLE);
}

/* ---- Content-Length, malformed, before 1.0 ---- */

static enum MHD_Result find_bad_length(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_n,
				       const char *value, size_t value_n)
{
	bool *ret_found = ctx;
	uint64_t length;

	(void)kind;
	if (ks_str_eq_nocase(ks_str_of(name, name_n), KS_STR("Content-Length")) &&
	    !ks_str_to_u64(ks_str_of(value ? value : "", value ? value_n : 0), INT64_MAX, &length))
		*ret_found = true;
	return MHD_YES;
}

static void answer_bad_length(struct ks_conn *c)
{
	bool found = false;

	(void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, find_bad_length, &found);
	if (!found)
		return;
	ks_exchange_init(&c->exchange);
	c->traceparent = KS_STR("");
	c->exchange.now_ms = ks_stamp_now();
	ks_stamp_request_id(c->exchange.request_id);
	ks_conn_refused(c, KS_HTTP_REFUSED_content_length_malformed);
	ks_conn_answer_problem(c, KS_HTTP_REFUSED_content_length_malformed);
	/* It also ends our side of the socket, so that what the library writes next goes nowhere. */
	ks_conn_answer_past(c);
}

/* Which connection it is that the library complains of is not told. It is one that this thread serves, and whose head
 * has begun; if another of those has also sent a malformed Content-Length already, then that one is refused a little
 * early. */
void ks_conn_log(void *ctx, const char *format, va_list arguments)
{
	struct ks_http_server *server = ctx;
	pthread_t self = pthread_self();

	(void)arguments;
	if (!server->old_library || !strstr(format, "Content-Length"))
		return;
	for (size_t from = 0; from < server->by_fd_size;) {
		struct ks_conn *ours[16];
		size_t count = 0;

		(void)pthread_mutex_lock(&server->registry_lock);
		for (; from < server->by_fd_used && count < KS_ARRAY_LEN(ours); from++) {
			struct ks_conn *c = server->by_fd[from];

			if (c && c->live && pthread_equal(c->thread, self) && c->stage == KS_HTTP_STAGE_BEGIN)
				ours[count++] = c;
		}
		(void)pthread_mutex_unlock(&server->registry_lock);
		/* Only their own thread, this one, ever frees them. */
		for (size_t i = 0; i < count; i++)
			answer_bad_length(ours[i]);
		if (count < KS_ARRAY_LEN(ours))
			return;
	}
}
