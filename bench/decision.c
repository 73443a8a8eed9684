/* SPDX-License-Identifier: Apache-2.0 */
/* What one decision costs, in process, against the hash of its token and one lookup in a bare table.
 *
 *	decision [--keys N] [--small N] [--rounds N] [--directory DIR] [--policy FILE]
 *
 * Builds two rings, of N keys (default 10 million) in at most 100,000 tenants and of a small one (10,000), as the
 * service does: in files of a new directory below DIR (default /dev/shm), with counters and the demo policy, mapped
 * by a reader. Beside each a bare open-addressing table of 64-byte slots with as many slots, in a file made and mapped
 * in the same way. Then it measures in rounds, each over fresh tokens, and after a warm-up by tokens of the same kind,
 * so that each finds the caches as it leaves them itself:
 *
 *	hash      SHA-256 with a reused context (EVP)
 *	both      the hash, then a lookup in the bare table
 *	decision  from the value of the Authorization header to the verdict, the use counted
 *
 * Each operation begins with what the one before gave (as a caller's does who acts on the verdict), so that operations
 * do not overlap and a cache miss costs what it costs. Times are the thread's processor time. Medians over the rounds
 * are printed, and ratios as medians of the rounds' ratios.
 *
 * A client calls the same few routes all the time: seven of eight requests of a key go to one route, the eighth to
 * any. Half of the keys have an end. Every request is allowed. */
#include <fcntl.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "decision/decision.h"
#include "ringmap/ringmap_priv.h"

#define BATCH 4096
#define TENANTS_MAX 100000
#define KEYS_A_TENANT 100
#define GRANTS 256
#define NOW INT64_C(1790000000000)
#define TOKEN_LEN 35  /* ks_ and 32 digits */
#define BEARER_LEN 7  /* what stands before it */
#define ROUNDS_MAX 2000
#define ZIPF 0.99

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "decision: %s\n", what);
	exit(1);
}

static void must(enum ks_err err, const char *what)
{
	if (err == KS_OK)
		return;
	fprintf(stderr, "decision: %s: %s\n", what, ks_err_text(err));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t n)
{
	return ks_ring_place(mix(random_state++), n);
}

/* The token of key number `index`. */
static void write_token(uint64_t index, char ret_token[TOKEN_LEN])
{
	uint64_t words[2] = {mix(2 * index), mix(2 * index + 1)};
	struct ks_buf out = ks_buf_of(ret_token, TOKEN_LEN);

	ks_buf_put(&out, KS_STR("ks_"));
	ks_buf_put_hex(&out, words, sizeof(words));
}

/* ---- the bare table ---- */

struct slot {
	struct ks_digest digest;
	uint64_t value;
	uint64_t more[3];
};
_Static_assert(sizeof(struct slot) == 64, "as large as a key of the ring");

struct world {
	uint64_t keys, slots;
	struct ks_ringmap_writer *writer;
	struct ks_ringmap_reader *reader;
	const struct ks_ring *ring; /* the reader's */
	struct slot *table;
	double zeta, eta;           /* of the zipf distribution over the keys */
};

static uint64_t table_home(const struct world *world, const struct ks_digest *digest)
{
	uint64_t first;

	memcpy(&first, digest->bytes, sizeof(first));
	return ks_ring_place(first, world->slots);
}

static uint64_t table_find(const struct world *world, const struct ks_digest *digest)
{
	uint64_t at = table_home(world, digest);

	while (world->table[at].value) {
		if (memcmp(&world->table[at].digest, digest, sizeof(*digest)) == 0)
			return world->table[at].value;
		if (++at == world->slots)
			at = 0;
	}
	return 0;
}

static void table_add(struct world *world, const struct ks_digest *digest, uint64_t value)
{
	uint64_t at = table_home(world, digest);

	while (world->table[at].value)
		if (++at == world->slots)
			at = 0;
	world->table[at].digest = *digest;
	world->table[at].value = value;
}

/* In a file as those of the ring are; its name is gone at once. */
static void make_table(struct world *world, const char *directory)
{
	uint64_t size = world->slots * sizeof(struct slot);
	int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	void *memory;

	if (at < 0)
		die("cannot open the directory");
	must(ks_ringmap_file_make(at, "table", 0600, -1, size, &fd), "a file for the table");
	must(ks_ringmap_file_map(fd, size, true, &memory), "mapping the table");
	ks_memory_populate(memory, size, true);
	(void)unlinkat(at, "table", 0);
	close(fd);
	close(at);
	world->table = memory;
}

/* ---- building ---- */

static uint32_t tenants_for(uint64_t keys)
{
	uint64_t wanted = keys / KEYS_A_TENANT;

	return (uint32_t)KS_MIN(KS_MAX(wanted, 10), TENANTS_MAX);
}

/* Tenant 1 is the operator; every tenth is an organization, the others are sub-entities of the one before them. */
static bool is_organization(uint64_t tenant)
{
	return tenant % 10 == 2;
}

static void put_tenants(struct ks_ring *ring, uint32_t count)
{
	uint64_t organization = 0;

	for (uint64_t id = 1; id <= count + 1; id++) {
		struct ks_ring_tenant_record record = {.id = id, .parent = organization};

		record.kind = KS_TENANT_KIND_SUB_ENTITY;
		if (id == 1 || is_organization(id)) {
			record.kind = id == 1 ? KS_TENANT_KIND_OPERATOR : KS_TENANT_KIND_ORGANIZATION;
			record.parent = id == 1 ? 0 : 1;
			organization = id;
		}
		must(ks_ring_put_tenant(ring, &record), "tenant");
	}
}

static void put_policy(struct ks_ring *ring, const char *path)
{
	static const uint64_t hash_key[2] = {3, 5};
	static char yaml[1 << 20];
	struct ks_policy_problem problem;
	struct ks_policy_table *table;
	struct ks_policy *policy;
	FILE *file = fopen(path, "r");
	struct ks_str text;

	if (!file)
		die("no policies/demo.yaml: run it in the source directory, or say --policy");
	text = ks_str_of(yaml, fread(yaml, 1, sizeof(yaml), file));
	fclose(file);
	if (ks_policy_parse(text, KS_STR("keystile:"), &policy, &problem) != KS_OK)
		die("the policy is not good");
	must(ks_policy_compile(policy, ring->scopes, hash_key, &table), "policy");
	must(ks_ring_put_policy(ring, KS_RING_POLICY_PLATFORM, table), "policy");
	free(table);
	ks_policy_free(&policy);
}

/* Grants with many sets of scopes; all have those that the requests below need. */
static void put_grants(struct ks_ring *ring)
{
	static const char *const needed[] = {"contacts:read",     "contacts:write",      "phone_numbers:read",
					     "voice_calls:write", "voice_sessions:read", "caller_trust:read"};
	uint32_t index;
	uint16_t number;

	for (uint64_t id = 1; id <= GRANTS; id++) {
		struct ks_ring_grant_record record = {.id = id, .scopes = {{mix(id) & 0xffffff}}};

		for (size_t i = 0; i < KS_ARRAY_LEN(needed); i++) {
			if (!ks_scope_find(ring->scopes, ks_str_c(needed[i]), &number))
				die("the policy is not the demo policy");
			ks_scopes_set(&record.scopes, number);
		}
		must(ks_ring_put_grant(ring, &record, &index), "grant");
	}
}

static void put_keys(struct world *world, struct ks_ring *ring, uint32_t tenants)
{
	for (uint64_t i = 0; i < world->keys; i++) {
		uint64_t tenant = 2 + ks_ring_place(mix(~i), tenants);
		struct ks_ring_key_record record = {
			.id = i + 1,
			.tenant = tenant,
			.grant = 1 + mix(i) % GRANTS,
			.kind = KS_KIND_TENANT,
			.binding = is_organization(tenant) ? KS_BINDING_ORGANIZATION : KS_BINDING_SUB_ENTITY,
			.environment = KS_ENVIRONMENT_LIVE,
			.ends_ms = i % 2 ? INT64_MAX : NOW + ROUNDS_MAX,
		};
		char token[TOKEN_LEN];

		write_token(i, token);
		must(ks_sha256(ks_str_of(token, TOKEN_LEN), &record.digest), "digest");
		must(ks_ring_put_key(ring, &record), "key");
		table_add(world, &record.digest, i + 1);
	}
}

static double zeta(uint64_t n)
{
	double sum = 0;

	for (uint64_t i = 1; i <= n; i++)
		sum += pow((double)i, -ZIPF);
	return sum;
}

static void fill_ring(struct world *world, const char *policy)
{
	struct ks_ring *ring = ks_ringmap_writer_ring(world->writer);
	uint32_t tenants = tenants_for(world->keys);

	put_policy(ring, policy);
	put_tenants(ring, tenants);
	put_grants(ring);
	put_keys(world, ring, tenants);
	must(ks_ringmap_writer_publish(world->writer), "publishing");
}

static void build(struct world *world, uint64_t keys, const char *directory, const char *policy)
{
	struct ks_ring_geometry geometry = ks_ring_plan(keys, tenants_for(keys) + 1, 16, GRANTS, 16, 1u << 20);
	struct ks_ringmap_options options = {.group = -1, .domain = KS_STR("keystile.test"), .prefault = true};
	char path[256];
	struct ks_buf text = KS_BUF(path);
	uint64_t bytes = ks_ring_size(&geometry) + ks_usage_size(&geometry);
	bool fresh;

	ks_buf_printf(&text, "%s/%llu", directory, (unsigned long long)keys);
	options.directory = ks_buf_z(&text);
	world->keys = keys;
	world->slots = geometry.key_slots;
	world->zeta = zeta(keys);
	world->eta = (1 - pow(2.0 / (double)keys, 1 - ZIPF)) / (1 - zeta(2) / world->zeta);
	must(ks_ringmap_writer_open(&options, &geometry, true, &world->writer, &fresh), "the ring");
	make_table(world, directory);
	fill_ring(world, policy);
	must(ks_ringmap_reader_open(options.directory, &world->reader), "reading the ring");
	ks_ringmap_reader_prefault(world->reader);
	world->ring = ks_ringmap_reader_ring(world->reader);
	if (!world->ring)
		die("cannot map the ring");
	printf("%llu keys in %u tenants, %llu slots, ring and counters %llu MiB: %.1f bytes a key\n",
	       (unsigned long long)keys, tenants_for(keys), (unsigned long long)world->slots,
	       (unsigned long long)(bytes >> 20), (double)bytes / (double)keys);
}

/* Closes, and takes the directory's files away. */
static void drop(struct world *world, const char *directory)
{
	char command[512];

	ks_ringmap_reader_close(&world->reader);
	ks_ringmap_writer_close(&world->writer);
	snprintf(command, sizeof(command), "rm -r '%s/%llu'", directory, (unsigned long long)world->keys);
	if (system(command) != 0)
		die("cannot take the files away");
}

/* ---- the batch ---- */

static const struct {
	const char *method;
	const char *path;
} requests[] = {
	{"GET", "/api/v1/contacts"},
	{"GET", "/api/v1/contacts/con_4k2j9x?expand=tags"},
	{"POST", "/api/v1/contacts"},
	{"GET", "/api/v1/phone-numbers/+14155550100"},
	{"POST", "/api/v1/voice/calls"},
	{"PATCH", "/api/v1/voice/calls/cal_81hq3n/hold"},
	{"GET", "/api/v1/voice/sessions/ses_7f33b0c1"},
	{"GET", "/api/v1/caller-trust"},
};

struct batch {
	char headers[BATCH][48]; /* "Bearer " and the token */
	struct ks_str methods[BATCH];
	struct ks_str paths[BATCH];
};

/* Ranks from 0 by Gray et al., "Quickly generating billion-record synthetic databases", 1994. */
static uint64_t zipf_rank(const struct world *world)
{
	double u = (double)random_below(UINT64_C(1) << 53) / 9007199254740992.0, uz = u * world->zeta;

	if (uz < 1)
		return 0;
	if (uz < 1 + pow(0.5, ZIPF))
		return 1;
	return (uint64_t)((double)world->keys * pow(world->eta * u - world->eta + 1, 1 / (1 - ZIPF))) % world->keys;
}

static void fill_batch(const struct world *world, bool zipf, struct batch *batch)
{
	for (size_t i = 0; i < BATCH; i++) {
		/* Keys stand in random order, so that the most used ones are no neighbours. */
		uint64_t key = zipf ? zipf_rank(world) : random_below(world->keys);
		size_t which = mix(key) % KS_ARRAY_LEN(requests);

		if (random_below(8) == 0)
			which = random_below(KS_ARRAY_LEN(requests));
		memcpy(batch->headers[i], "Bearer ", BEARER_LEN);
		write_token(key, &batch->headers[i][BEARER_LEN]);
		batch->methods[i] = ks_str_c(requests[which].method);
		batch->paths[i] = ks_str_c(requests[which].path);
	}
}

/* ---- what is measured; each returns the whole batch's nanoseconds ---- */

/* 0, but neither the compiler, who is not told what `none` is, nor the processor knows that without `value`. */
static inline size_t after(uint64_t value)
{
	uint64_t none = 0;

	__asm__ volatile("" : "+r"(none));
	return value & none;
}

static EVP_MD_CTX *context;

static inline void hash(const char *token, struct ks_digest *ret_digest)
{
	unsigned n;

	if (EVP_DigestInit_ex2(context, NULL, NULL) != 1 || EVP_DigestUpdate(context, token, TOKEN_LEN) != 1
	    || EVP_DigestFinal_ex(context, ret_digest->bytes, &n) != 1)
		die("the crypto library failed");
}

static double measure_hash(const struct world *world, const struct batch *batch, int64_t now_ms)
{
	uint64_t begin = now_ns();
	struct ks_digest digest;
	size_t wait = 0;

	(void)world;
	(void)now_ms;
	for (size_t i = 0; i < BATCH; i++) {
		hash(&batch->headers[i + wait][BEARER_LEN], &digest);
		wait = after(digest.bytes[0]);
	}
	return (double)(now_ns() - begin);
}

static double measure_both(const struct world *world, const struct batch *batch, int64_t now_ms)
{
	uint64_t begin = now_ns();
	struct ks_digest digest;
	size_t wait = 0;

	(void)now_ms;
	for (size_t i = 0; i < BATCH; i++) {
		uint64_t value;

		hash(&batch->headers[i + wait][BEARER_LEN], &digest);
		value = table_find(world, &digest);
		if (!value)
			die("a key is not in the table");
		wait = after(value);
	}
	return (double)(now_ns() - begin);
}

static double measure_decision(const struct world *world, const struct batch *batch, int64_t now_ms)
{
	static struct ks_credential credential;
	static struct ks_path path;
	struct ks_request request = {.credential = &credential, .address_known = true, .now_ms = now_ms};
	uint64_t begin = now_ns();
	struct ks_decision d;
	size_t wait = 0;

	for (size_t i = 0; i < BATCH; i++) {
		ks_credential_init(&credential);
		ks_credential_authorization(&credential, ks_str_of(batch->headers[i + wait], BEARER_LEN + TOKEN_LEN));
		request.method = batch->methods[i];
		request.path = batch->paths[i];
		ks_decide(world->ring, KS_RING_POLICY_PLATFORM, &request, &path, &d);
		ks_credential_wipe(&credential);
		if (d.reason != KS_REASON_OK)
			die(ks_reason_info(d.reason)->code);
		wait = after(d.organization);
	}
	return (double)(now_ns() - begin);
}

enum { HASH, BOTH, DECISION, MEASURES };

static double (*const measures[MEASURES])(const struct world *, const struct batch *, int64_t) = {
	measure_hash, measure_both, measure_decision};

enum { BIG_UNIFORM, BIG_ZIPF, SMALL_UNIFORM, LOADS };

static const char *const load_names[LOADS] = {"big, uniform", "big, zipf 0.99", "small, uniform"};

static double times[LOADS][MEASURES][ROUNDS_MAX];

static void run_rounds(const struct world *big, const struct world *small, unsigned rounds)
{
	static struct batch batch;

	for (unsigned i = 0; i < rounds * LOADS; i++) {
		unsigned round = i / LOADS, load = i % LOADS;
		const struct world *world = load == SMALL_UNIFORM ? small : big;

		for (unsigned m = 0; m < MEASURES; m++) {
			/* Another one begins each round. */
			unsigned which = (m + round) % MEASURES;

			fill_batch(world, load == BIG_ZIPF, &batch);
			(void)measures[which](world, &batch, NOW + round);
			fill_batch(world, load == BIG_ZIPF, &batch);
			times[load][which][round] = measures[which](world, &batch, NOW + round) / BATCH;
		}
	}
}

/* ---- the outcome ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned n)
{
	static double sorted[ROUNDS_MAX];

	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), by_value);
	return sorted[n / 2];
}

/* The median over the rounds of a / b. */
static double ratio(const double *a, const double *b, unsigned n)
{
	static double ratios[ROUNDS_MAX];

	for (unsigned i = 0; i < n; i++)
		ratios[i] = a[i] / b[i];
	return median(ratios, n);
}

static bool result(const char *name, double value, double target)
{
	bool pass = value <= target;

	printf("RESULT %s ratio=%.2f target=%.2f %s\n", name, value, target, pass ? "pass" : "FAIL");
	return pass;
}

static bool report(const struct world *big, unsigned rounds)
{
	const double *decision = times[BIG_UNIFORM][DECISION];
	bool pass = true;

	printf("\n%-16s %8s %8s %8s   ns, medians of %u rounds of %u\n", "", "hash", "both", "decision", rounds, BATCH);
	for (unsigned load = 0; load < LOADS; load++) {
		printf("%-16s", load_names[load]);
		for (unsigned m = 0; m < MEASURES; m++)
			printf(" %8.1f", median(times[load][m], rounds));
		printf("\n");
	}
	printf("\n%llu keys; the reference of uniform is `both`, of zipf `hash`, of big_to_small the small decision\n",
	       (unsigned long long)big->keys);
	pass &= result("decision_uniform", ratio(decision, times[BIG_UNIFORM][BOTH], rounds), 1.6);
	pass &= result("decision_zipf", ratio(times[BIG_ZIPF][DECISION], times[BIG_ZIPF][HASH], rounds), 3.5);
	pass &= result("decision_big_to_small", ratio(decision, times[SMALL_UNIFORM][DECISION], rounds), 3.0);
	return pass;
}

/* ---- */

struct options {
	uint64_t keys, small, rounds;
	const char *directory, *policy;
};

static bool take_option(struct options *options, struct ks_str name, const char *value)
{
	struct ks_str text = ks_str_c(value);

	if (ks_str_eq(name, KS_STR("--keys")))
		return ks_str_to_u64(text, 1u << 30, &options->keys) && options->keys > 0;
	if (ks_str_eq(name, KS_STR("--small")))
		return ks_str_to_u64(text, 1u << 30, &options->small) && options->small > 0;
	if (ks_str_eq(name, KS_STR("--rounds")))
		return ks_str_to_u64(text, ROUNDS_MAX, &options->rounds) && options->rounds > 0;
	if (ks_str_eq(name, KS_STR("--directory")))
		options->directory = value;
	else if (ks_str_eq(name, KS_STR("--policy")))
		options->policy = value;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	static struct world big, small;
	struct options options = {10000000, 10000, 200, "/dev/shm", "policies/demo.yaml"};
	char directory[200];
	bool pass;

	for (int i = 1; i < argc; i += 2)
		if (i + 1 == argc || !take_option(&options, ks_str_c(argv[i]), argv[i + 1]))
			die("usage: decision [--keys N] [--small N] [--rounds N] [--directory DIR] [--policy FILE]");
	if (options.keys == options.small)
		die("--keys and --small must differ");
	context = EVP_MD_CTX_new();
	if (!context || EVP_DigestInit_ex2(context, EVP_MD_fetch(NULL, "SHA256", NULL), NULL) != 1)
		die("the crypto library failed");
	snprintf(directory, sizeof(directory), "%s/keystile-bench-XXXXXX", options.directory);
	if (!mkdtemp(directory))
		die("cannot make a directory; --directory?");
	build(&small, options.small, directory, options.policy);
	build(&big, options.keys, directory, options.policy);
	run_rounds(&big, &small, (unsigned)options.rounds);
	pass = report(&big, (unsigned)options.rounds);
	drop(&small, directory);
	drop(&big, directory);
	rmdir(directory);
	return pass ? 0 : 1;
}
