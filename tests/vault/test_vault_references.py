"""References: values read from the tenants' own secret managers, by the fakes, which the official clients checked before."""
import pathlib
import re
import time

import pytest

import keystile
import references as r
from references import ORG, aws, azure, gcp, vault

SOURCE = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def fakes(tmp_path_factory):
    made = r.Fakes(tmp_path_factory.mktemp("fakes"))
    made.official = made.check_with_official_clients()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def minted(fakes):
    """What the service's own issuer signs for the organization."""
    now = int(time.time())
    return r.sign_jwt(fakes.client_key, {"iss": r.ISSUER, "sub": ORG, "aud": "keystile", "iat": now, "exp": now + 3600})


@pytest.fixture(scope="session")
def identities(fakes, tmp_path_factory):
    return r.write_identities(tmp_path_factory.mktemp("identities"), fakes)


@pytest.fixture(scope="session")
def reader(identities, minted):
    made = r.Reader(identities, timeout_ms=5000, env={"MINTED": minted})
    assert made.started["error"] == "ok", made.started
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def filled(fakes):
    r.fill(fakes)


def test_official_clients(fakes):
    assert [line for line in fakes.official if line.startswith("failed")] == []


GOOD = [
    ("aws: role and external id", aws(), 'aws-value "\u00e9\n', r.AWS_VERSION, 2),
    ("aws: stage", aws(stage="AWSPREVIOUS"), "aws-old", r.AWS_OLD, 2),
    ("aws: version", aws(version=r.AWS_OLD), "aws-old", r.AWS_OLD, 2),
    ("aws: arn", {k: v for k, v in aws("arn:aws:secretsmanager:eu-central-1:123456789012:secret:trunk-AbCdEf").items() if k != "region"}, 'aws-value "\u00e9\n', r.AWS_VERSION, 2),
    ("aws: binary", aws("binary"), "bin\u0001ary", r.AWS_VERSION, 2),
    ("aws: member", aws("json", member="user"), "acme", r.AWS_VERSION, 2),
    ("aws: pointer", aws("json", member="/sip/password"), 'p"w', r.AWS_VERSION, 2),
    ("aws: number", aws("json", member="port"), "5061", r.AWS_VERSION, 2),
    ("aws: own keys", {"store": "aws", "identity": "aws-direct", "secret": "trunk", "region": "eu-central-1"}, 'aws-value "\u00e9\n', r.AWS_VERSION, 1),
    ("gcp: account", gcp(version=6), "gcp-6", "6", 1),
    ("gcp: latest", gcp(), "gcp-6", "6", 1),
    ("gcp: alias", gcp(version="prod"), "gcp-1", "1", 1),
    ("gcp: impersonation", gcp(impersonate=r.READER), "gcp-6", "6", 2),
    ("gcp: place", gcp("projects/acme-1/locations/europe-west3/secrets/near", impersonate=r.READER), "near", "1", 2),
    ("gcp: pool, own issuer", gcp(identity="gcp-pool"), "gcp-6", "6", 2),
    ("gcp: pool, token of a file", gcp(identity="gcp-pool-file"), "gcp-6", "6", 2),
    ("gcp: pool and impersonation", gcp(identity="gcp-pool", impersonate=r.READER), "gcp-6", "6", 3),
    ("vault: token", vault(member="password"), "vault-4", "4", 1),
    ("vault: whole", vault(), '{"password":"vault-4","port":5060}', "4", 1),
    ("vault: version", vault(member="password", version=1), "vault-1", "1", 1),
    ("vault: namespace, escapes", vault("a b", mount="kv two", namespace="team/eu", member="x"), "spaced", "1", 1),
    ("vault: AppRole", vault(identity="vault-approle", member="password"), "vault-4", "4", 2),
    ("vault: JWT of our issuer", vault(identity="vault-jwt", member="password"), "vault-4", "4", 2),
    ("vault: Kubernetes", vault(identity="vault-kubernetes", member="password"), "vault-4", "4", 2),
    ("azure: client secret", azure(), "azure-value", r.AZURE_VERSION, 2),
    ("azure: version", azure(version="f" * 32), "azure-old", "f" * 32, 2),
    ("azure: certificate", azure(identity="azure-certificate"), "azure-value", r.AZURE_VERSION, 2),
    ("azure: federated", azure(identity="azure-federated", directory=r.DIRECTORY), "azure-value", r.AZURE_VERSION, 2),
]


@pytest.mark.parametrize("name,reference,value,version,requests", GOOD, ids=[row[0] for row in GOOD])
def test_reads(reader, name, reference, value, version, requests):
    answer = reader.read(reference)
    assert (answer["code"], answer["value"], answer["version"]) == ("ok", value, version), answer
    assert answer["requests"] == requests and not answer["shared"]


def changed(store, **state):
    return lambda fakes: fakes.state(store, **state)


AWS_SECRET = lambda **more: changed("aws", secrets={"trunk": more})
ROLE_NOW = lambda **more: changed("aws", roles={r.ROLE: more})
APPLICATION = lambda **more: changed("azure", directories={r.DIRECTORY: {"applications": {r.CLIENT: more}}})

BAD = [
    ("reference: none", "{}", "reference_malformed", None),
    ("identity: none", aws(identity="other"), "identity_unknown", None),
    ("identity: of another store", aws(identity="vault"), "identity_unknown", None),
    ("identity: of another organization", aws(identity="aws-acme"), "identity_forbidden", None),
    ("identity: own keys not allowed", {"store": "aws", "secret": "trunk", "region": "eu-central-1"}, "identity_forbidden", None),
    ("identity: own account not allowed", gcp(identity="gcp-indirect"), "identity_forbidden", None),
    ("identity: another address", vault(address="https://vault.example"), "identity_forbidden", None),
    ("identity: its file is gone", gcp(identity="gcp-no-file"), "identity_unreadable", None),
    ("aws: another organization's external id", aws(external_id="keystile:org_0000000000002"), "external_id_wrong", None),
    ("aws: another external id", aws(external_id="other"), "external_id_wrong", None),
    ("aws: role without trust", aws(role=r.ROLE + "-other", external_id="some"), "external_id_wrong", None),
    ("aws: trust without external id", {k: v for k, v in aws(role=r.ROLE + "-other").items() if k != "external_id"}, "trust_revoked", None),
    ("aws: role gone", {k: v for k, v in aws(role=r.ROLE + "-gone").items() if k != "external_id"}, "trust_revoked", None),
    ("aws: session ended", {k: v for k, v in aws(role=r.ROLE + "-late").items() if k != "external_id"}, "trust_revoked", None),
    ("aws: our key is wrong", aws(identity="aws-wrong"), "identity_refused", None),
    ("aws: our key is unknown", aws(identity="aws-unknown"), "identity_refused", None),
    ("aws: secret gone", aws("gone"), "secret_gone", None),
    ("aws: secret deleted", aws(), "secret_gone", AWS_SECRET(deleted=True)),
    ("aws: stage gone", aws(stage="AWSPENDING"), "version_gone", None),
    ("aws: version gone", aws(version="0" * 32), "version_gone", None),
    ("aws: not granted", aws("other"), "denied", None),
    ("aws: KMS key off", aws(), "key_denied", AWS_SECRET(key_disabled=True)),
    ("aws: KMS key denied", aws(), "key_denied", AWS_SECRET(key_denied=True)),
    ("aws: clock", aws(), "clock_wrong", changed("aws", skew_s=900)),
    ("aws: clock behind", aws(), "clock_wrong", changed("aws", skew_s=-900)),
    ("aws: another region", aws(region="us-east-1"), "identity_refused", None),
    ("aws: member missing", aws("json", member="secret"), "member_missing", None),
    ("aws: pointer misses", aws("json", member="/sip/user"), "member_missing", None),
    ("aws: member is null", aws("json", member="none"), "member_not_text", None),
    ("aws: member is an object", aws("json", member="sip"), "member_not_text", None),
    ("aws: no JSON", aws(member="user"), "value_not_json", None),
    ("aws: empty", aws("empty"), "value_empty", None),
    ("aws: refused connection", aws(identity="aws-nowhere"), "unreachable", None),
    ("aws: private address", aws(identity="aws-private"), "address_refused", None),
    ("aws: untrusted certificate", aws(identity="aws-tls"), "tls_failed", None),
    ("gcp: our key is wrong", gcp(identity="gcp-wrong"), "identity_refused", None),
    ("gcp: our account is off", gcp(), "identity_refused", changed("gcp", accounts={r.EMAIL: {"disabled": True}})),
    ("gcp: impersonation taken back", gcp(impersonate=r.READER), "trust_revoked", changed("gcp", accounts={r.READER: {"impersonators": []}})),
    ("gcp: no such account", gcp(impersonate="x@acme-1.iam.gserviceaccount.com"), "trust_revoked", None),
    ("gcp: pool off", gcp(identity="gcp-pool"), "trust_revoked", changed("gcp", providers={r.POOL: {"disabled": True}})),
    ("gcp: pool unknown", gcp(identity="gcp-pool-gone"), "trust_revoked", None),
    ("gcp: pool trusts another issuer", gcp(identity="gcp-pool"), "trust_revoked", changed("gcp", providers={r.POOL: {"issuer": "https://x.example"}})),
    ("gcp: not granted", gcp("projects/acme-1/secrets/closed"), "denied", None),
    ("gcp: secret gone", gcp("projects/acme-1/secrets/gone"), "secret_gone", None),
    ("gcp: version gone", gcp(version=99), "version_gone", None),
    ("gcp: version disabled", gcp(version=2), "version_disabled", None),
    ("gcp: version destroyed", gcp(version=3), "version_gone", None),
    ("gcp: empty", gcp(version=4), "value_empty", None),
    ("gcp: wrong checksum", gcp(version=5), "malformed", None),
    ("gcp: API off", gcp(), "store_disabled", changed("gcp", disabled_api=True)),
    ("gcp: clock", gcp(), "identity_refused", changed("gcp", skew_s=90000)),
    ("vault: token revoked", vault(identity="vault-revoked"), "trust_revoked", None),
    ("vault: secret id revoked", vault(identity="vault-approle-wrong"), "trust_revoked", None),
    ("vault: role gone", vault(identity="vault-jwt"), "trust_revoked", changed("vault", jwt={"keystile": {"reader": None}})),
    ("vault: role for another", vault(identity="vault-jwt"), "trust_revoked", changed("vault", jwt={"keystile": {"reader": {"subject": "org_other"}}})),
    ("vault: no JWT method", vault(identity="vault-jwt"), "trust_revoked", changed("vault", jwt={"keystile": None})),
    ("vault: path not granted", vault("other/x"), "denied", None),
    ("vault: secret gone", vault("voice/gone"), "secret_gone", None),
    ("vault: version gone", vault(version=77), "version_gone", None),
    ("vault: version deleted", vault(version=2), "version_disabled", None),
    ("vault: version destroyed", vault(version=3), "version_gone", None),
    ("vault: sealed", vault(), "store_disabled", changed("vault", sealed=True)),
    ("vault: namespace without", vault(namespace="elsewhere"), "secret_gone", None),
    ("vault: member missing", vault(member="user"), "member_missing", None),
    ("azure: our secret is wrong", azure(identity="azure-wrong"), "identity_refused", None),
    ("azure: our secret has expired", azure(identity="azure-expired"), "identity_refused", None),
    ("azure: another key than the certificate's", azure(identity="azure-other-key"), "identity_refused", None),
    ("azure: application removed", azure(), "trust_revoked", changed("azure", directories={r.DIRECTORY: {"applications": {r.CLIENT: None}}})),
    ("azure: application off", azure(), "trust_revoked", APPLICATION(disabled=True)),
    ("azure: federated credential removed", azure(identity="azure-federated"), "trust_revoked", APPLICATION(federated=[])),
    ("azure: no directory", azure(identity="azure-nowhere"), "reference_wrong", None),
    ("azure: unknown directory", azure(directory="other.onmicrosoft.com"), "reference_wrong", None),
    ("azure: clock", azure(identity="azure-certificate"), "clock_wrong", changed("azure", skew_s=3600)),
    ("azure: role taken back", azure(), "denied", changed("azure", vaults={"": {"readers": []}})),
    ("azure: firewall", azure(), "network_denied", changed("azure", vaults={"": {"firewall": True}})),
    ("azure: secret gone", azure("gone"), "secret_gone", None),
    ("azure: version gone", azure(version="e" * 32), "version_gone", None),
    ("azure: disabled", azure("off"), "version_disabled", None),
]


@pytest.mark.parametrize("name,reference,code,change", BAD, ids=[row[0] for row in BAD])
def test_refusals(reader, fakes, name, reference, code, change):
    if change:
        change(fakes)
    answer = reader.read(reference)
    assert (answer["code"], answer["value"]) == (code, ""), answer


ONE_OF_EACH = {"aws": aws(), "gcp": gcp(), "vault": vault(), "azure": azure()}
FAULTS = [
    ("never", {}, "timeout"), ("trickle", {"ms": 60}, "timeout"), ("close", {}, "malformed"), ("partial", {}, "malformed"),
    ("page", {"status": 200}, "malformed"), ("page", {"status": 302}, "malformed"), ("page", {"status": 403}, "malformed"),
    ("page", {"status": 404}, "malformed"), ("page", {"status": 502}, "store_failed"), ("page", {"status": 503}, "store_failed"),
    ("page", {"status": 504}, "timeout"), ("page", {"status": 429}, "throttled"), ("body", {"body": "{}"}, "malformed"),
    ("body", {"body": "[]"}, "malformed"), ("body", {"body": '{"a":1,"a":2}'}, "malformed"), ("body", {"body": "null", "status": 400}, "malformed"),
    ("huge", {}, "value_too_large"), ("throttle", {}, "throttled"), ("fail", {}, "store_failed"),
]


@pytest.mark.parametrize("store", ONE_OF_EACH)
@pytest.mark.parametrize("kind,more,code", FAULTS, ids=[f"{f[0]}{f[1].get('status', '')}{f[1].get('body', '')}" for f in FAULTS])
def test_wrong_answers(reader, fakes, store, kind, more, code):
    fakes.fault(store, kind, **more)
    answer = reader.read(ONE_OF_EACH[store], timeout_ms=150 if code == "timeout" else 0)
    assert (answer["code"], answer["value"]) == (code, ""), answer
    fakes.fault(store)
    assert reader.read(ONE_OF_EACH[store])["code"] == "ok"


READ_STEP = {"aws": "GetSecretValue", "vault": "read", "azure": "secret", "gcp": "access"}


@pytest.mark.parametrize("store", ONE_OF_EACH)
def test_wrong_answers_to_the_second_request(reader, fakes, store):
    for kind, code in (("partial", "malformed"), ("fail", "store_failed"), ("throttle", "throttled"), ("close", "malformed")):
        fakes.fault(store, kind, action=READ_STEP[store])
        assert reader.read(ONE_OF_EACH[store])["code"] == code


def test_a_revoked_trust_fails_the_next_read(reader, fakes):
    assert reader.read(aws())["code"] == "ok"
    fakes.state("aws", roles={r.ROLE: {"trusts": []}})
    assert reader.read(aws())["code"] == "trust_revoked"
    fakes.state("aws", roles={r.ROLE: {"trusts": [r.OUR_ARN]}})
    assert reader.read(aws())["code"] == "ok"
    # What the caller knows to have worked was revoked, though this process never saw it.
    fakes.state("aws", roles={r.ROLE + "-open": {"external_id": "mine"}})
    fresh = aws(role=r.ROLE + "-open", external_id="else")
    assert reader.read(fresh)["code"] == "external_id_wrong"
    assert reader.read(fresh, worked=True)["code"] == "trust_revoked"


def test_a_new_version_is_read_by_the_next_read(reader, fakes):
    assert reader.read(gcp())["value"] == "gcp-6"
    fakes.state("gcp", secrets={"projects/acme-1/secrets/trunk": {"versions": {"7": {"data": "Z2NwLTc=", "state": "ENABLED"}}}})
    answer = reader.read(gcp())
    assert (answer["value"], answer["version"]) == ("gcp-7", "7")


def test_every_read_makes_a_session_of_its_own(reader, fakes):
    before = set(fakes.control("aws")["state"]["sessions"])
    for _ in range(3):
        assert reader.read(aws())["code"] == "ok"
    sessions = fakes.control("aws")["state"]["sessions"]
    assert len(set(sessions) - before) == 3
    assert {sessions[key]["arn"] for key in set(sessions) - before} == {f"{r.ROLE}/keystile-{ORG}"}
    assert [request["action"] for request in fakes.requests("aws")] == ["AssumeRole", "GetSecretValue"] * 3


def test_connections_are_used_again(reader, fakes):
    reader.read(aws())
    fakes.control("aws", forget=True)
    for _ in range(5):
        assert reader.read(aws())["code"] == "ok"
    assert len({request["connection"] for request in fakes.requests("aws")}) == 1


def test_reads_that_wait_share_a_fetch_and_no_others(identities, fakes):
    reader = r.Reader(identities, concurrency=1, timeout_ms=20000)
    fakes.fault("vault", "slow", ms=300)
    reference, other = vault(member="password"), vault()
    first = reader.ask(reference)
    r.until(lambda: len(fakes.requests("vault")) == 1, "the first fetch begins")
    # The first fetch began: these may not have its value; they wait, and share the next one.
    waiting = [reader.ask(reference) for _ in range(3)]
    alone = reader.ask(other)
    r.until(lambda: "keystile_reference_waiting 4" in reader.command("metrics")["text"], "four wait")
    fakes.state("vault", kv={"|secret/voice/trunk": {"versions": {"5": {"data": {"password": "vault-5"}}}}})
    assert reader.wait(first)["value"] == "vault-4"
    answers = [reader.wait(number) for number in waiting]
    assert {answer["value"] for answer in answers} == {"vault-5"}
    assert sorted(answer["requests"] for answer in answers) == [0, 0, 1]
    assert all(answer["shared"] for answer in answers)
    assert reader.wait(alone)["value"] == '{"password":"vault-5"}'
    assert len(fakes.requests("vault")) == 3
    # Another tenant's reads of the same are its own, and do not wait for these.
    fakes.control("vault", forget=True)
    both = [reader.ask(reference), reader.ask(reference, tenant="sub_0000000000002")]
    assert all(reader.wait(number)["requests"] == 1 for number in both)
    reader.stop()


def test_more_than_may_wait_are_refused_at_once(identities, fakes):
    reader = r.Reader(identities, concurrency=2, timeout_ms=20000)
    fakes.fault("vault", "slow", ms=400)
    asked = [reader.ask(vault(version=n)) for n in range(1, 12)]
    codes = [reader.wait(number)["code"] for number in asked]
    assert codes.count("busy") == 1, codes
    # Who waits no longer than it may ends as busy, and the rest goes on.
    running = [reader.ask(vault()) for _ in range(2)]
    r.until(lambda: "keystile_reference_running 2" in reader.command("metrics")["text"], "two run")
    late = reader.read(vault(), timeout_ms=50)
    assert late["code"] == "busy" and late["requests"] == 0
    assert {reader.wait(number)["code"] for number in running} == {"ok"}
    reader.stop()


def test_a_circuit_opens_for_one_tenant_and_store_alone(identities, fakes):
    reader = r.Reader(identities, failures=3, open_ms=600, timeout_ms=3000)
    fakes.fault("vault", "fail")
    assert [reader.read(vault())["code"] for _ in range(3)] == ["store_failed"] * 3
    fakes.control("vault", forget=True)
    assert reader.read(vault())["code"] == "circuit_open"
    assert fakes.requests("vault") == []
    assert "keystile_reference_circuits_open 1" in reader.command("metrics")["text"]
    # Another tenant asks the same store; the same tenant another one.
    assert reader.read(vault(), tenant="sub_0000000000002")["code"] == "store_failed"
    assert reader.read(aws())["code"] == "ok"
    # After a while one is let through to see: it fails, and the circuit stays open.
    r.until(lambda: reader.read(vault())["code"] == "store_failed", "one is let through")
    assert reader.read(vault())["code"] == "circuit_open"
    fakes.fault("vault")
    r.until(lambda: reader.read(vault())["code"] == "ok", "the circuit closes")
    assert reader.read(vault())["code"] == "ok"
    assert "keystile_reference_circuits_open 0" in reader.command("metrics")["text"]
    reader.stop()


def test_a_store_that_never_answers_slows_no_other_tenant(identities, fakes):
    reader = r.Reader(identities, concurrency=2, timeout_ms=4000)
    fakes.fault("vault", "never")
    stuck = [reader.ask(vault()) for _ in range(6)]
    for _ in range(10):
        answer = reader.read(aws(), tenant="sub_0000000000002")
        assert answer["code"] == "ok" and answer["elapsed_ms"] < 3000
    assert {reader.wait(number)["code"] for number in stuck} <= {"timeout", "busy"}
    reader.stop()


def test_answers_that_say_no_open_no_circuit(identities, fakes):
    reader = r.Reader(identities, failures=2, open_ms=60000)
    assert [reader.read(vault("voice/gone"))["code"] for _ in range(5)] == ["secret_gone"] * 5
    assert reader.read(vault())["code"] == "ok"
    fakes.fault("vault", "throttle")
    assert [reader.read(vault())["code"] for _ in range(5)] == ["throttled"] * 5
    reader.stop()


def test_tls_with_the_operators_authorities(identities, fakes):
    reader = r.Reader(identities, ca_file=fakes.server_pem)
    assert reader.read(aws(identity="aws-tls"))["code"] == "ok"
    reader.stop()


def test_identities_are_read_anew(fakes, tmp_path):
    path = r.write_identities(tmp_path, fakes)
    reader = r.Reader(path)
    assert reader.read(vault(identity="vault-approle"))["code"] == "ok"
    fakes.state("vault", approles={"role-1": {"secret_ids": ["secret-9"]}})
    assert reader.read(vault(identity="vault-approle"))["code"] == "trust_revoked"
    (tmp_path / "secret-id").write_text("secret-9\n")
    assert reader.command("reload")["error"] == "ok"
    assert reader.read(vault(identity="vault-approle"))["code"] == "ok"
    path.write_text("{")
    assert reader.command("reload")["error"] == "malformed"
    assert reader.read(vault(identity="vault-approle"))["code"] == "ok"
    reader.stop()


def test_files_that_others_may_read_are_refused(fakes, tmp_path):
    path = r.write_identities(tmp_path, fakes)
    (tmp_path / "aws").chmod(0o640)
    reader = r.Reader(path)
    assert reader.started["error"] == "forbidden" and "aws" in reader.started["text"], reader.started
    reader.stop()
    (tmp_path / "aws").chmod(0o600)
    path.chmod(0o666)
    reader = r.Reader(path)
    assert reader.started["error"] == "forbidden"
    reader.stop()


def test_secrets_as_systemd_credentials(fakes, tmp_path):
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "token").write_text("hvs.root")
    (given / "token").chmod(0o400)
    identity = {"store": "vault", "organizations": [ORG], "address": fakes.url("vault"), "token_file": "credential:token"}
    path = r.write_identities(tmp_path, fakes, systemd=identity)
    reader = r.Reader(path, env={"CREDENTIALS_DIRECTORY": str(given)})
    assert reader.read(vault(identity="systemd"))["code"] == "ok"
    assert reader.read(vault(identity="systemd"), org="org_0000000000002")["code"] == "identity_forbidden"
    reader.stop()


IDENTITIES_WRONG = [
    ({"store": "aws"}, "access_key_id is needed"), ({"store": "s3"}, "auth"), ({"store": "vault", "auth": "ldap"}, "auth"),
    ({"store": "vault", "address": "https://x", "token_file": "t", "more": 1}, "more is no member"),
    ({"store": "vault", "address": "ftp://x", "token_file": "t", "organizations": ["*"]}, "address"),
    ({"store": "vault", "address": "https://x", "token_file": "vault-token"}, "organizations is needed"),
    ({"store": "vault", "address": "https://x", "token_file": "missing", "organizations": ["*"]}, "missing"),
    ({"store": "azure", "auth": "federated", "client_id": "x", "organizations": ["*"]}, "token_audience"),
    ({"store": "gcp", "key_file": "aws", "organizations": ["*"]}, "key_file"), ([], "must be an object"),
]


@pytest.mark.parametrize("identity,text", IDENTITIES_WRONG, ids=[row[1] for row in IDENTITIES_WRONG])
def test_identities_that_are_wrong(fakes, tmp_path, identity, text):
    reader = r.Reader(r.write_identities(tmp_path, fakes, wrong=identity))
    assert reader.started["error"] != "ok" and text in reader.started["text"] and "wrong" in reader.started["text"], reader.started
    reader.stop()


def stages(fakes, name):
    secret = fakes.control("aws")["state"]["secrets"][name]
    return {stage: version for stage, version in secret["stages"].items() if version}


def test_held_values(reader, fakes):
    name = "keystile/org_1/prv_1/password"
    one = reader.held("put", name, 1, "first")
    assert one["code"] == "ok"
    assert reader.held("put", name, 1, "first")["code"] == "ok", "the same again"
    assert reader.held("put", name, 1, "other")["code"] == "version_gone", "the name is taken"
    assert reader.held("promote", name, 1)["code"] == "ok"
    assert stages(fakes, name) == {"AWSCURRENT": one["version"]}
    two = reader.held("put", name, 2, "second")
    assert stages(fakes, name) == {"AWSCURRENT": one["version"], "AWSPENDING": two["version"]}
    assert [reader.held("get", name, n)["value"] for n in (1, 2)] == ["first", "second"]
    assert reader.held("promote", name, 2, 1)["code"] == "ok"
    assert stages(fakes, name) == {"AWSCURRENT": two["version"], "AWSPREVIOUS": one["version"]}
    # A rollback is a promotion of the one before.
    assert reader.held("promote", name, 1, 2)["code"] == "ok"
    assert stages(fakes, name) == {"AWSCURRENT": one["version"], "AWSPREVIOUS": two["version"]}
    # One that its probe refused.
    three = reader.held("put", name, 3, "third")
    assert stages(fakes, name)["AWSPENDING"] == three["version"]
    assert reader.held("unstage", name, 3)["code"] == "ok" and "AWSPENDING" not in stages(fakes, name)
    assert reader.held("unstage", name, 3)["code"] == "ok"
    assert reader.held("promote", name, 2, 3)["code"] == "version_gone", "another is current than the caller believes"
    assert reader.held("get", name, 9)["code"] == "version_gone"
    assert reader.held("erase", name)["code"] == "ok" and reader.held("erase", name)["code"] == "ok"
    assert reader.held("get", name, 1)["code"] == "secret_gone"


def test_held_values_when_answers_are_lost(reader, fakes):
    name = "keystile/org_1/prv_2/password"
    for action in ("CreateSecret", "PutSecretValue"):
        fakes.fault("aws", "partial", action=action, times=1)
        assert reader.held("put", name, 1, "value")["code"] == "malformed"
    assert reader.held("put", name, 1, "value")["code"] == "ok"
    fakes.fault("aws", "partial", action="UpdateSecretVersionStage", times=1)
    assert reader.held("put", name, 2, "next")["code"] == "ok"
    assert reader.held("promote", name, 2, 1)["code"] == "malformed"
    done = reader.held("promote", name, 2, 1)
    assert done["code"] == "ok" and stages(fakes, name)["AWSCURRENT"] == done["version"]


def test_held_values_refused(reader, fakes):
    assert reader.held("put", "elsewhere/x", 1, "x")["code"] == "denied"
    assert reader.held("put", "keystile/bad name", 1, "x")["code"] == "reference_malformed"
    assert reader.held("put", "keystile/x", 1, "")["code"] == "value_empty"
    assert reader.held("put", "keystile/x", 1, "x", identity="aws")["code"] == "identity_unknown"
    fakes.state("aws", secrets={"keystile/deleted": {"versions": {}, "stages": {}, "deleted": True}})
    assert reader.held("put", "keystile/deleted", 1, "x")["code"] == "secret_gone"
    # No tenant can name it.
    assert reader.read({"store": "aws", "identity": "held", "secret": "keystile/x", "region": "eu-central-1"})["code"] == "identity_forbidden"


def test_metrics(reader):
    reader.read(aws())
    text = reader.command("metrics")["text"]
    assert re.search(r'keystile_reference_reads_total\{store="aws",outcome="ok"\} [1-9]', text)
    assert re.search(r'keystile_reference_read_seconds_count\{store="aws"\} [1-9]', text)


def test_the_documented_codes_are_those_of_the_table():
    table = (SOURCE / "src/secretstore/codes.def").read_text()
    codes = dict(re.findall(r'KS_SECRETSTORE_(?:CODE|GOOD)\(\w+, "(\w+)", "(\w+)"', table))
    texts = re.findall(r'KS_SECRETSTORE_(?:CODE|GOOD)\(\w+, "(\w+)", "(?:\w+)", (?:true|false),\s*((?:"[^"]*"\s*)+)\)', table)
    documented = (SOURCE / "docs/vault.md").read_text()
    assert len(texts) == len(codes) > 30
    for code, parts in texts:
        text = "".join(re.findall(r'"([^"]*)"', parts))
        assert f"| `{code}` | {codes[code]} | {text} |" in documented, code


def test_the_service_starts_with_identities_and_tells_its_metrics(identities, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"aws": {"store": "aws"}}')
    broken.chmod(0o600)
    with keystile.temporary_data() as data:
        refused = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={"KEYSTILE_REFERENCES_IDENTITIES": broken})
        assert refused.code == 1 and "references.identities: identities: aws: access_key_id is needed" in refused.err
        with keystile.Daemon(data, env={"KEYSTILE_REFERENCES_IDENTITIES": identities}) as service:
            text = service.local().call("GET", "/metrics").body
            assert b"keystile_reference_circuits_open 0" in text


PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
"""


def test_the_runtime_reveals_a_reference_until_the_customer_revokes(identities, fakes, tmp_path):
    (tmp_path / "pair.yaml").write_text(PAIR)
    env = {"KEYSTILE_REFERENCES_IDENTITIES": identities, "KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_PLATFORMS_OWN": tmp_path}
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as service:
        def owner(method, target, body=None, expect=200):
            answer = service.local().call(method, target, body)
            assert answer.status == expect, answer.body
            return answer.json

        organization = owner("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}, 201)["id"]
        runtime = service.client(owner("POST", "/v1/keys", {"kind": "runtime", "name": "calls", "scopes": ["keystile:secrets:reveal"], "expires_at": None}, 201)["token"])
        made = owner("POST", "/v1/providers", {"tenant": organization, "platform": "pair", "name": "trunk"}, 201)["id"]
        owner("PUT", f"/v1/providers/{made}/fields/user", {"value": "alice"})
        role = aws(external_id=f"keystile:{organization}")
        fakes.state("aws", roles={r.ROLE: {"external_id": f"keystile:{organization}"}})
        refused = owner("PUT", f"/v1/providers/{made}/fields/password", {"reference": {**role, "token": "x"}}, 422)
        assert "token" in str(refused)
        owner("PUT", f"/v1/providers/{made}/fields/password", {"reference": role})

        def reveal(call):
            answer = runtime.call("POST", f"/v1/providers/{made}/reveal", {"call_id": call})
            return (answer.status, answer.json.get("fields") or answer.code)

        assert reveal("c1") == (200, {"user": "alice", "password": 'aws-value "\u00e9\n'})
        fakes.state("aws", secrets={"trunk": {"versions": {r.AWS_VERSION: {"text": "canary-5f1e9"}}}})
        assert reveal("c1") == (200, {"user": "alice", "password": "canary-5f1e9"}), "read anew, also within one call"
        fakes.state("aws", roles={r.ROLE: {"trusts": []}})
        assert reveal("c2") == (502, "trust_revoked")
        fakes.state("aws", roles={r.ROLE: {"trusts": [r.OUR_ARN]}}, secrets={"trunk": {"deleted": True}})
        assert reveal("c3") == (502, "secret_gone")
        text = service.local().call("GET", "/metrics").body.decode()
        assert 'keystile_reference_reads_total{store="aws",outcome="trust_revoked"} 1' in text
        for path in pathlib.Path(data).rglob("*"):
            assert not path.is_file() or b"canary-5f1e9" not in path.read_bytes(), path
