"""POST /v1/keys/import: keys of another system, as JSON Lines."""
import base64
import hashlib
import http.client
import json
import random
import socket
import threading

import keystile
import pytest

from api_service import Api, World, eventually, lines, new_key, unique

JSONL = {"Content-Type": "application/jsonl"}
NUMBERS = random.Random(20)


@pytest.fixture(scope="module")
def apart():
    """A world of its own, for imports that others would see."""
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        yield World(daemon)


def token():
    return f"old_{NUMBERS.randrange(1 << 128):032x}"


def line(of, **members):
    return {**new_key(sha256=hashlib.sha256(of.encode()).hexdigest(), prefix="old", last_four=of[-4:]), **members}


def do_import(api, body, **more):
    return api.call("POST", "/v1/keys/import", body, more.pop("headers", JSONL), **{"expect": 200, **more})


def test_import(world, operator):
    tokens = [token() for _ in range(50)]
    body = lines(*(line(t, tenant=world.acme, scopes=["contacts:read"], labels={"from": "old"}) for t in tokens))
    assert do_import(operator, body).json == {"lines": 50, "imported": 50, "refused": 0, "errors": []}
    assert all(world.daemon.authorize(t).status == 200 for t in tokens)
    imported = [k for k in operator.pages(f"/v1/keys?tenant={world.acme}", 500) if k["labels"] == {"from": "old"}]
    assert len(imported) == 50
    assert {(k["prefix"], k["last_four"]) for k in imported} == {("old", t[-4:]) for t in tokens}
    # An imported key lives like any other.
    operator.delete(f"/v1/keys/{imported[0]['id']}")
    gone = [t for t in tokens if t[-4:] == imported[0]["last_four"]][0]
    assert world.daemon.authorize(gone).code == "credential_invalid"


@pytest.mark.parametrize("media", ["application/jsonl", "application/x-ndjson", "application/x-ndjson; charset=utf-8"])
def test_media_types(world, operator, media):
    assert do_import(operator, lines(line(token(), tenant=world.acme)),
                     headers={"Content-Type": media}).json["imported"] == 1


@pytest.mark.parametrize("media", ["application/json", "text/plain", ""])
def test_other_media_types(world, operator, media):
    do_import(operator, lines(line(token(), tenant=world.acme)), headers={"Content-Type": media}, expect=415,
              code="media_type")


def test_digest_as_base64_and_without_hints(world, operator):
    secret = token()
    member = base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode()
    body = {**new_key(tenant=world.acme, scopes=["contacts:read"], sha256=member)}
    assert do_import(operator, lines(body)).json["imported"] == 1
    assert world.daemon.authorize(secret).status == 200
    record = [k for k in operator.get("/v1/keys?limit=5").json["items"] if k["name"] == body["name"]][0]
    assert (record["prefix"], record["last_four"]) == (None, None)


def test_tokens_of_a_foreign_form(world, operator):
    secret = "AKIA/foreign+token=="
    assert do_import(operator, lines(line(secret, tenant=world.acme, scopes=["contacts:read"]))).json["imported"] == 1
    assert world.daemon.authorize(secret).status == 200


BAD = [
    (b"not json", ""),
    (b"[]", ""),
    (b'{"name":"x","name":"y"}', ""),
    (b'{"name":"\xff"}', ""),
    ({"name": None}, "/name"),
    ({"name": "a\nb"}, "/name"),
    ({"expires_at": "soon"}, "/expires_at"),
    ({"expires_at": ...}, "/expires_at"),
    ({"sha256": ...}, "/sha256"),
    ({"sha256": "12"}, "/sha256"),
    ({"sha256": 64 * "g"}, "/sha256"),
    ({"prefix": 33 * "x"}, "/prefix"),
    ({"last_four": "12345678901"}, "/last_four"),
    ({"tenant": "org_0m6xwq3k2r4t8"}, "/tenant"),
    ({"tenant": 5}, "/tenant"),
    ({"scopes": ["no:such"]}, "/scopes"),
    ({"scopes": 5}, "/scopes"),
    ({"kind": "session"}, "/kind"),
    ({"environment": "prod"}, "/environment"),
    ({"addresses": ["x"]}, "/addresses"),
    ({"rate_limit": {"requests": 0, "window_s": 1}}, "/rate_limit"),
    ({"labels": {"a": 1}}, "/labels"),
    ({"nonsense": 1}, "/nonsense"),
    ({"token": "x"}, "/token"),
]


def test_bad_lines_are_told_and_the_others_imported(world, operator):
    body, wanted = b"", []
    good = []
    for change, pointer in BAD:
        good.append(token())
        body += lines(line(good[-1], tenant=world.acme, scopes=["contacts:read"]))
        if isinstance(change, bytes):
            body += change + b"\n"
        else:
            whole = {**line(token(), tenant=world.acme), **change}
            body += lines({k: v for k, v in whole.items() if v is not ...})
        wanted.append((2 * len(good), pointer))
    answer = do_import(operator, body).json
    assert (answer["lines"], answer["imported"], answer["refused"]) == (2 * len(BAD), len(BAD), len(BAD))
    assert [e["line"] for e in answer["errors"]] == [n for n, _ in wanted]
    for error, (_, pointer) in zip(answer["errors"], wanted):
        assert error["pointer"].startswith(pointer) and error["detail"], (error, pointer)
    assert all(world.daemon.authorize(t).status == 200 for t in good)


def test_the_same_digest_twice(world, operator):
    secret = token()
    body = lines(line(secret, tenant=world.acme), line(secret, tenant=world.acme))
    first = do_import(operator, body).json
    assert (first["imported"], first["refused"], first["errors"][0]["line"], first["errors"][0]["pointer"]) == (1, 1, 2,
        "/sha256")
    again = do_import(operator, body).json
    assert (again["imported"], again["refused"]) == (0, 2)


def test_a_revoked_digest_stays_so(world, operator):
    made = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    operator.delete(f"/v1/keys/{made['id']}")
    answer = do_import(operator, lines(line(made["token"], tenant=world.acme, scopes=["contacts:read"]))).json
    assert (answer["imported"], answer["refused"]) == (0, 1)
    assert world.daemon.authorize(made["token"]).code == "credential_invalid"


def test_more_bad_lines_than_are_told(operator):
    answer = do_import(operator, b"x\n" * 1500).json
    assert (answer["lines"], answer["refused"], len(answer["errors"])) == (1500, 1500, 1000)
    assert [e["line"] for e in answer["errors"]] == list(range(1, 1001))


@pytest.mark.parametrize("body, count", [(b"", 0), (b"\n\n\r\n", 0)])
def test_nothing_to_import(operator, body, count):
    assert do_import(operator, body).json == {"lines": count, "imported": 0, "refused": 0, "errors": []}


def test_the_last_line_needs_no_end(world, operator):
    body = lines(line(token(), tenant=world.acme), line(token(), tenant=world.acme))
    assert do_import(operator, body[:-1]).json["imported"] == 2
    assert do_import(operator, body.replace(b"\n", b"\r\n")).json["refused"] == 2


def test_a_line_that_is_too_long(world, operator):
    answer = do_import(operator, lines(line(token(), tenant=world.acme, name=(3 << 20) * "x"),
                                       line(token(), tenant=world.acme))).json
    assert (answer["lines"], answer["imported"], answer["refused"]) == (2, 1, 1)


def test_for_the_operator_alone(world):
    for tenant in (world.acme, world.sub):
        do_import(world.caller(tenant), lines(line(token())), expect=403, code="not_grantable")
    do_import(world.caller(world.partner), lines(line(token())), expect=403, code="kind_not_allowed")
    assert do_import(world.owner, lines(line(token(), tenant=world.acme))).json["imported"] == 1


def test_a_large_file_while_decisions_go_on(apart):
    """More than all buffers together hold, so that the client is held up; meanwhile decisions are answered on other
    connections."""
    world, operator = apart, apart.operator
    tokens = [token() for _ in range(20000)]
    body = b"".join(lines(line(t, tenant=world.acme, scopes=["contacts:read"],
                               labels={"pad": "x" * 200})) for t in tokens)
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"])["token"]
    done = threading.Event()
    answers = []

    def decide():
        client = world.daemon.client(key)
        while not done.is_set():
            answers.append(client.call("GET", "/v1/authorize",
                                       headers={"X-Original-Method": "GET",
                                                "X-Original-URI": "/api/v1/contacts"}).status)
        client.close()

    deciders = [threading.Thread(target=decide) for _ in range(3)]
    for thread in deciders:
        thread.start()
    try:
        result = do_import(operator, body).json
    finally:
        done.set()
        for thread in deciders:
            thread.join()
    assert (result["lines"], result["imported"]) == (20000, 20000)
    assert len(answers) >= 3 and set(answers) == {200}
    assert all(world.daemon.authorize(t).status == 200 for t in tokens[::997])


def test_in_chunks_of_any_size(world, operator):
    tokens = [token() for _ in range(300)]
    body = b"".join(lines(line(t, tenant=world.acme, scopes=["contacts:read"])) for t in tokens)

    def chunks():
        at = 0
        while at < len(body):
            size = NUMBERS.choice([1, 2, 3, 100, 1000, 5000])
            yield body[at:at + size]
            at += size

    assert do_import(operator, chunks()).json["imported"] == 300


def test_a_client_that_goes_away(apart):
    """What came whole is kept, nothing hangs, and the service imports the next file."""
    world, operator = apart, apart.operator
    secret = token()
    with socket.create_connection(("127.0.0.1", world.daemon.port)) as s:
        head = (f"POST /v1/keys/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {operator.token}\r\n"
                f"Content-Type: application/jsonl\r\nContent-Length: 100000\r\n\r\n")
        s.sendall(head.encode() + lines(line(secret, tenant=world.acme, scopes=["contacts:read"])) + b'{"name":"cut')
    for _ in range(6):
        assert do_import(operator, lines(line(token(), tenant=world.acme))).json["imported"] == 1
    eventually(lambda: world.daemon.authorize(secret).status, 200)


def test_more_imports_at_once_than_there_is_room_for(apart):
    """Those that hold a place do so until they end; the next is told to come again."""
    world, operator = apart, apart.operator
    held = []

    def hold():
        """One more import that waits for its body, if there is room."""
        s = socket.create_connection(("127.0.0.1", world.daemon.port))
        s.sendall((f"POST /v1/keys/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {operator.token}\r\n"
                   f"Content-Type: application/jsonl\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").encode())
        if s.recv(100).startswith(b"HTTP/1.1 100"):
            held.append(s)
        else:
            s.close()
        return len(held)

    try:
        eventually(hold, 8)
        do_import(operator, lines(line(token(), tenant=world.acme)), expect=503, code="overloaded")
        for s in held:
            s.sendall(b"\n\n\n\n\n")
            response = http.client.HTTPResponse(s)
            response.begin()
            assert response.status == 200 and json.loads(response.read())["lines"] == 0
    finally:
        for s in held:
            s.close()
    eventually(lambda: do_import(operator, lines(line(token(), tenant=world.acme)), expect=None).status, 200)


def test_it_is_durable():
    with keystile.temporary_data() as data:
        secret = token()
        with keystile.Daemon(data) as daemon:
            operator = Api(daemon, daemon.first_key)
            org = operator.make_tenant("organization")["id"]
            do_import(operator, lines(line(secret, tenant=org, scopes=["contacts:read"], name=unique("durable"))))
            daemon.kill()
        with keystile.Daemon(data) as daemon:
            assert daemon.authorize(secret).status == 200
