/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Secrets Manager, by a role that is assumed anew for each read: two round trips; by the service's own keys where the
 * identity allows it: one. Sources: AWS STS API Reference (AssumeRole), AWS Secrets Manager API Reference. */
#include "secretstore/aws.h"

#include "base/json.h"
#include "crypto/sigv4.h"
#include "secretstore/member_check.h"
#include "secretstore/xml.h"

#define SESSION_SECONDS "900" /* the shortest there is */

struct ks_str ks_secretstore_aws_suffix(struct ks_str region)
{
	return ks_str_starts(region, KS_STR("cn-")) ? KS_STR("amazonaws.com.cn") : KS_STR("amazonaws.com");
}

/* https://SERVICE.REGION.amazonaws.com, or what is set instead. */
static void put_origin(struct ks_buf *b, struct ks_str set, const char *service, struct ks_str region)
{
	if (set.n) {
		ks_buf_put(b, set);
		return;
	}
	ks_buf_put_c(b, "https://");
	ks_buf_put_c(b, service);
	ks_buf_put_byte(b, '.');
	ks_buf_put(b, region);
	ks_buf_put_byte(b, '.');
	ks_buf_put(b, ks_secretstore_aws_suffix(region));
}

enum ks_secretstore_code ks_secretstore_aws_send(struct ks_secretstore_fetch *f, const struct ks_aws_call *call,
						 struct ks_fetch_response *ret_response)
{
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url);
	struct ks_sigv4_request to_sign = {
		.method = KS_STR("POST"),
		.path = KS_STR("/"),
		.body = call->body,
		.headers = {{KS_STR("Content-Type"), call->content_type}},
		.header_count = 1,
		.region = call->region,
		.service = ks_str_c(call->service),
		.access_key = call->access_key,
		.secret_key = call->secret_key,
		.session_token = call->session_token,
		.now_s = ks_secretstore_now_s(),
	};
	struct ks_fetch_request request = {.method = "POST", .body = call->body};
	struct ks_sigv4_signed done;

	put_origin(&b, call->endpoint, call->service, call->region);
	to_sign.host = ks_secretstore_host(ks_buf_str(&b));
	if (call->target.n)
		to_sign.headers[to_sign.header_count++] = (struct ks_sigv4_header){KS_STR("X-Amz-Target"), call->target};
	if (!ks_buf_ok(&b) || ks_sigv4_sign(&to_sign, &done) != KS_OK)
		return KS_SECRETSTORE_INTERNAL;
	for (size_t i = 0; i < to_sign.header_count; i++)
		ks_secretstore_add_header(&request, to_sign.headers[i].name, to_sign.headers[i].value);
	ks_secretstore_add_header(&request, KS_STR("X-Amz-Date"), ks_str_c(done.date));
	ks_secretstore_add_header(&request, KS_STR("Authorization"), ks_str_c(done.authorization));
	if (call->session_token.n)
		ks_secretstore_add_header(&request, KS_STR("X-Amz-Security-Token"), call->session_token);
	ks_buf_put_byte(&b, '/');
	request.url = ks_buf_str(&b);
	return ks_secretstore_send(f, &request, ret_response);
}

/* ---- AssumeRole ---- */

/* A name that the tenant finds in its own trail: which service, for which organization. */
static void put_session_name(struct ks_buf *b, struct ks_str organization)
{
	ks_buf_put_c(b, "keystile-");
	ks_secretstore_put_escaped(b, ks_str_sub(organization, 0, 50), true);
}

static enum ks_secretstore_code login_refusal(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response)
{
	static const char *const code_path[] = {"ErrorResponse", "Error", "Code", NULL};
	static const char *const text_path[] = {"ErrorResponse", "Error", "Message", NULL};
	char code[128], text[2048];
	struct ks_buf c = KS_BUF(code), t = KS_BUF(text);
	struct ks_str body = ks_secretstore_body(response);
	struct ks_secretstore_error error;
	enum ks_secretstore_code meaning;

	if (!ks_xml_check(body) || !ks_xml_text(body, code_path, &c)) {
		if (response->status < 500 && response->status != 429) {
			f->status = response->status;
			return KS_SECRETSTORE_MALFORMED;
		}
	} else {
		(void)!ks_xml_text(body, text_path, &t);
	}
	error = (struct ks_secretstore_error){ks_buf_str(&c), ks_buf_str(&t)};
	meaning = ks_secretstore_meaning(f, KS_SECRETSTORE_STEP_LOGIN, response->status, &error);
	/* AWS says the same of a role that is gone, a trust that is, and another external_id. One that never worked is more
	 * likely mistyped than revoked. */
	if (meaning == KS_SECRETSTORE_TRUST_REVOKED && f->reference->external_id.n && !f->trusted_before)
		return KS_SECRETSTORE_EXTERNAL_ID_WRONG;
	return meaning;
}

static bool take_element(struct ks_str body, const char *name, struct ks_buf *room, struct ks_str *ret_text)
{
	const char *const path[] = {"AssumeRoleResponse", "AssumeRoleResult", "Credentials", name, NULL};
	size_t from = room->n;

	if (!ks_xml_text(body, path, room))
		return false;
	*ret_text = ks_str_sub(ks_buf_str(room), from, room->n - from);
	return ret_text->n > 0 && !ks_str_has_control(*ret_text);
}

/* The session lies in `room`. */
static enum ks_secretstore_code take_session(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response,
					     struct ks_secret *room, struct ks_aws_call *call)
{
	struct ks_str body = ks_secretstore_body(response);
	struct ks_buf b = ks_buf_of((char *)room->bytes, room->cap);

	f->status = response->status;
	if (!ks_xml_check(body) || !take_element(body, "AccessKeyId", &b, &call->access_key)
	    || !take_element(body, "SecretAccessKey", &b, &call->secret_key)
	    || !take_element(body, "SessionToken", &b, &call->session_token))
		return KS_SECRETSTORE_MALFORMED;
	room->n = b.n;
	return KS_SECRETSTORE_OK;
}

static enum ks_secretstore_code assume(struct ks_secretstore_fetch *f, struct ks_secret *room, struct ks_aws_call *call)
{
	char form[4096];
	struct ks_buf b = KS_BUF(form);
	struct ks_aws_call login = *call;
	struct ks_fetch_response response;
	enum ks_secretstore_code code;

	ks_buf_put_c(&b, "Action=AssumeRole&Version=2011-06-15&DurationSeconds=" SESSION_SECONDS "&RoleArn=");
	ks_secretstore_put_escaped(&b, f->reference->role, true);
	ks_buf_put_c(&b, "&RoleSessionName=");
	put_session_name(&b, f->organization);
	if (f->reference->external_id.n) {
		ks_buf_put_c(&b, "&ExternalId=");
		ks_secretstore_put_escaped(&b, f->reference->external_id, true);
	}
	login.service = "sts";
	login.endpoint = f->identity->sts_endpoint;
	login.target = KS_STR("");
	login.content_type = KS_STR("application/x-www-form-urlencoded; charset=utf-8");
	login.body = ks_buf_str(&b);
	if (!ks_buf_ok(&b))
		return KS_SECRETSTORE_INTERNAL;
	code = ks_secretstore_aws_send(f, &login, &response);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_session(f, &response, room, call) : login_refusal(f, &response);
	ks_fetch_response_free(&response);
	return code;
}

/* ---- Secrets Manager ---- */

bool ks_secretstore_aws_error(struct ks_str body, struct ks_secretstore_error *ret_error)
{
	static const char *const type[] = {"__type", NULL};
	static const char *const lower[] = {"message", NULL}, *const upper[] = {"Message", NULL};
	struct ks_str value, name, rest;

	if (!ks_secretstore_find(body, type, &value) || ks_json_kind(value) != '"')
		return false;
	name = ks_str_sub(value, 1, value.n - 2);
	/* Some carry a namespace before the name. */
	if (ks_str_split(name, '#', &value, &rest))
		name = rest;
	ret_error->name = name;
	if (!ks_secretstore_find(body, lower, &ret_error->text) && !ks_secretstore_find(body, upper, &ret_error->text))
		ret_error->text = KS_STR("");
	return true;
}

static void put_member(struct ks_buf *b, const char *name, struct ks_str value)
{
	if (!value.n)
		return;
	ks_buf_put_c(b, name);
	ks_buf_put_json(b, value);
}

static enum ks_secretstore_code take_value(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response)
{
	static const char *const text[] = {"SecretString", NULL}, *const binary[] = {"SecretBinary", NULL};
	struct ks_str body = ks_secretstore_body(response), value;
	struct ks_buf no_room = {0};

	f->status = response->status;
	if (!ks_json_check(body))
		return KS_SECRETSTORE_MALFORMED;
	ks_secretstore_keep(f->version, sizeof(f->version), ks_secretstore_text(body, "VersionId", &no_room));
	if (!f->version[0])
		return KS_SECRETSTORE_MALFORMED;
	if (ks_secretstore_find(body, text, &value) && ks_json_kind(value) != 'n')
		return ks_secretstore_take_string(value, &f->value);
	if (ks_secretstore_find(body, binary, &value) && ks_json_kind(value) != 'n')
		return ks_secretstore_take_base64(value, &f->value);
	return KS_SECRETSTORE_MALFORMED;
}

enum ks_secretstore_code ks_secretstore_aws_get(struct ks_secretstore_fetch *f, struct ks_aws_call *call)
{
	char body[4096];
	struct ks_buf b = KS_BUF(body);
	struct ks_fetch_response response;
	enum ks_secretstore_code code;

	ks_buf_put_c(&b, "{");
	put_member(&b, "\"SecretId\":", f->reference->secret);
	put_member(&b, ",\"VersionId\":", f->reference->version);
	put_member(&b, ",\"VersionStage\":", f->reference->stage);
	ks_buf_put_c(&b, "}");
	call->target = KS_STR("secretsmanager.GetSecretValue");
	call->body = ks_buf_str(&b);
	if (!ks_buf_ok(&b))
		return KS_SECRETSTORE_INTERNAL;
	code = ks_secretstore_aws_send(f, call, &response);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_value(f, &response)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_READ, &response, ks_secretstore_aws_error);
	ks_fetch_response_free(&response);
	return code;
}

void ks_secretstore_aws_call(const struct ks_identity *identity, struct ks_str region, struct ks_aws_call *ret_call)
{
	*ret_call = (struct ks_aws_call){
		.service = "secretsmanager",
		.region = region,
		.endpoint = identity->endpoint,
		.content_type = KS_STR("application/x-amz-json-1.1"),
		.access_key = identity->access_key_id,
		.secret_key = ks_str_of((const char *)identity->secret.bytes, identity->secret.n),
		.session_token = ks_str_of((const char *)identity->session_token.bytes, identity->session_token.n),
	};
}

enum ks_secretstore_code ks_secretstore_aws(struct ks_secretstore_fetch *f)
{
	struct ks_secret session = {0};
	struct ks_aws_call call;
	enum ks_secretstore_code code = KS_SECRETSTORE_OK;

	ks_secretstore_aws_call(f->identity, f->reference->region, &call);
	if (f->reference->endpoint.n)
		call.endpoint = f->reference->endpoint;
	if (f->reference->role.n) {
		code = ks_secretstore_of_err(ks_secret_new(&session, KS_SECRETSTORE_TOKEN_MAX));
		if (code == KS_SECRETSTORE_OK)
			code = assume(f, &session, &call);
		f->logged_in = code == KS_SECRETSTORE_OK;
	}
	if (code == KS_SECRETSTORE_OK)
		code = ks_secretstore_aws_get(f, &call);
	ks_secret_free(&session);
	return code;
}
