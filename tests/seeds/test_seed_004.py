"""The rows of seed 004: the format of keys, their three scopes, sub-entities and usage."""
import base64
import hashlib
import re

import pytest

from api_service import Api, eventually, keystile, new_key, same_problem, unique

CALLS = "/api/v1/voice/calls"
TRUST = "/api/v1/caller-trust"


@pytest.fixture(scope="module")
def revdesk():
    """A platform whose keys begin with revdesk_."""
    settings = {"KEYSTILE_TOKENS_PREFIX_LIVE": "revdesk", "KEYSTILE_TOKENS_PREFIX_SANDBOX": "revdesk_test"}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=settings) as daemon:
        yield daemon


def test_004_prefix_and_32_hex_sha256_only_shown_once(revdesk):
    """prefix + 32 hex; SHA-256 only; shown once"""
    operator = Api(revdesk, revdesk.first_key)
    made = [operator.make_key(scopes=["voice_calls:read"]) for _ in range(20)]
    assert (
        all(re.fullmatch(r"revdesk_[0-9a-f]{32}", k["token"]) for k in made) and len({k["token"] for k in made}) == 20
    )
    assert re.fullmatch(r"revdesk_test_[0-9a-f]{32}", operator.make_key(environment="sandbox")["token"])
    token = made[0]["token"]
    assert revdesk.authorize(token, uri=CALLS).status == 200
    for wrong in (
        token.upper(),
        token[:-1],
        token + "0",
        token.replace("revdesk", "ks"),
        token[8:],
        token.replace("_", "-"),
    ):
        assert revdesk.authorize(wrong, uri=CALLS).status == 401
    # Of the token nothing is kept but its digest, the prefix and the last four characters.
    stored = b"".join(p.read_bytes() for p in revdesk.data.rglob("*") if p.is_file())
    digest = hashlib.sha256(token.encode()).digest()
    assert digest in stored or digest.hex().encode() in stored or base64.b64encode(digest) in stored
    assert token.encode() not in stored and token[8:].encode() not in stored and bytes.fromhex(token[8:]) not in stored
    # Shown once: who loses it makes a new one.
    for target in (f"/v1/keys/{made[0]['id']}", "/v1/keys?limit=500", "/v1/audit?limit=500"):
        assert token[8:].encode() not in operator.get(target).body
    again = operator.call("POST", "/v1/keys", new_key(name="k"), {"Idempotency-Key": "once"}, expect=201)
    replayed = operator.call("POST", "/v1/keys", {**new_key(), "name": "k"}, {"Idempotency-Key": "once"}, expect=201)
    assert "token" in again.json and "token" not in replayed.json and replayed.json["id"] == again.json["id"]


@pytest.fixture(scope="module")
def umbrella(operator):
    """An umbrella with two sub-entities, one of which has a child of its own, and another umbrella."""
    organization = operator.make_tenant("organization")["id"]
    north, south = (operator.make_tenant("sub_entity", organization)["id"] for _ in range(2))
    child = operator.make_tenant("sub_entity", north)["id"]
    return {
        "umbrella": organization,
        "north": north,
        "south": south,
        "child": child,
        "elsewhere": operator.make_tenant("organization")["id"],
    }


def sees(world, umbrella, token, uri=CALLS, method="GET"):
    """Names of the tenants that the key reaches."""
    return {
        n for n, t in umbrella.items() if world.daemon.authorize(token, method, uri, {"X-Tenant-Id": t}).status == 200
    }


def test_004_user_organization_and_sub_entity_scope(world, operator, umbrella):
    """user, organization and sub-entity scope: what each sees"""
    scopes = ["voice_calls:read", "voice_calls:write"]
    organization, north, child = (
        operator.make_key(tenant=umbrella[n], scopes=scopes)["token"] for n in ("umbrella", "north", "child")
    )
    for method in ("GET", "POST"):
        assert sees(world, umbrella, organization, method=method) == {"umbrella", "north", "south", "child"}
        assert sees(world, umbrella, north, method=method) == {"north", "child"}
        assert sees(world, umbrella, child, method=method) == {"child"}
    user = operator.post(
        "/v1/users", {"organization": umbrella["umbrella"], "email": unique("solo") + "@revdesk.test"}
    ).json
    token = operator.make_key(user=user["id"], scopes=scopes)["token"]
    own = world.daemon.authorize(token, uri=CALLS)
    assert (own.headers["X-Keystile-Tenant"], own.headers["X-Keystile-Visible"]) == (user["personal"], user["personal"])
    assert sees(world, umbrella, token) == set()
    for team in ("south", "elsewhere"):
        operator.put(f"/v1/tenants/{umbrella[team]}/members/{user['id']}", {"role": "member"}, expect=None)
    teams = {m for m in ("south", "elsewhere") if operator.get(f"/v1/tenants/{umbrella[m]}/members").json["items"]}
    assert "south" in teams and sees(world, umbrella, token) == teams
    assert set(world.daemon.authorize(token, uri=CALLS).headers["X-Keystile-Visible"].split(",")) == {
        user["personal"],
        *(umbrella[t] for t in teams),
    }


def test_004_isolation_on_every_endpoint(world, operator, umbrella):
    """isolation on every endpoint: a sub-entity's key finds neither its sibling nor the umbrella, and cannot tell them
    from what does not exist"""
    everything = [
        "keystile:audit:read",
        "keystile:keys:read",
        "keystile:keys:write",
        "keystile:tenants:read",
        "keystile:tenants:write",
        "keystile:usage:read",
        "keystile:users:read",
        "keystile:users:write",
    ]
    vendor = operator.as_key(tenant=umbrella["north"], scopes=everything)
    hidden = {
        n: (umbrella[n], operator.make_key(tenant=umbrella[n], name=f"secret {n}")["id"])
        for n in ("south", "umbrella", "elsewhere")
    }
    user = operator.post(
        "/v1/users", {"organization": umbrella["umbrella"], "email": unique("hq") + "@revdesk.test"}
    ).json
    # (The umbrella's id is no secret: it is told as the organization of what one sees.)
    hidden_texts = {i for pair in hidden.values() for i in pair} | {user["id"], user["email"], user["personal"]}
    hidden_texts = hidden_texts - {umbrella["umbrella"]} | {"secret "}
    # Lists hold nothing of them.
    for target in ("/v1/tenants", "/v1/keys", "/v1/users", "/v1/audit", "/v1/events", "/v1/account"):
        answer = vendor.get(target + ("" if target == "/v1/account" else "?limit=500"), expect=None)
        assert answer.status in (200, 403), answer
        assert not [t for t in hidden_texts if t.encode() in answer.body], target
    # Every endpoint with an id answers as for an id that does not exist.
    calls = [
        ("GET", "/v1/tenants/{t}", None),
        ("PATCH", "/v1/tenants/{t}", {"name": "x"}),
        ("DELETE", "/v1/tenants/{t}", None),
        ("POST", "/v1/tenants/{t}/suspend", {}),
        ("GET", "/v1/tenants/{t}/members", None),
        ("PUT", f"/v1/tenants/{{t}}/members/{user['id']}", {"role": "member"}),
        ("GET", "/v1/keys/{k}", None),
        ("PATCH", "/v1/keys/{k}", {"name": "x"}),
        ("DELETE", "/v1/keys/{k}", None),
        ("POST", "/v1/keys/{k}/rotate", {}),
        ("GET", "/v1/keys/{k}/usage", None),
        ("GET", "/v1/keys?tenant={t}", None),
        ("GET", "/v1/audit?tenant={t}", None),
        ("GET", "/v1/tenants?parent={t}", None),
    ]
    for method, target, body in calls:
        missing = vendor.call(method, target.format(t="org_0m6xwq3k2r4t8", k="key_0m6xwq3k2r4t8"), body)
        assert missing.status in (403, 404)
        for tenant, key in hidden.values():
            answer = vendor.call(method, target.format(t=tenant, k=key), body)
            assert same_problem(answer, missing), (method, target)
    for tenant, key in hidden.values():
        vendor.post("/v1/keys", new_key(tenant=tenant), expect=403, code="tenant_forbidden")
        vendor.on_behalf(tenant).get("/v1/keys", expect=403, code="tenant_forbidden")
        assert operator.get(f"/v1/keys/{key}").json["status"] == "active"
        assert operator.get(f"/v1/tenants/{tenant}").json["status"] == "active"


def test_004_caller_trust_reads_walk_up(world, operator, umbrella):
    """caller-trust reads walk up: to the umbrella and no further, for reads alone"""
    key = operator.make_key(
        tenant=umbrella["child"], scopes=["caller_trust:read", "caller_trust:write", "voice_calls:read"]
    )["token"]
    read = world.daemon.authorize(key, "GET", TRUST)
    assert (read.headers["X-Keystile-Tenant"], read.headers["X-Keystile-Inherited"]) == (
        umbrella["child"],
        f"{umbrella['north']},{umbrella['umbrella']}",
    )
    assert (
        world.daemon.authorize(key, "HEAD", TRUST).headers["X-Keystile-Inherited"]
        == read.headers["X-Keystile-Inherited"]
    )
    for method in ("POST", "PUT", "DELETE"):
        assert world.daemon.authorize(key, method, TRUST).headers["X-Keystile-Inherited"] == ""
    assert world.daemon.authorize(key, "GET", CALLS).headers["X-Keystile-Inherited"] == ""
    # It is inherited, not seen: naming the umbrella is refused all the same.
    assert sees(world, umbrella, key, TRUST) == {"child"}
    top = operator.make_key(tenant=umbrella["umbrella"], scopes=["caller_trust:read"])["token"]
    assert world.daemon.authorize(top, "GET", TRUST).headers["X-Keystile-Inherited"] == ""


def test_004_sub_entities_provisioned_keys_per_sub_entity_revoke_one_without_the_rest(world, operator):
    """sub-entities provisioned, keys per sub-entity, revoke one without the rest"""
    organization = operator.make_tenant("organization")["id"]
    headquarters = operator.as_key(
        tenant=organization,
        scopes=[
            "keystile:tenants:read",
            "keystile:tenants:write",
            "keystile:keys:read",
            "keystile:keys:write",
            "voice_calls:read",
        ],
    )
    locations = [
        headquarters.post("/v1/tenants", {"kind": "sub_entity", "name": f"Location {i}"}).json for i in range(4)
    ]
    assert {t["parent"] for t in locations} == {organization}
    keys = [headquarters.make_key(tenant=t["id"], scopes=["voice_calls:read"]) for t in locations]
    assert {k["binding"] for k in keys} == {"sub_entity"}

    def statuses():
        return [world.daemon.authorize(k["token"], uri=CALLS).status for k in keys] + [
            world.daemon.authorize(headquarters.token, uri=CALLS).status
        ]

    assert statuses() == [200] * 5
    headquarters.delete(f"/v1/keys/{keys[1]['id']}")
    assert statuses() == [200, 401, 200, 200, 200]
    # A location as a whole, too.
    headquarters.post(f"/v1/tenants/{locations[2]['id']}/suspend", expect=200)
    assert statuses() == [200, 401, 401, 200, 200]
    headquarters.post(f"/v1/tenants/{locations[2]['id']}/resume", expect=200)
    assert statuses() == [200, 401, 200, 200, 200]
    # A vendor of one location makes no key for another.
    vendor = operator.as_key(tenant=locations[0]["id"], scopes=["keystile:keys:write", "voice_calls:read"])
    vendor.post("/v1/keys", new_key(tenant=locations[3]["id"]), expect=403, code="tenant_forbidden")


def test_004_monitor_usage_through_the_account_endpoint(world, operator, umbrella):
    """monitor usage through the account endpoint"""
    made = operator.make_key(
        tenant=umbrella["south"],
        scopes=["voice_calls:read"],
        rate_limit={"requests": 100000, "window_s": 60},
        expires_at="2099-01-01T00:00:00.000Z",
    )
    mine = Api(world.daemon, made["token"])
    account = mine.get("/v1/account").json
    assert (account["principal"], account["tenant"]["id"], account["key"]["scopes"]) == (
        made["id"],
        umbrella["south"],
        made["scopes"],
    )
    assert account["key"]["rate_limit"] == made["rate_limit"] and account["key"]["expires_at"] == made["expires_at"]
    before = account["usage"]["uses"]
    for _ in range(5):
        assert world.daemon.authorize(made["token"], uri=CALLS).status == 200
    eventually(lambda: mine.get("/v1/account").json["usage"]["uses"] >= before + 5, True)
    usage = mine.get("/v1/account").json["usage"]
    assert usage["last_used_at"] and usage["last_used_address"] == "127.0.0.1"
    assert made["token"].encode() not in mine.get("/v1/account").body
