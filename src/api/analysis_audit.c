/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/policy/audit: what wants looking at among the keys, before going live and after. */
#include "api/analysis.h"

#include <stdlib.h>

#define DAY_MS INT64_C(86400000)
#define DAYS_DEFAULT 90u
#define DAYS_MAX 3650u
#define EXAMPLES 10u
/* With so few keys each is looked up by itself; with more all of the store's are read in their order. */
#define FEW_KEYS 2000u

enum finding {
#define KS_FINDING(name, text, about) FINDING_##name,
#include "api/findings.def"
#undef KS_FINDING
	FINDING_COUNT
};

static const struct {
	const char *text, *about;
} findings[FINDING_COUNT] = {
#define KS_FINDING(name, text, about) [FINDING_##name] = {text, about},
#include "api/findings.def"
#undef KS_FINDING
};

#define BIT(finding) ((uint16_t)(1u << (finding)))
_Static_assert(FINDING_COUNT <= 16, "findings of a key are bits of 16");

struct audit_call {
	uint64_t days;
	uint64_t tenant;                 /* id; 0: all that is seen */
	enum finding finding;            /* FINDING_COUNT: the summary */
	struct ks_page page;
};

/** A key being audited; in ascending order of ids. */
struct subject {
	uint64_t id;
	uint32_t slot, class;
	uint16_t found;
};

/** What is known of a class. */
struct class_facts {
	uint16_t found;
	struct ks_scopes opt_in, unknown, wrong_kind;
};

struct audit {
	const struct audit_call *call;
	struct ks_survey *s;
	struct subject *subjects;
	size_t count;
	struct class_facts *classes;
	int64_t since_ms;
	struct ks_scopes known, opt_in;
	struct ks_scopes of_kind[KS_KIND_COUNT]; /* that the kind may hold */
	struct ks_scopes *covers;        /* by scope: what a use that is counted under it may have needed */
	uint16_t *numbers;               /* by number of the store: of the ring; KS_SCOPES_MAX: unknown */
	size_t number_cap;
	/* while the store is read: the subject at hand, and what it used */
	size_t at;
	struct ks_scopes used;
};

/* ---- what the policies say ---- */

static void note_scopes(struct audit *a, const struct ks_policy *policy)
{
	uint16_t number;

	for (size_t i = 0; policy && i < policy->scope_count; i++) {
		const struct ks_policy_scope *scope = &policy->scopes[i];

		if (!ks_scope_find(a->s->ring->scopes, ks_str_c(scope->name), &number))
			continue;
		ks_scopes_set(&a->known, number);
		if (scope->opt_in)
			ks_scopes_set(&a->opt_in, number);
		for (enum ks_kind k = 0; k < KS_KIND_COUNT; k++)
			if (scope->kinds & KS_KIND_BIT(k))
				ks_scopes_set(&a->of_kind[k], number);
	}
}

/* A use is counted under the first scope of its rule, and needed all of them. */
static void note_covers(struct audit *a, const struct ks_policy_table *table)
{
	for (uint32_t r = 0; table && r < table->rule_count; r++) {
		const struct ks_rule *rule = ks_policy_rule(table, r);

		for (size_t i = 0; i < rule->scope_count && rule->usage_class < KS_SCOPES_MAX; i++)
			ks_scopes_set(&a->covers[rule->usage_class], rule->scopes[i]);
	}
}

static struct ks_scopes without(const struct ks_scopes *a, const struct ks_scopes *b)
{
	struct ks_scopes left;

	for (size_t i = 0; i < KS_ARRAY_LEN(left.bits); i++)
		left.bits[i] = a->bits[i] & ~b->bits[i];
	return left;
}

static struct ks_scopes both(const struct ks_scopes *a, const struct ks_scopes *b)
{
	struct ks_scopes left = without(a, b);

	return without(a, &left);
}

static bool reaches_anything(const struct ks_survey *s, const struct ks_class *class)
{
	for (enum ks_ring_policy which = 0; which < KS_RING_POLICY_COUNT; which++) {
		const struct ks_policy_table *table = ks_ring_policy_table(s->ring, which);

		for (uint32_t r = 0; table && r < table->rule_count; r++) {
			struct ks_need need = ks_need_of_rule(ks_policy_rule(table, r));

			if (ks_reach(class, &need).reason == KS_REASON_OK)
				return true;
		}
	}
	return false;
}

static enum ks_err judge_classes(struct audit *a)
{
	const struct ks_census *census = &a->s->census;

	a->classes = calloc(census->class_count + 1, sizeof(*a->classes));
	if (!a->classes)
		return KS_MEMORY;
	for (size_t c = 0; c < census->class_count; c++) {
		const struct ks_class *class = &census->classes[c];
		struct class_facts *facts = &a->classes[c];

		facts->opt_in = both(&class->scopes, &a->opt_in);
		facts->unknown = without(&class->scopes, &a->known);
		facts->wrong_kind = without(&class->scopes, &a->of_kind[class->kind]);
		facts->wrong_kind = without(&facts->wrong_kind, &facts->unknown);
		if (!ks_scopes_empty(&facts->opt_in))
			facts->found |= BIT(FINDING_OPT_IN_SCOPES);
		if (!ks_scopes_empty(&facts->unknown))
			facts->found |= BIT(FINDING_UNKNOWN_SCOPES);
		if (!ks_scopes_empty(&facts->wrong_kind))
			facts->found |= BIT(FINDING_WRONG_KIND_SCOPES);
		if (ks_scopes_empty(&class->scopes))
			facts->found |= BIT(FINDING_NO_SCOPES);
		else if (!reaches_anything(a->s, class))
			facts->found |= BIT(FINDING_REACHES_NOTHING);
	}
	return KS_OK;
}

/* ---- what the ring says of each key ---- */

static int by_id(const void *x, const void *y)
{
	uint64_t a = ((const struct subject *)x)->id, b = ((const struct subject *)y)->id;

	return (a > b) - (a < b);
}

/* Which environments a tenant has keys of, as bits. Those that the caller does not see are not counted. */
static uint8_t *environments_of_tenants(const struct ks_survey *s)
{
	uint32_t tenants = atomic_load_explicit(&s->ring->header->tenant_count, memory_order_acquire);
	uint8_t *bits = calloc((size_t)tenants + 1, 1);

	for (size_t c = 0; bits && c < s->census.class_count; c++) {
		const struct ks_class *class = &s->census.classes[c];

		for (uint32_t i = 0; i < class->count; i++)
			bits[s->ring->keys[s->census.members[class->first + i]].tenant] |=
				KS_ENVIRONMENT_BIT(class->environment);
	}
	return bits;
}

static enum ks_err gather(struct audit *a)
{
	const struct ks_survey *s = a->s;
	uint8_t *environments = environments_of_tenants(s);
	const uint8_t every = KS_ENVIRONMENT_BIT(KS_ENVIRONMENT_COUNT) - 1;

	a->subjects = calloc(s->census.member_count + 1, sizeof(*a->subjects));
	if (!environments || !a->subjects) {
		free(environments);
		return KS_MEMORY;
	}
	for (uint32_t c = 0; c < s->census.class_count; c++) {
		const struct ks_class *class = &s->census.classes[c];

		for (uint32_t i = 0; i < class->count; i++) {
			uint32_t slot = s->census.members[class->first + i];
			const struct ks_ring_key *key = &s->ring->keys[slot];
			struct subject *subject = &a->subjects[a->count++];

			*subject = (struct subject){key->id, slot, c, a->classes[c].found};
			if (atomic_load_explicit(&key->ends_ms, memory_order_acquire) == INT64_MAX)
				subject->found |= BIT(FINDING_NO_EXPIRY);
			if (environments[key->tenant] == every)
				subject->found |= BIT(FINDING_MIXED_ENVIRONMENTS);
		}
	}
	free(environments);
	qsort(a->subjects, a->count, sizeof(*a->subjects), by_id);
	return KS_OK;
}

/* ---- what the store says ---- */

/* Moves on to the subject with this id; false: it is none. */
static bool seek(struct audit *a, uint64_t id)
{
	while (a->at < a->count && a->subjects[a->at].id < id)
		a->at++;
	return a->at < a->count && a->subjects[a->at].id == id;
}

static enum ks_err take_facts(void *ctx, const struct ks_key_facts *facts)
{
	struct audit *a = ctx;
	struct subject *subject;

	if (!seek(a, facts->id))
		return KS_OK;
	subject = &a->subjects[a->at];
	if (facts->imported)
		subject->found |= BIT(FINDING_IMPORTED);
	if (facts->last_used_at == KS_TIME_NONE)
		subject->found |= BIT(FINDING_NEVER_USED);
	/* Until it is seen that all were used. A younger key has not had the time. */
	if (facts->created_at < a->since_ms && !(subject->found & BIT(FINDING_NO_SCOPES)))
		subject->found |= BIT(FINDING_UNUSED_SCOPES);
	return KS_OK;
}

static enum ks_err take_number(void *ctx, uint64_t number, struct ks_str name)
{
	struct audit *a = ctx;

	if (number >= 1u << 20)
		return KS_CORRUPT;
	if (number >= a->number_cap) {
		size_t cap = KS_MAX(2 * a->number_cap, (size_t)number + 64);
		uint16_t *grown = realloc(a->numbers, cap * sizeof(*grown));

		if (!grown)
			return KS_MEMORY;
		for (size_t i = a->number_cap; i < cap; i++)
			grown[i] = KS_SCOPES_MAX;
		a->numbers = grown;
		a->number_cap = cap;
	}
	if (!ks_scope_find(a->s->ring->scopes, name, &a->numbers[number]))
		a->numbers[number] = KS_SCOPES_MAX;
	return KS_OK;
}

/* The scopes of the subject at hand that no use has covered. */
static struct ks_scopes unused(const struct audit *a)
{
	return without(&a->s->census.classes[a->subjects[a->at].class].scopes, &a->used);
}

static void finish_subject(struct audit *a)
{
	struct ks_scopes left;

	if (a->at < a->count) {
		left = unused(a);
		if (ks_scopes_empty(&left))
			a->subjects[a->at].found &= (uint16_t)~BIT(FINDING_UNUSED_SCOPES);
	}
	a->used = (struct ks_scopes){0};
}

static enum ks_err take_use(void *ctx, uint64_t key, uint64_t number)
{
	struct audit *a = ctx;
	uint16_t scope = number < a->number_cap ? a->numbers[number] : KS_SCOPES_MAX;

	if (a->at >= a->count || a->subjects[a->at].id != key) {
		finish_subject(a);
		if (!seek(a, key))
			return KS_OK;
	}
	if (scope >= KS_SCOPES_MAX)
		return KS_OK;
	ks_scopes_set(&a->used, scope);
	for (size_t i = 0; i < KS_ARRAY_LEN(a->used.bits); i++)
		a->used.bits[i] |= a->covers[scope].bits[i];
	return KS_OK;
}

/* Counts that were folded stand at the start of their day: the day in which the span begins counts in full. */
static int64_t first_step(const struct audit *a)
{
	return a->since_ms - a->since_ms % DAY_MS;
}

static enum ks_err read_range(struct audit *a, uint64_t first, uint64_t last)
{
	struct ks_store *store = a->s->call->reader->store;
	size_t from = a->at;

	KS_TRY(ks_store_key_facts(store, first, last, take_facts, a));
	a->at = from;
	a->used = (struct ks_scopes){0};
	KS_TRY(ks_store_usage_scopes_used(store, first, last, first_step(a), take_use, a));
	finish_subject(a);
	return KS_OK;
}

static enum ks_err read_store(struct audit *a)
{
	KS_TRY(ks_store_usage_scopes(a->s->call->reader->store, take_number, a));
	a->at = 0;
	if (a->count > FEW_KEYS)
		return read_range(a, a->subjects[0].id, a->subjects[a->count - 1].id);
	for (size_t i = 0; i < a->count; i++) {
		a->at = i;
		KS_TRY(read_range(a, a->subjects[i].id, a->subjects[i].id));
	}
	return KS_OK;
}

static enum ks_err look(struct audit *a)
{
	a->covers = calloc(KS_SCOPES_MAX, sizeof(*a->covers));
	if (!a->covers)
		return KS_MEMORY;
	note_scopes(a, a->s->policy.platform);
	note_scopes(a, a->s->policy.self);
	note_covers(a, ks_ring_policy_table(a->s->ring, KS_RING_POLICY_PLATFORM));
	note_covers(a, ks_ring_policy_table(a->s->ring, KS_RING_POLICY_SELF));
	KS_TRY(judge_classes(a));
	KS_TRY(gather(a));
	return read_store(a);
}

/* ---- answers ---- */

static void put_finding(struct audit *a, enum finding finding)
{
	struct ks_json *out = &a->s->call->out;
	uint64_t keys = 0, put = 0;

	for (size_t i = 0; i < a->count; i++)
		keys += (a->subjects[i].found & BIT(finding)) != 0;
	ks_json_open(out, '{');
	ks_json_put_c(out, "finding", findings[finding].text);
	ks_json_put_c(out, "about", findings[finding].about);
	ks_json_put_u64(out, "keys", keys);
	ks_json_name(out, "examples");
	ks_json_open(out, '[');
	for (size_t i = a->count; i-- > 0 && put < EXAMPLES;) {
		if (!(a->subjects[i].found & BIT(finding)))
			continue;
		ks_json_id(out, KS_ID_KEY, a->subjects[i].id);
		put++;
	}
	ks_json_close(out, ']');
	ks_json_close(out, '}');
}

static enum ks_finish put_summary(struct audit *a)
{
	struct ks_json *out = &a->s->call->out;

	ks_json_open(out, '{');
	ks_json_put_u64(out, "days", a->call->days);
	ks_json_put_u64(out, "keys", a->s->census.member_count);
	ks_json_name(out, "findings");
	ks_json_open(out, '[');
	for (enum finding f = 0; f < FINDING_COUNT; f++)
		put_finding(a, f);
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	return ks_call_answer(a->s->call, 200);
}

/* Which scopes the finding is about; none for most. */
static enum ks_err scopes_of(struct audit *a, size_t at, struct ks_scopes *ret_scopes)
{
	const struct class_facts *facts = &a->classes[a->subjects[at].class];

	*ret_scopes = (struct ks_scopes){0};
	if (a->call->finding == FINDING_OPT_IN_SCOPES)
		*ret_scopes = facts->opt_in;
	if (a->call->finding == FINDING_UNKNOWN_SCOPES)
		*ret_scopes = facts->unknown;
	if (a->call->finding == FINDING_WRONG_KIND_SCOPES)
		*ret_scopes = facts->wrong_kind;
	if (a->call->finding != FINDING_UNUSED_SCOPES)
		return KS_OK;
	a->at = at;
	a->used = (struct ks_scopes){0};
	KS_TRY(ks_store_usage_scopes_used(a->s->call->reader->store, a->subjects[at].id, a->subjects[at].id,
					  first_step(a), take_use, a));
	*ret_scopes = unused(a);
	return KS_OK;
}

static enum ks_err put_subject(struct audit *a, size_t at)
{
	const struct subject *subject = &a->subjects[at];
	struct ks_json *out = &a->s->call->out;
	struct ks_scopes scopes;
	enum ks_err err;

	KS_TRY(scopes_of(a, at, &scopes));
	err = ks_survey_put_key(a->s, subject->id, subject->class, subject->slot);
	if (err == KS_NOT_FOUND)
		return KS_OK;
	KS_TRY(err);
	ks_survey_put_scopes(out, "scopes", a->s->ring, &scopes);
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_finish put_list(struct audit *a)
{
	const struct ks_page *page = &a->call->page;
	struct ks_json *out = &a->s->call->out;
	uint64_t total = 0, last = 0;
	size_t put = 0;
	bool more = false;

	for (size_t i = 0; i < a->count; i++)
		total += (a->subjects[i].found & BIT(a->call->finding)) != 0;
	ks_json_open(out, '{');
	ks_json_put_c(out, "finding", findings[a->call->finding].text);
	ks_json_put_u64(out, "days", a->call->days);
	ks_json_put_u64(out, "total", total);
	ks_json_name(out, "items");
	ks_json_open(out, '[');
	for (size_t i = a->count; i-- > 0 && !more;) {
		if (!(a->subjects[i].found & BIT(a->call->finding))
		    || (page->before && a->subjects[i].id >= page->before))
			continue;
		more = put == page->limit;
		if (more)
			break;
		enum ks_err err = put_subject(a, i);
		if (err != KS_OK)
			return ks_survey_fail(a->s->call, err);
		last = a->subjects[i].id;
		put++;
	}
	ks_call_page_end(a->s->call, more, last);
	return ks_call_answer(a->s->call, 200);
}

static enum ks_finish audit(struct ks_call *call)
{
	struct audit_call *ask = call->extra;
	struct ks_survey s;
	struct audit a = {.call = ask, .s = &s};
	enum ks_finish finish;
	/* So that a use of a moment ago is not missed. */
	enum ks_err err = ks_engine_flush_usage(call->api->engine);

	if (err != KS_OK)
		return ks_survey_fail(call, err);
	if (!ks_survey_take(call, ask->tenant, &s))
		return KS_FINISH_DONE;
	a.since_ms = call->exchange->now_ms - (int64_t)ask->days * DAY_MS;
	err = look(&a);
	if (err != KS_OK)
		finish = ks_survey_fail(call, err);
	else
		finish = ask->finding == FINDING_COUNT ? put_summary(&a) : put_list(&a);
	free(a.subjects);
	free(a.classes);
	free(a.covers);
	free(a.numbers);
	ks_survey_done(&s);
	return finish;
}

static struct audit_call *new_call(struct ks_call *call)
{
	struct audit_call *ask = calloc(1, sizeof(*ask));

	call->extra = ask;
	if (ask)
		*ask = (struct audit_call){.days = DAYS_DEFAULT, .finding = FINDING_COUNT};
	return ask;
}

/* False: answered. */
static bool read_query(struct ks_call *call, struct audit_call *ask)
{
	char storage[32];
	struct ks_str text;
	enum ks_finish finish;

	if (ks_call_query(call, "days", storage, sizeof(storage), &text)
	    && (!ks_str_to_u64(text, DAYS_MAX, &ask->days) || ask->days == 0))
		ks_call_query_problem(call, "days", "This must be a whole number from 1 to 3650.");
	return ks_call_tenant_query(call, "tenant", &ask->tenant) && !ks_call_invalid(call, &finish);
}

enum ks_finish ks_api_policy_audit(struct ks_call *call)
{
	static const char *const known[] = {"days", "tenant", NULL};
	struct audit_call *ask = new_call(call);

	if (!ask)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_call_query_known(call, known);
	return read_query(call, ask) ? ks_call_analyse(call, audit) : KS_FINISH_DONE;
}

enum ks_finish ks_api_policy_audit_list(struct ks_call *call)
{
	static const char *const known[] = {"days", "tenant", "limit", "cursor", NULL};
	struct audit_call *ask = new_call(call);

	if (!ask)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	for (ask->finding = 0; ask->finding < FINDING_COUNT; ask->finding++)
		if (ks_str_eq(call->params[0], ks_str_c(findings[ask->finding].text)))
			break;
	if (ask->finding == FINDING_COUNT)
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	ks_call_query_known(call, known);
	ks_survey_page(call, &ask->page);
	return read_query(call, ask) ? ks_call_analyse(call, audit) : KS_FINISH_DONE;
}
