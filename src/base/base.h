/* SPDX-License-Identifier: Apache-2.0 */
/** Compiler vocabulary that every file shares. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The result must be looked at. */
#define KS_MUST_USE __attribute__((warn_unused_result))
#define KS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define KS_COLD __attribute__((cold))

/** Part of libkeystile's public interface; everything else is hidden. */
#define KS_PUBLIC __attribute__((visibility("default")))

#define KS_LIKELY(x) __builtin_expect(!!(x), 1)
#define KS_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define KS_PREFETCH_READ(p) __builtin_prefetch((p), 0, 3)
#define KS_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)

#define KS_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define KS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define KS_MAX(a, b) ((a) > (b) ? (a) : (b))

/** Runs `fn(&variable)` when the variable goes out of scope. */
#define KS_AUTO(fn) __attribute__((cleanup(fn)))
