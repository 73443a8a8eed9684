/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests an alternative or a challenge is about. */
#include "hooksig/hooksig_priv.h"

static bool add_json(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct hs_when *when = to;

	if (when->json_n == KS_ARRAY_LEN(when->json))
		return hs_refuse(c, "at most %zu members", KS_ARRAY_LEN(when->json));
	if (!hs_read_path(c, name, when->json[when->json_n].path, &when->json[when->json_n].path_n) ||
	    !hs_read_text(c, value, &when->json[when->json_n].value))
		return false;
	when->json_n++;
	return true;
}

static bool read_json(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_json, (char *)to - offsetof(struct hs_when, json));
}

static bool read_empty_body(struct hs_compile *c, struct ks_str value, void *to)
{
	bool flag;

	if (!hs_read_flag(c, value, &flag))
		return false;
	*(int *)to = flag;
	return true;
}

/* {"algorithm": "md5hash"}, or several: decided when the scheme is compiled. */
static bool compare_setting(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct ks_str set, text;
	struct hs_list wanted;
	bool found = false;

	if (!hs_read_texts(c, value, &wanted) || !hs_setting(c, name, &set))
		return false;
	if (c->checking)
		return true;
	if (!hs_read_text(c, set, &text))
		return false;
	for (size_t i = 0; i < wanted.n; i++)
		found |= ks_str_eq(wanted.v[i], text);
	*(bool *)to |= !found;
	return true;
}

static bool read_setting(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, compare_setting, to);
}

bool hs_read_when(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_MEMBER("method", hs_read_texts, struct hs_when, methods),
		HS_MEMBER("header", hs_read_text, struct hs_when, header),
		HS_MEMBER("query", hs_read_text, struct hs_when, query),
		HS_MEMBER("empty_body", read_empty_body, struct hs_when, empty_body),
		HS_MEMBER("json", read_json, struct hs_when, json),
		HS_MEMBER("setting", read_setting, struct hs_when, impossible),
	};
	struct hs_when *when = to;

	*when = (struct hs_when){.empty_body = -1};
	return hs_read_object(c, value, members, KS_ARRAY_LEN(members), when);
}

static bool has_header(const struct ks_hooksig_request *request, struct ks_str name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (ks_str_eq_nocase(request->headers[i].name, name))
			return true;
	return false;
}

static bool is_in(const struct hs_list *list, struct ks_str text)
{
	for (size_t i = 0; i < list->n; i++)
		if (ks_str_eq(list->v[i], text))
			return true;
	return false;
}

bool hs_when_holds(struct hs_run *run, const struct hs_when *when)
{
	const struct ks_hooksig_request *request = run->request;
	struct ks_str value;

	if ((when->methods.n > 0 && !is_in(&when->methods, request->method)) ||
	    (when->header.n > 0 && !has_header(request, when->header)) ||
	    (when->query.n > 0 && hs_query(run, when->query, &value) == KS_HOOKSIG_HEADER_MISSING) ||
	    (when->empty_body >= 0 && (request->body.n == 0) != (when->empty_body == 1)))
		return false;
	for (size_t i = 0; i < when->json_n; i++) {
		struct hs_values found = {0};

		if (hs_json_find(run, when->json[i].path, when->json[i].path_n, true, &found) || found.n != 1 ||
		    !ks_str_eq(found.v[0], when->json[i].value))
			return false;
	}
	return true;
}
