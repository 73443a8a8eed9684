/* SPDX-License-Identifier: Apache-2.0 */
#include "decision/decision.h"

#include "decision/sight.h"

/* One decision on its way. */
struct walk {
	const struct ks_ring *ring;
	const struct ks_request *request;
	struct ks_path *path;
	struct ks_decision *d;
	const struct ks_ring_tenant *own;   /* the key's tenant, from step 2 on */
	int64_t ends_ms;                    /* the key's end, likewise */
	bool is_key;                        /* a key by its token: nothing of sessions or JWTs concerns it */

	/* What steps 3 and 4 will say: found out early, while the key's cache lines are on their way. */
	enum ks_path_problem path_problem;
	const struct ks_rule *rule;
};

static uint32_t tenant_flags(const struct ks_ring_tenant *tenant)
{
	return atomic_load_explicit(&tenant->flags, memory_order_acquire);
}

static bool is_active(const struct ks_ring_tenant *tenant)
{
	return (tenant_flags(tenant) & KS_TENANT_INACTIVE) == 0;
}

/* ---- before all else: the lease ---- */

static enum ks_reason step_lease(struct walk *w)
{
	const struct ks_ring_header *header = w->ring->header;

	/* A projection that was never finished may lack a revocation; it vouches for nothing. */
	if (!atomic_load_explicit(&header->complete, memory_order_acquire)
	    || w->request->now_ms >= atomic_load_explicit(&header->lease_until_ms, memory_order_acquire))
		return KS_REASON_STALE;
	return KS_REASON_OK;
}

/* ---- 1. parse: token/ has read the carriers; what remains is which forms this ring knows ---- */

static enum ks_reason step_parse(struct walk *w)
{
	const struct ks_credential *credential = w->request->credential;
	uint32_t flags = atomic_load_explicit(&w->ring->header->flags, memory_order_acquire);

	if (credential->presented == KS_PRESENTED_NOTHING)
		return KS_REASON_CREDENTIAL_MISSING;
	if (credential->presented == KS_PRESENTED_MALFORMED || credential->form == KS_TOKEN_NONE)
		return KS_REASON_CREDENTIAL_MALFORMED;
	if (credential->form == KS_TOKEN_FOREIGN && !(flags & KS_RING_FLAG_FOREIGN))
		return KS_REASON_CREDENTIAL_MALFORMED;
	return KS_REASON_OK;
}

/* ---- 2. look up ---- */

/* Steps 3 and 4 need nothing of the key, and the key's cache lines take longer to come than they do. */
static void read_route(struct walk *w)
{
	w->path_problem = ks_path_read(w->request->path, w->path);
	if (w->path_problem == KS_PATH_OK && w->d->policy)
		w->rule = ks_policy_match(w->d->policy, w->path, w->request->method);
}

/* Sessions and issuers have neither addresses nor a rate. */
static const struct ks_ring_grant no_grant;

/* Starts loading what the slot refers to, and reads the slot's two changing words. The end comes first: a rotation sets
 * ROTATED_OUT before the end, so that a key whose new end is seen here is also seen to be rotated out. */
static void take_key(struct walk *w, const struct ks_ring_key *key)
{
	struct ks_decision *d = w->d;

	ks_ring_prefetch_record(w->ring, key, d->slot);
	w->own = &w->ring->tenants[key->tenant];
	w->ends_ms = atomic_load_explicit(&key->ends_ms, memory_order_acquire);
	d->key = key;
	d->state = atomic_load_explicit(&key->state, memory_order_acquire);
	w->is_key = KS_KEY_KIND(d->state) != KS_KIND_SESSION && !d->is_asserted;
	d->grant = KS_LIKELY(KS_KEY_KIND(d->state) != KS_KIND_SESSION) ? &w->ring->grants[key->grant] : &no_grant;
}

static bool is_session(const struct ks_decision *d)
{
	return KS_KEY_KIND(d->state) == KS_KIND_SESSION;
}

/* The tenant that the credential acts in where none is named. */
static uint32_t own_tenant(const struct ks_decision *d)
{
	return d->root == KS_RING_NONE ? d->key->tenant : d->root;
}

static struct ks_sight sight_of(const struct ks_decision *d)
{
	struct ks_sight sight = {
		.kind = KS_KEY_KIND(d->state),
		.binding = KS_KEY_BINDING(d->state),
		.own = d->key->tenant,
		.root = d->root,
		.partner_itself = !d->rule || (d->rule->tenant_header != KS_TENANT_HEADER_REQUIRED
					       && d->rule->tenant_header != KS_TENANT_HEADER_REQUIRED_FOR_PARTNER),
	};

	if (d->is_asserted) {
		sight.roles = d->assertion.roles;
		sight.role_count = KS_MIN(d->assertion.role_count, (uint8_t)KS_ASSERTION_ROLES_MAX);
	}
	if (d->rule) {
		sight.needs = d->rule->scopes;
		sight.need_count = d->rule->scope_count;
	}
	return sight;
}

/* True if `host` is <slug>.<domain> of the organization that the tenant lies in. */
static bool is_space_of(const struct ks_ring *ring, const struct ks_ring_tenant *tenant, struct ks_str host)
{
	struct ks_str domain = ks_str_c(ring->header->domain), slug;
	size_t port = host.n;

	if (tenant->organization == KS_RING_NONE)
		return false;
	slug = ks_ring_slug(ring, tenant->organization);
	while (port > 0 && host.p[port - 1] >= '0' && host.p[port - 1] <= '9')
		port--;
	if (port > 0 && host.p[port - 1] == ':')
		host.n = port - 1;
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	return !ks_str_empty(slug) && !ks_str_empty(domain) && host.n == slug.n + 1 + domain.n && host.p[slug.n] == '.'
	       && ks_str_eq_nocase(ks_str_sub(host, 0, slug.n), slug)
	       && ks_str_eq_nocase(ks_str_sub(host, slug.n + 1, domain.n), domain);
}

static enum ks_lookup_detail check_basic(const struct walk *w)
{
	uint64_t project;

	if (KS_KEY_BINDING(w->d->state) != KS_BINDING_PROJECT)
		return KS_LOOKUP_NOT_PROJECT;
	if (!ks_id_parse(w->request->credential->user, KS_ID_PROJECT, &project) || project != w->own->id)
		return KS_LOOKUP_PROJECT;
	if (!is_space_of(w->ring, w->own, w->request->host))
		return KS_LOOKUP_SPACE;
	return KS_LOOKUP_NONE;
}

static bool is_user_disabled(const struct walk *w)
{
	const struct ks_ring_user *user;

	if (w->own->user == KS_RING_NONE)
		return true;
	user = &w->ring->users[w->own->user];
	return (atomic_load_explicit(&user->flags, memory_order_acquire) & KS_USER_DISABLED) != 0;
}

static bool has_ended(const struct walk *w, int64_t ends_ms)
{
	return w->request->now_ms >= ends_ms && ends_ms != INT64_MAX;
}

static enum ks_lookup_detail detail_of_revoked(const struct ks_decision *d)
{
	if (!is_session(d))
		return KS_LOOKUP_REVOKED;
	return KS_KEY_BINDING(d->state) == KS_BINDING_USER ? KS_LOOKUP_SESSION_ENDED : KS_LOOKUP_ISSUER_REMOVED;
}

static enum ks_lookup_detail detail_of_ended(const struct ks_decision *d)
{
	if (is_session(d))
		return KS_LOOKUP_SESSION_EXPIRED;
	return d->state & KS_KEY_ROTATED_OUT ? KS_LOOKUP_ROTATED_OUT : KS_LOOKUP_EXPIRED;
}

/* What is wrong with a key that exists, in the order of the page. */
static enum ks_lookup_detail check_key(const struct walk *w)
{
	const struct ks_credential *credential = w->request->credential;
	const struct ks_decision *d = w->d;
	uint32_t state = d->state;

	if (state & KS_KEY_REVOKED)
		return detail_of_revoked(d);
	if (has_ended(w, w->ends_ms))
		return detail_of_ended(d);
	if (KS_UNLIKELY(d->is_asserted) && has_ended(w, d->assertion.expires_ms))
		return KS_LOOKUP_JWT_EXPIRED;
	if (!is_active(w->own))
		return KS_LOOKUP_TENANT_INACTIVE;
	if (KS_KEY_BINDING(state) == KS_BINDING_USER && is_user_disabled(w))
		return KS_LOOKUP_USER_DISABLED;
	if (KS_UNLIKELY(is_session(d)) && !d->is_asserted && credential->kinds != KS_KIND_BIT(KS_KIND_SESSION))
		return KS_LOOKUP_SESSION_CARRIER;
	if (!(credential->kinds & KS_KIND_BIT(KS_KEY_KIND(state))))
		return KS_LOOKUP_CARRIER;
	if (credential->presented == KS_PRESENTED_BASIC)
		return check_basic(w);
	return KS_LOOKUP_NONE;
}

/* Finds the slot while the route is read. False: there is none. */
static bool find_slot(struct walk *w, const struct ks_digest *digest)
{
	uint64_t home = ks_ring_prefetch_key(w->ring, digest);
	const struct ks_ring_key *key;

	if (!w->request->credential_alone)
		read_route(w);
	key = ks_ring_key(w->ring, digest, home, &w->d->slot);
	if (!key)
		return false;
	take_key(w, key);
	return true;
}

static bool is_issuer(const struct ks_decision *d)
{
	return is_session(d) && KS_KEY_BINDING(d->state) == KS_BINDING_ORGANIZATION;
}

static enum ks_lookup_detail find_key(struct walk *w, const struct ks_digest *digest)
{
	if (!find_slot(w, digest))
		return KS_LOOKUP_UNKNOWN;
	if (KS_UNLIKELY(is_issuer(w->d))) {
		w->d->key = NULL;
		return KS_LOOKUP_UNKNOWN;
	}
	return check_key(w);
}

/* ---- 2. look up what a JWT was made for ---- */

static bool is_origin(const struct ks_decision *d)
{
	switch (d->assertion.kind) {
	case KS_ASSERTION_SESSION:
		return is_session(d) && !is_issuer(d);
	case KS_ASSERTION_EXCHANGED:
		return !is_session(d);
	case KS_ASSERTION_FEDERATED:
		return is_issuer(d);
	}
	return false;
}

/* Takes the tenant that the JWT names as its own, if what it was made for sees it. */
static bool take_root(struct walk *w)
{
	struct ks_decision *d = w->d;
	struct ks_sight sight = sight_of(d);
	uint32_t index;

	if (d->assertion.tenant == 0)
		return true;
	index = ks_ring_tenant(w->ring, d->assertion.tenant);
	if (index == KS_RING_NONE || !is_active(&w->ring->tenants[index]))
		return false;
	/* An issuer may give roles anywhere in its organization, and they are what is seen from there. */
	if (is_issuer(d)
		    ? w->ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL
			      || !ks_ring_is_within(w->ring, index, d->key->tenant)
		    : !ks_sight_covers(w->ring, &sight, index))
		return false;
	d->root = index;
	return true;
}

static enum ks_lookup_detail find_asserted(struct walk *w)
{
	const struct ks_assertion *assertion = w->request->assertion;
	enum ks_lookup_detail detail;

	if (!assertion || assertion->result == KS_ASSERTION_NONE)
		return KS_LOOKUP_ISSUER;
	if (assertion->result != KS_ASSERTION_OK)
		return assertion->detail == KS_LOOKUP_NONE ? KS_LOOKUP_ISSUER : assertion->detail;
	w->d->assertion = *assertion;
	w->d->is_asserted = true;
	if (!find_slot(w, &assertion->ref))
		return KS_LOOKUP_JWT_ORIGIN;
	if (!is_origin(w->d)) {
		w->d->key = NULL;
		return KS_LOOKUP_JWT_ORIGIN;
	}
	detail = check_key(w);
	if (detail == KS_LOOKUP_NONE && !take_root(w))
		return KS_LOOKUP_JWT_TENANT;
	return detail;
}

static enum ks_reason step_lookup(struct walk *w)
{
	struct ks_decision *d = w->d;
	struct ks_digest digest;

	if (w->request->credential->form == KS_TOKEN_JWT) {
		d->lookup = find_asserted(w);
	} else {
		if (ks_sha256(w->request->credential->token, &digest) != KS_OK)
			return KS_REASON_STALE;
		d->lookup = find_key(w, &digest);
	}
	if (KS_LIKELY(d->lookup == KS_LOOKUP_NONE))
		return KS_REASON_OK;
	return ks_lookup_detail_is_expired(d->lookup) ? KS_REASON_CREDENTIAL_EXPIRED : KS_REASON_CREDENTIAL_INVALID;
}

/* ---- 3. path ---- */

static enum ks_reason step_path(struct walk *w)
{
	w->d->path_problem = w->path_problem;
	return w->path_problem == KS_PATH_OK ? KS_REASON_OK : KS_REASON_PATH_AMBIGUOUS;
}

/* ---- 4. route family ---- */

static enum ks_reason step_family(struct walk *w)
{
	w->d->rule = w->rule;
	return w->rule ? KS_REASON_OK : KS_REASON_ROUTE_UNKNOWN;
}

/* ---- 5. kind ---- */

static enum ks_reason step_kind(struct walk *w)
{
	return w->rule->kinds & KS_KIND_BIT(KS_KEY_KIND(w->d->state)) ? KS_REASON_OK : KS_REASON_KIND_NOT_ALLOWED;
}

/* ---- 6. environment and address ---- */

static bool is_address_allowed(const struct walk *w)
{
	const struct ks_ring_grant *grant = w->d->grant;
	const struct ks_cidr *cidrs;

	if (grant->cidr_count == 0)
		return true;
	if (!w->request->address_known)
		return false;
	cidrs = ks_ring_cidrs(w->ring, grant);
	for (uint32_t i = 0; i < grant->cidr_count; i++) {
		if (ks_cidr_has(&cidrs[i], &w->request->address))
			return true;
	}
	return false;
}

static enum ks_reason step_environment(struct walk *w)
{
	if (w->rule && !(w->rule->environments & KS_ENVIRONMENT_BIT(KS_KEY_ENVIRONMENT(w->d->state))))
		return KS_REASON_ENVIRONMENT_MISMATCH;
	return is_address_allowed(w) ? KS_REASON_OK : KS_REASON_ADDRESS_NOT_ALLOWED;
}

/* ---- 7. scopes ---- */

/* The active tenant that the header names, seen or not; KS_RING_NONE. */
static uint32_t named_tenant(const struct walk *w)
{
	enum ks_id_type type;
	uint32_t index;
	uint64_t id;

	if (!ks_id_parse_any(w->request->tenant, &type, &id))
		return KS_RING_NONE;
	index = ks_ring_tenant(w->ring, id);
	if (index == KS_RING_NONE || w->ring->tenants[index].kind != (uint8_t)type
	    || !is_active(&w->ring->tenants[index]))
		return KS_RING_NONE;
	return index;
}

/* The tenant on which a session's scopes count. */
static uint32_t scopes_tenant(const struct walk *w, const struct ks_sight *sight)
{
	uint32_t named = KS_RING_NONE;

	if (w->rule && !w->request->tenant_repeated && !ks_str_empty(w->request->tenant))
		named = named_tenant(w);
	return named != KS_RING_NONE && ks_sight_covers(w->ring, sight, named) ? named : own_tenant(w->d);
}

/* What a JWT is not narrowed to is gone. */
static void narrow(const struct walk *w, struct ks_scopes *scopes)
{
	const struct ks_assertion *assertion = &w->d->assertion;
	struct ks_str family = ks_str_of(assertion->family, strnlen(assertion->family, KS_FAMILY_NAME_MAX));

	if (assertion->has_scopes)
		ks_scopes_keep(scopes, &assertion->scopes);
	if (!ks_str_empty(family) && w->rule && !ks_str_eq(family, ks_rule_family(w->d->policy, w->rule)))
		*scopes = (struct ks_scopes){{0}};
}

/* The scopes of what is no key by its token. */
static void find_scopes(struct walk *w)
{
	struct ks_decision *d = w->d;

	if (is_session(d)) {
		struct ks_sight sight = sight_of(d);

		ks_sight_scopes(w->ring, &sight, scopes_tenant(w, &sight), &d->own_scopes);
	} else {
		d->own_scopes = d->grant->scopes;
	}
	if (d->is_asserted)
		narrow(w, &d->own_scopes);
	d->has_own_scopes = true;
}

static enum ks_reason step_scope(struct walk *w)
{
	const struct ks_scopes *held;

	if (KS_UNLIKELY(!w->is_key))
		find_scopes(w);
	held = ks_decision_scopes(w->d);
	for (uint8_t i = 0; i < w->rule->scope_count; i++) {
		if (!ks_scopes_has(held, w->rule->scopes[i])) {
			w->d->missing_scope = w->rule->scopes[i];
			return KS_REASON_SCOPE_MISSING;
		}
	}
	/* Whoever holds a scope that the rule names has one. */
	return w->rule->scope_count == 0 && ks_scopes_empty(held) ? KS_REASON_SCOPE_MISSING : KS_REASON_OK;
}

/* ---- 8. tenant ---- */

static enum ks_reason choose_tenant(struct walk *w)
{
	enum ks_tenant_header header = (enum ks_tenant_header)w->rule->tenant_header;
	bool partner = KS_KEY_KIND(w->d->state) == KS_KIND_PARTNER;
	struct ks_sight sight;
	uint32_t named;

	if (w->request->tenant_repeated)
		return KS_REASON_TENANT_FORBIDDEN;
	if (ks_str_empty(w->request->tenant)) {
		w->d->tenant = own_tenant(w->d);
		if (w->d->root != KS_RING_NONE)
			return KS_REASON_OK;
		if (header == KS_TENANT_HEADER_REQUIRED || (header == KS_TENANT_HEADER_REQUIRED_FOR_PARTNER && partner))
			return KS_REASON_TENANT_REQUIRED;
		return KS_REASON_OK;
	}
	if (header == KS_TENANT_HEADER_REFUSED)
		return KS_REASON_TENANT_FORBIDDEN;
	named = named_tenant(w);
	if (named == KS_RING_NONE)
		return KS_REASON_TENANT_FORBIDDEN;
	sight = sight_of(w->d);
	if (!ks_sight_sees(w->ring, &sight, named))
		return KS_REASON_TENANT_FORBIDDEN;
	w->d->tenant = named;
	return KS_REASON_OK;
}

/* The ancestors that an inherited family may be read from. */
static void walk_up(struct walk *w)
{
	const struct ks_ring_tenant *tenant = &w->ring->tenants[w->d->tenant];
	struct ks_str method = w->request->method;

	if (w->d->organization == KS_RING_NONE)
		return;
	if (!ks_str_eq(method, KS_STR("GET")) && !ks_str_eq(method, KS_STR("HEAD")))
		return;
	for (uint8_t depth = tenant->depth; depth > 0 && tenant->path[depth] != w->d->organization; depth--)
		w->d->inherited[w->d->inherited_count++] = tenant->path[depth - 1];
}

/* The first root of what is seen. A JWT's own tenant may be one where its session lacks what it has further below. */
static uint32_t first_root(const struct walk *w)
{
	struct ks_decision *d = w->d;
	struct ks_sight sight;

	if (KS_KEY_BINDING(d->state) == KS_BINDING_PARTNER)
		return d->tenant;
	if (KS_LIKELY(d->root == KS_RING_NONE))
		return d->key->tenant;
	sight = sight_of(d);
	return ks_sight_sees(w->ring, &sight, d->root) ? d->root : d->tenant;
}

static enum ks_reason step_tenant(struct walk *w)
{
	struct ks_decision *d = w->d;
	enum ks_reason reason = KS_REASON_OK;

	if (KS_KEY_BINDING(d->state) == KS_BINDING_USER && d->root == KS_RING_NONE)
		d->memberships = ks_ring_memberships_of(w->ring, w->own->user);
	if (w->rule)
		reason = choose_tenant(w);
	else
		d->tenant = own_tenant(d);
	if (reason != KS_REASON_OK)
		return reason;
	if (KS_UNLIKELY(!d->rule && !w->is_key))
		find_scopes(w);
	d->visible_own = first_root(w);
	d->organization = w->ring->tenants[d->tenant].organization;
	if (w->rule && w->rule->inherited)
		walk_up(w);
	return KS_REASON_OK;
}

/* ---- 9. rate limit ---- */

static enum ks_reason step_rate(struct walk *w)
{
	const struct ks_ring_grant *grant = w->d->grant;

	if (grant->rate_requests == 0 || !w->ring->usage)
		return KS_REASON_OK;
	if (!ks_usage_take(w->ring->usage, w->d->key->id, grant->rate_requests, grant->rate_window_s,
			   w->request->now_ms, &w->d->rate))
		return KS_REASON_RATE_LIMITED;
	return KS_REASON_OK;
}

/* ---- the list ---- */

/* STEP(name, its function, asked also of a credential alone) */
#define STEPS(STEP)                              \
	STEP(LEASE, step_lease, true)            \
	STEP(PARSE, step_parse, true)            \
	STEP(LOOKUP, step_lookup, true)          \
	STEP(PATH, step_path, false)             \
	STEP(FAMILY, step_family, false)         \
	STEP(KIND, step_kind, false)             \
	STEP(ENVIRONMENT, step_environment, true) \
	STEP(SCOPE, step_scope, false)           \
	STEP(TENANT, step_tenant, true)          \
	STEP(RATE, step_rate, false)

/* A list and not a table, so that the compiler sees through it: one decision has no more than a hundred nanoseconds
 * of its own. */
static inline enum ks_reason take_steps(struct walk *w, enum ks_step *ret_step)
{
	bool all = !w->request->credential_alone;
	enum ks_reason reason;

#define STEP(name, run, alone)                            \
	*ret_step = KS_STEP_##name;                       \
	if (alone || all) {                               \
		reason = run(w);                          \
		if (KS_UNLIKELY(reason != KS_REASON_OK))  \
			return reason;                    \
	}
	STEPS(STEP)
#undef STEP
	return KS_REASON_OK;
}

static void start(struct ks_decision *d, const struct ks_policy_table *policy)
{
	d->lookup = KS_LOOKUP_NONE;
	d->path_problem = KS_PATH_OK;
	d->missing_scope = KS_DECISION_NO_SCOPE;
	d->key = NULL;
	d->slot = 0;
	d->state = 0;
	d->grant = NULL;
	d->rule = NULL;
	d->policy = policy;
	d->tenant = KS_RING_NONE;
	d->organization = KS_RING_NONE;
	d->visible_own = KS_RING_NONE;
	d->memberships = NULL;
	d->inherited_count = 0;
	d->rate = (struct ks_rate){0};
	d->has_own_scopes = false;
	d->is_asserted = false;
	d->root = KS_RING_NONE;
}

static void count_use(const struct walk *w)
{
	static const struct ks_addr unknown;
	const struct ks_request *request = w->request;
	const struct ks_decision *d = w->d;
	uint16_t scope = d->rule ? d->rule->usage_class : KS_USAGE_NO_SCOPE;

	ks_usage_count(w->ring->usage, d->slot, d->reason, scope, request->now_ms,
		       request->address_known ? &request->address : &unknown);
}

void ks_decide(const struct ks_ring *ring, enum ks_ring_policy which, const struct ks_request *request,
	       struct ks_path *scratch, struct ks_decision *ret_decision)
{
	struct walk w = {.ring = ring, .request = request, .path = scratch, .d = ret_decision};

	start(ret_decision, ks_ring_policy_table(ring, which));
	ret_decision->reason = take_steps(&w, &ret_decision->step);
	if (ring->usage && ret_decision->key)
		count_use(&w);
}

bool ks_decision_sees(const struct ks_ring *ring, const struct ks_decision *decision, uint32_t index)
{
	struct ks_sight sight;

	if (decision->reason != KS_REASON_OK || index == KS_RING_NONE)
		return false;
	sight = sight_of(decision);
	return ks_sight_sees(ring, &sight, index);
}

bool ks_decision_is_root(const struct ks_ring *ring, const struct ks_decision *decision,
			 const struct ks_ring_membership *membership)
{
	if (!is_active(&ring->tenants[membership->tenant]))
		return false;
	return !is_session(decision) || ks_decision_sees(ring, decision, membership->tenant);
}
