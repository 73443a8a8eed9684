"""Apache as an OAuth 2.0 resource server (mod_auth_openidc) with exactly docs/gateways/apache.conf: it asks Keystile's
introspection, over HTTPS, whether a token is good, and its own configuration says which scope a location needs."""
import contextlib
import http.client
import ssl

import keystile
import pytest

import gateway_support as support
from api_service import World
from test_gateways import ODD, mint, only, readings

UNKNOWN = "ks_" + 32 * "0"


class SecureDaemon(keystile.Daemon):
    """A daemon whose API speaks HTTPS."""

    authority = None

    def client(self, token=None, timeout=keystile.PATIENCE_S):
        context = ssl.create_default_context(cafile=self.authority)
        return keystile.Client(
            http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context), token
        )


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    authority, certificate, key = support.make_certificate(tmp_path_factory.mktemp("pki"))
    settings = {"KEYSTILE_TLS_CERTIFICATE": certificate, "KEYSTILE_TLS_KEY": key}
    with keystile.temporary_data() as data:
        daemon = SecureDaemon(data, env=settings, listen=f"127.0.0.1:{support.free_port()}")
        daemon.authority = authority
        with daemon:
            yield daemon


@pytest.fixture(scope="module")
def world(secure):
    return World(secure)


@pytest.fixture(scope="module")
def operator(world):
    return world.operator


@pytest.fixture(scope="module")
def gateway(secure, operator, application):
    key = operator.make_key(scopes=["keystile:verify"])["token"]
    with support.Apache(secure.port, application.port, key, secure.authority) as running:
        yield running


@pytest.fixture(scope="module")
def reader(world, operator):
    return operator.make_key(tenant=world.acme, scopes=["contacts:read", "phone_numbers:read"])


@pytest.fixture(scope="module")
def writer(world, operator):
    return operator.make_key(tenant=world.acme, scopes=["contacts:write"])


def identity(world, key):
    return {
        "Principal": key["id"],
        "Kind": "tenant",
        "Tenant": key["tenant"],
        "Organization": "",
        "Visible": "",
        "Inherited": "",
        "Scopes": " ".join(key["scopes"]),
        "Environment": "live",
        "Family": "",
    }


def test_an_active_key_with_the_scope_is_let_in(wire, application, world, reader):
    answer = wire.ask("/api/v1/contacts?page=2", token=reader["token"], headers=[("X-Mine", "kept")])
    assert (answer.status, answer.body) == (200, b"application\n")
    request = only(application)
    assert (request.method, request.target, request.value("X-Mine")) == ("GET", "/api/v1/contacts?page=2", "kept")
    assert request.identity() == identity(world, reader)
    assert reader["token"] not in repr(request)


def test_refusals(wire, application, world, operator, reader, writer):
    partner = operator.make_key(tenant=world.partner, scopes=["contacts:read"])["token"]
    sandbox = operator.make_key(tenant=world.acme, scopes=["contacts:read"], environment="sandbox")["token"]
    for status, how in [
        (401, {}),
        (401, {"token": UNKNOWN}),
        (401, {"token": "nonsense"}),
        (403, {"target": "/nowhere", "token": reader["token"]}),
        (None, {"method": "POST", "token": reader["token"]}),
        (None, {"token": writer["token"]}),
        (None, {"target": "/api/v1/billing/tenant", "token": reader["token"]}),
        (None, {"token": partner}),
        (None, {"token": sandbox}),
        (401, {"headers": [("X-API-Key", reader["token"])]}),
    ]:
        answer = wire.ask(**how)
        assert answer.status == status or status is None and answer.status in (401, 403), (answer, how)
        if status == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert application.taken() == []


def test_scopes_of_the_method(wire, application, writer):
    assert wire.ask(method="POST", token=writer["token"], body=b"12345").status == 200
    request = only(application)
    assert (request.method, request.body) == ("POST", b"12345")


def test_every_location_asks_for_kind_environment_and_method(wire, application, world, operator):
    scopes = ["contacts:read", "contacts:write", "billing:tenant:read"]
    good = operator.make_key(tenant=world.acme, scopes=scopes)["token"]
    sandbox = operator.make_key(tenant=world.acme, scopes=scopes, environment="sandbox")["token"]
    partner = operator.make_key(tenant=world.partner, scopes=scopes)["token"]
    for target in ("/api/v1/contacts", "/api/v1/billing/tenant"):
        assert wire.ask(target, token=good).status == 200
        application.taken()
        for how in ({"token": sandbox}, {"token": partner}, {"token": good, "method": "PROPFIND"}):
            assert wire.ask(target, **how).status in (401, 403)
        assert wire.ask(target, token=good, headers=["X_Mine: x"]).status in (401, 403)
        assert application.taken() == []
    assert wire.ask("/api/v1/billing/tenant", token=good, method="POST").status in (401, 403)
    assert application.taken() == []


@pytest.mark.parametrize("expires_at", [None, "2099-01-01T00:00:00.000Z"])
def test_a_revoked_key_is_refused_on_the_next_request_of_its_connection(wire, application, world, operator, expires_at):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], expires_at=expires_at)
    assert [wire.ask(token=key["token"]).status for _ in range(3)] == [200, 200, 200]
    application.taken()
    operator.delete(f"/v1/keys/{key['id']}")
    assert wire.ask(token=key["token"]).status == 401
    assert application.taken() == []


def test_a_jwt_is_taken_as_what_it_was_narrowed_to_and_dies_with_its_key(wire, application, world, operator):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read", "contacts:write", "billing:tenant:read"])
    here = mint(operator, key, scope="contacts:read", tenant=world.sub, family="contacts")
    elsewhere = mint(operator, key, family="billing:tenant")
    whole = mint(operator, key)
    assert wire.ask(token=here).status == 200
    identity = only(application).identity()
    assert (identity["Principal"], identity["Tenant"], identity["Scopes"]) == (key["id"], world.sub, "contacts:read")
    for token, how in ((here, {"method": "POST"}), (here, {"target": "/api/v1/billing/tenant"}), (elsewhere, {})):
        assert wire.ask(token=token, **how).status in (401, 403)
    assert application.taken() == []
    assert wire.ask("/api/v1/billing/tenant", token=elsewhere).status == 200
    assert wire.ask(token=whole, method="POST").status == 200
    application.taken()
    operator.delete(f"/v1/keys/{key['id']}")
    for token in (here, whole):
        assert wire.ask(token=token).status == 401
    assert application.taken() == []


@pytest.mark.parametrize("form", ["X-Keystile-{}", "x-keystile-{}", "X_Keystile_{}", "x-keystile_{}"])
def test_forged_identity_gains_nothing(gateway, application, world, reader, form):
    headers = [(form.format(name), "forged") for name in support.IDENTITY for _ in range(2)]
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(token=reader["token"], headers=headers)
    if "_" in form:
        assert answer.status in (401, 403) and application.taken() == []
    else:
        assert answer.status == 200
        request = only(application)
        assert request.identity() == identity(world, reader) and "forged" not in repr(request)


def test_a_tenant_header_gains_nothing(gateway, application, world, reader):
    for name in ("X-Tenant-Id", "x-tenant-ID", "X_Tenant_Id"):
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(token=reader["token"], headers=[(name, world.other)])
        for request in application.taken():
            assert answer.status == 200 and world.other not in repr(request)


@pytest.mark.parametrize(
    "names", ["X-Keystile-Principal, X-Keystile-Tenant", "close, X-Keystile-Kind", "Authorization", "X-Mine"]
)
def test_connection_takes_no_identity_away(gateway, application, world, reader, names):
    for headers in ([("Connection", names)], [("Connection", "keep-alive"), ("Connection", names)]):
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(token=reader["token"], headers=headers)
        assert answer.status in (200, 401, 403)
        for request in application.taken():
            assert request.identity() == identity(world, reader)


@pytest.mark.parametrize("target", ODD)
def test_odd_paths(gateway, application, world, reader, target):
    with support.Wire(gateway.port) as wire:
        answer = wire.ask(target, token=reader["token"])
    assert answer is None or answer.status in (200, 400, 401, 403, 404), answer
    for request in application.taken():
        assert request.identity() == identity(world, reader)
        for reading in readings(request.target):
            assert (
                reading.startswith("/api/v1/contacts") and "billing" not in reading and "/../" not in f"{reading}/"
            ), (target, request)


def test_websocket_and_no_other_upgrade(gateway, application, world, reader):
    for protocol, status in (("websocket", 101), ("h2c", 200), ("other", 200)):
        with support.Wire(gateway.port) as wire:
            answer = wire.ask(
                token=reader["token"],
                headers=[
                    ("Connection", "Upgrade"),
                    ("Upgrade", protocol),
                    ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="),
                ],
            )
            assert answer.status == status
            if status == 101:
                wire.send(b"frames")
                assert wire.stream.read(6) == b"frames"
        request = only(application)
        assert request.identity() == identity(world, reader)
        assert status == 101 or request.values("Upgrade") == []


def test_http_1_0(gateway, application, world, reader):
    with support.Wire(gateway.port) as wire:
        assert wire.ask(token=reader["token"], version="1.0").status == 200
    assert only(application).identity() == identity(world, reader)


def test_without_keystile_nothing_is_allowed(secure, gateway, application, reader):
    def status():
        with support.Wire(gateway.port) as wire:
            return wire.ask(token=reader["token"]).status

    assert status() == 200
    application.taken()
    secure.process.send_signal(keystile.signal.SIGSTOP)
    try:
        assert status() == 401
    finally:
        secure.process.send_signal(keystile.signal.SIGCONT)
    secure.stop()
    with contextlib.ExitStack() as stack:
        stack.callback(secure.start)
        assert status() == 401
        assert application.taken() == []
    assert status() == 200


def test_a_service_with_another_certificate_is_not_believed(tmp_path, secure, application, operator, reader):
    """Whoever answers on Keystile's address without its certificate lets nobody in."""
    authority, _, _ = support.make_certificate(tmp_path)
    key = operator.make_key(scopes=["keystile:verify"])["token"]
    with support.Apache(secure.port, application.port, key, authority) as gateway, support.Wire(gateway.port) as wire:
        assert wire.ask(token=reader["token"]).status == 401
    assert application.taken() == []


def test_a_gateway_whose_own_key_is_revoked_lets_nobody_in(secure, application, operator, reader):
    key = operator.make_key(scopes=["keystile:verify"])
    with support.Apache(secure.port, application.port, key["token"], secure.authority) as gateway, support.Wire(
        gateway.port
    ) as wire:
        assert wire.ask(token=reader["token"]).status == 200
        application.taken()
        operator.delete(f"/v1/keys/{key['id']}")
        assert wire.ask(token=reader["token"]).status == 401
    assert application.taken() == []
