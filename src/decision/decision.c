/* SPDX-License-Identifier: Apache-2.0 */
#include "decision/decision.h"

/* One decision on its way. */
struct walk {
	const struct ks_ring *ring;
	const struct ks_request *request;
	struct ks_path *path;
	struct ks_decision *d;
	const struct ks_ring_tenant *own;   /* the key's tenant, from step 2 on */
	int64_t ends_ms;                    /* the key's end, likewise */

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

/* Starts loading what the slot refers to, and reads the slot's two changing words. The end comes first: a rotation sets
 * ROTATED_OUT before the end, so that a key whose new end is seen here is also seen to be rotated out. */
static void take_key(struct walk *w, const struct ks_ring_key *key)
{
	struct ks_decision *d = w->d;

	ks_ring_prefetch_record(w->ring, key, d->slot);
	w->own = &w->ring->tenants[key->tenant];
	w->ends_ms = atomic_load_explicit(&key->ends_ms, memory_order_acquire);
	d->key = key;
	d->grant = &w->ring->grants[key->grant];
	d->state = atomic_load_explicit(&key->state, memory_order_acquire);
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

/* What is wrong with a key that exists, in the order of the page. */
static enum ks_lookup_detail check_key(const struct walk *w)
{
	const struct ks_credential *credential = w->request->credential;
	uint32_t state = w->d->state;

	if (state & KS_KEY_REVOKED)
		return KS_LOOKUP_REVOKED;
	if (w->request->now_ms >= w->ends_ms && w->ends_ms != INT64_MAX)
		return state & KS_KEY_ROTATED_OUT ? KS_LOOKUP_ROTATED_OUT : KS_LOOKUP_EXPIRED;
	if (!is_active(w->own))
		return KS_LOOKUP_TENANT_INACTIVE;
	if (KS_KEY_BINDING(state) == KS_BINDING_USER && is_user_disabled(w))
		return KS_LOOKUP_USER_DISABLED;
	if (!(credential->kinds & KS_KIND_BIT(KS_KEY_KIND(state))))
		return KS_LOOKUP_CARRIER;
	if (credential->presented == KS_PRESENTED_BASIC)
		return check_basic(w);
	return KS_LOOKUP_NONE;
}

static enum ks_lookup_detail find_key(struct walk *w, const struct ks_digest *digest)
{
	uint64_t home = ks_ring_prefetch_key(w->ring, digest);
	const struct ks_ring_key *key;

	if (!w->request->credential_alone)
		read_route(w);
	key = ks_ring_key(w->ring, digest, home, &w->d->slot);
	if (!key)
		return KS_LOOKUP_UNKNOWN;
	take_key(w, key);
	return check_key(w);
}

static enum ks_reason step_lookup(struct walk *w)
{
	struct ks_decision *d = w->d;
	struct ks_digest digest;

	if (w->request->credential->form == KS_TOKEN_JWT) {
		d->lookup = KS_LOOKUP_ISSUER;
		return KS_REASON_CREDENTIAL_INVALID;
	}
	if (ks_sha256(w->request->credential->token, &digest) != KS_OK)
		return KS_REASON_STALE;
	d->lookup = find_key(w, &digest);
	if (d->lookup == KS_LOOKUP_NONE)
		return KS_REASON_OK;
	return d->lookup == KS_LOOKUP_EXPIRED ? KS_REASON_CREDENTIAL_EXPIRED : KS_REASON_CREDENTIAL_INVALID;
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

static enum ks_reason step_scope(struct walk *w)
{
	const struct ks_scopes *held = &w->d->grant->scopes;

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

static bool user_sees(const struct ks_ring *ring, const struct ks_ring_memberships *memberships, uint32_t index)
{
	if (!memberships || ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL)
		return false;
	for (uint32_t i = 0; i < memberships->count; i++) {
		const struct ks_ring_membership *m = &memberships->items[i];

		if ((m->tenant == index || (m->below && ks_ring_is_within(ring, index, m->tenant)))
		    && is_active(&ring->tenants[m->tenant]))
			return true;
	}
	return false;
}

static bool partner_sees(const struct ks_ring *ring, const struct ks_rule *rule, uint32_t own, uint32_t index)
{
	const struct ks_ring_tenant *tenant = &ring->tenants[index];

	if (index == own)
		return !rule || (rule->tenant_header != KS_TENANT_HEADER_REQUIRED
				 && rule->tenant_header != KS_TENANT_HEADER_REQUIRED_FOR_PARTNER);
	return tenant->kind == KS_TENANT_KIND_ORGANIZATION && tenant->depth > 0
	       && tenant->path[tenant->depth - 1] == own;
}

/* The page's table of what a credential sees. */
static bool sees(const struct ks_ring *ring, const struct ks_decision *d, uint32_t index)
{
	uint32_t own = d->key->tenant;

	switch (KS_KEY_BINDING(d->state)) {
	case KS_BINDING_OPERATOR:
		return true;
	case KS_BINDING_PARTNER:
		return partner_sees(ring, d->rule, own, index);
	case KS_BINDING_USER:
		return index == own || user_sees(ring, d->memberships, index);
	case KS_BINDING_ORGANIZATION:
	case KS_BINDING_SUB_ENTITY:
	case KS_BINDING_PROJECT:
		return ring->tenants[index].kind != KS_TENANT_KIND_PERSONAL && ks_ring_is_within(ring, index, own);
	case KS_BINDING_COUNT:
		break;
	}
	return false;
}

/* The tenant that the header names; KS_RING_NONE unless it is seen and active. */
static uint32_t named_tenant(const struct walk *w)
{
	enum ks_id_type type;
	uint32_t index;
	uint64_t id;

	if (!ks_id_parse_any(w->request->tenant, &type, &id))
		return KS_RING_NONE;
	index = ks_ring_tenant(w->ring, id);
	if (index == KS_RING_NONE || w->ring->tenants[index].kind != (uint8_t)type)
		return KS_RING_NONE;
	if (!is_active(&w->ring->tenants[index]) || !sees(w->ring, w->d, index))
		return KS_RING_NONE;
	return index;
}

static enum ks_reason choose_tenant(struct walk *w)
{
	enum ks_tenant_header header = (enum ks_tenant_header)w->rule->tenant_header;
	bool partner = KS_KEY_KIND(w->d->state) == KS_KIND_PARTNER;

	if (w->request->tenant_repeated)
		return KS_REASON_TENANT_FORBIDDEN;
	if (ks_str_empty(w->request->tenant)) {
		if (header == KS_TENANT_HEADER_REQUIRED || (header == KS_TENANT_HEADER_REQUIRED_FOR_PARTNER && partner))
			return KS_REASON_TENANT_REQUIRED;
		w->d->tenant = w->d->key->tenant;
		return KS_REASON_OK;
	}
	if (header == KS_TENANT_HEADER_REFUSED)
		return KS_REASON_TENANT_FORBIDDEN;
	w->d->tenant = named_tenant(w);
	return w->d->tenant == KS_RING_NONE ? KS_REASON_TENANT_FORBIDDEN : KS_REASON_OK;
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

static enum ks_reason step_tenant(struct walk *w)
{
	struct ks_decision *d = w->d;
	enum ks_reason reason = KS_REASON_OK;

	if (KS_KEY_BINDING(d->state) == KS_BINDING_USER)
		d->memberships = ks_ring_memberships_of(w->ring, w->own->user);
	if (w->rule)
		reason = choose_tenant(w);
	else
		d->tenant = d->key->tenant;
	if (reason != KS_REASON_OK)
		return reason;
	d->visible_own = KS_KEY_BINDING(d->state) == KS_BINDING_PARTNER ? d->tenant : d->key->tenant;
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
	return decision->reason == KS_REASON_OK && index != KS_RING_NONE && sees(ring, decision, index);
}
