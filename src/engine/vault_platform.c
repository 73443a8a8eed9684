/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault asks of platform files. */
#include "engine/platforms.h"
#include "engine/vault_priv.h"

static void fill(const struct ks_platform *found, struct ks_vault_platform *platform)
{
	*platform = (struct ks_vault_platform){.probed = found->probe != NULL};
	for (size_t i = 0; i < found->field_count && i < KS_VAULT_FIELDS_MAX; i++) {
		const struct ks_platform_field *field = &found->fields[i];
		struct ks_vault_field *copy = &platform->fields[platform->count++];
		struct ks_buf name = KS_BUF(copy->name);

		ks_buf_put_c(&name, field->name);
		(void)ks_buf_z(&name);
		copy->secret = field->secret;
		copy->required = field->required && !field->fallback;
	}
}

bool ks_vault_platform_of(struct ks_engine *engine, struct ks_str name, struct ks_vault_platform *ret_platform)
{
	struct ks_platform_registry *registry;
	const struct ks_platform *found;

	if (engine->openers.platform)
		return engine->openers.platform(engine->openers.ctx, name, ret_platform);
	registry = ks_engine_platforms(engine);
	found = ks_platform_find(registry, name);
	if (found)
		fill(found, ret_platform);
	ks_platform_registry_release(&registry);
	return found != NULL;
}

bool ks_vault_check_value(struct ks_engine *engine, struct ks_str platform, struct ks_str field, struct ks_str value,
			  struct ks_platform_detail *ret_detail)
{
	struct ks_platform_registry *registry;
	const struct ks_platform *found;
	const struct ks_platform_field *of;
	bool ok = true;

	if (engine->openers.platform)
		return true;
	registry = ks_engine_platforms(engine);
	found = ks_platform_find(registry, platform);
	of = found ? ks_platform_field(found, field) : NULL;
	if (of)
		ok = ks_platform_check_value(of, value, ret_detail);
	ks_platform_registry_release(&registry);
	return ok;
}
