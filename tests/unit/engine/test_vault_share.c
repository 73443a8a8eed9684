/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that come at the same moment share one opening. */
#include "vault_world.h"

struct sharing {
	struct ks_vault_fields *fields;
	struct ks_vault_opened opened;
	struct ks_vault_sharer sharer;
	size_t told;
	enum ks_err err;
};

static void told_of_it(void *ctx, enum ks_err err)
{
	struct sharing *s = ctx;

	s->told++;
	s->err = err;
}

static void begin_sharing_at(struct vault *v, struct sharing *s, uint64_t now_ns)
{
	*s = (struct sharing){.fields = read_for_use(v, false)};
	s->sharer = (struct ks_vault_sharer){.ret_opened = &s->opened, .done = told_of_it, .ctx = s, .now_ns = now_ns};
	assert_int_equal(ks_vault_open_shared(v->w.engine, s->fields, &s->sharer), KS_OK);
}

static void begin_sharing(struct vault *v, struct sharing *s)
{
	begin_sharing_at(v, s, 0);
}

static void end_sharing(struct sharing *s)
{
	ks_vault_opened_free(&s->opened);
	ks_vault_fields_free(&s->fields);
}

static void check_shared(const struct sharing *s, const char *password)
{
	assert_int_equal(s->told, 1);
	assert_int_equal(s->err, KS_OK);
	assert_int_equal(s->opened.count, 2);
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(s->fields->items[i].field, "password") == 0)
			assert_true(ks_str_eq(s->opened.items[i].value, ks_str_c(password)));
	}
}

static void who_comes_while_values_are_opened_shares_them(void **state)
{
	struct vault *v = *state;
	struct sharing first, second, third, later;

	make_pair(v);
	told.later = true;
	begin_sharing(v, &first);
	begin_sharing(v, &second);
	/* However long it takes. */
	begin_sharing_at(v, &third, 2 * KS_VAULT_SHARED_NS);
	assert_int_equal(told.opened, 1);
	assert_int_equal(first.told + second.told + third.told, 0);
	open_now(told.waiting);
	check_shared(&first, "first");
	check_shared(&second, "first");
	assert_ptr_equal(first.opened.items, second.opened.items);
	end_sharing(&first);
	end_sharing(&second);
	check_shared(&third, "first");
	end_sharing(&third);
	/* Nothing stays for who comes later. */
	begin_sharing(v, &later);
	assert_int_equal(told.opened, 2);
	assert_int_equal(later.told, 0);
	open_now(told.waiting);
	check_shared(&later, "first");
	end_sharing(&later);
}

static void what_is_open_is_shared_for_a_moment_alone(void **state)
{
	struct vault *v = *state;
	struct sharing first, second, third, fourth;

	make_pair(v);
	begin_sharing_at(v, &first, 1000);
	begin_sharing_at(v, &second, 1000 + KS_VAULT_SHARED_NS - 1);
	assert_int_equal(told.opened, 1);
	check_shared(&second, "first");
	assert_ptr_equal(first.opened.items, second.opened.items);
	end_sharing(&first);
	/* Who still has it does not keep it for others any longer. */
	begin_sharing_at(v, &third, 1000 + KS_VAULT_SHARED_NS);
	assert_int_equal(told.opened, 2);
	check_shared(&third, "first");
	end_sharing(&second);
	begin_sharing_at(v, &fourth, 1001 + KS_VAULT_SHARED_NS);
	assert_int_equal(told.opened, 2);
	check_shared(&fourth, "first");
	end_sharing(&third);
	end_sharing(&fourth);
}

/* A value that the keeper does not open now it may open the next time. */
static void what_was_not_opened_is_tried_again(void **state)
{
	struct vault *v = *state;
	struct sharing first, second;

	make_pair(v);
	told.corrupt = true;
	begin_sharing(v, &first);
	assert_int_equal(first.err, KS_OK);
	assert_int_equal(first.opened.items[0].err, KS_CORRUPT);
	told.corrupt = false;
	begin_sharing(v, &second);
	assert_int_equal(told.opened, 2);
	check_shared(&second, "first");
	end_sharing(&first);
	end_sharing(&second);
}

/* Another version is another set: what is under way for the one is nothing to the other. */
static void what_is_opened_of_another_set_is_not_shared(void **state)
{
	struct vault *v = *state;
	struct sharing before, after;
	struct ks_vault_opening *of_before;
	struct ks_vault_fields *anew;

	make_pair(v);
	told.later = true;
	begin_sharing(v, &before);
	of_before = told.waiting;
	put(v, "password", "second");
	anew = read_for_use(v, true);
	ks_vault_fields_free(&anew);
	begin_sharing(v, &after);
	assert_int_equal(told.opened, 2);
	open_now(told.waiting);
	open_now(of_before);
	check_shared(&after, "second");
	check_shared(&before, "first");
	end_sharing(&before);
	end_sharing(&after);
}

static void all_who_share_are_told_what_failed(void **state)
{
	struct vault *v = *state;
	struct sharing first, second, third;

	make_pair(v);
	told.later = true;
	begin_sharing(v, &first);
	begin_sharing(v, &second);
	told.later_err = KS_KEEPER;
	open_now(told.waiting);
	assert_int_equal(first.err, KS_KEEPER);
	assert_int_equal(second.err, KS_KEEPER);
	end_sharing(&first);
	end_sharing(&second);
	/* One that could not even begin. */
	told.open_err = KS_FULL;
	begin_sharing(v, &third);
	assert_int_equal(third.told, 1);
	assert_int_equal(third.err, KS_FULL);
	end_sharing(&third);
	told.open_err = told.later_err = KS_OK;
	told.later = false;
	begin_sharing(v, &third);
	check_shared(&third, "first");
	end_sharing(&third);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_comes_while_values_are_opened_shares_them),
		TEST(what_is_open_is_shared_for_a_moment_alone),
		TEST(what_was_not_opened_is_tried_again),
		TEST(what_is_opened_of_another_set_is_not_shared),
		TEST(all_who_share_are_told_what_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
