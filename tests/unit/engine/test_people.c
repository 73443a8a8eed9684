/* SPDX-License-Identifier: Apache-2.0 */
/* Invitations, second factors and sessions, and what of sessions is in the ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/people.h"
#include "support.h"

#define HASH "$argon2id$of-some-password"

struct step {
	uint64_t user;
	uint64_t session;
	struct ks_actor actor;
	struct ks_invited invited;
	struct ks_acceptance acceptance;
	struct ks_session_input input;
	struct ks_session_made made;
	uint8_t secret[KS_TOTP_SECRET_SIZE];
	struct ks_str code;
	struct ks_recovery_codes recovery;
	uint64_t count;
	int64_t changed_at;
	struct ks_str hash;
};

static const struct ks_actor *actor_of_step(struct ks_tx *tx, struct step *s)
{
	if (s->actor.id[0] == '\0')
		ks_actor_local(tx->ring, &s->actor);
	return &s->actor;
}

static enum ks_err do_invite(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_users_invite(tx, actor_of_step(tx, s), s->user, &s->invited, refusal);
}

static enum ks_err do_accept(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;
	uint64_t user;
	enum ks_err err = ks_invitations_accept(tx, &s->acceptance, &user, refusal);

	if (err == KS_OK)
		assert_int_equal(user, s->user);
	return err;
}

static enum ks_err do_start(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_sessions_start(tx, &s->input, &s->made, refusal);
}

static enum ks_err do_end(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_sessions_end(tx, actor_of_step(tx, s), s->user, s->session, refusal);
}

static enum ks_err do_end_all(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_users_end_sessions(tx, actor_of_step(tx, s), s->user, &s->count, refusal);
}

static enum ks_err do_totp_begin(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_account_totp_begin(tx, actor_of_step(tx, s), s->user, s->secret, refusal);
}

static enum ks_err do_totp_confirm(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_account_totp_confirm(tx, actor_of_step(tx, s), s->user, s->code, &s->recovery, refusal);
}

static enum ks_err do_set_password(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_account_set_password(tx, actor_of_step(tx, s), s->user, s->changed_at, s->hash, s->session, refusal);
}

static enum ks_err do_disable(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct step *s = ctx;

	return ks_users_set_disabled(tx, actor_of_step(tx, s), s->user, true, refusal);
}

/* ---- what there is ---- */

static enum ks_err see_change(void *ctx, const struct ks_password_row *row)
{
	*(int64_t *)ctx = row->changed_at;
	return KS_OK;
}

static int64_t changed_at(const struct world *w, uint64_t user)
{
	struct ks_engine_reader reader;
	int64_t at = KS_TIME_NONE;
	enum ks_err err;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	err = ks_store_password_get(reader.store, user, see_change, &at);
	assert_true(err == KS_OK || err == KS_NOT_FOUND);
	ks_engine_reader_close(&reader);
	return at;
}

/* A user with a password. */
static struct step person(struct world *w, uint64_t *ret_org)
{
	struct step s = {.hash = KS_STR(HASH)};
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, operator_of(w), "acme");

	if (ret_org)
		*ret_org = org;
	s.user = make_user(w, org, "ada@example.com");
	assert_int_equal(world_change(w, do_invite, &s), KS_OK);
	assert_true(ks_invitation_digest(ks_str_c(s.invited.token), &s.acceptance.digest));
	s.acceptance.hash = KS_STR(HASH);
	assert_int_equal(world_change(w, do_accept, &s), KS_OK);
	s.input.user = s.user;
	s.input.password_changed_at = changed_at(w, s.user);
	return s;
}

static const char *code_of(const struct world *w)
{
	return w->refusal.code ? w->refusal.code : "";
}

/* Whether the cookie is accepted by a reader of the ring. */
static bool is_in(const struct world *w, const char *token)
{
	struct ks_engine_reader reader;
	struct ks_credential credential;
	struct ks_request request = {.credential = &credential, .credential_alone = true, .now_ms = (int64_t)time(NULL) * 1000};
	struct ks_path path;
	struct ks_decision decision;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	ks_credential_init(&credential);
	ks_credential_header(&credential, ks_str_c(token), KS_KIND_BIT(KS_KIND_SESSION));
	ks_decide(ks_ringmap_reader_ring(reader.ring), KS_RING_POLICY_SELF, &request, &path, &decision);
	ks_engine_reader_close(&reader);
	return decision.reason == KS_REASON_OK;
}

/* ---- invitations ---- */

static void what_is_no_token_has_no_digest(void **state)
{
	static const char *const texts[] = {
		"", "invite_", "invite_00", "ks_00000000000000000000000000000000",
		"invite_000000000000000000000000000000000000000000000000000000000000000",
		"invite_00000000000000000000000000000000000000000000000000000000000000000",
		"invite_A000000000000000000000000000000000000000000000000000000000000000",
	};
	struct ks_digest digest;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++)
		assert_false(ks_invitation_digest(ks_str_c(texts[i]), &digest));
}

static void an_invitation_is_used_once(void **state)
{
	struct world w;
	struct step s;

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	assert_int_equal(world_change(&w, do_accept, &s), KS_NOT_FOUND);
	assert_string_equal(code_of(&w), "invitation_invalid");
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(world_change(&w, do_accept, &s), KS_NOT_FOUND);
	assert_int_equal(audit_count(&w, "user.accept"), 1);
	world_free(&w);
}

static void an_invitation_expires(void **state)
{
	struct world w;
	struct step s = {.acceptance = {.hash = KS_STR(HASH)}};

	(void)state;
	world_prepare(&w);
	w.options.invitation_ms = 1;
	assert_int_equal(world_open(&w), KS_OK);
	s.user = make_user(&w, make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, operator_of(&w), "acme"), "ada@example.com");
	assert_int_equal(world_change(&w, do_invite, &s), KS_OK);
	assert_true(ks_invitation_digest(ks_str_c(s.invited.token), &s.acceptance.digest));
	while ((int64_t)time(NULL) * 1000 <= s.invited.expires_at)
		(void)usleep(10000);
	assert_int_equal(world_change(&w, do_accept, &s), KS_NOT_FOUND);
	assert_string_equal(code_of(&w), "invitation_invalid");
	assert_true(changed_at(&w, s.user) == KS_TIME_NONE);
	world_free(&w);
}

static void whoever_reaches_further_is_not_taken_over(void **state)
{
	struct world w;
	struct step s;
	uint64_t org, other;
	struct ks_key_made key;

	(void)state;
	world_new(&w);
	s = person(&w, &org);
	key = make_key(&w, org, "contacts:read");
	s.actor = actor_of(&w, key.token);
	assert_int_equal(world_change(&w, do_invite, &s), KS_OK);
	other = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, operator_of(&w), "other");
	put_member(&w, other, s.user, "member");
	/* The open invitation is void, and none can be made. */
	assert_true(ks_invitation_digest(ks_str_c(s.invited.token), &s.acceptance.digest));
	assert_int_equal(world_change(&w, do_accept, &s), KS_NOT_FOUND);
	assert_int_equal(world_change(&w, do_invite, &s), KS_FORBIDDEN);
	assert_string_equal(code_of(&w), "not_grantable");
	s.actor = actor_of(&w, make_key(&w, other, "contacts:read").token);
	assert_int_equal(world_change(&w, do_invite, &s), KS_NOT_FOUND);
	assert_string_equal(code_of(&w), "not_found");
	world_free(&w);
}

/* ---- sessions ---- */

static void a_session_is_a_slot_until_it_ends(void **state)
{
	struct world w;
	struct step s;
	char first[KS_TOKEN_TEXT_SIZE];

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_true(is_in(&w, s.made.token));
	assert_in_step(&w);
	(void)snprintf(first, sizeof(first), "%s", s.made.token);
	s.session = s.made.id;
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_string_not_equal(first, s.made.token);
	assert_int_equal(world_change(&w, do_end, &s), KS_OK);
	assert_false(is_in(&w, first));
	assert_true(is_in(&w, s.made.token));
	assert_in_step(&w);
	/* Again it is the same, and another's is not there. */
	assert_int_equal(world_change(&w, do_end, &s), KS_OK);
	assert_int_equal(audit_count(&w, "session.end"), 1);
	s.user = 1;
	assert_int_equal(world_change(&w, do_end, &s), KS_NOT_FOUND);
	world_free(&w);
}

static void a_rebuilt_ring_has_the_live_ones_alone(void **state)
{
	struct world w;
	struct step s;
	char ended[KS_TOKEN_TEXT_SIZE];

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	(void)snprintf(ended, sizeof(ended), "%s", s.made.token);
	s.session = s.made.id;
	assert_int_equal(world_change(&w, do_end, &s), KS_OK);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_int_equal(ks_engine_rebuild(w.engine), KS_OK);
	assert_true(is_in(&w, s.made.token));
	assert_false(is_in(&w, ended));
	assert_in_step(&w);
	world_close(&w);
	w.options.rebuild_ring = true;
	assert_int_equal(world_open(&w), KS_OK);
	assert_true(is_in(&w, s.made.token));
	assert_in_step(&w);
	world_free(&w);
}

static void what_was_found_right_must_still_be_so(void **state)
{
	struct world w;
	struct step s;

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	s.input.password_changed_at--;
	assert_int_equal(world_change(&w, do_start, &s), KS_FORBIDDEN);
	assert_string_equal(code_of(&w), "login_failed");
	s.input.password_changed_at++;
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	s.changed_at = s.input.password_changed_at - 1;
	assert_int_equal(world_change(&w, do_set_password, &s), KS_CONFLICT);
	assert_int_equal(world_change(&w, do_disable, &s), KS_OK);
	assert_false(is_in(&w, s.made.token));
	assert_int_equal(world_change(&w, do_start, &s), KS_FORBIDDEN);
	assert_string_equal(code_of(&w), "login_failed");
	assert_in_step(&w);
	world_free(&w);
}

static void a_new_password_ends_all_but_one(void **state)
{
	struct world w;
	struct step s;
	char others[3][KS_TOKEN_TEXT_SIZE];

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	for (size_t i = 0; i < KS_ARRAY_LEN(others); i++) {
		assert_int_equal(world_change(&w, do_start, &s), KS_OK);
		(void)snprintf(others[i], sizeof(others[i]), "%s", s.made.token);
	}
	s.session = s.made.id;
	s.changed_at = s.input.password_changed_at;
	assert_int_equal(world_change(&w, do_set_password, &s), KS_OK);
	assert_false(is_in(&w, others[0]));
	assert_false(is_in(&w, others[1]));
	assert_true(is_in(&w, others[2]));
	assert_int_equal(world_change(&w, do_end_all, &s), KS_OK);
	assert_int_equal(s.count, 1);
	assert_false(is_in(&w, others[2]));
	world_free(&w);
}

static void the_oldest_makes_way(void **state)
{
	struct world w;
	struct step s;
	char first[KS_TOKEN_TEXT_SIZE];

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	(void)snprintf(first, sizeof(first), "%s", s.made.token);
	for (int i = 1; i < KS_SESSIONS_OF_USER_MAX; i++)
		assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_true(is_in(&w, first));
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_false(is_in(&w, first));
	assert_int_equal(world_change(&w, do_end_all, &s), KS_OK);
	assert_int_equal(s.count, KS_SESSIONS_OF_USER_MAX);
	assert_in_step(&w);
	world_free(&w);
}

static void an_idle_one_is_swept(void **state)
{
	struct world w;
	struct step s;

	(void)state;
	world_prepare(&w);
	w.options.session_idle_ms = 400;
	w.options.usage_flush_ms = 50;
	assert_int_equal(world_open(&w), KS_OK);
	s = person(&w, NULL);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	for (int i = 0; i < 6000 && audit_count(&w, "session.end") == 0; i++)
		(void)usleep(10000);
	assert_int_equal(audit_count(&w, "session.end"), 1);
	assert_false(is_in(&w, s.made.token));
	assert_in_step(&w);
	world_free(&w);
}

/* ---- second factors ---- */

static void put_code(struct step *s, char text[KS_TOTP_DIGITS + 1], int offset)
{
	uint64_t step = (uint64_t)time(NULL) / KS_TOTP_STEP_S;

	assert_int_equal(ks_totp_code(s->secret, offset < 0 ? step - (uint64_t)-offset : step + (uint64_t)offset, text),
			 KS_OK);
	s->code = s->input.code = ks_str_c(text);
}

static void a_second_factor_is_asked_for_and_taken_once(void **state)
{
	struct world w;
	struct step s;
	char text[KS_TOTP_DIGITS + 1];

	(void)state;
	world_new(&w);
	s = person(&w, NULL);
	memcpy(s.secret, "12345678901234567890", sizeof(s.secret));
	s.code = KS_STR("000000");
	assert_int_equal(world_change(&w, do_totp_confirm, &s), KS_CONFLICT);
	assert_int_equal(world_change(&w, do_totp_begin, &s), KS_OK);
	/* Not before it is confirmed. */
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	put_code(&s, text, -1);
	assert_int_equal(world_change(&w, do_totp_confirm, &s), KS_OK);
	assert_int_equal(world_change(&w, do_totp_begin, &s), KS_CONFLICT);
	s.input.code = KS_STR("");
	assert_int_equal(world_change(&w, do_start, &s), KS_FORBIDDEN);
	assert_string_equal(code_of(&w), "totp_required");
	put_code(&s, text, -1);
	assert_int_equal(world_change(&w, do_start, &s), KS_FORBIDDEN);
	assert_string_equal(code_of(&w), "totp_invalid");
	put_code(&s, text, 1);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_int_equal(s.made.method, KS_SESSION_METHOD_PASSWORD_TOTP);
	/* Also after a restart. */
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(world_change(&w, do_start, &s), KS_FORBIDDEN);
	s.input.code = ks_str_c(s.recovery.codes[0]);
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	assert_int_equal(s.made.method, KS_SESSION_METHOD_PASSWORD_RECOVERY);
	assert_int_equal(world_change(&w, do_start, &s), KS_FORBIDDEN);
	/* Who comes by OpenID Connect has had his factors there. */
	s.input.method = KS_SESSION_METHOD_OIDC;
	s.input.code = KS_STR("");
	assert_int_equal(world_change(&w, do_start, &s), KS_OK);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_token_has_no_digest),
		cmocka_unit_test(an_invitation_is_used_once),
		cmocka_unit_test(an_invitation_expires),
		cmocka_unit_test(whoever_reaches_further_is_not_taken_over),
		cmocka_unit_test(a_session_is_a_slot_until_it_ends),
		cmocka_unit_test(a_rebuilt_ring_has_the_live_ones_alone),
		cmocka_unit_test(what_was_found_right_must_still_be_so),
		cmocka_unit_test(a_new_password_ends_all_but_one),
		cmocka_unit_test(the_oldest_makes_way),
		cmocka_unit_test(an_idle_one_is_swept),
		cmocka_unit_test(a_second_factor_is_asked_for_and_taken_once),
	};

	return cmocka_run_group_tests_name("people", tests, NULL, NULL);
}
