/* SPDX-License-Identifier: Apache-2.0 */
/* What the service and its keeper read of each other. The first byte chooses the side, the rest is a stream of frames. */
#include <stdlib.h>

#include "keeper/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* As every handler reads: whatever is read lies within the body. */
static void read_body(struct ks_str body)
{
	struct ks_cursor c = ks_cursor_of(body);
	struct ks_keeper_org org = ks_keeper_take_org(&c);

	must(org.wrapped.n <= KS_KEEPER_WRAPPED_MAX);
	for (uint32_t count = ks_cursor_u32(&c), i = 0; i < count && !c.failed; i++) {
		struct ks_keeper_binding binding = ks_keeper_take_binding(&c);
		struct ks_str text = ks_keeper_take_text(&c, 65536);

		must(binding.field.n <= KS_KEEPER_FIELD_MAX && text.n <= body.n);
		must(c.failed || text.n == 0 || (text.p >= body.p && text.p + text.n <= body.p + body.n));
	}
	(void)!ks_cursor_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str in = ks_str_of((const char *)data, size);
	bool answer = in.n > 0 && (in.p[0] & 1);
	struct ks_keeper_head head;

	in = ks_str_sub(in, 1, in.n);
	while (in.n >= KS_KEEPER_HEAD_SIZE) {
		if (ks_keeper_head_read(ks_str_sub(in, 0, KS_KEEPER_HEAD_SIZE), answer, &head) != KS_OK)
			return 0;
		must(head.message < KS_KEEPER_MESSAGE_COUNT && head.n <= KS_KEEPER_BODY_MAX && head.status < KS_ERR_COUNT);
		must(answer || head.status == KS_OK);
		if (in.n - KS_KEEPER_HEAD_SIZE < head.n)
			return 0;
		read_body(ks_str_sub(in, KS_KEEPER_HEAD_SIZE, head.n));
		in = ks_str_sub(in, KS_KEEPER_HEAD_SIZE + head.n, in.n);
	}
	return 0;
}
