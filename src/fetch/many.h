/* SPDX-License-Identifier: Apache-2.0 */
/** Many requests at once on one thread, under the very rules of ks_fetch_do (fetch/fetch.h), but that none of them follows a
 * redirect: it is an answer. Connections are kept for later requests to the same place. One thread owns it; another may
 * wake it. */
#pragma once

#include "fetch/fetch.h"

struct ks_fetch_many;

/** How the request that was begun with `tag` ended. *response as of ks_fetch_do, freed once this returns. May begin others. */
typedef void ks_fetch_ended(void *ctx, void *tag, enum ks_fetch_result result, const struct ks_fetch_response *response);

/** `kept`: connections at rest, at most. `fetch` outlives it. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_fetch_many_new(struct ks_fetch *fetch, unsigned kept, ks_fetch_ended *ended, void *ctx,
					  struct ks_fetch_many **ret_many);
/** What is under way ends with KS_FETCH_STOPPED; nothing may be begun then. Takes NULL. */
void ks_fetch_many_free(struct ks_fetch_many **many);

/** Begins a request. Its body and what `want` names stay as they are until it has ended; all else is copied. KS_FETCH_OK: it
 * is under way. KS_FETCH_URL, KS_FETCH_ADDRESS, KS_FETCH_MEMORY: it is not, and will not be told of. */
enum ks_fetch_result ks_fetch_many_begin(struct ks_fetch_many *many, const struct ks_fetch_request *request, void *tag);

/** Goes on with all of them, and tells of those that ended; waits for one of them, or to be woken, at most `wait_ms`. */
void ks_fetch_many_go(struct ks_fetch_many *many, unsigned wait_ms);

/** Ends a wait, now or the next. Any thread. */
void ks_fetch_many_wake(struct ks_fetch_many *many);
