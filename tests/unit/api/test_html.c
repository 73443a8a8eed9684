/* SPDX-License-Identifier: Apache-2.0 */
/* Pages: nothing that is put into one can leave its place, and nothing but the page's own style applies in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/html.h"
#include "base/ctenc.h"
#include "crypto/sha256.h"

static struct ks_exchange exchange;

static struct ks_str escaped(struct ks_str text)
{
	static char room[256];
	struct ks_html html = {.b = ks_buf_of(room, sizeof(room))};

	ks_html_text(&html, text);
	return ks_buf_str(&html.b);
}

static void text_stays_text(void **state)
{
	(void)state;
	assert_true(ks_str_eq(escaped(KS_STR("<b>\"it's\" & more</b>")),
			      KS_STR("&lt;b&gt;&quot;it&#39;s&quot; &amp; more&lt;/b&gt;")));
	assert_true(ks_str_eq(escaped(KS_STR("a\tb\nc\rd\0e\x7f\x1b")),
			      KS_STR("a\tb\nc\xef\xbf\xbd" "d\xef\xbf\xbd" "e\xef\xbf\xbd\xef\xbf\xbd")));
	assert_true(ks_str_eq(escaped(KS_STR("Zo\xc3\xab \xe2\x82\xac")), KS_STR("Zo\xc3\xab \xe2\x82\xac")));
	assert_true(ks_str_empty(escaped(KS_STR(""))));
}

static bool has(struct ks_str text, const char *part)
{
	for (size_t i = 0; i < text.n; i++) {
		if (ks_str_starts(ks_str_sub(text, i, SIZE_MAX), ks_str_c(part)))
			return true;
	}
	return false;
}

static struct ks_str header(const char *name)
{
	for (size_t i = 0; i < exchange.answer_header_count; i++) {
		if (ks_str_eq(exchange.answer_headers[i].name, ks_str_c(name)))
			return exchange.answer_headers[i].value;
	}
	return KS_STR("");
}

/* Where `part` stands in the text; fails where it does not. */
static size_t where(struct ks_str text, const char *part)
{
	for (size_t i = 0; i < text.n; i++) {
		if (ks_str_starts(ks_str_sub(text, i, SIZE_MAX), ks_str_c(part)))
			return i;
	}
	fail_msg("no %s", part);
	return 0;
}

static void a_page_allows_its_own_style_alone(void **state)
{
	struct ks_call call = {.exchange = &exchange, .wipe = true};
	struct ks_html html;
	struct ks_digest digest;
	char base64[64];
	struct ks_str body, css;
	size_t from;

	(void)state;
	ks_exchange_init(&exchange);
	assert_int_equal(ks_html_begin(&html, KS_STR("<title>"), KS_STR("/there")), KS_OK);
	ks_html_raw(&html, "<p>");
	assert_int_equal(ks_html_answer(&call, &html, 200), KS_FINISH_DONE);
	assert_null(html.b.p);
	body = exchange.answer_body;
	assert_int_equal(exchange.status, 200);
	assert_true(exchange.wipe);
	assert_true(has(body, "<title>&lt;title&gt;</title>") && has(body, "content=\"0; url=/there\""));
	assert_false(has(body, "<script") || has(body, "http://") || has(body, "https://") || has(body, "url("));
	from = where(body, "<style>") + 7;
	css = ks_str_sub(body, from, where(body, "</style>") - from);
	assert_int_equal(ks_sha256(css, &digest), KS_OK);
	base64[ks_base64_encode(digest.bytes, sizeof(digest.bytes), base64, sizeof(base64) - 1)] = '\0';
	assert_true(has(header("Content-Security-Policy"), base64));
	assert_true(ks_str_starts(header("Content-Security-Policy"), KS_STR("default-src 'none'; style-src 'sha256-")));
	assert_true(has(header("Content-Security-Policy"), "frame-ancestors 'none'"));
	assert_true(ks_str_eq(header("Referrer-Policy"), KS_STR("no-referrer")));
	assert_true(ks_str_eq(header("X-Frame-Options"), KS_STR("DENY")));
	assert_true(ks_str_empty(header("Set-Cookie")));
	free(exchange.heap);
}

static void a_page_beyond_its_limit_is_a_problem(void **state)
{
	struct ks_call call = {.exchange = &exchange};
	struct ks_html html;

	(void)state;
	ks_exchange_init(&exchange);
	assert_int_equal(ks_html_begin(&html, KS_STR("x"), KS_STR("")), KS_OK);
	for (size_t i = 0; i < KS_HTML_MAX; i++)
		ks_html_raw(&html, "x");
	assert_int_equal(ks_html_answer(&call, &html, 200), KS_FINISH_DONE);
	assert_int_equal(exchange.status, 500);
	assert_true(ks_str_eq(header("Content-Type"), KS_STR("application/problem+json")));
	free(exchange.heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_stays_text),
		cmocka_unit_test(a_page_allows_its_own_style_alone),
		cmocka_unit_test(a_page_beyond_its_limit_is_a_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
