/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/ctenc.h"
#include "ringmap/ringmap_priv.h"

/* Of most machines; where it is another, huge pages are not had, and nothing else changes. */
#define HUGE_PAGE (UINT64_C(2) << 20)
#define PAGE UINT64_C(4096)
/* <sys/mman.h> of older systems lacks it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static const struct ks_str suffixes[] = {
	[KS_FILE_RING] = {".ring", 5},
	[KS_FILE_USAGE] = {".usage", 6},
};

void ks_generation_name(uint64_t number, enum ks_ringmap_file_part part, char ret_name[KS_GENERATION_NAME_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_name, KS_GENERATION_NAME_SIZE);

	ks_buf_put_u64(&b, number);
	ks_buf_put(&b, suffixes[part]);
	(void)ks_buf_z(&b);
}

bool ks_generation_name_parse(struct ks_str name, uint64_t *ret_number)
{
	size_t dot = ks_str_find(name, '.');
	struct ks_str rest;

	if (dot == SIZE_MAX)
		return false;
	rest = ks_str_sub(name, dot, SIZE_MAX);
	return (ks_str_eq(rest, suffixes[KS_FILE_RING]) || ks_str_eq(rest, suffixes[KS_FILE_USAGE]))
	       && ks_str_to_u64(ks_str_sub(name, 0, dot), UINT64_MAX, ret_number);
}

mode_t ks_ringmap_file_mode_ring(int64_t group)
{
	return group < 0 ? 0600 : 0640;
}

mode_t ks_ringmap_file_mode_usage(int64_t group)
{
	return group < 0 ? 0600 : 0660;
}

mode_t ks_ringmap_file_mode_directory(int64_t group)
{
	return group < 0 ? 0700 : 0750;
}

/* errno as an error of ours. */
static enum ks_err err_of(int number)
{
	static const struct {
		int number;
		enum ks_err err;
	} rows[] = {
		{ENOENT, KS_NOT_FOUND}, {EACCES, KS_FORBIDDEN}, {EPERM, KS_FORBIDDEN},
		{ELOOP, KS_FORBIDDEN},  {EEXIST, KS_CONFLICT},  {ENOSPC, KS_DISK_FULL},
		{EDQUOT, KS_DISK_FULL}, {EFBIG, KS_DISK_FULL},  {ENOMEM, KS_MEMORY},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(rows); i++) {
		if (rows[i].number == number)
			return rows[i].err;
	}
	return KS_SYSTEM;
}

enum ks_err ks_ringmap_file_open(int directory, const char *name, int flags, uid_t owner, int *ret_fd,
				 uint64_t *ret_size)
{
	/* Not blocking: somebody may have put a fifo there. */
	int fd = openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_of(errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != owner || st.st_size < 0) {
		close(fd);
		return KS_FORBIDDEN;
	}
	*ret_fd = fd;
	*ret_size = (uint64_t)st.st_size;
	return KS_OK;
}

enum ks_err ks_ringmap_file_settle(int fd, mode_t mode, int64_t group)
{
	/* The group first: a mode that opens the file to a group is meant for the right one. */
	if (group >= 0 && fchown(fd, (uid_t)-1, (gid_t)group))
		return err_of(errno);
	return fchmod(fd, mode) ? err_of(errno) : KS_OK;
}

/* Memory for `size` bytes of a file at a boundary of huge pages, so that the kernel can map them as such; NULL and
 * errno. */
static void *map_aligned(int fd, uint64_t size, int protection)
{
	uint64_t room = size + HUGE_PAGE;
	unsigned char *reserved, *aligned;
	uint64_t before;

	if (size < HUGE_PAGE) {
		void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);

		return memory == MAP_FAILED ? NULL : memory;
	}
	reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return NULL;
	before = (HUGE_PAGE - (uintptr_t)reserved % HUGE_PAGE) % HUGE_PAGE;
	aligned = mmap(reserved + before, size, protection, MAP_SHARED | MAP_FIXED, fd, 0);
	if (aligned == MAP_FAILED) {
		int failed = errno;

		(void)munmap(reserved, room);
		errno = failed;
		return NULL;
	}
	if (before > 0)
		(void)munmap(reserved, before);
	/* What is left lies behind the last page of the file. */
	size = (size + PAGE - 1) / PAGE * PAGE;
	(void)munmap(aligned + size, room - before - size);
	return aligned;
}

/* Asks for the file in huge pages: with small ones half of the time of a lookup among millions of keys is the walk
 * through the page tables. In shared memory one may ask for it in any case (MADV_COLLAPSE, Linux 6.1); what is
 * refused stays in small pages. A stretch must have a page to be collapsed, the rest of it may be missing. */
static void take_huge_pages(int fd, uint64_t size)
{
	struct statfs about;
	uint64_t whole = size / HUGE_PAGE * HUGE_PAGE;
	void *memory;

	if (whole == 0 || fstatfs(fd, &about) || about.f_type != TMPFS_MAGIC)
		return;
	memory = map_aligned(fd, size, PROT_READ | PROT_WRITE);
	if (!memory)
		return;
	for (uint64_t at = 0; at < whole; at += HUGE_PAGE) {
		if (posix_fallocate(fd, (off_t)at, PAGE)) {
			whole = at;
			break;
		}
	}
	if (whole > 0)
		(void)madvise(memory, whole, MADV_COLLAPSE);
	(void)munmap(memory, size);
}

/* Gives the file its space; an errno. */
static int allocate(int fd, uint64_t size)
{
	int failed;

	if (ftruncate(fd, (off_t)size))
		return errno;
	take_huge_pages(fd, size);
	do {
		failed = posix_fallocate(fd, 0, (off_t)size);
	} while (failed == EINTR);
	return failed;
}

enum ks_err ks_ringmap_file_make(int directory, const char *name, mode_t mode, int64_t group, uint64_t size,
				 int *ret_fd)
{
	int fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), failed;
	enum ks_err err;

	if (fd < 0)
		return err_of(errno);
	failed = allocate(fd, size);
	err = failed ? err_of(failed) : ks_ringmap_file_settle(fd, mode, group);
	if (err != KS_OK) {
		close(fd);
		(void)unlinkat(directory, name, 0);
		return err;
	}
	*ret_fd = fd;
	return KS_OK;
}

enum ks_err ks_ringmap_file_map(int fd, uint64_t size, bool writable, void **ret_memory)
{
	void *memory;

	if (size == 0 || size > SIZE_MAX / 2)
		return KS_CORRUPT;
	memory = map_aligned(fd, size, writable ? PROT_READ | PROT_WRITE : PROT_READ);
	if (!memory)
		return err_of(errno);
	(void)madvise(memory, size, MADV_DONTDUMP);
	*ret_memory = memory;
	return KS_OK;
}

void ks_memory_populate(void *memory, uint64_t size, bool writable)
{
#if defined(MADV_POPULATE_READ) && defined(MADV_POPULATE_WRITE)
	(void)madvise(memory, size, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
#else
	(void)writable;
	(void)madvise(memory, size, MADV_WILLNEED);
#endif
}

enum ks_err ks_ringmap_boot_id(uint8_t ret_id[16])
{
	char text[64], digits[32];
	struct ks_buf hex = KS_BUF(digits);
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return KS_SYSTEM;
	n = read(fd, text, sizeof(text));
	close(fd);
	for (ssize_t i = 0; i < n && text[i] != '\n'; i++) {
		if (text[i] != '-')
			ks_buf_put_byte(&hex, text[i]);
	}
	return ks_buf_ok(&hex) && ks_hex_decode(ks_buf_str(&hex), true, ret_id, 16) ? KS_OK : KS_SYSTEM;
}
