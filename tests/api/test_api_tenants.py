"""/v1/tenants, members and users: the tree, its people, and what stops when a part of it does."""
import pytest

from api_service import new_key, plain_user, pointers, same_problem, unique


def allowed(world, token, method="GET", tenant=None):
    return world.daemon.authorize(token, method, headers={"X-Tenant-Id": tenant} if tenant else {}).status == 200


# ---- create, read, rename ----

def test_create_and_read(world, operator):
    made = operator.post("/v1/tenants", {"kind": "organization", "name": "Größe ✓"}).json
    assert made["kind"] == "organization" and made["id"].startswith("org_") and made["organization"] == made["id"]
    assert made["parent"] == world.root and made["status"] == "active" and made["slug"]
    assert (made["user"], made["suspended_at"], made["deleted_at"]) == (None, None, None)
    assert "first_key" not in made and "administrator" not in made
    assert operator.get(f"/v1/tenants/{made['id']}").json == made


@pytest.mark.parametrize("kind, parent, prefix", [("partner", "root", "prt"), ("organization", "partner", "org"),
                                                  ("sub_entity", "acme", "sub"), ("sub_entity", "nested", "sub"),
                                                  ("project", "nested", "prj"), ("project", "acme", "prj")])
def test_every_kind(world, operator, kind, parent, prefix):
    made = operator.make_tenant(kind, getattr(world, parent))
    assert made["id"].startswith(prefix + "_") and made["parent"] == getattr(world, parent)


@pytest.mark.parametrize("kind, parent", [("partner", "partner"), ("partner", "acme"), ("organization", "acme"),
                                          ("organization", "sub"),
                                          ("sub_entity", "root"), ("sub_entity", "partner"), ("sub_entity", "project"),
                                          ("project", "root"), ("project", "project")])
def test_what_does_not_go_below_what(world, operator, kind, parent):
    answer = operator.post("/v1/tenants", {"kind": kind, "name": "x", "parent": getattr(world, parent)}, expect=422,
                           code="invalid")
    assert pointers(answer) == ["/kind"]


def test_sub_entities_nest_eight_deep(operator):
    at = operator.make_tenant("organization")["id"]
    for _ in range(8):
        at = operator.make_tenant("sub_entity", at)["id"]
    operator.make_tenant("project", at)
    operator.post("/v1/tenants", {"kind": "sub_entity", "name": "x", "parent": at}, expect=422, code="invalid")


def test_parent_left_out_is_the_callers_own(world):
    caller = world.caller(world.acme)
    made = caller.post("/v1/tenants", {"kind": "sub_entity", "name": "x"}).json
    assert made["parent"] == world.acme and made["organization"] == world.acme


def test_slug_is_given_or_made_and_unique(operator):
    slug = unique("slug")
    assert operator.make_tenant("organization", slug=slug)["slug"] == slug
    answer = operator.post("/v1/tenants", {"kind": "organization", "name": "x", "slug": slug}, expect=409,
                           code="conflict")
    assert pointers(answer) == ["/slug"]
    first, second = (operator.post("/v1/tenants", {"kind": "organization",
                                                   "name": "Same Name"}).json["slug"] for _ in range(2))
    assert first != second


def test_rename(operator):
    made = operator.make_tenant("organization")
    assert operator.patch(f"/v1/tenants/{made['id']}", {"name": "another"}).json == {**made, "name": "another"}


@pytest.mark.parametrize("member", ["id", "kind", "parent", "organization", "slug", "status", "created_at", "user",
                                    "first_key", "administrator"])
def test_everything_else_is_immutable(operator, member):
    made = operator.make_tenant("organization")
    answer = operator.patch(f"/v1/tenants/{made['id']}", {"name": "no", member: made.get(member)}, expect=422,
                            code="immutable")
    assert pointers(answer) == [f"/{member}"]
    operator.patch(f"/v1/tenants/{made['id']}", {"nonsense": 1, "name": "x"}, expect=422, code="invalid")
    assert operator.get(f"/v1/tenants/{made['id']}").json == made


# ---- provisioning: all or nothing ----

def test_provisioning(world, operator):
    email = unique("ada") + "@acme.test"
    body = {"kind": "organization", "name": "Provisioned", "administrator": {"email": email.upper()},
            "first_key": {"name": "first", "scopes": ["contacts:read"], "expires_at": None}}
    made = operator.post("/v1/tenants", body).json
    key, user = made["first_key"], made["administrator"]
    assert (key["tenant"], key["binding"], key["scopes"]) == (made["id"], "organization", ["contacts:read"])
    assert (user["organization"], user["email"]) == (made["id"], email)
    assert allowed(world, key["token"])
    members = operator.get(f"/v1/tenants/{made['id']}/members").json["items"]
    assert [(m["user"], m["role"], m["email"]) for m in members] == [(user["id"], "administrator", email)]
    assert plain_user(operator.get(f"/v1/users/{user['id']}").json) == user


def test_provisioning_that_fails_leaves_nothing(operator):
    taken = unique("taken") + "@acme.test"
    operator.post("/v1/tenants", {"kind": "organization", "name": "x", "administrator": {"email": taken}})
    slug = unique("nothing")

    def newest():
        return [operator.get(f"/v1/{kind}?limit=1").json["items"][0]["id"] for kind in ("tenants", "keys", "users")]

    before = newest()
    body = {"kind": "organization", "name": "x", "slug": slug, "first_key": new_key(scopes=["contacts:read"]),
            "administrator": {"email": taken}}
    answer = operator.post("/v1/tenants", body, expect=409, code="conflict")
    assert pointers(answer) == ["/administrator/email"]
    bad_key = {**body, "administrator": {"email": unique("free") + "@acme.test"},
               "first_key": new_key(scopes=["no:such"])}
    operator.post("/v1/tenants", bad_key, expect=422, code="invalid")
    assert newest() == before
    # The slug and the address are free, as nothing was made.
    operator.post("/v1/tenants", {**bad_key, "first_key": new_key()})


def test_only_organizations_are_provisioned(world, operator):
    answer = operator.post("/v1/tenants", {"kind": "project", "name": "x", "parent": world.acme,
                                           "first_key": new_key()}, expect=422, code="invalid")
    assert pointers(answer) == ["/first_key"]


# ---- list ----

def test_list(world, operator):
    parent = operator.make_tenant("organization")["id"]
    made = [operator.make_tenant("sub_entity", parent)["id"] for _ in range(5)]
    project = operator.make_tenant("project", parent)["id"]
    assert [t["id"] for t in operator.pages(f"/v1/tenants?parent={parent}", 2)] == [project, *reversed(made)]
    assert [t["id"] for t in operator.pages(f"/v1/tenants?parent={parent}&kind=sub_entity", 2)] == list(reversed(made))
    assert {t["kind"] for t in operator.pages("/v1/tenants?kind=partner", 500)} == {"partner"}
    everything = operator.pages("/v1/tenants", 7)
    assert len({t["id"] for t in everything}) == len(everything)
    assert {world.root, world.partner, world.acme, world.nested} <= {t["id"] for t in everything}


@pytest.mark.parametrize("query", ["kind=team", "kind=", "parent=x", "limit=0", "cursor=z"])
def test_wrong_queries(operator, query):
    operator.get(f"/v1/tenants?{query}", expect=400, code="query_malformed")


# ---- suspend, resume, delete ----

def test_suspension_reaches_everything_below(world, operator):
    org = operator.make_tenant("organization")["id"]
    sub = operator.make_tenant("sub_entity", org)["id"]
    keys = [operator.make_key(tenant=t, scopes=["contacts:read"])["token"] for t in (org, sub)]
    suspended = operator.post(f"/v1/tenants/{org}/suspend", expect=200).json
    assert suspended["status"] == "suspended" and suspended["suspended_at"]
    for key in keys:
        assert world.daemon.authorize(key).code == "credential_invalid"
    assert operator.post(f"/v1/tenants/{org}/suspend", {}, expect=200).json == suspended
    assert operator.get(f"/v1/tenants/{sub}").json["status"] == "active"
    resumed = operator.post(f"/v1/tenants/{org}/resume", expect=200).json
    assert (resumed["status"], resumed["suspended_at"]) == ("active", None)
    for key in keys:
        assert allowed(world, key)
    assert operator.post(f"/v1/tenants/{org}/resume", expect=200).json == resumed


def test_nobody_ends_himself_or_what_is_above(world, operator):
    caller = world.caller(world.acme)
    for method, target in (("POST", f"/v1/tenants/{world.acme}/suspend"), ("DELETE", f"/v1/tenants/{world.acme}")):
        caller.call(method, target, expect=403, code="tenant_forbidden")
    operator.delete(f"/v1/tenants/{world.root}", expect=403, code="tenant_forbidden")
    assert caller.get(f"/v1/tenants/{world.acme}").json["status"] == "active"


def test_delete(world, operator):
    org = operator.make_tenant("organization")["id"]
    sub = operator.make_tenant("sub_entity", org)["id"]
    key = operator.make_key(tenant=sub, scopes=["contacts:read"])
    operator.delete(f"/v1/tenants/{org}", expect=409, code="conflict")
    assert allowed(world, key["token"])
    deleted = operator.delete(f"/v1/tenants/{sub}").json
    assert deleted["status"] == "deleted" and deleted["deleted_at"]
    assert world.daemon.authorize(key["token"]).code == "credential_invalid"
    unknown = operator.get("/v1/tenants/sub_0m6xwq3k2r4t8", expect=404, code="not_found")
    assert same_problem(operator.get(f"/v1/tenants/{sub}", expect=404), unknown)
    operator.delete(f"/v1/tenants/{sub}", expect=404, code="not_found")
    operator.post("/v1/keys", new_key(tenant=sub), expect=403, code="tenant_forbidden")
    operator.post("/v1/tenants", {"kind": "project", "name": "x", "parent": sub}, expect=403, code="tenant_forbidden")
    assert sub not in {t["id"] for t in operator.pages(f"/v1/tenants?parent={org}", 500)}
    operator.delete(f"/v1/tenants/{org}")


# ---- users ----

def test_users(world, operator):
    org = operator.make_tenant("organization")["id"]
    made = [operator.post("/v1/users", {"organization": org, "email": f"{unique('u')}@Acme.Test",
                                        "name": "Ada"}).json for _ in range(5)]
    assert made[0]["email"].endswith("@acme.test") and made[0]["status"] == "active"
    assert made[0]["personal"].startswith("per_")
    assert plain_user(operator.get(f"/v1/users/{made[0]['id']}").json) == plain_user(made[0])
    assert [u["id"] for u in operator.pages(f"/v1/users?organization={org}", 2)] == [u["id"] for u in reversed(made)]
    caller = world.caller(org)
    assert [u["id"] for u in caller.pages("/v1/users", 3)] == [u["id"] for u in reversed(made)]
    assert {u["id"] for u in made} <= {u["id"] for u in operator.pages("/v1/users", 4)}


def test_user_named_by_address_alone(world, operator):
    email = unique("bob") + "@acme.test"
    assert operator.post("/v1/users", {"organization": world.acme, "email": email}).json["name"] == email


def test_addresses_are_unique(world, operator):
    email = unique("eve") + "@acme.test"
    operator.post("/v1/users", {"organization": world.acme, "email": email})
    answer = operator.post("/v1/users", {"organization": world.other, "email": email.upper()}, expect=409,
                           code="conflict")
    assert pointers(answer) == ["/email"]


def test_disable_and_enable(world, operator):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("d") + "@acme.test"}).json
    key = operator.make_key(user=user["id"], scopes=["contacts:read"])["token"]
    assert allowed(world, key)
    disabled = operator.post(f"/v1/users/{user['id']}/disable", expect=200).json
    assert disabled["status"] == "disabled" and disabled["disabled_at"]
    assert world.daemon.authorize(key).code == "credential_invalid"
    operator.post("/v1/keys", new_key(user=user["id"]), expect=422, code="invalid")
    assert operator.post(f"/v1/users/{user['id']}/enable", {}, expect=200).json == plain_user(user)
    assert allowed(world, key)


@pytest.mark.parametrize("query", ["organization=x", "organization={sub}", "limit=0"])
def test_wrong_user_queries(world, operator, query):
    operator.get(f"/v1/users?{query.format(sub=world.sub)}", expect=400, code="query_malformed")


# ---- members ----

def test_members(world, operator):
    users = [operator.post("/v1/users", {"organization": world.acme,
                                         "email": unique("m") + "@acme.test"}).json["id"] for _ in range(3)]
    tenant = operator.make_tenant("sub_entity", world.acme)["id"]
    key = operator.make_key(user=users[0], scopes=["contacts:read"])["token"]
    assert not allowed(world, key, tenant=tenant)
    for user in users:
        made = operator.put(f"/v1/tenants/{tenant}/members/{user}", {"role": "member"}).json
        assert (made["tenant"], made["user"], made["role"]) == (tenant, user, "member")
    # As of now, not as of the key's creation.
    assert allowed(world, key, tenant=tenant)
    assert [m["user"] for m in operator.pages(f"/v1/tenants/{tenant}/members", 2)] == list(reversed(users))
    assert operator.put(f"/v1/tenants/{tenant}/members/{users[0]}",
                        {"role": "administrator"}).json["role"] == "administrator"
    assert len(operator.pages(f"/v1/tenants/{tenant}/members", 500)) == 3
    removed = operator.delete(f"/v1/tenants/{tenant}/members/{users[0]}").json
    assert removed["role"] == "administrator"
    assert not allowed(world, key, tenant=tenant)
    operator.delete(f"/v1/tenants/{tenant}/members/{users[0]}", expect=404, code="not_found")


def test_an_administrator_sees_below_and_a_member_does_not(world, operator):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("r") + "@acme.test"}).json["id"]
    key = operator.make_key(user=user, scopes=["contacts:read"])["token"]
    operator.put(f"/v1/tenants/{world.sub}/members/{user}", {"role": "member"})
    assert allowed(world, key, tenant=world.sub) and not allowed(world, key, tenant=world.nested)
    operator.put(f"/v1/tenants/{world.sub}/members/{user}", {"role": "administrator"})
    assert allowed(world, key, tenant=world.nested)


@pytest.mark.parametrize("method, suffix, body", [("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None),
                                                  ("POST", "/suspend", None),
                                                  ("POST", "/resume", None), ("GET", "/members", None)])
@pytest.mark.parametrize("name", ["org_0m6xwq3k2r4t8", "org_0M6XWQ3K2R4T8", "org_", "key_0m6xwq3k2r4t8", "x"])
def test_unknown_tenants(operator, method, suffix, body, name):
    operator.call(method, f"/v1/tenants/{name}{suffix}", body, expect=404, code="not_found")


@pytest.mark.parametrize("method, suffix", [("GET", ""), ("POST", "/disable"), ("POST", "/enable")])
@pytest.mark.parametrize("name", ["usr_0m6xwq3k2r4t8", "usr_x", "org_0m6xwq3k2r4t8"])
def test_unknown_users(operator, method, suffix, name):
    operator.call(method, f"/v1/users/{name}{suffix}", expect=404, code="not_found")


def test_unknown_members(world, operator):
    for user in ("usr_0m6xwq3k2r4t8", "x"):
        operator.put(f"/v1/tenants/{world.acme}/members/{user}", {"role": "member"}, expect=404, code="not_found")
        operator.delete(f"/v1/tenants/{world.acme}/members/{user}", expect=404, code="not_found")
