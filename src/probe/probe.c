/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "probe/probe_priv.h"

static const char *const states[] = {
	[KS_PROBE_HEALTHY] = "healthy",
	[KS_PROBE_DEGRADED] = "degraded",
	[KS_PROBE_FAILING] = "failing",
	[KS_PROBE_UNKNOWN] = "unknown",
};

struct outcome {
	const char *code;
	enum ks_probe_state state;
	bool passing;
	const char *text, *advice;
};

static const struct outcome outcomes[] = {
#define KS_PROBE_OUTCOME(name, code, state, passing, text, advice) {code, KS_PROBE_##state, passing, text, advice},
#include "probe/outcomes.def"
#undef KS_PROBE_OUTCOME
};

const char *ks_probe_state_name(enum ks_probe_state state)
{
	return states[state];
}

bool ks_probe_state_parse(struct ks_str text, enum ks_probe_state *ret_state)
{
	for (int i = 0; i < KS_PROBE_STATE_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(states[i]))) {
			*ret_state = (enum ks_probe_state)i;
			return true;
		}
	}
	return false;
}

const char *ks_probe_code(enum ks_probe_outcome outcome)
{
	return outcomes[outcome].code;
}

const char *ks_probe_text(enum ks_probe_outcome outcome)
{
	return outcomes[outcome].text;
}

const char *ks_probe_advice(enum ks_probe_outcome outcome)
{
	return outcomes[outcome].advice;
}

enum ks_probe_state ks_probe_state_of(enum ks_probe_outcome outcome)
{
	return outcomes[outcome].state;
}

bool ks_probe_is_passing(enum ks_probe_outcome outcome)
{
	return outcomes[outcome].passing;
}

bool ks_probe_code_parse(struct ks_str code, enum ks_probe_outcome *ret_outcome)
{
	for (int i = 0; i < KS_PROBE_OUTCOME_COUNT; i++) {
		if (ks_str_eq(code, ks_str_c(outcomes[i].code))) {
			*ret_outcome = (enum ks_probe_outcome)i;
			return true;
		}
	}
	return false;
}

static const enum ks_probe_outcome of_fetch[KS_FETCH_RESULT_COUNT] = {
	[KS_FETCH_OK] = KS_PROBE_IS_OK,
	[KS_FETCH_URL] = KS_PROBE_IS_FIELD_INVALID,
	[KS_FETCH_ADDRESS] = KS_PROBE_IS_ADDRESS_REFUSED,
	[KS_FETCH_NAME] = KS_PROBE_IS_DNS_FAILED,
	[KS_FETCH_CONNECT] = KS_PROBE_IS_CONNECTION_REFUSED,
	[KS_FETCH_TLS] = KS_PROBE_IS_TLS_FAILED,
	[KS_FETCH_TIMEOUT] = KS_PROBE_IS_TIMEOUT,
	[KS_FETCH_TOO_LARGE] = KS_PROBE_IS_WRONG_ANSWER,
	[KS_FETCH_BROKEN] = KS_PROBE_IS_WRONG_ANSWER,
	[KS_FETCH_STOPPED] = KS_PROBE_IS_INTERNAL,
	[KS_FETCH_MEMORY] = KS_PROBE_IS_INTERNAL,
};

enum ks_probe_outcome ks_probe_outcome_of(enum ks_fetch_result result)
{
	return of_fetch[result];
}

/* ---- results ---- */

void ks_probe_put(struct ks_probe_result *result, enum ks_probe_outcome outcome, const char *detail)
{
	result->outcome = outcome;
	(void)snprintf(result->detail, sizeof(result->detail), "%s", detail);
}

void ks_probe_put_fetched(struct ks_probe_result *result, enum ks_fetch_result fetched)
{
	ks_probe_put(result, of_fetch[fetched], ks_fetch_text(fetched));
	result->is_stopped = fetched == KS_FETCH_STOPPED;
}

void ks_probe_put_answer(struct ks_probe_result *result, enum ks_probe_outcome outcome, const char *protocol, int status)
{
	result->outcome = outcome;
	result->answer = status;
	(void)snprintf(result->detail, sizeof(result->detail), "%s %d", protocol, status);
}

void ks_probe_connect(struct ks_fetch *fetch, struct ks_str host, uint16_t port, enum ks_fetch_transport transport,
		      unsigned timeout_ms, struct ks_probe_result *ret_result)
{
	struct ks_fetch_line *line = NULL;
	enum ks_fetch_result fetched =
		ks_fetch_line_open(fetch, host, port, transport, KS_MIN(timeout_ms, KS_PROBE_TIMEOUT_MAX_MS), &line);

	*ret_result = (struct ks_probe_result){.outcome = KS_PROBE_IS_OK};
	if (fetched != KS_FETCH_OK)
		ks_probe_put_fetched(ret_result, fetched);
	ks_fetch_line_close(&line);
}
