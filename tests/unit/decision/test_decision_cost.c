/* SPDX-License-Identifier: Apache-2.0 */
/* What a decision does besides deciding: it allocates nothing, asks nothing of the system, and counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

#define ALL "contacts:read contacts:write trust:read trust:write"

static struct fixture f;
static char acme[KS_TOKEN_TEXT_SIZE], limited[KS_TOKEN_TEXT_SIZE], anna[KS_TOKEN_TEXT_SIZE];
static char revoked[KS_TOKEN_TEXT_SIZE], session[KS_TOKEN_TEXT_SIZE];
static struct ks_assertion of_session, of_key, of_issuer;

static void made_for(struct ks_assertion *assertion, enum ks_assertion_kind kind, const char *token)
{
	*assertion = (struct ks_assertion){.result = KS_ASSERTION_OK, .kind = kind, .expires_ms = INT64_MAX,
					   .role_count = 1, .roles = {KS_ROLE_ADMINISTRATOR}};
	if (token)
		fixture_must(ks_sha256(ks_str_c(token), &assertion->ref) == KS_OK);
	else
		fixture_must(ks_ring_issuer_digest(FIRST_KEY - 1, &assertion->ref) == KS_OK);
}

/* Sessions and JWTs of all kinds. */
static void open_people(void)
{
	static const struct ks_ring_membership_record memberships[] = {{SALES, KS_ROLE_ADMINISTRATOR, true},
								       {EAST, KS_ROLE_ACCOUNT_READER, false}};
	struct ks_ring_issuer_record issuer = {FIRST_KEY - 1, ACME, false};

	fixture_roles_put(&f, fixture_policy);
	fixture_must(ks_ring_put_user(&f.ring, ANNA, false, memberships, 2) == KS_OK);
	fixture_must(ks_ring_put_issuer(&f.ring, &issuer) == KS_OK);
	fixture_session_put(&f, ANNA, INT64_MAX, false, session);
	made_for(&of_session, KS_ASSERTION_SESSION, session);
	made_for(&of_key, KS_ASSERTION_EXCHANGED, acme);
	of_key.tenant = SALES;
	made_for(&of_issuer, KS_ASSERTION_FEDERATED, NULL);
}

static int open_world(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION), .scopes = ALL};

	(void)state;
	fixture_open(&f);
	fixture_key_put(&f, &key, acme);
	key.requests = 1;
	key.window_s = 3600;
	fixture_key_put(&f, &key, limited);
	key.requests = 0;
	key.revoked = true;
	fixture_key_put(&f, &key, revoked);
	key.revoked = false;
	key.tenant = ANNA_PERSONAL;
	key.binding = KS_BINDING_USER;
	fixture_key_put(&f, &key, anna);
	open_people();
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

/* Questions that between them reach every step. */
static struct question questions[] = {
	{.path = "/contacts"},
	{.token = "bad"},
	{.authorization = "Basic cHJqXzA6eA=="},
	{.token = "ks_ffffffffffffffffffffffffffffffff"},
	{.token = revoked},
	{.token = acme, .path = "/contacts/%2e%2e"},
	{.token = acme, .path = "/contacts/caf%c3%a9/b", .method = "PATCH"},
	{.token = acme, .path = "/nowhere"},
	{.token = acme, .path = "/server"},
	{.token = acme, .tenant = "org_0000000000000"},
	{.token = acme, .path = "/explicit"},
	{.token = anna, .path = "/trust"},
	{.token = anna, .tenant_repeated = true},
	{.token = anna, .alone = true},
	{.token = limited, .path = "/own"},
	{.api_key = session, .api_key_kinds = KS_KIND_BIT(KS_KIND_SESSION)},
	{.api_key = session, .api_key_kinds = KS_KIND_BIT(KS_KIND_SESSION), .tenant = "sub_0000000000005"},
	{.api_key = session, .api_key_kinds = KS_KIND_BIT(KS_KIND_SESSION), .alone = true},
	{.token = session},
	{.token = JWT_TEXT},
	{.token = JWT_TEXT, .assertion = &of_session, .method = "POST"},
	{.token = JWT_TEXT, .assertion = &of_key},
	{.token = JWT_TEXT, .assertion = &of_issuer, .tenant = "prj_0000000000006"},
};

/* Every allocation of the process, the crypto library's included. A sanitizer has its own allocator: there nothing is
 * seen. */
static unsigned long allocations;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEES_ALLOCATIONS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SEES_ALLOCATIONS false
#endif
#endif

#ifndef SEES_ALLOCATIONS
#define SEES_ALLOCATIONS true

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
	allocations++;
	return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

static void nothing_is_allocated(void **state)
{
	unsigned long before = allocations;
	void *probe = malloc(1);

	(void)state;
	assert_non_null(probe);
	free(probe);
	assert_int_equal(allocations - before, SEES_ALLOCATIONS);
	for (size_t i = 0; i < KS_ARRAY_LEN(questions); i++) {
		before = allocations;
		ask(&f, &questions[i]);
		assert_int_equal(allocations, before);
	}
}

/* In a process that the kernel ends at the first system call but reading, writing and its own end: so a decision neither
 * waits nor looks at a clock, a file or the network. (Of locks, those that wait.) */
static void the_system_is_asked_nothing(void **state)
{
	int status = 0;
	pid_t child;

	(void)state;
	/* What is done once in a process, such as finding functions of libraries, is done. */
	for (size_t i = 0; i < KS_ARRAY_LEN(questions); i++)
		ask(&f, &questions[i]);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
			_exit(1);
		for (size_t i = 0; i < 1000 * KS_ARRAY_LEN(questions); i++)
			ask(&f, &questions[i % KS_ARRAY_LEN(questions)]);
		(void)syscall(SYS_exit, 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void counters_change_nothing_but_the_rate(void **state)
{
	struct ks_rate none = {0};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(questions); i++) {
		struct ks_decision with, without;

		f.ring.usage = NULL;
		without = ask(&f, &questions[i]);
		assert_memory_equal(&without.rate, &none, sizeof(none));
		f.ring.usage = &f.usage;
		with = ask(&f, &questions[i]);
		assert_int_equal(with.reason, without.reason);
		assert_int_equal(with.step, without.step);
		assert_int_equal(with.lookup, without.lookup);
		assert_int_equal(with.missing_scope, without.missing_scope);
		assert_ptr_equal(with.key, without.key);
		assert_ptr_equal(with.grant, without.grant);
		assert_ptr_equal(with.rule, without.rule);
		assert_int_equal(with.tenant, without.tenant);
		assert_int_equal(with.organization, without.organization);
		assert_int_equal(with.visible_own, without.visible_own);
		assert_ptr_equal(with.memberships, without.memberships);
		assert_int_equal(with.inherited_count, without.inherited_count);
		for (uint8_t k = 0; k < with.inherited_count; k++)
			assert_int_equal(with.inherited[k], without.inherited[k]);
	}
	/* The limit was one request, and one was asked with counters. */
	assert_int_equal(ask(&f, &(struct question){.token = limited}).reason, KS_REASON_RATE_LIMITED);
	f.ring.usage = NULL;
	assert_int_equal(ask(&f, &(struct question){.token = limited}).reason, KS_REASON_OK);
}

static uint64_t drain(struct ks_usage_item *ret_first)
{
	struct ks_usage_item items[16];
	uint64_t cursor = 0, total = 0;

	do {
		size_t n = ks_usage_drain(&f.usage, &cursor, items, KS_ARRAY_LEN(items));

		if (n > 0 && total == 0)
			*ret_first = items[0];
		for (size_t i = 0; i < n; i++)
			total += items[i].count;
	} while (cursor != 0);
	return total;
}

static void uses_are_counted(void **state)
{
	struct ks_usage_item item;
	struct ks_decision d;
	uint16_t scope;

	(void)state;
	ask(&f, &(struct question){.path = "/contacts"});
	ask(&f, &(struct question){.token = "bad"});
	ask(&f, &(struct question){.token = "ks_ffffffffffffffffffffffffffffffff"});
	assert_int_equal(drain(&item), 0);

	d = ask(&f, &(struct question){.token = acme, .address = "192.0.2.7"});
	ask(&f, &(struct question){.token = acme, .address = "192.0.2.7"});
	assert_int_equal(drain(&item), 2);
	assert_true(ks_scope_find(f.ring.scopes, KS_STR("contacts:read"), &scope));
	assert_int_equal(item.slot, d.slot);
	assert_int_equal(item.reason, KS_REASON_OK);
	assert_int_equal(item.scope, scope);
	assert_int_equal(item.last_ms, NOW);
	assert_int_equal(item.address.bytes[15], 7);

	d = ask(&f, &(struct question){.token = revoked});
	assert_int_equal(drain(&item), 1);
	assert_int_equal(item.slot, d.slot);
	assert_int_equal(item.reason, KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(item.scope, KS_USAGE_NO_SCOPE);

	/* A JWT's use is its key's, a session's its own. */
	d = ask(&f, &(struct question){.token = JWT_TEXT, .assertion = &of_key});
	assert_ptr_equal(d.key, ask(&f, &(struct question){.token = acme}).key);
	assert_int_equal(drain(&item), 2);
	assert_int_equal(item.slot, d.slot);
	ask(&f, &(struct question){.token = JWT_TEXT, .assertion = &of_session});
	assert_int_equal(drain(&item), 1);
	assert_int_not_equal(item.slot, d.slot);

	ask(&f, &(struct question){.token = acme, .alone = true});
	assert_int_equal(drain(&item), 1);
	assert_int_equal(item.reason, KS_REASON_OK);
	assert_int_equal(item.scope, KS_USAGE_NO_SCOPE);
}

static void refusals_use_nothing_of_the_rate(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		ask(&f, &(struct question){.token = limited, .path = "//"});
		ask(&f, &(struct question){.token = limited, .path = "/server"});
		ask(&f, &(struct question){.token = limited, .tenant = "nobody"});
		ask(&f, &(struct question){.token = limited, .alone = true});
	}
	assert_int_equal(ask(&f, &(struct question){.token = limited}).reason, KS_REASON_OK);
	assert_int_equal(ask(&f, &(struct question){.token = limited}).reason, KS_REASON_RATE_LIMITED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_allocated),
		TEST(the_system_is_asked_nothing),
		TEST(counters_change_nothing_but_the_rate),
		TEST(uses_are_counted),
		TEST(refusals_use_nothing_of_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
