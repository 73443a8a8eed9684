/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/note.h"

#include "base/ctenc.h"
#include "base/cursor.h"

#define KIND_ED25519 0x01
#define KEY_TEXT_SIZE 64             /* base64 of the kind and the key: 44 */
#define SIGNATURE_TEXT_MAX 400
#define SIGNATURE_MAX 300            /* signatures of other kinds are looked over */
#define DASH "\xe2\x80\x94 "         /* U+2014 and a blank */

/* ---- keys ---- */

static bool is_name_byte(unsigned char c)
{
	return c > 0x20 && c != 0x7f && c != '+';
}

bool ks_note_name_ok(struct ks_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (!is_name_byte((unsigned char)name.p[i]))
			return false;
	}
	return name.n >= 1 && name.n <= KS_NOTE_NAME_MAX && ks_str_is_utf8(name);
}

enum ks_err ks_note_verifier_of(struct ks_str name, const uint8_t key[32], struct ks_note_verifier *ret_verifier)
{
	struct ks_note_verifier verifier = {.name = name};
	const struct ks_str parts[] = {name, {"\n\x01", 2}, {(const char *)key, 32}};
	struct ks_digest digest;

	if (!ks_note_name_ok(name))
		return KS_MALFORMED;
	KS_TRY(ks_sha256_parts(parts, KS_ARRAY_LEN(parts), &digest));
	memcpy(verifier.id, digest.bytes, sizeof(verifier.id));
	memcpy(verifier.key, key, sizeof(verifier.key));
	*ret_verifier = verifier;
	return KS_OK;
}

static void put_base64(struct ks_buf *out, const uint8_t *bytes, size_t n)
{
	char text[SIGNATURE_TEXT_MAX];

	ks_buf_put(out, ks_str_of(text, ks_base64_encode(bytes, n, text, sizeof(text))));
}

void ks_note_put_verifier(struct ks_buf *out, const struct ks_note_verifier *verifier)
{
	uint8_t bytes[33];

	bytes[0] = KIND_ED25519;
	memcpy(&bytes[1], verifier->key, sizeof(verifier->key));
	ks_buf_put(out, verifier->name);
	ks_buf_put_byte(out, '+');
	ks_buf_put_hex(out, verifier->id, sizeof(verifier->id));
	ks_buf_put_byte(out, '+');
	put_base64(out, bytes, sizeof(bytes));
}

enum ks_err ks_note_read_verifier(struct ks_str text, struct ks_note_verifier *ret_verifier)
{
	struct ks_note_verifier verifier;
	struct ks_str name, rest, id, key;
	uint8_t bytes[33], stated[KS_NOTE_KEY_ID_SIZE];
	size_t n;

	if (!ks_str_split(text, '+', &name, &rest) || !ks_str_split(rest, '+', &id, &key)
	    || !ks_hex_decode(id, false, stated, sizeof(stated))
	    || !ks_base64_decode(key, bytes, sizeof(bytes), &n) || n != sizeof(bytes) || bytes[0] != KIND_ED25519)
		return KS_MALFORMED;
	KS_TRY(ks_note_verifier_of(name, &bytes[1], &verifier));
	if (!ks_ct_equal(verifier.id, stated, sizeof(stated)))
		return KS_MALFORMED;
	*ret_verifier = verifier;
	return KS_OK;
}

/* ---- notes ---- */

static bool is_base64_byte(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'
	       || c == '=';
}

static enum ks_err read_signature(struct ks_cursor *c, struct ks_note_signature *ret_signature)
{
	struct ks_note_signature signature = {.ed25519 = false};
	uint8_t bytes[SIGNATURE_MAX];
	struct ks_str text;
	size_t n;

	ks_cursor_literal(c, KS_STR(DASH));
	signature.name = ks_cursor_run(c, is_name_byte, 1, KS_NOTE_NAME_MAX);
	ks_cursor_literal(c, KS_STR(" "));
	text = ks_cursor_run(c, is_base64_byte, 1, SIGNATURE_TEXT_MAX);
	ks_cursor_literal(c, KS_STR("\n"));
	if (c->failed || !ks_str_is_utf8(signature.name) || !ks_base64_decode(text, bytes, sizeof(bytes), &n)
	    || n <= sizeof(signature.id))
		return KS_MALFORMED;
	memcpy(signature.id, bytes, sizeof(signature.id));
	signature.ed25519 = n == sizeof(signature.id) + sizeof(signature.bytes);
	if (signature.ed25519)
		memcpy(signature.bytes, &bytes[sizeof(signature.id)], sizeof(signature.bytes));
	*ret_signature = signature;
	return KS_OK;
}

/* Where the signatures begin: behind the last empty line. SIZE_MAX: there is none. */
static size_t signatures_at(struct ks_str bytes)
{
	for (size_t i = bytes.n; i-- > 1;) {
		if (bytes.p[i] == '\n' && bytes.p[i - 1] == '\n')
			return i + 1;
	}
	return SIZE_MAX;
}

static bool text_ok(struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 && text.p[i] != '\n')
			return false;
	}
	return text.n > 0 && ks_str_is_utf8(text);
}

enum ks_err ks_note_read(struct ks_str bytes, struct ks_note *ret_note)
{
	struct ks_note note = {.count = 0};
	size_t at = signatures_at(bytes);
	struct ks_cursor c;

	if (bytes.n > KS_NOTE_MAX)
		return KS_TOO_LARGE;
	if (at == SIZE_MAX)
		return KS_MALFORMED;
	/* The line end before the empty line is the text's own. */
	note.text = ks_str_sub(bytes, 0, at - 1);
	if (!text_ok(note.text))
		return KS_MALFORMED;
	c = ks_cursor_of(ks_str_sub(bytes, at, SIZE_MAX));
	while (ks_cursor_left(&c) > 0) {
		if (note.count == KS_NOTE_SIGNATURES_MAX)
			return KS_MALFORMED;
		KS_TRY(read_signature(&c, &note.signatures[note.count++]));
	}
	if (note.count == 0 || !ks_cursor_done(&c))
		return KS_MALFORMED;
	*ret_note = note;
	return KS_OK;
}

static enum ks_err check_one(struct ks_str text, const struct ks_note_signature *signature,
			     const struct ks_note_verifier *verifier)
{
	KS_AUTO(ks_public_key_free_at) struct ks_public_key *key = NULL;

	if (!signature->ed25519)
		return KS_FORBIDDEN;
	KS_TRY(ks_public_key_ed25519(ks_str_of((const char *)verifier->key, sizeof(verifier->key)), &key));
	return ks_public_key_check(key, KS_SIGN_ALG_EDDSA, text,
				   ks_str_of((const char *)signature->bytes, sizeof(signature->bytes)));
}

enum ks_err ks_note_check(const struct ks_note *note, const struct ks_note_verifier *verifier)
{
	for (size_t i = 0; i < note->count; i++) {
		const struct ks_note_signature *signature = &note->signatures[i];

		if (ks_str_eq(signature->name, verifier->name)
		    && ks_ct_equal(signature->id, verifier->id, sizeof(verifier->id)))
			return check_one(note->text, signature, verifier);
	}
	return KS_NOT_FOUND;
}

enum ks_err ks_note_sign(struct ks_str text, const struct ks_note_verifier *verifier,
			 const struct ks_private_key *key, struct ks_buf *out)
{
	unsigned char signature[KS_SIGNATURE_MAX];
	uint8_t bytes[KS_NOTE_KEY_ID_SIZE + 64];
	size_t n;

	if (!text_ok(text) || text.p[text.n - 1] != '\n')
		return KS_MALFORMED;
	KS_TRY(ks_private_key_sign(key, KS_SIGN_ALG_EDDSA, text, signature, &n));
	if (n != 64)
		return KS_CRYPTO;
	memcpy(bytes, verifier->id, sizeof(verifier->id));
	memcpy(&bytes[KS_NOTE_KEY_ID_SIZE], signature, n);
	ks_buf_put(out, text);
	ks_buf_put_c(out, "\n" DASH);
	ks_buf_put(out, verifier->name);
	ks_buf_put_byte(out, ' ');
	put_base64(out, bytes, sizeof(bytes));
	ks_buf_put_byte(out, '\n');
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}

/* ---- checkpoints ---- */

void ks_checkpoint_put(struct ks_buf *out, const struct ks_checkpoint *checkpoint)
{
	ks_buf_put(out, checkpoint->origin);
	ks_buf_put_byte(out, '\n');
	ks_buf_put_u64(out, checkpoint->size);
	ks_buf_put_byte(out, '\n');
	put_base64(out, checkpoint->root.bytes, sizeof(checkpoint->root.bytes));
	ks_buf_put_byte(out, '\n');
}

enum ks_err ks_checkpoint_read(struct ks_str text, struct ks_checkpoint *ret_checkpoint)
{
	struct ks_checkpoint checkpoint;
	struct ks_str size, root, rest;
	size_t n;

	if (!ks_str_split(text, '\n', &checkpoint.origin, &rest) || !ks_str_split(rest, '\n', &size, &rest)
	    || !ks_str_split(rest, '\n', &root, &rest))
		return KS_MALFORMED;
	if (checkpoint.origin.n < 1 || checkpoint.origin.n > KS_NOTE_ORIGIN_MAX
	    || !ks_str_to_u64(size, KS_MERKLE_SIZE_MAX, &checkpoint.size) || (size.n > 1 && size.p[0] == '0')
	    || !ks_base64_decode(root, checkpoint.root.bytes, sizeof(checkpoint.root.bytes), &n)
	    || n != sizeof(checkpoint.root.bytes))
		return KS_MALFORMED;
	*ret_checkpoint = checkpoint;
	return KS_OK;
}
