/* SPDX-License-Identifier: Apache-2.0 */
/** The strict layer: whether the head of a request can be read in one way only. Pure: no library, no clock, no
 * allocation. */
#pragma once

#include "http/exchange.h"
#include "http/server.h"

enum ks_http_refusal {
	KS_HTTP_REFUSED_NOT, /* the request is fine */
#define X(name) KS_HTTP_REFUSED_##name,
	KS_HTTP_REFUSALS(X)
#undef X
	KS_HTTP_REFUSED_COUNT
};

/** What is told of a refusal. Static; valid for every value but KS_HTTP_REFUSED_NOT. */
struct ks_http_refusal_info {
	const char *name;   /* as given to on_refused */
	int status;         /* of the answer; 0 where the connection just ends */
	const char *code;   /* of the problem document */
	const char *detail;
};
const struct ks_http_refusal_info *ks_http_refusal_info(enum ks_http_refusal refusal);

/** A request's head as the carrier has split it. Names and values are as sent, but for blanks before the value. */
struct ks_http_head {
	struct ks_str method;
	struct ks_str target;
	struct ks_str version; /* "HTTP/1.1" */
	const struct ks_header *headers;
	size_t header_count;
};

/** What the head says of framing and tracing. Pointers lead into head->headers; NULL: there is no such header, or more
 * than one. */
struct ks_http_facts {
	bool chunked;
	uint64_t length; /* Content-Length; 0 without one */
	const struct ks_header *request_id;
	const struct ks_header *traceparent;
};

/** KS_HTTP_REFUSED_NOT (and *ret_facts), or why the head is refused: anything that RFC 9112 leaves to a recipient's
 * leniency, and that therefore two recipients may read two ways (sections 2.2, 3, 5.1, 6.3 and 11.2), or that is
 * larger than its limit. */
KS_MUST_USE enum ks_http_refusal ks_http_strict(const struct ks_http_head *head, struct ks_http_facts *ret_facts);

/** Whether the parts of `head` tile the raw bytes they were cut from: method SP target SP version CRLF, then for each
 * header name ":" blanks value CRLF, then CRLF, where all but the blanks between the parts has been overwritten with
 * zeros, and nothing is left. A part that leads elsewhere is refused. libmicrohttpd 0.9 cuts its buffer in place in
 * just this way, so whatever it has cut off (a NUL and what follows), joined (a folded line), or taken for a line's
 * end (a bare LF) leaves a gap here. What leaves none is a NUL in the very place of a CR or LF. */
KS_MUST_USE enum ks_http_refusal ks_http_seams(const struct ks_http_head *head, const char *raw_at, size_t raw_size);

/** What the value of a header may hold (RFC 9110 section 5.5): visible characters, blanks, tabs, and bytes above
 * ASCII. */
bool ks_http_value_ok(struct ks_str value);

/** 1 to KS_REQUEST_ID_MAX of A-Z a-z 0-9 . _ - */
bool ks_http_request_id_ok(struct ks_str text);

/** A traceparent of version 00 as W3C Trace Context 3.2 writes it. */
bool ks_http_traceparent_ok(struct ks_str text);
