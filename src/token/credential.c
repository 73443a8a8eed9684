/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ctenc.h"
#include "base/secret.h"
#include "token/token.h"

#define ANY_KIND 0xff

void ks_credential_init(struct ks_credential *credential)
{
	credential->presented = KS_PRESENTED_NOTHING;
	credential->basic_tried = false;
	credential->form = KS_TOKEN_NONE;
	credential->token = KS_STR("");
	credential->user = KS_STR("");
	credential->kinds = ANY_KIND;
}

static void malformed(struct ks_credential *credential)
{
	ks_credential_wipe(credential);
	credential->presented = KS_PRESENTED_MALFORMED;
}

/* Whether another credential may be added: none was yet. Otherwise the whole is malformed. */
static bool admit(struct ks_credential *credential)
{
	if (KS_LIKELY(credential->presented == KS_PRESENTED_NOTHING))
		return true;
	malformed(credential);
	return false;
}

static void present(struct ks_credential *credential, enum ks_presented presented, struct ks_str token, uint8_t kinds)
{
	credential->form = ks_token_form(token);
	if (KS_UNLIKELY(credential->form == KS_TOKEN_NONE)) {
		malformed(credential);
		return;
	}
	credential->presented = presented;
	credential->token = token;
	credential->kinds = kinds;
}

static void present_basic(struct ks_credential *credential, struct ks_str encoded)
{
	struct ks_str decoded, user, token;
	size_t n;

	if (!ks_base64_decode(encoded, (unsigned char *)credential->decoded, sizeof(credential->decoded), &n)) {
		malformed(credential);
		return;
	}
	decoded = ks_str_of(credential->decoded, n);
	if (!ks_str_is_utf8(decoded) || ks_str_has_control(decoded) || !ks_str_split(decoded, ':', &user, &token)) {
		malformed(credential);
		return;
	}
	credential->user = user;
	present(credential, KS_PRESENTED_BASIC, token, ANY_KIND);
	if (credential->form == KS_TOKEN_JWT)
		malformed(credential);
}

void ks_credential_authorization(struct ks_credential *credential, struct ks_str value)
{
	size_t scheme_n = 0, token_at;
	struct ks_str scheme, token;
	bool basic;

	if (value.n == 0)
		return;
	while (scheme_n < value.n && value.p[scheme_n] != ' ')
		scheme_n++;
	token_at = scheme_n;
	while (token_at < value.n && value.p[token_at] == ' ')
		token_at++;
	scheme = ks_str_of(value.p, scheme_n);
	token = ks_str_of(&value.p[token_at], value.n - token_at);
	basic = ks_str_eq_nocase(scheme, KS_STR("Basic"));
	credential->basic_tried |= basic;
	if (!admit(credential))
		return;
	if (basic && token.n > 0)
		present_basic(credential, token);
	else if (token.n > 0 && ks_str_eq_nocase(scheme, KS_STR("Bearer")))
		present(credential, KS_PRESENTED_TOKEN, token, ANY_KIND);
	else
		malformed(credential);
}

void ks_credential_header(struct ks_credential *credential, struct ks_str value, uint8_t kinds)
{
	if (value.n > 0 && admit(credential))
		present(credential, KS_PRESENTED_TOKEN, value, kinds);
}

void ks_credential_wipe(struct ks_credential *credential)
{
	/* Only Basic is ever decoded. */
	if (KS_UNLIKELY(credential->basic_tried))
		ks_wipe(credential->decoded, sizeof(credential->decoded));
	credential->form = KS_TOKEN_NONE;
	credential->token = KS_STR("");
	credential->user = KS_STR("");
}
