/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/usage_journal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "model/model.h"

#define MAGIC UINT64_C(0x6c6e726a6773756b) /* "kusgjrnl" */
#define VERSION 1u

struct ks_usage_journal_file {
	uint64_t magic;
	uint32_t version;
	uint32_t entry_size;
	uint8_t store_id[16];
	_Atomic uint64_t batch;
	_Atomic uint64_t count;      /* entries that are whole */
	struct ks_usage_entry entries[KS_USAGE_JOURNAL_MAX];
};

static bool is_ours(const struct ks_usage_journal_file *f, const uint8_t store_id[16])
{
	return f->magic == MAGIC && f->version == VERSION && f->entry_size == sizeof(struct ks_usage_entry)
	       && ks_ct_equal(f->store_id, store_id, sizeof(f->store_id))
	       && atomic_load_explicit(&f->count, memory_order_acquire) <= KS_USAGE_JOURNAL_MAX;
}

static void begin(struct ks_usage_journal_file *f, const uint8_t store_id[16])
{
	atomic_store_explicit(&f->count, 0, memory_order_release);
	atomic_store_explicit(&f->batch, 1, memory_order_release);
	f->version = VERSION;
	f->entry_size = sizeof(struct ks_usage_entry);
	memcpy(f->store_id, store_id, sizeof(f->store_id));
	f->magic = MAGIC;
}

/* Nobody else may have had a hand in it: ours, a plain file, for nobody else to write to. Its blocks are there before
 * it is mapped: a full disk must not be met in the middle of a count. */
static void *map_file(const char *directory)
{
	char path[PATH_MAX];
	struct stat st;
	void *memory = NULL;
	int n = snprintf(path, sizeof(path), "%s/usage.journal", directory);
	int fd = n > 0 && n < PATH_MAX ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0
	    && posix_fallocate(fd, 0, sizeof(struct ks_usage_journal_file)) == 0)
		memory = mmap(NULL, sizeof(struct ks_usage_journal_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return memory == MAP_FAILED ? NULL : memory;
}

enum ks_err ks_usage_journal_open(const char *directory, const uint8_t store_id[16], bool anew,
				  struct ks_usage_journal *ret_journal)
{
	struct ks_usage_journal j = {.size = sizeof(struct ks_usage_journal_file)};
	void *memory = map_file(directory);

	j.kept = memory != NULL;
	if (!memory)
		memory = mmap(NULL, j.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return KS_MEMORY;
	j.file = memory;
	if (anew || !is_ours(j.file, store_id))
		begin(j.file, store_id);
	*ret_journal = j;
	return KS_OK;
}

void ks_usage_journal_close(struct ks_usage_journal *journal)
{
	if (journal->file)
		(void)munmap(journal->file, journal->size);
	*journal = (struct ks_usage_journal){0};
}

uint64_t ks_usage_journal_batch(const struct ks_usage_journal *journal)
{
	return atomic_load_explicit(&journal->file->batch, memory_order_acquire);
}

size_t ks_usage_journal_count(const struct ks_usage_journal *journal)
{
	return (size_t)atomic_load_explicit(&journal->file->count, memory_order_acquire);
}

size_t ks_usage_journal_read(const struct ks_usage_journal *journal, struct ks_usage_entry *ret_entries)
{
	size_t count = ks_usage_journal_count(journal), kept = 0;

	for (size_t i = 0; i < count; i++) {
		const struct ks_usage_entry *e = &journal->file->entries[i];

		if (e->key > 0 && e->key <= INT64_MAX && e->minute >= 0 && e->reason < KS_REASON_COUNT && e->count > 0)
			ret_entries[kept++] = *e;
	}
	return kept;
}

void ks_usage_journal_add(struct ks_usage_journal *journal, const struct ks_usage_entry *entry)
{
	struct ks_usage_journal_file *f = journal->file;
	uint64_t count = atomic_load_explicit(&f->count, memory_order_relaxed);

	f->entries[count] = *entry;
	/* It counts when it is whole: a process that is killed leaves its memory in the order of its stores. */
	atomic_store_explicit(&f->count, count + 1, memory_order_release);
}

void ks_usage_journal_next(struct ks_usage_journal *journal, uint64_t batch)
{
	/* Killed between the two: no entries of the old batch, which the truth has. */
	atomic_store_explicit(&journal->file->count, 0, memory_order_release);
	atomic_store_explicit(&journal->file->batch, batch, memory_order_release);
}
