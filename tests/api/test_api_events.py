"""/v1/events: what happened, in the transaction that caused it; /v1/event-types: what can happen."""
import json
import re
import subprocess
import sys

import jsonschema
import keystile
import pytest

from api_service import CONTRACT, new_key, unique


@pytest.fixture(scope="module")
def schemas(operator):
    items = operator.get("/v1/event-types").json["items"]
    return {i["type"]: jsonschema.Draft202012Validator(i["schema"]) for i in items}


def test_every_type_is_documented(schemas):
    page = (keystile.SOURCE / "docs" / "events.md").read_text()
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.M)) == set(schemas)


def test_the_description_of_webhooks_is_of_the_same_types(operator):
    """What stands in the table of events, what the service says of itself, and what its description says."""
    served = operator.get("/v1/event-types").json
    webhooks = CONTRACT.document["webhooks"]
    assert list(webhooks) == [item["type"] for item in served["items"]]
    for item in served["items"]:
        schema = webhooks[item["type"]]["post"]["requestBody"]["content"]["application/json"]["schema"]
        data = {name: value for name, value in item["schema"].items() if name != "additionalProperties"}
        assert schema["properties"] == {"type": {"const": item["type"]}, "data": data}
        assert webhooks[item["type"]]["post"]["summary"] == item["about"]
    envelope = CONTRACT.document["components"]["schemas"]["EventEnvelope"]
    assert {name: value for name, value in envelope.items() if name != "description"} == served["envelope"]
    done = subprocess.run([sys.executable, keystile.SOURCE / "tools/event-webhooks.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def newest(api, query=""):
    items = api.get(f"/v1/events?limit=1{query}").json["items"]
    return items[0] if items else None


def since(api, event, query=""):
    """What came after it, oldest first."""
    return api.pages(f"/v1/events?after={event['id']}{query}", 3)


def test_every_change_is_an_event_of_its_type(world, operator, schemas):
    before = newest(operator)
    org = operator.make_tenant("organization")["id"]
    user = operator.post("/v1/users", {"organization": org, "email": unique("e") + "@x.test"}).json["id"]
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
    operator.post(f"/v1/users/{user}/enable", expect=200)
    operator.delete(f"/v1/tenants/{org}")
    events = since(operator, before)
    assert [(e["type"], e["object"]) for e in events] == [
        ("tenant.created", org), ("user.invited", user), ("key.created", key), ("key.created", successor),
        ("key.rotated", key), ("key.renamed", key), ("key.revoked", key), ("tenant.renamed", org),
        ("tenant.suspended", org), ("tenant.resumed", org), ("member.put", user), ("member.removed", user),
        ("user.disabled", user), ("user.enabled", user), ("user.disabled", user), ("tenant.deleted", org)]
    for event in events:
        schemas[event["type"]].validate(event["data"])
        assert (event["tenant"], event["organization"]) == (org, org)
        assert operator.get(f"/v1/events/{event['id']}").json == event
    data = {e["type"]: e["data"] for e in events}
    assert data["key.rotated"]["rotated_to"] == successor and data["key.created"]["rotated_from"] == key
    assert data["key.renamed"]["name"] == "renamed" and data["member.put"] == {"role": "member"}


def test_a_refused_change_is_no_event(world, operator):
    before = newest(operator)
    operator.post("/v1/keys", new_key(scopes=["no:such"]), expect=422)
    operator.post("/v1/keys", new_key(tenant="org_0m6xwq3k2r4t8"), expect=403)
    operator.delete("/v1/keys/key_0000000000001", expect=404)
    assert newest(operator) == before


def test_no_event_holds_a_token(world, operator):
    made = operator.make_key(tenant=world.acme)
    rotated = operator.post(f"/v1/keys/{made['id']}/rotate").json
    text = json.dumps(operator.pages("/v1/events", 500))
    for token in (made["token"], rotated["token"]):
        assert token not in text and token.rsplit("_", 1)[1] not in text


def test_an_import_is_one_event_a_batch(world, operator, schemas):
    line = {**new_key(kind="tenant", tenant=world.acme), "sha256": 32 * "5a", "prefix": "x", "last_four": "abcd"}
    before = newest(operator)
    operator.call("POST", "/v1/keys/import", json.dumps(line).encode(), {"Content-Type": "application/jsonl"}, expect=200)
    (event,) = since(operator, before)
    schemas[event["type"]].validate(event["data"])
    assert event["type"] == "keys.imported" and event["data"]["keys"] == 1


def test_newest_first_and_filters(world, operator):
    org = operator.make_tenant("organization")["id"]
    keys = [operator.make_key(tenant=org)["id"] for _ in range(4)]
    operator.patch(f"/v1/keys/{keys[0]}", {"name": "renamed"})
    mine = operator.pages(f"/v1/events?tenant={org}", 2)
    assert [e["object"] for e in mine] == [keys[0], *reversed(keys), org]
    assert [e["object"] for e in operator.pages(f"/v1/events?tenant={org}&type=key.created", 3)] == list(reversed(keys))
    middle = mine[3]["at"]
    at_or_after = operator.pages(f"/v1/events?tenant={org}&from={middle}", 50)
    before = operator.pages(f"/v1/events?tenant={org}&to={middle}", 50)
    assert {e["id"] for e in at_or_after} | {e["id"] for e in before} == {e["id"] for e in mine}
    assert not {e["id"] for e in at_or_after} & {e["id"] for e in before}
    assert operator.pages("/v1/events?from=2099-01-01T00:00:00Z", 50) == []
    after = operator.pages(f"/v1/events?tenant={org}&after={mine[-1]['id']}&type=key.renamed", 1)
    assert [e["id"] for e in after] == [mine[0]["id"]]


def test_callers_see_their_own_part(world, operator):
    for place in ("acme", "sub", "project", "other", "partner", "first"):
        operator.make_key(tenant=getattr(world, place))
    sees = {"acme": {world.acme, world.sub, world.nested, world.project}, "sub": {world.sub, world.nested},
            "project": {world.project}, "other": {world.other}, "partner": {world.partner}}
    for place, tenants in sees.items():
        caller = world.caller(getattr(world, place))
        found = {e["tenant"] for e in caller.pages("/v1/events", 7)}
        assert getattr(world, place) in found and found <= tenants
        oldest = caller.pages("/v1/events?after=evt_0000000000001", 7)
        assert oldest == list(reversed(caller.pages("/v1/events", 7)))
        hidden = newest(operator, f"&tenant={world.root}")
        gone = caller.get("/v1/events/evt_0000000000001", expect=404).json
        there = caller.get(f"/v1/events/{hidden['id']}", expect=404).json
        assert {**gone, "request_id": ""} == {**there, "request_id": ""}
    first = world.caller(world.partner).on_behalf(world.first)
    assert {e["tenant"] for e in first.pages("/v1/events", 7)} == {world.first}
    world.caller(world.other).get(f"/v1/events?tenant={world.acme}", expect=403, code="tenant_forbidden")


def test_what_happened_to_a_deleted_tenant_stays(world, operator):
    org = operator.make_tenant("organization")["id"]
    sub = operator.make_tenant("sub_entity", org)["id"]
    caller = world.caller(org)
    caller.delete(f"/v1/tenants/{sub}")
    for api in (caller, operator):
        assert [e["type"] for e in api.pages(f"/v1/events?tenant={sub}", 1)] == ["tenant.deleted", "tenant.created"]
    world.caller(world.other).get(f"/v1/events?tenant={sub}", expect=403, code="tenant_forbidden")


def test_scopes(world, operator):
    for target in ("/v1/events", "/v1/events/evt_0000000000001", "/v1/event-types"):
        operator.as_key(tenant=world.acme, scopes=["keystile:audit:read"]).get(target, expect=403, code="scope_missing")
        operator.as_key(tenant=world.acme, scopes=["keystile:webhooks:read"]).call("GET", target)


@pytest.mark.parametrize("query, name", [("tenant=x", "tenant"), ("type=key.nonsense", "type"), ("type=", "type"),
                                         ("from=x", "from"), ("to=2020", "to"), ("after=x", "after"),
                                         ("after=key_0000000000001", "after"), ("limit=0", "limit"),
                                         ("cursor=1", "cursor"), ("nonsense=", "nonsense"),
                                         ("type=key.created&type=key.revoked", "type")])
def test_wrong_queries(operator, query, name):
    answer = operator.get(f"/v1/events?{query}", expect=400, code="query_malformed")
    assert f"?{name}" in [e["pointer"] for e in answer.json["errors"]]


def test_no_such_event(operator):
    for text in ("evt_0000000000001", "evt_x", "key_0000000000001", "evt_zzzzzzzzzzzzz"):
        operator.get(f"/v1/events/{text}", expect=404, code="not_found")
