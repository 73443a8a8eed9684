"""Keys of every binding, from one end to the other: what each sees, how it is presented, where it comes from, and that
none grows beyond its maker."""
import base64
import itertools
import random

import pytest

from api_service import Api, eventually, keystile, lines, new_key, pointers, unique

CONTACTS = "/api/v1/contacts"
PLACES = ["root", "partner", "first", "second", "acme", "sub", "nested", "project", "other"]

# What X-Tenant-Id may name, by the place that the key is bound to (decision.md, step 8).
SEES = {
    "root": set(PLACES),
    "acme": {"acme", "sub", "nested", "project"},
    "sub": {"sub", "nested"},
    "nested": {"nested"},
    "project": {"project"},
    "other": {"other"},
    "partner": {"first", "second"},
}

SERVER_ONLY = [
    ("GET", "/internal/v1/routing/123"),
    ("POST", "/internal/v1/routing/123"),
    ("POST", "/internal/v1/events"),
]


def ask(world, token, tenant=None, method="GET", uri=CONTACTS, **headers):
    if tenant:
        headers["X-Tenant-Id"] = tenant
    return world.daemon.authorize(token, method, uri, headers)


# ---- what each binding sees ----


@pytest.mark.parametrize("place", list(SEES))
def test_what_a_key_sees(world, operator, place):
    key = operator.make_key(tenant=getattr(world, place), scopes=["contacts:read"])["token"]
    for other in PLACES:
        answer = ask(world, key, getattr(world, other))
        if other in SEES[place]:
            assert (answer.status, answer.headers["X-Keystile-Tenant"]) == (200, getattr(world, other)), (place, other)
        else:
            assert answer.code == "tenant_forbidden", (place, other)


def test_what_a_user_key_sees_is_as_of_now(world, operator):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("u") + "@acme.test"}).json
    key = operator.make_key(user=user["id"], scopes=["contacts:read"])["token"]

    def seen():
        return {p for p in PLACES if ask(world, key, getattr(world, p)).status == 200}

    own = ask(world, key)
    assert (own.headers["X-Keystile-Tenant"], own.headers["X-Keystile-Visible"]) == (user["personal"], user["personal"])
    assert seen() == set()
    operator.put(f"/v1/tenants/{world.sub}/members/{user['id']}", {"role": "member"})
    assert seen() == {"sub"}
    operator.put(f"/v1/tenants/{world.project}/members/{user['id']}", {"role": "member"})
    assert seen() == {"sub", "project"}
    operator.put(f"/v1/tenants/{world.sub}/members/{user['id']}", {"role": "administrator"})
    assert seen() == {"sub", "nested", "project"}
    operator.delete(f"/v1/tenants/{world.sub}/members/{user['id']}")
    assert seen() == {"project"}
    assert set(ask(world, key).headers["X-Keystile-Visible"].split(",")) == {user["personal"], world.project}


def test_a_personal_tenant_is_seen_by_its_users_keys_alone(world, operator):
    users = [
        operator.post("/v1/users", {"organization": world.acme, "email": unique("u") + "@acme.test"}).json
        for _ in range(2)
    ]
    operator.put(f"/v1/tenants/{world.acme}/members/{users[1]['id']}", {"role": "administrator"})
    holders = [
        operator.make_key(user=users[0]["id"], scopes=["contacts:read"]),
        operator.make_key(user=users[1]["id"], scopes=["contacts:read"]),
        operator.make_key(tenant=world.acme, scopes=["contacts:read"]),
        operator.make_key(tenant=world.root, scopes=["contacts:read"]),
    ]
    assert [ask(world, h["token"], users[0]["personal"]).status for h in holders] == [200, 403, 403, 200]


# ---- project keys over Basic: all three parts ----


@pytest.fixture(scope="module")
def space(world, operator):
    """Two organizations with two projects each, and a key of each project."""
    made = {}
    for name in ("one", "two"):
        org = operator.make_tenant("organization", slug=unique(name))
        sub = operator.make_tenant("sub_entity", org["id"])["id"]
        for where, parent in (("top", org["id"]), ("below", sub)):
            project = operator.make_tenant("project", parent)["id"]
            made[name, where] = (
                org["slug"] + ".space.test",
                project,
                operator.make_key(tenant=project, scopes=["contacts:read"])["token"],
            )
    return made


def basic(world, host, project, token, **headers):
    secret = base64.b64encode(f"{project}:{token}".encode()).decode()
    return world.daemon.authorize(
        None, headers={"Authorization": f"Basic {secret}", **({"Host": host} if host else {}), **headers}
    )


def test_basic_checks_all_three_parts(world, space):
    for (h, host), (p, project), (k, token) in itertools.product(
        *([(n, v[i]) for n, v in space.items()] for i in range(3))
    ):
        answer = basic(world, host, project, token)
        if p == k and h[0] == k[0]:
            assert (answer.status, answer.headers["X-Keystile-Tenant"]) == (200, project)
        else:
            assert answer.code == "credential_invalid" and answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "change, good",
    [
        (str.upper, True),
        (lambda h: h + ":8443", True),
        (lambda h: h + ".", True),
        (lambda h: h + ".:80", True),
        (lambda h: "x" + h, False),
        (lambda h: h + "x", False),
        (lambda h: "a." + h, False),
        (lambda h: h.split(".", 1)[1], False),
        (lambda h: "127.0.0.1", False),
        (lambda h: h.replace(".space", "-space"), False),
    ],
)
def test_space_urls(world, space, change, good):
    host, project, token = space["one", "top"]
    assert (basic(world, change(host), project, token).status == 200) == good


def test_basic_is_for_project_keys_alone(world, operator, space):
    host = space["one", "top"][0]
    project = space["one", "top"][1]
    org = operator.get(f"/v1/tenants/{project}").json["organization"]
    for tenant in (org, operator.make_tenant("sub_entity", org)["id"], world.root, world.partner):
        token = operator.make_key(tenant=tenant, scopes=["contacts:read"])["token"]
        for user in (tenant, project, "x", ""):
            assert basic(world, host, user, token).code == "credential_invalid"


def test_project_keys_as_bearer_need_no_space_url(world, space):
    for _, project, token in space.values():
        answer = ask(world, token)
        assert (answer.status, answer.headers["X-Keystile-Tenant"]) == (200, project)


def test_the_forwarded_host_is_the_space_url(world, space):
    """Behind Caddy or Traefik `Host` is not the client's."""
    host, project, token = space["one", "top"]
    secret = base64.b64encode(f"{project}:{token}".encode()).decode()

    def status(forwarded):
        return world.daemon.call(
            "GET",
            "/v1/authorize",
            headers={
                "X-Forwarded-Method": "GET",
                "X-Forwarded-Uri": CONTACTS,
                "Host": "127.0.0.1",
                "X-Forwarded-Host": forwarded,
                "Authorization": f"Basic {secret}",
            },
        ).status

    assert (status(host), status("other.space.test")) == (200, 401)


# ---- runtime keys ----


@pytest.fixture(scope="module")
def runtime(world):
    """As `keystile keys create --kind runtime` makes it, through the running service."""
    done = keystile.run(
        "keys",
        "create",
        "--kind",
        "runtime",
        "--name",
        "runtime",
        "--scope",
        "runtime:routing",
        "--scope",
        "runtime:events",
        "--scope",
        "keystile:verify",
        "--json",
        data=world.daemon.data,
    )
    assert done.code == 0, done
    return done.json


def test_runtime_keys_come_from_the_command_line_alone(world, operator, runtime):
    assert (runtime["kind"], runtime["binding"], runtime["tenant"]) == ("runtime", "operator", world.root)
    strongest = operator.as_key(scopes=["keystile:keys:write", "keystile:keys:read"])
    for caller in (operator, strongest, world.caller(world.acme), Api(world.daemon, runtime["token"])):
        for tenant in (None, world.root, world.acme):
            body = new_key(kind="runtime", scopes=["runtime:events"], **({"tenant": tenant} if tenant else {}))
            assert caller.post("/v1/keys", body, expect=None).status in (403, 422)
    operator.post(f"/v1/keys/{runtime['id']}/rotate", {}, expect=403, code="not_grantable")
    line = lines(
        {"name": "x", "kind": "runtime", "scopes": ["runtime:events"], "expires_at": None, "sha256": 32 * "ab"}
    )
    told = operator.call("POST", "/v1/keys/import", line, {"Content-Type": "application/x-ndjson"}).json
    assert told["imported"] == 0, told
    assert {k["id"] for k in operator.pages("/v1/keys?kind=runtime", 500)} >= {runtime["id"]}


def test_runtime_keys_on_server_only_routes_alone(world, operator, runtime):
    for method, uri in SERVER_ONLY:
        assert ask(world, runtime["token"], method=method, uri=uri).status == 200
    for family in operator.get("/v1/policy").json["families"]:
        for route in family["routes"]:
            uri = route.replace("/**", "/x").replace("{", "").replace("}", "")
            if uri.startswith("/internal/"):
                continue
            for method in ("GET", "POST"):
                assert ask(world, runtime["token"], method=method, uri=uri).code in (
                    "kind_not_allowed",
                    "route_unknown",
                ), (method, uri)


def test_server_only_routes_take_nothing_else(world, operator):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("u") + "@acme.test"}).json["id"]
    holders = [operator.make_key(tenant=getattr(world, p), scopes="default") for p in SEES] + [
        operator.make_key(user=user)
    ]
    for method, uri in SERVER_ONLY:
        for holder in holders:
            assert ask(world, holder["token"], method=method, uri=uri).code == "kind_not_allowed"


def test_scopes_of_the_runtime_are_for_it_alone(world, operator):
    for place in ("root", "acme", "partner"):
        answer = operator.post(
            "/v1/keys", new_key(tenant=getattr(world, place), scopes=["runtime:events"]), expect=422, code="invalid"
        )
        assert pointers(answer) == ["/scopes/0"]


# ---- no key is stronger than its creator ----


def test_no_key_is_stronger_than_its_creator(world, operator):
    """Random creators and random wishes: made where every scope is the creator's and the tenant seen by it."""
    rng = random.Random(keystile.seed())
    catalogue = [
        s for s in operator.pages("/v1/scopes", 500) if "tenant" in s["kinds"] and s["name"] != "keystile:keys:write"
    ]
    names = [s["name"] for s in catalogue]
    for _ in range(60):
        place = rng.choice(["acme", "sub", "nested", "project", "other"])
        holds = ["keystile:keys:write", *rng.sample(names, rng.randrange(0, len(names)))]
        creator = operator.as_key(tenant=getattr(world, place), scopes=holds)
        target = rng.choice([p for p in PLACES if p not in ("root", "partner")])
        wish = rng.sample(holds + rng.sample(names, 2), rng.randrange(0, 3))
        answer = creator.post("/v1/keys", new_key(tenant=getattr(world, target), scopes=wish), expect=None)
        if target not in SEES[place]:
            assert (answer.status, answer.code) == (403, "tenant_forbidden")
        elif set(wish) <= set(holds):
            assert answer.status == 201 and set(answer.json["scopes"]) == set(wish)
        else:
            assert (answer.status, answer.code) == (403, "not_grantable") and pointers(answer)[0].startswith("/scopes/")


def test_roles_are_within_the_creators_scopes(world, operator):
    creator = operator.as_key(
        tenant=world.acme, scopes=["keystile:keys:write", "contacts:read", "contacts:write", "bulk_call_campaigns:read"]
    )
    creator.post("/v1/keys", new_key(roles=["campaign_manager"]), expect=403, code="not_grantable")
    stronger = operator.as_key(
        tenant=world.acme,
        scopes=[
            "keystile:keys:write",
            "contacts:read",
            "contacts:write",
            "bulk_call_campaigns:read",
            "bulk_call_campaigns:write",
        ],
    )
    made = stronger.make_key(roles=["campaign_manager"])
    assert made["roles"] == ["campaign_manager"] and len(made["scopes"]) == 4


ROLES = """version: 1
scopes:
  a:read: {about: A, default: true}
  a:write: {about: A}
  b:read: {about: B}
roles:
  worker: {about: Works, scopes: [%s]}
families:
  a: {routes: [/a], kinds: [tenant], scopes: {GET: a:read, POST: a:write}}
  b: {routes: [/b], kinds: [tenant], scopes: {GET: b:read}}
"""


def test_no_key_is_widened_by_a_later_change_of_a_role(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(ROLES % "a:read")
    with keystile.temporary_data() as data, keystile.Daemon(data, policy=policy) as daemon:
        operator = Api(daemon, daemon.first_key)

        def may(token):
            return [
                daemon.authorize(token, method, uri).status
                for method, uri in (("GET", "/a"), ("POST", "/a"), ("GET", "/b"))
            ]

        before = operator.make_key(roles=["worker"])
        assert may(before["token"]) == [200, 403, 403]
        for round, (scopes, after) in enumerate(
            [("a:read, a:write, b:read", [200, 200, 200]), ("b:read", [403, 403, 200])]
        ):
            policy.write_text(ROLES % scopes)
            daemon.process.send_signal(keystile.signal.SIGHUP)
            eventually(lambda: may(operator.make_key(roles=["worker"])["token"]), after)
            assert may(before["token"]) == [200, 403, 403]
            record = operator.get(f"/v1/keys/{before['id']}").json
            assert (record["roles"], record["scopes"]) == (["worker"], ["a:read"])
            successor = operator.post(f"/v1/keys/{before['id']}/rotate", {"overlap_s": 0}).json
            assert may(successor["token"]) == [200, 403, 403], round
            before = successor


# ---- sandbox and live ----


def test_sandbox_and_live_are_apart(world, operator):
    scopes = ["contacts:read", "billing:tenant:read", "keystile:keys:write", "keystile:keys:read"]
    sandbox, live = (operator.make_key(tenant=world.acme, scopes=scopes, environment=e) for e in ("sandbox", "live"))
    assert sandbox["token"].startswith("ks_sandbox_") and not live["token"].startswith("ks_sandbox_")
    for key, environment in ((sandbox, "sandbox"), (live, "live")):
        assert ask(world, key["token"]).headers["X-Keystile-Environment"] == environment
    billing = "/api/v1/billing/tenant"
    assert ask(world, live["token"], uri=billing).status == 200
    assert ask(world, sandbox["token"], uri=billing).code == "environment_mismatch"
    inside = Api(world.daemon, sandbox["token"])
    assert inside.make_key(scopes=["contacts:read"], environment="sandbox")["environment"] == "sandbox"
    for body in (new_key(), new_key(environment="live")):
        answer = inside.post("/v1/keys", body, expect=403, code="not_grantable")
        assert pointers(answer) == ["/environment"]
    inside.post(f"/v1/keys/{live['id']}/rotate", {}, expect=403, code="not_grantable")
    assert ask(world, live["token"]).status == 200
    assert inside.post(f"/v1/keys/{sandbox['id']}/rotate", {}).json["environment"] == "sandbox"


# ---- rotation, suspension ----


def test_a_rotated_key_ends_after_its_overlap(world, operator):
    old = operator.make_key(
        tenant=world.acme,
        scopes=["contacts:read"],
        addresses=["127.0.0.0/8"],
        rate_limit={"requests": 100000, "window_s": 60},
        environment="sandbox",
        labels={"a": "b"},
    )
    new = operator.post(f"/v1/keys/{old['id']}/rotate", {"overlap_s": 1}).json
    for member in (
        "kind",
        "binding",
        "tenant",
        "scopes",
        "roles",
        "addresses",
        "rate_limit",
        "environment",
        "labels",
        "expires_at",
    ):
        assert new[member] == old[member]
    eventually(lambda: ask(world, old["token"]).code, "credential_invalid")
    assert ask(world, new["token"]).status == 200
    assert operator.get(f"/v1/keys/{old['id']}").json["status"] == "revoked"


def test_a_suspended_organization_stops_all_of_its_keys_at_once(world, operator):
    org = operator.make_tenant("organization", world.partner, slug=unique("stop"))
    sub = operator.make_tenant("sub_entity", org["id"])["id"]
    nested = operator.make_tenant("sub_entity", sub)["id"]
    projects = [operator.make_tenant("project", t)["id"] for t in (org["id"], nested)]
    user = operator.post("/v1/users", {"organization": org["id"], "email": unique("u") + "@stop.test"}).json
    operator.put(f"/v1/tenants/{world.acme}/members/{user['id']}", {"role": "member"}, expect=None)
    bound = [
        operator.make_key(tenant=t, scopes=["contacts:read"])["token"] for t in (org["id"], sub, nested, *projects)
    ]
    bound.append(operator.make_key(user=user["id"], scopes=["contacts:read"])["token"])
    partner = operator.make_key(tenant=world.partner, scopes=["contacts:read"])["token"]
    host = org["slug"] + ".space.test"

    def asked():
        return (
            [ask(world, t).status for t in bound],
            basic(world, host, projects[0], bound[3]).status,
            ask(world, partner, org["id"]).status,
            ask(world, partner, world.first).status,
        )

    for _ in range(2):
        assert asked() == ([200] * 6, 200, 200, 200)
        operator.post(f"/v1/tenants/{org['id']}/suspend", expect=200)
        assert asked() == ([401] * 6, 401, 403, 200)
        assert {ask(world, t).code for t in bound} == {"credential_invalid"}
        assert ask(world, partner, org["id"]).code == "tenant_forbidden"
        operator.post(f"/v1/tenants/{org['id']}/resume", expect=200)
