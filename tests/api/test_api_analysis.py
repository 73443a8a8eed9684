"""Who can, what can, diff, audit and test: exact answers over the keys that the caller sees, and over no others."""
import hashlib

import pytest
import yaml

import keystile

from api_service import OWN_SCOPES, Api, World, eventually, lines, new_key, pointers, same_problem, unique

DEMO = keystile.DEMO_POLICY.read_text(encoding="utf-8")
CONTACTS = "/v1/policy/who-can?method=GET&path=/api/v1/contacts"
AUDITORS = [s for s in OWN_SCOPES if s != "keystile:policy:write"]


@pytest.fixture(scope="module")
def world():
    """A service of its own: what is counted is what is made here."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env={"KEYSTILE_USAGE_FLUSH_MS": "100"}) as daemon:
        yield World(daemon)


@pytest.fixture(scope="module")
def keys(world):
    """A key of each tenant that may read contacts, by the tenant's name in the world."""
    return {place: world.operator.make_key(name=place, tenant=getattr(world, place), scopes=["contacts:read"])
            for place in ("partner", "first", "second", "acme", "sub", "nested", "project", "other")}


@pytest.fixture(scope="module")
def operator_key(world):
    return world.operator.make_key(name="root", tenant=world.root, scopes=["contacts:read"])


def ids(items):
    return {i["key"] for i in items}


def changed(edit):
    """The demo policy with something else in it."""
    policy = yaml.safe_load(DEMO)
    edit(policy)
    return yaml.safe_dump(policy, sort_keys=False)


# ---- who can ----

def test_who_can_lists_every_key_that_could(world, keys, operator_key):
    answer = world.operator.get(CONTACTS).json
    assert answer["family"] == "contacts"
    wanted = {k["id"] for k in keys.values()} | {operator_key["id"]}
    assert ids(answer["items"]) == wanted and answer["total"] == len(wanted)
    assert {i["name"]: i["acts_in"] for i in answer["items"]}["partner"] == "others"
    assert [i["key"] for i in answer["items"]] == sorted(wanted, reverse=True)


def test_who_can_of_one_tenant(world, keys, operator_key):
    def who(place):
        return ids(world.operator.get(f"{CONTACTS}&tenant={getattr(world, place)}").json["items"])
    root = operator_key["id"]
    assert who("acme") == {keys["acme"]["id"], root}
    assert who("nested") == {keys[p]["id"] for p in ("acme", "sub", "nested")} | {root}
    assert who("first") == {keys["first"]["id"], keys["partner"]["id"], root}
    # The family takes a partner's key for an organization alone.
    assert who("partner") == {root}


@pytest.mark.parametrize("place", ["acme", "sub", "first", "second", "nested", "partner"])
def test_who_can_agrees_with_authorize(world, keys, operator_key, place):
    tenant = getattr(world, place)
    who = ids(world.operator.get(f"{CONTACTS}&tenant={tenant}").json["items"])
    for key in [*keys.values(), operator_key]:
        verdict = world.daemon.authorize(key["token"], headers={"X-Tenant-Id": tenant}).status
        assert (verdict == 200) == (key["id"] in who)


def test_who_can_pages(world, keys):
    whole = world.operator.get(CONTACTS).json["items"]
    for limit in (1, 2, 500):
        assert world.operator.pages(CONTACTS, limit) == whole
    assert world.owner.get(f"{CONTACTS}&limit=100000").json["items"] == whole
    assert pointers(world.operator.get(f"{CONTACTS}&limit=501", expect=400, code="query_malformed")) == ["?limit"]


def test_who_can_of_our_own_api(world):
    own = world.operator.get("/v1/policy/who-can?method=POST&path=/v1/keys&policy=own").json
    assert own["family"] == "keystile:keys" and own["total"] >= 1
    assert world.operator.get("/v1/policy/who-can?method=POST&path=/v1/keys").json["family"] is None


def test_nobody_can_where_no_family_is(world, keys):
    answer = world.operator.get("/v1/policy/who-can?method=GET&path=/nowhere").json
    assert (answer["family"], answer["total"], answer["items"]) == (None, 0, [])


@pytest.mark.parametrize("query, pointer", [
    ("method=GET", "?path"), ("path=/a", "?method"), ("method=G%2FT&path=/a", "?method"), ("method=GET&path=/a/../b", "?path"),
    ("method=GET&path=/a&policy=mine", "?policy"), ("method=GET&path=/a&more=1", "?more"), ("method=GET&path=/a&tenant=x", "?tenant"),
    ("method=GET&path=/a&path=/b", "?path")])
def test_bad_questions(world, query, pointer):
    assert pointer in pointers(world.operator.get(f"/v1/policy/who-can?{query}", expect=400, code="query_malformed"))


def test_a_key_that_stopped_can_nothing(world):
    key = world.operator.make_key(tenant=world.other, scopes=["contacts:read"])
    target = f"/v1/policy/what-can?key={key['id']}"
    assert world.operator.get(target).json["accepted"]
    before = world.operator.get(CONTACTS).json["total"]
    world.operator.delete(f"/v1/keys/{key['id']}")
    assert world.operator.get(CONTACTS).json["total"] == before - 1
    answer = world.operator.get(target).json
    assert not answer["accepted"] and answer["items"] == []


def test_a_suspended_tenant_stops_its_keys(world):
    tenant = world.operator.make_tenant("organization")["id"]
    key = world.operator.make_key(tenant=tenant, scopes=["contacts:read"])
    assert key["id"] in ids(world.operator.get(CONTACTS).json["items"])
    world.operator.post(f"/v1/tenants/{tenant}/suspend", expect=200)
    assert key["id"] not in ids(world.operator.get(CONTACTS).json["items"])


# ---- what can ----

def test_what_can_is_what_authorize_allows(world, keys):
    items = world.operator.pages(f"/v1/policy/what-can?key={keys['acme']['id']}&denied=true", 500)
    assert {i["family"] for i in items} == set(yaml.safe_load(DEMO)["families"])
    for item in items:
        path = item["route"].replace("/**", "/x/y").replace("{id}", "7").replace("{", "").replace("}", "")
        for method in item["methods"]:
            answer = world.daemon.authorize(keys["acme"]["token"], "PROPFIND" if method == "*" else method, path)
            assert (answer.status == 200) == item["allow"], item
            assert answer.code == (None if item["allow"] else item["code"])
            assert answer.status == 200 or answer.json.get("required_scope") == item["required_scope"]
    allowed = world.operator.pages(f"/v1/policy/what-can?key={keys['acme']['id']}", 500)
    assert allowed == [i for i in items if i["allow"]] and {i["family"] for i in allowed} == {"contacts"}


def test_what_can_pages(world, keys):
    target = f"/v1/policy/what-can?key={keys['acme']['id']}&denied=true"
    assert world.operator.pages(target, 3) == world.operator.pages(target, 500)


# ---- isolation ----

@pytest.fixture(scope="module")
def administrator(world):
    """Of acme: sees acme, and what is below it."""
    return world.caller(world.acme, scopes=AUDITORS)


def test_an_administrator_is_told_of_its_own_keys_alone(world, keys, operator_key, administrator):
    answer = administrator.get(CONTACTS).json
    assert ids(answer["items"]) == {keys[p]["id"] for p in ("acme", "sub", "nested", "project")}
    assert answer["total"] == 4
    assert administrator.get(f"{CONTACTS}&limit=2").json["total"] == 4
    of_acme = administrator.get(f"{CONTACTS}&tenant={world.acme}").json
    assert (of_acme["total"], ids(of_acme["items"])) == (1, {keys["acme"]["id"]})


def test_what_is_not_seen_cannot_be_told_from_what_is_not_there(world, keys, administrator):
    missing = administrator.get("/v1/policy/what-can?key=key_0m6xwq3k2r4t8", expect=404, code="not_found")
    for place in ("partner", "first", "second", "other"):
        assert same_problem(administrator.get(f"/v1/policy/what-can?key={keys[place]['id']}", expect=404), missing)
    nowhere = administrator.get(f"{CONTACTS}&tenant=org_0m6xwq3k2r4t8", expect=403, code="tenant_forbidden")
    for place in ("partner", "first", "other", "root"):
        tenant = getattr(world, place)
        assert same_problem(administrator.get(f"{CONTACTS}&tenant={tenant}", expect=403), nowhere)
        administrator.get(f"/v1/policy/audit?tenant={tenant}", expect=403, code="tenant_forbidden")


def test_an_audit_counts_what_is_seen_alone(world, keys, administrator):
    before = administrator.get("/v1/policy/audit").json
    foreign = world.operator.make_key(tenant=world.other, scopes=[])
    after = administrator.get("/v1/policy/audit").json
    assert after == before
    whole = world.operator.get("/v1/policy/audit").json
    assert whole["keys"] > after["keys"]
    seen = {f["finding"]: set(f["examples"]) for f in after["findings"]}
    assert not any(foreign["id"] in examples for examples in seen.values())
    mine = {keys[p]["id"] for p in ("acme", "sub", "nested", "project")}
    assert ids(administrator.pages("/v1/policy/audit/no_expiry", 2)) >= mine
    assert not ids(administrator.pages("/v1/policy/audit/no_expiry", 500)) & {keys[p]["id"] for p in ("first", "other", "partner")}


def test_changes_are_for_those_who_may_change_the_policy(world, administrator):
    for target, body in (("/v1/policy/diff", {"new": DEMO}), ("/v1/policy/test", {"assertions": "x"})):
        answer = administrator.post(target, body, expect=403, code="scope_missing")
        assert answer.json["required_scope"] == "keystile:policy:write"


def test_a_diff_for_a_tenant_counts_its_own_keys(world, keys):
    editor = world.caller(world.acme, scopes=["keystile:policy:write", "keystile:keys:read"])
    new = changed(lambda p: p["families"]["contacts"].update(kinds=["session", "partner"]))
    answer = editor.post("/v1/policy/diff", {"old": DEMO, "new": new, "all": True}, expect=200).json
    mine = {keys[p]["id"] for p in ("acme", "sub", "nested", "project")}
    assert {k for c in answer["changes"] for k in c["examples"]} == mine
    assert answer["keys_affected"] == 4
    tried = editor.post("/v1/policy/test", {"assertions": assertions("never: keys reach contacts")}, expect=200).json
    assert tried["assertions"][0]["keys_failing"] == 4


@pytest.mark.parametrize("scopes", [["keystile:policy:read"], ["keystile:keys:read"], []])
@pytest.mark.parametrize("target", [CONTACTS, "/v1/policy/what-can?key=key_0m6xwq3k2r4t8", "/v1/policy/audit",
                                    "/v1/policy/audit/no_expiry"])
def test_both_scopes_are_needed(world, scopes, target):
    world.caller(world.acme, scopes=scopes).get(target, expect=403, code="scope_missing")


# ---- people ----

PEOPLE = "/v1/policy/who-can/users?method=GET&path=/api/v1/contacts"


@pytest.fixture(scope="module")
def people(world):
    """An administrator of acme, a member of nested who is at home elsewhere, and one without any role."""
    def make(home, **roles):
        user = world.operator.post("/v1/users", {"organization": getattr(world, home), "email": f"{unique('user')}@example.com",
                                                 "name": "U"}).json["id"]
        for place, role in roles.items():
            world.operator.put(f"/v1/tenants/{getattr(world, place)}/members/{user}", {"role": role})
        return user
    return {"administrator": make("acme", acme="administrator"), "guest": make("other", nested="member"), "nobody": make("acme")}


def users(answer):
    return {i["user"] for i in answer["items"]}


def test_people_who_can(world, people):
    answer = world.operator.get(PEOPLE).json
    assert users(answer) & set(people.values()) == {people["administrator"], people["guest"]}
    by_user = {i["user"]: i for i in answer["items"]}
    assert by_user[people["administrator"]]["memberships"] == [{"tenant": world.acme, "role": "administrator"}]
    assert users(world.operator.get(f"{PEOPLE}&tenant={world.sub}").json) == {people["administrator"]}
    assert users(world.operator.get(f"{PEOPLE}&tenant={world.nested}").json) == {people["administrator"], people["guest"]}
    assert world.operator.get(f"{PEOPLE}&tenant={world.other}").json["total"] == 0


def test_people_follow_their_roles(world, people):
    writes = "/v1/policy/who-can/users?method=POST&path=/api/v1/contacts"
    assert people["guest"] not in users(world.operator.get(writes).json)
    world.operator.put(f"/v1/tenants/{world.nested}/members/{people['guest']}", {"role": "campaign_manager"})
    assert people["guest"] in users(world.operator.get(f"{writes}&tenant={world.nested}").json)
    world.operator.put(f"/v1/tenants/{world.nested}/members/{people['guest']}", {"role": "member"})
    assert people["guest"] not in users(world.operator.get(writes).json)
    world.operator.post(f"/v1/users/{people['guest']}/disable", expect=200)
    assert people["guest"] not in users(world.operator.get(PEOPLE).json)
    world.operator.post(f"/v1/users/{people['guest']}/enable", expect=200)


def test_people_are_told_to_those_who_see_them(world, people):
    acme = world.caller(world.acme)
    seen = {i["user"]: i for i in acme.get(PEOPLE).json["items"]}
    assert set(seen) == {people["administrator"], people["guest"]}
    # Seen by its membership alone.
    assert (seen[people["guest"]]["email"], seen[people["guest"]]["name"]) == (None, None)
    assert seen[people["administrator"]]["email"]
    other = world.caller(world.other)
    answer = other.get(PEOPLE).json
    assert users(answer) & set(people.values()) == {people["guest"]} and answer["total"] == len(answer["items"])
    assert {i["user"]: i for i in answer["items"]}[people["guest"]]["memberships"] == []
    first = world.caller(world.first)
    assert not users(first.get(PEOPLE).json) & set(people.values())
    first.get(f"{PEOPLE}&tenant={world.acme}", expect=403, code="tenant_forbidden")
    world.caller(world.acme, scopes=["keystile:policy:read", "keystile:keys:read"]).get(PEOPLE, expect=403, code="scope_missing")


def test_people_in_pages(world, people):
    assert world.operator.pages(PEOPLE, 1) == world.operator.pages(PEOPLE, 500)
    assert world.operator.get("/v1/policy/who-can/users?method=GET&path=/nowhere").json["items"] == []
    assert "?path" in pointers(world.operator.get("/v1/policy/who-can/users?method=GET", expect=400, code="query_malformed"))


# ---- diff ----

def diff(world, new, **members):
    return world.operator.post("/v1/policy/diff", {"new": new, **members}, expect=200).json


def test_a_policy_changes_nothing_against_itself(world, keys):
    for answer in (diff(world, DEMO), diff(world, DEMO, old=DEMO)):
        assert (answer["keys_affected"], answer["scopes"], answer["roles"], answer["changes"]) == (0, [], [], [])


def test_losing_a_kind(world, keys):
    answer = diff(world, changed(lambda p: p["families"]["contacts"].update(kinds=["session", "partner"])), all=True)
    assert {c["effect"] for c in answer["changes"]} == {"loses"}
    assert {c["old"]["route"] for c in answer["changes"]} == {"/api/v1/contacts", "/api/v1/contacts/**"}
    for change in answer["changes"]:
        assert change["methods"] == ["GET", "HEAD"] and change["old"] == change["new"]
        assert keys["acme"]["id"] in change["examples"] and keys["partner"]["id"] not in change["examples"]
        assert change["keys"] == len(change["examples"]) == answer["keys_affected"]
        assert change["kinds"] == {"tenant": change["keys"]}


def test_gaining_a_route(world, keys):
    new = changed(lambda p: p["families"]["contacts"]["routes"].append("/api/v2/contacts/{id}"))
    [change] = diff(world, new, examples=1)["changes"]
    assert (change["effect"], change["old"], change["new"]["route"]) == ("gains", None, "/api/v2/contacts/{id}")
    assert change["path"] == "/api/v2/contacts/{any}" and len(change["examples"]) == 1
    assert keys["partner"]["id"] in {k for c in diff(world, new, all=True)["changes"] for k in c["examples"]}


def test_a_more_specific_route_takes_requests_away(world, keys):
    def edit(policy):
        policy["families"]["deep"] = {"routes": ["/api/v1/contacts/deep"], "kinds": ["tenant"], "scopes": {"GET": "contacts:write"}}
    answer = diff(world, changed(edit))
    [change] = answer["changes"]
    assert (change["effect"], change["path"]) == ("loses", "/api/v1/contacts/deep")
    assert (change["old"]["family"], change["new"]["family"], change["methods"]) == ("contacts", "deep", ["GET"])


def test_fewer_tenants(world, keys):
    answer = diff(world, changed(lambda p: p["families"]["contacts"].update(tenant_header="refused")), all=True)
    assert {c["effect"] for c in answer["changes"]} == {"fewer_tenants"}
    assert keys["acme"]["id"] in answer["changes"][0]["examples"]


def test_scopes_and_roles_that_change(world, keys):
    def edit(policy):
        policy["scopes"]["contacts:read"]["opt_in"] = True
        del policy["scopes"]["contacts:read"]["default"]
        policy["scopes"]["films:read"] = {"about": "Films"}
        policy["roles"]["call_operator"]["scopes"].remove("contacts:read")
        policy["roles"]["films"] = {"about": "Films", "scopes": ["films:read"]}
        del policy["roles"]["billing_reader"]
    answer = diff(world, changed(edit))
    holders = world.operator.get(CONTACTS).json["total"]
    changes = {(s["scope"], s["change"]): s["keys"] for s in answer["scopes"]}
    assert changes == {("contacts:read", "now_opt_in"): holders, ("contacts:read", "no_longer_default"): holders,
                       ("films:read", "added"): 0}
    assert {r["role"]: (r["change"], r["gains"], r["loses"]) for r in answer["roles"]} == {
        "call_operator": ("changed", [], ["contacts:read"]), "films": ("added", ["films:read"], []),
        "billing_reader": ("removed", [], ["billing:tenant:read"])}


@pytest.mark.parametrize("body, pointer", [
    ({}, "/new"), ({"new": 7}, "/new"), ({"new": ""}, "/new"), ({"new": DEMO, "old": 7}, "/old"), ({"new": DEMO, "more": 1}, "/more"),
    ({"new": DEMO, "examples": 1001}, "/examples"), ({"new": DEMO, "all": "yes"}, "/all"), ({"new": "version: 2"}, "/new"),
    ({"new": DEMO, "old": "scopes: ["}, "/old"), ({"new": DEMO.replace("contacts:read, HEAD", "nonsuch, HEAD")}, "/new")])
def test_a_bad_diff(world, body, pointer):
    answer = world.operator.post("/v1/policy/diff", body, expect=422, code="invalid")
    assert pointer in pointers(answer)


def test_a_large_policy_fits(world):
    def edit(policy):
        for i in range(2000):
            policy["families"][f"f{i}"] = {"about": "x" * 200, "routes": [f"/bulk/{i}/**"], "kinds": ["tenant"],
                                           "scopes": {"GET": "contacts:read"}}
    new = changed(edit)
    assert len(new) > 500_000
    answer = diff(world, new + "#" * (1 << 20), examples=0)
    assert len(answer["changes"]) == 2000


# ---- audit ----

def finding(caller, name, **query):
    more = "".join(f"&{k}={v}" for k, v in query.items())
    return caller.get(f"/v1/policy/audit/{name}?limit=500{more}").json


def summary(caller, **query):
    more = "&".join(f"{k}={v}" for k, v in query.items())
    return {f["finding"]: f["keys"] for f in caller.get(f"/v1/policy/audit?{more}").json["findings"]}


def test_findings(world):
    """Each finding on a tenant of its own, by a key that has it and one that has not."""
    tenant = world.operator.make_tenant("organization")["id"]

    def make(**members):
        return world.operator.make_key(tenant=tenant, **members)["id"]
    good = make(scopes=["contacts:read"], expires_at="2099-01-01T00:00:00Z")
    assert summary(world.operator, tenant=tenant) == {
        "no_scopes": 0, "reaches_nothing": 0, "unknown_scopes": 0, "opt_in_scopes": 0, "wrong_kind_scopes": 0, "no_expiry": 0,
        "imported": 0, "mixed_environments": 0, "never_used": 1, "unused_scopes": 0}
    bad = {"no_scopes": make(expires_at="2099-01-01T00:00:00Z"),
           "opt_in_scopes": make(scopes=["call_traces:admin_read", "contacts:read"], expires_at="2099-01-01T00:00:00Z"),
           "no_expiry": make(scopes=["contacts:read"])}
    for name, key in bad.items():
        answer = finding(world.operator, name, tenant=tenant)
        assert (ids(answer["items"]), answer["total"]) == ({key}, 1)
    assert finding(world.operator, "opt_in_scopes", tenant=tenant)["items"][0]["scopes"] == ["call_traces:admin_read"]
    sandbox = make(scopes=["contacts:read"], environment="sandbox", expires_at="2099-01-01T00:00:00Z")
    assert ids(finding(world.operator, "mixed_environments", tenant=tenant)["items"]) == {good, sandbox, *bad.values()}


def test_imported_keys_are_told(world):
    tenant = world.operator.make_tenant("organization")["id"]
    digest = hashlib.sha256(unique("foreign-token").encode()).hexdigest()
    record = {**new_key(tenant=tenant, scopes=["contacts:read"]), "sha256": digest, "prefix": "old", "last_four": "abcd"}
    world.operator.post("/v1/keys/import", lines(record), expect=200, headers={"Content-Type": "application/x-ndjson"})
    world.operator.make_key(tenant=tenant, scopes=["contacts:read"])
    assert finding(world.operator, "imported", tenant=tenant)["total"] == 1


def test_use_is_noticed_at_once(world):
    key = world.operator.make_key(tenant=world.other, scopes=["contacts:read"])
    assert key["id"] in ids(finding(world.operator, "never_used", tenant=world.other)["items"])
    assert world.daemon.authorize(key["token"]).status == 200
    assert key["id"] not in ids(finding(world.operator, "never_used", tenant=world.other)["items"])


def test_a_tenant_of_the_tree(world, keys):
    listed = ids(finding(world.operator, "no_expiry", tenant=world.sub)["items"])
    assert {keys["sub"]["id"], keys["nested"]["id"]} <= listed and keys["acme"]["id"] not in listed


def test_audit_pages(world, keys):
    assert world.operator.pages("/v1/policy/audit/no_expiry", 3) == world.operator.pages("/v1/policy/audit/no_expiry", 500)


@pytest.mark.parametrize("target, code", [("/v1/policy/audit?days=0", 400), ("/v1/policy/audit?days=3651", 400),
                                          ("/v1/policy/audit?days=x", 400), ("/v1/policy/audit?limit=3", 400),
                                          ("/v1/policy/audit/nonsuch", 404), ("/v1/policy/audit/no_expiry?days=0", 400)])
def test_bad_audits(world, target, code):
    world.operator.get(target, expect=code)


# ---- test ----

def assertions(*sentences):
    return "version: 1\nassertions:\n" + "".join(f"  - {s}\n" for s in sentences)


def hold(world, *sentences, **members):
    return world.operator.post("/v1/policy/test", {"assertions": assertions(*sentences), **members}, expect=200).json


@pytest.fixture(scope="module")
def team(world):
    """Keys of one tenant that differ in what assertions select by."""
    tenant = world.operator.make_tenant("organization")["id"]

    def make(**members):
        return world.operator.make_key(tenant=tenant, **members)["id"]
    return {"tenant": tenant, "plain": make(scopes=["contacts:read"]),
            "labelled": make(scopes=["contacts:read"], labels={"team": "ops"}),
            "role": make(roles=["integrator"]),
            "sandbox": make(scopes=["contacts:read", "contacts:write"], environment="sandbox")}


@pytest.mark.parametrize("sentence, failing", [
    ("never: keys of {tenant} reach contacts", {"plain", "labelled", "role", "sandbox"}),
    ("never: keys of {tenant} reach POST contacts", {"sandbox"}),
    ("never: sandbox keys of {tenant} reach contacts", {"sandbox"}),
    ("never: live keys of {tenant} reach contacts", {"plain", "labelled", "role"}),
    ("never: keys with label team=ops of {tenant} reach contacts", {"labelled"}),
    ("never: keys without label team=ops of {tenant} reach contacts", {"plain", "role", "sandbox"}),
    ("never: keys with role integrator of {tenant} reach contacts", {"role"}),
    ("never: keys without role integrator and label team=ops of {tenant} reach contacts", {"plain", "sandbox"}),
    ("never: keys with scope contacts:write of {tenant} reach contacts", {"sandbox"}),
    ("never: keys with scope contacts:read without scope contacts:write of {tenant} reach contacts", {"plain", "labelled", "role"}),
    ("never: key {plain} reaches anything", {"plain"}),
    ("never: key {plain} reaches DELETE anything", set()),
    ("never: partner keys of {tenant} reach contacts", set()),
    ("never: organization keys below {tenant} reach GET /api/v1/contacts/{{id}}", {"plain", "labelled", "role", "sandbox"}),
    ("always: keys of {tenant} reach contacts", {"plain", "labelled", "role"}),
    ("always: keys of {tenant} reach GET|HEAD contacts", set()),
    ("always: keys of {tenant} reach GET contacts for {tenant}", set()),
    ("always: keys of {tenant} reach GET contacts, GET voice_sessions", {"plain", "labelled", "sandbox"})])
def test_assertions(world, team, sentence, failing):
    answer = hold(world, sentence.format(**team))
    [one] = answer["assertions"]
    assert ids(one["examples"]) == {team[name] for name in failing}
    assert one["keys_failing"] == len(failing) and one["holds"] == answer["holds"] == (not failing)
    assert one["line"] == 3


def test_only(world, team, keys):
    everybody = world.operator.get(CONTACTS).json["total"]
    [one] = hold(world, f"only: keys of {team['tenant']} reach GET contacts")["assertions"]
    assert (one["keys_selected"], one["keys_failing"]) == (4, everybody - 4)
    [one] = hold(world, "only: tenant keys reach GET contacts for " + world.acme)["assertions"]
    assert one["holds"]


def test_under_another_policy(world, team):
    sentence = f"never: keys of {team['tenant']} reach contacts"
    new = changed(lambda p: p["families"]["contacts"].update(kinds=["session", "partner"]))
    assert not hold(world, sentence)["holds"] and hold(world, sentence, policy=new)["holds"]


@pytest.mark.parametrize("sentence, place", [
    ("never: keys reach films", "3:23: "), ("never: keys reach DELETE voice_sessions", "3:30: "), ("never: keys reach /films", "3:23: "),
    ("never: keys with scope nonsuch reach contacts", "3:28: "), ("never: keys with role nonsuch reach contacts", "3:27: "),
    ("never: keys of org_0m6xwq3k2r4t8 reach contacts", "3:20: "), ("never: keys reach contacts for org_0m6xwq3k2r4t8", "3:36: "),
    ("never: kys reach contacts", "3:12: ")])
def test_mistakes_have_a_place(world, sentence, place):
    answer = world.operator.post("/v1/policy/test", {"assertions": assertions(sentence)}, expect=422, code="invalid")
    [error] = answer.json["errors"]
    assert error["pointer"] == "/assertions" and error["detail"].startswith(place)


def test_without_a_platform_policy():
    with keystile.temporary_data() as data, keystile.Daemon(data, policy=None) as daemon:
        operator = Api(daemon, daemon.first_key)
        assert operator.get(CONTACTS).json["family"] is None
        assert operator.get(f"/v1/policy/what-can?key={operator.get('/v1/account').json['key']['id']}").json["items"] == []
        assert operator.post("/v1/policy/diff", {"new": DEMO}, expect=200).json["changes"] == []
        assert summary(operator)["reaches_nothing"] == 0


def test_two_at_a_time(world, keys):
    """More questions at once than are taken: each is answered, or told to come again."""
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.operator.call("GET", CONTACTS), range(64)))
    assert {a.status for a in answers} <= {200, 503} and any(a.status == 200 for a in answers)
    assert {a.code for a in answers} <= {None, "overloaded"}
    eventually(lambda: world.operator.call("GET", CONTACTS).status, 200)
