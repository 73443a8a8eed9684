/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/vault.h"

#include <stdio.h>

#include "engine/vault.h"
#include "secretstore/reference.h"

static bool check_reference(void *ctx, struct ks_str json, char *ret_detail, size_t cap)
{
	struct ks_secretstore_detail detail = {0};
	bool ok = ks_secretstore_check(json, &detail) == KS_OK;

	(void)ctx;
	if (!ok)
		(void)snprintf(ret_detail, cap, "%s", detail.text);
	return ok;
}

static const struct ks_vault_openers openers = {.check_reference = check_reference};

enum ks_err ks_serve_vault(const struct ks_config *config, struct ks_vault_options *ret_options,
			   struct ks_config_problem *ret_problem)
{
	if (config->vault_lease_s.number > config->vault_drain_max_s.number) {
		(void)snprintf(ret_problem->text, sizeof(ret_problem->text),
			       "vault.lease_s: must not be more than vault.drain_max_s");
		return KS_MALFORMED;
	}
	*ret_options = (struct ks_vault_options){
		.openers = &openers,
		.direct_write = config->vault_direct_write.number != 0,
		.lease_ms = (int64_t)config->vault_lease_s.number * 1000,
		.drain_max_ms = (int64_t)config->vault_drain_max_s.number * 1000,
		.rollback_window_ms = (int64_t)config->vault_rollback_window_s.number * 1000,
		.rollback_failures = config->vault_rollback_failures.number,
	};
	return KS_OK;
}
