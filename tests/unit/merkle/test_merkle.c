/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ctenc.h"
#include "merkle/entry.h"

#define LEAVES_MAX 600

static struct ks_digest digest_of(const char *hex)
{
	struct ks_digest digest;

	assert_true(ks_hex_decode(ks_str_c(hex), false, digest.bytes, sizeof(digest.bytes)));
	return digest;
}

static void assert_hash(const struct ks_digest *hash, const char *hex)
{
	struct ks_digest expected = digest_of(hex);

	assert_memory_equal(hash->bytes, expected.bytes, sizeof(expected.bytes));
}

/* ---- a naive tree: RFC 9162, 2.1.1 and 2.1.3, word for word ---- */

struct naive {
	struct ks_digest leaves[LEAVES_MAX];
	size_t asked;
};

static size_t half(size_t n)
{
	size_t k = 1;

	while (2 * k < n)
		k *= 2;
	return k;
}

static struct ks_digest naive_root(const struct ks_digest *leaves, size_t n)
{
	struct ks_digest root, left, right;

	if (n == 0) {
		assert_int_equal(ks_sha256(KS_STR(""), &root), KS_OK);
		return root;
	}
	if (n == 1)
		return leaves[0];
	left = naive_root(leaves, half(n));
	right = naive_root(&leaves[half(n)], n - half(n));
	assert_int_equal(ks_merkle_join(&left, &right, &root), KS_OK);
	return root;
}

static void naive_path(const struct ks_digest *leaves, size_t n, size_t m, struct ks_merkle_proof *proof)
{
	if (n == 1)
		return;
	if (m < half(n)) {
		naive_path(leaves, half(n), m, proof);
		proof->hashes[proof->count++] = naive_root(&leaves[half(n)], n - half(n));
	} else {
		naive_path(&leaves[half(n)], n - half(n), m - half(n), proof);
		proof->hashes[proof->count++] = naive_root(leaves, half(n));
	}
}

static void naive_subproof(const struct ks_digest *leaves, size_t n, size_t m, bool known,
			   struct ks_merkle_proof *proof)
{
	if (m == n) {
		if (!known)
			proof->hashes[proof->count++] = naive_root(leaves, n);
		return;
	}
	if (m <= half(n)) {
		naive_subproof(leaves, half(n), m, known, proof);
		proof->hashes[proof->count++] = naive_root(&leaves[half(n)], n - half(n));
	} else {
		naive_subproof(&leaves[half(n)], n - half(n), m - half(n), false, proof);
		proof->hashes[proof->count++] = naive_root(leaves, half(n));
	}
}

static enum ks_err naive_node(void *ctx, unsigned height, uint64_t index, struct ks_digest *ret_hash)
{
	struct naive *naive = ctx;

	naive->asked++;
	assert_true((index + 1) << height <= LEAVES_MAX);
	*ret_hash = naive_root(&naive->leaves[index << height], (size_t)1 << height);
	return KS_OK;
}

static struct naive *make_naive(void)
{
	struct naive *naive = calloc(1, sizeof(*naive));

	assert_non_null(naive);
	for (unsigned i = 0; i < LEAVES_MAX; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%u", i);

		assert_int_equal(ks_merkle_leaf(ks_str_of(text, (size_t)n), &naive->leaves[i]), KS_OK);
	}
	return naive;
}

static void assert_same_proof(const struct ks_merkle_proof *a, const struct ks_merkle_proof *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
		assert_true(ks_merkle_same(&a->hashes[i], &b->hashes[i]));
}

/* ---- the vectors of certificate-transparency's tests ---- */

static const struct ks_str ct_leaves[8] = {
	{"", 0}, {"\x00", 1}, {"\x10", 1}, {"\x20\x21", 2}, {"\x30\x31", 2}, {"\x40\x41\x42\x43", 4},
	{"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
	{"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};

static const char *const ct_roots[9] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static const struct {
	uint64_t index, size;
	size_t count;
	const char *proof[3];
} ct_inclusion[] = {
	{0, 1, 0, {0}},
	{0, 8, 3, {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		   "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		   "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
	{5, 8, 3, {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		   "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
		   "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
	{2, 3, 1, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
	{1, 5, 3, {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		   "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		   "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
};

static const struct {
	uint64_t from, to;
	size_t count;
	const char *proof[3];
} ct_consistency[] = {
	{1, 1, 0, {0}},
	{1, 8, 3, {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		   "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		   "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
	{6, 8, 3, {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
		   "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
		   "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
	{2, 5, 2, {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		   "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
};

static void ct_tree(struct naive *naive)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(ct_leaves); i++)
		assert_int_equal(ks_merkle_leaf(ct_leaves[i], &naive->leaves[i]), KS_OK);
}

static void test_roots_of_certificate_transparency(void **state)
{
	struct naive *naive = make_naive();
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_edge edge = {0};
	struct ks_digest root;

	(void)state;
	ct_tree(naive);
	for (size_t n = 0; n <= 8; n++) {
		assert_int_equal(ks_merkle_root(&source, n, &root), KS_OK);
		assert_hash(&root, ct_roots[n]);
		assert_int_equal(ks_merkle_edge_root(&edge, &root), KS_OK);
		assert_hash(&root, ct_roots[n]);
		if (n < 8)
			assert_int_equal(ks_merkle_edge_add(&edge, 0, &naive->leaves[n]), KS_OK);
	}
	free(naive);
}

static void test_proofs_of_certificate_transparency(void **state)
{
	struct naive *naive = make_naive();
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_proof proof;

	(void)state;
	ct_tree(naive);
	for (size_t i = 0; i < KS_ARRAY_LEN(ct_inclusion); i++) {
		assert_int_equal(ks_merkle_prove_inclusion(&source, ct_inclusion[i].index, ct_inclusion[i].size, &proof), KS_OK);
		assert_int_equal(proof.count, ct_inclusion[i].count);
		for (size_t j = 0; j < proof.count; j++)
			assert_hash(&proof.hashes[j], ct_inclusion[i].proof[j]);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(ct_consistency); i++) {
		struct ks_digest from = digest_of(ct_roots[ct_consistency[i].from]);
		struct ks_digest to = digest_of(ct_roots[ct_consistency[i].to]);

		assert_int_equal(ks_merkle_prove_consistency(&source, ct_consistency[i].from, ct_consistency[i].to, &proof),
				 KS_OK);
		assert_int_equal(proof.count, ct_consistency[i].count);
		for (size_t j = 0; j < proof.count; j++)
			assert_hash(&proof.hashes[j], ct_consistency[i].proof[j]);
		assert_int_equal(ks_merkle_check_consistency(ct_consistency[i].from, &from, ct_consistency[i].to, &to,
							     proof.hashes, proof.count), KS_OK);
	}
	free(naive);
}

/* ---- against the naive tree ---- */

static void test_roots_and_edges_of_every_size(void **state)
{
	struct naive *naive = make_naive();
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_edge edge = {0};

	(void)state;
	for (size_t n = 0; n <= LEAVES_MAX; n++) {
		struct ks_digest expected = naive_root(naive->leaves, n), root;

		assert_int_equal(ks_merkle_root(&source, n, &root), KS_OK);
		assert_true(ks_merkle_same(&root, &expected));
		assert_int_equal(ks_merkle_edge_root(&edge, &root), KS_OK);
		assert_true(ks_merkle_same(&root, &expected));
		assert_int_equal(edge.count, __builtin_popcountll(n));
		if (n < LEAVES_MAX)
			assert_int_equal(ks_merkle_edge_add(&edge, 0, &naive->leaves[n]), KS_OK);
	}
	free(naive);
}

/* The same root, whatever whole nodes stand for some of the leaves. */
static void test_edge_takes_whole_nodes(void **state)
{
	struct naive *naive = make_naive();

	(void)state;
	for (uint64_t from = 0; from < 70; from++) {
		for (uint64_t to = from; to <= 140; to++) {
			struct ks_merkle_edge edge = {0};
			struct ks_digest root, expected = naive_root(naive->leaves, 140), node;

			for (uint64_t at = 0; at < 140;) {
				unsigned height = at >= from && at < to ? ks_merkle_first_node(at, to) : 0;

				assert_int_equal(naive_node(naive, height, at >> height, &node), KS_OK);
				assert_int_equal(ks_merkle_edge_add(&edge, height, &node), KS_OK);
				at += UINT64_C(1) << height;
			}
			assert_int_equal(edge.size, 140);
			assert_int_equal(ks_merkle_edge_root(&edge, &root), KS_OK);
			assert_true(ks_merkle_same(&root, &expected));
		}
	}
	free(naive);
}

static void test_edge_refuses_what_does_not_fit(void **state)
{
	struct ks_merkle_edge edge = {0}, before;
	struct ks_digest node = {{7}};

	(void)state;
	assert_int_equal(ks_merkle_edge_add(&edge, KS_MERKLE_HEIGHT_MAX, &node), KS_TOO_LARGE);
	assert_int_equal(ks_merkle_edge_add(&edge, 62, &node), KS_OK);
	before = edge;
	assert_int_equal(ks_merkle_edge_add(&edge, 0, &node), KS_TOO_LARGE);
	edge.size = 6;
	before.size = 6;
	assert_int_equal(ks_merkle_edge_add(&edge, 2, &node), KS_MALFORMED);
	assert_memory_equal(&edge, &before, sizeof(edge));
}

static void check_inclusion_at(struct naive *naive, size_t index, size_t size)
{
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_proof proof, expected = {0};
	struct ks_digest root = naive_root(naive->leaves, size);
	const struct ks_digest *leaf = &naive->leaves[index];

	naive_path(naive->leaves, size, index, &expected);
	naive->asked = 0;
	assert_int_equal(ks_merkle_prove_inclusion(&source, index, size, &proof), KS_OK);
	assert_true(naive->asked <= 20);
	assert_same_proof(&proof, &expected);
	assert_int_equal(ks_merkle_check_inclusion(leaf, index, size, proof.hashes, proof.count, &root), KS_OK);
	/* Anything else about it shows nothing. */
	assert_int_equal(ks_merkle_check_inclusion(leaf, index + 1, size, proof.hashes, proof.count, &root), KS_FORBIDDEN);
	assert_int_equal(ks_merkle_check_inclusion(&naive->leaves[(index + 1) % LEAVES_MAX], index, size, proof.hashes,
						   proof.count, &root), KS_FORBIDDEN);
	if (proof.count == 0)
		return;
	assert_int_equal(ks_merkle_check_inclusion(leaf, index, size, proof.hashes, proof.count - 1, &root), KS_FORBIDDEN);
	proof.hashes[proof.count] = proof.hashes[0];
	assert_int_equal(ks_merkle_check_inclusion(leaf, index, size, proof.hashes, proof.count + 1, &root), KS_FORBIDDEN);
	for (size_t i = 0; i < proof.count; i++) {
		proof.hashes[i].bytes[i % 32] ^= 1;
		assert_int_equal(ks_merkle_check_inclusion(leaf, index, size, proof.hashes, proof.count, &root), KS_FORBIDDEN);
		proof.hashes[i].bytes[i % 32] ^= 1;
	}
}

static void test_inclusion_of_every_leaf(void **state)
{
	struct naive *naive = make_naive();
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_proof proof;

	(void)state;
	for (size_t size = 1; size <= 66; size++) {
		for (size_t index = 0; index < size; index++)
			check_inclusion_at(naive, index, size);
	}
	for (size_t index = 0; index < LEAVES_MAX; index += 37)
		check_inclusion_at(naive, index, LEAVES_MAX);
	assert_int_equal(ks_merkle_prove_inclusion(&source, 5, 5, &proof), KS_MALFORMED);
	assert_int_equal(ks_merkle_prove_inclusion(&source, 0, 0, &proof), KS_MALFORMED);
	assert_int_equal(ks_merkle_prove_inclusion(&source, 0, UINT64_MAX, &proof), KS_TOO_LARGE);
	free(naive);
}

static void check_consistency_of(struct naive *naive, size_t from, size_t to)
{
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_proof proof, expected = {0};
	struct ks_digest old = naive_root(naive->leaves, from), new = naive_root(naive->leaves, to);

	if (from > 0)
		naive_subproof(naive->leaves, to, from, true, &expected);
	assert_int_equal(ks_merkle_prove_consistency(&source, from, to, &proof), KS_OK);
	assert_same_proof(&proof, &expected);
	assert_int_equal(ks_merkle_check_consistency(from, &old, to, &new, proof.hashes, proof.count), KS_OK);
	old.bytes[3] ^= 1;
	assert_int_equal(ks_merkle_check_consistency(from, &old, to, &new, proof.hashes, proof.count), KS_FORBIDDEN);
	old.bytes[3] ^= 1;
	proof.hashes[proof.count] = old;
	assert_int_equal(ks_merkle_check_consistency(from, &old, to, &new, proof.hashes, proof.count + 1), KS_FORBIDDEN);
	if (from == 0)
		return;
	new.bytes[31] ^= 0x80;
	assert_int_equal(ks_merkle_check_consistency(from, &old, to, &new, proof.hashes, proof.count), KS_FORBIDDEN);
	new.bytes[31] ^= 0x80;
	for (size_t i = 0; i < proof.count; i++) {
		proof.hashes[i].bytes[i % 32] ^= 1;
		assert_int_equal(ks_merkle_check_consistency(from, &old, to, &new, proof.hashes, proof.count), KS_FORBIDDEN);
		proof.hashes[i].bytes[i % 32] ^= 1;
	}
	if (proof.count > 0)
		assert_int_equal(ks_merkle_check_consistency(from, &old, to, &new, proof.hashes, proof.count - 1),
				 KS_FORBIDDEN);
}

static void test_consistency_of_every_pair(void **state)
{
	struct naive *naive = make_naive();
	struct ks_merkle_source source = {naive_node, naive};
	struct ks_merkle_proof proof;
	struct ks_digest root = {{0}};

	(void)state;
	for (size_t to = 0; to <= 66; to++) {
		for (size_t from = 0; from <= to; from++)
			check_consistency_of(naive, from, to);
	}
	for (size_t from = 0; from <= LEAVES_MAX; from += 41)
		check_consistency_of(naive, from, LEAVES_MAX);
	assert_int_equal(ks_merkle_prove_consistency(&source, 6, 5, &proof), KS_MALFORMED);
	assert_int_equal(ks_merkle_prove_consistency(&source, 6, UINT64_MAX, &proof), KS_TOO_LARGE);
	assert_int_equal(ks_merkle_check_consistency(6, &root, 5, &root, NULL, 0), KS_FORBIDDEN);
	assert_int_equal(ks_merkle_check_consistency(6, &root, UINT64_MAX, &root, NULL, 0), KS_FORBIDDEN);
	free(naive);
}

static enum ks_err failing_node(void *ctx, unsigned height, uint64_t index, struct ks_digest *ret_hash)
{
	(void)ctx;
	(void)height;
	(void)index;
	(void)ret_hash;
	return KS_STORE;
}

static void test_a_source_that_fails(void **state)
{
	struct ks_merkle_source source = {failing_node, NULL};
	struct ks_merkle_proof proof;
	struct ks_digest root;

	(void)state;
	assert_int_equal(ks_merkle_root(&source, 3, &root), KS_STORE);
	assert_int_equal(ks_merkle_prove_inclusion(&source, 1, 3, &proof), KS_STORE);
	assert_int_equal(ks_merkle_prove_consistency(&source, 1, 3, &proof), KS_STORE);
}

static void test_node_above(void **state)
{
	struct naive *naive = make_naive();
	struct ks_digest above, expected;

	(void)state;
	for (unsigned height = 0; height <= 8; height++) {
		expected = naive_root(naive->leaves, (size_t)1 << height);
		assert_int_equal(ks_merkle_above(naive->leaves, height, &above), KS_OK);
		assert_true(ks_merkle_same(&above, &expected));
	}
	assert_int_equal(ks_merkle_above(naive->leaves, 9, &above), KS_TOO_LARGE);
	free(naive);
}

/* ---- the leaf of an entry ---- */

static const uint8_t salt[KS_AUDIT_SALT_SIZE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static struct ks_audit_leaf example(void)
{
	return (struct ks_audit_leaf){
		.id = KS_STR("aud_01hzy3v9k2m4n"),
		.at = KS_STR("2026-01-02T03:04:05.678Z"),
		.place = KS_STR("operator"),
		.on_behalf = KS_STR("org_01hzy3v9k2m4n"),
		.action = KS_STR("key.create"),
		.object = KS_STR("key_01hzy3v9k2m4n"),
		.tenant = KS_STR("01hzy3v9k2m4n"),
		.organization = KS_STR("01hzy3v9k2m4n"),
		.outcome = KS_STR("ok"),
		.address = KS_STR("192.0.2.1"),
		.request_id = KS_STR("req-1"),
		.detail = KS_STR("{\"name\":\"a\"}"),
	};
}

/* The numbers were computed apart, by hashlib. */
static void test_leaf_of_an_entry(void **state)
{
	struct ks_audit_leaf leaf = example();
	struct ks_digest commitment, hash;

	(void)state;
	assert_int_equal(ks_audit_commit(salt, KS_STR("key_01hzy3v9k2m4n"), &commitment), KS_OK);
	assert_hash(&commitment, "5ba7a606a021e39e79a679b3fccdea3974ea25b08beaea3af2ea1227cc6d9d3e");
	assert_int_equal(ks_audit_leaf_hash(&leaf, &commitment, &hash), KS_OK);
	assert_hash(&hash, "e20438f44652be81deaf5139659f5467e1d4c51256ff32bce93563d9c1016615");
}

static void test_every_part_of_an_entry_counts(void **state)
{
	struct ks_audit_leaf leaf = example(), changed;
	struct ks_digest commitment = {{1}}, hash, other;

	(void)state;
	assert_int_equal(ks_audit_leaf_hash(&leaf, &commitment, &hash), KS_OK);
#define X(name)                                                                             \
	changed = leaf;                                                                     \
	changed.name.n--;                                                                   \
	assert_int_equal(ks_audit_leaf_hash(&changed, &commitment, &other), KS_OK);         \
	assert_false(ks_merkle_same(&hash, &other));
	KS_AUDIT_LEAF_TEXTS(X)
	X(id)
	X(at)
#undef X
	/* What moves from one text to the next is not the same. */
	changed = leaf;
	changed.place = KS_STR("");
	changed.on_behalf = KS_STR("operatororg_01hzy3v9k2m4n");
	assert_int_equal(ks_audit_leaf_hash(&changed, &commitment, &other), KS_OK);
	assert_false(ks_merkle_same(&hash, &other));
	commitment.bytes[31] = 1;
	assert_int_equal(ks_audit_leaf_hash(&leaf, &commitment, &other), KS_OK);
	assert_false(ks_merkle_same(&hash, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots_of_certificate_transparency),
		cmocka_unit_test(test_proofs_of_certificate_transparency),
		cmocka_unit_test(test_roots_and_edges_of_every_size),
		cmocka_unit_test(test_edge_takes_whole_nodes),
		cmocka_unit_test(test_edge_refuses_what_does_not_fit),
		cmocka_unit_test(test_inclusion_of_every_leaf),
		cmocka_unit_test(test_consistency_of_every_pair),
		cmocka_unit_test(test_a_source_that_fails),
		cmocka_unit_test(test_node_above),
		cmocka_unit_test(test_leaf_of_an_entry),
		cmocka_unit_test(test_every_part_of_an_entry_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
