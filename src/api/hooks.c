/* SPDX-License-Identifier: Apache-2.0 */
/* /hooks/{source}: what platforms send. A request is verified on the bytes as they came, and only then looked at;
 * what is not genuine leaves a count, and is answered alike whatever is wrong with it. */
#include "api/hooks.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/secret.h"
#include "inbound/inbound.h"

#define RETRY_S "60"
#define LOG_EVERY_MS 10000
#define URL_SIZE (KS_ENGINE_ISSUER_NAME_SIZE + KS_TARGET_MAX + 1)
#define CERTS_ROOM ((size_t)64 << 10)
#define ROOM_KEPT ((size_t)1 << 20)   /* that a thread keeps */

/* ---- counts ---- */

static _Atomic uint64_t counts[KS_HOOK_COUNT], refused[KS_HOOKSIG_CODE_COUNT];

uint64_t ks_hooks_counted(enum ks_hook_outcome outcome)
{
	return atomic_load_explicit(&counts[outcome], memory_order_relaxed);
}

uint64_t ks_hooks_refused(enum ks_hooksig_code code)
{
	return atomic_load_explicit(&refused[code], memory_order_relaxed);
}

static void count(enum ks_hook_outcome outcome)
{
	(void)atomic_fetch_add_explicit(&counts[outcome], 1, memory_order_relaxed);
}

/* ---- a request ---- */

struct hook {
	uint64_t id;
	struct ks_inbound_source *source;
	struct ks_source_look look;
	struct ks_hooksig_request request;
	struct ks_hooksig_header headers[KS_HEADERS_MAX];
	struct ks_str certs[KS_HOOKSIG_CERTS_MAX];
	struct ks_hooksig_answer answer;
	struct ks_digest replay;
	struct ks_inbound_message message;
	struct ks_inbound_outcome outcome;
	struct ks_buf room;          /* of the decision, the thread's or own; the answer borrows from it */
	char *own_room;
	char *kept;                  /* headers, target and more as they will be kept */
	char *cert_room;
	bool learned;
	char url[URL_SIZE];
	char address[KS_ADDR_TEXT_SIZE];
};

static void drop(struct ks_call *call)
{
	struct hook *hook = call->extra;

	if (!hook)
		return;
	ks_inbound_release(&hook->source);
	free(hook->own_room);
	free(hook->kept);
	free(hook->cert_room);
	free(hook);
}

/* ---- answers ---- */

static void take_back(struct ks_exchange *x)
{
	free(x->heap);
	x->heap = NULL;
	x->answer_body = KS_STR("");
	x->answer_header_count = 0;
}

/* What the scheme answers; copied, for it is sent when the request is gone. */
static enum ks_finish respond(struct ks_call *call, const struct ks_hooksig_response *response)
{
	struct ks_exchange *x = call->exchange;

	take_back(x);
	x->status = response->status ? (int)response->status : 200;
	if (!ks_str_empty(response->content_type)) {
		size_t at = x->text.n;

		ks_buf_put(&x->text, response->content_type);
		ks_exchange_answer_header(x, KS_STR("Content-Type"), ks_str_sub(ks_buf_str(&x->text), at, SIZE_MAX));
	}
	for (size_t i = 0; i < response->header_count; i++) {
		size_t name = x->text.n, value;

		ks_buf_put(&x->text, response->headers[i].name);
		value = x->text.n;
		ks_buf_put(&x->text, response->headers[i].value);
		ks_exchange_answer_header(x, ks_str_of(&x->text.p[name], value - name),
					  ks_str_sub(ks_buf_str(&x->text), value, SIZE_MAX));
	}
	if (response->body.n > 0)
		x->heap = malloc(response->body.n);
	if (!ks_buf_ok(&x->text) || (response->body.n > 0 && !x->heap)) {
		take_back(x);
		x->status = 503;
		return KS_FINISH_DONE;
	}
	if (response->body.n > 0) {
		memcpy(x->heap, response->body.p, response->body.n);
		x->answer_body = ks_str_of(x->heap, response->body.n);
	}
	return KS_FINISH_DONE;
}

/* A flood of them is one line now and then. */
static void log_refused(struct ks_call *call)
{
	static _Atomic int64_t next_ms;
	int64_t next = atomic_load_explicit(&next_ms, memory_order_relaxed), now = call->exchange->now_ms;
	char text[64];
	struct ks_buf b = KS_BUF(text);

	if (now < next
	    || !atomic_compare_exchange_strong_explicit(&next_ms, &next, now + LOG_EVERY_MS, memory_order_relaxed,
							memory_order_relaxed))
		return;
	ks_buf_printf(&b, "%llu so far", (unsigned long long)ks_hooks_counted(KS_HOOK_REFUSED));
	ks_api_log(call->api, 1, "webhooks_refused", ks_buf_z(&b));
}

static enum ks_finish refuse(struct ks_call *call)
{
	static const struct ks_hooksig_response plain = {.status = 401};
	const struct hook *hook = call->extra;

	count(KS_HOOK_REFUSED);
	log_refused(call);
	if (!hook || !hook->source)
		return respond(call, &plain);
	(void)atomic_fetch_add_explicit(&refused[hook->answer.code], 1, memory_order_relaxed);
	return respond(call, hook->answer.code == KS_HOOKSIG_OK ? &plain : &hook->answer.response);
}

/* Not now: the platform sends it again. */
static enum ks_finish put_off(struct ks_call *call, enum ks_hook_outcome outcome, int status)
{
	count(outcome);
	take_back(call->exchange);
	call->exchange->status = status;
	ks_exchange_answer_header(call->exchange, KS_STR("Retry-After"), KS_STR(RETRY_S));
	return KS_FINISH_DONE;
}

/* ---- what the request is ---- */

/* Of the TLS connection, or as a trusted proxy tells. */
static bool read_certs(struct ks_call *call, struct hook *hook)
{
	struct ks_exchange *x = call->exchange;
	const char *name = call->api->options.hook_certificate_header;
	struct ks_str chain = KS_STR(""), cert = KS_STR("");
	struct ks_buf room;
	size_t found = 0;

	if (name && name[0] && ks_client_is_proxied(call->api, x)) {
		cert = ks_exchange_header(x, ks_str_c(name), &found);
		chain = ks_exchange_header(x, KS_STR("Client-Cert-Chain"), NULL);
	}
	if (found != 1 && x->client_cert_count == 0)
		return true;
	hook->cert_room = malloc(CERTS_ROOM);
	if (!hook->cert_room)
		return false;
	room = ks_buf_of(hook->cert_room, CERTS_ROOM);
	if (found == 1) {
		hook->request.cert_count = ks_inbound_proxied_certs(cert, chain, &room, hook->certs, KS_HOOKSIG_CERTS_MAX);
	} else {
		for (size_t i = 0; i < x->client_cert_count && i < KS_HOOKSIG_CERTS_MAX; i++) {
			size_t from = room.n;

			ks_inbound_put_pem(x->client_certs[i], &room);
			hook->certs[i] = ks_str_sub(ks_buf_str(&room), from, SIZE_MAX);
		}
		hook->request.cert_count = ks_buf_ok(&room) ? KS_MIN(x->client_cert_count, (size_t)KS_HOOKSIG_CERTS_MAX) : 0;
	}
	hook->request.certs = hook->certs;
	return true;
}

/* The origin is the settings': who sends a Host would choose what was signed. */
static bool read_request(struct ks_call *call, struct hook *hook)
{
	const struct ks_api_options *o = &call->api->options;
	struct ks_exchange *x = call->exchange;
	const char *origin = o->hook_origin && o->hook_origin[0] ? o->hook_origin
								 : ks_engine_options(call->api->engine)->issuer.name;
	struct ks_buf url = KS_BUF(hook->url);
	struct ks_addr address;

	ks_buf_put_c(&url, origin);
	ks_buf_put(&url, x->target);
	for (size_t i = 0; i < x->header_count; i++)
		hook->headers[i] = (struct ks_hooksig_header){x->headers[i].name, x->headers[i].value};
	if (ks_client_address(call->api, x, &address))
		ks_addr_format(&address, hook->address);
	hook->request = (struct ks_hooksig_request){
		.method = x->method,
		.url = ks_buf_str(&url),
		.headers = hook->headers,
		.header_count = x->header_count,
		.body = x->body,
		.source_ip = ks_str_c(hook->address),
	};
	return ks_buf_ok(&url) && read_certs(call, hook);
}

/* Room for a decision on this thread. */
static bool take_room(struct ks_call *call, struct hook *hook)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);
	size_t n = ks_hooksig_room(call->exchange->body.n);

	if (n > ROOM_KEPT) {
		hook->own_room = hook->own_room ? hook->own_room : malloc(n);
		hook->room = ks_buf_of(hook->own_room, n);
		return hook->own_room != NULL;
	}
	if (thread && !thread->room) {
		thread->room = malloc(ROOM_KEPT);
		thread->room_n = ROOM_KEPT;
	}
	hook->room = ks_buf_of(thread ? thread->room : NULL, n);
	return hook->room.p != NULL;
}

/* ---- genuine ---- */

static enum ks_err run_receive(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_call *call = job->ctx;
	struct hook *hook = call->extra;

	return ks_inbound_receive(tx, &hook->message, &hook->outcome, &job->refusal);
}

static void received(struct ks_job *job)
{
	struct ks_call *call = job->ctx;
	struct hook *hook = call->extra;

	if (job->err == KS_NOT_FOUND) {
		(void)refuse(call);
	} else if (job->err != KS_OK) {
		(void)put_off(call, KS_HOOK_FAILED, 503);
	} else {
		count(hook->outcome.duplicate ? KS_HOOK_DUPLICATE : KS_HOOK_RECEIVED);
	}
	ks_exchange_complete(call->exchange);
}

/* Bytes that what is kept can have: each of a header's may become an escape of six, each of the target's one of
 * three. */
static size_t kept_max(const struct ks_call *call, const struct hook *hook)
{
	size_t n = 16 + 3 * call->exchange->target.n + hook->answer.confirm_url.n;

	for (size_t i = 0; i < hook->request.header_count; i++)
		n += 16 + 6 * (hook->headers[i].name.n + hook->headers[i].value.n);
	return n;
}

/* What is written is made now: the room is the next request's. */
static enum ks_err describe(struct ks_call *call, struct hook *hook)
{
	const struct ks_inbound_source *s = hook->source;
	const struct ks_hooksig_answer *a = &hook->answer;
	size_t headers, target, size = kept_max(call, hook);
	struct ks_buf kept;

	hook->kept = malloc(size);
	if (!hook->kept)
		return KS_MEMORY;
	kept = ks_buf_of(hook->kept, size);
	ks_inbound_put_headers(s, &hook->request, &kept);
	headers = kept.n;
	ks_inbound_put_target(s, call->exchange->target, &kept);
	target = kept.n;
	if (a->confirm_url.n <= KS_STORE_URL_MAX)
		ks_buf_put(&kept, a->confirm_url);
	if (!ks_buf_ok(&kept) || target - headers > KS_STORE_TARGET_MAX)
		return KS_TOO_LARGE;
	if (a->replay_key.n > 0)
		KS_TRY(ks_sha256(a->replay_key, &hook->replay));
	hook->message = (struct ks_inbound_message){
		.source = s->id,
		.tenant = s->tenant,
		.organization = s->organization,
		.revision = s->revision,
		.name = ks_str_c(s->name),
		.platform = ks_str_c(s->platform),
		.scheme = ks_str_c(s->scheme),
		.replay = a->replay_key.n > 0 ? &hook->replay : NULL,
		.replay_ms = a->replay_s * 1000,
		.received_at = call->exchange->now_ms,
		.method = call->exchange->method,
		.target = ks_str_sub(ks_buf_str(&kept), headers, target - headers),
		.peer = ks_str_c(hook->address),
		.headers = ks_str_sub(ks_buf_str(&kept), 0, headers),
		.body = call->exchange->body,
		.confirm_url = ks_str_sub(ks_buf_str(&kept), target, SIZE_MAX),
	};
	return KS_OK;
}

static enum ks_finish keep(struct ks_call *call, struct hook *hook)
{
	enum ks_err err = describe(call, hook);

	(void)respond(call, &hook->answer.response);
	call->job = (struct ks_job){.run = run_receive, .done = received, .ctx = call, .refuses_first = true};
	if (err == KS_OK)
		err = ks_engine_submit(call->api->engine, &call->job);
	return err == KS_OK ? KS_FINISH_PENDING : put_off(call, KS_HOOK_FAILED, 503);
}

/* A challenge that nothing vouches for is answered to whoever asks, so only while somebody waits for it. */
static enum ks_finish answer_challenge(struct ks_call *call, struct hook *hook)
{
	struct ks_addr address = {{0}};
	uint32_t retry_s;

	if (hook->answer.unauthenticated && call->exchange->now_ms >= hook->look.confirm_until)
		return refuse(call);
	(void)ks_client_address(call->api, call->exchange, &address);
	if (!ks_gate_take(&call->api->hook_gate, &address, call->api->options.hook_challenges, call->exchange->now_ms,
			  &retry_s))
		return put_off(call, KS_HOOK_LIMITED, 429);
	count(KS_HOOK_CHALLENGE);
	return respond(call, &hook->answer.response);
}

static bool takes(struct ks_call *call, const struct hook *hook)
{
	const struct ks_ring *ring = ks_call_ring(call);
	uint32_t index = ring ? ks_ring_tenant(ring, hook->source->tenant) : KS_RING_NONE;

	return hook->look.paused_at == KS_TIME_NONE && index != KS_RING_NONE
	       && !(atomic_load_explicit(&ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_INACTIVE);
}

/* ---- deciding ---- */

static enum ks_finish learn(struct ks_call *call);

static enum ks_finish decide(struct ks_call *call)
{
	struct hook *hook = call->extra;
	int64_t now_ms = call->exchange->now_ms;

	if (!take_room(call, hook))
		return put_off(call, KS_HOOK_FAILED, 503);
	ks_inbound_verify(hook->source, &hook->request, now_ms, &hook->room, &hook->answer);
	if (hook->answer.code != KS_HOOKSIG_OK && hook->source->learns && !hook->learned) {
		if (ks_inbound_may_learn(call->api->options.inbound, hook->source, &hook->request, now_ms, &hook->room))
			return ks_call_hook(call, learn);
		/* What it answers was in the room. */
		ks_inbound_verify(hook->source, &hook->request, now_ms, &hook->room, &hook->answer);
	}
	if (hook->answer.code != KS_HOOKSIG_OK)
		return refuse(call);
	if (hook->answer.challenge)
		return answer_challenge(call, hook);
	return takes(call, hook) ? keep(call, hook) : put_off(call, KS_HOOK_PAUSED, 503);
}

static enum ks_finish learn(struct ks_call *call)
{
	struct ks_inbound *inbound = call->api->options.inbound;
	struct ks_inbound_source *fresh;
	struct hook *hook = call->extra;
	enum ks_err err = take_room(call, hook) ? KS_OK : KS_MEMORY;

	if (err == KS_OK)
		err = ks_inbound_learn(inbound, call->reader->store, hook->source, &hook->request, call->exchange->now_ms,
				       &hook->room, &fresh);
	hook->learned = true;
	if (err == KS_OK) {
		ks_inbound_release(&hook->source);
		hook->source = fresh;
	}
	return err == KS_OK || err == KS_NOT_FOUND ? decide(call) : put_off(call, KS_HOOK_FAILED, 503);
}

static enum ks_finish load(struct ks_call *call)
{
	struct hook *hook = call->extra;
	enum ks_err err = ks_inbound_load(call->api->options.inbound, call->reader->store, hook->id, call->exchange->now_ms,
					  &hook->look, &hook->source);

	if (err == KS_NOT_FOUND)
		return refuse(call);
	return err == KS_OK ? decide(call) : put_off(call, KS_HOOK_FAILED, 503);
}

enum ks_finish ks_api_hooks(struct ks_call *call)
{
	struct hook *hook;
	uint64_t id;
	enum ks_err err;

	if (!ks_id_parse(call->params[0], KS_ID_SOURCE, &id))
		return refuse(call);
	hook = calloc(1, sizeof(*hook));
	call->extra = hook;
	call->drop = drop;
	if (!hook)
		return put_off(call, KS_HOOK_FAILED, 503);
	hook->id = id;
	err = ks_inbound_find(call->api->options.inbound, call->reader->store, id, call->exchange->now_ms, &hook->look,
			      &hook->source);
	if (err == KS_NOT_FOUND)
		return refuse(call);
	if ((err != KS_OK && err != KS_BUSY) || !read_request(call, hook))
		return put_off(call, KS_HOOK_FAILED, 503);
	return err == KS_BUSY ? ks_call_hook(call, load) : decide(call);
}
