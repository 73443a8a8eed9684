/* SPDX-License-Identifier: Apache-2.0 */
/* The root that is a passphrase: Argon2id makes the key of it. <data>/master.salt holds what that needs besides, which is not
 * secret but must not be lost: the salt in hexadecimal and a line end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "crypto/password.h"
#include "crypto/random.h"
#include "keeper/root_key.h"

#define KIND_PASSPHRASE 2
#define SALT_NAME "master.salt"
#define SALT_TEXT (2 * KS_PASSWORD_SALT_SIZE + 1)
#define PASSPHRASE_MIN 12
#define PASSPHRASE_MAX 1024

static enum ks_err read_salt(const char *path, uint8_t ret_salt[KS_PASSWORD_SALT_SIZE], struct ks_child_problem *problem)
{
	char text[SALT_TEXT + 1];
	size_t n = 0;
	bool ok;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return ks_child_problem(problem, errno == ENOENT ? KS_NOT_FOUND : KS_SYSTEM,
					"%s is missing, and the store holds what was sealed with it: put it back", path);
	ok = ks_child_read_whole(fd, text, sizeof(text), &n) && n == SALT_TEXT && text[n - 1] == '\n'
	     && ks_hex_decode(ks_str_of(text, n - 1), false, ret_salt, KS_PASSWORD_SALT_SIZE);
	close(fd);
	return ok ? KS_OK : ks_child_problem(problem, KS_CORRUPT, "%s is not the salt of a passphrase", path);
}

static enum ks_err make_salt(const char *directory, const char *path, struct ks_child_problem *problem)
{
	uint8_t salt[KS_PASSWORD_SALT_SIZE];
	char text[SALT_TEXT + 1], fresh[PATH_MAX];
	struct ks_buf b = KS_BUF(text);
	bool ok = ks_random(salt, sizeof(salt)) == KS_OK
		  && (size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) < sizeof(fresh);
	int fd = -1, at = -1;

	ks_buf_put_hex(&b, salt, sizeof(salt));
	ks_buf_put_byte(&b, '\n');
	if (ok) {
		(void)unlink(fresh);
		fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	ok = ok && fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n && fsync(fd) == 0
	     && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) == 0;
	at = ok ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	ok = ok && at >= 0 && fsync(at) == 0;
	if (!ok)
		(void)ks_child_problem(problem, KS_SYSTEM, "cannot make %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (at >= 0)
		close(at);
	return ok ? KS_OK : KS_SYSTEM;
}

static enum ks_err derive(struct ks_root *root, const struct ks_secret *passphrase, const uint8_t *salt)
{
	uint8_t key[KS_SEAL_KEY_SIZE];
	enum ks_err err = ks_password_key(ks_str_of((const char *)passphrase->bytes, passphrase->n), salt, key, sizeof(key));

	if (err == KS_OK)
		err = ks_root_key_set(root, key, "passphrase");
	ks_wipe(key, sizeof(key));
	return err;
}

static enum ks_err open_passphrase(struct ks_root *root, const struct ks_child_settings *settings,
				   struct ks_child_problem *problem)
{
	uint8_t salt[KS_PASSWORD_SALT_SIZE];
	struct ks_secret passphrase = {0};
	char path[PATH_MAX];
	enum ks_err err;

	if ((size_t)snprintf(path, sizeof(path), "%s/" SALT_NAME, settings->directory) >= sizeof(path))
		return KS_TOO_LARGE;
	err = read_salt(path, salt, problem);
	if (err == KS_NOT_FOUND && settings->may_create[0]) {
		KS_TRY(make_salt(settings->directory, path, problem));
		err = read_salt(path, salt, problem);
	}
	KS_TRY(err);
	KS_TRY(ks_secret_new(&passphrase, PASSPHRASE_MAX + 2));
	err = ks_child_read_secret(settings->passphrase_file, PASSPHRASE_MIN, PASSPHRASE_MAX, &passphrase, problem);
	if (err == KS_OK)
		err = derive(root, &passphrase, salt);
	ks_secret_free(&passphrase);
	return err;
}

const struct ks_root_kind ks_root_passphrase = {KIND_PASSPHRASE, "passphrase", open_passphrase, ks_root_key_wrap,
						ks_root_key_unwrap, false};
