/* SPDX-License-Identifier: Apache-2.0 */
/** SIP messages of a probe: written and read by libosip2's parser, which is used nowhere else. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "crypto/http_digest.h"

#define KS_SIP_MESSAGE_MAX 16384   /* bytes of a message, of ours and of theirs */
#define KS_SIP_TEXT_MAX 512        /* bytes of a realm, a nonce, an opaque value */
#define KS_SIP_ID_SIZE 33          /* branch, tag and Call-ID: 16 random bytes in hexadecimal */

/** What a 401 or 407 asks for (RFC 3261, 22; RFC 8760). Quoted strings without their quotes. */
struct ks_sip_challenge {
	enum ks_http_digest_algorithm algorithm;
	bool has_qop;
	bool is_stale;
	char algorithm_text[16];          /* as it was written; "" where it was not */
	char realm[KS_SIP_TEXT_MAX + 1];
	char nonce[KS_SIP_TEXT_MAX + 1];
	char opaque[KS_SIP_TEXT_MAX + 1]; /* "" where there was none */
};

struct ks_sip_request {
	const char *method;               /* "OPTIONS" or "REGISTER" */
	const char *transport;            /* of the Via: "UDP", "TCP", "TLS" */
	struct ks_str domain;             /* host of the request's URI, of From and To; an IPv6 address in brackets */
	struct ks_str user;               /* of From and To, unescaped */
	struct ks_str own;                /* our address and port, for the Via */
	const char *branch, *tag, *call_id;
	uint32_t sequence;
	struct ks_str credentials;        /* value of the header (Proxy-)Authorization; empty: none */
	bool to_proxy;                    /* which of the two */
};

/** Writes the request's URI, which the digest covers too. */
void ks_sip_write_uri(const struct ks_sip_request *request, struct ks_buf *to);

/** KS_MEMORY, KS_MALFORMED (the library does not take a part), KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_sip_write(const struct ks_sip_request *request, struct ks_buf *to);

/** Writes the value of (Proxy-)Authorization that answers `challenge`. KS_CRYPTO, KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_sip_write_credentials(const struct ks_sip_request *request, const struct ks_sip_challenge *challenge,
						 struct ks_str user, struct ks_str password, const char *client_nonce,
						 struct ks_buf *to);

struct ks_sip_answer {
	int status;                       /* 100 to 699 */
	bool has_challenge;               /* 401 and 407 with a Digest challenge that can be answered; the strongest */
	struct ks_sip_challenge challenge;
};

/** Reads one whole message. KS_OK; KS_NOT_FOUND: well-formed, but not an answer to `request` (its Call-ID, CSeq and branch);
 * KS_MALFORMED: no SIP message; KS_MEMORY. */
KS_MUST_USE enum ks_err ks_sip_read(struct ks_str text, const struct ks_sip_request *request, struct ks_sip_answer *ret_answer);

/** How many bytes the first message of a stream has. KS_NOT_FOUND: it is not there whole; KS_MALFORMED, KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_sip_frame(struct ks_str stream, size_t *ret_n);
