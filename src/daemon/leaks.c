/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/leaks.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_FILE_MAX 65536

static enum ks_err complain(struct ks_config_problem *problem, const char *setting, const char *what)
{
	(void)snprintf(problem->text, sizeof(problem->text), "%s: %s", setting, what);
	return KS_MALFORMED;
}

enum ks_err ks_serve_leak_action(const struct ks_config *config, struct ks_engine_options *options,
				 struct ks_config_problem *ret_problem)
{
	if (!ks_leak_action_parse(ks_str_c(config->leaks_action.text), &options->leak_action))
		return complain(ret_problem, "leaks.action", "must be alert, rotate or revoke");
	options->leak_overlap_ms = (int64_t)config->leaks_overlap_s.number * 1000;
	return KS_OK;
}

void ks_serve_leak_routes(const struct ks_config *config, struct ks_api_options *options)
{
	options->leaks_per_minute = (uint32_t)config->leaks_per_minute.number;
	options->github_keys_url = config->leaks_github_keys_url.text;
}

enum ks_err ks_serve_github_keys(const struct ks_config *config, struct ks_api *api,
				 struct ks_config_problem *ret_problem)
{
	const char *path = config->leaks_github_keys.text;
	char *text;
	FILE *file;
	size_t n;
	enum ks_err err;

	if (!path[0])
		return KS_OK;
	file = fopen(path, "re");
	text = malloc(KEYS_FILE_MAX);
	n = file && text ? fread(text, 1, KEYS_FILE_MAX, file) : 0;
	err = n > 0 && n < KEYS_FILE_MAX ? ks_api_set_github_keys(api, ks_str_of(text, n)) : KS_MALFORMED;
	if (file)
		(void)fclose(file);
	free(text);
	return err == KS_OK ? KS_OK : complain(ret_problem, "leaks.github_keys", "the file has no public keys of P-256");
}
