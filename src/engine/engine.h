/* SPDX-License-Identifier: Apache-2.0 */
/** The service without its transports: the truth, its projection, and the one thread that writes both. Every change is
 * a job; jobs that wait at the same time share one durable commit; after the commit the projection is brought up to
 * date, and only then the job is done. */
#pragma once

#include "decision/decision.h"
#include "keeper/keeper.h"
#include "ringmap/ringmap.h"
#include "store/store.h"

struct ks_engine;

/** Tells what happens inside, for the log. `level`: 0 debug, 1 info, 2 warning, 3 error. `event` is a static word;
 * `text` ends with the call. Never a secret. */
typedef void ks_engine_log(void *ctx, int level, const char *event, const char *text);

#define KS_ENGINE_AUDIENCES_MAX 31
#define KS_ENGINE_ISSUER_NAME_SIZE 256

/** Our own issuer of JWTs (engine/issuer.h). */
struct ks_engine_issuer {
	char name[KS_ENGINE_ISSUER_NAME_SIZE]; /* `iss`, a URL without query; empty: there is no issuer */
	/** What tokens may be for besides the service itself, whose audience is the name. */
	const char *audiences[KS_ENGINE_AUDIENCES_MAX];
	size_t audience_count;
	const char *algorithm;             /* of new keys: "ES256" (NULL too) or "EdDSA" */
	int64_t rotate_ms;                 /* a key signs this long; 0: until somebody rotates */
	int64_t publish_ms;                /* a key is published this long before it signs */
	bool make_keys;                    /* make a first key, and rotate when it is time: a service does */
};

/** What is told as an event before anybody asks. All of it is off where it is zero. */
#define KS_NOTICE_LEADS_MAX 16
struct ks_notice_options {
	int64_t leads_ms[KS_NOTICE_LEADS_MAX]; /* a key's end is told of so long before; the longest first, no two equal */
	size_t lead_count;
	int64_t unused_ms;                 /* so long without use is long */
	bool networks;                     /* tell of networks that a key was not used from before */
	uint64_t denials;                  /* so many refusals of one key … */
	int64_t denials_ms;                /* … within this time are a burst; whole minutes */
	uint64_t unknown;                  /* so many unknown credentials within the same time are one too */
	/** How many unknown credentials there were since the process began. Any thread. */
	uint64_t (*unknown_total)(void *ctx);
	void *ctx;
};

/** What is done with a key whose token was reported as leaked: X(name, text). */
#define KS_LEAK_ACTIONS(X)   \
	X(ALERT, "alert")    \
	X(ROTATE, "rotate")  \
	X(REVOKE, "revoke")

enum ks_leak_action {
#define X(name, text) KS_LEAK_##name,
	KS_LEAK_ACTIONS(X)
#undef X
	KS_LEAK_ACTION_COUNT
};
/** False: none of these texts. */
KS_MUST_USE bool ks_leak_action_parse(struct ks_str text, enum ks_leak_action *ret_action);

struct ks_vault_openers;

/** The vault (engine/vault.h). */
struct ks_vault_options {
	const struct ks_vault_openers *openers; /* copied; NULL: no provider can be made or read */
	bool direct_write;           /* secret fields may be set by value by whoever may write providers */
	int64_t lease_ms;            /* of a lease where no other time is asked for; 0: an hour */
	int64_t drain_max_ms;        /* a replaced set is erased at the latest so long after; 0: 24 hours */
	int64_t rollback_window_ms;  /* so long after a promotion failures undo it, and what it replaced is kept; 0: 15 min */
	uint64_t rollback_failures;  /* so many failed calls, more than half of those reported, undo it; 0: 3 */
};

struct ks_engine_options {
	const char *data_directory;
	const char *store_uri;             /* NULL: sqlite:<data>/keystile.db */
	/** NULL: a directory of this data directory's own under /dev/shm where that has room, else <data>/ring-files;
	 * <data>/ring links to the one in use. */
	const char *ring_directory;
	int64_t ring_group;                /* gid or -1 */
	bool prefault;                     /* map all of the ring at once, so that no write waits for a page fault */
	const char *domain;                /* of space URLs; may be empty */
	const char *policy_path;           /* platform policy; NULL: none, every platform route is unknown */
	const char *platforms_path;        /* folder of the platform files that come with the service; NULL: none */
	const char *platforms_own_path;    /* folder of the operator's own; NULL: none */
	struct ks_str self_policy; /* YAML of our own API; its scopes alone begin with "keystile:"; empty: none */
	const char *prefix_live;           /* of new tokens */
	const char *prefix_sandbox;
	bool checksum;                     /* new tokens carry one */
	struct ks_engine_issuer issuer;
	unsigned usage_flush_ms;           /* at most this long until counted uses are in the truth */
	bool audit_key;                    /* make the key that signs checkpoints of the audit where there is none */
	int64_t audit_checkpoint_ms;       /* checkpoints of the audit are signed this often; 0: on demand alone */
	unsigned events_keep_days;         /* events are forgotten after so long; 0: 30 */
	unsigned inbound_keep_days;        /* webhooks that were received are forgotten after so long; 0: 30 */
	struct ks_notice_options notice;
	int64_t session_idle_ms;           /* a session not used for so long ends; 0: 30 minutes */
	int64_t session_lifetime_ms;       /* it ends in any case; 0: 12 hours */
	int64_t invitation_ms;             /* how long one can be accepted; 0: 7 days */
	uint64_t link_attempts;            /* so many refused values close an intake link; 0: 10 */
	enum ks_leak_action leak_action;
	struct ks_vault_options vault;
	int64_t leak_overlap_ms;           /* KS_LEAK_ROTATE: how long the key goes on */
	/** What wraps keys; the engine fills in directory, may_create and log. */
	struct ks_keeper_options keeper;
	bool create;                       /* make a store where there is none */
	bool rebuild_ring;                 /* do not take over an existing ring */
	void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t all); /* long work; may be NULL */
	void *progress_ctx;
	ks_engine_log *log;
	void *log_ctx;
};

/** What an open that failed has to say to a person. */
struct ks_engine_problem {
	char text[512];
};

/** Opens (KS_BUSY: another daemon or command has this data directory; KS_NOT_FOUND: no store and `create` is false;
 * KS_FORBIDDEN: others may write to the data directory; KS_VERSION, KS_CORRUPT, KS_MALFORMED: policy or option, with
 * the text in *ret_problem), makes the operator's tenant where there is none, brings the ring up to the truth, puts the
 * policies in force and starts the writer and usage threads. What `options` points to is copied (not the contexts). */
KS_MUST_USE enum ks_err ks_engine_open(const struct ks_engine_options *options, struct ks_engine **ret_engine,
				       struct ks_engine_problem *ret_problem);
/** Finishes the jobs that were submitted, flushes usage, closes. Takes NULL. */
void ks_engine_close(struct ks_engine **engine);

/** True while the truth holds no key at all: the operator's first one (ks_engine_first_key, keys.h) is still to be
 * made. Any thread. */
bool ks_engine_is_fresh(const struct ks_engine *engine);

/** The options in force: the engine's copy, with what was left open filled in. */
const struct ks_engine_options *ks_engine_options(const struct ks_engine *engine);
/** The directory that holds the ring's files, absolute. Lives as long as the engine. */
const char *ks_engine_ring_directory(const struct ks_engine *engine);

/** Reads the policy file anew; KS_MALFORMED (problem filled) and the old one stays. Any thread. */
KS_MUST_USE enum ks_err ks_engine_reload_policy(struct ks_engine *engine, struct ks_engine_problem *ret_problem);

/** The catalogues in force, counted: give back with ks_engine_policy_release. Both may be NULL (none configured). */
struct ks_engine_policy {
	const struct ks_policy *platform;
	const struct ks_policy *self;
	uint64_t epoch;
	struct ks_engine_policy_ref *ref;
};
struct ks_engine_policy ks_engine_policy(struct ks_engine *engine);
void ks_engine_policy_release(struct ks_engine_policy *policy);

/* ---- reading ---- */

/** A thread's own way to read: the ring and a reading connection to the store. Not thread-safe; one a thread. */
struct ks_engine_reader {
	struct ks_ringmap_reader *ring;
	struct ks_store *store;
};
/** KS_NOT_FOUND, KS_CORRUPT, KS_STORE, KS_MEMORY as of the two that are opened. Any thread. */
KS_MUST_USE enum ks_err ks_engine_reader_open(struct ks_engine *engine, struct ks_engine_reader *ret_reader);
void ks_engine_reader_close(struct ks_engine_reader *reader);

/* ---- writing ---- */

/** Why a change was refused, for the caller: a code of api/problem.def and, for bad input, where. */
struct ks_refusal {
	const char *code;        /* static; NULL: the error alone says it */
	char pointer[128];       /* JSON pointer, or empty */
	char detail[256];
};

/** What a job works with. Everything it writes is in one transaction with its change and audit entries, or nothing. */
struct ks_tx {
	struct ks_engine *engine;
	struct ks_store *store;
	const struct ks_ring *ring;   /* the projection before this transaction: what earlier ones did is in it */
	int64_t now_ms;
};

/** A new id: greater than every one before it in this store. */
uint64_t ks_tx_id(struct ks_tx *tx);

/** Appends to the change log of this transaction; the projection applies it once the transaction is durable. */
KS_MUST_USE enum ks_err ks_tx_change(struct ks_tx *tx, enum ks_change_kind kind, uint64_t object, uint64_t object_end);

/** Asks that `keys` more keys will fit into the projection, making it larger where they would not. What creates calls
 * it before it writes. KS_DISK_FULL, KS_FULL: it must not create; what only takes away goes on. */
KS_MUST_USE enum ks_err ks_tx_room(struct ks_tx *tx, uint64_t keys);

struct ks_job {
	/** Runs on the writer thread within a savepoint; anything but KS_OK undoes what it wrote (and nothing else). Where
	 * the job has promised to refuse first and fails with something written, its whole transaction is undone.
	 * May fill `refusal`. */
	enum ks_err (*run)(struct ks_job *job, struct ks_tx *tx);
	/** Runs on the writer thread when the outcome is final: durable and visible to every reader of the ring, or
	 * undone. The job may be freed by it. */
	void (*done)(struct ks_job *job);
	void *ctx;
	enum ks_err err;
	struct ks_refusal refusal;
	bool bulk;               /* takes long: runs in a transaction of its own */
	bool refuses_first;      /* refuses before it writes, or not at all: it runs without a savepoint, which costs a fifth of it */
	bool proven;             /* bulk: it has looked up all that its rows refer to (ks_store_begin_proven) */
	/* the engine's */
	bool apart;              /* runs outside of any transaction; tx->store may be read */
	bool changed;            /* appended to the change log */
	struct ks_waiter *waiter;
	struct ks_job *next;
};

#define KS_ENGINE_QUEUE_MAX 65536 /* jobs waiting */
#define KS_ENGINE_BATCH_MAX 1000  /* jobs sharing a commit */

/** Queues a job. KS_STOPPING or KS_FULL (too many are waiting: answer 503): `done` is then not called. Any thread; does
 * not block. A job whose own `run` fails is undone alone; where the store itself fails (KS_DISK_FULL, KS_STORE,
 * KS_BUSY, KS_CORRUPT), all jobs of the transaction fail with that error. KS_STORE can also mean that a change is
 * durable but could not be projected: nothing else is accepted until it is. */
KS_MUST_USE enum ks_err ks_engine_submit(struct ks_engine *engine, struct ks_job *job);

/** Submits and waits; returns job->err. `done` must be NULL. Not on the writer thread. */
enum ks_err ks_engine_run(struct ks_engine *engine, struct ks_job *job);

/** Told on the writer's thread after a commit that wrote events or made deliveries due; must not block nor call the engine. */
typedef void ks_engine_watch_fn(void *ctx);
/** One at a time; NULL: nobody. Once it returns, the one before is not called any more. Any thread. */
void ks_engine_watch(struct ks_engine *engine, ks_engine_watch_fn *watch, void *ctx);

/* ---- operations ---- */
/** What is counted of the vault where it becomes durable: X(name, label of its metric). The first ones as
 * KS_SET_REASONS. */
#define KS_VAULT_TALLIES(X)               \
	X(SET_PROMOTED, "promoted")       \
	X(SET_FORCED, "forced")           \
	X(SET_ROLLED_BACK, "rolled_back") \
	X(SET_FAILING, "failing")         \
	X(VERSION_HELD, "held")           \
	X(VERSION_REFERENCE, "reference") \
	X(LEASE_BEGUN, "begun")           \
	X(LEASE_EXTENDED, "extended")     \
	X(LEASE_RELEASED, "released")     \
	X(CALL_OK, "ok")                  \
	X(CALL_FAILED, "failed")          \
	X(LINK_CREATED, "created")        \
	X(LINK_USED, "used")              \
	X(LINK_CANCELLED, "cancelled")    \
	X(LINK_EXPIRED, "expired")        \
	X(LINK_CLOSED, "closed")

enum ks_vault_tally {
#define X(name, label) KS_VAULT_TALLY_##name,
	KS_VAULT_TALLIES(X)
#undef X
	KS_VAULT_TALLY_COUNT
};

struct ks_engine_stats {
	uint64_t vault[KS_VAULT_TALLY_COUNT];
	uint64_t keys, keys_revoked, tenants, users, grants;
	uint64_t key_slots, ring_bytes, usage_bytes, generation, position;
	uint64_t commits, jobs, jobs_failed, jobs_waiting;
	uint64_t rebuilds, growths, usage_flushed, usage_lost;
	uint64_t events;
	uint64_t audit_checkpoints;   /* signed on schedule */
	uint64_t commit_ns_total;
	bool ready;                   /* the ring is whole and at the truth's last change */
	const char *work;             /* long work under way: "keys" (a rebuild), "check", "backup", "replay", "audit"; NULL: none */
	uint64_t work_done, work_all;
};
/** As of the last commit. Any thread. */
void ks_engine_stats(struct ks_engine *engine, struct ks_engine_stats *ret_stats);

/** Builds the ring anew from the truth while decisions go on with the old one; changes wait. */
KS_MUST_USE enum ks_err ks_engine_rebuild(struct ks_engine *engine);

/** Brings the uses counted before the call into the truth; waits for it. Any thread but the writer's. */
KS_MUST_USE enum ks_err ks_engine_flush_usage(struct ks_engine *engine);

/** How the ring compares with the truth. */
struct ks_engine_report {
	uint64_t keys, tenants, users, memberships, grants, sessions;  /* compared; sessions that are live */
	uint64_t differences;
	char first[256];              /* the first difference, for a person; empty: none */
};
/** Compares every key, tenant, user and grant of the truth with the ring, and their numbers, so that nothing is
 * missing, different or too much. Changes wait meanwhile. KS_OK where it could be compared, whatever it found. Any
 * thread but the writer's. */
KS_MUST_USE enum ks_err ks_engine_check(struct ks_engine *engine, struct ks_engine_report *ret_report);

/** Consistent copy of the truth into a new file, online. KS_CONFLICT: the file exists. Any thread. */
KS_MUST_USE enum ks_err ks_engine_backup(struct ks_engine *engine, const char *path);

/** Puts the backup at `path` in the place of the truth of `options`, atomically; nothing may have it open (KS_BUSY).
 * The store as it was stays where the backup is not whole, not ours or too new. The next open makes the ring anew. */
KS_MUST_USE enum ks_err ks_engine_restore(const struct ks_engine_options *options, const char *path,
					  struct ks_engine_problem *ret_problem);
