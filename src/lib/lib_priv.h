/* SPDX-License-Identifier: Apache-2.0 */
/** Between the files of the public library. */
#pragma once

#include "assertion/verifier.h"
#include "base/str.h"
#include "decision/decision.h"
#include "keystile/keystile.h"
#include "ringmap/ringmap.h"

/** Where a verdict's texts are written when they are asked for: "key_", tenant ids, one family name; a list each. */
struct verdict_texts {
	char principal[KS_ID_TEXT_SIZE];
	char tenant[KS_ID_TEXT_SIZE];
	char organization[KS_ID_TEXT_SIZE];
	char family[KS_FAMILY_NAME_MAX + 1];
	char required_scope[KS_SCOPE_NAME_MAX + 1];
	char rate_limit[64];
	char rate_limit_policy[64];
	char inherited[KS_DECISION_INHERITED_TEXT_MAX];
	char scopes[KS_DECISION_SCOPES_TEXT_MAX];
	char visible[KS_DECISION_VISIBLE_TEXT_MAX];
};

struct keystile_verdict {
	const struct ks_ring *ring;   /* NULL: nothing was decided, and it is a refusal */
	struct ks_decision d;
	bool basic_tried;
	struct verdict_texts *texts;
};

struct keystile {
	struct ks_ringmap_reader *reader;
	struct keystile_verdict verdict;
	struct ks_credential credential;
	struct ks_path path;
	struct ks_verifier verifier;
	struct ks_assertion assertion;
	struct verdict_texts texts;
};

static inline struct ks_str str_of(struct keystile_text text)
{
	return text.p ? ks_str_of(text.p, text.n) : KS_STR("");
}

/** The status that tells of `err`. */
int ks_lib_status(enum ks_err err);
