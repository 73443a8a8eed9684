"""What the audit promises, where no other test shows it whole: docs/internals/vault-and-audit.md, whose tests are all there."""
import ast
import re
import sqlite3

import keystile
import pytest

from promises import Vault, settings

TABLE = keystile.SOURCE / "docs" / "internals" / "vault-and-audit.md"
LINE = re.compile(r"`(tests/[\w/]+\.(?:py|c|mjs))` `(\w+)`")


def test_the_log_is_appended_to_and_nothing_else(tmp_path):
    """The store itself refuses to change or remove an entry, or a node of its tree, whoever asks."""
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=settings(tmp_path)) as daemon:
            vault = Vault(daemon)
            vault.password(vault.provider(user="alice", password="s3cret"), "a")
        store = sqlite3.connect(data / "keystile.db")
        columns = [row[1] for row in store.execute("PRAGMA table_info(audit)")]
        count = store.execute("SELECT count(*) FROM audit").fetchone()
        assert count[0] > 5
        for column in columns:
            with pytest.raises(sqlite3.DatabaseError):
                store.execute(f"UPDATE audit SET {column} = {column} WHERE id = (SELECT max(id) FROM audit)")
        for statement in ("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)", "DELETE FROM audit"):
            with pytest.raises(sqlite3.DatabaseError):
                store.execute(statement)
        assert store.execute("SELECT count(*) FROM audit").fetchone() == count
        store.close()


def test_every_secret_read_and_every_change_tells_who_what_where_and_how_it_ended(tmp_path):
    """Of a provider's whole life: each step has its entry, and each entry has its actor, tenant, address and outcome."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env=settings(tmp_path)) as daemon:
        vault = Vault(daemon)
        key = vault.runtime.get("/v1/account").json["key"]["id"]
        provider = vault.provider(user="alice", password="one")
        lease = vault.reveal(provider, "call").json["lease"]["id"]
        challenge = 'Digest realm="r", nonce="n", qop="auth"'
        vault.runtime.post(f"/v1/providers/{provider}/digest", {"call_id": "call", "challenge": challenge, "method": "INVITE", "uri": "sip:r"}, expect=200)
        vault.write(provider, "password", "two")
        vault.owner.post(f"/v1/providers/{provider}/fields/password/rollback", expect=200)
        vault.owner.patch(f"/v1/providers/{provider}", {"name": "Berlin"})
        for _ in range(2):
            vault.runtime.post(f"/v1/providers/{provider}/calls", {"lease": lease, "outcome": "ok"}, expect=200)
            vault.runtime.post(f"/v1/leases/{lease}/release", expect=200)
        vault.owner.delete(f"/v1/providers/{provider}")
        entries = vault.owner.pages(f"/v1/audit?tenant={vault.organization}", 500)
    assert {(e["tenant"], e["organization"], e["outcome"]) for e in entries} == {(vault.organization, vault.organization, "ok")}
    told = [(e["action"], e["actor"], e["address"]) for e in reversed(entries) if e["object"] == provider]
    assert told == [
        ("provider.create", "local", None), ("secret.put", "local", None), ("secret.put", "local", None), ("secret.promote", "local", None),
        ("secret.reveal", key, "127.0.0.1"), ("secret.digest", key, "127.0.0.1"), ("secret.put", "local", None),
        ("secret.promote", "local", None), ("secret.rollback", "local", None), ("provider.rename", "local", None),
        ("call.report", key, "127.0.0.1"), ("lease.release", key, "127.0.0.1"), ("provider.delete", "local", None)]
    assert not any("one" == v or "two" == v for e in entries for v in e["detail"].values())


# ---- the table ----

def names_in(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    return set(re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.M))


def rows():
    return [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and not line.startswith("| sentence")]


def test_every_sentence_has_its_tests_and_they_are_there():
    assert len(rows()) >= 25
    for row in rows():
        named = LINE.findall(row)
        assert named, f"no test: {row}"
        for path, name in named:
            assert name in names_in(keystile.SOURCE / path), f"{path} has no {name}"
