/* SPDX-License-Identifier: Apache-2.0 */
/* The forward-auth endpoint, called for every request of the platform: no allocation on the way to an allow. */
#include "api/api_priv.h"
#include "api/counters.h"

/* Puts the text that was appended to x->text since `at` under `name`. */
static void header_since(struct ks_exchange *x, struct ks_str name, size_t at)
{
	ks_exchange_answer_header(x, name, ks_str_of(x->text.p + at, x->text.n - at));
}

static void put_identity(struct ks_exchange *x, const struct ks_ring *ring, const struct ks_decision *d, enum ks_identity_header header)
{
	size_t at = x->text.n;

	ks_identity_put(ring, d, header, &x->text);
	header_since(x, ks_str_c(ks_identity_name(header)), at);
}

static void put_rate(struct ks_exchange *x, const struct ks_ring *ring, const struct ks_decision *d)
{
	if (d->rate.limit == 0)
		return;
	put_identity(x, ring, d, KS_IDENTITY_RATE_LIMIT_POLICY);
	put_identity(x, ring, d, KS_IDENTITY_RATE_LIMIT);
}

/* Every header always, empty where there is nothing: some gateways hand on what a client forged, or a literal, for one that is missing. */
static void allow(struct ks_exchange *x, const struct ks_ring *ring, const struct ks_decision *d)
{
	for (enum ks_identity_header i = 0; i < KS_IDENTITY_RATE_LIMIT; i++)
		put_identity(x, ring, d, i);
	put_rate(x, ring, d);
	x->status = 200;
}

/* nginx's auth_request knows 401 and 403 alone, makes 500 of the rest, and drops the body: what stands in the body goes into headers too. */
static void refuse(struct ks_api *api, struct ks_exchange *x, const struct ks_ring *ring, const struct ks_decision *d, bool basic,
		   enum ks_gateway_form form)
{
	put_rate(x, ring, d);
	ks_exchange_refuse(api, x, ring, d, basic);
	if (form != KS_GATEWAY_NGINX)
		return;
	ks_exchange_answer_header(x, KS_STR("X-Keystile-Code"), ks_str_c(ks_reason_info(d->reason)->code));
	if (x->status != 401 && x->status != 403) {
		size_t at = x->text.n;

		ks_buf_put_u64(&x->text, (uint64_t)x->status);
		header_since(x, KS_STR("X-Keystile-Status"), at);
		x->status = 403;
	}
}

void ks_api_authorize(struct ks_api *api, struct ks_exchange *x)
{
	struct ks_api_thread *thread = ks_api_thread(api);
	const struct ks_ring *ring = ks_ringmap_reader_ring(thread->reader.ring);
	struct ks_decision *d = &thread->decision;
	struct ks_gateway_request original;
	struct ks_request request;
	size_t tenants = 0;

	ks_gateway_request(x, &original);
	if (original.form == KS_GATEWAY_UNCLEAR) {
		const struct ks_problem_info *info = ks_problem_info(KS_PROBLEM_HEADER_MALFORMED);

		ks_exchange_problem(x, info->code, info->status, info->title,
				    "The original request must be told once, in one form: X-Original-Method and X-Original-URI, or "
				    "X-Forwarded-Method and X-Forwarded-Uri, or the rest of the path.",
				    NULL, KS_STR(""));
		return;
	}
	if (!ring) {
		*d = (struct ks_decision){.reason = KS_REASON_STALE, .step = KS_STEP_LEASE};
		refuse(api, x, ring, d, false, original.form);
		return;
	}
	ks_present(api, x, &thread->credential);
	request = (struct ks_request){
		.credential = &thread->credential,
		.method = original.method,
		.path = original.path,
		.tenant = ks_exchange_header(x, KS_STR("X-Tenant-Id"), &tenants),
		.host = original.host,
		.now_ms = x->now_ms,
	};
	request.tenant_repeated = tenants > 1;
	request.address_known = ks_client_address(api, x, &request.address);
	ks_present_jwt(thread, ring, KS_JWT_AUDIENCE_ANY, &request);
	ks_decide(ring, KS_RING_POLICY_PLATFORM, &request, &thread->path, d);
	ks_api_count_decision(d);
	if (d->reason == KS_REASON_OK)
		allow(x, ring, d);
	else
		refuse(api, x, ring, d, thread->credential.basic_tried, original.form);
	ks_credential_wipe(&thread->credential);
}
