"""/v1/scopes, /v1/roles, /v1/policy: the policy file as callers see it."""
import pytest
import yaml

import keystile

from api_service import Api

OWN = yaml.safe_load((keystile.SOURCE / "src" / "api" / "self.yaml").read_text(encoding="utf-8"))
DEMO = yaml.safe_load(keystile.DEMO_POLICY.read_text(encoding="utf-8"))
ALL_KINDS = ["session", "tenant", "partner", "runtime"]


def as_list(value):
    return value if isinstance(value, list) else [value]


def test_scopes(operator):
    items = operator.pages("/v1/scopes", 500)
    assert [s["name"] for s in items] == [*DEMO["scopes"], *OWN["scopes"]]
    for item in items:
        built_in = item["name"].startswith("keystile:")
        wanted = (OWN if built_in else DEMO)["scopes"][item["name"]]
        assert item["built_in"] == built_in and item["about"] == wanted["about"]
        assert (item["default"], item["opt_in"]) == (wanted.get("default", False), wanted.get("opt_in", False))
        assert item["kinds"] == [k for k in ALL_KINDS if k in wanted.get("kinds", ALL_KINDS)]


def test_roles(operator):
    items = operator.pages("/v1/roles", 500)
    assert [r["name"] for r in items] == [*DEMO["roles"], *OWN["roles"]]
    assert {r["name"] for r in items if r["built_in"]} == {"administrator", "member", "account_reader"}
    # What the platform's policy does not describe of the built-in ones follows from what it says of its scopes.
    offered = {name: scope for name, scope in DEMO["scopes"].items() if not scope.get("opt_in")}
    given = {"administrator": set(offered), "member": {name for name, scope in offered.items() if scope.get("default")},
             "account_reader": {name for name in offered if name.endswith(":read")}}
    for item in items:
        own = OWN["roles"].get(item["name"], {"scopes": []})["scopes"]
        wanted = DEMO["roles"].get(item["name"], {"scopes": given.get(item["name"], [])})["scopes"]
        assert len(item["scopes"]) == len(set(item["scopes"])) and set(item["scopes"]) == {*own, *wanted}


def test_keys_get_of_a_built_in_role_what_their_kind_may_hold(operator):
    def scopes(**changes):
        return {s for s in operator.make_key(scopes=[], **changes)["scopes"] if not s.startswith("keystile:")}

    read = {name for name, scope in DEMO["scopes"].items() if name.endswith(":read") and not scope.get("opt_in")}
    assert scopes(roles=["member"]) == {name for name, scope in DEMO["scopes"].items() if scope.get("default")}
    assert scopes(roles=["account_reader"]) == {name for name in read if "tenant" in DEMO["scopes"][name].get("kinds", ALL_KINDS)}
    assert "settings:write" not in scopes(roles=["administrator"])


@pytest.mark.parametrize("target", ["/v1/scopes", "/v1/roles"])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages(operator, target, limit):
    assert operator.pages(target, limit) == operator.pages(target, 500)


def test_matrix(operator):
    answer = operator.get("/v1/policy").json
    for name, source in (("families", DEMO), ("own_families", OWN)):
        assert [f["name"] for f in answer[name]] == list(source["families"])
        for family in answer[name]:
            wanted = source["families"][family["name"]]
            assert family["routes"] == wanted["routes"]
            assert family["scopes"] == {m: as_list(s) for m, s in wanted["scopes"].items()}
            assert family["kinds"] == [k for k in ALL_KINDS if k in wanted["kinds"]]
            assert family["tenant_header"] == wanted.get("tenant_header", "optional")
            assert sorted(family["environments"]) == sorted(wanted.get("environments", ["live", "sandbox"]))
            assert family["inherited"] == wanted.get("inherited", False)


def test_without_a_policy_there_are_the_own_ones_alone():
    with keystile.temporary_data() as data, keystile.Daemon(data, policy=None) as daemon:
        operator = Api(daemon, daemon.first_key)
        assert operator.get("/v1/policy").json["families"] == []
        assert all(s["built_in"] for s in operator.pages("/v1/scopes", 500))
        assert all(r["built_in"] for r in operator.pages("/v1/roles", 500))
