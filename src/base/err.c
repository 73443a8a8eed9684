/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

static const struct {
	const char *name;
	const char *text;
} table[KS_ERR_COUNT] = {
#define KS_ERR(name, logged, text) {logged, text},
#include "base/err.def"
#undef KS_ERR
};

static bool known(enum ks_err err)
{
	return (unsigned)err < KS_ERR_COUNT;
}

const char *ks_err_text(enum ks_err err)
{
	return known(err) ? table[err].text : "unknown error";
}

const char *ks_err_name(enum ks_err err)
{
	return known(err) ? table[err].name : "unknown";
}
