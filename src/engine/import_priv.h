/* SPDX-License-Identifier: Apache-2.0 */
/** An import under way: lines are read on the caller's thread into one batch while the writer works on the other. */
#pragma once

#include "base/json_read.h"
#include "engine/keys_check.h"

/** Lines that are read and put in order together: fewer at first, so that the writer begins soon. Their keys begin a
 * segment of the store's indexes where they are KS_IMPORT_APART or more: few enough segments for lists, and entries
 * that are appended. */
#define KS_IMPORT_BATCH_LINES 131072
#define KS_IMPORT_FIRST_LINES 40960 /* doubled with each batch */
#define KS_IMPORT_APART 32768
#define KS_IMPORT_CHUNK 32768 /* keys of one transaction: other changes wait for no more */
#define KS_IMPORT_SLICE 512   /* keys of one statement: they stay in the processor's cache from the one step to the next */
#define KS_IMPORT_LINE_MAX 65536
#define KS_IMPORT_TEXT_SIZE (32u << 20)          /* names, labels and hints of a batch */
#define KS_IMPORT_LINE_TEXT_MAX (4 * KS_IMPORT_LINE_MAX) /* what one line can add to it */
#define KS_IMPORT_SEEN_SIZE (1u << 18)           /* places of the table that finds digests again within a batch */
#define KS_IMPORT_GRANTS_MAX 16384               /* different ones that are remembered */
#define KS_IMPORT_GRANT_PLACES (1u << 15)

/** What lines with the same kind, scopes, roles, addresses and rate_limit, as texts, come to: found out once. */
struct ks_import_grant {
	uint64_t hash;
	struct ks_str raw;             /* what was asked, as text; heap */
	char *body;                    /* canonical; NULL: refused */
	size_t body_n;
	struct ks_refusal refusal;
	uint64_t id;                   /* of the truth; 0: not yet. The writer's */
};

/** One key to be. Texts stand in the batch's text. */
struct ks_import_row {
	uint64_t line;
	struct ks_digest digest;
	uint64_t tenant;               /* 0: none given */
	uint64_t user;
	int64_t expires_at;
	struct ks_import_grant *grant;
	struct ks_str name, labels, prefix, last_four;
	uint8_t tenant_kind;           /* as its id says */
	uint8_t kind;
	uint8_t environment;
};

/** Order in which a batch is written: by tenant, so that the store's index of tenants is walked once. */
struct ks_import_place {
	uint64_t tenant;
	uint32_t row;
};

struct ks_import_bad {
	uint64_t line;
	struct ks_refusal refusal;
};

struct ks_import_batch {
	struct ks_job job;
	struct ks_import *import;
	struct ks_import_row *rows;    /* KS_IMPORT_BATCH_LINES */
	size_t count;
	struct ks_import_place *order; /* as many */
	size_t lines;                  /* read, good and bad */
	struct ks_import_bad *bad;
	size_t bad_count, bad_cap;
	char *text_bytes;
	struct ks_buf text;
	uint32_t *seen;                /* index + 1 of a row, by its digest */
	size_t at;                     /* in the order: rows before it are written */
	size_t end;                    /* of the chunk under way */
	uint64_t imported;             /* by chunks that are durable */
	uint64_t added;                /* by the chunk under way */
	bool submitted;                /* the writer has it, until `finished` */
	bool finished;                 /* import->lock */
};

struct ks_import {
	struct ks_engine *engine;
	struct ks_actor actor;
	struct ks_engine_policy policy;
	void (*on_bad)(void *ctx, uint64_t line, const char *pointer, const char *detail);
	void *ctx;
	uint64_t hash_key[2];
	int64_t now_ms;                /* for expiry; renewed with each batch */

	char *line;                    /* the beginning of a line that goes on in the next piece; KS_IMPORT_LINE_MAX */
	size_t line_n;
	bool skipping;                 /* it is too long: to the end of it */
	uint64_t line_number;

	struct ks_import_grant **grants; /* KS_IMPORT_GRANT_PLACES, open addressing */
	size_t grant_count;
	char *grant_body;              /* KS_GRANT_BODY_MAX, scratch */
	char *scratch;                 /* KS_IMPORT_LINE_TEXT_MAX, scratch: decoded members of a grant */

	struct ks_key_row *out;        /* KS_IMPORT_SLICE; the writer's */
	struct ks_key_core *cores;     /* KS_IMPORT_CHUNK; the writer's: what the projection needs of them */
	struct ks_import_batch batches[2];
	unsigned filling;
	size_t batch_lines;            /* of the batch that is filled */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct ks_import_result result;
	enum ks_err err;               /* the first failure of the store: nothing is read after it */
	bool failed;                   /* a batch was undone, with ids of grants: no other may go on. The writer's */
};

/** Reads one line that is not blank into the row; KS_OK, or what is wrong in *ret_refusal. KS_MEMORY alone is fatal.
 * import_line.c. */
KS_MUST_USE enum ks_err ks_import_read_line(struct ks_import *import, struct ks_import_batch *batch, struct ks_str line,
					    struct ks_import_row *ret_row, struct ks_refusal *ret_refusal);

/** Writes the next chunk of a batch in the job's transaction. import_write.c. */
enum ks_err ks_import_run(struct ks_job *job, struct ks_tx *tx);

/** Remembers a bad line. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_import_note_bad(struct ks_import_batch *batch, uint64_t line,
					   const struct ks_refusal *refusal);

/** No row may refer to one. import_line.c. */
void ks_import_forget_grants(struct ks_import *import);
