#!/usr/bin/python3
"""kill -9 at random instants: every acknowledged change is there, no half-made one, and the ring equals the truth."""
import collections
import contextlib
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import keystile
import truth

KILLS = 110
WORKERS = 8
POLICY = {"KEYSTILE_POLICY": keystile.DEMO_POLICY}
LOST = (OSError, http.client.HTTPException)


# ---- a world that remembers what was acknowledged ----

class Key:
    def __init__(self, id, token, name, tenant):
        self.id, self.token, self.name, self.tenant = id, token, name, tenant
        self.revoked = False       # or rotated out at once
        self.rotated = False


class Tenant:
    def __init__(self, id, name):
        self.id, self.name = id, name
        self.suspended = False


class Worker:
    """Changes objects of its own, so that what was acknowledged last is what must be found. `doubt` is the one change without an answer."""

    def __init__(self, number, rng, on_ack):
        self.number, self.rng, self.on_ack = number, rng, on_ack
        self.tenants, self.keys = [], []
        self.doubt = None
        self.unseen = []           # names of keys whose answer, and so whose token, was lost
        self.serial = 0
        self.failure = None
        self.acknowledged = 0

    def new_name(self):
        self.serial += 1
        return f"w{self.number}-{self.serial}"

    def run(self, client):
        try:
            while True:
                self.step(client)
        except LOST:
            pass
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure
        finally:
            client.close()

    def call(self, client, doubt, expected, method, path, body=None, headers=None):
        self.doubt = doubt
        answer = client.call(method, path, body, headers)
        assert answer.status == expected, (method, path, answer.status, answer.body)
        return answer.json

    def done(self):
        self.doubt = None
        self.acknowledged += 1
        self.on_ack()

    def step(self, client):
        live = [k for k in self.keys if not k.revoked and not k.rotated]
        choices = [self.create_key] * 6 + [self.create_tenant] + [self.flip_tenant] * 2
        if live:
            choices += [self.revoke] * 3 + [self.rename] * 2 + [self.rotate] * 2 + [self.use]
        if not self.tenants:
            choices = [self.create_tenant]
        self.rng.choice(choices)(client, live)

    # -- each change: the intent, the call, what is then certain --

    def create_tenant(self, client, _):
        name = self.new_name()
        made = self.call(client, ("tenant", name), 201, "POST", "/v1/tenants", {"kind": "organization", "name": name})
        self.tenants.append(Tenant(made["id"], name))
        self.done()

    def create_key(self, client, _):
        open_tenants = [t for t in self.tenants if not t.suspended]
        if not open_tenants:
            self.create_tenant(client, _)
            return
        tenant, name = self.rng.choice(open_tenants), self.new_name()
        body = {"name": name, "tenant": tenant.id, "scopes": ["contacts:read"], "expires_at": None}
        headers = {"Idempotency-Key": name} if self.rng.random() < 0.5 else {}
        made = self.call(client, ("key", name, body, headers, tenant), 201, "POST", "/v1/keys", body, headers)
        self.keys.append(Key(made["id"], made["token"], name, tenant))
        self.done()

    def rename(self, client, live):
        key, name = self.rng.choice(live), self.new_name()
        self.call(client, ("rename", key, name), 200, "PATCH", f"/v1/keys/{key.id}", {"name": name})
        key.name = name
        self.done()

    def revoke(self, client, live):
        key = self.rng.choice(live)
        record = self.call(client, ("revoke", key), 200, "DELETE", f"/v1/keys/{key.id}")
        assert record["status"] == "revoked"
        key.revoked = True
        self.done()

    def rotate(self, client, live):
        key, overlap = self.rng.choice(live), self.rng.choice([0, 3600])
        if key.tenant.suspended:
            return
        made = self.call(client, ("rotate", key, overlap), 201, "POST", f"/v1/keys/{key.id}/rotate", {"overlap_s": overlap})
        key.rotated, key.revoked = True, overlap == 0
        self.keys.append(Key(made["id"], made["token"], key.name, key.tenant))
        self.done()

    def flip_tenant(self, client, _):
        tenant = self.rng.choice(self.tenants)
        verb = "resume" if tenant.suspended else "suspend"
        self.call(client, ("flip", tenant), 200, "POST", f"/v1/tenants/{tenant.id}/{verb}")
        tenant.suspended = not tenant.suspended
        self.done()

    def use(self, client, live):
        """Not a change: a decision between changes, which must know the last one."""
        key = self.rng.choice(live)
        answer = client.call("GET", "/v1/authorize", headers={"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts"}, token=key.token)
        assert answer.status == (401 if key.tenant.suspended else 200), answer

    # -- after a restart: what became of the change in doubt --

    def settle(self, keys, tenants, client):
        """Either it happened whole or not at all; from now on it is known."""
        if not self.doubt:
            return
        kind, *rest = self.doubt
        self.doubt = None
        getattr(self, f"settle_{kind}")(keys, tenants, client, *rest)

    def settle_tenant(self, keys, tenants, client, name):
        found = [t for t, row in tenants.items() if row["name"] == name]
        assert len(found) <= 1
        self.tenants += [Tenant(t, name) for t in found]

    def settle_key(self, keys, tenants, client, name, body, headers, tenant):
        found = [k for k, row in keys.items() if row["name"] == name]
        assert len(found) <= 1
        if not headers:
            self.unseen += found
            return
        # The same Idempotency-Key again: made now if it was not, and never twice.
        answer = client.call("POST", "/v1/keys", body, headers)
        assert answer.status == 201, answer
        made = answer.json
        if found:
            assert made["id"] == found[0] and "token" not in made
            assert answer.headers["Idempotency-Replayed"] == "true"
            self.unseen += found
        else:
            self.keys.append(Key(made["id"], made["token"], name, tenant))

    def settle_rename(self, keys, tenants, client, key, name):
        assert keys[key.id]["name"] in (key.name, name)
        key.name = keys[key.id]["name"]

    def settle_revoke(self, keys, tenants, client, key):
        key.revoked = keys[key.id]["revoked_at"] is not None

    def settle_rotate(self, keys, tenants, client, key, overlap):
        successor = keys[key.id]["rotated_to"]
        if successor:
            key.rotated, key.revoked = True, overlap == 0
            self.unseen.append(truth.id_text("key", successor))

    def settle_flip(self, keys, tenants, client, tenant):
        tenant.suspended = tenants[tenant.id]["suspended_at"] is not None


class World:
    def __init__(self, rng):
        self.changed = threading.Condition()
        self.acks = 0
        self.workers = [Worker(i, random.Random(rng.randrange(1 << 32)), self.on_ack) for i in range(WORKERS)]

    def on_ack(self):
        with self.changed:
            self.acks += 1
            self.changed.notify_all()

    def wait_acks(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: self.acks >= count or any(w.failure for w in self.workers), keystile.PATIENCE_S)

    def run(self, daemon, token, kill):
        """Lets all workers work until `kill` has ended the daemon."""
        threads = [threading.Thread(target=w.run, args=(daemon.client(token),)) for w in self.workers]
        for thread in threads:
            thread.start()
        kill()
        for thread in threads:
            thread.join(keystile.PATIENCE_S)
            assert not thread.is_alive()
        for worker in self.workers:
            if worker.failure:
                raise worker.failure

    def settle(self, keys, tenants, client):
        for worker in self.workers:
            worker.settle(keys, tenants, client)

    def verify_rows(self, keys, tenants):
        for worker in self.workers:
            for tenant in worker.tenants:
                row = tenants[tenant.id]
                assert row["name"] == tenant.name
                assert (row["suspended_at"] is not None) == tenant.suspended
            for key in worker.keys:
                row = keys[key.id]
                assert row["name"] == key.name
                assert row["digest"] == hashlib.sha256(key.token.encode()).digest()
                assert (row["revoked_at"] is not None) == key.revoked
                assert (row["rotated_to"] is not None) == key.rotated

    def verify_decisions(self, client):
        """Every token that was ever shown is accepted or refused as it was acknowledged."""
        keys = [key for worker in self.workers for key in worker.keys]
        for start in range(0, len(keys), 1000):
            some = keys[start:start + 1000]
            answer = client.call("POST", "/v1/verify/batch", {"items": [{"credential": key.token} for key in some]})
            assert answer.status == 200, answer
            for key, item in zip(some, answer.json["items"]):
                expected = "credential_invalid" if key.revoked or key.tenant.suspended else "ok"
                assert item["code"] == expected, (key.id, key.revoked, key.rotated, key.tenant.suspended, item["code"])


def ring_equals_truth(daemon):
    answer = daemon.local().call("POST", "/v1/ring/check")
    assert answer.status == 200, answer
    assert answer.json["equal"], answer.json


def spin(rng, most_s):
    """A moment of random length that gives the processor to nobody: where in its work the daemon is killed is left to chance."""
    end = time.monotonic() + rng.random() * most_s
    while time.monotonic() < end:
        pass


def verify(world, daemon, token):
    keys, tenants = truth.check_file(daemon.data / "keystile.db")
    client = daemon.client(token)
    world.settle(keys, tenants, client)
    if any(w.doubt for w in world.workers):
        raise AssertionError("a change is still in doubt")
    keys, tenants = truth.check_file(daemon.data / "keystile.db")
    world.verify_rows(keys, tenants)
    world.verify_decisions(client)
    client.close()
    ring_equals_truth(daemon)


def test_kill_under_write_load():
    rng = random.Random(keystile.seed())
    world = World(rng)
    starting = 0
    with keystile.temporary_data() as data:
        token = keystile.init(data)
        for number in range(KILLS):
            daemon = keystile.Daemon(data)
            if number % 8 == 7:
                # While it starts: the ring may be half built, the store half recovered.
                daemon.start(wait=False)
                spin(rng, 0.03)
                daemon.kill()
                starting += 1
            daemon = keystile.Daemon(data).start()
            if number:
                verify(world, daemon, token)

            def kill(daemon=daemon, target=world.acks + rng.randint(1, 60)):
                world.wait_acks(target)
                spin(rng, 0.004)
                daemon.process.send_signal(signal.SIGKILL)

            world.run(daemon, token, kill)
            daemon.wait_exit()
            # The files as they were left, before anybody repairs them.
            truth.check_crashed(data)
        with keystile.Daemon(data) as daemon:
            verify(world, daemon, token)
    keys = sum(len(w.keys) for w in world.workers)
    unseen = sum(len(w.unseen) for w in world.workers)
    print(f"{KILLS + starting} kills, {world.acks} acknowledged changes, {keys} keys, {unseen} made without an answer")
    assert world.acks > KILLS


# ---- import ----

# Lines that share a transaction: such a batch is there whole or not at all.
BATCH = 32768   # keys of one transaction of an import


def import_line(number, tag):
    token = f"{tag}_{hashlib.md5(str(number).encode()).hexdigest()}"
    line = {"name": f"{tag} {number}", "kind": "tenant", "scopes": ["contacts:read"], "expires_at": None,
            "sha256": hashlib.sha256(token.encode()).hexdigest(), "prefix": tag, "last_four": token[-4:]}
    return token, json.dumps(line)


def import_lines(tag, count):
    """Tokens, and the text to import them."""
    tokens, lines = zip(*(import_line(number, tag) for number in range(count)))
    return list(tokens), "\n".join(lines) + "\n"


def assert_allowed(daemon, tokens):
    client = daemon.local()
    for start in range(0, len(tokens), 1000):
        items = [{"credential": token} for token in tokens[start:start + 1000]]
        answer = client.call("POST", "/v1/verify/batch", {"items": items})
        assert answer.status == 200 and all(item["allow"] for item in answer.json["items"]), answer
    client.close()


class Importer:
    """Imports one file after the other, each with a tag of its own."""

    def __init__(self, number, rng, on_ack):
        self.number, self.rng, self.on_ack = number, rng, on_ack
        self.acknowledged = {}     # tag: tokens
        self.doubt = None          # the same, of the file without an answer
        self.serial = 0
        self.failure = None

    def run(self, client):
        try:
            while True:
                self.serial += 1
                tag = f"i{self.number}n{self.serial}"
                tokens, text = import_lines(tag, self.rng.randint(1, 2000))
                self.doubt = (tag, tokens)
                answer = client.call("POST", "/v1/keys/import", text, {"Content-Type": "application/x-ndjson"})
                assert answer.status == 200 and answer.json["imported"] == len(tokens), answer
                self.acknowledged[tag] = tokens
                self.doubt = None
                self.on_ack()
        except LOST:
            pass
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure
        finally:
            client.close()

    def settle(self, keys):
        """The file in doubt is there whole, or nothing of it is."""
        for tag, tokens in self.acknowledged.items():
            assert keys[tag] == len(tokens)
        if self.doubt:
            tag, tokens = self.doubt
            self.doubt = None
            assert keys[tag] in (0, len(tokens)), f"{keys[tag]} keys of an import of {len(tokens)}"
            if keys[tag]:
                self.acknowledged[tag] = tokens


def test_kill_during_import():
    rng = random.Random(keystile.seed() + 1)
    world = World(rng)
    world.workers = [Importer(i, random.Random(rng.randrange(1 << 32)), world.on_ack) for i in range(3)]
    with keystile.temporary_data() as data:
        token = keystile.init(data)
        for _ in range(15):
            daemon = keystile.Daemon(data).start()

            def kill(daemon=daemon, target=world.acks + rng.randint(0, 6)):
                world.wait_acks(target)
                spin(rng, 0.06)
                daemon.process.send_signal(signal.SIGKILL)

            world.run(daemon, token, kill)
            daemon.wait_exit()
            keys, _ = truth.check_crashed(data)
            tags = collections.Counter(row["prefix"] for row in keys.values())
            for worker in world.workers:
                worker.settle(tags)
        with keystile.Daemon(data) as daemon:
            ring_equals_truth(daemon)
            for worker in world.workers:
                for tokens in worker.acknowledged.values():
                    assert_allowed(daemon, tokens)
    print(f"15 kills, {world.acks} acknowledged imports, {len(keys) - 1} keys")


def test_kill_during_a_long_import():
    """What the ring has told of stays, whole batches of it, and the same file finishes the work."""
    count = 2 * BATCH + 20000
    with keystile.temporary_data() as data:
        keystile.init(data)
        lines = data.parent / "keys.jsonl"
        tokens, text = import_lines("old", count)
        lines.write_text(text, encoding="ascii")
        daemon = keystile.Daemon(data).start()
        client = daemon.local()
        importing = start("keys", "import", lines, data=data)
        seen = 1
        while seen == 1 and importing.poll() is None:
            seen = client.call("GET", "/v1/ring").json["keys"]
        daemon.kill()
        importing.communicate(timeout=keystile.PATIENCE_S)
        keys, _ = truth.check_crashed(data)
        there = len(keys) - 1
        assert there + 1 >= seen > 1
        assert there in (BATCH, 2 * BATCH, count)
        with keystile.Daemon(data) as daemon:
            ring_equals_truth(daemon)
            assert_allowed(daemon, tokens[:there])
            again = keystile.run("keys", "import", lines, "--json", data=data)
            # Those that are there already are refused, each with its line, and all the others are imported.
            assert again.code == 1
            assert again.json["imported"] == count - there
            assert again.json["refused"] == there
            ring_equals_truth(daemon)
            assert_allowed(daemon, tokens)


def start(*arguments, data):
    return subprocess.Popen([str(keystile.PROGRAM), *map(str, arguments), "--data", str(data), "--json"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=keystile.environment(POLICY))


def test_kill_of_an_import_without_a_daemon():
    """The command line itself is the writer then."""
    rng = random.Random(keystile.seed() + 2)
    with keystile.temporary_data() as data:
        keystile.init(data)
        lines = data.parent / "keys.jsonl"
        expected = {1}
        for number in range(8):
            tokens, text = import_lines(f"t{number}", 2000)
            lines.write_text(text, encoding="ascii")
            importing = start("keys", "import", lines, data=data)
            spin(rng, 0.2)
            importing.kill()
            importing.communicate(timeout=keystile.PATIENCE_S)
            keys, _ = truth.check_crashed(data)
            assert len(keys) in expected | {n + 2000 for n in expected}
            assert importing.returncode != 0 or len(keys) - 2000 in expected
            expected = {len(keys)}
            with keystile.Daemon(data) as daemon:
                ring_equals_truth(daemon)
                assert daemon.local().call("GET", "/v1/ring").json["keys"] == len(keys)
                if any(row["prefix"] == f"t{number}" for row in keys.values()):
                    assert_allowed(daemon, tokens)
        lines.write_text(import_lines("whole", 2000)[1], encoding="ascii")
        done = keystile.run("keys", "import", lines, data=data, env=POLICY)
        assert done.code == 0 and done.out == "2000 lines: 2000 imported, 0 refused\n", done


# ---- backup ----

def test_kill_during_backup():
    """Under its name there is a whole backup or none."""
    rng = random.Random(keystile.seed() + 3)
    with keystile.temporary_data() as data:
        keystile.init(data)
        lines = data.parent / "keys.jsonl"
        lines.write_text(import_lines("old", 20000)[1], encoding="ascii")
        assert keystile.run("keys", "import", lines, data=data, env=POLICY).code == 0
        whole = torn = 0
        for number in range(12):
            folder = data.parent / f"backup-{number}"
            folder.mkdir()
            with keystile.temporary_data() as other, contextlib.ExitStack() as stack:
                daemon = keystile.Daemon(data).start()
                stack.callback(daemon.kill)
                client = start("backup", folder / "b.db", data=data)
                while client.poll() is None and not os.listdir(folder):
                    pass
                spin(rng, 0.05)
                daemon.kill()
                client.communicate(timeout=keystile.PATIENCE_S)
                if client.returncode == 0:
                    assert (folder / "b.db").exists()
                if not (folder / "b.db").exists():
                    torn += 1
                    continue
                whole += 1
                # A backup is worth nothing to whoever does not have the key.
                other.mkdir(mode=0o700)
                shutil.copy2(data / "master.key", other)
                restored = keystile.run("restore", folder / "b.db", "--json", data=other)
                assert restored.code == 0, restored
                assert restored.json["keys"] == 20001
                keys, _ = truth.check_file(other / "keystile.db", at_rest=True)
                assert len(keys) == 20001
        print(f"{whole} backups were whole, {torn} not there")
        with keystile.Daemon(data) as daemon:
            ring_equals_truth(daemon)


# ---- readers in other processes ----

class Reader:
    """tests/durability/ring_reader.c: a process that decides by the ring with libkeystile."""

    def __init__(self, data):
        self.process = subprocess.Popen([str(keystile.BUILD / "tests" / "durability" / "ring_reader"), str(data / "ring")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=keystile.environment())

    def ask(self, word, token=""):
        self.process.stdin.write(f"{word} {token}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def decide(self, token):
        return self.ask("decide", token)[0]

    def spin(self, token):
        """Decides on it until the next word, which is answered after `rest`."""
        assert self.ask("spin", token) == ["spinning"]

    def rest(self):
        """How many decisions there were since, and every code that came of them."""
        count, *codes = self.ask("rest")
        return int(count), set(codes)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(keystile.PATIENCE_S) == 0
        self.process.stdout.close()


def make_key(client, name):
    answer = client.call("POST", "/v1/keys", {"name": name, "scopes": ["contacts:read"], "expires_at": None})
    assert answer.status == 201, answer
    return answer.json["id"], answer.json["token"]


def test_readers_outlive_the_daemon():
    with keystile.temporary_data() as data:
        keystile.init(data)
        daemon = keystile.Daemon(data).start()
        client = daemon.local()
        good, token = make_key(client, "good")
        bad, revoked = make_key(client, "bad")
        assert client.call("DELETE", f"/v1/keys/{bad}").status == 200
        reader, spinner = Reader(data), Reader(data)
        assert reader.decide(token) == "ok"
        assert reader.decide(revoked) == "credential_invalid"
        spinner.spin(token)
        for number in range(10):
            daemon.kill()
            # Nobody serves, and everybody who has the ring decides on.
            assert reader.decide(token) == "ok"
            assert reader.decide(revoked) == "credential_invalid"
            fresh = Reader(data)
            assert fresh.decide(token) == "ok"
            fresh.end()
            daemon = keystile.Daemon(data).start()
            client = daemon.local()
            # What is made and revoked by the next daemon is seen by the readers of the one before.
            key, other = make_key(client, f"other {number}")
            assert reader.decide(other) == "ok"
            assert client.call("DELETE", f"/v1/keys/{key}").status == 200
            assert reader.decide(other) == "credential_invalid"
            assert reader.decide(token) == "ok"
        count, codes = spinner.rest()
        assert count > 0
        assert codes == {"ok"}
        spinner.spin(token)
        assert client.call("DELETE", f"/v1/keys/{good}").status == 200
        assert spinner.rest()[1] <= {"ok", "credential_invalid"}
        spinner.spin(token)
        assert spinner.rest()[1] == {"credential_invalid"}
        reader.end()
        spinner.end()
        assert daemon.stop() == 0


def test_killed_readers_harm_nobody():
    """Readers write into the counters: one that is killed in the middle leaves nothing that stops others."""
    rng = random.Random(keystile.seed() + 4)
    with keystile.temporary_data() as data:
        keystile.init(data)
        with keystile.Daemon(data) as daemon:
            client = daemon.local()
            key, token = make_key(client, "good")
            for _ in range(20):
                reader = Reader(data)
                reader.spin(token)
                spin(rng, 0.01)
                reader.process.kill()
                reader.process.wait(keystile.PATIENCE_S)
                reader.process.stdin.close()
                reader.process.stdout.close()
            last = Reader(data)
            assert last.decide(token) == "ok"
            assert client.call("DELETE", f"/v1/keys/{key}").status == 200
            assert last.decide(token) == "credential_invalid"
            last.end()
            ring_equals_truth(daemon)
