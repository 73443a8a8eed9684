/* SPDX-License-Identifier: Apache-2.0 */
/** A data directory of a test's own with an engine on it, and short ways to change and to ask. Failures of what is only
 * preparation fail the test. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"
#include "engine/keys.h"
#include "engine/tenants.h"

struct world {
	char data[128];
	char policy_path[160];
	char ring[160];
	struct ks_engine_options options;
	struct ks_engine *engine;
	struct ks_engine_problem problem;
	struct ks_refusal refusal;      /* of the last change */
};

/** Makes the directory, writes the platform policy and opens. */
void world_new(struct world *w);
/** The same without opening. */
void world_prepare(struct world *w);
/** Opens again; the error. */
enum ks_err world_open(struct world *w);
void world_close(struct world *w);
/** Closes and removes everything. */
void world_free(struct world *w);
void world_write_policy(struct world *w, const char *yaml);
extern const char demo_policy[];
extern const char self_policy[];

typedef enum ks_err change(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal);
/** Runs `step` as one job; its error, with world.refusal. */
enum ks_err world_change(struct world *w, change *step, void *ctx);

/** As the local actor. 0 or "" for what is left out. */
uint64_t make_tenant(struct world *w, enum ks_tenant_kind kind, uint64_t parent, const char *name);
uint64_t make_user(struct world *w, uint64_t organization, const char *email);
void put_member(struct world *w, uint64_t tenant, uint64_t user, const char *role);
uint64_t operator_of(struct world *w);

/** `scopes`: separated by blanks. */
struct ks_key_input key_input(const char *name, uint64_t tenant, const char *scopes);
/** `actor` NULL: local. */
enum ks_err create_key(struct world *w, const struct ks_actor *actor, const struct ks_key_input *input,
		       struct ks_key_made *ret_made);
struct ks_key_made make_key(struct world *w, uint64_t tenant, const char *scopes);
enum ks_err revoke_key(struct world *w, const struct ks_actor *actor, uint64_t id);
enum ks_err suspend_tenant(struct world *w, const struct ks_actor *actor, uint64_t id, bool suspended);
enum ks_err delete_tenant(struct world *w, const struct ks_actor *actor, uint64_t id);

/** Decides through a reader opened for it. `tenant`: X-Tenant-Id or "". */
enum ks_reason decide(struct world *w, const char *token, const char *method, const char *path, const char *tenant);
/** GET /v1/contacts. */
enum ks_reason ask(struct world *w, const char *token);
/** The actor that the token makes on GET /v1/contacts; fails the test where it is refused. */
struct ks_actor actor_of(struct world *w, const char *token);
/** The same with X-Tenant-Id. */
struct ks_actor actor_for(struct world *w, const char *token, const char *tenant);

/** A key's row, with its texts copied. */
struct key_seen {
	struct ks_key_row row;
	char name[KS_STORE_NAME_MAX + 1];
	char prefix[65];
	char last_four[8];
	char labels[KS_STORE_LABELS_MAX + 1];
	char created_by[33];
	char revoked_by[33];
	char address[64];
	char grant[8192];
};
bool see_key(struct world *w, uint64_t id, struct key_seen *ret_seen);

/** The ring equals the truth. */
void assert_in_step(struct world *w);
/** Number of audit entries with this action. */
size_t audit_count(struct world *w, const char *action);
/** The newest one. */
struct audit_seen {
	struct ks_audit_row row;
	char actor[KS_ID_TEXT_SIZE];
	char on_behalf[KS_ID_TEXT_SIZE];
	char object[KS_ID_TEXT_SIZE];
	char detail[KS_STORE_DETAIL_MAX];
};
void see_audit(struct world *w, const char *action, struct audit_seen *ret_seen);
