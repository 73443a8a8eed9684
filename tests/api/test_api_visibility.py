"""What a caller does not see is answered exactly as what does not exist."""
import pytest

from api_service import new_key, plain_user, same_problem, unique

PLACES = ["root", "partner", "first", "second", "acme", "sub", "nested", "project", "other"]

# What keys on each place see: decision.md, step 8.
SEES = {
    "acme": {"acme", "sub", "nested", "project"},
    "sub": {"sub", "nested"},
    "nested": {"nested"},
    "project": {"project"},
    "other": {"other"},
    "partner": {"partner", "first", "second"},
    "root": set(PLACES),
}


@pytest.fixture(scope="module")
def things(world, operator):
    """One key and its record on every place, and a user of every organization."""
    keys = {p: operator.make_key(tenant=getattr(world, p))["id"] for p in PLACES}
    users = {p: operator.post("/v1/users", {"organization": getattr(world, p), "email": unique(p) + "@x.test"}).json
             for p in ("first", "second", "acme", "other")}
    return keys, users


@pytest.fixture(scope="module")
def callers(world):
    return {place: world.caller(getattr(world, place)) for place in SEES}


KEY_CALLS = [("GET", "", None), ("GET", "/usage", None), ("PATCH", "", {"name": "mine"}),
             ("POST", "/rotate", {"overlap_s": 60}), ("DELETE", "", None)]
TENANT_CALLS = [("GET", "", None), ("PATCH", "", {"name": "mine"}), ("GET", "/members", None),
                ("POST", "/suspend", None),
                ("POST", "/resume", None), ("DELETE", "", None)]
USER_CALLS = [("GET", "", None), ("POST", "/disable", None), ("POST", "/enable", None), ("POST", "/invitation", None),
              ("DELETE", "/invitation", None), ("DELETE", "/totp", None), ("GET", "/sessions", None),
              ("DELETE", "/sessions", None)]


@pytest.mark.parametrize("place", [p for p in SEES if p != "root"])
def test_foreign_keys(world, operator, callers, things, place):
    caller = callers[place]
    for method, suffix, body in KEY_CALLS:
        missing = caller.call(method, f"/v1/keys/key_0m6xwq3k2r4t8{suffix}", body, expect=404, code="not_found")
        for foreign in set(PLACES) - SEES[place]:
            answer = caller.call(method, f"/v1/keys/{things[0][foreign]}{suffix}", body, expect=404, code="not_found")
            assert same_problem(answer, missing)
    for foreign in PLACES:
        record = operator.get(f"/v1/keys/{things[0][foreign]}").json
        assert (record["status"], record["rotated_to"]) == ("active", None) and record["name"] != "mine"


@pytest.mark.parametrize("place", [p for p in SEES if p != "root"])
def test_foreign_tenants(world, operator, callers, place):
    caller = callers[place]
    for method, suffix, body in TENANT_CALLS:
        missing = caller.call(method, f"/v1/tenants/org_0m6xwq3k2r4t8{suffix}", body, expect=404, code="not_found")
        for foreign in set(PLACES) - SEES[place]:
            answer = caller.call(method, f"/v1/tenants/{getattr(world, foreign)}{suffix}", body, expect=404,
                                 code="not_found")
            assert same_problem(answer, missing)
    for foreign in PLACES:
        record = operator.get(f"/v1/tenants/{getattr(world, foreign)}").json
        assert record["status"] == "active" and record["name"] != "mine"


@pytest.mark.parametrize("place, sees", [("acme", {"acme"}), ("sub", set()), ("project", set()), ("other", {"other"}),
                                         ("partner", {"first", "second"})])
def test_foreign_users(callers, things, place, sees):
    caller = callers[place]
    users = things[1]
    assert {u["id"] for u in caller.pages("/v1/users",
                                          500)} & {u["id"] for u in users.values()} == {users[p]["id"] for p in sees}
    for method, suffix, body in USER_CALLS:
        missing = caller.call(method, f"/v1/users/usr_0m6xwq3k2r4t8{suffix}", body, expect=404, code="not_found")
        for foreign in set(users) - sees:
            assert same_problem(caller.call(method, f"/v1/users/{users[foreign]['id']}{suffix}", body, expect=404),
                                missing)
    for seen in sees:
        assert plain_user(caller.get(f"/v1/users/{users[seen]['id']}").json) == {**plain_user(users[seen]),
                                                                                 "created_by": "operator", "personal": None}


@pytest.mark.parametrize("place", list(SEES))
def test_what_is_seen_can_be_read(world, callers, things, place):
    for seen in SEES[place]:
        assert callers[place].get(f"/v1/tenants/{getattr(world, seen)}").json["id"] == getattr(world, seen)
        assert callers[place].get(f"/v1/keys/{things[0][seen]}").json["tenant"] == getattr(world, seen)


@pytest.mark.parametrize("place", list(SEES))
def test_lists_hold_what_is_seen_and_nothing_else(world, callers, things, place):
    visible = {getattr(world, p) for p in SEES[place]}
    known = {getattr(world, p) for p in PLACES}
    assert {t["id"] for t in callers[place].pages("/v1/tenants", 500)} & known == visible
    keys = {k["id"]: k["tenant"] for k in callers[place].pages("/v1/keys", 500)}
    assert set(keys.values()) & known == visible
    assert {things[0][p] for p in SEES[place]} == set(keys) & set(things[0].values())


@pytest.mark.parametrize("place", [p for p in SEES if p != "root"])
def test_nothing_is_made_under_a_foreign_tenant(world, callers, place):
    caller = callers[place]
    missing_key = caller.post("/v1/keys", new_key(tenant="org_0m6xwq3k2r4t8"), expect=403, code="tenant_forbidden")
    missing_tenant = caller.post("/v1/tenants", {"kind": "project", "name": "x", "parent": "org_0m6xwq3k2r4t8"},
                                 expect=403, code="tenant_forbidden")
    missing_list = caller.get("/v1/keys?tenant=org_0m6xwq3k2r4t8", expect=403, code="tenant_forbidden")
    missing_audit = caller.get("/v1/audit?tenant=org_0m6xwq3k2r4t8", expect=403, code="tenant_forbidden")
    for foreign in set(PLACES) - SEES[place]:
        tenant = getattr(world, foreign)
        assert same_problem(caller.post("/v1/keys", new_key(tenant=tenant), expect=403), missing_key)
        assert same_problem(caller.post("/v1/tenants", {"kind": "project", "name": "x", "parent": tenant}, expect=403),
                            missing_tenant)
        assert same_problem(caller.get(f"/v1/keys?tenant={tenant}", expect=403), missing_list)
        assert same_problem(caller.get(f"/v1/audit?tenant={tenant}", expect=403), missing_audit)
        caller.get(f"/v1/tenants?parent={tenant}", expect=403, code="tenant_forbidden")
        caller.get("/v1/keys", headers={"X-Tenant-Id": tenant}, expect=403, code="tenant_forbidden")


def test_foreign_users_get_no_keys_and_no_roles(world, callers, things):
    user = things[1]["other"]["id"]
    missing = callers["acme"].post("/v1/keys", new_key(user="usr_0m6xwq3k2r4t8"), expect=403, code="tenant_forbidden")
    assert same_problem(callers["acme"].post("/v1/keys", new_key(user=user), expect=403), missing)
    missing = callers["acme"].put(f"/v1/tenants/{world.acme}/members/usr_0m6xwq3k2r4t8", {"role": "member"}, expect=404,
                                  code="not_found")
    assert same_problem(callers["acme"].put(f"/v1/tenants/{world.acme}/members/{user}", {"role": "member"}, expect=404),
                        missing)


def test_a_parent_that_is_not_seen_is_not_told(world, callers):
    assert callers["acme"].get(f"/v1/tenants/{world.acme}").json["parent"] is None
    assert callers["sub"].get(f"/v1/tenants/{world.sub}").json["parent"] is None
    assert callers["sub"].get(f"/v1/tenants/{world.nested}").json["parent"] == world.sub
    assert callers["partner"].get(f"/v1/tenants/{world.first}").json["parent"] == world.partner


def test_a_user_key_sees_the_personal_tenant_and_memberships(world, operator, things):
    user = things[1]["acme"]
    caller = operator.as_key(user=user["id"], scopes=["keystile:tenants:read", "keystile:keys:read",
                                                      "keystile:users:read"])
    assert {t["id"] for t in caller.pages("/v1/tenants", 500)} == {user["personal"]}
    assert [u["id"] for u in caller.pages("/v1/users", 500)] == [user["id"]]
    operator.put(f"/v1/tenants/{world.sub}/members/{user['id']}", {"role": "member"})
    assert {t["id"] for t in caller.pages("/v1/tenants", 500)} == {user["personal"], world.sub}
    caller.get(f"/v1/tenants/{world.nested}", expect=404, code="not_found")
    operator.delete(f"/v1/tenants/{world.sub}/members/{user['id']}")
    caller.get(f"/v1/tenants/{world.sub}", expect=404, code="not_found")


def test_personal_tenants_are_their_users_alone(world, callers, things):
    personal = things[1]["acme"]["personal"]
    callers["acme"].get(f"/v1/tenants/{personal}", expect=404, code="not_found")
    callers["acme"].post("/v1/keys", new_key(tenant=personal), expect=403, code="tenant_forbidden")
    assert callers["root"].get(f"/v1/tenants/{personal}").json["user"] == things[1]["acme"]["id"]


def test_a_partner_acts_in_one_organization_at_a_time(world, callers, things):
    in_first = callers["partner"].on_behalf(world.first)
    assert {t["id"] for t in in_first.pages("/v1/tenants", 500)} == {world.first}
    assert things[0]["second"] not in {k["id"] for k in in_first.pages("/v1/keys", 500)}
    made = in_first.make_key()
    assert (made["tenant"], made["kind"]) == (world.first, "tenant")
    organization = callers["partner"].make_tenant("organization")
    assert organization["parent"] == world.partner
    callers["partner"].on_behalf(world.acme).get("/v1/keys", expect=403, code="tenant_forbidden")


def test_nobody_gives_a_role_beyond_what_he_has(world, operator):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("u") + "@x.test"}).json["id"]
    members = f"/v1/tenants/{world.acme}/members"
    caller = operator.as_key(tenant=world.acme, scopes=["keystile:users:read", "keystile:users:write"])
    for role in ("administrator", "member"):
        refused = caller.put(f"{members}/{user}", {"role": role}, expect=403, code="not_grantable")
        assert [e["pointer"] for e in refused.json["errors"]] == ["/role"]
    assert user not in [m["user"] for m in caller.pages(members, 500)]
    operator.put(f"{members}/{user}", {"role": "administrator"})
    assert user in [m["user"] for m in caller.pages(members, 500)]
