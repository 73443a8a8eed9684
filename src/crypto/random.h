/* SPDX-License-Identifier: Apache-2.0 */
/** The system's cryptographic random numbers. */
#pragma once

#include "base/err.h"

/** Fills `n` bytes (at most 1 MiB, else KS_TOO_LARGE) from getrandom(2). KS_SYSTEM if the system has none: never weaker
 * bytes instead. Any thread; blocks only until the kernel's generator is seeded, early at boot. */
KS_MUST_USE enum ks_err ks_random(void *ret_bytes, size_t n);
