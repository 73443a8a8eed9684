"""Providers' health against a trunk of this machine: right, wrong, rotated and silent credentials; who sees it, what is told."""
import hashlib
import re
import time

import pytest

import keystile

from api_service import Api, unique
from api_service import eventually as eventually_is
from sip_peer import SipPeer, head_of, response

SETTINGS = {"KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8", "KEYSTILE_HEALTH_TIMEOUT_MS": "1000",
            "KEYSTILE_HEALTH_FAILURES": "2", "KEYSTILE_HEALTH_PER_HOST": "64"}


def eventually(holds):
    eventually_is(lambda: bool(holds()), True)


def md5(*parts):
    return hashlib.md5(":".join(parts).encode()).hexdigest()


class Trunk(SipPeer):
    """A registrar over UDP: digest by MD5, passwords that change while it runs, or no answer at all."""

    def __init__(self):
        self.passwords, self.silent, self.asked = {"pw1"}, False, 0
        super().__init__()

    def run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65536)
            except OSError:
                return
            if not self.silent:
                self.socket.sendto(self.answer(data.decode()), peer)

    def answer(self, text):
        self.asked += 1
        head = head_of(text)
        p = dict(re.findall(r'(\w+)="([^"]*)"', head.get("Authorization", "")))
        nc = re.search(r"nc=(\w+)", head.get("Authorization", ""))
        method = text.split(" ")[0]
        right = nc and any(p["response"] == md5(md5(p["username"], "r", w), "n", nc[1], p["cnonce"], "auth", md5(method, p["uri"]))
                           for w in self.passwords)
        if right:
            return response(head, "200 OK")
        return response(head, "401 No", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n')


class World:
    def __init__(self, daemon):
        self.daemon = daemon
        self.owner = Api(daemon, local=True)
        self.organization = self.owner.make_tenant("organization")["id"]
        self.runtime = Api(daemon, self.owner.make_key(kind="runtime", scopes=["keystile:secrets:reveal"])["token"])

    def admin(self, organization=None, scopes=("keystile:providers:read", "keystile:providers:write")):
        return Api(self.daemon, self.owner.make_key(tenant=organization or self.organization, scopes=list(scopes))["token"])

    def trunk_provider(self, port, password="pw1", organization=None):
        made = self.owner.post("/v1/providers", {"tenant": organization or self.organization, "platform": "sip-trunk",
                                                 "name": unique("trunk")}).json["id"]
        for name, value in (("host", "127.0.0.1"), ("port", str(port)), ("user", "alice"), ("password", password)):
            self.put(made, name, value)
        return made

    def put(self, provider, field, value):
        return self.owner.put(f"/v1/providers/{provider}/fields/{field}", {"value": value}).json

    def health(self, provider):
        return self.owner.get(f"/v1/providers/{provider}/health").json

    def probed(self, provider):
        """Asks for a probe, and waits for its end."""
        asked = self.owner.post(f"/v1/providers/{provider}/probe", {}, expect=202).json["requested_at"]
        eventually(lambda: (self.health(provider)["checked_at"] or "") >= asked)
        return self.health(provider)

    def stages(self, provider, field):
        return {v["version"]: v["stage"] for v in self.owner.get(f"/v1/providers/{provider}/fields/{field}").json["items"]}

    def events(self, provider):
        found = self.owner.get("/v1/events?type=provider.health_changed&limit=500").json["items"]
        return [(e["data"]["was"], e["data"]["status"], e["data"]["code"]) for e in reversed(found) if e["object"] == provider]


@pytest.fixture(scope="module")
def world():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield World(running)


def test_a_right_credential_becomes_current_and_healthy(world):
    trunk = Trunk()
    provider = world.trunk_provider(trunk.port)
    eventually(lambda: world.health(provider)["status"] == "healthy")
    assert world.stages(provider, "password") == {1: "current"}
    health = world.health(provider)
    assert (health["code"], health["version"], health["failures"]) == ("ok", 1, 0)
    assert health["next_at"] > health["checked_at"]
    assert {f["name"]: (f["status"], f["code"]) for f in health["fields"]}["password"] == ("healthy", "ok")
    assert world.events(provider) == [("unknown", "healthy", "ok")]


def test_a_wrong_new_password_never_gets_to_calls(world):
    trunk = Trunk()
    provider = world.trunk_provider(trunk.port)
    eventually(lambda: world.health(provider)["status"] == "healthy")
    world.put(provider, "password", "wrong")
    eventually(lambda: world.stages(provider, "password").get(2) == "failed")
    assert world.health(provider)["status"] == "healthy"
    revealed = world.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": "c1"}, expect=200).json
    assert revealed["fields"]["password"] == "pw1"
    trunk.passwords.add("pw2")
    world.put(provider, "password", "pw2")
    eventually(lambda: world.stages(provider, "password").get(3) == "current")
    assert world.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": "c2"}, expect=200).json["fields"]["password"] == "pw2"


def test_the_customer_revokes(world):
    trunk, other = Trunk(), Trunk()
    provider, neighbour = world.trunk_provider(trunk.port), world.trunk_provider(other.port)
    for p in (provider, neighbour):
        eventually(lambda p=p: world.health(p)["status"] == "healthy")
    trunk.passwords = {"another"}
    health = world.probed(provider)
    assert (health["status"], health["code"], health["detail"]) == ("failing", "credential_refused", "SIP 401")
    fields = {f["name"]: f["code"] for f in health["fields"]}
    assert fields["password"] == "credential_refused" and fields["host"] == "not_probed"
    assert health["last_error_code"] == "credential_refused"
    assert world.probed(neighbour)["status"] == "healthy"
    trunk.passwords = {"pw1"}
    assert world.probed(provider)["status"] == "healthy"
    assert [e[1] for e in world.events(provider)] == ["healthy", "failing", "healthy"]
    page = world.owner.get(f"/v1/providers/{provider}/health/history?limit=2").json
    assert [i["status"] for i in page["items"]] == ["healthy", "failing"] and page["next"]
    rest = world.owner.get(f"/v1/providers/{provider}/health/history?cursor={page['next']}").json
    assert [(i["was"], i["status"]) for i in rest["items"]] == [("unknown", "healthy")]


def test_what_may_pass_degrades_first(world):
    trunk = Trunk()
    provider = world.trunk_provider(trunk.port)
    eventually(lambda: world.health(provider)["status"] == "healthy")
    trunk.silent = True
    health = world.probed(provider)
    assert (health["status"], health["code"], health["failures"]) == ("degraded", "timed_out", 1)
    assert world.events(provider) == [("unknown", "healthy", "ok")]
    assert (world.probed(provider)["status"], world.health(provider)["failures"]) == ("failing", 2)
    assert world.events(provider)[-1] == ("healthy", "failing", "timed_out")
    trunk.silent = False
    assert world.probed(provider)["status"] == "healthy"
    # One that passes at once is never told.
    before = len(world.events(provider))
    trunk.silent = True
    assert world.probed(provider)["status"] == "degraded"
    trunk.silent = False
    assert world.probed(provider)["status"] == "healthy" and len(world.events(provider)) == before


def test_a_new_value_waits_for_a_trunk_that_does_not_answer(world):
    trunk = Trunk()
    trunk.silent = True
    provider = world.trunk_provider(trunk.port)
    assert world.stages(provider, "password") == {1: "pending"}
    trunk.silent = False
    eventually(lambda: world.stages(provider, "password") == {1: "current"})


def test_providers_that_lack_values_keep_nobody_waiting(world):
    """Hosts without passwords, as they stand while intake links are on their way, are not looked at again and again."""
    half = [world.owner.post("/v1/providers", {"tenant": world.organization, "platform": "sip-trunk", "name": unique("half")}).json["id"]
            for _ in range(260)]
    for provider in half:
        world.put(provider, "host", "127.0.0.1")
    trunk = Trunk()
    made = world.trunk_provider(trunk.port)
    eventually(lambda: world.health(made)["status"] == "healthy")
    assert world.stages(half[0], "host") == {1: "pending"}
    for name, value in (("port", str(trunk.port)), ("user", "alice"), ("password", "pw1")):
        world.put(half[0], name, value)
    eventually(lambda: world.health(half[0])["status"] == "healthy")


def test_a_wrong_first_password_alone_is_entered_anew(world):
    trunk = Trunk()
    provider = world.trunk_provider(trunk.port, "wrong")
    eventually(lambda: world.health(provider)["code"] == "credential_refused")
    assert world.health(provider)["status"] == "failing"
    assert (world.stages(provider, "password"), world.stages(provider, "host")) == ({1: "failed"}, {1: "pending"})
    world.put(provider, "password", "pw1")
    eventually(lambda: world.health(provider)["status"] == "healthy")
    assert (world.stages(provider, "password"), world.stages(provider, "host")) == ({1: "failed", 2: "current"}, {1: "current"})


def test_a_failed_call_is_looked_into(world):
    trunk = Trunk()
    provider = world.trunk_provider(trunk.port)
    eventually(lambda: world.health(provider)["status"] == "healthy")
    lease = world.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": "c"}, expect=200).json["lease"]["id"]
    trunk.passwords = {"another"}
    world.runtime.post(f"/v1/providers/{provider}/calls", {"lease": lease, "outcome": "failed", "code": "403"}, expect=200)
    eventually(lambda: world.health(provider)["status"] == "failing")


def test_who_sees_it(world):
    trunk = Trunk()
    elsewhere = world.owner.make_tenant("organization")["id"]
    mine, theirs = world.trunk_provider(trunk.port), world.trunk_provider(trunk.port, "bad", organization=elsewhere)
    eventually(lambda: world.health(mine)["status"] == "healthy")
    admin = world.admin(elsewhere)
    for path in ("health", "health/history"):
        assert admin.get(f"/v1/providers/{mine}/{path}", expect=404).code == "not_found"
    assert admin.post(f"/v1/providers/{mine}/probe", {}, expect=404).code == "not_found"
    listed = [h["provider"] for h in admin.get("/v1/health/providers").json["items"]]
    assert mine not in listed and set(listed) <= {theirs}
    seen, cursor = [], ""
    while cursor is not None:
        page = world.admin().get(f"/v1/health/providers?status=healthy&limit=2{cursor}").json
        seen += page["items"]
        cursor = f"&cursor={page['next']}" if page["next"] else None
    assert mine in [h["provider"] for h in seen] and {h["status"] for h in seen} == {"healthy"}
    assert [h["provider"] for h in seen] == sorted((h["provider"] for h in seen), reverse=True)
    assert world.owner.get("/v1/health/providers?status=fine", expect=400).code
    only_read = world.admin(scopes=["keystile:providers:read"])
    assert only_read.post(f"/v1/providers/{mine}/probe", {}, expect=403).code == "scope_missing"


def test_audit_does_not_flood(world):
    trunk = Trunk()
    provider = world.trunk_provider(trunk.port)
    eventually(lambda: world.health(provider)["status"] == "healthy")
    for _ in range(3):
        world.probed(provider)
    entries = [e for e in world.owner.get("/v1/audit?limit=500").json["items"] if e["object"] == provider]
    assert len([e for e in entries if e["action"] == "secret.probe"]) == 1
    assert len([e for e in entries if e["action"] == "provider.probe"]) == 3
    assert "pw1" not in str(entries)


def test_metrics(world):
    text = world.owner.get("/metrics").text if hasattr(world.owner.get("/metrics"), "text") else str(world.owner.get("/metrics").body)
    for name in ("keystile_providers{", "keystile_probes_total", "keystile_probes_running"):
        assert name in text
