/* SPDX-License-Identifier: Apache-2.0 */
/** Intake links: whoever has the token may write one value of one field, once. Each function that changes something
 * runs in a job's transaction and writes rows, audit entries and events together. Of a token the store has the digest
 * alone; it stands in no log, no audit entry and no refusal. */
#pragma once

#include "base/secret.h"
#include "engine/actor.h"
#include "engine/engine.h"
#include "engine/vault.h"
#include "store/links.h"

#define KS_LINK_RANDOM 32
/** 64 hexadecimal digits: letters that no program takes for the end of an address. Terminated. */
#define KS_LINK_TOKEN_SIZE (2 * KS_LINK_RANDOM + 1)
#define KS_LINK_LIFETIME_LEAST_S 60
#define KS_LINK_LIFETIME_MOST_S 2592000

/** The members of POST /v1/providers/{id}/fields/{field}/links, checked for form alone. Borrowed. */
struct ks_link_input {
	uint64_t provider;
	struct ks_str field;
	struct ks_str recipient; /* for people: for whom it is; may be empty */
	int64_t lifetime_ms;
};

/** The caller wipes it. */
struct ks_link_made {
	uint64_t id;
	char token[KS_LINK_TOKEN_SIZE];
};

/** Refusals: not_found (the provider is not seen, or its platform has no such field, or is not there any more). */
KS_MUST_USE enum ks_err ks_links_create(struct ks_tx *tx, const struct ks_actor *actor,
					const struct ks_link_input *input, struct ks_link_made *ret_made,
					struct ks_refusal *ret_refusal);

/** Withdraws an open link; one that has ended stays as it is, and that is KS_OK. Refusals: not_found. */
KS_MUST_USE enum ks_err ks_links_cancel(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					struct ks_refusal *ret_refusal);

/** The digest of a token as presented; false if it has not the form of one. */
KS_MUST_USE bool ks_link_digest(struct ks_str token, struct ks_digest *ret_digest);

/** An open link, and what its page tells. Texts are terminated. */
struct ks_link_seen {
	uint64_t id;
	uint64_t organization;
	uint64_t tenant;
	uint64_t provider;
	int64_t expires_at;
	uint64_t attempts;
	char field[KS_STORE_FIELD_NAME_MAX + 1];
	char recipient[KS_STORE_RECIPIENT_MAX + 1];
	char platform[KS_STORE_PLATFORM_MAX + 1];
	char provider_name[KS_STORE_NAME_MAX + 1];
	char tenant_name[KS_STORE_NAME_MAX + 1];
};

/** The link with this digest, if it is open at `now_ms`, its provider there, and its tenant neither suspended nor
 * deleted (itself or by what is above it). KS_NOT_FOUND: everything else, and nothing tells what. Any thread that may
 * read both. */
KS_MUST_USE enum ks_err ks_link_look(struct ks_store *store, const struct ks_ring *ring, const struct ks_digest *digest,
				     int64_t now_ms, struct ks_link_seen *ret_seen);

/** What a holder of the token does. Borrowed. */
struct ks_link_submission {
	const struct ks_digest *digest;
	struct ks_str address;  /* of the client, for the audit; may be empty */
	struct ks_str request_id;
};

/** The holder of the token as the actor of what the link allows, and of nothing else: nobody knows more of whom it
 * is. */
void ks_link_actor(uint64_t link, const struct ks_link_submission *submission, struct ks_actor *ret_actor);

/** Writes the value that `prepared` seals (ks_vault_prepare, for the link's provider and field) as a new version and
 * ends the link, both or neither: of those who try at one time one is the first. Refusals: not_found (not open any
 * more). */
KS_MUST_USE enum ks_err ks_links_use(struct ks_tx *tx, const struct ks_link_submission *submission,
				     const struct ks_vault_prepared *prepared, struct ks_refusal *ret_refusal);

/** Counts a value that was refused; with the last one allowed the link is closed. *ret_left: how many may still be
 * tried. Refusals: not_found (not open any more). */
KS_MUST_USE enum ks_err ks_links_attempt(struct ks_tx *tx, const struct ks_link_submission *submission,
					 uint64_t *ret_left, struct ks_refusal *ret_refusal);

/** Tells of links whose time is over, some at a time. The usage thread's; blocks on a job where there are any. */
void ks_links_sweep(struct ks_engine *engine);
