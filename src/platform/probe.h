/* SPDX-License-Identifier: Apache-2.0 */
/** The part `probe:` of a platform file, parsed: one request that shows whether the provider's credentials work, where its
 * fields stand in it, and what each answer means. Module probe carries it out. BRIEF "Provider health". Pure. */
#pragma once

#include "platform/platform.h"

enum ks_platform_probe_kind {
#define KS_PLATFORM_PROBE_KIND(name, text, about) KS_PLATFORM_PROBE_##name,
#include "platform/probe_kinds.def"
#undef KS_PLATFORM_PROBE_KIND
	KS_PLATFORM_PROBE_KIND_COUNT
};

/** "sip-options", "sip-register", "http", "oauth", "tcp", "tls", "readable". */
const char *ks_platform_probe_kind_text(enum ks_platform_probe_kind kind);

/** How the value of a field is written where it stands. */
enum ks_platform_escape {
	KS_PLATFORM_AS_IS,  /* no control characters but in a body */
	KS_PLATFORM_IN_URL, /* all but RFC 3986 unreserved as %XX; a url field at the beginning as it is, without a last '/' */
	KS_PLATFORM_IN_JSON, /* between the quotes of a JSON string */
	KS_PLATFORM_IN_FORM  /* as IN_URL, for application/x-www-form-urlencoded */
};

/** A text with fields in it: "https://api.example.com/${account}/ping". No parts: the member is not in the file. */
struct ks_platform_template {
	enum ks_platform_escape escape;
	size_t part_count;
	const struct ks_platform_part *parts;
};

struct ks_platform_part {
	const struct ks_platform_field *field; /* NULL: `text` itself */
	struct ks_str text;
};

/** The texts of a probe, each with the kinds that may (and must) have it. */
enum ks_platform_probe_text {
#define KS_PLATFORM_PROBE_TEXT(name, group, member, escape) KS_PLATFORM_PROBE_TEXT_##name,
#include "platform/probe_texts.def"
#undef KS_PLATFORM_PROBE_TEXT
	KS_PLATFORM_PROBE_TEXT_COUNT
};

struct ks_platform_named {
	const char *name; /* of a header or a parameter */
	struct ks_platform_template value;
};

#define KS_PLATFORM_HEADERS_MAX 16
#define KS_PLATFORM_PARAMETERS_MAX 16
#define KS_PLATFORM_ANSWERS_MAX 32

enum ks_platform_health {
	KS_PLATFORM_UNKNOWN,
	KS_PLATFORM_HEALTHY,
	KS_PLATFORM_DEGRADED,
	KS_PLATFORM_FAILING
};
/** "unknown", "healthy", "degraded", "failing". */
const char *ks_platform_health_text(enum ks_platform_health health);

/** What a probe found, as a person can act on it. */
enum ks_platform_code {
#define KS_PLATFORM_CODE(name, text, health, about) KS_PLATFORM_CODE_##name,
#include "platform/codes.def"
#undef KS_PLATFORM_CODE
	KS_PLATFORM_CODE_COUNT
};
/** "credential_refused"; and the state that goes with it where nothing else is said. */
const char *ks_platform_code_text(enum ks_platform_code code);
enum ks_platform_health ks_platform_code_health(enum ks_platform_code code);

/** One row of `answers:`: which status (of HTTP or SIP), with which JSON member, means what. */
struct ks_platform_answer {
	unsigned status_from, status_to;
	const char *member; /* JSON pointer (RFC 6901) into the answer's body; NULL: the status alone */
	const char *equals; /* what the member is, as text; true, false and numbers as they are written in JSON */
	enum ks_platform_health health;
	enum ks_platform_code code;
	uint32_t fields; /* bit i: field i of the platform is what this answer speaks of */
};

struct ks_platform_probe {
	enum ks_platform_probe_kind kind;
	unsigned timeout_ms; /* 0: as the service is set */
	struct ks_platform_template texts[KS_PLATFORM_PROBE_TEXT_COUNT];
	bool oauth_in_body; /* oauth: client_id and client_secret as parameters; else as Basic (RFC 6749, 2.3.1) */
	unsigned jwt_lifetime_s; /* with JWT_KEY: exp is so long after now */
	size_t header_count;
	const struct ks_platform_named *headers;
	size_t parameter_count; /* oauth: further parameters of the token request */
	const struct ks_platform_named *parameters;
	size_t answer_count; /* the file's rows, in its order */
	const struct ks_platform_answer *answers;
	uint32_t uses;    /* bit i: field i stands in one of the texts */
	uint32_t secrets; /* of these, the secret ones */
};

/** What a probe has to do with each text of probe_texts.def:
 * - sip-*: HOST, PORT (absent: 5060, 5061 with tls), TRANSPORT ("udp" where absent, "tcp", "tls"), DOMAIN (absent: HOST),
 *   USER, AUTH_USER (absent: USER), PASSWORD. sip-options answers a challenge where there is a PASSWORD; sip-register asks
 *   for the bindings of USER and makes none (RFC 3261, 10.2.3).
 * - tcp, tls: HOST, PORT. tls verifies chain and name.
 * - http: METHOD (absent: GET), URL, headers, BODY with CONTENT_TYPE; at most one of: BASIC_USER and BASIC_PASSWORD,
 *   BEARER, AWS_* (Signature Version 4), JWT_KEY with JWT_CLAIMS (HS256; the claims are a JSON object to which nbf and exp
 *   are added; sent as Bearer).
 * - oauth: URL, GRANT (absent: client_credentials), CLIENT_ID, CLIENT_SECRET, SCOPE, headers, parameters. An answer 200
 *   with a text member access_token is healthy; the token is thrown away.
 * - readable: nothing: each reference can be read. */

/** The value of a field for rendering: false where the provider has none. `*ret_value` stays valid until rendering ends. */
typedef bool ks_platform_lookup(void *context, const struct ks_platform_field *field, struct ks_str *ret_value);

/** Writes the template with the fields' values (or their fallbacks). A field that is not required and has neither counts
 * as empty. KS_NOT_FOUND: a required one is missing (*ret_missing); KS_MALFORMED: a value cannot stand there;
 * KS_TOO_LARGE: no room. What was written may be secret, also on failure: the caller wipes. */
KS_MUST_USE enum ks_err ks_platform_render(const struct ks_platform_template *text, ks_platform_lookup *lookup, void *context,
					   struct ks_buf *to, const struct ks_platform_field **ret_missing);

/** True if the file has this text. */
static inline bool ks_platform_probe_has(const struct ks_platform_probe *probe, enum ks_platform_probe_text which)
{
	return probe->texts[which].part_count > 0;
}

struct ks_platform_verdict {
	enum ks_platform_health health;
	enum ks_platform_code code;
	uint32_t fields; /* what it speaks of; 0: the provider as a whole */
};

/** What an answer means: the first row of the file that fits, else what the status means by itself (docs/platforms.md).
 * `status` is that of the last answer, after digest. `body` is its body, or empty; what is not JSON fits no row that
 * names a member. */
void ks_platform_judge(const struct ks_platform_probe *probe, unsigned status, struct ks_str body,
		       struct ks_platform_verdict *ret_verdict);
