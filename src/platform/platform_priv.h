/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of this module share. The way of a file: src/yaml (text to nodes), platform_read.c (members and fields),
 * platform_probe.c (the probe), platform_json.c and platform_webhook.c (the webhook part), platform_registry.c (all of them by name). */
#pragma once

#include <limits.h>

#include "platform/probe.h"
#include "yaml/nodes.h"

#define PLATFORM_NODES_MAX 8192
#define PLATFORM_DEPTH_MAX 14

/* ---- patterns ---- */

#define PLATFORM_PATTERN_MAX 512 /* bytes of its text */
#define PLATFORM_CODE_MAX 1024   /* steps that it becomes */
#define PLATFORM_CLASSES_MAX 64
#define PLATFORM_GROUPS_MAX 6 /* in one another */

enum platform_step_type { PLATFORM_STEP_CLASS, PLATFORM_STEP_SPLIT, PLATFORM_STEP_JUMP, PLATFORM_STEP_MATCH };

/* A step of the automaton of a pattern. Where to go next counts from the step itself. */
struct platform_step {
	enum platform_step_type type;
	int16_t to, or_to;
	uint8_t set; /* CLASS: which of the pattern's classes */
};

struct platform_class {
	uint8_t bits[32];
};

struct platform_pattern {
	size_t step_count;
	struct platform_step *steps;
	size_t class_count;
	struct platform_class *classes;
};

/* Compiles into `arena`. NULL, or what is wrong with the pattern (static text). *ret_memory: there was no memory. */
const char *ks_platform_pattern_compile(struct ks_str text, struct ks_yaml_arena *arena,
					struct platform_pattern *ret_pattern, bool *ret_memory);

/* True if the whole of `value` is of the pattern. Time: length times steps; no recursion, no memory. */
KS_MUST_USE bool ks_platform_pattern_match(const struct platform_pattern *pattern, struct ks_str value);

/* ---- formats ---- */

struct ks_platform_format {
	const char *name;    /* NULL: the file's own */
	const char *text;    /* the pattern as written; NULL: PEM */
	const char *message;
	const char *example;
	const char *pem[3]; /* labels that are taken */
	struct platform_pattern pattern;
};

/* The named format (a new one in `arena`), or NULL where there is no such name or no memory (*ret_memory). */
const struct ks_platform_format *ks_platform_format_named(struct ks_str name, struct ks_yaml_arena *arena, bool *ret_memory);

/* What a type is where the file says nothing else. */
bool ks_platform_type_secret(enum ks_platform_type type);
size_t ks_platform_type_max(enum ks_platform_type type);

/* ---- reading ---- */

enum platform_map_id {
	PLATFORM_MAP_PLATFORM,
	PLATFORM_MAP_FIELD,
	PLATFORM_MAP_PROBE,
	PLATFORM_MAP_BASIC,
	PLATFORM_MAP_AWS,
	PLATFORM_MAP_JWT,
	PLATFORM_MAP_ANSWER
};

struct platform_reading {
	struct ks_platform *platform;
	struct ks_platform_field *fields; /* platform->fields while they are written */
	struct ks_yaml_arena *arena;      /* of what the platform keeps */
	struct ks_yaml_arena *scratch;    /* of the nodes and all else */
	struct ks_yaml_log *log;
};

/* A map whose members are those of members.def. */
struct platform_map {
	enum platform_map_id id;
	const struct ks_yaml_node *at; /* where to say what is missing */
	size_t count;
	struct ks_yaml_pair *pairs;
};

#define PLATFORM_REPORT(r, node, ...) KS_YAML_REPORT((r)->log, node, __VA_ARGS__)

/* False, reported: it is no map. Members that are unknown or missing are reported. */
bool ks_platform_map(struct platform_reading *r, enum platform_map_id id, const struct ks_yaml_node *at,
		     const struct ks_yaml_node *node, struct platform_map *ret_map);
const struct ks_yaml_node *ks_platform_member(const struct platform_map *map, const char *name);

/* `n` of `size` zeroed bytes that the platform keeps; NULL without memory (the log says so). */
void *ks_platform_take(struct platform_reading *r, size_t n, size_t size);

/* One line of text, kept; false, reported, where it is none or longer than `max` bytes. */
bool ks_platform_line(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, size_t max,
		      const char **ret_text);
/* Any text without quotes or with; false, reported, for lists, maps and nothing. */
bool ks_platform_text(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing);
bool ks_platform_number(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, uint64_t min,
			uint64_t max, uint64_t *ret_number);
bool ks_platform_bool(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, bool *ret_value);

void ks_platform_read(struct platform_reading *r, const struct ks_yaml_node *root);
void ks_platform_read_probe(struct platform_reading *r, const struct ks_yaml_node *node);

/* Compiles each scheme of the part `webhook:` to see that it is whole. */
void ks_platform_check_webhook(struct platform_reading *r, const struct ks_yaml_node *node);

/* Reads a text with fields in it; marks in *uses the fields that stand in it. */
bool ks_platform_template(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing,
			  enum ks_platform_escape escape, struct ks_platform_template *ret_template, uint32_t *uses);

/* A node as JSON: texts without quotes that are true, false, null or numbers of JSON as such, all else as strings. */
void ks_platform_json(const struct ks_yaml_node *node, struct ks_yaml_arena *scratch, struct ks_yaml_log *log, struct ks_buf *to);

/* Parses one file. *ret_platform and all it points to live in `arena`. KS_MALFORMED, KS_MEMORY. */
KS_MUST_USE enum ks_err ks_platform_parse(const struct ks_platform_source *source, struct ks_yaml_arena *arena,
					  struct ks_platform **ret_platform, struct ks_platform_problem *ret_problem);
