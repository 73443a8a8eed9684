/* SPDX-License-Identifier: Apache-2.0 */
/* What a token of an issuer that an organization has configured stands for, by that issuer's rules. */
#include "assertion/assertion_priv.h"
#include "base/id.h"

/* ---- the rules themselves ---- */

static bool rule(struct ks_str rules, struct ks_str name, struct ks_str *ret_value)
{
	return ks_json_member(rules, name, ret_value);
}

/* A rule that is a string without escapes: paths, ids, names. */
static bool rule_text(struct ks_str rules, struct ks_str name, struct ks_str *ret_text)
{
	struct ks_buf none = {0};
	struct ks_str value;

	return rule(rules, name, &value) && ks_json_string(value, &none, ret_text);
}

static bool tenant_id(struct ks_str value, uint64_t *ret_id)
{
	struct ks_buf none = {0};
	enum ks_id_type type;
	struct ks_str text;

	return ks_json_string(value, &none, &text) && ks_id_parse_any(text, &type, ret_id);
}

static bool is_tenant(struct ks_str value)
{
	uint64_t id;

	return tenant_id(value, &id);
}

static bool is_role(struct ks_str value)
{
	struct ks_buf none = {0};
	struct ks_str text;

	return ks_json_string(value, &none, &text) && text.n > 0 && text.n <= KS_SCOPE_NAME_MAX;
}

static bool is_path(struct ks_str value)
{
	struct ks_buf none = {0};
	struct ks_str text;

	return ks_json_string(value, &none, &text) && text.n > 0 && text.n <= KS_CLAIMS_PATH_MAX;
}

static bool all_members(struct ks_str object, bool (*ok)(struct ks_str value))
{
	struct ks_json_read r = ks_json_read_of(object);
	bool first = true;

	if (ks_json_kind(object) != '{')
		return false;
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		(void)ks_json_read_name(&r);
		if (!ok(ks_json_read_raw(&r)))
			return false;
	}
	return !ks_json_read_failed(&r);
}

static bool all_elements(struct ks_str array, bool (*ok)(struct ks_str value))
{
	struct ks_json_read r = ks_json_read_of(array);
	bool first = true;

	if (ks_json_kind(array) != '[')
		return false;
	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']')) {
		if (!ok(ks_json_read_raw(&r)))
			return false;
	}
	return !ks_json_read_failed(&r);
}

static bool are_tenants(struct ks_str value)
{
	return all_members(value, is_tenant);
}

static bool are_roles(struct ks_str value)
{
	return all_members(value, is_role);
}

static bool are_role_names(struct ks_str value)
{
	return all_elements(value, is_role);
}

static const struct {
	struct ks_str name;
	bool (*ok)(struct ks_str value);
} known[] = {
	{KS_STR("tenant_claim"), is_path},   {KS_STR("tenants"), are_tenants}, {KS_STR("default_tenant"), is_tenant},
	{KS_STR("role_claim"), is_path},     {KS_STR("roles"), are_roles},     {KS_STR("default_roles"), are_role_names},
};

static bool rule_ok(struct ks_str name, struct ks_str value)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(known); i++) {
		if (ks_str_eq(known[i].name, name))
			return known[i].ok(value);
	}
	return false;
}

bool ks_jwt_rules_ok(struct ks_str rules)
{
	struct ks_json_read r = ks_json_read_of(rules);
	struct ks_json_text name;
	bool first = true;

	if (rules.n > KS_RING_ISSUER_RULES_MAX || !ks_json_check(rules) || ks_json_kind(rules) != '{')
		return false;
	ks_json_read_open(&r, '{');
	while (ks_json_read_more(&r, &first, '}')) {
		name = ks_json_read_name(&r);
		if (name.escaped || !rule_ok(name.raw, ks_json_read_raw(&r)))
			return false;
	}
	return !ks_json_read_failed(&r);
}

/* ---- a token under them ---- */

static enum ks_lookup_detail read_tenant(struct ks_verifier *verifier, struct ks_str rules, struct ks_assertion *a)
{
	struct ks_buf room = KS_BUF(verifier->room);
	struct ks_str path, tenants, value, text, meant;
	bool asked = rule_text(rules, KS_STR("tenant_claim"), &path);

	if (asked && ks_claims_find(&verifier->claims, path, &value)) {
		if (!ks_json_string(value, &room, &text))
			return KS_LOOKUP_JWT_CLAIMS;
		if (!rule(rules, KS_STR("tenants"), &tenants) || !ks_json_member(tenants, text, &meant)
		    || !tenant_id(meant, &a->tenant))
			return KS_LOOKUP_JWT_TENANT;
		return KS_LOOKUP_NONE;
	}
	/* A claim that says where, and is not there, does not mean everywhere. */
	if (!rule(rules, KS_STR("default_tenant"), &value))
		return asked ? KS_LOOKUP_JWT_TENANT : KS_LOOKUP_NONE;
	return tenant_id(value, &a->tenant) ? KS_LOOKUP_NONE : KS_LOOKUP_JWT_TENANT;
}

/* Beyond the limit roles are left out: a token with fewer roles may less. */
static void add_role(const struct ks_ring *ring, struct ks_str name, struct ks_assertion *a)
{
	uint16_t number = ks_ring_role(ring, name);

	for (uint8_t i = 0; i < a->role_count; i++) {
		if (a->roles[i] == number)
			return;
	}
	if (number != 0 && a->role_count < KS_ASSERTION_ROLES_MAX)
		a->roles[a->role_count++] = number;
}

static bool read_roles(const struct ks_ring *ring, struct ks_verifier *verifier, struct ks_str rules, struct ks_assertion *a)
{
	struct ks_claims_strings at = {0};
	struct ks_buf none = {0};
	struct ks_str path, roles, value, text, name, meant;
	bool malformed = false, any = false;

	if (rule_text(rules, KS_STR("role_claim"), &path) && rule(rules, KS_STR("roles"), &roles)
	    && ks_claims_find(&verifier->claims, path, &value)) {
		for (;;) {
			struct ks_buf room = KS_BUF(verifier->room);

			if (!ks_claims_next(&at, value, true, &room, &text, &malformed))
				break;
			if (!ks_json_member(roles, text, &meant) || !ks_json_string(meant, &none, &name))
				continue;
			any = true;
			add_role(ring, name, a);
		}
	}
	if (malformed || any || !rule(rules, KS_STR("default_roles"), &value))
		return !malformed;
	at = (struct ks_claims_strings){0};
	while (ks_claims_next(&at, value, false, &none, &name, &malformed))
		add_role(ring, name, a);
	return !malformed;
}

enum ks_lookup_detail ks_foreign_claims(const struct ks_ring *ring, struct ks_verifier *verifier,
					const struct ks_ring_issuer *issuer, struct ks_assertion *ret_assertion)
{
	struct ks_str rules = ks_ring_issuer_text(issuer, issuer->rules), typ = verifier->jws.typ;
	enum ks_lookup_detail detail;

	/* Many issuers type their access tokens as plain JWTs, or not at all; a token typed as something else is for
	 * something else. */
	if (!ks_str_empty(typ) && !ks_jws_typ_is(&verifier->jws, KS_STR("JWT"))
	    && !ks_jws_typ_is(&verifier->jws, KS_STR(KS_JWT_TYPE_ACCESS)))
		return KS_LOOKUP_JWT_TYPE;
	ret_assertion->kind = KS_ASSERTION_FEDERATED;
	if (ks_ring_issuer_digest(issuer->id, &ret_assertion->ref) != KS_OK)
		return KS_LOOKUP_JWT_CLAIMS;
	detail = read_tenant(verifier, rules, ret_assertion);
	if (detail != KS_LOOKUP_NONE)
		return detail;
	return read_roles(ring, verifier, rules, ret_assertion) ? KS_LOOKUP_NONE : KS_LOOKUP_JWT_CLAIMS;
}
