/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- limits ---- */

static bool limit(__rlimit_resource_t what, rlim_t to)
{
	const struct rlimit both = {to, to};

	return setrlimit(what, &both) == 0;
}

enum ks_err ks_sandbox_limits(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
	    || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || !limit(RLIMIT_CORE, 0))
		return KS_SYSTEM;
#ifndef SANITIZED
	/* As pages are touched: all of the libraries' at once would be more than most limits of locked memory. */
	(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
#endif
	return KS_OK;
}

/* ---- Landlock ---- */

/* Rights by version of the interface (kernel documentation, userspace-api/landlock). The headers may be older than the
 * kernel: numbers that they lack are written here. */
#define FS_VERSION_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)     /* 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* 3 */
#define FS_IOCTL (UINT64_C(1) << 15)     /* 5 */
#define NET_BOTH UINT64_C(3)             /* 4: bind and connect by TCP */
#define SCOPE_BOTH UINT64_C(3)           /* 6: abstract sockets and signals to others */
#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE)

struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

static struct ruleset rules_of(int version)
{
	struct ruleset r = {.handled_access_fs = FS_VERSION_1};

	r.handled_access_fs |= version >= 2 ? FS_REFER : 0;
	r.handled_access_fs |= version >= 3 ? FS_TRUNCATE : 0;
	r.handled_access_fs |= version >= 5 ? FS_IOCTL : 0;
	r.handled_access_net = version >= 4 ? NET_BOTH : 0;
	r.scoped = version >= 6 ? SCOPE_BOTH : 0;
	return r;
}

static size_t size_of(int version)
{
	return version >= 6 ? sizeof(struct ruleset)
	       : version >= 4 ? offsetof(struct ruleset, scoped)
			      : offsetof(struct ruleset, handled_access_net);
}

static bool allow_below(int rules, const char *path)
{
	struct landlock_path_beneath_attr below = {.allowed_access = FS_READ};
	bool ok;

	below.parent_fd = open(path, O_PATH | O_CLOEXEC);
	ok = below.parent_fd >= 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0;
	if (below.parent_fd >= 0)
		close(below.parent_fd);
	return ok;
}

enum ks_err ks_sandbox_landlock(const char *const *paths, size_t count, int *ret_version)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset r;
	int rules;
	bool ok;

	if (version < 1) {
		*ret_version = 0;
		return errno == ENOSYS || errno == EOPNOTSUPP ? KS_OK : KS_SYSTEM;
	}
	r = rules_of(version);
	rules = (int)syscall(SYS_landlock_create_ruleset, &r, size_of(version), 0);
	if (rules < 0)
		return KS_SYSTEM;
	ok = true;
	for (size_t i = 0; i < count; i++)
		ok = ok && allow_below(rules, paths[i]);
	ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	close(rules);
	if (!ok)
		return KS_SYSTEM;
	*ret_version = version;
	return KS_OK;
}

/* ---- seccomp ---- */

/* What the keeper does after its start: talk on sockets that it has or is handed, wait, allocate, end. */
static const int calls[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(close), SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(futex), SCMP_SYS(sched_yield),
	SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(munlock),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(membarrier), SCMP_SYS(rseq), SCMP_SYS(set_robust_list),
};

/* What a PKCS#11 module does to read and lock its own files; Landlock says which those are. */
static const int file_calls[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
	SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(lseek), SCMP_SYS(pread64),
	SCMP_SYS(getdents64), SCMP_SYS(geteuid), SCMP_SYS(getuid), SCMP_SYS(umask),
};

#ifdef SANITIZED
/* AddressSanitizer and ThreadSanitizer map, protect, ask for their own maps and say what they found. Builds with them are for
 * tests; the code that enters here is chosen when it is compiled, by nothing else. */
static const int sanitizer_calls[] = {
	SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lseek), SCMP_SYS(tgkill), SCMP_SYS(rt_sigaction),
	SCMP_SYS(getrlimit), SCMP_SYS(prlimit64), SCMP_SYS(prctl), SCMP_SYS(sched_getaffinity), SCMP_SYS(uname),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(set_tid_address),
	SCMP_SYS(getppid), SCMP_SYS(access), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(mincore),
};
#endif

static bool allow(scmp_filter_ctx filter, const int *list, size_t n)
{
	bool ok = true;

	for (size_t i = 0; i < n; i++)
		ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, list[i], 0) == 0;
	return ok;
}

/* Memory, but none that could be run. */
static bool allow_memory(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0
	       && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				   SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
}

/* Flags of descriptors, what libcurl asks of a socket that it was handed; and locks, where there are files. */
static bool allow_descriptors(scmp_filter_ctx filter, bool files)
{
	static const int commands[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD};
	static const int locks[] = {F_SETLK, F_SETLKW, F_GETLK};
	bool ok = true;

	for (size_t i = 0; i < KS_ARRAY_LEN(commands); i++)
		ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
					    SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i])) == 0;
	for (size_t i = 0; files && i < KS_ARRAY_LEN(locks); i++)
		ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
					    SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)locks[i])) == 0;
	return ok;
}

/* A module that would log by syslog is told that there is none; it does not end for it. */
static bool allow_files(scmp_filter_ctx filter)
{
	return allow(filter, file_calls, KS_ARRAY_LEN(file_calls))
	       && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 0) == 0
	       && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(connect), 0) == 0;
}

/* libcurl connects a socket even where it is told that it is connected: the call does nothing and says that it is under way,
 * which the socket then turns out to be. */
static bool allow_connections(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 0) == 0
	       && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINPROGRESS), SCMP_SYS(connect), 0) == 0;
}

enum ks_err ks_sandbox_seccomp(enum ks_sandbox_needs needs)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool ok;

	if (!filter)
		return KS_MEMORY;
	ok = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0
	     && seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && allow(filter, calls, KS_ARRAY_LEN(calls))
	     && allow_memory(filter) && allow_descriptors(filter, needs == KS_SANDBOX_FILES);
	if (needs == KS_SANDBOX_FILES)
		ok = ok && allow_files(filter);
	if (needs == KS_SANDBOX_CONNECTIONS)
		ok = ok && allow_connections(filter);
#ifdef SANITIZED
	ok = ok && allow(filter, sanitizer_calls, KS_ARRAY_LEN(sanitizer_calls));
#endif
	ok = ok && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return ok ? KS_OK : KS_SYSTEM;
}
