/* SPDX-License-Identifier: Apache-2.0 */
/* A SIP request and its answer: a client transaction of RFC 3261, 17.1.2, that lives no longer than one call. */
#include <stdlib.h>

#include "base/secret.h"
#include "crypto/random.h"
#include "probe/probe_priv.h"
#include "probe/sip_message.h"

#define T1_MS 500u
#define T2_MS 4000u
#define ROUNDS_MAX 3 /* without credentials, with them, and once more where the nonce had grown old */
#define CREDENTIALS_MAX 3072

struct exchange {
	struct ks_fetch_line *line;
	bool is_datagram;
	struct ks_sip_request request;
	char domain[KS_FETCH_HOST_MAX + 3];
	char own[KS_ADDR_TEXT_SIZE + 16];
	char branch[KS_SIP_ID_SIZE], tag[KS_SIP_ID_SIZE], call_id[KS_SIP_ID_SIZE], client_nonce[KS_SIP_ID_SIZE];
	char sent[KS_SIP_MESSAGE_MAX];
	char received[KS_SIP_MESSAGE_MAX];
	size_t received_n;
};

static const struct transport {
	const char *name;
	uint16_t port;
} transports[] = {
	[KS_FETCH_UDP] = {"UDP", 5060},
	[KS_FETCH_TCP] = {"TCP", 5060},
	[KS_FETCH_TLS_OVER_TCP] = {"TLS", 5061},
};

static bool new_id(char ret_text[KS_SIP_ID_SIZE])
{
	uint8_t bytes[16];
	struct ks_buf b = ks_buf_of(ret_text, KS_SIP_ID_SIZE);

	if (ks_random(bytes, sizeof(bytes)) != KS_OK)
		return false;
	ks_buf_put_hex(&b, bytes, sizeof(bytes));
	return ks_buf_z(&b)[0] != '\0';
}

static bool domain_ok(struct ks_str domain)
{
	for (size_t i = 0; i < domain.n; i++) {
		char c = domain.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'
		      || c == ':'))
			return false;
	}
	return domain.n > 0 && domain.n <= KS_FETCH_HOST_MAX;
}

static bool user_ok(struct ks_str user)
{
	return user.n <= KS_PROBE_USER_MAX && !ks_str_has_control(user);
}

/* An IPv6 address stands in brackets in a URI. */
static void write_domain(struct exchange *x, struct ks_str domain)
{
	struct ks_buf b = KS_BUF(x->domain);
	bool is_v6 = ks_str_find(domain, ':') != SIZE_MAX;

	ks_buf_put_c(&b, is_v6 ? "[" : "");
	ks_buf_put(&b, domain);
	ks_buf_put_c(&b, is_v6 ? "]" : "");
	x->request.domain = ks_buf_str(&b);
}

static void write_own(struct exchange *x)
{
	struct ks_addr addr;
	uint16_t port;
	char text[KS_ADDR_TEXT_SIZE];
	struct ks_buf b = KS_BUF(x->own);
	bool is_v6;

	ks_fetch_line_own(x->line, &addr, &port);
	ks_addr_format(&addr, text);
	is_v6 = ks_str_find(ks_str_c(text), ':') != SIZE_MAX;
	ks_buf_printf(&b, "%s%s%s:%u", is_v6 ? "[" : "", text, is_v6 ? "]" : "", port);
	x->request.own = ks_buf_str(&b);
}

static enum ks_platform_code code_of(enum ks_err err)
{
	return err == KS_MALFORMED || err == KS_TOO_LARGE ? KS_PLATFORM_CODE_VALUE_UNUSABLE : KS_PLATFORM_CODE_INTERNAL;
}

/* ---- one round: a request and its final answer ---- */

static enum ks_fetch_result send_request(struct exchange *x, size_t n)
{
	return ks_fetch_line_send(x->line, ks_str_of(x->sent, n));
}

static void drop(struct exchange *x, size_t n)
{
	memmove(x->received, x->received + n, x->received_n - n);
	x->received_n -= n;
}

/* Looks at what has come. KS_NOT_FOUND: more is needed. */
static enum ks_err look(struct exchange *x, struct ks_sip_answer *ret_answer)
{
	while (x->received_n > 0) {
		size_t n = x->received_n;
		enum ks_err err = KS_OK;

		if (!x->is_datagram)
			err = ks_sip_frame(ks_str_of(x->received, x->received_n), &n);
		if (err == KS_OK)
			err = ks_sip_read(ks_str_of(x->received, n), &x->request, ret_answer);
		else
			return err;
		drop(x, n);
		if (err == KS_OK && ret_answer->status >= 200)
			return KS_OK;
		/* Anybody may send us datagrams: what is not an answer is as if it had not come. */
		if (err != KS_OK && err != KS_NOT_FOUND && !x->is_datagram)
			return err;
	}
	return KS_NOT_FOUND;
}

static enum ks_fetch_result receive(struct exchange *x, unsigned wait_ms)
{
	size_t n = 0;
	enum ks_fetch_result result = ks_fetch_line_receive(x->line, wait_ms, x->received + x->received_n,
							    sizeof(x->received) - x->received_n, &n);

	if (result != KS_FETCH_OK)
		return result;
	x->received_n += n;
	return n > 0 || x->is_datagram ? KS_FETCH_OK : KS_FETCH_BROKEN;
}

/* False: *ret_failure says why there is no answer. */
static bool round_trip(struct exchange *x, size_t n, struct ks_sip_answer *ret_answer, struct ks_probe_answer *ret_failure)
{
	unsigned wait_ms = x->is_datagram ? T1_MS : KS_PROBE_TIMEOUT_MAX_MS;
	enum ks_fetch_result fetched = send_request(x, n);

	while (fetched == KS_FETCH_OK) {
		enum ks_err err;

		fetched = receive(x, wait_ms);
		if (fetched == KS_FETCH_TIMEOUT && x->is_datagram && !ks_fetch_line_is_over(x->line)) {
			wait_ms = KS_MIN(wait_ms * 2, T2_MS);
			fetched = send_request(x, n);
			continue;
		}
		if (fetched != KS_FETCH_OK)
			break;
		err = look(x, ret_answer);
		if (err == KS_OK)
			return true;
		if (err != KS_NOT_FOUND) {
			ks_probe_fail(ret_failure, err == KS_MEMORY ? KS_PLATFORM_CODE_INTERNAL : KS_PLATFORM_CODE_UNEXPECTED_ANSWER,
				      "what came is no SIP answer");
			return false;
		}
	}
	ks_probe_fail_fetch(ret_failure, fetched);
	return false;
}

/* ---- rounds ---- */

static bool may_answer(const struct ks_probe_sip *p, const struct ks_sip_answer *answer, unsigned round)
{
	if (!answer->has_challenge || ks_str_empty(p->password))
		return false;
	return round == 0 || (round == 1 && answer->challenge.is_stale);
}

/* Writes the next request into x->sent; `challenge`: what it answers, or NULL. */
static enum ks_err next_request(struct exchange *x, const struct ks_probe_sip *p, const struct ks_sip_answer *answer, size_t *ret_n)
{
	char credentials[CREDENTIALS_MAX];
	struct ks_buf c = KS_BUF(credentials), sent = KS_BUF(x->sent);
	enum ks_err err = KS_OK;

	if (!new_id(x->branch) || !new_id(x->client_nonce))
		return KS_SYSTEM;
	x->request.sequence++;
	x->request.credentials = KS_STR("");
	if (answer) {
		err = ks_sip_write_credentials(&x->request, &answer->challenge, ks_str_empty(p->auth_user) ? p->user : p->auth_user,
					       p->password, x->client_nonce, &c);
		x->request.credentials = ks_buf_str(&c);
		x->request.to_proxy = answer->status == 407;
	}
	if (err == KS_OK)
		err = ks_sip_write(&x->request, &sent);
	x->request.credentials = KS_STR("");
	ks_wipe(credentials, sizeof(credentials));
	*ret_n = sent.n;
	return err;
}

static void run_rounds(struct exchange *x, const struct ks_probe_sip *p, struct ks_probe_answer *ret_answer)
{
	struct ks_sip_answer answer = {0};
	bool with_credentials = false;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		size_t n = 0;
		enum ks_err err = next_request(x, p, with_credentials ? &answer : NULL, &n);

		if (err != KS_OK) {
			ks_probe_fail(ret_answer, code_of(err), "the request could not be written");
			return;
		}
		if (!round_trip(x, n, &answer, ret_answer))
			return;
		with_credentials = may_answer(p, &answer, round);
		if (!with_credentials)
			break;
	}
	ret_answer->status = (unsigned)answer.status;
}

static void begin(struct exchange *x, const struct ks_probe_sip *p, struct ks_fetch_line *line)
{
	x->line = line;
	x->is_datagram = p->transport == KS_FETCH_UDP;
	x->request = (struct ks_sip_request){
		.method = p->is_register ? "REGISTER" : "OPTIONS",
		.transport = transports[p->transport].name,
		.user = ks_str_empty(p->user) ? KS_STR("keystile") : p->user,
		.branch = x->branch,
		.tag = x->tag,
		.call_id = x->call_id,
	};
	write_domain(x, ks_str_empty(p->domain) ? p->host : p->domain);
	write_own(x);
}

void ks_probe_sip(struct ks_fetch *fetch, const struct ks_probe_sip *p, unsigned timeout_ms, struct ks_probe_answer *ret_answer)
{
	uint16_t port = p->port ? p->port : transports[p->transport].port;
	struct ks_fetch_line *line = NULL;
	struct exchange *x;
	enum ks_fetch_result fetched;

	ks_probe_fail(ret_answer, KS_PLATFORM_CODE_INTERNAL, "");
	if (!user_ok(p->user) || !user_ok(p->auth_user) || (!ks_str_empty(p->domain) && !domain_ok(p->domain))) {
		ks_probe_fail(ret_answer, KS_PLATFORM_CODE_VALUE_UNUSABLE, "user or domain");
		return;
	}
	fetched = ks_fetch_line_open(fetch, p->host, port, p->transport, KS_MIN(timeout_ms, KS_PROBE_TIMEOUT_MAX_MS), &line);
	if (fetched != KS_FETCH_OK) {
		ks_probe_fail_fetch(ret_answer, fetched);
		return;
	}
	x = calloc(1, sizeof(*x));
	if (x && new_id(x->tag) && new_id(x->call_id)) {
		begin(x, p, line);
		run_rounds(x, p, ret_answer);
	}
	if (x)
		ks_wipe(x, sizeof(*x));
	free(x);
	ks_fetch_line_close(&line);
}
