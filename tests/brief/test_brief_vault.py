"""What the vault promises, where no other test shows it whole and through the service: docs/internals/vault-and-audit.md."""
import json
import pathlib
import subprocess
import sys

import keystile
import pytest

import references
from api_service import eventually
from promises import Vault, edit, number_of, sealed, settings

sys.path.insert(0, str(keystile.SOURCE / "tests" / "durability"))

from test_disk_full import MIB, SmallDisk, assert_disk_full  # noqa: E402

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.fixture
def data():
    with keystile.temporary_data() as path:
        yield path


# ---- held values ----

def test_a_token_wraps_a_key_per_organization(data, tmp_path):
    """The root is a key in a PKCS#11 token: values are sealed and opened under it, over restarts, and not without it."""
    tokens, pin, configuration = (tmp_path / name for name in ("tokens", "pin", "softhsm2.conf"))
    tokens.mkdir(mode=0o700)
    pin.write_text("1234\n")
    pin.chmod(0o600)
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "vault", "--so-pin", "0000", "--pin", "1234"], check=True,
                   capture_output=True, env={"PATH": "/usr/bin", "SOFTHSM2_CONF": str(configuration)})
    env = settings(tmp_path, SOFTHSM2_CONF=configuration, KEYSTILE_VAULT_KMS="pkcs11", KEYSTILE_VAULT_PKCS11_MODULE=SOFTHSM,
                   KEYSTILE_VAULT_PKCS11_TOKEN="vault", KEYSTILE_VAULT_PKCS11_FILES=tokens, KEYSTILE_VAULT_PIN_FILE=pin)
    with keystile.Daemon(data, env=env) as daemon:
        vault = Vault(daemon)
        provider = vault.provider(user="alice", password="s3cret")
        assert vault.owner.get("/v1/vault/root").json["root"].startswith("pkcs11 ")
        assert vault.password(provider, "a") == "s3cret"
    assert not (data / "master.key").exists()
    with keystile.Daemon(data, env=env) as daemon:
        vault.daemon = vault.owner.daemon = vault.runtime.daemon = daemon
        assert vault.password(provider, "b") == "s3cret"
    without = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env=settings(tmp_path))
    assert without.code == 1, without


def test_a_value_is_bound_to_its_tenant_within_the_organization(data, tmp_path):
    """Whoever can edit the store moves a provider to a neighbour in the same organization: its values do not open there."""
    env = settings(tmp_path)
    with keystile.Daemon(data, env=env) as daemon:
        vault = Vault(daemon)
        mine, theirs = (vault.owner.make_tenant("sub_entity", vault.organization)["id"] for _ in range(2))
        moved, stays = (vault.provider(tenant=mine, user="alice", password="s3cret") for _ in range(2))
        assert vault.password(moved, "a") == "s3cret"
    edit(data, ("UPDATE providers SET tenant = ? WHERE id = ?", (number_of(theirs), number_of(moved))))
    with keystile.Daemon(data, env=env) as daemon:
        vault.daemon = vault.owner.daemon = vault.runtime.daemon = daemon
        refused = vault.reveal(moved, "b", expect=500)
        assert refused.code == "value_unreadable" and b"s3cret" not in refused.body
        assert vault.password(stays, "b") == "s3cret"


# ---- references ----

@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    """As tests/vault has checked them with the official clients."""
    made = references.Fakes(tmp_path_factory.mktemp("fakes"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(fakes, tmp_path_factory):
    identities = references.write_identities(tmp_path_factory.mktemp("identities"), fakes)
    env = settings(tmp_path_factory.mktemp("own"), KEYSTILE_REFERENCES_IDENTITIES=identities, KEYSTILE_FETCH_ALLOW="127.0.0.0/8")
    with keystile.temporary_data() as path, keystile.Daemon(path, env=env) as daemon:
        yield Vault(daemon)


# store: (reference, first value, what makes it another, that value, what the customer does, the code of it)
STORES = {
    "aws": (lambda org: references.aws(external_id=f"keystile:{org}"), "aws-value \"\u00e9\n",
            {"secrets": {"trunk": {"versions": {references.AWS_VERSION: {"text": "aws-anew"}}}}}, "aws-anew",
            {"roles": {references.ROLE: {"trusts": []}}}, "trust_revoked"),
    "gcp": (lambda org: references.gcp(), "gcp-6", None, None,
            {"secrets": {"projects/acme-1/secrets/trunk": {"readers": []}}}, "denied"),
    "vault": (lambda org: references.vault(identity="vault-approle", member="password"), "vault-4",
              {"kv": {"|secret/voice/trunk": {"versions": {"5": {"data": {"password": "vault-anew"}}}}}}, "vault-anew",
              {"approles": {"role-1": {"secret_ids": [], "policies": ["read"]}}}, "trust_revoked"),
    "azure": (lambda org: references.azure(), "azure-value",
              {"vaults": {"": {"secrets": {"trunk": {"versions": {references.AZURE_VERSION: {"value": "azure-anew"}}}}}}}, "azure-anew",
              {"vaults": {"": {"readers": []}}}, "denied"),
}


@pytest.mark.parametrize("store", sorted(STORES))
def test_references_are_read_at_each_call_and_a_revoked_trust_fails_the_very_next(service, fakes, store):
    """Through the service, for each of the four stores: every reveal asks the store, nothing of a value is kept, and what the customer
    takes back is gone at the next call, while other providers go on."""
    references.fill(fakes)
    fakes.state("aws", roles={references.ROLE: {"external_id": f"keystile:{service.organization}"}})
    reference, first, changed, second, revoked, code = STORES[store]
    provider = service.provider(user="alice", password=reference(service.organization))
    other = service.provider(user="bob", password="held")
    asked = len(fakes.requests(store))
    assert service.password(provider, "one") == first
    once = len(fakes.requests(store)) - asked
    assert once >= 1
    assert service.password(provider, "two") == first and service.password(provider, "two") == first
    assert len(fakes.requests(store)) - asked == 3 * once, "asked anew for each read, sessions too"
    if changed:
        fakes.state(store, **changed)
        assert service.password(provider, "three") == second
    fakes.state(store, **revoked)
    refused = service.reveal(provider, "four", expect=502)
    assert refused.code == code
    assert service.password(other, "four") == "held"
    for value in filter(None, (first, second)):
        for path in pathlib.Path(service.daemon.data).rglob("*"):
            assert not path.is_file() or value.encode() not in path.read_bytes(), path


# ---- reads ----

def test_no_value_leaves_when_its_audit_entry_cannot_be_written(data, tmp_path):
    """A full disk: the reveal is refused, and from the first entry that could not be written on no answer holds the value."""
    with SmallDisk(data, 64 * MIB) as disk:
        keystile.init(data)
        with keystile.Daemon(data, env=settings(tmp_path)) as daemon:
            vault = Vault(daemon)
            provider = vault.provider(user="alice", password="s3cret")
            disk.fill()
            refused, revealed = None, 0
            while refused is None:
                answer = vault.runtime.call("POST", f"/v1/providers/{provider}/reveal", {"call_id": f"full-{revealed}"})
                if answer.status == 200:
                    revealed += 1
                else:
                    refused = answer
            assert_disk_full(refused)
            assert b"s3cret" not in refused.body
            disk.free()
            eventually(lambda: vault.runtime.call("POST", f"/v1/providers/{provider}/reveal", {"call_id": "after"}).status, 200)
            entries = [e for e in vault.owner.pages(f"/v1/audit?action=secret.reveal&tenant={vault.organization}", 500) if e["object"] == provider]
            assert {e["detail"]["call_id"] for e in entries} == {f"full-{n}" for n in range(revealed)} | {"after"}


# ---- rotation ----

def test_what_was_current_stays_readable_to_its_calls_until_a_bound_passes(data, tmp_path):
    """A call that never tells of its end holds the old value for vault.drain_max_s, and no longer."""
    env = settings(tmp_path, KEYSTILE_VAULT_DRAIN_MAX_S="3", KEYSTILE_VAULT_LEASE_S="3", KEYSTILE_VAULT_ROLLBACK_WINDOW_S="1", KEYSTILE_USAGE_FLUSH_MS="100")
    with keystile.Daemon(data, env=env) as daemon:
        vault = Vault(daemon)
        provider = vault.provider(user="alice", password="one")
        assert vault.password(provider, "lost") == "one"
        vault.write(provider, "password", "two")
        assert (vault.password(provider, "lost"), vault.password(provider, "new")) == ("one", "two")
        eventually(lambda: vault.stages(provider), {1: "drained", 2: "current"})
        assert vault.password(provider, "lost") == "two"
        assert sealed(data, provider) == [2]
