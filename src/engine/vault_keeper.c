/* SPDX-License-Identifier: Apache-2.0 */
/* The vault's values and the keeper (keeper/keeper.h): one message for all values of a set. */
#include <stdlib.h>

#include "engine/seal.h"
#include "engine/vault_priv.h"
#include "keeper/keeper.h"

static struct ks_keeper_org org_of(const struct ks_vault_org *org)
{
	return (struct ks_keeper_org){org->organization, (uint32_t)org->number, org->wrapped};
}

static struct ks_keeper_binding binding_of(const struct ks_vault_value *v)
{
	return (struct ks_keeper_binding){v->tenant, v->provider, v->field, v->version};
}

static enum ks_err run_ready(struct ks_job *job, struct ks_tx *tx)
{
	(void)job;
	return ks_engine_seal_ready(tx);
}

enum ks_err ks_vault_keeper_org_create(struct ks_engine *engine, uint64_t organization, uint64_t number,
				       uint8_t *ret_wrapped, size_t cap, size_t *ret_n)
{
	struct ks_job job = {.run = run_ready};

	KS_TRY(ks_engine_run(engine, &job));
	return ks_keeper_org_create(ks_engine_keeper(engine), organization, (uint32_t)number, ret_wrapped, cap, ret_n);
}

enum ks_err ks_vault_keeper_seal(struct ks_engine *engine, const struct ks_vault_org *org, struct ks_vault_value *value)
{
	struct ks_keeper_org of = org_of(org);
	struct ks_keeper_value v = {
		.binding = binding_of(value), .in = value->in, .ret_out = value->ret_out, .cap = value->cap};

	KS_TRY(ks_keeper_seal(ks_engine_keeper(engine), &of, &v, 1));
	value->ret_n = v.ret_n;
	value->err = v.err;
	return v.err;
}

struct asking {
	struct ks_keeper_opening keeper;
	struct ks_keeper_org org;
	struct ks_vault_opening *opening;
	struct ks_keeper_value values[];
};

static void opened(struct ks_keeper_opening *keeper)
{
	struct asking *a = keeper->ctx;
	struct ks_vault_opening *opening = a->opening;

	opening->err = keeper->err;
	for (size_t i = 0; i < opening->count; i++) {
		opening->values[i].ret_n = a->values[i].ret_n;
		opening->values[i].err = a->values[i].err;
	}
	free(a);
	opening->done(opening);
}

enum ks_err ks_vault_keeper_open(struct ks_engine *engine, struct ks_vault_opening *opening)
{
	struct asking *a = malloc(sizeof(*a) + opening->count * sizeof(a->values[0]));
	enum ks_err err;

	if (!a)
		return KS_MEMORY;
	a->opening = opening;
	a->org = org_of(&opening->org);
	a->keeper = (struct ks_keeper_opening){
		.values = a->values, .count = opening->count, .done = opened, .ctx = a};
	for (size_t i = 0; i < opening->count; i++) {
		const struct ks_vault_value *v = &opening->values[i];

		a->values[i] = (struct ks_keeper_value){
			.binding = binding_of(v), .in = v->in, .ret_out = v->ret_out, .cap = v->cap};
	}
	err = ks_keeper_open_submit(ks_engine_keeper(engine), &a->org, &a->keeper);
	if (err != KS_OK)
		free(a);
	return err;
}

void ks_vault_forget_key(struct ks_engine *engine, uint64_t organization, uint64_t number)
{
	const struct ks_vault_openers *openers = &engine->openers;
	enum ks_err err = KS_OK;

	if (openers->org_forget)
		openers->org_forget(openers->ctx, organization, number);
	else if (!openers->open)
		err = ks_keeper_org_forget_submit(ks_engine_keeper(engine), organization, (uint32_t)number);
	/* Where the keeper is not there, it has forgotten already. */
	if (err != KS_OK && err != KS_KEEPER)
		ks_engine_say(engine, 2, "keeper_forgets", "%s", ks_err_text(err));
}
