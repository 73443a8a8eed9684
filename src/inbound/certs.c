/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of clients, as proxies pass them on. */
#include "base/ctenc.h"
#include "inbound/inbound_priv.h"

#define DER_MAX 8192
#define LINE 64

void ks_inbound_put_pem(struct ks_str der, struct ks_buf *out)
{
	char text[DER_MAX / 3 * 4 + 8];
	size_t n = der.n <= DER_MAX ? ks_base64_encode((const unsigned char *)der.p, der.n, text, sizeof(text)) : 0;

	ks_buf_put_c(out, "-----BEGIN CERTIFICATE-----\n");
	for (size_t i = 0; i < n; i += LINE) {
		ks_buf_put(out, ks_str_sub(ks_str_of(text, n), i, LINE));
		ks_buf_put_byte(out, '\n');
	}
	ks_buf_put_c(out, "-----END CERTIFICATE-----\n");
}

/* A byte sequence (RFC 8941, 3.3.5; parameters are not taken). */
static bool take_sequence(struct ks_str *list, struct ks_buf *room, struct ks_str *ret_pem)
{
	unsigned char der[DER_MAX];
	struct ks_str item, rest = ks_str_trim(*list), after;
	size_t n, from = room->n;

	if (rest.n == 0 || rest.p[0] != ':' || !ks_str_split(ks_str_sub(rest, 1, SIZE_MAX), ':', &item, &after)
	    || !ks_base64_decode(item, der, sizeof(der), &n) || n == 0)
		return false;
	after = ks_str_trim(after);
	if (after.n > 0 && after.p[0] != ',')
		return false;
	*list = ks_str_sub(after, 1, SIZE_MAX);
	ks_inbound_put_pem(ks_str_of((const char *)der, n), room);
	*ret_pem = ks_str_sub(ks_buf_str(room), from, SIZE_MAX);
	return ks_buf_ok(room);
}

static bool unescape(struct ks_str text, struct ks_buf *room)
{
	for (size_t i = 0; i < text.n; i++) {
		int high, low;

		if (text.p[i] != '%') {
			ks_buf_put_byte(room, text.p[i]);
			continue;
		}
		high = i + 2 < text.n ? ks_hex_digit(text.p[i + 1]) : -1;
		low = i + 2 < text.n ? ks_hex_digit(text.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		ks_buf_put_byte(room, (char)(high << 4 | low));
		i += 2;
	}
	return ks_buf_ok(room);
}

size_t ks_inbound_proxied_certs(struct ks_str cert, struct ks_str chain, struct ks_buf *room, struct ks_str *ret_certs,
				size_t cap)
{
	size_t n = 0, from = room->n;

	cert = ks_str_trim(cert);
	if (cap == 0 || cert.n == 0)
		return 0;
	if (cert.p[0] != ':') {
		if (!unescape(cert, room))
			return 0;
		ret_certs[0] = ks_str_sub(ks_buf_str(room), from, SIZE_MAX);
		return 1;
	}
	if (!take_sequence(&cert, room, &ret_certs[0]) || ks_str_trim(cert).n > 0)
		return 0;
	for (n = 1; n < cap && ks_str_trim(chain).n > 0; n++)
		if (!take_sequence(&chain, room, &ret_certs[n]))
			return 0;
	return n;
}
