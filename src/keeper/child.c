/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's loop: reads whatever is there, answers every whole frame, writes the answers together. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/child_priv.h"
#include "keeper/sandbox.h"

#define OUT_CAP (2 * KS_KEEPER_FRAME_MAX)

struct loop {
	struct ks_child child;
	struct ks_secret in;        /* in.n: bytes that are there */
	struct ks_secret out_room;
	struct ks_buf out;
};

bool ks_child_send(struct ks_child *child, struct ks_buf *out)
{
	size_t done = 0;
	bool ok = true;

	pthread_mutex_lock(&child->send_lock);
	while (ok && done < out->n) {
		ssize_t n = send(child->fd, &out->p[done], out->n - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		ok = n > 0;
		done += ok ? (size_t)n : 0;
	}
	pthread_mutex_unlock(&child->send_lock);
	ks_wipe(out->p, out->n);
	out->n = 0;
	return ok;
}

enum ks_err ks_child_answer(struct ks_worker *w, const struct ks_keeper_head *head, struct ks_str body, struct ks_buf *out)
{
	/* Not beyond what a frame may have, however much room there is. */
	struct ks_buf frame = ks_buf_of(&out->p[out->n], KS_KEEPER_FRAME_MAX);
	struct ks_buf status;
	enum ks_err err;

	ks_keeper_head_put(&frame, head->message, KS_OK, head->id);
	err = head->message == KS_KEEPER_START ? ks_child_start(w->child, body, &frame)
					       : ks_worker_handle(w, head->message, body, &frame);
	if (err == KS_BUSY)
		return err;
	if (err != KS_OK) {
		size_t keep = head->message == KS_KEEPER_START ? frame.n : KS_KEEPER_HEAD_SIZE;

		frame.n = keep;
		frame.overflow = false;
		status = ks_buf_of(frame.p, KS_KEEPER_HEAD_SIZE);
		ks_keeper_head_put(&status, head->message, err, head->id);
	}
	ks_keeper_head_close(&frame, 0);
	out->n += frame.n;
	return KS_OK;
}

/* What must wait for a slow root waits elsewhere; what cannot even do that is answered. */
static void answer(struct loop *l, const struct ks_keeper_head *head, struct ks_str body)
{
	struct ks_buf full;

	if (ks_child_answer(&l->child.main, head, body, &l->out) == KS_OK)
		return;
	if (ks_slow_put(head, body) == KS_OK)
		return;
	full = ks_buf_of(&l->out.p[l->out.n], KS_KEEPER_HEAD_SIZE);
	ks_keeper_head_put(&full, head->message, KS_FULL, head->id);
	l->out.n += full.n;
}

/* Answers the whole frames at the beginning of `in`. False: the other side does not keep to the table. */
static bool answer_all(struct loop *l)
{
	struct ks_str in = ks_str_of((const char *)l->in.bytes, l->in.n);
	struct ks_keeper_head head;

	while (in.n >= KS_KEEPER_HEAD_SIZE) {
		if (ks_keeper_head_read(ks_str_sub(in, 0, KS_KEEPER_HEAD_SIZE), false, &head) != KS_OK)
			return false;
		/* Nothing but a start before the start. */
		if (l->child.root_count == 0 && head.message != KS_KEEPER_START)
			return false;
		if (in.n - KS_KEEPER_HEAD_SIZE < head.n)
			break;
		if (l->out.cap - l->out.n < KS_KEEPER_FRAME_MAX && !ks_child_send(&l->child, &l->out))
			return false;
		answer(l, &head, ks_str_sub(in, KS_KEEPER_HEAD_SIZE, head.n));
		in = ks_str_sub(in, KS_KEEPER_HEAD_SIZE + head.n, in.n);
	}
	if (!ks_child_send(&l->child, &l->out))
		return false;
	memmove(l->in.bytes, in.p, in.n);
	ks_wipe(&l->in.bytes[in.n], l->in.n - in.n);
	l->in.n = in.n;
	return true;
}

static int serve(struct loop *l)
{
	for (;;) {
		ssize_t n = recv(l->child.fd, &l->in.bytes[l->in.n], l->in.cap - l->in.n, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? 0 : 1;
		l->in.n += (size_t)n;
		if (!answer_all(l))
			return 1;
	}
}

int ks_child_run(int fd)
{
	static struct loop l;

	l.child.fd = fd;
	pthread_mutex_init(&l.child.send_lock, NULL);
	if (ks_sandbox_limits() != KS_OK || ks_secret_new(&l.in, KS_KEEPER_FRAME_MAX) != KS_OK
	    || ks_secret_new(&l.out_room, OUT_CAP) != KS_OK || ks_keyring_init(&l.child.ring) != KS_OK
	    || ks_worker_init(&l.child.main, &l.child) != KS_OK)
		return 1;
	l.out = ks_buf_of((char *)l.out_room.bytes, l.out_room.cap);
	return serve(&l);
}
