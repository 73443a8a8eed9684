/* SPDX-License-Identifier: Apache-2.0 */
/** Reading exports of the audit (docs/audit.md), JSON Lines or CSV, record by record. The file may be anybody's. */
#pragma once

#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "merkle/entry.h"

#define KS_AUDIT_LINE_MAX 65536u     /* bytes of a record */

/** Columns of an entry, in the order of CSV. */
enum ks_audit_cell {
#define X(name) KS_AUDIT_CELL_##name,
	KS_AUDIT_COLUMNS(X)
#undef X
	KS_AUDIT_CELL_COUNT
};

enum ks_audit_record_kind {
	KS_AUDIT_RECORD_LOG,         /* cells 0 and 1: size, origin */
	KS_AUDIT_RECORD_ENTRY,
	KS_AUDIT_RECORD_GAP,         /* cells 0 and 1: the position behind it, hashes joined by blanks */
	KS_AUDIT_RECORD_CHECKPOINT,  /* cell 1: the note */
	KS_AUDIT_RECORD_END          /* of the file */
};

struct ks_audit_record {
	enum ks_audit_record_kind kind;
	struct ks_str cells[KS_AUDIT_CELL_COUNT]; /* borrowed until the next read; what is null is empty */
};

struct ks_audit_file {
	FILE *in;
	bool csv;
	bool begun;
	uint64_t line;               /* that was read last */
	char bytes[KS_AUDIT_LINE_MAX + 1];
	char text[KS_AUDIT_LINE_MAX + 1]; /* cells of JSON */
	struct ks_buf cells;
};

/** The next record. KS_MALFORMED: it is none, or too long; KS_SYSTEM: it cannot be read. */
KS_MUST_USE enum ks_err ks_audit_file_read(struct ks_audit_file *file, struct ks_audit_record *ret_record);
