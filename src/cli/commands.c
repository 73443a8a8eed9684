/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands and options. */
#include <stdio.h>

#include "cli/cli.h"

#define END {NULL, NULL, NULL, false}

static const struct ks_option none[] = {END};

static const struct ks_option serve_options[] = {
	{"listen", "ADDRESS:PORT", "address and port of the HTTP API (default 127.0.0.1:5397)", false},
	{"policy", "FILE", "policy file of the platform", false},
	END};

static const struct ks_option policy_option[] = {{"policy", "FILE", "policy file of the platform", false}, END};

static const struct ks_option vault_rewrap_options[] = {
	{"rotate", NULL, "make a new master.key first; the old one is gone at the end", false},
	END};

static const struct ks_option keys_create_options[] = {
	{"name", "NAME", "name of the key", false},
	{"kind", "KIND", "tenant (default), partner or runtime; runtime keys can be made here alone", false},
	{"tenant", "ID", "tenant that the key is bound to (default: the operator)", false},
	{"user", "ID", "user that the key is bound to", false},
	{"scope", "SCOPE", "a scope; may be given more than once", true},
	{"default-scopes", NULL, "the scopes that the policy calls default", false},
	{"role", "ROLE", "a role, whose scopes the key gets for good; may be given more than once", true},
	{"expires", "TIME", "RFC 3339 time, a number of days such as 90d, or never (default)", false},
	{"environment", "NAME", "live (default) or sandbox", false},
	{"address", "CIDR", "range that the key may be used from; may be given more than once", true},
	{"rate", "N/SECONDS", "at most N requests in so many seconds", false},
	{"label", "NAME=VALUE", "a label; may be given more than once", true},
	END};

static const struct ks_option keys_list_options[] = {
	{"tenant", "ID", "keys of this tenant", false},
	{"below", NULL, "with --tenant: and of what is below it", false},
	{"status", "STATUS", "active, expired or revoked", false},
	{"kind", "KIND", "tenant, partner or runtime", false},
	{"environment", "NAME", "live or sandbox", false},
	{"unused-since", "TIME", "not used since this time", false},
	{"query", "TEXT", "part of the name", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option webhook_options[] = {
	{"scheme", "NAME", "scheme of a platform, such as standardwebhooks.v1", false},
	{"params", "FILE", "settings of the scheme, as JSON", false},
	{"secret-file", "FILE", "secrets, one a line", false},
	{"method", "METHOD", "of the request (POST)", false},
	{"url", "URL", "of the request, as its sender called it", false},
	{"header", "LINE", "\"Name: value\" of the request", true},
	{"body", "FILE", "of the request (- is standard input)", false},
	{"now", "SECONDS", "the time, since 1970, in the place of now", false},
	{"id", "ID", "sign: of the message, where the scheme has one", false},
	END,
};
#define EVENT_SECRET_OPTION(about) {"secret-file", "FILE", about "; else $KEYSTILE_WEBHOOK_SECRETS", false}
static const struct ks_option listen_options[] = {
	EVENT_SECRET_OPTION("the endpoint's secrets, a line each: whsec_…, whpk_… (- is stdin)"),
	{"port", "N", "port to listen on (default 5398; 0: any that is free)", false},
	{"address", "ADDRESS", "address to listen on (default 127.0.0.1)", false},
	{"count", "N", "end after N genuine events", false},
	{"answer", "STATUS", "what genuine events are answered with (default 204), to see what is sent again", false},
	END};

static const struct ks_option send_options[] = {
	EVENT_SECRET_OPTION("secrets to sign with, a line each: whsec_…, whsk_… (- is stdin)"),
	{"body", "FILE", "the event (- is standard input)", false},
	{"type", "TYPE", "type of an event without data (default endpoint.test)", false},
	{"id", "ID", "id of the event (default: a new one)", false},
	END};

#define ENDPOINT_OPTIONS                                                                                              \
	{"url", "URL", "where events are sent", false},                                                              \
		{"event", "TYPE", "a type of event, such as key.created, or *; may be given more than once", true},     \
		{"description", "TEXT", "for people", false},                                                        \
		{"concurrency", "N", "at most so many requests at a time, or none: as the service has it", false},   \
		{"rate", "N", "at most so many requests in a second, or none: no limit", false}
#define SIGNATURE_OPTION {"signature", "KIND", "v1 (HMAC with a secret) or v1a (Ed25519)", false}

static const struct ks_option endpoints_create_options[] = {
	ENDPOINT_OPTIONS,
	SIGNATURE_OPTION,
	{"tenant", "ID", "whose events are sent (default: the operator's, all of them)", false},
	END};

static const struct ks_option endpoints_change_options[] = {ENDPOINT_OPTIONS, END};

static const struct ks_option endpoints_list_options[] = {
	{"tenant", "ID", "of this tenant", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option endpoints_rotate_options[] = {
	{"overlap", "SECONDS", "how long the old secret signs too (default 0: it stops at once)", false},
	SIGNATURE_OPTION,
	END};

static const struct ks_option endpoints_replay_options[] = {
	{"from", "TIME", "events of this time and later", false},
	{"to", "TIME", "events before this time", false},
	{"all", NULL, "not what failed alone: all that the endpoint listens to", false},
	END};

static const struct ks_option deliveries_options[] = {
	{"endpoint", "ID", "to this endpoint", false},
	{"event", "ID", "of this event", false},
	{"state", "STATE", "pending, delivered or failed", false},
	{"tenant", "ID", "to endpoints of this tenant", false},
	{"from", "TIME", "made at this time or later", false},
	{"to", "TIME", "made before this time", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option platform_show_options[] = {
	{"file", NULL, "NAME is a platform file: show what it says", false},
	END};

static const struct ks_option keys_rotate_options[] = {
	{"overlap", "SECONDS", "how long the old key goes on (default 0: it stops at once)", false},
	{"expires", "TIME", "end of the successor (default: the old key's)", false},
	END};

static const struct ks_option keys_usage_options[] = {
	{"from", "TIME", "start", false}, {"to", "TIME", "end", false}, {"step", "STEP", "minute, hour or day", false}, END};

static const struct ks_option tenants_create_options[] = {
	{"kind", "KIND", "partner, organization, sub_entity or project", false},
	{"parent", "ID", "tenant above it (default: the operator)", false},
	{"name", "NAME", "name", false},
	{"slug", "SLUG", "first label of an organization's space URL (default: made from the name)", false},
	{"administrator", "EMAIL", "an organization's first administrator", false},
	END};

static const struct ks_option tenants_list_options[] = {
	{"parent", "ID", "directly below this tenant", false},
	{"kind", "KIND", "of this kind", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option users_create_options[] = {
	{"organization", "ID", "the user's organization; the operator's id for the operator's own people", false},
	{"email", "EMAIL", "address", false},
	{"name", "NAME", "name", false},
	END};

static const struct ks_option users_list_options[] = {
	{"organization", "ID", "of this organization", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option issuers_create_options[] = {
	{"organization", "ID", "the organization whose tenants its tokens are for", false},
	{"name", "NAME", "name for people", false},
	{"issuer", "URL", "iss of its tokens", false},
	{"audience", "TEXT", "aud that its tokens must have", false},
	{"jwks-url", "URL", "where its keys are (default: its discovery document says so)", false},
	{"tenant-claim", "CLAIM", "claim that says for which tenant a token is (default: for the organization)", false},
	{"tenant-value", "VALUE=ID", "what a value of that claim means; may be given more than once", true},
	{"default-tenant", "ID", "tenant of a token without that claim", false},
	{"role-claim", "CLAIM", "claim that says which roles a token holds", false},
	{"role-value", "VALUE=ROLE", "what a value of that claim means; may be given more than once", true},
	{"default-role", "ROLE", "role of a token without any; may be given more than once", true},
	END};

static const struct ks_option identity_providers_create_options[] = {
	{"organization", "ID", "whose people log in with it; the operator's id for the operator's own", false},
	{"name", "NAME", "name for people", false},
	{"issuer", "URL", "where its discovery document is found", false},
	{"client-id", "ID", "what it calls this service", false},
	{"client-secret-file", "FILE", "file that holds the client secret, or - for standard input (default: none)", false},
	{"scopes", "WORDS", "scopes to ask for (default: openid email profile)", false},
	{"domain", "DOMAIN", "domain of e-mail addresses that it speaks for; may be given more than once", true},
	{"auto-create", NULL, "whoever is new, with a verified address of the domains, becomes a user", false},
	{"default-tenant", "ID", "where a new user gets the role (default: the organization)", false},
	{"default-role", "ROLE", "role of a new user", false},
	END};

static const struct ks_option providers_create_options[] = {
	{"tenant", "ID", "whose connection it is", false},
	{"platform", "NAME", "name of a platform file", false},
	{"name", "NAME", "name for people", false},
	END};

static const struct ks_option providers_health_options[] = {
	{"tenant", "ID", "of this tenant alone", false},
	{"status", "STATUS", "healthy, degraded, failing or unknown", false},
	{"limit", "N", "how many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on where the page before ended", false},
	END};
static const struct ks_option providers_list_options[] = {
	{"tenant", "ID", "of this tenant and those below it", false},
	{"platform", "NAME", "of this platform", false},
	{"status", "STATUS", "incomplete, active or rotating", false},
	{"limit", "N", "how many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on where the page before ended", false},
	END};

static const struct ks_option providers_put_options[] = {
	{"value-file", "FILE", "file that holds the value, or - for standard input", false},
	{"reference-file", "FILE", "file that holds the reference as JSON, or - for standard input", false},
	END};

static const struct ks_option users_password_options[] = {
	{"password-file", "FILE", "file whose first line is the password (- is standard input); default: ask at the terminal", false}, END};

static const struct ks_option page_options[] = {
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option links_create_options[] = {
	{"expires", "DURATION", "how long it is open, as 90m, 24h or 7d (default 24h; at least 1m, at most 30d)", false},
	{"for", "TEXT", "for whom it is, in words; shown on the page", false},
	END};

static const struct ks_option sources_create_options[] = {
	{"tenant", "ID", "whose webhooks they are", false},
	{"platform", "NAME", "a platform of `keystile platforms list`", false},
	{"name", "NAME", "what people call it", false},
	{"provider", "ID", "a provider of the tenant, whose fields hold the secrets", false},
	{"scheme", "NAME", "one of the platform's schemes (default: its first)", false},
	{"form", "FILE", "a scheme of one's own, as JSON, in its place; - is standard input", false},
	{"parameters", "FILE", "settings of the scheme as JSON, secrets among them; - is standard input", false},
	END};

static const struct ks_option sources_rotate_options[] = {
	{"parameters", "FILE", "parameters that change, as JSON; - is standard input", false},
	{"overlap", "SECONDS", "how long those before hold on (default: not at all)", false},
	END};

static const struct ks_option sources_list_options[] = {
	{"tenant", "ID", "of this tenant and those below it", false},
	{"provider", "ID", "with this provider", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option member_options[] = {{"role", "ROLE", "administrator, member, account_reader or of the policy", false}, END};

#define AUDIT_FILTERS                                                                                        \
	{"tenant", "ID", "of this tenant", false},                                                           \
	{"actor", "ID", "what this key or user did, local or system", false},                                \
	{"action", "NAME", "one action, such as key.create", false},                                         \
	{"address", "ADDRESS", "what was done from this address", false},                                    \
	{"outcome", "CODE", "ok, or the code of a refusal", false},                                          \
	{"from", "TIME", "from this time on", false},                                                        \
	{"to", "TIME", "before this time", false}

static const struct ks_option audit_list_options[] = {
	AUDIT_FILTERS,
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	END};

static const struct ks_option audit_export_options[] = {
	AUDIT_FILTERS,
	{"format", "FORMAT", "jsonl (default) or csv", false},
	{"checkpoint-size", "N", "let what is left out be verified against a checkpoint of this size", false},
	END};

static const struct ks_option audit_checkpoint_options[] = {
	{"tenant", "ID", "whose log (default: the operator's)", false},
	{"size", "N", "of its first N entries (default: all)", false},
	END};

static const struct ks_option audit_proof_options[] = {
	{"tenant", "ID", "whose log (default: the operator's)", false},
	{"size", "N", "that the entry is among the first N (default: all)", false},
	{"from-size", "N", "size of the earlier checkpoint", false},
	{"to-size", "N", "size of the later one (default: all)", false},
	END};

static const struct ks_option audit_verify_options[] = {
	{"checkpoint", "FILE", "a checkpoint that was kept", false},
	{"key", "KEY", "the log's key as `audit key` prints it, or a file with it; signatures are checked with it", false},
	END};

static const struct ks_option events_options[] = {
	{"follow", NULL, "print events as they happen, a line each, until this is ended", false},
	{"tenant", "ID", "of this tenant", false},
	{"type", "TYPE", "of this type, such as key.created", false},
	{"from", "TIME", "from this time on", false},
	{"to", "TIME", "before this time", false},
	{"after", "ID", "after this event, oldest first", false},
	{"limit", "N", "at most so many (default 50, at most 500)", false},
	{"cursor", "CURSOR", "go on after an earlier list's next", false},
	{"types", NULL, "list the types of events instead", false},
	END};

static const struct ks_option scanners_options[] = {
	{"url", "URL", "address of the service, for what verifies or reports", false}, END};

#define REQUEST_OPTIONS                                                                                              \
	{"method", "METHOD", "method of the request", false}, {"path", "PATH", "path of the request", false},      \
		{"tenant", "ID", "X-Tenant-Id of the request", false}, {"host", "HOST", "Host of the request", false},     \
		{"address", "ADDRESS", "the client's address", false},                                             \
		{"authorization", NULL, "what is read is the whole value of an Authorization header", false}

static const struct ks_option issuer_rotate_options[] = {
	{"now", NULL, "the next key signs at once, before verifiers have had time to see it", false},
	{"withdraw", NULL, "and withdraw every other key: what they have signed is void", false},
	END};

static const struct ks_option request_options[] = {REQUEST_OPTIONS, END};

#define PAGE_OPTIONS                                                                                                 \
	{"limit", "N", "at most so many (default 50; here up to 100000)", false},                                    \
		{"cursor", "CURSOR", "go on after an earlier list's next", false}
#define OWN_OPTION {"own", NULL, "by the policy of this service's own API", false}

static const struct ks_option who_can_options[] = {
	{"tenant", "ID", "who could act in this tenant", false},
	{"users", NULL, "people with a session, instead of keys", false},
	OWN_OPTION,
	PAGE_OPTIONS,
	{"all", NULL, "all of them, a line each; with --json an object a line", false},
	END};

static const struct ks_option what_can_options[] = {
	{"denied", NULL, "what it cannot do too, and why", false}, OWN_OPTION, PAGE_OPTIONS, END};

static const struct ks_option diff_options[] = {
	{"examples", "N", "print the ids of N keys for each change (at most 1000)", false},
	{"all", NULL, "print the ids of all keys for each change", false},
	END};

static const struct ks_option audit_options[] = {
	{"days", "N", "days after which an unused scope is told (default 90)", false},
	{"tenant", "ID", "keys of this tenant and of what is below it", false},
	{"finding", "NAME", "list the keys of one finding", false},
	PAGE_OPTIONS,
	END};

static const struct ks_option test_options[] = {
	{"under", "FILE", "under this policy file (default: the policy in force)", false}, END};

const struct ks_command ks_commands[] = {
	{NULL, "init", "", 0, 0, "make a store and print the operator's first key, once", none, ks_cmd_init},
	{NULL, "serve", "", 0, 0, "run the service", serve_options, ks_cmd_serve},
	{"keys", "create", "", 0, 0, "make a key and print its token, once", keys_create_options, ks_cmd_keys_create},
	{"keys", "list", "", 0, 0, "list keys, newest first", keys_list_options, ks_cmd_keys_list},
	{"keys", "show", "ID", 1, 1, "show a key", none, ks_cmd_keys_show},
	{"keys", "rename", "ID NAME", 2, 2, "change a key's name", none, ks_cmd_keys_rename},
	{"keys", "delete", "ID", 1, 1, "revoke a key; returns when no reader accepts it any more", none, ks_cmd_keys_delete},
	{"keys", "rotate", "ID", 1, 1, "make a successor with the same grants and print its token", keys_rotate_options,
	 ks_cmd_keys_rotate},
	{"keys", "usage", "ID", 1, 1, "show how a key was used", keys_usage_options, ks_cmd_keys_usage},
	{"keys", "import", "FILE", 1, 1, "import keys by their digests, one JSON object a line (- is standard input)", none,
	 ks_cmd_keys_import},
	{"tenants", "create", "", 0, 0, "make a tenant", tenants_create_options, ks_cmd_tenants_create},
	{"tenants", "list", "", 0, 0, "list tenants, newest first", tenants_list_options, ks_cmd_tenants_list},
	{"tenants", "show", "ID", 1, 1, "show a tenant", none, ks_cmd_tenants_show},
	{"tenants", "rename", "ID NAME", 2, 2, "change a tenant's name", none, ks_cmd_tenants_rename},
	{"tenants", "suspend", "ID", 1, 1, "stop all keys of a tenant and what is below, at once", none, ks_cmd_tenants_suspend},
	{"tenants", "resume", "ID", 1, 1, "let them work again", none, ks_cmd_tenants_resume},
	{"tenants", "delete", "ID", 1, 1, "delete a tenant that has nothing below", none, ks_cmd_tenants_delete},
	{"tenants", "erase-secrets", "ID", 1, 1, "erase the key of an organization, and with it all of its values, for good", none,
	 ks_cmd_tenants_erase_secrets},
	{"users", "create", "", 0, 0, "make a user with a personal tenant, and an invitation", users_create_options, ks_cmd_users_create},
	{"users", "list", "", 0, 0, "list users", users_list_options, ks_cmd_users_list},
	{"users", "show", "ID", 1, 1, "show a user", none, ks_cmd_users_show},
	{"users", "invite", "ID", 1, 1, "invite a user anew, also to reset a password; prints the invitation, once", none,
	 ks_cmd_users_invite},
	{"users", "uninvite", "ID", 1, 1, "take the open invitation back", none, ks_cmd_users_uninvite},
	{"users", "password", "ID", 1, 1, "set a user's password; all sessions end", users_password_options, ks_cmd_users_password},
	{"users", "disable", "ID", 1, 1, "stop every credential of a user, at once", none, ks_cmd_users_disable},
	{"users", "enable", "ID", 1, 1, "let a user in again", none, ks_cmd_users_enable},
	{"users", "sessions", "ID", 1, 1, "list where a user is logged in", none, ks_cmd_users_sessions},
	{"users", "end-sessions", "ID", 1, 1, "end all sessions of a user", none, ks_cmd_users_end_sessions},
	{"users", "remove-totp", "ID", 1, 1, "remove a second factor that a user has lost", none, ks_cmd_users_remove_totp},
	{"members", "list", "TENANT", 1, 1, "list the members of a tenant", page_options, ks_cmd_members_list},
	{"members", "put", "TENANT USER", 2, 2, "give a user a role on a tenant", member_options, ks_cmd_members_put},
	{"members", "remove", "TENANT USER", 2, 2, "take a user's role on a tenant away", none, ks_cmd_members_remove},
	{"issuers", "create", "", 0, 0, "take the JWTs of an issuer", issuers_create_options, ks_cmd_issuers_create},
	{"issuers", "list", "", 0, 0, "list issuers", users_list_options, ks_cmd_issuers_list},
	{"issuers", "show", "ID", 1, 1, "show an issuer and its keys", none, ks_cmd_issuers_show},
	{"issuers", "refresh", "ID", 1, 1, "fetch its keys now", none, ks_cmd_issuers_refresh},
	{"issuers", "disable", "ID", 1, 1, "take its JWTs no more for now", none, ks_cmd_issuers_disable},
	{"issuers", "enable", "ID", 1, 1, "take them again", none, ks_cmd_issuers_enable},
	{"issuers", "delete", "ID", 1, 1, "take its JWTs no more, for good", none, ks_cmd_issuers_delete},
	{"identity-providers", "create", "", 0, 0, "let people log in with an OpenID Connect provider", identity_providers_create_options,
	 ks_cmd_identity_providers_create},
	{"identity-providers", "list", "", 0, 0, "list identity providers", users_list_options, ks_cmd_identity_providers_list},
	{"identity-providers", "show", "ID", 1, 1, "show an identity provider", none, ks_cmd_identity_providers_show},
	{"identity-providers", "disable", "ID", 1, 1, "nobody logs in with it for now", none, ks_cmd_identity_providers_disable},
	{"identity-providers", "enable", "ID", 1, 1, "let people log in with it again", none, ks_cmd_identity_providers_enable},
	{"identity-providers", "delete", "ID", 1, 1, "nobody logs in with it any more", none, ks_cmd_identity_providers_delete},
	{"providers", "create", "", 0, 0, "connect a tenant to a platform", providers_create_options, ks_cmd_providers_create},
	{"providers", "list", "", 0, 0, "list providers, newest first", providers_list_options, ks_cmd_providers_list},
	{"providers", "show", "ID", 1, 1, "show a provider", none, ks_cmd_providers_show},
	{"providers", "rename", "ID NAME", 2, 2, "give a provider another name", none, ks_cmd_providers_rename},
	{"providers", "delete", "ID", 1, 1, "remove a provider and erase its values", none, ks_cmd_providers_delete},
	{"providers", "fields", "ID", 1, 1, "list the fields of a provider, never their values", none, ks_cmd_providers_fields},
	{"providers", "versions", "ID FIELD", 2, 2, "list the versions of a field", none, ks_cmd_providers_versions},
	{"providers", "put", "ID FIELD", 2, 2, "write a new version of a field", providers_put_options, ks_cmd_providers_put},
	{"providers", "promote", "ID FIELD", 2, 2, "make the pending version current without its probe", none, ks_cmd_providers_promote},
	{"providers", "rollback", "ID FIELD", 2, 2, "make the version before current again", none, ks_cmd_providers_rollback},
	{"providers", "health", "[ID]", 0, 1, "whether credentials work: of one provider, or a list", providers_health_options, ks_cmd_providers_health},
	{"providers", "history", "ID", 1, 1, "list the changes of a provider's health, newest first", none, ks_cmd_providers_history},
	{"providers", "probe", "ID", 1, 1, "probe a provider now; `providers health` tells the outcome", none, ks_cmd_providers_probe},
	{"providers", "report", "ID", 1, 1, "how many calls began on which versions, and how many failed", none, ks_cmd_providers_report},
	{"links", "create", "PROVIDER FIELD", 2, 2, "make a page that takes a value of a field, once, and print its address",
	 links_create_options, ks_cmd_links_create},
	{"links", "list", "PROVIDER", 1, 1, "list the intake links of a provider, newest first", page_options, ks_cmd_links_list},
	{"links", "show", "ID", 1, 1, "show an intake link, never its address", none, ks_cmd_links_show},
	{"links", "cancel", "ID", 1, 1, "withdraw an intake link that is still open", none, ks_cmd_links_cancel},
	{"sources", "create", "", 0, 0, "take webhooks of a platform", sources_create_options, ks_cmd_sources_create},
	{"sources", "list", "", 0, 0, "list sources of webhooks, newest first", sources_list_options, ks_cmd_sources_list},
	{"sources", "show", "ID", 1, 1, "show a source, what is weak about it and whether it can verify", none, ks_cmd_sources_show},
	{"sources", "pause", "ID", 1, 1, "take no webhooks for the time being; the platform sends them again", none, ks_cmd_sources_pause},
	{"sources", "resume", "ID", 1, 1, "take webhooks again", none, ks_cmd_sources_resume},
	{"sources", "rotate", "ID", 1, 1, "change parameters, with an overlap if asked", sources_rotate_options, ks_cmd_sources_rotate},
	{"sources", "confirm", "ID", 1, 1, "agree to what a platform asks before it sends", none, ks_cmd_sources_confirm},
	{"sources", "delete", "ID", 1, 1, "take no webhooks any more and erase the secrets", none, ks_cmd_sources_delete},
	{"sources", "messages", "ID", 1, 1, "list what was received, newest first", page_options, ks_cmd_sources_messages},
	{"sources", "message", "ID MESSAGE", 2, 2, "show one message, its headers and body", none, ks_cmd_sources_message},
	{"platforms", "list", "", 0, 0, "list the platforms that a provider can be of", page_options, ks_cmd_platforms_list},
	{"platforms", "show", "NAME", 1, 1, "show what a provider of a platform consists of", platform_show_options, ks_cmd_platforms_show},
	{"platforms", "check", "FILE [FILE...]", 1, KS_CLI_WORDS_MAX, "say what is wrong with platform files, by line and column", none,
	 ks_cmd_platforms_check},
	{"endpoints", "create", "", 0, 0, "have events sent to a URL, signed, and print the secret, once", endpoints_create_options,
	 ks_cmd_endpoints_create},
	{"endpoints", "list", "", 0, 0, "list endpoints, newest first", endpoints_list_options, ks_cmd_endpoints_list},
	{"endpoints", "show", "ID", 1, 1, "show an endpoint, never its secret", none, ks_cmd_endpoints_show},
	{"endpoints", "change", "ID", 1, 1, "change where events are sent, and which ones", endpoints_change_options, ks_cmd_endpoints_change},
	{"endpoints", "rotate", "ID", 1, 1, "make a new secret and print it, once", endpoints_rotate_options, ks_cmd_endpoints_rotate},
	{"endpoints", "pause", "ID", 1, 1, "let what is to be sent wait", none, ks_cmd_endpoints_pause},
	{"endpoints", "resume", "ID", 1, 1, "go on sending, also to one that was disabled", none, ks_cmd_endpoints_resume},
	{"endpoints", "test", "ID", 1, 1, "send a test event; `deliveries show` tells the outcome", none, ks_cmd_endpoints_test},
	{"endpoints", "replay", "ID", 1, 1, "send once more what failed since a time", endpoints_replay_options, ks_cmd_endpoints_replay},
	{"endpoints", "delete", "ID", 1, 1, "send nothing there any more, for good", none, ks_cmd_endpoints_delete},
	{"deliveries", "list", "", 0, 0, "list what was sent, or is to be, newest first", deliveries_options, ks_cmd_deliveries_list},
	{"deliveries", "show", "ID", 1, 1, "show a delivery with its attempts", none, ks_cmd_deliveries_show},
	{"deliveries", "replay", "ID", 1, 1, "send it once more", none, ks_cmd_deliveries_replay},
	{"webhooks", "verify", "[FILE]", 0, 1, "say whether a request is genuine: of a file in the form of POST /v1/webhooks/verify, or of options",
	 webhook_options, ks_cmd_webhooks_verify},
	{"webhooks", "sign", "[FILE]", 0, 1, "print the headers that make a request genuine", webhook_options, ks_cmd_webhooks_sign},
	{"webhooks", "listen", "", 0, 0, "receive events of this service, verify them and print them", listen_options, ks_cmd_webhooks_listen},
	{"webhooks", "send", "URL", 1, 1, "send a signed event to a receiver; exit code 1: it was not answered with 2xx", send_options,
	 ks_cmd_webhooks_send},
	{"policy", "check", "FILE", 1, 1, "say what is wrong with a policy file, by line and column", none, ks_cmd_policy_check},
	{"policy", "show", "", 0, 0, "show the policy in force", none, ks_cmd_policy_show},
	{"policy", "matrix", "", 0, 0, "show which scope each method of each family needs", none, ks_cmd_policy_matrix},
	{"policy", "who-can", "METHOD PATH", 2, 2, "list the keys that could make a request", who_can_options, ks_cmd_policy_who_can},
	{"policy", "what-can", "KEY", 1, 1, "list the routes that a key could use", what_can_options, ks_cmd_policy_what_can},
	{"policy", "diff", "[OLD] NEW", 1, 2,
	 "say which keys gain or lose what when policy file NEW takes the place of OLD (left out: of the policy in force)",
	 diff_options, ks_cmd_policy_diff},
	{"policy", "audit", "", 0, 0, "say what wants looking at among the keys", audit_options, ks_cmd_policy_audit},
	{"policy", "test", "FILE", 1, 1, "hold the assertions in FILE against the keys; exit code 1: one does not hold", test_options,
	 ks_cmd_policy_test},
	{NULL, "what-can", "KEY", 1, 1, "the same as policy what-can", what_can_options, ks_cmd_policy_what_can},
	{NULL, "verify", "[TOKEN]", 0, 1, "ask whether a credential is accepted, or may make a request; exit code 3: denied",
	 request_options, ks_cmd_verify},
	{NULL, "explain", "[TOKEN]", 0, 1, "show each step of a decision; counts nothing; exit code 3: denied", request_options,
	 ks_cmd_explain},
	{NULL, "scanners", "SCANNER", 1, 1, "print patterns of our tokens for gitleaks, trufflehog or github", scanners_options,
	 ks_cmd_scanners},
	{NULL, "events", "", 0, 0, "list what happened, newest first, or follow it", events_options, ks_cmd_events},
	{"audit", "list", "", 0, 0, "list who did what, newest first", audit_list_options, ks_cmd_audit_list},
	{"audit", "export", "[FILE]", 0, 1,
	 "write a tenant's log into a new file, with all that proves it (left out, or -: standard output)", audit_export_options,
	 ks_cmd_audit_export},
	{"audit", "checkpoint", "", 0, 0, "print a signed checkpoint of a log, to be kept", audit_checkpoint_options,
	 ks_cmd_audit_checkpoint},
	{"audit", "key", "", 0, 0, "print the key that checkpoints are checked with", none, ks_cmd_audit_key},
	{"audit", "proof", "[ENTRY]", 0, 1, "prove that an entry is in its log, or that one checkpoint follows from another",
	 audit_proof_options, ks_cmd_audit_proof},
	{"audit", "verify", "FILE", 1, 1,
	 "hold an export against a checkpoint that was kept, without a service; exit code 1: something is not as it was",
	 audit_verify_options, ks_cmd_audit_verify},
	{"audit", "check", "", 0, 0, "compute all logs of the store anew and compare; exit code 1: they differ", none,
	 ks_cmd_audit_check},
	{"issuer", "show", "", 0, 0, "show our issuer of JWTs and its keys", none, ks_cmd_issuer_show},
	{"issuer", "rotate", "", 0, 0, "let a next signing key come", issuer_rotate_options, ks_cmd_issuer_rotate},
	{"ring", "stat", "", 0, 0, "show the ring's numbers", none, ks_cmd_ring_stat},
	{"ring", "rebuild", "", 0, 0, "build the ring anew from the store", none, ks_cmd_ring_rebuild},
	{"ring", "check", "", 0, 0, "compare the ring with the store; exit code 1: they differ", none, ks_cmd_ring_check},
	{"vault", "root", "", 0, 0, "show what wraps the keys of secrets", none, ks_cmd_vault_root},
	{"vault", "rewrap", "", 0, 0, "wrap all keys of secrets by the root in force, while the service goes on", vault_rewrap_options,
	 ks_cmd_vault_rewrap},
	{NULL, "backup", "FILE", 1, 1, "copy the store into a new file while the service goes on", none, ks_cmd_backup},
	{NULL, "restore", "FILE", 1, 1, "put a backup in the place of the store; the service must be stopped", policy_option,
	 ks_cmd_restore},
	{"config", "show", "", 0, 0, "show the settings in force and where each comes from", none, ks_cmd_config_show},
	{NULL, "completion", "SHELL", 1, 1, "print the completion for bash, zsh or fish", none, ks_cmd_completion},
	{NULL, "version", "", 0, 0, "print the version", none, ks_cmd_version},
};
const size_t ks_command_count = KS_ARRAY_LEN(ks_commands);
