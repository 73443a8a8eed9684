/* SPDX-License-Identifier: Apache-2.0 */
/* A scheme run backwards: variables are given their values, the content is signed, the headers are put together. */
#include "hooksig/hooksig_priv.h"

static bool same_header(const struct hs_var *a, const struct hs_var *b)
{
	return a->from_n > 0 && b->from_n > 0 && b->from[0].kind == HS_HEADER &&
	       ks_str_eq_nocase(a->from[0].name, b->from[0].name);
}

static void set_value(struct hs_run *run, size_t index, struct ks_str text)
{
	run->values[index].read = true;
	run->values[index].code = text.n > 0 ? KS_HOOKSIG_OK : KS_HOOKSIG_HEADER_MISSING;
	run->values[index].v[0] = text;
	run->values[index].n = 1;
}

/* The time, and an id for whatever else stands in a header and is not there yet. */
static void set_values(struct hs_run *run, struct ks_str id)
{
	const struct hs_plan *plan = run->plan;

	for (size_t i = 0; i < plan->var_n; i++) {
		const struct hs_values *values;
		size_t from = run->room->n;

		if (plan->vars[i].from_n == 0 || plan->vars[i].from[0].kind != HS_HEADER)
			continue;
		if (plan->time.present && plan->time.var == i) {
			hs_time_write(plan->time.unit, run->now_ms, run->room);
			set_value(run, i, ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX));
		} else if (hs_var_read(run, i, &values)) {
			set_value(run, i, id);
		}
	}
}

static enum ks_err sign_all(struct hs_run *run)
{
	const struct hs_plan *plan = run->plan;
	bool signs = false;

	for (size_t i = 0; i < plan->op_n; i++) {
		struct ks_str signatures[HS_KEYS_MAX];
		struct hs_values *values;
		size_t n = 0, var = 0;
		enum ks_err err;

		if (!plan->ops[i].type->sign)
			return KS_FORBIDDEN;
		err = plan->ops[i].type->sign(run, plan->ops[i].op, signatures, &n, &var);
		/* What stands elsewhere than in a header is the request's own to bring. */
		if (plan->vars[var].from[0].kind != HS_HEADER)
			continue;
		KS_TRY(err);
		values = &run->values[var];
		values->read = true;
		values->code = KS_HOOKSIG_OK;
		values->n = plan->vars[var].many ? n : 1;
		memcpy(values->v, signatures, values->n * sizeof(*values->v));
		signs = true;
	}
	return signs ? KS_OK : KS_FORBIDDEN;
}

/* ---- headers ---- */

static void put_format(struct hs_run *run, const struct hs_var *first)
{
	struct ks_str rest = first->format, literal, name;

	while (ks_str_split(rest, '{', &literal, &rest) && ks_str_split(rest, '}', &name, &rest)) {
		ks_buf_put(run->room, literal);
		for (size_t i = 0; i < run->plan->var_n; i++)
			if (same_header(first, &run->plan->vars[i]) && ks_str_eq(run->plan->vars[i].part, name))
				ks_buf_put(run->room, run->values[i].v[0]);
	}
	ks_buf_put(run->room, rest);
}

/* The parts of a value that is split, in order. */
static void put_split(struct hs_run *run, const struct hs_var *first)
{
	for (unsigned part = 0; part < first->count; part++) {
		if (part > 0)
			ks_buf_put_byte(run->room, first->split);
		for (size_t i = 0; i < run->plan->var_n; i++)
			if (same_header(first, &run->plan->vars[i]) && run->plan->vars[i].index == part)
				ks_buf_put(run->room, run->values[i].v[0]);
	}
}

/* "name=value" for each variable of the header, and for each signature. */
static void put_picks(struct hs_run *run, const struct hs_var *first)
{
	bool more = false;

	for (size_t i = 0; i < run->plan->var_n; i++) {
		const struct hs_var *var = &run->plan->vars[i];

		for (size_t k = 0; same_header(first, var) && k < run->values[i].n; k++) {
			if (more)
				ks_buf_put_byte(run->room, ',');
			more = true;
			ks_buf_put(run->room, var->pick);
			ks_buf_put_byte(run->room, '=');
			ks_buf_put(run->room, run->values[i].v[k]);
		}
	}
}

static void put_list(struct hs_run *run, const struct hs_var *var, const struct hs_values *values)
{
	for (size_t k = 0; k < values->n; k++) {
		if (k > 0)
			ks_buf_put_byte(run->room, var->list);
		ks_buf_put(run->room, var->item_prefix);
		ks_buf_put(run->room, values->v[k]);
	}
}

static struct ks_str write_header(struct hs_run *run, size_t index)
{
	const struct hs_var *var = &run->plan->vars[index];
	size_t from = run->room->n;

	ks_buf_put(run->room, var->scheme);
	if (var->scheme.n > 0)
		ks_buf_put_byte(run->room, ' ');
	ks_buf_put(run->room, var->prefix);
	if (var->format.n > 0)
		put_format(run, var);
	else if (var->split)
		put_split(run, var);
	else if (var->pick.n > 0)
		put_picks(run, var);
	else if (var->list)
		put_list(run, var, &run->values[index]);
	else
		ks_buf_put(run->room, run->values[index].v[0]);
	return ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX);
}

static bool is_written(const struct hs_plan *plan, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (same_header(&plan->vars[index], &plan->vars[i]))
			return true;
	return false;
}

static enum ks_err write_headers(struct hs_run *run, struct ks_hooksig_header *ret_headers, size_t *ret_count)
{
	const struct hs_plan *plan = run->plan;
	size_t n = 0;

	for (size_t i = 0; i < plan->var_n; i++) {
		if (plan->vars[i].from_n == 0 || plan->vars[i].from[0].kind != HS_HEADER || is_written(plan, i))
			continue;
		if (n == KS_HOOKSIG_RESPONSE_HEADERS_MAX)
			return KS_FORBIDDEN;
		ret_headers[n].name = plan->vars[i].from[0].name;
		ret_headers[n++].value = write_header(run, i);
	}
	*ret_count = n;
	return ks_buf_ok(run->room) ? KS_OK : KS_TOO_LARGE;
}

enum ks_err ks_hooksig_sign(const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request,
			    struct ks_str id, int64_t now_ms, struct ks_buf *room,
			    struct ks_hooksig_header ret_headers[KS_HOOKSIG_RESPONSE_HEADERS_MAX], size_t *ret_count)
{
	struct hs_run run;

	hs_run_begin(&run, scheme, request, now_ms, room);
	if (!hs_url_parse(request->url, &run.url))
		return KS_MALFORMED;
	for (size_t i = 0; i < scheme->plan_n; i++) {
		run.plan = &scheme->plans[i];
		for (size_t k = 0; k < run.plan->var_n; k++)
			run.values[k].read = false;
		if (!hs_when_holds(&run, &run.plan->when))
			continue;
		set_values(&run, id);
		KS_TRY(sign_all(&run));
		return write_headers(&run, ret_headers, ret_count);
	}
	return KS_MALFORMED;
}
