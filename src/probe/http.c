/* SPDX-License-Identifier: Apache-2.0 */
/* Probes by HTTP: a request with the credential, and a token by the client's credentials. */
#include "base/ctenc.h"
#include "base/json.h"
#include "base/secret.h"
#include "crypto/hmac.h"
#include "crypto/sigv4.h"
#include "probe/probe_priv.h"

#define BODY_MAX 65536u

#define TEXT(t, name) ((t)->text[KS_PLATFORM_PROBE_TEXT_##name])

/* ---- making values ---- */

static struct ks_str since(const struct ks_buf *room, size_t at)
{
	return ks_str_sub(ks_buf_str(room), at, room->n - at);
}

static void put_base64(struct ks_buf *to, struct ks_str bytes, bool for_url)
{
	size_t n = (for_url ? ks_base64url_encode : ks_base64_encode)((const unsigned char *)bytes.p, bytes.n, to->p + to->n,
								      to->cap - to->n);

	to->n += n;
	to->overflow = to->overflow || (n == 0 && bytes.n > 0);
}

static void add_header(struct ks_fetch_request *r, struct ks_str name, struct ks_str value)
{
	if (r->header_count < KS_FETCH_HEADERS_MAX)
		r->headers[r->header_count] = (struct ks_fetch_header){name, value};
	r->header_count++; /* one too many is refused when it is sent */
}

static bool add_basic(struct ks_fetch_request *r, struct ks_buf *room, struct ks_str user, struct ks_str password)
{
	size_t at = room->n, from;
	struct ks_str pair;

	ks_buf_put(room, user);
	ks_buf_put_c(room, ":");
	ks_buf_put(room, password);
	pair = since(room, at);
	from = room->n;
	ks_buf_put_c(room, "Basic ");
	put_base64(room, pair, false);
	add_header(r, KS_STR("Authorization"), since(room, from));
	return ks_buf_ok(room);
}

static bool add_bearer(struct ks_fetch_request *r, struct ks_buf *room, struct ks_str token)
{
	size_t at = room->n;

	ks_buf_put_c(room, "Bearer ");
	ks_buf_put(room, token);
	add_header(r, KS_STR("Authorization"), since(room, at));
	return ks_buf_ok(room);
}

/* HS256 over the claims with nbf and exp (RFC 7515, RFC 7519). */
static bool add_jwt(struct ks_fetch_request *r, struct ks_buf *room, const struct ks_probe_job *job, const struct ks_probe_texts *t)
{
	struct ks_str claims = ks_str_trim(TEXT(t, JWT_CLAIMS)), whole;
	long long now_s = (long long)(job->now_ms / 1000);
	unsigned char mac[KS_HMAC_MAX];
	size_t at = room->n, n, from;

	if (claims.n < 2 || claims.p[claims.n - 1] != '}' || !ks_json_check(claims))
		return false;
	ks_buf_put(room, ks_str_sub(claims, 0, claims.n - 1));
	if (ks_str_trim(ks_str_sub(claims, 1, claims.n - 2)).n > 0)
		ks_buf_put_c(room, ",");
	ks_buf_printf(room, "\"nbf\":%lld,\"exp\":%lld}", now_s, now_s + (long long)job->platform->probe->jwt_lifetime_s);
	whole = since(room, at);
	from = room->n;
	ks_buf_put_c(room, "Bearer ");
	at = room->n;
	put_base64(room, KS_STR("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), true);
	ks_buf_put_c(room, ".");
	put_base64(room, whole, true);
	if (!ks_buf_ok(room) || ks_hmac(KS_HMAC_SHA256, TEXT(t, JWT_KEY), since(room, at), mac, &n) != KS_OK)
		return false;
	ks_buf_put_c(room, ".");
	put_base64(room, ks_str_of((const char *)mac, n), true);
	ks_wipe(mac, sizeof(mac));
	add_header(r, KS_STR("Authorization"), since(room, from));
	return ks_buf_ok(room);
}

/* Host, path and query of an https URL. */
static void split_url(struct ks_str url, struct ks_sigv4_request *s)
{
	struct ks_str rest = ks_str_sub(url, ks_str_starts(url, KS_STR("https://")) ? 8 : 7, url.n);
	size_t slash = ks_str_find(rest, '/'), question;

	s->host = ks_str_sub(rest, 0, slash == SIZE_MAX ? rest.n : slash);
	s->path = ks_str_sub(rest, s->host.n, rest.n);
	question = ks_str_find(s->path, '?');
	if (question != SIZE_MAX) {
		s->query = ks_str_sub(s->path, question + 1, s->path.n);
		s->path = ks_str_sub(s->path, 0, question);
	}
}

static bool add_aws(struct ks_fetch_request *r, struct ks_buf *room, const struct ks_probe_job *job, const struct ks_probe_texts *t)
{
	struct ks_sigv4_request s = {
		.method = ks_str_c(r->method),
		.body = r->body,
		.region = TEXT(t, AWS_REGION),
		.service = TEXT(t, AWS_SERVICE),
		.access_key = TEXT(t, AWS_ACCESS_KEY_ID),
		.secret_key = TEXT(t, AWS_SECRET_ACCESS_KEY),
		.now_s = job->now_ms / 1000,
	};
	struct ks_sigv4_signed sealed;
	size_t at;

	split_url(r->url, &s);
	if (ks_sigv4_sign(&s, &sealed) != KS_OK)
		return false;
	at = room->n;
	ks_buf_put_c(room, sealed.date);
	add_header(r, KS_STR("X-Amz-Date"), since(room, at));
	at = room->n;
	ks_buf_put_c(room, sealed.authorization);
	add_header(r, KS_STR("Authorization"), since(room, at));
	ks_wipe(&sealed, sizeof(sealed));
	return ks_buf_ok(room);
}

static bool add_credential(struct ks_fetch_request *r, const struct ks_probe_job *job, struct ks_probe_texts *t)
{
	const struct ks_platform_probe *probe = job->platform->probe;

	if (ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_BASIC_USER)
	    || ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_BASIC_PASSWORD))
		return add_basic(r, &t->room, TEXT(t, BASIC_USER), TEXT(t, BASIC_PASSWORD));
	if (ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_BEARER))
		return add_bearer(r, &t->room, TEXT(t, BEARER));
	if (ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_JWT_KEY))
		return add_jwt(r, &t->room, job, t);
	if (ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_AWS_ACCESS_KEY_ID))
		return add_aws(r, &t->room, job, t);
	return true;
}

static void add_headers(struct ks_fetch_request *r, const struct ks_probe_job *job, const struct ks_probe_texts *t)
{
	for (size_t i = 0; i < job->platform->probe->header_count; i++)
		add_header(r, ks_str_c(job->platform->probe->headers[i].name), t->headers[i]);
}

/* ---- one request ---- */

static void send_request(struct ks_fetch *fetch, const struct ks_fetch_request *r, bool ok, struct ks_fetch_response *ret_response,
			 struct ks_probe_answer *ret_answer)
{
	enum ks_fetch_result fetched;

	if (!ok || r->header_count > KS_FETCH_HEADERS_MAX) {
		ks_probe_fail(ret_answer, KS_PLATFORM_CODE_VALUE_UNUSABLE, "the request could not be written");
		return;
	}
	fetched = ks_fetch_do(fetch, r, ret_response);
	if (fetched != KS_FETCH_OK)
		ks_probe_fail_fetch(ret_answer, fetched);
	else
		ret_answer->status = (unsigned)ret_response->status;
}

/* The method as a terminated text, in the room. */
static const char *method_of(struct ks_probe_texts *t)
{
	size_t at = t->room.n;

	if (ks_str_empty(TEXT(t, METHOD)))
		return "GET";
	ks_buf_put(&t->room, TEXT(t, METHOD));
	ks_buf_put_byte(&t->room, '\0');
	return ks_buf_ok(&t->room) ? since(&t->room, at).p : "";
}

void ks_probe_http(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_texts *t, unsigned timeout_ms,
		   struct ks_fetch_response *ret_response, struct ks_probe_answer *ret_answer)
{
	struct ks_fetch_request r = {
		.method = method_of(t),
		.url = TEXT(t, URL),
		.body = TEXT(t, BODY),
		.body_max = BODY_MAX,
		.timeout_ms = timeout_ms,
	};

	if (r.body.n)
		add_header(&r, KS_STR("Content-Type"),
			   ks_str_empty(TEXT(t, CONTENT_TYPE)) ? KS_STR("application/json") : TEXT(t, CONTENT_TYPE));
	add_headers(&r, job, t);
	send_request(fetch, &r, add_credential(&r, job, t), ret_response, ret_answer);
	ks_wipe(&r, sizeof(r));
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

static void put_member(struct ks_buf *to, const char *name, struct ks_str value)
{
	ks_buf_put_c(to, "&");
	put_form(to, ks_str_c(name));
	ks_buf_put_c(to, "=");
	put_form(to, value);
}

static struct ks_str form_of(const struct ks_probe_job *job, struct ks_probe_texts *t)
{
	const struct ks_platform_probe *probe = job->platform->probe;
	size_t at = t->room.n;

	ks_buf_put_c(&t->room, "grant_type=");
	put_form(&t->room, ks_str_empty(TEXT(t, GRANT)) ? KS_STR("client_credentials") : TEXT(t, GRANT));
	if (probe->oauth_in_body) {
		put_member(&t->room, "client_id", TEXT(t, CLIENT_ID));
		put_member(&t->room, "client_secret", TEXT(t, CLIENT_SECRET));
	}
	if (!ks_str_empty(TEXT(t, SCOPE)))
		put_member(&t->room, "scope", TEXT(t, SCOPE));
	for (size_t i = 0; i < probe->parameter_count; i++)
		put_member(&t->room, probe->parameters[i].name, t->parameters[i]);
	return since(&t->room, at);
}

/* RFC 6749, 2.3.1: both are form-encoded first. */
static bool add_client(struct ks_fetch_request *r, struct ks_probe_texts *t)
{
	size_t at = t->room.n, from;
	struct ks_str id, secret;

	put_form(&t->room, TEXT(t, CLIENT_ID));
	id = since(&t->room, at);
	from = t->room.n;
	put_form(&t->room, TEXT(t, CLIENT_SECRET));
	secret = since(&t->room, from);
	return add_basic(r, &t->room, id, secret);
}

static bool has_token(const struct ks_fetch_response *response)
{
	struct ks_str body = ks_str_of(response->body, response->body_n), token;

	return ks_json_check(body) && ks_json_member(body, KS_STR("access_token"), &token) && ks_json_kind(token) == '"' && token.n > 2;
}

void ks_probe_oauth(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_texts *t, unsigned timeout_ms,
		    struct ks_fetch_response *ret_response, struct ks_probe_answer *ret_answer)
{
	struct ks_fetch_request r = {
		.method = "POST",
		.url = TEXT(t, URL),
		.body_max = BODY_MAX,
		.timeout_ms = timeout_ms,
	};
	bool ok;

	add_header(&r, KS_STR("Content-Type"), KS_STR("application/x-www-form-urlencoded"));
	add_header(&r, KS_STR("Accept"), KS_STR("application/json"));
	add_headers(&r, job, t);
	r.body = form_of(job, t);
	ok = ks_buf_ok(&t->room) && (job->platform->probe->oauth_in_body || add_client(&r, t));
	send_request(fetch, &r, ok, ret_response, ret_answer);
	if (ret_answer->status == 200 && !has_token(ret_response))
		ks_probe_fail(ret_answer, KS_PLATFORM_CODE_UNEXPECTED_ANSWER, "the answer has no access_token");
	ks_wipe(&r, sizeof(r));
}
