/* SPDX-License-Identifier: Apache-2.0 */
/* Who is calling, by the request's headers. */
#include "api/api_priv.h"
#include "federation/federation.h"

void ks_present(const struct ks_api *api, const struct ks_exchange *x, struct ks_credential *ret_credential)
{
	const struct ks_api_options *options = &api->options;

	ks_credential_init(ret_credential);
	for (size_t i = 0; i < x->header_count; i++) {
		const struct ks_header *h = &x->headers[i];

		if (ks_str_eq_nocase(h->name, KS_STR("Authorization")))
			ks_credential_authorization(ret_credential, h->value);
		else if (ks_str_eq_nocase(h->name, KS_STR("X-API-Key")))
			ks_credential_header(ret_credential, h->value, KS_KINDS_ANY);
		for (size_t k = 0; k < options->credential_header_count; k++) {
			if (ks_str_eq_nocase(h->name, options->credential_headers[k].name))
				ks_credential_header(ret_credential, h->value, options->credential_headers[k].kinds);
		}
	}
}

void ks_present_jwt(struct ks_api_thread *thread, const struct ks_ring *ring, enum ks_jwt_audience audience,
		    struct ks_request *request)
{
	if (KS_LIKELY(request->credential->form != KS_TOKEN_JWT))
		return;
	ks_assert(ring, &thread->verifier, request->credential->token, audience, request->now_ms, &thread->assertion);
	request->assertion = &thread->assertion;
	if (thread->verifier.lacks_key)
		ks_federation_unknown_kid(thread->federation, thread->verifier.lacks_key);
}

/* Whether what `addr` says of those before it is believed; `hops` proxies are nearer. */
static bool is_proxy(const struct ks_api_options *options, const struct ks_addr *addr, size_t hops)
{
	if (options->proxy_hops > 0 && hops >= options->proxy_hops)
		return false;
	if (options->trusted_proxy_count == 0)
		return options->proxy_hops > 0;
	for (size_t i = 0; i < options->trusted_proxy_count; i++) {
		if (ks_cidr_has(&options->trusted_proxies[i], addr))
			return true;
	}
	return false;
}

/* Takes the last entry off the list; an address may stand in brackets or have a port. */
static struct ks_str take_last(struct ks_str *list)
{
	size_t comma = list->n;
	struct ks_str last;

	while (comma > 0 && list->p[comma - 1] != ',')
		comma--;
	last = ks_str_trim(ks_str_sub(*list, comma, list->n));
	*list = ks_str_sub(*list, 0, comma > 0 ? comma - 1 : 0);
	return last;
}

static bool parse_entry(struct ks_str entry, struct ks_addr *ret_addr)
{
	struct ks_str head, tail;

	if (ks_addr_parse(entry, ret_addr))
		return true;
	if (entry.n > 0 && entry.p[0] == '[' && ks_str_split(ks_str_sub(entry, 1, entry.n), ']', &head, &tail))
		return ks_addr_parse(head, ret_addr);
	return ks_str_split(entry, ':', &head, &tail) && ks_addr_parse(head, ret_addr);
}

bool ks_client_is_proxied(const struct ks_api *api, const struct ks_exchange *x)
{
	return x->peer_known && is_proxy(&api->options, &x->peer, 0);
}

bool ks_client_address(const struct ks_api *api, const struct ks_exchange *x, struct ks_addr *ret_addr)
{
	const struct ks_api_options *options = &api->options;
	struct ks_addr at = x->peer;
	size_t hops = 0;

	if (!x->peer_known)
		return false;
	/* Several fields of this name are one list, in their order: walk them from the last. */
	for (size_t i = x->header_count; i > 0 && is_proxy(options, &at, hops); i--) {
		struct ks_str list = x->headers[i - 1].value;

		if (!ks_str_eq_nocase(x->headers[i - 1].name, KS_STR("X-Forwarded-For")))
			continue;
		while (!ks_str_empty(list) && is_proxy(options, &at, hops)) {
			/* What a trusted proxy wrote and we cannot read is no address: better none than a wrong one. */
			if (!parse_entry(take_last(&list), &at))
				return false;
			hops++;
		}
	}
	*ret_addr = at;
	return true;
}
