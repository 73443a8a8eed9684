/* SPDX-License-Identifier: Apache-2.0 */
/* Invitations: made for a user, accepted with the token alone. A reset of a password is one too. */
#include <stdlib.h>

#include "api/login.h"
#include "base/secret.h"
#include "login/password.h"

/* ---- by administrators ---- */

static enum ks_err see(void *ctx, const struct ks_user_row *row)
{
	return ks_call_sees_user(ctx, row) ? KS_OK : KS_NOT_FOUND;
}

bool ks_call_path_user(struct ks_call *call, uint64_t *ret_user)
{
	uint64_t user;

	if (ks_id_parse(call->params[0], KS_ID_USER, &user)
	    && ks_store_user_get(call->reader->store, user, see, call) == KS_OK) {
		*ret_user = user;
		return true;
	}
	(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	return false;
}

static enum ks_finish change_user(struct ks_call *call, enum ks_err (*run)(struct ks_call *call, struct ks_tx *tx),
				  int status)
{
	uint64_t *id, user;

	if (!ks_call_path_user(call, &user))
		return KS_FINISH_DONE;
	id = malloc(sizeof(*id));
	if (!id)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	*id = user;
	call->extra = id;
	return ks_call_write(call, run, status);
}

static enum ks_err run_invite(struct ks_call *call, struct ks_tx *tx)
{
	const uint64_t *user = call->extra;
	struct ks_invited invited = {0};
	enum ks_err err = ks_users_invite(tx, &call->actor, *user, &invited, &call->job.refusal);

	if (err == KS_OK)
		err = ks_record_user_by_id(tx->store, &call->out, *user);
	if (err == KS_OK) {
		ks_json_reopen(&call->out, '}');
		ks_record_invited(&call->out, &invited);
		ks_json_close(&call->out, '}');
	}
	ks_wipe(&invited, sizeof(invited));
	return err;
}

enum ks_finish ks_api_users_invite(struct ks_call *call)
{
	call->wipe = true;
	return change_user(call, run_invite, 201);
}

static enum ks_err put_user(struct ks_call *call, struct ks_tx *tx, uint64_t user)
{
	KS_TRY(ks_record_user_by_id(tx->store, &call->out, user));
	ks_json_reopen(&call->out, '}');
	KS_TRY(ks_record_access(tx->store, &call->out, user));
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static enum ks_err run_uninvite(struct ks_call *call, struct ks_tx *tx)
{
	const uint64_t *user = call->extra;

	KS_TRY(ks_users_uninvite(tx, &call->actor, *user, &call->job.refusal));
	return put_user(call, tx, *user);
}

enum ks_finish ks_api_users_uninvite(struct ks_call *call)
{
	return change_user(call, run_uninvite, 200);
}

static enum ks_err run_totp_remove(struct ks_call *call, struct ks_tx *tx)
{
	const uint64_t *user = call->extra;

	KS_TRY(ks_users_totp_remove(tx, &call->actor, *user, &call->job.refusal));
	return put_user(call, tx, *user);
}

enum ks_finish ks_api_users_totp_remove(struct ks_call *call)
{
	return change_user(call, run_totp_remove, 200);
}

/* ---- by whoever has the token ---- */

struct accept {
	struct ks_acceptance with;
	struct ks_str password;             /* in the body */
	char hash[KS_PASSWORD_HASH_SIZE];
	char address[KS_ADDR_TEXT_SIZE];
};


static void drop(struct ks_call *call)
{
	if (call->extra)
		ks_wipe(call->extra, sizeof(struct accept));
	free(call->extra);
}

static enum ks_err run_accept(struct ks_call *call, struct ks_tx *tx)
{
	struct accept *accept = call->extra;
	uint64_t user;

	KS_TRY(ks_invitations_accept(tx, &accept->with, &user, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "user");
	KS_TRY(ks_record_user_by_id(tx->store, &call->out, user));
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static enum ks_err note_user(void *ctx, const struct ks_invitation_row *row)
{
	uint64_t *user = ctx;

	*user = row->user;
	return KS_OK;
}

/* On a thread for hashing. What is found here is looked at again in the change. */
static enum ks_finish hash(struct ks_call *call)
{
	struct accept *accept = call->extra;
	struct ks_person person = {.user = 0};
	enum ks_finish answered;
	uint64_t user = 0;
	enum ks_err err = ks_store_invitation_by_digest(call->reader->store, &accept->with.digest, note_user, &user);

	if (err == KS_OK)
		err = ks_person_read(call->reader->store, KS_STR(""), user, &person);
	ks_wipe(person.hash, sizeof(person.hash));
	if (err == KS_OK) {
		const char *fault = ks_password_fault(accept->password, ks_str_c(person.email));

		if (fault)
			ks_in_problem(&call->in, "", "password", "%s", fault);
		if (ks_call_invalid(call, &answered))
			return answered;
		err = ks_password_hash(accept->password, call->api->options.password_cost, accept->hash);
	}
	if (err == KS_NOT_FOUND)
		return ks_call_problem(call, KS_PROBLEM_INVITATION_INVALID, NULL);
	if (err != KS_OK)
		return ks_call_problem(call, err == KS_MEMORY ? KS_PROBLEM_OVERLOADED : ks_problem_of_err(err), NULL);
	accept->with.hash = ks_str_c(accept->hash);
	return ks_call_write(call, run_accept, 200);
}

enum ks_finish ks_api_invitations_accept(struct ks_call *call)
{
	static const char *const known[] = {"token", "password", "name", NULL};
	struct accept *accept = calloc(1, sizeof(*accept));
	struct ks_str token;
	enum ks_finish answered;

	if (!accept)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = accept;
	call->drop = drop;
	call->unkept = true;
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	token = ks_in_str(&call->in, call->body, "", "token", KS_INVITATION_TEXT_SIZE, true);
	accept->password = ks_in_str(&call->in, call->body, "", "password", KS_PASSWORD_MAX, true);
	accept->with.name = ks_in_str(&call->in, call->body, "", "name", KS_STORE_NAME_MAX, false);
	if (ks_str_has_control(accept->with.name))
		ks_in_problem(&call->in, "", "name", "This must not have control characters.");
	if (ks_call_invalid(call, &answered))
		return answered;
	ks_call_address(call, accept->address);
	accept->with.address = ks_str_c(accept->address);
	accept->with.request_id = ks_str_c(call->exchange->request_id);
	if (!ks_invitation_digest(token, &accept->with.digest))
		return ks_call_problem(call, KS_PROBLEM_INVITATION_INVALID, NULL);
	return ks_call_hash(call, hash);
}
