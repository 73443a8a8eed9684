/* SPDX-License-Identifier: Apache-2.0 */
/* Signs requests for AWS: one JSON object a line on standard input (the members of struct ks_sigv4_request, headers as a
 * list of pairs), one line on standard output: date and authorization with a tab between, or the name of the error. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/sigv4.h"

static struct ks_str text_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return ks_str_of(value ? json_string_value(value) : "", value ? json_string_length(value) : 0);
}

static void answer(const json_t *in)
{
	const json_t *headers = json_object_get(in, "headers"), *pair;
	struct ks_sigv4_request r = {
		.method = text_of(in, "method"),
		.host = text_of(in, "host"),
		.path = text_of(in, "path"),
		.query = text_of(in, "query"),
		.body = text_of(in, "body"),
		.region = text_of(in, "region"),
		.service = text_of(in, "service"),
		.access_key = text_of(in, "access_key"),
		.secret_key = text_of(in, "secret_key"),
		.session_token = text_of(in, "session_token"),
		.now_s = json_integer_value(json_object_get(in, "now_s")),
	};
	struct ks_sigv4_signed out;
	enum ks_err err;
	size_t i;

	json_array_foreach(headers, i, pair) {
		const json_t *name = json_array_get(pair, 0), *value = json_array_get(pair, 1);

		if (i < KS_SIGV4_HEADERS_MAX)
			r.headers[i] = (struct ks_sigv4_header){
				ks_str_of(json_string_value(name), json_string_length(name)),
				ks_str_of(json_string_value(value), json_string_length(value))};
		r.header_count++;
	}
	err = ks_sigv4_sign(&r, &out);
	if (err == KS_OK)
		printf("%s\t%s\n", out.date, out.authorization);
	else
		printf("%s\n", ks_err_name(err));
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, stdin) > 0) {
		json_t *in = json_loads(line, 0, NULL);

		if (!in)
			exit(1);
		answer(in);
		json_decref(in);
	}
	free(line);
	return 0;
}
