"""People of those above the organizations: the operator's own, and a partner's."""
from api_service import new_key, pointers, unique
from people import Person


def ids(items):
    return {item["id"] for item in items}


def test_the_operators_own_people_have_no_organization(world, operator):
    ada = Person(world, world.root)
    record = operator.get(f"/v1/users/{ada.id}").json
    assert record["organization"] is None
    personal = operator.get(f"/v1/tenants/{ada.personal}").json
    assert (personal["parent"], personal["organization"], personal["user"]) == (world.root, None, ada.id)
    assert ada.id in ids(operator.pages(f"/v1/users?organization={world.root}", 100))
    assert ada.id not in ids(operator.pages(f"/v1/users?organization={world.acme}", 100))
    # They are named as such: nobody becomes one because an id was forgotten, or another was given.
    for home in ({}, *({"organization": t} for t in (world.partner, world.sub, world.project))):
        answer = operator.post("/v1/users", {"email": unique("x") + "@operator.test", **home}, expect=422, code="invalid")
        assert pointers(answer) == ["/organization"]
    # What concerns the account is in the operator's own audit and events.
    for action in ("user.create", "user.accept", "session.start"):
        ada.session()
        entries = operator.get(f"/v1/audit?tenant={world.root}&action={action}&limit=20").json["items"]
        assert world.root in {e["tenant"] for e in entries}, action
    assert ada.id in {e["object"] for e in operator.get(f"/v1/events?tenant={world.root}&type=user.invited&limit=500").json["items"]}
    assert world.owner.post("/v1/ring/check", expect=200).json["equal"]


def test_the_operators_own_people_reach_what_their_roles_give(world, operator):
    ada, bob = Person(world, world.root), Person(world, world.root)
    session = ada.session()
    for tenant in (world.root, world.acme):
        session.at(tenant).get("/v1/keys", expect=403)
    ada.role(world.root, "account_reader")
    assert bob.id in ids(session.at(world.root).pages("/v1/users", 100))
    session.at(world.acme).get("/v1/keys", expect=403)
    ada.role(world.root, "administrator")
    at_root, at_acme = session.at(world.root), session.at(world.acme)
    made = at_acme.post("/v1/keys", new_key(tenant=world.acme, scopes=["contacts:read"])).json
    assert made["created_by"] == ada.id and world.daemon.authorize(made["token"]).status == 200
    assert at_root.post("/v1/tenants", {"kind": "partner", "parent": world.root, "name": unique("partner")}).json["parent"] == world.root
    # Of her colleagues she takes care, and in a program as in the console.
    assert at_root.post(f"/v1/users/{bob.id}/disable", expect=200).json["status"] == "disabled"
    bob.login(expect=401)
    jwt = ada.login(**{"as": "jwt"}).json["token"]
    answer = world.daemon.authorize(jwt, uri="/api/v1/settings", headers={"X-Tenant-Id": world.acme})
    assert (answer.status, answer.headers["X-Keystile-Kind"], answer.headers["X-Keystile-Tenant"]) == (200, "session", world.acme)
    # At once out again.
    operator.delete(f"/v1/tenants/{world.root}/members/{ada.id}")
    at_acme.get("/v1/keys", expect=403)
    assert world.daemon.authorize(jwt, uri="/api/v1/settings", headers={"X-Tenant-Id": world.acme}).status == 403


def test_the_operators_own_people_are_nobody_to_organizations(world, operator):
    ada = Person(world, world.root).role(world.root, "administrator")
    made = ada.session().at(world.acme).post("/v1/keys", new_key(tenant=world.acme)).json
    boss = Person(world, world.acme).role(world.acme, "administrator").session().at(world.acme)
    for caller in (boss, world.caller(world.acme), world.caller(world.partner)):
        caller.get(f"/v1/users/{ada.id}", expect=404, code="not_found")
        caller.post(f"/v1/users/{ada.id}/disable", expect=404, code="not_found")
        caller.post(f"/v1/users/{ada.id}/invitation", expect=404, code="not_found")
        caller.post("/v1/users", {"organization": world.root, "email": unique("x") + "@acme.test"}, expect=403, code="tenant_forbidden")
        assert ada.email.encode() not in caller.get("/v1/users?limit=500").body
    # What she did there is told as the operator's doing.
    assert boss.get(f"/v1/keys/{made['id']}").json["created_by"] == "operator"
    entries = boss.get(f"/v1/audit?tenant={world.acme}&action=key.create&limit=5").json["items"]
    assert [e["actor"] for e in entries if e["object"] == made["id"]] == ["operator"]


def test_a_partners_administrators(world, operator):
    office = operator.make_tenant("organization", world.partner)["id"]
    eve = Person(world, office).role(world.partner, "administrator")
    session = eve.session()
    at_partner = session.at(world.partner)
    made = at_partner.post("/v1/keys", new_key(kind="partner", tenant=world.partner, scopes=["contacts:read"])).json
    assert (made["kind"], made["binding"], made["created_by"]) == ("partner", "partner", eve.id)
    answer = world.daemon.authorize(made["token"], headers={"X-Tenant-Id": world.first})
    assert (answer.status, answer.headers["X-Keystile-Tenant"]) == (200, world.first)
    provisioned = at_partner.post("/v1/tenants", {"kind": "organization", "parent": world.partner, "name": unique("customer")}).json
    assert provisioned["parent"] == world.partner
    for organization in (world.first, world.second, provisioned["id"]):
        assert session.at(organization).get(f"/v1/tenants/{organization}").json["id"] == organization
    # Never in another's, nor above.
    for tenant in (world.acme, world.other, world.root):
        session.at(tenant).get("/v1/keys", expect=403, code="tenant_forbidden")
        at_partner.get(f"/v1/tenants/{tenant}", expect=404, code="not_found")
        at_partner.post("/v1/keys", new_key(tenant=tenant), expect=403, code="tenant_forbidden")
    # Not the operator alone appoints: who sees both the partner and the person does.
    mallory = Person(world, office)
    at_partner.put(f"/v1/tenants/{world.partner}/members/{mallory.id}", {"role": "account_reader"})
    operator.delete(f"/v1/tenants/{world.partner}/members/{eve.id}")
    at_partner.get("/v1/keys", expect=403)
