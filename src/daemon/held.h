/* SPDX-License-Identifier: Apache-2.0 */
/** From settings to the place of held values outside of the store (secretstore/held.h): the engine's openers for it, and the
 * thread that makes the stages there follow. Once for the process. */
#pragma once

#include "config/config.h"
#include "engine/vault.h"
#include "secretstore/held.h"

/** Fills in what the openers need for values that lie there. `store` lives until ks_serve_held_stop has returned.
 * KS_MALFORMED: what is wrong in *ret_problem. */
KS_MUST_USE enum ks_err ks_serve_held(const struct ks_config *config, struct ks_secretstore *store,
				      struct ks_vault_openers *openers, struct ks_config_problem *ret_problem);
/** Begins to follow; nothing where there is no such place. KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_serve_held_start(struct ks_engine *engine);
/** Before the engine ends. Any number of times. */
void ks_serve_held_stop(void);
