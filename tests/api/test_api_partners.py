"""Partners: they provision organizations within their namespace, act in one at a time through X-Tenant-Id and never in
another's, and the audit names both."""
import pytest

from api_service import Api, OWN_SCOPES, new_key, pointers, same_problem, unique

SCOPES = [
    *OWN_SCOPES,
    "contacts:read",
    "contacts:write",
    "billing:partner:read",
    "partner:tenants:read",
    "partner:tenants:write",
]
NOBODY = "org_0m6xwq3k2r4t8"


@pytest.fixture(scope="module")
def namespaces(world, operator):
    """Two partners, each with its key and two organizations that it has provisioned itself."""
    made = []
    for _ in range(2):
        partner = operator.make_tenant("partner")["id"]
        key = operator.make_key(tenant=partner, scopes=SCOPES)
        caller = Api(world.daemon, key["token"])
        orgs = [caller.make_tenant("organization")["id"] for _ in range(2)]
        made.append((partner, key, caller, orgs))
    return made


def newest(api, action):
    return api.get(f"/v1/audit?action={action}&limit=1").json["items"][0]


# ---- provisioning ----


def test_a_partner_provisions_within_its_namespace(world, operator, namespaces):
    partner, key, caller, _ = namespaces[0]
    email = unique("ada") + "@partner.test"
    made = caller.post(
        "/v1/tenants",
        {
            "kind": "organization",
            "name": "Provisioned",
            "administrator": {"email": email},
            "first_key": new_key(scopes=["contacts:read"]),
        },
    ).json
    assert (made["parent"], made["organization"]) == (partner, made["id"])
    assert (made["first_key"]["kind"], made["first_key"]["binding"], made["first_key"]["tenant"]) == (
        "tenant",
        "organization",
        made["id"],
    )
    answer = world.daemon.authorize(made["first_key"]["token"])
    assert (answer.status, answer.headers["X-Keystile-Organization"]) == (200, made["id"])
    # Its new organization can be acted in at once.
    assert caller.on_behalf(made["id"]).get("/v1/keys").json["items"][0]["id"] == made["first_key"]["id"]
    for action, thing in (
        ("tenant.create", made["id"]),
        ("key.create", made["first_key"]["id"]),
        ("user.create", made["administrator"]["id"]),
    ):
        entry = newest(operator, action)
        assert (entry["actor"], entry["object"], entry["organization"]) == (key["id"], thing, made["id"])


def test_a_partner_provisions_nowhere_else(world, namespaces):
    partner, _, caller, orgs = namespaces[0]
    theirs = namespaces[1]
    missing = caller.post(
        "/v1/tenants", {"kind": "organization", "name": "x", "parent": NOBODY}, expect=403, code="tenant_forbidden"
    )
    for parent in (world.root, theirs[0], theirs[3][0], world.acme, world.partner):
        for kind in ("organization", "partner", "sub_entity", "project"):
            answer = caller.post("/v1/tenants", {"kind": kind, "name": "x", "parent": parent}, expect=None)
            assert (answer.status, answer.code) == (403, "tenant_forbidden") and same_problem(answer, missing)
    for kind, parent in (("partner", partner), ("organization", orgs[0]), ("sub_entity", partner)):
        caller.post("/v1/tenants", {"kind": kind, "name": "x", "parent": parent}, expect=422, code="invalid")


def test_what_a_partner_gives_is_its_own_to_give(operator, namespaces):
    partner, _, caller, orgs = namespaces[0]
    slug = unique("none")
    for scopes in (["voice_calls:write"], ["billing:tenant:read"]):
        body = {"kind": "organization", "name": "x", "slug": slug, "first_key": new_key(scopes=scopes)}
        answer = caller.post("/v1/tenants", body, expect=403, code="not_grantable")
        assert pointers(answer) == ["/first_key/scopes/0"]
        caller.on_behalf(orgs[0]).post("/v1/keys", new_key(scopes=scopes), expect=403, code="not_grantable")
    # Scopes of partners are for no organization's key.
    caller.on_behalf(orgs[0]).post("/v1/keys", new_key(scopes=["billing:partner:read"]), expect=422, code="invalid")
    assert slug not in {t["slug"] for t in operator.pages(f"/v1/tenants?parent={partner}", 500)}


# ---- acting in one organization ----


def test_both_identities_stand_in_the_audit(operator, namespaces):
    _, key, caller, orgs = namespaces[0]
    inside = caller.on_behalf(orgs[0])
    made = inside.make_key(scopes=["contacts:read"])
    sub = inside.make_tenant("sub_entity")["id"]
    below = inside.make_key(tenant=sub)["id"]
    inside.patch(f"/v1/keys/{made['id']}", {"name": "renamed"})
    successor = inside.post(f"/v1/keys/{made['id']}/rotate", {}).json["id"]
    inside.delete(f"/v1/keys/{successor}")
    user = inside.post("/v1/users", {"organization": orgs[0], "email": unique("u") + "@partner.test"}).json["id"]
    # A role gives more than this key has.
    inside.put(f"/v1/tenants/{sub}/members/{user}", {"role": "member"}, expect=403, code="not_grantable")
    inside.post(f"/v1/tenants/{sub}/suspend", expect=200)
    entries = [e for e in inside.pages("/v1/audit", 500) if e["on_behalf"]]
    assert [(e["action"], e["object"]) for e in reversed(entries)][:5] == [
        ("key.create", made["id"]),
        ("tenant.create", sub),
        ("key.create", below),
        ("key.rename", made["id"]),
        ("key.create", successor),
    ]
    assert {"key.rotate", "key.revoke", "user.create", "tenant.suspend"} <= {e["action"] for e in entries}
    for entry in entries:
        assert (entry["actor"], entry["on_behalf"], entry["organization"]) == (key["id"], orgs[0], orgs[0])
    # The organization's administrator reads the same, but for the id of the partner's key, which it does not see.
    administrator = operator.as_key(tenant=orgs[0], scopes=["keystile:audit:read"])
    told = [e for e in administrator.pages("/v1/audit", 500) if e["on_behalf"]]
    assert told == [{**e, "actor": "partner"} for e in entries]
    # The other organization's administrator sees none of it.
    other = operator.as_key(tenant=orgs[1], scopes=["keystile:audit:read"])
    assert not {e["id"] for e in entries} & {e["id"] for e in other.pages("/v1/audit", 500)}


def test_a_partner_sees_one_organization_at_a_time(world, namespaces):
    _, key, caller, orgs = namespaces[0]
    token = key["token"]
    made = [caller.on_behalf(o).make_key(scopes=["contacts:read"])["id"] for o in orgs]
    for mine, other in ((0, 1), (1, 0)):
        inside = caller.on_behalf(orgs[mine])
        assert made[mine] in {k["id"] for k in inside.pages("/v1/keys", 500)}
        assert not {made[other], orgs[other]} & {
            x for k in inside.pages("/v1/keys", 500) for x in (k["id"], k["tenant"])
        }
        inside.get(f"/v1/keys/{made[other]}", expect=404, code="not_found")
        inside.get(f"/v1/tenants/{orgs[other]}", expect=404, code="not_found")
        inside.delete(f"/v1/keys/{made[other]}", expect=404, code="not_found")
        inside.get(f"/v1/keys?tenant={orgs[other]}", expect=403, code="tenant_forbidden")
        inside.post("/v1/keys", new_key(tenant=orgs[other]), expect=403, code="tenant_forbidden")
        answer = world.daemon.authorize(token, headers={"X-Tenant-Id": orgs[mine]})
        assert answer.headers["X-Keystile-Visible"] == answer.headers["X-Keystile-Tenant"] == orgs[mine]
        assert (answer.headers["X-Keystile-Kind"], answer.headers["X-Keystile-Principal"]) == ("partner", key["id"])


def test_a_partner_never_acts_in_anothers(world, namespaces):
    _, key, caller, orgs = namespaces[0]
    partner, _, theirs, foreign = namespaces[1]
    their_key = theirs.on_behalf(foreign[0]).make_key(scopes=["contacts:read"])["id"]
    their_sub = theirs.on_behalf(foreign[0]).make_tenant("sub_entity")["id"]
    my_sub = caller.on_behalf(orgs[0]).make_tenant("sub_entity")["id"]
    for tenant in (foreign[0], their_sub, partner, world.acme, world.root, my_sub):
        # Not even one's own organization's part: organizations alone are named.
        answer = caller.on_behalf(tenant).get("/v1/keys", expect=403, code="tenant_forbidden")
        assert same_problem(answer, caller.on_behalf(NOBODY).get("/v1/keys", expect=403))
        assert world.daemon.authorize(key["token"], headers={"X-Tenant-Id": tenant}).code == "tenant_forbidden"
    for target in (
        f"/v1/keys/{their_key}",
        f"/v1/tenants/{foreign[0]}",
        f"/v1/tenants/{their_sub}",
        f"/v1/tenants/{partner}",
    ):
        for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"name": "mine"})):
            for api in (caller, caller.on_behalf(orgs[0])):
                api.call(method, target, body, expect=404, code="not_found")
    assert theirs.on_behalf(foreign[0]).get(f"/v1/keys/{their_key}").json["status"] == "active"


def test_where_the_tenant_header_is_required_or_refused(world, operator, namespaces):
    partner, key, _, orgs = namespaces[0]
    strong = operator.make_key(
        tenant=partner, scopes=["billing:partner:read", "billing:partner:allocate", "contacts:read"]
    )["token"]

    def code(method, uri, tenant=None):
        answer = world.daemon.call(
            "GET",
            "/v1/authorize",
            headers={
                "X-Forwarded-Method": method,
                "X-Forwarded-Uri": uri,
                **({"X-Tenant-Id": tenant} if tenant else {}),
            },
            token=strong,
        )
        return answer.status, answer.code

    assert code("GET", "/api/v1/contacts") == (400, "tenant_required")
    assert code("GET", "/api/v1/contacts", orgs[0]) == (200, None)
    assert code("GET", "/api/v1/contacts", partner) == (403, "tenant_forbidden")
    assert code("GET", "/api/v1/billing/partner") == (200, None)
    assert code("GET", "/api/v1/billing/partner", orgs[0]) == (403, "tenant_forbidden")
    assert code("POST", "/api/v1/billing/partner/allocations") == (400, "tenant_required")
    assert code("POST", "/api/v1/billing/partner/allocations", orgs[1]) == (200, None)


def test_a_suspended_partner_stops_with_all_that_is_below(world, operator):
    partner = operator.make_tenant("partner")["id"]
    org = operator.make_tenant("organization", partner)["id"]
    keys = [operator.make_key(tenant=t, scopes=["contacts:read"])["token"] for t in (partner, org)]

    def statuses():
        return [world.daemon.authorize(k, headers={"X-Tenant-Id": org}).status for k in keys]

    assert statuses() == [200, 200]
    operator.post(f"/v1/tenants/{partner}/suspend", expect=200)
    assert statuses() == [401, 401]
    operator.post(f"/v1/tenants/{partner}/resume", expect=200)
    assert statuses() == [200, 200]


def test_partner_keys_come_from_the_operator_and_the_partner(world, operator, namespaces):
    partner, _, caller, orgs = namespaces[0]
    for api in (operator, caller):
        made = api.make_key(tenant=partner, scopes=["contacts:read"])
        assert (made["kind"], made["binding"]) == ("partner", "partner")
    for place in ("acme", "other"):
        world.caller(getattr(world, place)).post(
            "/v1/keys", new_key(tenant=partner), expect=403, code="tenant_forbidden"
        )
    caller.on_behalf(orgs[0]).post("/v1/keys", new_key(tenant=partner), expect=403, code="tenant_forbidden")
    caller.on_behalf(orgs[0]).post("/v1/keys", new_key(kind="partner"), expect=422, code="invalid")
