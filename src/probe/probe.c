/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/secret.h"
#include "probe/probe_priv.h"

#define ROOM_MAX ((size_t)80 << 10) /* bytes of all texts of a probe */

/* ---- codes ---- */

bool ks_probe_is_passing(enum ks_platform_code code)
{
	static const bool passing[KS_PLATFORM_CODE_COUNT] = {
		[KS_PLATFORM_CODE_THROTTLED] = true,   [KS_PLATFORM_CODE_UNAVAILABLE] = true, [KS_PLATFORM_CODE_UNREACHABLE] = true,
		[KS_PLATFORM_CODE_NAME_UNKNOWN] = true, [KS_PLATFORM_CODE_TIMED_OUT] = true,  [KS_PLATFORM_CODE_INTERNAL] = true,
	};

	return passing[code];
}

static const enum ks_platform_code of_fetch[KS_FETCH_RESULT_COUNT] = {
	[KS_FETCH_OK] = KS_PLATFORM_CODE_OK,
	[KS_FETCH_URL] = KS_PLATFORM_CODE_VALUE_UNUSABLE,
	[KS_FETCH_ADDRESS] = KS_PLATFORM_CODE_ADDRESS_REFUSED,
	[KS_FETCH_NAME] = KS_PLATFORM_CODE_NAME_UNKNOWN,
	[KS_FETCH_CONNECT] = KS_PLATFORM_CODE_UNREACHABLE,
	[KS_FETCH_TLS] = KS_PLATFORM_CODE_TLS_FAILED,
	[KS_FETCH_TIMEOUT] = KS_PLATFORM_CODE_TIMED_OUT,
	[KS_FETCH_TOO_LARGE] = KS_PLATFORM_CODE_UNEXPECTED_ANSWER,
	[KS_FETCH_BROKEN] = KS_PLATFORM_CODE_UNEXPECTED_ANSWER,
	[KS_FETCH_STOPPED] = KS_PLATFORM_CODE_INTERNAL,
	[KS_FETCH_MEMORY] = KS_PLATFORM_CODE_INTERNAL,
};

void ks_probe_fail(struct ks_probe_answer *answer, enum ks_platform_code code, const char *detail)
{
	answer->status = 0;
	answer->code = code;
	(void)snprintf(answer->detail, sizeof(answer->detail), "%s", detail);
}

void ks_probe_fail_fetch(struct ks_probe_answer *answer, enum ks_fetch_result fetched)
{
	ks_probe_fail(answer, of_fetch[fetched], ks_fetch_text(fetched));
	answer->is_stopped = fetched == KS_FETCH_STOPPED;
}

/* ---- texts ---- */

static enum ks_err render(const struct ks_probe_job *job, const struct ks_platform_template *text, struct ks_buf *room,
			  struct ks_str *ret_text, const struct ks_platform_field **missing)
{
	size_t at = room->n;

	if (text->part_count == 0)
		return KS_OK;
	KS_TRY(ks_platform_render(text, job->lookup, job->context, room, missing));
	*ret_text = ks_str_sub(ks_buf_str(room), at, room->n - at);
	return KS_OK;
}

static enum ks_err render_all(const struct ks_probe_job *job, struct ks_probe_texts *t, const struct ks_platform_field **missing)
{
	const struct ks_platform_probe *probe = job->platform->probe;

	for (int i = 0; i < KS_PLATFORM_PROBE_TEXT_COUNT; i++)
		KS_TRY(render(job, &probe->texts[i], &t->room, &t->text[i], missing));
	for (size_t i = 0; i < probe->header_count; i++)
		KS_TRY(render(job, &probe->headers[i].value, &t->room, &t->headers[i], missing));
	for (size_t i = 0; i < probe->parameter_count; i++)
		KS_TRY(render(job, &probe->parameters[i].value, &t->room, &t->parameters[i], missing));
	return KS_OK;
}

/* ---- one probe ---- */

static bool read_port(const struct ks_probe_texts *t, uint16_t *ret_port)
{
	struct ks_str text = t->text[KS_PLATFORM_PROBE_TEXT_PORT];
	uint64_t port = 0;

	if (!ks_str_empty(text) && (!ks_str_to_u64(text, UINT16_MAX, &port) || port == 0))
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static bool read_transport(const struct ks_probe_texts *t, enum ks_fetch_transport *ret_transport)
{
	static const char *const names[] = {"udp", "tcp", "tls"};
	struct ks_str text = t->text[KS_PLATFORM_PROBE_TEXT_TRANSPORT];

	*ret_transport = KS_FETCH_UDP;
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		if (ks_str_eq_nocase(text, ks_str_c(names[i]))) {
			*ret_transport = (enum ks_fetch_transport)i;
			return true;
		}
	}
	return ks_str_empty(text);
}

static void run_sip(struct ks_fetch *fetch, const struct ks_platform_probe *probe, const struct ks_probe_texts *t,
		    unsigned timeout_ms, struct ks_probe_answer *answer)
{
	struct ks_probe_sip sip = {
		.is_register = probe->kind == KS_PLATFORM_PROBE_SIP_REGISTER,
		.host = t->text[KS_PLATFORM_PROBE_TEXT_HOST],
		.domain = t->text[KS_PLATFORM_PROBE_TEXT_DOMAIN],
		.user = t->text[KS_PLATFORM_PROBE_TEXT_USER],
		.auth_user = t->text[KS_PLATFORM_PROBE_TEXT_AUTH_USER],
		.password = t->text[KS_PLATFORM_PROBE_TEXT_PASSWORD],
	};

	if (!read_port(t, &sip.port) || !read_transport(t, &sip.transport))
		ks_probe_fail(answer, KS_PLATFORM_CODE_VALUE_UNUSABLE, "port or transport");
	else
		ks_probe_sip(fetch, &sip, timeout_ms, answer);
}

static void run_connect(struct ks_fetch *fetch, const struct ks_platform_probe *probe, const struct ks_probe_texts *t,
			unsigned timeout_ms, struct ks_probe_answer *answer)
{
	enum ks_fetch_transport transport = probe->kind == KS_PLATFORM_PROBE_TLS ? KS_FETCH_TLS_OVER_TCP : KS_FETCH_TCP;
	struct ks_fetch_line *line = NULL;
	enum ks_fetch_result fetched;
	uint16_t port;

	if (!read_port(t, &port) || port == 0) {
		ks_probe_fail(answer, KS_PLATFORM_CODE_VALUE_UNUSABLE, "port");
		return;
	}
	fetched = ks_fetch_line_open(fetch, t->text[KS_PLATFORM_PROBE_TEXT_HOST], port, transport, timeout_ms, &line);
	if (fetched != KS_FETCH_OK)
		ks_probe_fail_fetch(answer, fetched);
	else
		ks_probe_fail(answer, KS_PLATFORM_CODE_OK, "");
	ks_fetch_line_close(&line);
}

static void conclude(const struct ks_probe_job *job, const struct ks_probe_answer *answer, struct ks_str body,
		     struct ks_probe_result *result)
{
	const struct ks_platform_probe *probe = job->platform->probe;
	bool is_sip = probe->kind == KS_PLATFORM_PROBE_SIP_OPTIONS || probe->kind == KS_PLATFORM_PROBE_SIP_REGISTER;
	struct ks_platform_verdict verdict = {.health = ks_platform_code_health(answer->code), .code = answer->code};

	result->is_stopped = answer->is_stopped;
	result->answer = answer->status;
	(void)snprintf(result->detail, sizeof(result->detail), "%s", answer->detail);
	if (answer->status) {
		ks_platform_judge(probe, answer->status, body, &verdict);
		(void)snprintf(result->detail, sizeof(result->detail), "%s %u", is_sip ? "SIP" : "HTTP", answer->status);
	}
	result->health = verdict.health;
	result->code = verdict.code;
	result->fields = verdict.fields;
	result->passing = ks_probe_is_passing(verdict.code);
}

static void carry_out(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_texts *t,
		      struct ks_probe_result *result)
{
	const struct ks_platform_probe *probe = job->platform->probe;
	unsigned timeout_ms = probe->timeout_ms ? probe->timeout_ms : job->timeout_ms ? job->timeout_ms : KS_PROBE_TIMEOUT_MS;
	struct ks_fetch_response response = {0};
	struct ks_probe_answer answer = {.code = KS_PLATFORM_CODE_OK};

	timeout_ms = KS_MIN(timeout_ms, KS_PROBE_TIMEOUT_MAX_MS);
	switch (probe->kind) {
	case KS_PLATFORM_PROBE_SIP_OPTIONS:
	case KS_PLATFORM_PROBE_SIP_REGISTER:
		run_sip(fetch, probe, t, timeout_ms, &answer);
		break;
	case KS_PLATFORM_PROBE_HTTP:
		ks_probe_http(fetch, job, t, timeout_ms, &response, &answer);
		break;
	case KS_PLATFORM_PROBE_OAUTH:
		ks_probe_oauth(fetch, job, t, timeout_ms, &response, &answer);
		break;
	case KS_PLATFORM_PROBE_TCP:
	case KS_PLATFORM_PROBE_TLS:
		run_connect(fetch, probe, t, timeout_ms, &answer);
		break;
	case KS_PLATFORM_PROBE_READABLE:
	case KS_PLATFORM_PROBE_KIND_COUNT:
		break;
	}
	conclude(job, &answer, ks_str_of(response.body, response.body_n), result);
	ks_fetch_response_free(&response);
}

static void put_code(const struct ks_probe_job *job, enum ks_platform_code code, const struct ks_platform_field *field,
		     struct ks_probe_result *result)
{
	*result = (struct ks_probe_result){
		.health = ks_platform_code_health(code),
		.code = code,
		.fields = field ? UINT32_C(1) << ks_platform_field_at(job->platform, field) : 0,
		.passing = ks_probe_is_passing(code),
	};
}

void ks_probe_run(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_result *ret_result)
{
	struct ks_probe_texts t = {0};
	struct ks_secret room = {0};
	const struct ks_platform_field *missing = NULL;
	enum ks_err err;

	put_code(job, KS_PLATFORM_CODE_NOT_PROBED, NULL, ret_result);
	if (!job->platform->probe)
		return;
	err = ks_secret_new(&room, ROOM_MAX);
	if (err == KS_OK) {
		t.room = ks_buf_of((char *)room.bytes, room.cap);
		err = render_all(job, &t, &missing);
	}
	if (err == KS_OK)
		carry_out(fetch, job, &t, ret_result);
	else if (err == KS_NOT_FOUND)
		put_code(job, KS_PLATFORM_CODE_INCOMPLETE, missing, ret_result);
	else
		put_code(job, err == KS_MALFORMED || err == KS_TOO_LARGE ? KS_PLATFORM_CODE_VALUE_UNUSABLE : KS_PLATFORM_CODE_INTERNAL,
			 missing, ret_result);
	/* Of a buffer that ran over nobody knows how far it was written. */
	ks_secret_free_used(&room, ks_buf_ok(&t.room) ? t.room.n : room.cap);
}
