/* SPDX-License-Identifier: Apache-2.0 */
/* keystile-keeper: started by the service alone, with one end of a socket pair as descriptor 3. */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/child_priv.h"

#define SOCKET_FD 3
#define CONNECT_FD KS_CHILD_CONNECT_FD

int main(void)
{
	int type = 0;
	socklen_t n = sizeof(type);

	if (getsockopt(SOCKET_FD, SOL_SOCKET, SO_DOMAIN, &type, &n) != 0 || type != AF_UNIX) {
		(void)fprintf(stderr, "keystile-keeper is started by keystile, not by hand\n");
		return 2;
	}
	(void)close_range(CONNECT_FD + 1, ~0u, 0);
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
	_exit(ks_child_run(SOCKET_FD));
}
