/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static char top[PATH_SIZE], dir[PATH_SIZE];
static int fd_of_top;

static int open_top(const char *base)
{
	place_make(base, top, dir);
	fd_of_top = open(top, O_RDONLY | O_DIRECTORY);
	return fd_of_top < 0;
}

static int make_place(void **state)
{
	(void)state;
	return open_top(memory_base());
}

static int make_place_on_disk(void **state)
{
	(void)state;
	return open_top("/tmp");
}

static int remove_place(void **state)
{
	(void)state;
	close(fd_of_top);
	place_remove(top);
	return 0;
}

static void names_go_both_ways(void **state)
{
	static const char *const bad[] = {
		"",        "ring",   ".ring",    "1.rin", "1.ring.usage", "-1.ring",
		"1 .ring", "1.Ring", "0x1.ring", "1",     "control",      "99999999999999999999.ring",
		"1.ring "};
	const uint64_t numbers[] = {1, 77, UINT64_MAX};
	char name[KS_GENERATION_NAME_SIZE];
	uint64_t number = 5;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_generation_name_parse(ks_str_c(bad[i]), &number));
	assert_int_equal(number, 5);
	for (size_t i = 0; i < KS_ARRAY_LEN(numbers); i++) {
		ks_generation_name(numbers[i], KS_FILE_USAGE, name);
		assert_true(ks_generation_name_parse(ks_str_c(name), &number));
		assert_true(number == numbers[i]);
	}
	assert_string_equal(name, "18446744073709551615.usage");
}

static void only_plain_files_of_the_owner_are_opened(void **state)
{
	uid_t me = geteuid();
	uint64_t size;
	int fd = -1;

	(void)state;
	assert_int_equal(ks_ringmap_file_open(fd_of_top, "none", O_RDONLY, me, &fd, &size), KS_NOT_FOUND);
	assert_int_equal(mkfifoat(fd_of_top, "fifo", 0600), 0);
	assert_int_equal(ks_ringmap_file_open(fd_of_top, "fifo", O_RDONLY, me, &fd, &size), KS_FORBIDDEN);
	assert_int_equal(mkdirat(fd_of_top, "directory", 0700), 0);
	assert_int_equal(ks_ringmap_file_open(fd_of_top, "directory", O_RDONLY, me, &fd, &size), KS_FORBIDDEN);
	assert_int_equal(symlinkat("/etc/passwd", fd_of_top, "link"), 0);
	assert_int_equal(ks_ringmap_file_open(fd_of_top, "link", O_RDONLY, me, &fd, &size), KS_FORBIDDEN);
	assert_int_equal(ks_ringmap_file_make(fd_of_top, "plain", 0600, -1, 4096, &fd), KS_OK);
	close(fd);
	assert_int_equal(ks_ringmap_file_open(fd_of_top, "plain", O_RDONLY, me + 1, &fd, &size), KS_FORBIDDEN);
	assert_int_equal(ks_ringmap_file_open(fd_of_top, "plain", O_RDWR, me, &fd, &size), KS_OK);
	assert_int_equal(size, 4096);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void files_are_made_once_and_whole(void **state)
{
	struct stat st;
	int fd = -1;

	(void)state;
	assert_int_equal(ks_ringmap_file_make(fd_of_top, "file", 0640, (int64_t)getegid(), 3 * 4096, &fd), KS_OK);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_size, 3 * 4096);
	assert_true(st.st_blocks * 512 >= st.st_size);
	close(fd);
	fd = -1;
	assert_int_equal(ks_ringmap_file_make(fd_of_top, "file", 0600, -1, 4096, &fd), KS_CONFLICT);
	assert_int_equal(ks_ringmap_file_make(fd_of_top, "much", 0600, -1, UINT64_C(1) << 62, &fd), KS_DISK_FULL);
	assert_int_equal(fd, -1);
	assert_int_not_equal(faccessat(fd_of_top, "much", F_OK, 0), 0);
}

/* Across the boundary of huge pages, and not a multiple of them: zeroed from end to end, one memory for all, and
 * at a boundary. */
static void large_files_are_whole_and_aligned(void **state)
{
	const uint64_t sizes[] = {4096, (2u << 20) - 4096, 2u << 20, (2u << 20) + 4096, (6u << 20) + 3 * 4096};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(sizes); i++) {
		void *writer, *reader;
		unsigned char *bytes;
		struct stat st;
		int fd = -1;

		assert_int_equal(ks_ringmap_file_make(fd_of_top, "large", 0600, -1, sizes[i], &fd), KS_OK);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
		assert_true((uint64_t)st.st_blocks * 512 >= sizes[i]);
		assert_int_equal(ks_ringmap_file_map(fd, sizes[i], true, &writer), KS_OK);
		assert_int_equal(ks_ringmap_file_map(fd, sizes[i], false, &reader), KS_OK);
		if (sizes[i] >= 2u << 20)
			assert_true((uintptr_t)writer % (2u << 20) == 0 && (uintptr_t)reader % (2u << 20) == 0);
		ks_memory_populate(writer, sizes[i], true);
		ks_memory_populate(reader, sizes[i], false);
		bytes = writer;
		for (uint64_t at = 0; at < sizes[i]; at += 512) {
			assert_int_equal(bytes[at], 0);
			bytes[at] = (unsigned char)(at >> 9);
		}
		bytes[sizes[i] - 1] = 0xee;
		assert_true(ks_ct_equal(writer, reader, sizes[i]));
		assert_int_equal(munmap(writer, sizes[i]), 0);
		assert_int_equal(munmap(reader, sizes[i]), 0);
		close(fd);
		assert_int_equal(unlinkat(fd_of_top, "large", 0), 0);
	}
}

static void nothing_cannot_be_mapped(void **state)
{
	void *memory = NULL;

	(void)state;
	assert_int_equal(ks_ringmap_file_map(fd_of_top, 0, false, &memory), KS_CORRUPT);
	assert_int_equal(ks_ringmap_file_map(fd_of_top, UINT64_MAX, false, &memory), KS_CORRUPT);
	assert_true(ks_ringmap_file_map(fd_of_top, 4096, false, &memory) != KS_OK);
	assert_true(ks_ringmap_file_map(-1, 4u << 20, false, &memory) != KS_OK);
	assert_null(memory);
}

static void the_boot_has_an_id(void **state)
{
	uint8_t one[16] = {0}, two[16] = {0};
	const uint8_t zero[16] = {0};

	(void)state;
	assert_int_equal(ks_ringmap_boot_id(one), KS_OK);
	assert_int_equal(ks_ringmap_boot_id(two), KS_OK);
	assert_true(ks_ct_equal(one, two, 16));
	assert_false(ks_ct_equal(one, zero, 16));
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
#define ON_DISK(test) {#test " on disk", test, make_place_on_disk, remove_place, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways),
		PLACED(only_plain_files_of_the_owner_are_opened),
		PLACED(files_are_made_once_and_whole),
		ON_DISK(files_are_made_once_and_whole),
		PLACED(large_files_are_whole_and_aligned),
		ON_DISK(large_files_are_whole_and_aligned),
		PLACED(nothing_cannot_be_mapped),
		cmocka_unit_test(the_boot_has_an_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
