/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that a scheme is made of. To add one is to write its type and name it here. */
#include "hooksig/hooksig_priv.h"

static const struct hs_op_type *const types[] = {
	&hs_op_hmac, &hs_op_hash, &hs_op_signature, &hs_op_x509, &hs_op_jws,
	&hs_op_equals, &hs_op_basic, &hs_op_cidr, &hs_op_mtls, &hs_op_httpsig,
};

void hs_cover_add(struct hs_compile *c, struct hs_cover cover)
{
	c->plan->cover.signs |= cover.signs;
	c->plan->cover.body |= cover.body;
	c->plan->cover.time |= cover.time;
	c->plan->cover.secret |= cover.secret;
	c->plan->cover.digest |= cover.digest;
}

static const struct hs_op_type *find_type(struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(types); i++)
		if (ks_str_eq(name, ks_str_c(types[i]->name)))
			return types[i];
	return NULL;
}

/* {"hmac": {…}}: the one member says which. */
static bool add_op(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct hs_plan *plan = to;
	struct hs_op *op = &plan->ops[plan->op_n];
	const struct hs_op_type *type = find_type(name);

	if (!type)
		return hs_refuse(c, "no such operation: %.*s", (int)KS_MIN(name.n, 40), name.p);
	if (plan->op_n == HS_OPS_MAX)
		return hs_refuse(c, "more than %d operations", HS_OPS_MAX);
	op->type = type;
	op->op = hs_arena_take(c->arena, type->size);
	if (!op->op)
		return hs_no_memory(c);
	plan->op_n++;
	plan->vouched |= type->vouches;
	return type->read(c, value, op->op);
}

static bool read_op(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_op, to);
}

bool hs_read_ops(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_plan *plan = (struct hs_plan *)(void *)((char *)to - offsetof(struct hs_plan, ops));

	plan->op_n = 0;
	plan->vouched = false;
	plan->cover = (struct hs_cover){0};
	c->plan = plan;
	return hs_each_element(c, value, read_op, plan);
}
