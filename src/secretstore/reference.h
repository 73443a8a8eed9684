/* SPDX-License-Identifier: Apache-2.0 */
/** References: where a value lies in a secret manager of the tenant's, as JSON that is not secret. Pure.
 *
 * Every reference has `store` (aws, gcp, vault, azure), may name an `identity` (the operator's name of the credential
 * that the service shows to the store; else the one named as the store), and may select a `member` of a value that is
 * JSON: a name, or a pointer (RFC 6901) where it begins with a slash. Further members, by store (secretstore/members.def):
 *   aws    secret (name or ARN), region (needed unless an ARN tells it), role, external_id, version, stage, endpoint
 *   gcp    secret (projects/P/secrets/S or projects/P/locations/L/secrets/S), version, impersonate
 *   vault  path, mount, namespace, version, address
 *   azure  vault (https://NAME.vault.azure.net), secret, version, directory
 * Unknown members are refused. docs/vault.md, "References". */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_SECRETSTORE_REFERENCE_MAX 4096 /* bytes of JSON */

/** Stores: X(name, name in a reference). */
#define KS_SECRETSTORES(X)  \
	X(AWS, "aws")       \
	X(GCP, "gcp")       \
	X(VAULT, "vault")   \
	X(AZURE, "azure")

enum ks_secretstore_kind {
#define X(name, text) KS_SECRETSTORE_##name,
	KS_SECRETSTORES(X)
#undef X
	KS_SECRETSTORE_KIND_COUNT
};

/** "aws"; static. */
const char *ks_secretstore_kind_name(enum ks_secretstore_kind kind);

/** How a read ended; the table is secretstore/codes.def. */
enum ks_secretstore_code {
#define KS_SECRETSTORE_CODE(name, code, who, circuit, text) KS_SECRETSTORE_##name,
#include "secretstore/codes.def"
#undef KS_SECRETSTORE_CODE
	KS_SECRETSTORE_CODE_COUNT
};

/** Of `code`, static, never NULL: its stable name ("trust_revoked"); who can mend it ("tenant", "operator", "store",
 * "nobody"); what happened and what to do, without anything of the tenant's. */
const char *ks_secretstore_code_name(enum ks_secretstore_code code);
const char *ks_secretstore_code_who(enum ks_secretstore_code code);
const char *ks_secretstore_code_text(enum ks_secretstore_code code);

/** A reference taken apart. Texts borrow from the JSON or from `room`, so that the struct may not be copied; those of
 * members that are not there are empty, but for the defaults that are said here. Needs no initialising. */
struct ks_secretstore_reference {
	enum ks_secretstore_kind kind;
	struct ks_str identity;    /* default: the name of the store */
	struct ks_str member;
	struct ks_str secret;
	struct ks_str region;      /* also where an ARN told it */
	struct ks_str role;
	struct ks_str external_id;
	struct ks_str version;     /* gcp: default "latest" */
	struct ks_str stage;
	struct ks_str endpoint;
	struct ks_str impersonate;
	struct ks_str path;
	struct ks_str mount;       /* default "secret" */
	struct ks_str space;       /* `namespace` */
	struct ks_str address;
	struct ks_str vault;
	struct ks_str directory;
	char room[KS_SECRETSTORE_REFERENCE_MAX];
};

/** What is wrong with a reference: which member, as a JSON pointer ("/region"; "" the whole), and why. */
struct ks_secretstore_detail {
	char pointer[48];
	char text[160];
};

/** Reads a reference. KS_OK; KS_MALFORMED: no JSON object, an unknown, missing or wrong member: *ret_detail names it;
 * KS_TOO_LARGE (*ret_detail too). `json` must stay as long as the struct is used. Any thread. */
KS_MUST_USE enum ks_err ks_secretstore_parse(struct ks_str json, struct ks_secretstore_reference *ret_reference,
					     struct ks_secretstore_detail *ret_detail);

/** The same where only the answer matters. Says nothing of whether the store or the identity is there. */
KS_MUST_USE enum ks_err ks_secretstore_check(struct ks_str json, struct ks_secretstore_detail *ret_detail);

/** Selects of `value`, as a store gave it, what `member` says; writes it to `to` (whose content is then a secret).
 * Empty `member`: the whole value. OK; VALUE_EMPTY, VALUE_NOT_JSON, MEMBER_MISSING, MEMBER_NOT_TEXT, TOO_LARGE (`to` has
 * no room). Texts are given without quotes and escapes, numbers and booleans as they stand. Any thread. */
struct ks_buf;
KS_MUST_USE enum ks_secretstore_code ks_secretstore_select(struct ks_str value, struct ks_str member, struct ks_buf *to);
