"""The audit as a provable log, end to end: what is exported is judged by another implementation (support/auditlog.py)
and by `keystile audit verify`; every way to change the past in a copy is found."""
import base64
import itertools
import json
import shutil
import sqlite3
import threading
import time

import pytest

import auditlog
import keystile

NAMES = itertools.count(1)
TRIGGERS = ("audit_fixed", "audit_fixed_words", "audit_kept", "audit_tiles_fixed", "audit_tiles_kept")


class Caller:
    def __init__(self, daemon, token):
        self.daemon, self.token = daemon, token

    def call(self, method, target, body=None, expect=None, headers=None):
        client = self.daemon.client(self.token)
        try:
            answer = client.call(method, target, body, headers)
        finally:
            client.close()
        if expect:
            assert answer.status == expect, (method, target, answer.status, answer.body[:1000])
        return answer

    def get(self, target, expect=200):
        return self.call("GET", target, expect=expect)

    def make_key(self, scopes=(), **members):
        body = {"name": f"key {next(NAMES)}", "kind": "tenant", "expires_at": None, "scopes": list(scopes), **members}
        return self.call("POST", "/v1/keys", body, 201).json

    def make_tenant(self, kind, parent=None):
        body = {"kind": kind, "name": f"tenant {next(NAMES)}", **({"parent": parent} if parent else {})}
        return self.call("POST", "/v1/tenants", body, 201).json["id"]

    def as_key(self, **members):
        scopes = ["keystile:audit:read", "keystile:keys:write", "keystile:keys:read", "contacts:read"]
        return Caller(self.daemon, self.make_key(scopes=scopes, **members)["token"])

    def checkpoint(self, query=""):
        return self.get(f"/v1/audit/checkpoint?format=note{query}").body.decode()

    def export(self, query="", fmt="jsonl"):
        return self.get(f"/v1/audit/export?format={fmt}{query}").body


class World:
    def __init__(self, daemon):
        self.daemon = daemon
        self.operator = Caller(daemon, daemon.first_key)
        self.org = self.operator.make_tenant("organization")
        self.sub = self.operator.make_tenant("sub_entity", self.org)
        self.sibling = self.operator.make_tenant("sub_entity", self.org)
        self.acme = self.operator.as_key(tenant=self.org)
        for tenant in (self.org, self.sub, self.sibling) * 4:
            self.acme.make_key(tenant=tenant, scopes=["contacts:read"])
            self.operator.make_key(tenant=tenant, scopes=["contacts:read"])
        self.key = self.acme.get("/v1/audit/checkpoint").json["key"]


@pytest.fixture(scope="module")
def world():
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        yield World(daemon)


def verify_cli(tmp_path, export, kept, key=None):
    """`keystile audit verify`; (exit code, its answer)."""
    (tmp_path / "export").write_bytes(export)
    (tmp_path / "kept").write_text(kept)
    arguments = ["audit", "verify", tmp_path / "export", "--checkpoint", tmp_path / "kept", "--json"]
    ended = keystile.run(*arguments, *(["--key", key] if key else []), data=tmp_path / "nothing")
    return ended.code, json.loads(ended.out)


def assert_holds(tmp_path, export, kept, key):
    code, answer = verify_cli(tmp_path, export, kept, key)
    assert (code, answer["valid"]) == (0, True), answer
    return auditlog.verify(export, key, kept)


def assert_found(tmp_path, export, kept, key):
    code, answer = verify_cli(tmp_path, export, kept, key)
    assert (code, answer["valid"]) == (1, False), answer
    with pytest.raises((auditlog.Broken, KeyError, ValueError, IndexError)):
        auditlog.verify(export, key, kept)
    return answer["problem"]


# ---- exports ----

@pytest.mark.parametrize("fmt", ["jsonl", "csv"])
def test_a_tenant_exports_its_own_and_verifies_it(world, tmp_path, fmt):
    kept = world.acme.checkpoint()
    made = [world.acme.make_key(scopes=["contacts:read"])["id"] for _ in range(3)]
    export = world.acme.export(fmt=fmt)
    entries = assert_holds(tmp_path, export, kept, world.key)
    assert [e["object"] for e in entries][-3:] == made
    assert {e["organization"] for e in entries} == {world.org}
    listed = world.acme.get("/v1/audit?limit=500").json["items"]
    assert [e["id"] for e in entries] == [e["id"] for e in reversed(listed)]
    for entry, shown in zip(reversed(entries), listed):
        assert {k: entry[k] or None for k in shown if k != "detail"} == {k: v for k, v in shown.items() if k != "detail"}
        assert json.loads(entry["detail"]) == shown["detail"]


def test_who_is_not_the_tenants_business_is_told_by_place(world, tmp_path):
    me = world.operator.get("/v1/account").json["key"]["id"]
    export = world.acme.export()
    assert me.encode() not in export
    entries = assert_holds(tmp_path, export, world.acme.checkpoint(), world.key)
    masked = [e for e in entries if e["actor"] == "operator"]
    assert masked and all(e["commitment"] and not e["salt"] for e in masked)
    # The operator sees who it was, and the leaf is the same.
    seen = auditlog.verify(world.operator.export(f"&tenant={world.org}"), world.key)
    assert {e["leaf"] for e in masked} == {e["leaf"] for e in seen if e["actor"] == me}


def test_what_is_below_sees_nothing_of_its_siblings(world, tmp_path):
    clinic = world.acme.as_key(tenant=world.sub)
    for fmt in ("jsonl", "csv"):
        export = clinic.export(fmt=fmt)
        assert world.sibling.encode() not in export
        entries = assert_holds(tmp_path, export, clinic.checkpoint(), world.key)
        assert {e["tenant"] for e in entries} == {world.sub} and len(entries) > 8
    for target in ("export?format=jsonl&", "checkpoint?", "proof?from_size=0&"):
        assert clinic.get(f"/v1/audit/{target}tenant={world.sibling}", 403).code == "tenant_forbidden"
    other = world.acme.get(f"/v1/audit?tenant={world.sibling}&limit=1").json["items"][0]["id"]
    assert clinic.get(f"/v1/audit/proof?entry={other}", 404).code == "not_found"


def test_another_organization_gets_nothing(world):
    stranger = world.operator.as_key(tenant=world.operator.make_tenant("organization"))
    assert world.org.encode() not in stranger.export()
    for target in ("export?format=jsonl&", "checkpoint?", "proof?from_size=0&"):
        assert stranger.get(f"/v1/audit/{target}tenant={world.org}", 403).code == "tenant_forbidden"
    entry = world.acme.get("/v1/audit?limit=1").json["items"][0]["id"]
    assert stranger.get(f"/v1/audit/proof?entry={entry}", 404).code == "not_found"


def test_partners_and_the_operator_have_logs_of_their_own(world, tmp_path):
    partner = world.operator.make_tenant("partner")
    reseller = world.operator.as_key(tenant=partner, kind="partner")
    entries = assert_holds(tmp_path, reseller.export(), reseller.checkpoint(), world.key)
    assert {e["tenant"] for e in entries} == {partner} and entries[0]["action"] == "tenant.create"
    own = assert_holds(tmp_path, world.operator.export(), world.operator.checkpoint(), world.key)
    assert own and not {e["tenant"] for e in own} & {partner, world.org}
    assert world.operator.checkpoint().startswith(world.operator.checkpoint().split("/")[0] + "/operator\n")


def test_filters_leave_out_what_the_nodes_still_prove(world, tmp_path):
    kept = world.acme.checkpoint()
    size = auditlog.checkpoint(kept)[1]
    marked = world.acme.as_key()
    me = marked.get("/v1/account").json["key"]["id"]
    for _ in range(3):
        marked.make_key(scopes=["contacts:read"])
    everything = auditlog.verify(world.acme.export(), world.key)
    middle = everything[size // 2]["at"]
    for query, holds in ((f"&actor={me}", lambda e: e["actor"] == me),
                         ("&action=tenant.create", lambda e: e["action"] == "tenant.create"),
                         (f"&tenant={world.sub}", lambda e: e["tenant"] == world.sub),
                         (f"&from={middle}", lambda e: e["at"] >= middle),
                         (f"&to={middle}", lambda e: e["at"] < middle),
                         ("&address=127.0.0.1", lambda e: e["address"] == "127.0.0.1"),
                         ("&address=192.0.2.9", lambda e: False),
                         ("&outcome=ok", lambda e: True),
                         ("&outcome=denied", lambda e: False)):
        entries = assert_holds(tmp_path, world.acme.export(f"{query}&checkpoint_size={size}"), kept, world.key)
        assert [e["id"] for e in entries] == [e["id"] for e in everything if holds(e)], query
    # Where the checkpoint's end is left out, it says how to ask.
    code, answer = verify_cli(tmp_path, world.acme.export("&outcome=denied"), kept, world.key)
    assert code == 1 and f"--checkpoint-size {size}" in answer["problem"]


def test_the_list_takes_the_same_filters(world):
    assert world.acme.get("/v1/audit?address=127.0.0.1&limit=500").json == world.acme.get("/v1/audit?limit=500").json
    assert world.acme.get("/v1/audit?address=192.0.2.9").json["items"] == []
    assert world.acme.get("/v1/audit?outcome=denied").json["items"] == []
    assert world.acme.get("/v1/audit?outcome=ok&limit=500").json == world.acme.get("/v1/audit?limit=500").json


def test_what_is_asked_wrongly_is_refused(world):
    for target in ("export", "export?format=xml", "export?format=csv&actor=" + "a" * 100, "export?format=csv&from=yesterday",
                   "export?format=csv&checkpoint_size=-1", "export?format=csv&limit=5", "checkpoint?size=x",
                   "checkpoint?size=99999999", "checkpoint?format=pdf", "proof", "proof?entry=key_0123456789abc",
                   "proof?from_size=9&to_size=3", "proof?from_size=99999999", "proof?to_size=1", "proof?entry=x&from_size=1"):
        answer = world.acme.get(f"/v1/audit/{target}", None)
        assert answer.status in (400, 404, 422), (target, answer.status, answer.body)
    assert world.operator.as_key(tenant=world.org).call("POST", "/v1/audit/check").status in (403, 404)
    assert Caller(world.daemon, world.operator.make_key(scopes=["contacts:read"])["token"]).get(
        "/v1/audit/export?format=jsonl", 403).code == "scope_missing"


# ---- proofs ----

def test_proofs_hold(world):
    entry = world.acme.get("/v1/audit?limit=1").json["items"][0]["id"]
    for size in (None, "last"):
        proof = world.acme.get(f"/v1/audit/proof?entry={entry}" + (f"&size={size_of}" if size else "")).json
        size_of = proof["size"]
        origin, size_signed, root = auditlog.checkpoint(auditlog.open_note(proof["checkpoint"], world.key))
        assert (origin, size_signed) == (proof["origin"], proof["size"])
        shown = {k: "" if v is None else v if isinstance(v, str) else json.dumps(v, separators=(",", ":"), ensure_ascii=False)
                 for k, v in proof["entry"].items()}
        leaf = auditlog.leaf(shown)
        assert base64.b64decode(proof["entry"]["leaf"]) == leaf
        hashes = [base64.b64decode(h) for h in proof["proof"]]
        assert auditlog.check_inclusion(leaf, proof["index"], proof["size"], hashes, root)
    assert world.acme.get(f"/v1/audit/proof?entry={entry}&size={proof['index']}", 400)
    later = world.acme.get("/v1/audit/proof?from_size=3").json
    assert later["from_size"] == 3 and auditlog.open_note(later["checkpoint"], world.key)
    assert world.acme.get("/v1/audit/proof?from_size=0&to_size=0").json["proof"] == []


def test_a_checkpoint_of_an_earlier_size_is_the_same_again(world):
    kept = world.acme.checkpoint()
    world.acme.make_key(scopes=["contacts:read"])
    assert world.acme.checkpoint(f"&size={auditlog.checkpoint(kept)[1]}") == kept
    assert world.acme.checkpoint() != kept


# ---- files that were changed ----

def lines(change):
    def apply(export):
        all_lines = export.decode().splitlines(keepends=True)
        return "".join(change(all_lines)).encode()
    return apply


def swap(all_lines):
    return all_lines[:5] + [all_lines[6], all_lines[5]] + all_lines[7:]


CHANGES = {
    "altered": lines(lambda l: [x.replace("key.create", "key.revoke") if i == 6 else x for i, x in enumerate(l)]),
    "altered detail": lines(lambda l: [x.replace("tenant", "tenanf", 1) if i == 6 else x for i, x in enumerate(l)]),
    "dropped": lines(lambda l: l[:6] + l[7:]),
    "first dropped": lines(lambda l: [x for x in l if '"index":0' not in x and not x.startswith("entry,0,")]),
    "moved": lines(swap),
    "inserted": lines(lambda l: l[:6] + [l[6]] + l[6:]),
    "cut off": lambda export: export[:len(export) // 2],
    "without its end": lines(lambda l: [x for x in l if "checkpoint" not in x and not x.startswith(("—", "keystile-", "\n"))]),
    "more behind it": lambda export: export + export.splitlines(keepends=True)[-1] if export.startswith(b"{") else export + b"x\n",
    "empty": lambda export: b"",
    "garbage": lambda export: b"\x00\xff" * 1000,
    "a long line": lambda export: b"{" + b" " * 70000 + b"}\n",
}


@pytest.mark.parametrize("fmt", ["jsonl", "csv"])
@pytest.mark.parametrize("what", sorted(CHANGES))
def test_a_changed_file_is_found(world, tmp_path, fmt, what):
    kept, export = world.acme.checkpoint(), world.acme.export(fmt=fmt)
    changed = CHANGES[what](export)
    assert changed != export
    assert_found(tmp_path, changed, kept, world.key)


def test_other_keys_and_checkpoints_are_refused(world, tmp_path):
    export, kept = world.acme.export(), world.acme.checkpoint()
    name, key_id, public = world.key.split("+", 2)
    assert verify_cli(tmp_path, export, kept, f"{name}+{key_id}+{public[:-8]}AAAAAAA=")[0] == 1
    assert verify_cli(tmp_path, export, kept.replace("\n", "\n1", 1), world.key)[0] == 1
    assert verify_cli(tmp_path, export, world.operator.checkpoint(), world.key)[0] == 1
    assert verify_cli(tmp_path, export, "no note\n", world.key)[0] == 1
    # Without a key the roots alone are compared, and it says so.
    assert verify_cli(tmp_path, export, kept)[1]["signatures_checked"] is False


# ---- stores that were changed ----

def recompute(db, tree):
    """What somebody would do who knows how it is made: leaves and tiles anew from the rows as they are now."""
    rows = db.execute("SELECT id, at, actor, place, on_behalf, action, object, tenant, organization, outcome, address,"
                      " request_id, detail, salt FROM audit WHERE tree = ? ORDER BY id", (tree,)).fetchall()
    for position, row in enumerate(rows):
        entry = dict(zip(("id", "at", "actor", "place", "on_behalf", "action", "object", "tenant", "organization", "outcome",
                          "address", "request_id", "detail", "salt"), row))
        stamp = time.gmtime(entry["at"] // 1000)
        shown = {**entry, "at": time.strftime("%Y-%m-%dT%H:%M:%S", stamp) + f".{entry['at'] % 1000:03}Z",
                 "id": "aud_" + crockford(entry["id"]), "salt": base64.b64encode(entry["salt"]).decode(),
                 "tenant": "xxx_" + crockford(entry["tenant"]), "organization": "xxx_" + crockford(entry["organization"])}
        db.execute("UPDATE audit SET position = ?, leaf = ? WHERE id = ?", (position, auditlog.leaf(shown), entry["id"]))


def crockford(number):
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    return "".join(digits[number >> 5 * i & 31] for i in reversed(range(13)))


TAMPERS = {
    "altered": "UPDATE audit SET actor = 'local' WHERE id = :five",
    "altered detail": "UPDATE audit SET detail = '{}' WHERE id = :five",
    "dropped": "DELETE FROM audit WHERE id = :five",
    "last dropped": "DELETE FROM audit WHERE id = :last",
    "moved": "UPDATE audit SET id = CASE id WHEN :five THEN -1 ELSE :five END WHERE id IN (:five, :six);"
             "UPDATE audit SET id = :six WHERE id = -1",
    "inserted": "INSERT INTO audit SELECT :five + 1, at, organization, tenant, actor, on_behalf, 'key.delete', object, outcome,"
                " address, request_id, detail, tree, position, place, salt, leaf FROM audit WHERE id = :five",
}


@pytest.mark.parametrize("deep", [False, True], ids=["plain", "recomputed"])
@pytest.mark.parametrize("what", sorted(TAMPERS))
def test_a_changed_store_is_found(tampered, tmp_path, what, deep):
    """In a copy of the store one row is changed, once as it is, once with all leaves computed anew and signed anew."""
    data, org, kept, key = tampered
    with keystile.temporary_data() as copy:
        shutil.copytree(data, copy, ignore=shutil.ignore_patterns("ring*", "*.sock", "*.lock"), symlinks=True)
        db = sqlite3.connect(copy / "keystile.db", isolation_level=None)
        for trigger in TRIGGERS:
            db.execute(f"DROP TRIGGER {trigger}")
        tree, = db.execute("SELECT tree FROM audit WHERE tree > 0 LIMIT 1").fetchone()
        ids = [i for i, in db.execute("SELECT id FROM audit WHERE tree = ? ORDER BY id", (tree,))]
        db.execute("PRAGMA ignore_check_constraints = ON")
        for statement in TAMPERS[what].split(";"):
            names = {"five": ids[5], "six": ids[6], "last": ids[-1]}
            db.execute(statement, {k: v for k, v in names.items() if f":{k}" in statement})
        if deep:
            recompute(db, tree)
        db.close()
        exported = keystile.run("audit", "export", "--tenant", org, data=copy)
        if (what, deep) == ("dropped", False):
            # The tree cannot even be put together.
            assert exported.code == 1 and "broke off" in exported.err
        else:
            assert exported.code == 0, exported.err
            assert assert_found(tmp_path, exported.out.encode(), kept, key)
        # The store by itself shows neither what was computed anew nor that it once was longer: a checkpoint does.
        equal = json.loads(keystile.run("audit", "check", "--json", data=copy).out)["equal"]
        assert equal is (deep or what == "last dropped")


@pytest.fixture(scope="module")
def tampered():
    with keystile.temporary_data() as data:
        with keystile.Daemon(data) as daemon:
            world = World(daemon)
            kept, key = world.acme.checkpoint(), world.key
        exported = keystile.run("audit", "export", "--tenant", world.org, data=data)
        auditlog.verify(exported.out.encode(), key, kept)
        yield data, world.org, kept, key


# ---- on schedule, and through kill -9 ----

def test_checkpoints_are_signed_on_schedule():
    with keystile.temporary_data() as data, \
            keystile.Daemon(data, env={"KEYSTILE_AUDIT_CHECKPOINT_INTERVAL": "1", "KEYSTILE_USAGE_FLUSH_MS": "100"}) as daemon:
        world = World(daemon)
        deadline = time.monotonic() + keystile.PATIENCE_S
        events = []
        while not events and time.monotonic() < deadline:
            answer = world.operator.get(f"/v1/events?type=audit.checkpoint&tenant={world.org}")
            events = answer.json["items"]
        size = auditlog.checkpoint(auditlog.open_note(events[0]["data"]["checkpoint"], world.key))[1]
        assert size == events[0]["data"]["size"] > 0
        assert auditlog.verify(world.acme.export(), world.key, events[0]["data"]["checkpoint"])


def hammer(daemon, token, tenants, stop):
    client = daemon.client(token)
    try:
        for tenant in itertools.cycle(tenants):
            body = {"name": "k", "kind": "tenant", "tenant": tenant, "expires_at": None, "scopes": ["contacts:read"]}
            client.call("POST", "/v1/keys", body)
            if stop.is_set():
                return
    except Exception:
        return
    finally:
        client.close()


def test_trees_are_those_of_their_entries_after_every_kill(tmp_path):
    with keystile.temporary_data() as data:
        kept = []
        for round_ in range(5):
            daemon = keystile.Daemon(data).start()
            if round_ == 0:
                world = World(daemon)
            world.daemon = world.operator.daemon = world.acme.daemon = daemon
            before = world.acme.checkpoint()
            # What earlier processes signed still holds.
            for old in kept:
                auditlog.verify(world.acme.export(), world.key, old)
            kept.append(before)
            stop = threading.Event()
            threads = [threading.Thread(target=hammer, args=(daemon, world.operator.token, [world.org, world.sub], stop))
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            while auditlog.checkpoint(world.acme.checkpoint())[1] < auditlog.checkpoint(before)[1] + 150:
                pass
            daemon.kill()
            stop.set()
            for thread in threads:
                thread.join()
            report = json.loads(keystile.run("audit", "check", "--json", data=data).out)
            assert report["equal"], report
        exported = keystile.run("audit", "export", "--tenant", world.org, "--format", "csv", data=data)
        assert_holds(tmp_path, exported.out.encode(), kept[0], world.key)


# ---- streams ----

def test_a_reader_that_leaves_or_waits_does_no_harm(world, tmp_path):
    kept = world.acme.checkpoint()
    for _ in range(3):
        client = world.daemon.client(world.acme.token)
        client.connection.request("GET", "/v1/audit/export?format=jsonl", headers={"Authorization": f"Bearer {world.acme.token}"})
        response = client.connection.getresponse()
        assert response.status in (200, 503)
        response.read(100)
        client.close()
    deadline = time.monotonic() + keystile.PATIENCE_S
    while (answer := world.acme.call("GET", "/v1/audit/export?format=jsonl")).status == 503:
        assert time.monotonic() < deadline, answer.body
    assert_holds(tmp_path, answer.body, kept, world.key)
    assert "Content-Length" not in answer.headers and answer.headers["Transfer-Encoding"] == "chunked"
    head = world.acme.call("HEAD", "/v1/audit/export?format=csv")
    assert head.status in (200, 503) and head.body == b""


def test_the_command_line_exports_into_a_new_file(world, tmp_path):
    target = tmp_path / "audit.jsonl"
    kept = world.operator.checkpoint(f"&tenant={world.org}")
    ended = keystile.run("audit", "export", target, "--tenant", world.org, data=world.daemon.data)
    assert (ended.code, ended.out) == (0, ""), ended
    assert_holds(tmp_path, target.read_bytes(), kept, world.key)
    again = keystile.run("audit", "export", target, "--tenant", world.org, data=world.daemon.data)
    assert again.code == 1 and "no such file yet" in again.err
    nothing = keystile.run("audit", "export", tmp_path / "other", "--tenant", "org_0123456789abc", data=world.daemon.data)
    assert nothing.code == 1 and not (tmp_path / "other").exists()
    assert keystile.run("audit", "key", data=world.daemon.data).out.strip() == world.key
    proof = json.loads(keystile.run("audit", "proof", "--tenant", world.org, "--from-size", "2", data=world.daemon.data).out)
    assert proof["from_size"] == 2
    entry = auditlog.verify(target.read_bytes(), world.key)[3]["id"]
    assert json.loads(keystile.run("audit", "proof", entry, data=world.daemon.data).out)["index"] == 3
    assert entry in keystile.run("audit", "list", "--tenant", world.org, "--limit", "500", data=world.daemon.data).out
