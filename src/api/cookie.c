/* SPDX-License-Identifier: Apache-2.0 */
/* The console's session cookie (RFC 6265, and the prefix __Host- of its successor). */
#include "api/login.h"

#define NAME_SECURE "__Host-keystile"
#define NAME_PLAIN "keystile_session"
#define ATTRIBUTES "; Path=/; HttpOnly; SameSite=Strict"

bool ks_cookie_is_secure(const struct ks_api *api, const struct ks_exchange *x)
{
	return x->tls || api->options.secure;
}

static struct ks_str cookie_name(const struct ks_api *api, const struct ks_exchange *x)
{
	return ks_cookie_is_secure(api, x) ? KS_STR(NAME_SECURE) : KS_STR(NAME_PLAIN);
}

size_t ks_cookie_find(const struct ks_exchange *x, struct ks_str name, struct ks_str *ret_value)
{
	size_t count = 0;

	for (size_t i = 0; i < x->header_count; i++) {
		struct ks_str rest = x->headers[i].value, pair, key, value;
		bool more = true;

		if (!ks_str_eq_nocase(x->headers[i].name, KS_STR("Cookie")))
			continue;
		while (more) {
			more = ks_str_split(rest, ';', &pair, &rest);
			if (!more)
				pair = rest;
			if (!ks_str_split(ks_str_trim(pair), '=', &key, &value) || !ks_str_eq(key, name)
			    || ks_str_empty(value))
				continue;
			if (count++ == 0)
				*ret_value = value;
		}
	}
	return count;
}

static size_t find(const struct ks_api *api, const struct ks_exchange *x, struct ks_str *ret_value)
{
	return ks_cookie_find(x, cookie_name(api, x), ret_value);
}

bool ks_cookie_present(const struct ks_api *api, const struct ks_exchange *x, struct ks_credential *credential)
{
	struct ks_str value;
	size_t count = find(api, x, &value);

	for (size_t i = 0; i < count; i++)
		ks_credential_header(credential, value, KS_KIND_BIT(KS_KIND_SESSION));
	return count > 0;
}

struct ks_str ks_cookie_token(const struct ks_api *api, const struct ks_exchange *x)
{
	struct ks_str value;

	return find(api, x, &value) == 1 ? value : KS_STR("");
}

static bool is_own_origin(const struct ks_api *api, const struct ks_exchange *x)
{
	size_t origins = 0, hosts = 0;
	struct ks_str origin = ks_exchange_header(x, KS_STR("Origin"), &origins);
	struct ks_str host = ks_exchange_header(x, KS_STR("Host"), &hosts);
	struct ks_str scheme = ks_cookie_is_secure(api, x) ? KS_STR("https://") : KS_STR("http://");

	return origins == 1 && hosts == 1 && ks_str_starts(origin, scheme)
	       && ks_str_eq_nocase(ks_str_sub(origin, scheme.n, origin.n), host);
}

bool ks_cookie_may(const struct ks_api *api, const struct ks_exchange *x)
{
	if (ks_str_eq(x->method, KS_STR("GET")) || ks_str_eq(x->method, KS_STR("HEAD")))
		return true;
	return !ks_str_empty(ks_exchange_header(x, KS_STR("X-Keystile-Request"), NULL)) || is_own_origin(api, x);
}

void ks_cookie_set(struct ks_call *call, struct ks_str token)
{
	struct ks_exchange *x = call->exchange;
	struct ks_buf *text = &x->text;
	size_t at = text->n;

	ks_buf_put(text, cookie_name(call->api, x));
	ks_buf_put_byte(text, '=');
	ks_buf_put(text, token);
	ks_buf_put_c(text, ATTRIBUTES);
	if (ks_cookie_is_secure(call->api, x))
		ks_buf_put_c(text, "; Secure");
	/* Without an end of its own it goes with the browser; the session's end is the service's to keep. */
	if (ks_str_empty(token))
		ks_buf_put_c(text, "; Max-Age=0");
	if (ks_buf_ok(text))
		ks_exchange_answer_header(x, KS_STR("Set-Cookie"), ks_str_of(text->p + at, text->n - at));
}
