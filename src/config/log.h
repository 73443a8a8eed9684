/* SPDX-License-Identifier: Apache-2.0 */
/** The log: one JSON object a line on standard error. Values are escaped; nothing that is secret is ever passed in. */
#pragma once

#include "base/str.h"

enum ks_log_level { KS_LOG_DEBUG, KS_LOG_INFO, KS_LOG_WARNING, KS_LOG_ERROR };

/** Parses "debug", "info", "warning", "error". */
KS_MUST_USE bool ks_log_level_parse(struct ks_str text, enum ks_log_level *ret_level);

/** Lines below `level` are dropped. Call before threads are started. */
void ks_log_set_level(enum ks_log_level level);

/** One line: {"time","level","event", then the pairs}. `pairs` are name, value, name, value, …, NULL; a NULL value is written null. Whole lines: safe from any thread. */
void ks_log(enum ks_log_level level, const char *event, ...) __attribute__((sentinel));

/** Fits ks_engine_log: the text goes under "detail". */
void ks_log_engine(void *ctx, int level, const char *event, const char *text);
