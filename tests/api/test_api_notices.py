"""What is noticed of keys is told as events; how exact each is stands in docs/usage.md. Days pass in
tests/unit/engine/test_notices.c; here is that the service itself notices."""
import datetime

import jsonschema
import keystile
import pytest

from api_service import World, eventually

SETTINGS = {"KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_NOTICE_EXPIRING": "1d,2s", "KEYSTILE_NOTICE_DENIALS": "20",
            "KEYSTILE_NOTICE_UNKNOWN": "30", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}


@pytest.fixture(scope="module")
def noticing():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as daemon:
        yield World(daemon)


@pytest.fixture(scope="module")
def schemas(noticing):
    items = noticing.operator.get("/v1/event-types").json["items"]
    return {i["type"]: jsonschema.Draft202012Validator(i["schema"]) for i in items}


def told(api, kind, key=None):
    return [e for e in api.pages(f"/v1/events?type={kind}", 500) if key in (None, e["object"])]


def test_a_key_that_ends_soon_is_told_of_once(noticing, schemas):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    made = noticing.operator.make_key(tenant=noticing.acme, expires_at=end.isoformat())
    eventually(lambda: len(told(noticing.operator, "key.expiring", made["id"])), 1)
    (event,) = told(noticing.operator, "key.expiring", made["id"])
    schemas["key.expiring"].validate(event["data"])
    assert event["data"]["before_s"] == 2 and event["data"]["expires_at"] == made["expires_at"]
    assert (event["tenant"], event["organization"]) == (noticing.acme, noticing.acme)
    # Its tenant's own people see it, others do not.
    assert told(noticing.caller(noticing.acme), "key.expiring", made["id"]) == [event]
    assert told(noticing.caller(noticing.other), "key.expiring") == []


def test_a_new_network(noticing, schemas):
    made = noticing.operator.make_key(tenant=noticing.acme, scopes=["contacts:read"])

    def use(address):
        assert noticing.daemon.authorize(made["token"], headers={"X-Forwarded-For": address}).status == 200
        eventually(lambda: noticing.operator.get(f"/v1/keys/{made['id']}").json["last_used_address"], address)

    for address in ("203.0.113.5", "203.0.113.77", "198.51.100.9", "203.0.113.5", "198.51.100.10"):
        use(address)
    (event,) = told(noticing.operator, "key.new_network", made["id"])
    schemas["key.new_network"].validate(event["data"])
    assert (event["data"]["network"], event["data"]["address"]) == ("198.51.100.0/24", "198.51.100.9")


def test_a_burst_of_refusals(noticing, schemas):
    made = noticing.operator.make_key(tenant=noticing.acme, scopes=["contacts:read"])
    quiet = noticing.operator.make_key(tenant=noticing.acme, scopes=["contacts:read"])
    for _ in range(40):
        assert noticing.daemon.authorize(made["token"], "POST").code == "scope_missing"
    for _ in range(5):
        noticing.daemon.authorize(quiet["token"], "POST")
    eventually(lambda: len(told(noticing.operator, "key.denials", made["id"])), 1)
    (event,) = told(noticing.operator, "key.denials", made["id"])
    schemas["key.denials"].validate(event["data"])
    assert event["data"]["denied"] >= 20 and event["data"]["window_s"] == 300
    assert told(noticing.operator, "key.denials", quiet["id"]) == []


def test_many_unknown_credentials(noticing, schemas):
    for i in range(80):
        assert noticing.daemon.authorize(f"ks_{i:032x}").code == "credential_invalid"
    eventually(lambda: len(told(noticing.operator, "credentials.unknown")), 1)
    (event,) = told(noticing.operator, "credentials.unknown")
    schemas["credentials.unknown"].validate(event["data"])
    assert event["tenant"] is None and event["data"]["denied"] >= 30
    assert told(noticing.caller(noticing.acme), "credentials.unknown") == []


@pytest.mark.parametrize("value", ["30", "d", "0d", "-1d", "1w", "30d,30d", "1d,24h", "99999999d", "30 d"])
def test_leads_that_are_none(value):
    with keystile.temporary_data() as data:
        done = keystile.run("serve", "--listen", "127.0.0.1:0", data=data, env={"KEYSTILE_NOTICE_EXPIRING": value})
        assert done.code == 1 and "notice.expiring" in done.err
