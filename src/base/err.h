/* SPDX-License-Identifier: Apache-2.0 */
/** Results of operations that can fail. Verdicts (allow, deny) are another type: see decision/reason.h. */
#pragma once

#include "base/base.h"

enum ks_err {
#define KS_ERR(name, logged, text) KS_##name,
#include "base/err.def"
#undef KS_ERR
	KS_ERR_COUNT
};

/** The text of the table for `err`; never NULL, static. */
const char *ks_err_text(enum ks_err err);

/** The name of `err`, as logged ("not_found"); never NULL, static. */
const char *ks_err_name(enum ks_err err);

/** Returns from the calling function unless `expr` is KS_OK. */
#define KS_TRY(expr)                                     \
	do {                                             \
		enum ks_err ks_try_err = (expr);         \
		if (KS_UNLIKELY(ks_try_err != KS_OK))    \
			return ks_try_err;               \
	} while (0)
