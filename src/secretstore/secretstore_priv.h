/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "secretstore/identity.h"

#define KS_SECRETSTORE_BODY_MAX (1u << 19) /* of an answer: 64 KiB may be six times as long with escapes */
#define KS_SECRETSTORE_URL_SIZE 2048

enum ks_secretstore_step { KS_SECRETSTORE_STEP_LOGIN, KS_SECRETSTORE_STEP_READ, KS_SECRETSTORE_STEP_ANY };

struct ks_secretstore_set;

/* One fetch: what a store's reader works with. */
struct ks_secretstore_fetch {
	struct ks_secretstore *store;
	struct ks_secretstore_set *set;    /* that the identity is of */
	const struct ks_secretstore_reference *reference;
	const struct ks_identity *identity;
	struct ks_str organization;
	int64_t deadline_ms;               /* of the monotonic clock */
	bool trusted_before;               /* the same trust worked once */
	/* What came of it: */
	struct ks_secret value;
	char version[KS_SECRETSTORE_VERSION_SIZE];
	char said[KS_SECRETSTORE_SAID_SIZE];
	int status;                        /* of the last answer; 0: none */
	unsigned requests;
	bool logged_in;                    /* the trust holds */
};

/* The readers: OK leaves the value as the store gave it, before any member is selected. */
typedef enum ks_secretstore_code (*ks_secretstore_reader)(struct ks_secretstore_fetch *f);
enum ks_secretstore_code ks_secretstore_aws(struct ks_secretstore_fetch *f);
enum ks_secretstore_code ks_secretstore_gcp(struct ks_secretstore_fetch *f);
enum ks_secretstore_code ks_secretstore_vault(struct ks_secretstore_fetch *f);
enum ks_secretstore_code ks_secretstore_azure(struct ks_secretstore_fetch *f);

/* ---- wire.c: requests, answers ---- */

/* What a store said of an error: its name and its text, both perhaps empty, borrowed from the answer. */
struct ks_secretstore_error {
	struct ks_str name, text;
};

/* Sends within what is left of the time. OK: an answer of whatever status. */
enum ks_secretstore_code ks_secretstore_send(struct ks_secretstore_fetch *f, struct ks_fetch_request *request,
					     struct ks_fetch_response *ret_response);
/* What an answer that is not good means; keeps the store's name of it. */
enum ks_secretstore_code ks_secretstore_meaning(struct ks_secretstore_fetch *f, enum ks_secretstore_step step, int status,
						const struct ks_secretstore_error *error);
/* The same where the store answers in JSON; `read` finds name and text in it. MALFORMED where it is none of the store's. */
typedef bool (*ks_secretstore_error_fn)(struct ks_str body, struct ks_secretstore_error *ret_error);
enum ks_secretstore_code ks_secretstore_refusal(struct ks_secretstore_fetch *f, enum ks_secretstore_step step,
						const struct ks_fetch_response *response, ks_secretstore_error_fn read);

struct ks_str ks_secretstore_body(const struct ks_fetch_response *response);
/* The text of a member that is a string without escapes or written to `room`; the empty text where there is none. */
struct ks_str ks_secretstore_text(struct ks_str object, const char *name, struct ks_buf *room);
/* The member of a member …; false: not there. */
bool ks_secretstore_find(struct ks_str object, const char *const path[], struct ks_str *ret_value);
/* Makes a secret of a JSON string. */
enum ks_secretstore_code ks_secretstore_take_string(struct ks_str value, struct ks_secret *ret_secret);
/* Makes a secret of a JSON string that holds base64. */
enum ks_secretstore_code ks_secretstore_take_base64(struct ks_str value, struct ks_secret *ret_secret);
void ks_secretstore_keep(char *to, size_t cap, struct ks_str text);

/* Percent-encodes all but unreserved characters (RFC 3986, 2.3), and slashes where `slashes`. */
void ks_secretstore_put_escaped(struct ks_buf *b, struct ks_str text, bool slashes);
void ks_secretstore_add_header(struct ks_fetch_request *request, struct ks_str name, struct ks_str value);

enum ks_secretstore_code ks_secretstore_of_err(enum ks_err err);

/* ---- jwt.c: what shows who the service is ---- */

/* A JWT signed with the identity's key (RS256 or ES256; PS256 for Azure): `header` further members as JSON text with a
 * leading comma, `claims` as JSON. Appends to `out`. */
enum ks_err ks_secretstore_sign(const struct ks_identity *identity, enum ks_sign_alg alg, struct ks_str header, struct ks_str claims,
				struct ks_buf *out);
/* The identity's outside token: read from its file at this moment, or made by the service's own issuer. */
enum ks_secretstore_code ks_secretstore_subject_token(struct ks_secretstore_fetch *f, struct ks_secret *ret_token);
/* Seconds since 1970. */
int64_t ks_secretstore_now_s(void);

/* ---- the client ---- */

struct ks_secretstore_waiter;
struct ks_secretstore_group;

/* One store that a tenant uses. */
struct ks_secretstore_site {
	char key[384];             /* tenant, a blank, where the store is */
	unsigned running;
	unsigned waiting;          /* reads, not groups */
	struct ks_secretstore_group *first, *last; /* that wait for a place, in their order */
	unsigned failures;         /* in a row */
	int64_t open_until_ms;     /* 0: closed */
	bool trying;               /* one read is through to see */
	uint64_t trusted[16];      /* trusts that worked, as mixes */
	unsigned trusted_at;
	uint64_t used;             /* for which one to forget */
	struct ks_secretstore_site *next;
};

/* The set in force, for as long as it is not dropped again. */
struct ks_secretstore_set *ks_secretstore_set_take(struct ks_secretstore *store);
void ks_secretstore_set_drop(struct ks_secretstore *store, struct ks_secretstore_set *set);
/* When what begins now must have ended, of the monotonic clock; 0 or more than the client's time: the client's. */
int64_t ks_secretstore_deadline(const struct ks_secretstore *store, unsigned timeout_ms);

#define KS_SECRETSTORE_SITES_MAX 4096
#define KS_SECRETSTORE_SITE_LISTS 256

/* The identities in force, and who still reads with them. */
struct ks_secretstore_set {
	struct ks_identities *identities;
	unsigned users;
};

struct ks_secretstore {
	struct ks_secretstore_options options;
	char *identities_path, *credentials;
	struct ks_fetch *fetch;
	uint64_t key[2];           /* of the lists and of trusted */
	pthread_mutex_t lock;      /* guards all below */
	bool stopping;
	struct ks_secretstore_set *set;
	struct ks_secretstore_site *sites[KS_SECRETSTORE_SITE_LISTS];
	size_t site_count;
	uint64_t tick;
	struct ks_secretstore_stats stats;
};
