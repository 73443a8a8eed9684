/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a trunk answers: a frame is no longer than the stream, and what is read of an answer answers its challenge in one
 * line. */
#include <stdlib.h>

#include "probe/sip_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct ks_sip_request request = {
	.method = "OPTIONS", .transport = "UDP", .domain = {"a.example", 9}, .user = {"u", 1}, .own = {"192.0.2.1:5060", 14},
	.branch = "00", .tag = "11", .call_id = "22", .sequence = 1,
};

static void answer(const struct ks_sip_answer *a)
{
	char text[4096];
	struct ks_buf b = KS_BUF(text);
	enum ks_err err;

	if (a->status < 100 || a->status > 699)
		abort();
	if (!a->has_challenge)
		return;
	err = ks_sip_write_credentials(&request, &a->challenge, KS_STR("u\"\\"), KS_STR("p"), "cc", &b);
	if (err == KS_OK && ks_str_has_control(ks_buf_str(&b)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ks_str text = {(const char *)data, n};
	struct ks_sip_answer a;
	size_t frame = 0;

	if (ks_sip_frame(text, &frame) == KS_OK && (frame == 0 || frame > n))
		abort();
	if (ks_sip_read(text, &request, &a) == KS_OK)
		answer(&a);
	return 0;
}
