/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

/* One list of words, indexed by value. */
struct words {
	const char *const *texts;
	size_t count;
};

static const char *const kind_texts[] = {
#define X(name, text) [KS_KIND_##name] = (text),
	KS_KINDS(X)
#undef X
};

static const char *const binding_texts[] = {
#define X(name, text, kind) [KS_BINDING_##name] = (text),
	KS_BINDINGS(X)
#undef X
};

static const char *const environment_texts[] = {
#define X(name, text) [KS_ENVIRONMENT_##name] = (text),
	KS_ENVIRONMENTS(X)
#undef X
};

static const char *const tenant_kind_texts[] = {
#define X(name, text) [KS_TENANT_KIND_##name] = (text),
	KS_TENANT_KINDS(X)
#undef X
};

static const char *const tenant_header_texts[] = {
#define X(name, text) [KS_TENANT_HEADER_##name] = (text),
	KS_TENANT_HEADERS(X)
#undef X
};

static const char *const step_titles[] = {
#define X(name, title) [KS_STEP_##name] = (title),
	KS_STEPS(X)
#undef X
};

static const char *const role_texts[] = {
	[KS_ROLE_NONE] = "",
#define X(name, number, text) [KS_ROLE_##name] = (text),
	KS_ROLES(X)
#undef X
};

static const struct ks_reason_info reason_infos[] = {
#define X(name, code, status, step, text) [KS_REASON_##name] = {(code), (status), KS_STEP_##step, (text)},
	KS_REASONS(X)
#undef X
};

#define WORDS(array) ((struct words){(array), KS_ARRAY_LEN(array)})

static const char *word_text(struct words words, unsigned value)
{
	return value < words.count ? words.texts[value] : "";
}

static bool word_parse(struct words words, struct ks_str text, unsigned *ret_value)
{
	for (unsigned i = 0; i < words.count; i++) {
		if (ks_str_eq(text, ks_str_c(words.texts[i]))) {
			*ret_value = i;
			return true;
		}
	}
	return false;
}

const struct ks_reason_info *ks_reason_info(enum ks_reason reason)
{
	/* A number that is no reason must not read as "ok". */
	return &reason_infos[(unsigned)reason < KS_REASON_COUNT ? reason : KS_REASON_CREDENTIAL_INVALID];
}

/* The text of a value, and the value of a text. */
#define TEXT(function, type, array)                              \
	const char *function(enum type value)                    \
	{                                                        \
		return word_text(WORDS(array), (unsigned)value); \
	}

#define PARSE(function, type, array)                            \
	bool function(struct ks_str text, enum type *ret_value) \
	{                                                       \
		unsigned value;                                 \
		if (!word_parse(WORDS(array), text, &value))    \
			return false;                           \
		*ret_value = (enum type)value;                  \
		return true;                                    \
	}

TEXT(ks_kind_text, ks_kind, kind_texts)
TEXT(ks_binding_text, ks_binding, binding_texts)
TEXT(ks_environment_text, ks_environment, environment_texts)
TEXT(ks_tenant_kind_text, ks_tenant_kind, tenant_kind_texts)
TEXT(ks_tenant_header_text, ks_tenant_header, tenant_header_texts)
TEXT(ks_step_title, ks_step, step_titles)
TEXT(ks_role_text, ks_role, role_texts)

PARSE(ks_kind_parse, ks_kind, kind_texts)
PARSE(ks_binding_parse, ks_binding, binding_texts)
PARSE(ks_environment_parse, ks_environment, environment_texts)
PARSE(ks_tenant_kind_parse, ks_tenant_kind, tenant_kind_texts)
PARSE(ks_tenant_header_parse, ks_tenant_header, tenant_header_texts)

bool ks_role_parse(struct ks_str text, enum ks_role *ret_role)
{
	unsigned value;

	/* The word for none is no role's name. */
	if (ks_str_empty(text) || !word_parse(WORDS(role_texts), text, &value))
		return false;
	*ret_role = (enum ks_role)value;
	return true;
}
