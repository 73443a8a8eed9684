/* SPDX-License-Identifier: Apache-2.0 */
/* The original request, in the forms in which gateways tell it. */
#include "api/api_priv.h"

struct told {
	struct ks_str value;
	size_t count;
};

static struct told tell(const struct ks_exchange *x, struct ks_str name)
{
	struct told t;

	t.value = ks_exchange_header(x, name, &t.count);
	return t;
}

void ks_gateway_request(const struct ks_exchange *x, struct ks_gateway_request *ret_request)
{
	struct told nginx_method = tell(x, KS_STR("X-Original-Method"));
	struct told nginx_uri = tell(x, KS_STR("X-Original-URI"));
	struct told method = tell(x, KS_STR("X-Forwarded-Method"));
	struct told uri = tell(x, KS_STR("X-Forwarded-Uri"));
	struct told host = tell(x, KS_STR("X-Forwarded-Host"));
	struct ks_str base = KS_STR("/v1/authorize");
	struct ks_str path = ks_exchange_path(x);
	bool nginx = nginx_method.count + nginx_uri.count > 0;
	bool forwarded = method.count + uri.count > 0;
	bool rest = path.n > base.n;

	*ret_request = (struct ks_gateway_request){.form = KS_GATEWAY_UNCLEAR, .host = ks_exchange_header(x, KS_STR("Host"), NULL)};
	if (nginx + forwarded + rest != 1)
		return;
	if (nginx && nginx_method.count == 1 && nginx_uri.count == 1) {
		ret_request->form = KS_GATEWAY_NGINX;
		ret_request->method = nginx_method.value;
		ret_request->path = nginx_uri.value;
	} else if (forwarded && method.count == 1 && uri.count == 1 && host.count <= 1) {
		ret_request->form = KS_GATEWAY_FORWARDED;
		ret_request->method = method.value;
		ret_request->path = uri.value;
		if (host.count == 1)
			ret_request->host = host.value;
	} else if (rest) {
		ret_request->form = KS_GATEWAY_ENVOY;
		ret_request->method = x->method;
		ret_request->path = ks_str_sub(x->target, base.n, x->target.n);
	}
}
