/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies and queries of the API. The first byte chooses: a key's members, a grant's text taken apart, or a form. */
#include <stdlib.h>

#include "api/key_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool is_clean(struct ks_str s)
{
	return ks_str_is_utf8(s) && !ks_str_has_control(s);
}

/* What was read without a problem is within every limit that the engine relies on. */
static void check_key(const struct ks_key_input *input)
{
	must(input->name.n > 0 && input->name.n <= KS_STORE_NAME_MAX && is_clean(input->name));
	must(input->expires_given && (input->expires_at == KS_TIME_NONE
				      || (input->expires_at >= 0 && input->expires_at <= KS_TIME_MAX)));
	must(input->scope_count <= KS_KEY_SCOPES_MAX && input->role_count <= KS_KEY_ROLES_MAX
	     && input->address_count <= KS_RING_CIDRS_MAX);
	must((input->rate_requests == 0) == (input->rate_window_s == 0) && input->rate_window_s <= KS_RATE_WINDOW_MAX);
	must(!input->kind_given || (input->kind != KS_KIND_SESSION && input->kind < KS_KIND_COUNT));
	must(input->environment < KS_ENVIRONMENT_COUNT);
	for (size_t i = 0; i < input->scope_count; i++)
		must(input->scopes[i].n > 0 && input->scopes[i].n <= KS_SCOPE_NAME_MAX);
	if (input->labels.n > 0) {
		json_t *labels = json_loadb(input->labels.p, input->labels.n, JSON_REJECT_DUPLICATES, NULL);

		must(json_is_object(labels) && input->labels.n <= KS_STORE_LABELS_MAX);
		json_decref(labels);
	}
}

static void fuzz_key(struct ks_str text)
{
	static struct ks_key_in key;
	struct ks_in in = {0};
	char detail[256];
	json_t *root = ks_in_parse(text, detail);

	if (!root)
		return;
	ks_key_in_read(&in, root, "/first_key", NULL, &key);
	for (size_t i = 0; i < in.problem_count; i++)
		must(ks_str_starts(ks_str_c(in.problems[i].pointer), KS_STR("/first_key"))
		     && in.problems[i].detail[0] != '\0');
	if (in.problem_count == 0)
		check_key(&key.input);
	json_decref(root);
}

/* A grant that is taken apart without failure came from sound JSON only if the whole was; the record never reads
 * outside. */
static void fuzz_grant(struct ks_str text)
{
	struct ks_key_row row = {.id = 1, .tenant = 1, .name = KS_STR("x"), .created_by = KS_STR("local"),
				 .expires_at = KS_TIME_NONE,
				 .retires_at = KS_TIME_NONE, .revoked_at = KS_TIME_NONE, .last_used_at = KS_TIME_NONE};
	json_t *grant = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	struct ks_json json;
	json_t *record;

	ks_json_init(&json);
	ks_record_key(&json, &row, text, NULL, 0);
	if (!json.failed && grant) {
		record = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
		must(json_equal(json_object_get(record, "scopes"), json_object_get(grant, "scopes")));
		must(json_equal(json_object_get(record, "addresses"), json_object_get(grant, "addresses")));
		json_decref(record);
	}
	json_decref(grant);
	ks_json_free(&json);
}

static void fuzz_form(struct ks_str text)
{
	static const char *const names[] = {"a", "limit", "token", ""};
	char storage[64];

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		struct ks_str value;

		if (ks_form_get(text, names[i], storage, sizeof(storage), &value) == KS_FORM_FOUND)
			must(value.n <= sizeof(storage) && is_clean(value));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(struct ks_str) = {fuzz_key, fuzz_grant, fuzz_form};

	if (size > 0)
		kinds[data[0] % KS_ARRAY_LEN(kinds)](ks_str_of((const char *)data + 1, size - 1));
	return 0;
}
