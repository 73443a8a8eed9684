/* SPDX-License-Identifier: Apache-2.0 */
#include <yaml.h>

#include "policy/policy_priv.h"

struct yaml_reader {
	yaml_parser_t parser;
	struct ks_str text;
	struct policy_arena *arena;
	struct policy_log *log;
	struct policy_node *open[POLICY_DEPTH_MAX]; /* containers that are not closed yet */
	size_t depth;
	size_t node_count;
	struct policy_node *root;
	unsigned documents;
	bool ended;
	bool broken; /* the tree is not whole */
};

static struct policy_mark mark_of(yaml_mark_t mark)
{
	return (struct policy_mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* The place of byte `at`, with columns in characters, as libyaml counts them. */
static struct policy_mark mark_at(struct ks_str text, size_t at)
{
	struct policy_mark mark = {1, 1};

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

static bool text_ok(struct ks_str text, struct policy_log *log)
{
	if (text.n > KS_POLICY_TEXT_MAX) {
		ks_policy_report(log, (struct policy_mark){1, 1}, "the file is larger than %u MiB",
				 KS_POLICY_TEXT_MAX >> 20);
		return false;
	}
	size_t bad = find_bad_byte(text);
	if (bad == SIZE_MAX)
		return true;
	unsigned char c = (unsigned char)text.p[bad];
	if (c < 0x80)
		ks_policy_report(log, mark_at(text, bad), "the control byte 0x%02x may not stand in a policy file", c);
	else
		ks_policy_report(log, mark_at(text, bad), "the file is not UTF-8 here (byte 0x%02x)", c);
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
		ks_policy_report(r->log, mark_at(r->text, p->problem_offset), "not YAML: %s", problem);
	else if (alias)
		ks_policy_report(r->log, mark_of(p->context_mark),
				 "an asterisk begins an alias in YAML: write \"*\" in quotes");
	else
		ks_policy_report(r->log, mark_of(p->problem_mark), "not YAML: %s%s%s", problem, p->context ? " " : "",
				 p->context ? p->context : "");
}

/* A new node in its place; NULL (and broken) where there is no room. */
static struct policy_node *add_node(struct yaml_reader *r, enum policy_node_type type, const yaml_event_t *event)
{
	struct policy_mark mark = mark_of(event->start_mark);

	if (++r->node_count > POLICY_NODES_MAX) {
		ks_policy_report(r->log, mark, "more than %u values in the file", POLICY_NODES_MAX);
		r->broken = true;
		return NULL;
	}
	struct policy_node *node = ks_policy_arena_take(r->arena, sizeof(*node));
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
	struct policy_node *parent = r->open[r->depth - 1];
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
		ks_policy_report(r->log, mark_of(event->start_mark), "anchors (&%s) are not taken: write the value out",
				 (const char *)anchor);
	if (tag)
		ks_policy_report(r->log, mark_of(event->start_mark), "tags (%s) are not taken: write the value alone",
				 (const char *)tag);
}

static void open_container(struct yaml_reader *r, enum policy_node_type type, const yaml_event_t *event, bool flow)
{
	if (r->depth == POLICY_DEPTH_MAX) {
		ks_policy_report(r->log, mark_of(event->start_mark), "nested deeper than any policy is (%d)",
				 POLICY_DEPTH_MAX);
		r->broken = true;
		return;
	}
	struct policy_node *node = add_node(r, type, event);
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
		ks_policy_report(r->log, mark_of(event->start_mark),
				 "the file is empty: a policy begins with version: 1");
	r->ended = true;
}

static void take_document_start(struct yaml_reader *r, const yaml_event_t *event)
{
	struct policy_mark mark = mark_of(event->start_mark);

	if (event->data.document_start.version_directive ||
	    event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
		ks_policy_report(r->log, mark, "YAML directives (%%YAML, %%TAG) are not taken");
	if (++r->documents == 1)
		return;
	ks_policy_report(r->log, mark, "a second document begins here: a policy is one");
	r->ended = true;
}

static void take_alias(struct yaml_reader *r, const yaml_event_t *event)
{
	ks_policy_report(r->log, mark_of(event->start_mark), "aliases (*%s) are not taken: write the value out",
			 (const char *)event->data.alias.anchor);
	(void)add_node(r, POLICY_UNKNOWN, event);
}

static void take_scalar(struct yaml_reader *r, const yaml_event_t *event)
{
	struct ks_str text = ks_str_of((const char *)event->data.scalar.value, event->data.scalar.length);

	refuse_properties(r, event, event->data.scalar.anchor, event->data.scalar.tag);
	struct policy_node *node = add_node(r, POLICY_TEXT, event);
	if (!node)
		return;
	const char *copy = ks_policy_arena_copy(r->arena, text);
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
	open_container(r, POLICY_LIST, event, event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
}

static void take_map_start(struct yaml_reader *r, const yaml_event_t *event)
{
	refuse_properties(r, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
	open_container(r, POLICY_MAP, event, event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
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

struct policy_node *ks_policy_yaml_read(struct ks_str yaml, struct policy_arena *arena, struct policy_log *log)
{
	/* Some editors put the byte order mark there; to libyaml it would be a column. */
	size_t skip = ks_str_starts(yaml, KS_STR("\xef\xbb\xbf")) ? 3 : 0;
	struct ks_str text = ks_str_sub(yaml, skip, yaml.n);
	struct yaml_reader r = {.text = text, .arena = arena, .log = log};

	if (!text_ok(text, log))
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
