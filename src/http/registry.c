/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/conn.h"

/* Descriptors that are no connections: files, listening sockets, the library's own. Beyond them connections are
 * refused. */
#define OTHER_DESCRIPTORS 4096
#define LINGER_MS 2000

enum ks_err ks_registry_init(struct ks_http_server *server)
{
	pthread_condattr_t monotonic;

	(void)pthread_mutex_init(&server->registry_lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&server->registry_empty, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	(void)pthread_mutex_init(&server->pending_lock, NULL);
	(void)pthread_cond_init(&server->pending_done, NULL);
	server->by_fd_size = server->options.connections_max + (KS_HTTP_LOCAL_CONNECTIONS_MAX + OTHER_DESCRIPTORS);
	server->by_fd = calloc(server->by_fd_size, sizeof(struct ks_conn *));
	if (!server->by_fd)
		return KS_MEMORY;
	return ks_peers_init(&server->peers, server->options.connections_max);
}

void ks_registry_free(struct ks_http_server *server)
{
	free(server->by_fd);
	ks_peers_free(&server->peers);
	(void)pthread_mutex_destroy(&server->registry_lock);
	(void)pthread_cond_destroy(&server->registry_empty);
	(void)pthread_mutex_destroy(&server->pending_lock);
	(void)pthread_cond_destroy(&server->pending_done);
}

/* ---- with registry_lock held ---- */

static void remove_locked(struct ks_http_server *server, struct ks_conn *c)
{
	server->by_fd[c->fd] = NULL;
	while (server->by_fd_used && !server->by_fd[server->by_fd_used - 1])
		server->by_fd_used--;
	if (c->local) {
		server->local_open--;
	} else {
		server->tcp_open--;
		ks_peers_remove(&server->peers, &c->peer);
	}
	server->requests_closed += atomic_load_explicit(&c->phase, memory_order_relaxed) >> KS_HTTP_PHASE_BITS;
	if (server->tcp_open + server->local_open == 0)
		(void)pthread_cond_broadcast(&server->registry_empty);
}

static bool add_locked(struct ks_http_server *server, struct ks_conn *c)
{
	size_t fd = (size_t)c->fd;

	if (fd >= server->by_fd_size)
		return false;
	if (server->by_fd[fd]) {
		/* The library closed it without a word: it had no memory for it. */
		struct ks_conn *lost = server->by_fd[fd];

		remove_locked(server, lost);
		free(lost);
	}
	if (c->local ? server->local_open >= KS_HTTP_LOCAL_CONNECTIONS_MAX
		     : server->tcp_open >= server->options.connections_max)
		return false;
	if (!c->local && !ks_peers_add(&server->peers, &c->peer, server->options.connections_per_address_max))
		return false;
	if (c->local)
		server->local_open++;
	else
		server->tcp_open++;
	server->by_fd[fd] = c;
	server->by_fd_used = KS_MAX(server->by_fd_used, fd + 1);
	server->connections_total++;
	return true;
}

/* ---- arrivals ---- */

static struct ks_addr address_of(const struct sockaddr *address)
{
	struct ks_addr addr = {.bytes = {[10] = 0xff, [11] = 0xff}};
	const struct sockaddr_in6 *in6 = (const void *)address;
	const struct sockaddr_in *in = (const void *)address;

	if (address->sa_family == AF_INET6)
		memcpy(addr.bytes, &in6->sin6_addr, sizeof(addr.bytes));
	else if (address->sa_family == AF_INET)
		memcpy(&addr.bytes[12], &in->sin_addr, 4);
	return addr;
}

/* Ends a connection that the library never saw. */
static void turn_away(struct ks_conn *c, enum ks_http_refusal refusal)
{
	ks_conn_refused(c, refusal);
	(void)close(c->fd);
	free(c);
}

void ks_registry_admit(struct ks_http_server *server, int fd, const struct sockaddr *address, socklen_t address_size,
		       bool local)
{
	struct ks_conn *c = calloc(1, sizeof(*c));
	bool admitted;

	if (!c) {
		(void)close(fd);
		return;
	}
	c->server = server;
	c->fd = fd;
	c->local = local;
	c->tls = !local && server->tls;
	c->linger = true;
	if (!local)
		c->peer = address_of(address);
	if (local && !ks_listen_peer_ok(fd)) {
		turn_away(c, KS_HTTP_REFUSED_local_peer);
		return;
	}
	(void)pthread_mutex_lock(&server->registry_lock);
	admitted = add_locked(server, c);
	(void)pthread_mutex_unlock(&server->registry_lock);
	if (!admitted) {
		turn_away(c, KS_HTTP_REFUSED_connection_limit);
		return;
	}
	if (MHD_add_connection(local ? server->local : server->tcp, fd, address, address_size) == MHD_YES)
		return;
	/* It has closed the socket; nobody but this thread makes connections, so the number still stands for this one
	 * here. */
	(void)pthread_mutex_lock(&server->registry_lock);
	remove_locked(server, c);
	(void)pthread_mutex_unlock(&server->registry_lock);
	free(c);
}

/* ---- the library's notification ---- */

static void started(struct ks_http_server *server, struct MHD_Connection *mhd, void **socket_ctx)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	int fd = info->connect_fd;
	struct ks_conn *c;

	(void)pthread_mutex_lock(&server->registry_lock);
	c = server->by_fd[fd];
	c->mhd = mhd;
	c->thread = pthread_self();
	c->live = true;
	c->seen_ms = ks_minder_now();
	(void)pthread_mutex_unlock(&server->registry_lock);
	*socket_ctx = c;
	if (!c->tls)
		return;
	atomic_store_explicit(&c->inexact, true, memory_order_relaxed);
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	c->credentials = ks_http_tls_attach(server->tls, info->tls_session);
	if (!c->credentials)
		(void)shutdown(fd, SHUT_RDWR);
}

/* Keeps the socket a little longer than the library: closing it with input unread would reset the connection, and the
 * other end might lose the answer over it. */
static void linger_locked(struct ks_http_server *server, const struct ks_conn *c)
{
	int fd;

	if (server->linger_count == KS_HTTP_LINGER_MAX || atomic_load(&server->minder_quits))
		return;
	fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)shutdown(fd, SHUT_WR);
	server->lingers[server->linger_count++] = (struct ks_http_linger){fd, ks_minder_now() + LINGER_MS};
}

static void closed(struct ks_http_server *server, struct ks_conn *c)
{
	(void)pthread_mutex_lock(&server->registry_lock);
	remove_locked(server, c);
	if (c->linger && !c->cut)
		linger_locked(server, c);
	(void)pthread_mutex_unlock(&server->registry_lock);
	if (c->linger)
		ks_minder_wake(server);
	ks_http_tls_release(c->credentials);
	free(c);
}

void ks_registry_notify(void *ctx, struct MHD_Connection *mhd, void **socket_ctx,
			enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		started(ctx, mhd, socket_ctx);
	else
		closed(ctx, *socket_ctx);
}
