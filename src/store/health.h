/* SPDX-License-Identifier: Apache-2.0 */
/** The part of the truth about providers' health: how each is, when it is probed next, and how it was. Rules and errors
 * are those of store/store.h. */
#pragma once

#include "store/store.h"

#define KS_STORE_HEALTH_FIELDS_MAX 8192 /* bytes of the lines about fields */
#define KS_STORE_HEALTH_DETAIL_MAX 255

/** X(name, text) */
#define KS_HEALTH_STATUSES(X)    \
	X(HEALTHY, "healthy")    \
	X(DEGRADED, "degraded")  \
	X(FAILING, "failing")    \
	X(UNKNOWN, "unknown")

enum ks_health_status {
#define X(name, text) KS_HEALTH_##name,
	KS_HEALTH_STATUSES(X)
#undef X
	KS_HEALTH_STATUS_COUNT
};
/** Static. */
const char *ks_health_status_text(enum ks_health_status status);
KS_MUST_USE bool ks_health_status_parse(struct ks_str text, enum ks_health_status *ret_status);

struct ks_health_row {
	uint64_t provider, organization, tenant;
	enum ks_health_status status;
	enum ks_health_status told; /* last told as an event */
	int64_t since;      /* of the status */
	int64_t checked_at; /* KS_TIME_NONE: never */
	int64_t due_at;     /* next probe; KS_TIME_NONE: none */
	uint64_t failures;  /* in a row, that may pass by themselves */
	uint64_t set;       /* that was probed; 0: none */
	uint64_t reads;     /* openings of `read_set` since `read_at` */
	uint64_t read_set;
	int64_t read_at;    /* KS_TIME_NONE */
	int64_t error_at;   /* last probe that did not find it healthy; KS_TIME_NONE */
	struct ks_str code, detail;
	struct ks_str error_code;
	struct ks_str fields; /* a line each: name, status, code, since, with blanks between and a line feed behind */
};
typedef enum ks_err ks_health_each(void *ctx, const struct ks_health_row *row);

/** Inserts or replaces. KS_NOT_FOUND: there is no such provider. */
KS_MUST_USE enum ks_err ks_store_health_put(struct ks_store *store, const struct ks_health_row *row);
/** Updates checked_at, due_at, failures, reads, read_set, read_at and error_at: where nothing else has changed. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_health_seen(struct ks_store *store, const struct ks_health_row *row);
/** KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_health_get(struct ks_store *store, uint64_t provider, ks_health_each *each, void *ctx);
/** With its history; nothing where there is none. */
KS_MUST_USE enum ks_err ks_store_health_delete(struct ks_store *store, uint64_t provider);

/** Providers whose probe is due at `now_ms`, the longest due first. */
KS_MUST_USE enum ks_err ks_store_health_due(struct ks_store *store, int64_t now_ms, size_t limit, ks_health_each *each,
					    void *ctx);
/** How many there are by status. Reads one index. */
KS_MUST_USE enum ks_err ks_store_health_counts(struct ks_store *store, uint64_t ret_counts[KS_HEALTH_STATUS_COUNT]);

/** Newest providers first. By index in any case. */
struct ks_health_filter {
	uint64_t organization; /* 0: any */
	uint64_t tenant;       /* 0: any */
	enum ks_health_status status; /* COUNT: any */
	uint64_t before;       /* 0: from the newest */
	size_t limit;
};
KS_MUST_USE enum ks_err ks_store_healths(struct ks_store *store, const struct ks_health_filter *filter, ks_health_each *each,
					 void *ctx);

struct ks_health_change_row {
	uint64_t id;
	uint64_t provider;
	int64_t at;
	enum ks_health_status status, was;
	uint64_t set;
	struct ks_str code, detail;
};
typedef enum ks_err ks_health_change_each(void *ctx, const struct ks_health_change_row *row);

KS_MUST_USE enum ks_err ks_store_health_change_insert(struct ks_store *store, const struct ks_health_change_row *row);
/** Of a provider, newest first, ids below `before` (0: from the newest). */
KS_MUST_USE enum ks_err ks_store_health_changes(struct ks_store *store, uint64_t provider, uint64_t before, size_t limit,
						ks_health_change_each *each, void *ctx);
/** Forgets at most `limit` that were made before `before`, oldest first. */
KS_MUST_USE enum ks_err ks_store_health_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed);
