/* SPDX-License-Identifier: Apache-2.0 */
/* Connections for the keeper, which can open none: it asks with one byte, and gets one byte, with a descriptor where there is
 * one. It cannot say where to. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/client_priv.h"

static bool hand_over(int to, int fd)
{
	char byte = fd >= 0 ? 1 : 0;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(to, &m, MSG_NOSIGNAL) == 1;
}

static void *serve(void *ctx)
{
	struct ks_keeper *k = ctx;
	bool more = true;

	while (more) {
		char byte;
		ssize_t n = recv(k->connect_fd, &byte, 1, 0);
		int fd = -1;

		if (n < 0 && errno == EINTR)
			continue;
		if (n != 1)
			break;
		if (k->options.connect && k->options.connect(k->options.connect_ctx, &fd) != KS_OK)
			fd = -1;
		more = hand_over(k->connect_fd, fd);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

enum ks_err ks_connector_start(struct ks_keeper *k, int fd)
{
	k->connect_fd = fd;
	if (!k->options.connect)
		return KS_OK;
	k->connector_runs = pthread_create(&k->connector, NULL, serve, k) == 0;
	return k->connector_runs ? KS_OK : KS_SYSTEM;
}

void ks_connector_stop(struct ks_keeper *k)
{
	if (k->connect_fd < 0)
		return;
	(void)shutdown(k->connect_fd, SHUT_RDWR);
	if (k->connector_runs)
		(void)pthread_join(k->connector, NULL);
	k->connector_runs = false;
	close(k->connect_fd);
	k->connect_fd = -1;
}
