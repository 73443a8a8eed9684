/* SPDX-License-Identifier: Apache-2.0 */
/** What two policies say of every request there can be: the regions of requests that go to one entry of the one and to
 * one entry of the other. Exact, over all paths and methods: it walks both matchers together. For comparing policies,
 * and for telling which routes of one policy decide anything at all. Pure. */
#pragma once

#include "policy/policy.h"

#define KS_POLICY_NOWHERE UINT16_MAX
#define KS_POLICY_REGIONS_MAX (1u << 20)

/** An entry of a policy: positions in the catalogue. `family` is KS_POLICY_NOWHERE where no family takes a request. */
struct ks_policy_entry {
	uint16_t family;
	uint16_t route;
	uint16_t method;
};

/** Requests that are alike. */
struct ks_policy_region {
	struct ks_policy_entry sides[2];
	uint64_t methods[2];   /* bits: positions in ks_policy_regions.methods */
	char *example;         /* a shortest path, as a route; "{any}" is a segment that no literal of either names */
};

/** Owned by the caller of ks_policy_compare; names borrow from the policies. */
struct ks_policy_regions {
	size_t count;
	struct ks_policy_region *items;
	size_t method_count;
	struct ks_str methods[2 * KS_POLICY_METHODS_MAX + 1]; /* the first is "*": every method that neither names */
};

/** Finds all regions, but for those that neither policy takes. `b` may be NULL: nothing is taken there. KS_FULL: more
 * than KS_POLICY_REGIONS_MAX of them, or the matchers are too large together; KS_MEMORY. */
KS_MUST_USE enum ks_err ks_policy_compare(const struct ks_policy *a, const struct ks_policy *b,
					  struct ks_policy_regions *ret_regions);

/** Frees what is in it. */
void ks_policy_regions_free(struct ks_policy_regions *regions);

/** True if `text` is a route as a policy file has them; else *ret_why is static text that begins with a verb. */
KS_MUST_USE bool ks_policy_route_ok(struct ks_str text, const char **ret_why);
