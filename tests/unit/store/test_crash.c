/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 at random instants while a process commits: every commit that it acknowledged is there, and none in part. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "fixture.h"
#include "store/audit_tree.h"

#define ROUNDS 60
#define BATCHES_MAX 200000

/* A batch of `n` creations; its keys have ids batch << 8 | i and tell n by their expiry. */
static uint64_t batch_id(uint64_t batch, uint64_t i)
{
	return batch << 8 | i;
}

static enum ks_err commit_batch(struct ks_store *store, uint64_t batch, uint64_t n)
{
	KS_TRY(ks_store_begin(store));
	for (uint64_t i = 0; i < n; i++) {
		struct ks_key_row key = key_row(batch_id(batch, i), ORG_A, ORG_A, 1 + i % 2);
		struct ks_audit_row audit = audit_row(key.id, ORG_A, ORG_A);
		uint64_t seq;
		key.expires_at = (int64_t)n;
		/* Each as a request of a group commit; some are undone. */
		KS_TRY(ks_store_savepoint(store));
		KS_TRY(ks_store_key_insert(store, &key));
		KS_TRY(ks_store_change_append(store, KS_CHANGE_KEY, key.id, 0, &seq));
		KS_TRY(ks_store_audit_append(store, &audit));
		KS_TRY(ks_store_release(store));
		if (i % 3 == 0) {
			key.id = batch_id(batch, 200 + i % 50);
			KS_TRY(ks_store_savepoint(store));
			KS_TRY(ks_store_key_insert(store, &key));
			ks_store_rollback_to(store);
		}
	}
	return ks_store_commit(store);
}

/* Commits and acknowledges until it is killed. */
static void child(struct fixture *f, int acknowledge, uint64_t first_batch, uint64_t seed)
{
	struct ks_store *store;

	random_state = seed | 1;
	if (ks_store_open(f->uri, KS_STORE_WRITER, &store) != KS_OK)
		_exit(2);
	for (uint64_t batch = first_batch;; batch++) {
		if (commit_batch(store, batch, 1 + random64() % 20) != KS_OK)
			_exit(3);
		if (write(acknowledge, &batch, sizeof(batch)) != sizeof(batch))
			_exit(4);
	}
}

/* What a store holds, by batch. */
struct tally {
	unsigned char keys[BATCHES_MAX];
	unsigned char expected[BATCHES_MAX];
	unsigned char audit[BATCHES_MAX];
	unsigned char changes[BATCHES_MAX];
	uint64_t last;
};

static struct tally tally;

static enum ks_err tally_key(void *ctx, const struct ks_key_core *core)
{
	uint64_t batch = core->id >> 8;

	(void)ctx;
	assert_true(batch < BATCHES_MAX && (core->id & 255) < 200);
	tally.keys[batch]++;
	tally.expected[batch] = (unsigned char)core->ends_ms;
	tally.last = batch;
	return KS_OK;
}

static enum ks_err tally_audit(void *ctx, const struct ks_audit_row *row)
{
	(void)ctx;
	assert_true(row->id >> 8 < BATCHES_MAX);
	tally.audit[row->id >> 8]++;
	return KS_OK;
}

static enum ks_err tally_change(void *ctx, const struct ks_change *change)
{
	(void)ctx;
	assert_true(change->object >> 8 < BATCHES_MAX);
	tally.changes[change->object >> 8]++;
	return KS_OK;
}

struct leaves {
	struct ks_merkle_edge edge;
};

static enum ks_err take_leaf(void *ctx, const struct ks_audit_row *row)
{
	struct leaves *leaves = ctx;
	struct ks_digest leaf;

	assert_int_equal(row->tree, ORG_A);
	assert_int_equal(row->position, leaves->edge.size);
	assert_ok(ks_audit_row_leaf(row, &leaf));
	assert_ok(ks_merkle_edge_add(&leaves->edge, 0, &leaf));
	return KS_OK;
}

/* The tree is the one of the entries that are there, and goes on from it. */
static void check_tree(struct ks_store *store)
{
	struct ks_audit_filter all = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = SIZE_MAX, .oldest_first = true};
	struct ks_audit_tree *tree = malloc(sizeof(*tree));
	struct ks_merkle_source source = {ks_store_audit_node, tree};
	struct leaves leaves = {{0}};
	struct ks_digest root, expected;

	assert_non_null(tree);
	assert_ok(ks_store_audit(store, &all, take_leaf, &leaves));
	assert_ok(ks_store_audit_tree(store, ORG_A, tree));
	assert_int_equal(tree->size, leaves.edge.size);
	assert_ok(ks_merkle_root(&source, tree->size, &root));
	assert_ok(ks_merkle_edge_root(&leaves.edge, &expected));
	assert_true(ks_merkle_same(&root, &expected));
	free(tree);
}

/* Every batch is whole or not there; those up to `acknowledged` are there. Returns the last one. */
static uint64_t check(struct ks_store *store, uint64_t acknowledged)
{
	struct ks_audit_filter all = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = SIZE_MAX};
	struct ks_store_counts counts;
	uint64_t keys = 0;

	memset(&tally, 0, sizeof(tally));
	assert_ok(ks_store_key_cores(store, 0, UINT64_MAX, tally_key, NULL));
	assert_ok(ks_store_audit(store, &all, tally_audit, NULL));
	check_tree(store);
	assert_ok(ks_store_changes_after(store, 0, SIZE_MAX, tally_change, NULL));
	for (uint64_t batch = 1; batch <= tally.last; batch++) {
		assert_true(tally.keys[batch] > 0);
		assert_int_equal(tally.keys[batch], tally.expected[batch]);
		assert_int_equal(tally.audit[batch], tally.keys[batch]);
		assert_int_equal(tally.changes[batch], tally.keys[batch]);
		keys += tally.keys[batch];
	}
	assert_true(tally.last >= acknowledged);
	/* At most one more had been committed, but not yet acknowledged. */
	assert_true(tally.last <= acknowledged + 1);
	assert_ok(ks_store_counts(store, &counts));
	assert_int_equal(counts.keys, keys);
	return tally.last;
}

static bool read_acknowledgement(int fd, uint64_t *acknowledged)
{
	ssize_t n;

	do
		n = read(fd, acknowledged, sizeof(*acknowledged));
	while (n < 0 && errno == EINTR);
	assert_true(n == 0 || n == sizeof(*acknowledged));
	return n > 0;
}

/* Lets a child commit a few batches and go on for a random while, kills it, and returns the last that it acknowledged.
 */
static uint64_t run_and_kill(struct fixture *f, uint64_t last)
{
	uint64_t acknowledged = last;
	volatile uint64_t spin = random64() % 3 ? random64() % 3000000 : 0;
	uint64_t few = random64() % 12;
	uint64_t seed = random64();
	int fds[2];
	int status;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child(f, fds[1], last + 1, seed);
	}
	close(fds[1]);
	for (uint64_t i = 0; i < few && read_acknowledgement(fds[0], &acknowledged); i++)
		;
	while (spin > 0)
		spin--;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (read_acknowledgement(fds[0], &acknowledged))
		;
	close(fds[0]);
	return acknowledged;
}

static void acknowledged_commits_survive_a_kill(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	seed_random();
	ks_store_close(&f->store);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t acknowledged = run_and_kill(f, last);
		/* Who comes first repairs: a reader, or the next writer. */
		if (random64() % 2) {
			struct ks_store *reader = open_reader(f);
			check(reader, acknowledged);
			ks_store_close(&reader);
		}
		open_writer(f);
		last = check(f->store, acknowledged);
		ks_store_close(&f->store);
	}
	print_message("%llu commits in %d rounds\n", (unsigned long long)last, ROUNDS);
	assert_true(last >= ROUNDS);
}

/* The making of a store is one step, too. */
static void a_kill_while_the_store_is_made_leaves_none_or_a_whole_one(void **state)
{
	struct fixture *f = *state;

	seed_random();
	for (int round = 0; round < ROUNDS; round++) {
		volatile uint64_t spin = random64() % 4000000;
		int status;
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0) {
			struct ks_store *store;
			_exit(ks_store_open(f->uri, KS_STORE_WRITER, &store) == KS_OK ? 0 : 2);
		}
		while (spin > 0)
			spin--;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		open_writer(f);
		uint64_t seq;
		assert_ok(ks_store_change_last(f->store, &seq));
		assert_int_equal(seq, 0);
		ks_store_close(&f->store);
		static const char *const suffixes[] = {"", "-wal", "-shm"};
		for (size_t i = 0; i < KS_ARRAY_LEN(suffixes); i++) {
			char path[160];
			snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
			unlink(path);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(acknowledged_commits_survive_a_kill),
		TEST_IN_FOLDER(a_kill_while_the_store_is_made_leaves_none_or_a_whole_one),
	};

	return cmocka_run_group_tests_name("store/crash", tests, NULL, NULL);
}
