/* SPDX-License-Identifier: Apache-2.0 */
/** Settings: the table settings.def, filled from defaults, a YAML file, the environment and the command line, in this order; the last wins. */
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

#define KS_CONFIG_TEXT_MAX 1024
#define KS_CONFIG_ITEMS_MAX 32

enum ks_setting_type { KS_SETTING_TEXT, KS_SETTING_PATH, KS_SETTING_NUMBER, KS_SETTING_BOOL, KS_SETTING_LIST, KS_SETTING_MAP };

/** A value as text; lists and maps as items. Terminated. */
struct ks_config_value {
	char text[KS_CONFIG_TEXT_MAX];
	size_t count;                              /* of items */
	char names[KS_CONFIG_ITEMS_MAX][64];       /* maps: the member's name */
	char items[KS_CONFIG_ITEMS_MAX][256];
	uint64_t number;                           /* NUMBER; BOOL as 0 or 1 */
	const char *source;                        /* "default", "file", "environment", "command line", "last service" */
};

struct ks_config {
#define NUMBER(min, max) NUMBER
#define KS_SETTING(member, name, type, initial, secret, about) struct ks_config_value member;
#include "config/settings.def"
#undef KS_SETTING
#undef NUMBER
};

struct ks_config_problem {
	char text[512];
};

/** Defaults, then `file` (may be NULL), then the environment as `getter` gives it (getenv, or a test's). KS_NOT_FOUND: no such file; KS_MALFORMED:
 * what and where in *ret_problem (unknown and doubled settings, wrong types, values out of range). On the heap: ks_config_free. */
KS_MUST_USE enum ks_err ks_config_load(const char *file, const char *(*getter)(const char *name), struct ks_config **ret_config,
				       struct ks_config_problem *ret_problem);
void ks_config_free(struct ks_config **config);

/** Sets one by its name ("listen"), as from the command line. */
KS_MUST_USE enum ks_err ks_config_set(struct ks_config *config, const char *name, const char *value, struct ks_config_problem *ret_problem);

/** Writes those settings by which the store is written and the ring is made (the policy's path, the domain, prefixes, the ring's place) as a settings file,
 * whole or not at all: what the command line goes by when no service runs. KS_NOT_FOUND: a path leads nowhere; KS_SYSTEM, KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_config_keep(const struct ks_config *config, const char *path);
/** Takes from such a file what is still at its default. KS_OK also where there is no such file; KS_MALFORMED, KS_MEMORY. */
KS_MUST_USE enum ks_err ks_config_recall(struct ks_config *config, const char *path, struct ks_config_problem *ret_problem);

/** Prints all as YAML with where each comes from and what it is; secrets masked. */
void ks_config_print(const struct ks_config *config, FILE *out);
/** The same as a JSON object of name to value. */
void ks_config_print_json(const struct ks_config *config, FILE *out);

/** Prints the manual page of the settings file (mdoc), from the table. */
void ks_config_man(FILE *out);
