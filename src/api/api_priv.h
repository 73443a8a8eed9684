/* SPDX-License-Identifier: Apache-2.0 */
/** Internals of the API: its state, a thread's scratch, and how requests are read. */
#pragma once

#include <pthread.h>

#include "api/call.h"
#include "api/gate.h"
#include "api/github_keys.h"
#include "assertion/verifier.h"
#include "login/throttle.h"

/** Bytes of a credential in a body: a JWT, or the value of a header that carries it. */
#define KS_CREDENTIAL_MAX (KS_JWS_TOKEN_MAX + 256u)
#define KS_API_WORKERS 2          /* threads that read lists */
#define KS_API_HOOK_WORKERS 8     /* threads that load what webhooks are verified with */
#define KS_API_VAULT_WORKERS 256  /* threads that wait for the keeper and for customers' stores */
#define KS_API_VAULT_WAITING 256  /* calls of one provider or tenant that wait for one */
#define KS_API_SHARE_SLOTS 1024   /* places by a hash of what the path names */

/** Whose store hangs holds up no other's: so many threads for one. X(name, threads) */
#define KS_API_SHARES(X) \
	X(PROVIDER, 16)  \
	X(TENANT, 32)
#define KS_API_WORKERS_MAX KS_API_VAULT_WORKERS
#define KS_API_LATER_MAX 1024     /* calls that wait for one */
#define KS_API_HASHES_MAX 64      /* calls that wait for a thread that hashes passwords: there are as many of those */
#define KS_API_EXPORTS_MAX 4      /* exports of the audit at one time, each of another log */
#define KS_API_ALONE_MAX (4 + KS_API_EXPORTS_MAX) /* long works at one time, each on a thread of its own */
#define KS_API_ANALYSES_MAX 2     /* of them, questions over all keys */

/** Work away from the carrier's threads (tasks.c). */
struct ks_tasks {
	struct ks_api *api;
	size_t queue_max;
	pthread_mutex_t lock;             /* guards all below */
	pthread_cond_t wake;              /* to the workers: work, or stopping */
	pthread_cond_t idle;              /* alone has fallen */
	struct ks_call *head, **tail;
	size_t queued;
	pthread_t workers[KS_API_WORKERS_MAX];
	size_t worker_max;
	size_t worker_count;
	size_t resting;                   /* of them, without work */
	bool shares;                      /* they are bounded */
	uint64_t share_seed[2];
	struct ks_task_share {
		unsigned short running[KS_API_SHARE_SLOTS], waiting[KS_API_SHARE_SLOTS];
	} of[KS_SHARE_COUNT];
	size_t alone;
	bool stopping;
	_Atomic unsigned analyses;        /* under way */
	uint64_t exports[KS_API_EXPORTS_MAX]; /* whose log is being exported */
	size_t export_count;
};

/** What tells most routes from a request's path. */
struct ks_route_shape {
	size_t segments;
	size_t second_n; /* bytes of the second segment; 0: it is none, or a parameter */
	char second;     /* the first of them */
};

struct ks_api {
	struct ks_engine *engine;
	struct ks_api_options options;
	pthread_key_t thread_key;
	struct ks_tasks tasks;
	struct ks_tasks vault;            /* apart: they wait for others */
	struct ks_tasks hooks;            /* apart from those: anybody can make it work */
	struct ks_tasks hashing;          /* apart: hashing takes long, and memory */
	pthread_mutex_t throttle_lock;    /* guards throttle */
	struct ks_throttle *throttle;
	struct ks_gate leak_gate;
	struct ks_gate hook_gate;
	struct ks_github_keys *github_keys;
	struct ks_route_shape *route_shapes; /* in the order of the routes */
};

void ks_tasks_init(struct ks_tasks *tasks, struct ks_api *api, size_t workers, size_t queue_max);
/** Bounds how many calls of one provider and of one tenant run and wait. Before the first call. */
KS_MUST_USE enum ks_err ks_tasks_share(struct ks_tasks *tasks);
/** Finishes what is queued and waits for the threads; nothing is taken any more. */
void ks_tasks_end(struct ks_tasks *tasks);
/** The same, and frees. */
void ks_tasks_done(struct ks_tasks *tasks);
/** True: the service stops, and what takes long ends. */
bool ks_tasks_stopping(struct ks_api *api);
/** Takes one of the few places for exports. KS_FULL: none is left, or this log is being exported. */
KS_MUST_USE enum ks_err ks_tasks_export_begins(struct ks_api *api, uint64_t tree);
void ks_tasks_export_ends(struct ks_api *api, uint64_t tree);
/** Runs `run` on a thread of its own. KS_FULL: as many as may are running; KS_STOPPING; KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_tasks_alone(struct ks_api *api, void (*run)(void *ctx), void *ctx);
/** Runs `handler` (of backup, rebuild: it blocks) on a thread of its own and answers when it has returned. */
enum ks_finish ks_call_alone(struct ks_call *call, ks_call_handler *handler);

/** What a thread keeps from call to call: its way to read, and scratch too large for the stack. */
struct ks_api_thread {
	struct ks_engine_reader reader;
	struct ks_path path;
	struct ks_credential credential;
	struct ks_decision decision;
	struct ks_verifier verifier;
	struct ks_assertion assertion;
	char *room;                    /* of decisions about webhooks; NULL: none yet */
	size_t room_n;
	struct ks_federation *federation; /* to be told of keys that an issuer is not known to have */
};

/** The same for a question over all keys, which reads the ring and the store; call->reader is that thread's. */
enum ks_finish ks_call_analyse(struct ks_call *call, ks_call_handler *handler);

/** The calling thread's state, made at its first call; NULL where the engine gives no reader. */
struct ks_api_thread *ks_api_thread(struct ks_api *api);

/** Collects the credentials that the request's headers present (present.c). */
void ks_present(const struct ks_api *api, const struct ks_exchange *exchange, struct ks_credential *ret_credential);

/** Where the request's credential is a JWT, checks it and puts what that found into the request: the thread's `assertion`, good
 * until the next call. */
void ks_present_jwt(struct ks_api_thread *thread, const struct ks_ring *ring, enum ks_jwt_audience audience,
		    struct ks_request *request);

/** The client's address: X-Forwarded-For from the right through the trusted proxies, else the peer. False: unknown. */
bool ks_client_address(const struct ks_api *api, const struct ks_exchange *exchange, struct ks_addr *ret_addr);

/** Whether the connection's other end is a proxy whose word is believed. */
bool ks_client_is_proxied(const struct ks_api *api, const struct ks_exchange *exchange);

/** The request that a gateway asks about (gateway.c). */
enum ks_gateway_form {
	KS_GATEWAY_NGINX,      /* X-Original-Method, X-Original-URI */
	KS_GATEWAY_FORWARDED,  /* X-Forwarded-Method, X-Forwarded-Uri, X-Forwarded-Host */
	KS_GATEWAY_ENVOY,      /* the rest of the path, and the method itself */
	KS_GATEWAY_UNCLEAR     /* two forms together, one of them twice, or none */
};
struct ks_gateway_request {
	enum ks_gateway_form form;
	struct ks_str method;
	struct ks_str path;
	struct ks_str host;
};
void ks_gateway_request(const struct ks_exchange *exchange, struct ks_gateway_request *ret_request);

/** A question about somebody's credential, read from JSON: the members that verify, check and explain share (question.c). Borrows from the JSON. */
struct ks_question {
	struct ks_request request;
	struct ks_credential credential;
	bool has_route;              /* method and path are given */
};

/** Reads the question in `object`; problems go to `in`. `extra` names further members that are known (NULL-terminated, may be NULL). */
void ks_question_read(struct ks_in *in, const json_t *object, const char *base, const char *const *extra, int64_t now_ms,
		      struct ks_question *ret_question);

/** Decides it. A caller that does not see the tenant of the key learns no more than of an unknown one. */
void ks_question_decide(struct ks_call *call, const struct ks_ring *ring, struct ks_question *question, struct ks_path *scratch,
			struct ks_decision *ret_decision);

/** Writes the members of CONTRACT's verify answer (the object is open). */
void ks_question_answer(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *decision);

/** Answers /v1/authorize, at once (authorize.c). */
void ks_api_authorize(struct ks_api *api, struct ks_exchange *exchange);

/** Writes the problem document and its status into the exchange; also for calls that have no ks_call yet. `in` may be NULL; `required_scope` may be empty. */
void ks_exchange_problem(struct ks_exchange *exchange, const char *code, int status, const char *title, const char *detail,
			 const struct ks_in *in, struct ks_str required_scope);

/** A refusal of the decision as a problem with its challenge and Retry-After. */
void ks_exchange_refuse(const struct ks_api *api, struct ks_exchange *exchange, const struct ks_ring *ring,
			const struct ks_decision *decision, bool basic_tried);

/** An array: how the key was used on the last days, each as GET /v1/keys/{id}/usage has it; days without a use are left out (usage.c). */
KS_MUST_USE enum ks_err ks_usage_put_days(struct ks_call *call, uint64_t key, unsigned days);

/** A list out of the past, audit or events: `tenant`, `from`, `to`, `limit` and `cursor` of its query, which part of it the caller may see, and
 * the page under way (history.c). */
struct ks_history {
	struct ks_call *call;
	const struct ks_ring *ring;
	uint64_t organization, tenant;   /* the stretch that holds all that may be seen; 0: all there is */
	int64_t from, to;
	size_t ask;                      /* rows to ask of the store at once */
	uint64_t before;                 /* go on here: the last row that was looked at; 0: from the start */
	/* the page */
	bool all_seen;                   /* there is nothing in that stretch that may not be seen */
	size_t limit, count, got, scanned;
	uint64_t last_scanned, last_shown;
	bool more;
};
/** False: answered. */
bool ks_history_read(struct ks_call *call, struct ks_history *ret_history);
/** The next row of the list. True: show it. */
bool ks_history_take(struct ks_history *history, uint64_t id, uint64_t tenant);
/** The same for one that was not asked for. */
void ks_history_skip(struct ks_history *history, uint64_t id);
/** Answers with the page; `ask` asks the store once, from history->before on, and gives each row to ks_history_take. */
enum ks_finish ks_history_answer(struct ks_history *history, enum ks_err (*ask)(struct ks_history *history, void *ctx), void *ctx);
/** True if the actor sees what happened to this tenant (0: the operator's affairs), be it deleted since. */
bool ks_history_sees(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant);
/** Member "tenant". */
void ks_history_put_tenant(struct ks_json *json, const struct ks_ring *ring, uint64_t tenant);

/** Adds a header whose value is a number; `name` is static. */
void ks_exchange_number_header(struct ks_exchange *x, struct ks_str name, uint64_t value);

void ks_call_free(struct ks_call *call);

/** Logs, where the options have a log. */
void ks_api_log(const struct ks_api *api, int level, const char *event, const char *text);
