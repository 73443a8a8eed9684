/* SPDX-License-Identifier: Apache-2.0 */
/* Google Cloud Secret Manager. A service account shows a JWT that it signed itself (AIP-4111); a workload identity pool gives
 * a token for one of another issuer's (RFC 8693, AIP-4117); either may act as another service account (generateAccessToken).
 * One, two or three round trips. */
#include "base/json.h"
#include "secretstore/secretstore_priv.h"

#define AUDIENCE_SECRETS "https://secretmanager.googleapis.com/"
#define AUDIENCE_IAM "https://iamcredentials.googleapis.com/"
#define SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define LIFETIME_S 300

static const char *or_else(struct ks_buf *b, struct ks_str set, const char *origin)
{
	if (set.n)
		ks_buf_put(b, set);
	else
		ks_buf_put_c(b, origin);
	return b->p;
}

/* https://secretmanager.googleapis.com, or of the place where the secret lies. */
static void put_origin(struct ks_buf *b, const struct ks_secretstore_fetch *f)
{
	struct ks_str rest = f->reference->secret, place, head;

	if (f->identity->endpoint.n) {
		ks_buf_put(b, f->identity->endpoint);
		return;
	}
	ks_buf_put_c(b, "https://secretmanager.");
	if (ks_str_split(rest, '/', &head, &rest) && ks_str_split(rest, '/', &head, &rest) && ks_str_split(rest, '/', &head, &rest)
	    && ks_str_eq(head, KS_STR("locations")) && ks_str_split(rest, '/', &place, &rest)) {
		ks_buf_put(b, place);
		ks_buf_put_c(b, ".rep.");
	}
	ks_buf_put_c(b, "googleapis.com");
}

static bool read_error(struct ks_str body, struct ks_secretstore_error *ret_error)
{
	static const char *const status[] = {"error", "status", NULL}, *const whole[] = {"error", NULL};
	static const char *const described[] = {"error_description", NULL};
	struct ks_str value;

	if (ks_secretstore_find(body, status, &value) && ks_json_kind(value) == '"') {
		ret_error->name = ks_str_sub(value, 1, value.n - 2);
		/* Message and details: the reason stands in the details. */
		return ks_secretstore_find(body, whole, &ret_error->text);
	}
	if (!ks_secretstore_find(body, whole, &value) || ks_json_kind(value) != '"')
		return false;
	ret_error->name = ks_str_sub(value, 1, value.n - 2);
	if (!ks_secretstore_find(body, described, &ret_error->text))
		ret_error->text = KS_STR("");
	return true;
}

/* ---- tokens ---- */

static enum ks_secretstore_code self_signed(struct ks_secretstore_fetch *f, const char *audience, struct ks_secret *ret_token)
{
	const struct ks_identity *identity = f->identity;
	long long now = (long long)ks_secretstore_now_s();
	char claims[1024], header[192];
	struct ks_buf c = KS_BUF(claims), h = KS_BUF(header), out;
	struct ks_secret token = {0};
	enum ks_err err = ks_secret_new(&token, KS_SECRETSTORE_TOKEN_MAX);

	ks_buf_printf(&c, "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"%s\",\"iat\":%lld,\"exp\":%lld}", identity->email, identity->email,
		      audience, now, now + LIFETIME_S);
	ks_buf_put_c(&h, ",\"kid\":");
	ks_buf_put_json(&h, ks_str_c(identity->kid));
	out = ks_buf_of((char *)token.bytes, token.cap);
	if (err == KS_OK)
		err = ks_secretstore_sign(identity, KS_SIGN_ALG_RS256, ks_buf_str(&h), ks_buf_str(&c), &out);
	token.n = out.n;
	if (err == KS_OK)
		*ret_token = token;
	else
		ks_secret_free(&token);
	return err == KS_FORBIDDEN ? KS_SECRETSTORE_IDENTITY_UNREADABLE : ks_secretstore_of_err(err);
}

static enum ks_secretstore_code take_token(const struct ks_fetch_response *response, const char *name, struct ks_secret *ret_token)
{
	const char *const path[] = {name, NULL};
	struct ks_str value;

	if (!ks_json_check(ks_secretstore_body(response)) || !ks_secretstore_find(ks_secretstore_body(response), path, &value)
	    || value.n > KS_SECRETSTORE_TOKEN_MAX || ks_secretstore_take_string(value, ret_token) != KS_SECRETSTORE_OK)
		return KS_SECRETSTORE_MALFORMED;
	return KS_SECRETSTORE_OK;
}

/* "Bearer " and the token. */
static enum ks_secretstore_code bearer(const struct ks_secret *token, struct ks_secret *ret_header)
{
	enum ks_err err = ks_secret_new(ret_header, token->n + 7);
	struct ks_buf b = ks_buf_of((char *)ret_header->bytes, ret_header->cap);

	if (err != KS_OK)
		return ks_secretstore_of_err(err);
	ks_buf_put_c(&b, "Bearer ");
	ks_buf_put(&b, ks_str_of((const char *)token->bytes, token->n));
	ret_header->n = b.n;
	return KS_SECRETSTORE_OK;
}

/* Sends with the token; at a login the answer's member `name` takes its place. */
static enum ks_secretstore_code send_with(struct ks_secretstore_fetch *f, struct ks_fetch_request *request,
					  const struct ks_secret *token, struct ks_fetch_response *ret_response)
{
	struct ks_secret header = {0};
	enum ks_secretstore_code code = bearer(token, &header);

	*ret_response = (struct ks_fetch_response){0};
	if (code != KS_SECRETSTORE_OK)
		return code;
	ks_secretstore_add_header(request, KS_STR("Authorization"), ks_str_of((const char *)header.bytes, header.n));
	code = ks_secretstore_send(f, request, ret_response);
	ks_secret_free(&header);
	return code;
}

static enum ks_secretstore_code impersonate(struct ks_secretstore_fetch *f, struct ks_secret *token)
{
	static const char body[] = "{\"scope\":[\"" SCOPE "\"],\"lifetime\":\"300s\"}";
	struct ks_fetch_request request = {.method = "POST", .body = {body, sizeof(body) - 1}};
	struct ks_fetch_response response;
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url);
	enum ks_secretstore_code code;

	(void)or_else(&b, f->identity->iam_endpoint, "https://iamcredentials.googleapis.com");
	ks_buf_put_c(&b, "/v1/projects/-/serviceAccounts/");
	ks_secretstore_put_escaped(&b, f->reference->impersonate, true);
	ks_buf_put_c(&b, ":generateAccessToken");
	request.url = ks_buf_str(&b);
	ks_secretstore_add_header(&request, KS_STR("Content-Type"), KS_STR("application/json"));
	code = send_with(f, &request, token, &response);
	ks_secret_free(token);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_token(&response, "accessToken", token)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_LOGIN, &response, read_error);
	ks_fetch_response_free(&response);
	return code;
}

static enum ks_secretstore_code exchange(struct ks_secretstore_fetch *f, struct ks_secret *ret_token)
{
	struct ks_secret subject = {0}, form = {0};
	struct ks_fetch_request request = {.method = "POST"};
	struct ks_fetch_response response = {0};
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url), body;
	enum ks_secretstore_code code = ks_secretstore_subject_token(f, &subject);

	if (code == KS_SECRETSTORE_OK)
		code = ks_secretstore_of_err(ks_secret_new(&form, KS_SECRETSTORE_TOKEN_MAX + 4096));
	if (code == KS_SECRETSTORE_OK) {
		body = ks_buf_of((char *)form.bytes, form.cap);
		ks_buf_put_c(&body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
				    "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
				    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&scope=");
		ks_secretstore_put_escaped(&body, KS_STR(SCOPE), true);
		ks_buf_put_c(&body, "&audience=");
		ks_secretstore_put_escaped(&body, f->identity->audience, true);
		ks_buf_put_c(&body, "&subject_token=");
		ks_secretstore_put_escaped(&body, ks_str_of((const char *)subject.bytes, subject.n), true);
		(void)or_else(&b, f->identity->sts_endpoint, "https://sts.googleapis.com");
		ks_buf_put_c(&b, "/v1/token");
		request.url = ks_buf_str(&b);
		request.body = ks_buf_str(&body);
		ks_secretstore_add_header(&request, KS_STR("Content-Type"), KS_STR("application/x-www-form-urlencoded"));
		code = ks_buf_ok(&body) ? ks_secretstore_send(f, &request, &response) : KS_SECRETSTORE_IDENTITY_UNREADABLE;
	}
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_token(&response, "access_token", ret_token)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_LOGIN, &response, read_error);
	ks_fetch_response_free(&response);
	ks_secret_free(&subject);
	ks_secret_free(&form);
	return code;
}

/* ---- the value ---- */

/* CRC-32C (RFC 3720, B.4), bit by bit: values are small. */
static uint32_t crc32c(const unsigned char *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (UINT32_C(0x82f63b78) & (0U - (crc & 1)));
	}
	return ~crc;
}

static enum ks_secretstore_code take_value(struct ks_secretstore_fetch *f, const struct ks_fetch_response *response)
{
	static const char *const data[] = {"payload", "data", NULL}, *const sum[] = {"payload", "dataCrc32c", NULL};
	struct ks_str body = ks_secretstore_body(response), value, name, rest, said;
	struct ks_buf no_room = {0};
	enum ks_secretstore_code code;
	uint64_t crc;

	f->status = response->status;
	if (!ks_json_check(body))
		return KS_SECRETSTORE_MALFORMED;
	/* A payload of no bytes is left out. */
	if (!ks_secretstore_find(body, data, &value))
		return ks_secretstore_text(body, "name", &no_room).n ? KS_SECRETSTORE_VALUE_EMPTY : KS_SECRETSTORE_MALFORMED;
	name = ks_secretstore_text(body, "name", &no_room);
	while (ks_str_split(name, '/', &said, &rest))
		name = rest;
	ks_secretstore_keep(f->version, sizeof(f->version), name);
	code = ks_secretstore_take_base64(value, &f->value);
	if (code != KS_SECRETSTORE_OK || !ks_secretstore_find(body, sum, &value))
		return code;
	if (ks_json_kind(value) == '"')
		value = ks_str_sub(value, 1, value.n - 2);
	/* An answer that was altered on its way is not this store's. */
	return ks_str_to_u64(value, UINT32_MAX, &crc) && crc == crc32c(f->value.bytes, f->value.n) ? KS_SECRETSTORE_OK
												     : KS_SECRETSTORE_MALFORMED;
}

static enum ks_secretstore_code access_version(struct ks_secretstore_fetch *f, const struct ks_secret *token)
{
	struct ks_fetch_request request = {.method = "GET"};
	struct ks_fetch_response response;
	char url[KS_SECRETSTORE_URL_SIZE];
	struct ks_buf b = KS_BUF(url);
	enum ks_secretstore_code code;

	put_origin(&b, f);
	ks_buf_put_c(&b, "/v1/");
	ks_secretstore_put_escaped(&b, f->reference->secret, false);
	ks_buf_put_c(&b, "/versions/");
	ks_secretstore_put_escaped(&b, f->reference->version, true);
	ks_buf_put_c(&b, ":access");
	request.url = ks_buf_str(&b);
	code = send_with(f, &request, token, &response);
	if (code == KS_SECRETSTORE_OK)
		code = response.status == 200 ? take_value(f, &response)
					      : ks_secretstore_refusal(f, KS_SECRETSTORE_STEP_READ, &response, read_error);
	ks_fetch_response_free(&response);
	return code;
}

enum ks_secretstore_code ks_secretstore_gcp(struct ks_secretstore_fetch *f)
{
	bool as_another = f->reference->impersonate.n > 0;
	struct ks_secret token = {0};
	enum ks_secretstore_code code;

	if (f->identity->auth == KS_IDENTITY_GCP_FEDERATION)
		code = exchange(f, &token);
	else
		code = self_signed(f, as_another ? AUDIENCE_IAM : AUDIENCE_SECRETS, &token);
	if (code == KS_SECRETSTORE_OK && as_another)
		code = impersonate(f, &token);
	if (code == KS_SECRETSTORE_OK)
		code = access_version(f, &token);
	ks_secret_free(&token);
	return code;
}
