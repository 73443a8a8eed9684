/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_file.h"

#include <jansson.h>

static const char *const names[] = {
#define X(name) #name,
	KS_AUDIT_COLUMNS(X)
#undef X
};

static const struct {
	const char *name;
	enum ks_audit_record_kind kind;
} kinds[] = {
	{"log", KS_AUDIT_RECORD_LOG},
	{"entry", KS_AUDIT_RECORD_ENTRY},
	{"gap", KS_AUDIT_RECORD_GAP},
	{"checkpoint", KS_AUDIT_RECORD_CHECKPOINT},
};

/* ---- JSON Lines ---- */

static struct ks_str keep(struct ks_audit_file *file, struct ks_str text)
{
	size_t at = file->cells.n;

	ks_buf_put(&file->cells, text);
	return ks_str_of(&file->text[at], file->cells.overflow ? 0 : text.n);
}

static struct ks_str keep_number(struct ks_audit_file *file, const json_t *value)
{
	size_t at = file->cells.n;

	ks_buf_put_i64(&file->cells, (int64_t)json_integer_value(value));
	return ks_str_of(&file->text[at], file->cells.n - at);
}

/* False: neither text, number nor null. */
static bool take_value(struct ks_audit_file *file, const json_t *value, struct ks_str *ret_cell)
{
	if (json_is_string(value))
		*ret_cell = keep(file, ks_str_of(json_string_value(value), json_string_length(value)));
	else if (json_is_integer(value) && json_integer_value(value) >= 0)
		*ret_cell = keep_number(file, value);
	else if (json_is_null(value))
		*ret_cell = KS_STR("");
	else
		return false;
	return true;
}

/* The characters of the last member as they stand: what is before it are texts, in which no quote stands bare. */
static bool find_detail(struct ks_str line, struct ks_str *ret_detail)
{
	const struct ks_str mark = KS_STR(",\"detail\":");

	for (size_t at = 0; at + mark.n < line.n; at++) {
		if (!ks_str_starts(ks_str_sub(line, at, SIZE_MAX), mark))
			continue;
		*ret_detail = ks_str_sub(line, at + mark.n, line.n - at - mark.n - 1);
		return true;
	}
	return false;
}

static bool take_entry(struct ks_audit_file *file, const json_t *object, struct ks_str line, struct ks_audit_record *record)
{
	record->kind = KS_AUDIT_RECORD_ENTRY;
	if (json_object_size(object) != KS_AUDIT_CELL_COUNT || !json_is_object(json_object_get(object, "detail")))
		return false;
	for (size_t i = 0; i < KS_AUDIT_CELL_detail; i++) {
		if (!take_value(file, json_object_get(object, names[i]), &record->cells[i]))
			return false;
	}
	return find_detail(line, &record->cells[KS_AUDIT_CELL_detail]);
}

/* {"log": {…}}, {"gap": {…}}, {"checkpoint": "…"}. */
static bool take_other(struct ks_audit_file *file, json_t *object, struct ks_audit_record *record)
{
	const json_t *log = json_object_get(object, "log"), *gap = json_object_get(object, "gap");

	if (json_object_size(object) != 1)
		return false;
	if (log) {
		record->kind = KS_AUDIT_RECORD_LOG;
		return json_integer_value(json_object_get(log, "version")) == 1 && json_object_size(log) == 3
		       && take_value(file, json_object_get(log, "size"), &record->cells[0])
		       && take_value(file, json_object_get(log, "origin"), &record->cells[1]);
	}
	if (gap) {
		record->kind = KS_AUDIT_RECORD_GAP;
		return json_object_size(gap) == 2 && take_value(file, json_object_get(gap, "to"), &record->cells[0])
		       && take_value(file, json_object_get(gap, "nodes"), &record->cells[1]);
	}
	record->kind = KS_AUDIT_RECORD_CHECKPOINT;
	return take_value(file, json_object_get(object, "checkpoint"), &record->cells[1]);
}

static enum ks_err read_json(struct ks_audit_file *file, struct ks_str line, struct ks_audit_record *record)
{
	json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = json_is_object(object);

	file->cells = KS_BUF(file->text);
	if (ok)
		ok = json_object_get(object, "index") ? take_entry(file, object, line, record)
						      : take_other(file, object, record);
	json_decref(object);
	return ok && ks_buf_ok(&file->cells) ? KS_OK : KS_MALFORMED;
}

/* ---- CSV ---- */

/* One cell at *at of the record; false where it is none. *ret_last: no other follows. Quotes are undone in place. */
static bool take_cell(char *record, size_t n, size_t *at, struct ks_str *ret_cell, bool *ret_last)
{
	size_t from = *at, to = from;
	bool quoted = from < n && record[from] == '"';

	if (quoted) {
		size_t i = from + 1;

		for (to = from; i < n; i++) {
			if (record[i] == '"' && (i + 1 >= n || record[i + 1] != '"'))
				break;
			i += record[i] == '"';
			record[to++] = record[i];
		}
		if (i >= n)
			return false;
		*at = i + 1;
	} else {
		while (to < n && record[to] != ',' && record[to] != '"')
			to++;
		*at = to;
	}
	*ret_cell = ks_str_of(&record[from], to - from);
	*ret_last = *at == n;
	if (!*ret_last && record[*at] != ',')
		return false;
	*at += 1;
	return true;
}

static enum ks_err read_csv(char *bytes, size_t n, struct ks_audit_record *record)
{
	struct ks_str kind;
	bool last;
	size_t at = 0;

	if (!take_cell(bytes, n, &at, &kind, &last) || last)
		return KS_MALFORMED;
	for (size_t i = 0; i < KS_AUDIT_CELL_COUNT; i++) {
		if (!take_cell(bytes, n, &at, &record->cells[i], &last) || last != (i + 1 == KS_AUDIT_CELL_COUNT))
			return KS_MALFORMED;
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(kinds); i++) {
		if (ks_str_eq(kind, ks_str_c(kinds[i].name))) {
			record->kind = kinds[i].kind;
			return KS_OK;
		}
	}
	return KS_MALFORMED;
}

/* ---- lines ---- */

/* To the line end that is not within quotes (of CSV). KS_NOT_FOUND: there is nothing more. */
static enum ks_err read_line(struct ks_audit_file *file, size_t *ret_n)
{
	bool quoted = false;
	size_t n = 0;
	int c;

	while ((c = getc_unlocked(file->in)) != EOF) {
		if (c == '"' && file->csv)
			quoted = !quoted;
		if (c == '\n' && !quoted)
			break;
		if (n == KS_AUDIT_LINE_MAX)
			return KS_MALFORMED;
		file->bytes[n++] = (char)c;
	}
	if (ferror(file->in))
		return KS_SYSTEM;
	if (c == EOF)
		return n == 0 ? KS_NOT_FOUND : KS_MALFORMED;
	file->line++;
	if (file->csv && n > 0 && file->bytes[n - 1] == '\r')
		n--;
	*ret_n = n;
	return KS_OK;
}

/* The heading of CSV says which of the two it is. */
static enum ks_err begin(struct ks_audit_file *file, size_t *n)
{
	char heading[256];
	struct ks_buf b = KS_BUF(heading);
	struct ks_str line = ks_str_of(file->bytes, *n);

	file->begun = true;
	if (!ks_str_starts(line, KS_STR("record,")))
		return KS_OK;
	ks_buf_put_c(&b, "record");
	for (size_t i = 0; i < KS_AUDIT_CELL_COUNT; i++) {
		ks_buf_put_byte(&b, ',');
		ks_buf_put_c(&b, names[i]);
	}
	file->csv = true;
	if (!ks_str_eq(ks_buf_str(&b), ks_str_sub(line, 0, b.n)) || line.n > b.n + 1)
		return KS_MALFORMED;
	return read_line(file, n);
}

enum ks_err ks_audit_file_read(struct ks_audit_file *file, struct ks_audit_record *ret_record)
{
	struct ks_audit_record record = {.kind = KS_AUDIT_RECORD_END};
	size_t n;
	enum ks_err err = read_line(file, &n);

	if (err == KS_OK && !file->begun)
		err = begin(file, &n);
	if (err == KS_OK)
		err = file->csv ? read_csv(file->bytes, n, &record) : read_json(file, ks_str_of(file->bytes, n), &record);
	else if (err == KS_NOT_FOUND)
		err = KS_OK;
	if (err == KS_OK)
		*ret_record = record;
	return err;
}
