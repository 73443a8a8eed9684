/* SPDX-License-Identifier: Apache-2.0 */
/* The threads: they do what was queued first, then fetch the keys that are due. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/random.h"
#include "federation/federation_priv.h"

int64_t ks_federation_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void ks_federation_say(const struct ks_federation *federation, int level, const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!federation->options.log)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	federation->options.log(federation->options.log_ctx, level, event, text);
}

bool ks_fail(struct ks_failure *failure, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(failure->code, sizeof(failure->code), fmt, args);
	va_end(args);
	return false;
}

int64_t ks_jittered(int64_t ms)
{
	uint32_t random = 0;

	/* Without random numbers there is no jitter; nothing rests on it. */
	if (ks_random(&random, sizeof(random)) != KS_OK)
		return ms;
	return ms - ms / 10 + (int64_t)(random % 1000) * (ms / 5) / 1000;
}

enum ks_fetch_result ks_federation_url_check(const struct ks_federation *federation, struct ks_str url)
{
	return ks_fetch_url_check(federation->fetch, url);
}

/* ---- life ---- */

static enum ks_err prepare(struct ks_federation *f)
{
	uint8_t key[KS_SEAL_KEY_SIZE];
	enum ks_err err;

	KS_TRY(ks_secret_new(&f->cookie_key, sizeof(key)));
	err = ks_random(key, sizeof(key));
	if (err == KS_OK)
		err = ks_secret_set(&f->cookie_key, key, sizeof(key));
	ks_wipe(key, sizeof(key));
	KS_TRY(err);
	return ks_fetch_new(&f->options.fetch, &f->fetch);
}

enum ks_err ks_federation_new(struct ks_engine *engine, const struct ks_federation_options *options,
			      struct ks_federation **ret_federation)
{
	struct ks_federation *f = calloc(1, sizeof(*f));
	pthread_condattr_t attributes;
	enum ks_err err;

	if (!f)
		return KS_MEMORY;
	f->engine = engine;
	f->options = *options;
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&f->wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	err = prepare(f);
	if (err != KS_OK)
		ks_federation_free(&f);
	else
		*ret_federation = f;
	return err;
}

void ks_federation_hurry(struct ks_federation *federation)
{
	if (federation)
		ks_fetch_stop(federation->fetch);
}

void ks_federation_stop(struct ks_federation *f)
{
	if (!f)
		return;
	(void)pthread_mutex_lock(&f->lock);
	f->stopping = true;
	(void)pthread_cond_broadcast(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
	if (f->fetch)
		ks_fetch_stop(f->fetch);
	for (size_t i = 0; i < f->thread_count; i++)
		(void)pthread_join(f->threads[i], NULL);
	f->thread_count = 0;
}

void ks_federation_free(struct ks_federation **federation)
{
	struct ks_federation *f = *federation;

	if (!f)
		return;
	ks_federation_stop(f);
	for (size_t i = 0; i < KS_KNOWN_PROVIDERS; i++)
		free(f->known[i].jwks);
	ks_fetch_free(&f->fetch);
	ks_secret_free(&f->cookie_key);
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
	*federation = NULL;
}

/* ---- threads ---- */

static void rest(struct ks_federation *f, int64_t wait_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	f->idle_count++;
	(void)pthread_cond_timedwait(&f->wake, &f->lock, &until);
	f->idle_count--;
}

/* With the lock held; let go of meanwhile. */
static bool do_queued(struct ks_federation *f, struct ks_engine_reader *reader)
{
	struct ks_federation_work work;

	if (f->queue_count == 0)
		return false;
	work = f->queue[f->queue_at];
	f->queue_at = (f->queue_at + 1) % KS_FEDERATION_QUEUE_MAX;
	f->queue_count--;
	(void)pthread_mutex_unlock(&f->lock);
	work.work(work.ctx, reader);
	(void)pthread_mutex_lock(&f->lock);
	return true;
}

struct starting {
	struct ks_federation *federation;
	struct ks_engine_reader reader;
	size_t number;
};

static void *work(void *ctx)
{
	struct starting s = *(struct starting *)ctx;
	struct ks_federation *f = s.federation;
	int64_t wait_ms;

	free(ctx);
	(void)pthread_mutex_lock(&f->lock);
	for (;;) {
		wait_ms = 3600000;
		if (do_queued(f, &s.reader))
			continue;
		if (f->stopping)
			break;
		if (f->started && ks_keeper_step(f, s.number, &s.reader, &wait_ms))
			continue;
		if (f->queue_count == 0 && !f->stopping)
			rest(f, wait_ms);
	}
	(void)pthread_mutex_unlock(&f->lock);
	ks_engine_reader_close(&s.reader);
	return NULL;
}

/* With the lock held. */
static enum ks_err add_thread(struct ks_federation *f)
{
	struct starting *s = calloc(1, sizeof(*s));
	enum ks_err err;

	if (!s)
		return KS_MEMORY;
	s->federation = f;
	s->number = f->thread_count;
	err = ks_engine_reader_open(f->engine, &s->reader);
	if (err == KS_OK && pthread_create(&f->threads[f->thread_count], NULL, work, s) != 0) {
		ks_engine_reader_close(&s->reader);
		err = KS_SYSTEM;
	}
	if (err != KS_OK)
		free(s);
	else
		f->thread_count++;
	return err;
}

enum ks_err ks_federation_start(struct ks_federation *f)
{
	enum ks_err err = KS_OK;

	(void)pthread_mutex_lock(&f->lock);
	f->started = true;
	if (f->thread_count == 0)
		err = add_thread(f);
	(void)pthread_mutex_unlock(&f->lock);
	return err;
}

enum ks_err ks_federation_run(struct ks_federation *f, void (*work_of)(void *ctx, struct ks_engine_reader *reader),
			      void *ctx)
{
	enum ks_err err = KS_OK;

	(void)pthread_mutex_lock(&f->lock);
	if (f->stopping)
		err = KS_STOPPING;
	else if (f->queue_count == KS_FEDERATION_QUEUE_MAX)
		err = KS_FULL;
	else if (f->idle_count <= f->queue_count && f->thread_count < KS_FEDERATION_WORKERS)
		err = add_thread(f);
	/* One thread is enough to get there. */
	if (err != KS_OK && err != KS_STOPPING && err != KS_FULL && f->thread_count > 0)
		err = KS_OK;
	if (err == KS_OK) {
		f->queue[(f->queue_at + f->queue_count++) % KS_FEDERATION_QUEUE_MAX] =
			(struct ks_federation_work){work_of, ctx};
		(void)pthread_cond_signal(&f->wake);
	}
	(void)pthread_mutex_unlock(&f->lock);
	return err;
}
