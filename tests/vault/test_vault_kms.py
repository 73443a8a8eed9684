"""Key management services as the root: the fakes against the official clients, then the service against the fakes."""
import json
import subprocess
import threading

import pytest

import keystile
import references

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    made = references.Fakes(tmp_path_factory.mktemp("kms"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def checked(fakes):
    """The fakes, once the official clients have found them to be what they say."""
    done = subprocess.run(["node", "official_kms.mjs", json.dumps(fakes.ports)], cwd=references.HERE, capture_output=True, text=True,
                          timeout=keystile.PATIENCE_S, check=False)
    lines = done.stdout.splitlines()
    assert lines and lines[-1] == "done" and done.returncode == 0, done.stdout + done.stderr
    assert sum(line.startswith("ok ") for line in lines) == 13, lines
    return fakes


@pytest.fixture()
def data():
    with keystile.temporary_data() as path:
        yield path


SERVICES = {
    "aws-kms": ("kms", KEY, "AKIAKEYSTILE:base/secret+key\n"),
    "vault-transit": ("transit", "transit/keystile", "hvs.keystile-transit\n"),
}


@pytest.fixture(params=sorted(SERVICES))
def service(request, checked, data):
    """Settings of a root in a fake, spoken to over TLS, and the fake's name."""
    name, key, credential = SERVICES[request.param]
    path = data.parent / "credential"
    path.write_text(credential)
    path.chmod(0o600)
    checked.fault(name)
    return name, {
        "KEYSTILE_VAULT_KMS": request.param, "KEYSTILE_VAULT_KMS_URL": checked.url(name, tls=True), "KEYSTILE_VAULT_KMS_KEY": key,
        "KEYSTILE_VAULT_KMS_REGION": "eu-central-1", "KEYSTILE_VAULT_KMS_CREDENTIALS_FILE": path,
        "KEYSTILE_FETCH_ALLOW": "127.0.0.0/8,::1/128", "KEYSTILE_FETCH_CA_FILE": checked.server_pem,
    }


def keys_of(daemon):
    return {key["kid"] for key in daemon.call("GET", "/.well-known/jwks.json").json["keys"]}


def refusal(data, env):
    done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env=env)
    assert done.code != 0
    return done.err


def test_it_wraps_and_unwraps(service, checked, data):
    name, env = service
    checked.control(name, forget=True)
    with keystile.Daemon(data, env=env) as daemon:
        kids = keys_of(daemon)
        assert daemon.local().call("GET", "/v1/vault/root").json["root"].startswith(env["KEYSTILE_VAULT_KMS"] + " ")
    assert not (data / "master.key").exists()
    with keystile.Daemon(data, env=env) as daemon:
        assert keys_of(daemon) == kids
        assert daemon.local().call("POST", "/v1/vault/rewrap", {}).json["rewrapped"] == 0
    asked = [request["action"].lower() for request in checked.requests(name)]
    assert "encrypt" in asked and "decrypt" in asked


def test_from_the_key_file(service, data):
    _, env = service
    with keystile.Daemon(data) as daemon:
        kids = keys_of(daemon)
    with keystile.Daemon(data, env=env) as daemon:
        assert keys_of(daemon) == kids
        assert daemon.local().call("POST", "/v1/vault/rewrap", {}).json["rewrapped"] == 1
    (data / "master.key").unlink()
    with keystile.Daemon(data, env=env) as daemon:
        assert keys_of(daemon) == kids


@pytest.mark.parametrize("kind", ["fail", "close", "partial", "page", "throttle"])
def test_it_fails(service, checked, data, kind):
    name, env = service
    with keystile.Daemon(data, env=env) as daemon:
        kids = keys_of(daemon)
    checked.fault(name, kind, status=502)
    why = refusal(data, env)
    assert "key management service" in why and "base/secret" not in why and "hvs." not in why
    checked.fault(name)
    with keystile.Daemon(data, env=env) as daemon:
        assert keys_of(daemon) == kids


def test_it_answers_late_and_nobody_else_waits(service, checked, data):
    name, env = service
    with keystile.Daemon(data) as daemon:
        kids = keys_of(daemon)
    with keystile.Daemon(data, env=env) as daemon:
        checked.fault(name, "slow", ms=1500)
        asking = threading.Thread(target=lambda: daemon.local().call("POST", "/v1/vault/rewrap", {}))
        asking.start()
        assert keys_of(daemon) == kids and daemon.call("GET", "/readyz").status == 200
        asking.join()
        checked.fault(name)
        assert not daemon.local().call("GET", "/v1/vault/root").json["rewrapping"]


def test_wrong_credentials(service, data):
    _, env = service
    with open(env["KEYSTILE_VAULT_KMS_CREDENTIALS_FILE"], "w", encoding="ascii") as file:
        file.write("AKIAKEYSTILE:wrong-secret\n" if env["KEYSTILE_VAULT_KMS"] == "aws-kms" else "hvs.wrong\n")
    why = refusal(data, env)
    assert "key management service" in why and "wrong" not in why


def test_the_address_is_guarded(service, data):
    _, env = service
    assert "key management service" in refusal(data, {**env, "KEYSTILE_FETCH_ALLOW": ""})


def test_its_certificate_is_verified(service, checked, data):
    _, env = service
    assert "key management service" in refusal(data, {**env, "KEYSTILE_FETCH_CA_FILE": checked.other_pem})


@pytest.mark.parametrize("setting,value", [("URL", "ftp://x"), ("URL", ""), ("KEY", ""), ("CREDENTIALS_FILE", "")])
def test_settings(service, data, setting, value):
    _, env = service
    assert "vault.kms" in refusal(data, {**env, f"KEYSTILE_VAULT_KMS_{setting}": value})
