/* SPDX-License-Identifier: Apache-2.0 */
/* The form of a scheme as a whole. */
#include <stdlib.h>

#include "hooksig/hooksig_priv.h"

/* What is read before it is known what it means. */
struct form {
	struct ks_hooksig_scheme *scheme;
	struct hs_plan base;
	struct ks_str about;
	struct ks_str settings;
	struct hs_list warnings;
};

/* ---- replies ---- */

static bool read_status(struct hs_compile *c, struct ks_str value, void *to)
{
	uint64_t status;

	if (!ks_str_to_u64(value, 599, &status) || status < 200)
		return hs_refuse(c, "a status from 200 to 599 is wanted here");
	*(unsigned *)to = (unsigned)status;
	return true;
}

static bool read_reply_template(struct hs_compile *c, struct ks_str value, struct hs_template *to)
{
	return hs_read_template(c, value, to) && (!to->uses_secret || hs_refuse(c, "a secret is never answered"));
}

static bool add_header(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct hs_reply *reply = to;

	if (reply->header_n == KS_HOOKSIG_RESPONSE_HEADERS_MAX)
		return hs_refuse(c, "at most %d headers", KS_HOOKSIG_RESPONSE_HEADERS_MAX);
	if (!hs_arena_copy(c->arena, name, &reply->names[reply->header_n]))
		return hs_no_memory(c);
	return read_reply_template(c, value, &reply->values[reply->header_n++]);
}

static bool read_headers(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_header, (char *)to - offsetof(struct hs_reply, names));
}

static bool read_body(struct hs_compile *c, struct ks_str value, void *to)
{
	return read_reply_template(c, value, to);
}

static bool add_json(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct hs_reply *reply = to;

	if (reply->json_n == KS_ARRAY_LEN(reply->json))
		return hs_refuse(c, "at most %zu members", KS_ARRAY_LEN(reply->json));
	if (!hs_arena_copy(c->arena, name, &reply->json[reply->json_n].name))
		return hs_no_memory(c);
	return read_reply_template(c, value, &reply->json[reply->json_n++].value);
}

static bool read_json(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_json, (char *)to - offsetof(struct hs_reply, json));
}

static bool read_reply(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_MEMBER("status", read_status, struct hs_reply, status),
		HS_MEMBER("headers", read_headers, struct hs_reply, names),
		HS_MEMBER("content_type", hs_read_text, struct hs_reply, content_type),
		HS_MEMBER("body", read_body, struct hs_reply, body),
		HS_MEMBER("json", read_json, struct hs_reply, json),
	};
	struct hs_reply *reply = to;

	if (reply->status == 0)
		reply->status = 200;
	return hs_read_object(c, value, members, KS_ARRAY_LEN(members), reply);
}

/* ---- plans ---- */

#define PLAN_MEMBERS(type, plan)                                     \
	HS_MEMBER("vars", hs_read_vars, type, plan.vars),            \
	HS_MEMBER("params", hs_read_params, type, plan.params),      \
	HS_MEMBER("time", hs_read_time, type, plan.time),            \
	HS_MEMBER("verify", hs_read_ops, type, plan.ops)

static bool check_plan(struct hs_compile *c, struct hs_plan *plan)
{
	if (plan->op_n == 0)
		return hs_refuse(c, "verify is missing: nothing would be asked for");
	if (!plan->vouched)
		return hs_refuse(c, "nothing here vouches for who sent the request");
	return true;
}

struct alternative {
	struct hs_plan plan;
};

/* An alternative that the settings rule out is not compiled: what it needs of them may not be there. */
static bool is_ruled_out(struct hs_compile *c, struct ks_str value, bool *ret_ruled_out)
{
	struct hs_when when = {.empty_body = -1};
	struct ks_str member;

	if (ks_json_kind(value) == '{' && ks_json_member(value, KS_STR("when"), &member) && !hs_read_when(c, member, &when))
		return false;
	*ret_ruled_out = when.impossible;
	return true;
}

static bool add_alternative(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_MEMBER("when", hs_read_when, struct alternative, plan.when),
		PLAN_MEMBERS(struct alternative, plan),
	};
	struct form *form = to;
	struct hs_plan *plan = &form->scheme->plans[form->scheme->plan_n];
	bool ruled_out;

	if (!is_ruled_out(c, value, &ruled_out))
		return false;
	if (ruled_out)
		return true;
	if (form->scheme->plan_n == HS_PLANS_MAX)
		return hs_refuse(c, "at most %d alternatives", HS_PLANS_MAX);
	*plan = form->base;
	c->plan = plan;
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), plan) || !check_plan(c, plan))
		return false;
	form->scheme->plan_n++;
	return true;
}

static bool read_alternatives(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_element(c, value, add_alternative, to);
}

/* Only who is vouched for is answered with anything that a key made. */
static bool read_answer(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_challenge *challenge = (struct hs_challenge *)(void *)((char *)to - offsetof(struct hs_challenge, reply));
	bool ok;

	c->for_challenge = !challenge->unauthenticated && challenge->plan.vouched;
	ok = read_reply(c, value, to);
	c->for_challenge = false;
	return ok;
}

static bool add_challenge(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("when", hs_read_when, struct hs_challenge, plan.when),
		HS_MEMBER("unauthenticated", hs_read_flag, struct hs_challenge, unauthenticated),
		PLAN_MEMBERS(struct hs_challenge, plan),
		HS_NEEDED("answer", read_answer, struct hs_challenge, reply),
	};
	struct form *form = to;
	struct hs_challenge *challenge = &form->scheme->challenges[form->scheme->challenge_n];

	if (form->scheme->challenge_n == HS_CHALLENGES_MAX)
		return hs_refuse(c, "at most %d challenges", HS_CHALLENGES_MAX);
	challenge->plan = form->base;
	c->plan = &challenge->plan;
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), challenge))
		return false;
	if (challenge->unauthenticated && challenge->plan.when.empty_body != 1)
		return hs_refuse(c, "what nothing vouches for is answered only where there is no body (when: empty_body: true)");
	if (!challenge->unauthenticated && challenge->plan.op_n == 0)
		return hs_refuse(c, "with alternatives a challenge needs a verify of its own");
	form->scheme->challenge_n++;
	return true;
}

static bool read_challenge(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_element(c, value, add_challenge, to);
}

/* ---- the whole ---- */

struct replay {
	struct ks_str key;
	int64_t keep_ms;
};

static bool read_replay(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_MEMBER("key", hs_read_text, struct replay, key),
		HS_NEEDED("keep", hs_read_seconds, struct replay, keep_ms),
	};
	struct ks_hooksig_scheme *scheme = ((struct form *)to)->scheme;
	struct replay replay = {0};

	c->plan = &((struct form *)to)->base;
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), &replay))
		return false;
	scheme->replay.present = true;
	scheme->replay.keep_s = replay.keep_ms / 1000;
	scheme->replay.of_token = replay.key.n == 0;
	return scheme->replay.of_token || hs_var_index(c, replay.key, &scheme->replay.var);
}

struct confirm {
	struct ks_str url;
	struct hs_list hosts;
};

static bool read_confirm(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("url", hs_read_text, struct confirm, url),
		HS_NEEDED("hosts", hs_read_texts, struct confirm, hosts),
	};
	struct ks_hooksig_scheme *scheme = ((struct form *)to)->scheme;
	struct confirm confirm = {0};

	c->plan = &((struct form *)to)->base;
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), &confirm))
		return false;
	scheme->confirm.present = true;
	scheme->confirm.hosts = confirm.hosts;
	return hs_var_index(c, confirm.url, &scheme->confirm.var);
}

static bool add_variant(struct hs_compile *c, struct ks_str value, void *to)
{
	static const char *const names[HS_VARIANT_COUNT] = {"as-is", "no-port", "default-port"};
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	for (unsigned i = 0; i < HS_VARIANT_COUNT; i++)
		if (ks_str_eq(text, ks_str_c(names[i]))) {
			((struct form *)to)->scheme->url_variants |= 1u << i;
			return true;
		}
	return hs_refuse(c, "as-is, no-port or default-port is wanted here");
}

static bool read_variants(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_element(c, value, add_variant, to);
}

static bool read_accept(struct hs_compile *c, struct ks_str value, void *to)
{
	return read_reply(c, value, &((struct form *)to)->scheme->accept);
}

static bool read_reject(struct hs_compile *c, struct ks_str value, void *to)
{
	return read_reply(c, value, &((struct form *)to)->scheme->reject);
}

/* Readers that look at the form as a whole are given it. */
static const struct hs_member form_members[] = {
	HS_MEMBER("about", hs_read_text, struct form, about),
	HS_MEMBER("settings", hs_read_raw, struct form, settings),
	HS_MEMBER("warnings", hs_read_texts, struct form, warnings),
	{"url_variants", read_variants, 0, false},
	PLAN_MEMBERS(struct form, base),
	{"alternatives", read_alternatives, 0, false},
	{"challenge", read_challenge, 0, false},
	{"replay", read_replay, 0, false},
	{"confirm", read_confirm, 0, false},
	{"accept", read_accept, 0, false},
	{"reject", read_reject, 0, false},
};

static bool finish_plans(struct hs_compile *c, struct form *form)
{
	struct ks_hooksig_scheme *scheme = form->scheme;

	if (scheme->plan_n > 0)
		return form->base.op_n == 0 || hs_refuse(c, "verify stands in the alternatives, or here, not both");
	if (!check_plan(c, &form->base))
		return false;
	scheme->plans[scheme->plan_n++] = form->base;
	return true;
}

static unsigned warnings_of(const struct hs_plan *plan)
{
	struct hs_cover cover = plan->cover;
	bool is_static = cover.secret && !cover.signs;
	unsigned warnings = 0;

	if (is_static)
		warnings |= 1u << KS_HOOKSIG_STATIC_SECRET;
	if (!is_static && !cover.body)
		warnings |= 1u << KS_HOOKSIG_BODY_NOT_COVERED;
	if (!is_static && !cover.time && !plan->time.present)
		warnings |= 1u << KS_HOOKSIG_NO_TIMESTAMP;
	if (cover.digest)
		warnings |= 1u << KS_HOOKSIG_WEAK_DIGEST;
	return warnings;
}

static bool is_stated(const struct form *form, const char *name)
{
	for (size_t i = 0; i < form->warnings.n; i++)
		if (ks_str_eq(form->warnings.v[i], ks_str_c(name)))
			return true;
	return false;
}

/* What a scheme does not do must stand in it. What depends on the tenant's settings may be found out with them, but for
 * the two that decide what a request is worth. */
static bool check_warnings(struct hs_compile *c, struct form *form)
{
	unsigned always = 1u << KS_HOOKSIG_STATIC_SECRET | 1u << KS_HOOKSIG_BODY_NOT_COVERED;

	for (size_t i = 0; i < form->scheme->plan_n; i++)
		form->scheme->warnings |= warnings_of(&form->scheme->plans[i]);
	for (unsigned i = 0; i < KS_HOOKSIG_WARNING_COUNT; i++) {
		const char *name = ks_hooksig_warning_name((enum ks_hooksig_warning)i);

		if (form->scheme->warnings >> i & 1 && (c->checking || always >> i & 1) && !is_stated(form, name))
			return hs_refuse(c, "warnings must state %s: %s", name,
					 ks_hooksig_warning_text((enum ks_hooksig_warning)i));
	}
	return true;
}

static bool read_form(struct hs_compile *c, struct ks_str text, struct form *form)
{
	struct ks_hooksig_scheme *scheme = form->scheme;

	form->base.when.empty_body = -1;
	scheme->reject.status = 401;
	c->plan = &form->base;
	scheme->plans = hs_arena_take(c->arena, HS_PLANS_MAX * sizeof(*scheme->plans));
	scheme->challenges = hs_arena_take(c->arena, HS_CHALLENGES_MAX * sizeof(*scheme->challenges));
	if (!scheme->plans || !scheme->challenges)
		return hs_no_memory(c);
	if (!ks_json_member(text, KS_STR("settings"), &c->declared))
		c->declared = KS_STR("");
	if (!hs_settings_check(c) ||
	    !hs_read_object(c, text, form_members, KS_ARRAY_LEN(form_members), form) || !finish_plans(c, form))
		return false;
	if (scheme->url_variants == 0)
		scheme->url_variants = 1u << HS_URL_AS_IS;
	return check_warnings(c, form);
}

static bool check_texts(struct hs_compile *c, struct ks_str form, struct ks_str settings)
{
	if (form.n > KS_HOOKSIG_FORM_MAX || !ks_json_check(form) || ks_json_kind(form) != '{')
		return hs_refuse(c, "a scheme is one JSON object, each member there once, of %zu bytes at most",
				 KS_HOOKSIG_FORM_MAX);
	if (settings.n == 0)
		return true;
	c->in_settings = true;
	if (settings.n > KS_HOOKSIG_SETTINGS_MAX || !ks_json_check(settings) || ks_json_kind(settings) != '{')
		return hs_refuse(c, "settings are one JSON object, each member there once, of %zu bytes at most",
				 KS_HOOKSIG_SETTINGS_MAX);
	c->in_settings = false;
	return true;
}

enum ks_err ks_hooksig_compile(struct ks_str form, struct ks_str settings, struct ks_hooksig_problem *ret_problem,
			       struct ks_hooksig_scheme **ret_scheme)
{
	struct ks_hooksig_scheme *scheme = calloc(1, sizeof(*scheme));
	struct hs_compile c = {.problem = ret_problem, .settings = settings, .checking = settings.n == 0};
	struct form *whole;
	bool ok;

	if (!scheme)
		return KS_MEMORY;
	c.arena = &scheme->arena;
	c.pointer = KS_BUF(c.pointer_room);
	whole = hs_arena_take(c.arena, sizeof(*whole));
	ok = whole != NULL || hs_no_memory(&c);
	if (ok) {
		whole->scheme = scheme;
		scheme->vouches = !c.checking;
		ok = check_texts(&c, form, settings) && read_form(&c, form, whole);
	}
	if (ok) {
		*ret_scheme = scheme;
		return KS_OK;
	}
	if (!c.failed)
		(void)hs_refuse(&c, "cannot be read");
	ks_hooksig_free(scheme);
	return ret_problem->where == KS_HOOKSIG_OURSELVES ? KS_MEMORY : KS_MALFORMED;
}

void ks_hooksig_free(struct ks_hooksig_scheme *scheme)
{
	if (!scheme)
		return;
	hs_arena_free(&scheme->arena);
	free(scheme);
}

unsigned ks_hooksig_warnings(const struct ks_hooksig_scheme *scheme)
{
	return scheme->warnings;
}
