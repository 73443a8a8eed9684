"""Leaked tokens: the open report, GitHub's signed alerts, and what is done with a key."""
import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import subprocess
import threading

import jsonschema
import keystile
import pytest

from api_service import Api, World, eventually

SCOPES = ["contacts:read"]


class Signer:
    """A key as GitHub publishes it."""

    def __init__(self, folder, name, curve="prime256v1"):
        self.id = name
        self.path = pathlib.Path(folder) / f"{name}.pem"
        subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", self.path], check=True,
                       capture_output=True)
        self.pem = subprocess.run(["openssl", "ec", "-in", self.path, "-pubout"], check=True, capture_output=True,
                                  text=True).stdout

    def sign(self, body):
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.path], input=body, check=True,
                             capture_output=True).stdout
        return base64.b64encode(der).decode()

    def published(self):
        return {"key_identifier": self.id, "key": self.pem, "is_current": True}


def document(*signers):
    return json.dumps({"public_keys": [s.published() for s in signers]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("github")


@pytest.fixture(scope="module")
def signer(folder):
    return Signer(folder, "a" * 64)


@pytest.fixture(scope="module")
def worlds(folder, signer):
    """One service for each action, made when it is asked for."""
    made = {}
    keys = folder / "keys.json"
    p384 = Signer(folder, "p384", "secp384r1")
    keys.write_text(document(p384, signer))

    def world(action):
        if action not in made:
            env = {"KEYSTILE_LEAKS_ACTION": action, "KEYSTILE_LEAKS_PER_MINUTE": "60000",
                   "KEYSTILE_LEAKS_GITHUB_KEYS": keys, "KEYSTILE_LEAKS_OVERLAP_S": "3600"}
            data = stack.enter_context(keystile.temporary_data())
            made[action] = World(stack.enter_context(keystile.Daemon(data, env=env)))
        return made[action]
    with contextlib.ExitStack() as stack:
        yield world


def report(world, token, **more):
    return Api(world.daemon).call("POST", "/v1/leaks", {"token": token, **more}, expect=202)


def leaked(world, key):
    return [e for e in world.operator.pages("/v1/events?type=key.leaked", 500) if e["object"] == key]


def alert(world, signer, body, *, key_id=None, signature=None, headers=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Github-Public-Key-Identifier": key_id or signer.id,
            "Github-Public-Key-Signature": signature or signer.sign(body), **(headers or {})}
    return Api(world.daemon).call("POST", "/v1/leaks/github", body, {k: v for k, v in sent.items() if v is not None})


# ---- the open report ----

def test_alert(worlds):
    world = worlds("alert")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    report(world, made["token"], url="https://paste.example/1", note="seen in a paste")
    eventually(lambda: len(leaked(world, made["id"])), 1)
    (event,) = leaked(world, made["id"])
    schema = {i["type"]: i["schema"] for i in world.operator.get("/v1/event-types").json["items"]}["key.leaked"]
    jsonschema.Draft202012Validator(schema).validate(event["data"])
    assert {m: event["data"][m] for m in ("source", "action", "url", "note", "ends_at")} == {
        "source": "report", "action": "alert", "url": "https://paste.example/1", "note": "seen in a paste", "ends_at": None}
    assert world.daemon.authorize(made["token"]).status == 200
    entry = world.operator.get("/v1/audit?limit=1&action=key.leak").json["items"][0]
    assert (entry["actor"], entry["object"], entry["tenant"]) == ("system", made["id"], world.acme)


def test_rotate(worlds):
    world = worlds("rotate")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    report(world, made["token"])
    eventually(lambda: len(leaked(world, made["id"])), 1)
    data = leaked(world, made["id"])[0]["data"]
    assert data["action"] == "rotate" and data["ends_at"] is not None and data["url"] is None
    assert world.daemon.authorize(made["token"]).status == 200
    successor = world.operator.post(f"/v1/keys/{made['id']}/rotate", {"overlap_s": 86400}).json
    assert world.daemon.authorize(successor["token"]).status == 200
    rotated = world.operator.get("/v1/events?type=key.rotated&limit=1").json["items"][0]
    assert rotated["data"]["ends_at"] == data["ends_at"], "a rotation does not put the end off"


def test_revoke(worlds):
    world = worlds("revoke")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    report(world, made["token"])
    eventually(lambda: world.daemon.authorize(made["token"]).code, "credential_invalid")
    record = world.operator.get(f"/v1/keys/{made['id']}").json
    assert (record["status"], record["revoked_by"]) == ("revoked", "system")
    assert [e["type"] for e in world.operator.get(f"/v1/events?limit=2&tenant={world.acme}").json["items"]] == [
        "key.revoked", "key.leaked"]


def test_runtime_keys_go_on(worlds):
    world = worlds("revoke")
    made = world.owner.make_key(kind="runtime", scopes=["contacts:read"])
    report(world, made["token"])
    eventually(lambda: len(leaked(world, made["id"])), 1)
    assert leaked(world, made["id"])[0]["data"]["action"] == "alert"
    assert world.operator.get(f"/v1/keys/{made['id']}").json["status"] == "active"


def test_the_answer_tells_nothing(worlds):
    world = worlds("alert")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    gone = world.operator.make_key(tenant=world.acme)
    world.operator.delete(f"/v1/keys/{gone['id']}")
    answers = [report(world, t) for t in (made["token"], gone["token"], "ks_" + 32 * "0", "x", 512 * "y")]
    assert len({a.body for a in answers}) == 1
    ignored = ("X-Request-Id", "Date")
    assert len({tuple((k, v) for k, v in a.headers.items() if k not in ignored) for a in answers}) == 1


def test_told_once_and_only_what_is_there(worlds):
    world = worlds("alert")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    before = world.operator.get("/v1/events?limit=1").json["items"][0]["id"]
    for token in (made["token"], made["token"], "ks_" + 32 * "1", made["token"]):
        report(world, token)
    last = world.operator.make_key(tenant=world.acme)
    after = world.operator.pages(f"/v1/events?after={before}", 50)
    assert [(e["type"], e["object"]) for e in after] == [("key.leaked", made["id"]), ("key.created", last["id"])]


def test_a_token_is_kept_nowhere(worlds):
    world = worlds("alert")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    other = world.operator.make_key(tenant=world.acme, scopes=SCOPES)["token"]
    report(world, made["token"], url=f"https://x.test/?key={made['token']}", note=f"with {other}!")
    eventually(lambda: len(leaked(world, made["id"])), 1)
    data = leaked(world, made["id"])[0]["data"]
    assert data["url"] == data["note"] == "[withheld: it held a token]"
    everything = json.dumps(world.operator.pages("/v1/events", 500) + world.operator.pages("/v1/audit", 500))
    for token in (made["token"], other):
        assert token not in everything and token not in world.daemon.errors


@pytest.mark.parametrize("body, pointer", [({}, "/token"), ({"token": ""}, "/token"), ({"token": 1}, "/token"),
                                           ({"token": None}, "/token"), ({"token": 513 * "x"}, "/token"),
                                           ({"token": "x", "url": 1001 * "u"}, "/url"), ({"token": "x", "note": 501 * "n"}, "/note"),
                                           ({"token": "x", "url": "a\nb"}, "/url"), ({"token": "x", "note": "a\x07b"}, "/note"),
                                           ({"token": "x", "more": 1}, "/more")])
def test_wrong_reports(worlds, body, pointer):
    answer = Api(worlds("alert").daemon).call("POST", "/v1/leaks", body, expect=422)
    assert pointer in [e["pointer"] for e in answer.json["errors"]]


def test_one_address_is_limited():
    with keystile.temporary_data() as data, keystile.Daemon(data, env={
            "KEYSTILE_LEAKS_PER_MINUTE": "3", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}) as daemon:
        def send(address, body=None):
            return daemon.call("POST", "/v1/leaks", body or {"token": "x"}, {"X-Forwarded-For": address})

        assert [send("203.0.113.1").status for _ in range(3)] == [202, 202, 202]
        limited = send("203.0.113.1")
        assert limited.code == "rate_limited" and 1 <= int(limited.headers["Retry-After"]) <= 20
        assert send("203.0.113.1", body={"token": ""}).status == 429
        # Others are not, and of IPv6 a /64 is one party.
        assert send("203.0.113.2").status == 202
        assert [send(f"2001:db8:1:2::{i}").status for i in range(4)] == [202, 202, 202, 429]
        assert send("2001:db8:1:3::1").status == 202


# ---- GitHub's alerts ----

def test_github(worlds, signer):
    world = worlds("alert")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    gone = world.operator.make_key(tenant=world.acme)
    world.operator.delete(f"/v1/keys/{gone['id']}")
    tokens = [made["token"], "ks_" + 32 * "2", gone["token"]]
    body = [{"token": t, "type": "keystile_token", "url": f"https://git.example/{i}", "source": "content", "new_member": 1}
            for i, t in enumerate(tokens)]
    answer = alert(world, signer, body)
    assert answer.status == 200, answer
    assert answer.json == [{"token_hash": hashlib.sha256(t.encode()).hexdigest(), "token_type": "keystile_token", "label": label}
                           for t, label in zip(tokens, ("true_positive", "false_positive", "true_positive"))]
    (event,) = leaked(world, made["id"])
    assert (event["data"]["source"], event["data"]["url"], event["data"]["note"]) == ("github", "https://git.example/0", "content")
    assert leaked(world, gone["id"]) == []
    text = world.daemon.call("GET", "/metrics").body.decode()
    assert 'keystile_leak_reports_total{source="github"}' in text


# The example of GitHub's documentation, and the key that GitHub published for it.
EXAMPLE_ID = "bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c"
EXAMPLE_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd
AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==
-----END PUBLIC KEY-----
"""
EXAMPLE_SIGNATURE = ("MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4"
                     "xg==")
EXAMPLE_BODY = b'[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]'


def test_the_example_of_githubs_documentation(tmp_path, signer):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"public_keys": [{"key_identifier": EXAMPLE_ID, "key": EXAMPLE_KEY, "is_current": True}]}))
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_LEAKS_GITHUB_KEYS": keys}) as daemon:
        world = World(daemon)
        answer = alert(world, signer, EXAMPLE_BODY, key_id=EXAMPLE_ID, signature=EXAMPLE_SIGNATURE)
        assert answer.status == 200 and answer.json == [{
            "token_hash": hashlib.sha256(b"some_token").hexdigest(), "token_type": "some_type", "label": "false_positive"}]
        for at in (0, 40, len(EXAMPLE_BODY) - 1):
            changed = bytearray(EXAMPLE_BODY)
            changed[at] ^= 1
            answer = alert(world, signer, bytes(changed), key_id=EXAMPLE_ID, signature=EXAMPLE_SIGNATURE)
            assert answer.code == "signature_invalid"


def test_github_revokes_before_it_answers(worlds, signer):
    world = worlds("revoke")
    made = world.operator.make_key(tenant=world.acme, scopes=SCOPES)
    assert alert(world, signer, [{"token": made["token"], "type": "t"}]).status == 200
    assert world.daemon.authorize(made["token"]).code == "credential_invalid"


def test_github_many_matches(worlds, signer):
    body = [{"token": f"ks_{i:032x}", "type": "t", "url": "", "source": "commit"} for i in range(5000)]
    answer = alert(worlds("alert"), signer, body)
    assert answer.status == 200 and {m["label"] for m in answer.json} == {"false_positive"} and len(answer.json) == 5000


@pytest.fixture(scope="module")
def stranger(folder):
    return Signer(folder, "b" * 64)


GOOD = json.dumps([{"token": "ks_" + 32 * "3", "type": "t"}]).encode()


@pytest.mark.parametrize("case", ["other key", "unknown id", "p384", "other body", "no signature", "no id", "not base64", "cut",
                                  "raw form", "empty", "id in upper case", "blank in base64"])
def test_github_wrong_signatures(worlds, signer, stranger, case):
    world = worlds("alert")
    good = signer.sign(GOOD)
    der = base64.b64decode(good)
    more = {
        "other key": {"signature": stranger.sign(GOOD)},
        "unknown id": {"key_id": "c" * 64},
        "p384": {"key_id": "p384"},
        "other body": {"signature": signer.sign(GOOD + b" ")},
        "no signature": {"headers": {"Github-Public-Key-Signature": None}},
        "no id": {"headers": {"Github-Public-Key-Identifier": None}},
        "not base64": {"signature": "!" + good[1:]},
        "cut": {"signature": base64.b64encode(der[:-1]).decode()},
        "raw form": {"signature": base64.b64encode(64 * b"\1").decode()},
        "empty": {"headers": {"Github-Public-Key-Signature": ""}},
        "id in upper case": {"key_id": "A" * 64},
        "blank in base64": {"signature": good[:10] + " " + good[10:]},
    }[case]
    answer = alert(world, signer, GOOD, **more)
    assert (answer.status, answer.code) == (401, "signature_invalid")


@pytest.mark.parametrize("body", [b"[]", b"{}", b"x", b"[1]", b'[{"token": "a"}]', b'[{"type": "a"}]', b'[{"token": 1, "type": "t"}]',
                                  b'[{"token": "a", "type": ""}]', b'[{"token": "a", "token": "b", "type": "t"}]',
                                  b'[{"token": "a", "type": "t"},{}]', b'[[' * 3000])
def test_github_bodies_that_are_none(worlds, signer, body):
    answer = alert(worlds("alert"), signer, body)
    assert (answer.status, answer.code) == (400, "body_malformed")


def test_github_is_not_there_without_keys(world):
    assert world.daemon.call("POST", "/v1/leaks/github", [{"token": "a", "type": "t"}]).code == "not_found"


class KeyServer:
    """Publishes keys as GitHub does; counts who asks."""

    def __init__(self):
        self.document, self.asked, self.status = "", 0, 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                outer.agent = self.headers["User-Agent"]
                body = outer.document.encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/meta/public_keys/secret_scanning"


def test_keys_are_fetched_and_kept(signer, stranger):
    server = KeyServer()
    server.document = document(signer)
    with keystile.temporary_data() as data, keystile.Daemon(data, env={
            "KEYSTILE_LEAKS_GITHUB_KEYS_URL": server.url, "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8",
            "KEYSTILE_LEAKS_PER_MINUTE": "60000"}) as daemon:
        world = World(daemon)
        assert server.asked == 0
        for _ in range(3):
            assert alert(world, signer, GOOD).status == 200
        assert server.asked == 1 and server.agent == "keystile"
        # An unknown key makes it ask again, but not every time that somebody sends one.
        for _ in range(5):
            assert alert(world, stranger, GOOD).code == "signature_invalid"
        assert server.asked == 1
        assert alert(world, signer, GOOD).status == 200
    server.server.shutdown()


@pytest.mark.parametrize("status, text", [(500, None), (200, "nonsense"), (200, '{"public_keys": []}'), (200, "x" * 100000)])
def test_keys_that_cannot_be_had(signer, status, text):
    server = KeyServer()
    server.status, server.document = status, text if text is not None else document(signer)
    with keystile.temporary_data() as data, keystile.Daemon(data, env={
            "KEYSTILE_LEAKS_GITHUB_KEYS_URL": server.url, "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8"}) as daemon:
        assert alert(World(daemon), signer, GOOD).code == "signature_invalid"
        assert server.asked == 1
    server.server.shutdown()


@pytest.mark.parametrize("setting, value", [("LEAKS_ACTION", "delete"), ("LEAKS_GITHUB_KEYS", "/dev/null"),
                                            ("LEAKS_GITHUB_KEYS", "/nonexistent"), ("LEAKS_GITHUB_KEYS_URL", "ftp://x.test/"),
                                            ("LEAKS_GITHUB_KEYS_URL", "nonsense"), ("FETCH_ALLOW", "nonsense")])
def test_settings_that_are_none(setting, value):
    with keystile.temporary_data() as data:
        done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={f"KEYSTILE_{setting}": value})
        assert done.code == 1 and setting.lower().replace("_", ".", 1) in done.err, done


# ---- what trufflehog asks ----

def test_trufflehog(world, operator):
    made = world.operator.make_key(tenant=world.acme, addresses=["203.0.113.0/24"])
    gone = world.operator.make_key(tenant=world.acme)
    world.operator.delete(f"/v1/keys/{gone['id']}")
    asker = world.operator.as_key(scopes=["keystile:verify"])

    def ask(*texts, api=asker):
        return api.call("POST", "/v1/verify/trufflehog", {"ks_token": {"token": list(texts)}})
    assert ask(made["token"], made["token"]).status == 200
    assert ask("nonsense", made["token"]).status == 200
    for text in (gone["token"], "ks_" + 32 * "0", "nonsense", ""):
        assert ask(text).code == "not_found"
    # Whoever does not see the key's tenant learns nothing of it.
    assert ask(made["token"], api=world.operator.as_key(tenant=world.other, scopes=["keystile:verify"])).code == "not_found"
    assert ask(made["token"], api=world.operator.as_key(scopes=["keystile:keys:read"])).code == "scope_missing"


@pytest.mark.parametrize("body", [{}, {"a": 1}, {"a": {}}, {"a": {"b": "c"}}, {"a": {"b": []}}, {"a": {"b": [1]}},
                                  {"a": {"b": 17 * ["x"]}}])
def test_wrong_questions_of_trufflehog(operator, body):
    operator.as_key(scopes=["keystile:verify"]).call("POST", "/v1/verify/trufflehog", body, expect=422)
