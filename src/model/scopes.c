/* SPDX-License-Identifier: Apache-2.0 */
#include "model/scopes.h"

static bool is_letter(unsigned char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_word_byte(unsigned char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool ks_scope_name_ok(struct ks_str name)
{
	if (name.n == 0 || name.n > KS_SCOPE_NAME_MAX || !is_letter((unsigned char)name.p[0]))
		return false;
	bool after_colon = false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		bool colon = c == ':';
		if (colon ? after_colon : !is_word_byte(c))
			return false;
		after_colon = colon;
	}
	return !after_colon;
}

/* The table may lie in shared memory: whatever `count` says, no name beyond the array is looked at. */
static uint32_t table_count(const struct ks_scope_table *table)
{
	uint32_t count = atomic_load_explicit(&table->count, memory_order_acquire);

	return KS_MIN(count, (uint32_t)KS_SCOPES_MAX);
}

bool ks_scope_find(const struct ks_scope_table *table, struct ks_str name, uint16_t *ret_number)
{
	if (name.n == 0 || name.n > KS_SCOPE_NAME_MAX)
		return false;
	uint32_t count = table_count(table);
	for (uint32_t i = 0; i < count; i++) {
		const char *have = table->names[i];
		/* The last byte and the terminator tell most names apart before the whole is compared. */
		if (have[name.n] == '\0' && have[name.n - 1] == name.p[name.n - 1] &&
		    ks_str_eq(ks_str_of(have, name.n), name)) {
			*ret_number = (uint16_t)i;
			return true;
		}
	}
	return false;
}

enum ks_err ks_scope_add(struct ks_scope_table *table, struct ks_str name, uint16_t *ret_number)
{
	if (!ks_scope_name_ok(name))
		return KS_MALFORMED;
	if (ks_scope_find(table, name, ret_number))
		return KS_OK;
	uint32_t count = table_count(table);
	if (count == KS_SCOPES_MAX)
		return KS_FULL;
	char *slot = table->names[count];
	memset(slot, 0, sizeof(table->names[count]));
	memcpy(slot, name.p, name.n);
	/* The name is whole before any reader may look at it. */
	atomic_store_explicit(&table->count, count + 1, memory_order_release);
	*ret_number = (uint16_t)count;
	return KS_OK;
}

struct ks_str ks_scope_name(const struct ks_scope_table *table, uint16_t number)
{
	if (number >= table_count(table))
		return KS_STR("");
	return ks_str_of(table->names[number], strnlen(table->names[number], KS_SCOPE_NAME_MAX));
}

bool ks_scopes_empty(const struct ks_scopes *set)
{
	uint64_t any = 0;

	for (size_t i = 0; i < KS_ARRAY_LEN(set->bits); i++)
		any |= set->bits[i];
	return any == 0;
}

bool ks_scopes_within(const struct ks_scopes *part, const struct ks_scopes *whole)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < KS_ARRAY_LEN(part->bits); i++)
		missing |= part->bits[i] & ~whole->bits[i];
	return missing == 0;
}
