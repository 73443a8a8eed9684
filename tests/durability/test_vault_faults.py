"""The vault, each step of it under each fault: no value that was acknowledged is lost, none is there half, a link is used once or not
at all, and no value leaves without its audit entry.

The world lives on a small disk of its own, with a key file, and with its values in the store or in AWS Secrets Manager. A cell
of the table does one step while one fault is there; then the fault is taken away, and the world is looked at."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time

import pytest

import keystile
import test_disk_full

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "vault"))
import references as r  # noqa: E402

MIB = 1 << 20
PAIR = """version: 1
name: pair
label: Pair
about: A user and a password, with nothing to probe.
fields:
  user: {label: User, type: text, example: alice}
  password: {label: Password, type: secret}
"""
CHALLENGE = 'Digest realm="x", nonce="n1", algorithm=MD5, qop="auth"'
TOLD = (OSError, http.client.HTTPException, json.JSONDecodeError)
UNKNOWN = 0  # no answer came


class World:
    """One provider, what was acknowledged of it, and what may have happened besides."""

    def __init__(self, data, env, fakes, place):
        self.data, self.env, self.fakes, self.place = data, env, fakes, place
        self.chance = random.Random(31)
        self.count = 0
        self.calls = {}            # call: the password that it was given
        self.answered = set()      # calls whose digest was given
        self.tried = set()         # faults that every step was done under
        self.felt = set()          # faults that a step failed under
        self.daemon = keystile.Daemon(data, env=env).start()
        self.organization = self.do("POST", "/v1/tenants", {"kind": "organization", "name": "Acme"}, 201)["id"]
        body = {"kind": "runtime", "name": "calls", "scopes": ["keystile:secrets:reveal"], "expires_at": None}
        self.token = self.do("POST", "/v1/keys", body, 201)["token"]
        self.provider = self.make("first")
        self.may = {"first"}       # what the password may be by now

    def make(self, password):
        made = self.do("POST", "/v1/providers", {"tenant": self.organization, "platform": "pair", "name": "p"}, 201)["id"]
        for field, value in (("user", "alice"), ("password", password)):
            self.do("PUT", f"/v1/providers/{made}/fields/{field}", {"value": value})
        return made

    def next(self):
        self.count += 1
        return self.count

    def do(self, method, target, body=None, expect=200):
        answer = self.daemon.local().call(method, target, body)
        assert answer.status == expect, answer.body
        return answer.json

    def ask(self, method, target, body=None, headers=None, token=None):
        """(status, answer); UNKNOWN where none came."""
        client = self.daemon.client(token) if token or target.startswith("/intake") else self.daemon.local()
        with contextlib.suppress(*TOLD):
            answer = client.call(method, target, body, headers)
            return answer.status, answer
        return UNKNOWN, None

    def start(self):
        self.daemon = keystile.Daemon(self.data, env=self.env).start()

    def items(self, target):
        cursor, items = None, []
        while True:
            page = self.do("GET", f"{target}limit=500" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next"]
            if not cursor:
                return items


# ---- steps: each returns what is to be looked at afterwards ----

def write(w):
    value = f"written {w.next()}"
    w.may.add(value)
    status, _ = w.ask("PUT", f"/v1/providers/{w.provider}/fields/password", {"value": value})
    if status == 200:
        w.may = {value}
    elif status != UNKNOWN:
        w.may.discard(value)
    return status


def rollback(w):
    """Back to what was before, which is whatever the store says it is."""
    status, _ = w.ask("POST", f"/v1/providers/{w.provider}/fields/password/rollback")
    if status in (200, UNKNOWN):
        w.may = None               # look it up, and hold it to that from now on
    assert status in (UNKNOWN, 200, 503, 507), status
    return status


def reveal(w):
    call = f"reveal-{w.next()}"
    status, answer = w.ask("POST", f"/v1/providers/{w.provider}/reveal", {"call_id": call}, token=w.token)
    if status == 200:
        w.calls[call] = answer.json["fields"]["password"]
        assert w.may is None or w.calls[call] in w.may, (w.calls[call], w.may)
    return status


def digest(w):
    call = f"digest-{w.next()}"
    body = {"call_id": call, "challenge": CHALLENGE, "method": "REGISTER", "uri": "sip:x"}
    status, answer = w.ask("POST", f"/v1/providers/{w.provider}/digest", body, token=w.token)
    if status == 200:
        assert answer.json["authorization"].startswith("Digest ")
        w.answered.add(call)
    return status


def rewrap(w):
    return w.ask("POST", "/v1/vault/rewrap", {"rotate": True})[0]


def intake(w):
    value = f"entered {w.count}"
    w.may.add(value)
    status, answer = w.ask("POST", w.link["path"], f"value={value.replace(' ', '+')}", {"Content-Type": "application/x-www-form-urlencoded"})
    w.entered = (value, status)
    if status == 200:
        assert b"is in the vault" in answer.body
        w.may = {value}
    return status


def erase(w):
    status, _ = w.ask("POST", f"/v1/tenants/{w.doomed['organization']}/erase-secrets")
    w.doomed["status"] = status
    return status


STEPS = {"write": write, "rollback": rollback, "reveal": reveal, "digest": digest, "rewrap": rewrap, "intake": intake, "erase": erase}


def prepare(w, step):
    """What the step needs and the fault shall not hinder."""
    w.next()
    if step == "intake":
        made = w.do("POST", f"/v1/providers/{w.provider}/fields/password/links", {"expires_in_s": 3600}, 201)
        w.link = {"id": made["id"], "path": "/" + made["url"].split("/", 3)[3]}
    if step == "rollback":
        write(w)
    if step == "erase":
        mine = w.organization
        w.organization = w.do("POST", "/v1/tenants", {"kind": "organization", "name": "Doomed"}, 201)["id"]
        w.doomed = {"organization": w.organization, "provider": w.make("doomed")}
        w.organization = mine


# ---- faults ----

@contextlib.contextmanager
def killed(w, _):
    timer = threading.Timer(w.chance.random() * 0.008, w.daemon.process.kill)
    timer.start()
    yield
    timer.join()
    w.daemon.wait_exit()
    w.start()


def keeper_of(daemon):
    for task in os.listdir(f"/proc/{daemon.process.pid}/task"):
        for pid in pathlib.Path(f"/proc/{daemon.process.pid}/task/{task}/children").read_text("ascii").split():
            if pathlib.Path(f"/proc/{pid}/comm").read_text("ascii").startswith("keystile-keepe"):
                return int(pid)
    return None


@contextlib.contextmanager
def keeper_killed(w, _):
    def kill():
        with contextlib.suppress(OSError, TypeError):
            os.kill(keeper_of(w.daemon), signal.SIGKILL)
    kill()
    timer = threading.Timer(w.chance.random() * 0.01, kill)
    timer.start()
    yield
    timer.join()


@contextlib.contextmanager
def full_disk(w, disk):
    try:
        disk.fill()
        yield
    finally:
        disk.free()


@contextlib.contextmanager
def full_and_killed(w, disk):
    timer = threading.Timer(w.chance.random() * 0.008, w.daemon.process.kill)
    try:
        disk.fill()
        timer.start()
        yield
        timer.join()
        w.daemon.wait_exit()
    finally:
        disk.free()
    w.start()


def store(kind, **more):
    @contextlib.contextmanager
    def fault(w, _):
        w.fakes.fault("aws", kind, **more)
        try:
            yield
        finally:
            w.fakes.fault("aws")
    return fault


@contextlib.contextmanager
def killed_while_it_hangs(w, disk):
    with store("never")(w, disk), killed(w, disk):
        yield


FAULTS = {"killed": killed, "keeper killed": keeper_killed, "full disk": full_disk, "full and killed": full_and_killed}
STORE_FAULTS = {"late": store("slow", ms=50), "never": store("never"), "partly": store("partial"), "wrongly": store("body", body="{}"),
                "another page": store("page", status=200), "fails": store("fail"), "throttles": store("throttle"), "hangs up": store("close"),
                "hangs, killed": killed_while_it_hangs}


# ---- looking ----

def current(w):
    """What calls get now that nothing is wrong."""
    end = time.monotonic() + keystile.PATIENCE_S
    while True:
        call = f"look-{w.next()}"
        status, answer = w.ask("POST", f"/v1/providers/{w.provider}/reveal", {"call_id": call}, token=w.token)
        if status == 200:
            w.calls[call] = answer.json["fields"]["password"]
            return w.calls[call]
        # The keeper is being started again, the disk was full just now, or the store's answers were late.
        assert time.monotonic() < end and status in (UNKNOWN, 503, 507), (status, answer and answer.body)
        time.sleep(0.01)


def look_at_the_link(w):
    value, status = w.entered
    record = w.do("GET", f"/v1/links/{w.link['id']}")
    versions = [v for v in w.items(f"/v1/providers/{w.provider}/fields/password?") if v["via"] == "link"]
    used = record["status"] == "used"
    assert used == (record["version"] in {v["version"] for v in versions}), record
    assert record["status"] in ("used", "open") and (used or status != 200)
    if status not in (200, UNKNOWN, 503):
        assert not used
    w.may = {value} if used else w.may - {value}
    # Whatever became of it: it takes one value more where it took none, and none where it took one.
    again, _ = w.ask("POST", w.link["path"], "value=again", {"Content-Type": "application/x-www-form-urlencoded"})
    assert again == (410 if used else 200)
    if not used:
        w.may = {"again"}


def look_at_the_doomed(w):
    status, answer = w.ask("POST", f"/v1/providers/{w.doomed['provider']}/reveal", {"call_id": f"d{w.next()}"}, token=w.token)
    if w.doomed["status"] == 200:
        assert (status, answer.code) == (409, "fields_missing"), answer.body
    else:
        assert status == 409 or (status == 200 and answer.json["fields"]["password"] == "doomed"), answer.body


def look(w, step):
    found = current(w)
    if step == "intake":
        look_at_the_link(w)
        found = current(w)
    if step == "erase":
        look_at_the_doomed(w)
    assert w.may is None or found in w.may, (found, w.may)
    w.may = {found}
    for action, calls in (("secret.reveal", set(w.calls)), ("secret.digest", w.answered)):
        audited = {e["detail"]["call_id"] for e in w.items(f"/v1/audit?action={action}&") if e["outcome"] == "ok"}
        assert calls <= audited, calls - audited
    # Neither of two values that are current, nor none.
    versions = w.items(f"/v1/providers/{w.provider}/fields/password?")
    assert [v["stage"] for v in versions].count("current") == 1


# ---- the table ----

@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    made = r.Fakes(tmp_path_factory.mktemp("fakes"))
    yield made
    made.stop()


@pytest.fixture(scope="module", params=["store", "aws"])
def setting(request, fakes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    (folder / "pair.yaml").write_text(PAIR)
    r.fill(fakes)
    identities = r.write_identities(tmp_path_factory.mktemp("identities"), fakes)
    env = {"KEYSTILE_REFERENCES_IDENTITIES": identities, "KEYSTILE_FETCH_ALLOW": "127.0.0.1", "KEYSTILE_PLATFORMS_OWN": folder,
           "KEYSTILE_VAULT_DIRECT_WRITE": "true", "KEYSTILE_REFERENCES_TIMEOUT_MS": "400", "KEYSTILE_HEALTH_INTERVAL_S": "0",
           "KEYSTILE_VAULT_HELD_STORE": request.param, "KEYSTILE_VAULT_HELD_IDENTITY": "held", "KEYSTILE_VAULT_HELD_REGION": "eu-central-1"}
    with keystile.temporary_data() as data, test_disk_full.SmallDisk(data, 64 * MIB) as disk:
        keystile.init(data)
        world = World(data, env, fakes, request.param)
        yield world, disk
        assert world.daemon.stop() == 0
        # The faults are some: each was felt, but for answers that are late and kills, which come when they come.
        wanted = {"full disk"} | (set(STORE_FAULTS) - {"late", "hangs, killed"} if request.param == "aws" else set())
        assert wanted & world.tried <= world.felt, wanted & world.tried - world.felt


CELLS = [(step, fault) for step in STEPS for fault in (*FAULTS, *STORE_FAULTS)]


@pytest.mark.parametrize("step,fault", CELLS, ids=[f"{step}-{fault}" for step, fault in CELLS])
def test_each_step_under_each_fault(setting, step, fault):
    world, disk = setting
    if fault in STORE_FAULTS and world.place == "store":
        # Nothing of it is asked of any store: it must be as if there were none.
        prepare(world, step)
        with STORE_FAULTS[fault](world, disk):
            status = STEPS[step](world)
        assert status == 200 or fault == "hangs, killed"
    else:
        prepare(world, step)
        with {**FAULTS, **STORE_FAULTS}[fault](world, disk):
            status = STEPS[step](world)
        world.felt |= {fault} if status != 200 else set()
        world.tried |= {fault} if step == list(STEPS)[-1] else set()
    look(world, step)
