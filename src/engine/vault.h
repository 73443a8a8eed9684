/* SPDX-License-Identifier: Apache-2.0 */
/** The vault: providers (a tenant's connections to platforms), the versions of their fields, and the calls that read
 * them (seed 000; CONTRACT, "Providers, secrets, links").
 *
 * Each write of a field makes a version, numbered from 1 and never twice. Versions that are current together are a set,
 * numbered too; calls begin with the current set. A call holds a lease, which pins its set: what was current when it
 * began stays readable to it as previous until it ends, or until `drain_max_ms` after the set was replaced; then the
 * values are erased (drained). A new version is pending until the platform's probe has found it good together with the
 * others, and then becomes current in one transaction. Where the platform has no probe it does so at once, and as long
 * as a required field has no version, all wait.
 *
 * Values and references are sealed under the organization's key and bound to tenant, provider, field, version and what
 * of the two they are. The engine opens none by itself: whoever makes it gives a table of what can
 * (ks_vault_openers). */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "engine/actor.h"
#include "engine/engine.h"
#include "store/vault.h"

#define KS_VAULT_FIELDS_MAX 64       /* of a platform */
#define KS_VAULT_VALUE_MAX 32768     /* bytes of a value or reference */
#define KS_VAULT_SEALED_MAX KS_STORE_SEALED_MAX
#define KS_VAULT_FETCH_MS_DEFAULT 10000
#define KS_VAULT_PLACE_SIZE (KS_STORE_HELD_PLACE_MAX + 1)

/* ---- what the engine is given ---- */

/** What a platform's file says of it, as far as the vault needs it. Texts live as long as the call that asked. */
struct ks_vault_field {
	char name[KS_STORE_FIELD_NAME_MAX + 1];
	bool secret;
	bool required;
};
struct ks_vault_platform {
	bool probed;                 /* new versions are tried before calls get them */
	size_t count;
	struct ks_vault_field fields[KS_VAULT_FIELDS_MAX];
};

/** An organization's key as the store keeps it. */
struct ks_vault_org {
	uint64_t organization;
	uint64_t number;             /* from 1 */
	struct ks_str wrapped;
};

/** One value to seal or to open, and what it is bound to. */
struct ks_vault_value {
	uint64_t tenant;
	uint64_t provider;
	struct ks_str field;         /* "password"; of a reference "ref:password" */
	uint64_t version;
	struct ks_str in;
	uint8_t *ret_out;
	size_t cap;
	size_t ret_n;
	enum ks_err err;             /* of this one */
};

/** Values of one organization that are opened together. */
struct ks_vault_opening {
	struct ks_vault_org org;
	struct ks_vault_value *values;
	size_t count;
	enum ks_err err;             /* of all: KS_CORRUPT: the wrapped key is not this organization's */
	void (*done)(struct ks_vault_opening *opening);
	void *ctx;
};

/** A reference that is to be read, and for whom. */
struct ks_vault_reference {
	uint64_t organization, tenant;
	struct ks_str json;
	bool worked;                 /* it could be read before: what fails now was taken back */
};

/** Each function: any thread. Those that may be NULL say so. */
struct ks_vault_openers {
	void *ctx;
	/** Instead of the platform files in force; no value's format is checked then. False: there is no file of this
	 * name. NULL: the files in force. */
	bool (*platform)(void *ctx, struct ks_str name, struct ks_vault_platform *ret_platform);
	/** False: the JSON is no reference. NULL: there are no references. */
	bool (*check_reference)(void *ctx, struct ks_str json, char *ret_detail, size_t cap);

	/* The next three may be NULL, all together: then the engine's own are used. */
	/** A new key for an organization, wrapped. Waits. */
	enum ks_err (*org_create)(void *ctx, uint64_t organization, uint64_t number, uint8_t *ret_wrapped, size_t cap,
				  size_t *ret_n);
	/** Seals one value. Waits. */
	enum ks_err (*seal)(void *ctx, const struct ks_vault_org *org, struct ks_vault_value *value);
	/** Opens; `done` runs on any thread, perhaps before this returns, and must not wait. Any error but KS_OK: it is not
	 * called. */
	enum ks_err (*open)(void *ctx, struct ks_vault_opening *opening);
	/** Bytes that a sealed value has more than the plain one, at least. */
	size_t overhead;
	/** An organization's key is erased for good: nothing of it is kept. Must not wait. May be NULL. */
	void (*org_forget)(void *ctx, uint64_t organization, uint64_t number);

	/* The next three: values that we hold outside of the store, sealed all the same; what is needed to open them stays in the
	 * store. All wait. Not KS_OK: KS_KMS, and *ret_code is a static problem code. */
	/** Where the secret of a field under a key of its organization is to lie; NULL: new values lie in the store. */
	enum ks_err (*held_place)(void *ctx, uint64_t organization, uint64_t provider, struct ks_str field, uint64_t key_number,
				  char ret_place[KS_VAULT_PLACE_SIZE]);
	/** Writes bytes as this version of the secret. The same again is the same. */
	enum ks_err (*held_put)(void *ctx, struct ks_str place, uint64_t version, struct ks_str bytes, const char **ret_code);
	/** Reads them, until `deadline_ms` (wall clock). NULL: there are none. */
	enum ks_err (*held_get)(void *ctx, struct ks_str place, uint64_t version, int64_t deadline_ms,
				struct ks_secret *ret_bytes, const char **ret_code);

	/** Reads what a reference names, until `deadline_ms` (wall clock); waits. Not KS_OK: *ret_code is a static problem
	 * code. NULL: there are no references. */
	enum ks_err (*fetch)(void *ctx, const struct ks_vault_reference *reference, int64_t deadline_ms,
			     struct ks_secret *ret_value, const char **ret_code);
};

/* ---- providers ---- */
struct ks_provider_input {
	uint64_t tenant;             /* 0: the actor's effective tenant */
	struct ks_str platform;
	struct ks_str name;
};

/** Refusals: invalid (also a tenant that is in no organization), tenant_forbidden. */
KS_MUST_USE enum ks_err ks_vault_provider_create(struct ks_tx *tx, const struct ks_actor *actor,
						 const struct ks_provider_input *input, uint64_t *ret_id,
						 struct ks_refusal *ret_refusal);
/** Both: KS_NOT_FOUND also for what the actor does not see. Deleting erases all values. */
KS_MUST_USE enum ks_err ks_vault_provider_rename(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						 struct ks_str name, struct ks_refusal *ret_refusal);
KS_MUST_USE enum ks_err ks_vault_provider_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						 struct ks_refusal *ret_refusal);
/** The providers of a tenant that is being deleted go with it; an organization's key too, without which nothing of it
 * opens any more. */
KS_MUST_USE enum ks_err ks_vault_tenant_deleted(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant);
/** Erases the key of an organization and all values of its providers, which stay. Refusals: not_found, invalid. */
KS_MUST_USE enum ks_err ks_vault_organization_erase(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization,
						    struct ks_refusal *ret_refusal);

/* ---- writing a field ---- */

/** A version that has its number and is sealed, and is not in the store yet. */
struct ks_vault_prepared;

/** Seals a value (or a reference's JSON) as the next version of a field. Checks that the actor sees the provider, the
 * field and the format, and, where `direct`, that secret fields may be set by value. Waits; any thread but the writer's.
 * Refusals: not_found, invalid, direct_write_off; KS_KEEPER errors as KS_STORE. */
struct ks_vault_writing {
	uint64_t provider;
	struct ks_str field;
	enum ks_field_kind kind;
	struct ks_str text;          /* wiped by the caller */
	bool direct;
};
KS_MUST_USE enum ks_err ks_vault_prepare(struct ks_engine *engine, const struct ks_actor *actor,
					 const struct ks_vault_writing *writing, struct ks_vault_prepared **ret_prepared,
					 struct ks_refusal *ret_refusal);
void ks_vault_prepared_free(struct ks_vault_prepared **prepared);
uint64_t ks_vault_prepared_version(const struct ks_vault_prepared *prepared);

/** Writes it, as pending, with its audit entry; a pending version of the field before it is superseded. Becomes current
 * at once where nothing is to be waited for. `via`: "api", "link". In a job: intake links write the use of the link with
 * it. KS_NOT_FOUND: the provider was deleted since. */
KS_MUST_USE enum ks_err ks_vault_put_version(struct ks_tx *tx, const struct ks_actor *actor,
					     const struct ks_vault_prepared *prepared, const char *via,
					     struct ks_refusal *ret_refusal);

/* ---- rotation ---- */

/** Makes the pending version of the field current without waiting for its probe. Refusals: not_found, nothing_pending. */
KS_MUST_USE enum ks_err ks_vault_promote(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider,
					 struct ks_str field, struct ks_refusal *ret_refusal);
/** Makes the version that was current before current again. Refusals: not_found, nothing_previous. */
KS_MUST_USE enum ks_err ks_vault_rollback(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider,
					  struct ks_str field, struct ks_refusal *ret_refusal);

/** What a probe of a candidate found. */
enum ks_vault_probe { KS_VAULT_PROBE_GOOD, KS_VAULT_PROBE_BAD, KS_VAULT_PROBE_UNCLEAR };
struct ks_vault_version {
	struct ks_str field;
	uint64_t version;
	bool blamed;                 /* what was found bad is, or may be, this one */
};
/** GOOD: these versions become current. BAD: those that are blamed fail with `code` (all where none is), and calls never
 * get them; the others stay pending: who enters a wrong password does not enter the host again. UNCLEAR (the platform could
 * not be reached): they stay pending. KS_CONFLICT: they are not all pending or probed any more; nothing was done, probe
 * the candidate as it is now. */
KS_MUST_USE enum ks_err ks_vault_probed(struct ks_tx *tx, uint64_t provider, const struct ks_vault_version *versions,
					size_t count, enum ks_vault_probe outcome, const char *code);
/** The current set, number `set`, was found bad by a probe: goes back to the one before if it was made within the
 * rollback window (*ret_rolled_back). */
KS_MUST_USE enum ks_err ks_vault_failing(struct ks_tx *tx, uint64_t provider, uint64_t set, const char *code,
					 bool *ret_rolled_back);

/* ---- reading ---- */

/** Fields of a provider, still sealed. */
struct ks_vault_sealed_field {
	char field[KS_STORE_FIELD_NAME_MAX + 1];
	uint64_t version;
	enum ks_field_kind kind;
	enum ks_field_stage stage;
	struct ks_str sealed;
	const char *code;            /* why the rest of it could not be fetched; static; NULL */
};
struct ks_vault_fields {
	uint64_t provider, tenant, organization;
	char platform[KS_STORE_PLATFORM_MAX + 1];
	uint64_t set;                /* 0: a candidate that is no set yet */
	uint64_t lease;              /* that the call has on a set that is not current any more; 0: none */
	uint64_t key_number;
	uint64_t epoch;              /* ks_vault_epoch before it was read */
	struct ks_str wrapped;       /* heap; empty: there is no key, or it was erased */
	bool has_references;
	bool has_elsewhere;          /* a part of a value is to be fetched first */
	bool worked;                 /* this set's references could be read before, as the last probe knew */
	bool settled;                /* no call can be on an earlier set */
	size_t count, cap;
	struct ks_vault_sealed_field *items;
	struct ks_vault_kept *kept;  /* NULL: the caller's alone; else others may have it too, and nobody writes to it */
};

/** The set that the call begins with, or is on: `call` empty: the current one. Any thread, with a reader of its own.
 * KS_NOT_FOUND: there is no such provider; KS_CONFLICT: it has no set yet; KS_CORRUPT. */
KS_MUST_USE enum ks_err ks_vault_read(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
				      struct ks_str call, int64_t now_ms, struct ks_vault_fields **ret_fields);
/** The same, perhaps from memory: for uses, which ks_vault_use confirms or calls stale. `anew`: after it was stale. */
KS_MUST_USE enum ks_err ks_vault_read_for_use(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
					      struct ks_str call, int64_t now_ms, bool anew,
					      struct ks_vault_fields **ret_fields);
/** What would become current if all that is pending did. KS_CONFLICT: nothing is pending, or required fields have no
 * version. */
KS_MUST_USE enum ks_err ks_vault_candidate(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
					   struct ks_vault_fields **ret_fields);
/** All versions of its fields that some call may have: the current ones first, then those before that still are there, as
 * far as there is room. For what verifies with any of them. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_vault_read_stages(struct ks_store *store, uint64_t provider,
					     struct ks_vault_fields **ret_fields);
/** Frees it, where nobody else has it. */
void ks_vault_fields_free(struct ks_vault_fields **fields);

/** What the platform's file says. False: there is none of this name. */
KS_MUST_USE bool ks_vault_platform_of(struct ks_engine *engine, struct ks_str name,
				      struct ks_vault_platform *ret_platform);
/** True in *ret_complete if each required field has a version that is current or pending. */
KS_MUST_USE enum ks_err ks_vault_is_complete(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
					     bool *ret_complete);

/** Opened fields, in locked memory; in the order of the sealed ones. */
struct ks_vault_open_field {
	struct ks_str value;
	enum ks_err err;
	const char *code;            /* why not; static; NULL where it is open */
};
struct ks_vault_opened {
	struct ks_secret room;
	struct ks_secret *fetched;   /* one each; NULL where nothing is a reference */
	size_t count;
	struct ks_vault_open_field *items;
	struct ks_vault_shared *of;  /* NULL: its own; else room and items are shared */
};
/** Opens held values and fetches references, several at a time, until `deadline_ms`. KS_OK: look at each item; others
 * (KS_MEMORY, KS_KEEPER, KS_CORRUPT): nothing was opened. Waits; free in any case. */
KS_MUST_USE enum ks_err ks_vault_open_fields(struct ks_engine *engine, struct ks_vault_fields *fields, int64_t deadline_ms,
					     struct ks_vault_opened *ret_opened);
/** Two parts of it. The first is for fields that have nothing elsewhere. It opens held values and the references themselves,
 * without waiting: `done` runs on any thread, perhaps before this returns, must not wait, and may free both; not where this
 * returns an error. */
KS_MUST_USE enum ks_err ks_vault_open_held(struct ks_engine *engine, const struct ks_vault_fields *fields,
					   struct ks_vault_opened *ret_opened, void (*done)(void *ctx, enum ks_err err),
					   void *ctx);
/** The same for one of many uses. Who comes while the very fields (of ks_vault_read_for_use) are being opened for another gets
 * what that one gets, and so does who comes before all of those have freed it, for KS_VAULT_SHARED_NS at most: nothing stays
 * open for somebody who may come later. `sharer` must stay until it is told. */
#define KS_VAULT_SHARED_NS UINT64_C(5000000)
struct ks_vault_sharer {
	struct ks_vault_opened *ret_opened;
	void (*done)(void *ctx, enum ks_err err);
	void *ctx;
	uint64_t now_ns;              /* of a clock that does not go back */
	struct ks_vault_sharer *next; /* not the caller's */
};
KS_MUST_USE enum ks_err ks_vault_open_shared(struct ks_engine *engine, struct ks_vault_fields *fields,
					     struct ks_vault_sharer *sharer);
/** The second fetches what the references name, and waits. */
void ks_vault_fetch_references(struct ks_engine *engine, const struct ks_vault_fields *fields, int64_t deadline_ms,
			       struct ks_vault_opened *opened);
/** Wipes and frees. */
void ks_vault_opened_free(struct ks_vault_opened *opened);

/* ---- uses by the runtime ---- */

/** Rises where organizations' keys were erased or wrapped anew: what was read before may not be what is there. Any thread. */
uint64_t ks_vault_epoch(const struct ks_engine *engine);

/** A use of a provider's values, for its audit entry. Borrowed. */
struct ks_vault_use {
	const char *action;          /* "secret.reveal", "secret.digest" */
	const struct ks_vault_fields *fields;
	struct ks_str call;
	int64_t hold_ms;             /* 0: the option's */
	const char *only;            /* the one field that was used; NULL: all */
};
struct ks_vault_lease {
	uint64_t id;
	int64_t until;
	bool stale;                  /* nothing was done: another set is current by now; read again */
};

/** Writes the audit entry, and the lease of the call (extending the one that it has); refuses before it writes.
 * Refusals: not_found, tenant_suspended. */
KS_MUST_USE enum ks_err ks_vault_use(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_use *use,
				     struct ks_vault_lease *ret_lease, struct ks_refusal *ret_refusal);
/** A challenge of the platform's that is to be answered with the provider's user and password (RFC 7616, 8760). Borrowed. */
struct ks_vault_challenge {
	struct ks_str challenge;     /* value of WWW-Authenticate or Proxy-Authenticate */
	struct ks_str method, uri;   /* of the request that will carry the answer */
	struct ks_str body;          /* of that request, for "auth-int"; may be empty */
	uint32_t count;              /* of requests under the challenge's nonce, from 1 */
	int64_t deadline_ms;
};
/** Appends the value of the header that answers it. A password that we hold is opened within the keeper alone. Waits.
 * *ret_code (static) where a field could not be read. Refusals: invalid, conflict (no user or password). */
KS_MUST_USE enum ks_err ks_vault_answer_challenge(struct ks_engine *engine, struct ks_vault_fields *fields,
						  const struct ks_vault_challenge *challenge, struct ks_buf *out,
						  const char **ret_code, struct ks_refusal *ret_refusal);

/** Writes that a use was refused with `code`. */
KS_MUST_USE enum ks_err ks_vault_use_refused(struct ks_tx *tx, const struct ks_actor *actor,
					     const struct ks_vault_use *use, const char *code);

/** Ends a lease; again is the same. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_vault_release(struct ks_tx *tx, const struct ks_actor *actor, uint64_t lease,
					 struct ks_refusal *ret_refusal);

/** A call's outcome as the runtime reports it: once; the same again changes nothing. By lease, or by the call's id (where
 * `lease` is 0). Enough failures of a new set undo it (*ret_rolled_back). KS_NOT_FOUND; KS_CONFLICT: the other outcome was
 * reported before. */
struct ks_vault_report {
	uint64_t provider;
	uint64_t lease;
	struct ks_str call;
	bool failed;
	struct ks_str code;          /* the platform's; may be empty */
};
KS_MUST_USE enum ks_err ks_vault_call_reported(struct ks_tx *tx, const struct ks_actor *actor,
					       const struct ks_vault_report *report, bool *ret_rolled_back,
					       struct ks_refusal *ret_refusal);

/** Erases what no call can be on any more and forgets old leases, a little at a time; true in *ret_more: call again. */
KS_MUST_USE enum ks_err ks_vault_tend(struct ks_tx *tx, bool *ret_more);

/* ---- secrets elsewhere ---- */

/** A secret that is to follow what was changed of its versions. Versions: 0: none. */
struct ks_vault_held_work {
	uint64_t provider;
	char field[KS_STORE_FIELD_NAME_MAX + 1];
	uint64_t key_number;
	uint64_t asked;
	char place[KS_VAULT_PLACE_SIZE];
	bool gone;                   /* nothing of it will be read or written again: it is to be erased */
	uint64_t pending, current;
	uint64_t previous;           /* the last one that was current before and is still open */
};
/** The next one after `after` (zeros: the first). Any thread, with a reader of its own. KS_NOT_FOUND: there is none. */
KS_MUST_USE enum ks_err ks_vault_held_next(struct ks_store *store, const struct ks_vault_held_work *after,
					   struct ks_vault_held_work *ret_work);
/** It follows now, or is gone. Waits; any thread but the writer's. */
KS_MUST_USE enum ks_err ks_vault_held_done(struct ks_engine *engine, const struct ks_vault_held_work *work);
