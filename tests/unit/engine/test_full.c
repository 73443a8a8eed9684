/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are full: of the truth, and of the ring. Needs to mount a small file system of its own, in a mount
 * namespace of its own; where that is not allowed the tests say so and are skipped. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support.h"

/* A file system of `size` at `path`; false where that may not be. */
static bool mount_small(const char *path, const char *size)
{
	char options[64];

	(void)snprintf(options, sizeof(options), "size=%s,mode=0700", size);
	return mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

static bool may_mount(void)
{
	static int answer = -1;

	if (answer < 0)
		answer = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return answer != 0;
}

/* Fills what is left but `spare` bytes. */
static void fill(const char *directory, off_t spare)
{
	char path[300], block[4096];
	off_t size = 0;
	int fd;

	memset(block, 'x', sizeof(block));
	(void)snprintf(path, sizeof(path), "%s/ballast", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
		size += (off_t)sizeof(block);
	assert_int_equal(ftruncate(fd, size > spare ? size - spare : 0), 0);
	close(fd);
}

static void empty(const char *directory)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/ballast", directory);
	assert_int_equal(unlink(path), 0);
}

#define MANY 500

static struct ks_key_made many[MANY];

static enum ks_err step_many(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const struct ks_key_input *input = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	for (int i = 0; i < MANY; i++)
		KS_TRY(ks_keys_create(tx, &local, input, &many[i], refusal));
	return KS_OK;
}

static void a_full_disk_of_the_truth(void **state)
{
	struct world w;
	struct ks_key_made before, made;
	struct ks_key_input input = key_input("k", 0, "contacts:read");
	char data[200];
	enum ks_err err = KS_OK;
	unsigned failed = 0;

	(void)state;
	if (!may_mount())
		skip();
	world_prepare(&w);
	(void)snprintf(data, sizeof(data), "%s/data", w.data);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_true(mount_small(data, "8m"));
	w.options.data_directory = data;
	w.options.usage_flush_ms = 3600000;
	assert_int_equal(world_open(&w), KS_OK);
	before = make_key(&w, 0, "contacts:read");
	for (int round = 0; round < 3; round++) {
		assert_int_equal(world_change(&w, step_many, &input), KS_OK);
		for (size_t i = 0; i < MANY; i++)
			assert_int_equal(ask(&w, many[i].token), KS_REASON_OK);
	}
	fill(data, 65536);
	for (int i = 0; i < 3000 && failed < 20; i++) {
		err = create_key(&w, NULL, &input, &made);
		failed += err != KS_OK;
		if (err != KS_OK && err != KS_DISK_FULL)
			fail_msg("%s", ks_err_name(err));
	}
	assert_int_equal(failed, 20);
	assert_null(w.refusal.code);
	/* Decisions go on, and nothing is half there. */
	assert_int_equal(ask(&w, before.token), KS_REASON_OK);
	assert_in_step(&w);
	/* Uses are counted and wait: those of so many keys need more room than there is. */
	assert_int_equal(ks_engine_flush_usage(w.engine), KS_DISK_FULL);
	empty(data);
	assert_int_equal(create_key(&w, NULL, &input, &made), KS_OK);
	assert_int_equal(ask(&w, made.token), KS_REASON_OK);
	assert_int_equal(ks_engine_flush_usage(w.engine), KS_OK);
	assert_in_step(&w);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(ask(&w, made.token), KS_REASON_OK);
	assert_in_step(&w);
	world_close(&w);
	assert_int_equal(umount2(data, MNT_DETACH), 0);
	world_free(&w);
}

static void a_full_memory_of_the_ring(void **state)
{
	struct world w;
	struct ks_key_made first, made;
	struct ks_key_input input = key_input("k", 0, "contacts:read");
	enum ks_err err = KS_OK;
	uint64_t org;

	(void)state;
	if (!may_mount())
		skip();
	world_prepare(&w);
	assert_int_equal(mkdir(w.ring, 0700), 0);
	/* Room for one generation and not for the next. */
	assert_true(mount_small(w.ring, "5m"));
	if (world_open(&w) != KS_OK)
		fail_msg("%s", w.problem.text);
	fill(w.ring, 0);
	org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	first = make_key(&w, 0, "contacts:read");
	for (int i = 0; i < 1000 && err == KS_OK; i++)
		err = world_change(&w, step_many, &input);
	assert_int_equal(err, KS_DISK_FULL);
	assert_in_step(&w);
	/* What takes away still can. */
	assert_int_equal(revoke_key(&w, NULL, first.id), KS_OK);
	assert_int_equal(ask(&w, first.token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(suspend_tenant(&w, NULL, org, true), KS_OK);
	assert_in_step(&w);
	empty(w.ring);
	assert_int_equal(mount("tmpfs", w.ring, "tmpfs", MS_REMOUNT, "size=64m,mode=0700"), 0);
	/* It tries again after a while. */
	for (int i = 0; i < 10000000 && err != KS_OK; i++)
		err = create_key(&w, NULL, &input, &made);
	assert_int_equal(err, KS_OK);
	assert_int_equal(ask(&w, made.token), KS_REASON_OK);
	assert_in_step(&w);
	world_close(&w);
	assert_int_equal(umount2(w.ring, MNT_DETACH), 0);
	world_free(&w);
}

/* Where memory has no room the ring stands beside the truth. */
static void a_place_of_our_own_choice_gives_way(void **state)
{
	struct world w;
	struct stat st;
	char path[300];

	(void)state;
	if (!may_mount())
		skip();
	world_prepare(&w);
	w.options.ring_directory = NULL;
	assert_true(mount_small("/dev/shm", "1m"));
	assert_int_equal(world_open(&w), KS_OK);
	(void)snprintf(path, sizeof(path), "%s/ring-files", w.data);
	assert_int_equal(stat(path, &st), 0);
	assert_string_equal(ks_engine_ring_directory(w.engine), path);
	assert_int_equal(umount2("/dev/shm", MNT_DETACH), 0);
	assert_in_step(&w);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_of_the_truth),
		cmocka_unit_test(a_full_memory_of_the_ring),
		cmocka_unit_test(a_place_of_our_own_choice_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
