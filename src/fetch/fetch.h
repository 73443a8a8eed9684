/* SPDX-License-Identifier: Apache-2.0 */
/** Requests of the service to others over HTTP: issuers' keys, identity providers, and whatever else a tenant names the
 * address of. Every request is bounded in time and size, follows no redirect unless asked, takes no proxy, and reaches
 * no address that the guard (fetch/guard.h) speaks against, by literal, by name or after a name changed its mind: what
 * is judged is the address that the socket connects to. The operator lists ranges that are reached all the same; they
 * alone may be spoken to without TLS. Threads: any number may fetch at once; each waits in its own call. */
#pragma once

#include "base/addr.h"
#include "base/err.h"

#define KS_FETCH_URL_MAX 2048          /* bytes */
#define KS_FETCH_ALLOW_MAX 32          /* ranges */
#define KS_FETCH_HEADERS_MAX 16        /* of a request */
#define KS_FETCH_HEADER_MAX 16384      /* bytes of one request header */
#define KS_FETCH_HEAD_MAX 32768        /* bytes of all header lines of an answer */
#define KS_FETCH_LINE_MAX 8192         /* bytes of one of them */
#define KS_FETCH_WANT_MAX 4            /* headers of the answer that are kept */
#define KS_FETCH_WANT_VALUE_MAX 256    /* bytes of the value of one, else it counts as absent */
#define KS_FETCH_REDIRECTS_MAX 5
#define KS_FETCH_BODY_MAX (16u << 20)  /* bytes, whatever a request says */
#define KS_FETCH_TIMEOUT_MAX_MS 300000u
#define KS_FETCH_IDLE_MAX 64u          /* transfers kept at rest, each with the connections that it has */

/** How a request ended: X(name, code, text). The codes are stable and may be shown; none of them tells an address. */
#define KS_FETCH_RESULTS(X)                                                                         \
	X(OK, "ok", "answered")                                                                     \
	X(URL, "url_refused", "the URL is not one that is fetched")                                 \
	X(ADDRESS, "address_refused", "the address is not one that is reached")                     \
	X(NAME, "name_unknown", "the name of the host is not known")                                \
	X(CONNECT, "connect_failed", "no connection could be made")                                 \
	X(TLS, "tls_failed", "no trusted TLS connection could be made")                             \
	X(TIMEOUT, "timeout", "there was no whole answer in time")                                  \
	X(TOO_LARGE, "too_large", "the answer is larger than its limit")                            \
	X(BROKEN, "answer_broken", "the answer ended early or is not HTTP")                         \
	X(STOPPED, "stopped", "the service is stopping")                                            \
	X(MEMORY, "memory", "out of memory")

enum ks_fetch_result {
#define X(name, code, text) KS_FETCH_##name,
	KS_FETCH_RESULTS(X)
#undef X
	KS_FETCH_RESULT_COUNT
};

const char *ks_fetch_code(enum ks_fetch_result result);
const char *ks_fetch_text(enum ks_fetch_result result);

struct ks_fetch;

struct ks_fetch_options {
	struct ks_cidr allow[KS_FETCH_ALLOW_MAX]; /* ranges that are reached though the guard speaks against them */
	size_t allow_count;
	const char *ca_file; /* authorities (PEM); NULL: the system's. Copied */
	unsigned connect_ms; /* at most this long until a connection stands; 0: as the whole request */
	unsigned idle_max;   /* transfers kept for the next request, at most KS_FETCH_IDLE_MAX; 0: 8 */
	/** Told on the thread that fetches, around each wait for the other side: that it begins, and that it is over.
	 * NULL: nobody is told. Not of ks_fetch_connect and many.h. */
	void (*on_wait)(void *ctx, bool begins);
	void *on_wait_ctx;
};

/** KS_MEMORY, KS_CRYPTO (the transfer library has no TLS). */
KS_MUST_USE enum ks_err ks_fetch_new(const struct ks_fetch_options *options, struct ks_fetch **ret_fetch);
/** Ends what is under way with KS_FETCH_STOPPED, and whatever comes later. Any thread; does not wait. */
void ks_fetch_stop(struct ks_fetch *fetch);
/** Takes NULL. No thread may be within ks_fetch_do. */
void ks_fetch_free(struct ks_fetch **fetch);

struct ks_fetch_header {
	struct ks_str name;
	struct ks_str value;
};

/** Borrowed for the call. */
struct ks_fetch_request {
	const char *method;                    /* "GET", "POST", … */
	struct ks_str url;                     /* https; http where the address lies in an allowed range */
	/** Sent to the origin of `url` alone, not after a redirect elsewhere. */
	struct ks_fetch_header headers[KS_FETCH_HEADERS_MAX];
	size_t header_count;
	struct ks_str body;                    /* empty: none. A redirect is followed without one only */
	size_t body_max;                       /* bytes of the answer's body; more is KS_FETCH_TOO_LARGE */
	bool cut;                              /* more is left unread instead: the answer is what came until then */
	unsigned timeout_ms;                   /* for all of it, redirects included */
	unsigned redirects_max;                /* 0: a redirect is an answer like any other */
	const char *want[KS_FETCH_WANT_MAX];   /* names of headers to keep; NULL: no more */
};

struct ks_fetch_response {
	int status;
	char *body;                            /* terminated; wiped and freed by ks_fetch_response_free */
	size_t body_n;
	/** Of `want`, in its order; "" where absent; of repeated ones the first. */
	char values[KS_FETCH_WANT_MAX][KS_FETCH_WANT_VALUE_MAX];
	char address[KS_ADDR_TEXT_SIZE];       /* that was connected to */
	unsigned elapsed_ms;
};

/** Makes the request and waits for the answer, of whatever status. Anything but KS_FETCH_OK: *ret_response is zero but
 * for elapsed_ms and address. Not to be called on a thread that serves HTTP or writes the truth. */
enum ks_fetch_result ks_fetch_do(struct ks_fetch *fetch, const struct ks_fetch_request *request,
				 struct ks_fetch_response *ret_response);
void ks_fetch_response_free(struct ks_fetch_response *response);

/** What can be said of a URL before its name is looked up: absolute, of a scheme that may be fetched, with a host,
 * without user information or fragment, of sane characters and length, and no literal address that is refused.
 * KS_FETCH_OK, KS_FETCH_URL, KS_FETCH_ADDRESS. Any thread. */
enum ks_fetch_result ks_fetch_url_check(const struct ks_fetch *fetch, struct ks_str url);

/** Connects by TCP for another protocol than HTTP, or for another process: `host` is a name or an address. Without `tls` (whether
 * the caller will speak it) allowed ranges alone are reached. *ret_fd is non-blocking, close-on-exec and the caller's. KS_FETCH_NAME,
 * KS_FETCH_ADDRESS, KS_FETCH_CONNECT. Looking a name up takes as long as the system's resolver takes. */
enum ks_fetch_result ks_fetch_connect(struct ks_fetch *fetch, struct ks_str host, unsigned port, bool tls, unsigned timeout_ms,
				      int *ret_fd);
