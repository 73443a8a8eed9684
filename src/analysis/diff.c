/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "analysis/analysis.h"

static const char *const effect_texts[KS_EFFECT_COUNT] = {
	[KS_EFFECT_GAINS] = "gains",
	[KS_EFFECT_LOSES] = "loses",
	[KS_EFFECT_MORE_TENANTS] = "more_tenants",
	[KS_EFFECT_FEWER_TENANTS] = "fewer_tenants",
};

const char *ks_effect_text(enum ks_change_effect effect)
{
	return effect_texts[effect];
}

/* How two reaches differ; false: they do not. A partner's key that goes from its own tenant to its organizations, or
 * back, has as many more as fewer: it is told as losing the one that it had. */
static bool effect_of(const struct ks_reach *old, const struct ks_reach *new, enum ks_change_effect *ret_effect)
{
	bool before = old->reason == KS_REASON_OK, after = new->reason == KS_REASON_OK;

	if (before != after) {
		*ret_effect = after ? KS_EFFECT_GAINS : KS_EFFECT_LOSES;
		return true;
	}
	if (!before || (old->own == new->own && old->others == new->others))
		return false;
	*ret_effect = (old->own && !new->own) || (old->others && !new->others) ? KS_EFFECT_FEWER_TENANTS
									      : KS_EFFECT_MORE_TENANTS;
	return true;
}

static struct ks_need need_of(const struct ks_policy *policy, struct ks_policy_entry entry,
			      const struct ks_scope_table *scopes)
{
	/* Where no family takes a request, no kind is taken. */
	return entry.family == KS_POLICY_NOWHERE ? (struct ks_need){0} : ks_need_of_entry(policy, entry, scopes);
}

static bool same_need(const struct ks_need *a, const struct ks_need *b)
{
	if (a->kinds != b->kinds || a->environments != b->environments || a->tenant_header != b->tenant_header
	    || a->scope_count != b->scope_count)
		return false;
	for (size_t i = 0; i < a->scope_count; i++)
		if (a->scopes[i] != b->scopes[i] || a->scopes[i] == KS_SCOPES_MAX)
			return false;
	return true;
}

static enum ks_err add(struct ks_diff *diff, size_t *cap, struct ks_policy_change change)
{
	if (diff->count == KS_DIFF_CHANGES_MAX)
		return KS_FULL;
	if (diff->count == *cap) {
		size_t room = *cap ? 2 * *cap : 256;
		struct ks_policy_change *grown = realloc(diff->changes, room * sizeof(*grown));

		if (!grown)
			return KS_MEMORY;
		diff->changes = grown;
		*cap = room;
	}
	diff->changes[diff->count++] = change;
	return KS_OK;
}

static enum ks_err compare_region(const struct ks_census *census, struct ks_diff *diff, size_t *cap, uint32_t region,
				  const struct ks_need needs[2])
{
	if (same_need(&needs[0], &needs[1]))
		return KS_OK;
	for (enum ks_change_effect wanted = 0; wanted < KS_EFFECT_COUNT; wanted++) {
		for (uint32_t c = 0; c < census->class_count; c++) {
			struct ks_reach old = ks_reach(&census->classes[c], &needs[0]);
			struct ks_reach new = ks_reach(&census->classes[c], &needs[1]);
			enum ks_change_effect effect;

			if (effect_of(&old, &new, &effect) && effect == wanted)
				KS_TRY(add(diff, cap, (struct ks_policy_change){region, c, effect}));
		}
	}
	return KS_OK;
}

enum ks_err ks_diff_take(const struct ks_census *census, const struct ks_policy *old, const struct ks_policy *new,
			 struct ks_diff *ret_diff)
{
	const struct ks_scope_table *scopes = census->ring->scopes;
	struct ks_diff diff = {0};
	size_t cap = 0;

	KS_TRY(ks_policy_compare(old, new, &diff.regions));
	for (uint32_t r = 0; r < diff.regions.count; r++) {
		const struct ks_policy_region *region = &diff.regions.items[r];
		const struct ks_need needs[2] = {need_of(old, region->sides[0], scopes),
						 need_of(new, region->sides[1], scopes)};
		enum ks_err err = compare_region(census, &diff, &cap, r, needs);

		if (err != KS_OK) {
			ks_diff_free(&diff);
			return err;
		}
	}
	*ret_diff = diff;
	return KS_OK;
}

void ks_diff_free(struct ks_diff *diff)
{
	ks_policy_regions_free(&diff->regions);
	free(diff->changes);
	*diff = (struct ks_diff){0};
}
