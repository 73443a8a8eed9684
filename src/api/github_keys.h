/* SPDX-License-Identifier: Apache-2.0 */
/** The public keys that GitHub signs its reports of leaked tokens with: given as a file, or fetched and kept. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "fetch/fetch.h"

#define KS_GITHUB_KEYS_MAX 16
#define KS_GITHUB_KEY_ID_MAX 128

struct ks_github_keys;

/** `url` NULL or empty: nothing is fetched. `options`: of the fetches. KS_MALFORMED: the URL is none. */
KS_MUST_USE enum ks_err ks_github_keys_new(const char *url, const struct ks_fetch_options *options,
					   struct ks_github_keys **ret_keys);
/** Ends a fetch under way, and lets none begin. Any thread. */
void ks_github_keys_stop(struct ks_github_keys *keys);
/** Takes NULL. No other call may be under way. */
void ks_github_keys_free(struct ks_github_keys **keys);

/** Takes the document that GitHub publishes, {"public_keys": [{"key_identifier", "key": PEM}, …]}, in the place of what
 * was known. Keys that are not of P-256 are left out. KS_MALFORMED: it is none, or has no key; what was known stays. Any
 * thread. */
KS_MUST_USE enum ks_err ks_github_keys_take(struct ks_github_keys *keys, struct ks_str json);

/** True: there is a file or a URL, so reports can be checked. */
bool ks_github_keys_configured(struct ks_github_keys *keys);

/** Checks `signature` (base64 of DER, ECDSA P-256 with SHA-256) over `body` by the key `id`. KS_OK; KS_FORBIDDEN: it is
 * not that key's; KS_NOT_FOUND: the key is not known, or (unless `stale_ok`) was fetched more than a day ago: fetch, and
 * ask again. Any thread. */
KS_MUST_USE enum ks_err ks_github_keys_check(struct ks_github_keys *keys, struct ks_str id, struct ks_str signature,
					     struct ks_str body, int64_t now_ms, bool stale_ok);

/** Fetches the keys, at most once a minute whoever asks; waits for it. Any thread that may wait. */
void ks_github_keys_fetch(struct ks_github_keys *keys, int64_t now_ms);
