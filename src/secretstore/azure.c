/* SPDX-License-Identifier: Apache-2.0 */
/* Azure Key Vault, by an application of Entra ID that shows a secret, an assertion signed with its certificate's key, or a
 * token of an issuer that it trusts (federated credential). Two round trips. Sources: OAuth 2.0 client credentials flow on
 * the Microsoft identity platform; Key Vault REST API, Get Secret. */
#include "base/json.h"
#include "crypto/random.h"
#include "secretstore/member_check.h"
#include "secretstore/secretstore_priv.h"

#define API_VERSION "7.4"
#define ASSERTION_S 300
#define ASSERTION_TYPE "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"

/* Clouds of Azure, by the domain of their vaults. */
static const struct cloud {
	const char *domain, *authority, *scope;
} clouds[] = {
	{"vault.azure.net", "https://login.microsoftonline.com", "https://vault.azure.net/.default"},
	{"vault.azure.cn", "https://login.chinacloudapi.cn", "https://vault.azure.cn/.default"},
	{"vault.usgovcloudapi.net", "https://login.microsoftonline.us", "https://vault.usgovcloudapi.net/.default"},
};

static const struct cloud *cloud_of(struct ks_str vault)
{
	struct ks_str name, domain = {0};

	for (size_t i = 0; ks_str_split(ks_secretstore_host(vault), '.', &name, &domain) && i < KS_ARRAY_LEN(clouds); i++) {
		if (ks_str_eq_nocase(domain, ks_str_c(clouds[i].domain)))
			return &clouds[i];
	}
	return &clouds[0];
}

static bool login_error(struct ks_str body, struct ks_secretstore_error *ret_error)
{
	static const char *const error[] = {"error", NULL}, *const described[] = {"error_description", NULL};
	struct ks_str value;

	if (!ks_secretstore_find(body, error, &value) || ks_json_kind(value) != '"')
		return false;
	ret_error->name = ks_str_sub(value, 1, value.n - 2);
	if (!ks_secretstore_find(body, described, &ret_error->text))
		ret_error->text = KS_STR("");
	return true;
}

static bool read_error(struct ks_str body, struct ks_secretstore_error *ret_error)
{
	static const char *const name[] = {"error", "code", NULL}, *const whole[] = {"error", NULL};
	struct ks_str value;

	if (!ks_secretstore_find(body, name, &value) || ks_json_kind(value) != '"')
		return false;
	ret_error->name = ks_str_sub(value, 1, value.n - 2);
	/* The message, and the inner error that says why. */
	return ks_secretstore_find(body, whole, &ret_error->text);
}

/* ---- the token ---- */

/* RFC 7523, 3, with the thumbprint of the certificate. */
static enum ks_secretstore_code assertion(struct ks_secretstore_fetch *f, struct ks_str audience, struct ks_secret *ret_token)
{
	long long now = (long long)ks_secretstore_now_s();
	unsigned char id[16];
	char claims[2048], header[192];
	struct ks_buf c = KS_BUF(claims), h = KS_BUF(header), out;
	struct ks_secret token = {0};
	enum ks_err err = ks_random(id, sizeof(id));

	if (err == KS_OK)
		err = ks_secret_new(&token, KS_SECRETSTORE_TOKEN_MAX);
	if (err != KS_OK)
		return KS_SECRETSTORE_INTERNAL;
	ks_buf_put_c(&c, "{\"aud\":");
	ks_buf_put_json(&c, audience);
	ks_buf_put_c(&c, ",\"iss\":");
	ks_buf_put_json(&c, f->identity->client_id);
	ks_buf_put_c(&c, ",\"sub\":");
	ks_buf_put_json(&c, f->identity->client_id);
	ks_buf_put_c(&c, ",\"jti\":\"");
	ks_buf_put_hex(&c, id, sizeof(id));
	ks_buf_printf(&c, "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld}", now, now, now + ASSERTION_S);
	ks_buf_printf(&h, ",\"x5t#S256\":\"%s\"", f->identity->kid);
	out = ks_buf_of((char *)token.bytes, token.cap);
	err = ks_buf_ok(&c) ? ks_secretstore_sign(f->identity, KS_SIGN_ALG_PS256, ks_buf_str(&h), ks_buf_str(&c), &out) : KS_TOO_LARGE;
	token.n = out.n;
	if (err == KS_OK)
		*ret_token = token;
	else
		ks_secret_free(&token);
	/* A key of another form than Entra ID takes is the operator's to mend. */
	return err == KS_FORBIDDEN ? KS_SECRETSTORE_IDENTITY_UNREADABLE : ks_secretstore_of_err(err);
}

/* What shows who we are, as the end of a form. */
static enum ks_secretstore_code put_proof(struct ks_secretstore_fetch *f, struct ks_str audience, struct ks_buf *form)
{
	struct ks_secret token = {0};
	enum ks_secretstore_code code = KS_SECRETSTORE_OK;

	if (f->identity->auth == KS_IDENTITY_AZURE_SECRET) {
		ks_buf_put_c(form, "&client_secret=");
		ks_secretstore_put_escaped(form, ks_str_of((const char *)f->identity->secret.bytes, f->identity->secret.n), true);
		return ks_buf_ok(form) ? KS_SECRETSTORE_OK : KS_SECRETSTORE_IDENTITY_UNREADABLE;
	}
	code = f->identity->auth == KS_IDENTITY_AZURE_CERTIFICATE ? assertion(f, audience, &token)
								  : ks_secretstore_subject_token(f, &token);
	if (code == KS_SECRETSTORE_OK) {
		ks_buf_put_c(form, "&client_assertion_type=" ASSERTION_TYPE "&client_assertion=");
		ks_secretstore_put_escaped(form, ks_str_of((const char *)token.bytes, token.n), true);
	}
	ks_secret_free(&token);
	return code == KS_SECRETSTORE_OK && !ks_buf_ok(form) ? KS_SECRETSTORE_IDENTITY_UNREADABLE : code;
}

/* "Bearer " and the token, in one. */
static enum ks_secretstore_code take_token(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response,
					   struct ks_secret *ret_header)
{
	static const char *const path[] = {"access_token", NULL};
	struct ks_str body = ks_secretstore_body(response), value;
	struct ks_secret token = {0};
	enum ks_secretstore_code code;
	struct ks_buf b;

	f->status = response->status;
	if (!ks_json_check(body) || !ks_secretstore_find(body, path, &value) || value.n > KS_SECRETSTORE_TOKEN_MAX
	    || ks_secretstore_take_string(value, &token) != KS_SECRETSTORE_OK)
		return KS_SECRETSTORE_MALFORMED;
	code = ks_secretstore_of_err(ks_secret_new(ret_header, token.n + 7));
	if (code == KS_SECRETSTORE_OK) {
		b = ks_buf_of((char *)ret_header->bytes, ret_header->cap);
		ks_buf_put_c(&b, "Bearer ");
		ks_buf_put(&b, ks_str_of((const char *)token.bytes, token.n));
		ret_header->n = b.n;
	}
	ks_secret_free(&token);
	return code;
}

static enum ks_secretstore_code send_login(struct ks_secretstore_fetch *f, struct ks_str url, struct ks_str form,
					   struct ks_secret *ret_header)
{
	struct ks_fetch_request request = {.method = "POST", .url = url, .body = form};
	struct ks_fetch_response response;
	enum ks_secretstore_code code;

	ks_secretstore_add_header(&request, KS_STR("Content-Type"), KS_STR("application/x-www-form-urlencoded"));
	code = ks_secretstore_send(f, &request, &response);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_token(f, &response, ret_header)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_LOGIN, &response, login_error);
	ks_fetch_response_free(&response);
	return code;
}

static enum ks_secretstore_code log_in(struct ks_secretstore_fetch *f, struct ks_secret *ret_header)
{
	const struct ks_identity *identity = f->identity;
	const struct cloud *cloud = cloud_of(f->reference->vault);
	struct ks_str directory = f->reference->directory.n ? f->reference->directory : identity->directory;
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf u = KS_BUF(url), form;
	struct ks_secret room = {0};
	enum ks_secretstore_code code;

	if (!directory.n)
		return KS_SECRETSTORE_REFERENCE_WRONG;
	ks_buf_put(&u, identity->authority.n ? identity->authority : ks_str_c(cloud->authority));
	ks_buf_put_byte(&u, '/');
	ks_buf_put(&u, directory);
	ks_buf_put_c(&u, "/oauth2/v2.0/token");
	code = ks_secretstore_of_err(ks_secret_new(&room, 4 * (size_t)KS_IDENTITY_SECRET_MAX));
	if (code != KS_SECRETSTORE_OK)
		return code;
	form = ks_buf_of((char *)room.bytes, room.cap);
	ks_buf_put_c(&form, "grant_type=client_credentials&client_id=");
	ks_secretstore_put_escaped(&form, identity->client_id, true);
	ks_buf_put_c(&form, "&scope=");
	ks_secretstore_put_escaped(&form, ks_str_c(cloud->scope), true);
	code = put_proof(f, ks_buf_str(&u), &form);
	if (code == KS_SECRETSTORE_OK)
		code = send_login(f, ks_buf_str(&u), ks_buf_str(&form), ret_header);
	ks_secret_free(&room);
	return code;
}

/* ---- the value ---- */

static enum ks_secretstore_code take_value(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response)
{
	static const char *const path[] = {"value", NULL};
	struct ks_str body = ks_secretstore_body(response), value, id, rest, head;
	struct ks_buf no_room = {0};

	f->status = response->status;
	if (!ks_json_check(body))
		return KS_SECRETSTORE_MALFORMED;
	id = ks_secretstore_text(body, "id", &no_room);
	while (ks_str_split(id, '/', &head, &rest))
		id = rest;
	ks_secretstore_keep(f->version, sizeof(f->version), id);
	if (!id.n || !ks_secretstore_find(body, path, &value))
		return KS_SECRETSTORE_MALFORMED;
	return ks_secretstore_take_string(value, &f->value);
}

static enum ks_secretstore_code get_secret(struct ks_secretstore_fetch *f, const struct ks_secret *header)
{
	const struct ks_secretstore_reference *r = f->reference;
	struct ks_fetch_request request = {.method = "GET"};
	struct ks_fetch_response response;
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url);
	enum ks_secretstore_code code;

	ks_buf_put(&b, f->identity->endpoint.n ? f->identity->endpoint : r->vault);
	ks_buf_put_c(&b, "/secrets/");
	ks_buf_put(&b, r->secret);
	ks_buf_put_byte(&b, '/');
	ks_buf_put(&b, r->version);
	ks_buf_put_c(&b, "?api-version=" API_VERSION);
	request.url = ks_buf_str(&b);
	ks_secretstore_add_header(&request, KS_STR("Authorization"), ks_str_of((const char *)header->bytes, header->n));
	code = ks_secretstore_send(f, &request, &response);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_value(f, &response)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_READ, &response, read_error);
	ks_fetch_response_free(&response);
	/* Key Vault says the same of a secret that is not there and of a version that never was. */
	return code == KS_SECRETSTORE_SECRET_GONE && r->version.n ? KS_SECRETSTORE_VERSION_GONE : code;
}

enum ks_secretstore_code ks_secretstore_azure(struct ks_secretstore_fetch *f)
{
	struct ks_secret header = {0};
	enum ks_secretstore_code code = log_in(f, &header);

	if (code == KS_SECRETSTORE_OK)
		code = get_secret(f, &header);
	ks_secret_free(&header);
	return code;
}
