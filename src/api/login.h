/* SPDX-License-Identifier: Apache-2.0 */
/** What the handlers of logins, sessions and accounts share: the console's cookie, who must wait, records. */
#pragma once

#include "api/api_priv.h"
#include "api/counters.h"
#include "engine/people.h"
#include "login/password.h"

/* ---- the cookie (cookie.c) ---- */

/** Adds the console's cookie to what is presented, where it was sent: true. Twice makes the credential malformed. */
bool ks_cookie_present(const struct ks_api *api, const struct ks_exchange *x, struct ks_credential *credential);

/** True unless the request, authenticated by the cookie, may have been made by another site: a change needs a header that
 * no form and no simple request can send (X-Keystile-Request), or an Origin that is this host. */
bool ks_cookie_may(const struct ks_api *api, const struct ks_exchange *x);

/** The cookie's token as sent, borrowed; empty: none, or several. */
struct ks_str ks_cookie_token(const struct ks_api *api, const struct ks_exchange *x);

/** Sets the cookie to a session's token (empty: removes it) in the answer under way. */
void ks_cookie_set(struct ks_call *call, struct ks_str token);

/** Values of the cookie `name`, over all Cookie headers: how many, and the first one. */
size_t ks_cookie_find(const struct ks_exchange *x, struct ks_str name, struct ks_str *ret_value);
/** True if cookies are for https alone. */
bool ks_cookie_is_secure(const struct ks_api *api, const struct ks_exchange *x);

/** The session that the same browser has had until now, which ends with a login; 0: none. */
uint64_t ks_session_replaced(struct ks_call *call, const struct ks_ring *ring);

/* ---- who must wait (throttle.c) ---- */

/** Counts an attempt in the name of the account `name` and of the client's address. False: it is answered with 429 and
 * Retry-After. The name may be anybody's invention. */
bool ks_throttle_admit(struct ks_call *call, struct ks_str name);
/** An attempt of the caller's address at an intake link: 0, or the milliseconds that it must wait. */
int64_t ks_throttle_link(struct ks_call *call);
/** It was none that failed. */
void ks_throttle_link_right(struct ks_call *call);
/** It was right: the account's failures are forgotten, the address's last one is taken back. */
void ks_throttle_right(struct ks_call *call, struct ks_str name);
/** It was none to count. */
void ks_throttle_undo(struct ks_call *call, struct ks_str name);

/** The client's address as text; empty where it is unknown (the local socket). */
void ks_call_address(const struct ks_call *call, char ret_text[KS_ADDR_TEXT_SIZE]);

/* ---- who calls ---- */

/** The user of the session that calls. False: answered with kind_not_allowed. `cookie_alone`: a JWT made from the
 * session, which may be narrowed and lies about in programs, does not do. */
bool ks_call_own_user(struct ks_call *call, bool cookie_alone, uint64_t *ret_user);

/** The user with the id in the path, whom the caller sees. False: answered with not_found. */
bool ks_call_path_user(struct ks_call *call, uint64_t *ret_user);

/* ---- records (records_people.c) ---- */

void ks_record_session(struct ks_json *json, const struct ks_session_row *row, uint64_t current);
/** "invitation": {"token", "expires_at"}, as a member of the open object. */
void ks_record_invited(struct ks_json *json, const struct ks_invited *invited);
/** What the user's record holds beyond its row: invitation, password, second factor. */
KS_MUST_USE enum ks_err ks_record_access(struct ks_store *store, struct ks_json *json, uint64_t user);

/* ---- passwords ---- */

/** Of a user by its id or its address, as a reading connection has them. */
struct ks_person {
	uint64_t user;                    /* 0: there is none */
	bool disabled;
	int64_t changed_at;               /* KS_TIME_NONE: no password */
	char hash[KS_STORE_HASH_MAX + 1];
	char email[KS_STORE_EMAIL_MAX + 1];
};
/** By address (of any case), or by id where `email` is empty. KS_OK also where there is none. */
KS_MUST_USE enum ks_err ks_person_read(struct ks_store *store, struct ks_str email, uint64_t user,
				       struct ks_person *ret_person);
