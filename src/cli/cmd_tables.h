/* SPDX-License-Identifier: Apache-2.0 */
/** Printing answers for people: records as name and value, lists as columns. */
#pragma once

#include "cli/cli.h"

/** Every member of the object, a line each; null is "-", arrays are joined by blanks. */
void ks_show_record(struct ks_cli *cli, const json_t *answer);

/** The members `columns` of every object of an array, under a heading, padded. NULL ends `columns`. */
void ks_show_rows(const json_t *items, const char *const *columns);

/** The rows of {"items": […]}. Tells how to go on where there is more. */
void ks_show_list(const json_t *answer, const char *const *columns);

/** Nothing but "done". */
void ks_show_done(struct ks_cli *cli, const json_t *answer);

/** The token alone on standard output, so that scripts can take it; what it is on standard error. */
void ks_show_token(struct ks_cli *cli, const json_t *answer);

/** Appends "?name=value" or "&name=value" for an option that was given. */
void ks_put_query(struct ks_cli *cli, struct ks_buf *target, const char *option, const char *name);

/** Writes a member for an option that was given. */
void ks_put_member(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name);

/** "never", an RFC 3339 time as it is, or "90d" from now on, as a JSON value. False: none of these. */
KS_MUST_USE bool ks_put_expiry(struct ks_json *body, const char *text);
