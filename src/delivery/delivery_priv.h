/* SPDX-License-Identifier: Apache-2.0 */
/** Inside of delivery. Everything belongs to its thread but what is atomic and the jobs that the writer runs. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "delivery/delivery.h"
#include "delivery/sign.h"
#include "fetch/many.h"

#define DL_WINDOW 16          /* deliveries of an endpoint that are read at once */
#define DL_BUSY_MAX 96        /* of an endpoint: under way or not yet written */
#define DL_RESULTS_MAX 1024   /* written at once, at most; with what is under way */
#define DL_FAN_OUT 1000       /* deliveries made at once, about */
#define DL_BODIES_MAX ((size_t)48 << 20) /* bytes of bodies under way; beyond, no further request begins */
#define DL_PAYLOADS 256       /* bodies kept for further endpoints */

/* A delivery in hand. */
struct dl_item {
	uint64_t id, event, tries;
	int64_t first_at, due_at;
};

struct dl_endpoint {
	uint64_t id, tenant;
	char *url;
	bool active, gone;
	bool keys_known;
	uint8_t key_count;
	struct ks_signing_key keys[KS_ENDPOINT_SECRETS_MAX];
	unsigned concurrency, rate;
	double tokens;                    /* requests that the rate allows now */
	int64_t tokens_at;
	unsigned failures;                /* in a row */
	int64_t failing_since;            /* as the store has it; KS_TIME_NONE */
	int64_t braked_until;
	struct dl_item *window;           /* DL_WINDOW; NULL: nothing in hand */
	uint8_t window_at, window_count;
	uint8_t busy_count;
	bool hungry;                      /* the store may have more that is due */
	bool ready;                       /* in the line of those that may begin something */
	unsigned flying;
	unsigned picks;
	uint64_t *busy;                   /* DL_BUSY_MAX; NULL: none */
	int64_t wake_at;                  /* when to look again */
	size_t heap_at;                   /* place among those that wait for it; SIZE_MAX: none */
	struct dl_endpoint *ready_next;
};

/* A body under way, shared by the requests that send it. */
struct dl_body {
	uint64_t event;
	unsigned refs;
	size_t n;
	char bytes[];
};

struct dl_flight {
	struct dl_endpoint *endpoint;
	struct dl_item item;
	struct dl_body *body;
	int64_t at;
	bool troubled;                    /* of an endpoint that failed the last time */
};

struct dl_results {
	struct ks_job job;
	struct ks_delivery *delivery;
	_Atomic bool finished;
	bool running;
	size_t count;
	struct ks_delivery_result items[DL_RESULTS_MAX];
};

struct dl_fan_out {
	struct ks_job job;
	struct ks_delivery *delivery;
	_Atomic bool finished;
	bool running, wanted, anew;
	int64_t not_before;
	struct ks_fan_out done;
	uint64_t *touched;                /* endpoints that got something */
	size_t touched_count, touched_cap;
};

struct dl_trim {
	struct ks_job job;
	struct ks_delivery *delivery;
	_Atomic bool finished;
	bool running;
	int64_t next_at;
	uint64_t trimmed;
};

struct ks_delivery {
	struct ks_engine *engine;
	struct ks_delivery_options options;
	struct ks_fetch *fetch;
	struct ks_fetch_many *many;
	struct ks_signer *signer;
	struct ks_engine_reader reader;
	bool reading;
	pthread_t thread;
	bool started;
	_Atomic bool stopping;
	_Atomic bool news;                /* something was committed */
	_Atomic bool shrink;              /* the reader is to give back memory */
	uint64_t rows;                    /* the writer's: written since it gave back memory */

	struct dl_endpoint **endpoints;   /* by id */
	size_t endpoint_count, endpoint_cap;
	uint64_t version;                 /* of endpoints, that was read */
	struct dl_endpoint **heap;        /* by wake_at; as large as `endpoints` */
	size_t heap_count;
	struct dl_endpoint *ready, **ready_tail;
	size_t ready_count;
	unsigned flying, flying_troubled;
	size_t body_bytes;
	struct dl_body *payloads[DL_PAYLOADS];

	struct dl_results *filling, *writing;
	int64_t write_again_at;
	struct dl_fan_out fan_out;
	struct dl_trim trim;
	int64_t look_at;                  /* next count of what is behind */

	_Atomic uint64_t events, made, attempts[KS_DELIVERY_OUTCOME_COUNT], attempt_ms, disabled;
	_Atomic uint64_t now_running, now_endpoints, now_failing, now_behind, now_oldest_ms;
};

int64_t dl_now_ms(void);
void dl_say(const struct ks_delivery *d, int level, const char *event, uint64_t endpoint, const char *text);

/* ---- endpoints.c ---- */
/* Reads what has changed. */
KS_MUST_USE enum ks_err dl_endpoints_read(struct ks_delivery *d);
/* NULL: not known. */
struct dl_endpoint *dl_endpoint_find(struct ks_delivery *d, uint64_t id);
void dl_endpoints_free(struct ks_delivery *d);
/* Puts it into the line. */
void dl_ready_push(struct ks_delivery *d, struct dl_endpoint *e);
struct dl_endpoint *dl_ready_pop(struct ks_delivery *d);
/* Looks at it again at `at`, or earlier where that is asked for already. */
void dl_wake_at(struct ks_delivery *d, struct dl_endpoint *e, int64_t at);
/* Those whose time has come go into the line. Returns when the next one's does; INT64_MAX: none. */
int64_t dl_wake_due(struct ks_delivery *d, int64_t now_ms);
/* Frees one that is gone, once nothing of it is under way. True: it was. */
bool dl_endpoint_settle(struct ks_delivery *d, struct dl_endpoint *e);

/* ---- window.c ---- */
/* The next delivery that is due; false: none, and then it knows when to look again. */
bool dl_next_item(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms, struct dl_item *ret_item);
bool dl_is_behind(const struct dl_endpoint *e, int64_t now_ms);
void dl_busy_add(struct dl_endpoint *e, uint64_t id);
void dl_busy_remove(struct dl_endpoint *e, uint64_t id);

/* ---- send.c ---- */
/* Begins as many requests as there may be. */
void dl_dispatch(struct ks_delivery *d, int64_t now_ms);
/* A ks_fetch_ended; the tag is a struct dl_flight. */
void dl_ended(void *ctx, void *tag, enum ks_fetch_result result, const struct ks_fetch_response *response);
void dl_payloads_free(struct ks_delivery *d);
