/* SPDX-License-Identifier: Apache-2.0 */
/** Webhooks that others send, verified by schemes that are data: the form of a scheme is read and checked once, with the
 * settings that a tenant chose for it, and then decides about any number of requests. Pure: `now` is an argument, and so
 * is all memory that a decision needs beyond its stack. README.md has the form. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define KS_HOOKSIG_FORM_MAX ((size_t)64 << 10)      /* bytes of a form as JSON */
#define KS_HOOKSIG_SETTINGS_MAX ((size_t)512 << 10) /* bytes of settings as JSON; certificates and keys are long */
#define KS_HOOKSIG_HEADERS_MAX 256                  /* header lines of a request */
#define KS_HOOKSIG_URL_MAX 8192
#define KS_HOOKSIG_CERTS_MAX 8

enum ks_hooksig_code {
#define KS_HOOKSIG_CODE(name, code, text) KS_HOOKSIG_##name,
#include "hooksig/hooksig.def"
	KS_HOOKSIG_CODE_COUNT
};

enum ks_hooksig_warning {
#define KS_HOOKSIG_WARNING(name, code, text) KS_HOOKSIG_##name,
#include "hooksig/hooksig.def"
	KS_HOOKSIG_WARNING_COUNT
};

/** As the API has it ("signature_mismatch"), and for people; never NULL, static. */
const char *ks_hooksig_code_name(enum ks_hooksig_code code);
const char *ks_hooksig_code_text(enum ks_hooksig_code code);
const char *ks_hooksig_warning_name(enum ks_hooksig_warning warning);
const char *ks_hooksig_warning_text(enum ks_hooksig_warning warning);

/** What is at fault. */
enum ks_hooksig_where {
	KS_HOOKSIG_IN_FORM,     /* the scheme itself */
	KS_HOOKSIG_IN_SETTINGS, /* a setting is missing, unknown, or not of its type */
	KS_HOOKSIG_IN_KEYS,     /* a setting is of its type, but nothing can be verified with it: an empty secret, none at all,
				 * a key that is none */
	KS_HOOKSIG_OURSELVES,   /* out of memory */
};

/** What is wrong with a form or with settings, and where: a JSON pointer (RFC 6901). Neither quotes a secret. */
struct ks_hooksig_problem {
	enum ks_hooksig_where where;
	char pointer[160];
	char text[200];
};

struct ks_hooksig_scheme;

/** Reads `form`, the JSON of one scheme, with `settings`, a JSON object. Settings that are the empty text stand for none
 * known yet: the form alone is checked, and the scheme that results can be asked about itself, but vouches for nothing.
 * KS_OK: *ret_scheme is the caller's to free. KS_MALFORMED: *ret_problem tells why; KS_MEMORY. Both texts may be wiped
 * afterwards. The scheme is immutable: any number of threads may use it at once. */
KS_MUST_USE enum ks_err ks_hooksig_compile(struct ks_str form, struct ks_str settings,
					   struct ks_hooksig_problem *ret_problem, struct ks_hooksig_scheme **ret_scheme);

/** Wipes and frees; safe on NULL. */
void ks_hooksig_free(struct ks_hooksig_scheme *scheme);
/** For KS_AUTO. */
static inline void ks_hooksig_free_at(struct ks_hooksig_scheme **scheme)
{
	ks_hooksig_free(*scheme);
}

/** Bits of 1 << enum ks_hooksig_warning: what is weak about the scheme as it is configured. */
unsigned ks_hooksig_warnings(const struct ks_hooksig_scheme *scheme);

struct ks_hooksig_header {
	struct ks_str name, value;
};

/** A request as it came. All texts are borrowed, and any bytes may be in them. */
struct ks_hooksig_request {
	struct ks_str method;
	struct ks_str url;      /* as the sender called it: scheme, host, path, query. Scheme and host are of the caller's
				 * settings, never of a header that anybody can send */
	const struct ks_hooksig_header *headers; /* one for each line, in order */
	size_t header_count;
	struct ks_str body;
	struct ks_str source_ip; /* of the peer, as text; empty: not known */
	const struct ks_str *certs; /* that the peer presented over TLS, PEM, its own first */
	size_t cert_count;
};

#define KS_HOOKSIG_RESPONSE_HEADERS_MAX 4

/** What the platform expects to be answered. */
struct ks_hooksig_response {
	unsigned status;
	struct ks_hooksig_header headers[KS_HOOKSIG_RESPONSE_HEADERS_MAX];
	size_t header_count;
	struct ks_str content_type; /* empty: none */
	struct ks_str body;
};

struct ks_hooksig_answer {
	enum ks_hooksig_code code;
	unsigned warnings;      /* as ks_hooksig_warnings */
	bool challenge;         /* the request is one that is answered with `response` and means nothing else */
	bool unauthenticated;   /* nothing vouches for this challenge: it is answered, never acted upon */
	struct ks_hooksig_response response;
	struct ks_str replay_key; /* of a genuine request, by which a second one is known; empty: the scheme has none */
	int64_t replay_s;       /* how long it has to be remembered */
	struct ks_str confirm_url; /* of a genuine request that asks for a confirmation: what is to be fetched by whoever
				 * agrees, at one of the scheme's hosts; empty: it does not ask */
};

/** Room that a decision about a request with a body of `body_n` bytes can need at most, for `room` below. */
size_t ks_hooksig_room(size_t body_n);

/** Decides. Texts of the answer borrow from the request, the scheme and `room`, which is emptied first; a decision that
 * has too little of it, or beyond the limits above, is MALFORMED. Some 40 KiB of stack; nothing is allocated but by the
 * crypto library for public keys. Time depends on the content of no secret. Any thread. REPLAYED is never the answer. */
void ks_hooksig_verify(const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request, int64_t now_ms,
		       struct ks_buf *room, struct ks_hooksig_answer *ret_answer);

/** A request was refused: whether that may be for want of a certificate that it names, at one of the scheme's hosts, and
 * that is not among the settings. *ret_url borrows from `request` or `room`. */
KS_MUST_USE bool ks_hooksig_wants(const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request,
				  int64_t now_ms, struct ks_buf *room, struct ks_str *ret_url);

/** Whether the header of this name (or the parameter of the query) carries a secret itself: whoever keeps requests masks
 * it. */
bool ks_hooksig_sends_secret(const struct ks_hooksig_scheme *scheme, bool of_query, struct ks_str name);

/** Whether settings of this type ("secrets", "texts") are secret. */
bool ks_hooksig_type_is_secret(struct ks_str type);

/** Runs the scheme backwards: the headers that make `request` genuine at `now_ms`, with the first key (of a list of
 * signatures: one by each key). `id` is taken for what identifies the message (an id, a nonce) where there is such.
 * KS_OK: *ret_headers holds *ret_count headers, borrowing from `room`. KS_FORBIDDEN: the scheme cannot be signed (it is
 * no HMAC, digest, shared secret or Ed25519, or holds public keys alone). KS_TOO_LARGE: room. KS_MALFORMED: the request
 * lacks what the scheme covers. */
KS_MUST_USE enum ks_err ks_hooksig_sign(const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request,
					struct ks_str id, int64_t now_ms, struct ks_buf *room,
					struct ks_hooksig_header ret_headers[KS_HOOKSIG_RESPONSE_HEADERS_MAX],
					size_t *ret_count);
