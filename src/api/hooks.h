/* SPDX-License-Identifier: Apache-2.0 */
/** Webhooks of others: how requests for /hooks/{source} end, counted. */
#pragma once

#include "hooksig/hooksig.h"

/** X(name, label) */
#define KS_HOOKS(X)                                                                  \
	X(RECEIVED, "received")     /* genuine, and kept */                          \
	X(DUPLICATE, "duplicate")   /* genuine, and had been before */               \
	X(CHALLENGE, "challenge")   /* answered */                                   \
	X(REFUSED, "refused")       /* not genuine, or to no source */               \
	X(LIMITED, "limited")       /* a challenge too many */                       \
	X(PAUSED, "paused")         /* genuine, to a source that takes none now */   \
	X(FAILED, "failed")         /* genuine perhaps, and could not be kept now */

enum ks_hook_outcome {
#define X(name, label) KS_HOOK_##name,
	KS_HOOKS(X)
#undef X
	KS_HOOK_COUNT
};
/** Any thread. */
uint64_t ks_hooks_counted(enum ks_hook_outcome outcome);
/** Of those refused: by what the scheme said. Of unknown sources it says nothing. */
uint64_t ks_hooks_refused(enum ks_hooksig_code code);
