/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe/probe.h"

#define KS_PROBE_USER_MAX 256 /* bytes of a SIP user */

/* Sets outcome and detail (a text of ours). */
void ks_probe_put(struct ks_probe_result *result, enum ks_probe_outcome outcome, const char *detail);
/* The same from how a request or line ended. */
void ks_probe_put_fetched(struct ks_probe_result *result, enum ks_fetch_result fetched);
/* The same from an answer: "SIP 403". */
void ks_probe_put_answer(struct ks_probe_result *result, enum ks_probe_outcome outcome, const char *protocol, int status);
