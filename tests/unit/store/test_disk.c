/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is full, at every place where the store may write: nothing acknowledged is lost, nothing half-made is
 * kept, and the same handle goes on when there is room again. Each test runs in a process of its own. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "fixture.h"

enum { BATCH = 5, UNABLE = 77 };

/* Exits with the child's status told as a cmocka result. */
static void in_child(void (*body)(struct fixture *f), struct fixture *f)
{
	int status;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		body(f);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNABLE)
		skip();
	assert_int_equal(status, 0);
}

/* In a child: says what is wrong and ends. */
#define must(condition)                                                             \
	do {                                                                        \
		if (!(condition)) {                                                 \
			print_error("%s:%d: %s\n", __func__, __LINE__, #condition); \
			_exit(1);                                                   \
		}                                                                   \
	} while (0)

static bool commit_batch(struct ks_store *store, uint64_t first, enum ks_err *ret_err)
{
	enum ks_err err = ks_store_begin(store);

	for (uint64_t i = 0; err == KS_OK && i < BATCH; i++)
		err = create_key(store, first + i);
	if (err == KS_OK) {
		err = ks_store_commit(store);
	} else {
		/* Where an insert failed, a commit must not keep what was before it: that is the caller's to undo. */
		ks_store_rollback(store);
	}
	*ret_err = err;
	return err == KS_OK;
}

static enum ks_err count_audit(void *ctx, const struct ks_audit_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

static enum ks_err count_change(void *ctx, const struct ks_change *change)
{
	(void)change;
	++*(size_t *)ctx;
	return KS_OK;
}

/* Exactly `keys` creations are there, whole. */
static void must_hold(struct ks_store *store, size_t keys)
{
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .limit = SIZE_MAX};
	struct ks_audit_filter audit = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = SIZE_MAX};
	struct ks_store_counts counts;
	size_t listed = 0, entries = 0, changes = 0;

	must(ks_store_keys(store, &filter, take_no_key, &listed) == KS_OK && listed == keys);
	must(ks_store_audit(store, &audit, count_audit, &entries) == KS_OK && entries == keys);
	must(ks_store_changes_after(store, 0, SIZE_MAX, count_change, &changes) == KS_OK && changes == keys);
	must(ks_store_counts(store, &counts) == KS_OK && counts.keys == keys);
}

/* Commits until three fail one after the other; returns how many creations were acknowledged. */
static size_t fill(struct ks_store *store, uint64_t first)
{
	size_t keys = 0;

	for (int failures = 0; failures < 3;) {
		enum ks_err err;
		if (commit_batch(store, first + keys, &err)) {
			keys += BATCH;
			failures = 0;
			continue;
		}
		must(err == KS_DISK_FULL);
		must(strlen(ks_store_error(store)) > 0);
		failures++;
	}
	return keys;
}

static void reopen(struct fixture *f, size_t keys)
{
	ks_store_close(&f->store);
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_OK);
	must_hold(f->store, keys);
	ks_store_close(&f->store);
}

/* ---- a file that may not grow ---- */

static void set_limit(rlim_t bytes)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = bytes;
	must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void limited_files(struct fixture *f)
{
	enum ks_err err;

	signal(SIGXFSZ, SIG_IGN);
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_OK);
	make_world(f->store);
	set_limit(2 << 20);
	size_t keys = fill(f->store, FIRST_KEY);
	must(keys > 0);
	must_hold(f->store, keys);
	set_limit(RLIM_INFINITY);
	must(commit_batch(f->store, FIRST_KEY + keys, &err));
	must_hold(f->store, keys + BATCH);
	reopen(f, keys + BATCH);
}

static void a_file_that_may_not_grow(void **state)
{
	in_child(limited_files, *state);
}

/* ---- a small disk ---- */

static void mount_small(const struct fixture *f, const char *size)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%s,mode=0700", size);
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", f->folder, "tmpfs", 0, options) != 0)
		_exit(UNABLE);
}

static void put_filler(const struct fixture *f, size_t n)
{
	char path[160];
	char *bytes = calloc(1, n);

	must(bytes != NULL);
	snprintf(path, sizeof(path), "%s/filler", f->folder);
	FILE *file = fopen(path, "wb");
	must(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
	free(bytes);
}

static void remove_filler(const struct fixture *f)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/filler", f->folder);
	must(unlink(path) == 0);
}

static void small_disk(struct fixture *f)
{
	enum ks_err err;

	mount_small(f, "4m");
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_OK);
	make_world(f->store);
	put_filler(f, 512 << 10);
	size_t keys = fill(f->store, FIRST_KEY);
	must(keys > 0);
	must_hold(f->store, keys);
	remove_filler(f);
	must(commit_batch(f->store, FIRST_KEY + keys, &err));
	keys += BATCH;
	keys += fill(f->store, FIRST_KEY + keys);
	must_hold(f->store, keys);
	/* Full to the last page: closing cannot copy the log back, and loses nothing. */
	reopen(f, keys);
}

static void a_small_disk(void **state)
{
	in_child(small_disk, *state);
}

static void no_room_to_open(struct fixture *f)
{
	mount_small(f, "64k");
	put_filler(f, 52 << 10);
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_DISK_FULL);
	must(f->store == NULL);
	remove_filler(f);
	/* What is left of the attempt is no hindrance; a disk this small holds no schema, though. */
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_DISK_FULL);
}

static void a_disk_without_room_for_a_store(void **state)
{
	in_child(no_room_to_open, *state);
}

static void no_room_for_a_copy(struct fixture *f)
{
	char path[160];
	char uri[192];
	size_t keys = 0;

	mount_small(f, "4m");
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_OK);
	make_world(f->store);
	must(ks_store_begin(f->store) == KS_OK);
	for (; keys < 1000; keys++)
		must(create_key(f->store, FIRST_KEY + keys) == KS_OK);
	must(ks_store_commit(f->store) == KS_OK);
	reopen(f, keys);
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_OK);
	snprintf(path, sizeof(path), "%s/backup.db", f->folder);
	must(ks_store_backup(f->store, path, NULL, NULL) == KS_OK);
	ks_store_close(&f->store);
	put_filler(f, (3 << 20) + (900 << 10) - 2 * file_size(path) - (16 << 10));
	must(ks_store_open(f->uri, KS_STORE_WRITER, &f->store) == KS_OK);
	snprintf(path, sizeof(path), "%s/second.db", f->folder);
	must(ks_store_backup(f->store, path, NULL, NULL) == KS_DISK_FULL);
	must(access(path, F_OK) != 0 && errno == ENOENT);
	must_hold(f->store, keys);
	ks_store_close(&f->store);
	snprintf(path, sizeof(path), "%s/backup.db", f->folder);
	must(ks_store_restore(path, f->uri) == KS_DISK_FULL);
	reopen(f, keys);
	snprintf(uri, sizeof(uri), "sqlite:%s/other/keystile.db", f->folder);
	must(ks_store_restore(path, uri) == KS_DISK_FULL);
	remove_filler(f);
	must(ks_store_restore(path, f->uri) == KS_OK);
}

static void a_disk_without_room_for_a_copy(void **state)
{
	in_child(no_room_for_a_copy, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_IN_FOLDER(a_file_that_may_not_grow),
		TEST_IN_FOLDER(a_small_disk),
		TEST_IN_FOLDER(a_disk_without_room_for_a_store),
		TEST_IN_FOLDER(a_disk_without_room_for_a_copy),
	};

	return cmocka_run_group_tests_name("store/disk", tests, NULL, NULL);
}
