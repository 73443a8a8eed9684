/* SPDX-License-Identifier: Apache-2.0 */
/* Writes keys for `keystile keys import`, or their tokens; token number i is always the same.
 *
 *	make_keys keys FIRST COUNT < TENANTS    JSON Lines, bound in turn to the tenant ids on standard input
 *	make_keys mixed FIRST COUNT < TENANTS   the same, with 64 sets of scopes, every 50th a sandbox key, every third with an end
 *	make_keys tokens FIRST COUNT            a token a line */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/id.h"
#include "crypto/sha256.h"

#define TENANTS_MAX 1000000
#define TOKEN_LEN 35

static char (*tenants)[KS_ID_TEXT_SIZE];
static size_t tenant_count;

static void token_of(uint64_t number, char ret_token[TOKEN_LEN + 1])
{
	char text[32];
	struct ks_buf b = KS_BUF(text);
	struct ks_digest digest;

	ks_buf_put_u64(&b, number);
	if (ks_sha256(ks_buf_str(&b), &digest) != KS_OK)
		exit(1);
	b = ks_buf_of(ret_token, TOKEN_LEN + 1);
	ks_buf_put_c(&b, "ks_");
	ks_buf_put_hex(&b, digest.bytes, 16);
	(void)ks_buf_z(&b);
}

static void read_tenants(void)
{
	char line[64];

	tenants = calloc(TENANTS_MAX, sizeof(*tenants));
	while (tenants && tenant_count < TENANTS_MAX && fgets(line, sizeof(line), stdin)) {
		struct ks_buf b = KS_BUF(tenants[tenant_count]);

		line[strcspn(line, "\n")] = '\0';
		ks_buf_put_c(&b, line);
		if (ks_buf_z(&b)[0])
			tenant_count++;
	}
	if (tenant_count == 0)
		exit(1);
}

/* One of 64 sets: a bit a scope. */
static void put_scopes(struct ks_buf *b, uint64_t set)
{
	static const char *const names[] = {"contacts:read", "contacts:write", "phone_numbers:read", "voice_calls:read", "voice_sessions:read",
					    "call_traces:admin_read"};
	bool any = false;

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		if (!(set >> i & 1))
			continue;
		ks_buf_printf(b, "%s\"%s\"", any ? "," : "", names[i]);
		any = true;
	}
}

static void put_key(uint64_t number, bool mixed)
{
	char token[TOKEN_LEN + 1], text[768];
	struct ks_buf b = KS_BUF(text);
	struct ks_digest digest;

	token_of(number, token);
	if (ks_sha256(ks_str_of(token, TOKEN_LEN), &digest) != KS_OK)
		exit(1);
	ks_buf_put_c(&b, "{\"name\":\"key ");
	ks_buf_put_u64(&b, number);
	ks_buf_put_c(&b, "\",\"tenant\":\"");
	ks_buf_put_c(&b, tenants[number % tenant_count]);
	ks_buf_put_c(&b, "\",\"scopes\":[");
	put_scopes(&b, mixed ? number % 64 : 5);
	ks_buf_printf(&b, "],\"environment\":\"%s\",\"expires_at\":%s", mixed && number % 50 == 0 ? "sandbox" : "live",
		      mixed && number % 3 == 0 ? "\"2099-01-01T00:00:00.000Z\"" : "null");
	ks_buf_put_c(&b, ",\"prefix\":\"ks\",\"last_four\":\"");
	ks_buf_put_c(&b, token + TOKEN_LEN - 4);
	ks_buf_put_c(&b, "\",\"sha256\":\"");
	ks_buf_put_hex(&b, digest.bytes, sizeof(digest.bytes));
	ks_buf_put_c(&b, "\"}");
	(void)puts(ks_buf_z(&b));
}

int main(int argc, char **argv)
{
	bool mixed = argc == 4 && ks_str_eq(ks_str_c(argv[1]), KS_STR("mixed"));
	bool keys = mixed || (argc == 4 && ks_str_eq(ks_str_c(argv[1]), KS_STR("keys")));
	char token[TOKEN_LEN + 1];
	uint64_t first, count;

	if (argc != 4 || !ks_str_to_u64(ks_str_c(argv[2]), UINT64_MAX, &first) || !ks_str_to_u64(ks_str_c(argv[3]), UINT64_MAX, &count)) {
		(void)fprintf(stderr, "usage: make_keys keys|mixed|tokens FIRST COUNT\n");
		return 2;
	}
	if (keys)
		read_tenants();
	for (uint64_t i = first; i < first + count; i++) {
		if (keys) {
			put_key(i, mixed);
		} else {
			token_of(i, token);
			(void)puts(token);
		}
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
