/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/remote.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 10000L
#define CA_MAX (4u << 20)
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

static struct {
	CURL *easy;
	char *ca;
	size_t ca_n;
	struct ks_buf *body;       /* of the request under way */
} remote;

/* ---- connections ---- */

/* Asks the service for one; -1: there is none. */
static int ask_for_connection(void)
{
	char byte = 1;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd = -1;

	if (send(KS_CHILD_CONNECT_FD, &byte, 1, MSG_NOSIGNAL) != 1 || recvmsg(KS_CHILD_CONNECT_FD, &m, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)ctx;
	(void)purpose;
	(void)address;
	return ask_for_connection();
}

static int on_connected(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	(void)ctx;
	(void)fd;
	(void)purpose;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static curl_socket_t no_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)ctx;
	(void)purpose;
	(void)address;
	return CURL_SOCKET_BAD;
}

/* ---- a request ---- */

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct ks_buf *body = ctx;

	ks_buf_put(body, ks_str_of(p, size * n));
	return ks_buf_ok(body) ? size * n : 0;
}

#define SET(option, value) (void)curl_easy_setopt(remote.easy, (option), (value))

static void set_up(void)
{
	struct curl_blob ca = {remote.ca, remote.ca_n, CURL_BLOB_NOCOPY};

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_MAXCONNECTS, 1L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_CAINFO_BLOB, &ca);
	/* Where the connection leads is the service's to say: no name is looked up here. */
	SET(CURLOPT_SOCKOPTFUNCTION, on_connected);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_POST, 1L);
}

static struct curl_slist *add_header(struct curl_slist *list, const struct ks_remote_header *h, bool *ok)
{
	char line[4096];
	struct ks_buf b = KS_BUF(line);
	struct curl_slist *longer;

	ks_buf_put_c(&b, h->name);
	ks_buf_put_c(&b, ": ");
	ks_buf_put(&b, h->value);
	*ok = *ok && ks_buf_ok(&b);
	longer = *ok ? curl_slist_append(list, ks_buf_z(&b)) : NULL;
	ks_wipe(line, b.n);
	*ok = longer != NULL;
	return longer ? longer : list;
}

static void free_headers(struct curl_slist *list)
{
	for (struct curl_slist *i = list; i; i = i->next)
		ks_wipe(i->data, strlen(i->data));
	curl_slist_free_all(list);
}

enum ks_err ks_remote_post(const struct ks_remote_request *request, long *ret_status, struct ks_buf *ret_body)
{
	static const struct ks_remote_header quiet = {"Expect", {"", 0}};
	struct curl_slist *to = curl_slist_append(NULL, "::127.0.0.1:"), *headers = NULL;
	bool ok = to != NULL;
	CURLcode code = CURLE_OUT_OF_MEMORY;

	headers = add_header(headers, &quiet, &ok);
	for (size_t i = 0; i < request->header_count; i++)
		headers = add_header(headers, &request->headers[i], &ok);
	if (ok) {
		SET(CURLOPT_URL, request->url);
		SET(CURLOPT_CONNECT_TO, to);
		SET(CURLOPT_HTTPHEADER, headers);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n);
		SET(CURLOPT_POSTFIELDS, request->body.p);
		SET(CURLOPT_WRITEDATA, ret_body);
		SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
		code = curl_easy_perform(remote.easy);
		SET(CURLOPT_HTTPHEADER, NULL);
		SET(CURLOPT_CONNECT_TO, NULL);
		SET(CURLOPT_POSTFIELDS, NULL);
	}
	free_headers(headers);
	curl_slist_free_all(to);
	if (code != CURLE_OK || curl_easy_getinfo(remote.easy, CURLINFO_RESPONSE_CODE, ret_status) != CURLE_OK)
		return KS_KMS;
	return KS_OK;
}

/* ---- the start ---- */

static enum ks_err read_authorities(const char *path, struct ks_child_problem *problem)
{
	size_t n = 0;
	bool ok;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	remote.ca = malloc(CA_MAX);
	ok = fd >= 0 && remote.ca && ks_child_read_whole(fd, remote.ca, CA_MAX, &n) && n > 0;
	if (fd >= 0)
		close(fd);
	remote.ca_n = n;
	return ok ? KS_OK : ks_child_problem(problem, KS_NOT_FOUND, "%s: no authorities can be read there", path);
}

enum ks_err ks_remote_open(const char *ca_file, struct ks_child_problem *ret_problem)
{
	if (remote.easy)
		return KS_OK;
	/* Certificates' times are read with the local time zone, whose file is looked at each time: none is. */
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	KS_TRY(read_authorities(ca_file[0] ? ca_file : SYSTEM_CA, ret_problem));
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, ks_wiped_free, ks_wiped_realloc, strdup, calloc) != CURLE_OK)
		return KS_CRYPTO;
	remote.easy = curl_easy_init();
	if (!remote.easy)
		return KS_MEMORY;
	set_up();
	/* A request that comes to nothing makes the library make what it will not be let make later. */
	SET(CURLOPT_URL, "https://127.0.0.1/");
	SET(CURLOPT_OPENSOCKETFUNCTION, no_socket);
	(void)curl_easy_perform(remote.easy);
	return KS_OK;
}
