"""Envoy and Traefik are no packages of Debian: what their documentation and sources say that they send and do is
repeated here by the configuration files of docs/gateways, against a real service.

Envoy (HTTP ext_authz): the request goes on with its own method, `path_prefix` and its own path, Content-Length 0, Host,
Authorization and what `allowed_headers` names; values of one name are joined by commas; Envoy's own address is appended
to X-Forwarded-For. 200 allows, 5xx is an error (`status_on_error`), any other answer goes to the client.
Traefik (ForwardAuth): GET of `address`, with those of the client's headers that `authRequestHeaders` names, and
X-Forwarded-Method, -Proto, -Host, -Uri, -For of its own. 2xx allows, any other answer goes to the client."""
import collections
import re

import pytest
import yaml

import gateway_support as support
from test_gateways import ODD, UNKNOWN, identity_of, readings

# request: what would reach the application, or None
Outcome = collections.namedtuple("Outcome", "status request answer")

CLIENT, PROXY = "198.51.100.7", "127.0.0.1"


def matches(patterns, name):
    return any(
        name.lower() == p.get("exact", "").lower() or "prefix" in p and name.lower().startswith(p["prefix"].lower())
        for p in patterns
    )


class Envoy:
    def __init__(self):
        listener = yaml.safe_load((support.CONFIGURATIONS / "envoy.yaml").read_text())["static_resources"]["listeners"][
            0
        ]
        self.manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        self.filter = self.manager["http_filters"][0]["typed_config"]
        assert self.manager["use_remote_address"] and not self.filter["failure_mode_allow"]

    def ask(self, daemon, method, target, headers):
        dropped = [
            m["remove"] for m in self.manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
        ]
        headers = [(n, v) for n, v in headers if n.lower() not in dropped and "_" not in n]
        headers.append(("X-Forwarded-For", CLIENT))
        service = self.filter["http_service"]
        sent = collections.defaultdict(list)
        for name, value in headers:
            if name.lower() in ("host", "authorization") or matches(self.filter["allowed_headers"]["patterns"], name):
                sent[name.lower()].append(value)
        sent["x-forwarded-for"].append(PROXY)
        with support.Wire(daemon.port) as wire:
            answer = wire.ask(
                service["path_prefix"] + target,
                method=method,
                host=None,
                headers=[("Content-Length", "0"), *((n, ",".join(v)) for n, v in sent.items())],
            )
        if answer is None or answer.status >= 500:
            return Outcome(503, None, answer)
        if answer.status != 200:
            return Outcome(answer.status, None, answer)
        response = service["authorization_response"]
        put = [
            (n, v) for n, v in answer.headers.items() if matches(response["allowed_upstream_headers"]["patterns"], n)
        ]
        names = {n.lower() for n, _ in put}
        removed = self.manager["route_config"]["virtual_hosts"][0]["request_headers_to_remove"]
        headers = [(n, v) for n, v in headers if n.lower() not in names and n.lower() not in removed]
        return Outcome(200, support.Request(method, target, "HTTP/1.1", headers + put, b"", []), answer)


class Traefik:
    def __init__(self):
        dynamic = yaml.safe_load((support.CONFIGURATIONS / "traefik-dynamic.yaml").read_text())["http"]
        self.middlewares = [dynamic["middlewares"][m] for m in dynamic["routers"]["api"]["middlewares"]]
        self.forward = self.middlewares[0]["forwardAuth"]
        assert self.forward["trustForwardHeader"] is False

    def ask(self, daemon, method, target, headers):
        host = dict(headers).get("Host")
        # The entry point removes X-Forwarded-* of peers that it does not trust.
        headers = [(n, v) for n, v in headers if not n.lower().startswith("x-forwarded-") and n != "Host"]
        sent = [(n, v) for n, v in headers if n.lower() in [a.lower() for a in self.forward["authRequestHeaders"]]]
        sent += [
            ("X-Forwarded-For", CLIENT),
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Uri", target),
            ("User-Agent", "Go-http-client/1.1"),
            ("Accept-Encoding", "gzip"),
        ]
        path = "/" + self.forward["address"].split("/", 3)[3]
        with support.Wire(daemon.port) as wire:
            answer = wire.ask(path, host=f"127.0.0.1:{daemon.port}", headers=sent)
        if not 200 <= answer.status < 300:
            return Outcome(answer.status, None, answer)
        ours = re.compile(self.forward["authResponseHeadersRegex"])
        headers = [(n, v) for n, v in headers if not ours.search(n)]
        headers += [(n, v) for n, v in answer.headers.items() if ours.search(n)]
        custom = self.middlewares[1]["headers"]["customRequestHeaders"]
        assert set(custom.values()) == {""}
        headers = [(n, v) for n, v in headers if n.lower() not in [c.lower() for c in custom]]
        return Outcome(200, support.Request(method, target, "HTTP/1.1", headers, b"", []), answer)


@pytest.fixture(scope="module", params=[Envoy, Traefik])
def emulated(request, daemon):
    gateway = request.param()

    def ask(target="/api/v1/contacts", *, token=None, method="GET", headers=(), host="api.test"):
        bearer = [("Authorization", f"Bearer {token}")] if token else []
        return gateway.ask(daemon, method, target, [("Host", host), *bearer, *headers])

    return ask


def test_an_allowed_request_carries_the_identity(emulated, operator, writer):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        outcome = emulated("/api/v1/contacts?page=2&q=a%20b", method=method, token=writer["token"])
        assert outcome.status == 200
        assert outcome.request.identity() == identity_of(operator, writer, method=method)
        assert writer["token"] not in repr(outcome.request)


def test_refusals(emulated, world, operator, reader, partner_key):
    limited = operator.make_key(
        tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 1, "window_s": 2592000}
    )["token"]
    assert emulated(token=limited).status == 200
    table = [
        (401, "credential_missing", {}),
        (401, "credential_invalid", {"token": UNKNOWN}),
        (403, "route_unknown", {"token": reader["token"], "target": "/nowhere"}),
        (403, "scope_missing", {"token": reader["token"], "method": "DELETE"}),
        (403, "tenant_forbidden", {"token": reader["token"], "headers": [("X-Tenant-Id", world.other)]}),
        (
            403,
            "tenant_forbidden",
            {"token": reader["token"], "headers": [("X-Tenant-Id", world.sub), ("X-Tenant-Id", world.sub)]},
        ),
        (400, "tenant_required", {"token": partner_key["token"]}),
        (400, "path_ambiguous", {"token": reader["token"], "target": "/a//b"}),
        (429, "rate_limited", {"token": limited}),
    ]
    for status, code, how in table:
        outcome = emulated(**how)
        assert (outcome.status, outcome.request, outcome.answer.code) == (status, None, code)
        assert bool(outcome.answer.headers["WWW-Authenticate"]) == (status == 401 or code == "scope_missing")
        assert bool(outcome.answer.headers["Retry-After"]) == (status == 429)


def test_the_client_is_whom_the_gateway_saw(emulated, world, operator):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], addresses=[f"{CLIENT}/32"])["token"]
    elsewhere = operator.make_key(tenant=world.acme, scopes=["contacts:read"], addresses=["203.0.113.9"])["token"]
    assert emulated(token=key).status == 200
    for headers in ([], [("X-Forwarded-For", "203.0.113.9")]):
        assert emulated(token=elsewhere, headers=headers).answer.code == "address_not_allowed"


@pytest.mark.parametrize("form", ["X-Keystile-{}", "x-keystile-{}", "X_Keystile_{}", "X-Keystile_{}"])
def test_forged_identity_gains_nothing(emulated, operator, reader, form):
    headers = [(form.format(name), "forged") for name in support.IDENTITY for _ in range(2)]
    outcome = emulated(token=reader["token"], headers=headers)
    assert outcome.status == 200 and outcome.request.identity() == identity_of(operator, reader)
    assert "forged" not in repr(outcome.request)
    assert emulated(headers=headers).status == 401


def test_the_original_request_cannot_be_forged(emulated, reader):
    for form in ("X-Original-Method", "X-Original-URI", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host"):
        headers = [(form, "GET" if form.endswith("Method") else "/api/v1/contacts")]
        assert emulated("/api/v1/billing/tenant", token=reader["token"], headers=headers).answer.code == "scope_missing"
        assert emulated(token=reader["token"], headers=headers).status == 200


def test_tenant_headers(emulated, world, reader):
    assert (
        emulated(token=reader["token"], headers=[("X-Tenant-Id", world.sub)]).request.identity()["Tenant"] == world.sub
    )
    outcome = emulated(token=reader["token"], headers=[("X_Tenant_Id", world.other)])
    assert outcome.request.identity()["Tenant"] == world.acme and world.other not in repr(outcome.request)


@pytest.mark.parametrize("target", [t for t in ODD if t.startswith("/") and t.isprintable()])
def test_odd_paths(emulated, operator, reader, target):
    outcome = emulated(target, token=reader["token"])
    assert outcome.status in (200, 400, 403)
    if outcome.request:
        assert outcome.request.identity() == identity_of(operator, reader, path=target)
        assert not any("billing" in r or "/../" in f"{r}/" for r in readings(target)), target
