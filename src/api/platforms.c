/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue of platforms: what a provider of each consists of. */
#include "api/api_priv.h"
#include "api/platforms.h"
#include "engine/platforms.h"

static void put_choices(struct ks_json *out, const struct ks_platform_field *field)
{
	ks_json_name(out, "choices");
	if (field->choice_count == 0) {
		ks_json_null(out);
		return;
	}
	ks_json_open(out, '[');
	for (size_t i = 0; i < field->choice_count; i++) {
		ks_json_open(out, '{');
		ks_json_put_c(out, "value", field->choices[i].value);
		ks_json_put_c(out, "label", field->choices[i].label);
		ks_json_close(out, '}');
	}
	ks_json_close(out, ']');
}

/* min and max: of numbers alone. */
static void put_range(struct ks_json *out, const struct ks_platform_field *field)
{
	if (field->type == KS_PLATFORM_NUMBER || field->type == KS_PLATFORM_PORT) {
		ks_json_put_u64(out, "min", field->number_min);
		ks_json_put_u64(out, "max", field->number_max);
		return;
	}
	ks_json_put_null(out, "min");
	ks_json_put_null(out, "max");
}

static void put_format(struct ks_json *out, const struct ks_platform_format *format)
{
	ks_json_put_c(out, "format", format ? ks_platform_format_name(format) : NULL);
	ks_json_put_c(out, "pattern", format ? ks_platform_format_pattern(format) : NULL);
	ks_json_put_c(out, "message", format ? ks_platform_format_message(format) : NULL);
}

static void put_field(struct ks_json *out, const struct ks_platform_field *field)
{
	ks_json_open(out, '{');
	ks_json_put_c(out, "name", field->name);
	ks_json_put_c(out, "label", field->label);
	ks_json_put_c(out, "type", ks_platform_type_text(field->type));
	ks_json_put_bool(out, "secret", field->secret);
	ks_json_put_bool(out, "required", field->required);
	ks_json_put_c(out, "default", field->fallback);
	put_format(out, field->format);
	ks_json_put_u64(out, "min_length", field->length_min);
	ks_json_put_u64(out, "max_length", field->length_max);
	put_range(out, field);
	put_choices(out, field);
	ks_json_put_some(out, "example", ks_str_c(field->example));
	ks_json_put_some(out, "help", ks_str_c(field->help));
	ks_json_close(out, '}');
}

static void put_probe(struct ks_json *out, const struct ks_platform *platform)
{
	const struct ks_platform_probe *probe = platform->probe;

	ks_json_name(out, "probe");
	if (!probe) {
		ks_json_null(out);
		return;
	}
	ks_json_open(out, '{');
	ks_json_put_c(out, "kind", ks_platform_probe_kind_text(probe->kind));
	ks_json_name(out, "fields");
	ks_json_open(out, '[');
	for (size_t i = 0; i < platform->field_count; i++) {
		if (probe->uses & (uint32_t)1 << i)
			ks_json_c(out, platform->fields[i].name);
	}
	ks_json_close(out, ']');
	ks_json_close(out, '}');
}

void ks_record_platform(struct ks_json *out, const struct ks_platform *platform)
{
	ks_json_open(out, '{');
	ks_json_put_c(out, "name", platform->name);
	ks_json_put_c(out, "label", platform->label);
	ks_json_put_c(out, "about", platform->about);
	ks_json_put_some(out, "documentation", ks_str_c(platform->documentation));
	ks_json_put_bool(out, "own", platform->own);
	ks_json_name(out, "fields");
	ks_json_open(out, '[');
	for (size_t i = 0; i < platform->field_count; i++)
		put_field(out, &platform->fields[i]);
	ks_json_close(out, ']');
	put_probe(out, platform);
	ks_json_put_raw(out, "webhook", platform->webhook);
	ks_json_close(out, '}');
}

/* By name; a cursor is how many were shown. */
enum ks_finish ks_api_platforms(struct ks_call *call)
{
	static const char *const known[] = {"limit", "cursor", NULL};
	struct ks_platform_registry *registry;
	enum ks_finish answered;
	struct ks_page page;
	size_t count, at;

	ks_call_query_known(call, known);
	ks_call_page(call, &page);
	if (ks_call_invalid(call, &answered))
		return answered;
	registry = ks_engine_platforms(call->api->engine);
	count = ks_platform_count(registry);
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "items");
	ks_json_open(&call->out, '[');
	for (at = (size_t)KS_MIN(page.before, (uint64_t)count); at < count && at - page.before < page.limit; at++)
		ks_record_platform(&call->out, ks_platform_at(registry, at));
	ks_platform_registry_release(&registry);
	ks_call_page_end(call, at < count, at);
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_platforms_get(struct ks_call *call)
{
	struct ks_platform_registry *registry;
	const struct ks_platform *platform;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	registry = ks_engine_platforms(call->api->engine);
	platform = ks_platform_find(registry, call->params[0]);
	if (platform)
		ks_record_platform(&call->out, platform);
	ks_platform_registry_release(&registry);
	return platform ? ks_call_answer(call, 200) : ks_call_problem(call, KS_PROBLEM_NOT_FOUND, "there is no platform of this name");
}
