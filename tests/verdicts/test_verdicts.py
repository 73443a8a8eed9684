"""Every route of the API, for every kind of caller and every role: the table in verdicts.tsv is what the policy says,
and it is what the service does."""
import re

import pytest

import make
from service import Callers, keystile

# What the decision and the routing answer; whatever else comes, the handler was reached.
REFUSALS = {"credential_missing", "credential_malformed", "credential_invalid", "credential_expired", "route_unknown",
            "kind_not_allowed", "environment_mismatch", "address_not_allowed", "scope_missing", "path_ambiguous",
            "rate_limited", "stale", "method_not_allowed"}
IDS = {"keys": "key_0m6xwq3k2r4t8", "tenants": "org_0m6xwq3k2r4t8", "users": "usr_0m6xwq3k2r4t8"}
HEADER, *ROWS = [line.split("\t") for line in make.TABLE.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def callers():
    with keystile.temporary_data() as data, keystile.Daemon(data) as daemon:
        yield Callers(daemon)


def target_of(route):
    """The route with ids of nothing in its parameters: no call of this test changes anything."""
    resource = route.split("/")[2] if route.startswith("/v1/") else ""
    path = route.replace("{user}", IDS["users"])
    return re.sub(r"\{[^}]*\}", IDS.get(resource, "key_0m6xwq3k2r4t8"), path)


def test_the_table_is_what_the_policy_says():
    assert make.TABLE.read_text(encoding="utf-8") == make.text(), "make.py writes another table: review what changed"


def test_the_table_covers_every_route_and_tells_callers_apart():
    routes, _ = make.load()
    assert sorted((r[0], r[1]) for r in ROWS) == sorted((method, route) for method, route, _ in routes)
    for column in range(2, len(HEADER)):
        assert {row[column] for row in ROWS} > {"ok"}, HEADER[column]


@pytest.mark.parametrize("name", HEADER[2:])
def test_the_service_does_what_the_table_says(callers, name):
    column = HEADER.index(name)
    caller = callers.of(name)
    different = []
    # Logging out comes last: it ends what the others need.
    for row in sorted(ROWS, key=lambda row: (row[0], row[1]) == ("DELETE", "/v1/session")):
        method, route, wanted = row[0], row[1], row[column]
        answer = caller.call(method, target_of(route), {} if method in ("POST", "PUT", "PATCH") else None)
        code = answer.code or "ok"
        # A handler that was reached may find nothing there, or the body wrong.
        got = code if code in REFUSALS or (wanted == "not_found" and code == "not_found") else "ok"
        if got != wanted:
            different.append(f"{method} {route}: {code} ({answer.status}), the table says {wanted}")
    assert not different, "\n".join(different)
