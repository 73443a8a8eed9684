/* SPDX-License-Identifier: Apache-2.0 */
#include "api/oauth.h"

#include "base/ctenc.h"
#include "base/secret.h"

static const struct {
	const char *error;
	int status;
} errors[] = {
	[KS_OAUTH_NONE] = {"", 200},
#define KS_OAUTH(name, error, status) [KS_OAUTH_##name] = {error, status},
#include "api/oauth.def"
#undef KS_OAUTH
};

enum ks_finish ks_oauth_refuse(struct ks_call *call, enum ks_oauth_error error, const char *why)
{
	struct ks_exchange *x = call->exchange;
	struct ks_buf *text = &x->text;
	size_t at = text->n;

	if (errors[error].status == 401) {
		ks_buf_put_c(text, "Basic realm=\"");
		ks_buf_put_c(text, call->api->options.realm ? call->api->options.realm : "keystile");
		ks_buf_put_c(text, "\", charset=\"UTF-8\"");
		ks_exchange_answer_header(x, KS_STR("WWW-Authenticate"), ks_str_of(text->p + at, text->n - at));
	}
	ks_json_free(&call->out);
	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "error", errors[error].error);
	ks_json_put_c(&call->out, "error_description", why);
	ks_json_close(&call->out, '}');
	ks_exchange_answer_header(x, KS_STR("Pragma"), KS_STR("no-cache"));
	return ks_call_answer(call, errors[error].status);
}

bool ks_oauth_parameter(const struct ks_call *call, const char *name, char *storage, size_t cap, struct ks_str *ret_value)
{
	*ret_value = KS_STR("");
	switch (ks_form_get(call->exchange->body, name, storage, cap, ret_value)) {
	case KS_FORM_ABSENT:
	case KS_FORM_FOUND:
		return true;
	case KS_FORM_REPEATED:
	case KS_FORM_MALFORMED:
		break;
	}
	return false;
}

/* ---- who asks ---- */

/* Undoes the form's encoding that RFC 6749, 2.3.1 wants within Basic. A plus stays what it is: no id or token of ours holds a
 * blank, and many clients do not encode at all. In place. */
static bool undo_escapes(char *p, size_t n, size_t *ret_n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)p[i];

		if (p[i] == '%') {
			if (n - i < 3 || !ks_hex_decode(ks_str_of(&p[i + 1], 2), true, &byte, 1))
				return false;
			i += 2;
		}
		p[to++] = (char)byte;
	}
	*ret_n = to;
	return true;
}

static enum ks_oauth_error from_basic(struct ks_str encoded, struct ks_oauth_client *client)
{
	struct ks_str head, tail;
	size_t n, id_n, secret_n;
	char *id, *secret;

	if (!ks_base64_decode(encoded, (unsigned char *)client->text, sizeof(client->text), &n)
	    || !ks_str_split(ks_str_of(client->text, n), ':', &head, &tail))
		return KS_OAUTH_INVALID_REQUEST;
	id = client->text;
	secret = &client->text[head.n + 1];
	if (!undo_escapes(id, head.n, &id_n) || !undo_escapes(secret, tail.n, &secret_n) || id_n == 0 || secret_n == 0)
		return KS_OAUTH_INVALID_REQUEST;
	client->id = ks_str_of(id, id_n);
	client->secret = ks_str_of(secret, secret_n);
	return KS_OAUTH_NONE;
}

static enum ks_oauth_error from_form(const struct ks_call *call, struct ks_oauth_client *client)
{
	char *id = client->text, *secret = &client->text[KS_OAUTH_SECRET_MAX];

	if (!ks_oauth_parameter(call, "client_id", id, KS_OAUTH_SECRET_MAX, &client->id)
	    || !ks_oauth_parameter(call, "client_secret", secret, KS_OAUTH_SECRET_MAX, &client->secret))
		return KS_OAUTH_INVALID_REQUEST;
	return KS_OAUTH_NONE;
}

enum ks_oauth_error ks_oauth_client(const struct ks_call *call, struct ks_oauth_client *ret_client)
{
	struct ks_oauth_client *client = ret_client;
	struct ks_str header, scheme, encoded;
	size_t count = 0;

	client->id = client->secret = KS_STR("");
	header = ks_exchange_header(call->exchange, KS_STR("Authorization"), &count);
	if (count == 0)
		return from_form(call, client);
	if (count > 1 || !ks_str_split(header, ' ', &scheme, &encoded) || !ks_str_eq_nocase(scheme, KS_STR("Basic")))
		return KS_OAUTH_INVALID_REQUEST;
	/* Not both ways at once (RFC 6749, 2.3); a client_id that says the same is of no harm and sent by some. */
	if (from_form(call, client) != KS_OAUTH_NONE || !ks_str_empty(client->secret))
		return KS_OAUTH_INVALID_REQUEST;
	client->id = client->secret = KS_STR("");
	return from_basic(ks_str_trim(encoded), client);
}
