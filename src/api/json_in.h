/* SPDX-License-Identifier: Apache-2.0 */
/** Reading request bodies strictly: one parser (jansson), doubled and unknown members refused, every problem with its JSON pointer. */
#pragma once

#include <jansson.h>

#include "base/addr.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"

#define KS_IN_PROBLEMS_MAX 16

struct ks_in_problem {
	char pointer[128];
	char detail[160];
};

/** What was found wrong; empty: nothing. */
struct ks_in {
	size_t problem_count;
	struct ks_in_problem problems[KS_IN_PROBLEMS_MAX];
};

/** From now on the JSON library wipes what it gives back: bodies hold tokens. Once, before any JSON is parsed; any thread. */
void ks_in_wipes(void);

/** Parses `text` into an object (free with json_decref). NULL: *ret_detail (256 bytes) says why and where. */
json_t *ks_in_parse(struct ks_str text, char ret_detail[256]);

/** Adds a problem at `base` + "/" + `name` (either may be empty); the first ones are kept. */
void ks_in_problem(struct ks_in *in, const char *base, const char *name, const char *fmt, ...) KS_PRINTF(4, 5);

/** `name` as a token of a JSON pointer (RFC 6901 section 3), cut to what fits. */
void ks_in_escape(const char *name, char *ret_token, size_t cap);

/** Every member of `object` that is not in `names` (NULL-terminated) is a problem. */
void ks_in_known(struct ks_in *in, const json_t *object, const char *base, const char *const *names);

/** Each reads member `name` of `object`. A wrong type or value, or a missing one where `required`, is a problem; then, and where it is missing, the result is the
 * "nothing" value: empty text, untouched *ret, false. Text is borrowed from the JSON. */
struct ks_str ks_in_str(struct ks_in *in, const json_t *object, const char *base, const char *name, size_t max, bool required);
bool ks_in_u64(struct ks_in *in, const json_t *object, const char *base, const char *name, uint64_t min, uint64_t max, bool required,
	       uint64_t *ret);
bool ks_in_bool(struct ks_in *in, const json_t *object, const char *base, const char *name, bool *ret);
/** An id of `type`, or of any type of tenant where type is KS_ID_TYPE_COUNT. null counts as missing. */
bool ks_in_id(struct ks_in *in, const json_t *object, const char *base, const char *name, enum ks_id_type type, bool required,
	      uint64_t *ret);
/** A time; null gives KS_TIME_NONE and true where `null_ok`. */
bool ks_in_time(struct ks_in *in, const json_t *object, const char *base, const char *name, bool required, bool null_ok, int64_t *ret);
/** An array of texts, at most `cap`. *ret_count gets how many; true if the member was there and sound. */
bool ks_in_strs(struct ks_in *in, const json_t *object, const char *base, const char *name, size_t max, struct ks_str *ret, size_t cap,
		size_t *ret_count);
