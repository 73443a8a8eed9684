/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, invitations and what else belongs to a user's access, as answers show them. */
#include "api/login.h"
#include "base/secret.h"

void ks_record_session(struct ks_json *json, const struct ks_session_row *row, uint64_t current)
{
	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_SESSION, row->id);
	ks_json_put_id(json, "user", KS_ID_USER, row->user);
	ks_json_put_c(json, "method", ks_session_method_text(row->method));
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_time(json, "expires_at", row->expires_at);
	ks_json_put_time(json, "ended_at", row->ended_at);
	ks_json_put_some(json, "address", row->address);
	ks_json_put_some(json, "user_agent", row->agent);
	ks_json_put_time(json, "last_used_at", row->last_used_at);
	ks_json_put_some(json, "last_used_address", row->last_used_address);
	ks_json_put_bool(json, "current", row->id == current);
	ks_json_close(json, '}');
}

void ks_record_invited(struct ks_json *json, const struct ks_invited *invited)
{
	ks_json_name(json, "invitation");
	ks_json_open(json, '{');
	ks_json_put_c(json, "token", invited->token);
	ks_json_put_time(json, "expires_at", invited->expires_at);
	ks_json_close(json, '}');
}

/* ---- access ---- */

static enum ks_err put_invitation(void *ctx, const struct ks_invitation_row *row)
{
	struct ks_json *json = ctx;

	ks_json_name(json, "invitation");
	ks_json_open(json, '{');
	ks_json_put_time(json, "expires_at", row->expires_at);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_err put_change(void *ctx, const struct ks_password_row *row)
{
	ks_json_put_time(ctx, "password_changed_at", row->changed_at);
	return KS_OK;
}

static enum ks_err put_factor(void *ctx, const struct ks_totp_row *row)
{
	ks_json_put_bool(ctx, "totp", row->confirmed_at != KS_TIME_NONE);
	return KS_OK;
}

enum ks_err ks_record_access(struct ks_store *store, struct ks_json *json, uint64_t user)
{
	enum ks_err err = ks_store_invitation_get(store, user, put_invitation, json);

	if (err == KS_NOT_FOUND)
		ks_json_put_null(json, "invitation");
	else
		KS_TRY(err);
	err = ks_store_password_get(store, user, put_change, json);
	if (err == KS_NOT_FOUND)
		ks_json_put_null(json, "password_changed_at");
	else
		KS_TRY(err);
	err = ks_store_totp_get(store, user, put_factor, json);
	if (err == KS_NOT_FOUND)
		ks_json_put_bool(json, "totp", false);
	else
		KS_TRY(err);
	return KS_OK;
}

/* ---- what a password is checked against ---- */

static void copy_text(char *to, size_t cap, struct ks_str from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	(void)ks_buf_z(&b);
}

static enum ks_err keep_user(void *ctx, const struct ks_user_row *row)
{
	struct ks_person *person = ctx;

	person->user = row->id;
	person->disabled = row->disabled_at != KS_TIME_NONE;
	copy_text(person->email, sizeof(person->email), row->email);
	return KS_OK;
}

static enum ks_err keep_hash(void *ctx, const struct ks_password_row *row)
{
	struct ks_person *person = ctx;

	person->changed_at = row->changed_at;
	copy_text(person->hash, sizeof(person->hash), row->hash);
	return KS_OK;
}

enum ks_err ks_person_read(struct ks_store *store, struct ks_str email, uint64_t user, struct ks_person *ret_person)
{
	struct ks_person person = {.changed_at = KS_TIME_NONE};
	char lower[KS_STORE_EMAIL_MAX];
	enum ks_err err;

	for (size_t i = 0; i < email.n && i < sizeof(lower); i++)
		lower[i] = email.p[i] >= 'A' && email.p[i] <= 'Z' ? (char)(email.p[i] - 'A' + 'a') : email.p[i];
	if (ks_str_empty(email))
		err = ks_store_user_get(store, user, keep_user, &person);
	else if (email.n > sizeof(lower))
		err = KS_NOT_FOUND;
	else
		err = ks_store_user_by_email(store, ks_str_of(lower, email.n), keep_user, &person);
	if (err == KS_OK)
		err = ks_store_password_get(store, person.user, keep_hash, &person);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_person = person;
	return KS_OK;
}
