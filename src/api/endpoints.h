/* SPDX-License-Identifier: Apache-2.0 */
/** What the routes of endpoints and of deliveries share. */
#pragma once

#include "api/api_priv.h"
#include "api/key_in.h"
#include "store/endpoints.h"

/** A delivery as the contract shows it; the object stays open where `open`, for further members. */
void ks_record_delivery(struct ks_json *json, const struct ks_delivery_row *row, const struct ks_ring *ring, bool open);
/** The same of the one with this id as `store` has it. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_record_delivery_by_id(struct ks_store *store, struct ks_json *json, uint64_t id,
						 const struct ks_ring *ring);
