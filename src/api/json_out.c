/* SPDX-License-Identifier: Apache-2.0 */
#include "api/json_out.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/time.h"

#define JSON_FIRST 1024u
#define JSON_MAX (64u << 20)

void ks_json_init(struct ks_json *json)
{
	*json = (struct ks_json){0};
}

void ks_json_free(struct ks_json *json)
{
	if (json->p)
		ks_wipe(json->p, json->cap);
	free(json->p);
	*json = (struct ks_json){0};
}

/* Room for `more` bytes. The old block is wiped by hand: realloc would leave a copy of a secret behind. */
static bool grow(struct ks_json *json, size_t more)
{
	size_t cap = json->cap ? json->cap : JSON_FIRST;
	char *p;

	if (json->failed || more > JSON_MAX || json->n + more > JSON_MAX) {
		json->failed = true;
		return false;
	}
	while (cap < json->n + more)
		cap *= 2;
	if (cap == json->cap)
		return true;
	p = malloc(cap);
	if (!p) {
		json->failed = true;
		return false;
	}
	if (json->p) {
		memcpy(p, json->p, json->n);
		ks_wipe(json->p, json->n);
		free(json->p);
	}
	json->p = p;
	json->cap = cap;
	return true;
}

static void put(struct ks_json *json, struct ks_str s)
{
	if (s.n == 0 || !grow(json, s.n))
		return;
	memcpy(json->p + json->n, s.p, s.n);
	json->n += s.n;
}

static void value(struct ks_json *json)
{
	if (json->comma)
		put(json, KS_STR(","));
	json->comma = true;
}

void ks_json_open(struct ks_json *json, char bracket)
{
	value(json);
	put(json, ks_str_of(&bracket, 1));
	json->comma = false;
}

void ks_json_close(struct ks_json *json, char bracket)
{
	put(json, ks_str_of(&bracket, 1));
	json->comma = true;
}

void ks_json_reopen(struct ks_json *json, char bracket)
{
	if (json->failed || json->n < 2 || json->p[json->n - 1] != bracket) {
		json->failed = true;
		return;
	}
	json->n--;
	json->comma = json->p[json->n - 1] != '{' && json->p[json->n - 1] != '[';
}

void ks_json_name(struct ks_json *json, const char *name)
{
	value(json);
	put(json, KS_STR("\""));
	put(json, ks_str_c(name));
	put(json, KS_STR("\":"));
	json->comma = false;
}

void ks_json_str(struct ks_json *json, struct ks_str s)
{
	struct ks_buf b;

	value(json);
	/* At most six bytes for one ("\u0001"), and the quotes. */
	if (s.n > JSON_MAX / 8 || !grow(json, 6 * s.n + 2)) {
		json->failed = true;
		return;
	}
	b = ks_buf_of(json->p + json->n, json->cap - json->n);
	ks_buf_put_json(&b, s);
	json->failed |= b.overflow;
	json->n += b.n;
}

void ks_json_c(struct ks_json *json, const char *z)
{
	if (z)
		ks_json_str(json, ks_str_c(z));
	else
		ks_json_null(json);
}

void ks_json_u64(struct ks_json *json, uint64_t number)
{
	char text[24];
	struct ks_buf b = KS_BUF(text);

	value(json);
	ks_buf_put_u64(&b, number);
	put(json, ks_buf_str(&b));
}

void ks_json_bool(struct ks_json *json, bool truth)
{
	value(json);
	put(json, truth ? KS_STR("true") : KS_STR("false"));
}

void ks_json_null(struct ks_json *json)
{
	value(json);
	put(json, KS_STR("null"));
}

void ks_json_time(struct ks_json *json, int64_t ms)
{
	char text[KS_TIME_TEXT_SIZE];

	if (ms == KS_TIME_NONE || ms < 0 || ms > KS_TIME_MAX) {
		ks_json_null(json);
		return;
	}
	ks_time_format(ms, text);
	ks_json_str(json, ks_str_c(text));
}

void ks_json_id(struct ks_json *json, enum ks_id_type type, uint64_t id)
{
	char text[KS_ID_TEXT_SIZE];

	if (id == 0) {
		ks_json_null(json);
		return;
	}
	ks_id_format(type, id, text);
	ks_json_str(json, ks_str_c(text));
}

void ks_json_raw(struct ks_json *json, struct ks_str text)
{
	value(json);
	put(json, text.n ? text : KS_STR("null"));
}

#define PUT(suffix, type)                                                            \
	void ks_json_put_##suffix(struct ks_json *json, const char *name, type v)    \
	{                                                                            \
		ks_json_name(json, name);                                            \
		ks_json_##suffix(json, v);                                           \
	}
PUT(str, struct ks_str)
PUT(c, const char *)
PUT(u64, uint64_t)
PUT(bool, bool)
PUT(time, int64_t)
PUT(raw, struct ks_str)
#undef PUT

void ks_json_put_some(struct ks_json *json, const char *name, struct ks_str s)
{
	ks_json_name(json, name);
	if (ks_str_empty(s))
		ks_json_null(json);
	else
		ks_json_str(json, s);
}

void ks_json_put_null(struct ks_json *json, const char *name)
{
	ks_json_name(json, name);
	ks_json_null(json);
}

void ks_json_put_id(struct ks_json *json, const char *name, enum ks_id_type type, uint64_t id)
{
	ks_json_name(json, name);
	ks_json_id(json, type, id);
}
