/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static struct ks_digest digest_of(uint8_t first)
{
	return (struct ks_digest){{first, 1, 2, 3}};
}

/* ---- passwords ---- */

static enum ks_err see_password(void *ctx, const struct ks_password_row *row)
{
	const struct ks_password_row *expected = ctx;

	assert_int_equal(row->user, expected->user);
	assert_int_equal(row->changed_at, expected->changed_at);
	assert_true(ks_str_eq(row->hash, expected->hash));
	return KS_OK;
}

static void a_password_takes_the_place_of_the_last(void **state)
{
	struct fixture *f = *state;
	struct ks_password_row row = {USER_A, NOW, KS_STR("$one")};

	assert_int_equal(ks_store_password_get(f->store, USER_A, see_password, &row), KS_NOT_FOUND);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_password_put(f->store, &row));
	assert_ok(ks_store_password_get(f->store, USER_A, see_password, &row));
	row.changed_at = NOW + 1;
	row.hash = KS_STR("$two");
	assert_ok(ks_store_password_put(f->store, &row));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_password_get(f->store, USER_A, see_password, &row));
	assert_ok(ks_store_begin(f->store));
	row.user = 999;
	assert_int_equal(ks_store_password_put(f->store, &row), KS_NOT_FOUND);
	ks_store_rollback(f->store);
}

/* ---- invitations ---- */

static enum ks_err see_invitation(void *ctx, const struct ks_invitation_row *row)
{
	const struct ks_invitation_row *expected = ctx;

	assert_int_equal(row->user, expected->user);
	assert_memory_equal(row->digest.bytes, expected->digest.bytes, KS_SHA256_SIZE);
	assert_int_equal(row->created_at, expected->created_at);
	assert_int_equal(row->expires_at, expected->expires_at);
	assert_true(ks_str_eq(row->created_by, expected->created_by));
	return KS_OK;
}

static void an_invitation_is_found_by_its_digest_and_goes_once(void **state)
{
	struct fixture *f = *state;
	struct ks_digest first = digest_of(1), second = digest_of(2);
	struct ks_invitation_row row = {USER_A, first, NOW, NOW + 5, KS_STR("local")};

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_invitation_delete(f->store, USER_A), KS_NOT_FOUND);
	assert_ok(ks_store_invitation_put(f->store, &row));
	assert_ok(ks_store_invitation_by_digest(f->store, &first, see_invitation, &row));
	row.digest = second;
	row.expires_at = NOW + 9;
	assert_ok(ks_store_invitation_put(f->store, &row));
	assert_int_equal(ks_store_invitation_by_digest(f->store, &first, see_invitation, &row), KS_NOT_FOUND);
	assert_ok(ks_store_invitation_by_digest(f->store, &second, see_invitation, &row));
	assert_ok(ks_store_invitation_get(f->store, USER_A, see_invitation, &row));
	assert_ok(ks_store_invitation_delete(f->store, USER_A));
	assert_int_equal(ks_store_invitation_delete(f->store, USER_A), KS_NOT_FOUND);
	assert_int_equal(ks_store_invitation_get(f->store, USER_A, see_invitation, &row), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

/* ---- second factors ---- */

static enum ks_err see_totp(void *ctx, const struct ks_totp_row *row)
{
	const struct ks_totp_row *expected = ctx;

	assert_int_equal(row->user, expected->user);
	assert_int_equal(row->confirmed_at, expected->confirmed_at);
	assert_int_equal(row->last_step, expected->last_step);
	assert_true(ks_str_eq(row->sealed, expected->sealed));
	return KS_OK;
}

static void a_step_is_taken_once_and_in_order(void **state)
{
	struct fixture *f = *state;
	struct ks_totp_row row = {USER_A, KS_TIME_NONE, 0, {"se\0aled", 7}};

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_totp_get(f->store, USER_A, see_totp, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_totp_used(f->store, USER_A, 5), KS_NOT_FOUND);
	assert_ok(ks_store_totp_put(f->store, &row));
	assert_ok(ks_store_totp_get(f->store, USER_A, see_totp, &row));
	assert_ok(ks_store_totp_used(f->store, USER_A, 5));
	assert_int_equal(ks_store_totp_used(f->store, USER_A, 5), KS_NOT_FOUND);
	assert_int_equal(ks_store_totp_used(f->store, USER_A, 4), KS_NOT_FOUND);
	assert_ok(ks_store_totp_used(f->store, USER_A, 6));
	assert_ok(ks_store_totp_confirmed(f->store, USER_A, NOW));
	row.confirmed_at = NOW;
	row.last_step = 6;
	assert_ok(ks_store_totp_get(f->store, USER_A, see_totp, &row));
	assert_ok(ks_store_commit(f->store));
}

static void a_recovery_code_is_used_once(void **state)
{
	struct fixture *f = *state;
	struct ks_totp_row row = {USER_A, NOW, 0, KS_STR("sealed")};
	struct ks_digest one = digest_of(1), two = digest_of(2), three = digest_of(3);
	uint64_t left = 9;

	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_totp_put(f->store, &row));
	assert_ok(ks_store_recovery_put(f->store, USER_A, &one));
	assert_ok(ks_store_recovery_put(f->store, USER_A, &two));
	assert_int_equal(ks_store_recovery_use(f->store, USER_A, &three), KS_NOT_FOUND);
	assert_ok(ks_store_recovery_use(f->store, USER_A, &one));
	assert_int_equal(ks_store_recovery_use(f->store, USER_A, &one), KS_NOT_FOUND);
	assert_ok(ks_store_recovery_left(f->store, USER_A, &left));
	assert_int_equal(left, 1);
	assert_ok(ks_store_totp_delete(f->store, USER_A));
	assert_int_equal(ks_store_totp_delete(f->store, USER_A), KS_NOT_FOUND);
	assert_int_equal(ks_store_recovery_use(f->store, USER_A, &two), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

/* ---- sessions ---- */

static struct ks_session_row session_row(uint64_t id, int64_t created_at)
{
	return (struct ks_session_row){
		.id = id,
		.digest = digest_of((uint8_t)id),
		.user = USER_A,
		.created_at = created_at,
		.expires_at = created_at + 1000,
		.ended_at = KS_TIME_NONE,
		.method = KS_SESSION_METHOD_PASSWORD_TOTP,
		.address = KS_STR("192.0.2.1"),
		.agent = KS_STR("curl"),
		.last_used_at = KS_TIME_NONE,
		.last_used_address = KS_STR(""),
	};
}

static enum ks_err see_session(void *ctx, const struct ks_session_row *row)
{
	const struct ks_session_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_memory_equal(row->digest.bytes, expected->digest.bytes, KS_SHA256_SIZE);
	assert_int_equal(row->user, expected->user);
	assert_int_equal(row->created_at, expected->created_at);
	assert_int_equal(row->expires_at, expected->expires_at);
	assert_int_equal(row->ended_at, expected->ended_at);
	assert_int_equal(row->method, expected->method);
	assert_true(ks_str_eq(row->address, expected->address));
	assert_true(ks_str_eq(row->agent, expected->agent));
	assert_int_equal(row->last_used_at, expected->last_used_at);
	assert_true(ks_str_eq(row->last_used_address, expected->last_used_address));
	return KS_OK;
}

struct seen {
	uint64_t ids[8];
	size_t count;
};

static enum ks_err note_id(void *ctx, const struct ks_session_row *row)
{
	struct seen *seen = ctx;

	assert_true(seen->count < KS_ARRAY_LEN(seen->ids));
	seen->ids[seen->count++] = row->id;
	return KS_OK;
}

static void put_sessions(struct ks_store *store)
{
	assert_ok(ks_store_begin(store));
	for (uint64_t id = 1; id <= 4; id++) {
		struct ks_session_row row = session_row(id, NOW + (int64_t)id * 100);

		assert_ok(ks_store_session_insert(store, &row));
	}
	assert_ok(ks_store_session_end(store, 2, NOW + 500));
	assert_ok(ks_store_commit(store));
}

static void use(struct ks_store *store, uint64_t id, int64_t at)
{
	assert_ok(ks_store_session_used(store, id, 1, at, KS_STR("192.0.2.7")));
}

static void a_session_comes_back_with_its_last_use(void **state)
{
	struct fixture *f = *state;
	struct ks_session_row row = session_row(2, NOW + 200);

	put_sessions(f->store);
	row.ended_at = NOW + 500;
	assert_ok(ks_store_session_get(f->store, 2, see_session, &row));
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_session_end(f->store, 2, NOW + 600), KS_NOT_FOUND);
	assert_int_equal(ks_store_session_end(f->store, 9, NOW + 600), KS_NOT_FOUND);
	use(f->store, 2, NOW + 450);
	assert_ok(ks_store_commit(f->store));
	row.last_used_at = NOW + 450;
	row.last_used_address = KS_STR("192.0.2.7");
	assert_ok(ks_store_session_get(f->store, 2, see_session, &row));
	assert_int_equal(ks_store_session_get(f->store, 9, see_session, &row), KS_NOT_FOUND);
}

static void lists_hold_what_is_live(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.count = 0};
	uint64_t count = 0;

	put_sessions(f->store);
	assert_ok(ks_store_sessions_of_user(f->store, USER_A, NOW + 1100, 0, SIZE_MAX, note_id, &seen));
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.ids[0], 4);
	assert_int_equal(seen.ids[1], 3);
	seen.count = 0;
	assert_ok(ks_store_sessions_of_user(f->store, USER_A, NOW, 4, 1, note_id, &seen));
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.ids[0], 3);
	seen.count = 0;
	assert_ok(ks_store_sessions_live(f->store, NOW, note_id, &seen));
	assert_int_equal(seen.count, 3);
	assert_ok(ks_store_sessions_live_count(f->store, NOW + 1100, &count));
	assert_int_equal(count, 2);
}

static void idle_ones_are_found(void **state)
{
	struct fixture *f = *state;
	uint64_t ids[8];
	size_t count = 0;

	put_sessions(f->store);
	assert_ok(ks_store_begin(f->store));
	use(f->store, 1, NOW + 700);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_sessions_idle(f->store, NOW + 900, NOW + 350, 8, ids, &count));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 3);
	assert_ok(ks_store_sessions_idle(f->store, NOW + 900, NOW + 700, 2, ids, &count));
	assert_int_equal(count, 2);
	assert_ok(ks_store_sessions_idle(f->store, NOW + 5000, NOW + 4000, 8, ids, &count));
	assert_int_equal(count, 0);
}

static void old_ones_are_forgotten_with_their_counts(void **state)
{
	struct fixture *f = *state;
	struct ks_session_row row = session_row(1, NOW + 100);

	put_sessions(f->store);
	assert_ok(ks_store_begin(f->store));
	use(f->store, 1, NOW + 700);
	assert_ok(ks_store_sessions_forget(f->store, NOW + 1250, 10));
	assert_int_equal(ks_store_session_get(f->store, 1, see_session, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_session_get(f->store, 2, see_session, &row), KS_NOT_FOUND);
	row = session_row(3, NOW + 300);
	assert_ok(ks_store_session_get(f->store, 3, see_session, &row));
	/* Its counts are gone too: the same id begins anew. */
	row = session_row(1, NOW + 100);
	assert_ok(ks_store_session_insert(f->store, &row));
	assert_ok(ks_store_session_get(f->store, 1, see_session, &row));
	assert_ok(ks_store_commit(f->store));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_password_takes_the_place_of_the_last),
		TEST(an_invitation_is_found_by_its_digest_and_goes_once),
		TEST(a_step_is_taken_once_and_in_order),
		TEST(a_recovery_code_is_used_once),
		TEST(a_session_comes_back_with_its_last_use),
		TEST(lists_hold_what_is_live),
		TEST(idle_ones_are_found),
		TEST(old_ones_are_forgotten_with_their_counts),
	};

	return cmocka_run_group_tests_name("people", tests, NULL, NULL);
}
