/* SPDX-License-Identifier: Apache-2.0 */
/** Writing JSON into a growing buffer. Commas are put by themselves. Any failure (memory, 64 MiB) sticks. */
#pragma once

#include "base/addr.h"
#include "base/id.h"
#include "base/str.h"

struct ks_viewer;

struct ks_json {
	char *p;
	size_t n;
	size_t cap;
	bool failed;
	bool comma;       /* a comma is due before the next value */
	struct ks_viewer *viewer; /* for whose eyes it is (viewer.c); NULL: for all */
};

void ks_json_init(struct ks_json *json);
/** Wipes and frees. */
void ks_json_free(struct ks_json *json);

void ks_json_open(struct ks_json *json, char bracket);   /* '{' or '[' */
void ks_json_close(struct ks_json *json, char bracket);  /* '}' or ']' */
/** Takes back the bracket that was closed last, if that is what was written last: more members follow. */
void ks_json_reopen(struct ks_json *json, char bracket);
/** A member's name; the value comes next. `name` needs no escaping. */
void ks_json_name(struct ks_json *json, const char *name);

void ks_json_str(struct ks_json *json, struct ks_str s);
void ks_json_c(struct ks_json *json, const char *z);     /* NULL: null */
void ks_json_u64(struct ks_json *json, uint64_t value);
void ks_json_bool(struct ks_json *json, bool value);
void ks_json_null(struct ks_json *json);
void ks_json_time(struct ks_json *json, int64_t ms);     /* KS_TIME_NONE: null */
void ks_json_id(struct ks_json *json, enum ks_id_type type, uint64_t id); /* 0: null */
void ks_json_raw(struct ks_json *json, struct ks_str text); /* JSON already; empty: null */

/** Name and value. */
void ks_json_put_str(struct ks_json *json, const char *name, struct ks_str s);
void ks_json_put_some(struct ks_json *json, const char *name, struct ks_str s); /* empty: null */
void ks_json_put_c(struct ks_json *json, const char *name, const char *z);
void ks_json_put_u64(struct ks_json *json, const char *name, uint64_t value);
void ks_json_put_bool(struct ks_json *json, const char *name, bool value);
void ks_json_put_null(struct ks_json *json, const char *name);
void ks_json_put_time(struct ks_json *json, const char *name, int64_t ms);
void ks_json_put_id(struct ks_json *json, const char *name, enum ks_id_type type, uint64_t id);
void ks_json_put_raw(struct ks_json *json, const char *name, struct ks_str text);
/** Who did it: the id where the viewer sees the key or the user, else the kind of tenant that they belong to. Empty:
 * null. */
void ks_json_put_actor(struct ks_json *json, const char *name, struct ks_str actor);
