/* SPDX-License-Identifier: Apache-2.0 */
/* Wrapped keys of organizations: version 1, kind and id of the root, and what the root made of the key. */
#include <stdarg.h>
#include <stdio.h>

#include "crypto/random.h"
#include "keeper/child_priv.h"

#define VERSION 1
#define HEAD_SIZE (2 + KS_ROOT_ID_SIZE)
#define LABEL "keystile-org-key-v1"

static const struct ks_root_kind *const kinds[] = {&ks_root_passphrase, &ks_root_pkcs11, &ks_root_aws, &ks_root_transit};

enum ks_err ks_child_problem(struct ks_child_problem *problem, enum ks_err err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(problem->text, sizeof(problem->text), fmt, args);
	va_end(args);
	return err;
}

static enum ks_err open_one(struct ks_child *child, const struct ks_root_kind *kind,
			    const struct ks_child_settings *settings, struct ks_child_problem *problem)
{
	struct ks_root *root = &child->roots[child->root_count];

	root->kind = kind;
	KS_TRY(kind->open(root, settings, problem));
	child->root_count++;
	return KS_OK;
}

/* What a key file wrapped opens as long as the file is there; and where it is, the other root may be new to the store. */
static enum ks_err open_beside_file(struct ks_child *child, const struct ks_root_kind *kind,
				    const struct ks_child_settings *settings, struct ks_child_problem *problem)
{
	static struct ks_child_settings own, old;
	struct ks_root file = {.kind = &ks_root_file};
	enum ks_err err;

	own = old = *settings;
	old.may_create[0] = '\0';
	err = ks_root_file.open(&file, &old, problem);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_OK)
		own.may_create[0] = 'y';
	KS_TRY(open_one(child, kind, &own, problem));
	if (err == KS_OK)
		child->roots[child->root_count++] = file;
	return KS_OK;
}

enum ks_err ks_roots_open(struct ks_child *child, const struct ks_child_settings *settings,
			  struct ks_child_problem *ret_problem)
{
	enum ks_err err;

	/* A key file that is there beside the one in force is what a rotation left: it wraps already. */
	if (ks_str_eq(ks_str_c(settings->root), ks_str_c(ks_root_file.text))) {
		err = open_one(child, &ks_root_file_next, settings, ret_problem);
		if (err != KS_OK && err != KS_NOT_FOUND)
			return err;
		return open_one(child, &ks_root_file, settings, ret_problem);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(kinds); i++) {
		if (ks_str_eq(ks_str_c(settings->root), ks_str_c(kinds[i]->text)))
			return open_beside_file(child, kinds[i], settings, ret_problem);
	}
	return ks_child_problem(ret_problem, KS_MALFORMED, "vault.kms: there is no \"%s\"", settings->root);
}

static void put_purpose(struct ks_buf *b, uint64_t organization, uint32_t generation)
{
	ks_buf_put_c(b, LABEL);
	ks_keeper_put_u64(b, organization);
	ks_keeper_put_u32(b, generation);
}

enum ks_err ks_roots_wrap(struct ks_worker *w, uint64_t organization, uint32_t generation,
			  const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_buf *out)
{
	struct ks_root *root = &w->child->roots[0];
	char text[64];
	struct ks_buf purpose = KS_BUF(text);

	if (root->kind->slow && !w->may_wait)
		return KS_BUSY;
	put_purpose(&purpose, organization, generation);
	ks_buf_put_byte(out, VERSION);
	ks_buf_put_byte(out, (char)root->kind->number);
	ks_buf_put(out, ks_str_of((const char *)root->id, sizeof(root->id)));
	KS_TRY(root->kind->wrap(root, w, ks_buf_str(&purpose), key, out));
	return ks_buf_ok(out) ? KS_OK : KS_TOO_LARGE;
}

static bool is_of(const struct ks_root *root, struct ks_str wrapped)
{
	return wrapped.n > HEAD_SIZE && wrapped.p[0] == VERSION && (uint8_t)wrapped.p[1] == root->kind->number
	       && ks_str_eq(ks_str_sub(wrapped, 2, KS_ROOT_ID_SIZE), ks_str_of((const char *)root->id, KS_ROOT_ID_SIZE));
}

bool ks_roots_is_current(const struct ks_child *child, struct ks_str wrapped)
{
	return is_of(&child->roots[0], wrapped);
}

static enum ks_err unwrap(struct ks_worker *w, const struct ks_keeper_org *org)
{
	struct ks_child *child = w->child;
	char text[64];
	struct ks_buf purpose = KS_BUF(text);

	put_purpose(&purpose, org->organization, org->generation);
	for (size_t i = 0; i < child->root_count; i++) {
		struct ks_root *root = &child->roots[i];

		if (is_of(root, org->wrapped) && root->kind->slow && !w->may_wait)
			return KS_BUSY;
		if (is_of(root, org->wrapped))
			return root->kind->unwrap(root, w, ks_buf_str(&purpose),
						  ks_str_sub(org->wrapped, HEAD_SIZE, org->wrapped.n),
						  KS_WORKER_ORG_KEY(w));
	}
	return KS_CORRUPT;
}

enum ks_err ks_roots_org_key(struct ks_worker *w, const struct ks_keeper_org *org)
{
	bool forgotten;

	if (ks_keyring_get(&w->child->ring, org, KS_WORKER_ORG_KEY(w), &forgotten))
		return KS_OK;
	if (forgotten || org->generation == 0)
		return KS_NOT_FOUND;
	KS_TRY(unwrap(w, org));
	ks_keyring_put(&w->child->ring, org, KS_WORKER_ORG_KEY(w));
	return KS_OK;
}
