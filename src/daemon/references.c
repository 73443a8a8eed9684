/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/references.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "config/log.h"
#include "crypto/random.h"
#include "engine/issuer.h"
#include "ring/ring_inline.h"

#define ASSERTION_MS 300000 /* how long a token lives that shows us to a store */

struct ks_references {
	struct ks_secretstore *store;
	struct ks_engine *engine;
	pthread_mutex_t lock;             /* guards the reader */
	struct ks_ringmap_reader *reader;
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A JWT for the store's audience about the organization. It stands for no session and no key of ours: our own API refuses
 * it, whatever its audience. */
static enum ks_err mint(void *ctx, struct ks_str organization, struct ks_str audience, struct ks_buf *out)
{
	const struct ks_references *references = ctx;
	struct ks_issuer_claims claims = {
		.subject = organization,
		.tenant = organization,
		.audiences = &audience,
		.audience_count = 1,
		.now_ms = now_ms(),
	};

	claims.expires_ms = claims.now_ms + ASSERTION_MS;
	KS_TRY(ks_random(claims.ref.bytes, sizeof(claims.ref.bytes)));
	return ks_issuer_mint(references->engine, &claims, out);
}

enum ks_err ks_references_new(const struct ks_config *config, const struct ks_fetch_options *fetch,
			      struct ks_references **ret_references, struct ks_config_problem *ret_problem)
{
	struct ks_references *references = calloc(1, sizeof(*references));
	struct ks_secretstore_problem problem;
	struct ks_secretstore_options o = {
		.fetch = *fetch,
		.identities = config->references_identities.text[0] ? config->references_identities.text : NULL,
		.credentials = getenv("CREDENTIALS_DIRECTORY"),
		.timeout_ms = (unsigned)config->references_timeout_ms.number,
		.concurrency = (unsigned)config->references_concurrency.number,
		.circuit_failures = (unsigned)config->references_circuit_failures.number,
		.circuit_open_ms = (unsigned)config->references_circuit_open_ms.number,
		.mint = mint,
		.mint_ctx = references,
	};
	enum ks_err err;

	if (!references)
		return KS_MEMORY;
	(void)pthread_mutex_init(&references->lock, NULL);
	err = ks_secretstore_new(&o, &references->store, &problem);
	if (err == KS_OK) {
		*ret_references = references;
		return KS_OK;
	}
	(void)snprintf(ret_problem->text, sizeof(ret_problem->text), "references.identities: %s",
		       problem.text[0] ? problem.text : ks_err_text(err));
	ks_references_free(&references);
	return err;
}

enum ks_err ks_references_start(struct ks_references *references, struct ks_engine *engine)
{
	references->engine = engine;
	return ks_ringmap_reader_open(ks_engine_ring_directory(engine), &references->reader);
}

void ks_references_reload(struct ks_references *references)
{
	struct ks_secretstore_problem problem;
	enum ks_err err = ks_secretstore_reload(references->store, &problem);

	if (err != KS_OK)
		ks_log(KS_LOG_ERROR, "reload_refused", "detail", problem.text[0] ? problem.text : ks_err_text(err), NULL);
}

void ks_references_stop(struct ks_references *references)
{
	if (references)
		ks_secretstore_stop(references->store);
}

void ks_references_free(struct ks_references **references)
{
	struct ks_references *r = *references;

	if (!r)
		return;
	ks_secretstore_free(&r->store);
	ks_ringmap_reader_close(&r->reader);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
	*references = NULL;
}

void ks_references_put_metrics(struct ks_references *references, struct ks_buf *out)
{
	if (references)
		ks_secretstore_put_metrics(references->store, out);
}

bool ks_references_check(void *ctx, struct ks_str json, char *ret_detail, size_t cap)
{
	struct ks_secretstore_detail detail;
	bool ok = ks_secretstore_check(json, &detail) == KS_OK;

	(void)ctx;
	if (!ok)
		(void)snprintf(ret_detail, cap, "%s%s%s", &detail.pointer[detail.pointer[0] == '/'], detail.pointer[0] ? " " : "",
			       detail.text);
	return ok;
}

/* Ids as text of the tenant and of its organization (the tenant itself where it is in none). */
static bool ids_of(struct ks_references *references, uint64_t tenant, char ret_tenant[KS_ID_TEXT_SIZE],
		   char ret_organization[KS_ID_TEXT_SIZE])
{
	const struct ks_ring *ring;
	uint32_t at = KS_RING_NONE, organization;

	(void)pthread_mutex_lock(&references->lock);
	ring = ks_ringmap_reader_ring(references->reader);
	if (ring)
		at = ks_ring_tenant(ring, tenant);
	if (at != KS_RING_NONE) {
		organization = ring->tenants[at].organization == KS_RING_NONE ? at : ring->tenants[at].organization;
		ks_id_format((enum ks_id_type)ring->tenants[at].kind, tenant, ret_tenant);
		ks_id_format((enum ks_id_type)ring->tenants[organization].kind, ring->tenants[organization].id, ret_organization);
	}
	(void)pthread_mutex_unlock(&references->lock);
	return at != KS_RING_NONE;
}

enum ks_err ks_references_fetch(void *ctx, uint64_t tenant, struct ks_str reference, int64_t deadline_ms,
				struct ks_secret *ret_value, const char **ret_code)
{
	struct ks_references *references = ctx;
	char tenant_text[KS_ID_TEXT_SIZE], organization[KS_ID_TEXT_SIZE];
	struct ks_secretstore_answer answer;
	int64_t left = deadline_ms - now_ms();
	enum ks_secretstore_code code = KS_SECRETSTORE_TIMEOUT;

	if (left <= 0 || !ids_of(references, tenant, tenant_text, organization)) {
		*ret_code = ks_secretstore_code_name(left <= 0 ? KS_SECRETSTORE_TIMEOUT : KS_SECRETSTORE_INTERNAL);
		return KS_STORE;
	}
	code = ks_secretstore_read(references->store, &(struct ks_secretstore_ask){
		.organization = ks_str_c(organization),
		.tenant = ks_str_c(tenant_text),
		.reference = reference,
		.timeout_ms = (unsigned)KS_MIN(left, (int64_t)UINT32_MAX),
	}, &answer);
	if (code == KS_SECRETSTORE_OK) {
		*ret_value = answer.value;
		return KS_OK;
	}
	ks_log(KS_LOG_WARNING, "reference_not_read", "tenant", tenant_text, "code", ks_secretstore_code_name(code), "said", answer.said,
	       NULL);
	*ret_code = ks_secretstore_code_name(code);
	return KS_STORE;
}
