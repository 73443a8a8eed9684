/* SPDX-License-Identifier: Apache-2.0 */
/* Importing JSON Lines: bytes into lines, lines into batches, batches to the writer. */
#include <stdlib.h>

#include "crypto/random.h"
#include "engine/import_priv.h"

/* ---- batches ---- */

static bool batch_init(struct ks_import_batch *batch, struct ks_import *import)
{
	batch->import = import;
	batch->rows = calloc(KS_IMPORT_BATCH_LINES, sizeof(*batch->rows));
	batch->order = calloc(KS_IMPORT_BATCH_LINES, sizeof(*batch->order));
	batch->text_bytes = malloc(KS_IMPORT_TEXT_SIZE);
	batch->seen = calloc(KS_IMPORT_SEEN_SIZE, sizeof(*batch->seen));
	batch->text = ks_buf_of(batch->text_bytes, KS_IMPORT_TEXT_SIZE);
	return batch->rows && batch->order && batch->text_bytes && batch->seen;
}

static void batch_done(struct ks_import_batch *batch)
{
	free(batch->rows);
	free(batch->order);
	free(batch->bad);
	free(batch->text_bytes);
	free(batch->seen);
}

static void chunk_finished(struct ks_job *job);

static enum ks_err submit_chunk(struct ks_import_batch *batch)
{
	batch->job = (struct ks_job){
		.run = ks_import_run,
		.done = chunk_finished,
		.ctx = batch,
		.bulk = true,
		.proven = true,
	};
	return ks_engine_submit(batch->import->engine, &batch->job);
}

/* Other changes have their turn between two chunks. */
static void chunk_finished(struct ks_job *job)
{
	struct ks_import_batch *batch = job->ctx;
	struct ks_import *import = batch->import;
	enum ks_err err = job->err;

	if (err == KS_OK) {
		batch->at = batch->end;
		batch->imported += batch->added;
		if (batch->at < batch->count)
			err = submit_chunk(batch);
		if (err == KS_OK && batch->at < batch->count)
			return;
	}
	job->err = err;
	import->failed |= err != KS_OK;
	pthread_mutex_lock(&import->lock);
	batch->finished = true;
	pthread_cond_signal(&import->wake);
	pthread_mutex_unlock(&import->lock);
}

static int by_line(const void *a, const void *b)
{
	const struct ks_import_bad *x = a, *y = b;

	return (x->line > y->line) - (x->line < y->line);
}

/* Bad lines were found by two threads: they are told in the order of the file. */
static void tell_bad(struct ks_import *import, struct ks_import_batch *batch)
{
	if (batch->bad_count > 1)
		qsort(batch->bad, batch->bad_count, sizeof(*batch->bad), by_line);
	for (size_t i = 0; i < batch->bad_count && import->on_bad; i++)
		import->on_bad(import->ctx, batch->bad[i].line, batch->bad[i].refusal.pointer,
			       batch->bad[i].refusal.detail);
}

/* Waits for the writer, settles the batch's accounts and empties it. */
static void reap(struct ks_import *import, struct ks_import_batch *batch)
{
	if (batch->submitted) {
		pthread_mutex_lock(&import->lock);
		while (!batch->finished)
			pthread_cond_wait(&import->wake, &import->lock);
		pthread_mutex_unlock(&import->lock);
		import->result.imported += batch->imported;
		if (batch->job.err == KS_OK) {
			import->result.refused += batch->bad_count;
			tell_bad(import, batch);
		} else if (import->err == KS_OK) {
			import->err = batch->job.err;
		}
	}
	batch->submitted = batch->finished = false;
	batch->count = batch->lines = batch->bad_count = batch->at = 0;
	batch->imported = 0;
	batch->text = ks_buf_of(batch->text_bytes, KS_IMPORT_TEXT_SIZE);
	memset(batch->seen, 0, KS_IMPORT_SEEN_SIZE * sizeof(*batch->seen));
}

static int by_tenant(const void *a, const void *b)
{
	const struct ks_import_place *x = a, *y = b;

	if (x->tenant != y->tenant)
		return x->tenant < y->tenant ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

static void sort_batch(struct ks_import_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		batch->order[i] = (struct ks_import_place){batch->rows[i].tenant, (uint32_t)i};
	if (batch->count > 1)
		qsort(batch->order, batch->count, sizeof(*batch->order), by_tenant);
}

/* Hands the batch to the writer once that has done with the other one, and goes on with the other one: chunks of two
 * batches in turn would end the order of tenants in each segment. */
static void submit(struct ks_import *import)
{
	struct ks_import_batch *batch = &import->batches[import->filling];

	if (batch->lines == 0 || import->err != KS_OK)
		return;
	sort_batch(batch);
	reap(import, &import->batches[import->filling ^ 1]);
	if (import->err == KS_OK)
		import->err = submit_chunk(batch);
	if (import->err != KS_OK)
		return;
	batch->submitted = true;
	import->filling ^= 1;
	import->batch_lines = KS_MIN(import->batch_lines * 2, (size_t)KS_IMPORT_BATCH_LINES);
	import->now_ms = ks_engine_now_ms();
}

/* ---- lines ---- */

/* Finds a row of the batch with this digest, or notes the one that is about to be added. */
static bool is_repeated(struct ks_import_batch *batch, const struct ks_digest *digest)
{
	size_t at = ks_mix256(digest->bytes, batch->import->hash_key) % KS_IMPORT_SEEN_SIZE;

	while (batch->seen[at]) {
		if (ks_ring_digest_equal(&batch->rows[batch->seen[at] - 1].digest, digest))
			return true;
		at = (at + 1) % KS_IMPORT_SEEN_SIZE;
	}
	batch->seen[at] = (uint32_t)batch->count + 1;
	return false;
}

static enum ks_err read_line(struct ks_import *import, struct ks_import_batch *batch, struct ks_str line,
			     struct ks_refusal *refusal)
{
	struct ks_import_row *row = &batch->rows[batch->count];

	KS_TRY(ks_import_read_line(import, batch, line, row, refusal));
	if (is_repeated(batch, &row->digest))
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "/sha256", "a line before has the same digest");
	row->line = import->line_number;
	batch->count++;
	return KS_OK;
}

static bool is_blank(struct ks_str line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
			return false;
	}
	return true;
}

/* Grants that rows under way refer to must stay until the writer has done with them. */
static void make_room(struct ks_import *import)
{
	struct ks_import_batch *batch = &import->batches[import->filling];

	if (batch->lines >= import->batch_lines || batch->text.cap - batch->text.n < KS_IMPORT_LINE_TEXT_MAX)
		submit(import);
	if (import->grant_count < KS_IMPORT_GRANTS_MAX)
		return;
	submit(import);
	reap(import, &import->batches[import->filling ^ 1]);
	ks_import_forget_grants(import);
}

static void take_line(struct ks_import *import, struct ks_str line, bool too_long)
{
	struct ks_refusal refusal = {0};
	struct ks_import_batch *batch;
	enum ks_err err;

	import->line_number++;
	if (import->err != KS_OK || (is_blank(line) && !too_long))
		return;
	make_room(import);
	if (import->err != KS_OK)
		return;
	batch = &import->batches[import->filling];
	batch->lines++;
	import->result.lines++;
	if (too_long)
		err = ks_refuse_invalid(&refusal, "", "is longer than %d bytes", KS_IMPORT_LINE_MAX);
	else
		err = read_line(import, batch, line, &refusal);
	if (err != KS_OK && refusal.code)
		err = ks_import_note_bad(batch, import->line_number, &refusal);
	if (err != KS_OK)
		import->err = err;
}

/* The rest of a line whose beginning came with an earlier piece, or the beginning of one that is to go on. */
static void append(struct ks_import *import, struct ks_str part)
{
	if (import->skipping || part.n > KS_IMPORT_LINE_MAX - import->line_n) {
		import->skipping = true;
		import->line_n = 0;
		return;
	}
	memcpy(import->line + import->line_n, part.p, part.n);
	import->line_n += part.n;
}

static void end_line(struct ks_import *import)
{
	take_line(import, ks_str_of(import->line, import->line_n), import->skipping);
	import->line_n = 0;
	import->skipping = false;
}

/* ---- the whole ---- */

enum ks_err ks_import_feed(struct ks_import *import, struct ks_str piece)
{
	struct ks_str line;

	while (ks_str_split(piece, '\n', &line, &piece)) {
		if (import->line_n == 0 && !import->skipping && line.n <= KS_IMPORT_LINE_MAX) {
			take_line(import, line, false);
			continue;
		}
		append(import, line);
		end_line(import);
	}
	if (piece.n > 0)
		append(import, piece);
	return import->err;
}

static void import_free(struct ks_import *import)
{
	if (import->grants)
		ks_import_forget_grants(import);
	for (size_t i = 0; i < KS_ARRAY_LEN(import->batches); i++)
		batch_done(&import->batches[i]);
	ks_engine_policy_release(&import->policy);
	pthread_mutex_destroy(&import->lock);
	pthread_cond_destroy(&import->wake);
	free(import->grants);
	free(import->grant_body);
	free(import->scratch);
	free(import->out);
	free(import->cores);
	free(import->line);
	free(import);
}

enum ks_err ks_import_begin(struct ks_engine *engine, const struct ks_actor *actor,
			    void (*on_bad)(void *ctx, uint64_t line, const char *pointer, const char *detail),
			    void *ctx, struct ks_import **ret_import)
{
	struct ks_import *import;
	bool ok;

	if (!actor->local && !actor->is_operator)
		return KS_FORBIDDEN;
	import = calloc(1, sizeof(*import));
	if (!import)
		return KS_MEMORY;
	import->engine = engine;
	import->actor = *actor;
	import->on_bad = on_bad;
	import->ctx = ctx;
	import->policy = ks_engine_policy(engine);
	import->now_ms = ks_engine_now_ms();
	import->batch_lines = KS_IMPORT_FIRST_LINES;
	pthread_mutex_init(&import->lock, NULL);
	pthread_cond_init(&import->wake, NULL);
	import->line = malloc(KS_IMPORT_LINE_MAX);
	import->grants = calloc(KS_IMPORT_GRANT_PLACES, sizeof(struct ks_import_grant *));
	import->grant_body = malloc(KS_GRANT_BODY_MAX);
	import->scratch = malloc(KS_IMPORT_LINE_TEXT_MAX);
	import->out = calloc(KS_IMPORT_SLICE, sizeof(*import->out));
	import->cores = calloc(KS_IMPORT_CHUNK, sizeof(*import->cores));
	ok = import->out && import->cores && import->line && import->grants && import->grant_body && import->scratch;
	for (size_t i = 0; i < KS_ARRAY_LEN(import->batches); i++)
		ok &= batch_init(&import->batches[i], import);
	if (!ok || ks_random(import->hash_key, sizeof(import->hash_key)) != KS_OK) {
		import_free(import);
		return KS_MEMORY;
	}
	*ret_import = import;
	return KS_OK;
}

enum ks_err ks_import_end(struct ks_import **import, struct ks_import_result *ret_result)
{
	struct ks_import *i = *import;
	enum ks_err err;

	if (i->line_n > 0 || i->skipping)
		end_line(i);
	submit(i);
	reap(i, &i->batches[i->filling ^ 1]);
	reap(i, &i->batches[i->filling]);
	err = i->err;
	*ret_result = i->result;
	import_free(i);
	*import = NULL;
	return err;
}
