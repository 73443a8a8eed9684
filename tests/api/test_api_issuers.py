"""/v1/issuers: whose JWTs an organization takes."""
import keystile
import pytest

from api_service import eventually, pointers, same_problem, unique
from issuer import Issuer, Key

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def issuer():
    with Issuer() as made:
        yield made


def new_issuer(issuer, organization, **members):
    return {"organization": organization, "name": unique("issuer"), "issuer": issuer.url, "audience": unique("api"),
            "default_roles": ["member"], **members}


def kids(caller, made):
    return [key["kid"] for key in caller.get(f"/v1/issuers/{made['id']}").json["keys"]]


# ---- create, read, list ----

def test_create_fetch_and_read(world, operator, issuer):
    body = new_issuer(issuer, world.acme, tenant_claim="org", tenants={"sub \"x\"": world.sub},
                      default_tenant=world.acme, role_claim="realm.groups", roles={"ops": "administrator"})
    made = operator.post("/v1/issuers", body).json
    assert made["status"] == "active" and made["organization"] == world.acme
    assert {name: made[name] for name in body} == body
    assert made["jwks_url"] is None and made["keys"] == [] and made["fetched_at"] is None
    eventually(lambda: kids(operator, made), ["k1"])
    seen = operator.get(f"/v1/issuers/{made['id']}").json
    assert seen["fetched_at"] and seen["failure"] is None
    assert seen["keys"] == [{"kid": "k1", "kty": "RSA"}]
    assert made["id"] in [item["id"] for item in operator.pages(f"/v1/issuers?organization={world.acme}", 2)]
    assert made["id"] in [item["id"] for item in operator.pages("/v1/issuers", 100)]
    audit = operator.get(f"/v1/audit?tenant={world.acme}&action=issuer.create").json["items"]
    assert made["id"] in [entry["object"] for entry in audit]


def test_keys_at_an_address_of_their_own(world, operator, issuer):
    issuer.documents["/elsewhere"] = {"keys": [Key("x").jwk]}
    body = {**new_issuer(issuer, world.acme), "issuer": "any text", "jwks_url": f"{issuer.url}/elsewhere"}
    made = operator.post("/v1/issuers", body).json
    eventually(lambda: kids(operator, made), ["x"])
    assert issuer.count(WELL_KNOWN) == 0


@pytest.mark.parametrize("members, pointer", [
    ({"name": " "}, "/name"), ({"issuer": ""}, "/issuer"), ({"audience": "x" * 513}, "/audience"),
    ({"issuer": "ftp://issuer.example"}, "/issuer"), ({"issuer": "https://10.1.2.3"}, "/issuer"),
    ({"issuer": "https://[::ffff:169.254.169.254]/"}, "/issuer"),
    ({"jwks_url": "https://user@issuer.example/"}, "/jwks_url"), ({"jwks_url": "https://192.168.1.1/keys"}, "/jwks_url"),
    ({"jwks_url": "http://8.8.8.8/keys"}, "/jwks_url"), ({"default_roles": []}, "/default_roles"),
    ({"default_roles": ["emperor"]}, "/default_roles"), ({"roles": {"a": "member"}}, "/roles"),
    ({"role_claim": "groups", "roles": {"a": 1}}, "/roles"),
    ({"role_claim": "groups", "roles": {"a": "emperor"}}, "/roles"),
    ({"tenants": {"a": "x"}, "tenant_claim": "t"}, "/tenants"), ({"tenant_claim": "t"}, "/tenants"),
    ({"tenant_claim": "x" * 257, "tenants": {"a": "x"}}, "/tenant_claim"), ({"colour": "red"}, "/colour")])
def test_what_is_refused(world, operator, issuer, members, pointer):
    answer = operator.post("/v1/issuers", {**new_issuer(issuer, world.acme), **members}, expect=422, code="invalid")
    assert pointer in pointers(answer)


def test_one_audience_is_one_organizations(world, operator, issuer):
    body = new_issuer(issuer, world.acme)
    operator.post("/v1/issuers", body)
    answer = operator.post("/v1/issuers", {**body, "organization": world.other}, expect=409, code="conflict")
    assert pointers(answer) == ["/audience"]
    operator.post("/v1/issuers", {**body, "organization": world.other, "audience": unique("another")})


# ---- isolation ----

def test_others_see_nothing(world, operator, issuer):
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme)).json
    stranger = world.caller(world.other)
    below = world.caller(world.sub)
    for caller in (stranger, below):
        for method, verb in [("GET", ""), ("DELETE", ""), ("POST", "/disable"), ("POST", "/enable"),
                             ("POST", "/refresh")]:
            there = caller.call(method, f"/v1/issuers/{made['id']}{verb}", expect=404, code="not_found")
            nowhere = caller.call(method, f"/v1/issuers/iss_0000000000001{verb}", expect=404, code="not_found")
            assert same_problem(there, nowhere)
        caller.post("/v1/issuers", new_issuer(issuer, world.acme), expect=403, code="tenant_forbidden")
        caller.get(f"/v1/issuers?organization={world.acme}", expect=403, code="tenant_forbidden")
    assert made["id"] not in [item["id"] for item in stranger.pages("/v1/issuers", 100)]
    body = new_issuer(issuer, world.acme, tenant_claim="t", tenants={"a": world.other})
    answer = operator.post("/v1/issuers", body, expect=403, code="tenant_forbidden")
    assert pointers(answer) == ["/tenants"]


def test_roles_are_the_callers_to_give(world, issuer):
    caller = world.caller(world.acme)
    body = new_issuer(issuer, world.acme, default_roles=["administrator"])
    answer = caller.post("/v1/issuers", body, expect=403, code="not_grantable")
    assert pointers(answer) == ["/default_roles"]


def test_reading_is_no_writing(world, operator, issuer):
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme)).json
    reader = operator.as_key(tenant=world.acme, scopes=["keystile:users:read"])
    reader.get(f"/v1/issuers/{made['id']}")
    reader.call("DELETE", f"/v1/issuers/{made['id']}", expect=403, code="scope_missing")


def test_a_partner_in_an_organization_of_its_own(world, operator, issuer):
    partner = operator.as_key(tenant=world.partner, kind="partner",
                              scopes=["keystile:users:read", "keystile:users:write"])
    one = partner.on_behalf(world.first)
    operator.post("/v1/issuers", new_issuer(issuer, world.first))
    assert len(one.get("/v1/issuers").json["items"]) == 1
    assert pointers(partner.get("/v1/issuers", expect=400, code="query_malformed")) == ["?organization"]
    one.get(f"/v1/issuers?organization={world.acme}", expect=403, code="tenant_forbidden")


# ---- keys ----

def test_keys_change(world, operator, issuer):
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme)).json
    eventually(lambda: kids(operator, made), ["k1"])
    issuer.keys = [Key("k2"), *issuer.keys]
    seen = operator.post(f"/v1/issuers/{made['id']}/refresh", expect=200).json
    assert [key["kid"] for key in seen["keys"]] == ["k2", "k1"] and seen["failure"] is None
    entries = operator.get(f"/v1/audit?tenant={world.acme}&action=issuer.keys_changed").json["items"]
    assert [e["actor"] for e in entries if e["object"] == made["id"]][1:] == ["system"]


@pytest.mark.parametrize("path, document, failure", [
    ("/keys", {"keys": []}, "no_keys"), ("/keys", {"keys": "none"}, "key_member"), ("/keys", [], "not_json"),
    ("/keys", {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}]}, "key_private"),
    (WELL_KNOWN, {"issuer": "https://somebody.example", "jwks_uri": "x"}, "issuer_mismatch"),
    (WELL_KNOWN, {}, "issuer_mismatch"), (WELL_KNOWN, None, "no_jwks_uri"), (WELL_KNOWN, "guarded", "address_refused"),
    (None, None, "status_503")])
def test_what_cannot_be_fetched_leaves_the_last_good_copy(world, operator, issuer, path, document, failure):
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme)).json
    eventually(lambda: kids(operator, made), ["k1"])
    if path is None:
        issuer.status = 503
    elif document is None:
        issuer.documents[path] = {"issuer": issuer.url}
    elif document == "guarded":
        issuer.documents[path] = {"issuer": issuer.url, "jwks_uri": "https://169.254.169.254/keys"}
    else:
        issuer.documents[path] = document
    seen = operator.post(f"/v1/issuers/{made['id']}/refresh", expect=200).json
    assert seen["failure"] == failure and [key["kid"] for key in seen["keys"]] == ["k1"]
    assert seen["tried_at"] > seen["fetched_at"]
    issuer.status, issuer.documents = 200, {}
    assert operator.post(f"/v1/issuers/{made['id']}/refresh", expect=200).json["failure"] is None


def test_an_issuer_that_is_down(world, operator, issuer):
    issuer.close()
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme)).json
    eventually(lambda: operator.get(f"/v1/issuers/{made['id']}").json["failure"], "connect_failed")


def test_off_and_on_and_gone(world, operator, issuer):
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme)).json
    target = f"/v1/issuers/{made['id']}"
    assert operator.post(f"{target}/disable", expect=200).json["status"] == "disabled"
    assert operator.post(f"{target}/disable", expect=200).json["status"] == "disabled"
    assert operator.post(f"{target}/enable", expect=200).json["status"] == "active"
    assert operator.delete(target).json["status"] == "deleted"
    for method, verb in [("GET", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/refresh")]:
        operator.call(method, target + verb, expect=404, code="not_found")
    assert made["id"] not in [item["id"] for item in operator.pages("/v1/issuers", 100)]
    # What it took up is free again.
    operator.post("/v1/issuers", {**new_issuer(issuer, world.other), "audience": made["audience"]})


# ---- the command line ----

def test_from_the_command_line(world, operator, issuer, daemon):
    done = keystile.run("issuers", "create", "--organization", world.acme, "--name", "By hand", "--issuer", issuer.url,
                        "--audience", unique("api"), "--role-claim", "groups", "--role-value", "a=b=administrator",
                        "--tenant-claim", "t", "--tenant-value", f"x={world.sub}", "--default-role", "member", "--json",
                        data=daemon.data)
    assert done.code == 0, done
    made = done.json
    assert made["roles"] == {"a=b": "administrator"} and made["tenants"] == {"x": world.sub}
    assert keystile.run("issuers", "refresh", made["id"], "--json", data=daemon.data).json["failure"] is None
    assert made["id"] in keystile.run("issuers", "list", "--organization", world.acme, data=daemon.data).out
    assert issuer.url in keystile.run("issuers", "show", made["id"], data=daemon.data).out
    for verb in ("disable", "enable", "delete"):
        assert keystile.run("issuers", verb, made["id"], data=daemon.data).code == 0
    assert keystile.run("issuers", "show", made["id"], data=daemon.data).code == 1
    assert keystile.run("issuers", "create", "--name", "x", data=daemon.data).code == 2


# ---- what its tokens may ----

def authorize(world, token, tenant=None, method="GET", path="/api/v1/contacts"):
    answer = world.daemon.authorize(token, method, path, headers={"X-Tenant-Id": tenant} if tenant else {})
    return answer.code or "ok", answer.headers


def trusted(world, operator, issuer, **members):
    made = operator.post("/v1/issuers", new_issuer(issuer, world.acme, **members)).json
    eventually(lambda: kids(operator, made), [key.kid for key in issuer.keys])
    return made


def test_a_token_acts_in_the_organization(world, operator, issuer):
    made = trusted(world, operator, issuer)
    code, headers = authorize(world, issuer.token({"aud": made["audience"], "sub": "alice"}))
    assert (code, headers["X-Keystile-Kind"], headers["X-Keystile-Tenant"]) == ("ok", "session", world.acme)
    assert headers["X-Keystile-Principal"] == made["id"] and headers["X-Keystile-Visible"] == world.acme
    assert authorize(world, issuer.token({"aud": made["audience"]}), world.other)[0] == "tenant_forbidden"


def test_claims_mean_tenants_and_roles(world, operator, issuer):
    made = trusted(world, operator, issuer, tenant_claim="org", tenants={"emea": world.sub}, role_claim="realm.groups",
                   roles={"ops": "administrator", "eyes": "account_reader"}, default_roles=[])

    def ask(method="GET", **claims):
        return authorize(world, issuer.token({"aud": made["audience"], **claims}), method=method)[0]
    assert ask(org="emea", realm={"groups": ["x", "ops"]}) == "ok"
    assert ask("POST", org="emea", realm={"groups": ["x", "ops"]}) == "ok"
    assert ask(org="emea", realm={"groups": "eyes"}) == "ok"
    assert ask("POST", org="emea", realm={"groups": "eyes"}) == "scope_missing"
    assert ask(org="emea", realm={"groups": ["x"]}) == "scope_missing"
    assert ask(org="emea") == "scope_missing"
    assert ask(org="apac", realm={"groups": ["ops"]}) == "credential_invalid"
    assert ask(org=["emea"], realm={"groups": ["ops"]}) == "credential_invalid"
    _, headers = authorize(world, issuer.token({"aud": made["audience"], "org": "emea", "realm": {"groups": ["ops"]}}))
    assert headers["X-Keystile-Tenant"] == world.sub and headers["X-Keystile-Organization"] == world.acme


@pytest.mark.parametrize("claims, header, code", [
    ({"aud": "another"}, {}, "credential_invalid"), ({"aud": None}, {}, "credential_invalid"),
    ({"iss": "https://issuer.example"}, {}, "credential_invalid"), ({"exp": 1}, {}, "credential_expired"),
    ({"nbf": 4102444800}, {}, "credential_invalid"), ({"exp": None}, {}, "credential_invalid"),
    ({}, {"alg": "none"}, "credential_invalid"), ({}, {"alg": "HS256"}, "credential_invalid"),
    ({}, {"kid": "unknown"}, "credential_invalid"), ({}, {"jwk": {"kty": "RSA"}}, "credential_invalid"),
    ({}, {"crit": ["x"]}, "credential_invalid")])
def test_tokens_that_are_not_taken(world, operator, issuer, claims, header, code):
    made = trusted(world, operator, issuer)
    good = {"aud": made["audience"]}
    assert authorize(world, issuer.token(good))[0] == "ok"
    wrong = {name: value for name, value in {**good, **claims}.items() if value is not None}
    token = issuer.token(wrong) if not header else issuer.token(wrong, **header)
    if claims.get("exp", 1) is None:
        token = issuer.keys[0].token({"iss": issuer.url, **good})
    assert authorize(world, token)[0] == code


def test_somebody_elses_key_signs_nothing(world, operator, issuer):
    made = trusted(world, operator, issuer)
    assert authorize(world, issuer.token({"aud": made["audience"]}, key=Key("k1")))[0] == "credential_invalid"


def test_a_key_that_is_new_is_fetched_by_itself(world, operator, issuer):
    made = trusted(world, operator, issuer)
    issuer.keys = [Key("k2")]
    token = issuer.token({"aud": made["audience"]})
    assert authorize(world, token)[0] == "credential_invalid"
    eventually(lambda: authorize(world, token)[0], "ok")
    # The old one is gone with it; another unknown one is not asked for again so soon.
    fetched = issuer.count("/keys")
    for _ in range(20):
        assert authorize(world, issuer.token({"aud": made["audience"]}, kid="k3"))[0] == "credential_invalid"
    assert issuer.count("/keys") == fetched


def test_off_means_off_at_once(world, operator, issuer):
    made = trusted(world, operator, issuer)
    token = issuer.token({"aud": made["audience"]})
    assert authorize(world, token)[0] == "ok"
    operator.post(f"/v1/issuers/{made['id']}/disable", expect=200)
    assert authorize(world, token)[0] == "credential_invalid"
    operator.post(f"/v1/issuers/{made['id']}/enable", expect=200)
    assert authorize(world, token)[0] == "ok"
    operator.delete(f"/v1/issuers/{made['id']}")
    assert authorize(world, token)[0] == "credential_invalid"


def test_an_organization_that_is_suspended(world, operator, issuer):
    organization = operator.make_tenant("organization")["id"]
    made = operator.post("/v1/issuers", new_issuer(issuer, organization)).json
    eventually(lambda: kids(operator, made), ["k1"])
    token = issuer.token({"aud": made["audience"]})
    assert authorize(world, token)[0] == "ok"
    operator.post(f"/v1/tenants/{organization}/suspend", expect=200)
    assert authorize(world, token)[0] == "credential_invalid"
