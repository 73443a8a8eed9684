/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"

#define MIB ((size_t)1 << 20)

/* The sanitizers replace mlock() by a function that does nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOCKING 0
#elif defined(__has_feature)
#define LOCKING !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define LOCKING 1
#endif

static void test_sizes_refused(void **state)
{
	struct ks_secret secret = {0};

	(void)state;
	assert_int_equal(ks_secret_new(&secret, 0), KS_TOO_LARGE);
	assert_int_equal(ks_secret_new(&secret, MIB + 1), KS_TOO_LARGE);
	assert_int_equal(ks_secret_new(&secret, SIZE_MAX), KS_TOO_LARGE);
	assert_null(secret.bytes);
	ks_secret_free(&secret);
}

static void test_content_beyond_capacity_is_refused(void **state)
{
	struct ks_secret secret = {0};

	(void)state;
	assert_int_equal(ks_secret_new(&secret, 4), KS_OK);
	assert_int_equal(ks_secret_set(&secret, "abcd", 4), KS_OK);
	assert_int_equal(ks_secret_set(&secret, "12345", 5), KS_TOO_LARGE);
	assert_int_equal(secret.n, 4);
	assert_memory_equal(secret.bytes, "abcd", 4);
	ks_secret_free(&secret);
}

static void test_replaced_content_is_wiped(void **state)
{
	struct ks_secret secret = {0};

	(void)state;
	assert_int_equal(ks_secret_new(&secret, 16), KS_OK);
	assert_int_equal(ks_secret_set(&secret, "long secret text", 16), KS_OK);
	assert_int_equal(ks_secret_set(&secret, "ab", 2), KS_OK);
	assert_int_equal(secret.n, 2);
	assert_memory_equal(secret.bytes, "ab\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(ks_secret_set(&secret, NULL, 0), KS_OK);
	assert_memory_equal(secret.bytes, "\0\0", 2);
	ks_secret_free(&secret);
	assert_null(secret.bytes);
	assert_int_equal(secret.cap, 0);
	ks_secret_free(&secret);
}

static void test_what_was_used_is_wiped(void **state)
{
	struct ks_secret secret = {0};
	const unsigned char *before;

	(void)state;
	assert_int_equal(ks_secret_new(&secret, 5000), KS_OK);
	before = secret.bytes;
	memset(secret.bytes, 's', 100);
	ks_secret_free_used(&secret, 100);
	assert_null(secret.bytes);
	assert_int_equal(ks_secret_new(&secret, 5000), KS_OK);
	assert_ptr_equal(secret.bytes, before);
	for (size_t i = 0; i < secret.cap; i++)
		assert_int_equal(secret.bytes[i], 0);
	ks_secret_free_used(&secret, SIZE_MAX);
	ks_secret_free_used(&secret, 1);
}

/* The child's end by a signal is what is asked for: no sanitizer may catch it, no core be written. */
static bool dies(void (*act)(struct ks_secret *), struct ks_secret *secret)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		act(secret);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void touch_inside(struct ks_secret *secret)
{
	((volatile unsigned char *)secret->bytes)[0] = 1;
	((volatile unsigned char *)secret->bytes)[secret->cap - 1] = 1;
}

static void read_past_the_end(struct ks_secret *secret)
{
	(void)*(volatile unsigned char *)(secret->bytes + secret->cap);
}

static void read_before_the_page(struct ks_secret *secret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)*(volatile unsigned char *)(secret->bytes + secret->cap - page - 1);
}

static void test_guard_pages(void **state)
{
	struct ks_secret secret = {0};

	(void)state;
	assert_int_equal(ks_secret_new(&secret, 33), KS_OK);
	assert_false(dies(touch_inside, &secret));
	assert_true(dies(read_past_the_end, &secret));
	assert_true(dies(read_before_the_page, &secret));
	ks_secret_free(&secret);
}

/* The flags that the kernel shows for the page of `address`: "lo" locked, "dd" left out of core dumps. */
static void flags_of(const void *address, char *ret_flags, size_t cap)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[512];
	bool here = false;

	assert_non_null(file);
	ret_flags[0] = '\0';
	while (fgets(line, sizeof(line), file)) {
		unsigned long long from, to;

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			here = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(ret_flags, cap, "%s", line);
	}
	fclose(file);
}

static void test_locked_and_not_dumped(void **state)
{
	struct ks_secret secret = {0};
	char flags[512];

	(void)state;
	assert_int_equal(ks_secret_new(&secret, 5000), KS_OK);
	flags_of(secret.bytes, flags, sizeof(flags));
	if (LOCKING)
		assert_non_null(strstr(flags, " lo"));
	assert_non_null(strstr(flags, " dd"));
	ks_secret_free(&secret);
}

static void check_pages_of_before(size_t cap)
{
	struct ks_secret before = {0}, after = {0};
	char flags[512];

	assert_int_equal(ks_secret_new(&before, cap - 1), KS_OK);
	memset(before.bytes, 0x5a, before.cap);
	ks_secret_free(&before);
	assert_int_equal(ks_secret_new(&after, cap), KS_OK);
	for (size_t i = 0; i < after.cap; i++)
		assert_int_equal(after.bytes[i], 0);
	flags_of(after.bytes, flags, sizeof(flags));
	if (LOCKING)
		assert_non_null(strstr(flags, " lo"));
	assert_non_null(strstr(flags, " dd"));
	assert_true(dies(read_past_the_end, &after));
	ks_secret_free(&after);
}

static void test_pages_of_before_are_clean_and_locked(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	check_pages_of_before(2);
	check_pages_of_before(page);
	check_pages_of_before(2 * page);
	check_pages_of_before(16 * page);
	check_pages_of_before(200 * page);
}

/* More at a time than are kept; each is its own. */
static void test_many_at_a_time(void **state)
{
	struct ks_secret secrets[80] = {{0}};

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < KS_ARRAY_LEN(secrets); i++) {
			assert_int_equal(ks_secret_new(&secrets[i], 16), KS_OK);
			memset(secrets[i].bytes, (int)i + 1, 16);
		}
		for (size_t i = 0; i < KS_ARRAY_LEN(secrets); i++) {
			assert_int_equal(secrets[i].bytes[0], i + 1);
			assert_int_equal(secrets[i].bytes[15], i + 1);
			ks_secret_free(&secrets[i]);
		}
	}
}

static void test_limit_of_locked_memory(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (!LOCKING)
		skip();
	pid = fork();
	if (pid == 0) {
		struct rlimit none = {0, 0};
		struct ks_secret secret = {0};

		/* Without this a privileged user has no limit to reach. */
		if (geteuid() == 0 && setuid(65534))
			_exit(2);
		if (setrlimit(RLIMIT_MEMLOCK, &none))
			_exit(3);
		_exit(ks_secret_new(&secret, 1) == KS_MEMORY && !secret.bytes ? 0 : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_wipe(void **state)
{
	char text[8] = "abcdefg";

	(void)state;
	ks_wipe(&text[2], 3);
	assert_memory_equal(text, "ab\0\0\0fg", 8);
	ks_wipe(NULL, 0);
}

static void test_wiped_memory_keeps_its_content(void **state)
{
	unsigned char *p = ks_wiped_realloc(NULL, 8);

	(void)state;
	assert_non_null(p);
	for (unsigned i = 0; i < 8; i++)
		p[i] = (unsigned char)i;
	p = ks_wiped_realloc(p, 100000);
	assert_non_null(p);
	p[99999] = 1;
	p = ks_wiped_realloc(p, 8);
	assert_non_null(p);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(p[i], i);
	ks_wiped_free(p);
	ks_wiped_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_refused),
		cmocka_unit_test(test_content_beyond_capacity_is_refused),
		cmocka_unit_test(test_replaced_content_is_wiped),
		cmocka_unit_test(test_what_was_used_is_wiped),
		cmocka_unit_test(test_guard_pages),
		cmocka_unit_test(test_locked_and_not_dumped),
		cmocka_unit_test(test_pages_of_before_are_clean_and_locked),
		cmocka_unit_test(test_many_at_a_time),
		cmocka_unit_test(test_limit_of_locked_memory),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_wiped_memory_keeps_its_content),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
