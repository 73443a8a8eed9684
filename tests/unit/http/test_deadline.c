/* SPDX-License-Identifier: Apache-2.0 */
/* When a connection is cut, with the clock and the phases given by hand. The connection is a local one: what the
 * kernel counts of TCP is tested over the wire (tests/http/test_time.py). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/conn.h"

#define IDLE_MS 1000
#define REQUEST_MS 200

static struct ks_http_server server;
static struct ks_conn conn;
static int other_end;

static int open_conn(void **state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	memset(&conn, 0, sizeof(conn));
	server.options = (struct ks_http_options){.idle_timeout_ms = IDLE_MS, .request_timeout_ms = REQUEST_MS};
	conn.server = &server;
	conn.local = true;
	conn.live = true;
	conn.fd = pair[0];
	other_end = pair[1];
	return 0;
}

static int close_conn(void **state)
{
	(void)state;
	close(conn.fd);
	close(other_end);
	return 0;
}

static void become(uint64_t request, enum ks_http_phase phase)
{
	atomic_store(&conn.phase, request << KS_HTTP_PHASE_BITS | phase);
}

static bool look(int64_t now_ms)
{
	return ks_deadline_look(&server, &conn, now_ms, KS_HTTP_RUNS);
}

static bool is_cut(void)
{
	char byte;

	return recv(other_end, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Nothing more can be sent to it. */
static bool is_ending(void)
{
	return send(other_end, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
}

static void an_idle_connection(void **state)
{
	(void)state;
	assert_false(look(0));
	assert_false(look(IDLE_MS - 1));
	assert_false(is_ending());
	/* Not told as late: nothing was asked. */
	assert_false(look(IDLE_MS));
	assert_true(is_ending());
	assert_false(is_cut());
}

/* It comes while the connection is being ended: it is read and answered, within its own deadline. */
static void a_request_at_the_last_moment(void **state)
{
	char bytes[8];

	(void)state;
	assert_int_equal(send(other_end, "GET", 3, 0), 3);
	assert_false(look(0));
	assert_false(look(IDLE_MS));
	assert_true(is_ending());
	assert_int_equal(recv(conn.fd, bytes, sizeof(bytes), 0), 3);
	assert_int_equal(recv(conn.fd, bytes, sizeof(bytes), 0), 0);
	become(1, KS_HTTP_SEND);
	assert_false(look(IDLE_MS + 1));
	assert_int_equal(send(conn.fd, "200", 3, 0), 3);
	assert_int_equal(recv(other_end, bytes, sizeof(bytes), 0), 3);
	assert_true(look(IDLE_MS + 1 + REQUEST_MS));
	assert_true(is_cut());
}

static void a_slow_head(void **state)
{
	(void)state;
	become(1, KS_HTTP_HEAD);
	assert_false(look(0));
	assert_false(look(REQUEST_MS - 1));
	assert_true(look(REQUEST_MS));
	assert_true(is_cut());
	assert_false(look(REQUEST_MS + 1));
}

/* The clock does not start again with the body. */
static void a_slow_body_after_a_slow_head(void **state)
{
	(void)state;
	become(1, KS_HTTP_HEAD);
	assert_false(look(0));
	become(1, KS_HTTP_BODY);
	assert_false(look(REQUEST_MS / 2));
	assert_false(look(REQUEST_MS - 1));
	assert_true(look(REQUEST_MS));
}

/* It does with the next request, also when nobody looked in between. */
static void the_next_request_has_its_own_time(void **state)
{
	(void)state;
	become(1, KS_HTTP_HEAD);
	assert_false(look(0));
	become(2, KS_HTTP_HEAD);
	assert_false(look(REQUEST_MS - 1));
	assert_false(look(2 * REQUEST_MS - 2));
	become(2, KS_HTTP_IDLE);
	assert_false(look(2 * REQUEST_MS - 1));
	become(3, KS_HTTP_BODY);
	assert_false(look(10 * REQUEST_MS));
	assert_false(look(11 * REQUEST_MS - 1));
	assert_true(look(11 * REQUEST_MS));
}

/* What was noticed by its first byte goes on when its first line is in. */
static void a_request_line_counts(void **state)
{
	(void)state;
	assert_false(look(0));
	conn.started = true;
	conn.started_ms = 10;
	become(1, KS_HTTP_HEAD);
	assert_false(look(REQUEST_MS + 9));
	assert_true(look(REQUEST_MS + 10));
}

static void a_handler_may_take_its_time(void **state)
{
	(void)state;
	become(1, KS_HTTP_HEAD);
	assert_false(look(0));
	become(1, KS_HTTP_WORK);
	assert_false(look(1));
	assert_false(look(100 * IDLE_MS));
	assert_false(is_cut());
}

static void a_body_for_a_sink_has_time_by_its_size(void **state)
{
	(void)state;
	become(1, KS_HTTP_BODY);
	atomic_store(&conn.body_seen, 1000 * KS_HTTP_BYTES_PER_MS);
	assert_false(look(0));
	assert_true(look(REQUEST_MS));
	conn.cut = false;
	atomic_store(&conn.unhurried, true);
	assert_false(look(REQUEST_MS + 999));
	assert_true(look(REQUEST_MS + 1000));
}

static void a_slow_sink_is_not_the_clients(void **state)
{
	(void)state;
	become(1, KS_HTTP_BODY);
	assert_false(look(0));
	become(1, KS_HTTP_WORK);
	assert_false(look(100));
	become(1, KS_HTTP_BODY);
	assert_false(look(10100));
	assert_false(look(10000 + REQUEST_MS - 1));
	assert_true(look(10000 + REQUEST_MS));
}

static void an_answer_has_time_by_its_size(void **state)
{
	(void)state;
	become(1, KS_HTTP_SEND);
	atomic_store(&conn.answer_bytes, 500 * KS_HTTP_BYTES_PER_MS);
	assert_false(look(0));
	assert_false(look(REQUEST_MS + 499));
	assert_true(look(REQUEST_MS + 500));
}

static void while_draining(void **state)
{
	(void)state;
	become(1, KS_HTTP_HEAD);
	assert_false(ks_deadline_look(&server, &conn, 0, KS_HTTP_DRAINS));
	assert_false(is_cut());
	become(1, KS_HTTP_IDLE);
	assert_false(ks_deadline_look(&server, &conn, 1, KS_HTTP_DRAINS));
	assert_true(is_ending());
	assert_false(ks_deadline_look(&server, &conn, 2, KS_HTTP_CUTS));
	assert_true(is_cut());
}

static void when_all_are_cut(void **state)
{
	(void)state;
	become(1, KS_HTTP_WORK);
	assert_false(ks_deadline_look(&server, &conn, 0, KS_HTTP_CUTS));
	assert_true(is_cut());
}

/* Its descriptor may be another file's by now. */
static void what_the_library_has_not_begun(void **state)
{
	(void)state;
	conn.live = false;
	become(1, KS_HTTP_HEAD);
	assert_false(look(0));
	assert_false(look(1000 * IDLE_MS));
	assert_false(ks_deadline_look(&server, &conn, 0, KS_HTTP_CUTS));
	assert_false(is_cut());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_conn, close_conn)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_connection),
		TEST(a_request_at_the_last_moment),
		TEST(a_slow_head),
		TEST(a_slow_body_after_a_slow_head),
		TEST(the_next_request_has_its_own_time),
		TEST(a_request_line_counts),
		TEST(a_handler_may_take_its_time),
		TEST(a_body_for_a_sink_has_time_by_its_size),
		TEST(a_slow_sink_is_not_the_clients),
		TEST(an_answer_has_time_by_its_size),
		TEST(while_draining),
		TEST(when_all_are_cut),
		TEST(what_the_library_has_not_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
