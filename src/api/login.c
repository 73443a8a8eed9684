/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/session: log in. Whoever the address belongs to, whether it has a password, is disabled or does not exist, and
 * whatever is wrong: the same work is done, and the answer is the same. */
#include "api/login.h"

#include <stdlib.h>

#include "base/secret.h"
#include "engine/issuer.h"

#define CODE_MAX 64

struct login {
	struct ks_person person;
	struct ks_session_made made;
	char address[KS_ADDR_TEXT_SIZE];
	char email[KS_STORE_EMAIL_MAX + 1]; /* lower case: the name of the account, whether there is one or not */
	struct ks_str password;             /* in the body, as the next */
	struct ks_str code;
	bool jwt;                           /* the answer holds a JWT, and sets no cookie */
};

static void drop(struct ks_call *call)
{
	if (call->extra)
		ks_wipe(call->extra, sizeof(struct login));
	free(call->extra);
}

void ks_call_address(const struct ks_call *call, char ret_text[KS_ADDR_TEXT_SIZE])
{
	struct ks_addr addr;

	ret_text[0] = '\0';
	if (ks_client_address(call->api, call->exchange, &addr))
		ks_addr_format(&addr, ret_text);
}

/* ---- the session ---- */

uint64_t ks_session_replaced(struct ks_call *call, const struct ks_ring *ring)
{
	struct ks_str token = ks_cookie_token(call->api, call->exchange);
	const struct ks_ring_key *key;
	struct ks_digest digest;
	uint64_t slot;

	if (ks_str_empty(token) || ks_sha256(token, &digest) != KS_OK)
		return 0;
	key = ks_ring_key(ring, &digest, ks_ring_home(ring, &digest), &slot);
	return key ? key->id : 0;
}

static enum ks_err put_session(void *ctx, const struct ks_session_row *row)
{
	ks_record_session(ctx, row, row->id);
	return KS_OK;
}

static void count_refusal(struct ks_call *call, const struct login *login)
{
	struct ks_str code = ks_str_c(call->job.refusal.code);

	if (ks_str_eq(code, KS_STR("totp_required"))) {
		/* The password was right: nothing was guessed yet. */
		ks_throttle_undo(call, ks_str_c(login->email));
		ks_api_count_login(KS_LOGIN_TOTP_REQUIRED);
	} else {
		ks_api_count_login(ks_str_eq(code, KS_STR("totp_invalid")) ? KS_LOGIN_TOTP_INVALID : KS_LOGIN_FAILED);
	}
}

/* It ends with the session, and before a day is over in any case. */
static enum ks_err put_jwt(struct ks_call *call, const struct login *login)
{
	int64_t now_ms = call->exchange->now_ms;
	int64_t ends_ms = KS_MIN(login->made.expires_at, now_ms + KS_ISSUER_LIFETIME_MAX_MS);
	char text[KS_ISSUER_JWT_MAX];
	struct ks_buf b = KS_BUF(text);
	enum ks_err err = ks_issuer_mint_session(call->api->engine, &login->made.digest, login->person.user, now_ms,
						 ends_ms, &b);

	if (err == KS_OK) {
		ks_json_put_str(&call->out, "token", ks_buf_str(&b));
		ks_json_put_c(&call->out, "token_type", "Bearer");
		ks_json_put_time(&call->out, "token_expires_at", ends_ms - ends_ms % 1000);
	}
	ks_wipe(text, sizeof(text));
	return err;
}

static enum ks_err run(struct ks_call *call, struct ks_tx *tx)
{
	struct login *login = call->extra;
	struct ks_session_input input = {
		.user = login->person.user,
		.method = KS_SESSION_METHOD_PASSWORD,
		.password_changed_at = login->person.changed_at,
		.code = login->code,
		.address = ks_str_c(login->address),
		.agent = ks_exchange_header(call->exchange, KS_STR("User-Agent"), NULL),
		.request_id = ks_str_c(call->exchange->request_id),
		.replaces = ks_session_replaced(call, tx->ring),
	};
	enum ks_err err = ks_sessions_start(tx, &input, &login->made, &call->job.refusal);

	if (err != KS_OK) {
		count_refusal(call, login);
		return err;
	}
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "session");
	KS_TRY(ks_store_session_get(tx->store, login->made.id, put_session, &call->out));
	ks_json_name(&call->out, "user");
	KS_TRY(ks_record_user_by_id(tx->store, &call->out, login->person.user));
	if (login->jwt)
		KS_TRY(put_jwt(call, login));
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static void succeeded(struct ks_call *call)
{
	struct login *login = call->extra;

	ks_throttle_right(call, ks_str_c(login->email));
	ks_api_count_login(KS_LOGIN_OK);
	if (!login->jwt)
		ks_cookie_set(call, ks_str_c(login->made.token));
}

/* ---- the password ---- */

/* On a thread for hashing. */
static enum ks_finish check(struct ks_call *call)
{
	struct login *login = call->extra;
	enum ks_err err = ks_person_read(call->reader->store, ks_str_c(login->email), 0, &login->person);

	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	err = ks_password_verify(ks_str_c(login->person.hash), login->password, call->api->options.password_cost);
	if (err == KS_CRYPTO)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	if (err != KS_OK || login->person.disabled) {
		ks_api_count_login(KS_LOGIN_FAILED);
		return ks_call_problem(call, KS_PROBLEM_LOGIN_FAILED, NULL);
	}
	call->succeeded = succeeded;
	return ks_call_write(call, run, 200);
}

static void read_body(struct ks_call *call, struct login *login)
{
	static const char *const known[] = {"email", "password", "totp", "as", NULL};
	struct ks_buf b = ks_buf_of(login->email, sizeof(login->email));
	struct ks_str email = ks_in_str(&call->in, call->body, "", "email", KS_STORE_EMAIL_MAX, true);
	struct ks_str as = ks_in_str(&call->in, call->body, "", "as", 16, false);

	ks_in_known(&call->in, call->body, "", known);
	for (size_t i = 0; i < email.n; i++)
		ks_buf_put_byte(&b, email.p[i] >= 'A' && email.p[i] <= 'Z' ? (char)(email.p[i] - 'A' + 'a') : email.p[i]);
	(void)ks_buf_z(&b);
	login->password = ks_in_str(&call->in, call->body, "", "password", KS_PASSWORD_MAX, true);
	login->code = ks_in_str(&call->in, call->body, "", "totp", CODE_MAX, false);
	login->jwt = ks_str_eq(as, KS_STR("jwt"));
	if (!ks_str_empty(as) && !ks_str_eq(as, KS_STR("cookie")) && !login->jwt)
		ks_in_problem(&call->in, "", "as", "This must be cookie or jwt.");
	if (login->jwt && ks_str_empty(ks_issuer_name(call->api->engine)))
		ks_in_problem(&call->in, "", "as", "This service issues no JWTs.");
}

enum ks_finish ks_api_session_start(struct ks_call *call)
{
	struct login *login = calloc(1, sizeof(*login));
	enum ks_finish answered;

	if (!login)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = login;
	call->drop = drop;
	call->unkept = true;
	call->wipe = true;
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	read_body(call, login);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_throttle_admit(call, ks_str_c(login->email)))
		return KS_FINISH_DONE;
	ks_call_address(call, login->address);
	return ks_call_hash(call, check);
}
