/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that takes its time: preloaded, it makes fdatasync and fsync take KEYSTILE_SLOW_FSYNC_MS milliseconds longer.
 *
 * build: cc -shared -fPIC -o slow_fdatasync.so slow_fdatasync.c -ldl
 * use:   LD_PRELOAD=./slow_fdatasync.so KEYSTILE_SLOW_FSYNC_MS=5 program … */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_a_while(void)
{
	const char *text = getenv("KEYSTILE_SLOW_FSYNC_MS");
	long ms = text ? strtol(text, NULL, 10) : 0;
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	if (ms <= 0)
		return;
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static int call(const char *name, int fd)
{
	void *found = dlsym(RTLD_NEXT, name);
	int (*next)(int);

	/* ISO C knows no conversion of an object pointer to a function's. */
	*(void **)(&next) = found;
	wait_a_while();
	if (!next) {
		errno = ENOSYS;
		return -1;
	}
	return next(fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	return call("fdatasync", fd);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
	return call("fsync", fd);
}
