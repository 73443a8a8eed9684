#!/usr/bin/python3
"""A full disk: changes are refused as such, decisions go on, nothing acknowledged is lost, and it ends when there is space again."""
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import time

import keystile
import truth

MIB = 1 << 20


# ---- a disk of our own: mounting it needs root, as installing does ----

class SmallDisk:
    """A file system in memory of its own, filled up with a file."""

    def __init__(self, place, size):
        self.place, self.size = pathlib.Path(place), size
        self.place.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=0700", "keystile-test", str(self.place)], check=True,
                       capture_output=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def fill(self, leave=0):
        """Until so many bytes are left. What is written there meanwhile takes its part."""
        with open(self.place / "ballast", "ab") as ballast:
            while (free := os.statvfs(self.place).f_bavail * os.statvfs(self.place).f_frsize) > leave:
                with contextlib.suppress(OSError):
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), free - leave)

    def free(self):
        (self.place / "ballast").unlink()


# ---- the store's disk ----

def make_key(client, name):
    return client.call("POST", "/v1/keys", {"name": name, "scopes": ["contacts:read"], "expires_at": None})


def make_until_full(client, keys):
    """Makes keys until one is refused; that refusal. What was acknowledged is added to `keys`."""
    for number in range(100000):
        answer = make_key(client, f"key {number}")
        if answer.status != 201:
            return answer
        keys.append((answer.json["id"], answer.json["token"]))
    raise AssertionError("the disk did not become full")


def refuse_when_full(client, keys, method, path, body):
    """The change is refused, of the first key where it is one of a key. The store may have written its log back since
    the disk became full, and so found room in it: then the change was done, and the next key is tried."""
    for _ in range(10):
        assert_disk_full(make_until_full(client, keys))
        answer = client.call(method, path.format(victim=keys[0][0]), body)
        if answer.status == 507:
            return assert_disk_full(answer)
        assert answer.status in (200, 201), answer
        if "{victim}" in path:
            keys.pop(0)
    raise AssertionError("the disk does not stay full")


def write_import(path, at, count):
    with open(path, "w", encoding="ascii") as out:
        for number in range(at, at + count):
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            out.write(json.dumps({"name": f"k{number}", "scopes": [], "expires_at": None, "sha256": digest, "prefix": "old",
                                  "last_four": "abcd"}) + "\n")


def assert_disk_full(answer):
    assert answer.status == 507, answer
    assert answer.json["code"] == "disk_full"
    assert answer.json["status"] == 507
    assert answer.headers["Content-Type"] == "application/problem+json"


def assert_decisions(daemon, good, bad=()):
    client = daemon.local()
    for tokens, code in ((good, "ok"), (bad, "credential_invalid")):
        for start in range(0, len(tokens), 1000):
            items = [{"credential": token} for token in tokens[start:start + 1000]]
            answer = client.call("POST", "/v1/verify/batch", {"items": items})
            assert {item["code"] for item in answer.json["items"]} == {code}
    for token in good[:3] + good[-3:]:
        assert daemon.authorize(token).status == 200
    client.close()


def until(ask, wanted):
    """Asks until the answer is wanted: after a growth of the ring has failed, the next is tried a moment later."""
    end = time.monotonic() + keystile.PATIENCE_S
    answer = ask()
    while not wanted(answer) and time.monotonic() < end:
        answer = ask()
    return answer


def test_store_on_a_full_disk():
    with keystile.temporary_data() as data, SmallDisk(data, 64 * MIB) as disk:
        keystile.init(data)
        keys = []
        with keystile.Daemon(data) as daemon:
            client = daemon.local()
            for number in range(20):
                answer = make_key(client, f"before {number}")
                keys.append((answer.json["id"], answer.json["token"]))
            tenant = client.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}).json["id"]

            disk.fill(leave=MIB)
            assert_disk_full(make_until_full(client, keys))
            disk.fill()
            assert len(keys) > 20

            # Every change is refused the same way, whatever it is, and as often as it is asked for.
            for _ in range(3):
                for method, path, body in (("POST", "/v1/keys", {"name": "n", "expires_at": None}),
                                           ("PATCH", "/v1/keys/{victim}", {"name": "renamed"}), ("DELETE", "/v1/keys/{victim}", None),
                                           ("POST", "/v1/keys/{victim}/rotate", {"overlap_s": 0}),
                                           ("POST", "/v1/tenants", {"kind": "organization", "name": "B"}),
                                           ("POST", f"/v1/tenants/{tenant}/suspend", None)):
                    refuse_when_full(client, keys, method, path, body)
            victim = keys[0][0]

            # Reading and deciding go on; nothing that was refused has happened.
            assert_decisions(daemon, [token for _, token in keys])
            record = client.call("GET", f"/v1/keys/{victim}")
            assert record.status == 200 and record.json["name"] != "renamed" and record.json["status"] == "active"
            assert client.call("GET", "/v1/keys?limit=500").status == 200
            assert client.call("GET", "/metrics").status == 200
            assert client.call("GET", "/livez").status == 200
            assert client.call("GET", "/readyz").status == 503
            answer = client.call("POST", "/v1/ring/check")
            assert answer.status == 200 and answer.json["equal"], answer

            # There is space again, and that is enough.
            disk.free()
            answer = make_key(client, "after")
            assert answer.status == 201, answer
            keys.append((answer.json["id"], answer.json["token"]))
            assert client.call("DELETE", f"/v1/keys/{victim}").status == 200
            assert client.call("GET", "/readyz").status == 200
            assert daemon.authorize(keys[0][1]).status == 401
            assert_decisions(daemon, [token for _, token in keys[1:]], [keys[0][1]])
            daemon.kill()
        rows, _ = truth.check_crashed(data)
        assert {key for key, _ in keys} <= set(rows)
        with keystile.Daemon(data) as daemon:
            assert_decisions(daemon, [token for _, token in keys[1:]], [keys[0][1]])
            assert daemon.local().call("POST", "/v1/ring/check").json["equal"]


def test_kill_on_a_full_disk():
    """Killed while it cannot write, and started again before there is space: what was acknowledged is served, nothing else is promised."""
    with keystile.temporary_data() as data, SmallDisk(data, 64 * MIB) as disk:
        keystile.init(data)
        keys = []
        daemon = keystile.Daemon(data).start()
        disk.fill(leave=MIB)
        make_until_full(daemon.local(), keys)
        disk.fill()
        assert_disk_full(make_key(daemon.local(), "n"))
        daemon.kill()
        with keystile.Daemon(data) as daemon:
            assert_decisions(daemon, [token for _, token in keys])
            assert_disk_full(make_key(daemon.local(), "n"))
            disk.free()
            assert make_key(daemon.local(), "n").status == 201
            assert daemon.local().call("POST", "/v1/ring/check").json["equal"]


def test_import_on_a_full_disk():
    """What was imported before stays and is told; the rest can be imported when there is space."""
    with keystile.temporary_data() as data, SmallDisk(data, 64 * MIB) as disk:
        keystile.init(data)
        lines = data.parent / "keys.jsonl"
        write_import(lines, 0, 40000)
        with keystile.Daemon(data) as daemon:
            disk.fill(leave=3 * MIB)
            done = keystile.run("keys", "import", lines, "--json", data=data)
            assert done.code == 1
            assert done.problem["code"] == "disk_full"
            there = daemon.local().call("GET", "/v1/ring").json["keys"]
            assert 1 <= there < 40001
            assert f"{there - 1} keys" in done.problem["detail"]
            assert daemon.local().call("POST", "/v1/ring/check").json["equal"]
            disk.free()
            done = until(lambda: keystile.run("keys", "import", lines, "--json", data=data), lambda done: done.out)
            assert done.code == (0 if there == 1 else 1), done.err
            assert done.json["imported"] == 40001 - there
            assert done.json["refused"] == there - 1
        truth.check_file(data / "keystile.db")


# ---- other files ----

@contextlib.contextmanager
def full_folder(parent):
    """A folder where nothing can be written."""
    with SmallDisk(parent / "full", 256 << 10) as disk:
        disk.fill()
        yield disk.place


def test_init_on_a_full_disk():
    with keystile.temporary_data() as data, full_folder(data.parent) as folder:
        done = keystile.run("init", data=folder / "data")
        assert done.code == 1
        assert done.out == ""
        assert "the disk is full" in done.err or "No space left" in done.err, done.err
        assert str(folder) in done.err


def test_ring_on_a_full_disk():
    """The message says which place is full; the store is untouched and serves elsewhere."""
    with keystile.temporary_data() as data, full_folder(data.parent) as folder:
        keystile.init(data)
        daemon = keystile.Daemon(data, env={"KEYSTILE_RING_DIRECTORY": folder / "ring"})
        daemon.start(wait=False)
        assert daemon.wait_exit() == 1
        assert str(folder / "ring") in daemon.errors and "the disk is full" in daemon.errors, daemon.errors
        done = keystile.run("keys", "list", data=data, env={"KEYSTILE_RING_DIRECTORY": folder / "ring"})
        assert done.code == 1 and "the disk is full" in done.err
        with keystile.Daemon(data) as daemon:
            assert daemon.local().call("POST", "/v1/ring/check").json["equal"]


def test_backup_on_a_full_disk():
    with keystile.temporary_data() as data:
        keystile.init(data)
        with keystile.Daemon(data), full_folder(data.parent) as folder:
            before = set(os.listdir(folder))
            done = keystile.run("backup", folder / "b.db", "--json", data=data)
            assert done.code == 1
            assert done.problem["code"] == "disk_full"
            assert set(os.listdir(folder)) == before


def test_ring_that_cannot_grow():
    """Where the ring has no room for more keys, keys are refused, and all else goes on: above all revocation."""
    with keystile.temporary_data() as data, contextlib.ExitStack() as stack:
        keystile.init(data)
        ring = data.parent / "small"
        disk = stack.enter_context(SmallDisk(ring, 256 * MIB))
        daemon = stack.enter_context(keystile.Daemon(data, env={"KEYSTILE_RING_DIRECTORY": ring / "ring"}))
        client = daemon.local()
        victim = make_key(client, "victim").json
        tenant = client.call("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}).json["id"]
        disk.fill()
        lines = data.parent / "keys.jsonl"
        done, at = keystile.Result(0, "", ""), 0
        while done.code == 0:
            write_import(lines, at, 1000)
            at += 1000
            done = keystile.run("keys", "import", lines, "--json", data=data)
        assert done.code == 1 and done.problem["code"] == "disk_full", done
        there = client.call("GET", "/v1/ring").json
        assert at - 1000 <= there["keys"] - 2 < at
        assert there["growths"] == 0
        keys = []
        assert_disk_full(make_until_full(client, keys))
        assert_decisions(daemon, [victim["token"], *(token for _, token in keys)])
        assert client.call("DELETE", f"/v1/keys/{victim['id']}").status == 200
        assert daemon.authorize(victim["token"]).status == 401
        assert client.call("PATCH", f"/v1/keys/{keys[0][0]}", {"name": "renamed"}).status == 200
        assert client.call("POST", f"/v1/tenants/{tenant}/suspend").status == 200
        disk.free()
        answer = until(lambda: make_key(client, "one more"), lambda answer: answer.status == 201)
        assert answer.status == 201, answer
        assert daemon.authorize(answer.json["token"]).status == 200
        answer = client.call("POST", "/v1/ring/check")
        assert answer.json["equal"], answer.json
