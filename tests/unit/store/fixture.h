/* SPDX-License-Identifier: Apache-2.0 */
/** What the store's tests share: a folder of one's own for each test, rows with every member set, and little programs
 * around them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../seed.h"
#include "store/store.h"

#define NOW INT64_C(1760000000000)
#define GRANT_FREE "{\"addresses\":[],\"rate_limit\":null,\"roles\":[],\"scopes\":[\"contacts:read\"]}"
#define GRANT_LIMITED "{\"addresses\":[],\"rate_limit\":{\"requests\":600,\"window_s\":60},\"roles\":[],\"scopes\":[]}"

struct fixture {
	char folder[64];
	char path[128];
	char uri[160];
	struct ks_store *store;
};

#define assert_ok(expr) assert_int_equal((expr), KS_OK)
#define assert_str(text, expected) assert_true(ks_str_eq((text), KS_STR(expected)))

/* A xorshift generator. */
static uint64_t random_state;

static inline uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static inline void seed_random(void)
{
	random_state = test_seed() * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline void remove_folder(const char *folder)
{
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct fixture *folder_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/keystile-store-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/data/keystile.db", f->folder);
	snprintf(f->uri, sizeof(f->uri), "sqlite:%s", f->path);
	return f;
}

static inline void open_writer(struct fixture *f)
{
	enum ks_err err = ks_store_open(f->uri, KS_STORE_WRITER, &f->store);

	if (err != KS_OK)
		print_message("%s: %s\n", ks_err_name(err), ks_store_error(NULL));
	assert_ok(err);
}

static inline struct ks_store *open_reader(const struct fixture *f)
{
	struct ks_store *reader = NULL;

	assert_ok(ks_store_open(f->uri, KS_STORE_READER, &reader));
	return reader;
}

static inline struct ks_tenant_row tenant_row(uint64_t id, uint64_t parent, uint64_t organization,
					      enum ks_tenant_kind kind)
{
	return (struct ks_tenant_row){.id = id,
				      .parent = parent,
				      .organization = organization,
				      .kind = kind,
				      .name = KS_STR("a tenant"),
				      .created_at = NOW,
				      .created_by = KS_STR("system"),
				      .suspended_at = KS_TIME_NONE,
				      .deleted_at = KS_TIME_NONE};
}

static inline struct ks_user_row user_row(uint64_t id, uint64_t organization, const char *email)
{
	return (struct ks_user_row){.id = id,
				    .organization = organization,
				    .email = ks_str_c(email),
				    .name = KS_STR("Ada"),
				    .created_at = NOW,
				    .created_by = KS_STR("system"),
				    .disabled_at = KS_TIME_NONE};
}

static inline struct ks_key_row key_row(uint64_t id, uint64_t tenant, uint64_t organization, uint64_t grant)
{
	struct ks_key_row row = {.id = id,
				 .tenant = tenant,
				 .organization = organization,
				 .grant = grant,
				 .kind = KS_KIND_TENANT,
				 .binding = KS_BINDING_ORGANIZATION,
				 .name = KS_STR("CRM sync"),
				 .prefix = KS_STR("ks"),
				 .last_four = KS_STR("cdef"),
				 .created_at = NOW,
				 .created_by = KS_STR("local"),
				 .expires_at = KS_TIME_NONE,
				 .retires_at = KS_TIME_NONE,
				 .revoked_at = KS_TIME_NONE};

	memcpy(row.digest.bytes, &id, sizeof(id));
	return row;
}

static inline struct ks_audit_row audit_row(uint64_t id, uint64_t organization, uint64_t tenant)
{
	return (struct ks_audit_row){.id = id,
				     .at = NOW,
				     .organization = organization,
				     .tenant = tenant,
				     .actor = KS_STR("local"),
				     .action = KS_STR("key.create"),
				     .object = KS_STR("key_0000000000000"),
				     .outcome = KS_STR("ok"),
				     .address = KS_STR("192.0.2.7"),
				     .request_id = KS_STR("r1"),
				     .detail = KS_STR("{}")};
}

/* Ids that every world has. */
enum {
	OPERATOR = 1,
	ORG_A = 10,
	ORG_B = 11,
	SUB_A = 20,
	PROJECT_A = 30,
	USER_A = 40,
	PERSONAL_A = 41,
	FIRST_KEY = 1000
};

static inline void put_tenant(struct ks_store *store, uint64_t id, uint64_t parent, uint64_t organization,
			      enum ks_tenant_kind kind)
{
	struct ks_tenant_row row = tenant_row(id, parent, organization, kind);

	assert_ok(ks_store_tenant_insert(store, &row));
}

/* An operator with two organizations, one of them with all kinds of tenants below it; grants 1 (no limit) and 2
 * (limited). */
static inline void make_world(struct ks_store *store)
{
	struct ks_user_row user = user_row(USER_A, ORG_A, "ada@example.com");
	struct ks_tenant_row personal = tenant_row(PERSONAL_A, ORG_A, ORG_A, KS_TENANT_KIND_PERSONAL);
	uint64_t grant;
	bool made;

	assert_ok(ks_store_begin(store));
	put_tenant(store, OPERATOR, 0, 0, KS_TENANT_KIND_OPERATOR);
	put_tenant(store, ORG_A, OPERATOR, ORG_A, KS_TENANT_KIND_ORGANIZATION);
	put_tenant(store, ORG_B, OPERATOR, ORG_B, KS_TENANT_KIND_ORGANIZATION);
	put_tenant(store, SUB_A, ORG_A, ORG_A, KS_TENANT_KIND_SUB_ENTITY);
	put_tenant(store, PROJECT_A, SUB_A, ORG_A, KS_TENANT_KIND_PROJECT);
	user.personal = PERSONAL_A;
	assert_ok(ks_store_user_insert(store, &user));
	personal.user = USER_A;
	assert_ok(ks_store_tenant_insert(store, &personal));
	assert_ok(ks_store_grant_intern(store, KS_STR(GRANT_FREE), &grant, &made));
	assert_ok(ks_store_grant_intern(store, KS_STR(GRANT_LIMITED), &grant, &made));
	assert_ok(ks_store_commit(store));
}

static inline void put_key(struct ks_store *store, uint64_t id)
{
	struct ks_key_row row = key_row(id, ORG_A, ORG_A, 1);

	assert_ok(ks_store_key_insert(store, &row));
}

/* One creation as the service makes it: a key, its change, its audit entry. */
static inline enum ks_err create_key(struct ks_store *store, uint64_t id)
{
	struct ks_key_row key = key_row(id, ORG_A, ORG_A, 1);
	struct ks_audit_row audit = audit_row(id, ORG_A, ORG_A);
	uint64_t seq;

	KS_TRY(ks_store_key_insert(store, &key));
	KS_TRY(ks_store_change_append(store, KS_CHANGE_KEY, id, 0, &seq));
	return ks_store_audit_append(store, &audit);
}

static inline enum ks_err take_no_key(void *ctx, const struct ks_key_row *row)
{
	(void)row;
	if (ctx)
		++*(size_t *)ctx;
	return KS_OK;
}

static inline bool has_key(struct ks_store *store, uint64_t id)
{
	enum ks_err err = ks_store_key_get(store, id, take_no_key, NULL);

	assert_true(err == KS_OK || err == KS_NOT_FOUND);
	return err == KS_OK;
}

static inline uint64_t key_count(struct ks_store *store)
{
	struct ks_store_counts counts;

	assert_ok(ks_store_counts(store, &counts));
	return counts.keys;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = folder_new();

	open_writer(f);
	make_world(f->store);
	*state = f;
	return 0;
}

static inline int folder_setup(void **state)
{
	*state = folder_new();
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	ks_store_close(&f->store);
	remove_folder(f->folder);
	free(f);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
#define TEST_IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, folder_setup, fixture_teardown)

/* Calls on the raw database, for damage and for what no caller could do. */
static inline void write_file(const char *path, const void *bytes, size_t n)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

static inline size_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static inline void copy_file(const char *from, const char *to, size_t at_most)
{
	size_t n = KS_MIN(file_size(from), at_most);
	char *bytes = malloc(n + 1);
	FILE *file = fopen(from, "rb");

	assert_non_null(bytes);
	assert_non_null(file);
	assert_int_equal(fread(bytes, 1, n, file), n);
	fclose(file);
	write_file(to, bytes, n);
	free(bytes);
}
