"""Everything that can be wrong with a request, and the code that it gets. Nothing is changed by any of it."""
import json

import pytest

from api_service import OWN_SCOPES, Api, new_key, pointers, same_problem, unique

GONE = object()  # the member is left out


def text(n):
    return "x" * n


KEY_MEMBERS = [
    # member, value, pointer, code
    ("name", GONE, "/name", "invalid"),
    ("name", None, "/name", "invalid"),
    ("name", 7, "/name", "invalid"),
    ("name", ["x"], "/name", "invalid"),
    ("name", "", "/name", "invalid"),
    ("name", "  ", "/name", "invalid"),
    ("name", text(201), "/name", "invalid"),
    ("name", "é" * 101, "/name", "invalid"),
    ("name", "a\nb", "/name", "invalid"),
    ("name", "a\x7fb", "/name", "invalid"),
    ("kind", "", "/kind", "invalid"),
    ("kind", 1, "/kind", "invalid"),
    ("kind", "session", "/kind", "invalid"),
    ("kind", "Tenant", "/kind", "invalid"),
    ("kind", "partner", "/kind", "invalid"),
    ("tenant", 1, "/tenant", "invalid"),
    ("tenant", "", "/tenant", "invalid"),
    ("tenant", "acme", "/tenant", "invalid"),
    ("tenant", "key_0m6xwq3k2r4t8", "/tenant", "invalid"),
    ("tenant", "org_0M6XWQ3K2R4T8", "/tenant", "invalid"),
    ("tenant", "org_0m6xwq3k2r4t8", "/tenant", "tenant_forbidden"),
    ("user", 1, "/user", "invalid"),
    ("user", "org_0m6xwq3k2r4t8", "/user", "invalid"),
    ("scopes", None, "/scopes", "invalid"),
    ("scopes", {}, "/scopes", "invalid"),
    ("scopes", "contacts:read", "/scopes", "invalid"),
    ("scopes", "Default", "/scopes", "invalid"),
    ("scopes", [1], "/scopes/0", "invalid"),
    ("scopes", ["contacts:read", None], "/scopes/1", "invalid"),
    ("scopes", [""], "/scopes/0", "invalid"),
    ("scopes", [text(64)], "/scopes/0", "invalid"),
    ("scopes", ["contacts:read"] * 129, "/scopes", "invalid"),
    ("scopes", ["contacts:read", "no:such"], "/scopes/1", "invalid"),
    ("scopes", ["contacts:Read"], "/scopes/0", "invalid"),
    ("scopes", ["billing:partner:allocate"], "/scopes/0", "invalid"),
    ("roles", "billing_reader", "/roles", "invalid"),
    ("roles", [{}], "/roles/0", "invalid"),
    ("roles", ["no_such_role"], "/roles/0", "invalid"),
    ("roles", ["billing_reader"] * 17, "/roles", "invalid"),
    ("expires_at", GONE, "/expires_at", "invalid"),
    ("expires_at", 1893456000, "/expires_at", "invalid"),
    ("expires_at", "", "/expires_at", "invalid"),
    ("expires_at", "never", "/expires_at", "invalid"),
    ("expires_at", "2099-01-01", "/expires_at", "invalid"),
    ("expires_at", "2099-01-01T00:00:00", "/expires_at", "invalid"),
    ("expires_at", "2099-02-29T00:00:00Z", "/expires_at", "invalid"),
    ("expires_at", "2099-13-01T00:00:00Z", "/expires_at", "invalid"),
    ("expires_at", "2099-01-01T24:00:00Z", "/expires_at", "invalid"),
    ("expires_at", "2099-01-01T00:00:60Z", "/expires_at", "invalid"),
    ("expires_at", "10000-01-01T00:00:00Z", "/expires_at", "invalid"),
    ("expires_at", "2020-01-01T00:00:00Z", "/expires_at", "invalid"),
    ("environment", "production", "/environment", "invalid"),
    ("environment", "", "/environment", "invalid"),
    ("environment", 0, "/environment", "invalid"),
    ("addresses", "203.0.113.0/24", "/addresses", "invalid"),
    ("addresses", [4], "/addresses/0", "invalid"),
    ("addresses", ["203.0.113.256"], "/addresses/0", "invalid"),
    ("addresses", ["10.0.0.0/8", "10.0.0.1/8"], "/addresses/1", "invalid"),
    ("addresses", ["10.0.0.0/33"], "/addresses/0", "invalid"),
    ("addresses", ["fe80::1%eth0"], "/addresses/0", "invalid"),
    ("addresses", ["10.0.0.1"] * 65, "/addresses", "invalid"),
    ("rate_limit", 5, "/rate_limit", "invalid"),
    ("rate_limit", {}, "/rate_limit/requests", "invalid"),
    ("rate_limit", {"requests": 1}, "/rate_limit/window_s", "invalid"),
    ("rate_limit", {"requests": 0, "window_s": 1}, "/rate_limit/requests", "invalid"),
    ("rate_limit", {"requests": -1, "window_s": 1}, "/rate_limit/requests", "invalid"),
    ("rate_limit", {"requests": "1", "window_s": 1}, "/rate_limit/requests", "invalid"),
    ("rate_limit", {"requests": 1.0, "window_s": 1}, "/rate_limit/requests", "invalid"),
    ("rate_limit", {"requests": 1000000001, "window_s": 1}, "/rate_limit/requests", "invalid"),
    ("rate_limit", {"requests": 1, "window_s": 2592001}, "/rate_limit/window_s", "invalid"),
    ("rate_limit", {"requests": 1, "window_s": 1, "burst": 1}, "/rate_limit/burst", "invalid"),
    ("labels", [], "/labels", "invalid"),
    ("labels", {"a": 1}, "/labels/a", "invalid"),
    ("labels", {"a/b~c": None}, "/labels/a~1b~0c", "invalid"),
    ("labels", {"": "x"}, "/labels", "invalid"),
    ("labels", {text(65): "x"}, f"/labels/{text(65)}", "invalid"),
    ("labels", {"a": text(257)}, "/labels/a", "invalid"),
    ("labels", {f"n{i}": "" for i in range(33)}, "/labels", "invalid"),
    ("labels", {f"n{i}": text(256) for i in range(20)}, "/labels", "invalid"),
    ("token", "ks_0123456789abcdef0123456789abcdef", "/token", "invalid"),
    ("sha256", 64 * "a", "/sha256", "invalid"),
    ("id", "key_0m6xwq3k2r4t8", "/id", "invalid"),
    ("nonsense", None, "/nonsense", "invalid"),
    ("non/sense~", None, "/non~1sense~0", "invalid"),
]


@pytest.fixture(scope="module")
def acme(world):
    return world.caller(world.acme, scopes=[*OWN_SCOPES, "contacts:read", "billing:tenant:read"])


@pytest.mark.parametrize("member, value, pointer, code", KEY_MEMBERS)
def test_key_members(acme, member, value, pointer, code):
    body = new_key()
    if value is GONE:
        del body[member]
    else:
        body[member] = value
    answer = acme.post("/v1/keys", body, expect=403 if code == "tenant_forbidden" else 422, code=code)
    assert pointer in pointers(answer), pointers(answer)


def test_nothing_was_made_of_it(world, acme):
    before = [k["id"] for k in acme.pages("/v1/keys", 500)]
    for member, value, _, _ in KEY_MEMBERS[:20]:
        acme.post("/v1/keys", {"x": 1} if value is GONE else {**new_key(), member: value}, expect=None)
    assert [k["id"] for k in acme.pages("/v1/keys", 500)] == before


def test_several_problems_are_told_together(acme):
    answer = acme.post("/v1/keys", {"name": 1, "kind": 2, "nonsense": 3}, expect=422, code="invalid")
    assert {"/name", "/kind", "/nonsense", "/expires_at"} <= set(pointers(answer))
    many = acme.post("/v1/keys", {f"m{i}": i for i in range(500)}, expect=422, code="invalid")
    assert 1 <= len(pointers(many)) <= 16


TENANT_MEMBERS = [
    ("kind", GONE, "/kind", 422, "invalid"),
    ("kind", "operator", "/kind", 422, "invalid"),
    ("kind", "personal", "/kind", 422, "invalid"),
    ("kind", "team", "/kind", 422, "invalid"),
    ("kind", 1, "/kind", 422, "invalid"),
    ("kind", "", "/kind", 422, "invalid"),
    ("kind", "project", "/kind", 422, "invalid"),
    ("kind", "sub_entity", "/kind", 422, "invalid"),
    ("name", GONE, "/name", 422, "invalid"),
    ("name", "", "/name", 422, "invalid"),
    ("name", text(201), "/name", 422, "invalid"),
    ("name", "a\tb", "/name", 422, "invalid"),
    ("parent", "x", "/parent", 422, "invalid"),
    ("parent", 1, "/parent", 422, "invalid"),
    ("parent", "usr_0m6xwq3k2r4t8", "/parent", 422, "invalid"),
    ("parent", "org_0m6xwq3k2r4t8", "/parent", 403, "tenant_forbidden"),
    ("slug", "", "/slug", 422, "invalid"),
    ("slug", "Acme", "/slug", 422, "invalid"),
    ("slug", "-acme", "/slug", 422, "invalid"),
    ("slug", "a.b", "/slug", 422, "invalid"),
    ("slug", text(64), "/slug", 422, "invalid"),
    ("slug", 1, "/slug", 422, "invalid"),
    ("first_key", [], "/first_key", 422, "invalid"),
    ("first_key", {"name": "x"}, "/first_key/expires_at", 422, "invalid"),
    ("first_key", {"name": "x", "expires_at": None, "scopes": ["no:such"]}, "/first_key/scopes/0", 422, "invalid"),
    ("first_key", {"name": "x", "expires_at": None, "tenant": "org_0m6xwq3k2r4t8"}, "/first_key/tenant", 422,
     "invalid"),
    ("first_key", {"name": "x", "expires_at": None, "user": None}, "/first_key/user", 422, "invalid"),
    ("first_key", {"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "/first_key/expires_at", 422, "invalid"),
    ("first_key", {"name": "x", "expires_at": None, "kind": "partner"}, "/first_key/kind", 422, "invalid"),
    ("administrator", "ada@acme.test", "/administrator", 422, "invalid"),
    ("administrator", {}, "/administrator/email", 422, "invalid"),
    ("administrator", {"email": "nobody"}, "/administrator/email", 422, "invalid"),
    ("administrator", {"email": text(250) + "@x.test"}, "/administrator/email", 422, "invalid"),
    ("administrator", {"email": "a@b.test", "name": "x"}, "/administrator/name", 422, "invalid"),
    ("nonsense", 1, "/nonsense", 422, "invalid"),
]


@pytest.mark.parametrize("member, value, pointer, status, code", TENANT_MEMBERS)
def test_tenant_members(operator, member, value, pointer, status, code):
    body = {"kind": "organization", "name": "x"}
    if value is GONE:
        del body[member]
    else:
        body[member] = value
    before = operator.get("/v1/tenants?limit=1").json["items"]
    answer = operator.post("/v1/tenants", body, expect=status, code=code)
    assert pointer in pointers(answer), pointers(answer)
    assert operator.get("/v1/tenants?limit=1").json["items"] == before


@pytest.mark.parametrize("body, pointer, status, code", [
    ({}, "/email", 422, "invalid"),
    ({"email": 1}, "/email", 422, "invalid"),
    ({"email": "ada"}, "/email", 422, "invalid"),
    ({"email": "a@b"}, "/email", 422, "invalid"),
    ({"email": text(255)}, "/email", 422, "invalid"),
    ({"email": "a@acme.test", "name": 1}, "/name", 422, "invalid"),
    ({"email": "a@acme.test", "name": text(201)}, "/name", 422, "invalid"),
    ({"email": "a@acme.test", "name": "a\rb"}, "/name", 422, "invalid"),
    ({"email": "a@acme.test", "organization": "x"}, "/organization", 422, "invalid"),
    ({"email": "a@acme.test", "organization": "org_0m6xwq3k2r4t8"}, "/organization", 403, "tenant_forbidden"),
    ({"email": "a@acme.test", "role": "member"}, "/role", 422, "invalid"),
])
def test_user_members(acme, body, pointer, status, code):
    assert pointer in pointers(acme.post("/v1/users", body, expect=status, code=code))


def test_user_needs_an_organization(world, operator):
    answer = operator.post("/v1/users", {"email": unique("a") + "@acme.test"}, expect=422, code="invalid")
    assert pointers(answer) == ["/organization"]
    operator.post("/v1/users", {"email": unique("a") + "@acme.test", "organization": world.sub}, expect=422,
                  code="invalid")


@pytest.mark.parametrize("body, code, status", [({}, "invalid", 422), ({"role": 1}, "invalid", 422),
                                                ({"role": ""}, "invalid", 422),
                                                ({"role": "no_such_role"}, "invalid", 422),
                                                ({"role": "member", "x": 1}, "invalid", 422)])
def test_member_members(world, operator, body, code, status):
    user = operator.post("/v1/users", {"organization": world.acme, "email": unique("m") + "@acme.test"}).json["id"]
    operator.put(f"/v1/tenants/{world.sub}/members/{user}", body, expect=status, code=code)
    operator.delete(f"/v1/tenants/{world.sub}/members/{user}", expect=404, code="not_found")


# ---- bodies ----

JSON_ROUTES = [("POST", "/v1/keys"), ("PATCH", "/v1/keys/{key}"), ("POST", "/v1/keys/{key}/rotate"),
               ("POST", "/v1/tenants"),
               ("PATCH", "/v1/tenants/{acme}"), ("POST", "/v1/tenants/{acme}/suspend"), ("POST", "/v1/users"),
               ("POST", "/v1/verify"),
               ("POST", "/v1/verify/batch"), ("POST", "/v1/check")]

BODIES = [
    (b"{", "body_malformed"),
    (b"", "body_malformed"),
    (b"[]", "body_malformed"),
    (b'"x"', "body_malformed"),
    (b"null", "body_malformed"),
    (b"{} {}", "body_malformed"),
    (b'{"name":"x","name":"y"}', "body_malformed"),
    (b'{"name":"x","labels":{"a":"1","a":"2"}}', "body_malformed"),
    (b'{"name":"\xff"}', "body_malformed"),
    (b'{"name":"\xc0\xaf"}', "body_malformed"),
    (b'{"name":"\xed\xa0\x80"}', "body_malformed"),
    (b'{"name":"\\ud800"}', "body_malformed"),
    (b'{"name":"a\\u0000b"}', "body_malformed"),
    (b'{"name":"a\x00b"}', "body_malformed"),
    (b'{name:"x"}', "body_malformed"),
    (b"{'name':'x'}", "body_malformed"),
    (b'{"name":"x",}', "body_malformed"),
    (b'{"overlap_s":1e999}', "body_malformed"),
    (b'{"overlap_s":99999999999999999999}', "body_malformed"),
    (b'\xef\xbb\xbf{"name":"x"}', "body_malformed"),
    (b"[" * 5000, "body_malformed"),
    (b'{"a":' * 3000 + b"1" + b"}" * 3000, "body_malformed"),
]


@pytest.mark.parametrize("method, target", JSON_ROUTES)
@pytest.mark.parametrize("body, code", BODIES)
def test_bodies(world, operator, method, target, body, code):
    target = target.format(key=operator.get("/v1/account").json["key"]["id"], acme=world.acme)
    if body == b"" and target.endswith(("rotate", "suspend")):
        return
    operator.call(method, target, body, {"Content-Type": "application/json"}, expect=400, code=code)


@pytest.mark.parametrize("method, target", JSON_ROUTES)
@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/jsonl",
                                   "application/merge-patch+json", ""])
def test_media_types(world, operator, method, target, media):
    target = target.format(key=operator.get("/v1/account").json["key"]["id"], acme=world.acme)
    operator.call(method, target, b"{}", {"Content-Type": media}, expect=415, code="media_type")


def test_media_types_with_parameters_and_case(world, operator):
    body = json.dumps(new_key(tenant=world.acme)).encode()
    operator.call("POST", "/v1/keys", body, {"Content-Type": "Application/JSON; charset=utf-8"}, expect=201)


def test_large_bodies(operator):
    answer = operator.call("POST", "/v1/keys", json.dumps({"name": text(1 << 20)}).encode(),
                           {"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (413, "too_large")


def test_bodies_where_none_belongs(operator):
    key = operator.make_key()["id"]
    answer = operator.call("DELETE", f"/v1/keys/{key}", b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (413, "too_large")
    assert operator.get(f"/v1/keys/{key}").json["status"] == "active"


@pytest.mark.parametrize("suffix", ["suspend", "resume"])
def test_members_where_none_belong(operator, suffix):
    tenant = operator.make_tenant("organization")["id"]
    answer = operator.post(f"/v1/tenants/{tenant}/{suffix}", {"why": "x"}, expect=422, code="invalid")
    assert pointers(answer) == ["/why"]
    assert operator.get(f"/v1/tenants/{tenant}").json["status"] == "active"


@pytest.mark.parametrize("method, target, body", [
    ("POST", "/v1/keys?x=1", {"name": "x", "expires_at": None}), ("GET", "/v1/keys/{key}?x=1", None),
    ("DELETE", "/v1/keys/{key}?x", None),
    ("PATCH", "/v1/keys/{key}?name=x", {"name": "x"}), ("POST", "/v1/keys/{key}/rotate?overlap_s=5", {}),
    ("GET", "/v1/keys/{key}/usage?x=1", None),
    ("GET", "/v1/tenants?x=1", None), ("POST", "/v1/tenants?x=1", {"kind": "organization", "name": "x"}),
    ("GET", "/v1/tenants/{acme}?x=1", None),
    ("POST", "/v1/tenants/{acme}/suspend?x=1", None), ("GET", "/v1/users?x=1", None), ("GET", "/v1/roles?x=1", None),
    ("GET", "/v1/scopes?x=1", None), ("GET", "/v1/policy?x=1", None), ("GET", "/v1/audit?x=1", None),
    ("GET", "/v1/tenants/{acme}/members?x=1", None)])
def test_unknown_query_parameters(world, operator, method, target, body):
    target = target.format(key=operator.make_key()["id"], acme=world.acme)
    operator.call(method, target, body, expect=400, code="query_malformed")


# ---- the rest of the request ----

@pytest.mark.parametrize("key", ["two words", "x" * 129, "\u00e9"])
def test_idempotency_keys(operator, key):
    operator.post("/v1/keys", new_key(), expect=400, code="header_malformed",
                  headers={"Idempotency-Key": key.encode("latin-1")})


@pytest.mark.parametrize("target, status, code", [("/v1/nothing", 404, "not_found"), ("/v2/keys", 404, "not_found"),
                                                  ("/v1/keys/", 404, "not_found"),
                                                  ("/v1//keys", 400, "path_ambiguous"),
                                                  ("/v1/keys/%2e%2e", 400, "path_ambiguous"),
                                                  ("/v1/keys/..", 400, "path_ambiguous"),
                                                  ("/v1/keys;x=1", 400, "path_ambiguous"),
                                                  ("/v1/keys/%00", 400, "path_ambiguous"),
                                                  ("/v1/keys/%zz", 400, "path_ambiguous")])
def test_paths(operator, target, status, code):
    operator.get(target, expect=status, code=code)


@pytest.mark.parametrize("method, target, allow", [("PUT", "/v1/keys", "POST, GET, HEAD"), ("DELETE", "/v1/keys", "POST, GET, HEAD"),
                                                   ("POST", "/v1/scopes", "GET, HEAD"), ("PATCH", "/v1/audit", "GET, HEAD"),
                                                   ("POST", "/v1/keys/key_0m6xwq3k2r4t8", "GET, HEAD, PATCH, DELETE"),
                                                   ("GET", "/v1/verify", "POST"),
                                                   ("POST", "/livez", "GET, HEAD"), ("DELETE", "/metrics", "GET, HEAD")])
def test_methods(operator, method, target, allow):
    answer = operator.call(method, target, expect=405, code="method_not_allowed")
    assert answer.headers["Allow"] == allow
    assert "Allow" not in operator.call(method, "/v1/nothing", expect=404).headers


def test_head_is_get_without_a_body(operator):
    assert operator.call("HEAD", "/v1/keys", expect=200).body == b""


@pytest.mark.parametrize("method, target", [("GET", "/v1/keys"), ("POST", "/v1/keys"), ("GET", "/v1/tenants"),
                                            ("GET", "/v1/account"),
                                            ("POST", "/v1/verify"), ("GET", "/v1/audit"), ("GET", "/v1/policy"),
                                            ("POST", "/v1/keys/import")])
def test_without_a_credential(daemon, world, method, target):
    answer = Api(daemon).call(method, target, expect=401, code="credential_missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    wrong = Api(daemon, "ks_" + 32 * "0").call(method, target, expect=401, code="credential_invalid")
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    Api(daemon, "nothing like a token").call(method, target, expect=401, code="credential_malformed")


def test_scopes_of_the_api_itself(world, operator):
    bare = operator.as_key(tenant=world.acme)
    for method, target, scope in (("GET", "/v1/keys", "keystile:keys:read"),
                                  ("POST", "/v1/keys", "keystile:keys:write"),
                                  ("GET", "/v1/tenants", "keystile:tenants:read"),
                                  ("GET", "/v1/users", "keystile:users:read"),
                                  ("GET", "/v1/audit", "keystile:audit:read"),
                                  ("GET", "/v1/policy", "keystile:policy:read"),
                                  ("GET", "/v1/roles", "keystile:roles:read"),
                                  ("POST", "/v1/verify", "keystile:verify")):
        answer = bare.call(method, target, expect=403, code="scope_missing")
        assert answer.json["required_scope"] == scope
    bare.get("/v1/account")


@pytest.mark.parametrize("method, target", [("POST", "/v1/explain"), ("GET", "/v1/ring"), ("GET", "/v1/progress"), ("POST", "/v1/ring/rebuild"),
                                            ("POST", "/v1/backup")])
def test_what_is_local_does_not_exist_elsewhere(world, operator, method, target):
    answer = operator.call(method, target, {} if method == "POST" else None, expect=404, code="not_found")
    assert same_problem(answer, operator.get("/v1/keys/key_0m6xwq3k2r4t8", expect=404))


@pytest.mark.parametrize("sent, kept", [("abc-DEF_123.x", True), ("", False), ("a b", False), (65 * "x", False)])
def test_request_ids(operator, sent, kept):
    answer = operator.get("/v1/account", headers={"X-Request-Id": sent})
    assert (answer.headers["X-Request-Id"] == sent) == kept
