/* SPDX-License-Identifier: Apache-2.0 */
/* audit list, export, checkpoint, proof, check. */
#include <stdlib.h>

#include "cli/cmd_tables.h"

#define TARGET_MAX 2048

static void put_filters(struct ks_cli *cli, struct ks_buf *target)
{
	static const char *const names[] = {"tenant", "actor", "action", "address", "outcome", "from", "to"};

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++)
		ks_put_query(cli, target, names[i], names[i]);
}

/* ---- list ---- */

static void show_list(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "at", "actor", "action", "object", "tenant", "outcome", "address", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_audit_list(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/audit");
	put_filters(cli, &b);
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_list);
}

/* ---- export ---- */

/* Where it goes, and how far it is: the log's size stands in the first lines, and an entry is a line. */
struct saving {
	FILE *out;
	uint64_t lines, size;
	char head[512];
	struct ks_buf begun;
	bool failed;
};

static void find_size(struct saving *s)
{
	static const struct ks_str marks[] = {{"\"size\":", 7}, {"\nlog,", 5}};
	struct ks_str head = ks_buf_str(&s->begun);

	for (size_t at = 0; at < head.n && s->size == 0; at++) {
		for (size_t i = 0; i < KS_ARRAY_LEN(marks); i++) {
			struct ks_str rest = ks_str_sub(head, at, SIZE_MAX);
			size_t digits = 0;

			if (!ks_str_starts(rest, marks[i]))
				continue;
			rest = ks_str_sub(rest, marks[i].n, SIZE_MAX);
			while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9')
				digits++;
			if (digits == 0 || !ks_str_to_u64(ks_str_sub(rest, 0, digits), UINT64_MAX, &s->size))
				s->size = 1;
		}
	}
}

static bool save(void *ctx, struct ks_str piece)
{
	struct saving *s = ctx;

	if (s->size == 0) {
		ks_buf_put(&s->begun, ks_str_sub(piece, 0, s->begun.cap - s->begun.n));
		find_size(s);
	}
	for (size_t i = 0; i < piece.n; i++)
		s->lines += piece.p[i] == '\n';
	s->failed |= fwrite(piece.p, 1, piece.n, s->out) != piece.n;
	if (s->size > 0)
		ks_progress(NULL, "export", KS_MIN(s->lines, s->size - 1), s->size);
	return !s->failed;
}

static int save_all(struct ks_cli *cli, const char *target, struct saving *s)
{
	struct ks_answer answer;
	int code = ks_client_download(cli, target, save, s, &answer);

	if (code == KS_EXIT_DONE && answer.status != 200)
		code = ks_client_problem(cli, &answer);
	ks_answer_free(&answer);
	if (fflush(s->out) != 0 || s->failed)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "the export cannot be written");
	if (code == KS_EXIT_DONE && s->size > 0)
		ks_progress(NULL, "export", s->size, s->size);
	return code;
}

int ks_cmd_audit_export(struct ks_cli *cli)
{
	const char *path = cli->words[0] && !ks_str_eq(ks_str_c(cli->words[0]), KS_STR("-")) ? cli->words[0] : NULL;
	const char *format = ks_cli_option(cli, "format");
	struct saving s = {.out = stdout};
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);
	int code;

	s.begun = KS_BUF(s.head);
	ks_buf_put_c(&b, "/v1/audit/export?format=");
	ks_cli_put_encoded(&b, format ? format : "jsonl");
	put_filters(cli, &b);
	ks_put_query(cli, &b, "checkpoint-size", "checkpoint_size");
	if (path)
		s.out = fopen(path, "wx");
	if (!s.out)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s cannot be made: there must be no such file yet", path);
	code = save_all(cli, ks_buf_z(&b), &s);
	if (path && fclose(s.out) != 0 && code == KS_EXIT_DONE)
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "the export cannot be written");
	/* What broke off must not be taken for an export. */
	if (path && code != KS_EXIT_DONE)
		(void)remove(path);
	return code;
}

/* ---- checkpoints and proofs ---- */

static void show_note(struct ks_cli *cli, const json_t *answer)
{
	const char *note = json_string_value(json_object_get(answer, "checkpoint"));

	(void)cli;
	(void)fputs(note ? note : "", stdout);
}

int ks_cmd_audit_checkpoint(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/audit/checkpoint");
	ks_put_query(cli, &b, "tenant", "tenant");
	ks_put_query(cli, &b, "size", "size");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_note);
}

static void show_key(struct ks_cli *cli, const json_t *answer)
{
	const char *key = json_string_value(json_object_get(answer, "key"));

	(void)cli;
	(void)printf("%s\n", key ? key : "");
}

int ks_cmd_audit_key(struct ks_cli *cli)
{
	return ks_client_do(cli, "GET", "/v1/audit/checkpoint?size=0", NULL, show_key);
}

/* For programs: as it comes. */
static void show_proof(struct ks_cli *cli, const json_t *answer)
{
	char *text = json_dumps(answer, JSON_INDENT(2));

	(void)cli;
	(void)printf("%s\n", text ? text : "");
	free(text);
}

int ks_cmd_audit_proof(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/audit/proof");
	if (cli->word_count > 0) {
		ks_buf_put_c(&b, "?entry=");
		ks_cli_put_encoded(&b, cli->words[0]);
		ks_put_query(cli, &b, "size", "size");
	} else {
		ks_put_query(cli, &b, "tenant", "tenant");
		ks_put_query(cli, &b, "from-size", "from_size");
		ks_put_query(cli, &b, "to-size", "to_size");
	}
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_proof);
}

/* ---- check ---- */

int ks_cmd_audit_check(struct ks_cli *cli)
{
	struct ks_answer answer;
	int code = ks_client_call(cli, "POST", "/v1/audit/check", KS_STR(""), &answer);

	if (code == KS_EXIT_DONE && answer.status != 200)
		code = ks_client_problem(cli, &answer);
	else if (code == KS_EXIT_DONE && cli->json)
		(void)printf("%s\n", answer.text);
	else if (code == KS_EXIT_DONE)
		ks_show_record(cli, answer.json);
	if (code == KS_EXIT_DONE && !json_is_true(json_object_get(answer.json, "equal")))
		code = KS_EXIT_FAILED;
	ks_answer_free(&answer);
	return code;
}
