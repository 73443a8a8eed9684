/* SPDX-License-Identifier: Apache-2.0 */
/* The start: the root is opened while the file system is there, then everything is given up that is not needed any more. */
#include <stdio.h>

#include "keeper/child_priv.h"
#include "keeper/sandbox.h"

static const struct {
	const char *name;
	size_t at;
} members[] = {
#define KS_KEEPER_SETTING(member, text) {text, offsetof(struct ks_child_settings, member)},
#include "keeper/start.def"
#undef KS_KEEPER_SETTING
};

static enum ks_err take_one(struct ks_cursor *c, struct ks_child_settings *settings)
{
	struct ks_str name = ks_keeper_take_text(c, 64);
	struct ks_str value = ks_keeper_take_text(c, KS_CHILD_TEXT_MAX - 1);

	if (c->failed || ks_str_find(value, '\0') != SIZE_MAX)
		return KS_MALFORMED;
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		char *to = (char *)settings + members[i].at;

		if (!ks_str_eq(name, ks_str_c(members[i].name)))
			continue;
		memcpy(to, value.p, value.n);
		to[value.n] = '\0';
		return KS_OK;
	}
	return KS_MALFORMED;
}

static enum ks_err take_settings(struct ks_str body, struct ks_child_settings *settings)
{
	struct ks_cursor c = ks_cursor_of(body);
	uint32_t count = ks_cursor_u32(&c);

	for (uint32_t i = 0; i < count && !c.failed; i++)
		KS_TRY(take_one(&c, settings));
	return ks_cursor_done(&c) ? KS_OK : KS_MALFORMED;
}

static enum ks_err confine(struct ks_child *child, const struct ks_child_settings *settings, struct ks_child_problem *problem)
{
	const char *const paths[] = {settings->pkcs11_files};
	bool files = child->roots[0].kind == &ks_root_pkcs11, slow = child->roots[0].kind->slow;
	enum ks_sandbox_needs needs = files ? KS_SANDBOX_FILES : slow ? KS_SANDBOX_CONNECTIONS : KS_SANDBOX_NOTHING;

	if (ks_sandbox_landlock(paths, files && settings->pkcs11_files[0] ? 1 : 0, &child->landlock) != KS_OK)
		return ks_child_problem(problem, KS_SYSTEM, "the keeper cannot be confined by Landlock%s",
					files ? ": is vault.pkcs11_files a directory?" : "");
	/* Its module opens files, and nothing but Landlock would say which. */
	if (files && child->landlock == 0)
		return ks_child_problem(problem, KS_SYSTEM, "vault.kms: pkcs11 needs a kernel with Landlock");
	/* Threads are made before the sandbox, which holds for them too. */
	if (slow && ks_slow_start(child) != KS_OK)
		return ks_child_problem(problem, KS_SYSTEM, "the keeper cannot start a thread");
	if (ks_sandbox_seccomp(needs) != KS_OK)
		return ks_child_problem(problem, KS_SYSTEM, "the keeper cannot be confined by seccomp");
	return KS_OK;
}

enum ks_err ks_child_start(struct ks_child *child, struct ks_str body, struct ks_buf *out)
{
	static struct ks_child_settings settings;
	struct ks_child_problem problem = {""};
	enum ks_err err;

	if (child->root_count > 0)
		return KS_CONFLICT;
	err = take_settings(body, &settings);
	if (err == KS_OK)
		err = ks_roots_open(child, &settings, &problem);
	if (err == KS_OK)
		err = confine(child, &settings, &problem);
	if (err != KS_OK) {
		ks_buf_put_c(out, problem.text);
		return err;
	}
	ks_buf_put_byte(out, child->landlock > 0);
	ks_buf_put_byte(out, child->roots[0].kind == &ks_root_file_next);
	ks_keeper_put_text(out, ks_str_c(child->roots[0].label));
	return KS_OK;
}
