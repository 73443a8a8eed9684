/* SPDX-License-Identifier: Apache-2.0 */
/* The decision as a program that speaks the protocol of tests/reference/README.md: worlds and requests as JSON lines on
 * standard input, one answer a request on standard output. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "decision/decision.h"

#define ANSWER_MAX (256u << 10)
#define BYTES_MAX (64u << 10) /* of one request's texts together */
#define LINE_MAX_BYTES (16u << 20)
#define CARRIERS_MAX 8

struct carrier {
	char name[64];
	uint8_t kinds;
};

struct world {
	struct ks_ring ring;
	struct ks_usage usage;
	void *memory;
	uint64_t size;
	void *usage_memory;
	uint64_t usage_size;
	struct carrier carriers[CARRIERS_MAX];
	size_t carrier_count;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "replay: %s\n", what);
	exit(1);
}

static void must(enum ks_err err, const char *what)
{
	if (err == KS_OK)
		return;
	fprintf(stderr, "replay: %s: %s\n", what, ks_err_text(err));
	exit(1);
}

/* ---- JSON ---- */

static struct ks_str text_of(const json_t *value)
{
	return json_is_string(value) ? ks_str_of(json_string_value(value), json_string_length(value)) : KS_STR("");
}

static struct ks_str member(const json_t *object, const char *name)
{
	return text_of(json_object_get(object, name));
}

static bool flag(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static uint64_t id_of(struct ks_str text)
{
	enum ks_id_type type;
	uint64_t id;

	if (!ks_id_parse_any(text, &type, &id))
		die("not an id");
	return id;
}

/* The id in a member that may be null: 0. */
static uint64_t id_member(const json_t *object, const char *name)
{
	struct ks_str text = member(object, name);

	return text.n ? id_of(text) : 0;
}

static int64_t time_member(const json_t *object, const char *name)
{
	const json_t *time = json_object_get(object, name);

	return json_is_integer(time) ? json_integer_value(time) : INT64_MAX;
}

/* ---- the world ---- */

static void *map(uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("out of memory");
	return memory;
}

static void drop_world(struct world *world)
{
	if (!world->memory)
		return;
	munmap(world->memory, world->size);
	munmap(world->usage_memory, world->usage_size);
	*world = (struct world){0};
}

static void format_world(struct world *world, const json_t *data)
{
	uint32_t tenants = (uint32_t)json_array_size(json_object_get(data, "tenants"));
	uint32_t users = (uint32_t)json_array_size(json_object_get(data, "users"));
	uint32_t keys = (uint32_t)json_array_size(json_object_get(data, "keys"))
			+ (uint32_t)json_array_size(json_object_get(data, "sessions"));
	struct ks_ring_geometry geometry = ks_ring_plan(keys, tenants, users, keys, keys, 1u << 20);
	struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {7, 11}, .domain = member(data, "domain")};

	world->size = ks_ring_size(&geometry);
	world->usage_size = ks_usage_size(&geometry);
	world->memory = map(world->size);
	world->usage_memory = map(world->usage_size);
	must(ks_ring_format(world->memory, world->size, &geometry, &stamp, &world->ring), "ring");
	must(ks_usage_format(world->usage_memory, world->usage_size, &geometry, stamp.generation), "usage");
	must(ks_usage_attach(world->usage_memory, world->usage_size, world->ring.header, &world->usage), "usage");
	world->ring.usage = &world->usage;
}

static void put_policy(struct world *world, struct ks_str yaml)
{
	static const uint64_t hash_key[2] = {3, 5};
	struct ks_policy_problem problem = {0};
	struct ks_policy_table *table = NULL;
	struct ks_policy *policy = NULL;

	if (ks_policy_parse(yaml, KS_STR("keystile:"), &policy, &problem) != KS_OK) {
		fprintf(stderr, "replay: policy, line %u, column %u: %s\n", problem.line, problem.column, problem.text);
		exit(1);
	}
	must(ks_policy_compile(policy, world->ring.scopes, hash_key, &table), "policy");
	must(ks_ring_put_policy(&world->ring, KS_RING_POLICY_PLATFORM, table), "policy");
	must(ks_ring_put_roles(&world->ring, &(const struct ks_policy *){policy}, 1), "roles");
	free(table);
	ks_policy_free(&policy);
}

/* The user whose personal tenant has this id; 0. */
static uint64_t owner_of(const json_t *users, struct ks_str tenant)
{
	size_t i;
	json_t *user;

	json_array_foreach(users, i, user)
		if (ks_str_eq(member(user, "personal"), tenant))
			return id_member(user, "id");
	return 0;
}

static void put_tenants(struct world *world, const json_t *data)
{
	size_t i;
	json_t *tenant;

	json_array_foreach(json_object_get(data, "tenants"), i, tenant) {
		struct ks_ring_tenant_record record = {
			.id = id_member(tenant, "id"),
			.parent = id_member(tenant, "parent"),
			.suspended = flag(tenant, "suspended"),
			.deleted = flag(tenant, "deleted"),
			.slug = member(tenant, "slug"),
		};

		if (!ks_tenant_kind_parse(member(tenant, "kind"), &record.kind))
			die("kind of a tenant");
		if (record.kind == KS_TENANT_KIND_PERSONAL)
			record.user = owner_of(json_object_get(data, "users"), member(tenant, "id"));
		must(ks_ring_put_tenant(&world->ring, &record), "tenant");
	}
}

static void put_user(struct world *world, const json_t *user, bool with_memberships)
{
	static struct ks_ring_membership_record memberships[KS_RING_MEMBERSHIPS_MAX];
	size_t i, count = 0;
	json_t *each;

	json_array_foreach(json_object_get(user, "memberships"), i, each) {
		if (!with_memberships || count == KS_ARRAY_LEN(memberships))
			break;
		memberships[count++] = (struct ks_ring_membership_record){
			id_member(each, "tenant"), ks_ring_name_role(&world->ring, member(each, "role")),
			flag(each, "below")};
	}
	must(ks_ring_put_user(&world->ring, id_member(user, "id"), flag(user, "disabled"), memberships, count),
	     "user");
}

/* Users are there before their personal tenants, and tenants before the users' memberships. */
static void put_people(struct world *world, const json_t *data)
{
	const json_t *users = json_object_get(data, "users");
	size_t i;
	json_t *user;

	json_array_foreach(users, i, user)
		put_user(world, user, false);
	put_tenants(world, data);
	json_array_foreach(users, i, user)
		put_user(world, user, true);
}

static void put_grant(struct world *world, const json_t *key, uint64_t id)
{
	struct ks_cidr cidrs[KS_RING_CIDRS_MAX];
	struct ks_ring_grant_record record = {.id = id, .cidrs = cidrs};
	const json_t *rate = json_object_get(key, "rate_limit");
	uint32_t index;
	size_t i;
	json_t *each;

	json_array_foreach(json_object_get(key, "scopes"), i, each) {
		uint16_t number;

		must(ks_scope_add(world->ring.scopes, text_of(each), &number), "scope");
		ks_scopes_set(&record.scopes, number);
	}
	json_array_foreach(json_object_get(key, "addresses"), i, each) {
		if (record.cidr_count == KS_ARRAY_LEN(cidrs)
		    || !ks_cidr_parse(text_of(each), &cidrs[record.cidr_count]))
			die("addresses");
		record.cidr_count++;
	}
	if (json_is_object(rate)) {
		record.rate_requests = (uint32_t)json_integer_value(json_object_get(rate, "requests"));
		record.rate_window_s = (uint32_t)json_integer_value(json_object_get(rate, "window_s"));
	}
	must(ks_ring_put_grant(&world->ring, &record, &index), "grant");
}

static void put_key(struct world *world, const json_t *key, uint64_t grant)
{
	struct ks_ring_key_record record = {
		.id = id_member(key, "id"),
		.tenant = id_member(key, "tenant"),
		.grant = grant,
		.ends_ms = time_member(key, "expires_ms"),
		.revoked = flag(key, "revoked"),
		.rotated_out = flag(key, "rotated_out"),
	};

	put_grant(world, key, grant);
	must(ks_sha256(member(key, "token"), &record.digest), "digest");
	if (!ks_kind_parse(member(key, "kind"), &record.kind)
	    || !ks_binding_parse(member(key, "binding"), &record.binding)
	    || !ks_environment_parse(member(key, "environment"), &record.environment))
		die("a key");
	must(ks_ring_put_key(&world->ring, &record), "key");
}

/* Those that have ended were there before, as they would be. */
static void put_session(struct world *world, const json_t *session)
{
	struct ks_ring_session_record record = {
		.id = id_member(session, "id"),
		.user = id_member(session, "user"),
		.ends_ms = time_member(session, "expires_ms"),
	};

	must(ks_sha256(member(session, "token"), &record.digest), "digest");
	must(ks_ring_put_session(&world->ring, &record), "session");
	record.ended = flag(session, "ended");
	must(ks_ring_put_session(&world->ring, &record), "session");
}

static void put_issuer(struct world *world, const json_t *issuer)
{
	struct ks_ring_issuer_record record = {
		.id = id_member(issuer, "id"),
		.organization = id_member(issuer, "tenant"),
	};

	must(ks_ring_put_issuer(&world->ring, &record), "issuer");
	record.removed = flag(issuer, "removed");
	must(ks_ring_put_issuer(&world->ring, &record), "issuer");
}

static void put_sessions(struct world *world, const json_t *data)
{
	size_t i;
	json_t *each;

	json_array_foreach(json_object_get(data, "sessions"), i, each)
		put_session(world, each);
	json_array_foreach(json_object_get(data, "issuers"), i, each)
		put_issuer(world, each);
}

static void put_carriers(struct world *world, const json_t *headers)
{
	size_t i;
	json_t *each;

	json_array_foreach(headers, i, each) {
		struct carrier *carrier = &world->carriers[world->carrier_count];
		struct ks_buf name = KS_BUF(carrier->name);
		enum ks_kind kind;

		if (world->carrier_count == CARRIERS_MAX || !ks_kind_parse(member(each, "kind"), &kind))
			die("a header of credentials");
		ks_buf_put(&name, member(each, "name"));
		(void)ks_buf_z(&name);
		carrier->kinds = KS_KIND_BIT(kind);
		world->carrier_count++;
	}
}

static void make_world(struct world *world, const json_t *data)
{
	size_t i;
	json_t *key;

	drop_world(world);
	format_world(world, data);
	put_policy(world, member(data, "policy"));
	put_people(world, data);
	put_carriers(world, json_object_get(data, "credential_headers"));
	if (flag(data, "foreign_tokens"))
		ks_ring_set_foreign(&world->ring);
	json_array_foreach(json_object_get(data, "keys"), i, key)
		put_key(world, key, i + 1);
	put_sessions(world, data);
	must(ks_ring_verify(&world->ring), "verify");
	atomic_store(&world->ring.header->complete, 1);
}

/* ---- the request ---- */

/* The protocol's texts carry bytes: the character U+00XX is the byte XX. */
static struct ks_str bytes_of(const json_t *value, struct ks_buf *room)
{
	struct ks_str text = text_of(value);
	size_t from = room->n;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c >= 0x80 && i + 1 < text.n)
			c = (unsigned char)((c & 3) << 6 | ((unsigned char)text.p[++i] & 0x3f));
		ks_buf_put_byte(room, (char)c);
	}
	if (!ks_buf_ok(room))
		die("a request is too long");
	return ks_str_of(&room->p[from], room->n - from);
}

static void add_carrier(const struct world *world, struct ks_credential *credential, struct ks_str name,
			struct ks_str value)
{
	if (ks_str_eq_nocase(name, KS_STR("Authorization"))) {
		ks_credential_authorization(credential, value);
		return;
	}
	if (ks_str_eq_nocase(name, KS_STR("X-API-Key"))) {
		ks_credential_header(credential, value, KS_KINDS_ANY);
		return;
	}
	for (size_t i = 0; i < world->carrier_count; i++)
		if (ks_str_eq_nocase(name, ks_str_c(world->carriers[i].name)))
			ks_credential_header(credential, value, world->carriers[i].kinds);
}

/* A scope that no policy and no key names is none. */
static void read_scopes(const struct world *world, const json_t *names, struct ks_assertion *assertion)
{
	size_t i;
	json_t *each;
	uint16_t number;

	assertion->has_scopes = json_is_array(names);
	json_array_foreach(names, i, each)
		if (ks_scope_find(world->ring.scopes, text_of(each), &number))
			ks_scopes_set(&assertion->scopes, number);
}

static void read_roles(const struct world *world, const json_t *names, struct ks_assertion *assertion)
{
	size_t i;
	json_t *each;

	json_array_foreach(names, i, each) {
		if (assertion->role_count == KS_ARRAY_LEN(assertion->roles))
			die("too many roles");
		assertion->roles[assertion->role_count++] = ks_ring_role(&world->ring, text_of(each));
	}
}

static void read_assertion(const struct world *world, const json_t *data, struct ks_assertion *ret_assertion)
{
	struct ks_assertion a = {.expires_ms = time_member(data, "expires_ms")};
	struct ks_str result = member(data, "result"), origin = member(data, "for");
	struct ks_buf family = KS_BUF(a.family);

	if (ks_str_eq(result, KS_STR("ok"))) {
		a.result = KS_ASSERTION_OK;
	} else if (ks_str_eq(result, KS_STR("invalid"))) {
		a.result = KS_ASSERTION_INVALID;
		a.detail = KS_LOOKUP_JWT_SIGNATURE;
	}
	a.kind = ks_str_eq(origin, KS_STR("key"))       ? KS_ASSERTION_EXCHANGED
		 : ks_str_eq(origin, KS_STR("session")) ? KS_ASSERTION_SESSION
							: KS_ASSERTION_FEDERATED;
	if (a.kind == KS_ASSERTION_FEDERATED)
		must(ks_ring_issuer_digest(id_member(data, "issuer"), &a.ref), "digest");
	else
		must(ks_sha256(member(data, "token"), &a.ref), "digest");
	read_scopes(world, json_object_get(data, "scopes"), &a);
	read_roles(world, json_object_get(data, "roles"), &a);
	a.tenant = id_member(data, "tenant");
	ks_buf_put(&family, member(data, "family"));
	(void)ks_buf_z(&family);
	*ret_assertion = a;
}

static void read_request(const struct world *world, const json_t *data, struct ks_buf *room,
			 struct ks_credential *credential, struct ks_request *ret_request)
{
	static struct ks_assertion assertion;
	struct ks_request request = {.credential = credential};
	size_t i;
	json_t *each;

	ks_credential_init(credential);
	json_array_foreach(json_object_get(data, "headers"), i, each)
		add_carrier(world, credential, bytes_of(json_array_get(each, 0), room),
			    bytes_of(json_array_get(each, 1), room));
	json_array_foreach(json_object_get(data, "tenant_headers"), i, each) {
		struct ks_str value = bytes_of(each, room);

		if (value.n == 0)
			continue;
		request.tenant_repeated = request.tenant.n > 0;
		request.tenant = value;
	}
	request.method = bytes_of(json_object_get(data, "method"), room);
	request.path = bytes_of(json_object_get(data, "path"), room);
	request.host = bytes_of(json_object_get(data, "host"), room);
	request.address_known = ks_addr_parse(bytes_of(json_object_get(data, "address"), room), &request.address);
	request.now_ms = json_integer_value(json_object_get(data, "now_ms"));
	if (json_is_object(json_object_get(data, "assertion"))) {
		read_assertion(world, json_object_get(data, "assertion"), &assertion);
		request.assertion = &assertion;
	}
	*ret_request = request;
}

/* ---- the answer ---- */

static void put_name(struct ks_buf *out, const char *name)
{
	ks_buf_put_c(out, ",\"");
	ks_buf_put_c(out, name);
	ks_buf_put_c(out, "\":");
}

/* A list from texts with one separator between them. */
static void put_list(struct ks_buf *out, const char *name, struct ks_str texts, char separator)
{
	struct ks_str head = texts, tail;

	put_name(out, name);
	ks_buf_put_byte(out, '[');
	while (texts.n > 0) {
		bool more = ks_str_split(texts, separator, &head, &tail);

		ks_buf_put_json(out, more ? head : texts);
		if (more)
			ks_buf_put_byte(out, ',');
		texts = more ? tail : KS_STR("");
	}
	ks_buf_put_byte(out, ']');
}

static int by_name(const void *a, const void *b)
{
	return ks_str_order(*(const struct ks_str *)a, *(const struct ks_str *)b);
}

static void put_scopes(const struct world *world, const struct ks_decision *d, struct ks_buf *out)
{
	struct ks_str names[KS_SCOPES_MAX];
	size_t count = 0;

	for (uint16_t i = 0; i < KS_SCOPES_MAX; i++)
		if (ks_scopes_has(ks_decision_scopes(d), i))
			names[count++] = ks_scope_name(world->ring.scopes, i);
	qsort(names, count, sizeof(names[0]), by_name);
	put_name(out, "scopes");
	ks_buf_put_byte(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			ks_buf_put_byte(out, ',');
		ks_buf_put_json(out, names[i]);
	}
	ks_buf_put_byte(out, ']');
}

static void put_identity(const struct world *world, const struct ks_decision *d, enum ks_identity_header which,
			 const char *name, struct ks_buf *out)
{
	char text[KS_ID_TEXT_SIZE + KS_FAMILY_NAME_MAX];
	struct ks_buf value = KS_BUF(text);

	ks_identity_put(&world->ring, d, which, &value);
	put_name(out, name);
	ks_buf_put_json(out, ks_buf_str(&value));
}

static void put_allow(const struct world *world, const struct ks_decision *d, struct ks_buf *out)
{
	static char list[KS_DECISION_VISIBLE_TEXT_MAX];
	struct ks_buf text = KS_BUF(list);

	put_identity(world, d, KS_IDENTITY_PRINCIPAL, "principal", out);
	put_identity(world, d, KS_IDENTITY_KIND, "kind", out);
	put_identity(world, d, KS_IDENTITY_TENANT, "tenant", out);
	put_identity(world, d, KS_IDENTITY_ORGANIZATION, "organization", out);
	put_identity(world, d, KS_IDENTITY_ENVIRONMENT, "environment", out);
	put_identity(world, d, KS_IDENTITY_FAMILY, "family", out);
	ks_decision_put_visible(&world->ring, d, &text);
	put_list(out, "visible", ks_buf_str(&text), ',');
	text = KS_BUF(list);
	ks_decision_put_inherited(&world->ring, d, &text);
	put_list(out, "inherited", ks_buf_str(&text), ',');
	put_scopes(world, d, out);
	put_name(out, "remaining");
	if (d->rate.limit)
		ks_buf_put_u64(out, d->rate.remaining);
	else
		ks_buf_put_c(out, "null");
}

static void answer(const struct world *world, const json_t *data, struct ks_buf *out)
{
	static char bytes[BYTES_MAX];
	static struct ks_credential credential;
	static struct ks_path path;
	struct ks_buf room = KS_BUF(bytes);
	struct ks_request request;
	struct ks_decision d;

	read_request(world, data, &room, &credential, &request);
	ks_decide(&world->ring, KS_RING_POLICY_PLATFORM, &request, &path, &d);
	ks_buf_put_c(out, "{\"code\":");
	ks_buf_put_json(out, ks_str_c(ks_reason_info(d.reason)->code));
	if (d.reason == KS_REASON_OK)
		put_allow(world, &d, out);
	if (d.reason == KS_REASON_SCOPE_MISSING) {
		put_name(out, "required_scope");
		ks_buf_put_json(out, ks_scope_name(world->ring.scopes, d.missing_scope));
	}
	if (d.reason == KS_REASON_RATE_LIMITED) {
		put_name(out, "retry_after_s");
		ks_buf_put_u64(out, d.rate.retry_after_s);
	}
	ks_buf_put_c(out, "}\n");
	ks_credential_wipe(&credential);
}

static void answer_line(struct world *world, struct ks_str line)
{
	static char text[ANSWER_MAX];
	struct ks_buf out = KS_BUF(text);
	json_error_t problem;
	json_t *root = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
	const json_t *data;

	if (!root)
		die(problem.text);
	data = json_object_get(root, "world");
	if (data)
		make_world(world, data);
	data = json_object_get(root, "request");
	if (data && !world->memory)
		die("a request before any world");
	if (data)
		answer(world, data, &out);
	if (!ks_buf_ok(&out))
		die("an answer is too long");
	fwrite(out.p, 1, out.n, stdout);
	json_decref(root);
}

/* Lines from standard input. Whenever there is nothing more to read, the answers so far are sent. */
static bool next_line(struct ks_buf *input, size_t *at, struct ks_str *ret_line)
{
	struct ks_str rest = ks_str_sub(ks_buf_str(input), *at, SIZE_MAX), line, tail;

	while (!ks_str_split(rest, '\n', &line, &tail)) {
		ssize_t n;

		memmove(input->p, rest.p, rest.n);
		input->n = rest.n;
		if (fflush(stdout) != 0 || input->n == input->cap)
			die("a line is too long, or nobody reads the answers");
		n = read(STDIN_FILENO, &input->p[input->n], input->cap - input->n);
		if (n <= 0)
			return false;
		input->n += (size_t)n;
		rest = ks_buf_str(input);
	}
	*at = input->n - tail.n;
	*ret_line = line;
	return true;
}

int main(void)
{
	struct ks_buf input = ks_buf_of(malloc(LINE_MAX_BYTES), LINE_MAX_BYTES);
	struct world world = {0};
	struct ks_str line;
	size_t at = 0;

	if (!input.p)
		die("out of memory");
	while (next_line(&input, &at, &line))
		answer_line(&world, line);
	free(input.p);
	drop_world(&world);
	return 0;
}
