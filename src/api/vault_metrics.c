/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of reveals and digests: how they ended, and how long they took. */
#include <stdatomic.h>
#include <time.h>

#include "api/vault.h"

/* Upper ends of the buckets of latency, in milliseconds; one more is for what is slower. */
#define BUCKETS(X) X(1) X(2) X(5) X(10) X(25) X(50) X(100) X(250) X(500) X(1000) X(2500) X(5000) X(10000)

static const unsigned ends[] = {
#define X(ms) ms,
	BUCKETS(X)
#undef X
	0,
};

enum { OK, REFUSED, UNAVAILABLE, OUTCOMES };
static const char *const outcomes[] = {"ok", "refused", "unavailable"};
static const char *const actions[] = {"reveal", "digest"};

/* Of the process. */
static struct {
	_Atomic uint64_t ended[OUTCOMES];
	_Atomic uint64_t unread[KS_PROBLEM_COUNT]; /* a field could not be read: why */
	_Atomic uint64_t buckets[KS_ARRAY_LEN(ends)];
	_Atomic uint64_t us;
} uses[KS_ARRAY_LEN(actions)];

int64_t ks_vault_tick_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	(void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void ks_vault_count_use(bool digest, int status, const char *unread, int64_t us)
{
	size_t i = 0;

	while (ends[i] && us > (int64_t)ends[i] * 1000)
		i++;
	add(&uses[digest].buckets[i], 1);
	add(&uses[digest].us, (uint64_t)us);
	if (unread)
		add(&uses[digest].unread[ks_problem_by_code(unread)], 1);
	else
		add(&uses[digest].ended[status == 200 ? OK : status < 500 ? REFUSED : UNAVAILABLE], 1);
}

void ks_vault_put_uses(struct ks_buf *out, const char *name)
{
	for (size_t a = 0; a < KS_ARRAY_LEN(actions); a++) {
		for (size_t i = 0; i < OUTCOMES; i++)
			ks_buf_printf(out, "%s_total{action=\"%s\",outcome=\"%s\"} %llu\n", name, actions[a], outcomes[i],
				      (unsigned long long)get(&uses[a].ended[i]));
		for (enum ks_problem p = 0; p < KS_PROBLEM_COUNT; p++) {
			uint64_t n = get(&uses[a].unread[p]);

			if (n > 0)
				ks_buf_printf(out, "%s_total{action=\"%s\",outcome=\"%s\"} %llu\n", name, actions[a],
					      ks_problem_info(p)->code, (unsigned long long)n);
		}
	}
}

void ks_vault_put_use_seconds(struct ks_buf *out, const char *name)
{
	for (size_t a = 0; a < KS_ARRAY_LEN(actions); a++) {
		uint64_t sum = 0, us = get(&uses[a].us);

		for (size_t i = 0; i < KS_ARRAY_LEN(ends); i++) {
			sum += get(&uses[a].buckets[i]);
			ks_buf_printf(out, "%s_bucket{action=\"%s\",le=\"", name, actions[a]);
			if (ends[i])
				ks_buf_printf(out, "%u.%03u", ends[i] / 1000, ends[i] % 1000);
			else
				ks_buf_put_c(out, "+Inf");
			ks_buf_printf(out, "\"} %llu\n", (unsigned long long)sum);
		}
		ks_buf_printf(out, "%s_sum{action=\"%s\"} %llu.%06llu\n", name, actions[a], (unsigned long long)(us / 1000000),
			      (unsigned long long)(us % 1000000));
		ks_buf_printf(out, "%s_count{action=\"%s\"} %llu\n", name, actions[a], (unsigned long long)sum);
	}
}
