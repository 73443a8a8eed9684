/* SPDX-License-Identifier: Apache-2.0 */
/* The master key, and what is sealed with it. */
#include "engine/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/ctenc.h"
#include "crypto/random.h"
#include "engine/engine_priv.h"

/* The file: the key in hexadecimal and a line end, so that it can be copied by hand. */
#define FILE_NAME "master.key"
#define FILE_SIZE (2 * KS_SEAL_KEY_SIZE + 1)
#define CHECK_PURPOSE "check"
#define CHECK_ROW 1

/* ---- the file ---- */

static enum ks_err check_file(int fd, const char *path, struct ks_engine_problem *problem)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return ks_engine_problem(problem, KS_SYSTEM, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size != FILE_SIZE)
		return ks_engine_problem(problem, KS_CORRUPT, "%s is not a master key", path);
	if (st.st_uid != geteuid())
		return ks_engine_problem(problem, KS_FORBIDDEN, "%s belongs to another user", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return ks_engine_problem(problem, KS_FORBIDDEN, "%s is open to others; chmod 600 it, and think who may"
								" have read it", path);
	return KS_OK;
}

static enum ks_err read_key(struct ks_engine *engine, int fd, const char *path, struct ks_engine_problem *problem)
{
	char text[FILE_SIZE];
	uint8_t key[KS_SEAL_KEY_SIZE];
	bool ok = pread(fd, text, sizeof(text), 0) == (ssize_t)sizeof(text) && text[FILE_SIZE - 1] == '\n'
		  && ks_hex_decode(ks_str_of(text, FILE_SIZE - 1), false, key, sizeof(key));
	enum ks_err err = KS_CORRUPT;

	if (ok)
		err = ks_secret_set(&engine->master_key, key, sizeof(key));
	else
		(void)ks_engine_problem(problem, err, "%s is not a master key", path);
	ks_wipe(text, sizeof(text));
	ks_wipe(key, sizeof(key));
	return err;
}

static enum ks_err open_file(struct ks_engine *engine, const char *path, struct ks_engine_problem *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum ks_err err;

	if (fd < 0 && errno == ENOENT)
		return KS_NOT_FOUND;
	if (fd < 0)
		return ks_engine_problem(problem, errno == EACCES ? KS_FORBIDDEN : KS_SYSTEM, "%s: %s", path,
					 strerror(errno));
	err = check_file(fd, path, problem);
	if (err == KS_OK)
		err = read_key(engine, fd, path, problem);
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

/* Whole and durable before it has its name; the data directory is ours alone meanwhile (ks_place_claim). */
static enum ks_err make_file(const struct ks_engine *engine, const char *path, struct ks_engine_problem *problem)
{
	char fresh[PATH_MAX];
	bool ok;
	int fd;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return KS_TOO_LARGE;
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	ok = fd >= 0 && fchmod(fd, 0600) == 0 && write_key(fd)
	     && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) == 0
	     && sync_directory(engine->data_directory);
	if (!ok) {
		enum ks_err err = errno == ENOSPC || errno == EDQUOT ? KS_DISK_FULL : KS_SYSTEM;

		(void)ks_engine_problem(problem, err, "cannot make %s: %s", path, strerror(errno));
		if (fd >= 0) {
			close(fd);
			(void)unlink(fresh);
		}
		return err;
	}
	close(fd);
	return KS_OK;
}

/* ---- whether it is the one ---- */

struct opening {
	const struct ks_engine *engine;
	bool right;
};

static enum ks_err try_to_open(void *ctx, struct ks_str sealed)
{
	struct opening *o = ctx;
	uint8_t none[1];
	size_t n;

	if (o->engine->master_key.n == 0)
		return KS_OK;
	o->right = ks_engine_open_sealed(o->engine, CHECK_PURPOSE, CHECK_ROW, sealed, none, sizeof(none), &n) == KS_OK;
	return KS_OK;
}

enum ks_err ks_master_key_open(struct ks_engine *engine, struct ks_engine_problem *ret_problem)
{
	struct opening o = {.engine = engine};
	char path[PATH_MAX];
	enum ks_err found, sealed;

	if ((size_t)snprintf(path, sizeof(path), "%s/" FILE_NAME, engine->data_directory) >= sizeof(path))
		return KS_TOO_LARGE;
	KS_TRY(ks_secret_new(&engine->master_key, KS_SEAL_KEY_SIZE));
	found = open_file(engine, path, ret_problem);
	if (found != KS_OK && found != KS_NOT_FOUND)
		return found;
	sealed = ks_store_seal_check_get(engine->store, try_to_open, &o);
	if (sealed == KS_NOT_FOUND && found == KS_OK)
		return KS_OK;
	if (sealed == KS_NOT_FOUND) {
		KS_TRY(make_file(engine, path, ret_problem));
		return open_file(engine, path, ret_problem);
	}
	KS_TRY(sealed);
	if (found == KS_NOT_FOUND)
		return ks_engine_problem(ret_problem, KS_NOT_FOUND,
					 "%s is missing, and the store holds what was sealed with it: put it back", path);
	if (!o.right)
		return ks_engine_problem(ret_problem, KS_CORRUPT, "%s is not the key that this store was sealed with",
					 path);
	return KS_OK;
}

/* ---- sealing ---- */

static enum ks_err bind(const char *purpose, uint64_t row, struct ks_buf *associated)
{
	ks_buf_put_c(associated, "keystile:");
	ks_buf_put_c(associated, purpose);
	ks_buf_put_byte(associated, ':');
	ks_buf_put_u64(associated, row);
	return ks_buf_ok(associated) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err seal(const struct ks_engine *engine, const char *purpose, uint64_t row, struct ks_str plain,
			uint8_t *ret_sealed, size_t cap, size_t *ret_n)
{
	char text[KS_SEAL_PURPOSE_MAX + 32];
	struct ks_buf associated = KS_BUF(text);
	uint8_t nonce[KS_SEAL_NONCE_SIZE];

	KS_TRY(bind(purpose, row, &associated));
	KS_TRY(ks_random(nonce, sizeof(nonce)));
	return ks_seal(engine->master_key.bytes, nonce, ks_buf_str(&associated), plain, ret_sealed, cap, ret_n);
}

static enum ks_err ignore(void *ctx, struct ks_str sealed)
{
	(void)ctx;
	(void)sealed;
	return KS_OK;
}

enum ks_err ks_engine_seal(struct ks_tx *tx, const char *purpose, uint64_t row, struct ks_str plain,
			   uint8_t *ret_sealed, size_t cap, size_t *ret_n)
{
	enum ks_err err = ks_store_seal_check_get(tx->store, ignore, NULL);

	if (err == KS_NOT_FOUND) {
		uint8_t check[KS_SEAL_OVERHEAD];
		size_t n;

		KS_TRY(seal(tx->engine, CHECK_PURPOSE, CHECK_ROW, KS_STR(""), check, sizeof(check), &n));
		err = ks_store_seal_check_put(tx->store, ks_str_of((const char *)check, n));
	}
	KS_TRY(err);
	return seal(tx->engine, purpose, row, plain, ret_sealed, cap, ret_n);
}

enum ks_err ks_engine_open_sealed(const struct ks_engine *engine, const char *purpose, uint64_t row,
				  struct ks_str sealed, uint8_t *ret_plain, size_t cap, size_t *ret_n)
{
	char text[KS_SEAL_PURPOSE_MAX + 32];
	struct ks_buf associated = KS_BUF(text);

	KS_TRY(bind(purpose, row, &associated));
	return ks_unseal(engine->master_key.bytes, ks_buf_str(&associated), sealed, ret_plain, cap, ret_n);
}
