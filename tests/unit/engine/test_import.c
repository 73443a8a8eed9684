/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/ctenc.h"
#include "crypto/sha256.h"
#include "support.h"

struct bad {
	uint64_t line;
	char pointer[128];
	char detail[256];
};

struct session {
	struct world w;
	struct ks_import *import;
	struct bad bad[256];
	size_t bad_count;
	struct ks_import_result result;
	char org[KS_ID_TEXT_SIZE], project[KS_ID_TEXT_SIZE], partner[KS_ID_TEXT_SIZE], user[KS_ID_TEXT_SIZE];
	uint64_t org_id;
};

static void on_bad(void *ctx, uint64_t line, const char *pointer, const char *detail)
{
	struct session *s = ctx;
	struct bad *b = &s->bad[s->bad_count];

	if (s->bad_count == KS_ARRAY_LEN(s->bad))
		return;
	s->bad_count++;
	b->line = line;
	(void)snprintf(b->pointer, sizeof(b->pointer), "%s", pointer);
	(void)snprintf(b->detail, sizeof(b->detail), "%s", detail);
}

static enum ks_err step_local(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)refusal;
	ks_actor_local(tx->ring, ctx);
	return KS_OK;
}

static struct ks_actor local_actor(struct world *w)
{
	struct ks_actor actor;

	assert_int_equal(world_change(w, step_local, &actor), KS_OK);
	return actor;
}

static void begin(struct session *s)
{
	struct ks_actor actor = local_actor(&s->w);

	s->bad_count = 0;
	assert_int_equal(ks_import_begin(s->w.engine, &actor, on_bad, s, &s->import), KS_OK);
}

static void feed(struct session *s, const char *text)
{
	assert_int_equal(ks_import_feed(s->import, ks_str_c(text)), KS_OK);
}

static void end(struct session *s)
{
	assert_int_equal(ks_import_end(&s->import, &s->result), KS_OK);
	assert_null(s->import);
}

static int set_up(void **state)
{
	static struct session s;
	uint64_t id;

	memset(&s, 0, sizeof(s));
	world_new(&s.w);
	s.org_id = make_tenant(&s.w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	ks_id_format(KS_ID_ORGANIZATION, s.org_id, s.org);
	id = make_tenant(&s.w, KS_TENANT_KIND_PROJECT, s.org_id, "Project");
	ks_id_format(KS_ID_PROJECT, id, s.project);
	id = make_tenant(&s.w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	ks_id_format(KS_ID_PARTNER, id, s.partner);
	id = make_user(&s.w, s.org_id, "ann@example.org");
	ks_id_format(KS_ID_USER, id, s.user);
	*state = &s;
	return 0;
}

static int tear_down(void **state)
{
	struct session *s = *state;

	assert_in_step(&s->w);
	world_free(&s->w);
	return 0;
}

static const char *hex_of(const char *token)
{
	static char text[4][2 * KS_SHA256_SIZE + 1];
	static unsigned turn;
	struct ks_digest digest;
	struct ks_buf b = KS_BUF(text[turn = (turn + 1) % 4]);

	assert_int_equal(ks_sha256(ks_str_c(token), &digest), KS_OK);
	ks_buf_put_hex(&b, digest.bytes, sizeof(digest.bytes));
	return ks_buf_z(&b);
}

/* One line of the organization with these further members. */
static const char *line_of(struct session *s, const char *token, const char *more)
{
	static char text[70000];

	(void)snprintf(text, sizeof(text),
		       "{\"name\":\"k\",\"tenant\":\"%s\",\"scopes\":[\"contacts:read\"],\"expires_at\":null,"
		       "\"sha256\":\"%s\"%s}\n",
		       s->org, hex_of(token), more);
	return text;
}

/* ---- bad lines ---- */

static void each_bad_line_is_told_with_its_place(void **state)
{
	struct session *s = *state;
	const char *digest = hex_of("some-token");
	const struct {
		const char *line, *pointer;
	} cases[] = {
		{"not json", ""},
		{"[]", ""},
		{"{\"name\":", ""},
		{"{\"name\":\"k\"} x", ""},
		{"{\"name\":\"k\xff\"}", ""},
		{"{\"name\":1}", "/name"},
		{"{\"name\":\"k\",\"name\":\"k\"}", "/name"},
		{"{\"name\":\"\"}", "/name"},
		{"{\"name\":\"a\\nb\"}", "/name"},
		{"{\"nam\\u0065\":\"a\\u0000b\"}", "/name"},
		{"{\"surname\":\"x\"}", "/surname"},
		{"{\"a/b~c\":\"x\"}", "/a~1b~0c"},
		{"{\"tenant\":\"org_0\"}", "/tenant"},
		{"{\"tenant\":\"usr_0000000000001\"}", "/tenant"},
		{"{\"tenant\":5}", "/tenant"},
		{"{\"user\":\"org_0000000000001\"}", "/user"},
		{"{\"kind\":\"session\"}", "/kind"},
		{"{\"kind\":\"x\"}", "/kind"},
		{"{\"environment\":\"prod\"}", "/environment"},
		{"{\"environment\":null}", "/environment"},
		{"{\"expires_at\":\"tomorrow\"}", "/expires_at"},
		{"{\"expires_at\":1}", "/expires_at"},
		{"{\"sha256\":\"00\"}", "/sha256"},
		{"{\"sha256\":\"zz\"}", "/sha256"},
		{"{\"labels\":[]}", "/labels"},
		{"{\"labels\":{\"a\":1}}", "/labels"},
		{"{\"labels\":{\"a\":\"b\",\"a\":\"c\"}}", "/labels"},
		{"{\"labels\":{\"\":\"c\"}}", "/labels"},
	};
	const char *const behind[] = {
		"\"scopes\":\"all\"",
		"/scopes",
		"\"scopes\":[1]",
		"/scopes",
		"\"scopes\":{}",
		"/scopes",
		"\"scopes\":null",
		"/scopes",
		"\"scopes\":[\"no:such\"]",
		"/scopes/0",
		"\"roles\":[\"x\"]",
		"/roles/0",
		"\"roles\":\"x\"",
		"/roles",
		"\"addresses\":[\"1.2.3.4/33\"]",
		"/addresses",
		"\"addresses\":[\"x\"]",
		"/addresses",
		"\"addresses\":{}",
		"/addresses",
		"\"rate_limit\":{\"requests\":1}",
		"/rate_limit",
		"\"rate_limit\":{\"requests\":0,\"window_s\":1}",
		"/rate_limit/requests",
		"\"rate_limit\":{\"requests\":1,\"window_s\":99999999}",
		"/rate_limit/window_s",
		"\"rate_limit\":{\"requests\":1,\"window_s\":1,\"x\":1}",
		"/rate_limit",
		"\"rate_limit\":5",
		"/rate_limit",
		"\"rate_limit\":{\"requests\":1,\"requests\":1}",
		"/rate_limit",
		"\"prefix\":\"a b\"",
		"/prefix",
		"\"last_four\":\"12345\"",
		"/last_four",
		"\"scopes\":[\"billing:allocate\"]",
		"/scopes/0",
	};
	size_t n = 0;

	begin(s);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		feed(s, cases[i].line);
		feed(s, "\n");
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(behind); i += 2) {
		char line[400];

		(void)snprintf(line, sizeof(line),
			       "{\"name\":\"k\",\"expires_at\":null,\"tenant\":\"%s\",\"sha256\":\"%s\",%s}\n", s->org,
			       digest, behind[i]);
		feed(s, line);
	}
	end(s);
	assert_int_equal(s->result.lines, KS_ARRAY_LEN(cases) + KS_ARRAY_LEN(behind) / 2);
	assert_int_equal(s->result.imported, 0);
	assert_int_equal(s->result.refused, s->result.lines);
	assert_int_equal(s->bad_count, s->result.lines);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++, n++) {
		if (strcmp(s->bad[n].pointer, cases[i].pointer) != 0)
			fail_msg("%s: %s %s", cases[i].line, s->bad[n].pointer, s->bad[n].detail);
		assert_int_equal(s->bad[n].line, n + 1);
		assert_true(s->bad[n].detail[0] != '\0');
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(behind); i += 2, n++) {
		if (strcmp(s->bad[n].pointer, behind[i + 1]) != 0)
			fail_msg("%s: %s %s", behind[i], s->bad[n].pointer, s->bad[n].detail);
	}
}

static void what_must_be_given(void **state)
{
	struct session *s = *state;
	const char *const lines[] = {
		"{\"expires_at\":null,\"sha256\":\"", "/name",
		"{\"name\":\"k\",\"sha256\":\"", "/expires_at",
	};

	begin(s);
	for (size_t i = 0; i < KS_ARRAY_LEN(lines); i += 2) {
		feed(s, lines[i]);
		feed(s, hex_of("t"));
		feed(s, "\"}\n");
	}
	feed(s, "{\"name\":\"k\",\"expires_at\":null}");
	end(s);
	assert_int_equal(s->bad_count, 3);
	assert_string_equal(s->bad[0].pointer, "/name");
	assert_string_equal(s->bad[1].pointer, "/expires_at");
	assert_string_equal(s->bad[2].pointer, "/sha256");
}

static void what_only_the_truth_can_say(void **state)
{
	struct session *s = *state;
	char line[600];

	begin(s);
	feed(s, line_of(s, "one-token", ""));
	end(s);
	assert_int_equal(s->result.imported, 1);
	begin(s);
	feed(s, "\n  \r\n");
	feed(s, line_of(s, "one-token", ""));
	feed(s, line_of(s, "two-token", ""));
	feed(s, line_of(s, "two-token", ""));
	/* The right number behind another kind's prefix. */
	(void)snprintf(line, sizeof(line),
		       "{\"name\":\"k\",\"expires_at\":null,\"tenant\":\"prj_%s\",\"sha256\":\"%s\"}\n", s->org + 4,
		       hex_of("three-token"));
	feed(s, line);
	(void)snprintf(
		line, sizeof(line),
		"{\"name\":\"k\",\"expires_at\":null,\"tenant\":\"%s\",\"kind\":\"partner\",\"sha256\":\"%s\"}\n",
		s->org, hex_of("four-token"));
	feed(s, line);
	feed(s, "{\"name\":\"k\",\"expires_at\":null,\"tenant\":\"org_0000000000001\",\"sha256\":\"");
	feed(s, hex_of("five-token"));
	feed(s, "\"}");
	end(s);
	assert_int_equal(s->result.lines, 6);
	assert_int_equal(s->result.imported, 1);
	assert_int_equal(s->bad_count, 5);
	const struct {
		uint64_t line;
		const char *pointer;
	} want[] = {{3, "/sha256"}, {5, "/sha256"}, {6, "/tenant"}, {7, "/kind"}, {8, "/tenant"}};
	for (size_t i = 0; i < KS_ARRAY_LEN(want); i++) {
		assert_int_equal(s->bad[i].line, want[i].line);
		assert_string_equal(s->bad[i].pointer, want[i].pointer);
	}
	assert_int_equal(ask(&s->w, "two-token"), KS_REASON_OK);
}

static void a_line_that_is_too_long_is_skipped_whole(void **state)
{
	struct session *s = *state;
	char *long_line = malloc(200001);

	assert_non_null(long_line);
	memset(long_line, ' ', 200000);
	long_line[200000] = '\0';
	begin(s);
	feed(s, long_line);
	feed(s, long_line);
	feed(s, "\n");
	feed(s, line_of(s, "behind-it", ""));
	/* In one piece with its newline. */
	long_line[199999] = '\n';
	feed(s, long_line);
	feed(s, line_of(s, "behind-that", ""));
	end(s);
	free(long_line);
	assert_int_equal(s->result.imported, 2);
	assert_int_equal(s->bad_count, 2);
	assert_int_equal(s->bad[0].line, 1);
	assert_int_equal(s->bad[1].line, 3);
}

static void only_the_operator_imports(void **state)
{
	struct session *s = *state;
	struct ks_actor actor = actor_of(&s->w, make_key(&s->w, s->org_id, "contacts:read").token);
	struct ks_import *import = NULL;

	assert_int_equal(ks_import_begin(s->w.engine, &actor, on_bad, s, &import), KS_FORBIDDEN);
	assert_null(import);
	actor = actor_of(&s->w, make_key(&s->w, 0, "contacts:read").token);
	assert_int_equal(ks_import_begin(s->w.engine, &actor, on_bad, s, &import), KS_OK);
	assert_int_equal(
		ks_import_feed(import,
			       KS_STR("{\"name\":\"k\",\"kind\":\"runtime\",\"expires_at\":null,\"sha256\":\"")),
		KS_OK);
	assert_int_equal(ks_import_feed(import, ks_str_c(hex_of("runtime-token"))), KS_OK);
	assert_int_equal(ks_import_feed(import, KS_STR("\"}")), KS_OK);
	assert_int_equal(ks_import_end(&import, &s->result), KS_OK);
	assert_int_equal(s->bad_count, 1);
	assert_string_equal(s->bad[0].pointer, "/kind");
}

/* ---- good lines ---- */

static void a_full_line_keeps_everything(void **state)
{
	struct session *s = *state;
	struct key_seen seen;
	struct ks_engine_reader reader;
	const struct ks_ring_key *key;
	const struct ks_ring *ring;
	struct ks_digest digest;
	char line[1200];
	uint64_t id, slot;

	begin(s);
	(void)snprintf(
		line, sizeof(line),
		" { \"name\" : \"CRM \\u00e9\\\"\" , "
		"\"kind\":\"tenant\",\"tenant\":\"%s\",\"user\":null,\"roles\":[\"call_operator\"],"
		"\"scopes\":[\"contacts:write\"],\"expires_at\":\"2099-01-01T00:00:00Z\",\"environment\":\"sandbox\","
		"\"addresses\":[\"203.0.113.0/24\"],\"rate_limit\":{\"window_s\":60,\"requests\":5},"
		"\"labels\":{ \"team\" : \"o\\u0070s\" "
		"},\"sha256\":\"%s\",\"prefix\":\"legacy\",\"last_four\":\"-tok\"}\r\n",
		s->project, hex_of("the-old-tok"));
	feed(s, line);
	end(s);
	assert_int_equal(s->bad_count, 0);
	assert_int_equal(s->result.imported, 1);
	assert_int_equal(ks_engine_reader_open(s->w.engine, &reader), KS_OK);
	ring = ks_ringmap_reader_ring(reader.ring);
	assert_int_equal(ks_sha256(KS_STR("the-old-tok"), &digest), KS_OK);
	key = ks_ring_key(ring, &digest, ks_ring_home(ring, &digest), &slot);
	assert_non_null(key);
	id = key->id;
	ks_engine_reader_close(&reader);
	assert_true(see_key(&s->w, id, &seen));
	assert_string_equal(seen.name, "CRM \xc3\xa9\"");
	assert_string_equal(seen.labels, "{\"team\":\"ops\"}");
	assert_string_equal(seen.prefix, "legacy");
	assert_string_equal(seen.last_four, "-tok");
	assert_true(seen.row.imported);
	assert_int_equal(seen.row.binding, KS_BINDING_PROJECT);
	assert_int_equal(seen.row.environment, KS_ENVIRONMENT_SANDBOX);
	assert_true(seen.row.expires_at == INT64_C(4070908800000));
	assert_string_equal(
		seen.grant,
		"{\"addresses\":[\"203.0.113.0/24\"],\"rate_limit\":{\"requests\":5,\"window_s\":60},"
		"\"roles\":[\"call_operator\"],\"scopes\":[\"calls:read\",\"contacts:read\",\"contacts:write\"]}");
	assert_int_equal(audit_count(&s->w, "key.import"), 1);
}

static void digests_in_each_spelling(void **state)
{
	struct session *s = *state;
	struct ks_digest digest;
	char base64[64], line[500];
	const char *const tokens[] = {"spelt-in-HEX", "spelt-in-base64", "spelt-in-base64url"};

	begin(s);
	for (size_t i = 0; i < KS_ARRAY_LEN(tokens); i++) {
		const char *text = hex_of(tokens[i]);
		char upper[65];
		size_t n;

		assert_int_equal(ks_sha256(ks_str_c(tokens[i]), &digest), KS_OK);
		if (i == 0) {
			for (n = 0; n < 64; n++)
				upper[n] = text[n] >= 'a' ? (char)(text[n] - 'a' + 'A') : text[n];
			upper[64] = '\0';
			text = upper;
		} else {
			n = i == 1 ? ks_base64_encode(digest.bytes, 32, base64, sizeof(base64) - 1)
				   : ks_base64url_encode(digest.bytes, 32, base64, sizeof(base64) - 1);
			base64[n] = '\0';
			text = base64;
		}
		(void)snprintf(line, sizeof(line),
			       "{\"name\":\"k\",\"tenant\":\"%s\",\"scopes\":[\"contacts:read\"],\"expires_at\":null,"
			       "\"sha256\":\"%s\"}\n",
			       s->org, text);
		feed(s, line);
	}
	end(s);
	assert_int_equal(s->result.imported, 3);
	for (size_t i = 0; i < KS_ARRAY_LEN(tokens); i++)
		assert_int_equal(ask(&s->w, tokens[i]), KS_REASON_OK);
}

static void lines_may_be_cut_anywhere(void **state)
{
	struct session *s = *state;
	char text[4096] = "";
	struct ks_buf b = KS_BUF(text);
	size_t round = 0;

	for (size_t piece = 1; piece < 40; piece += 6, round++) {
		b.n = 0;
		for (int i = 0; i < 8; i++) {
			char token[32];

			(void)snprintf(token, sizeof(token), "token-%zu-%d", round, i);
			ks_buf_put_c(&b, line_of(s, token, i % 2 ? ",\"labels\":{\"a\":\"b\"}" : ""));
		}
		assert_true(ks_buf_ok(&b));
		/* The last line without its newline. */
		b.n--;
		begin(s);
		for (size_t at = 0; at < b.n; at += piece)
			assert_int_equal(ks_import_feed(s->import, ks_str_sub(ks_buf_str(&b), at, piece)), KS_OK);
		end(s);
		assert_int_equal(s->result.lines, 8);
		assert_int_equal(s->result.imported, 8);
	}
	assert_int_equal(ask(&s->w, "token-0-7"), KS_REASON_OK);
}

static void kinds_and_bindings_of_the_tenants(void **state)
{
	struct session *s = *state;
	char line[500];

	begin(s);
	(void)snprintf(line, sizeof(line),
		       "{\"name\":\"k\",\"tenant\":\"%s\",\"scopes\":[\"contacts:read\",\"billing:allocate\"],"
		       "\"expires_at\":null,\"sha256\":\"%s\"}\n",
		       s->partner, hex_of("of-partner"));
	feed(s, line);
	(void)snprintf(
		line, sizeof(line),
		"{\"name\":\"k\",\"user\":\"%s\",\"scopes\":\"default\",\"expires_at\":null,\"sha256\":\"%s\"}\n",
		s->user, hex_of("of-a-user"));
	feed(s, line);
	(void)snprintf(line, sizeof(line),
		       "{\"name\":\"k\",\"kind\":\"runtime\",\"scopes\":[\"contacts:read\"],\"expires_at\":null,"
		       "\"sha256\":\"%s\"}\n",
		       hex_of("of-runtime"));
	feed(s, line);
	end(s);
	assert_int_equal(s->bad_count, 0);
	assert_int_equal(actor_of(&s->w, "of-partner").kind, KS_KIND_PARTNER);
	assert_int_equal(actor_of(&s->w, "of-a-user").binding, KS_BINDING_USER);
	assert_int_equal(actor_of(&s->w, "of-runtime").kind, KS_KIND_RUNTIME);
	assert_false(actor_of(&s->w, "of-runtime").is_operator);
}

/* Several batches, the ring growing below them, bad lines among them. */
static void many_lines(void **state)
{
	struct session *s = *state;
	const unsigned count = 150000;
	struct ks_engine_stats before, after;
	char *text = malloc(1 << 20);
	struct ks_buf b = ks_buf_of(text, 1 << 20);
	uint64_t bad = 0;

	assert_non_null(text);
	begin(s);
	ks_engine_stats(s->w.engine, &before);
	for (unsigned i = 0; i < count; i++) {
		char token[32];

		(void)snprintf(token, sizeof(token), "many-%u", i);
		if (i % 1000 == 999) {
			ks_buf_put_c(&b, "{\"name\":\"k\"}\n");
			bad++;
		} else {
			ks_buf_put_c(
				&b, line_of(s, token, i % 2 ? ",\"rate_limit\":{\"requests\":5,\"window_s\":60}" : ""));
		}
		if (b.n > (1 << 20) - 1000) {
			assert_int_equal(ks_import_feed(s->import, ks_buf_str(&b)), KS_OK);
			b.n = 0;
		}
	}
	assert_int_equal(ks_import_feed(s->import, ks_buf_str(&b)), KS_OK);
	end(s);
	free(text);
	assert_int_equal(s->result.lines, count);
	assert_int_equal(s->result.refused, bad);
	assert_int_equal(s->result.imported, count - bad);
	assert_int_equal(s->bad[0].line, 1000);
	assert_int_equal(s->bad[1].line, 2000);
	ks_engine_stats(s->w.engine, &after);
	assert_int_equal(after.keys - before.keys, count - bad);
	assert_true(after.growths > before.growths);
	/* One for each chunk; the service's own chores may have come between. */
	assert_true(after.commits - before.commits >= 5 && after.commits - before.commits < 12);
	assert_int_equal(ask(&s->w, "many-149998"), KS_REASON_OK);
}

/* More different grants than are remembered at once. */
static void grants_are_forgotten_and_found_again(void **state)
{
	struct session *s = *state;

	begin(s);
	for (unsigned i = 0; i < 17000; i++) {
		char token[32], more[64];

		(void)snprintf(token, sizeof(token), "granted-%u", i);
		(void)snprintf(more, sizeof(more), ",\"addresses\":[\"10.%u.%u.0/24\"]", i / 256 % 256, i % 256);
		feed(s, line_of(s, token, more));
	}
	end(s);
	assert_int_equal(s->result.imported, 17000);
	assert_int_equal(s->bad_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_bad_line_is_told_with_its_place),
		TEST(what_must_be_given),
		TEST(what_only_the_truth_can_say),
		TEST(a_line_that_is_too_long_is_skipped_whole),
		TEST(only_the_operator_imports),
		TEST(a_full_line_keeps_everything),
		TEST(digests_in_each_spelling),
		TEST(lines_may_be_cut_anywhere),
		TEST(kinds_and_bindings_of_the_tenants),
		TEST(many_lines),
		TEST(grants_are_forgotten_and_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
