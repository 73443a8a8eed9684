/* SPDX-License-Identifier: Apache-2.0 */
/* What proves no more than that the sender knows a secret, sends from an address, or holds a certificate: texts that are
 * compared, Basic, ranges of addresses, TLS clients. */
#include "base/addr.h"
#include "base/ctenc.h"
#include "base/secret.h"
#include "crypto/x509.h"
#include "hooksig/hooksig_priv.h"

/* ---- texts ---- */

struct equals {
	size_t value;
	struct hs_list secrets, one_of;
};

static bool read_equals(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("value", hs_read_var_name, struct equals, value),
		HS_MEMBER("secrets", hs_read_secrets, struct equals, secrets),
		HS_MEMBER("one_of", hs_read_texts, struct equals, one_of),
	};
	struct equals *e = to;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), e))
		return false;
	if ((e->secrets.v != NULL) == (e->one_of.v != NULL))
		return hs_refuse(c, "secrets or one_of is wanted here, and not both");
	c->plan->vouched |= e->secrets.v != NULL;
	hs_cover_add(c, (struct hs_cover){.secret = e->secrets.v != NULL});
	if (c->checking)
		e->secrets.n = e->one_of.n = 0;
	return true;
}

static bool is_any(const struct hs_list *list, struct ks_str text)
{
	bool found = false;

	for (size_t i = 0; i < list->n; i++)
		found |= ks_ct_str_equal(list->v[i], text);
	return found;
}

/* All values, where there are several, must be one of the texts. */
static enum ks_hooksig_code run_equals(struct hs_run *run, const void *op)
{
	const struct equals *e = op;
	const struct hs_values *values;
	enum ks_hooksig_code code = hs_var_read(run, e->value, &values);
	bool all = true;

	if (code)
		return code;
	for (size_t i = 0; i < values->n; i++)
		all &= is_any(e->secrets.v ? &e->secrets : &e->one_of, values->v[i]);
	return all ? KS_HOOKSIG_OK : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

static enum ks_err sign_equals(struct hs_run *run, const void *op, struct ks_str ret_signatures[HS_KEYS_MAX],
			       size_t *ret_n, size_t *ret_var)
{
	const struct equals *e = op;
	const struct hs_list *list = e->secrets.v ? &e->secrets : &e->one_of;

	(void)run;
	*ret_var = e->value;
	*ret_n = 1;
	if (list->n == 0)
		return KS_FORBIDDEN;
	ret_signatures[0] = list->v[0];
	return KS_OK;
}

const struct hs_op_type hs_op_equals = {"equals", sizeof(struct equals), read_equals, run_equals, sign_equals, false};

/* ---- Basic (RFC 7617) ---- */

struct basic {
	size_t credentials;
	struct hs_list users;        /* "name:password" */
};

struct user {
	struct ks_str name, password;
};

static bool add_user(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("username", hs_read_text, struct user, name),
		HS_NEEDED("password", hs_read_text, struct user, password),
	};
	struct hs_list *list = to;
	struct user user = {0};
	char *both;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), &user))
		return false;
	if (ks_str_find(user.name, ':') != SIZE_MAX)
		return hs_refuse(c, "a user's name has no colon");
	if (user.name.n + user.password.n == 0)
		return hs_refuse_key(c, "a user without a name and a password vouches for nothing");
	both = hs_arena_take(c->arena, user.name.n + 1 + user.password.n);
	if (!both)
		return hs_no_memory(c);
	memcpy(both, user.name.p, user.name.n);
	both[user.name.n] = ':';
	memcpy(&both[user.name.n + 1], user.password.p, user.password.n);
	list->v[list->n++] = ks_str_of(both, user.name.n + 1 + user.password.n);
	return true;
}

static bool read_users(struct hs_compile *c, struct ks_str value, void *to)
{
	struct hs_list *list = to;

	list->v = hs_arena_take(c->arena, HS_LIST_MAX * sizeof(*list->v));
	if (!list->v)
		return hs_no_memory(c);
	if (!hs_each_element(c, value, add_user, list))
		return false;
	return list->n > 0 || c->checking || hs_refuse_key(c, "there is no user: nothing can be vouched for");
}

static bool read_basic(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("credentials", hs_read_var_name, struct basic, credentials),
		HS_NEEDED("users", read_users, struct basic, users),
	};

	hs_cover_add(c, (struct hs_cover){.secret = true});
	return hs_read_object(c, value, members, KS_ARRAY_LEN(members), to);
}

static enum ks_hooksig_code run_basic(struct hs_run *run, const void *op)
{
	const struct basic *basic = op;
	unsigned char bytes[1024];
	struct ks_str text;
	enum ks_hooksig_code code = hs_var_one(run, basic->credentials, &text);
	size_t n;
	bool found;

	if (code)
		return code;
	if (!hs_decode(HS_BASE64, text, bytes, sizeof(bytes), &n))
		return KS_HOOKSIG_MALFORMED;
	text = ks_str_of((const char *)bytes, n);
	found = is_any(&basic->users, text);
	code = ks_str_find(text, ':') == SIZE_MAX ? KS_HOOKSIG_MALFORMED : KS_HOOKSIG_SIGNATURE_MISMATCH;
	ks_wipe(bytes, n);
	return found ? KS_HOOKSIG_OK : code;
}

const struct hs_op_type hs_op_basic = {"basic", sizeof(struct basic), read_basic, run_basic, NULL, true};

bool hs_secret_var(const struct hs_op *op, size_t *ret_var)
{
	const struct equals *equals = op->op;
	const struct basic *basic = op->op;

	if (op->type == &hs_op_basic)
		*ret_var = basic->credentials;
	else if (op->type == &hs_op_equals && equals->secrets.v)
		*ret_var = equals->value;
	else
		return false;
	return true;
}

/* ---- addresses ---- */

struct ranges {
	struct ks_cidr *v;
	size_t n;
};

struct cidr {
	struct ranges allow, proxies;
};

static bool read_ranges(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ranges *ranges = to;
	struct hs_list texts;

	if (!hs_read_texts(c, value, &texts))
		return false;
	ranges->v = hs_arena_take(c->arena, (texts.n + 1) * sizeof(*ranges->v));
	if (!ranges->v)
		return hs_no_memory(c);
	for (; ranges->n < texts.n; ranges->n++)
		if (!ks_cidr_parse(texts.v[ranges->n], &ranges->v[ranges->n]))
			return hs_refuse(c, "not an address or a range of addresses: %.*s", 60, texts.v[ranges->n].p);
	return true;
}

static bool read_cidr(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("allow", read_ranges, struct cidr, allow),
		HS_MEMBER("trusted_proxies", read_ranges, struct cidr, proxies),
	};

	return hs_read_object(c, value, members, KS_ARRAY_LEN(members), to);
}

static bool in_ranges(const struct ranges *ranges, const struct ks_addr *addr)
{
	for (size_t i = 0; i < ranges->n; i++)
		if (ks_cidr_has(&ranges->v[i], addr))
			return true;
	return false;
}

/* Takes the last entry off a list; false where there is none. */
static bool take_last(struct ks_str *list, struct ks_str *ret_entry)
{
	size_t at = list->n;

	if (list->n == 0)
		return false;
	while (at > 0 && list->p[at - 1] != ',')
		at--;
	*ret_entry = ks_str_trim(ks_str_sub(*list, at, SIZE_MAX));
	*list = ks_str_sub(*list, 0, at > 0 ? at - 1 : 0);
	return true;
}

/* From the peer through the trusted proxies, X-Forwarded-For from the right: the first address that is none of theirs. */
static bool find_sender(const struct cidr *cidr, const struct ks_hooksig_request *request, struct ks_addr *ret_addr)
{
	struct ks_addr addr;

	if (!ks_addr_parse(request->source_ip, &addr))
		return false;
	for (size_t i = request->header_count; i-- > 0 && in_ranges(&cidr->proxies, &addr);) {
		struct ks_str list = request->headers[i].value, entry;

		if (!ks_str_eq_nocase(request->headers[i].name, KS_STR("X-Forwarded-For")))
			continue;
		while (in_ranges(&cidr->proxies, &addr) && take_last(&list, &entry))
			if (!ks_addr_parse(entry, &addr))
				return false;
	}
	*ret_addr = addr;
	return true;
}

static enum ks_hooksig_code run_cidr(struct hs_run *run, const void *op)
{
	const struct cidr *cidr = op;
	struct ks_addr addr;

	return find_sender(cidr, run->request, &addr) && in_ranges(&cidr->allow, &addr) ? KS_HOOKSIG_OK
											 : KS_HOOKSIG_ADDRESS_NOT_ALLOWED;
}

const struct hs_op_type hs_op_cidr = {"cidr", sizeof(struct cidr), read_cidr, run_cidr, NULL, true};

/* ---- TLS clients ---- */

struct mtls {
	struct ks_x509_trust *trust;
	struct hs_list pins, names;
};

static bool read_mtls(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_MEMBER("trust", hs_read_trust, struct mtls, trust),
		HS_MEMBER("spki_sha256", hs_read_texts, struct mtls, pins),
		HS_MEMBER("names", hs_read_texts, struct mtls, names),
	};
	struct mtls *m = to;

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), m))
		return false;
	if (!c->checking && !m->trust && m->pins.n == 0)
		return hs_refuse_key(c, "a certificate alone proves nothing: trust or spki_sha256 is wanted");
	/* What is sent over TLS is covered by it. */
	hs_cover_add(c, (struct hs_cover){.signs = true, .body = true, .time = true});
	return true;
}

static bool is_pinned(const struct hs_list *pins, const struct ks_x509 *cert)
{
	unsigned char digest[32], pin[32];
	bool found = false;
	size_t n;

	if (ks_x509_spki_sha256(cert, digest))
		return false;
	for (size_t i = 0; i < pins->n; i++)
		found |= hs_decode(pins->v[i].n == 64 ? HS_HEX_ANY : HS_BASE64, pins->v[i], pin, sizeof(pin), &n) && n == 32 &&
			 ks_ct_equal(pin, digest, 32);
	return found;
}

/* "DNS:name", "URI:…" or "IP:…" */
static bool has_any_name(const struct hs_list *names, const struct ks_x509 *cert)
{
	struct ks_str kind, value;

	for (size_t i = 0; i < names->n; i++)
		if (ks_str_split(names->v[i], ':', &kind, &value) && ks_x509_has_name(cert, kind, value))
			return true;
	return false;
}

static bool check_client(const struct mtls *m, struct ks_x509 *const *chain, size_t n, int64_t now_ms)
{
	return (!m->trust || ks_x509_chains(m->trust, chain, n, true, now_ms / 1000)) &&
	       (m->pins.n == 0 || is_pinned(&m->pins, chain[0])) && (m->names.n == 0 || has_any_name(&m->names, chain[0]));
}

static enum ks_hooksig_code run_mtls(struct hs_run *run, const void *op)
{
	const struct mtls *m = op;
	struct ks_x509 *chain[KS_HOOKSIG_CERTS_MAX];
	enum ks_hooksig_code code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	size_t n = 0;

	if (!m->trust && m->pins.n == 0)
		return code;
	if (run->request->cert_count == 0)
		return KS_HOOKSIG_HEADER_MISSING;
	while (n < run->request->cert_count && ks_x509_read(run->request->certs[n], &chain[n]) == KS_OK)
		n++;
	if (n < run->request->cert_count)
		code = KS_HOOKSIG_MALFORMED;
	else if (check_client(m, chain, n, run->now_ms))
		code = KS_HOOKSIG_OK;
	while (n > 0)
		ks_x509_free(chain[--n]);
	return code;
}

const struct hs_op_type hs_op_mtls = {"mtls", sizeof(struct mtls), read_mtls, run_mtls, NULL, true};
