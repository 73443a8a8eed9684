/* SPDX-License-Identifier: Apache-2.0 */
/** Does a provider's credential work? One probe asks the platform itself, as its platform file says, within one deadline
 * and under the guard of fetch/fetch.h. Nothing is changed at the other side: REGISTER carries no contact, so that it asks
 * for bindings and makes none (RFC 3261, 10.2.3). Threads: any number may probe at once; each waits in its own call. Not
 * on a thread that serves HTTP or writes the truth. */
#pragma once

#include "base/str.h"
#include "fetch/line.h"

#define KS_PROBE_TIMEOUT_MAX_MS 30000u
#define KS_PROBE_DETAIL_SIZE 96

enum ks_probe_state {
	KS_PROBE_HEALTHY,
	KS_PROBE_DEGRADED,
	KS_PROBE_FAILING,
	KS_PROBE_UNKNOWN,
	KS_PROBE_STATE_COUNT
};

const char *ks_probe_state_name(enum ks_probe_state state);
KS_MUST_USE bool ks_probe_state_parse(struct ks_str text, enum ks_probe_state *ret_state);

/** See outcomes.def. */
enum ks_probe_outcome {
#define KS_PROBE_OUTCOME(name, code, state, passing, text, advice) KS_PROBE_IS_##name,
#include "probe/outcomes.def"
#undef KS_PROBE_OUTCOME
	KS_PROBE_OUTCOME_COUNT
};

const char *ks_probe_code(enum ks_probe_outcome outcome);
const char *ks_probe_text(enum ks_probe_outcome outcome);
/** What a person can do about it; "" where there is nothing to do. */
const char *ks_probe_advice(enum ks_probe_outcome outcome);
enum ks_probe_state ks_probe_state_of(enum ks_probe_outcome outcome);
bool ks_probe_is_passing(enum ks_probe_outcome outcome);
KS_MUST_USE bool ks_probe_code_parse(struct ks_str code, enum ks_probe_outcome *ret_outcome);
enum ks_probe_outcome ks_probe_outcome_of(enum ks_fetch_result result);

struct ks_probe_result {
	enum ks_probe_outcome outcome;
	/** KS_FETCH_STOPPED came in between: nothing was found out, and nothing is to be recorded. */
	bool is_stopped;
	int answer;                          /* status of the SIP or HTTP answer; 0: there was none */
	char detail[KS_PROBE_DETAIL_SIZE];   /* a short text without secret and address; may be "" */
};

/** A connection, and for TLS a certificate that is trusted; nothing is sent. Over UDP nothing can be found out: use SIP. */
void ks_probe_connect(struct ks_fetch *fetch, struct ks_str host, uint16_t port, enum ks_fetch_transport transport,
		      unsigned timeout_ms, struct ks_probe_result *ret_result);

/** Borrowed for the call. */
struct ks_probe_sip {
	bool is_register;                    /* REGISTER; else OPTIONS */
	struct ks_str host;
	uint16_t port;                       /* 0: 5060, or 5061 with TLS */
	enum ks_fetch_transport transport;
	struct ks_str domain;                /* empty: as host */
	struct ks_str user;                  /* empty: none, the trunk knows our address */
	struct ks_str auth_user;             /* empty: as user */
	struct ks_str password;
};

/** OPTIONS (RFC 3261, 11) or REGISTER, with digest authentication where the trunk asks for it (MD5, SHA-256, SHA-512-256;
 * RFC 8760). Over UDP it is sent again as RFC 3261, 17.1.2 says. A trunk that answers OPTIONS with "no such user" or "not
 * allowed" is there and knows us: healthy. The name of the host is looked up by itself; SRV and NAPTR are not asked. */
void ks_probe_sip(struct ks_fetch *fetch, const struct ks_probe_sip *probe, unsigned timeout_ms,
		  struct ks_probe_result *ret_result);

#define KS_PROBE_STATUSES_MAX 8

/** Borrowed for the call. */
struct ks_probe_http {
	struct ks_fetch_request request;     /* its timeout_ms and body_max are the probe's */
	int expected[KS_PROBE_STATUSES_MAX]; /* statuses that are right; none: 200 to 299 */
	size_t expected_count;
	/** A member that the answer's JSON object must have as a string; empty: the body is not looked at. */
	struct ks_str member;
};

/** One request. 401 and 403 are KS_PROBE_IS_AUTH_REFUSED, 429 throttled, 5xx an error of the platform's, unless expected. */
void ks_probe_http(struct ks_fetch *fetch, const struct ks_probe_http *probe, unsigned timeout_ms,
		   struct ks_probe_result *ret_result);

/** Borrowed for the call. */
struct ks_probe_oauth {
	struct ks_str token_url;
	struct ks_str client_id, client_secret;
	struct ks_str scope;                 /* empty: none */
	struct ks_str extra;                 /* further form members, encoded ("account_id=1"); empty: none */
	bool in_body;                        /* the client's secret as form members; else Basic (RFC 6749, 2.3.1) */
};

/** A token by the client's credentials (RFC 6749, 4.4); the token is wiped, and used for nothing. 400 invalid_client and
 * unauthorized_client are refusals. */
void ks_probe_oauth(struct ks_fetch *fetch, const struct ks_probe_oauth *probe, unsigned timeout_ms,
		    struct ks_probe_result *ret_result);
