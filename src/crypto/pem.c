/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pem.h"

#include "base/buf.h"
#include "base/ctenc.h"

#define LABEL_MAX 64

/* Where `wanted` begins in `text` from `from` on; SIZE_MAX: nowhere. */
static size_t find(struct ks_str text, size_t from, struct ks_str wanted)
{
	for (size_t i = from; wanted.n <= text.n && i <= text.n - wanted.n; i++) {
		if (ks_str_starts(ks_str_sub(text, i, wanted.n), wanted))
			return i;
	}
	return SIZE_MAX;
}

static enum ks_err decode(struct ks_str lines, struct ks_secret *ret_der)
{
	struct ks_secret packed = {0}, der = {0};
	enum ks_err err;

	if (lines.n == 0)
		return KS_MALFORMED;
	KS_TRY(ks_secret_new(&packed, lines.n));
	for (size_t i = 0; i < lines.n; i++) {
		if (lines.p[i] != '\n' && lines.p[i] != '\r')
			packed.bytes[packed.n++] = (unsigned char)lines.p[i];
	}
	err = ks_secret_new(&der, lines.n);
	if (err == KS_OK && (!ks_base64_decode(ks_str_of((const char *)packed.bytes, packed.n), der.bytes, der.cap, &der.n)
			     || der.n == 0))
		err = KS_MALFORMED;
	ks_secret_free(&packed);
	if (err == KS_OK)
		*ret_der = der;
	else
		ks_secret_free(&der);
	return err;
}

enum ks_err ks_pem_decode(struct ks_str text, struct ks_str label, struct ks_secret *ret_der)
{
	char first[LABEL_MAX + 24], last[LABEL_MAX + 24];
	struct ks_buf begin = KS_BUF(first), end = KS_BUF(last);
	size_t from, to;

	if (text.n > KS_PEM_MAX || label.n > LABEL_MAX)
		return KS_TOO_LARGE;
	ks_buf_put_c(&begin, "-----BEGIN ");
	ks_buf_put(&begin, label);
	ks_buf_put_c(&begin, "-----");
	ks_buf_put_c(&end, "-----END ");
	ks_buf_put(&end, label);
	ks_buf_put_c(&end, "-----");
	from = find(text, 0, ks_buf_str(&begin));
	if (from == SIZE_MAX)
		return KS_NOT_FOUND;
	from += begin.n;
	to = find(text, from, ks_buf_str(&end));
	return to == SIZE_MAX ? KS_MALFORMED : decode(ks_str_sub(text, from, to - from), ret_der);
}
