/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes and recovery codes. The secret stands sealed in the truth, bound to its user. */
#include "crypto/random.h"
#include "engine/people_priv.h"
#include "engine/seal.h"

#define PURPOSE "totp"

struct totp {
	int64_t confirmed_at;
	uint64_t last_step;
	size_t sealed_n;
	uint8_t sealed[KS_TOTP_SECRET_SIZE + KS_SEAL_OVERHEAD];
};

static enum ks_err keep_totp(void *ctx, const struct ks_totp_row *row)
{
	struct totp *totp = ctx;

	if (row->sealed.n > sizeof(totp->sealed))
		return KS_CORRUPT;
	*totp = (struct totp){.confirmed_at = row->confirmed_at, .last_step = row->last_step, .sealed_n = row->sealed.n};
	memcpy(totp->sealed, row->sealed.p, row->sealed.n);
	return KS_OK;
}

/* *ret_there: the user has one, confirmed or not. */
static enum ks_err get(struct ks_tx *tx, uint64_t user, struct totp *ret_totp, bool *ret_there)
{
	enum ks_err err = ks_store_totp_get(tx->store, user, keep_totp, ret_totp);

	*ret_there = err == KS_OK;
	return err == KS_NOT_FOUND ? KS_OK : err;
}

static enum ks_err refuse_code(struct ks_refusal *refusal)
{
	return ks_refuse(refusal, KS_FORBIDDEN, "totp_invalid", "", "the code is wrong, or was used before");
}

static enum ks_err take_code(struct ks_tx *tx, uint64_t user, const struct totp *totp, struct ks_str code,
			     struct ks_refusal *refusal)
{
	uint8_t secret[KS_TOTP_SECRET_SIZE];
	uint64_t step = 0;
	size_t n = 0;
	bool right;

	KS_TRY(ks_engine_open_sealed(tx->engine, PURPOSE, user, ks_str_of((const char *)totp->sealed, totp->sealed_n),
				     secret, sizeof(secret), &n));
	right = n == sizeof(secret) && ks_totp_check(secret, code, tx->now_ms, totp->last_step, &step);
	ks_wipe(secret, sizeof(secret));
	return right ? ks_store_totp_used(tx->store, user, step) : refuse_code(refusal);
}

static enum ks_err take_recovery(struct ks_tx *tx, uint64_t user, const char *code, struct ks_refusal *refusal)
{
	struct ks_digest digest;
	enum ks_err err;

	KS_TRY(ks_sha256(ks_str_c(code), &digest));
	err = ks_store_recovery_use(tx->store, user, &digest);
	return err == KS_NOT_FOUND ? refuse_code(refusal) : err;
}

/* A code of either sort; *method says which. */
static enum ks_err take_either(struct ks_tx *tx, uint64_t user, const struct totp *totp, struct ks_str code,
			       enum ks_session_method *method, struct ks_refusal *refusal)
{
	char recovery[KS_RECOVERY_TEXT_SIZE];
	enum ks_err err;

	if (!ks_recovery_read(code, recovery)) {
		*method = KS_SESSION_METHOD_PASSWORD_TOTP;
		return take_code(tx, user, totp, code, refusal);
	}
	*method = KS_SESSION_METHOD_PASSWORD_RECOVERY;
	err = take_recovery(tx, user, recovery, refusal);
	ks_wipe(recovery, sizeof(recovery));
	return err;
}

enum ks_err ks_second_factor_take(struct ks_tx *tx, uint64_t user, struct ks_str code, enum ks_session_method *method,
				  struct ks_refusal *refusal)
{
	struct totp totp;
	bool there;

	KS_TRY(get(tx, user, &totp, &there));
	if (!there || totp.confirmed_at == KS_TIME_NONE)
		return KS_OK;
	if (ks_str_empty(code))
		return ks_refuse(refusal, KS_FORBIDDEN, "totp_required", "", "a one-time code is needed too");
	return take_either(tx, user, &totp, code, method, refusal);
}

/* ---- the user's own ---- */

static enum ks_err audit(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, const char *action)
{
	struct ks_user_row row;

	KS_TRY(ks_person_get(tx, user, &row));
	return ks_person_audit(tx, actor, action, &row, KS_STR(""));
}

enum ks_err ks_account_totp_begin(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
				  const uint8_t secret[KS_TOTP_SECRET_SIZE], struct ks_refusal *ret_refusal)
{
	struct ks_totp_row row = {.user = user, .confirmed_at = KS_TIME_NONE};
	uint8_t sealed[KS_TOTP_SECRET_SIZE + KS_SEAL_OVERHEAD];
	struct totp totp;
	size_t n;
	bool there;

	KS_TRY(get(tx, user, &totp, &there));
	if (there && totp.confirmed_at != KS_TIME_NONE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "a second factor is in force already");
	KS_TRY(ks_engine_seal(tx, PURPOSE, user, ks_str_of((const char *)secret, KS_TOTP_SECRET_SIZE), sealed,
			      sizeof(sealed), &n));
	row.sealed = ks_str_of((const char *)sealed, n);
	KS_TRY(ks_store_totp_put(tx->store, &row));
	return audit(tx, actor, user, "user.totp_begin");
}

static enum ks_err make_recovery(struct ks_tx *tx, uint64_t user, struct ks_recovery_codes *ret_codes)
{
	uint8_t random[KS_RECOVERY_RANDOM];
	struct ks_digest digest;
	enum ks_err err = ks_store_recovery_clear(tx->store, user);

	for (size_t i = 0; i < KS_RECOVERY_CODES && err == KS_OK; i++) {
		err = ks_random(random, sizeof(random));
		if (err != KS_OK)
			break;
		ks_recovery_format(random, ret_codes->codes[i]);
		err = ks_sha256(ks_str_c(ret_codes->codes[i]), &digest);
		if (err == KS_OK)
			err = ks_store_recovery_put(tx->store, user, &digest);
	}
	ks_wipe(random, sizeof(random));
	return err;
}

enum ks_err ks_account_totp_confirm(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, struct ks_str code,
				    struct ks_recovery_codes *ret_codes, struct ks_refusal *ret_refusal)
{
	struct totp totp;
	bool there;

	KS_TRY(get(tx, user, &totp, &there));
	if (!there || totp.confirmed_at != KS_TIME_NONE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "",
				 there ? "a second factor is in force already" : "no second factor is waiting");
	KS_TRY(take_code(tx, user, &totp, code, ret_refusal));
	KS_TRY(ks_store_totp_confirmed(tx->store, user, tx->now_ms));
	KS_TRY(make_recovery(tx, user, ret_codes));
	return audit(tx, actor, user, "user.totp_confirm");
}

enum ks_err ks_account_totp_disable(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, struct ks_str code,
				    struct ks_refusal *ret_refusal)
{
	enum ks_session_method method;
	struct totp totp;
	bool there;

	KS_TRY(get(tx, user, &totp, &there));
	if (!there || totp.confirmed_at == KS_TIME_NONE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "no second factor is in force");
	KS_TRY(take_either(tx, user, &totp, code, &method, ret_refusal));
	KS_TRY(ks_store_totp_delete(tx->store, user));
	return audit(tx, actor, user, "user.totp_disable");
}

enum ks_err ks_users_totp_remove(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
				 struct ks_refusal *ret_refusal)
{
	struct ks_user_row row;
	enum ks_err err;

	KS_TRY(ks_person_held(tx, actor, user, &row, ret_refusal));
	err = ks_store_totp_delete(tx->store, user);
	if (err == KS_NOT_FOUND)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the user has no second factor");
	KS_TRY(err);
	return ks_person_audit(tx, actor, "user.totp_remove", &row, KS_STR(""));
}
