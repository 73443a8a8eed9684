/* SPDX-License-Identifier: Apache-2.0 */
/** One call of the API under way: what every handler works with. */
#pragma once

#include "api/api.h"
#include "api/json_in.h"
#include "api/json_out.h"
#include "engine/actor.h"
#include "engine/keys.h"
#include "engine/tenants.h"

/** Problems of problem.def. */
enum ks_problem {
#define KS_PROBLEM(name, code, status, title) KS_PROBLEM_##name,
#include "api/problem.def"
#undef KS_PROBLEM
	KS_PROBLEM_COUNT
};

struct ks_problem_info {
	const char *code;
	int status;
	const char *title;
};
const struct ks_problem_info *ks_problem_info(enum ks_problem problem);
/** The problem with this code; KS_PROBLEM_INTERNAL for an unknown one. */
enum ks_problem ks_problem_by_code(const char *code);
/** What an error of the engine is to the outside. */
enum ks_problem ks_problem_of_err(enum ks_err err);

/** Of whose shares of the threads that wait a call takes one. */
enum ks_share { KS_SHARE_PROVIDER, KS_SHARE_TENANT, KS_SHARE_COUNT };

/** Who may call a route. */
enum ks_route_auth {
	KS_AUTH_OPEN,        /* anybody */
	KS_AUTH_OWN,         /* any credential that is accepted at all: it asks about itself */
	KS_AUTH_USER,        /* a user's session: it is about the user */
	KS_AUTH_SELF,        /* as the self policy says for this method and path */
	KS_AUTH_LOCAL        /* the local socket alone: it touches the machine's files, or shows what no caller may see */
};

enum ks_route_body {
	KS_BODY_NONE,        /* a body is refused */
	KS_BODY_JSON,        /* one object */
	KS_BODY_JSON_OPTIONAL,
	KS_BODY_JSON_FILES,  /* one object with files as texts in it: up to KS_CALL_FILES_MAX bytes */
	KS_BODY_FORM,        /* application/x-www-form-urlencoded (OAuth endpoints) */
	KS_BODY_PAGE,        /* a form of a page for people: its handler reads it, and says itself what it does not take */
	KS_BODY_RAW,         /* JSON that the handler reads itself, from the bytes as they came */
	KS_BODY_STREAM       /* goes to the route's sink */
};

struct ks_call;
typedef enum ks_finish ks_call_handler(struct ks_call *call);

struct ks_route {
	const char *method;
	const char *path;            /* literal segments and {id} */
	enum ks_route_auth auth;
	enum ks_route_body body;
	ks_call_handler *handler;    /* runs when the body is in */
	ks_call_handler *start;      /* streams: runs when the headers are in, sets exchange->sink; else NULL */
};

#define KS_CALL_PARAMS_MAX 4
#define KS_CALL_FILES_MAX ((size_t)12 << 20)

/** Who reads an answer, and where to look up whom it names. */
struct ks_viewer {
	const struct ks_actor *actor;
	struct ks_store *store;
	const struct ks_ring *ring;
	char asked[KS_STORE_ACTOR_MAX + 1];   /* the last one looked up, and what is told of it */
	char told[KS_STORE_ACTOR_MAX + 1];
};

/** True if the viewer would be told this actor's id. */
bool ks_viewer_sees(const struct ks_viewer *viewer, struct ks_str actor);
/** True if the viewer sees the tenant, and for NULL: the answer is for all. */
bool ks_viewer_sees_tenant(const struct ks_viewer *viewer, uint64_t tenant);

struct ks_call {
	struct ks_api *api;
	struct ks_exchange *exchange;
	const struct ks_route *route;
	struct ks_engine_reader *reader;      /* of this thread; not to be used in a job */
	struct ks_actor actor;                /* who calls (not for OPEN) */
	bool by_cookie;                       /* the credential is the console's cookie */
	struct ks_str params[KS_CALL_PARAMS_MAX]; /* {…} of the route, in order; in param_bytes */
	char param_bytes[256];

	json_t *body;                         /* JSON bodies, parsed; NULL where optional and absent */
	struct ks_in in;                      /* problems found in it */
	struct ks_json out;                   /* the answer under construction */
	struct ks_viewer viewer;              /* out's: the caller */
	bool wipe;                            /* the answer or the body holds a secret */

	/* writes */
	struct ks_job job;
	enum ks_err (*run)(struct ks_call *call, struct ks_tx *tx);
	int status;                           /* of a successful write */
	struct ks_digest fingerprint;         /* of the request, for Idempotency-Key */
	struct ks_str idempotency_key;        /* empty: none */
	bool refuses_first;                   /* struct ks_job */
	bool unkept;                          /* nothing of request and answer is remembered: there are secrets in them */
	const char *shown_once;               /* member of the answer that is not remembered; NULL: "token" alone */
	bool replayed;
	/** Runs on the writer's thread when a job is done that did not fail. True: it has seen to the answer. NULL: none. */
	bool (*instead)(struct ks_call *call);
	void (*succeeded)(struct ks_call *call); /* runs when the change is in force, before the answer; NULL: nothing */
	void *extra;                          /* a handler's own, freed with free(), or by drop */
	void (*drop)(struct ks_call *call);   /* lets go of extra when the exchange is closed; NULL: free() */

	/* later */
	ks_call_handler *later;
	uint64_t tenant;                      /* whose share of the threads it takes; 0: not known, its provider's alone */
	size_t share[KS_SHARE_COUNT];
	ks_call_handler *analysis;
	struct ks_call *next;
};

/** From here on the answer is written on a thread that may read `store` and `ring`. */
void ks_call_look(struct ks_call *call, struct ks_store *store, const struct ks_ring *ring);

/** The calling thread's ring at this moment; NULL where it cannot be had (answer `stale`). */
const struct ks_ring *ks_call_ring(struct ks_call *call);

/** Answers with what stands in call->out (JSON) and this status. */
enum ks_finish ks_call_answer(struct ks_call *call, int status);
/** Answers with a problem. `detail` may be NULL. call->in's problems become `errors`. */
enum ks_finish ks_call_problem(struct ks_call *call, enum ks_problem problem, const char *detail);
/** Answers with a reason of the decision (401, 403, …), with its challenge. */
enum ks_finish ks_call_refuse(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *decision, bool basic_tried);
/** Answers a reading: 200 with what stands in call->out, or the problem of its error. */
enum ks_finish ks_call_answer_read(struct ks_call *call, enum ks_err err);
/** Parameter `at` of the route as an id of this type. False: answered as whatever does not exist. */
bool ks_call_id(struct ks_call *call, size_t at, enum ks_id_type type, uint64_t *ret_id);
/** Answers 422 with call->in's problems if there are any: true, and *ret_finish is to be returned. */
bool ks_call_invalid(struct ks_call *call, enum ks_finish *ret_finish);

/** Runs `run` as a job and answers when it is durable and in force: with call->out and `status`, or with the problem that the error and the refusal say. `run`
 * renders the answer into call->out from what it wrote. With an Idempotency-Key the answer is kept in the same transaction, but for its top-level
 * members "token" and shown_once, and the tokens of "first_key" and "invitation", and a repetition is answered with it, without `run`. */
enum ks_finish ks_call_write(struct ks_call *call, enum ks_err (*run)(struct ks_call *call, struct ks_tx *tx), int status);

/** Answers a refusal of the engine's. */
enum ks_finish ks_call_answer_refusal(struct ks_call *call, enum ks_err err, const struct ks_refusal *refusal);

/** What a switch of the thing in the path works with, in call->extra. */
struct ks_switch {
	uint64_t id;
	bool on;
};
/** As ks_call_write, for turning the thing with the id in the path (of this type) on or off, or removing it. */
enum ks_finish ks_call_switch(struct ks_call *call, enum ks_id_type type, bool on,
			      enum ks_err (*run_switch)(struct ks_call *call, struct ks_tx *tx));

/** Runs `handler` on a thread for reading, so that a long list delays no decision, and answers when it has returned (KS_FINISH_DONE). There call->reader is
 * that thread's. */
enum ks_finish ks_call_later(struct ks_call *call, ks_call_handler *handler);

/** Runs `handler` on a thread for hashing passwords, where it may take long and much memory; it answers (KS_FINISH_DONE) or
 * submits a change (KS_FINISH_PENDING). `overloaded` where too many wait. */
enum ks_finish ks_call_hash(struct ks_call *call, ks_call_handler *handler);

/** The same on one of the threads that wait for the keeper or for customers' stores. */
enum ks_finish ks_call_vault(struct ks_call *call, ks_call_handler *handler);

/** The same on one of the threads that are for webhooks, which strangers send. */
enum ks_finish ks_call_hook(struct ks_call *call, ks_call_handler *handler);

/** Reads `name` of a form (application/x-www-form-urlencoded; a query is one), decoded into `storage`. */
enum ks_form { KS_FORM_ABSENT, KS_FORM_FOUND, KS_FORM_REPEATED, KS_FORM_MALFORMED };
enum ks_form ks_form_get(struct ks_str form, const char *name, char *storage, size_t cap, struct ks_str *ret_value);
/** The same for a value of any bytes. */
enum ks_form ks_form_get_bytes(struct ks_str form, const char *name, char *storage, size_t cap, struct ks_str *ret_value);

/** The value of a query parameter, percent-decoded into `storage`; false if absent. A doubled, unknown (see ks_call_query_known) or undecodable one is a
 * problem in call->in with the pointer "?name". */
bool ks_call_query(struct ks_call *call, const char *name, char *storage, size_t cap, struct ks_str *ret_value);
/** For routes without parameters. False: there was one, and the exchange is answered. */
bool ks_call_no_query(struct ks_call *call);
/** Notes that the parameter's value is not valid. */
void ks_call_query_problem(struct ks_call *call, const char *name, const char *detail);
void ks_call_query_known(struct ks_call *call, const char *const *names);

/** `limit` and `cursor` of a list, and how far the page has come. */
struct ks_page {
	size_t limit;
	uint64_t before;
	size_t count;
	uint64_t last;    /* id of the last row taken */
	bool more;        /* there was one that the page has no place for */
};
void ks_call_page(struct ks_call *call, struct ks_page *ret_page);
/** The same where `limit` may be up to `max`. */
void ks_call_page_up_to(struct ks_call *call, uint64_t max, struct ks_page *ret_page);
/** Begins a list: what is written next stands in "items". */
void ks_call_page_open(struct ks_call *call);
/** True: the row with this id has a place on the page, and is written now. Ask for one row more than `limit`. */
bool ks_page_take(struct ks_page *page, uint64_t id);
/** Ends a list: closes "items" and writes "next": a cursor if `more`, else null. */
void ks_call_page_end(struct ks_call *call, bool more, uint64_t last_id);
/** Ends the list with what the page has taken and answers with it, or with the problem of the reading. */
enum ks_finish ks_call_page_answer(struct ks_call *call, const struct ks_page *page, enum ks_err err);

/** The tenant ids that a list for this actor may show: *ret_organization (one index range) or *ret_tenants (heap; ascending), or everything (both 0, all true).
 * `within` (0: none) narrows to one tenant and what is below; false: not seen. */
struct ks_view {
	bool all;
	uint64_t organization;
	uint64_t *tenants;
	size_t tenant_count;
	bool many;               /* more than were asked for: `tenants` has some of them */
};
bool ks_call_view(struct ks_call *call, uint64_t within, struct ks_view *ret_view);
/** The same, but it stops at more than `most` tenants. */
bool ks_call_view_of(struct ks_call *call, uint64_t within, size_t most, struct ks_view *ret_view);
void ks_view_free(struct ks_view *view);

/** The id of the tenant that `text` names, if it is one in its one spelling and the caller sees it: everything else is one and the same false. */
bool ks_call_tenant(struct ks_call *call, struct ks_str text, uint64_t *ret_id);
/** Member `name` of `object` names a tenant: false where the exchange is answered, with tenant_forbidden where the caller does not see it. A text that is
 * no id of a tenant is a problem in call->in. Missing or null: *ret_id is untouched. */
bool ks_call_tenant_member(struct ks_call *call, const json_t *object, const char *base, const char *name, bool required,
			   uint64_t *ret_id);
/** Answers that a tenant which was named is not seen, or does not exist: one and the same. */
enum ks_finish ks_call_tenant_forbidden(struct ks_call *call);
/** The same as ks_call_tenant_member for the query parameter `name`. */
bool ks_call_tenant_query(struct ks_call *call, const char *name, uint64_t *ret_id);

/** True if the caller sees the user: its home organization, or its personal tenant. */
bool ks_call_sees_user(struct ks_call *call, const struct ks_user_row *row);

/* Records as the contract shows them (records.c). */

/** A key; `token` NULL but in the one answer that shows it. `grant_body` is the row's grant's. */
void ks_record_key(struct ks_json *json, const struct ks_key_row *row, struct ks_str grant_body, const char *token, int64_t now_ms);
/** The same with the grant as `store` has it. */
KS_MUST_USE enum ks_err ks_record_key_row(struct ks_store *store, struct ks_json *json, const struct ks_key_row *row, const char *token,
					  int64_t now_ms);
/** The key with this id as `store` has it; KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_record_key_by_id(struct ks_store *store, struct ks_json *json, uint64_t id, const char *token, int64_t now_ms);
/** What GET /v1/keys means by `status`: an end set by a rotation counts as a revocation. */
enum ks_key_status ks_record_key_status(const struct ks_key_row *row, int64_t now_ms);
/** A tenant. `ring` tells the kind of its parent, which stays null for an actor that does not see it. */
void ks_record_tenant(struct ks_json *json, const struct ks_tenant_row *row, const struct ks_ring *ring, const struct ks_actor *actor);
KS_MUST_USE enum ks_err ks_record_tenant_by_id(struct ks_store *store, struct ks_json *json, uint64_t id, const struct ks_ring *ring,
					       const struct ks_actor *actor);
void ks_record_user(struct ks_json *json, const struct ks_user_row *row);
KS_MUST_USE enum ks_err ks_record_user_by_id(struct ks_store *store, struct ks_json *json, uint64_t id);

/* Handlers, one file a resource. */
#define KS_ROUTE(method, path, auth, body, handler, start) ks_call_handler handler;
#include "api/routes.def"
#undef KS_ROUTE
ks_call_handler ks_api_keys_import_start;
ks_call_handler ks_api_hooks;
