"""Usage: counted in memory by every decision, in the store soon after."""
import collections
import datetime

import pytest

from api_service import Api, eventually


def sums(operator, key, query=""):
    total = collections.Counter()
    for item in operator.get(f"/v1/keys/{key}/usage?{query}").json["items"]:
        assert item["allowed"] == item["by_outcome"].get("ok", 0)
        assert item["denied"] == sum(n for code, n in item["by_outcome"].items() if code != "ok")
        total.update(item["by_outcome"])
        total.update(item["by_scope"])
    return dict(total)


def test_by_outcome_and_by_scope(world, operator):
    made = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    for method, times in (("GET", 5), ("POST", 2)):
        for _ in range(times):
            world.daemon.authorize(made["token"], method)
    world.daemon.authorize(made["token"], uri="/nowhere")
    wanted = {"ok": 5, "scope_missing": 2, "route_unknown": 1, "contacts:read": 5, "contacts:write": 2}
    for step in ("minute", "hour", "day"):
        eventually(lambda: sums(operator, made["id"], f"step={step}"), wanted)
    record = operator.get(f"/v1/keys/{made['id']}").json
    assert record["uses"] == 5 and record["last_used_at"] and record["last_used_address"] == "127.0.0.1"
    account = operator.get("/v1/keys?unused_since=2099-01-01T00:00:00Z&limit=500").json["items"]
    assert made["id"] in {k["id"] for k in account}
    recent = operator.pages("/v1/keys?unused_since=2020-01-01T00:00:00Z", 500)
    assert made["id"] not in {k["id"] for k in recent}


def test_a_key_that_was_never_used(world, operator):
    made = operator.make_key(tenant=world.acme)
    answer = operator.get(f"/v1/keys/{made['id']}/usage").json
    assert answer["items"] == [] and answer["step"] == "hour"


@pytest.mark.parametrize("step, unit", [("minute", datetime.timedelta(minutes=1)),
                                        ("hour", datetime.timedelta(hours=1)), ("day", datetime.timedelta(days=1))])
def test_the_span_is_widened_to_whole_steps(world, operator, step, unit):
    made = operator.make_key(tenant=world.acme)["id"]
    span = "from=2026-03-01T10:20:30.400Z&to=2026-03-03T11:21:31.500%2B01:00"
    answer = operator.get(f"/v1/keys/{made}/usage?step={step}&{span}").json
    begin, end = (datetime.datetime.fromisoformat(answer[m].replace("Z", "+00:00")) for m in ("from", "to"))
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert (begin - epoch) % unit == (end - epoch) % unit == datetime.timedelta(0)
    asked = [datetime.datetime(2026, 3, 1, 10, 20, 30, 400000, datetime.timezone.utc),
             datetime.datetime(2026, 3, 3, 10, 21, 31, 500000, datetime.timezone.utc)]
    assert asked[0] - unit < begin <= asked[0] and asked[1] <= end < asked[1] + unit


@pytest.mark.parametrize("query, name", [("step=week", "step"), ("step=", "step"), ("from=x", "from"), ("to=x", "to"),
                                         ("x=1", "x"),
                                         ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
                                         ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
                                         ("step=minute&from=2026-01-01T00:00:00Z&to=2026-01-09T00:00:00Z", "from"),
                                         ("step=hour&step=day", "step")])
def test_wrong_queries(world, operator, query, name):
    made = operator.make_key(tenant=world.acme)["id"]
    answer = operator.get(f"/v1/keys/{made}/usage?{query}", expect=400, code="query_malformed")
    assert f"?{name}" in [e["pointer"] for e in answer.json["errors"]]


def test_account_shows_use_and_limits(world, operator):
    made = operator.make_key(tenant=world.acme, scopes=["contacts:read", "keystile:keys:read"],
                             rate_limit={"requests": 10, "window_s": 3600})
    caller = Api(world.daemon, made["token"])
    before = caller.get("/v1/account").json
    assert before["usage"] == {"uses": 0, "last_used_at": None, "last_used_address": None, "days": []}
    assert before["scopes"] == ["contacts:read", "keystile:keys:read"]
    assert before["limits"] == {"rate_limit": {"requests": 10, "window_s": 3600, "remaining": 10, "reset_s": 0}}
    for _ in range(3):
        assert world.daemon.authorize(made["token"]).status == 200
    assert world.daemon.authorize(made["token"], "POST").code == "scope_missing"
    seen = caller.get("/v1/account").json
    limit = seen["limits"]["rate_limit"]
    assert limit["remaining"] == 7 and 0 < limit["reset_s"] <= 3 * 360
    # Asking uses nothing up.
    assert caller.get("/v1/account").json["limits"]["rate_limit"]["remaining"] == 7

    def counts():
        total = collections.Counter()
        for day in caller.get("/v1/account").json["usage"]["days"]:
            total.update({**day["by_outcome"], **day["by_scope"]})
        # Its own questions count as uses too.
        return total["scope_missing"], total["contacts:read"], total["contacts:write"], total["ok"] > 3
    eventually(counts, (1, 3, 1, True))
    assert caller.get("/v1/account").json["usage"]["uses"] > 3


def test_account_of_a_key_without_a_limit(world, operator):
    caller = operator.as_key(tenant=world.acme)
    answer = caller.get("/v1/account").json
    assert answer["limits"] == {"rate_limit": None} and answer["scopes"] == []
    assert "key" not in world.owner.get("/v1/account").json
