/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of a verdict. Texts are written when asked for, into the handle's room, each into a place of its
 * own. */
#include "lib/lib_priv.h"

/* A place for a header's value in the texts; the ids that name a static text instead have no place. */
struct place {
	size_t at;
	size_t size;
};

#define PLACE(member) {offsetof(struct verdict_texts, member), sizeof(((struct verdict_texts *)0)->member)}

static const struct place places[KS_IDENTITY_COUNT] = {
	[KS_IDENTITY_PRINCIPAL] = PLACE(principal),
	[KS_IDENTITY_TENANT] = PLACE(tenant),
	[KS_IDENTITY_ORGANIZATION] = PLACE(organization),
	[KS_IDENTITY_VISIBLE] = PLACE(visible),
	[KS_IDENTITY_INHERITED] = PLACE(inherited),
	[KS_IDENTITY_SCOPES] = PLACE(scopes),
	[KS_IDENTITY_FAMILY] = PLACE(family),
	[KS_IDENTITY_RATE_LIMIT] = PLACE(rate_limit),
	[KS_IDENTITY_RATE_LIMIT_POLICY] = PLACE(rate_limit_policy),
};

static bool has_key(const struct keystile_verdict *verdict)
{
	return verdict && verdict->ring && verdict->d.key;
}

KS_PUBLIC bool keystile_verdict_allows(const struct keystile_verdict *verdict)
{
	return has_key(verdict) && verdict->d.reason == KS_REASON_OK;
}

static const struct ks_reason_info *info_of(const struct keystile_verdict *verdict)
{
	enum ks_reason reason = verdict ? verdict->d.reason : KS_REASON_STALE;

	/* An allow without what it rests on is none. */
	if (reason == KS_REASON_OK && !has_key(verdict))
		reason = KS_REASON_STALE;
	return ks_reason_info(reason);
}

KS_PUBLIC const char *keystile_verdict_code(const struct keystile_verdict *verdict)
{
	return info_of(verdict)->code;
}

KS_PUBLIC int keystile_verdict_http_status(const struct keystile_verdict *verdict)
{
	return info_of(verdict)->status;
}

KS_PUBLIC const char *keystile_verdict_text(const struct keystile_verdict *verdict)
{
	return info_of(verdict)->text;
}

KS_PUBLIC const char *keystile_verdict_detail(const struct keystile_verdict *verdict)
{
	if (!verdict || !verdict->ring)
		return "";
	if (verdict->d.reason == KS_REASON_PATH_AMBIGUOUS)
		return ks_path_problem_text(verdict->d.path_problem);
	return ks_lookup_detail_text(verdict->d.lookup);
}

KS_PUBLIC const char *keystile_verdict_challenge(const struct keystile_verdict *verdict)
{
	return verdict && verdict->ring ? ks_decision_challenge(verdict->d.reason, verdict->basic_tried) : "";
}

/* ---- identity ---- */

static struct ks_str write_text(const struct keystile_verdict *verdict, enum ks_identity_header which)
{
	struct place place = places[which];
	struct ks_buf out = ks_buf_of((char *)verdict->texts + place.at, place.size);

	ks_identity_put(verdict->ring, &verdict->d, which, &out);
	return ks_str_c(ks_buf_z(&out));
}

/* The value of a header that has a place. */
static const char *allowed_text(const struct keystile_verdict *verdict, enum ks_identity_header which)
{
	return keystile_verdict_allows(verdict) ? write_text(verdict, which).p : "";
}

KS_PUBLIC const char *keystile_verdict_principal(const struct keystile_verdict *verdict)
{
	return has_key(verdict) ? write_text(verdict, KS_IDENTITY_PRINCIPAL).p : "";
}

KS_PUBLIC const char *keystile_verdict_kind(const struct keystile_verdict *verdict)
{
	return keystile_verdict_allows(verdict) ? ks_kind_text(KS_KEY_KIND(verdict->d.state)) : "";
}

KS_PUBLIC const char *keystile_verdict_tenant(const struct keystile_verdict *verdict)
{
	return allowed_text(verdict, KS_IDENTITY_TENANT);
}

KS_PUBLIC const char *keystile_verdict_organization(const struct keystile_verdict *verdict)
{
	return allowed_text(verdict, KS_IDENTITY_ORGANIZATION);
}

KS_PUBLIC const char *keystile_verdict_visible(const struct keystile_verdict *verdict)
{
	return allowed_text(verdict, KS_IDENTITY_VISIBLE);
}

KS_PUBLIC const char *keystile_verdict_inherited(const struct keystile_verdict *verdict)
{
	return allowed_text(verdict, KS_IDENTITY_INHERITED);
}

KS_PUBLIC const char *keystile_verdict_scopes(const struct keystile_verdict *verdict)
{
	return allowed_text(verdict, KS_IDENTITY_SCOPES);
}

KS_PUBLIC const char *keystile_verdict_environment(const struct keystile_verdict *verdict)
{
	return keystile_verdict_allows(verdict) ? ks_environment_text(KS_KEY_ENVIRONMENT(verdict->d.state)) : "";
}

KS_PUBLIC const char *keystile_verdict_family(const struct keystile_verdict *verdict)
{
	return allowed_text(verdict, KS_IDENTITY_FAMILY);
}

KS_PUBLIC const char *keystile_verdict_required_scope(const struct keystile_verdict *verdict)
{
	struct ks_buf out;

	if (!has_key(verdict) || verdict->d.reason != KS_REASON_SCOPE_MISSING)
		return "";
	out = KS_BUF(verdict->texts->required_scope);
	ks_buf_put(&out, ks_scope_name(verdict->ring->scopes, verdict->d.missing_scope));
	return ks_buf_z(&out);
}

KS_PUBLIC bool keystile_verdict_has_scope(const struct keystile_verdict *verdict, struct keystile_text scope)
{
	uint16_t number;

	return keystile_verdict_allows(verdict) && ks_scope_find(verdict->ring->scopes, str_of(scope), &number)
	       && ks_scopes_has(ks_decision_scopes(&verdict->d), number);
}

KS_PUBLIC bool keystile_verdict_sees(const struct keystile_verdict *verdict, struct keystile_text tenant)
{
	enum ks_id_type type;
	uint32_t index;
	uint64_t id;

	if (!keystile_verdict_allows(verdict) || !ks_id_parse_any(str_of(tenant), &type, &id))
		return false;
	index = ks_ring_tenant(verdict->ring, id);
	return index != KS_RING_NONE && verdict->ring->tenants[index].kind == (uint8_t)type
	       && ks_decision_sees(verdict->ring, &verdict->d, index);
}

KS_PUBLIC bool keystile_verdict_rate(const struct keystile_verdict *verdict, struct keystile_rate *ret_rate)
{
	const struct ks_rate *rate;

	if (!has_key(verdict) || verdict->d.rate.limit == 0 || !ret_rate)
		return false;
	rate = &verdict->d.rate;
	*ret_rate = (struct keystile_rate){.limit = rate->limit,
					   .window_s = rate->window_s,
					   .remaining = rate->remaining,
					   .reset_s = rate->reset_s,
					   .retry_after_s = rate->retry_after_s};
	return true;
}

/* ---- headers ---- */

static struct keystile_text header_value(const struct keystile_verdict *verdict, enum ks_identity_header which)
{
	struct ks_str value;

	if (which == KS_IDENTITY_KIND)
		return keystile_text(keystile_verdict_kind(verdict));
	if (which == KS_IDENTITY_ENVIRONMENT)
		return keystile_text(keystile_verdict_environment(verdict));
	value = write_text(verdict, which);
	return keystile_text_n(value.p, value.n);
}

KS_PUBLIC bool keystile_verdict_header(const struct keystile_verdict *verdict, size_t index,
				       struct keystile_text *ret_name, struct keystile_text *ret_value)
{
	if (!keystile_verdict_allows(verdict) || index >= KS_IDENTITY_COUNT || !ret_name || !ret_value)
		return false;
	*ret_name = keystile_text(ks_identity_name((enum ks_identity_header)index));
	*ret_value = header_value(verdict, (enum ks_identity_header)index);
	return true;
}

KS_PUBLIC int keystile_verdict_headers(const struct keystile_verdict *verdict, char *buffer, size_t size, size_t *ret_n)
{
	struct ks_buf out = ks_buf_of(buffer, size);

	if (!keystile_verdict_allows(verdict) || !buffer)
		return KEYSTILE_BAD_ARGUMENT;
	for (unsigned i = 0; i < KS_IDENTITY_COUNT; i++) {
		ks_buf_put_c(&out, ks_identity_name((enum ks_identity_header)i));
		ks_buf_put(&out, KS_STR(": "));
		ks_identity_put(verdict->ring, &verdict->d, (enum ks_identity_header)i, &out);
		ks_buf_put(&out, KS_STR("\r\n"));
	}
	(void)ks_buf_z(&out);
	if (!ks_buf_ok(&out)) {
		if (size > 0)
			buffer[0] = '\0';
		return KEYSTILE_TOO_LARGE;
	}
	if (ret_n)
		*ret_n = out.n;
	return KEYSTILE_OK;
}
