/* SPDX-License-Identifier: Apache-2.0 */
/** What issuers and identity providers have in common, for the engine's own files. */
#pragma once

#include "base/ctenc.h"
#include "engine/engine_priv.h"
#include "engine/grants.h"
#include "engine/keys_check.h"
#include "store/federation.h"

/** `organization` is one that the actor sees; the operator too where `operator_ok`. Refusals: tenant_forbidden, invalid
 * (both at /organization). */
KS_MUST_USE enum ks_err ks_check_organization(const struct ks_tx *tx, const struct ks_actor *actor,
					      uint64_t organization, bool operator_ok, struct ks_refusal *refusal);

/** The role is known, and gives no more than the actor may give on the tenant. Refusals: invalid, not_grantable. */
KS_MUST_USE enum ks_err ks_check_role_given(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant,
					    struct ks_str role, const char *pointer, struct ks_refusal *refusal);

/** Brings the issuer into the ring as the truth says it now; KS_FULL is left to the caller. */
KS_MUST_USE enum ks_err ks_project_foreign_issuer(struct ks_ring *ring, const struct ks_foreign_issuer_row *row);
