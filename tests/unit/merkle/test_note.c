/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/ctenc.h"
#include "merkle/note.h"

/* The example of the specification and of Go's golang.org/x/mod/sumdb/note. */
#define NAME "PeterNeumann"
#define VERIFIER NAME "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define SEED "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define TEXT \
	"If you think cryptography is the answer to your problem,\n" \
	"then you don't know what your problem is.\n"
#define DASH "\xe2\x80\x94 "
#define SIGNATURE \
	DASH NAME " x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
#define NOTE TEXT "\n" SIGNATURE

static struct ks_note_verifier verifier(void)
{
	struct ks_note_verifier v;

	assert_int_equal(ks_note_read_verifier(KS_STR(VERIFIER), &v), KS_OK);
	return v;
}

static enum ks_err open_note(const char *bytes)
{
	struct ks_note_verifier v = verifier();
	struct ks_note note;

	KS_TRY(ks_note_read(ks_str_c(bytes), &note));
	return ks_note_check(&note, &v);
}

static struct ks_private_key *private_key(void)
{
	uint8_t der[16 + 33] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
	uint8_t seed[33];
	struct ks_private_key *key;
	size_t n;

	assert_true(ks_base64_decode(KS_STR(SEED), seed, sizeof(seed), &n));
	assert_int_equal(n, sizeof(seed));
	memcpy(&der[16], &seed[1], 32);
	assert_int_equal(ks_private_key_load(ks_str_of((const char *)der, 48), &key), KS_OK);
	return key;
}

static void test_a_note_of_another_maker(void **state)
{
	struct ks_note note;

	(void)state;
	assert_int_equal(ks_note_read(KS_STR(NOTE), &note), KS_OK);
	assert_true(ks_str_eq(note.text, KS_STR(TEXT)));
	assert_int_equal(note.count, 1);
	assert_int_equal(open_note(NOTE), KS_OK);
}

static void test_signing_gives_the_same_bytes(void **state)
{
	struct ks_note_verifier v = verifier();
	struct ks_private_key *key = private_key();
	char bytes[1024], small[64];
	struct ks_buf out = KS_BUF(bytes), too_small = KS_BUF(small);

	(void)state;
	assert_int_equal(ks_note_sign(KS_STR(TEXT), &v, key, &out), KS_OK);
	assert_true(ks_str_eq(ks_buf_str(&out), KS_STR(NOTE)));
	assert_int_equal(ks_note_sign(KS_STR("no line end"), &v, key, &out), KS_MALFORMED);
	assert_int_equal(ks_note_sign(KS_STR(""), &v, key, &out), KS_MALFORMED);
	assert_int_equal(ks_note_sign(KS_STR("a\tb\n"), &v, key, &out), KS_MALFORMED);
	assert_int_equal(ks_note_sign(KS_STR(TEXT), &v, key, &too_small), KS_TOO_LARGE);
	ks_private_key_free(key);
}

static void test_verifier_text(void **state)
{
	struct ks_note_verifier v = verifier();
	char text[KS_NOTE_VERIFIER_SIZE];
	struct ks_buf out = KS_BUF(text);
	static const char *const bad[] = {
		"", "PeterNeumann", "PeterNeumann+c74f20a3", "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
		"PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	};

	(void)state;
	ks_note_put_verifier(&out, &v);
	assert_true(ks_str_eq(ks_buf_str(&out), KS_STR(VERIFIER)));
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_int_equal(ks_note_read_verifier(ks_str_c(bad[i]), &v), KS_MALFORMED);
	assert_false(ks_note_name_ok(KS_STR("")));
	assert_false(ks_note_name_ok(KS_STR("a b")));
	assert_false(ks_note_name_ok(KS_STR("a+b")));
	assert_false(ks_note_name_ok(KS_STR("a\xff")));
	assert_true(ks_note_name_ok(KS_STR("example.com/log")));
}

static void test_malformed_notes(void **state)
{
	static const char *const bad[] = {
		"", "\n", "\n\n", TEXT, TEXT "\n", TEXT SIGNATURE, "\n" SIGNATURE, NOTE "\n", NOTE "x", NOTE " ",
		TEXT "\n" DASH NAME " x08go\n", TEXT "\n" DASH NAME " \n", TEXT "\n" DASH " x08go/ZJkuBS9UG/SffcvA==\n",
		TEXT "\n- " NAME " x08go/ZJkuBS9UG/SffcvA==\n", TEXT "\n" DASH NAME "  x08go/ZJkuBS9UG/SffcvA==\n",
		TEXT "\n" DASH NAME " x08go/ZJkuBS9UG/SffcvA==", TEXT "\n" DASH "a+b x08go/ZJkuBS9UG/SffcvA==\n",
		TEXT "\n" DASH NAME " AAAA\n", "a\rb\n\n" SIGNATURE, "a\xff\n\n" SIGNATURE,
		TEXT "\n" SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE
			SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE SIGNATURE,
	};
	struct ks_note note;
	char *large = calloc(1, KS_NOTE_MAX + 1);

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_int_equal(ks_note_read(ks_str_c(bad[i]), &note), KS_MALFORMED);
	assert_int_equal(ks_note_read(ks_str_of(large, KS_NOTE_MAX + 1), &note), KS_TOO_LARGE);
	free(large);
}

static void test_signatures_that_are_not(void **state)
{
	(void)state;
	/* Another text; none by this key; another's and ours; of another size under our name. */
	assert_int_equal(open_note("x" NOTE), KS_FORBIDDEN);
	assert_int_equal(open_note(TEXT "\n" DASH "Other x08go/ZJkuBS9UG/SffcvA==\n"), KS_NOT_FOUND);
	assert_int_equal(open_note(TEXT "\n" DASH "Other x08go/ZJkuBS9UG/SffcvA==\n" SIGNATURE), KS_OK);
	assert_int_equal(open_note(TEXT "\n" DASH NAME " x08go/ZJkuBS9UG/SffcvA==\n"), KS_FORBIDDEN);
	assert_int_equal(open_note(TEXT "\n" DASH NAME " x18go/ZJkuBS9UG/SffcvA==\n"), KS_NOT_FOUND);
}

static void test_checkpoint(void **state)
{
	struct ks_checkpoint c = {.origin = KS_STR("example.com/log"), .size = 15368405}, read;
	char bytes[256];
	struct ks_buf out = KS_BUF(bytes);
	size_t n;
	static const char *const bad[] = {
		"", "a\n", "a\n1\n", "a\n1\n31JQ\n", "\n1\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n",
		"a\n01\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n", "a\n-1\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n",
		"a\n\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n",
		"a\n9223372036854775807\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n",
		"a\n1\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=",
	};

	(void)state;
	assert_true(ks_base64_decode(KS_STR("31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE="), c.root.bytes, 32, &n));
	ks_checkpoint_put(&out, &c);
	assert_true(ks_str_eq(ks_buf_str(&out), KS_STR("example.com/log\n15368405\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n")));
	ks_buf_put_c(&out, "an extension\n");
	assert_int_equal(ks_checkpoint_read(ks_buf_str(&out), &read), KS_OK);
	assert_true(ks_str_eq(read.origin, c.origin) && read.size == c.size && ks_merkle_same(&read.root, &c.root));
	assert_int_equal(ks_checkpoint_read(KS_STR("a\n0\n31JQUq8EyQx5lpqtKRqryJzA+77WD2xmTyuB4uIlXeE=\n"), &read), KS_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_int_equal(ks_checkpoint_read(ks_str_c(bad[i]), &read), KS_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_note_of_another_maker),
		cmocka_unit_test(test_signing_gives_the_same_bytes),
		cmocka_unit_test(test_verifier_text),
		cmocka_unit_test(test_malformed_notes),
		cmocka_unit_test(test_signatures_that_are_not),
		cmocka_unit_test(test_checkpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
