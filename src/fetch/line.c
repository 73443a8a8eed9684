/* SPDX-License-Identifier: Apache-2.0 */
/* Lines by libcurl's look-up, connection and TLS; UDP by its look-up alone. */
#include "fetch/line.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "fetch/fetch_priv.h"
#include "fetch/guard.h"

#define ADDRESSES_MAX 8
#define SLICE_MS 250 /* how late a stop may be noticed */

struct found {
	struct sockaddr_storage address;
	socklen_t n;
};

struct ks_fetch_line {
	struct ks_fetch *fetch;
	struct ks_transfer *transfer; /* TCP and TLS */
	int fd;
	bool is_udp;
	bool refused;                 /* the guard spoke against an address */
	int64_t deadline_ms;
	struct found found[ADDRESSES_MAX]; /* UDP: where the name leads to */
	size_t found_count;
};

static bool may_reach(struct ks_fetch_line *line, const struct sockaddr *address)
{
	const struct ks_fetch_options *o = &line->fetch->options;
	struct ks_addr addr;

	if (ks_transfer_address_of(address, &addr)
	    && (ks_guard_listed(o->allow, o->allow_count, &addr) || !ks_guard_reason(&addr)))
		return true;
	line->refused = true;
	return false;
}

/* Runs for every address that a connection is tried to. For UDP it only notes the address. */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct ks_fetch_line *line = ctx;

	(void)purpose;
	if (!may_reach(line, &address->addr))
		return CURL_SOCKET_BAD;
	if (!line->is_udp)
		return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (line->found_count < ADDRESSES_MAX && address->addrlen <= sizeof(struct sockaddr_storage)) {
		struct found *f = &line->found[line->found_count++];

		memcpy(&f->address, &address->addr, address->addrlen);
		f->n = address->addrlen;
	}
	return CURL_SOCKET_BAD;
}

static bool host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* The form in which libcurl takes where to connect to. */
static bool write_url(struct ks_str host, uint16_t port, bool with_tls, struct ks_buf *to)
{
	struct ks_addr addr;
	bool is_v6 = ks_str_find(host, ':') != SIZE_MAX && ks_addr_parse(host, &addr);

	for (size_t i = 0; i < host.n; i++) {
		if (!is_v6 && !host_char(host.p[i]))
			return false;
	}
	ks_buf_put_c(to, with_tls ? "https://" : "http://");
	ks_buf_put_c(to, is_v6 ? "[" : "");
	ks_buf_put(to, host);
	ks_buf_put_c(to, is_v6 ? "]:" : ":");
	ks_buf_put_u64(to, port);
	return host.n > 0 && host.n <= KS_FETCH_HOST_MAX && port > 0 && ks_buf_ok(to);
}

static int left_ms(const struct ks_fetch_line *line)
{
	int64_t left = line->deadline_ms - ks_fetch_now_ms();

	return left < 0 ? 0 : (int)left;
}

bool ks_fetch_line_is_over(const struct ks_fetch_line *line)
{
	return left_ms(line) == 0;
}

static enum ks_fetch_result stands_on(struct ks_fetch_line *line)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (curl_easy_getinfo(line->transfer->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
		return KS_FETCH_CONNECT;
	line->fd = fd;
	return KS_FETCH_OK;
}

/* The addresses are noted; the one that the system finds a way to is taken. */
static enum ks_fetch_result connect_datagrams(struct ks_fetch_line *line)
{
	for (size_t i = 0; i < line->found_count; i++) {
		const struct found *f = &line->found[i];
		int fd = socket(f->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd >= 0 && connect(fd, (const struct sockaddr *)&f->address, f->n) == 0) {
			line->fd = fd;
			return KS_FETCH_OK;
		}
		if (fd >= 0)
			(void)close(fd);
	}
	return KS_FETCH_CONNECT;
}

static enum ks_fetch_result look_up_and_connect(struct ks_fetch_line *line, const char *url)
{
	enum ks_fetch_result result = ks_transfer_connect(line->transfer, url, left_ms(line), on_socket, line);

	if (line->found_count > 0)
		return connect_datagrams(line);
	if (result != KS_FETCH_OK && result != KS_FETCH_STOPPED && result != KS_FETCH_MEMORY && line->refused)
		return KS_FETCH_ADDRESS;
	return result == KS_FETCH_OK ? stands_on(line) : result;
}

enum ks_fetch_result ks_fetch_line_open(struct ks_fetch *fetch, struct ks_str host, uint16_t port,
					enum ks_fetch_transport transport, unsigned timeout_ms,
					struct ks_fetch_line **ret_line)
{
	char url[KS_FETCH_HOST_MAX + 32];
	struct ks_buf b = KS_BUF(url);
	struct ks_fetch_line *line;
	enum ks_fetch_result result;

	if (!write_url(host, port, transport == KS_FETCH_TLS_OVER_TCP, &b))
		return KS_FETCH_URL;
	line = calloc(1, sizeof(*line));
	if (!line)
		return KS_FETCH_MEMORY;
	line->fetch = fetch;
	line->fd = -1;
	line->is_udp = transport == KS_FETCH_UDP;
	line->deadline_ms = ks_fetch_now_ms() + KS_MIN(timeout_ms, KS_FETCH_TIMEOUT_MAX_MS);
	line->transfer = ks_transfer_new(fetch);
	result = line->transfer ? look_up_and_connect(line, ks_buf_z(&b)) : KS_FETCH_MEMORY;
	if (result != KS_FETCH_OK)
		ks_fetch_line_close(&line);
	else
		*ret_line = line;
	return result;
}

void ks_fetch_line_close(struct ks_fetch_line **line)
{
	struct ks_fetch_line *l = *line;

	if (!l)
		return;
	if (l->is_udp && l->fd >= 0)
		(void)close(l->fd);
	if (l->transfer) {
		ks_transfer_disconnect(l->transfer);
		ks_transfer_free(l->transfer);
	}
	free(l);
	*line = NULL;
}

/* ---- bytes ---- */

/* Until the line is ready for `events`, or `until_ms`. */
static enum ks_fetch_result wait_for(struct ks_fetch_line *line, short events, int64_t until_ms)
{
	struct pollfd p = {.fd = line->fd, .events = events};

	for (;;) {
		int64_t left = until_ms - ks_fetch_now_ms();
		bool broken;
		int n;

		if (atomic_load(&line->fetch->stopping))
			return KS_FETCH_STOPPED;
		if (left <= 0)
			return KS_FETCH_TIMEOUT;
		ks_fetch_wait_begins(line->fetch);
		n = poll(&p, 1, (int)KS_MIN(left, (int64_t)SLICE_MS));
		broken = n < 0 && errno != EINTR;
		ks_fetch_wait_ends(line->fetch);
		if (n > 0)
			return KS_FETCH_OK;
		if (broken)
			return KS_FETCH_BROKEN;
	}
}

static enum ks_fetch_result datagram_failed(void)
{
	return errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH ? KS_FETCH_CONNECT : KS_FETCH_BROKEN;
}

/* Some of the bytes. KS_FETCH_TIMEOUT here: not just now. */
static enum ks_fetch_result send_some(struct ks_fetch_line *line, struct ks_str bytes, size_t *ret_n)
{
	CURLcode code;
	ssize_t n;

	if (!line->is_udp) {
		code = curl_easy_send(line->transfer->easy, bytes.p, bytes.n, ret_n);
		return code == CURLE_OK ? KS_FETCH_OK : code == CURLE_AGAIN ? KS_FETCH_TIMEOUT : KS_FETCH_BROKEN;
	}
	n = send(line->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? KS_FETCH_TIMEOUT : datagram_failed();
	*ret_n = bytes.n;
	return KS_FETCH_OK;
}

enum ks_fetch_result ks_fetch_line_send(struct ks_fetch_line *line, struct ks_str bytes)
{
	enum ks_fetch_result result = KS_FETCH_OK;

	if (bytes.n > KS_FETCH_LINE_BYTES_MAX)
		return KS_FETCH_TOO_LARGE;
	while (bytes.n > 0) {
		size_t n = 0;

		result = send_some(line, bytes, &n);
		if (result == KS_FETCH_TIMEOUT)
			result = wait_for(line, POLLOUT, line->deadline_ms);
		if (result != KS_FETCH_OK)
			return result;
		bytes = ks_str_sub(bytes, n, bytes.n);
	}
	return KS_FETCH_OK;
}

static enum ks_fetch_result receive_some(struct ks_fetch_line *line, char *bytes, size_t cap, size_t *ret_n)
{
	CURLcode code;
	ssize_t n;

	if (!line->is_udp) {
		code = curl_easy_recv(line->transfer->easy, bytes, cap, ret_n);
		return code == CURLE_OK ? KS_FETCH_OK : code == CURLE_AGAIN ? KS_FETCH_TIMEOUT : KS_FETCH_BROKEN;
	}
	n = recv(line->fd, bytes, cap, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? KS_FETCH_TIMEOUT : datagram_failed();
	*ret_n = (size_t)n;
	return KS_FETCH_OK;
}

enum ks_fetch_result ks_fetch_line_receive(struct ks_fetch_line *line, unsigned wait_ms, char *bytes, size_t cap,
					   size_t *ret_n)
{
	int64_t until_ms = KS_MIN(ks_fetch_now_ms() + (int64_t)wait_ms, line->deadline_ms);
	enum ks_fetch_result result;

	/* First the bytes: with TLS some may wait in the library, where poll does not see them. */
	for (;;) {
		size_t n = 0;

		result = receive_some(line, bytes, cap, &n);
		if (result == KS_FETCH_OK)
			*ret_n = n;
		if (result != KS_FETCH_TIMEOUT)
			return result;
		result = wait_for(line, POLLIN, until_ms);
		if (result != KS_FETCH_OK)
			return result;
	}
}

void ks_fetch_line_own(const struct ks_fetch_line *line, struct ks_addr *ret_addr, uint16_t *ret_port)
{
	struct sockaddr_storage own = {0};
	socklen_t n = sizeof(own);

	*ret_addr = (struct ks_addr){{0}};
	*ret_port = 0;
	if (getsockname(line->fd, (struct sockaddr *)&own, &n) != 0
	    || !ks_transfer_address_of((const struct sockaddr *)&own, ret_addr))
		return;
	*ret_port = own.ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)(const void *)&own)->sin_port)
					     : ntohs(((const struct sockaddr_in6 *)(const void *)&own)->sin6_port);
}
