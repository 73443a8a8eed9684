"""Isolation as a property: whatever the tree and whatever the credential, no answer of any endpoint holds an id, a name
or a mark of what the credential does not see, and "not yours" cannot be told from "not there".

The endpoints are those of the API's description: a new one is asked as soon as it is described, and one that takes a
body fails here until the table below says with what."""
import functools
import itertools
import json
import random
import re

import pytest
import yaml

from world import BELOW, World, keystile

DESCRIPTION = keystile.SOURCE / "src" / "api" / "openapi.yaml"
NOWHERE = "0m6xwq3k2r4t8"
WORLDS = 2

# What to send where a body is taken: `id` is what the caller may not see, or what is nowhere.
BODIES = {
    ("POST", "/v1/keys"): lambda id: {"name": "x", "scopes": [], "expires_at": None, ("user" if id.startswith("usr_") else "tenant"): id},
    ("POST", "/v1/tenants"): lambda id: {"kind": "project", "name": "x", "parent": id},
    ("POST", "/v1/users"): lambda id: {"email": "someone@else.test", "organization": id},
    ("PATCH", "/v1/keys/{id}"): lambda id: {"name": "mine"},
    ("PATCH", "/v1/tenants/{id}"): lambda id: {"name": "mine"},
    ("POST", "/v1/keys/{id}/rotate"): lambda id: {"overlap_s": 60},
    ("POST", "/v1/providers"): lambda id: {"tenant": id, "platform": "sip-trunk", "name": "x"},
    ("PATCH", "/v1/providers/{id}"): lambda id: {"name": "mine"},
    ("PUT", "/v1/providers/{id}/fields/{field}"): lambda id: {"value": "x"},
    ("POST", "/v1/providers/{id}/reveal"): lambda id: {"call_id": "x"},
    ("POST", "/v1/providers/{id}/digest"): lambda id: {"call_id": "x", "challenge": 'Digest realm="r", nonce="n"', "method": "INVITE", "uri": "sip:x"},
    ("POST", "/v1/providers/{id}/calls"): lambda id: {"call_id": "x", "outcome": "ok"},
    ("POST", "/v1/sources"): lambda id: {"tenant": id, "platform": "github", "name": "x", "parameters": {"secrets": ["x"]}},
    ("POST", "/v1/sources/{id}/rotate"): lambda id: {"parameters": {"secrets": ["x"]}},
    ("POST", "/v1/webhook-endpoints"): lambda id: {"tenant": id, "url": "https://mine.invalid/", "events": ["*"]},
    ("PATCH", "/v1/webhook-endpoints/{id}"): lambda id: {"description": "mine"},
    ("POST", "/v1/webhook-endpoints/{id}/rotate"): lambda id: {"overlap_s": 60},
    ("POST", "/v1/webhook-endpoints/{id}/replay"): lambda id: {"from": "2026-01-01T00:00:00Z"},
    ("PUT", "/v1/tenants/{id}/members/{user}"): lambda id: {"role": "member"},
}


ENVIRONMENT = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_HTTP_IDLE_MS": "600000", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}


@pytest.fixture(scope="module", params=range(WORLDS))
def world(request):
    rng = random.Random(f"{keystile.seed()} {request.param}")
    with keystile.temporary_data() as data, keystile.Daemon(data, env=ENVIRONMENT) as daemon:
        yield World(daemon, rng)


@functools.cache
def operations():
    document = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))
    found = []
    for path, item in document["paths"].items():
        for method in ("get", "post", "put", "patch", "delete"):
            if method in item:
                parameters = [resolve(document, p) for p in item.get("parameters", []) + item[method].get("parameters", [])]
                found.append((method.upper(), path, [p["name"] for p in parameters if p["in"] == "query"], "requestBody" in item[method]))
    return found


def resolve(document, node):
    if "$ref" in node:
        return functools.reduce(lambda at, name: at[name], node["$ref"].removeprefix("#/").split("/"), document)
    return node


def fill(path, id):
    """The path with `id` in each of its places."""
    return re.sub(r"\{[^}]+\}", id, path)


def leaks(world, caller, answer):
    text = answer.body.decode("utf-8", "replace") + json.dumps(list(answer.headers.items()))
    known = world.organizations_of(caller)
    return [f"{mark} of {thing.id}" for thing in world.hidden_from(caller) for mark in thing.marks if mark in text and mark not in known]


def alike(a, b, one, two):
    """The same answer, but for what was asked and the request's id."""
    def plain(answer, id):
        return re.sub(rb'"request_id":"[^"]*"', b"", answer.body).replace(id.encode(), b"ID")
    return a.status == b.status and plain(a, one) == plain(b, two)


def assert_no(problems):
    assert not problems, "\n".join(problems[:20])


def test_what_is_read_holds_nothing_of_others(world):
    problems = []
    for caller in world.callers:
        mine = [t.id for t in world.things if t.tenant in caller.sees]
        for method, path, queries, _ in operations():
            if method != "GET":
                continue
            targets = [fill(path, world.rng.choice(mine or [NOWHERE])) for _ in range(3)] if "{" in path else \
                [path, *([f"{path}?limit=500"] if "limit" in queries else [])]
            for target in targets:
                answer = caller.call("GET", target)
                problems += [f"{caller.name}: GET {target} shows {leak}" for leak in leaks(world, caller, answer)]
    assert_no(problems)


def test_what_is_hidden_cannot_be_told_from_what_is_not_there(world):
    problems, addresses = [], (f"198.18.{n // 256 % 256}.{n % 256}" for n in itertools.count())
    for caller in world.callers:
        for method, path, queries, takes_body in operations():
            for target, body, id, other_target, other_body, other in questions(world, caller, method, path, queries, takes_body):
                # From elsewhere each time: an address that tries many pages of links has to wait.
                there = {"X-Forwarded-For": next(addresses)}
                answer, nothing = caller.call(method, target, body, there), caller.call(method, other_target, other_body, there)
                if not alike(answer, nothing, id, other):
                    problems.append(f"{caller.name}: {method} {target} {body} {answer.status} {answer.body[:300]} but "
                                    f"{nothing.status} {nothing.body[:300]} where nothing is")
                problems += [f"{caller.name}: {method} {target} shows {leak}" for leak in leaks(world, caller, answer)
                             if not leak.startswith(id)]
    assert_no(problems)


def questions(world, caller, method, path, queries, takes_body):
    """Pairs of the same question about something hidden and about nothing."""
    hidden = world.hidden_from(caller)
    prefixes = sorted({t.id[:4] for t in hidden})
    for prefix in prefixes:
        id, other = world.rng.choice([t.id for t in hidden if t.id.startswith(prefix)]), prefix + NOWHERE
        make = BODIES.get((method, path), lambda id: {})
        if "{" in path:
            yield fill(path, id), make(id) if takes_body else None, id, fill(path, other), make(other) if takes_body else None, other
        elif takes_body and (method, path) in BODIES:
            yield path, make(id), id, path, make(other), other
        for name in queries:
            if method == "GET" and name not in ("limit", "cursor", "from", "to"):
                query = f"?{name}=" if "{" not in path else None
                if query:
                    yield path + query + id, None, id, path + query + other, None, other


def test_nothing_of_it_changed_anything(world):
    """All the writes above were about what their callers did not see."""
    for thing in world.things:
        if thing.id.startswith("key_") and thing.marks[1:]:
            record = world.operator.call("GET", f"/v1/keys/{thing.id}").json
            assert record["status"] == "active" and record["rotated_to"] is None and record["name"] in thing.marks
    for thing in world.things:
        if thing.id.startswith("whe_"):
            record = world.operator.call("GET", f"/v1/webhook-endpoints/{thing.id}").json
            assert record["state"] == "active" and record["description"] == "" and len(record["secrets"]) == 1
    for tenant in world.tenants[1:]:
        record = world.operator.call("GET", f"/v1/tenants/{tenant.id}").json
        assert record["status"] == "active" and record["name"] == tenant.name


def test_a_named_tenant_that_is_hidden_is_as_one_that_is_not_there(world):
    problems = []
    for caller in world.callers:
        hidden = [t for t in world.tenants if t not in caller.sees]
        for tenant in world.rng.sample(hidden, min(3, len(hidden))):
            other = tenant.id[:4] + NOWHERE
            for path in ("/v1/keys", "/v1/tenants"):
                a = caller.call("GET", path, headers={"X-Tenant-Id": tenant.id})
                b = caller.call("GET", path, headers={"X-Tenant-Id": other})
                if not alike(a, b, tenant.id, other) or a.status != 403:
                    problems.append(f"{caller.name}: {path} for {tenant.id}: {a.status} {a.body[:200]} but {b.status} {b.body[:200]}")
    assert_no(problems)


def test_lists_are_exactly_what_is_seen(world):
    """Neither more nor less: counts tell nothing of others."""
    for caller in world.callers:
        answer = caller.call("GET", "/v1/tenants?limit=500")
        if answer.status != 200:
            continue
        listed = {t["id"] for t in answer.json["items"]}
        assert listed <= {t.id for t in caller.sees}, caller.name
        if "session" not in caller.name:
            # A partner works below its organizations once it has selected one.
            direct = ("partner", "organization") if caller.name == "partner key" else BELOW
            wanted = {t.id for t in caller.sees if t.kind in direct or (t.kind == "personal" and t.id in listed)}
            assert listed == wanted, caller.name
