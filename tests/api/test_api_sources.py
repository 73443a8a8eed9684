"""Sources of webhooks: made, shown without secrets, paused, rotated, confirmed, deleted; what was received."""
import base64
import hashlib
import hmac
import json
import time

import pytest
import yaml

import keystile

from api_service import Api, pointers, unique

SCOPES = ["keystile:webhooks:read", "keystile:webhooks:write", "keystile:providers:write", "keystile:providers:read"]
SECRET = "a-secret-of-the-test"
GITHUB = yaml.safe_load((keystile.SOURCE / "platforms/github.yaml").read_text(encoding="utf-8"))["webhook"]["github.sha256"]


@pytest.fixture(scope="module")
def admin(world):
    return Api(world.daemon, world.owner.make_key(tenant=world.acme, scopes=SCOPES)["token"])


@pytest.fixture(scope="module")
def stranger(world):
    return Api(world.daemon, world.owner.make_key(tenant=world.other, scopes=SCOPES)["token"])


def make(caller, expect=201, **members):
    body = {"platform": "github", "name": unique("source"), "parameters": {"secrets": [SECRET]}, **members}
    return caller.post("/v1/sources", {k: v for k, v in body.items() if v is not None}, expect=expect)


def signed(body, secret=SECRET, delivery=None):
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": delivery or unique("delivery"), "Content-Type": "application/json"}


def send(daemon, source, body=b'{"zen":1}', headers=None, method="POST", path=""):
    return daemon.call(method, f"/hooks/{source}{path}", body, headers if headers is not None else signed(body))


def messages(caller, source):
    return caller.pages(f"/v1/sources/{source}/messages", 100)


def test_a_source_is_made_and_shown_without_secrets(world, admin):
    made = make(admin)
    source = made.json
    assert (source["platform"], source["scheme"], source["status"], source["tenant"]) == ("github", "github.sha256", "active", world.acme)
    assert source["url"].endswith(f"/hooks/{source['id']}")
    assert source["versions"] == [{"revision": 1, "parameters": {}, "secrets": True, "ends_at": None}]
    found = admin.get(f"/v1/sources/{source['id']}")
    assert found.json["warnings"] == ["no_timestamp"] and found.json["problem"] is None
    listed = admin.get("/v1/sources?limit=500")
    assert source["id"] in [s["id"] for s in listed.json["items"]]
    for answer in (made, found, listed):
        assert SECRET.encode() not in answer.body
    assert world.operator.get(f"/v1/sources?tenant={world.acme}").json["items"]


def test_what_is_genuine_is_kept_and_told(world, daemon, admin):
    source = make(admin).json["id"]
    body = '{"text":"Grüße"}'.encode() + b"\xff\x00"
    headers = signed(body) | {"X-Odd": "a\"b", "Authorization": "Bearer of-the-platform"}
    assert send(daemon, source, body, headers, path="/sub/path?a=1&b=%20x").status == 200
    [line] = messages(admin, source)
    assert (line["method"], line["size"], line["target"]) == ("POST", len(body), f"/hooks/{source}/sub/path?a=1&b=%20x")
    message = admin.get(f"/v1/sources/{source}/messages/{line['id']}").json
    assert base64.b64decode(message["body_base64"]) == body
    kept = dict(message["headers"])
    assert kept["X-Odd"] == 'a"b' and kept["Authorization"] == "***"
    event = next(e for e in world.operator.get(f"/v1/events?tenant={world.acme}&type=inbound.received").json["items"]
                 if e["object"] == line["id"])
    assert event["data"]["source"] == source and event["data"]["size"] == len(body) and event["data"]["scheme"] == "github.sha256"


@pytest.mark.parametrize("headers", [{}, {"X-Hub-Signature-256": "sha256=" + "0" * 64, "X-GitHub-Delivery": "d"}])
def test_what_is_not_genuine_is_refused_alike(daemon, admin, headers):
    source = make(admin).json["id"]
    answers = [send(daemon, source, headers=headers), send(daemon, "src_0000000000000", headers=headers), send(daemon, "nothing", headers=headers),
               send(daemon, "src_0000000000000", headers=signed(b'{"zen":1}'))]
    assert {(a.status, a.body) for a in answers} == {(401, b"")}
    assert messages(admin, source) == []


def test_a_second_one_is_acknowledged_and_not_kept(daemon, admin):
    source, other = make(admin).json["id"], make(admin).json["id"]
    headers = signed(b"{}", delivery="once")
    assert [send(daemon, source, b"{}", headers).status for _ in range(3)] == [200, 200, 200]
    assert len(messages(admin, source)) == 1
    assert send(daemon, other, b"{}", headers).status == 200
    assert len(messages(admin, other)) == 1


def test_paused(daemon, admin):
    source = make(admin).json["id"]
    assert admin.post(f"/v1/sources/{source}/pause", expect=200).json["status"] == "paused"
    assert admin.post(f"/v1/sources/{source}/pause", expect=200).json["status"] == "paused"
    answer = send(daemon, source)
    assert answer.status == 503 and answer.headers["Retry-After"]
    assert send(daemon, source, headers={}).status == 401
    assert admin.post(f"/v1/sources/{source}/resume", expect=200).json["status"] == "active"
    assert send(daemon, source).status == 200
    assert len(messages(admin, source)) == 1


def test_rotated_with_an_overlap(daemon, admin):
    source = make(admin).json["id"]
    changed = admin.post(f"/v1/sources/{source}/rotate", {"parameters": {"secrets": ["another"]}, "overlap_s": 600}, expect=200).json
    assert [(v["revision"], v["ends_at"] is None) for v in changed["versions"]] == [(2, True), (1, False)]
    body = b'{"zen":1}'
    assert [send(daemon, source, body, signed(body, s)).status for s in ("another", SECRET, "third")] == [200, 200, 401]
    admin.post(f"/v1/sources/{source}/rotate", {"parameters": {"secrets": ["third"]}}, expect=200)
    assert [send(daemon, source, body, signed(body, s)).status for s in ("another", SECRET, "third")] == [401, 401, 200]
    answer = admin.post(f"/v1/sources/{source}/rotate", {"parameters": {"secrets": None}}, expect=422)
    assert pointers(answer) == ["/parameters"] or pointers(answer) == ["/parameters/secrets"]


def test_deleted(daemon, admin):
    source = make(admin).json["id"]
    assert send(daemon, source).status == 200
    assert admin.delete(f"/v1/sources/{source}").json["status"] == "deleted"
    assert send(daemon, source).status == 401
    admin.get(f"/v1/sources/{source}", expect=404)
    admin.get(f"/v1/sources/{source}/messages", expect=404)
    admin.delete(f"/v1/sources/{source}", expect=404)


def test_others_see_nothing_of_it(world, daemon, admin, stranger):
    source = make(admin).json["id"]
    assert send(daemon, source).status == 200
    message = messages(admin, source)[0]["id"]
    assert source not in [s["id"] for s in stranger.get("/v1/sources?limit=500").json["items"]]
    for path in ("", "/messages", f"/messages/{message}"):
        stranger.get(f"/v1/sources/{source}{path}", expect=404)
    for action in ("pause", "resume", "confirm"):
        stranger.post(f"/v1/sources/{source}/{action}", expect=404)
    stranger.post(f"/v1/sources/{source}/rotate", {"parameters": {"secrets": ["x"]}}, expect=404)
    stranger.delete(f"/v1/sources/{source}", expect=404)
    own = make(stranger).json["id"]
    stranger.get(f"/v1/sources/{own}/messages/{message}", expect=404)
    make(stranger, tenant=world.acme, expect=403)
    provider = admin.post("/v1/providers", {"tenant": world.acme, "platform": "github", "name": "p"}).json["id"]
    assert pointers(make(stranger, provider=provider, expect=422)) == ["/provider"]


@pytest.mark.parametrize("members,pointer", [
    ({"platform": "nothing"}, "/platform"), ({"scheme": "github.nothing"}, "/scheme"), ({"platform": "sip-trunk"}, "/platform"),
    ({"parameters": {"secrets": [""]}}, "/parameters/secrets"), ({"parameters": {}}, "/parameters"), ({"parameters": []}, "/parameters"),
    ({"parameters": {"secrets": [SECRET], "x": 1}}, "/parameters/x"), ({"parameters": {"secrets": 1}}, "/parameters/secrets"),
    ({"scheme": {"verify": []}}, "/scheme"), ({"scheme": {**GITHUB, "other": 1}}, "/scheme/other"), ({"name": ""}, "/name"), ({"x": 1}, "/x"),
])
def test_what_is_wrong_is_told_with_its_place(admin, members, pointer):
    answer = make(admin, expect=422, **members)
    assert pointer in [p[:len(pointer)] for p in pointers(answer)], answer.body
    assert SECRET.encode() not in answer.body


def test_a_scheme_of_ones_own(daemon, admin):
    form = json.loads(json.dumps(GITHUB).replace("sha256=", "own="))
    source = make(admin, scheme=form, platform=None).json
    assert source["platform"] == "generic" and source["scheme"] == form
    body = b"{}"
    headers = {"X-Hub-Signature-256": "own=" + signed(body)["X-Hub-Signature-256"][7:], "X-GitHub-Delivery": "d"}
    assert send(daemon, source["id"], body, headers).status == 200
    assert send(daemon, source["id"], body, signed(body)).status == 401


def test_sources_of_a_provider(world, admin, stranger):
    provider = admin.post("/v1/providers", {"tenant": world.acme, "platform": "github", "name": "p"}).json["id"]
    source = make(admin, provider=provider, parameters=None).json
    assert source["provider"] == provider
    assert [s["id"] for s in admin.get(f"/v1/sources?provider={provider}").json["items"]] == [source["id"]]
    assert stranger.get(f"/v1/sources?provider={provider}").json["items"] == []
    admin.get("/v1/sources?provider=x", expect=400)


def test_a_message_is_read_under_its_source_alone(daemon, admin):
    one, two = make(admin).json["id"], make(admin).json["id"]
    assert send(daemon, one).status == 200
    message = messages(admin, one)[0]["id"]
    admin.get(f"/v1/sources/{two}/messages/{message}", expect=404)


def test_confirm_opens_a_window(admin):
    source = make(admin).json
    assert source["confirm_until"]
    confirmed = admin.post(f"/v1/sources/{source['id']}/confirm", expect=200).json
    assert confirmed["fetched"] is None and confirmed["confirm_until"] > source["confirm_until"]


def test_each_change_is_audited_and_told(world, admin):
    source = make(admin).json["id"]
    for action in ("pause", "resume", "confirm"):
        admin.post(f"/v1/sources/{source}/{action}", expect=200)
    admin.post(f"/v1/sources/{source}/rotate", {"parameters": {"secrets": ["n"]}}, expect=200)
    admin.delete(f"/v1/sources/{source}")
    entries = [e["action"] for e in world.operator.get("/v1/audit?limit=500").json["items"] if e["object"] == source]
    assert sorted(entries) == ["source.confirm", "source.create", "source.delete", "source.pause", "source.resume", "source.rotate"]
    told = [e["type"] for e in world.operator.get(f"/v1/events?tenant={world.acme}&limit=500").json["items"] if e["object"] == source]
    assert sorted(told) == ["source.confirmed", "source.created", "source.deleted", "source.paused", "source.resumed", "source.rotated"]


def test_a_tenant_takes_its_sources_along(world, daemon):
    tenant = world.operator.make_tenant("organization")["id"]
    source = make(world.owner, tenant=tenant).json["id"]
    assert send(daemon, source).status == 200
    world.operator.post(f"/v1/tenants/{tenant}/suspend", expect=200)
    assert send(daemon, source).status == 503
    world.operator.post(f"/v1/tenants/{tenant}/resume", expect=200)
    assert send(daemon, source).status == 200
    world.owner.post(f"/v1/tenants/{tenant}/erase-secrets", expect=200)
    assert send(daemon, source).status == 401
    assert world.owner.get(f"/v1/sources/{source}").json["problem"]
    world.operator.delete(f"/v1/tenants/{tenant}")
    assert send(daemon, source).status == 401


def test_times_are_of_the_service(daemon, admin):
    """A scheme with a time: what is old is refused, and what is new is taken once."""
    source = make(admin, platform="slack", parameters={"secrets": [SECRET]}).json["id"]
    body = b"token=x"
    for moment, status in ((time.time(), 200), (time.time() - 1000, 401), (time.time() + 1000, 401)):
        stamp = str(int(moment))
        digest = hmac.new(SECRET.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}
        assert send(daemon, source, body, headers).status == status
