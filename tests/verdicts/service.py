"""The callers of the table, made through the API itself."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import keystile  # noqa: E402

import make  # noqa: E402
import users  # noqa: E402


class Callers:
    def __init__(self, daemon):
        self.daemon = daemon
        self.operator = daemon.client(daemon.first_key)
        self.policy = make.load()[1]
        self.partner = self._make("/v1/tenants", {"kind": "partner", "name": "P"})["id"]
        self.organization = self._make("/v1/tenants", {"kind": "organization", "name": "O"})["id"]

    def _make(self, path, body):
        answer = self.operator.call("POST", path, body)
        assert answer.status == 201, answer.body
        return answer.json

    def of(self, name):
        """The caller that a column of the table names."""
        if name == "nobody":
            return self.daemon.client(None)
        if name.startswith("session"):
            role = name.removeprefix("session ")
            _, email = users.member(self.operator, self.organization, None if role == "without a role" else role)
            return users.Browser(self.daemon, email)
        kind, _, what = name.partition(" key, ")
        return self.daemon.client(self._key(kind, what))

    def _key(self, kind, what):
        if kind == "runtime":
            scopes = dict((n, s) for n, _, s in make.callers(self.policy))[f"runtime key, {what}"]
            arguments = [a for scope in sorted(scopes) for a in ("--scope", scope)]
            made = keystile.run("keys", "create", "--kind", "runtime", "--name", what, "--json", *arguments,
                                data=self.daemon.data)
            assert made.code == 0, made
            return made.json["token"]
        tenant = self.partner if kind == "partner" else self.organization
        body = {"name": what, "kind": kind, "tenant": tenant, "scopes": [], "expires_at": None}
        if what == "all scopes":
            body["scopes"] = sorted(dict((n, s) for n, _, s in make.callers(self.policy))[f"{kind} key, all scopes"])
        elif what != "no scope":
            body["roles"] = [what]
        return self._make("/v1/keys", body)["token"]
