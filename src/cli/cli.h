/* SPDX-License-Identifier: Apache-2.0 */
/** The command line: a table of commands with their options, from which parsing, help, completion and the man page come. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "api/json_out.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/** Exit codes (CONTRACT "Running"). */
enum { KS_EXIT_DONE = 0, KS_EXIT_FAILED = 1, KS_EXIT_USAGE = 2, KS_EXIT_DENIED = 3 };

#define KS_CLI_OPTIONS_MAX 24
#define KS_CLI_GIVEN_MAX 160
#define KS_CLI_WORDS_MAX 8

struct ks_option {
	const char *name;      /* without the dashes; NULL ends a list */
	const char *value;     /* what it takes, for the help; NULL: a switch */
	const char *about;
	bool repeated;
};

struct ks_cli;

struct ks_command {
	const char *group;     /* "keys"; NULL: the verb stands alone */
	const char *verb;
	const char *words;     /* "ID NAME", "[TOKEN]"; empty: none */
	size_t words_min, words_max;
	const char *about;
	const struct ks_option *options;
	int (*run)(struct ks_cli *cli);
};

struct ks_cli {
	const struct ks_command *command;
	size_t given_count;
	struct {
		const struct ks_option *option;
		const char *value;
	} given[KS_CLI_GIVEN_MAX];
	size_t word_count;
	const char *words[KS_CLI_WORDS_MAX];
	bool json;
	struct ks_config *config;
	struct ks_client *client;   /* opened at the first call */
};

extern const struct ks_command ks_commands[];
extern const size_t ks_command_count;

/** The value given for an option (the last one), NULL if none; "" for a switch. */
const char *ks_cli_option(const struct ks_cli *cli, const char *name);
/** The `n`-th value given for a repeated option; NULL beyond the last. */
const char *ks_cli_option_n(const struct ks_cli *cli, const char *name, size_t n);

/** Says what is wrong on standard error ("keystile: …", or as JSON) and returns `code`. */
int ks_cli_fail(const struct ks_cli *cli, int code, const char *fmt, ...) KS_PRINTF(3, 4);

void ks_cli_help(FILE *out, const struct ks_command *command);       /* NULL: all */
/** The commands of one group. False, and nothing is printed: there is no such group. */
KS_MUST_USE bool ks_cli_help_group(FILE *out, const char *group);
void ks_cli_completion_bash(FILE *out);
void ks_cli_completion_zsh(FILE *out);
void ks_cli_completion_fish(FILE *out);
void ks_cli_man(FILE *out);

/* ---- client.c: one way to the service, whether a daemon runs or not ---- */

struct ks_answer {
	int status;
	char *text;            /* terminated; free with ks_answer_free, which wipes it */
	size_t n;
	json_t *json;          /* parsed; NULL where the body is none */
};
void ks_answer_free(struct ks_answer *answer);

/** Calls the API as the owner of the data directory: through the daemon's local socket, or, where none runs, on the store itself. `body` may be NULL. An exit code:
 * KS_EXIT_DONE with any answer, or KS_EXIT_FAILED after saying why there is none. */
int ks_client_call(struct ks_cli *cli, const char *method, const char *target, struct ks_str body, struct ks_answer *ret_answer);
/** The same with a file as the body (imports); `in` is read to its end. */
int ks_client_upload(struct ks_cli *cli, const char *target, FILE *in, struct ks_answer *ret_answer);
/** GET of what may be large: a 200 answer's bytes go to `take` as they come, which may end it by false; any other answer to
 * *ret_answer as ever. */
int ks_client_download(struct ks_cli *cli, const char *target, bool (*take)(void *ctx, struct ks_str piece), void *ctx,
		       struct ks_answer *ret_answer);
void ks_client_close(struct ks_cli *cli);

/** Calls and, where the status is not 2xx, says the problem and fails. On success the answer is printed as JSON (--json) or by `show`. */
int ks_client_do(struct ks_cli *cli, const char *method, const char *target, struct ks_json *body,
		 void (*show)(struct ks_cli *cli, const json_t *answer));

/** Says an answer's problem; KS_EXIT_FAILED. */
int ks_client_problem(struct ks_cli *cli, const struct ks_answer *answer);

/** True if a daemon answers on the data directory's socket. */
bool ks_client_daemon_runs(struct ks_cli *cli);

/** Prints {"NAME": "WHICH", "text": "TEXT"} for commands that print a text for another program. */
void ks_cli_print_text(const char *name, const char *which, const char *text);

/** A bar on standard error, only where that is a terminal. Fits ks_engine_options.progress; done == all ends it. */
void ks_progress(void *ctx, const char *what, uint64_t done, uint64_t all);

/** Percent-encodes `text` as one path segment or query value onto `out`. */
void ks_cli_put_encoded(struct ks_buf *out, const char *text);

#define KS_CLI_PASSWORD_MAX 1024
/** Reads a password, of the file that --password-file names, or twice from the terminal without an echo, into `password` (the
 * caller wipes it). An exit code, after saying what is wrong. */
int ks_cli_password(struct ks_cli *cli, struct ks_buf *password);

/* ---- commands: one file a group ---- */
int ks_cmd_init(struct ks_cli *cli);
int ks_cmd_serve(struct ks_cli *cli);
int ks_cmd_version(struct ks_cli *cli);
int ks_cmd_config_show(struct ks_cli *cli);
int ks_cmd_completion(struct ks_cli *cli);
int ks_cmd_backup(struct ks_cli *cli);
int ks_cmd_restore(struct ks_cli *cli);
int ks_cmd_issuer_show(struct ks_cli *cli);
int ks_cmd_webhooks_verify(struct ks_cli *cli);
int ks_cmd_webhooks_sign(struct ks_cli *cli);
int ks_cmd_endpoints_create(struct ks_cli *cli);
int ks_cmd_endpoints_list(struct ks_cli *cli);
int ks_cmd_endpoints_show(struct ks_cli *cli);
int ks_cmd_endpoints_change(struct ks_cli *cli);
int ks_cmd_endpoints_rotate(struct ks_cli *cli);
int ks_cmd_endpoints_pause(struct ks_cli *cli);
int ks_cmd_endpoints_resume(struct ks_cli *cli);
int ks_cmd_endpoints_test(struct ks_cli *cli);
int ks_cmd_endpoints_replay(struct ks_cli *cli);
int ks_cmd_endpoints_delete(struct ks_cli *cli);
int ks_cmd_deliveries_list(struct ks_cli *cli);
int ks_cmd_deliveries_show(struct ks_cli *cli);
int ks_cmd_deliveries_replay(struct ks_cli *cli);
int ks_cmd_webhooks_listen(struct ks_cli *cli);
int ks_cmd_webhooks_send(struct ks_cli *cli);
int ks_cmd_issuer_rotate(struct ks_cli *cli);
int ks_cmd_ring_stat(struct ks_cli *cli);
int ks_cmd_ring_rebuild(struct ks_cli *cli);
int ks_cmd_ring_check(struct ks_cli *cli);
int ks_cmd_vault_root(struct ks_cli *cli);
int ks_cmd_vault_rewrap(struct ks_cli *cli);
int ks_cmd_keys_create(struct ks_cli *cli);
int ks_cmd_keys_list(struct ks_cli *cli);
int ks_cmd_keys_show(struct ks_cli *cli);
int ks_cmd_keys_rename(struct ks_cli *cli);
int ks_cmd_keys_delete(struct ks_cli *cli);
int ks_cmd_keys_rotate(struct ks_cli *cli);
int ks_cmd_keys_usage(struct ks_cli *cli);
int ks_cmd_keys_import(struct ks_cli *cli);
int ks_cmd_tenants_create(struct ks_cli *cli);
int ks_cmd_tenants_list(struct ks_cli *cli);
int ks_cmd_tenants_show(struct ks_cli *cli);
int ks_cmd_tenants_rename(struct ks_cli *cli);
int ks_cmd_tenants_delete(struct ks_cli *cli);
int ks_cmd_tenants_suspend(struct ks_cli *cli);
int ks_cmd_tenants_resume(struct ks_cli *cli);
int ks_cmd_users_create(struct ks_cli *cli);
int ks_cmd_users_show(struct ks_cli *cli);
int ks_cmd_users_invite(struct ks_cli *cli);
int ks_cmd_users_uninvite(struct ks_cli *cli);
int ks_cmd_users_password(struct ks_cli *cli);
int ks_cmd_users_disable(struct ks_cli *cli);
int ks_cmd_users_enable(struct ks_cli *cli);
int ks_cmd_users_sessions(struct ks_cli *cli);
int ks_cmd_users_end_sessions(struct ks_cli *cli);
int ks_cmd_users_remove_totp(struct ks_cli *cli);
int ks_cmd_members_list(struct ks_cli *cli);
int ks_cmd_users_list(struct ks_cli *cli);
int ks_cmd_issuers_create(struct ks_cli *cli);
int ks_cmd_issuers_list(struct ks_cli *cli);
int ks_cmd_issuers_show(struct ks_cli *cli);
int ks_cmd_issuers_refresh(struct ks_cli *cli);
int ks_cmd_issuers_disable(struct ks_cli *cli);
int ks_cmd_issuers_enable(struct ks_cli *cli);
int ks_cmd_issuers_delete(struct ks_cli *cli);
int ks_cmd_identity_providers_create(struct ks_cli *cli);
int ks_cmd_identity_providers_list(struct ks_cli *cli);
int ks_cmd_identity_providers_show(struct ks_cli *cli);
int ks_cmd_identity_providers_disable(struct ks_cli *cli);
int ks_cmd_identity_providers_enable(struct ks_cli *cli);
int ks_cmd_identity_providers_delete(struct ks_cli *cli);
int ks_cmd_providers_create(struct ks_cli *cli);
int ks_cmd_providers_list(struct ks_cli *cli);
int ks_cmd_providers_show(struct ks_cli *cli);
int ks_cmd_providers_rename(struct ks_cli *cli);
int ks_cmd_providers_delete(struct ks_cli *cli);
int ks_cmd_providers_fields(struct ks_cli *cli);
int ks_cmd_providers_versions(struct ks_cli *cli);
int ks_cmd_providers_put(struct ks_cli *cli);
int ks_cmd_providers_promote(struct ks_cli *cli);
int ks_cmd_providers_rollback(struct ks_cli *cli);
int ks_cmd_providers_report(struct ks_cli *cli);
int ks_cmd_providers_health(struct ks_cli *cli);
int ks_cmd_providers_history(struct ks_cli *cli);
int ks_cmd_providers_probe(struct ks_cli *cli);
int ks_cmd_tenants_erase_secrets(struct ks_cli *cli);
int ks_cmd_links_create(struct ks_cli *cli);
int ks_cmd_links_list(struct ks_cli *cli);
int ks_cmd_links_show(struct ks_cli *cli);
int ks_cmd_links_cancel(struct ks_cli *cli);
int ks_cmd_sources_create(struct ks_cli *cli);
int ks_cmd_sources_list(struct ks_cli *cli);
int ks_cmd_sources_show(struct ks_cli *cli);
int ks_cmd_sources_pause(struct ks_cli *cli);
int ks_cmd_sources_resume(struct ks_cli *cli);
int ks_cmd_sources_rotate(struct ks_cli *cli);
int ks_cmd_sources_confirm(struct ks_cli *cli);
int ks_cmd_sources_delete(struct ks_cli *cli);
int ks_cmd_sources_messages(struct ks_cli *cli);
int ks_cmd_sources_message(struct ks_cli *cli);
int ks_cmd_members_put(struct ks_cli *cli);
int ks_cmd_members_remove(struct ks_cli *cli);
int ks_cmd_platforms_list(struct ks_cli *cli);
int ks_cmd_platforms_show(struct ks_cli *cli);
int ks_cmd_platforms_check(struct ks_cli *cli);
int ks_cmd_policy_check(struct ks_cli *cli);
int ks_cmd_policy_show(struct ks_cli *cli);
int ks_cmd_policy_matrix(struct ks_cli *cli);
int ks_cmd_policy_who_can(struct ks_cli *cli);
int ks_cmd_policy_what_can(struct ks_cli *cli);
int ks_cmd_policy_diff(struct ks_cli *cli);
int ks_cmd_policy_audit(struct ks_cli *cli);
int ks_cmd_policy_test(struct ks_cli *cli);
int ks_cmd_verify(struct ks_cli *cli);
int ks_cmd_explain(struct ks_cli *cli);
int ks_cmd_audit_list(struct ks_cli *cli);
int ks_cmd_audit_export(struct ks_cli *cli);
int ks_cmd_audit_checkpoint(struct ks_cli *cli);
int ks_cmd_audit_key(struct ks_cli *cli);
int ks_cmd_audit_proof(struct ks_cli *cli);
int ks_cmd_audit_check(struct ks_cli *cli);
int ks_cmd_audit_verify(struct ks_cli *cli);
int ks_cmd_events(struct ks_cli *cli);
int ks_cmd_scanners(struct ks_cli *cli);
