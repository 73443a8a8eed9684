/* SPDX-License-Identifier: Apache-2.0 */
/* Each request's way into a message, and its answer's way back. */
#include <stdlib.h>

#include "keeper/client_priv.h"
#include "keeper/sip_digest.h"

#define ASSOCIATED_MAX 256

/* ---- waiting ---- */

struct waiting {
	struct ks_client_call call;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool finished;
	enum ks_err err;
	/* Reads the answer while it is there. */
	enum ks_err (*take)(struct waiting *w, struct ks_cursor *c);
};

static void on_answer(struct ks_client_call *call, enum ks_err err, struct ks_str answer)
{
	struct waiting *w = call->ctx;
	struct ks_cursor c = ks_cursor_of(answer);

	pthread_mutex_lock(&w->lock);
	w->err = err == KS_OK ? w->take(w, &c) : err;
	w->finished = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static enum ks_err ask(struct ks_keeper *keeper, struct waiting *w)
{
	enum ks_err err;

	w->call.done = on_answer;
	w->call.ctx = w;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	err = ks_client_submit(keeper, &w->call);
	if (err == KS_OK) {
		pthread_mutex_lock(&w->lock);
		while (!w->finished)
			pthread_cond_wait(&w->changed, &w->lock);
		pthread_mutex_unlock(&w->lock);
		err = w->err;
	}
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->changed);
	return err;
}

/* Nothing of the keeper's is believed: lengths are those that were asked for, or none. */
static enum ks_err take_bytes(struct ks_str text, uint8_t *ret_bytes, size_t cap, size_t *ret_n)
{
	if (text.n > cap)
		return KS_TOO_LARGE;
	if (text.n > 0)
		memcpy(ret_bytes, text.p, text.n);
	*ret_n = text.n;
	return KS_OK;
}

static size_t size_of_org(const struct ks_keeper_org *org)
{
	return 16 + org->wrapped.n;
}

/* ---- keys of organizations ---- */

struct org_request {
	struct waiting w;
	struct ks_keeper_org org;
	uint8_t *ret_wrapped;
	size_t cap;
	size_t *ret_n;
	bool changed;
};

static void put_number(struct ks_client_call *call, struct ks_buf *b)
{
	const struct org_request *r = (const struct org_request *)(const void *)call;

	ks_keeper_put_u64(b, r->org.organization);
	ks_keeper_put_u32(b, r->org.generation);
}

static void put_org(struct ks_client_call *call, struct ks_buf *b)
{
	const struct org_request *r = (const struct org_request *)(const void *)call;

	ks_keeper_put_org(b, &r->org);
}

static enum ks_err take_wrapped(struct waiting *w, struct ks_cursor *c)
{
	struct org_request *r = (struct org_request *)(void *)w;
	struct ks_str wrapped = ks_keeper_take_text(c, KS_KEEPER_WRAPPED_MAX);

	if (!ks_cursor_done(c))
		return KS_KEEPER;
	return take_bytes(wrapped, r->ret_wrapped, r->cap, r->ret_n);
}

static enum ks_err take_rewrapped(struct waiting *w, struct ks_cursor *c)
{
	struct org_request *r = (struct org_request *)(void *)w;

	r->changed = ks_cursor_u8(c) != 0;
	if (r->changed)
		return take_wrapped(w, c);
	return ks_keeper_take_text(c, 0).n == 0 && ks_cursor_done(c) ? KS_OK : KS_KEEPER;
}

static enum ks_err take_nothing(struct waiting *w, struct ks_cursor *c)
{
	(void)w;
	return ks_cursor_done(c) ? KS_OK : KS_KEEPER;
}

enum ks_err ks_keeper_org_create(struct ks_keeper *keeper, uint64_t organization, uint32_t generation,
				 uint8_t *ret_wrapped, size_t cap, size_t *ret_n)
{
	struct org_request r = {
		.w = {.call = {.message = KS_KEEPER_ORG_CREATE, .size = 12, .put = put_number}, .take = take_wrapped},
		.org = {.organization = organization, .generation = generation},
		.ret_wrapped = ret_wrapped,
		.cap = cap,
		.ret_n = ret_n,
	};

	return ask(keeper, &r.w);
}

enum ks_err ks_keeper_org_rewrap(struct ks_keeper *keeper, const struct ks_keeper_org *org, bool *ret_changed,
				 uint8_t *ret_wrapped, size_t cap, size_t *ret_n)
{
	struct org_request r = {
		.w = {.call = {.message = KS_KEEPER_ORG_REWRAP, .size = size_of_org(org), .put = put_org},
		      .take = take_rewrapped},
		.org = *org,
		.ret_wrapped = ret_wrapped,
		.cap = cap,
		.ret_n = ret_n,
	};

	KS_TRY(ask(keeper, &r.w));
	*ret_changed = r.changed;
	return KS_OK;
}

enum ks_err ks_keeper_org_forget(struct ks_keeper *keeper, uint64_t organization, uint32_t generation)
{
	struct org_request r = {
		.w = {.call = {.message = KS_KEEPER_ORG_FORGET, .size = 12, .put = put_number}, .take = take_nothing},
		.org = {.organization = organization, .generation = generation},
	};

	return ask(keeper, &r.w);
}

static void on_forgotten(struct ks_client_call *call, enum ks_err err, struct ks_str answer)
{
	(void)err;
	(void)answer;
	free(call->ctx);
}

enum ks_err ks_keeper_org_forget_submit(struct ks_keeper *keeper, uint64_t organization, uint32_t generation)
{
	struct org_request *r = malloc(sizeof(*r));
	enum ks_err err;

	if (!r)
		return KS_MEMORY;
	*r = (struct org_request){
		.w = {.call = {.message = KS_KEEPER_ORG_FORGET, .size = 12, .put = put_number, .done = on_forgotten, .ctx = r}},
		.org = {.organization = organization, .generation = generation},
	};
	err = ks_client_submit(keeper, &r->w.call);
	if (err != KS_OK)
		free(r);
	return err;
}

/* ---- values ---- */

struct values_request {
	struct waiting w;
	const struct ks_keeper_org *org;
	struct ks_keeper_value *values;
	size_t count;
};

static enum ks_err check_values(const struct ks_keeper_value *values, size_t count)
{
	size_t total = 0;

	if (count == 0 || count > KS_KEEPER_BATCH_MAX)
		return KS_TOO_LARGE;
	for (size_t i = 0; i < count; i++) {
		if (values[i].binding.field.n > KS_KEEPER_FIELD_MAX
		    || values[i].in.n > KS_KEEPER_VALUE_MAX + KS_KEEPER_OVERHEAD)
			return KS_TOO_LARGE;
		total += values[i].in.n;
	}
	return total <= KS_KEEPER_BATCH_BYTES ? KS_OK : KS_TOO_LARGE;
}

static size_t size_of_values(const struct ks_keeper_org *org, const struct ks_keeper_value *values, size_t count)
{
	size_t n = size_of_org(org) + 4;

	for (size_t i = 0; i < count; i++)
		n += 32 + values[i].binding.field.n + values[i].in.n;
	return n;
}

static void put_values(struct ks_buf *b, const struct ks_keeper_org *org, const struct ks_keeper_value *values, size_t count)
{
	ks_keeper_put_org(b, org);
	ks_keeper_put_u32(b, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		ks_keeper_put_binding(b, &values[i].binding);
		ks_keeper_put_text(b, values[i].in);
	}
}

static void put_values_request(struct ks_client_call *call, struct ks_buf *b)
{
	const struct values_request *r = (const struct values_request *)(const void *)call;

	put_values(b, r->org, r->values, r->count);
}

static enum ks_err take_sealed(struct waiting *w, struct ks_cursor *c)
{
	struct values_request *r = (struct values_request *)(void *)w;

	for (size_t i = 0; i < r->count; i++) {
		struct ks_keeper_value *v = &r->values[i];
		struct ks_str sealed = ks_keeper_take_text(c, v->in.n + KS_KEEPER_OVERHEAD);

		if (c->failed || sealed.n != v->in.n + KS_KEEPER_OVERHEAD)
			return KS_KEEPER;
		KS_TRY(take_bytes(sealed, v->ret_out, v->cap, &v->ret_n));
		v->err = KS_OK;
	}
	return ks_cursor_done(c) ? KS_OK : KS_KEEPER;
}

enum ks_err ks_keeper_seal(struct ks_keeper *keeper, const struct ks_keeper_org *org, struct ks_keeper_value *values,
			   size_t count)
{
	struct values_request r = {
		.w = {.call = {.message = KS_KEEPER_SEAL, .put = put_values_request}, .take = take_sealed},
		.org = org,
		.values = values,
		.count = count,
	};

	KS_TRY(check_values(values, count));
	for (size_t i = 0; i < count; i++) {
		if (values[i].in.n > KS_KEEPER_VALUE_MAX || values[i].in.n + KS_KEEPER_OVERHEAD > values[i].cap)
			return KS_TOO_LARGE;
	}
	r.w.call.size = size_of_values(org, values, count);
	return ask(keeper, &r.w);
}

static enum ks_err take_opened(struct ks_keeper_value *values, size_t count, struct ks_cursor *c)
{
	for (size_t i = 0; i < count; i++) {
		struct ks_keeper_value *v = &values[i];
		uint8_t status = ks_cursor_u8(c);
		struct ks_str plain = ks_keeper_take_text(c, KS_KEEPER_VALUE_MAX);

		if (c->failed || status >= KS_ERR_COUNT || (status == KS_OK && plain.n + KS_KEEPER_OVERHEAD != v->in.n))
			return KS_KEEPER;
		v->ret_n = 0;
		v->err = (enum ks_err)status;
		if (v->err == KS_OK)
			v->err = take_bytes(plain, v->ret_out, v->cap, &v->ret_n);
	}
	return ks_cursor_done(c) ? KS_OK : KS_KEEPER;
}

static enum ks_err take_opened_request(struct waiting *w, struct ks_cursor *c)
{
	struct values_request *r = (struct values_request *)(void *)w;

	return take_opened(r->values, r->count, c);
}

enum ks_err ks_keeper_open(struct ks_keeper *keeper, const struct ks_keeper_org *org, struct ks_keeper_value *values,
			   size_t count)
{
	struct values_request r = {
		.w = {.call = {.message = KS_KEEPER_OPEN, .put = put_values_request}, .take = take_opened_request},
		.org = org,
		.values = values,
		.count = count,
	};

	KS_TRY(check_values(values, count));
	r.w.call.size = size_of_values(org, values, count);
	return ask(keeper, &r.w);
}

/* Without waiting: the request is on the heap until its answer is there. */
struct opening_request {
	struct ks_client_call call;
	const struct ks_keeper_org *org;
	struct ks_keeper_opening *opening;
};

static void put_opening(struct ks_client_call *call, struct ks_buf *b)
{
	const struct opening_request *r = call->ctx;

	put_values(b, r->org, r->opening->values, r->opening->count);
}

static void on_opened(struct ks_client_call *call, enum ks_err err, struct ks_str answer)
{
	struct opening_request *r = call->ctx;
	struct ks_keeper_opening *opening = r->opening;
	struct ks_cursor c = ks_cursor_of(answer);

	opening->err = err == KS_OK ? take_opened(opening->values, opening->count, &c) : err;
	free(r);
	opening->done(opening);
}

enum ks_err ks_keeper_open_submit(struct ks_keeper *keeper, const struct ks_keeper_org *org,
				  struct ks_keeper_opening *opening)
{
	struct opening_request *r;
	enum ks_err err;

	KS_TRY(check_values(opening->values, opening->count));
	r = malloc(sizeof(*r));
	if (!r)
		return KS_MEMORY;
	*r = (struct opening_request){
		.call = {.message = KS_KEEPER_OPEN,
			 .size = size_of_values(org, opening->values, opening->count),
			 .put = put_opening,
			 .done = on_opened,
			 .ctx = r},
		.org = org,
		.opening = opening,
	};
	err = ks_client_submit(keeper, &r->call);
	if (err != KS_OK)
		free(r);
	return err;
}

/* ---- answers to challenges ---- */

struct sip_request {
	struct waiting w;
	const struct ks_keeper_org *org;
	const struct ks_keeper_binding *binding;
	struct ks_str sealed;
	const struct ks_keeper_sip *sip;
	char *ret_value;
	size_t cap;
	size_t *ret_n;
};

static void put_sip(struct ks_client_call *call, struct ks_buf *b)
{
	const struct sip_request *r = (const struct sip_request *)(const void *)call;

	ks_keeper_put_org(b, r->org);
	ks_keeper_put_binding(b, r->binding);
	ks_keeper_put_text(b, r->sealed);
	ks_keeper_put_text(b, r->sip->challenge);
	ks_keeper_put_text(b, r->sip->method);
	ks_keeper_put_text(b, r->sip->uri);
	ks_keeper_put_text(b, r->sip->user);
	ks_keeper_put_text(b, r->sip->body);
	ks_keeper_put_text(b, r->sip->client_nonce);
	ks_keeper_put_u32(b, r->sip->count);
}

static enum ks_err take_sip(struct waiting *w, struct ks_cursor *c)
{
	struct sip_request *r = (struct sip_request *)(void *)w;
	struct ks_str value = ks_keeper_take_text(c, KS_SIP_ANSWER_MAX);

	if (!ks_cursor_done(c))
		return KS_KEEPER;
	return take_bytes(value, (uint8_t *)r->ret_value, r->cap, r->ret_n);
}

enum ks_err ks_keeper_sip_digest(struct ks_keeper *keeper, const struct ks_keeper_org *org,
				 const struct ks_keeper_binding *binding, struct ks_str sealed,
				 const struct ks_keeper_sip *sip, char *ret_value, size_t cap, size_t *ret_n)
{
	struct sip_request r = {
		.w = {.call = {.message = KS_KEEPER_DIGEST, .put = put_sip}, .take = take_sip},
		.org = org, .binding = binding, .sealed = sealed, .sip = sip,
		.ret_value = ret_value, .cap = cap, .ret_n = ret_n,
	};

	/* The limits that the keeper ends at. */
	if (sip->challenge.n > KS_SIP_CHALLENGE_MAX || sip->method.n > 64 || sip->uri.n > 2048 || sip->user.n > 256
	    || sip->body.n > 16384 || sip->client_nonce.n > 128 || sealed.n > 1024 + KS_KEEPER_OVERHEAD
	    || binding->field.n > KS_KEEPER_FIELD_MAX)
		return KS_TOO_LARGE;
	r.w.call.size = size_of_org(org) + 64 + binding->field.n + sealed.n + sip->challenge.n + sip->method.n + sip->uri.n
			+ sip->user.n + sip->body.n + sip->client_nonce.n;
	return ask(keeper, &r.w);
}

/* ---- the service's own ---- */

struct system_request {
	struct waiting w;
	const struct ks_keeper_org *org;
	struct ks_str associated;
	struct ks_str in;
	uint8_t *ret_out;
	size_t cap;
	size_t *ret_n;
};

static void put_system(struct ks_client_call *call, struct ks_buf *b)
{
	const struct system_request *r = (const struct system_request *)(const void *)call;

	ks_keeper_put_org(b, r->org);
	ks_keeper_put_text(b, r->associated);
	ks_keeper_put_text(b, r->in);
}

static enum ks_err take_system(struct waiting *w, struct ks_cursor *c)
{
	struct system_request *r = (struct system_request *)(void *)w;
	struct ks_str out = ks_keeper_take_text(c, KS_KEEPER_VALUE_MAX + KS_KEEPER_SYSTEM_OVERHEAD);

	if (!ks_cursor_done(c))
		return KS_KEEPER;
	return take_bytes(out, r->ret_out, r->cap, r->ret_n);
}

static enum ks_err ask_system(struct ks_keeper *keeper, struct system_request *r)
{
	if (r->associated.n > ASSOCIATED_MAX)
		return KS_TOO_LARGE;
	r->w.call.size = size_of_org(r->org) + 8 + r->associated.n + r->in.n;
	r->w.call.put = put_system;
	r->w.take = take_system;
	return ask(keeper, &r->w);
}

enum ks_err ks_keeper_system_seal(struct ks_keeper *keeper, const struct ks_keeper_org *org, struct ks_str associated,
				  struct ks_str plain, uint8_t *ret_sealed, size_t cap, size_t *ret_n)
{
	struct system_request r = {
		.w.call.message = KS_KEEPER_SYSTEM_SEAL, .org = org, .associated = associated, .in = plain,
		.ret_out = ret_sealed, .cap = cap, .ret_n = ret_n,
	};

	if (plain.n > KS_KEEPER_VALUE_MAX || plain.n + KS_KEEPER_SYSTEM_OVERHEAD > cap)
		return KS_TOO_LARGE;
	return ask_system(keeper, &r);
}

enum ks_err ks_keeper_system_open(struct ks_keeper *keeper, const struct ks_keeper_org *org, struct ks_str associated,
				  struct ks_str sealed, uint8_t *ret_plain, size_t cap, size_t *ret_n)
{
	struct system_request r = {
		.w.call.message = KS_KEEPER_SYSTEM_OPEN, .org = org, .associated = associated, .in = sealed,
		.ret_out = ret_plain, .cap = cap, .ret_n = ret_n,
	};

	if (sealed.n < KS_KEEPER_SYSTEM_OVERHEAD)
		return KS_CORRUPT;
	if (sealed.n > KS_KEEPER_VALUE_MAX + KS_KEEPER_SYSTEM_OVERHEAD)
		return KS_TOO_LARGE;
	return ask_system(keeper, &r);
}
