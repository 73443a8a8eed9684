#!/usr/bin/python3
"""One process owns a data directory; it starts, reloads, stops, and comes back from whatever it finds there."""
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import stat
import threading

import pytest

import keystile
import truth

POLICY = {"KEYSTILE_POLICY": keystile.DEMO_POLICY}


def make_key(client, name="key", **members):
    answer = client.call("POST", "/v1/keys", {"name": name, "scopes": ["contacts:read"], "expires_at": None, **members})
    assert answer.status == 201, answer
    return answer.json


def ring_equals_truth(daemon):
    answer = daemon.local().call("POST", "/v1/ring/check")
    assert answer.status == 200 and answer.json["equal"], answer


@pytest.fixture
def data():
    with keystile.temporary_data() as path:
        yield path


@pytest.fixture
def store(data):
    """A data directory with a store in it."""
    keystile.init(data)
    return data


# ---- whose is it ----

def test_second_daemon_says_so_and_exits(store):
    with keystile.Daemon(store) as first:
        second = keystile.Daemon(store).start(wait=False)
        assert second.wait_exit() == 1
        assert "is in use by process" in second.errors and str(first.process.pid) in second.errors
        assert first.call("GET", "/readyz").status == 200
        ring_equals_truth(first)
    # And when the first is gone, another can start.
    with keystile.Daemon(store) as third:
        ring_equals_truth(third)


def test_many_daemons_at_once(store):
    """Started in the same moment: one serves, the others say so."""
    daemons = [keystile.Daemon(store).start(wait=False) for _ in range(5)]
    with daemons[0].changed:
        pass
    winners = []
    while not winners:
        winners = [d for d in daemons if any(e.get("event") == "listening" for e in d.log)]
    others = [d for d in daemons if d is not winners[0]]
    assert [d.wait_exit() for d in others] == [1] * 4
    assert all("is in use by" in d.errors for d in others)
    winners[0].wait_listening()
    assert winners[0].call("GET", "/readyz").status == 200
    assert winners[0].stop() == 0


def test_by_another_name(store):
    """A link to the data directory is the data directory."""
    link = store.parent / "link"
    link.symlink_to(store)
    with keystile.Daemon(store):
        second = keystile.Daemon(link).start(wait=False)
        assert second.wait_exit() == 1
        assert "is in use by process" in second.errors


def test_killed_daemon_leaves_no_lock(store):
    for _ in range(3):
        keystile.Daemon(store).start().kill()
    with keystile.Daemon(store) as daemon:
        assert daemon.call("GET", "/readyz").status == 200


def test_address_in_use(store):
    with keystile.temporary_data() as other, keystile.Daemon(store) as daemon:
        keystile.init(other)
        second = keystile.Daemon(other, listen=f"127.0.0.1:{daemon.port}").start(wait=False)
        assert second.wait_exit() == 1
        assert "listen: the address is in use" in second.errors


@pytest.mark.parametrize("listen", ["127.0.0.1", "nowhere:1", "127.0.0.1:65536", "127.0.0.1:-1", "[::1:80", "127.0.0.1:80x", ":::"])
def test_bad_address(store, listen):
    daemon = keystile.Daemon(store, listen=listen).start(wait=False)
    assert daemon.wait_exit() == 1
    assert "listen: " in daemon.errors


def test_without_tcp(store):
    """An empty address: the local socket alone."""
    with keystile.Daemon(store, listen="") as daemon:
        assert daemon.port is None
        assert daemon.local().call("GET", "/readyz").status == 200


def test_directory_of_others_is_refused(store):
    store.chmod(0o770)
    daemon = keystile.Daemon(store).start(wait=False)
    assert daemon.wait_exit() == 1
    assert "may be written by others" in daemon.errors
    store.chmod(0o700)


def test_data_is_a_file(data):
    data.write_text("")
    daemon = keystile.Daemon(data).start(wait=False)
    assert daemon.wait_exit() == 1
    assert str(data) in daemon.errors


# ---- the local socket ----

def test_socket_is_the_owners_alone(store):
    with keystile.Daemon(store) as daemon:
        mode = daemon.socket.stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        assert stat.S_IMODE(store.stat().st_mode) == 0o700
        for path in store.iterdir():
            assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        for path in (store / "ring").resolve().iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not (store / "keystile.sock").exists()


def test_command_line_acts_through_the_socket(store):
    with keystile.Daemon(store, arguments=[]) as daemon:
        made = keystile.run("keys", "create", "--name", "by command", "--scope", "contacts:read", "--json", data=store)
        assert made.code == 0
        # In force at once, in the daemon.
        assert daemon.authorize(made.json["token"]).status == 200
        assert keystile.run("keys", "delete", made.json["id"], data=store).code == 0
        assert daemon.authorize(made.json["token"]).status == 401
        ring_equals_truth(daemon)


def test_command_line_acts_on_the_store(store):
    """Where no daemon runs; the next one knows of it."""
    made = keystile.run("keys", "create", "--name", "by command", "--scope", "contacts:read", "--json", data=store, env=POLICY)
    assert made.code == 0, made
    assert keystile.run("verify", made.json["token"], data=store, env=POLICY).code == 0
    gone = keystile.run("keys", "create", "--name", "gone", "--json", data=store, env=POLICY)
    assert keystile.run("keys", "delete", gone.json["id"], data=store, env=POLICY).code == 0
    assert keystile.run("verify", gone.json["token"], data=store, env=POLICY).code == 3
    with keystile.Daemon(store) as daemon:
        assert daemon.authorize(made.json["token"]).status == 200
        assert daemon.authorize(gone.json["token"]).status == 401


def test_command_line_with_a_stale_socket(store):
    """A killed daemon leaves its socket: nobody answers there, so the store is opened, and the next daemon takes its place."""
    keystile.Daemon(store).start().kill()
    assert (store / "keystile.sock").exists()
    listed = keystile.run("keys", "list", "--json", data=store)
    assert listed.code == 0 and len(listed.json["items"]) == 1
    with keystile.Daemon(store) as daemon:
        assert daemon.local().call("GET", "/livez").status == 200


def test_commands_at_the_same_time(store):
    """Without a daemon they wait for one another instead of failing."""
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(keystile.run("keys", "create", "--name", f"n{n}", data=store)))
               for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.code for r in results] == [0] * 6, results
    assert len(keystile.run("keys", "list", "--json", data=store).json["items"]) == 7


def test_without_a_store(data):
    done = keystile.run("keys", "list", data=data)
    assert done.code == 1 and str(data) in done.err
    assert not data.exists()


# ---- stopping ----

def test_sigterm_finishes_what_is_under_way(store):
    """Every change that was taken is answered, or was not made: no connection is cut between the two."""
    daemon = keystile.Daemon(store).start()
    outcomes = []
    started = threading.Barrier(5)

    def work(number):
        client = daemon.local()
        started.wait()
        try:
            for serial in range(100000):
                name = f"w{number}-{serial}"
                outcomes.append((name, client.call("POST", "/v1/keys", {"name": name, "expires_at": None}).status))
        except OSError as error:
            outcomes.append((name, error))
        except Exception as error:  # the connection was closed between two requests
            outcomes.append((name, error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    while len(outcomes) < 200:
        pass
    assert daemon.stop() == 0
    for thread in threads:
        thread.join(keystile.PATIENCE_S)
    assert daemon.log[-1]["event"] == "stopped"
    assert [e["event"] for e in daemon.log if e["event"] == "stopping"] == ["stopping"]
    keys, _ = truth.check_file(store / "keystile.db")
    names = {row["name"] for row in keys.values()}
    acknowledged = {name for name, outcome in outcomes if outcome == 201}
    assert names - {"first key"} == acknowledged
    assert {outcome for _, outcome in outcomes if isinstance(outcome, int)} <= {201, 503}


def test_sigint_stops_too(store):
    daemon = keystile.Daemon(store).start()
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.wait_exit() == 0


def test_stop_with_idle_connections(store):
    """Connections that nobody uses hold nothing up."""
    daemon = keystile.Daemon(store, env={"KEYSTILE_HTTP_DRAIN_MS": 600000}).start()
    clients = [daemon.client() for _ in range(20)]
    for client in clients:
        assert client.call("GET", "/livez").status == 200
    assert daemon.stop() == 0


# ---- reload ----

def test_reload(store):
    policy = store.parent / "policy.yaml"
    policy.write_text(keystile.DEMO_POLICY.read_text(encoding="utf-8"), encoding="utf-8")
    with keystile.Daemon(store, policy=policy) as daemon:
        token = make_key(daemon.local())["token"]
        assert daemon.authorize(token).status == 200
        assert daemon.authorize(token, uri="/api/v2/people").json["code"] == "route_unknown"

        # A bad file is told of, and the old policy stays.
        policy.write_text("version: 1\nscopes: {a:b: {about: x}}\nfamilies:\n  f: {}\n", encoding="utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        told = daemon.wait_event("reload_refused")
        assert ":4:" in told["detail"] and str(policy) in told["detail"], told
        assert told["level"] == "error"
        assert daemon.authorize(token).status == 200
        policy.unlink()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_event("reload_refused", 2)
        assert daemon.authorize(token).status == 200

        # A good one is in force once it is told of.
        text = keystile.DEMO_POLICY.read_text(encoding="utf-8")
        policy.write_text(text.replace('"/api/v1/contacts"', '"/api/v2/people"'), encoding="utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_event("policy_reloaded")
        assert daemon.authorize(token, uri="/api/v2/people").status == 200
        ring_equals_truth(daemon)


def test_reload_under_load(store):
    """No request sees half of a policy, and none fails."""
    policy = store.parent / "policy.yaml"
    text = keystile.DEMO_POLICY.read_text(encoding="utf-8")
    policy.write_text(text, encoding="utf-8")
    with keystile.Daemon(store, policy=policy) as daemon:
        token = make_key(daemon.local())["token"]
        seen, ended = [], threading.Event()

        def ask():
            client = daemon.client(token)
            while not ended.is_set():
                seen.append(client.call("GET", "/v1/authorize", headers={"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts"}).status)
            client.close()

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(1, 31):
            policy.write_text(text if number % 2 else text + f"\n# {number}\n", encoding="utf-8")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_event("policy_reloaded", number)
        ended.set()
        for thread in threads:
            thread.join(keystile.PATIENCE_S)
        assert len(seen) > 30 and set(seen) == {200}


@pytest.mark.parametrize("text, where", [("version: 2\n", ":1:10"), ("version: 1\nfamilies: [\n", ":3:1"), ("", "")])
def test_bad_policy_at_start(store, text, where):
    policy = store.parent / "policy.yaml"
    policy.write_text(text, encoding="utf-8")
    daemon = keystile.Daemon(store, policy=policy).start(wait=False)
    assert daemon.wait_exit() == 1
    assert f"{policy}{where}" in daemon.errors


def test_missing_policy_at_start(data):
    daemon = keystile.Daemon(data, policy=data.parent / "nothing.yaml").start(wait=False)
    assert daemon.wait_exit() == 1
    assert str(data.parent / "nothing.yaml") in daemon.errors
    # Nothing was made that the first good start would have to explain.
    assert not (data / "keystile.db").exists()


# ---- backup and restore ----

def test_backup_while_writing_then_restore(store):
    backup = store.parent / "backup.db"
    with keystile.Daemon(store) as daemon:
        before = [make_key(daemon.local(), f"before {n}") for n in range(50)]
        revoked = make_key(daemon.local(), "revoked")
        assert daemon.local().call("DELETE", f"/v1/keys/{revoked['id']}").status == 200
        ended = threading.Event()

        def write():
            client = daemon.local()
            serial = 0
            while not ended.is_set():
                make_key(client, f"meanwhile {serial}")
                serial += 1

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        done = keystile.run("backup", backup, "--json", data=store)
        ended.set()
        for thread in threads:
            thread.join()
        assert done.code == 0 and done.json == {"path": str(backup)}
        after = make_key(daemon.local(), "after")
        # Never over a file that is there.
        again = keystile.run("backup", backup, "--json", data=store)
        assert again.code == 1 and again.problem["code"] == "conflict"
        assert keystile.run("restore", backup, data=store).code == 1
        ring_equals_truth(daemon)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    keys, _ = truth.check_file(backup, at_rest=True)
    assert {k["id"] for k in before} <= set(keys) and after["id"] not in keys

    restored = keystile.run("restore", backup, "--json", data=store)
    assert restored.code == 0, restored
    assert restored.json["keys"] == len(keys)
    with keystile.Daemon(store) as daemon:
        for key in before:
            assert daemon.authorize(key["token"]).status == 200
        assert daemon.authorize(revoked["token"]).status == 401
        assert daemon.authorize(after["token"]).status == 401
        ring_equals_truth(daemon)


def test_restore_into_a_new_place(store):
    backup = store.parent / "backup.db"
    token = keystile.run("keys", "create", "--name", "n", "--scope", "contacts:read", "--json", data=store, env=POLICY).json["token"]
    # Without a daemon as well.
    assert keystile.run("backup", backup, data=store).code == 0
    with keystile.temporary_data() as other:
        # What was sealed needs the key file, which no backup holds.
        refused = keystile.run("restore", backup, data=other)
        assert refused.code == 1 and "master.key" in refused.err
        shutil.copy2(store / "master.key", other / "master.key")
        assert keystile.run("restore", backup, data=other).code == 0
        with keystile.Daemon(other) as daemon:
            assert daemon.authorize(token).status == 200
            ring_equals_truth(daemon)


def test_readers_after_a_restore(store):
    """A ring that was taken over would still know keys that the restored store does not."""
    backup = store.parent / "backup.db"
    assert keystile.run("backup", backup, data=store).code == 0
    with keystile.Daemon(store) as daemon:
        made = make_key(daemon.local())
    assert keystile.run("restore", backup, data=store).code == 0
    with keystile.Daemon(store) as daemon:
        assert daemon.authorize(made["token"]).status == 401
        ring_equals_truth(daemon)


def damage(path, kind):
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[:len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no database" * 1000)
    elif kind == "middle":
        path.write_bytes(content[:8192] + bytes(len(content) - 8192))
    elif kind == "other":
        path.unlink()
        sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.close()
    elif kind == "newer":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.commit()
        db.close()


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "middle", "other", "newer", "missing"])
def test_bad_backup_changes_nothing(store, kind):
    backup = store.parent / "backup.db"
    token = keystile.run("keys", "create", "--name", "n", "--scope", "contacts:read", "--json", data=store, env=POLICY).json["token"]
    if kind != "missing":
        assert keystile.run("backup", backup, data=store).code == 0
        damage(backup, kind)
    done = keystile.run("restore", backup, data=store)
    assert done.code == 1
    assert "the store is as it was" in done.err and str(backup) in done.err, done.err
    if kind == "newer":
        assert "version" in done.err
    with keystile.Daemon(store) as daemon:
        assert daemon.authorize(token).status == 200
    assert {p.name for p in store.iterdir()} <= {"keystile.db", "keystile.db-lock", "keystile.db-wal", "keystile.db-shm", "lock",
                                                 "master.key", "ring", "settings.yaml"}


# ---- what it finds ----

def test_store_of_a_newer_version_is_refused(store):
    damage(store / "keystile.db", "newer")
    before = (store / "keystile.db").read_bytes()
    daemon = keystile.Daemon(store).start(wait=False)
    assert daemon.wait_exit() == 1
    assert "of a version this program does not read" in daemon.errors and "keystile.db" in daemon.errors
    done = keystile.run("keys", "list", data=store)
    assert done.code == 1 and "of a version this program does not read" in done.err
    assert (store / "keystile.db").read_bytes() == before


@pytest.mark.parametrize("kind", ["text", "other"])
def test_store_of_another_program_is_refused(store, kind):
    damage(store / "keystile.db", kind)
    before = (store / "keystile.db").read_bytes()
    daemon = keystile.Daemon(store).start(wait=False)
    assert daemon.wait_exit() == 1
    assert "keystile.db" in daemon.errors
    assert (store / "keystile.db").read_bytes() == before


def ring_file(data, suffix=".ring"):
    return next(p for p in (data / "ring").resolve().iterdir() if p.name.endswith(suffix))


def other_boot(path):
    """The bytes of this boot's id, changed: the ring of a machine before it was started again."""
    id = bytes.fromhex(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", ""))
    content = path.read_bytes()
    assert id in content[:4096]
    path.write_bytes(content.replace(id, bytes(16), 1))


RING_DAMAGES = {
    "the link is gone": lambda data, rng: (data / "ring").unlink(),
    "the files are gone": lambda data, rng: [p.unlink() for p in (data / "ring").resolve().iterdir()],
    "the ring is gone": lambda data, rng: ring_file(data).unlink(),
    "the counters are gone": lambda data, rng: ring_file(data, ".usage").unlink(),
    "the control file is gone": lambda data, rng: ((data / "ring").resolve() / "control").unlink(),
    "the ring is empty": lambda data, rng: os.truncate(ring_file(data), 0),
    "the ring is cut": lambda data, rng: os.truncate(ring_file(data), ring_file(data).stat().st_size // 2),
    "the ring is cut by a byte": lambda data, rng: os.truncate(ring_file(data), ring_file(data).stat().st_size - 1),
    "the counters are cut": lambda data, rng: os.truncate(ring_file(data, ".usage"), 100),
    "the control file is cut": lambda data, rng: os.truncate((data / "ring").resolve() / "control", 10),
    "the ring is of another boot": lambda data, rng: other_boot(ring_file(data)),
    "the control file is of another boot": lambda data, rng: other_boot((data / "ring").resolve() / "control"),
    "the header is zeroes": lambda data, rng: ring_file(data).write_bytes(bytes(4096) + ring_file(data).read_bytes()[4096:]),
}


def assert_comes_back(data, good, revoked):
    with keystile.Daemon(data) as daemon:
        for token in good:
            assert daemon.authorize(token).status == 200
        for token in revoked:
            assert daemon.authorize(token).status == 401
        made = make_key(daemon.local(), "after")
        assert daemon.authorize(made["token"]).status == 200
        ring_equals_truth(daemon)


def fill(data, count=30):
    with keystile.Daemon(data) as daemon:
        client = daemon.local()
        good = [make_key(client, f"good {n}")["token"] for n in range(count)]
        bad = [make_key(client, f"bad {n}") for n in range(count)]
        for key in bad:
            assert client.call("DELETE", f"/v1/keys/{key['id']}").status == 200
    return good, [key["token"] for key in bad]


@pytest.mark.parametrize("what", RING_DAMAGES)
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_damaged_ring_is_rebuilt(store, what, how):
    good, bad = fill(store)
    daemon = keystile.Daemon(store).start()
    getattr(daemon, how)()
    RING_DAMAGES[what](store, random.Random(keystile.seed()))
    assert_comes_back(store, good, bad)


def test_random_damage(store):
    """Bits flipped anywhere: the daemon starts, and has found them or they are where no checksum can be, for these words change without a lock
    while others read them (whether a key is revoked, when it ends). Then `ring check` tells, and `ring rebuild` mends."""
    rng = random.Random(keystile.seed() + 7)
    good, bad = fill(store)
    told = 0
    for number in range(25):
        path = ring_file(store)
        content = path.read_bytes()
        # Every second time in the part that is in use: the header and what follows it.
        used = [n for n in range(0, len(content), 64) if any(content[n:n + 64])]
        flipped = bytearray(content)
        for _ in range(rng.choice([1, 3, 50])):
            at = rng.choice(used) + rng.randrange(64) if number % 2 else rng.randrange(len(content))
            flipped[min(at, len(content) - 1)] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with keystile.Daemon(store):
            checked = keystile.run("ring", "check", "--json", data=store)
            assert checked.code == (0 if checked.json["equal"] else 1)
            if not checked.json["equal"]:
                told += 1
                assert checked.json["differences"] > 0 and checked.json["first"]
                assert keystile.run("ring", "rebuild", data=store).code == 0
        assert_comes_back(store, good[:5], bad[:5])
    print(f"{told} of 25 damages were not found at the start, but by `ring check`")


def test_rebuild_on_demand(store):
    good, bad = fill(store)
    with keystile.Daemon(store) as daemon:
        before = daemon.local().call("GET", "/v1/ring").json
        done = keystile.run("ring", "rebuild", "--json", data=store)
        assert done.code == 0 and done.json["generation"] > before["generation"]
        assert done.json["rebuilds"] == before["rebuilds"] + 1
        for token in good:
            assert daemon.authorize(token).status == 200
        for token in bad:
            assert daemon.authorize(token).status == 401
        ring_equals_truth(daemon)


def test_first_start_of_serve(data):
    """`serve` on an empty directory makes the store, and the first key once, on standard error."""
    with keystile.Daemon(data) as daemon:
        assert daemon.first_key.startswith("ks_")
        answer = daemon.call("GET", "/v1/account", token=daemon.first_key)
        assert answer.status == 200 and answer.json["key"]["name"] == "first key"
    with keystile.Daemon(data) as daemon:
        assert daemon.first_key is None
        assert len(daemon.local().call("GET", "/v1/keys").json["items"]) == 1


@pytest.mark.parametrize("listen, url, warned", [("0.0.0.0:0", "", True), ("[::]:0", "", True), ("127.0.0.1:0", "", False),
                                                ("0.0.0.0:0", "https://keys.example", False)])
def test_an_issuer_that_names_no_place_is_told(store, listen, url, warned):
    with keystile.Daemon(store, listen=listen, env={"KEYSTILE_ISSUER_URL": url}) as daemon:
        assert daemon.local().call("GET", "/readyz").status == 200
    assert ("issuer_url_unset" in daemon.errors) == warned


def test_log_is_structured(store):
    """Every line of standard error is one JSON object with time, level and event."""
    with keystile.Daemon(store, env={"KEYSTILE_LOG_LEVEL": "debug"}) as daemon:
        daemon.call("GET", "/nothing")
        daemon.call("GET", "/livez")
    for line in daemon.errors.splitlines():
        event = json.loads(line)
        assert {"time", "level", "event"} <= set(event)
        assert event["level"] in ("debug", "info", "warning", "error")
