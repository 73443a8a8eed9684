/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sql.h"

#include <stdarg.h>
#include <stdio.h>

#include "store/sql_text.h"

static const char *const texts[KS_SQL_COUNT] = {
#define KS_SQL(name, text) [KS_SQL_##name] = text,
#include "store/statements.def"
#undef KS_SQL
};

static const char *const names[KS_SQL_COUNT] = {
#define KS_SQL(name, text) [KS_SQL_##name] = #name,
#include "store/statements.def"
#undef KS_SQL
};

const char *ks_sql_text(enum ks_sql_id id)
{
	return texts[id];
}

const char *ks_sql_name(enum ks_sql_id id)
{
	return names[id];
}

void ks_sql_explain(struct ks_sql_error *error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, args);
	va_end(args);
}
