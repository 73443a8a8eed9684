/* SPDX-License-Identifier: Apache-2.0 */
/* From an exchange to a handler: find the route, decide whether the caller may, read the body, call. */
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/intake.h"
#include "api/counters.h"
#include "api/login.h"
#include "base/secret.h"
#include "crypto/random.h"

static const struct ks_route routes[] = {
#define KS_ROUTE(method, path, auth, body, handler, start) {method, path, auth, body, handler, start},
#include "api/routes.def"
#undef KS_ROUTE
};

static void thread_free(void *p)
{
	struct ks_api_thread *thread = p;

	ks_engine_reader_close(&thread->reader);
	ks_verifier_free(&thread->verifier);
	free(thread->room);
	free(thread);
}

static void release(struct ks_api *api)
{
	ks_tasks_done(&api->tasks);
	ks_tasks_done(&api->vault);
	ks_tasks_done(&api->hooks);
	ks_tasks_done(&api->hashing);
	(void)pthread_mutex_destroy(&api->throttle_lock);
	ks_github_keys_free(&api->github_keys);
	ks_gate_done(&api->leak_gate);
	ks_gate_done(&api->hook_gate);
	free(api->throttle);
	free(api->route_shapes);
	free(api);
}

static struct ks_route_shape shape_of(const struct ks_route *route)
{
	struct ks_route_shape shape = {.segments = 0};
	struct ks_str rest = ks_str_c(route->path + 1), segment;
	bool more = true;

	while (more) {
		segment = rest;
		more = ks_str_split(rest, '/', &segment, &rest);
		if (++shape.segments != 2 || segment.n == 0 || segment.p[0] == '{')
			continue;
		shape.second_n = segment.n;
		shape.second = segment.p[0];
	}
	return shape;
}

/* Most routes have another shape than a request's path, and need not be compared with it. */
static enum ks_err make_shapes(struct ks_api *api)
{
	api->route_shapes = calloc(KS_ARRAY_LEN(routes), sizeof(*api->route_shapes));
	if (!api->route_shapes)
		return KS_MEMORY;
	for (size_t i = 0; i < KS_ARRAY_LEN(routes); i++)
		api->route_shapes[i] = shape_of(&routes[i]);
	return KS_OK;
}

static bool may_take(const struct ks_route_shape *shape, const struct ks_path *path)
{
	if (shape->segments != path->count)
		return false;
	return shape->second_n == 0
	       || (shape->second_n == path->segments[1].n && shape->second == path->segments[1].p[0]);
}

enum ks_err ks_api_new(struct ks_engine *engine, const struct ks_api_options *options, struct ks_api **ret_api)
{
	struct ks_api *api = calloc(1, sizeof(*api));
	enum ks_err err;

	if (!api)
		return KS_MEMORY;
	ks_in_wipes();
	api->engine = engine;
	api->options = *options;
	(void)pthread_mutex_init(&api->throttle_lock, NULL);
	ks_tasks_init(&api->tasks, api, KS_API_WORKERS, KS_API_LATER_MAX);
	ks_tasks_init(&api->vault, api, KS_API_VAULT_WORKERS, KS_API_LATER_MAX);
	ks_tasks_init(&api->hooks, api, KS_API_HOOK_WORKERS, KS_API_LATER_MAX);
	ks_tasks_init(&api->hashing, api, KS_API_WORKERS, KS_API_HASHES_MAX);
	api->throttle = calloc(1, sizeof(*api->throttle));
	err = api->throttle ? ks_random(api->throttle->seed, sizeof(api->throttle->seed)) : KS_MEMORY;
	if (err == KS_OK)
		err = ks_tasks_share(&api->vault);
	if (err == KS_OK)
		err = make_shapes(api);
	if (err == KS_OK)
		err = ks_gate_init(&api->leak_gate);
	if (err == KS_OK)
		err = ks_gate_init(&api->hook_gate);
	if (err == KS_OK)
		err = ks_github_keys_new(options->github_keys_url, &options->fetch, &api->github_keys);
	if (err == KS_OK && pthread_key_create(&api->thread_key, thread_free) != 0)
		err = KS_SYSTEM;
	if (err != KS_OK) {
		release(api);
		return err;
	}
	*ret_api = api;
	return KS_OK;
}

enum ks_err ks_api_set_github_keys(struct ks_api *api, struct ks_str json)
{
	return ks_github_keys_take(api->github_keys, json);
}

void ks_api_thread_done(struct ks_api *api)
{
	struct ks_api_thread *thread = pthread_getspecific(api->thread_key);

	if (!thread)
		return;
	(void)pthread_setspecific(api->thread_key, NULL);
	thread_free(thread);
}

void ks_api_free(struct ks_api **api)
{
	if (!*api)
		return;
	ks_github_keys_stop((*api)->github_keys);
	ks_tasks_end(&(*api)->tasks);
	ks_tasks_end(&(*api)->vault);
	ks_tasks_end(&(*api)->hooks);
	ks_tasks_end(&(*api)->hashing);
	ks_api_thread_done(*api);
	(void)pthread_key_delete((*api)->thread_key);
	release(*api);
	*api = NULL;
}

struct ks_api_thread *ks_api_thread(struct ks_api *api)
{
	struct ks_api_thread *thread = pthread_getspecific(api->thread_key);

	if (KS_LIKELY(thread != NULL))
		return thread;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->federation = api->options.federation;
	if (ks_engine_reader_open(api->engine, &thread->reader) != KS_OK) {
		free(thread);
		return NULL;
	}
	if (pthread_setspecific(api->thread_key, thread) != 0) {
		thread_free(thread);
		return NULL;
	}
	return thread;
}

void ks_api_log(const struct ks_api *api, int level, const char *event, const char *text)
{
	if (api->options.log)
		api->options.log(api->options.log_ctx, level, event, text);
}

/* ---- routes ---- */

/* Compares one pattern with the path's segments; remembers what its parameters stand for. */
static bool route_takes(const struct ks_route *route, const struct ks_path *path, struct ks_str params[KS_CALL_PARAMS_MAX])
{
	struct ks_str rest = ks_str_c(route->path + 1);
	size_t param = 0;

	for (size_t i = 0; i < path->count; i++) {
		struct ks_str want = rest;
		bool more = ks_str_split(rest, '/', &want, &rest);

		if (want.n > 0 && want.p[0] == '{') {
			if (path->segments[i].n == 0 || param == KS_CALL_PARAMS_MAX)
				return false;
			params[param++] = path->segments[i];
		} else if (!ks_str_eq(want, path->segments[i])) {
			return false;
		}
		if (!more)
			return i + 1 == path->count;
	}
	return false;
}

/* HEAD is answered as GET without the body. */
static struct ks_str route_method(const struct ks_exchange *exchange)
{
	return ks_str_eq(exchange->method, KS_STR("HEAD")) ? KS_STR("GET") : exchange->method;
}

/* *ret_path_known: some route has this path, with another method. */
static const struct ks_route *find_route(const struct ks_api *api, struct ks_str method, const struct ks_path *path,
					 struct ks_str params[KS_CALL_PARAMS_MAX], bool *ret_path_known)
{
	*ret_path_known = false;
	for (size_t i = 0; i < KS_ARRAY_LEN(routes); i++) {
		if (!may_take(&api->route_shapes[i], path) || !route_takes(&routes[i], path, params))
			continue;
		if (ks_str_eq(ks_str_c(routes[i].method), method))
			return &routes[i];
		*ret_path_known = true;
	}
	return NULL;
}

/* No route has this method and path: 405 with what the path takes (RFC 9110, 15.5.6), or 404. */
static void refuse_route(const struct ks_api *api, struct ks_exchange *x, const struct ks_path *path, bool path_known)
{
	const struct ks_problem_info *info = ks_problem_info(path_known ? KS_PROBLEM_METHOD_NOT_ALLOWED : KS_PROBLEM_NOT_FOUND);
	struct ks_str params[KS_CALL_PARAMS_MAX];
	size_t at = x->text.n;

	for (size_t i = 0; path_known && i < KS_ARRAY_LEN(routes); i++) {
		if (!may_take(&api->route_shapes[i], path) || !route_takes(&routes[i], path, params))
			continue;
		ks_buf_put_c(&x->text, x->text.n > at ? ", " : "");
		ks_buf_put_c(&x->text, routes[i].method);
		if (ks_str_eq(ks_str_c(routes[i].method), KS_STR("GET")))
			ks_buf_put_c(&x->text, ", HEAD");
	}
	if (path_known)
		ks_exchange_answer_header(x, KS_STR("Allow"), ks_str_of(x->text.p + at, x->text.n - at));
	ks_exchange_problem(x, info->code, info->status, info->title, NULL, NULL, KS_STR(""));
}

/* ---- who calls ---- */

/* The console's cookie is a credential here, and nowhere else. *ret_cookie: it was sent. */
static void request_of(const struct ks_api *api, const struct ks_exchange *x, struct ks_credential *credential, bool with_route, bool *ret_cookie,
		       struct ks_request *ret_request)
{
	size_t tenants = 0;

	ks_present(api, x, credential);
	*ret_cookie = ks_cookie_present(api, x, credential);
	*ret_request = (struct ks_request){
		.credential = credential,
		.credential_alone = !with_route,
		.method = route_method(x),
		.path = x->target,
		.tenant = ks_exchange_header(x, KS_STR("X-Tenant-Id"), &tenants),
		.host = ks_exchange_header(x, KS_STR("Host"), NULL),
		.now_ms = x->now_ms,
	};
	ret_request->tenant_repeated = tenants > 1;
	ret_request->address_known = ks_client_address(api, x, &ret_request->address);
}

/* True: call->actor is who asks, and may. False: the exchange is answered. */
static bool admit(struct ks_call *call, struct ks_api_thread *thread)
{
	struct ks_exchange *x = call->exchange;
	const struct ks_ring *ring = ks_ringmap_reader_ring(thread->reader.ring);
	struct ks_request request;
	bool basic;

	if (call->route->auth == KS_AUTH_OPEN)
		return true;
	if (!ring) {
		struct ks_decision stale = {.reason = KS_REASON_STALE, .step = KS_STEP_LEASE};

		ks_exchange_refuse(call->api, x, ring, &stale, false);
		return false;
	}
	if (x->local) {
		ks_actor_local(ring, &call->actor);
	} else if (call->route->auth == KS_AUTH_LOCAL) {
		(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
		return false;
	} else {
		request_of(call->api, x, &thread->credential, call->route->auth == KS_AUTH_SELF,
			   &call->by_cookie, &request);
		if (call->by_cookie && !ks_cookie_may(call->api, x)) {
			ks_credential_wipe(&thread->credential);
			(void)ks_call_problem(call, KS_PROBLEM_REQUEST_FORGED, NULL);
			return false;
		}
		ks_present_jwt(thread, ring, KS_JWT_AUDIENCE_SERVICE, &request);
		ks_decide(ring, KS_RING_POLICY_SELF, &request, &thread->path, &thread->decision);
		basic = thread->credential.basic_tried;
		ks_credential_wipe(&thread->credential);
		if (thread->decision.lookup == KS_LOOKUP_UNKNOWN)
			ks_api_count_unknown();
		if (thread->decision.reason == KS_REASON_OK)
			ks_actor_of_decision(ring, &thread->decision, &call->actor);
		if (thread->decision.reason == KS_REASON_OK && call->route->auth == KS_AUTH_USER && call->actor.session == 0)
			thread->decision.reason = KS_REASON_KIND_NOT_ALLOWED;
		if (thread->decision.reason != KS_REASON_OK) {
			ks_exchange_refuse(call->api, x, ring, &thread->decision, basic);
			return false;
		}
		if (request.address_known)
			ks_addr_format(&request.address, call->actor.address);
	}
	(void)memcpy(call->actor.request_id, x->request_id, sizeof(call->actor.request_id));
	return true;
}

/* ---- the two halves of an exchange ---- */

static bool media_type_is(const struct ks_exchange *x, struct ks_str want)
{
	struct ks_str type = ks_exchange_header(x, KS_STR("Content-Type"), NULL);
	struct ks_str rest;

	if (!ks_str_split(type, ';', &type, &rest))
		rest = KS_STR("");
	return ks_str_eq_nocase(ks_str_trim(type), want);
}

static bool has_body(const struct ks_exchange *x)
{
	struct ks_str length = ks_exchange_header(x, KS_STR("Content-Length"), NULL);

	return (!ks_str_empty(length) && !ks_str_eq(length, KS_STR("0")))
	       || !ks_str_empty(ks_exchange_header(x, KS_STR("Transfer-Encoding"), NULL));
}

/* Who fills in a form is told so by a page. */
static bool page_fits(struct ks_call *call)
{
	struct ks_str length = ks_exchange_header(call->exchange, KS_STR("Content-Length"), NULL);
	uint64_t n;

	if (ks_str_empty(length) || ks_str_to_u64(length, call->exchange->body_max, &n))
		return true;
	(void)ks_intake_say(call, 413, "This is too large.",
			    "A value has at most 32 KiB. Nothing was taken; the link stays as it is.");
	return false;
}

/* False: answered. */
static bool body_fits(struct ks_call *call)
{
	struct ks_exchange *x = call->exchange;

	switch (call->route->body) {
	case KS_BODY_NONE:
		x->body_max = 0;
		return true;
	case KS_BODY_JSON_OPTIONAL:
		if (!has_body(x))
			return true;
		/* fallthrough */
	case KS_BODY_JSON_FILES:
	case KS_BODY_JSON:
	case KS_BODY_RAW:
		if (call->route->body == KS_BODY_JSON_FILES)
			x->body_max = KS_CALL_FILES_MAX;
		if (media_type_is(x, KS_STR("application/json")))
			return true;
		(void)ks_call_problem(call, KS_PROBLEM_MEDIA_TYPE, "The body must be application/json.");
		return false;
	case KS_BODY_FORM:
		if (media_type_is(x, KS_STR("application/x-www-form-urlencoded")))
			return true;
		(void)ks_call_problem(call, KS_PROBLEM_MEDIA_TYPE, "The body must be application/x-www-form-urlencoded.");
		return false;
	case KS_BODY_PAGE:
		return page_fits(call);
	case KS_BODY_STREAM:
		x->body_max = SIZE_MAX;
		return true;
	}
	return false;
}

/* Parameters are copied: the path's scratch is used again by the thread's next request. */
static bool keep_params(struct ks_call *call, const struct ks_str params[KS_CALL_PARAMS_MAX])
{
	struct ks_buf b = KS_BUF(call->param_bytes);

	for (size_t i = 0; i < KS_CALL_PARAMS_MAX && params[i].p; i++) {
		size_t at = b.n;

		ks_buf_put(&b, params[i]);
		call->params[i] = ks_str_of(b.p + at, b.n - at);
	}
	return ks_buf_ok(&b);
}

static bool is_authorize(struct ks_str path)
{
	struct ks_str base = KS_STR("/v1/authorize");

	return ks_str_starts(path, base) && (path.n == base.n || path.p[base.n] == '/');
}

static struct ks_call *call_new(struct ks_api *api, struct ks_exchange *x, const struct ks_route *route,
				struct ks_api_thread *thread)
{
	struct ks_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->api = api;
	call->exchange = x;
	call->route = route;
	call->reader = &thread->reader;
	ks_json_init(&call->out);
	x->state = call;
	return call;
}

/* What platforms send, by any method and with any path behind the source's: it is not ours to read. False: it is none. */
static bool begin_hook(struct ks_api *api, struct ks_exchange *x, struct ks_api_thread *thread)
{
	static const struct ks_route route = {"*", "/hooks/{source}", KS_AUTH_OPEN, KS_BODY_PAGE, ks_api_hooks, NULL};
	struct ks_str path = ks_exchange_path(x), base = KS_STR("/hooks/"), rest;
	struct ks_str params[KS_CALL_PARAMS_MAX] = {0};
	struct ks_call *call;

	if (!api->options.inbound || !ks_str_starts(path, base))
		return false;
	params[0] = ks_str_sub(path, base.n, SIZE_MAX);
	(void)!ks_str_split(params[0], '/', &params[0], &rest);
	call = call_new(api, x, &route, thread);
	if (call && (params[0].n > KS_ID_TEXT_SIZE || !keep_params(call, params)))
		call->params[0] = KS_STR("");
	x->body_max = api->options.hook_body_max ? api->options.hook_body_max : KS_BODY_MAX;
	if (!call)
		x->status = 503;
	return true;
}

static void begin(void *ctx, struct ks_exchange *x)
{
	struct ks_api *api = ctx;
	struct ks_api_thread *thread = ks_api_thread(api);
	struct ks_str params[KS_CALL_PARAMS_MAX] = {0};
	const struct ks_route *route;
	struct ks_call *call;
	bool path_known;

	if (!thread) {
		ks_exchange_problem(x, "stale", 503, "This node cannot read the ring or the store.", NULL, NULL, KS_STR(""));
		return;
	}
	if (is_authorize(ks_exchange_path(x))) {
		ks_api_authorize(api, x);
		return;
	}
	if (begin_hook(api, x, thread))
		return;
	if (ks_path_read(x->target, &thread->path) != KS_PATH_OK) {
		const struct ks_reason_info *why = ks_reason_info(KS_REASON_PATH_AMBIGUOUS);

		ks_exchange_problem(x, why->code, why->status, why->text, NULL, NULL, KS_STR(""));
		return;
	}
	route = find_route(api, route_method(x), &thread->path, params, &path_known);
	if (!route) {
		refuse_route(api, x, &thread->path, path_known);
		return;
	}
	call = call_new(api, x, route, thread);
	if (!call) {
		const struct ks_problem_info *info = ks_problem_info(KS_PROBLEM_INTERNAL);

		ks_exchange_problem(x, info->code, info->status, info->title, NULL, NULL, KS_STR(""));
		return;
	}
	if (!keep_params(call, params)) {
		(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
		return;
	}
	if (!admit(call, thread) || !body_fits(call))
		return;
	if (route->start)
		(void)route->start(call);
}

static bool parse_body(struct ks_call *call)
{
	struct ks_exchange *x = call->exchange;
	char detail[256];

	enum ks_route_body kind = call->route->body;

	if (kind != KS_BODY_JSON && kind != KS_BODY_JSON_FILES
	    && (kind != KS_BODY_JSON_OPTIONAL || ks_str_empty(x->body)))
		return true;
	call->body = ks_in_parse(x->body, detail);
	if (!call->body)
		(void)ks_call_problem(call, KS_PROBLEM_BODY_MALFORMED, detail);
	return call->body != NULL;
}

static enum ks_finish finish(void *ctx, struct ks_exchange *x)
{
	struct ks_api *api = ctx;
	struct ks_call *call = x->state;
	struct ks_api_thread *thread = ks_api_thread(api);

	if (!call || !thread)
		return KS_FINISH_DONE;
	call->reader = &thread->reader;
	if (!parse_body(call))
		return KS_FINISH_DONE;
	ks_call_look(call, call->reader->store, ks_call_ring(call));
	return call->route->handler(call);
}

void ks_call_free(struct ks_call *call)
{
	if (!call)
		return;
	if (call->body)
		json_decref(call->body);
	ks_json_free(&call->out);
	if (call->drop)
		call->drop(call);
	else
		free(call->extra);
	ks_wipe(call, sizeof(*call));
	free(call);
}

static void closed(void *ctx, struct ks_exchange *x)
{
	(void)ctx;
	ks_call_free(x->state);
	x->state = NULL;
}

struct ks_handler ks_api_handler(struct ks_api *api)
{
	return (struct ks_handler){.ctx = api, .begin = begin, .finish = finish, .closed = closed};
}

extern const unsigned char ks_embedded_self_policy[];
extern const size_t ks_embedded_self_policy_size;
extern const unsigned char ks_embedded_openapi[];
extern const size_t ks_embedded_openapi_size;

struct ks_str ks_api_self_policy(void)
{
	return ks_str_of((const char *)ks_embedded_self_policy, ks_embedded_self_policy_size);
}

struct ks_str ks_api_openapi(void)
{
	return ks_str_of((const char *)ks_embedded_openapi, ks_embedded_openapi_size);
}
