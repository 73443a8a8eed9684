/* SPDX-License-Identifier: Apache-2.0 */
/* Makes organizations in a data directory that no service has open, and prints their ids, a line each.
 *
 *	populate DATA COUNT */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "engine/tenants.h"

#define A_JOB 1000

struct part {
	struct ks_actor actor;
	uint64_t first;
	uint64_t count;
};

static enum ks_err run(struct ks_job *job, struct ks_tx *tx)
{
	struct part *part = job->ctx;
	char name[64], id[KS_ID_TEXT_SIZE];
	struct ks_tenant_made made;

	ks_actor_local(tx->ring, &part->actor);
	for (uint64_t i = part->first; i < part->first + part->count; i++) {
		struct ks_buf b = KS_BUF(name);
		struct ks_tenant_input input = {.kind = KS_TENANT_KIND_ORGANIZATION};

		ks_buf_put_c(&b, "organization-");
		ks_buf_put_u64(&b, i);
		input.name = ks_buf_str(&b);
		input.slug = ks_buf_str(&b);
		KS_TRY(ks_tenants_create(tx, &part->actor, &input, &made, &job->refusal));
		ks_id_format(KS_ID_ORGANIZATION, made.id, id);
		(void)puts(id);
	}
	return KS_OK;
}

int main(int argc, char **argv)
{
	struct ks_engine_options options = {.prefix_live = "ks", .prefix_sandbox = "ks_sandbox", .domain = "", .ring_group = -1,
					    .usage_flush_ms = 1000, .create = true, .self_policy = ks_api_self_policy()};
	struct ks_engine_problem problem = {""};
	struct ks_engine *engine = NULL;
	struct part part = {0};
	uint64_t count;

	if (argc != 3 || !ks_str_to_u64(ks_str_c(argv[2]), 1000000, &count)) {
		(void)fprintf(stderr, "usage: populate DATA COUNT\n");
		return 2;
	}
	options.data_directory = argv[1];
	if (ks_engine_open(&options, &engine, &problem) != KS_OK) {
		(void)fprintf(stderr, "populate: %s\n", problem.text);
		return 1;
	}
	for (part.first = 0; part.first < count; part.first += part.count) {
		struct ks_job job = {.run = run, .ctx = &part};

		part.count = KS_MIN((uint64_t)A_JOB, count - part.first);
		if (ks_engine_run(engine, &job) != KS_OK) {
			(void)fprintf(stderr, "populate: %s %s\n", ks_err_text(job.err), job.refusal.detail);
			return 1;
		}
	}
	ks_engine_close(&engine);
	return 0;
}
