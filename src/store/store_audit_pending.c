/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the audit on their way into the table. They are inserted together before the transaction ends, or when somebody
 * reads the table through the same handle: each by itself costs a third more. */
#include <stdlib.h>

#include "base/buf.h"
#include "store/store_priv.h"

#define ROWS 64
#define BYTES ((size_t)65536) /* of their texts; nothing of it is secret */

struct ks_audit_pending {
	bool known;
	uint64_t last_id; /* greatest that there was; known */
	size_t count, next;
	struct ks_buf text;
	struct ks_sql_value rows[ROWS][KS_AUDIT_ROW_COLUMNS];
	char bytes[BYTES];
};

enum ks_err ks_audit_pending_new(struct ks_audit_pending **ret_pending)
{
	struct ks_audit_pending *p = calloc(1, sizeof(*p));

	if (!p)
		return KS_MEMORY;
	p->text = KS_BUF(p->bytes);
	*ret_pending = p;
	return KS_OK;
}

void ks_audit_pending_free(struct ks_audit_pending **pending)
{
	free(*pending);
	*pending = NULL;
}

void ks_audit_pending_drop(struct ks_audit_pending *pending)
{
	if (!pending)
		return;
	pending->count = 0;
	pending->text.n = 0;
}

static enum ks_err next_row(void *ctx, struct ks_sql_value *ret_values)
{
	struct ks_audit_pending *p = ctx;

	if (p->next == p->count)
		return KS_NOT_FOUND;
	memcpy(ret_values, p->rows[p->next++], sizeof(p->rows[0]));
	return KS_OK;
}

enum ks_err ks_store_audit_flush(struct ks_store *store)
{
	struct ks_audit_pending *p = store->audit_pending;
	enum ks_err err;

	if (!p || p->count == 0)
		return KS_OK;
	p->next = 0;
	err = ks_store_insert_values(store, KS_SQL_AUDIT_INSERT, KS_AUDIT_ROW_COLUMNS, next_row, p);
	ks_audit_pending_drop(p);
	return err;
}

static struct ks_str keep(struct ks_buf *text, struct ks_str bytes)
{
	size_t at = text->n;

	ks_buf_put(text, bytes);
	return ks_str_of(&text->p[at], bytes.n);
}

static size_t bytes_of(const struct ks_sql_value *values)
{
	size_t n = 0;

	for (size_t i = 0; i < KS_AUDIT_ROW_COLUMNS; i++)
		n += values[i].type == KS_SQL_TEXT || values[i].type == KS_SQL_BLOB ? values[i].bytes.n : 0;
	return n;
}

/* Within a savepoint it may be undone by itself, and what is not newer than all others may be there already. */
static enum ks_err may_wait(struct ks_store *store, uint64_t id, bool *ret_may)
{
	struct ks_audit_pending *p = store->audit_pending;
	bool newer;
	int64_t last;

	*ret_may = false;
	if (!p)
		return KS_OK;
	if (!p->known) {
		KS_TRY(ks_store_query_numbers(store, KS_SQL_AUDIT_LAST_ID, NULL, 0, 1, &last));
		p->last_id = (uint64_t)last;
		p->known = true;
	}
	newer = id > p->last_id;
	p->last_id = KS_MAX(id, p->last_id);
	*ret_may = newer && !store->in_savepoint;
	return newer ? KS_OK : ks_store_audit_flush(store);
}

enum ks_err ks_store_audit_put(struct ks_store *store, uint64_t id, const struct ks_sql_value *values)
{
	struct ks_audit_pending *p = store->audit_pending;
	struct ks_sql_value *row;
	bool may;

	KS_TRY(ks_store_note_write(store));
	KS_TRY(may_wait(store, id, &may));
	if (!may)
		return ks_store_write(store, KS_SQL_AUDIT_INSERT, values, KS_AUDIT_ROW_COLUMNS, NULL);
	if (p->count == ROWS || BYTES - p->text.n < bytes_of(values))
		KS_TRY(ks_store_audit_flush(store));
	if (bytes_of(values) > BYTES)
		return KS_TOO_LARGE;
	row = p->rows[p->count++];
	memcpy(row, values, sizeof(p->rows[0]));
	for (size_t i = 0; i < KS_AUDIT_ROW_COLUMNS; i++) {
		if (row[i].type == KS_SQL_TEXT || row[i].type == KS_SQL_BLOB)
			row[i].bytes = keep(&p->text, row[i].bytes);
	}
	return KS_OK;
}
