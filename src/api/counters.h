/* SPDX-License-Identifier: Apache-2.0 */
/** Decisions answered by this process, by reason: for /metrics. */
#pragma once

#include "decision/decision.h"

/** How logins end. X(name, label) */
#define KS_LOGINS(X)                        \
	X(OK, "ok")                         \
	X(FAILED, "login_failed")           \
	X(TOTP_REQUIRED, "totp_required")   \
	X(TOTP_INVALID, "totp_invalid")     \
	X(THROTTLED, "rate_limited")

enum ks_login {
#define X(name, label) KS_LOGIN_##name,
	KS_LOGINS(X)
#undef X
	KS_LOGIN_COUNT
};

/** Counts one login, or another attempt with a password or a code. */
void ks_api_count_login(enum ks_login outcome);
uint64_t ks_api_logins(enum ks_login outcome);

/** Counts one decision. A thread adds to a line of its own: no cache line moves between cores. */
void ks_api_count_decision(const struct ks_decision *decision);

/** Counts a credential that nobody has, tried on this API itself. */
void ks_api_count_unknown(void);

/** Sum over all threads. */
uint64_t ks_api_decisions(enum ks_reason reason);
