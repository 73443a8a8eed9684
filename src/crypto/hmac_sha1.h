/* SPDX-License-Identifier: Apache-2.0 */
/** HMAC-SHA-1 (RFC 2104), which one-time codes are made with (RFC 6238). For nothing else: what is new takes SHA-256. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_SHA1_SIZE 20

/** Any thread; the library allocates. KS_CRYPTO: it failed. */
KS_MUST_USE enum ks_err ks_hmac_sha1(struct ks_str key, struct ks_str text, uint8_t ret_mac[KS_SHA1_SIZE]);
