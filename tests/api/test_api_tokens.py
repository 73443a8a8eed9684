"""Our own issuer of JWTs and its OAuth endpoints, judged by another implementation: PyJWT and the cryptography package."""
import base64
import hashlib
import hmac
import json
import time
import urllib.parse

import jwt
import keystile
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api_service import Api, World, eventually
from people import Person

ISSUER, API = "https://auth.test", "https://api.test"
SETTINGS = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_ISSUER_URL": ISSUER, "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1",
            "KEYSTILE_ISSUER_AUDIENCES": API}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"
SCOPES = ["contacts:read", "contacts:write", "voice_calls:read"]


@pytest.fixture(scope="module")
def daemon():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def world(daemon):
    return World(daemon)


@pytest.fixture(scope="module")
def operator(world):
    return world.operator


@pytest.fixture(scope="module")
def nobody(daemon):
    return Api(daemon)


@pytest.fixture(scope="module")
def key(world, operator):
    return operator.make_key(tenant=world.acme, scopes=SCOPES)


# ---- asking for tokens ----

def ask(daemon, headers=None, expect=200, **members):
    answer = Api(daemon).call("POST", "/v1/token", urllib.parse.urlencode(members), {**FORM, **(headers or {})}, expect=expect)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def basic(user, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def mint(daemon, key, **members):
    return ask(daemon, basic(key["id"], key["token"]), grant_type="client_credentials", **members)


def exchange(daemon, subject, subject_type="access_token", **members):
    return ask(daemon, grant_type=EXCHANGE, subject_token=subject, subject_token_type=TYPE + subject_type, **members)


def refused(daemon, error, expect=400, headers=None, **members):
    answer = ask(daemon, headers, expect, **members)
    assert answer["error"] == error, answer
    return answer["error_description"]


def jwks(nobody):
    return nobody.get("/.well-known/jwks.json").json


def public_key(nobody, kid):
    return jwt.PyJWK(next(k for k in jwks(nobody)["keys"] if k["kid"] == kid)).key


def read(nobody, token, audience=API):
    """The claims, as another implementation finds them good."""
    header = jwt.get_unverified_header(token)
    return jwt.decode(token, public_key(nobody, header["kid"]), algorithms=[header["alg"]], audience=audience, issuer=ISSUER,
                      options={"require": ["exp", "iat", "jti", "sub", "aud", "iss"]})


# ---- using them ----

def authorized(daemon, token, method="GET", path="/api/v1/contacts", tenant=None):
    answer = daemon.authorize(token, method, path, {"X-Tenant-Id": tenant} if tenant else None)
    return answer.headers if answer.status == 200 else answer.code


def verify(operator, token, **members):
    return operator.post("/v1/verify", {"credential": token, **members}, expect=200).json


def introspect(caller, token):
    return caller.call("POST", "/v1/introspect", urllib.parse.urlencode({"token": token}), FORM, expect=200).json


# ---- metadata ----

def test_metadata(nobody):
    answer = nobody.get("/.well-known/oauth-authorization-server")
    metadata = answer.json
    assert metadata["issuer"] == ISSUER
    for name in ("jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        path = metadata[name].removeprefix(ISSUER)
        assert path.startswith("/")
        # It is there: not found, or another method, would say so.
        assert nobody.call("GET" if name == "jwks_uri" else "POST", path).status not in (404, 405)
    assert metadata["response_types_supported"] == []
    assert set(metadata["grant_types_supported"]) == {"client_credentials", EXCHANGE}
    assert set(metadata["token_endpoint_auth_methods_supported"]) == {"client_secret_basic", "client_secret_post", "none"}
    assert metadata["access_token_signing_alg_values_supported"] == sorted({k["alg"] for k in jwks(nobody)["keys"]})
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert nobody.get("/.well-known/jwks.json").headers["Cache-Control"] == "public, max-age=300"
    assert nobody.call("GET", "/.well-known/jwks.json?x=1").status == 400


def test_jwks_holds_public_keys_alone(nobody):
    keys = jwks(nobody)["keys"]
    assert keys and all(not {"d", "p", "q", "k", "priv"} & set(k) for k in keys)
    assert all(k["use"] == "sig" and k["alg"] == "ES256" for k in keys)


# ---- client credentials ----

def test_client_credentials(world, daemon, nobody, key):
    before = int(time.time())
    made = mint(daemon, key)
    assert made["token_type"] == "Bearer" and made["expires_in"] == 300
    assert set(made["scope"].split()) == set(SCOPES)
    assert jwt.get_unverified_header(made["access_token"])["typ"] == "at+jwt"
    claims = read(nobody, made["access_token"])
    assert claims["sub"] == claims["client_id"] == key["id"] and claims["aud"] == [ISSUER, API]
    assert claims["exp"] - claims["iat"] == 300 and before <= claims["iat"] <= time.time()
    assert set(claims["scope"].split()) == set(SCOPES) and "tenant" not in claims and "act" not in claims
    # The token's digest is not in it.
    digest = hashlib.sha256(key["token"].encode()).digest()
    assert base64.urlsafe_b64decode(claims["ks_ref"] + "=") != digest
    other = read(nobody, mint(daemon, key)["access_token"])
    assert other["jti"] != claims["jti"] and other["ks_ref"] != claims["ks_ref"]


def test_client_credentials_in_the_form(daemon, nobody, key):
    made = ask(daemon, grant_type="client_credentials", client_id=key["id"], client_secret=key["token"], scope="contacts:read",
               audience=API, expires_in_s="60", unknown="is ignored")
    assert made["scope"] == "contacts:read" and made["expires_in"] == 60
    claims = read(nobody, made["access_token"])
    assert claims["scope"] == "contacts:read" and claims["aud"] == [API]


def test_clients_that_are_not(world, daemon, operator, key):
    stranger = operator.make_key(tenant=world.acme, scopes=SCOPES)
    for headers in (basic(stranger["id"], key["token"]), basic(key["id"], stranger["token"]), basic(key["id"], "ks_" + 32 * "0"),
                    basic("nobody", key["token"]), basic(world.acme, key["token"])):
        refused(daemon, "invalid_client", 401, headers, grant_type="client_credentials")
    answer = Api(daemon).call("POST", "/v1/token", "grant_type=client_credentials", FORM, expect=401)
    assert answer.headers["WWW-Authenticate"].startswith("Basic ") and answer.json["error"] == "invalid_client"
    jwt_secret = mint(daemon, key)["access_token"]
    refused(daemon, "invalid_client", 401, basic(key["id"], jwt_secret), grant_type="client_credentials")


def test_one_way_to_present_a_client(daemon, key):
    refused(daemon, "invalid_request", headers=basic(key["id"], key["token"]), grant_type="client_credentials",
            client_id=key["id"], client_secret=key["token"])
    refused(daemon, "invalid_request", headers={"Authorization": f"Bearer {key['token']}"}, grant_type="client_credentials")
    refused(daemon, "invalid_request", headers={"Authorization": "Basic !"}, grant_type="client_credentials")
    # What RFC 6749 wants encoded within Basic may be encoded.
    escaped = urllib.parse.quote(key["id"], safe="").replace("_", "%5F")
    assert ask(daemon, basic(escaped, key["token"].replace("_", "%5f", 1)), grant_type="client_credentials")["access_token"]


@pytest.mark.parametrize("error, members", [
    ("invalid_request", {}), ("unsupported_grant_type", {"grant_type": "password"}),
    ("unsupported_grant_type", {"grant_type": "authorization_code"}),
    ("invalid_scope", {"scope": "phone_numbers:read"}), ("invalid_scope", {"scope": "contacts:read no:such"}),
    ("invalid_scope", {"scope": "contacts:read  contacts:write"}), ("invalid_scope", {"scope": "CONTACTS:READ"}),
    ("invalid_target", {"audience": "https://elsewhere.test"}), ("invalid_target", {"resource": "https://elsewhere.test"}),
    ("invalid_target", {"tenant": "org_0000000000001"}), ("invalid_target", {"tenant": "nobody"}),
    ("invalid_target", {"family": "nothing"}), ("invalid_request", {"call_id": "a b"}), ("invalid_request", {"call_id": "c" * 129}),
    ("invalid_request", {"expires_in_s": "0"}), ("invalid_request", {"expires_in_s": "3601"}),
    ("invalid_request", {"expires_in_s": "-1"}), ("invalid_request", {"expires_in_s": "1e1"})])
def test_requests_that_are_refused(daemon, key, error, members):
    grant = {} if error == "invalid_request" and not members else {"grant_type": "client_credentials"}
    assert refused(daemon, error, headers=basic(key["id"], key["token"]), **{**grant, **members})


def test_forms_that_are_refused(daemon, key):
    head = {**FORM, **basic(key["id"], key["token"])}
    for body in ("grant_type=client_credentials&grant_type=client_credentials", "grant_type=client_credentials&scope=a&scope=b",
                 "grant_type=client_credentials&scope=%zz", "grant_type=client_credentials&tenant=%ff%"):
        assert Api(daemon).call("POST", "/v1/token", body, head, expect=400).json["error"] == "invalid_request"
    assert Api(daemon).call("POST", "/v1/token?grant_type=client_credentials", "grant_type=client_credentials", head).status == 400
    assert Api(daemon).call("POST", "/v1/token", "{}", {"Content-Type": "application/json"}, expect=415).code == "media_type"
    assert Api(daemon).call("GET", "/v1/token").status == 405


def test_a_tenant_that_is_not_seen_is_as_one_that_is_not(world, daemon, key):
    head = basic(key["id"], key["token"])
    unseen = ask(daemon, head, 400, grant_type="client_credentials", tenant=world.other)
    assert unseen == ask(daemon, head, 400, grant_type="client_credentials", tenant="org_0000000000001")


# ---- the decision ----

def test_a_jwt_decides_as_its_key(world, daemon, operator, key):
    token = mint(daemon, key, scope="contacts:read")["access_token"]
    headers = authorized(daemon, token)
    assert headers["X-Keystile-Principal"] == key["id"] and headers["X-Keystile-Kind"] == "tenant"
    assert headers["X-Keystile-Tenant"] == world.acme and headers["X-Keystile-Scopes"] == "contacts:read"
    assert authorized(daemon, token, "POST") == "scope_missing"
    assert authorized(daemon, token, path="/api/v1/voice/calls") in ("scope_missing", "route_unknown")
    assert authorized(daemon, token, tenant=world.sub)["X-Keystile-Tenant"] == world.sub
    assert authorized(daemon, token, tenant=world.other) == "tenant_forbidden"
    found = verify(operator, token, method="GET", path="/api/v1/contacts")
    assert found["allow"] and found["principal"] == found["key"]["id"] == key["id"] and found["scopes"] == ["contacts:read"]
    assert verify(operator, token)["allow"]
    by_header = operator.post("/v1/verify", {"authorization": f"Bearer {token}"}, expect=200).json
    assert by_header["allow"] and not operator.post("/v1/verify", {"authorization": f"Basic {token}"}, expect=200).json["allow"]
    batch = operator.post("/v1/verify/batch", {"items": [{"credential": token}, {"credential": token[:-2]}, {"credential": token}]},
                          expect=200).json["items"]
    assert [b["allow"] for b in batch] == [True, False, True]
    check = operator.post("/v1/check", {"credential": token, "resource": {"tenant": world.sub, "family": "contacts", "action": "read"}},
                          expect=200).json
    assert check["allow"]
    steps = world.owner.post("/v1/explain", {"credential": token, "method": "GET", "path": "/api/v1/contacts"}, expect=200).json
    assert steps["allow"] and "a JWT" in steps["steps"][1]["detail"]


def test_every_carrier_takes_a_jwt(daemon, key):
    token = mint(daemon, key)["access_token"]
    original = {"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts"}
    assert daemon.call("GET", "/v1/authorize", headers={**original, "X-API-Key": token}).status == 200
    both = daemon.call("GET", "/v1/authorize", headers={**original, "X-API-Key": token, "Authorization": f"Bearer {token}"})
    assert both.code == "credential_malformed"


def test_our_own_api_takes_a_jwt_that_is_for_it(world, daemon, operator):
    key = operator.make_key(tenant=world.acme, scopes=["keystile:keys:read", "keystile:tenants:read"])
    for audience in ({}, {"audience": ISSUER}):
        token = mint(daemon, key, scope="keystile:keys:read", **audience)["access_token"]
        assert Api(daemon, token).get("/v1/keys").json["items"]
        assert Api(daemon, token).call("GET", "/v1/tenants", expect=403, code="scope_missing")
    elsewhere = mint(daemon, key, audience=API)["access_token"]
    Api(daemon, elsewhere).call("GET", "/v1/keys", expect=401, code="credential_invalid")
    assert verify(operator, elsewhere)["allow"]
    account = Api(daemon, mint(daemon, key)["access_token"]).get("/v1/account").json
    assert account["principal"] == key["id"]


# ---- exchange ----

def test_exchange_narrows(world, daemon, nobody, operator, key):
    made = exchange(daemon, key["token"], "access_token", scope="contacts:read contacts:write", tenant=world.sub, family="contacts",
                    call_id="call-7", resource=API)
    assert made["issued_token_type"] == TYPE + "access_token" and made["token_type"] == "Bearer"
    claims = read(nobody, made["access_token"])
    assert claims["aud"] == [API] and claims["tenant"] == world.sub
    assert claims["family"] == "contacts" and claims["call_id"] == "call-7" and claims["sub"] == key["id"]
    token = made["access_token"]
    headers = authorized(daemon, token, "POST")
    assert headers["X-Keystile-Tenant"] == headers["X-Keystile-Visible"] == world.sub
    assert authorized(daemon, token, tenant=world.acme) == "tenant_forbidden"
    assert authorized(daemon, token, tenant=world.nested)["X-Keystile-Tenant"] == world.nested
    assert authorized(daemon, token, path="/api/v1/phone-numbers") == "scope_missing"
    shown = introspect(operator, token)
    assert shown["active"] and shown["client_id"] == shown["sub"] == key["id"] and shown["keystile_tenant"] == world.sub
    assert {n: shown[n] for n in ("iss", "aud", "iat", "exp", "jti", "family", "call_id")} == {
        n: claims[n] for n in ("iss", "aud", "iat", "exp", "jti", "family", "call_id")}
    assert set(shown["scope"].split()) == {"contacts:read", "contacts:write"}


def test_exchange_of_a_jwt_only_narrows_further(world, daemon, nobody, key):
    first = exchange(daemon, key["token"], scope="contacts:read contacts:write", tenant=world.sub, call_id="c1", audience=API,
                     expires_in_s="100")["access_token"]
    second = exchange(daemon, first, "jwt", scope="contacts:read")
    claims = read(nobody, second["access_token"])
    assert claims["scope"] == "contacts:read" and claims["tenant"] == world.sub and claims["call_id"] == "c1" and claims["aud"] == [API]
    assert second["expires_in"] <= 100
    same = read(nobody, exchange(daemon, first, "jwt")["access_token"])
    assert set(same["scope"].split()) == {"contacts:read", "contacts:write"} and same["tenant"] == world.sub
    assert read(nobody, exchange(daemon, first, "jwt", tenant=world.nested)["access_token"])["tenant"] == world.nested

    def wider(error, **members):
        refused(daemon, error, grant_type=EXCHANGE, subject_token=first, subject_token_type=TYPE + "jwt", **members)
    wider("invalid_scope", scope="voice_calls:read")
    wider("invalid_target", tenant=world.acme)
    wider("invalid_target", audience=ISSUER)
    wider("invalid_target", call_id="c2")
    family = exchange(daemon, key["token"], family="contacts")["access_token"]
    refused(daemon, "invalid_target", grant_type=EXCHANGE, subject_token=family, subject_token_type=TYPE + "jwt", family="phone_numbers")
    assert read(nobody, exchange(daemon, family, "jwt")["access_token"])["family"] == "contacts"


@pytest.mark.parametrize("members", [
    {}, {"subject_token": "ks_" + 32 * "0"}, {"subject_token_type": TYPE + "id_token"}, {"subject_token_type": ""},
    {"subject_token_type": TYPE + "jwt"}, {"requested_token_type": TYPE + "refresh_token"}, {"actor_token": "x"},
    {"subject_token": "nothing at all"}, {"subject_token": ""}, {"subject_token": "a.b.c"}])
def test_exchanges_that_are_refused(daemon, key, members):
    whole = {"grant_type": EXCHANGE, "subject_token": key["token"], "subject_token_type": TYPE + "access_token"}
    given = {**whole, **members} if members else {"grant_type": EXCHANGE}
    refused(daemon, "invalid_request", **given)
    assert ask(daemon, **whole, requested_token_type=TYPE + "jwt")["access_token"]
    assert ask(daemon, **{**whole, "subject_token_type": "urn:keystile:params:oauth:token-type:key"})["access_token"]


def test_who_exchanges_as_a_client_must_be_the_subject(world, daemon, operator, key):
    whole = {"grant_type": EXCHANGE, "subject_token": key["token"], "subject_token_type": TYPE + "access_token"}
    assert ask(daemon, basic(key["id"], key["token"]), **whole)["access_token"]
    stranger = operator.make_key(tenant=world.acme, scopes=SCOPES)
    refused(daemon, "invalid_client", 401, basic(stranger["id"], stranger["token"]), **whole)
    refused(daemon, "invalid_client", 401, basic(key["id"], "ks_" + 32 * "0"), **whole)


def test_a_partner_acts_in_an_organization(world, daemon, nobody, operator):
    partner = operator.make_key(tenant=world.partner, kind="partner", scopes=["contacts:read"])
    made = exchange(daemon, partner["token"], tenant=world.first)["access_token"]
    claims = read(nobody, made)
    assert claims["act"] == {"sub": world.partner} and claims["tenant"] == world.first and claims["sub"] == partner["id"]
    headers = authorized(daemon, made)
    assert headers["X-Keystile-Kind"] == "partner" and headers["X-Keystile-Tenant"] == world.first
    assert authorized(daemon, made, tenant=world.second) == "tenant_forbidden"
    assert introspect(operator, made)["act"] == {"sub": world.partner}
    refused(daemon, "invalid_target", grant_type=EXCHANGE, subject_token=partner["token"], subject_token_type=TYPE + "access_token",
            tenant=world.acme)


def test_never_past_the_end_of_the_key(world, daemon, nobody, operator):
    end = time.time() + 100
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(end))
    key = operator.make_key(tenant=world.acme, scopes=["contacts:read"], expires_at=stamp)
    made = mint(daemon, key, expires_in_s="3600")
    assert made["expires_in"] <= 100 and read(nobody, made["access_token"])["exp"] <= end


# ---- dying with the key ----

def test_revocation_is_immediate(world, daemon, operator):
    key = operator.make_key(tenant=world.acme, scopes=SCOPES)
    token = mint(daemon, key)["access_token"]
    narrower = exchange(daemon, token, "jwt", scope="contacts:read", tenant=world.sub)["access_token"]
    for each in (token, narrower):
        assert authorized(daemon, each)["X-Keystile-Principal"] == key["id"]
        assert verify(operator, each)["allow"] and introspect(operator, each)["active"]
    operator.delete(f"/v1/keys/{key['id']}")
    for each in (token, narrower):
        assert authorized(daemon, each) == "credential_invalid"
        assert verify(operator, each)["code"] == "credential_invalid"
        assert introspect(operator, each) == {"active": False}
        Api(daemon, each).call("GET", "/v1/account", expect=401, code="credential_invalid")
        refused(daemon, "invalid_request", grant_type=EXCHANGE, subject_token=each, subject_token_type=TYPE + "jwt")
    refused(daemon, "invalid_client", 401, basic(key["id"], key["token"]), grant_type="client_credentials")


def test_suspension_and_rotation_reach_jwts(world, daemon, operator):
    organization = operator.make_tenant("organization")["id"]
    key = operator.make_key(tenant=organization, scopes=SCOPES)
    token = mint(daemon, key)["access_token"]
    operator.post(f"/v1/tenants/{organization}/suspend", expect=200)
    assert authorized(daemon, token) == "credential_invalid" and not introspect(operator, token)["active"]
    operator.post(f"/v1/tenants/{organization}/resume", expect=200)
    assert authorized(daemon, token)["X-Keystile-Principal"] == key["id"]
    operator.post(f"/v1/keys/{key['id']}/rotate", {"overlap_s": 0})
    assert authorized(daemon, token) == "credential_invalid"


def test_expiry(daemon, operator, key):
    token = mint(daemon, key, expires_in_s="1")["access_token"]
    eventually(lambda: authorized(daemon, token), "credential_expired")
    assert verify(operator, token)["code"] == "credential_expired" and introspect(operator, token) == {"active": False}


def test_addresses_and_rate_hold_for_tokens_too(world, daemon, operator):
    elsewhere = operator.make_key(tenant=world.acme, scopes=SCOPES, addresses=["203.0.113.0/24"])
    refused(daemon, "invalid_client", 401, basic(elsewhere["id"], elsewhere["token"]), grant_type="client_credentials")
    limited = operator.make_key(tenant=world.acme, scopes=SCOPES, rate_limit={"requests": 3, "window_s": 2592000})
    token = mint(daemon, limited)["access_token"]
    assert authorized(daemon, token)["RateLimit-Policy"] == '"key";q=3;w=2592000'
    mint(daemon, limited)
    answer = Api(daemon).call("POST", "/v1/token", "grant_type=client_credentials", {**FORM, **basic(limited["id"], limited["token"])},
                              expect=429)
    assert answer.json["error"] == "rate_limited" and int(answer.headers["Retry-After"]) > 0
    assert authorized(daemon, token) == "rate_limited" and daemon.authorize(limited["token"]).code == "rate_limited"


# ---- introspection and revocation ----

def test_introspection_tells_no_more_than_is_seen(world, daemon, operator, key):
    token = mint(daemon, key)["access_token"]
    own = operator.as_key(tenant=world.acme, scopes=["keystile:verify"])
    other = operator.as_key(tenant=world.other, scopes=["keystile:verify"])
    below = operator.as_key(tenant=world.sub, scopes=["keystile:verify"])
    assert introspect(own, token)["active"]
    assert introspect(other, token) == introspect(below, token) == introspect(own, token[:-3] + "abc") == {"active": False}


def test_an_exchanged_jwt_is_not_revoked_by_itself(world, daemon, operator, key):
    token = mint(daemon, key)["access_token"]
    body = urllib.parse.urlencode({"token": token})
    assert operator.call("POST", "/v1/revoke", body, FORM, expect=400).json["error"] == "unsupported_token_type"
    assert authorized(daemon, token)["X-Keystile-Principal"] == key["id"]
    stranger = world.caller(world.other)
    assert stranger.call("POST", "/v1/revoke", body, FORM, expect=200).json == {}
    assert operator.call("POST", "/v1/revoke", urllib.parse.urlencode({"token": token[:-3] + "abc"}), FORM, expect=200).json == {}


def test_what_would_have_been_enough(daemon, world, operator):
    poor = operator.make_key(tenant=world.acme, scopes=["voice_calls:read"])
    challenge = daemon.authorize(poor["token"]).headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer ") and 'error="insufficient_scope"' in challenge and 'scope="contacts:read"' in challenge
    assert 'error="invalid_token"' in daemon.authorize("eyJhbGciOiJFUzI1NiJ9.e30.AA").headers["WWW-Authenticate"]


# ---- sessions ----

@pytest.fixture
def session_jwt(world):
    """A member of acme, and the JWT of a login."""
    person = Person(world, world.acme).role(world.acme, "administrator")
    return person, person.login(**{"as": "jwt"}).json["token"]


def test_a_session_jwt(world, daemon, nobody, operator, session_jwt):
    person, token = session_jwt
    assert jwt.get_unverified_header(token)["typ"] == "ks-session+jwt"
    claims = read(nobody, token)
    assert claims["sub"] == person.id and claims["aud"] == [ISSUER, API] and "client_id" not in claims and "scope" not in claims
    headers = authorized(daemon, token, tenant=world.acme)
    assert headers["X-Keystile-Principal"] == person.id and headers["X-Keystile-Kind"] == "session"
    shown = introspect(operator, token)
    assert shown["active"] and shown["sub"] == person.id and "client_id" not in shown and shown["keystile_kind"] == "session"


def test_a_session_jwt_is_exchanged_for_a_narrower_session(world, daemon, nobody, session_jwt):
    person, token = session_jwt
    made = exchange(daemon, token, "jwt", scope="contacts:read", tenant=world.acme)
    narrow = made["access_token"]
    assert jwt.get_unverified_header(narrow)["typ"] == "ks-session+jwt"
    claims = read(nobody, narrow)
    assert claims["sub"] == person.id and claims["scope"] == "contacts:read" and claims["tenant"] == world.acme
    headers = authorized(daemon, narrow)
    assert headers["X-Keystile-Kind"] == "session" and headers["X-Keystile-Scopes"] == "contacts:read"
    assert authorized(daemon, narrow, "POST") == "scope_missing"
    refused(daemon, "invalid_scope", grant_type=EXCHANGE, subject_token=narrow, subject_token_type=TYPE + "jwt", scope="contacts:write")
    refused(daemon, "invalid_target", grant_type=EXCHANGE, subject_token=token, subject_token_type=TYPE + "jwt", tenant=world.other)
    # A session is no client.
    refused(daemon, "invalid_client", 401, basic(person.id, token), grant_type="client_credentials")


def test_revoking_a_session_jwt_ends_the_session(world, daemon, operator, session_jwt):
    _, token = session_jwt
    narrow = exchange(daemon, token, "jwt", scope="contacts:read", tenant=world.acme)["access_token"]
    body = urllib.parse.urlencode({"token": token})
    # Whoever does not see the user changes nothing, and hears the same.
    assert world.caller(world.other).call("POST", "/v1/revoke", body, FORM, expect=200).json == {}
    assert authorized(daemon, token, tenant=world.acme)["X-Keystile-Kind"] == "session"
    assert operator.call("POST", "/v1/revoke", body, FORM, expect=200).json == {}
    assert authorized(daemon, token) == authorized(daemon, narrow) == "credential_invalid"
    assert introspect(operator, token) == introspect(operator, narrow) == {"active": False}
    assert operator.call("POST", "/v1/revoke", body, FORM, expect=200).json == {}


def test_a_member_that_is_removed_takes_jwts_along(world, daemon, operator, session_jwt):
    person, token = session_jwt
    narrow = exchange(daemon, token, "jwt", tenant=world.acme)["access_token"]
    assert authorized(daemon, narrow)["X-Keystile-Tenant"] == world.acme
    operator.delete(f"/v1/tenants/{world.acme}/members/{person.id}")
    assert authorized(daemon, narrow) == "credential_invalid"
    assert authorized(daemon, token, tenant=world.acme) in ("tenant_forbidden", "scope_missing")
    operator.post(f"/v1/users/{person.id}/disable", expect=200)
    assert authorized(daemon, token) == "credential_invalid"


# ---- attacks ----

def parts(token):
    header, payload, signature = token.split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), json.loads(base64.urlsafe_b64decode(payload + "==")), signature


def encode(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(header, claims, sign):
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{encode(sign(signed.encode()))}"


@pytest.fixture(scope="module")
def forgeries(daemon, nobody, key):
    """Tokens made of a good one by somebody who has the public keys and a pair of his own."""
    good = mint(daemon, key)["access_token"]
    header, claims, signature = parts(good)
    public = public_key(nobody, header["kid"])
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = ec.generate_private_key(ec.SECP256R1())
    own_jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(own.public_key())) if hasattr(jwt.algorithms.ECAlgorithm, "to_jwk") else {
        "kty": "EC", "crv": "P-256", "x": encode(own.public_key().public_numbers().x.to_bytes(32, "big")),
        "y": encode(own.public_key().public_numbers().y.to_bytes(32, "big"))}

    def mine(head, body=claims):
        return jwt.encode(body, own, algorithm="ES256", headers={k: v for k, v in head.items() if k != "alg"})

    def symmetric(name, digest, secret):
        return forge({**header, "alg": name}, claims, lambda text: hmac.new(secret, text, digest).digest())
    wider = {**claims, "scope": claims["scope"] + " phone_numbers:read"}
    return {
        "none": f"{encode({**header, 'alg': 'none'})}.{encode(claims)}.",
        "none with a signature": f"{encode({**header, 'alg': 'none'})}.{encode(claims)}.{signature}",
        "None": f"{encode({**header, 'alg': 'None'})}.{encode(claims)}.{signature}",
        "HS256 with the public PEM": symmetric("HS256", "sha256", pem),
        "HS256 with the public DER": symmetric("HS256", "sha256", der),
        "HS384": symmetric("HS384", "sha384", pem), "HS512": symmetric("HS512", "sha512", pem),
        "another algorithm": f"{encode({**header, 'alg': 'ES384'})}.{encode(claims)}.{signature}",
        "RS256": f"{encode({**header, 'alg': 'RS256'})}.{encode(claims)}.{signature}",
        "EdDSA": f"{encode({**header, 'alg': 'EdDSA'})}.{encode(claims)}.{signature}",
        "no algorithm": f"{encode({k: v for k, v in header.items() if k != 'alg'})}.{encode(claims)}.{signature}",
        "another's key": mine(header), "unknown kid": mine({**header, "kid": "nobody"}),
        "no kid": mine({k: v for k, v in header.items() if k != "kid"}),
        "embedded key": mine({**header, "jwk": own_jwk}), "its own address of keys": mine({**header, "jku": "https://evil.test/jwks"}),
        "its own certificate": mine({**header, "x5c": ["AAAA"]}), "kid is a path": mine({**header, "kid": "../../../../dev/null"}),
        "critical": mine({**header, "crit": ["exp"]}),
        "wider scope": f"{encode(header)}.{encode(wider)}.{signature}",
        "wrong audience": mine(header, {**claims, "aud": "https://elsewhere.test"}),
        "future nbf": mine(header, {**claims, "nbf": claims["exp"] - 1}),
        "wrong issuer": mine(header, {**claims, "iss": "https://evil.test"}),
        "another type": f"{encode({**header, 'typ': 'ks-session+jwt'})}.{encode(claims)}.{signature}",
        "nested": mine({**header, "cty": "JWT"}, {"token": good}),
        "zero signature": f"{encode(header)}.{encode(claims)}.{encode(bytes(64))}",
        "DER signature": f"{encode(header)}.{encode(claims)}.{encode(bytes.fromhex('30060201010201ff'))}",
        "empty signature": f"{encode(header)}.{encode(claims)}.",
        "four parts": good + ".AA", "five parts": ".".join([good, "AA", "AA"]), "padded": good + "=",
        "huge": f"{encode(header)}.{encode({**claims, 'pad': 'x' * (6135 - len(json.dumps(claims)))})}.{signature}",
        "deep": f"{encode(header)}.{encode(b'[' * 2000 + b']' * 2000)}.{signature}",
        "member twice": f"{encode(header)}.{encode(json.dumps(claims)[:-1].encode() + b',' + json.dumps({'sub': 'x'})[1:].encode())}.{signature}",
        "no JSON": f"{encode(header)}.{encode(b'nothing')}.{signature}",
        "cut": good[:-1], "turned": good[::-1],
    }


def test_forgeries_are_refused(daemon, operator, forgeries, key):
    for name, token in forgeries.items():
        code = authorized(daemon, token)
        assert code in ("credential_invalid", "credential_malformed"), f"{name}: {code}"
        assert not verify(operator, token)["allow"], name
        assert introspect(operator, token) == {"active": False}, name
        assert Api(daemon, token).call("GET", "/v1/account").status == 401, name
        refused(daemon, "invalid_request", grant_type=EXCHANGE, subject_token=token, subject_token_type=TYPE + "access_token")
    assert authorized(daemon, mint(daemon, key)["access_token"])["X-Keystile-Principal"] == key["id"]


def test_larger_than_any_token(daemon, operator, key):
    token = mint(daemon, key)["access_token"] + "A" * 9000
    assert authorized(daemon, token) == "credential_invalid"
    operator.call("POST", "/v1/verify", {"credential": token}, expect=422, code="invalid")
    body = urllib.parse.urlencode({"token": token})
    operator.call("POST", "/v1/introspect", body, FORM, expect=422, code="invalid")
    refused(daemon, "invalid_request", grant_type=EXCHANGE, subject_token=token, subject_token_type=TYPE + "access_token")


def test_a_jwt_is_no_basic_credential(daemon, world, operator):
    project = operator.make_key(tenant=world.project, scopes=["contacts:read"])
    token = mint(daemon, project)["access_token"]
    answer = daemon.call("GET", "/v1/authorize", headers={"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts",
                                                          **basic(world.project, token)})
    assert answer.code == "credential_malformed"


# ---- the issuer's keys ----

def states(operator):
    return [k["state"] for k in operator.get("/v1/issuer").json["keys"]]


def test_rotation_overlaps(daemon, nobody, operator, key):
    old = mint(daemon, key)["access_token"]
    shown = operator.post("/v1/issuer/rotate", expect=200).json
    assert [k["state"] for k in shown["keys"]] == ["current", "next"] and shown["keys"][1]["signs_from"] > shown["keys"][0]["signs_from"]
    assert len(jwks(nobody)["keys"]) == 2
    # Published, but it does not sign yet.
    assert jwt.get_unverified_header(mint(daemon, key)["access_token"])["kid"] == shown["keys"][0]["kid"]
    assert states(operator) == ["current", "next"]
    operator.post("/v1/issuer/rotate", {"now": True}, expect=200)
    assert states(operator) == ["retired", "current"]
    new = mint(daemon, key)["access_token"]
    assert jwt.get_unverified_header(new)["kid"] == shown["keys"][1]["kid"]
    for token in (old, new):
        read(nobody, token)
        assert authorized(daemon, token)["X-Keystile-Principal"] == key["id"]


def test_withdrawal_ends_what_was_signed(daemon, nobody, operator, key):
    old = mint(daemon, key)["access_token"]
    after = operator.post("/v1/issuer/rotate", {"withdraw": True}, expect=200).json
    assert [k["state"] for k in after["keys"]] == ["current"] and len(jwks(nobody)["keys"]) == 1
    assert authorized(daemon, old) == "credential_invalid" and introspect(operator, old) == {"active": False}
    assert authorized(daemon, mint(daemon, key)["access_token"])["X-Keystile-Principal"] == key["id"]
    assert [e["action"] for e in operator.get("/v1/audit?action=issuer.withdraw").json["items"]].count("issuer.withdraw") >= 1


def test_the_issuer_is_the_operators(world, daemon, operator):
    scopes = ["keystile:issuer:read", "keystile:issuer:write"]
    stranger = operator.as_key(tenant=world.acme, scopes=scopes)
    stranger.call("GET", "/v1/issuer", expect=403, code="tenant_forbidden")
    stranger.call("POST", "/v1/issuer/rotate", expect=403, code="tenant_forbidden")
    reader = operator.as_key(tenant=world.root, scopes=scopes[:1])
    assert reader.get("/v1/issuer").json["issuer"] == ISSUER
    reader.call("POST", "/v1/issuer/rotate", expect=403, code="scope_missing")
    operator.call("POST", "/v1/issuer/rotate", {"now": "yes"}, expect=422)
    operator.call("POST", "/v1/issuer/rotate", {"later": True}, expect=422)
    shown = keystile.run("issuer", "show", "--json", data=daemon.data)
    assert shown.code == 0 and shown.json["issuer"] == ISSUER
    assert "current" in keystile.run("issuer", "show", data=daemon.data).out


def test_settings(world):
    """Another algorithm, a next key at once, and lifetimes of one's own; keys outlive a restart."""
    env = {**SETTINGS, "KEYSTILE_ISSUER_ALGORITHM": "EdDSA", "KEYSTILE_ISSUER_LIFETIME_S": "20",
           "KEYSTILE_ISSUER_LIFETIME_MAX_S": "30", "KEYSTILE_ISSUER_PUBLISH_S": "0"}
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=env) as daemon:
            other, nobody = World(daemon), Api(daemon)
            key = other.operator.make_key(tenant=other.acme, scopes=SCOPES)
            made = mint(daemon, key)
            assert made["expires_in"] == 20 and jwt.get_unverified_header(made["access_token"])["alg"] == "EdDSA"
            assert read(nobody, made["access_token"])["sub"] == key["id"]
            refused(daemon, "invalid_request", headers=basic(key["id"], key["token"]), grant_type="client_credentials", expires_in_s="31")
            before = jwks(nobody)
            assert other.operator.post("/v1/issuer/rotate", expect=200).json["keys"]
            eventually(lambda: states(other.operator), ["retired", "current"])
        with keystile.Daemon(data, env=env) as daemon:
            assert before["keys"][0] in jwks(Api(daemon))["keys"]
            assert authorized(daemon, made["access_token"])["X-Keystile-Principal"] == key["id"]
            operator = Api(daemon, other.operator.token)
            assert states(operator) == ["retired", "current"]


@pytest.mark.parametrize("name, value", [("URL", "auth.test"), ("URL", "https://auth.test/"), ("URL", "https://auth.test/x?y"),
                                         ("URL", "ftp://auth.test"), ("ALGORITHM", "RS256"), ("AUDIENCES", "a,a"),
                                         ("LIFETIME_MAX_S", "86401")])
def test_settings_that_are_refused(name, value):
    with keystile.temporary_data() as data:
        daemon = keystile.Daemon(data, env={f"KEYSTILE_ISSUER_{name}": value}).start(wait=False)
        assert daemon.wait_exit() != 0
        assert f"issuer.{name.lower()}" in daemon.errors


def test_tokens_leave_no_trace(daemon, key, operator):
    token = mint(daemon, key)["access_token"]
    assert authorized(daemon, token)["X-Keystile-Principal"] == key["id"]
    authorized(daemon, token[:-1])
    for secret in (token, token.rsplit(".", 1)[1], key["token"]):
        assert secret not in daemon.errors
        assert secret.encode() not in operator.get("/v1/audit").body
    assert "keystile_jwts_minted_total" in Api(daemon).get("/metrics").body.decode()
