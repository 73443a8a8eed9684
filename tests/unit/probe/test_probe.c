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
#include "probe/probe.h"

#define PATIENCE_MS 20000
#define RIGHT "right horse"

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

static struct ks_fetch *new_fetch(bool with_loopback)
{
	char ca[64];
	struct ks_fetch_options o = {.ca_file = ca, .allow_count = with_loopback ? 1 : 0};
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

/* ---- SIP ---- */

static struct ks_probe_sip sip_of(enum ks_fetch_transport transport, const char *user, const char *password, bool is_register)
{
	return (struct ks_probe_sip){
		.is_register = is_register,
		.host = KS_STR("good.test"),
		.port = (uint16_t)ports[transport],
		.transport = transport,
		.user = ks_str_c(user),
		.password = ks_str_c(password),
	};
}

static struct ks_probe_result run_sip(enum ks_fetch_transport transport, const char *user, const char *password, bool is_register,
				      unsigned timeout_ms)
{
	struct ks_probe_sip p = sip_of(transport, user, password, is_register);
	struct ks_probe_result result;

	ks_probe_sip(fetch, &p, timeout_ms, &result);
	return result;
}

static void sip_credentials(void **state)
{
	static const char *const users[] = {"MD5", "none", "SHA-256", "SHA-512-256", "MD5+proxy", "SHA-256+proxy", "both"};

	(void)state;
	for (int t = KS_FETCH_UDP; t <= KS_FETCH_TLS_OVER_TCP; t++) {
		for (size_t i = 0; i < KS_ARRAY_LEN(users); i++) {
			enum ks_fetch_transport transport = (enum ks_fetch_transport)t;

			if (ks_str_eq(ks_str_c(users[i]), KS_STR("both")))
				continue;
			for (int is_register = 0; is_register <= 1; is_register++) {
				struct ks_probe_result right = run_sip(transport, users[i], RIGHT, is_register, PATIENCE_MS);
				struct ks_probe_result wrong = run_sip(transport, users[i], "wrong horse", is_register, PATIENCE_MS);

				assert_string_equal(ks_probe_code(right.outcome), "ok");
				assert_int_equal(right.answer, 200);
				assert_string_equal(ks_probe_code(wrong.outcome), "auth_refused");
				assert_int_equal(wrong.answer, ks_str_find(ks_str_c(users[i]), '+') == SIZE_MAX ? 401 : 407);
			}
		}
	}
}

/* The strongest that we know is answered; what we do not know is passed over. */
static void sip_strongest(void **state)
{
	struct ks_probe_result r = run_sip(KS_FETCH_TCP, "both", RIGHT, false, PATIENCE_MS);

	(void)state;
	assert_string_equal(r.detail, "SIP 200");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_TCP, "SHA-3", RIGHT, false, PATIENCE_MS).outcome), "auth_refused");
}

static void sip_without_qop(void **state)
{
	(void)state;
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "MD5+plain", RIGHT, true, PATIENCE_MS).outcome), "ok");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "MD5+plain", "no", true, PATIENCE_MS).outcome), "auth_refused");
}

static void sip_stale(void **state)
{
	(void)state;
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "SHA-256+stale", RIGHT, true, PATIENCE_MS).outcome), "ok");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "SHA-256+stale", "no", true, PATIENCE_MS).outcome), "auth_refused");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "MD5+forbidden", RIGHT, true, PATIENCE_MS).outcome), "auth_refused");
}

struct status_case {
	const char *status, *options_code, *register_code;
};

static void sip_statuses(void **state)
{
	static const struct status_case cases[] = {
		{"200", "ok", "ok"}, {"202", "ok", "ok"}, {"302", "wrong_answer", "wrong_answer"},
		{"401", "auth_refused", "auth_refused"}, {"403", "auth_refused", "auth_refused"}, {"404", "ok", "auth_refused"},
		{"405", "ok", "wrong_answer"}, {"408", "ok", "timeout"}, {"429", "throttled", "throttled"}, {"480", "ok", "timeout"},
		{"500", "platform_error", "platform_error"}, {"501", "ok", "platform_error"}, {"503", "platform_error", "platform_error"},
		{"603", "wrong_answer", "wrong_answer"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_probe_result o = run_sip(KS_FETCH_UDP, cases[i].status, "", false, PATIENCE_MS);
		struct ks_probe_result r = run_sip(KS_FETCH_UDP, cases[i].status, "", true, PATIENCE_MS);

		assert_string_equal(ks_probe_code(o.outcome), cases[i].options_code);
		assert_string_equal(ks_probe_code(r.outcome), cases[i].register_code);
		assert_int_equal(o.answer, strtol(cases[i].status, NULL, 10));
	}
}

static void sip_strangers(void **state)
{
	struct ks_probe_result r = run_sip(KS_FETCH_UDP, "strangers", "", true, PATIENCE_MS);

	(void)state;
	assert_string_equal(r.detail, "SIP 486"); /* the one that was ours */
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_TCP, "noise", "", true, PATIENCE_MS).outcome), "wrong_answer");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_TCP, "endless", "", true, PATIENCE_MS).outcome), "wrong_answer");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_TCP, "slow", "", true, PATIENCE_MS).outcome), "ok");
}

static void sip_sends_again(void **state)
{
	(void)state;
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "third", "", false, PATIENCE_MS).outcome), "ok");
}

static void sip_bad_fields(void **state)
{
	struct ks_probe_sip p = sip_of(KS_FETCH_UDP, "user", RIGHT, true);
	struct ks_probe_result r;

	(void)state;
	p.domain = KS_STR("a.example>\r\nX: y");
	ks_probe_sip(fetch, &p, PATIENCE_MS, &r);
	assert_string_equal(ks_probe_code(r.outcome), "field_invalid");
	p.domain = KS_STR("");
	p.user = KS_STR("a\nb");
	ks_probe_sip(fetch, &p, PATIENCE_MS, &r);
	assert_string_equal(ks_probe_code(r.outcome), "field_invalid");
	p.user = KS_STR("user");
	p.host = KS_STR("good.test/path");
	ks_probe_sip(fetch, &p, PATIENCE_MS, &r);
	assert_string_equal(ks_probe_code(r.outcome), "field_invalid");
	/* What is strange but allowed is escaped: the server finds the user again. */
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "MD5+plain", "\"\\", true, PATIENCE_MS).outcome), "auth_refused");
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

static const char *sip_code_at(enum ks_fetch_transport transport, const char *host, uint16_t port, unsigned timeout_ms)
{
	struct ks_probe_sip p = sip_of(transport, "200", "", false);
	struct ks_probe_result r;

	p.host = ks_str_c(host);
	p.port = port;
	ks_probe_sip(fetch, &p, timeout_ms, &r);
	return ks_probe_code(r.outcome);
}

static const char *connect_code_at(enum ks_fetch_transport transport, const char *host, uint16_t port, unsigned timeout_ms)
{
	struct ks_probe_result r;

	ks_probe_connect(fetch, ks_str_c(host), port, transport, timeout_ms, &r);
	return ks_probe_code(r.outcome);
}

static void no_answers(void **state)
{
	uint16_t tcp = (uint16_t)ports[KS_FETCH_TCP], tls = (uint16_t)ports[KS_FETCH_TLS_OVER_TCP];

	(void)state;
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_UDP, "silent", "", false, 700).outcome), "timeout");
	assert_string_equal(ks_probe_code(run_sip(KS_FETCH_TCP, "silent", "", false, 300).outcome), "timeout");
	assert_string_equal(sip_code_at(KS_FETCH_TCP, "good.test", (uint16_t)silent_port, 300), "timeout");
	assert_string_equal(sip_code_at(KS_FETCH_TLS_OVER_TCP, "good.test", (uint16_t)silent_port, 300), "timeout");
	assert_string_equal(sip_code_at(KS_FETCH_UDP, "good.test", dead_port(SOCK_DGRAM), PATIENCE_MS), "connection_refused");
	assert_string_equal(sip_code_at(KS_FETCH_TCP, "good.test", dead_port(SOCK_STREAM), PATIENCE_MS), "connection_refused");
	assert_string_equal(sip_code_at(KS_FETCH_UDP, "nowhere.test", 5060, PATIENCE_MS), "dns_failed");
	assert_string_equal(sip_code_at(KS_FETCH_UDP, "slow.test", 5060, 300), "timeout");
	(void)sem_post(&slow_name);
	assert_string_equal(connect_code_at(KS_FETCH_TCP, "good.test", tcp, PATIENCE_MS), "ok");
	assert_string_equal(connect_code_at(KS_FETCH_TLS_OVER_TCP, "good.test", tls, PATIENCE_MS), "ok");
	assert_string_equal(connect_code_at(KS_FETCH_TLS_OVER_TCP, "other.test", tls, PATIENCE_MS), "tls_failed");
	assert_string_equal(connect_code_at(KS_FETCH_TLS_OVER_TCP, "127.0.0.1", tls, PATIENCE_MS), "tls_failed");
	assert_string_equal(connect_code_at(KS_FETCH_TCP, "127.0.0.1", tcp, PATIENCE_MS), "ok");
	assert_string_equal(connect_code_at(KS_FETCH_TCP, "good.test", dead_port(SOCK_STREAM), PATIENCE_MS), "connection_refused");
}

static void guarded(void **state)
{
	struct ks_fetch *strict = new_fetch(false), *kept = fetch;

	(void)state;
	fetch = strict;
	for (int t = KS_FETCH_UDP; t <= KS_FETCH_TLS_OVER_TCP; t++) {
		enum ks_fetch_transport transport = (enum ks_fetch_transport)t;

		assert_string_equal(sip_code_at(transport, "127.0.0.1", 5060, PATIENCE_MS), "address_refused");
		assert_string_equal(sip_code_at(transport, "::1", 5060, PATIENCE_MS), "address_refused");
		assert_string_equal(sip_code_at(transport, "private.test", 5060, PATIENCE_MS), "address_refused");
		assert_string_equal(sip_code_at(transport, "169.254.169.254", 80, PATIENCE_MS), "address_refused");
	}
	fetch = kept;
	assert_string_equal(sip_code_at(KS_FETCH_UDP, "private.test", 5060, PATIENCE_MS), "address_refused");
	ks_fetch_free(&strict);
}

static void *stop_soon(void *ctx)
{
	(void)usleep(100000);
	ks_fetch_stop(ctx);
	return NULL;
}

static void stops(void **state)
{
	struct ks_fetch *own = new_fetch(true);
	struct ks_probe_sip p = sip_of(KS_FETCH_UDP, "silent", "", false);
	struct ks_probe_result r;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, own), 0);
	ks_probe_sip(own, &p, PATIENCE_MS, &r);
	assert_true(r.is_stopped);
	(void)pthread_join(thread, NULL);
	ks_fetch_free(&own);
}

/* ---- HTTP ---- */

static const char *http_code_of(const char *path, const char *key, struct ks_probe_http p, unsigned timeout_ms)
{
	char url[128];
	struct ks_probe_result r;

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/%s", http_port, path);
	p.request.method = "GET";
	p.request.url = ks_str_c(url);
	if (key)
		p.request.headers[p.request.header_count++] = (struct ks_fetch_header){KS_STR("X-Api-Key"), ks_str_c(key)};
	ks_probe_http(fetch, &p, timeout_ms, &r);
	return ks_probe_code(r.outcome);
}

static void http_answers(void **state)
{
	static const struct {
		const char *path, *code;
	} cases[] = {
		{"200", "ok"}, {"204", "ok"}, {"302", "wrong_answer"}, {"400", "wrong_answer"}, {"401", "auth_refused"},
		{"403", "auth_refused"}, {"404", "wrong_answer"}, {"429", "throttled"}, {"500", "platform_error"},
		{"503", "platform_error"}, {"large", "wrong_answer"},
	};
	struct ks_probe_http none = {0}, expects_404 = {.expected = {404}, .expected_count = 1};
	struct ks_probe_http member = {.member = KS_STR("sid")}, empty = {.member = KS_STR("empty")}, number = {.member = KS_STR("number")};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++)
		assert_string_equal(http_code_of(cases[i].path, NULL, none, PATIENCE_MS), cases[i].code);
	assert_string_equal(http_code_of("key", RIGHT, none, PATIENCE_MS), "ok");
	assert_string_equal(http_code_of("key", "wrong", none, PATIENCE_MS), "auth_refused");
	assert_string_equal(http_code_of("key", "a\r\nX: y", none, PATIENCE_MS), "field_invalid");
	assert_string_equal(http_code_of("404", NULL, expects_404, PATIENCE_MS), "ok");
	assert_string_equal(http_code_of("200", NULL, expects_404, PATIENCE_MS), "wrong_answer");
	assert_string_equal(http_code_of("401", NULL, expects_404, PATIENCE_MS), "auth_refused");
	assert_string_equal(http_code_of("member", NULL, member, PATIENCE_MS), "ok");
	assert_string_equal(http_code_of("member", NULL, empty, PATIENCE_MS), "wrong_answer");
	assert_string_equal(http_code_of("member", NULL, number, PATIENCE_MS), "wrong_answer");
	assert_string_equal(http_code_of("200", NULL, member, PATIENCE_MS), "wrong_answer");
	assert_string_equal(http_code_of("hang", NULL, none, 300), "timeout");
}

static const char *oauth_code_of(const char *path, const char *secret, bool in_body, const char *scope)
{
	char url[128];
	struct ks_probe_oauth p = {
		.token_url = {url, 0},
		.client_id = KS_STR("client:id"),
		.client_secret = ks_str_c(secret),
		.scope = ks_str_c(scope),
		.in_body = in_body,
	};
	struct ks_probe_result r;

	p.token_url.n = (size_t)snprintf(url, sizeof(url), "http://127.0.0.1:%d/%s", http_port, path);
	ks_probe_oauth(fetch, &p, PATIENCE_MS, &r);
	return ks_probe_code(r.outcome);
}

static void oauth_answers(void **state)
{
	(void)state;
	for (int in_body = 0; in_body <= 1; in_body++) {
		assert_string_equal(oauth_code_of("token", RIGHT, in_body, ""), "ok");
		assert_string_equal(oauth_code_of("token", "wrong", in_body, ""), "auth_refused");
		assert_string_equal(oauth_code_of("four", "wrong", in_body, ""), "auth_refused");
		assert_string_equal(oauth_code_of("scoped", RIGHT, in_body, "a b"), "ok");
		assert_string_equal(oauth_code_of("scoped", RIGHT, in_body, ""), "wrong_answer");
		assert_string_equal(oauth_code_of("empty", RIGHT, in_body, ""), "wrong_answer");
	}
}

static void codes(void **state)
{
	(void)state;
	for (int i = 0; i < KS_PROBE_OUTCOME_COUNT; i++) {
		enum ks_probe_outcome outcome = (enum ks_probe_outcome)i, parsed;

		assert_true(ks_probe_code_parse(ks_str_c(ks_probe_code(outcome)), &parsed));
		assert_int_equal(parsed, outcome);
		assert_true(ks_probe_text(outcome)[0] != '\0');
		assert_true(outcome == KS_PROBE_IS_OK || ks_probe_advice(outcome)[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sip_credentials), cmocka_unit_test(sip_strongest), cmocka_unit_test(sip_without_qop),
		cmocka_unit_test(sip_stale), cmocka_unit_test(sip_statuses), cmocka_unit_test(sip_strangers),
		cmocka_unit_test(sip_sends_again), cmocka_unit_test(sip_bad_fields), cmocka_unit_test(no_answers),
		cmocka_unit_test(guarded), cmocka_unit_test(stops), cmocka_unit_test(http_answers), cmocka_unit_test(oauth_answers),
		cmocka_unit_test(codes),
	};

	return cmocka_run_group_tests_name("probe", tests, start_server, stop_server);
}
