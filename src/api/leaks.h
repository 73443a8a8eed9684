/* SPDX-License-Identifier: Apache-2.0 */
/** What the two routes of leaks share (leaks.c, leaks_github.c). */
#pragma once

#include "api/api_priv.h"
#include "engine/leaks.h"

/** A report, on its own memory: the request is gone before it is acted upon. */
struct ks_leak_in {
	struct ks_digest digest;
	char url[KS_LEAK_URL_MAX + 1];
	char note[KS_LEAK_NOTE_MAX + 1];
};

/** Fills `ret_leak`; texts that are too long are cut, those that hold a token or control characters are withheld.
 * KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_leak_in_read(struct ks_str token, struct ks_str url, struct ks_str note,
					struct ks_leak_in *ret_leak);
struct ks_leak ks_leak_of(const struct ks_leak_in *leak, enum ks_leak_source source);

/** Lets the caller's address pass, or answers 429: false. */
KS_MUST_USE bool ks_leaks_admit(struct ks_call *call);

/** Counts for /metrics. */
void ks_leaks_count(enum ks_leak_source source, uint64_t n);
uint64_t ks_leaks_counted(enum ks_leak_source source);
