/* SPDX-License-Identifier: Apache-2.0 */
/* One lookup in the ring against one in a bare table of 64-byte slots with the same load, interleaved, each lookup
 * waiting for the one before. The ring stands in files as the service makes them, the bare table in ordinary
 * memory.
 *
 *     ring_lookup [KEYS] [uniform|zipf] [ROUNDS] [DIRECTORY]
 *
 * prints: KEYS DISTRIBUTION bare-ns ring-ns ring/bare ring+count-ns (medians of ROUNDS, in time of the processor)
 * and how long the ring took to make, fill, verify and map. DIRECTORY (default /dev/shm/keystile-ring-lookup) must
 * not exist. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <unistd.h>

#include "ring/ring_priv.h"
#include "ringmap/ringmap_priv.h"

#define LOOKUPS (1u << 20)
#define ROUNDS_MAX 64
#define TENANTS_MAX 100000u
#define ZIPF_EXPONENT 0.99

struct bare_slot {
	uint8_t digest[32];
	uint64_t value;
	uint64_t rest[3];
};

struct world {
	uint64_t keys;
	uint64_t slots;
	struct bare_slot *bare;
	struct ks_ringmap_writer *writer;
	struct ks_ringmap_reader *reader;
	struct ks_ring ring;                 /* as the reader has it */
	struct ks_usage *usage;
	uint32_t *picks;
	uint64_t sink;
};

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *map_zeroed(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static uint64_t split_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Stands for the SHA-256 of key number `i`. */
static struct ks_digest digest_of(uint64_t i)
{
	uint64_t words[4] = {split_mix(4 * i), split_mix(4 * i + 1), split_mix(4 * i + 2), split_mix(4 * i + 3)};
	struct ks_digest digest;

	memcpy(digest.bytes, words, sizeof(words));
	return digest;
}

static uint64_t bare_home(const struct world *w, const struct ks_digest *digest)
{
	uint64_t first;

	memcpy(&first, digest->bytes, sizeof(first));
	return ks_ring_place(first, w->slots);
}

static void bare_put(struct world *w, const struct ks_digest *digest, uint64_t value)
{
	uint64_t slot = bare_home(w, digest);

	while (w->bare[slot].value != 0)
		slot = slot + 1 == w->slots ? 0 : slot + 1;
	memcpy(w->bare[slot].digest, digest->bytes, sizeof(digest->bytes));
	w->bare[slot].value = value;
}

static uint64_t bare_get(const struct world *w, const struct ks_digest *digest)
{
	uint64_t slot = bare_home(w, digest);

	while (w->bare[slot].value != 0) {
		if (memcmp(w->bare[slot].digest, digest->bytes, sizeof(digest->bytes)) == 0)
			return w->bare[slot].value;
		slot = slot + 1 == w->slots ? 0 : slot + 1;
	}
	return 0;
}

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "ring_lookup: %s failed\n", what);
		exit(1);
	}
}

static void fill_ring(struct world *w, uint32_t tenants)
{
	struct ks_ring_grant_record grant = {.id = 1};
	uint32_t index;

	ks_scopes_set(&grant.scopes, 1);
	must(ks_ring_put_grant(&w->ring, &grant, &index) == KS_OK, "grant");
	for (uint32_t i = 0; i < tenants; i++) {
		struct ks_ring_tenant_record tenant = {.id = i + 1,
						       .parent = i > 0,
						       .kind = i > 0 ? KS_TENANT_KIND_ORGANIZATION
								     : KS_TENANT_KIND_OPERATOR};

		must(ks_ring_put_tenant(&w->ring, &tenant) == KS_OK, "tenant");
	}
	for (uint64_t i = 0; i < w->keys; i++) {
		struct ks_ring_key_record key = {.digest = digest_of(i),
						 .id = i + 1,
						 .tenant = 1 + i % tenants,
						 .grant = 1,
						 .kind = KS_KIND_TENANT,
						 .ends_ms = INT64_MAX};
		struct ks_digest ahead = digest_of(i + 8);

		(void)ks_ring_prefetch_key(&w->ring, &ahead);
		must(ks_ring_put_key(&w->ring, &key) == KS_OK, "key");
	}
}

static double since_ms(double *start)
{
	double now = now_ns(), ms = (now - *start) / 1e6;

	*start = now;
	return ms;
}

static void make_ring(struct world *w, const char *directory)
{
	uint32_t tenants = (uint32_t)KS_MIN(KS_MAX(w->keys / 100, UINT64_C(1)), (uint64_t)TENANTS_MAX);
	struct ks_ring_geometry g = ks_ring_plan(w->keys, tenants, 0, 1, 0, 0);
	struct ks_ringmap_options options = {.directory = directory, .group = -1, .prefault = true};
	double start = now_ns();
	bool fresh;

	w->slots = g.key_slots;
	must(access(directory, F_OK) != 0, "the directory is there already: it");
	must(ks_ringmap_writer_open(&options, &g, true, &w->writer, &fresh) == KS_OK, "open");
	printf("# %llu keys: made in %.0f ms", (unsigned long long)w->keys, since_ms(&start));
	w->ring = *ks_ringmap_writer_ring(w->writer);
	fill_ring(w, tenants);
	printf(", filled in %.0f", since_ms(&start));
	must(ks_ring_verify(&w->ring) == KS_OK, "verify");
	printf(", verified in %.0f", since_ms(&start));
	must(ks_ringmap_writer_publish(w->writer) == KS_OK, "publish");
	must(ks_ringmap_reader_open(directory, &w->reader) == KS_OK, "reader");
	ks_ringmap_reader_prefault(w->reader);
	printf(", mapped by a reader in %.0f, %.1f bytes a key with counters\n", since_ms(&start),
	       (double)(ks_ring_size(&g) + ks_usage_size(&g)) / (double)w->keys);
	w->ring = *ks_ringmap_reader_ring(w->reader);
	w->usage = w->ring.usage;
}

static void make_bare(struct world *w)
{
	w->bare = map_zeroed(w->slots * sizeof(*w->bare));
	for (uint64_t i = 0; i < w->keys; i++) {
		struct ks_digest digest = digest_of(i);

		bare_put(w, &digest, i + 1);
	}
}

static void remove_directory(const char *directory)
{
	static const char *const names[] = {"control", "lock"};
	char path[512], name[KS_GENERATION_NAME_SIZE];

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	for (uint64_t number = 1; number <= 2; number++) {
		ks_generation_name(number, KS_FILE_RING, name);
		(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
		(void)unlink(path);
		ks_generation_name(number, KS_FILE_USAGE, name);
		(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

/* Zipf by inversion of the continuous distribution, ranks scattered over the keys. */
static void pick(struct world *w, bool zipf)
{
	double s = 1.0 - ZIPF_EXPONENT, top = pow((double)w->keys + 1.0, s) - 1.0;

	w->picks = map_zeroed(LOOKUPS * sizeof(*w->picks));
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		uint64_t random = split_mix(UINT64_C(0x5eed) << 32 | i);
		double u = (double)(random >> 11) / 9007199254740992.0;
		uint64_t rank = zipf ? (uint64_t)(pow(u * top + 1.0, 1.0 / s) - 1.0) : ks_ring_place(random, w->keys);

		w->picks[i] = (uint32_t)(zipf ? ks_ring_place(split_mix(rank), w->keys) : rank);
	}
}

static double run_bare(struct world *w)
{
	double start = now_ns();
	uint64_t last = 0;

	for (uint32_t i = 0; i < LOOKUPS; i++) {
		struct ks_digest digest = digest_of(w->picks[i] + (last >> 63));

		last = bare_get(w, &digest);
	}
	w->sink += last;
	return (now_ns() - start) / LOOKUPS;
}

static double run_ring(struct world *w, bool counted)
{
	static const struct ks_addr address = {.bytes = {1}};
	double start = now_ns();
	uint64_t last = 0, slot = 0;

	w->ring.usage = counted ? w->usage : NULL;
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		struct ks_digest digest = digest_of(w->picks[i] + (last >> 63));
		const struct ks_ring_key *key =
			ks_ring_key(&w->ring, &digest, ks_ring_prefetch_key(&w->ring, &digest), &slot);

		must(key != NULL, "lookup");
		if (counted)
			ks_usage_count(w->usage, slot, KS_REASON_OK, 1, (int64_t)start / 1000000, &address);
		last = key->id;
	}
	w->sink += last;
	return (now_ns() - start) / LOOKUPS;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

int main(int argc, char **argv)
{
	double bare[ROUNDS_MAX], ring[ROUNDS_MAX], counted[ROUNDS_MAX], a, b, c;
	struct world w = {.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000};
	bool zipf = argc > 2 && strcmp(argv[2], "zipf") == 0;
	unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5;
	const char *directory = argc > 4 ? argv[4] : "/dev/shm/keystile-ring-lookup";

	if (w.keys < 1 || w.keys > UINT32_MAX || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: ring_lookup [KEYS] [uniform|zipf] [ROUNDS] [DIRECTORY]\n");
		return 2;
	}
	make_ring(&w, directory);
	make_bare(&w);
	pick(&w, zipf);
	for (unsigned i = 0; i < rounds; i++) {
		bare[i] = run_bare(&w);
		ring[i] = run_ring(&w, false);
		counted[i] = run_ring(&w, true);
	}
	a = median(bare, rounds);
	b = median(ring, rounds);
	c = median(counted, rounds);
	printf("%llu %s  bare %.1f  ring %.1f  ratio %.2f  with count %.1f\n", (unsigned long long)w.keys,
	       zipf ? "zipf" : "uniform", a, b, b / a, c);
	ks_ringmap_reader_close(&w.reader);
	ks_ringmap_writer_close(&w.writer);
	remove_directory(directory);
	return w.sink == 1;
}
