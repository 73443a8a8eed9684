/* SPDX-License-Identifier: Apache-2.0 */
/* Platform files, and values for them: up to the first NUL the file, behind it a value, which also is the body of an
 * answer. What is taken is within its limits, what is not says where; nothing of a value is told. */
#include <stdio.h>
#include <stdlib.h>

#include "platform/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static bool look_up(void *context, const struct ks_platform_field *field, struct ks_str *ret_value)
{
	(void)field;
	*ret_value = *(const struct ks_str *)context;
	return ret_value->n > 0;
}

static bool holds(struct ks_str text, struct ks_str part)
{
	return text.p && part.p && part.n > 0 && memmem(text.p, text.n, part.p, part.n);
}

static void check_value(const struct ks_platform_field *field, struct ks_str file, struct ks_str value)
{
	struct ks_platform_detail detail = {""};
	struct ks_str label = ks_str_sub(ks_str_c(field->label), 0, 100);

	if (ks_platform_check_value(field, value, &detail)) {
		CHECK(value.n >= field->length_min && value.n <= field->length_max && value.n <= KS_PLATFORM_VALUE_MAX);
		CHECK(detail.text[0] == '\0');
		return;
	}
	CHECK(ks_str_starts(ks_str_c(detail.text), label));
	/* Long enough to be no word of the message by chance. */
	CHECK(value.n < 24 || holds(file, value) || !holds(ks_str_c(detail.text), value));
}

static void check_probe(const struct ks_platform_probe *probe, struct ks_str value)
{
	struct ks_platform_verdict verdict;
	char bytes[2048];

	CHECK((probe->secrets & ~probe->uses) == 0 && probe->answer_count <= KS_PLATFORM_ANSWERS_MAX);
	for (size_t i = 0; i < KS_PLATFORM_PROBE_TEXT_COUNT; i++) {
		const struct ks_platform_field *missing = NULL;
		struct ks_buf to = KS_BUF(bytes);
		enum ks_err err = ks_platform_render(&probe->texts[i], look_up, &value, &to, &missing);

		CHECK(to.n <= sizeof(bytes));
		CHECK(err == KS_OK || err == KS_MALFORMED || err == KS_TOO_LARGE || (err == KS_NOT_FOUND && missing->required));
	}
	for (unsigned status = 0; status < 700; status += 7) {
		ks_platform_judge(probe, status, value, &verdict);
		CHECK(verdict.code < KS_PLATFORM_CODE_COUNT);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str all = ks_str_of((const char *)data, size), file = all, value = ks_str_of("", 0);
	struct ks_platform_problem problem = {0};
	struct ks_platform_registry *registry = NULL;

	if (!ks_str_split(all, '\0', &file, &value))
		file = all;
	const struct ks_platform_source source = {"", file, false};
	enum ks_err err = ks_platform_registry_new(&source, 1, &registry, &problem);
	CHECK(err == KS_OK || err == KS_MALFORMED);
	if (err == KS_MALFORMED) {
		CHECK(!registry && problem.line > 0 && problem.column > 0 && problem.text[0]);
		return 0;
	}
	const struct ks_platform *platform = ks_platform_at(registry, 0);
	CHECK(ks_platform_name_ok(ks_str_c(platform->name)) && platform->field_count > 0 && platform->field_count <= KS_PLATFORM_FIELDS_MAX);
	for (size_t i = 0; i < platform->field_count; i++)
		check_value(&platform->fields[i], file, value);
	if (platform->probe)
		check_probe(platform->probe, value);
	ks_platform_registry_release(&registry);
	return 0;
}
