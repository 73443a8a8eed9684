/* SPDX-License-Identifier: Apache-2.0 */
/* Query parameters, pages, and what of the tree a list may show. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"

#define PAGE_DEFAULT 50u
#define PAGE_MAX 500u
#define CURSOR_LEN 16

/* Form decoding: "+" is a blank. */
static bool decode(struct ks_str raw, char *storage, size_t cap, struct ks_str *ret_value)
{
	struct ks_buf b = ks_buf_of(storage, cap);

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < raw.n ? ks_hex_digit(raw.p[i + 1]) : -1;
			int low = i + 2 < raw.n ? ks_hex_digit(raw.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		ks_buf_put_byte(&b, c);
	}
	*ret_value = ks_buf_str(&b);
	return ks_buf_ok(&b);
}

static void query_problem(struct ks_call *call, struct ks_str name, const char *detail)
{
	char pointer[96];

	(void)snprintf(pointer, sizeof(pointer), "?%.*s", (int)KS_MIN(name.n, (size_t)64), name.p);
	ks_in_problem(&call->in, pointer, "", "%s", detail);
}

void ks_call_query_problem(struct ks_call *call, const char *name, const char *detail)
{
	query_problem(call, ks_str_c(name), detail);
}

/* Takes the next "name=value" off the query. */
static bool next_pair(struct ks_str *rest, struct ks_str *ret_name, struct ks_str *ret_value)
{
	struct ks_str pair;

	while (rest->n > 0) {
		if (!ks_str_split(*rest, '&', &pair, rest)) {
			pair = *rest;
			*rest = KS_STR("");
		}
		if (pair.n == 0)
			continue;
		if (!ks_str_split(pair, '=', ret_name, ret_value)) {
			*ret_name = pair;
			*ret_value = KS_STR("");
		}
		return true;
	}
	return false;
}

enum ks_form ks_form_get_bytes(struct ks_str form, const char *want, char *storage, size_t cap, struct ks_str *ret_value)
{
	struct ks_str name, value;
	enum ks_form found = KS_FORM_ABSENT;

	while (next_pair(&form, &name, &value)) {
		if (!ks_str_eq(name, ks_str_c(want)))
			continue;
		if (found != KS_FORM_ABSENT)
			return KS_FORM_REPEATED;
		if (!decode(value, storage, cap, ret_value))
			return KS_FORM_MALFORMED;
		found = KS_FORM_FOUND;
	}
	return found;
}

enum ks_form ks_form_get(struct ks_str form, const char *want, char *storage, size_t cap, struct ks_str *ret_value)
{
	struct ks_str value = KS_STR("");
	enum ks_form found = ks_form_get_bytes(form, want, storage, cap, &value);

	if (found == KS_FORM_FOUND && (!ks_str_is_utf8(value) || ks_str_has_control(value)))
		return KS_FORM_MALFORMED;
	if (found == KS_FORM_FOUND)
		*ret_value = value;
	return found;
}

bool ks_call_query(struct ks_call *call, const char *want, char *storage, size_t cap, struct ks_str *ret_value)
{
	enum ks_form found = ks_form_get(ks_exchange_query(call->exchange), want, storage, cap, ret_value);

	if (found == KS_FORM_REPEATED)
		query_problem(call, ks_str_c(want), "This parameter is given more than once.");
	if (found == KS_FORM_MALFORMED)
		query_problem(call, ks_str_c(want), "This parameter is too long or not well encoded.");
	return found == KS_FORM_FOUND;
}

void ks_call_query_known(struct ks_call *call, const char *const *names)
{
	struct ks_str rest = ks_exchange_query(call->exchange);
	struct ks_str name, value;

	while (next_pair(&rest, &name, &value)) {
		bool known = false;

		for (size_t i = 0; names[i] && !known; i++)
			known = ks_str_eq(name, ks_str_c(names[i]));
		if (!known)
			query_problem(call, name, "This parameter is not known here.");
	}
}

bool ks_call_no_query(struct ks_call *call)
{
	static const char *const none[] = {NULL};
	enum ks_finish answered;

	ks_call_query_known(call, none);
	return !ks_call_invalid(call, &answered);
}

/* A cursor is the last id seen, as 16 hexadecimal digits: opaque to callers, harmless to us. */
void ks_call_page_up_to(struct ks_call *call, uint64_t max, struct ks_page *ret_page)
{
	char storage[32];
	struct ks_str value;
	uint64_t number = PAGE_DEFAULT;
	uint64_t before = 0;

	if (ks_call_query(call, "limit", storage, sizeof(storage), &value)
	    && (!ks_str_to_u64(value, max, &number) || number == 0))
		ks_in_problem(&call->in, "?limit", "", "This must be a whole number from 1 to %llu.",
			      (unsigned long long)max);
	if (ks_call_query(call, "cursor", storage, sizeof(storage), &value)) {
		bool ours = value.n == CURSOR_LEN;

		for (size_t i = 0; ours && i < value.n; i++) {
			int digit = ks_hex_digit(value.p[i]);

			ours = digit >= 0;
			before = before << 4 | (uint64_t)digit;
		}
		if (!ours)
			query_problem(call, KS_STR("cursor"), "This is no cursor of ours.");
	}
	*ret_page = (struct ks_page){.limit = (size_t)number, .before = before};
}

void ks_call_page(struct ks_call *call, struct ks_page *ret_page)
{
	ks_call_page_up_to(call, PAGE_MAX, ret_page);
}

void ks_call_page_open(struct ks_call *call)
{
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "items");
	ks_json_open(&call->out, '[');
}

bool ks_page_take(struct ks_page *page, uint64_t id)
{
	page->more = page->count == page->limit;
	if (page->more)
		return false;
	page->count++;
	page->last = id;
	return true;
}

enum ks_finish ks_call_page_answer(struct ks_call *call, const struct ks_page *page, enum ks_err err)
{
	if (err == KS_OK)
		ks_call_page_end(call, page->more, page->last);
	return ks_call_answer_read(call, err);
}

void ks_call_page_end(struct ks_call *call, bool more, uint64_t last_id)
{
	char cursor[CURSOR_LEN + 1];

	ks_json_close(&call->out, ']');
	(void)snprintf(cursor, sizeof(cursor), "%016llx", (unsigned long long)last_id);
	ks_json_put_c(&call->out, "next", more ? cursor : NULL);
	ks_json_close(&call->out, '}');
}

/* ---- views ---- */

struct gather {
	const struct ks_ring *ring;
	const struct ks_actor *actor;
	uint64_t *ids;
	size_t count;
	size_t cap;
	size_t most;
	size_t visits_left;   /* tenants that are not seen cost too */
	bool failed;
};

static void add(struct gather *g, uint64_t id)
{
	uint64_t *grown;

	if (g->count == g->cap) {
		g->cap = g->cap ? 2 * g->cap : 16;
		grown = realloc(g->ids, g->cap * sizeof(*grown));
		if (!grown) {
			g->failed = true;
			return;
		}
		g->ids = grown;
	}
	g->ids[g->count++] = id;
}

/* Everything at and below `root` that the actor sees, by the ring's lists of children. */
static void add_below(struct gather *g, uint32_t root)
{
	const struct ks_ring_tenant *tenants = g->ring->tenants;
	uint32_t at = root;

	for (;;) {
		if (ks_actor_sees(g->actor, g->ring, tenants[at].id))
			add(g, tenants[at].id);
		if (g->failed || g->count > g->most || g->visits_left == 0)
			return;
		g->visits_left--;
		if (tenants[at].first_child != KS_RING_NONE) {
			at = tenants[at].first_child;
			continue;
		}
		while (at != root && tenants[at].next_sibling == KS_RING_NONE)
			at = tenants[at].path[tenants[at].depth - 1];
		if (at == root)
			return;
		at = tenants[at].next_sibling;
	}
}

static void add_root(void *ctx, uint32_t root)
{
	struct gather *g = ctx;

	if (!g->failed)
		add_below(g, root);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool take(struct gather *g, struct ks_view *ret_view)
{
	size_t kept = 0;

	if (g->failed) {
		free(g->ids);
		return false;
	}
	if (g->count > 1)
		qsort(g->ids, g->count, sizeof(*g->ids), by_id);
	for (size_t i = 0; i < g->count; i++) {
		if (kept == 0 || g->ids[kept - 1] != g->ids[i])
			g->ids[kept++] = g->ids[i];
	}
	ret_view->many = g->count > g->most || g->visits_left == 0;
	ret_view->tenants = g->ids;
	ret_view->tenant_count = kept;
	return true;
}

bool ks_call_view(struct ks_call *call, uint64_t within, struct ks_view *ret_view)
{
	return ks_call_view_of(call, within, SIZE_MAX - 1, ret_view);
}

bool ks_call_view_of(struct ks_call *call, uint64_t within, size_t most, struct ks_view *ret_view)
{
	const struct ks_ring *ring = ks_call_ring(call);
	const struct ks_actor *actor = &call->actor;
	struct gather g = {.ring = ring, .actor = actor, .most = most,
			    .visits_left = most > UINT32_MAX ? SIZE_MAX : 64 * (most + 1)};
	uint32_t root;

	*ret_view = (struct ks_view){0};
	if (!ring)
		return false;
	if (within == 0 && (actor->local || actor->is_operator)) {
		ret_view->all = true;
		return true;
	}
	if (within != 0) {
		root = ks_ring_tenant(ring, within);
		if (root == KS_RING_NONE || !ks_actor_sees(actor, ring, within))
			return false;
		if (ring->tenants[root].kind == KS_TENANT_KIND_OPERATOR && (actor->local || actor->is_operator)) {
			ret_view->all = true;
			return true;
		}
		add_below(&g, root);
		return take(&g, ret_view);
	}
	ks_actor_roots(actor, ring, add_root, &g);
	return take(&g, ret_view);
}

void ks_view_free(struct ks_view *view)
{
	free(view->tenants);
	*view = (struct ks_view){0};
}
