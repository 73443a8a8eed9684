/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "yaml/nodes.h"

#define QUOTED_MAX 80

static bool is_before(struct ks_yaml_mark at, const struct ks_yaml_problem *problem)
{
	return at.line != problem->line ? at.line < problem->line : at.column < problem->column;
}

/* The longest beginning of `text` of at most `max` bytes that cuts no UTF-8 sequence. */
static size_t whole_characters(struct ks_str text, size_t max)
{
	size_t n = KS_MIN(text.n, max);

	while (n > 0 && n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void ks_yaml_report(struct ks_yaml_log *log, struct ks_yaml_mark at, const char *fmt, ...)
{
	char text[2 * sizeof(log->first.text)];
	va_list args;

	if (log->any && !is_before(at, &log->first))
		return;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	struct ks_str all = ks_str_of(text, KS_MIN((size_t)n, sizeof(text) - 1));
	size_t kept = whole_characters(all, sizeof(log->first.text) - 1);

	log->any = true;
	log->first.line = at.line;
	log->first.column = at.column;
	memset(log->first.text, 0, sizeof(log->first.text));
	memcpy(log->first.text, text, kept);
}

/* True if the byte at `i` belongs to a control character of ASCII or of C1 (U+0080 to U+009F, two bytes): terminals act
 * on both. */
static bool is_control(struct ks_str text, size_t i)
{
	unsigned char c = (unsigned char)text.p[i];
	unsigned char before = i > 0 ? (unsigned char)text.p[i - 1] : 0;
	unsigned char after = i + 1 < text.n ? (unsigned char)text.p[i + 1] : 0;

	if (c < 0x20 || c == 0x7f)
		return true;
	return (c == 0xc2 && after >= 0x80 && after < 0xa0) || (before == 0xc2 && c >= 0x80 && c < 0xa0);
}

const char *ks_yaml_quote(struct ks_str text, char ret_text[KS_YAML_QUOTE_SIZE])
{
	size_t n = whole_characters(text, QUOTED_MAX);
	size_t at = 0;

	ret_text[at++] = '\'';
	for (size_t i = 0; i < n; i++)
		ret_text[at++] = is_control(text, i) ? '?' : text.p[i];
	for (size_t i = 0; n < text.n && i < 3; i++)
		ret_text[at++] = '.';
	ret_text[at++] = '\'';
	ret_text[at] = '\0';
	return ret_text;
}
