/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/actor.h"

#include "base/buf.h"
#include "decision/sight.h"

static void put_text(char *to, size_t cap, const char *from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put_c(&b, from);
	(void)ks_buf_z(&b);
}

static void add_visible(struct ks_actor *actor, const struct ks_ring *ring, uint32_t index, bool alone)
{
	if (actor->visible_count == KS_ACTOR_VISIBLE_MAX)
		return;
	if (alone)
		actor->visible_alone |= UINT64_C(1) << actor->visible_count;
	actor->visible[actor->visible_count++] = ring->tenants[index].id;
}

static bool is_narrowed(const struct ks_decision *d)
{
	return d->is_asserted && (d->assertion.has_scopes || d->assertion.tenant != 0 || d->assertion.family[0] != '\0');
}

/* What the question "does it see that tenant?" needs later, when the decision is gone. */
static void keep_sight(const struct ks_ring *ring, const struct ks_decision *d, struct ks_actor *actor)
{
	if (d->root != KS_RING_NONE)
		actor->root = ring->tenants[d->root].id;
	if (d->rule) {
		actor->need_count = d->rule->scope_count;
		memcpy(actor->needs, d->rule->scopes, sizeof(actor->needs));
	}
	if (d->is_asserted) {
		actor->role_count = KS_MIN(d->assertion.role_count, (uint8_t)KS_ASSERTION_ROLES_MAX);
		memcpy(actor->roles, d->assertion.roles, sizeof(actor->roles));
	}
}

void ks_actor_of_decision(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_actor *ret_actor)
{
	struct ks_actor actor = {
		.scopes = *ks_decision_scopes(decision),
		.kind = (uint8_t)KS_KEY_KIND(decision->state),
		.binding = (uint8_t)KS_KEY_BINDING(decision->state),
		.environment = (uint8_t)KS_KEY_ENVIRONMENT(decision->state),
		.own = ring->tenants[decision->key->tenant].id,
		.effective = ring->tenants[decision->tenant].id,
	};
	struct ks_buf id = KS_BUF(actor.id);

	ks_decision_put_principal(ring, decision, &id);
	(void)ks_buf_z(&id);
	actor.is_operator = actor.binding == KS_BINDING_OPERATOR && actor.kind != KS_KIND_RUNTIME
			    && !is_narrowed(decision);
	if (actor.kind == KS_KIND_SESSION
	    && !(decision->is_asserted && decision->assertion.kind == KS_ASSERTION_FEDERATED))
		actor.session = decision->key->id;
	actor.is_asserted = decision->is_asserted;
	actor.is_narrowed = is_narrowed(decision);
	keep_sight(ring, decision, &actor);
	add_visible(&actor, ring, decision->visible_own, false);
	for (uint32_t i = 0; decision->memberships && i < decision->memberships->count; i++) {
		const struct ks_ring_membership *m = &decision->memberships->items[i];

		if (ks_decision_is_root(ring, decision, m))
			add_visible(&actor, ring, m->tenant, !m->below);
	}
	*ret_actor = actor;
}

void ks_actor_local(const struct ks_ring *ring, struct ks_actor *ret_actor)
{
	struct ks_actor actor = {
		.local = true, .kind = KS_KIND_TENANT, .binding = KS_BINDING_OPERATOR, .is_operator = true};
	uint32_t count = atomic_load_explicit(&ring->header->tenant_count, memory_order_acquire);

	put_text(actor.id, sizeof(actor.id), "local");
	/* The operator's tenant is the root, and roots come before what is below them. */
	if (count > 0 && ring->tenants[0].kind == KS_TENANT_KIND_OPERATOR) {
		actor.effective = ring->tenants[0].id;
		add_visible(&actor, ring, 0, false);
	}
	*ret_actor = actor;
}

/* ---- what is seen ---- */

uint64_t ks_actor_home(const struct ks_ring *ring, uint64_t organization)
{
	/* The operator's tenant is the root, and roots come first. */
	if (organization != 0 || atomic_load_explicit(&ring->header->tenant_count, memory_order_acquire) == 0)
		return organization;
	return ring->tenants[0].id;
}

/* False: what it was bound to is gone. */
static bool sight_of(const struct ks_actor *actor, const struct ks_ring *ring, struct ks_sight *ret_sight)
{
	*ret_sight = (struct ks_sight){
		.kind = (enum ks_kind)actor->kind,
		.binding = (enum ks_binding)actor->binding,
		.own = ks_ring_tenant(ring, actor->own),
		.root = actor->root == 0 ? KS_RING_NONE : ks_ring_tenant(ring, actor->root),
		.partner_itself = true,
		.roles = actor->roles,
		.role_count = actor->role_count,
		.needs = actor->needs,
		.need_count = actor->need_count,
	};
	/* A partner that acts in one of its organizations sees what a key of that one sees, and nothing beside it. */
	if (actor->kind == KS_KIND_PARTNER && actor->effective != actor->own) {
		ret_sight->kind = KS_KIND_TENANT;
		ret_sight->binding = KS_BINDING_ORGANIZATION;
		ret_sight->own = ks_ring_tenant(ring, actor->effective);
	}
	return ret_sight->own != KS_RING_NONE && (actor->root == 0 || ret_sight->root != KS_RING_NONE);
}

static bool sees(const struct ks_actor *actor, const struct ks_ring *ring, uint32_t index)
{
	struct ks_sight sight;

	return actor->local || (sight_of(actor, ring, &sight) && ks_sight_sees(ring, &sight, index));
}

bool ks_actor_sees(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(ring, tenant);

	if (index == KS_RING_NONE
	    || (atomic_load_explicit(&ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_DELETED))
		return false;
	return sees(actor, ring, index);
}

bool ks_actor_saw(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(ring, tenant);

	return index != KS_RING_NONE && sees(actor, ring, index);
}

static const struct ks_ring_memberships *memberships_of(const struct ks_actor *actor, const struct ks_ring *ring)
{
	uint32_t own = actor->binding == KS_BINDING_USER && actor->root == 0 ? ks_ring_tenant(ring, actor->own)
									      : KS_RING_NONE;

	if (own == KS_RING_NONE || ring->tenants[own].user == KS_RING_NONE)
		return NULL;
	return ks_ring_memberships_of(ring, ring->tenants[own].user);
}

void ks_actor_roots(const struct ks_actor *actor, const struct ks_ring *ring, void (*each)(void *ctx, uint32_t index),
		    void *ctx)
{
	const struct ks_ring_memberships *list = memberships_of(actor, ring);

	for (size_t i = 0; i < actor->visible_count; i++) {
		uint32_t index = ks_ring_tenant(ring, actor->visible[i]);

		/* The first one is the credential's own; the others are memberships. */
		if (index != KS_RING_NONE && (i == 0 || !list))
			each(ctx, index);
	}
	for (uint32_t i = 0; list && i < list->count; i++) {
		if (sees(actor, ring, list->items[i].tenant))
			each(ctx, list->items[i].tenant);
	}
}

/* ---- what may be given ---- */

/* Leaves in `set` what the session has on every tenant of its memberships. */
static void keep_everywhere(const struct ks_ring *ring, const struct ks_sight *sight, struct ks_scopes *set)
{
	uint32_t user = ring->tenants[sight->own].user;
	const struct ks_ring_memberships *list = user == KS_RING_NONE ? NULL : ks_ring_memberships_of(ring, user);
	struct ks_scopes there;

	for (uint32_t i = 0; list && i < list->count; i++) {
		uint32_t index = list->items[i].tenant;

		if (!ks_sight_covers(ring, sight, index))
			continue;
		ks_sight_scopes(ring, sight, index, &there);
		ks_scopes_keep(set, &there);
	}
}

void ks_actor_grantable(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant,
			struct ks_scopes *ret_scopes)
{
	uint32_t index = ks_ring_tenant(ring, tenant);
	struct ks_scopes set = {{0}};
	struct ks_sight sight;

	if (actor->kind != KS_KIND_SESSION) {
		*ret_scopes = actor->scopes;
		return;
	}
	if (index != KS_RING_NONE && sight_of(actor, ring, &sight)) {
		ks_sight_scopes(ring, &sight, index, &set);
		if (index == sight.own)
			keep_everywhere(ring, &sight, &set);
	}
	/* What a JWT is not narrowed to is gone from actor->scopes, wherever they were counted. */
	if (actor->is_narrowed)
		ks_scopes_keep(&set, &actor->scopes);
	*ret_scopes = set;
}
