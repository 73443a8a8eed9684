/* SPDX-License-Identifier: Apache-2.0 */
#include <gnutls/abstract.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "http/conn.h"

#define THREADS_MAX 64
#define TIMEOUT_MIN_MS 50
/* What was shut down is closed as soon as its thread looks; only a handler that hangs takes longer, and the library
 * waits for that. */
#define EMPTY_MS 10000u

/* Leaves everything as it came: paths are read by one reader alone, urlpath. */
static size_t leave_escapes(void *ctx, struct MHD_Connection *mhd, char *text)
{
	(void)ctx;
	(void)mhd;
	return strlen(text);
}

/* Never asked for a certificate: each session is given its own credentials. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
			  const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **certificates,
			  unsigned int *certificate_count, gnutls_privkey_t *key)
{
	(void)session;
	(void)authorities;
	(void)authority_count;
	(void)algorithms;
	(void)algorithm_count;
	(void)certificates;
	(void)certificate_count;
	(void)key;
	return -1;
}

/* ---- start ---- */

static struct MHD_Daemon *start_library(struct ks_http_server *server, unsigned threads, unsigned connections, bool tls)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
			 MHD_USE_SUPPRESS_DATE_NO_CLOCK | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem more[8];
	size_t n = 0;

	if (threads > 1)
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL};
	if (tls) {
		flags |= MHD_USE_TLS;
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
						    (void *)(uintptr_t)ks_http_tls_priorities};
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
						    (void *)(uintptr_t)no_certificate};
	}
	/* The older one's strictness would only take some refusals away from the strict layer. */
	if (!server->old_library)
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL};
	more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	/* The logger comes first: the library uses it while it reads the options after it. The pool shares the limit
	 * of connections out evenly, but not the connections; so each thread may have all of them. */
	return MHD_start_daemon(flags, 0, NULL, NULL, ks_conn_handle, server,
				MHD_OPTION_EXTERNAL_LOGGER, ks_conn_log, server,
				MHD_OPTION_CONNECTION_LIMIT, connections * threads,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, KS_HTTP_POOL_BYTES,
				MHD_OPTION_CONNECTION_TIMEOUT, 0u,
				MHD_OPTION_NOTIFY_CONNECTION, ks_registry_notify, server,
				MHD_OPTION_NOTIFY_COMPLETED, ks_conn_request_done, server,
				MHD_OPTION_URI_LOG_CALLBACK, ks_conn_uri, server,
				MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL,
				MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static enum ks_err check_options(const struct ks_http_options *o, const char **ret_problem)
{
	const char *problem = NULL;

	if (!o->listen && !o->socket_path)
		problem = "there is neither an address nor a local socket to serve";
	else if (o->threads < 1 || o->threads > THREADS_MAX)
		problem = "threads must be 1 to 64";
	else if (o->connections_max < 1 || o->connections_max > 1000000)
		problem = "connections must be 1 to 1000000";
	else if (o->idle_timeout_ms < TIMEOUT_MIN_MS || o->request_timeout_ms < TIMEOUT_MIN_MS)
		problem = "timeouts must be 50 ms or more";
	else if (!o->tls_certificate != !o->tls_key || (o->tls_client_ca && !o->tls_key))
		problem = "TLS needs both a certificate and its key";
	if (!problem)
		return KS_OK;
	*ret_problem = problem;
	return KS_MALFORMED;
}

static enum ks_err open_sockets(struct ks_http_server *server, const char **ret_problem)
{
	const struct ks_http_options *o = &server->options;

	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake_fd < 0)
		return KS_SYSTEM;
	if (o->tls_certificate)
		KS_TRY(ks_http_tls_new(o->tls_certificate, o->tls_key, o->tls_client_ca, o->tls_client_optional, &server->tls, ret_problem));
	if (o->socket_path)
		KS_TRY(ks_listen_local(o->socket_path, &server->local_fd, ret_problem));
	if (o->listen)
		KS_TRY(ks_listen_tcp(o->listen, &server->listen_fd, &server->port, ret_problem));
	return KS_OK;
}

static enum ks_err start_threads(struct ks_http_server *server)
{
	const struct ks_http_options *o = &server->options;

	if (o->listen) {
		server->tcp = start_library(server, o->threads, o->connections_max, server->tls != NULL);
		if (!server->tcp)
			return KS_SYSTEM;
	}
	if (o->socket_path) {
		server->local = start_library(server, 1, KS_HTTP_LOCAL_CONNECTIONS_MAX, false);
		if (!server->local)
			return KS_SYSTEM;
	}
	return ks_minder_start(server);
}

static void free_server(struct ks_http_server *server)
{
	if (server->tcp)
		MHD_stop_daemon(server->tcp);
	if (server->local)
		MHD_stop_daemon(server->local);
	ks_minder_join(server);
	/* Without a minder they were never its. */
	if (server->listen_fd >= 0)
		(void)close(server->listen_fd);
	if (server->local_fd >= 0) {
		(void)unlink(server->options.socket_path);
		(void)close(server->local_fd);
	}
	if (server->wake_fd >= 0)
		(void)close(server->wake_fd);
	ks_http_tls_free(&server->tls);
	ks_registry_free(server);
	free((char *)(uintptr_t)server->options.socket_path);
	free(server);
}

static struct ks_http_server *new_server(const struct ks_http_options *options, const struct ks_handler *handler)
{
	struct ks_http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->options = *options;
	server->handler = *handler;
	server->listen_fd = -1;
	server->local_fd = -1;
	server->wake_fd = -1;
	server->old_library = ks_str_starts(ks_str_c(MHD_get_version()), KS_STR("0."));
	if (ks_registry_init(server) == KS_OK) {
		server->options.socket_path = options->socket_path ? strdup(options->socket_path) : NULL;
		if (server->options.socket_path || !options->socket_path)
			return server;
	}
	ks_registry_free(server);
	free(server);
	return NULL;
}

enum ks_err ks_http_start(const struct ks_http_options *options, const struct ks_handler *handler,
			  struct ks_http_server **ret_server, const char **ret_problem)
{
	struct ks_http_server *server;
	sigset_t all, before;
	enum ks_err err;

	KS_TRY(check_options(options, ret_problem));
	*ret_problem = "the HTTP server cannot be started";
	server = new_server(options, handler);
	if (!server)
		return KS_MEMORY;
	err = open_sockets(server, ret_problem);
	if (err == KS_OK) {
		/* Signals are for the thread that started us. */
		(void)sigfillset(&all);
		(void)pthread_sigmask(SIG_SETMASK, &all, &before);
		err = start_threads(server);
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (err != KS_OK) {
		free_server(server);
		return err;
	}
	*ret_server = server;
	return KS_OK;
}

unsigned ks_http_port(const struct ks_http_server *server)
{
	return server->port;
}

enum ks_err ks_http_reload_tls(struct ks_http_server *server)
{
	return server->tls ? ks_http_tls_reload(server->tls) : KS_OK;
}

/* ---- stop ---- */

/* Waits until no connection is open, at most `ms`. */
static void wait_empty(struct ks_http_server *server, unsigned ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&server->registry_lock);
	while (server->tcp_open + server->local_open > 0) {
		if (pthread_cond_timedwait(&server->registry_empty, &server->registry_lock, &until))
			break;
	}
	(void)pthread_mutex_unlock(&server->registry_lock);
}

/* From here on the workers wait for what is pending themselves: none may be suspended when the library stops. */
static void wait_pending(struct ks_http_server *server)
{
	(void)pthread_mutex_lock(&server->pending_lock);
	server->no_more_pending = true;
	while (server->pending)
		(void)pthread_cond_wait(&server->pending_done, &server->pending_lock);
	(void)pthread_mutex_unlock(&server->pending_lock);
}

void ks_http_stop(struct ks_http_server **server, unsigned drain_ms)
{
	struct ks_http_server *s = *server;

	if (!s)
		return;
	atomic_store(&s->stopping, KS_HTTP_DRAINS);
	ks_minder_wake(s);
	wait_empty(s, drain_ms);
	atomic_store(&s->stopping, KS_HTTP_CUTS);
	ks_minder_wake(s);
	wait_pending(s);
	/* libmicrohttpd 0.9 crashes if it is stopped while it refuses a request by itself; so first let it be alone. */
	wait_empty(s, EMPTY_MS);
	free_server(s);
	*server = NULL;
}

/* ---- figures ---- */

void ks_http_stats(const struct ks_http_server *server, struct ks_http_stats *ret_stats)
{
	/* Only the lock's state is changed. */
	struct ks_http_server *s = (struct ks_http_server *)(uintptr_t)server;
	struct ks_http_stats stats = {.refused_total = atomic_load_explicit(&s->refused_total, memory_order_relaxed)};

	(void)pthread_mutex_lock(&s->registry_lock);
	stats.connections_open = s->tcp_open + s->local_open;
	stats.connections_total = s->connections_total;
	stats.requests_total = s->requests_closed;
	for (size_t fd = 0; fd < s->by_fd_used; fd++) {
		struct ks_conn *c = s->by_fd[fd];

		if (c)
			stats.requests_total += atomic_load_explicit(&c->phase, memory_order_relaxed) >> KS_HTTP_PHASE_BITS;
	}
	(void)pthread_mutex_unlock(&s->registry_lock);
	*ret_stats = stats;
}
