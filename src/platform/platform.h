/* SPDX-License-Identifier: Apache-2.0 */
/** Platform files: what a provider of one platform consists of (fields), how its webhooks are verified and how its health
 * is probed. One YAML file a platform; a new platform needs no code. BRIEF "The vault", seed 000 ("Each platform page
 * lists the credentials we need from you"). Pure: the caller reads the files. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define KS_PLATFORM_FILE_MAX (256u << 10) /* bytes */
#define KS_PLATFORM_NAME_MAX 63
#define KS_PLATFORM_FIELDS_MAX 32 /* so that a set of fields is a uint32_t */
#define KS_PLATFORM_CHOICES_MAX 64
#define KS_PLATFORM_LINE_MAX 255 /* bytes of label, about, help, … */
#define KS_PLATFORM_VALUE_MAX ((size_t)64 << 10) /* bytes of any value */
#define KS_PLATFORM_WEBHOOK_MAX ((size_t)64 << 10) /* bytes of `webhook:` as JSON */
#define KS_PLATFORMS_MAX 512 /* of one registry */

/** What is wrong with a file, and where (1-based). */
struct ks_platform_problem {
	char file[256]; /* as the caller named it; empty where only one was given */
	unsigned line;
	unsigned column;
	char text[256];
};

enum ks_platform_type {
#define KS_PLATFORM_TYPE(name, text, secret, max, check, about) KS_PLATFORM_##name,
#include "platform/types.def"
#undef KS_PLATFORM_TYPE
	KS_PLATFORM_TYPE_COUNT
};

/** "text", "secret", "multi-line", "file", "host", … */
const char *ks_platform_type_text(enum ks_platform_type type);

struct ks_platform_choice {
	const char *value;
	const char *label;
};

/** A named format of formats.def, or the file's own pattern. */
struct ks_platform_format;

/** The named format's name; NULL for a pattern of the file's own. */
const char *ks_platform_format_name(const struct ks_platform_format *format);
/** The pattern as written; NULL for a named format that is not a pattern (PEM). */
const char *ks_platform_format_pattern(const struct ks_platform_format *format);
/** What a value must be, in words that follow the field's label: "begins with AC, then has 32 of 0-9 and a-f". */
const char *ks_platform_format_message(const struct ks_platform_format *format);

/** One credential value of a provider. All texts are terminated, UTF-8, without control characters. */
struct ks_platform_field {
	const char *name;    /* [a-z][a-z0-9_]{0,62} */
	const char *label;   /* "Auth token" */
	const char *help;    /* where to find it; "" where the file says nothing */
	const char *example; /* "" where there is none; of secrets it is a made-up one */
	const char *fallback; /* what counts where no value was given; NULL: nothing does. Never of a secret */
	enum ks_platform_type type;
	bool secret;
	bool required; /* a provider without it is not complete */
	const struct ks_platform_format *format; /* NULL: the type's own rules alone */
	size_t length_min, length_max; /* bytes of a value */
	uint64_t number_min, number_max; /* of type number and port */
	size_t choice_count; /* of type choice */
	const struct ks_platform_choice *choices;
};

struct ks_platform_probe; /* platform/probe.h */

/** A platform, immutable; all it points to lives as long as its registry. */
struct ks_platform {
	const char *name; /* [a-z][a-z0-9-]{0,62}, the file's name without .yaml */
	const char *label;
	const char *about;         /* one line: what it is */
	const char *documentation; /* URL of the platform's own documentation; "" where the file has none */
	bool own; /* from the operator's own folder */
	size_t field_count;
	const struct ks_platform_field *fields; /* in the file's order */
	struct ks_str webhook; /* the part `webhook:` as JSON (an object); empty: there is none */
	const struct ks_platform_probe *probe; /* NULL: nothing can be probed */
};

/** The field of that name, or NULL. */
const struct ks_platform_field *ks_platform_field(const struct ks_platform *platform, struct ks_str name);

/** The position of `field` in platform->fields. */
static inline size_t ks_platform_field_at(const struct ks_platform *platform, const struct ks_platform_field *field)
{
	return (size_t)(field - platform->fields);
}

/** What is wrong with a value, in a sentence for the person who entered it. Never holds a part of the value. */
struct ks_platform_detail {
	char text[512];
};

/** True if `value` may be written to `field`: its size, its type's rules, its format. Else *ret_detail says what a right
 * one is, beginning with the field's label: "Account SID begins with AC, then has 32 of 0-9 and a-f: this one has 33
 * characters." Pure; any thread; time grows with the value's length alone. Keeps nothing. */
KS_MUST_USE bool ks_platform_check_value(const struct ks_platform_field *field, struct ks_str value,
					 struct ks_platform_detail *ret_detail);

/** One file's text; `name` is for messages and, its folder and ".yaml" left out, what the platform must be called. */
struct ks_platform_source {
	const char *name;
	struct ks_str text;
	bool own; /* takes the place of another source's platform of that name */
};

/** Platforms by name, counted. */
struct ks_platform_registry;

/** Parses all sources. *ret_registry is the caller's, for ks_platform_registry_release. Nothing is borrowed from the
 * sources. KS_MALFORMED: *ret_problem names the file, line and member of the first problem in the order of the sources;
 * KS_FULL: more than KS_PLATFORMS_MAX; KS_MEMORY. */
KS_MUST_USE enum ks_err ks_platform_registry_new(const struct ks_platform_source *sources, size_t count,
						 struct ks_platform_registry **ret_registry,
						 struct ks_platform_problem *ret_problem);

/** One more holder; returns its argument. Any thread. */
struct ks_platform_registry *ks_platform_registry_hold(struct ks_platform_registry *registry);

/** One holder less; the last frees. Takes NULL, clears. Any thread. */
void ks_platform_registry_release(struct ks_platform_registry **registry);

/** The platform of that name, borrowed from the registry, or NULL. NULL registry: NULL. */
const struct ks_platform *ks_platform_find(const struct ks_platform_registry *registry, struct ks_str name);

/** How many there are, and the one at a position below that, by name ascending. */
size_t ks_platform_count(const struct ks_platform_registry *registry);
const struct ks_platform *ks_platform_at(const struct ks_platform_registry *registry, size_t position);

/** True for what a platform may be called. */
KS_MUST_USE bool ks_platform_name_ok(struct ks_str name);
