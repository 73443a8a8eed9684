/* SPDX-License-Identifier: Apache-2.0 */
/** Identifiers. In memory and in the store an unsigned 64-bit number, never 0; outside `<prefix>_` and 13 digits of
 * Crockford's base32 in lower case. 42 bits of milliseconds since 2020-01-01 lead, so that newer is greater; 22 random
 * bits follow. */
#pragma once

#include "base/str.h"

/** KS_ID(name, prefix): one row a type of thing. */
#define KS_IDS(X)            \
	X(OPERATOR, "opr")     \
	X(PARTNER, "prt")      \
	X(ORGANIZATION, "org") \
	X(SUB_ENTITY, "sub")   \
	X(PROJECT, "prj")      \
	X(PERSONAL, "per")     \
	X(USER, "usr")         \
	X(KEY, "key")          \
	X(PROVIDER, "prv")     \
	X(LINK, "lnk")         \
	X(ENDPOINT, "whe")     \
	X(SOURCE, "src")       \
	X(EVENT, "evt")        \
	X(AUDIT, "aud")        \
	X(SESSION, "ses")      \
	X(ISSUER, "iss")       \
	X(IDENTITY_PROVIDER, "idp") \
	X(LEASE, "lse")        \
	X(DELIVERY, "dlv")     \
	X(MESSAGE, "msg")

enum ks_id_type {
#define X(name, prefix) KS_ID_##name,
	KS_IDS(X)
#undef X
	KS_ID_TYPE_COUNT
};

/** "key_" + 13 digits + terminator. */
#define KS_ID_TEXT_SIZE 18
#define KS_ID_TEXT_LEN 17

/** Writes the 17 characters and a terminator. */
void ks_id_format(enum ks_id_type type, uint64_t id, char ret_text[KS_ID_TEXT_SIZE]);

/** Parses any type of id; only the canonical text is accepted. */
KS_MUST_USE bool ks_id_parse_any(struct ks_str text, enum ks_id_type *ret_type, uint64_t *ret_id);

/** Parses an id of the one type. */
KS_MUST_USE bool ks_id_parse(struct ks_str text, enum ks_id_type type, uint64_t *ret_id);

/** When an id was made: milliseconds since 1970, for newer ones never less than for older ones. */
int64_t ks_id_time(uint64_t id);

/** Makes ids in strictly rising order. Not thread-safe: the owner locks. */
struct ks_id_source {
	uint64_t last;
};

/** The next id for the time `now_ms` (since 1970) with 22 bits taken of `random`; greater than all before, also when
 * the clock goes back. */
uint64_t ks_id_next(struct ks_id_source *source, int64_t now_ms, uint32_t random);
