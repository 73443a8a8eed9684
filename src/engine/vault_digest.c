/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to digest challenges for a provider's password, which stays within the keeper where it is held by us. */
#include <stdlib.h>

#include "crypto/random.h"
#include "engine/seal.h"
#include "engine/vault_priv.h"
#include "keeper/keeper.h"
#include "keeper/sip_digest.h"

#define PASSWORD "password"
#define USER "user"
#define AUTH_USER "auth_user"

static const struct ks_vault_sealed_field *item_of(const struct ks_vault_fields *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (ks_str_eq(ks_str_c(f->items[i].field), ks_str_c(name)))
			return &f->items[i];
	}
	return NULL;
}

static enum ks_err check(struct ks_str challenge, struct ks_refusal *refusal)
{
	struct ks_sip_asked asked;
	enum ks_err err = ks_sip_challenge_parse(challenge, &asked);

	if (err == KS_VERSION)
		return ks_refuse_invalid(refusal, "/challenge", "asks for an algorithm or protection that is not known");
	if (err != KS_OK)
		return ks_refuse_invalid(refusal, "/challenge", "must be the value of one WWW-Authenticate or"
								" Proxy-Authenticate header that asks for a digest");
	return KS_OK;
}

/* The password comes from the customer's store: it is used here, and wiped. */
static enum ks_err answer_here(const struct ks_vault_challenge *c, struct ks_str user, struct ks_str password,
			       struct ks_buf *out)
{
	struct ks_sip_asked asked;
	uint8_t random[16];
	char nonce[2 * sizeof(random) + 1];
	struct ks_buf b = KS_BUF(nonce);

	KS_TRY(ks_sip_challenge_parse(c->challenge, &asked));
	KS_TRY(ks_random(random, sizeof(random)));
	ks_buf_put_hex(&b, random, sizeof(random));
	return ks_sip_answer(&asked,
			     &(struct ks_sip_credentials){.user = user,
							  .password = password,
							  .method = c->method,
							  .uri = c->uri,
							  .body = c->body,
							  .client_nonce = ks_buf_str(&b),
							  .count = c->count},
			     out);
}

static enum ks_err answer_there(struct ks_engine *engine, const struct ks_vault_fields *f,
				const struct ks_vault_sealed_field *password, const struct ks_vault_challenge *c,
				struct ks_str user, struct ks_buf *out)
{
	struct ks_keeper_org org = {f->organization, (uint32_t)f->key_number, f->wrapped};
	struct ks_keeper_binding binding = {f->tenant, f->provider, ks_str_c(password->field), password->version};
	struct ks_keeper_sip sip = {.challenge = c->challenge,
				    .method = c->method,
				    .uri = c->uri,
				    .user = user,
				    .body = c->body,
				    .count = c->count};
	size_t n = 0;

	KS_TRY(ks_keeper_sip_digest(ks_engine_keeper(engine), &org, &binding, password->sealed, &sip, &out->p[out->n],
				    out->cap - out->n, &n));
	out->n += n;
	return KS_OK;
}

/* What is opened here: the user, and a password that is a reference. */
static enum ks_err answer(struct ks_engine *engine, const struct ks_vault_fields *f,
			  const struct ks_vault_sealed_field *user, const struct ks_vault_sealed_field *password,
			  const struct ks_vault_challenge *c, struct ks_buf *out, const char **ret_code)
{
	struct ks_vault_sealed_field items[] = {*user, *password};
	struct ks_vault_fields some = *f;
	struct ks_vault_opened opened;
	enum ks_err err;

	some.items = items;
	some.count = password->kind == KS_FIELD_KIND_REFERENCE ? 2 : 1;
	err = ks_vault_open_fields(engine, &some, c->deadline_ms, &opened);
	for (size_t i = 0; i < some.count && err == KS_OK; i++) {
		if (opened.items[i].err != KS_OK) {
			*ret_code = opened.items[i].code;
			err = KS_CORRUPT;
		}
	}
	if (err == KS_OK)
		err = some.count > 1 ? answer_here(c, opened.items[0].value, opened.items[1].value, out)
				     : answer_there(engine, f, password, c, opened.items[0].value, out);
	if (err == KS_CORRUPT && !*ret_code)
		*ret_code = "value_unreadable";
	ks_vault_opened_free(&opened);
	return err;
}

/* What of the two lies elsewhere. False: the password could not be had, *ret_code says why. */
static bool bring(struct ks_engine *engine, struct ks_vault_fields *f, const struct ks_vault_sealed_field *user,
		  const struct ks_vault_sealed_field *password, int64_t deadline_ms, const char **ret_code)
{
	const size_t items[] = {(size_t)(user - f->items), (size_t)(password - f->items)};

	ks_vault_bring(engine, f, items, KS_ARRAY_LEN(items), deadline_ms);
	*ret_code = password->code;
	return password->code == NULL;
}

enum ks_err ks_vault_answer_challenge(struct ks_engine *engine, struct ks_vault_fields *fields,
				      const struct ks_vault_challenge *challenge, struct ks_buf *out,
				      const char **ret_code, struct ks_refusal *ret_refusal)
{
	const struct ks_vault_sealed_field *password = item_of(fields, PASSWORD);
	const struct ks_vault_sealed_field *user = item_of(fields, AUTH_USER);
	enum ks_err err;

	*ret_code = NULL;
	user = user ? user : item_of(fields, USER);
	if (!password || !user)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "",
				 "this provider has no user and password to answer with");
	KS_TRY(check(challenge->challenge, ret_refusal));
	if (!bring(engine, fields, user, password, challenge->deadline_ms, ret_code))
		return KS_CORRUPT;
	err = answer(engine, fields, user, password, challenge, out, ret_code);
	return err == KS_MALFORMED ? ks_refuse_invalid(ret_refusal, "", "a text cannot stand in a header") : err;
}
