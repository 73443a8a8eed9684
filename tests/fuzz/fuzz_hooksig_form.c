/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of schemes and settings: up to the first NUL the form, behind it the settings. What is refused says where, what is
 * taken decides about a request without vouching for it. */
#include <stdlib.h>
#include <string.h>

#include "hooksig/hooksig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

static void ask(const struct ks_hooksig_scheme *scheme, struct ks_str body)
{
	static char bytes[1 << 20];
	static const struct ks_hooksig_header headers[] = {
		{{"Content-Type", 12}, {"application/json", 16}}, {{"X-Sig", 5}, {"t=1,v1=00", 9}}, {{"Authorization", 13}, {"Basic YTpi", 10}},
	};
	struct ks_hooksig_request request = {.method = KS_STR("POST"), .url = KS_STR("https://a.example/b?c=d&sig=00"), .headers = headers,
					     .header_count = KS_ARRAY_LEN(headers), .body = body, .source_ip = KS_STR("192.0.2.1")};
	struct ks_buf room = KS_BUF(bytes);
	struct ks_hooksig_answer answer;

	ks_hooksig_verify(scheme, &request, 1000, &room, &answer);
	CHECK((unsigned)answer.code < KS_HOOKSIG_CODE_COUNT && answer.code != KS_HOOKSIG_REPLAYED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str text = ks_str_of((const char *)data, size), form = text, settings = KS_STR("");
	struct ks_hooksig_problem problem = {.pointer = "?"};
	struct ks_hooksig_scheme *scheme = NULL;

	if (ks_str_split(text, '\0', &form, &settings) && settings.n == 0)
		settings = KS_STR("{}");
	if (ks_hooksig_compile(form, settings, &problem, &scheme)) {
		CHECK(problem.text[0] && strlen(problem.pointer) < sizeof(problem.pointer) && (!problem.pointer[0] || problem.pointer[0] == '/'));
		return 0;
	}
	ask(scheme, text.n < 65536 ? text : KS_STR("{}"));
	ks_hooksig_free(scheme);
	return 0;
}
