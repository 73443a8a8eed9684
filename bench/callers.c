/* SPDX-License-Identifier: Apache-2.0 */
/* Runtime clients that ask again as soon as they are answered, each over a connection of its own, each time for another call. One thread does it for all of
 * them, for as little processor time as can be: on a machine of few processors whoever measures must not be what is measured.
 *
 *	callers PORT TARGET KEY CONNECTIONS SECONDS     POST TARGET {"call_id":"…"}, at 127.0.0.1
 *
 * Prints "RATE N P50 N P99 N ERRORS N": answers a second, their times in microseconds, and how many were not 200. Exits with 1 where an answer is none. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define ANSWER_MAX 16384
#define NUMBER_DIGITS 12
#define BUCKETS 1000000 /* of a microsecond */

struct caller {
	int fd;
	size_t got, wanted;     /* of the answer; wanted 0: its head is not there yet */
	uint64_t asked_us;
	char answer[ANSWER_MAX + 1];
};

static struct caller callers[CONNECTIONS_MAX];
static uint32_t times[BUCKETS + 1];
static char request[4096];
static size_t request_n;
static char *request_number;
static uint64_t asked, answered, errors;

static void die(const char *what)
{
	fprintf(stderr, "callers: %s\n", what);
	exit(1);
}

/* An argument from 1 to `most`. */
static unsigned long number_of(const char *text, unsigned long most)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*end || number < 1 || number > most)
		die("an argument is not a number, or out of its range");
	return number;
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void prepare(const char *port, const char *target, const char *key)
{
	static const char body[] = "{\"call_id\":\"000000000000\"}";
	int n = snprintf(request, sizeof(request),
			 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 target, port, key, sizeof(body) - 1, body);

	if (n < 0 || (size_t)n >= sizeof(request))
		die("the request is too long");
	request_n = (size_t)n;
	request_number = &request[request_n - sizeof("\"}") + 1 - NUMBER_DIGITS];
}

static void ask(struct caller *c)
{
	uint64_t number = ++asked;

	for (size_t i = NUMBER_DIGITS; i > 0; i--, number /= 10)
		request_number[i - 1] = (char)('0' + number % 10);
	c->got = c->wanted = 0;
	c->asked_us = now_us();
	if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
		die("a connection was closed");
}

/* False: it is not there yet. */
static bool read_head(struct caller *c)
{
	static const char name[] = "Content-Length:";
	char *end = strstr(c->answer, "\r\n\r\n");

	for (char *line = c->answer; end && line < end; line = strstr(line, "\r\n") + 2) {
		if (strncasecmp(line, name, sizeof(name) - 1) == 0)
			c->wanted = (size_t)(end - c->answer) + 4 + strtoul(&line[sizeof(name) - 1], NULL, 10);
	}
	if (end && (c->wanted == 0 || c->wanted > ANSWER_MAX))
		die("an answer has no length, or too much of it");
	return end != NULL;
}

/* True: the answer is whole. */
static bool receive(struct caller *c)
{
	ssize_t n = recv(c->fd, &c->answer[c->got], ANSWER_MAX - c->got, 0);

	if (n <= 0)
		die("a connection was closed before its answer");
	c->got += (size_t)n;
	c->answer[c->got] = '\0';
	if (c->wanted == 0 && !read_head(c))
		return false;
	if (c->got > c->wanted)
		die("an answer is longer than it says");
	return c->got == c->wanted;
}

static void note(const struct caller *c)
{
	uint64_t us = now_us() - c->asked_us;

	times[us < BUCKETS ? us : BUCKETS]++;
	answered++;
	errors += strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0;
}

static unsigned percentile(unsigned percent)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i <= BUCKETS; i++) {
		seen += times[i];
		if (seen * 100 >= answered * percent)
			return i;
	}
	return BUCKETS;
}

static void connect_all(int epoll, size_t count, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int one = 1;

	for (size_t i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &callers[i]};

		callers[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (callers[i].fd < 0 || connect(callers[i].fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
			die("nobody listens");
		(void)setsockopt(callers[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, callers[i].fd, &event) != 0)
			die("epoll");
	}
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t began, until, took;
	size_t count;

	if (argc != 6)
		die("PORT TARGET KEY CONNECTIONS SECONDS");
	if (epoll < 0)
		die("epoll");
	count = number_of(argv[4], CONNECTIONS_MAX);
	prepare(argv[1], argv[2], argv[3]);
	connect_all(epoll, count, (uint16_t)number_of(argv[1], UINT16_MAX));
	began = now_us();
	until = began + number_of(argv[5], 3600) * 1000000;
	for (size_t i = 0; i < count; i++)
		ask(&callers[i]);
	while (now_us() < until) {
		struct epoll_event events[64];
		int n = epoll_wait(epoll, events, 64, 1000);

		for (int i = 0; i < n; i++) {
			struct caller *c = events[i].data.ptr;

			if (!receive(c))
				continue;
			note(c);
			ask(c);
		}
	}
	took = now_us() - began;
	printf("RATE %.0f P50 %u P99 %u ERRORS %llu\n", (double)answered * 1e6 / (double)took, percentile(50), percentile(99), (unsigned long long)errors);
	return 0;
}
