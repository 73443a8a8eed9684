#!/usr/bin/python3
"""Writes verdicts.tsv: what the API's own policy says of every route, for every kind of caller and every role. Made from
src/api/routes.def and src/api/self.yaml by the rules of docs/internals/decision.md, steps 4, 5 and 7, without a line of
the service's own code. A change of the policy shows as a change of the table, which is what a reviewer reads.

    make.py          writes the table
    make.py --check  fails where the table is not what would be written"""
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
TABLE = HERE / "verdicts.tsv"
ROUTE = re.compile(r'^KS_ROUTE\("([A-Z]+)", "([^"]+)", KS_AUTH_([A-Z]+),', re.M)
ROLES = ("administrator", "member", "account_reader")
KINDS = ("tenant", "partner", "runtime")


def load():
    routes = ROUTE.findall((SOURCE / "src/api/routes.def").read_text(encoding="utf-8"))
    policy = yaml.safe_load((SOURCE / "src/api/self.yaml").read_text(encoding="utf-8"))
    return sorted(routes, key=lambda r: (r[1], r[0])), policy


def may_hold(policy, kind):
    """The scopes that a credential of this kind may hold, but for those that must be asked for by name."""
    return {name for name, scope in policy["scopes"].items() if kind in (scope.get("kinds") or [kind])}


def callers(policy):
    """Every caller of the table: (name, kind or None, scopes)."""
    yield "nobody", None, set()
    for role in ROLES:
        yield f"session {role}", "session", set(policy["roles"][role]["scopes"]) & may_hold(policy, "session")
    yield "session without a role", "session", set()
    for kind in KINDS:
        ordinary = {s for s in may_hold(policy, kind) if kind == "runtime" or not policy["scopes"][s].get("opt_in")}
        yield f"{kind} key, all scopes", kind, ordinary
        if kind != "runtime":
            for role in ROLES:
                yield f"{kind} key, {role}", kind, set(policy["roles"][role]["scopes"]) & may_hold(policy, kind)
        yield f"{kind} key, no scope", kind, set()


def family_of(policy, route):
    """The family whose route reads the same once the parameters have lost their names."""
    plain = re.sub(r"\{[^}]*\}", "{}", route)
    for family in policy["families"].values():
        if plain in [re.sub(r"\{[^}]*\}", "{}", r) for r in family["routes"]]:
            return family
    return None


def verdict(policy, method, route, auth, kind, scopes):
    if auth == "OPEN":
        return "ok"
    if auth == "LOCAL":
        return "not_found"
    if kind is None:
        return "credential_missing"
    if auth == "OWN":
        return "ok"
    if auth == "USER":
        return "ok" if kind == "session" else "kind_not_allowed"
    family = family_of(policy, route)
    needed = family and family["scopes"].get(method, family["scopes"].get("*"))
    if not needed:
        return "route_unknown"
    if kind not in family["kinds"]:
        return "kind_not_allowed"
    needed = [needed] if isinstance(needed, str) else needed
    return "ok" if scopes and scopes.issuperset(needed) else "scope_missing"


def table():
    routes, policy = load()
    who = list(callers(policy))
    yield ["method", "route", *(name for name, _, _ in who)]
    for method, route, auth in routes:
        yield [method, route, *(verdict(policy, method, route, auth, kind, scopes) for _, kind, scopes in who)]


def text():
    return "".join("\t".join(row) + "\n" for row in table())


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if TABLE.exists() and TABLE.read_text(encoding="utf-8") == text() else f"{TABLE.name} is not what make.py writes")
    TABLE.write_text(text(), encoding="utf-8")
