"""The service under test, seen through its API: requests whose answers are all held against its description, and the
small world of tenants that the tests share."""
import itertools
import json
import time
import urllib.parse

import keystile

from api_contract import Contract

CONTRACT = Contract()
NUMBERS = itertools.count(1)

OWN_SCOPES = ["keystile:audit:read", "keystile:keys:read", "keystile:keys:write", "keystile:policy:read",
              "keystile:roles:read",
              "keystile:tenants:read", "keystile:tenants:write", "keystile:usage:read", "keystile:users:read",
              "keystile:users:write", "keystile:webhooks:read"]


def unique(word):
    return f"{word}-{next(NUMBERS)}"


class Api:
    """Who calls: a token over TCP, or the owner over the local socket."""

    def __init__(self, daemon, token=None, local=False, headers=None):
        self.daemon = daemon
        self.token = token
        self.local = local
        self.headers = headers or {}

    def on_behalf(self, tenant):
        return Api(self.daemon, self.token, self.local, {**self.headers, "X-Tenant-Id": tenant})

    def call(self, method, target, body=None, headers=None, expect=None, code=None):
        """One request; its answer, held against the description."""
        client = self.daemon.local() if self.local else self.daemon.client(self.token)
        try:
            answer = client.call(method, target, body, {**self.headers, **(headers or {})})
        finally:
            client.close()
        CONTRACT.check_answer(method, target, answer)
        if isinstance(body, (dict, list)) and 200 <= answer.status < 300:
            CONTRACT.check_accepted(method, target, body)
        if expect is not None:
            assert answer.status == expect, f"{method} {target} -> {answer.status} {answer.body[:2000]}"
        if code is not None:
            assert answer.code == code, f"{method} {target} -> {answer.status} {answer.body[:2000]}"
        return answer

    def get(self, target, expect=200, **more):
        return self.call("GET", target, expect=expect, **more)

    def post(self, target, body=None, expect=201, **more):
        return self.call("POST", target, body, expect=expect, **more)

    def put(self, target, body=None, expect=200, **more):
        return self.call("PUT", target, body, expect=expect, **more)

    def patch(self, target, body=None, expect=200, **more):
        return self.call("PATCH", target, body, expect=expect, **more)

    def delete(self, target, expect=200, **more):
        return self.call("DELETE", target, expect=expect, **more)

    # -- what most tests begin with --

    def make_key(self, **members):
        return self.post("/v1/keys", new_key(**members)).json

    def make_tenant(self, kind, parent=None, **members):
        body = {"kind": kind, "name": unique(kind), **members}
        if parent:
            body["parent"] = parent
        return self.post("/v1/tenants", body).json

    def as_key(self, **members):
        """The caller who holds a new key."""
        return Api(self.daemon, self.make_key(**members)["token"])

    def pages(self, target, limit):
        """All items of a list, page by page."""
        items, cursor = [], None
        while True:
            query = {"limit": limit, **({"cursor": cursor} if cursor else {})}
            page = self.get(f"{target}{'&' if '?' in target else '?'}{urllib.parse.urlencode(query)}").json
            assert len(page["items"]) <= limit
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items


def new_key(**members):
    return {"name": unique("key"), "scopes": [], "expires_at": None, **members}


def pointers(answer):
    return [e["pointer"] for e in answer.json.get("errors", [])]


def eventually(look, wanted):
    """Asks until the answer is as wanted; the time that it takes is no part of the test."""
    deadline = time.monotonic() + keystile.PATIENCE_S
    while True:
        found = look()
        if found == wanted:
            return
        assert time.monotonic() < deadline, f"{found} is not {wanted}"
        time.sleep(0.02)


def same_problem(a, b):
    """Two problems that tell the same: all but the request's id."""
    one, two = a.json, b.json
    one.pop("request_id")
    two.pop("request_id")
    return (a.status, one) == (b.status, two)


def plain_user(user):
    """A user's record without what only some answers tell of it."""
    return {k: v for k, v in user.items() if k not in ("invitation", "password_changed_at", "totp")}


def lines(*objects):
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


class World:
    """operator
    +- partner -- first, second (organizations)
    +- acme (organization) -- sub -- nested; project
    +- other (organization)"""

    def __init__(self, daemon):
        self.daemon = daemon
        self.operator = Api(daemon, daemon.first_key)
        self.owner = Api(daemon, local=True)
        op = self.operator
        self.root = op.get("/v1/account").json["tenant"]["id"]
        self.partner = op.make_tenant("partner")["id"]
        self.first = op.make_tenant("organization", self.partner)["id"]
        self.second = op.make_tenant("organization", self.partner)["id"]
        self.acme = op.make_tenant("organization", slug=unique("acme"))["id"]
        self.sub = op.make_tenant("sub_entity", self.acme)["id"]
        self.nested = op.make_tenant("sub_entity", self.sub)["id"]
        self.project = op.make_tenant("project", self.acme)["id"]
        self.other = op.make_tenant("organization")["id"]

    def caller(self, tenant, **members):
        """A key on `tenant` with every scope of this API that such a key may have."""
        return self.operator.as_key(tenant=tenant, **{"scopes": OWN_SCOPES, **members})


__all__ = ["Api", "World", "CONTRACT", "OWN_SCOPES", "eventually", "keystile", "lines", "new_key", "plain_user", "pointers",
           "same_problem", "unique"]
