/* SPDX-License-Identifier: Apache-2.0 */
#include "decision/decision.h"

#include <inttypes.h>

static const struct {
	bool expired;
	const char *text;
} lookups[KS_LOOKUP_DETAIL_COUNT] = {
#define X(name, expired, text) {expired, text},
	KS_LOOKUP_DETAILS(X)
#undef X
};

const char *ks_lookup_detail_text(enum ks_lookup_detail detail)
{
	return (unsigned)detail < KS_LOOKUP_DETAIL_COUNT ? lookups[detail].text : "";
}

bool ks_lookup_detail_is_expired(enum ks_lookup_detail detail)
{
	return (unsigned)detail < KS_LOOKUP_DETAIL_COUNT && lookups[detail].expired;
}

void ks_decision_put_principal(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out)
{
	const struct ks_ring_key *key = decision->key;
	enum ks_id_type type = KS_ID_KEY;
	char text[KS_ID_TEXT_SIZE];
	uint64_t id;

	if (!key)
		return;
	id = key->id;
	if (KS_KEY_KIND(decision->state) == KS_KIND_SESSION) {
		bool user = KS_KEY_BINDING(decision->state) == KS_BINDING_USER;

		type = user ? KS_ID_USER : KS_ID_ISSUER;
		if (user)
			id = ring->users[key->grant].id;
	}
	ks_id_format(type, id, text);
	ks_buf_put(out, ks_str_of(text, KS_ID_TEXT_LEN));
}

void ks_decision_put_tenant(const struct ks_ring *ring, uint32_t index, struct ks_buf *out)
{
	char text[KS_ID_TEXT_SIZE];

	if (index == KS_RING_NONE)
		return;
	ks_id_format((enum ks_id_type)ring->tenants[index].kind, ring->tenants[index].id, text);
	ks_buf_put(out, ks_str_of(text, KS_ID_TEXT_LEN));
}

static void put_separated(const struct ks_ring *ring, uint32_t index, struct ks_buf *out, bool *first)
{
	if (!*first)
		ks_buf_put_byte(out, ',');
	*first = false;
	ks_decision_put_tenant(ring, index, out);
}

void ks_decision_put_visible(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out)
{
	const struct ks_ring_memberships *memberships = decision->memberships;
	bool first = true;

	if (decision->visible_own == KS_RING_NONE)
		return;
	put_separated(ring, decision->visible_own, out, &first);
	for (uint32_t i = 0; memberships && i < memberships->count; i++) {
		if (ks_decision_is_root(ring, decision, &memberships->items[i]))
			put_separated(ring, memberships->items[i].tenant, out, &first);
	}
}

void ks_decision_put_inherited(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out)
{
	bool first = true;

	for (uint8_t i = 0; i < decision->inherited_count; i++)
		put_separated(ring, decision->inherited[i], out, &first);
}

void ks_decision_put_scopes(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out)
{
	const struct ks_scopes *scopes;
	bool first = true;

	if (!decision->grant)
		return;
	scopes = ks_decision_scopes(decision);
	for (size_t word = 0; word < KS_ARRAY_LEN(scopes->bits); word++) {
		for (uint64_t bits = scopes->bits[word]; bits; bits &= bits - 1) {
			uint16_t number = (uint16_t)(64 * word + (unsigned)__builtin_ctzll(bits));

			if (!first)
				ks_buf_put_byte(out, ' ');
			first = false;
			ks_buf_put(out, ks_scope_name(ring->scopes, number));
		}
	}
}

/* ---- one function a header ---- */

typedef void (*put_fn)(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out);

static void put_PRINCIPAL(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	ks_decision_put_principal(ring, d, out);
}

static void put_KIND(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	(void)ring;
	if (d->key)
		ks_buf_put_c(out, ks_kind_text(KS_KEY_KIND(d->state)));
}

static void put_TENANT(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	ks_decision_put_tenant(ring, d->tenant, out);
}

static void put_ORGANIZATION(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	ks_decision_put_tenant(ring, d->organization, out);
}

static void put_VISIBLE(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	ks_decision_put_visible(ring, d, out);
}

static void put_INHERITED(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	ks_decision_put_inherited(ring, d, out);
}

static void put_SCOPES(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	ks_decision_put_scopes(ring, d, out);
}

static void put_ENVIRONMENT(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	(void)ring;
	if (d->key)
		ks_buf_put_c(out, ks_environment_text(KS_KEY_ENVIRONMENT(d->state)));
}

static void put_FAMILY(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	(void)ring;
	if (d->rule)
		ks_buf_put(out, ks_rule_family(d->policy, d->rule));
}

static void put_RATE_LIMIT(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	(void)ring;
	if (d->rate.limit)
		ks_buf_printf(out, "\"key\";r=%" PRIu32 ";t=%" PRIu32, d->rate.remaining, d->rate.reset_s);
}

static void put_RATE_LIMIT_POLICY(const struct ks_ring *ring, const struct ks_decision *d, struct ks_buf *out)
{
	(void)ring;
	if (d->rate.limit)
		ks_buf_printf(out, "\"key\";q=%" PRIu32 ";w=%" PRIu32, d->rate.limit, d->rate.window_s);
}

static const struct {
	const char *name;
	put_fn put;
} identity[KS_IDENTITY_COUNT] = {
#define X(name, field) {field, put_##name},
	KS_IDENTITY_HEADERS(X)
#undef X
};

const char *ks_identity_name(enum ks_identity_header header)
{
	return (unsigned)header < KS_IDENTITY_COUNT ? identity[header].name : "";
}

void ks_identity_put(const struct ks_ring *ring, const struct ks_decision *decision, enum ks_identity_header header,
		     struct ks_buf *out)
{
	if ((unsigned)header < KS_IDENTITY_COUNT)
		identity[header].put(ring, decision, out);
}

const char *ks_decision_challenge(enum ks_reason reason, bool basic_tried)
{
	if (ks_reason_info(reason)->status != 401)
		return "";
	if (basic_tried)
		return "Basic realm=\"keystile\", charset=\"UTF-8\"";
	/* RFC 6750, 3.1: no error code where nothing was presented. */
	if (reason == KS_REASON_CREDENTIAL_MISSING)
		return "Bearer realm=\"keystile\"";
	return "Bearer realm=\"keystile\", error=\"invalid_token\"";
}
