/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: the first line is the URL, then header lines up to an empty one, then the body. Decided by a scheme of each kind
 * of grammar: lists and pairs in headers, forms, JSON, XML, tokens, RFC 9421, messages that are signed by certificates. None is
 * ever genuine: the secrets are not in the input. */
#include <stdlib.h>
#include <string.h>

#include "hooksig/hooksig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

#define SECRETS "\"settings\":{\"secrets\":{\"type\":\"secrets\"}},"
#define MAC(content) "\"verify\":[{\"hmac\":{\"digest\":\"sha256\",\"secrets\":\"$secrets\",\"content\":\"" content "\",\"encoding\":\"hex\",\"signature\":\"sig\"}}]"
#define W "\"warnings\":[\"no_timestamp\",\"body_not_covered\",\"static_secret\",\"weak_digest\"],"
#define CERT_URL "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-b150812744257b0fd220d5943b22f740.pem"
#define SECRET "{\"secrets\":[\"0f2b7a4e91c35d68\"]}"

/* Its key is nobody's. */
#define PEM                                                                        \
	"-----BEGIN CERTIFICATE-----\\n" \
	"MIICFjCCAX+gAwIBAgIURl4MMdiUjYcXSJxOp///iTNWtGswDQYJKoZIhvcNAQEL\\n" \
	"BQAwHDEaMBgGA1UEAwwRc25zLmFtYXpvbmF3cy5jb20wIBcNMjYxMTIyMTQyMTE4\\n" \
	"WhgPMjEyNjEwMjkxNDIxMThaMBwxGjAYBgNVBAMMEXNucy5hbWF6b25hd3MuY29t\\n" \
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDYhmIKUxtwI4hvaIAVMSXeNXXL\\n" \
	"0KhvyZ49Vllw0xjcHMdt4DogV/WPbl5kNfavbhxiqOms2DvTRPnL4GxFo3v4+Mwc\\n" \
	"8QfPCwfubJPv14ehyWOJmzR2tzIwwSAGuFhbR92bK3ewvLqLs82NaQCxuFDZo4iG\\n" \
	"ziZ1spbHggRg4sCgzQIDAQABo1MwUTAdBgNVHQ4EFgQUS8gXtkaYE13P8qUBQHjb\\n" \
	"3bJ6eBcwHwYDVR0jBBgwFoAUS8gXtkaYE13P8qUBQHjb3bJ6eBcwDwYDVR0TAQH/\\n" \
	"BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOBgQDAdv6kEW8HDs/Yg5u80a1bl9Ef0Vfp\\n" \
	"Ejn5utbiCuB2oP8sX82to3eicBqKeXkQWeVM+cpwK5JtEYUTpwqWpYUzGCrJ0Sjg\\n" \
	"ISLHjsCbWdT9ER6MUKDtcPmtwMzLlHbH12mHdy84Kidb8qcJxCv35EJTbjeDpSE1\\n" \
	"m3rvNtOfaofQUQ==\\n" \
	"-----END CERTIFICATE-----\\n"

static const struct {
	const char *form, *settings;
} schemes[] = {
	{"{" W SECRETS "\"vars\":{\"ts\":{\"from\":\"header:X-Sig\",\"pick\":\"t\"},\"sig\":{\"from\":\"header:X-Sig\",\"pick\":\"v1\",\"many\":true}},"
	 "\"time\":{\"value\":\"ts\",\"unit\":\"s\",\"max_age\":300}," MAC("{ts}.{body}") "}", SECRET},
	{"{" W SECRETS "\"vars\":{\"sig\":{\"from\":\"header:X-Sig\",\"list\":\" \",\"item_prefix\":\"v1,\",\"many\":true}}," MAC("{url|unescape=:/}{body|md5|base64}") "}", SECRET},
	{"{" W SECRETS "\"vars\":{\"sig\":{\"from\":\"header:X-Sig\",\"format\":\"t={t},v1={s}\",\"part\":\"s\"}}," MAC("{host}{path}{query}{method}") "}", SECRET},
	{"{" W SECRETS "\"vars\":{\"d\":{\"from\":\"header:Date\"},\"sig\":{\"from\":\"header:X-Sig\"}},\"time\":{\"value\":\"d\",\"unit\":\"rfc1123\",\"max_age\":9}," MAC("{body}") "}", SECRET},
	{"{" W SECRETS "\"params\":{\"f\":{\"from\":\"form\",\"sorted\":true,\"values\":\"sort-dedupe\",\"pair\":\"{k}{v}\"},\"q\":{\"from\":\"query\",\"pair\":\"\\\"{k}\\\":\\\"{v}\\\"\",\"json\":true,\"join\":\",\"}},"
	 "\"vars\":{\"sig\":{\"from\":\"param:sig\"}}," MAC("{url}{f}{?f+q:?}{q}") "}", SECRET},
	{"{" W SECRETS "\"params\":{\"j\":{\"from\":[\"query\",\"form\",\"json\"],\"sorted\":true,\"pair\":\"&{k}={v}\",\"exclude\":\"sig\",\"encode\":true}},"
	 "\"vars\":{\"sig\":{\"from\":\"json:a/*/sig\"}}," MAC("{j}") "}", SECRET},
	{"{" W SECRETS "\"vars\":{\"s\":{\"from\":\"xml:OrganizationId\"}},\"verify\":[{\"equals\":{\"value\":\"s\",\"secrets\":\"$secrets\"}}]}", SECRET},
	{"{" W SECRETS "\"vars\":{\"t\":{\"from\":\"header:Authorization\",\"scheme\":\"Bearer\"}},\"verify\":[{\"jws\":{\"token\":\"t\",\"algorithms\":[\"HS256\"],\"secrets\":\"$secrets\"}}]}", SECRET},
	{"{" W "\"settings\":{\"keys\":{\"type\":\"http_keys\"}},\"verify\":[{\"httpsig\":{\"keys\":\"$keys\",\"required_components\":[],\"required_params\":[],\"max_age\":300,"
	 "\"require_content_digest\":false}}]}", "{\"keys\":[{\"keyid\":\"k\",\"alg\":\"hmac-sha256\",\"secret_base64\":\"D4t6TpHDXWg=\"}]}"},
	{"{" W "\"settings\":{\"users\":{\"type\":\"users\"}},\"vars\":{\"c\":{\"from\":\"header:Authorization\",\"scheme\":\"Basic\"}},\"verify\":[{\"basic\":{\"credentials\":\"c\",\"users\":\"$users\"}}]}",
	 "{\"users\":[{\"username\":\"0f2b\",\"password\":\"7a4e91c35d68\"}]}"},
	{"{" W "\"settings\":{\"certs\":{\"type\":\"certificates_by_url\"},\"roots\":{\"type\":\"certificates\"}},"
	 "\"params\":{\"text\":{\"from\":\"json\",\"pair\":\"{k}\\n{v}\\n\",\"keys_by\":\"Type\",\"keys\":{\"Notification\":[\"Message\",\"MessageId\",\"Timestamp\",\"Type\"]}}},"
	 "\"vars\":{\"sig\":{\"from\":\"json:Signature\",\"type\":\"string\"},\"version\":{\"from\":\"json:SignatureVersion\",\"type\":\"string\"},"
	 "\"cert\":{\"from\":\"json:SigningCertURL\",\"type\":\"string\"}},"
	 "\"verify\":[{\"x509\":{\"signature\":\"sig\",\"version\":\"version\",\"versions\":{\"1\":\"sha1\",\"2\":\"sha256\"},\"certificate_url\":\"cert\","
	 "\"certificate_hosts\":[\"sns.{region}.amazonaws.com\"],\"certificates\":\"$certs\",\"trust\":\"$roots\",\"content\":\"{text}\"}}]}",
	 "{\"certs\":{\"" CERT_URL "\":\"" PEM "\"},\"roots\":[\"" PEM "\"]}"},
};

static struct ks_hooksig_scheme *compiled[KS_ARRAY_LEN(schemes)];

static void compile_all(void)
{
	struct ks_hooksig_problem problem;

	for (size_t i = 0; i < KS_ARRAY_LEN(schemes) && !compiled[i]; i++)
		CHECK(ks_hooksig_compile(ks_str_c(schemes[i].form), ks_str_c(schemes[i].settings), &problem, &compiled[i]) == KS_OK);
}

/* Takes one line; false at the end or at an empty one. */
static bool take_line(struct ks_str *text, struct ks_str *ret_line)
{
	if (!ks_str_split(*text, '\n', ret_line, text)) {
		*ret_line = *text;
		*text = KS_STR("");
	}
	return ret_line->n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char bytes[2 << 20];
	struct ks_str text = ks_str_of((const char *)data, size), line;
	struct ks_hooksig_header headers[16];
	struct ks_hooksig_request request = {.method = KS_STR("POST"), .headers = headers, .source_ip = KS_STR("192.0.2.1")};

	compile_all();
	(void)take_line(&text, &request.url);
	while (request.header_count < KS_ARRAY_LEN(headers) && take_line(&text, &line)) {
		struct ks_hooksig_header *header = &headers[request.header_count];

		if (ks_str_split(line, ':', &header->name, &header->value))
			request.header_count++;
	}
	request.body = ks_str_sub(text, 0, 65536);
	for (size_t i = 0; i < KS_ARRAY_LEN(schemes); i++) {
		struct ks_buf room = KS_BUF(bytes);
		struct ks_hooksig_answer answer;

		ks_hooksig_verify(compiled[i], &request, INT64_C(1760000000000), &room, &answer);
		CHECK(answer.code != KS_HOOKSIG_OK && !answer.challenge);
	}
	return 0;
}
