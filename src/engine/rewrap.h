/* SPDX-License-Identifier: Apache-2.0 */
/** Wrapping the keys of the service and of all organizations anew, after the root changed. */
#pragma once

#include "engine/engine.h"

struct ks_rewrap_report {
	uint64_t keys;             /* that there are */
	uint64_t rewrapped;        /* of them, by this run */
	bool rotated;              /* the new key file took the old one's place */
	char root[128];
};

/** Wraps every key by the root in force; old and new wrappings open meanwhile, and values stay as they are. `rotate`: makes a
 * new key file first, which takes the place of the old one at the end; one that an earlier run left is gone on with, with
 * or without `rotate`. KS_CONFLICT: a run is under way; KS_FORBIDDEN: `rotate` with a root that is no key file; KS_CORRUPT:
 * a key that no root opens; KS_KEEPER, KS_KMS, errors of the store. What was done stays done. Any thread but the writer's. */
KS_MUST_USE enum ks_err ks_engine_rewrap(struct ks_engine *engine, bool rotate, struct ks_rewrap_report *ret_report,
					 struct ks_engine_problem *ret_problem);
/** The run under way, or the last one. Any thread. */
void ks_engine_rewrap_progress(const struct ks_engine *engine, bool *ret_running, uint64_t *ret_rewrapped);
