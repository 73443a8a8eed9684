/* SPDX-License-Identifier: Apache-2.0 */
/** Borrowed text: a pointer and a length, no terminator promised, may hold any byte. */
#pragma once

#include <string.h>

#include "base/base.h"

struct ks_str {
	const char *p;
	size_t n;
};

#define KS_STR(literal) ((struct ks_str){(literal), sizeof(literal) - 1})
/** For printf's "%.*s". */
#define KS_STR_ARG(s) (int)(s).n, (s).p

static inline struct ks_str ks_str_of(const char *p, size_t n)
{
	return (struct ks_str){p, n};
}

/** Borrows a terminated string; NULL becomes the empty text. */
static inline struct ks_str ks_str_c(const char *z)
{
	return (struct ks_str){z ? z : "", z ? strlen(z) : 0};
}

static inline bool ks_str_empty(struct ks_str s)
{
	return s.n == 0;
}

/** Equality of texts that are not secret (secrets: ks_ct_equal). */
bool ks_str_eq(struct ks_str a, struct ks_str b);

/** Equality without regard to ASCII case. */
bool ks_str_eq_nocase(struct ks_str a, struct ks_str b);

bool ks_str_starts(struct ks_str s, struct ks_str prefix);

/** memcmp order, the shorter first where one is the other's beginning. */
int ks_str_order(struct ks_str a, struct ks_str b);

/** Bytes [from, from + n) of `s`, cut to what is there. */
struct ks_str ks_str_sub(struct ks_str s, size_t from, size_t n);

/** Position of the first `c`, or SIZE_MAX. */
size_t ks_str_find(struct ks_str s, char c);

/** Divides at the first `c`: *ret_head before it, *ret_tail after it. False (both untouched) where there is none. */
KS_MUST_USE bool ks_str_split(struct ks_str s, char c, struct ks_str *ret_head, struct ks_str *ret_tail);

/** Without blanks and tabs at both ends. */
struct ks_str ks_str_trim(struct ks_str s);

/** Decimal digits alone (1 to 20 of them), no sign; false on anything else or beyond `max`. */
KS_MUST_USE bool ks_str_to_u64(struct ks_str s, uint64_t max, uint64_t *ret_value);

/** True if `s` is well-formed UTF-8 (no overlong form, no surrogate, nothing beyond U+10FFFF; Unicode, table 3-7). NUL
 * counts as well-formed. */
bool ks_str_is_utf8(struct ks_str s);

/** Length (1 to 4) of the one well-formed UTF-8 sequence that `s` begins with; 0 where it begins with none. */
size_t ks_str_utf8_len(struct ks_str s);

/** True if `s` holds a byte below 0x20, or 0x7f. */
bool ks_str_has_control(struct ks_str s);

/** The value of a hexadecimal digit of either case, or -1. */
int ks_hex_digit(char c);
