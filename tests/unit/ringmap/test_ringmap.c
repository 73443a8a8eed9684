/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "fixture.h"

#define KEYS 200

static char top[PATH_SIZE], dir[PATH_SIZE];

static int make_place(void **state)
{
	(void)state;
	place_make(memory_base(), top, dir);
	return 0;
}

static int make_place_on_disk(void **state)
{
	(void)state;
	place_make("/tmp", top, dir);
	return 0;
}

static int remove_place(void **state)
{
	(void)state;
	place_remove(top);
	return 0;
}

static enum ks_err open_with(const struct ks_ringmap_options *options, bool force, bool *ret_fresh)
{
	struct ks_ring_geometry geometry = small_geometry();
	struct ks_ringmap_writer *writer = NULL;
	enum ks_err err = ks_ringmap_writer_open(options, &geometry, force, &writer, ret_fresh);

	assert_int_equal(writer != NULL, err == KS_OK);
	ks_ringmap_writer_close(&writer);
	return err;
}

static enum ks_err try_read(const char *directory)
{
	struct ks_ringmap_reader *reader = NULL;
	enum ks_err err = ks_ringmap_reader_open(directory, &reader);

	assert_int_equal(reader != NULL, err == KS_OK);
	ks_ringmap_reader_close(&reader);
	return err;
}

/* ---- directories that are not to be trusted ---- */

static void strange_directories_are_refused(void **state)
{
	struct ks_ringmap_options options = options_of(dir);
	struct stat st;
	bool fresh;

	(void)state;
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	options.directory = "/proc/self/nowhere/ring";
	assert_true(open_with(&options, false, &fresh) != KS_OK);
	options.directory = dir;
	assert_int_equal(symlink(top, dir), 0);
	assert_int_equal(open_with(&options, false, &fresh), KS_FORBIDDEN);
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(open_with(&options, false, &fresh), KS_FORBIDDEN);
	assert_int_equal(try_read(dir), KS_FORBIDDEN);
	assert_int_equal(chmod(dir, 0700), 0);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	if (geteuid() == 0) {
		assert_int_equal(chown(dir, 65534, (gid_t)-1), 0);
		assert_int_equal(open_with(&options, false, &fresh), KS_FORBIDDEN);
		assert_int_equal(chown(dir, 0, (gid_t)-1), 0);
	}
	assert_int_equal(open_with(&options, false, &fresh), KS_OK);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void bad_options_are_refused(void **state)
{
	struct ks_ringmap_options options = options_of(dir);
	struct ks_ring_geometry bad = {0};
	struct ks_ringmap_writer *writer = NULL;
	static const char wide[KS_RING_DOMAIN_MAX + 1] = {'a'};
	bool fresh = true;

	(void)state;
	options.domain = ks_str_of(wide, sizeof(wide));
	assert_int_equal(open_with(&options, false, &fresh), KS_MALFORMED);
	options.domain = KS_STR("exa mple");
	assert_int_equal(open_with(&options, false, &fresh), KS_MALFORMED);
	options = options_of(dir);
	assert_int_equal(ks_ringmap_writer_open(&options, &bad, false, &writer, &fresh), KS_TOO_LARGE);
	assert_null(writer);
	assert_int_equal(generation_files(dir, 1) + generation_files(dir, 2), 0);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
}

static void modes_and_groups_are_as_asked(void **state)
{
	struct ks_ringmap_options options = options_of(dir);
	const struct {
		const char *name;
		mode_t alone, grouped;
	} files[] = {{"lock", 0600, 0600},
		     {"control", 0600, 0640},
		     {"1.ring", 0600, 0640},
		     {"1.usage", 0600, 0660},
		     {".", 0700, 0750}};
	char path[PATH_SIZE + 64];
	struct stat st;
	bool fresh;
	mode_t mask = umask(0);

	(void)state;
	for (int grouped = 0; grouped < 2; grouped++) {
		struct ks_ringmap_writer *writer;
		struct ks_ring_geometry geometry = small_geometry();

		options.group = grouped ? (int64_t)getegid() : -1;
		umask(grouped ? 077 : 0);
		assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, &fresh), KS_OK);
		/* The second time it is taken over, with other modes. */
		assert_int_equal(fresh, !grouped);
		assert_int_equal(ks_ringmap_writer_publish(writer), grouped ? KS_NOT_FOUND : KS_OK);
		for (size_t i = 0; i < KS_ARRAY_LEN(files); i++) {
			ring_path(dir, files[i].name, path);
			assert_int_equal(stat(path, &st), 0);
			assert_int_equal(st.st_mode & 07777, grouped ? files[i].grouped : files[i].alone);
			assert_int_equal(st.st_gid, getegid());
		}
		ks_ringmap_writer_close(&writer);
	}
	umask(mask);
}

static void a_second_writer_is_told(void **state)
{
	struct ks_ringmap_options options = options_of(dir);
	struct ks_ringmap_writer *writer = writer_open(dir, true, 3);
	struct ks_ringmap_reader *reader = reader_open(dir);
	bool fresh;
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(open_with(&options, false, &fresh), KS_BUSY);
	assert_int_equal(open_with(&options, true, &fresh), KS_BUSY);
	pid = fork();
	if (pid == 0)
		_exit(open_with(&options, true, &fresh) == KS_BUSY ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(reader_state(reader, 1) & KS_KEY_LIVE);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
	assert_int_equal(open_with(&options, false, &fresh), KS_OK);
	assert_false(fresh);
}

/* ---- what a reader sees, and when ---- */

static void nothing_is_seen_before_the_first_publish(void **state)
{
	struct ks_ringmap_options options = options_of(dir);
	struct ks_ring_geometry geometry = small_geometry(), larger = geometry;
	struct ks_ringmap_writer *writer;
	struct ks_ringmap_reader *reader;
	bool fresh;

	(void)state;
	assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, &fresh), KS_OK);
	assert_true(fresh);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	world_fill(ks_ringmap_writer_ring(writer), 10);
	/* It may even grow. */
	larger.key_slots *= 2;
	assert_int_equal(ks_ringmap_writer_grow(writer, &larger, 0), KS_OK);
	assert_int_equal(ks_ringmap_writer_ring(writer)->header->geometry.key_slots, larger.key_slots);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	assert_null(ks_ringmap_writer_previous(writer));
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_NOT_FOUND);
	reader = reader_open(dir);
	assert_true(reader_state(reader, 9) & KS_KEY_LIVE);
	assert_int_equal(reader_state(reader, 10), 0);
	assert_int_equal(generation_files(dir, 1), 0);
	assert_int_equal(generation_files(dir, 2), 2);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

static void an_unpublished_generation_leaves_no_files(void **state)
{
	struct ks_ringmap_options options = options_of(dir);
	bool fresh;

	(void)state;
	assert_int_equal(open_with(&options, false, &fresh), KS_OK);
	assert_true(fresh);
	assert_int_equal(generation_files(dir, 1), 0);
	assert_int_equal(open_with(&options, false, &fresh), KS_OK);
	assert_true(fresh);
}

static void changes_are_seen_at_once(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);

	(void)state;
	ks_ringmap_reader_prefault(reader);
	for (uint64_t i = 0; i < KEYS; i++) {
		assert_true(reader_state(reader, i) & KS_KEY_LIVE);
		assert_int_equal(put_key(ks_ringmap_writer_ring(writer), i, true), KS_OK);
		assert_true(reader_state(reader, i) & KS_KEY_REVOKED);
	}
	ks_ringmap_writer_close(&writer);
	/* The ring outlives its writer. */
	assert_true(reader_state(reader, 0) & KS_KEY_REVOKED);
	ks_ringmap_reader_close(&reader);
}

static void growth_is_followed(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir), *idle = reader_open(dir);
	uint64_t keys = KEYS;

	(void)state;
	for (int round = 0; round < 5; round++) {
		struct ks_ring_geometry next = ks_ring_plan_growth(ks_ringmap_writer_ring(writer), 5000, 0, 0);

		assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
		for (uint64_t i = 0; i < 300; i++)
			assert_int_equal(put_key(ks_ringmap_writer_ring(writer), keys++, false), KS_OK);
		for (uint64_t i = 0; i < keys; i++)
			assert_true(reader_state(reader, i) & KS_KEY_LIVE);
		assert_int_equal(generation_files(dir, (uint64_t)round + 1), 0);
	}
	/* One that slept through five of them. */
	assert_true(reader_state(idle, keys - 1) & KS_KEY_LIVE);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_reader_close(&idle);
	ks_ringmap_writer_close(&writer);
	writer = writer_open(dir, false, 0);
	assert_int_equal(atomic_load(&ks_ringmap_writer_ring(writer)->header->key_count), keys);
	ks_ringmap_writer_close(&writer);
}

static void a_growth_that_fails_changes_nothing(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ring_geometry small = small_geometry();

	(void)state;
	small.key_slots = 100;
	assert_int_equal(ks_ringmap_writer_grow(writer, &small, 0), KS_FULL);
	small.key_slots = 0;
	assert_int_equal(ks_ringmap_writer_grow(writer, &small, 0), KS_TOO_LARGE);
	assert_int_equal(put_key(ks_ringmap_writer_ring(writer), KEYS, false), KS_OK);
	assert_true(reader_state(reader, KEYS) & KS_KEY_LIVE);
	assert_int_equal(generation_files(dir, 1), 2);
	assert_int_equal(generation_files(dir, 2) + generation_files(dir, 3), 0);
	assert_null(ks_ringmap_writer_previous(writer));
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

static void a_rebuild_takes_over_when_it_is_published(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ring_geometry geometry = small_geometry();
	struct ks_ring *ring, *again;

	(void)state;
	assert_int_equal(ks_ringmap_writer_begin_rebuild(writer, &geometry, &again), KS_OK);
	/* Begun again: the first is discarded. */
	assert_int_equal(ks_ringmap_writer_begin_rebuild(writer, &geometry, &ring), KS_OK);
	assert_int_equal(generation_files(dir, 2), 0);
	world_fill(ring, 50);
	assert_true(reader_state(reader, KEYS - 1) & KS_KEY_LIVE);
	assert_ptr_not_equal(ks_ringmap_writer_ring(writer), ring);
	assert_int_equal(put_key(ring, 50, false), KS_OK);
	assert_true(reader_state(reader, KEYS - 1) & KS_KEY_LIVE);
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	assert_ptr_equal(ks_ringmap_writer_ring(writer)->header, ring->header);
	assert_int_equal(reader_state(reader, KEYS - 1), 0);
	assert_true(reader_state(reader, 50) & KS_KEY_LIVE);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
	writer = writer_open(dir, false, 0);
	assert_int_equal(atomic_load(&ks_ringmap_writer_ring(writer)->header->key_count), 51);
	ks_ringmap_writer_close(&writer);
}

/* ---- counters over generations ---- */

static uint64_t drain_ring(const struct ks_ring *ring, uint64_t n)
{
	struct ks_usage_item items[16];
	uint64_t cursor = 0, slot = 0, sum = 0;
	const struct ks_ring_key *key = find_key(ring, n, &slot);

	assert_non_null(key);
	do {
		size_t got = ks_usage_drain(ring->usage, &cursor, items, KS_ARRAY_LEN(items));

		for (size_t i = 0; i < got; i++) {
			assert_int_equal(items[i].slot, slot);
			sum += items[i].count;
		}
	} while (cursor != 0);
	return sum;
}

static void count_by_reader(struct ks_ringmap_reader *reader, uint64_t n, unsigned times)
{
	const struct ks_ring *ring = ks_ringmap_reader_ring(reader);
	const struct ks_addr address = {{1}};
	uint64_t slot = 0;

	assert_non_null(find_key(ring, n, &slot));
	for (unsigned i = 0; i < times; i++)
		ks_usage_count(ring->usage, slot, KS_REASON_OK, (uint16_t)(i % 3), 1000, &address);
}

static void counts_survive_growth_and_restart(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ring_geometry next = small_geometry();

	(void)state;
	next.key_slots = 1777;
	count_by_reader(reader, 5, 10);
	assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
	assert_non_null(ks_ringmap_writer_previous(writer));
	count_by_reader(reader, 5, 7);
	assert_int_equal(drain_ring(ks_ringmap_writer_previous(writer), 5), 10);
	assert_int_equal(drain_ring(ks_ringmap_writer_ring(writer), 5), 7);
	ks_ringmap_writer_drop_previous(writer);
	assert_null(ks_ringmap_writer_previous(writer));
	/* Not drained in time: two growths later, and after a restart, they are still there. */
	count_by_reader(reader, 5, 4);
	next.key_slots = 2777;
	assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
	count_by_reader(reader, 5, 5);
	next.key_slots = 3777;
	assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
	count_by_reader(reader, 5, 6);
	ks_ringmap_writer_close(&writer);
	count_by_reader(reader, 5, 8);
	writer = writer_open(dir, false, 0);
	assert_int_equal(drain_ring(ks_ringmap_writer_ring(writer), 5), 4 + 5 + 6 + 8);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

static void limits_survive_growth_rebuild_and_restart(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, 1);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ring_geometry next = small_geometry();
	struct ks_ring_key_record limited = key_record(900, ORG_A);
	struct ks_ring *ring;
	struct ks_rate rate;

	(void)state;
	limited.grant = GRANT_LIMITED;
	assert_int_equal(ks_ring_put_key(ks_ringmap_writer_ring(writer), &limited), KS_OK);
	assert_true(ks_usage_take(ks_ringmap_reader_ring(reader)->usage, limited.id, 4, 10, 5000, &rate));
	assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
	assert_true(ks_usage_take(ks_ringmap_reader_ring(reader)->usage, limited.id, 4, 10, 5000, &rate));
	assert_int_equal(ks_ringmap_writer_begin_rebuild(writer, &next, &ring), KS_OK);
	world_fill(ring, 1);
	assert_int_equal(ks_ring_put_key(ring, &limited), KS_OK);
	assert_true(ks_usage_take(ks_ringmap_reader_ring(reader)->usage, limited.id, 4, 10, 5000, &rate));
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	ks_ringmap_writer_close(&writer);
	writer = writer_open(dir, false, 0);
	assert_true(ks_usage_take(ks_ringmap_reader_ring(reader)->usage, limited.id, 4, 10, 5000, &rate));
	assert_int_equal(rate.remaining, 0);
	assert_false(ks_usage_take(ks_ringmap_writer_ring(writer)->usage, limited.id, 4, 10, 5000, &rate));
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

/* ---- files that are not what they should be ---- */

/* Opens anew over what a test has done to the files: fresh, and readers of the old keep `old_lives` until the new
 * is published. */
static void expect_rebuild(struct ks_ringmap_reader *reader, bool old_lives)
{
	struct ks_ringmap_options options = options_of(dir);
	struct ks_ring_geometry geometry = small_geometry();
	struct ks_ringmap_writer *writer;
	bool fresh = false;

	assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, &fresh), KS_OK);
	assert_true(fresh);
	assert_int_equal(ks_ringmap_reader_ring(reader) != NULL, old_lives);
	if (old_lives)
		assert_true(reader_state(reader, 1) & KS_KEY_LIVE);
	world_fill(ks_ringmap_writer_ring(writer), 0);
	assert_int_equal(put_key(ks_ringmap_writer_ring(writer), 7777, false), KS_OK);
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	for (int i = 0; i < 64; i++)
		(void)ks_ringmap_reader_ring(reader);
	assert_int_equal(reader_state(reader, 1), 0);
	assert_true(reader_state(reader, 7777) & KS_KEY_LIVE);
	ks_ringmap_writer_close(&writer);
}

static void torn_files_are_rebuilt(void **state)
{
	static const struct {
		const char *name;
		off_t size;
	} tears[] = {{"ring", 0}, {"ring", 100}, {"ring", 4096}, {"usage", 0}, {"usage", 4096}, {"usage", 10}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(tears); i++) {
		struct ks_ringmap_writer *writer = writer_open(dir, true, 5);
		uint64_t number = ks_ringmap_writer_ring(writer)->header->generation;
		char path[PATH_SIZE + 64];

		ks_ringmap_writer_close(&writer);
		assert_true(snprintf(path, sizeof(path), "%s/%llu.%s", dir, (unsigned long long)number, tears[i].name)
			    > 0);
		assert_int_equal(truncate(path, tears[i].size), 0);
		assert_int_equal(try_read(dir), KS_CORRUPT);
		/* Nobody has it mapped. */
		writer = writer_open(dir, true, 3);
		assert_int_equal(try_read(dir), KS_OK);
		ks_ringmap_writer_close(&writer);
		place_remove(dir);
	}
}

static void damaged_records_are_rebuilt_while_readers_go_on(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	uint64_t slot = 0;

	(void)state;
	assert_non_null(find_key(ks_ringmap_writer_ring(writer), 3, &slot));
	ks_ringmap_writer_ring(writer)->keys[slot].check ^= 1;
	ks_ringmap_writer_close(&writer);
	expect_rebuild(reader, true);
	ks_ringmap_reader_close(&reader);
}

static void missing_files_are_rebuilt(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	char path[PATH_SIZE + 64];

	(void)state;
	ks_ringmap_writer_close(&writer);
	ring_path(dir, "1.ring", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	expect_rebuild(reader, true);
	ks_ringmap_reader_close(&reader);
}

static void another_version_is_rebuilt(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);

	(void)state;
	ks_ringmap_writer_ring(writer)->header->version++;
	ks_ringmap_writer_close(&writer);
	assert_int_equal(try_read(dir), KS_VERSION);
	expect_rebuild(reader, true);
	ks_ringmap_reader_close(&reader);
}

static void an_incomplete_generation_is_rebuilt(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);

	(void)state;
	atomic_store(&ks_ringmap_writer_ring(writer)->header->complete, 0);
	ks_ringmap_writer_close(&writer);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	expect_rebuild(reader, true);
	ks_ringmap_reader_close(&reader);
}

static void another_domain_is_rebuilt(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_options options = options_of(dir);
	bool fresh;

	(void)state;
	ks_ringmap_writer_close(&writer);
	options.domain = KS_STR("EXAMPLE.com");
	assert_int_equal(open_with(&options, false, &fresh), KS_OK);
	assert_false(fresh);
	options.domain = KS_STR("example.org");
	assert_int_equal(open_with(&options, false, &fresh), KS_OK);
	assert_true(fresh);
}

/* Its keys are nobody's any more: readers have nothing from the moment on at which the new store's writer opens. */
static void another_stores_ring_ends_at_once(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ring_header *h = ks_ringmap_writer_ring(writer)->header;

	(void)state;
	h->store_id[3] ^= 1;
	h->header_crc = ks_ring_header_crc(h);
	ks_ringmap_writer_close(&writer);
	expect_rebuild(reader, false);
	ks_ringmap_reader_close(&reader);
}

static void forced_fresh_is_fresh(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct ks_ringmap_options options = options_of(dir);
	bool fresh = false;

	(void)state;
	ks_ringmap_writer_close(&writer);
	assert_int_equal(open_with(&options, true, &fresh), KS_OK);
	assert_true(fresh);
	/* It was never published: what readers had is still what they have, and what the next writer takes over. */
	assert_true(reader_state(reader, 1) & KS_KEY_LIVE);
	writer = writer_open(dir, false, 0);
	ks_ringmap_writer_close(&writer);
	ks_ringmap_reader_close(&reader);
}

/* Files of a boot before this one may lack any change; neither writer nor reader touches them. */
static void another_boots_files_are_not_used(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ring_header *h = ks_ringmap_writer_ring(writer)->header;
	struct ks_ringmap_reader *reader = reader_open(dir);
	uint8_t boot[16];

	(void)state;
	assert_int_equal(ks_ringmap_boot_id(boot), KS_OK);
	assert_true(ks_ct_equal(h->boot_id, boot, 16));
	/* The ring alone is of another boot. */
	h->boot_id[0] ^= 1;
	h->header_crc = ks_ring_header_crc(h);
	ks_ringmap_writer_close(&writer);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	expect_rebuild(reader, false);
	/* Control too. */
	boot[0] ^= 1;
	patch_file(dir, "control", offsetof(struct ks_control, boot_id), boot, 16);
	assert_int_equal(try_read(dir), KS_NOT_FOUND);
	writer = writer_open(dir, true, 4);
	for (int i = 0; i < 64; i++)
		(void)ks_ringmap_reader_ring(reader);
	/* The reader, who lives on in this test although its boot is said to be over, has found the new control
	 * file. */
	assert_int_equal(reader_state(reader, 7777), 0);
	assert_true(reader_state(reader, 2) & KS_KEY_LIVE);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

static void a_damaged_control_file_is_replaced(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	const uint64_t magic = 5;
	const uint32_t version = 9;
	char path[PATH_SIZE + 64];

	(void)state;
	ks_ringmap_writer_close(&writer);
	patch_file(dir, "control", offsetof(struct ks_control, version), &version, sizeof(version));
	assert_int_equal(try_read(dir), KS_VERSION);
	patch_file(dir, "control", 0, &magic, sizeof(magic));
	assert_int_equal(try_read(dir), KS_CORRUPT);
	expect_rebuild(reader, false);
	ks_ringmap_reader_close(&reader);
	ring_path(dir, "control", path);
	assert_int_equal(truncate(path, 17), 0);
	assert_int_equal(try_read(dir), KS_CORRUPT);
	writer = writer_open(dir, true, 4);
	ks_ringmap_writer_close(&writer);
	/* A link in its place leads nowhere. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(try_read(dir), KS_FORBIDDEN);
	writer = writer_open(dir, true, 4);
	assert_int_equal(try_read(dir), KS_OK);
	ks_ringmap_writer_close(&writer);
}

/* Somebody removes the whole directory while no writer runs; the next writer starts at generation 1 again, and so
 * does the reader's number. */
static void a_removed_directory_is_noticed(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, KEYS);
	struct ks_ringmap_reader *reader = reader_open(dir);
	struct timespec start, now;

	(void)state;
	ks_ringmap_writer_close(&writer);
	place_remove(dir);
	assert_true(reader_state(reader, 1) & KS_KEY_LIVE);
	writer = writer_open(dir, true, 0);
	assert_int_equal(ks_ringmap_writer_ring(writer)->header->generation, 1);
	assert_int_equal(put_key(ks_ringmap_writer_ring(writer), 7777, false), KS_OK);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_true(now.tv_sec - start.tv_sec < 60);
	} while (reader_state(reader, 7777) == 0);
	assert_int_equal(reader_state(reader, 1), 0);
	ks_ringmap_reader_close(&reader);
	ks_ringmap_writer_close(&writer);
}

static void strays_are_removed(void **state)
{
	struct ks_ringmap_writer *writer = writer_open(dir, true, 5);
	const char *const strays[] = {"2.ring", "2.usage", "77.ring", "18446744073709551615.usage", "control.new"};
	const char *const others[] = {"notes.txt", "x.ring", "3.ring.bak", "99999999999999999999.ring"};
	char path[PATH_SIZE + 64];

	(void)state;
	ks_ringmap_writer_close(&writer);
	for (size_t i = 0; i < KS_ARRAY_LEN(strays); i++) {
		ring_path(dir, strays[i], path);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(others); i++) {
		ring_path(dir, others[i], path);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	writer = writer_open(dir, false, 0);
	for (size_t i = 0; i < KS_ARRAY_LEN(strays) - 1; i++) {
		ring_path(dir, strays[i], path);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(others); i++) {
		ring_path(dir, others[i], path);
		assert_int_equal(access(path, F_OK), 0);
	}
	ks_ringmap_writer_close(&writer);
}

static void closing_nothing_is_fine(void **state)
{
	struct ks_ringmap_writer *writer = NULL;
	struct ks_ringmap_reader *reader = NULL;

	(void)state;
	ks_ringmap_writer_close(&writer);
	ks_ringmap_reader_close(&reader);
	assert_null(writer);
	assert_null(reader);
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
#define ON_DISK(test) {#test " on disk", test, make_place_on_disk, remove_place, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(strange_directories_are_refused),
		PLACED(bad_options_are_refused),
		PLACED(modes_and_groups_are_as_asked),
		PLACED(a_second_writer_is_told),
		PLACED(nothing_is_seen_before_the_first_publish),
		PLACED(an_unpublished_generation_leaves_no_files),
		PLACED(changes_are_seen_at_once),
		ON_DISK(changes_are_seen_at_once),
		PLACED(growth_is_followed),
		ON_DISK(growth_is_followed),
		PLACED(a_growth_that_fails_changes_nothing),
		PLACED(a_rebuild_takes_over_when_it_is_published),
		PLACED(counts_survive_growth_and_restart),
		PLACED(limits_survive_growth_rebuild_and_restart),
		PLACED(torn_files_are_rebuilt),
		PLACED(damaged_records_are_rebuilt_while_readers_go_on),
		PLACED(missing_files_are_rebuilt),
		PLACED(another_version_is_rebuilt),
		PLACED(an_incomplete_generation_is_rebuilt),
		PLACED(another_domain_is_rebuilt),
		PLACED(another_stores_ring_ends_at_once),
		PLACED(forced_fresh_is_fresh),
		PLACED(another_boots_files_are_not_used),
		PLACED(a_damaged_control_file_is_replaced),
		PLACED(a_removed_directory_is_noticed),
		PLACED(strays_are_removed),
		cmocka_unit_test(closing_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
