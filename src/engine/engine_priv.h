/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the engine: its state, who may touch which part of it, and what its files do for each other. */
#pragma once

#include <limits.h>
#include <pthread.h>

#include "base/secret.h"
#include "engine/audit.h"
#include "platform/platform.h"
#include "engine/engine.h"
#include "engine/keys.h"
#include "engine/notices.h"
#include "engine/tenants.h"
#include "engine/usage_journal.h"
#include "engine/vault.h"

#define KS_SQLITE_SCHEME "sqlite:"
#define KS_GRANT_BODY_MAX 65536  /* bytes of a grant's canonical JSON: 512 scopes, 16 roles, 64 ranges fit */

/** The catalogues of one epoch. */
struct ks_engine_policy_ref {
	_Atomic unsigned refs;
	struct ks_policy *platform;  /* may be NULL */
	struct ks_policy *self;      /* may be NULL */
	uint64_t epoch;
};

/** A thread that waits for a job (ks_engine_run). */
struct ks_waiter {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool finished;
};

struct ks_endpoint_known;

/** The endpoints as the writer keeps them in mind (engine/endpoint_set.h): those that are active or paused, in the order of
 * tenants and ids. */
struct ks_endpoint_set {
	uint64_t version;            /* changes up to this one are in it */
	size_t count, cap;
	struct ks_endpoint_known *items;
};

/** What the transaction under way has said so far. The writer's. */
struct ks_tx_log {
	struct ks_change *changes;   /* to project once they are durable */
	size_t change_count, change_cap;
	struct ks_key_core *cores;   /* of each change: the key as it is then; id 0: the store tells */
	size_t core_cap;
	uint64_t *gone;              /* tenants deleted: the projection does not know yet */
	size_t gone_count, gone_cap;
	size_t event_count;          /* written */
	uint64_t last_event;         /* that was written */
	uint64_t ids_before;         /* the last id before this transaction */
	bool delivers;               /* there is something for whoever delivers, even without an event */
	struct ks_tx_forgotten {
		uint64_t organization, number;
	} *forgotten;                /* keys that are erased: the keeper is told once that is durable */
	size_t forgotten_count, forgotten_cap;
	uint32_t vault[KS_VAULT_TALLY_COUNT];
	const struct ks_key_core *range; /* what the transaction's one range of keys holds; NULL: the store tells */
	size_t range_count;
};

/** Where a transaction's log stood when a job began. */
struct ks_tx_mark {
	size_t changes;
	size_t gone;
	size_t events;
	size_t forgotten;
	uint32_t vault[KS_VAULT_TALLY_COUNT];
};

#define KS_USE_MEMOS 65536u

/** A use that needs no second look: of this key, from this network, on this day. */
struct ks_use_memo {
	uint64_t key;
	uint64_t network;
	int64_t day;
};

struct ks_usage_state {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;        /* guards the five below */
	pthread_cond_t wake;         /* to the thread: asked or stopping */
	pthread_cond_t done;         /* from the thread: answered has risen */
	uint64_t asked, answered;
	enum ks_err last_err;
	bool stopping;
	/* the thread's */
	struct ks_usage_journal journal; /* what was taken out of the counters and is not in the truth yet */
	size_t written;              /* entries of its batch, summed up, that are */
	struct ks_usage_entry *entries; /* that batch, summed up; KS_USAGE_JOURNAL_MAX */
	size_t entry_count;
	struct ks_use_memo *memos;   /* KS_USE_MEMOS; NULL where nothing is noticed. Read by its jobs */
	struct ks_notice_unknown unknown;
	int64_t next_links_ms;
	int64_t next_chores_ms;
	int64_t next_ends_ms;
	int64_t next_sweep_ms;
	int64_t next_tend_ms;
	uint64_t lost_generation;    /* the generation that the next two are of, and counts lost by those before it */
	uint64_t lost_here, lost_before;
};

struct ks_issuer_set;

/** Our own issuer. */
struct ks_issuer_state {
	pthread_mutex_t lock;                   /* guards `set` */
	struct ks_issuer_set *set;
	_Atomic int64_t again_ms;               /* what is due waits until then: it was just tried */
	_Atomic uint64_t minted, failed;
};

struct ks_engine {
	struct ks_engine_options options;       /* strings are ours */
	struct ks_engine_policy_ref *policy;    /* policy_lock */
	struct ks_platform_registry *platforms; /* policy_lock */
	pthread_mutex_t policy_lock;

	char *data_directory;                   /* absolute */
	char *store_uri;
	char *ring_directory;
	int lock_fd;
	struct ks_keeper *keeper;               /* thread-safe */
	struct ks_engine_seal *seal;
	uint8_t store_id[16];

	pthread_mutex_t queue_lock;             /* the queue */
	pthread_cond_t queue_wake;
	struct ks_job *queue_head, **queue_tail;
	size_t queue_count;
	bool stopping;
	pthread_t writer;
	bool writer_started;

	/* The writer thread's alone, and the opening thread's before that one runs. */
	struct ks_store *store;
	struct ks_ringmap_writer *ringmap;
	struct ks_id_source ids;
	uint32_t id_random[64];                 /* fetched ahead, one system call for many ids */
	size_t id_random_left;
	struct ks_tx_log log;
	uint64_t commit_ns;                     /* how long the last commit took */
	size_t callers;                         /* of the last batch, and those who came until it was durable */
	uint64_t last_change;                   /* of the truth, durable */
	uint64_t trimmed_to;                    /* change-log entries up to here are forgotten */
	bool behind;                            /* the truth may have more than the ring: first catch up */
	int64_t grow_again_ms;                  /* growth failed: not before */
	struct ks_ring_membership_record *memberships; /* KS_RING_MEMBERSHIPS_MAX, scratch */
	char *grant_body;                       /* KS_GRANT_BODY_MAX, scratch of a job */

	/** Held to change which generations are mapped (writer), and to read them from another thread (usage). */
	pthread_mutex_t ring_lock;
	bool ring_fresh;                        /* it was not taken over when the engine was opened */
	int64_t previous_since_ms;              /* when the previous generation became that */
	struct ks_usage_state usage;

	struct ks_issuer_state issuer;
	struct ks_audit_signer *audit_signer;   /* read alone, once it is there */
	int64_t audit_next_ms;                  /* the usage thread's: checkpoints are due */
	struct ks_vault_openers openers;        /* of the options */
	int64_t vault_drained_to;               /* the writer's: where the next look at replaced sets begins … */
	uint64_t vault_forgot_to;               /* … and that at leases, 0: at the first … */
	int64_t vault_forgets_ms;               /* … which is not before */

	struct ks_endpoint_set endpoints;       /* the writer's */
	uint64_t handed_out;                    /* the writer's: events up to this one are handed out; the store's cursor may be behind … */
	uint64_t handed_quietly;                /* … by so many that nobody listened to */

	pthread_mutex_t stats_lock;             /* guards the three below */
	struct ks_engine_stats stats;
	ks_engine_watch_fn *watch;
	void *watch_ctx;
	_Atomic uint64_t keys_known;            /* of the truth, for ks_engine_is_fresh */
	_Atomic uint64_t vault_epoch;           /* commits that erased keys of organizations or wrapped them anew */
	struct ks_vault_cache *vault_cache;     /* thread-safe */
};

/** Wall-clock milliseconds, and a clock that never goes back in nanoseconds. */
int64_t ks_engine_now_ms(void);
uint64_t ks_engine_tick_ns(void);

/** Logs, where the options have a log. Never a secret. */
void ks_engine_say(const struct ks_engine *engine, int level, const char *event, const char *fmt, ...) KS_PRINTF(4, 5);
/** Tells how far long work has come; done == all ends it. Takes stats_lock. */
void ks_engine_progress(struct ks_engine *engine, const char *what, uint64_t done, uint64_t all);
/** Work that failed on its way is none any more. Takes stats_lock. */
void ks_engine_work_end(struct ks_engine *engine);

/** Fills *problem and returns `err`. */
enum ks_err ks_engine_problem(struct ks_engine_problem *problem, enum ks_err err, const char *fmt, ...) KS_PRINTF(3, 4);

/** Fills *refusal and returns `err`. `pointer` may be empty. */
enum ks_err ks_refuse(struct ks_refusal *refusal, enum ks_err err, const char *code, const char *pointer,
		      const char *fmt, ...) KS_PRINTF(5, 6);
/** The usual one: KS_MALFORMED, code "invalid". */
#define ks_refuse_invalid(refusal, pointer, ...) ks_refuse(refusal, KS_MALFORMED, "invalid", pointer, __VA_ARGS__)
/** Whatever the actor does not see. */
enum ks_err ks_refuse_tenant(struct ks_refusal *refusal, const char *pointer);

/* ---- place.c: the data directory and where the ring stands ---- */
KS_MUST_USE enum ks_err ks_place_claim(struct ks_engine *engine, struct ks_engine_problem *ret_problem);
void ks_place_release(struct ks_engine *engine);
/** Finds engine->store_uri; after the claim. */
KS_MUST_USE enum ks_err ks_place_store(struct ks_engine *engine);
/** The directory for a ring of `size` bytes with its counters; heap. */
KS_MUST_USE enum ks_err ks_place_ring(const struct ks_engine *engine, uint64_t size, char **ret_directory);
/** The one within the data directory, for when the other cannot be had; heap. */
KS_MUST_USE enum ks_err ks_place_ring_fallback(const struct ks_engine *engine, char **ret_directory);
/** The directory that <data>/ring named until now; empty: none. */
void ks_place_linked(const struct ks_engine *engine, char ret_directory[PATH_MAX]);
/** <data>/ring names engine->ring_directory from now on. */
KS_MUST_USE enum ks_err ks_place_link(const struct ks_engine *engine);

/* ---- seal.c ---- */
/* The service's own key, wrapped; what the row seal_check says. */
struct ks_engine_seal {
	pthread_mutex_t lock;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	size_t wrapped_n;
	_Atomic bool rewrapping;
	_Atomic uint64_t rewrapped;     /* by the run under way, or the last one */
};
#define KS_SEAL_GENERATION 1
/** Starts the keeper; the store is open. Errors of ks_keeper_start; KS_CORRUPT: its root is not the one that sealed. */
KS_MUST_USE enum ks_err ks_engine_keeper_open(struct ks_engine *engine, struct ks_engine_problem *ret_problem);
void ks_engine_keeper_close(struct ks_engine *engine);

/* ---- audit_log.c ---- */
/** Makes leaves of entries of earlier versions, some at a time: what is done stays done. Before anything is appended. */
KS_MUST_USE enum ks_err ks_audit_build(struct ks_engine *engine, struct ks_engine_problem *problem);
/** Reads the key that signs checkpoints, or makes it. After the master key. */
KS_MUST_USE enum ks_err ks_audit_open(struct ks_engine *engine);
void ks_audit_close(struct ks_engine *engine);
/** Signs checkpoints of the trees that have grown, where it is time, and tells of them. Any thread but the writer's. */
void ks_audit_tend(struct ks_engine *engine);
/* ---- vault.c ---- */
/** Fills in what was left open. While opening. */
void ks_vault_defaults(struct ks_vault_options *options);

/* ---- writer.c ---- */
KS_MUST_USE enum ks_err ks_writer_start(struct ks_engine *engine);
/** Finishes what is queued and ends the thread. */
void ks_writer_stop(struct ks_engine *engine);
bool ks_tx_is_gone(const struct ks_tx *tx, uint64_t tenant);
/** Remembers a tenant that this transaction deletes. */
KS_MUST_USE enum ks_err ks_tx_gone(struct ks_tx *tx, uint64_t tenant);
/** Remembers an organization's key that this transaction erases. */
KS_MUST_USE enum ks_err ks_tx_forget_key(struct ks_tx *tx, uint64_t organization, uint64_t number);
/** Counts it, if this transaction becomes durable. */
void ks_tx_tally(struct ks_tx *tx, enum ks_vault_tally tally);
/** vault_read.c: such a change is durable: ks_vault_epoch rises, and what was kept in memory is wiped. Any thread. */
void ks_vault_next_epoch(struct ks_engine *engine);
/** vault_keeper.c: that is durable: nobody opens anything with it any more. Does not wait. */
void ks_vault_forget_key(struct ks_engine *engine, uint64_t organization, uint64_t number);

/** Appends the change of a key that now is as `row` says, so that the projection need not read it back. */
KS_MUST_USE enum ks_err ks_tx_change_key(struct ks_tx *tx, const struct ks_key_row *row);

/** Appends one change for consecutive new keys; `cores` (at least one, ids ascending) stay as they are until the
 * transaction is over, so that the projection need not read them back. One such range a transaction. */
KS_MUST_USE enum ks_err ks_tx_change_range(struct ks_tx *tx, const struct ks_key_core *cores, size_t count);
/** Copies the ring's numbers for ks_engine_stats. The writer's. */
void ks_writer_note_ring(struct ks_engine *engine);

/* ---- projector.c: from rows of the truth to records of the ring; the writer's ---- */
/** Brings what one change is about into the ring, as the truth says it now. Makes the ring larger where it must. */
KS_MUST_USE enum ks_err ks_project(struct ks_engine *engine, const struct ks_change *change,
				   const struct ks_key_core *core);
/** Applies the change log from the ring's position to its end. KS_CONFLICT: the log does not reach back that far, or
 * the ring is ahead of it: rebuild. */
KS_MUST_USE enum ks_err ks_project_rest(struct ks_engine *engine);
/** Makes the next generation, with room for `keys` more. */
KS_MUST_USE enum ks_err ks_project_grow(struct ks_engine *engine, uint64_t keys, uint64_t arena_bytes);
/** Parts of it, into a ring that is given (a rebuild's): KS_FULL is left to the caller. */
KS_MUST_USE enum ks_err ks_project_tenant(struct ks_ring *ring, const struct ks_tenant_row *row);
KS_MUST_USE enum ks_err ks_project_user(struct ks_engine *engine, struct ks_store *store, struct ks_ring *ring,
					uint64_t id, bool disabled, bool with_memberships);
KS_MUST_USE enum ks_err ks_project_grant(struct ks_engine *engine, struct ks_ring *ring,
					 const struct ks_grant_row *row);
KS_MUST_USE enum ks_err ks_project_session(struct ks_ring *ring, const struct ks_session_row *row);
KS_MUST_USE enum ks_err ks_project_cores(struct ks_ring *ring, const struct ks_key_core *cores, size_t count);
/** True if a member with this role sees what is below the tenant. */
bool ks_role_reaches_below(struct ks_str role);

/* ---- rebuild.c ---- */
/** A next generation from the truth, in force at the end. Writer, or while opening. */
KS_MUST_USE enum ks_err ks_rebuild_ring(struct ks_engine *engine);
/** Fills the generation that a fresh open made, and puts it in force. While opening. */
KS_MUST_USE enum ks_err ks_rebuild_fresh(struct ks_engine *engine);
/** A geometry for the truth as it is, `factor` times as large. */
KS_MUST_USE enum ks_err ks_rebuild_plan(struct ks_engine *engine, unsigned factor,
					struct ks_ring_geometry *ret_geometry);

/* ---- platforms.c ---- */

KS_MUST_USE enum ks_err ks_platforms_load(const struct ks_engine_options *options, struct ks_platform_registry **ret_registry,
					  struct ks_engine_problem *ret_problem);

/* ---- policy.c ---- */

/* The file's text on the heap; a file of more than `most` bytes is not read to its end: KS_MALFORMED. */
KS_MUST_USE enum ks_err ks_engine_read_file(const char *path, size_t most, char **ret_text, size_t *ret_n,
					    struct ks_engine_problem *ret_problem);
KS_MUST_USE enum ks_err ks_catalogue_load(const struct ks_engine_options *options, uint64_t epoch,
					  struct ks_engine_policy_ref **ret_ref, struct ks_engine_problem *ret_problem);
void ks_catalogue_release(struct ks_engine_policy_ref *ref);
/** Puts the catalogues into the ring and in force. KS_FULL: no room in the ring's arena; KS_TOO_LARGE: more scopes than
 * the ring has numbers for. Writer, or while opening. */
KS_MUST_USE enum ks_err ks_catalogue_publish(const struct ks_engine_policy_ref *ref, struct ks_ring *ring);
/** The same into the current generation, made larger where needed. */
KS_MUST_USE enum ks_err ks_catalogue_publish_current(struct ks_engine *engine, const struct ks_engine_policy_ref *ref);
/** The scope of either catalogue; NULL. */
const struct ks_policy_scope *ks_catalogue_scope(const struct ks_engine_policy *policy, struct ks_str name);

/* ---- issuer.c, issuer_rotate.c ---- */
/** Reads the keys, makes a first one where there is none, does what is due. After the master key, before the ring. */
KS_MUST_USE enum ks_err ks_issuer_open(struct ks_engine *engine);
void ks_issuer_close(struct ks_engine *engine);
/** Reads the keys anew, after a change of them, and puts them into the ring. Writer, or while opening. */
KS_MUST_USE enum ks_err ks_issuer_reload(struct ks_engine *engine, struct ks_ring *ring);
/** Puts the keys that were read last into a ring. KS_FULL. Writer, or while opening. */
KS_MUST_USE enum ks_err ks_issuer_publish(struct ks_engine *engine, struct ks_ring *ring);
/** The same into the current generation, made larger where needed. */
KS_MUST_USE enum ks_err ks_issuer_publish_current(struct ks_engine *engine);
/** Does what is due by the clock, as a job. Any thread but the writer's. */
void ks_issuer_tend(struct ks_engine *engine);

/* ---- usage.c ---- */
KS_MUST_USE enum ks_err ks_usage_start(struct ks_engine *engine);
/** Flushes a last time and ends the thread. The writer must still run. */
void ks_usage_stop(struct ks_engine *engine);
