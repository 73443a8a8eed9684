/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kms.h"

#include <stdio.h>

#include "fetch/fetch.h"

#define CONNECT_MS 5000

/* Where the keeper's connections lead: once for the process. */
static struct {
	struct ks_fetch *fetch;
	char host[256];
	unsigned port;
	bool tls;
} kms;

static enum ks_err complain(struct ks_config_problem *problem, const char *setting, const char *what)
{
	(void)snprintf(problem->text, sizeof(problem->text), "%s: %s", setting, what);
	return KS_MALFORMED;
}

static enum ks_err connect_kms(void *ctx, int *ret_fd)
{
	(void)ctx;
	return ks_fetch_connect(kms.fetch, ks_str_c(kms.host), kms.port, kms.tls, CONNECT_MS, ret_fd) == KS_FETCH_OK ? KS_OK : KS_KMS;
}

/* https://host or https://host:port; http where the guard lets it. */
static bool take_url(struct ks_str url)
{
	struct ks_str https = KS_STR("https://"), http = KS_STR("http://"), host, port;
	struct ks_buf b = KS_BUF(kms.host);
	uint64_t number;

	kms.tls = ks_str_starts(url, https);
	if (!kms.tls && !ks_str_starts(url, http))
		return false;
	host = ks_str_sub(url, kms.tls ? https.n : http.n, url.n);
	number = kms.tls ? 443 : 80;
	if (ks_str_split(host, ':', &host, &port) && (!ks_str_to_u64(port, 65535, &number) || number == 0))
		return false;
	kms.port = (unsigned)number;
	ks_buf_put(&b, host);
	return ks_buf_z(&b)[0] != '\0' && ks_str_find(host, '/') == SIZE_MAX && ks_str_find(host, '@') == SIZE_MAX;
}

enum ks_err ks_serve_kms(const struct ks_config *config, const struct ks_fetch_options *fetch,
			 struct ks_keeper_options *keeper, struct ks_config_problem *ret_problem)
{
	keeper->kms_url = config->vault_kms_url.text;
	keeper->kms_key = config->vault_kms_key.text;
	keeper->kms_region = config->vault_kms_region.text;
	keeper->kms_credentials_file = config->vault_kms_credentials_file.text;
	keeper->kms_ca_file = config->fetch_ca_file.text;
	if (keeper->root != KS_KEEPER_ROOT_AWS && keeper->root != KS_KEEPER_ROOT_TRANSIT)
		return KS_OK;
	if (!keeper->kms_key[0] || !keeper->kms_credentials_file[0] || (keeper->root == KS_KEEPER_ROOT_AWS && !keeper->kms_region[0]))
		return complain(ret_problem, "vault.kms", "needs vault.kms_key, vault.kms_credentials_file, and aws-kms vault.kms_region");
	if (keeper->root == KS_KEEPER_ROOT_TRANSIT && ks_str_find(ks_str_c(keeper->kms_key), '/') == SIZE_MAX)
		return complain(ret_problem, "vault.kms_key", "must be MOUNT/NAME with vault-transit");
	if (!take_url(ks_str_c(keeper->kms_url)))
		return complain(ret_problem, "vault.kms_url", "must be https://host or https://host:port");
	if (!kms.fetch && ks_fetch_new(fetch, &kms.fetch) != KS_OK)
		return complain(ret_problem, "vault.kms", "connections cannot be made");
	keeper->connect = connect_kms;
	return KS_OK;
}
