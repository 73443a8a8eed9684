/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks as they leave: engine and deliverer in this process, a receiver in another (epoll, one thread), a thousand endpoints of a hundred
 * organizations, some of which hang and as many of which fail.
 *
 *	delivery DATA rate BAD EVENTS_PER_S SECONDS   events at this rate (0: as fast as they are delivered), each for ten endpoints; BAD of the endpoints
 *	                                              hang and BAD fail. Prints what healthy ones got a second, and how long after the commit, in ms.
 *	delivery DATA backlog EVENTS                  events that waited for endpoints that were paused, and one new one every 100 ms meanwhile.
 *
 * DATA must be empty or missing. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "delivery/delivery.h"
#include "engine/events.h"
#include "engine/tenants.h"

#define ENDPOINTS 1000u
#define ORGANIZATIONS 100u
#define EVENTS_MAX 4000000u
#define BUCKETS 100000u      /* of 0.1 ms */
#define CONNECTIONS_MAX 8192
#define REQUEST_MAX 4096
#define IN_HAND 4000u        /* deliveries that wait where events come as fast as they are delivered */

/* What the two processes share. */
struct shared {
	_Atomic uint64_t arrived;                 /* at healthy endpoints */
	_Atomic uint64_t bad;
	_Atomic uint64_t counted_from;            /* event */
	_Atomic uint64_t buckets[BUCKETS];        /* from commit to arrival, of events from that one on */
	_Atomic uint64_t committed_at[EVENTS_MAX]; /* ns; 0: not told yet */
};

static struct shared *shared;
static struct ks_engine *engine;
static uint64_t organizations[ORGANIZATIONS], endpoints[ENDPOINTS];
static uint64_t written;

static _Noreturn void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "delivery: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the receiver ---- */

struct connection {
	size_t n;
	char bytes[REQUEST_MAX];
};
static struct connection *connections[CONNECTIONS_MAX];

static void note_arrival(const char *body)
{
	const char *number = strstr(body, "\"n\":");
	uint64_t n = number ? strtoull(number + 4, NULL, 10) : EVENTS_MAX, at, bucket;

	if (n >= EVENTS_MAX)
		return;
	at = atomic_load(&shared->committed_at[n]);
	bucket = at ? (now_ns() - at) / 100000 : 0;
	if (n >= atomic_load(&shared->counted_from))
		(void)atomic_fetch_add(&shared->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1], 1);
	(void)atomic_fetch_add(&shared->arrived, 1);
}

/* False: it is over. */
static bool answer(int fd, char path, const char *body)
{
	static const char good[] = "HTTP/1.1 204 No Content\r\n\r\n", bad[] = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";

	if (path == 'g') {
		note_arrival(body);
		return write(fd, good, sizeof(good) - 1) == (ssize_t)(sizeof(good) - 1);
	}
	(void)atomic_fetch_add(&shared->bad, 1);
	return path != 'f' || write(fd, bad, sizeof(bad) - 1) == (ssize_t)(sizeof(bad) - 1);
}

/* One request after the other; none is pipelined. */
static bool receive(int fd, struct connection *c)
{
	ssize_t got = read(fd, &c->bytes[c->n], REQUEST_MAX - 1 - c->n);
	const char *end, *length;

	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	c->n += (size_t)got;
	c->bytes[c->n] = '\0';
	end = strstr(c->bytes, "\r\n\r\n");
	length = end ? strstr(c->bytes, "Content-Length: ") : NULL;
	if (!length || (size_t)(end + 4 - c->bytes) + strtoul(length + 16, NULL, 10) > c->n)
		return c->n < REQUEST_MAX - 1;
	c->n = 0;
	return answer(fd, c->bytes[6], end + 4);
}

static void take_connection(int poller, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
	struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};

	if (fd < 0 || fd >= CONNECTIONS_MAX)
		die("receiver", "too many connections");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!connections[fd])
		connections[fd] = calloc(1, sizeof(struct connection));
	if (!connections[fd] || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) != 0)
		die("receiver", "no memory");
	connections[fd]->n = 0;
}

static _Noreturn void receive_forever(int listener)
{
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data = {.fd = listener}}, found[256];

	(void)epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(poller, found, 256, -1);

		for (int i = 0; i < n; i++) {
			int fd = found[i].data.fd;

			if (fd == listener)
				take_connection(poller, listener);
			else if (!receive(fd, connections[fd]))
				(void)close(fd);
		}
	}
}

static pid_t start_receiver(unsigned *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	pid_t child;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, 4096) != 0
	    || getsockname(fd, (struct sockaddr *)&address, &n) != 0)
		die("receiver", strerror(errno));
	*ret_port = ntohs(address.sin_port);
	child = fork();
	if (child == 0)
		receive_forever(fd);
	(void)close(fd);
	return child;
}

/* ---- the world ---- */

struct making {
	unsigned port, bad;
	unsigned next;        /* endpoint */
};

static enum ks_err make_organizations(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	for (unsigned i = 0; i < ORGANIZATIONS; i++) {
		struct ks_tenant_input input = {.kind = KS_TENANT_KIND_ORGANIZATION, .name = KS_STR("bench")};
		struct ks_tenant_made made;

		KS_TRY(ks_tenants_create(tx, &actor, &input, &made, &job->refusal));
		organizations[i] = made.id;
	}
	return KS_OK;
}

/* The first ones hang, those after them fail; they are of the first organizations, which have healthy ones too. */
static enum ks_err make_endpoints(struct ks_job *job, struct ks_tx *tx)
{
	static const struct ks_str events[] = {KS_STR("key.renamed")};
	struct making *m = job->ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	for (unsigned end = m->next + 50; m->next < end && m->next < ENDPOINTS; m->next++) {
		char url[64];
		struct ks_endpoint_secret secret;
		char path = m->next < m->bad ? 'h' : m->next < 2 * m->bad ? 'f' : 'g';
		struct ks_endpoint_input input = {.tenant = organizations[m->next % ORGANIZATIONS], .events = events, .event_count = 1};

		(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/%c", m->port, path);
		input.url = ks_str_c(url);
		KS_TRY(ks_endpoints_create(tx, &actor, &input, &endpoints[m->next], &secret, &job->refusal));
	}
	return KS_OK;
}

static void change(enum ks_err (*run)(struct ks_job *job, struct ks_tx *tx), void *ctx)
{
	struct ks_job job = {.run = run, .ctx = ctx};
	enum ks_err err = ks_engine_run(engine, &job);

	if (err != KS_OK)
		die("change", job.refusal.detail[0] ? job.refusal.detail : ks_err_text(err));
}

struct batch {
	unsigned count;
};

static enum ks_err write_events(struct ks_job *job, struct ks_tx *tx)
{
	const struct batch *b = job->ctx;

	for (unsigned i = 0; i < b->count; i++) {
		uint64_t organization = organizations[(written + i) % ORGANIZATIONS];
		char text[64];
		struct ks_buf data = KS_BUF(text);

		ks_buf_printf(&data, "{\"n\":%llu}", (unsigned long long)(written + i));
		KS_TRY(ks_event_add(tx, &(struct ks_event_note){KS_EVENT_KEY_RENAMED, organization, organization, KS_ID_ORGANIZATION,
								organization, ks_buf_str(&data)}));
	}
	return KS_OK;
}

static void emit(unsigned count)
{
	struct batch b = {count};

	if (written + count > EVENTS_MAX)
		die("events", "too many");
	change(write_events, &b);
	for (unsigned i = 0; i < count; i++)
		atomic_store(&shared->committed_at[written + i], now_ns());
	written += count;
}

static enum ks_err switch_all(struct ks_job *job, struct ks_tx *tx)
{
	const bool *pause = job->ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	for (unsigned i = 0; i < ENDPOINTS; i++)
		KS_TRY((*pause ? ks_endpoints_pause : ks_endpoints_resume)(tx, &actor, endpoints[i], &job->refusal));
	return KS_OK;
}

/* ---- measures ---- */

static double percentile(double part)
{
	uint64_t all = 0, sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		all += shared->buckets[i];
	for (unsigned i = 0; i < BUCKETS; i++) {
		sum += shared->buckets[i];
		if ((double)sum >= part * (double)all)
			return i / 10.0;
	}
	return 0;
}

static void forget_measures(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		shared->buckets[i] = 0;
	shared->arrived = 0;
}

static double resident_mib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0, resident = 0;
	char line[128];

	if (f && fgets(line, sizeof(line), f)) {
		char *end;

		pages = strtoul(line, &end, 10);
		resident = strtoul(end, NULL, 10);
	}
	if (f)
		(void)fclose(f);
	(void)pages;
	return (double)resident * 4096 / 1048576;
}

static void sleep_until(uint64_t at)
{
	struct timespec t = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

static void at_a_rate(unsigned bad, unsigned per_second, unsigned seconds)
{
	uint64_t healthy = ENDPOINTS / ORGANIZATIONS, began, end, next;
	unsigned tick_ms = 10, each = per_second / (1000 / tick_ms);

	/* A first second is no part of it: connections, secrets. */
	for (unsigned i = 0; i < 100; i++) {
		emit(each ? each : 5);
		sleep_until(now_ns() + 10000000);
	}
	forget_measures();
	began = next = now_ns();
	end = began + (uint64_t)seconds * 1000000000u;
	while (now_ns() < end) {
		if (per_second) {
			emit(each);
			next += (uint64_t)tick_ms * 1000000u;
			sleep_until(next);
		} else if (written * healthy < shared->arrived + IN_HAND + 100 * healthy * 5) {
			emit(20);
		} else {
			sleep_until(now_ns() + 200000);
		}
	}
	(void)printf("{\"delivered_per_s\": %.0f, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"bad\": %u, \"bad_requests\": %llu, \"rss_mib\": %.0f}\n",
		     (double)shared->arrived * 1e9 / (double)(now_ns() - began), percentile(0.5), percentile(0.99), bad,
		     (unsigned long long)shared->bad, resident_mib());
}

static void drain(struct ks_delivery *delivery, unsigned count)
{
	bool pause = true;
	double most = 0;
	uint64_t wanted, began, probed = 0;
	struct ks_delivery_stats stats;

	change(switch_all, &pause);
	for (unsigned i = 0; i < count / 10; i += 500)
		emit(500);
	wanted = written * (ENDPOINTS / ORGANIZATIONS);
	do {
		sleep_until(now_ns() + 50000000);
		ks_delivery_stats(delivery, &stats);
	} while (stats.made < wanted);
	(void)fprintf(stderr, "%llu deliveries wait; %.0f MiB\n", (unsigned long long)stats.made, resident_mib());
	pause = false;
	/* What is due for more than a second is late. */
	sleep_until(now_ns() + 1200000000);
	began = now_ns();
	change(switch_all, &pause);
	shared->counted_from = written;
	while (shared->arrived < wanted + probed) {
		double now = resident_mib();

		most = now > most ? now : most;
		if (shared->arrived + 20000 < wanted) {
			emit(1);
			probed += ENDPOINTS / ORGANIZATIONS;
		}
		sleep_until(now_ns() + 100000000);
	}
	(void)printf("{\"deliveries\": %llu, \"seconds\": %.1f, \"per_s\": %.0f, \"rss_mib\": %.0f, \"new_p50_ms\": %.1f, \"new_p99_ms\": %.1f}\n",
		     (unsigned long long)wanted, (double)(now_ns() - began) / 1e9, (double)wanted * 1e9 / (double)(now_ns() - began), most,
		     percentile(0.5), percentile(0.99));
}

int main(int argc, char **argv)
{
	struct ks_engine_options options = {.data_directory = argv[1], .create = true, .prefix_live = "ks", .prefix_sandbox = "ks_sandbox", .domain = "",
					    .self_policy = ks_api_self_policy(), .ring_group = -1, .usage_flush_ms = 1000};
	struct ks_delivery_options o = {.concurrency = 256, .per_endpoint = 4, .timeout_ms = 15000,
					.schedule = {10000, 28800000, 259200000}, .keep_ms = 2592000000};
	struct ks_engine_problem problem = {""};
	struct ks_delivery *delivery = NULL;
	struct making making = {0};
	bool rate = argc == 6 && ks_str_eq(ks_str_c(argv[2]), KS_STR("rate"));
	pid_t receiver;

	if (!rate && argc != 4)
		die("usage", "DATA rate BAD EVENTS_PER_S SECONDS, or DATA backlog EVENTS");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("memory", strerror(errno));
	receiver = start_receiver(&making.port);
	making.bad = rate ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	if (ks_engine_open(&options, &engine, &problem) != KS_OK)
		die("engine", problem.text);
	change(make_organizations, NULL);
	while (making.next < ENDPOINTS)
		change(make_endpoints, &making);
	if (!ks_cidr_parse(KS_STR("127.0.0.1"), &o.fetch.allow[o.fetch.allow_count++]) || ks_delivery_new(engine, &o, &delivery) != KS_OK || ks_delivery_start(delivery) != KS_OK)
		die("delivery", "cannot start");
	if (rate)
		at_a_rate(making.bad, (unsigned)strtoul(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10));
	else
		drain(delivery, (unsigned)strtoul(argv[3], NULL, 10));
	ks_delivery_stop(delivery);
	ks_delivery_free(&delivery);
	ks_engine_close(&engine);
	(void)kill(receiver, SIGKILL);
	(void)waitpid(receiver, NULL, 0);
	return 0;
}
