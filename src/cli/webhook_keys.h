/* SPDX-License-Identifier: Apache-2.0 */
/** What people at a terminal sign and verify our events with: Standard Webhooks, from a file or the environment. */
#pragma once

#include "cli/cli.h"
#include "hooksig/hooksig.h"

#define KS_WEBHOOK_FILE_MAX ((size_t)8 << 20)
#define KS_WEBHOOK_KEYS_ENV "KEYSTILE_WEBHOOK_SECRETS"
#define KS_WEBHOOK_KEYS_MAX 16
/** Standard Webhooks signs no URL, but a request has one. */
#define KS_WEBHOOK_URL_ANY "http://localhost/"

/** Schemes that hold the keys: standardwebhooks.v1 where there are shared secrets, standardwebhooks.v1a where there are
 * Ed25519 keys. Zero-initialise it. */
struct ks_webhook_keys {
	struct ks_hooksig_scheme *schemes[2];
	size_t count;
};

/** Reads the keys that --secret-file names (- is standard input), or else those of KEYSTILE_WEBHOOK_SECRETS, divided by
 * blanks or line ends: whsec_… and, `to_sign`, whsk_…, or else whpk_…. KS_EXIT_DONE: there is one at least, and the caller
 * frees *ret_keys. Anything else after saying what is wrong; no message quotes a key. */
KS_MUST_USE int ks_webhook_keys_read(const struct ks_cli *cli, bool to_sign, struct ks_webhook_keys *ret_keys);
/** Wipes and frees; safe on none. */
void ks_webhook_keys_free(struct ks_webhook_keys *keys);

/** The whole file (- is standard input), terminated, of at most KS_WEBHOOK_FILE_MAX bytes; the caller frees it. NULL after
 * saying what is wrong. */
char *ks_webhook_file_read(const struct ks_cli *cli, const char *path, size_t *ret_n);
