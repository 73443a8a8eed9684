/* SPDX-License-Identifier: Apache-2.0 */
/** The HTTP server: libmicrohttpd behind a strict layer that refuses what could be read two ways
 * (docs/threat-model.md), with absolute deadlines, limits, TLS, a local socket, and a graceful stop. */
#pragma once

#include "base/err.h"
#include "http/exchange.h"

struct ks_http_server;

struct ks_http_options {
	const char *listen;            /* "127.0.0.1:5397", "[::1]:0", "0.0.0.0:80"; NULL: no TCP */
	const char *socket_path;       /* unix socket of the owner alone (0600); NULL: none */
	const char *tls_certificate;   /* PEM files; NULL: plain */
	const char *tls_key;
	const char *tls_client_ca;     /* clients must show a certificate of this authority; NULL: they need none */
	bool tls_client_optional;      /* without such an authority: ask for a certificate, and take clients that have none */
	unsigned threads;              /* 1 to 64 */
	unsigned connections_max;      /* 1 to 1,000,000; beyond it TCP connections are closed. The local socket has 64 more */
	unsigned connections_per_address_max; /* IPv6: per /64. 0: no limit */
	unsigned idle_timeout_ms;      /* 50 or more: keep-alive connection without a request */
	unsigned request_timeout_ms;   /* 50 or more, absolute: first byte of a request to its last; a body for a sink has one more
					* for each 64 bytes, and so has an answer to be taken */
	size_t body_total_max;         /* all bodies being received, together */
	/** Called for what was refused and for connections cut by a deadline: reason is a static word of
	 * KS_HTTP_REFUSALS, peer is NULL for the local socket. On any thread of the server's, several at a time; it may
	 * not wait, nor call the server. */
	void (*on_refused)(void *ctx, const char *reason, const struct ks_addr *peer);
	void *on_refused_ctx;
};

/** X(name): what the strict layer refuses, as told to on_refused and counted in metrics. */
#define KS_HTTP_REFUSALS(X)              \
	X(content_length_conflict)       \
	X(content_length_malformed)      \
	X(length_and_coding)             \
	X(transfer_coding_unknown)       \
	X(host_repeated)                 \
	X(host_missing)                  \
	X(authorization_repeated)        \
	X(header_name_malformed)         \
	X(header_value_control)          \
	X(target_malformed)              \
	X(method_malformed)              \
	X(version_unsupported)           \
	X(too_many_headers)              \
	X(headers_too_large)             \
	X(target_too_large)              \
	X(body_too_large)                \
	X(bodies_full)                   \
	X(request_malformed)             \
	X(deadline)                      \
	X(connection_limit)              \
	X(local_peer)

/** Starts serving on its own threads, in which all signals are blocked. Of options and handler nothing but their
 * contexts is borrowed. KS_BUSY: the address or the local socket is in use; KS_MALFORMED: a bad option; KS_SYSTEM;
 * KS_MEMORY. *ret_problem then is static text. */
KS_MUST_USE enum ks_err ks_http_start(const struct ks_http_options *options, const struct ks_handler *handler,
				      struct ks_http_server **ret_server, const char **ret_problem);

/** The TCP port served, also where ":0" was asked for; 0 without TCP. */
unsigned ks_http_port(const struct ks_http_server *server);

/** Reads certificates and authority anew, for connections from now on. KS_MALFORMED where they are bad: the old ones
 * stay. Any thread. */
KS_MUST_USE enum ks_err ks_http_reload_tls(struct ks_http_server *server);

/** Stops accepting, ends what is idle, lets exchanges under way finish up to `drain_ms`, then closes everything. It
 * returns when no thread is in the handler any more and every pending exchange has been completed, be that later: the
 * handler owes it. Frees; takes NULL. */
void ks_http_stop(struct ks_http_server **server, unsigned drain_ms);

struct ks_http_stats {
	uint64_t connections_open;
	uint64_t connections_total;
	uint64_t requests_total;
	uint64_t refused_total;
};
void ks_http_stats(const struct ks_http_server *server, struct ks_http_stats *ret_stats);
