/* SPDX-License-Identifier: Apache-2.0 */
/* Decides about every vector, and about what must follow from it: the same request with a header doubled, each byte of
 * the signature changed, the body cut, the time moved past either bound. Arguments: a file of forms ({"scheme": form}) and
 * one of vectors. Prints a line for each answer that was not expected; ends with 1 where there was one. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctenc.h"
#include "hooksig/hooksig.h"

#define HEADERS_MAX 64
#define BODY_MAX ((size_t)1 << 20)

struct vector {
	const char *id, *level, *scheme;
	bool accept;
	int64_t now_ms;
	struct ks_hooksig_scheme *compiled;
	struct ks_hooksig_request request;
	struct ks_hooksig_header headers[HEADERS_MAX];
	struct ks_str certs[KS_HOOKSIG_CERTS_MAX];
	char *body;
	json_t *params, *response;
};

static unsigned long failures, decisions, signatures;
static char *room_bytes;

static bool has_text(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static struct ks_str text_of(const json_t *value)
{
	return ks_str_of(json_string_value(value), json_string_length(value));
}

static void fail(const struct vector *v, const char *what, const char *detail)
{
	failures++;
	printf("%s (%s): %s: %s\n", v->id, v->level, what, detail);
}

static struct ks_hooksig_answer decide(const struct vector *v, const struct ks_hooksig_request *request, int64_t now_ms)
{
	struct ks_buf room = ks_buf_of(room_bytes, ks_hooksig_room(request->body.n));
	struct ks_hooksig_answer answer;

	decisions++;
	ks_hooksig_verify(v->compiled, request, now_ms, &room, &answer);
	return answer;
}

static void expect_reject(const struct vector *v, const struct ks_hooksig_request *request, int64_t now_ms, const char *what)
{
	if (v->compiled && decide(v, request, now_ms).code == KS_HOOKSIG_OK)
		fail(v, what, "accepted");
}

/* ---- reading ---- */

static void read_request(struct vector *v, const json_t *json)
{
	const json_t *headers = json_object_get(json, "headers"), *certs = json_object_get(json, "client_cert_chain_pem");
	struct ks_str body = text_of(json_object_get(json, "body_base64"));
	size_t n = 0;

	v->request.method = text_of(json_object_get(json, "method"));
	v->request.url = text_of(json_object_get(json, "url"));
	v->request.source_ip = text_of(json_object_get(json, "source_ip"));
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const json_t *pair = json_array_get(headers, i);

		v->headers[i].name = text_of(json_array_get(pair, 0));
		v->headers[i].value = text_of(json_array_get(pair, 1));
	}
	v->request.headers = v->headers;
	v->request.header_count = json_array_size(headers);
	for (size_t i = 0; i < json_array_size(certs); i++)
		v->certs[i] = text_of(json_array_get(certs, i));
	v->request.certs = v->certs;
	v->request.cert_count = json_array_size(certs);
	if (body.n > 0 && !ks_base64_decode(body, (unsigned char *)v->body, BODY_MAX, &n))
		fail(v, "body_base64", "malformed");
	v->request.body = ks_str_of(v->body, n);
}

static bool compile(struct vector *v, const json_t *forms)
{
	char *form = json_dumps(json_object_get(forms, v->scheme), JSON_COMPACT);
	char *params = json_dumps(v->params, JSON_COMPACT);
	struct ks_hooksig_problem problem;
	char detail[400];

	v->compiled = NULL;
	if (ks_hooksig_compile(ks_str_c(form), ks_str_c(params), &problem, &v->compiled)) {
		struct ks_buf text = KS_BUF(detail);

		ks_buf_printf(&text, "%s: %s", problem.pointer, problem.text);
		if (problem.where != KS_HOOKSIG_IN_KEYS || v->accept)
			fail(v, "does not compile", ks_buf_z(&text));
	}
	free(form);
	free(params);
	return v->compiled != NULL;
}

/* ---- the answer itself ---- */

static void check_response(const struct vector *v, const struct ks_hooksig_response *response)
{
	const json_t *want = v->response, *headers = json_object_get(want, "headers");
	struct ks_str body = text_of(json_object_get(want, "body")), contains = text_of(json_object_get(want, "contains"));
	json_t *given, *wanted;

	if (response->status != (unsigned)json_integer_value(json_object_get(want, "status")))
		fail(v, "response", "another status");
	if (json_object_get(want, "content_type") &&
	    !ks_str_eq(response->content_type, text_of(json_object_get(want, "content_type"))))
		fail(v, "response", "another content type");
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const json_t *pair = json_array_get(headers, i);

		if (i >= response->header_count || !ks_str_eq_nocase(response->headers[i].name, text_of(json_array_get(pair, 0))) ||
		    !ks_str_eq(response->headers[i].value, text_of(json_array_get(pair, 1))))
			fail(v, "response", "another header");
	}
	if (json_object_get(want, "compare")) {
		given = json_loadb(response->body.p, response->body.n, 0, NULL);
		wanted = json_loadb(body.p, body.n, 0, NULL);
		if (!json_equal(given, wanted))
			fail(v, "response", "another body");
		json_decref(given);
		json_decref(wanted);
	} else if (json_object_get(want, "body") && !ks_str_eq(response->body, body)) {
		fail(v, "response", "another body");
	}
	if (contains.n > 0 && !memmem(response->body.p, response->body.n, contains.p, contains.n))
		fail(v, "response", "the body lacks what it must contain");
}

static void check(const struct vector *v)
{
	struct ks_hooksig_answer answer = decide(v, &v->request, v->now_ms);

	if ((answer.code == KS_HOOKSIG_OK) != v->accept)
		fail(v, v->accept ? "wrongly refused" : "wrongly accepted", ks_hooksig_code_name(answer.code));
	else if (v->response)
		check_response(v, &answer.response);
}

/* ---- what must follow ---- */

/* Headers that the scheme looks at: the ones without which the request is refused. */
static bool matters(const struct vector *v, size_t index)
{
	struct ks_hooksig_header headers[HEADERS_MAX];
	struct ks_hooksig_request request = v->request;
	size_t n = 0;

	for (size_t i = 0; i < v->request.header_count; i++)
		if (i != index)
			headers[n++] = v->headers[i];
	request.headers = headers;
	request.header_count = n;
	return decide(v, &request, v->now_ms).code != KS_HOOKSIG_OK;
}

static void double_header(const struct vector *v, size_t index)
{
	struct ks_hooksig_header headers[HEADERS_MAX];
	struct ks_hooksig_request request = v->request;

	memcpy(headers, v->headers, v->request.header_count * sizeof(headers[0]));
	headers[v->request.header_count] = v->headers[index];
	request.headers = headers;
	request.header_count++;
	if (matters(v, index) && !ks_str_eq_nocase(v->headers[index].name, KS_STR("X-Forwarded-For")))
		expect_reject(v, &request, v->now_ms, "with a header doubled");
	headers[v->request.header_count].value = KS_STR("x");
	if (matters(v, index) && !has_text(v->id, "dictionary-member"))
		expect_reject(v, &request, v->now_ms, "with a header doubled by another");
}

static void change_bytes(const struct vector *v, size_t index)
{
	struct ks_hooksig_header headers[HEADERS_MAX];
	struct ks_hooksig_request request = v->request;
	static char value[16384];

	memcpy(headers, v->headers, v->request.header_count * sizeof(headers[0]));
	memcpy(value, headers[index].value.p, headers[index].value.n);
	headers[index].value.p = value;
	request.headers = headers;
	for (size_t i = 0; i < headers[index].value.n; i++) {
		char byte = value[i];

		for (unsigned bit = 0; bit < 8; bit += 7) {
			value[i] = (char)(byte ^ 1 << bit);
			expect_reject(v, &request, v->now_ms, "with a byte of a header changed");
		}
		value[i] = byte;
	}
}

static void cut_body(const struct vector *v)
{
	struct ks_hooksig_request request = v->request;

	if (request.body.n == 0)
		return;
	request.body.n--;
	expect_reject(v, &request, v->now_ms, "with the body cut");
	request.body.n = request.body.n / 2;
	expect_reject(v, &request, v->now_ms, "with half of the body");
	request.body.n = 0;
	expect_reject(v, &request, v->now_ms, "without the body");
}

static bool warns(const struct vector *v, enum ks_hooksig_warning warning)
{
	return ks_hooksig_warnings(v->compiled) >> warning & 1;
}

/* Bytes of these may change: the name of an authorization scheme, a signature of an unknown version beside a good one,
 * hexadecimal digits of either case, an address of another list. */
static bool is_loose(const struct vector *v, struct ks_str name)
{
	return has_text(v->id, "rotation") || has_text(v->id, "unknown-version") || has_text(v->id, "two-") ||
	       has_text(v->id, "list") || has_text(v->id, "mixed-") || ks_str_eq_nocase(name, KS_STR("X-Forwarded-For")) ||
	       ks_str_eq_nocase(name, KS_STR("Content-Type")) || ks_str_eq_nocase(name, KS_STR("Validation-Token")) ||
	       has_text(v->id, "on-two-lines") || has_text(v->id, "dictionary-member");
}

static void mutate(const struct vector *v)
{
	struct ks_hooksig_answer answer = decide(v, &v->request, v->now_ms);
	bool weak = warns(v, KS_HOOKSIG_BODY_NOT_COVERED) || warns(v, KS_HOOKSIG_STATIC_SECRET);
	bool timed = !warns(v, KS_HOOKSIG_NO_TIMESTAMP) && !warns(v, KS_HOOKSIG_STATIC_SECRET);

	if (answer.unauthenticated)
		return;
	for (size_t i = 0; i < v->request.header_count; i++) {
		double_header(v, i);
		if (matters(v, i) && !is_loose(v, v->headers[i].name))
			change_bytes(v, i);
	}
	if (!weak && !has_text(v->scheme, "mtls"))
		cut_body(v);
	if (timed && !has_text(v->scheme, "mtls")) {
		expect_reject(v, &v->request, v->now_ms + INT64_C(400000000000), "far in the future");
		expect_reject(v, &v->request, v->now_ms - INT64_C(400000000000), "far in the past");
	}
}

/* ---- backwards ---- */

/* Signs the request anew, without the headers that this makes, and decides about the outcome. */
static void sign(const struct vector *v)
{
	static char bytes[(size_t)4 << 20];
	struct ks_buf room = KS_BUF(bytes);
	struct ks_hooksig_header made[KS_HOOKSIG_RESPONSE_HEADERS_MAX], headers[HEADERS_MAX];
	struct ks_hooksig_request request = v->request;
	size_t made_n, n = 0;

	if (ks_hooksig_sign(v->compiled, &request, KS_STR("msg_0123456789"), v->now_ms, &room, made, &made_n))
		return;
	for (size_t i = 0; i < v->request.header_count; i++) {
		bool replaced = false;

		for (size_t k = 0; k < made_n; k++)
			replaced |= ks_str_eq_nocase(v->headers[i].name, made[k].name);
		if (!replaced)
			headers[n++] = v->headers[i];
	}
	for (size_t k = 0; k < made_n; k++)
		headers[n++] = made[k];
	request.headers = headers;
	request.header_count = n;
	signatures++;
	if (decide(v, &request, v->now_ms).code != KS_HOOKSIG_OK)
		fail(v, "signed backwards", "refused");
}

static void run(struct vector *v, const json_t *json, const json_t *forms)
{
	v->id = json_string_value(json_object_get(json, "id"));
	v->level = json_string_value(json_object_get(json, "level"));
	v->scheme = json_string_value(json_object_get(json, "scheme"));
	v->accept = strcmp(json_string_value(json_object_get(json, "expect")), "accept") == 0;
	v->now_ms = (int64_t)json_integer_value(json_object_get(json, "now")) * 1000;
	v->params = json_object_get(json, "params");
	v->response = json_object_get(json, "response");
	read_request(v, json_object_get(json, "request"));
	if (strcmp(v->level, "may") == 0 || !compile(v, forms))
		return;
	check(v);
	if (v->accept) {
		mutate(v);
		sign(v);
	}
	ks_hooksig_free(v->compiled);
}

/* Each form for itself, as it is when a platform file is read. */
static void check_forms(const json_t *forms)
{
	void *at = json_object_iter((json_t *)(uintptr_t)forms);

	for (; at; at = json_object_iter_next((json_t *)(uintptr_t)forms, at)) {
		char *form = json_dumps(json_object_iter_value(at), JSON_COMPACT);
		struct ks_hooksig_scheme *scheme = NULL;
		struct ks_hooksig_problem problem;
		struct vector v = {.id = json_object_iter_key(at), .level = "form"};

		if (ks_hooksig_compile(ks_str_c(form), KS_STR(""), &problem, &scheme))
			fail(&v, problem.pointer, problem.text);
		ks_hooksig_free(scheme);
		free(form);
	}
}

int main(int argc, char **argv)
{
	json_t *forms = argc == 3 ? json_load_file(argv[1], 0, NULL) : NULL;
	json_t *vectors = argc == 3 ? json_load_file(argv[2], 0, NULL) : NULL;
	char *body = malloc(BODY_MAX);

	room_bytes = malloc(ks_hooksig_room(BODY_MAX));
	if (!forms || !vectors || !body || !room_bytes)
		return 2;
	check_forms(forms);
	for (size_t i = 0; i < json_array_size(vectors); i++) {
		struct vector v = {.body = body};

		run(&v, json_array_get(vectors, i), forms);
	}
	printf("%zu vectors, %lu decisions, %lu signed, %lu wrong\n", json_array_size(vectors), decisions, signatures, failures);
	json_decref(forms);
	json_decref(vectors);
	free(body);
	free(room_bytes);
	return failures > 0;
}
