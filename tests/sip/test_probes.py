"""Probes of providers at Kamailio: REGISTER and OPTIONS over UDP, TCP and TLS, digests by MD5 and SHA-256, trunks that refuse."""
import socket
import subprocess

import keystile
import pytest

from api_service import Api, unique
from peers import Peers, free_port, until

TRANSPORTS = ("udp", "tcp", "tls")
# A trunk that asks who is there before it answers an OPTIONS.
ASKING = """version: 1
name: asking-trunk
label: Asking trunk
about: A trunk that wants credentials for OPTIONS too.
fields:
  host: {label: Host, type: host}
  port: {label: Port, type: port}
  transport: {label: Transport, type: choice, choices: {udp: UDP, tcp: TCP, tls: TLS}}
  user: {label: User, type: text}
  password: {label: Password, type: secret}
probe:
  kind: sip-options
  host: ${host}
  port: ${port}
  transport: ${transport}
  domain: trunk.example
  user: ${user}
  password: ${password}
"""


class Trunk(Peers):
    """A Kamailio that takes "right"; "challenge" is which digest it asks for."""

    def __init__(self, folder, certificate, challenge):
        super().__init__(folder)
        self.ports.update(TRUNK_TCP=free_port(socket.SOCK_STREAM), TRUNK_TLS=free_port(socket.SOCK_STREAM))
        for path in certificate.iterdir():
            (folder / path.name).symlink_to(path)
        self.challenge = challenge
        self.begin()

    def begin(self):
        self.proxy("trunk", "-A", "WITH_STREAMS", ALGORITHM=self.challenge)
        self.passwords("right")

    def port(self, transport):
        return str(self.ports[{"udp": "TRUNK", "tcp": "TRUNK_TCP", "tls": "TRUNK_TLS"}[transport]])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=trunk", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
                    "-out", folder / "certificate.pem"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def trunks(certificate, tmp_path_factory):
    made = {challenge: Trunk(tmp_path_factory.mktemp("trunk"), certificate, challenge) for challenge in ("MD5", "SHA-256")}
    yield made
    for trunk in made.values():
        trunk.end()


@pytest.fixture
def trunk(trunks):
    return trunks["MD5"]


@pytest.fixture(params=["MD5", "SHA-256"])
def each(request, trunks):
    """One trunk for each digest that Kamailio asks for."""
    return trunks[request.param]


class Service:
    def __init__(self, daemon):
        self.owner = Api(daemon, local=True)
        self.organization = self.owner.make_tenant("organization")["id"]

    def provider(self, platform, **fields):
        made = self.owner.post("/v1/providers", {"tenant": self.organization, "platform": platform, "name": unique("trunk")}).json["id"]
        for name, value in fields.items():
            self.put(made, name, value)
        return made

    def registering(self, trunk, transport, password="right", host="127.0.0.1"):
        return self.provider("sip-trunk", host=host, port=trunk.port(transport), transport=transport, domain="trunk.example",
                             user="alice", password=password)

    def put(self, provider, field, value):
        return self.owner.put(f"/v1/providers/{provider}/fields/{field}", {"value": value}).json

    def stages(self, provider, field="password"):
        return {v["version"]: v["stage"] for v in self.owner.get(f"/v1/providers/{provider}/fields/{field}").json["items"]}

    def health(self, provider):
        return self.owner.get(f"/v1/providers/{provider}/health").json

    def becomes(self, provider, *wanted):
        """Waits for (status, code, detail), or as many of these as are said."""
        def found():
            health = self.health(provider)
            return tuple(health[name] for name in ("status", "code", "detail"))[:len(wanted)]
        until(lambda: found() == wanted, lambda: f"{self.health(provider)} {self.stages(provider)} is not {wanted}")

    def probe(self, provider):
        asked = self.owner.post(f"/v1/providers/{provider}/probe", {}, expect=202).json["requested_at"]
        until(lambda: (self.health(provider)["checked_at"] or "") >= asked, lambda: str(self.health(provider)))


@pytest.fixture(scope="module")
def service(certificate, tmp_path_factory):
    own = tmp_path_factory.mktemp("platforms")
    (own / "asking-trunk.yaml").write_text(ASKING)
    env = {"KEYSTILE_FETCH_ALLOW": "127.0.0.0/8", "KEYSTILE_FETCH_CA_FILE": certificate / "certificate.pem", "KEYSTILE_HEALTH_FAILURES": "2",
           "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_PLATFORMS_OWN": own, "KEYSTILE_HEALTH_PER_HOST": "64"}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        yield Service(daemon)


def refused(trunk, method):
    return int(trunk.table("trunk", "refused").get(method, 0))


def test_registers_with_the_right_password(service, each):
    made = [service.registering(each, transport) for transport in TRANSPORTS]
    for provider in made:
        service.becomes(provider, "healthy", "ok")
        assert service.stages(provider) == {1: "current"}
    assert refused(each, "REGISTER") == 0


def test_a_wrong_password_is_never_current(service, each):
    before = refused(each, "REGISTER")
    made = [service.registering(each, transport, "wrong") for transport in TRANSPORTS]
    for provider in made:
        service.becomes(provider, "failing", "credential_refused", "SIP 401")
        assert service.stages(provider) == {1: "failed"} and service.stages(provider, "host") == {1: "pending"}
        assert {f["name"]: f["code"] for f in service.health(provider)["fields"]}["password"] == "credential_refused"
        # That its password is missing now tells less than that it was refused.
        service.probe(provider)
        assert service.health(provider)["code"] == "credential_refused"
    assert refused(each, "REGISTER") == before + len(TRANSPORTS)
    for provider in made:
        service.put(provider, "password", "right")
        service.becomes(provider, "healthy", "ok")
        assert service.stages(provider) == {1: "failed", 2: "current"}


def test_the_trunk_takes_the_password_no_more(service, trunk):
    made = [service.registering(trunk, transport) for transport in TRANSPORTS]
    for provider in made:
        service.becomes(provider, "healthy")
    trunk.passwords("another")
    try:
        for provider in made:
            service.probe(provider)
            health = service.health(provider)
            assert (health["status"], health["code"], health["detail"]) == ("failing", "credential_refused", "SIP 401")
            assert {f["name"]: f["code"] for f in health["fields"]}["password"] == "credential_refused"
    finally:
        trunk.passwords("right")
    for provider in made:
        service.probe(provider)
        assert service.health(provider)["status"] == "healthy"


@pytest.mark.parametrize("status, wanted", [(403, ("failing", "credential_refused")), (404, ("failing", "not_found")), (503, ("degraded", "unavailable"))])
def test_the_trunk_refuses(service, trunk, status, wanted):
    provider = service.registering(trunk, "tcp")
    service.becomes(provider, "healthy")
    trunk.put("trunk", "answers", "REGISTER", status)
    try:
        service.probe(provider)
        assert service.health(provider)["detail"] == f"SIP {status}"
        assert (service.health(provider)["status"], service.health(provider)["code"]) == wanted
    finally:
        trunk.forget("trunk", "answers", "REGISTER")


def test_options(service, trunk):
    trunk.put("trunk", "answers", "OPTIONS", 200)
    made = [service.provider("sip-trunk-ip", host="127.0.0.1", transport=transport, port=trunk.port(transport)) for transport in TRANSPORTS]
    for provider in made:
        service.becomes(provider, "healthy", "ok")
    trunk.put("trunk", "answers", "OPTIONS", 503)
    for provider in made:
        service.probe(provider)
        assert (service.health(provider)["status"], service.health(provider)["code"]) == ("degraded", "unavailable")
    trunk.forget("trunk", "answers", "OPTIONS")


def test_options_with_credentials(service, each):
    for transport in TRANSPORTS:
        at = {"host": "127.0.0.1", "port": each.port(transport), "transport": transport, "user": "alice"}
        right, wrong = (service.provider("asking-trunk", password=p, **at) for p in ("right", "wrong"))
        service.becomes(right, "healthy", "ok")
        until(lambda w=wrong: service.stages(w) == {1: "failed"}, lambda w=wrong: str(service.stages(w)))


def test_a_certificate_of_another(service, trunk):
    provider = service.registering(trunk, "tls", host="localhost")
    service.becomes(provider, "failing", "tls_failed")
    assert service.stages(provider) == {1: "failed"}


def test_a_revoked_credential_shows_at_the_next_probe_of_the_schedule(trunk, certificate):
    """Nobody asks for a probe, and no call is made."""
    env = {"KEYSTILE_FETCH_ALLOW": "127.0.0.0/8", "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_HEALTH_INTERVAL_S": "1"}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        service = Service(daemon)
        provider = service.registering(trunk, "udp")
        service.becomes(provider, "healthy")
        trunk.passwords("another")
        service.becomes(provider, "failing", "credential_refused")
        trunk.passwords("right")
        service.becomes(provider, "healthy", "ok")
        assert not service.owner.get("/v1/audit?action=provider.probe").json["items"]


def test_a_trunk_that_is_gone(service, trunk):
    made = {transport: service.registering(trunk, transport) for transport in ("udp", "tcp")}
    for provider in made.values():
        service.becomes(provider, "healthy")
    trunk.end("trunk")
    try:
        for provider in made.values():
            service.probe(provider)
            assert (service.health(provider)["status"], service.health(provider)["code"]) == ("degraded", "unreachable")
            service.probe(provider)
            assert service.health(provider)["status"] == "failing"
    finally:
        trunk.begin()
    for provider in made.values():
        service.probe(provider)
        assert service.health(provider)["status"] == "healthy"
