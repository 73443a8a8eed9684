/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of values: a small regular language that is matched in linear time, since files may come from anybody. A
 * pattern becomes an automaton; all of its states are followed at once. */
#include "platform/platform_priv.h"

#define REPEAT_MAX 512
#define NO_MAX UINT_MAX

struct compiler {
	struct ks_str text;
	size_t at;
	size_t step_count;
	struct platform_step steps[PLATFORM_CODE_MAX];
	size_t class_count;
	struct platform_class classes[PLATFORM_CLASSES_MAX];
	const char *problem; /* the first; nothing more is read */
};

static void alternatives(struct compiler *c, unsigned groups);

static int peek(const struct compiler *c)
{
	return !c->problem && c->at < c->text.n ? (unsigned char)c->text.p[c->at] : -1;
}

static int take(struct compiler *c)
{
	int byte = peek(c);

	if (byte >= 0)
		c->at++;
	return byte;
}

static void fail(struct compiler *c, const char *problem)
{
	if (!c->problem)
		c->problem = problem;
}

static void add_step(struct compiler *c, struct platform_step step)
{
	if (c->step_count == PLATFORM_CODE_MAX)
		fail(c, "becomes too large: repeat less");
	else if (!c->problem)
		c->steps[c->step_count++] = step;
}

/* Makes room before `start`. What stands behind goes on to mean the same, for it counts from where it is. */
static void insert_step(struct compiler *c, size_t start, struct platform_step step)
{
	add_step(c, step);
	if (c->problem)
		return;
	memmove(&c->steps[start + 1], &c->steps[start], (c->step_count - 1 - start) * sizeof(step));
	c->steps[start] = step;
}

static void set_bit(struct platform_class *set, unsigned byte)
{
	set->bits[byte / 8] = (uint8_t)(set->bits[byte / 8] | 1u << byte % 8);
}

static bool has_bit(const struct platform_class *set, unsigned byte)
{
	return set->bits[byte / 8] >> byte % 8 & 1;
}

static bool same_class(const struct platform_class *a, const struct platform_class *b)
{
	return ks_str_eq(ks_str_of((const char *)a->bits, sizeof(a->bits)), ks_str_of((const char *)b->bits, sizeof(b->bits)));
}

static void add_class(struct compiler *c, const struct platform_class *set)
{
	size_t i = 0;

	while (i < c->class_count && !same_class(&c->classes[i], set))
		i++;
	if (i == PLATFORM_CLASSES_MAX) {
		fail(c, "has too many different classes of characters");
		return;
	}
	c->classes[i] = *set;
	c->class_count = KS_MAX(c->class_count, i + 1);
	add_step(c, (struct platform_step){.type = PLATFORM_STEP_CLASS, .to = 1, .set = (uint8_t)i});
}

static bool is_letter_or_digit(int byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* The character behind a backslash. Letters and digits are kept free, so that nobody's \d means the letter d. */
static int escaped(struct compiler *c)
{
	int byte = take(c);

	if (byte < 0)
		fail(c, "ends in a backslash");
	else if (is_letter_or_digit(byte))
		fail(c, "has a backslash before a letter or digit: write classes out, such as [0-9]");
	return byte;
}

static int class_character(struct compiler *c)
{
	int byte = take(c);

	if (byte < 0)
		fail(c, "has a [ without ]");
	return byte == '\\' ? escaped(c) : byte;
}

static void class_range(struct compiler *c, struct platform_class *set)
{
	int from = class_character(c), to = from;

	if (peek(c) == '-' && c->at + 1 < c->text.n && c->text.p[c->at + 1] != ']') {
		take(c);
		to = class_character(c);
	}
	if (!c->problem && (from < 0 || to < from))
		fail(c, "has a range in [ ] that goes backwards");
	for (int byte = from; !c->problem && byte <= to; byte++)
		set_bit(set, (unsigned)byte);
}

/* All that is no control character. */
static void others(struct platform_class *set)
{
	struct platform_class inverse = {{0}};

	for (unsigned byte = 0x20; byte < 0x100; byte++) {
		if (byte != 0x7f && !has_bit(set, byte))
			set_bit(&inverse, byte);
	}
	*set = inverse;
}

static void class_in_brackets(struct compiler *c)
{
	struct platform_class set = {{0}};
	bool inverse = peek(c) == '^';

	if (inverse)
		take(c);
	if (peek(c) == ']')
		fail(c, "has an empty class [ ]");
	while (!c->problem && peek(c) != ']')
		class_range(c, &set);
	take(c);
	if (inverse)
		others(&set);
	add_class(c, &set);
}

static void atom(struct compiler *c, unsigned groups)
{
	struct platform_class set = {{0}};
	int byte = take(c);

	switch (byte) {
	case '(':
		if (groups == PLATFORM_GROUPS_MAX)
			fail(c, "has groups too deep in one another");
		alternatives(c, groups + 1);
		if (take(c) != ')')
			fail(c, "has a ( without )");
		return;
	case '[':
		class_in_brackets(c);
		return;
	case '.':
		others(&set);
		add_class(c, &set);
		return;
	case '*':
	case '+':
	case '?':
	case '{':
		fail(c, "repeats nothing: put a backslash before * + ? { that are meant as such");
		return;
	case '^':
	case '$':
		fail(c, "has ^ or $: a pattern is always of the whole value");
		return;
	case '\\':
		byte = escaped(c);
		break;
	default:
		break;
	}
	if (c->problem || byte < 0)
		return;
	if (byte >= 0x80)
		fail(c, "has a character that is not ASCII");
	else
		set_bit(&set, (unsigned)byte);
	add_class(c, &set);
}

static unsigned count_digits(struct compiler *c)
{
	unsigned value = 0;

	if (peek(c) < '0' || peek(c) > '9')
		fail(c, "has a { that is not followed by numbers: {8}, {8,} or {8,12}");
	while (peek(c) >= '0' && peek(c) <= '9') {
		value = value * 10 + (unsigned)(take(c) - '0');
		if (value > REPEAT_MAX)
			fail(c, "repeats more than 512 times: use min_length and max_length");
	}
	return value;
}

static void counts(struct compiler *c, unsigned *ret_min, unsigned *ret_max)
{
	*ret_min = *ret_max = count_digits(c);
	if (peek(c) == ',') {
		take(c);
		*ret_max = peek(c) == '}' ? NO_MAX : count_digits(c);
	}
	if (take(c) != '}')
		fail(c, "has a { that is not followed by numbers: {8}, {8,} or {8,12}");
	if (*ret_max == 0 || *ret_max < *ret_min)
		fail(c, "repeats fewer times at most than at least, or never");
}

static bool quantifier(struct compiler *c, unsigned *ret_min, unsigned *ret_max)
{
	*ret_min = *ret_max = 1;
	switch (peek(c)) {
	case '?':
		*ret_min = 0;
		break;
	case '*':
		*ret_min = 0;
		*ret_max = NO_MAX;
		break;
	case '+':
		*ret_max = NO_MAX;
		break;
	case '{':
		take(c);
		counts(c, ret_min, ret_max);
		return true;
	default:
		return false;
	}
	take(c);
	return true;
}

/* The atom at `from` once more. */
static size_t again(struct compiler *c, size_t from, unsigned groups)
{
	size_t start = c->step_count;

	c->at = from;
	atom(c, groups);
	return start;
}

static void optional(struct compiler *c, size_t start)
{
	int16_t n = (int16_t)(c->step_count - start);

	insert_step(c, start, (struct platform_step){.type = PLATFORM_STEP_SPLIT, .to = 1, .or_to = (int16_t)(n + 1)});
}

static void any_number(struct compiler *c, size_t start)
{
	int16_t n = (int16_t)(c->step_count - start);

	insert_step(c, start, (struct platform_step){.type = PLATFORM_STEP_SPLIT, .to = 1, .or_to = (int16_t)(n + 2)});
	add_step(c, (struct platform_step){.type = PLATFORM_STEP_JUMP, .to = (int16_t)(-n - 1)});
}

/* An atom and how often. It is read anew for each time that it stands there. */
static void repeated(struct compiler *c, unsigned groups)
{
	size_t from = c->at, start = c->step_count, behind;
	unsigned min, max;

	atom(c, groups);
	if (c->problem || !quantifier(c, &min, &max))
		return;
	behind = c->at;
	c->step_count = start;
	for (unsigned i = 0; i < min && !c->problem; i++)
		again(c, from, groups);
	if (max == NO_MAX)
		any_number(c, again(c, from, groups));
	for (unsigned i = min; max != NO_MAX && i < max && !c->problem; i++)
		optional(c, again(c, from, groups));
	c->at = behind;
	if (peek(c) == '*' || peek(c) == '+' || peek(c) == '?' || peek(c) == '{')
		fail(c, "repeats what is repeated already: use a group");
}

static void alternatives(struct compiler *c, unsigned groups)
{
	size_t start = c->step_count;

	for (;;) {
		size_t before = c->step_count;

		while (peek(c) >= 0 && peek(c) != '|' && peek(c) != ')')
			repeated(c, groups);
		if (c->step_count == before)
			fail(c, "has nothing where something must stand, such as on one side of |");
		if (before != start) /* the way past this alternative, for those before it */
			c->steps[before - 1].to = (int16_t)(c->step_count - before + 1);
		if (c->problem || peek(c) != '|')
			return;
		take(c);
		insert_step(c, start,
			    (struct platform_step){.type = PLATFORM_STEP_SPLIT, .to = 1, .or_to = (int16_t)(c->step_count - start + 2)});
		add_step(c, (struct platform_step){.type = PLATFORM_STEP_JUMP, .to = 1});
	}
}

const char *ks_platform_pattern_compile(struct ks_str text, struct ks_yaml_arena *arena,
					struct platform_pattern *ret_pattern, bool *ret_memory)
{
	struct compiler c = {.text = text};

	if (text.n > PLATFORM_PATTERN_MAX)
		return "is longer than 512 bytes";
	alternatives(&c, 0);
	if (!c.problem && c.at < text.n)
		fail(&c, "has a ) without (");
	add_step(&c, (struct platform_step){.type = PLATFORM_STEP_MATCH});
	if (c.problem)
		return c.problem;
	struct platform_pattern p = {.step_count = c.step_count, .class_count = c.class_count};
	p.steps = ks_yaml_arena_take(arena, c.step_count * sizeof(*p.steps));
	p.classes = ks_yaml_arena_take(arena, c.class_count * sizeof(*p.classes));
	if (!p.steps || !p.classes) {
		*ret_memory = true;
		return NULL;
	}
	memcpy(p.steps, c.steps, c.step_count * sizeof(*p.steps));
	memcpy(p.classes, c.classes, c.class_count * sizeof(*p.classes));
	*ret_pattern = p;
	return NULL;
}

/* States that are alive, each once. */
struct states {
	size_t count;
	uint16_t list[PLATFORM_CODE_MAX];
	uint8_t seen[PLATFORM_CODE_MAX / 8];
};

static void add_state(struct states *s, size_t state)
{
	if (s->seen[state / 8] >> state % 8 & 1)
		return;
	s->seen[state / 8] = (uint8_t)(s->seen[state / 8] | 1u << state % 8);
	s->list[s->count++] = (uint16_t)state;
}

static size_t step_to(size_t at, int16_t by)
{
	return (size_t)((long)at + by);
}

/* Adds what is reached without a character. */
static void follow(const struct platform_pattern *p, struct states *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct platform_step *step = &p->steps[s->list[i]];

		if (step->type != PLATFORM_STEP_JUMP && step->type != PLATFORM_STEP_SPLIT)
			continue;
		add_state(s, step_to(s->list[i], step->to));
		if (step->type == PLATFORM_STEP_SPLIT)
			add_state(s, step_to(s->list[i], step->or_to));
	}
}

/* Those of `from` that take the byte, and what they reach, into `to`. */
static void step_over(const struct platform_pattern *p, const struct states *from, unsigned char byte, struct states *to)
{
	to->count = 0;
	memset(to->seen, 0, sizeof(to->seen));
	for (size_t i = 0; i < from->count; i++) {
		const struct platform_step *step = &p->steps[from->list[i]];

		if (step->type == PLATFORM_STEP_CLASS && has_bit(&p->classes[step->set], byte))
			add_state(to, from->list[i] + 1u);
	}
	follow(p, to);
}

bool ks_platform_pattern_match(const struct platform_pattern *pattern, struct ks_str value)
{
	struct states both[2];
	size_t now = 0;

	both[0].count = 0;
	memset(both[0].seen, 0, sizeof(both[0].seen));
	add_state(&both[0], 0);
	follow(pattern, &both[0]);
	for (size_t at = 0; at < value.n && both[now].count > 0; at++, now = 1 - now)
		step_over(pattern, &both[now], (unsigned char)value.p[at], &both[1 - now]);
	for (size_t i = 0; i < both[now].count; i++) {
		if (pattern->steps[both[now].list[i]].type == PLATFORM_STEP_MATCH)
			return true;
	}
	return false;
}
