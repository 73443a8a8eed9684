/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cmd_tables.h"

#define TARGET_MAX 1024
#define POLL_MS 500
#define EVENT_ID_MAX 32
#define BEFORE_ALL "evt_0000000000001"

static void show_events(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id", "at", "type", "tenant", "object", "data", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

static void show_types(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"type", "about", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

static void put_filters(struct ks_cli *cli, struct ks_buf *target)
{
	ks_put_query(cli, target, "tenant", "tenant");
	ks_put_query(cli, target, "type", "type");
	ks_put_query(cli, target, "from", "from");
	ks_put_query(cli, target, "to", "to");
}

/* ---- following ---- */

/* One line an event: a JSON object, or what people read. */
static void print_event(const struct ks_cli *cli, const json_t *event)
{
	const json_t *shown = cli->json ? event : json_object_get(event, "data");
	const char *object = json_string_value(json_object_get(event, "object"));
	char *text = json_dumps(shown, JSON_COMPACT);

	if (!cli->json)
		(void)printf("%s %s %s ", json_string_value(json_object_get(event, "at")),
			     json_string_value(json_object_get(event, "type")), object ? object : "-");
	(void)printf("%s\n", text ? text : "");
	free(text);
}

static void keep_id(const json_t *event, char last[EVENT_ID_MAX])
{
	const char *id = json_string_value(json_object_get(event, "id"));
	struct ks_buf b = ks_buf_of(last, EVENT_ID_MAX);

	if (id)
		ks_buf_put_c(&b, id);
	(void)ks_buf_z(&b);
}

/* Calls, and prints what there is. KS_EXIT_DONE: *ret_any tells whether there was something. */
static int take_page(struct ks_cli *cli, const char *target, bool print, char last[EVENT_ID_MAX], bool *ret_any)
{
	struct ks_answer answer;
	int code = ks_client_call(cli, "GET", target, KS_STR(""), &answer);
	const json_t *items, *item;
	size_t i;

	if (code == KS_EXIT_DONE && answer.status != 200)
		code = ks_client_problem(cli, &answer);
	if (code == KS_EXIT_DONE) {
		items = json_object_get(answer.json, "items");
		json_array_foreach(items, i, item) {
			keep_id(item, last);
			if (print)
				print_event(cli, item);
		}
		*ret_any = json_array_size(items) > 0;
		(void)fflush(stdout);
	}
	ks_answer_free(&answer);
	return code;
}

/* Until the service ends, or somebody ends this. */
static int follow(struct ks_cli *cli)
{
	static const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	const char *after = ks_cli_option(cli, "after");
	char last[EVENT_ID_MAX] = BEFORE_ALL;
	struct ks_buf start = KS_BUF(last);
	char target[TARGET_MAX];
	bool any = false;
	int code = KS_EXIT_DONE;

	if (!ks_client_daemon_runs(cli))
		return ks_cli_fail(cli, KS_EXIT_FAILED, "there is no service to follow");
	if (after && strlen(after) >= sizeof(last))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--after takes the id of an event");
	if (after) {
		ks_buf_put_c(&start, after);
		(void)ks_buf_z(&start);
	} else {
		code = take_page(cli, "/v1/events?limit=1", false, last, &any);
	}
	while (code == KS_EXIT_DONE) {
		struct ks_buf b = KS_BUF(target);

		ks_buf_put_c(&b, "/v1/events?limit=500&after=");
		ks_cli_put_encoded(&b, last);
		put_filters(cli, &b);
		code = take_page(cli, ks_buf_z(&b), true, last, &any);
		if (code == KS_EXIT_DONE && !any)
			(void)nanosleep(&pause, NULL);
	}
	return code;
}

int ks_cmd_events(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	if (ks_cli_option(cli, "follow"))
		return follow(cli);
	if (ks_cli_option(cli, "types"))
		return ks_client_do(cli, "GET", "/v1/event-types", NULL, show_types);
	ks_buf_put_c(&b, "/v1/events");
	put_filters(cli, &b);
	ks_put_query(cli, &b, "after", "after");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_events);
}
