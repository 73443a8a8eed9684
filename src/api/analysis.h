/* SPDX-License-Identifier: Apache-2.0 */
/** What the questions over all keys share: which keys the caller may be told of, and how a key is shown. */
#pragma once

#include "analysis/analysis.h"
#include "api/api_priv.h"

/** The keys that a question is about, as of one ring. */
struct ks_survey {
	struct ks_call *call;
	const struct ks_ring *ring;      /* no other call that reads the ring may be made meanwhile */
	struct ks_engine_policy policy;
	struct ks_census census;
	uint8_t *seen;                   /* a byte a tenant; NULL: all */
	uint32_t seen_count;
};

/** Counts the living keys that the caller sees, of `within` (a tenant's id, 0: any) and what is below it. False: the
 * exchange is answered. ks_survey_done gives back. */
KS_MUST_USE bool ks_survey_take(struct ks_call *call, uint64_t within, struct ks_survey *ret_survey);
void ks_survey_done(struct ks_survey *survey);

/** Answers an analysis that failed. */
enum ks_finish ks_survey_fail(struct ks_call *call, enum ks_err err);

/** The catalogue that the parameter `policy` names: "platform" (also where it is left out) or "own". */
enum ks_ring_policy ks_survey_which(struct ks_call *call);

/** A request that is asked about, from the query. */
struct ks_request_words {
	char method[33];
	char path[KS_PATH_MAX + 1];
	enum ks_ring_policy which;
};
/** Reads method, path and policy; what is wrong goes to call->in. */
void ks_survey_words(struct ks_call *call, struct ks_request_words *ret_words);
/** The rule that decides the request, or NULL. `table` may be NULL. On a thread of the analyses. */
const struct ks_rule *ks_survey_match(struct ks_call *call, const struct ks_policy_table *table,
				      const struct ks_request_words *words);
/** "own", "seen", "others": where a reach acts. */
const char *ks_survey_acts_in(const struct ks_reach *reach);

/** The greatest ids of many that are below a bound: a page of a list that is gathered in any order. */
struct ks_newest {
	struct ks_newest_one {
		uint64_t id;
		uint32_t slot;
		uint32_t class;
	} *heap;                         /* the least first, until it is sorted */
	size_t count, cap;
	uint64_t before;                 /* 0: none */
	bool more;                       /* there was one that found no place */
};
/** KS_MEMORY. Free `heap`. */
KS_MUST_USE enum ks_err ks_newest_init(struct ks_newest *newest, size_t cap, uint64_t before);
void ks_newest_add(struct ks_newest *newest, struct ks_newest_one one);
/** The greatest first. */
void ks_newest_sort(struct ks_newest *newest);

/** `limit` and `cursor`, where the local caller may ask for more at once. */
#define KS_SURVEY_LOCAL_MAX 100000u
void ks_survey_page(struct ks_call *call, struct ks_page *ret_page);

/** Opens an object with what is told of a key: id, name, kind, binding, tenant, user, environment. KS_NOT_FOUND: it is
 * not in the store, and nothing was written. */
KS_MUST_USE enum ks_err ks_survey_put_key(const struct ks_survey *survey, uint64_t id, uint32_t class, uint32_t slot);

/** Names of the scopes in `set`, as a member. */
void ks_survey_put_scopes(struct ks_json *out, const char *name, const struct ks_ring *ring,
			  const struct ks_scopes *set);

/** Parses the policy file that stands as a text in member `name` of the body; where it is missing *ret_policy stays.
 * False: the exchange is answered, with line and column. */
KS_MUST_USE bool ks_survey_policy(struct ks_call *call, const char *name, struct ks_policy **ret_policy);
