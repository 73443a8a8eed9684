"""Providers and their values: written, promoted, revealed to the runtime, rotated under leases, rolled back, erased."""
import hashlib
import json
import pathlib
import re
import sqlite3

import pytest

import keystile

from api_service import Api, eventually, unique

PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
  note: {label: Note, type: text, required: false, example: x}
"""
SETTINGS = {"KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_VAULT_ROLLBACK_WINDOW_S": "600", "KEYSTILE_USAGE_FLUSH_MS": "100"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "pair.yaml").write_text(PAIR)
    return folder


class Vault:
    """One organization, and who may do what with its providers."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.owner = Api(daemon, local=True)
        self.organization = self.owner.make_tenant("organization")["id"]
        made = self.owner.make_key(kind="runtime", scopes=["keystile:secrets:reveal"])
        self.runtime = Api(daemon, made["token"])

    def admin(self, organization=None):
        key = self.owner.make_key(tenant=organization or self.organization,
                                  scopes=["keystile:providers:read", "keystile:providers:write"])
        return Api(self.daemon, key["token"])

    def provider(self, organization=None, **fields):
        made = self.owner.post("/v1/providers", {"tenant": organization or self.organization, "platform": "pair", "name": unique("pair")}).json
        for name, value in fields.items():
            self.put(made["id"], name, value)
        return made["id"]

    def put(self, provider, field, value, **more):
        return self.owner.put(f"/v1/providers/{provider}/fields/{field}", {"value": value}, **more)

    def reveal(self, provider, call, expect=200, **more):
        return self.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": call, **more}, expect=expect)

    def stages(self, provider, field):
        page = self.owner.get(f"/v1/providers/{provider}/fields/{field}").json
        return {v["version"]: v["stage"] for v in page["items"]}

    def audit(self, action):
        return [e for e in self.owner.get(f"/v1/audit?action={action}&limit=500").json["items"]]


@pytest.fixture(scope="module")
def vault(own):
    env = {**SETTINGS, "KEYSTILE_PLATFORMS_OWN": own}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as running:
        yield Vault(running)


def test_values_wait_until_all_that_are_required_are_there(vault):
    provider = vault.provider(user="alice")
    assert vault.reveal(provider, "c", expect=409).code == "fields_missing"
    assert vault.owner.get(f"/v1/providers/{provider}").json["status"] == "incomplete"
    field = vault.put(provider, "password", "s3cret").json
    assert (field["current"], field["pending"], field["next"]) == (1, None, None)
    answer = vault.reveal(provider, "c").json
    assert answer["fields"] == {"user": "alice", "password": "s3cret"} and answer["version"] == 1


def test_the_audit_tells_of_each_reveal(vault):
    provider = vault.provider(user="alice", password="s3cret")
    lease = vault.reveal(provider, "call-7").json["lease"]["id"]
    entry = next(e for e in vault.audit("secret.reveal") if e["object"] == provider)
    detail = entry["detail"]
    assert detail["call_id"] == "call-7" and detail["lease"] == lease and detail["fields"] == {"user": 1, "password": 1}
    assert entry["actor"].startswith("key_") and entry["address"] == "127.0.0.1" and entry["outcome"] == "ok"


def test_a_call_keeps_its_set_while_its_lease_lives(vault):
    provider = vault.provider(user="alice", password="one")
    first = vault.reveal(provider, "old").json
    vault.put(provider, "password", "two")
    assert vault.reveal(provider, "new").json["fields"]["password"] == "two"
    again = vault.reveal(provider, "old").json
    assert again["fields"]["password"] == "one" and again["lease"]["id"] == first["lease"]["id"]
    assert vault.stages(provider, "password") == {1: "previous", 2: "current"}
    vault.runtime.post(f"/v1/leases/{first['lease']['id']}/release", expect=200)
    assert vault.reveal(provider, "old").json["fields"]["password"] == "two"
    sets = vault.owner.get(f"/v1/providers/{provider}/report").json["items"]
    assert [(s["version"], s["calls"], s["open"]) for s in sets] == [(2, 2, 2), (1, 1, 0)]


def test_rollback_and_promotion_are_an_administrators(vault):
    provider = vault.provider(user="alice", password="one")
    target = f"/v1/providers/{provider}/fields/password"
    assert vault.owner.post(f"{target}/rollback", expect=409).code == "nothing_previous"
    assert vault.owner.post(f"{target}/promote", expect=409).code == "nothing_pending"
    vault.put(provider, "password", "two")
    assert vault.owner.post(f"{target}/rollback", expect=200).json["current"] == 1
    assert vault.stages(provider, "password") == {1: "current", 2: "rolled_back"}
    assert vault.reveal(provider, "c").json["fields"]["password"] == "one"
    assert vault.owner.post(f"{target}/rotate", {"value": "three"}, expect=200).json["current"] == 3


def test_a_name_is_changed_and_a_version_forced(vault):
    provider = vault.provider(user="alice")
    assert vault.owner.patch(f"/v1/providers/{provider}", {"name": "Berlin"}).json["name"] == "Berlin"
    assert vault.owner.post(f"/v1/providers/{provider}/fields/user/rotate", expect=200).json["next"] == "write_others"
    assert vault.owner.post(f"/v1/providers/{provider}/fields/user/promote", expect=200).json["current"] == 1
    assert vault.reveal(provider, "c").json["fields"] == {"user": "alice"}
    assert [p["id"] for p in vault.admin().get("/v1/providers?status=active&platform=pair&limit=1").json["items"]] == [provider]


def test_the_same_key_makes_one_provider(vault):
    body = {"tenant": vault.organization, "platform": "pair", "name": "once"}
    made = [vault.owner.post("/v1/providers", body, headers={"Idempotency-Key": unique("key")}).json["id"] for _ in range(2)]
    key = {"Idempotency-Key": unique("key")}
    same = [vault.owner.post("/v1/providers", body, headers=key).json["id"] for _ in range(2)]
    assert same[0] == same[1] and len({*made, *same}) == 3


def test_failing_calls_bring_the_values_before_back(vault):
    provider = vault.provider(user="alice", password="good")
    vault.put(provider, "password", "bad")
    rolled_back = []
    for i in range(3):
        vault.reveal(provider, f"f{i}")
        report = {"call_id": f"f{i}", "outcome": "failed", "code": "403"}
        rolled_back.append(vault.runtime.post(f"/v1/providers/{provider}/calls", report, expect=200).json["rolled_back"])
    assert rolled_back == [False, False, True]
    assert vault.stages(provider, "password") == {1: "current", 2: "failed"}
    assert vault.reveal(provider, "after").json["fields"]["password"] == "good"
    assert vault.reveal(provider, "f0").json["fields"]["password"] == "bad"
    events = vault.owner.get("/v1/events?type=secret.rolled_back").json["items"]
    assert events[0]["object"] == provider and events[0]["data"]["code"] == "calls_failing"
    assert vault.runtime.post(f"/v1/providers/{provider}/calls", {"call_id": "f1", "outcome": "ok"}, expect=409).code == "conflict"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def test_a_challenge_is_answered_without_the_password(vault):
    """RFC 7616, 3.4.1, computed here by its formulas."""
    provider = vault.provider(user="alice", password="s3cret")
    challenge = 'Digest realm="carrier", nonce="84f1c1ae", algorithm=MD5, qop="auth"'
    body = {"call_id": "c", "challenge": challenge, "method": "REGISTER", "uri": "sip:carrier.example"}
    answer = vault.runtime.post(f"/v1/providers/{provider}/digest", body, expect=200)
    assert b"s3cret" not in answer.body
    header = answer.json["authorization"]
    parts = dict(re.findall(r'(\w+)="?([^",]+)', header.removeprefix("Digest ")))
    ha1, ha2 = md5("alice:carrier:s3cret"), md5("REGISTER:sip:carrier.example")
    assert parts["response"] == md5(f"{ha1}:84f1c1ae:{parts['nc']}:{parts['cnonce']}:auth:{ha2}")
    entry = next(e for e in vault.audit("secret.digest") if e["object"] == provider)
    assert entry["detail"]["fields"] == {"password": 1} and entry["detail"]["call_id"] == "c"
    vault.runtime.post(f"/v1/providers/{provider}/digest", {**body, "challenge": "Basic"}, expect=422)


def test_nobody_but_the_runtime_reads_values(vault):
    provider = vault.provider(user="alice", password="s3cret")
    for caller in (vault.admin(), Api(vault.daemon, vault.daemon.first_key)):
        assert caller.post(f"/v1/providers/{provider}/reveal", {"call_id": "c"}, expect=403).code == "kind_not_allowed"
    shown = json.dumps(vault.owner.get(f"/v1/providers/{provider}/fields").json)
    assert "s3cret" not in shown


def test_a_provider_is_seen_within_its_organization_alone(vault):
    provider = vault.provider(user="alice", password="s3cret")
    inside, outside = vault.admin(), vault.admin(vault.owner.make_tenant("organization")["id"])
    assert inside.get(f"/v1/providers/{provider}").json["id"] == provider
    assert provider in [p["id"] for p in inside.pages("/v1/providers", 2)]
    assert outside.get("/v1/providers").json["items"] == []
    for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("GET", "/fields", None),
                               ("PUT", "/fields/user", {"value": "x"}), ("POST", "/fields/user/promote", None),
                               ("POST", "/fields/user/rollback", None), ("GET", "/report", None), ("GET", "/fields/user", None)):
        assert outside.call(method, f"/v1/providers/{provider}{path}", body, expect=404).code == "not_found"
    body = {"tenant": vault.organization, "platform": "pair", "name": "x"}
    assert outside.post("/v1/providers", body, expect=403).code == "tenant_forbidden"


def test_bad_input_changes_nothing(vault):
    provider = vault.provider()
    target = f"/v1/providers/{provider}/fields"
    vault.owner.put(f"{target}/user", {}, expect=422)
    vault.owner.put(f"{target}/user", {"value": "a", "reference": {}}, expect=422)
    vault.owner.put(f"{target}/user", {"value": "x" * 40000}, expect=422)
    vault.owner.put(f"{target}/user", {"reference": {"store": "nowhere"}}, expect=422)
    vault.owner.put(f"{target}/nothing", {"value": "a"}, expect=404)
    assert vault.owner.get(target).json["items"][0]["versions"] == []
    vault.owner.post("/v1/providers", {"tenant": vault.organization, "platform": "none", "name": "x"}, expect=422)
    vault.runtime.post(f"/v1/providers/{provider}/reveal", {"call_id": "a\nb"}, expect=422)
    vault.runtime.post(f"/v1/providers/{provider}/reveal", {}, expect=422)


def test_suspended_deleted_and_erased(vault):
    organization = vault.owner.make_tenant("organization")["id"]
    made = vault.provider(organization, user="value", password="value")
    vault.owner.post(f"/v1/tenants/{organization}/suspend", expect=200)
    assert vault.reveal(made, "c", expect=409).code == "tenant_suspended"
    vault.owner.post(f"/v1/tenants/{organization}/resume", expect=200)
    vault.reveal(made, "c")
    vault.owner.post(f"/v1/tenants/{organization}/erase-secrets", expect=200)
    assert vault.reveal(made, "c", expect=409).code == "fields_missing"
    assert vault.stages(made, "password") == {1: "erased"}
    for name in ("user", "password"):
        vault.put(made, name, "anew")
    assert vault.reveal(made, "d").json["fields"]["password"] == "anew"
    vault.owner.delete(f"/v1/providers/{made}")
    assert vault.reveal(made, "d", expect=404).code == "not_found"


def rewrite(daemon, statement, *values):
    """As somebody who can edit the store would, while nobody looks."""
    store = sqlite3.connect(daemon.data / "keystile.db")
    with store:
        store.execute(statement, values)
    store.close()


def number_of(text):
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    number = 0
    for c in text[4:]:
        number = number * 32 + digits.index(c)
    return number


SWAP = "UPDATE field_versions SET sealed = (SELECT sealed FROM field_versions WHERE provider = ? AND field = ? AND version = ?) " \
       "WHERE provider = ? AND field = ? AND version = ?"


def test_a_value_is_read_as_its_own_alone(own):
    """Blobs swapped in the file between providers, fields, versions and organizations are refused, and that is audited."""
    with keystile.temporary_data() as data:
        env = {**SETTINGS, "KEYSTILE_PLATFORMS_OWN": own}
        with keystile.Daemon(data, env=env) as daemon:
            vault = Vault(daemon)
            runtime, organization = vault.runtime.token, vault.organization
            providers = [vault.provider(user="alice", password=f"secret-{i}") for i in range(4)]
            vault.put(providers[2], "password", "newer")
            other = vault.owner.make_tenant("organization")["id"]
            stranger = vault.owner.post("/v1/providers", {"tenant": other, "platform": "pair", "name": "p"}).json["id"]
            for name in ("user", "password"):
                vault.put(stranger, name, "theirs")
        n = [number_of(p) for p in providers]
        rewrite(daemon, SWAP, n[1], "password", 1, n[0], "password", 1)      # another provider's
        rewrite(daemon, SWAP, n[1], "password", 1, n[1], "user", 1)          # another field's
        rewrite(daemon, SWAP, n[2], "password", 1, n[2], "password", 2)      # another version's
        rewrite(daemon, SWAP, number_of(stranger), "password", 1, n[3], "password", 1)  # another organization's
        with keystile.Daemon(data, env=env) as daemon:
            vault = Vault(daemon)
            vault.runtime = Api(daemon, runtime)
            for provider in providers:
                answer = vault.reveal(provider, "c", expect=500)
                assert answer.code == "value_unreadable" and b"secret" not in answer.body
            assert vault.reveal(stranger, "c").json["fields"]["password"] == "theirs"
            outcomes = [e["outcome"] for e in vault.audit("secret.reveal") if e["object"] in providers]
            assert outcomes == ["value_unreadable"] * 4 and organization


def test_replaced_values_are_erased_when_their_calls_are_over(own):
    env = {**SETTINGS, "KEYSTILE_PLATFORMS_OWN": own, "KEYSTILE_VAULT_ROLLBACK_WINDOW_S": "1"}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        vault = Vault(daemon)
        provider = vault.provider(user="alice", password="one")
        lease = vault.reveal(provider, "held").json["lease"]["id"]
        vault.put(provider, "password", "two")
        vault.put(provider, "user", "bob")
        eventually(lambda: [s["drained_at"] is not None for s in vault.owner.get(f"/v1/providers/{provider}/report").json["items"]],
                   [False, True, False])
        assert vault.reveal(provider, "held").json["fields"] == {"user": "alice", "password": "one"}
        vault.runtime.post(f"/v1/leases/{lease}/release", expect=200)
        eventually(lambda: vault.stages(provider, "password"), {1: "drained", 2: "current"})
        assert vault.stages(provider, "user") == {1: "drained", 2: "current"}


def test_direct_writes_are_off_unless_set(own):
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_PLATFORMS_OWN": own}) as daemon:
        vault = Vault(daemon)
        provider = vault.provider(user="alice")
        assert vault.put(provider, "password", "s3cret", expect=403).code == "direct_write_off"


def test_secrets_are_nowhere_but_in_the_answer(own):
    canary = "canary-4d1f0a7be2"
    with keystile.temporary_data() as data:
        env = {**SETTINGS, "KEYSTILE_PLATFORMS_OWN": own, "KEYSTILE_LOG_LEVEL": "debug"}
        with keystile.Daemon(data, env=env) as daemon:
            vault = Vault(daemon)
            provider = vault.provider(user=canary, password=canary)
            assert vault.reveal(provider, "c").json["fields"]["password"] == canary
            vault.owner.call("PUT", f"/v1/providers/{provider}/fields/{canary}", {"value": canary}, expect=404)
            metrics = daemon.client().call("GET", "/metrics").body
        assert canary.encode() not in metrics
        for path in pathlib.Path(data).rglob("*"):
            if path.is_file():
                text = path.read_bytes().replace(f"/fields/{canary}".encode(), b"")
                assert canary.encode() not in text, path


def test_the_root_and_its_keys(vault):
    vault.provider(user="alice")
    vault.provider(vault.owner.make_tenant("organization")["id"], user="alice")
    root = vault.owner.get("/v1/vault/root").json
    assert root["ready"] and not root["rotating"]
    done = vault.owner.post("/v1/vault/rewrap", {}, expect=200).json
    assert done["root"] == root["root"] and done["keys"] >= 2 and not done["rotated"]


# ---- metrics ----

def scrape(vault):
    lines = vault.daemon.client().call("GET", "/metrics").body.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_metrics_of_the_vault(vault):
    provider = vault.provider(user="alice")
    before = scrape(vault)
    vault.reveal(provider, "m0", expect=409)
    vault.put(provider, "password", "one")
    lease = vault.reveal(provider, "m1").json["lease"]["id"]
    vault.reveal(provider, "m1")
    vault.owner.put(f"/v1/providers/{provider}/fields/password", {"value": "x" * 40000}, expect=422)
    vault.put(provider, "password", "two")
    vault.owner.post(f"/v1/providers/{provider}/fields/password/rollback", expect=200)
    vault.runtime.post(f"/v1/providers/{provider}/calls", {"call_id": "m1", "outcome": "failed", "code": "x"}, expect=200)
    vault.runtime.post(f"/v1/leases/{lease}/release", expect=200)
    challenge = {"call_id": "m2", "challenge": 'Digest realm="x", nonce="n"', "method": "REGISTER", "uri": "sip:x"}
    vault.runtime.post(f"/v1/providers/{provider}/digest", challenge, expect=200)
    made = vault.owner.post(f"/v1/providers/{provider}/fields/password/links", {"expires_in_s": 600}, expect=201).json
    vault.owner.delete(f"/v1/links/{made['id']}")
    # A call is counted when its connection has the answer.
    eventually(lambda: scrape(vault)['keystile_vault_use_seconds_count{action="digest"}']
               - before['keystile_vault_use_seconds_count{action="digest"}'], 1)
    after = scrape(vault)
    rise = {name: after[name] - before.get(name, 0) for name in after if name.startswith("keystile_vault_") and "_seconds" not in name}
    wanted = {'uses_total{action="reveal",outcome="ok"}': 2, 'uses_total{action="reveal",outcome="refused"}': 1,
              'uses_total{action="digest",outcome="ok"}': 1, 'versions_total{kind="held"}': 2, 'sets_total{reason="promoted"}': 2,
              'sets_total{reason="rolled_back"}': 1, 'leases_total{what="begun"}': 2, 'leases_total{what="extended"}': 1,
              'leases_total{what="released"}': 1, 'calls_total{outcome="failed"}': 1, 'links_total{what="created"}': 1,
              'links_total{what="cancelled"}': 1}
    assert {name: n for name, n in rise.items() if n} == {"keystile_vault_" + name: n for name, n in wanted.items()}
    assert after['keystile_vault_use_seconds_bucket{action="reveal",le="+Inf"}'] == after['keystile_vault_use_seconds_count{action="reveal"}']
