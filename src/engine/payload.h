/* SPDX-License-Identifier: Apache-2.0 */
/** The body of a webhook: an event as it is sent. The same bytes on every attempt, as long as what they are made of is
 * kept. */
#pragma once

#include "base/buf.h"
#include "ring/ring.h"
#include "store/store.h"

#define KS_PAYLOAD_MAX (8u << 20)

/** Adds members to the data of an event of one type: `data` is the object, not closed yet; ks_audit_put and its like
 * append. What does not fit is no error here. KS_NOT_FOUND: what they are made of was forgotten. */
typedef enum ks_err ks_payload_more(struct ks_store *store, const struct ks_event_row *row, struct ks_buf *data);

/** Writes {"id", "type", "timestamp", "tenant", "organization", "object", "data"}. KS_TOO_LARGE: it does not fit; try with
 * more room. KS_NOT_FOUND as above. Any thread that may read both. */
KS_MUST_USE enum ks_err ks_payload_write(struct ks_store *store, const struct ks_ring *ring, const struct ks_event_row *row,
					 struct ks_buf *out);
