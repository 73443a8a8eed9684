/* SPDX-License-Identifier: Apache-2.0 */
#include <yaml.h>

#include "yaml/nodes.h"

struct yaml_reader {
	yaml_parser_t parser;
	struct ks_str text;
	const struct ks_yaml_limits *limits;
	struct ks_yaml_arena *arena;
	struct ks_yaml_log *log;
	struct ks_yaml_node *open[KS_YAML_DEPTH_MAX]; /* containers that are not closed yet */
	size_t depth;
	size_t node_count;
	struct ks_yaml_node *root;
	unsigned documents;
	bool ended;
	bool broken; /* the tree is not whole */
};

static struct ks_yaml_mark mark_of(yaml_mark_t mark)
{
	return (struct ks_yaml_mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* The place of byte `at`, with columns in characters, as libyaml counts them. */
static struct ks_yaml_mark mark_at(struct ks_str text, size_t at)
{
	struct ks_yaml_mark mark = {1, 1};

	for (size_t i = 0; i < at && i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool crlf = c == '\r' && i + 1 < text.n && text.p[i + 1] == '\n';

		if (c == '\n' || (c == '\r' && !crlf)) {
			mark.line++;
			mark.column = 1;
		} else if ((c & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

/* The position of the first byte that begins no UTF-8 character, or is a control other than tab and line breaks;
 * SIZE_MAX: none. */
static size_t find_bad_byte(struct ks_str text)
{
	size_t at = 0;

	while (at < text.n) {
		unsigned char c = (unsigned char)text.p[at];
		size_t n = c < 0x80 ? 1 : ks_str_utf8_len(ks_str_sub(text, at, 4));

		if (n == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return at;
		at += n;
	}
	return SIZE_MAX;
}

static bool text_ok(struct ks_str text, const struct ks_yaml_limits *limits, struct ks_yaml_log *log)
{
	if (text.n > limits->text_max) {
		ks_yaml_report(log, (struct ks_yaml_mark){1, 1}, "the file is larger than %zu %s",
			       limits->text_max / limits->text_unit, limits->text_unit_name);
		return false;
	}
	size_t bad = find_bad_byte(text);
	if (bad == SIZE_MAX)
		return true;
	unsigned char c = (unsigned char)text.p[bad];
	if (c < 0x80)
		ks_yaml_report(log, mark_at(text, bad), "the control byte 0x%02x may not stand in a %s file", c, limits->thing);
	else
		ks_yaml_report(log, mark_at(text, bad), "the file is not UTF-8 here (byte 0x%02x)", c);
	return false;
}

static void report_yaml_error(struct yaml_reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "cannot be read";
	bool alias = p->context && strstr(p->context, "scanning an alias");

	r->broken = true;
	if (p->error == YAML_MEMORY_ERROR)
		r->log->memory = true;
	else if (p->error == YAML_READER_ERROR)
		ks_yaml_report(r->log, mark_at(r->text, p->problem_offset), "not YAML: %s", problem);
	else if (alias)
		ks_yaml_report(r->log, mark_of(p->context_mark),
				 "an asterisk begins an alias in YAML: write \"*\" in quotes");
	else
		ks_yaml_report(r->log, mark_of(p->problem_mark), "not YAML: %s%s%s", problem, p->context ? " " : "",
				 p->context ? p->context : "");
}

/* A new node in its place; NULL (and broken) where there is no room. */
static struct ks_yaml_node *add_node(struct yaml_reader *r, enum ks_yaml_node_type type, const yaml_event_t *event)
{
	struct ks_yaml_mark mark = mark_of(event->start_mark);

	if (++r->node_count > r->limits->nodes_max) {
		ks_yaml_report(r->log, mark, "more than %u values in the file", r->limits->nodes_max);
		r->broken = true;
		return NULL;
	}
	struct ks_yaml_node *node = ks_yaml_arena_take(r->arena, sizeof(*node));
	if (!node) {
		r->log->memory = r->broken = true;
		return NULL;
	}
	node->type = type;
	node->mark = mark;
	if (r->depth == 0) {
		r->root = node;
		return node;
	}
	struct ks_yaml_node *parent = r->open[r->depth - 1];
	if (parent->last)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->count++;
	return node;
}

static void refuse_properties(struct yaml_reader *r, const yaml_event_t *event, const void *anchor, const void *tag)
{
	if (anchor)
		ks_yaml_report(r->log, mark_of(event->start_mark), "anchors (&%s) are not taken: write the value out",
				 (const char *)anchor);
	if (tag)
		ks_yaml_report(r->log, mark_of(event->start_mark), "tags (%s) are not taken: write the value alone",
				 (const char *)tag);
}

static void open_container(struct yaml_reader *r, enum ks_yaml_node_type type, const yaml_event_t *event, bool flow)
{
	if (r->depth == r->limits->depth_max) {
		ks_yaml_report(r->log, mark_of(event->start_mark), "nested deeper than any %s is (%u)", r->limits->thing,
			       r->limits->depth_max);
		r->broken = true;
		return;
	}
	struct ks_yaml_node *node = add_node(r, type, event);
	if (!node)
		return;
	node->flow = flow;
	r->open[r->depth++] = node;
}

static void take_nothing(struct yaml_reader *r, const yaml_event_t *event)
{
	(void)r;
	(void)event;
}

static void take_stream_end(struct yaml_reader *r, const yaml_event_t *event)
{
	if (r->documents == 0)
		ks_yaml_report(r->log, mark_of(event->start_mark),
				 "the file is empty: a %s begins with version: 1", r->limits->thing);
	r->ended = true;
}

static void take_document_start(struct yaml_reader *r, const yaml_event_t *event)
{
	struct ks_yaml_mark mark = mark_of(event->start_mark);

	if (event->data.document_start.version_directive ||
	    event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
		ks_yaml_report(r->log, mark, "YAML directives (%%YAML, %%TAG) are not taken");
	if (++r->documents == 1)
		return;
	ks_yaml_report(r->log, mark, "a second document begins here: a %s is one", r->limits->thing);
	r->ended = true;
}

static void take_alias(struct yaml_reader *r, const yaml_event_t *event)
{
	ks_yaml_report(r->log, mark_of(event->start_mark), "aliases (*%s) are not taken: write the value out",
			 (const char *)event->data.alias.anchor);
	(void)add_node(r, KS_YAML_UNKNOWN, event);
}

static void take_scalar(struct yaml_reader *r, const yaml_event_t *event)
{
	struct ks_str text = ks_str_of((const char *)event->data.scalar.value, event->data.scalar.length);

	refuse_properties(r, event, event->data.scalar.anchor, event->data.scalar.tag);
	struct ks_yaml_node *node = add_node(r, KS_YAML_TEXT, event);
	if (!node)
		return;
	const char *copy = ks_yaml_arena_copy(r->arena, text);
	if (!copy) {
		r->log->memory = r->broken = true;
		return;
	}
	node->text = ks_str_of(copy, text.n);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static void take_list_start(struct yaml_reader *r, const yaml_event_t *event)
{
	refuse_properties(r, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
	open_container(r, KS_YAML_LIST, event, event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
}

static void take_map_start(struct yaml_reader *r, const yaml_event_t *event)
{
	refuse_properties(r, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
	open_container(r, KS_YAML_MAP, event, event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
}

static void take_container_end(struct yaml_reader *r, const yaml_event_t *event)
{
	(void)event;
	if (r->depth > 0)
		r->depth--;
}

static void (*const takers[])(struct yaml_reader *r, const yaml_event_t *event) = {
	[YAML_NO_EVENT] = take_nothing,
	[YAML_STREAM_START_EVENT] = take_nothing,
	[YAML_STREAM_END_EVENT] = take_stream_end,
	[YAML_DOCUMENT_START_EVENT] = take_document_start,
	[YAML_DOCUMENT_END_EVENT] = take_nothing,
	[YAML_ALIAS_EVENT] = take_alias,
	[YAML_SCALAR_EVENT] = take_scalar,
	[YAML_SEQUENCE_START_EVENT] = take_list_start,
	[YAML_SEQUENCE_END_EVENT] = take_container_end,
	[YAML_MAPPING_START_EVENT] = take_map_start,
	[YAML_MAPPING_END_EVENT] = take_container_end,
};

struct ks_yaml_node *ks_yaml_read(struct ks_str yaml, const struct ks_yaml_limits *limits, struct ks_yaml_arena *arena,
				  struct ks_yaml_log *log)
{
	/* Some editors put the byte order mark there; to libyaml it would be a column. */
	size_t skip = ks_str_starts(yaml, KS_STR("\xef\xbb\xbf")) ? 3 : 0;
	struct ks_str text = ks_str_sub(yaml, skip, yaml.n);
	struct yaml_reader r = {.text = text, .limits = limits, .arena = arena, .log = log};

	if (!text_ok(text, limits, log))
		return NULL;
	if (!yaml_parser_initialize(&r.parser)) {
		log->memory = true;
		return NULL;
	}
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	/* Without this, libyaml guesses UTF-16 from a byte order mark. */
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	while (!r.ended && !r.broken) {
		yaml_event_t event;

		if (!yaml_parser_parse(&r.parser, &event)) {
			report_yaml_error(&r);
			break;
		}
		takers[event.type](&r, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&r.parser);
	return r.broken ? NULL : r.root;
}
