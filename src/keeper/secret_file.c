/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets that the operator keeps in files: a passphrase, a PIN, credentials. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/child_priv.h"

bool ks_child_read_whole(int fd, char *ret_text, size_t cap, size_t *ret_n)
{
	size_t n = 0;

	while (n < cap) {
		/* By position: a descriptor that was inherited is read anew after the keeper's next start. */
		ssize_t more = pread(fd, &ret_text[n], cap - n, (off_t)n);

		if (more <= 0) {
			*ret_n = n;
			return more == 0;
		}
		n += (size_t)more;
	}
	return false;
}

enum ks_err ks_child_read_secret(const char *path, size_t min, size_t max, struct ks_secret *ret_text,
				 struct ks_child_problem *problem)
{
	struct ks_str line, rest;
	struct stat st;
	size_t n = 0;
	bool ok;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return ks_child_problem(problem, errno == ENOENT ? KS_NOT_FOUND : KS_FORBIDDEN, "%s: %s", path,
					strerror(errno));
	ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (ok && (st.st_mode & (S_IWGRP | S_IRWXO))) {
		close(fd);
		return ks_child_problem(problem, KS_FORBIDDEN, "%s is open to others; chmod 600 it", path);
	}
	ok = ok && ks_child_read_whole(fd, (char *)ret_text->bytes, ret_text->cap, &n);
	close(fd);
	line = ks_str_of((const char *)ret_text->bytes, n);
	if (ok && ks_str_split(line, '\n', &line, &rest))
		ok = rest.n == 0;
	if (!ok || line.n < min || line.n > max)
		return ks_child_problem(problem, KS_MALFORMED, "%s must be a file of one line of %zu to %zu bytes", path, min, max);
	ret_text->n = line.n;
	return KS_OK;
}
