/* SPDX-License-Identifier: Apache-2.0 */
#include "login/throttle.h"

#include "base/hash.h"

static uint64_t hash_of(const struct ks_throttle *t, struct ks_str name)
{
	uint64_t hash = ks_siphash(t->seed, name.p, name.n);

	return hash ? hash : 1;
}

static struct ks_throttle_entry *find(struct ks_throttle *t, uint64_t hash)
{
	struct ks_throttle_entry *set = t->entries[hash % KS_THROTTLE_SETS];

	for (size_t i = 0; i < KS_THROTTLE_WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
	}
	return NULL;
}

/* A free place, or that of the name which has been quiet for longest. */
static struct ks_throttle_entry *place(struct ks_throttle *t, uint64_t hash)
{
	struct ks_throttle_entry *set = t->entries[hash % KS_THROTTLE_SETS];
	struct ks_throttle_entry *oldest = &set[0];

	for (size_t i = 0; i < KS_THROTTLE_WAYS; i++) {
		if (set[i].hash == 0)
			return &set[i];
		if (set[i].last_ms < oldest->last_ms)
			oldest = &set[i];
	}
	return oldest;
}

/* For more failures than are free. */
static int64_t wait_after(const struct ks_throttle_rule *rule, uint32_t failures)
{
	uint32_t doublings = failures - rule->free - 1;

	if (doublings >= 32 || rule->first_ms << doublings > rule->longest_ms)
		return rule->longest_ms;
	return rule->first_ms << doublings;
}

int64_t ks_throttle_take(struct ks_throttle *throttle, const struct ks_throttle_rule *rule, struct ks_str name,
			 int64_t now_ms)
{
	uint64_t hash = hash_of(throttle, name);
	struct ks_throttle_entry *entry = find(throttle, hash);

	if (!entry) {
		entry = place(throttle, hash);
		*entry = (struct ks_throttle_entry){.hash = hash, .last_ms = now_ms};
	}
	if (now_ms - entry->last_ms >= rule->forget_ms)
		*entry = (struct ks_throttle_entry){.hash = hash};
	if (now_ms < entry->until_ms)
		return entry->until_ms - now_ms;
	entry->last_ms = now_ms;
	if (entry->failures < UINT32_MAX)
		entry->failures++;
	/* Of two at one time the second may have begun earlier: where nobody has to wait, the first's time says nothing. */
	if (entry->failures > rule->free)
		entry->until_ms = now_ms + wait_after(rule, entry->failures);
	return 0;
}

void ks_throttle_give_back(struct ks_throttle *throttle, struct ks_str name)
{
	struct ks_throttle_entry *entry = find(throttle, hash_of(throttle, name));

	if (entry && entry->failures > 0) {
		entry->failures--;
		entry->until_ms = 0;
	}
}

void ks_throttle_forget(struct ks_throttle *throttle, struct ks_str name)
{
	struct ks_throttle_entry *entry = find(throttle, hash_of(throttle, name));

	if (entry)
		*entry = (struct ks_throttle_entry){0};
}
