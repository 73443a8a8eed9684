/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the ring of this machine's keystile daemon about one request, and prints what a gateway would hand on.
 *
 *	cc -o decide decide.c $(pkg-config --cflags --libs keystile)
 *	KEY=ks_... ./decide /var/lib/keystile/ring GET /api/v1/contacts
 *
 * The token is taken from the environment, because command lines are everybody's to read. */
#include <keystile/keystile.h>
#include <stdio.h>
#include <stdlib.h>

static char headers[KEYSTILE_HEADERS_SIZE];

int main(int argc, char **argv)
{
	struct keystile_request request = KEYSTILE_REQUEST;
	const struct keystile_verdict *verdict;
	struct keystile *ks;
	int status;

	if (argc != 4) {
		fprintf(stderr, "usage: KEY=token decide RING_DIRECTORY METHOD PATH\n");
		return 2;
	}
	status = keystile_open(argv[1], &ks);
	if (status != KEYSTILE_OK) {
		fprintf(stderr, "%s: %s\n", argv[1], keystile_status_text(status));
		return 1;
	}
	request.api_key = keystile_text(getenv("KEY"));
	request.method = keystile_text(argv[2]);
	request.path = keystile_text(argv[3]);

	verdict = keystile_decide(ks, &request);
	printf("%d %s\n", keystile_verdict_http_status(verdict), keystile_verdict_code(verdict));
	if (keystile_verdict_headers(verdict, headers, sizeof(headers), NULL) == KEYSTILE_OK)
		fputs(headers, stdout);
	status = keystile_verdict_allows(verdict) ? 0 : 3;
	keystile_close(ks);
	return status;
}
