/* SPDX-License-Identifier: Apache-2.0 */
#include "api/key_in.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL_NAME_MAX 64u
#define LABEL_VALUE_MAX 256u
#define MEMBERS_MAX 24u

static const char *const created[] = {"name", "kind", "scopes", "roles", "expires_at", "environment", "addresses",
				      "rate_limit", "labels", NULL};

/* Of a record and of what makes one: whoever names one of these in a change means a key, but one that cannot be had. */
static const char *const members[] = {
	"id", "token", "name", "kind", "binding", "tenant", "user", "prefix", "last_four", "scopes", "roles",
	"environment", "addresses", "rate_limit", "labels", "created_at", "created_by", "expires_at", "status",
	"last_used_at", "last_used_address", "uses", "revoked_at", "revoked_by", "rotated_from", "rotated_to"};

bool ks_key_has_member(const char *name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		if (ks_str_eq(ks_str_c(members[i]), ks_str_c(name)))
			return true;
	}
	return false;
}

struct ks_str ks_name_in(struct ks_in *in, const json_t *object, const char *base)
{
	struct ks_str name = ks_in_str(in, object, base, "name", KS_STORE_NAME_MAX, true);

	if (ks_str_has_control(name))
		ks_in_problem(in, base, "name", "This must not have control characters.");
	return name;
}

/* A member that is one of a few words; false where it is missing or null. */
static bool word_in(struct ks_in *in, const json_t *object, const char *base, const char *name, struct ks_str *ret_word)
{
	const json_t *value = json_object_get(object, name);

	if (!value || json_is_null(value))
		return false;
	*ret_word = json_is_string(value) ? ks_str_of(json_string_value(value), json_string_length(value)) : KS_STR("");
	if (!json_is_string(value))
		ks_in_problem(in, base, name, "This must be a string.");
	return json_is_string(value);
}

static void read_words(struct ks_in *in, const json_t *object, const char *base, struct ks_key_input *input)
{
	struct ks_str word;

	if (word_in(in, object, base, "kind", &word)) {
		input->kind_given = true;
		/* Sessions are of users who log in: no key. */
		if (!ks_kind_parse(word, &input->kind) || input->kind == KS_KIND_SESSION)
			ks_in_problem(in, base, "kind", "This must be tenant, partner or runtime.");
	}
	if (word_in(in, object, base, "environment", &word) && !ks_environment_parse(word, &input->environment))
		ks_in_problem(in, base, "environment", "This must be live or sandbox.");
}

static void read_scopes(struct ks_in *in, const json_t *object, const char *base, struct ks_key_input *input)
{
	const json_t *scopes = json_object_get(object, "scopes");

	if (json_is_string(scopes)) {
		input->scopes_default = ks_str_eq(ks_str_c(json_string_value(scopes)), KS_STR("default"));
		if (!input->scopes_default)
			ks_in_problem(in, base, "scopes", "This must be an array of scopes, or \"default\".");
	} else {
		(void)ks_in_strs(in, object, base, "scopes", KS_SCOPE_NAME_MAX, input->scopes, KS_KEY_SCOPES_MAX,
				 &input->scope_count);
	}
	(void)ks_in_strs(in, object, base, "roles", KS_SCOPE_NAME_MAX, input->roles, KS_KEY_ROLES_MAX,
			 &input->role_count);
}

static void read_addresses(struct ks_in *in, const json_t *object, const char *base, struct ks_key_input *input)
{
	struct ks_str texts[KS_RING_CIDRS_MAX];
	size_t count = 0;
	char at[32];

	if (!ks_in_strs(in, object, base, "addresses", KS_ADDR_TEXT_SIZE, texts, KS_RING_CIDRS_MAX, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(at, sizeof(at), "addresses/%zu", i);
		if (!ks_cidr_parse(texts[i], &input->addresses[i]))
			ks_in_problem(in, base, at,
				      "This is no address or range; bits beyond the prefix must be zero.");
	}
	input->address_count = count;
}

static void read_rate_limit(struct ks_in *in, const json_t *object, const char *base, struct ks_key_input *input)
{
	static const char *const known[] = {"requests", "window_s", NULL};
	const json_t *limit = json_object_get(object, "rate_limit");
	char below[160];
	uint64_t requests = 0, window_s = 0;

	if (!limit || json_is_null(limit))
		return;
	if (!json_is_object(limit)) {
		ks_in_problem(in, base, "rate_limit", "This must be an object, or null for no limit.");
		return;
	}
	(void)snprintf(below, sizeof(below), "%s/rate_limit", base);
	ks_in_known(in, limit, below, known);
	(void)ks_in_u64(in, limit, below, "requests", 1, KS_RATE_REQUESTS_MAX, true, &requests);
	(void)ks_in_u64(in, limit, below, "window_s", 1, KS_RATE_WINDOW_MAX, true, &window_s);
	input->rate_requests = (uint32_t)requests;
	input->rate_window_s = (uint32_t)window_s;
}

static void check_label(struct ks_in *in, const char *base, const char *name, const json_t *value)
{
	char shown[2 * LABEL_NAME_MAX];
	struct ks_str label = ks_str_c(name);

	ks_in_escape(name, shown, sizeof(shown));
	if (ks_str_empty(label) || label.n > LABEL_NAME_MAX || ks_str_has_control(label))
		ks_in_problem(in, base, shown, "A label's name must be 1 to %u bytes without control characters.",
			      LABEL_NAME_MAX);
	else if (!json_is_string(value) || json_string_length(value) > LABEL_VALUE_MAX)
		ks_in_problem(in, base, shown, "A label must be a string of at most %u bytes.", LABEL_VALUE_MAX);
}

/* Kept as the canonical text: equal labels are equal bytes. */
static void read_labels(struct ks_in *in, const json_t *object, const char *base, struct ks_key_in *key)
{
	json_t *labels = json_object_get(object, "labels");
	size_t before = in->problem_count;
	char below[160];
	const char *name;
	json_t *value;
	size_t n;

	if (!labels || json_is_null(labels))
		return;
	if (!json_is_object(labels) || json_object_size(labels) > KS_KEY_LABELS_MAX) {
		ks_in_problem(in, base, "labels", "This must be an object of at most %u strings.", KS_KEY_LABELS_MAX);
		return;
	}
	(void)snprintf(below, sizeof(below), "%s/labels", base);
	json_object_foreach(labels, name, value)
		check_label(in, below, name, value);
	if (in->problem_count > before || json_object_size(labels) == 0)
		return;
	n = json_dumpb(labels, key->labels, KS_STORE_LABELS_MAX, JSON_COMPACT | JSON_SORT_KEYS);
	if (n == 0 || n > KS_STORE_LABELS_MAX)
		ks_in_problem(in, base, "labels", "All labels together must be at most %u bytes as JSON.",
			      KS_STORE_LABELS_MAX);
	else
		key->input.labels = ks_str_of(key->labels, n);
}

void ks_key_in_read(struct ks_in *in, const json_t *object, const char *base, const char *const *extra,
		    struct ks_key_in *ret_key)
{
	struct ks_key_input *input = &ret_key->input;
	const char *known[MEMBERS_MAX] = {NULL};
	size_t count = 0;

	for (size_t i = 0; created[i]; i++)
		known[count++] = created[i];
	for (size_t i = 0; extra && extra[i] && count + 1 < MEMBERS_MAX; i++)
		known[count++] = extra[i];
	*input = (struct ks_key_input){0};
	ks_in_known(in, object, base, known);
	input->name = ks_name_in(in, object, base);
	read_words(in, object, base, input);
	read_scopes(in, object, base, input);
	input->expires_given = ks_in_time(in, object, base, "expires_at", true, true, &input->expires_at);
	read_addresses(in, object, base, input);
	read_rate_limit(in, object, base, input);
	read_labels(in, object, base, ret_key);
}

/* ---- changes ---- */

bool ks_call_rename_in(struct ks_call *call, bool (*is_member)(const char *name), struct ks_str *ret_name)
{
	static const char *const known[] = {"name", NULL};
	struct ks_in fixed = {0};
	const char *name;
	json_t *value;
	enum ks_finish ignored;

	json_object_foreach(call->body, name, value) {
		if (is_member(name) && !ks_str_eq(ks_str_c(name), KS_STR("name")))
			ks_in_problem(&fixed, "", name, "This cannot be changed after creation.");
	}
	if (fixed.problem_count > 0) {
		call->in = fixed;
		(void)ks_call_problem(call, KS_PROBLEM_IMMUTABLE, NULL);
		return false;
	}
	ks_in_known(&call->in, call->body, "", known);
	*ret_name = ks_name_in(&call->in, call->body, "");
	return !ks_call_invalid(call, &ignored);
}

bool ks_call_no_members(struct ks_call *call)
{
	static const char *const none[] = {NULL};
	enum ks_finish ignored;

	if (call->body)
		ks_in_known(&call->in, call->body, "", none);
	return !ks_call_invalid(call, &ignored);
}
