/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and credentials. The input is read as a token, as a prefix, and line by line as headers: the first byte of a
 * line says which carrier, the rest is the value. */
#include <stdlib.h>

#include "base/hash.h"
#include "token/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static void check_token(struct ks_str text)
{
	enum ks_token_form form = ks_token_form(text);
	struct ks_str prefix = ks_token_prefix(text);

	CHECK(form == KS_TOKEN_OWN ? ks_token_prefix_ok(prefix) : prefix.n == 0);
	if (form == KS_TOKEN_OWN) {
		CHECK(text.n == prefix.n + 33 || text.n == prefix.n + 42);
		CHECK(text.n < KS_TOKEN_TEXT_SIZE);
		CHECK(ks_str_starts(text, prefix) && text.p[prefix.n] == '_');
	}
	if (form == KS_TOKEN_JWT)
		CHECK(ks_str_starts(text, KS_STR("eyJ")));
	if (form == KS_TOKEN_FOREIGN)
		CHECK(text.n >= KS_TOKEN_FOREIGN_MIN && text.n <= KS_TOKEN_FOREIGN_MAX);
	if (form != KS_TOKEN_NONE)
		CHECK(ks_str_is_utf8(text) && !ks_str_has_control(text) && ks_str_find(text, ' ') == SIZE_MAX);
}

/* The first 16 bytes make the random part, the rest is the prefix. */
static void check_made(struct ks_str text)
{
	char made[KS_TOKEN_TEXT_SIZE];
	struct ks_str prefix = ks_str_sub(text, KS_TOKEN_RANDOM_BYTES, SIZE_MAX);

	if (text.n < KS_TOKEN_RANDOM_BYTES)
		return;
	for (int checksum = 0; checksum < 2; checksum++) {
		enum ks_err err = ks_token_make(prefix, (const uint8_t *)text.p, checksum, made);

		CHECK((err == KS_OK) == ks_token_prefix_ok(prefix));
		if (err)
			continue;
		CHECK(ks_token_form(ks_str_c(made)) == KS_TOKEN_OWN);
		CHECK(ks_str_eq(ks_token_prefix(ks_str_c(made)), prefix));
	}
}

static void check_credential(const struct ks_credential *c, size_t sent)
{
	CHECK(sent > 0 || c->presented == KS_PRESENTED_NOTHING);
	CHECK(sent < 2 || c->presented == KS_PRESENTED_MALFORMED);
	CHECK(sent == 0 || c->presented != KS_PRESENTED_NOTHING);
	switch (c->presented) {
	case KS_PRESENTED_TOKEN:
		CHECK(c->form != KS_TOKEN_NONE && c->form == ks_token_form(c->token) && c->user.n == 0);
		break;
	case KS_PRESENTED_BASIC:
		CHECK(c->form == KS_TOKEN_OWN || c->form == KS_TOKEN_FOREIGN);
		CHECK(c->form == ks_token_form(c->token) && c->basic_tried);
		CHECK(c->user.p == c->decoded && c->token.p == &c->decoded[c->user.n + 1]);
		CHECK(c->user.n + 1 + c->token.n <= sizeof(c->decoded));
		break;
	default:
		CHECK(c->token.n == 0 && c->user.n == 0 && c->form == KS_TOKEN_NONE);
	}
}

static void check_headers(struct ks_str text)
{
	static struct ks_credential credential;
	struct ks_str rest = text, line;
	size_t sent = 0;

	ks_credential_init(&credential);
	for (bool more = true; more;) {
		struct ks_str value;

		more = ks_str_split(rest, '\n', &line, &rest);
		if (!more)
			line = rest;
		value = ks_str_sub(line, 1, SIZE_MAX);
		if (line.n > 0 && line.p[0] == 'A')
			ks_credential_authorization(&credential, value);
		else
			ks_credential_header(&credential, value, 1);
		sent += value.n > 0;
		check_credential(&credential, sent);
	}
	ks_credential_wipe(&credential);
	CHECK(credential.token.n == 0 && credential.user.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str text = ks_str_of((const char *)data, size);

	check_token(text);
	check_made(text);
	check_headers(text);
	return 0;
}
