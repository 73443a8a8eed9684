/* SPDX-License-Identifier: Apache-2.0 */
/** The assertions file: sentences about who may reach what, which CI can hold against the keys that there are.
 *
 *	version: 1
 *	assertions:
 *	  - never: partner keys reach call_traces
 *	    about: Traces are for the tenants themselves
 *	  - only: partner keys with scope billing:partner:allocate reach POST partner_billing
 *	  - always: live project keys below org_0m6xwq3k2r4t8 reach GET|HEAD /api/v1/contacts/{id}, voice_calls
 *
 * sentence  = subject ("reach" | "reaches") target {"," target} ["for" tenant-id]
 * subject   = {word} "keys" {condition} | "key" key-id
 * word      = a kind, a binding or an environment; "all" means nothing
 * condition = ("with" | "without" | "and") ("scope" name | "role" name | "label" name=value) | "of" tenant-id |
 *             "below" tenant-id
 * target    = [method {"|" method}] (family | route | "anything")
 *
 * "and" goes on with the "with" or "without" before it. Pure. */
#pragma once

#include "policy/policy.h"

#define KS_EXPECTATIONS_MAX 1000
#define KS_EXPECTATION_CONDITIONS_MAX 16
#define KS_EXPECTATION_TARGETS_MAX 32
#define KS_EXPECTATION_METHODS_MAX 16

/** X(name, text): never: no such key reaches any of it; always: each such key reaches all of it; only: whoever reaches
 * any of it is such a key. */
#define KS_EXPECTATION_VERBS(X) X(NEVER, "never") X(ALWAYS, "always") X(ONLY, "only")

enum ks_expectation_verb {
#define X(name, text) KS_EXPECTATION_##name,
	KS_EXPECTATION_VERBS(X)
#undef X
	KS_EXPECTATION_VERB_COUNT
};

const char *ks_expectation_verb_text(enum ks_expectation_verb verb);

/** A place in the file, 1-based. */
struct ks_expectation_mark {
	unsigned line, column;
};

enum ks_condition_type {
	KS_CONDITION_KIND,         /* value: enum ks_kind */
	KS_CONDITION_BINDING,      /* value: enum ks_binding */
	KS_CONDITION_ENVIRONMENT,  /* value: enum ks_environment */
	KS_CONDITION_SCOPE,        /* text: its name */
	KS_CONDITION_ROLE,         /* text: its name */
	KS_CONDITION_LABEL,        /* text, label_value */
	KS_CONDITION_OF,           /* id of a tenant: bound to it */
	KS_CONDITION_BELOW,        /* bound to it or to what is below */
	KS_CONDITION_KEY           /* id of a key */
};

struct ks_condition {
	enum ks_condition_type type;
	bool without;
	unsigned value;
	uint64_t id;
	enum ks_id_type id_type;
	struct ks_str text;
	struct ks_str label_value;
	struct ks_expectation_mark mark;
};

struct ks_expectation_target {
	size_t method_count;       /* 0: every one */
	struct ks_str methods[KS_EXPECTATION_METHODS_MAX];
	struct ks_str family;      /* empty: see route */
	struct ks_str route;       /* empty with an empty family: anything */
	struct ks_expectation_mark mark;
};

struct ks_expectation {
	enum ks_expectation_verb verb;
	struct ks_str sentence;    /* without the verb */
	struct ks_str about;       /* may be empty */
	struct ks_expectation_mark mark;
	size_t condition_count;
	struct ks_condition conditions[KS_EXPECTATION_CONDITIONS_MAX];
	size_t target_count;
	struct ks_expectation_target targets[KS_EXPECTATION_TARGETS_MAX];
	uint64_t for_tenant;       /* id; 0: any */
	enum ks_id_type for_type;
	struct ks_expectation_mark for_mark;
};

/** Owned by the caller of ks_expectations_parse; immutable. */
struct ks_expectations {
	size_t count;
	struct ks_expectation *items;
};

/** Parses a file of at most KS_POLICY_TEXT_MAX bytes. Whether families, routes, scopes, roles and ids exist is not
 * asked here. KS_MALFORMED: *ret_problem is the first problem in the file's order; KS_MEMORY. */
KS_MUST_USE enum ks_err ks_expectations_parse(struct ks_str yaml, struct ks_expectations **ret_assertions,
					    struct ks_policy_problem *ret_problem);
/** Frees and clears; takes NULL. */
void ks_expectations_free(struct ks_expectations **assertions);
