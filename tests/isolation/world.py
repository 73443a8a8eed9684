"""Random trees of tenants with everything in them, and what each credential may know of: written from the product's
words alone (docs/internals/decision.md, step 8), not from its code."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import keystile  # noqa: E402
import users  # noqa: E402

BELOW = {"operator": ["partner", "organization"], "partner": ["organization"],
         "organization": ["sub_entity", "project"], "sub_entity": ["sub_entity", "project"], "project": []}
ROLES = ["administrator", "member", "account_reader"]


class Tenant:
    def __init__(self, id, kind, parent, name):
        self.id, self.kind, self.parent, self.name = id, kind, parent, name

    def path(self):
        return (self.parent.path() if self.parent else []) + [self]

    @property
    def organization(self):
        return next((t for t in self.path() if t.kind == "organization"), None)


class Thing:
    """Something with marks that no answer may hold for whoever does not see its tenant."""

    def __init__(self, id, tenant, marks, user=None, member_of=()):
        self.id, self.tenant, self.marks, self.user = id, tenant, [id, *marks], user
        self.member_of = set(member_of)

    def is_hidden_from(self, caller):
        """Whoever sees a tenant sees who its members are."""
        return self.tenant not in caller.sees and not self.member_of & caller.sees and (
            self.user is None or self.user != caller.user)


class Caller:
    """A credential and the tenants that it sees."""

    def __init__(self, name, client, sees, user=None, headers=None):
        self.name, self.client, self.sees, self.user, self.headers = name, client, sees, user, headers or {}

    def call(self, method, path, body=None, headers=None):
        return self.client.call(method, path, body, {**self.headers, **(headers or {})})


class World:
    def __init__(self, daemon, rng):
        self.daemon, self.rng = daemon, rng
        self.operator = daemon.client(daemon.first_key)
        self.marks = 0
        self.things = []
        root = self.operator.call("GET", "/v1/account").json["tenant"]["id"]
        self.root = Tenant(root, "operator", None, None)
        self.tenants = [self.root]
        self.things.append(Thing(root, self.root, []))
        self.things.append(Thing(self.operator.call("GET", "/v1/account").json["key"]["id"], self.root, []))
        self._grow()
        for tenant in self.of_kind("organization") + self.of_kind("sub_entity") + self.of_kind("project"):
            self._provider(tenant)
    def _endpoint(self, tenant):
        name = self.mark()
        made = self.make("/v1/webhook-endpoints", {"tenant": tenant.id, "url": f"https://{name}.invalid/", "events": ["key.expiring"]})
        sent = self.make(f"/v1/webhook-endpoints/{made['id']}/test", {})
        self.things += [Thing(made["id"], tenant, [name, made["secret"][6:]]), Thing(sent["id"], tenant, [])]
