/* SPDX-License-Identifier: Apache-2.0 */
#include "secretstore/held.h"

#include "base/ctenc.h"
#include "base/json.h"
#include "crypto/sha256.h"
#include "secretstore/aws.h"
#include "secretstore/member_check.h"

static const char *const stages[] = {
#define X(name, text) text,
	KS_HELD_STAGES(X)
#undef X
};

/* One operation: a signed request, and what its answer means. */
struct operation {
	struct ks_secretstore_fetch f;
	struct ks_secretstore_reference reference; /* what the table of errors goes by */
	struct ks_aws_call call;
	struct ks_secret body;
	struct ks_buf b;
};

enum ks_err ks_held_version(struct ks_str name, uint64_t number, char ret_version[KS_HELD_VERSION_SIZE])
{
	static const size_t groups[] = {4, 2, 2, 2, 6};
	char text[KS_HELD_NAME_MAX + 32];
	struct ks_buf b = KS_BUF(text), out = ks_buf_of(ret_version, KS_HELD_VERSION_SIZE);
	struct ks_digest digest;
	size_t at = 0;

	ks_buf_put(&b, name);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_u64(&b, number);
	KS_TRY(ks_sha256(ks_buf_str(&b), &digest));
	/* A UUID of version 8 (RFC 9562, 5.8). */
	digest.bytes[6] = (uint8_t)((digest.bytes[6] & 0x0f) | 0x80);
	digest.bytes[8] = (uint8_t)((digest.bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < KS_ARRAY_LEN(groups); i++) {
		if (i)
			ks_buf_put_byte(&out, '-');
		ks_buf_put_hex(&out, &digest.bytes[at], groups[i]);
		at += groups[i];
	}
	(void)ks_buf_z(&out);
	return KS_OK;
}

static enum ks_secretstore_code begin(struct ks_secretstore *store, const struct ks_held_place *place, size_t body_max,
				      struct operation *op)
{
	struct ks_secretstore_set *set = ks_secretstore_set_take(store);
	const struct ks_identity *identity = ks_identities_find(set->identities, place->identity);

	op->f = (struct ks_secretstore_fetch){
		.store = store,
		.set = set,
		.reference = &op->reference,
		.identity = identity,
		.deadline_ms = ks_secretstore_deadline(store, place->timeout_ms),
	};
	op->reference.kind = KS_SECRETSTORE_AWS;
	op->body = (struct ks_secret){0};
	if (!identity || identity->kind != KS_SECRETSTORE_AWS || !identity->direct)
		return KS_SECRETSTORE_IDENTITY_UNKNOWN;
	if (!ks_secretstore_is_region(place->region) || !ks_secretstore_is_aws_secret(place->name) || place->name.n > KS_HELD_NAME_MAX)
		return KS_SECRETSTORE_REFERENCE_MALFORMED;
	ks_secretstore_aws_call(identity, place->region, &op->call);
	if (ks_secret_new(&op->body, body_max) != KS_OK)
		return KS_SECRETSTORE_INTERNAL;
	op->b = ks_buf_of((char *)op->body.bytes, op->body.cap);
	return KS_SECRETSTORE_OK;
}

static void end(struct operation *op)
{
	ks_secretstore_set_drop(op->f.store, op->f.set);
	ks_secret_free(&op->body);
	ks_secret_free(&op->f.value);
}

static void put_member(struct ks_buf *b, const char *name, struct ks_str value)
{
	ks_buf_put_byte(b, b->n ? ',' : '{');
	ks_buf_put_byte(b, '"');
	ks_buf_put_c(b, name);
	ks_buf_put_c(b, "\":");
	ks_buf_put_json(b, value);
}

/* Sends what lies in the buffer. *ret_why: their name of the error, for those few that are none for us; static. */
static enum ks_secretstore_code send_body(struct operation *op, const char *target)
{
	struct ks_fetch_response response;
	enum ks_secretstore_code code;

	ks_buf_put_c(&op->b, "}");
	if (!ks_buf_ok(&op->b))
		return KS_SECRETSTORE_TOO_LARGE;
	op->call.target = ks_str_c(target);
	op->call.body = ks_buf_str(&op->b);
	code = ks_secretstore_aws_send(&op->f, &op->call, &response);
	if (code == KS_SECRETSTORE_OK && response.status != 200)
		code = ks_secretstore_refusal(&op->f, KS_SECRETSTORE_STEP_READ, &response, ks_secretstore_aws_error);
	else if (code == KS_SECRETSTORE_OK && !ks_json_check(ks_secretstore_body(&response)))
		code = KS_SECRETSTORE_MALFORMED;
	ks_fetch_response_free(&response);
	return code;
}

static bool said(const struct operation *op, const char *name)
{
	return ks_str_eq(ks_str_c(op->f.said), ks_str_c(name));
}

/* ---- writing ---- */

static enum ks_secretstore_code create(struct ks_secretstore *store, const struct ks_held_place *place)
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 2048, &op);

	if (code == KS_SECRETSTORE_OK) {
		put_member(&op.b, "Name", place->name);
		code = send_body(&op, "secretsmanager.CreateSecret");
		/* Somebody else was quicker. */
		if (code != KS_SECRETSTORE_OK && said(&op, "ResourceExistsException"))
			code = KS_SECRETSTORE_OK;
	}
	end(&op);
	return code;
}

static bool put_base64(struct ks_buf *b, struct ks_str value)
{
	size_t n = ks_base64_encode((const unsigned char *)value.p, value.n, &b->p[b->n], b->cap - b->n);

	b->n += n;
	return n > 0;
}

static enum ks_secretstore_code put(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
				    struct ks_str value)
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 2 * value.n + 4096, &op);

	if (code == KS_SECRETSTORE_OK) {
		put_member(&op.b, "SecretId", place->name);
		put_member(&op.b, "ClientRequestToken", ks_str_c(version));
		ks_buf_put_c(&op.b, ",\"VersionStages\":[\"AWSPENDING\"],\"SecretBinary\":\"");
		code = put_base64(&op.b, value) ? KS_SECRETSTORE_OK : KS_SECRETSTORE_TOO_LARGE;
		ks_buf_put_c(&op.b, "\"");
	}
	if (code == KS_SECRETSTORE_OK)
		code = send_body(&op, "secretsmanager.PutSecretValue");
	end(&op);
	return code;
}

enum ks_secretstore_code ks_held_put(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
				     struct ks_str value)
{
	enum ks_secretstore_code code;

	if (!value.n)
		return KS_SECRETSTORE_VALUE_EMPTY;
	if (value.n > KS_HELD_VALUE_MAX)
		return KS_SECRETSTORE_TOO_LARGE;
	code = put(store, place, version, value);
	if (code != KS_SECRETSTORE_SECRET_GONE)
		return code;
	code = create(store, place);
	return code == KS_SECRETSTORE_OK ? put(store, place, version, value) : code;
}

static enum ks_secretstore_code move(struct ks_secretstore *store, const struct ks_held_place *place, enum ks_held_stage stage,
				     const char *to, const char *from)
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 4096, &op);

	if (code == KS_SECRETSTORE_OK) {
		put_member(&op.b, "SecretId", place->name);
		put_member(&op.b, "VersionStage", ks_str_c(stages[stage]));
		if (to)
			put_member(&op.b, "MoveToVersionId", ks_str_c(to));
		if (from)
			put_member(&op.b, "RemoveFromVersionId", ks_str_c(from));
		code = send_body(&op, "secretsmanager.UpdateSecretVersionStage");
	}
	end(&op);
	return code;
}

/* What a stage is on now; "" where on none. */
static enum ks_secretstore_code at_stage(struct ks_secretstore *store, const struct ks_held_place *place, enum ks_held_stage stage,
					 char ret_version[KS_SECRETSTORE_VERSION_SIZE])
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 64, &op);

	ret_version[0] = '\0';
	if (code == KS_SECRETSTORE_OK) {
		op.reference.secret = place->name;
		op.reference.version = KS_STR("");
		op.reference.stage = ks_str_c(stages[stage]);
		code = ks_secretstore_aws_get(&op.f, &op.call);
		if (code == KS_SECRETSTORE_OK || code == KS_SECRETSTORE_VALUE_EMPTY)
			memcpy(ret_version, op.f.version, sizeof(op.f.version));
		else if (code == KS_SECRETSTORE_VERSION_GONE)
			code = KS_SECRETSTORE_OK;
	}
	end(&op);
	return code;
}

enum ks_secretstore_code ks_held_unstage(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
					 enum ks_held_stage stage)
{
	char at[KS_SECRETSTORE_VERSION_SIZE];
	enum ks_secretstore_code code;

	if (stage == KS_HELD_CURRENT)
		return KS_SECRETSTORE_REFERENCE_WRONG;
	code = at_stage(store, place, stage, at);
	if (code != KS_SECRETSTORE_OK || !ks_str_eq(ks_str_c(at), ks_str_c(version)))
		return code;
	return move(store, place, stage, NULL, version);
}

enum ks_secretstore_code ks_held_promote(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
					 const char *before)
{
	char at[KS_SECRETSTORE_VERSION_SIZE];
	enum ks_secretstore_code code = at_stage(store, place, KS_HELD_CURRENT, at);

	if (code != KS_SECRETSTORE_OK)
		return code;
	/* Moved before, by a call whose answer was lost. */
	if (!ks_str_eq(ks_str_c(at), ks_str_c(version))) {
		if (at[0] && before && !ks_str_eq(ks_str_c(at), ks_str_c(before)))
			return KS_SECRETSTORE_VERSION_GONE;
		code = move(store, place, KS_HELD_CURRENT, version, at[0] ? at : NULL);
	}
	return code == KS_SECRETSTORE_OK ? ks_held_unstage(store, place, version, KS_HELD_PENDING) : code;
}

static enum ks_secretstore_code settle_one(struct ks_secretstore *store, const struct ks_held_place *place, enum ks_held_stage stage,
					   const char *wanted)
{
	char at[KS_SECRETSTORE_VERSION_SIZE];
	enum ks_secretstore_code code = at_stage(store, place, stage, at);

	if (code != KS_SECRETSTORE_OK || ks_str_eq(ks_str_c(at), ks_str_c(wanted ? wanted : "")))
		return code;
	if (!wanted && stage == KS_HELD_CURRENT)
		return KS_SECRETSTORE_OK;
	return move(store, place, stage, wanted, at[0] ? at : NULL);
}

enum ks_secretstore_code ks_held_settle(struct ks_secretstore *store, const struct ks_held_place *place,
					const char *const wanted[KS_HELD_STAGE_COUNT])
{
	/* AWS itself moves AWSPREVIOUS with AWSCURRENT. */
	static const enum ks_held_stage order[] = {KS_HELD_CURRENT, KS_HELD_PREVIOUS, KS_HELD_PENDING};

	for (size_t i = 0; i < KS_ARRAY_LEN(order); i++) {
		enum ks_secretstore_code code = settle_one(store, place, order[i], wanted[order[i]]);

		if (code != KS_SECRETSTORE_OK)
			return code;
	}
	return KS_SECRETSTORE_OK;
}

enum ks_secretstore_code ks_held_check(struct ks_secretstore *store, const struct ks_held_place *place)
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 64, &op);

	end(&op);
	return code;
}

/* ---- reading, erasing ---- */

enum ks_secretstore_code ks_held_get(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
				     struct ks_secret *ret_value)
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 64, &op);

	if (code == KS_SECRETSTORE_OK) {
		op.reference.secret = place->name;
		op.reference.version = ks_str_c(version);
		op.reference.stage = KS_STR("");
		code = ks_secretstore_aws_get(&op.f, &op.call);
	}
	if (code == KS_SECRETSTORE_OK) {
		*ret_value = op.f.value;
		op.f.value = (struct ks_secret){0};
	}
	end(&op);
	return code;
}

enum ks_secretstore_code ks_held_erase(struct ks_secretstore *store, const struct ks_held_place *place)
{
	struct operation op;
	enum ks_secretstore_code code = begin(store, place, 2048, &op);

	if (code == KS_SECRETSTORE_OK) {
		put_member(&op.b, "SecretId", place->name);
		ks_buf_put_c(&op.b, ",\"ForceDeleteWithoutRecovery\":true");
		code = send_body(&op, "secretsmanager.DeleteSecret");
		if (code == KS_SECRETSTORE_SECRET_GONE && said(&op, "ResourceNotFoundException"))
			code = KS_SECRETSTORE_OK;
	}
	end(&op);
	return code;
}
