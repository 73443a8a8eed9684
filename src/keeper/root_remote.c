/* SPDX-License-Identifier: Apache-2.0 */
/* Roots in a key management service: AWS KMS (Encrypt, Decrypt; the EncryptionContext binds) and the transit engine of Vault or
 * OpenBao (encrypt, decrypt; the context of a derived key binds). */
#include <stdio.h>
#include <time.h>

#include "base/ctenc.h"
#include "base/json.h"
#include "crypto/sha256.h"
#include "crypto/sigv4.h"
#include "keeper/remote.h"

#define KIND_AWS 4
#define KIND_TRANSIT 5
#define CREDENTIAL_MAX 4096
#define BODY_MAX 4096

/* What the start left; one service for the process. */
static struct {
	const char *region, *key;
	char url[KS_CHILD_TEXT_MAX + 128], host[256];
	struct ks_secret credentials;  /* the file; the texts below lie in it */
	struct ks_str access_key, secret_key, session_token;
} service;

/* ---- the start ---- */

static enum ks_err name_root(struct ks_root *root, const char *kind)
{
	char text[2 * KS_CHILD_TEXT_MAX + 256];
	struct ks_buf b = KS_BUF(text), label = KS_BUF(root->label);
	struct ks_digest digest;

	ks_buf_put_c(&b, service.url);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_c(&b, service.key);
	KS_TRY(ks_sha256(ks_buf_str(&b), &digest));
	memcpy(root->id, digest.bytes, sizeof(root->id));
	ks_buf_put_c(&label, kind);
	ks_buf_put_byte(&label, ' ');
	ks_buf_put_hex(&label, root->id, sizeof(root->id));
	(void)ks_buf_z(&label);
	return KS_OK;
}

/* Host and port as the Host header says them. */
static bool take_host(struct ks_str url)
{
	struct ks_str scheme, rest, host = KS_STR("");
	struct ks_buf b = KS_BUF(service.host);

	if (!ks_str_split(url, '/', &scheme, &rest) || rest.n == 0 || rest.p[0] != '/')
		return false;
	rest = ks_str_sub(rest, 1, rest.n);
	host = rest;
	if (ks_str_split(rest, '/', &host, &rest) && rest.n > 0)
		return false;
	ks_buf_put(&b, host);
	(void)ks_buf_z(&b);
	return ks_buf_ok(&b) && host.n > 0;
}

static enum ks_err open_service(const struct ks_child_settings *s, struct ks_child_problem *problem)
{
	if (!take_host(ks_str_c(s->kms_url)))
		return ks_child_problem(problem, KS_MALFORMED, "vault.kms_url must be https://host or https://host:port");
	service.key = s->kms_key;
	service.region = s->kms_region;
	KS_TRY(ks_secret_new(&service.credentials, CREDENTIAL_MAX + 2));
	return ks_remote_open(s->kms_ca_file, problem);
}

/* "access key:secret key" or "access key:secret key:session token". */
static enum ks_err open_aws(struct ks_root *root, const struct ks_child_settings *s, struct ks_child_problem *problem)
{
	struct ks_str line, rest;

	KS_TRY(open_service(s, problem));
	KS_TRY(ks_child_read_secret(s->kms_credentials_file, 8, CREDENTIAL_MAX, &service.credentials, problem));
	line = ks_str_of((const char *)service.credentials.bytes, service.credentials.n);
	if (!ks_str_split(line, ':', &service.access_key, &rest))
		return ks_child_problem(problem, KS_MALFORMED, "%s must be ACCESS_KEY:SECRET_KEY", s->kms_credentials_file);
	service.secret_key = rest;
	(void)!ks_str_split(rest, ':', &service.secret_key, &service.session_token);
	(void)snprintf(service.url, sizeof(service.url), "%s/", s->kms_url);
	return name_root(root, "aws-kms");
}

static enum ks_err open_transit(struct ks_root *root, const struct ks_child_settings *s, struct ks_child_problem *problem)
{
	KS_TRY(open_service(s, problem));
	KS_TRY(ks_child_read_secret(s->kms_credentials_file, 4, CREDENTIAL_MAX, &service.credentials, problem));
	(void)snprintf(service.url, sizeof(service.url), "%s", s->kms_url);
	return name_root(root, "vault-transit");
}

/* ---- answers ---- */

/* The decoded text of a member, which is base64. */
static bool take_base64(struct ks_str object, const char *name, uint8_t *ret_bytes, size_t cap, size_t *ret_n)
{
	char text[KS_KEEPER_WRAPPED_MAX * 2];
	struct ks_buf room = KS_BUF(text);
	struct ks_str value, string;
	bool ok = ks_json_member(object, ks_str_c(name), &value) && ks_json_string(value, &room, &string)
		  && ks_base64_decode(string, ret_bytes, cap, ret_n);

	ks_wipe(text, room.n);
	return ok;
}

static bool take_data(struct ks_str body, struct ks_str *ret_data)
{
	return ks_json_check(body) && ks_json_member(body, KS_STR("data"), ret_data);
}

static void put_base64(struct ks_buf *b, const void *bytes, size_t n)
{
	size_t written = ks_base64_encode(bytes, n, &b->p[b->n], b->cap - b->n);

	b->n += written;
	b->overflow |= written == 0 && n > 0;
}

/* ---- AWS KMS ---- */

static enum ks_err ask_aws(const char *action, struct ks_str body, long *ret_status, struct ks_buf *answer)
{
	struct ks_sigv4_request r = {
		.method = KS_STR("POST"), .host = ks_str_c(service.host), .path = KS_STR("/"), .query = KS_STR(""), .body = body,
		.region = ks_str_c(service.region), .service = KS_STR("kms"), .access_key = service.access_key,
		.secret_key = service.secret_key, .session_token = service.session_token, .now_s = (int64_t)time(NULL),
	};
	struct ks_sigv4_signed made;
	struct ks_remote_request out = {.url = service.url, .body = body};

	r.headers[0] = (struct ks_sigv4_header){KS_STR("Content-Type"), KS_STR("application/x-amz-json-1.1")};
	r.headers[1] = (struct ks_sigv4_header){KS_STR("X-Amz-Target"), ks_str_c(action)};
	r.header_count = 2;
	if (ks_sigv4_sign(&r, &made) != KS_OK)
		return KS_KMS;
	out.headers[0] = (struct ks_remote_header){"Content-Type", KS_STR("application/x-amz-json-1.1")};
	out.headers[1] = (struct ks_remote_header){"X-Amz-Target", ks_str_c(action)};
	out.headers[2] = (struct ks_remote_header){"X-Amz-Date", ks_str_c(made.date)};
	out.headers[3] = (struct ks_remote_header){"Authorization", ks_str_c(made.authorization)};
	out.headers[4] = (struct ks_remote_header){"X-Amz-Security-Token", r.session_token};
	out.header_count = r.session_token.n > 0 ? 5 : 4;
	return ks_remote_post(&out, ret_status, answer);
}

static void begin_aws(struct ks_buf *b, struct ks_str associated)
{
	ks_buf_put_c(b, "{\"KeyId\":");
	ks_buf_put_json(b, ks_str_c(service.key));
	ks_buf_put_c(b, ",\"EncryptionContext\":{\"keystile\":\"");
	put_base64(b, associated.p, associated.n);
	ks_buf_put_c(b, "\"},");
}

static enum ks_err wrap_aws(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
			    const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out)
{
	char text[BODY_MAX], answer_text[KS_REMOTE_ANSWER_MAX];
	struct ks_buf body = KS_BUF(text), answer = KS_BUF(answer_text);
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	enum ks_err err;
	long status = 0;
	size_t n = 0;

	(void)root;
	(void)w;
	begin_aws(&body, associated);
	ks_buf_put_c(&body, "\"Plaintext\":\"");
	put_base64(&body, key, KS_SEAL_KEY_SIZE);
	ks_buf_put_c(&body, "\"}");
	err = ks_buf_ok(&body) ? ask_aws("TrentService.Encrypt", ks_buf_str(&body), &status, &answer) : KS_TOO_LARGE;
	ks_wipe(text, sizeof(text));
	KS_TRY(err);
	if (status != 200 || !ks_json_check(ks_buf_str(&answer))
	    || !take_base64(ks_buf_str(&answer), "CiphertextBlob", wrapped, sizeof(wrapped), &n))
		return KS_KMS;
	ks_buf_put(out, ks_str_of((const char *)wrapped, n));
	return KS_OK;
}

/* What the service says of a wrapped key. */
static enum ks_err read_aws(struct ks_str answer, long status, uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	struct ks_str type;
	size_t n = 0;

	if (!ks_json_check(answer))
		return KS_KMS;
	if (status == 200)
		return take_base64(answer, "Plaintext", ret_key, KS_SEAL_KEY_SIZE, &n) && n == KS_SEAL_KEY_SIZE ? KS_OK : KS_KMS;
	return ks_json_member(answer, KS_STR("__type"), &type) && ks_json_string_is(type, KS_STR("InvalidCiphertextException"))
		       ? KS_CORRUPT
		       : KS_KMS;
}

typedef enum ks_err asker(const char *what, struct ks_str body, long *ret_status, struct ks_buf *answer);
typedef enum ks_err reader(struct ks_str answer, long status, uint8_t ret_key[KS_SEAL_KEY_SIZE]);

/* Asks for a key; nothing of the answer stays, whole or cut. */
static enum ks_err ask_key(asker *ask, const char *what, const struct ks_buf *body, reader *read, uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	char text[KS_REMOTE_ANSWER_MAX];
	struct ks_buf answer = KS_BUF(text);
	long status = 0;
	enum ks_err err = ks_buf_ok(body) ? ask(what, ks_buf_str(body), &status, &answer) : KS_TOO_LARGE;

	if (err == KS_OK)
		err = read(ks_buf_str(&answer), status, ret_key);
	ks_wipe(text, sizeof(text));
	return err;
}

static enum ks_err unwrap_aws(struct ks_root *root, struct ks_worker *w, struct ks_str associated, struct ks_str wrapped,
			      uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	char text[BODY_MAX];
	struct ks_buf body = KS_BUF(text);

	(void)root;
	(void)w;
	begin_aws(&body, associated);
	ks_buf_put_c(&body, "\"CiphertextBlob\":\"");
	put_base64(&body, wrapped.p, wrapped.n);
	ks_buf_put_c(&body, "\"}");
	return ask_key(ask_aws, "TrentService.Decrypt", &body, read_aws, ret_key);
}

/* ---- Vault transit ---- */

static enum ks_err ask_transit(const char *verb, struct ks_str body, long *ret_status, struct ks_buf *answer)
{
	char url[sizeof(service.url) + KS_CHILD_TEXT_MAX + 64];
	struct ks_remote_request out = {.url = url, .body = body};

	/* The key is "mount/name". */
	struct ks_str mount, name;

	if (!ks_str_split(ks_str_c(service.key), '/', &mount, &name))
		return KS_KMS;
	(void)snprintf(url, sizeof(url), "%s/v1/%.*s/%s/%.*s", service.url, KS_STR_ARG(mount), verb, KS_STR_ARG(name));
	out.headers[0] = (struct ks_remote_header){"Content-Type", KS_STR("application/json")};
	out.headers[1] = (struct ks_remote_header){"X-Vault-Token",
						   ks_str_of((const char *)service.credentials.bytes, service.credentials.n)};
	out.header_count = 2;
	return ks_remote_post(&out, ret_status, answer);
}

static enum ks_err wrap_transit(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
				const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out)
{
	char text[BODY_MAX], answer_text[KS_REMOTE_ANSWER_MAX], wrapped_text[KS_KEEPER_WRAPPED_MAX];
	struct ks_buf body = KS_BUF(text), answer = KS_BUF(answer_text), room = KS_BUF(wrapped_text);
	struct ks_str data, value, wrapped;
	enum ks_err err;
	long status = 0;

	(void)root;
	(void)w;
	ks_buf_put_c(&body, "{\"context\":\"");
	put_base64(&body, associated.p, associated.n);
	ks_buf_put_c(&body, "\",\"plaintext\":\"");
	put_base64(&body, key, KS_SEAL_KEY_SIZE);
	ks_buf_put_c(&body, "\"}");
	err = ks_buf_ok(&body) ? ask_transit("encrypt", ks_buf_str(&body), &status, &answer) : KS_TOO_LARGE;
	ks_wipe(text, sizeof(text));
	KS_TRY(err);
	if (status != 200 || !take_data(ks_buf_str(&answer), &data) || !ks_json_member(data, KS_STR("ciphertext"), &value)
	    || !ks_json_string(value, &room, &wrapped) || !ks_str_starts(wrapped, KS_STR("vault:v")))
		return KS_KMS;
	ks_buf_put(out, wrapped);
	return KS_OK;
}

static enum ks_err read_transit(struct ks_str answer, long status, uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	struct ks_str data;
	size_t n = 0;

	if (status != 200)
		return status == 400 ? KS_CORRUPT : KS_KMS;
	if (!take_data(answer, &data) || !take_base64(data, "plaintext", ret_key, KS_SEAL_KEY_SIZE, &n))
		return KS_KMS;
	return n == KS_SEAL_KEY_SIZE ? KS_OK : KS_KMS;
}

static enum ks_err unwrap_transit(struct ks_root *root, struct ks_worker *w, struct ks_str associated, struct ks_str wrapped,
				  uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	char text[BODY_MAX];
	struct ks_buf body = KS_BUF(text);

	(void)root;
	(void)w;
	if (!ks_str_is_utf8(wrapped))
		return KS_CORRUPT;
	ks_buf_put_c(&body, "{\"context\":\"");
	put_base64(&body, associated.p, associated.n);
	ks_buf_put_c(&body, "\",\"ciphertext\":");
	ks_buf_put_json(&body, wrapped);
	ks_buf_put_c(&body, "}");
	return ask_key(ask_transit, "decrypt", &body, read_transit, ret_key);
}

const struct ks_root_kind ks_root_aws = {KIND_AWS, "aws-kms", open_aws, wrap_aws, unwrap_aws, true};
const struct ks_root_kind ks_root_transit = {KIND_TRANSIT, "vault-transit", open_transit, wrap_transit, unwrap_transit, true};
