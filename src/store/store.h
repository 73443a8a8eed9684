/* SPDX-License-Identifier: Apache-2.0 */
/** The truth: what must survive. One interface over SQL drivers (sql.h): SQLite is the embedded default. A handle is
 * one connection and not thread-safe; one writer on the machine and any number of readers. Text in rows is borrowed:
 * from the caller on writes, from the handle until the callback returns on reads. Every change of state is made within
 * one transaction together with its change-log and audit entries.
 *
 * Any function may give KS_STORE, KS_BUSY, KS_CORRUPT, KS_DISK_FULL or KS_MEMORY, and then nothing of what it was asked
 * was done; the comments name what else. Functions that write need a writer and an open transaction (KS_STORE without)
 * and refuse rows beyond the limits below with KS_TOO_LARGE, and ids of 0 or beyond 63 bits, times of KS_TIME_NONE
 * where one is needed, enums out of range and text with NUL or bad UTF-8 with KS_MALFORMED; a row that refers to one
 * that is missing is KS_NOT_FOUND. A row that was refused leaves the transaction as it was. Callbacks return KS_OK to
 * go on; anything else ends the list and is what the function returns. They may call other functions on the same
 * handle, but not change the rows that are being listed. All functions block on the disk. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/sha256.h"
#include "model/model.h"

#define KS_STORE_NAME_MAX 200    /* bytes of a name */
#define KS_STORE_LABELS_MAX 4096 /* bytes of the labels' JSON */
#define KS_STORE_ACTOR_MAX 32
#define KS_STORE_DETAIL_MAX 4096 /* bytes of the JSON of an audit entry */
#define KS_STORE_SLUG_MAX 63
#define KS_STORE_EMAIL_MAX 254 /* RFC 5321 4.5.3.1.3 */
#define KS_STORE_ROLE_MAX 63
#define KS_STORE_GRANT_MAX 262144
#define KS_STORE_PREFIX_MAX 64
#define KS_STORE_LAST_FOUR_MAX 16
#define KS_STORE_SCOPE_MAX 63
#define KS_STORE_ACTION_MAX 64
#define KS_STORE_OBJECT_MAX 128
#define KS_STORE_ADDRESS_MAX 56
#define KS_STORE_REQUEST_ID_MAX 128
#define KS_STORE_IDEMPOTENCY_KEY_MAX 255
#define KS_STORE_BODY_MAX 1048576 /* bytes of a remembered answer */
#define KS_STORE_HASH_MAX 127    /* characters of a password's hash */
#define KS_STORE_AGENT_MAX 200   /* bytes of a User-Agent */
#define KS_STORE_KID_MAX 128
#define KS_STORE_ALGORITHM_MAX 16
#define KS_STORE_JWK_MAX 4096
#define KS_STORE_SEALED_MAX 65536 /* bytes of anything that is kept sealed */

/** Where 0 means "none", this means "any". */
#define KS_STORE_ANY UINT64_MAX

struct ks_store;

enum ks_store_mode {
	KS_STORE_WRITER, /* opens or creates, migrates; one at a time */
	KS_STORE_READER  /* must exist and be of this version */
};

/** Opens `uri`: "sqlite:PATH" (a file) now; other schemes are KS_MALFORMED. The folder is made if it is missing (not
 * those above it). KS_VERSION: made by a newer program, or, for a reader, by an older one; KS_BUSY: another writer has
 * it; KS_NOT_FOUND: nothing to read, or no folder to make it in; KS_CORRUPT: damaged, or not a store; KS_SYSTEM: the
 * file cannot be made or locked; KS_STORE. ks_store_error(NULL) tells more. */
KS_MUST_USE enum ks_err ks_store_open(const char *uri, enum ks_store_mode mode, struct ks_store **ret_store);
void ks_store_close(struct ks_store **store);

/** Text of the last failure, for the log; never NULL. Of NULL: of the last open or restore that failed in this thread.
 * Holds no stored value. */
const char *ks_store_error(const struct ks_store *store);

/** The random id that this truth was given when it was made. */
KS_MUST_USE enum ks_err ks_store_identity(struct ks_store *store, uint8_t ret_id[16]);

/** The greatest id of any tenant, user, key, audit entry or event; 0: there is none. New ids go on from it, also when the
 * clock went back. */
KS_MUST_USE enum ks_err ks_store_last_id(struct ks_store *store, uint64_t *ret_id);

/* ---- transactions ---- */
/** For writing; readers: a snapshot. KS_STORE: one is open already. */
KS_MUST_USE enum ks_err ks_store_begin(struct ks_store *store);
/** As ks_store_begin, for many rows of which the caller knows that all they refer to is there: the store does not look
 * for it again (an eighth of the time of an import). */
KS_MUST_USE enum ks_err ks_store_begin_proven(struct ks_store *store);
/** Durable when it returns KS_OK. KS_DISK_FULL and others: nothing was kept, the transaction is over, and the handle
 * can be used again. Where the database gave the transaction up earlier, every call since has returned why, and so does
 * this one. */
KS_MUST_USE enum ks_err ks_store_commit(struct ks_store *store);
/** Nothing was kept. Without a transaction it does nothing. */
void ks_store_rollback(struct ks_store *store);
/** One level within a transaction. */
KS_MUST_USE enum ks_err ks_store_savepoint(struct ks_store *store);
KS_MUST_USE enum ks_err ks_store_release(struct ks_store *store);
/** Undoes what was done since the savepoint, and releases it. Without a savepoint it does nothing. */
void ks_store_rollback_to(struct ks_store *store);
/** How many statements that write were tried on this handle: who finds the number unchanged has nothing to undo. */
uint64_t ks_store_writes(const struct ks_store *store);
/** Gives back the memory that the handle keeps of the truth beyond what is in use: for who goes through much of it once. */
void ks_store_shrink(struct ks_store *store);

/* ---- change log: what the projection must apply, in order ---- */
/** X(name, text) */
#define KS_CHANGES(X)       \
	X(TENANT, "tenant") \
	X(USER, "user")     \
	X(GRANT, "grant")   \
	X(KEY, "key")       \
	X(KEY_RANGE, "key_range") /* object .. object_end, one import batch */ \
	X(ISSUER_KEYS, "issuer_keys") /* those of our own issuer */ \
	X(FOREIGN_ISSUER, "foreign_issuer") \
	X(SESSION, "session")

enum ks_change_kind {
#define X(name, text) KS_CHANGE_##name,
	KS_CHANGES(X)
#undef X
	KS_CHANGE_KIND_COUNT
};

struct ks_change {
	uint64_t seq;
	enum ks_change_kind kind;
	uint64_t object;
	uint64_t object_end;
};

/** Numbers are 1, 2, 3, … without gaps, also after trimming; only a restored store jumps (far) ahead. */
KS_MUST_USE enum ks_err ks_store_change_append(struct ks_store *store, enum ks_change_kind kind, uint64_t object,
					       uint64_t object_end, uint64_t *ret_seq);
/** The last number given; 0: none was. */
KS_MUST_USE enum ks_err ks_store_change_last(struct ks_store *store, uint64_t *ret_seq);
/** Calls `each` for at most `limit` entries after `seq`, in order, of one snapshot. KS_NOT_FOUND: some of them are
 * forgotten (trimmed, or the store was restored from a backup): start anew. KS_CONFLICT: `seq` was never given: this is
 * another truth, start anew. */
KS_MUST_USE enum ks_err ks_store_changes_after(struct ks_store *store, uint64_t seq, size_t limit,
					       enum ks_err (*each)(void *ctx, const struct ks_change *change),
					       void *ctx);
/** Forgets entries up to `seq` (at most the last), which every projection has applied. Numbering goes on. */
KS_MUST_USE enum ks_err ks_store_changes_trim(struct ks_store *store, uint64_t seq);

/* ---- tenants ---- */
struct ks_tenant_row {
	uint64_t id;
	uint64_t parent;       /* 0: operator */
	uint64_t organization; /* itself or above; 0: none */
	enum ks_tenant_kind kind;
	uint64_t user; /* personal tenants; else 0 */
	struct ks_str name;
	struct ks_str slug; /* organizations; may be empty */
	int64_t created_at;
	struct ks_str created_by;
	int64_t suspended_at; /* KS_TIME_NONE */
	int64_t deleted_at;   /* KS_TIME_NONE */
};
typedef enum ks_err ks_tenant_each(void *ctx, const struct ks_tenant_row *row);

/** KS_CONFLICT: the slug is taken (also by one that is deleted: a space's URL never passes to somebody else), or the
 * id. KS_NOT_FOUND: the parent, organization or user is not there. KS_MALFORMED: the parent's id is not below the
 * child's. */
KS_MUST_USE enum ks_err ks_store_tenant_insert(struct ks_store *store, const struct ks_tenant_row *row);
/** Updates name, suspended_at, deleted_at. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_tenant_update(struct ks_store *store, const struct ks_tenant_row *row);
/** Calls `each` with the row; KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_tenant_get(struct ks_store *store, uint64_t id, ks_tenant_each *each, void *ctx);
/** Newest first (greatest id first), ids below `before` (0: from the newest), at most `limit` (0: none; SIZE_MAX: all).
 * Filters that are 0 / COUNT are not applied. Deleted ones are left out. All by index. */
struct ks_tenant_filter {
	uint64_t parent;
	uint64_t organization;
	enum ks_tenant_kind kind; /* KS_TENANT_KIND_COUNT: any */
	const uint64_t *ids;      /* only these, ascending; NULL: any */
	size_t id_count;
	uint64_t before;
	size_t limit;
};
KS_MUST_USE enum ks_err ks_store_tenants(struct ks_store *store, const struct ks_tenant_filter *filter,
					 ks_tenant_each *each, void *ctx);
/** All, deleted ones too, parents before children: for a rebuild. */
KS_MUST_USE enum ks_err ks_store_tenants_all(struct ks_store *store, ks_tenant_each *each, void *ctx);

/* ---- users and memberships ---- */
struct ks_user_row {
	uint64_t id;
	uint64_t organization; /* home; 0: the operator's people */
	uint64_t personal;     /* personal tenant; may be written before it; 0: none yet */
	struct ks_str email;   /* lower case; unique */
	struct ks_str name;
	int64_t created_at;
	struct ks_str created_by;
	int64_t disabled_at;
};
typedef enum ks_err ks_user_each(void *ctx, const struct ks_user_row *row);
KS_MUST_USE enum ks_err ks_store_user_insert(struct ks_store *store,
					     const struct ks_user_row *row); /* KS_CONFLICT: e-mail taken */
KS_MUST_USE enum ks_err ks_store_user_update(
	struct ks_store *store, const struct ks_user_row *row); /* name, personal, disabled_at; KS_NOT_FOUND */
KS_MUST_USE enum ks_err ks_store_user_get(struct ks_store *store, uint64_t id, ks_user_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_user_by_email(struct ks_store *store, struct ks_str email, ks_user_each *each,
					       void *ctx);
/** Of an organization, of the operator (0), or any (KS_STORE_ANY); newest first, as tenants. */
KS_MUST_USE enum ks_err ks_store_users(struct ks_store *store, uint64_t organization, uint64_t before, size_t limit,
				       ks_user_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_users_all(struct ks_store *store, ks_user_each *each, void *ctx);

struct ks_membership_row {
	uint64_t user;
	uint64_t tenant;
	struct ks_str role; /* "administrator", "member", "account_reader", or of the policy file */
	int64_t created_at;
	struct ks_str created_by;
};
typedef enum ks_err ks_membership_each(void *ctx, const struct ks_membership_row *row);
/** Makes it, or takes the place of what the user had there. */
KS_MUST_USE enum ks_err ks_store_membership_put(struct ks_store *store, const struct ks_membership_row *row);
KS_MUST_USE enum ks_err ks_store_membership_delete(struct ks_store *store, uint64_t user,
						   uint64_t tenant); /* KS_NOT_FOUND */
/** In ascending order of tenants. */
KS_MUST_USE enum ks_err ks_store_memberships_of_user(struct ks_store *store, uint64_t user, ks_membership_each *each,
						     void *ctx);
/** Newest users first, users below `before`. */
KS_MUST_USE enum ks_err ks_store_memberships_of_tenant(struct ks_store *store, uint64_t tenant, uint64_t before,
						       size_t limit, ks_membership_each *each, void *ctx);

/* ---- grants: what keys may do, shared by equal keys ---- */
struct ks_grant_row {
	uint64_t id; /* 1, 2, 3, … in order of creation */
	struct ks_str
		body; /* canonical JSON: {"addresses":[..],"rate_limit":{..}|null,"roles":[..],"scopes":[..]} sorted */
};
typedef enum ks_err ks_grant_each(void *ctx, const struct ks_grant_row *row);
/** Finds the grant with this body or makes it (*ret_made). */
KS_MUST_USE enum ks_err ks_store_grant_intern(struct ks_store *store, struct ks_str body, uint64_t *ret_id,
					      bool *ret_made);
KS_MUST_USE enum ks_err ks_store_grant_get(struct ks_store *store, uint64_t id, ks_grant_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_grants_all(struct ks_store *store, ks_grant_each *each, void *ctx);

/* ---- keys ---- */
struct ks_key_row {
	uint64_t id;
	struct ks_digest digest;
	uint64_t tenant;
	uint64_t organization; /* of the tenant; 0: none */
	uint64_t user;         /* user keys; else 0 */
	uint64_t grant;
	enum ks_kind kind;
	enum ks_binding binding;
	enum ks_environment environment;
	bool imported;
	struct ks_str name;
	struct ks_str prefix;    /* may be empty (imported) */
	struct ks_str last_four; /* may be empty (imported) */
	struct ks_str labels;    /* JSON object, or empty */
	int64_t created_at;
	struct ks_str created_by;
	int64_t expires_at; /* KS_TIME_NONE: never */
	int64_t retires_at; /* end of the overlap after a rotation; KS_TIME_NONE */
	int64_t revoked_at; /* KS_TIME_NONE */
	struct ks_str revoked_by;
	uint64_t rotated_from;
	uint64_t rotated_to;
	/* joined from usage, zero / none where never used; ignored on writes */
	uint64_t uses;
	int64_t last_used_at;
	struct ks_str last_used_address;
};
typedef enum ks_err ks_key_each(void *ctx, const struct ks_key_row *row);
/** The digest's uniqueness is the caller's to check against the projection (which holds every key ever made); the store
 * keeps no index on digests, so that imports stay sequential. KS_CONFLICT: the id is taken. KS_NOT_FOUND: tenant, user,
 * grant or rotated_from is not there. What is fixed at creation cannot be changed and no key can be removed: the schema
 * itself refuses. */
KS_MUST_USE enum ks_err ks_store_key_insert(struct ks_store *store, const struct ks_key_row *row);
/** As ks_store_key_insert for each of the rows, several times as fast: for imports. Fastest where ids ascend and,
 * tenants too, and where the rows differ in nothing that a new key does not choose (created_at, created_by, imported).
 * After a failure a part may be in: the transaction cannot be committed, nor the savepoint released. */
KS_MUST_USE enum ks_err ks_store_keys_insert(struct ks_store *store, const struct ks_key_row *rows, size_t count);
/** The keys from `first` on, an id above all that there are (else nothing is done), get index pages of their own: where
 * some ten thousand keys follow in order of their tenants, all of their index entries are then appended. */
KS_MUST_USE enum ks_err ks_store_keys_apart(struct ks_store *store, uint64_t first);
KS_MUST_USE enum ks_err ks_store_key_rename(struct ks_store *store, uint64_t id, struct ks_str name); /* KS_NOT_FOUND */
/** Sets revoked_at/by unless already set. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_key_revoke(struct ks_store *store, uint64_t id, int64_t at, struct ks_str by);
/** Sets retires_at (to the earlier of both, where it has one) and rotated_to (which must be there) of the old key. KS_CONFLICT: rotated already, or revoked.
 * KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_key_rotated(struct ks_store *store, uint64_t id, int64_t retires_at,
					     uint64_t rotated_to);
/** Ends a key at `at`, or sooner if it ends sooner already, as a rotation would. KS_NOT_FOUND: none, or revoked. */
KS_MUST_USE enum ks_err ks_store_key_retire(struct ks_store *store, uint64_t id, int64_t at);
KS_MUST_USE enum ks_err ks_store_key_get(struct ks_store *store, uint64_t id, ks_key_each *each, void *ctx);

/** As the decision sees it at `now_ms`: revoked before expired; a key whose end was set by a rotation (retires_at,
 * where expires_at is not before it) is from then on revoked. */
enum ks_key_status { KS_KEY_STATUS_ACTIVE, KS_KEY_STATUS_EXPIRED, KS_KEY_STATUS_REVOKED, KS_KEY_STATUS_ANY };
struct ks_key_filter {
	uint64_t organization;   /* 0: any */
	const uint64_t *tenants; /* only these, in any order; NULL: any */
	size_t tenant_count;
	uint64_t user; /* 0: any */
	enum ks_key_status status;
	enum ks_kind kind;               /* KS_KIND_COUNT: any */
	enum ks_environment environment; /* KS_ENVIRONMENT_COUNT: any */
	int64_t unused_since;            /* KS_TIME_NONE: any */
	struct ks_str q;                 /* part of the name, case ignored (Unicode, letter by letter); empty: any */
	int64_t now_ms;                  /* for status */
	uint64_t before;                 /* ids below; 0: from the newest */
	size_t limit;
	bool (*seen)(void *ctx, uint64_t tenant); /* keys of which tenants; NULL: of any */
	void *seen_ctx;
};
#define KS_STORE_EXAMINED 500 /* rows that one page looks at, where filters leave some out; of tenants up to twice as many, and a few each */

/** A page, newest first. Driven by an index: of each of the tenants (merged: a page costs some seeks a tenant and two a
 * row), of the user, of the organization, of what is not a tenant key, of stopped or of sandbox keys, or by id. Other
 * filters are applied to the rows on the way, and a page ends when it has looked at KS_STORE_EXAMINED of them, full or
 * not: *ret_before is then where to go on (the next page's `before`), and 0 where it ended at its limit or at the
 * end. */
KS_MUST_USE enum ks_err ks_store_keys_page(struct ks_store *store, const struct ks_key_filter *filter,
					   ks_key_each *each, void *ctx, uint64_t *ret_before);
/** The same with as many pages as it takes. */
KS_MUST_USE enum ks_err ks_store_keys(struct ks_store *store, const struct ks_key_filter *filter, ks_key_each *each,
				      void *ctx);

/** The columns that the projection needs, for ids in [first, last], ascending: fast (a rebuild reads a million a second
 * and core). */
struct ks_key_core {
	uint64_t id;
	struct ks_digest digest;
	uint64_t tenant;
	uint64_t grant;
	int64_t ends_ms; /* the earlier of expires_at and retires_at; INT64_MAX */
	enum ks_kind kind;
	enum ks_binding binding;
	enum ks_environment environment;
	bool revoked;
	bool rotated_out; /* retires_at is what ends it (also where both are equal) */
	bool imported;
};
KS_MUST_USE enum ks_err ks_store_key_cores(struct ks_store *store, uint64_t first, uint64_t last,
					   enum ks_err (*each)(void *ctx, const struct ks_key_core *core), void *ctx);
/** What an audit of keys asks of the truth beside what the projection holds, for ids in [first, last], ascending. */
struct ks_key_facts {
	uint64_t id;
	bool imported;
	int64_t created_at;
	int64_t last_used_at; /* KS_TIME_NONE: never */
};
KS_MUST_USE enum ks_err ks_store_key_facts(struct ks_store *store, uint64_t first, uint64_t last,
					   enum ks_err (*each)(void *ctx, const struct ks_key_facts *facts), void *ctx);

/** Counts for planning a ring (exact or a little high): kept, not counted. Revoked and deleted ones are in. */
struct ks_store_counts {
	uint64_t keys;
	uint64_t keys_limited; /* with a rate limit */
	uint64_t tenants;
	uint64_t users;
	uint64_t grants;
};
KS_MUST_USE enum ks_err ks_store_counts(struct ks_store *store, struct ks_store_counts *ret_counts);

/* ---- usage ---- */
struct ks_usage_row {
	uint64_t key;
	int64_t minute; /* ms, any instant of the minute; in sums the start of the step */
	enum ks_reason reason;
	struct ks_str scope; /* may be empty */
	uint64_t count;
};
/** Adds counts of a minute (at most 2^32 - 1 a call), and, where `last_used_at` is given, uses and last use of the key
 * (an older use than the known one leaves that as it is). Whether the key exists is not asked. */
KS_MUST_USE enum ks_err ks_store_usage_add(struct ks_store *store, const struct ks_usage_row *row, int64_t last_used_at,
					   struct ks_str last_used_address);
/** Sums by step (60000, 3600000 or 86400000 ms), reason and scope over [from, to), ascending. What was folded counts at
 * the start of its hour or day. KS_MALFORMED: another step. */
KS_MUST_USE enum ks_err ks_store_usage(struct ks_store *store, uint64_t key, int64_t from, int64_t to, int64_t step,
				       enum ks_err (*each)(void *ctx, const struct ks_usage_row *row), void *ctx);
/** The names that uses are counted under, with the numbers that ks_store_usage_scopes_used gives. */
KS_MUST_USE enum ks_err ks_store_usage_scopes(struct ks_store *store,
					      enum ks_err (*each)(void *ctx, uint64_t number, struct ks_str name),
					      void *ctx);
/** Under which scopes keys with ids in [first, last] were allowed something in steps that begin at `since` or later;
 * ascending keys, a pair perhaps more than once; number 0: none. What was folded counts at the start of its hour or
 * day. */
KS_MUST_USE enum ks_err ks_store_usage_scopes_used(struct ks_store *store, uint64_t first, uint64_t last, int64_t since,
						   enum ks_err (*each)(void *ctx, uint64_t key, uint64_t number),
						   void *ctx);
/** Folds minutes of whole hours before `minutes_before` into hours, hours of whole days before `hours_before` into
 * days; at most `limit` rows a call: call again (in a transaction of its own, so that others get their turn) until it
 * folds none. */
KS_MUST_USE enum ks_err ks_store_usage_fold(struct ks_store *store, int64_t minutes_before, int64_t hours_before,
					    size_t limit, size_t *ret_folded);

/** How far the writing of counts has come; written in the transaction of the counts. */
struct ks_usage_mark {
	uint64_t batch; /* 0: none was written */
	uint64_t done;  /* entries of it */
};
KS_MUST_USE enum ks_err ks_store_usage_mark_get(struct ks_store *store, struct ks_usage_mark *ret_mark);
KS_MUST_USE enum ks_err ks_store_usage_mark_put(struct ks_store *store, const struct ks_usage_mark *mark);
/** When the key was last used; KS_NOT_FOUND: never. */
KS_MUST_USE enum ks_err ks_store_last_used(struct ks_store *store, uint64_t key, int64_t *ret_at);
/** Refusals of the key in minutes from `from` on, those of its rate limit left out. */
KS_MUST_USE enum ks_err ks_store_usage_denied(struct ks_store *store, uint64_t key, int64_t from, uint64_t *ret_count);

/* ---- notices: what was told of keys, so that it is told once ---- */
/** Up to which end, and which key of those that end then, the reminders of one lead have come. */
struct ks_reminder_mark {
	int64_t ends_at;
	uint64_t key;
};
/** KS_NOT_FOUND: none of this lead went through this segment. */
KS_MUST_USE enum ks_err ks_store_reminder_get(struct ks_store *store, int64_t lead, uint64_t segment,
					      struct ks_reminder_mark *ret_mark);
KS_MUST_USE enum ks_err ks_store_reminder_put(struct ks_store *store, int64_t lead, uint64_t segment,
					      const struct ks_reminder_mark *mark);
/** Keys are in segments 0 to this one. */
KS_MUST_USE enum ks_err ks_store_last_segment(struct ks_store *store, uint64_t *ret_segment);
/** Keys of a segment that end after the mark and not after `until`, in that order, at most `limit`. By index. */
KS_MUST_USE enum ks_err ks_store_keys_expiring(struct ks_store *store, uint64_t segment,
					       const struct ks_reminder_mark *after, int64_t until, size_t limit,
					       ks_key_each *each, void *ctx);
/** Keys with ids in (first, last] that are neither ended nor rotated out at `now` and were not used, or made, after
 * `since`. */
KS_MUST_USE enum ks_err ks_store_keys_unused(struct ks_store *store, uint64_t first, uint64_t last, int64_t now,
					     int64_t since, ks_key_each *each, void *ctx);

enum ks_key_notice { KS_KEY_NOTICE_UNUSED, KS_KEY_NOTICE_DENIALS, KS_KEY_NOTICE_LEAKED };
/** When it was last told of the key; KS_NOT_FOUND: never. */
KS_MUST_USE enum ks_err ks_store_notice_get(struct ks_store *store, uint64_t key, enum ks_key_notice notice,
					    int64_t *ret_at);
KS_MUST_USE enum ks_err ks_store_notice_put(struct ks_store *store, uint64_t key, enum ks_key_notice notice,
					    int64_t at);

/** A network that a key was used from, and when last (as of the day). */
struct ks_network_row {
	struct ks_str network; /* "203.0.113.0/24" */
	int64_t at;
};
typedef enum ks_err ks_network_each(void *ctx, const struct ks_network_row *row);
KS_MUST_USE enum ks_err ks_store_networks(struct ks_store *store, uint64_t key, ks_network_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_network_put(struct ks_store *store, uint64_t key, const struct ks_network_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_network_delete(struct ks_store *store, uint64_t key, struct ks_str network);

/** Where the walk over all keys is: the last key that was looked at; 0: at the beginning. */
KS_MUST_USE enum ks_err ks_store_walk_get(struct ks_store *store, uint64_t *ret_key);
KS_MUST_USE enum ks_err ks_store_walk_put(struct ks_store *store, uint64_t key);
/** The last of the next `count` keys after `key`; 0: there is none. */
KS_MUST_USE enum ks_err ks_store_key_ahead(struct ks_store *store, uint64_t key, size_t count, uint64_t *ret_key);

/* ---- audit ---- */
struct ks_audit_row {
	uint64_t id;
	int64_t at;
	uint64_t organization; /* whose log it belongs to; 0: the operator's */
	uint64_t tenant;
	struct ks_str actor;     /* "key_…", "usr_…", "local", "system" */
	struct ks_str on_behalf; /* effective tenant where it is not the actor's own; may be empty */
	struct ks_str action;    /* "key.create" */
	struct ks_str object;    /* id text */
	struct ks_str outcome;   /* "ok" or a code */
	struct ks_str address;
	struct ks_str request_id;
	struct ks_str detail; /* JSON object, or empty */
	struct ks_str place;  /* what is told of the actor where its id may not be: "operator", "organization", … */
	/** The tree that it is a leaf of, where it has no organization: a partner's, or 0, the operator's. */
	uint64_t tree;
	/* Given on appending (audit_tree.h). */
	uint64_t position;
	struct ks_str salt;
	struct ks_str leaf;
};
typedef enum ks_err ks_audit_each(void *ctx, const struct ks_audit_row *row);
/** Append-only: the schema itself refuses to change or remove an entry. Ids rise. The entry becomes the last leaf of its
 * tree: one row more for every 256 of them, and no scan. KS_CONFLICT: the id is taken. KS_SYSTEM: no random numbers. */
KS_MUST_USE enum ks_err ks_store_audit_append(struct ks_store *store, const struct ks_audit_row *row);
struct ks_audit_filter {
	uint64_t organization; /* 0: any */
	uint64_t tenant;       /* 0: any */
	struct ks_str actor, action, address, outcome; /* empty: any */
	int64_t from, to; /* [from, to) of the time in the id, which never goes back; KS_TIME_NONE: open */
	uint64_t before;
	uint64_t after;   /* greater ids alone */
	bool oldest_first;
	bool has_tree;    /* of `tree` alone */
	uint64_t tree;
	size_t limit;
};
/** Newest first unless the filter says otherwise. Driven by the index of the actor, the address, an outcome that is not
 * "ok", the tenant, the tree or the action, or by id. */
KS_MUST_USE enum ks_err ks_store_audit(struct ks_store *store, const struct ks_audit_filter *filter,
				       ks_audit_each *each, void *ctx);

/* ---- events: what happened, for deliveries and lists ---- */
struct ks_event_row {
	uint64_t id; /* rises with every event; whoever follows them keeps the last one it has seen */
	int64_t at;
	struct ks_str type;    /* "key.created" */
	uint64_t organization; /* 0: none */
	uint64_t tenant;       /* 0: none */
	struct ks_str object;  /* id text; may be empty */
	struct ks_str data;    /* JSON object of at most KS_STORE_DETAIL_MAX bytes; never a secret */
};
typedef enum ks_err ks_event_each(void *ctx, const struct ks_event_row *row);
/** KS_CONFLICT: the id is taken. */
KS_MUST_USE enum ks_err ks_store_event_append(struct ks_store *store, const struct ks_event_row *row);
/** KS_NOT_FOUND: there is none, or it was forgotten. */
KS_MUST_USE enum ks_err ks_store_event_get(struct ks_store *store, uint64_t id, ks_event_each *each, void *ctx);
struct ks_event_filter {
	uint64_t organization; /* 0: any */
	uint64_t tenant;       /* 0: any */
	struct ks_str type;    /* empty: any */
	int64_t from, to;      /* [from, to) of the time in the id; KS_TIME_NONE: open */
	uint64_t before;       /* ids below; 0: from the newest */
	uint64_t after;        /* ids above; 0: from the oldest */
	bool oldest_first;
	size_t limit;
};
/** Newest first unless said. Driven by the index of the tenant, the organization or the type, or by id. */
KS_MUST_USE enum ks_err ks_store_events(struct ks_store *store, const struct ks_event_filter *filter,
					ks_event_each *each, void *ctx);
/** Forgets at most `limit` of those whose id is of before `before`, the oldest first. */
KS_MUST_USE enum ks_err ks_store_events_trim(struct ks_store *store, int64_t before, size_t limit,
					     uint64_t *ret_trimmed);

/** The least id that is given at `time` (ms) or later. Pure. */
uint64_t ks_store_first_id_at(int64_t time);

/* ---- keys of our own issuer ---- */
enum ks_issuer_key_state {
	KS_ISSUER_KEY_NEXT,      /* published, does not sign yet; one at most */
	KS_ISSUER_KEY_CURRENT,   /* signs; one at most */
	KS_ISSUER_KEY_RETIRED,   /* published until its last token has expired */
	KS_ISSUER_KEY_WITHDRAWN, /* forgotten */
	KS_ISSUER_KEY_STATE_COUNT
};

struct ks_issuer_key_row {
	uint64_t id;
	struct ks_str kid;
	struct ks_str algorithm;  /* "ES256" */
	struct ks_str public_jwk;
	struct ks_str sealed;     /* mask and private key (engine/issuer.c); empty once it is withdrawn */
	enum ks_issuer_key_state state;
	int64_t created_at;
	int64_t signs_from;       /* KS_TIME_NONE: has not signed yet */
	int64_t retired_at;       /* KS_TIME_NONE */
	int64_t withdrawn_at;     /* KS_TIME_NONE */
};
typedef enum ks_err ks_issuer_key_each(void *ctx, const struct ks_issuer_key_row *row);
/** KS_CONFLICT: the id or kid is taken, or another one is next or current. */
KS_MUST_USE enum ks_err ks_store_issuer_key_insert(struct ks_store *store, const struct ks_issuer_key_row *row);
/** Updates sealed, state and its times. A state never goes back: KS_NOT_FOUND then, and where there is no such key or it
 * is withdrawn. KS_CONFLICT: another one is current. */
KS_MUST_USE enum ks_err ks_store_issuer_key_update(struct ks_store *store, const struct ks_issuer_key_row *row);
/** Those that are not withdrawn, the oldest first. */
KS_MUST_USE enum ks_err ks_store_issuer_keys(struct ks_store *store, ks_issuer_key_each *each, void *ctx);

/* ---- idempotency ---- */
struct ks_idempotency_row {
	struct ks_str principal;
	struct ks_str key;
	struct ks_digest request; /* of method, path and body */
	int64_t created_at;
	int status;
	struct ks_str body; /* without any token */
};
typedef enum ks_err ks_idempotency_each(void *ctx, const struct ks_idempotency_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_idempotency_get(struct ks_store *store, struct ks_str principal, struct ks_str key,
						 ks_idempotency_each *each, void *ctx);
/** KS_CONFLICT: the principal has used the key. */
KS_MUST_USE enum ks_err ks_store_idempotency_put(struct ks_store *store, const struct ks_idempotency_row *row);
/** Forgets what was created before `before`. */
KS_MUST_USE enum ks_err ks_store_idempotency_trim(struct ks_store *store, int64_t before);

/* ---- people: how users prove who they are, and where they are logged in ---- */
struct ks_password_row {
	uint64_t user;
	int64_t changed_at;
	struct ks_str hash; /* with its salt and its costs */
};
typedef enum ks_err ks_password_each(void *ctx, const struct ks_password_row *row);
/** Makes it, or takes the place of the one before. */
KS_MUST_USE enum ks_err ks_store_password_put(struct ks_store *store, const struct ks_password_row *row);
/** KS_NOT_FOUND: the user has none. */
KS_MUST_USE enum ks_err ks_store_password_get(struct ks_store *store, uint64_t user, ks_password_each *each, void *ctx);

struct ks_invitation_row {
	uint64_t user;
	struct ks_digest digest; /* of the token */
	int64_t created_at;
	int64_t expires_at;
	struct ks_str created_by;
};
typedef enum ks_err ks_invitation_each(void *ctx, const struct ks_invitation_row *row);
/** Makes it, or takes the place of the one that the user had. */
KS_MUST_USE enum ks_err ks_store_invitation_put(struct ks_store *store, const struct ks_invitation_row *row);
/** Each KS_NOT_FOUND where there is none. */
KS_MUST_USE enum ks_err ks_store_invitation_get(struct ks_store *store, uint64_t user, ks_invitation_each *each,
						void *ctx);
KS_MUST_USE enum ks_err ks_store_invitation_by_digest(struct ks_store *store, const struct ks_digest *digest,
						      ks_invitation_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_invitation_delete(struct ks_store *store, uint64_t user);

struct ks_totp_row {
	uint64_t user;
	int64_t confirmed_at; /* KS_TIME_NONE: not yet, and not asked for */
	uint64_t last_step;   /* of the last code that was taken; 0: none was */
	struct ks_str sealed; /* the secret */
};
typedef enum ks_err ks_totp_each(void *ctx, const struct ks_totp_row *row);
/** Makes it, or takes the place of what the user had. */
KS_MUST_USE enum ks_err ks_store_totp_put(struct ks_store *store, const struct ks_totp_row *row);
KS_MUST_USE enum ks_err ks_store_totp_get(struct ks_store *store, uint64_t user, ks_totp_each *each, void *ctx);
/** Takes the code of a step. KS_NOT_FOUND: it, or a later one, was taken before. */
KS_MUST_USE enum ks_err ks_store_totp_used(struct ks_store *store, uint64_t user, uint64_t step);
KS_MUST_USE enum ks_err ks_store_totp_confirmed(struct ks_store *store, uint64_t user, int64_t at);
/** Recovery codes too. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_totp_delete(struct ks_store *store, uint64_t user);
KS_MUST_USE enum ks_err ks_store_recovery_put(struct ks_store *store, uint64_t user, const struct ks_digest *digest);
/** KS_NOT_FOUND: the user has no such code, or has used it. */
KS_MUST_USE enum ks_err ks_store_recovery_use(struct ks_store *store, uint64_t user, const struct ks_digest *digest);
KS_MUST_USE enum ks_err ks_store_recovery_clear(struct ks_store *store, uint64_t user);
KS_MUST_USE enum ks_err ks_store_recovery_left(struct ks_store *store, uint64_t user, uint64_t *ret_count);

/** How a session's user proved who it is. X(name, text) */
#define KS_SESSION_METHODS(X)               \
	X(PASSWORD, "password")             \
	X(PASSWORD_TOTP, "password+totp")   \
	X(PASSWORD_RECOVERY, "password+recovery_code") \
	X(OIDC, "oidc")

enum ks_session_method {
#define X(name, text) KS_SESSION_METHOD_##name,
	KS_SESSION_METHODS(X)
#undef X
	KS_SESSION_METHOD_COUNT
};

/** Never NULL, static. */
const char *ks_session_method_text(enum ks_session_method method);

struct ks_session_row {
	uint64_t id;
	struct ks_digest digest; /* of the cookie's token */
	uint64_t user;
	int64_t created_at;
	int64_t expires_at;
	int64_t ended_at; /* KS_TIME_NONE */
	enum ks_session_method method;
	struct ks_str address; /* at login; may be empty */
	struct ks_str agent;   /* User-Agent at login, cut; may be empty */
	/* joined from usage; ignored on writes */
	int64_t last_used_at;
	struct ks_str last_used_address;
};
typedef enum ks_err ks_session_each(void *ctx, const struct ks_session_row *row);
KS_MUST_USE enum ks_err ks_store_session_insert(struct ks_store *store, const struct ks_session_row *row);
/** KS_NOT_FOUND: there is none, or it was ended before. */
KS_MUST_USE enum ks_err ks_store_session_end(struct ks_store *store, uint64_t id, int64_t at);
/** Notes uses of a session (at most 2^32 - 1) and the last of them. Whether it exists is not asked. */
KS_MUST_USE enum ks_err ks_store_session_used(struct ks_store *store, uint64_t id, uint64_t uses, int64_t last_used_at,
					      struct ks_str last_used_address);
KS_MUST_USE enum ks_err ks_store_session_get(struct ks_store *store, uint64_t id, ks_session_each *each, void *ctx);
/** Those that are neither ended nor expired at `now_ms`, newest first. */
KS_MUST_USE enum ks_err ks_store_sessions_of_user(struct ks_store *store, uint64_t user, int64_t now_ms, uint64_t before,
						  size_t limit, ks_session_each *each, void *ctx);
/** The same of all users, in no order to rely on. */
KS_MUST_USE enum ks_err ks_store_sessions_live(struct ks_store *store, int64_t now_ms, ks_session_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_sessions_live_count(struct ks_store *store, int64_t now_ms, uint64_t *ret_count);
/** Of those, which began and were last used at `idle_since` or before; at most `limit`. */
KS_MUST_USE enum ks_err ks_store_sessions_idle(struct ks_store *store, int64_t now_ms, int64_t idle_since, size_t limit,
					       uint64_t *ret_ids, size_t *ret_count);
/** Forgets sessions, with their counts, that expired before `before`; at most `limit` (1024). */
KS_MUST_USE enum ks_err ks_store_sessions_forget(struct ks_store *store, int64_t before, size_t limit);

/* ---- sealing (engine/seal.h) ---- */
/** What was sealed first, to tell the master key from another; it exists as soon as anything sealed is kept. `each` gets
 * it; KS_NOT_FOUND: nothing was ever sealed. */
KS_MUST_USE enum ks_err ks_store_seal_check_get(struct ks_store *store,
						enum ks_err (*each)(void *ctx, struct ks_str sealed), void *ctx);
/** KS_CONFLICT: there is one. */
KS_MUST_USE enum ks_err ks_store_seal_check_put(struct ks_store *store, struct ks_str sealed);
/** Another in its place. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_seal_check_set(struct ks_store *store, struct ks_str sealed);

/** Where the service keeps what it sealed for itself: X(name, purpose that it is sealed for, with the row's id). */
#define KS_SEALED_TABLES(X)          \
	X(TOTP, "totp")              \
	X(ISSUER, "issuer_key")      \
	X(PROVIDER, "oidc_client")

enum ks_sealed_table {
#define X(name, purpose) KS_SEALED_##name,
	KS_SEALED_TABLES(X)
#undef X
	KS_SEALED_TABLE_COUNT
};
typedef enum ks_err ks_sealed_each(void *ctx, uint64_t id, struct ks_str sealed);

/** Rows with something sealed, by id, after `after`, at most `limit`. */
KS_MUST_USE enum ks_err ks_store_sealed_list(struct ks_store *store, enum ks_sealed_table table, uint64_t after, size_t limit,
					     ks_sealed_each *each, void *ctx);
/** The same secret, sealed anew. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_sealed_set(struct ks_store *store, enum ks_sealed_table table, uint64_t id,
					    struct ks_str sealed);

/* ---- backup ---- */
/** Copies a consistent snapshot of what was committed into a new file while writers go on (KS_CONFLICT: the file
 * exists; KS_NOT_FOUND: its folder does not); durable on return. It works over a connection of its own. `progress` (may
 * be NULL) gets pages done and in all. */
KS_MUST_USE enum ks_err ks_store_backup(struct ks_store *store, const char *path,
					void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx);
/** Checks that `path` is a whole store that this program can read (integrity check included), then puts it in the place
 * of `uri`, atomically and durably. Nothing may have `uri` open (KS_BUSY: a writer has, or `path` is a store that was
 * not closed). KS_CORRUPT, KS_VERSION, KS_NOT_FOUND, …: what was there is still there. The restored store's change
 * numbers jump ahead, so that every projection of the replaced one starts anew. */
KS_MUST_USE enum ks_err ks_store_restore(const char *path, const char *uri);
