/* SPDX-License-Identifier: Apache-2.0 */
/* HashiCorp Vault and OpenBao: the KV engine of version 2, by a token, or a token that a login gave (AppRole, JWT,
 * Kubernetes). One or two round trips. A token of a login is not kept and not revoked: its role should say a short life. */
#include "base/json.h"
#include "secretstore/secretstore_priv.h"

static bool read_error(struct ks_str body, struct ks_secretstore_error *ret_error)
{
	static const char *const errors[] = {"errors", NULL}, *const destroyed[] = {"data", "metadata", "destroyed", NULL};
	struct ks_str value;

	ret_error->name = KS_STR("");
	/* A version that was deleted or destroyed is told of with 404 and its metadata. */
	if (ks_secretstore_find(body, destroyed, &value)) {
		ret_error->text = ks_json_kind(value) == 't' ? KS_STR("destroyed") : KS_STR("deletion_time");
		return true;
	}
	if (!ks_secretstore_find(body, errors, &value) || ks_json_kind(value) != '[')
		return false;
	ret_error->text = value;
	return true;
}

static void add_headers(struct ks_fetch_request *request, struct ks_str space)
{
	ks_secretstore_add_header(request, KS_STR("X-Vault-Request"), KS_STR("true"));
	if (space.n)
		ks_secretstore_add_header(request, KS_STR("X-Vault-Namespace"), space);
}

/* ---- logins ---- */

struct login {
	const char *mount;      /* where the identity says none */
	const char *name, *secret_name; /* of the two members of the body */
};

static const struct login logins[] = {
	[KS_IDENTITY_VAULT_APPROLE] = {"approle", "{\"role_id\":", ",\"secret_id\":"},
	[KS_IDENTITY_VAULT_JWT] = {"jwt", "{\"role\":", ",\"jwt\":"},
	[KS_IDENTITY_VAULT_KUBERNETES] = {"kubernetes", "{\"role\":", ",\"jwt\":"},
};

static enum ks_secretstore_code take_token(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response,
					   struct ks_secret *ret_token)
{
	static const char *const path[] = {"auth", "client_token", NULL};
	struct ks_str value;

	f->status = response->status;
	if (!ks_json_check(ks_secretstore_body(response)) || !ks_secretstore_find(ks_secretstore_body(response), path, &value)
	    || value.n > KS_SECRETSTORE_TOKEN_MAX || ks_secretstore_take_string(value, ret_token) != KS_SECRETSTORE_OK)
		return KS_SECRETSTORE_MALFORMED;
	return KS_SECRETSTORE_OK;
}

static enum ks_secretstore_code send_login(struct ks_secretstore_fetch *f, struct ks_str body, struct ks_secret *ret_token)
{
	const struct ks_identity *identity = f->identity;
	struct ks_fetch_request request = {.method = "POST", .body = body};
	struct ks_fetch_response response;
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url);
	enum ks_secretstore_code code;

	ks_buf_put(&b, identity->address);
	ks_buf_put_c(&b, "/v1/auth/");
	ks_secretstore_put_escaped(&b, identity->mount.n ? identity->mount : ks_str_c(logins[identity->auth].mount), false);
	ks_buf_put_c(&b, "/login");
	request.url = ks_buf_str(&b);
	ks_secretstore_add_header(&request, KS_STR("Content-Type"), KS_STR("application/json"));
	add_headers(&request, identity->space);
	code = ks_buf_ok(&b) ? ks_secretstore_send(f, &request, &response) : KS_SECRETSTORE_ADDRESS_REFUSED;
	if (!ks_buf_ok(&b))
		return code;
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_token(f, &response, ret_token)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_LOGIN, &response, read_error);
	ks_fetch_response_free(&response);
	return code;
}

static enum ks_secretstore_code log_in(struct ks_secretstore_fetch *f, struct ks_secret *ret_token)
{
	const struct ks_identity *identity = f->identity;
	const struct login *login = &logins[identity->auth];
	struct ks_secret subject = {0}, body = {0};
	struct ks_str shown = ks_str_of((const char *)identity->secret.bytes, identity->secret.n);
	enum ks_secretstore_code code = KS_SECRETSTORE_OK;
	struct ks_buf b;

	if (!identity->secret.n) {
		code = ks_secretstore_subject_token(f, &subject);
		shown = ks_str_of((const char *)subject.bytes, subject.n);
	}
	if (code == KS_SECRETSTORE_OK)
		code = ks_secretstore_of_err(ks_secret_new(&body, 6 * (size_t)KS_IDENTITY_SECRET_MAX));
	if (code == KS_SECRETSTORE_OK) {
		b = ks_buf_of((char *)body.bytes, body.cap);
		ks_buf_put_c(&b, login->name);
		ks_buf_put_json(&b, identity->role.n ? identity->role : identity->role_id);
		ks_buf_put_c(&b, login->secret_name);
		ks_buf_put_json(&b, shown);
		ks_buf_put_c(&b, "}");
		code = ks_buf_ok(&b) ? send_login(f, ks_buf_str(&b), ret_token) : KS_SECRETSTORE_INTERNAL;
	}
	ks_secret_free(&subject);
	ks_secret_free(&body);
	return code;
}

/* ---- the value ---- */

static enum ks_secretstore_code take_value(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response)
{
	static const char *const data[] = {"data", "data", NULL}, *const version[] = {"data", "metadata", "version", NULL};
	struct ks_str body = ks_secretstore_body(response), value, number;
	enum ks_secretstore_code code;

	f->status = response->status;
	/* Without metadata it is no engine of version 2. */
	if (!ks_json_check(body) || !ks_secretstore_find(body, data, &value) || !ks_secretstore_find(body, version, &number))
		return KS_SECRETSTORE_MALFORMED;
	if (ks_json_kind(value) == 'n')
		return KS_SECRETSTORE_VERSION_DISABLED;
	if (ks_json_kind(value) != '{')
		return KS_SECRETSTORE_MALFORMED;
	ks_secretstore_keep(f->version, sizeof(f->version), number);
	code = ks_secretstore_of_err(ks_secret_new(&f->value, value.n));
	return code == KS_SECRETSTORE_OK ? ks_secretstore_of_err(ks_secret_set(&f->value, value.p, value.n)) : code;
}

static enum ks_secretstore_code read_version(struct ks_secretstore_fetch *f, struct ks_str token)
{
	const struct ks_secretstore_reference *r = f->reference;
	struct ks_fetch_request request = {.method = "GET"};
	struct ks_fetch_response response;
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url);
	enum ks_secretstore_code code;

	ks_buf_put(&b, f->identity->address);
	ks_buf_put_c(&b, "/v1/");
	ks_secretstore_put_escaped(&b, r->mount, false);
	ks_buf_put_c(&b, "/data/");
	ks_secretstore_put_escaped(&b, r->path, false);
	if (r->version.n) {
		ks_buf_put_c(&b, "?version=");
		ks_buf_put(&b, r->version);
	}
	request.url = ks_buf_str(&b);
	if (!ks_buf_ok(&b))
		return KS_SECRETSTORE_REFERENCE_WRONG;
	add_headers(&request, r->space.n ? r->space : f->identity->space);
	ks_secretstore_add_header(&request, KS_STR("X-Vault-Token"), token);
	code = ks_secretstore_send(f, &request, &response);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_value(f, &response)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_READ, &response, read_error);
	ks_fetch_response_free(&response);
	/* Vault says the same of a secret that is not there and of a version that never was. */
	return code == KS_SECRETSTORE_SECRET_GONE && r->version.n ? KS_SECRETSTORE_VERSION_GONE : code;
}

enum ks_secretstore_code ks_secretstore_vault(struct ks_secretstore_fetch *f)
{
	const struct ks_identity *identity = f->identity;
	struct ks_secret token = {0};
	enum ks_secretstore_code code;

	if (identity->auth == KS_IDENTITY_VAULT_TOKEN)
		return read_version(f, ks_str_of((const char *)identity->secret.bytes, identity->secret.n));
	code = log_in(f, &token);
	if (code == KS_SECRETSTORE_OK)
		code = read_version(f, ks_str_of((const char *)token.bytes, token.n));
	ks_secret_free(&token);
	return code;
}
