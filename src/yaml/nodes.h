/* SPDX-License-Identifier: Apache-2.0 */
/** YAML as a tree of nodes with their places, for files that people write and the service must trust: the policy, the
 * assertions, the platform files. A strict part of YAML 1.1 by libyaml's event parser: one document, no anchors, aliases,
 * tags or directives, UTF-8 without control bytes, bounded in size, count and depth. Pure: the caller reads the file. */
#pragma once

#include "base/str.h"

#define KS_YAML_DEPTH_MAX 16

/** What a kind of file may be, and its name in messages. */
struct ks_yaml_limits {
	const char *thing;  /* "policy": "a second document begins here: a policy is one" */
	size_t text_max;    /* bytes, a multiple of unit */
	size_t text_unit;   /* what text_max is told in: 1 << 20 or 1 << 10 */
	const char *text_unit_name; /* "MiB" or "KiB" */
	unsigned nodes_max; /* values: texts, lists and maps, keys too */
	unsigned depth_max; /* containers in containers; at most KS_YAML_DEPTH_MAX */
};

/** Memory that is freed at once. Zero-initialise it. */
struct ks_yaml_arena {
	struct ks_yaml_arena_block *head;
};

/** `n` zeroed bytes, aligned for anything; NULL without memory. */
void *ks_yaml_arena_take(struct ks_yaml_arena *arena, size_t n);

/** A terminated copy; NULL without memory. */
char *ks_yaml_arena_copy(struct ks_yaml_arena *arena, struct ks_str text);
void ks_yaml_arena_free(struct ks_yaml_arena *arena);

/** A place in the file, 1-based; columns in characters. */
struct ks_yaml_mark {
	unsigned line;
	unsigned column;
};

/** What is wrong, and where. */
struct ks_yaml_problem {
	unsigned line;
	unsigned column;
	char text[256];
};

/** The problem that stands first in the file, of all that were reported. Zero-initialise it. */
struct ks_yaml_log {
	bool any;
	bool memory; /* the operation must end with KS_MEMORY */
	struct ks_yaml_problem first;
};

/** Notes a problem; the text is cut to 255 bytes, at the end of a character. */
void ks_yaml_report(struct ks_yaml_log *log, struct ks_yaml_mark at, const char *fmt, ...) KS_PRINTF(3, 4);

#define KS_YAML_QUOTE_SIZE 88
/** `text` for a message: between single quotes, cut to 80 bytes at most, control bytes as '?'. Returns ret_text. */
const char *ks_yaml_quote(struct ks_str text, char ret_text[KS_YAML_QUOTE_SIZE]);
#define KS_YAML_QUOTE(text) ks_yaml_quote((text), (char[KS_YAML_QUOTE_SIZE]){0})

enum ks_yaml_node_type {
	KS_YAML_TEXT,
	KS_YAML_LIST,
	KS_YAML_MAP,    /* children are key, value, key, value, ... */
	KS_YAML_UNKNOWN /* already reported; nothing more is said of it */
};

struct ks_yaml_node {
	enum ks_yaml_node_type type;
	bool plain; /* a text without quotes */
	bool flow;  /* a container in braces or brackets */
	struct ks_yaml_mark mark;
	struct ks_str text; /* terminated, but may hold NUL */
	struct ks_yaml_node *first;
	struct ks_yaml_node *last;
	struct ks_yaml_node *next;
	size_t count; /* of children */
};

/** Says what is wrong with `node`, unless it is one that was already reported. */
#define KS_YAML_REPORT(log, node, ...)                                          \
	do {                                                                    \
		if ((node)->type != KS_YAML_UNKNOWN)                            \
			ks_yaml_report((log), (node)->mark, __VA_ARGS__);       \
	} while (0)

/** Reads the one document of `yaml` into nodes of `arena`. NULL where what there is cannot be judged further (the log
 * says why). */
struct ks_yaml_node *ks_yaml_read(struct ks_str yaml, const struct ks_yaml_limits *limits, struct ks_yaml_arena *arena,
				  struct ks_yaml_log *log);

/** A key and its value in a map. */
struct ks_yaml_pair {
	const struct ks_yaml_node *key;
	const struct ks_yaml_node *value;
};

/** The pairs of `map` whose keys are text, in the file's order, in `arena`; of doubled ones the first. Keys that are not
 * text and doubled ones are reported. Returns their number; 0 without memory (the log says so). */
size_t ks_yaml_pairs(const struct ks_yaml_node *map, struct ks_yaml_arena *arena, struct ks_yaml_log *log,
		     struct ks_yaml_pair **ret_pairs);

/** True for nothing, ~ and null without quotes. */
bool ks_yaml_is_null(const struct ks_yaml_node *node);
