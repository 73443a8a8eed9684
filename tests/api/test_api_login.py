"""Invitations, passwords, logging in, second factors."""
import concurrent.futures
import re

import keystile
import pytest

from api_service import World, pointers, same_problem, unique
from people import PASSWORD, Person, cookie_of, from_address, totp

SETTINGS = {"KEYSTILE_DOMAIN": "space.test", "KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_PROXIES_TRUSTED": "127.0.0.1"}


@pytest.fixture(name="world", scope="module")
def own_world():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield World(running)


# ---- invitations ----

@pytest.mark.parametrize("token", ["invite_", "invite_" + "0" * 64, "ks_" + "0" * 32, "invite_" + "A" * 64, "x"])
def test_what_is_no_invitation(world, token):
    from_address(world.daemon).post("/v1/invitations/accept", {"token": token, "password": PASSWORD}, expect=410,
                                    code="invitation_invalid")


@pytest.mark.parametrize("body,pointer", [
    ({}, "/token"), ({"token": 1, "password": PASSWORD}, "/token"), ({"token": "x", "password": None}, "/password"),
    ({"token": "x", "password": "x" * 1025}, "/password"), ({"token": "x", "password": PASSWORD, "name": "a\nb"}, "/name"),
    ({"token": "x", "password": PASSWORD, "admin": True}, "/admin"), ({"token": "x" * 80, "password": PASSWORD}, "/token")])
def test_malformed_acceptances(world, body, pointer):
    answer = from_address(world.daemon).post("/v1/invitations/accept", body, expect=422, code="invalid")
    assert pointer in pointers(answer)


@pytest.mark.parametrize("password", ["elevenbytes", "password1234", "aaaaaaaaaaaaaaa"])
def test_weak_passwords_use_nothing_up(world, password):
    person = Person(world, world.acme, accept=False)
    assert pointers(person.accept(person.invitation, password, expect=422, code="invalid")) == ["/password"]
    assert pointers(person.accept(person.invitation, person.email, expect=422, code="invalid")) == ["/password"]
    person.login(expect=401)
    person.accept(person.invitation, PASSWORD)
    person.login()


def test_an_invitation_is_accepted_once(world):
    person = Person(world, world.acme, accept=False)
    accepted = person.accept(person.invitation, PASSWORD).json["user"]
    assert (accepted["id"], accepted["name"]) == (person.id, person.email)
    used = person.accept(person.invitation, PASSWORD + "2", expect=410, code="invitation_invalid")
    assert same_problem(used, person.accept("invite_" + "0" * 64, PASSWORD, expect=410))
    person.login()
    seen = world.operator.get(f"/v1/users/{person.id}").json
    assert seen["invitation"] is None and seen["password_changed_at"]


def test_a_name_may_be_given(world):
    person = Person(world, world.acme, accept=False)
    body = {"token": person.invitation, "password": PASSWORD, "name": "Ada Lovelace"}
    assert person.outside.post("/v1/invitations/accept", body, expect=200).json["user"]["name"] == "Ada Lovelace"


def test_many_accept_at_once(world):
    """Exactly one of 32 wins, and its password is the one that counts."""
    person = Person(world, world.acme, accept=False)
    passwords = [f"{PASSWORD} {i}" for i in range(32)]

    def accept(password):
        return person.outside.call("POST", "/v1/invitations/accept", {"token": person.invitation, "password": password})
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(accept, passwords))
    assert sorted({a.status for a in answers}) == [200, 410]
    won = [p for p, a in zip(passwords, answers) if a.status == 200]
    assert len(won) == 1
    person.login(password=won[0])
    person.login(password=next(p for p in passwords if p != won[0]), expect=401)


def test_invited_anew_the_first_is_void(world):
    person = Person(world, world.acme, accept=False)
    again = world.operator.post(f"/v1/users/{person.id}/invitation").json["invitation"]
    assert set(again) == {"token", "expires_at"}
    person.accept(person.invitation, PASSWORD, expect=410)
    person.accept(again["token"], PASSWORD)
    person.login()


def test_withdrawn(world):
    person = Person(world, world.acme, accept=False)
    assert world.operator.get(f"/v1/users/{person.id}").json["invitation"]["expires_at"]
    assert world.operator.delete(f"/v1/users/{person.id}/invitation").json["invitation"] is None
    world.operator.delete(f"/v1/users/{person.id}/invitation", expect=404, code="not_found")
    person.accept(person.invitation, PASSWORD, expect=410)


def test_a_reset_is_an_invitation(world):
    person = Person(world, world.acme)
    session = person.session()
    token = world.operator.post(f"/v1/users/{person.id}/invitation").json["invitation"]["token"]
    # Until it is accepted, everything is as it was.
    person.login()
    person.accept(token, PASSWORD + "!")
    person.login(expect=401)
    person.login(password=PASSWORD + "!")
    session.get("/v1/session", expect=401, code="credential_invalid")


def test_the_administrator_of_a_new_organization_is_invited(world):
    email = unique("admin") + "@people.test"
    made = world.operator.post("/v1/tenants", {"kind": "organization", "name": "New",
                                               "administrator": {"email": email}}).json
    outside = from_address(world.daemon)
    outside.post("/v1/invitations/accept", {"token": made["invitation"]["token"], "password": PASSWORD}, expect=200)
    answer = outside.post("/v1/session", {"email": email, "password": PASSWORD}, expect=200)
    who = outside.get("/v1/session", headers={"Cookie": cookie_of(answer)}).json
    assert who["memberships"] == [{"tenant": made["id"], "role": "administrator"}]


def test_nobody_takes_over_who_reaches_further(world):
    """An administrator of one organization cannot reset the password of a user who is a member elsewhere too."""
    person = Person(world, world.acme)
    token = world.operator.post(f"/v1/users/{person.id}/invitation").json["invitation"]["token"]
    admin = world.caller(world.acme)
    person.role(world.acme, "member")
    admin.post(f"/v1/users/{person.id}/invitation")
    token = admin.post(f"/v1/users/{person.id}/invitation").json["invitation"]["token"]
    person.role(world.other, "member")
    # What was open is void from then on.
    person.accept(token, PASSWORD + "!", expect=410)
    admin.post(f"/v1/users/{person.id}/invitation", expect=403, code="not_grantable")
    admin.delete(f"/v1/users/{person.id}/totp", expect=403, code="not_grantable")
    world.operator.post(f"/v1/users/{person.id}/invitation")
    admin.delete(f"/v1/users/{person.id}/invitation", expect=403, code="not_grantable")


# ---- logging in ----

@pytest.mark.parametrize("body,pointer", [
    ({}, "/email"), ({"email": "a@b.c"}, "/password"), ({"email": 1, "password": "x"}, "/email"),
    ({"email": "x" * 255, "password": "x"}, "/email"), ({"email": "a@b.c", "password": "x" * 1025}, "/password"),
    ({"email": "a@b.c", "password": "x", "as": "header"}, "/as"), ({"email": "a@b.c", "password": "x", "totp": 1}, "/totp"),
    ({"email": "a@b.c", "password": "x", "remember": True}, "/remember")])
def test_malformed_logins(world, body, pointer):
    assert pointer in pointers(from_address(world.daemon).post("/v1/session", body, expect=422, code="invalid"))


def test_forms_do_not_log_in(world):
    """What another site's page could send without asking: it is not JSON."""
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        from_address(world.daemon).call("POST", "/v1/session", '{"email": "a@b.c", "password": "x"}', {"Content-Type": kind},
                                        expect=415, code="media_type")


def test_all_failures_look_the_same(world):
    """Unknown, wrong, disabled, never accepted, and of a suspended organization: one answer, to the last header."""
    right, disabled, fresh = (Person(world, world.acme, accept=accept) for accept in (True, True, False))
    organization = world.operator.make_tenant("organization")["id"]
    suspended = Person(world, organization)
    world.operator.post(f"/v1/tenants/{organization}/suspend", expect=200)
    world.operator.post(f"/v1/users/{disabled.id}/disable", expect=200)
    attempts = [(right.email, PASSWORD + "!"), (disabled.email, PASSWORD), (disabled.email, PASSWORD + "!"), (fresh.email, PASSWORD),
                (unique("nobody") + "@people.test", PASSWORD), ("no address at all", PASSWORD), (right.email, "short"),
                (suspended.email, PASSWORD)]
    answers = [from_address(world.daemon).post("/v1/session", {"email": email, "password": password}, expect=401,
                                               code="login_failed") for email, password in attempts]
    for answer in answers[1:]:
        assert same_problem(answer, answers[0])
        assert header_names(answer) == header_names(answers[0])
        assert "Set-Cookie" not in answer.headers


def header_names(answer):
    return [(k, v) for k, v in answer.headers.items() if k not in ("X-Request-Id", "Date")]


def test_a_login(world):
    person = Person(world, world.acme)
    answer = person.login(email=person.email.upper(), headers={"User-Agent": "Browser/1.0 \x80"})
    made = answer.json
    assert made["user"]["id"] == person.id
    assert made["session"]["method"] == "password" and made["session"]["current"]
    assert made["session"]["address"] == person.address
    assert made["session"]["user_agent"] == "Browser/1.0 ?"
    assert re.fullmatch(r"keystile_session=ks_session_[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Strict",
                        answer.headers["Set-Cookie"])


def test_each_login_has_a_token_of_its_own(world):
    person = Person(world, world.acme)
    first = person.session()
    second = person.session()
    assert first.cookie != second.cookie and first.id != second.id
    first.get("/v1/session")
    # The browser's own session before is ended by the next login there, whatever it was.
    third = cookie_of(person.login(headers={"Cookie": second.cookie}))
    assert third != second.cookie
    second.get("/v1/session", expect=401, code="credential_invalid")
    first.get("/v1/session")
    # Another user's is not.
    Person(world, world.acme).login(headers={"Cookie": first.cookie})
    first.get("/v1/session")


def test_a_disabled_user_is_out_and_does_not_come_back(world):
    person = Person(world, world.acme)
    session = person.session()
    world.operator.post(f"/v1/users/{person.id}/disable", expect=200)
    session.get("/v1/session", expect=401, code="credential_invalid")
    world.operator.post(f"/v1/users/{person.id}/invitation", expect=409, code="conflict")
    world.operator.post(f"/v1/users/{person.id}/enable", expect=200)
    session.get("/v1/session", expect=401, code="credential_invalid")
    person.login()


def test_the_answer_is_not_remembered(world):
    """An Idempotency-Key does nothing here: passwords and tokens would have to be kept."""
    person = Person(world, world.acme)
    key = {"Idempotency-Key": unique("login")}
    first, again = person.login(headers=key), person.login(headers=key)
    assert first.json["session"]["id"] != again.json["session"]["id"]
    assert "Idempotency-Replayed" not in again.headers


# ---- waiting ----

def attempt(world, email, password, address=None):
    return from_address(world.daemon, address).call("POST", "/v1/session", {"email": email, "password": password})


@pytest.mark.parametrize("known", [True, False])
def test_an_account_waits_whether_it_exists_or_not(world, known):
    person = Person(world, world.acme) if known else None
    email = person.email if known else unique("nobody") + "@people.test"
    answers = [attempt(world, email, "wrong") for _ in range(7)]
    assert [a.status for a in answers] == [401] * 6 + [429]
    assert answers[6].code == "rate_limited" and 1 <= int(answers[6].headers["Retry-After"]) <= 2
    # Also with the right password, also in another spelling; nobody else.
    assert attempt(world, email.upper(), PASSWORD).status == 429
    Person(world, world.acme).login()


def test_a_success_makes_an_account_free(world):
    person = Person(world, world.acme)
    for _ in range(3):
        assert [attempt(world, person.email, "wrong").status for _ in range(4)] == [401] * 4
        person.login()


def test_an_address_waits(world):
    address = "203.0.113.77"
    statuses = [attempt(world, unique("nobody") + "@people.test", "wrong", address).status for _ in range(53)]
    assert statuses[:51] == [401] * 51 and statuses[51:] == [429] * 2
    person = Person(world, world.acme)
    assert attempt(world, person.email, PASSWORD, address).status == 429
    assert attempt(world, person.email, PASSWORD, "203.0.113.78").status == 200


def test_an_ipv6_network_is_one_address(world):
    statuses = [attempt(world, unique("nobody") + "@people.test", "wrong", f"2001:db8:5:5::{i:x}").status for i in range(52)]
    assert statuses[50:] == [401, 429]
    assert attempt(world, unique("nobody") + "@people.test", "wrong", "2001:db8:5:6::1").status == 401


def test_attempts_at_the_same_time_count(world):
    person = Person(world, world.acme)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: attempt(world, person.email, "wrong").status, range(16)))
    assert statuses.count(401) == 6 and statuses.count(429) == 10


# ---- the password ----

@pytest.mark.parametrize("body,pointer", [
    ({"password": PASSWORD}, "/new_password"), ({"new_password": PASSWORD}, "/password"),
    ({"password": PASSWORD, "new_password": "short"}, "/new_password"),
    ({"password": PASSWORD, "new_password": "password1234"}, "/new_password")])
def test_bad_changes_of_a_password(world, body, pointer):
    person = Person(world, world.acme)
    assert pointers(person.session().post("/v1/account/password", body, expect=422, code="invalid")) == [pointer]
    person.login()


def test_a_changed_password_ends_the_other_sessions(world):
    person = Person(world, world.acme)
    mine, others = person.session(), [person.session(), person.session()]
    mine.post("/v1/account/password", {"password": "wrong " + PASSWORD, "new_password": PASSWORD + "!"}, expect=403,
              code="password_wrong")
    others[0].get("/v1/session")
    mine.post("/v1/account/password", {"password": PASSWORD, "new_password": PASSWORD + "!"}, expect=200)
    mine.get("/v1/session")
    for other in others:
        other.get("/v1/session", expect=401, code="credential_invalid")
    person.login(expect=401)
    person.login(password=PASSWORD + "!")


def test_guessing_the_current_password_waits(world):
    session = Person(world, world.acme).session()
    answers = [session.call("POST", "/v1/account/password", {"password": f"guess {i} {i}", "new_password": PASSWORD + "!"})
               for i in range(7)]
    assert [a.status for a in answers] == [403] * 6 + [429]


# ---- second factors ----

def enrol(person, session):
    """A person with a second factor in force: its secret and recovery codes."""
    begun = session.post("/v1/account/totp", {"password": person.password}).json
    assert f"secret={begun['secret']}&" in begun["url"] and begun["url"].startswith("otpauth://totp/keystile%3Aperson")
    done = session.post("/v1/account/totp/confirm", {"code": totp(begun["secret"], offset=-1)}, expect=200).json
    return begun["secret"], done["recovery_codes"]


def test_the_second_factor_begins_with_its_confirmation(world):
    person = Person(world, world.acme)
    session = person.session()
    session.post("/v1/account/totp/confirm", {"code": "000000"}, expect=409, code="conflict")
    session.post("/v1/account/totp/disable", {"code": "000000"}, expect=409, code="conflict")
    session.post("/v1/account/totp", {"password": "wrong"}, expect=403, code="password_wrong")
    assert session.get("/v1/account/totp").json == {"enabled": False, "confirmed_at": None, "recovery_codes_left": 0}
    lost = session.post("/v1/account/totp", {"password": PASSWORD}).json["secret"]
    secret = session.post("/v1/account/totp", {"password": PASSWORD}).json["secret"]
    assert secret != lost
    session.post("/v1/account/totp/confirm", {"code": totp(lost)}, expect=401, code="totp_invalid")
    person.login()
    codes = session.post("/v1/account/totp/confirm", {"code": totp(secret)}, expect=200).json["recovery_codes"]
    assert len(set(codes)) == 10
    state = session.get("/v1/account/totp").json
    assert state["enabled"] and state["confirmed_at"] and state["recovery_codes_left"] == 10
    session.post("/v1/account/totp", {"password": PASSWORD}, expect=409, code="conflict")
    assert session.get("/v1/session").json["user"]["totp"] is True


def test_a_login_with_two_factors(world):
    person = Person(world, world.acme)
    secret, _ = enrol(person, person.session())
    # That it is needed is told to those alone who know the password.
    assert person.login(expect=401).code == "totp_required"
    assert person.login(expect=401, password="wrong").code == "login_failed"
    assert person.login(expect=401, password="wrong", totp=totp(secret)).code == "login_failed"
    assert person.login(expect=401, totp="12345").code == "totp_invalid"
    code = totp(secret)
    assert person.login(totp=code).json["session"]["method"] == "password+totp"
    assert person.login(expect=401, totp=code).code == "totp_invalid"
    assert person.login(expect=401, totp=totp(secret, offset=-1)).code == "totp_invalid"
    person.login(totp=totp(secret, offset=1))


def test_a_code_is_taken_once_under_races(world):
    person = Person(world, world.acme)
    secret, _ = enrol(person, person.session())
    code = totp(secret)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: person.outside.call("POST", "/v1/session", {
            "email": person.email, "password": PASSWORD, "totp": code}), range(5)))
    assert sorted(a.status for a in answers) == [200, 401, 401, 401, 401]


def test_recovery_codes(world):
    person = Person(world, world.acme)
    session = person.session()
    _, codes = enrol(person, session)
    assert person.login(totp=codes[3].lower().replace("-", " ")).json["session"]["method"] == "password+recovery_code"
    assert person.login(expect=401, totp=codes[3]).code == "totp_invalid"
    assert session.get("/v1/account/totp").json["recovery_codes_left"] == 9
    session.post("/v1/account/totp/disable", {"code": codes[3]}, expect=401, code="totp_invalid")
    assert session.post("/v1/account/totp/disable", {"code": codes[4]}, expect=200).json == {"enabled": False}
    person.login()


def test_guessing_codes_waits(world):
    person = Person(world, world.acme)
    enrol(person, person.session())
    answers = [person.outside.call("POST", "/v1/session", {"email": person.email, "password": PASSWORD, "totp": f"{i:06d}"})
               for i in range(8)]
    assert {a.code for a in answers[:5]} == {"totp_invalid"} and answers[7].code == "rate_limited"


def test_a_lost_second_factor_is_removed_by_an_administrator(world):
    person = Person(world, world.acme)
    world.operator.delete(f"/v1/users/{person.id}/totp", expect=409, code="conflict")
    enrol(person, person.session())
    # A reset of the password leaves it in force.
    person.accept(world.operator.post(f"/v1/users/{person.id}/invitation").json["invitation"]["token"], PASSWORD)
    assert person.login(expect=401).code == "totp_required"
    assert world.operator.delete(f"/v1/users/{person.id}/totp").json["totp"] is False
    person.login()


# ---- what stands in the audit, and what does not ----

def test_the_audit_tells_all_but_secrets(world):
    person = Person(world, world.acme)
    session = person.session()
    secret, codes = enrol(person, session)
    session.post("/v1/account/password", {"password": PASSWORD, "new_password": PASSWORD + "!"}, expect=200)
    session.delete("/v1/session")
    entries = world.operator.pages(f"/v1/audit?actor={person.id}", 100)
    assert [e["action"] for e in reversed(entries)] == ["user.accept", "session.start", "user.totp_begin", "user.totp_confirm",
                                                        "user.password", "session.end"]
    assert {e["address"] for e in entries} == {person.address}
    assert entries[-2]["object"] == session.id and entries[-2]["detail"] == {"method": "password"}
    text = str(world.operator.pages("/v1/audit", 500))
    for told in (PASSWORD, secret, codes[0], session.cookie.split("=")[1], person.invitation):
        assert told not in text


def test_metrics_count_logins(world):
    def count(outcome):
        text = world.daemon.call("GET", "/metrics").body.decode()
        return int(re.search(rf'^keystile_logins_total{{outcome="{outcome}"}} (\d+)$', text, re.M).group(1))
    before = {o: count(o) for o in ("ok", "login_failed")}
    person = Person(world, world.acme)
    person.login()
    person.login(expect=401, password="wrong")
    assert count("ok") == before["ok"] + 1 and count("login_failed") == before["login_failed"] + 1
