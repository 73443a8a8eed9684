/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of the vault do for each other. */
#pragma once

#include "base/buf.h"
#include "engine/engine_priv.h"
#include "engine/vault.h"
#include "platform/platform.h"

#define KS_VAULT_DETAIL_SIZE KS_STORE_DETAIL_MAX
#define KS_VAULT_REFERENCE_PREFIX "ref:"
#define KS_VAULT_BOUND_NAME_SIZE (KS_STORE_FIELD_NAME_MAX + 5)

/** A provider's row, kept beyond its callback. */
struct ks_provider_kept {
	struct ks_provider_row row;
	char platform[KS_STORE_PLATFORM_MAX + 1];
	char name[KS_STORE_NAME_MAX + 1];
};
/** For ks_store_provider_get. */
enum ks_err ks_provider_keep(void *ctx, const struct ks_provider_row *row);

/** Fields that several have (vault_share.c). */
struct ks_vault_kept {
	_Atomic uint32_t holders;
	pthread_mutex_t lock;
	struct ks_vault_shared *opening; /* the last one that began, as long as somebody has it */
};
/** From now on others may have it, too; nobody writes to it any more. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_vault_fields_keep(struct ks_vault_fields *fields);
/** One holder more, of what is kept: each frees it. */
struct ks_vault_fields *ks_vault_fields_hold(struct ks_vault_fields *fields);
/** One holder less. True: that was the last one. */
bool ks_vault_fields_drop(struct ks_vault_fields *fields);
/** One less who has what was opened for several; the last one wipes it. */
void ks_vault_shared_drop(struct ks_vault_shared *shared);

/** The provider, if it is there and the actor (NULL: the service itself) sees it. Refusal: not_found. */
KS_MUST_USE enum ks_err ks_vault_find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				      struct ks_provider_kept *ret_kept, struct ks_refusal *refusal);

/** The tenant (0: the actor's effective one) that something with secrets is to belong to, and the organization, whose key
 * seals: both into *row. Refusals: tenant_forbidden, invalid. */
KS_MUST_USE enum ks_err ks_vault_home(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant,
				      struct ks_provider_row *row, struct ks_refusal *refusal);

/** What is sealed for something that is no provider's field. */
struct ks_vault_bound {
	uint64_t organization, tenant;
	uint64_t object;             /* its id */
	const char *name;            /* what of it; static */
	uint64_t version;
};
/** Seals `text` under the organization's key, which is made where there is none. Waits; not on the writer's thread. */
KS_MUST_USE enum ks_err ks_vault_seal_for(struct ks_engine *engine, const struct ks_vault_bound *bound, struct ks_str text,
					  struct ks_vault_prepared **ret_sealed, struct ks_refusal *refusal);
/** Opens it. KS_CORRUPT: it was sealed for something else, or the key is gone. Waits; not on the writer's thread. */
KS_MUST_USE enum ks_err ks_vault_open_for(struct ks_engine *engine, struct ks_store *store, const struct ks_vault_bound *bound,
					  uint64_t key_number, struct ks_str sealed, struct ks_secret *ret_text);
/** Of what was sealed: the number of the key, and the sealed text. */
uint64_t ks_vault_prepared_key(const struct ks_vault_prepared *prepared);
struct ks_str ks_vault_prepared_text(const struct ks_vault_prepared *prepared);
/** Refusal conflict: the key was erased since. */
KS_MUST_USE enum ks_err ks_vault_prepared_check(struct ks_tx *tx, uint64_t organization,
						const struct ks_vault_prepared *prepared, struct ks_refusal *refusal);

/** An audit entry about the provider. */
KS_MUST_USE enum ks_err ks_vault_audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
				       const struct ks_provider_row *row, const char *outcome, struct ks_str detail);

/** The versions of a provider that are open, without their values. */
struct ks_open_version {
	char field[KS_STORE_FIELD_NAME_MAX + 1];
	struct ks_field_version_row row; /* its texts are not to be used but for `field` */
};
#define KS_OPEN_VERSIONS_MAX 1024
struct ks_open_versions {
	size_t count, cap;
	struct ks_open_version *items;   /* heap */
};
/** KS_TOO_LARGE: more than KS_OPEN_VERSIONS_MAX. */
KS_MUST_USE enum ks_err ks_vault_open_versions(struct ks_store *store, uint64_t provider,
					       struct ks_open_versions *ret_versions);
void ks_vault_open_versions_free(struct ks_open_versions *versions);
static inline bool ks_is_waiting(const struct ks_open_version *v)
{
	return v->row.stage == KS_FIELD_STAGE_PENDING || v->row.stage == KS_FIELD_STAGE_PROBED;
}

/** Does what can be done with what is pending: promotes it where nothing is to be waited for, and sets `waiting`. */
KS_MUST_USE enum ks_err ks_vault_settle(struct ks_tx *tx, const struct ks_actor *actor, struct ks_provider_row *row);

/** True if the platform is known and each required field is in `have`, and *ret_platform then tells of it. */
bool ks_vault_complete(struct ks_engine *engine, struct ks_str platform, const struct ks_open_versions *versions,
		       struct ks_vault_platform *ret_platform);

/** True if the platform's file lets the field have this value. */
KS_MUST_USE bool ks_vault_check_value(struct ks_engine *engine, struct ks_str platform, struct ks_str field,
				      struct ks_str value, struct ks_platform_detail *ret_detail);

/** How a field's binding is written: of a reference it is another than of a value. */
struct ks_str ks_vault_bound_name(enum ks_field_kind kind, const char *field, char text[KS_VAULT_BOUND_NAME_SIZE]);

/** Fetches the rest of these sealed values that lies elsewhere, and waits; what could not be fetched has its code, and is not
 * tried again. */
void ks_vault_bring(struct ks_engine *engine, struct ks_vault_fields *fields, const size_t *items, size_t count,
		    int64_t deadline_ms);

/** Puts the value where values are held outside of the store, if they are: of the sealed bytes what stays in the store is
 * left, and the kind says so. Waits. Refusal: held_store_unavailable. */
struct ks_vault_placing {
	uint64_t organization, provider, version, key_number;
	struct ks_str field;
	enum ks_field_kind kind;
	uint8_t *sealed;             /* KS_VAULT_SEALED_MAX bytes */
	size_t n;
};
KS_MUST_USE enum ks_err ks_vault_place(struct ks_engine *engine, struct ks_vault_placing *placing, struct ks_refusal *refusal);

/** The set was made less than the rollback window ago, failures came, and it can be undone: undoes it. */
KS_MUST_USE enum ks_err ks_vault_undo(struct ks_tx *tx, const struct ks_provider_row *row, const char *code,
				      bool *ret_undone);

/* The engine's own keeper (vault_keeper.c): what is used where the table has nothing else. All but open wait, and are not
 * for the writer's thread. */
#define KS_VAULT_KEEPER_OVERHEAD KS_KEEPER_OVERHEAD
KS_MUST_USE enum ks_err ks_vault_keeper_org_create(struct ks_engine *engine, uint64_t organization, uint64_t number,
						   uint8_t *ret_wrapped, size_t cap, size_t *ret_n);
KS_MUST_USE enum ks_err ks_vault_keeper_seal(struct ks_engine *engine, const struct ks_vault_org *org,
					     struct ks_vault_value *value);
KS_MUST_USE enum ks_err ks_vault_keeper_open(struct ks_engine *engine, struct ks_vault_opening *opening);
