/* SPDX-License-Identifier: Apache-2.0 */
/* Platform files: read from their folders, kept as a counted registry. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_read.h"
#include "engine/engine_priv.h"
#include "engine/platforms.h"
#include "hooksig/hooksig.h"

/* What was read, until it is parsed. */
struct files {
	size_t count;
	struct ks_platform_source list[KS_PLATFORMS_MAX];
};

static void free_files(struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free((void *)(uintptr_t)files->list[i].name);
		free((void *)(uintptr_t)files->list[i].text.p);
	}
	free(files);
}

/* Files that end in .yaml; editors leave others beside them, and those that begin with a dot. */
static int is_platform_file(const struct dirent *entry)
{
	struct ks_str name = ks_str_c(entry->d_name);

	return name.n > 5 && name.p[0] != '.' && ks_str_eq(ks_str_sub(name, name.n - 5, 5), KS_STR(".yaml"));
}

static enum ks_err add_file(struct files *files, const char *folder, const char *name, bool own,
			    struct ks_engine_problem *problem)
{
	struct ks_platform_source *source = &files->list[files->count];
	char *path = NULL, *text = NULL;
	size_t n = 0;
	enum ks_err err;

	if (files->count == KS_PLATFORMS_MAX)
		return ks_engine_problem(problem, KS_MALFORMED, "%s: more than %d platform files", folder, KS_PLATFORMS_MAX);
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return KS_MEMORY;
	err = ks_engine_read_file(path, KS_PLATFORM_FILE_MAX, &text, &n, problem);
	if (err != KS_OK) {
		free(path);
		return err;
	}
	*source = (struct ks_platform_source){path, ks_str_of(text, n), own};
	files->count++;
	return KS_OK;
}

static enum ks_err add_folder(struct files *files, const char *folder, bool own, struct ks_engine_problem *problem)
{
	struct dirent **entries = NULL;
	int n = folder ? scandir(folder, &entries, is_platform_file, alphasort) : 0;
	enum ks_err err = KS_OK;

	if (n < 0)
		return ks_engine_problem(problem, KS_NOT_FOUND, "%s: %s", folder, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (err == KS_OK)
			err = add_file(files, folder, entries[i]->d_name, own, problem);
		free(entries[i]);
	}
	free(entries);
	return err;
}

/* One platform's schemes: the members of its part. */
static enum ks_err check_schemes(const struct ks_platform *platform, struct ks_platform_problem *problem)
{
	struct ks_json_read r = ks_json_read_of(platform->webhook);
	enum ks_err err = KS_OK;
	bool first = true;

	ks_json_read_open(&r, '{');
	while (err == KS_OK && ks_json_read_more(&r, &first, '}')) {
		struct ks_str name = ks_json_read_name(&r).raw;
		struct ks_hooksig_scheme *scheme = NULL;
		struct ks_hooksig_problem found;

		err = ks_hooksig_compile(ks_json_read_raw(&r), KS_STR(""), &found, &scheme);
		ks_hooksig_free(scheme);
		if (err != KS_MALFORMED)
			continue;
		*problem = (struct ks_platform_problem){.line = 1, .column = 1};
		(void)snprintf(problem->file, sizeof(problem->file), "%s.yaml", platform->name);
		(void)snprintf(problem->text, sizeof(problem->text), "webhook/%.*s%.60s: %.100s", (int)KS_MIN(name.n, 60), name.p,
			       found.pointer, found.text);
	}
	return err;
}

enum ks_err ks_platforms_check_webhooks(const struct ks_platform_registry *registry, struct ks_platform_problem *ret_problem)
{
	enum ks_err err = KS_OK;

	for (size_t i = 0; err == KS_OK && i < ks_platform_count(registry); i++)
		if (ks_platform_at(registry, i)->webhook.n > 0)
			err = check_schemes(ks_platform_at(registry, i), ret_problem);
	return err;
}

enum ks_err ks_platforms_load(const struct ks_engine_options *options, struct ks_platform_registry **ret_registry,
			      struct ks_engine_problem *ret_problem)
{
	struct files *files = calloc(1, sizeof(*files));
	struct ks_platform_problem where = {0};
	enum ks_err err;

	if (!files)
		return KS_MEMORY;
	err = add_folder(files, options->platforms_path, false, ret_problem);
	if (err == KS_OK)
		err = add_folder(files, options->platforms_own_path, true, ret_problem);
	if (err == KS_OK) {
		err = ks_platform_registry_new(files->list, files->count, ret_registry, &where);
		if (err == KS_OK) {
			err = ks_platforms_check_webhooks(*ret_registry, &where);
			if (err != KS_OK)
				ks_platform_registry_release(ret_registry);
		}
		if (err == KS_MALFORMED)
			(void)ks_engine_problem(ret_problem, err, "%s:%u:%u: %s", where.file, where.line, where.column, where.text);
	}
	free_files(files);
	return err;
}

struct ks_platform_registry *ks_engine_platforms(struct ks_engine *engine)
{
	struct ks_platform_registry *registry;

	pthread_mutex_lock(&engine->policy_lock);
	registry = ks_platform_registry_hold(engine->platforms);
	pthread_mutex_unlock(&engine->policy_lock);
	return registry;
}

enum ks_err ks_engine_reload_platforms(struct ks_engine *engine, struct ks_engine_problem *ret_problem)
{
	struct ks_platform_registry *fresh, *old;
	enum ks_err err = ks_platforms_load(&engine->options, &fresh, ret_problem);

	/* A folder that is gone is as bad as a file that cannot be read: the old ones stay. */
	if (err != KS_OK)
		return err == KS_MEMORY ? err : KS_MALFORMED;
	pthread_mutex_lock(&engine->policy_lock);
	old = engine->platforms;
	engine->platforms = fresh;
	pthread_mutex_unlock(&engine->policy_lock);
	ks_platform_registry_release(&old);
	ks_engine_say(engine, 1, "platforms_loaded", "%zu", ks_platform_count(fresh));
	return KS_OK;
}
