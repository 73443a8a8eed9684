/* SPDX-License-Identifier: Apache-2.0 */
/* The analysis agrees with the decision: over random worlds, every key is asked about every request with every tenant
 * in the header, and the answers must be those of the classes. */
#include "../seed.h"
#include "world.h"

#define WORLDS 120

static const char *const method_names[] = {"GET", "HEAD", "POST", "PROPFIND"};
static const char *const paths[] = {"/a", "/b", "/a/", "/a/b", "/b/c", "/zz", "/zz/a", "/a/zz", "/a/b/c", "/c/zz/b/a",
				    "/a/b/zz/", "/zz/zz/zz/zz"};

/* The slot of a key, by its token. */
static uint32_t slot_of(const struct world *w, size_t key)
{
	struct ks_digest digest;
	uint64_t slot = 0;

	assert_int_equal(ks_sha256(ks_str_c(w->keys[key].token), &digest), KS_OK);
	assert_non_null(ks_ring_key(&w->f.ring, &digest, ks_ring_home(&w->f.ring, &digest), &slot));
	return (uint32_t)slot;
}

/* The class of a slot in the census; NULL: not counted. */
static const struct ks_class *class_in(const struct ks_census *census, uint32_t slot)
{
	for (size_t c = 0; c < census->class_count; c++)
		for (uint32_t i = 0; i < census->classes[c].count; i++)
			if (census->members[census->classes[c].first + i] == slot)
				return &census->classes[c];
	return NULL;
}

static void check_key(struct world *w, const struct ks_census *census, const struct ks_aim *aims, size_t key,
		      const char *method, const char *path)
{
	uint32_t slot = slot_of(w, key);
	const struct ks_class *class = class_in(census, slot);
	uint64_t allowed = world_tenants(w, KS_RING_POLICY_PLATFORM, key, method, path);
	struct ks_decision plain = world_ask(w, KS_RING_POLICY_PLATFORM, key, method, path, SIZE_MAX);
	struct ks_aim any;

	if (!class || !plain.rule) {
		assert_int_equal(allowed, 0);
		assert_true(class || plain.step == KS_STEP_LOOKUP);
		return;
	}
	struct ks_need need = ks_need_of_rule(plain.rule);
	struct ks_reach reach = ks_reach(class, &need);
	assert_int_equal(ks_aim_take(&w->f.ring, KS_RING_NONE, &any), KS_OK);
	assert_int_equal(reach.reason == KS_REASON_OK, allowed != 0);
	assert_int_equal(ks_aim_hits(&w->f.ring, &any, class, &reach, slot), allowed != 0);
	if (reach.reason != KS_REASON_OK) {
		assert_int_equal(reach.reason, plain.reason);
		assert_true(reach.reason != KS_REASON_SCOPE_MISSING || reach.missing_scope == plain.missing_scope);
	}
	for (uint32_t t = 0; t < w->tenant_count; t++)
		assert_int_equal(ks_aim_hits(&w->f.ring, &aims[t], class, &reach, slot), allowed >> t & 1);
	ks_aim_free(&any);
}

static void who_can_agrees_with_the_decision(void **state)
{
	static struct world w;
	struct ks_aim aims[TENANTS_MAX];

	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		struct ks_census census;

		world_open(&w);
		assert_int_equal(ks_census_take(&w.f.ring, NOW, NULL, &census), KS_OK);
		for (uint32_t t = 0; t < w.tenant_count; t++)
			assert_int_equal(ks_aim_take(&w.f.ring, t, &aims[t]), KS_OK);
		for (size_t key = 0; key < w.key_count; key++)
			for (size_t n = 0; n < 4; n++)
				check_key(&w, &census, aims, key, ANY_OF(method_names), ANY_OF(paths));
		for (uint32_t t = 0; t < w.tenant_count; t++)
			ks_aim_free(&aims[t]);
		ks_census_free(&census);
		world_close(&w);
	}
}

static void check_person(struct world *w, size_t session, const char *method, const char *path)
{
	uint32_t user = ks_ring_user(&w->f.ring, w->sessions[session].user);
	struct ks_decision plain = world_ask_session(w, session, method, path, SIZE_MAX);
	uint64_t allowed = 0;

	for (size_t t = 0; t <= w->tenant_count; t++) {
		struct ks_decision d = world_ask_session(w, session, method, path, t < w->tenant_count ? t : SIZE_MAX);

		if (d.reason == KS_REASON_OK)
			allowed |= UINT64_C(1) << d.tenant;
	}
	assert_int_equal(ks_person_lives(&w->f.ring, user), plain.step != KS_STEP_LOOKUP);
	if (plain.step == KS_STEP_LOOKUP || !plain.rule) {
		assert_int_equal(allowed, 0);
		return;
	}
	struct ks_need need = ks_need_of_rule(plain.rule);
	struct ks_reach reach = ks_person_reach(&w->f.ring, user, &need, KS_RING_NONE);
	assert_int_equal(reach.reason == KS_REASON_OK, allowed != 0);
	for (uint32_t t = 0; t < w->tenant_count; t++) {
		reach = ks_person_reach(&w->f.ring, user, &need, t);
		assert_int_equal(reach.reason == KS_REASON_OK, allowed >> t & 1);
	}
}

static void people_agree_with_the_decision(void **state)
{
	static struct world w;
	size_t allowed = 0;

	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		world_open(&w);
		for (size_t session = 0; session < w.session_count; session++) {
			for (size_t n = 0; n < 12; n++) {
				const char *method = ANY_OF(method_names), *path = ANY_OF(paths);

				check_person(&w, session, method, path);
				allowed += world_ask_session(&w, session, method, path, SIZE_MAX).reason == KS_REASON_OK;
			}
		}
		world_close(&w);
	}
	assert_true(allowed > 20);
}

static bool same_class(const struct ks_class *a, const struct ks_class *b)
{
	return a->kind == b->kind && a->binding == b->binding && a->environment == b->environment
	       && a->has_organizations == b->has_organizations && ks_scopes_within(&a->scopes, &b->scopes)
	       && ks_scopes_within(&b->scopes, &a->scopes);
}

static void the_census_counts_each_accepted_key_once(void **state)
{
	static struct world w;

	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		struct ks_census census;
		size_t counted = 0;

		world_open(&w);
		assert_int_equal(ks_census_take(&w.f.ring, NOW, NULL, &census), KS_OK);
		for (size_t key = 0; key < w.key_count; key++) {
			uint32_t slot = slot_of(&w, key);
			const struct ks_class *class = class_in(&census, slot);
			struct ks_class alone;

			assert_int_equal(ks_class_of(&w.f.ring, slot, NOW, &alone), class != NULL);
			counted += class != NULL;
			assert_true(!class || same_class(class, &alone));
		}
		assert_int_equal(counted, census.member_count);
		for (size_t a = 0; a < census.class_count; a++)
			for (size_t b = 0; b < a; b++)
				assert_false(same_class(&census.classes[a], &census.classes[b]));
		ks_census_free(&census);
		world_close(&w);
	}
}

static void the_census_keeps_to_the_tenants_that_are_seen(void **state)
{
	static struct world w;

	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		uint8_t seen[TENANTS_MAX];
		struct ks_census all, some;
		size_t wanted = 0;

		world_open(&w);
		for (size_t t = 0; t < TENANTS_MAX; t++)
			seen[t] = chance(50);
		/* Those from the last one on are beyond what was looked at. */
		struct ks_seen narrow = {seen, (uint32_t)w.tenant_count - 1};
		assert_int_equal(ks_census_take(&w.f.ring, NOW, NULL, &all), KS_OK);
		assert_int_equal(ks_census_take(&w.f.ring, NOW, &narrow, &some), KS_OK);
		for (size_t m = 0; m < all.member_count; m++) {
			uint32_t tenant = w.f.ring.keys[all.members[m]].tenant;
			bool in = tenant < narrow.count && seen[tenant];

			wanted += in;
			assert_int_equal(class_in(&some, all.members[m]) != NULL, in);
		}
		assert_int_equal(some.member_count, wanted);
		ks_census_free(&all);
		ks_census_free(&some);
		world_close(&w);
	}
}

/* ---- two policies ---- */

/* The example with a segment that no policy here names in the place of {any}, and a method of the region. */
static void concrete(const struct ks_policy_regions *regions, const struct ks_policy_region *region, char path[256],
		     char method[64])
{
	struct ks_buf p = ks_buf_of(path, 256), m = ks_buf_of(method, 64);
	struct ks_str rest = ks_str_c(region->example), head;

	assert_int_equal(rest.p[0], '/');
	rest = ks_str_sub(rest, 1, rest.n);
	for (bool last = false; !last;) {
		if (!ks_str_split(rest, '/', &head, &rest)) {
			head = rest;
			last = true;
		}
		ks_buf_put_c(&p, "/");
		ks_buf_put(&p, ks_str_eq(head, KS_STR("{any}")) ? KS_STR("zz") : head);
	}
	for (size_t i = 0; i < regions->method_count && m.n == 0; i++)
		if (region->methods[i / 64] >> (i % 64) & 1)
			ks_buf_put(&m, i ? regions->methods[i] : KS_STR("PROPFIND"));
	(void)ks_buf_z(&p);
	(void)ks_buf_z(&m);
}

/* What the decision says of a change, by the tenants before and after. */
static bool effect_of(uint64_t before, uint64_t after, enum ks_change_effect *ret_effect)
{
	if ((before != 0) != (after != 0)) {
		*ret_effect = after ? KS_EFFECT_GAINS : KS_EFFECT_LOSES;
		return true;
	}
	if (before == after)
		return false;
	*ret_effect = before & ~after ? KS_EFFECT_FEWER_TENANTS : KS_EFFECT_MORE_TENANTS;
	return true;
}

/* The change that the diff tells of the class in the region. */
static bool told(const struct ks_diff *diff, uint32_t region, uint32_t class, enum ks_change_effect *ret_effect)
{
	bool found = false;

	for (size_t i = 0; i < diff->count; i++) {
		if (diff->changes[i].region != region || diff->changes[i].class != class)
			continue;
		assert_false(found);
		found = true;
		*ret_effect = diff->changes[i].effect;
	}
	return found;
}

static void check_region(struct world *w, const struct ks_census *census, const struct ks_diff *diff, uint32_t region,
			 size_t key)
{
	const struct ks_class *class = class_in(census, slot_of(w, key));
	enum ks_change_effect want = 0, got = 0;
	char path[256], method[64];

	if (!class)
		return;
	concrete(&diff->regions, &diff->regions.items[region], path, method);
	uint64_t before = world_tenants(w, KS_RING_POLICY_PLATFORM, key, method, path);
	uint64_t after = world_tenants(w, KS_RING_POLICY_SELF, key, method, path);
	bool changes = effect_of(before, after, &want);
	bool says = told(diff, region, (uint32_t)(class - census->classes), &got);

	/* A class may reach other tenants in kind, and this key has none of them. */
	if (says && !changes) {
		assert_true(got == KS_EFFECT_MORE_TENANTS || got == KS_EFFECT_FEWER_TENANTS);
		return;
	}
	assert_int_equal(says, changes);
	if (changes)
		assert_int_equal(got, want);
}

static void a_diff_agrees_with_the_decision(void **state)
{
	static struct world w;
	size_t checked = 0;

	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		struct ks_census census;
		struct ks_diff diff;

		world_open(&w);
		assert_int_equal(ks_census_take(&w.f.ring, NOW, NULL, &census), KS_OK);
		assert_int_equal(ks_diff_take(&census, w.policies[0], w.policies[1], &diff), KS_OK);
		for (uint32_t r = 0; r < diff.regions.count; r++)
			for (size_t n = 0; n < 4; n++, checked++)
				check_region(&w, &census, &diff, r, below(w.key_count));
		ks_diff_free(&diff);
		ks_census_free(&census);
		world_close(&w);
	}
	assert_true(checked > 1000);
}

static void a_policy_differs_in_nothing_from_itself(void **state)
{
	static struct world w;

	(void)state;
	for (size_t i = 0; i < WORLDS / 4; i++) {
		struct ks_census census;
		struct ks_diff diff;

		world_open(&w);
		assert_int_equal(ks_census_take(&w.f.ring, NOW, NULL, &census), KS_OK);
		assert_int_equal(ks_diff_take(&census, w.policies[0], w.policies[0], &diff), KS_OK);
		assert_true(diff.regions.count > 0);
		assert_int_equal(diff.count, 0);
		ks_diff_free(&diff);
		ks_census_free(&census);
		world_close(&w);
	}
}

static bool is_rule(const struct ks_policy *policy, struct ks_policy_entry entry, const struct ks_rule *rule,
		    const struct ks_scope_table *scopes)
{
	if (entry.family == KS_POLICY_NOWHERE || !rule)
		return (entry.family == KS_POLICY_NOWHERE) == (rule == NULL);
	struct ks_need a = ks_need_of_entry(policy, entry, scopes), b = ks_need_of_rule(rule);
	assert_true(entry.route < policy->families[entry.family].route_count);
	return entry.family == rule->family && a.scope_count == b.scope_count && a.scopes[0] == b.scopes[0]
	       && a.kinds == b.kinds && a.tenant_header == b.tenant_header;
}

/* Every request is in one of the regions, and every region's example is in it. */
static void regions_are_all_there_is(void **state)
{
	static struct world w;
	static struct ks_path path;

	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		struct ks_policy_regions regions;

		world_open(&w);
		const struct ks_policy_table *tables[2] = {ks_ring_policy_table(&w.f.ring, KS_RING_POLICY_PLATFORM),
							   ks_ring_policy_table(&w.f.ring, KS_RING_POLICY_SELF)};
		assert_int_equal(ks_policy_compare(w.policies[0], w.policies[1], &regions), KS_OK);
		for (size_t n = 0; n < 200; n++) {
			struct ks_str method = ks_str_c(ANY_OF(method_names));
			bool found = false;

			assert_int_equal(ks_path_read(ks_str_c(ANY_OF(paths)), &path), KS_PATH_OK);
			const struct ks_rule *rules[2] = {ks_policy_match(tables[0], &path, method),
							  ks_policy_match(tables[1], &path, method)};
			for (size_t r = 0; r < regions.count && !found; r++)
				found = is_rule(w.policies[0], regions.items[r].sides[0], rules[0], w.f.ring.scopes)
					&& is_rule(w.policies[1], regions.items[r].sides[1], rules[1], w.f.ring.scopes);
			assert_true(found || (!rules[0] && !rules[1]));
		}
		for (size_t r = 0; r < regions.count; r++) {
			char text[256], method[64];

			concrete(&regions, &regions.items[r], text, method);
			assert_int_equal(ks_path_read(ks_str_c(text), &path), KS_PATH_OK);
			for (size_t s = 0; s < 2; s++)
				assert_true(is_rule(w.policies[s], regions.items[r].sides[s],
						    ks_policy_match(tables[s], &path, ks_str_c(method)), w.f.ring.scopes));
		}
		ks_policy_regions_free(&regions);
		world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_can_agrees_with_the_decision),
		cmocka_unit_test(people_agree_with_the_decision),
		cmocka_unit_test(the_census_counts_each_accepted_key_once),
		cmocka_unit_test(the_census_keeps_to_the_tenants_that_are_seen),
		cmocka_unit_test(regions_are_all_there_is),
		cmocka_unit_test(a_diff_agrees_with_the_decision),
		cmocka_unit_test(a_policy_differs_in_nothing_from_itself),
	};

	world_seed = test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
