/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_tables.h"

#include <stdlib.h>
#include <time.h>

#include "base/time.h"

#define CELL_MAX 120
#define COLUMNS_MAX 12

/* A value as people read it, into `cell`. */
static void cell_of(const json_t *value, char cell[CELL_MAX])
{
	struct ks_buf b = ks_buf_of(cell, CELL_MAX);
	const json_t *item;
	size_t i;
	char *text;

	if (!value || json_is_null(value)) {
		ks_buf_put_c(&b, "-");
	} else if (json_is_string(value)) {
		ks_buf_put(&b, ks_str_of(json_string_value(value), KS_MIN(json_string_length(value), (size_t)CELL_MAX - 1)));
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, item) {
			if (json_is_string(item))
				ks_buf_printf(&b, "%s%s", i ? " " : "", json_string_value(item));
		}
		if (b.n == 0)
			ks_buf_put_c(&b, "-");
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		ks_buf_put_c(&b, text ? text : "");
		free(text);
	}
	/* What is too long is cut: --json has it whole. */
	b.overflow = false;
	b.n = KS_MIN(b.n, (size_t)CELL_MAX - 1);
	(void)ks_buf_z(&b);
}

void ks_show_record(struct ks_cli *cli, const json_t *answer)
{
	const char *name;
	json_t *value;
	char cell[CELL_MAX];

	(void)cli;
	json_object_foreach((json_t *)(uintptr_t)answer, name, value) {
		const json_t *token = json_object_get(value, "token");

		cell_of(value, cell);
		/* What is shown once is shown whole, and alone. */
		if (json_is_string(token))
			cell_of(token, cell);
		(void)printf("%-20s %s\n", name, cell);
	}
}

void ks_show_rows(const json_t *items, const char *const *columns)
{
	size_t width[COLUMNS_MAX] = {0};
	char cell[CELL_MAX];
	const json_t *item;
	size_t i;

	for (size_t c = 0; columns[c]; c++) {
		width[c] = strlen(columns[c]);
		json_array_foreach(items, i, item) {
			cell_of(json_object_get(item, columns[c]), cell);
			width[c] = KS_MAX(width[c], strlen(cell));
		}
		(void)printf("%-*s%s", (int)width[c], columns[c], columns[c + 1] ? "  " : "\n");
	}
	json_array_foreach(items, i, item) {
		for (size_t c = 0; columns[c]; c++) {
			cell_of(json_object_get(item, columns[c]), cell);
			(void)printf("%-*s%s", columns[c + 1] ? (int)width[c] : 0, cell, columns[c + 1] ? "  " : "\n");
		}
	}
}

void ks_show_list(const json_t *answer, const char *const *columns)
{
	const char *next = json_string_value(json_object_get(answer, "next"));

	ks_show_rows(json_object_get(answer, "items"), columns);
	if (next)
		(void)fprintf(stderr, "there is more: --cursor %s\n", next);
}

void ks_show_done(struct ks_cli *cli, const json_t *answer)
{
	(void)cli;
	(void)answer;
	(void)printf("done\n");
}

void ks_show_token(struct ks_cli *cli, const json_t *answer)
{
	const char *token = json_string_value(json_object_get(answer, "token"));

	(void)cli;
	(void)fprintf(stderr, "%s: the token below is shown this once\n", json_string_value(json_object_get(answer, "id")));
	(void)printf("%s\n", token ? token : "");
}

void ks_put_query(struct ks_cli *cli, struct ks_buf *target, const char *option, const char *name)
{
	const char *value = ks_cli_option(cli, option);

	if (!value)
		return;
	ks_buf_put_c(target, ks_str_find(ks_buf_str(target), '?') == SIZE_MAX ? "?" : "&");
	ks_buf_put_c(target, name);
	ks_buf_put_c(target, "=");
	ks_cli_put_encoded(target, value);
}

void ks_put_member(struct ks_cli *cli, struct ks_json *body, const char *option, const char *name)
{
	const char *value = ks_cli_option(cli, option);

	if (value)
		ks_json_put_c(body, name, value);
}

bool ks_put_expiry(struct ks_json *body, const char *text)
{
	struct ks_str s = ks_str_c(text);
	struct timespec now;
	uint64_t days;
	int64_t at;

	if (ks_str_eq(s, KS_STR("never"))) {
		ks_json_null(body);
		return true;
	}
	if (s.n > 1 && s.p[s.n - 1] == 'd' && ks_str_to_u64(ks_str_sub(s, 0, s.n - 1), 36500, &days)) {
		(void)clock_gettime(CLOCK_REALTIME, &now);
		ks_json_time(body, (int64_t)now.tv_sec * 1000 + (int64_t)days * 86400000);
		return true;
	}
	if (!ks_time_parse(s, &at))
		return false;
	ks_json_time(body, at);
	return true;
}
