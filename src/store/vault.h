/* SPDX-License-Identifier: Apache-2.0 */
/** The part of the truth about providers: their fields, the versions of these, which of them are current together, and
 * the calls that are on them. Values are sealed before they come here. Rules and errors are those of store/store.h. */
#pragma once

#include "store/store.h"

#define KS_STORE_PLATFORM_MAX 63
#define KS_STORE_FIELD_NAME_MAX 63
#define KS_STORE_CALL_MAX 128     /* bytes of a call's id */
#define KS_STORE_VIA_MAX 32
#define KS_STORE_WRAPPED_MAX 4096 /* bytes of an organization's key, wrapped */

/* ---- organizations' keys ---- */
struct ks_organization_key_row {
	uint64_t organization;
	uint64_t number; /* 1, 2, 3, …: another one after an erasure alone */
	int64_t created_at;
	int64_t erased_at;     /* KS_TIME_NONE */
	struct ks_str wrapped; /* zeros once it is erased */
};
typedef enum ks_err ks_organization_key_each(void *ctx, const struct ks_organization_key_row *row);

/** KS_CONFLICT: it is there. KS_NOT_FOUND: the organization is not. */
KS_MUST_USE enum ks_err ks_store_organization_key_insert(struct ks_store *store,
							 const struct ks_organization_key_row *row);
/** The one with this number; 0: the last one that was made. Erased ones too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_organization_key_get(struct ks_store *store, uint64_t organization, uint64_t number,
						      ks_organization_key_each *each, void *ctx);
/** Those that are not erased, after (organization, number) in that order, at most `limit`: for a rewrap. */
KS_MUST_USE enum ks_err ks_store_organization_keys(struct ks_store *store, uint64_t organization, uint64_t number,
						   size_t limit, ks_organization_key_each *each, void *ctx);
/** The same key under another wrapping. KS_NOT_FOUND: there is none, or it is erased. */
KS_MUST_USE enum ks_err ks_store_organization_key_rewrap(struct ks_store *store, uint64_t organization, uint64_t number,
							 struct ks_str wrapped);
/** Writes zeros over all keys of the organization. */
KS_MUST_USE enum ks_err ks_store_organization_keys_erase(struct ks_store *store, uint64_t organization, int64_t at);

/* ---- providers ---- */
struct ks_provider_row {
	uint64_t id;
	uint64_t tenant;
	uint64_t organization; /* of the tenant */
	uint64_t current_set;  /* that calls begin with; 0: none yet */
	uint64_t first_set;    /* the oldest that a call may be on; 0: none yet */
	bool waiting;          /* a version is pending or probed, and no other field is to be written first */
	int64_t created_at;
	int64_t deleted_at; /* KS_TIME_NONE */
	struct ks_str platform;
	struct ks_str name;
	struct ks_str created_by;
};
typedef enum ks_err ks_provider_each(void *ctx, const struct ks_provider_row *row);

/** KS_CONFLICT: the id is taken. KS_NOT_FOUND: the tenant or organization is not there. */
KS_MUST_USE enum ks_err ks_store_provider_insert(struct ks_store *store, const struct ks_provider_row *row);
/** Deleted ones too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_provider_get(struct ks_store *store, uint64_t id, ks_provider_each *each, void *ctx);
/** Each KS_NOT_FOUND where it is not there or deleted. */
KS_MUST_USE enum ks_err ks_store_provider_rename(struct ks_store *store, uint64_t id, struct ks_str name);
KS_MUST_USE enum ks_err ks_store_provider_delete(struct ks_store *store, uint64_t id, int64_t at);
KS_MUST_USE enum ks_err ks_store_provider_set_waiting(struct ks_store *store, uint64_t id, bool waiting);
/** Newest first, without deleted ones; by the index of the organization (0: any) or the tenant (0: any). */
struct ks_provider_filter {
	uint64_t organization;
	uint64_t tenant;
	uint64_t before;
	size_t limit;
};
KS_MUST_USE enum ks_err ks_store_providers(struct ks_store *store, const struct ks_provider_filter *filter,
					   ks_provider_each *each, void *ctx);
/** All that are not deleted, ascending ids above `after`: for a round over all of them. */
KS_MUST_USE enum ks_err ks_store_providers_after(struct ks_store *store, uint64_t after, size_t limit,
						 ks_provider_each *each, void *ctx);
/** Of those, the ones that are `waiting`. */
KS_MUST_USE enum ks_err ks_store_providers_waiting(struct ks_store *store, uint64_t after, size_t limit,
						   ks_provider_each *each, void *ctx);

/* ---- versions of fields ---- */
/** Where a version stands. X(name, text) */
#define KS_FIELD_STAGES(X)                                                                      \
	X(PENDING, "pending")         /* written; calls do not get it */                        \
	X(PROBED, "probed")           /* tried and found good; calls do not get it yet */       \
	X(CURRENT, "current")         /* calls begin with it */                                 \
	X(PREVIOUS, "previous")       /* calls that began with it have it until they end */     \
	X(DRAINED, "drained")         /* was previous; its value is gone */                     \
	X(FAILED, "failed")           /* was found bad, or superseded before it was current */  \
	X(ROLLED_BACK, "rolled_back") /* was current until somebody went back to the one before */ \
	X(ERASED, "erased")           /* its value was erased */

enum ks_field_stage {
#define X(name, text) KS_FIELD_STAGE_##name,
	KS_FIELD_STAGES(X)
#undef X
	KS_FIELD_STAGE_COUNT
};
/** Static. */
const char *ks_field_stage_text(enum ks_field_stage stage);

enum ks_field_kind {
	KS_FIELD_KIND_HELD,      /* the value itself */
	KS_FIELD_KIND_REFERENCE, /* where it is to be read, at each use */
	KS_FIELD_KIND_ELSEWHERE, /* a part of the sealed value, and where the rest of it lies */
	KS_FIELD_KIND_COUNT
};

struct ks_field_version_row {
	uint64_t provider;
	struct ks_str field;
	uint64_t version;
	enum ks_field_stage stage;
	enum ks_field_kind kind;
	bool open;           /* `sealed` is there */
	uint64_t key_number; /* of the organization's key that sealed it */
	int64_t created_at;
	int64_t promoted_at; /* when it last became current; KS_TIME_NONE */
	int64_t ended_at;    /* when it ceased to be what it was to calls; KS_TIME_NONE */
	struct ks_str created_by;
	struct ks_str via;   /* how it came: "api", "link" */
	struct ks_str code;  /* why it is what it is; empty: nothing to say */
	struct ks_str sealed; /* empty where it is not open */
};
typedef enum ks_err ks_field_version_each(void *ctx, const struct ks_field_version_row *row);

/** The next number of a field, given to nobody else. KS_NOT_FOUND: there is no such provider. */
KS_MUST_USE enum ks_err ks_store_field_next_version(struct ks_store *store, uint64_t provider, struct ks_str field,
						    uint64_t *ret_version);
/** KS_CONFLICT: the number is taken. */
KS_MUST_USE enum ks_err ks_store_field_version_insert(struct ks_store *store, const struct ks_field_version_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_field_version_get(struct ks_store *store, uint64_t provider, struct ks_str field,
						   uint64_t version, ks_field_version_each *each, void *ctx);
/** Those of a provider that are open, by field and ascending version. */
KS_MUST_USE enum ks_err ks_store_field_versions_open(struct ks_store *store, uint64_t provider,
						     ks_field_version_each *each, void *ctx);
/** All of one field, newest first, numbers below `before` (0: from the newest). */
KS_MUST_USE enum ks_err ks_store_field_versions(struct ks_store *store, uint64_t provider, struct ks_str field,
						uint64_t before, size_t limit, ks_field_version_each *each, void *ctx);
/** Updates stage, promoted_at, ended_at and code; where `open` is false the value is gone. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_field_version_update(struct ks_store *store, const struct ks_field_version_row *row);
/** Erases all values of a provider. */
KS_MUST_USE enum ks_err ks_store_field_versions_erase(struct ks_store *store, uint64_t provider, int64_t at,
						      struct ks_str code);

/* ---- secrets elsewhere ---- */
#define KS_STORE_HELD_PLACE_MAX 640 /* bytes of where one is */

/** A secret outside of the store that has versions of a field. Each change of these, within its transaction, counts up
 * `asked`; whoever has made the secret follow says so as `done`. */
struct ks_held_secret_row {
	uint64_t provider;
	struct ks_str field;
	uint64_t key_number;   /* of the organization's key that its versions are sealed with */
	uint64_t asked, done;
	struct ks_str place;
};
typedef enum ks_err ks_held_secret_each(void *ctx, const struct ks_held_secret_row *row);

/** Leaves one that is there as it is. */
KS_MUST_USE enum ks_err ks_store_held_secret_insert(struct ks_store *store, const struct ks_held_secret_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_held_secret_get(struct ks_store *store, uint64_t provider, struct ks_str field,
						 uint64_t key_number, ks_held_secret_each *each, void *ctx);
/** Those that do not follow yet, after (provider, field, key_number) of `after`, in that order. */
KS_MUST_USE enum ks_err ks_store_held_secrets_asked(struct ks_store *store, const struct ks_held_secret_row *after,
						    size_t limit, ks_held_secret_each *each, void *ctx);
/** Sets `done`. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_held_secret_done(struct ks_store *store, const struct ks_held_secret_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_held_secret_delete(struct ks_store *store, const struct ks_held_secret_row *row);

/* ---- sets ---- */
/** Why a set was made. X(name, text) */
#define KS_SET_REASONS(X)          \
	X(PROMOTED, "promoted")    \
	X(FORCED, "forced")        \
	X(ROLLED_BACK, "rolled_back") \
	X(FAILING, "failing")

enum ks_set_reason {
#define X(name, text) KS_SET_REASON_##name,
	KS_SET_REASONS(X)
#undef X
	KS_SET_REASON_COUNT
};
/** Static. */
const char *ks_set_reason_text(enum ks_set_reason reason);

struct ks_provider_set_row {
	uint64_t provider;
	uint64_t number;
	uint64_t based_on; /* 0: the first */
	enum ks_set_reason reason;
	int64_t made_at;
	int64_t ended_at;   /* KS_TIME_NONE: current */
	int64_t drained_at; /* KS_TIME_NONE: its values are there */
	uint64_t calls;     /* that began on it and are not in `leases` any more */
	uint64_t calls_ok, calls_failed; /* that were reported as such */
	struct ks_str failed_code;       /* the platform's, of the last one that failed and had one */
};
typedef enum ks_err ks_provider_set_each(void *ctx, const struct ks_provider_set_row *row);

/** Makes the next set, of `count` fields with these versions, and makes it current; the one before ends. */
struct ks_set_field {
	struct ks_str field;
	uint64_t version;
};
KS_MUST_USE enum ks_err ks_store_set_make(struct ks_store *store, const struct ks_provider_set_row *row,
					  const struct ks_set_field *fields, size_t count);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_set_get(struct ks_store *store, uint64_t provider, uint64_t number,
					 ks_provider_set_each *each, void *ctx);
/** Newest first, numbers below `before` (0: from the newest). */
KS_MUST_USE enum ks_err ks_store_sets(struct ks_store *store, uint64_t provider, uint64_t before, size_t limit,
				      ks_provider_set_each *each, void *ctx);
/** The versions of a set, by name of the field. */
KS_MUST_USE enum ks_err ks_store_set_versions(struct ks_store *store, uint64_t provider, uint64_t number,
					      ks_field_version_each *each, void *ctx);
/** Sets that have ended and still have their values, which ended after `after` and before `before`; the longest ended
 * first. */
KS_MUST_USE enum ks_err ks_store_sets_draining(struct ks_store *store, int64_t after, int64_t before, size_t limit,
					       ks_provider_set_each *each, void *ctx);
/** True in *ret_needed if a set other than `number` that still has its values has this version. */
KS_MUST_USE enum ks_err ks_store_version_needed(struct ks_store *store, uint64_t provider, struct ks_str field,
						uint64_t version, uint64_t number, bool *ret_needed);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_set_drained(struct ks_store *store, uint64_t provider, uint64_t number, int64_t at);
/** Sets providers.first_set to the oldest set that is not drained. */
KS_MUST_USE enum ks_err ks_store_provider_first_set(struct ks_store *store, uint64_t provider);
/** Adds to the counts of a set. */
KS_MUST_USE enum ks_err ks_store_set_count(struct ks_store *store, uint64_t provider, uint64_t number, uint64_t calls,
					   uint64_t ok, uint64_t failed);
/** Notes what was said of a call that failed. */
KS_MUST_USE enum ks_err ks_store_set_failed(struct ks_store *store, uint64_t provider, uint64_t number, struct ks_str code);

/* ---- leases ---- */
/** What was reported of a call. X(name, text) */
#define KS_CALL_OUTCOMES(X) \
	X(NONE, "none")     \
	X(OK, "ok")         \
	X(FAILED, "failed")

enum ks_call_outcome {
#define X(name, text) KS_CALL_OUTCOME_##name,
	KS_CALL_OUTCOMES(X)
#undef X
	KS_CALL_OUTCOME_COUNT
};

struct ks_lease_row {
	uint64_t id;
	uint64_t provider;
	uint64_t set_number;
	enum ks_call_outcome outcome;
	int64_t ends_at; /* a release sets it to its moment */
	struct ks_str call;
};
typedef enum ks_err ks_lease_each(void *ctx, const struct ks_lease_row *row);

/** Writes the lease, if its set is the provider's current one. KS_NOT_FOUND: it is not (another one is,
 * or the provider is deleted). KS_CONFLICT: the call has one on this set already. */
KS_MUST_USE enum ks_err ks_store_lease_begin(struct ks_store *store, const struct ks_lease_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_lease_get(struct ks_store *store, uint64_t id, ks_lease_each *each, void *ctx);
/** Of a call on this set. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_lease_of_call(struct ks_store *store, uint64_t provider, uint64_t set_number,
					       struct ks_str call, ks_lease_each *each, void *ctx);
/** Updates ends_at and outcome. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_lease_update(struct ks_store *store, uint64_t id, int64_t ends_at,
					      enum ks_call_outcome outcome);
/** How many leases of a set there are, and how many of them end after `now_ms`. */
KS_MUST_USE enum ks_err ks_store_leases_count(struct ks_store *store, uint64_t provider, uint64_t set_number,
					      int64_t now_ms, uint64_t *ret_all, uint64_t *ret_open);
/** True in *ret_any if a lease of the set ends after `now_ms`. */
KS_MUST_USE enum ks_err ks_store_leases_any(struct ks_store *store, uint64_t provider, uint64_t set_number,
					    int64_t now_ms, bool *ret_any);
/** Of the leases that began after the one of id *after (0: of all) and before `before`, in this order and at most `limit`,
 * forgets those that ended before `before`, and counts them as calls of their sets. Goes on at *after the next time; 0: it was
 * at the end. */
KS_MUST_USE enum ks_err ks_store_leases_forget(struct ks_store *store, int64_t before, size_t limit, uint64_t *after);
