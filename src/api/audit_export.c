/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/audit/export: a log, or what the caller may see of it, as it is read, in JSON Lines or CSV (docs/audit.md). A
 * thread of its own reads the store page by page, each in a snapshot of its own, so that a slow client holds neither the
 * store's log nor much memory: there are two buffers, one being filled and one being sent. Entries that are not shown
 * are told by the hashes of the fewest nodes that cover them. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "api/audit_view.h"

#define BUFFER_SIZE ((size_t)1 << 20)
#define PAGE 1000u
#define GAP_MAX 8192u            /* bytes that tell of a gap: 126 hashes */
#define LOOK_AGAIN_MS 500        /* whether the service stops */

enum format { FORMAT_JSONL, FORMAT_CSV };

struct export {
	struct ks_api *api;
	/* The question: read alone once the thread runs. */
	struct ks_actor actor;
	struct ks_audit_log log;
	enum format format;
	int64_t from, to;
	char who[KS_STORE_ACTOR_MAX + 1], action[KS_STORE_ACTION_MAX + 1], address[KS_STORE_ADDRESS_MAX + 1],
		outcome[KS_STORE_ACTION_MAX + 1];
	uint64_t split;          /* no gap goes across this position; 0: none */

	/* The thread's. */
	struct ks_engine_reader *reader;
	struct ks_audit_tree *tree;
	struct ks_buf making;
	uint64_t size;           /* of the tree when it began: what is told */
	uint64_t next;           /* position that comes next */
	uint64_t last;           /* id */
	bool hidden;             /* of an actor that the caller does not see: nothing is shown */
	size_t got;
	struct ks_audit_eyes eyes;

	pthread_mutex_t lock;    /* guards all below */
	pthread_cond_t wake;
	unsigned refs;
	char *sending;
	size_t sending_n, sent;
	bool full;               /* `sending` is to be sent */
	bool ended;              /* nothing comes after it */
	enum ks_err err;
	bool abandoned;
	bool carrier_waits;
	struct ks_exchange *exchange;
};

static void release(struct export *e)
{
	unsigned left;

	(void)pthread_mutex_lock(&e->lock);
	left = --e->refs;
	(void)pthread_mutex_unlock(&e->lock);
	if (left > 0)
		return;
	(void)pthread_cond_destroy(&e->wake);
	(void)pthread_mutex_destroy(&e->lock);
	free(e->making.p);
	free(e->sending);
	free(e->tree);
	free(e);
}

/* ---- from the thread to the carrier ---- */

/* Under the lock. */
static void wake_carrier(struct export *e)
{
	(void)pthread_cond_broadcast(&e->wake);
	if (!e->carrier_waits || e->abandoned)
		return;
	e->carrier_waits = false;
	ks_exchange_resume(e->exchange);
}

/* Under the lock: until there is room. */
static enum ks_err await_room(struct export *e)
{
	struct timespec until;

	while (e->full && !e->abandoned) {
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_AGAIN_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_clockwait(&e->wake, &e->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT
		    && ks_tasks_stopping(e->api))
			return KS_STOPPING;
	}
	return e->abandoned ? KS_STOPPING : KS_OK;
}

/* Hands over what was made. */
static enum ks_err hand_over(struct export *e)
{
	enum ks_err err;

	if (e->making.n == 0)
		return KS_OK;
	(void)pthread_mutex_lock(&e->lock);
	err = await_room(e);
	if (err == KS_OK) {
		char *empty = e->sending;

		e->sending = e->making.p;
		e->sending_n = e->making.n;
		e->sent = 0;
		e->full = true;
		e->making = ks_buf_of(empty, BUFFER_SIZE);
		wake_carrier(e);
	}
	(void)pthread_mutex_unlock(&e->lock);
	return err;
}

static void end(struct export *e, enum ks_err err)
{
	(void)pthread_mutex_lock(&e->lock);
	e->err = err;
	e->ended = true;
	wake_carrier(e);
	(void)pthread_mutex_unlock(&e->lock);
}

/* The carrier's. */
static enum ks_err give(void *ctx, char *ret_bytes, size_t cap, size_t *ret_n)
{
	struct export *e = ctx;
	enum ks_err err = KS_OK;

	(void)pthread_mutex_lock(&e->lock);
	while (!e->full && !e->ended && !e->exchange->resume)
		(void)pthread_cond_wait(&e->wake, &e->lock);
	if (e->full) {
		*ret_n = KS_MIN(cap, e->sending_n - e->sent);
		memcpy(ret_bytes, &e->sending[e->sent], *ret_n);
		e->sent += *ret_n;
		e->full = e->sent < e->sending_n;
		if (!e->full)
			(void)pthread_cond_broadcast(&e->wake);
	} else if (e->ended) {
		err = e->err == KS_OK ? KS_NOT_FOUND : e->err;
	} else {
		e->carrier_waits = true;
		err = KS_BUSY;
	}
	(void)pthread_mutex_unlock(&e->lock);
	return err;
}

/* The exchange is closed. */
static void abandon(struct ks_call *call)
{
	struct export *e = call->extra;

	(void)pthread_mutex_lock(&e->lock);
	e->abandoned = true;
	e->exchange = NULL;
	(void)pthread_cond_broadcast(&e->wake);
	(void)pthread_mutex_unlock(&e->lock);
	release(e);
}

/* ---- what is made ---- */

/* Columns behind those of a record that is no entry are empty: as many as an entry has, but for two. */
static void end_csv_record(struct ks_buf *out)
{
	ks_buf_put_c(out, ",,,,,,,,,,,,,,,\r\n");
}

/* Hashes of the fewest nodes that cover [from, to), joined by blanks. */
static enum ks_err put_nodes(struct export *e, uint64_t from, uint64_t to)
{
	for (bool first = true; from < to; first = false) {
		unsigned height = ks_merkle_first_node(from, to);
		struct ks_digest node;

		KS_TRY(ks_store_audit_node(e->tree, height, from >> height, &node));
		if (!first)
			ks_buf_put_byte(&e->making, ' ');
		ks_audit_put_hash(&e->making, node.bytes, sizeof(node.bytes));
		from += UINT64_C(1) << height;
	}
	return KS_OK;
}

static enum ks_err put_gap(struct export *e, uint64_t from, uint64_t to)
{
	struct ks_buf *out = &e->making;

	if (e->format == FORMAT_CSV) {
		ks_buf_put_c(out, "gap,");
		ks_buf_put_u64(out, to);
		ks_buf_put_byte(out, ',');
		KS_TRY(put_nodes(e, from, to));
		end_csv_record(out);
	} else {
		ks_buf_put_c(out, "{\"gap\":{\"to\":");
		ks_buf_put_u64(out, to);
		ks_buf_put_c(out, ",\"nodes\":\"");
		KS_TRY(put_nodes(e, from, to));
		ks_buf_put_c(out, "\"}}\n");
	}
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}

/* Up to `to`, which is shown, or the end. */
static enum ks_err skip_to(struct export *e, uint64_t to)
{
	if (e->next < e->split && e->split < to) {
		KS_TRY(put_gap(e, e->next, e->split));
		e->next = e->split;
	}
	if (e->next < to)
		KS_TRY(put_gap(e, e->next, to));
	e->next = to;
	return KS_OK;
}

static bool has_room(const struct export *e)
{
	return e->making.cap - e->making.n >= KS_AUDIT_RECORD_MAX + 2 * GAP_MAX;
}

/* KS_FULL ends the page. */
static enum ks_err take_row(void *ctx, const struct ks_audit_row *row)
{
	struct export *e = ctx;

	if (row->position >= e->size || !has_room(e))
		return KS_FULL;
	e->got++;
	e->last = row->id;
	if (!ks_history_sees(&e->actor, e->eyes.ring, row->tenant))
		return KS_OK;
	KS_TRY(skip_to(e, row->position));
	if (e->format == FORMAT_CSV) {
		ks_audit_put_csv(&e->making, &e->eyes, row);
		ks_buf_put_c(&e->making, "\r\n");
	} else {
		ks_audit_put_entry(&e->making, &e->eyes, row);
		ks_buf_put_byte(&e->making, '\n');
	}
	e->next = row->position + 1;
	return ks_buf_ok(&e->making) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err begin_page(struct export *e)
{
	const struct ks_ring *ring = ks_ringmap_reader_ring(e->reader->ring);

	if (!ring)
		return KS_STORE;
	ks_audit_eyes_open(&e->eyes, &e->actor, e->reader->store, ring);
	KS_TRY(ks_store_begin(e->reader->store));
	return ks_store_audit_tree(e->reader->store, e->log.tree, e->tree);
}

static enum ks_err read_page(struct export *e, bool *ret_more)
{
	struct ks_audit_filter filter = {
		.has_tree = true, .tree = e->log.tree, .tenant = e->log.tenant, .from = e->from, .to = e->to,
		.actor = ks_str_c(e->who), .action = ks_str_c(e->action), .address = ks_str_c(e->address),
		.outcome = ks_str_c(e->outcome), .after = e->last, .oldest_first = true, .limit = PAGE,
	};
	enum ks_err err = begin_page(e);

	e->got = 0;
	if (err == KS_OK)
		err = ks_store_audit(e->reader->store, &filter, take_row, e);
	ks_store_rollback(e->reader->store);
	if (err != KS_OK && err != KS_FULL)
		return err;
	*ret_more = e->got == PAGE || (err == KS_FULL && e->got > 0);
	return hand_over(e);
}

/* Which log, and how much of it there is. */
static enum ks_err put_head(struct export *e)
{
	char origin[KS_AUDIT_ORIGIN_SIZE];
	struct ks_buf *out = &e->making;
	enum ks_err err = begin_page(e);

	if (err == KS_OK)
		err = ks_audit_origin(e->api->engine, e->reader->store, e->log.tree, origin);
	ks_store_rollback(e->reader->store);
	KS_TRY(err);
	e->size = e->tree->size;
	e->hidden = e->who[0] && !ks_viewer_sees(&e->eyes.viewer, ks_str_c(e->who));
	if (e->format == FORMAT_CSV) {
		ks_audit_put_csv_heading(out);
		ks_buf_put_c(out, "\r\nlog,");
		ks_buf_put_u64(out, e->size);
		ks_buf_put_byte(out, ',');
		ks_buf_put_c(out, origin);
		end_csv_record(out);
	} else {
		ks_buf_put_c(out, "{\"log\":{\"version\":1,\"origin\":");
		ks_buf_put_json(out, ks_str_c(origin));
		ks_buf_put_c(out, ",\"size\":");
		ks_buf_put_u64(out, e->size);
		ks_buf_put_c(out, "}}\n");
	}
	return KS_OK;
}

static enum ks_err put_tail(struct export *e)
{
	char note_bytes[KS_STORE_NOTE_MAX];
	struct ks_buf note = KS_BUF(note_bytes), *out = &e->making;
	struct ks_digest root;
	enum ks_err err = begin_page(e);

	if (err == KS_OK)
		err = skip_to(e, e->size);
	if (err == KS_OK)
		err = ks_audit_checkpoint(e->api->engine, e->tree, e->size, &note, &root);
	ks_store_rollback(e->reader->store);
	KS_TRY(err);
	if (e->format == FORMAT_CSV) {
		ks_buf_put_c(out, "checkpoint,");
		ks_buf_put_u64(out, e->size);
		ks_buf_put_c(out, ",\"");
		ks_buf_put(out, ks_buf_str(&note));
		ks_buf_put_byte(out, '"');
		end_csv_record(out);
	} else {
		ks_buf_put_c(out, "{\"checkpoint\":");
		ks_buf_put_json(out, ks_buf_str(&note));
		ks_buf_put_c(out, "}\n");
	}
	return hand_over(e);
}

static enum ks_err make_all(struct export *e)
{
	struct ks_api_thread *thread = ks_api_thread(e->api);
	bool more;

	if (!thread)
		return KS_STORE;
	e->reader = &thread->reader;
	KS_TRY(put_head(e));
	for (more = !e->hidden; more;)
		KS_TRY(read_page(e, &more));
	return put_tail(e);
}

static void run(void *ctx)
{
	struct export *e = ctx;
	enum ks_err err = make_all(e);

	/* Before the answer ends: who has it may ask for the next one at once. */
	ks_tasks_export_ends(e->api, e->log.tree);
	end(e, err);
	release(e);
}

/* ---- the question ---- */

static struct export *new_export(struct ks_call *call)
{
	struct export *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_cond_init(&e->wake, NULL);
	e->refs = 1;
	e->api = call->api;
	e->actor = call->actor;
	e->exchange = call->exchange;
	e->from = e->to = KS_TIME_NONE;
	e->making = ks_buf_of(malloc(BUFFER_SIZE), BUFFER_SIZE);
	e->sending = malloc(BUFFER_SIZE);
	e->tree = malloc(sizeof(*e->tree));
	call->extra = e;
	call->drop = abandon;
	return e->making.p && e->sending && e->tree ? e : NULL;
}

static void read_text(struct ks_call *call, const char *name, char *ret_text, size_t cap)
{
	struct ks_str text;

	/* One character less is read than there is room for: the end. */
	if (ks_call_query(call, name, ret_text, cap - 1, &text))
		ret_text[text.n] = '\0';
	else
		ret_text[0] = '\0';
}

static void read_time(struct ks_call *call, const char *name, int64_t *time)
{
	char storage[48];
	struct ks_str text;

	if (ks_call_query(call, name, storage, sizeof(storage), &text) && !ks_time_parse(text, time))
		ks_call_query_problem(call, name, "This must be an RFC 3339 time.");
}

static void read_question(struct ks_call *call, struct export *e)
{
	static const char *const known[] = {"format", "tenant", "actor", "action", "address", "outcome", "from", "to",
					    "checkpoint_size", NULL};
	char storage[32];
	struct ks_str text = KS_STR("");

	ks_call_query_known(call, known);
	(void)ks_call_query(call, "format", storage, sizeof(storage), &text);
	if (ks_str_eq(text, KS_STR("csv")))
		e->format = FORMAT_CSV;
	else if (!ks_str_eq(text, KS_STR("jsonl")))
		ks_call_query_problem(call, "format", "This must be jsonl or csv.");
	read_text(call, "actor", e->who, sizeof(e->who));
	read_text(call, "action", e->action, sizeof(e->action));
	read_text(call, "address", e->address, sizeof(e->address));
	read_text(call, "outcome", e->outcome, sizeof(e->outcome));
	read_time(call, "from", &e->from);
	read_time(call, "to", &e->to);
	if (ks_call_query(call, "checkpoint_size", storage, sizeof(storage), &text)
	    && !ks_str_to_u64(text, KS_MERKLE_SIZE_MAX, &e->split))
		ks_call_query_problem(call, "checkpoint_size", "This must be a number of entries.");
}

static enum ks_finish start(struct ks_call *call, struct export *e)
{
	struct ks_exchange *x = call->exchange;
	enum ks_err err = ks_tasks_export_begins(call->api, e->log.tree);

	if (err == KS_OK) {
		e->refs++;
		err = ks_tasks_alone(call->api, run, e);
		if (err != KS_OK) {
			e->refs--;
			ks_tasks_export_ends(call->api, e->log.tree);
		}
	}
	if (err == KS_FULL)
		return ks_call_problem(call, KS_PROBLEM_OVERLOADED, "Other exports are under way; ask again.");
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	x->source = give;
	x->source_ctx = e;
	x->status = 200;
	ks_exchange_answer_header(x, KS_STR("Content-Type"),
				  e->format == FORMAT_CSV ? KS_STR("text/csv; charset=utf-8; header=present")
							  : KS_STR("application/x-ndjson"));
	ks_exchange_answer_header(x, KS_STR("Content-Disposition"),
				  e->format == FORMAT_CSV ? KS_STR("attachment; filename=\"audit.csv\"")
							  : KS_STR("attachment; filename=\"audit.jsonl\""));
	return KS_FINISH_DONE;
}

enum ks_finish ks_api_audit_export(struct ks_call *call)
{
	struct export *e = new_export(call);
	char key[KS_NOTE_VERIFIER_SIZE];
	struct ks_buf b = KS_BUF(key);
	enum ks_finish answered;

	if (!e)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	read_question(call, e);
	if (!ks_audit_log_read(call, &e->log))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_audit_put_verifier(call->api->engine, &b))
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, "The key that signs checkpoints cannot be opened.");
	return start(call, e);
}
