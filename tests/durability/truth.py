"""The SQLite file as a stranger reads it: is anything in it half made?"""
import json
import pathlib
import shutil
import sqlite3
import tempfile

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def id_text(prefix, number):
    digits = []
    for _ in range(13):
        digits.append(DIGITS[number & 31])
        number >>= 5
    return f"{prefix}_{''.join(reversed(digits))}"


def number_of(text):
    number = 0
    for digit in text[4:]:
        number = number << 5 | DIGITS.index(digit)
    return number


TENANT_PREFIX = ["opr", "prt", "org", "sub", "prj", "per"]


def rows(db, text):
    cursor = db.execute(text)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]


def copy_of(data, to):
    """The store's files as a crash left them."""
    for name in ("keystile.db", "keystile.db-wal"):
        source = pathlib.Path(data) / name
        if source.exists():
            shutil.copy(source, pathlib.Path(to) / name)
    return pathlib.Path(to) / "keystile.db"


def check_crashed(data):
    """Integrity and halves of the files of a daemon that was just killed, on a copy: opening them would recover them."""
    with tempfile.TemporaryDirectory(prefix="keystile-test-") as place:
        db = sqlite3.connect(copy_of(data, place))
        try:
            return check(db)
        finally:
            db.close()


def check_file(path, at_rest=False):
    """`at_rest`: nobody has it open, and nothing is made beside it."""
    db = sqlite3.connect(f"file:{path}?mode=ro&immutable={int(at_rest)}", uri=True)
    try:
        return check(db)
    finally:
        db.close()


def check(db):
    """Asserts that every row has its audit entry and every audit entry its row; returns the keys and tenants by id."""
    # One snapshot, for a daemon may be writing.
    db.execute("BEGIN")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    keys = {id_text("key", r["id"]): r for r in rows(db, "SELECT * FROM keys")}
    tenants = {id_text(TENANT_PREFIX[r["kind"]], r["id"]): r for r in rows(db, "SELECT * FROM tenants")}
    users = rows(db, "SELECT id FROM users")
    audit = rows(db, "SELECT id, action, object, detail FROM audit ORDER BY id")
    counts = rows(db, "SELECT * FROM truth")[0]
    db.execute("ROLLBACK")
    assert counts["key_count"] == len(keys)
    assert counts["tenant_count"] == sum(t["deleted_at"] is None for t in tenants.values()) or counts["tenant_count"] == len(tenants)
    assert counts["user_count"] == len(users)
    check_keys(keys, audit)
    check_tenants(tenants, audit)
    return keys, tenants


def entries(audit, action):
    return [(e["object"], json.loads(e["detail"]) if e["detail"] else {}) for e in audit if e["action"] == action]


def check_keys(keys, audit):
    made = [key for key, _ in entries(audit, "key.create")]
    assert len(made) == len(set(made))
    assert set(made) == {key for key, row in keys.items() if not row["imported"]}
    check_imports(keys, audit)

    names = {key: detail["name"] for key, detail in entries(audit, "key.create")}
    for key, detail in entries(audit, "key.rename"):
        assert detail["was"] == names[key]
        names[key] = detail["name"]
    assert names == {key: row["name"] for key, row in keys.items() if key in names}

    rotations = entries(audit, "key.rotate")
    successors = {key: detail["rotated_to"] for key, detail in rotations}
    assert len(successors) == len(rotations)
    assert successors == {key: id_text("key", row["rotated_to"]) for key, row in keys.items() if row["rotated_to"]}
    assert {new: old for old, new in successors.items()} == {
        key: id_text("key", row["rotated_from"]) for key, row in keys.items() if row["rotated_from"]}
    assert set(successors) == {key for key, row in keys.items() if row["retires_at"] is not None}

    revoked = [key for key, _ in entries(audit, "key.revoke")]
    assert len(revoked) == len(set(revoked))
    assert {*revoked, *(key for key, detail in rotations if detail["overlap_s"] == 0)} == {
        key for key, row in keys.items() if row["revoked_at"] is not None}


def check_imports(keys, audit):
    imported = sorted(row["id"] for row in keys.values() if row["imported"])
    at = 0
    for _, detail in entries(audit, "key.import"):
        first, last = number_of(detail["first"]), number_of(detail["last"])
        batch = imported[at:at + detail["keys"]]
        assert len(batch) == detail["keys"]
        assert batch[0] == first and batch[-1] == last
        at += detail["keys"]
    assert at == len(imported), "imported keys without an audit entry"


def check_tenants(tenants, audit):
    made = [tenant for tenant, _ in entries(audit, "tenant.create")]
    assert len(made) == len(set(made))
    assert set(made) == {t for t, row in tenants.items() if row["user_id"] is None}
    names = {tenant: detail["name"] for tenant, detail in entries(audit, "tenant.create")}
    state = {}
    for entry in audit:
        if entry["action"] == "tenant.rename":
            names[entry["object"]] = json.loads(entry["detail"])["name"]
        if entry["action"] in ("tenant.suspend", "tenant.resume"):
            assert state.get(entry["object"], "tenant.resume") != entry["action"], "twice in a row"
            state[entry["object"]] = entry["action"]
    for tenant, name in names.items():
        assert tenants[tenant]["name"] == name
        assert (state.get(tenant) == "tenant.suspend") == (tenants[tenant]["suspended_at"] is not None)
