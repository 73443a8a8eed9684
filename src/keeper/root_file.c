/* SPDX-License-Identifier: Apache-2.0 */
/* The root that is a file: <data>/master.key, the key in hexadecimal and a line end, so that it can be copied by hand. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "crypto/hmac.h"
#include "crypto/random.h"
#include "keeper/child_priv.h"
#include "keeper/root_key.h"

#define FILE_NAME "master.key"
#define FILE_SIZE (2 * KS_SEAL_KEY_SIZE + 1)
#define KIND_FILE 1

/* ---- what every root that holds a key does with it (root_key.h) ---- */

enum ks_err ks_root_key_set(struct ks_root *root, const uint8_t key[KS_SEAL_KEY_SIZE], const char *what)
{
	unsigned char mac[KS_HMAC_MAX];
	struct ks_buf label = KS_BUF(root->label);
	size_t n;

	KS_TRY(ks_secret_new(&root->key, KS_SEAL_KEY_SIZE));
	KS_TRY(ks_secret_set(&root->key, key, KS_SEAL_KEY_SIZE));
	KS_TRY(ks_hmac(KS_HMAC_SHA256, ks_str_of((const char *)key, KS_SEAL_KEY_SIZE), KS_STR("keystile-root-id-v1"), mac,
		       &n));
	memcpy(root->id, mac, sizeof(root->id));
	ks_buf_put_c(&label, what);
	ks_buf_put_byte(&label, ' ');
	ks_buf_put_hex(&label, root->id, sizeof(root->id));
	(void)ks_buf_z(&label);
	return KS_OK;
}

enum ks_err ks_root_key_wrap(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
			     const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out)
{
	uint8_t nonce[KS_SEAL_NONCE_SIZE];
	size_t n;

	KS_TRY(ks_random(nonce, sizeof(nonce)));
	KS_TRY(ks_sealer_seal(w->sealer, root->key.bytes, nonce, associated,
			      ks_str_of((const char *)key, KS_SEAL_KEY_SIZE), (uint8_t *)&out->p[out->n], out->cap - out->n,
			      &n));
	out->n += n;
	return KS_OK;
}

enum ks_err ks_root_key_unwrap(struct ks_root *root, struct ks_worker *w, struct ks_str associated, struct ks_str wrapped,
			       uint8_t ret_key[KS_SEAL_KEY_SIZE])
{
	size_t n;

	if (wrapped.n != KS_SEAL_KEY_SIZE + KS_SEAL_OVERHEAD)
		return KS_CORRUPT;
	return ks_sealer_unseal(w->sealer, root->key.bytes, associated, wrapped, ret_key, KS_SEAL_KEY_SIZE, &n);
}

/* ---- the file ---- */

static enum ks_err check_file(int fd, const char *path, struct ks_child_problem *problem)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return ks_child_problem(problem, KS_SYSTEM, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size != FILE_SIZE)
		return ks_child_problem(problem, KS_CORRUPT, "%s is not a master key", path);
	if (st.st_uid != geteuid())
		return ks_child_problem(problem, KS_FORBIDDEN, "%s belongs to another user", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return ks_child_problem(problem, KS_FORBIDDEN, "%s is open to others; chmod 600 it, and think who may"
							       " have read it", path);
	return KS_OK;
}

static enum ks_err read_key(struct ks_root *root, int fd, const char *path, struct ks_child_problem *problem)
{
	char text[FILE_SIZE];
	uint8_t key[KS_SEAL_KEY_SIZE];
	bool ok = pread(fd, text, sizeof(text), 0) == (ssize_t)sizeof(text) && text[FILE_SIZE - 1] == '\n'
		  && ks_hex_decode(ks_str_of(text, FILE_SIZE - 1), false, key, sizeof(key));
	enum ks_err err = KS_CORRUPT;

	if (ok)
		err = ks_root_key_set(root, key, "file");
	else
		(void)ks_child_problem(problem, err, "%s is not a master key", path);
	ks_wipe(text, sizeof(text));
	ks_wipe(key, sizeof(key));
	return err;
}

static enum ks_err open_file(struct ks_root *root, const char *path, struct ks_child_problem *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum ks_err err;

	if (fd < 0 && errno == ENOENT)
		return ks_child_problem(problem, KS_NOT_FOUND,
					"%s is missing, and the store holds what was sealed with it: put it back", path);
	if (fd < 0)
		return ks_child_problem(problem, errno == EACCES ? KS_FORBIDDEN : KS_SYSTEM, "%s: %s", path,
					strerror(errno));
	err = check_file(fd, path, problem);
	if (err == KS_OK)
		err = read_key(root, fd, path, problem);
	close(fd);
	return err;
}

static bool write_key(int fd)
{
	uint8_t key[KS_SEAL_KEY_SIZE];
	char text[FILE_SIZE + 1];
	struct ks_buf b = KS_BUF(text);
	bool ok = ks_random(key, sizeof(key)) == KS_OK;

	ks_buf_put_hex(&b, key, sizeof(key));
	ks_buf_put_byte(&b, '\n');
	ok = ok && write(fd, text, FILE_SIZE) == FILE_SIZE && fsync(fd) == 0;
	ks_wipe(key, sizeof(key));
	ks_wipe(text, sizeof(text));
	return ok;
}

static bool sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Whole and durable before it has its name; the data directory is the service's alone meanwhile. */
static enum ks_err make_file(const char *directory, const char *path, struct ks_child_problem *problem)
{
	char fresh[PATH_MAX];
	bool ok;
	int fd;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return KS_TOO_LARGE;
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	ok = fd >= 0 && fchmod(fd, 0600) == 0 && write_key(fd)
	     && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) == 0 && sync_directory(directory);
	if (!ok) {
		enum ks_err err = errno == ENOSPC || errno == EDQUOT ? KS_DISK_FULL : KS_SYSTEM;

		(void)ks_child_problem(problem, err, "cannot make %s: %s", path, strerror(errno));
		if (fd >= 0) {
			close(fd);
			(void)unlink(fresh);
		}
		return err;
	}
	close(fd);
	return KS_OK;
}

static enum ks_err open_or_make(struct ks_root *root, const char *directory, const char *name, bool may_make,
				struct ks_child_problem *problem)
{
	char path[PATH_MAX];
	enum ks_err err;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
		return KS_TOO_LARGE;
	err = open_file(root, path, problem);
	if (err != KS_NOT_FOUND || !may_make)
		return err;
	KS_TRY(make_file(directory, path, problem));
	return open_file(root, path, problem);
}

static enum ks_err open_current(struct ks_root *root, const struct ks_child_settings *settings,
				struct ks_child_problem *problem)
{
	return open_or_make(root, settings->directory, FILE_NAME, settings->may_create[0] != '\0', problem);
}

static enum ks_err open_next(struct ks_root *root, const struct ks_child_settings *settings,
			     struct ks_child_problem *problem)
{
	return open_or_make(root, settings->directory, FILE_NAME ".next", settings->rotate[0] != '\0', problem);
}

const struct ks_root_kind ks_root_file = {KIND_FILE, "file", open_current, ks_root_key_wrap, ks_root_key_unwrap,
					      false};
const struct ks_root_kind ks_root_file_next = {KIND_FILE, "file", open_next, ks_root_key_wrap, ks_root_key_unwrap,
					      false};
