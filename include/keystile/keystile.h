/* SPDX-License-Identifier: Apache-2.0 */
/** libkeystile: decide in your own process, by the ring that the keystile daemon of this machine keeps up
 * to date.
 *
 *	struct keystile *ks;
 *	struct keystile_request request = KEYSTILE_REQUEST;
 *
 *	if (keystile_open("/var/lib/keystile/ring", &ks) != KEYSTILE_OK)
 *		...
 *	request.authorization = keystile_text("Bearer ks_0123456789abcdef0123456789abcdef");
 *	request.method = keystile_text("GET");
 *	request.path = keystile_text("/api/v1/contacts");
 *	if (keystile_verdict_allows(keystile_decide(ks, &request)))
 *		...
 *
 * For the whole of the interface:
 * - Texts that go in are a pointer and a length, borrowed for the call; {NULL, 0} is the empty text. They may
 *   hold any byte.
 * - Texts that come out are terminated, never NULL, and belong to the library; each function says how long
 *   they live.
 * - A handle (struct keystile) and its verdicts are for one thread at a time; open one handle a thread.
 *   Functions without a handle may be called by any thread.
 * - Times are milliseconds since 1970-01-01T00:00:00Z.
 * - Where a function returns an int, it is one of enum keystile_status unless said otherwise, and what it
 *   would have returned through a pointer is left as it was unless that is KEYSTILE_OK.
 * - After a fork, the child opens handles of its own. No function is safe in a signal handler.
 * - The library writes nothing to any stream, and never keeps, logs or shows a token. */
#ifndef KEYSTILE_KEYSTILE_H
#define KEYSTILE_KEYSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version that a program was compiled with; keystile_version() tells the one it runs with. Within one major
 * version, programs go on working with every later library. */
#define KEYSTILE_VERSION_MAJOR 0
#define KEYSTILE_VERSION_MINOR 1
#define KEYSTILE_VERSION_PATCH 0
#define KEYSTILE_VERSION (KEYSTILE_VERSION_MAJOR * 10000 + KEYSTILE_VERSION_MINOR * 100 + KEYSTILE_VERSION_PATCH)
#define KEYSTILE_VERSION_TEXT "0.1.0"

/** The version of the library as KEYSTILE_VERSION_TEXT has it. Static. */
const char *keystile_version(void);

/* ---- results ---- */

/** How an operation ended. A refusal is no failure: it is a verdict. */
enum keystile_status {
	KEYSTILE_OK = 0,
	KEYSTILE_BAD_ARGUMENT = 1, /* a pointer is NULL that must not be, a length or a flag is out of bounds */
	KEYSTILE_NO_MEMORY = 2,
	KEYSTILE_SYSTEM = 3,       /* the operating system refused; errno says why */
	KEYSTILE_NOT_FOUND = 4,    /* there is no ring */
	KEYSTILE_CORRUPT = 5,      /* the ring is damaged; the daemon makes it anew when it starts */
	KEYSTILE_WRONG_VERSION = 6, /* the ring was made for another version of this library */
	KEYSTILE_MALFORMED = 7,    /* not of the expected form */
	KEYSTILE_TOO_LARGE = 8,    /* longer than its limit, or than the room given */
	KEYSTILE_FORBIDDEN = 9     /* no permission, or files that are not the directory owner's */
};

/** What `status` means, in a few words. Static; never NULL, whatever the number. */
const char *keystile_status_text(int status);

/* ---- texts ---- */

/** A borrowed text. */
struct keystile_text {
	const char *p;
	size_t n;
};

/** Borrows a terminated string; NULL becomes the empty text. */
static inline struct keystile_text keystile_text(const char *z)
{
	struct keystile_text text;

	text.p = z;
	text.n = z ? strlen(z) : 0;
	return text;
}

/** Borrows `n` bytes. */
static inline struct keystile_text keystile_text_n(const char *p, size_t n)
{
	struct keystile_text text;

	text.p = p;
	text.n = n;
	return text;
}

/* ---- the ring ---- */

/** A mapped ring and the room that decisions need. Opaque. */
struct keystile;

/** Opens the ring in `directory` (the daemon's setting `ring.directory`; `ring` in its data directory leads there) for
 * this thread. The process needs read permission on the ring and read-write permission on its counters: it runs as
 * the daemon's user or in the group that the daemon was told. About 120 KiB of memory are taken, and the mapping is
 * shared with all other readers.
 * KEYSTILE_OK; KEYSTILE_NOT_FOUND, KEYSTILE_FORBIDDEN, KEYSTILE_CORRUPT, KEYSTILE_WRONG_VERSION, KEYSTILE_SYSTEM,
 * KEYSTILE_NO_MEMORY, KEYSTILE_BAD_ARGUMENT. The handle is given back with keystile_close. It follows the ring
 * through growth, rebuilds and restarts of the daemon by itself. */
int keystile_open(const char *directory, struct keystile **ret_handle);

/** Maps every page of the ring at once, now and after each switch to a new generation (tens of milliseconds at 10
 * million keys), so that no decision waits for a page fault. For servers that run for long; not necessary. */
void keystile_prefault(struct keystile *handle);

/** Gives a handle and its verdict back. NULL is allowed. */
void keystile_close(struct keystile *handle);

/* ---- the request ---- */

/** Kinds of credentials, as bits. */
#define KEYSTILE_KIND_SESSION 0x01u
#define KEYSTILE_KIND_TENANT 0x02u
#define KEYSTILE_KIND_PARTNER 0x04u
#define KEYSTILE_KIND_RUNTIME 0x08u
#define KEYSTILE_KINDS_ANY 0xffu
/** Instead of kinds: the value is of one more Authorization header. */
#define KEYSTILE_AUTHORIZATION 0x100u

/** One more header that carries a credential. */
struct keystile_carrier {
	struct keystile_text value;
	/* KEYSTILE_KIND_ bits that it may carry, or KEYSTILE_AUTHORIZATION. The token of a user's session is taken from
	 * KEYSTILE_KIND_SESSION alone: the console's cookie. */
	unsigned kinds;
};

/** Asks about the credential and the address alone: method, path, tenant and host's family rules are not looked at,
 * and nothing of a rate is used up. */
#define KEYSTILE_CREDENTIAL_ALONE 0x1u
/** X-Tenant-Id was sent more than once (empty ones not counted): refused. */
#define KEYSTILE_TENANT_REPEATED 0x2u

/** What is asked. Start with KEYSTILE_REQUEST, which fills in the size; later versions add members at the end.
 * Everything is borrowed for the call. */
struct keystile_request {
	size_t size;                        /* sizeof(struct keystile_request) as the program knows it */
	unsigned flags;                     /* KEYSTILE_CREDENTIAL_ALONE, KEYSTILE_TENANT_REPEATED */
	struct keystile_text authorization; /* value of Authorization; empty: not sent */
	struct keystile_text api_key;       /* value of X-API-Key */

	/* Every further one: headers that the platform defined, and repeated ones. All that were sent must be
	 * passed on, because two credentials are refused. */
	const struct keystile_carrier *carriers;
	size_t carrier_count;

	struct keystile_text method;        /* "GET"; 1 to 32 bytes */
	struct keystile_text path;          /* as the client sent it: raw, escapes and query included */
	struct keystile_text tenant;        /* X-Tenant-Id */
	struct keystile_text host;          /* Host; only Basic asks for it */

	/* The client's address: IPv4 or IPv6 text without port, brackets or zone (anything else counts as
	 * unknown), or, where that is empty, a struct sockaddr_in or sockaddr_in6 of `peer_size` bytes. */
	struct keystile_text address;
	const void *peer;
	size_t peer_size;

	int64_t now_ms;                     /* 0: the system's clock is read */
};

/** The initial value of a struct keystile_request. */
#ifdef __cplusplus
#define KEYSTILE_REQUEST keystile_request_new()
#else
#define KEYSTILE_REQUEST { .size = sizeof(struct keystile_request) }
#endif

static inline struct keystile_request keystile_request_new(void)
{
	struct keystile_request request;

	memset(&request, 0, sizeof(request));
	request.size = sizeof(request);
	return request;
}

/* ---- the decision ---- */

/** What was decided. Opaque. Lives in its handle until that decides again or is closed, and so do all texts taken from
 * it. */
struct keystile_verdict;

/** Decides by the platform's policy, in the order of steps of docs/internals/decision.md, and counts the use of the
 * key. Allocates nothing and takes no lock; for a JWT, though, the crypto library that checks its signature does both for
 * itself, and a key that is met for the first time is kept ready. It makes no system call but for these: the clock where now_ms is 0; about
 * once a second one look at whether the ring's directory was replaced; and the mapping of the ring's next generation,
 * which is rare, and then also allocates.
 * Never NULL. Whatever goes wrong is a refusal: `stale` where the ring cannot be had or trusted at the moment, where
 * `handle` or `request` is NULL, where request->size is larger than this library knows and something stands there, or
 * where a flag is unknown. */
const struct keystile_verdict *keystile_decide(struct keystile *handle, const struct keystile_request *request);

/** True exactly if the request may go on. False for NULL. */
bool keystile_verdict_allows(const struct keystile_verdict *verdict);

/** The stable code: "ok", or the reason of the refusal, such as "credential_invalid" or "scope_missing". Static. */
const char *keystile_verdict_code(const struct keystile_verdict *verdict);

/** The HTTP status that goes with the code: 200, 400, 401, 403, 429 or 503. */
int keystile_verdict_http_status(const struct keystile_verdict *verdict);

/** One sentence for the client. Static. */
const char *keystile_verdict_text(const struct keystile_verdict *verdict);

/** What exactly was wrong, for the platform's own eyes: "the key is revoked". It tells an attacker what the code
 * conceals: do not send it to clients. Empty where there is nothing more to say. Static. */
const char *keystile_verdict_detail(const struct keystile_verdict *verdict);

/** The value of WWW-Authenticate for a 401 (RFC 6750; Basic's where Basic was tried, RFC 7617); empty for any other
 * status. Static. */
const char *keystile_verdict_challenge(const struct keystile_verdict *verdict);

/** The key's id, "key_..."; of a session its user's, "usr_..."; of a session that a foreign issuer vouches for the
 * issuer's, "iss_...". Also on refusals in which the key was found; else empty. The following are empty on every
 * refusal. */
const char *keystile_verdict_principal(const struct keystile_verdict *verdict);

/** "tenant", "partner", "runtime" or "session". */
const char *keystile_verdict_kind(const struct keystile_verdict *verdict);

/** The effective tenant's id. */
const char *keystile_verdict_tenant(const struct keystile_verdict *verdict);

/** The id of the organization that the effective tenant is or belongs to; empty for the operator and for a partner. */
const char *keystile_verdict_organization(const struct keystile_verdict *verdict);

/** The ids of the roots of what the credential sees, separated by commas. */
const char *keystile_verdict_visible(const struct keystile_verdict *verdict);

/** The ids of the ancestors that a family declared inherited may be read from, nearest first, separated by commas. */
const char *keystile_verdict_inherited(const struct keystile_verdict *verdict);

/** The names of the credential's scopes, separated by blanks. */
const char *keystile_verdict_scopes(const struct keystile_verdict *verdict);

/** "live" or "sandbox". */
const char *keystile_verdict_environment(const struct keystile_verdict *verdict);

/** The name of the route family; empty for a credential alone. */
const char *keystile_verdict_family(const struct keystile_verdict *verdict);

/** The first scope that was missing, where the code is "scope_missing"; else empty. */
const char *keystile_verdict_required_scope(const struct keystile_verdict *verdict);

/** True if the allowed credential has the scope of this name. */
bool keystile_verdict_has_scope(const struct keystile_verdict *verdict, struct keystile_text scope);

/** True if the allowed credential sees the tenant with this id: what a handler asks before it shows a resource of that
 * tenant. */
bool keystile_verdict_sees(const struct keystile_verdict *verdict, struct keystile_text tenant);

/** The state of the key's rate limit. */
struct keystile_rate {
	uint32_t limit;         /* requests a window */
	uint32_t window_s;      /* the window in seconds */
	uint32_t remaining;     /* requests that would be allowed now */
	uint32_t reset_s;       /* seconds until all of the limit is available again */
	uint32_t retry_after_s; /* where refused: seconds until one more is allowed (Retry-After) */
};

/** True, and *ret_rate filled, if the key has a rate limit and the decision got as far as to ask it. */
bool keystile_verdict_rate(const struct keystile_verdict *verdict, struct keystile_rate *ret_rate);

/** Header number `index` (from 0) of those that hand an allow on to the upstream: X-Keystile-Principal, -Kind,
 * -Tenant, -Organization, -Visible, -Inherited, -Scopes, -Environment, -Family, RateLimit, RateLimit-Policy. All of
 * them always, with an empty value where there is nothing.
 * A gateway must first have removed any such header that came from outside. False beyond the last, on a refusal, and
 * for NULL. */
bool keystile_verdict_header(const struct keystile_verdict *verdict, size_t index, struct keystile_text *ret_name,
			     struct keystile_text *ret_value);

/** Writes all of them into `buffer` as `Name: value` lines, each ended by CR LF, and a terminator. *ret_n (may be
 * NULL) gets the length without it. KEYSTILE_OK; KEYSTILE_TOO_LARGE where `size` does not suffice (1,024 bytes do for
 * keys with few scopes, KEYSTILE_HEADERS_SIZE always does); KEYSTILE_BAD_ARGUMENT on a refusal and for NULL. */
int keystile_verdict_headers(const struct keystile_verdict *verdict, char *buffer, size_t size, size_t *ret_n);
#define KEYSTILE_HEADERS_SIZE 110592

/* ---- tokens ---- */

/** Room for any token of the own form, and its terminator. */
#define KEYSTILE_TOKEN_SIZE 75
#define KEYSTILE_DIGEST_SIZE 32

/** Makes a token from the system's random numbers: `prefix`, "_", 32 lower-case hex digits and, if `checksum` is set,
 * "_" and 8 more by which a scanner recognises real ones. It is worth nothing until a key is imported with its
 * digest. Wipe it after use (keystile_wipe).
 * KEYSTILE_OK; KEYSTILE_MALFORMED (a prefix is words of a-z and 0-9, at most 16 long, joined by "_", a letter first,
 * 32 bytes in all), KEYSTILE_SYSTEM, KEYSTILE_BAD_ARGUMENT. */
int keystile_token_make(struct keystile_text prefix, bool checksum, char ret_token[KEYSTILE_TOKEN_SIZE]);

/** What a text looks like, by its bytes alone. */
enum keystile_form {
	KEYSTILE_FORM_NONE = 0,    /* not a credential, or the checksum is wrong */
	KEYSTILE_FORM_OWN = 1,     /* prefix_32hex, with or without checksum */
	KEYSTILE_FORM_JWT = 2,
	KEYSTILE_FORM_FOREIGN = 3  /* could be the token of an imported key */
};

/** The form of `token`. */
enum keystile_form keystile_token_form(struct keystile_text token);

/** The SHA-256 of a token: what the service knows of it, and what `keystile keys import` takes. KEYSTILE_OK;
 * KEYSTILE_SYSTEM if the crypto library fails; KEYSTILE_BAD_ARGUMENT. */
int keystile_token_digest(struct keystile_text token, unsigned char ret_digest[KEYSTILE_DIGEST_SIZE]);

/** Overwrites `n` bytes in a way that compilers do not remove. */
void keystile_wipe(void *p, size_t n);

/* ---- checks ---- */

/** NULL if the raw path (query allowed) can be read in one way only; else why not, in a few words (static). It is step
 * 3 of the decision. */
const char *keystile_path_problem(struct keystile_text path);

/** What is wrong with a policy, and where: line and column from 1. */
struct keystile_policy_problem {
	unsigned line;
	unsigned column;
	char text[256];         /* terminated */
};

/** Checks the text of a policy file (at most 4 MiB) as the daemon does when it starts. KEYSTILE_OK; KEYSTILE_MALFORMED
 * with the first problem in *ret_problem (may be NULL); KEYSTILE_TOO_LARGE; KEYSTILE_NO_MEMORY;
 * KEYSTILE_BAD_ARGUMENT. */
int keystile_policy_check(struct keystile_text yaml, struct keystile_policy_problem *ret_problem);

#ifdef __cplusplus
}
#endif

#endif
