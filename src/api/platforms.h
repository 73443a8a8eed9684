/* SPDX-License-Identifier: Apache-2.0 */
/** Platforms as the API shows them. */
#pragma once

#include "api/json_out.h"
#include "platform/probe.h"

/** A platform as one object. */
void ks_record_platform(struct ks_json *out, const struct ks_platform *platform);
