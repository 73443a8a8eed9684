/* SPDX-License-Identifier: Apache-2.0 */
/* Identity providers, as administrators configure them. Who a user is to them: identities.c. */
#include "engine/identity_providers.h"

#include "base/buf.h"
#include "engine/federation.h"
#include "engine/seal.h"

#define DETAIL_SIZE 2048
#define SEAL_PURPOSE "oidc_client"
#define DOMAIN_MAX 253 /* RFC 1035, 2.3.4 */

static enum ks_err audit_provider(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
				  uint64_t organization, uint64_t id, struct ks_str detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = organization,
		.tenant = ks_actor_home(tx->ring, organization),
		.object_type = KS_ID_IDENTITY_PROVIDER,
		.object = id,
		.detail = detail,
	});
}

/* ---- create ---- */

static bool is_domain(struct ks_str domain)
{
	bool dotted = false;

	for (size_t i = 0; i < domain.n; i++) {
		char c = domain.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return false;
		dotted |= c == '.' && i > 0 && i + 1 < domain.n;
	}
	return dotted && domain.n <= DOMAIN_MAX;
}

static enum ks_err put_domains(const struct ks_identity_provider_input *input, struct ks_buf *out,
			       struct ks_refusal *refusal)
{
	for (size_t i = 0; i < input->domain_count; i++) {
		if (!is_domain(input->domains[i]))
			return ks_refuse_invalid(refusal, "/domains", "must be names of domains in lower case");
		if (i > 0)
			ks_buf_put_byte(out, ' ');
		ks_buf_put(out, input->domains[i]);
	}
	return ks_buf_ok(out) ? KS_OK : ks_refuse_invalid(refusal, "/domains", "are too many");
}

/* Words of RFC 6749, 3.3, one of them "openid". */
static bool scopes_ok(struct ks_str scopes)
{
	struct ks_str rest = scopes, word = scopes;
	bool openid = false, more = true;

	while (more) {
		more = ks_str_split(rest, ' ', &word, &rest);
		if (!more)
			word = rest;
		openid |= ks_str_eq(word, KS_STR("openid"));
		for (size_t i = 0; i < word.n; i++) {
			if (word.p[i] <= ' ' || word.p[i] >= 0x7f || word.p[i] == '"' || word.p[i] == '\\')
				return false;
		}
		if (word.n == 0)
			return false;
	}
	return openid && scopes.n <= KS_STORE_SCOPES_TEXT_MAX;
}

static enum ks_err check_input(const struct ks_identity_provider_input *input, struct ks_refusal *refusal)
{
	KS_TRY(ks_check_name(input->name, "/name", refusal));
	if (input->issuer.n == 0 || input->issuer.n > KS_STORE_ISSUER_MAX || ks_str_has_control(input->issuer))
		return ks_refuse_invalid(refusal, "/issuer", "must have 1 to %d bytes", KS_STORE_ISSUER_MAX);
	if (input->client_id.n == 0 || input->client_id.n > KS_STORE_CLIENT_ID_MAX
	    || ks_str_has_control(input->client_id))
		return ks_refuse_invalid(refusal, "/client_id", "must have 1 to %d bytes", KS_STORE_CLIENT_ID_MAX);
	if (input->client_secret.n > KS_CLIENT_SECRET_MAX || ks_str_has_control(input->client_secret))
		return ks_refuse_invalid(refusal, "/client_secret", "must have at most %d bytes", KS_CLIENT_SECRET_MAX);
	if (!scopes_ok(input->scopes))
		return ks_refuse_invalid(refusal, "/scopes", "must be words of OAuth, \"openid\" among them");
	if (input->auto_create && input->domain_count == 0)
		return ks_refuse_invalid(refusal, "/domains",
					 "must be given with auto_create: whoever the provider knows would get in");
	return KS_OK;
}

/* On what a new user gets the role. */
static enum ks_err check_default(struct ks_tx *tx, const struct ks_actor *actor,
				 const struct ks_identity_provider_input *input, uint64_t organization,
				 uint64_t *ret_tenant, struct ks_refusal *refusal)
{
	uint64_t tenant = input->default_tenant ? input->default_tenant : organization;
	const struct ks_ring *ring = tx->ring;
	uint32_t index;

	*ret_tenant = 0;
	if (ks_str_empty(input->default_role)) {
		if (input->default_tenant)
			return ks_refuse_invalid(refusal, "/default_role", "must be given with default_tenant");
		return KS_OK;
	}
	index = ks_ring_tenant(ring, tenant);
	if (index == KS_RING_NONE || !ks_actor_sees(actor, ring, tenant) || ks_tx_is_gone(tx, tenant)
	    || !ks_ring_is_within(ring, index, ks_ring_tenant(ring, organization))
	    || ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL)
		return ks_refuse_tenant(refusal, "/default_tenant");
	KS_TRY(ks_check_role_given(tx, actor, tenant, input->default_role, "/default_role", refusal));
	*ret_tenant = tenant;
	return KS_OK;
}

static enum ks_err insert(struct ks_tx *tx, const struct ks_actor *actor,
			  const struct ks_identity_provider_input *input, struct ks_identity_provider_row *row)
{
	uint8_t sealed[KS_CLIENT_SECRET_MAX + KS_SEAL_OVERHEAD];
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	size_t n = 0;

	row->id = ks_tx_id(tx);
	if (!ks_str_empty(input->client_secret))
		KS_TRY(ks_engine_seal(tx, SEAL_PURPOSE, row->id, input->client_secret, sealed, sizeof(sealed), &n));
	row->secret = ks_str_of((const char *)sealed, n);
	KS_TRY(ks_store_identity_provider_insert(tx->store, row));
	ks_audit_put(&detail, "name", input->name);
	ks_audit_put(&detail, "issuer", input->issuer);
	ks_audit_put(&detail, "client_id", input->client_id);
	return audit_provider(tx, actor, "identity_provider.create", row->organization, row->id, ks_audit_end(&detail));
}

/* The operator's own people have no organization. */
static uint64_t home_of(const struct ks_tx *tx, uint64_t organization)
{
	uint32_t index = ks_ring_tenant(tx->ring, organization);

	return tx->ring->tenants[index].kind == KS_TENANT_KIND_OPERATOR ? 0 : organization;
}

enum ks_err ks_identity_providers_create(struct ks_tx *tx, const struct ks_actor *actor,
					 const struct ks_identity_provider_input *input, uint64_t *ret_id,
					 struct ks_refusal *ret_refusal)
{
	uint64_t organization = input->organization ? input->organization : actor->effective;
	char domains[KS_STORE_DOMAINS_MAX];
	struct ks_buf b = KS_BUF(domains);
	struct ks_identity_provider_row row = {
		.enabled = true,
		.auto_create = input->auto_create,
		.default_role = input->default_role,
		.name = input->name,
		.issuer = input->issuer,
		.client_id = input->client_id,
		.scopes = input->scopes,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
		.deleted_at = KS_TIME_NONE,
	};

	KS_TRY(check_input(input, ret_refusal));
	KS_TRY(ks_check_organization(tx, actor, organization, true, ret_refusal));
	row.organization = home_of(tx, organization);
	if (row.organization == 0 && input->auto_create)
		return ks_refuse_invalid(ret_refusal, "/auto_create", "the operator's own people are invited");
	KS_TRY(put_domains(input, &b, ret_refusal));
	row.domains = ks_buf_str(&b);
	KS_TRY(check_default(tx, actor, input, organization, &row.default_tenant, ret_refusal));
	KS_TRY(insert(tx, actor, input, &row));
	*ret_id = row.id;
	return KS_OK;
}

/* ---- one that is there ---- */

struct kept {
	uint64_t organization;
	bool enabled;
};

static enum ks_err keep_row(void *ctx, const struct ks_identity_provider_row *row)
{
	struct kept *kept = ctx;

	if (row->deleted_at != KS_TIME_NONE)
		return KS_NOT_FOUND;
	*kept = (struct kept){row->organization, row->enabled};
	return KS_OK;
}

static enum ks_err find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct kept *kept,
			struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_identity_provider_get(tx->store, id, keep_row, kept);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_NOT_FOUND || !ks_actor_sees(actor, tx->ring, ks_actor_home(tx->ring, kept->organization)))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such identity provider");
	return KS_OK;
}

enum ks_err ks_identity_providers_set_enabled(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, bool enabled,
					      struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	if (kept.enabled == enabled)
		return KS_OK;
	KS_TRY(ks_store_identity_provider_set_enabled(tx->store, id, enabled));
	return audit_provider(tx, actor, enabled ? "identity_provider.enable" : "identity_provider.disable",
			      kept.organization, id, KS_STR(""));
}

enum ks_err ks_identity_providers_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					 struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(ks_store_identity_provider_delete(tx->store, id, tx->now_ms));
	return audit_provider(tx, actor, "identity_provider.delete", kept.organization, id, KS_STR(""));
}

enum ks_err ks_identity_provider_secret(const struct ks_engine *engine, const struct ks_identity_provider_row *row,
					char *ret_secret, size_t cap, size_t *ret_n)
{
	if (ks_str_empty(row->secret)) {
		*ret_n = 0;
		return KS_OK;
	}
	return ks_engine_open_sealed(engine, SEAL_PURPOSE, row->id, row->secret, (uint8_t *)ret_secret, cap, ret_n);
}
