"""One owner of a data directory; stop and reload; backup and restore; a ring that was torn, lost or is another's."""
import os
import random
import shutil
import sqlite3

import pytest
from keystile import DEMO_POLICY, Daemon, init, run, seed, temporary_data

POLICY = {"KEYSTILE_POLICY": DEMO_POLICY}


@pytest.fixture
def data():
    with temporary_data() as path:
        yield path


def make_key(data):
    org = run("tenants", "create", "--kind", "organization", "--name", "Acme", "--json", data=data, env=POLICY).json["id"]
    return run("keys", "create", "--tenant", org, "--name", "n", "--scope", "contacts:read", "--json", data=data, env=POLICY).json


def accepts(data, key):
    return run("verify", data=data, env=POLICY, input=key["token"]).code == 0


# ---- one owner ----

def test_a_second_daemon_says_so_and_ends(data):
    with Daemon(data) as first:
        second = Daemon(data).start(wait=False)
        assert second.wait_exit() == 1
        assert "keystile" in second.errors and str(data) in second.errors
        assert first.call("GET", "/livez").status == 200


def test_the_socket_is_the_owners_alone(data):
    with Daemon(data) as daemon:
        assert daemon.socket.stat().st_mode & 0o777 == 0o600
        assert data.stat().st_mode & 0o077 == 0
    assert not daemon.socket.exists()


def test_commands_go_through_the_daemon_where_one_runs(data):
    init(data)
    with Daemon(data) as daemon:
        key = make_key(data)
        assert daemon.authorize(key["token"]).status == 200
        assert run("keys", "delete", key["id"], data=data).code == 0
        assert daemon.authorize(key["token"]).status == 401
    assert not accepts(data, key)


# ---- stop, reload ----

def test_sigterm_ends_with_0_and_a_line_in_the_log(data):
    daemon = Daemon(data).start()
    assert daemon.stop() == 0
    assert [e["event"] for e in daemon.log][-2:] == ["stopping", "stopped"]


def test_a_bad_policy_at_a_reload_leaves_the_old_one(data, tmp_path):
    policy = tmp_path / "policy.yaml"
    shutil.copy(DEMO_POLICY, policy)
    with Daemon(data, policy=policy) as daemon:
        key = make_key(data)
        policy.write_text("version: 1\nfamilies: [\n")
        daemon.process.send_signal(1)
        refused = daemon.wait_event("reload_refused")
        assert "line" in refused["detail"] or ":" in refused["detail"]
        assert daemon.authorize(key["token"]).status == 200
        policy.write_text("version: 1\nscopes: {contacts:read: {about: Read}}\nfamilies:\n  other:\n    routes: [\"/other\"]\n"
                          "    kinds: [tenant]\n    scopes: {GET: contacts:read}\n")
        daemon.process.send_signal(1)
        daemon.wait_event("policy_reloaded")
        assert daemon.authorize(key["token"]).code == "route_unknown"
        assert daemon.authorize(key["token"], uri="/other").status == 200


def test_a_bad_policy_at_the_start_is_told_by_line(data, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 2\n")
    daemon = Daemon(data, policy=policy).start(wait=False)
    assert daemon.wait_exit() == 1
    assert f"{policy}" in daemon.errors and "version" in daemon.errors


# ---- backup and restore ----

def test_a_restored_backup_is_the_truth_of_its_moment(data, tmp_path):
    with Daemon(data):
        kept = make_key(data)
        assert run("backup", tmp_path / "b.db", data=data).code == 0
        lost = make_key(data)
        assert run("keys", "delete", kept["id"], data=data).code == 0
        assert run("restore", tmp_path / "b.db", data=data).code == 1
    assert run("restore", tmp_path / "b.db", data=data, env=POLICY).code == 0
    with Daemon(data) as daemon:
        assert daemon.authorize(kept["token"]).status == 200
        assert daemon.authorize(lost["token"]).status == 401


@pytest.mark.parametrize("how", ["empty", "torn", "another program's", "a newer version's"])
def test_what_is_no_backup_leaves_the_store_as_it_was(data, tmp_path, how):
    init(data)
    key = make_key(data)
    bad = tmp_path / "b.db"
    assert run("backup", bad, data=data).code == 0
    if how == "empty":
        bad.write_bytes(b"")
    elif how == "torn":
        bad.write_bytes(bad.read_bytes()[:-8192])
    elif how == "another program's":
        bad.unlink()
        with sqlite3.connect(bad) as other:
            other.execute("CREATE TABLE t (x)")
    else:
        with sqlite3.connect(bad) as newer:
            newer.execute("PRAGMA user_version = 9999")
    done = run("restore", bad, data=data, env=POLICY)
    assert done.code == 1 and "the store is as it was" in done.err
    assert accepts(data, key)


def test_a_store_of_a_newer_version_is_refused(data):
    init(data)
    with sqlite3.connect(data / "keystile.db") as store:
        store.execute("PRAGMA user_version = 9999")
    done = run("keys", "list", data=data)
    assert done.code == 1 and "version" in done.err


# ---- the ring ----

def test_a_ring_that_is_gone_is_built_anew(data):
    init(data)
    key = make_key(data)
    shutil.rmtree((data / "ring").resolve())
    assert accepts(data, key)


def files_of_ring(data):
    return [p for p in (data / "ring").resolve().iterdir() if p.is_file() and p.stat().st_size > 0]


@pytest.mark.parametrize("part", range(12))
def test_a_torn_ring_is_found_out_or_does_no_harm(data, part):
    """Cuts a file of the ring or turns bytes of it over; whatever comes of it, the keys that the truth knows are what is accepted."""
    chance = random.Random(seed() + part)
    init(data)
    keys = [make_key(data) for _ in range(3)]
    assert run("keys", "delete", keys[0]["id"], data=data).code == 0
    for file in files_of_ring(data):
        size = file.stat().st_size
        if part % 3 == 0:
            os.truncate(file, chance.randrange(size))
            continue
        with open(file, "r+b") as f:
            for _ in range(chance.choice([1, 50, 2000])):
                f.seek(chance.randrange(min(size, 4096) if part % 3 == 1 else size))
                f.write(bytes([chance.randrange(256)]))
    with Daemon(data) as daemon:
        assert [daemon.authorize(k["token"]).status for k in keys] == [401, 200, 200]


def test_a_ring_of_another_boot_is_built_anew(data):
    """The boot's id stands in the ring's header: a file that has another one is not taken over."""
    init(data)
    key = make_key(data)
    boot = bytes.fromhex(open("/proc/sys/kernel/random/boot_id").read().strip().replace("-", ""))
    changed = 0
    for file in files_of_ring(data):
        content = file.read_bytes()
        if boot in content:
            file.write_bytes(content.replace(boot, bytes(16)))
            changed += 1
    assert changed > 0
    with Daemon(data) as daemon:
        assert daemon.authorize(key["token"]).status == 200
        assert "rebuilt" in str(daemon.log) or "fresh" in str(daemon.log) or "built" in str(daemon.log), daemon.log
