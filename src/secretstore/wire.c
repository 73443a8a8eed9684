/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to stores, and what their answers mean. */
#include <stdlib.h>
#include <time.h>

#include "base/ctenc.h"
#include "base/json.h"
#include "secretstore/secretstore_priv.h"

int64_t ks_secretstore_now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec;
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void ks_secretstore_keep(char *to, size_t cap, struct ks_str text)
{
	size_t n = KS_MIN(text.n, cap - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = text.p[i] > ' ' && text.p[i] < 0x7f ? text.p[i] : '_';
	to[n] = '\0';
}

void ks_secretstore_put_escaped(struct ks_buf *b, struct ks_str text, bool slashes)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'
		    || c == '~' || (c == '/' && !slashes)) {
			ks_buf_put_byte(b, (char)c);
		} else {
			ks_buf_put_byte(b, '%');
			ks_buf_put_byte(b, digits[c >> 4]);
			ks_buf_put_byte(b, digits[c & 15]);
		}
	}
}

void ks_secretstore_add_header(struct ks_fetch_request *request, struct ks_str name, struct ks_str value)
{
	request->headers[request->header_count++] = (struct ks_fetch_header){name, value};
}

enum ks_secretstore_code ks_secretstore_of_err(enum ks_err err)
{
	return err == KS_OK ? KS_SECRETSTORE_OK : err == KS_TOO_LARGE ? KS_SECRETSTORE_TOO_LARGE : KS_SECRETSTORE_INTERNAL;
}

/* ---- requests ---- */

static const enum ks_secretstore_code of_fetch[] = {
	[KS_FETCH_OK] = KS_SECRETSTORE_OK,
	[KS_FETCH_URL] = KS_SECRETSTORE_ADDRESS_REFUSED,
	[KS_FETCH_ADDRESS] = KS_SECRETSTORE_ADDRESS_REFUSED,
	[KS_FETCH_NAME] = KS_SECRETSTORE_UNREACHABLE,
	[KS_FETCH_CONNECT] = KS_SECRETSTORE_UNREACHABLE,
	[KS_FETCH_TLS] = KS_SECRETSTORE_TLS_FAILED,
	[KS_FETCH_TIMEOUT] = KS_SECRETSTORE_TIMEOUT,
	[KS_FETCH_TOO_LARGE] = KS_SECRETSTORE_TOO_LARGE,
	[KS_FETCH_BROKEN] = KS_SECRETSTORE_MALFORMED,
	[KS_FETCH_STOPPED] = KS_SECRETSTORE_STOPPING,
	[KS_FETCH_MEMORY] = KS_SECRETSTORE_INTERNAL,
};
_Static_assert(KS_ARRAY_LEN(of_fetch) == KS_FETCH_RESULT_COUNT, "a result without a code");

enum ks_secretstore_code ks_secretstore_send(struct ks_secretstore_fetch *f, struct ks_fetch_request *request,
					     struct ks_fetch_response *ret_response)
{
	int64_t left = f->deadline_ms - monotonic_ms();

	*ret_response = (struct ks_fetch_response){0};
	if (left <= 0)
		return KS_SECRETSTORE_TIMEOUT;
	request->timeout_ms = (unsigned)KS_MIN(left, (int64_t)KS_FETCH_TIMEOUT_MAX_MS);
	request->body_max = KS_SECRETSTORE_BODY_MAX;
	f->requests++;
	f->status = 0;
	return of_fetch[ks_fetch_do(f->store->fetch, request, ret_response)];
}

/* ---- what errors mean ---- */

#define KS_SECRETSTORE_ANY KS_SECRETSTORE_KIND_COUNT

struct error_row {
	enum ks_secretstore_kind kind;
	enum ks_secretstore_step step;
	int status;
	struct ks_str name, text;
	enum ks_secretstore_code code;
};

static const struct error_row rows[] = {
#define KS_SECRETSTORE_ERROR(kind, step, status, name, text, code)                                                        \
	{KS_SECRETSTORE_##kind, KS_SECRETSTORE_STEP_##step, status, {name, sizeof(name) - 1}, {text, sizeof(text) - 1}, \
	 KS_SECRETSTORE_##code},
#include "secretstore/errors.def"
#undef KS_SECRETSTORE_ERROR
};

static bool contains(struct ks_str text, struct ks_str part)
{
	for (size_t i = 0; part.n <= text.n && i <= text.n - part.n; i++) {
		if (ks_str_eq_nocase(ks_str_sub(text, i, part.n), part))
			return true;
	}
	return false;
}

static bool fits(const struct error_row *row, enum ks_secretstore_kind kind, enum ks_secretstore_step step, int status,
		 const struct ks_secretstore_error *error)
{
	return (row->kind == KS_SECRETSTORE_ANY || row->kind == kind) && (row->step == KS_SECRETSTORE_STEP_ANY || row->step == step)
	       && (!row->status || row->status == status) && (!row->name.n || ks_str_eq(row->name, error->name))
	       && (!row->text.n || contains(error->text, row->text));
}

enum ks_secretstore_code ks_secretstore_meaning(struct ks_secretstore_fetch *f, enum ks_secretstore_step step, int status,
						const struct ks_secretstore_error *error)
{
	f->status = status;
	ks_secretstore_keep(f->said, sizeof(f->said), error->name);
	for (size_t i = 0; i < KS_ARRAY_LEN(rows); i++) {
		if (fits(&rows[i], f->reference->kind, step, status, error))
			return rows[i].code;
	}
	return status >= 500 ? KS_SECRETSTORE_STORE_FAILED : KS_SECRETSTORE_MALFORMED;
}

struct ks_str ks_secretstore_body(const struct ks_fetch_response *response)
{
	return ks_str_of(response->body, response->body_n);
}

enum ks_secretstore_code ks_secretstore_refusal(struct ks_secretstore_fetch *f, enum ks_secretstore_step step,
						const struct ks_fetch_response *response, ks_secretstore_error_fn read)
{
	struct ks_secretstore_error error = {{"", 0}, {"", 0}};
	struct ks_str body = ks_secretstore_body(response);
	bool known = ks_json_check(body) && read(body, &error);

	/* A proxy's page in the store's place says nothing of the secret; that it is overloaded or broken it does. */
	if (!known && response->status != 429 && response->status != 408 && response->status < 500) {
		f->status = response->status;
		return KS_SECRETSTORE_MALFORMED;
	}
	return ks_secretstore_meaning(f, step, response->status, &error);
}

/* ---- answers in JSON ---- */

bool ks_secretstore_find(struct ks_str object, const char *const path[], struct ks_str *ret_value)
{
	struct ks_str at = object;

	for (size_t i = 0; path[i]; i++) {
		struct ks_json_read read = ks_json_read_of(at);

		/* Without the blanks around a document. */
		at = ks_json_read_raw(&read);
		if (ks_json_kind(at) != '{' || !ks_json_member(at, ks_str_c(path[i]), &at))
			return false;
	}
	*ret_value = at;
	return true;
}

struct ks_str ks_secretstore_text(struct ks_str object, const char *name, struct ks_buf *room)
{
	const char *const path[] = {name, NULL};
	struct ks_str value, text;

	if (!ks_secretstore_find(object, path, &value) || !ks_json_string(value, room, &text))
		return KS_STR("");
	return text;
}

enum ks_secretstore_code ks_secretstore_take_string(struct ks_str value, struct ks_secret *ret_secret)
{
	struct ks_secret secret = {0};
	struct ks_str text;
	struct ks_buf b;
	enum ks_secretstore_code code;

	if (ks_json_kind(value) != '"')
		return KS_SECRETSTORE_MALFORMED;
	if (value.n <= 2)
		return KS_SECRETSTORE_VALUE_EMPTY;
	code = ks_secretstore_of_err(ks_secret_new(&secret, value.n));
	if (code != KS_SECRETSTORE_OK)
		return code;
	b = ks_buf_of((char *)secret.bytes, secret.cap);
	if (!ks_json_string(value, &b, &text)) {
		ks_secret_free(&secret);
		return KS_SECRETSTORE_MALFORMED;
	}
	if (!b.n)
		ks_buf_put(&b, text);
	secret.n = b.n;
	*ret_secret = secret;
	return KS_SECRETSTORE_OK;
}

enum ks_secretstore_code ks_secretstore_take_base64(struct ks_str value, struct ks_secret *ret_secret)
{
	struct ks_secret text = {0}, bytes = {0};
	enum ks_secretstore_code code = ks_secretstore_take_string(value, &text);

	if (code != KS_SECRETSTORE_OK)
		return code;
	code = ks_secretstore_of_err(ks_secret_new(&bytes, text.n));
	if (code == KS_SECRETSTORE_OK
	    && !ks_base64_decode(ks_str_of((const char *)text.bytes, text.n), bytes.bytes, bytes.cap, &bytes.n))
		code = KS_SECRETSTORE_MALFORMED;
	ks_secret_free(&text);
	if (code == KS_SECRETSTORE_OK)
		*ret_secret = bytes;
	else
		ks_secret_free(&bytes);
	return code;
}
