"""Held values in AWS Secrets Manager: the same life as in the store, whatever becomes of AWS or of the service meanwhile."""
import base64
import contextlib
import http.client
import json
import pathlib
import sqlite3
import threading

import pytest

import keystile
import references as r

PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
"""
CHALLENGE = 'Digest realm="x", nonce="n1", algorithm=MD5, qop="auth"'


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    made = r.Fakes(tmp_path_factory.mktemp("fakes"))
    made.official = made.check_with_official_clients()
    assert [line for line in made.official if line.startswith("failed")] == []
    yield made
    made.stop()


@pytest.fixture(scope="module")
def env(fakes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    (folder / "pair.yaml").write_text(PAIR)
    identities = r.write_identities(tmp_path_factory.mktemp("identities"), fakes)
    return {"KEYSTILE_REFERENCES_IDENTITIES": identities, "KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_PLATFORMS_OWN": folder,
            "KEYSTILE_VAULT_HELD_STORE": "aws", "KEYSTILE_VAULT_HELD_IDENTITY": "held", "KEYSTILE_VAULT_HELD_REGION": "eu-central-1",
            "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_VAULT_ROLLBACK_WINDOW_S": "1", "KEYSTILE_REFERENCES_TIMEOUT_MS": "2000"}


@pytest.fixture(autouse=True)
def empty(fakes):
    r.fill(fakes)
    there = fakes.control("aws")["state"]["secrets"]
    fakes.state("aws", secrets={name: None for name in there if name.startswith("keystile/")})


class World:
    """An organization with a provider whose values lie at AWS."""

    def __init__(self, fakes, daemon):
        self.fakes, self.daemon = fakes, daemon
        self.organization = self.do("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}, 201)["id"]
        body = {"kind": "runtime", "name": "calls", "scopes": ["keystile:secrets:reveal"], "expires_at": None}
        self.token = self.do("POST", "/v1/keys", body, 201)["token"]
        self.provider = self.make()

    def make(self):
        made = self.do("POST", "/v1/providers", {"tenant": self.organization, "platform": "pair", "name": "trunk"}, 201)["id"]
        self.put("user", "alice", provider=made)
        self.put("password", "first-canary-71", provider=made)
        return made

    def do(self, method, target, body=None, expect=200):
        answer = self.daemon.local().call(method, target, body)
        assert answer.status == expect, answer.body
        return answer.json

    def put(self, field, value, expect=200, provider=None):
        return self.do("PUT", f"/v1/providers/{provider or self.provider}/fields/{field}", {"value": value}, expect)

    def reveal(self, call, provider=None):
        answer = self.daemon.client(self.token).call("POST", f"/v1/providers/{provider or self.provider}/reveal", {"call_id": call})
        return answer.json["fields"]["password"] if answer.status == 200 else (answer.status, answer.code)

    def name(self, field="password", provider=None, life=""):
        return f"keystile/{self.organization}/{provider or self.provider}/{field}{life}"

    def secret(self, **where):
        return self.fakes.control("aws")["state"]["secrets"].get(self.name(**where))

    def stages(self, field="password"):
        """{stage: the number of the version that has it}, in the order in which they came."""
        secret = self.secret(field=field)
        order = list(secret["versions"])
        return {stage: order.index(version) + 1 for stage, version in secret["stages"].items() if version}

    def follows(self, wanted, field="password"):
        r.until(lambda: self.stages(field) == wanted, f"stages {wanted}")


@pytest.fixture
def world(fakes, env):
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        made = World(fakes, daemon)
        made.data = data
        yield made


def everything(data):
    return b"".join(path.read_bytes() for path in pathlib.Path(data).rglob("*") if path.is_file())


def test_the_life_of_a_value(world):
    assert world.reveal("c1") == "first-canary-71"
    world.follows({"AWSCURRENT": 1})
    assert world.put("password", "second-canary-72")["current"] == 2
    assert world.reveal("c1") == "first-canary-71", "the call is on what it began with"
    assert world.reveal("c2") == "second-canary-72"
    world.follows({"AWSCURRENT": 2, "AWSPREVIOUS": 1})
    world.do("POST", f"/v1/providers/{world.provider}/fields/password/rollback")
    assert world.reveal("c3") == "first-canary-71"
    world.follows({"AWSCURRENT": 1, "AWSPREVIOUS": 2})
    field = next(f for f in world.do("GET", f"/v1/providers/{world.provider}/fields")["items"] if f["name"] == "password")
    assert {v["kind"] for v in field["versions"]} == {"held"}
    # Neither side has enough: the values are in clear nowhere, and what is at AWS is not in the store.
    there = world.secret()["versions"].values()
    raw = [base64.b64decode(v["binary"]) for v in there]
    stored = everything(world.data)
    assert all(b"canary" not in blob and blob not in stored for blob in raw) and b"canary-7" not in stored


def test_a_challenge_is_answered_with_a_password_that_lies_there(world):
    body = {"call_id": "d1", "challenge": CHALLENGE, "method": "REGISTER", "uri": "sip:x"}
    answer = world.daemon.client(world.token).call("POST", f"/v1/providers/{world.provider}/digest", body)
    assert answer.status == 200 and 'username="alice"' in answer.json["authorization"], answer.body
    world.fakes.fault("aws", "throttle")
    answer = world.daemon.client(world.token).call("POST", f"/v1/providers/{world.provider}/digest", {**body, "call_id": "d2"})
    assert (answer.status, answer.code) == (503, "held_store_unavailable")


def test_what_a_probe_refused_and_what_waits(world):
    """A version that waits has AWSPENDING; one that a newer one came before loses it."""
    half = world.do("POST", "/v1/providers", {"tenant": world.organization, "platform": "pair", "name": "half"}, 201)["id"]
    world.provider = half
    assert world.put("password", "one")["pending"] == 1
    assert world.put("password", "two")["pending"] == 2
    # AWS calls the first one current by itself.
    world.follows({"AWSCURRENT": 1, "AWSPENDING": 2})
    world.put("user", "bob")
    assert world.reveal("h1") == "two"
    r.until(lambda: world.stages().get("AWSCURRENT") == 2 and "AWSPENDING" not in world.stages(), "promoted")


def test_deleting_and_erasing(world):
    other = world.make()
    world.do("DELETE", f"/v1/providers/{other}")
    r.until(lambda: not world.secret(provider=other) and not world.secret(field="user", provider=other), "deleted there")
    assert world.secret()
    world.do("POST", f"/v1/tenants/{world.organization}/erase-secrets")
    assert world.reveal("e1") == (409, "fields_missing")
    r.until(lambda: not world.secret(), "erased there")
    # A new key is a new secret: nothing comes back, and nothing new is taken away with the old.
    world.put("user", "alice")
    world.put("password", "third")
    assert world.reveal("e2") == "third"
    assert world.secret(life="-2") and not world.secret()


def test_what_is_drained_opens_no_more(world):
    """What of it lies at AWS is worth nothing without its head, which the store has erased."""
    world.put("password", "second")
    with sqlite3.connect(f"file:{world.data}/keystile.db?mode=ro", uri=True) as db:
        before = dict(db.execute("SELECT version, length(sealed) FROM field_versions WHERE field = 'password'"))
    assert all(62 < size < 200 for size in before.values())
    world.do("DELETE", f"/v1/providers/{world.provider}")
    with sqlite3.connect(f"file:{world.data}/keystile.db?mode=ro", uri=True) as db:
        assert {size for (size,) in db.execute("SELECT length(sealed) FROM field_versions")} == {0}


def test_another_secrets_bytes_are_refused(world):
    other = world.make()
    mine, its = world.secret(), world.secret(provider=other)
    for target, source in ((world.name(), its), (world.name(provider=other), mine)):
        bytes_ = next(iter(source["versions"].values()))
        version = next(iter((mine if target == world.name() else its)["versions"]))
        world.fakes.state("aws", secrets={target: {"versions": {version: bytes_}}})
    assert world.reveal("x1") == (500, "value_unreadable")
    assert world.reveal("x2", provider=other) == (500, "value_unreadable")


FAULTS = ["never", "partial", "throttle", "fail"]


@pytest.mark.parametrize("kind", FAULTS)
def test_no_value_is_lost_when_aws_fails(world, kind):
    for action in ("PutSecretValue", "CreateSecret"):
        world.fakes.fault("aws", kind, action=action)
        if action == "PutSecretValue":
            world.put("password", "lost", 503)
        else:
            world.do("POST", "/v1/providers", {"tenant": world.organization, "platform": "pair", "name": "new"}, 201)
        world.fakes.fault("aws")
        assert world.reveal(f"{kind}-{action}") == "first-canary-71"
    world.fakes.fault("aws", kind, action="GetSecretValue")
    assert world.reveal(f"{kind}-read") == (503, "held_store_unavailable")
    refused = [e for e in world.do("GET", "/v1/audit?action=secret.reveal&limit=50")["items"] if e["detail"]["call_id"] == f"{kind}-read"]
    assert [e["outcome"] for e in refused] == ["held_store_unavailable"]
    world.fakes.fault("aws")
    assert world.put("password", f"after {kind}")["current"] >= 2
    assert world.reveal(f"{kind}-end") == f"after {kind}"


def ask_in_vain(client, *order):
    with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
        client.call(*order)


STEPS = ["CreateSecret", "PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue", "DeleteSecret"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_aws_is_asked(fakes, env, step):
    """At each step of a value's life the service is killed while AWS has the request and has not answered."""
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=env) as daemon:
            world = World(fakes, daemon)
            world.follows({"AWSCURRENT": 1})
            world.follows({"AWSCURRENT": 1}, "user")
            fakes.control("aws", forget=True)
            fakes.fault("aws", "never", action=step)
            client = daemon.local()
            target = f"/v1/providers/{world.provider}"
            if step == "CreateSecret":
                made = world.do("POST", "/v1/providers", {"tenant": world.organization, "platform": "pair", "name": "n"}, 201)["id"]
                order = ("PUT", f"/v1/providers/{made}/fields/user", {"value": "x"})
            elif step == "GetSecretValue":
                client, order = daemon.client(world.token), ("POST", f"{target}/reveal", {"call_id": "killed"})
            elif step == "DeleteSecret":
                order = ("DELETE", target, None)
            else:
                order = ("PUT", f"{target}/fields/password", {"value": "second"})
            asking = threading.Thread(target=ask_in_vain, args=(client, *order))
            asking.start()
            r.until(lambda: any(q["action"] == step for q in fakes.requests("aws")), f"{step} was asked")
            daemon.kill()
            asking.join()
        fakes.fault("aws")
        with keystile.Daemon(data, env=env) as daemon:
            world.daemon = daemon
            if step == "DeleteSecret":
                r.until(lambda: not world.secret(), "erased after all")
                assert world.reveal("after") == (404, "not_found")
                return
            # The change of stages alone was committed before AWS was asked.
            wanted = "second" if step == "UpdateSecretVersionStage" else "first-canary-71"
            assert world.reveal("after") == wanted
            if step == "UpdateSecretVersionStage":
                world.follows({"AWSCURRENT": 2, "AWSPREVIOUS": 1})
            world.put("password", "third")
            assert world.reveal("later") == "third"


def test_values_stay_where_they_are(fakes, env):
    """Back to the store: what lies at AWS is read there, what is new is not."""
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=env) as daemon:
            world = World(fakes, daemon)
        with keystile.Daemon(data, env={**env, "KEYSTILE_VAULT_HELD_STORE": "store"}) as daemon:
            world.daemon = daemon
            assert world.reveal("s1") == "first-canary-71"
            world.put("password", "in the store")
            fakes.fault("aws", "never", action="PutSecretValue")
            assert world.reveal("s2") == "in the store"
            assert len(world.secret()["versions"]) == 1


@pytest.mark.parametrize("change,text", [
    ({"KEYSTILE_VAULT_HELD_STORE": "s3"}, "vault.held_store: must be store or aws"),
    ({"KEYSTILE_VAULT_HELD_IDENTITY": "aws"}, "vault.held_identity"), ({"KEYSTILE_VAULT_HELD_IDENTITY": "vault"}, "vault.held_identity"),
    ({"KEYSTILE_VAULT_HELD_IDENTITY": ""}, "vault.held_identity"), ({"KEYSTILE_VAULT_HELD_REGION": "Mars!"}, "vault.held_region"),
    ({"KEYSTILE_VAULT_HELD_PREFIX": "a b"}, "vault.held_prefix")])
def test_wrong_settings(env, change, text):
    with keystile.temporary_data() as data:
        done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={**env, **change})
        assert done.code == 1 and text in done.err, done.err
