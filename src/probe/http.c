/* SPDX-License-Identifier: Apache-2.0 */
/* Probes by HTTP: a request with the credential, and a token by the client's credentials. */
#include <stdio.h>

#include "base/buf.h"
#include "base/ctenc.h"
#include "base/json.h"
#include "base/secret.h"
#include "probe/probe_priv.h"

#define BODY_MAX 65536u
#define FORM_MAX 12288u

static enum ks_probe_outcome judge_status(int status)
{
	if (status >= 200 && status < 300)
		return KS_PROBE_IS_OK;
	if (status == 401 || status == 403)
		return KS_PROBE_IS_AUTH_REFUSED;
	if (status == 408)
		return KS_PROBE_IS_TIMEOUT;
	if (status == 429)
		return KS_PROBE_IS_THROTTLED;
	return status >= 500 ? KS_PROBE_IS_PLATFORM_ERROR : KS_PROBE_IS_WRONG_ANSWER;
}

static enum ks_probe_outcome judge(const struct ks_probe_http *p, int status)
{
	enum ks_probe_outcome outcome = judge_status(status);

	for (size_t i = 0; i < p->expected_count; i++) {
		if (status == p->expected[i])
			return KS_PROBE_IS_OK;
	}
	return p->expected_count > 0 && outcome == KS_PROBE_IS_OK ? KS_PROBE_IS_WRONG_ANSWER : outcome;
}

static bool has_member(struct ks_str body, struct ks_str name)
{
	struct ks_str value;

	return ks_json_check(body) && ks_json_member(body, name, &value) && ks_json_kind(value) == '"' && value.n > 2;
}

void ks_probe_http(struct ks_fetch *fetch, const struct ks_probe_http *p, unsigned timeout_ms, struct ks_probe_result *ret_result)
{
	struct ks_fetch_request request = p->request;
	struct ks_fetch_response response;
	enum ks_fetch_result fetched;

	*ret_result = (struct ks_probe_result){.outcome = KS_PROBE_IS_OK};
	request.timeout_ms = KS_MIN(timeout_ms, KS_PROBE_TIMEOUT_MAX_MS);
	request.body_max = BODY_MAX;
	fetched = ks_fetch_do(fetch, &request, &response);
	/* What the answer says beyond its status is looked at only where a member is asked for. */
	if (fetched == KS_FETCH_TOO_LARGE)
		ks_probe_put(ret_result, KS_PROBE_IS_WRONG_ANSWER, "the answer is larger than 64 KiB");
	else if (fetched != KS_FETCH_OK)
		ks_probe_put_fetched(ret_result, fetched);
	else
		ks_probe_put_answer(ret_result, judge(p, response.status), "HTTP", response.status);
	if (fetched == KS_FETCH_OK && ret_result->outcome == KS_PROBE_IS_OK && p->member.n
	    && !has_member(ks_str_of(response.body, response.body_n), p->member))
		ks_probe_put(ret_result, KS_PROBE_IS_WRONG_ANSWER, "the answer lacks the member that it should have");
	ks_fetch_response_free(&response);
}

/* ---- OAuth ---- */

/* application/x-www-form-urlencoded. */
static void put_form(struct ks_buf *to, struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '*')
			ks_buf_put_byte(to, (char)c);
		else
			ks_buf_printf(to, "%%%02X", c);
	}
}

/* RFC 6749, 2.3.1: both are form-encoded first. */
static void put_basic(struct ks_buf *to, struct ks_str id, struct ks_str secret)
{
	char pair[FORM_MAX / 2];
	struct ks_buf b = KS_BUF(pair);
	size_t n;

	put_form(&b, id);
	ks_buf_put_c(&b, ":");
	put_form(&b, secret);
	ks_buf_put_c(to, "Basic ");
	n = ks_base64_encode((const unsigned char *)b.p, b.n, to->p + to->n, to->cap - to->n);
	to->n += n;
	to->overflow = to->overflow || b.overflow || n == 0;
	ks_wipe(pair, sizeof(pair));
}

static void put_body(struct ks_buf *to, const struct ks_probe_oauth *p)
{
	ks_buf_put_c(to, "grant_type=client_credentials");
	if (p->in_body) {
		ks_buf_put_c(to, "&client_id=");
		put_form(to, p->client_id);
		ks_buf_put_c(to, "&client_secret=");
		put_form(to, p->client_secret);
	}
	if (p->scope.n) {
		ks_buf_put_c(to, "&scope=");
		put_form(to, p->scope);
	}
	if (p->extra.n) {
		ks_buf_put_c(to, "&");
		ks_buf_put(to, p->extra);
	}
}

/* RFC 6749, 5.2: refusals come as 400 as well, told apart by the member "error". */
static void look_at_error(const struct ks_fetch_response *response, struct ks_probe_result *result)
{
	static const char *const refusals[] = {"invalid_client", "unauthorized_client", "invalid_grant", "access_denied"};
	struct ks_str body = ks_str_of(response->body, response->body_n), error;

	if (response->status != 400 || !ks_json_check(body) || !ks_json_member(body, KS_STR("error"), &error))
		return;
	for (size_t i = 0; i < KS_ARRAY_LEN(refusals); i++) {
		if (ks_json_string_is(error, ks_str_c(refusals[i]))) {
			result->outcome = KS_PROBE_IS_AUTH_REFUSED;
			(void)snprintf(result->detail, sizeof(result->detail), "HTTP 400 %s", refusals[i]);
		}
	}
}

static void ask_token(struct ks_fetch *fetch, const struct ks_fetch_request *request, struct ks_probe_result *result)
{
	struct ks_fetch_response response;
	enum ks_fetch_result fetched = ks_fetch_do(fetch, request, &response);

	if (fetched != KS_FETCH_OK) {
		ks_probe_put_fetched(result, fetched);
	} else {
		ks_probe_put_answer(result, judge_status(response.status), "HTTP", response.status);
		look_at_error(&response, result);
		if (result->outcome == KS_PROBE_IS_OK && !has_member(ks_str_of(response.body, response.body_n), KS_STR("access_token")))
			ks_probe_put(result, KS_PROBE_IS_WRONG_ANSWER, "the answer has no access_token");
	}
	ks_fetch_response_free(&response);
}

void ks_probe_oauth(struct ks_fetch *fetch, const struct ks_probe_oauth *p, unsigned timeout_ms, struct ks_probe_result *ret_result)
{
	char body[FORM_MAX * 2], basic[FORM_MAX];
	struct ks_buf b = KS_BUF(body), a = KS_BUF(basic);
	struct ks_fetch_request request = {
		.method = "POST",
		.url = p->token_url,
		.headers = {{KS_STR("Content-Type"), KS_STR("application/x-www-form-urlencoded")},
			    {KS_STR("Accept"), KS_STR("application/json")}},
		.header_count = 2,
		.body_max = BODY_MAX,
		.timeout_ms = KS_MIN(timeout_ms, KS_PROBE_TIMEOUT_MAX_MS),
	};

	*ret_result = (struct ks_probe_result){.outcome = KS_PROBE_IS_OK};
	put_body(&b, p);
	if (!p->in_body) {
		put_basic(&a, p->client_id, p->client_secret);
		request.headers[request.header_count++] = (struct ks_fetch_header){KS_STR("Authorization"), ks_buf_str(&a)};
	}
	request.body = ks_buf_str(&b);
	if (ks_buf_ok(&a) && ks_buf_ok(&b))
		ask_token(fetch, &request, ret_result);
	else
		ks_probe_put(ret_result, KS_PROBE_IS_FIELD_INVALID, "client id or secret");
	ks_wipe(body, sizeof(body));
	ks_wipe(basic, sizeof(basic));
}
