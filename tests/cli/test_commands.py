"""Every command of the command line, with and without a running service: what it prints, what it refuses, its exit code."""
import json
import subprocess

import pytest
from keystile import DEMO_POLICY, Daemon, init, run, temporary_data

POLICY = {"KEYSTILE_POLICY": DEMO_POLICY}


@pytest.fixture(scope="module", params=["alone", "with a service"])
def store(request):
    """A data directory with a store, once with a daemon on it and once without."""
    with temporary_data() as data:
        init(data)
        if request.param == "alone":
            yield data
        else:
            with Daemon(data):
                yield data


def ks(store, *words, **more):
    return run(*words, data=store, env=POLICY, **more)


@pytest.fixture(scope="module")
def organization(store):
    return ks(store, "tenants", "create", "--kind", "organization", "--name", "Acme Dental", "--json").json["id"]


def make_key(store, organization, *more):
    return ks(store, "keys", "create", "--tenant", organization, "--name", "CRM", "--scope", "contacts:read", "--json", *more).json


# ---- bad usage ----

@pytest.mark.parametrize("words", [
    [], ["nonsense"], ["keys"], ["keys", "nonsense"], ["keys", "show"], ["keys", "show", "a", "b"], ["keys", "create"],
    ["keys", "list", "--nonsense"], ["keys", "list", "--limit"], ["version", "--json=yes"], ["keys", "list", "--limit", "1", "--limit", "2"],
    ["keys", "create", "--name", "n", "--expires", "someday"], ["keys", "create", "--name", "n", "--rate", "many"],
    ["keys", "create", "--name", "n", "--label", "novalue"], ["keys", "create", "--name", "n", "--scope", "a", "--default-scopes"],
    ["tenants", "create", "--name", "n"], ["members", "put", "a", "b"], ["explain", "token"], ["completion", "csh"]],
    ids=lambda words: " ".join(words) or "nothing")
def test_bad_usage_is_2_and_prints_nothing_on_standard_output(words):
    with temporary_data() as data:
        done = run(*words, data=data if words else None)
    assert (done.code, done.out) == (2, "")
    assert "keystile" in done.err


def test_errors_are_json_where_that_was_asked_for():
    with temporary_data() as data:
        done = run("keys", "list", "--json", data=data)
    assert done.code == 1 and "no store" in done.problem["error"]


def test_a_missing_store_is_not_made_by_other_commands():
    with temporary_data() as data:
        done = run("keys", "list", data=data)
        assert done.code == 1 and "keystile init" in done.err
        assert not (data / "keystile.db").exists()


# ---- init ----

def test_init_prints_the_token_alone_and_once():
    with temporary_data() as data:
        first = run("init", data=data)
        again = run("init", data=data)
    assert first.code == 0 and first.err == "" and len(first.out.split()) == 1 and first.out.startswith("ks_")
    assert (again.code, again.out) == (1, "")
    assert "already" in again.err


def test_the_first_key_of_serve_stands_on_standard_error():
    with temporary_data() as data, Daemon(data) as daemon:
        assert daemon.first_key.startswith("ks_")
        assert daemon.call("GET", "/v1/account", token=daemon.first_key).status == 200
        assert daemon.first_key not in json.dumps(daemon.log)


# ---- keys ----

def test_the_token_stands_alone_on_standard_output(store, organization):
    done = ks(store, "keys", "create", "--tenant", organization, "--name", "n", "--scope", "contacts:read")
    assert done.code == 0 and done.out.strip().startswith("ks_") and len(done.out.split()) == 1
    assert done.out.strip() not in done.err


def test_a_key_lives_and_ends(store, organization):
    key = make_key(store, organization, "--expires", "90d", "--address", "203.0.113.0/24", "--rate", "600/60", "--label", "team=ops")
    assert key["rate_limit"] == {"requests": 600, "window_s": 60} and key["labels"] == {"team": "ops"}
    assert key["addresses"] == ["203.0.113.0/24"] and key["expires_at"]
    shown = ks(store, "keys", "show", key["id"], "--json").json
    assert "token" not in shown and shown["last_four"] == key["token"][-4:]
    assert ks(store, "keys", "rename", key["id"], "New name", "--json").json["name"] == "New name"
    assert key["id"] in [k["id"] for k in ks(store, "keys", "list", "--query", "new NAME", "--json").json["items"]]
    assert ks(store, "verify", "--address", "203.0.113.9", "--json", input=key["token"]).json["allow"] is True
    gone = ks(store, "keys", "delete", key["id"], "--json").json
    assert gone["status"] == "revoked" and gone["revoked_at"]
    again = ks(store, "keys", "delete", key["id"], "--json").json
    # Counted uses reach the record a moment later.
    assert {n: v for n, v in again.items() if n != "uses" and not n.startswith("last_used")} == \
        {n: v for n, v in gone.items() if n != "uses" and not n.startswith("last_used")}
    assert ks(store, "verify", "--address", "203.0.113.9", input=key["token"]).code == 3


def test_rotation_keeps_the_old_key_for_the_overlap_alone(store, organization):
    key = make_key(store, organization)
    successor = ks(store, "keys", "rotate", key["id"], "--overlap", "3600", "--json").json
    assert successor["rotated_from"] == key["id"] and successor["scopes"] == key["scopes"]
    assert [ks(store, "verify", input=t).code for t in (key["token"], successor["token"])] == [0, 0]
    last = ks(store, "keys", "rotate", successor["id"], "--json").json
    assert [ks(store, "verify", input=t).code for t in (successor["token"], last["token"])] == [3, 0]


def test_runtime_keys_are_made_here(store):
    key = ks(store, "keys", "create", "--kind", "runtime", "--name", "calls", "--scope", "keystile:secrets:reveal", "--json").json
    assert (key["kind"], key["binding"]) == ("runtime", "operator")


def test_refusals_name_the_member(store, organization):
    done = ks(store, "keys", "create", "--tenant", organization, "--name", "n", "--scope", "no:such", "--json")
    assert done.code == 1 and done.out == ""
    assert [e["pointer"] for e in done.problem["errors"]] == ["/scopes/0"]


def test_an_unknown_key_is_1(store):
    done = ks(store, "keys", "show", "key_0000000000001")
    assert done.code == 1 and "not_found" in done.err


def test_usage_is_shown(store, organization):
    key = make_key(store, organization)
    assert ks(store, "keys", "usage", key["id"], "--step", "day", "--json").json["items"] == []


def test_import_says_what_is_wrong_with_each_line(store, organization, tmp_path):
    good = {"name": "old", "tenant": organization, "scopes": ["contacts:read"], "expires_at": None, "sha256": "ab" * 32}
    lines = tmp_path / "keys.jsonl"
    lines.write_text("\n".join([json.dumps(good), "{", json.dumps({**good, "sha256": "xy"}), json.dumps(good)]) + "\n")
    done = ks(store, "keys", "import", lines)
    assert done.code == 1 and "4 lines: 1 imported, 3 refused" in done.out
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["line 2", "line 3", "line 4"]


# ---- tenants, users, members ----

def test_the_tree_grows_and_stops(store, organization):
    sub = ks(store, "tenants", "create", "--kind", "sub_entity", "--parent", organization, "--name", "North", "--json").json
    assert sub["organization"] == organization
    key = ks(store, "keys", "create", "--tenant", sub["id"], "--name", "n", "--scope", "contacts:read", "--json").json
    assert ks(store, "tenants", "suspend", sub["id"]).code == 0
    assert ks(store, "verify", input=key["token"]).code == 3
    assert ks(store, "tenants", "resume", sub["id"]).code == 0
    assert ks(store, "verify", input=key["token"]).code == 0
    assert ks(store, "tenants", "rename", sub["id"], "South", "--json").json["name"] == "South"
    assert sub["id"] in ks(store, "tenants", "list", "--parent", organization).out
    assert ks(store, "tenants", "delete", sub["id"]).code == 0
    assert ks(store, "verify", input=key["token"]).code == 3
    assert ks(store, "tenants", "show", sub["id"]).code == 1


def test_people(store, organization, request):
    email = f"ann{abs(hash(request.node.name))}@example.com"
    user = ks(store, "users", "create", "--organization", organization, "--email", email, "--name", "Ann", "--json").json
    assert ks(store, "members", "put", organization, user["id"], "--role", "member").code == 0
    assert email in ks(store, "users", "list", "--organization", organization).out
    key = ks(store, "keys", "create", "--user", user["id"], "--name", "own", "--scope", "contacts:read", "--json").json
    assert key["binding"] == "user"
    assert ks(store, "members", "remove", organization, user["id"]).out == "done\n"
    assert ks(store, "members", "remove", organization, user["id"]).code == 1


# ---- deciding ----

@pytest.mark.parametrize("how", ["argument", "environment", "standard input"])
def test_a_credential_comes_three_ways(store, organization, how):
    token = make_key(store, organization)["token"]
    words = ["verify", "--method", "GET", "--path", "/api/v1/contacts", "--json"]
    done = {"argument": lambda: ks(store, *words, token),
            "environment": lambda: run(*words, data=store, env={**POLICY, "KEYSTILE_TOKEN": token}),
            "standard input": lambda: ks(store, *words, input=token + "\n")}[how]()
    assert done.code == 0 and done.json["code"] == "ok"


def test_explain_tells_each_step_and_where_it_failed(store, organization):
    token = make_key(store, organization)["token"]
    done = ks(store, "explain", "--method", "POST", "--path", "/api/v1/contacts", "--json", input=token)
    assert done.code == 3 and done.json["code"] == "scope_missing"
    assert [s["verdict"] for s in done.json["steps"]] == ["passed"] * 7 + ["failed"] + ["not reached"] * 2
    text = ks(store, "explain", "--method", "POST", "--path", "/api/v1/contacts", input=token).out
    assert token not in text and "contacts:write" in text


# ---- policy ----

def test_a_sound_policy_prints_nothing():
    done = run("policy", "check", DEMO_POLICY)
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_bad_policy_is_told_by_line_and_column(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nscopes:\n  contacts:read: {about: Read, defautl: true}\nfamilies: {}\n")
    done = run("policy", "check", bad)
    assert done.code == 1 and done.err.startswith(f"{bad}:3:") and "defautl" in done.err
    assert run("policy", "check", bad, "--json").problem["line"] == 3
    assert run("policy", "check", tmp_path / "none").code == 1


def test_the_matrix_lists_each_method_of_each_family(store):
    out = ks(store, "policy", "matrix").out
    assert any(line.split()[:3] == ["contacts", "GET", "contacts:read"] for line in out.splitlines()), out
    assert "contacts" in ks(store, "policy", "show").out


# ---- the machine's side ----

def test_the_ring_is_shown_and_rebuilt(store):
    before = ks(store, "ring", "stat", "--json").json
    assert before["ready"] is True
    assert ks(store, "ring", "rebuild").code == 0
    after = ks(store, "ring", "stat", "--json").json
    assert after["keys"] == before["keys"] and after["generation"] > before["generation"]


def test_backup_makes_a_new_file_alone(store, tmp_path):
    assert ks(store, "backup", tmp_path / "b.db").code == 0
    assert (tmp_path / "b.db").stat().st_mode & 0o777 == 0o600
    assert ks(store, "backup", tmp_path / "b.db").code == 1


def test_config_show_says_where_a_value_comes_from(tmp_path):
    file = tmp_path / "keystile.yaml"
    file.write_text("listen: 127.0.0.1:1\nhttp: {threads: 3}\npolicy: p.yaml\n")
    shown = run("config", "show", "--config", file, "--json", env={"KEYSTILE_HTTP_THREADS": 4}).json
    assert (shown["listen"], shown["http.threads"], shown["policy"]) == ("127.0.0.1:1", 4, str(tmp_path / "p.yaml"))
    text = run("config", "show", "--config", file, env={"KEYSTILE_HTTP_THREADS": 4}).out
    assert "(environment)\nhttp.threads: 4" in text and "(file)\nlisten:" in text and "(default)\nrealm:" in text


@pytest.mark.parametrize("text,told", [("lisen: x\n", ":1:1: lisen: no such setting"), ("http: {threads: 0}\n", "http.threads: must be"),
                                       ("listen: a\nlisten: b\n", "given twice"), ("a: [\n", ":2:1:")])
def test_a_bad_settings_file_is_told_by_line_and_column(tmp_path, text, told):
    file = tmp_path / "keystile.yaml"
    file.write_text(text)
    done = run("config", "show", "--config", file)
    assert done.code == 1 and told in done.err, done.err


def test_version_and_help():
    assert run("version").out == "keystile 0.1.0\n" == run("--version").out
    for line in run("--help").out.splitlines():
        words = [w for w in line.split("  ")[1].split() if w.islower()] if line.startswith("  ") else []
        if words:
            done = run(*words, "--help")
            assert done.code == 0 and done.out.startswith(f"usage: keystile {' '.join(words)}"), words


def test_completion_completes(tmp_path):
    script = tmp_path / "c"
    script.write_text(run("completion", "bash").out)
    def complete(*words):
        typed = " ".join(f"'{w}'" for w in words)
        return subprocess.run(["bash", "-c", f". {script}; COMP_WORDS=(keystile {typed}); COMP_CWORD={len(words)}; _keystile; "
                               'printf "%s\\n" "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True).stdout.split()
    assert "keys" in complete("k") and "rotate" in complete("keys", "ro") and "--overlap" in complete("keys", "rotate", "--o")
    for shell in ("zsh", "fish"):
        assert "keystile" in run("completion", shell).out


@pytest.mark.parametrize("page", ["--man", "--man-settings"])
def test_the_man_pages_are_sound(tmp_path, page):
    text = run(page).out
    file = tmp_path / "page.1"
    file.write_text(text)
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "error", file], capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout
    assert "KEYSTILE" in subprocess.run(["mandoc", file], capture_output=True, text=True, check=True).stdout
