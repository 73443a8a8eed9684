/* SPDX-License-Identifier: Apache-2.0 */
/* A process that decides by the ring, for tests that kill the daemon under it. Reads a word and a token a line, and answers a line:
 * "decide TOKEN": the code. "spin TOKEN": "spinning", and decides on it until the next line comes; "rest": how often, and every
 * code that came of it. The request is GET /api/v1/contacts. */
#include <keystile/keystile.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CODES_MAX 32
#define DECISIONS_A_LOOK 256

struct seen {
	unsigned long count;
	const char *codes[CODES_MAX];
	size_t code_count;
};

static const char *decide(struct keystile *ks, const char *token)
{
	struct keystile_request request = KEYSTILE_REQUEST;

	request.api_key = keystile_text(token);
	request.method = keystile_text("GET");
	request.path = keystile_text("/api/v1/contacts");
	return keystile_verdict_code(keystile_decide(ks, &request));
}

static void note(struct seen *seen, const char *code)
{
	seen->count++;
	for (size_t i = 0; i < seen->code_count; i++) {
		if (strcmp(seen->codes[i], code) == 0)
			return;
	}
	if (seen->code_count < CODES_MAX)
		seen->codes[seen->code_count++] = code;
}

/* At least once, so that what comes after an acknowledged change is never nothing. */
static void spin(struct keystile *ks, const char *token, struct seen *seen)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	do {
		for (int i = 0; i < DECISIONS_A_LOOK; i++)
			note(seen, decide(ks, token));
	} while (poll(&in, 1, 0) == 0);
}

static void put_seen(const struct seen *seen)
{
	(void)printf("%lu", seen->count);
	for (size_t i = 0; i < seen->code_count; i++)
		(void)printf(" %s", seen->codes[i]);
	(void)printf("\n");
}

static int serve(struct keystile *ks)
{
	char line[16384];
	struct seen seen = {0};

	while (fgets(line, sizeof(line), stdin)) {
		char *token = strchr(line, ' ');

		if (!token)
			return 1;
		*token++ = '\0';
		token[strcspn(token, "\n")] = '\0';
		if (strcmp(line, "decide") == 0) {
			(void)printf("%s\n", decide(ks, token));
		} else if (strcmp(line, "spin") == 0) {
			memset(&seen, 0, sizeof(seen));
			(void)printf("spinning\n");
			(void)fflush(stdout);
			spin(ks, token, &seen);
		} else {
			put_seen(&seen);
		}
		(void)fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct keystile *ks;
	int status, code;

	if (argc != 2)
		return 2;
	/* So that poll and fgets see the same: what has come, and nothing read ahead. */
	(void)setvbuf(stdin, NULL, _IONBF, 0);
	status = keystile_open(argv[1], &ks);
	if (status != KEYSTILE_OK) {
		(void)fprintf(stderr, "ring_reader: %s\n", keystile_status_text(status));
		return 1;
	}
	code = serve(ks);
	keystile_close(ks);
	return code;
}
