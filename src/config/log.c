/* SPDX-License-Identifier: Apache-2.0 */
#include "config/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"

#define LINE_MAX_BYTES 4096

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static enum ks_log_level threshold = KS_LOG_INFO;

bool ks_log_level_parse(struct ks_str text, enum ks_log_level *ret_level)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(level_names); i++) {
		if (ks_str_eq(text, ks_str_c(level_names[i]))) {
			*ret_level = (enum ks_log_level)i;
			return true;
		}
	}
	return false;
}

void ks_log_set_level(enum ks_log_level level)
{
	threshold = level;
}

static void put_start(struct ks_buf *b, enum ks_log_level level, const char *event)
{
	struct timespec now;
	char text[KS_TIME_TEXT_SIZE];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	ks_time_format((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, text);
	ks_buf_put_c(b, "{\"time\":\"");
	ks_buf_put_c(b, text);
	ks_buf_put_c(b, "\",\"level\":\"");
	ks_buf_put_c(b, level_names[level]);
	ks_buf_put_c(b, "\",\"event\":");
	ks_buf_put_json(b, ks_str_c(event));
}

void ks_log(enum ks_log_level level, const char *event, ...)
{
	char line[LINE_MAX_BYTES];
	/* Room is kept for the end, so that a cut line is still one JSON object. */
	struct ks_buf b = ks_buf_of(line, sizeof(line) - 2);
	const char *name;
	va_list args;

	if (level < threshold)
		return;
	put_start(&b, level, event);
	va_start(args, event);
	while ((name = va_arg(args, const char *)) != NULL) {
		const char *value = va_arg(args, const char *);
		struct ks_buf before = b;

		ks_buf_put_c(&b, ",\"");
		ks_buf_put_c(&b, name);
		ks_buf_put_c(&b, "\":");
		if (value)
			ks_buf_put_json(&b, ks_str_c(value));
		else
			ks_buf_put_c(&b, "null");
		if (!ks_buf_ok(&b)) {
			b = before;
			break;
		}
	}
	va_end(args);
	line[b.n] = '}';
	line[b.n + 1] = '\n';
	/* One write: lines of several threads and processes do not mix. A log that cannot be written is nobody's error. */
	if (write(STDERR_FILENO, line, b.n + 2) < 0)
		return;
}

void ks_log_engine(void *ctx, int level, const char *event, const char *text)
{
	(void)ctx;
	ks_log((enum ks_log_level)level, event, "detail", text, NULL);
}
