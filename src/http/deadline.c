/* SPDX-License-Identifier: Apache-2.0 */
/* When a connection is late. The clock of a request starts when its first byte is noticed and never starts again,
 * whatever trickles in; libmicrohttpd's own starts again with each byte. No byte is seen here: that one came is told
 * by the kernel's count of them. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "http/conn.h"

/* What the kernel counts of the connection; false where it does not (the local socket). */
static bool bytes_of(const struct ks_conn *c, uint64_t *ret_received, uint64_t *ret_acknowledged)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (c->local || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) ||
	    size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
		return false;
	*ret_received = info.tcpi_bytes_received;
	*ret_acknowledged = info.tcpi_bytes_acked;
	return true;
}

/* Whether bytes of the next request have come. Where not all bytes are counted, those that came before the first look
 * are not noticed. */
static bool has_begun(struct ks_conn *c, uint64_t request)
{
	uint64_t bytes, acknowledged;

	if (!bytes_of(c, &bytes, &acknowledged))
		return false;
	if (!c->baseline_known) {
		if (!atomic_load_explicit(&c->inexact, memory_order_relaxed))
			c->baseline = atomic_load_explicit(&c->consumed, memory_order_relaxed);
		else
			c->baseline = request == 0 ? 0 : bytes;
		c->baseline_known = true;
	}
	return bytes > c->baseline;
}

static enum ks_http_phase phase_of(uint64_t word)
{
	return (enum ks_http_phase)(word & ((1u << KS_HTTP_PHASE_BITS) - 1));
}

static void cut(struct ks_conn *c)
{
	c->cut = true;
	(void)shutdown(c->fd, SHUT_RDWR);
}

/* A request may have come between the last look and this: its thread reads it, and then the end. So what it did is
 * answered. */
static void end_idle(struct ks_conn *c)
{
	if (!c->ending)
		(void)shutdown(c->fd, SHUT_RD);
	c->ending = true;
}

/* Milliseconds that `bytes` may take at the least rate. */
static int64_t time_for(uint64_t bytes)
{
	return (int64_t)(bytes / KS_HTTP_BYTES_PER_MS);
}

/* An answer is late when none of it was taken for as long as a request may last, or when it is taken too slowly. */
static bool is_taken_late(const struct ks_http_server *server, struct ks_conn *c, int64_t now_ms)
{
	int64_t limit = server->options.request_timeout_ms;
	uint64_t received, acknowledged;

	if (bytes_of(c, &received, &acknowledged)) {
		if (acknowledged != c->acknowledged) {
			c->acknowledged = acknowledged;
			c->acknowledged_ms = now_ms;
		}
		if (now_ms - KS_MAX(c->acknowledged_ms, c->seen_ms) >= limit)
			return true;
	}
	return now_ms - c->seen_ms >= limit + time_for(atomic_load_explicit(&c->answer_bytes, memory_order_relaxed));
}

static bool is_late(const struct ks_http_server *server, struct ks_conn *c, int64_t now_ms, enum ks_http_phase phase)
{
	int64_t limit = server->options.request_timeout_ms;

	switch (phase) {
	case KS_HTTP_IDLE:
	case KS_HTTP_HEAD:
		break;
	case KS_HTTP_BODY:
		if (atomic_load_explicit(&c->unhurried, memory_order_relaxed))
			limit += time_for(atomic_load_explicit(&c->body_seen, memory_order_relaxed));
		break;
	case KS_HTTP_WORK:
		return false;
	case KS_HTTP_SEND:
		return is_taken_late(server, c, now_ms);
	}
	return now_ms - c->started_ms >= limit;
}

bool ks_deadline_look(const struct ks_http_server *server, struct ks_conn *c, int64_t now_ms, int stopping)
{
	uint64_t word = atomic_load_explicit(&c->phase, memory_order_acquire);
	enum ks_http_phase phase = phase_of(word);
	uint64_t request = word >> KS_HTTP_PHASE_BITS;

	if (!c->live || c->cut)
		return false;
	if (stopping == KS_HTTP_CUTS) {
		cut(c);
		return false;
	}
	if (word != c->seen) {
		/* A request that was noticed by its first byte gets its number with its first line. */
		uint64_t before = c->seen >> KS_HTTP_PHASE_BITS;
		bool was_idle = phase_of(c->seen) == KS_HTTP_IDLE;

		if (phase == KS_HTTP_IDLE || request != before + was_idle)
			c->started = c->baseline_known = false;
		/* A sink that took its time: that was not the client's. */
		if (phase_of(c->seen) == KS_HTTP_WORK && phase == KS_HTTP_BODY && request == before)
			c->started_ms += now_ms - c->seen_ms;
		c->seen = word;
		c->seen_ms = now_ms;
	}
	if (!c->started && (phase != KS_HTTP_IDLE || has_begun(c, request))) {
		c->started = true;
		c->started_ms = now_ms;
	}
	if (!c->started) {
		if (stopping != KS_HTTP_RUNS || now_ms - c->seen_ms >= server->options.idle_timeout_ms)
			end_idle(c);
		return false;
	}
	if (!is_late(server, c, now_ms, phase))
		return false;
	cut(c);
	return true;
}
