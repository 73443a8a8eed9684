/* SPDX-License-Identifier: Apache-2.0 */
/** Pages for people: one frame, one style, no script, and nothing that the page would have to fetch. Whatever is put
 * into a page goes through ks_html_text, but for what stands in the program. */
#pragma once

#include "api/call.h"

#define KS_HTML_MAX ((size_t)64 << 10) /* bytes of a page */

struct ks_html {
	struct ks_buf b; /* heap; given to the exchange by ks_html_answer, else freed by ks_html_free */
};

/** Begins a page: head, style, and the open <main>. `refresh`: where the browser goes at once, a path of characters
 * that mean nothing in HTML; empty: nowhere. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_html_begin(struct ks_html *ret_html, struct ks_str title, struct ks_str refresh);

/** Markup of the program's own. */
void ks_html_raw(struct ks_html *html, const char *markup);

/** Text, for between tags and for quoted attributes: & < > " ' are escaped, controls but for tab and line feed become
 * U+FFFD. */
void ks_html_text(struct ks_html *html, struct ks_str text);

/** Closes the page and answers with it. No cookie, no cache, no referrer, no frame around it, and by the content
 * security policy nothing but its own style. A page that came out too large is `internal`. */
enum ks_finish ks_html_answer(struct ks_call *call, struct ks_html *html, int status);

void ks_html_free(struct ks_html *html);
