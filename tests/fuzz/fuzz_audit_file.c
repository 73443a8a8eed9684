/* SPDX-License-Identifier: Apache-2.0 */
/* Exports of the audit as anybody may send them, JSON Lines or CSV: every record is whole, its cells lie within what was
 * read, and reading ends. */
#include <stdlib.h>

#include "cli/audit_file.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static bool lies_in(struct ks_str cell, const char *bytes)
{
	return cell.n == 0 || (cell.p >= bytes && cell.p + cell.n <= bytes + KS_AUDIT_LINE_MAX);
}

static void check_record(const struct ks_audit_file *file, const struct ks_audit_record *record)
{
	size_t sum = 0;

	for (size_t i = 0; i < KS_AUDIT_CELL_COUNT; i++) {
		CHECK(lies_in(record->cells[i], file->bytes) || lies_in(record->cells[i], file->text));
		for (size_t b = 0; b < record->cells[i].n; b++)
			sum += (unsigned char)record->cells[i].p[b];
	}
	CHECK(sum < SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ks_audit_file file;
	struct ks_audit_record record;
	size_t records = 0;

	if (size == 0)
		return 0;
	file = (struct ks_audit_file){.in = fmemopen((void *)(uintptr_t)data, size, "r")};
	CHECK(file.in != NULL);
	while (ks_audit_file_read(&file, &record) == KS_OK && record.kind != KS_AUDIT_RECORD_END) {
		check_record(&file, &record);
		CHECK(++records <= size);
	}
	(void)fclose(file.in);
	return 0;
}
