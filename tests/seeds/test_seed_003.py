"""The rows of seed 003: auth by trust boundary, scopes and the permission matrix."""
import itertools
import json
import urllib.parse

import pytest

from api_service import Api, keystile, new_key, pointers, unique
from people import Person

CONTACTS = "/api/v1/contacts"
KINDS = ["session", "tenant", "partner", "runtime"]


@pytest.fixture(scope="module")
def holders(world, operator):
    """One token of each kind of key, with every scope that it may have."""
    catalogue = operator.pages("/v1/scopes", 500)

    def scopes(kind):
        return [s["name"] for s in catalogue if kind in s["kinds"]]

    done = keystile.run(
        "keys",
        "create",
        "--name",
        "runtime",
        "--kind",
        "runtime",
        "--json",
        *itertools.chain.from_iterable(("--scope", s) for s in scopes("runtime")),
        data=world.daemon.data,
    )
    assert done.code == 0, done
    person = Person(world, world.acme).role(world.acme, "administrator")
    return {
        "session": person.login(**{"as": "jwt"}).json["token"],
        "tenant": operator.make_key(tenant=world.acme, scopes=scopes("tenant"))["token"],
        "partner": operator.make_key(tenant=world.partner, scopes=scopes("partner"))["token"],
        "runtime": done.json["token"],
    }


def ask(world, token, method="GET", uri=CONTACTS, **headers):
    return world.daemon.call(
        "GET", "/v1/authorize", headers={"X-Forwarded-Method": method, "X-Forwarded-Uri": uri, **headers}, token=token
    )


def path_of(route):
    """A path that the route takes."""
    return route.replace("/**", "").replace("{", "").replace("}", "") or "/"


def minted(world, key, **narrower):
    """A JWT for the key."""
    form = {"grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["token"], **narrower}
    media = {"Content-Type": "application/x-www-form-urlencoded"}
    made = Api(world.daemon).call("POST", "/v1/token", urllib.parse.urlencode(form), media, expect=200)
    return made.json["access_token"]


def test_003_jwt_tenant_key_partner_key_runtime_key_which_for_what(world, operator, holders):
    """JWT, tenant key, partner key, runtime server key; which for what"""
    # A person in the application, by role, where keys are not taken.
    own = {"X-Tenant-Id": world.acme}
    assert ask(world, holders["session"], "POST", "/api/v1/settings", **own).headers["X-Keystile-Kind"] == "session"
    assert ask(world, holders["tenant"], "POST", "/api/v1/settings").code == "kind_not_allowed"
    # An internal operator in the same application: a person of the operator's own, by role too.
    internal = Person(world, world.root).role(world.root, "administrator").login(**{"as": "jwt"}).json["token"]
    assert ask(world, internal, "POST", "/api/v1/settings", **own).headers["X-Keystile-Tenant"] == world.acme
    # A tenant's backend synchronises inside its tenant.
    assert ask(world, holders["tenant"]).headers["X-Keystile-Tenant"] == world.acme
    assert ask(world, holders["tenant"], **{"X-Tenant-Id": world.other}).code == "tenant_forbidden"
    # A partner provisions, and acts in its organizations.
    assert ask(world, holders["partner"], "POST", "/api/v1/partner/tenants").status == 200
    assert ask(world, holders["partner"], **{"X-Tenant-Id": world.first}).headers["X-Keystile-Tenant"] == world.first
    # A JWT acts for whom it was made for, with less and for a shorter time, and never longer than that.
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read", "contacts:write"])
    jwt = minted(world, key, scope="contacts:read", tenant=world.sub)
    assert ask(world, jwt).headers["X-Keystile-Tenant"] == world.sub
    assert ask(world, jwt, "POST").code == "scope_missing"
    assert ask(world, jwt, **{"X-Tenant-Id": world.acme}).code == "tenant_forbidden"
    operator.delete(f"/v1/keys/{key['id']}")
    assert ask(world, jwt).code == "credential_invalid"
    # Internal calls are the runtime's.
    assert ask(world, holders["runtime"], "POST", "/internal/v1/events").status == 200
    opt_in = {s["name"] for s in operator.pages("/v1/scopes", 500) if s["opt_in"]}
    # Each on its own ground alone: for all families, the kinds that they name and no others.
    for family in operator.get("/v1/policy").json["families"]:
        method = next((m for m in ("GET", "POST") if m in family["scopes"] or "*" in family["scopes"]), None)
        for kind, token in holders.items():
            acts_in = {"partner": world.first, "session": world.acme}.get(kind)
            tenant = {"X-Tenant-Id": acts_in} if acts_in and family["tenant_header"] != "refused" else {}
            answer = ask(world, token, method, path_of(family["routes"][0]), **tenant)
            if kind == "session" and answer.code == "scope_missing":
                # No role gives what must be named, nor a partner's own to a person elsewhere.
                assert answer.json["required_scope"] in opt_in or family["name"] == "billing:partner"
            elif kind in family["kinds"]:
                assert answer.status == 200, (family["name"], kind, answer.body)
                assert answer.headers["X-Keystile-Family"] == family["name"]
                assert answer.headers["X-Keystile-Kind"] == kind
            else:
                assert (answer.status, answer.code) == (403, "kind_not_allowed"), (family["name"], kind)
    # Which is given by whom: no runtime key to customers.
    for caller in (operator, world.caller(world.acme), world.caller(world.partner)):
        assert caller.post("/v1/keys", new_key(kind="runtime"), expect=None).status in (403, 422)


def test_003_header_patterns_jwt_only_guards_server_only_routes_x_tenant_id(world, operator, holders):
    """header patterns; JWT-only guards; server-only routes; X-Tenant-Id"""
    # Each kind in a header of its own, and in no other's.
    patterns = {"tenant": "X-Tenant-Key", "partner": "X-Partner-Key", "runtime": "X-Runtime-Key"}
    where = {"tenant": CONTACTS, "partner": "/api/v1/partner/tenants", "runtime": "/internal/v1/routing/1"}
    for kind, header in patterns.items():
        for other, token in ((k, holders[k]) for k in patterns):
            answer = ask(world, None, uri=where[other], **{header: token})
            assert answer.status == (200 if kind == other else 401), (header, other)
            assert kind == other or answer.code == "credential_invalid"
        assert ask(world, holders[kind], uri=where[kind], **{header: holders[kind]}).code == "credential_malformed"
        assert ask(world, None, uri=where[kind], **{"X-API-Key": holders[kind]}).status == 200
    # JWT-only: no key whatever it may do. Server-only: none but the runtime's.
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("u") + "@caller.test"}).json["id"]
    everybody = {
        **{k: holders[k] for k in patterns},
        "user": operator.make_key(user=user, roles=["administrator"])["token"],
        "operator": operator.token,
    }
    for name, token in everybody.items():
        for method in ("GET", "POST"):
            assert ask(world, token, method, "/api/v1/settings").code == "kind_not_allowed", name
            own = {"X-Tenant-Id": world.acme}
            assert ask(world, holders["session"], method, "/api/v1/settings", **own).status == 200
            if name != "runtime":
                assert ask(world, token, method, "/internal/v1/routing/1").code == "kind_not_allowed", name
    # X-Tenant-Id selects the tenant that a partner acts for, where the family requires it, among its own alone.
    assert ask(world, holders["partner"]).code == "tenant_required"
    for tenant in (world.first, world.second):
        assert ask(world, holders["partner"], **{"X-Tenant-Id": tenant}).headers["X-Keystile-Tenant"] == tenant
    for tenant in (world.acme, world.sub, world.root, world.partner, "org_0m6xwq3k2r4t8", "x"):
        assert ask(world, holders["partner"], **{"X-Tenant-Id": tenant}).code == "tenant_forbidden"


def test_003_permission_matrix_route_families_opt_in_scopes_empty_scopes_are_not_allow_all(world, operator):
    """permission matrix, route families, opt-in scopes, empty scopes are not allow-all"""
    families = [f for f in operator.get("/v1/policy").json["families"] if "tenant" in f["kinds"]]
    catalogue = {s["name"]: s for s in operator.pages("/v1/scopes", 500)}
    empty = operator.make_key(tenant=world.acme, scopes=[])["token"]
    omitted = operator.post("/v1/keys", {"name": "omitted", "tenant": world.acme, "expires_at": None}).json["token"]
    keys = {}
    for family in families:
        for method, needed in family["scopes"].items():
            needed = [needed] if isinstance(needed, str) else needed
            method, uri = "DELETE" if method == "*" else method, path_of(family["routes"][0])
            for token in (empty, omitted):
                refused = ask(world, token, method, uri)
                assert (refused.code, refused.json["required_scope"]) == ("scope_missing", needed[0]), (
                    family["name"],
                    method,
                )
            # Just these scopes open it; all others of a tenant key, without one of these, do not.
            for scope in needed:
                others = [n for n, s in catalogue.items() if "tenant" in s["kinds"] and n != scope]
                keys.setdefault(scope, operator.make_key(tenant=world.acme, scopes=others)["token"])
                assert ask(world, keys[scope], method, uri).json["required_scope"] == scope
            exact = tuple(sorted(needed))
            keys.setdefault(exact, operator.make_key(tenant=world.acme, scopes=needed)["token"])
            assert ask(world, keys[exact], method, uri).status == 200, (family["name"], method)
    # Reading is not writing.
    reader = operator.make_key(tenant=world.acme, scopes=["contacts:read"])["token"]
    assert ask(world, reader).status == 200 and ask(world, reader, "POST").code == "scope_missing"
    # Opt-in scopes are in no default set, and must be named.
    opt_in = {n for n, s in catalogue.items() if s["opt_in"]}
    assert {"billing:partner:allocate", "call_traces:admin_read"} <= opt_in
    for tenant in (world.acme, world.partner):
        default = operator.make_key(tenant=tenant, scopes="default")["scopes"]
        assert default and not set(default) & opt_in
    assert operator.make_key(tenant=world.partner, scopes=["billing:partner:allocate"])["scopes"] == [
        "billing:partner:allocate"
    ]
    assert operator.make_key(tenant=world.acme, scopes=["call_traces:admin_read"])["scopes"] == [
        "call_traces:admin_read"
    ]


def test_003_separate_keys_per_environment_and_workload(world, operator):
    """separate keys per environment and workload; audit against the matrix before go-live: the keys"""
    scopes = ["contacts:read", "billing:tenant:read"]
    keys = {
        (e, w): operator.make_key(
            tenant=world.acme, name=f"{w} {e}", environment=e, labels={"workload": w}, scopes=scopes
        )
        for e in ("live", "sandbox")
        for w in ("crm", "bi")
    }
    assert (
        len(
            {k["prefix"] for (e, _), k in keys.items() if e == "live"}
            | {k["prefix"] for (e, _), k in keys.items() if e == "sandbox"}
        )
        == 2
    )
    for (environment, _), key in keys.items():
        assert ask(world, key["token"]).headers["X-Keystile-Environment"] == environment
        billing = ask(world, key["token"], uri="/api/v1/billing/tenant")
        assert billing.status == 200 if environment == "live" else billing.code == "environment_mismatch"
    listed = {k["id"] for k in operator.pages(f"/v1/keys?tenant={world.acme}&environment=sandbox", 500)}
    assert {k["id"] for (e, _), k in keys.items() if e == "sandbox"} <= listed
    assert not {k["id"] for (e, _), k in keys.items() if e == "live"} & listed
    # Each stops for itself.
    operator.delete(f"/v1/keys/{keys['live', 'crm']['id']}")
    assert [ask(world, k["token"]).status for k in keys.values()] == [401, 200, 200, 200]
    answer = Api(
        world.daemon,
        operator.make_key(tenant=world.acme, environment="sandbox", scopes=["keystile:keys:write"])["token"],
    ).post("/v1/keys", new_key(environment="live"), expect=403, code="not_grantable")
    assert pointers(answer) == ["/environment"]


def test_003_audit_against_the_matrix_before_go_live(world, operator):
    """separate keys per environment and workload; audit against the matrix before go-live: the audit"""
    organization = operator.make_tenant("organization")["id"]
    wide = operator.make_key(tenant=organization, scopes=["contacts:read", "contacts:write", "call_traces:admin_read"])
    empty = operator.make_key(tenant=organization, scopes=[], expires_at="2099-01-01T00:00:00.000Z")

    def line(*arguments):
        done = keystile.run(*arguments, "--json", data=world.daemon.data)
        assert done.code == 0, done
        return json.loads(done.out)

    # The matrix, and what it means for the key: as it is then decided, for every route and method.
    matrix = {f["name"]: f for f in line("policy", "matrix")["families"]}
    assert matrix["contacts"]["scopes"] == {
        "GET": ["contacts:read"],
        "HEAD": ["contacts:read"],
        "*": ["contacts:write"],
    }
    opened = {f["family"] for f in line("what-can", wide["id"])["items"]}
    for family in matrix.values():
        for method, needed in family["scopes"].items():
            method = "DELETE" if method == "*" else method
            question = {"credential": wide["token"], "method": method, "path": path_of(family["routes"][0])}
            told = operator.post("/v1/verify", question, expect=200).json
            assert told["allow"] == ("tenant" in family["kinds"] and set(needed) <= set(wide["scopes"])), question
            assert not told["allow"] or family["name"] in opened
    assert "contacts" in opened
    # What wants looking at before going live.
    findings = {f["finding"]: f["keys"] for f in line("policy", "audit", "--tenant", organization)["findings"]}
    assert (findings["no_scopes"], findings["opt_in_scopes"], findings["no_expiry"]) == (1, 1, 1)
    for finding, key in (("no_scopes", empty), ("opt_in_scopes", wide), ("no_expiry", wide)):
        found = line("policy", "audit", "--tenant", organization, "--finding", finding)["items"]
        assert [k["key"] for k in found] == [key["id"]], finding
    who = line("policy", "who-can", "DELETE", "/api/v1/contacts", "--tenant", organization)
    assert wide["id"] in json.dumps(who) and empty["id"] not in json.dumps(who)
