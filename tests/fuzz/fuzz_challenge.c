/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges of trunks. What is read is answered, and the answer is one line of a header. */
#include <stdlib.h>

#include "keeper/sip_digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[4 * KS_SIP_CHALLENGE_MAX];
	struct ks_buf out = KS_BUF(text);
	struct ks_sip_asked asked;
	const struct ks_sip_credentials c = {
		.user = KS_STR("user"), .password = KS_STR("password"), .method = KS_STR("REGISTER"), .uri = KS_STR("sip:example.com"),
		.client_nonce = KS_STR("0a4f113b"), .count = 1,
	};

	if (ks_sip_challenge_parse(ks_str_of((const char *)data, size), &asked) != KS_OK)
		return 0;
	must(asked.nonce.n > 0 && asked.nonce.n <= KS_SIP_CHALLENGE_MAX && asked.realm.n <= KS_SIP_CHALLENGE_MAX);
	must(ks_sip_answer(&asked, &c, &out) == KS_OK);
	for (size_t i = 0; i < out.n; i++)
		must((unsigned char)text[i] >= ' ' || text[i] == '\t');
	return 0;
}
