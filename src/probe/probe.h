/* SPDX-License-Identifier: Apache-2.0 */
/** Does a provider's credential work? One probe asks the platform itself, as its platform file says (platform/probe.h),
 * within one deadline and under the guard of fetch/fetch.h. Nothing is changed at the other side: REGISTER carries no
 * contact, so that it asks for bindings and makes none (RFC 3261, 10.2.3). Threads: any number may probe at once; each waits
 * in its own call. Not on a thread that serves HTTP or writes the truth. */
#pragma once

#include "fetch/line.h"
#include "platform/probe.h"

#define KS_PROBE_TIMEOUT_MS 10000u      /* where neither the file nor the caller says one */
#define KS_PROBE_TIMEOUT_MAX_MS 30000u
#define KS_PROBE_DETAIL_SIZE 96

/** Borrowed for the call. */
struct ks_probe_job {
	const struct ks_platform *platform;  /* its `probe` may be NULL: not_probed */
	ks_platform_lookup *lookup;          /* values of the fields */
	void *context;
	unsigned timeout_ms;                 /* where the file says none; 0: KS_PROBE_TIMEOUT_MS */
	int64_t now_ms;                      /* for signatures that carry the time */
};

struct ks_probe_result {
	enum ks_platform_health health;
	enum ks_platform_code code;
	uint32_t fields;                     /* bit i: what it speaks of; 0: the provider as a whole */
	/** The trouble may pass by itself: no answer, no connection, the platform out of order. */
	bool passing;
	/** KS_FETCH_STOPPED came in between: nothing was found out, and nothing is to be recorded. */
	bool is_stopped;
	unsigned answer;                     /* status of the SIP or HTTP answer; 0: there was none */
	char detail[KS_PROBE_DETAIL_SIZE];   /* a short text without secret and address; may be "" */
};

/** Carries out the platform's probe. What was rendered of the fields is wiped. Of kind `readable` there is nothing to do:
 * who opened the fields knows whether that went well. SIP: with digest by MD5, SHA-256 and SHA-512-256 (RFC 8760); over UDP
 * sent again as RFC 3261, 17.1.2 says; the host's name is looked up by itself, SRV and NAPTR are not asked. */
void ks_probe_run(struct ks_fetch *fetch, const struct ks_probe_job *job, struct ks_probe_result *ret_result);

/** True of codes that may pass by themselves. */
bool ks_probe_is_passing(enum ks_platform_code code);
