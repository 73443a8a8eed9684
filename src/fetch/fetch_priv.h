/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "fetch/fetch.h"

/* One transfer at a time, with the connections that it keeps for the next. */
struct ks_transfer {
	struct ks_fetch *fetch;
	CURL *easy;
	CURLM *multi;
	const struct ks_fetch_request *request;
	struct ks_fetch_response *response;
	uint64_t origin;     /* mix of where it was sent last: a connection to there may stand */
	size_t body_cap;
	size_t head_bytes;
	bool plain;          /* http: allowed ranges alone */
	bool refused;        /* the guard spoke against an address */
	bool too_large;
	bool no_memory;
	bool cut;            /* more of the body than was asked for was left unread */
	struct curl_slist *headers; /* of the request under way */
	struct ks_transfer *next, *prev; /* those under way, or (next alone) those that rest */
};

#define KS_TRANSFERS_IDLE 8

struct ks_fetch {
	struct ks_fetch_options options;
	char *ca_file;
	_Atomic bool stopping;
	pthread_mutex_t lock;          /* guards the two lists */
	struct ks_transfer *running;
	struct ks_transfer *idle;
	size_t idle_count;
};

/* Makes one; NULL: no memory. */
struct ks_transfer *ks_transfer_new(struct ks_fetch *fetch);
/* The same without connections of its own, for among many. */
struct ks_transfer *ks_transfer_new_within(struct ks_fetch *fetch);
void ks_transfer_free(struct ks_transfer *transfer);

/* One request to one URL, without redirects, until `deadline_ms` of the monotonic clock. *ret_redirect: heap, where the
 * answer points elsewhere; else NULL. */
enum ks_fetch_result ks_transfer_run(struct ks_transfer *transfer, const struct ks_fetch_request *request,
				     const char *url, bool with_headers, int64_t deadline_ms,
				     struct ks_fetch_response *response, char **ret_redirect);

/* The same in two steps, for whoever drives the handle: prepares it (false: no memory; to be cleared all the same), and
 * tells how it ended. */
bool ks_transfer_begin(struct ks_transfer *transfer, const struct ks_fetch_request *request, const char *url, bool with_headers,
		       int64_t left_ms, struct ks_fetch_response *response);
enum ks_fetch_result ks_transfer_end(struct ks_transfer *transfer, CURLcode code, char **ret_redirect);
/* Forgets what was prepared. */
void ks_transfer_clear(struct ks_transfer *transfer);

/* True if a request may be sent as it is. */
bool ks_fetch_request_ok(const struct ks_fetch_request *request);

/* Connects to where `url` leads and no more, within `left_ms`; the connection stays until ks_transfer_disconnect.
 * `on_socket` (of libcurl's kind) judges each address. */
enum ks_fetch_result ks_transfer_connect(struct ks_transfer *transfer, const char *url, int left_ms,
					 curl_opensocket_callback on_socket, void *ctx);
void ks_transfer_disconnect(struct ks_transfer *transfer);

/* Puts it among those that a stop ends, and takes it out again. */
void ks_transfer_enter(struct ks_transfer *transfer);
void ks_transfer_leave(struct ks_transfer *transfer);

/* False: not an address of the internet. */
bool ks_transfer_address_of(const struct sockaddr *socket_address, struct ks_addr *ret_addr);

/* To be told around each wait, as the options say. */
void ks_fetch_wait_begins(const struct ks_fetch *fetch);
void ks_fetch_wait_ends(const struct ks_fetch *fetch);

int64_t ks_fetch_now_ms(void);
