/* SPDX-License-Identifier: Apache-2.0 */
/* From settings to what reads the tenants' references: the client (secretstore/secretstore.h), and the
 * tokens of our own issuer that some stores trust. */
#pragma once

#include "config/config.h"
#include "engine/vault.h"
#include "secretstore/secretstore.h"

struct ks_references;

/** Of the settings "references.…" and "fetch.…". KS_MALFORMED and others: what is wrong in *ret_problem. */
KS_MUST_USE enum ks_err ks_references_new(const struct ks_config *config, const struct ks_fetch_options *fetch,
					  struct ks_references **ret_references, struct ks_config_problem *ret_problem);
/** The client, for what else lies in stores. */
struct ks_secretstore *ks_references_store(struct ks_references *references);
/** Before the first read. The engine must live as long, or until ks_references_stop has returned. */
void ks_references_start(struct ks_references *references, struct ks_engine *engine);
/** Reads the identities anew; what is in force stays where they are wrong, which is logged. Any thread. */
void ks_references_reload(struct ks_references *references);
/** Ends what is under way, and all that comes later, as stopping. Takes NULL. */
void ks_references_stop(struct ks_references *references);
/** Takes a pointer to NULL. */
void ks_references_free(struct ks_references **references);
/** For GET /metrics. Takes NULL. */
void ks_references_put_metrics(struct ks_references *references, struct ks_buf *out);

/** The engine's openers (engine/vault.h), with `ctx` the references. False: the JSON is no reference, *ret_detail says why. */
bool ks_references_check(void *ctx, struct ks_str json, char *ret_detail, size_t cap);
/** Waits until `deadline_ms` (wall clock). Not KS_OK: *ret_code is a code of secretstore/codes.def. */
KS_MUST_USE enum ks_err ks_references_fetch(void *ctx, const struct ks_vault_reference *reference, int64_t deadline_ms,
					    struct ks_secret *ret_value, const char **ret_code);
