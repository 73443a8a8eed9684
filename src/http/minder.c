/* SPDX-License-Identifier: Apache-2.0 */
/* The thread beside the workers: it accepts, looks for what is late, and drains what lingers. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "http/conn.h"

#define ACCEPTS_AT_ONCE 64
#define LOOK_LEAST_MS 10
#define LOOK_MOST_MS 500
/* A deadline is noticed this part of itself late, at most. */
#define LOOKS_PER_DEADLINE 8
#define OUT_OF_DESCRIPTORS_MS 100
/* Connections looked at under one hold of the lock. */
#define LOOKS_AT_ONCE 256
#define LINGER_BYTES 65536

int64_t ks_minder_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void ks_minder_wake(const struct ks_http_server *server)
{
	const uint64_t one = 1;

	while (write(server->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- arrivals ---- */

static void accept_some(struct ks_http_server *server, int listen_fd, bool local)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
		socklen_t size = sizeof(storage);
		int fd = accept4(listen_fd, (struct sockaddr *)&storage, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				server->accept_again_ms = ks_minder_now() + OUT_OF_DESCRIPTORS_MS;
			return;
		}
		ks_registry_admit(server, fd, (struct sockaddr *)&storage, size, local);
	}
}

static void close_listeners(struct ks_http_server *server)
{
	if (server->listen_fd >= 0)
		(void)close(server->listen_fd);
	if (server->local_fd >= 0) {
		(void)unlink(server->options.socket_path);
		(void)close(server->local_fd);
	}
	server->listen_fd = -1;
	server->local_fd = -1;
}

/* ---- deadlines ---- */

/* The last one is told after the lock is free again; the others have been, one by one. */
static void look_at_some(struct ks_http_server *server, size_t from, int64_t now_ms, int stopping)
{
	struct ks_addr late[LOOKS_AT_ONCE];
	bool local[LOOKS_AT_ONCE];
	size_t late_count = 0, to;

	(void)pthread_mutex_lock(&server->registry_lock);
	to = KS_MIN(from + LOOKS_AT_ONCE, server->by_fd_used);
	for (size_t fd = from; fd < to; fd++) {
		struct ks_conn *c = server->by_fd[fd];

		if (!c || !ks_deadline_look(server, c, now_ms, stopping))
			continue;
		late[late_count] = c->peer;
		local[late_count++] = c->local;
	}
	(void)pthread_mutex_unlock(&server->registry_lock);
	for (size_t i = 0; i < late_count; i++) {
		(void)atomic_fetch_add_explicit(&server->refused_total, 1, memory_order_relaxed);
		if (server->options.on_refused)
			server->options.on_refused(server->options.on_refused_ctx,
						   ks_http_refusal_info(KS_HTTP_REFUSED_deadline)->name,
						   local[i] ? NULL : &late[i]);
	}
}

static void look_at_all(struct ks_http_server *server, int64_t now_ms)
{
	int stopping = atomic_load(&server->stopping);
	size_t used;

	(void)pthread_mutex_lock(&server->registry_lock);
	used = server->by_fd_used;
	(void)pthread_mutex_unlock(&server->registry_lock);
	for (size_t from = 0; from < used; from += LOOKS_AT_ONCE)
		look_at_some(server, from, now_ms, stopping);
}

/* How often to look: often enough for the shortest deadline. */
static int look_every_ms(const struct ks_http_server *server)
{
	const struct ks_http_options *o = &server->options;
	unsigned least = KS_MIN(o->idle_timeout_ms, o->request_timeout_ms) / LOOKS_PER_DEADLINE;

	if (atomic_load(&server->stopping) != KS_HTTP_RUNS)
		return LOOK_LEAST_MS;
	return (int)KS_MAX(KS_MIN(least, (unsigned)LOOK_MOST_MS), (unsigned)LOOK_LEAST_MS);
}

/* ---- lingering ---- */

/* True: it has ended, or its time has passed. */
static bool drained(const struct ks_http_linger *linger, bool readable, int64_t now_ms)
{
	static char nowhere[LINGER_BYTES]; /* the minder's alone, never read */
	ssize_t n = readable ? recv(linger->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT) : 1;

	/* What nobody reads may still be a credential. */
	if (readable && n > 0)
		ks_wipe(nowhere, (size_t)n);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || now_ms >= linger->until_ms;
}

static void drain_lingers(struct ks_http_server *server, const struct pollfd *polled, size_t polled_count, int64_t now_ms,
			  bool all)
{
	size_t kept = 0;

	(void)pthread_mutex_lock(&server->registry_lock);
	for (size_t i = 0; i < server->linger_count; i++) {
		bool readable = i < polled_count && polled[i].revents;

		if (all || drained(&server->lingers[i], readable, now_ms))
			(void)close(server->lingers[i].fd);
		else
			server->lingers[kept++] = server->lingers[i];
	}
	server->linger_count = kept;
	(void)pthread_mutex_unlock(&server->registry_lock);
}

/* ---- the loop ---- */

enum { POLL_WAKE, POLL_TCP, POLL_LOCAL, POLL_LINGERS };

/* Fills what to wait for; returns how many of them linger. *ret_busy: there is something to look at. */
static size_t fill_polled(struct ks_http_server *server, struct pollfd *polled, int64_t now_ms, bool *ret_busy)
{
	bool accepting = now_ms >= server->accept_again_ms;
	size_t lingers;

	polled[POLL_WAKE] = (struct pollfd){.fd = server->wake_fd, .events = POLLIN};
	polled[POLL_TCP] = (struct pollfd){.fd = accepting ? server->listen_fd : -1, .events = POLLIN};
	polled[POLL_LOCAL] = (struct pollfd){.fd = accepting ? server->local_fd : -1, .events = POLLIN};
	(void)pthread_mutex_lock(&server->registry_lock);
	lingers = server->linger_count;
	for (size_t i = 0; i < lingers; i++)
		polled[POLL_LINGERS + i] = (struct pollfd){.fd = server->lingers[i].fd, .events = POLLIN};
	*ret_busy = !accepting || lingers || server->by_fd_used;
	(void)pthread_mutex_unlock(&server->registry_lock);
	return lingers;
}

static void clear_wake(const struct ks_http_server *server)
{
	uint64_t times;

	while (read(server->wake_fd, &times, sizeof(times)) < 0 && errno == EINTR)
		;
}

static void *keep(void *arg)
{
	struct ks_http_server *server = arg;
	struct pollfd polled[POLL_LINGERS + KS_HTTP_LINGER_MAX];
	int64_t looked_ms = ks_minder_now();

	while (!atomic_load(&server->minder_quits)) {
		int every_ms = look_every_ms(server);
		int64_t now_ms = ks_minder_now();
		bool busy;
		size_t lingers = fill_polled(server, polled, now_ms, &busy);

		(void)poll(polled, (nfds_t)(POLL_LINGERS + lingers), busy ? every_ms : -1);
		if (polled[POLL_WAKE].revents)
			clear_wake(server);
		if (atomic_load(&server->stopping) != KS_HTTP_RUNS)
			close_listeners(server);
		if (polled[POLL_TCP].revents && server->listen_fd >= 0)
			accept_some(server, server->listen_fd, false);
		if (polled[POLL_LOCAL].revents && server->local_fd >= 0)
			accept_some(server, server->local_fd, true);
		now_ms = ks_minder_now();
		drain_lingers(server, &polled[POLL_LINGERS], lingers, now_ms, false);
		if (now_ms - looked_ms >= every_ms || atomic_load(&server->stopping) != KS_HTTP_RUNS) {
			look_at_all(server, now_ms);
			looked_ms = now_ms;
		}
	}
	close_listeners(server);
	drain_lingers(server, NULL, 0, 0, true);
	return NULL;
}

enum ks_err ks_minder_start(struct ks_http_server *server)
{
	if (pthread_create(&server->minder, NULL, keep, server))
		return KS_SYSTEM;
	server->minder_runs = true;
	return KS_OK;
}

void ks_minder_join(struct ks_http_server *server)
{
	if (!server->minder_runs)
		return;
	atomic_store(&server->minder_quits, true);
	ks_minder_wake(server);
	(void)pthread_join(server->minder, NULL);
	server->minder_runs = false;
}
