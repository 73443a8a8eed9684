/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a real server on this machine (server.py). Names are looked up by this file's own getaddrinfo,
 * which libcurl finds before the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
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
#include "fetch/fetch.h"
#include "fetch/many.h"

#define PATIENCE_MS 60000

/* ---- names ---- */

struct name {
	const char *name;
	const char *addresses[2][3]; /* of the first look-up, and of all later ones */
};

static const struct name names[] = {
	{"good.test", {{"127.0.0.1"}, {"127.0.0.1"}}},
	{"other.test", {{"127.0.0.1"}, {"127.0.0.1"}}},
	{"private.test", {{"10.11.12.13"}, {"10.11.12.13"}}},
	{"metadata.test", {{"169.254.169.254", "fd00:ec2::254"}, {"169.254.169.254"}}},
	{"mapped.test", {{"::ffff:127.0.0.2"}, {"::ffff:127.0.0.2"}}},
	{"turned.test", {{"127.0.0.1"}, {"127.0.0.2"}}},
	{"mixed.test", {{"127.0.0.2", "127.0.0.1"}, {"127.0.0.2", "127.0.0.1"}}},
};
static _Atomic int lookups;
static sem_t slow_name; /* slow.test is not answered before this is posted */

static struct addrinfo *entry(const char *text, int port, struct addrinfo *next)
{
	struct addrinfo *a = calloc(1, sizeof(*a));
	struct sockaddr_storage *s = calloc(1, sizeof(*s));

	assert_non_null(a);
	assert_non_null(s);
	a->ai_socktype = SOCK_STREAM;
	a->ai_protocol = IPPROTO_TCP;
	a->ai_addr = (struct sockaddr *)s;
	a->ai_next = next;
	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)s)->sin_addr) == 1) {
		a->ai_family = s->ss_family = AF_INET;
		((struct sockaddr_in *)s)->sin_port = htons((uint16_t)port);
		a->ai_addrlen = sizeof(struct sockaddr_in);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)s)->sin6_addr), 1);
		a->ai_family = s->ss_family = AF_INET6;
		((struct sockaddr_in6 *)s)->sin6_port = htons((uint16_t)port);
		a->ai_addrlen = sizeof(struct sockaddr_in6);
	}
	return a;
}

KS_PUBLIC int getaddrinfo(const char *restrict node, const char *restrict service,
			  const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	int port = service ? (int)strtol(service, NULL, 10) : 0;
	int turn = lookups++ > 0;

	(void)hints;
	if (ks_str_eq(ks_str_c(node), KS_STR("slow.test"))) {
		(void)sem_wait(&slow_name);
		return EAI_AGAIN;
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		struct addrinfo *list = NULL;

		if (!ks_str_eq(ks_str_c(node), ks_str_c(names[i].name)))
			continue;
		for (int j = 2; j >= 0; j--) {
			if (names[i].addresses[turn][j])
				list = entry(names[i].addresses[turn][j], port, list);
		}
		*ret = list;
		return 0;
	}
	return EAI_NONAME;
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

static pid_t server;
static FILE *said;
static int server_input;
static char directory[] = "/tmp/keystile-fetch-XXXXXX";
static int plain_port, tls_port;

static int word_and_number(const char *word)
{
	char line[64];
	size_t n = strlen(word);

	assert_non_null(fgets(line, sizeof(line), said));
	assert_int_equal(strncmp(line, word, n), 0);
	return (int)strtol(line + n, NULL, 10);
}

static int start_server(void **state)
{
	char script[512];
	int in[2], out[2];

	(void)state;
	(void)sem_init(&slow_name, 0, 0);
	(void)snprintf(script, sizeof(script), "%s/tests/unit/fetch/server.py", getenv("KEYSTILE_SOURCE"));
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
	if (!said)
		return -1;
	plain_port = word_and_number("plain ");
	tls_port = word_and_number("tls ");
	return 0;
}

static int stop_server(void **state)
{
	static const char *const made[] = {"ca.key",     "ca.pem",     "ca.srl",    "server.key",
					   "server.csr", "server.pem", "extensions"};
	char path[128];

	(void)state;
	(void)close(server_input);
	(void)waitpid(server, NULL, 0);
	(void)fclose(said);
	for (size_t i = 0; i < KS_ARRAY_LEN(made); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, made[i]);
		(void)unlink(path);
	}
	return rmdir(directory);
}

/* ---- one request ---- */

static struct ks_fetch *fetch;
static struct ks_fetch_request request;
static struct ks_fetch_response response;
static char url[4096];

/* Whoever fetches while this is held lets go of it for as long as the other side is waited for. */
static pthread_mutex_t computing = PTHREAD_MUTEX_INITIALIZER;
static int computing_now; /* guarded by it */
static _Atomic int waits, mistakes;

static void compute(void)
{
	(void)pthread_mutex_lock(&computing);
	mistakes += computing_now++ != 0;
}

static void rest(void)
{
	waits++;
	mistakes += computing_now-- != 1;
	(void)pthread_mutex_unlock(&computing);
}

static void rest_or_compute(void *ctx, bool begins)
{
	mistakes += ctx != &waits;
	if (begins)
		rest();
	else
		compute();
}

static bool take_turns;

/* A client that reaches 127.0.0.1 alone of the guarded addresses, or none. */
static void client(bool allowed, bool ca)
{
	struct ks_fetch_options o = {.connect_ms = 10000};
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/ca.pem", directory);
	if (allowed)
		assert_true(ks_cidr_parse(KS_STR("127.0.0.1"), &o.allow[o.allow_count++]));
	if (ca)
		o.ca_file = path;
	if (take_turns) {
		o.on_wait = rest_or_compute;
		o.on_wait_ctx = &waits;
	}
	lookups = 0;
	assert_int_equal(ks_fetch_new(&o, &fetch), KS_OK);
	request = (struct ks_fetch_request){.method = "GET", .body_max = 65536, .timeout_ms = PATIENCE_MS};
}

/* The same by the interface for many at once. */
static bool by_many;

struct one_of_many {
	bool ended;
	enum ks_fetch_result result;
};

static void keep_answer(void *ctx, void *tag, enum ks_fetch_result result, const struct ks_fetch_response *answer)
{
	struct one_of_many *one = ctx;

	assert_ptr_equal(tag, one);
	one->ended = true;
	one->result = result;
	response = *answer;
	if (answer->body) {
		response.body = calloc(1, answer->body_n + 1);
		assert_non_null(response.body);
		memcpy(response.body, answer->body, answer->body_n);
	}
}

static enum ks_fetch_result do_by_many(void)
{
	struct one_of_many one = {false, KS_FETCH_OK};
	struct ks_fetch_many *many = NULL;
	enum ks_fetch_result result;

	assert_int_equal(ks_fetch_many_new(fetch, 4, keep_answer, &one, &many), KS_OK);
	result = ks_fetch_many_begin(many, &request, &one);
	while (result == KS_FETCH_OK && !one.ended)
		ks_fetch_many_go(many, 1000);
	ks_fetch_many_free(&many);
	return result == KS_FETCH_OK ? one.result : result;
}

static int use_many(void **state)
{
	(void)state;
	by_many = true;
	return 0;
}

static enum ks_fetch_result get(const char *scheme, const char *host, const char *path)
{
	ks_fetch_response_free(&response);
	(void)snprintf(url, sizeof(url), "%s://%s:%d%s", scheme, host, scheme[4] == 's' ? tls_port : plain_port, path);
	request.url = ks_str_c(url);
	return by_many ? do_by_many() : ks_fetch_do(fetch, &request, &response);
}

static int end(void **state)
{
	(void)state;
	by_many = take_turns = false;
	ks_fetch_response_free(&response);
	ks_fetch_free(&fetch);
	return 0;
}

/* ---- what it takes ---- */

static void answers(void **state)
{
	(void)state;
	client(true, true);
	request.want[0] = "x-want";
	request.want[1] = "X-Missing";
	request.want[2] = "X-Long";
	for (int i = 0; i < 3; i++) { /* the later ones on the connection that is kept */
		assert_int_equal(get("https", "good.test", "/ok"), KS_FETCH_OK);
		assert_int_equal(response.status, 200);
		assert_string_equal(response.body, "hello");
		assert_int_equal(response.body_n, 5);
		assert_string_equal(response.values[0], "one");
		assert_string_equal(response.values[1], "");
		assert_string_equal(response.values[2], "");
		assert_string_equal(response.address, "127.0.0.1");
	}
	assert_int_equal(get("http", "127.0.0.1", "/refused"), KS_FETCH_OK);
	assert_int_equal(response.status, 403);
	request.method = "HEAD";
	assert_int_equal(get("http", "127.0.0.1", "/ok"), KS_FETCH_OK);
	assert_int_equal(response.body_n, 0);
	assert_string_equal(response.body, "");
}

static void sends_what_it_is_told(void **state)
{
	(void)state;
	client(true, false);
	request.method = "POST";
	request.headers[0] = (struct ks_fetch_header){KS_STR("X-Mine"), KS_STR("a: b")};
	request.headers[1] = (struct ks_fetch_header){KS_STR("Content-Type"), KS_STR("application/json")};
	request.header_count = 2;
	request.body = KS_STR("{\"a\": 1}");
	assert_int_equal(get("http", "good.test", "/echo?q=%2e"), KS_FETCH_OK);
	assert_non_null(strstr(response.body, "\"method\": \"POST\""));
	assert_non_null(strstr(response.body, "\"path\": \"/echo?q=%2e\""));
	assert_non_null(strstr(response.body, "[\"X-Mine\", \"a: b\"]"));
	assert_non_null(strstr(response.body, "[\"Content-Type\", \"application/json\"]"));
	assert_non_null(strstr(response.body, "\"body\": \"{\\\"a\\\": 1}\""));
	assert_null(strstr(response.body, "Expect"));
	/* No other line begins within a header. */
	request.headers[0].value = KS_STR("a\r\nX-Forged: 1");
	assert_int_equal(get("http", "good.test", "/echo"), KS_FETCH_URL);
	request.headers[0] = (struct ks_fetch_header){KS_STR("X Mine"), KS_STR("1")};
	assert_int_equal(get("http", "good.test", "/echo"), KS_FETCH_URL);
	request.header_count = 0;
	request.method = "GET /x";
	assert_int_equal(get("http", "good.test", "/echo"), KS_FETCH_URL);
}

static void takes_no_proxy(void **state)
{
	(void)state;
	(void)setenv("http_proxy", "http://127.0.0.1:9", 1);
	(void)setenv("https_proxy", "http://127.0.0.1:9", 1);
	(void)setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
	client(true, true);
	assert_int_equal(get("http", "good.test", "/ok"), KS_FETCH_OK);
	assert_int_equal(get("https", "good.test", "/ok"), KS_FETCH_OK);
	(void)unsetenv("http_proxy");
	(void)unsetenv("https_proxy");
	(void)unsetenv("ALL_PROXY");
}

/* ---- where it does not go ---- */

static void refused_names(void **state)
{
	static const char *const hosts[] = {"private.test", "metadata.test", "mapped.test"};

	(void)state;
	client(true, true);
	for (size_t i = 0; i < KS_ARRAY_LEN(hosts); i++) {
		assert_int_equal(get("https", hosts[i], "/ok"), KS_FETCH_ADDRESS);
		assert_int_equal(get("http", hosts[i], "/ok"), KS_FETCH_ADDRESS);
		assert_null(response.body);
	}
	assert_int_equal(get("https", "nowhere.test", "/ok"), KS_FETCH_NAME);
	/* What is allowed answers, though it stands beside what is not. */
	assert_int_equal(get("http", "mixed.test", "/ok"), KS_FETCH_OK);
	assert_string_equal(response.address, "127.0.0.1");
}

static void refused_after_turning(void **state)
{
	(void)state;
	client(true, false);
	assert_int_equal(get("http", "turned.test", "/ok"), KS_FETCH_OK);
	ks_fetch_free(&fetch);
	client(true, false);
	lookups = 1;
	assert_int_equal(get("http", "turned.test", "/ok"), KS_FETCH_ADDRESS);
}

static void nothing_guarded_without_leave(void **state)
{
	(void)state;
	client(false, true);
	assert_int_equal(get("https", "good.test", "/ok"), KS_FETCH_ADDRESS);
	assert_int_equal(get("https", "127.0.0.1", "/ok"), KS_FETCH_ADDRESS);
	assert_int_equal(get("http", "good.test", "/ok"), KS_FETCH_URL);
	assert_int_equal(lookups, 1);
}

struct judged {
	const char *url;
	enum ks_fetch_result result;
};

static void urls(void **state)
{
	static const struct judged table[] = {
		{"https://example.com", KS_FETCH_OK},
		{"https://example.com:8443/a/b?c=d", KS_FETCH_OK},
		{"HTTPS://EXAMPLE.com/", KS_FETCH_OK},
		{"https://8.8.8.8/", KS_FETCH_OK},
		{"https://[2606:4700:4700::1111]/", KS_FETCH_OK},
		{"https://127.0.0.1/", KS_FETCH_OK},
		{"http://127.0.0.1/", KS_FETCH_OK},
		{"http://good.test/", KS_FETCH_OK},
		{"http://8.8.8.8/", KS_FETCH_ADDRESS},
		{"https://127.0.0.2/", KS_FETCH_ADDRESS},
		{"https://127.1.1/", KS_FETCH_ADDRESS},
		{"https://2130706434/", KS_FETCH_ADDRESS},
		{"https://0x7f000002/", KS_FETCH_ADDRESS},
		{"https://0x7f.0.0.2/", KS_FETCH_ADDRESS},
		{"https://0177.0.0.2/", KS_FETCH_ADDRESS},
		{"https://[::1]/", KS_FETCH_ADDRESS},
		{"https://[::ffff:127.0.0.2]/", KS_FETCH_ADDRESS},
		{"https://[::ffff:7f00:2]/", KS_FETCH_ADDRESS},
		{"https://[64:ff9b::a9fe:a9fe]/", KS_FETCH_ADDRESS},
		{"https://169.254.169.254/latest/meta-data/", KS_FETCH_ADDRESS},
		{"https://[fd00:ec2::254]/", KS_FETCH_ADDRESS},
		{"https://[fe80::1%25eth0]/", KS_FETCH_ADDRESS},
		{"", KS_FETCH_URL},
		{"example.com", KS_FETCH_URL},
		{"//example.com/", KS_FETCH_URL},
		{"https:///x", KS_FETCH_URL},
		{"ftp://example.com/", KS_FETCH_URL},
		{"file:///etc/passwd", KS_FETCH_URL},
		{"gopher://example.com/", KS_FETCH_URL},
		{"https://user@example.com/", KS_FETCH_URL},
		{"https://user:word@example.com/", KS_FETCH_URL},
		{"https://example.com/#here", KS_FETCH_URL},
		{"https://example.com/a b", KS_FETCH_URL},
		{"https://example.com/\r\nX: y", KS_FETCH_URL},
		{"https://example.com\\@127.0.0.2/", KS_FETCH_URL},
		{"https://ex\xc3\xa4mple.com/", KS_FETCH_URL},
		{"https://example.com:99999/", KS_FETCH_URL},
	};
	static char long_url[KS_FETCH_URL_MAX + 16];

	(void)state;
	client(true, false);
	for (size_t i = 0; i < KS_ARRAY_LEN(table); i++) {
		enum ks_fetch_result r = ks_fetch_url_check(fetch, ks_str_c(table[i].url));

		if (r != table[i].result)
			fail_msg("%s: %s", table[i].url, ks_fetch_code(r));
	}
	memset(long_url, 'x', sizeof(long_url));
	memcpy(long_url, "https://a/", 10);
	assert_int_equal(ks_fetch_url_check(fetch, ks_str_of(long_url, KS_FETCH_URL_MAX)), KS_FETCH_OK);
	assert_int_equal(ks_fetch_url_check(fetch, ks_str_of(long_url, KS_FETCH_URL_MAX + 1)), KS_FETCH_URL);
	assert_int_equal(ks_fetch_url_check(fetch, ks_str_of("https://a/\0b", 12)), KS_FETCH_URL);
}

/* ---- TLS ---- */

static void trust(void **state)
{
	(void)state;
	client(true, true);
	assert_int_equal(get("https", "good.test", "/ok"), KS_FETCH_OK);
	assert_int_equal(get("https", "other.test", "/ok"), KS_FETCH_TLS);
	assert_int_equal(get("https", "127.0.0.1", "/ok"), KS_FETCH_TLS);
	ks_fetch_free(&fetch);
	client(true, false);
	assert_int_equal(get("https", "good.test", "/ok"), KS_FETCH_TLS);
	assert_null(response.body);
}

/* ---- redirects ---- */

static void redirects(void **state)
{
	char path[512];

	(void)state;
	client(true, true);
	request.want[0] = "Location";
	request.headers[0] = (struct ks_fetch_header){KS_STR("X-Secret"), KS_STR("mine")};
	request.header_count = 1;
	assert_int_equal(get("http", "good.test", "/redirect?to=/echo"), KS_FETCH_OK);
	assert_int_equal(response.status, 302);
	assert_string_equal(response.values[0], "/echo");
	request.redirects_max = 2;
	assert_int_equal(get("http", "good.test", "/redirect?to=/echo"), KS_FETCH_OK);
	assert_int_equal(response.status, 200);
	assert_non_null(strstr(response.body, "X-Secret"));
	/* Another host does not get what was meant for the first, and neither does the first once it was left. */
	(void)snprintf(path, sizeof(path), "/redirect?to=http://other.test:%d/echo", plain_port);
	assert_int_equal(get("http", "good.test", path), KS_FETCH_OK);
	assert_int_equal(response.status, 200);
	assert_null(strstr(response.body, "X-Secret"));
	assert_int_equal(get("http", "good.test", "/redirect?to=/redirect%3Fto=/redirect%3Fto=/ok"), KS_FETCH_OK);
	assert_int_equal(response.status, 302);
	/* Each is judged like the first. */
	assert_int_equal(get("http", "good.test", "/redirect?to=https://private.test/"), KS_FETCH_ADDRESS);
	assert_int_equal(get("http", "good.test", "/redirect?to=https://169.254.169.254/"), KS_FETCH_ADDRESS);
	assert_int_equal(get("http", "good.test", "/redirect?to=file:///etc/passwd"), KS_FETCH_URL);
	assert_null(response.body);
	/* What has a body is not sent anywhere else. */
	request.method = "POST";
	request.body = KS_STR("x=1");
	assert_int_equal(get("http", "good.test", "/redirect?to=/echo"), KS_FETCH_OK);
	assert_int_equal(response.status, 302);
}

/* ---- limits ---- */

static void sizes(void **state)
{
	(void)state;
	client(true, true);
	request.body_max = 10000;
	assert_int_equal(get("https", "good.test", "/size?n=10000"), KS_FETCH_OK);
	assert_int_equal(response.body_n, 10000);
	assert_int_equal(get("https", "good.test", "/size?n=10001"), KS_FETCH_TOO_LARGE);
	assert_null(response.body);
	assert_int_equal(get("http", "good.test", "/endless"), KS_FETCH_TOO_LARGE);
	assert_int_equal(get("http", "good.test", "/headers"), KS_FETCH_TOO_LARGE);
	assert_int_equal(get("http", "good.test", "/line"), KS_FETCH_TOO_LARGE);
	assert_int_equal(get("http", "good.test", "/ok"), KS_FETCH_OK);
}

static void broken_answers(void **state)
{
	(void)state;
	client(true, true);
	assert_int_equal(get("http", "good.test", "/cut"), KS_FETCH_BROKEN);
	assert_int_equal(get("http", "good.test", "/garbage"), KS_FETCH_BROKEN);
	assert_int_equal(get("https", "good.test", "/cut"), KS_FETCH_BROKEN);
	plain_port++; /* nobody listens there, or at least nobody who answers */
	assert_int_not_equal(get("http", "good.test", "/ok"), KS_FETCH_OK);
	plain_port--;
}

static void deadlines(void **state)
{
	(void)state;
	client(true, true);
	request.timeout_ms = 300;
	assert_int_equal(get("http", "good.test", "/hang"), KS_FETCH_TIMEOUT);
	(void)word_and_number("hangs");
	/* However it trickles. */
	assert_int_equal(get("http", "good.test", "/drip"), KS_FETCH_TIMEOUT);
	assert_null(response.body);
	/* A name server that does not answer is waited for no longer. */
	assert_int_equal(get("http", "slow.test", "/ok"), KS_FETCH_TIMEOUT);
	(void)sem_post(&slow_name);
	request.timeout_ms = PATIENCE_MS;
	assert_int_equal(get("http", "good.test", "/ok"), KS_FETCH_OK);
}

static void *wait_for_ever(void *ctx)
{
	enum ks_fetch_result *result = ctx;

	*result = get("http", "good.test", "/hang");
	return NULL;
}

static void stops(void **state)
{
	enum ks_fetch_result result = KS_FETCH_OK;
	pthread_t thread;

	(void)state;
	client(true, true);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &result), 0);
	(void)word_and_number("hangs");
	ks_fetch_stop(fetch);
	(void)pthread_join(thread, NULL);
	assert_int_equal(result, KS_FETCH_STOPPED);
	assert_int_equal(get("http", "good.test", "/ok"), KS_FETCH_STOPPED);
}

#define THREADS 12
#define ROUNDS 20

static void *fetch_often(void *ctx)
{
	size_t *good = ctx;

	for (int i = 0; i < ROUNDS; i++) {
		struct ks_fetch_response r;
		char own[128];
		struct ks_fetch_request q = {.method = "GET", .body_max = 65536, .timeout_ms = PATIENCE_MS};

		(void)snprintf(own, sizeof(own), "http://good.test:%d/size?n=%d", plain_port, 100 * i);
		q.url = ks_str_c(own);
		if (ks_fetch_do(fetch, &q, &r) == KS_FETCH_OK && r.body_n == (size_t)(100 * i))
			(*good)++;
		ks_fetch_response_free(&r);
	}
	return NULL;
}

static void many_threads(void **state)
{
	pthread_t threads[THREADS];
	size_t good[THREADS] = {0};

	(void)state;
	client(true, true);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fetch_often, &good[i]), 0);
	for (size_t i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(good[i], ROUNDS);
	}
}

/* ---- who waits ---- */

static void *fetch_often_in_turns(void *ctx)
{
	compute();
	(void)fetch_often(ctx);
	rest();
	return NULL;
}

static void *wait_for_ever_in_turns(void *ctx)
{
	compute();
	(void)wait_for_ever(ctx);
	rest();
	return NULL;
}

/* As those do who compute one at a time: one that hangs keeps nobody from it. */
static void who_waits_is_told(void **state)
{
	enum ks_fetch_result hung = KS_FETCH_OK;
	pthread_t threads[THREADS], hanging;
	size_t good[THREADS] = {0};

	(void)state;
	take_turns = true;
	client(true, true);
	assert_int_equal(pthread_create(&hanging, NULL, wait_for_ever_in_turns, &hung), 0);
	(void)word_and_number("hangs");
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fetch_often_in_turns, &good[i]), 0);
	for (size_t i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(good[i], ROUNDS);
	}
	ks_fetch_stop(fetch);
	(void)pthread_join(hanging, NULL);
	assert_int_equal(hung, KS_FETCH_STOPPED);
	assert_true(waits > THREADS * ROUNDS);
	assert_int_equal(mistakes, 0);
}

/* ---- many at once ---- */

static void redirects_are_answers(void **state)
{
	(void)state;
	client(true, true);
	request.redirects_max = 2;
	assert_int_equal(get("http", "good.test", "/redirect?to=https://169.254.169.254/"), KS_FETCH_OK);
	assert_int_equal(response.status, 302);
}

static void what_is_cut_is_an_answer(void **state)
{
	(void)state;
	client(true, true);
	request.body_max = 10000;
	request.cut = true;
	assert_int_equal(get("https", "good.test", "/size?n=10001"), KS_FETCH_OK);
	assert_int_equal(response.status, 200);
	assert_int_equal(response.body_n, 10000);
	assert_int_equal(get("http", "good.test", "/endless"), KS_FETCH_OK);
	assert_int_equal(response.body_n, 10000);
	assert_int_equal(get("http", "good.test", "/headers"), KS_FETCH_TOO_LARGE);
}

struct crowd {
	size_t ended, ok, timeouts, stopped;
};

static void count_ended(void *ctx, void *tag, enum ks_fetch_result result, const struct ks_fetch_response *answer)
{
	struct crowd *crowd = ctx;

	(void)tag;
	crowd->ended++;
	crowd->ok += result == KS_FETCH_OK && answer->status == 200;
	crowd->timeouts += result == KS_FETCH_TIMEOUT;
	crowd->stopped += result == KS_FETCH_STOPPED;
}

static void begin_one(struct ks_fetch_many *many, const char *path)
{
	(void)snprintf(url, sizeof(url), "http://good.test:%d%s", plain_port, path);
	request.url = ks_str_c(url);
	assert_int_equal(ks_fetch_many_begin(many, &request, NULL), KS_FETCH_OK);
}

static void one_that_hangs_holds_up_none(void **state)
{
	struct crowd crowd = {0};
	struct ks_fetch_many *many = NULL;

	(void)state;
	client(true, false);
	assert_int_equal(ks_fetch_many_new(fetch, 4, count_ended, &crowd, &many), KS_OK);
	begin_one(many, "/hang");
	for (int i = 0; i < 20; i++)
		begin_one(many, "/ok");
	while (crowd.ok < 20)
		ks_fetch_many_go(many, 1000);
	assert_int_equal(crowd.ended, 20);
	/* A wake ends a wait, also one that has not begun. */
	ks_fetch_many_wake(many);
	ks_fetch_many_go(many, PATIENCE_MS);
	ks_fetch_many_free(&many);
	assert_int_equal(crowd.stopped, 1);
	(void)word_and_number("hangs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(answers, end),
		cmocka_unit_test_teardown(sends_what_it_is_told, end),
		cmocka_unit_test_teardown(takes_no_proxy, end),
		cmocka_unit_test_teardown(refused_names, end),
		cmocka_unit_test_teardown(refused_after_turning, end),
		cmocka_unit_test_teardown(nothing_guarded_without_leave, end),
		cmocka_unit_test_teardown(urls, end),
		cmocka_unit_test_teardown(trust, end),
		cmocka_unit_test_teardown(redirects, end),
		cmocka_unit_test_teardown(sizes, end),
		cmocka_unit_test_teardown(broken_answers, end),
		cmocka_unit_test_teardown(deadlines, end),
		cmocka_unit_test_teardown(stops, end),
		cmocka_unit_test_teardown(many_threads, end),
		cmocka_unit_test_teardown(who_waits_is_told, end),
		cmocka_unit_test_setup_teardown(answers, use_many, end),
		cmocka_unit_test_setup_teardown(sends_what_it_is_told, use_many, end),
		cmocka_unit_test_setup_teardown(takes_no_proxy, use_many, end),
		cmocka_unit_test_setup_teardown(refused_names, use_many, end),
		cmocka_unit_test_setup_teardown(refused_after_turning, use_many, end),
		cmocka_unit_test_setup_teardown(nothing_guarded_without_leave, use_many, end),
		cmocka_unit_test_setup_teardown(trust, use_many, end),
		cmocka_unit_test_setup_teardown(sizes, use_many, end),
		cmocka_unit_test_setup_teardown(broken_answers, use_many, end),
		cmocka_unit_test_setup_teardown(deadlines, use_many, end),
		cmocka_unit_test_setup_teardown(redirects_are_answers, use_many, end),
		cmocka_unit_test_setup_teardown(what_is_cut_is_an_answer, use_many, end),
		cmocka_unit_test_teardown(one_that_hangs_holds_up_none, end),
	};

	return cmocka_run_group_tests_name("fetch/fetch", tests, start_server, stop_server);
}
