/* SPDX-License-Identifier: Apache-2.0 */
/** The ring: the projection of the truth that decisions read. A flat, position-independent block of memory with one
 * writer and any number of readers in other processes; this header is its layout and its operations over memory
 * that the caller maps (ringmap/ does that). Pure: no file descriptor, clock, allocation or lock. FORMAT.md
 * describes the bytes.
 *
 * How readers stay right without locks: a record is written whole and then published by one atomic store (a key's
 * `state`, a count, an offset); what is published never changes but for single atomic words (state bits, ends_ms,
 * flags, offsets). Nothing is ever moved or reused within a generation. When any part is full the writer builds a
 * larger generation and readers pick it up. */
#pragma once

#include <stdatomic.h>

#include "base/addr.h"
#include "base/err.h"
#include "crypto/sha256.h"
#include "model/model.h"
#include "model/scopes.h"
#include "policy/policy.h"

#define KS_RING_VERSION 2
#define KS_RING_PROBES_MAX 512        /* not reached before 4/5 of the slots are taken; see README.md */
#define KS_RING_NONE UINT32_MAX
#define KS_RING_DOMAIN_MAX 127
#define KS_RING_SLUG_MAX 63
#define KS_RING_CIDRS_MAX 64          /* of one key */
#define KS_RING_MEMBERSHIPS_MAX 4096  /* of one user */
#define KS_RING_ROLES_MAX KS_SCOPES_MAX
/** How long a session stays known after its end; a copy of the ring leaves it out from then on. */
#define KS_RING_SESSION_KEPT_MS INT64_C(86400000)

/** How much a generation has room for. */
struct ks_ring_geometry {
	uint64_t key_slots;     /* of the hash table; hold at most 4/5 of it as keys */
	uint32_t tenants;
	uint32_t users;
	uint32_t grants;
	uint32_t limiters;      /* cells for keys with a rate limit; at most half are used */
	uint64_t arena_bytes;   /* policies, address lists, memberships, slugs; a multiple of 64 */
};

/** Bounds of a geometry. */
#define KS_RING_KEY_SLOTS_MIN 64u
#define KS_RING_KEY_SLOTS_MAX (UINT64_C(1) << 32)
#define KS_RING_RECORDS_MAX (1u << 26)           /* of tenants, users, grants each; at least 1 */
#define KS_RING_LIMITERS_MIN 64u
#define KS_RING_LIMITERS_MAX (1u << 31)
#define KS_RING_ARENA_MIN 4096u
#define KS_RING_ARENA_MAX ((UINT64_C(1) << 32) - 64)

/** Bits of ks_ring_key.state. A slot without LIVE ends a probe. The bits from KS_KEY_TRAITS_SHIFT on are traits and
 * never change. */
#define KS_KEY_LIVE 1u          /* the slot holds a key */
#define KS_KEY_REVOKED 2u
#define KS_KEY_ROTATED_OUT 4u   /* its end was set by a rotation: ending means credential_invalid */
#define KS_KEY_TRAITS_SHIFT 8
#define KS_KEY_TRAITS(kind, binding, environment) \
	((uint32_t)(kind) << 8 | (uint32_t)(binding) << 12 | (uint32_t)(environment) << 16)
#define KS_KEY_KIND(state) ((enum ks_kind)((state) >> 8 & 15))
#define KS_KEY_BINDING(state) ((enum ks_binding)((state) >> 12 & 15))
#define KS_KEY_ENVIRONMENT(state) ((enum ks_environment)((state) >> 16 & 15))

/** One key, session or issuer of sessions, one cache line. `check` is 32 bits of a keyed mix of everything that never
 * changes (FORMAT.md). A session is of kind session and bound to a user, an issuer of kind session and bound to an
 * organization. */
struct ks_ring_key {
	struct ks_digest digest;
	uint64_t id;
	_Atomic int64_t ends_ms;  /* INT64_MAX: never */
	uint32_t tenant;          /* index; of a user's key or session the user's personal tenant */
	uint32_t grant;           /* index; of kind session, which has no grant: that of the user, 0 of an issuer */
	uint32_t check;
	_Atomic uint32_t state;
};
_Static_assert(sizeof(struct ks_ring_key) == 64, "a key is one cache line");

/** Bits of ks_ring_tenant.flags. */
#define KS_TENANT_SUSPENDED 1u        /* itself */
#define KS_TENANT_DELETED 2u          /* itself */
#define KS_TENANT_UNDER_SUSPENDED 4u  /* something above it is suspended or deleted */
#define KS_TENANT_INACTIVE 7u         /* any of these: no credential of it works */

struct ks_ring_tenant {
	uint64_t id;
	_Atomic uint32_t flags;
	uint8_t kind;             /* enum ks_tenant_kind */
	uint8_t depth;            /* operator: 0 */
	uint16_t slug_len;
	uint32_t slug_at;         /* offset in the arena, lower case */
	uint32_t organization;    /* index of the organization it is or lies below; KS_RING_NONE */
	uint32_t user;            /* personal: index of its user; else KS_RING_NONE */
	uint32_t check;           /* CRC-32 of what never changes, the slug's bytes included */
	uint32_t path[KS_TENANT_DEPTH_MAX]; /* path[d]: index of the ancestor at depth d; path[depth] is itself */
	uint32_t first_child;     /* writer's: list of children, KS_RING_NONE ends it */
	uint32_t next_sibling;    /* writer's */
	uint32_t reserved2[10];
};
_Static_assert(sizeof(struct ks_ring_tenant) == 128, "a tenant is two cache lines");

#define KS_USER_DISABLED 1u

struct ks_ring_user {
	uint64_t id;
	_Atomic uint32_t flags;
	_Atomic uint32_t personal;       /* index of the personal tenant; KS_RING_NONE */
	_Atomic uint32_t memberships_at; /* offset in the arena of a ks_ring_memberships in units of 8 bytes; 0: none */
	uint32_t check;                  /* CRC-32 of the id */
	uint32_t reserved[2];
};
_Static_assert(sizeof(struct ks_ring_user) == 32, "two users a cache line");

struct ks_ring_membership {
	uint32_t tenant;          /* index */
	uint16_t role;            /* number of the role, see ks_ring_role; 0: none, which gives no scope */
	uint16_t below;           /* 1: what is below the tenant is seen too */
};

/** Immutable once published; a change publishes another list. In ascending order of tenant id. */
struct ks_ring_memberships {
	uint32_t count;
	uint32_t check;           /* CRC-32 of the items */
	struct ks_ring_membership items[];
};

/** What a key may do; shared by all keys with equal grants. Never changes. */
struct ks_ring_grant {
	uint64_t id;              /* of the truth's grants table */
	struct ks_scopes scopes;
	uint32_t cidrs_at;        /* offset in the arena of `cidr_count` ks_cidr; 0: none */
	uint32_t cidr_count;
	uint32_t rate_requests;   /* 0: no limit */
	uint32_t rate_window_s;
	uint32_t check;           /* CRC-32 of all this, the address list included */
	uint32_t reserved[9];
};
_Static_assert(sizeof(struct ks_ring_grant) == 128, "a grant is two cache lines");

/** What each role gives today, by its number less one; those beyond `count` give nothing. Immutable once published. */
struct ks_ring_role_sets {
	uint32_t count;
	uint32_t check;           /* CRC-32 of the sets */
	struct ks_scopes sets[];
};

enum ks_ring_policy { KS_RING_POLICY_PLATFORM, KS_RING_POLICY_SELF, KS_RING_POLICY_COUNT };

#define KS_RING_FLAG_FOREIGN 1u /* keys were imported: tokens of any form may be known */

/** First page of the file. Everything up to `header_crc` is fixed when the generation is made. */
struct ks_ring_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t total_size;
	uint64_t generation;
	uint8_t boot_id[16];
	uint8_t store_id[16];     /* of the truth that this projects */
	uint64_t slot_seed[2];
	struct ks_ring_geometry geometry;
	uint64_t scopes_at, roles_at, arena_at, tenants_at, tenant_map_at, users_at, user_map_at, grants_at, grant_map_at,
		keys_at;
	uint32_t tenant_map_mask, user_map_mask, grant_map_mask;
	char domain[KS_RING_DOMAIN_MAX + 1]; /* lower case, terminated; empty: Basic matches nothing */
	uint32_t header_crc;

	_Alignas(64) _Atomic uint64_t position;     /* change-log entry up to which the truth is in here */
	_Atomic uint32_t complete;                  /* 1 once the first build has finished */
	_Atomic uint32_t flags;                     /* KS_RING_FLAG_ */
	_Atomic int64_t lease_until_ms;             /* INT64_MAX on the embedded store */
	_Atomic uint64_t policy_at[KS_RING_POLICY_COUNT]; /* offsets in the arena, 0: none */
	_Atomic uint64_t policy_epoch;              /* rises with every publication */
	_Atomic uint64_t issuers_at;                /* offset in the arena of a ks_ring_issuers, 0: none; issuers.h */
	_Atomic uint64_t role_sets_at;              /* offset in the arena of the ks_ring_role_sets, 0: none */

	_Alignas(64) _Atomic uint64_t key_count;    /* slots used: keys, sessions, issuers, revoked ones included */
	_Atomic uint64_t arena_used;
	_Atomic uint32_t tenant_count, user_count, grant_count, limiter_count;
	_Atomic uint64_t revoked_count;             /* keys alone */
	_Atomic uint64_t scopes_check;              /* writer's: number of scopes, CRC-32 of their names */
	_Atomic uint32_t full;                      /* writer's: bits of enum ks_ring_part that refused a record */
	_Atomic uint64_t session_count;             /* slots of kind session */
	_Atomic uint64_t roles_check;               /* writer's: as scopes_check, of the names of the roles */
};

enum ks_ring_part {
	KS_RING_PART_KEYS,
	KS_RING_PART_TENANTS,
	KS_RING_PART_USERS,
	KS_RING_PART_GRANTS,
	KS_RING_PART_LIMITERS,
	KS_RING_PART_ARENA
};

/** Counters that readers add to: the second file, mapped read-write by all. See ring/usage.h. */
struct ks_usage;

/** Pointers into one mapped generation. A plain value; copy it freely while the mapping stands. */
struct ks_ring {
	struct ks_ring_header *header;
	struct ks_scope_table *scopes;
	struct ks_scope_table *roles;   /* names of the roles; a role's number is its place + 1 */
	unsigned char *arena;
	struct ks_ring_tenant *tenants;
	_Atomic uint32_t *tenant_map;   /* index + 1, or 0 */
	struct ks_ring_user *users;
	_Atomic uint32_t *user_map;
	struct ks_ring_grant *grants;
	_Atomic uint32_t *grant_map;
	struct ks_ring_key *keys;
	struct ks_usage *usage;         /* NULL: nothing is counted and no rate is limited */
};

/* ---- making and opening: ring_layout.c, ring_verify.c ---- */

/** Bytes of a generation of this geometry (a multiple of 4096); 0 if it is out of bounds. */
uint64_t ks_ring_size(const struct ks_ring_geometry *geometry);

/** The geometry that holds `keys`, `tenants`, `users`, `grants`, `limiters` and `arena_bytes` of the rest with room
 * to grow, within 150 bytes a key with its counters at 10 million keys; about 3 MiB for a service that has just
 * been started. Numbers beyond the bounds are cut to them. */
struct ks_ring_geometry ks_ring_plan(uint64_t keys, uint32_t tenants, uint32_t users, uint32_t grants,
				     uint32_t limiters, uint64_t arena_bytes);

/** The geometry of the generation after `ring`: every part that is nearly full, has refused a record, or would not
 * hold `keys` and `arena_bytes` more grows by half at least; the others stay. Sessions that ks_ring_copy will leave
 * out at `now_ms` do not count. */
struct ks_ring_geometry ks_ring_plan_growth(const struct ks_ring *ring, uint64_t keys, uint64_t arena_bytes,
					    int64_t now_ms);

/** What a new generation is stamped with. */
struct ks_ring_stamp {
	uint64_t generation;
	uint8_t boot_id[16];
	uint8_t store_id[16];
	uint64_t slot_seed[2];          /* random; that of the generation before where it is copied */
	struct ks_str domain;           /* letters, digits, "-" and "." */
};

/** Writes an empty generation into `memory` (zeroed, page-aligned, at least ks_ring_size bytes). KS_TOO_LARGE:
 * `size` is too small or the geometry out of bounds; KS_MALFORMED: the domain. ret_ring->usage is NULL. */
KS_MUST_USE enum ks_err ks_ring_format(void *memory, uint64_t size, const struct ks_ring_geometry *geometry,
				       const struct ks_ring_stamp *stamp, struct ks_ring *ret_ring);

/** Pointers into a generation made by another process. Checks magic, version, sizes, offsets and the header's
 * checksum: KS_CORRUPT, KS_VERSION. Does not read the records. ret_ring->usage is NULL. */
KS_MUST_USE enum ks_err ks_ring_attach(void *memory, uint64_t size, struct ks_ring *ret_ring);

/** Reads every record and checks it (checksums, homes of the slots, indices within counts, arena offsets, paths,
 * policies, maps), so that no reader can be led outside the mapping whatever the bytes are. About 20 ns a key.
 * KS_CORRUPT. The writer calls it before it goes on with an existing file. What a killed writer left half done is
 * mended: counts, the flags below a suspended tenant, lists of children, the map's entry of a record published
 * last. */
KS_MUST_USE enum ks_err ks_ring_verify(struct ks_ring *ring);

/* ---- reading: any process, any thread; the hottest are inline, in ring/ring_inline.h ----
 *
 * ks_ring_prefetch_key, ks_ring_key, ks_ring_prefetch_record, ks_ring_tenant, ks_ring_user, ks_ring_is_within,
 * ks_ring_policy_table, ks_ring_memberships_of, ks_ring_role_scopes. */

/** The slug of the tenant at `tenant` (a valid index), borrowed; empty if it has none. */
struct ks_str ks_ring_slug(const struct ks_ring *ring, uint32_t tenant);

/** The `cidr_count` ranges of a grant, borrowed; NULL if it has none. */
const struct ks_cidr *ks_ring_cidrs(const struct ks_ring *ring, const struct ks_ring_grant *grant);

/** Index of a grant by its id; KS_RING_NONE. */
uint32_t ks_ring_grant(const struct ks_ring *ring, uint64_t id);

/** The number of the role `name`, the same in every generation of this truth's ring while the daemon runs; 0: it has
 * none. The built-in ones have those of enum ks_role. Linear in the number of roles. */
uint16_t ks_ring_role(const struct ks_ring *ring, struct ks_str name);

/** The name of a role, borrowed; empty for a number that is not given. */
struct ks_str ks_ring_role_name(const struct ks_ring *ring, uint16_t number);

/** What stands for an issuer (see ks_ring_put_issuer) in the place of a token's digest. No token has it. KS_SYSTEM:
 * the digest cannot be computed. */
KS_MUST_USE enum ks_err ks_ring_issuer_digest(uint64_t issuer, struct ks_digest *ret_digest);

/* ---- writing: one thread of one process; ring_write.c, ring_copy.c ----
 *
 * Each is idempotent: the change-log may be replayed from an earlier position. Records carry what the truth says now.
 * KS_FULL: make a larger generation (ks_ring_plan_growth) and go on. After any other failure nothing has changed. */

struct ks_ring_tenant_record {
	uint64_t id;
	uint64_t parent;                /* 0 for the operator */
	enum ks_tenant_kind kind;
	bool suspended;
	bool deleted;
	struct ks_str slug;             /* at most KS_RING_SLUG_MAX bytes; lower case is made of it; fixed */
	uint64_t user;                  /* personal tenants: their user, which must be there; else 0 */
};

/** Adds a tenant (its parent and user must be there: KS_NOT_FOUND) or updates the flags of one that is, and of all
 * below it: once it has returned, no credential of a suspended tenant or of one below it is accepted. KS_CONFLICT:
 * it is there with another parent, kind or user; KS_MALFORMED: id 0, an operator with a parent, anything else
 * without one, a user where none belongs, a bad kind; KS_TOO_LARGE: too deep, slug too long. */
KS_MUST_USE enum ks_err ks_ring_put_tenant(struct ks_ring *ring, const struct ks_ring_tenant_record *record);

struct ks_ring_membership_record {
	uint64_t tenant;
	uint16_t role;                  /* of ks_ring_name_role */
	bool below;
};

/** Adds a user or updates flags and memberships: the whole list, in any order; readers see the old one or the new
 * one. Unknown tenants are KS_NOT_FOUND, a tenant named twice KS_CONFLICT, more than KS_RING_MEMBERSHIPS_MAX
 * KS_TOO_LARGE, id 0 or a role's number that was not given KS_MALFORMED. */
KS_MUST_USE enum ks_err ks_ring_put_user(struct ks_ring *ring, uint64_t id, bool disabled,
					 const struct ks_ring_membership_record *memberships, size_t count);

struct ks_ring_grant_record {
	uint64_t id;
	struct ks_scopes scopes;
	const struct ks_cidr *cidrs;    /* `cidr_count` of them; NULL if none */
	uint32_t cidr_count;
	uint32_t rate_requests;
	uint32_t rate_window_s;
};

/** Adds a grant or finds the one with this id. KS_CONFLICT: it is there and says something else; KS_TOO_LARGE: more
 * than KS_RING_CIDRS_MAX ranges; KS_MALFORMED: id 0, a range of more than 128 bits, a rate limit without a window. */
KS_MUST_USE enum ks_err ks_ring_put_grant(struct ks_ring *ring, const struct ks_ring_grant_record *record,
					  uint32_t *ret_index);

struct ks_ring_key_record {
	struct ks_digest digest;
	uint64_t id;
	uint64_t tenant;                /* id; must be there: KS_NOT_FOUND */
	uint64_t grant;                 /* id; must be there: KS_NOT_FOUND */
	enum ks_kind kind;
	enum ks_binding binding;
	enum ks_environment environment;
	int64_t ends_ms;                /* INT64_MAX: never */
	bool revoked;
	bool rotated_out;
};

/** Adds a key, or brings one that is there up to date: revoked and rotated_out stay once they were said, and the
 * earliest end stays. KS_CONFLICT: the digest is there with another id, tenant, grant or kind; KS_MALFORMED: id 0
 * or a bad enum. After it returned with `revoked`, no reader anywhere on the machine accepts the key. A key with a
 * rate limit gets its limiter before it is published. Prefetching the slots of the records to come
 * (ks_ring_prefetch_key) makes a bulk load two to three times as fast. */
KS_MUST_USE enum ks_err ks_ring_put_key(struct ks_ring *ring, const struct ks_ring_key_record *record);

struct ks_ring_session_record {
	struct ks_digest digest;        /* of the session's token */
	uint64_t id;                    /* ses_… */
	uint64_t user;                  /* id; the user and its personal tenant must be there: KS_NOT_FOUND */
	int64_t ends_ms;                /* INT64_MAX: never */
	bool ended;                     /* logged out */
};

/** Adds a user's session, or ends one that is there: it may only end earlier than was said before. One that has ended
 * and is not there is not added. Otherwise as ks_ring_put_key: once it has returned with `ended`, no reader anywhere
 * on the machine accepts the session. A session has no grant: its scopes come from the user's roles. */
KS_MUST_USE enum ks_err ks_ring_put_session(struct ks_ring *ring, const struct ks_ring_session_record *record);

struct ks_ring_issuer_record {
	uint64_t id;                    /* iss_… */
	uint64_t organization;          /* id of a tenant of that kind; must be there: KS_NOT_FOUND */
	bool removed;
};

/** Adds a foreign issuer of one organization, or takes it away: once it has returned with `removed`, no reader
 * accepts what that issuer signed. Failures as ks_ring_put_key; KS_MALFORMED also where the tenant is no organization.
 */
KS_MUST_USE enum ks_err ks_ring_put_issuer(struct ks_ring *ring, const struct ks_ring_issuer_record *record);

/** The number of the role `name`, given now if it had none; 0 where all numbers are given or `name` is no name of a
 * role. For memberships: a role that no policy knows keeps its number and gives nothing. */
uint16_t ks_ring_name_role(struct ks_ring *ring, struct ks_str name);

/** Publishes what every role gives a session under `count` catalogues together (NULL ones are skipped; see
 * ks_policy_role_scopes), with numbers for roles and scopes that had none; does nothing where the same is in force.
 * Sessions go by it from the return on. KS_TOO_LARGE: no number is left for a role or a scope. */
KS_MUST_USE enum ks_err ks_ring_put_roles(struct ks_ring *ring, const struct ks_policy *const *policies, size_t count);

/** Copies a compiled policy into the arena and puts it in force; does nothing where the same bytes are in force.
 * KS_MALFORMED: the table is not whole. */
KS_MUST_USE enum ks_err ks_ring_put_policy(struct ks_ring *ring, enum ks_ring_policy which,
					   const struct ks_policy_table *table);

/** States that everything up to change-log entry `position` is in; scopes and roles that were named since are under
 * the checksums from here on. */
void ks_ring_set_position(struct ks_ring *ring, uint64_t position);

/** From now on tokens of any form may be known (KS_RING_FLAG_FOREIGN). Call it before the first imported key is
 * put. */
void ks_ring_set_foreign(struct ks_ring *ring);

/** Until when readers may vouch for what is in here. */
void ks_ring_set_lease(struct ks_ring *ring, int64_t until_ms);

/** Copies everything of `from` into the empty `to` (a larger geometry, a next generation; same store). Garbage of
 * the arena stays behind, and so do sessions and issuers that have ended, sessions at the time `now_ms` for more than
 * KS_RING_SESSION_KEPT_MS. Where both have counters, rate limiters go along (ks_usage_move_limiters) and counts do
 * not. `complete` is not set. KS_FULL if `to` is too small. */
KS_MUST_USE enum ks_err ks_ring_copy(const struct ks_ring *from, struct ks_ring *to, int64_t now_ms);

/** True where fewer than `keys` more keys, or less than the small reserve of another part, would fit. */
bool ks_ring_wants_growth(const struct ks_ring *ring, uint64_t keys);

#include "ring/ring_inline.h"
