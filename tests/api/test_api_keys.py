"""/v1/keys: the life of a key."""
import re

import pytest

from api_service import Api, new_key, pointers, unique

TOKEN = re.compile(r"^ks_[0-9a-f]{32}\Z")
NEVER = None


@pytest.fixture(scope="module")
def acme(world):
    return world.caller(world.acme)


def allowed(world, token, tenant=None, method="GET"):
    headers = {"X-Tenant-Id": tenant} if tenant else {}
    return world.daemon.authorize(token, method, headers=headers).status == 200


# ---- create ----

def test_create_with_the_least(world, operator):
    made = operator.post("/v1/keys", {"name": "least", "expires_at": None}).json
    assert TOKEN.match(made["token"])
    assert made["last_four"] == made["token"][-4:] and made["prefix"] == "ks"
    assert (made["kind"], made["binding"], made["tenant"], made["user"]) == ("tenant", "operator", world.root, None)
    assert (made["scopes"], made["roles"], made["addresses"], made["rate_limit"], made["labels"]) == ([], [], [], None,
                                                                                                      {})
    assert (made["environment"], made["status"], made["uses"], made["expires_at"]) == ("live", "active", 0, None)


def test_create_with_everything(world, operator):
    body = {"name": "Größe ✓", "kind": "tenant", "tenant": world.sub, "user": None,
            "scopes": ["contacts:write", "contacts:read"],
            "roles": ["billing_reader"], "expires_at": "2099-01-01T01:00:00+01:00", "environment": "sandbox",
            "addresses": ["203.0.113.0/24", "2001:db8::1"], "rate_limit": {"requests": 600, "window_s": 60},
            "labels": {"team": "ops", "a": ""}}
    made = operator.post("/v1/keys", body).json
    token = made.pop("token")
    assert token.startswith("ks_sandbox_") and made["prefix"] == "ks_sandbox"
    assert made["binding"] == "sub_entity" and made["tenant"] == world.sub
    # What a role means now is frozen into the scopes.
    assert made["scopes"] == ["billing:tenant:read", "contacts:read", "contacts:write"]
    assert made["roles"] == ["billing_reader"]
    assert made["expires_at"] == "2099-01-01T00:00:00.000Z"
    assert set(made["addresses"]) == {"203.0.113.0/24", "2001:db8::1/128"}
    assert made["rate_limit"] == {"requests": 600, "window_s": 60}
    assert made["labels"] == {"team": "ops", "a": ""}
    assert operator.get(f"/v1/keys/{made['id']}").json == made


@pytest.mark.parametrize("where, binding, kind", [("acme", "organization", "tenant"),
                                                  ("nested", "sub_entity", "tenant"),
                                                  ("project", "project", "tenant"), ("partner", "partner", "partner"),
                                                  ("root", "operator", "tenant")])
def test_every_binding(world, operator, where, binding, kind):
    made = operator.make_key(tenant=getattr(world, where))
    assert (made["binding"], made["kind"], made["tenant"]) == (binding, kind, getattr(world, where))


def test_user_key_is_bound_to_the_personal_tenant(world, operator):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("u") + "@acme.test"}).json
    made = operator.make_key(user=user["id"], scopes=["contacts:read"])
    assert (made["binding"], made["user"], made["tenant"]) == ("user", user["id"], user["personal"])
    assert allowed(world, made["token"])


def test_default_scopes_are_those_of_the_policy(world, operator):
    default = [s["name"] for s in operator.pages("/v1/scopes", 500) if s["default"]]
    made = operator.make_key(tenant=world.acme, scopes="default")
    assert default and made["scopes"] == sorted(default)


def test_tenant_left_out_is_the_effective_one(world, acme):
    assert acme.make_key()["tenant"] == world.acme
    assert acme.on_behalf(world.sub).make_key()["tenant"] == world.sub


def test_token_is_shown_once(world, operator):
    made = operator.make_key(tenant=world.acme)
    token = made["token"]
    for answer in (operator.get(f"/v1/keys/{made['id']}"), operator.get("/v1/keys?limit=500"),
                   operator.get("/v1/audit?limit=500"), operator.patch(f"/v1/keys/{made['id']}", {"name": "x"}),
                   operator.delete(f"/v1/keys/{made['id']}"), Api(world.daemon).get("/metrics")):
        assert token.encode() not in answer.body
        assert token[3:].encode() not in answer.body


def test_runtime_keys_are_made_on_the_local_socket_alone(world, operator):
    body = new_key(kind="runtime", scopes=["runtime:routing"])
    answer = operator.post("/v1/keys", body, expect=403, code="not_grantable")
    assert pointers(answer) == ["/kind"]
    made = world.owner.post("/v1/keys", body).json
    assert made["kind"] == "runtime" and made["created_by"] == "local"


# ---- no key is stronger than its creator ----

def test_scopes_within_the_creators(world):
    weak = world.caller(world.acme, scopes=["keystile:keys:write", "contacts:read"])
    assert weak.make_key(scopes=["contacts:read"])["scopes"] == ["contacts:read"]
    answer = weak.post("/v1/keys", new_key(scopes=["contacts:read", "contacts:write"]), expect=403,
                       code="not_grantable")
    assert pointers(answer)[0].startswith("/scopes")
    weak.post("/v1/keys", new_key(roles=["billing_reader"]), expect=403, code="not_grantable")


def test_rotation_within_the_creators_scopes(world, operator):
    strong = operator.make_key(tenant=world.acme, scopes=["contacts:write"])
    weak = world.caller(world.acme, scopes=["keystile:keys:write", "keystile:keys:read"])
    weak.post(f"/v1/keys/{strong['id']}/rotate", expect=403, code="not_grantable")
    assert weak.get(f"/v1/keys/{strong['id']}").json["status"] == "active"


# ---- rename ----

def test_rename(operator):
    made = operator.make_key()
    made.pop("token")
    renamed = operator.patch(f"/v1/keys/{made['id']}", {"name": "another"}).json
    assert renamed == {**made, "name": "another"}
    assert operator.get(f"/v1/keys/{made['id']}").json == renamed


@pytest.mark.parametrize("member", ["id", "kind", "tenant", "user", "scopes", "roles", "expires_at", "environment",
                                    "addresses",
                                    "rate_limit", "labels", "binding", "prefix", "last_four", "token", "status",
                                    "created_at",
                                    "created_by", "revoked_at", "revoked_by", "rotated_from", "rotated_to", "uses",
                                    "last_used_at",
                                    "last_used_address"])
def test_everything_else_is_immutable(world, operator, member):
    made = operator.make_key(tenant=world.acme)
    answer = operator.patch(f"/v1/keys/{made['id']}", {"name": "no", member: made[member]}, expect=422,
                            code="immutable")
    assert pointers(answer) == [f"/{member}"]
    assert operator.get(f"/v1/keys/{made['id']}").json["name"] == made["name"]


# ---- delete ----

def test_delete_stops_the_key_and_keeps_the_record(world, operator):
    made = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    assert allowed(world, made["token"])
    deleted = operator.delete(f"/v1/keys/{made['id']}").json
    assert not allowed(world, made["token"])
    assert deleted["status"] == "revoked" and deleted["revoked_at"]
    assert deleted["revoked_by"] == operator.get("/v1/account").json["key"]["id"]
    again = operator.delete(f"/v1/keys/{made['id']}").json
    # What was counted meanwhile is not of the deletion.
    counted = ("uses", "last_used_at", "last_used_address")
    assert {k: v for k, v in again.items() if k not in counted} == {k: v for k,
                                                                    v in deleted.items() if k not in counted}
    assert operator.get(f"/v1/keys/{made['id']}").json["status"] == "revoked"
    operator.patch(f"/v1/keys/{made['id']}", {"name": "still named"})


# ---- rotate ----

def test_rotate_at_once(world, operator):
    old = operator.make_key(tenant=world.acme, scopes=["contacts:read"], rate_limit={"requests": 100, "window_s": 1},
                            labels={"a": "b"})
    new = operator.post(f"/v1/keys/{old['id']}/rotate").json
    assert new["token"] != old["token"]
    assert allowed(world, new["token"]) and not allowed(world, old["token"])
    for member in ("name", "kind", "tenant", "scopes", "roles", "environment", "addresses", "rate_limit", "labels",
                   "expires_at"):
        assert new[member] == old[member], member
    assert new["rotated_from"] == old["id"]
    old = operator.get(f"/v1/keys/{old['id']}").json
    assert (old["status"], old["rotated_to"]) == ("revoked", new["id"]) and old["revoked_at"]


def test_rotate_with_overlap(world, operator):
    old = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    new = operator.post(f"/v1/keys/{old['id']}/rotate",
                        {"overlap_s": 3600, "expires_at": "2098-01-01T00:00:00.000Z"}).json
    assert allowed(world, new["token"]) and allowed(world, old["token"])
    assert new["expires_at"] == "2098-01-01T00:00:00.000Z"
    record = operator.get(f"/v1/keys/{old['id']}").json
    assert (record["status"], record["rotated_to"], record["revoked_at"]) == ("active", new["id"], None)
    operator.delete(f"/v1/keys/{old['id']}")
    assert not allowed(world, old["token"]) and allowed(world, new["token"])


def test_rotate_twice_and_rotate_revoked(operator):
    made = operator.make_key()
    operator.post(f"/v1/keys/{made['id']}/rotate", {"overlap_s": 60})
    operator.post(f"/v1/keys/{made['id']}/rotate", {}, expect=409, code="conflict")
    other = operator.make_key()
    operator.delete(f"/v1/keys/{other['id']}")
    operator.post(f"/v1/keys/{other['id']}/rotate", {}, expect=409, code="conflict")


@pytest.mark.parametrize("body, pointer", [({"overlap_s": -1}, "/overlap_s"), ({"overlap_s": "1"}, "/overlap_s"),
                                           ({"overlap_s": 1.5}, "/overlap_s"), ({"overlap_s": 2592001}, "/overlap_s"),
                                           ({"overlap_s": None}, "/overlap_s"),
                                           ({"expires_at": "soon"}, "/expires_at"),
                                           ({"expires_at": "1999-01-01T00:00:00Z"}, "/expires_at"),
                                           ({"name": "x"}, "/name")])
def test_rotate_with_wrong_input(world, operator, body, pointer):
    made = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    answer = operator.post(f"/v1/keys/{made['id']}/rotate", body, expect=422, code="invalid")
    assert pointers(answer) == [pointer]
    assert allowed(world, made["token"])


# ---- list ----

def test_list_is_newest_first_and_pages_hold_everything_once(world, operator):
    tenant = operator.make_tenant("organization")["id"]
    made = [operator.make_key(tenant=tenant)["id"] for _ in range(7)]
    listed = [k["id"] for k in operator.pages(f"/v1/keys?tenant={tenant}", 3)]
    assert listed == list(reversed(made))
    assert operator.get(f"/v1/keys?tenant={tenant}&limit=7").json["next"] is None


def test_filters(world, operator):
    tenant = operator.make_tenant("organization")["id"]
    sub = operator.make_tenant("sub_entity", tenant)["id"]
    plain = operator.make_key(tenant=tenant, name="Plain one")["id"]
    sandbox = operator.make_key(tenant=tenant, name="sandbox 100%_x", environment="sandbox")["id"]
    gone = operator.make_key(tenant=tenant, name="gone")["id"]
    below = operator.make_key(tenant=sub, name="below")["id"]
    operator.delete(f"/v1/keys/{gone}")

    def listed(query):
        return {k["id"] for k in operator.pages(f"/v1/keys?tenant={tenant}&{query}", 100)}

    assert listed("") == {plain, sandbox, gone}
    assert listed("below=true") == {plain, sandbox, gone, below}
    assert listed("below=false") == {plain, sandbox, gone}
    assert listed("status=active") == {plain, sandbox}
    assert listed("status=revoked") == {gone}
    assert listed("status=expired") == set()
    assert listed("environment=sandbox") == {sandbox}
    assert listed("kind=tenant") == {plain, sandbox, gone}
    assert listed("kind=partner") == set()
    assert listed("q=PLAIN") == {plain}
    assert listed("q=100%25_") == {sandbox}
    assert listed("q=%25") == {sandbox}
    assert listed("unused_since=2020-01-01T00:00:00Z") == {plain, sandbox, gone}


def test_expired_keys_are_listed_as_such(world, operator):
    made = operator.make_key(tenant=world.other, expires_at="2099-01-01T00:00:00Z")
    assert made["status"] == "active"
    assert made["id"] not in {k["id"] for k in operator.pages(f"/v1/keys?tenant={world.other}&status=expired", 100)}


@pytest.mark.parametrize("query, name", [("limit=0", "limit"), ("limit=501", "limit"), ("limit=ten", "limit"),
                                         ("limit=-1", "limit"),
                                         ("limit=", "limit"), ("limit=5&limit=5", "limit"), ("cursor=x", "cursor"),
                                         ("cursor=", "cursor"),
                                         ("status=gone", "status"), ("status=", "status"), ("kind=robot", "kind"),
                                         ("environment=prod", "environment"),
                                         ("unused_since=yesterday", "unused_since"), ("tenant=acme", "tenant"),
                                         ("tenant=", "tenant"),
                                         ("below=true", "below"), ("nonsense=1", "nonsense"), ("q=%ff", "q"),
                                         ("q=%0a", "q"),
                                         ("q=%4", "q"), ("q=" + 201 * "x", "q"), ("Status=active", "Status")])
def test_wrong_queries(operator, query, name):
    answer = operator.get(f"/v1/keys?{query}", expect=400, code="query_malformed")
    assert f"?{name}" in pointers(answer)


def test_tenant_that_is_not_seen_is_forbidden(world, acme):
    for tenant in (world.other, world.root, world.acme[:-1] + ("0" if world.acme[-1] != "0" else "1")):
        acme.get(f"/v1/keys?tenant={tenant}", expect=403, code="tenant_forbidden")
    # The number of a tenant under another kind's prefix names nothing.
    acme.get(f"/v1/keys?tenant=sub_{world.acme[4:]}", expect=403, code="tenant_forbidden")


# ---- one that is not there ----

@pytest.mark.parametrize("method, suffix, body", [("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None),
                                                  ("POST", "/rotate", {}), ("GET", "/usage", None)])
@pytest.mark.parametrize("name", ["key_0000000000000", "key_0m6xwq3k2r4t8", "key_0M6XWQ3K2R4T8", "key_short",
                                  "org_0m6xwq3k2r4t8", "x", "key_0m6xwq3k2r4t80"])
def test_unknown_ids(operator, method, suffix, body, name):
    operator.call(method, f"/v1/keys/{name}{suffix}", body, expect=404, code="not_found")
