/* SPDX-License-Identifier: Apache-2.0 */
/* A disk without room: an error where the space is asked for, never a signal, and what was there stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "fixture.h"

/* A ring with its counters, one generation of it at a time, fits; two do not. */
static void grow_without_room(const char *dir)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, 100);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ring_geometry large = ks_ring_plan(100000, 0, 0, 0, 0, 0);
	struct ks_ring *ring = NULL;

	assert_int_equal(ks_ringmap_writer_grow(writer, &large, 0), KS_DISK_FULL);
	assert_int_equal(ks_ringmap_writer_begin_rebuild(writer, &large, &ring), KS_DISK_FULL);
	assert_null(ring);
	assert_int_equal(generation_files(dir, 2) + generation_files(dir, 3), 0);
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_NOT_FOUND);
	assert_int_equal(put_key(ks_ringmap_writer_ring(writer), 5, true), KS_OK);
	assert_true(reader_state(reader, 5) & KS_KEY_REVOKED);
	ks_ringmap_writer_close(&writer);
	writer = writer_open(dir, false, 0);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

static void open_without_room(const char *dir)
{
	struct ks_ringmap_options options = options_of(dir);
	struct ks_ring_geometry large = ks_ring_plan(100000, 0, 0, 0, 0, 0);
	struct ks_ringmap_writer *writer = NULL;
	bool fresh = false;

	assert_int_equal(ks_ringmap_writer_open(&options, &large, false, &writer, &fresh), KS_DISK_FULL);
	assert_null(writer);
	assert_false(fresh);
	assert_int_equal(generation_files(dir, 1), 0);
}

static void a_full_file_system_is_told(void **state)
{
	char top[PATH_SIZE], dir[PATH_SIZE];

	(void)state;
	place_make("/tmp", top, dir);
	if (mount("keystile-test", top, "tmpfs", 0, "size=2m,mode=0700")) {
		/* Only root may mount; the limit of the other test stands for it. */
		place_remove(top);
		skip();
	}
	open_without_room(dir);
	place_remove(dir);
	grow_without_room(dir);
	assert_int_equal(umount(top), 0);
	place_remove(top);
}

static void a_limit_on_file_sizes_is_told(void **state)
{
	char top[PATH_SIZE], dir[PATH_SIZE];
	pid_t pid;
	int status;

	(void)state;
	place_make(memory_base(), top, dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit limit = {2u << 20, 2u << 20};

		(void)signal(SIGXFSZ, SIG_IGN);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		open_without_room(dir);
		place_remove(dir);
		grow_without_room(dir);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	place_remove(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_file_system_is_told),
		cmocka_unit_test(a_limit_on_file_sizes_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
