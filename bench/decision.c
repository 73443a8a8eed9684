/* SPDX-License-Identifier: Apache-2.0 */
/* What one decision costs, in process, against the hash of its token and one lookup in a bare table.
 *
 *	decision [--keys N] [--small N] [--rounds N] [--directory DIR]
 *
 * Builds two rings, of N keys (default 10 million) in at most 100,000 tenants and of a small one (10,000), with counters and the demo policy, in files of
 * DIR (default /dev/shm), and a bare open-addressing table of 64-byte slots beside each, with as many slots and in the same kind of mapping. Then it measures in
 * rounds; a round takes a batch of tokens and times, one after the other, over the same tokens:
 *
 *	hash      SHA-256 with a reused context (EVP)
 *	lookup    the bare table, by digests that are there already
 *	both      hash, then lookup
 *	decision  from the value of the Authorization header to the verdict, the use counted
 *
 * Each operation begins with what the one before gave (as a caller's does who acts on the verdict), so that operations do not overlap and a
 * cache miss costs what it costs. Medians over the rounds are printed, and ratios as medians of the rounds' ratios. */
#include <fcntl.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "decision/decision.h"

#define BATCH 4096
#define TENANTS_MAX 100000
#define KEYS_A_TENANT 100
#define GRANTS 256
#define NOW INT64_C(1790000000000)
#define TOKEN_LEN 35  /* ks_ and 32 digits */
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

	clock_gettime(CLOCK_MONOTONIC, &now);
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
	struct ks_ring ring;
	struct ks_usage usage;
	struct slot *table;
	double zeta, eta; /* of the zipf distribution over the keys */
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

/* ---- building ---- */

/* Zeroed memory of a file that is gone from the directory already. */
static void *map_file(const char *directory, uint64_t size)
{
	char path[256];
	struct ks_buf name = KS_BUF(path);
	void *memory;
	int fd;

	ks_buf_printf(&name, "%s/keystile-bench-XXXXXX", directory);
	fd = mkstemp(path[0] ? (ks_buf_z(&name), path) : path);
	if (fd < 0)
		die("cannot make a file; --directory?");
	unlink(path);
	if (ftruncate(fd, (off_t)size) != 0)
		die("cannot make a file so large");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* Written to, so that no first write to a page falls into a measurement. */
	if (memory == MAP_FAILED || madvise(memory, size, MADV_POPULATE_WRITE) != 0)
		die("cannot map");
	close(fd);
	return memory;
}

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

static void put_tenants(struct world *world, uint32_t count)
{
	uint64_t organization = 0;

	for (uint64_t id = 1; id <= count + 1; id++) {
		struct ks_ring_tenant_record record = {.id = id, .parent = organization, .kind = KS_TENANT_KIND_SUB_ENTITY};

		if (id == 1 || is_organization(id)) {
			record.kind = id == 1 ? KS_TENANT_KIND_OPERATOR : KS_TENANT_KIND_ORGANIZATION;
			record.parent = id == 1 ? 0 : 1;
			organization = id;
		}
		must(ks_ring_put_tenant(&world->ring, &record), "tenant");
	}
}

static void put_policy(struct world *world, const char *path)
{
	static const uint64_t hash_key[2] = {3, 5};
	static char yaml[1 << 20];
	struct ks_policy_problem problem;
	struct ks_policy_table *table;
	struct ks_policy *policy;
	FILE *file = fopen(path, "r");

	if (!file)
		die("no policies/demo.yaml: run it in the source directory, or say --policy");
	if (ks_policy_parse(ks_str_of(yaml, fread(yaml, 1, sizeof(yaml), file)), KS_STR("keystile:"), &policy, &problem) != KS_OK)
		die("the policy is not good");
	fclose(file);
	must(ks_policy_compile(policy, world->ring.scopes, hash_key, &table), "policy");
	must(ks_ring_put_policy(&world->ring, KS_RING_POLICY_PLATFORM, table), "policy");
	free(table);
	ks_policy_free(&policy);
}

/* Grants with many sets of scopes; all have those that the requests below need. */
static void put_grants(struct world *world)
{
	static const char *const needed[] = {"contacts:read", "contacts:write", "phone_numbers:read", "voice_calls:write",
					     "voice_sessions:read", "caller_trust:read"};
	uint32_t index;
	uint16_t number;

	for (uint64_t id = 1; id <= GRANTS; id++) {
		struct ks_ring_grant_record record = {.id = id, .scopes = {{mix(id) & 0xffffff}}};

		for (size_t i = 0; i < KS_ARRAY_LEN(needed); i++) {
			if (!ks_scope_find(world->ring.scopes, ks_str_c(needed[i]), &number))
				die("the policy is not the demo policy");
			ks_scopes_set(&record.scopes, number);
		}
		must(ks_ring_put_grant(&world->ring, &record, &index), "grant");
	}
}

static void put_keys(struct world *world, uint32_t tenants)
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
			.ends_ms = i % 2 ? INT64_MAX : NOW + 1,
		};
		char token[TOKEN_LEN];

		write_token(i, token);
		must(ks_sha256(ks_str_of(token, TOKEN_LEN), &record.digest), "digest");
		must(ks_ring_put_key(&world->ring, &record), "key");
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

static void build(struct world *world, uint64_t keys, const char *directory, const char *policy)
{
	uint32_t tenants = tenants_for(keys);
	struct ks_ring_geometry geometry = ks_ring_plan(keys, tenants + 1, 16, GRANTS, 16, 1u << 20);
	struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {mix(7), mix(8)}, .domain = KS_STR("keystile.test")};
	uint64_t size = ks_ring_size(&geometry), usage_size = ks_usage_size(&geometry);
	void *memory = map_file(directory, size), *usage = map_file(directory, usage_size);

	world->keys = keys;
	world->slots = geometry.key_slots;
	world->table = map_file(directory, world->slots * sizeof(struct slot));
	world->zeta = zeta(keys);
	world->eta = (1 - pow(2.0 / (double)keys, 1 - ZIPF)) / (1 - zeta(2) / world->zeta);
	must(ks_ring_format(memory, size, &geometry, &stamp, &world->ring), "ring");
	must(ks_usage_format(usage, usage_size, &geometry, stamp.generation), "usage");
	must(ks_usage_attach(usage, usage_size, world->ring.header, &world->usage), "usage");
	world->ring.usage = &world->usage;
	put_policy(world, policy);
	put_tenants(world, tenants);
	put_grants(world);
	put_keys(world, tenants);
	atomic_store(&world->ring.header->complete, 1);
	printf("%llu keys in %u tenants, %llu slots: ring %llu MiB, counters %llu MiB, %.1f bytes a key\n", (unsigned long long)keys,
	       tenants, (unsigned long long)world->slots, (unsigned long long)(size >> 20), (unsigned long long)(usage_size >> 20),
	       (double)(size + usage_size) / (double)keys);
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
	struct ks_digest digests[BATCH];
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

static void fill(const struct world *world, bool zipf, struct batch *batch)
{
	for (size_t i = 0; i < BATCH; i++) {
		/* Keys are in the table in random order, so that the most used ones are not neighbours. */
		uint64_t key = zipf ? zipf_rank(world) : random_below(world->keys);
		size_t which = random_below(8) == 0 ? random_below(KS_ARRAY_LEN(requests)) : mix(key) % KS_ARRAY_LEN(requests);

		memcpy(batch->headers[i], "Bearer ", 7);
		write_token(key, &batch->headers[i][7]);
		must(ks_sha256(ks_str_of(&batch->headers[i][7], TOKEN_LEN), &batch->digests[i]), "digest");
		batch->methods[i] = ks_str_c(requests[which].method);
		batch->paths[i] = ks_str_c(requests[which].path);
	}
}

/* ---- what is measured; each returns the whole batch's nanoseconds ---- */

/* 0, but the compiler and the processor have to wait for `value` to know it. */
static inline size_t after(uint64_t value)
{
	uint64_t zero = value;

	__asm__ volatile("and $0, %0" : "+r"(zero));
	return zero;
}

static EVP_MD_CTX *context;

static inline void hash(const char *token, struct ks_digest *ret_digest)
{
	unsigned n;

	if (EVP_DigestInit_ex2(context, NULL, NULL) != 1 || EVP_DigestUpdate(context, token, TOKEN_LEN) != 1
	    || EVP_DigestFinal_ex(context, ret_digest->bytes, &n) != 1)
		die("the crypto library failed");
}

static double measure_hash(const struct world *world, const struct batch *batch)
{
	uint64_t begin = now_ns();
	struct ks_digest digest;
	size_t wait = 0;

	(void)world;
	for (size_t i = 0; i < BATCH; i++) {
		hash(&batch->headers[i + wait][7], &digest);
		wait = after(digest.bytes[0]);
	}
	return (double)(now_ns() - begin);
}

static double measure_lookup(const struct world *world, const struct batch *batch)
{
	uint64_t begin = now_ns();
	size_t wait = 0;

	for (size_t i = 0; i < BATCH; i++) {
		uint64_t value = table_find(world, &batch->digests[i + wait]);

		if (!value)
			die("a key is not in the table");
		wait = after(value);
	}
	return (double)(now_ns() - begin);
}

static double measure_both(const struct world *world, const struct batch *batch)
{
	uint64_t begin = now_ns();
	struct ks_digest digest;
	size_t wait = 0;

	for (size_t i = 0; i < BATCH; i++) {
		uint64_t value;

		hash(&batch->headers[i + wait][7], &digest);
		value = table_find(world, &digest);
		if (!value)
			die("a key is not in the table");
		wait = after(value);
	}
	return (double)(now_ns() - begin);
}

static double measure_decision(const struct world *world, const struct batch *batch)
{
	static struct ks_credential credential;
	static struct ks_path path;
	struct ks_request request = {.credential = &credential, .address_known = true, .now_ms = NOW};
	uint64_t begin = now_ns();
	struct ks_decision d;
	size_t wait = 0;

	for (size_t i = 0; i < BATCH; i++) {
		ks_credential_init(&credential);
		ks_credential_authorization(&credential, ks_str_of(batch->headers[i + wait], 7 + TOKEN_LEN));
		request.method = batch->methods[i];
		request.path = batch->paths[i];
		ks_decide(&world->ring, KS_RING_POLICY_PLATFORM, &request, &path, &d);
		ks_credential_wipe(&credential);
		if (d.reason != KS_REASON_OK)
			die(ks_reason_info(d.reason)->code);
		wait = after(d.organization);
	}
	return (double)(now_ns() - begin);
}

typedef double (*measure_fn)(const struct world *world, const struct batch *batch);

enum { HASH, LOOKUP, BOTH, DECISION, MEASURES };

static const measure_fn measures[MEASURES] = {measure_hash, measure_lookup, measure_both, measure_decision};

enum { BIG_UNIFORM, BIG_ZIPF, SMALL_UNIFORM, LOADS };

static const char *const load_names[LOADS] = {"big, uniform", "big, zipf 0.99", "small, uniform"};

static double times[LOADS][MEASURES][ROUNDS_MAX];

static void run_rounds(const struct world *big, const struct world *small, unsigned rounds)
{
	static struct batch batch;

	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned load = 0; load < LOADS; load++) {
			const struct world *world = load == SMALL_UNIFORM ? small : big;

			fill(world, load == BIG_ZIPF, &batch);
			for (unsigned m = 0; m < MEASURES; m++) {
				/* Another one begins each round. */
				unsigned which = (m + round) % MEASURES;

				times[load][which][round] = measures[which](world, &batch) / BATCH;
			}
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
	bool pass = true;

	printf("\n%-16s %8s %8s %8s %8s   ns, medians of %u rounds of %u\n", "", "hash", "lookup", "both", "decision", rounds, BATCH);
	for (unsigned load = 0; load < LOADS; load++) {
		printf("%-16s", load_names[load]);
		for (unsigned m = 0; m < MEASURES; m++)
			printf(" %8.1f", median(times[load][m], rounds));
		printf("\n");
	}
	printf("\n%llu keys; the reference of `uniform` is `both`, that of `zipf` is `hash`\n", (unsigned long long)big->keys);
	pass &= result("decision_uniform", ratio(times[BIG_UNIFORM][DECISION], times[BIG_UNIFORM][BOTH], rounds), 1.6);
	pass &= result("decision_zipf", ratio(times[BIG_ZIPF][DECISION], times[BIG_ZIPF][HASH], rounds), 3.5);
	pass &= result("decision_big_to_small", ratio(times[BIG_UNIFORM][DECISION], times[SMALL_UNIFORM][DECISION], rounds), 3.0);
	return pass;
}

int main(int argc, char **argv)
{
	static struct world big, small;
	uint64_t keys = 10000000, small_keys = 10000, rounds = 200;
	const char *directory = "/dev/shm", *policy = "policies/demo.yaml";

	for (int i = 1; i + 1 < argc; i += 2) {
		struct ks_str option = ks_str_c(argv[i]), value = ks_str_c(argv[i + 1]);
		bool ok = (ks_str_eq(option, KS_STR("--keys")) && ks_str_to_u64(value, 1u << 30, &keys) && keys > 0)
			  || (ks_str_eq(option, KS_STR("--small")) && ks_str_to_u64(value, 1u << 30, &small_keys) && small_keys > 0)
			  || (ks_str_eq(option, KS_STR("--rounds")) && ks_str_to_u64(value, ROUNDS_MAX, &rounds) && rounds > 0);

		if (ks_str_eq(option, KS_STR("--directory")))
			directory = argv[i + 1];
		else if (ks_str_eq(option, KS_STR("--policy")))
			policy = argv[i + 1];
		else if (!ok)
			die("usage: decision [--keys N] [--small N] [--rounds N] [--directory DIR] [--policy FILE]");
	}
	context = EVP_MD_CTX_new();
	if (!context || EVP_DigestInit_ex2(context, EVP_MD_fetch(NULL, "SHA256", NULL), NULL) != 1)
		die("the crypto library failed");
	build(&small, small_keys, directory, policy);
	build(&big, keys, directory, policy);
	run_rounds(&big, &small, (unsigned)rounds);
	return report(&big, (unsigned)rounds) ? 0 : 1;
}
