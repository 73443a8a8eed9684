/* SPDX-License-Identifier: Apache-2.0 */
/* From a delivery that is due to a request, and from its answer to what is written about it. */
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "delivery/delivery_priv.h"
#include "engine/payload.h"

#define FIRST_BODY ((size_t)32 << 10)
#define KEPT_BODY ((size_t)16 << 10)   /* larger ones are not kept for other endpoints */
#define ANSWER_MAX 16384u              /* bytes of an answer that are read */
#define HEADERS 5
#define NOT_NOW_MS 1000                /* the keeper or the store does not answer */
#define WISH_MAX_MS 60000              /* how long an endpoint's Retry-After holds up its other deliveries */
#define BRAKE_SANE_MS 120000           /* more than any brake: the clock was set back */

/* ---- bodies ---- */

static void release(struct ks_delivery *d, struct dl_body *body)
{
	if (!body || --body->refs > 0)
		return;
	d->body_bytes -= body->n;
	free(body);
}

struct rendering {
	struct ks_delivery *delivery;
	const struct ks_ring *ring;
	struct ks_buf text;
	enum ks_err err;
};

static enum ks_err render(void *ctx, const struct ks_event_row *row)
{
	struct rendering *r = ctx;

	r->err = ks_payload_write(r->delivery->reader.store, r->ring, row, &r->text);
	return KS_OK;
}

/* Text of an event in memory of its own; the caller frees. */
static enum ks_err write_payload(struct ks_delivery *d, const struct ks_ring *ring, uint64_t event, struct ks_buf *ret_text)
{
	for (size_t cap = FIRST_BODY; cap <= KS_PAYLOAD_MAX; cap *= 4) {
		struct rendering r = {.delivery = d, .ring = ring, .text = ks_buf_of(malloc(cap), cap)};
		enum ks_err err = r.text.p ? ks_store_event_get(d->reader.store, event, render, &r) : KS_MEMORY;

		if (err == KS_OK)
			err = r.err;
		if (err == KS_OK) {
			*ret_text = r.text;
			return KS_OK;
		}
		free(r.text.p);
		if (err != KS_TOO_LARGE)
			return err;
	}
	return KS_TOO_LARGE;
}

static enum ks_err make_body(struct ks_delivery *d, const struct ks_ring *ring, uint64_t event, struct dl_body **ret_body)
{
	struct ks_buf text;
	struct dl_body *body;
	enum ks_err err = write_payload(d, ring, event, &text);

	if (err != KS_OK)
		return err;
	body = malloc(sizeof(*body) + text.n);
	if (!body) {
		free(text.p);
		return KS_MEMORY;
	}
	*body = (struct dl_body){.event = event, .refs = 1, .n = text.n};
	memcpy(body->bytes, text.p, text.n);
	free(text.p);
	d->body_bytes += body->n;
	*ret_body = body;
	return KS_OK;
}

static enum ks_err body_of(struct ks_delivery *d, const struct ks_ring *ring, uint64_t event, struct dl_body **ret_body)
{
	struct dl_body **kept = &d->payloads[event * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (DL_PAYLOADS - 1)];
	enum ks_err err;

	if (*kept && (*kept)->event == event) {
		(*kept)->refs++;
		*ret_body = *kept;
		return KS_OK;
	}
	err = make_body(d, ring, event, ret_body);
	if (err != KS_OK || (*ret_body)->n > KEPT_BODY)
		return err;
	release(d, *kept);
	*kept = *ret_body;
	(*kept)->refs++;
	return KS_OK;
}

void dl_payloads_free(struct ks_delivery *d)
{
	for (size_t i = 0; i < DL_PAYLOADS; i++) {
		release(d, d->payloads[i]);
		d->payloads[i] = NULL;
	}
}

/* ---- outcomes ---- */

/* What one attempt gave. */
struct outcome {
	const char *code;
	unsigned status, elapsed_ms;
	struct ks_str body;
	int64_t not_before;      /* as the answer wishes; KS_TIME_NONE */
	bool final;              /* no other attempt would give another outcome */
};

static bool is_success(const struct outcome *o)
{
	return o->status >= 200 && o->status < 300;
}

static const char *reason_to_disable(const struct ks_delivery *d, const struct dl_endpoint *e, const struct outcome *o,
				     int64_t now_ms)
{
	if (o->status == 410)
		return "gone";
	if (d->options.disable_after_ms && e->failing_since != KS_TIME_NONE
	    && now_ms - e->failing_since >= d->options.disable_after_ms)
		return "failing";
	return NULL;
}

/* What is known of the endpoint from now on. */
static void judge_endpoint(struct ks_delivery *d, struct dl_endpoint *e, const struct outcome *o, int64_t now_ms,
			   struct ks_delivery_result *r)
{
	if (is_success(o)) {
		r->works = e->failing_since != KS_TIME_NONE;
		e->failing_since = KS_TIME_NONE;
		e->failures = 0;
		e->braked_until = 0;
		return;
	}
	r->disable = reason_to_disable(d, e, o, now_ms);
	r->failing = e->failing_since == KS_TIME_NONE;
	if (r->failing)
		e->failing_since = r->at;
	e->failures++;
	e->braked_until = now_ms + ks_delivery_brake(&d->options.schedule, e->failures);
	if (o->not_before != KS_TIME_NONE)
		e->braked_until = KS_MAX(e->braked_until, KS_MIN(o->not_before, now_ms + WISH_MAX_MS));
	if (r->disable) {
		e->active = false;
		atomic_fetch_add_explicit(&d->disabled, 1, memory_order_relaxed);
		dl_say(d, 2, "endpoint_disabled", e->id, r->disable);
	}
}

/* Nothing rests on the jitter where there are no random numbers. */
static uint32_t random_bits(void)
{
	uint32_t random = UINT32_MAX / 2;

	if (ks_random(&random, sizeof(random)) != KS_OK)
		random = UINT32_MAX / 2;
	return random;
}

static enum ks_delivery_outcome judge_delivery(struct ks_delivery *d, const struct dl_item *item, const struct outcome *o,
					       int64_t now_ms, struct ks_delivery_result *r)
{
	r->state = KS_DELIVERY_DELIVERED;
	r->due_at = KS_TIME_NONE;
	if (is_success(o))
		return KS_DELIVERY_OUTCOME_DELIVERED;
	r->state = KS_DELIVERY_FAILED;
	if (!o->final && o->status != 410)
		r->due_at = ks_delivery_next(&d->options.schedule, item->tries + 1, r->first_at, now_ms, random_bits(),
					     o->not_before);
	if (r->due_at == KS_TIME_NONE)
		return KS_DELIVERY_OUTCOME_FAILED;
	r->state = KS_DELIVERY_PENDING;
	return KS_DELIVERY_OUTCOME_RETRIED;
}

static void put_result(struct ks_delivery *d, struct dl_endpoint *e, const struct dl_item *item, int64_t at,
		       const struct outcome *o)
{
	struct ks_delivery_result *r = &d->filling->items[d->filling->count++];
	int64_t now_ms = dl_now_ms();
	struct ks_buf code = KS_BUF(r->code);
	enum ks_delivery_outcome outcome;

	*r = (struct ks_delivery_result){
		.delivery = item->id,
		.endpoint = e->id,
		.at = at,
		.first_at = item->first_at == KS_TIME_NONE ? at : item->first_at,
		.elapsed_ms = o->elapsed_ms,
		.status = o->status,
	};
	ks_buf_put_c(&code, o->code);
	(void)ks_buf_z(&code);
	ks_delivery_excerpt(o->body, r->excerpt, sizeof(r->excerpt));
	judge_endpoint(d, e, o, now_ms, r);
	outcome = judge_delivery(d, item, o, now_ms, r);
	atomic_fetch_add_explicit(&d->attempts[outcome], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->attempt_ms, o->elapsed_ms, memory_order_relaxed);
}

/* ---- answers ---- */

static const char *code_of(enum ks_fetch_result result, int status)
{
	if (result != KS_FETCH_OK)
		return ks_fetch_code(result);
	if (status == 410)
		return "gone";
	return status >= 200 && status < 300 ? "ok" : "refused";
}

void dl_ended(void *ctx, void *tag, enum ks_fetch_result result, const struct ks_fetch_response *response)
{
	struct ks_delivery *d = ctx;
	struct dl_flight *f = tag;
	struct dl_endpoint *e = f->endpoint;
	bool answered = result == KS_FETCH_OK;
	struct outcome o = {
		.code = code_of(result, response->status),
		.status = answered ? (unsigned)response->status : 0,
		.elapsed_ms = response->elapsed_ms,
		.body = answered ? ks_str_of(response->body, response->body_n) : KS_STR(""),
		.not_before = answered ? ks_delivery_retry_after(ks_str_c(response->values[0]), dl_now_ms()) : KS_TIME_NONE,
	};

	e->flying--;
	d->flying--;
	d->flying_troubled -= f->troubled;
	/* What is cut off by a stop is as if it had not been begun. */
	if (result != KS_FETCH_STOPPED) {
		put_result(d, e, &f->item, f->at, &o);
		dl_ready_push(d, e);
	}
	release(d, f->body);
	free(f);
}

/* ---- requests ---- */

static enum ks_err note_key(void *ctx, const struct ks_endpoint_secret_row *row)
{
	struct dl_endpoint *e = ctx;

	if (e->key_count < KS_ENDPOINT_SECRETS_MAX)
		e->keys[e->key_count++] = (struct ks_signing_key){row->id, row->signature, row->ends_at};
	return KS_OK;
}

static enum ks_err sign(struct ks_delivery *d, struct dl_endpoint *e, const char *id, int64_t now_ms, const struct dl_body *body,
			struct ks_buf *signature)
{
	if (!e->keys_known) {
		e->key_count = 0;
		KS_TRY(ks_store_endpoint_secrets(d->reader.store, e->id, note_key, e));
		e->keys_known = true;
	}
	return ks_signer_sign(d->signer, d->reader.store, e->id, e->keys, e->key_count, ks_str_c(id), now_ms,
			      ks_str_of(body->bytes, body->n), signature);
}

static enum ks_fetch_result begin(struct ks_delivery *d, struct dl_flight *f, const char *id, struct ks_str signature)
{
	char text[24];
	struct ks_buf timestamp = KS_BUF(text);
	struct ks_fetch_request request = {
		.method = "POST",
		.url = ks_str_c(f->endpoint->url),
		.header_count = HEADERS,
		.body = ks_str_of(f->body->bytes, f->body->n),
		.body_max = ANSWER_MAX,
		.cut = true,
		.timeout_ms = d->options.timeout_ms,
		.want = {"Retry-After"},
	};

	ks_buf_put_i64(&timestamp, f->at / 1000);
	request.headers[0] = (struct ks_fetch_header){KS_STR("Content-Type"), KS_STR("application/json")};
	request.headers[1] = (struct ks_fetch_header){KS_STR("User-Agent"), KS_STR("keystile/" KEYSTILE_VERSION_TEXT)};
	request.headers[2] = (struct ks_fetch_header){KS_STR("webhook-id"), ks_str_c(id)};
	request.headers[3] = (struct ks_fetch_header){KS_STR("webhook-timestamp"), ks_buf_str(&timestamp)};
	request.headers[4] = (struct ks_fetch_header){KS_STR("webhook-signature"), signature};
	return ks_fetch_many_begin(d->many, &request, f);
}

/* What hinders all deliveries of the endpoint for a moment. The delivery is not lost: it is due. */
static void put_off(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms, enum ks_err err)
{
	dl_say(d, 2, "delivery_waits", e->id, ks_err_text(err));
	e->window_at = e->window_count = 0;
	e->braked_until = now_ms + NOT_NOW_MS;
}

static void give_up(struct ks_delivery *d, struct dl_endpoint *e, const struct dl_item *item, int64_t now_ms, const char *code,
		    bool final)
{
	struct outcome o = {.code = code, .not_before = KS_TIME_NONE, .final = final};

	dl_busy_add(e, item->id);
	put_result(d, e, item, now_ms, &o);
}

static void fly(struct ks_delivery *d, struct dl_endpoint *e, const struct dl_item *item, struct dl_body *body, int64_t now_ms,
		const char *id, struct ks_str signature)
{
	struct dl_flight *f = malloc(sizeof(*f));
	enum ks_fetch_result result = KS_FETCH_MEMORY;

	if (f) {
		*f = (struct dl_flight){e, *item, body, now_ms, e->failures > 0};
		result = begin(d, f, id, signature);
	}
	if (result == KS_FETCH_OK) {
		dl_busy_add(e, item->id);
		e->flying++;
		d->flying++;
		d->flying_troubled += f->troubled;
		return;
	}
	free(f);
	release(d, body);
	if (result == KS_FETCH_MEMORY)
		put_off(d, e, now_ms, KS_MEMORY);
	else
		give_up(d, e, item, now_ms, ks_fetch_code(result), false);
}

static void send_item(struct ks_delivery *d, struct dl_endpoint *e, const struct dl_item *item, const struct ks_ring *ring,
		      int64_t now_ms)
{
	char id[KS_ID_TEXT_SIZE], text[KS_SIGNATURES_SIZE];
	struct ks_buf signature = KS_BUF(text);
	struct dl_body *body;
	enum ks_err err = body_of(d, ring, item->event, &body);

	if (err == KS_NOT_FOUND || err == KS_TOO_LARGE) {
		give_up(d, e, item, now_ms, err == KS_NOT_FOUND ? "event_forgotten" : "too_large", true);
		return;
	}
	if (err != KS_OK) {
		put_off(d, e, now_ms, err);
		return;
	}
	ks_id_format(KS_ID_EVENT, item->event, id);
	err = sign(d, e, id, now_ms, body, &signature);
	if (err == KS_OK) {
		fly(d, e, item, body, now_ms, id, ks_buf_str(&signature));
		return;
	}
	release(d, body);
	if (err == KS_CORRUPT || err == KS_NOT_FOUND)
		give_up(d, e, item, now_ms, "secret_unreadable", false);
	else
		put_off(d, e, now_ms, err);
}

/* ---- how many at a time ---- */

/* One where it keeps up, so that they arrive in order, and one where the last one failed. */
static unsigned slots_of(const struct dl_endpoint *e, int64_t now_ms)
{
	return e->failures == 0 && dl_is_behind(e, now_ms) ? e->concurrency : 1;
}

static bool rate_allows(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms)
{
	int64_t passed = KS_MAX(now_ms - e->tokens_at, (int64_t)0);

	if (e->rate == 0)
		return true;
	e->tokens = KS_MIN(e->tokens + (double)passed * e->rate / 1000, (double)e->rate);
	e->tokens_at = now_ms;
	if (e->tokens >= 1) {
		e->tokens -= 1;
		return true;
	}
	dl_wake_at(d, e, now_ms + (int64_t)((1 - e->tokens) * 1000 / e->rate) + 1);
	return false;
}

static bool is_braked(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms)
{
	if (e->braked_until > now_ms + BRAKE_SANE_MS)
		e->braked_until = now_ms;
	if (e->braked_until <= now_ms)
		return false;
	dl_wake_at(d, e, e->braked_until);
	return true;
}

/* True: it began one, and may begin another. */
static bool begin_one(struct ks_delivery *d, struct dl_endpoint *e, const struct ks_ring *ring, int64_t now_ms)
{
	struct dl_item item;

	if (!e->active || e->flying >= slots_of(e, now_ms) || e->busy_count >= DL_BUSY_MAX || is_braked(d, e, now_ms)
	    || !ks_endpoint_hears(ring, e->tenant, e->tenant))
		return false;
	/* The rate counts what is sent: first there must be something. */
	if (e->window_at == e->window_count && !e->hungry)
		return false;
	if (!rate_allows(d, e, now_ms))
		return false;
	if (!dl_next_item(d, e, now_ms, &item)) {
		e->tokens += e->rate ? 1 : 0;
		return false;
	}
	send_item(d, e, &item, ring, now_ms);
	return true;
}

static bool has_room(const struct ks_delivery *d)
{
	return d->flying < d->options.concurrency && d->filling->count + d->flying < DL_RESULTS_MAX
	       && d->body_bytes < DL_BODIES_MAX;
}

void dl_dispatch(struct ks_delivery *d, int64_t now_ms)
{
	const struct ks_ring *ring = ks_ringmap_reader_ring(d->reader.ring);
	size_t passed_over = 0;

	/* In turn, one each: whoever has much does not hold up whoever has little. */
	while (ring && has_room(d) && d->ready_count > passed_over) {
		struct dl_endpoint *e = dl_ready_pop(d);

		if (dl_endpoint_settle(d, e))
			continue;
		/* Those that fail share one half of what can be under way. */
		if (e->failures > 0 && d->flying_troubled >= KS_MAX(d->options.concurrency / 2, 1u)) {
			passed_over++;
			dl_ready_push(d, e);
			continue;
		}
		if (begin_one(d, e, ring, now_ms))
			dl_ready_push(d, e);
	}
}
