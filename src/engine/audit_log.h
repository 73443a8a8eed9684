/* SPDX-License-Identifier: Apache-2.0 */
/** The audit as a provable log (docs/audit.md): the key that signs checkpoints, the checkpoints, and whether the trees
 * are those of their entries. The key is made once, is sealed like the issuer's keys, and stays for as long as the store:
 * who keeps its public half can check what this store has signed. Functions that take a store may be called from any
 * thread with a store of its own, within one transaction (a snapshot). */
#pragma once

#include "engine/engine.h"
#include "merkle/note.h"
#include "store/audit_tree.h"

#define KS_AUDIT_ORIGIN_SIZE 96

/** Which log a tree is: "keystile-<store>/<tenant>", the operator's "keystile-<store>/operator". KS_NOT_FOUND: there is no
 * such tenant. KS_CRYPTO: there is no key that signs. */
KS_MUST_USE enum ks_err ks_audit_origin(const struct ks_engine *engine, struct ks_store *store, uint64_t tree,
					char ret_origin[KS_AUDIT_ORIGIN_SIZE]);

/** Appends the text that others check our checkpoints with. False: there is no key that signs. */
KS_MUST_USE bool ks_audit_put_verifier(const struct ks_engine *engine, struct ks_buf *out);

/** Signs the tree's first `size` leaves: appends the note, gives the root. KS_MALFORMED: it has fewer. KS_NOT_FOUND: the
 * tenant is unknown. KS_CRYPTO: there is no key, or it cannot be opened. */
KS_MUST_USE enum ks_err ks_audit_checkpoint(const struct ks_engine *engine, struct ks_audit_tree *tree, uint64_t size,
					    struct ks_buf *out, struct ks_digest *ret_root);

/** What a check of all trees found. */
struct ks_audit_report {
	uint64_t trees, entries, tiles;
	uint64_t differences;
	char first[256];             /* the first difference, for a person; empty: none */
};
/** Computes every leaf and every tile anew and compares. Whatever goes on meanwhile goes on. KS_OK where it could be
 * compared, whatever it found. Any thread; takes long: about 5 microseconds an entry. */
KS_MUST_USE enum ks_err ks_audit_check(struct ks_engine *engine, struct ks_audit_report *ret_report);
