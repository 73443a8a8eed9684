"""/v1/session/oidc: logins by an identity provider, well-behaved or not. The certified one is in tests/oidc."""
import http.cookies
import time
import urllib.parse

import pytest

from api_service import CONTRACT, unique
from issuer import Issuer, Key, at_hash

ROUTE = "/v1/session/oidc"
WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def issuer():
    with Issuer() as made:
        yield made


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self, world, made, issuer):
        self.world, self.made, self.issuer = world, made, issuer
        self.anybody = world.daemon.client()
        self.cookies = {}
        self.query = {}

    def get(self, target):
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.anybody.call("GET", target, headers={"Cookie": cookie} if cookie else {})
        CONTRACT.check_answer("GET", target, answer)
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return answer

    def begin(self, **query):
        answer = self.get(f"{ROUTE}/{self.made['id']}/start" + (f"?{urllib.parse.urlencode(query)}" if query else ""))
        assert answer.status == 303, answer
        url = urllib.parse.urlsplit(answer.headers["Location"])
        self.query = dict(urllib.parse.parse_qsl(url.query))
        assert url._replace(query="").geturl() == f"{self.issuer.url}/authorize"
        return answer

    def grant(self, code="code", answer=None, key=None, **claims):
        """The provider will redeem the code with an ID token of the claims."""
        nonce, made = self.query["nonce"], self.made

        def redeem(_):
            told = {"aud": made["client_id"], "sub": "alice", "nonce": nonce, "email": "alice@acme.example",
                    "email_verified": True, "name": "Alice", **claims}
            told = {name: value for name, value in told.items() if value is not None}
            return {"id_token": self.issuer.token(told, key=key), **(answer or {})}
        self.issuer.codes[code] = redeem

    def finish(self, code="code", **query):
        given = {"code": code, "state": self.query["state"], **query}
        return self.get(f"{ROUTE}/callback?{urllib.parse.urlencode({k: v for k, v in given.items() if v is not None})}")


@pytest.fixture
def browser(world, operator, issuer):
    organization = operator.make_tenant("organization")["id"]
    domain = f"{unique('acme')}.example"
    made = operator.post("/v1/identity-providers", {
        "organization": organization, "name": "Directory", "issuer": issuer.url, "client_id": "console",
        "client_secret": "a+b c/%", "domains": [domain], "auto_create": True, "default_role": "administrator"}).json
    found = Browser(world, made, issuer)
    found.organization, found.email = organization, f"alice@{domain}"
    yield found
    found.anybody.close()


def refused(answer, status=401, code="login_failed"):
    assert (answer.status, answer.code) == (status, code), answer
    return answer


# ---- as it should be ----

def test_a_login(world, operator, issuer, browser):
    start = browser.begin(return_to="/console/?x=1#y")
    assert browser.query.keys() == {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce",
                                    "code_challenge", "code_challenge_method"}
    assert browser.query["code_challenge_method"] == "S256" and browser.query["response_type"] == "code"
    assert browser.query["redirect_uri"].endswith(f"{ROUTE}/callback")
    cookie = start.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and f"Path={ROUTE}" in cookie and "Max-Age=600" in cookie
    browser.grant(email=browser.email, answer={"access_token": "abc"}, at_hash=at_hash("abc"))
    answer = browser.finish(session_state="ignored")
    assert answer.status == 200 and 'url=/console/?x=1#y"' in answer.body.decode(), answer
    session = next(c for c in answer.headers.get_all("Set-Cookie") if "ks_session" in c)
    assert "HttpOnly" in session and "SameSite=Strict" in session
    me = browser.get("/v1/session").json
    assert me["user"]["email"] == browser.email and me["user"]["name"] == "Alice"
    form = issuer.forms[-1]
    assert form["grant_type"] == "authorization_code" and form["redirect_uri"] == browser.query["redirect_uri"]
    assert form["authorization"] == "Basic " + "Y29uc29sZTphJTJCYiUyMGMlMkYlMjU="
    assert "client_secret" not in form
    # The next one is the same user, whatever address is said.
    browser.begin()
    browser.grant(email=None)
    assert browser.finish().status == 200
    assert browser.get("/v1/session").json["user"]["id"] == me["user"]["id"]
    entries = operator.get(f"/v1/audit?tenant={browser.organization}").json["items"]
    assert [e["action"] for e in entries].count("user.link") == 1
    assert "oidc" in [e["detail"].get("method") for e in entries if e["action"] == "session.start"]


def test_an_address_that_the_userinfo_endpoint_alone_gives(issuer, browser):
    issuer.userinfo = {"sub": "alice", "email": browser.email, "email_verified": True}
    browser.begin()
    browser.grant(email=None)
    assert browser.finish().status == 200
    assert browser.get("/v1/session").json["user"]["email"] == browser.email


def test_another_users_userinfo(issuer, browser):
    issuer.userinfo = {"sub": "bob", "email": browser.email, "email_verified": True}
    browser.begin()
    browser.grant(email=None)
    refused(browser.finish())


def test_keys_that_have_changed(issuer, browser):
    browser.begin()
    browser.grant(email=browser.email)
    assert browser.finish().status == 200
    issuer.keys = [Key("k2")]
    browser.begin()
    browser.grant()
    assert browser.finish().status == 200


# ---- as it should not be ----

@pytest.mark.parametrize("claims", [
    {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": ["console", "another"]}, {"aud": None},
    {"aud": ["console", "another"], "azp": "another"}, {"azp": "another"}, {"iss": "https://issuer.example"},
    {"exp": 1}, {"exp": None}, {"iat": None}, {"iat": 4102444800}, {"sub": None}, {"sub": ""},
    {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    {"email_verified": False}, {"email_verified": "true"}, {"email": "alice@elsewhere.example"}])
def test_id_tokens_that_are_not_taken(issuer, browser, claims):
    browser.begin()
    browser.grant(**{"email": browser.email, **claims})
    if claims.get("exp", 0) is None or claims.get("iat", 0) is None:
        del browser.issuer.codes["code"]
        now = int(time.time())
        told = {"iss": issuer.url, "aud": "console", "sub": "alice", "nonce": browser.query["nonce"], "iat": now,
                "exp": now + 60}
        del told[next(iter(claims))]
        issuer.codes["code"] = lambda _: {"id_token": issuer.keys[0].token(told)}
    refused(browser.finish())
    assert browser.get("/v1/session").status == 401


def test_several_audiences_with_us_as_the_party(browser):
    browser.begin()
    browser.grant(email=browser.email, aud=["console", "another"], azp="console")
    assert browser.finish().status == 200


def test_somebody_elses_key(browser):
    browser.begin()
    browser.grant(email=browser.email, key=Key("k1"))
    refused(browser.finish())


@pytest.mark.parametrize("answer", [{"id_token": None}, {"id_token": "a.b.c"}, {"id_token": "x" * 9000},
                                    {"id_token": ["x"]}])
def test_answers_without_an_id_token(browser, answer):
    browser.begin()
    browser.grant(answer=answer)
    refused(browser.finish())


def test_another_browser_cannot_finish(browser):
    browser.begin()
    browser.grant(email=browser.email)
    browser.cookies.clear()
    refused(browser.finish())


def test_state_of_another_login(browser):
    browser.begin()
    first = browser.query["state"]
    browser.begin()
    browser.grant(email=browser.email)
    refused(browser.finish(state=first))


@pytest.mark.parametrize("query", [{"state": None}, {"state": ""}, {"state": "x" * 43}, {"code": None},
                                   {"error": "access_denied"}, {"iss": "https://issuer.example"}])
def test_queries_that_are_not_taken(browser, query):
    browser.begin()
    browser.grant(email=browser.email)
    refused(browser.finish(**query))


def test_a_state_is_used_once(browser):
    browser.begin()
    kept = dict(browser.cookies)
    browser.grant(email=browser.email)
    assert browser.finish().status == 200
    # A provider that takes a code twice does not help: neither the cookie nor the state does.
    browser.grant(email=browser.email)
    browser.cookies = kept
    refused(browser.finish())
    assert "code" in browser.issuer.codes


def test_a_code_that_is_not_taken(browser):
    browser.begin()
    refused(browser.finish(code="expired"))


def test_mixed_up_providers(issuer, browser):
    usual = issuer.document(WELL_KNOWN)[1]
    issuer.documents[WELL_KNOWN] = {**usual, "authorization_response_iss_parameter_supported": True}
    browser.begin()
    browser.grant(email=browser.email)
    refused(browser.finish())
    browser.begin()
    assert browser.finish(iss=issuer.url).status == 401   # the code is redeemed; its nonce is the other login's
    browser.begin()
    browser.grant(email=browser.email)
    assert browser.finish(iss=issuer.url).status == 200


@pytest.mark.parametrize("document", [{"issuer": "https://somebody.example"}, {}, None])
def test_a_provider_that_is_not_itself(issuer, browser, document):
    if document is None:
        issuer.status = 500
    else:
        issuer.documents[WELL_KNOWN] = document
    refused(browser.get(f"{ROUTE}/{browser.made['id']}/start"), 503, "provider_unavailable")


def test_a_provider_that_is_down(issuer, browser):
    browser.begin()
    issuer.close()
    refused(browser.finish(), 503, "provider_unavailable")


def test_a_provider_that_is_off_or_unknown(operator, browser):
    browser.begin()
    operator.post(f"/v1/identity-providers/{browser.made['id']}/disable", expect=200)
    refused(browser.get(f"{ROUTE}/{browser.made['id']}/start"), 404, "not_found")
    refused(browser.finish(), 404, "not_found")
    refused(browser.get(f"{ROUTE}/idp_0000000000001/start"), 404, "not_found")
    refused(browser.get(f"{ROUTE}/nonsense/start"), 404, "not_found")


@pytest.mark.parametrize("path", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "console",
                                  "/a\"b", "/<x>"])
def test_the_browser_stays_on_this_host(browser, path):
    answer = browser.get(f"{ROUTE}/{browser.made['id']}/start?{urllib.parse.urlencode({'return_to': path})}")
    refused(answer, 400, "query_malformed")


def test_a_user_who_is_disabled(operator, browser):
    browser.begin()
    browser.grant(email=browser.email)
    assert browser.finish().status == 200
    user = browser.get("/v1/session").json["user"]["id"]
    operator.post(f"/v1/users/{user}/disable", expect=200)
    browser.begin()
    browser.grant(email=browser.email)
    refused(browser.finish())
