/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"

#define PREFIX_LEN 3
#define RANDOM_BITS 22
#define TIME_BITS 42
#define EPOCH_MS INT64_C(1577836800000) /* 2020-01-01T00:00:00Z */

static const char prefixes[KS_ID_TYPE_COUNT][PREFIX_LEN + 1] = {
#define X(name, prefix) prefix,
	KS_IDS(X)
#undef X
};

/* Crockford's base32: no i, l, o, u. */
static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* Value of a digit plus one; 0: not a digit. */
static const uint8_t values[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['g'] = 17, ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23, ['q'] = 24,
	['r'] = 25, ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
};

void ks_id_format(enum ks_id_type type, uint64_t id, char ret_text[KS_ID_TEXT_SIZE])
{
	memcpy(ret_text, prefixes[type], PREFIX_LEN);
	ret_text[PREFIX_LEN] = '_';
	for (size_t i = KS_ID_TEXT_LEN; i-- > PREFIX_LEN + 1;) {
		ret_text[i] = alphabet[id & 31];
		id >>= 5;
	}
	ret_text[KS_ID_TEXT_LEN] = '\0';
}

/* The number behind "xxx_"; 0 if it is none. */
static uint64_t parse_number(struct ks_str text)
{
	uint64_t id = 0;

	/* 13 digits hold 65 bits, so that the first is at most 15. */
	if (text.n != KS_ID_TEXT_LEN || text.p[PREFIX_LEN] != '_' ||
	    values[(unsigned char)text.p[PREFIX_LEN + 1]] > 16)
		return 0;
	for (size_t i = PREFIX_LEN + 1; i < KS_ID_TEXT_LEN; i++) {
		unsigned value = values[(unsigned char)text.p[i]];

		if (value == 0)
			return 0;
		id = id << 5 | (value - 1);
	}
	return id;
}

static bool has_prefix(struct ks_str text, enum ks_id_type type)
{
	return ks_str_starts(text, ks_str_of(prefixes[type], PREFIX_LEN));
}

bool ks_id_parse_any(struct ks_str text, enum ks_id_type *ret_type, uint64_t *ret_id)
{
	uint64_t id = parse_number(text);

	if (id == 0)
		return false;
	for (enum ks_id_type type = 0; type < KS_ID_TYPE_COUNT; type++) {
		if (has_prefix(text, type)) {
			*ret_type = type;
			*ret_id = id;
			return true;
		}
	}
	return false;
}

bool ks_id_parse(struct ks_str text, enum ks_id_type type, uint64_t *ret_id)
{
	uint64_t id = parse_number(text);

	if (id == 0 || !has_prefix(text, type))
		return false;
	*ret_id = id;
	return true;
}

uint64_t ks_id_next(struct ks_id_source *source, int64_t now_ms, uint32_t random)
{
	const int64_t ms_max = (INT64_C(1) << TIME_BITS) - 1;
	int64_t ms = KS_MIN(KS_MAX(now_ms, EPOCH_MS) - EPOCH_MS, ms_max);
	uint64_t id = (uint64_t)ms << RANDOM_BITS | (random & ((1u << RANDOM_BITS) - 1));

	if (id <= source->last)
		id = source->last + 1;
	source->last = id;
	return id;
}

int64_t ks_id_time(uint64_t id)
{
	return (int64_t)(id >> RANDOM_BITS) + EPOCH_MS;
}
