/* SPDX-License-Identifier: Apache-2.0 */
#include "api/html.h"

#include <stdlib.h>

#include "base/ctenc.h"
#include "crypto/sha256.h"

extern const unsigned char ks_embedded_page_css[];
extern const size_t ks_embedded_page_css_size;

static struct ks_str style(void)
{
	return ks_str_of((const char *)ks_embedded_page_css, ks_embedded_page_css_size);
}

enum ks_err ks_html_begin(struct ks_html *ret_html, struct ks_str title, struct ks_str refresh)
{
	char *room = malloc(KS_HTML_MAX);

	if (!room)
		return KS_MEMORY;
	ret_html->b = ks_buf_of(room, KS_HTML_MAX);
	ks_html_raw(ret_html,
		    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		    "<meta name=\"color-scheme\" content=\"light dark\">\n"
		    "<meta name=\"robots\" content=\"noindex, nofollow\">\n"
		    "<meta name=\"format-detection\" content=\"telephone=no\">\n");
	if (!ks_str_empty(refresh)) {
		ks_html_raw(ret_html, "<meta http-equiv=\"refresh\" content=\"0; url=");
		ks_html_text(ret_html, refresh);
		ks_html_raw(ret_html, "\">\n");
	}
	ks_html_raw(ret_html, "<title>");
	ks_html_text(ret_html, title);
	/* An icon of no bytes: else browsers ask for one by themselves. */
	ks_html_raw(ret_html, "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>");
	ks_buf_put(&ret_html->b, style());
	ks_html_raw(ret_html, "</style>\n</head>\n<body>\n<main>\n");
	return KS_OK;
}

void ks_html_raw(struct ks_html *html, const char *markup)
{
	ks_buf_put_c(&html->b, markup);
}

void ks_html_text(struct ks_html *html, struct ks_str text)
{
	static const struct {
		char c;
		const char *as;
	} escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		const char *as = (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f ? "\xef\xbf\xbd" : NULL;

		for (size_t k = 0; !as && k < KS_ARRAY_LEN(escapes); k++)
			as = text.p[i] == escapes[k].c ? escapes[k].as : NULL;
		if (as)
			ks_buf_put_c(&html->b, as);
		else
			ks_buf_put_byte(&html->b, text.p[i]);
	}
}

/* The style by its digest (CSP 3, section 2.3.1): nothing else applies, wherever it came from. */
static bool put_policy(struct ks_exchange *x)
{
	struct ks_digest digest;
	char text[64];
	size_t n, at = x->text.n;

	if (ks_sha256(style(), &digest) != KS_OK)
		return false;
	n = ks_base64_encode(digest.bytes, sizeof(digest.bytes), text, sizeof(text));
	ks_buf_put_c(&x->text, "default-src 'none'; style-src 'sha256-");
	ks_buf_put(&x->text, ks_str_of(text, n));
	ks_buf_put_c(&x->text, "'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
	ks_exchange_answer_header(x, KS_STR("Content-Security-Policy"), ks_str_of(x->text.p + at, x->text.n - at));
	return ks_buf_ok(&x->text);
}

enum ks_finish ks_html_answer(struct ks_call *call, struct ks_html *html, int status)
{
	struct ks_exchange *x = call->exchange;

	ks_html_raw(html, "</main>\n</body>\n</html>\n");
	if (!ks_buf_ok(&html->b) || !put_policy(x)) {
		ks_html_free(html);
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	}
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("text/html; charset=utf-8"));
	ks_exchange_answer_header(x, KS_STR("Referrer-Policy"), KS_STR("no-referrer"));
	ks_exchange_answer_header(x, KS_STR("X-Content-Type-Options"), KS_STR("nosniff"));
	ks_exchange_answer_header(x, KS_STR("X-Frame-Options"), KS_STR("DENY"));
	ks_exchange_answer_header(x, KS_STR("X-Robots-Tag"), KS_STR("noindex, nofollow"));
	ks_exchange_answer_header(x, KS_STR("Cross-Origin-Opener-Policy"), KS_STR("same-origin"));
	ks_exchange_answer_header(x, KS_STR("Cross-Origin-Resource-Policy"), KS_STR("same-origin"));
	x->heap = html->b.p;
	x->answer_body = ks_buf_str(&html->b);
	x->status = status;
	x->wipe |= call->wipe;
	*html = (struct ks_html){0};
	return KS_FINISH_DONE;
}

void ks_html_free(struct ks_html *html)
{
	free(html->b.p);
	*html = (struct ks_html){0};
}
