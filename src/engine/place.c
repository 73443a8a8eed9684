/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory, whose it is, and where the ring's files stand. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "crypto/sha256.h"
#include "engine/engine_priv.h"

#define SHARED_MEMORY "/dev/shm"
#define RING_NAME_BYTES 8 /* of the data directory's digest */

static char *join(const char *directory, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

/* ---- the data directory ---- */

/* Makes the directory where it is missing, and its missing parents with the same mode: all of them are ours alone. */
static enum ks_err make_directory(const char *path)
{
	char *copy = strdup(path);
	enum ks_err err = KS_OK;

	if (!copy)
		return KS_MEMORY;
	for (char *p = copy + 1; *p && err == KS_OK; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			err = KS_SYSTEM;
		*p = '/';
	}
	if (err == KS_OK && mkdir(copy, 0700) != 0 && errno != EEXIST)
		err = KS_SYSTEM;
	free(copy);
	return err;
}

/* Who can write here can put another store in the place of ours. */
static enum ks_err check_directory(const char *path, struct ks_engine_problem *problem)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return ks_engine_problem(problem, errno == ENOENT ? KS_NOT_FOUND : KS_SYSTEM, "%s: %s", path,
					 strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return ks_engine_problem(problem, KS_MALFORMED, "%s is not a directory", path);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return ks_engine_problem(problem, KS_FORBIDDEN, "%s may be written by others; chmod go-w it", path);
	return KS_OK;
}

/* The number in the lock file is for people: the lock itself is the kernel's and ends with its holder. */
static enum ks_err busy(int fd, const char *path, struct ks_engine_problem *problem)
{
	char text[24];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	struct ks_str line, rest;
	uint64_t pid;

	if (n > 0 && ks_str_split(ks_str_of(text, (size_t)n), '\n', &line, &rest)
	    && ks_str_to_u64(line, INT32_MAX, &pid))
		return ks_engine_problem(problem, KS_BUSY, "%s is in use by process %llu", path,
					 (unsigned long long)pid);
	return ks_engine_problem(problem, KS_BUSY, "%s is in use by another process", path);
}

static enum ks_err lock(struct ks_engine *engine, struct ks_engine_problem *problem)
{
	char *path = join(engine->data_directory, "lock");
	int fd;

	if (!path)
		return KS_MEMORY;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		enum ks_err err = errno == ENOSPC ? KS_DISK_FULL : KS_SYSTEM;

		(void)ks_engine_problem(problem, err, "%s: %s", path, strerror(errno));
		free(path);
		return err;
	}
	free(path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		enum ks_err err = busy(fd, engine->data_directory, problem);

		close(fd);
		return err;
	}
	/* On a full disk the lock holds all the same, without its note. */
	if (ftruncate(fd, 0) == 0)
		(void)!dprintf(fd, "%ld\n", (long)getpid());
	engine->lock_fd = fd;
	return KS_OK;
}

enum ks_err ks_place_claim(struct ks_engine *engine, struct ks_engine_problem *ret_problem)
{
	const char *given = engine->options.data_directory;

	if (engine->options.create && make_directory(given) != KS_OK)
		return ks_engine_problem(ret_problem, KS_SYSTEM, "cannot make %s: %s", given, strerror(errno));
	KS_TRY(check_directory(given, ret_problem));
	engine->data_directory = realpath(given, NULL);
	if (!engine->data_directory)
		return ks_engine_problem(ret_problem, KS_SYSTEM, "%s: %s", given, strerror(errno));
	return lock(engine, ret_problem);
}

void ks_place_release(struct ks_engine *engine)
{
	if (engine->lock_fd >= 0)
		close(engine->lock_fd);
	engine->lock_fd = -1;
}

enum ks_err ks_place_store(struct ks_engine *engine)
{
	if (engine->options.store_uri)
		engine->store_uri = strdup(engine->options.store_uri);
	else if (asprintf(&engine->store_uri, KS_SQLITE_SCHEME "%s/keystile.db", engine->data_directory) < 0)
		engine->store_uri = NULL;
	return engine->store_uri ? KS_OK : KS_MEMORY;
}

/* ---- the ring's directory ---- */

/* Files in memory are what the ring wants: it is rebuilt after a boot in any case. Twice the size, so that the next
 * generation fits beside. */
static bool has_room(uint64_t size)
{
	struct statfs fs;

	return statfs(SHARED_MEMORY, &fs) == 0 && fs.f_type == TMPFS_MAGIC && access(SHARED_MEMORY, W_OK) == 0
	       && (uint64_t)fs.f_bavail > 2 * size / (uint64_t)fs.f_bsize;
}

/* One name for each data directory and owner, so that the ring is found again. */
static enum ks_err shared_name(const struct ks_engine *engine, char **ret_path)
{
	struct ks_digest digest;
	char text[sizeof(SHARED_MEMORY) + 64];
	struct ks_buf b = KS_BUF(text);

	KS_TRY(ks_sha256(ks_str_c(engine->data_directory), &digest));
	ks_buf_printf(&b, SHARED_MEMORY "/keystile-%lu-", (unsigned long)getuid());
	ks_buf_put_hex(&b, digest.bytes, RING_NAME_BYTES);
	*ret_path = strdup(ks_buf_z(&b));
	return *ret_path ? KS_OK : KS_MEMORY;
}

enum ks_err ks_place_ring_fallback(const struct ks_engine *engine, char **ret_directory)
{
	char *path = join(engine->data_directory, "ring-files");

	if (!path)
		return KS_MEMORY;
	*ret_directory = path;
	return KS_OK;
}

static enum ks_err absolute(const char *path, char **ret_path)
{
	char here[PATH_MAX];
	char *whole;

	if (path[0] == '/')
		whole = strdup(path);
	else
		whole = getcwd(here, sizeof(here)) ? join(here, path) : NULL;
	if (!whole)
		return KS_MEMORY;
	*ret_path = whole;
	return KS_OK;
}

enum ks_err ks_place_ring(const struct ks_engine *engine, uint64_t size, char **ret_directory)
{
	char *path = NULL;
	struct stat st;

	if (engine->options.ring_directory)
		return absolute(engine->options.ring_directory, ret_directory);
	KS_TRY(shared_name(engine, &path));
	/* What stands there already has its room. */
	if (lstat(path, &st) == 0 || has_room(size)) {
		*ret_directory = path;
		return KS_OK;
	}
	free(path);
	return ks_place_ring_fallback(engine, ret_directory);
}

static enum ks_err replace_link(const char *target, const char *fresh, const char *path)
{
	char now[PATH_MAX];
	ssize_t n = readlink(path, now, sizeof(now));

	if (n > 0 && ks_str_eq(ks_str_of(now, (size_t)n), ks_str_c(target)))
		return KS_OK;
	if (unlink(fresh) != 0 && errno != ENOENT)
		return KS_SYSTEM;
	if (symlink(target, fresh) != 0)
		return errno == ENOSPC ? KS_DISK_FULL : KS_SYSTEM;
	return rename(fresh, path) == 0 ? KS_OK : KS_SYSTEM;
}

void ks_place_linked(const struct ks_engine *engine, char ret_directory[PATH_MAX])
{
	char *path = join(engine->data_directory, "ring");
	ssize_t n = path ? readlink(path, ret_directory, PATH_MAX - 1) : -1;

	ret_directory[n > 0 ? n : 0] = '\0';
	free(path);
}

enum ks_err ks_place_link(const struct ks_engine *engine)
{
	char *path = join(engine->data_directory, "ring");
	char *fresh = join(engine->data_directory, "ring.new");
	enum ks_err err = path && fresh ? replace_link(engine->ring_directory, fresh, path) : KS_MEMORY;

	free(path);
	free(fresh);
	return err;
}
