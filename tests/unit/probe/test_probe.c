/* SPDX-License-Identifier: Apache-2.0 */
/* Probes against a real server on this machine (server.py). Names are looked up by this file's own getaddrinfo, which
 * libcurl finds before the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "fetch/line.h"
#include "platform/platform.h"
#include "probe/probe.h"

#define PATIENCE_MS 20000
#define RIGHT "right horse"
#define WRONG "wrong horse"

static pid_t server;
static FILE *said;
static int server_input;
static char directory[] = "/tmp/keystile-probe-XXXXXX";
static int ports[3], http_port, silent_port;
static struct ks_fetch *fetch;
static sem_t slow_name; /* slow.test is not answered before this is posted */

/* ---- names ---- */

KS_PUBLIC int getaddrinfo(const char *restrict node, const char *restrict service,
			  const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	struct ks_str name = ks_str_c(node);
	const char *text = ks_str_eq(name, KS_STR("private.test")) ? "10.11.12.13" : "127.0.0.1";
	struct addrinfo *a;
	struct sockaddr_in *s;

	(void)hints;
	if (ks_str_eq(name, KS_STR("slow.test"))) {
		(void)sem_wait(&slow_name);
		return EAI_AGAIN;
	}
	if (!ks_str_eq(name, KS_STR("good.test")) && !ks_str_eq(name, KS_STR("other.test")) && !ks_str_eq(name, KS_STR("private.test")))
		return EAI_NONAME;
	a = calloc(1, sizeof(*a));
	s = calloc(1, sizeof(*s));
	assert_non_null(a);
	assert_non_null(s);
	s->sin_family = AF_INET;
	s->sin_port = htons((uint16_t)(service ? strtol(service, NULL, 10) : 0));
	assert_int_equal(inet_pton(AF_INET, text, &s->sin_addr), 1);
	*a = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP,
			       .ai_addrlen = sizeof(*s), .ai_addr = (struct sockaddr *)s};
	*ret = a;
	return 0;
}

KS_PUBLIC void freeaddrinfo(struct addrinfo *a)
{
	while (a) {
		struct addrinfo *next = a->ai_next;

		free(a->ai_addr);
		free(a);
		a = next;
	}
}

/* ---- the server ---- */

static int word_and_number(const char *word)
{
	char line[64];
	size_t n = strlen(word);

	assert_non_null(fgets(line, sizeof(line), said));
	assert_int_equal(strncmp(line, word, n), 0);
	return (int)strtol(line + n, NULL, 10);
}

static sem_t waits; /* posted where somebody begins to wait */

static void on_wait(void *ctx, bool begins)
{
	if (begins)
		(void)sem_post(ctx);
}

static struct ks_fetch *new_fetch(bool with_loopback)
{
	char ca[64];
	struct ks_fetch_options o = {
		.ca_file = ca, .allow_count = with_loopback ? 1 : 0, .on_wait = on_wait, .on_wait_ctx = &waits};
	struct ks_fetch *made = NULL;

	(void)snprintf(ca, sizeof(ca), "%s/ca.pem", directory);
	assert_true(ks_cidr_parse(KS_STR("127.0.0.0/8"), &o.allow[0]));
	assert_int_equal(ks_fetch_new(&o, &made), KS_OK);
	return made;
}

static int start_server(void **state)
{
	char script[512];
	int in[2], out[2];

	(void)state;
	(void)sem_init(&slow_name, 0, 0);
	(void)sem_init(&waits, 0, 0);
	(void)snprintf(script, sizeof(script), "%s/tests/unit/probe/server.py", getenv("KEYSTILE_SOURCE"));
	if (!mkdtemp(directory) || pipe(in) || pipe(out))
		return -1;
	server = fork();
	if (server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		(void)close(in[1]);
		(void)close(out[0]);
		(void)execl("/usr/bin/python3", "python3", script, directory, (char *)NULL);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	server_input = in[1];
	said = fdopen(out[0], "r");
	ports[KS_FETCH_UDP] = word_and_number("udp ");
	ports[KS_FETCH_TCP] = word_and_number("tcp ");
	ports[KS_FETCH_TLS_OVER_TCP] = word_and_number("tls ");
	http_port = word_and_number("http ");
	silent_port = word_and_number("silent ");
	fetch = new_fetch(true);
	return 0;
}

static int stop_server(void **state)
{
	char command[128];
	int status;

	(void)state;
	ks_fetch_free(&fetch);
	(void)close(server_input);
	(void)waitpid(server, &status, 0);
	(void)fclose(said);
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

/* ---- platforms ---- */

#define HEAD "version: 1\nname: p\nlabel: P\nabout: A platform.\n"
#define FIELD(name) "  " name ": {label: " name ", type: text, required: false}\n"

#define TRANSPORT "  transport: {label: Transport, type: choice, choices: {udp: U, tcp: T, tls: S}, default: udp}\n"

static const char sip_register[] = HEAD "fields:\n" FIELD("host") FIELD("port") TRANSPORT FIELD("domain") FIELD("user")
	"  password: {label: Password, type: secret, required: false}\n"
	"probe:\n  kind: sip-register\n  host: ${host}\n  port: ${port}\n  transport: ${transport}\n  domain: ${domain}\n"
	"  user: ${user}\n  password: ${password}\n";
static const char sip_options[] = HEAD "fields:\n" FIELD("host") FIELD("port") TRANSPORT FIELD("domain") FIELD("user")
	"  password: {label: Password, type: secret, required: false}\n"
	"probe:\n  kind: sip-options\n  host: ${host}\n  port: ${port}\n  transport: ${transport}\n  domain: ${domain}\n"
	"  user: ${user}\n  password: ${password}\n";
static const char tcp[] = HEAD "fields:\n" FIELD("host") FIELD("port") "probe:\n  kind: tcp\n  host: ${host}\n  port: ${port}\n";
static const char tls[] = HEAD "fields:\n" FIELD("host") FIELD("port") "probe:\n  kind: tls\n  host: ${host}\n  port: ${port}\n";
static const char readable[] = HEAD "fields:\n" FIELD("host") "probe:\n  kind: readable\n";
static const char no_probe[] = HEAD "fields:\n" FIELD("host");
#define URL_FIELDS "fields:\n  base: {label: URL, type: url}\n" FIELD("path") FIELD("id") \
	"  key: {label: Key, type: secret, required: false}\n"
static const char http_key[] = HEAD URL_FIELDS "probe:\n  kind: http\n  url: ${base}/${path}\n  headers: {X-Api-Key: \"${key}\"}\n";
static const char http_member[] = HEAD URL_FIELDS "probe:\n  kind: http\n  url: ${base}/${path}\n  answers:\n"
	"    - {status: 200, member: /sid, equals: AC1, code: account_suspended, fields: [id]}\n    - {status: 404, code: ok}\n";
static const char http_basic[] = HEAD URL_FIELDS "probe:\n  kind: http\n  url: ${base}/basic\n  basic: {user: \"${id}\", password: \"${key}\"}\n";
static const char http_bearer[] = HEAD URL_FIELDS "probe:\n  kind: http\n  url: ${base}/bearer\n  bearer: ${key}\n";
static const char http_jwt[] = HEAD URL_FIELDS "probe:\n  kind: http\n  method: POST\n  url: ${base}/jwt\n  body: \"{}\"\n"
	"  jwt: {key: \"${key}\", claims: '{\"iss\":\"${id}\"}'}\n";
static const char http_aws[] = HEAD URL_FIELDS "probe:\n  kind: http\n  url: ${base}/aws\n"
	"  aws: {access_key_id: \"${id}\", secret_access_key: \"${key}\", region: r, service: s}\n";
static const char oauth_basic[] = HEAD URL_FIELDS "probe:\n  kind: oauth\n  url: ${base}/${path}\n  client_id: ${id}\n"
	"  client_secret: ${key}\n  scope: a b\n";
static const char oauth_body[] = HEAD URL_FIELDS "probe:\n  kind: oauth\n  url: ${base}/${path}\n  client_id: ${id}\n"
	"  client_secret: ${key}\n  client_auth: body\n  parameters: {audience: \"x y\"}\n";

struct value {
	const char *name, *value;
};

static bool look_up(void *context, const struct ks_platform_field *field, struct ks_str *ret_value)
{
	for (const struct value *v = context; v->name; v++) {
		if (ks_str_eq(ks_str_c(v->name), ks_str_c(field->name)) && v->value) {
			*ret_value = ks_str_c(v->value);
			return true;
		}
	}
	return false;
}

static struct ks_probe_result run_with(struct ks_fetch *with, const char *yaml, struct value *values, unsigned timeout_ms)
{
	struct ks_platform_source source = {.name = "p.yaml", .text = ks_str_c(yaml)};
	struct ks_platform_registry *registry = NULL;
	struct ks_platform_problem problem = {.text = ""};
	struct ks_probe_result result;
	struct ks_probe_job job = {.lookup = look_up, .context = values, .timeout_ms = timeout_ms, .now_ms = INT64_C(1600000000000)};

	if (ks_platform_registry_new(&source, 1, &registry, &problem) != KS_OK)
		fail_msg("%u:%u %s", problem.line, problem.column, problem.text);
	job.platform = ks_platform_find(registry, KS_STR("p"));
	ks_probe_run(with, &job, &result);
	assert_int_equal(result.passing, ks_probe_is_passing(result.code));
	ks_platform_registry_release(&registry);
	return result;
}

/* ---- SIP ---- */

struct sip {
	const char *yaml, *host, *domain, *user, *password;
	enum ks_fetch_transport transport;
	int port;
	unsigned timeout_ms;
};

static struct ks_probe_result run_sip(struct ks_fetch *with, struct sip p)
{
	static const char *const names[] = {"udp", "tcp", "tls"};
	char port[8];
	struct value values[] = {{"host", p.host ? p.host : "good.test"}, {"port", port}, {"transport", names[p.transport]},
				 {"domain", p.domain}, {"user", p.user}, {"password", p.password}, {NULL, NULL}};

	(void)snprintf(port, sizeof(port), "%d", p.port ? p.port : ports[p.transport]);
	return run_with(with, p.yaml ? p.yaml : sip_register, values, p.timeout_ms ? p.timeout_ms : PATIENCE_MS);
}

static const char *sip_code(struct sip p)
{
	return ks_platform_code_text(run_sip(fetch, p).code);
}

static void sip_credentials(void **state)
{
	static const char *const users[] = {"MD5", "none", "SHA-256", "SHA-512-256", "MD5+proxy", "SHA-256+proxy"};

	(void)state;
	for (int t = KS_FETCH_UDP; t <= KS_FETCH_TLS_OVER_TCP; t++) {
		for (size_t i = 0; i < KS_ARRAY_LEN(users); i++) {
			struct sip p = {.user = users[i], .password = RIGHT, .transport = (enum ks_fetch_transport)t};

			for (int is_register = 0; is_register <= 1; is_register++) {
				p.yaml = is_register ? sip_register : sip_options;
				p.password = RIGHT;
				assert_string_equal(sip_code(p), "ok");
				p.password = WRONG;
				assert_string_equal(sip_code(p), "credential_refused");
			}
		}
	}
}

/* The strongest that we know is answered; what we do not know is passed over. */
static void sip_strongest(void **state)
{
	struct ks_probe_result r = run_sip(fetch, (struct sip){.user = "both", .password = RIGHT, .transport = KS_FETCH_TCP});

	(void)state;
	assert_string_equal(r.detail, "SIP 200");
	assert_int_equal(r.health, KS_PLATFORM_HEALTHY);
	assert_string_equal(sip_code((struct sip){.user = "SHA-3", .password = RIGHT, .transport = KS_FETCH_TCP}), "credential_refused");
}

static void sip_without_qop(void **state)
{
	(void)state;
	assert_string_equal(sip_code((struct sip){.user = "MD5+plain", .password = RIGHT}), "ok");
	assert_string_equal(sip_code((struct sip){.user = "MD5+plain", .password = WRONG}), "credential_refused");
}

static void sip_stale(void **state)
{
	(void)state;
	assert_string_equal(sip_code((struct sip){.user = "SHA-256+stale", .password = RIGHT}), "ok");
	assert_string_equal(sip_code((struct sip){.user = "SHA-256+stale", .password = WRONG}), "credential_refused");
	assert_string_equal(sip_code((struct sip){.user = "MD5+forbidden", .password = RIGHT}), "credential_refused");
}

struct status_case {
	const char *status, *options_code, *register_code;
};

static void sip_statuses(void **state)
{
	static const struct status_case cases[] = {
		{"200", "ok", "ok"}, {"302", "unexpected_answer", "unexpected_answer"},
		{"401", "credential_refused", "credential_refused"}, {"403", "forbidden", "credential_refused"}, {"404", "ok", "not_found"},
		{"405", "ok", "unexpected_answer"}, {"408", "timed_out", "timed_out"}, {"480", "unavailable", "unavailable"},
		{"500", "unavailable", "unavailable"}, {"501", "ok", "unavailable"}, {"503", "unavailable", "unavailable"},
		{"603", "unexpected_answer", "unexpected_answer"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_probe_result o = run_sip(fetch, (struct sip){.yaml = sip_options, .user = cases[i].status});
		struct ks_probe_result r = run_sip(fetch, (struct sip){.user = cases[i].status, .password = "x"});

		assert_string_equal(ks_platform_code_text(o.code), cases[i].options_code);
		assert_string_equal(ks_platform_code_text(r.code), cases[i].register_code);
		assert_int_equal(o.answer, strtol(cases[i].status, NULL, 10));
	}
}

static void sip_strangers(void **state)
{
	struct ks_probe_result r = run_sip(fetch, (struct sip){.user = "strangers"});

	(void)state;
	assert_string_equal(r.detail, "SIP 486"); /* the one that was ours */
	assert_string_equal(sip_code((struct sip){.user = "noise", .transport = KS_FETCH_TCP}), "unexpected_answer");
	assert_string_equal(sip_code((struct sip){.user = "endless", .transport = KS_FETCH_TCP}), "unexpected_answer");
	assert_string_equal(sip_code((struct sip){.user = "slow", .transport = KS_FETCH_TCP}), "ok");
}

static void sip_sends_again(void **state)
{
	(void)state;
	assert_string_equal(sip_code((struct sip){.user = "third"}), "ok");
}

static void bad_values(void **state)
{
	(void)state;
	assert_string_equal(sip_code((struct sip){.user = "u", .domain = "a.example>;x"}), "value_unusable");
	assert_string_equal(sip_code((struct sip){.user = "a\nb"}), "value_unusable");
	assert_string_equal(sip_code((struct sip){.user = "u", .host = "good.test/path"}), "value_unusable");
	assert_string_equal(sip_code((struct sip){.user = "u", .port = 70000}), "value_unusable");
	/* What is strange but allowed is escaped: the server finds the user again, and refuses it. */
	assert_string_equal(sip_code((struct sip){.user = "\"\\", .password = RIGHT}), "credential_refused");
}

/* ---- no answer ---- */

static uint16_t dead_port(int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	(void)close(fd);
	return ntohs(a.sin_port);
}

static const char *connect_code(const char *yaml, const char *host, int port, unsigned timeout_ms)
{
	char text[8];
	struct value values[] = {{"host", host}, {"port", text}, {NULL, NULL}};

	(void)snprintf(text, sizeof(text), "%d", port);
	return ks_platform_code_text(run_with(fetch, yaml, values, timeout_ms).code);
}

static void no_answers(void **state)
{
	int plain = ports[KS_FETCH_TCP], secure = ports[KS_FETCH_TLS_OVER_TCP];

	(void)state;
	assert_string_equal(sip_code((struct sip){.user = "silent", .timeout_ms = 700}), "timed_out");
	assert_string_equal(sip_code((struct sip){.user = "silent", .transport = KS_FETCH_TCP, .timeout_ms = 300}), "timed_out");
	assert_string_equal(sip_code((struct sip){.port = silent_port, .transport = KS_FETCH_TCP, .timeout_ms = 300}), "timed_out");
	assert_string_equal(sip_code((struct sip){.port = silent_port, .transport = KS_FETCH_TLS_OVER_TCP, .timeout_ms = 300}), "timed_out");
	assert_string_equal(sip_code((struct sip){.port = dead_port(SOCK_DGRAM)}), "unreachable");
	assert_string_equal(sip_code((struct sip){.port = dead_port(SOCK_STREAM), .transport = KS_FETCH_TCP}), "unreachable");
	assert_string_equal(sip_code((struct sip){.host = "nowhere.test"}), "name_unknown");
	assert_string_equal(sip_code((struct sip){.host = "slow.test", .timeout_ms = 300}), "timed_out");
	(void)sem_post(&slow_name);
	assert_string_equal(connect_code(tcp, "good.test", plain, PATIENCE_MS), "ok");
	assert_string_equal(connect_code(tls, "good.test", secure, PATIENCE_MS), "ok");
	assert_string_equal(connect_code(tls, "other.test", secure, PATIENCE_MS), "tls_failed");
	assert_string_equal(connect_code(tls, "127.0.0.1", secure, PATIENCE_MS), "tls_failed");
	assert_string_equal(connect_code(tcp, "127.0.0.1", plain, PATIENCE_MS), "ok");
	assert_string_equal(connect_code(tcp, "good.test", dead_port(SOCK_STREAM), PATIENCE_MS), "unreachable");
}

static void guarded(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "::1", "private.test", "169.254.169.254"};
	struct ks_fetch *strict = new_fetch(false);

	(void)state;
	for (int t = KS_FETCH_UDP; t <= KS_FETCH_TLS_OVER_TCP; t++) {
		for (size_t i = 0; i < KS_ARRAY_LEN(hosts); i++) {
			struct sip p = {.host = hosts[i], .transport = (enum ks_fetch_transport)t, .port = 5060};

			assert_string_equal(ks_platform_code_text(run_sip(strict, p).code), "address_refused");
		}
	}
	assert_string_equal(sip_code((struct sip){.host = "private.test", .port = 5060}), "address_refused");
	ks_fetch_free(&strict);
}

static void *stop_who_waits(void *ctx)
{
	(void)sem_wait(&waits);
	ks_fetch_stop(ctx);
	return NULL;
}

static void stops(void **state)
{
	struct ks_fetch *own = new_fetch(true);
	pthread_t thread;

	(void)state;
	while (sem_trywait(&waits) == 0)
		;
	assert_int_equal(pthread_create(&thread, NULL, stop_who_waits, own), 0);
	assert_true(run_sip(own, (struct sip){.user = "silent"}).is_stopped);
	(void)pthread_join(thread, NULL);
	ks_fetch_free(&own);
}

static void nothing_to_ask(void **state)
{
	struct value none[] = {{NULL, NULL}};

	(void)state;
	assert_int_equal(run_with(fetch, no_probe, none, 0).code, KS_PLATFORM_CODE_NOT_PROBED);
	assert_int_equal(run_with(fetch, readable, none, 0).code, KS_PLATFORM_CODE_OK);
	struct ks_probe_result r = run_with(fetch, http_key, none, 0); /* its URL is missing */
	assert_int_equal(r.code, KS_PLATFORM_CODE_INCOMPLETE);
	assert_int_equal(r.fields, 1);
}

/* ---- HTTP ---- */

static struct ks_probe_result run_http(const char *yaml, const char *path, const char *key, unsigned timeout_ms)
{
	char base[64];
	struct value values[] = {{"base", base}, {"path", path}, {"id", "client:id"}, {"key", key}, {NULL, NULL}};

	(void)snprintf(base, sizeof(base), "http://127.0.0.1:%d", http_port);
	return run_with(fetch, yaml, values, timeout_ms);
}

static const char *http_code_of(const char *yaml, const char *path, const char *key)
{
	return ks_platform_code_text(run_http(yaml, path, key, PATIENCE_MS).code);
}

static void http_answers(void **state)
{
	static const struct {
		const char *path, *code;
	} cases[] = {
		{"200", "ok"}, {"204", "ok"}, {"302", "unexpected_answer"}, {"400", "unexpected_answer"}, {"401", "credential_refused"},
		{"403", "forbidden"}, {"404", "not_found"}, {"429", "throttled"}, {"500", "unavailable"}, {"503", "unavailable"},
		{"large", "unexpected_answer"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++)
		assert_string_equal(http_code_of(http_key, cases[i].path, NULL), cases[i].code);
	assert_string_equal(http_code_of(http_key, "key", RIGHT), "ok");
	assert_string_equal(http_code_of(http_key, "key", WRONG), "credential_refused");
	assert_string_equal(http_code_of(http_key, "key", "a\r\nX: y"), "value_unusable");
	assert_string_equal(http_code_of(http_member, "404", NULL), "ok");
	struct ks_probe_result r = run_http(http_member, "member", NULL, PATIENCE_MS);
	assert_int_equal(r.code, KS_PLATFORM_CODE_ACCOUNT_SUSPENDED);
	assert_int_equal(r.fields, 4);
	assert_int_equal(run_http(http_key, "hang", NULL, 300).code, KS_PLATFORM_CODE_TIMED_OUT);
}

static void http_credentials(void **state)
{
	const char *const yamls[] = {http_basic, http_bearer, http_jwt, http_aws};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(yamls); i++) {
		assert_string_equal(http_code_of(yamls[i], "", RIGHT), "ok");
		assert_string_equal(http_code_of(yamls[i], "", WRONG), "credential_refused");
	}
}

static void oauth_answers(void **state)
{
	const char *const yamls[] = {oauth_basic, oauth_body};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(yamls); i++) {
		assert_string_equal(http_code_of(yamls[i], "token", RIGHT), "ok");
		assert_string_equal(http_code_of(yamls[i], "token", WRONG), "credential_refused");
		assert_string_equal(http_code_of(yamls[i], "four", WRONG), "credential_refused");
		assert_string_equal(http_code_of(yamls[i], "empty", RIGHT), "unexpected_answer");
	}
	assert_string_equal(http_code_of(oauth_basic, "scoped", RIGHT), "ok");
	assert_string_equal(http_code_of(oauth_body, "audience", RIGHT), "ok");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sip_credentials), cmocka_unit_test(sip_strongest), cmocka_unit_test(sip_without_qop),
		cmocka_unit_test(sip_stale), cmocka_unit_test(sip_statuses), cmocka_unit_test(sip_strangers),
		cmocka_unit_test(sip_sends_again), cmocka_unit_test(bad_values), cmocka_unit_test(no_answers),
		cmocka_unit_test(guarded), cmocka_unit_test(stops), cmocka_unit_test(nothing_to_ask), cmocka_unit_test(http_answers),
		cmocka_unit_test(http_credentials), cmocka_unit_test(oauth_answers),
	};

	return cmocka_run_group_tests_name("probe", tests, start_server, stop_server);
}
