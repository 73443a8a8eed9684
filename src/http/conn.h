/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the HTTP module: the server, its connections, and what their files call of one another. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/peers.h"
#include "http/server.h"
#include "http/strict.h"
#include "http/tls.h"

/* What libmicrohttpd gives a connection for the head of a request, its own records of it, and the head of the answer.
 * It clears this much once and a half for every request, which costs more than anything else there: so no more than
 * the limits of exchange.h need. */
#define KS_HTTP_POOL_BYTES ((size_t)20480)
/* An answer that begin has given waits for a body of up to so many bytes, so that the connection can go on; beyond,
 * it ends. */
#define KS_HTTP_SWALLOW_MAX ((size_t)65536)
/* Bodies for a sink, and answers, have a deadline that moves: this rate at least, besides the timeout. */
#define KS_HTTP_BYTES_PER_MS 64
#define KS_HTTP_LOCAL_CONNECTIONS_MAX 64
#define KS_HTTP_LINGER_MAX 64

/** Where a connection stands, as the minder sees it: the low bits of `phase`; the rest counts its requests. */
enum ks_http_phase {
	KS_HTTP_IDLE, /* between requests, or in a request line */
	KS_HTTP_HEAD, /* the request line is in */
	KS_HTTP_BODY,
	KS_HTTP_WORK, /* the request is in, the handler has it */
	KS_HTTP_SEND,
};
#define KS_HTTP_PHASE_BITS 3

/** What the next call of the library is to do; of the connection's own thread. */
enum ks_http_stage {
	KS_HTTP_STAGE_NONE,
	KS_HTTP_STAGE_BEGIN,    /* the head comes */
	KS_HTTP_STAGE_COLLECT,  /* the body comes, for finish */
	KS_HTTP_STAGE_SWALLOW,  /* the body comes, nobody wants it; then the answer goes */
	KS_HTTP_STAGE_ANSWER,   /* finish is done: the answer goes */
	KS_HTTP_STAGE_ABORTED,  /* the same, while the body still comes */
	KS_HTTP_STAGE_ANSWERED,
};

/** How far a pending exchange is; under the server's pending_lock. */
enum ks_http_pending { KS_HTTP_PENDING_NOT, KS_HTTP_PENDING_SUSPENDED, KS_HTTP_PENDING_COMPLETED };

struct ks_conn {
	struct ks_http_server *server;
	struct MHD_Connection *mhd;
	int fd;
	bool local;
	bool tls;
	struct ks_addr peer;
	struct ks_http_credentials *credentials; /* of TLS; referenced */
	pthread_t thread;                        /* that serves it */

	/* The request, of the thread alone. */
	enum ks_http_stage stage;
	bool begun;       /* handler->begin has run, closed is owed */
	bool body_coming; /* the head announced one */
	bool early;       /* answered before the body was read: the connection ends with that */
	bool linger;      /* may end with input unread: close slowly, so that the answer arrives */
	bool target_cut;  /* target_n is true, the bytes are not all here */
	const char *target_at; /* in the library's buffer */
	size_t target_n;
	const char *head_at;   /* the same */
	size_t head_n;
	struct MHD_Response *response; /* one whose headers are wiped when it is sent; NULL */
	struct ks_str traceparent;
	char *body;
	size_t body_n, body_cap;
	size_t body_most; /* as announced, or else allowed */
	enum ks_http_pending pending;

	/* Told to the minder. */
	_Atomic uint64_t phase;
	_Atomic uint64_t consumed;     /* bytes of finished heads and of bodies; exact unless `inexact` */
	_Atomic bool inexact;          /* bytes came that are not counted: TLS, chunks */
	_Atomic uint64_t body_seen;    /* of this request */
	_Atomic uint64_t answer_bytes; /* of this request */
	_Atomic bool unhurried;        /* the body goes to a sink */

	/* The minder's own. */
	bool live;             /* the library serves it */
	bool cut;              /* shut down already */
	bool ending;           /* was idle too long, or is to stop: nothing more is read of it */
	bool started;          /* the first byte of request `seen` was noticed */
	bool baseline_known;
	uint64_t baseline;     /* bytes that had come when the connection became idle */
	uint64_t seen;         /* `phase` at the last look */
	int64_t seen_ms;       /* when it became so */
	int64_t started_ms;
	uint64_t acknowledged; /* bytes of answers that the other end has taken */
	int64_t acknowledged_ms;

	struct ks_exchange exchange;
	char target[KS_TARGET_MAX];
};

/** A socket that the library has closed, drained until the other end closes too, so that the answer is not lost to a
 * reset. */
struct ks_http_linger {
	int fd;
	int64_t until_ms;
};

enum ks_http_stopping { KS_HTTP_RUNS, KS_HTTP_DRAINS, KS_HTTP_CUTS };

struct ks_http_server {
	struct ks_http_options options; /* texts are copies */
	struct ks_handler handler;
	struct MHD_Daemon *tcp;   /* NULL: no TCP */
	struct MHD_Daemon *local; /* NULL: no local socket */
	int listen_fd;            /* the minder's once it runs */
	int local_fd;
	int wake_fd;
	unsigned port;
	bool old_library;         /* libmicrohttpd before 1.0: see conn.c */
	struct ks_http_tls *tls;  /* NULL: plain */

	pthread_t minder;
	bool minder_runs;
	_Atomic int stopping;     /* enum ks_http_stopping */
	_Atomic bool minder_quits;
	int64_t accept_again_ms;  /* the minder's: no descriptors were left until then */

	/* Under registry_lock. It is held while a socket is shut down and while it is unregistered, which comes
	 * before its close: so no other file that got the same descriptor is ever hit. No other lock is taken inside.
	 */
	pthread_mutex_t registry_lock;
	pthread_cond_t registry_empty;
	struct ks_conn **by_fd;
	size_t by_fd_size;
	size_t by_fd_used;        /* beyond: empty */
	unsigned tcp_open, local_open;
	uint64_t connections_total;
	uint64_t requests_closed; /* of connections gone */
	struct ks_peers peers;
	struct ks_http_linger lingers[KS_HTTP_LINGER_MAX];
	size_t linger_count;

	/* Under pending_lock; inside it the library's own locks are taken. */
	pthread_mutex_t pending_lock;
	pthread_cond_t pending_done;
	size_t pending;
	bool no_more_pending;     /* the workers are being joined: wait instead of suspending */

	_Atomic uint64_t refused_total;
	_Atomic size_t body_total;
};

/* conn.c: the library's callbacks. ctx is the server. */
enum MHD_Result ks_conn_handle(void *ctx, struct MHD_Connection *mhd, const char *url, const char *method,
			       const char *version, const char *data, size_t *data_size, void **request_ctx);
void *ks_conn_uri(void *ctx, const char *uri, struct MHD_Connection *mhd);
void ks_conn_request_done(void *ctx, struct MHD_Connection *mhd, void **request_ctx,
			  enum MHD_RequestTerminationCode how);
void ks_conn_log(void *ctx, const char *format, va_list arguments);
/** Before it is asked for what may have to be awaited. */
void ks_conn_expect(struct ks_conn *c);
/** True: what is waited for has come. False: the connection is suspended until it does. */
KS_MUST_USE bool ks_conn_await(struct ks_conn *c);
void ks_conn_set_phase(struct ks_conn *c, enum ks_http_phase phase);
void ks_conn_refused(struct ks_conn *c, enum ks_http_refusal refusal);

/* body.c: collecting the body within its limits. */
KS_MUST_USE enum ks_http_refusal ks_conn_body_add(struct ks_conn *c, struct ks_str piece);
void ks_conn_body_free(struct ks_conn *c);

/* answer.c: the exchange's answer, to the library or past it. */
/** Hands the answer to the library. False: it cannot be sent, end the connection. */
KS_MUST_USE bool ks_conn_answer(struct ks_conn *c);
/** Lets go of an answer that was sent, and wipes its headers where they were secret. */
void ks_conn_answer_free(struct ks_conn *c);
/** Writes the answer straight to the socket, and its end: the library takes no answer while a body is coming, or when
 * it has one of its own. */
void ks_conn_answer_past(struct ks_conn *c);
/** Makes the exchange's answer the problem of `refusal`. */
void ks_conn_answer_problem(struct ks_conn *c, enum ks_http_refusal refusal);
/** The same for a handler that failed to answer: 500. */
void ks_conn_answer_internal(struct ks_conn *c);

/* registry.c: which connections there are. */
KS_MUST_USE enum ks_err ks_registry_init(struct ks_http_server *server);
void ks_registry_free(struct ks_http_server *server);
/** Takes over `fd` and gives it to the library, or closes it. The minder's. */
void ks_registry_admit(struct ks_http_server *server, int fd, const struct sockaddr *address, socklen_t address_size,
		       bool local);
/** The library's notification; ctx is the server. */
void ks_registry_notify(void *ctx, struct MHD_Connection *mhd, void **socket_ctx,
			enum MHD_ConnectionNotificationCode what);

/* minder.c: the thread that accepts, and cuts what is late. */
KS_MUST_USE enum ks_err ks_minder_start(struct ks_http_server *server);
void ks_minder_wake(const struct ks_http_server *server);
void ks_minder_join(struct ks_http_server *server);
/** Milliseconds of the monotonic clock. */
int64_t ks_minder_now(void);

/* deadline.c: called by the minder, with registry_lock held. */
/** Shuts `c` down if one of its deadlines has passed by `now_ms`; true if it did, so that it can be told. */
KS_MUST_USE bool ks_deadline_look(const struct ks_http_server *server, struct ks_conn *c, int64_t now_ms, int stopping);

/* listen.c: listening sockets. */
KS_MUST_USE enum ks_err ks_listen_tcp(const char *text, int *ret_fd, unsigned *ret_port, const char **ret_problem);
KS_MUST_USE enum ks_err ks_listen_local(const char *path, int *ret_fd, const char **ret_problem);
/** Whether the other end of a local connection is this process's user, or root. */
bool ks_listen_peer_ok(int fd);

/* stamp.c: what every answer carries; state is the thread's. */
/** Writes 32 hexadecimal digits and a terminator. Not secret, and not to be guessed either by accident or by counting.
 */
void ks_stamp_request_id(char ret_id[KS_REQUEST_ID_MAX + 1]);
/** "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7) of `now_ms`; valid until the thread's next call. */
struct ks_str ks_stamp_date(int64_t now_ms);
int64_t ks_stamp_now(void);
