/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of an import. Whatever the bytes are, nothing is read or written outside; and what is taken is JSON to another
 * reader, too. */
#include <jansson.h>
#include <stdlib.h>

#include "engine/import_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_MAX 64

static struct ks_import import;
static struct ks_import_batch batch;

static void set_up(void)
{
	import.actor = (struct ks_actor){.local = true, .is_operator = true};
	import.hash_key[0] = 1;
	import.hash_key[1] = 2;
	import.now_ms = INT64_C(1790000000000);
	import.grants = calloc(KS_IMPORT_GRANT_PLACES, sizeof(struct ks_import_grant *));
	import.grant_body = malloc(KS_GRANT_BODY_MAX);
	import.scratch = malloc(KS_IMPORT_LINE_TEXT_MAX);
	batch.import = &import;
	batch.text_bytes = malloc(KS_IMPORT_TEXT_SIZE);
	if (!import.grants || !import.grant_body || !import.scratch || !batch.text_bytes)
		abort();
}

static void read_one(struct ks_str line)
{
	struct ks_import_row row;
	struct ks_refusal refusal = {0};
	enum ks_err err = ks_import_read_line(&import, &batch, line, &row, &refusal);
	json_t *root = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

	if (err == KS_OK && (!json_is_object(root) || row.name.n == 0 || !row.grant->body))
		abort();
	if (err != KS_OK && !refusal.code)
		abort();
	json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str rest = ks_str_of((const char *)data, size), line;

	if (!import.grants)
		set_up();
	batch.text = ks_buf_of(batch.text_bytes, KS_IMPORT_TEXT_SIZE);
	for (unsigned i = 0; i < LINES_MAX && ks_str_split(rest, '\n', &line, &rest); i++) {
		if (line.n <= KS_IMPORT_LINE_MAX)
			read_one(line);
	}
	if (rest.n <= KS_IMPORT_LINE_MAX)
		read_one(rest);
	if (import.grant_count > KS_IMPORT_GRANTS_MAX / 2)
		ks_import_forget_grants(&import);
	return 0;
}
