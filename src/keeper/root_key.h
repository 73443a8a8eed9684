/* SPDX-License-Identifier: Apache-2.0 */
/* Roots that hold a key of their own: it wraps by AES-256-GCM. */
#pragma once

#include "keeper/child_priv.h"

/* Keeps the key, and makes the root's id and label of it. */
enum ks_err ks_root_key_set(struct ks_root *root, const uint8_t key[KS_SEAL_KEY_SIZE], const char *what);
enum ks_err ks_root_key_wrap(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
			     const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out);
enum ks_err ks_root_key_unwrap(struct ks_root *root, struct ks_worker *w, struct ks_str associated, struct ks_str wrapped,
			       uint8_t ret_key[KS_SEAL_KEY_SIZE]);
