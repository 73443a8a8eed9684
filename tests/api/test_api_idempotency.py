"""Idempotency-Key: a repetition answers with the first outcome, but a token is never shown twice."""
import concurrent.futures

import pytest

from api_service import Api, new_key, unique


def without_token(made):
    made = dict(made)
    made.pop("token", None)
    for holder in ("first_key", "invitation"):
        if made.get(holder):
            made[holder] = without_token(made[holder])
    return made


@pytest.fixture(name="key")
def fresh_key():
    return {"Idempotency-Key": unique("once")}


def replay(api, method, target, body, key):
    first = api.call(method, target, body, key)
    assert 200 <= first.status < 300 and "Idempotency-Replayed" not in first.headers
    again = api.call(method, target, body, key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.status == first.status and again.json == without_token(first.json)
    return first, again


def test_create(world, operator, key):
    body = new_key(tenant=world.acme)
    first, again = replay(operator, "POST", "/v1/keys", body, key)
    assert first.json["token"].encode() not in again.body
    assert len([k for k in operator.pages("/v1/keys", 500) if k["name"] == body["name"]]) == 1


def test_rotate(world, operator, key):
    made = operator.make_key(tenant=world.acme)
    first, _ = replay(operator, "POST", f"/v1/keys/{made['id']}/rotate", {"overlap_s": 60}, key)
    assert operator.get(f"/v1/keys/{made['id']}").json["rotated_to"] == first.json["id"]


def test_provision(operator, key):
    body = {"kind": "organization", "name": unique("once"), "first_key": new_key(),
            "administrator": {"email": unique("once") + "@x.test"}}
    first, again = replay(operator, "POST", "/v1/tenants", body, key)
    assert first.json["first_key"]["token"].encode() not in again.body


def test_every_other_change(world, operator, key):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("once") + "@x.test"}).json["id"]
    made = operator.make_key(tenant=world.acme)["id"]
    tenant = operator.make_tenant("organization")["id"]
    for number, (method, target, body) in enumerate([
            ("POST", "/v1/users", {"organization": world.acme, "email": unique("once") + "@x.test"}),
            ("PATCH", f"/v1/keys/{made}", {"name": "renamed"}), ("DELETE", f"/v1/keys/{made}", None),
            ("PATCH", f"/v1/tenants/{tenant}", {"name": "renamed"}), ("POST", f"/v1/tenants/{tenant}/suspend", None),
            ("POST", f"/v1/tenants/{tenant}/resume", None),
            ("PUT", f"/v1/tenants/{tenant}/members/{user}", {"role": "member"}),
            ("POST", f"/v1/users/{user}/disable", None), ("POST", f"/v1/users/{user}/enable", None),
            ("POST", f"/v1/users/{user}/invitation", None), ("DELETE", f"/v1/users/{user}/invitation", None)]):
        replay(operator, method, target, body, {"Idempotency-Key": f"{key['Idempotency-Key']}.{number}"})


def test_another_request_with_the_same_key(world, operator, key):
    body = new_key(tenant=world.acme)
    another = unique("another")
    operator.call("POST", "/v1/keys", body, key, expect=201)
    operator.call("POST", "/v1/keys", {**body, "name": another}, key, expect=409, code="idempotency_conflict")
    operator.call("POST", "/v1/tenants", {"kind": "organization", "name": "x"}, key, expect=409,
                  code="idempotency_conflict")
    assert not [k for k in operator.pages("/v1/keys", 500) if k["name"] == another]


def test_keys_are_the_callers_own(world, operator, key):
    body = new_key()
    others = [operator, world.caller(world.acme), world.caller(world.acme), world.owner]
    made = {caller.call("POST", "/v1/keys", body, key, expect=201).json["id"] for caller in others}
    assert len(made) == len(others)


def test_a_refusal_is_not_kept(world, operator, key):
    slug = unique("later")
    taken = operator.make_tenant("organization", slug=slug)
    body = {"kind": "organization", "name": "x", "slug": slug}
    operator.call("POST", "/v1/tenants", body, key, expect=409, code="conflict")
    operator.call("POST", "/v1/tenants", {**body, "slug": unique("later")}, key, expect=201)
    assert operator.get(f"/v1/tenants/{taken['id']}").json == taken


def test_without_a_key_every_call_counts(operator):
    body = new_key()
    assert operator.post("/v1/keys", body).json["id"] != operator.post("/v1/keys", body).json["id"]


def test_at_the_same_instant(world, daemon, key):
    """Many at once: one is made, the others are told of it."""
    body = new_key(tenant=world.acme)

    def ask(_):
        return Api(daemon, daemon.first_key).call("POST", "/v1/keys", body, key, expect=201)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    assert len({a.json["id"] for a in answers}) == 1
    assert len([a for a in answers if "token" in a.json]) == 1
    assert len([a for a in answers if a.headers.get("Idempotency-Replayed") == "true"]) == 23
