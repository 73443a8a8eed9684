/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/sip_digest.h"

#include "base/cursor.h"

/* ---- reading ---- */

/* RFC 7230, 3.2.6: tchar. */
static bool is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
	       || (c > ' ' && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c));
}

/* A token may stand where a quoted text should: some trunks write base64 so. */
static bool is_bare(unsigned char c)
{
	return is_token(c) || c == '/' || c == '=' || c == ':' || c == '@';
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Only blanks, and line ends that a blank follows, are allowed between parameters; control characters were refused before. */
static void skip(struct ks_cursor *c)
{
	(void)ks_cursor_run(c, is_blank, 0, SIZE_MAX);
}

/* Without quotes and escapes, into the room. */
static struct ks_str take_quoted(struct ks_cursor *c, struct ks_buf *room)
{
	size_t start = room->n;
	int byte;

	ks_cursor_literal(c, KS_STR("\""));
	for (byte = ks_cursor_byte(c); byte >= 0 && byte != '"'; byte = ks_cursor_byte(c)) {
		if (byte == '\\')
			byte = ks_cursor_byte(c);
		if (byte >= 0)
			ks_buf_put_byte(room, (char)byte);
	}
	if (byte < 0 || room->overflow)
		c->failed = true;
	return ks_str_of(&room->p[start], room->n - start);
}

static struct ks_str take_value(struct ks_cursor *c, struct ks_buf *room)
{
	struct ks_str bare;
	size_t start = room->n;

	if (ks_cursor_peek(c) == '"')
		return take_quoted(c, room);
	bare = ks_cursor_run(c, is_bare, 1, SIZE_MAX);
	ks_buf_put(room, bare);
	return ks_str_of(&room->p[start], room->n - start);
}

#define PARAMETERS(X) X(realm) X(nonce) X(opaque) X(algorithm) X(qop) X(stale) X(userhash)

struct parameters {
#define X(name) struct ks_str name; bool has_##name;
	PARAMETERS(X)
#undef X
};

/* False: it was there before. */
static bool keep(struct parameters *p, struct ks_str name, struct ks_str value)
{
#define X(member)                                                 \
	if (ks_str_eq_nocase(name, KS_STR(#member))) {            \
		bool twice = p->has_##member;                     \
		p->member = value;                                \
		p->has_##member = true;                           \
		return !twice;                                    \
	}
	PARAMETERS(X)
#undef X
	return true;
}

static bool take_parameters(struct ks_cursor *c, struct parameters *p, struct ks_buf *room)
{
	for (;;) {
		struct ks_str name, value;

		skip(c);
		name = ks_cursor_run(c, is_token, 1, 64);
		skip(c);
		ks_cursor_literal(c, KS_STR("="));
		skip(c);
		value = take_value(c, room);
		if (c->failed || !keep(p, name, value))
			return false;
		skip(c);
		if (ks_cursor_left(c) == 0)
			return true;
		ks_cursor_literal(c, KS_STR(","));
	}
}

static enum ks_err read_algorithm(const struct parameters *p, struct ks_sip_asked *a)
{
	struct ks_str name = p->algorithm, suffix = KS_STR("-sess");

	a->algorithm_named = p->has_algorithm;
	if (name.n > suffix.n && ks_str_eq_nocase(ks_str_sub(name, name.n - suffix.n, suffix.n), suffix)) {
		a->session = true;
		name.n -= suffix.n;
	}
	return ks_http_digest_parse(name, &a->algorithm) ? KS_OK : KS_VERSION;
}

static enum ks_err read_qop(const struct parameters *p, struct ks_sip_asked *a)
{
	struct ks_str rest = p->qop, one;

	if (!p->has_qop)
		return KS_OK;
	for (bool more = true; more;) {
		more = ks_str_split(rest, ',', &one, &rest);
		one = ks_str_trim(more ? one : rest);
		a->qop_auth |= ks_str_eq_nocase(one, KS_STR("auth"));
		a->qop_auth_int |= ks_str_eq_nocase(one, KS_STR("auth-int"));
	}
	return a->qop_auth || a->qop_auth_int ? KS_OK : KS_VERSION;
}

/* A line end within is a fold (RFC 3261, 7.3.1) and counts as a blank; else no control characters. */
static bool is_sane(struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

enum ks_err ks_sip_challenge_parse(struct ks_str text, struct ks_sip_asked *ret_challenge)
{
	struct ks_cursor c = ks_cursor_of(text);
	struct parameters p = {.has_realm = false};
	struct ks_sip_asked *a = ret_challenge;
	struct ks_buf room;

	*a = (struct ks_sip_asked){.session = false};
	room = KS_BUF(a->room);
	if (text.n > KS_SIP_CHALLENGE_MAX)
		return KS_TOO_LARGE;
	if (!is_sane(text))
		return KS_MALFORMED;
	skip(&c);
	if (!ks_str_eq_nocase(ks_cursor_run(&c, is_token, 1, 16), KS_STR("Digest")) || ks_cursor_run(&c, is_blank, 1, SIZE_MAX).n == 0)
		return KS_MALFORMED;
	if (!take_parameters(&c, &p, &room) || !ks_cursor_done(&c) || !p.has_realm || !p.has_nonce || p.nonce.n == 0)
		return KS_MALFORMED;
	a->realm = p.realm;
	a->nonce = p.nonce;
	a->opaque = p.opaque;
	a->has_opaque = p.has_opaque;
	a->stale = ks_str_eq_nocase(p.stale, KS_STR("true"));
	a->userhash = ks_str_eq_nocase(p.userhash, KS_STR("true"));
	KS_TRY(read_algorithm(&p, a));
	return read_qop(&p, a);
}

/* ---- writing ---- */

static void put_quoted(struct ks_buf *b, const char *name, struct ks_str value)
{
	ks_buf_put_c(b, name);
	ks_buf_put_c(b, "=\"");
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			ks_buf_put_byte(b, '\\');
		ks_buf_put_byte(b, value.p[i]);
	}
	ks_buf_put_byte(b, '"');
}

static bool request_ok(const struct ks_sip_credentials *r)
{
	struct ks_cursor method = ks_cursor_of(r->method);

	(void)ks_cursor_run(&method, is_token, 1, 64);
	return ks_cursor_done(&method) && r->uri.n > 0 && is_sane(r->uri) && ks_str_find(r->uri, ' ') == SIZE_MAX
	       && ks_str_find(r->uri, '"') == SIZE_MAX && is_sane(r->user) && is_sane(r->client_nonce)
	       && ks_str_find(r->client_nonce, '"') == SIZE_MAX && r->client_nonce.n > 0 && r->count > 0;
}

static void put_answer(const struct ks_sip_asked *a, const struct ks_sip_credentials *r, const char *user, bool integrity,
		       const char *response, struct ks_buf *out)
{
	bool qop = a->qop_auth || a->qop_auth_int;

	put_quoted(out, "Digest username", user ? ks_str_c(user) : r->user);
	put_quoted(out, ", realm", a->realm);
	put_quoted(out, ", nonce", a->nonce);
	put_quoted(out, ", uri", r->uri);
	put_quoted(out, ", response", ks_str_c(response));
	if (a->algorithm_named) {
		ks_buf_put_c(out, ", algorithm=");
		ks_buf_put_c(out, ks_http_digest_name(a->algorithm));
		ks_buf_put_c(out, a->session ? "-sess" : "");
	}
	if (qop || a->session)
		put_quoted(out, ", cnonce", r->client_nonce);
	if (a->has_opaque)
		put_quoted(out, ", opaque", a->opaque);
	if (qop)
		ks_buf_printf(out, ", qop=%s, nc=%08x", integrity ? "auth-int" : "auth", r->count);
	if (user)
		ks_buf_put_c(out, ", userhash=true");
}

enum ks_err ks_sip_answer(const struct ks_sip_asked *challenge, const struct ks_sip_credentials *request,
			  struct ks_buf *out)
{
	const struct ks_sip_asked *a = challenge;
	bool integrity = a->qop_auth_int && !a->qop_auth, qop = a->qop_auth || a->qop_auth_int;
	struct ks_http_digest_input in = {
		.algorithm = a->algorithm, .user = request->user, .realm = a->realm, .password = request->password,
		.method = request->method, .uri = request->uri, .nonce = a->nonce, .client_nonce = request->client_nonce,
		.count = request->count, .session = a->session, .integrity = integrity, .body = request->body,
		.plain_form = !qop,
	};
	char response[KS_HTTP_DIGEST_HEX_SIZE], user[KS_HTTP_DIGEST_HEX_SIZE];

	if (!request_ok(request))
		return KS_MALFORMED;
	KS_TRY(ks_http_digest(&in, response));
	if (a->userhash)
		KS_TRY(ks_http_digest_user(a->algorithm, request->user, a->realm, user));
	put_answer(a, request, a->userhash ? user : NULL, integrity, response, out);
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}
