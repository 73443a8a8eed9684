/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe/probe.h"

#define KS_PROBE_USER_MAX 256 /* bytes of a SIP user */

/* What the other side said, or why it said nothing. */
struct ks_probe_answer {
	unsigned status;              /* 0: it said nothing that is an answer */
	enum ks_platform_code code;   /* then this is why */
	bool is_stopped;
	char detail[KS_PROBE_DETAIL_SIZE];
};

/* There is no answer. `detail` is a text of ours. */
void ks_probe_fail(struct ks_probe_answer *answer, enum ks_platform_code code, const char *detail);
void ks_probe_fail_fetch(struct ks_probe_answer *answer, enum ks_fetch_result fetched);

/* Texts of a probe with the fields' values in them; empty where the file has none. */
struct ks_probe_texts {
	struct ks_str text[KS_PLATFORM_PROBE_TEXT_COUNT];
	struct ks_str headers[KS_PLATFORM_HEADERS_MAX];
	struct ks_str parameters[KS_PLATFORM_PARAMETERS_MAX];
	struct ks_buf room;           /* for what is made of them; what it holds may be secret */
};

struct ks_probe_sip {
	bool is_register;             /* else OPTIONS */
	struct ks_str host;
	uint16_t port;                /* 0: 5060, or 5061 with TLS */
	enum ks_fetch_transport transport;
	struct ks_str domain;         /* empty: as host */
	struct ks_str user;           /* empty: none, the trunk knows our address */
	struct ks_str auth_user;      /* empty: as user */
	struct ks_str password;
};
/* One request and its final answer, with credentials where they are asked for and there. */
void ks_probe_sip(struct ks_fetch *fetch, const struct ks_probe_sip *probe, unsigned timeout_ms,
		  struct ks_probe_answer *ret_answer);

/* One request; *ret_response is the caller's to free in any case. */
void ks_probe_http(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_texts *texts, unsigned timeout_ms,
		   struct ks_fetch_response *ret_response, struct ks_probe_answer *ret_answer);
/* The same for a token; an answer 200 without one is no answer. */
void ks_probe_oauth(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_texts *texts, unsigned timeout_ms,
		    struct ks_fetch_response *ret_response, struct ks_probe_answer *ret_answer);
