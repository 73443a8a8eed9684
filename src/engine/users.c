/* SPDX-License-Identifier: Apache-2.0 */
/* Users and their memberships. */
#include "engine/users.h"

#include "base/buf.h"
#include "engine/events.h"
#include "engine/federation.h"
#include "engine/people_priv.h"

#define EMAIL_MAX 254         /* RFC 5321 4.5.3.1.3, without the brackets */
#define EMAIL_LOCAL_MAX 64    /* RFC 5321 4.5.3.1.1 */
#define DETAIL_SIZE 2048

/* ---- addresses ---- */

static bool is_local_char(char c)
{
	return c > ' ' && c != 0x7f && ks_str_find(KS_STR("()<>[]:;@\\,\""), c) == SIZE_MAX;
}

static bool is_domain_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static bool all(struct ks_str text, bool (*in_set)(char))
{
	for (size_t i = 0; i < text.n; i++) {
		if (!in_set(text.p[i]))
			return false;
	}
	return text.n > 0;
}

/* No empty label, no dash at a label's ends, a dot somewhere. */
static bool domain_ok(struct ks_str domain)
{
	struct ks_str label, rest = domain;
	bool dotted = false;

	while (ks_str_split(rest, '.', &label, &rest)) {
		if (label.n == 0 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		dotted = true;
	}
	return dotted && rest.n > 0 && rest.p[0] != '-' && rest.p[rest.n - 1] != '-';
}

/* What mail systems deliver to, not all that RFC 5322 can write; ASCII, so that a domain is in its A-label form. In
 * lower case into `to`. */
static bool read_email(struct ks_str text, struct ks_buf *to)
{
	struct ks_str local, domain;

	for (size_t i = 0; i < text.n && i <= EMAIL_MAX; i++)
		ks_buf_put_byte(to, text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] - 'A' + 'a') : text.p[i]);
	if (text.n > EMAIL_MAX || !ks_buf_ok(to) || !ks_str_split(ks_buf_str(to), '@', &local, &domain))
		return false;
	return local.n <= EMAIL_LOCAL_MAX && all(local, is_local_char) && all(domain, is_domain_char)
	       && domain_ok(domain);
}

/* ---- create ---- */

/* `organization` 0: of the operator's own people, right below the operator. */
static enum ks_err insert_personal(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization, uint64_t user,
				   struct ks_str name, uint64_t *ret_id)
{
	uint64_t id = ks_tx_id(tx);

	KS_TRY(ks_store_tenant_insert(tx->store, &(struct ks_tenant_row){
		.id = id,
		.parent = ks_actor_home(tx->ring, organization),
		.organization = organization,
		.kind = KS_TENANT_KIND_PERSONAL,
		.user = user,
		.name = name,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
		.suspended_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
	}));
	*ret_id = id;
	return KS_OK;
}

/* `email` empty: it says no address. */
static enum ks_err tell_user(struct ks_tx *tx, enum ks_event_type type, const struct ks_user_row *row,
			     struct ks_str email)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_audit_put(&data, "name", row->name);
	if (!ks_str_empty(email))
		ks_audit_put(&data, "email", email);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = type,
		.organization = row->organization,
		.tenant = ks_actor_home(tx->ring, row->organization),
		.object_type = KS_ID_USER,
		.object = row->id,
		.data = ks_audit_end(&data),
	});
}

/* The ring takes the user first: a personal tenant names its user. */
static enum ks_err insert_user(struct ks_tx *tx, const struct ks_actor *actor, struct ks_user_row *row,
			       struct ks_refusal *refusal)
{
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	enum ks_err err = ks_store_user_insert(tx->store, row);

	if (err == KS_CONFLICT)
		return ks_refuse(refusal, err, "conflict", "/email", "there is a user with this address already");
	KS_TRY(err);
	KS_TRY(insert_personal(tx, actor, row->organization, row->id, row->name, &row->personal));
	KS_TRY(ks_store_user_update(tx->store, row));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_USER, row->id, 0));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_TENANT, row->personal, 0));
	ks_audit_put(&detail, "name", row->name);
	ks_audit_put(&detail, "email", row->email);
	KS_TRY(ks_person_audit(tx, actor, "user.create", row, ks_audit_end(&detail)));
	return tell_user(tx, KS_EVENT_USER_INVITED, row, row->email);
}

enum ks_err ks_user_create_at(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization,
			      const struct ks_user_input *input, uint64_t *ret_id, struct ks_invited *ret_invited,
			      struct ks_refusal *refusal)
{
	char text[EMAIL_MAX + 1];
	struct ks_buf email = KS_BUF(text);
	struct ks_user_row row = {
		.organization = organization,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
		.disabled_at = KS_TIME_NONE,
	};

	if (!read_email(input->email, &email))
		return ks_refuse_invalid(refusal, "/email", "must be an e-mail address");
	row.email = ks_buf_str(&email);
	/* Who is invited by address alone goes by it until he says his name; an address may be longer than a name. */
	row.name = ks_str_eq_nocase(input->name, row.email) ? ks_str_sub(row.email, 0, KS_STORE_NAME_MAX) : input->name;
	KS_TRY(ks_check_name(row.name, "/name", refusal));
	KS_TRY(ks_tx_room(tx, 1));
	row.id = ks_tx_id(tx);
	KS_TRY(insert_user(tx, actor, &row, refusal));
	if (ret_invited)
		KS_TRY(ks_user_invite_at(tx, actor, &row, ret_invited));
	*ret_id = row.id;
	return KS_OK;
}

enum ks_err ks_users_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_user_input *input,
			    uint64_t *ret_id, struct ks_invited *ret_invited, struct ks_refusal *ret_refusal)
{
	uint64_t organization = input->organization ? input->organization : actor->effective;

	/* The operator's own people are named as such: nobody becomes one because an id was forgotten. */
	KS_TRY(ks_check_organization(tx, actor, organization, input->organization != 0, ret_refusal));
	if (organization == ks_actor_home(tx->ring, 0))
		organization = 0;
	return ks_user_create_at(tx, actor, organization, input, ret_id, ret_invited, ret_refusal);
}

/* ---- a user who is there ---- */

struct kept {
	struct ks_user_row row;
	char name[KS_STORE_NAME_MAX];
};

static enum ks_err keep_row(void *ctx, const struct ks_user_row *row)
{
	struct kept *kept = ctx;
	struct ks_buf b = KS_BUF(kept->name);

	ks_buf_put(&b, row->name);
	kept->row = *row;
	kept->row.name = ks_buf_str(&b);
	kept->row.email = kept->row.created_by = KS_STR("");
	return KS_OK;
}

/* Users belong to their organization, or to the operator: who sees that, sees them. */
static enum ks_err find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct kept *kept,
			struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_user_get(tx->store, id, keep_row, kept);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_NOT_FOUND || !ks_actor_sees(actor, tx->ring, ks_actor_home(tx->ring, kept->row.organization)))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such user");
	return KS_OK;
}

static enum ks_err void_invitation(struct ks_tx *tx, uint64_t user)
{
	enum ks_err err = ks_store_invitation_delete(tx->store, user);

	return err == KS_NOT_FOUND ? KS_OK : err;
}

/* Who is let in again logs in again. */
static enum ks_err end_access(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_user_row *row)
{
	uint64_t ended;

	KS_TRY(void_invitation(tx, row->id));
	return ks_sessions_end_all(tx, actor, row, 0, &ended);
}

static enum ks_err set_disabled(struct ks_tx *tx, const struct ks_actor *actor, struct ks_user_row *row, bool disabled)
{
	if ((row->disabled_at != KS_TIME_NONE) == disabled)
		return KS_OK;
	row->disabled_at = disabled ? tx->now_ms : KS_TIME_NONE;
	if (disabled)
		KS_TRY(end_access(tx, actor, row));
	KS_TRY(ks_store_user_update(tx->store, row));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_USER, row->id, 0));
	KS_TRY(ks_person_audit(tx, actor, disabled ? "user.disable" : "user.enable", row, KS_STR("")));
	return tell_user(tx, disabled ? KS_EVENT_USER_DISABLED : KS_EVENT_USER_ENABLED, row, KS_STR(""));
}

enum ks_err ks_user_disable_at(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id)
{
	struct kept kept;

	KS_TRY(ks_store_user_get(tx->store, id, keep_row, &kept));
	return set_disabled(tx, actor, &kept.row, true);
}

enum ks_err ks_users_set_disabled(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, bool disabled,
				  struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	return set_disabled(tx, actor, &kept.row, disabled);
}

/* ---- memberships ---- */

/* `role` empty: it was taken away. */
static enum ks_err record_member(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
				 uint64_t organization, uint64_t tenant, uint64_t user, struct ks_str role)
{
	char text[DETAIL_SIZE];
	struct ks_buf buf = KS_BUF(text);
	struct ks_str detail;

	if (!ks_str_empty(role))
		ks_audit_put(&buf, "role", role);
	detail = ks_audit_end(&buf);
	KS_TRY(ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = organization,
		.tenant = tenant,
		.object_type = KS_ID_USER,
		.object = user,
		.detail = detail,
	}));
	return ks_event_add(tx, &(struct ks_event_note){
		.type = ks_str_empty(role) ? KS_EVENT_MEMBER_REMOVED : KS_EVENT_MEMBER_PUT,
		.organization = organization,
		.tenant = tenant,
		.object_type = KS_ID_USER,
		.object = user,
		.data = ks_str_empty(role) ? KS_STR("{}") : detail,
	});
}

enum ks_err ks_member_put_at(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization, uint64_t tenant,
			     uint64_t user, struct ks_str role)
{
	KS_TRY(ks_store_membership_put(tx->store, &(struct ks_membership_row){
		.user = user,
		.tenant = tenant,
		.role = role,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
	}));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_USER, user, 0));
	return record_member(tx, actor, "member.put", organization, tenant, user, role);
}

static bool is_role(const struct ks_tx *tx, struct ks_str role)
{
	static const char *const built_in[] = {"administrator", "member", "account_reader"};
	const struct ks_policy *platform = tx->engine->policy->platform;

	for (size_t i = 0; i < KS_ARRAY_LEN(built_in); i++) {
		if (ks_str_eq(role, ks_str_c(built_in[i])))
			return true;
	}
	return platform && ks_policy_role(platform, role);
}

static enum ks_err find_tenant(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant,
			       uint64_t *ret_organization, struct ks_refusal *refusal)
{
	const struct ks_ring_tenant *t;

	if (!ks_actor_sees(actor, tx->ring, tenant) || ks_tx_is_gone(tx, tenant))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such tenant");
	t = &tx->ring->tenants[ks_ring_tenant(tx->ring, tenant)];
	if (t->kind == KS_TENANT_KIND_PERSONAL)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "a personal tenant is its user's alone");
	*ret_organization = t->organization == KS_RING_NONE ? 0 : tx->ring->tenants[t->organization].id;
	return KS_OK;
}

struct membership_count {
	uint64_t tenant;
	size_t count;
	bool has;
};

static enum ks_err count_membership(void *ctx, const struct ks_membership_row *row)
{
	struct membership_count *c = ctx;

	c->count++;
	c->has |= row->tenant == c->tenant;
	return KS_OK;
}

/* Nobody gives more on a tenant than he has there. */
static enum ks_err check_role(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, struct ks_str role,
			      struct ks_refusal *refusal)
{
	const struct ks_granting granting = ks_granting_of(actor, tx->ring, tenant);
	struct ks_engine_policy policy = ks_engine_policy(tx->engine);
	enum ks_err err = ks_grant_check_role(role, &policy, &granting, refusal);

	ks_engine_policy_release(&policy);
	return err;
}

enum ks_err ks_members_put(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, uint64_t user,
			   struct ks_str role, struct ks_refusal *ret_refusal)
{
	struct membership_count count = {.tenant = tenant};
	struct kept kept;
	uint64_t organization;

	/* People of one organization become members in another only by the hand of somebody who sees both. */
	KS_TRY(find_tenant(tx, actor, tenant, &organization, ret_refusal));
	KS_TRY(find(tx, actor, user, &kept, ret_refusal));
	if (!is_role(tx, role))
		return ks_refuse_invalid(ret_refusal, "/role", "there is no such role");
	KS_TRY(check_role(tx, actor, tenant, role, ret_refusal));
	KS_TRY(ks_store_memberships_of_user(tx->store, user, count_membership, &count));
	if (!count.has && count.count >= KS_RING_MEMBERSHIPS_MAX)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "",
				 "the user is a member of %d tenants, which is the most", KS_RING_MEMBERSHIPS_MAX);
	/* Who holds an open invitation could take a reach beyond his own with it. */
	if (organization != kept.row.organization)
		KS_TRY(void_invitation(tx, user));
	KS_TRY(ks_tx_room(tx, 1));
	return ks_member_put_at(tx, actor, organization, tenant, user, role);
}

enum ks_err ks_members_remove(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, uint64_t user,
			      struct ks_refusal *ret_refusal)
{
	uint64_t organization;
	enum ks_err err;

	KS_TRY(find_tenant(tx, actor, tenant, &organization, ret_refusal));
	err = ks_store_membership_delete(tx->store, user, tenant);
	if (err == KS_NOT_FOUND)
		return ks_refuse(ret_refusal, err, "not_found", "", "the user is no member of this tenant");
	KS_TRY(err);
	KS_TRY(ks_tx_change(tx, KS_CHANGE_USER, user, 0));
	return record_member(tx, actor, "member.remove", organization, tenant, user, KS_STR(""));
}
