/* SPDX-License-Identifier: Apache-2.0 */
/** Signed notes (C2SP signed-note) and the checkpoints of logs in them (C2SP tlog-checkpoint), with Ed25519 signatures.
 * Everything that is read may be anybody's. Texts that are given back borrow from what was read. Any thread. */
#pragma once

#include "base/buf.h"
#include "crypto/sign.h"
#include "merkle/merkle.h"

#define KS_NOTE_MAX 16384            /* bytes of a note */
#define KS_NOTE_SIGNATURES_MAX 16    /* lines of signatures; more are malformed */
#define KS_NOTE_NAME_MAX 200         /* bytes of a key's name */
#define KS_NOTE_ORIGIN_MAX 250
#define KS_NOTE_VERIFIER_SIZE 264    /* of a verifier's text, with a terminator */
#define KS_NOTE_KEY_ID_SIZE 4

/** Whose signature: a name and the first bytes of a digest of name and key. */
struct ks_note_verifier {
	struct ks_str name;
	uint8_t id[KS_NOTE_KEY_ID_SIZE];
	uint8_t key[32];
};

/** A key's name: 1 to KS_NOTE_NAME_MAX bytes of UTF-8 without blanks, control bytes and "+". */
bool ks_note_name_ok(struct ks_str name);
/** Fills in the id of an Ed25519 key. KS_MALFORMED: the name is none. */
KS_MUST_USE enum ks_err ks_note_verifier_of(struct ks_str name, const uint8_t key[32],
					    struct ks_note_verifier *ret_verifier);
/** "<name>+<id>+<base64>", as tools of other makers take it. */
void ks_note_put_verifier(struct ks_buf *out, const struct ks_note_verifier *verifier);
/** Reads one. KS_MALFORMED: it is none, of another kind of key, or its id is not that of its key. */
KS_MUST_USE enum ks_err ks_note_read_verifier(struct ks_str text, struct ks_note_verifier *ret_verifier);

struct ks_note_signature {
	struct ks_str name;
	uint8_t id[KS_NOTE_KEY_ID_SIZE];
	uint8_t bytes[64];
	bool ed25519;                /* of the size of one of Ed25519; else `bytes` is empty */
};

struct ks_note {
	struct ks_str text;          /* what is signed: ends with a line end */
	size_t count;                /* at least one */
	struct ks_note_signature signatures[KS_NOTE_SIGNATURES_MAX];
};

/** Reads a note. KS_MALFORMED, KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_note_read(struct ks_str bytes, struct ks_note *ret_note);
/** KS_OK: the verifier's key has signed it. KS_NOT_FOUND: there is no signature by a key of that name and id.
 * KS_FORBIDDEN: there is one, and it is wrong. */
KS_MUST_USE enum ks_err ks_note_check(const struct ks_note *note, const struct ks_note_verifier *verifier);
/** Appends the note: `text`, which ends with a line end, and one signature. KS_TOO_LARGE: no room in `out`. */
KS_MUST_USE enum ks_err ks_note_sign(struct ks_str text, const struct ks_note_verifier *verifier,
				     const struct ks_private_key *key, struct ks_buf *out);

/* ---- checkpoints ---- */

struct ks_checkpoint {
	struct ks_str origin;        /* which log */
	uint64_t size;
	struct ks_digest root;
};

/** The text of a checkpoint, to be signed. */
void ks_checkpoint_put(struct ks_buf *out, const struct ks_checkpoint *checkpoint);
/** Reads the text of a note as a checkpoint; lines after the third are looked over. KS_MALFORMED. */
KS_MUST_USE enum ks_err ks_checkpoint_read(struct ks_str text, struct ks_checkpoint *ret_checkpoint);
