/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sigv4.h"

#include "base/buf.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/hmac.h"
#include "crypto/sha256.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SECRET_MAX 512
#define DAY_N 8
/* Host, X-Amz-Date and X-Amz-Security-Token come to the caller's. */
#define ALL_HEADERS_MAX (KS_SIGV4_HEADERS_MAX + 3)

struct canonical {
	struct ks_sigv4_header headers[ALL_HEADERS_MAX]; /* sorted by name */
	size_t header_count;
	char names[512]; /* "host;x-amz-date" */
	struct ks_buf signed_names;
};

/* ---- the moment ---- */

/* "2015-08-30T12:36:00.000Z" without its dividers and its fraction. */
static bool put_date(int64_t now_s, char ret_date[KS_SIGV4_DATE_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_date, KS_SIGV4_DATE_SIZE);
	char text[KS_TIME_TEXT_SIZE];

	if (now_s < 0 || now_s > KS_TIME_MAX / 1000)
		return false;
	ks_time_format(now_s * 1000, text);
	for (const char *p = text; *p != '.'; p++) {
		if (*p != '-' && *p != ':')
			ks_buf_put_byte(&b, *p);
	}
	ks_buf_put_byte(&b, 'Z');
	(void)ks_buf_z(&b);
	return ks_buf_ok(&b);
}

/* ---- the canonical request ---- */

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
	       || c == '_' || c == '~';
}

static bool is_visible(struct ks_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
			return false;
	}
	return true;
}

static bool is_dots(struct ks_str segment)
{
	return ks_str_eq(segment, KS_STR(".")) || ks_str_eq(segment, KS_STR(".."));
}

static bool path_ok(struct ks_str path)
{
	struct ks_str segment, rest = ks_str_sub(path, 1, path.n);

	if (path.n == 0)
		return true;
	if (path.p[0] != '/' || !is_visible(path) || ks_str_find(path, '?') != SIZE_MAX)
		return false;
	while (ks_str_split(rest, '/', &segment, &rest)) {
		if (segment.n == 0 || is_dots(segment))
			return false;
	}
	return !is_dots(rest);
}

/* What was encoded for the wire is encoded once more for the signature, as every service but S3 does it. */
static void put_path(struct ks_buf *b, struct ks_str path)
{
	static const char hex[] = "0123456789ABCDEF";

	if (path.n == 0)
		ks_buf_put_byte(b, '/');
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];

		if (is_unreserved(c) || c == '/') {
			ks_buf_put_byte(b, (char)c);
			continue;
		}
		ks_buf_put_byte(b, '%');
		ks_buf_put_byte(b, hex[c >> 4]);
		ks_buf_put_byte(b, hex[c & 15]);
	}
}

struct parameter {
	struct ks_str name, value;
};

static int parameter_order(const struct parameter *a, const struct parameter *b)
{
	int by_name = ks_str_order(a->name, b->name);

	return by_name ? by_name : ks_str_order(a->value, b->value);
}

static struct parameter parameter_of(struct ks_str text)
{
	struct parameter p = {text, KS_STR("")};

	if (!ks_str_split(text, '=', &p.name, &p.value))
		p.name = text;
	return p;
}

static enum ks_err put_query(struct ks_buf *b, struct ks_str query)
{
	struct parameter sorted[KS_SIGV4_PARAMETERS_MAX];
	struct ks_str rest = query, one;
	size_t n = 0;

	if (!is_visible(query))
		return KS_MALFORMED;
	for (bool more = query.n > 0; more;) {
		struct parameter p;
		size_t at;

		more = ks_str_split(rest, '&', &one, &rest);
		p = parameter_of(more ? one : rest);
		if (n == KS_SIGV4_PARAMETERS_MAX)
			return KS_TOO_LARGE;
		for (at = n++; at > 0 && parameter_order(&p, &sorted[at - 1]) < 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = p;
	}
	for (size_t i = 0; i < n; i++) {
		ks_buf_put_c(b, i ? "&" : "");
		ks_buf_put(b, sorted[i].name);
		ks_buf_put_byte(b, '=');
		ks_buf_put(b, sorted[i].value);
	}
	return KS_OK;
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int name_order(struct ks_str a, struct ks_str b)
{
	for (size_t i = 0; i < KS_MIN(a.n, b.n); i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return lower(a.p[i]) < lower(b.p[i]) ? -1 : 1;
	}
	return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

static bool name_ok(struct ks_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (!is_unreserved((unsigned char)name.p[i]))
			return false;
	}
	return name.n > 0;
}

static bool value_ok(struct ks_str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return false;
	}
	return true;
}

static enum ks_err add_header(struct canonical *c, struct ks_sigv4_header header)
{
	size_t at = c->header_count;

	if (!name_ok(header.name) || !value_ok(header.value))
		return KS_MALFORMED;
	for (; at > 0; at--) {
		int order = name_order(header.name, c->headers[at - 1].name);

		if (order == 0)
			return KS_MALFORMED;
		if (order > 0)
			break;
		c->headers[at] = c->headers[at - 1];
	}
	c->headers[at] = header;
	c->header_count++;
	return KS_OK;
}

static enum ks_err gather_headers(struct canonical *c, const struct ks_sigv4_request *r, const char *date)
{
	if (r->header_count > KS_SIGV4_HEADERS_MAX)
		return KS_TOO_LARGE;
	if (r->host.n == 0)
		return KS_MALFORMED;
	KS_TRY(add_header(c, (struct ks_sigv4_header){KS_STR("host"), r->host}));
	KS_TRY(add_header(c, (struct ks_sigv4_header){KS_STR("x-amz-date"), ks_str_c(date)}));
	if (r->session_token.n > 0)
		KS_TRY(add_header(c, (struct ks_sigv4_header){KS_STR("x-amz-security-token"), r->session_token}));
	for (size_t i = 0; i < r->header_count; i++) {
		if (ks_str_eq_nocase(r->headers[i].name, KS_STR("x-amz-security-token")))
			return KS_MALFORMED;
		KS_TRY(add_header(c, r->headers[i]));
	}
	c->signed_names = KS_BUF(c->names);
	for (size_t i = 0; i < c->header_count; i++) {
		ks_buf_put_c(&c->signed_names, i ? ";" : "");
		for (size_t k = 0; k < c->headers[i].name.n; k++)
			ks_buf_put_byte(&c->signed_names, (char)lower(c->headers[i].name.p[k]));
	}
	return ks_buf_ok(&c->signed_names) ? KS_OK : KS_TOO_LARGE;
}

/* Without blanks at both ends, and each run of them within as one. */
static void put_value(struct ks_buf *b, struct ks_str value)
{
	bool blank = false;

	value = ks_str_trim(value);
	for (size_t i = 0; i < value.n; i++) {
		bool is_blank = value.p[i] == ' ' || value.p[i] == '\t';

		if (!is_blank)
			ks_buf_put_byte(b, value.p[i]);
		else if (!blank)
			ks_buf_put_byte(b, ' ');
		blank = is_blank;
	}
}

static enum ks_err put_canonical(struct ks_buf *b, const struct ks_sigv4_request *r, const struct canonical *c,
				 const char *sha256)
{
	struct ks_str names = ks_str_of(c->signed_names.p, c->signed_names.n), name = KS_STR("");

	ks_buf_put(b, r->method);
	ks_buf_put_byte(b, '\n');
	put_path(b, r->path);
	ks_buf_put_byte(b, '\n');
	KS_TRY(put_query(b, r->query));
	ks_buf_put_byte(b, '\n');
	for (size_t i = 0; i < c->header_count; i++) {
		if (!ks_str_split(names, ';', &name, &names))
			name = names;
		ks_buf_put(b, name);
		ks_buf_put_byte(b, ':');
		put_value(b, c->headers[i].value);
		ks_buf_put_byte(b, '\n');
	}
	ks_buf_put_byte(b, '\n');
	ks_buf_put(b, ks_buf_str(&c->signed_names));
	ks_buf_put_byte(b, '\n');
	ks_buf_put_c(b, sha256);
	return ks_buf_ok(b) ? KS_OK : KS_TOO_LARGE;
}

/* ---- the signature ---- */

/* Each step's result is the key of the next: secret, day, region, service, the fixed word, what is signed. */
static enum ks_err derive(const struct ks_sigv4_request *r, struct ks_str day, struct ks_str to_sign,
			  unsigned char ret_mac[KS_HMAC_MAX], size_t *ret_n)
{
	const struct ks_str steps[] = {day, r->region, r->service, KS_STR("aws4_request"), to_sign};
	char text[4 + SECRET_MAX];
	struct ks_buf first = KS_BUF(text);
	unsigned char key[KS_HMAC_MAX];
	enum ks_err err = KS_OK;
	size_t n = 0;

	ks_buf_put_c(&first, "AWS4");
	ks_buf_put(&first, r->secret_key);
	if (!ks_buf_ok(&first))
		return KS_TOO_LARGE;
	for (size_t i = 0; i < KS_ARRAY_LEN(steps) && err == KS_OK; i++) {
		struct ks_str with = i ? ks_str_of((const char *)key, n) : ks_buf_str(&first);

		err = ks_hmac(KS_HMAC_SHA256, with, steps[i], ret_mac, ret_n);
		memcpy(key, ret_mac, sizeof(key));
		n = *ret_n;
	}
	ks_wipe(text, sizeof(text));
	ks_wipe(key, sizeof(key));
	return err;
}

enum ks_err ks_sigv4_sha256(struct ks_str body, char ret_text[KS_SIGV4_SHA256_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_text, KS_SIGV4_SHA256_SIZE);
	struct ks_digest digest;

	KS_TRY(ks_sha256(body, &digest));
	ks_buf_put_hex(&b, digest.bytes, sizeof(digest.bytes));
	(void)ks_buf_z(&b);
	return KS_OK;
}

static enum ks_err sign(const struct ks_sigv4_request *r, const struct canonical *c, struct ks_str canonical,
			struct ks_sigv4_signed *out)
{
	char scope_text[192], to_sign_text[384], digest[KS_SIGV4_SHA256_SIZE];
	struct ks_buf scope = KS_BUF(scope_text), to_sign = KS_BUF(to_sign_text);
	struct ks_buf authorization = KS_BUF(out->authorization);
	unsigned char mac[KS_HMAC_MAX];
	size_t n;

	KS_TRY(ks_sigv4_sha256(canonical, digest));
	ks_buf_put(&scope, ks_str_of(out->date, DAY_N));
	ks_buf_put_byte(&scope, '/');
	ks_buf_put(&scope, r->region);
	ks_buf_put_byte(&scope, '/');
	ks_buf_put(&scope, r->service);
	ks_buf_put_c(&scope, "/aws4_request");
	ks_buf_put_c(&to_sign, ALGORITHM "\n");
	ks_buf_put_c(&to_sign, out->date);
	ks_buf_put_byte(&to_sign, '\n');
	ks_buf_put(&to_sign, ks_buf_str(&scope));
	ks_buf_put_byte(&to_sign, '\n');
	ks_buf_put_c(&to_sign, digest);
	if (!ks_buf_ok(&scope) || !ks_buf_ok(&to_sign))
		return KS_TOO_LARGE;
	KS_TRY(derive(r, ks_str_of(out->date, DAY_N), ks_buf_str(&to_sign), mac, &n));
	ks_buf_put_c(&authorization, ALGORITHM " Credential=");
	ks_buf_put(&authorization, r->access_key);
	ks_buf_put_byte(&authorization, '/');
	ks_buf_put(&authorization, ks_buf_str(&scope));
	ks_buf_put_c(&authorization, ", SignedHeaders=");
	ks_buf_put(&authorization, ks_buf_str(&c->signed_names));
	ks_buf_put_c(&authorization, ", Signature=");
	ks_buf_put_hex(&authorization, mac, n);
	(void)ks_buf_z(&authorization);
	return ks_buf_ok(&authorization) ? KS_OK : KS_TOO_LARGE;
}

static bool word_ok(struct ks_str word)
{
	return word.n > 0 && is_visible(word) && ks_str_find(word, '/') == SIZE_MAX && ks_str_find(word, ',') == SIZE_MAX;
}

enum ks_err ks_sigv4_sign(const struct ks_sigv4_request *request, struct ks_sigv4_signed *ret_signed)
{
	struct canonical c = {.header_count = 0};
	struct ks_sigv4_signed out;
	char text[KS_SIGV4_CANONICAL_MAX];
	struct ks_buf canonical = KS_BUF(text);
	enum ks_err err;

	if (!put_date(request->now_s, out.date) || !name_ok(request->method) || !path_ok(request->path)
	    || !word_ok(request->region) || !word_ok(request->service) || !word_ok(request->access_key)
	    || request->secret_key.n == 0)
		return KS_MALFORMED;
	KS_TRY(ks_sigv4_sha256(request->body, out.sha256));
	KS_TRY(gather_headers(&c, request, out.date));
	err = put_canonical(&canonical, request, &c, out.sha256);
	if (err == KS_OK)
		err = sign(request, &c, ks_buf_str(&canonical), &out);
	/* A session token was in it. */
	ks_wipe(text, canonical.n);
	if (err == KS_OK)
		*ret_signed = out;
	return err;
}
