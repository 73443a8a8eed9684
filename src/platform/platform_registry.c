/* SPDX-License-Identifier: Apache-2.0 */
/* One file, and all of them by name. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/platform_priv.h"

struct ks_platform_registry {
	atomic_uint holders;
	struct ks_yaml_arena arena;
	size_t count;
	const struct ks_platform *list[KS_PLATFORMS_MAX]; /* by name */
};

static const struct ks_yaml_limits limits = {
	.thing = "platform",
	.text_max = KS_PLATFORM_FILE_MAX,
	.text_unit = 1u << 10,
	.text_unit_name = "KiB",
	.nodes_max = PLATFORM_NODES_MAX,
	.depth_max = PLATFORM_DEPTH_MAX,
};

/* What a platform of this file must be called. */
static struct ks_str stem(const char *path)
{
	struct ks_str name = ks_str_c(path), head, tail;

	while (ks_str_split(name, '/', &head, &tail))
		name = tail;
	if (name.n > 5 && ks_str_eq(ks_str_sub(name, name.n - 5, 5), KS_STR(".yaml")))
		name.n -= 5;
	return name;
}

static void check_name(struct platform_reading *r, const struct ks_platform_source *source)
{
	struct ks_str wanted = stem(source->name);

	if (r->platform->name && wanted.n > 0 && !ks_str_eq(wanted, ks_str_c(r->platform->name)))
		ks_yaml_report(r->log, (struct ks_yaml_mark){1, 1}, "the platform is called %s, the file must be called %s.yaml",
			       r->platform->name, r->platform->name);
}

static void fill_problem(const char *file, const struct ks_yaml_problem *from, struct ks_platform_problem *to)
{
	_Static_assert(sizeof(to->text) == sizeof(from->text), "both are of one size");
	*to = (struct ks_platform_problem){.line = from->line, .column = from->column};
	(void)snprintf(to->file, sizeof(to->file), "%s", file);
	memcpy(to->text, from->text, sizeof(to->text));
}

enum ks_err ks_platform_parse(const struct ks_platform_source *source, struct ks_yaml_arena *arena,
			      struct ks_platform **ret_platform, struct ks_platform_problem *ret_problem)
{
	struct ks_yaml_arena scratch = {0};
	struct ks_yaml_log log = {0};
	struct ks_platform *platform = ks_yaml_arena_take(arena, sizeof(*platform));
	struct platform_reading r = {.platform = platform, .arena = arena, .scratch = &scratch, .log = &log};
	const struct ks_yaml_node *root;

	if (!platform)
		return KS_MEMORY;
	root = ks_yaml_read(source->text, &limits, &scratch, &log);
	if (root && !log.memory)
		ks_platform_read(&r, root);
	if (!log.any && !log.memory)
		check_name(&r, source);
	ks_yaml_arena_free(&scratch);
	if (log.memory)
		return KS_MEMORY;
	if (log.any) {
		fill_problem(source->name, &log.first, ret_problem);
		return KS_MALFORMED;
	}
	platform->own = source->own;
	*ret_platform = platform;
	return KS_OK;
}

/* ---- all of them ---- */

static size_t place_of(const struct ks_platform_registry *registry, struct ks_str name)
{
	size_t low = 0, high = registry->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ks_str_order(ks_str_c(registry->list[middle]->name), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool stands_at(const struct ks_platform_registry *registry, size_t place, struct ks_str name)
{
	return place < registry->count && ks_str_eq(name, ks_str_c(registry->list[place]->name));
}

/* An operator's own takes the place of ours. Two of one kind with one name cannot be in one folder. */
static enum ks_err add(struct ks_platform_registry *registry, const struct ks_platform *platform)
{
	struct ks_str name = ks_str_c(platform->name);
	size_t place = place_of(registry, name);

	if (stands_at(registry, place, name)) {
		if (platform->own || !registry->list[place]->own)
			registry->list[place] = platform;
		return KS_OK;
	}
	if (registry->count == KS_PLATFORMS_MAX)
		return KS_FULL;
	memmove(&registry->list[place + 1], &registry->list[place], (registry->count - place) * sizeof(registry->list[0]));
	registry->list[place] = platform;
	registry->count++;
	return KS_OK;
}

static void registry_free(struct ks_platform_registry *registry)
{
	ks_yaml_arena_free(&registry->arena);
	free(registry);
}

enum ks_err ks_platform_registry_new(const struct ks_platform_source *sources, size_t count,
				     struct ks_platform_registry **ret_registry, struct ks_platform_problem *ret_problem)
{
	struct ks_platform_registry *registry = calloc(1, sizeof(*registry));
	enum ks_err err = registry ? KS_OK : KS_MEMORY;

	for (size_t i = 0; i < count && err == KS_OK; i++) {
		struct ks_platform *platform;

		err = ks_platform_parse(&sources[i], &registry->arena, &platform, ret_problem);
		if (err == KS_OK)
			err = add(registry, platform);
	}
	if (err != KS_OK) {
		if (registry)
			registry_free(registry);
		return err;
	}
	atomic_init(&registry->holders, 1);
	*ret_registry = registry;
	return KS_OK;
}

struct ks_platform_registry *ks_platform_registry_hold(struct ks_platform_registry *registry)
{
	if (registry)
		atomic_fetch_add_explicit(&registry->holders, 1, memory_order_relaxed);
	return registry;
}

void ks_platform_registry_release(struct ks_platform_registry **registry)
{
	if (*registry && atomic_fetch_sub_explicit(&(*registry)->holders, 1, memory_order_acq_rel) == 1)
		registry_free(*registry);
	*registry = NULL;
}

const struct ks_platform *ks_platform_find(const struct ks_platform_registry *registry, struct ks_str name)
{
	size_t place = registry ? place_of(registry, name) : 0;

	return registry && stands_at(registry, place, name) ? registry->list[place] : NULL;
}

size_t ks_platform_count(const struct ks_platform_registry *registry)
{
	return registry ? registry->count : 0;
}

const struct ks_platform *ks_platform_at(const struct ks_platform_registry *registry, size_t position)
{
	return registry->list[position];
}
