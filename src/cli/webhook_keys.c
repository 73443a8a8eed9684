/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/webhook_keys.h"

#include <errno.h>
#include <stdlib.h>

#include "api/json_in.h"
#include "base/ctenc.h"
#include "base/json.h"
#include "base/secret.h"
#include "platform/platform.h"

#define PUBLIC_BYTES 32
#define SECRET_BYTES 64 /* seed and public key */

extern const unsigned char ks_embedded_standardwebhooks[];
extern const size_t ks_embedded_standardwebhooks_size;

char *ks_webhook_file_read(const struct ks_cli *cli, const char *path, size_t *ret_n)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *bytes = malloc(KS_WEBHOOK_FILE_MAX + 1);
	size_t n = 0;

	if (in && bytes)
		n = fread(bytes, 1, KS_WEBHOOK_FILE_MAX + 1, in);
	if (!in || !bytes || ferror(in) || n > KS_WEBHOOK_FILE_MAX) {
		(void)ks_cli_fail(cli, KS_EXIT_FAILED, "%s: %s", path, n > KS_WEBHOOK_FILE_MAX ? "too large" : strerror(errno));
		free(bytes);
		bytes = NULL;
	}
	if (in && in != stdin)
		(void)fclose(in);
	if (!bytes)
		return NULL;
	bytes[n] = '\0';
	*ret_n = n;
	return bytes;
}

/* ---- sorting the keys ---- */

struct reading {
	const struct ks_cli *cli;
	bool to_sign;
	size_t count;
	json_t *shared; /* settings of standardwebhooks.v1; NULL: there is no such key */
	json_t *pairs;  /* the same of standardwebhooks.v1a */
};

static void append(json_t **settings, const char *list, struct ks_str key)
{
	if (!*settings)
		*settings = json_object();
	if (!json_object_get(*settings, list))
		(void)json_object_set_new(*settings, list, json_array());
	(void)json_array_append_new(json_object_get(*settings, list), json_stringn(key.p, key.n));
}

/* A key that signs has the public key at its end. */
static bool take_signing_key(struct reading *r, struct ks_str key)
{
	unsigned char bytes[SECRET_BYTES];
	char text[PUBLIC_BYTES * 2];
	struct ks_str encoded = ks_str_sub(key, 5, SIZE_MAX);
	size_t n;

	if (r->pairs) {
		(void)ks_cli_fail(r->cli, KS_EXIT_FAILED, "there can be one key that begins with whsk_");
		return false;
	}
	if (!ks_base64_decode(encoded, bytes, sizeof(bytes), &n) || n != sizeof(bytes)) {
		(void)ks_cli_fail(r->cli, KS_EXIT_FAILED, "a signing key is whsk_ and base64 of 64 bytes");
		return false;
	}
	n = ks_base64_encode(&bytes[SECRET_BYTES - PUBLIC_BYTES], PUBLIC_BYTES, text, sizeof(text));
	append(&r->pairs, "public_keys", ks_str_of(text, n));
	(void)json_object_set_new(r->pairs, "signing_key", json_stringn(key.p, key.n));
	ks_wipe(bytes, sizeof(bytes));
	return true;
}

static bool take(struct reading *r, struct ks_str key)
{
	bool open = ks_str_starts(key, KS_STR("whpk_")), signing = ks_str_starts(key, KS_STR("whsk_"));

	if (++r->count > KS_WEBHOOK_KEYS_MAX) {
		(void)ks_cli_fail(r->cli, KS_EXIT_FAILED, "there can be at most %d keys", KS_WEBHOOK_KEYS_MAX);
		return false;
	}
	if (r->to_sign ? open : signing) {
		(void)ks_cli_fail(r->cli, KS_EXIT_FAILED, "what begins with whsk_ signs and what begins with whpk_ verifies: %s is wanted here",
				  r->to_sign ? "whsk_" : "whpk_");
		return false;
	}
	if (signing)
		return take_signing_key(r, key);
	append(open ? &r->pairs : &r->shared, open ? "public_keys" : "secrets", key);
	return true;
}

static bool take_all(struct reading *r, struct ks_str text)
{
	while (text.n > 0) {
		struct ks_str line = text, rest = KS_STR(""), word;

		if (!ks_str_split(text, '\n', &line, &rest))
			rest = KS_STR("");
		text = rest;
		while (line.n > 0) {
			word = line;
			if (!ks_str_split(line, ' ', &word, &rest))
				rest = KS_STR("");
			line = rest;
			word = ks_str_trim(word);
			if (word.n > 0 && word.p[word.n - 1] == '\r')
				word.n--;
			if (word.n > 0 && !take(r, word))
				return false;
		}
	}
	return true;
}

/* ---- schemes ---- */

static enum ks_err compile_form(struct ks_str form, const json_t *settings, struct ks_hooksig_problem *problem,
				struct ks_hooksig_scheme **ret_scheme)
{
	char *text = json_dumps(settings, JSON_COMPACT);
	enum ks_err err = text ? ks_hooksig_compile(form, ks_str_c(text), problem, ret_scheme) : KS_MEMORY;

	if (text)
		ks_wipe(text, strlen(text));
	free(text);
	return err;
}

static int compile(const struct reading *r, const char *name, const json_t *settings, struct ks_webhook_keys *keys)
{
	struct ks_platform_source source = {
		.name = "standardwebhooks",
		.text = ks_str_of((const char *)ks_embedded_standardwebhooks, ks_embedded_standardwebhooks_size),
	};
	struct ks_platform_registry *registry = NULL;
	struct ks_platform_problem file_problem;
	struct ks_hooksig_problem problem = {.text = "out of memory"};
	struct ks_str form;
	enum ks_err err;

	if (!settings)
		return KS_EXIT_DONE;
	err = ks_platform_registry_new(&source, 1, &registry, &file_problem);
	if (err == KS_OK && !ks_json_member(ks_platform_at(registry, 0)->webhook, ks_str_c(name), &form))
		err = KS_NOT_FOUND;
	if (err == KS_OK)
		err = compile_form(form, settings, &problem, &keys->schemes[keys->count]);
	ks_platform_registry_release(&registry);
	if (err != KS_OK)
		return ks_cli_fail(r->cli, KS_EXIT_FAILED, "these keys cannot be used%s%s: %s", problem.pointer[0] ? ", " : "", problem.pointer,
				   problem.text);
	keys->count++;
	return KS_EXIT_DONE;
}

int ks_webhook_keys_read(const struct ks_cli *cli, bool to_sign, struct ks_webhook_keys *ret_keys)
{
	struct reading r = {.cli = cli, .to_sign = to_sign};
	const char *path = ks_cli_option(cli, "secret-file"), *given = getenv(KS_WEBHOOK_KEYS_ENV);
	struct ks_webhook_keys keys = {0};
	size_t n = given ? strlen(given) : 0;
	char *text = NULL;
	int code = KS_EXIT_FAILED;

	if (!path && !given)
		return ks_cli_fail(cli, KS_EXIT_USAGE, "give the secret by --secret-file FILE or in %s", KS_WEBHOOK_KEYS_ENV);
	ks_in_wipes();
	if (path)
		text = ks_webhook_file_read(cli, path, &n);
	if ((path && !text) || !take_all(&r, ks_str_of(text ? text : given, n)))
		code = KS_EXIT_FAILED;
	else if (r.count == 0)
		code = ks_cli_fail(cli, KS_EXIT_FAILED, "there is no secret in %s", path ? path : KS_WEBHOOK_KEYS_ENV);
	else
		code = compile(&r, "standardwebhooks.v1", r.shared, &keys);
	if (code == KS_EXIT_DONE)
		code = compile(&r, "standardwebhooks.v1a", r.pairs, &keys);
	json_decref(r.shared);
	json_decref(r.pairs);
	if (text)
		ks_wipe(text, n);
	free(text);
	if (code == KS_EXIT_DONE)
		*ret_keys = keys;
	else
		ks_webhook_keys_free(&keys);
	return code;
}

void ks_webhook_keys_free(struct ks_webhook_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		ks_hooksig_free(keys->schemes[i]);
	*keys = (struct ks_webhook_keys){0};
}
