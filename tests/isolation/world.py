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
            self._source(tenant)
            self._endpoint(tenant)
        self.users = [self._user(t) for t in self.of_kind("organization") for _ in range(2)] + [self._user(self.root)]
        self.callers = [c for t in self.tenants for c in self._keys_of(t)] + [c for u in self.users for c in self._of_user(u)]

    def of_kind(self, kind):
        return [t for t in self.tenants if t.kind == kind]

    def mark(self):
        """A word that stands nowhere else."""
        self.marks += 1
        return f"mark{self.rng.randrange(1 << 40):010x}x{self.marks}"

    def make(self, path, body):
        answer = self.operator.call("POST", path, body)
        assert answer.status == 201, (path, body, answer.body)
        return answer.json

    # -- the tree --

    def _tenant(self, parent, kind):
        name, slug = self.mark(), self.mark()
        body = {"kind": kind, "parent": parent.id, "name": name}
        if kind == "organization":
            body["slug"] = slug
        made = self.make("/v1/tenants", body)
        tenant = Tenant(made["id"], kind, parent, name)
        self.tenants.append(tenant)
        self.things.append(Thing(tenant.id, tenant, [name, slug]))
        return tenant

    def _grow(self):
        partners = [self._tenant(self.root, "partner") for _ in range(2)]
        for parent in [self.root, self.root, *partners, self.rng.choice(partners)]:
            self._tenant(parent, "organization")
        for _ in range(8):
            parent = self.rng.choice([t for t in self.tenants if t.kind in ("organization", "sub_entity")])
            if len(parent.path()) < 7:
                self._tenant(parent, self.rng.choice(BELOW[parent.kind]))

    def _provider(self, tenant):
        name = self.mark()
        made = self.make("/v1/providers", {"tenant": tenant.id, "platform": "sip-trunk", "name": name})
        self.things.append(Thing(made["id"], tenant, [name]))

    def _source(self, tenant):
        """With a message, which has a mark in its path and one in its body."""
        name, path, body = self.mark(), self.mark(), self.mark()
        made = self.make("/v1/sources", {"tenant": tenant.id, "platform": "generic", "scheme": "generic.shared-secret", "name": name,
                                         "parameters": {"secrets": [path]}})
        sent = self.daemon.call("POST", f"/hooks/{made['id']}/{path}", body, {"X-Webhook-Secret": path})
        assert sent.status == 200, sent
        message = self.operator.call("GET", f"/v1/sources/{made['id']}/messages").json["items"][0]["id"]
        self.things += [Thing(made["id"], tenant, [name]), Thing(message, tenant, [path, body])]

    def _endpoint(self, tenant):
        name = self.mark()
        made = self.make("/v1/webhook-endpoints", {"tenant": tenant.id, "url": f"https://{name}.invalid/", "events": ["key.expiring"]})
        sent = self.make(f"/v1/webhook-endpoints/{made['id']}/test", {})
        self.things += [Thing(made["id"], tenant, [name, made["secret"][6:]]), Thing(sent["id"], tenant, [])]

    # -- people --

    def _user(self, organization):
        name = self.mark()
        user, email = users.invite(self.operator, organization.id, name)
        personal = self.operator.call("GET", f"/v1/users/{user}").json["personal"]
        mine = Tenant(personal, "personal", organization, None)
        inside = [t for t in self.tenants if organization in t.path() and t.kind != "personal"]
        roles = {t: self.rng.choice(ROLES) for t in self.rng.sample(inside, min(len(inside), self.rng.randrange(3)))}
        for tenant, role in roles.items():
            answer = self.operator.call("PUT", f"/v1/tenants/{tenant.id}/members/{user}", {"role": role})
            assert answer.status == 200, answer.body
        thing = Thing(user, organization, [name, email], user=user, member_of=roles)
        self.things += [thing, Thing(personal, mine, [], user=user)]
        return {"id": user, "email": email, "personal": mine, "roles": roles, "organization": organization}

    def seen_by_user(self, user, needed=ROLES):
        seen = {user["personal"]}
        for tenant, role in user["roles"].items():
            if role in needed:
                seen |= {t for t in self.tenants if t is tenant or (role == "administrator" and tenant in t.path())}
        return seen

    # -- credentials --

    def below(self, tenant):
        return {t for t in self.tenants if tenant in t.path()}

    def _key(self, name, tenant, sees, user=None, **members):
        label = self.mark()
        scopes = [s["name"] for s in self.operator.call("GET", "/v1/scopes").json["items"] if not s["opt_in"] and
                  members.get("kind", "tenant") in s["kinds"] and s["name"] != "keystile:verify"]
        body = {"name": label, "tenant": tenant.id, "scopes": scopes, "expires_at": None, "labels": {"mark": label}, **members}
        made = self.make("/v1/keys", body)
        self.things.append(Thing(made["id"], tenant, [label, made["token"][-20:]], user=user))
        return Caller(name, self.daemon.client(made["token"]), sees, user)

    def _keys_of(self, tenant):
        if tenant is self.root:
            return
        if tenant.kind == "partner":
            yield self._key("partner key", tenant, self.below(tenant), kind="partner")
        else:
            yield self._key(f"{tenant.kind} key", tenant, self.below(tenant))

    def _of_user(self, user):
        label = self.mark()
        scopes = ["keystile:keys:read", "keystile:tenants:read", "keystile:users:read", "keystile:usage:read"]
        made = self.make("/v1/keys", {"name": label, "user": user["id"], "scopes": scopes, "expires_at": None})
        self.things.append(Thing(made["id"], user["personal"], [label], user=user["id"]))
        yield Caller("user key", self.daemon.client(made["token"]), self.seen_by_user(user), user["id"])
        yield Caller(f"session {sorted(user['roles'].values())}", users.Browser(self.daemon, user["email"]),
                     self.seen_by_user(user), user["id"])

    def organizations_of(self, caller):
        """Ids that it may know besides: each answer of the decision names the organization of the tenant."""
        return {t.organization.id for t in caller.sees if t.organization}

    def hidden_from(self, caller):
        """The things of which it may not know."""
        return [t for t in self.things if t.is_hidden_from(caller)]


__all__ = ["World", "keystile"]
