/* SPDX-License-Identifier: Apache-2.0 */
/** What the handlers of issuers, identity providers and logins share (outside.c). */
#pragma once

#include "api/api_priv.h"
#include "api/key_in.h"
#include "federation/federation.h"

/** Runs `handler` where it may wait for the network, and answers when it has returned KS_FINISH_DONE; a change that it
 * has submitted (KS_FINISH_PENDING) is answered by that. There call->reader is that thread's. */
enum ks_finish ks_call_outside(struct ks_call *call, ks_call_handler *handler);

/** `organization` of a list's query: *ret_organization is its id, 0 for the operator, KS_STORE_ANY for all. False:
 * answered. Left out: all for who sees all, else the organization of the effective tenant. */
bool ks_call_organization_query(struct ks_call *call, uint64_t *ret_organization);

/** True if the caller sees things of this organization (0: the operator). */
bool ks_call_sees_organization(struct ks_call *call, uint64_t organization);

/** Notes in call->in where `url` is not one that may be fetched. */
void ks_call_check_url(struct ks_call *call, const char *name, struct ks_str url);
