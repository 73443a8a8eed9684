/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper does for each message. A sealed value: version 2, the value's key sealed under the organization's, the value
 * sealed under its own; both bound to what they are for. */
#include "crypto/random.h"
#include "keeper/child_priv.h"
#include "keeper/keeper.h"
#include "keeper/sip_digest.h"

#define VALUE_VERSION 2
#define KEY_SEALED (KS_SEAL_KEY_SIZE + KS_SEAL_OVERHEAD)
#define ASSOCIATED_MAX 256
#define LABEL "keystile-vault-v1"

_Static_assert(KS_KEEPER_OVERHEAD == 1 + KEY_SEALED + KS_SEAL_OVERHEAD, "the header says so");
_Static_assert(KS_KEEPER_VALUE_HEAD == 1 + KEY_SEALED, "the header says so");
_Static_assert(KS_KEEPER_SYSTEM_OVERHEAD == KS_SEAL_OVERHEAD, "the header says so");
_Static_assert(KS_KEEPER_VALUE_MAX == KS_SEAL_PLAIN_MAX, "the header says so");

enum ks_err ks_worker_init(struct ks_worker *w, struct ks_child *child)
{
	w->child = child;
	KS_TRY(ks_secret_new(&w->keys, 2 * KS_SEAL_KEY_SIZE));
	return ks_sealer_new(&w->sealer);
}

static uint8_t *octets(char *p)
{
	return (uint8_t *)p;
}

/* ---- keys of organizations ---- */

static enum ks_err put_wrapped(struct ks_worker *w, uint64_t organization, uint32_t generation, struct ks_buf *out)
{
	char text[KS_KEEPER_WRAPPED_MAX];
	struct ks_buf wrapped = KS_BUF(text);

	KS_TRY(ks_roots_wrap(w, organization, generation, KS_WORKER_ORG_KEY(w), &wrapped));
	ks_keeper_put_text(out, ks_buf_str(&wrapped));
	return KS_OK;
}

static enum ks_err org_create(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	uint64_t organization = ks_cursor_u64(in);
	uint32_t generation = ks_cursor_u32(in);

	if (!ks_cursor_done(in) || generation == 0)
		return KS_MALFORMED;
	KS_TRY(ks_random(KS_WORKER_ORG_KEY(w), KS_SEAL_KEY_SIZE));
	return put_wrapped(w, organization, generation, out);
}

static enum ks_err org_rewrap(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_org org = ks_keeper_take_org(in);

	if (!ks_cursor_done(in))
		return KS_MALFORMED;
	if (ks_roots_is_current(w->child, org.wrapped)) {
		ks_buf_put_byte(out, 0);
		ks_keeper_put_text(out, KS_STR(""));
		return KS_OK;
	}
	KS_TRY(ks_roots_org_key(w, &org));
	ks_buf_put_byte(out, 1);
	return put_wrapped(w, org.organization, org.generation, out);
}

static enum ks_err org_forget(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	uint64_t organization = ks_cursor_u64(in);
	uint32_t generation = ks_cursor_u32(in);

	(void)out;
	if (!ks_cursor_done(in))
		return KS_MALFORMED;
	ks_keyring_forget(&w->child->ring, organization, generation);
	return KS_OK;
}

/* ---- values ---- */

/* What a value is bound to. The last byte tells the value's key ('k') from the value ('v'). */
static struct ks_str bind(struct ks_buf *b, const struct ks_keeper_org *org, const struct ks_keeper_binding *binding)
{
	ks_buf_put_c(b, LABEL);
	ks_keeper_put_u64(b, org->organization);
	ks_keeper_put_binding(b, binding);
	ks_buf_put_byte(b, 'k');
	return ks_buf_str(b);
}

static enum ks_err seal_value(struct ks_worker *w, struct ks_buf *purpose, struct ks_str plain, struct ks_buf *out)
{
	struct {
		uint8_t key_nonce[KS_SEAL_NONCE_SIZE];
		uint8_t nonce[KS_SEAL_NONCE_SIZE];
		uint8_t key[KS_SEAL_KEY_SIZE];
	} fresh;
	char *at = ks_keeper_put_room(out, plain.n + KS_KEEPER_OVERHEAD);
	enum ks_err err;
	size_t n;

	if (!at)
		return KS_TOO_LARGE;
	KS_TRY(ks_random(&fresh, sizeof(fresh)));
	at[0] = VALUE_VERSION;
	err = ks_sealer_seal(w->sealer, KS_WORKER_ORG_KEY(w), fresh.key_nonce, ks_buf_str(purpose),
			     ks_str_of((const char *)fresh.key, sizeof(fresh.key)), octets(&at[1]), KEY_SEALED, &n);
	purpose->p[purpose->n - 1] = 'v';
	if (err == KS_OK)
		err = ks_sealer_seal(w->sealer, fresh.key, fresh.nonce, ks_buf_str(purpose), plain,
				     octets(&at[1 + KEY_SEALED]), plain.n + KS_SEAL_OVERHEAD, &n);
	ks_wipe(&fresh, sizeof(fresh));
	return err;
}

static enum ks_err seal(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_org org = ks_keeper_take_org(in);
	uint32_t count = ks_cursor_u32(in);

	if (in->failed || count == 0 || count > KS_KEEPER_BATCH_MAX)
		return KS_MALFORMED;
	KS_TRY(ks_roots_org_key(w, &org));
	for (uint32_t i = 0; i < count; i++) {
		struct ks_keeper_binding binding = ks_keeper_take_binding(in);
		struct ks_str plain = ks_keeper_take_text(in, KS_KEEPER_VALUE_MAX);
		char text[ASSOCIATED_MAX];
		struct ks_buf purpose = KS_BUF(text);

		if (in->failed)
			return KS_MALFORMED;
		(void)bind(&purpose, &org, &binding);
		KS_TRY(seal_value(w, &purpose, plain, out));
	}
	return ks_cursor_done(in) ? KS_OK : KS_MALFORMED;
}

/* `ret_plain` has room for what is in `sealed`. */
static enum ks_err open_value(struct ks_worker *w, struct ks_buf *purpose, struct ks_str sealed, uint8_t *ret_plain,
			      size_t cap, size_t *ret_n)
{
	size_t n;
	enum ks_err err;

	if (sealed.n < KS_KEEPER_OVERHEAD || sealed.p[0] != VALUE_VERSION)
		return KS_CORRUPT;
	KS_TRY(ks_sealer_unseal(w->sealer, KS_WORKER_ORG_KEY(w), ks_buf_str(purpose), ks_str_sub(sealed, 1, KEY_SEALED),
				KS_WORKER_VALUE_KEY(w), KS_SEAL_KEY_SIZE, &n));
	purpose->p[purpose->n - 1] = 'v';
	err = ks_sealer_unseal(w->sealer, KS_WORKER_VALUE_KEY(w), ks_buf_str(purpose),
			       ks_str_sub(sealed, 1 + KEY_SEALED, sealed.n), ret_plain, cap, ret_n);
	ks_wipe(KS_WORKER_VALUE_KEY(w), KS_SEAL_KEY_SIZE);
	return err;
}

static enum ks_err open_one(struct ks_worker *w, const struct ks_keeper_org *org, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_binding binding = ks_keeper_take_binding(in);
	struct ks_str sealed = ks_keeper_take_text(in, KS_KEEPER_VALUE_MAX + KS_KEEPER_OVERHEAD);
	char text[ASSOCIATED_MAX];
	struct ks_buf purpose = KS_BUF(text);
	size_t n = sealed.n < KS_KEEPER_OVERHEAD ? 0 : sealed.n - KS_KEEPER_OVERHEAD, start;
	enum ks_err err;
	char *room;

	if (in->failed)
		return KS_MALFORMED;
	start = out->n;
	ks_buf_put_byte(out, KS_OK);
	room = ks_keeper_put_room(out, n);
	if (!room)
		return KS_TOO_LARGE;
	(void)bind(&purpose, org, &binding);
	err = open_value(w, &purpose, sealed, octets(room), n, &n);
	if (err == KS_OK)
		return KS_OK;
	out->n = start;
	ks_buf_put_byte(out, (char)err);
	ks_keeper_put_text(out, KS_STR(""));
	return KS_OK;
}

static enum ks_err open_values(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_org org = ks_keeper_take_org(in);
	uint32_t count = ks_cursor_u32(in);

	if (in->failed || count == 0 || count > KS_KEEPER_BATCH_MAX)
		return KS_MALFORMED;
	KS_TRY(ks_roots_org_key(w, &org));
	for (uint32_t i = 0; i < count; i++)
		KS_TRY(open_one(w, &org, in, out));
	return ks_cursor_done(in) ? KS_OK : KS_MALFORMED;
}

/* ---- the service's own ---- */

static const struct ks_root *file_root(const struct ks_child *child, size_t from)
{
	for (size_t i = from; i < child->root_count; i++) {
		if (child->roots[i].kind->number == ks_root_file.number)
			return &child->roots[i];
	}
	return NULL;
}

static enum ks_err system_seal(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_org org = ks_keeper_take_org(in);
	struct ks_str associated = ks_keeper_take_text(in, ASSOCIATED_MAX);
	struct ks_str plain = ks_keeper_take_text(in, KS_KEEPER_VALUE_MAX);
	const struct ks_root *file = file_root(w->child, w->child->root_count - 1);
	uint8_t nonce[KS_SEAL_NONCE_SIZE];
	const uint8_t *key = KS_WORKER_ORG_KEY(w);
	char *room;
	size_t n;

	if (!ks_cursor_done(in))
		return KS_MALFORMED;
	if (org.wrapped.n > 0)
		KS_TRY(ks_roots_org_key(w, &org));
	else if (file)
		key = file->key.bytes;
	else
		return KS_FORBIDDEN;
	KS_TRY(ks_random(nonce, sizeof(nonce)));
	room = ks_keeper_put_room(out, plain.n + KS_SEAL_OVERHEAD);
	if (!room)
		return KS_TOO_LARGE;
	return ks_sealer_seal(w->sealer, key, nonce, associated, plain, octets(room), plain.n + KS_SEAL_OVERHEAD, &n);
}

static enum ks_err system_open(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_org org = ks_keeper_take_org(in);
	struct ks_str associated = ks_keeper_take_text(in, ASSOCIATED_MAX);
	struct ks_str sealed = ks_keeper_take_text(in, KS_KEEPER_VALUE_MAX + KS_SEAL_OVERHEAD);
	size_t n = sealed.n < KS_SEAL_OVERHEAD ? 0 : sealed.n - KS_SEAL_OVERHEAD;
	enum ks_err err = KS_CORRUPT;
	char *room = ks_keeper_put_room(out, n);

	if (!ks_cursor_done(in))
		return KS_MALFORMED;
	if (!room)
		return KS_TOO_LARGE;
	if (org.wrapped.n > 0) {
		KS_TRY(ks_roots_org_key(w, &org));
		err = ks_sealer_unseal(w->sealer, KS_WORKER_ORG_KEY(w), associated, sealed, octets(room), n, &n);
	}
	/* What earlier releases sealed, directly under the file's key. */
	for (size_t i = 0; i < w->child->root_count && err == KS_CORRUPT; i++) {
		const struct ks_root *file = file_root(w->child, i);

		if (file)
			err = ks_sealer_unseal(w->sealer, file->key.bytes, associated, sealed, octets(room), n, &n);
	}
	return err;
}

/* ---- answers to challenges ---- */

#define PASSWORD_MAX 1024
#define CLIENT_NONCE_BYTES 16

static enum ks_err answer_challenge(const struct ks_sip_asked *asked, struct ks_sip_credentials *r, struct ks_buf *out)
{
	uint8_t random[CLIENT_NONCE_BYTES];
	char nonce_text[2 * CLIENT_NONCE_BYTES + 1], text[KS_SIP_ANSWER_MAX];
	struct ks_buf nonce = KS_BUF(nonce_text), value = KS_BUF(text);

	if (r->client_nonce.n == 0) {
		KS_TRY(ks_random(random, sizeof(random)));
		ks_buf_put_hex(&nonce, random, sizeof(random));
		r->client_nonce = ks_buf_str(&nonce);
	}
	KS_TRY(ks_sip_answer(asked, r, &value));
	ks_keeper_put_text(out, ks_buf_str(&value));
	return KS_OK;
}

static enum ks_err digest(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out)
{
	struct ks_keeper_org org = ks_keeper_take_org(in);
	struct ks_keeper_binding binding = ks_keeper_take_binding(in);
	struct ks_str sealed = ks_keeper_take_text(in, PASSWORD_MAX + KS_KEEPER_OVERHEAD);
	struct ks_str challenge = ks_keeper_take_text(in, KS_SIP_CHALLENGE_MAX);
	struct ks_sip_credentials r = {.method = ks_keeper_take_text(in, 64)};
	char text[ASSOCIATED_MAX];
	uint8_t password[PASSWORD_MAX];
	struct ks_buf purpose = KS_BUF(text);
	struct ks_sip_asked asked;
	enum ks_err err;
	size_t n;

	r.uri = ks_keeper_take_text(in, 2048);
	r.user = ks_keeper_take_text(in, 256);
	r.body = ks_keeper_take_text(in, 16384);
	r.client_nonce = ks_keeper_take_text(in, 128);
	r.count = ks_cursor_u32(in);
	if (!ks_cursor_done(in))
		return KS_MALFORMED;
	KS_TRY(ks_sip_challenge_parse(challenge, &asked));
	KS_TRY(ks_roots_org_key(w, &org));
	(void)bind(&purpose, &org, &binding);
	KS_TRY(open_value(w, &purpose, sealed, password, sizeof(password), &n));
	r.password = ks_str_of((const char *)password, n);
	err = answer_challenge(&asked, &r, out);
	ks_wipe(password, sizeof(password));
	return err;
}

/* ---- the table ---- */

typedef enum ks_err handler(struct ks_worker *w, struct ks_cursor *in, struct ks_buf *out);

static handler *const handlers[KS_KEEPER_MESSAGE_COUNT] = {
	[KS_KEEPER_ORG_CREATE] = org_create, [KS_KEEPER_ORG_REWRAP] = org_rewrap, [KS_KEEPER_ORG_FORGET] = org_forget,
	[KS_KEEPER_SEAL] = seal,             [KS_KEEPER_OPEN] = open_values,      [KS_KEEPER_SYSTEM_SEAL] = system_seal,
	[KS_KEEPER_SYSTEM_OPEN] = system_open, [KS_KEEPER_DIGEST] = digest,
};

enum ks_err ks_worker_handle(struct ks_worker *w, enum ks_keeper_message message, struct ks_str body, struct ks_buf *out)
{
	struct ks_cursor in = ks_cursor_of(body);
	enum ks_err err = handlers[message] ? handlers[message](w, &in, out) : KS_MALFORMED;

	ks_wipe(w->keys.bytes, w->keys.cap);
	return err == KS_OK && !ks_buf_ok(out) ? KS_TOO_LARGE : err;
}
