/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: rows of the truth that become slots of the ring, as keys do. */
#include <stdlib.h>

#include "base/buf.h"
#include "crypto/random.h"
#include "engine/people_priv.h"

#define SWEEP_AT_ONCE 256
#define DETAIL_SIZE 128

/* ---- start ---- */

/* In the very words of the problem: it must not show where it was found out. */
static enum ks_err refuse_login(struct ks_refusal *refusal)
{
	return ks_refuse(refusal, KS_FORBIDDEN, "login_failed", "", "The e-mail address or the password is wrong.");
}

static enum ks_err see_change(void *ctx, const struct ks_password_row *row)
{
	int64_t *changed_at = ctx;

	*changed_at = row->changed_at;
	return KS_OK;
}

/* Where nothing of the user's organization works, neither would the session. */
static bool is_at_home(const struct ks_tx *tx, const struct ks_user_row *user)
{
	uint32_t index = ks_ring_tenant(tx->ring, user->personal);

	return index != KS_RING_NONE
	       && !(atomic_load_explicit(&tx->ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_INACTIVE);
}

/* Hashing took its time, and not here: what was found then must still be so. */
static enum ks_err check_password(struct ks_tx *tx, const struct ks_session_input *input, struct ks_refusal *refusal)
{
	int64_t changed_at = KS_TIME_NONE;
	enum ks_err err;

	if (input->method == KS_SESSION_METHOD_OIDC)
		return KS_OK;
	err = ks_store_password_get(tx->store, input->user, see_change, &changed_at);
	if (err == KS_NOT_FOUND || (err == KS_OK && changed_at != input->password_changed_at))
		return refuse_login(refusal);
	return err;
}

static enum ks_err make_token(struct ks_session_made *ret_made)
{
	uint8_t random[KS_TOKEN_RANDOM_BYTES];
	enum ks_err err = ks_random(random, sizeof(random));

	if (err == KS_OK)
		err = ks_token_make(KS_STR(KS_SESSION_PREFIX), random, false, ret_made->token);
	ks_wipe(random, sizeof(random));
	KS_TRY(err);
	return ks_sha256(ks_str_c(ret_made->token), &ret_made->digest);
}

/* Cut where a character ends; what a header may hold and a store may not becomes a question mark. */
static struct ks_str clean_agent(struct ks_str agent, char *text, size_t cap)
{
	size_t n = 0;

	while (n < agent.n && n < cap) {
		text[n] = agent.p[n] >= ' ' && agent.p[n] < 0x7f ? agent.p[n] : '?';
		n++;
	}
	return ks_str_of(text, n);
}

static enum ks_err audit_session(struct ks_tx *tx, const struct ks_actor *actor, const char *action, uint64_t id,
				 uint64_t organization, struct ks_str detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = organization,
		.tenant = ks_actor_home(tx->ring, organization),
		.object_type = KS_ID_SESSION,
		.object = id,
		.detail = detail,
	});
}

static enum ks_err insert(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_session_input *input,
			  const struct ks_user_row *user, struct ks_session_made *made)
{
	char agent[KS_STORE_AGENT_MAX], text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	KS_TRY(ks_store_session_insert(tx->store, &(struct ks_session_row){
		.id = made->id,
		.digest = made->digest,
		.user = user->id,
		.created_at = tx->now_ms,
		.expires_at = made->expires_at,
		.ended_at = KS_TIME_NONE,
		.method = made->method,
		.address = input->address,
		.agent = clean_agent(input->agent, agent, sizeof(agent)),
	}));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_SESSION, made->id, 0));
	ks_audit_put(&detail, "method", ks_str_c(ks_session_method_text(made->method)));
	return audit_session(tx, actor, "session.start", made->id, user->organization, ks_audit_end(&detail));
}

/* ---- end ---- */

static enum ks_err end_one(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, uint64_t organization)
{
	enum ks_err err = ks_store_session_end(tx->store, id, tx->now_ms);

	if (err == KS_NOT_FOUND)
		return KS_OK;
	KS_TRY(err);
	KS_TRY(ks_tx_change(tx, KS_CHANGE_SESSION, id, 0));
	return audit_session(tx, actor, "session.end", id, organization, KS_STR(""));
}

struct live {
	uint64_t ids[KS_SESSIONS_OF_USER_MAX * 2];
	size_t count;
};

static enum ks_err note_live(void *ctx, const struct ks_session_row *row)
{
	struct live *live = ctx;

	if (live->count == KS_ARRAY_LEN(live->ids))
		return KS_TOO_LARGE;
	live->ids[live->count++] = row->id;
	return KS_OK;
}

/* Newest first; a user has never more than fit. */
static enum ks_err list_live(struct ks_tx *tx, uint64_t user, struct live *live)
{
	live->count = 0;
	return ks_store_sessions_of_user(tx->store, user, tx->now_ms, 0, KS_ARRAY_LEN(live->ids), note_live, live);
}

enum ks_err ks_sessions_end_all(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_user_row *row,
				uint64_t keep, uint64_t *ret_count)
{
	struct live live;
	uint64_t count = 0;

	KS_TRY(list_live(tx, row->id, &live));
	for (size_t i = 0; i < live.count; i++) {
		if (live.ids[i] == keep)
			continue;
		KS_TRY(end_one(tx, actor, live.ids[i], row->organization));
		count++;
	}
	*ret_count = count;
	return KS_OK;
}

/* The one that a login takes the place of, and the oldest where there would be too many. */
static enum ks_err make_way(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_user_row *user,
			    uint64_t replaces)
{
	struct live live;

	KS_TRY(list_live(tx, user->id, &live));
	for (size_t i = 0; i < live.count; i++) {
		if (live.ids[i] == replaces || i + 1 >= KS_SESSIONS_OF_USER_MAX)
			KS_TRY(end_one(tx, actor, live.ids[i], user->organization));
	}
	return KS_OK;
}

enum ks_err ks_sessions_start(struct ks_tx *tx, const struct ks_session_input *input, struct ks_session_made *ret_made,
			      struct ks_refusal *ret_refusal)
{
	struct ks_session_made made = {.method = input->method,
				       .expires_at = tx->now_ms + tx->engine->options.session_lifetime_ms};
	struct ks_user_row user;
	struct ks_actor actor;
	enum ks_err err = ks_person_get(tx, input->user, &user);

	if (err == KS_NOT_FOUND || (err == KS_OK && (user.disabled_at != KS_TIME_NONE || !is_at_home(tx, &user))))
		return refuse_login(ret_refusal);
	KS_TRY(err);
	KS_TRY(check_password(tx, input, ret_refusal));
	if (input->method != KS_SESSION_METHOD_OIDC)
		KS_TRY(ks_second_factor_take(tx, input->user, input->code, &made.method, ret_refusal));
	ks_actor_user(user.id, input->address, input->request_id, &actor);
	KS_TRY(ks_tx_room(tx, 1));
	KS_TRY(make_way(tx, &actor, &user, input->replaces));
	made.id = ks_tx_id(tx);
	err = make_token(&made);
	if (err == KS_OK)
		err = insert(tx, &actor, input, &user, &made);
	if (err == KS_OK)
		*ret_made = made;
	ks_wipe(&made, sizeof(made));
	return err;
}

static enum ks_err see_user(void *ctx, const struct ks_session_row *row)
{
	uint64_t *user = ctx;

	*user = row->user;
	return KS_OK;
}

enum ks_err ks_sessions_end(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, uint64_t id,
			    struct ks_refusal *ret_refusal)
{
	struct ks_user_row row;
	uint64_t owner = 0;
	enum ks_err err = ks_store_session_get(tx->store, id, see_user, &owner);

	if (err == KS_NOT_FOUND || (err == KS_OK && owner != user))
		return ks_refuse(ret_refusal, KS_NOT_FOUND, "not_found", "", "there is no such session");
	KS_TRY(err);
	KS_TRY(ks_person_get(tx, user, &row));
	return end_one(tx, actor, id, row.organization);
}

enum ks_err ks_users_end_sessions(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, uint64_t *ret_count,
				  struct ks_refusal *ret_refusal)
{
	struct ks_user_row row;
	enum ks_err err = ks_person_get(tx, user, &row);

	if (err == KS_NOT_FOUND || (err == KS_OK && !ks_actor_sees(actor, tx->ring, ks_actor_home(tx->ring, row.organization))))
		return ks_refuse(ret_refusal, KS_NOT_FOUND, "not_found", "", "there is no such user");
	KS_TRY(err);
	return ks_sessions_end_all(tx, actor, &row, 0, ret_count);
}

/* ---- idle ones ---- */

struct sweep {
	uint64_t ids[SWEEP_AT_ONCE];
	size_t count;
};

static enum ks_err run_sweep(struct ks_job *job, struct ks_tx *tx)
{
	const struct sweep *sweep = job->ctx;

	for (size_t i = 0; i < sweep->count; i++) {
		struct ks_user_row user;
		uint64_t owner = 0;

		KS_TRY(ks_store_session_get(tx->store, sweep->ids[i], see_user, &owner));
		KS_TRY(ks_person_get(tx, owner, &user));
		KS_TRY(end_one(tx, NULL, sweep->ids[i], user.organization));
	}
	return KS_OK;
}

/* Read through a connection of its own, so that no change waits for the search. What was used since the search began
 * is ended all the same: it had been idle for as long as is allowed. */
void ks_sessions_sweep(struct ks_engine *engine)
{
	struct sweep sweep = {.count = 0};
	struct ks_job job = {.run = run_sweep, .ctx = &sweep};
	int64_t now_ms = ks_engine_now_ms();
	struct ks_store *store = NULL;
	enum ks_err err = ks_store_open(engine->store_uri, KS_STORE_READER, &store);

	do {
		if (err == KS_OK)
			err = ks_store_sessions_idle(store, now_ms, now_ms - engine->options.session_idle_ms,
						     SWEEP_AT_ONCE, sweep.ids, &sweep.count);
		if (err == KS_OK && sweep.count > 0)
			err = ks_engine_run(engine, &job);
	} while (err == KS_OK && sweep.count == SWEEP_AT_ONCE);
	if (err != KS_OK)
		ks_engine_say(engine, 2, "sessions_not_swept", "%s", ks_err_text(err));
	ks_store_close(&store);
}
