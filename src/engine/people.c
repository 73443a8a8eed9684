/* SPDX-License-Identifier: Apache-2.0 */
/* Invitations and passwords. */
#include "base/buf.h"
#include "base/ctenc.h"
#include "crypto/random.h"
#include "engine/keys_check.h"
#include "engine/people_priv.h"

#define DETAIL_SIZE 512

/* ---- users ---- */

enum ks_err ks_person_audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			    const struct ks_user_row *row, struct ks_str detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = ks_actor_home(tx->ring, row->organization),
		.object_type = KS_ID_USER,
		.object = row->id,
		.detail = detail,
	});
}

static enum ks_err keep_row(void *ctx, const struct ks_user_row *row)
{
	struct ks_user_row *kept = ctx;

	*kept = *row;
	kept->email = kept->name = kept->created_by = KS_STR("");
	return KS_OK;
}

enum ks_err ks_person_get(struct ks_tx *tx, uint64_t id, struct ks_user_row *ret_row)
{
	return ks_store_user_get(tx->store, id, keep_row, ret_row);
}

struct reach {
	const struct ks_tx *tx;
	const struct ks_actor *actor;
	bool beyond;
};

static enum ks_err check_membership(void *ctx, const struct ks_membership_row *row)
{
	struct reach *reach = ctx;
	uint32_t index = ks_ring_tenant(reach->tx->ring, row->tenant);

	/* One that was deleted gives nothing, and nobody sees it. */
	if (index != KS_RING_NONE
	    && !(atomic_load_explicit(&reach->tx->ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_DELETED))
		reach->beyond |= !ks_actor_sees(reach->actor, reach->tx->ring, row->tenant);
	return KS_OK;
}

enum ks_err ks_person_held(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_user_row *ret_row,
			   struct ks_refusal *refusal)
{
	struct reach reach = {.tx = tx, .actor = actor};
	struct ks_user_row row;
	enum ks_err err = ks_person_get(tx, id, &row);

	if (err == KS_NOT_FOUND || (err == KS_OK && !ks_actor_sees(actor, tx->ring, ks_actor_home(tx->ring, row.organization))))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such user");
	KS_TRY(err);
	KS_TRY(ks_store_memberships_of_user(tx->store, id, check_membership, &reach));
	if (reach.beyond)
		return ks_refuse(refusal, KS_FORBIDDEN, "not_grantable", "",
				 "the user is a member of tenants beyond what you see");
	*ret_row = row;
	return KS_OK;
}

void ks_actor_user(uint64_t user, struct ks_str address, struct ks_str request_id, struct ks_actor *ret_actor)
{
	struct ks_actor actor = {.kind = KS_KIND_SESSION, .binding = KS_BINDING_USER};
	struct ks_buf a = KS_BUF(actor.address), r = KS_BUF(actor.request_id);

	ks_id_format(KS_ID_USER, user, actor.id);
	ks_buf_put(&a, address);
	(void)ks_buf_z(&a);
	ks_buf_put(&r, request_id);
	(void)ks_buf_z(&r);
	*ret_actor = actor;
}

/* ---- invitations ---- */

bool ks_invitation_digest(struct ks_str token, struct ks_digest *ret_digest)
{
	struct ks_str prefix = KS_STR(KS_INVITATION_PREFIX);
	unsigned char bytes[KS_INVITATION_RANDOM];
	bool ok = ks_str_starts(token, prefix)
		  && ks_hex_decode(ks_str_sub(token, prefix.n, token.n), false, bytes, sizeof(bytes))
		  && ks_sha256(token, ret_digest) == KS_OK;

	ks_wipe(bytes, sizeof(bytes));
	return ok;
}

static enum ks_err make_token(struct ks_invited *ret_invited, struct ks_digest *ret_digest)
{
	unsigned char random[KS_INVITATION_RANDOM];
	struct ks_buf b = KS_BUF(ret_invited->token);
	enum ks_err err = ks_random(random, sizeof(random));

	ks_buf_put_c(&b, KS_INVITATION_PREFIX);
	ks_buf_put_hex(&b, random, sizeof(random));
	if (err == KS_OK)
		err = ks_sha256(ks_str_c(ks_buf_z(&b)), ret_digest);
	ks_wipe(random, sizeof(random));
	return err;
}

enum ks_err ks_user_invite_at(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_user_row *row,
			      struct ks_invited *ret_invited)
{
	struct ks_invited invited = {.expires_at = tx->now_ms + tx->engine->options.invitation_ms};
	struct ks_digest digest;
	enum ks_err err = make_token(&invited, &digest);

	if (err == KS_OK)
		err = ks_store_invitation_put(tx->store, &(struct ks_invitation_row){
			.user = row->id,
			.digest = digest,
			.created_at = tx->now_ms,
			.expires_at = invited.expires_at,
			.created_by = ks_str_c(actor->id),
		});
	if (err == KS_OK)
		*ret_invited = invited;
	ks_wipe(&invited, sizeof(invited));
	return err;
}

enum ks_err ks_users_invite(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
			    struct ks_invited *ret_invited, struct ks_refusal *ret_refusal)
{
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	struct ks_user_row row;

	KS_TRY(ks_person_held(tx, actor, user, &row, ret_refusal));
	if (row.disabled_at != KS_TIME_NONE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the user is disabled");
	KS_TRY(ks_user_invite_at(tx, actor, &row, ret_invited));
	ks_audit_put_time(&detail, "expires_at", ret_invited->expires_at);
	return ks_person_audit(tx, actor, "user.invite", &row, ks_audit_end(&detail));
}

enum ks_err ks_users_uninvite(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
			      struct ks_refusal *ret_refusal)
{
	struct ks_user_row row;
	enum ks_err err;

	KS_TRY(ks_person_held(tx, actor, user, &row, ret_refusal));
	err = ks_store_invitation_delete(tx->store, user);
	if (err == KS_NOT_FOUND)
		return ks_refuse(ret_refusal, err, "not_found", "", "the user has no open invitation");
	KS_TRY(err);
	return ks_person_audit(tx, actor, "user.uninvite", &row, KS_STR(""));
}

static enum ks_err keep_invitation(void *ctx, const struct ks_invitation_row *row)
{
	struct ks_invitation_row *kept = ctx;

	*kept = *row;
	kept->created_by = KS_STR("");
	return KS_OK;
}

static enum ks_err set_password(struct ks_tx *tx, uint64_t user, struct ks_str hash)
{
	enum ks_err err = ks_store_invitation_delete(tx->store, user);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	return ks_store_password_put(tx->store, &(struct ks_password_row){user, tx->now_ms, hash});
}

static enum ks_err keep_name(struct ks_tx *tx, struct ks_user_row *row, struct ks_str name, struct ks_refusal *refusal)
{
	if (ks_str_empty(name))
		return KS_OK;
	KS_TRY(ks_check_name(name, "/name", refusal));
	row->name = name;
	return ks_store_user_update(tx->store, row);
}

enum ks_err ks_invitations_accept(struct ks_tx *tx, const struct ks_acceptance *acceptance, uint64_t *ret_user,
				  struct ks_refusal *ret_refusal)
{
	struct ks_invitation_row invitation;
	struct ks_user_row row;
	struct ks_actor actor;
	uint64_t ended;
	enum ks_err err = ks_store_invitation_by_digest(tx->store, &acceptance->digest, keep_invitation, &invitation);

	if (err == KS_OK)
		err = ks_person_get(tx, invitation.user, &row);
	if (err == KS_NOT_FOUND
	    || (err == KS_OK && (invitation.expires_at <= tx->now_ms || row.disabled_at != KS_TIME_NONE)))
		return ks_refuse(ret_refusal, KS_NOT_FOUND, "invitation_invalid", "",
				 "the invitation is unknown, used, withdrawn or expired");
	KS_TRY(err);
	ks_actor_user(row.id, acceptance->address, acceptance->request_id, &actor);
	KS_TRY(keep_name(tx, &row, acceptance->name, ret_refusal));
	KS_TRY(set_password(tx, row.id, acceptance->hash));
	KS_TRY(ks_sessions_end_all(tx, &actor, &row, 0, &ended));
	KS_TRY(ks_person_audit(tx, &actor, "user.accept", &row, KS_STR("")));
	*ret_user = row.id;
	return KS_OK;
}

/* ---- the password ---- */

static enum ks_err see_change(void *ctx, const struct ks_password_row *row)
{
	int64_t *changed_at = ctx;

	*changed_at = row->changed_at;
	return KS_OK;
}

enum ks_err ks_account_set_password(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, int64_t changed_at,
				    struct ks_str hash, uint64_t keep, struct ks_refusal *ret_refusal)
{
	int64_t now_at = KS_TIME_NONE;
	struct ks_user_row row;
	uint64_t ended;
	enum ks_err err = ks_store_password_get(tx->store, user, see_change, &now_at);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (now_at != changed_at)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the password was changed meanwhile");
	KS_TRY(ks_person_get(tx, user, &row));
	KS_TRY(set_password(tx, user, hash));
	KS_TRY(ks_sessions_end_all(tx, actor, &row, keep, &ended));
	return ks_person_audit(tx, actor, "user.password", &row, KS_STR(""));
}
