/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/conn.h"

#define BACKLOG 1024
#define MAPPED_AT 12

/* ---- TCP ---- */

/* "ADDRESS:PORT", with brackets around an IPv6 address. */
static bool parse_listen(struct ks_str text, struct ks_addr *ret_addr, bool *ret_six, uint16_t *ret_port)
{
	struct ks_str host, rest;
	uint64_t port;
	bool six = text.n > 0 && text.p[0] == '[';

	if (six) {
		if (!ks_str_split(ks_str_sub(text, 1, SIZE_MAX), ']', &host, &rest) || rest.n == 0 || rest.p[0] != ':')
			return false;
		rest = ks_str_sub(rest, 1, SIZE_MAX);
	} else if (!ks_str_split(text, ':', &host, &rest)) {
		return false;
	}
	if (!ks_str_to_u64(rest, UINT16_MAX, &port) || !ks_addr_parse(host, ret_addr) ||
	    six != (ks_str_find(host, ':') != SIZE_MAX))
		return false;
	*ret_six = six;
	*ret_port = (uint16_t)port;
	return true;
}

static socklen_t fill_address(struct sockaddr_storage *storage, const struct ks_addr *addr, bool six, uint16_t port)
{
	*storage = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
	if (six) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, addr->bytes, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	}
	struct sockaddr_in *in = (struct sockaddr_in *)storage;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	memcpy(&in->sin_addr, &addr->bytes[MAPPED_AT], sizeof(in->sin_addr));
	return sizeof(*in);
}

static bool port_of(int fd, unsigned *ret_port)
{
	struct sockaddr_storage storage;
	socklen_t size = sizeof(storage);

	if (getsockname(fd, (struct sockaddr *)&storage, &size))
		return false;
	*ret_port = ntohs(storage.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&storage)->sin6_port
							: ((struct sockaddr_in *)&storage)->sin_port);
	return true;
}

enum ks_err ks_listen_tcp(const char *text, int *ret_fd, unsigned *ret_port, const char **ret_problem)
{
	const int on = 1, off = 0;
	struct sockaddr_storage storage;
	struct ks_addr addr;
	socklen_t size;
	uint16_t port;
	bool six, done;
	int fd;

	if (!parse_listen(ks_str_c(text), &addr, &six, &port)) {
		*ret_problem = "must be ADDRESS:PORT, an IPv6 address in brackets";
		return KS_MALFORMED;
	}
	size = fill_address(&storage, &addr, six, port);
	fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		*ret_problem = "no socket can be made";
		return KS_SYSTEM;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (six)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	done = !bind(fd, (struct sockaddr *)&storage, size) && !listen(fd, BACKLOG) && port_of(fd, ret_port);
	if (!done) {
		int error = errno;

		(void)close(fd);
		*ret_problem = error == EADDRINUSE ? "the address is in use" : "the address cannot be listened on";
		return error == EADDRINUSE ? KS_BUSY : KS_SYSTEM;
	}
	*ret_fd = fd;
	return KS_OK;
}

/* ---- the local socket ---- */

/* Makes way for a new socket: KS_BUSY if one is served there, KS_MALFORMED if it is no socket. */
static enum ks_err clear_path(const struct sockaddr_un *un, const char **ret_problem)
{
	struct stat about;
	int fd, error = 0;

	if (lstat(un->sun_path, &about)) {
		if (errno == ENOENT)
			return KS_OK;
		*ret_problem = "the local socket's path cannot be looked at";
		return KS_SYSTEM;
	}
	if (!S_ISSOCK(about.st_mode)) {
		*ret_problem = "the local socket's path is taken by something that is no socket";
		return KS_MALFORMED;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)un, sizeof(*un)))
		error = errno;
	if (fd >= 0)
		(void)close(fd);
	/* Refused is the one sure sign that nobody listens; EAGAIN says that somebody does, with a full backlog. */
	if (error != ECONNREFUSED) {
		*ret_problem = "the local socket is served by another process";
		return KS_BUSY;
	}
	if (unlink(un->sun_path)) {
		*ret_problem = "a left local socket cannot be removed";
		return KS_SYSTEM;
	}
	return KS_OK;
}

enum ks_err ks_listen_local(const char *path, int *ret_fd, const char **ret_problem)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct ks_str text = ks_str_c(path);
	struct stat about;
	enum ks_err err;
	int fd;

	if (text.n == 0 || text.n >= sizeof(un.sun_path)) {
		*ret_problem = "the local socket's path is empty or too long";
		return KS_MALFORMED;
	}
	memcpy(un.sun_path, text.p, text.n);
	err = clear_path(&un, ret_problem);
	if (err != KS_OK)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* On Linux the file gets the mode that the socket has before: there is no moment in which others may connect,
	 * and no umask to change under other threads. */
	if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) || bind(fd, (struct sockaddr *)&un, sizeof(un)) ||
	    lstat(path, &about) || (about.st_mode & (S_IRWXG | S_IRWXO)) || listen(fd, BACKLOG)) {
		err = fd >= 0 && errno == EADDRINUSE ? KS_BUSY : KS_SYSTEM;
		*ret_problem = "the local socket cannot be made";
		if (fd >= 0)
			(void)close(fd);
		return err;
	}
	*ret_fd = fd;
	return KS_OK;
}

bool ks_listen_peer_ok(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && size == sizeof(peer) &&
	       (peer.uid == geteuid() || peer.uid == 0);
}
