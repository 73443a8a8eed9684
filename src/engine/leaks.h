/* SPDX-License-Identifier: Apache-2.0 */
/** Reports of tokens that were seen where they should not be. What is done is the operator's setting: tell of it, end the
 * key after a while so that its holders can rotate it, or revoke it at once. docs/leaks.md */
#pragma once

#include "crypto/sha256.h"
#include "engine/engine.h"

#define KS_LEAK_URL_MAX 1000   /* bytes */
#define KS_LEAK_NOTE_MAX 500

/** Who says so: X(name, text). */
#define KS_LEAK_SOURCES(X)      \
	X(REPORT, "report")     \
	X(GITHUB, "github")

enum ks_leak_source {
#define X(name, text) KS_LEAK_SOURCE_##name,
	KS_LEAK_SOURCES(X)
#undef X
	KS_LEAK_SOURCE_COUNT
};

/** One report. Borrowed for the call; url and note are UTF-8 without control characters, may be empty, and hold no
 * token. */
struct ks_leak {
	struct ks_digest digest;   /* of the token */
	enum ks_leak_source source;
	struct ks_str url;
	struct ks_str note;
};

enum ks_leak_found {
	KS_LEAK_UNKNOWN,           /* no key has this token */
	KS_LEAK_ENDED,             /* its key is revoked or expired: nothing is done */
	KS_LEAK_ACTIVE
};

/** Acts upon a report. A key that is reported again within a day is told of once. Runtime keys are told of and never
 * ended: every call depends on them, and the operator has to bring in the next one first. Writer's thread. */
KS_MUST_USE enum ks_err ks_leak_report(struct ks_tx *tx, const struct ks_leak *leak, enum ks_leak_found *ret_found);
