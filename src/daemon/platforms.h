/* SPDX-License-Identifier: Apache-2.0 */
/** Where the platform files are that come with the service. */
#pragma once

#include "config/config.h"

/** The folder that the setting platforms.directory names; else `platforms` beside the program (a build directory); else
 * share/keystile/platforms of the prefix that the program stands in; NULL where there is none of these. Lives as long as
 * the process; to be called by one thread at a time. */
const char *ks_serve_platforms(const struct ks_config *config);
