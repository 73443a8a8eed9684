/* SPDX-License-Identifier: Apache-2.0 */
/** Tokens: the secret text of a key. docs/internals/decision.md, step 1. Pure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define KS_TOKEN_PREFIX_MAX 32
#define KS_TOKEN_RANDOM_BYTES 16
/** prefix, "_", 32 hex digits, "_", 8 hex digits, terminator. */
#define KS_TOKEN_TEXT_SIZE (KS_TOKEN_PREFIX_MAX + 1 + 32 + 1 + 8 + 1)
#define KS_TOKEN_FOREIGN_MIN 8
#define KS_TOKEN_FOREIGN_MAX 512
#define KS_BASIC_DECODED_MAX 768

enum ks_token_form {
	KS_TOKEN_NONE,    /* none of these: malformed */
	KS_TOKEN_OWN,     /* prefix_32hex, with or without a checksum */
	KS_TOKEN_JWT,
	KS_TOKEN_FOREIGN  /* of the alphabet of bearer tokens; only an imported key can match */
};

/** True if `prefix` may lead a token of ours (and none of its tokens could be read as having another prefix). */
bool ks_token_prefix_ok(struct ks_str prefix);

/** Writes a token of the own form (FORMAT-v1.md), terminated. `random` is 16 fresh random bytes. KS_MALFORMED for a bad
 * prefix. The caller wipes `random` and `ret_text`. */
KS_MUST_USE enum ks_err ks_token_make(struct ks_str prefix, const uint8_t random[KS_TOKEN_RANDOM_BYTES], bool checksum,
				      char ret_text[KS_TOKEN_TEXT_SIZE]);

/** The form of `text`, by its bytes alone; an own-form token whose checksum is wrong has no form. */
enum ks_token_form ks_token_form(struct ks_str text);

/** The prefix of an own-form token, borrowed; empty for others. */
struct ks_str ks_token_prefix(struct ks_str text);

/** What a request presented. Borrowed from the request, except Basic's parts, which stand in `decoded`: the struct is
 * not to be copied. Values are given without the blanks around them that a field line may have (RFC 9110, 5.5): cutting
 * those off is for whoever read the request. */
enum ks_presented {
	KS_PRESENTED_NOTHING,
	KS_PRESENTED_TOKEN,     /* Bearer, X-API-Key, a header of a kind, or bare */
	KS_PRESENTED_BASIC,
	KS_PRESENTED_MALFORMED
};

struct ks_credential {
	enum ks_presented presented;
	bool basic_tried;       /* the challenge of a 401 is Basic's */
	enum ks_token_form form;
	struct ks_str token;
	struct ks_str user;     /* Basic: the Project ID */
	uint8_t kinds;          /* bits of enum ks_kind that the carrier admits; 0xff: any */
	char decoded[KS_BASIC_DECODED_MAX];
};

/** Starts with nothing presented. `decoded` is left as it is. */
void ks_credential_init(struct ks_credential *credential);

/** Adds the value of one Authorization header (empty counts as not sent). A second credential makes the whole
 * malformed, and then it stays so. A foreign form is presented as such; whether it is admitted the ring says. */
void ks_credential_authorization(struct ks_credential *credential, struct ks_str value);

/** Adds the value of X-API-Key or of a header of the platform's own, which admits `kinds` alone (0xff: any). */
void ks_credential_header(struct ks_credential *credential, struct ks_str value, uint8_t kinds);

/** Wipes what was decoded. Cheap where nothing was. */
void ks_credential_wipe(struct ks_credential *credential);
