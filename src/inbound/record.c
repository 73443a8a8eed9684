/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a request, without secrets. */
#include "inbound/inbound_priv.h"

#define MASK "***"

static bool is_secret(const struct inbound_source *source, bool of_query, struct ks_str name)
{
	static const char *const always[] = {"Authorization", "Proxy-Authorization", "Cookie"};

	for (size_t i = 0; !of_query && i < KS_ARRAY_LEN(always); i++)
		if (ks_str_eq_nocase(name, ks_str_c(always[i])))
			return true;
	for (size_t i = 0; i < source->version_n; i++)
		if (ks_hooksig_sends_secret(source->versions[i].scheme, of_query, name))
			return true;
	return false;
}

/* Bytes that are no UTF-8 are what they are in ISO 8859-1 (RFC 9110, 5.5, of times past). */
static void put_value(struct ks_buf *out, struct ks_str value)
{
	if (ks_str_is_utf8(value)) {
		ks_buf_put_json(out, value);
		return;
	}
	ks_buf_put_byte(out, '"');
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			ks_buf_printf(out, "\\u%04x", c);
		else
			ks_buf_put_byte(out, (char)c);
	}
	ks_buf_put_byte(out, '"');
}

void ks_inbound_put_headers(const struct ks_inbound_source *head, const struct ks_hooksig_request *request,
			    struct ks_buf *out)
{
	const struct inbound_source *source = (const struct inbound_source *)(const void *)head;

	ks_buf_put_byte(out, '[');
	for (size_t i = 0; i < request->header_count; i++) {
		const struct ks_hooksig_header *h = &request->headers[i];

		ks_buf_put_c(out, i > 0 ? ",[" : "[");
		put_value(out, h->name);
		ks_buf_put_byte(out, ',');
		put_value(out, is_secret(source, false, h->name) ? KS_STR(MASK) : h->value);
		ks_buf_put_byte(out, ']');
	}
	ks_buf_put_byte(out, ']');
}

/* As it is in a target: anything but visible ASCII is written as an escape, so that it is text. */
static void put_raw(struct ks_buf *out, struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c <= 0x20 || c > 0x7e)
			ks_buf_printf(out, "%%%02X", c);
		else
			ks_buf_put_byte(out, (char)c);
	}
}

void ks_inbound_put_target(const struct ks_inbound_source *head, struct ks_str target, struct ks_buf *out)
{
	const struct inbound_source *source = (const struct inbound_source *)(const void *)head;
	struct ks_str path, query, pair, name, value;
	bool more = ks_str_split(target, '?', &path, &query);

	put_raw(out, more ? path : target);
	for (char before = '?'; more; before = '&') {
		pair = query;
		more = ks_str_split(query, '&', &pair, &query);
		ks_buf_put_byte(out, before);
		if (!ks_str_split(pair, '=', &name, &value)) {
			put_raw(out, pair);
			continue;
		}
		put_raw(out, name);
		ks_buf_put_byte(out, '=');
		put_raw(out, is_secret(source, true, name) ? KS_STR(MASK) : value);
	}
}
