/* SPDX-License-Identifier: Apache-2.0 */
/* A connection for somebody else's protocol, by the same rules as a request's. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "fetch/fetch_priv.h"
#include "fetch/guard.h"

static bool may_reach(const struct ks_fetch *fetch, const struct sockaddr *address, bool tls)
{
	const struct ks_fetch_options *o = &fetch->options;
	struct ks_addr addr;

	if (!ks_transfer_address_of(address, &addr))
		return false;
	return ks_guard_listed(o->allow, o->allow_count, &addr) || (tls && !ks_guard_reason(&addr));
}

static bool wait_connected(int fd, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int64_t left = deadline_ms - ks_fetch_now_ms();
	socklen_t n = sizeof(int);
	int error = 0;

	return left > 0 && poll(&p, 1, (int)left) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0;
}

static int connect_to(const struct addrinfo *a, int64_t deadline_ms)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 || (errno == EINPROGRESS && wait_connected(fd, deadline_ms)))
		return fd;
	close(fd);
	return -1;
}

enum ks_fetch_result ks_fetch_connect(struct ks_fetch *fetch, struct ks_str host, unsigned port, bool tls, unsigned timeout_ms,
				      int *ret_fd)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	int64_t deadline_ms = ks_fetch_now_ms() + timeout_ms;
	enum ks_fetch_result result = KS_FETCH_ADDRESS;
	struct addrinfo *found = NULL;
	char name[256], service[8];
	struct ks_buf b = KS_BUF(name);
	int fd = -1;

	ks_buf_put(&b, host);
	(void)snprintf(service, sizeof(service), "%u", port & 0xffff);
	if (getaddrinfo(ks_buf_z(&b), service, &hints, &found) != 0)
		return KS_FETCH_NAME;
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
		if (!may_reach(fetch, a->ai_addr, tls))
			continue;
		result = KS_FETCH_CONNECT;
		fd = connect_to(a, deadline_ms);
	}
	freeaddrinfo(found);
	if (fd < 0)
		return result;
	*ret_fd = fd;
	return KS_FETCH_OK;
}
