/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/keys/import: JSON Lines, however many. The carrier's thread only copies what comes into a bounded buffer;
 * a thread of the import's own parses and writes, at the pace of the store. While the buffer is full the carrier reads
 * no more from the client: no thread that serves decisions ever waits for an import, and memory does not grow with the
 * file. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"

#define BUFFER_SIZE (512u << 10)   /* two of them: one fills while the other is read */
#define ERRORS_MAX 1000u           /* told in the answer; the rest is counted */

_Static_assert(KS_PIECE_MAX <= BUFFER_SIZE, "a piece fits an empty buffer");

/* Of two owners: the exchange and the thread. */
struct import {
	struct ks_api *api;
	struct ks_actor actor;
	pthread_mutex_t lock;      /* guards all below */
	pthread_cond_t to_thread;  /* something came, or the end */
	pthread_cond_t to_sink;    /* there is room, for a carrier that waits */
	unsigned owners;
	struct ks_call *call;      /* NULL: the exchange is closed */
	char *filling;
	size_t filled;
	bool carrier_waits;        /* for ks_exchange_resume */
	bool ended;                /* the whole body is in, and the answer is owed */
	enum ks_err err;           /* the first failure */
	struct ks_json errors;     /* items of the answer's list */
	size_t error_count;
	/* the thread's own */
	char *draining;
	struct ks_import *work;
	struct ks_import_result result;
};

static void release(struct import *im)
{
	bool last;

	(void)pthread_mutex_lock(&im->lock);
	last = --im->owners == 0;
	(void)pthread_mutex_unlock(&im->lock);
	if (!last)
		return;
	(void)pthread_cond_destroy(&im->to_sink);
	(void)pthread_cond_destroy(&im->to_thread);
	(void)pthread_mutex_destroy(&im->lock);
	ks_json_free(&im->errors);
	free(im->filling);
	free(im->draining);
	free(im);
}

static struct import *create(struct ks_call *call)
{
	struct import *im = calloc(1, sizeof(*im));

	if (!im)
		return NULL;
	im->api = call->api;
	im->actor = call->actor;
	im->call = call;
	im->owners = 1;
	(void)pthread_mutex_init(&im->lock, NULL);
	(void)pthread_cond_init(&im->to_thread, NULL);
	(void)pthread_cond_init(&im->to_sink, NULL);
	ks_json_init(&im->errors);
	im->filling = malloc(BUFFER_SIZE);
	im->draining = malloc(BUFFER_SIZE);
	if (im->filling && im->draining)
		return im;
	release(im);
	return NULL;
}

/* ---- the carrier's side ---- */

static void append(struct import *im, struct ks_str piece)
{
	memcpy(im->filling + im->filled, piece.p, piece.n);
	im->filled += piece.n;
	(void)pthread_cond_signal(&im->to_thread);
}

static enum ks_err sink(void *ctx, struct ks_str piece)
{
	struct import *im = ctx;
	enum ks_err err;

	(void)pthread_mutex_lock(&im->lock);
	while (!im->call->exchange->resume && im->err == KS_OK && piece.n > BUFFER_SIZE - im->filled) {
		struct ks_str part = ks_str_sub(piece, 0, BUFFER_SIZE - im->filled);

		append(im, part);
		piece = ks_str_sub(piece, part.n, SIZE_MAX);
		(void)pthread_cond_wait(&im->to_sink, &im->lock);
	}
	err = im->err;
	if (err == KS_OK && piece.n > BUFFER_SIZE - im->filled) {
		im->carrier_waits = true;
		err = KS_BUSY;
	} else if (err == KS_OK) {
		append(im, piece);
	}
	(void)pthread_mutex_unlock(&im->lock);
	return err;
}

static void drop(struct ks_call *call)
{
	struct import *im = call->extra;

	(void)pthread_mutex_lock(&im->lock);
	im->call = NULL;
	(void)pthread_cond_signal(&im->to_thread);
	(void)pthread_mutex_unlock(&im->lock);
	release(im);
}

/* ---- the import's thread ---- */

static void on_bad(void *ctx, uint64_t line, const char *pointer, const char *detail)
{
	struct import *im = ctx;

	(void)pthread_mutex_lock(&im->lock);
	if (im->error_count++ < ERRORS_MAX) {
		ks_json_open(&im->errors, '{');
		ks_json_put_u64(&im->errors, "line", line);
		ks_json_put_c(&im->errors, "pointer", pointer);
		ks_json_put_c(&im->errors, "detail", detail);
		ks_json_close(&im->errors, '}');
	}
	(void)pthread_mutex_unlock(&im->lock);
}

/* Takes what has come into im->draining; false at the end. Where the client went away, what came before is kept. */
static bool take(struct import *im, struct ks_str *ret_piece)
{
	char *full;
	bool any;

	(void)pthread_mutex_lock(&im->lock);
	while (im->filled == 0 && !im->ended && im->call)
		(void)pthread_cond_wait(&im->to_thread, &im->lock);
	any = im->filled > 0;
	if (any) {
		full = im->filling;
		*ret_piece = ks_str_of(full, im->filled);
		im->filling = im->draining;
		im->draining = full;
		im->filled = 0;
	}
	(void)pthread_cond_signal(&im->to_sink);
	/* Under the lock: the exchange cannot be closed meanwhile. */
	if (im->carrier_waits && im->call) {
		im->carrier_waits = false;
		ks_exchange_resume(im->call->exchange);
	}
	(void)pthread_mutex_unlock(&im->lock);
	return any;
}

static void fail(struct import *im, enum ks_err err)
{
	(void)pthread_mutex_lock(&im->lock);
	if (im->err == KS_OK)
		im->err = err;
	(void)pthread_mutex_unlock(&im->lock);
}

static void answer(struct import *im, struct ks_call *call)
{
	struct ks_json *out = &call->out;
	char detail[128];

	if (im->err != KS_OK) {
		(void)snprintf(detail, sizeof(detail),
			       "The import ended early: %llu keys of %llu lines were imported, and stay.",
			       (unsigned long long)im->result.imported, (unsigned long long)im->result.lines);
		(void)ks_call_problem(call, ks_problem_of_err(im->err), detail);
		return;
	}
	ks_json_open(out, '{');
	ks_json_put_u64(out, "lines", im->result.lines);
	ks_json_put_u64(out, "imported", im->result.imported);
	ks_json_put_u64(out, "refused", im->result.refused);
	ks_json_name(out, "errors");
	ks_json_open(out, '[');
	if (im->errors.n > 0)
		ks_json_raw(out, ks_str_of(im->errors.p, im->errors.n));
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	out->failed |= im->errors.failed;
	(void)ks_call_answer(call, 200);
}

static void run(void *ctx)
{
	struct import *im = ctx;
	struct ks_call *call;
	struct ks_str piece;
	enum ks_err err = ks_import_begin(im->api->engine, &im->actor, on_bad, im, &im->work);

	if (err != KS_OK)
		fail(im, err);
	/* After a failure the rest is only taken off the sink's hands until it has heard. */
	while (take(im, &piece)) {
		if (err == KS_OK)
			err = ks_import_feed(im->work, piece);
		if (err != KS_OK)
			fail(im, err);
	}
	if (im->work) {
		err = ks_import_end(&im->work, &im->result);
		if (err != KS_OK)
			fail(im, err);
	}
	(void)pthread_mutex_lock(&im->lock);
	call = im->call;
	(void)pthread_mutex_unlock(&im->lock);
	/* With a call left the whole body was in, so that the exchange stays until it is completed. */
	if (call) {
		answer(im, call);
		ks_exchange_complete(call->exchange);
	}
	release(im);
}

/* ---- the route ---- */

static bool is_json_lines(const struct ks_exchange *x)
{
	struct ks_str type = ks_exchange_header(x, KS_STR("Content-Type"), NULL);
	struct ks_str rest;

	(void)!ks_str_split(type, ';', &type, &rest);
	type = ks_str_trim(type);
	return ks_str_eq_nocase(type, KS_STR("application/jsonl"))
	       || ks_str_eq_nocase(type, KS_STR("application/x-ndjson"));
}

enum ks_finish ks_api_keys_import_start(struct ks_call *call)
{
	struct import *im;
	enum ks_err err;

	if (!call->actor.local && !call->actor.is_operator)
		return ks_call_problem(call, KS_PROBLEM_NOT_GRANTABLE, "Keys are imported by the operator alone.");
	if (!is_json_lines(call->exchange))
		return ks_call_problem(call, KS_PROBLEM_MEDIA_TYPE,
				       "The body must be application/jsonl or application/x-ndjson.");
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	im = create(call);
	if (!im)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = im;
	call->drop = drop;
	im->owners++;
	err = ks_tasks_alone(call->api, run, im);
	if (err != KS_OK) {
		im->owners--;
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	}
	call->exchange->sink = sink;
	call->exchange->sink_ctx = im;
	return KS_FINISH_DONE;
}

enum ks_finish ks_api_keys_import(struct ks_call *call)
{
	struct import *im = call->extra;

	(void)pthread_mutex_lock(&im->lock);
	im->ended = true;
	(void)pthread_cond_signal(&im->to_thread);
	(void)pthread_mutex_unlock(&im->lock);
	return KS_FINISH_PENDING;
}
