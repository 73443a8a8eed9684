/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/platforms.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Relative to the program's own folder. */
static const char *const places[] = {"platforms", "../share/keystile/platforms"};

static bool program_folder(char ret_folder[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret_folder, PATH_MAX - 1);
	char *last;

	if (n <= 0)
		return false;
	ret_folder[n] = '\0';
	last = strrchr(ret_folder, '/');
	if (last)
		*last = '\0';
	return last != NULL;
}

const char *ks_serve_platforms(const struct ks_config *config)
{
	static char found[PATH_MAX + 64];
	char folder[PATH_MAX];
	struct stat st;

	if (config->platforms_directory.text[0])
		return config->platforms_directory.text;
	for (size_t i = 0; program_folder(folder) && i < KS_ARRAY_LEN(places); i++) {
		(void)snprintf(found, sizeof(found), "%s/%s", folder, places[i]);
		if (stat(found, &st) == 0 && S_ISDIR(st.st_mode))
			return found;
	}
	return NULL;
}
