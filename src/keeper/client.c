/* SPDX-License-Identifier: Apache-2.0 */
/* The service's end: a thread that starts the keeper, reads its answers and starts it anew when it ends; and the way of a
 * request through it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/client_priv.h"

#define TICK_MS 250
#define PAUSE_FIRST_MS 20
#define PAUSE_MAX_MS 2000
#define END_MS 2000             /* for the child to end by itself at a stop */
#define DEFAULT_TIMEOUT_MS 30000
#define DRAIN_MS 2000
#define AWAIT_S 3

int64_t ks_client_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void say(const struct ks_keeper *k, int level, const char *event, const char *text)
{
	if (k->options.log)
		k->options.log(k->options.log_ctx, level, event, text);
}

static void wake(const struct ks_keeper *k)
{
	const uint64_t one = 1;

	(void)!write(k->wake_fd, &one, sizeof(one));
}

/* ---- requests ---- */

/* Slot and turn in one number, so that a late answer finds nobody. */
static uint64_t id_of(const struct ks_keeper *k, size_t slot)
{
	return ((uint64_t)k->slots[slot].turn << 16) | slot;
}

static void finish(struct ks_keeper *k, size_t slot, enum ks_err err, struct ks_str answer)
{
	struct ks_slot *s = &k->slots[slot];
	struct ks_client_call *call = s->call;

	pthread_mutex_lock(&k->lock);
	k->stats.ns_total += (uint64_t)(ks_client_now_ns() - s->begun_ns);
	k->stats.requests[s->message]++;
	k->stats.failed += err != KS_OK;
	k->stats.waiting--;
	s->call = NULL;
	s->turn++;
	s->next = k->free_slot;
	k->free_slot = (uint16_t)slot;
	pthread_mutex_unlock(&k->lock);
	if (call)
		call->done(call, err, answer);
}

/* Whatever waits fails; nothing that was asked of one keeper is answered by the next. */
static void fail_all(struct ks_keeper *k, enum ks_err err)
{
	for (size_t i = 0; i < KS_CLIENT_SLOTS; i++) {
		bool waits;

		pthread_mutex_lock(&k->lock);
		waits = k->slots[i].call != NULL;
		pthread_mutex_unlock(&k->lock);
		if (waits)
			finish(k, i, err, KS_STR(""));
	}
}

/* With the lock held: as much as the socket takes. False: it is broken, which the thread will see. */
static void push(struct ks_keeper *k)
{
	while (k->out.n > k->out_sent) {
		ssize_t n = send(k->fd, &k->out.p[k->out_sent], k->out.n - k->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			break;
		k->out_sent += (size_t)n;
	}
	if (k->out_sent < k->out.n)
		return;
	ks_wipe(k->out.p, k->out.n);
	k->out.n = k->out_sent = 0;
}

/* While the keeper is started again, for a little: whoever comes then need not fail. With the lock held. */
static void await_up(struct ks_keeper *k)
{
	struct timespec until;

	if (pthread_equal(pthread_self(), k->thread))
		return;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AWAIT_S;
	while (k->lasting && !k->stopping && (!k->up || k->again)) {
		if (pthread_cond_timedwait(&k->changed, &k->lock, &until) != 0)
			return;
	}
}

static enum ks_err place(struct ks_keeper *k, struct ks_client_call *call, size_t *ret_slot)
{
	struct ks_slot *s;

	if (k->stopping)
		return KS_STOPPING;
	if ((!k->up || k->again) && call->message != KS_KEEPER_START)
		return KS_KEEPER;
	if (k->free_slot == KS_CLIENT_SLOTS || k->out.cap - k->out.n < KS_KEEPER_HEAD_SIZE + call->size)
		return KS_FULL;
	*ret_slot = k->free_slot;
	s = &k->slots[*ret_slot];
	k->free_slot = s->next;
	s->call = call;
	s->message = call->message;
	s->begun_ns = ks_client_now_ns();
	k->stats.waiting++;
	return KS_OK;
}

enum ks_err ks_client_submit(struct ks_keeper *k, struct ks_client_call *call)
{
	size_t slot = 0, start;
	enum ks_err err;
	bool rest;

	if (call->size > KS_KEEPER_BODY_MAX)
		return KS_TOO_LARGE;
	pthread_mutex_lock(&k->lock);
	if (call->message != KS_KEEPER_START)
		await_up(k);
	err = place(k, call, &slot);
	if (err != KS_OK) {
		k->stats.failed++;
		pthread_mutex_unlock(&k->lock);
		return err;
	}
	start = k->out.n;
	ks_keeper_head_put(&k->out, call->message, KS_OK, id_of(k, slot));
	call->put(call, &k->out);
	ks_keeper_head_close(&k->out, start);
	push(k);
	rest = k->out.n > 0;
	pthread_mutex_unlock(&k->lock);
	if (rest)
		wake(k);
	return KS_OK;
}

/* ---- answers ---- */

static bool take_answer(struct ks_keeper *k, const struct ks_keeper_head *head, struct ks_str body)
{
	size_t slot = (size_t)(head->id & 0xffff);
	bool known;

	if (slot >= KS_CLIENT_SLOTS)
		return false;
	pthread_mutex_lock(&k->lock);
	known = k->slots[slot].call && k->slots[slot].message == head->message && id_of(k, slot) == head->id;
	pthread_mutex_unlock(&k->lock);
	if (known)
		finish(k, slot, head->status, body);
	return known;
}

/* False: the keeper ended, or says what it must not. */
static bool take_answers(struct ks_keeper *k)
{
	ssize_t got = recv(k->fd, &k->in.bytes[k->in.n], k->in.cap - k->in.n, MSG_DONTWAIT);
	struct ks_keeper_head head;
	struct ks_str in;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		return false;
	k->in.n += (size_t)got;
	in = ks_str_of((const char *)k->in.bytes, k->in.n);
	while (in.n >= KS_KEEPER_HEAD_SIZE) {
		if (ks_keeper_head_read(ks_str_sub(in, 0, KS_KEEPER_HEAD_SIZE), true, &head) != KS_OK)
			return false;
		if (in.n - KS_KEEPER_HEAD_SIZE < head.n)
			break;
		if (!take_answer(k, &head, ks_str_sub(in, KS_KEEPER_HEAD_SIZE, head.n)))
			return false;
		in = ks_str_sub(in, KS_KEEPER_HEAD_SIZE + head.n, in.n);
	}
	memmove(k->in.bytes, in.p, in.n);
	ks_wipe(&k->in.bytes[in.n], k->in.n - in.n);
	k->in.n = in.n;
	return true;
}

static bool is_overdue(struct ks_keeper *k)
{
	int64_t since = ks_client_now_ns() - (int64_t)k->options.timeout_ms * 1000000;
	bool overdue = false;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < KS_CLIENT_SLOTS && k->stats.waiting > 0 && !overdue; i++)
		overdue = k->slots[i].call && k->slots[i].begun_ns < since;
	pthread_mutex_unlock(&k->lock);
	return overdue;
}

/* ---- the child ---- */

static void drain_wake(const struct ks_keeper *k)
{
	uint64_t count;

	(void)!read(k->wake_fd, &count, sizeof(count));
}

/* Until the child ends, is to end, or misbehaves. */
static void serve(struct ks_keeper *k)
{
	int64_t checked = ks_client_now_ns(), drain_until = checked;

	for (;;) {
		struct pollfd fds[2] = {{.fd = k->fd, .events = POLLIN}, {.fd = k->wake_fd, .events = POLLIN}};

		pthread_mutex_lock(&k->lock);
		/* Before a start that was asked for, what was asked earlier is answered. */
		if (k->stopping || (k->again && (k->stats.waiting == 0 || !k->up || ks_client_now_ns() > drain_until))) {
			pthread_mutex_unlock(&k->lock);
			return;
		}
		if (!k->again)
			drain_until = ks_client_now_ns() + INT64_C(1000000) * DRAIN_MS;
		push(k);
		if (k->out.n > 0)
			fds[0].events |= POLLOUT;
		pthread_mutex_unlock(&k->lock);
		if (poll(fds, 2, TICK_MS) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			drain_wake(k);
		if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) && !take_answers(k))
			return;
		if (ks_client_now_ns() - checked > (int64_t)TICK_MS * 1000000) {
			checked = ks_client_now_ns();
			if (is_overdue(k)) {
				say(k, 3, "keeper_late", "the keeper did not answer in time and is ended");
				return;
			}
		}
	}
}

static void reap(struct ks_keeper *k, bool gently)
{
	char text[128];
	int status = 0;
	pid_t pid = (pid_t)k->stats.pid, got = 0;

	close(k->fd);
	for (int waited = 0; gently && got == 0 && waited < END_MS; waited += 2) {
		const struct timespec little = {0, 2000000};

		got = waitpid(pid, &status, WNOHANG);
		if (got == 0)
			(void)nanosleep(&little, NULL);
	}
	if (got == 0) {
		(void)kill(pid, SIGKILL);
		got = waitpid(pid, &status, 0);
	}
	if (got == pid && WIFSIGNALED(status)) {
		(void)snprintf(text, sizeof(text), "the keeper was ended by signal %d%s", WTERMSIG(status),
			       WTERMSIG(status) == SIGSYS ? ", a call that it is not allowed" : "");
		say(k, gently ? 1 : 3, "keeper_ended", text);
	}
	k->fd = -1;
}

/* Asks for the start; the answer comes as any other. */
static void on_started(struct ks_client_call *call, enum ks_err err, struct ks_str answer)
{
	struct ks_keeper *k = call->ctx;
	struct ks_cursor c = ks_cursor_of(answer);
	bool landlock = false, rotating = false;
	struct ks_str root = KS_STR("");

	if (err == KS_OK) {
		landlock = ks_cursor_u8(&c) != 0;
		rotating = ks_cursor_u8(&c) != 0;
		root = ks_keeper_take_text(&c, sizeof(k->stats.root) - 1);
		if (!ks_cursor_done(&c))
			err = KS_MALFORMED;
	}
	pthread_mutex_lock(&k->lock);
	k->start_err = err;
	k->started = true;
	(void)snprintf(k->start_problem.text, sizeof(k->start_problem.text), "%.*s", err == KS_OK ? 0 : (int)answer.n,
		       answer.p);
	if (err == KS_OK) {
		(void)snprintf(k->stats.root, sizeof(k->stats.root), "%.*s", KS_STR_ARG(root));
		k->stats.landlock = landlock;
		k->stats.rotating = rotating;
		k->up = k->lasting = true;
	} else {
		k->again = true;
	}
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	if (err != KS_OK)
		say(k, 3, "keeper_refused", k->start_problem.text);
}

static bool start_child(struct ks_keeper *k)
{
	pid_t pid;
	int fd, connect_fd;

	if (ks_client_spawn(k, &fd, &connect_fd, &pid) != KS_OK)
		return false;
	pthread_mutex_lock(&k->lock);
	k->fd = fd;
	k->stats.pid = pid;
	k->again = false;
	k->in.n = 0;
	pthread_mutex_unlock(&k->lock);
	if (ks_connector_start(k, connect_fd) != KS_OK)
		return false;
	k->start_call = (struct ks_client_call){
		.message = KS_KEEPER_START, .size = ks_client_start_size(k), .put = ks_client_put_start, .done = on_started, .ctx = k};
	return ks_client_submit(k, &k->start_call) == KS_OK;
}

static void note_failed_start(struct ks_keeper *k, enum ks_err err)
{
	pthread_mutex_lock(&k->lock);
	if (!k->started) {
		k->started = true;
		k->start_err = err;
		(void)snprintf(k->start_problem.text, sizeof(k->start_problem.text),
			       "the keeper (%s) cannot be started, or ended while it started", k->program);
	}
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
}

/* After a child that did not stay, a little longer each time. */
static void pause_before_next(struct ks_keeper *k, unsigned *pause_ms)
{
	struct pollfd fd = {.fd = k->wake_fd, .events = POLLIN};

	(void)poll(&fd, 1, (int)*pause_ms);
	drain_wake(k);
	*pause_ms = KS_MIN(*pause_ms * 2, PAUSE_MAX_MS);
}

static bool is_stopping(struct ks_keeper *k)
{
	bool stopping;

	pthread_mutex_lock(&k->lock);
	stopping = k->stopping;
	pthread_mutex_unlock(&k->lock);
	return stopping;
}

static void take_down(struct ks_keeper *k)
{
	bool gently;

	pthread_mutex_lock(&k->lock);
	gently = k->stopping || k->again;
	k->up = false;
	ks_wipe(k->out.p, k->out.n);
	k->out.n = k->out_sent = 0;
	ks_wipe(k->in.bytes, k->in.cap);
	pthread_mutex_unlock(&k->lock);
	if (k->fd >= 0)
		reap(k, gently);
	ks_connector_stop(k);
	pthread_mutex_lock(&k->lock);
	k->stats.pid = 0;
	pthread_mutex_unlock(&k->lock);
	fail_all(k, is_stopping(k) ? KS_STOPPING : KS_KEEPER);
}

static void *run(void *ctx)
{
	struct ks_keeper *k = ctx;
	unsigned pause_ms = PAUSE_FIRST_MS;

	while (!is_stopping(k)) {
		int64_t began = ks_client_now_ns();
		bool lasted, wanted;

		if (start_child(k))
			serve(k);
		else
			note_failed_start(k, KS_SYSTEM);
		pthread_mutex_lock(&k->lock);
		wanted = k->again && k->up;
		pthread_mutex_unlock(&k->lock);
		lasted = ks_client_now_ns() - began > INT64_C(1000000000);
		take_down(k);
		if (is_stopping(k) || !k->lasting)
			break;
		if (wanted)
			continue;
		pthread_mutex_lock(&k->lock);
		k->stats.restarts++;
		pthread_mutex_unlock(&k->lock);
		if (lasted)
			pause_ms = PAUSE_FIRST_MS;
		pause_before_next(k, &pause_ms);
	}
	return NULL;
}

/* ---- start and stop ---- */

static enum ks_err wait_started(struct ks_keeper *k, struct ks_keeper_problem *problem)
{
	enum ks_err err;

	pthread_mutex_lock(&k->lock);
	while (!k->started)
		pthread_cond_wait(&k->changed, &k->lock);
	err = k->start_err;
	if (err != KS_OK)
		*problem = k->start_problem;
	pthread_mutex_unlock(&k->lock);
	return err;
}

static enum ks_err make(const struct ks_keeper_options *options, struct ks_keeper **ret_keeper)
{
	struct ks_keeper *k = calloc(1, sizeof(*k));
	enum ks_err err;

	if (!k)
		return KS_MEMORY;
	*ret_keeper = k;
	k->fd = k->connect_fd = -1;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->changed, NULL);
	for (size_t i = 0; i < KS_CLIENT_SLOTS; i++)
		k->slots[i].next = (uint16_t)(i + 1);
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = k->wake_fd < 0 ? KS_SYSTEM : ks_client_copy_options(k, options);
	if (err == KS_OK)
		err = ks_secret_new(&k->in, KS_KEEPER_FRAME_MAX);
	if (err == KS_OK)
		err = ks_secret_new(&k->out_room, 2 * KS_KEEPER_FRAME_MAX);
	if (err == KS_OK)
		k->out = ks_buf_of((char *)k->out_room.bytes, k->out_room.cap);
	if (k->options.timeout_ms == 0)
		k->options.timeout_ms = DEFAULT_TIMEOUT_MS;
	return err;
}

enum ks_err ks_keeper_start(const struct ks_keeper_options *options, struct ks_keeper **ret_keeper,
			    struct ks_keeper_problem *ret_problem)
{
	struct ks_keeper *k = NULL;
	enum ks_err err = make(options, &k);

	ret_problem->text[0] = '\0';
	if (err == KS_OK) {
		k->running = pthread_create(&k->thread, NULL, run, k) == 0;
		err = k->running ? wait_started(k, ret_problem) : KS_SYSTEM;
	}
	if (err != KS_OK) {
		if (ret_problem->text[0] == '\0')
			(void)snprintf(ret_problem->text, sizeof(ret_problem->text), "the keeper cannot be started: %s",
				       ks_err_text(err));
		ks_keeper_stop(&k);
		return err;
	}
	*ret_keeper = k;
	return KS_OK;
}

void ks_keeper_stop(struct ks_keeper **keeper)
{
	struct ks_keeper *k = *keeper;

	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	wake(k);
	if (k->running)
		(void)pthread_join(k->thread, NULL);
	ks_secret_free(&k->in);
	ks_secret_free(&k->out_room);
	ks_client_free_options(k);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->changed);
	free(k);
	*keeper = NULL;
}

enum ks_err ks_keeper_restart(struct ks_keeper *keeper, bool may_create, bool rotate,
			      struct ks_keeper_problem *ret_problem)
{
	pthread_mutex_lock(&keeper->lock);
	keeper->options.may_create = may_create;
	keeper->options.rotate = rotate;
	keeper->started = false;
	keeper->again = true;
	pthread_mutex_unlock(&keeper->lock);
	wake(keeper);
	return wait_started(keeper, ret_problem);
}

void ks_keeper_stats(struct ks_keeper *keeper, struct ks_keeper_stats *ret_stats)
{
	pthread_mutex_lock(&keeper->lock);
	*ret_stats = keeper->stats;
	ret_stats->ready = keeper->up && !keeper->stopping;
	pthread_mutex_unlock(&keeper->lock);
}
