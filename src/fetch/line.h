/* SPDX-License-Identifier: Apache-2.0 */
/** A line to a host that speaks something other than HTTP (SIP, or nothing but TLS): bytes over UDP, TCP or TLS under
 * the same guard, the same authorities and the same stop as requests (fetch/fetch.h), and with one deadline for all of
 * it, the look-up of the name included. Unlike HTTP, a public address may be spoken to without TLS. Threads: any number
 * may have lines; one line belongs to one thread at a time. */
#pragma once

#include "fetch/fetch.h"

#define KS_FETCH_HOST_MAX 253          /* bytes of a name of a host, RFC 1035 */
#define KS_FETCH_LINE_BYTES_MAX 65536  /* bytes of one ks_fetch_line_send */

enum ks_fetch_transport {
	KS_FETCH_UDP,
	KS_FETCH_TCP,
	KS_FETCH_TLS_OVER_TCP,
};

struct ks_fetch_line;

/** Looks up `host` (a name, or an address without brackets), connects to `port`, and for TLS verifies the certificate
 * for that name. UDP connects to the first address that may be reached, and is connected at once: whether somebody
 * listens shows later. All must be done `timeout_ms` from now (at most KS_FETCH_TIMEOUT_MAX_MS). KS_FETCH_URL: not a
 * host or port; else as ks_fetch_do. Not to be called on a thread that serves HTTP or writes the truth. */
enum ks_fetch_result ks_fetch_line_open(struct ks_fetch *fetch, struct ks_str host, uint16_t port,
					enum ks_fetch_transport transport, unsigned timeout_ms,
					struct ks_fetch_line **ret_line);

/** Sends all of `bytes`; over UDP they are one datagram. KS_FETCH_CONNECT: nobody listens, KS_FETCH_BROKEN: it was closed,
 * KS_FETCH_TIMEOUT, KS_FETCH_STOPPED, KS_FETCH_TOO_LARGE. */
enum ks_fetch_result ks_fetch_line_send(struct ks_fetch_line *line, struct ks_str bytes);

/** Waits for bytes, at most `wait_ms` and never beyond the line's deadline: *ret_n of them (over UDP of one datagram, cut
 * to `cap`); 0: the other side ended the line. KS_FETCH_TIMEOUT: none came; else as ks_fetch_line_send. */
enum ks_fetch_result ks_fetch_line_receive(struct ks_fetch_line *line, unsigned wait_ms, char *bytes, size_t cap,
					   size_t *ret_n);

/** True once the deadline has passed. */
bool ks_fetch_line_is_over(const struct ks_fetch_line *line);

/** Our own end of it, as the other side may be told. */
void ks_fetch_line_own(const struct ks_fetch_line *line, struct ks_addr *ret_addr, uint16_t *ret_port);

/** Closes. Takes NULL. */
void ks_fetch_line_close(struct ks_fetch_line **line);
