"""/v1/webhook-endpoints and /v1/deliveries: where events are sent, and how that went. What arrives there: tests/webhooks."""
import re

import pytest

from api_service import pointers, same_problem, unique

SCOPES = ["keystile:webhooks:read", "keystile:webhooks:write", "keystile:tenants:read", "keystile:audit:read"]
# A port of this machine that nobody listens on: the settings of the tests allow the address.
URL = "http://127.0.0.1:9/hooks"
NOTHING, NO_DELIVERY = "whe_0000000000001", "dlv_0000000000001"
WHSEC, WHPK = re.compile(r"whsec_[A-Za-z0-9+/]{43}="), re.compile(r"whpk_[A-Za-z0-9+/]{43}=")


@pytest.fixture(scope="module")
def admin(world):
    return world.caller(world.acme, scopes=SCOPES)


def endpoint(api, **members):
    return api.post("/v1/webhook-endpoints", {"url": URL, "events": ["key.expiring"], **members}).json


@pytest.fixture
def made(admin):
    answer = endpoint(admin)
    yield answer
    admin.delete(f"/v1/webhook-endpoints/{answer['id']}", expect=None)


def shown(record):
    """What every answer but the first tells; since when it fails is the sender's to say."""
    return {name: value for name, value in record.items() if name not in ("secret", "failing_since")}


# ---- what is refused ----

@pytest.mark.parametrize("change, pointer", [
    ({"url": None}, "/url"), ({"url": ""}, "/url"), ({"url": "example.com"}, "/url"), ({"url": "ftp://example.com/"}, "/url"),
    ({"url": "https://user:word@example.com/"}, "/url"), ({"url": "https://example.com/#part"}, "/url"), ({"url": "https://example.com/a b"}, "/url"),
    ({"url": "https://" + "x" * 2048}, "/url"), ({"url": "http://10.0.0.1/"}, "/url"), ({"url": "https://[::1]/"}, "/url"),
    ({"url": "https://169.254.169.254/latest"}, "/url"), ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"), ({"url": 1}, "/url"),
    ({"events": []}, "/events"), ({"events": "key.created"}, "/events"), ({"events": ["no.such"]}, "/events/0"), ({"events": [1]}, "/events/0"),
    ({"events": ["key.created", "*"]}, "/events/1"), ({"events": ["key.created", "key.created"]}, "/events/1"), ({"events": None}, "/events"),
    ({"description": "x" * 501}, "/description"), ({"description": "a\nb"}, "/description"),
    ({"concurrency": 0}, "/concurrency"), ({"concurrency": 65}, "/concurrency"), ({"concurrency": "1"}, "/concurrency"),
    ({"rate_limit": 0}, "/rate_limit"), ({"rate_limit": 100001}, "/rate_limit"),
    ({"secret": "whsec_" + "YWJj" * 8}, "/secret"), ({"state": "active"}, "/state"),
])
def test_wrong_input_changes_nothing(admin, made, change, pointer):
    before = admin.get("/v1/webhook-endpoints").json["items"]
    answer = admin.post("/v1/webhook-endpoints", {"url": URL, "events": ["*"], **change}, expect=422, code="invalid")
    assert pointers(answer) == [pointer]
    answer = admin.patch(f"/v1/webhook-endpoints/{made['id']}", change, expect=422, code="invalid")
    assert pointers(answer) == [pointer]
    assert admin.get("/v1/webhook-endpoints").json["items"] == before


@pytest.mark.parametrize("body, wrong", [
    ({"events": ["*"]}, ["/url"]), ({"url": URL}, ["/events"]), ({}, ["/url", "/events"]),
    ({"url": URL, "events": ["*"], "signature": "v2"}, ["/signature"]), ({"url": URL, "events": ["*"], "tenant": "acme"}, ["/tenant"])])
def test_wrong_input_makes_none(admin, body, wrong):
    before = admin.get("/v1/webhook-endpoints").json["items"]
    answer = admin.post("/v1/webhook-endpoints", body, expect=422, code="invalid")
    assert sorted(pointers(answer)) == sorted(wrong)
    assert admin.get("/v1/webhook-endpoints").json["items"] == before


@pytest.mark.parametrize("path, body, pointer", [
    ("rotate", {"overlap_s": -1}, "/overlap_s"), ("rotate", {"overlap_s": 604801}, "/overlap_s"), ("rotate", {"signature": "rsa"}, "/signature"),
    ("rotate", {"secret": "x"}, "/secret"), ("replay", {}, "/from"), ("replay", {"from": "yesterday"}, "/from"),
    ("replay", {"from": "2026-01-01T00:00:00Z", "to": 1}, "/to"), ("replay", {"from": "2026-01-01T00:00:00Z", "failed_only": "no"}, "/failed_only"),
    ("replay", {"from": "2026-01-01T00:00:00Z", "cursor": "x"}, "/cursor"),
    ("replay", {"from": "2026-01-01T00:00:00Z", "cursor": "x" * 16}, "/cursor"),
])
def test_wrong_members_of_a_call(admin, made, path, body, pointer):
    answer = admin.post(f"/v1/webhook-endpoints/{made['id']}/{path}", body, expect=422, code="invalid")
    assert pointers(answer) == [pointer]
    assert shown(admin.get(f"/v1/webhook-endpoints/{made['id']}").json) == shown(made)


def test_calls_without_members_take_none(admin, made):
    for path in (f"webhook-endpoints/{made['id']}/pause", f"webhook-endpoints/{made['id']}/resume", f"webhook-endpoints/{made['id']}/test",
                 f"deliveries/{NO_DELIVERY}/replay"):
        assert pointers(admin.post(f"/v1/{path}", {"x": 1}, expect=422, code="invalid")) == ["/x"]


@pytest.mark.parametrize("query", ["endpoint=x", f"endpoint={NO_DELIVERY}", "event=x", "state=lost", "from=x", "to=x", "limit=0", "cursor=x", "type=key.created"])
def test_wrong_questions(admin, query):
    admin.get(f"/v1/deliveries?{query}", expect=400, code="query_malformed")
    if query.split("=")[0] not in ("from", "to"):
        admin.get(f"/v1/webhook-endpoints?{query}", expect=400, code="query_malformed")


def calls(one, delivery):
    """Every call about one endpoint or delivery."""
    return [("GET", f"/v1/webhook-endpoints/{one}", None), ("PATCH", f"/v1/webhook-endpoints/{one}", {"description": "mine"}),
            ("DELETE", f"/v1/webhook-endpoints/{one}", None), ("POST", f"/v1/webhook-endpoints/{one}/pause", {}),
            ("POST", f"/v1/webhook-endpoints/{one}/resume", {}), ("POST", f"/v1/webhook-endpoints/{one}/rotate", {}),
            ("POST", f"/v1/webhook-endpoints/{one}/test", {}), ("POST", f"/v1/webhook-endpoints/{one}/replay", {"from": "2026-01-01T00:00:00Z"}),
            ("GET", f"/v1/deliveries/{delivery}", None), ("POST", f"/v1/deliveries/{delivery}/replay", {})]


def test_scopes(world, made, admin):
    delivery = admin.post(f"/v1/webhook-endpoints/{made['id']}/test", {}).json["id"]
    reader = world.caller(world.acme, scopes=["keystile:webhooks:read"])
    writer = world.caller(world.acme, scopes=["keystile:webhooks:write"])
    nobody = world.caller(world.acme, scopes=["keystile:keys:write"])
    for method, path, body in [*calls(made["id"], delivery), ("POST", "/v1/webhook-endpoints", {"url": URL, "events": ["*"]}),
                               ("GET", "/v1/webhook-endpoints", None), ("GET", "/v1/deliveries", None)]:
        nobody.call(method, path, body, expect=403, code="scope_missing")
        (writer if method == "GET" else reader).call(method, path, body, expect=403, code="scope_missing")
    assert shown(admin.get(f"/v1/webhook-endpoints/{made['id']}").json) == shown(made)


def test_what_is_not_seen_is_as_what_is_not_there(world, admin, made):
    delivery = admin.post(f"/v1/webhook-endpoints/{made['id']}/test", {}).json["id"]
    for tenant in (world.other, world.sub):
        stranger = world.caller(tenant, scopes=SCOPES)
        for (method, hidden, body), (_, missing, _) in zip(calls(made["id"], delivery), calls(NOTHING, NO_DELIVERY)):
            one = stranger.call(method, hidden, body, expect=404, code="not_found")
            assert same_problem(one, stranger.call(method, missing, body, expect=404, code="not_found"))
        for path in ("/v1/webhook-endpoints", "/v1/deliveries", f"/v1/deliveries?endpoint={made['id']}",
                     f"/v1/deliveries?tenant={tenant}&endpoint={made['id']}"):
            assert made["id"] not in stranger.get(path).body.decode()
        stranger.get(f"/v1/webhook-endpoints?tenant={world.acme}", expect=403, code="tenant_forbidden")
        stranger.post("/v1/webhook-endpoints", {"url": URL, "events": ["*"], "tenant": world.acme}, expect=403, code="tenant_forbidden")
    assert shown(admin.get(f"/v1/webhook-endpoints/{made['id']}").json) == shown(made)


# ---- the life of an endpoint ----

def test_the_secret_is_shown_once(admin):
    made = endpoint(admin, description="CRM", concurrency=2, rate_limit=100)
    assert WHSEC.fullmatch(made["secret"]) and made["signature"] == "v1"
    assert (made["state"], made["reason"], made["description"], made["concurrency"], made["rate_limit"]) == ("active", None, "CRM", 2, 100)
    assert [s["ends_at"] for s in made["secrets"]] == [None]
    assert shown(admin.get(f"/v1/webhook-endpoints/{made['id']}").json) == shown(made)
    text = admin.get("/v1/webhook-endpoints").body + admin.get("/v1/events").body + admin.get("/v1/audit").body
    assert made["secret"][6:].encode() not in text and made["id"].encode() in text


def test_an_idempotent_creation(admin):
    body, headers = {"url": URL, "events": ["*"]}, {"Idempotency-Key": unique("endpoint")}
    first = admin.post("/v1/webhook-endpoints", body, headers=headers).json
    again = admin.post("/v1/webhook-endpoints", body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true" and shown(again.json) == shown(first)
    admin.post("/v1/webhook-endpoints", {**body, "events": ["key.created"]}, headers=headers, expect=409, code="idempotency_conflict")
    turn = {"Idempotency-Key": unique("rotate")}
    rotated = admin.post(f"/v1/webhook-endpoints/{first['id']}/rotate", {}, headers=turn, expect=200).json
    repeated = admin.post(f"/v1/webhook-endpoints/{first['id']}/rotate", {}, headers=turn, expect=200).json
    assert "secret" not in again.json and "secret" not in repeated and shown(repeated) == shown(rotated) and WHSEC.fullmatch(rotated["secret"])


def test_a_key_pair(admin):
    made = endpoint(admin, signature="v1a")
    assert made["secret"] is None and WHPK.fullmatch(made["secrets"][0]["public_key"]) and made["signature"] == "v1a"


def test_a_change(admin, made):
    changed = admin.patch(f"/v1/webhook-endpoints/{made['id']}", {"url": URL + "/2", "events": ["*"], "description": "d", "concurrency": 3,
                                                                  "rate_limit": 7}).json
    assert (changed["url"], changed["events"], changed["description"], changed["concurrency"], changed["rate_limit"]) == (URL + "/2", ["*"], "d", 3, 7)
    one = admin.patch(f"/v1/webhook-endpoints/{made['id']}", {"concurrency": None, "events": ["key.created", "key.revoked"]}).json
    assert (one["concurrency"], one["rate_limit"], one["events"]) == (None, 7, ["key.created", "key.revoked"])
    assert shown(admin.patch(f"/v1/webhook-endpoints/{made['id']}", {}).json) == shown(one)
    assert shown(admin.get(f"/v1/webhook-endpoints/{made['id']}").json) == shown(one)


def test_pause_and_resume(admin, made):
    for _ in range(2):
        assert admin.post(f"/v1/webhook-endpoints/{made['id']}/pause", expect=200).json["state"] == "paused"
    admin.post(f"/v1/webhook-endpoints/{made['id']}/test", expect=409, code="conflict")
    for _ in range(2):
        assert admin.post(f"/v1/webhook-endpoints/{made['id']}/resume", expect=200).json["state"] == "active"


def test_rotation_with_an_overlap(admin, made):
    secrets = {made["secret"]}
    for count in (2, 3, 4):
        rotated = admin.post(f"/v1/webhook-endpoints/{made['id']}/rotate", {"overlap_s": 600}, expect=200).json
        secrets.add(rotated["secret"])
        assert len(rotated["secrets"]) == count and [s["ends_at"] is None for s in rotated["secrets"]] == [True] + [False] * (count - 1)
    assert len(secrets) == 4
    admin.post(f"/v1/webhook-endpoints/{made['id']}/rotate", {"overlap_s": 600}, expect=409, code="conflict")
    at_once = admin.post(f"/v1/webhook-endpoints/{made['id']}/rotate", expect=200).json
    assert len(at_once["secrets"]) == 1 and at_once["secret"] not in secrets
    pair = admin.post(f"/v1/webhook-endpoints/{made['id']}/rotate", {"signature": "v1a", "overlap_s": 60}, expect=200).json
    assert pair["secret"] is None and [s["signature"] for s in pair["secrets"]] == ["v1a", "v1"] and pair["signature"] == "v1a"
    kept = admin.post(f"/v1/webhook-endpoints/{made['id']}/rotate", expect=200).json
    assert [s["signature"] for s in kept["secrets"]] == ["v1a"]


def test_a_deleted_endpoint_is_gone(admin):
    made = endpoint(admin)
    delivery = admin.post(f"/v1/webhook-endpoints/{made['id']}/test").json["id"]
    gone = admin.delete(f"/v1/webhook-endpoints/{made['id']}").json
    assert gone["state"] == "deleted" and gone["deleted_at"] and gone["secrets"] == []
    for method, path, body in calls(made["id"], delivery)[:8]:
        admin.call(method, path, body, expect=404, code="not_found")
    assert made["id"] not in [e["id"] for e in admin.pages("/v1/webhook-endpoints", 100)]
    assert admin.get(f"/v1/deliveries/{delivery}").json["endpoint"] == made["id"]
    admin.post(f"/v1/deliveries/{delivery}/replay", expect=409, code="conflict")


def test_lists(world, operator, admin):
    below = world.caller(world.sub, scopes=SCOPES)
    mine, theirs = endpoint(admin), endpoint(below)
    assert theirs["tenant"] == world.sub and mine["tenant"] == world.acme
    everything = [e["id"] for e in admin.pages("/v1/webhook-endpoints", 2)]
    assert {mine["id"], theirs["id"]} <= set(everything) and everything == sorted(everything, reverse=True)
    assert {e["tenant"] for e in admin.pages(f"/v1/webhook-endpoints?tenant={world.sub}", 2)} == {world.sub}
    assert {e["tenant"] for e in below.pages("/v1/webhook-endpoints", 2)} == {world.sub}
    assert {mine["id"], theirs["id"]} <= {e["id"] for e in operator.pages("/v1/webhook-endpoints", 100)}
    named = operator.post("/v1/webhook-endpoints", {"url": URL, "events": ["*"], "tenant": world.project}).json
    assert named["tenant"] == world.project and named["organization"] == world.acme


def test_every_change_is_audited_and_told(operator, admin):
    made = endpoint(admin)
    one = f"/v1/webhook-endpoints/{made['id']}"
    admin.patch(one, {"description": "d"})
    admin.patch(one, {"description": "d"})
    admin.post(f"{one}/pause", expect=200)
    admin.post(f"{one}/resume", expect=200)
    admin.post(f"{one}/rotate", expect=200)
    delivery = admin.post(f"{one}/test").json["id"]
    admin.post(f"/v1/deliveries/{delivery}/replay", expect=200)
    admin.delete(one)
    entries = [e["action"] for e in operator.pages("/v1/audit", 500) if e["object"] == made["id"]]
    assert entries == ["endpoint.delete", "delivery.replay", "endpoint.test", "endpoint.rotate", "endpoint.resume", "endpoint.pause", "endpoint.update",
                       "endpoint.create"]
    told = [e["type"] for e in operator.pages("/v1/events", 500) if e["object"] == made["id"]]
    assert told == ["endpoint.deleted", "endpoint.test", "endpoint.secret_rotated", "endpoint.resumed", "endpoint.paused", "endpoint.changed",
                    "endpoint.created"]


# ---- deliveries ----

def test_deliveries_are_found_by_what_they_are_of(world, admin, made):
    first, second = (admin.post(f"/v1/webhook-endpoints/{made['id']}/test").json for _ in range(2))
    assert first["type"] == "endpoint.test" and first["endpoint"] == made["id"] and first["tenant"] == world.acme
    def found(query):
        return [d["id"] for d in admin.pages(f"/v1/deliveries?{query}", 1)]
    assert found(f"endpoint={made['id']}") == [second["id"], first["id"]]
    assert found(f"event={first['event']}") == [first["id"]]
    assert found(f"endpoint={made['id']}&event={second['event']}") == [second["id"]]
    assert found(f"endpoint={NOTHING}") == [] and found(f"event=evt_0000000000001") == []
    assert {first["id"], second["id"]} <= set(found(f"tenant={world.acme}"))
    assert found(f"endpoint={made['id']}&tenant={world.sub}") == []
    assert found(f"endpoint={made['id']}&to=2026-01-01T00:00:00Z") == [] == found(f"endpoint={made['id']}&from=9999-01-01T00:00:00Z")
    assert found(f"endpoint={made['id']}&state=delivered") == []
    states = {d["state"] for d in admin.pages(f"/v1/deliveries?endpoint={made['id']}&state=pending", 1)}
    assert states <= {"pending"}


def test_a_replay_of_what_is_not_there(admin, made):
    answer = admin.post(f"/v1/webhook-endpoints/{made['id']}/replay", {"from": "2026-01-01T00:00:00Z"}, expect=200).json
    assert answer == {"replayed": 0, "next": None}


def test_a_replay_of_many_goes_on_from_step_to_step(world, admin):
    """More events than one step looks at, none of which the endpoint was sent: it is younger."""
    keys = world.caller(world.acme, scopes=["keystile:keys:read", "keystile:keys:write"])
    key = keys.make_key()["id"]
    start = keys.patch(f"/v1/keys/{key}", {"name": "number 0"}) and admin.get("/v1/events?type=key.renamed&limit=1").json["items"][0]["at"]
    client = world.operator.daemon.client(keys.token)
    for number in range(1, 1010):
        assert client.call("PATCH", f"/v1/keys/{key}", {"name": f"number {number}"}).status == 200
    client.close()
    made = endpoint(admin, events=["key.renamed"])
    one = f"/v1/webhook-endpoints/{made['id']}"
    admin.post(f"{one}/pause", expect=200)
    assert admin.get(f"/v1/deliveries?endpoint={made['id']}").json["items"] == []
    assert admin.post(f"{one}/replay", {"from": start}, expect=200).json == {"replayed": 0, "next": None}
    steps, cursor, replayed = 0, None, 0
    while steps == 0 or cursor:
        body = {"from": start, "failed_only": False, **({"cursor": cursor} if cursor else {})}
        step = admin.post(f"{one}/replay", body, expect=200).json
        steps, cursor, replayed = steps + 1, step["next"], replayed + step["replayed"]
    assert steps >= 2 and replayed == 1010
    waiting = admin.pages(f"/v1/deliveries?endpoint={made['id']}&state=pending", 500)
    assert len(waiting) == 1010 == len({d["event"] for d in waiting})
    admin.delete(one)
