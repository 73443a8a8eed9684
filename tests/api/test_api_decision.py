"""The decision's endpoints, as far as they are the API's: forms, codes and shapes. What is decided is the reference
model's to judge."""
import base64
import urllib.parse

import pytest

from api_service import Api, pointers

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONTACTS = {"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts?page=2"}


@pytest.fixture(scope="module")
def reader(world, operator):
    """A key that may read contacts."""
    return operator.make_key(tenant=world.acme, scopes=["contacts:read"],
                             rate_limit={"requests": 1000000, "window_s": 60})


def authorize(daemon, token, headers, method="GET", target="/v1/authorize", **more):
    return Api(daemon, token).call(method, target, headers=headers, **more)


# ---- authorize ----

def test_allow(world, daemon, reader):
    answer = authorize(daemon, reader["token"], CONTACTS, expect=200)
    assert answer.body == b""
    assert answer.headers["X-Keystile-Principal"] == reader["id"]
    assert answer.headers["X-Keystile-Kind"] == "tenant"
    assert {answer.headers[f"X-Keystile-{name}"] for name in ("Tenant", "Organization", "Visible")} == {world.acme}
    assert answer.headers["X-Keystile-Scopes"] == "contacts:read"
    assert (answer.headers["X-Keystile-Environment"], answer.headers["X-Keystile-Family"]) == ("live", "contacts")
    assert answer.headers["X-Keystile-Inherited"] == ""
    assert answer.headers["RateLimit-Policy"] == '"key";q=1000000;w=60'


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_any_method_asks(daemon, reader, method):
    authorize(daemon, reader["token"], CONTACTS, method, expect=200)
    authorize(daemon, reader["token"], {}, method, "/v1/authorize/api/v1/contacts",
              expect=200 if method == "GET" else 403)


@pytest.mark.parametrize("headers", [CONTACTS, {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/api/v1/contacts"},
                                     {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/api/v1/contacts",
                                      "X-Forwarded-Host": "api.test"}])
def test_forms(daemon, reader, headers):
    authorize(daemon, reader["token"], headers, expect=200)
    authorize(daemon, reader["token"], headers, target="/v1/authorize?what=ever&x", expect=200)


@pytest.mark.parametrize("headers, target", [({}, ""), ({"X-Original-Method": "GET"}, ""),
                                             ({"X-Original-URI": "/x"}, ""), ({"X-Forwarded-Uri": "/x"}, ""),
                                             ({**CONTACTS, "X-Forwarded-Uri": "/x", "X-Forwarded-Method": "GET"}, ""),
                                             (CONTACTS, "/api/v1/contacts")])
def test_forms_that_are_unclear(daemon, reader, headers, target):
    authorize(daemon, reader["token"], headers, target="/v1/authorize" + target, expect=400, code="header_malformed")


def test_nginx_is_told_the_true_status_in_a_header(daemon, reader):
    answer = authorize(daemon, reader["token"], {"X-Original-Method": "GET", "X-Original-URI": "/a//b"}, expect=403,
                       code="path_ambiguous")
    assert (answer.headers["X-Keystile-Status"], answer.headers["X-Keystile-Code"]) == ("400", "path_ambiguous")
    answer = authorize(daemon, "ks_" + 32 * "0", CONTACTS, expect=401, code="credential_invalid")
    assert (answer.headers["X-Keystile-Status"], answer.headers["X-Keystile-Code"]) == (None, "credential_invalid")
    authorize(daemon, reader["token"], {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/a//b"}, expect=400,
              code="path_ambiguous")


def test_rate_limit(world, operator, daemon):
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"],
                            rate_limit={"requests": 2, "window_s": 2592000})["token"]
    forwarded = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/api/v1/contacts"}
    assert [authorize(daemon, key, forwarded).status for _ in range(3)] == [200, 200, 429]
    answer = authorize(daemon, key, forwarded, expect=429, code="rate_limited")
    assert int(answer.headers["Retry-After"]) > 0
    nginx = authorize(daemon, key, CONTACTS, expect=403, code="rate_limited")
    assert nginx.headers["X-Keystile-Status"] == "429"


def test_basic(world, operator, daemon):
    slug = operator.get(f"/v1/tenants/{world.acme}").json["slug"]
    key = operator.make_key(tenant=world.project, scopes=["contacts:read"])["token"]

    def ask(user, host, token=key):
        secret = base64.b64encode(f"{user}:{token}".encode()).decode()
        return Api(daemon).get("/v1/authorize", headers={**CONTACTS, "Authorization": f"Basic {secret}", "Host": host},
                               expect=None)

    assert ask(world.project, f"{slug}.space.test").status == 200
    for refused in (ask(world.acme, f"{slug}.space.test"), ask(world.project, "other.space.test"),
                    ask(world.project, f"{slug}.space.test", "ks_" + 32 * "0")):
        assert refused.code == "credential_invalid" and refused.headers["WWW-Authenticate"].startswith("Basic")


# ---- verify, batch, check ----

def test_verify(world, operator, reader):
    question = {"credential": reader["token"], "method": "GET", "path": "/api/v1/contacts"}
    answer = operator.post("/v1/verify", question, expect=200).json
    assert (answer["allow"], answer["code"], answer["principal"], answer["family"]) == (True, "ok", reader["id"],
                                                                                        "contacts")
    assert answer["key"]["id"] == reader["id"] and "token" not in answer["key"]
    denied = operator.post("/v1/verify", {**question, "method": "POST"}, expect=200).json
    assert (denied["allow"], denied["code"], denied["required_scope"]) == (False, "scope_missing", "contacts:write")
    bearer = operator.post("/v1/verify", {"authorization": f"Bearer {reader['token']}"}, expect=200).json
    assert bearer["allow"] and bearer["family"] is None
    unknown = operator.post("/v1/verify", {"credential": "ks_" + 32 * "0"}, expect=200).json
    assert (unknown["allow"], unknown["code"], unknown["principal"], unknown["key"]) == (False, "credential_invalid",
                                                                                         None, None)


QUESTIONS = [({}, "/credential"), ({"credential": "x", "authorization": "y"}, "/credential"),
             ({"credential": 1}, "/credential"),
             ({"credential": "x", "method": "GET"}, "/path"), ({"credential": "x", "path": "/"}, "/method"),
             ({"credential": "x", "address": "here"}, "/address"), ({"credential": "x", "nonsense": 1}, "/nonsense")]


@pytest.mark.parametrize("question, pointer", QUESTIONS)
def test_verify_with_wrong_input(operator, question, pointer):
    assert pointer in pointers(operator.post("/v1/verify", question, expect=422, code="invalid"))


def test_batch(operator, reader):
    questions = [{"credential": reader["token"]}, {"credential": "ks_" + 32 * "0"},
                 {"credential": reader["token"], "method": "GET", "path": "/x"}]
    answer = operator.post("/v1/verify/batch", {"items": questions}, expect=200).json
    assert [v["code"] for v in answer["items"]] == ["ok", "credential_invalid", "route_unknown"]
    assert len(operator.post("/v1/verify/batch", {"items": questions[:1] * 1000}, expect=200).json["items"]) == 1000


@pytest.mark.parametrize("items, pointer", [(None, "/items"), ([], "/items"), ({}, "/items"), ([1], "/items/0"),
                                            ([{"credential": "ks_0"}, {"credential": 1}], "/items/1/credential"),
                                            ([{"credential": "x"}] * 1001, "/items")])
def test_batch_with_wrong_input(operator, items, pointer):
    assert pointer in pointers(operator.post("/v1/verify/batch", {"items": items}, expect=422, code="invalid"))


def test_check(world, operator, reader):
    def ask(tenant, action, family="contacts"):
        return operator.post("/v1/check", {"credential": reader["token"],
                                           "resource": {"tenant": tenant, "family": family, "action": action}},
                                           expect=200).json

    assert ask(world.sub, "read") == {"allow": True, "code": "ok"}
    assert ask(world.sub, "write") == {"allow": False, "code": "scope_missing", "required_scope": "contacts:write"}
    assert ask(world.other, "read") == {"allow": False, "code": "tenant_forbidden"}
    assert ask("org_0m6xwq3k2r4t8", "read") == {"allow": False, "code": "tenant_forbidden"}


@pytest.mark.parametrize("resource, pointer", [(None, "/resource"), ({}, "/resource/tenant"),
                                               ({"tenant": "x", "family": "contacts", "action": "read"},
                                                "/resource/tenant"),
                                               ({"tenant": "org_0m6xwq3k2r4t8", "family": "no", "action": "read"},
                                                "/resource/family"),
                                               ({"tenant": "org_0m6xwq3k2r4t8", "family": "contacts", "action": "look"},
                                                "/resource/action"),
                                               ({"tenant": "org_0m6xwq3k2r4t8", "family": "contacts", "action": "read",
                                                 "x": 1}, "/resource/x")])
def test_check_with_wrong_input(operator, reader, resource, pointer):
    answer = operator.post("/v1/check", {"credential": reader["token"], "resource": resource}, expect=422,
                           code="invalid")
    assert pointer in pointers(answer)


# ---- introspect, revoke, account ----

def form(**members):
    return urllib.parse.urlencode(members)


def test_introspect(world, operator, reader):
    answer = operator.call("POST", "/v1/introspect", form(token=reader["token"]), FORM, expect=200).json
    assert answer["active"] and answer["client_id"] == reader["id"] and answer["scope"] == "contacts:read"
    assert operator.call("POST", "/v1/introspect", form(token="ks_" + 32 * "0", token_type_hint="access_token"), FORM,
                         expect=200).json == {"active": False}


def test_revoke(world, operator, daemon):
    made = operator.make_key(tenant=world.acme, scopes=["contacts:read"])
    first = operator.call("POST", "/v1/revoke", form(token=made["token"]), FORM, expect=200).json
    assert operator.get(f"/v1/keys/{made['id']}").json["status"] == "revoked"
    assert operator.call("POST", "/v1/revoke", form(token="ks_" + 32 * "0"), FORM, expect=200).json == first
    foreign = operator.make_key(tenant=world.other, scopes=["contacts:read"])
    assert world.caller(world.acme).call("POST", "/v1/revoke", form(token=foreign["token"]), FORM,
                                         expect=200).json == first
    assert operator.get(f"/v1/keys/{foreign['id']}").json["status"] == "active"


@pytest.mark.parametrize("target", ["/v1/introspect", "/v1/revoke"])
@pytest.mark.parametrize("body, status, code", [("", 422, "invalid"), ("token=a&token=b", 422, "invalid"),
                                                ("token=%zz", 422, "invalid"), ("other=1", 422, "invalid")])
def test_forms_with_wrong_input(operator, target, body, status, code):
    operator.call("POST", target, body, FORM, expect=status, code=code)
    operator.call("POST", target, "{}", {"Content-Type": "application/json"}, expect=415, code="media_type")


def test_account(world, daemon, reader):
    answer = Api(daemon, reader["token"]).get("/v1/account").json
    assert answer["principal"] == answer["key"]["id"] == reader["id"] and answer["tenant"]["id"] == world.acme
    assert answer["key"]["scopes"] == ["contacts:read"] and answer["key"]["rate_limit"] == {"requests": 1000000,
                                                                                            "window_s": 60}


def test_what_verify_tells_of_foreign_keys(world, operator, reader):
    """A key of another organization is to a tenant's caller as if it did not exist."""
    caller = world.caller(world.other, scopes=["keystile:verify"])
    mine = operator.make_key(tenant=world.other, scopes=["contacts:read"])["token"]
    assert caller.post("/v1/verify", {"credential": mine}, expect=200).json["allow"]
    foreign = caller.post("/v1/verify", {"credential": reader["token"]}, expect=200).json
    unknown = caller.post("/v1/verify", {"credential": "ks_" + 32 * "0"}, expect=200).json
    assert foreign == unknown
