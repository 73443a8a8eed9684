/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/references.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "config/log.h"
#include "crypto/random.h"
#include "engine/issuer.h"

#define ASSERTION_MS 300000 /* how long a token lives that shows us to a store */

struct ks_references {
	struct ks_secretstore *store;
	struct ks_engine *engine;
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

struct ks_secretstore *ks_references_store(struct ks_references *references)
{
	return references->store;
}

void ks_references_start(struct ks_references *references, struct ks_engine *engine)
{
	references->engine = engine;
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

enum ks_err ks_references_fetch(void *ctx, const struct ks_vault_reference *reference, int64_t deadline_ms,
				struct ks_secret *ret_value, const char **ret_code)
{
	struct ks_references *references = ctx;
	char organization_text[KS_ID_TEXT_SIZE], tenant_text[24];
	struct ks_buf b = KS_BUF(tenant_text);
	struct ks_secretstore_answer answer;
	int64_t left = deadline_ms - now_ms();
	enum ks_secretstore_code code;

	if (left <= 0) {
		*ret_code = ks_secretstore_code_name(KS_SECRETSTORE_TIMEOUT);
		return KS_STORE;
	}
	ks_id_format(KS_ID_ORGANIZATION, reference->organization, organization_text);
	/* Of whatever kind it is: for telling tenants apart. */
	ks_buf_put_u64(&b, reference->tenant);
	code = ks_secretstore_read(references->store, &(struct ks_secretstore_ask){
		.organization = ks_str_c(organization_text),
		.tenant = ks_buf_str(&b),
		.reference = reference->json,
		.worked_before = reference->worked,
		.timeout_ms = (unsigned)KS_MIN(left, (int64_t)UINT32_MAX),
	}, &answer);
	if (code == KS_SECRETSTORE_OK) {
		*ret_value = answer.value;
		return KS_OK;
	}
	ks_log(KS_LOG_WARNING, "reference_not_read", "organization", organization_text, "code", ks_secretstore_code_name(code), "said", answer.said,
	       NULL);
	*ret_code = ks_secretstore_code_name(code);
	return KS_STORE;
}
