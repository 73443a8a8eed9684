/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of the strict layer on heads that were split already, and the seams between their parts. The same over a
 * wire: tests/http. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "http/strict.h"

#define HEADERS_AT_MOST (KS_HEADERS_MAX + 8)

/* A head built up by a test. */
struct built {
	struct ks_http_head head;
	struct ks_header headers[HEADERS_AT_MOST];
	struct ks_http_facts facts;
};

static void start(struct built *b, const char *method, const char *target, const char *version)
{
	b->head = (struct ks_http_head){ks_str_c(method), ks_str_c(target), ks_str_c(version), b->headers, 0};
}

static void add(struct built *b, const char *name, const char *value)
{
	assert_true(b->head.header_count < HEADERS_AT_MOST);
	b->headers[b->head.header_count++] = (struct ks_header){ks_str_c(name), ks_str_c(value)};
}

static void usual(struct built *b)
{
	start(b, "GET", "/a?b=c", "HTTP/1.1");
	add(b, "Host", "x");
}

static enum ks_http_refusal check(struct built *b)
{
	return ks_http_strict(&b->head, &b->facts);
}

static void expect_line(const char *method, const char *target, const char *version, enum ks_http_refusal want)
{
	struct built b;

	start(&b, method, target, version);
	add(&b, "Host", "x");
	assert_int_equal(check(&b), want);
}

static void expect_headers(const char *const (*headers)[2], size_t count, enum ks_http_refusal want)
{
	struct built b;

	usual(&b);
	for (size_t i = 0; i < count; i++)
		add(&b, headers[i][0], headers[i][1]);
	assert_int_equal(check(&b), want);
}

#define EXPECT_HEADERS(want, ...)                                                          \
	do {                                                                               \
		const char *const list[][2] = {__VA_ARGS__};                               \
		expect_headers(list, KS_ARRAY_LEN(list), KS_HTTP_REFUSED_##want);          \
	} while (0)

static void versions(void **state)
{
	static const char *const bad[] = {"HTTP/1.2",  "HTTP/2.0", "HTTP/0.9", "HTTP/1", "HTTP/1.",
					  "HTTP/1.10", "http/1.1", "HTTP/11",  "",       "HTTP 1.1"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		expect_line("GET", "/", bad[i], KS_HTTP_REFUSED_version_unsupported);
	expect_line("GET", "/", "HTTP/1.0", KS_HTTP_REFUSED_NOT);
	expect_line("GET", "/", "HTTP/1.1", KS_HTTP_REFUSED_NOT);
}

static void methods(void **state)
{
	(void)state;
	expect_line("", "/", "HTTP/1.1", KS_HTTP_REFUSED_method_malformed);
	expect_line("G T", "/", "HTTP/1.1", KS_HTTP_REFUSED_method_malformed);
	expect_line("G\tT", "/", "HTTP/1.1", KS_HTTP_REFUSED_method_malformed);
	expect_line("GET\x7f", "/", "HTTP/1.1", KS_HTTP_REFUSED_method_malformed);
	expect_line("G\xc3\x89T", "/", "HTTP/1.1", KS_HTTP_REFUSED_method_malformed);
	for (const char *c = "\"(),/:;<=>?@[\\]{}"; *c; c++) {
		char method[] = {'G', *c, '\0'};

		expect_line(method, "/", "HTTP/1.1", KS_HTTP_REFUSED_method_malformed);
	}
	expect_line("!#$%&'*+-.^_`|~09azAZ", "/", "HTTP/1.1", KS_HTTP_REFUSED_NOT);
}

static void targets(void **state)
{
	static char longest[KS_TARGET_MAX + 2];

	(void)state;
	expect_line("GET", "", "HTTP/1.1", KS_HTTP_REFUSED_target_malformed);
	expect_line("GET", "a", "HTTP/1.1", KS_HTTP_REFUSED_target_malformed);
	expect_line("OPTIONS", "*", "HTTP/1.1", KS_HTTP_REFUSED_target_malformed);
	expect_line("GET", "http://x/", "HTTP/1.1", KS_HTTP_REFUSED_target_malformed);
	for (unsigned c = 1; c < 256; c++) {
		char target[] = {'/', (char)c, '\0'};

		expect_line("GET", target, "HTTP/1.1",
			    c > 0x20 && c < 0x7f ? KS_HTTP_REFUSED_NOT : KS_HTTP_REFUSED_target_malformed);
	}
	memset(longest, '/', KS_TARGET_MAX + 1);
	expect_line("GET", longest, "HTTP/1.1", KS_HTTP_REFUSED_target_too_large);
	longest[KS_TARGET_MAX] = '\0';
	expect_line("GET", longest, "HTTP/1.1", KS_HTTP_REFUSED_NOT);
}

static void a_nul_in_the_target(void **state)
{
	struct built b;

	(void)state;
	usual(&b);
	b.head.target = KS_STR("/a\0b");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_target_malformed);
}

static void names(void **state)
{
	(void)state;
	EXPECT_HEADERS(header_name_malformed, {"", "v"});
	EXPECT_HEADERS(header_name_malformed, {"X ", "v"});
	EXPECT_HEADERS(header_name_malformed, {"X\t", "v"});
	EXPECT_HEADERS(header_name_malformed, {" X", "v"});
	EXPECT_HEADERS(header_name_malformed, {"X:", "v"});
	EXPECT_HEADERS(header_name_malformed, {"X\r", "v"});
	EXPECT_HEADERS(header_name_malformed, {"X\x80", "v"});
	EXPECT_HEADERS(NOT, {"!#$%&'*+-.^_`|~09azAZ", "v"});
}

/* Each byte at each place of a value of each length around the words of eight bytes. */
static void values(void **state)
{
	char value[20];

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		bool ok = (c >= 0x20 && c != 0x7f) || c == '\t';

		for (size_t n = 1; n < sizeof(value); n++) {
			for (size_t at = 0; at < n; at++) {
				memset(value, 'v', n);
				value[at] = (char)c;
				assert_int_equal(ks_http_value_ok(ks_str_of(value, n)), ok);
			}
		}
	}
	assert_true(ks_http_value_ok(KS_STR("")));
	assert_true(ks_http_value_ok(KS_STR("\x80\xff\x80\xff\x80\xff\x80\xff\t~")));
	EXPECT_HEADERS(header_value_control, {"X", "a\nb"});
	EXPECT_HEADERS(header_value_control, {"X", "a\rb"});
	EXPECT_HEADERS(header_value_control, {"Authorization", "Bearer a\x01"});
	EXPECT_HEADERS(NOT, {"X", ""}, {"Y", "a\tb \xc3\xa4"});
}

static void how_many_headers(void **state)
{
	struct built b;

	(void)state;
	usual(&b);
	while (b.head.header_count < KS_HEADERS_MAX)
		add(&b, "X", "v");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	add(&b, "X", "v");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_too_many_headers);
}

static void how_large_heads(void **state)
{
	static char value[KS_HEAD_BYTES_MAX + 1];
	struct built b;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	usual(&b);
	/* Beside the target "/a?b=c", "Host", "x" and "X". */
	b.headers[b.head.header_count++] = (struct ks_header){KS_STR("X"), ks_str_of(value, KS_HEAD_BYTES_MAX - 12)};
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	b.headers[1].value.n++;
	assert_int_equal(check(&b), KS_HTTP_REFUSED_headers_too_large);
	b.headers[1].value.n = SIZE_MAX / 2;
	assert_int_equal(check(&b), KS_HTTP_REFUSED_headers_too_large);
}

static void hosts(void **state)
{
	struct built b;

	(void)state;
	EXPECT_HEADERS(host_repeated, {"Host", "x"});
	EXPECT_HEADERS(host_repeated, {"hOST", "y"});
	start(&b, "GET", "/", "HTTP/1.1");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_host_missing);
	add(&b, "Hosts", "x");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_host_missing);
	start(&b, "GET", "/", "HTTP/1.0");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	add(&b, "Host", "x");
	add(&b, "HOST", "x");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_host_repeated);
}

static void authorizations(void **state)
{
	(void)state;
	EXPECT_HEADERS(NOT, {"Authorization", "Bearer a"}, {"Proxy-Authorization", "Bearer a"});
	EXPECT_HEADERS(authorization_repeated, {"Authorization", "Bearer a"}, {"authorization", "Bearer a"});
	EXPECT_HEADERS(authorization_repeated, {"Authorization", ""}, {"X", "v"}, {"AUTHORIZATION", "Bearer a"});
}

static void lengths(void **state)
{
	static const char *const bad[] = {"", " 5", "5 ", "+5", "-5", "0x5", "5,5", "5, 5", "5.0", "a",
					  "9223372036854775808", "99999999999999999999", "000000000000000000005"};
	struct built b;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		EXPECT_HEADERS(content_length_malformed, {"Content-Length", bad[i]});
	EXPECT_HEADERS(content_length_conflict, {"Content-Length", "5"}, {"Content-Length", "6"});
	EXPECT_HEADERS(content_length_conflict, {"Content-Length", "5"}, {"content-length", "5"});
	usual(&b);
	add(&b, "content-LENGTH", "9223372036854775807");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	assert_true(b.facts.length == INT64_MAX);
	assert_false(b.facts.chunked);
}

static void codings(void **state)
{
	static const char *const bad[] = {"", "xchunked", "chunked ", "\tchunked", "gzip, chunked", "chunked, chunked",
					  "identity", "chunked;a=b"};
	struct built b;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		EXPECT_HEADERS(transfer_coding_unknown, {"Transfer-Encoding", bad[i]});
	EXPECT_HEADERS(transfer_coding_unknown, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"});
	EXPECT_HEADERS(length_and_coding, {"Transfer-Encoding", "chunked"}, {"Content-Length", "5"});
	EXPECT_HEADERS(length_and_coding, {"Content-Length", "x"}, {"Transfer-Encoding", "x"});
	usual(&b);
	add(&b, "TRANSFER-encoding", "Chunked");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	assert_true(b.facts.chunked);
	b.head.version = KS_STR("HTTP/1.0");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_transfer_coding_unknown);
}

static void facts(void **state)
{
	struct built b;

	(void)state;
	usual(&b);
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	assert_false(b.facts.chunked);
	assert_true(b.facts.length == 0);
	assert_null(b.facts.request_id);
	assert_null(b.facts.traceparent);
	add(&b, "x-request-ID", "i");
	add(&b, "Traceparent", "t");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	assert_ptr_equal(b.facts.request_id, &b.headers[1]);
	assert_ptr_equal(b.facts.traceparent, &b.headers[2]);
	add(&b, "X-Request-Id", "i");
	add(&b, "traceparent", "t");
	assert_int_equal(check(&b), KS_HTTP_REFUSED_NOT);
	assert_null(b.facts.request_id);
	assert_null(b.facts.traceparent);
}

static void request_ids(void **state)
{
	static const char longest[] = "0123456789012345678901234567890123456789012345678901234567890123";

	(void)state;
	assert_false(ks_http_request_id_ok(KS_STR("")));
	assert_false(ks_http_request_id_ok(KS_STR("a b")));
	assert_false(ks_http_request_id_ok(KS_STR("a\0b")));
	assert_false(ks_http_request_id_ok(KS_STR("a/b")));
	assert_false(ks_http_request_id_ok(KS_STR("a\"b")));
	assert_false(ks_http_request_id_ok(KS_STR("\xc3\xa4")));
	assert_true(ks_http_request_id_ok(KS_STR("aZ09._-")));
	assert_true(ks_http_request_id_ok(ks_str_c(longest)));
	assert_false(ks_http_request_id_ok(ks_str_of(longest, sizeof(longest))));
}

static void traceparents(void **state)
{
	const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

	(void)state;
	assert_true(ks_http_traceparent_ok(ks_str_c(good)));
	assert_true(ks_http_traceparent_ok(KS_STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")));
	assert_false(ks_http_traceparent_ok(KS_STR("00-00000000000000000000000000000000-00f067aa0ba902b7-01")));
	assert_false(ks_http_traceparent_ok(KS_STR("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")));
	assert_false(ks_http_traceparent_ok(KS_STR("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
	assert_false(ks_http_traceparent_ok(KS_STR("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		char changed[sizeof(good)];

		assert_false(ks_http_traceparent_ok(ks_str_of(good, i)));
		memcpy(changed, good, sizeof(good));
		changed[i] = 'g';
		assert_false(ks_http_traceparent_ok(ks_str_c(changed)));
	}
}

/* ---- the seams ---- */

#define RAW_MAX 256

static char raw[RAW_MAX];
static size_t raw_n;

static char *terminate(char *at, size_t n)
{
	memset(at, 0, n);
	return &at[n];
}

/* Splits as libmicrohttpd 0.9 does, in place: lines end at LF with or without CR before, and what separates is
 * overwritten with zeros. */
static void split_raw(struct built *b, const char *text)
{
	char *at = raw, *end;

	raw_n = strlen(text);
	assert_true(raw_n < RAW_MAX);
	memcpy(raw, text, raw_n + 1);
	end = strchr(at, ' ');
	b->head = (struct ks_http_head){.method = ks_str_of(at, (size_t)(end - at)), .headers = b->headers};
	at = terminate(end, 1);
	end = strchr(at, ' ');
	b->head.target = ks_str_of(at, (size_t)(end - at));
	at = terminate(end, 1);
	b->head.version = ks_str_of(at, 8);
	at = terminate(&at[8], at[8] == '\r' ? 2 : 1);
	while (*at != '\r' && *at != '\n') {
		struct ks_header *h = &b->headers[b->head.header_count++];

		end = strchr(at, ':');
		h->name = ks_str_of(at, (size_t)(end - at));
		at = terminate(end, 1);
		while (*at == ' ' || *at == '\t')
			at++;
		end = strchr(at, '\n');
		end -= end[-1] == '\r';
		h->value = ks_str_of(at, (size_t)(end - at));
		at = terminate(end, *end == '\r' ? 2 : 1);
	}
	terminate(at, *at == '\r' ? 2 : 1);
}

static enum ks_http_refusal seams(const struct built *b)
{
	return ks_http_seams(&b->head, raw, raw_n);
}

static enum ks_http_refusal seams_of(const char *text)
{
	struct built b;

	split_raw(&b, text);
	return seams(&b);
}

static void whole_heads_have_no_gaps(void **state)
{
	(void)state;
	assert_int_equal(seams_of("GET / HTTP/1.1\r\n\r\n"), KS_HTTP_REFUSED_NOT);
	assert_int_equal(seams_of("GET /a?b HTTP/1.1\r\nHost: x\r\nA: \t  b  \r\nC:\r\nD:e\r\n\r\n"),
			 KS_HTTP_REFUSED_NOT);
}

static void bare_line_ends_leave_gaps(void **state)
{
	(void)state;
	assert_int_equal(seams_of("GET / HTTP/1.1\nHost: x\r\n\r\n"), KS_HTTP_REFUSED_request_malformed);
	assert_int_equal(seams_of("GET / HTTP/1.1\r\nHost: x\n\r\n"), KS_HTTP_REFUSED_header_value_control);
	assert_int_equal(seams_of("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"), KS_HTTP_REFUSED_header_value_control);
	assert_int_equal(seams_of("GET / HTTP/1.1\r\nHost: x\r\n\n"), KS_HTTP_REFUSED_header_value_control);
	assert_int_equal(seams_of("GET / HTTP/1.1\n\n"), KS_HTTP_REFUSED_header_value_control);
}

#define WHOLE "GET /abc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer abc\r\n\r\n"

static void cut_parts_leave_gaps(void **state)
{
	struct built b;

	(void)state;
	split_raw(&b, WHOLE);
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_NOT);
	b.headers[1].value.n--;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
	b.headers[1].value.n += 2;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
	split_raw(&b, WHOLE);
	b.headers[0].value.n = 0;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
	split_raw(&b, WHOLE);
	b.head.target.n--;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_target_malformed);
	split_raw(&b, WHOLE);
	b.head.method.n--;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_method_malformed);
	split_raw(&b, WHOLE);
	b.head.header_count--;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
}

/* What would be two bytes by their number alone. */
static void gaps_hold_zeros(void **state)
{
	struct built b;

	(void)state;
	split_raw(&b, WHOLE);
	raw[raw_n - 2] = 'x';
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
	split_raw(&b, WHOLE);
	raw[strlen("GET /abc HTTP/1.1") + 1] = '\n';
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_request_malformed);
}

/* A folded line is copied elsewhere by the library: the name is no more where it was. */
static void parts_from_elsewhere_are_refused(void **state)
{
	static const char elsewhere[] = "Host";
	struct built b;

	(void)state;
	split_raw(&b, WHOLE);
	b.headers[0].name.p = elsewhere;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
	split_raw(&b, WHOLE);
	b.headers[0].value.p = elsewhere;
	assert_int_equal(seams(&b), KS_HTTP_REFUSED_header_value_control);
	split_raw(&b, WHOLE);
	assert_int_equal(ks_http_seams(&b.head, &raw[1], raw_n - 1), KS_HTTP_REFUSED_method_malformed);
}

/* Where the raw bytes end before the parts do, or after them. */
static void other_sizes_are_refused(void **state)
{
	struct built b;

	(void)state;
	split_raw(&b, WHOLE);
	for (size_t n = 0; n < raw_n; n++)
		assert_int_not_equal(ks_http_seams(&b.head, raw, n), KS_HTTP_REFUSED_NOT);
	assert_int_equal(ks_http_seams(&b.head, raw, raw_n + 1), KS_HTTP_REFUSED_header_value_control);
}

static void every_refusal_is_told(void **state)
{
	(void)state;
	for (int i = KS_HTTP_REFUSED_NOT + 1; i < KS_HTTP_REFUSED_COUNT; i++) {
		const struct ks_http_refusal_info *info = ks_http_refusal_info((enum ks_http_refusal)i);

		assert_non_null(info->name);
		assert_true(info->status == 0 || (info->status >= 400 && info->status <= 599));
		assert_true(info->code && info->code[0] && info->detail && info->detail[0]);
		assert_true(info->detail[strlen(info->detail) - 1] == '.');
	}
	assert_string_equal(ks_http_refusal_info(KS_HTTP_REFUSED_host_missing)->name, "host_missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(methods),
		cmocka_unit_test(targets),
		cmocka_unit_test(a_nul_in_the_target),
		cmocka_unit_test(names),
		cmocka_unit_test(values),
		cmocka_unit_test(how_many_headers),
		cmocka_unit_test(how_large_heads),
		cmocka_unit_test(hosts),
		cmocka_unit_test(authorizations),
		cmocka_unit_test(lengths),
		cmocka_unit_test(codings),
		cmocka_unit_test(facts),
		cmocka_unit_test(request_ids),
		cmocka_unit_test(traceparents),
		cmocka_unit_test(bare_line_ends_leave_gaps),
		cmocka_unit_test(cut_parts_leave_gaps),
		cmocka_unit_test(parts_from_elsewhere_are_refused),
		cmocka_unit_test(gaps_hold_zeros),
		cmocka_unit_test(other_sizes_are_refused),
		cmocka_unit_test(whole_heads_have_no_gaps),
		cmocka_unit_test(every_refusal_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
