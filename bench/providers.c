/* SPDX-License-Identifier: Apache-2.0 */
/* Makes providers of platform "bench", with an account and a token each, in a data directory that no service has open, ten for each of the organizations whose ids are
 * lines of standard input. They are of use at once only while the platform's file has no probe.
 *
 *	providers DATA PLATFORMS COUNT < ORGANIZATIONS     PLATFORMS: folder of the platform's file */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "engine/health.h"
#include "engine/vault.h"

#define A_JOB 500u
#define FOR_EACH 10u
#define ORGANIZATIONS_MAX 100000u

static const char *const fields[] = {"account", "token"};

struct part {
	struct ks_actor actor;
	uint64_t first, count;
	uint64_t ids[A_JOB];
	struct ks_vault_prepared *prepared[A_JOB][KS_ARRAY_LEN(fields)];
};

static uint64_t organizations[ORGANIZATIONS_MAX];
static size_t organization_count;

static enum ks_err make(struct ks_job *job, struct ks_tx *tx)
{
	struct part *p = job->ctx;
	char name[32];

	ks_actor_local(tx->ring, &p->actor);
	for (uint64_t i = 0; i < p->count; i++) {
		struct ks_buf b = KS_BUF(name);
		struct ks_provider_input input = {
			.tenant = organizations[(p->first + i) / FOR_EACH % organization_count], .platform = KS_STR("bench")};

		ks_buf_printf(&b, "provider %llu", (unsigned long long)(p->first + i));
		input.name = ks_buf_str(&b);
		KS_TRY(ks_vault_provider_create(tx, &p->actor, &input, &p->ids[i], &job->refusal));
	}
	return KS_OK;
}

static enum ks_err put(struct ks_job *job, struct ks_tx *tx)
{
	struct part *p = job->ctx;

	for (uint64_t i = 0; i < p->count; i++) {
		for (size_t k = 0; k < KS_ARRAY_LEN(fields); k++)
			KS_TRY(ks_vault_put_version(tx, &p->actor, p->prepared[i][k], "api", &job->refusal));
		KS_TRY(ks_health_adopt(tx, p->ids[i], KS_TIME_NONE));
	}
	return KS_OK;
}

static enum ks_err seal(struct ks_engine *engine, struct part *p, struct ks_refusal *refusal)
{
	char text[64];

	for (uint64_t i = 0; i < p->count; i++) {
		for (size_t k = 0; k < KS_ARRAY_LEN(fields); k++) {
			struct ks_buf b = KS_BUF(text);
			struct ks_vault_writing w = {
				.provider = p->ids[i], .field = ks_str_c(fields[k]), .kind = KS_FIELD_KIND_HELD, .direct = true};

			ks_buf_printf(&b, "%s-%llu", fields[k], (unsigned long long)(p->first + i));
			w.text = ks_buf_str(&b);
			KS_TRY(ks_vault_prepare(engine, &p->actor, &w, &p->prepared[i][k], refusal));
		}
	}
	return KS_OK;
}

static enum ks_err make_part(struct ks_engine *engine, struct part *p, struct ks_refusal *refusal)
{
	struct ks_job making = {.run = make, .ctx = p}, putting = {.run = put, .ctx = p};
	enum ks_err err = ks_engine_run(engine, &making);

	if (err == KS_OK)
		err = seal(engine, p, &making.refusal);
	*refusal = making.refusal;
	if (err == KS_OK) {
		err = ks_engine_run(engine, &putting);
		*refusal = putting.refusal;
	}
	for (uint64_t i = 0; i < p->count; i++) {
		for (size_t k = 0; k < KS_ARRAY_LEN(fields); k++)
			ks_vault_prepared_free(&p->prepared[i][k]);
	}
	return err;
}

static void read_organizations(void)
{
	char line[64];
	uint64_t id;

	while (organization_count < ORGANIZATIONS_MAX && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (ks_id_parse(ks_str_c(line), KS_ID_ORGANIZATION, &id))
			organizations[organization_count++] = id;
	}
}

int main(int argc, char **argv)
{
	static const struct ks_vault_openers openers;
	static struct part part;
	struct ks_engine_options options = {.prefix_live = "ks", .prefix_sandbox = "ks_sandbox", .domain = "", .ring_group = -1, .usage_flush_ms = 1000,
					    .self_policy = ks_api_self_policy(), .vault = {.openers = &openers, .direct_write = true}};
	struct ks_engine_problem problem = {""};
	struct ks_engine *engine = NULL;
	struct ks_refusal refusal = {0};
	enum ks_err err = KS_OK;
	uint64_t count;

	if (argc != 4 || !ks_str_to_u64(ks_str_c(argv[3]), 1000000, &count)) {
		(void)fprintf(stderr, "usage: providers DATA PLATFORMS COUNT < ORGANIZATIONS\n");
		return 2;
	}
	read_organizations();
	options.data_directory = argv[1];
	options.platforms_own_path = argv[2];
	if (organization_count == 0 || ks_engine_open(&options, &engine, &problem) != KS_OK) {
		(void)fprintf(stderr, "providers: no organization, or: %s\n", problem.text);
		return 1;
	}
	for (part.first = 0; part.first < count && err == KS_OK; part.first += part.count) {
		part.count = KS_MIN((uint64_t)A_JOB, count - part.first);
		err = make_part(engine, &part, &refusal);
	}
	if (err != KS_OK)
		(void)fprintf(stderr, "providers: %s %s\n", ks_err_text(err), refusal.detail);
	ks_engine_close(&engine);
	return err == KS_OK ? 0 : 1;
}
