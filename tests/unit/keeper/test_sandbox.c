/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper cannot do: each forbidden step is tried in a process that entered the sandbox, and ends it or is refused; and
 * the keeper that runs says of itself that it is confined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper/keeper.h"
#include "keeper/sandbox.h"

#define DONE 0       /* the step was carried out */
#define REFUSED 7    /* the step was refused, and the process lives */
#define NO_SANDBOX 9

typedef bool step(void);

static bool try_open(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0;
}

static bool try_open_own(void)
{
	return open("/proc/self/mem", O_RDWR) >= 0;
}

static bool try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool try_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool try_connect(void)
{
	const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	return connect(0, (const struct sockaddr *)(const void *)&to, sizeof(to)) == 0 || errno != EINPROGRESS;
}

static bool try_fork(void)
{
	return fork() >= 0;
}

static bool try_exec(void)
{
	char name[] = "/bin/true";
	char *arguments[] = {name, NULL};

	return execv(name, arguments) == 0;
}

static bool try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool try_kill(void)
{
	return kill(getppid(), 0) == 0;
}

static bool try_unlink(void)
{
	return unlink("/tmp/keystile-nothing") == 0 || errno == ENOENT;
}

static bool try_to_work(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && munmap(p, 4096) == 0 && write(1, "", 0) == 0;
}

/* Landlock and seccomp, or seccomp with calls for files, which Landlock alone holds back. */
static int outcome(step *what, enum ks_sandbox_needs needs)
{
	int status = 0, version;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ks_sandbox_limits() != KS_OK || ks_sandbox_landlock(NULL, 0, &version) != KS_OK
		    || ks_sandbox_seccomp(needs) != KS_OK)
			_exit(NO_SANDBOX);
		_exit(what() ? DONE : REFUSED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* Builds with sanitizers are let open files by seccomp; there Landlock refuses. */
static void assert_impossible(step *what, bool file)
{
	int got = outcome(what, KS_SANDBOX_NOTHING);

	if (file && got == REFUSED)
		return;
	assert_int_equal(got, -SIGSYS);
}

static void the_sandbox_takes_what_is_not_needed(void **state)
{
	(void)state;
	assert_int_equal(outcome(try_to_work, KS_SANDBOX_NOTHING), DONE);
	assert_impossible(try_open, true);
	assert_impossible(try_open_own, true);
	assert_impossible(try_socket, false);
	assert_impossible(try_unix_socket, false);
	assert_impossible(try_fork, false);
	assert_impossible(try_exec, false);
	assert_impossible(try_ptrace, false);
	assert_impossible(try_kill, false);
	assert_impossible(try_unlink, false);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static bool try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static void no_memory_becomes_code(void **state)
{
	(void)state;
	assert_impossible(try_code, false);
}
#endif

static void files_are_held_back_by_landlock_alone(void **state)
{
	int version;
	pid_t pid = fork();
	int status = 0;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(ks_sandbox_limits() == KS_OK && ks_sandbox_landlock(NULL, 0, &version) == KS_OK && version > 0 ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 0) {
		print_message("this kernel has no Landlock; seccomp alone was tested\n");
		return;
	}
	assert_int_equal(outcome(try_open, KS_SANDBOX_FILES), REFUSED);
	assert_int_equal(outcome(try_open_own, KS_SANDBOX_FILES), REFUSED);
	assert_int_equal(outcome(try_socket, KS_SANDBOX_FILES), REFUSED);
	assert_int_equal(outcome(try_fork, KS_SANDBOX_FILES), -SIGSYS);
}

/* A root in a service is handed its connections: it makes none. */
static void connections_are_handed_over_alone(void **state)
{
	(void)state;
	assert_int_equal(outcome(try_socket, KS_SANDBOX_CONNECTIONS), -SIGSYS);
	assert_int_equal(outcome(try_unix_socket, KS_SANDBOX_CONNECTIONS), -SIGSYS);
	assert_int_equal(outcome(try_connect, KS_SANDBOX_CONNECTIONS), REFUSED);
	assert_int_equal(outcome(try_fork, KS_SANDBOX_CONNECTIONS), -SIGSYS);
}

static void assert_says(const char *status, const char *line)
{
	if (!strstr(status, line))
		fail_msg("/proc says no \"%s\"", line);
}

static void the_keeper_that_runs_is_confined(void **state)
{
	struct ks_keeper *keeper;
	struct ks_keeper_problem problem;
	struct ks_keeper_stats stats;
	char data[] = "/tmp/keystile-keeper-XXXXXX", path[128], text[4096] = "";
	struct ks_keeper_options o = {.directory = data, .may_create = true};
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(data));
	assert_int_equal(ks_keeper_start(&o, &keeper, &problem), KS_OK);
	ks_keeper_stats(keeper, &stats);
	(void)snprintf(path, sizeof(path), "/proc/%lld/status", (long long)stats.pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	assert_int_equal(fclose(f), 0);
	assert_says(text, "Name:\tkeystile-keeper");
	assert_says(text, "NoNewPrivs:\t1");
	assert_says(text, "Seccomp:\t2");
	(void)snprintf(path, sizeof(path), "/proc/%lld/limits", (long long)stats.pid);
	f = fopen(path, "r");
	assert_non_null(f);
	memset(text, 0, sizeof(text));
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	assert_int_equal(fclose(f), 0);
	assert_says(text, "Max core file size        0                    0");
	ks_keeper_stop(&keeper);
	(void)snprintf(path, sizeof(path), "%s/master.key", data);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(data), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sandbox_takes_what_is_not_needed),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		cmocka_unit_test(no_memory_becomes_code),
#endif
		cmocka_unit_test(files_are_held_back_by_landlock_alone),
		cmocka_unit_test(connections_are_handed_over_alone),
		cmocka_unit_test(the_keeper_that_runs_is_confined),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
