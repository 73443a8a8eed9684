"""Sessions: what the cookie is good for, where it is refused, how it ends, and what roles let it do."""
import time

import keystile
import pytest

from api_service import Api, World, eventually, new_key, same_problem, unique
from people import PASSWORD, Person, Session, cookie_of, from_address

SETTINGS = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}


@pytest.fixture(name="world", scope="module")
def own_world():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield World(running)


@pytest.fixture(name="person", scope="module")
def some_person(world):
    return Person(world, world.acme)


def token_of(cookie):
    return cookie.split("=", 1)[1]


# ---- the cookie as a credential ----

@pytest.mark.parametrize("cookie", ["keystile_session=", "keystile_session", "other=1", "__Host-keystile={token}", "Keystile_session={token}",
                                    "xkeystile_session={token}"])
def test_no_cookie_of_ours(world, person, cookie):
    text = cookie.format(token=token_of(person.session().cookie))
    from_address(world.daemon).get("/v1/session", headers={"Cookie": text}, expect=401, code="credential_missing")


@pytest.mark.parametrize("value", ["x", "ks_session_" + "0" * 31, '"{token}"', "{token} x", "{token}{token}"])
def test_malformed_cookies(world, person, value):
    text = "keystile_session=" + value.format(token=token_of(person.session().cookie))
    from_address(world.daemon).get("/v1/session", headers={"Cookie": text}, expect=401, code="credential_malformed")


def test_an_unknown_cookie(world):
    from_address(world.daemon).get("/v1/session", headers={"Cookie": "keystile_session=ks_session_" + "0" * 32}, expect=401,
                                   code="credential_invalid")


def test_a_cookie_and_something_else_is_malformed(world, person):
    session = person.session()
    key = world.caller(world.acme)
    for headers in ({"Authorization": f"Bearer {key.token}"}, {"X-API-Key": key.token}, {"Authorization": "Basic eDp5"},
                    {"Authorization": f"Bearer {token_of(session.cookie)}"}):
        session.get("/v1/session", headers=headers, expect=401, code="credential_malformed")
    twice = f"{session.cookie}; {session.cookie}"
    session.get("/v1/session", headers={"Cookie": twice}, expect=401, code="credential_malformed")
    session.get("/v1/session", headers={"Cookie": f"a=b; {session.cookie};c=d"})


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_the_token_is_no_bearer_token(world, person, header):
    """Whoever steals the cookie cannot use it as a key."""
    token = token_of(person.session().cookie)
    headers = {header: f"Bearer {token}" if header == "Authorization" else token}
    from_address(world.daemon).get("/v1/session", headers=headers, expect=401, code="credential_invalid")
    asked = world.daemon.call("GET", "/v1/authorize", headers={"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts",
                                                               **headers})
    assert (asked.status, asked.code) == (401, "credential_invalid")


def test_the_cookie_opens_nothing_at_the_gateway(world, person):
    session = person.role(world.acme, "administrator").session()
    asked = world.daemon.call("GET", "/v1/authorize", headers={"X-Original-Method": "GET", "X-Original-URI": "/api/v1/contacts",
                                                               "Cookie": session.cookie})
    assert (asked.status, asked.code) == (401, "credential_missing")


# ---- other sites ----

def test_changes_are_the_consoles_alone(world):
    person = Person(world, world.acme)
    session = person.session()
    bare = Api(world.daemon, headers={"Cookie": session.cookie, "X-Forwarded-For": person.address})
    host = f"127.0.0.1:{world.daemon.port}"
    for headers in ({}, {"X-Keystile-Request": ""}, {"Origin": "https://evil.test"}, {"Origin": "null"}, {"Origin": ""},
                    {"Origin": f"https://{host}"}, {"Origin": f"http://{host}.evil.test"}, {"Origin": "http://"},
                    {"Origin": f"http://evil.test/{host}"}, {"Referer": f"http://{host}/"}):
        bare.delete("/v1/session", headers=headers, expect=403, code="request_forged")
        bare.post("/v1/account/password", {"password": PASSWORD, "new_password": PASSWORD + "!"}, headers=headers, expect=403,
                  code="request_forged")
    bare.get("/v1/session")
    bare.delete("/v1/session", headers={"Origin": f"http://{host}"})


def test_the_guard_tells_nothing_of_the_cookie(world, person):
    """Known or not, the answer is the same."""
    bare = from_address(world.daemon)
    session = person.session()
    known = bare.delete("/v1/session", headers={"Cookie": session.cookie}, expect=403)
    unknown = bare.delete("/v1/session", headers={"Cookie": "keystile_session=ks_session_" + "0" * 32}, expect=403)
    assert same_problem(known, unknown)


def test_keys_need_no_such_header(world):
    assert world.operator.make_key(tenant=world.acme)["id"]


# ---- lists and ends ----

def test_one_lists_and_ends_ones_own(world):
    person, other = Person(world, world.acme), Person(world, world.acme)
    first, second = person.session(), person.session()
    foreign = other.session()
    listed = second.get("/v1/sessions").json["items"]
    assert [(s["id"], s["current"]) for s in listed] == [(second.id, True), (first.id, False)]
    assert [s["id"] for s in second.pages("/v1/sessions", 1)] == [second.id, first.id]
    missing = second.delete("/v1/sessions/ses_0m6xwq3k2r4t8", expect=404, code="not_found")
    assert same_problem(second.delete(f"/v1/sessions/{foreign.id}", expect=404), missing)
    foreign.get("/v1/session")
    ended = second.delete(f"/v1/sessions/{first.id}")
    assert ended.json["ended_at"] and "Set-Cookie" not in ended.headers
    first.get("/v1/session", expect=401, code="credential_invalid")
    assert second.delete(f"/v1/sessions/{first.id}").json == ended.json
    assert [s["id"] for s in second.get("/v1/sessions").json["items"]] == [second.id]
    out = second.delete("/v1/session")
    assert out.headers["Set-Cookie"] == "keystile_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    second.get("/v1/session", expect=401, code="credential_invalid")


def test_last_use_is_seen(world):
    person = Person(world, world.acme)
    session = person.session()
    elsewhere = Session(person, session.cookie, session.id, {"X-Forwarded-For": "192.0.2.99"})
    eventually(lambda: elsewhere.get("/v1/sessions").json["items"][0]["last_used_address"], "192.0.2.99")
    seen = session.get("/v1/session").json["session"]
    assert seen["last_used_at"] >= seen["created_at"] and seen["address"] == person.address


def test_administrators_end_sessions(world):
    person = Person(world, world.acme)
    sessions = [person.session() for _ in range(3)]
    admin = world.caller(world.acme)
    assert {s["id"] for s in admin.get(f"/v1/users/{person.id}/sessions").json["items"]} == {s.id for s in sessions}
    assert admin.delete(f"/v1/users/{person.id}/sessions").json == {"ended": 3}
    for session in sessions:
        session.get("/v1/session", expect=401, code="credential_invalid")
    assert admin.delete(f"/v1/users/{person.id}/sessions").json == {"ended": 0}
    other = world.caller(world.other)
    other.delete(f"/v1/users/{person.id}/sessions", expect=404, code="not_found")
    other.get(f"/v1/users/{person.id}/sessions", expect=404, code="not_found")


def test_one_too_many_ends_the_oldest(world):
    person = Person(world, world.acme)
    sessions = [person.session() for _ in range(65)]
    assert len(person.world.operator.pages(f"/v1/users/{person.id}/sessions", 500)) == 64
    sessions[0].get("/v1/session", expect=401, code="credential_invalid")
    sessions[1].get("/v1/session")


@pytest.mark.parametrize("method,target,body", [
    ("GET", "/v1/session", None), ("DELETE", "/v1/session", None), ("GET", "/v1/sessions", None),
    ("DELETE", "/v1/sessions/ses_0m6xwq3k2r4t8", None), ("GET", "/v1/account/totp", None),
    ("POST", "/v1/account/totp", {"password": PASSWORD}), ("POST", "/v1/account/totp/confirm", {"code": "123456"}),
    ("POST", "/v1/account/totp/disable", {"code": "123456"}),
    ("POST", "/v1/account/password", {"password": PASSWORD, "new_password": PASSWORD + "!"})])
def test_an_account_is_for_sessions_alone(world, person, method, target, body):
    """Routes that take only a session take nothing else, keys of the same user included."""
    key = world.operator.as_key(user=person.id)
    for caller in (world.operator, key, world.owner):
        caller.call(method, target, body, expect=403, code="kind_not_allowed")
    from_address(world.daemon).call(method, target, body, expect=401, code="credential_missing")


# ---- what roles let a session do ----

def test_a_member_of_nothing_sees_itself(world):
    session = Person(world, world.acme).session()
    who = session.get("/v1/account").json
    assert who["principal"] == session.person.id and who["tenant"]["id"] == session.person.personal
    for target in ("/v1/tenants", "/v1/keys", "/v1/users", "/v1/audit"):
        session.get(target, expect=403, code="scope_missing")


def tenants_of(session):
    return {t["id"] for t in session.pages("/v1/tenants", 500)}


def test_members_see_what_they_were_added_to(world):
    """Seed 002: regular users see the projects that they were added to."""
    person = Person(world, world.acme).role(world.sub, "member")
    session = person.session()
    assert tenants_of(session) == {person.personal, world.sub}
    session.at(world.sub).get(f"/v1/tenants/{world.sub}")
    missing = session.get("/v1/tenants/org_0m6xwq3k2r4t8", expect=404, code="not_found")
    for foreign in (world.acme, world.nested, world.project, world.other):
        assert same_problem(session.get(f"/v1/tenants/{foreign}", expect=404), missing)
    session.at(world.sub).get("/v1/users", expect=403, code="scope_missing")


def test_administrators_see_everything_below(world):
    person = Person(world, world.acme).role(world.acme, "administrator")
    session = person.session()
    assert {world.acme, world.sub, world.nested, world.project} <= tenants_of(session)
    assert not tenants_of(session) & {world.other, world.first, world.partner, world.root}
    inside = session.at(world.acme)
    made = inside.make_key(tenant=world.nested, scopes=["contacts:read"])
    assert made["created_by"] == person.id
    assert inside.delete(f"/v1/keys/{made['id']}").json["revoked_by"] == person.id
    invited = inside.post("/v1/users", {"organization": world.acme, "email": unique("by-session") + "@people.test"}).json
    inside.put(f"/v1/tenants/{world.sub}/members/{invited['id']}", {"role": "member"})
    session.at(world.other).get("/v1/keys", expect=403, code="tenant_forbidden")


def test_account_readers_view_keys_and_change_nothing(world):
    """Seed 001: account readers view keys, administrators create and edit."""
    key = world.operator.make_key(tenant=world.acme, name="to be seen")
    session = Person(world, world.acme).role(world.acme, "account_reader").session().at(world.acme)
    assert key["id"] in {k["id"] for k in session.pages("/v1/keys", 500)}
    assert "token" not in session.get(f"/v1/keys/{key['id']}").json
    for method, target, body in [
            ("POST", "/v1/keys", new_key(tenant=world.acme)), ("PATCH", f"/v1/keys/{key['id']}", {"name": "x"}),
            ("DELETE", f"/v1/keys/{key['id']}", None), ("POST", f"/v1/keys/{key['id']}/rotate", {}),
            ("POST", "/v1/tenants", {"kind": "project", "name": "x"}), ("POST", f"/v1/tenants/{world.acme}/suspend", None),
            ("POST", "/v1/users", {"email": "x@people.test"}), ("DELETE", f"/v1/users/{session.person.id}/sessions", None),
            ("PUT", f"/v1/tenants/{world.acme}/members/{session.person.id}", {"role": "administrator"})]:
        session.call(method, target, body, expect=403, code="scope_missing")


def test_a_session_grants_no_more_than_its_user_has(world):
    session = Person(world, world.acme).role(world.sub, "administrator").session().at(world.sub)
    session.post("/v1/keys", new_key(tenant=world.acme), expect=403, code="tenant_forbidden")
    session.post("/v1/keys", new_key(tenant=world.sub, scopes=["keystile:webhooks:write", "keystile:verify"]), expect=403, code="not_grantable")


def test_a_removed_membership_ends_at_once(world):
    """For the session, and for the keys that are bound to the user."""
    person = Person(world, world.acme).role(world.acme, "administrator").role(world.sub, "member")
    session = person.session()
    key = world.operator.as_key(user=person.id, scopes=["keystile:tenants:read", "contacts:read"])
    for caller in (session.at(world.acme), key.on_behalf(world.acme)):
        caller.get(f"/v1/tenants/{world.acme}")
    asked = {"X-Tenant-Id": world.acme}
    assert world.daemon.authorize(key.token, headers=asked).status == 200
    world.operator.delete(f"/v1/tenants/{world.acme}/members/{person.id}")
    session.at(world.acme).get("/v1/tenants", expect=403)
    key.on_behalf(world.acme).get("/v1/tenants", expect=403, code="tenant_forbidden")
    assert world.daemon.authorize(key.token, headers=asked).code == "tenant_forbidden"
    assert tenants_of(session) == {person.personal, world.sub}
    assert tenants_of(key) == {person.personal, world.sub}


def test_a_changed_role_counts_at_once(world):
    person = Person(world, world.acme).role(world.acme, "administrator")
    session = person.session().at(world.acme)
    session.get("/v1/audit")
    person.role(world.acme, "member")
    session.get("/v1/audit", expect=403, code="scope_missing")


# ---- how sessions end by themselves, and what a restart leaves ----

def short_world(**settings):
    return {**SETTINGS, **{k: str(v) for k, v in settings.items()}}


def test_sessions_end_by_themselves():
    """An idle one within its time and the sweep; a used one lives on, until its end in any case."""
    env = short_world(KEYSTILE_SESSIONS_IDLE_S=2, KEYSTILE_SESSIONS_LIFETIME_S=8)
    with keystile.temporary_data() as data, keystile.Daemon(data, env=env) as running:
        world = World(running)
        person = Person(world, world.acme)
        idle, used = person.session(), person.session()
        ended = time.monotonic() + keystile.PATIENCE_S
        while world.operator.get(f"/v1/users/{person.id}/sessions").json["items"][-1]["id"] == idle.id:
            used.get("/v1/session")
            assert time.monotonic() < ended
            time.sleep(0.1)
        idle.get("/v1/session", expect=401, code="credential_invalid")
        status = 200
        while status == 200:
            answer = used.call("GET", "/v1/session")
            status = answer.status
            time.sleep(0.1)
        assert answer.code == "credential_expired"
        assert world.owner.post("/v1/ring/check", expect=200).json["differences"] == 0


def test_sessions_survive_a_kill_and_ended_ones_stay_ended():
    with keystile.temporary_data() as data:
        running = keystile.Daemon(data, env=SETTINGS).start()
        world = World(running)
        person = Person(world, world.acme)
        open_, ended = person.session(), person.session()
        ended.delete("/v1/session")
        invited = Person(world, world.acme, accept=False)
        for forget_ring in (False, True):
            running.kill()
            if forget_ring:
                keystile.shutil.rmtree(keystile.ring_directory(data), ignore_errors=True)
            running = keystile.Daemon(data, env=SETTINGS).start()
            world.daemon = open_.daemon = ended.daemon = running
            world.owner.daemon = world.operator.daemon = running
            open_.get("/v1/session")
            ended.get("/v1/session", expect=401, code="credential_invalid")
            assert world.owner.post("/v1/ring/check", expect=200).json["differences"] == 0
        invited.accept(invited.invitation, PASSWORD)
        running.kill()
        running = keystile.Daemon(data, env=SETTINGS).start()
        world.daemon = running
        invited.accept(invited.invitation, PASSWORD, expect=410)
        invited.login()
        assert running.stop() == 0


def test_behind_a_proxy_with_https():
    """The cookie is for HTTPS alone, and no other name is taken."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env=short_world(KEYSTILE_SESSIONS_SECURE="true")) as running:
        world = World(running)
        person = Person(world, world.acme)
        answer = person.login()
        assert answer.headers["Set-Cookie"].startswith("__Host-keystile=ks_session_")
        assert answer.headers["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict; Secure")
        token = token_of(cookie_of(answer))
        outside = from_address(running, person.address)
        outside.get("/v1/session", headers={"Cookie": f"__Host-keystile={token}"})
        outside.get("/v1/session", headers={"Cookie": f"keystile_session={token}"}, expect=401, code="credential_missing")
        origin = {"Cookie": f"__Host-keystile={token}", "Host": "console.test", "Origin": "http://console.test"}
        outside.delete("/v1/session", headers=origin, expect=403, code="request_forged")
        outside.delete("/v1/session", headers={**origin, "Origin": "https://console.test"})


# ---- JWTs of sessions ----

def bearer(person, **members):
    """A caller who has logged in for a JWT, and the session behind it."""
    answer = person.login(**{"as": "jwt"}, **members)
    assert "Set-Cookie" not in answer.headers and answer.json["token_type"] == "Bearer"
    return Api(person.world.daemon, answer.json["token"], headers={"X-Forwarded-For": person.address}), answer.json["session"]["id"]


def test_a_jwt_is_the_session(world):
    """It may what the session may, needs no header of the console, and opens the platform's routes at the gateway."""
    person = Person(world, world.acme).role(world.acme, "administrator")
    program, session = bearer(person)
    who = program.get("/v1/session").json
    assert (who["session"]["id"], who["user"]["id"]) == (session, person.id)
    made = program.on_behalf(world.acme).make_key(tenant=world.sub)
    assert made["created_by"] == person.id
    asked = world.daemon.authorize(program.token, headers={"X-Tenant-Id": world.acme})
    assert (asked.status, asked.headers["X-Keystile-Kind"], asked.headers["X-Keystile-Principal"]) == (200, "session", person.id)


def test_a_jwt_changes_nothing_of_the_account(world):
    program, session = bearer(Person(world, world.acme))
    for method, target, body in [
            ("POST", "/v1/account/password", {"password": PASSWORD, "new_password": PASSWORD + "!"}),
            ("POST", "/v1/account/totp", {"password": PASSWORD}), ("POST", "/v1/account/totp/disable", {"code": "123456"}),
            ("DELETE", f"/v1/sessions/{session}", None)]:
        program.call(method, target, body, expect=403, code="kind_not_allowed")


def test_a_jwt_dies_with_its_session(world):
    person = Person(world, world.acme).role(world.acme, "administrator")
    console = person.session()
    program, session = bearer(person)
    asked = {"X-Tenant-Id": world.acme}
    assert world.daemon.authorize(program.token, headers=asked).status == 200
    console.delete(f"/v1/sessions/{session}")
    assert world.daemon.authorize(program.token, headers=asked).code == "credential_invalid"
    program.get("/v1/session", expect=401, code="credential_invalid")
    program, _ = bearer(person)
    program.delete("/v1/session")
    program.get("/v1/session", expect=401, code="credential_invalid")


def test_a_jwt_and_a_cookie_are_one_too_many(world):
    person = Person(world, world.acme)
    program, _ = bearer(person)
    program.get("/v1/session", headers={"Cookie": person.session().cookie}, expect=401, code="credential_malformed")
