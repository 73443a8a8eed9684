/* SPDX-License-Identifier: Apache-2.0 */
/* The settings that a form asks a tenant for. */
#include "hooksig/hooksig_priv.h"

/* Where the form alone is checked, keys are not read. */
#define NO_KEYS "[]"

struct setting {
	struct ks_str type, about, fallback, of;
	struct hs_list fields;     /* of a provider of the platform, that hold it */
	bool optional;
};

/* Types, with the kind of JSON that they are ('|': text or array) and what stands for a value where the form alone is
 * checked. */
static const struct type {
	const char *name;
	const char *kinds;
	const char *sample;
	bool secret;
} types[] = {
	{"secrets", "\"[", "[\"sample\"]", true},      /* any of them vouches */
	{"users", "[", NO_KEYS, true},                 /* {"username", "password"} */
	{"public_keys", "\"[", NO_KEYS, false},
	{"jwks", "{", "{\"keys\":[]}", false},
	{"http_keys", "[", NO_KEYS, true},             /* of RFC 9421: {"keyid", "alg", "public_key_pem" or "secret_base64"} */
	{"certificates", "\"[", NO_KEYS, false},       /* PEM */
	{"certificates_by_url", "{", "{}", false},
	{"pins", "\"[", NO_KEYS, false},
	{"ranges", "\"[", NO_KEYS, false},
	{"private_key", "\"", "\"\"", true},
	{"text", "\"", "\"sample\"", false},
	{"texts", "\"[", "[\"sample\"]", false},
	{"name", "\"", "\"x-sample\"", false},
	{"template", "\"", "\"{body}\"", false},
	{"format", "\"", "\"{signature}\"", false},
	{"digest", "\"", "\"sha256\"", false},
	{"choice", "\"tf", NULL, false},               /* one of `of`, the first of which is the sample */
	{"choices", "[", "[]", false},
	{"seconds", "0", "300", false},
	{"count", "0", "1", false},
	{"claims", "{", "{}", false},
	{"flag", "tf", "true", false},
};

static const struct hs_member setting_members[] = {
	HS_NEEDED("type", hs_read_text, struct setting, type),
	HS_MEMBER("about", hs_read_text, struct setting, about),
	HS_MEMBER("default", hs_read_raw, struct setting, fallback),
	HS_MEMBER("of", hs_read_raw, struct setting, of),
	HS_MEMBER("optional", hs_read_flag, struct setting, optional),
	HS_MEMBER("fields", hs_read_texts, struct setting, fields),
};

static const struct type *find_type(struct ks_str name)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(types); i++)
		if (ks_str_eq(name, ks_str_c(types[i].name)))
			return &types[i];
	return NULL;
}

bool ks_hooksig_type_is_secret(struct ks_str type)
{
	const struct type *found = find_type(type);

	return found && found->secret;
}

/* Element `value` (or each element of it) is one of `of`. */
static bool is_one_of(struct ks_str of, struct ks_str value)
{
	struct ks_json_read r = ks_json_read_of(of);
	bool first = true;

	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']'))
		if (ks_str_eq(ks_json_read_raw(&r), value))
			return true;
	return false;
}

static bool all_are_one_of(struct ks_str of, struct ks_str values)
{
	struct ks_json_read r = ks_json_read_of(values);
	bool first = true;

	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']'))
		if (!is_one_of(of, ks_json_read_raw(&r)))
			return false;
	return true;
}

/* Whether `value` is of the type, and one of those that the declaration lists. */
static bool check_value(struct hs_compile *c, const struct type *type, struct ks_str declaration, struct ks_str value)
{
	struct ks_str of;
	char kind = ks_json_kind(value);
	bool fits = false;

	for (const char *k = type->kinds; *k; k++)
		fits |= kind == *k;
	if (!fits)
		return hs_refuse(c, "not of the type %s", type->name);
	if (!ks_json_member(declaration, KS_STR("of"), &of))
		return true;
	if (kind == '[' ? !all_are_one_of(of, value) : !is_one_of(of, value))
		return hs_refuse(c, "not one of %.*s", (int)KS_MIN(of.n, 120), of.p);
	return true;
}

/* A member that may be missing: `otherwise` then. */
static struct ks_str member_or(struct ks_str object, struct ks_str name, struct ks_str otherwise)
{
	struct ks_str value;

	return ks_json_member(object, name, &value) ? value : otherwise;
}

static struct ks_str sample_of(const struct type *type, struct ks_str declaration)
{
	struct ks_str of;
	struct ks_json_read r;

	if (type->sample || !ks_json_member(declaration, KS_STR("of"), &of))
		return ks_str_c(type->sample);
	r = ks_json_read_of(of);
	ks_json_read_open(&r, '[');
	return ks_json_read_raw(&r);
}

static bool find_declared(struct hs_compile *c, struct ks_str name, struct ks_str *ret_declaration,
			  const struct type **ret_type)
{
	struct ks_str text;

	if (c->declared.n == 0 || !ks_json_member(c->declared, name, ret_declaration))
		return hs_refuse(c, "no such setting is declared: $%.*s", (int)KS_MIN(name.n, 40), name.p);
	/* The declarations were checked before. */
	if (!ks_json_member(*ret_declaration, KS_STR("type"), &text))
		return false;
	*ret_type = find_type(ks_str_sub(text, 1, text.n - 2));
	return *ret_type != NULL;
}

bool hs_setting(struct hs_compile *c, struct ks_str name, struct ks_str *ret_value)
{
	struct ks_str declaration, fallback, optional, value = KS_STR("null");
	const struct type *type = NULL;

	if (!find_declared(c, name, &declaration, &type))
		return false;
	fallback = member_or(declaration, KS_STR("default"), KS_STR(""));
	optional = member_or(declaration, KS_STR("optional"), KS_STR("false"));
	if (!c->checking)
		value = member_or(c->settings, name, value);
	else if (fallback.n == 0)
		value = sample_of(type, declaration);
	if (ks_json_kind(value) == 'n' && fallback.n > 0)
		value = fallback;
	if (ks_json_kind(value) != 'n') {
		*ret_value = value;
		return c->checking || check_value(c, type, declaration, value);
	}
	if (optional.p[0] != 't')
		return hs_refuse(c, "the setting %.*s is missing", KS_STR_ARG(name));
	*ret_value = KS_STR("");
	return true;
}

static bool check_declaration(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct setting setting = {0};
	const struct type *type;

	(void)to;
	if (!hs_read_object(c, value, setting_members, KS_ARRAY_LEN(setting_members), &setting))
		return false;
	type = find_type(setting.type);
	if (!type)
		return hs_refuse(c, "no such type of setting: %.*s", (int)KS_MIN(setting.type.n, 40), setting.type.p);
	for (size_t i = 0; i < name.n; i++)
		if (!hs_in_setting_name(name.p[i]))
			return hs_refuse(c, "names of settings are of small letters, digits and _");
	if (setting.fallback.n > 0 && type->secret)
		return hs_refuse(c, "a secret has no default");
	return setting.fallback.n == 0 || check_value(c, type, value, setting.fallback);
}

static bool check_given(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct ks_str declaration;

	(void)value;
	(void)to;
	if (c->declared.n == 0 || !ks_json_member(c->declared, name, &declaration))
		return hs_refuse(c, "the scheme has no such setting: %.*s", (int)KS_MIN(name.n, 40), name.p);
	return true;
}

bool hs_settings_check(struct hs_compile *c)
{
	bool ok;

	if (c->declared.n > 0 && !hs_each_member(c, c->declared, check_declaration, NULL))
		return false;
	if (c->checking)
		return true;
	c->in_settings = true;
	c->pointer.n = 0;
	ok = hs_each_member(c, c->settings, check_given, NULL);
	c->in_settings = false;
	return ok;
}
