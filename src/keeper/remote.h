/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the keeper to a key management service. The keeper opens no sockets: the service connects, to the one address that
 * its settings name and by the rules of fetch/guard.h, and hands the connection over; TLS ends here. One thread. */
#pragma once

#include "keeper/child_priv.h"

#define KS_REMOTE_HEADERS_MAX 8
#define KS_REMOTE_ANSWER_MAX 16384

struct ks_remote_header {
	const char *name;
	struct ks_str value;
};

struct ks_remote_request {
	const char *url;
	struct ks_remote_header headers[KS_REMOTE_HEADERS_MAX];
	size_t header_count;
	struct ks_str body;
};

/* Before the sandbox: the library is brought up, and authorities are read (`ca_file` empty: the system's). */
enum ks_err ks_remote_open(const char *ca_file, struct ks_child_problem *ret_problem);
/* POST. KS_KMS: there was no whole answer; else its status and body. */
enum ks_err ks_remote_post(const struct ks_remote_request *request, long *ret_status, struct ks_buf *ret_body);
