/* SPDX-License-Identifier: Apache-2.0 */
/* What a member of a reference may be. Pure; each is true where the text may stand. */
#pragma once

#include "base/str.h"

/* The same of what the file of identities and a reference both have. */
bool ks_secretstore_is_name(struct ks_str s);
bool ks_secretstore_is_member(struct ks_str s);
bool ks_secretstore_is_aws_secret(struct ks_str s);
bool ks_secretstore_is_region(struct ks_str s);
bool ks_secretstore_is_role(struct ks_str s);
bool ks_secretstore_is_external_id(struct ks_str s);
bool ks_secretstore_is_aws_version(struct ks_str s);
bool ks_secretstore_is_stage(struct ks_str s);
bool ks_secretstore_is_aws_endpoint(struct ks_str s);
bool ks_secretstore_is_gcp_secret(struct ks_str s);
bool ks_secretstore_is_gcp_version(struct ks_str s);
bool ks_secretstore_is_service_account(struct ks_str s);
bool ks_secretstore_is_path(struct ks_str s);
bool ks_secretstore_is_count(struct ks_str s);
/* An origin, https:// or http://, without path. */
bool ks_secretstore_is_address(struct ks_str s);
bool ks_secretstore_is_azure_vault(struct ks_str s);
bool ks_secretstore_is_azure_name(struct ks_str s);
bool ks_secretstore_is_azure_version(struct ks_str s);
bool ks_secretstore_is_directory(struct ks_str s);

/* Part number `index` of `s`, which `c` divides; empty where there is none. */
struct ks_str ks_secretstore_part(struct ks_str s, char c, size_t index);
/* The host of an origin, with its port. */
struct ks_str ks_secretstore_host(struct ks_str origin);
