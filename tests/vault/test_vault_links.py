"""Intake links: pages that take one value of one field, once, from whoever has their address."""
import concurrent.futures
import contextlib
import http.client
import random
import re
import threading

import keystile
import pytest

from links_service import (AUTH_TOKEN, Api, CANARY, PEM, SCOPES, Visitor, World, change_store, eventually, link, multipart, path_of,
                           provider, token_of, unique, urlencoded, versions)

ATTEMPTS = 3
SETTINGS = {"KEYSTILE_USAGE_FLUSH_MS": "100", "KEYSTILE_LINKS_ATTEMPTS": ATTEMPTS, "KEYSTILE_ISSUER_URL": "https://keystile.example"}


@pytest.fixture(scope="module")
def daemon():
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def world(daemon):
    return World(daemon)


@pytest.fixture(scope="module")
def admin(world):
    return world.caller(world.acme, scopes=SCOPES)


@pytest.fixture(scope="module")
def visitor(daemon):
    return Visitor(daemon)


@pytest.fixture(scope="module")
def trunk(admin, world):
    return provider(admin, world.acme)


# ---- the page ----

def gone(visitor, path):
    answers = [visitor.call("GET", path, expect=410)]
    sent, body = multipart(("value", AUTH_TOKEN))
    answers.append(visitor.call("POST", path, body, sent, expect=410))
    assert answers[0].body == answers[1].body
    drop = ("X-Request-Id", "Date")
    headers = [{k: v for k, v in a.headers.items() if k not in drop} for a in answers]
    assert headers[0] == headers[1]
    return answers[0].body, headers[0]


def test_links_that_are_not_open_look_all_the_same(admin, trunk, visitor, world, daemon):
    pages = {}
    for name in ("used", "cancelled", "expired", "closed"):
        made = link(admin, trunk)
        if name == "used":
            visitor.enter(made, AUTH_TOKEN, expect=200)
        elif name == "cancelled":
            admin.delete(f"/v1/links/{made['id']}")
        elif name == "expired":
            change_store(daemon, "UPDATE links SET expires_at = created_at + 1 WHERE field = 'auth_token' AND id ="
                         " (SELECT max(id) FROM links)")
        else:
            for left in range(ATTEMPTS - 1, -1, -1):
                visitor.enter(made, "wrong", expect=422 if left else 410)
        pages[name] = gone(visitor, path_of(made))
        eventually(lambda: admin.get(f"/v1/links/{made['id']}").json["status"], name)
    pages["unknown"] = gone(visitor, "/intake/" + "0" * 64)
    pages["short"] = gone(visitor, "/intake/abc")
    pages["upper case"] = gone(visitor, "/intake/" + "A" * 64)
    assert len(set(body for body, _ in pages.values())) == 1, pages.keys()
    assert all(headers == pages["used"][1] for _, headers in pages.values())


def test_a_link_of_a_suspended_or_vanished_place_is_not_open(world, visitor):
    home = world.operator.make_tenant("organization")["id"]
    owner = world.caller(home, scopes=SCOPES)
    of = provider(owner, home)
    made = link(owner, of)
    world.operator.post(f"/v1/tenants/{home}/suspend", expect=200)
    gone(visitor, path_of(made))
    world.operator.post(f"/v1/tenants/{home}/resume", expect=200)
    visitor.look(made)
    owner.delete(f"/v1/providers/{of}")
    gone(visitor, path_of(made))


def test_looking_uses_nothing_up(admin, trunk, visitor):
    made = link(admin, trunk)
    record = admin.get(f"/v1/links/{made['id']}").json
    for _ in range(20):
        visitor.look(made)
        head = visitor.call("HEAD", path_of(made), expect=200)
        assert int(head.headers["Content-Length"]) > 1000
    visitor.call("GET", path_of(made) + "?utm_source=mail&fbclid=x", expect=200)
    assert admin.get(f"/v1/links/{made['id']}").json == record
    visitor.enter(made, AUTH_TOKEN, expect=200)


def test_the_page_says_what_is_asked_and_runs_nothing(world, admin, visitor):
    of = provider(admin, world.acme, name='<b onclick="x">Main & "line"</b>')
    made = link(admin, of, "account_sid", **{"for": "<script>alert(1)</script>"})
    answer = visitor.look(made)
    text = answer.body.decode()
    for part in ("Account SID for Twilio", "AC0123456789abcdef0123456789abcdef", "In the Twilio console, on the account&#39;s first page.",
                 "&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;b onclick=&quot;x&quot;&gt;Main &amp; &quot;line&quot;&lt;/b&gt;",
                 made["expires_at"], 'autocomplete="off"', "multipart/form-data"):
        assert part in text, part
    assert "<script" not in text and " onclick=\"" not in text and "javascript:" not in text
    assert token_of(made) not in text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
    for name, value in {"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
                        "Cache-Control": "no-store"}.items():
        assert answer.headers[name] == value
    assert "Set-Cookie" not in answer.headers and "Location" not in answer.headers
    # Nothing is fetched: the one address that is not this page's own is a link for people to follow.
    assert re.findall(r'(?:src|href|action)="([^"]*)"', text) == ["data:,", "https://www.twilio.com/docs/usage/api/account"]


def test_a_value_that_is_not_of_the_form_is_not_taken_and_not_shown(admin, trunk, visitor, daemon):
    made = link(admin, trunk)
    before = versions(daemon, trunk)
    answer = visitor.enter(made, CANARY + "<>&\"'", expect=422)
    text = answer.body.decode()
    assert CANARY not in text and "Auth token has 32 of 0-9 and a-f" in text and "2 more times" in text
    assert 'aria-invalid="true"' in text and "<form" in text
    assert admin.get(f"/v1/links/{made['id']}").json["attempts"] == 1
    assert versions(daemon, trunk) == before
    visitor.enter(made, "", expect=422)
    gone_now = visitor.enter(made, " " + AUTH_TOKEN, expect=410)
    assert b"<form" not in gone_now.body
    record = admin.get(f"/v1/links/{made['id']}").json
    assert record["status"] == "closed" and record["attempts"] == ATTEMPTS and record["version"] is None
    assert versions(daemon, trunk) == before


@pytest.mark.parametrize("headers, body, status", [
    ({"Content-Type": "application/json"}, '{"value": "x"}', 415),
    ({"Content-Type": "text/plain"}, "value=x", 415),
    ({}, b"value=x", 415),
    ({"Content-Type": "multipart/form-data"}, "x", 415),
    ({"Content-Type": "multipart/form-data; boundary=b"}, "--b\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\nx", 400),
    ({"Content-Type": "multipart/form-data; boundary=b"}, "before\r\n--b--\r\n", 400),
    (*multipart(("value", AUTH_TOKEN), ("value", AUTH_TOKEN)), 400),
    ({"Content-Type": "application/x-www-form-urlencoded"}, f"value={AUTH_TOKEN}&value={AUTH_TOKEN}", 400),
    ({"Content-Type": "application/x-www-form-urlencoded"}, "value=%zz", 400),
    ({**multipart(("value", AUTH_TOKEN))[0], "Sec-Fetch-Site": "cross-site"}, multipart(("value", AUTH_TOKEN))[1], 403),
    ({**multipart(("value", AUTH_TOKEN))[0], "Sec-Fetch-Site": "same-site"}, multipart(("value", AUTH_TOKEN))[1], 403),
    (*multipart(("value", "x" * (1 << 20))), 413),
], ids=["json", "plain", "no type", "no boundary", "cut", "preamble", "twice", "twice too", "bad escape", "cross-site", "same-site", "too large"])
def test_what_is_no_form_of_ours_changes_nothing(admin, trunk, visitor, headers, body, status):
    made = link(admin, trunk)
    record = admin.get(f"/v1/links/{made['id']}").json
    answer = visitor.call("POST", path_of(made), body, headers, expect=status)
    assert AUTH_TOKEN.encode() not in answer.body and token_of(made).encode() not in answer.body
    assert admin.get(f"/v1/links/{made['id']}").json == record
    for method in ("PUT", "DELETE", "PATCH"):
        visitor.call(method, path_of(made), expect=405)


# ---- values ----

def reveal(world, of):
    """All fields as a call would get them."""
    token = keystile.run("keys", "create", "--kind", "runtime", "--name", unique("runtime"), "--scope", "keystile:secrets:reveal",
                         data=world.daemon.data).out.strip()
    return Api(world.daemon, token).post(f"/v1/providers/{of}/reveal", {"call_id": unique("call")}, expect=200).json["fields"]


@pytest.mark.parametrize("headers, body", [
    multipart(("value", AUTH_TOKEN)),
    multipart(("value", AUTH_TOKEN), ("file", "", "")),
    urlencoded(value=AUTH_TOKEN),
], ids=["multipart", "with an empty file", "urlencoded"])
def test_a_value_comes_as_it_was_entered(world, admin, visitor, headers, body):
    of = provider(admin, world.acme)
    sid = "AC" + "ab" * 16
    visitor.enter(link(admin, of, "account_sid"), sid, expect=200)
    made = link(admin, of)
    thanks = visitor.call("POST", path_of(made), body, {**headers, "Sec-Fetch-Site": "same-origin"}, expect=200)
    assert AUTH_TOKEN.encode() not in thanks.body and "Location" not in thanks.headers
    record = admin.get(f"/v1/links/{made['id']}").json
    assert record["status"] == "used" and record["version"] == 1 and record["ended_at"]
    admin.post(f"/v1/providers/{of}/fields/auth_token/promote", {}, expect=None)
    admin.post(f"/v1/providers/{of}/fields/account_sid/promote", {}, expect=None)
    assert reveal(world, of) == {"account_sid": sid, "auth_token": AUTH_TOKEN}


WINDOWS_FILE = b"\xef\xbb\xbf" + PEM.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("parts", [
    [("value", ""), ("file", PEM, "private.key")],
    [("value", ""), ("file", WINDOWS_FILE, "private key.pem")],
    [("value", PEM.replace("\n", "\r\n")), ("file", "", "")],
    [("value", PEM)],
], ids=["file", "of another system", "pasted", "not by a browser"])
def test_files_come_as_text_with_line_feeds(world, admin, visitor, parts, daemon):
    of = provider(admin, world.acme, "vonage")
    made = link(admin, of, "private_key")
    page = visitor.look(made).body
    assert b'type="file"' in page and b"<textarea" in page
    sent, body = multipart(*parts)
    visitor.call("POST", path_of(made), body, sent, expect=200)
    assert versions(daemon, of, "private_key") == [1]


def test_a_file_and_a_text_are_one_too_many(world, admin, visitor):
    of = provider(admin, world.acme, "vonage")
    made = link(admin, of, "private_key")
    sent, body = multipart(("value", PEM), ("file", PEM, "private.key"))
    answer = visitor.call("POST", path_of(made), body, sent, expect=422)
    assert b"Give one of the two" in answer.body and b"PRIVATE KEY" not in answer.body
    sent, body = multipart(("value", ""), ("file", PEM.replace("END PRIVATE", "END PUBLIC"), "private.key"))
    answer = visitor.call("POST", path_of(made), body, sent, expect=422)
    assert b'role="alert">Private key of the application ' in answer.body


# ---- once ----

def test_of_fifty_at_one_time_one_is_the_first(admin, trunk, visitor, daemon):
    for _ in range(3):
        made = link(admin, trunk)
        before = versions(daemon, trunk)
        barrier = threading.Barrier(50)

        def enter(_):
            barrier.wait()
            return visitor.enter(made, AUTH_TOKEN).status

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(enter, range(50)))
        assert sorted(statuses) == [200] + [410] * 49
        after = versions(daemon, trunk)
        assert len(after) == len(before) + 1
        assert admin.get(f"/v1/links/{made['id']}").json["version"] == after[-1]


def test_a_use_and_a_withdrawal_at_one_time(admin, trunk, visitor, daemon):
    for _ in range(10):
        made = link(admin, trunk)
        before = len(versions(daemon, trunk))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            entered = pool.submit(visitor.enter, made, AUTH_TOKEN)
            withdrawn = pool.submit(admin.delete, f"/v1/links/{made['id']}")
        status = admin.get(f"/v1/links/{made['id']}").json["status"]
        assert (entered.result().status, status) in ((200, "used"), (410, "cancelled"))
        assert withdrawn.result().status == 200
        assert len(versions(daemon, trunk)) == before + (status == "used")


def test_withdrawing_changes_nothing_of_what_has_ended(admin, trunk, visitor):
    made = link(admin, trunk)
    first = admin.delete(f"/v1/links/{made['id']}").json
    assert first["status"] == "cancelled" and admin.delete(f"/v1/links/{made['id']}").json == first
    used = link(admin, trunk)
    visitor.enter(used, AUTH_TOKEN, expect=200)
    record = admin.get(f"/v1/links/{used['id']}").json
    assert admin.delete(f"/v1/links/{used['id']}").json == record and record["status"] == "used"


def test_killed_at_any_moment_a_link_is_used_whole_or_not_at_all():
    chance = random.Random(keystile.seed())
    with keystile.temporary_data() as data:
        with keystile.Daemon(data, env=SETTINGS) as daemon:
            world = World(daemon)
            of = provider(world.operator, world.acme)
            key = daemon.first_key
        for _ in range(8):
            daemon = keystile.Daemon(data, env=SETTINGS)
            with daemon:
                api, visitor = Api(daemon, key), Visitor(daemon)
                made = link(api, of)
                before = len(versions(daemon, of))
                killer = threading.Timer(chance.random() * 0.03, daemon.kill)
                killer.start()
                acknowledged = False
                with contextlib.suppress(OSError, http.client.HTTPException):
                    acknowledged = visitor.enter(made, AUTH_TOKEN).status == 200
                killer.join()
            with keystile.Daemon(data, env=SETTINGS) as daemon:
                record = Api(daemon, key).get(f"/v1/links/{made['id']}").json
                added = len(versions(daemon, of)) - before
                assert (record["status"], added) in (("used", 1), ("open", 0))
                assert record["status"] == "used" or not acknowledged
                assert Visitor(daemon).enter(made, AUTH_TOKEN).status == (200 if record["status"] == "open" else 410)
                assert len(versions(daemon, of)) == before + 1


# ---- bounds ----

def test_what_is_far_too_large_is_told_by_a_page(admin, trunk, visitor, daemon):
    made = link(admin, trunk)
    client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=keystile.PATIENCE_S)
    client.putrequest("POST", path_of(made))
    client.putheader("Content-Type", "multipart/form-data; boundary=x")
    client.putheader("Content-Length", str(64 << 20))
    client.endheaders()
    answer = client.getresponse()
    page = answer.read().decode()
    assert answer.status == 413 and answer.headers["Content-Type"].startswith("text/html") and "at most 32 KiB" in page
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
    client.close()
    visitor.enter(made, AUTH_TOKEN, expect=200)


def test_an_address_that_tries_links_again_and_again_waits():
    """Looking at a link that is open counts for nothing; what is not open, and what is not taken, counts."""
    with keystile.temporary_data() as data, keystile.Daemon(data, env=SETTINGS) as daemon:
        world = World(daemon)
        made = link(world.operator, provider(world.operator, world.acme))
        client = daemon.client()
        for _ in range(320):
            assert client.call("GET", path_of(made)).status == 200
        statuses = [client.call("GET", "/intake/" + "0" * 64).status for _ in range(320)]
        assert statuses[:300] == [410] * 300 and 429 in statuses[300:]
        answer = client.call("GET", path_of(made))
        assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1 and b"Too many attempts" in answer.body
        # Logging in is another matter.
        assert client.call("POST", "/v1/session", {"email": "a@b.test", "password": "x" * 12}, {"X-Keystile-Request": "1"}).status == 401


# ---- what is told of links ----

def test_every_step_is_in_the_audit_and_told_as_an_event(world, admin, visitor, daemon):
    of = provider(admin, world.acme)
    used, withdrawn, closed, expired = (link(admin, of, **{"for": "Jane"}) for _ in range(4))
    visitor.enter(used, "wrong", expect=422)
    visitor.enter(used, AUTH_TOKEN, expect=200)
    admin.delete(f"/v1/links/{withdrawn['id']}")
    for _ in range(ATTEMPTS):
        visitor.enter(closed, "wrong")
    change_store(daemon, "UPDATE links SET expires_at = created_at + 1 WHERE id = (SELECT max(id) FROM links)")
    auditor = world.operator

    def steps(made):
        found = [e for e in auditor.pages(f"/v1/audit?tenant={world.acme}", 500) if e["object"] == made["id"]]
        return [e["action"] for e in reversed(found)]

    eventually(lambda: steps(expired), ["link.create", "link.expire"])
    assert steps(used) == ["link.create", "link.attempt", "link.use"]
    assert steps(withdrawn) == ["link.create", "link.cancel"]
    assert steps(closed) == ["link.create"] + ["link.attempt"] * ATTEMPTS + ["link.close"]
    use = next(e for e in auditor.pages("/v1/audit?action=link.use", 500) if e["object"] == used["id"])
    assert use["actor"] == used["id"] and use["tenant"] == world.acme and use["address"] == "127.0.0.1"
    assert use["detail"] == {"provider": of, "field": "auth_token", "for": "Jane", "expires_at": used["expires_at"], "version": 1}
    events = {(e["object"], e["type"]): e for e in auditor.pages(f"/v1/events?tenant={world.acme}", 500)}
    for made, kind in ((used, "link.used"), (withdrawn, "link.cancelled"), (closed, "link.closed"), (expired, "link.expired")):
        assert (made["id"], "link.created") in events and (made["id"], kind) in events
    assert events[used["id"], "link.used"]["data"] == use["detail"]


def test_tokens_and_values_stand_nowhere(world, visitor):
    with keystile.temporary_data() as data, keystile.Daemon(data, env={**SETTINGS, "KEYSTILE_LOG_LEVEL": "debug"}) as daemon:
        own = World(daemon)
        guest = Visitor(daemon)
        of = provider(own.operator, own.acme)
        made = [link(own.operator, of) for _ in range(3)]
        guest.look(made[0])
        guest.enter(made[0], CANARY + "z", expect=422)
        guest.enter(made[0], CANARY, expect=200)
        guest.enter(made[0], CANARY, expect=410)
        own.operator.delete(f"/v1/links/{made[1]['id']}")
        guest.look(made[1], expect=410)
        guest.call("POST", path_of(made[2]), "x", {"Content-Type": "text/plain"}, expect=415)
        told = [own.operator.call("GET", target).body for target in
                ("/v1/audit?limit=500", "/v1/events?limit=500", "/metrics", f"/v1/providers/{of}/links", f"/v1/providers/{of}")]
        metrics = told[2].decode()
        assert 'keystile_intake_requests_total{outcome="taken"} 1\n' in metrics
        assert 'keystile_intake_requests_total{outcome="refused"} 1\n' in metrics
        assert 'keystile_intake_requests_total{outcome="gone"} 2\n' in metrics
        secrets = [token_of(m).encode() for m in made] + [CANARY.encode()]
        memory = b"".join(told)
        daemon.stop()
        memory += bytes(daemon.raw) + b"".join(p.read_bytes() for p in data.rglob("*") if p.is_file())
        for secret in secrets:
            assert secret not in memory


# ---- the command line ----

def test_links_by_the_command_line(daemon, admin, trunk, visitor):
    made = keystile.run("links", "create", trunk, "auth_token", "--expires", "2h", "--for", "Jane", data=daemon.data)
    assert made.code == 0 and re.fullmatch(r"https://keystile\.example/intake/[0-9a-f]{64}\n", made.out)
    identity = re.match(r"lnk_[0-9a-z]{13}", made.err).group()
    shown = keystile.run("links", "show", identity, "--json", data=daemon.data)
    assert shown.json["for"] == "Jane" and shown.json["status"] == "open" and "url" not in shown.json
    listed = keystile.run("links", "list", trunk, data=daemon.data)
    assert identity in listed.out and made.out.strip() not in listed.out
    assert keystile.run("links", "cancel", identity, "--json", data=daemon.data).json["status"] == "cancelled"
    visitor.look({"url": made.out.strip()}, expect=410)
    assert keystile.run("links", "create", trunk, "auth_token", "--expires", "soon", data=daemon.data).code == 2
    refused = keystile.run("links", "create", trunk, "auth_token", "--expires", "1s", "--json", data=daemon.data)
    assert refused.code == 1 and refused.problem["code"] == "invalid"
    assert keystile.run("links", "show", "lnk_0000000000001", "--json", data=daemon.data).problem["code"] == "not_found"
