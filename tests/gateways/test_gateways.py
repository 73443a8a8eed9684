"""nginx, Caddy and HAProxy with exactly the configurations of docs/gateways: what is allowed reaches the application
with the identity that Keystile decided on, what is refused does not reach it, and no client gains anything by what it
sends."""
import base64
import os
import re
import urllib.parse

import keystile
import pytest

import gateway_support as support
from api_service import Api, new_key
from gateway_support import GATEWAYS, SETTINGS
from people import Person

UNKNOWN = "ks_" + 32 * "0"

PASSES_TRAILERS = {"haproxy"}


def identity_of(operator, key, tenant=None, method="GET", path="/api/v1/contacts"):
    """The identity headers that /v1/verify's answer stands for."""
    question = {"credential": key["token"], "method": method, "path": path, **({"tenant": tenant} if tenant else {})}
    v = operator.post("/v1/verify", question, expect=200).json
    assert v["allow"], v
    return {
        "Principal": v["principal"],
        "Kind": v["kind"],
        "Tenant": v["tenant"],
        "Organization": v["organization"] or "",
        "Visible": ",".join(v["visible"]),
        "Inherited": ",".join(v["inherited"]),
        "Scopes": " ".join(v["scopes"]),
        "Environment": v["environment"],
        "Family": v["family"],
    }


def only(application):
    taken = application.taken()
    assert len(taken) == 1, taken
    return taken[0]


def refused(application, answer, status, code):
    assert answer.status == status, answer
    assert answer.code == code, answer
    assert application.taken() == []
    return answer


# ---- what is allowed ----


def test_an_allowed_request_carries_the_identity(gateway, wire, application, operator, reader):
    answer = wire.ask(
        "/api/v1/contacts?page=2&q=a%20b", token=reader["token"], headers=[("Accept", "text/plain"), ("X-Mine", "kept")]
    )
    assert (answer.status, answer.body) == (200, b"application\n")
    request = only(application)
    assert (request.method, request.target) == ("GET", "/api/v1/contacts?page=2&q=a%20b")
    assert request.identity() == identity_of(operator, reader)
    assert (request.value("X-Mine"), request.value("Accept")) == ("kept", "text/plain")
    assert request.value("X-Request-Id") and request.value("Host") == "api.test"
    assert request.value("X-Forwarded-For") == "127.0.0.1"


def test_the_token_stays_with_the_gateway(wire, application, reader):
    wire.ask(token=reader["token"])
    wire.ask(headers=[("X-API-Key", reader["token"])])
    taken = application.taken()
    assert len(taken) == 2
    for request in taken:
        assert reader["token"] not in repr(request)


@pytest.mark.parametrize("binding", ["acme", "sub", "project", "partner", "user"])
def test_identity_of_every_binding(wire, application, world, operator, binding):
    if binding == "user":
        user = operator.post("/v1/users", {"organization": world.acme, "email": new_key()["name"] + "@acme.test"}).json
        key = operator.make_key(user=user["id"], scopes=["contacts:read"])
    else:
        key = operator.make_key(tenant=getattr(world, binding), scopes=["contacts:read"])
    tenant = world.first if binding == "partner" else None
    answer = wire.ask(token=key["token"], headers=[("X-Tenant-Id", tenant)] if tenant else [])
    assert answer.status == 200
    request = only(application)
    assert request.identity() == identity_of(operator, key, tenant)
    assert request.values("X-Tenant-Id") == []


def test_inherited_tenants_reach_the_application(wire, application, world, operator):
    key = operator.make_key(tenant=world.nested, scopes=["caller_trust:read"])
    assert wire.ask("/api/v1/caller-trust", token=key["token"]).status == 200
    identity = only(application).identity()
    assert (identity["Tenant"], identity["Inherited"]) == (world.nested, f"{world.sub},{world.acme}")


def test_basic_on_the_space_url(wire, application, world, operator):
    slug = operator.get(f"/v1/tenants/{world.acme}").json["slug"]
    key = operator.make_key(tenant=world.project, scopes=["contacts:read"])

    def ask(project, host, token=key["token"]):
        secret = base64.b64encode(f"{project}:{token}".encode()).decode()
        return wire.ask(host=host, headers=[("Authorization", f"Basic {secret}")])

    for host in (f"{slug}.space.test", f"{slug}.space.test:8080", f"{slug.upper()}.Space.Test"):
        assert ask(world.project, host).status == 200, host
        assert only(application).identity() == identity_of(operator, key)
    for project, host, token in (
        (world.acme, f"{slug}.space.test", key["token"]),
        (world.project, "other.space.test", key["token"]),
        (world.project, f"{slug}.space.test", UNKNOWN),
    ):
        answer = refused(application, ask(project, host, token), 401, "credential_invalid")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_rate_limits(wire, application, world, operator):
    key = operator.make_key(
        tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 2, "window_s": 2592000}
    )
    first = wire.ask(token=key["token"])
    assert first.status == 200
    assert first.headers["RateLimit-Policy"] == '"key";q=2;w=2592000'
    assert first.headers["RateLimit"].startswith('"key";r=1;')
    assert wire.ask(token=key["token"]).status == 200
    assert len(application.taken()) == 2
    answer = refused(application, wire.ask(token=key["token"]), 429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 2592000
    assert answer.headers["RateLimit"].startswith('"key";r=0;')
    assert answer.headers["RateLimit-Policy"] == '"key";q=2;w=2592000'
    assert answer.headers.get_all("RateLimit") == [answer.headers["RateLimit"]]


def test_no_rate_limit_no_header(wire, reader):
    answer = wire.ask(token=reader["token"])
    assert answer.status == 200 and not answer.headers["RateLimit"] and not answer.headers["RateLimit-Policy"]


# ---- what is refused ----


def test_refusals(wire, application, world, operator, reader, partner_key):
    contacts = "/api/v1/contacts"
    sandbox = operator.make_key(tenant=world.acme, environment="sandbox", scopes=["billing:tenant:read"])["token"]
    elsewhere = operator.make_key(tenant=world.acme, scopes=["contacts:read"], addresses=["203.0.113.0/24"])["token"]
    table = [
        (401, "credential_missing", {}),
        (401, "credential_invalid", {"token": UNKNOWN}),
        (401, "credential_malformed", {"token": "nonsense"}),
        (403, "route_unknown", {"token": reader["token"], "target": "/nowhere"}),
        (403, "kind_not_allowed", {"token": reader["token"], "target": "/internal/v1/events", "method": "POST"}),
        (403, "scope_missing", {"token": reader["token"], "method": "DELETE"}),
        (403, "environment_mismatch", {"token": sandbox, "target": "/api/v1/billing/tenant"}),
        (403, "address_not_allowed", {"token": elsewhere}),
        (403, "address_not_allowed", {"token": elsewhere, "headers": [("X-Forwarded-For", "203.0.113.9")]}),
        (403, "tenant_forbidden", {"token": reader["token"], "headers": [("X-Tenant-Id", world.other)]}),
        (400, "tenant_required", {"token": partner_key["token"]}),
        (403, "tenant_forbidden", {"token": partner_key["token"], "headers": [("X-Tenant-Id", world.acme)]}),
        (400, "path_ambiguous", {"token": reader["token"], "target": contacts + "//x"}),
    ]
    for status, code, how in table:
        answer = refused(application, wire.ask(**how), status, code)
        if status == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert len(answer.headers.get_all("WWW-Authenticate")) == 1


def test_the_client_is_whom_the_gateway_saw(gateway, application, world, operator):
    """Neither the gateway nor what the client writes: the address of the connection's other end."""
    keys = {
        a: operator.make_key(tenant=world.acme, scopes=["contacts:read"], addresses=[a])["token"]
        for a in ("127.0.0.1", "127.0.0.2", "203.0.113.9")
    }
    for forged in ([], [("X-Forwarded-For", "203.0.113.9")], [("X-Forwarded-For", "203.0.113.9, 127.0.0.1")]):
        for address, token in keys.items():
            with support.Wire(gateway.port, "127.0.0.2") as wire:
                answer = wire.ask(token=token, headers=forged)
            if address == "127.0.0.2":
                assert answer.status == 200 and only(application).value("X-Forwarded-For") == "127.0.0.2"
            else:
                refused(application, answer, 403, "address_not_allowed")


def test_a_revoked_key_is_refused_on_the_next_request_of_its_connection(wire, application, world, operator):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    assert [wire.ask(token=key["token"]).status for _ in range(3)] == [200, 200, 200]
    assert len(application.taken()) == 3
    operator.delete(f"/v1/keys/{key['id']}")
    refused(application, wire.ask(token=key["token"]), 401, "credential_invalid")


def mint(operator, key, **narrower):
    """A JWT for the key."""
    form = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["token"], **narrower}
    media = {"Content-Type": "application/x-www-form-urlencoded"}
    return Api(operator.daemon).call("POST", "/v1/token", urllib.parse.urlencode(form), media, expect=200).json["access_token"]


def test_a_jwt_is_taken_and_dies_with_its_key(wire, application, world, operator):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read", "contacts:write"])
    whole, narrow = mint(operator, key), mint(operator, key, scope="contacts:read", tenant=world.sub)
    assert wire.ask(token=whole).status == 200
    assert only(application).identity() == identity_of(operator, {"token": whole})
    assert wire.ask(token=narrow).status == 200
    request = only(application)
    assert (request.identity()["Tenant"], request.identity()["Scopes"]) == (world.sub, "contacts:read")
    assert narrow not in repr(request)
    refused(application, wire.ask(token=narrow, method="POST"), 403, "scope_missing")
    refused(application, wire.ask(token=narrow, headers=[("X-Tenant-Id", world.acme)]), 403, "tenant_forbidden")
    refused(application, wire.ask(token=whole[:-2] + "AA"), 401, "credential_invalid")
    operator.delete(f"/v1/keys/{key['id']}")
    for token in (whole, narrow):
        refused(application, wire.ask(token=token), 401, "credential_invalid")


def test_a_person_comes_with_a_jwt_and_not_with_the_cookie(wire, application, world, operator):
    person = Person(world, world.acme).role(world.sub, "administrator")
    jwt = person.login(**{"as": "jwt"}).json["token"]
    where = {"headers": [("X-Tenant-Id", world.sub)], "target": "/api/v1/settings"}
    assert wire.ask(token=jwt, **where).status == 200
    identity = only(application).identity()
    assert (identity["Principal"], identity["Kind"], identity["Tenant"]) == (person.id, "session", world.sub)
    cookie = ("Cookie", person.session().cookie)
    refused(application, wire.ask(headers=[cookie]), 401, "credential_missing")
    operator.delete(f"/v1/tenants/{world.sub}/members/{person.id}")
    answer = wire.ask(token=jwt, **where)
    assert answer.status == 403 and application.taken() == []


def test_a_suspended_organization_is_refused_on_the_next_request(wire, application, operator):
    org = operator.make_tenant("organization")["id"]
    sub = operator.make_tenant("sub_entity", org)["id"]
    keys = [operator.make_key(tenant=t, scopes=["contacts:read"])["token"] for t in (org, sub)]
    assert [wire.ask(token=k).status for k in keys] == [200, 200]
    application.taken()
    operator.post(f"/v1/tenants/{org}/suspend", expect=200)
    for key in keys:
        refused(application, wire.ask(token=key), 401, "credential_invalid")
    operator.post(f"/v1/tenants/{org}/resume", expect=200)
    assert [wire.ask(token=k).status for k in keys] == [200, 200]


# ---- what clients try ----

FORGED = ["X-Keystile-{}", "x-keystile-{}", "X_Keystile_{}", "x-keystile_{}", "X_KEYSTILE-{}"]


@pytest.mark.parametrize("form", FORGED)
def test_forged_identity_gains_nothing(wire, application, operator, reader, form):
    headers = [(form.format(name), "forged") for name in [*support.IDENTITY, "Status", "Code"] for _ in range(2)]
    assert wire.ask(token=reader["token"], headers=headers).status == 200
    request = only(application)
    assert request.identity() == identity_of(operator, reader)
    assert "forged" not in repr(request)
    refused(application, wire.ask(headers=headers), 401, "credential_missing")


@pytest.mark.parametrize(
    "line",
    [
        "X-Keystile-Principal : forged",
        "X-Keystile-Principal\t: forged",
        " X-Keystile-Principal: forged",
        "X-Keystile-Principal:forged",
        "X-Keystile-Principal:    forged   ",
        "X-Mine: a\r\n X-Keystile-Principal: forged",
        "X-Keystile-Principal: a\r\n forged",
    ],
)
def test_forged_identity_in_odd_lines(gateway, application, operator, reader, line):
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(token=reader["token"], headers=[line])
    assert answer is None or answer.status in (200, 400, 401)
    for request in application.taken():
        assert request.identity() == identity_of(operator, reader)
        assert not any("keystile" in n.lower() and "forged" in v for n, v in request.headers), request


@pytest.mark.parametrize("tenant", ["other", "root", "first", "nonsense", "two", "underscore", "case"])
def test_a_tenant_header_gains_nothing(wire, application, world, operator, reader, tenant):
    headers = {
        "two": [("X-Tenant-Id", world.sub), ("X-Tenant-Id", world.other)],
        "underscore": [("X_Tenant_Id", world.other)],
        "case": [("x-TENANT-id", world.other)],
    }.get(tenant) or [("X-Tenant-Id", getattr(world, tenant, tenant))]
    answer = wire.ask(token=reader["token"], headers=headers)
    if tenant == "underscore":
        assert answer.status == 200
        request = only(application)
        assert request.identity()["Tenant"] == world.acme and world.other not in repr(request)
    else:
        refused(application, answer, 403, "tenant_forbidden")


def test_a_tenant_that_the_key_sees_is_taken(wire, application, world, reader):
    assert wire.ask(token=reader["token"], headers=[("X-Tenant-Id", world.sub)]).status == 200
    assert only(application).identity()["Tenant"] == world.sub


def test_the_original_request_cannot_be_forged(wire, application, reader):
    """Headers by which gateways tell the request: what a client sends of them decides nothing."""
    forged = [
        [("X-Original-Method", "GET"), ("X-Original-URI", "/api/v1/contacts")],
        [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/api/v1/contacts"), ("X-Forwarded-Host", "api.test")],
        [("X-Forwarded-Uri", "/api/v1/contacts")],
        [("X-Original-URI", "/api/v1/contacts")],
    ]
    for headers in forged:
        refused(
            application,
            wire.ask("/api/v1/billing/tenant", token=reader["token"], headers=headers),
            403,
            "scope_missing",
        )
        assert wire.ask(token=reader["token"], headers=headers).status == 200
        assert only(application).target == "/api/v1/contacts"
        headers = [(n, v.replace("contacts", "billing/tenant")) for n, v in headers]
        assert wire.ask(token=reader["token"], headers=headers).status == 200
        assert only(application).target == "/api/v1/contacts"


def test_several_credentials_are_refused(gateway, application, reader, writer):
    cases = [
        [("Authorization", f"Bearer {reader['token']}"), ("X-API-Key", writer["token"])],
        [("X-API-Key", reader["token"]), ("X-API-Key", writer["token"])],
        [("Authorization", f"Bearer {reader['token']}"), ("Authorization", f"Bearer {writer['token']}")],
    ]
    for headers in cases:
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(headers=headers)
        assert answer is None or answer.status in (400, 401), answer
        assert application.taken() == []


@pytest.mark.parametrize(
    "names",
    [
        "X-Tenant-Id",
        "X-Keystile-Principal, X-Keystile-Tenant",
        "Authorization",
        "X-Api-Key",
        "close, X-Keystile-Visible",
        "X-Forwarded-Uri, X-Forwarded-Method",
        "X-Original-URI",
        "keep-alive, X-Request-Id",
        "Host",
        "X-Forwarded-For",
    ],
)
def test_connection_takes_no_header_away(gateway, application, world, operator, reader, names):
    for headers in ([("Connection", names)], [("Connection", "keep-alive"), ("Connection", names)]):
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(token=reader["token"], headers=[*headers, ("X-Tenant-Id", world.sub)])
        if answer.status == 200:
            request = only(application)
            assert request.identity() == identity_of(operator, reader, world.sub)
            assert not any("x-" in value.lower() for value in request.values("Connection")), request
        else:
            assert answer.status in (400, 401) and application.taken() == []
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(token=reader["token"], headers=[("Connection", names), ("X-Tenant-Id", world.other)])
        assert answer.status in (400, 401, 403) and application.taken() == []


# ---- paths ----

ODD = [
    "/api/v1/contacts/..%2fbilling/tenant",
    "/api/v1/contacts/../billing/tenant",
    "/api/v1/contacts/./x",
    "/api/v1//contacts",
    "//api/v1/contacts",
    "/api/v1/contacts/%2e%2e/billing/tenant",
    "/api/v1/contacts/%2E%2E%2Fbilling",
    "/api/v1/contacts;a=b",
    "/api/v1/contacts/%3bx",
    "/api/v1/contacts%2f..%2fbilling",
    "/api/v1/contacts/%252e%252e/billing",
    "/api/v1/contacts\\..\\billing",
    "/api/v1/contacts/%5c..",
    "/api/v1/contacts/%00",
    "/api/v1/contacts/%zz",
    "/api/v1/contacts/%",
    "/api/v1/contacts/%ff",
    "/api/v1/contacts/%c0%ae%c0%ae/billing",
    "/api/v1/contacts/..",
    "/api/v1/contacts/.",
    "/api/v1/contacts/..;/billing",
    "/api/v1/billing/tenant/../../contacts",
    "/api/v1/contacts#/../billing/tenant",
    "/%61pi/v1/contacts",
    "/api/v1/contact%73",
    "/api/v1/billing%2ftenant",
    "/API/V1/contacts",
    "/api/v1/contacts/",
    "/api/v1/contacts?/../billing",
    "/api/v1/contacts/?",
    "/api/v1/contacts/a%3Fb",
    "/api/v1/contacts/a%23b",
    "/api/v1/contacts/%e2%82%ac",
    "http://api.test/api/v1/contacts",
    "http://api.test//api/v1/contacts",
    "http://api.test/api/v1/contacts/..%2fx",
    "http://other.test/api/v1/billing/tenant",
    "*",
    "http://api.test",
    "/",
    "/api/v1/contacts/a+b",
    "/api/v1/contacts/a%20b",
    "/api/v1/contacts/:x@y",
    "/api/v1/contacts/%7ex",
    "/api/v1/contacts/\x01",
    "/api/v1/contacts/\xff",
    "/_keystile",
    "/v1/authorize",
    "/api/v1/contacts/[x]",
    "/api/v1/contacts/{x}",
    '/api/v1/contacts/"x"',
    "/api/v1/contacts/x^|`",
    "/api/v1/contacts/%2",
    "?/api/v1/contacts",
    "api/v1/contacts",
]


def readings(target):
    """Paths that one or another application may take this target for."""
    path = re.sub(r"^https?://[^/?#]*", "", target).split("?")[0].split("#")[0] or "/"
    seen = {path}
    for _ in range(3):
        for p in list(seen):
            seen |= {
                urllib.parse.unquote(p, "latin-1"),
                re.sub("/+", "/", p),
                re.sub(";[^/]*", "", p),
                p.replace("\\", "/"),
                urllib.parse.urljoin("http://x/", p)[len("http://x") :] if not p.startswith("//") else p,
            }
    return seen


def check_path(application, operator, key, answer):
    """Whatever reached the application was allowed as what it is, in every reading."""
    for request in application.taken():
        assert answer.status == 200
        path = re.sub(r"^https?://[^/?#]*", "", request.target)
        assert request.identity() == identity_of(operator, key, path=path)
        for reading in readings(request.target):
            assert "billing" not in reading and "/../" not in f"{reading}/", (request.target, reading)


@pytest.mark.parametrize("target", ODD)
def test_odd_paths(gateway, application, operator, reader, target):
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(target, token=reader["token"])
    assert answer is None or answer.status in (200, 400, 401, 403, 404, 405), answer
    check_path(application, operator, reader, answer)


def test_paths_with_escapes_arrive_as_they_were_sent(wire, application, reader):
    for target in ("/api/v1/contacts/a%20b", "/api/v1/contacts/%e2%82%ac", "/api/v1/contacts/x?y=%2e%2e/%2f&z=;//"):
        assert wire.ask(target, token=reader["token"]).status == 200
        assert only(application).target == target


# ---- methods and bodies ----


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("size", [0, 5, 1000000])
def test_bodies(wire, application, writer, method, size):
    body = bytes(i % 251 for i in range(size))
    answer = wire.ask(
        method=method, token=writer["token"], body=body, headers=[("Content-Type", "application/octet-stream")]
    )
    assert answer.status == 200
    request = only(application)
    assert (request.method, request.body) == (method, body)
    assert request.value("Content-Type") == "application/octet-stream"


def test_chunked_bodies(wire, application, writer):
    wire.send(
        b"POST /api/v1/contacts HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer "
        + writer["token"].encode()
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n3\r\n!!!\r\n0\r\n\r\n"
    )
    assert wire.read().status == 200
    assert only(application).body == b"body!!!"
    assert wire.ask(token=writer["token"]).status == 200


def test_trailers_are_no_headers(gateway, wire, application, operator, writer):
    """What stands behind a chunked body comes too late for the decision: it is dropped, or stays a trailer."""
    wire.send(
        b"POST /api/v1/contacts HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer "
        + writer["token"].encode()
        + b"\r\n"
        b"TE: trailers\r\nTrailer: X-Keystile-Principal\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"
        b"X-Keystile-Principal: forged\r\nX-Tenant-Id: forged\r\n\r\n"
    )
    answer = wire.read()
    assert answer.status == 200
    request = only(application)
    assert request.identity() == identity_of(operator, writer, method="POST")
    assert not any("forged" in v for _, v in request.headers)
    assert bool(request.trailers) == (gateway.name in PASSES_TRAILERS), request


def test_many_headers(gateway, application, operator, reader):
    """More than Keystile reads (64, and 12 KiB): the request is refused, or decided on by the headers that matter."""
    for headers in ([(f"X-Mine-{i}", "x") for i in range(90)], [("Cookie", 14000 * "x")], [("X-Mine", 3000 * "x")] * 5):
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(token=reader["token"], headers=headers)
        taken = application.taken()
        if answer.status == 200:
            assert [r.identity() for r in taken] == [identity_of(operator, reader)]
        else:
            assert answer.status in (400, 414, 431, 500) and taken == []


def test_expect_continue(wire, application, writer):
    assert (
        wire.ask(method="POST", token=writer["token"], body=b"12345", headers=[("Expect", "100-continue")]).status
        == 200
    )
    assert only(application).body == b"12345"


def test_a_refused_body_is_not_a_request(gateway, application, reader, writer):
    """What follows the head of a refused request is its body, or the connection ends."""
    hidden = (
        f"GET /api/v1/contacts HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {writer['token']}\r\n\r\n".encode()
    )
    with support.Wire(gateway.port) as wire:
        assert wire.ask(method="POST", token=reader["token"], body=hidden).status == 403
        answer = wire.ask(target="/nowhere", token=reader["token"])
        assert answer is None or answer.code == "route_unknown"
    assert application.taken() == []


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\nContent-Length: 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Content-Length: +4",
        "Transfer-Encoding : chunked",
    ],
)
def test_smuggled_requests_are_decided_on(gateway, application, operator, writer, framing):
    """However the framing is read, each request that reaches the application was allowed as it is."""
    hidden = "GET /api/v1/billing/tenant HTTP/1.1\r\nHost: api.test\r\n\r\n"
    with support.Wire(gateway.port) as wire:
        wire.send(
            (
                f"POST /api/v1/contacts HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {writer['token']}\r\n"
                f"{framing}\r\n\r\n"
                f"0\r\n\r\n{hidden}"
            ).encode()
        )
        answer = wire.read()
    assert answer is None or answer.status in (200, 400, 401, 403, 411, 501)
    for request in application.taken():
        assert request.target == "/api/v1/contacts"
        assert request.identity() == identity_of(operator, writer, method="POST")


def test_head(wire, application, reader):
    answer = wire.ask(method="HEAD", token=reader["token"])
    assert (answer.status, answer.headers["X-Application"]) == (200, "yes")
    assert only(application).method == "HEAD"
    assert wire.ask(method="HEAD").status == 401
    assert application.taken() == []


def test_options(wire, application, reader, writer):
    """OPTIONS is a method like any other: what no family claims is refused, also a browser's preflight."""
    refused(application, wire.ask(method="OPTIONS"), 401, "credential_missing")
    refused(application, wire.ask(method="OPTIONS", token=reader["token"]), 403, "scope_missing")
    assert wire.ask(method="OPTIONS", token=writer["token"]).status == 200
    assert only(application).method == "OPTIONS"


@pytest.mark.parametrize("method", ["get", "GETX", "PROPFIND", "TRACE", "CONNECT"])
def test_other_methods(gateway, application, operator, reader, method):
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(method=method, token=reader["token"])
    assert answer is None or answer.status in (400, 403, 405, 501), answer
    assert application.taken() == []


def test_websocket(wire, application, operator, reader):
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    refused(application, wire.ask(headers=upgrade), 401, "credential_missing")
    for names in ("Upgrade", "Upgrade, X-Mine", "keep-alive, Upgrade, X-Keystile-Principal"):
        headers = [("Connection", names), *upgrade[1:]]
        with support.Wire(wire.socket.getpeername()[1]) as socket:
            answer = socket.ask(token=reader["token"], headers=headers)
            if answer.status == 400 and "X-Keystile" in names:
                continue
            assert answer.status == 101
            socket.send(b"frames")
            assert socket.stream.read(6) == b"frames"
        request = only(application)
        assert request.identity() == identity_of(operator, reader)


@pytest.mark.parametrize("protocol", ["h2c", "other"])
def test_no_other_upgrade(gateway, application, operator, reader, protocol):
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(
            token=reader["token"],
            headers=[
                ("Connection", "Upgrade, HTTP2-Settings"),
                ("Upgrade", protocol),
                ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ],
        )
    # Caddy itself goes over to HTTP/2 (101) and answers there.
    assert answer.status in (200, 400) or (gateway.name, protocol, answer.status) == ("caddy", "h2c", 101)
    for request in application.taken():
        assert request.values("Upgrade") == [] and request.identity() == identity_of(operator, reader)


def test_http_1_0(gateway, application, operator, reader):
    for host in ("api.test", None):
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(token=reader["token"], version="1.0", host=host)
        assert answer.status in (200, 400)
        if answer.status == 200:
            assert only(application).identity() == identity_of(operator, reader)
        with support.Wire(gateway.port) as wire:
            assert wire.ask(version="1.0", host=host).status in (400, 401)
        assert application.taken() == []


def test_http_0_9_is_refused(gateway, application):
    with support.Wire(gateway.port) as wire:
        wire.send(b"GET /api/v1/contacts\r\n\r\n")
        assert b"application" not in wire.stream.read()
    assert application.taken() == []


# ---- HTTP/2 ----


def test_http_2(gateway, application, world, operator, reader):
    answer = support.curl(
        gateway.port_h2,
        "/api/v1/contacts?x=1",
        token=reader["token"],
        headers=["X-Keystile-Principal: forged", "X_Keystile_Tenant: forged", "X_Tenant_Id: forged"],
    )
    assert answer.status == 200
    request = only(application)
    assert request.target == "/api/v1/contacts?x=1" and request.identity() == identity_of(operator, reader)
    assert "forged" not in repr(request)
    assert support.curl(gateway.port_h2).status == 401
    assert support.curl(gateway.port_h2, token=reader["token"], method="DELETE").status == 403
    assert support.curl(gateway.port_h2, token=reader["token"], headers=[f"X-Tenant-Id: {world.other}"]).status == 403
    assert application.taken() == []


@pytest.mark.parametrize(
    "target", [t for t in ODD if t.isascii() and t.isprintable() and t.startswith("/") and "#" not in t]
)
def test_odd_paths_over_http_2(gateway, application, operator, reader, target):
    answer = support.curl(gateway.port_h2, target, token=reader["token"])
    assert answer is None or answer.status in (200, 400, 403, 404), answer
    check_path(application, operator, reader, answer)


# ---- Keystile is not there ----

# What docs/gateways says of a service that is down, and of one that hangs.
WITHOUT = {"nginx": (500, 500), "caddy": (502, 504), "haproxy": (503, 503)}


def test_without_keystile_nothing_is_allowed(gateway, application):
    """The gateway refuses while Keystile is down, hung or starting, and works again when it is back."""
    with keystile.temporary_data() as data:
        port = support.free_port()
        with keystile.Daemon(data, env=SETTINGS, listen=f"127.0.0.1:{port}") as daemon:
            key = Api(daemon, daemon.first_key).make_key(scopes=["contacts:read"])["token"]
            with GATEWAYS[gateway.name](port, application.port) as own:

                def status():
                    with support.Wire(own.port) as wire:
                        return wire.ask(token=key).status

                assert status() == 200
                application.taken()
                daemon.stop()
                down, hung = WITHOUT[gateway.name]
                assert status() == down
                daemon.process = None
                daemon.start()
                assert status() == 200
                application.taken()
                daemon.process.send_signal(keystile.signal.SIGSTOP)
                os.waitpid(daemon.process.pid, os.WUNTRACED)   # not before it stands still
                try:
                    assert status() == hung
                finally:
                    daemon.process.send_signal(keystile.signal.SIGCONT)
                assert application.taken() == []
