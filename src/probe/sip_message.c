/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/sip_message.h"

#include <osipparser2/osip_parser.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/secret.h"

#define CHALLENGES_MAX 8

static pthread_once_t parser_once = PTHREAD_ONCE_INIT;

/* Whoever writes to the log, it is not a stranger's message. */
static void say_nothing(const char *file, int line, osip_trace_level_t level, const char *text, va_list args)
{
	(void)file;
	(void)line;
	(void)level;
	(void)text;
	(void)args;
}

static void init_parser(void)
{
	osip_trace_initialize_func(END_TRACE_LEVEL, say_nothing);
	(void)parser_init();
}

/* ---- writing ---- */

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'
	       || c == '!' || c == '~' || c == '*' || c == '\'' || c == '(' || c == ')' || c == '+';
}

/* RFC 3261, 25.1: the user of a SIP URI. */
static void put_user(struct ks_buf *to, struct ks_str user)
{
	for (size_t i = 0; i < user.n; i++) {
		if (is_unreserved(user.p[i]))
			ks_buf_put_byte(to, user.p[i]);
		else
			ks_buf_printf(to, "%%%02X", (unsigned)(unsigned char)user.p[i]);
	}
}

static void put_address_of_record(struct ks_buf *to, const struct ks_sip_request *r)
{
	ks_buf_put_c(to, "sip:");
	put_user(to, r->user);
	ks_buf_put_c(to, "@");
	ks_buf_put(to, r->domain);
}

void ks_sip_write_uri(const struct ks_sip_request *r, struct ks_buf *to)
{
	ks_buf_put_c(to, "sip:");
	ks_buf_put(to, r->domain);
}

static bool set_request_line(osip_message_t *m, const struct ks_sip_request *r)
{
	char text[KS_SIP_TEXT_MAX];
	struct ks_buf b = KS_BUF(text);
	osip_uri_t *uri = NULL;

	ks_sip_write_uri(r, &b);
	osip_message_set_method(m, osip_strdup(r->method));
	osip_message_set_version(m, osip_strdup("SIP/2.0"));
	if (osip_uri_init(&uri) != OSIP_SUCCESS)
		return false;
	osip_message_set_uri(m, uri);
	return osip_uri_parse(uri, ks_buf_z(&b)) == OSIP_SUCCESS && ks_buf_ok(&b);
}

static bool set_route(osip_message_t *m, const struct ks_sip_request *r)
{
	char text[KS_SIP_TEXT_MAX * 4];
	struct ks_buf b = KS_BUF(text);
	bool ok;

	ks_buf_printf(&b, "SIP/2.0/%s %.*s;branch=z9hG4bK%s;rport", r->transport, KS_STR_ARG(r->own), r->branch);
	ok = osip_message_set_via(m, ks_buf_z(&b)) == OSIP_SUCCESS && ks_buf_ok(&b);
	b.n = 0;
	ks_buf_put_c(&b, "<");
	put_address_of_record(&b, r);
	ks_buf_put_c(&b, ">");
	ok = ok && osip_message_set_to(m, ks_buf_z(&b)) == OSIP_SUCCESS;
	ks_buf_printf(&b, ";tag=%s", r->tag);
	return ok && osip_message_set_from(m, ks_buf_z(&b)) == OSIP_SUCCESS && ks_buf_ok(&b);
}

static bool set_headers(osip_message_t *m, const struct ks_sip_request *r)
{
	char text[64];
	struct ks_buf b = KS_BUF(text);
	char credentials[KS_SIP_TEXT_MAX * 8];
	struct ks_buf c = KS_BUF(credentials);
	bool ok;

	ks_buf_printf(&b, "%u %s", r->sequence, r->method);
	ks_buf_put(&c, r->credentials);
	ok = osip_message_set_call_id(m, r->call_id) == OSIP_SUCCESS && osip_message_set_cseq(m, ks_buf_z(&b)) == OSIP_SUCCESS
	     && osip_message_set_header(m, "Max-Forwards", "70") == OSIP_SUCCESS
	     && osip_message_set_header(m, "User-Agent", "keystile") == OSIP_SUCCESS
	     && osip_message_set_header(m, "Accept", "application/sdp") == OSIP_SUCCESS && ks_buf_ok(&c);
	if (ok && r->credentials.n && r->to_proxy)
		ok = osip_message_set_proxy_authorization(m, ks_buf_z(&c)) == OSIP_SUCCESS;
	else if (ok && r->credentials.n)
		ok = osip_message_set_authorization(m, ks_buf_z(&c)) == OSIP_SUCCESS;
	ks_wipe(credentials, sizeof(credentials));
	return ok && osip_message_set_content_length(m, "0") == OSIP_SUCCESS;
}

enum ks_err ks_sip_write(const struct ks_sip_request *r, struct ks_buf *to)
{
	osip_message_t *m = NULL;
	char *text = NULL;
	size_t n = 0;
	bool ok;

	(void)pthread_once(&parser_once, init_parser);
	if (osip_message_init(&m) != OSIP_SUCCESS)
		return KS_MEMORY;
	ok = set_request_line(m, r) && set_route(m, r) && set_headers(m, r) && osip_message_to_str(m, &text, &n) == OSIP_SUCCESS;
	if (ok) {
		ks_buf_put(to, ks_str_of(text, n));
		ks_wipe(text, n);
	}
	osip_free(text);
	osip_message_free(m);
	if (!ok)
		return KS_MALFORMED;
	return ks_buf_ok(to) ? KS_OK : KS_TOO_LARGE;
}

static void put_quoted(struct ks_buf *to, const char *name, struct ks_str value)
{
	ks_buf_put_c(to, name);
	ks_buf_put_c(to, "=\"");
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			ks_buf_put_byte(to, '\\');
		ks_buf_put_byte(to, value.p[i]);
	}
	ks_buf_put_c(to, "\"");
}

enum ks_err ks_sip_write_credentials(const struct ks_sip_request *r, const struct ks_sip_challenge *challenge, struct ks_str user,
				     struct ks_str password, const char *client_nonce, struct ks_buf *to)
{
	char uri[KS_SIP_TEXT_MAX], response[KS_HTTP_DIGEST_HEX_SIZE];
	struct ks_buf u = KS_BUF(uri);
	struct ks_http_digest_input in = {
		.algorithm = challenge->algorithm,
		.user = user,
		.realm = ks_str_c(challenge->realm),
		.password = password,
		.method = ks_str_c(r->method),
		.nonce = ks_str_c(challenge->nonce),
		.client_nonce = challenge->has_qop ? ks_str_c(client_nonce) : KS_STR(""),
		.count = 1,
	};

	ks_sip_write_uri(r, &u);
	in.uri = ks_buf_str(&u);
	KS_TRY(ks_http_digest(&in, response));
	ks_buf_put_c(to, "Digest ");
	put_quoted(to, "username", user);
	put_quoted(to, ", realm", in.realm);
	put_quoted(to, ", nonce", in.nonce);
	put_quoted(to, ", uri", in.uri);
	put_quoted(to, ", response", ks_str_c(response));
	if (challenge->algorithm_text[0])
		ks_buf_printf(to, ", algorithm=%s", ks_http_digest_name(challenge->algorithm));
	if (challenge->has_qop)
		ks_buf_printf(to, ", cnonce=\"%s\", qop=auth, nc=00000001", client_nonce);
	if (challenge->opaque[0])
		put_quoted(to, ", opaque", ks_str_c(challenge->opaque));
	ks_wipe(response, sizeof(response));
	return ks_buf_ok(to) ? KS_OK : KS_TOO_LARGE;
}

/* ---- reading ---- */

/* What stands between the quotes, escapes undone (RFC 3261, 25.1). False: too long, or it would begin another line. */
static bool unquote(const char *quoted, char ret_text[KS_SIP_TEXT_MAX + 1])
{
	struct ks_str s = ks_str_trim(ks_str_c(quoted));
	struct ks_buf b = ks_buf_of(ret_text, KS_SIP_TEXT_MAX + 1);

	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		s = ks_str_sub(s, 1, s.n - 2);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		ks_buf_put_byte(&b, s.p[i]);
	}
	(void)ks_buf_z(&b);
	return ks_buf_ok(&b) && !ks_str_has_control(ks_str_c(ret_text));
}

/* A list such as "auth,auth-int". */
static bool offers_auth(const char *list)
{
	char text[KS_SIP_TEXT_MAX + 1];
	struct ks_str rest, item;

	if (!unquote(list, text))
		return false;
	rest = ks_str_c(text);
	while (ks_str_split(rest, ',', &item, &rest)) {
		if (ks_str_eq_nocase(ks_str_trim(item), KS_STR("auth")))
			return true;
	}
	return ks_str_eq_nocase(ks_str_trim(rest), KS_STR("auth"));
}

static bool read_challenge(const osip_www_authenticate_t *a, struct ks_sip_challenge *ret)
{
	struct ks_sip_challenge c = {.has_qop = a->qop_options && offers_auth(a->qop_options)};
	char algorithm[KS_SIP_TEXT_MAX + 1] = "", stale[KS_SIP_TEXT_MAX + 1] = "";
	struct ks_buf written = KS_BUF(c.algorithm_text);

	if (!a->auth_type || !ks_str_eq_nocase(ks_str_c(a->auth_type), KS_STR("Digest")) || !a->realm || !a->nonce
	    || (a->qop_options && !c.has_qop))
		return false;
	if (!unquote(a->realm, c.realm) || !unquote(a->nonce, c.nonce) || (a->opaque && !unquote(a->opaque, c.opaque))
	    || (a->algorithm && !unquote(a->algorithm, algorithm)) || (a->stale && !unquote(a->stale, stale)))
		return false;
	if (!ks_http_digest_parse(ks_str_c(algorithm), &c.algorithm))
		return false;
	ks_buf_put_c(&written, algorithm);
	(void)ks_buf_z(&written);
	c.is_stale = ks_str_eq_nocase(ks_str_c(stale), KS_STR("true"));
	*ret = c;
	return true;
}

static void read_challenges(const osip_message_t *m, struct ks_sip_answer *answer)
{
	const osip_list_t *list = answer->status == 407 ? &m->proxy_authenticates : &m->www_authenticates;
	struct ks_sip_challenge c;

	for (int i = 0; i < CHALLENGES_MAX; i++) {
		const osip_www_authenticate_t *a = osip_list_get(list, i);

		if (!a)
			break;
		if (!read_challenge(a, &c) || (answer->has_challenge && c.algorithm <= answer->challenge.algorithm))
			continue;
		answer->challenge = c;
		answer->has_challenge = true;
	}
}

static bool belongs_to(const osip_message_t *m, const struct ks_sip_request *r)
{
	char text[16], branch_name[] = "branch";
	struct ks_buf sequence = KS_BUF(text);
	osip_via_t *via = osip_list_get(&m->vias, 0);
	osip_generic_param_t *branch = NULL;
	struct ks_str value;

	ks_buf_put_u64(&sequence, r->sequence);
	if (!m->call_id || !m->call_id->number || !m->cseq || !m->cseq->number || !m->cseq->method || !via)
		return false;
	if (osip_via_param_get_byname(via, branch_name, &branch) != OSIP_SUCCESS || !branch || !branch->gvalue)
		return false;
	value = ks_str_c(branch->gvalue);
	return ks_str_starts(value, KS_STR("z9hG4bK")) && ks_str_eq(ks_str_sub(value, 7, value.n), ks_str_c(r->branch))
	       && ks_str_eq(ks_str_c(m->call_id->number), ks_str_c(r->call_id))
	       && ks_str_eq(ks_str_c(m->cseq->number), ks_buf_str(&sequence))
	       && ks_str_eq(ks_str_c(m->cseq->method), ks_str_c(r->method));
}

enum ks_err ks_sip_read(struct ks_str text, const struct ks_sip_request *r, struct ks_sip_answer *ret_answer)
{
	osip_message_t *m = NULL;
	struct ks_sip_answer answer = {0};
	enum ks_err err = KS_MALFORMED;

	(void)pthread_once(&parser_once, init_parser);
	if (text.n == 0 || text.n > KS_SIP_MESSAGE_MAX)
		return KS_MALFORMED;
	if (osip_message_init(&m) != OSIP_SUCCESS)
		return KS_MEMORY;
	if (osip_message_parse(m, text.p, text.n) == OSIP_SUCCESS) {
		answer.status = m->status_code;
		err = MSG_IS_RESPONSE(m) && belongs_to(m, r) ? KS_OK : KS_NOT_FOUND;
	}
	if (err == KS_OK && (answer.status < 100 || answer.status > 699))
		err = KS_MALFORMED;
	if (err == KS_OK && (answer.status == 401 || answer.status == 407))
		read_challenges(m, &answer);
	osip_message_free(m);
	if (err == KS_OK)
		*ret_answer = answer;
	return err;
}

/* ---- a stream ---- */

static size_t head_length(struct ks_str s)
{
	for (size_t i = 0; i + 3 < s.n; i++) {
		if (s.p[i] == '\r' && s.p[i + 1] == '\n' && s.p[i + 2] == '\r' && s.p[i + 3] == '\n')
			return i + 4;
	}
	return 0;
}

/* RFC 3261, 18.3: over a stream the length is told. */
static bool body_length(struct ks_str head, size_t *ret_n)
{
	struct ks_str line, name, value;
	uint64_t n;

	while (ks_str_split(head, '\n', &line, &head)) {
		if (!ks_str_split(line, ':', &name, &value))
			continue;
		name = ks_str_trim(name);
		if (!ks_str_eq_nocase(name, KS_STR("Content-Length")) && !ks_str_eq_nocase(name, KS_STR("l")))
			continue;
		if (value.n > 0 && value.p[value.n - 1] == '\r')
			value.n--;
		if (!ks_str_to_u64(ks_str_trim(value), KS_SIP_MESSAGE_MAX, &n))
			return false;
		*ret_n = (size_t)n;
		return true;
	}
	*ret_n = 0;
	return true;
}

enum ks_err ks_sip_frame(struct ks_str stream, size_t *ret_n)
{
	size_t head = head_length(stream), body = 0;

	if (head == 0)
		return stream.n >= KS_SIP_MESSAGE_MAX ? KS_TOO_LARGE : KS_NOT_FOUND;
	if (!body_length(ks_str_sub(stream, 0, head), &body))
		return KS_MALFORMED;
	if (head + body > KS_SIP_MESSAGE_MAX)
		return KS_TOO_LARGE;
	if (stream.n < head + body)
		return KS_NOT_FOUND;
	*ret_n = head + body;
	return KS_OK;
}
