/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded, it makes each pwrite take KEYSTILE_SLOW_PWRITE_US microseconds longer: a transaction is on its way into
 * the file for long, so that a process is often killed in the middle of one. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

typedef ssize_t pwrite_function(int fd, const void *bytes, size_t n, off_t offset);

static ssize_t slowly(const char *name, int fd, const void *bytes, size_t n, off_t offset)
{
	const char *text = getenv("KEYSTILE_SLOW_PWRITE_US");
	pwrite_function *real = (pwrite_function *)dlsym(RTLD_NEXT, name);

	if (text)
		(void)usleep((useconds_t)strtoul(text, NULL, 10));
	return real(fd, bytes, n, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
	return slowly("pwrite", fd, bytes, n, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t offset)
{
	return slowly("pwrite64", fd, bytes, n, offset);
}
