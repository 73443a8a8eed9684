/* SPDX-License-Identifier: Apache-2.0 */
/** What a password must be. Pure. */
#pragma once

#include "base/str.h"

#define KS_PASSWORD_MIN 12   /* bytes */
#define KS_PASSWORD_MAX 1024

/** What is wrong with `password` for the user with this e-mail address, as a sentence (static); NULL: nothing. Length,
 * UTF-8, the address itself, and the passwords that everybody tries first (NIST SP 800-63B 5.1.1.2); no rules about
 * kinds of characters. */
const char *ks_password_fault(struct ks_str password, struct ks_str email);
