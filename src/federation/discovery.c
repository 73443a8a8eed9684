/* SPDX-License-Identifier: Apache-2.0 */
/* What others publish about themselves: metadata and keys. */
#include <stdlib.h>

#include "base/secret.h"
#include "federation/federation_priv.h"

#define WELL_KNOWN "/.well-known/openid-configuration"
#define METADATA_MAX 65536u

/* ---- JSON over HTTP ---- */

bool ks_fetch_json(struct ks_federation *federation, const struct ks_fetch_request *request,
		   struct ks_fetch_response *ret_response, struct ks_failure *ret_failure)
{
	enum ks_fetch_result result = ks_fetch_do(federation->fetch, request, ret_response);
	struct ks_str body = {ret_response->body, ret_response->body_n};

	if (result != KS_FETCH_OK)
		return ks_fail(ret_failure, "%s", ks_fetch_code(result));
	if (ret_response->status != 200)
		(void)ks_fail(ret_failure, "status_%d", ret_response->status);
	else if (!ks_json_check(body) || ks_json_kind(ks_str_trim(body)) != '{')
		(void)ks_fail(ret_failure, "not_json");
	else
		return true;
	ks_fetch_response_free(ret_response);
	return false;
}

bool ks_json_copy(struct ks_str object, const char *name, char *to, size_t cap)
{
	struct ks_buf b = ks_buf_of(to, cap);
	struct ks_str value, text;

	to[0] = '\0';
	if (!ks_json_member(object, ks_str_c(name), &value) || !ks_json_string(value, &b, &text) || text.n >= cap
	    || ks_str_has_control(text))
		return false;
	if (text.p != to)
		memmove(to, text.p, text.n);
	to[text.n] = '\0';
	return true;
}

static struct ks_fetch_request get(const struct ks_federation *federation, struct ks_str url, size_t body_max)
{
	return (struct ks_fetch_request){
		.method = "GET",
		.url = url,
		.headers = {{KS_STR("Accept"), KS_STR("application/json")}},
		.header_count = 1,
		.body_max = body_max,
		.timeout_ms = federation->options.timeout_ms,
	};
}

/* ---- metadata ---- */

static bool list_has(struct ks_str list, struct ks_str word)
{
	struct ks_json_read r = ks_json_read_of(list);
	bool first = true;

	if (ks_json_kind(list) != '[')
		return false;
	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']')) {
		if (ks_json_string_is(ks_json_read_raw(&r), word))
			return true;
	}
	return false;
}

/* Basic is what a provider takes that says nothing (Discovery 1.0, 3). */
static bool takes_secret_in_body(struct ks_str document)
{
	struct ks_str list;

	return ks_json_member(document, KS_STR("token_endpoint_auth_methods_supported"), &list)
	       && !list_has(list, KS_STR("client_secret_basic")) && list_has(list, KS_STR("client_secret_post"));
}

static bool read_metadata(struct ks_str document, struct ks_str issuer, struct ks_metadata *to,
			  struct ks_failure *failure)
{
	char name[KS_STORE_ISSUER_MAX + 1];
	struct ks_str flag;

	/* What one issuer says of itself counts for no other (Discovery 1.0, 4.3). */
	if (!ks_json_copy(document, "issuer", name, sizeof(name)) || !ks_str_eq(ks_str_c(name), issuer))
		return ks_fail(failure, "issuer_mismatch");
	(void)ks_json_copy(document, "authorization_endpoint", to->authorization_endpoint,
			   sizeof(to->authorization_endpoint));
	(void)ks_json_copy(document, "token_endpoint", to->token_endpoint, sizeof(to->token_endpoint));
	(void)ks_json_copy(document, "userinfo_endpoint", to->userinfo_endpoint, sizeof(to->userinfo_endpoint));
	(void)ks_json_copy(document, "jwks_uri", to->jwks_uri, sizeof(to->jwks_uri));
	to->names_itself = ks_json_member(document, KS_STR("authorization_response_iss_parameter_supported"), &flag)
			   && ks_json_kind(flag) == 't';
	to->secret_in_body = takes_secret_in_body(document);
	return to->jwks_uri[0] != '\0' || ks_fail(failure, "no_jwks_uri");
}

bool ks_discover(struct ks_federation *federation, struct ks_str issuer, struct ks_metadata *ret_metadata,
		 struct ks_failure *ret_failure)
{
	char url[KS_STORE_ISSUER_MAX + sizeof(WELL_KNOWN)];
	struct ks_buf b = KS_BUF(url);
	struct ks_fetch_request request;
	struct ks_fetch_response response;
	bool ok;

	ks_buf_put(&b, issuer);
	if (b.n > 0 && b.p[b.n - 1] == '/')
		b.n--;
	ks_buf_put_c(&b, WELL_KNOWN);
	request = get(federation, ks_buf_str(&b), METADATA_MAX);
	if (!ks_fetch_json(federation, &request, &response, ret_failure))
		return false;
	ok = read_metadata(ks_str_trim(ks_str_of(response.body, response.body_n)), issuer, ret_metadata, ret_failure);
	ks_fetch_response_free(&response);
	return ok;
}

/* ---- keys ---- */

static bool write_keys(const struct ks_jwk_set *set, char **ret_jwks, struct ks_failure *failure)
{
	size_t count = ks_jwk_set_count(set);
	struct ks_buf b = ks_buf_of(malloc(KS_STORE_JWKS_MAX + 1), KS_STORE_JWKS_MAX);

	if (!b.p)
		return ks_fail(failure, "memory");
	ks_buf_put_c(&b, "{\"keys\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			ks_buf_put_byte(&b, ',');
		ks_jose_key_write(ks_jwk_set_at(set, i), &b);
	}
	ks_buf_put_c(&b, "]}");
	if (!ks_buf_ok(&b)) {
		free(b.p);
		return ks_fail(failure, "too_large");
	}
	b.p[b.n] = '\0';
	*ret_jwks = b.p;
	return true;
}

bool ks_fetch_keys(struct ks_federation *federation, struct ks_str url, char **ret_jwks, struct ks_failure *ret_failure)
{
	KS_AUTO(ks_jwk_set_free_at) struct ks_jwk_set *set = NULL;
	const struct ks_fetch_request request = get(federation, url, KS_JWK_SET_MAX);
	struct ks_fetch_response response;
	enum ks_jose_problem problem;

	if (!ks_fetch_json(federation, &request, &response, ret_failure))
		return false;
	problem = ks_jwk_set_parse(ks_str_of(response.body, response.body_n), &set);
	ks_fetch_response_free(&response);
	if (problem != KS_JOSE_OK)
		return ks_fail(ret_failure, "%s", ks_jose_problem_name(problem));
	if (ks_jwk_set_count(set) == 0)
		return ks_fail(ret_failure, "no_keys");
	return write_keys(set, ret_jwks, ret_failure);
}
