/* SPDX-License-Identifier: Apache-2.0 */
/** The policy file: scopes, roles and route families, parsed from YAML into a catalogue for people and programs, and
 * compiled into a flat table for the decision. CONTRACT "The policy file". Pure: the caller reads the file. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "model/model.h"
#include "model/scopes.h"
#include "urlpath/urlpath.h"

#define KS_POLICY_TEXT_MAX (4u << 20) /* bytes */
#define KS_POLICY_FAMILIES_MAX 4096
#define KS_POLICY_ROUTES_MAX 256    /* of one family */
#define KS_POLICY_RULE_SCOPES_MAX 8 /* of one method */
#define KS_POLICY_ROLES_MAX 256
#define KS_POLICY_METHODS_MAX 63 /* different ones in a file, besides "*" */
#define KS_FAMILY_NAME_MAX 63
#define KS_POLICY_ABOUT_MAX 255

/** What is wrong, and where (1-based). */
struct ks_policy_problem {
	unsigned line;
	unsigned column;
	char text[256];
};

struct ks_policy_scope {
	char name[KS_SCOPE_NAME_MAX + 1];
	char about[KS_POLICY_ABOUT_MAX + 1];
	bool is_default;
	bool opt_in;
	uint8_t kinds; /* bits of enum ks_kind that may hold it; KS_KINDS_ANY unless said */
};

struct ks_policy_role {
	char name[KS_SCOPE_NAME_MAX + 1];
	char about[KS_POLICY_ABOUT_MAX + 1];
	size_t scope_count;
	uint16_t *scopes; /* positions in ks_policy.scopes */
};

/** One method of a family: "GET" or "*", and the scopes that it needs, all of them, in the file's order. */
struct ks_policy_method {
	char name[33];
	size_t scope_count;
	uint16_t scopes[KS_POLICY_RULE_SCOPES_MAX]; /* positions in ks_policy.scopes */
};

struct ks_policy_family {
	char name[KS_FAMILY_NAME_MAX + 1];
	char about[KS_POLICY_ABOUT_MAX + 1];
	unsigned line;
	size_t route_count;
	char **routes; /* terminated, as written */
	size_t method_count;
	struct ks_policy_method *methods;
	uint8_t kinds;        /* bits of enum ks_kind */
	uint8_t environments; /* bits of enum ks_environment */
	enum ks_tenant_header tenant_header;
	bool inherited;
};

/** The catalogue. Owned by the caller of ks_policy_parse, immutable, may be read by any thread. */
struct ks_policy {
	size_t scope_count;
	struct ks_policy_scope *scopes;
	size_t role_count;
	struct ks_policy_role *roles;
	size_t family_count;
	struct ks_policy_family *families;
};

/** Parses and checks `yaml`. `reserved` (may be empty) is a leading part that scope names of this file must not have,
 * such as "keystile:". Everything that
 * CONTRACT calls an error is found: unknown members, doubled members, bad values, unknown scopes, opt-in scopes that
 * are default, two families with the same route and method entry, families that nothing can ever reach (no routes, no
 * kinds, no methods, a route that no path can match, scopes that none of its kinds may hold, more specific routes of
 * others everywhere), routes that combine into too many states, limits. *ret_policy is the caller's, for
 * ks_policy_free. KS_MALFORMED fills *ret_problem with the first problem in the file's order (where the text is no
 * YAML, with that); KS_MEMORY. */
KS_MUST_USE enum ks_err ks_policy_parse(struct ks_str yaml, struct ks_str reserved, struct ks_policy **ret_policy,
					struct ks_policy_problem *ret_problem);

/** Frees and clears; takes NULL. Fits KS_AUTO on a pointer variable. */
void ks_policy_free(struct ks_policy **policy);

/** Each: the thing of that name, borrowed from the policy, or NULL. Cost grows with the number of things. */
const struct ks_policy_scope *ks_policy_scope(const struct ks_policy *policy, struct ks_str name);
const struct ks_policy_role *ks_policy_role(const struct ks_policy *policy, struct ks_str name);
const struct ks_policy_family *ks_policy_family(const struct ks_policy *policy, struct ks_str name);

/** The scopes that the role `name` gives a credential of `kind`, as places in policy->scopes (bit i: scopes[i]); scopes
 * that the kind may not hold are left out. A role that the policy describes gives what it lists. A built-in one
 * (enum ks_role) that it does not describe gives: administrator every scope that is not opt-in, member the default
 * ones, account_reader those that are not opt-in and end in ":read". False, untouched: there is no such role. */
KS_MUST_USE bool ks_policy_role_scopes(const struct ks_policy *policy, struct ks_str name, enum ks_kind kind,
				       struct ks_scopes *ret_places);

/** What one matched (route, method) asks for. Stands in the compiled table; fixed layout, no pointers. */
struct ks_rule {
	uint32_t family_name_at; /* offset in the table */
	uint8_t family_name_len;
	uint8_t kinds;
	uint8_t environments;
	uint8_t tenant_header; /* enum ks_tenant_header */
	uint8_t inherited;
	uint8_t scope_count;
	uint16_t family;                            /* position in the catalogue */
	uint16_t scopes[KS_POLICY_RULE_SCOPES_MAX]; /* numbers of the scope table, in the file's order */
	uint16_t usage_class;                       /* number of the scope that usage is counted under: scopes[0] */
	uint16_t reserved[3];
};

/** The compiled table: position-independent, checked by ks_policy_table_ok before first use from a file. */
struct ks_policy_table {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* of the whole table in bytes */
	uint32_t crc;  /* CRC-32 of the whole table, this field being zero */
	uint32_t rule_count;
	uint32_t rules_at; /* offsets count from the beginning of the table */
	uint32_t root;
	uint64_t hash_key[2];
	uint32_t nodes_at;
	uint32_t node_count;
	uint32_t edges_at;
	uint32_t edge_count; /* slots, not all taken */
	uint32_t methods_at;
	uint32_t method_slots;
	uint32_t method_count; /* with "*": cells of a row of answers */
	uint32_t answers_at;
	uint32_t answer_count; /* rows */
	uint32_t names_at;
	uint32_t names_size;
	uint32_t reserved[5];
	/* edges, methods, nodes, answers, rules, names follow: policy_table.h */
};

/** Compiles. Scopes get their numbers in `scopes` (added where new). `hash_key` seeds the segment hash (random in
 * service). *ret_table is heap memory of ->size bytes that the caller frees with free(). KS_FULL where the table would
 * pass 64 MiB or the scope table is full; KS_MEMORY. Matching is deterministic: one step per segment, whatever the
 * number of families. */
KS_MUST_USE enum ks_err ks_policy_compile(const struct ks_policy *policy, struct ks_scope_table *scopes,
					  const uint64_t hash_key[2], struct ks_policy_table **ret_table);

/** True if the table of `size` bytes is whole: magic, version, size, checksum, every offset inside. For tables that
 * come from a file. */
KS_MUST_USE bool ks_policy_table_ok(const struct ks_policy_table *table, size_t size);

/** The rule for the most specific (route, method) pair, or NULL: deny. `path` comes from ks_path_read. No allocation,
 * no lock; cost grows with the path's length alone. */
const struct ks_rule *ks_policy_match(const struct ks_policy_table *table, const struct ks_path *path,
				      struct ks_str method);

/** The family's name, borrowed from the table. */
struct ks_str ks_rule_family(const struct ks_policy_table *table, const struct ks_rule *rule);

/** Rule number `index`, for listings; NULL from rule_count on. In the order of the catalogue: every method of the first
 * family, then of the second, and so on. */
const struct ks_rule *ks_policy_rule(const struct ks_policy_table *table, uint32_t index);
