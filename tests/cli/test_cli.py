#!/usr/bin/python3
"""The command line: each command where it works and where it fails, with a service and without one; JSON, exit codes, help."""
import contextlib
import hashlib
import itertools
import json
import os
import pty
import re
import select
import subprocess

import pytest

import keystile

POLICY = {"KEYSTILE_POLICY": keystile.DEMO_POLICY}
TOKEN = re.compile(r"ks(_sandbox)?_[0-9a-f]{32}\Z")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
NOWHERE = "key_0000000000001"
NUMBERS = itertools.count(1)


class Line:
    """The program on one data directory."""

    def __init__(self, data, env, daemon=None):
        self.data, self.env, self.daemon = data, env, daemon

    def run(self, *arguments, expect=0, input=None, env=None):
        done = keystile.run(*arguments, data=self.data, env={**self.env, **(env or {})}, input=input)
        assert done.code == expect, (arguments, done)
        if expect in (1, 2) and not done.out:
            assert done.err, "a failure says why"
        return done

    def json(self, *arguments, **more):
        return self.run(*arguments, "--json", **more).json

    def problem(self, *arguments, expect=1, **more):
        """The problem that a refusal prints on standard error; nothing is on standard output."""
        done = self.run(*arguments, "--json", expect=expect, **more)
        assert done.out == ""
        return done.problem

    def make(self, name, *arguments):
        return self.json("keys", "create", "--name", name, "--scope", "contacts:read", *arguments)

    def tenant(self, name, *arguments):
        return self.json("tenants", "create", "--kind", "organization", "--name", name, *arguments)


@pytest.fixture(scope="module", params=["service", "store"])
def line(request):
    """Every test with it runs through a service, and on the store itself."""
    with keystile.temporary_data() as data:
        keystile.init(data)
        if request.param == "store":
            yield Line(data, POLICY)
        else:
            with keystile.Daemon(data) as daemon:
                yield Line(data, {}, daemon)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """For what needs no store."""
    return Line(tmp_path_factory.mktemp("nothing") / "data", {})


# ---- the table of commands ----

def commands():
    listed = keystile.run("--help").out
    found = []
    for text in re.findall(r"^  (\S.*?)  +\S", listed, re.MULTILINE):
        words = [w for w in text.split() if not re.match(r"[\[A-Z]", w)]
        found.append(tuple(words))
    return found


COMMANDS = commands()
GROUPS = sorted({c[0] for c in COMMANDS if len(c) == 2})


def test_help_lists_every_command():
    assert len(COMMANDS) == len(set(COMMANDS)) > 30
    for one in (("init",), ("serve",), ("keys", "create"), ("keys", "import"), ("tenants", "suspend"), ("policy", "check"), ("policy", "show"),
                ("policy", "matrix"), ("verify",), ("explain",), ("ring", "stat"), ("ring", "rebuild"), ("ring", "check"), ("backup",),
                ("restore",), ("config", "show"), ("version",), ("completion",)):
        assert one in COMMANDS
    help = keystile.run("--help").out
    assert keystile.run("help").out == help
    # What belongs together stands together, and all explanations below each other.
    lines = [line for line in help.splitlines() if line.startswith("  ")]
    groups = [key for key, _ in itertools.groupby(line.split()[0] for line in lines)]
    assert len(groups) == len(set(groups))
    assert {len(re.match(r"  .*? {2,}|  .{30} ", line).group(0)) for line in lines} == {33}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_each(command):
    done = keystile.run(*command, "--help")
    assert done.code == 0 and done.err == ""
    assert done.out.startswith(f"usage: keystile {' '.join(command)}")
    for option in ("--data DIR", "--config FILE", "--json", "--help"):
        assert f"  {option} " in done.out
    assert max(map(len, done.out.splitlines())) <= 130


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group(group):
    done = keystile.run(group, "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: keystile {group} COMMAND")
    for command in COMMANDS:
        if command[0] == group:
            assert f"  {' '.join(command)}" in done.out
    # Without a command of the group, the same as a failure.
    done = keystile.run(group)
    assert done.code == 2 and done.out == "" and f"usage: keystile {group} COMMAND" in done.err


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("keys", "nothing"), ("--nothing",), ("keys",), ("", ""), ("version2",)])
def test_unknown_command(arguments):
    done = keystile.run(*arguments)
    assert done.code == 2 and done.out == "" and "usage: keystile" in done.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_bad_usage_of_each(command, quiet):
    done = quiet.run(*command, "--no-such-option", expect=2)
    assert done.out == "" and "there is no option --no-such-option here" in done.err
    done = quiet.run(*command, *["word"] * 9, expect=2)
    assert "too many" in done.err
    done = keystile.run(*command, "--data")
    assert done.code == 2 and "--data takes a value" in done.err
    done = keystile.run(*command, "--data", "a", "--data", "b")
    assert done.code == 2 and "--data is given more than once" in done.err
    done = keystile.run(*command, "--json=yes")
    assert done.code == 2 and "--json takes no value" in done.err


@pytest.mark.parametrize("command, missing", [
    (("keys", "show"), "ID"), (("keys", "rename", "a"), "ID NAME"), (("keys", "import"), "FILE"), (("backup",), "FILE"), (("restore",), "FILE"),
    (("completion",), "SHELL"), (("members", "put", "a"), "TENANT USER"), (("policy", "check"), "FILE")])
def test_missing_words(command, missing, quiet):
    assert missing in quiet.run(*command, expect=2).err


def test_usage_error_as_json(quiet):
    done = quiet.run("keys", "list", "--json", "--nothing", expect=2)
    assert json.loads(done.err) == {"error": "there is no option --nothing here; see --help"}


def test_options_anywhere(line):
    """Before and after words, joined with = or not, and words that look like options after --."""
    key = line.make("n")["id"]
    assert line.run("keys", "rename", "--json", key, "one").json["name"] == "one"
    assert line.run("keys", "rename", key, "--json", "--", "--two").json["name"] == "--two"
    assert line.run("keys", "list", "--limit=1", "--json").json["items"][0]["name"] == "--two"
    assert line.run("keys", "list", "--query=", "--json", "--limit", "1").json["items"]


def test_version():
    done = keystile.run("version")
    assert done.code == 0 and re.fullmatch(r"keystile \d+\.\d+\.\d+\n", done.out)
    assert keystile.run("--version").out == done.out
    assert keystile.run("version", "--json").json == {"version": done.out.split()[1]}


def test_output_that_cannot_be_written():
    """An answer that did not reach its reader is no success."""
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([str(keystile.PROGRAM), "version"], stdout=full, stderr=subprocess.PIPE, env=keystile.environment(), check=False)
    assert done.returncode == 1 and b"standard output cannot be written" in done.stderr


# ---- init ----

def test_init():
    with keystile.temporary_data() as data:
        done = keystile.run("init", data=data / "deeper" / "still")
        assert done.code == 0
        # The token alone, so that it can be taken by a script; nothing else anywhere.
        assert TOKEN.match(done.out.rstrip("\n")) and done.out.count("\n") == 1
        assert done.err == ""
        again = keystile.run("init", data=data / "deeper" / "still")
        assert again.code == 1 and again.out == "" and "holds a store already" in again.err
        # The first key is the operator's, and there is nothing else.
        keys = keystile.run("keys", "list", "--json", data=data / "deeper" / "still").json["items"]
        assert [(k["name"], k["kind"], k["binding"], k["last_four"]) for k in keys] == [("first key", "tenant", "operator", done.out[-5:-1])]


def test_init_as_json():
    with keystile.temporary_data() as data:
        made = keystile.run("init", "--json", data=data)
        assert made.code == 0 and set(made.json) == {"id", "token"} and TOKEN.match(made.json["token"])
        again = keystile.run("init", "--json", data=data)
        assert again.code == 1 and "holds a store already" in json.loads(again.err)["error"]


def test_init_beside_a_service():
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        done = keystile.run("init", data=data)
        assert done.code == 1 and done.out == "" and "in use by process" in done.err
        assert daemon.call("GET", "/livez").status == 200


def test_init_with_settings():
    with keystile.temporary_data() as data:
        token = keystile.init(data, env={"KEYSTILE_TOKENS_PREFIX_LIVE": "revdesk", "KEYSTILE_TOKENS_CHECKSUM": "true"})
        assert re.fullmatch(r"revdesk_[0-9a-f]{32}_[0-9a-f]{8}", token)


# ---- keys ----

def test_keys_create(line):
    done = line.run("keys", "create", "--name", "by hand", "--scope", "contacts:read")
    # The token alone on standard output; what it is on standard error.
    assert TOKEN.match(done.out.rstrip("\n")) and done.out.count("\n") == 1
    assert re.search(r"key_\w{13}: the token below is shown this once", done.err)
    assert line.run("verify", done.out.strip()).out.startswith("ok")


def test_keys_create_with_everything(line):
    acme = line.tenant("Everything")["id"]
    made = line.json("keys", "create", "--name", "näme \"x\"", "--tenant", acme, "--scope", "contacts:read", "--scope", "contacts:write", "--role",
                     "billing_reader", "--expires", "90d", "--environment", "sandbox", "--address", "203.0.113.0/24", "--address", "2001:db8::/32",
                     "--rate", "600/60", "--label", "team=ops", "--label", "note=a=b \"c\" ü")
    assert made["name"] == "näme \"x\"" and made["tenant"] == acme and made["binding"] == "organization"
    assert set(made["scopes"]) == {"contacts:read", "contacts:write", "billing:tenant:read"}
    assert made["roles"] == ["billing_reader"] and made["environment"] == "sandbox"
    assert set(made["addresses"]) == {"203.0.113.0/24", "2001:db8::/32"}
    assert made["rate_limit"] == {"requests": 600, "window_s": 60}
    assert made["labels"] == {"team": "ops", "note": "a=b \"c\" ü"}
    assert TIME.match(made["expires_at"]) and made["token"].startswith("ks_sandbox_")
    assert line.json("keys", "create", "--name", "n", "--expires", "2099-01-01T00:00:00Z")["expires_at"] == "2099-01-01T00:00:00.000Z"
    assert line.json("keys", "create", "--name", "n", "--expires", "never")["expires_at"] is None
    assert line.json("keys", "create", "--name", "n", "--default-scopes", "--tenant", acme)["scopes"]
    assert line.json("keys", "create", "--name", "n")["scopes"] == []


def test_runtime_keys_come_from_here_alone(line):
    made = line.json("keys", "create", "--kind", "runtime", "--name", "router", "--scope", "runtime:routing")
    assert made["kind"] == "runtime" and made["binding"] == "operator"
    request = ["--method", "GET", "--path", "/internal/v1/routing/1"]
    line.run("verify", made["token"], *request)
    if line.daemon:
        operator = line.json("keys", "create", "--name", "operator", "--scope", "keystile:keys:write")["token"]
        answer = line.daemon.call("POST", "/v1/keys", {"name": "n", "kind": "runtime", "scopes": [], "expires_at": None}, token=operator)
        assert answer.status == 403 and answer.code == "not_grantable"


@pytest.mark.parametrize("arguments, code", [
    (["--scope", "no:such"], "invalid"), (["--role", "no_such"], "invalid"), (["--kind", "session"], "invalid"), (["--kind", "thing"], "invalid"),
    (["--environment", "test"], "invalid"), (["--address", "1.2.3.4/33"], "invalid"), (["--tenant", "org_0000000000001"], "tenant_forbidden"),
    (["--tenant", "nothing"], "invalid"), (["--user", "usr_0000000000001"], None), (["--expires", "2001-01-01T00:00:00Z"], "invalid"),
    (["--rate", "0/60"], "invalid"), (["--rate", "1/0"], "invalid")])
def test_keys_create_refused(line, arguments, code):
    problem = line.problem("keys", "create", "--name", "n", *arguments)
    assert code is None or problem["code"] == code, problem
    text = line.run("keys", "create", "--name", "n", *arguments, expect=1)
    assert text.out == "" and f"({problem['code']})" in text.err
    for error in problem.get("errors", []):
        assert error["pointer"] in text.err and error["detail"] in text.err


@pytest.mark.parametrize("arguments", [
    [], ["--name", "n", "--scope", "a", "--default-scopes"], ["--name", "n", "--expires", "soon"], ["--name", "n", "--expires", "-1d"],
    ["--name", "n", "--expires", "d"], ["--name", "n", "--expires", "36501d"], ["--name", "n", "--rate", "5"], ["--name", "n", "--rate", "5/"],
    ["--name", "n", "--rate", "a/b"], ["--name", "n", "--rate", "5/60/1"], ["--name", "n", "--label", "x"], ["--name", "n", "--label", "a\"b=1"],
    ["--name", "n", "--label", "a\nb=1"], ["--name"], ["--name", "n", "--name", "m"]])
def test_keys_create_bad_usage(line, arguments):
    done = line.run("keys", "create", *arguments, expect=2)
    assert done.out == ""


def test_keys_list(line):
    acme = line.tenant("List")["id"]
    made = [line.make(f"list {n}", "--tenant", acme) for n in range(5)]
    below = line.json("tenants", "create", "--kind", "sub_entity", "--parent", acme, "--name", "below")["id"]
    deep = line.make("deep", "--tenant", below)
    # Newest first, a page at a time.
    page = line.json("keys", "list", "--tenant", acme, "--limit", "3")
    assert [k["id"] for k in page["items"]] == [m["id"] for m in made[:1:-1]]
    rest = line.json("keys", "list", "--tenant", acme, "--limit", "3", "--cursor", page["next"])
    assert [k["id"] for k in rest["items"]] == [m["id"] for m in made[1::-1]] and rest["next"] is None
    assert all("token" not in k for k in page["items"])
    assert [k["id"] for k in line.json("keys", "list", "--tenant", acme, "--below", "--limit", "1")["items"]] == [deep["id"]]
    assert [k["id"] for k in line.json("keys", "list", "--query", "LIST 3", "--tenant", acme)["items"]] == [made[3]["id"]]
    line.run("keys", "delete", made[0]["id"])
    assert [k["id"] for k in line.json("keys", "list", "--status", "revoked", "--tenant", acme)["items"]] == [made[0]["id"]]
    assert line.json("keys", "list", "--environment", "sandbox", "--tenant", acme)["items"] == []
    assert line.json("keys", "list", "--kind", "runtime", "--tenant", acme)["items"] == []
    assert len(line.json("keys", "list", "--unused-since", "2099-01-01T00:00:00Z", "--tenant", acme)["items"]) == 5

    text = line.run("keys", "list", "--tenant", acme, "--limit", "3")
    assert text.out.splitlines()[0].split()[:3] == ["id", "name", "kind"]
    assert [row.split()[0] for row in text.out.splitlines()[1:]] == [m["id"] for m in made[:1:-1]]
    assert f"--cursor {page['next']}" in text.err


@pytest.mark.parametrize("arguments, code", [
    (["--status", "gone"], "query_malformed"), (["--limit", "0"], "query_malformed"), (["--limit", "501"], "query_malformed"),
    (["--cursor", "x"], "query_malformed"), (["--unused-since", "today"], "query_malformed"), (["--kind", "x"], "query_malformed"),
    (["--tenant", "org_0000000000001"], "tenant_forbidden")])
def test_keys_list_refused(line, arguments, code):
    problem = line.problem("keys", "list", *arguments)
    assert problem["code"] in (code, "invalid"), problem


def test_below_needs_a_tenant(line):
    line.run("keys", "list", "--below", expect=2)


USES_OF_NONE = {"uses": 0, "last_used_at": None, "last_used_address": None}


def test_key_show_rename_delete(line):
    key = line.make("before")
    shown = line.json("keys", "show", key["id"])
    assert {k: v for k, v in key.items() if k != "token"} == shown
    text = line.run("keys", "show", key["id"]).out
    assert re.search(r"^name +before$", text, re.MULTILINE) and re.search(r"^expires_at +-$", text, re.MULTILINE)
    assert line.json("keys", "rename", key["id"], "after")["name"] == "after"
    line.run("verify", key["token"])
    gone = line.json("keys", "delete", key["id"])
    assert gone["status"] == "revoked" and TIME.match(gone["revoked_at"])
    line.run("verify", key["token"], expect=3)
    # Deleting again is the same; uses are counted a moment later than they are made.
    again = line.json("keys", "delete", key["id"])
    assert again | USES_OF_NONE == gone | USES_OF_NONE
    assert line.problem("keys", "rename", key["id"], "")["code"] == "invalid"


@pytest.mark.parametrize("command", [("show", NOWHERE), ("show", "../tenants"), ("show", "%2e%2e"), ("show", ""), ("rename", NOWHERE, "n"),
                                     ("delete", NOWHERE), ("rotate", NOWHERE), ("usage", NOWHERE), ("delete", "org_0000000000001")])
def test_no_such_key(line, command):
    assert line.problem("keys", *command)["code"] in ("not_found", "path_ambiguous", "method_not_allowed")


def test_keys_rotate(line):
    key = line.make("to rotate")
    done = line.run("keys", "rotate", key["id"])
    assert TOKEN.match(done.out.strip())
    line.run("verify", done.out.strip())
    line.run("verify", key["token"], expect=3)
    key = line.make("with overlap")
    made = line.json("keys", "rotate", key["id"], "--overlap", "3600", "--expires", "30d")
    assert made["rotated_from"] == key["id"] and TIME.match(made["expires_at"])
    line.run("verify", key["token"])
    line.run("verify", made["token"])
    assert line.problem("keys", "rotate", key["id"])["code"] == "conflict"
    line.run("keys", "rotate", made["id"], "--overlap", "long", expect=2)
    line.run("keys", "rotate", made["id"], "--expires", "soon", expect=2)
    assert line.problem("keys", "rotate", made["id"], "--overlap", "2592001")["code"] == "invalid"


def test_keys_usage(line):
    key = line.make("used")
    assert line.json("keys", "usage", key["id"])["items"] == []
    assert line.run("keys", "usage", key["id"]).out.split()[:3] == ["start", "allowed", "denied"]
    line.json("keys", "usage", key["id"], "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z", "--step", "hour")
    assert line.problem("keys", "usage", key["id"], "--step", "week")["code"] in ("query_malformed", "invalid")


# ---- import ----

def import_line(name, **members):
    token = "old_" + hashlib.md5(name.encode()).hexdigest()
    return token, json.dumps({"name": name, "scopes": ["contacts:read"], "expires_at": None, "prefix": "old", "last_four": token[-4:],
                              "sha256": hashlib.sha256(token.encode()).hexdigest(), **members})


def test_keys_import(line, tmp_path):
    tokens, lines = zip(*(import_line(f"import {line.daemon is None} {n}") for n in range(20)))
    file = tmp_path / "keys.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = line.run("keys", "import", file)
    assert done.out == "20 lines: 20 imported, 0 refused\n" and done.err == ""
    for token in tokens:
        line.run("verify", token, "--method", "GET", "--path", "/api/v1/contacts")
    # Again: each is refused with its line.
    again = line.run("keys", "import", file, expect=1)
    assert again.out == "20 lines: 0 imported, 20 refused\n"
    assert [text.split(":")[0] for text in again.err.splitlines()] == [f"line {n}" for n in range(1, 21)]
    assert line.run("keys", "import", file, "--json", expect=1).json["refused"] == 20


def test_keys_import_says_why(line):
    """The bad ones with line, pointer and reason; the good ones are imported all the same."""
    tag = f"why {line.daemon is None}"
    good = import_line(f"{tag} good")
    bad = [("not json", ""), (import_line(f"{tag} a", scopes=["no:such"])[1], "/scopes/0"), (import_line(f"{tag} b", sha256="12")[1], "/sha256"),
           (import_line(f"{tag} c", nothing=1)[1], "/nothing"), ("[]", "")]
    text = "\n".join([bad[0][0], good[1], *(b for b, _ in bad[1:])])
    # Without a newline at the end, and from standard input.
    done = line.run("keys", "import", "-", expect=1, input=text)
    assert done.out == f"{len(bad) + 1} lines: 1 imported, {len(bad)} refused\n"
    assert [e.split(":")[0] for e in done.err.splitlines()] == ["line 1", "line 3", "line 4", "line 5", "line 6"]
    for said, (_, pointer) in zip(done.err.splitlines(), bad):
        assert f": {pointer}" in said
    line.run("verify", good[0])


def test_keys_import_tells_how_many_more(line):
    done = line.run("keys", "import", "-", expect=1, input="x\n" * 1003)
    assert done.out == "1003 lines: 0 imported, 1003 refused\n"
    assert done.err.splitlines()[-1] == "and 3 more lines" and len(done.err.splitlines()) == 1001


def test_keys_import_of_nothing(line):
    assert line.run("keys", "import", "-", input="").out == "0 lines: 0 imported, 0 refused\n"


def test_keys_import_of_no_file(line, tmp_path):
    assert "No such file" in line.run("keys", "import", tmp_path / "nothing", expect=1).err
    assert "cannot be read" in line.run("keys", "import", tmp_path, expect=1).err


# ---- tenants, users, members ----

def test_tenants(line):
    acme = line.tenant("Acme", "--slug", f"acme-{'d' if line.daemon else 's'}")
    assert acme["kind"] == "organization" and acme["status"] == "active"
    assert re.search(r"^id +org_", line.run("tenants", "create", "--kind", "organization", "--name", "Text").out, re.MULTILINE)
    sub = line.json("tenants", "create", "--kind", "sub_entity", "--parent", acme["id"], "--name", "Sub")
    assert sub["parent"] == acme["id"]
    assert [t["id"] for t in line.json("tenants", "list", "--parent", acme["id"])["items"]] == [sub["id"]]
    assert all(t["kind"] == "organization" for t in line.json("tenants", "list", "--kind", "organization")["items"])
    assert line.run("tenants", "list", "--limit", "1").out.split()[:2] == ["id", "kind"]
    assert line.json("tenants", "show", acme["id"]) == acme
    assert line.json("tenants", "rename", acme["id"], "Acme 2")["name"] == "Acme 2"
    key = line.make("in sub", "--tenant", sub["id"])
    assert line.json("tenants", "suspend", acme["id"])["status"] == "suspended"
    line.run("verify", key["token"], expect=3)
    assert line.json("tenants", "resume", acme["id"])["status"] == "active"
    line.run("verify", key["token"])
    assert line.problem("tenants", "delete", acme["id"])["code"] == "conflict"
    line.run("keys", "delete", key["id"])
    line.run("tenants", "delete", sub["id"])
    line.run("tenants", "delete", acme["id"])
    assert line.problem("tenants", "show", acme["id"])["code"] == "not_found"


def test_tenants_bad_usage(line):
    line.run("tenants", "create", "--kind", "organization", expect=2)
    line.run("tenants", "create", "--name", "n", expect=2)
    assert line.problem("tenants", "create", "--kind", "thing", "--name", "n")["code"] == "invalid"
    assert line.problem("tenants", "create", "--kind", "organization", "--name", "n", "--slug", "Not A Slug")["code"] == "invalid"
    for verb in ("show", "suspend", "resume", "delete"):
        assert line.problem("tenants", verb, "org_0000000000001")["code"] == "not_found"


def test_users_and_members(line):
    org = line.tenant("People")["id"]
    email = f"ann-{'d' if line.daemon else 's'}@example.test"
    user = line.json("users", "create", "--organization", org, "--email", email, "--name", "Ann")
    assert user["email"] == email
    assert [u["id"] for u in line.json("users", "list", "--organization", org)["items"]] == [user["id"]]
    assert email in line.run("users", "list", "--organization", org).out
    member = line.json("members", "put", org, user["id"], "--role", "account_reader")
    assert member["role"] == "account_reader"
    key = line.json("keys", "create", "--name", "Ann's", "--user", user["id"], "--scope", "contacts:read")
    assert key["binding"] == "user" and key["user"] == user["id"]
    assert line.run("members", "remove", org, user["id"]).out == "done\n"
    line.run("members", "put", org, user["id"], expect=2)
    line.run("users", "create", "--organization", org, expect=2)
    assert line.problem("users", "create", "--organization", org, "--email", "not an address")["code"] == "invalid"
    assert line.problem("members", "put", org, "usr_0000000000001", "--role", "member")["code"] == "not_found"
    made = line.json("tenants", "create", "--kind", "organization", "--name", "With", "--administrator", f"root-{email}")
    assert made["administrator"]["email"] == f"root-{email}"
    assert [m["user"] for m in line.json("members", "list", made["id"])["items"]] == [made["administrator"]["id"]]
    assert f"root-{email}" in line.run("members", "list", made["id"]).out


PASSWORD = "xkcd staple fence"


@pytest.fixture(name="user")
def some_user(line):
    """A user, and how to log in as it."""
    org = line.tenant("People")["id"]
    return line.json("users", "create", "--organization", org, "--email", f"u{next(NUMBERS)}@example.test")


def log_in(line, user, password):
    """The status of a login; None where no service runs to ask."""
    if not line.daemon:
        return None
    return line.daemon.call("POST", "/v1/session", {"email": user["email"], "password": password}).status


def test_invitations(line, user):
    shown = line.run("users", "create", "--organization", user["organization"], "--email", f"x-{user['email']}").out
    assert re.search(r"^invitation +invite_[0-9a-f]{64}$", shown, re.M)
    done = line.run("users", "invite", user["id"])
    assert re.fullmatch(r"invite_[0-9a-f]{64}\n", done.out) and user["email"] in done.err
    assert line.json("users", "show", user["id"])["invitation"]["created_by"] == "local"
    assert line.json("users", "uninvite", user["id"])["invitation"] is None
    assert line.problem("users", "uninvite", user["id"])["code"] == "not_found"
    assert line.problem("users", "invite", "usr_0000000000001")["code"] == "not_found"


def test_a_password_from_a_file(line, user, tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\nnot this\n")
    assert line.run("users", "password", user["id"], "--password-file", file).out == "done\n"
    assert log_in(line, user, PASSWORD) in (200, None)
    assert line.run("users", "password", user["id"], "--password-file", "-", input=PASSWORD + "!").out == "done\n"
    assert log_in(line, user, PASSWORD) in (401, None)
    assert log_in(line, user, PASSWORD + "!") in (200, None)
    assert line.problem("users", "password", user["id"], "--password-file", "-", input="short\n")["code"] == "invalid"
    for text in ("", "\n", "x" * 1026 + "\n"):
        assert line.run("users", "password", user["id"], "--password-file", "-", input=text, expect=1)
    assert "No such file" in line.run("users", "password", user["id"], "--password-file", tmp_path / "none", expect=1).err
    assert line.json("users", "show", user["id"])["password_changed_at"]


def test_a_password_is_never_an_argument(line, user):
    line.run("users", "password", user["id"], PASSWORD, expect=2)
    line.run("users", "password", user["id"], "--password", PASSWORD, expect=2)


def at_a_terminal(line, typed, *arguments):
    """Runs the program at a terminal of its own and types; the exit code and all that stood on the screen."""
    command = [str(keystile.PROGRAM), *map(str, arguments), "--data", str(line.data)]
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(command[0], command, keystile.environment(line.env))
    screen = b""
    for text in typed:
        while not screen.rstrip().endswith(b":"):
            screen += os.read(fd, 4096)
        os.write(fd, text.encode())
        screen += b"|"
    with contextlib.suppress(OSError):
        while piece := os.read(fd, 4096):
            screen += piece
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen.decode()


def test_a_password_at_the_terminal(line, user):
    code, screen = at_a_terminal(line, [PASSWORD + "\n", PASSWORD + "\n"], "users", "password", user["id"])
    assert code == 0 and "Password: " in screen and "Again: " in screen and "done" in screen
    assert PASSWORD not in screen, "there is no echo"
    assert log_in(line, user, PASSWORD) in (200, None)
    code, screen = at_a_terminal(line, [PASSWORD + "\n", PASSWORD + "!\n"], "users", "password", user["id"])
    assert code == 1 and "not the same" in screen
    code, screen = at_a_terminal(line, ["\x03\n"], "users", "password", user["id"])
    assert code == 1 and "no password" in screen


def test_without_a_terminal_a_file_is_needed(line, user):
    done = keystile.subprocess.run([str(keystile.PROGRAM), "users", "password", user["id"], "--data", str(line.data)],
                                   capture_output=True, text=True, start_new_session=True, stdin=keystile.subprocess.DEVNULL,
                                   env=keystile.environment(line.env), timeout=keystile.PATIENCE_S)
    assert done.returncode == 2 and "--password-file" in done.stderr


def test_disable_and_enable_users(line, user):
    assert line.json("users", "disable", user["id"])["status"] == "disabled"
    assert line.problem("users", "invite", user["id"])["code"] == "conflict"
    assert line.json("users", "enable", user["id"])["status"] == "active"
    assert "active" in line.run("users", "show", user["id"]).out


def test_sessions_of_users(line, user):
    assert line.json("users", "sessions", user["id"]) == {"items": [], "next": None}
    line.run("users", "password", user["id"], "--password-file", "-", input=PASSWORD + "\n")
    if log_in(line, user, PASSWORD):
        assert [s["method"] for s in line.json("users", "sessions", user["id"])["items"]] == ["password"]
        assert "ses_" in line.run("users", "sessions", user["id"]).out
        assert line.json("users", "end-sessions", user["id"]) == {"ended": 1}
    assert line.json("users", "end-sessions", user["id"]) == {"ended": 0}
    assert line.problem("users", "remove-totp", user["id"])["code"] == "conflict"


# ---- deciding ----

CONTACTS = ["--method", "GET", "--path", "/api/v1/contacts"]


@pytest.fixture(scope="module")
def asked(line):
    return line.make("asked", "--address", "192.0.2.0/24")


def test_verify(line, asked):
    allowed = line.json("verify", asked["token"], *CONTACTS, "--address", "192.0.2.7")
    assert allowed["allow"] is True and allowed["code"] == "ok" and allowed["principal"] == asked["id"] and allowed["family"] == "contacts"
    assert line.run("verify", asked["token"], *CONTACTS, "--address", "192.0.2.7").out == "ok\n"
    denied = line.json("verify", asked["token"], *CONTACTS, "--address", "198.51.100.1", expect=3)
    assert denied["allow"] is False and denied["code"] == "address_not_allowed"
    assert line.run("verify", asked["token"], *CONTACTS, "--address", "198.51.100.1", expect=3).out == "address_not_allowed\n"
    # The credential alone.
    assert line.json("verify", asked["token"], "--address", "192.0.2.7")["family"] is None
    assert line.json("verify", "ks_" + "0" * 32, expect=3)["code"] == "credential_invalid"
    assert line.json("verify", "rubbish", expect=3)["code"] == "credential_malformed"


def test_verify_takes_the_credential_three_ways(line, asked):
    more = [*CONTACTS, "--address", "192.0.2.7"]
    assert line.run("verify", *more, env={"KEYSTILE_TOKEN": asked["token"]}).out == "ok\n"
    assert line.run("verify", *more, input=asked["token"] + "\n").out == "ok\n"
    assert line.run("verify", *more, input=asked["token"]).out == "ok\n"
    assert line.run("verify", *more, input=asked["token"] + "\r\nmore\n").out == "ok\n"
    # An argument before the environment, and that before standard input.
    assert line.run("verify", "rubbish", *more, env={"KEYSTILE_TOKEN": asked["token"]}, expect=3).out == "credential_malformed\n"
    assert line.run("verify", *more, env={"KEYSTILE_TOKEN": asked["token"]}, input="rubbish\n").out == "ok\n"
    assert line.run("verify", "--authorization", *more, input=f"Bearer {asked['token']}\n").out == "ok\n"
    assert line.run("verify", "--authorization", *more, input=asked["token"] + "\n", expect=3).out == "credential_malformed\n"
    assert "give a credential" in line.run("verify", *more, input="", expect=2).err
    # A line that is too long is not a shorter one.
    assert "give a credential" in line.run("verify", *more, input=asked["token"] + "x" * 5000 + "\n", expect=2).err
    assert "give a credential" in line.run("verify", "x" * 5000, *more, expect=2).err


@pytest.mark.parametrize("arguments, expect, code", [
    (["--method", "GET"], 1, "invalid"), (["--path", "/x"], 1, "invalid"), ([*CONTACTS, "--address", "nowhere"], 1, "invalid"),
    ([*CONTACTS, "--tenant", "org_0000000000001", "--address", "192.0.2.7"], 3, "tenant_forbidden"),
    (["--method", "GET", "--path", "/nothing", "--address", "192.0.2.7"], 3, "route_unknown"),
    (["--method", "POST", "--path", "/api/v1/contacts", "--address", "192.0.2.7"], 3, "scope_missing"),
    (["--method", "GET", "--path", "/api//v1", "--address", "192.0.2.7"], 3, "path_ambiguous")])
def test_verify_denied(line, asked, arguments, expect, code):
    done = line.run("verify", asked["token"], *arguments, "--json", expect=expect)
    assert json.loads(done.out if expect == 3 else done.err)["code"] == code


def test_explain(line, asked):
    """Each step with its verdict; what was not reached says so."""
    told = line.json("explain", asked["token"], *CONTACTS, "--address", "192.0.2.7")
    assert told["code"] == "ok" and [s["verdict"] for s in told["steps"]] == ["passed"] * 10
    told = line.json("explain", asked["token"], "--method", "POST", "--path", "/api/v1/contacts", "--address", "192.0.2.7", expect=3)
    assert told["code"] == "scope_missing"
    assert [s["verdict"] for s in told["steps"]] == ["passed"] * 7 + ["failed"] + ["not reached"] * 2
    assert "contacts:write" in told["steps"][7]["detail"]
    text = line.run("explain", asked["token"], "--method", "POST", "--path", "/api/v1/contacts", "--address", "192.0.2.7", expect=3).out
    assert text.splitlines()[0] == "scope_missing" and len(text.splitlines()) == 11
    assert all(f" {verdict} " in text for verdict in ("passed", "failed")) and "not reached" in text
    line.run("explain", asked["token"], expect=2)
    line.run("explain", asked["token"], "--method", "GET", expect=2)


# ---- policy ----

def test_policy_show_and_matrix(line):
    shown = line.json("policy", "show")
    names = {f["name"] for f in shown["families"]}
    assert {"contacts", "billing:partner:allocations"} <= names
    text = line.run("policy", "show").out
    assert text.split()[:2] == ["name", "kinds"] and re.search(r"^contacts +", text, re.MULTILINE)
    matrix = line.run("policy", "matrix").out
    assert re.search(r"^contacts +GET +contacts:read$", matrix, re.MULTILINE)
    assert re.search(r"^call_traces_admin +GET +call_traces:read \+ call_traces:admin_read$", matrix, re.MULTILINE)
    assert line.json("policy", "matrix")["families"] == shown["families"]


def test_policy_check(quiet):
    done = quiet.run("policy", "check", keystile.DEMO_POLICY)
    assert done.out == "" and done.err == ""


GOOD = ("version: 1\nscopes:\n  a:read: {about: A}\nfamilies:\n  f:\n    routes: [/a]\n    kinds: [tenant]\n    scopes: {GET: a:read}\n")


@pytest.mark.parametrize("text, line_, column", [
    ("", 1, 1), ("version: 2\n", 1, 10), ("version: 1\n\tx: 1\n", 2, 1), (GOOD.replace("GET: a:read", "GET: b:read"), 8, 19),
    (GOOD.replace("about: A", "about: A, opt_in: true, default: true"), 3, None), (GOOD.replace("[/a]", "[a]"), 6, 14),
    (GOOD.replace("kinds: [tenant]", "kinds: [nobody]"), 7, 13), (GOOD.replace("a:read: {", "keystile:x: {"), 3, 3),
    (GOOD + "  g:\n    routes: [/a]\n    kinds: [tenant]\n    scopes: {GET: a:read}\n", 10, 14), (GOOD + "extra: 1\n", 9, 1)])
def test_policy_check_says_where(quiet, tmp_path, text, line_, column):
    file = tmp_path / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    done = quiet.run("policy", "check", file, expect=1)
    assert done.out == ""
    found = re.match(re.escape(str(file)) + r":(\d+):(\d+): .+\n\Z", done.err)
    assert found and int(found[1]) == line_, done.err
    assert column is None or int(found[2]) == column, done.err
    told = quiet.run("policy", "check", file, "--json", expect=1).problem
    assert told["line"] == line_ and told["column"] == int(found[2]) and told["text"] in done.err


def test_policy_check_of_no_file(quiet, tmp_path):
    assert "No such file" in quiet.run("policy", "check", tmp_path / "nothing", expect=1).err
    assert quiet.run("policy", "check", tmp_path, expect=1).err
    large = tmp_path / "large.yaml"
    large.write_text(GOOD + "#" * (4 << 20), encoding="ascii")
    assert quiet.run("policy", "check", large, expect=1).err


# ---- ring, backup ----

def test_events(line):
    made = line.make("an event")
    (event,) = line.json("events", "--limit", "1")["items"]
    assert (event["type"], event["object"], event["data"]["name"]) == ("key.created", made["id"], "an event")
    line.run("keys", "delete", made["id"])
    (after,) = line.json("events", "--after", event["id"])["items"]
    assert (after["type"], after["object"]) == ("key.revoked", made["id"])
    assert line.json("events", "--after", event["id"], "--type", "key.created")["items"] == []
    assert made["id"] in line.run("events", "--type", "key.revoked").out
    assert "key.revoked" in line.run("events", "--types").out
    assert line.problem("events", "--type", "no.such")["code"] == "query_malformed"
    assert line.problem("events", "--tenant", "x")["code"] == "query_malformed"


def test_events_cannot_be_followed_without_a_service(quiet):
    done = quiet.run("events", "--follow", expect=1)
    assert "no service" in done.err
    quiet.run("events", "--follow", "--after", 40 * "x", expect=1)


def follow(line, *arguments):
    return subprocess.Popen([str(keystile.PROGRAM), "events", "--follow", *arguments, "--data", str(line.data)],
                            stdout=subprocess.PIPE, text=True, env=keystile.environment(line.env))


def test_following_events_from_one_on():
    """Until the service ends."""
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        line = Line(data, {}, daemon)
        made = [line.make("before")["id"]]
        with follow(line, "--after", "evt_0000000000001", "--type", "key.created") as follower:
            first = follower.stdout.readline().split()
            assert first[1] == "key.created" and '"name":"first' in " ".join(first)
            assert follower.stdout.readline().split()[2] == made[0]
            made = [line.make(f"followed {i}")["id"] for i in range(3)]
            assert [follower.stdout.readline().split()[2] for _ in made] == made
            daemon.stop()
            assert follower.wait(keystile.PATIENCE_S) == 1


def test_following_events_from_now_on():
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        line = Line(data, {}, daemon)
        line.make("before")
        with follow(line, "--json") as follower:
            made = []
            # It begins whenever it begins: what is made then is printed.
            while not select.select([follower.stdout], [], [], 0.1)[0]:
                made.append(line.make("now")["id"])
            assert json.loads(follower.stdout.readline())["object"] in made
            follower.terminate()


def test_ring(line):
    stat = line.json("ring", "stat")
    assert stat["ready"] is True and stat["keys"] >= 1 and stat["keys"] <= stat["key_slots"]
    assert re.search(r"^keys +\d+$", line.run("ring", "stat").out, re.MULTILINE)
    checked = line.json("ring", "check")
    assert checked["equal"] is True and checked["differences"] == 0 and checked["keys"] == stat["keys"]
    assert re.search(r"^equal +true$", line.run("ring", "check").out, re.MULTILINE)
    rebuilt = line.json("ring", "rebuild")
    assert rebuilt["generation"] > stat["generation"] and rebuilt["keys"] == stat["keys"]
    assert line.json("ring", "check")["equal"] is True


def test_backup(line, tmp_path):
    file = tmp_path / "backup.db"
    assert line.run("backup", file).out == f"backup written to {file}\n"
    assert line.problem("backup", file)["code"] == "conflict"
    assert line.problem("backup", tmp_path / "no" / "such" / "b.db")["code"] == "invalid"
    assert line.problem("backup", tmp_path)["code"] in ("conflict", "invalid")
    assert os.listdir(tmp_path) == ["backup.db"]
    assert line.json("ring", "check")["equal"] is True


def test_backup_to_a_relative_path(line, tmp_path):
    """Meant from where the command runs, not from where the service does."""
    done = keystile.run("backup", "here.db", data=line.data, env=line.env, cwd=tmp_path)
    assert done.code == 0, done
    assert os.listdir(tmp_path) == ["here.db"]


def test_restore(line, tmp_path):
    file = tmp_path / "backup.db"
    line.run("backup", file)
    if line.daemon:
        assert "a service runs on" in line.run("restore", file, expect=1).err
        return
    keys = line.json("ring", "stat")["keys"]
    made = line.make("after the backup")
    done = line.run("restore", file)
    assert re.fullmatch(rf"restored: {keys} keys, \d+ tenants\n", done.out)
    line.run("verify", made["token"], expect=3)
    line.run("restore", tmp_path / "nothing", expect=1)


# ---- settings ----

def test_config_show(quiet, tmp_path):
    file = tmp_path / "keystile.yaml"
    file.write_text("listen: 127.0.0.1:1\nrealm: file\ndomain: file.test\npolicy: p.yaml\nproxies: {trusted: [10.0.0.1]}\n", encoding="utf-8")
    env = {"KEYSTILE_REALM": "environment", "KEYSTILE_DATA": "/nowhere"}
    shown = keystile.run("config", "show", "--config", file, "--json", env=env)
    assert shown.code == 0
    assert shown.json["listen"] == "127.0.0.1:1"
    assert shown.json["realm"] == "environment"
    assert shown.json["domain"] == "file.test"
    assert shown.json["policy"] == str(tmp_path / "p.yaml")
    assert shown.json["proxies.trusted"] == ["10.0.0.1"]
    assert shown.json["data"] == "/nowhere"
    assert shown.json["http.threads"] == 2
    # The command line before the environment, and that before the file.
    assert keystile.run("config", "show", "--config", file, "--json", data="/here", env=env).json["data"] == "/here"
    text = keystile.run("config", "show", "--config", file, env=env).out
    for setting, source in (("listen", "file"), ("realm", "environment"), ("http.threads", "default")):
        assert re.search(rf"\({source}\)\n{re.escape(setting)}: ", text)
    # What is shown is a settings file.
    again = tmp_path / "again.yaml"
    again.write_text(text, encoding="utf-8")
    assert keystile.run("config", "show", "--config", again, "--json").json == shown.json
    assert keystile.run("config", "show", "--json", env={**env, "KEYSTILE_CONFIG": file}).json == shown.json


@pytest.mark.parametrize("text, message", [("listen: [a]\n", ":1:9: listen: must be one value"), ("nothing: 1\n", ":1:1: nothing: no such setting"),
                                           ("http: {threads: 0}\n", ":1:17: http.threads: must be a whole number from 1 to 64")])
def test_bad_settings_file(quiet, tmp_path, text, message):
    file = tmp_path / "keystile.yaml"
    file.write_text(text, encoding="utf-8")
    for command in (["config", "show"], ["serve"], ["init"], ["keys", "list"]):
        done = quiet.run(*command, "--config", file, expect=1)
        assert f"{file}{message}" in done.err
    assert not quiet.data.exists()


@pytest.mark.parametrize("name, value, message", [
    ("KEYSTILE_HTTP_THREADS", "many", "http.threads"), ("KEYSTILE_STORE", "oracle", "store"), ("KEYSTILE_TOKENS_PREFIX_LIVE", "No", "tokens.prefix_live"),
    ("KEYSTILE_TOKENS_PREFIX_SANDBOX", "", "tokens.prefix_sandbox"), ("KEYSTILE_RING_GROUP", "no-such-group", "ring.group"),
    ("KEYSTILE_LOG_LEVEL", "loud", "log.level"), ("KEYSTILE_PROXIES_TRUSTED", "proxy", "proxies.trusted"),
    ("KEYSTILE_CREDENTIALS_HEADERS", "nobody=X-Key", "credentials.headers"), ("KEYSTILE_CREDENTIALS_HEADERS", "tenant=not a name", "credentials.headers"),
    ("KEYSTILE_TLS_CERTIFICATE", "/nowhere.pem", "listen")])
def test_bad_setting(name, value, message):
    with keystile.temporary_data() as data:
        done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={name: value})
        assert done.code == 1 and message in done.err, done
        assert "listening" not in done.err


def test_missing_settings_file(quiet, tmp_path):
    done = quiet.run("config", "show", "--config", tmp_path / "nothing.yaml", expect=1)
    assert f"{tmp_path / 'nothing.yaml'}: cannot be read" in done.err


def test_commands_go_by_the_last_service():
    """Without a service, a command that only knows the data directory writes what that service would have written, and leaves its ring alone."""
    with keystile.temporary_data() as data:
        keystile.init(data)
        settings = {"KEYSTILE_TOKENS_PREFIX_LIVE": "revdesk", "KEYSTILE_DOMAIN": "example.test"}
        with keystile.Daemon(data, env=settings) as daemon:
            generation = daemon.local().call("GET", "/v1/ring").json["generation"]
        made = keystile.run("keys", "create", "--name", "n", "--scope", "contacts:read", "--json", data=data)
        assert made.code == 0 and made.json["token"].startswith("revdesk_"), made
        assert keystile.run("verify", made.json["token"], *CONTACTS, data=data).out == "ok\n"
        assert keystile.run("ring", "stat", "--json", data=data).json["generation"] == generation
        # What is said is said: here, that there is no policy.
        assert keystile.run("verify", made.json["token"], *CONTACTS, data=data, env={"KEYSTILE_POLICY": ""}).out == "route_unknown\n"
        # The next service is what its own settings say.
        with keystile.Daemon(data, policy=None) as daemon:
            assert daemon.authorize(made.json["token"]).json["code"] == "route_unknown"


# ---- progress ----

def on_a_terminal(command):
    """What the command writes to a terminal on standard error, its exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave, env=keystile.environment(POLICY))
    os.close(slave)
    text = b""
    try:
        while piece := os.read(master, 65536):
            text += piece
    except OSError:
        pass
    os.close(master)
    return text.decode(), process.wait(keystile.PATIENCE_S)


def test_progress_on_a_terminal(line, tmp_path):
    file = tmp_path / "keys.jsonl"
    file.write_text("\n".join(import_line(f"bar {line.daemon is None} {n}")[1] for n in range(300)) + "\n", encoding="utf-8")
    text, code = on_a_terminal([str(keystile.PROGRAM), "keys", "import", str(file), "--data", str(line.data)])
    assert code == 0, text
    assert re.search(r"\rimport +\[#{40}\] 100%\r?\n", text), text


def test_no_progress_elsewhere(line, tmp_path):
    file = tmp_path / "keys.jsonl"
    file.write_text(import_line(f"no bar {line.daemon is None}")[1] + "\n", encoding="utf-8")
    assert line.run("keys", "import", file).err == ""


# ---- completion and manual pages ----

def completion(shell):
    done = keystile.run("completion", shell)
    assert done.code == 0 and done.err == ""
    return done.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_as_json(shell):
    assert keystile.run("completion", shell, "--json").json == {"shell": shell, "text": completion(shell)}


def test_completion_of_no_shell(quiet):
    assert "bash, zsh or fish" in quiet.run("completion", "tcsh", expect=2).err


def bash_completes(tmp_path, *words):
    script = tmp_path / "completion.bash"
    script.write_text(completion("bash"), encoding="utf-8")
    quoted = " ".join(f"'{w}'" for w in ("keystile", *words))
    done = subprocess.run(["bash", "--norc", "-c", f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _keystile; "
                           "printf '%s\\n' \"${COMPREPLY[@]}\""], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr == ""
    return {w.strip() for w in done.stdout.split()}


def test_bash_completion(tmp_path):
    (tmp_path / "a-file").write_text("")
    assert subprocess.run(["bash", "-n"], input=completion("bash"), text=True, capture_output=True, check=True).stderr == ""
    assert bash_completes(tmp_path, "") == {c[0] for c in COMMANDS}
    assert bash_completes(tmp_path, "ke") == {"keys"}
    assert bash_completes(tmp_path, "keys", "") == {c[1] for c in COMMANDS if c[0] == "keys"}
    assert bash_completes(tmp_path, "keys", "re") == {"rename"}
    assert {"--name", "--scope", "--data", "--json"} <= bash_completes(tmp_path, "keys", "create", "--")
    assert bash_completes(tmp_path, "keys", "create", "--name", "x", "--sc") == {"--scope"}
    assert "--policy" in bash_completes(tmp_path, "serve", "--")
    assert "--scope" not in bash_completes(tmp_path, "keys", "delete", "--")
    # Where no word fits, files.
    assert "a-file" in bash_completes(tmp_path, "policy", "check", "a-")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_syntax_of_other_completions(shell):
    done = subprocess.run([shell, "-n", "/dev/stdin"], input=completion(shell), text=True, capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done


def fish_completes(tmp_path, typed):
    script = tmp_path / "keystile.fish"
    script.write_text(completion("fish"), encoding="utf-8")
    done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{typed}'"], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "HOME": str(tmp_path)}, check=True)
    return {row.split("\t")[0] for row in done.stdout.splitlines()}


def test_fish_completion(tmp_path):
    assert fish_completes(tmp_path, "keystile ") >= {c[0] for c in COMMANDS}
    assert fish_completes(tmp_path, "keystile keys ") >= {c[1] for c in COMMANDS if c[0] == "keys"}
    assert {"--name", "--scope", "--json"} <= fish_completes(tmp_path, "keystile keys create --")
    assert "--scope" not in fish_completes(tmp_path, "keystile tenants create --")


@pytest.mark.parametrize("option, name", [("--man", "KEYSTILE(1)"), ("--man-settings", "KEYSTILE.YAML(5)")])
def test_manual_pages(tmp_path, option, name):
    page = tmp_path / "page"
    page.write_text(keystile.run(option).out, encoding="utf-8")
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True, check=False)
    assert lint.returncode == 0 and lint.stdout == "", lint
    text = subprocess.run(["mandoc", "-T", "utf8", str(page)], capture_output=True, text=True, check=True).stdout
    assert name in re.sub(".\b", "", text)


def test_manual_page_has_every_command():
    page = keystile.run("--man").out
    for command in COMMANDS:
        assert re.search(rf"^\.It Cm {' '.join(command)}( |$)", page, re.MULTILINE), command
    assert not re.search(r"[ \t]$", page, re.MULTILINE)
