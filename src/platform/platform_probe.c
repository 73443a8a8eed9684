/* SPDX-License-Identifier: Apache-2.0 */
/* The part `probe:` of a file. */
#include <stdlib.h>

#include "platform/platform_priv.h"

#define KIND(name) (1u << KS_PLATFORM_PROBE_##name)
#define SIP (KIND(SIP_OPTIONS) | KIND(SIP_REGISTER))
#define WEB (KIND(HTTP) | KIND(OAUTH))
#define ALL (SIP | WEB | KIND(TCP) | KIND(TLS) | KIND(READABLE))

/* Which kinds have which members, and which must. */
struct rule {
	const char *member;
	unsigned kinds, needed;
};

static const struct rule rules[] = {
	{"kind", ALL, ALL},
	{"timeout_ms", ALL, 0},
	{"host", SIP | KIND(TCP) | KIND(TLS), SIP | KIND(TCP) | KIND(TLS)},
	{"port", SIP | KIND(TCP) | KIND(TLS), KIND(TCP) | KIND(TLS)},
	{"transport", SIP, 0},
	{"domain", SIP, 0},
	{"user", SIP, KIND(SIP_REGISTER)},
	{"auth_user", SIP, 0},
	{"password", SIP, KIND(SIP_REGISTER)},
	{"url", WEB, WEB},
	{"method", KIND(HTTP), 0},
	{"headers", WEB, 0},
	{"body", KIND(HTTP), 0},
	{"content_type", KIND(HTTP), 0},
	{"bearer", KIND(HTTP), 0},
	{"basic", KIND(HTTP), 0},
	{"aws", KIND(HTTP), 0},
	{"jwt", KIND(HTTP), 0},
	{"grant", KIND(OAUTH), 0},
	{"client_id", KIND(OAUTH), KIND(OAUTH)},
	{"client_secret", KIND(OAUTH), KIND(OAUTH)},
	{"client_auth", KIND(OAUTH), 0},
	{"scope", KIND(OAUTH), 0},
	{"parameters", KIND(OAUTH), 0},
	{"answers", SIP | WEB, 0},
};

static const char *const kind_texts[] = {
#define KS_PLATFORM_PROBE_KIND(name, text, about) text,
#include "platform/probe_kinds.def"
#undef KS_PLATFORM_PROBE_KIND
};

static const char kind_list[] =
#define KS_PLATFORM_PROBE_KIND(name, text, about) text ", "
#include "platform/probe_kinds.def"
#undef KS_PLATFORM_PROBE_KIND
	"and no other";

const char *ks_platform_probe_kind_text(enum ks_platform_probe_kind kind)
{
	return kind_texts[kind];
}

/* The position of `text` among `count` words, or `count`. */
static size_t word(struct ks_str text, const char *const *words, size_t count)
{
	size_t i = 0;

	while (i < count && !ks_str_eq(text, ks_str_c(words[i])))
		i++;
	return i;
}

static bool read_kind(struct platform_reading *r, const struct ks_yaml_node *node, struct ks_platform_probe *probe)
{
	size_t kind;

	if (!ks_platform_text(r, node, "kind"))
		return false;
	kind = word(node->text, kind_texts, KS_ARRAY_LEN(kind_texts));
	if (kind == KS_ARRAY_LEN(kind_texts)) {
		PLATFORM_REPORT(r, node, "%s is no kind of probe: one of %s", KS_YAML_QUOTE(node->text), kind_list);
		return false;
	}
	probe->kind = (enum ks_platform_probe_kind)kind;
	return true;
}

static void check_members(struct platform_reading *r, const struct platform_map *map, enum ks_platform_probe_kind kind)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(rules); i++) {
		const struct ks_yaml_node *node = ks_platform_member(map, rules[i].member);

		if (node && !(rules[i].kinds & 1u << kind))
			PLATFORM_REPORT(r, node, "a probe of kind %s has no %s", kind_texts[kind], rules[i].member);
		if (!node && rules[i].needed & 1u << kind)
			PLATFORM_REPORT(r, map->at, "a probe of kind %s needs %s", kind_texts[kind], rules[i].member);
	}
}

/* ---- texts ---- */

struct text {
	enum ks_platform_probe_text which;
	enum platform_map_id map;
	const char *member;
	enum ks_platform_escape escape;
};

static const struct text texts[] = {
#define KS_PLATFORM_PROBE_TEXT(name, map, member, escape) {KS_PLATFORM_PROBE_TEXT_##name, PLATFORM_MAP_##map, member, escape},
#include "platform/probe_texts.def"
#undef KS_PLATFORM_PROBE_TEXT
};

static void read_texts(struct platform_reading *r, const struct platform_map *map, struct ks_platform_probe *probe)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(texts) && !r->log->memory; i++) {
		const struct ks_yaml_node *node = texts[i].map == map->id ? ks_platform_member(map, texts[i].member) : NULL;
		enum ks_platform_escape escape = texts[i].escape;

		if (!node)
			continue;
		if (texts[i].which == KS_PLATFORM_PROBE_TEXT_BODY) {
			const struct ks_yaml_node *type = ks_platform_member(map, "content_type");

			if (!type || ks_str_eq(type->text, KS_STR("application/json")))
				escape = KS_PLATFORM_IN_JSON;
			else if (ks_str_eq(type->text, KS_STR("application/x-www-form-urlencoded")))
				escape = KS_PLATFORM_IN_FORM;
		}
		(void)ks_platform_template(r, node, texts[i].member, escape, &probe->texts[texts[i].which], &probe->uses);
	}
}

static void read_inner(struct platform_reading *r, const struct platform_map *map, const char *member, enum platform_map_id id,
		       struct ks_platform_probe *probe)
{
	const struct ks_yaml_node *node = ks_platform_member(map, member), *lifetime;
	struct platform_map inner;
	uint64_t seconds = 60;

	if (!node || !ks_platform_map(r, id, node, node, &inner))
		return;
	read_texts(r, &inner, probe);
	lifetime = ks_platform_member(&inner, "lifetime_s");
	if (lifetime && !ks_platform_number(r, lifetime, "lifetime_s", 10, 600, &seconds))
		return;
	if (id == PLATFORM_MAP_JWT)
		probe->jwt_lifetime_s = (unsigned)seconds;
}

/* ---- headers and parameters ---- */

static bool token_ok(struct ks_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return name.n > 0 && name.n <= 64;
}

/* Headers that are not the file's to set. */
static bool header_taken(struct ks_str name)
{
	static const char *const taken[] = {"authorization", "content-length", "content-type", "host", "connection",
					    "transfer-encoding", "expect", "te", "upgrade"};

	for (size_t i = 0; i < KS_ARRAY_LEN(taken); i++) {
		if (ks_str_eq_nocase(name, ks_str_c(taken[i])))
			return true;
	}
	return false;
}

static size_t read_named(struct platform_reading *r, const struct ks_yaml_node *node, const char *thing, size_t most,
			 const struct ks_platform_named **ret_list, uint32_t *uses)
{
	struct ks_yaml_pair *pairs = NULL;
	struct ks_platform_named *list;
	size_t count;

	if (node->type != KS_YAML_MAP) {
		PLATFORM_REPORT(r, node, "%s is a map of names to texts", thing);
		return 0;
	}
	count = ks_yaml_pairs(node, r->scratch, r->log, &pairs);
	if (count > most) {
		PLATFORM_REPORT(r, pairs[most].key, "more than %zu %s", most, thing);
		return 0;
	}
	list = ks_platform_take(r, count, sizeof(*list));
	for (size_t i = 0; list && i < count && !r->log->memory; i++) {
		if (!token_ok(pairs[i].key->text))
			PLATFORM_REPORT(r, pairs[i].key, "%s is no name: letters, digits, - and _", KS_YAML_QUOTE(pairs[i].key->text));
		else if (!ks_platform_template(r, pairs[i].value, "the value", KS_PLATFORM_AS_IS, &list[i].value, uses))
			continue;
		list[i].name = ks_yaml_arena_copy(r->arena, pairs[i].key->text);
		r->log->memory |= !list[i].name;
	}
	*ret_list = list;
	return list ? count : 0;
}

static void read_headers(struct platform_reading *r, const struct ks_yaml_node *node, struct ks_platform_probe *probe)
{
	probe->header_count = read_named(r, node, "headers", KS_PLATFORM_HEADERS_MAX, &probe->headers, &probe->uses);
	for (size_t i = 0; i < probe->header_count && !r->log->memory; i++) {
		if (probe->headers[i].name && header_taken(ks_str_c(probe->headers[i].name)))
			PLATFORM_REPORT(r, node, "the header %s is not the file's to set: see bearer, basic and content_type",
					probe->headers[i].name);
	}
}

/* ---- answers ---- */

struct code {
	const char *text;
	enum ks_platform_health health;
};

static const struct code codes[KS_PLATFORM_CODE_COUNT] = {
#define KS_PLATFORM_CODE(name, text, health, about) [KS_PLATFORM_CODE_##name] = {text, health},
#include "platform/codes.def"
#undef KS_PLATFORM_CODE
};

static const char *const health_texts[] = {
	[KS_PLATFORM_UNKNOWN] = "unknown",
	[KS_PLATFORM_HEALTHY] = "healthy",
	[KS_PLATFORM_DEGRADED] = "degraded",
	[KS_PLATFORM_FAILING] = "failing",
};

const char *ks_platform_health_text(enum ks_platform_health health)
{
	return health_texts[health];
}

const char *ks_platform_code_text(enum ks_platform_code code)
{
	return codes[code].text;
}

enum ks_platform_health ks_platform_code_health(enum ks_platform_code code)
{
	return codes[code].health;
}

static void answer_code(struct platform_reading *r, const struct platform_map *map, struct ks_platform_answer *answer)
{
	const struct ks_yaml_node *node = ks_platform_member(map, "code"), *means = ks_platform_member(map, "means");
	size_t code = 0, health;

	while (node && code < KS_PLATFORM_CODE_COUNT && !ks_str_eq(node->text, ks_str_c(codes[code].text)))
		code++;
	if (node && code == KS_PLATFORM_CODE_COUNT)
		PLATFORM_REPORT(r, node, "%s is no code: see docs/platforms.md", KS_YAML_QUOTE(node->text));
	if (!node || code == KS_PLATFORM_CODE_COUNT)
		return;
	answer->code = (enum ks_platform_code)code;
	answer->health = codes[code].health;
	if (!means)
		return;
	health = word(means->text, health_texts, KS_ARRAY_LEN(health_texts));
	if (health == KS_ARRAY_LEN(health_texts))
		PLATFORM_REPORT(r, means, "means is healthy, degraded, failing or unknown");
	else
		answer->health = (enum ks_platform_health)health;
}

static void answer_member(struct platform_reading *r, const struct platform_map *map, struct ks_platform_answer *answer)
{
	const struct ks_yaml_node *member = ks_platform_member(map, "member"), *equals = ks_platform_member(map, "equals");

	if (!member && !equals)
		return;
	if (!member || !equals) {
		PLATFORM_REPORT(r, map->at, "member and equals belong together");
		return;
	}
	if (ks_platform_line(r, member, "member", KS_PLATFORM_LINE_MAX, &answer->member) && answer->member[0] != '/')
		PLATFORM_REPORT(r, member, "member is a JSON pointer such as /status or /error/code");
	(void)ks_platform_line(r, equals, "equals", KS_PLATFORM_LINE_MAX, &answer->equals);
}

static void answer_fields(struct platform_reading *r, const struct platform_map *map, struct ks_platform_answer *answer)
{
	const struct ks_yaml_node *node = ks_platform_member(map, "fields");

	if (!node)
		return;
	if (node->type != KS_YAML_LIST || node->count == 0) {
		PLATFORM_REPORT(r, node, "fields is a list of names of fields");
		return;
	}
	for (const struct ks_yaml_node *i = node->first; i; i = i->next) {
		const struct ks_platform_field *field = ks_platform_field(r->platform, i->text);

		if (field)
			answer->fields |= (uint32_t)1 << ks_platform_field_at(r->platform, field);
		else
			PLATFORM_REPORT(r, i, "%s is no field of this file", KS_YAML_QUOTE(i->text));
	}
}

static bool status_range(struct ks_str text, unsigned *ret_from, unsigned *ret_to)
{
	uint64_t value;

	if (text.n == 3 && text.p[0] >= '1' && text.p[0] <= '6' && ks_str_eq(ks_str_sub(text, 1, 2), KS_STR("xx"))) {
		*ret_from = (unsigned)(text.p[0] - '0') * 100;
		*ret_to = *ret_from + 99;
		return true;
	}
	if (!ks_str_to_u64(text, 699, &value) || value < 100)
		return false;
	*ret_from = *ret_to = (unsigned)value;
	return true;
}

/* One row for each status of the list. */
static void add_answers(struct platform_reading *r, const struct ks_yaml_node *status, struct ks_platform_answer answer,
			struct ks_platform_answer *rows, struct ks_platform_probe *probe)
{
	const struct ks_yaml_node *node = status->type == KS_YAML_LIST ? status->first : status;

	for (; node; node = node->next) {
		if (!status_range(node->text, &answer.status_from, &answer.status_to))
			PLATFORM_REPORT(r, node, "%s is no status: 100 to 699, or 1xx to 6xx", KS_YAML_QUOTE(node->text));
		else if (probe->answer_count == KS_PLATFORM_ANSWERS_MAX)
			PLATFORM_REPORT(r, node, "more than %d answers, each status counted", KS_PLATFORM_ANSWERS_MAX);
		else
			rows[probe->answer_count++] = answer;
		if (status->type != KS_YAML_LIST)
			return;
	}
}

static void read_answers(struct platform_reading *r, const struct ks_yaml_node *node, struct ks_platform_probe *probe)
{
	struct ks_platform_answer *rows = ks_platform_take(r, KS_PLATFORM_ANSWERS_MAX, sizeof(*rows));

	if (!rows)
		return;
	probe->answers = rows;
	if (node->type != KS_YAML_LIST || node->count == 0) {
		PLATFORM_REPORT(r, node, "answers is a list of answers");
		return;
	}
	for (const struct ks_yaml_node *item = node->first; item && !r->log->memory; item = item->next) {
		struct ks_platform_answer answer = {0};
		const struct ks_yaml_node *status;
		struct platform_map map;

		if (!ks_platform_map(r, PLATFORM_MAP_ANSWER, item, item, &map))
			continue;
		answer_code(r, &map, &answer);
		answer_member(r, &map, &answer);
		answer_fields(r, &map, &answer);
		status = ks_platform_member(&map, "status");
		if (status)
			add_answers(r, status, answer, rows, probe);
	}
}

/* ---- what belongs together ---- */

/* The fixed text that a template is; empty where fields stand in it. */
static struct ks_str fixed(const struct ks_platform_template *text)
{
	return text->part_count == 1 && !text->parts[0].field ? text->parts[0].text : ks_str_of("", 0);
}

static void check_words(struct platform_reading *r, const struct platform_map *map, const struct ks_platform_probe *probe)
{
	static const char *const methods[] = {"GET", "HEAD", "POST"}, *const transports[] = {"udp", "tcp", "tls"};
	const struct ks_yaml_node *method = ks_platform_member(map, "method"), *transport = ks_platform_member(map, "transport");
	const struct ks_yaml_node *body = ks_platform_member(map, "body");
	const struct ks_platform_template *t = &probe->texts[KS_PLATFORM_PROBE_TEXT_TRANSPORT];
	const struct ks_platform_field *field = t->part_count == 1 ? t->parts[0].field : NULL;

	if (method && word(method->text, methods, 3) == 3)
		PLATFORM_REPORT(r, method, "method is GET, HEAD or POST");
	if (body && (!method || !ks_str_eq(method->text, KS_STR("POST"))))
		PLATFORM_REPORT(r, body, "a body needs method: POST");
	if (!transport || t->part_count == 0)
		return;
	for (size_t i = 0; field && i < field->choice_count; i++) {
		if (word(ks_str_c(field->choices[i].value), transports, 3) == 3)
			PLATFORM_REPORT(r, transport, "the field %s has choices other than udp, tcp and tls", field->name);
	}
	if (field ? field->type != KS_PLATFORM_CHOICE : word(fixed(t), transports, 3) == 3)
		PLATFORM_REPORT(r, transport, "transport is udp, tcp or tls, or a field with these choices");
}

static void check_authentication(struct platform_reading *r, const struct platform_map *map)
{
	static const char *const ways[] = {"bearer", "basic", "aws", "jwt"};
	const char *first = NULL;

	for (size_t i = 0; i < KS_ARRAY_LEN(ways); i++) {
		const struct ks_yaml_node *node = ks_platform_member(map, ways[i]);

		if (node && first)
			PLATFORM_REPORT(r, node, "a request has %s or %s, not both", first, ways[i]);
		else if (node)
			first = ways[i];
	}
}

static void read_numbers(struct platform_reading *r, const struct platform_map *map, struct ks_platform_probe *probe)
{
	const struct ks_yaml_node *timeout = ks_platform_member(map, "timeout_ms");
	const struct ks_yaml_node *auth = ks_platform_member(map, "client_auth");
	uint64_t number = 0;

	if (timeout && ks_platform_number(r, timeout, "timeout_ms", 100, 60000, &number))
		probe->timeout_ms = (unsigned)number;
	if (!auth)
		return;
	probe->oauth_in_body = ks_str_eq(auth->text, KS_STR("body"));
	if (!probe->oauth_in_body && !ks_str_eq(auth->text, KS_STR("basic")))
		PLATFORM_REPORT(r, auth, "client_auth is basic or body");
}

/* Bits of the secret fields among `uses`. */
static uint32_t secrets_among(const struct ks_platform *platform, uint32_t uses)
{
	uint32_t secrets = 0;

	for (size_t i = 0; i < platform->field_count; i++) {
		if (platform->fields[i].secret)
			secrets |= uses & (uint32_t)1 << i;
	}
	return secrets;
}

void ks_platform_read_probe(struct platform_reading *r, const struct ks_yaml_node *node)
{
	struct ks_platform_probe *probe = ks_platform_take(r, 1, sizeof(*probe));
	const struct ks_yaml_node *part;
	struct platform_map map;

	if (!probe || !ks_platform_map(r, PLATFORM_MAP_PROBE, node, node, &map))
		return;
	part = ks_platform_member(&map, "kind");
	if (!part || !read_kind(r, part, probe))
		return;
	check_members(r, &map, probe->kind);
	read_texts(r, &map, probe);
	read_inner(r, &map, "basic", PLATFORM_MAP_BASIC, probe);
	read_inner(r, &map, "aws", PLATFORM_MAP_AWS, probe);
	read_inner(r, &map, "jwt", PLATFORM_MAP_JWT, probe);
	read_numbers(r, &map, probe);
	part = ks_platform_member(&map, "headers");
	if (part)
		read_headers(r, part, probe);
	part = ks_platform_member(&map, "parameters");
	if (part)
		probe->parameter_count = read_named(r, part, "parameters", KS_PLATFORM_PARAMETERS_MAX, &probe->parameters, &probe->uses);
	part = ks_platform_member(&map, "answers");
	if (part)
		read_answers(r, part, probe);
	if (!r->log->memory) {
		check_words(r, &map, probe);
		check_authentication(r, &map);
	}
	probe->secrets = secrets_among(r->platform, probe->uses);
	r->platform->probe = probe;
}
