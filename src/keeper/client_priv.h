/* SPDX-License-Identifier: Apache-2.0 */
/* Within the service's end of the keeper. */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "base/secret.h"
#include "keeper/keeper.h"

#define KS_CLIENT_SLOTS 4096 /* requests that wait at one time */

/* A request. `put` writes its body, at most `size` bytes, within the submission; `done` runs on the keeper's thread. */
struct ks_client_call {
	enum ks_keeper_message message;
	size_t size;
	void (*put)(struct ks_client_call *call, struct ks_buf *b);
	void (*done)(struct ks_client_call *call, enum ks_err err, struct ks_str answer);
	void *ctx;
};

struct ks_slot {
	struct ks_client_call *call; /* NULL: free */
	enum ks_keeper_message message;
	uint64_t turn;
	int64_t begun_ns;
	uint16_t next;               /* of the free ones */
};

struct ks_keeper {
	struct ks_keeper_options options;
	char *program;
	pthread_t thread;
	bool running;
	int wake_fd;
	pthread_mutex_t lock;        /* guards all below but what is the thread's alone */
	pthread_cond_t changed;      /* a start ended, well or not */
	bool stopping;
	bool again;                  /* end the child and start it with the options as they are now */
	bool up;
	bool lasting;                /* it was there once: it is started again and again */
	bool started;                /* start_err and start_problem are of the last start */
	enum ks_err start_err;
	struct ks_keeper_problem start_problem;
	struct ks_keeper_stats stats;
	struct ks_slot slots[KS_CLIENT_SLOTS];
	uint16_t free_slot;
	struct ks_secret out_room;
	struct ks_buf out;           /* what the socket did not take yet, from out_sent on */
	size_t out_sent;
	/* the thread's */
	int fd;                      /* changed under the lock */
	struct ks_secret in;
	struct ks_client_call start_call;
	int connect_fd;              /* the child asks for connections here; -1: none */
	pthread_t connector;
	bool connector_runs;
};

/* client.c */
int64_t ks_client_now_ns(void);
/* Errors: `done` is not called. */
enum ks_err ks_client_submit(struct ks_keeper *k, struct ks_client_call *call);

/* spawn.c */
enum ks_err ks_client_copy_options(struct ks_keeper *k, const struct ks_keeper_options *options);
void ks_client_free_options(struct ks_keeper *k);
enum ks_err ks_client_spawn(struct ks_keeper *k, int *ret_fd, int *ret_connect_fd, pid_t *ret_pid);

/* connector.c: a thread that connects for the child, until the socket ends. */
enum ks_err ks_connector_start(struct ks_keeper *k, int fd);
void ks_connector_stop(struct ks_keeper *k);
size_t ks_client_start_size(const struct ks_keeper *k);
void ks_client_put_start(struct ks_client_call *call, struct ks_buf *b);
