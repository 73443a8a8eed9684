/* SPDX-License-Identifier: Apache-2.0 */
/* What a read of a reference costs beside the store's own latency: bench_reference_read PORT IDENTITIES ROUNDS. In turn, on one
 * thread: a bare libcurl that sends the two requests of a read (AssumeRole, GetSecretValue), signed beforehand, on a connection
 * that stands; and ks_secretstore_read, which signs, assumes a role anew, reads and checks. Prints JSON with both medians. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/sigv4.h"
#include "secretstore/secretstore.h"
#include "secretstore/xml.h"

#define REGION "eu-central-1"
#define ROLE "arn:aws:iam::123456789012:role/bench"
#define ROUNDS_MAX 20000

static const char assume_body[] = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900&RoleArn=arn%3Aaws%3Aiam%3A%3A"
				  "123456789012%3Arole%2Fbench&RoleSessionName=keystile-bench";
static const char get_body[] = "{\"SecretId\":\"bench\"}";
static const char reference[] = "{\"store\":\"aws\",\"secret\":\"bench\",\"region\":\"" REGION "\",\"role\":\"" ROLE "\"}";

struct answer {
	char bytes[65536];
	size_t n;
};

struct bare {
	CURL *easy;
	struct curl_slist *headers;
	struct answer answer;
};

static double now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what)
{
	(void)fprintf(stderr, "bench_reference_read: %s\n", what);
	exit(1);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct answer *answer = ctx;

	if (size * n > sizeof(answer->bytes) - answer->n)
		return 0;
	memcpy(&answer->bytes[answer->n], p, size * n);
	answer->n += size * n;
	return size * n;
}

static void add_header(struct bare *bare, const char *name, struct ks_str value)
{
	char line[4096];

	if (!value.n)
		return;
	(void)snprintf(line, sizeof(line), "%s: %.*s", name, KS_STR_ARG(value));
	bare->headers = curl_slist_append(bare->headers, line);
}

static void prepare(struct bare *bare, const char *url, struct ks_sigv4_request request)
{
	struct ks_sigv4_signed done;

	request.method = KS_STR("POST");
	request.path = KS_STR("/");
	request.region = KS_STR(REGION);
	request.now_s = (int64_t)time(NULL);
	if (ks_sigv4_sign(&request, &done) != KS_OK)
		die("cannot sign");
	bare->easy = curl_easy_init();
	for (size_t i = 0; i < request.header_count; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", KS_STR_ARG(request.headers[i].name));
		add_header(bare, name, request.headers[i].value);
	}
	add_header(bare, "X-Amz-Date", ks_str_c(done.date));
	add_header(bare, "Authorization", ks_str_c(done.authorization));
	add_header(bare, "X-Amz-Security-Token", request.session_token);
	(void)curl_easy_setopt(bare->easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(bare->easy, CURLOPT_HTTPHEADER, bare->headers);
	(void)curl_easy_setopt(bare->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request.body.n);
	(void)curl_easy_setopt(bare->easy, CURLOPT_COPYPOSTFIELDS, request.body.p);
	(void)curl_easy_setopt(bare->easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(bare->easy, CURLOPT_WRITEDATA, &bare->answer);
}

static void send_one(struct bare *bare)
{
	long status = 0;

	bare->answer.n = 0;
	if (curl_easy_perform(bare->easy) != CURLE_OK)
		die("the store does not answer");
	(void)curl_easy_getinfo(bare->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		die("the store refuses a bare request");
}

static struct ks_str element(const struct answer *answer, const char *name, struct ks_buf *room)
{
	const char *const path[] = {"*", "*", "Credentials", name, NULL};
	size_t from = room->n;

	if (!ks_xml_text(ks_str_of(answer->bytes, answer->n), path, room))
		die("no session");
	return ks_str_sub(ks_buf_str(room), from, room->n - from);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void prepare_both(struct bare *assume, struct bare *get, const char *url, struct ks_str host)
{
	static char session[8192];
	struct ks_buf room = KS_BUF(session);
	struct ks_sigv4_request request = {
		.host = host,
		.service = KS_STR("sts"),
		.body = ks_str_c(assume_body),
		.headers = {{KS_STR("Content-Type"), KS_STR("application/x-www-form-urlencoded; charset=utf-8")}},
		.header_count = 1,
		.access_key = KS_STR("AKIAKEYSTILE"),
		.secret_key = KS_STR("base/secret+key"),
	};

	prepare(assume, url, request);
	send_one(assume);
	request.service = KS_STR("secretsmanager");
	request.body = ks_str_c(get_body);
	request.headers[0].value = KS_STR("application/x-amz-json-1.1");
	request.headers[1] = (struct ks_sigv4_header){KS_STR("X-Amz-Target"), KS_STR("secretsmanager.GetSecretValue")};
	request.header_count = 2;
	request.access_key = element(&assume->answer, "AccessKeyId", &room);
	request.secret_key = element(&assume->answer, "SecretAccessKey", &room);
	request.session_token = element(&assume->answer, "SessionToken", &room);
	prepare(get, url, request);
}

int main(int argc, char **argv)
{
	static double bare_us[ROUNDS_MAX], read_us[ROUNDS_MAX];
	static struct bare assume, get;
	struct ks_secretstore_options o = {.timeout_ms = 10000, .concurrency = 1};
	struct ks_secretstore_ask ask = {KS_STR("org_bench"), KS_STR("org_bench"), {reference, sizeof(reference) - 1}, 0, false};
	struct ks_secretstore_problem problem;
	struct ks_secretstore_answer answer;
	struct ks_secretstore *store;
	uint64_t rounds;
	char url[64];

	if (argc != 4 || !ks_str_to_u64(ks_str_c(argv[3]), ROUNDS_MAX, &rounds) || !rounds
	    || !ks_cidr_parse(KS_STR("127.0.0.1"), &o.fetch.allow[o.fetch.allow_count++]))
		die("usage: PORT IDENTITIES ROUNDS");
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%s/", argv[1]);
	o.identities = argv[2];
	if (ks_secretstore_new(&o, &store, &problem) != KS_OK)
		die(problem.text);
	prepare_both(&assume, &get, url, ks_str_sub(ks_str_c(url), 7, strlen(url) - 8));
	for (size_t i = 0; i < rounds + 20; i++) {
		size_t at = i < 20 ? 0 : i - 20; /* the first ones warm up */
		double began = now_us(), between;

		send_one(&assume);
		send_one(&get);
		between = now_us();
		if (ks_secretstore_read(store, &ask, &answer) != KS_SECRETSTORE_OK || answer.requests != 2)
			die("a read fails");
		read_us[at] = now_us() - between;
		bare_us[at] = between - began;
		ks_secretstore_answer_free(&answer);
	}
	(void)printf("{\"bare_us\": %.1f, \"read_us\": %.1f}\n", median(bare_us, rounds), median(read_us, rounds));
	ks_secretstore_free(&store);
	return 0;
}
