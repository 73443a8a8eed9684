/* SPDX-License-Identifier: Apache-2.0 */
/* Within the keeper's own process. */
#pragma once

#include <pthread.h>

#include "base/secret.h"
#include "crypto/seal.h"
#include "keeper/wire.h"

#define KS_ROOT_ID_SIZE 8
#define KS_CHILD_CONNECT_FD 4       /* where connections are asked for (keeper/remote.h) */
#define KS_ROOTS_MAX 2
#define KS_CHILD_TEXT_MAX 1024
#define KS_CHILD_KEYS_SETS 256
#define KS_CHILD_KEYS_WAYS 4
#define KS_CHILD_FORGOTTEN_MAX 1024

/* What the service told at the start; borrowed from the frame, terminated copies. */
struct ks_child_settings {
#define KS_KEEPER_SETTING(member, text) char member[KS_CHILD_TEXT_MAX];
#include "keeper/start.def"
#undef KS_KEEPER_SETTING
};

struct ks_child_problem {
	char text[512];
};

enum ks_err ks_child_problem(struct ks_child_problem *problem, enum ks_err err, const char *fmt, ...) KS_PRINTF(3, 4);

/* A thread that answers requests, and what it works with. */
struct ks_worker {
	struct ks_child *child;
	struct ks_sealer *sealer;
	bool may_wait;              /* for a slow root; else KS_BUSY says that another worker must */
	struct ks_secret keys;      /* two keys: the organization's, and that of a value */
};

#define KS_WORKER_ORG_KEY(w) ((w)->keys.bytes)
#define KS_WORKER_VALUE_KEY(w) ((w)->keys.bytes + KS_SEAL_KEY_SIZE)

struct ks_root;

/* A way to wrap keys. `associated` is what the key is for. */
struct ks_root_kind {
	uint8_t number;             /* in wrapped keys: never another's */
	const char *text;
	/* Before the sandbox. Fills root->id and root->label. */
	enum ks_err (*open)(struct ks_root *root, const struct ks_child_settings *settings,
			    struct ks_child_problem *ret_problem);
	enum ks_err (*wrap)(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
			    const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out);
	enum ks_err (*unwrap)(struct ks_root *root, struct ks_worker *w, struct ks_str associated,
			      struct ks_str wrapped, uint8_t ret_key[KS_SEAL_KEY_SIZE]);
	bool slow;                  /* asks over the network: by a worker that may wait */
};

struct ks_root {
	const struct ks_root_kind *kind;
	uint8_t id[KS_ROOT_ID_SIZE]; /* tells it from others of its kind */
	char label[64];
	struct ks_secret key;        /* kinds that hold one */
	unsigned long handle;        /* PKCS#11 */
};

extern const struct ks_root_kind ks_root_file;
extern const struct ks_root_kind ks_root_file_next;
extern const struct ks_root_kind ks_root_passphrase;
extern const struct ks_root_kind ks_root_pkcs11;
extern const struct ks_root_kind ks_root_aws;
extern const struct ks_root_kind ks_root_transit;

/* Keys of organizations that were used lately; a set by organization, the one unused for longest goes. */
struct ks_keyring_entry {
	uint64_t organization;
	uint32_t generation;        /* 0: free */
	uint64_t tag;               /* of the wrapped key that it came from: a key made anew is not mistaken for it */
	uint64_t used;
};

struct ks_forgotten {
	uint64_t organization;
	uint32_t generation;
};

struct ks_keyring {
	pthread_mutex_t lock;
	struct ks_keyring_entry entries[KS_CHILD_KEYS_SETS][KS_CHILD_KEYS_WAYS];
	struct ks_secret keys;
	uint64_t clock;
	struct ks_forgotten forgotten[KS_CHILD_FORGOTTEN_MAX];
	size_t forgotten_count;
};

struct ks_child {
	int fd;
	struct ks_root roots[KS_ROOTS_MAX];
	size_t root_count;          /* 0: not started. The first wraps, all unwrap */
	struct ks_keyring ring;
	struct ks_worker main;
	pthread_mutex_t send_lock;
	int landlock;               /* its version; 0: the kernel has none */
};

/* secret_file.c */
/* The whole file, which is shorter than `cap`. */
bool ks_child_read_whole(int fd, char *ret_text, size_t cap, size_t *ret_n);
/* One line of `min` to `max` bytes, with or without its end, into a secret with room for two bytes more. KS_NOT_FOUND;
 * KS_FORBIDDEN: others can read it; KS_MALFORMED: it is not that. */
enum ks_err ks_child_read_secret(const char *path, size_t min, size_t max, struct ks_secret *ret_text,
				 struct ks_child_problem *problem);

/* keyring.c */
enum ks_err ks_keyring_init(struct ks_keyring *ring);
/* True: copied. *ret_forgotten: it must not be unwrapped again. */
bool ks_keyring_get(struct ks_keyring *ring, const struct ks_keeper_org *org, uint8_t ret_key[KS_SEAL_KEY_SIZE],
		    bool *ret_forgotten);
void ks_keyring_put(struct ks_keyring *ring, const struct ks_keeper_org *org, const uint8_t key[KS_SEAL_KEY_SIZE]);
void ks_keyring_forget(struct ks_keyring *ring, uint64_t organization, uint32_t generation);

/* roots.c */
enum ks_err ks_roots_open(struct ks_child *child, const struct ks_child_settings *settings,
			  struct ks_child_problem *ret_problem);
/* The organization's key into KS_WORKER_ORG_KEY, from the ring or unwrapped. */
enum ks_err ks_roots_org_key(struct ks_worker *w, const struct ks_keeper_org *org);
enum ks_err ks_roots_wrap(struct ks_worker *w, uint64_t organization, uint32_t generation,
			  const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out);
/* True: the root in force wrapped it. */
bool ks_roots_is_current(const struct ks_child *child, struct ks_str wrapped);

/* handlers.c */
enum ks_err ks_worker_init(struct ks_worker *w, struct ks_child *child);
/* Answers one request: body into `out`. Errors: what was written is taken back by the caller. */
enum ks_err ks_worker_handle(struct ks_worker *w, enum ks_keeper_message message, struct ks_str body, struct ks_buf *out);

/* start.c */
enum ks_err ks_child_start(struct ks_child *child, struct ks_str body, struct ks_buf *out);

/* slow.c: requests that wait for a slow root, on a thread of their own. */
enum ks_err ks_slow_start(struct ks_child *child);
/* Copies the request. KS_FULL. */
enum ks_err ks_slow_put(const struct ks_keeper_head *head, struct ks_str body);

/* Answers one frame into `out`, which has room for it; KS_BUSY: nothing was written, a worker that may wait must. */
enum ks_err ks_child_answer(struct ks_worker *w, const struct ks_keeper_head *head, struct ks_str body, struct ks_buf *out);
/* Sends all of it and wipes it; one thread at a time. */
bool ks_child_send(struct ks_child *child, struct ks_buf *out);

/* child.c: serves requests on the socket until its end. The exit code. */
int ks_child_run(int fd);
