/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns for those who look for leaked tokens, made from the prefixes of the settings. */
#include "cli/cli.h"
#include "config/config.h"
#include "daemon/serve.h"

#define TEXT_MAX 8192
#define ENTROPY "2.5" /* of a token whose 16 bytes are random it is about 3.8 bits a character */

/* RE2, PCRE and Python understand it. A token stands alone: no letter, digit or "_" beside it. */
#define PATTERN "\\b(%s_[0-9a-f]{32}(?:_[0-9a-f]{8})?)\\b"

struct scanner {
	struct ks_buf *out;
	const char *prefix;
	const char *url;       /* of the service, without "/" at its end; NULL: not known */
};

static void put_gitleaks_head(struct scanner *s)
{
	ks_buf_put_c(s->out, "title = \"Keystile tokens\"\n\n[extend]\nuseDefault = true\n");
}

static void put_gitleaks(struct scanner *s)
{
	ks_buf_printf(s->out, "\n[[rules]]\nid = \"%s-token\"\ndescription = \"API token with the prefix %s\"\n", s->prefix,
		      s->prefix);
	ks_buf_printf(s->out, "regex = '''" PATTERN "'''\nsecretGroup = 1\nentropy = " ENTROPY "\nkeywords = [\"%s_\"]\n",
		      s->prefix, s->prefix);
}

static void put_trufflehog_head(struct scanner *s)
{
	ks_buf_put_c(s->out, "detectors:\n");
}

static void put_trufflehog(struct scanner *s)
{
	ks_buf_printf(s->out, "  - name: %s_token\n    keywords: [\"%s_\"]\n    regex:\n      token: '" PATTERN "'\n"
			      "    entropy: " ENTROPY "\n",
		      s->prefix, s->prefix, s->prefix);
	if (!s->url)
		return;
	ks_buf_printf(s->out, "    verify:\n      - endpoint: \"%s/v1/verify/trufflehog\"\n", s->url);
	if (!ks_str_starts(ks_str_c(s->url), KS_STR("https://")))
		ks_buf_put_c(s->out, "        unsafe: true\n");
	ks_buf_put_c(s->out, "        # A key with the scope keystile:verify.\n"
			     "        headers: [\"Authorization: Bearer REPLACE_ME\"]\n"
			     "        successRanges: [\"200\"]\n        rotatedRanges: [\"404\"]\n");
}

static void put_github_head(struct scanner *s)
{
	ks_buf_put_c(s->out, "For GitHub's secret scanning partner program.\n");
	ks_buf_printf(s->out, "Endpoint: %s/v1/leaks/github\n", s->url ? s->url : "https://HOST");
}

static void put_github(struct scanner *s)
{
	ks_buf_printf(s->out, "\nType: %s_token\nRegular expression: %s_[0-9a-f]{32}(_[0-9a-f]{8})?\n"
			      "Checksum: where there is one, the last 8 digits are the CRC-32 of all before the last \"_\"\n",
		      s->prefix, s->prefix);
}

static const struct {
	const char *name;
	void (*put_head)(struct scanner *s);
	void (*put)(struct scanner *s);
} formats[] = {
	{"gitleaks", put_gitleaks_head, put_gitleaks},
	{"trufflehog", put_trufflehog_head, put_trufflehog},
	{"github", put_github_head, put_github},
};

static bool is_url(struct ks_str url)
{
	for (size_t i = 0; i < url.n; i++) {
		if (url.p[i] <= ' ' || url.p[i] == '"' || url.p[i] == '\\' || url.p[i] == 0x7f)
			return false;
	}
	return (ks_str_starts(url, KS_STR("https://")) || ks_str_starts(url, KS_STR("http://")))
	       && url.p[url.n - 1] != '/';
}

static int print(const struct ks_cli *cli, const char *format, struct ks_buf *out)
{
	if (!ks_buf_z(out)[0])
		return ks_cli_fail(cli, KS_EXIT_FAILED, "the text is too long");
	if (cli->json)
		ks_cli_print_text("format", format, out->p);
	else
		(void)fputs(out->p, stdout);
	return KS_EXIT_DONE;
}

int ks_cmd_scanners(struct ks_cli *cli)
{
	char text[TEXT_MAX];
	struct ks_buf out = KS_BUF(text);
	struct ks_config_problem problem = {""};
	struct scanner s = {.out = &out, .url = ks_cli_option(cli, "url")};
	const char *live, *sandbox;

	if (s.url && !is_url(ks_str_c(s.url)))
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--url takes an address such as https://keys.example.com");
	if (ks_serve_recall(cli->config, &problem) != KS_OK)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "%s", problem.text);
	live = cli->config->tokens_prefix_live.text;
	sandbox = cli->config->tokens_prefix_sandbox.text;
	for (size_t i = 0; i < KS_ARRAY_LEN(formats); i++) {
		if (!ks_str_eq(ks_str_c(formats[i].name), ks_str_c(cli->words[0])))
			continue;
		s.prefix = live;
		formats[i].put_head(&s);
		formats[i].put(&s);
		s.prefix = sandbox;
		if (!ks_str_eq(ks_str_c(live), ks_str_c(sandbox)))
			formats[i].put(&s);
		return print(cli, formats[i].name, &out);
	}
	return ks_cli_fail(cli, KS_EXIT_USAGE, "the scanner must be gitleaks, trufflehog or github");
}
