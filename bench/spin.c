/* SPDX-License-Identifier: Apache-2.0 */
/* Decides on random ones of the tokens on standard input, in process, until SIGTERM, and prints how long decisions took: "decisions N p50_ns N p99_ns N
 * denied N per_s N". SIGUSR1 begins a new count.
 *
 *	spin RING_DIRECTORY RATE < TOKENS     RATE decisions a second; 0: as many as there can be */
#include <keystile/keystile.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TOKENS_MAX 1000000
#define BUCKETS 4096   /* of 16 ns */

static volatile sig_atomic_t stop, restart;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		restart = 1;
	else
		stop = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A pause after each hundred keeps the rate: the processor is left to others, as a platform's server leaves it. */
static void keep_rate(uint64_t began_ns, uint64_t all, uint64_t rate)
{
	uint64_t until_ns = rate ? began_ns + all * UINT64_C(1000000000) / rate : 0;
	const struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};

	if (rate && all % 100 == 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint64_t counts[BUCKETS + 1];

static unsigned percentile(uint64_t all, unsigned percent)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i <= BUCKETS; i++) {
		seen += counts[i];
		if (seen * 100 >= all * percent)
			return i * 16;
	}
	return BUCKETS * 16;
}

int main(int argc, char **argv)
{
	char(*tokens)[48] = calloc(TOKENS_MAX, sizeof(*tokens));
	struct keystile *ks;
	uint64_t state = 1, all = 0, denied = 0, rate = argc == 3 ? strtoull(argv[2], NULL, 10) : 0, began;
	size_t n = 0;

	if (argc != 3 || !tokens)
		return 2;
	while (n < TOKENS_MAX && fgets(tokens[n], sizeof(tokens[n]), stdin)) {
		tokens[n][strcspn(tokens[n], "\n")] = '\0';
		n++;
	}
	if (n == 0 || keystile_open(argv[1], &ks) != KEYSTILE_OK) {
		(void)fprintf(stderr, "spin: no tokens or no ring\n");
		return 1;
	}
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGUSR1, on_signal);
	began = now_ns();
	while (!stop) {
		struct keystile_request request = KEYSTILE_REQUEST;
		uint64_t start, took;

		if (restart) {
			restart = 0;
			memset(counts, 0, sizeof(counts));
			all = denied = 0;
			began = now_ns();
		}
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		request.api_key = keystile_text(tokens[(state >> 33) % n]);
		request.method = keystile_text("GET");
		request.path = keystile_text("/api/v1/contacts");
		start = now_ns();
		denied += !keystile_verdict_allows(keystile_decide(ks, &request));
		took = now_ns() - start;
		counts[took / 16 < BUCKETS ? took / 16 : BUCKETS]++;
		all++;
		keep_rate(began, all, rate);
	}
	(void)printf("decisions %llu p50_ns %u p99_ns %u denied %llu per_s %.0f\n", (unsigned long long)all, percentile(all, 50), percentile(all, 99),
		     (unsigned long long)denied, (double)all * 1e9 / (double)(now_ns() - began));
	keystile_close(ks);
	free(tokens);
	return 0;
}
