/* SPDX-License-Identifier: Apache-2.0 */
/* The first line is a reference, or a member to select; the rest a value. */
#include <stdlib.h>

#include "base/buf.h"
#include "secretstore/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct ks_secretstore_reference reference;
	static char room[4096];
	struct ks_secretstore_detail detail;
	struct ks_buf to = KS_BUF(room);
	struct ks_str text = ks_str_of((const char *)data, n), first, rest = {0};

	if (!ks_str_split(text, '\n', &first, &rest))
		first = text;
	if (ks_secretstore_parse(first, &reference, &detail) == KS_OK) {
		/* What every reference has. */
		if (!reference.identity.n || (reference.kind == KS_SECRETSTORE_AWS && !reference.region.n))
			abort();
	} else if (!detail.text[0]) {
		abort();
	}
	if (ks_secretstore_select(rest, first, &to) == KS_SECRETSTORE_OK && (!to.n || !ks_buf_ok(&to)))
		abort();
	return 0;
}
