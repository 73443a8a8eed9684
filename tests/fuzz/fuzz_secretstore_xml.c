/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of AWS STS, as anybody could have written it. */
#include <stdlib.h>

#include "secretstore/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const paths[][5] = {
		{"ErrorResponse", "Error", "Code", NULL},
		{"AssumeRoleResponse", "AssumeRoleResult", "Credentials", "SessionToken", NULL},
		{"*", "*", "*", NULL},
		{"*", NULL},
	};
	struct ks_str text = ks_str_of((const char *)data, n);
	char room[256];

	if (!ks_xml_check(text))
		return 0;
	for (size_t i = 0; i < KS_ARRAY_LEN(paths); i++) {
		struct ks_buf b = KS_BUF(room);

		if (ks_xml_text(text, paths[i], &b) ? !ks_buf_ok(&b) : b.n != 0)
			abort();
	}
	return 0;
}
