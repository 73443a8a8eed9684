/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/vault.h"

#include <stdio.h>

#include "daemon/references.h"
#include "engine/vault.h"

static const struct ks_vault_openers openers = {.check_reference = ks_references_check};

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
