"""/v1/audit: who did what."""
import pytest

from api_service import new_key, unique


def newest(api, query=""):
    return api.get(f"/v1/audit?limit=1{query}").json["items"][0]


def test_every_change_leaves_an_entry(world, operator):
    me = operator.get("/v1/account").json["key"]["id"]
    org = operator.make_tenant("organization")["id"]
    user = operator.post("/v1/users", {"organization": org, "email": unique("a") + "@x.test"}).json["id"]
    key = operator.make_key(tenant=org)["id"]
    successor = operator.post(f"/v1/keys/{key}/rotate", {"overlap_s": 5}).json["id"]
    operator.patch(f"/v1/keys/{key}", {"name": "renamed"})
    operator.delete(f"/v1/keys/{key}")
    operator.delete(f"/v1/keys/{key}")
    operator.patch(f"/v1/tenants/{org}", {"name": "renamed"})
    operator.post(f"/v1/tenants/{org}/suspend", expect=200)
    operator.post(f"/v1/tenants/{org}/resume", expect=200)
    operator.put(f"/v1/tenants/{org}/members/{user}", {"role": "member"})
    operator.delete(f"/v1/tenants/{org}/members/{user}")
    operator.post(f"/v1/users/{user}/disable", expect=200)
    entries = list(reversed(operator.pages(f"/v1/audit?tenant={org}", 4)))
    seen = [(e["action"], e["object"]) for e in entries]
    assert seen[:3] == [("tenant.create", org), ("user.create", user), ("key.create", key)]
    # One deletion, however often it was asked for.
    assert seen.count(("key.revoke", key)) == 1
    for action, thing in (("key.create", successor), ("key.rotate", key), ("key.rename", key), ("tenant.rename", org),
                          ("tenant.suspend", org),
                          ("tenant.resume", org), ("user.disable", user)):
        assert (action, thing) in seen, (action, seen)
    for entry in entries:
        assert (entry["actor"], entry["tenant"], entry["organization"], entry["outcome"]) == (me, org, org, "ok")
        assert entry["address"] == "127.0.0.1" and entry["request_id"]


def test_a_refused_change_leaves_none(world, operator):
    before = newest(operator)
    operator.post("/v1/keys", new_key(scopes=["no:such"]), expect=422)
    operator.post("/v1/keys", new_key(tenant="org_0m6xwq3k2r4t8"), expect=403)
    assert newest(operator) == before


def test_the_local_owner_and_acting_on_behalf(world, operator):
    world.owner.make_key(tenant=world.other)
    assert newest(operator)["actor"] == "local"
    caller = world.caller(world.acme)
    caller.on_behalf(world.sub).make_key()
    entry = newest(operator)
    assert (entry["on_behalf"], entry["tenant"]) == (world.sub, world.sub)


def test_filters(world, operator):
    org = operator.make_tenant("organization")["id"]
    caller = world.caller(org)
    me = caller.get("/v1/account").json["key"]["id"]
    keys = [caller.make_key()["id"] for _ in range(4)]
    caller.patch(f"/v1/keys/{keys[0]}", {"name": "renamed"})
    by_me = operator.pages(f"/v1/audit?actor={me}", 2)
    assert [e["object"] for e in by_me] == [keys[0], *reversed(keys)]
    assert [e["object"] for e in operator.pages(f"/v1/audit?actor={me}&action=key.rename", 2)] == [keys[0]]
    assert [e["object"] for e in operator.pages(f"/v1/audit?tenant={org}&action=key.create",
                                                2)][:4] == list(reversed(keys))
    assert operator.pages("/v1/audit?action=no.such", 2) == []
    middle = by_me[2]["at"]
    assert {e["id"] for e in operator.pages(f"/v1/audit?actor={me}&from={middle}", 2)} >= {e["id"] for e in by_me[:3]}
    assert {e["id"] for e in operator.pages(f"/v1/audit?actor={me}&to={middle}", 2)} <= {e["id"] for e in by_me[2:]}
    assert operator.pages(f"/v1/audit?actor={me}&from=2099-01-01T00:00:00Z", 2) == []


def test_callers_see_their_own_part(world, operator):
    for place in ("acme", "sub", "project", "other", "partner"):
        operator.make_key(tenant=getattr(world, place))
    sees = {"acme": {world.acme, world.sub, world.nested, world.project}, "sub": {world.sub, world.nested},
            "project": {world.project},
            "other": {world.other}, "partner": {world.partner}}
    for place, tenants in sees.items():
        entries = world.caller(getattr(world, place)).pages("/v1/audit", 7)
        found = {e["tenant"] for e in entries}
        assert getattr(world, place) in found
        known = {getattr(world, p) for p in ("root", "partner", "first", "second", "acme", "sub", "nested", "project",
                                             "other")}
        assert found & known <= tenants
    first = world.caller(world.partner).on_behalf(world.first)
    assert {e["tenant"] for e in first.pages("/v1/audit", 7)} == {world.first}


def test_what_was_done_to_a_deleted_tenant_stays(world, operator):
    org = operator.make_tenant("organization")["id"]
    sub = operator.make_tenant("sub_entity", org)["id"]
    key = operator.make_key(tenant=sub)["id"]
    caller = world.caller(org)
    other = world.caller(world.other)
    caller.delete(f"/v1/tenants/{sub}")
    for api in (caller, operator):
        entries = api.pages(f"/v1/audit?tenant={sub}", 2)
        assert [e["action"] for e in entries] == ["tenant.delete", "key.create", "tenant.create"]
        assert entries[1]["object"] == key and entries[0]["tenant"] == sub
    assert sub in {e["tenant"] for e in caller.pages("/v1/audit", 100)}
    other.get(f"/v1/audit?tenant={sub}", expect=403, code="tenant_forbidden")


@pytest.mark.parametrize("query, name", [("tenant=x", "tenant"), ("from=x", "from"), ("to=2020", "to"),
                                         ("limit=0", "limit"), ("cursor=1", "cursor"),
                                         ("actor=" + 40 * "x", "actor"), ("action=" + 70 * "x", "action"),
                                         ("nonsense=", "nonsense")])
def test_wrong_queries(operator, query, name):
    answer = operator.get(f"/v1/audit?{query}", expect=400, code="query_malformed")
    assert f"?{name}" in [e["pointer"] for e in answer.json["errors"]]
