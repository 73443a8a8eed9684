/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/account/…: what a user changes of its own access, with the cookie alone. */
#include <stdlib.h>

#include "api/login.h"
#include "base/secret.h"
#include "crypto/random.h"
#include "login/password.h"

#define CODE_MAX 64
#define URL_MAX 2048

struct change {
	uint64_t user;
	struct ks_person person;
	struct ks_str password;             /* the current one; in the body, as the next two */
	struct ks_str new_password;
	struct ks_str code;
	char hash[KS_PASSWORD_HASH_SIZE];
	uint8_t secret[KS_TOTP_SECRET_SIZE];
};

static void drop(struct ks_call *call)
{
	if (call->extra)
		ks_wipe(call->extra, sizeof(struct change));
	free(call->extra);
}

/* call->extra; NULL: answered. */
static struct change *change_of(struct ks_call *call)
{
	struct change *change;
	uint64_t user;

	if (!ks_call_no_query(call) || !ks_call_own_user(call, true, &user))
		return NULL;
	change = calloc(1, sizeof(*change));
	if (!change) {
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		return NULL;
	}
	change->user = user;
	call->extra = change;
	call->drop = drop;
	call->unkept = true;
	call->wipe = true;
	return change;
}

/* ---- the current password, on a thread for hashing ---- */

/* False: answered. */
static bool check_password(struct ks_call *call, struct change *change)
{
	enum ks_err err = ks_person_read(call->reader->store, KS_STR(""), change->user, &change->person);

	if (err != KS_OK) {
		(void)ks_call_problem(call, ks_problem_of_err(err), NULL);
		return false;
	}
	if (change->person.changed_at == KS_TIME_NONE) {
		(void)ks_call_problem(call, KS_PROBLEM_CONFLICT, "This user has no password.");
		return false;
	}
	err = ks_password_verify(ks_str_c(change->person.hash), change->password, call->api->options.password_cost);
	if (err != KS_OK) {
		ks_api_count_login(KS_LOGIN_FAILED);
		(void)ks_call_problem(call, KS_PROBLEM_PASSWORD_WRONG, NULL);
		return false;
	}
	ks_throttle_right(call, ks_str_c(call->actor.id));
	return true;
}

/* ---- the password ---- */

static enum ks_err run_password(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_account_set_password(tx, &call->actor, change->user, change->person.changed_at,
				       ks_str_c(change->hash), call->actor.session, &call->job.refusal));
	return ks_record_user_by_id(tx->store, &call->out, change->user);
}

static enum ks_finish hash_password(struct ks_call *call)
{
	struct change *change = call->extra;
	enum ks_finish answered;
	const char *fault;
	enum ks_err err;

	if (!check_password(call, change))
		return KS_FINISH_DONE;
	fault = ks_password_fault(change->new_password, ks_str_c(change->person.email));
	if (fault)
		ks_in_problem(&call->in, "", "new_password", "%s", fault);
	if (ks_call_invalid(call, &answered))
		return answered;
	err = ks_password_hash(change->new_password, call->api->options.password_cost, change->hash);
	if (err != KS_OK)
		return ks_call_problem(call, err == KS_MEMORY ? KS_PROBLEM_OVERLOADED : KS_PROBLEM_INTERNAL, NULL);
	return ks_call_write(call, run_password, 200);
}

enum ks_finish ks_api_account_password(struct ks_call *call)
{
	static const char *const known[] = {"password", "new_password", NULL};
	struct change *change = change_of(call);
	enum ks_finish answered;

	if (!change)
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	change->password = ks_in_str(&call->in, call->body, "", "password", KS_PASSWORD_MAX, true);
	change->new_password = ks_in_str(&call->in, call->body, "", "new_password", KS_PASSWORD_MAX, true);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_throttle_admit(call, ks_str_c(call->actor.id)))
		return KS_FINISH_DONE;
	return ks_call_hash(call, hash_password);
}

/* ---- the second factor ---- */

struct factor {
	bool enabled;
	int64_t confirmed_at;
};

static enum ks_err note_factor(void *ctx, const struct ks_totp_row *row)
{
	struct factor *factor = ctx;

	factor->enabled = row->confirmed_at != KS_TIME_NONE;
	factor->confirmed_at = row->confirmed_at;
	return KS_OK;
}

enum ks_finish ks_api_account_totp(struct ks_call *call)
{
	struct factor factor = {.confirmed_at = KS_TIME_NONE};
	uint64_t user, left = 0;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_own_user(call, false, &user))
		return KS_FINISH_DONE;
	err = ks_store_totp_get(call->reader->store, user, note_factor, &factor);
	if (err == KS_OK || err == KS_NOT_FOUND)
		err = ks_store_recovery_left(call->reader->store, user, &left);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_json_open(&call->out, '{');
	ks_json_put_bool(&call->out, "enabled", factor.enabled);
	ks_json_put_time(&call->out, "confirmed_at", factor.confirmed_at);
	ks_json_put_u64(&call->out, "recovery_codes_left", left);
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 200);
}

/* The secret is in one answer, this one. */
static enum ks_err run_begin(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;
	char text[URL_MAX];
	struct ks_buf b = KS_BUF(text);

	KS_TRY(ks_account_totp_begin(tx, &call->actor, change->user, change->secret, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_base32_put(&b, change->secret, sizeof(change->secret));
	ks_json_put_str(&call->out, "secret", ks_buf_str(&b));
	b.n = 0;
	ks_totp_put_url(&b, change->secret, ks_str_c(call->api->options.realm), ks_str_c(change->person.email));
	ks_json_put_str(&call->out, "url", ks_buf_str(&b));
	ks_json_close(&call->out, '}');
	ks_wipe(text, sizeof(text));
	return ks_buf_ok(&b) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_finish begin_totp(struct ks_call *call)
{
	struct change *change = call->extra;

	if (!check_password(call, change))
		return KS_FINISH_DONE;
	if (ks_random(change->secret, sizeof(change->secret)) != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	return ks_call_write(call, run_begin, 201);
}

enum ks_finish ks_api_account_totp_begin(struct ks_call *call)
{
	static const char *const known[] = {"password", NULL};
	struct change *change = change_of(call);
	enum ks_finish answered;

	if (!change)
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	change->password = ks_in_str(&call->in, call->body, "", "password", KS_PASSWORD_MAX, true);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_throttle_admit(call, ks_str_c(call->actor.id)))
		return KS_FINISH_DONE;
	return ks_call_hash(call, begin_totp);
}

static void code_was_right(struct ks_call *call)
{
	ks_throttle_right(call, ks_str_c(call->actor.id));
}

static enum ks_finish with_code(struct ks_call *call, enum ks_err (*run)(struct ks_call *call, struct ks_tx *tx))
{
	static const char *const known[] = {"code", NULL};
	struct change *change = change_of(call);
	enum ks_finish answered;

	if (!change)
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	change->code = ks_in_str(&call->in, call->body, "", "code", CODE_MAX, true);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_throttle_admit(call, ks_str_c(call->actor.id)))
		return KS_FINISH_DONE;
	call->succeeded = code_was_right;
	return ks_call_write(call, run, 200);
}

static enum ks_err run_confirm(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;
	struct ks_recovery_codes recovery;
	enum ks_err err = ks_account_totp_confirm(tx, &call->actor, change->user, change->code, &recovery,
						  &call->job.refusal);

	if (err != KS_OK)
		return err;
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "recovery_codes");
	ks_json_open(&call->out, '[');
	for (size_t i = 0; i < KS_RECOVERY_CODES; i++)
		ks_json_c(&call->out, recovery.codes[i]);
	ks_json_close(&call->out, ']');
	ks_json_close(&call->out, '}');
	ks_wipe(&recovery, sizeof(recovery));
	return KS_OK;
}

enum ks_finish ks_api_account_totp_confirm(struct ks_call *call)
{
	return with_code(call, run_confirm);
}

static enum ks_err run_disable(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_account_totp_disable(tx, &call->actor, change->user, change->code, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_put_bool(&call->out, "enabled", false);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

enum ks_finish ks_api_account_totp_disable(struct ks_call *call)
{
	return with_code(call, run_disable);
}
