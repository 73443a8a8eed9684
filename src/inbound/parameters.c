/* SPDX-License-Identifier: Apache-2.0 */
/* What a scheme is compiled with: what the tenant gave, what the provider's fields hold, what is fetched. */
#include <stdlib.h>

#include "base/json.h"
#include "base/secret.h"
#include "crypto/x509.h"
#include "engine/platforms.h"
#include "inbound/inbound_priv.h"

#define FIELDS_OPEN_MS 10000
#define KEYS_FRESH_MS INT64_C(3600000)
#define CERTS_MOST 16

void inbound_wipe_text(char *text)
{
	if (text)
		ks_wipe(text, strlen(text));
	free(text);
}

/* ---- the provider's fields ---- */

enum ks_err inbound_fields_open(struct ks_inbound *inbound, struct ks_store *store, uint64_t provider, int64_t now_ms,
				struct inbound_fields *ret_fields)
{
	struct inbound_fields fields = {0};
	enum ks_err err;

	KS_TRY(ks_vault_read_stages(store, provider, &fields.sealed));
	if (fields.sealed->count > 0) {
		err = ks_vault_open_fields(inbound->engine, fields.sealed, now_ms + FIELDS_OPEN_MS, &fields.opened);
		fields.is_open = true;
		if (err != KS_OK && err != KS_CORRUPT) {
			inbound_fields_free(&fields);
			return err;
		}
	}
	*ret_fields = fields;
	return KS_OK;
}

void inbound_fields_free(struct inbound_fields *fields)
{
	if (fields->is_open)
		ks_vault_opened_free(&fields->opened);
	ks_vault_fields_free(&fields->sealed);
	*fields = (struct inbound_fields){0};
}

/* The next value of the field, from *at on, of this stage; NULL: there is none. */
static const struct ks_str *next_value(const struct inbound_fields *fields, const char *name, enum ks_field_stage stage,
				       size_t *at)
{
	const struct ks_vault_fields *f = fields ? fields->sealed : NULL;

	for (; f && *at < f->count; ++*at) {
		const struct ks_vault_open_field *open = &fields->opened.items[*at];

		if (f->items[*at].stage == stage && ks_str_eq(ks_str_c(f->items[*at].field), ks_str_c(name))
		    && open->err == KS_OK && open->code == NULL && open->value.n > 0) {
			++*at;
			return &open->value;
		}
	}
	return NULL;
}

static const enum ks_field_stage stages[] = {KS_FIELD_STAGE_CURRENT, KS_FIELD_STAGE_PREVIOUS};

/* All values of the fields that are named, those of now first. */
static json_t *values_of(const struct inbound_fields *fields, const json_t *names)
{
	json_t *list = json_array();
	const json_t *name;
	size_t i;

	for (size_t s = 0; s < KS_ARRAY_LEN(stages); s++) {
		json_array_foreach(names, i, name) {
			const struct ks_str *value;
			size_t at = 0;

			while ((value = next_value(fields, json_string_value(name), stages[s], &at)) != NULL)
				(void)json_array_append_new(list, json_stringn(value->p, value->n));
		}
	}
	return list;
}

/* Each user with each password: a rotation of one of them leaves the other as it is. */
static json_t *users_of(const struct inbound_fields *fields, const json_t *names)
{
	const char *user = json_string_value(json_array_get(names, 0));
	const char *password = json_string_value(json_array_get(names, 1));
	json_t *list = json_array();

	for (size_t s = 0; s < KS_ARRAY_LEN(stages) && user && password; s++) {
		const struct ks_str *u, *p;
		size_t at = 0;

		while ((u = next_value(fields, user, stages[s], &at)) != NULL) {
			for (size_t t = 0; t < KS_ARRAY_LEN(stages); t++) {
				size_t of = 0;

				while ((p = next_value(fields, password, stages[t], &of)) != NULL)
					(void)json_array_append_new(list, json_pack("{s:o, s:o}", "username", json_stringn(u->p, u->n),
										    "password", json_stringn(p->p, p->n)));
			}
		}
	}
	return list;
}

static bool is_type(const json_t *declaration, const char *type)
{
	return ks_str_eq(ks_str_c(json_string_value(json_object_get(declaration, "type"))), ks_str_c(type));
}

static bool is_list(const json_t *declaration)
{
	static const char *const lists[] = {"secrets", "texts", "users", "public_keys", "pins", "ranges", "certificates"};

	for (size_t i = 0; i < KS_ARRAY_LEN(lists); i++)
		if (is_type(declaration, lists[i]))
			return true;
	return false;
}

static json_t *from_fields(const struct inbound_fields *fields, const json_t *declaration)
{
	const json_t *names = json_object_get(declaration, "fields");
	json_t *values, *first;

	if (!json_is_array(names) || !fields || !fields->sealed)
		return NULL;
	values = is_type(declaration, "users") ? users_of(fields, names) : values_of(fields, names);
	if (json_array_size(values) == 0) {
		json_decref(values);
		return NULL;
	}
	if (is_list(declaration))
		return values;
	first = json_incref(json_array_get(values, 0));
	json_decref(values);
	return first;
}

/* ---- what is fetched ---- */

/* A key set, or {"url": …} of one. */
static json_t *key_set(struct inbound_making *making, json_t *value)
{
	const char *url = json_string_value(json_object_get(value, "url"));
	char *body = NULL;
	json_t *keys;

	if (!url || json_object_size(value) != 1)
		return json_incref(value);
	making->fetches_keys = true;
	if (!inbound_doc(making->inbound, url, KEYS_FRESH_MS, making->now_ms, &body))
		return json_pack("{s:[]}", "keys");
	keys = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	free(body);
	return json_is_object(keys) ? keys : (json_decref(keys), json_pack("{s:[]}", "keys"));
}

static bool is_certificate(const char *pem)
{
	struct ks_x509 *cert;

	if (ks_x509_read(ks_str_c(pem), &cert) != KS_OK)
		return false;
	ks_x509_free(cert);
	return true;
}

static json_t *certificates(struct inbound_making *making, const json_t *value)
{
	json_t *all = value ? json_copy((json_t *)(uintptr_t)value) : json_object();

	for (size_t i = 0; making->certs && i < KS_INBOUND_CERTS && json_object_size(all) < CERTS_MOST; i++) {
		const char *url = making->certs->urls[i];
		char *pem = NULL;

		if (url[0] && inbound_doc(making->inbound, url, KEYS_FRESH_MS, making->now_ms, &pem) && is_certificate(pem))
			(void)json_object_set_new(all, url, json_string(pem));
		free(pem);
	}
	return all;
}

/* ---- all together ---- */

static json_t *setting(struct inbound_making *making, const char *name, const json_t *declaration, const json_t *plain,
		       const json_t *secret)
{
	json_t *given = json_object_get(secret, name);

	if (!given)
		given = json_object_get(plain, name);
	if (is_type(declaration, "certificates_by_url")) {
		making->fetches_certs = true;
		return certificates(making, given);
	}
	if (given && is_type(declaration, "jwks"))
		return key_set(making, given);
	return given ? json_incref(given) : from_fields(making->fields, declaration);
}

char *inbound_settings(struct inbound_making *making, struct ks_str form, const json_t *plain, const json_t *secret)
{
	json_t *whole = json_loadb(form.p, form.n, JSON_REJECT_DUPLICATES, NULL), *settings = json_object(), *value;
	const json_t *declarations = json_object_get(whole, "settings"), *declaration;
	const char *name;
	char *text;

	json_object_foreach((json_t *)(uintptr_t)declarations, name, declaration) {
		value = setting(making, name, declaration, plain, secret);
		if (value)
			(void)json_object_set_new(settings, name, value);
	}
	/* What is not declared is told of by the compiler. */
	json_object_foreach((json_t *)(uintptr_t)plain, name, value)
		if (!json_object_get(settings, name))
			(void)json_object_set(settings, name, value);
	text = whole ? json_dumps(settings, JSON_COMPACT) : NULL;
	json_decref(whole);
	json_decref(settings);
	return text;
}

bool inbound_form(const struct ks_platform_registry *registry, struct ks_str platform, struct ks_str scheme,
		  struct ks_str own, struct ks_str *ret_form)
{
	const struct ks_platform *found;

	if (!ks_str_empty(own)) {
		*ret_form = own;
		return true;
	}
	found = ks_platform_find(registry, platform);
	return found && !ks_str_empty(found->webhook) && ks_json_member(found->webhook, scheme, ret_form);
}

/* ---- what is given ---- */

void ks_inbound_parameters_free(struct ks_inbound_parameters *parameters)
{
	free(parameters->plain);
	inbound_wipe_text(parameters->secret);
	*parameters = (struct ks_inbound_parameters){.plain = NULL};
}

struct checking {
	struct inbound_making making;
	const struct ks_inbound_given *given;
	struct ks_inbound_parameters *parameters;
	struct ks_refusal *refusal;
	struct ks_platform_registry *registry;
	struct ks_str form;
	json_t *plain, *secret;
};

static enum ks_err refuse(struct ks_refusal *refusal, const char *base, const char *pointer, const char *text)
{
	struct ks_buf where = KS_BUF(refusal->pointer), detail = KS_BUF(refusal->detail);

	refusal->code = "invalid";
	ks_buf_put_c(&where, base);
	ks_buf_put_c(&where, pointer);
	(void)ks_buf_z(&where);
	ks_buf_put_c(&detail, text);
	(void)ks_buf_z(&detail);
	return KS_MALFORMED;
}

/* The scheme's name: the platform's first where none is given. */
static enum ks_err choose_form(struct checking *c)
{
	const struct ks_inbound_given *given = c->given;
	const struct ks_platform *platform = ks_platform_find(c->registry, given->platform);
	struct ks_json_text first;
	struct ks_buf name = KS_BUF(c->parameters->scheme);
	struct ks_json_read r;
	bool begun = true;

	if (!platform)
		return refuse(c->refusal, "/platform", "", "there is no such platform");
	if (ks_str_empty(given->form) && ks_str_empty(platform->webhook))
		return refuse(c->refusal, "/platform", "",
			      "nothing is known of how this platform's webhooks are verified; give a scheme");
	if (ks_str_empty(given->form) && !ks_str_empty(given->scheme))
		ks_buf_put(&name, given->scheme);
	if (ks_str_empty(given->form) && ks_str_empty(given->scheme)) {
		r = ks_json_read_of(platform->webhook);
		ks_json_read_open(&r, '{');
		if (ks_json_read_more(&r, &begun, '}')) {
			first = ks_json_read_name(&r);
			ks_buf_put(&name, first.raw);
		}
	}
	if (!inbound_form(c->registry, given->platform, ks_str_c(ks_buf_z(&name)), given->form, &c->form))
		return refuse(c->refusal, "/scheme", "", "the platform has no such scheme");
	return KS_OK;
}

static enum ks_err check_form(struct checking *c)
{
	struct ks_hooksig_problem problem = {.pointer = "", .text = ""};
	struct ks_hooksig_scheme *scheme;
	enum ks_err err = ks_hooksig_compile(c->form, KS_STR(""), &problem, &scheme);

	if (err == KS_OK)
		ks_hooksig_free(scheme);
	return err == KS_MALFORMED ? refuse(c->refusal, "/scheme", problem.pointer, problem.text) : err;
}

static json_t *parse(struct ks_str text)
{
	return ks_str_empty(text) ? json_object() : json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
}

/* Each to its side; null takes away. */
static void divide(struct checking *c, const json_t *declarations, const json_t *given)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)given, name, value) {
		const char *type = json_string_value(json_object_get(json_object_get(declarations, name), "type"));
		json_t *to = ks_hooksig_type_is_secret(ks_str_c(type)) ? c->secret : c->plain;

		if (json_is_null(value))
			(void)json_object_del(to, name);
		else
			(void)json_object_set(to, name, value);
	}
}

/* The setting at `pointer` is one that fields of the provider may still give. */
static bool is_of_fields(const json_t *declarations, const char *pointer, const char *text)
{
	const char *name;
	const json_t *declaration;

	json_object_foreach((json_t *)(uintptr_t)declarations, name, declaration) {
		char told[200];
		struct ks_buf b = KS_BUF(told);
		struct ks_str head, tail = ks_str_c(pointer[0] ? &pointer[1] : "");

		if (!json_is_array(json_object_get(declaration, "fields")))
			continue;
		ks_buf_printf(&b, "the setting %s is missing", name);
		if (!ks_str_split(tail, '/', &head, &tail))
			head = tail;
		if (ks_str_eq(head, ks_str_c(name)) || ks_str_eq(ks_str_c(text), ks_str_c(ks_buf_z(&b))))
			return true;
	}
	return false;
}

/* Addresses of key sets that would never be fetched are told at once. */
static enum ks_err check_addresses(struct checking *c, const json_t *declarations)
{
	const char *name;
	const json_t *declaration;

	json_object_foreach((json_t *)(uintptr_t)declarations, name, declaration) {
		const json_t *url = json_object_get(json_object_get(c->plain, name), "url");
		char pointer[128];
		struct ks_buf b = KS_BUF(pointer);

		if (!is_type(declaration, "jwks") || !url)
			continue;
		ks_buf_printf(&b, "/%s/url", name);
		if (!json_is_string(url)
		    || ks_fetch_url_check(c->making.inbound->fetch, ks_str_of(json_string_value(url), json_string_length(url)))
			       != KS_FETCH_OK)
			return refuse(c->refusal, "/parameters", ks_buf_z(&b), "this is not an address that is fetched");
	}
	return KS_OK;
}

static enum ks_err check_whole(struct checking *c, const json_t *declarations)
{
	struct ks_hooksig_problem problem = {.pointer = "", .text = ""};
	char *settings = inbound_settings(&c->making, c->form, c->plain, c->secret);
	struct ks_hooksig_scheme *scheme;
	enum ks_err err;

	if (!settings)
		return KS_MEMORY;
	err = ks_hooksig_compile(c->form, ks_str_c(settings), &problem, &scheme);
	inbound_wipe_text(settings);
	if (err == KS_OK)
		ks_hooksig_free(scheme);
	if (err != KS_MALFORMED)
		return err;
	if (c->given->provider && is_of_fields(declarations, problem.pointer, problem.text))
		return KS_OK;
	return refuse(c->refusal, problem.where == KS_HOOKSIG_IN_FORM ? "/scheme" : "/parameters",
		      problem.where == KS_HOOKSIG_IN_FORM ? "" : problem.pointer, problem.text);
}

static enum ks_err finish(struct checking *c)
{
	c->parameters->plain = json_dumps(c->plain, JSON_COMPACT);
	if (json_object_size(c->secret) > 0)
		c->parameters->secret = json_dumps(c->secret, JSON_COMPACT);
	return c->parameters->plain && (json_object_size(c->secret) == 0 || c->parameters->secret) ? KS_OK : KS_MEMORY;
}

static enum ks_err check_parameters(struct checking *c)
{
	json_t *whole = json_loadb(c->form.p, c->form.n, JSON_REJECT_DUPLICATES, NULL), *given = parse(c->given->parameters);
	const json_t *declarations = json_object_get(whole, "settings");
	enum ks_err err;

	c->plain = parse(c->given->plain);
	c->secret = parse(c->given->secret);
	divide(c, declarations, given);
	err = check_addresses(c, declarations);
	if (err == KS_OK)
		err = check_whole(c, declarations);
	if (err == KS_OK)
		err = finish(c);
	json_decref(whole);
	json_decref(given);
	json_decref(c->plain);
	json_decref(c->secret);
	return err;
}

enum ks_err ks_inbound_check(struct ks_inbound *inbound, struct ks_store *store, int64_t now_ms,
			     const struct ks_inbound_given *given, struct ks_inbound_parameters *ret_parameters,
			     struct ks_refusal *ret_refusal)
{
	struct ks_inbound_parameters parameters = {.plain = NULL};
	struct inbound_fields fields = {0};
	struct checking c = {
		.making = {.inbound = inbound, .fields = &fields, .now_ms = now_ms},
		.given = given,
		.parameters = &parameters,
		.refusal = ret_refusal,
		.registry = ks_engine_platforms(inbound->engine),
	};
	enum ks_err err = choose_form(&c);

	if (err == KS_OK)
		err = check_form(&c);
	if (err == KS_OK && given->provider)
		err = inbound_fields_open(inbound, store, given->provider, now_ms, &fields);
	if (err == KS_NOT_FOUND)
		err = refuse(ret_refusal, "/provider", "", "there is no such provider of this tenant");
	if (err == KS_OK)
		err = check_parameters(&c);
	inbound_fields_free(&fields);
	ks_platform_registry_release(&c.registry);
	if (err == KS_OK)
		*ret_parameters = parameters;
	else
		ks_inbound_parameters_free(&parameters);
	return err;
}
