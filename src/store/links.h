/* SPDX-License-Identifier: Apache-2.0 */
/** The part of the truth about intake links. Of a link's token the digest alone is kept. Rules and errors are those of
 * store/store.h. */
#pragma once

#include "store/vault.h"

#define KS_STORE_RECIPIENT_MAX 200 /* bytes of whom a link is for */

/** What became of a link. X(name, text) */
#define KS_LINK_STATES(X)        \
	X(OPEN, "open")          \
	X(USED, "used")          \
	X(CANCELLED, "cancelled") \
	X(EXPIRED, "expired")    \
	X(CLOSED, "closed")      /* too many attempts */

enum ks_link_state {
#define X(name, text) KS_LINK_##name,
	KS_LINK_STATES(X)
#undef X
	KS_LINK_STATE_COUNT
};
/** Static. */
const char *ks_link_state_text(enum ks_link_state state);

struct ks_link_row {
	uint64_t id;
	struct ks_digest digest; /* of the token */
	uint64_t organization;
	uint64_t tenant; /* of the provider */
	uint64_t provider;
	enum ks_link_state state;
	uint64_t attempts; /* values that were refused */
	int64_t created_at;
	int64_t expires_at;
	int64_t ended_at;        /* since when it is not open; KS_TIME_NONE */
	uint64_t version;        /* of the field, that it wrote; 0: none */
	struct ks_str field;
	struct ks_str recipient; /* for people; may be empty */
	struct ks_str created_by;
};
typedef enum ks_err ks_link_each(void *ctx, const struct ks_link_row *row);

/** KS_CONFLICT: the id or the digest is taken. KS_NOT_FOUND: the provider or a tenant is not there. */
KS_MUST_USE enum ks_err ks_store_link_insert(struct ks_store *store, const struct ks_link_row *row);
/** Both: KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_link_get(struct ks_store *store, uint64_t id, ks_link_each *each, void *ctx);
KS_MUST_USE enum ks_err ks_store_link_by_digest(struct ks_store *store, const struct ks_digest *digest,
						ks_link_each *each, void *ctx);
/** Of a provider, newest first, ids below `before` (0: from the newest). */
KS_MUST_USE enum ks_err ks_store_links_of_provider(struct ks_store *store, uint64_t provider, uint64_t before,
						   size_t limit, ks_link_each *each, void *ctx);
/** Those that are open though they ended at `now_ms` or before, the first to end first. */
KS_MUST_USE enum ks_err ks_store_links_over(struct ks_store *store, int64_t now_ms, size_t limit, ks_link_each *each,
					    void *ctx);
/** Ends an open link. KS_NOT_FOUND: it is not there, or not open: this decides who was first. */
KS_MUST_USE enum ks_err ks_store_link_end(struct ks_store *store, uint64_t id, enum ks_link_state state,
					  uint64_t version, int64_t at);
/** Counts an attempt of an open link. KS_NOT_FOUND: it is not there, or not open. */
KS_MUST_USE enum ks_err ks_store_link_attempt(struct ks_store *store, uint64_t id);
