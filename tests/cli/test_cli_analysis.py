"""policy who-can, what-can, diff, audit, test: on a service and on the store itself, for people and as JSON."""
import json
import re

import pytest
import yaml

import keystile

from test_cli import POLICY, Line

DEMO = keystile.DEMO_POLICY.read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=["service", "store"])
def line(request):
    with keystile.temporary_data() as data:
        keystile.init(data)
        if request.param == "store":
            yield Line(data, POLICY)
        else:
            with keystile.Daemon(data) as daemon:
                yield Line(data, {}, daemon)


@pytest.fixture(scope="module")
def things(line):
    tenant = line.tenant("Acme")["id"]
    return {"tenant": tenant, "reader": line.make("reader", "--tenant", tenant)["id"],
            "writer": line.make("writer", "--tenant", tenant, "--scope", "contacts:write", "--label", "team=ops")["id"],
            "sandbox": line.make("toy", "--tenant", tenant, "--environment", "sandbox")["id"]}


def ids(items):
    return {i["key"] for i in items}


def test_who_can(line, things):
    answer = line.json("policy", "who-can", "POST", "/api/v1/contacts")
    assert ids(answer["items"]) == {things["writer"]} and answer["total"] == 1
    text = line.run("policy", "who-can", "POST", "/api/v1/contacts", "--tenant", things["tenant"]).out
    assert text.startswith("1 of the living keys, through the family contacts\n") and things["writer"] in text
    assert "nobody can" in line.run("policy", "who-can", "GET", "/nowhere").out
    own = line.json("policy", "who-can", "GET", "/v1/keys", "--own")
    assert own["family"] == "keystile:keys" and [i["name"] for i in own["items"]] == ["first key"]


def test_who_can_in_pages_and_whole(line, things):
    ask = ("policy", "who-can", "GET", "/api/v1/contacts")
    everybody = {things["reader"], things["writer"], things["sandbox"]}
    first = line.json(*ask, "--limit", "2")
    rest = line.json(*ask, "--limit", "2", "--cursor", first["next"])
    assert ids(first["items"]) | ids(rest["items"]) == everybody and rest["next"] is None
    assert "--cursor" in line.run(*ask, "--limit", "2").err
    whole = line.run(*ask, "--all", "--json")
    assert ids(map(json.loads, whole.out.splitlines())) == everybody and whole.err == ""
    assert {row.split("\t")[0] for row in line.run(*ask, "--all").out.splitlines()} == everybody


def test_who_can_as_people(line, things):
    user = line.json("users", "create", "--organization", things["tenant"], "--email", "ada@example.com", "--name", "Ada")["id"]
    line.run("members", "put", things["tenant"], user, "--role", "administrator")
    ask = ("policy", "who-can", "GET", "/api/v1/contacts", "--users")
    assert [i["user"] for i in line.json(*ask)["items"]] == [user]
    assert f"administrator of {things['tenant']}" in line.run(*ask, "--tenant", things["tenant"]).out
    assert line.run("policy", "who-can", "GET", "/nowhere", "--users").out == "0 people, with a session\n"


def test_what_can(line, things):
    items = line.json("policy", "what-can", things["reader"])["items"]
    assert {(i["family"], *i["methods"]) for i in items} == {("contacts", "GET", "HEAD")}
    assert line.json("what-can", things["reader"])["items"] == items
    text = line.run("what-can", things["reader"]).out
    assert re.search(r"^contacts +/api/v1/contacts +GET HEAD +seen$", text, re.M)
    denied = line.run("what-can", things["reader"], "--denied", "--limit", "500").out
    assert re.search(r"^contacts +/api/v1/contacts +\* POST +scope_missing +contacts:write +-$", denied, re.M)
    assert line.problem("what-can", "key_0000000000001")["code"] == "not_found"
    gone = line.make("gone", "--tenant", things["tenant"])["id"]
    line.run("keys", "delete", gone)
    assert "not accepted at all" in line.run("what-can", gone).out


@pytest.fixture(scope="module")
def narrower(tmp_path_factory):
    policy = yaml.safe_load(DEMO)
    policy["families"]["contacts"]["environments"] = ["live"]
    file = tmp_path_factory.mktemp("policies") / "new.yaml"
    file.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    return file


def test_diff(line, things, narrower):
    for old in ((), (keystile.DEMO_POLICY,)):
        answer = line.json("policy", "diff", *old, narrower)
        assert answer["keys_affected"] == 1
        assert {(c["effect"], *c["examples"]) for c in answer["changes"]} == {("loses", things["sandbox"])}
    text = line.run("policy", "diff", keystile.DEMO_POLICY, narrower).out
    assert "of which 1 gain or lose something" in text and things["sandbox"] not in text
    assert re.search(r"^loses +1 +GET HEAD +contacts /api/v1/contacts +contacts /api/v1/contacts +/api/v1/contacts *$", text, re.M)
    for option in (("--all",), ("--examples", "3")):
        assert f"  {things['sandbox']}\n" in line.run("policy", "diff", narrower, *option).out
    assert re.search(r"^gains +1 ", line.run("policy", "diff", narrower, keystile.DEMO_POLICY).out, re.M)
    assert line.json("policy", "diff", keystile.DEMO_POLICY)["changes"] == []


def test_a_bad_diff(line, narrower, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nfamilies:\n  a: {routes: [x]}\n", encoding="utf-8")
    for files in ((bad, narrower), (narrower, bad)):
        done = line.run("policy", "diff", *files, expect=1)
        assert done.out == "" and done.err.startswith(f"{bad}:3:")
    assert "No such file" in line.run("policy", "diff", tmp_path / "nothing", expect=1).err
    assert "--examples" in line.run("policy", "diff", narrower, "--examples", "x", expect=2).err


def test_audit(line, things):
    found = {f["finding"]: f["keys"] for f in line.json("policy", "audit", "--tenant", things["tenant"])["findings"]}
    assert (found["mixed_environments"], found["no_expiry"], found["never_used"], found["no_scopes"]) == (3, 3, 3, 0)
    text = line.run("policy", "audit", "--tenant", things["tenant"], "--days", "30").out
    assert text.startswith("3 living keys\n") and re.search(r"^no_expiry +3 +never expires", text, re.M)
    listed = line.run("policy", "audit", "--finding", "no_expiry", "--tenant", things["tenant"]).out
    assert listed.startswith("3 keys\n") and things["writer"] in listed
    assert line.problem("policy", "audit", "--finding", "nonsuch")["code"] == "not_found"
    assert line.problem("policy", "audit", "--days", "0")["code"] == "query_malformed"


def assertions(tmp_path, *sentences):
    file = tmp_path / "assertions.yaml"
    file.write_text("version: 1\nassertions:\n" + "".join(f"  - {s}\n" for s in sentences), encoding="utf-8")
    return file


def test_assertions_that_hold(line, things, tmp_path):
    file = assertions(tmp_path, "never: partner keys reach call_traces", f"always: keys of {things['tenant']} reach GET contacts")
    done = line.run("policy", "test", file)
    assert done.out.count("ok      line") == 2 and "(3 keys selected)" in done.out
    assert line.json("policy", "test", file)["holds"]


def test_assertions_that_do_not_hold(line, things, tmp_path, narrower):
    file = assertions(tmp_path, f"never: keys with label team=ops of {things['tenant']} reach contacts",
                      "never: partner keys reach contacts")
    done = line.run("policy", "test", file, expect=1)
    assert re.search(r"^FAILED +line 3 +never: .* \(not so for 1 keys\)$", done.out, re.M) and "ok      line 4" in done.out
    assert f"{things['writer']}  writer, organization key of {things['tenant']}" in done.out and things["reader"] not in done.out
    told = line.json("policy", "test", file, expect=1)
    assert (told["holds"], told["failed"]) == (False, 1)
    always = assertions(tmp_path, f"always: keys of {things['tenant']} reach GET contacts")
    assert things["sandbox"] in line.run("policy", "test", always, "--under", narrower, expect=1).out


@pytest.mark.parametrize("sentence, place", [("never: kys reach contacts", "3:12: 'kys'"), ("never: keys reach films", "3:23: the policy has no")])
def test_mistakes_in_assertions(line, tmp_path, sentence, place):
    file = assertions(tmp_path, sentence)
    done = line.run("policy", "test", file, expect=1)
    assert done.out == "" and done.err.startswith(f"{file}:{place}")


def test_words(line, tmp_path):
    for command in (("who-can", "GET"), ("what-can",), ("diff",), ("test",)):
        line.run("policy", *command, expect=2)
    assert "No such file" in line.run("policy", "test", tmp_path / "nothing", expect=1).err
