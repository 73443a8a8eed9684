/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES ((size_t)1 << 20)

static const struct {
	int number;
	enum ks_err err;
} errnos[] = {
	{ENOENT, KS_NOT_FOUND}, {EEXIST, KS_CONFLICT},  {ENOMEM, KS_MEMORY},
	{ENOSPC, KS_DISK_FULL}, {EDQUOT, KS_DISK_FULL}, {EFBIG, KS_DISK_FULL},
};

enum ks_err ks_file_failed(struct ks_sql_error *error, const char *what, const char *path)
{
	int number = errno;

	ks_sql_explain(error, "%s %s: %s", what, path, strerrordesc_np(number));
	for (size_t i = 0; i < KS_ARRAY_LEN(errnos); i++) {
		if (errnos[i].number == number)
			return errnos[i].err;
	}
	return KS_SYSTEM;
}

enum ks_err ks_file_beside(const char *path, const char *suffix, char ret_path[KS_PATH_MAX])
{
	char whole[KS_PATH_MAX];
	int n = snprintf(whole, sizeof(whole), "%s%s", path, suffix);

	if (n < 0 || (size_t)n >= sizeof(whole))
		return KS_TOO_LARGE;
	memcpy(ret_path, whole, (size_t)n + 1);
	return KS_OK;
}

bool ks_file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The folder of `path`: what is before the last slash, "/" or ".". */
static enum ks_err folder_of(const char *path, char ret_folder[KS_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		return ks_file_beside(".", "", ret_folder);
	if (n == 0)
		return ks_file_beside("/", "", ret_folder);
	if (n >= KS_PATH_MAX)
		return KS_TOO_LARGE;
	memcpy(ret_folder, path, n);
	ret_folder[n] = '\0';
	return KS_OK;
}

enum ks_err ks_file_sync_folder(const char *path, struct ks_sql_error *error)
{
	char folder[KS_PATH_MAX];
	enum ks_err err = KS_OK;

	KS_TRY(folder_of(path, folder));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ks_file_failed(error, "cannot open the folder", folder);
	if (fsync(fd) != 0)
		err = ks_file_failed(error, "cannot make the folder durable:", folder);
	close(fd);
	return err;
}

enum ks_err ks_file_make_folder(const char *path, struct ks_sql_error *error)
{
	char folder[KS_PATH_MAX];

	KS_TRY(folder_of(path, folder));
	if (mkdir(folder, 0700) == 0)
		return ks_file_sync_folder(folder, error);
	return errno == EEXIST ? KS_OK : ks_file_failed(error, "cannot make the folder", folder);
}

enum ks_err ks_file_make(const char *path, struct ks_sql_error *error)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? KS_OK : ks_file_failed(error, "cannot make", path);
	close(fd);
	return ks_file_sync_folder(path, error);
}

enum ks_err ks_file_lock(const char *path, struct ks_sql_error *error, int *ret_fd)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return ks_file_failed(error, "cannot open", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*ret_fd = fd;
		return KS_OK;
	}
	enum ks_err err = KS_BUSY;
	if (errno == EWOULDBLOCK)
		ks_sql_explain(error, "the store is in use by another process, which holds %s", path);
	else
		err = ks_file_failed(error, "cannot lock", path);
	close(fd);
	return err;
}

enum ks_err ks_file_temporary(const char *path, struct ks_sql_error *error, char ret_path[KS_PATH_MAX], int *ret_fd)
{
	char name[KS_PATH_MAX];

	KS_TRY(ks_file_beside(path, ".XXXXXX", name));
	int fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return ks_file_failed(error, "cannot make a file beside", path);
	memcpy(ret_path, name, sizeof(name));
	*ret_fd = fd;
	return KS_OK;
}

static bool write_all(int fd, const char *bytes, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t more = write(fd, &bytes[done], n - done);
		if (more < 0 && errno != EINTR)
			return false;
		if (more > 0)
			done += (size_t)more;
	}
	return true;
}

enum ks_err ks_file_copy(const char *from, int to, const char *to_path, struct ks_sql_error *error)
{
	enum ks_err err = KS_OK;
	char *bytes = malloc(COPY_BYTES);
	int fd = open(from, O_RDONLY | O_CLOEXEC);

	if (!bytes)
		err = KS_MEMORY;
	else if (fd < 0)
		err = ks_file_failed(error, "cannot open", from);
	while (err == KS_OK) {
		ssize_t n = read(fd, bytes, COPY_BYTES);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			err = ks_file_failed(error, "cannot read", from);
		else if (n > 0 && !write_all(to, bytes, (size_t)n))
			err = ks_file_failed(error, "cannot write", to_path);
	}
	if (fd >= 0)
		close(fd);
	free(bytes);
	return err;
}

enum ks_err ks_file_publish(int fd, const char *temporary, const char *path, bool replace, struct ks_sql_error *error)
{
	if (fsync(fd) != 0)
		return ks_file_failed(error, "cannot make durable", temporary);
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) != 0)
		return ks_file_failed(error, "cannot give the name", path);
	return ks_file_sync_folder(path, error);
}
