/* SPDX-License-Identifier: Apache-2.0 */
/* libkeystile through its public interface, over a ring in files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../decision/fixture.h"
#include "base/ctenc.h"
#include "keystile/keystile.h"
#include "ringmap/ringmap.h"

#define SCOPES "contacts:read trust:read"

static char directory[64], ring_directory[80];
static struct ks_ringmap_writer *writer;
static struct fixture f;
static struct keystile *ks;
static char lab[KS_TOKEN_TEXT_SIZE], partner[KS_TOKEN_TEXT_SIZE];
static char revoked[KS_TOKEN_TEXT_SIZE], fenced[KS_TOKEN_TEXT_SIZE];
static char bearer[256];

static int open_world(void **state)
{
	struct ks_ring_geometry geometry = ks_ring_plan(1000, 100, 100, 1000, 100, 1u << 20);
	struct ks_ringmap_options options = {.domain = KS_STR(DOMAIN_NAME), .group = -1};
	struct ks_buf path = KS_BUF(ring_directory);
	bool fresh;

	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/keystile-lib-XXXXXX");
	fixture_must(mkdtemp(directory) != NULL);
	ks_buf_printf(&path, "%s/ring", directory);
	options.directory = ks_buf_z(&path);
	fixture_must(ks_ringmap_writer_open(&options, &geometry, true, &writer, &fresh) == KS_OK);
	f.ring = *ks_ringmap_writer_ring(writer);
	fixture_fill(&f);
	fixture_key_put(&f,
			&(struct fixture_key){KEY_OF(LAB, PROJECT), .scopes = SCOPES, .requests = 5, .window_s = 10},
			lab);
	fixture_key_put(&f,
			&(struct fixture_key){.tenant = PARTNER_P, .kind = KS_KIND_PARTNER,
					      .binding = KS_BINDING_PARTNER, .scopes = SCOPES},
			partner);
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .revoked = true}, revoked);
	fixture_key_put(&f,
			&(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = SCOPES, .cidr = "192.0.2.0/24"},
			fenced);
	fixture_must(ks_ringmap_writer_publish(writer) == KS_OK);
	fixture_must(keystile_open(ring_directory, &ks) == KEYSTILE_OK);
	return 0;
}

static int close_world(void **state)
{
	char command[128];

	(void)state;
	keystile_close(ks);
	ks_ringmap_writer_close(&writer);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

/* A good request with `token`. */
static struct keystile_request with(const char *token)
{
	struct keystile_request request = KEYSTILE_REQUEST;

	snprintf(bearer, sizeof(bearer), "Bearer %s", token);
	request.authorization = keystile_text(bearer);
	request.method = keystile_text("GET");
	request.path = keystile_text("/trust");
	request.now_ms = NOW;
	return request;
}

static void assert_code(const struct keystile_request *request, const char *code)
{
	const struct keystile_verdict *verdict = keystile_decide(ks, request);

	assert_string_equal(keystile_verdict_code(verdict), code);
	assert_int_equal(keystile_verdict_allows(verdict), strcmp(code, "ok") == 0);
}

static void opening_what_is_not_there(void **state)
{
	struct keystile *handle = (struct keystile *)(uintptr_t)8;

	(void)state;
	assert_int_equal(keystile_open(NULL, &handle), KEYSTILE_BAD_ARGUMENT);
	assert_int_equal(keystile_open(ring_directory, NULL), KEYSTILE_BAD_ARGUMENT);
	assert_int_equal(keystile_open("/nowhere/at/all", &handle), KEYSTILE_NOT_FOUND);
	assert_int_equal(keystile_open(directory, &handle), KEYSTILE_NOT_FOUND);
	assert_ptr_equal(handle, (struct keystile *)(uintptr_t)8);
	keystile_prefault(NULL);
	keystile_close(NULL);
}

static void statuses_have_texts(void **state)
{
	(void)state;
	for (int status = KEYSTILE_OK; status <= KEYSTILE_FORBIDDEN; status++)
		assert_string_not_equal(keystile_status_text(status), "unknown status");
	assert_string_equal(keystile_status_text(-1), "unknown status");
	assert_string_equal(keystile_version(), KEYSTILE_VERSION_TEXT);
}

static void faults_refuse(void **state)
{
	struct keystile_carrier bad = {keystile_text("x"), 0x200};
	struct keystile_request request = with(lab);

	(void)state;
	assert_string_equal(keystile_verdict_code(keystile_decide(NULL, &request)), "stale");
	assert_string_equal(keystile_verdict_code(keystile_decide(ks, NULL)), "stale");
	assert_int_equal(keystile_verdict_http_status(keystile_decide(NULL, NULL)), 503);
	assert_false(keystile_verdict_allows(NULL));
	assert_string_equal(keystile_verdict_code(NULL), "stale");
	request.flags = 0x80;
	assert_code(&request, "stale");
	request = with(lab);
	request.carrier_count = 1;
	assert_code(&request, "stale");
	request.carriers = &bad;
	assert_code(&request, "stale");
	request = with(lab);
	assert_code(&request, "ok");
}

static void older_and_newer_requests(void **state)
{
	struct {
		struct keystile_request known;
		uint64_t later;
	} newer = {.known = with(lab)};
	struct keystile_request older = with(lab);

	(void)state;
	newer.known.size = sizeof(newer);
	assert_code(&newer.known, "ok");
	newer.later = 1;
	assert_code(&newer.known, "stale");
	older.size = 0;
	assert_code(&older, "stale");
	/* A program that knew nothing from `tenant` on: what stands there is not read. */
	older = with(lab);
	older.size = offsetof(struct keystile_request, tenant);
	older.tenant = keystile_text("nobody");
	older.peer = (const void *)(uintptr_t)1;
	older.peer_size = 100;
	assert_code(&older, "ok");
	older.size = sizeof(older);
	older.peer = NULL;
	assert_code(&older, "tenant_forbidden");
}

static void texts_are_never_null(void **state)
{
	const char *(*const texts[])(const struct keystile_verdict *) = {
		keystile_verdict_code,     keystile_verdict_text,      keystile_verdict_detail,
		keystile_verdict_challenge, keystile_verdict_principal, keystile_verdict_kind,
		keystile_verdict_tenant,   keystile_verdict_organization, keystile_verdict_visible,
		keystile_verdict_inherited, keystile_verdict_scopes,    keystile_verdict_environment,
		keystile_verdict_family,   keystile_verdict_required_scope,
	};
	struct keystile_request requests[4] = {with(lab), KEYSTILE_REQUEST, with(lab), KEYSTILE_REQUEST};

	(void)state;
	requests[1].api_key = keystile_text(revoked);
	requests[2].path = keystile_text("//");
	requests[3].flags = 0x80;
	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++) {
		assert_non_null(texts[i](NULL));
		for (size_t r = 0; r < KS_ARRAY_LEN(requests); r++)
			assert_non_null(texts[i](keystile_decide(ks, &requests[r])));
	}
	assert_false(keystile_verdict_rate(NULL, NULL));
	assert_false(keystile_verdict_has_scope(NULL, keystile_text("x")));
	assert_false(keystile_verdict_sees(NULL, keystile_text("x")));
}

static void refusals_tell_what_they_may(void **state)
{
	struct keystile_request request = KEYSTILE_REQUEST;
	const struct keystile_verdict *verdict;

	(void)state;
	request.api_key = keystile_text(revoked);
	verdict = keystile_decide(ks, &request);
	assert_string_equal(keystile_verdict_code(verdict), "credential_invalid");
	assert_int_equal(keystile_verdict_http_status(verdict), 401);
	assert_string_equal(keystile_verdict_detail(verdict), "the key is revoked");
	assert_string_equal(keystile_verdict_challenge(verdict), "Bearer realm=\"keystile\", error=\"invalid_token\"");
	assert_string_equal(keystile_verdict_principal(verdict), fixture_id(KS_ID_KEY, FIRST_KEY + 2));
	assert_string_equal(keystile_verdict_tenant(verdict), "");
	assert_string_equal(keystile_verdict_scopes(verdict), "");
	request = with(lab);
	request.method = keystile_text("POST");
	verdict = keystile_decide(ks, &request);
	assert_string_equal(keystile_verdict_code(verdict), "scope_missing");
	assert_string_equal(keystile_verdict_required_scope(verdict), "trust:write");
	assert_string_equal(keystile_verdict_challenge(verdict), "");
	request.path = keystile_text("/a/../b");
	assert_string_equal(keystile_verdict_detail(keystile_decide(ks, &request)),
			    "has a dot segment or an encoded dot");
	request.authorization = keystile_text("Basic eDp5");
	assert_string_equal(keystile_verdict_challenge(keystile_decide(ks, &request)),
			    "Basic realm=\"keystile\", charset=\"UTF-8\"");
}

static void an_allow_in_full(void **state)
{
	struct keystile_request request = with(lab);
	const struct keystile_verdict *verdict = keystile_decide(ks, &request);
	struct keystile_rate rate;

	(void)state;
	assert_true(keystile_verdict_allows(verdict));
	assert_int_equal(keystile_verdict_http_status(verdict), 200);
	assert_string_equal(keystile_verdict_principal(verdict), fixture_id(KS_ID_KEY, FIRST_KEY));
	assert_string_equal(keystile_verdict_kind(verdict), "tenant");
	assert_string_equal(keystile_verdict_tenant(verdict), fixture_id(KS_ID_PROJECT, LAB));
	assert_string_equal(keystile_verdict_organization(verdict), fixture_id(KS_ID_ORGANIZATION, ACME));
	assert_string_equal(keystile_verdict_visible(verdict), fixture_id(KS_ID_PROJECT, LAB));
	assert_int_equal(strlen(keystile_verdict_inherited(verdict)), 3 * 18 - 1);
	assert_string_equal(keystile_verdict_scopes(verdict), SCOPES);
	assert_string_equal(keystile_verdict_environment(verdict), "live");
	assert_string_equal(keystile_verdict_family(verdict), "trust");
	assert_string_equal(keystile_verdict_required_scope(verdict), "");
	assert_true(keystile_verdict_has_scope(verdict, keystile_text("trust:read")));
	assert_false(keystile_verdict_has_scope(verdict, keystile_text("trust:write")));
	assert_false(keystile_verdict_has_scope(verdict, keystile_text("no such scope")));
	assert_true(keystile_verdict_sees(verdict, keystile_text(fixture_id(KS_ID_PROJECT, LAB))));
	assert_false(keystile_verdict_sees(verdict, keystile_text(fixture_id(KS_ID_ORGANIZATION, LAB))));
	assert_false(keystile_verdict_sees(verdict, keystile_text(fixture_id(KS_ID_ORGANIZATION, ACME))));
	assert_true(keystile_verdict_rate(verdict, &rate));
	assert_int_equal(rate.limit, 5);
	assert_int_equal(rate.window_s, 10);
	assert_int_equal(rate.remaining, 4);
}

static void headers(void **state)
{
	struct keystile_request request = with(lab);
	const struct keystile_verdict *verdict = keystile_decide(ks, &request);
	char all[1024], small[40], expected[1024];
	struct ks_buf out = KS_BUF(expected);
	struct keystile_text name, value;
	size_t count = 0, n = 0;

	(void)state;
	while (keystile_verdict_header(verdict, count, &name, &value)) {
		ks_buf_printf(&out, "%.*s: %.*s\r\n", (int)name.n, name.p, (int)value.n, value.p);
		count++;
	}
	assert_int_equal(count, 11);
	assert_int_equal(keystile_verdict_headers(verdict, all, sizeof(all), &n), KEYSTILE_OK);
	assert_string_equal(all, ks_buf_z(&out));
	assert_int_equal(n, strlen(all));
	assert_non_null(strstr(all, "X-Keystile-Scopes: " SCOPES "\r\n"));
	assert_non_null(strstr(all, "RateLimit-Policy: \"key\";q=5;w=10\r\n"));
	assert_int_equal(keystile_verdict_headers(verdict, small, sizeof(small), &n), KEYSTILE_TOO_LARGE);
	assert_string_equal(small, "");
	assert_int_equal(keystile_verdict_headers(verdict, NULL, 0, &n), KEYSTILE_BAD_ARGUMENT);
	request.path = keystile_text("/nowhere");
	verdict = keystile_decide(ks, &request);
	assert_int_equal(keystile_verdict_headers(verdict, all, sizeof(all), &n), KEYSTILE_BAD_ARGUMENT);
	assert_false(keystile_verdict_header(verdict, 0, &name, &value));
}

static void carriers(void **state)
{
	struct keystile_request request = with(partner);
	struct keystile_carrier carrier = {keystile_text(partner), KEYSTILE_KIND_PARTNER};

	(void)state;
	request.carriers = &carrier;
	request.carrier_count = 1;
	assert_code(&request, "credential_malformed");
	request.authorization = keystile_text(NULL);
	assert_code(&request, "ok");
	carrier.kinds = KEYSTILE_KIND_TENANT | KEYSTILE_KIND_RUNTIME;
	assert_code(&request, "credential_invalid");
	carrier.kinds = KEYSTILE_KINDS_ANY;
	assert_code(&request, "ok");
	carrier.kinds = KEYSTILE_AUTHORIZATION;
	assert_code(&request, "credential_malformed");
	carrier.value = keystile_text(bearer);
	assert_code(&request, "ok");
	request.api_key = keystile_text(partner);
	assert_code(&request, "credential_malformed");
}

static void addresses(void **state)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
				  .sin6_addr.s6_addr = {[10] = 0xff, 0xff, 192, 0, 2, 7}};
	struct keystile_request request = with(fenced);

	(void)state;
	assert_code(&request, "address_not_allowed");
	request.peer = &v4;
	assert_code(&request, "address_not_allowed");
	request.peer_size = sizeof(v4);
	assert_code(&request, "ok");
	v4.sin_addr.s_addr = htonl(0xc0000307);
	assert_code(&request, "address_not_allowed");
	v4.sin_family = AF_UNIX;
	assert_code(&request, "address_not_allowed");
	request.peer = &v6;
	assert_code(&request, "address_not_allowed");
	request.peer_size = sizeof(v6);
	assert_code(&request, "ok");
	request.address = keystile_text("192.0.3.7");
	assert_code(&request, "address_not_allowed");
	request.address = keystile_text("192.0.2.7:80");
	assert_code(&request, "address_not_allowed");
	request.address = keystile_text("192.0.2.7");
	assert_code(&request, "ok");
}

static void flags(void **state)
{
	struct keystile_request request = with(partner);

	(void)state;
	request.flags = KEYSTILE_TENANT_REPEATED;
	request.tenant = keystile_text(fixture_id(KS_ID_ORGANIZATION, ACME));
	assert_code(&request, "tenant_forbidden");
	request.flags = 0;
	assert_code(&request, "ok");
	request.path = request.method = keystile_text("");
	assert_code(&request, "path_ambiguous");
	request.flags = KEYSTILE_CREDENTIAL_ALONE;
	assert_code(&request, "ok");
	/* 0 is now, when every one of these keys is good. */
	request.now_ms = 0;
	assert_code(&request, "ok");
}

static void it_follows_the_writer(void **state)
{
	struct ks_ring_geometry larger = ks_ring_plan(5000, 100, 100, 1000, 100, 1u << 20);
	struct keystile_request request = with(lab);
	char late[KS_TOKEN_TEXT_SIZE];

	(void)state;
	keystile_prefault(ks);
	assert_code(&request, "ok");
	fixture_must(ks_ringmap_writer_grow(writer, &larger, 0) == KS_OK);
	f.ring = *ks_ringmap_writer_ring(writer);
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = SCOPES}, late);
	request = with(late);
	assert_code(&request, "ok");
	ks_ring_set_lease(&f.ring, NOW);
	assert_code(&request, "stale");
}

/* True if `needle` stands anywhere in `n` bytes. */
static bool holds(const void *bytes, size_t n, const char *needle)
{
	return memmem(bytes, n, needle, strlen(needle)) != NULL;
}

static void no_token_stays_behind(void **state)
{
	/* "<project>:<token>" as Basic; the handle decodes it into memory of its own. */
	static const char user[] = "prj_0000000000006";
	char plain[128], encoded[200];
	struct keystile_request request = with(lab);
	size_t n;

	(void)state;
	snprintf(plain, sizeof(plain), "%s:%s", user, lab);
	n = ks_base64_encode((const unsigned char *)plain, strlen(plain), encoded, sizeof(encoded) - 1);
	encoded[n] = '\0';
	snprintf(bearer, sizeof(bearer), "Basic %s", encoded);
	request.authorization = keystile_text(bearer);
	request.host = keystile_text("acme." DOMAIN_NAME);
	assert_code(&request, "ok");
	assert_false(holds(ks, malloc_usable_size(ks), lab));
	assert_false(holds(ks, malloc_usable_size(ks), &lab[20]));
}

static void tokens(void **state)
{
	char token[KEYSTILE_TOKEN_SIZE], other[KEYSTILE_TOKEN_SIZE];
	unsigned char digest[KEYSTILE_DIGEST_SIZE];

	(void)state;
	assert_int_equal(keystile_token_make(keystile_text("Bad"), true, token), KEYSTILE_MALFORMED);
	assert_int_equal(keystile_token_make(keystile_text("ks"), true, NULL), KEYSTILE_BAD_ARGUMENT);
	assert_int_equal(keystile_token_make(keystile_text("ks"), false, token), KEYSTILE_OK);
	assert_int_equal(keystile_token_make(keystile_text("ks"), true, other), KEYSTILE_OK);
	assert_int_equal(strlen(token), 35);
	assert_int_equal(strlen(other), 44);
	assert_memory_not_equal(token, other, 35);
	assert_int_equal(keystile_token_form(keystile_text(token)), KEYSTILE_FORM_OWN);
	assert_int_equal(keystile_token_form(keystile_text(other)), KEYSTILE_FORM_OWN);
	assert_int_equal(keystile_token_form(keystile_text("eyJ.a.b")), KEYSTILE_FORM_JWT);
	assert_int_equal(keystile_token_form(keystile_text("12345678")), KEYSTILE_FORM_FOREIGN);
	assert_int_equal(keystile_token_form(keystile_text(NULL)), KEYSTILE_FORM_NONE);
	assert_int_equal(keystile_token_digest(keystile_text_n(NULL, 1), digest), KEYSTILE_BAD_ARGUMENT);
	assert_int_equal(keystile_token_digest(keystile_text("abc"), digest), KEYSTILE_OK);
	assert_int_equal(digest[0], 0xba);
	assert_int_equal(digest[31], 0xad);
	keystile_wipe(token, sizeof(token));
	assert_int_equal(token[0], 0);
	keystile_wipe(NULL, 5);
}

static void checks(void **state)
{
	struct keystile_policy_problem problem = {0};

	(void)state;
	assert_string_equal(keystile_path_problem(keystile_text("/a//b")), "has doubled slashes");
	assert_non_null(keystile_path_problem(keystile_text(NULL)));
	assert_null(keystile_path_problem(keystile_text("/a/b?c#")));
	assert_int_equal(keystile_policy_check(keystile_text("version: 2\n"), &problem), KEYSTILE_MALFORMED);
	assert_int_equal(problem.line, 1);
	assert_string_not_equal(problem.text, "");
	assert_int_equal(keystile_policy_check(keystile_text("version: 2\n"), NULL), KEYSTILE_MALFORMED);
	assert_int_equal(keystile_policy_check(keystile_text_n(NULL, 1), NULL), KEYSTILE_BAD_ARGUMENT);
	assert_int_equal(keystile_policy_check(keystile_text_n(fixture_policy, (4u << 20) + 1), NULL),
			 KEYSTILE_TOO_LARGE);
	assert_int_equal(keystile_policy_check(keystile_text(fixture_policy), &problem), KEYSTILE_OK);
}

static void a_session_in_full(void **state)
{
	const struct ks_ring_membership_record memberships[] = {{SALES, KS_ROLE_ADMINISTRATOR, true},
								{EAST, KS_ROLE_NONE, false}};
	struct keystile_request request = KEYSTILE_REQUEST;
	struct keystile_carrier cookie = {.kinds = KEYSTILE_KIND_SESSION};
	const struct keystile_verdict *verdict;
	char anna[KS_TOKEN_TEXT_SIZE], expected[64];

	(void)state;
	fixture_roles_put(&f, fixture_policy);
	fixture_must(ks_ring_put_user(&f.ring, ANNA, false, memberships, 2) == KS_OK);
	fixture_session_put(&f, ANNA, INT64_MAX, false, anna);
	cookie.value = keystile_text(anna);
	request.method = keystile_text("GET");
	request.path = keystile_text("/contacts");
	request.carriers = &cookie;
	request.carrier_count = 1;
	verdict = keystile_decide(ks, &request);
	assert_true(keystile_verdict_allows(verdict));
	assert_string_equal(keystile_verdict_principal(verdict), fixture_id(KS_ID_USER, ANNA));
	assert_string_equal(keystile_verdict_kind(verdict), "session");
	assert_string_equal(keystile_verdict_tenant(verdict), fixture_id(KS_ID_PERSONAL, ANNA_PERSONAL));
	assert_string_equal(keystile_verdict_organization(verdict), fixture_id(KS_ID_ORGANIZATION, ACME));
	snprintf(expected, sizeof(expected), "%s,%s", fixture_id(KS_ID_PERSONAL, ANNA_PERSONAL),
		 fixture_id(KS_ID_SUB_ENTITY, SALES));
	assert_string_equal(keystile_verdict_visible(verdict), expected);
	assert_string_equal(keystile_verdict_scopes(verdict), "contacts:read contacts:write trust:read trust:write");
	assert_true(keystile_verdict_sees(verdict, keystile_text(fixture_id(KS_ID_PROJECT, LAB))));
	assert_false(keystile_verdict_sees(verdict, keystile_text(fixture_id(KS_ID_ORGANIZATION, EAST))));
	/* As a bare token it is none. */
	request = with(anna);
	request.path = keystile_text("/contacts");
	verdict = keystile_decide(ks, &request);
	assert_string_equal(keystile_verdict_code(verdict), "credential_invalid");
	assert_string_equal(keystile_verdict_detail(verdict), "a session's token is taken as the console's cookie alone");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opening_what_is_not_there),
		TEST(statuses_have_texts),
		TEST(faults_refuse),
		TEST(older_and_newer_requests),
		TEST(texts_are_never_null),
		TEST(refusals_tell_what_they_may),
		TEST(an_allow_in_full),
		TEST(a_session_in_full),
		TEST(headers),
		TEST(carriers),
		TEST(addresses),
		TEST(flags),
		TEST(it_follows_the_writer),
		TEST(no_token_stays_behind),
		TEST(tokens),
		TEST(checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
