/* SPDX-License-Identifier: Apache-2.0 */
/* Who a user is to an identity provider. */
#include "base/buf.h"
#include "engine/federation.h"
#include "engine/identity_providers.h"
#include "engine/users.h"

#define DETAIL_SIZE 2048
#define STATES_KEPT_MS INT64_C(3600000) /* six times as long as a login may take */

/* What is needed of the provider's row, which is the store's until the callback returns. */
struct provider {
	uint64_t id;
	uint64_t organization;
	uint64_t default_tenant;
	bool auto_create;
	bool in_use;
	char issuer[KS_STORE_ISSUER_MAX];
	struct ks_str issuer_text;
	char domains[KS_STORE_DOMAINS_MAX];
	struct ks_str domains_text;
	char role[KS_STORE_ROLE_MAX];
	struct ks_str role_text;
};

static struct ks_str copy(struct ks_str from, char *to, size_t cap)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	return ks_buf_str(&b);
}

static enum ks_err keep_provider(void *ctx, const struct ks_identity_provider_row *row)
{
	struct provider *p = ctx;

	p->id = row->id;
	p->organization = row->organization;
	p->default_tenant = row->default_tenant;
	p->auto_create = row->auto_create;
	p->in_use = row->enabled && row->deleted_at == KS_TIME_NONE;
	p->issuer_text = copy(row->issuer, p->issuer, sizeof(p->issuer));
	p->domains_text = copy(row->domains, p->domains, sizeof(p->domains));
	p->role_text = copy(row->default_role, p->role, sizeof(p->role));
	return KS_OK;
}

/* One answer for all: who tries learns nothing of who is here. */
static enum ks_err refuse(struct ks_refusal *refusal)
{
	return ks_refuse(refusal, KS_FORBIDDEN, "login_failed", "", "this login leads to no user");
}

/* ---- what a provider may speak for ---- */

static bool speaks_for(const struct provider *p, struct ks_str email)
{
	struct ks_str local, domain, word, rest = p->domains_text;

	if (!ks_str_split(email, '@', &local, &domain) || ks_str_empty(rest))
		return false;
	while (ks_str_split(rest, ' ', &word, &rest)) {
		if (ks_str_eq(word, domain))
			return true;
	}
	return ks_str_eq(rest, domain);
}

struct reach {
	const struct ks_ring *ring;
	uint64_t organization;
	bool beyond;
};

static enum ks_err see_membership(void *ctx, const struct ks_membership_row *row)
{
	struct reach *r = ctx;
	uint32_t index = ks_ring_tenant(r->ring, row->tenant);
	uint32_t organization = index == KS_RING_NONE ? KS_RING_NONE : r->ring->tenants[index].organization;

	if (organization == KS_RING_NONE || r->ring->tenants[organization].id != r->organization)
		r->beyond = true;
	return KS_OK;
}

/* Whoever runs the provider could log in as anybody it speaks for: never into what lies outside. */
static enum ks_err check_reach(struct ks_tx *tx, const struct provider *p, uint64_t user, struct ks_refusal *refusal)
{
	struct reach reach = {.ring = tx->ring, .organization = p->organization};

	if (p->organization == 0)
		return KS_OK;
	KS_TRY(ks_store_memberships_of_user(tx->store, user, see_membership, &reach));
	return reach.beyond ? refuse(refusal) : KS_OK;
}

/* ---- link ---- */

struct person {
	uint64_t id;
	uint64_t organization;
};

static enum ks_err take_person(void *ctx, const struct ks_user_row *row)
{
	struct person *person = ctx;

	*person = (struct person){row->id, row->organization};
	return KS_OK;
}

static enum ks_err link_user(struct ks_tx *tx, const struct ks_actor *actor, const struct provider *p,
			     const struct ks_identity_claim *claim, uint64_t user)
{
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	KS_TRY(ks_store_identity_insert(tx->store, &(struct ks_identity_row){
		.organization = p->organization,
		.issuer = claim->issuer,
		.subject = claim->subject,
		.user = user,
		.created_at = tx->now_ms,
	}));
	ks_audit_put(&detail, "issuer", claim->issuer);
	ks_audit_put(&detail, "subject", claim->subject);
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = "user.link",
		.organization = p->organization,
		.tenant = ks_actor_home(tx->ring, p->organization),
		.object_type = KS_ID_USER,
		.object = user,
		.detail = ks_audit_end(&detail),
	});
}

static enum ks_err create_user(struct ks_tx *tx, const struct ks_actor *actor, const struct provider *p,
			       const struct ks_identity_claim *claim, uint64_t *ret_user, struct ks_refusal *refusal)
{
	const struct ks_user_input input = {
		.organization = p->organization,
		.email = claim->email,
		.name = ks_str_empty(claim->name) ? claim->email : claim->name,
	};
	enum ks_err err = ks_user_create_at(tx, actor, p->organization, &input, ret_user, NULL, refusal);

	if (err == KS_MALFORMED || err == KS_CONFLICT)
		return refuse(refusal);
	KS_TRY(err);
	if (ks_str_empty(p->role_text))
		return KS_OK;
	/* It was there when the provider was set up; a user without the role is better than none. */
	if (ks_ring_tenant(tx->ring, p->default_tenant) == KS_RING_NONE || ks_tx_is_gone(tx, p->default_tenant))
		return KS_OK;
	return ks_member_put_at(tx, actor, p->organization, p->default_tenant, *ret_user, p->role_text);
}

static enum ks_err find_new(struct ks_tx *tx, const struct ks_actor *actor, const struct provider *p,
			    const struct ks_identity_claim *claim, uint64_t *ret_user, struct ks_refusal *refusal)
{
	struct person person;
	enum ks_err err;

	if (ks_str_empty(claim->email) || !claim->email_verified || !speaks_for(p, claim->email))
		return refuse(refusal);
	err = ks_store_user_by_email(tx->store, claim->email, take_person, &person);
	if (err == KS_NOT_FOUND && p->auto_create) {
		KS_TRY(create_user(tx, actor, p, claim, ret_user, refusal));
		return link_user(tx, actor, p, claim, *ret_user);
	}
	if (err == KS_NOT_FOUND || (err == KS_OK && person.organization != p->organization))
		return refuse(refusal);
	KS_TRY(err);
	KS_TRY(check_reach(tx, p, person.id, refusal));
	*ret_user = person.id;
	return link_user(tx, actor, p, claim, person.id);
}

static enum ks_err take_user(void *ctx, const struct ks_identity_row *row)
{
	*(uint64_t *)ctx = row->user;
	return KS_OK;
}

enum ks_err ks_identities_find_user(struct ks_tx *tx, const struct ks_identity_claim *claim, uint64_t *ret_user,
				    struct ks_refusal *ret_refusal)
{
	struct ks_actor actor = {.id = "system"};
	struct provider p = {0};
	uint64_t user = 0;
	enum ks_err err = ks_store_identity_provider_get(tx->store, claim->provider, keep_provider, &p);

	if (err == KS_NOT_FOUND || (err == KS_OK && (!p.in_use || !ks_str_eq(p.issuer_text, claim->issuer))))
		return refuse(ret_refusal);
	KS_TRY(err);
	err = ks_store_login_use(tx->store, &claim->state, tx->now_ms, tx->now_ms - STATES_KEPT_MS);
	if (err == KS_CONFLICT)
		return refuse(ret_refusal);
	KS_TRY(err);
	(void)copy(claim->address, actor.address, sizeof(actor.address) - 1);
	(void)copy(claim->request_id, actor.request_id, sizeof(actor.request_id) - 1);
	err = ks_store_identity_get(tx->store, p.organization, claim->issuer, claim->subject, take_user, &user);
	if (err == KS_NOT_FOUND)
		err = find_new(tx, &actor, &p, claim, &user, ret_refusal);
	else if (err == KS_OK)
		err = check_reach(tx, &p, user, ret_refusal);
	KS_TRY(err);
	*ret_user = user;
	return KS_OK;
}
