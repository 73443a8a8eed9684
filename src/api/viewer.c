/* SPDX-License-Identifier: Apache-2.0 */
/* Who did something, for the eyes of the caller: the id of an actor whom it does not see is not its business, and is
 * told as the kind of place the actor came from. */
#include "api/api_priv.h"

/* Where an actor belongs. */
struct home {
	uint64_t tenant;
	uint64_t user;  /* of a user's key */
};

static enum ks_err home_of_key(void *ctx, const struct ks_key_row *row)
{
	*(struct home *)ctx = (struct home){row->tenant, row->user};
	return KS_OK;
}

static enum ks_err home_of_user(void *ctx, const struct ks_user_row *row)
{
	struct home *home = ctx;

	home->tenant = row->organization;
	return KS_OK;
}

/* False: it belongs to no tenant, as `local` and `system` do, or is not known. */
static bool find_home(const struct ks_viewer *viewer, struct ks_str actor, struct home *ret_home)
{
	struct home home = {0};
	uint64_t id;

	if (ks_id_parse(actor, KS_ID_KEY, &id)) {
		if (ks_store_key_get(viewer->store, id, home_of_key, &home) != KS_OK)
			return false;
		/* Whoever sees a user sees whose key it was. */
		if (home.user && ks_store_user_get(viewer->store, home.user, home_of_user, &home) != KS_OK)
			return false;
	} else if (!ks_id_parse(actor, KS_ID_USER, &id)
		   || ks_store_user_get(viewer->store, id, home_of_user, &home) != KS_OK) {
		return false;
	}
	*ret_home = home;
	return true;
}

static const char *place_word(const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(ring, tenant);

	if (index == KS_RING_NONE)
		return ks_tenant_kind_text(KS_TENANT_KIND_OPERATOR);
	return ks_tenant_kind_text((enum ks_tenant_kind)ring->tenants[index].kind);
}

static struct ks_str shown(const struct ks_viewer *viewer, struct ks_str actor)
{
	struct home home;

	if (viewer->actor->local || viewer->actor->is_operator || ks_str_eq(actor, ks_str_c(viewer->actor->id))
	    || !viewer->ring || !find_home(viewer, actor, &home))
		return actor;
	home.tenant = ks_actor_home(viewer->ring, home.tenant);
	if (ks_actor_sees(viewer->actor, viewer->ring, home.tenant))
		return actor;
	return ks_str_c(place_word(viewer->ring, home.tenant));
}

void ks_json_put_actor(struct ks_json *json, const char *name, struct ks_str actor)
{
	struct ks_viewer *viewer = json->viewer;

	if (!viewer || ks_str_empty(actor) || actor.n >= sizeof(viewer->asked)) {
		ks_json_put_some(json, name, actor);
		return;
	}
	/* Lists name the same one again and again. */
	if (!ks_str_eq(actor, ks_str_c(viewer->asked))) {
		struct ks_buf asked = KS_BUF(viewer->asked), told = KS_BUF(viewer->told);

		ks_buf_put(&told, shown(viewer, actor));
		ks_buf_put(&asked, actor);
		(void)ks_buf_z(&told);
		(void)ks_buf_z(&asked);
	}
	ks_json_put_c(json, name, viewer->told);
}

bool ks_viewer_sees(const struct ks_viewer *viewer, struct ks_str actor)
{
	return ks_str_eq(shown(viewer, actor), actor);
}

bool ks_viewer_sees_tenant(const struct ks_viewer *viewer, uint64_t tenant)
{
	return !viewer || viewer->actor->local || viewer->actor->is_operator
	       || (viewer->ring && ks_actor_sees(viewer->actor, viewer->ring, tenant));
}
