/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/ctenc.h"
#include "engine/deliveries.h"
#include "engine/events.h"
#include "engine/payload.h"
#include "support.h"

static int set_up(void **state)
{
	static struct world w;

	world_new(&w);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

/* ---- short ways ---- */

struct making {
	struct ks_endpoint_input input;
	uint64_t id;
	struct ks_endpoint_secret secret;
};

static enum ks_err run_create(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct making *m = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_endpoints_create(tx, &actor, &m->input, &m->id, &m->secret, refusal);
}

static const struct ks_str all[] = {KS_STR("*")};

static struct making making_of(uint64_t tenant, const char *url)
{
	return (struct making){.input = {.tenant = tenant, .url = ks_str_c(url), .events = all, .event_count = 1}};
}

static uint64_t make_endpoint(struct world *w, uint64_t tenant)
{
	struct making m = making_of(tenant, "https://receiver.example/hook?secret=x");

	assert_int_equal(world_change(w, run_create, &m), KS_OK);
	return m.id;
}

typedef enum ks_err by_id(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *refusal);

struct calling {
	by_id *call;
	uint64_t id;
};

static enum ks_err run_by_id(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct calling *c = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return c->call(tx, &actor, c->id, refusal);
}

static enum ks_err call(struct world *w, by_id *what, uint64_t id)
{
	struct calling c = {what, id};

	return world_change(w, run_by_id, &c);
}

static size_t touches;

static void count_touch(void *ctx, uint64_t endpoint)
{
	(void)ctx;
	(void)endpoint;
	touches++;
}

static enum ks_err run_fan_out(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)refusal;
	return ks_deliveries_fan_out(tx, false, 1000, count_touch, NULL, ctx);
}

static struct ks_fan_out fan_out(struct world *w)
{
	struct ks_fan_out done = {0};

	touches = 0;
	assert_int_equal(world_change(w, run_fan_out, &done), KS_OK);
	assert_int_equal(touches, done.deliveries);
	return done;
}

struct seen {
	struct ks_delivery_row rows[16];
	size_t count;
};

static enum ks_err note(void *ctx, const struct ks_delivery_row *row)
{
	struct seen *seen = ctx;

	assert_true(seen->count < KS_ARRAY_LEN(seen->rows));
	seen->rows[seen->count++] = *row;
	return KS_OK;
}

static struct seen deliveries_of(struct world *w, uint64_t endpoint)
{
	struct ks_delivery_filter filter = {.endpoint = endpoint, .state = KS_DELIVERY_STATE_COUNT, .from = KS_TIME_NONE,
					    .to = KS_TIME_NONE, .limit = 16};
	struct ks_engine_reader reader;
	struct seen seen = {.count = 0};

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_deliveries(reader.store, &filter, note, &seen), KS_OK);
	ks_engine_reader_close(&reader);
	return seen;
}

static enum ks_err run_record(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)refusal;
	return ks_deliveries_record(tx, ctx);
}

static void record(struct world *w, const struct ks_delivery_row *row, enum ks_delivery_state state, const char *disable)
{
	struct ks_delivery_result r = {
		.delivery = row->id,
		.endpoint = row->endpoint,
		.at = row->due_at,
		.first_at = row->due_at,
		.due_at = row->due_at + 1000,
		.status = state == KS_DELIVERY_DELIVERED ? 204 : 500,
		.state = state,
		.failing = state != KS_DELIVERY_DELIVERED,
		.disable = disable,
	};

	assert_int_equal(world_change(w, run_record, &r), KS_OK);
}

static enum ks_err keep_endpoint(void *ctx, const struct ks_endpoint_row *row)
{
	*(struct ks_endpoint_row *)ctx = *row;
	return KS_OK;
}

static struct ks_endpoint_row see_endpoint(struct world *w, uint64_t id)
{
	struct ks_engine_reader reader;
	struct ks_endpoint_row row;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_endpoint_get(reader.store, id, keep_endpoint, &row), KS_OK);
	ks_engine_reader_close(&reader);
	return row;
}

/* ---- tests ---- */

static void bad_input_is_refused_and_changes_nothing(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	static const char *const urls[] = {"", "ftp://x/", "https://", "https://a b/", "https://u:p@x/", "https://x/#f", "http:/x"};
	static const struct ks_str events[][2] = {{KS_STR("key.created"), KS_STR("*")},
						  {KS_STR("key.created"), KS_STR("no.such")},
						  {KS_STR("key.created"), KS_STR("key.created")}};

	for (size_t i = 0; i < KS_ARRAY_LEN(urls); i++) {
		struct making m = making_of(org, urls[i]);

		assert_int_equal(world_change(w, run_create, &m), KS_MALFORMED);
		assert_string_equal(w->refusal.pointer, "/url");
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(events); i++) {
		struct making m = making_of(org, "https://x/");

		m.input.events = events[i];
		m.input.event_count = 2;
		assert_int_equal(world_change(w, run_create, &m), KS_MALFORMED);
		assert_string_equal(w->refusal.pointer, "/events/1");
	}
	assert_int_equal(audit_count(w, "endpoint.create"), 0);
}

static void secrets_have_the_form_that_receivers_know(void **state)
{
	struct world *w = *state;
	struct making m = making_of(make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme"), "https://x/");
	unsigned char key[64];
	size_t n;

	assert_int_equal(world_change(w, run_create, &m), KS_OK);
	assert_true(ks_str_starts(ks_str_c(m.secret.text), KS_STR("whsec_")));
	assert_true(ks_base64_decode(ks_str_c(&m.secret.text[6]), key, sizeof(key), &n));
	assert_int_equal(n, 32);
	assert_string_equal(m.secret.public_key, "");
	m.input.signature = KS_ENDPOINT_V1A;
	assert_int_equal(world_change(w, run_create, &m), KS_OK);
	assert_string_equal(m.secret.text, "");
	assert_true(ks_str_starts(ks_str_c(m.secret.public_key), KS_STR("whpk_")));
	assert_true(ks_base64_decode(ks_str_c(&m.secret.public_key[5]), key, sizeof(key), &n));
	assert_int_equal(n, 32);
}

static void neither_audit_nor_events_hold_the_path(void **state)
{
	struct world *w = *state;
	struct audit_seen seen;

	(void)make_endpoint(w, make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme"));
	see_audit(w, "endpoint.create", &seen);
	assert_non_null(strstr(seen.detail, "\"https://receiver.example\""));
	assert_null(strstr(seen.detail, "hook"));
	assert_null(strstr(seen.detail, "secret=x"));
}

static void events_go_to_those_that_see_them(void **state)
{
	struct world *w = *state;
	uint64_t partner = make_tenant(w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, partner, "Acme");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, partner, "Other");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Branch");
	uint64_t sibling = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sibling");
	const uint64_t at[] = {operator_of(w), partner, org, other, sub, sibling};
	static const size_t of_sub[] = {1, 0, 1, 0, 1, 0}, of_org[] = {1, 1, 1, 0, 0, 0};
	uint64_t endpoints[KS_ARRAY_LEN(at)];
	size_t before[KS_ARRAY_LEN(at)];

	for (size_t i = 0; i < KS_ARRAY_LEN(at); i++)
		endpoints[i] = make_endpoint(w, at[i]);
	(void)fan_out(w);
	for (size_t i = 0; i < KS_ARRAY_LEN(at); i++)
		before[i] = deliveries_of(w, endpoints[i]).count;
	(void)make_key(w, sub, "contacts:read");
	assert_int_equal(fan_out(w).events, 1);
	for (size_t i = 0; i < KS_ARRAY_LEN(at); i++)
		assert_int_equal(deliveries_of(w, endpoints[i]).count, before[i] + of_sub[i]);
	(void)make_key(w, org, "contacts:read");
	(void)fan_out(w);
	for (size_t i = 0; i < KS_ARRAY_LEN(at); i++)
		assert_int_equal(deliveries_of(w, endpoints[i]).count, before[i] + of_sub[i] + of_org[i]);
}

static void an_event_is_handed_out_once(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	uint64_t id = make_endpoint(w, org);
	size_t count;

	(void)make_key(w, org, "contacts:read");
	(void)fan_out(w);
	count = deliveries_of(w, id).count;
	assert_int_equal(fan_out(w).events, 0);
	world_close(w);
	assert_int_equal(world_open(w), KS_OK);
	assert_int_equal(fan_out(w).events, 0);
	assert_int_equal(deliveries_of(w, id).count, count);
	/* The endpoint's own creation is older than whatever it hears of but itself. */
	assert_int_equal(count, 2);
}

static void paused_waits_disabled_misses_and_a_replay_makes_good(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	uint64_t id = make_endpoint(w, org);
	struct seen seen;

	(void)fan_out(w);
	assert_int_equal(call(w, ks_endpoints_pause, id), KS_OK);
	assert_int_equal(call(w, ks_endpoints_pause, id), KS_OK);
	assert_int_equal(audit_count(w, "endpoint.pause"), 1);
	(void)fan_out(w);
	seen = deliveries_of(w, id);
	assert_int_equal(seen.count, 2);
	assert_int_equal(call(w, ks_endpoints_resume, id), KS_OK);
	(void)fan_out(w);
	seen = deliveries_of(w, id);
	assert_int_equal(seen.count, 3);
	record(w, &seen.rows[0], KS_DELIVERY_FAILED, "gone");
	assert_int_equal(see_endpoint(w, id).state, KS_ENDPOINT_DISABLED);
	assert_int_equal(audit_count(w, "endpoint.disable"), 1);
	assert_int_equal(call(w, ks_endpoints_pause, id), KS_CONFLICT);
	(void)make_key(w, org, "contacts:read");
	(void)fan_out(w);
	assert_int_equal(deliveries_of(w, id).count, 3);
	assert_int_equal(call(w, ks_endpoints_resume, id), KS_OK);
	assert_int_equal(see_endpoint(w, id).failing_since, KS_TIME_NONE);
	(void)fan_out(w);
	assert_int_equal(deliveries_of(w, id).count, 4);
}

static enum ks_err read_cursor(struct world *w, uint64_t *cursor)
{
	struct ks_engine_reader reader;
	enum ks_err err;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	err = ks_store_cursor_get(reader.store, cursor);
	ks_engine_reader_close(&reader);
	return err;
}

static void the_cursor_is_not_written_for_what_nobody_hears(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme"), before, after, id;

	assert_int_equal(read_cursor(w, &before), KS_OK);
	(void)make_key(w, org, "contacts:read");
	assert_int_equal(fan_out(w).events, 2);
	assert_int_equal(fan_out(w).events, 0);
	assert_int_equal(read_cursor(w, &after), KS_OK);
	assert_int_equal(before, after);
	id = make_endpoint(w, org);
	assert_int_equal(fan_out(w).deliveries, 1);
	assert_int_equal(read_cursor(w, &after), KS_OK);
	assert_true(after > before);
	assert_int_equal(deliveries_of(w, id).count, 1);
}

struct range {
	struct ks_replay replay;
	uint64_t after, count;
};

static enum ks_err run_range(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct range *r = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_deliveries_replay_range(tx, &actor, &r->replay, &r->after, &r->count, refusal);
}

static void dead_letters_and_ranges_are_replayed(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	uint64_t id = make_endpoint(w, org);
	struct range failed = {.replay = {id, KS_TIME_NONE, KS_TIME_NONE, true}};
	struct range whole = {.replay = {id, KS_TIME_NONE, KS_TIME_NONE, false}};
	struct seen seen;

	(void)make_key(w, org, "contacts:read");
	(void)fan_out(w);
	seen = deliveries_of(w, id);
	assert_int_equal(seen.count, 2);
	record(w, &seen.rows[0], KS_DELIVERY_FAILED, NULL);
	record(w, &seen.rows[1], KS_DELIVERY_DELIVERED, NULL);
	assert_int_equal(world_change(w, run_range, &failed), KS_OK);
	assert_int_equal(failed.count, 1);
	assert_int_equal(failed.after, 0);
	seen = deliveries_of(w, id);
	assert_int_equal(seen.rows[0].state, KS_DELIVERY_PENDING);
	assert_int_equal(seen.rows[0].tries, 0);
	assert_int_equal(seen.rows[0].attempts, 1);
	assert_int_equal(seen.rows[1].state, KS_DELIVERY_DELIVERED);
	assert_int_equal(call(w, ks_deliveries_replay, seen.rows[1].id), KS_OK);
	assert_int_equal(deliveries_of(w, id).rows[1].state, KS_DELIVERY_PENDING);
	/* Also what happened before the endpoint was there, where all is asked for. */
	assert_int_equal(world_change(w, run_range, &whole), KS_OK);
	assert_int_equal(deliveries_of(w, id).count, 3);
	assert_int_equal(call(w, ks_endpoints_delete, id), KS_OK);
	assert_int_equal(call(w, ks_deliveries_replay, seen.rows[1].id), KS_CONFLICT);
	assert_int_equal(world_change(w, run_range, &whole), KS_NOT_FOUND);
	assert_int_equal(audit_count(w, "delivery.replay"), 3);
}

static void a_tenant_has_so_many(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme"), last = 0;
	struct making m = making_of(org, "https://x/");

	for (size_t i = 0; i < KS_ENDPOINTS_MAX; i++)
		last = make_endpoint(w, org);
	assert_int_equal(world_change(w, run_create, &m), KS_CONFLICT);
	assert_int_equal(call(w, ks_endpoints_delete, last), KS_OK);
	assert_int_equal(world_change(w, run_create, &m), KS_OK);
}

struct rotating {
	uint64_t id;
	struct ks_endpoint_rotation rotation;
	struct ks_endpoint_secret secret;
};

static enum ks_err run_rotate(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct rotating *r = ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	return ks_endpoints_rotate(tx, &actor, r->id, &r->rotation, &r->secret, refusal);
}

static void so_many_secrets_sign_at_a_time(void **state)
{
	struct world *w = *state;
	uint64_t id = make_endpoint(w, make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme"));
	struct rotating r = {.id = id, .rotation = {.overlap_ms = 60000}};

	for (size_t i = 1; i < KS_ENDPOINT_SECRETS_MAX; i++)
		assert_int_equal(world_change(w, run_rotate, &r), KS_OK);
	assert_int_equal(world_change(w, run_rotate, &r), KS_CONFLICT);
	r.rotation.overlap_ms = KS_ENDPOINT_OVERLAP_MAX_MS + 1;
	assert_int_equal(world_change(w, run_rotate, &r), KS_MALFORMED);
	r.rotation.overlap_ms = 0;
	assert_int_equal(world_change(w, run_rotate, &r), KS_OK);
	r.rotation.overlap_ms = 60000;
	assert_int_equal(world_change(w, run_rotate, &r), KS_OK);
	assert_int_equal(audit_count(w, "endpoint.rotate"), KS_ENDPOINT_SECRETS_MAX + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bad_input_is_refused_and_changes_nothing),
		TEST(secrets_have_the_form_that_receivers_know),
		TEST(neither_audit_nor_events_hold_the_path),
		TEST(events_go_to_those_that_see_them),
		TEST(an_event_is_handed_out_once),
		TEST(the_cursor_is_not_written_for_what_nobody_hears),
		TEST(paused_waits_disabled_misses_and_a_replay_makes_good),
		TEST(dead_letters_and_ranges_are_replayed),
		TEST(so_many_secrets_sign_at_a_time),
		TEST(a_tenant_has_so_many),
	};

	return cmocka_run_group_tests_name("endpoints", tests, NULL, NULL);
}
