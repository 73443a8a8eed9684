/* SPDX-License-Identifier: Apache-2.0 */
/* Probing gives way. The lowest priority alone does not see to that: thirty threads have thirty of its shares, and each that wakes
 * runs to the end of its slice. So of the workers one computes at a time; and while others want nearly all of the processors,
 * probes that nobody waits for rest after each step, until what it took is a small share of the time. */
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "health/health_priv.h"

#define LOWEST 19
#define CROWDED_PERCENT 90             /* of what processors did was somebody else's */
#define REST_MAX_NS INT64_C(500000000)
#define SLICE_NS INT64_C(100000000)    /* how late a stop may be noticed */
#define IDLE_AT 3                      /* numbers of a line: idle and iowait are the fourth and the fifth, steal is the last of eight */
#define NUMBERS 8

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void ks_health_step_back(void)
{
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LOWEST);
}

/* ---- how the processors are used ---- */

/* "cpu0 USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL …" (proc(5)), in ticks, added; lines of other processors are left out. */
static void add_line(struct ks_str line, const cpu_set_t *ours, struct ks_health_use *use)
{
	struct ks_str name, number;
	uint64_t cpu, ticks;

	if (!ks_str_split(line, ' ', &name, &line) || !ks_str_starts(name, KS_STR("cpu"))
	    || !ks_str_to_u64(ks_str_sub(name, 3, name.n), CPU_SETSIZE - 1, &cpu) || !CPU_ISSET(cpu, ours))
		return;
	for (int i = 0; i < NUMBERS && ks_str_split(line, ' ', &number, &line); i++) {
		if (!ks_str_to_u64(number, UINT32_MAX * UINT64_C(1000), &ticks))
			return;
		use->all += ticks;
		use->idle += i == IDLE_AT || i == IDLE_AT + 1 ? ticks : 0;
	}
}

struct ks_health_use ks_health_use_of(struct ks_str stat, const cpu_set_t *ours)
{
	struct ks_health_use use = {0};
	struct ks_str line;

	while (ks_str_split(stat, '\n', &line, &stat))
		add_line(line, ours, &use);
	return use;
}

bool ks_health_is_crowded(const struct ks_health_use *before, const struct ks_health_use *now)
{
	uint64_t all = now->all - before->all, left = now->idle - before->idle + now->workers - before->workers;

	return left < all && (all - left) * 100 >= all * CROWDED_PERCENT;
}

/* What cannot be found out is not crowded. */
void ks_health_look_around(struct ks_health *h)
{
	int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	struct ks_health_use now = {0};
	cpu_set_t ours;
	ssize_t n;

	CPU_ZERO(&ours);
	n = fd < 0 || sched_getaffinity(0, sizeof(ours), &ours) ? -1 : read(fd, h->stat, KS_HEALTH_STAT_MAX);
	if (fd >= 0)
		(void)close(fd);
	if (n > 0)
		now = ks_health_use_of(ks_str_of(h->stat, (size_t)n), &ours);
	now.workers = atomic_load(&h->worked_ns) / (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
	/* Processors may have come and gone. */
	atomic_store(&h->crowded, h->use.all > 0 && now.all > h->use.all && ks_health_is_crowded(&h->use, &now));
	h->use = now;
}

/* ---- turns ---- */

static _Thread_local bool hurried;

void ks_health_hurry(bool urgent)
{
	hurried = urgent;
}

void ks_health_compute(struct ks_health *h)
{
	(void)atomic_fetch_add(&h->wanting, 1);
	(void)pthread_mutex_lock(&h->computing);
	for (;;) {
		int64_t left = h->rest_until_ns - now_ns(CLOCK_MONOTONIC);
		const struct timespec slice = {0, (long)KS_MIN(left, SLICE_NS)};

		if (left <= 0 || hurried || atomic_load(&h->stopping))
			break;
		(void)pthread_mutex_unlock(&h->computing);
		(void)nanosleep(&slice, NULL);
		(void)pthread_mutex_lock(&h->computing);
	}
	(void)atomic_fetch_sub(&h->wanting, 1);
}

void ks_health_wait(struct ks_health *h)
{
	static _Thread_local int64_t before_ns;
	int64_t ns = now_ns(CLOCK_THREAD_CPUTIME_ID), ran_ns = ns - before_ns;

	before_ns = ns;
	(void)atomic_fetch_add(&h->worked_ns, (uint64_t)ran_ns);
	if (atomic_load(&h->crowded) && h->options.busy_percent)
		h->rest_until_ns = now_ns(CLOCK_MONOTONIC) + KS_MIN(ran_ns * 100 / h->options.busy_percent - ran_ns, REST_MAX_NS);
	(void)pthread_mutex_unlock(&h->computing);
}
