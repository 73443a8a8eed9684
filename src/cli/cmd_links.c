/* SPDX-License-Identifier: Apache-2.0 */
/* links …: pages that take one value of one field of a provider, once. */
#include "cli/cmd_tables.h"

#define TARGET_MAX 512
#define SECONDS_MAX 2592000

/* "90m", "24h", "7d", or seconds. False: none of these. */
static bool read_duration(struct ks_str text, uint64_t *ret_seconds)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	uint64_t unit = 1, n;

	for (size_t i = 0; text.n > 0 && i < KS_ARRAY_LEN(units); i++) {
		if (text.p[text.n - 1] != units[i].unit)
			continue;
		unit = units[i].seconds;
		text = ks_str_sub(text, 0, text.n - 1);
		break;
	}
	if (!ks_str_to_u64(text, SECONDS_MAX, &n))
		return false;
	*ret_seconds = n * unit;
	return true;
}

/* The address alone on standard output, so that scripts can take it. */
static void show_made(struct ks_cli *cli, const json_t *answer)
{
	const char *url = json_string_value(json_object_get(answer, "url"));

	(void)cli;
	(void)fprintf(stderr, "%s, open until %s: the address below is shown this once\n",
		      json_string_value(json_object_get(answer, "id")),
		      json_string_value(json_object_get(answer, "expires_at")));
	(void)printf("%s\n", url ? url : "");
}

int ks_cmd_links_create(struct ks_cli *cli)
{
	const char *expires = ks_cli_option(cli, "expires");
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);
	struct ks_json body;
	uint64_t seconds = 0;

	if (expires && !read_duration(ks_str_c(expires), &seconds))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--expires must be a number with d, h, m or s");
	ks_buf_put_c(&b, "/v1/providers/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "/fields/");
	ks_cli_put_encoded(&b, cli->words[1]);
	ks_buf_put_c(&b, "/links");
	ks_json_init(&body);
	ks_json_open(&body, '{');
	if (expires)
		ks_json_put_u64(&body, "expires_in_s", seconds);
	ks_put_member(cli, &body, "for", "for");
	ks_json_close(&body, '}');
	return ks_client_do(cli, "POST", ks_buf_z(&b), &body, show_made);
}

static void show_links(struct ks_cli *cli, const json_t *answer)
{
	static const char *const columns[] = {"id",         "field",    "for",     "status", "attempts",
					      "expires_at", "ended_at", "version", NULL};

	(void)cli;
	ks_show_list(answer, columns);
}

int ks_cmd_links_list(struct ks_cli *cli)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/providers/");
	ks_cli_put_encoded(&b, cli->words[0]);
	ks_buf_put_c(&b, "/links");
	ks_put_query(cli, &b, "limit", "limit");
	ks_put_query(cli, &b, "cursor", "cursor");
	return ks_client_do(cli, "GET", ks_buf_z(&b), NULL, show_links);
}

static int do_link(struct ks_cli *cli, const char *method)
{
	char target[TARGET_MAX];
	struct ks_buf b = KS_BUF(target);

	ks_buf_put_c(&b, "/v1/links/");
	ks_cli_put_encoded(&b, cli->words[0]);
	return ks_client_do(cli, method, ks_buf_z(&b), NULL, ks_show_record);
}

int ks_cmd_links_show(struct ks_cli *cli)
{
	return do_link(cli, "GET");
}

int ks_cmd_links_cancel(struct ks_cli *cli)
{
	return do_link(cli, "DELETE");
}
