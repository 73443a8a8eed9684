/* SPDX-License-Identifier: Apache-2.0 */
#include "api/json_in.h"

#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

/* ---- memory ---- */

static void wipe_and_free(void *p)
{
	if (p)
		ks_wipe(p, malloc_usable_size(p));
	free(p);
}

/* A library's first call of a function goes through the dynamic linker, which saves the vector registers on the stack,
 * and with them what was copied last. So the parser makes its first calls now, when there is nothing secret yet. */
static void call_first(void)
{
	static const char *const texts[] = {
		"{\"a\": [\"b\\u00e9\\n\", 1, -1.5e3, true, false, null, {}], \"c\": \"\\ud83d\\ude00 and some more than fits at once\"}",
		"{\"a\": \"b\", \"a\": \"c\"}", "{\"a\": \"b", "{\"a\" \"b\"}", "[1, 2", "\"a\"", "{\"a\": \"\\x\"}",
		"{\"a\": \"\xff\"}", "{\"a\": 1} b", "",
	};
	json_error_t error;

	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++) {
		json_t *value = json_loadb(texts[i], strlen(texts[i]), JSON_REJECT_DUPLICATES, &error);
		char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

		if (text)
			wipe_and_free(text);
		json_decref(value);
	}
}

static void set_memory(void)
{
	json_set_alloc_funcs(malloc, wipe_and_free);
	call_first();
}

void ks_in_wipes(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, set_memory);
}

/* ---- parsing ---- */

json_t *ks_in_parse(struct ks_str text, char ret_detail[256])
{
	json_error_t error;
	json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);

	if (!root) {
		(void)snprintf(ret_detail, 256, "Line %d, column %d: %s.", error.line, error.column, error.text);
		return NULL;
	}
	if (!json_is_object(root)) {
		(void)snprintf(ret_detail, 256, "The body must be a JSON object.");
		json_decref(root);
		return NULL;
	}
	return root;
}

void ks_in_problem(struct ks_in *in, const char *base, const char *name, const char *fmt, ...)
{
	struct ks_in_problem *p;
	va_list args;

	if (in->problem_count >= KS_IN_PROBLEMS_MAX)
		return;
	p = &in->problems[in->problem_count++];
	(void)snprintf(p->pointer, sizeof(p->pointer), "%s%s%s", base, name[0] ? "/" : "", name);
	va_start(args, fmt);
	(void)vsnprintf(p->detail, sizeof(p->detail), fmt, args);
	va_end(args);
}

static bool is_listed(const char *const *names, const char *name)
{
	for (; *names; names++) {
		if (ks_str_eq(ks_str_c(*names), ks_str_c(name)))
			return true;
	}
	return false;
}

void ks_in_escape(const char *name, char *ret_token, size_t cap)
{
	size_t n = 0;

	for (; *name && n + 3 <= cap; name++) {
		if (*name == '~' || *name == '/') {
			ret_token[n++] = '~';
			ret_token[n++] = *name == '~' ? '0' : '1';
		} else {
			ret_token[n++] = *name;
		}
	}
	ret_token[n] = '\0';
}

void ks_in_known(struct ks_in *in, const json_t *object, const char *base, const char *const *names)
{
	const char *name;
	json_t *value;
	char shown[66];

	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		if (is_listed(names, name))
			continue;
		ks_in_escape(name, shown, sizeof(shown));
		ks_in_problem(in, base, shown, "This member is not known here.");
	}
}

/* The member, or NULL: missing or null (a problem where required). */
static const json_t *member(struct ks_in *in, const json_t *object, const char *base, const char *name, bool required)
{
	const json_t *value = json_object_get(object, name);

	if (!value && required)
		ks_in_problem(in, base, name, "This member is required.");
	return value;
}

struct ks_str ks_in_str(struct ks_in *in, const json_t *object, const char *base, const char *name, size_t max, bool required)
{
	const json_t *value = member(in, object, base, name, required);
	struct ks_str s;

	if (!value || (json_is_null(value) && !required))
		return KS_STR("");
	if (!json_is_string(value)) {
		ks_in_problem(in, base, name, "This must be a string.");
		return KS_STR("");
	}
	s = ks_str_of(json_string_value(value), json_string_length(value));
	if (s.n == 0 && required)
		ks_in_problem(in, base, name, "This must not be empty.");
	if (s.n > max) {
		ks_in_problem(in, base, name, "This must be at most %zu bytes.", max);
		return KS_STR("");
	}
	return s;
}

bool ks_in_u64(struct ks_in *in, const json_t *object, const char *base, const char *name, uint64_t min, uint64_t max, bool required,
	       uint64_t *ret)
{
	const json_t *value = member(in, object, base, name, required);

	if (!value)
		return false;
	if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) < min
	    || (uint64_t)json_integer_value(value) > max) {
		ks_in_problem(in, base, name, "This must be a whole number from %llu to %llu.", (unsigned long long)min,
			      (unsigned long long)max);
		return false;
	}
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

bool ks_in_bool(struct ks_in *in, const json_t *object, const char *base, const char *name, bool *ret)
{
	const json_t *value = member(in, object, base, name, false);

	if (!value)
		return false;
	if (!json_is_boolean(value)) {
		ks_in_problem(in, base, name, "This must be true or false.");
		return false;
	}
	*ret = json_is_true(value);
	return true;
}

static bool is_tenant_type(enum ks_id_type type)
{
	return type == KS_ID_OPERATOR || type == KS_ID_PARTNER || type == KS_ID_ORGANIZATION || type == KS_ID_SUB_ENTITY
	       || type == KS_ID_PROJECT || type == KS_ID_PERSONAL;
}

bool ks_in_id(struct ks_in *in, const json_t *object, const char *base, const char *name, enum ks_id_type type, bool required,
	      uint64_t *ret)
{
	const json_t *value = member(in, object, base, name, required);
	enum ks_id_type found;
	uint64_t id;

	if (!value || (json_is_null(value) && !required))
		return false;
	if (!json_is_string(value)
	    || !ks_id_parse_any(ks_str_of(json_string_value(value), json_string_length(value)), &found, &id)
	    || (type == KS_ID_TYPE_COUNT ? !is_tenant_type(found) : found != type)) {
		ks_in_problem(in, base, name, "This is not the id of a %s.",
			      type == KS_ID_TYPE_COUNT ? "tenant" : type == KS_ID_USER ? "user" : "thing of this type");
		return false;
	}
	*ret = id;
	return true;
}

bool ks_in_time(struct ks_in *in, const json_t *object, const char *base, const char *name, bool required, bool null_ok, int64_t *ret)
{
	const json_t *value = member(in, object, base, name, required);

	if (!value)
		return false;
	if (json_is_null(value) && null_ok) {
		*ret = KS_TIME_NONE;
		return true;
	}
	if (!json_is_string(value) || !ks_time_parse(ks_str_of(json_string_value(value), json_string_length(value)), ret)) {
		ks_in_problem(in, base, name, "This must be an RFC 3339 time%s.", null_ok ? ", or null for never" : "");
		return false;
	}
	return true;
}

bool ks_in_strs(struct ks_in *in, const json_t *object, const char *base, const char *name, size_t max, struct ks_str *ret, size_t cap,
		size_t *ret_count)
{
	const json_t *value = json_object_get(object, name);
	size_t before = in->problem_count;
	char below[160];

	if (!value)
		return false;
	if (!json_is_array(value) || json_array_size(value) > cap) {
		ks_in_problem(in, base, name, "This must be an array of at most %zu strings.", cap);
		return false;
	}
	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *item = json_array_get(value, i);

		if (!json_is_string(item) || json_string_length(item) == 0 || json_string_length(item) > max) {
			(void)snprintf(below, sizeof(below), "%s/%zu", name, i);
			ks_in_problem(in, base, below, "This must be a string of 1 to %zu bytes.", max);
			continue;
		}
		ret[i] = ks_str_of(json_string_value(item), json_string_length(item));
	}
	*ret_count = json_array_size(value);
	return in->problem_count == before;
}
