/* SPDX-License-Identifier: Apache-2.0 */
#include "secretstore/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctenc.h"
#include "base/json.h"
#include "crypto/pem.h"
#include "crypto/sha256.h"
#include "secretstore/member_check.h"

#define IDENTITIES_MAX 1024
#define KUBERNETES_TOKEN "/var/run/secrets/kubernetes.io/serviceaccount/token"

struct ks_identities {
	char *text;               /* the file; what the identities borrow from */
	size_t text_n;
	char folder[PATH_MAX];    /* of the file, with the slash at its end; "" where it has none */
	const char *credentials;
	struct ks_identity *items[IDENTITIES_MAX]; /* each by itself: their texts may lie within them */
	size_t count;
};

/* ---- files ---- */

static enum ks_err read_all(int fd, size_t max, struct ks_secret *ret_secret)
{
	struct ks_secret secret = {0};
	ssize_t n = 1;

	KS_TRY(ks_secret_new(&secret, max + 1));
	while (n > 0 && secret.n < secret.cap) {
		n = read(fd, &secret.bytes[secret.n], secret.cap - secret.n);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			secret.n += (size_t)n;
	}
	if (n == 0 && secret.n <= max) {
		*ret_secret = secret;
		return KS_OK;
	}
	ks_secret_free(&secret);
	return n < 0 ? KS_SYSTEM : KS_TOO_LARGE;
}

/* `private_bits`: of the mode, those that a file may not have. */
static enum ks_err read_file(const char *path, mode_t private_bits, size_t max, struct ks_secret *ret_secret)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum ks_err err;

	if (fd < 0)
		return errno == EACCES ? KS_FORBIDDEN : KS_NOT_FOUND;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		err = KS_MALFORMED;
	else if (st.st_mode & private_bits)
		err = KS_FORBIDDEN;
	else
		err = read_all(fd, max, ret_secret);
	(void)close(fd);
	return err;
}

static bool full_path(struct ks_str path, const char *folder, const char *credentials, char ret_path[PATH_MAX])
{
	struct ks_str mark = KS_STR("credential:");
	struct ks_buf b = ks_buf_of(ret_path, PATH_MAX);

	if (ks_str_starts(path, mark)) {
		struct ks_str name = ks_str_sub(path, mark.n, path.n);

		if (!credentials || !name.n || ks_str_find(name, '/') != SIZE_MAX)
			return false;
		ks_buf_put_c(&b, credentials);
		ks_buf_put_c(&b, "/");
		ks_buf_put(&b, name);
	} else {
		if (path.n && path.p[0] != '/')
			ks_buf_put_c(&b, folder);
		ks_buf_put(&b, path);
	}
	(void)ks_buf_z(&b);
	return ks_buf_ok(&b);
}

static void cut_newline(struct ks_secret *secret)
{
	while (secret->n > 0 && (secret->bytes[secret->n - 1] == '\n' || secret->bytes[secret->n - 1] == '\r'))
		secret->bytes[--secret->n] = 0;
}

enum ks_err ks_identity_read_file(struct ks_str path, const char *credentials, struct ks_secret *ret_secret)
{
	char full[PATH_MAX];

	if (!full_path(path, "", credentials, full))
		return KS_NOT_FOUND;
	/* Tokens that others put there (Kubernetes) have the mode that they give them. */
	KS_TRY(read_file(full, 0, KS_IDENTITY_SECRET_MAX, ret_secret));
	cut_newline(ret_secret);
	return ret_secret->n ? KS_OK : KS_MALFORMED;
}

/* ---- members ---- */

struct auth_row {
	enum ks_secretstore_kind kind;
	const char *name;
};

static const struct auth_row auths[] = {
#define X(name, store, text) {KS_SECRETSTORE_##store, text},
	KS_IDENTITY_AUTHS(X)
#undef X
};

static bool is_text(struct ks_str s)
{
	return s.n > 0 && s.n <= 1024 && !ks_str_has_control(s);
}

static bool is_word(struct ks_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '/')
			return false;
	}
	return s.n > 0 && s.n <= 128;
}

static bool is_file(struct ks_str s)
{
	return is_text(s);
}

struct member {
	enum ks_identity_auth auth;
	struct ks_str name;
	size_t offset;
	bool needed;
	bool (*check)(struct ks_str value);
};

static const struct member members[] = {
#define KS_IDENTITY_MEMBER(auth, name, field, needed, check) \
	{KS_IDENTITY_##auth, {name, sizeof(name) - 1}, offsetof(struct ks_identity, field), needed, check},
#include "secretstore/identity.def"
#undef KS_IDENTITY_MEMBER
};

static struct ks_str *field_of(struct ks_identity *identity, const struct member *member)
{
	return (struct ks_str *)(void *)&((char *)identity)[member->offset];
}

static const struct member *find_member(enum ks_identity_auth auth, struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		if (members[i].auth == auth && ks_str_eq(members[i].name, name))
			return &members[i];
	}
	return NULL;
}

static enum ks_err complain(struct ks_secretstore_problem *problem, enum ks_err err, struct ks_str identity, struct ks_str what,
			    const char *why)
{
	struct ks_buf b = KS_BUF(problem->text);

	ks_buf_put_c(&b, "identities: ");
	if (ks_secretstore_is_name(identity)) {
		ks_buf_put(&b, identity);
		ks_buf_put_c(&b, ": ");
	}
	if (ks_secretstore_is_name(what)) {
		ks_buf_put(&b, what);
		ks_buf_put_c(&b, " ");
	}
	ks_buf_put_c(&b, why);
	(void)ks_buf_z(&b);
	return err;
}

static enum ks_err list_of(struct ks_str value, struct ks_buf *room, struct ks_str *list, size_t *ret_count)
{
	struct ks_json_read read = ks_json_read_of(value);
	bool first = true;

	if (ks_json_kind(value) != '[')
		return KS_MALFORMED;
	ks_json_read_open(&read, '[');
	while (ks_json_read_more(&read, &first, ']')) {
		struct ks_str item = ks_json_read_raw(&read);

		if (*ret_count == KS_IDENTITY_LIST_MAX)
			return KS_TOO_LARGE;
		if (!ks_json_string(item, room, &list[*ret_count]) || !is_text(list[*ret_count]))
			return KS_MALFORMED;
		(*ret_count)++;
	}
	return KS_OK;
}

static enum ks_err auth_of(struct ks_identity *identity, struct ks_str object, struct ks_secretstore_problem *problem)
{
	struct ks_str store, auth = {0};
	bool named = ks_json_member(object, KS_STR("auth"), &auth);

	if (!ks_json_member(object, KS_STR("store"), &store))
		return complain(problem, KS_MALFORMED, identity->name, KS_STR("store"), "is needed: aws, gcp, vault or azure");
	for (size_t i = 0; i < KS_ARRAY_LEN(auths); i++) {
		/* Without `auth` the first of the store. */
		if (ks_json_string_is(store, ks_str_c(ks_secretstore_kind_name(auths[i].kind)))
		    && (!named || ks_json_string_is(auth, ks_str_c(auths[i].name)))) {
			identity->auth = (enum ks_identity_auth)i;
			identity->kind = auths[i].kind;
			return KS_OK;
		}
	}
	return complain(problem, KS_MALFORMED, identity->name, KS_STR("auth"), "is not one of the store's");
}

static enum ks_err take_common(struct ks_identity *identity, struct ks_str name, struct ks_str value, struct ks_buf *room,
			       bool *ret_taken)
{
	*ret_taken = true;
	if (ks_str_eq(name, KS_STR("store")) || ks_str_eq(name, KS_STR("auth")))
		return KS_OK;
	identity->for_organizations |= ks_str_eq(name, KS_STR("organizations"));
	if (ks_str_eq(name, KS_STR("organizations")))
		return list_of(value, room, identity->organizations, &identity->organization_count);
	if (ks_str_eq(name, KS_STR("resources")))
		return list_of(value, room, identity->resources, &identity->resource_count);
	if (ks_str_eq(name, KS_STR("direct")) && (ks_json_kind(value) == 't' || ks_json_kind(value) == 'f')) {
		identity->direct = ks_json_kind(value) == 't';
		return KS_OK;
	}
	*ret_taken = false;
	return KS_OK;
}

static enum ks_err take_member(struct ks_identity *identity, struct ks_str name, struct ks_str value, struct ks_buf *room,
			       struct ks_secretstore_problem *problem)
{
	const struct member *member = find_member(identity->auth, name);
	bool taken;
	enum ks_err err = take_common(identity, name, value, room, &taken);
	struct ks_str text;

	if (err != KS_OK)
		return complain(problem, err, identity->name, name, "must be a list of at most 64 texts");
	if (taken)
		return KS_OK;
	if (!member)
		return complain(problem, KS_MALFORMED, identity->name, name, "is no member of such an identity");
	if (!ks_json_string(value, room, &text) || !member->check(text))
		return complain(problem, KS_MALFORMED, identity->name, name, "is not of the expected form");
	*field_of(identity, member) = text;
	return KS_OK;
}

static enum ks_err take_members(struct ks_identity *identity, struct ks_str object, struct ks_secretstore_problem *problem)
{
	struct ks_json_read read = ks_json_read_of(object);
	struct ks_buf room = KS_BUF(identity->room);
	bool first = true;

	ks_json_read_open(&read, '{');
	while (ks_json_read_more(&read, &first, '}')) {
		struct ks_str name = ks_json_text_decode(ks_json_read_name(&read), &room);
		struct ks_str value = ks_json_read_raw(&read);

		KS_TRY(take_member(identity, name, value, &room, problem));
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		if (members[i].auth == identity->auth && members[i].needed && !field_of(identity, &members[i])->n)
			return complain(problem, KS_MALFORMED, identity->name, members[i].name, "is needed");
	}
	if (!identity->for_organizations)
		return complain(problem, KS_MALFORMED, identity->name, KS_STR("organizations"), "is needed: ids, or \"*\" for all, or an empty list");
	return KS_OK;
}

/* ---- what lies in files of its own ---- */

static enum ks_err load_file(const struct ks_identities *set, const struct ks_identity *identity, struct ks_str path,
			     struct ks_secret *ret_secret, struct ks_secretstore_problem *problem)
{
	char full[PATH_MAX];
	enum ks_err err = full_path(path, set->folder, set->credentials, full) ? KS_OK : KS_NOT_FOUND;

	if (err == KS_OK)
		err = read_file(full, 077, KS_IDENTITY_SECRET_MAX, ret_secret);
	if (err == KS_FORBIDDEN)
		return complain(problem, err, identity->name, KS_STR(""),
				"a file cannot be read, or others may read it: it must belong to the service and have mode 0600");
	if (err != KS_OK)
		return complain(problem, err, identity->name, KS_STR(""), "a file that it names is missing, empty or too large");
	cut_newline(ret_secret);
	return KS_OK;
}

static enum ks_err text_member(struct ks_str object, const char *name, struct ks_str *ret_text, struct ks_buf *room)
{
	struct ks_str value;

	return ks_json_member(object, ks_str_c(name), &value) && ks_json_string(value, room, ret_text) && ret_text->n ? KS_OK
														      : KS_MALFORMED;
}

static bool keep(char *to, size_t cap, struct ks_str text)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, text);
	(void)ks_buf_z(&b);
	return ks_buf_ok(&b) && text.n < cap && !ks_str_has_control(text);
}

/* The key file that Google hands out for a service account. */
static enum ks_err account_of(struct ks_identity *identity, const struct ks_secret *file)
{
	struct ks_str json = ks_str_of((const char *)file->bytes, file->n), email, kid, pem;
	struct ks_secret room = {0};
	struct ks_buf b;
	enum ks_err err;

	if (!ks_json_check(json))
		return KS_MALFORMED;
	KS_TRY(ks_secret_new(&room, KS_IDENTITY_SECRET_MAX));
	b = ks_buf_of((char *)room.bytes, room.cap);
	err = text_member(json, "client_email", &email, &b);
	if (err == KS_OK)
		err = text_member(json, "private_key_id", &kid, &b);
	if (err == KS_OK)
		err = text_member(json, "private_key", &pem, &b);
	if (err == KS_OK && (!keep(identity->email, sizeof(identity->email), email) || !keep(identity->kid, sizeof(identity->kid), kid)
			     || !ks_secretstore_is_service_account(email)))
		err = KS_MALFORMED;
	if (err == KS_OK)
		err = ks_private_key_pem(pem, &identity->key);
	ks_secret_free(&room);
	return err;
}

/* x5t#S256 (RFC 7515, 4.1.8). */
static enum ks_err thumbprint_of(struct ks_identity *identity, const struct ks_secret *pem)
{
	struct ks_secret der = {0};
	struct ks_digest digest;
	size_t n;
	enum ks_err err;

	KS_TRY(ks_pem_decode(ks_str_of((const char *)pem->bytes, pem->n), KS_STR("CERTIFICATE"), &der));
	err = ks_sha256(ks_str_of((const char *)der.bytes, der.n), &digest);
	ks_secret_free(&der);
	KS_TRY(err);
	n = ks_base64url_encode(digest.bytes, sizeof(digest.bytes), identity->kid, sizeof(identity->kid) - 1);
	identity->kid[n] = '\0';
	return n ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err load_key(const struct ks_identities *set, struct ks_identity *identity, struct ks_secretstore_problem *problem)
{
	struct ks_secret file = {0};
	enum ks_err err;

	KS_TRY(load_file(set, identity, identity->key_file, &file, problem));
	if (identity->auth == KS_IDENTITY_GCP_ACCOUNT)
		err = account_of(identity, &file);
	else
		err = ks_private_key_pem(ks_str_of((const char *)file.bytes, file.n), &identity->key);
	ks_secret_free(&file);
	if (err == KS_OK && identity->certificate_file.n) {
		KS_TRY(load_file(set, identity, identity->certificate_file, &file, problem));
		err = thumbprint_of(identity, &file);
		ks_secret_free(&file);
	}
	if (err != KS_OK)
		return complain(problem, err, identity->name, KS_STR("key_file"),
				"or its certificate is not what it should be: PKCS #8 in PEM, or a service account's key as JSON");
	return KS_OK;
}

static enum ks_err load_files(const struct ks_identities *set, struct ks_identity *identity, struct ks_secretstore_problem *problem)
{
	if (identity->auth == KS_IDENTITY_VAULT_KUBERNETES && !identity->token_file.n)
		identity->token_file = KS_STR(KUBERNETES_TOKEN);
	if ((identity->auth == KS_IDENTITY_GCP_FEDERATION || identity->auth == KS_IDENTITY_VAULT_JWT
	     || identity->auth == KS_IDENTITY_AZURE_FEDERATED)
	    && !identity->token_file.n == !identity->token_audience.n)
		return complain(problem, KS_MALFORMED, identity->name, KS_STR("token_file"), "or token_audience is needed, one of them");
	if (identity->secret_file.n)
		KS_TRY(load_file(set, identity, identity->secret_file, &identity->secret, problem));
	if (identity->session_token_file.n)
		KS_TRY(load_file(set, identity, identity->session_token_file, &identity->session_token, problem));
	return identity->key_file.n ? load_key(set, identity, problem) : KS_OK;
}

/* ---- the set ---- */

static enum ks_err add(struct ks_identities *set, struct ks_str name, struct ks_str object, struct ks_secretstore_problem *problem)
{
	struct ks_identity *identity;

	if (!ks_secretstore_is_name(name) || ks_json_kind(object) != '{')
		return complain(problem, KS_MALFORMED, name, KS_STR(""), "must be an object, named with a-z, 0-9, - and _");
	if (set->count == IDENTITIES_MAX)
		return complain(problem, KS_TOO_LARGE, name, KS_STR(""), "is one too many");
	identity = calloc(1, sizeof(*identity));
	if (!identity)
		return KS_MEMORY;
	set->items[set->count++] = identity;
	identity->name = name;
	KS_TRY(auth_of(identity, object, problem));
	KS_TRY(take_members(identity, object, problem));
	return load_files(set, identity, problem);
}

static enum ks_err read_set(struct ks_identities *set, struct ks_secretstore_problem *problem)
{
	struct ks_str text = ks_str_of(set->text, set->text_n);
	struct ks_json_read read = ks_json_read_of(text);
	bool first = true;

	if (!ks_json_check(text) || ks_json_read_peek(&read) != '{')
		return complain(problem, KS_MALFORMED, KS_STR(""), KS_STR(""), "the file must be one JSON object of name to identity");
	ks_json_read_open(&read, '{');
	while (ks_json_read_more(&read, &first, '}')) {
		struct ks_json_text name = ks_json_read_name(&read);

		KS_TRY(add(set, name.raw, ks_json_read_raw(&read), problem));
	}
	return KS_OK;
}

static enum ks_err open_set(struct ks_identities *set, const char *path, struct ks_secretstore_problem *problem)
{
	const char *slash = strrchr(path, '/');
	struct ks_secret file = {0};
	struct ks_buf folder = KS_BUF(set->folder);
	enum ks_err err = read_file(path, 022, KS_IDENTITIES_FILE_MAX, &file);

	if (err != KS_OK)
		return complain(problem, err, KS_STR(""), KS_STR(""),
				err == KS_FORBIDDEN ? "the file cannot be read, or others may write it" : "the file is missing or too large");
	if (slash)
		ks_buf_put(&folder, ks_str_of(path, (size_t)(slash - path) + 1));
	(void)ks_buf_z(&folder);
	set->text = malloc(file.n + 1);
	if (set->text) {
		memcpy(set->text, file.bytes, file.n);
		set->text_n = file.n;
	}
	ks_secret_free(&file);
	if (!set->text || !ks_buf_ok(&folder))
		return KS_MEMORY;
	return read_set(set, problem);
}

enum ks_err ks_identities_load(const char *path, const char *credentials, struct ks_identities **ret_set,
			       struct ks_secretstore_problem *ret_problem)
{
	struct ks_identities *set = calloc(1, sizeof(*set));
	enum ks_err err = KS_OK;

	if (!set)
		return KS_MEMORY;
	set->credentials = credentials;
	if (path)
		err = open_set(set, path, ret_problem);
	if (err == KS_OK)
		*ret_set = set;
	else
		ks_identities_free(&set);
	return err;
}

void ks_identities_free(struct ks_identities **set)
{
	struct ks_identities *s = *set;

	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		ks_secret_free(&s->items[i]->secret);
		ks_secret_free(&s->items[i]->session_token);
		ks_private_key_free(s->items[i]->key);
		free(s->items[i]);
	}
	free(s->text);
	free(s);
	*set = NULL;
}

const struct ks_identity *ks_identities_find(const struct ks_identities *set, struct ks_str name)
{
	for (size_t i = 0; i < set->count; i++) {
		if (ks_str_eq(set->items[i]->name, name))
			return set->items[i];
	}
	return NULL;
}

static bool listed(const struct ks_str *list, size_t count, struct ks_str text)
{
	for (size_t i = 0; i < count; i++) {
		struct ks_str item = list[i];

		if (item.p[item.n - 1] == '*' ? ks_str_starts(text, ks_str_sub(item, 0, item.n - 1)) : ks_str_eq(text, item))
			return true;
	}
	return false;
}

bool ks_identity_is_for(const struct ks_identity *identity, struct ks_str organization, struct ks_str resource)
{
	return listed(identity->organizations, identity->organization_count, organization)
	       && (!identity->resource_count || listed(identity->resources, identity->resource_count, resource));
}
