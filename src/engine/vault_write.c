/* SPDX-License-Identifier: Apache-2.0 */
/* A new version of a field: its number, its seal, its place in the store. */
#include <stdlib.h>

#include "engine/vault_priv.h"

#define DETAIL_MAX 192

struct ks_vault_prepared {
	uint64_t provider;
	uint64_t organization;
	uint64_t version;
	uint64_t key_number;
	enum ks_field_kind kind;
	char field[KS_STORE_FIELD_NAME_MAX + 1];
	size_t n;
	uint8_t sealed[KS_VAULT_SEALED_MAX];
};

uint64_t ks_vault_prepared_version(const struct ks_vault_prepared *prepared)
{
	return prepared->version;
}

void ks_vault_prepared_free(struct ks_vault_prepared **prepared)
{
	free(*prepared);
	*prepared = NULL;
}

struct ks_str ks_vault_bound_name(enum ks_field_kind kind, const char *field, char text[KS_VAULT_BOUND_NAME_SIZE])
{
	struct ks_buf b = ks_buf_of(text, KS_VAULT_BOUND_NAME_SIZE);

	if (kind == KS_FIELD_KIND_REFERENCE)
		ks_buf_put_c(&b, KS_VAULT_REFERENCE_PREFIX);
	ks_buf_put_c(&b, field);
	return ks_buf_str(&b);
}

/* ---- its number, and the key that is to seal it ---- */

struct reserving {
	const struct ks_actor *actor;
	const struct ks_vault_writing *writing;
	struct ks_vault_prepared *prepared;
	uint64_t tenant;
	/* the organization's key; number 0: it has none, or an erased one */
	uint64_t key_number, key_next;
	size_t wrapped_n;
	uint8_t wrapped[KS_STORE_WRAPPED_MAX];
};

static enum ks_err take_key(void *ctx, const struct ks_organization_key_row *row)
{
	struct reserving *r = ctx;

	r->key_next = row->number + 1;
	if (row->erased_at != KS_TIME_NONE)
		return KS_OK;
	r->key_number = row->number;
	r->wrapped_n = row->wrapped.n;
	memcpy(r->wrapped, row->wrapped.p, row->wrapped.n);
	return KS_OK;
}

static enum ks_err find_key(struct ks_store *store, struct reserving *r)
{
	enum ks_err err;

	r->key_number = 0;
	r->key_next = 1;
	err = ks_store_organization_key_get(store, r->prepared->organization, 0, take_key, r);
	return err == KS_NOT_FOUND ? KS_OK : err;
}

static const struct ks_vault_field *field_of(const struct ks_vault_platform *platform, struct ks_str name)
{
	for (size_t i = 0; i < platform->count; i++) {
		if (ks_str_eq(ks_str_c(platform->fields[i].name), name))
			return &platform->fields[i];
	}
	return NULL;
}

static enum ks_err check_text(struct ks_engine *engine, const struct ks_vault_writing *w, struct ks_str platform,
			      struct ks_refusal *refusal)
{
	const struct ks_vault_openers *o = &engine->openers;
	bool held = w->kind == KS_FIELD_KIND_HELD;
	const char *pointer = held ? "/value" : "/reference";
	char detail[DETAIL_MAX] = "";
	struct ks_platform_detail why;

	if (w->text.n == 0 || w->text.n > KS_VAULT_VALUE_MAX || !ks_str_is_utf8(w->text)
	    || ks_str_find(w->text, '\0') != SIZE_MAX)
		return ks_refuse_invalid(refusal, pointer, "must have 1 to %d bytes of UTF-8 without NUL",
					 KS_VAULT_VALUE_MAX);
	if (held && !ks_vault_check_value(engine, platform, w->field, w->text, &why))
		return ks_refuse_invalid(refusal, pointer, "%s", why.text);
	if (!held && !o->check_reference)
		return ks_refuse_invalid(refusal, pointer, "references are not read by this service");
	if (!held && !o->check_reference(o->ctx, w->text, detail, sizeof(detail)))
		return ks_refuse_invalid(refusal, pointer, "%s", detail);
	return KS_OK;
}

static enum ks_err check(struct ks_tx *tx, const struct ks_vault_writing *w, struct ks_str platform_name,
			 struct ks_refusal *refusal)
{
	struct ks_vault_platform platform;
	const struct ks_vault_field *field;

	if (!ks_vault_platform_of(tx->engine, platform_name, &platform))
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "the platform of this provider is not known any more");
	field = field_of(&platform, w->field);
	if (!field)
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "the platform has no such field");
	if (w->direct && field->secret && w->kind == KS_FIELD_KIND_HELD && !tx->engine->options.vault.direct_write)
		return ks_refuse(refusal, KS_FORBIDDEN, "direct_write_off", "/value",
				 "secret fields are written by intake links");
	return check_text(tx->engine, w, platform_name, refusal);
}

static enum ks_err run_reserve(struct ks_job *job, struct ks_tx *tx)
{
	struct reserving *r = job->ctx;
	struct ks_vault_prepared *p = r->prepared;
	struct ks_provider_kept kept;

	KS_TRY(ks_vault_find(tx, r->actor, r->writing->provider, &kept, &job->refusal));
	KS_TRY(check(tx, r->writing, kept.row.platform, &job->refusal));
	p->organization = kept.row.organization;
	r->tenant = kept.row.tenant;
	KS_TRY(find_key(tx->store, r));
	return ks_store_field_next_version(tx->store, r->writing->provider, r->writing->field, &p->version);
}

/* Another one may have made it meanwhile: then that is it. */
static enum ks_err run_key(struct ks_job *job, struct ks_tx *tx)
{
	struct reserving *r = job->ctx;
	struct ks_organization_key_row row = {
		.organization = r->prepared->organization,
		.number = r->key_next,
		.created_at = tx->now_ms,
		.erased_at = KS_TIME_NONE,
		.wrapped = ks_str_of((const char *)r->wrapped, r->wrapped_n),
	};
	uint64_t made = r->key_next;

	KS_TRY(find_key(tx->store, r));
	if (r->key_number)
		return KS_OK;
	if (r->key_next != made)
		return ks_refuse(&job->refusal, KS_CONFLICT, "conflict", "", "the organization's key was erased just now");
	KS_TRY(ks_store_organization_key_insert(tx->store, &row));
	r->key_number = made;
	return ks_tx_audit(tx, NULL, &(struct ks_audit_note){
		.action = "secret.key_create",
		.organization = row.organization,
		.tenant = row.organization,
		.object_type = KS_ID_ORGANIZATION,
		.object = row.organization,
		.detail = KS_STR(""),
	});
}

static enum ks_err run_here(struct ks_engine *engine, enum ks_err (*run)(struct ks_job *job, struct ks_tx *tx), void *ctx,
			    struct ks_refusal *refusal)
{
	struct ks_job job = {.run = run, .ctx = ctx};
	enum ks_err err = ks_engine_run(engine, &job);

	*refusal = job.refusal;
	return err;
}

static enum ks_err have_key(struct ks_engine *engine, struct reserving *r, struct ks_refusal *refusal)
{
	const struct ks_vault_openers *o = &engine->openers;

	if (r->key_number)
		return KS_OK;
	if (o->org_create)
		KS_TRY(o->org_create(o->ctx, r->prepared->organization, r->key_next, r->wrapped, sizeof(r->wrapped),
				     &r->wrapped_n));
	else
		KS_TRY(ks_vault_keeper_org_create(engine, r->prepared->organization, r->key_next, r->wrapped,
						  sizeof(r->wrapped), &r->wrapped_n));
	return run_here(engine, run_key, r, refusal);
}

static enum ks_err seal(struct ks_engine *engine, struct reserving *r)
{
	const struct ks_vault_openers *o = &engine->openers;
	struct ks_vault_prepared *p = r->prepared;
	struct ks_vault_org org = {p->organization, r->key_number,
				   ks_str_of((const char *)r->wrapped, r->wrapped_n)};
	char bound[KS_VAULT_BOUND_NAME_SIZE];
	struct ks_vault_value value = {
		.tenant = r->tenant,
		.provider = p->provider,
		.field = ks_vault_bound_name(p->kind, p->field, bound),
		.version = p->version,
		.in = r->writing->text,
		.ret_out = p->sealed,
		.cap = sizeof(p->sealed),
	};

	KS_TRY(o->seal ? o->seal(o->ctx, &org, &value) : ks_vault_keeper_seal(engine, &org, &value));
	p->key_number = r->key_number;
	p->n = value.ret_n;
	return value.err;
}

static enum ks_err place(struct ks_engine *engine, struct ks_vault_prepared *p, struct ks_refusal *refusal)
{
	struct ks_vault_placing placing = {
		.organization = p->organization,
		.provider = p->provider,
		.version = p->version,
		.key_number = p->key_number,
		.field = ks_str_c(p->field),
		.kind = p->kind,
		.sealed = p->sealed,
		.n = p->n,
	};

	KS_TRY(ks_vault_place(engine, &placing, refusal));
	p->kind = placing.kind;
	p->n = placing.n;
	return KS_OK;
}

static enum ks_err prepare(struct ks_engine *engine, struct reserving *r, struct ks_refusal *refusal)
{
	struct ks_vault_prepared *p = r->prepared;
	struct ks_buf field = KS_BUF(p->field);

	p->provider = r->writing->provider;
	p->kind = r->writing->kind;
	ks_buf_put(&field, r->writing->field);
	if (ks_str_empty(r->writing->field) || ks_str_empty(ks_str_c(ks_buf_z(&field))))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "the platform has no such field");
	KS_TRY(run_here(engine, run_reserve, r, refusal));
	KS_TRY(have_key(engine, r, refusal));
	KS_TRY(seal(engine, r));
	return place(engine, p, refusal);
}

enum ks_err ks_vault_prepare(struct ks_engine *engine, const struct ks_actor *actor,
			     const struct ks_vault_writing *writing, struct ks_vault_prepared **ret_prepared,
			     struct ks_refusal *ret_refusal)
{
	struct reserving r = {.actor = actor, .writing = writing};
	enum ks_err err;

	r.prepared = calloc(1, sizeof(*r.prepared));
	if (!r.prepared)
		return KS_MEMORY;
	err = prepare(engine, &r, ret_refusal);
	if (err != KS_OK) {
		free(r.prepared);
		return err;
	}
	*ret_prepared = r.prepared;
	return KS_OK;
}

/* ---- what is no field of a provider ---- */

static enum ks_err run_find_key(struct ks_job *job, struct ks_tx *tx)
{
	return find_key(tx->store, job->ctx);
}

enum ks_err ks_vault_seal_for(struct ks_engine *engine, const struct ks_vault_bound *bound, struct ks_str text,
			      struct ks_vault_prepared **ret_sealed, struct ks_refusal *refusal)
{
	struct ks_vault_writing writing = {.text = text};
	struct reserving r = {.writing = &writing, .tenant = bound->tenant};
	struct ks_buf name;
	enum ks_err err;

	r.prepared = calloc(1, sizeof(*r.prepared));
	if (!r.prepared)
		return KS_MEMORY;
	r.prepared->provider = bound->object;
	r.prepared->organization = bound->organization;
	r.prepared->version = bound->version;
	r.prepared->kind = KS_FIELD_KIND_HELD;
	name = KS_BUF(r.prepared->field);
	ks_buf_put_c(&name, bound->name);
	(void)ks_buf_z(&name);
	err = run_here(engine, run_find_key, &r, refusal);
	if (err == KS_OK)
		err = have_key(engine, &r, refusal);
	if (err == KS_OK)
		err = seal(engine, &r);
	if (err != KS_OK) {
		free(r.prepared);
		return err;
	}
	*ret_sealed = r.prepared;
	return KS_OK;
}

uint64_t ks_vault_prepared_key(const struct ks_vault_prepared *prepared)
{
	return prepared->key_number;
}

struct ks_str ks_vault_prepared_text(const struct ks_vault_prepared *prepared)
{
	return ks_str_of((const char *)prepared->sealed, prepared->n);
}

/* ---- its place ---- */

static enum ks_err check_key(void *ctx, const struct ks_organization_key_row *row)
{
	(void)ctx;
	return row->erased_at == KS_TIME_NONE ? KS_OK : KS_CONFLICT;
}

enum ks_err ks_vault_prepared_check(struct ks_tx *tx, uint64_t organization, const struct ks_vault_prepared *prepared,
				    struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_organization_key_get(tx->store, organization, prepared->key_number, check_key, NULL);

	if (err == KS_CONFLICT || err == KS_NOT_FOUND)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "the organization's key was erased just now");
	return err;
}

/* A pending version that a newer one came after is of no more use. */
static enum ks_err supersede(struct ks_tx *tx, const struct ks_vault_prepared *p)
{
	struct ks_open_versions versions;
	enum ks_err err;

	KS_TRY(ks_vault_open_versions(tx->store, p->provider, &versions));
	err = KS_OK;
	for (size_t i = 0; i < versions.count && err == KS_OK; i++) {
		struct ks_open_version *v = &versions.items[i];

		if (!ks_is_waiting(v) || !ks_str_eq(ks_str_c(v->field), ks_str_c(p->field)))
			continue;
		v->row.stage = KS_FIELD_STAGE_FAILED;
		v->row.open = false;
		v->row.ended_at = tx->now_ms;
		v->row.code = KS_STR("superseded");
		err = ks_store_field_version_update(tx->store, &v->row);
	}
	ks_vault_open_versions_free(&versions);
	return err;
}

enum ks_err ks_vault_put_version(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_prepared *prepared,
				 const char *via, struct ks_refusal *ret_refusal)
{
	struct ks_provider_kept kept;
	char text[KS_VAULT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	bool held = prepared->kind != KS_FIELD_KIND_REFERENCE;

	KS_TRY(ks_vault_find(tx, NULL, prepared->provider, &kept, ret_refusal));
	KS_TRY(ks_vault_prepared_check(tx, prepared->organization, prepared, ret_refusal));
	KS_TRY(supersede(tx, prepared));
	KS_TRY(ks_store_field_version_insert(tx->store, &(struct ks_field_version_row){
		.provider = prepared->provider,
		.field = ks_str_c(prepared->field),
		.version = prepared->version,
		.stage = KS_FIELD_STAGE_PENDING,
		.kind = prepared->kind,
		.open = true,
		.key_number = prepared->key_number,
		.created_at = tx->now_ms,
		.promoted_at = KS_TIME_NONE,
		.ended_at = KS_TIME_NONE,
		.created_by = actor ? ks_str_c(actor->id) : KS_STR("system"),
		.via = ks_str_c(via),
		.sealed = ks_str_of((const char *)prepared->sealed, prepared->n),
	}));
	ks_tx_tally(tx, held ? KS_VAULT_TALLY_VERSION_HELD : KS_VAULT_TALLY_VERSION_REFERENCE);
	ks_audit_put(&detail, "field", ks_str_c(prepared->field));
	ks_audit_put_u64(&detail, "version", prepared->version);
	ks_audit_put(&detail, "kind", held ? KS_STR("held") : KS_STR("reference"));
	ks_audit_put(&detail, "via", ks_str_c(via));
	KS_TRY(ks_vault_audit(tx, actor, "secret.put", &kept.row, NULL, ks_audit_end(&detail)));
	return ks_vault_settle(tx, actor, &kept.row);
}
