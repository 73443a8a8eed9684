/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_priv.h"

/* A byte that no literal segment may hold, and why. */
struct forbidden {
	char byte;
	const char *why;
};

static const struct forbidden forbidden[] = {
	{'*', "has an asterisk: write {name} for any one segment, or ** at the end for any number of them"},
	{'{', "is not of the form {name}: a parameter is a whole segment, [a-z] and then [a-z0-9_]"},
	{'}', "is not of the form {name}: a parameter is a whole segment, [a-z] and then [a-z0-9_]"},
	{'%', "has a percent sign: segments are compared decoded, so write the character itself"},
	{'?', "has a question mark: a route is a path without a query"},
	{'#', "has a number sign: a route is a path without a fragment"},
	{';', "has a semicolon, and paths with one are refused: nothing could match it"},
	{'\\', "has a backslash, and paths with one are refused: nothing could match it"},
};

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_parameter(struct ks_str text)
{
	if (text.n < 3 || text.p[0] != '{' || text.p[text.n - 1] != '}' || !is_lower(text.p[1]))
		return false;
	for (size_t i = 2; i < text.n - 1; i++) {
		char c = text.p[i];

		if (!is_lower(c) && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return true;
}

/* NULL if a request's path can have this segment. */
static const char *literal_problem(struct ks_str text)
{
	if (ks_str_eq(text, KS_STR(".")) || ks_str_eq(text, KS_STR("..")))
		return "is a dot segment, and paths with one are refused: nothing could match it";
	if (ks_str_has_control(text))
		return "has a control byte, and paths with one are refused: nothing could match it";
	if (!ks_str_is_utf8(text))
		return "is not UTF-8";
	for (size_t i = 0; i < KS_ARRAY_LEN(forbidden); i++)
		if (ks_str_find(text, forbidden[i].byte) != SIZE_MAX)
			return forbidden[i].why;
	return NULL;
}

static const char *segment_read(struct ks_str text, bool last, struct policy_segment *ret_segment)
{
	ret_segment->text = text;
	ret_segment->type = POLICY_LITERAL;
	if (ks_str_eq(text, KS_STR("**"))) {
		ret_segment->type = POLICY_REST;
		return last ? NULL : "may stand only at the end of a route";
	}
	if (is_parameter(text)) {
		ret_segment->type = POLICY_PARAMETER;
		return NULL;
	}
	if (ks_str_empty(text))
		return last ? NULL
			    : "(an empty segment) makes doubled slashes, and paths with them are refused: nothing "
			      "could match it";
	return literal_problem(text);
}

/* Bytes of the shortest raw path that has this segment after a slash. */
static size_t shortest(const struct policy_segment *segment)
{
	size_t n = 1;

	if (segment->type == POLICY_REST)
		return 0;
	if (segment->type == POLICY_PARAMETER)
		return 2;
	for (size_t i = 0; i < segment->text.n; i++)
		n += segment->text.p[i] == ' ' ? 3 : 1; /* a blank must come as %20 */
	return n;
}

const char *ks_policy_route_read(struct ks_str text, struct policy_route *ret_route, struct ks_str *ret_culprit)
{
	struct ks_str rest = text, segment;
	size_t length = 0, count = 0;
	bool last = false;

	*ret_culprit = text;
	if (ks_str_empty(text) || text.p[0] != '/')
		return "does not begin with a slash";
	rest = ks_str_sub(rest, 1, rest.n);
	while (!last) {
		struct ks_str tail = KS_STR("");

		segment = rest;
		last = !ks_str_split(rest, '/', &segment, &tail);
		rest = tail;
		if (count == KS_ARRAY_LEN(ret_route->segments))
			return "has more than 64 segments: nothing could match it";
		struct policy_segment *read = &ret_route->segments[count++];
		const char *why = segment_read(segment, last, read);
		if (why) {
			*ret_culprit = segment;
			return why;
		}
		length += shortest(read);
	}
	ret_route->count = count;
	if (count > KS_PATH_SEGMENTS_MAX && ret_route->segments[count - 1].type != POLICY_REST)
		return "has more than 64 segments: nothing could match it";
	if (length > KS_PATH_MAX)
		return "is longer than any path may be (2048 bytes): nothing could match it";
	return NULL;
}

void ks_policy_methods_init(struct policy_methods *methods)
{
	methods->count = 1;
	methods->names[0] = KS_STR("*");
}

bool ks_policy_methods_number(struct policy_methods *methods, struct ks_str name, uint32_t *ret_number)
{
	for (uint32_t i = 0; i < methods->count; i++) {
		if (ks_str_eq(methods->names[i], name)) {
			*ret_number = i;
			return true;
		}
	}
	if (methods->count == KS_ARRAY_LEN(methods->names))
		return false;
	*ret_number = (uint32_t)methods->count;
	methods->names[methods->count++] = name;
	return true;
}
