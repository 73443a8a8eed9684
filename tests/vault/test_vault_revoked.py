"""The customer takes its trust back, or its store hangs: who is told what, and whom it does not concern."""
import contextlib
import http.client
import json
import threading

import pytest

import keystile
import references as r
from references import aws, vault

PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
  port: {label: Port, type: port, default: "5060"}
"""
FOUR = """version: 1
name: four
label: Four
about: Four values, with nothing to probe.
fields:
  a: {label: A, type: secret}
  b: {label: B, type: secret}
  c: {label: C, type: secret}
  d: {label: D, type: secret}
"""


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    made = r.Fakes(tmp_path_factory.mktemp("fakes"))
    assert [line for line in made.check_with_official_clients() if line.startswith("failed")] == []
    yield made
    made.stop()


@pytest.fixture(scope="module")
def env(fakes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    (folder / "pair.yaml").write_text(PAIR)
    (folder / "four.yaml").write_text(FOUR)
    identities = r.write_identities(tmp_path_factory.mktemp("identities"), fakes)
    return {"KEYSTILE_REFERENCES_IDENTITIES": identities, "KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_PLATFORMS_OWN": folder,
            "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_HEALTH_INTERVAL_S": "0", "KEYSTILE_REFERENCES_TIMEOUT_MS": "60000",
            "KEYSTILE_REFERENCES_CIRCUIT_FAILURES": "0"}


@pytest.fixture(autouse=True)
def filled(fakes):
    r.fill(fakes)


class World:
    def __init__(self, fakes, daemon):
        self.fakes, self.daemon = fakes, daemon
        self.organization = self.do("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}, 201)["id"]
        body = {"kind": "runtime", "name": "calls", "scopes": ["keystile:secrets:reveal"], "expires_at": None}
        self.token = self.do("POST", "/v1/keys", body, 201)["token"]

    def do(self, method, target, body=None, expect=200):
        answer = self.daemon.local().call(method, target, body)
        assert answer.status == expect, answer.body
        return answer.json

    def provider(self, platform="pair", **fields):
        made = self.do("POST", "/v1/providers", {"tenant": self.organization, "platform": platform, "name": "trunk"}, 201)["id"]
        for name, value in fields.items():
            body = {"reference": value} if isinstance(value, dict) else {"value": value}
            self.do("PUT", f"/v1/providers/{made}/fields/{name}", body)
        return made

    def reveal(self, provider, call):
        answer = self.daemon.client(self.token).call("POST", f"/v1/providers/{provider}/reveal", {"call_id": call})
        return answer.json["fields"]["password"] if answer.status == 200 else (answer.status, answer.code)

    def in_vain(self, provider, call, answers):
        with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
            answers.append(self.reveal(provider, call))

    def hold(self, provider, count):
        """So many calls that wait for a store; what they are answered."""
        answers = []
        threads = [threading.Thread(target=self.in_vain, args=(provider, f"h{n}", answers)) for n in range(count)]
        for thread in threads:
            thread.start()
        return threads, answers

    def probe(self, provider, status, last):
        """One probe, and what the health endpoint says after it."""
        target = f"/v1/providers/{provider}"
        before = self.do("GET", f"{target}/health")["checked_at"]
        self.do("POST", f"{target}/probe", expect=202)
        r.until(lambda: self.do("GET", f"{target}/health")["checked_at"] != before, "it was probed")
        seen = self.do("GET", f"{target}/health")
        assert (seen["status"], seen["last_error_code"]) == (status, last), seen

    def trust(self, trusts):
        self.fakes.state("aws", roles={r.ROLE: {"trusts": trusts, "external_id": f"keystile:{self.organization}"}})


def test_the_customer_revokes(fakes, env):
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=env) as daemon:
            world = World(fakes, daemon)
            world.trust([r.OUR_ARN])
            reference = aws(external_id=f"keystile:{world.organization}")
            mine = world.provider(user="alice", password=reference)
            other = world.provider(user="bob", password=vault(member="password"))
            assert world.reveal(mine, "c1") == 'aws-value "\u00e9\n'
            world.probe(mine, "healthy", None)
            # A provider that names another external id than its role wants was never let in: that is no revocation.
            fakes.state("aws", roles={r.ROLE + "-open": {"external_id": "mine"}})
            wrong = world.provider(user="eve", password=aws(role=r.ROLE + "-open", external_id="else"))
            assert world.reveal(wrong, "w1") == (502, "external_id_wrong")
        # The service that is started anew has the store's word for what worked.
        with keystile.Daemon(data, env=env) as daemon:
            world.daemon = daemon
            world.trust([])
            assert world.reveal(mine, "c2") == (502, "trust_revoked")
            assert world.reveal(wrong, "w2") == (502, "external_id_wrong")
            assert world.reveal(other, "o1") == "vault-4"
            world.probe(mine, "failing", "trust_revoked")
            assert world.reveal(mine, "c3") == (502, "trust_revoked")
            changes = [e for e in world.do("GET", "/v1/events?type=provider.health_changed")["items"] if e["object"] == mine]
            assert [e["data"]["status"] for e in changes][0] == "failing", changes
            world.trust([r.OUR_ARN])
            assert world.reveal(mine, "c4") == 'aws-value "\u00e9\n'
            world.probe(mine, "healthy", "trust_revoked")


def test_a_store_that_hangs_holds_up_no_other_provider(fakes, env):
    """More calls wait for one customer's store than there are threads for it: everybody else's are answered meanwhile."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        world = World(fakes, daemon)
        world.trust([r.OUR_ARN])
        hanging = world.provider(user="a", password=vault(member="password"))
        same_tenant = world.provider(user="b", password=aws(external_id=f"keystile:{world.organization}"))
        held = world.provider(user="c", password="held")
        fakes.control("vault", forget=True)
        fakes.fault("vault", "never")
        threads, answers = world.hold(hanging, 150)
        r.until(lambda: len(fakes.requests("vault")) >= 16, "the store has its share")
        for n in range(10):
            assert world.reveal(same_tenant, f"s{n}") == 'aws-value "\u00e9\n'
            assert world.reveal(held, f"c{n}") == "held"
            world.do("PUT", f"/v1/providers/{held}/fields/password", {"value": "held"})
        assert not [a for a in answers if a != (503, "overloaded") and a != (502, "busy")], answers
        daemon.kill()
        for thread in threads:
            thread.join()


def test_many_providers_that_hang_hold_up_no_other_tenant(fakes, env):
    """Ten providers of one tenant, all at the store that hangs, and calls of each for as many threads as one provider may have."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        world = World(fakes, daemon)
        many = [world.provider(user="a", password=vault(member="password")) for _ in range(18)]
        world.organization = world.do("POST", "/v1/tenants", {"kind": "organization", "name": "Other"}, 201)["id"]
        world.trust([r.OUR_ARN])
        other = world.provider(user="b", password=aws(external_id=f"keystile:{world.organization}"))
        fakes.control("vault", forget=True)
        fakes.fault("vault", "never")
        held = [world.hold(provider, 16) for provider in many]
        r.until(lambda: len(fakes.requests("vault")) >= 16, "the store has the tenant's share")
        for n in range(5):
            assert world.reveal(other, f"s{n}") == 'aws-value "\u00e9\n'
        assert all(a in ((503, "overloaded"), (502, "busy")) for _, answers in held for a in answers)
        daemon.kill()
        for threads, _ in held:
            for thread in threads:
                thread.join()


def test_references_of_one_provider_are_read_at_the_same_time(fakes, env):
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        world = World(fakes, daemon)
        reference = {"store": "aws", "identity": "aws-direct", "secret": "trunk", "region": "eu-central-1"}
        four = world.provider("four", **{name: reference for name in "abcd"})
        fakes.control("aws", forget=True)
        fakes.fault("aws", "never", action="GetSecretValue")
        threads, answers = world.hold(four, 1)
        # None is answered, and all are asked.
        r.until(lambda: len(fakes.requests("aws")) == 4, "all four are asked")
        assert not answers
        daemon.kill()
        threads[0].join()


def test_defaults_and_what_failed_calls_said(fakes, env):
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as daemon:
        world = World(fakes, daemon)
        mine = world.provider(user="alice", password="held")
        runtime = daemon.client(world.token)
        answer = runtime.call("POST", f"/v1/providers/{mine}/reveal", {"call_id": "c1"})
        assert answer.json["fields"] == {"user": "alice", "password": "held", "port": "5060"}
        report = lambda: world.do("GET", f"/v1/providers/{mine}/report")["items"][0]
        assert report()["failed_code"] is None
        body = {"call_id": "c1", "outcome": "failed", "code": "sip_403"}
        assert runtime.call("POST", f"/v1/providers/{mine}/calls", {**body, "code": "a\nb"}).status == 422
        assert runtime.call("POST", f"/v1/providers/{mine}/calls", body).status == 200
        assert (report()["failed"], report()["failed_code"]) == (1, "sip_403")
        world.do("PUT", f"/v1/providers/{mine}/fields/port", {"value": "5080"})
        assert runtime.call("POST", f"/v1/providers/{mine}/reveal", {"call_id": "c2"}).json["fields"]["port"] == "5080"
