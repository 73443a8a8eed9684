/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings, times, addresses and ids: whatever is read, writes back as it stood, or as its canonical form. The first
 * byte of the input says which. */
#include <stdlib.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/ctenc.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 4096

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static unsigned char bytes[TEXT_MAX];
static char text_back[2 * TEXT_MAX];

static void check_base64(struct ks_str text)
{
	size_t n;

	if (ks_base64_decode(text, bytes, sizeof(bytes), &n)) {
		n = ks_base64_encode(bytes, n, text_back, sizeof(text_back));
		CHECK(ks_str_eq(ks_str_of(text_back, n), text));
	}
	if (ks_base64url_decode(text, bytes, sizeof(bytes), &n)) {
		n = ks_base64url_encode(bytes, n, text_back, sizeof(text_back));
		CHECK(ks_str_eq(ks_str_of(text_back, n), text));
	}

	n = ks_base64_encode((const unsigned char *)text.p, text.n, text_back, sizeof(text_back));
	CHECK(ks_base64_decode(ks_str_of(text_back, n), bytes, sizeof(bytes), &n));
	CHECK(ks_str_eq(ks_str_of((const char *)bytes, n), text));
}

static void check_hex(struct ks_str text)
{
	struct ks_buf b = KS_BUF(text_back);
	size_t n = text.n / 2;

	if (ks_hex_decode(text, false, bytes, n)) {
		ks_buf_put_hex(&b, bytes, n);
		CHECK(ks_str_eq(ks_buf_str(&b), text));
		CHECK(ks_hex_decode(text, true, bytes, n));
	}
	b = KS_BUF(text_back);
	ks_buf_put_hex(&b, text.p, text.n);
	CHECK(ks_buf_ok(&b) && ks_hex_decode(ks_buf_str(&b), false, bytes, text.n));
	CHECK(ks_str_eq(ks_str_of((const char *)bytes, text.n), text));
}

static void check_time(struct ks_str text)
{
	char back[KS_TIME_TEXT_SIZE];
	int64_t ms, again;

	if (!ks_time_parse(text, &ms))
		return;
	CHECK(ms >= 0 && ms <= KS_TIME_MAX);
	ks_time_format(ms, back);
	CHECK(ks_time_parse(ks_str_c(back), &again) && again == ms);
}

static void check_addr(struct ks_str text)
{
	char back[KS_ADDR_TEXT_SIZE];
	struct ks_cidr cidr, cidr_again;
	struct ks_addr addr, again;

	if (ks_addr_parse(text, &addr)) {
		ks_addr_format(&addr, back);
		CHECK(ks_addr_parse(ks_str_c(back), &again));
		CHECK(ks_ct_equal(addr.bytes, again.bytes, sizeof(addr.bytes)));
		CHECK(ks_cidr_parse(text, &cidr) && cidr.bits == 128 && ks_cidr_has(&cidr, &addr));
	}
	if (ks_cidr_parse(text, &cidr)) {
		ks_cidr_format(&cidr, back);
		CHECK(ks_cidr_parse(ks_str_c(back), &cidr_again) && cidr_again.bits == cidr.bits);
		CHECK(ks_ct_equal(cidr.base.bytes, cidr_again.base.bytes, sizeof(cidr.base.bytes)));
		CHECK(ks_cidr_has(&cidr, &cidr.base));
	}
}

static void check_id(struct ks_str text)
{
	char back[KS_ID_TEXT_SIZE];
	enum ks_id_type type;
	uint64_t id, again;

	if (!ks_id_parse_any(text, &type, &id))
		return;
	CHECK(id != 0 && ks_id_parse(text, type, &again) && again == id);
	ks_id_format(type, id, back);
	CHECK(ks_str_eq(ks_str_c(back), text));
}

static void check_text(struct ks_str text)
{
	static char json[6 * TEXT_MAX + 2];
	struct ks_buf b = KS_BUF(json);
	struct ks_str trimmed = ks_str_trim(text);
	uint64_t value;

	ks_buf_put_json(&b, text);
	CHECK(ks_buf_ok(&b) && ks_str_is_utf8(ks_buf_str(&b)));
	for (size_t i = 0; i < b.n; i++)
		CHECK((unsigned char)b.p[i] >= 0x20);
	CHECK(trimmed.n <= text.n && ks_str_eq(ks_str_trim(trimmed), trimmed));
	if (ks_str_to_u64(text, 1000, &value))
		CHECK(value <= 1000);
}

static void check_cursor(struct ks_str text)
{
	struct ks_cursor c = ks_cursor_of(text);
	uint64_t sum = 0;

	while (!c.failed && ks_cursor_left(&c)) {
		size_t left = ks_cursor_left(&c);

		switch (ks_cursor_byte(&c) % 6) {
		case 0:
			sum += ks_cursor_u16(&c);
			break;
		case 1:
			sum += ks_cursor_u32(&c);
			break;
		case 2:
			sum += ks_cursor_u64(&c);
			break;
		case 3:
			sum += ks_cursor_take(&c, ks_cursor_u8(&c)).n;
			break;
		case 4:
			ks_cursor_skip_blanks(&c);
			break;
		default:
			sum += ks_cursor_u8(&c);
		}
		CHECK(c.failed || ks_cursor_left(&c) < left);
	}
	CHECK(c.failed || ks_cursor_done(&c));
	CHECK(ks_crc32(ks_crc32(0, text.p, text.n / 2), &text.p[text.n / 2], text.n - text.n / 2) ==
	      ks_crc32(0, text.p, text.n));
	(void)sum;
}

static void (*const checks[])(struct ks_str) = {
	check_base64, check_hex, check_time, check_addr, check_id, check_text, check_cursor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > TEXT_MAX / 2)
		return 0;
	checks[data[0] % KS_ARRAY_LEN(checks)](ks_str_of((const char *)&data[1], size - 1));
	return 0;
}
