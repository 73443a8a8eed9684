"""The keeper as an operator meets it: what wraps the keys, a new key file, and an end at any moment."""
import os
import random
import signal
import stat
import threading

import pytest

import keystile


@pytest.fixture()
def data():
    with keystile.temporary_data() as path:
        yield path


def eventually(holds, what):
    """Waits for a condition; the patience is never what is tested."""
    for _ in range(keystile.PATIENCE_S * 50):
        found = holds()
        if found:
            return found
        threading.Event().wait(0.02)
    raise AssertionError(what)


def keeper_of(daemon):
    """The keeper's process: the daemon's child of that name."""
    for task in os.listdir(f"/proc/{daemon.process.pid}/task"):
        with open(f"/proc/{daemon.process.pid}/task/{task}/children", encoding="ascii") as children:
            for pid in children.read().split():
                with open(f"/proc/{pid}/comm", encoding="ascii") as name:
                    if name.read().startswith("keystile-keepe"):
                        return int(pid)
    return None


def root_of(daemon):
    answer = daemon.local().call("GET", "/v1/vault/root")
    assert answer.status == 200, answer
    return answer.json


def keys_of(daemon):
    """The issuer's public keys: they stay as long as their private halves can be opened."""
    return {key["kid"] for key in daemon.call("GET", "/.well-known/jwks.json").json["keys"]}


def master_key(data):
    return bytes.fromhex((data / "master.key").read_text())


def writable_memory(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "rw" not in rights or "/dev/shm" in line:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            for at in range(start, end, 1 << 24):
                try:
                    memory.seek(at)
                    yield memory.read(min(end - at, (1 << 24) + 64))
                except (OSError, ValueError, OverflowError):
                    break


def holds(pid, secret):
    return any(secret in part for part in writable_memory(pid))


@pytest.mark.skipif("asan" in str(keystile.BUILD), reason="the shadow memory of a sanitizer is too large to be read")
def test_the_master_key_is_in_the_keeper_alone(data):
    with keystile.Daemon(data) as daemon:
        key = master_key(data)
        assert holds(keeper_of(daemon), key)
        assert not holds(daemon.process.pid, key)
        assert not holds(daemon.process.pid, key.hex().encode())


def test_it_is_shown_and_measured(data):
    with keystile.Daemon(data) as daemon:
        root = root_of(daemon)
        assert root["ready"] and root["root"].startswith("file ") and not root["rotating"] and root["restarts"] == 0
        shown = keystile.run("vault", "root", data=data)
        assert shown.code == 0 and root["root"] in shown.out
        assert keystile.run("vault", "root", "--json", data=data).json == root
        metrics = daemon.call("GET", "/metrics").body.decode()
        assert 'keystile_keeper_requests_total{message="start"} 1' in metrics
        assert "keystile_keeper_restarts_total 0" in metrics


def test_killed_it_comes_again(data):
    with keystile.Daemon(data) as daemon:
        kids = keys_of(daemon)
        for count in range(1, 4):
            os.kill(keeper_of(daemon), signal.SIGKILL)
            eventually(lambda: root_of(daemon)["restarts"] == count and root_of(daemon)["ready"], "the keeper did not come again")
            assert daemon.call("GET", "/readyz").status == 200
        assert keys_of(daemon) == kids
        assert daemon.local().call("POST", "/v1/vault/rewrap", {}).status == 200


def test_it_ends_with_the_service(data):
    with keystile.Daemon(data) as daemon:
        pid = keeper_of(daemon)
        daemon.kill()
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the keeper outlives the service")
    with keystile.Daemon(data) as daemon:
        pid = keeper_of(daemon)
        daemon.stop()
        assert not os.path.exists(f"/proc/{pid}")


def test_another_key_file(data):
    with keystile.Daemon(data) as daemon:
        before, kids = master_key(data), keys_of(daemon)
        assert daemon.local().call("POST", "/v1/vault/rewrap", {"rotate": "yes"}).code == "invalid"
        assert daemon.local().call("POST", "/v1/vault/rewrap", {"more": True}).code == "invalid"
        done = keystile.run("vault", "rewrap", "--rotate", "--json", data=data)
        assert done.code == 0 and done.json["rotated"] and done.json["rewrapped"] == done.json["keys"] == 1
        assert master_key(data) != before and not (data / "master.key.next").exists()
        assert stat.S_IMODE((data / "master.key").stat().st_mode) == 0o600
        assert daemon.local().call("POST", "/v1/vault/rewrap", {}).json["rewrapped"] == 0
        assert keystile.run("vault", "rewrap", data=data).code == 0
    with keystile.Daemon(data) as daemon:
        assert keys_of(daemon) == kids


def test_killed_at_any_step_of_a_rewrap(data):
    rng = random.Random(keystile.seed())
    with keystile.Daemon(data) as daemon:
        kids = keys_of(daemon)
    for _ in range(6):
        with keystile.Daemon(data) as daemon:
            assert keys_of(daemon) == kids

            def rewrap():
                try:
                    daemon.local().call("POST", "/v1/vault/rewrap", {"rotate": True})
                except OSError:
                    pass  # the service was ended: that is the test
                except Exception as problem:  # pylint: disable=broad-except
                    assert "HTTP" in type(problem).__mro__[1].__name__ or "Remote" in type(problem).__name__, problem
            asking = threading.Thread(target=rewrap)
            asking.start()
            asking.join(rng.random() * 0.12)
            daemon.kill()
            asking.join()
    with keystile.Daemon(data) as daemon:
        assert keys_of(daemon) == kids
        assert daemon.local().call("POST", "/v1/vault/rewrap", {}).status == 200
        assert not root_of(daemon)["rotating"] and not (data / "master.key.next").exists()
    with keystile.Daemon(data) as daemon:
        assert keys_of(daemon) == kids


def test_a_passphrase_takes_the_place_of_the_file(data):
    secret = data.parent / "passphrase"
    secret.write_text("correct horse battery staple\n")
    secret.chmod(0o600)
    env = {"KEYSTILE_VAULT_KMS": "passphrase", "KEYSTILE_VAULT_PASSPHRASE_FILE": secret}
    with keystile.Daemon(data) as daemon:
        kids = keys_of(daemon)
    with keystile.Daemon(data, env=env) as daemon:
        assert keys_of(daemon) == kids and root_of(daemon)["root"].startswith("passphrase ")
        assert daemon.local().call("POST", "/v1/vault/rewrap", {"rotate": True}).code == "conflict"
        assert daemon.local().call("POST", "/v1/vault/rewrap", {}).json["rewrapped"] == 1
    (data / "master.key").unlink()
    with keystile.Daemon(data, env=env) as daemon:
        assert keys_of(daemon) == kids
    refused = keystile.run("serve", "--listen", "127.0.0.1:0", data=data)
    assert refused.code != 0 and "master.key is missing" in refused.err
    secret.write_text("another horse battery staple\n")
    refused = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env=env)
    assert refused.code != 0 and "not the key" in refused.err and "horse" not in refused.err
