/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/serve.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "base/secret.h"
#include "config/log.h"
#include "daemon/delivery.h"
#include "daemon/health.h"
#include "daemon/held.h"
#include "daemon/inbound.h"
#include "daemon/kms.h"
#include "daemon/leaks.h"
#include "daemon/notices.h"
#include "daemon/platforms.h"
#include "daemon/references.h"
#include "daemon/vault.h"
#include "engine/keys.h"
#include "engine/platforms.h"
#include "engine/vault.h"
#include "http/server.h"

struct service {
	const struct ks_config *config;
	struct ks_api_options api_options;
	struct ks_engine *engine;
	struct ks_federation *federation;
	struct ks_references *references;
	struct ks_vault_openers openers;
	struct ks_health *health;
	struct ks_inbound *inbound;
	struct ks_delivery *delivery;
	struct ks_api *api;
	struct ks_http_server *http;
	struct ks_http_server *_Atomic counting; /* the same, for its own threads: they run before it is returned */
	_Atomic uint64_t refused[64];   /* by position in KS_HTTP_REFUSALS */
};

static const char *const refusals[] = {
#define X(name) #name,
	KS_HTTP_REFUSALS(X)
#undef X
};

static enum ks_err complain(struct ks_config_problem *problem, const char *setting, const char *what)
{
	(void)snprintf(problem->text, sizeof(problem->text), "%s: %s", setting, what);
	return KS_MALFORMED;
}

static const char *or_null(const struct ks_config_value *value)
{
	return value->text[0] ? value->text : NULL;
}

/* ---- settings to options ---- */

static enum ks_err group_of(const struct ks_config *config, int64_t *ret_group, struct ks_config_problem *problem)
{
	const struct group *group;

	*ret_group = -1;
	if (!config->ring_group.text[0])
		return KS_OK;
	group = getgrnam(config->ring_group.text);
	if (!group)
		return complain(problem, "ring.group", "there is no such group");
	*ret_group = (int64_t)group->gr_gid;
	return KS_OK;
}

/* A name that metadata can be found under: scheme and host, no path (RFC 8414, 2 and 3). */
static bool is_issuer_url(struct ks_str url)
{
	struct ks_str https = KS_STR("https://"), http = KS_STR("http://");
	struct ks_str host = ks_str_sub(url, ks_str_starts(url, https) ? https.n : http.n, url.n);

	return (ks_str_starts(url, https) || ks_str_starts(url, http)) && host.n > 0 && host.n < KS_ENGINE_ISSUER_NAME_SIZE - 8
	       && ks_str_find(host, '/') == SIZE_MAX && ks_str_find(host, '?') == SIZE_MAX && ks_str_find(host, '#') == SIZE_MAX
	       && ks_str_find(host, '@') == SIZE_MAX && ks_str_find(host, ' ') == SIZE_MAX;
}

static enum ks_err issuer_of(const struct ks_config *config, struct ks_engine_issuer *issuer, struct ks_config_problem *problem)
{
	struct ks_buf name = KS_BUF(issuer->name);
	const char *listen = config->listen.text[0] ? config->listen.text : "localhost";

	*issuer = (struct ks_engine_issuer){
		.algorithm = config->issuer_algorithm.text,
		.rotate_ms = (int64_t)config->issuer_rotate_s.number * 1000,
		.publish_ms = (int64_t)config->issuer_publish_s.number * 1000,
	};
	if (config->issuer_url.text[0]) {
		ks_buf_put_c(&name, config->issuer_url.text);
	} else {
		ks_buf_put_c(&name, config->tls_certificate.text[0] ? "https://" : "http://");
		ks_buf_put_c(&name, listen);
	}
	if (!is_issuer_url(ks_str_c(ks_buf_z(&name))))
		return complain(problem, "issuer.url", "must be https://host or http://host, with a port where it has one, and nothing behind it");
	if (!ks_str_eq(ks_str_c(issuer->algorithm), KS_STR("ES256")) && !ks_str_eq(ks_str_c(issuer->algorithm), KS_STR("EdDSA")))
		return complain(problem, "issuer.algorithm", "must be ES256 or EdDSA");
	for (size_t i = 0; i < config->issuer_audiences.count; i++) {
		if (i == KS_ENGINE_AUDIENCES_MAX)
			return complain(problem, "issuer.audiences", "too many");
		for (size_t k = 0; k < i; k++) {
			if (ks_str_eq(ks_str_c(config->issuer_audiences.items[i]), ks_str_c(config->issuer_audiences.items[k])))
				return complain(problem, "issuer.audiences", "an item is there twice");
		}
		if (ks_str_eq(ks_str_c(config->issuer_audiences.items[i]), ks_str_c(issuer->name)))
			return complain(problem, "issuer.audiences", "the issuer itself is always one");
		issuer->audiences[issuer->audience_count++] = config->issuer_audiences.items[i];
	}
	return KS_OK;
}

static enum ks_err keeper_of(const struct ks_config *config, struct ks_keeper_options *keeper, struct ks_config_problem *problem)
{
	const struct ks_config_value *pkcs11[] = {&config->vault_pkcs11_module, &config->vault_pkcs11_token,
						  &config->vault_pkcs11_key, &config->vault_pin_file};

	*keeper = (struct ks_keeper_options){
		.passphrase_file = config->vault_passphrase_file.text,
		.pkcs11_module = config->vault_pkcs11_module.text,
		.pkcs11_token = config->vault_pkcs11_token.text,
		.pkcs11_key = config->vault_pkcs11_key.text,
		.pkcs11_files = config->vault_pkcs11_files.text,
		.pin_file = config->vault_pin_file.text,
	};
	if (!ks_keeper_root_parse(ks_str_c(config->vault_kms.text), &keeper->root))
		return complain(problem, "vault.kms", "must be file, passphrase, pkcs11, aws-kms or vault-transit");
	if (keeper->root == KS_KEEPER_ROOT_PASSPHRASE && !keeper->passphrase_file[0])
		return complain(problem, "vault.passphrase_file", "is needed with vault.kms passphrase");
	for (size_t i = 0; keeper->root == KS_KEEPER_ROOT_PKCS11 && i < KS_ARRAY_LEN(pkcs11); i++) {
		if (!pkcs11[i]->text[0])
			return complain(problem, "vault.kms", "pkcs11 needs vault.pkcs11_module, _token, _key and vault.pin_file");
	}
	return KS_OK;
}

enum ks_err ks_serve_engine_options(const struct ks_config *config, struct ks_engine_options *ret_options,
				    struct ks_config_problem *ret_problem)
{
	struct ks_federation_options federation;
	struct ks_engine_options o = {
		.data_directory = config->data.text,
		.ring_directory = or_null(&config->ring_directory),
		.domain = config->domain.text,
		.policy_path = or_null(&config->policy),
		.platforms_path = ks_serve_platforms(config),
		.platforms_own_path = or_null(&config->platforms_own),
		.prefix_live = config->tokens_prefix_live.text,
		.prefix_sandbox = config->tokens_prefix_sandbox.text,
		.checksum = config->tokens_checksum.number != 0,
		.usage_flush_ms = (unsigned)config->usage_flush_ms.number,
		.session_idle_ms = (int64_t)config->sessions_idle_s.number * 1000,
		.session_lifetime_ms = (int64_t)config->sessions_lifetime_s.number * 1000,
		.link_attempts = config->links_attempts.number,
		.invitation_ms = (int64_t)config->invitations_lifetime_s.number * 1000,
		.events_keep_days = (unsigned)config->events_keep_days.number,
		.inbound_keep_days = (unsigned)config->hooks_keep_days.number,
		.audit_key = true,
		.audit_checkpoint_ms = (int64_t)config->audit_checkpoint_interval.number * 1000,
		.self_policy = ks_api_self_policy(),
		.log = ks_log_engine,
	};

	if (!ks_str_eq(ks_str_c(config->store.text), KS_STR("sqlite")))
		return complain(ret_problem, "store", "must be \"sqlite\"");
	if (!ks_token_prefix_ok(ks_str_c(o.prefix_live)))
		return complain(ret_problem, "tokens.prefix_live", "must be words of a-z and 0-9 joined by underscores, a letter first");
	if (!ks_token_prefix_ok(ks_str_c(o.prefix_sandbox)))
		return complain(ret_problem, "tokens.prefix_sandbox", "must be words of a-z and 0-9 joined by underscores, a letter first");
	KS_TRY(keeper_of(config, &o.keeper, ret_problem));
	KS_TRY(ks_serve_federation_options(config, &federation, ret_problem));
	KS_TRY(ks_serve_kms(config, &federation.fetch, &o.keeper, ret_problem));
	KS_TRY(group_of(config, &o.ring_group, ret_problem));
	KS_TRY(ks_serve_notices(config, &o.notice, ret_problem));
	KS_TRY(ks_serve_leak_action(config, &o, ret_problem));
	KS_TRY(ks_serve_vault(config, &o.vault, ret_problem));
	KS_TRY(issuer_of(config, &o.issuer, ret_problem));
	*ret_options = o;
	return KS_OK;
}

static enum ks_err proxies_of(const struct ks_config *config, struct ks_api_options *o, struct ks_config_problem *problem)
{
	const struct ks_config_value *list = &config->proxies_trusted;

	o->proxy_hops = (size_t)config->proxies_count.number;
	for (size_t i = 0; i < list->count; i++) {
		if (!ks_cidr_parse(ks_str_c(list->items[i]), &o->trusted_proxies[o->trusted_proxy_count++]))
			return complain(problem, "proxies.trusted", "an item is no address or range");
	}
	return KS_OK;
}

static enum ks_err headers_of(const struct ks_config *config, struct ks_api_options *o, struct ks_config_problem *problem)
{
	const struct ks_config_value *map = &config->credentials_headers;

	for (size_t i = 0; i < map->count; i++) {
		enum ks_kind kind;

		if (!ks_kind_parse(ks_str_c(map->names[i]), &kind))
			return complain(problem, "credentials.headers", "names must be session, tenant, partner or runtime");
		if (i == KS_API_CREDENTIAL_HEADERS_MAX || !ks_method_ok(ks_str_c(map->items[i])))
			return complain(problem, "credentials.headers", "values must be names of headers");
		o->credential_headers[o->credential_header_count++] =
			(struct ks_api_credential_header){ks_str_c(map->items[i]), KS_KIND_BIT(kind)};
	}
	return KS_OK;
}

enum ks_err ks_serve_federation_options(const struct ks_config *config, struct ks_federation_options *ret_options,
					struct ks_config_problem *ret_problem)
{
	const struct ks_config_value *list = &config->fetch_allow;
	struct ks_federation_options o = {
		.fetch.ca_file = or_null(&config->fetch_ca_file),
		.timeout_ms = (unsigned)config->fetch_timeout_ms.number,
		.refresh_ms = (int64_t)config->federation_refresh_s.number * 1000,
		.log = ks_log_engine,
	};

	for (size_t i = 0; i < list->count; i++) {
		if (o.fetch.allow_count == KS_FETCH_ALLOW_MAX)
			return complain(ret_problem, "fetch.allow", "too many items");
		if (!ks_cidr_parse(ks_str_c(list->items[i]), &o.fetch.allow[o.fetch.allow_count++]))
			return complain(ret_problem, "fetch.allow", "an item is no address or range");
	}
	*ret_options = o;
	return KS_OK;
}

/* ---- what the command line needs to know of the last service ---- */

static bool settings_path(const char *data_directory, char ret_path[PATH_MAX])
{
	int n = snprintf(ret_path, PATH_MAX, "%s/settings.yaml", data_directory);

	return n > 0 && n < PATH_MAX;
}

enum ks_err ks_serve_recall(struct ks_config *config, struct ks_config_problem *ret_problem)
{
	char path[PATH_MAX];

	return settings_path(config->data.text, path) ? ks_config_recall(config, path, ret_problem) : KS_OK;
}

static void keep_settings(const struct ks_config *config)
{
	char path[PATH_MAX];
	enum ks_err err = settings_path(config->data.text, path) ? ks_config_keep(config, path) : KS_TOO_LARGE;

	if (err != KS_OK)
		ks_log(KS_LOG_WARNING, "settings_not_kept", "detail", ks_err_text(err), NULL);
}

bool ks_serve_socket_path(const char *data_directory, char *ret_path, size_t cap)
{
	int n = snprintf(ret_path, cap, "%s/keystile.sock", data_directory);

	return n > 0 && (size_t)n < cap && (size_t)n < sizeof(((struct sockaddr_un *)0)->sun_path);
}

/* ---- what the server tells ---- */

static void on_refused(void *ctx, const char *reason, const struct ks_addr *peer)
{
	struct service *s = ctx;
	char text[KS_ADDR_TEXT_SIZE] = "";

	for (size_t i = 0; i < KS_ARRAY_LEN(refusals); i++) {
		if (ks_str_eq(ks_str_c(refusals[i]), ks_str_c(reason)))
			(void)atomic_fetch_add_explicit(&s->refused[i], 1, memory_order_relaxed);
	}
	if (peer)
		ks_addr_format(peer, text);
	ks_log(KS_LOG_DEBUG, "request_refused", "reason", reason, "address", text, NULL);
}

static void put_metrics(void *ctx, struct ks_buf *out)
{
	struct service *s = ctx;
	struct ks_http_server *http = atomic_load_explicit(&s->counting, memory_order_acquire);
	struct ks_http_stats stats;

	if (!http)
		return;
	ks_http_stats(http, &stats);
	ks_buf_printf(out,
		      "# HELP keystile_http_connections Connections open now.\n# TYPE keystile_http_connections gauge\n"
		      "keystile_http_connections %llu\n",
		      (unsigned long long)stats.connections_open);
	ks_buf_printf(out, "# HELP keystile_http_requests Requests received.\n# TYPE keystile_http_requests counter\n"
			   "keystile_http_requests_total %llu\n",
		      (unsigned long long)stats.requests_total);
	ks_buf_put_c(out, "# HELP keystile_http_refused Requests refused as malformed, oversized or late.\n"
			  "# TYPE keystile_http_refused counter\n");
	for (size_t i = 0; i < KS_ARRAY_LEN(refusals); i++)
		ks_buf_printf(out, "keystile_http_refused_total{reason=\"%s\"} %llu\n", refusals[i],
			      (unsigned long long)atomic_load_explicit(&s->refused[i], memory_order_relaxed));
	ks_references_put_metrics(s->references, out);
}

/* ---- the first key ---- */

/* Alone on its line, and not by the log: the log never holds a secret. Nor by stdio, which would keep a copy. */
static enum ks_err show_first_key(struct ks_engine *engine)
{
	char line[KS_TOKEN_TEXT_SIZE + 64];
	struct ks_buf b = KS_BUF(line);
	struct ks_key_made made;
	ssize_t written;

	if (!ks_engine_is_fresh(engine))
		return KS_OK;
	KS_TRY(ks_engine_first_key(engine, &made));
	ks_buf_put_c(&b, "The operator's first key, shown this once: ");
	ks_buf_put_c(&b, made.token);
	ks_buf_put_c(&b, "\n");
	written = write(STDERR_FILENO, b.p, b.n);
	ks_wipe(&made, sizeof(made));
	ks_wipe(line, sizeof(line));
	/* A key that nobody saw is a store that nobody can enter but by the command line, which still can. */
	return written == (ssize_t)b.n ? KS_OK : KS_SYSTEM;
}

/* ---- start, run, stop ---- */

static enum ks_err start_http(struct service *s, struct ks_config_problem *problem)
{
	const struct ks_config *c = s->config;
	const struct ks_handler handler = ks_api_handler(s->api);
	const char *why = "cannot be served";
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct ks_http_options o = {
		.listen = or_null(&c->listen),
		.tls_certificate = or_null(&c->tls_certificate),
		.tls_key = or_null(&c->tls_key),
		.tls_client_ca = or_null(&c->tls_client_ca),
		.tls_client_optional = c->tls_client_optional.number != 0,
		.threads = (unsigned)c->http_threads.number,
		.connections_max = (unsigned)c->http_connections.number,
		.connections_per_address_max = (unsigned)c->http_connections_per_address.number,
		.idle_timeout_ms = (unsigned)c->http_idle_ms.number,
		.request_timeout_ms = (unsigned)c->http_request_ms.number,
		.body_total_max = (size_t)c->http_bodies_bytes.number,
		.on_refused = on_refused,
		.on_refused_ctx = s,
	};
	enum ks_err err;

	if (!ks_serve_socket_path(c->data.text, socket_path, sizeof(socket_path)))
		return complain(problem, "data", "the path is too long for a local socket");
	o.socket_path = socket_path;
	err = ks_http_start(&o, &handler, &s->http, &why);
	if (err == KS_OK)
		atomic_store_explicit(&s->counting, s->http, memory_order_release);
	else
		(void)complain(problem, "listen", err == KS_BUSY ? "the address is in use" : why);
	return err;
}

static enum ks_err start(struct service *s, struct ks_config_problem *problem)
{
	struct ks_engine_options options;
	struct ks_federation_options federation;
	struct ks_health_options health;
	struct ks_inbound_options inbound;
	struct ks_delivery_options delivery;
	struct ks_engine_problem why = {""};
	enum ks_err err;

	KS_TRY(ks_serve_federation_options(s->config, &federation, problem));
	s->api_options.fetch = federation.fetch;
	KS_TRY(ks_references_new(s->config, &federation.fetch, &s->references, problem));
	KS_TRY(ks_serve_engine_options(s->config, &options, problem));
	s->openers = *options.vault.openers;
	s->openers.ctx = s->references;
	s->openers.fetch = ks_references_fetch;
	KS_TRY(ks_serve_held(s->config, ks_references_store(s->references), &s->openers, problem));
	options.vault.openers = &s->openers;
	KS_TRY(proxies_of(s->config, &s->api_options, problem));
	KS_TRY(headers_of(s->config, &s->api_options, problem));
	if (s->config->hooks_origin.text[0] && !is_issuer_url(ks_str_c(s->config->hooks_origin.text)))
		return complain(problem, "hooks.origin", "must be https://host or http://host, with a port where it has one, and nothing behind it");
	ks_serve_leak_routes(s->config, &s->api_options);
	options.create = true;
	options.issuer.make_keys = true;
	options.prefault = true;
	s->api_options.realm = s->config->realm.text;
	s->api_options.token_lifetime_s = s->config->issuer_lifetime_s.number;
	s->api_options.token_lifetime_max_s = s->config->issuer_lifetime_max_s.number;
	s->api_options.secure = s->config->sessions_secure.number != 0;
	if (!ks_password_cost_parse(ks_str_c(s->config->passwords_cost.text), &s->api_options.password_cost))
		return complain(problem, "passwords.cost", "must be interactive or moderate");
	s->api_options.metrics = put_metrics;
	s->api_options.metrics_ctx = s;
	s->api_options.log = ks_log_engine;
	err = ks_engine_open(&options, &s->engine, &why);
	if (err != KS_OK) {
		(void)snprintf(problem->text, sizeof(problem->text), "%s", why.text[0] ? why.text : ks_err_text(err));
		return err;
	}
	ks_references_start(s->references, s->engine);
	keep_settings(s->config);
	KS_TRY(show_first_key(s->engine));
	KS_TRY(ks_federation_new(s->engine, &federation, &s->federation));
	s->api_options.federation = s->federation;
	ks_serve_health(s->config, &federation.fetch, &health);
	KS_TRY(ks_health_new(s->engine, &health, &s->health));
	s->api_options.health = s->health;
	ks_serve_inbound(s->config, &federation.fetch, &inbound);
	KS_TRY(ks_inbound_new(s->engine, &inbound, &s->inbound));
	s->api_options.inbound = s->inbound;
	ks_serve_hooks(s->config, &s->api_options);
	ks_serve_delivery(s->config, &federation.fetch, &delivery);
	KS_TRY(ks_delivery_new(s->engine, &delivery, &s->delivery));
	s->api_options.delivery = s->delivery;
	err = ks_api_new(s->engine, &s->api_options, &s->api);
	if (err == KS_MALFORMED)
		return complain(problem, "leaks.github_keys_url", "the URL is not one that is fetched");
	KS_TRY(err);
	KS_TRY(ks_serve_github_keys(s->config, s->api, problem));
	KS_TRY(ks_federation_start(s->federation));
	KS_TRY(ks_health_start(s->health));
	KS_TRY(ks_delivery_start(s->delivery));
	KS_TRY(ks_serve_held_start(s->engine));
	return start_http(s, problem);
}

static void stop(struct service *s)
{
	ks_federation_hurry(s->federation);
	ks_references_stop(s->references);
	ks_inbound_stop(s->inbound);
	ks_http_stop(&s->http, (unsigned)s->config->http_drain_ms.number);
	ks_federation_stop(s->federation);
	ks_health_stop(s->health);
	ks_delivery_stop(s->delivery);
	ks_serve_held_stop();
	ks_api_free(&s->api);
	ks_inbound_free(&s->inbound);
	ks_federation_free(&s->federation);
	ks_health_free(&s->health);
	ks_delivery_free(&s->delivery);
	ks_engine_close(&s->engine);
	ks_references_free(&s->references);
}

static void reload(struct service *s)
{
	struct ks_engine_problem why = {""};
	struct ks_config_problem keys_why = {""};

	if (ks_engine_reload_policy(s->engine, &why) != KS_OK)
		ks_log(KS_LOG_ERROR, "reload_refused", "detail", why.text, NULL);
	else
		ks_log(KS_LOG_INFO, "policy_reloaded", NULL);
	if (ks_engine_reload_platforms(s->engine, &why) != KS_OK)
		ks_log(KS_LOG_ERROR, "reload_refused", "detail", why.text, NULL);
	if (ks_serve_github_keys(s->config, s->api, &keys_why) != KS_OK)
		ks_log(KS_LOG_ERROR, "reload_refused", "detail", keys_why.text, NULL);
	ks_references_reload(s->references);
	if (s->config->tls_certificate.text[0] && ks_http_reload_tls(s->http) != KS_OK)
		ks_log(KS_LOG_ERROR, "reload_refused", "detail", "the certificate or its key cannot be read", NULL);
}

static void say_listening(const struct service *s)
{
	const char *listen = s->config->listen.text;
	const char *colon = strrchr(listen, ':');
	char address[320] = "";

	if (colon)
		(void)snprintf(address, sizeof(address), "%.*s:%u", (int)(colon - listen), listen, ks_http_port(s->http));
	ks_log(KS_LOG_INFO, "listening", "address", address, "scheme", s->config->tls_certificate.text[0] ? "https" : "http", "data",
	       s->config->data.text, "version", KEYSTILE_VERSION_TEXT, NULL);
}

/* Without issuer.url our JWTs, metadata and redirects name the address that is listened on, which may be none to go to. */
static void warn_of_issuer(const struct ks_config *config)
{
	struct ks_str listen = ks_str_c(config->listen.text);

	if (!config->issuer_url.text[0] && (ks_str_starts(listen, KS_STR("0.0.0.0:")) || ks_str_starts(listen, KS_STR("[::]:"))))
		ks_log(KS_LOG_WARNING, "issuer_url_unset", "detail", "JWTs name an address that nobody can go to: set issuer.url", NULL);
}

/* What the C library overwrites freed memory with. */
#define FREED_BYTE 0xa5

/* Tokens pass through this process: no core dump, no debugger of another user. Our own buffers are wiped where they end; the libraries' larger
 * ones, such as a connection's that was cut in the middle of its headers, are overwritten when they are freed. */
static void harden(void)
{
	const struct rlimit none = {0, 0};

	(void)mallopt(M_PERTURB, FREED_BYTE);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* Connections need descriptors: the system's default would end long before http.connections does. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

int ks_serve(const struct ks_config *config)
{
	static struct service service;
	struct ks_config_problem problem = {""};
	enum ks_log_level level;
	sigset_t signals;
	int number;
	enum ks_err err;

	if (!ks_log_level_parse(ks_str_c(config->log_level.text), &level)) {
		(void)fprintf(stderr, "keystile: log.level: must be debug, info, warning or error\n");
		return 1;
	}
	harden();
	raise_limits();
	ks_log_set_level(level);
	/* Blocked before any thread is made, so that sigwait below gets them all. */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);

	service = (struct service){.config = config};
	err = start(&service, &problem);
	if (err != KS_OK) {
		(void)fprintf(stderr, "keystile: %s\n", problem.text[0] ? problem.text : ks_err_text(err));
		stop(&service);
		return 1;
	}
	say_listening(&service);
	warn_of_issuer(config);
	while (sigwait(&signals, &number) == 0 && number == SIGHUP)
		reload(&service);
	ks_log(KS_LOG_INFO, "stopping", NULL);
	stop(&service);
	ks_log(KS_LOG_INFO, "stopped", NULL);
	return 0;
}
