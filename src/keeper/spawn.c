/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's program, its process, and what it is told first. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/client_priv.h"

#define PROGRAM "keystile-keeper"
#define SOCKET_FD 3
#define CONNECT_FD 4
#define SAFE_FD 10 /* above those, so that neither takes the other's place */

static const char *const root_texts[KS_KEEPER_ROOT_COUNT] = {
#define X(name, text) text,
	KS_KEEPER_ROOTS(X)
#undef X
};

bool ks_keeper_root_parse(struct ks_str text, enum ks_keeper_root *ret_root)
{
	for (size_t i = 0; i < KS_KEEPER_ROOT_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(root_texts[i]))) {
			*ret_root = (enum ks_keeper_root)i;
			return true;
		}
	}
	return false;
}

/* ---- options ---- */

/* Beside this program, one above it (a build's tests), and where it is installed. */
static char *find_program(const char *given)
{
	static const char *const places[] = {"/" PROGRAM, "/../" PROGRAM, "/../libexec/keystile/" PROGRAM};
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (given)
		return strdup(given);
	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	for (size_t i = 0; i < KS_ARRAY_LEN(places); i++) {
		if ((size_t)snprintf(path, sizeof(path), "%s%s", self, places[i]) < sizeof(path) && access(path, X_OK) == 0)
			return strdup(path);
	}
	(void)snprintf(path, sizeof(path), "%s/" PROGRAM, self);
	return strdup(path);
}

#define OPTION_TEXTS(X) \
	X(directory) X(passphrase_file) X(pkcs11_module) X(pkcs11_token) X(pkcs11_key) X(pkcs11_files) X(pin_file) \
	X(kms_url) X(kms_key) X(kms_region) X(kms_credentials_file) X(kms_ca_file)

static bool copy(const char *text, const char **ret_copy)
{
	*ret_copy = strdup(text ? text : "");
	return *ret_copy != NULL;
}

enum ks_err ks_client_copy_options(struct ks_keeper *k, const struct ks_keeper_options *options)
{
	bool ok;

	k->options = *options;
	ok = true;
#define X(member) ok &= copy(options->member, &k->options.member);
	OPTION_TEXTS(X)
#undef X
	k->options.program = NULL;
	k->program = find_program(options->program);
	return ok && k->program ? KS_OK : KS_MEMORY;
}

void ks_client_free_options(struct ks_keeper *k)
{
#define X(member) free((void *)(uintptr_t)k->options.member);
	OPTION_TEXTS(X)
#undef X
	free(k->program);
}

/* ---- the process ---- */

/* Of the environment it sees what sanitizers and a PKCS#11 module read, and nothing else. */
static const char *const passed[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "SOFTHSM2_CONF"};

struct environment {
	char texts[KS_ARRAY_LEN(passed)][512];
	char *list[KS_ARRAY_LEN(passed) + 1];
};

static void fill_environment(struct environment *e)
{
	size_t n = 0;

	for (size_t i = 0; i < KS_ARRAY_LEN(passed); i++) {
		const char *value = getenv(passed[i]);

		if (!value || (size_t)snprintf(e->texts[i], sizeof(e->texts[i]), "%s=%s", passed[i], value) >= sizeof(e->texts[i]))
			continue;
		e->list[n++] = e->texts[i];
	}
	e->list[n] = NULL;
}

static bool fill_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	/* A process group of its own: the terminal's interrupt is for the service, which ends the keeper when it ends. */
	return posix_spawnattr_setsigmask(attributes, &none) == 0 && posix_spawnattr_setsigdefault(attributes, &all) == 0
	       && posix_spawnattr_setpgroup(attributes, 0) == 0
	       && posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
							       | POSIX_SPAWN_SETPGROUP) == 0;
}

static bool fill_actions(posix_spawn_file_actions_t *actions, const int fds[2])
{
	return posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0) == 0
	       && posix_spawn_file_actions_adddup2(actions, 0, 1) == 0
	       && posix_spawn_file_actions_adddup2(actions, fds[0], SOCKET_FD) == 0
	       && posix_spawn_file_actions_adddup2(actions, fds[1], CONNECT_FD) == 0
	       && posix_spawn_file_actions_addclosefrom_np(actions, CONNECT_FD + 1) == 0;
}

static bool spawn(const char *program, const int fds[2], pid_t *ret_pid)
{
	static char name[] = PROGRAM;
	char *arguments[] = {name, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	struct environment e;
	bool ok;

	fill_environment(&e);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return false;
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return false;
	}
	ok = fill_attributes(&attributes) && fill_actions(&actions, fds)
	     && posix_spawn(ret_pid, program, &actions, &attributes, arguments, e.list) == 0;
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return ok;
}

/* A pair of sockets, the child's end above those that it will have. */
static bool make_pair(int type, int *ret_ours, int *ret_theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	*ret_theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, SAFE_FD);
	close(pair[1]);
	if (*ret_theirs < 0) {
		close(pair[0]);
		return false;
	}
	*ret_ours = pair[0];
	return true;
}

enum ks_err ks_client_spawn(struct ks_keeper *k, int *ret_fd, int *ret_connect_fd, pid_t *ret_pid)
{
	int ours[2], theirs[2];
	bool ok;

	if (!make_pair(SOCK_STREAM, &ours[0], &theirs[0]))
		return KS_SYSTEM;
	if (!make_pair(SOCK_SEQPACKET, &ours[1], &theirs[1])) {
		close(ours[0]);
		close(theirs[0]);
		return KS_SYSTEM;
	}
	ok = spawn(k->program, theirs, ret_pid);
	close(theirs[0]);
	close(theirs[1]);
	if (!ok) {
		close(ours[0]);
		close(ours[1]);
		return KS_SYSTEM;
	}
	*ret_fd = ours[0];
	*ret_connect_fd = ours[1];
	return KS_OK;
}

/* ---- what it is told ---- */

struct start_settings {
#define KS_KEEPER_SETTING(member, text) const char *member;
#include "keeper/start.def"
#undef KS_KEEPER_SETTING
};

static struct start_settings settings_of(const struct ks_keeper *k)
{
	return (struct start_settings){
#define X(member) .member = k->options.member,
		OPTION_TEXTS(X)
#undef X
		.root = root_texts[k->options.root],
		.may_create = k->options.may_create ? "yes" : "",
		.rotate = k->options.rotate ? "yes" : "",
	};
}

size_t ks_client_start_size(const struct ks_keeper *k)
{
	struct start_settings s = settings_of(k);
	size_t n = 4;

#define KS_KEEPER_SETTING(member, text) n += 8 + sizeof(text) + strlen(s.member);
#include "keeper/start.def"
#undef KS_KEEPER_SETTING
	return n;
}

static uint32_t put_setting(struct ks_buf *b, const char *name, const char *value)
{
	if (!value[0])
		return 0;
	ks_keeper_put_text(b, ks_str_c(name));
	ks_keeper_put_text(b, ks_str_c(value));
	return 1;
}

void ks_client_put_start(struct ks_client_call *call, struct ks_buf *b)
{
	struct start_settings s = settings_of(call->ctx);
	struct ks_buf at = ks_buf_of(&b->p[b->n], 4);
	uint32_t count = 0;

	ks_keeper_put_u32(b, 0);
#define KS_KEEPER_SETTING(member, text) count += put_setting(b, text, s.member);
#include "keeper/start.def"
#undef KS_KEEPER_SETTING
	ks_keeper_put_u32(&at, count);
}

/* ---- another key file ---- */

enum ks_err ks_keeper_rotated(struct ks_keeper *keeper)
{
	char from[PATH_MAX], to[PATH_MAX];
	bool ok = (size_t)snprintf(from, sizeof(from), "%s/master.key.next", keeper->options.directory) < sizeof(from)
		  && (size_t)snprintf(to, sizeof(to), "%s/master.key", keeper->options.directory) < sizeof(to);
	int fd = -1;

	ok = ok && rename(from, to) == 0;
	if (ok)
		fd = open(keeper->options.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = ok && fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok ? KS_OK : KS_SYSTEM;
}
