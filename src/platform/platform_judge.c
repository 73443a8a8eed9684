/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer to a probe means. */
#include "base/json.h"
#include "platform/platform_priv.h"

#define NAME_MAX_BYTES 256

struct meaning {
	enum ks_platform_probe_kind kind;
	unsigned from, to;
	enum ks_platform_code code;
};

static const struct meaning meanings[] = {
#define KS_PLATFORM_MEANING(kind, from, to, code) {KS_PLATFORM_PROBE_##kind, from, to, KS_PLATFORM_CODE_##code},
#include "platform/meanings.def"
#undef KS_PLATFORM_MEANING
};

/* One name of a JSON pointer, without its escapes (RFC 6901, 4). */
static struct ks_str pointer_name(struct ks_str token, struct ks_buf *to)
{
	for (size_t i = 0; i < token.n; i++) {
		char next = i + 1 < token.n ? token.p[i + 1] : 0;

		if (token.p[i] == '~' && (next == '0' || next == '1')) {
			ks_buf_put_byte(to, next == '0' ? '~' : '/');
			i++;
		} else {
			ks_buf_put_byte(to, token.p[i]);
		}
	}
	return ks_buf_str(to);
}

/* The value that `pointer` names in a checked document, through objects alone. */
static bool find(struct ks_str document, struct ks_str pointer, struct ks_str *ret_value)
{
	struct ks_str value = document, rest = ks_str_sub(pointer, 1, pointer.n), token;
	bool more = true;

	while (more) {
		char bytes[NAME_MAX_BYTES];
		struct ks_buf b = KS_BUF(bytes);

		token = rest;
		more = ks_str_split(rest, '/', &token, &rest);
		if (!ks_json_member(value, pointer_name(token, &b), &value))
			return false;
	}
	*ret_value = value;
	return true;
}

static bool fits(const struct ks_platform_answer *answer, unsigned status, struct ks_str body, bool is_json)
{
	struct ks_str value, wanted = ks_str_c(answer->equals);

	if (status < answer->status_from || status > answer->status_to)
		return false;
	if (!answer->member)
		return true;
	if (!is_json || !find(body, ks_str_c(answer->member), &value))
		return false;
	return ks_json_kind(value) == '"' ? ks_json_string_is(value, wanted) : ks_str_eq(value, wanted);
}

/* Where a credential was refused and the file does not say which, it is one of the secrets that were sent. */
static uint32_t fields_of(const struct ks_platform_probe *probe, enum ks_platform_code code)
{
	return code == KS_PLATFORM_CODE_CREDENTIAL_REFUSED ? probe->secrets : 0;
}

void ks_platform_judge(const struct ks_platform_probe *probe, unsigned status, struct ks_str body,
		       struct ks_platform_verdict *ret_verdict)
{
	bool is_json = body.n > 0 && ks_json_check(body);
	enum ks_platform_code code = KS_PLATFORM_CODE_UNEXPECTED_ANSWER;

	for (size_t i = 0; i < probe->answer_count; i++) {
		const struct ks_platform_answer *answer = &probe->answers[i];

		if (!fits(answer, status, body, is_json))
			continue;
		*ret_verdict = (struct ks_platform_verdict){answer->health, answer->code,
							    answer->fields ? answer->fields : fields_of(probe, answer->code)};
		return;
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(meanings); i++) {
		if (meanings[i].kind != probe->kind || status < meanings[i].from || status > meanings[i].to)
			continue;
		code = meanings[i].code;
		break;
	}
	*ret_verdict = (struct ks_platform_verdict){ks_platform_code_health(code), code, fields_of(probe, code)};
}
