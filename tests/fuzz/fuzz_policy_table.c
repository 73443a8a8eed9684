/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled policies from a hostile file: whatever the bytes say, a table that is taken can be matched against without
 * harm. Magic, size and checksum are made to fit, so that the checks behind them are reached. */
#include <stdlib.h>

#include "policy/policy_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static const char *const paths[] = {
	"/",
	"/a",
	"/api/v1/contacts",
	"/api/v1/contacts/",
	"/api/v1/contacts/x/y/z",
	"/internal/v1/routing/49",
	"/api/v1/call-traces/search",
	"/x/a-segment-that-is-longer-than-sixteen-bytes",
	"/api/integrations/crm/events",
};
static const char *const methods[] = {"GET", "POST", "DELETE", "PROPFIND-AND-LONGER", ""};

static void use(const struct ks_policy_table *table)
{
	static struct ks_path path;

	for (size_t p = 0; p < KS_ARRAY_LEN(paths); p++) {
		CHECK(ks_path_read(ks_str_c(paths[p]), &path) == KS_PATH_OK);
		for (size_t m = 0; m < KS_ARRAY_LEN(methods); m++) {
			const struct ks_rule *rule = ks_policy_match(table, &path, ks_str_c(methods[m]));
			unsigned sum = 0;

			if (!rule)
				continue;
			struct ks_str family = ks_rule_family(table, rule);
			for (size_t i = 0; i < family.n; i++)
				sum += (unsigned char)family.p[i];
			CHECK(sum <= KS_FAMILY_NAME_MAX * 255u);
			CHECK(rule->scope_count > 0 && rule->scope_count <= KS_POLICY_RULE_SCOPES_MAX);
			for (size_t i = 0; i < rule->scope_count; i++)
				CHECK(rule->scopes[i] < KS_SCOPES_MAX);
			CHECK(methods[m][0] != '\0');
		}
	}
	for (uint32_t i = 0; i < table->rule_count; i++)
		CHECK(ks_policy_rule(table, i));
	CHECK(!ks_policy_rule(table, table->rule_count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as the input, so that a read too far is found out. */
	struct ks_policy_table *table = calloc(1, size ? size : 1);

	CHECK(table);
	if (size)
		memcpy(table, data, size);
	if (ks_policy_table_ok(table, size))
		use(table);
	if (size >= sizeof(*table) && size < UINT32_MAX) {
		table->magic = POLICY_TABLE_MAGIC;
		table->version = POLICY_TABLE_VERSION;
		table->size = (uint32_t)size;
		table->crc = ks_policy_table_crc(table);
		if (ks_policy_table_ok(table, size))
			use(table);
	}
	free(table);
	return 0;
}
