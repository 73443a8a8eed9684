/* SPDX-License-Identifier: Apache-2.0 */
/** One request and its response, whatever carries them: the HTTP server, or the command line acting without a daemon.
 */
#pragma once

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define KS_HEADERS_MAX 64           /* of a request */
#define KS_HEAD_BYTES_MAX 12288     /* target, names and values together */
#define KS_TARGET_MAX 8192          /* path and query */
#define KS_ANSWER_HEADERS_MAX 24
#define KS_ANSWER_TEXT_MAX 8192     /* values of response headers, small bodies */
#define KS_CLIENT_CERTS_MAX 8
#define KS_REQUEST_ID_MAX 64
#define KS_BODY_MAX (1u << 20)      /* unless the handler says otherwise */

struct ks_header {
	struct ks_str name;
	struct ks_str value;
};

#define KS_PIECE_MAX (256u << 10)   /* of what a sink is given at once */

/** Takes a body piece by piece (imports). KS_OK: go on. KS_BUSY: nothing of this piece was taken; the carrier reads no
 * more from the client and offers the same piece again once ks_exchange_resume was called, which may have happened
 * before the sink returned. Anything else: the body is not wanted any more, and the handler's finish answers. The
 * carrier calls it without holding anything that resume or complete take. */
typedef enum ks_err ks_body_sink(void *ctx, struct ks_str piece);

/** Gives more of an answer whose length is not known: at least one byte, at most `cap`. KS_OK: *ret_n. KS_NOT_FOUND: that was
 * all. KS_BUSY: there is nothing yet, and the carrier asks again once ks_exchange_resume was called, which may have happened
 * before the source returned. Anything else: the answer breaks off, so that its reader knows that it is not whole. It must
 * not block where the exchange has a `resume`. Not called any more after `closed`. */
typedef enum ks_err ks_answer_source(void *ctx, char *ret_bytes, size_t cap, size_t *ret_n);

struct ks_exchange {
	/* The request: borrowed from the carrier until the exchange is closed. */
	struct ks_str method;
	struct ks_str target;               /* raw: path and query as sent */
	struct ks_header headers[KS_HEADERS_MAX];
	size_t header_count;
	struct ks_str body;                 /* whole, in finish; empty where a sink took it */
	struct ks_addr peer;                /* the connection's other end */
	bool peer_known;                    /* false for the local socket */
	bool local;                         /* came through the local socket, its owner's alone: acts as the operator */
	bool tls;
	struct ks_str client_certs[KS_CLIENT_CERTS_MAX]; /* that the client presented over TLS, DER, its own first */
	size_t client_cert_count;           /* whether an authority vouches for them is another question */
	int64_t now_ms;                     /* wall clock when the headers were complete */
	char request_id[KS_REQUEST_ID_MAX + 1]; /* the caller's if sane, else made */

	/* Set by begin. */
	size_t body_max;                    /* larger bodies are answered 413 by the carrier */
	ks_body_sink *sink;                 /* NULL: collect the body */
	void *sink_ctx;

	/* The response: set by begin (status != 0 answers at once, without reading the body), finish, or before
	 * ks_exchange_complete. */
	int status;
	struct ks_header answer_headers[KS_ANSWER_HEADERS_MAX];
	size_t answer_header_count;
	struct ks_str answer_body;          /* in `text`, static, or in `heap` */
	ks_answer_source *source;           /* gives the body instead; NULL: answer_body is it */
	void *source_ctx;
	char *heap;                         /* freed (wiped where `wipe` is set) after sending; NULL: none */
	bool wipe;                          /* the body holds a secret */
	bool close;                         /* end the connection afterwards */
	struct ks_buf text;                 /* over text_bytes: room for header values and small bodies */
	char text_bytes[KS_ANSWER_TEXT_MAX];

	/* The handler's own state of a pending exchange. */
	void *state;
	/* The carrier's. */
	void (*complete)(struct ks_exchange *exchange);
	/* NULL: this carrier's thread may wait, so a sink or source waits itself and never says KS_BUSY. */
	void (*resume)(struct ks_exchange *exchange);
	void *carrier;
};

/** Empties everything but the big arrays; sets body_max. */
void ks_exchange_init(struct ks_exchange *exchange);

/** The one header of this name (ASCII case ignored); empty where there is none. *ret_count (may be NULL) gets how many
 * there are; the first is returned. */
struct ks_str ks_exchange_header(const struct ks_exchange *exchange, struct ks_str name, size_t *ret_count);

/** Path and query of the target (query without the question mark). */
struct ks_str ks_exchange_path(const struct ks_exchange *exchange);
struct ks_str ks_exchange_query(const struct ks_exchange *exchange);

/** Adds a response header. `name` must be static; `value` must stay (static, or in exchange->text, or in heap).
 * Ignored beyond the maximum. */
void ks_exchange_answer_header(struct ks_exchange *exchange, struct ks_str name, struct ks_str value);

/** Answers a pending exchange, once, from any thread. Nothing of the exchange may be touched afterwards. */
void ks_exchange_complete(struct ks_exchange *exchange);

/** Goes on with a body whose sink, or an answer whose source, said KS_BUSY, once for each time that it did; from any thread, without waiting, also
 * before the sink has returned. Not after `closed`. */
void ks_exchange_resume(struct ks_exchange *exchange);

/** What serves exchanges. `begin` runs when the headers are in, `finish` when the body is; both on the carrier's
 * threads, never two at a time for one exchange. Neither blocks on a write: such work answers later (PENDING).
 * `closed` runs once in the end, also when the client went away after PENDING was completed. */
enum ks_finish { KS_FINISH_DONE, KS_FINISH_PENDING };

struct ks_handler {
	void *ctx;
	void (*begin)(void *ctx, struct ks_exchange *exchange);
	enum ks_finish (*finish)(void *ctx, struct ks_exchange *exchange);
	void (*closed)(void *ctx, struct ks_exchange *exchange);
};
