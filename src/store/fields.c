/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fields.h"

/* Members are copied by their sizes: a row is a struct of the caller's, its enums as wide as an unsigned. */
_Static_assert(sizeof(enum ks_kind) == sizeof(unsigned), "enums are read as unsigned");

#define MEMBER(row, offset, type) (*(const type *)(const void *)&((const char *)(row))[offset])
#define MEMBER_OF(row, offset, type) (*(type *)(void *)&((char *)(row))[offset])

bool ks_text_ok(struct ks_str text, size_t max)
{
	return text.n == 0 || (text.n <= max && ks_str_find(text, '\0') == SIZE_MAX && ks_str_is_utf8(text));
}

static bool save_u64(uint64_t number, uint64_t least, struct ks_sql_value *ret_value)
{
	if (number < least || number > INT64_MAX)
		return false;
	*ret_value = ks_value_i64((int64_t)number);
	return true;
}

static bool save_one(const struct ks_field *field, const void *row, struct ks_sql_value *ret_value)
{
	switch (field->type) {
	case KS_FIELD_ID:
		return save_u64(MEMBER(row, field->offset, uint64_t), 1, ret_value);
	case KS_FIELD_REF:
		if (MEMBER(row, field->offset, uint64_t) == 0) {
			*ret_value = (struct ks_sql_value){.type = KS_SQL_NULL};
			return true;
		}
		return save_u64(MEMBER(row, field->offset, uint64_t), 1, ret_value);
	case KS_FIELD_COUNT:
		return save_u64(MEMBER(row, field->offset, uint64_t), 0, ret_value);
	case KS_FIELD_TIME:
		*ret_value = ks_value_i64(MEMBER(row, field->offset, int64_t));
		return ret_value->integer != KS_TIME_NONE;
	case KS_FIELD_SOME:
		*ret_value = ks_value_some(MEMBER(row, field->offset, int64_t));
		return true;
	case KS_FIELD_INT:
	case KS_FIELD_ENUM:
		*ret_value = ks_value_i64(MEMBER(row, field->offset, unsigned));
		return (uint64_t)ret_value->integer < field->bound;
	case KS_FIELD_BOOL:
		*ret_value = ks_value_i64(MEMBER(row, field->offset, bool));
		return true;
	case KS_FIELD_TEXT:
		*ret_value = ks_value_text(MEMBER(row, field->offset, struct ks_str));
		return ks_text_ok(ret_value->bytes, field->bound);
	case KS_FIELD_DIGEST:
		*ret_value = ks_value_blob(MEMBER(row, field->offset, struct ks_digest).bytes, KS_SHA256_SIZE);
		return true;
	case KS_FIELD_BYTES:
		*ret_value = (struct ks_sql_value){.type = KS_SQL_BLOB,
						   .bytes = MEMBER(row, field->offset, struct ks_str)};
		return ret_value->bytes.n <= field->bound;
	}
	return false;
}

enum ks_err ks_fields_save(const struct ks_field *fields, size_t count, const void *row,
			   struct ks_sql_value *ret_values, struct ks_sql_error *error)
{
	for (size_t i = 0; i < count; i++) {
		if (KS_LIKELY(save_one(&fields[i], row, &ret_values[i])))
			continue;
		if ((fields[i].type == KS_FIELD_TEXT || fields[i].type == KS_FIELD_BYTES)
		    && ret_values[i].bytes.n > fields[i].bound) {
			ks_sql_explain(error, "value %zu of the row is longer than %u bytes", i + 1, fields[i].bound);
			return KS_TOO_LARGE;
		}
		ks_sql_explain(error, "value %zu of the row is out of range, or not text", i + 1);
		return KS_MALFORMED;
	}
	return KS_OK;
}

static bool load_number(const struct ks_field *field, int64_t number, void *row)
{
	switch (field->type) {
	case KS_FIELD_ID:
	case KS_FIELD_REF:
	case KS_FIELD_COUNT:
		MEMBER_OF(row, field->offset, uint64_t) = (uint64_t)number;
		return number >= (field->type == KS_FIELD_COUNT ? 0 : 1);
	case KS_FIELD_TIME:
	case KS_FIELD_SOME:
		MEMBER_OF(row, field->offset, int64_t) = number;
		return number != KS_TIME_NONE;
	case KS_FIELD_INT:
	case KS_FIELD_ENUM:
		MEMBER_OF(row, field->offset, unsigned) = (unsigned)number;
		return number >= 0 && (uint64_t)number < field->bound;
	case KS_FIELD_BOOL:
		MEMBER_OF(row, field->offset, bool) = number != 0;
		return number == 0 || number == 1;
	default:
		return false;
	}
}

static bool load_null(const struct ks_field *field, void *row)
{
	switch (field->type) {
	case KS_FIELD_REF:
	case KS_FIELD_COUNT:
		MEMBER_OF(row, field->offset, uint64_t) = 0;
		return true;
	case KS_FIELD_SOME:
		MEMBER_OF(row, field->offset, int64_t) = KS_TIME_NONE;
		return true;
	case KS_FIELD_TEXT:
	case KS_FIELD_BYTES:
		MEMBER_OF(row, field->offset, struct ks_str) = KS_STR("");
		return true;
	default:
		return false;
	}
}

static bool load_one(const struct ks_field *field, const struct ks_sql_value *value, void *row)
{
	switch (value->type) {
	case KS_SQL_NULL:
		return load_null(field, row);
	case KS_SQL_INTEGER:
		return load_number(field, value->integer, row);
	case KS_SQL_TEXT:
		if (field->type != KS_FIELD_TEXT)
			return false;
		MEMBER_OF(row, field->offset, struct ks_str) = value->bytes;
		return true;
	case KS_SQL_BLOB:
		if (field->type == KS_FIELD_BYTES) {
			MEMBER_OF(row, field->offset, struct ks_str) = value->bytes;
			return value->bytes.n <= field->bound;
		}
		if (field->type != KS_FIELD_DIGEST || value->bytes.n != KS_SHA256_SIZE)
			return false;
		memcpy(MEMBER_OF(row, field->offset, struct ks_digest).bytes, value->bytes.p, KS_SHA256_SIZE);
		return true;
	}
	return false;
}

enum ks_err ks_fields_load(const struct ks_field *fields, size_t count, const struct ks_sql_value *values,
			   void *ret_row, struct ks_sql_error *error)
{
	for (size_t i = 0; i < count; i++) {
		if (KS_UNLIKELY(!load_one(&fields[i], &values[i], ret_row))) {
			ks_sql_explain(error, "a stored row is damaged: column %zu", i + 1);
			return KS_CORRUPT;
		}
	}
	return KS_OK;
}
